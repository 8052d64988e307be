//! The sidecar on bad days: nothing is lost, nothing is asked for without need, nobody is disturbed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::*;
use crate::{Stage, generation};

/// Stays as it is for so long.
fn stays(time: Duration, mut is: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < time {
        if !is() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn an_outage_costs_few_requests_and_no_credential() {
    let stage = Stage::new("8s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let config = format!(
        "{}files: {{ db.json: \"vault:{}\" }}\n",
        stage.space.vault_at(&proxy.address(), &login),
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("credential", || Some(()).filter(|()| !stage.file("db.json").is_empty()));
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
    stage.space.bao.write(&format!("sys/leases/revoke-prefix/{}", stage.creds()), json!({}));
    running.until("new credential", || Some(()).filter(|()| stage.file("db.json") != first));
    assert!(stays(Duration::from_secs(5), || stage.issued() == 2 && stage.credential_works()));
    assert_eq!(stage.count(&format!("update {}", login.path)), 1, "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
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
    let policy =
        space.bao.list("sys/policies/acl").into_iter().find(|name| name.starts_with(&format!("policy-{}-", space.id)));
    let rules = format!(
        "path \"{kv}/data/*\" {{ capabilities = [\"read\"] }}\npath \"{kv}/data/c\" {{ capabilities = [\"deny\"] }}\n"
    );
    space.bao.write(&format!("sys/policies/acl/{}", policy.unwrap()), json!({ "policy": rules }));
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
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_full_volume_is_waited_for_without_a_request() {
    needs_root!();
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "x".repeat(30_000) }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let place = case.dir.join("mount");
    std::fs::create_dir(&place).unwrap();
    own(&place, APP);
    let config = format!(
        "{}volume: {{ path: {}/files }}\nrefresh: 1s\nfiles: {{ a: \"vault:{kv}/data/a#k\" }}\n",
        space.vault(&login),
        place.display()
    );
    let mut running =
        case.with_config(&config).command("sidecar").tmpfs(&place, &format!("size=100k,mode=755,uid={APP}")).start();
    // The mount is in the namespace of the program.
    let inside = std::path::PathBuf::from(format!("/proc/{}/root{}", running.pid(), place.display()));
    let read = || crate::delivered(&inside.join("files"), "a");
    running.until("first delivery", || (read().len() == 30_000).then_some(()));
    let first = generation(&inside.join("files"));
    let value = "y".repeat(30_000);
    std::fs::write(inside.join("filler"), vec![0; 60_000]).unwrap();
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": value } }));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(generation(&inside.join("files")), first, "{}", running.stderr());
    assert!(running.stderr().contains("cannot deliver"), "{}", running.stderr());
    std::fs::remove_file(inside.join("filler")).unwrap();
    running.until("delivery when there is room", || (read() == value).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
