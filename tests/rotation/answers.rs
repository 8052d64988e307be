//! Answers that are none: the server asks for patience, somebody else answers in its place, half of it comes, or nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Stage, standing, status, stays};
use support::*;

/// A sidecar behind a proxy, with a lease and two secrets that are read every second.
struct Life {
    stage: Stage,
    kv: String,
    login: Login,
    proxy: Proxy,
    config: String,
}

impl Life {
    fn new(ttl: &str) -> Self {
        let stage = Stage::new(ttl, "1h");
        let kv = stage.space.kv2(&[("a", json!({ "k": "one" })), ("b", json!({ "k": "one" }))]);
        let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
        let proxy = Proxy::before(stage.space.bao.port);
        let config = format!(
            "{}refresh: 1s\nfiles: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\", b: \"vault:{kv}/data/b#k\" }}\n",
            stage.space.vault_at(&proxy.address(), &login),
            stage.creds()
        );
        Self { stage, kv, login, proxy, config }
    }

    fn start(&self) -> Run {
        self.stage.case.with_files(&self.config).command("sidecar")
    }

    fn asked(&self) -> usize {
        self.proxy.requests().len()
    }

    fn write(&self, name: &str, value: &str) {
        self.stage.space.bao.write(&format!("{}/data/{name}", self.kv), json!({ "data": { "k": value } }));
    }

    fn read(&self) -> (String, String) {
        (self.stage.file("a"), self.stage.file("b"))
    }
}

