//! Our program around the app's command, copied into its container: as its predecessor, or as its parent.

use serde_json::json;

use crate::engine::needs_pods;
use crate::stage::{Stage, is_only_itself, watch};
use support::Postgres;

#[test]
fn a_wrapped_app_has_its_secrets_and_nobody_beside_it() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/app")]
    });
    let reference = format!("vault:{kv}/data/app#word");
    let annotations = json!({ "mode": "exec", "env.WORD": reference, "file.word": reference });
    let script = "echo \"word $WORD\"; echo \"file $(cat $SECRET_EXEC_DIR/word)\"; echo \"first $(cat /proc/1/comm)\"";
    let pod = stage.pod(&annotations, script);
    pod.start().unwrap();
    assert_eq!(
        (pod.line("word "), pod.line("file "), pod.line("first ")),
        ("first".into(), "first".into(), "sh".into())
    );
    is_only_itself(&pod);
    assert_eq!((pod.completed(), stage.logins()), (vec![0], 1));
    stage.tokens_end();
}

#[test]
fn a_denied_secret_keeps_a_wrapped_app_from_starting() {
    let engine = needs_pods!();
    for mode in ["exec", "supervise"] {
        let mut kv = String::new();
        let stage = Stage::new(engine, |space| {
            kv = space.kv2(&[("app", json!({ "word": "first" }))]);
            vec![format!("{kv}/data/other")]
        });
        let annotations = json!({ "mode": mode, "env.WORD": format!("vault:{kv}/data/app#word") });
        let pod = stage.pod(&annotations, "echo ran");
        pod.start().unwrap();
        assert_eq!(pod.completed(), [77], "{mode}");
        let said = pod.logs("app");
        assert!(!said.contains("user ") && said.contains("permission denied (403)"), "{mode}: {said}");
        stage.tokens_end();
    }
}

#[test]
fn a_supervised_app_starts_again_with_a_rotated_secret_and_leaves_no_lease() {
    let engine = needs_pods!();
    let (mut kv, mut database) = (String::new(), String::new());
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        database = space.database();
        vec![format!("{kv}/data/app"), format!("{database}/creds/web")]
    });
    let annotations = json!({
        "mode": "supervise", "env.WORD": format!("vault:{kv}/data/app#word"), "refresh": "1s", "on-change": "restart",
        "secret.db": format!("vault:{database}/creds/web"), "file.user": "db#username",
    });
    let script = format!("echo \"word $WORD\"; {}", watch("user_is", "cat $SECRET_EXEC_DIR/user"));
    let pod = stage.pod(&annotations, &script);
    pod.start().unwrap();
    assert_eq!(pod.line("word "), "first");
    let user = pod.line("user_is ");
    is_only_itself(&pod);
    stage.space.bao.write(&format!("{kv}/data/app"), json!({ "data": { "word": "second" } }));
    pod.line("word second");
    let said = pod.logs("app");
    assert!(said.contains("ended"), "the first was asked to end: {said}");
    assert!(!said.contains("no state directory"), "nothing is wrong with this pod: {said}");
    assert_eq!((stage.logins(), stage.space.leases(&database, "web")), (1, 1));
    assert_eq!(pod.delete(), [0]);
    stage.leases_end(&database, "web");
    stage.tokens_end();
    assert_eq!(Postgres::shared().sql(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{user}'")), "0");
}
