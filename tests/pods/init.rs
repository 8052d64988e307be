//! An init container before the app: it delivers once and leaves nobody behind.

use serde_json::json;

use crate::engine::needs_pods;
use crate::stage::{Stage, is_only_itself};

#[test]
fn a_job_reads_its_secret_and_completes() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/app")]
    });
    let annotations = json!({ "mode": "init", "file.word": format!("vault:{kv}/data/app#word") });
    let pod = stage.pod(&annotations, "echo \"word $(cat /run/secret-exec/files/word)\"");
    pod.start().unwrap();
    assert_eq!(pod.line("word "), "first");
    is_only_itself(&pod);
    assert_eq!((pod.completed(), pod.exit_code("secret-exec")), (vec![0], Some(0)));
    assert_eq!(stage.logins(), 1);
    stage.tokens_end();
}

#[test]
fn a_denied_secret_keeps_the_app_from_starting() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/other")]
    });
    let annotations = json!({ "mode": "init", "file.word": format!("vault:{kv}/data/app#word") });
    let pod = stage.pod(&annotations, "echo ran");
    pod.start().unwrap_err();
    let said = pod.logs("secret-exec");
    assert_eq!(pod.exit_code("secret-exec"), Some(77), "{said}");
    assert!(said.lines().last().unwrap().starts_with("secret-exec: cannot read vault:"), "{said}");
    assert!(!pod.has_started("app"));
    stage.tokens_end();
}
