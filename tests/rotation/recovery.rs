//! What has expired is tried again within ten seconds, whatever refused it, and without a storm of logins.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Stage;
use support::*;

/// How long the server is sick: the credential of 6 s has expired long before its end.
const SICK: Duration = Duration::from_secs(26);
/// The promise, and two seconds for a busy machine.
const WITHIN: Duration = Duration::from_secs(12);

/// Runs a sidecar with a credential of 6 s behind a proxy that `falls_sick`, and heals it; returns how many logins and issues
/// were sent meanwhile.
#[track_caller]
fn recovers(falls_sick: impl Fn(&Stage, &Proxy)) -> (usize, usize) {
    let stage = Stage::new("6s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let mut running = stage.delivering(&stage.space.vault_at(&proxy.address(), &login));
    falls_sick(&stage, &proxy);
    std::thread::sleep(SICK);
    assert!(!stage.credential_works(), "it was not sick enough");
    let sent = (proxy.count("/login ") - 1, proxy.count(&format!("GET /v1/{}", stage.creds())) - 1);
    proxy.on_nothing();
    let healed = Instant::now();
    running.until("a credential that works", || stage.credential_works().then_some(()));
    let took = healed.elapsed();
    assert!(took <= WITHIN, "it took {took:?}\n{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
    sent
}

fn answer(status: u16, body: serde_json::Value) -> Plan {
    Plan::Answer(status, String::new(), body.to_string())
}

#[test]
fn a_login_that_brings_a_token_nothing_accepts_is_repeated_within_ten_seconds() {
    let (logins, issues) = recovers(|stage, proxy| {
        let token = json!({
            "client_token": "s.nothingacceptsthisone00", "accessor": "none", "policies": ["web"], "token_type": "service",
            "lease_duration": 600, "renewable": true,
        });
        proxy.on("/login ", answer(200, json!({ "auth": token })));
        let accessor = stage.space.accessors().pop().unwrap();
        stage.space.bao.write("auth/token/revoke-accessor", json!({ "accessor": accessor }));
    });
    // One at once, then one in 7.5 to 10 s; an issue under each, of which the first may be tried under both.
    assert!((3..=5).contains(&logins), "{logins} logins");
    assert!(issues <= logins + 1, "{issues} issues under {logins} logins");
}

#[test]
fn an_issue_that_is_answered_with_nothing_is_repeated_within_ten_seconds() {
    for nothing in [answer(200, json!({ "data": null, "warnings": null })), answer(403, json!({ "errors": ["no"] }))] {
        let (logins, issues) = recovers(|_, proxy| {
            proxy.on("/creds/", nothing.clone());
            proxy.on("/leases/renew ", answer(400, json!({ "errors": ["lease not found"] })));
        });
        assert_eq!(logins, 0);
        assert!((2..=8).contains(&issues), "{issues} issues");
    }
}
