//! A sidecar that was killed and started again takes up what it had.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::*;
use crate::{Stage, delivered};

struct Life {
    stage: Stage,
    login: Login,
    config: String,
}

impl Life {
    fn new() -> Self {
        let stage = Stage::new("8s", "1h");
        let login = stage.space.approle(&stage.case, &[&stage.creds()]);
        let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
        Self { stage, login, config }
    }

    fn state(&self) -> PathBuf {
        self.stage.case.memory.join("state")
    }

    /// Starts it and kills it once it stays, at its `nth` login.
    fn killed(&self, config: &str, nth: usize) -> String {
        let mut running = self.stage.case.with_files(config).command("sidecar").start();
        let accessor = || self.stage.space.accessors().get(nth - 1).cloned();
        let is_written = |accessor: &str| {
            fs::read_to_string(self.state().join("state.json")).is_ok_and(|state| state.contains(accessor))
        };
        running.until("state", || accessor().filter(|accessor| is_written(accessor)));
        assert_ne!(self.stage.file("db.json"), "");
        running.signal(libc::SIGKILL);
        assert_eq!(running.end().signal(), Some(libc::SIGKILL));
        self.stage.file("db.json")
    }

    fn logins(&self) -> usize {
        self.stage.count(&format!("update {}", self.login.path))
    }
}

#[test]
fn after_a_kill_there_is_no_new_login_and_no_new_lease() {
    let life = Life::new();
    let mut first = String::new();
    for _ in 0..5 {
        let credential = life.killed(&life.config, 1);
        assert!(first.is_empty() || first == credential);
        first = credential;
    }
    let state = life.state();
    for name in ["state.json", "state.value-0"] {
        assert_eq!(mode_of(&state.join(name)), 0o600);
    }
    let mut running = life.stage.case.with_files(&life.config).command("sidecar").start();
    let renewals = life.stage.count("update sys/leases/renew");
    running.until("renewals", || (life.stage.count("update sys/leases/renew") >= renewals + 2).then_some(()));
    assert_eq!((life.logins(), life.stage.issued()), (1, 1), "{}", running.stderr());
    assert_eq!(life.stage.file("db.json"), first);
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(life.stage.space.requests().last().unwrap(), "update auth/token/revoke-self");
    let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("state")), "{left:?}");
}

#[test]
fn another_configuration_takes_nothing_up_and_revokes_what_was() {
    let life = Life::new();
    let first = life.killed(&life.config, 1);
    let accessor = life.stage.space.accessors()[0].clone();
    let second = life.killed(&format!("{}refresh: 7m\n", life.config), 2);
    assert_ne!(first, second);
    assert_eq!((life.logins(), life.stage.issued()), (2, 2));
    assert!(!life.stage.space.bao.token_lives(&accessor));
}

#[test]
fn a_damaged_state_is_refused_with_one_line() {
    let life = Life::new();
    life.killed(&life.config, 1);
    let state = life.state().join("state.json");
    let whole = fs::read(&state).unwrap();
    fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    let mut running = life.stage.case.with_files(&life.config).command("sidecar").start();
    running.until("second login", || (life.logins() == 2).then_some(()));
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert!(outcome.err().contains("is damaged"), "{outcome}");
    assert!(!outcome.err().contains("canary"));
}

#[test]
fn a_token_that_died_meanwhile_costs_one_login() {
    let life = Life::new();
    let first = life.killed(&life.config, 1);
    let accessor = life.stage.space.accessors()[0].clone();
    life.stage.space.bao.write("auth/token/revoke-accessor", serde_json::json!({ "accessor": accessor }));
    let second = life.killed(&life.config, 2);
    assert_ne!(first, second);
    assert_eq!((life.logins(), life.stage.issued()), (2, 2));
}

#[test]
fn what_is_leased_is_taken_up_while_the_server_is_away() {
    let life = Life::new();
    let proxy = Proxy::before(life.stage.space.bao.port);
    let config = format!(
        "{}files: {{ db.json: \"vault:{}\" }}\n",
        life.stage.space.vault_at(&proxy.address(), &life.login),
        life.stage.creds()
    );
    let first = life.killed(&config, 1);
    fs::remove_dir_all(life.stage.case.volume()).unwrap();
    proxy.always(Plan::Close);
    let mut running = life.stage.case.with_files(&config).command("sidecar").start();
    running.until("delivery", || (delivered(&life.stage.case.volume(), "db.json") == first).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    proxy.always(Plan::Forward);
    running.until("renewal", || (life.stage.count("update sys/leases/renew") >= 1).then_some(()));
    assert_eq!((life.logins(), life.stage.issued()), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
