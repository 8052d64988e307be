//! An app that does not listen or is killed, and being asked to end at any moment: the code is the contract's, the time is
//! bounded, and nothing that was issued is left.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Stage, delivered};
use support::*;

/// An answer that comes this much later than the server has done its work.
const LATE: Duration = Duration::from_millis(600);
/// No end takes longer, on a busy machine either.
const BOUND: Duration = Duration::from_secs(15);

/// A stage behind a proxy, with a lease of six seconds and a secret.
struct Life {
    stage: Stage,
    proxy: Proxy,
    config: String,
}

/// When it is asked to end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Login,
    FirstRead,
    FirstIssue,
    Rest,
    Renewal,
    Issue,
    Revocation,
}

impl Phase {
    const ALL: [Self; 7] =
        [Self::Login, Self::FirstRead, Self::FirstIssue, Self::Rest, Self::Renewal, Self::Issue, Self::Revocation];

    fn is_start(self) -> bool {
        matches!(self, Self::Login | Self::FirstRead | Self::FirstIssue)
    }

    fn path(self) -> &'static str {
        match self {
            Self::Login => "/login",
            Self::FirstRead => "/data/a",
            Self::FirstIssue | Self::Issue => "/creds/brief",
            Self::Rest => "/nothing",
            Self::Renewal => "/sys/leases/renew",
            Self::Revocation => "/revoke-self",
        }
    }
}

impl Life {
    fn new() -> Self {
        let stage = Stage::new("6s", "1h");
        let kv = stage.space.kv2(&[("a", json!({ "k": "one" }))]);
        let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
        let proxy = Proxy::before(stage.space.bao.port);
        let config = format!(
            "{}files: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\" }}\n",
            stage.space.vault_at(&proxy.address(), &login),
            stage.creds()
        );
        Self { stage, proxy, config }
    }

    /// Made by an app that is up.
    fn up(&self) -> PathBuf {
        self.stage.case.path("up")
    }

    fn is_delivered(&self) -> bool {
        !self.stage.file("db.json").is_empty()
    }

    /// Starts it, asks it to end in that phase, and answers what came of it.
    #[track_caller]
    fn asked_to_end(&self, phase: Phase, run: Run) -> Outcome {
        let path = phase.path();
        let has_app = run.has_app();
        if phase.is_start() {
            self.proxy.on(path, Plan::Late(LATE));
        }
        let mut running = run.start();
        let mut before = 0;
        if !phase.is_start() {
            running.until("first delivery", || (self.is_delivered() && (!has_app || self.up().exists())).then_some(()));
            self.proxy.on(path, Plan::Late(LATE));
            before = self.proxy.count(path);
        }
        match phase {
            Phase::Issue => {
                self.stage.space.bao.revoke_all(&self.stage.creds());
            }
            Phase::Revocation => running.signal(libc::SIGTERM),
            _ => {}
        }
        if phase != Phase::Rest {
            running.until("request", || (self.proxy.count(path) > before).then_some(()));
        }
        let asked = Instant::now();
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert!(asked.elapsed() < BOUND, "{phase:?}: {:?}", asked.elapsed());
        outcome
    }
}

#[test]
fn a_sidecar_asked_to_end_in_any_phase_leaves_nothing() {
    for phase in Phase::ALL {
        let life = Life::new();
        let outcome = life.asked_to_end(phase, life.stage.case.with_files(&life.config).command("sidecar"));
        assert_eq!(outcome.code(), Some(if phase.is_start() { 143 } else { 0 }), "{phase:?}: {outcome}");
        life.stage.nothing_is_left();
    }
}

