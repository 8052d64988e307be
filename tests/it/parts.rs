//! The suite's own parts: if one of these fails, look here first.

use std::fs;
use std::time::Duration;

use serde_json::json;

use support::*;

#[test]
fn openbao_answers_and_its_audit_log_counts_logins_and_reads() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("app", json!({ "password": "pw" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let field = |name: &str| {
        let rest = login.auth.split_once(&format!("{name}: ")).unwrap().1;
        rest.split([',', ' ']).next().unwrap().to_owned()
    };
    let secret_id = fs::read_to_string(field("secretIdFile")).unwrap();
    let answer = space.bao.write(&login.path, json!({ "role_id": field("roleId"), "secret_id": secret_id }));
    let token = answer["auth"]["client_token"].as_str().unwrap();
    let read = space.bao.ask("", token, "GET", &format!("{kv}/data/app"), &json!(null));
    assert_eq!(read.json["data"]["data"]["password"], "pw");
    assert_eq!(space.requests(), [format!("update {}", login.path), format!("read {kv}/data/app")]);
    assert!(space.bao.token_lives(&space.accessors()[0]));
    assert_eq!(space.bao.ask("", token, "POST", "auth/token/revoke-self", &json!({})).status, 204);
    assert!(!space.bao.token_lives(&space.accessors()[0]));
}

#[test]
fn openbao_accepts_kubernetes_and_jwt_logins() {
    let space = Space::new(OpenBao::shared());
    let try_login = |login: &Login, file: &str| {
        let jwt = fs::read_to_string(certificates().join(file)).unwrap();
        space.bao.ask("", "", "POST", &login.path, &json!({ "role": "web", "jwt": jwt.trim() })).status
    };
    let pod = space.kubernetes(&["x/*"], "pod.jwt");
    assert_eq!(try_login(&pod, "pod.jwt"), 200);
    assert_eq!(try_login(&pod, "pod-other-account.jwt"), 403);
    assert_eq!(try_login(&pod, "pod-other-audience.jwt"), 403);
    let jwt = space.jwt(&["x/*"], "web.jwt");
    assert_eq!(try_login(&jwt, "web.jwt"), 200);
    assert_ne!(try_login(&jwt, "expired.jwt"), 200);
    assert_ne!(try_login(&jwt, "foreign.jwt"), 200);
}

#[test]
fn a_server_of_ones_own_can_be_sealed() {
    let bao = OpenBao::start();
    bao.write("sys/seal", json!({}));
    assert_eq!(bao.ask("", "root", "GET", "secret/data/ready", &json!(null)).status, 503);
}

#[test]
fn postgresql_gives_credentials_that_work_until_they_are_revoked() {
    let space = Space::new(OpenBao::shared());
    let database = space.database();
    let made = space.bao.read(&format!("{database}/creds/web"));
    let text = |name: &str| made["data"][name].as_str().unwrap();
    let (user, password) = (text("username"), text("password"));
    assert_eq!(Postgres::shared().sql_as(user, password, "SELECT 1").unwrap(), "1");
    let refused = Postgres::shared().sql_as(user, &format!("{password}x"), "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    assert_eq!(space.leases(&database, "web"), 1);
    space.bao.write("sys/leases/revoke", json!({ "lease_id": made["lease_id"] }));
    wait_for("the end of the lease", || (space.leases(&database, "web") == 0).then_some(()));
    assert!(Postgres::shared().sql_as(user, password, "SELECT 1").is_err());
    assert!(space.bao.read(&format!("{database}/static-creds/batch"))["data"]["password"].is_string());
}

#[test]
fn moto_keeps_secrets() {
    let name = format!("parts-{}", unique());
    let arn = Moto::shared().create(&name, "value");
    let read = Moto::shared().call("eu-west-1", "GetSecretValue", json!({ "SecretId": arn }));
    assert_eq!(read["SecretString"], "value");
}

#[test]
fn the_proxy_misbehaves_as_told_and_counts() {
    let bao = OpenBao::shared();
    let proxy = Proxy::before(bao.port);
    let ask = || request(proxy.port, "GET", "/v1/sys/health", &[], b"").map(|answer| answer.status);
    assert_eq!(ask(), Some(200));
    proxy.next([
        Plan::Close,
        Plan::Answer(429, "Retry-After: 1\r\n".into(), "{}".into()),
        Plan::Cut(3),
        Plan::Delay(Duration::from_millis(1)),
    ]);
    assert_eq!(ask(), None);
    assert_eq!(ask(), Some(429));
    assert_eq!(ask(), Some(200));
    assert_eq!(ask(), Some(200));
    assert_eq!(proxy.count("GET /v1/sys/health"), 5);
}

#[test]
fn a_program_runs_as_another_user_with_nothing_but_what_it_was_given() {
    let case = Case::new();
    let status = Run::new("/bin/cat".as_ref()).arg("/proc/self/status").user(APP, APP).output().ok();
    if is_root() {
        assert_eq!(status_field(&status, "Uid"), "23456 23456 23456 23456");
        assert_eq!(status_field(&status, "Groups"), "");
        assert_eq!(status_field(&status, "CapEff"), "0000000000000000");
    }
    let run = Run::new("/usr/bin/env".as_ref()).env("A", "b");
    assert!(run.output().ok().lines().any(|line| line == "A=b"));
    let run = Run::new("/bin/cat".as_ref()).stdin(b"from stdin").cwd(&case.dir);
    assert_eq!(run.output().ok(), "from stdin");
}

#[test]
fn a_program_runs_on_a_terminal() {
    let mut running = Run::new("/bin/sh".as_ref()).arg("-c").arg("tty; read line; echo got $line").pty().start();
    running.says("/dev/pts/");
    running.types(b"hello\n");
    running.says("got hello");
    running.end().ok();
}

#[test]
fn a_private_tmpfs_is_seen_by_its_program_alone() {
    needs_root!();
    let case = Case::new();
    let run = Run::new("/bin/sh".as_ref()).arg("-c").arg(format!("stat -f -c %T {}", case.dir.display()));
    assert_eq!(run.tmpfs(&case.dir, "mode=1777,size=64k").output().ok(), "tmpfs\n");
    let run = Run::new("/bin/cat".as_ref()).arg("/proc/self/status").user(APP, APP).ambient(7).ignoring(&[13]);
    let status = run.blocking(&[10]).output().ok();
    assert_eq!(status_field(&status, "CapAmb"), "0000000000000080");
    let ignored = u64::from_str_radix(&status_field(&status, "SigIgn"), 16).unwrap();
    assert_ne!(ignored & 0x1000, 0, "SIGPIPE");
    assert_eq!(status_field(&status, "SigBlk"), "0000000000000200");
}

#[test]
fn a_program_that_is_let_go_is_killed() {
    let running = Run::new("/bin/sleep".as_ref()).arg("1000").start();
    let pid = running.pid();
    drop(running);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}
