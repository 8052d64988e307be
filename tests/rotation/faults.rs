//! The sidecar on bad days: nothing is lost, nothing is asked for without need, nobody is disturbed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Stage, generation, standing, status, stays};
use support::*;

#[test]
fn an_outage_costs_few_requests_and_no_credential() {
    let stage = Stage::new("8s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let mut running = stage.delivering(&stage.space.vault_at(&proxy.address(), &login));
    let first = stage.file("db.json");
    for plan in [Plan::Answer(503, String::new(), "{}".into()), Plan::Close, Plan::Cut(10)] {
        let before = proxy.requests().len();
        proxy.always(plan.clone());
        std::thread::sleep(Duration::from_secs(4));
        assert!(proxy.requests().len() - before <= 20, "{plan:?}: {} requests", proxy.requests().len() - before);
        proxy.always(Plan::Forward);
        let renewals = stage.count("update sys/leases/renew");
        running.until("renewal after it", || (stage.count("update sys/leases/renew") > renewals).then_some(()));
    }
    assert_eq!(stage.file("db.json"), first);
    assert_eq!((stage.issued(), stage.count(&format!("update {}", login.path))), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_dead_token_costs_one_login_and_one_issue() {
    let stage = Stage::new("6s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let first = running.until("credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    let accessor = stage.space.accessors()[0].clone();
    stage.space.bao.write("auth/token/revoke-accessor", json!({ "accessor": accessor }));
    running.until("new credential", || Some(()).filter(|()| stage.file("db.json") != first));
    assert!(stage.credential_works());
    assert!(stays(Duration::from_secs(5), || stage.issued() == 2));
    assert_eq!(stage.count(&format!("update {}", login.path)), 2, "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_lease_revoked_by_an_operator_is_issued_once_more() {
    let stage = Stage::new("4s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let first = running.until("credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    stage.space.bao.revoke_all(&stage.creds());
    running.until("new credential", || Some(()).filter(|()| stage.file("db.json") != first));
    assert!(stays(Duration::from_secs(5), || stage.issued() == 2 && stage.credential_works()));
    assert_eq!(stage.count(&format!("update {}", login.path)), 1, "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

/// What OpenBao answers to a renewal while the database does not: a 400, and the lease lives on.
#[test]
fn a_renewal_that_fails_with_the_database_costs_no_credential() {
    let stage = Stage::new("20s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let vault = stage.space.vault_at(&proxy.address(), &login);
    let config = format!("{vault}files: {{ db.json: \"vault:{}\" }}\n", stage.creds());
    let away = r#"{"errors":["failed to renew entry: resp: (*logical.Response)(nil) err: failed to connect to x"]}"#;
    let renewals = "/v1/sys/leases/renew";
    proxy.on(renewals, Plan::Answer(400, String::new(), away.to_owned()));
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let first = running.until("credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    running.until("three tries", || (proxy.count(renewals) >= 3).then_some(()));
    proxy.on_nothing();
    running.until("renewal after it", || (stage.count("update sys/leases/renew") > 0).then_some(()));
    assert_eq!((stage.file("db.json"), stage.issued()), (first, 1), "{}", running.stderr());
    assert!(running.stderr().contains("is what is behind it, such as a database, up?"), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

/// The one policy of that corner.
fn policy(space: &Space) -> String {
    let is_its = |name: &String| name.starts_with(&format!("policy-{}-", space.id));
    space.bao.list("sys/policies/acl").into_iter().find(is_its).unwrap()
}

#[test]
fn one_denied_of_five_disturbs_nobody() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let names = ["a", "b", "c", "d", "e"];
    let kv = space.kv2(&names.map(|name| (name, json!({ "k": "one" }))));
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let files: Vec<_> = names.iter().map(|name| format!("{name}: \"vault:{kv}/data/{name}#k\"")).collect();
    let config = format!("{}refresh: 1s\nfiles: {{ {} }}\n", space.vault(&login), files.join(", "));
    let mut running = case.with_files(&config).command("sidecar").start();
    let read = |name: &str| crate::delivered(&case.volume(), name);
    running.until("first delivery", || (read("e") == "one").then_some(()));
    let policy = policy(&space);
    let rules = format!(
        "path \"{kv}/data/*\" {{ capabilities = [\"read\"] }}\npath \"{kv}/data/c\" {{ capabilities = [\"deny\"] }}\n"
    );
    space.bao.write(&format!("sys/policies/acl/{policy}"), json!({ "policy": rules }));
    for name in names {
        space.bao.write(&format!("{kv}/data/{name}"), json!({ "data": { "k": "two" } }));
    }
    running.until("the four others", || ["a", "b", "d", "e"].iter().all(|name| read(name) == "two").then_some(()));
    assert_eq!(read("c"), "one");
    let asked = || space.requests().iter().filter(|said| **said == format!("read {kv}/data/c")).count();
    let before = asked();
    assert!(stays(Duration::from_secs(4), || asked() <= before + 1), "a denied secret is retried in a loop");
    assert_eq!(space.requests().iter().filter(|said| **said == format!("update {}", login.path)).count(), 1);
    assert!(running.stderr().contains(&format!("cannot read vault:{kv}/data/c#k")), "{}", running.stderr());
    let told = status(&case);
    assert_eq!(standing(&told, "/data/c"), ("stale".into(), "denied".into()));
    for name in ["/data/a", "/data/b", "/data/d", "/data/e"] {
        assert_eq!(standing(&told, name), ("fresh".into(), String::new()), "{told}");
    }
    let next = told["secrets"].as_array().unwrap().iter().find(|secret| !secret["lastError"].is_null()).unwrap();
    assert_eq!(next["reference"], json!(format!("vault:{kv}/data/c")));
    // Given back, it is fresh again: slowly by itself, at once where somebody asks.
    let rules = format!("path \"{kv}/data/*\" {{ capabilities = [\"read\"] }}\n");
    space.bao.write(&format!("sys/policies/acl/{policy}"), json!({ "policy": rules }));
    let outcome = case.with_files(&config).command("refresh").output();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    running.until("what was denied", || (read("c") == "two").then_some(()));
    wait_for("its good name", || (standing(&status(&case), "/data/c").0 == "fresh").then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

/// The audit trail has a line for each operation that is denied, not for the first alone.
#[test]
fn a_login_that_is_denied_after_the_renewal_was_is_said_too() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = space.approle_with(&case, &[&format!("{kv}/data/*")], json!({ "token_ttl": "6s" }));
    let proxy = Proxy::before(space.bao.port);
    let config = format!("{}files: {{ a: \"vault:{kv}/data/a#k\" }}\n", space.vault_at(&proxy.address(), &login));
    let mut running = case.with_files(&config).command("sidecar").args(&["--log-format", "json"]).start();
    running.until("first delivery", || (crate::delivered(&case.volume(), "a") == "one").then_some(()));
    let denied = r#"{"errors":["permission denied"]}"#;
    proxy.on("/v1/", Plan::Answer(403, String::new(), denied.to_owned()));
    let said = |what: &str| {
        let stderr = running.stderr();
        let lines = stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|line| line["event"] == "deny" && line["message"].as_str().unwrap().contains(what)).count()
    };
    wait_for("the renewal that is denied", || (said("cannot renew our token") == 1).then_some(()));
    wait_for("the login that is denied", || (said("cannot log in") == 1).then_some(()));
    proxy.on_nothing();
    wait_for("another login", || (running.stderr().matches("\"event\":\"login\"").count() == 2).then_some(()));
    assert_eq!((said("cannot renew our token"), said("cannot log in")), (1, 1), "once each: {}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn renewals_that_a_policy_refuses_cost_one_credential_a_life() {
    let stage = Stage::new("8s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let policy = policy(&stage.space);
    let rules = format!(
        "path \"{}\" {{ capabilities = [\"read\"] }}\npath \"sys/leases/renew\" {{ capabilities = [\"deny\"] }}\n",
        stage.creds()
    );
    stage.space.bao.write(&format!("sys/policies/acl/{policy}"), json!({ "policy": rules }));
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("credential", || (!stage.file("db.json").is_empty()).then_some(()));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        assert!(stage.credential_works(), "a dead credential is delivered\n{}", running.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    // A life of 8 s less the window of 2, the first, and the one after the first refusal.
    let (lives, renewals) = (start.elapsed().as_secs().div_ceil(6) as usize, stage.count("update sys/leases/renew"));
    assert!(stage.issued() <= lives + 2, "{} issued\n{}", stage.issued(), running.stderr());
    assert!(renewals <= 2 * (lives + 2), "{renewals} renewals");
    assert_eq!(stage.logins(&login), 1, "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn a_volume_that_is_full_and_full_again_is_waited_for_without_a_request() {
    needs_root!();
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "x".repeat(30_000) }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let place = case.dir.join("mount");
    std::fs::create_dir(&place).unwrap();
    own(&place, APP);
    let config = format!(
        "{}volume: {{ path: {}/files }}\nrefresh: 1h\nfiles: {{ a: \"vault:{kv}/data/a#k\" }}\n",
        space.vault(&login),
        place.display()
    );
    let mut running =
        case.with_config(&config).command("sidecar").tmpfs(&place, &format!("size=100k,mode=755,uid={APP}")).start();
    // The mount is in the namespace of the program.
    let inside = std::path::PathBuf::from(format!("/proc/{}/root{}", running.pid(), place.display()));
    let read = || crate::delivered(&inside.join("files"), "a");
    let asked = || space.requests().iter().filter(|said| **said == format!("read {kv}/data/a")).count();
    let pid = nix::unistd::Pid::from_raw(running.pid());
    running.until("first delivery", || (read().len() == 30_000).then_some(()));
    for (turn, letter) in ["y", "z"].into_iter().enumerate() {
        let (first, value) = (generation(&inside.join("files")), letter.repeat(30_000));
        // A retired generation would make room when it goes.
        let is_generation = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("..2");
        let generations = || {
            let names = std::fs::read_dir(inside.join("files")).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| is_generation(name)).count()
        };
        running.until("the end of the retired generation", || (generations() == 1).then_some(()));
        // As much as there is room for.
        let mut filler = std::fs::File::create(inside.join("filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
        space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": value } }));
        // The one read that somebody asked for; more often than every 10 s nobody is listened to.
        running.until("the read", || {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
            std::thread::sleep(Duration::from_millis(250));
            (asked() == 2 + turn).then_some(())
        });
        let told = || running.stderr().matches("cannot deliver").count();
        wait_for("word of it", || (told() > turn).then_some(()));
        assert!(stays(Duration::from_secs(4), || asked() == 2 + turn), "a full volume caused a request");
        assert_eq!(generation(&inside.join("files")), first, "{}", running.stderr());
        assert_eq!(told(), turn + 1, "one line");
        let told = status(&case);
        assert_eq!(standing(&told, "/data/a"), ("stale".into(), "local".into()), "{told}");
        drop(filler);
        std::fs::remove_file(inside.join("filler")).unwrap();
        running.until("delivery when there is room", || (read() == value).then_some(()));
        assert_eq!(asked(), 2 + turn);
        wait_for("its good name", || (standing(&status(&case), "/data/a").0 == "fresh").then_some(()));
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_state_directory_that_is_full_costs_one_line() {
    needs_root!();
    let stage = Stage::new("6s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let state = stage.case.memory.join("state");
    std::fs::create_dir(&state).unwrap();
    own(&state, APP);
    let run = stage.case.with_files(&config).command("sidecar");
    let mut running = run.tmpfs(&state, &format!("size=4k,mode=700,uid={APP},gid={APP}")).start();
    running.until("renewals", || (stage.count("update sys/leases/renew") >= 2).then_some(()));
    assert_eq!(running.stderr().matches("cannot write our state").count(), 1, "{}", running.stderr());
    assert_eq!((stage.issued(), stage.logins(&login)), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn values_without_a_lease_leave_the_state_directory_to_leases() {
    needs_root!();
    let stage = Stage::new("6s", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "x".repeat(24 << 10) })), ("b", json!({ "k": "small" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let config = format!(
        "{}files: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\", b: \"vault:{kv}/data/b#k\" }}\n",
        stage.space.vault(&login),
        stage.creds()
    );
    let state = stage.case.memory.join("state");
    std::fs::create_dir(&state).unwrap();
    own(&state, APP);
    let run = stage.case.with_files(&config).command("sidecar");
    let mut running = run.tmpfs(&state, &format!("size=28k,mode=700,uid={APP},gid={APP}")).start();
    running.until("renewals", || (stage.count("update sys/leases/renew") >= 2).then_some(()));
    // Its mount is its own.
    let seen = format!("/proc/{}/root{}/state.json", running.pid(), state.display());
    let written: serde_json::Value = std::fs::read_to_string(seen).unwrap().parse().unwrap();
    let sources: Vec<&str> =
        written["secrets"].as_array().unwrap().iter().map(|secret| secret["source"].as_str().unwrap()).collect();
    assert!(sources.iter().any(|source| source.ends_with("/creds/brief")), "{sources:?}");
    assert!(sources.iter().any(|source| source.ends_with("/data/b")), "what has room is kept: {sources:?}");
    assert!(!sources.iter().any(|source| source.ends_with("/data/a")), "{sources:?}");
    assert_eq!(running.stderr().matches("no room for every value").count(), 1, "{}", running.stderr());
    assert!(!running.stderr().contains("cannot write our state"), "{}", running.stderr());
    assert_eq!((stage.issued(), stage.logins(&login)), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}
