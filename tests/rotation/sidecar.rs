//! The sidecar on a good day.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Stage, generation};
use support::*;

#[test]
fn a_lease_is_renewed_and_revoked_at_the_end() {
    let stage = Stage::new("6s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let mut running = stage.case.with_files(&config).command("sidecar").args(&["--log-format", "json"]).start();
    running.until("second renewal", || (stage.count("update sys/leases/renew") >= 2).then_some(()));
    assert_eq!((stage.issued(), stage.count(&format!("update {}", login.path))), (1, 1));
    assert!(stage.credential_works());
    let credential: serde_json::Value = stage.file("db.json").parse().unwrap();
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(stage.space.requests().last().unwrap(), "update auth/token/revoke-self");
    wait_for("the lease to end", || (stage.space.leases(&stage.database, "brief") == 0).then_some(()));
    assert!(outcome.err().contains("renewed the lease of vault:"), "{outcome}");
    assert!(stage.is_let_in(&credential).is_err(), "a revoked credential works");
    // The audit trail: each event with what finds it in the server's log.
    let lines: Vec<serde_json::Value> =
        outcome.err().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of =
        |event: &str| lines.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("{event}: {outcome}"));
    assert!(of("login")["accessor"].is_string() && of("renew")["ttl"].is_number(), "{outcome}");
    of("revoke");
    assert!(
        outcome.err().contains(&format!("(generation {})", of("deliver")["generation"].as_str().unwrap())),
        "{outcome}"
    );
    let renewed = lines.iter().find(|line| line["event"] == "renew" && line["lease"].is_string()).unwrap();
    assert_eq!(renewed["reference"], format!("vault:{}", stage.creds()), "{outcome}");
}

#[test]
fn a_login_with_another_password_than_the_delivered_one_is_refused() {
    let stage = Stage::new("1h", "24h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let running = stage.delivering(&stage.space.vault(&login));
    let mut credential: serde_json::Value = stage.file("db.json").parse().unwrap();
    assert_eq!(stage.is_let_in(&credential), Ok(()));
    credential["password"] = json!(format!("{}x", credential["password"].as_str().unwrap()));
    let refused = stage.is_let_in(&credential).unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn at_max_ttl_a_new_credential_is_there_before_the_old_one_dies() {
    let stage = Stage::new("6s", "9s");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!(
        "{}secrets: {{ db: \"vault:{}\" }}\n\
         files: {{ db.json: db, line: {{ template: \"{{{{ secret('db').username }}}}:{{{{ secret('db').password }}}}\" }} }}\n",
        stage.space.vault(&login),
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let first = running.until("credential", || Some(stage.file("line")).filter(|line| !line.is_empty()));
    let started = Instant::now();
    let mut last = first.clone();
    let mut changes = 0;
    while started.elapsed() < Duration::from_secs(15) {
        let line = stage.file("line");
        changes += usize::from(line != last);
        last = line;
        assert!(stage.credential_works(), "a dead credential is delivered\n{}", running.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!((1..=2).contains(&changes), "{changes} changes\n{}", running.stderr());
    assert!(stage.issued() <= 3, "{} issued\n{}", stage.issued(), running.stderr());
    let credential: serde_json::Value = serde_json::from_str(&stage.file("db.json")).unwrap();
    let pair = format!("{}:{}", credential["username"].as_str().unwrap(), credential["password"].as_str().unwrap());
    assert_eq!(pair, stage.file("line"));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_new_token_takes_over_before_the_old_one_ends() {
    let stage = Stage::new("1h", "24h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "value" }))]);
    let paths = [stage.creds(), format!("{kv}/data/a")];
    let settings = json!({ "token_ttl": "20s", "token_max_ttl": "20s" });
    let login = stage.space.approle_with(&stage.case, &[&paths[0], &paths[1]], settings);
    let config = format!(
        "{}files: {{ db.json: \"vault:{}\", k: \"vault:{}#k\" }}\n",
        stage.space.vault(&login),
        paths[0],
        paths[1]
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("credential", || Some(()).filter(|()| !stage.file("db.json").is_empty()));
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(22) {
        assert!(stage.credential_works(), "a dead credential is delivered\n{}", running.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    let logins = stage.count(&format!("update {}", login.path));
    assert_eq!(logins, 2, "{}", running.stderr());
    assert_eq!(stage.issued(), logins, "{}", running.stderr());
    assert_eq!(stage.count(&format!("read {kv}/data/a")), 1, "what has no lease is not read again for a login");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    for accessor in stage.space.accessors() {
        assert!(!stage.space.bao.token_lives(&accessor));
    }
}

#[test]
fn a_change_is_delivered_within_its_interval_and_nothing_else_is() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one", "j": "x" })), ("b", json!({ "k": "other" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!(
        "{}refresh: 1s\nfiles: {{ a: \"vault:{kv}/data/a#k\", b: \"vault:{kv}/data/b#k\", \
         both: {{ template: \"{{{{ secret('vault:{kv}/data/a#k') }}}}+{{{{ secret('vault:{kv}/data/b#k') }}}}\" }} }}\n",
        space.vault(&login)
    );
    let mut running = case.with_files(&config).command("sidecar").start();
    let read = |name: &str| crate::delivered(&case.volume(), name);
    running.until("first delivery", || (read("both") == "one+other").then_some(()));
    let first = generation(&case.volume());
    let reads = || space.requests().iter().filter(|said| **said == format!("read {kv}/data/a")).count();
    running.until("third read", || (reads() >= 3).then_some(()));
    assert_eq!(generation(&case.volume()), first, "an unchanged value wrote something");
    // A new version whose used key is the same changes no file.
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "one", "j": "y" } }));
    let before = reads();
    running.until("two more reads", || (reads() >= before + 2).then_some(()));
    assert_eq!(generation(&case.volume()), first, "the same bytes were written again");

    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "two", "j": "y" } }));
    let before = reads();
    running.until("new value", || (read("a") == "two").then_some(()));
    // One that was under way, the one that brings it, and one while it is delivered.
    assert!(reads() <= before + 3, "{} reads", reads() - before);
    assert_eq!((read("b"), read("both")), ("other".to_owned(), "two+other".to_owned()));
    running.signal(libc::SIGHUP);
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_hangup_reads_again_at_once() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}refresh: 1h\nfiles: {{ a: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
    let mut running = case.with_files(&config).command("sidecar").start();
    let read = || crate::delivered(&case.volume(), "a");
    running.until("first delivery", || (read() == "one").then_some(()));
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "two" } }));
    running.signal(libc::SIGHUP);
    running.until("new value", || (read() == "two").then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn revoke_delay_keeps_renewing_until_it_is_over() {
    let stage = Stage::new("4s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config =
        format!("{}revokeDelay: 15s\nfiles: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("credential", || Some(()).filter(|()| !stage.file("db.json").is_empty()));
    running.signal(libc::SIGTERM);
    let asked = Instant::now();
    running.until("renewal", || (stage.count("update sys/leases/renew") >= 2).then_some(()));
    assert!(stage.credential_works());
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(asked.elapsed() >= Duration::from_secs(15));
    assert_eq!(stage.space.requests().last().unwrap(), "update auth/token/revoke-self");
}
