//! A start that ends early: in time, and nothing that was issued is left behind.

use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::json;

use support::*;

/// A credential that is answered and a secret that hangs, behind a proxy.
fn half_a_start(case: &Case, space: &Space, login: &Login, database: &str, kv: &str) -> (Proxy, String) {
    let proxy = Proxy::before(space.bao.port);
    proxy.on(&format!("{kv}/data/a"), Plan::Hang);
    let config = format!(
        "{}leaveLeases: true\nfiles: {{ db: \"vault:{database}/creds/web\", a: \"vault:{kv}/data/a#k\" }}\n\
         volume: {{ path: {} }}\n",
        space.vault_at(&proxy.address(), login),
        case.volume().display()
    );
    (proxy, config)
}

fn leases_end(space: &Space, database: &str) {
    wait_for("the end of the lease", || (space.leases(database, "web") == 0).then_some(()));
}

#[test]
fn a_lease_under_a_foreign_token_is_revoked_when_the_deadline_comes() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (database, kv) = (space.database(), space.kv2(&[("a", json!({ "k": "value" }))]));
    let paths = [format!("{database}/creds/*"), format!("{kv}/data/*"), "sys/leases/revoke".to_owned()];
    let (login, _) = space.token(&case, &paths.each_ref().map(String::as_str), json!({}));
    let (_proxy, config) = half_a_start(&case, &space, &login, &database, &kv);
    let said = case.refused(case.with_config(&config).args(&["--timeout", "2s"]), 69, &["data/a#k"]);
    assert!(!said.err().contains("cannot read vault:database"), "{said}");
    leases_end(&space, &database);
}

#[test]
fn a_lease_under_a_foreign_token_is_revoked_when_a_signal_comes() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (database, kv) = (space.database(), space.kv2(&[("a", json!({ "k": "value" }))]));
    let paths = [format!("{database}/creds/*"), format!("{kv}/data/*"), "sys/leases/revoke".to_owned()];
    let (login, _) = space.token(&case, &paths.each_ref().map(String::as_str), json!({}));
    let (proxy, config) = half_a_start(&case, &space, &login, &database, &kv);
    let mut running = case.with_config(&config).app(&case.marking_app()).start();
    running.until("both requests", || (proxy.count("/v1/") >= 3 && space.leases(&database, "web") == 1).then_some(()));
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(128 + libc::SIGTERM), "{outcome}");
    assert!(!case.ran());
    leases_end(&space, &database);
}

#[test]
fn a_lease_under_a_batch_token_is_revoked_by_itself() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let paths = [format!("{database}/creds/*"), "sys/leases/revoke".to_owned()];
    let login = space.approle_with(&case, &paths.each_ref().map(String::as_str), json!({ "token_type": "batch" }));
    let config = format!("{}env: {{ U: \"vault:{database}/creds/web#username\" }}\n", space.vault(&login));
    case.refused(case.with_config(&config), 64, &["--supervise", "--leave-leases"]);
    leases_end(&space, &database);
}

#[test]
fn one_request_that_hangs_or_is_slow_costs_a_start_a_quarter_of_its_time_and_no_credential() {
    let late = Plan::Late(Duration::from_millis(3500));
    for (path, plan) in [("/login", Plan::Hang), ("/data/a", Plan::Hang), ("/creds/web", late)] {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let (database, kv) = (space.database(), space.kv2(&[("a", json!({ "k": "value" }))]));
        let paths = [format!("{database}/creds/*"), format!("{kv}/data/*"), "sys/leases/revoke".to_owned()];
        let login = space.approle(&case, &paths.each_ref().map(String::as_str));
        let proxy = Proxy::before(space.bao.port);
        proxy.on(path, plan);
        let config = format!(
            "{}files: {{ db: \"vault:{database}/creds/web\", a: \"vault:{kv}/data/a#k\" }}\n",
            space.vault_at(&proxy.address(), &login)
        );
        let began = Instant::now();
        let mut running = case.with_files(&config).args(&["--timeout", "12s"]).command("sidecar").start();
        running.until("the request", || (proxy.count(path) == 1).then_some(()));
        proxy.on(path, Plan::Forward);
        running.until("the delivery", || fs::read_to_string(case.volume().join("a")).ok());
        assert!(began.elapsed() < Duration::from_secs(9), "{path}: {:?}\n{}", began.elapsed(), running.stderr());
        let sent = proxy.requests().iter().filter(|head| head.contains(path) && !head.starts_with("PUT")).count();
        assert_eq!(sent, 2, "{path}: {}", running.stderr());
        wait_for("one lease", || (space.leases(&database, "web") == 1).then_some(()));
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code(), Some(0));
        leases_end(&space, &database);
    }
}

