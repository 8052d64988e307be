//! A sidecar beside the app: fresh files, one login, one lease, and nothing left.

use serde_json::json;

use crate::engine::needs_pods;
use crate::stage::{Stage, is_only_itself, watch};
use support::Postgres;

const FILES: &str = "/run/secret-exec/files";

#[test]
fn a_rotated_secret_reaches_an_app_of_another_user() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/app")]
    });
    let annotations = json!({ "file.word": format!("vault:{kv}/data/app#word"), "refresh": "1s" });
    let script = format!(
        "touch {FILES}/mark 2>/dev/null && echo may write the volume; ls /run/secret-exec-identity 2>/dev/null && echo sees \
         our token; {}",
        watch("word", &format!("cat {FILES}/word"))
    );
    let pod = stage.pod(&annotations, &script);
    pod.start().unwrap();
    assert_eq!(pod.line("word "), "first");
    is_only_itself(&pod);
    stage.space.bao.write(&format!("{kv}/data/app"), json!({ "data": { "word": "second" } }));
    pod.line("word second");
    let said = pod.logs("app");
    assert!(!said.contains("may write the volume") && !said.contains("sees our token"), "{said}");
    assert_eq!((pod.delete(), stage.logins()), (vec![0, 0], 1));
    stage.tokens_end();
}

#[test]
fn files_stand_where_the_app_wants_them() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/app")]
    });
    let file = format!("vault:{kv}/data/app#word");
    let annotations = json!({ "file.word": file, "refresh": "1s", "volume": "/etc/app/secrets" });
    let pod = stage.pod(&annotations, &watch("word", "cat /etc/app/secrets/word"));
    pod.start().unwrap();
    assert_eq!(pod.line("word "), "first");
    stage.space.bao.write(&format!("{kv}/data/app"), json!({ "data": { "word": "second" } }));
    pod.line("word second");
    assert_eq!(pod.delete(), [0, 0]);
}

#[test]
fn after_a_pod_is_deleted_no_lease_is_left() {
    let engine = needs_pods!();
    let mut database = String::new();
    let stage = Stage::new(engine, |space| {
        database = space.database();
        vec![format!("{database}/creds/web")]
    });
    let annotations = json!({
        "secret.db": format!("vault:{database}/creds/web"), "file.user": "db#username", "file.password": "db#password",
        "run-as": format!("{0}:{0}", support::APP),
    });
    let script = watch("credential", &format!("echo \"$(cat {FILES}/user) $(cat {FILES}/password)\""));
    let pod = stage.pod(&annotations, &script);
    pod.start().unwrap();
    let credential = pod.line("credential ");
    is_only_itself(&pod);
    let (user, password) = credential.split_once(' ').unwrap();
    let postgres = Postgres::shared();
    assert_eq!(postgres.sql_as(user, password, "SELECT current_user"), Ok(user.to_owned()));
    assert_eq!((stage.logins(), stage.space.leases(&database, "web")), (1, 1));
    let said = pod.logs("secret-exec-init");
    assert!(
        said.contains("left to the sidecar") && !said.contains("nothing renews it"),
        "somebody comes after: {said}"
    );
    assert_eq!(pod.delete(), [0, 0]);
    stage.leases_end(&database, "web");
    stage.tokens_end();
    assert_eq!(postgres.sql(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{user}'")), "0");
}

#[test]
fn a_job_completes_beside_its_sidecar() {
    let engine = needs_pods!();
    let mut database = String::new();
    let stage = Stage::new(engine, |space| {
        database = space.database();
        vec![format!("{database}/creds/web")]
    });
    let annotations = json!({ "file.db.json": format!("vault:{database}/creds/web") });
    let pod = stage.pod(&annotations, &format!("grep -q password {FILES}/db.json && echo worked; exit 3"));
    pod.start().unwrap();
    pod.line("worked");
    assert_eq!(
        (stage.logins(), stage.space.leases(&database, "web")),
        (1, 1),
        "the sidecar takes over what the init container has"
    );
    assert_eq!(pod.completed(), [3, 0], "the app's own code, and a sidecar that ended well");
    stage.leases_end(&database, "web");
    stage.tokens_end();
}

/// An init container that fails fails the pod, and with it the Job; a native sidecar would be restarted for ever.
#[test]
fn a_denied_secret_fails_a_pod_that_never_restarts() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/other")]
    });
    let annotations = json!({ "file.word": format!("vault:{kv}/data/app#word") });
    let pod = stage.pod(&annotations, "echo ran");
    pod.start().unwrap_err();
    let said = pod.logs("secret-exec-init");
    assert_eq!(pod.exit_code("secret-exec-init"), Some(77), "{said}");
    assert!(said.contains("permission denied (403)"), "{said}");
    assert!(!pod.has_started("secret-exec") && !pod.has_started("app"));
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
    let annotations = json!({ "file.word": format!("vault:{kv}/data/app#word") });
    let pod = stage.staying_pod(&annotations, "echo ran");
    let error = pod.start().unwrap_err();
    assert!(error.starts_with("secret-exec ended with 77: ") && error.contains("permission denied (403)"), "{error}");
    assert!(!pod.has_started("app"));
    stage.tokens_end();
}

#[test]
fn a_cluster_without_native_sidecars_has_one_login_and_one_lease_all_the_same() {
    let engine = needs_pods!();
    let mut database = String::new();
    let stage = Stage::new(engine, |space| {
        database = space.database();
        vec![format!("{database}/creds/web")]
    });
    let annotations = json!({ "secret.db": format!("vault:{database}/creds/web"), "file.user": "db#username" });
    let pod = stage.old_pod(&annotations, &watch("user_is", &format!("cat {FILES}/user")));
    pod.start().unwrap();
    let user = pod.line("user_is ");
    is_only_itself(&pod);
    crate::node::within(std::time::Duration::from_secs(10), "the sidecar takes over", || {
        pod.succeeds("secret-exec", &["/secret-exec", "status", "--ready"])
    });
    assert_eq!((stage.logins(), stage.space.leases(&database, "web")), (1, 1));
    assert_eq!(pod.delete(), [0, 0]);
    stage.leases_end(&database, "web");
    stage.tokens_end();
    assert_eq!(Postgres::shared().sql(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{user}'")), "0");
}