#[test]
fn whoever_is_asked_for_patience_has_it() {
    let life = Life::new("5m");
    let mut running = life.start().start();
    running.until("first delivery", || (life.read().1 == "one").then_some(()));
    let first = life.stage.file("db.json");
    life.proxy.always(Plan::Answer(429, "Retry-After: 8\r\n".into(), "{\"errors\":[]}".into()));
    let before = life.asked();
    running.until("refusal", || (life.asked() > before).then_some(()));
    let refused = Instant::now();
    // Both may have been under way when the first of them was refused.
    std::thread::sleep(Duration::from_millis(1200));
    let asked = life.asked();
    assert!(asked <= before + 2, "{} requests", asked - before);
    let left = Duration::from_millis(4800).saturating_sub(refused.elapsed());
    assert!(stays(left, || life.asked() == asked), "asked again before Retry-After was over\n{}", running.stderr());
    let told = status(&life.stage.case);
    let classes = ["/data/a", "/data/b"].map(|name| standing(&told, name).1);
    assert!(classes.contains(&"throttled".into()), "{told}");
    life.proxy.always(Plan::Forward);
    life.write("a", "two");
    running.until("the change", || (life.read() == ("two".into(), "one".into())).then_some(()));
    assert_eq!(life.stage.file("db.json"), first);
    assert_eq!((life.stage.issued(), life.stage.logins(&life.login)), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    life.stage.nothing_is_left();
}

/// While somebody else answers, a lease comes to its renewal. What it says is no refusal of the server's.
fn somebody_else_answers(plan: &Plan) {
    let life = Life::new("30s");
    let mut running = life.start().start();
    running.until("first delivery", || (life.read().1 == "one").then_some(()));
    let first = life.stage.file("db.json");
    let (before, renewals) = (life.asked(), life.proxy.count("/v1/sys/leases/renew"));
    life.write("a", "two");
    life.proxy.always(plan.clone());
    running.until("renewal meanwhile", || (life.proxy.count("/v1/sys/leases/renew") > renewals).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    // Two secrets, a lease, the token and the health of the server, each tried less and less often.
    assert!(life.asked() - before <= 30, "{plan:?}: {} requests", life.asked() - before);
    assert_eq!((life.read(), life.stage.file("db.json")), (("one".into(), "one".into()), first.clone()));
    let (_, class) = standing(&status(&life.stage.case), "/data/a");
    assert_eq!(class, "transient", "{plan:?}");
    let renewed = life.stage.count("update sys/leases/renew");
    life.proxy.always(Plan::Forward);
    running.until("renewal after it", || (life.stage.count("update sys/leases/renew") > renewed).then_some(()));
    running.until("the change", || (life.read() == ("two".into(), "one".into())).then_some(()));
    assert_eq!(life.stage.file("db.json"), first, "{plan:?} {}", running.stderr());
    assert_eq!((life.stage.issued(), life.stage.logins(&life.login)), (1, 1), "{plan:?}: {}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    life.stage.nothing_is_left();
}

#[test]
fn a_page_of_somebody_else_with_200_costs_no_credential() {
    somebody_else_answers(&Plan::Answer(200, String::new(), "<html>we will be back soon</html>".into()));
}

#[test]
fn half_of_json_with_200_costs_no_credential() {
    somebody_else_answers(&Plan::Answer(200, String::new(), "{\"request_id\":\"x\",\"lease_id\":\"data".into()));
}

#[test]
fn a_page_of_somebody_else_with_404_costs_no_credential() {
    somebody_else_answers(&Plan::Answer(404, String::new(), "default backend - 404".into()));
}

#[test]
fn a_page_of_somebody_else_with_403_costs_no_credential_and_no_login() {
    somebody_else_answers(&Plan::Answer(403, String::new(), "<html>the firewall is thinking</html>".into()));
}

#[test]
fn a_standby_that_forwards_nothing_costs_no_credential() {
    somebody_else_answers(&Plan::Answer(473, String::new(), "{\"errors\":[]}".into()));
}

#[test]
fn a_server_that_never_answers_is_asked_rarely_and_again_when_it_does() {
    let life = Life::new("5m");
    let mut running = life.start().start();
    running.until("first delivery", || (life.read().1 == "one").then_some(()));
    let first = life.stage.file("db.json");
    let before = life.asked();
    life.proxy.always(Plan::Hang);
    running.until("silence", || (life.asked() > before).then_some(()));
    life.write("a", "two");
    std::thread::sleep(Duration::from_secs(5));
    // Both reads, the question whether the server lives, and probes.
    assert!(life.asked() - before <= 8, "{} requests", life.asked() - before);
    assert_eq!(life.read().0, "one");
    life.proxy.always(Plan::Forward);
    running.until("the change", || (life.read() == ("two".into(), "one".into())).then_some(()));
    assert_eq!(life.stage.file("db.json"), first);
    assert_eq!((life.stage.issued(), life.stage.logins(&life.login)), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    life.stage.nothing_is_left();
}

#[test]
fn an_issue_whose_answer_is_cut_costs_one_more_and_dies_with_the_token() {
    let life = Life::new("8s");
    let creds = format!("/v1/{}", life.stage.creds());
    life.proxy.on(&creds, Plan::Cut(20));
    let mut running = life.start().start();
    running.until("lost answer at the start", || (life.proxy.count(&creds) > 0).then_some(()));
    life.proxy.on_nothing();
    running.until("first delivery", || (!life.stage.file("db.json").is_empty()).then_some(()));
    let first = life.stage.file("db.json");
    let issued = life.stage.issued();
    assert_eq!(issued, life.proxy.count(&creds), "each request was one issue");
    assert_eq!(issued, life.stage.leases());
    // And once more, at work: somebody ends the lease, and the answer with the next one is cut.
    life.proxy.on(&creds, Plan::Cut(20));
    life.stage.space.bao.revoke_all(&life.stage.creds());
    running.until("lost answer", || (life.proxy.count(&creds) > issued).then_some(()));
    life.proxy.on_nothing();
    running.until("next credential", || (life.stage.file("db.json") != first).then_some(()));
    assert!(life.stage.credential_works());
    assert_eq!(life.stage.issued(), life.proxy.count(&creds));
    let after = life.stage.issued();
    assert!(after - issued <= 6, "{} issues", after - issued);
    assert!(stays(Duration::from_secs(6), || life.stage.issued() == after), "issued again without need");
    assert_eq!(life.stage.logins(&life.login), 1, "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    life.stage.nothing_is_left();
}

#[test]
fn a_start_whose_logins_are_not_answered_leaves_few_tokens() {
    let life = Life::new("5m");
    life.proxy.on(&life.login.path, Plan::Cut(20));
    let outcome = life.stage.case.with_files(&life.config).arg("--timeout").arg("12s").command("sidecar").output();
    assert_eq!(outcome.code(), Some(69), "{outcome}");
    let logins = life.stage.logins(&life.login);
    assert!((2..=4).contains(&logins), "{logins} logins\n{outcome}");
}

/// Each request is carried out by the server, and answered with that instead of what the server says, for 22 s: a token of 14 s and a
/// credential of 12 s end meanwhile. Each login leaves a token that nobody knows, so they are few.
fn answers_are_something_else(answer: fn(&[u8]) -> Vec<Vec<u8>>, said: &str) {
    let life = crate::hangs::Life::new();
    let mut running = life.start();
    let before = life.stage.logins(&life.login);
    life.proxy.always(Plan::Pieces(answer));
    std::thread::sleep(Duration::from_secs(22));
    let logins = life.stage.logins(&life.login) - before;
    life.proxy.always(Plan::Forward);
    let healed = Instant::now();
    running.until("a credential that works", || life.stage.credential_works().then_some(()));
    let stderr = running.stderr();
    assert!(logins <= 4, "{logins} logins\n{stderr}");
    assert!(stderr.contains(said), "{stderr}");
    assert!(healed.elapsed() < Duration::from_secs(12), "{:?}\n{stderr}", healed.elapsed());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn answers_that_are_compressed_cost_few_logins_and_are_named() {
    let gzip = |_: &[u8]| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n";
        vec![[&head[..], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]].concat()]
    };
    answers_are_something_else(gzip, "Content-Encoding: gzip");
}

#[test]
fn answers_without_content_cost_few_logins_and_are_named() {
    let nothing = |_: &[u8]| vec![b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec()];
    answers_are_something_else(nothing, "the answer is empty (204)");
}

#[test]
fn empty_answers_cost_few_logins_and_are_named() {
    let empty = |_: &[u8]| vec![b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()];
    answers_are_something_else(empty, "the answer is empty (200)");
}

#[test]
fn pages_with_200_cost_few_logins_and_are_named() {
    let page = |_: &[u8]| vec![b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>canary</html>".to_vec()];
    answers_are_something_else(page, "is no Vault answer");
}

#[test]
fn chunks_without_an_end_cost_few_logins_and_are_named() {
    let cut = |_: &[u8]| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        vec![[&head[..], b"40\r\n{\"auth\":{\"client_token\":"].concat()]
    };
    answers_are_something_else(cut, "ended before the answer was complete");
}

#[test]
fn a_start_that_waits_longer_than_its_token_lives_renews_it() {
    let stage = Stage::new("1h", "2h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = stage.space.approle_with(&stage.case, &[&format!("{kv}/data/*")], json!({ "token_ttl": "6s" }));
    let proxy = Proxy::before(stage.space.bao.port);
    proxy.on("/data/a", Plan::Answer(500, String::new(), r#"{"errors":["internal error"]}"#.to_owned()));
    let config = format!("{}files: {{ a: \"vault:{kv}/data/a#k\" }}\n", stage.space.vault_at(&proxy.address(), &login));
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let is_waiting = stays(Duration::from_secs(10), || !running.stderr().contains("permission denied"));
    assert!(is_waiting, "{}", running.stderr());
    proxy.on_nothing();
    running.until("delivery", || (stage.file("a") == "one").then_some(()));
    assert_eq!(stage.logins(&login), 1, "{}", running.stderr());
    let renewals = stage.count("update auth/token/renew-self");
    assert!((1..=6).contains(&renewals), "{renewals} renewals");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn a_credential_that_expired_before_the_start_was_over_is_issued_again_before_it_is_delivered() {
    let stage = Stage::new("4s", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let proxy = Proxy::before(stage.space.bao.port);
    proxy.on("/data/a", Plan::Answer(500, String::new(), r#"{"errors":["internal error"]}"#.to_owned()));
    let config = format!(
        "{}files: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\" }}\n",
        stage.space.vault_at(&proxy.address(), &login),
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    std::thread::sleep(Duration::from_secs(6));
    proxy.on_nothing();
    running.until("delivery", || (stage.file("a") == "one").then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    assert!(stage.credential_works(), "{}", running.stderr());
    assert_eq!((running.stderr().matches("delivered 2 files").count(), stage.issued()), (1, 2), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
