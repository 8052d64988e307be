//! Rotation under an app that we started: told, started anew, stopped.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::{Stage, delivered};
use support::*;

fn supervised(case: &Case, yaml: &str) -> Run {
    case.with_files(yaml).arg("--supervise")
}

/// Waits for signals and says what it got, until `USR2`.
const LISTENER: &str =
    "trap 'echo got HUP' HUP; trap 'echo done; exit 5' USR2; echo ready; while :; do sleep 0.02; done";

#[test]
fn the_app_is_told_once_of_two_files_that_change_together() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" })), ("b", json!({ "k": "one" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!(
        "{}refresh: 1h\nonChange: [ {{ signal: HUP }} ]\nfiles: {{ a: \"vault:{kv}/data/a#k\", b: \"vault:{kv}/data/b#k\" }}\n",
        space.vault(&login)
    );
    let mut running = supervised(&case, &config).app(&["/bin/bash", "-c", LISTENER]).start();
    running.says("ready");
    for name in ["a", "b"] {
        space.bao.write(&format!("{kv}/data/{name}"), json!({ "data": { "k": "two" } }));
    }
    let outcome = case.with_files(&config).command("refresh").output();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    running.says("got HUP");
    assert_eq!((delivered(&case.volume(), "a"), delivered(&case.volume(), "b")), ("two".into(), "two".into()));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(running.stdout().matches("got HUP").count(), 1, "the first delivery notifies nobody, a change once");
    let status = case.with_files(&config).command("status").output();
    assert_eq!(status.code(), Some(0), "{status}");
    running.signal(libc::SIGUSR2);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(5), "{outcome}");
    assert_eq!(space.requests().last().unwrap(), "update auth/token/revoke-self");
}

#[test]
fn a_changed_variable_starts_the_app_anew_with_it() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one", "other": "1" })), ("b", json!({ "k": "fixed" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!(
        "{}refresh: 1s\nonChange: restart\nenv: {{ A: \"vault:{kv}/data/a#k\", B: \"vault:{kv}/data/b#k\" }}\n",
        space.vault(&login)
    );
    let script = "trap 'echo end $A; exit 0' TERM; echo start $A $B; while :; do sleep 0.02; done";
    let mut running = supervised(&case, &config).app(&["/bin/bash", "-c", script]).start();
    running.says("start one fixed\n");
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "one", "other": "2" } }));
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(running.stdout(), "start one fixed\n", "a key that no variable uses starts nothing");
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "two", "other": "2" } }));
    running.says("end one\nstart two fixed\n");
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
}

#[test]
fn without_a_restart_one_line_says_that_the_old_value_stays() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}refresh: 1s\nenv: {{ A: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
    let mut running = supervised(&case, &config).app(&["/bin/bash", "-c", LISTENER]).start();
    running.says("ready");
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "canary-two" } }));
    wait_for("the line", || running.stderr().contains("still has the old value of A").then_some(()));
    running.signal(libc::SIGUSR2);
    let outcome = running.end();
    assert_eq!((outcome.code(), outcome.err().matches("still has the old value").count()), (Some(5), 1), "{outcome}");
    assert!(!outcome.err().contains("canary"), "{outcome}");
}

#[test]
fn a_hook_and_a_url_are_told_once() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mark = case.path("mark");
    let config = format!(
        "{}refresh: 1s\nonChange: [ {{ run: [/bin/sh, -c, \"echo run $SECRET_EXEC_DIR $VAULT_ADDR. >> {}\"] }}, \
         {{ http: \"http://{}/reload\" }} ]\nfiles: {{ a: \"vault:{kv}/data/a#k\" }}\n",
        space.vault(&login),
        mark.display(),
        listener.local_addr().unwrap()
    );
    let mut running = case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || (delivered(&case.volume(), "a") == "one").then_some(()));
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "two" } }));
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 1024];
    let count = stream.read(&mut head).unwrap();
    assert!(head[..count].starts_with(b"POST /reload HTTP/1.1\r\n"));
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let expected = format!("run {} .\n", case.volume().display());
    running.until("hook", || (fs::read_to_string(&mark).unwrap_or_default() == expected).then_some(()));
    wait_for("both lines", || (running.stderr().matches("of the change").count() == 2).then_some(()));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(fs::read_to_string(&mark).unwrap(), expected);
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
}

