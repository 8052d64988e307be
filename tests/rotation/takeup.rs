//! A sidecar that was killed and started again takes up what it had.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Stage, delivered, standing, status};
use support::*;

struct Life {
    stage: Stage,
    login: Login,
    config: String,
}

impl Life {
    fn new() -> Self {
        let stage = Stage::new("20s", "1h");
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
        let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).ok();
        let read = |name: &str| json(fs::read_to_string(self.state().join(name)).ok()?);
        let is_delivered = |state: &serde_json::Value| {
            let value = read(state["secrets"][0]["value"].as_str()?)?;
            (json(self.stage.file("db.json"))? == value).then_some(())
        };
        let is_written = |accessor: &str| {
            read("state.json")
                .is_some_and(|state| state["token"]["accessor"] == accessor && is_delivered(&state).is_some())
        };
        running.until("state", || accessor().filter(|accessor| is_written(accessor)));
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
    let written = || {
        let names = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("state")).collect::<Vec<_>>()
    };
    assert_eq!(written().len(), 2, "{:?}", written());
    assert!(written().iter().all(|path| mode_of(path) == 0o600));
    let mut running = life.stage.case.with_files(&life.config).command("sidecar").start();
    let renewals = life.stage.count("update sys/leases/renew");
    running.until("renewals", || (life.stage.count("update sys/leases/renew") > renewals).then_some(()));
    assert_eq!((life.logins(), life.stage.issued()), (1, 1), "{}", running.stderr());
    assert_eq!(life.stage.file("db.json"), first);
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(life.stage.space.requests().last().unwrap(), "update auth/token/revoke-self");
    assert!(written().is_empty(), "{:?}", written());
}

#[test]
fn another_configuration_takes_nothing_up_and_revokes_what_was_only_when_that_is_replaced() {
    let life = Life::new();
    let first = life.killed(&life.config, 1);
    let accessor = life.stage.space.accessors()[0].clone();
    // A start with another configuration that fails leaves what the app uses, however often it is tried.
    let denied = life.config.replace("files: {", "files: { no: \"vault:secret/data/not-ours#k\",");
    for _ in 0..2 {
        let outcome = life.stage.case.with_files(&denied).command("sidecar").output();
        assert_eq!(outcome.code(), Some(77), "{outcome}");
        assert!(life.stage.credential_works() && life.stage.file("db.json") == first, "{outcome}");
        wait_for("the end of what it issued itself", || (life.stage.leases() == 1).then_some(()));
    }
    let changed = format!("{}refresh: 7m\n", life.config);
    let logins = life.logins();
    let second = life.killed(&changed, logins + 1);
    assert_ne!(first, second);
    assert!(life.stage.space.bao.token_lives(&accessor), "the app may not have read the new credential yet");
    let mut running = life.stage.case.with_files(&changed).command("sidecar").start();
    running.until("the end of what was replaced", || (!life.stage.space.bao.token_lives(&accessor)).then_some(()));
    assert!(life.stage.file("db.json") == second && life.stage.credential_works(), "{}", running.stderr());
    assert_eq!((life.logins(), life.stage.leases()), (logins + 1, 1));
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    life.stage.nothing_is_left();
}

