//! The expressions of `deploy/`, evaluated: which pods reach the webhook, and which the policy refuses.

use serde_json::{Value, json};

use crate::deploy::load;
use crate::support::{inject, python, root, text};

/// For each object (stdin, a JSON list): null where a condition is false, else whether every validation is true. What comes
/// after a condition that is false is not evaluated, as in the API server.
const EVALUATE: &str = "
import sys, json, cel
conditions, validations = (json.loads(words) for words in sys.argv[1:])
def holds(expressions, object):
    return all(cel.evaluate(expression, {'object': object}) for expression in expressions)
print(json.dumps([holds(validations, o) if holds(conditions, o) else None for o in json.load(sys.stdin)]))
";

fn evaluate(conditions: &Value, validations: &Value, pods: &[Value]) -> Option<Vec<Option<bool>>> {
    let expressions = |list: &Value| {
        let all: Vec<Value> = list.as_array().unwrap().iter().map(|item| item["expression"].clone()).collect();
        json!(all).to_string()
    };
    let output = python(EVALUATE, &[&expressions(conditions), &expressions(validations)], &json!(pods).to_string())?;
    assert!(output.status.success(), "(tests/setup installs what is missing) {}", text(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn pod(annotations: Option<Value>) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
        "spec": { "containers": [{ "name": "app", "image": "app:1", "command": ["/app"] }] },
    });
    if let Some(annotations) = annotations {
        pod["metadata"]["annotations"] = annotations;
    }
    pod
}

/// As many annotations of others, and these.
fn many(count: usize, ours: &[(&str, &str)]) -> Value {
    let others = (0..count).map(|n| (format!("example.com/{n}"), json!("")));
    others.chain(ours.iter().map(|(key, value)| (format!("secret-exec.dev/{key}"), json!(value)))).collect()
}

/// Annotations, whether the webhook is called, and whether the policy looks at the pod.
fn cases() -> Vec<(&'static str, Option<Value>, bool, bool)> {
    vec![
        ("none", None, false, false),
        ("empty", Some(json!({})), false, false),
        ("one of others", Some(many(1, &[])), false, false),
        ("a name that only begins alike", Some(json!({ "secret-exec.development/a": "" })), false, false),
        ("one of ours", Some(many(0, &[("file.a", "vault:a#b")])), true, true),
        ("inject: true", Some(many(0, &[("inject", "true")])), true, true),
        ("inject: what nobody understands", Some(many(0, &[("inject", "no")])), true, true),
        ("inject: false", Some(many(0, &[("inject", "false"), ("file.a", "vault:a#b")])), false, false),
        ("1,000 of others", Some(many(1000, &[])), false, false),
        ("999 of others and one of ours", Some(many(999, &[("file.a", "vault:a#b")])), true, true),
        ("1,001 of others", Some(many(1001, &[])), true, false),
        ("1,001 and one of ours", Some(many(1001, &[("file.a", "vault:a#b")])), true, false),
        ("1,001 and inject: false", Some(many(1001, &[("inject", "false")])), false, false),
    ]
}

#[test]
fn the_webhook_is_called_for_pods_that_ask_or_have_too_many_annotations_to_look_at() {
    let Some(documents) = load(&root().join("deploy/base/webhook.yaml").display().to_string()) else { return };
    let pods: Vec<Value> = cases().into_iter().map(|(_, annotations, ..)| pod(annotations)).collect();
    let Some(answers) = evaluate(&documents[0]["webhooks"][0]["matchConditions"], &json!([]), &pods) else { return };
    for ((name, _, is_called, _), answer) in cases().into_iter().zip(answers) {
        assert_eq!(answer.is_some(), is_called, "{name}");
    }
}