#[test]
fn a_supervisor_asked_to_end_in_any_phase_ends_as_its_app_and_leaves_nothing() {
    for phase in Phase::ALL {
        let life = Life::new();
        let script = format!("trap 'exit 7' TERM; echo up > {}; while :; do sleep 0.02; done", life.up().display());
        let run = life.stage.case.with_files(&life.config).arg("--supervise");
        let run = if phase.is_start() { run.app(&life.stage.case.marking_app()) } else { run.sh(&script) };
        let outcome = life.asked_to_end(phase, run);
        assert_eq!(outcome.code(), Some(if phase.is_start() { 143 } else { 7 }), "{phase:?}: {outcome}");
        assert!(!life.stage.case.ran(), "{phase:?}: the app ran");
        life.stage.nothing_is_left();
    }
}

#[test]
fn an_init_asked_to_end_in_any_phase_leaves_nothing() {
    for phase in [Phase::Login, Phase::FirstRead, Phase::FirstIssue] {
        let life = Life::new();
        let run = life.stage.case.with_files(&life.config).arg("--leave-leases").command("init");
        let outcome = life.asked_to_end(phase, run);
        assert_eq!(outcome.code(), Some(143), "{phase:?}: {outcome}");
        life.stage.nothing_is_left();
    }
    // While its token is revoked everything is delivered already: it ends as if nobody had asked.
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let proxy = Proxy::before(space.bao.port);
    proxy.on("/revoke-self", Plan::Late(LATE));
    let config = format!("{}files: {{ a: \"vault:{kv}/data/a#k\" }}\n", space.vault_at(&proxy.address(), &login));
    let mut running = case.with_files(&config).command("init").start();
    running.until("revocation", || (proxy.count("/revoke-self") > 0).then_some(()));
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(delivered(&case.volume(), "a"), "one");
    for accessor in space.accessors() {
        assert!(!space.bao.token_lives(&accessor));
    }
}

#[test]
fn under_a_token_of_somebody_else_the_lease_that_is_on_its_way_is_revoked_too() {
    let stage = Stage::new("6s", "1h");
    let (login, accessor) =
        stage.space.token(&stage.case, &[&stage.creds(), "sys/leases/revoke"], json!({ "ttl": "1h" }));
    let proxy = Proxy::before(stage.space.bao.port);
    let mut running = stage.delivering(&stage.space.vault_at(&proxy.address(), &login));
    // The next one would live for an hour.
    let path = format!("{}/roles/brief", stage.database);
    let mut role = stage.space.bao.read(&path)["data"].clone();
    role["default_ttl"] = json!("1h");
    stage.space.bao.write(&path, role);
    // Half of what is heard out: a loaded machine needs the rest.
    proxy.on("/creds/brief", Plan::Late(LATE / 2));
    stage.space.bao.revoke_all(&stage.creds());
    running.until("issue", || (proxy.count("/creds/brief") > 1 && stage.issued() > 1).then_some(()));
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(stage.space.bao.token_lives(&accessor), "it is not ours to end");
    assert!(!outcome.err().contains("gave up what was under way"), "the answer took longer than a second\n{outcome}");
    wait_for("the end of the leases", || (stage.leases() == 0).then_some(()));
}

#[test]
fn a_login_that_hangs_does_not_keep_the_token_before_it_alive() {
    let stage = Stage::new("1h", "24h");
    let settings = json!({ "token_ttl": "50s", "token_max_ttl": "50s" });
    let login = stage.space.approle_with(&stage.case, &[&stage.creds()], settings);
    let proxy = Proxy::before(stage.space.bao.port);
    let mut running = stage.delivering(&stage.space.vault_at(&proxy.address(), &login));
    proxy.on("/login", Plan::Hang);
    running.until("second login", || (proxy.count("/login") > 1).then_some(()));
    let asked = Instant::now();
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    assert_eq!(stage.space.requests().last().unwrap(), "update auth/token/revoke-self", "{outcome}");
    stage.nothing_is_left();
}

/// A database that takes four seconds to make a user.
fn slow(stage: &Stage) {
    let path = format!("{}/roles/brief", stage.database);
    let mut role = stage.space.bao.read(&path)["data"].clone();
    let statements = role["creation_statements"].as_array_mut().unwrap();
    statements.insert(0, json!("SELECT pg_sleep(4)"));
    stage.space.bao.write(&path, role);
}

