//! Everything that ends in its own way: batch tokens, token files, static roles, certificates, lives of a few seconds.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{Stage, delivered, generation};
use support::*;

/// How often the server was asked for this path, whoever asked (batch tokens have no accessor to know them by).
fn asked(operation: &str, path: &str) -> usize {
    let audit = OpenBao::shared().audit();
    audit.iter().filter(|line| line.kind == "request" && line.operation == operation && line.path == path).count()
}

#[test]
fn credentials_under_batch_tokens_are_replaced_with_them_and_ended_one_by_one() {
    let stage = Stage::new("1h", "24h");
    let settings = json!({ "token_type": "batch", "token_ttl": "14s" });
    let login = stage.space.approle_with(&stage.case, &[&stage.creds(), "sys/leases/revoke"], settings);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let first = running.until("credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    running.until("the next one", || {
        assert!(stage.credential_works(), "a dead credential is delivered");
        (stage.file("db.json") != first).then_some(())
    });
    assert_eq!((asked("update", &login.path), asked("read", &stage.creds())), (2, 2), "{}", running.stderr());
    let revoked = asked("update", "sys/leases/revoke");
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(asked("update", "sys/leases/revoke") > revoked, "the lease was left to its end\n{outcome}");
    assert!(outcome.err().contains("batch token"), "{outcome}");
}

