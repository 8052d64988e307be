//! One path answers as a server that is down would, another hangs or refuses: each is its own, and the server is not down.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Stage, delivered};
use support::*;

const FAULT: Duration = Duration::from_secs(14);

/// What one path answers, and whether it is worth another try soon.
fn faults() -> Vec<(Plan, bool)> {
    let answer = |status, body: &str| Plan::Answer(status, String::new(), body.to_owned());
    let page = "<html>no upstream</html>";
    vec![
        (answer(400, r#"{"errors":["no"]}"#), false),
        (answer(403, page), true),
        (answer(404, r#"{"errors":[]}"#), false),
        (answer(412, r#"{"errors":["required index state not present"]}"#), true),
        (Plan::Answer(429, "Retry-After: 5\r\n".to_owned(), r#"{"errors":["quota"]}"#.to_owned()), true),
        (answer(472, ""), true),
        (answer(473, ""), true),
        (answer(500, r#"{"errors":["plugin is shut down"]}"#), true),
        (answer(501, ""), true),
        (answer(502, page), true),
        (answer(503, r#"{"errors":["Vault is sealed"]}"#), true),
        (answer(504, page), true),
        (answer(599, ""), true),
        (Plan::Close, true),
        (Plan::Cut(10), true),
        (Plan::Hang, true),
    ]
}

#[test]
fn what_one_path_answers_is_no_outage_of_the_server() {
    let stage = Stage::new("6s", "1h");
    let (bao, id) = (stage.space.bao, &stage.space.id);
    let kv = stage.space.kv2(&[("k", json!({ "k": "0" }))]);
    let faults = faults();
    let mount = |index: usize| format!("path-{index}-{id}");
    for index in 0..faults.len() {
        bao.write(&format!("sys/mounts/{}", mount(index)), json!({ "type": "kv", "options": { "version": "1" } }));
        bao.write(&format!("{}/k", mount(index)), json!({ "k": "before" }));
    }
    let paths = [stage.creds(), format!("{kv}/data/*"), "path-*".to_owned()];
    let paths = paths.each_ref().map(String::as_str);
    let policy = json!({ "token_ttl": "8s", "token_max_ttl": "1h" });
    let login = stage.space.approle_with(&stage.case, &paths, policy);
    let proxy = Proxy::before(bao.port);
    let files: String = (0..faults.len()).map(|index| format!("f{index}: \"vault:{}/k#k\", ", mount(index))).collect();
    let config = format!(
        "{}refresh: 1s\nfiles: {{ {files}db.json: \"vault:{}\", k: \"vault:{kv}/data/k#k\" }}\n",
        stage.space.vault_at(&proxy.address(), &login),
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || (stage.file("k") == "0" && !stage.file("db.json").is_empty()).then_some(()));
    for (index, (plan, _)) in faults.iter().enumerate() {
        proxy.on(&format!("/v1/{}/", mount(index)), plan.clone());
    }
    let (begin, mut value, mut latest) = (Instant::now(), 0, Duration::ZERO);
    while begin.elapsed() < FAULT {
        value += 1;
        bao.write(&format!("{kv}/data/k"), json!({ "data": { "k": value.to_string() } }));
        let written = Instant::now();
        while delivered(&stage.case.volume(), "k") != value.to_string() {
            assert!(stage.credential_works(), "dead on disk\n{}", running.stderr());
            assert!(written.elapsed() < PATIENCE, "KV never came\n{}", running.stderr());
            std::thread::sleep(Duration::from_millis(50));
        }
        latest = latest.max(written.elapsed());
    }
    assert!(!running.stderr().contains("does not answer"), "an outage of nobody\n{}", running.stderr());
    let questions = proxy.count("/v1/sys/health");
    proxy.on_nothing();
    for index in 0..faults.len() {
        bao.write(&format!("{}/k", mount(index)), json!({ "k": "after" }));
    }
    let back = |soon: bool| faults.iter().enumerate().filter(move |(_, (_, is_soon))| *is_soon || !soon);
    running.until("what is tried soon", || {
        back(true).all(|(index, _)| stage.file(&format!("f{index}")) == "after").then_some(())
    });
    let outcome = stage.case.with_files(&config).command("refresh").output();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    running.until("what was refused", || {
        back(false).all(|(index, _)| stage.file(&format!("f{index}")) == "after").then_some(())
    });
    eprintln!("latest KV change {latest:?}, {questions} questions about the health\n{}", running.stderr());
    // The interval and two seconds on an idle machine; the simulation holds it to that.
    assert!(latest <= Duration::from_secs(3) * 2, "KV came late: {latest:?}");
    assert_eq!((stage.issued(), stage.logins(&login)), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}