/// Waits until the server has answered every issue, to whomever.
fn answered(stage: &Stage) {
    let said = |kind: &str| {
        let creds = stage.creds();
        stage.space.bao.audit().into_iter().filter(|line| line.kind == kind && line.path == creds).count()
    };
    wait_for("the server's answer", || (said("response") >= said("request")).then_some(()));
}

#[test]
fn a_credential_that_a_slow_database_was_making_is_not_left_behind() {
    let stage = Stage::new("1h", "24h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    slow(&stage);
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("first issue", || (stage.issued() == 1).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(143));
    answered(&stage);
    stage.nothing_is_left();
    // The deadline in place of a signal.
    let run = stage.case.with_files(&config).args(&["--timeout", "2s"]).command("sidecar");
    assert_eq!(run.output().code(), Some(69));
    answered(&stage);
    stage.nothing_is_left();
}

#[test]
fn a_credential_that_a_slow_database_was_making_again_is_not_left_behind() {
    let stage = Stage::new("6s", "24h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let mut running = stage.delivering(&stage.space.vault(&login));
    slow(&stage);
    stage.space.bao.revoke_all(&stage.creds());
    running.until("second issue", || (stage.issued() == 2).then_some(()));
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    answered(&stage);
    stage.nothing_is_left();
}

#[test]
fn an_app_that_stands_still_and_hooks_that_hang_do_not_hold_rotation_up() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "0" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    // Takes connections and never answers.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let config = format!(
        "{}refresh: 1s\nonChange: [ {{ signal: HUP }}, {{ run: [/bin/sleep, \"600\"] }}, {{ http: \"http://{}/\" }} ]\n\
         files: {{ a: \"vault:{kv}/data/a#k\" }}\n",
        space.vault(&login),
        listener.local_addr().unwrap()
    );
    let run = case.with_files(&config).arg("--supervise");
    let mut running = run.sh("trap '' HUP; echo ready; while :; do sleep 0.02; done").start();
    running.says("ready");
    let app = running.only_child();
    let signal = |number: i32| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(app), nix::sys::signal::Signal::try_from(number).unwrap())
            .unwrap()
    };
    let rotates = |running: &mut Running, value: &str| {
        space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": value } }));
        running.until("the change", || (delivered(&case.volume(), "a") == value).then_some(()));
    };
    rotates(&mut running, "deaf");
    signal(libc::SIGSTOP);
    rotates(&mut running, "stopped");
    rotates(&mut running, "stopped still");
    let state = case.with_files(&config).command("status").arg("--ready").output();
    assert_eq!(state.code(), Some(0), "{state}");
    signal(libc::SIGCONT);
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(143), "{outcome}");
    for accessor in space.accessors() {
        assert!(!space.bao.token_lives(&accessor));
    }
}

#[test]
fn an_app_that_is_killed_ends_everything() {
    let life = Life::new();
    let run = life.stage.case.with_files(&life.config).arg("--supervise");
    let mut running = run.sh("echo ready; while :; do sleep 0.02; done").start();
    running.says("ready");
    let app = nix::unistd::Pid::from_raw(running.only_child());
    nix::sys::signal::kill(app, nix::sys::signal::Signal::SIGKILL).unwrap();
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(128 + 9), "{outcome}");
    life.stage.nothing_is_left();
}

#[test]
fn a_revocation_that_fails_for_a_moment_at_the_end_is_sent_again() {
    let stage = Stage::new("5m", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let vault = stage.space.vault_at(&proxy.address(), &login);
    let config = format!("{vault}files: {{ db.json: \"vault:{}\" }}\n", stage.creds());
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || (!stage.file("db.json").is_empty()).then_some(()));
    proxy.next([Plan::Answer(503, String::new(), "{\"errors\":[]}".into()), Plan::Close]);
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(proxy.count("/revoke-self"), 3, "{outcome}");
    stage.nothing_is_left();
}