#[test]
fn what_another_configuration_had_is_revoked_in_its_own_namespace() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let proxy = Proxy::before(space.bao.port);
    let teams = ["a", "b"].map(|team| format!("team-{team}-{}", space.id));
    let configs = teams.each_ref().map(|team| {
        let write = |path: &str, body| space.bao.write_in(team, path, body);
        space.bao.write(&format!("sys/namespaces/{team}"), json!({}));
        write("sys/mounts/kv", json!({ "type": "kv" }));
        write("kv/app", json!({ "k": team }));
        write("sys/policies/acl/p", json!({ "policy": "path \"kv/*\" { capabilities = [\"read\"] }" }));
        write("sys/auth/approle", json!({ "type": "approle" }));
        write("auth/approle/role/web", json!({ "token_policies": ["p"], "token_ttl": "10m" }));
        let role = space.bao.ask(team, "root", "GET", "auth/approle/role/web/role-id", &json!(null)).json;
        let id = write("auth/approle/role/web/secret-id", json!({}));
        let file = case.write(&format!("{team}.id"), id["data"]["secret_id"].as_str().unwrap());
        let (role, file) = (role["data"]["role_id"].as_str().unwrap().to_owned(), file.display());
        let auth = format!("{{ method: approle, roleId: {role}, secretIdFile: {file} }}");
        let address = proxy.address();
        format!(
            "vault: {{ address: \"{address}\", namespace: {team}, auth: {auth} }}\nfiles: {{ x: \"vault:kv/app#k\" }}\n"
        )
    });
    let mut running = case.with_files(&configs[0]).command("sidecar").start();
    running.until("readiness", || (readiness(&case, &configs[0]) == Some(0)).then_some(()));
    let state = fs::read_to_string(case.memory.join("state/state.json")).unwrap();
    let accessor = state.parse::<Value>().unwrap()["token"]["accessor"].clone();
    let lives = || {
        let about = json!({ "accessor": accessor });
        space.bao.ask(&teams[0], "root", "POST", "auth/token/lookup-accessor", &about).status == 200
    };
    assert!(lives());
    kill(running);
    let mut running = case.with_files(&configs[1]).command("sidecar").start();
    running.until("the end of what was replaced", || (!lives()).then_some(()));
    // OpenBao finds the token from another namespace, too; Vault denies that.
    let revocations = || -> Vec<String> {
        proxy.requests().into_iter().filter(|request| request.contains("/v1/auth/token/revoke-self")).collect()
    };
    assert!(revocations()[0].contains(&teams[0]), "no other namespace knows it");
    // A sidecar that is killed before it has written that the token is revoked revokes it again when it is back.
    let path = case.memory.join("state/state.json");
    let written = || fs::read_to_string(&path).unwrap().parse::<Value>().unwrap();
    running.until("a state without it", || written()["replaced"].as_array().is_none_or(Vec::is_empty).then_some(()));
    kill(running);
    // A state of an earlier version does not say which namespace it is: most likely the one that the configuration says now.
    let mut state = written();
    assert_eq!(state["token"].as_object_mut().unwrap().remove("namespace"), Some(json!(teams[1])));
    fs::write(&path, state.to_string()).unwrap();
    let before = revocations().len();
    let changed = format!("{}refresh: 7m\n", configs[1]);
    let mut running = case.with_files(&changed).command("sidecar").start();
    let revocation = running.until("its revocation", || revocations().get(before).cloned());
    assert!(revocation.contains(&teams[1]), "{revocation}");
    kill(running);
    // A token goes to no other server than the one it is of.
    let elsewhere = configs[1].replace(&proxy.address(), &space.bao.address());
    let mut running = case.with_files(&elsewhere).command("sidecar").start();
    running.until("readiness", || (readiness(&case, &elsewhere) == Some(0)).then_some(()));
    let said = running.stderr();
    assert!(said.contains("of another server") && said.contains("is not revoked, and ends by itself"), "{said}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
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

#[test]
fn a_kill_at_any_moment_leaves_a_whole_generation_and_a_token_that_is_used_again() {
    let life = Life::new();
    let mut lost = 0;
    for millis in (0..60).step_by(4) {
        let running = life.stage.case.with_files(&life.config).command("sidecar").start();
        std::thread::sleep(Duration::from_millis(millis));
        running.signal(libc::SIGKILL);
        running.end();
        lost += usize::from(!life.state().join("state.json").exists());
        let text = life.stage.file("db.json");
        assert!(text.is_empty() || serde_json::from_str::<serde_json::Value>(&text).is_ok(), "half a file: {text}");
    }
    let mut running = life.stage.case.with_files(&life.config).command("sidecar").start();
    let status = || life.stage.case.with_files(&life.config).command("status").arg("--ready").output();
    running.until("readiness", || (status().code() == Some(0)).then_some(()));
    wait_for("a credential that works", || life.stage.credential_works().then_some(()));
    assert!(life.logins() <= lost + 1, "{} logins, {lost} kills before the first was written down", life.logins());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

/// Several dynamic secrets behind a proxy.
struct Round {
    stage: Stage,
    login: Login,
    proxy: Proxy,
    config: String,
}

const ROUND: usize = 5;

impl Round {
    fn new() -> Self {
        let stage = Stage::new("1h", "24h");
        let database = &stage.database;
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        for number in 0..ROUND {
            let role =
                json!({ "db_name": "main", "default_ttl": "1h", "max_ttl": "24h", "creation_statements": [create] });
            stage.space.bao.write(&format!("{database}/roles/r{number}"), role);
        }
        let login = stage.space.approle(&stage.case, &[&format!("{database}/creds/*")]);
        let proxy = Proxy::before(stage.space.bao.port);
        let files: Vec<_> =
            (0..ROUND).map(|number| format!("f{number}: \"vault:{database}/creds/r{number}\"")).collect();
        let vault = stage.space.vault_at(&proxy.address(), &login);
        let config = format!("{vault}files: {{ {} }}\n", files.join(", "));
        Self { stage, login, proxy, config }
    }

    fn start(&self) -> Run {
        self.stage.case.with_files(&self.config).command("sidecar")
    }

    fn plan(&self, number: usize, plan: Plan) {
        self.proxy.on(&format!("/creds/r{number} "), plan);
    }

    /// The roles whose leases are written down.
    fn written(&self) -> BTreeSet<usize> {
        let text = fs::read_to_string(self.stage.case.memory.join("state/state.json")).unwrap_or_default();
        let state: Value = text.parse().unwrap_or_default();
        let secrets = state["secrets"].as_array().cloned().unwrap_or_default();
        secrets
            .iter()
            .map(|secret| secret["source"].as_str().unwrap()[..].rsplit_once('r').unwrap().1.parse().unwrap())
            .collect()
    }

    /// How often each was asked for at the proxy.
    fn asked(&self) -> Vec<usize> {
        (0..ROUND).map(|number| self.proxy.count(&format!("/creds/r{number} "))).collect()
    }

    /// How often each was issued.
    fn issued(&self) -> Vec<usize> {
        let requests = self.stage.space.requests();
        let of = |number| format!("read {}/creds/r{number}", self.stage.database);
        (0..ROUND).map(|number| requests.iter().filter(|said| **said == of(number)).count()).collect()
    }

    fn logins(&self) -> usize {
        self.stage.count(&format!("update {}", self.login.path))
    }

    fn has_token(&self) -> bool {
        self.stage.case.memory.join("state/state.json").exists()
    }
}

#[test]
fn each_answer_of_the_first_round_is_written_down_before_the_next_comes() {
    let round = Round::new();
    for answered in 0..ROUND {
        (0..ROUND).for_each(|number| round.plan(number, if number < answered { Plan::Forward } else { Plan::Hang }));
        let before = round.asked();
        let mut running = round.start().start();
        // Hung requests have reached the proxy, and not the server.
        running.until("answers", || {
            let is_hanging = round.asked().iter().zip(&before).skip(answered).all(|(asked, before)| asked > before);
            (is_hanging && round.written() == (0..answered).collect()).then_some(())
        });
        running.signal(libc::SIGKILL);
        assert_eq!(running.end().signal(), Some(libc::SIGKILL));
    }
    (0..ROUND).for_each(|number| round.plan(number, Plan::Forward));
    let mut running = round.start().start();
    running.until("delivery", || (!round.stage.file("f4").is_empty()).then_some(()));
    assert_eq!((round.logins(), round.issued()), (1, vec![1; ROUND]), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_kill_at_any_moment_of_the_first_round_costs_only_what_was_under_way() {
    let round = Round::new();
    for number in 0..ROUND {
        round.plan(number, Plan::Delay(Duration::from_millis(40 * number as u64)));
    }
    let (mut lost, mut lost_logins) = (vec![0; ROUND], 0);
    for millis in (10..250).step_by(20) {
        let (before, asked, logins) = (round.written(), round.asked(), round.logins());
        let running = round.start().start();
        std::thread::sleep(Duration::from_millis(millis));
        running.signal(libc::SIGKILL);
        running.end();
        let now = round.asked();
        for number in 0..ROUND {
            let times = now[number] - asked[number];
            assert!(!before.contains(&number) || times == 0, "r{number} was written down and asked for again");
            lost[number] += if round.written().contains(&number) { 0 } else { times };
        }
        lost_logins += usize::from(round.logins() > logins && !round.has_token());
    }
    let mut running = round.start().start();
    running.until("delivery", || (!round.stage.file("f4").is_empty()).then_some(()));
    for (number, issued) in round.issued().into_iter().enumerate() {
        assert!(issued <= 1 + lost[number], "r{number}: {issued} issued, {} under way at a kill", lost[number]);
    }
    assert!(round.logins() <= 1 + lost_logins, "{} logins, {lost_logins} lost", round.logins());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

/// Says whether it is ready.
fn readiness(case: &Case, config: &str) -> Option<i32> {
    case.with_files(config).command("status").arg("--ready").output().code()
}

fn kill(running: Running) {
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_restart_while_the_server_is_stopped_is_ready_with_what_was_delivered_and_fresh_after_it() {
    let (bao, key) = OpenBao::lasting();
    // It ends with the thread that started it, which is the test's.
    let bao: &'static OpenBao = Box::leak(Box::new(bao));
    let stage = Stage::on(bao, "10m", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "zero", "n": 1.50 })), ("b", json!({ "k": "zero" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let config = format!(
        "{}refresh: 1h\nfiles: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a\", b: \"vault:{kv}/data/b#k\" }}\n",
        stage.space.vault(&login),
        stage.creds()
    );
    let start = |config: &str| stage.case.with_files(config).args(&["--timeout", "5m"]).command("sidecar").start();
    let mut running = start(&config);
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    let before = ["db.json", "a", "b"].map(|name| stage.file(name));
    kill(running);
    bao.stop();
    for _ in 0..2 {
        let mut running = start(&config);
        running.until("readiness in an outage", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
        wait_for("a warning", || running.stderr().contains("does not answer").then_some(()));
        assert_eq!(["db.json", "a", "b"].map(|name| stage.file(name)), before);
        kill(running);
    }

    // Another configuration vouches for nothing of this.
    let other = format!("{config}onExpired: remove\n");
    let copy = stage.case.memory.join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(stage.case.memory.join("state")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            fs::copy(&entry, copy.join(entry.file_name().unwrap())).unwrap();
        }
    }
    let running = start(&other);
    wait_for("another try", || running.stderr().contains("trying again").then_some(()));
    assert_eq!(readiness(&stage.case, &other), Some(69), "{}", running.stderr());
    assert!(running.stderr().contains("of another configuration"), "{}", running.stderr());
    kill(running);

    for entry in fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&entry, stage.case.memory.join("state").join(entry.file_name().unwrap())).unwrap();
    }
    let mut running = start(&config);
    running.until("readiness in an outage", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    bao.start_again();
    bao.unseal(&key);
    bao.kv2_is_ready(&kv);
    bao.write(&format!("{kv}/data/b"), json!({ "data": { "k": "one" } }));
    running.signal(libc::SIGHUP);
    running.until("the change", || (stage.file("b") == "one").then_some(()));
    running.until("freshness", || (standing(&status(&stage.case), "/data/a").0 == "fresh").then_some(()));
    assert_eq!(stage.file("db.json"), before[0]);
    assert_eq!((stage.issued(), stage.logins(&login), stage.leases()), (1, 1, 1), "{}", running.stderr());
    assert!(stage.credential_works());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn a_server_that_accepts_and_never_answers_delays_a_restart_by_seconds() {
    let stage = Stage::new("10m", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "zero" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let proxy = Proxy::before(stage.space.bao.port);
    let vault = stage.space.vault_at(&proxy.address(), &login);
    let config = format!("{vault}files: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\" }}\n", stage.creds());
    let start = || stage.case.with_files(&config).command("sidecar").start();
    let mut running = start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    kill(running);
    proxy.always(Plan::Hang);
    let begun = std::time::Instant::now();
    let mut running = start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    wait_for("a warning", || running.stderr().contains("does not answer").then_some(()));
    running.signal(libc::SIGTERM);
    running.end();
}

#[test]
fn values_of_a_token_file_and_of_secrets_manager_are_taken_up_without_a_token() {
    let (stage, moto) = (Stage::new("10m", "1h"), Moto::shared());
    let kv = stage.space.kv2(&[("a", json!({ "k": "zero" }))]);
    let (login, _) = stage.space.token(&stage.case, &[&format!("{kv}/data/*")], json!({}));
    let name = format!("takeup-{}", unique());
    moto.create(&name, "{\"key\":\"one\"}");
    let (vault, aws) = (Proxy::before(stage.space.bao.port), Proxy::before(moto.port));
    let config = format!(
        "{}files: {{ a: \"vault:{kv}/data/a#k\", whole: \"aws-sm:{name}\", k: \"aws-sm:{name}#key\" }}\n",
        stage.space.vault_at(&vault.address(), &login)
    );
    let start = || moto.env_at(aws.port, stage.case.with_files(&config)).command("sidecar").start();
    let mut running = start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    kill(running);
    let state = fs::read_to_string(stage.case.memory.join("state/state.json")).unwrap();
    assert!(state.parse::<Value>().unwrap()["token"].is_null(), "a token that is not ours is written down");
    vault.always(Plan::Close);
    aws.always(Plan::Close);
    let mut running = start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    assert_eq!(["a", "whole", "k"].map(|name| stage.file(name)), ["zero", "{\"key\":\"one\"}", "one"]);
    let is_told = |text: &str| text.matches("does not answer").count() >= 2;
    wait_for("two warnings", || is_told(&running.stderr()).then_some(()));
    stage.space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "later" } }));
    moto.call("eu-west-1", "PutSecretValue", json!({ "SecretId": name, "SecretString": "{\"key\":\"two\"}" }));
    vault.always(Plan::Forward);
    aws.always(Plan::Forward);
    running.signal(libc::SIGHUP);
    running.until("the change", || (stage.file("a") == "later" && stage.file("k") == "two").then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    assert!(!stage.case.memory.join("state/state.json").exists());
}

#[test]
fn a_restart_that_fails_leaves_the_lease_that_the_app_uses() {
    let stage = Stage::new("10m", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "zero" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let proxy = Proxy::before(stage.space.bao.port);
    let vault = stage.space.vault_at(&proxy.address(), &login);
    let config = format!("{vault}files: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\" }}\n", stage.creds());
    // Long enough for a start on a busy machine, and the same each time: another one is another configuration.
    let run = || stage.case.with_files(&config).args(&["--timeout", "10s"]).command("sidecar");
    let mut running = run().start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    kill(running);
    // Its value is gone, and cannot be read.
    let state: Value = fs::read_to_string(stage.case.memory.join("state/state.json")).unwrap().parse().unwrap();
    let secrets = state["secrets"].as_array().unwrap();
    let plain = secrets.iter().find(|secret| secret["lease"].is_null()).unwrap();
    fs::remove_file(stage.case.memory.join("state").join(plain["value"].as_str().unwrap())).unwrap();
    proxy.on("/data/a ", Plan::Answer(500, String::new(), "{\"errors\":[\"internal error\"]}".into()));
    let outcome = run().output();
    assert_eq!(outcome.code(), Some(69), "{outcome}");
    assert!(stage.credential_works(), "{outcome}");
    proxy.on("/data/a ", Plan::Forward);
    let mut running = run().start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    assert_eq!((stage.issued(), stage.logins(&login), stage.leases()), (1, 1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    stage.nothing_is_left();
}

/// A lease of four seconds and a KV secret, behind a proxy; killed, and started again after the lease has ended.
fn restarted_after_an_end(token_ttl: &str, more: &str, fault: impl FnOnce(&Proxy)) -> (Stage, Login, Proxy, String) {
    let stage = Stage::new("4s", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "zero" }))]);
    let paths = [&*stage.creds(), &*format!("{kv}/data/*")];
    let login = stage.space.approle_with(&stage.case, &paths, json!({ "token_ttl": token_ttl }));
    let proxy = Proxy::before(stage.space.bao.port);
    let vault = stage.space.vault_at(&proxy.address(), &login);
    let config = format!(
        "{vault}{more}refresh: 1s\nfiles: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\" }}\n",
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    kill(running);
    fault(&proxy);
    wait_for("the end of the lease", || (stage.leases() == 0).then_some(()));
    if token_ttl != "1h" {
        let accessor = stage.space.accessors()[0].clone();
        wait_for("the end of the token", || (!stage.space.bao.token_lives(&accessor)).then_some(()));
    }
    (stage, login, proxy, config)
}

#[test]
fn a_restart_after_the_end_of_lease_and_token_in_an_outage_keeps_what_was_delivered_and_says_so() {
    let (stage, login, proxy, config) = restarted_after_an_end("6s", "", |proxy| proxy.always(Plan::Close));
    let before = ["db.json", "a"].map(|name| stage.file(name));
    // What is on the volume is of the earlier run; the next one writes it anew.
    fs::remove_dir_all(stage.case.volume()).unwrap();
    for _ in 0..2 {
        let mut running = stage.case.with_files(&config).command("sidecar").start();
        running.until("delivery", || (["db.json", "a"].map(|name| stage.file(name)) == before).then_some(()));
        wait_for("word of it", || running.stderr().contains("has ended and stays as it was").then_some(()));
        running.until("expiry", || (standing_of(&stage, "/creds/brief") == "expired").then_some(()));
        running.until("staleness", || (standing_of(&stage, "/data/a") == "stale").then_some(()));
        assert_eq!(readiness(&stage.case, &config), Some(69), "what has ended is not ready");
        kill(running);
    }
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("delivery", || (stage.file("db.json") == before[0]).then_some(()));
    proxy.always(Plan::Forward);
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    assert!(stage.credential_works(), "{}", running.stderr());
    assert_eq!((stage.issued(), stage.logins(&login)), (2, 2), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

/// A template names a second credential by a value; in the outage nobody asks for it, and it stays as the first one does.
#[test]
fn a_restart_after_an_end_in_an_outage_keeps_what_a_template_computes() {
    let stage = Stage::new("4s", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "role": "other" }))]);
    let creds = stage.creds();
    let database = creds.strip_suffix("/creds/brief").unwrap();
    let role = stage.space.bao.read(&format!("{database}/roles/brief"))["data"].clone();
    stage.space.bao.write(&format!("{database}/roles/other"), role);
    let login = stage.space.approle(&stage.case, &[&format!("{database}/creds/*"), &format!("{kv}/data/*")]);
    let proxy = Proxy::before(stage.space.bao.port);
    let template = format!(
        "{{{{ with secret \\\"{kv}/data/a\\\" }}}}{{{{ with secret (print \\\"{database}/creds/\\\" .Data.data.role) }}}}{{{{ .Data.username }}}}{{{{ end }}}}{{{{ end }}}}"
    );
    let config = format!(
        "{}templateLanguage: go\nrefresh: 1s\nfiles: {{ db.json: \"vault:{creds}\", user: {{ template: \"{template}\" }} }}\n",
        stage.space.vault_at(&proxy.address(), &login)
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    let before = stage.file("user");
    kill(running);
    proxy.always(Plan::Close);
    wait_for("the end of the leases", || {
        (stage.space.leases(database, "other") == 0 && stage.leases() == 0).then_some(())
    });
    fs::remove_dir_all(stage.case.volume()).unwrap();
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("delivery", || (stage.file("user") == before).then_some(()));
    kill(running);
}

#[test]
fn a_restart_while_one_database_fails_goes_on_with_everything_else() {
    let creds_fail = |proxy: &Proxy| proxy.on("/creds/brief", Plan::Answer(500, String::new(), "{}".into()));
    let (stage, login, proxy, config) = restarted_after_an_end("1h", "", creds_fail);
    let before = stage.file("db.json");
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    wait_for("word of it", || running.stderr().contains("has ended and stays as it was").then_some(()));
    let path = stage.space.requests().iter().find_map(|said| said.strip_prefix("read kv-").map(str::to_owned));
    stage.space.bao.write(&format!("kv-{}", path.unwrap()), json!({ "data": { "k": "one" } }));
    running.until("a change beside it", || (stage.file("a") == "one").then_some(()));
    assert_eq!(stage.file("db.json"), before);
    proxy.on_nothing();
    running.until("readiness", || (readiness(&stage.case, &config) == Some(0)).then_some(()));
    assert!(stage.credential_works(), "{}", running.stderr());
    assert_eq!((stage.issued(), stage.logins(&login)), (2, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn a_restart_after_an_end_in_an_outage_brings_nothing_back_that_is_removed_when_it_expires() {
    let (stage, _, _, config) = restarted_after_an_end("1h", "onExpired: remove\n", |proxy| proxy.always(Plan::Close));
    let outcome = stage.case.with_files(&config).command("sidecar").start();
    wait_for("another try", || outcome.stderr().contains("trying again").then_some(()));
    assert!(!outcome.stderr().contains("stays as it was"), "{}", outcome.stderr());
    kill(outcome);
}

/// How a secret stands.
fn standing_of(stage: &Stage, reference: &str) -> String {
    standing(&status(&stage.case), reference).0
}

#[test]
fn a_second_sidecar_on_the_same_volume_is_refused_and_ends_nothing_of_the_first() {
    let stage = Stage::new("1h", "24h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let vault = stage.space.vault(&login);
    let first = stage.delivering(&vault);
    let read = stage.file("db.json");
    let config = format!("{vault}files: {{ db.json: \"vault:{}\" }}\n", stage.creds());
    let run = || stage.case.with_files(&config).arg("--state").arg(stage.case.memory.join("other"));
    for refused in [run().command("sidecar"), run().arg("--leave-leases").command("init")] {
        let begun = Instant::now();
        let outcome = refused.output();
        assert!(begun.elapsed() >= Duration::from_secs(5), "it did not wait: {outcome}");
        outcome.refused(73, &["another secret-exec keeps the files below", "--volume"]);
    }
    assert_eq!((stage.file("db.json"), stage.issued(), stage.logins(&login)), (read, 1, 1));
    assert!(stage.credential_works());
    // One that was killed makes room at once, and one that ends while it is waited for does too.
    first.signal(libc::SIGKILL);
    assert_eq!(first.end().signal(), Some(libc::SIGKILL));
    let second = stage.case.with_files(&config).command("sidecar").start();
    wait_for("status", || stage.case.run().command("status").output().code().filter(|code| *code == 0));
    let mut third = run().command("sidecar").start();
    third.reports("another secret-exec writes below");
    second.signal(libc::SIGTERM);
    assert_eq!(second.end().code(), Some(0));
    third.until("credential", || (stage.logins(&login) == 2 && stage.credential_works()).then_some(()));
    third.signal(libc::SIGTERM);
    assert_eq!(third.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn a_second_sidecar_that_is_refused_changes_no_link_and_waits_no_longer_than_it_may() {
    let stage = Stage::new("1h", "24h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let vault = stage.space.vault(&login);
    let links = stage.case.memory.join("links");
    let run = |name: &str| {
        let config = format!("{vault}files: {{ 0/{name}: \"vault:{}\" }}\n", stage.creds());
        let run = stage.case.with_files(&config).arg("--set").arg(format!("volume.links={}", links.display()));
        run.command("sidecar").arg("--state").arg(stage.case.memory.join(format!("state-of-{name}")))
    };
    let first = run("first.json").start();
    wait_for("delivery", || std::fs::read(links.join("0/first.json")).ok());
    let begun = Instant::now();
    let refused = run("second.json").arg("--timeout").arg("1s").output();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    refused.refused(73, &["another secret-exec keeps the files below"]);
    assert!(std::fs::read(links.join("0/first.json")).is_ok(), "the link of the first one");
    assert!(std::fs::symlink_metadata(links.join("0/second.json")).is_err());
    let mut third = run("second.json").start();
    third.reports("another secret-exec writes below");
    third.signal(libc::SIGTERM);
    assert_eq!(third.end().code(), Some(128 + libc::SIGTERM));
    first.signal(libc::SIGTERM);
    assert_eq!(first.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn an_init_that_waits_for_a_backend_keeps_no_sidecar_away() {
    let stage = Stage::new("1h", "24h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let vault = stage.space.vault(&login);
    // A sidecar that was killed leaves the file of the lock behind.
    kill(stage.delivering(&vault));
    let config = format!("{vault}files: {{ other: \"vault:secret/data/x#y\" }}\n");
    let init = stage.case.with_files(&config).command("init").arg("--set").arg("vault.address=http://127.0.0.1:1");
    let mut init = init.arg("--state").arg(stage.case.memory.join("other")).start();
    init.reports("trying again");
    let sidecar = stage.delivering(&vault);
    wait_for("status", || stage.case.run().command("status").output().code().filter(|code| *code == 0));
    assert!(!sidecar.stderr().contains("another secret-exec"), "{}", sidecar.stderr());
    init.signal(libc::SIGTERM);
    init.end();
    sidecar.signal(libc::SIGTERM);
    assert_eq!(sidecar.end().code(), Some(0));
    stage.nothing_is_left();
}