#[test]
fn a_login_under_way_when_a_signal_comes_leaves_no_token() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "value" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let proxy = Proxy::before(space.bao.port);
    proxy.on("/login", Plan::Delay(Duration::from_millis(700)));
    let config = format!("{}env: {{ X: \"vault:{kv}/data/a#k\" }}\n", space.vault_at(&proxy.address(), &login));
    let mut running = case.with_config(&config).app(&case.marking_app()).start();
    running.until("the login", || (proxy.count("/login") == 1).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(128 + libc::SIGTERM));
    let accessors = wait_for("the login's answer", || Some(space.accessors()).filter(|found| !found.is_empty()));
    wait_for("the end of the token", || (!space.bao.token_lives(&accessors[0])).then_some(()));
}

#[test]
fn a_write_that_may_have_been_carried_out_is_not_sent_again() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let login = space.approle(&case, &["pki/*"]);
    for (plan, times) in [
        (Plan::Close, 1),
        (Plan::Answer(500, String::new(), "{\"errors\":[]}".into()), 1),
        (Plan::Answer(408, String::new(), String::new()), 1),
        (Plan::Answer(503, String::new(), "{\"errors\":[\"Vault is sealed\"]}".into()), 2),
    ] {
        let proxy = Proxy::before(space.bao.port);
        proxy.on("/v1/pki/issue", plan.clone());
        let config = format!(
            "{}env: {{ X: \"vault:pki/issue/web?common_name=a#certificate\" }}\n",
            space.vault_at(&proxy.address(), &login)
        );
        case.refused(case.with_config(&config).args(&["--timeout", "3s"]), 69, &["pki/issue/web"]);
        let sent = proxy.count("/v1/pki/issue");
        assert!(if times == 1 { sent == 1 } else { sent >= times }, "{plan:?}: sent {sent} times");
    }
}

#[test]
fn a_name_server_that_says_nothing_holds_neither_the_deadline_nor_a_signal() {
    needs_root!();
    let case = Case::new();
    let address = format!("127.{}.{}.53:53", 1 + unique() % 200, 1 + std::process::id() % 200);
    let mute = UdpSocket::bind(&address).unwrap();
    let server = mute.local_addr().unwrap().ip();
    let resolv =
        case.write("resolv.conf", format!("nameserver {server}\nsearch a.test b.test c.test\noptions ndots:5\n"));
    let private = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", resolv.display());
    let config = "vault: { address: \"http://vault.nowhere.test:8200\", auth: { method: approle, roleId: r } }\n\
                  env: { X: \"vault:secret/data/a#k\" }\nrunAs: \"23456:23456\"\n";
    let start = Instant::now();
    let run = case
        .with_config(config)
        .root()
        .within(&["unshare", "-m", "sh", "-c", &private, "sh"])
        .args(&["--timeout", "2s"]);
    case.refused(run, 69, &["vault.nowhere.test"]);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn a_group_that_may_read_leaves_the_files_with_the_app() {
    needs_root!();
    let case = Case::new();
    let secret = case.secret("s", "value");
    let config = format!(
        "volume: {{ path: {}, owner: \":64123\" }}\nfiles: {{ a: \"{secret}\" }}\nrunAs: \"{APP}:{APP}\"\n",
        case.volume().display()
    );
    let said = case.run().root().args(&["--config", case.write("c.yaml", &config).to_str().unwrap()]);
    assert_eq!(
        said.sh("cat $SECRET_EXEC_DIR/a; stat -L -c ' %u:%g %a' $SECRET_EXEC_DIR/a").output().ok(),
        format!("value {APP}:64123 440\n")
    );
}