/// Pods of labelled namespaces that ask another injector, and no others.
#[test]
fn the_webhook_for_dialects_is_called_for_pods_that_ask_another_injector() {
    let Some(documents) = load(&root().join("deploy/dialects/webhook.yaml").display().to_string()) else { return };
    let webhook = &documents[0]["webhooks"][0];
    assert_eq!(webhook["namespaceSelector"]["matchLabels"], json!({ "secret-exec.dev/dialects": "true" }));
    let cases = [
        (json!({ "vault.hashicorp.com/agent-inject": "true" }), true),
        (json!({ "vault.hashicorp.com/agent-inject": "tRuE" }), true),
        (json!({ "openbao.org/agent-inject": "true" }), true),
        (json!({ "vault.hashicorp.com/role": "web" }), false),
        (json!({ "vault.security.banzaicloud.io/vault-role": "web" }), true),
        (json!({ "secrets-webhook.security.bank-vaults.io/provider": "vault" }), true),
        (json!({ "secret-exec.dev/vault-role": "web" }), false),
        (json!({ "vault.hashicorp.com/agent-inject": "true", "secret-exec.dev/inject": "false" }), false),
        (many(1001, &[]), true),
    ];
    let pods: Vec<Value> = cases.iter().map(|(annotations, _)| pod(Some(annotations.clone()))).collect();
    let Some(answers) = evaluate(&webhook["matchConditions"], &json!([]), &pods) else { return };
    for ((annotations, is_called), answer) in cases.iter().zip(answers) {
        assert_eq!(answer.is_some(), *is_called, "{annotations}");
    }
}

/// What the policy answers: `None` when it does not look at the pod, else whether it lets it pass.
fn policy(pods: &[Value]) -> Option<Vec<Option<bool>>> {
    let documents = load(&root().join("deploy/base/policy.yaml").display().to_string())?;
    let spec = &documents[0]["spec"];
    evaluate(&spec["matchConditions"], &spec["validations"], pods)
}

#[test]
fn the_policy_refuses_a_pod_that_asks_and_was_not_injected() {
    let pods: Vec<Value> = cases().into_iter().map(|(_, annotations, ..)| pod(annotations)).collect();
    let Some(answers) = policy(&pods) else { return };
    for ((name, _, _, is_refused), answer) in cases().into_iter().zip(answers) {
        assert_eq!(answer, is_refused.then_some(false), "{name}");
    }
    let mut other = pod(Some(many(0, &[("file.a", "vault:a#b")])));
    other["spec"]["initContainers"] = json!([{ "name": "migrate", "image": "app:1" }]);
    let mut annotated = other.clone();
    annotated["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("0123");
    let owned_by = |kind: &str| {
        let mut pod = annotated.clone();
        pod["metadata"]["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": kind, "name": "Node", "uid": "u" }]);
        pod
    };
    let pods = [other, annotated.clone(), owned_by("ReplicaSet"), owned_by("Node")];
    assert_eq!(policy(&pods), Some(vec![Some(false), Some(false), Some(false), None]));
}

#[test]
fn the_policy_lets_every_injected_pod_pass() {
    let mut pods = Vec::new();
    for native in ["true", "false"] {
        let config = tempfile::NamedTempFile::new().unwrap();
        let operator = format!("image: i:1\nvault: {{ address: \"https://v\" }}\nnativeSidecar: {native}\n");
        std::fs::write(config.path(), operator).unwrap();
        for mode in ["sidecar", "init", "exec", "supervise"] {
            for policy in ["Always", "Never", "OnFailure"] {
                if native == "false" && mode == "sidecar" && policy != "Always" {
                    continue; // refused
                }
                let annotations = many(0, &[("mode", mode), ("vault-role", "web"), ("file.a", "vault:a#b")]);
                let mut pod = pod(Some(annotations));
                pod["spec"]["restartPolicy"] = json!(policy);
                let output = inject(&["manifest", "--config", config.path().to_str().unwrap()], &pod.to_string());
                assert!(output.status.success(), "{}", text(&output.stderr));
                pods.push(serde_json::from_slice(&output.stdout).unwrap());
            }
        }
    }
    let Some(answers) = policy(&pods) else { return };
    assert!(answers.len() >= 20 && answers.iter().all(|answer| *answer == Some(true)), "{answers:?}");
}