#[test]
fn a_token_file_with_another_token_is_a_new_login_and_the_old_leases_are_ended() {
    let stage = Stage::new("1h", "24h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "value" }))]);
    let paths = [stage.creds(), format!("{kv}/data/a"), "sys/leases/revoke".to_owned()];
    let paths = [&*paths[0], &*paths[1], &*paths[2]];
    let (login, one) = stage.space.token(&stage.case, &paths, json!({ "ttl": "1h" }));
    let config = format!(
        "{}refresh: 2s\nfiles: {{ db.json: \"vault:{}\", k: \"vault:{kv}/data/a#k\" }}\n",
        stage.space.vault(&login),
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let first = running.until("credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    let (_, two) = stage.space.token(&stage.case, &paths, json!({ "ttl": "1h" }));
    let second = running.until("credential of the new token", || {
        Some(stage.file("db.json")).filter(|text| !text.is_empty() && *text != first)
    });
    assert!(stage.credential_works());
    running.until("the end of the old lease", || (stage.space.leases(&stage.database, "brief") == 1).then_some(()));
    assert!(stage.is_let_in(&first.parse().unwrap()).is_err(), "the old credential works on");
    assert_eq!((stage.file("db.json"), stage.issued()), (second.clone(), 2), "{}", running.stderr());

    // Its owner ends the second token, and only then puts a third one there.
    stage.space.bao.write("auth/token/revoke-accessor", json!({ "accessor": two }));
    wait_for("the end of the token", || (!stage.space.bao.token_lives(&two)).then_some(()));
    stage.space.token(&stage.case, &paths, json!({ "ttl": "1h" }));
    running.until("credential of the third token", || (stage.file("db.json") != second).then_some(()));
    assert!(stage.credential_works());
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    wait_for("the end of all leases", || (stage.space.leases(&stage.database, "brief") == 0).then_some(()));
    assert!(stage.space.bao.token_lives(&one), "a token that is not ours was revoked");
}

#[test]
fn a_static_role_is_read_again_when_its_password_has_changed() {
    let stage = Stage::new("1h", "24h");
    let user = format!("quick_{}", stage.space.id);
    Postgres::shared().sql(&format!("CREATE ROLE {user} LOGIN PASSWORD 'first'"));
    let role = json!({ "db_name": "main", "username": user, "rotation_period": "6s" });
    stage.space.bao.write(&format!("{}/static-roles/quick", stage.database), role);
    let path = format!("{}/static-creds/quick", stage.database);
    let login = stage.space.approle(&stage.case, &[&path]);
    let config = format!("{}files: {{ db.json: \"vault:{path}\" }}\n", stage.space.vault(&login));
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let password = || stage.file("db.json").parse::<Value>().map(|value| value["password"].clone()).unwrap_or_default();
    running.until("password", || (!password().is_null()).then_some(()));
    let started = Instant::now();
    for _ in 0..3 {
        let before = password();
        running.until("next password", || (password() != before).then_some(()));
        assert!(stage.credential_works(), "{}", running.stderr());
    }
    // The server turns passwords over when it next looks at its queue, a few seconds late; 5 minutes is the interval.
    let reads = asked("read", &path);
    assert!(reads as u64 <= 10 + started.elapsed().as_secs(), "{reads} reads");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_certificate_is_issued_again_before_its_own_end_and_never_because_of_a_refresh() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let pki = format!("pki-{}", space.id);
    space.bao.write(&format!("sys/mounts/{pki}"), json!({ "type": "pki" }));
    space.bao.write(&format!("{pki}/root/generate/internal"), json!({ "common_name": "root.test", "ttl": "24h" }));
    let role = json!({ "allow_any_name": true, "key_type": "ec", "key_bits": 256, "max_ttl": "1h" });
    space.bao.write(&format!("{pki}/roles/web"), role);
    let path = format!("{pki}/issue/web");
    let login = space.approle(&case, &[&path]);
    let config = format!(
        "{}refresh: 1s\nfiles: {{ cert.json: \"vault:{path}?common_name=web.test&ttl=12s\" }}\n",
        space.vault(&login)
    );
    let mut running = case.with_files(&config).command("sidecar").start();
    let end = || {
        let read: Value = delivered(&case.volume(), "cert.json").parse().unwrap_or_default();
        read["expiration"].as_u64().or_else(|| read["expiration"].as_str()?.parse().ok())
    };
    let first = running.until("certificate", end);
    running.signal(libc::SIGHUP);
    let mut last = first;
    for _ in 0..2 {
        last = running.until("next certificate", || {
            let (now, end) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(), end()?);
            assert!(end >= now, "a dead certificate is delivered");
            (end != last).then_some(end)
        });
        assert!(!generation(&case.volume()).is_empty());
    }
    assert!(last - first >= 12, "two lives in {} s", last - first);
    assert_eq!(asked("update", &path), 3, "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn lives_of_a_few_seconds_never_leave_a_dead_credential() {
    let stage = Stage::new("4s", "7s");
    let settings = json!({ "token_ttl": "6s", "token_max_ttl": "9s" });
    let login = stage.space.approle_with(&stage.case, &[&stage.creds()], settings);
    let running = stage.delivering(&stage.space.vault(&login));
    let (started, first) = (Instant::now(), stage.file("db.json"));
    while started.elapsed() < Duration::from_secs(20) {
        assert!(stage.credential_works(), "a dead credential is delivered\n{}", running.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_ne!(stage.file("db.json"), first);
    // A life of 7 s less a window of 2 s, a token's of 9 s less 2 s.
    let (issued, logins) = (stage.issued(), stage.count(&format!("update {}", login.path)));
    assert!(issued <= 11 && logins <= 5, "{issued} issued, {logins} logins\n{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn what_has_expired_is_kept_and_everybody_is_told() {
    let stage = Stage::new("5s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let vault = stage.space.vault_at(&proxy.address(), &login);
    let config = format!("{vault}files: {{ db.json: \"vault:{}\" }}\n", stage.creds());
    let port = free_port();
    let run = stage.case.with_files(&config).arg("--metrics").arg(format!("127.0.0.1:{port}")).command("sidecar");
    let mut running = run.start();
    let first = running.until("credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    let ready = || request(port, "GET", "/readyz", &[], b"").map(|answer| answer.status);
    let ask = |arg: &str| stage.case.with_files(&config).command("status").arg(arg).output();
    running.until("readiness", || (ready() == Some(200)).then_some(()));
    proxy.always(Plan::Close);
    running.until("the end of readiness", || (ready() == Some(503)).then_some(()));
    assert_eq!(stage.file("db.json"), first, "keep is the default");
    assert_eq!(ask("--ready").code(), Some(69));
    let status: Value = ask("--json").out().parse().unwrap();
    assert_eq!(status["secrets"][0]["state"], "expired", "{status}");
    assert!(running.stderr().contains("has expired, and nothing has replaced it yet"), "{}", running.stderr());
    proxy.always(Plan::Forward);
    running.until("readiness again", || (ready() == Some(200)).then_some(()));
    assert_ne!(stage.file("db.json"), first);
    assert!(stage.credential_works());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
