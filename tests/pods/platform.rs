//! Pods as platforms make them: with uids of a namespace, with one namespace of processes, with an identity of AWS.

use serde_json::{Value, json};

use crate::engine::needs_pods;
use crate::stage::{Stage, is_only, is_only_itself, watch};
use support::{APP, Moto};

const FILES: &str = "/run/secret-exec/files";
/// A uid as OpenShift gives it: the first of a namespace's range, without an entry in any passwd file.
const RANDOM: u64 = 1_000_650_000;

/// What OpenShift's `restricted-v2` does at admission: every container that says no user gets the namespace's, whose group
/// is 0 then; and the pod gets the namespace's group.
fn in_a_namespace_with_uids(pod: &mut Value) {
    pod["spec"]["securityContext"]["fsGroup"] = json!(RANDOM);
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let context = container["securityContext"].as_object_mut().unwrap();
            context.entry("runAsUser").or_insert(json!(RANDOM));
        }
    }
}

/// An author who leaves it to the platform who the app is.
fn without_a_user(pod: &mut Value) {
    let context = pod["spec"]["containers"][0]["securityContext"].as_object_mut().unwrap();
    context.remove("runAsUser");
    context.remove("runAsGroup");
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn a_random_uid_reads_its_secrets_and_their_rotation() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/app")]
    });
    let annotations = json!({ "file.word": format!("vault:{kv}/data/app#word"), "refresh": "1s" });
    let pod = stage.pod_on(&annotations, &watch("word", &format!("cat {FILES}/word")), without_a_user, |pod| {
        for ours in pod["spec"]["initContainers"].as_array().unwrap() {
            assert!(names(&json!([ours]))[0].starts_with("secret-exec"));
            assert_eq!(ours["securityContext"].get("runAsUser"), None);
        }
        in_a_namespace_with_uids(pod);
    });
    pod.start().unwrap();
    assert_eq!(pod.line("word "), "first");
    is_only(&pod, &format!("{RANDOM}:0"));
    stage.space.bao.write(&format!("{kv}/data/app"), json!({ "data": { "word": "second" } }));
    pod.line("word second");
    assert_eq!((pod.delete(), stage.logins()), (vec![0, 0], 1));
    stage.tokens_end();
}

#[test]
fn a_random_uid_is_wrapped() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/app")]
    });
    let reference = format!("vault:{kv}/data/app#word");
    let annotations = json!({ "mode": "exec", "env.WORD": reference, "file.word": reference });
    let script = "echo \"word $WORD\"; echo \"file $(cat $SECRET_EXEC_DIR/word)\"";
    let pod = stage.pod_on(&annotations, script, without_a_user, in_a_namespace_with_uids);
    pod.start().unwrap();
    assert_eq!((pod.line("word "), pod.line("file ")), ("first".into(), "first".into()));
    is_only(&pod, &format!("{RANDOM}:0"));
    assert_eq!((pod.completed(), stage.logins()), (vec![0], 1));
    stage.tokens_end();
}

#[test]
fn a_process_of_the_app_is_signalled_once_for_each_rotation() {
    let engine = needs_pods!();
    let mut kv = String::new();
    let stage = Stage::new(engine, |space| {
        kv = space.kv2(&[("app", json!({ "word": "first" }))]);
        vec![format!("{kv}/data/app")]
    });
    let annotations = json!({
        "file.word": format!("vault:{kv}/data/app#word"), "refresh": "1s",
        "on-change": "signal:HUP@sh", "run-as": format!("{APP}:{APP}"),
    });
    let script = format!("trap 'echo \"hup $(cat {FILES}/word)\"' HUP; echo ready; while :; do sleep 0.1; done");
    let shares = |pod: &mut Value| assert_eq!(pod["spec"]["shareProcessNamespace"], true);
    let pod = stage.pod_on(&annotations, &script, |_| (), shares);
    pod.start().unwrap();
    pod.line("ready");
    is_only_itself(&pod);
    for word in ["second", "third"] {
        stage.space.bao.write(&format!("{kv}/data/app"), json!({ "data": { "word": word } }));
        pod.line(&format!("hup {word}"));
    }
    let said = pod.logs("app");
    assert_eq!(said.matches("hup ").count(), 2, "nobody is told of the first delivery: {said}");
    assert_eq!(pod.delete(), [0, 0]);
    stage.tokens_end();
}

#[test]
fn an_identity_of_aws_on_the_app_is_our_containers_too() {
    const FOLDER: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
    let engine = needs_pods!();
    let stage = Stage::new(engine, |_| vec!["nothing/of/the/server".into()]);
    let moto = Moto::shared();
    let name = format!("pods/word-{}", stage.space.id);
    moto.create(&name, "{\"word\":\"first\"}");
    let annotations = json!({ "file.word": format!("aws-sm:{name}#word"), "refresh-aws": "1s" });
    // As EKS's own webhook changes a pod whose service account has a role.
    let identity = |pod: &mut Value| {
        pod["metadata"]["annotations"].as_object_mut().unwrap().remove("secret-exec.dev/vault-role");
        let app = &mut pod["spec"]["containers"][0];
        app["env"] = json!([
            { "name": "AWS_REGION", "value": "eu-west-1" },
            { "name": "AWS_ROLE_ARN", "value": "arn:aws:iam::123456789012:role/web" },
            { "name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": format!("{FOLDER}/token") },
        ]);
        app["volumeMounts"] = json!([{ "name": "aws-iam-token", "mountPath": FOLDER, "readOnly": true }]);
        let token = json!({ "audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token" });
        let volume = json!({ "name": "aws-iam-token", "projected": { "sources": [{ "serviceAccountToken": token }] } });
        pod["spec"]["volumes"] = json!([volume]);
    };
    let pod = stage.pod_on(&annotations, &watch("word", &format!("cat {FILES}/word")), identity, |pod| {
        for ours in pod["spec"]["initContainers"].as_array_mut().unwrap() {
            assert!(names(&ours["env"]).contains(&"AWS_WEB_IDENTITY_TOKEN_FILE"));
            // The only thing that is not as on EKS: AWS is played by a server here, which a variable names.
            let endpoint = json!({ "name": "AWS_ENDPOINT_URL", "value": format!("http://127.0.0.1:{}", moto.port) });
            ours["env"].as_array_mut().unwrap().push(endpoint);
            ours["args"].as_array_mut().unwrap().retain(|word| word != "--pinned");
        }
    });
    pod.start().unwrap();
    assert_eq!(pod.line("word "), "first");
    is_only_itself(&pod);
    moto.call("eu-west-1", "PutSecretValue", json!({ "SecretId": name, "SecretString": "{\"word\":\"second\"}" }));
    pod.line("word second");
    assert_eq!((pod.delete(), stage.logins()), (vec![0, 0], 0));
}