#[test]
fn an_expired_secret_stops_the_app_where_that_is_asked_for() {
    let stage = Stage::new("5s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let config = format!(
        "{}onExpired: stop\nfiles: {{ db.json: \"vault:{}\" }}\n",
        stage.space.vault_at(&proxy.address(), &login),
        stage.creds()
    );
    let script = "echo ready; trap 'echo stopped; exit 0' TERM; while :; do sleep 0.02; done";
    let mut running = supervised(&stage.case, &config).app(&["/bin/bash", "-c", script]).start();
    running.says("ready");
    proxy.always(Plan::Close);
    running.says("stopped");
    proxy.always(Plan::Forward);
    running.end().refused(75, &["has expired"]);
}

#[test]
fn an_expired_secret_is_removed_and_comes_back() {
    let stage = Stage::new("5s", "1h");
    let kv = stage.space.kv2(&[("a", json!({ "k": "stays" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let proxy = Proxy::before(stage.space.bao.port);
    let config = format!(
        "{}onExpired: remove\nfiles: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\" }}\n",
        stage.space.vault_at(&proxy.address(), &login),
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    let first = running.until("credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    proxy.always(Plan::Close);
    running.until("removal", || (!stage.case.volume().join("db.json").exists()).then_some(()));
    assert_eq!(stage.file("a"), "stays");
    let status = stage.case.with_files(&config).command("status").arg("--ready").output();
    assert_eq!(status.code(), Some(69), "{status}");
    proxy.always(Plan::Forward);
    let second = running.until("credential again", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    assert_ne!(first, second);
    assert!(stage.credential_works());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn actions_that_a_mode_has_not_are_refused() {
    let case = Case::new();
    let file = case.secret("a", "value");
    let refused = |run: Run, says: &str| run.output().refused(64, &[says]);
    let sidecar = |action: &str| case.with_files(&format!("onChange: {action}\nfiles: {{ a: \"{file}\" }}\n"));
    refused(sidecar("restart").command("sidecar"), "config.yaml:2: onChange: restart needs --supervise");
    refused(sidecar("\"signal:HUP\"").command("sidecar"), "name the process");
    let run = sidecar("\"signal:HUP@nginx\"").arg("--supervise").app(&case.marking_app());
    refused(run, "leave the process out");
    for action in ["restart", "[\"signal:HUP\"]", "[{ run: [/bin/true] }]", "\"http:http://127.0.0.1:9/\""] {
        refused(sidecar(action).app(&case.marking_app()), "onChange: no process stays that would see a change");
        refused(sidecar(action).command("init"), "onChange: no process stays that would see a change");
    }
    refused(
        sidecar("none").args(&["--on-change", "signal:HUP"]).app(&case.marking_app()),
        ": --on-change: no process stays that would see a change: wrap the command with --supervise, run a sidecar",
    );
    assert!(!case.ran());
    sidecar("none").app(&case.marking_app()).output().ok();
    sidecar("restart").command("check").app(&case.marking_app()).output().refused(64, &["no process stays"]);
    let run = sidecar("none").args(&["--metrics", "127.0.0.1:0", "--set", "onExpired=remove"]).app(&["true"]).output();
    assert_eq!(run.code(), Some(0), "{run}");
    for option in ["metrics", "onExpired: remove"] {
        let says =
            format!("warning: {option} has no effect here: no process stays to do it; use --supervise or a sidecar");
        assert!(run.err().contains(&says), "{run}");
    }
    // The configuration of the sidecar that comes after it.
    sidecar("\"http:http://127.0.0.1:9/\"").command("init").arg("--leave-leases").output().ok();
}
