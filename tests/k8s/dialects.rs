//! The policy of `deploy/dialects`, evaluated: a pod that asks another injector and was not injected is refused.

use serde_json::{Value, json};

use crate::deploy::load;
use crate::policies::refused_by;
use crate::support::{CONFIG, inject, root, text};

fn pod(annotations: Value, env: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "annotations": annotations },
        "spec": { "containers": [{ "name": "app", "image": "app:1", "command": ["/app"], "env": env }] },
    })
}

/// The policy says of each pod, as it is, what is expected; the injector with these dialects makes one of each that passes.
#[track_caller]
fn are_refused(cases: &[(Value, bool)]) {
    let policy = load(&root().join("deploy/dialects/policy.yaml").display().to_string());
    let Some(policy) = policy.map(|mut documents| documents.remove(0)) else { return };
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), format!("{CONFIG}dialects: [vault, openbao, bank-vaults]\n")).unwrap();
    let injected = |pod: &Value| {
        let output = inject(&["manifest", "--config", config.path().to_str().unwrap()], &pod.to_string());
        assert!(output.status.success(), "{pod}: {}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let before: Vec<Value> = cases.iter().map(|(pod, _)| pod.clone()).collect();
    let Some(answers) = refused_by(&policy, &before) else { return };
    for ((pod, expected), answer) in cases.iter().zip(answers) {
        assert_eq!(answer, *expected, "{pod}");
    }
    let after: Vec<Value> = before.iter().map(injected).collect();
    for ((before, after), (_, is_refused)) in before.iter().zip(&after).zip(cases) {
        assert_eq!(before != after, *is_refused, "what the policy refuses is what would be injected: {before}");
    }
    assert_eq!(refused_by(&policy, &after), Some(vec![false; after.len()]));
}

#[test]
fn a_pod_that_asks_an_agent_injector_and_was_not_injected_is_refused() {
    let mut cases = Vec::new();
    for prefix in ["vault.hashicorp.com/", "openbao.org/"] {
        let with = |inject: &str, more: &[(&str, &str)]| {
            let mut annotations = json!({
                format!("{prefix}agent-inject"): inject, format!("{prefix}role"): "web",
                format!("{prefix}agent-inject-secret-db"): "secret/data/db",
            });
            for (key, value) in more {
                annotations[*key] = json!(value);
            }
            pod(annotations, json!([]))
        };
        for word in ["1", "t", "T", "true", "TRUE", "True"] {
            cases.push((with(word, &[]), true));
        }
        for word in ["", "0", "f", "F", "false", "FALSE", "False"] {
            cases.push((with(word, &[]), false));
        }
        let status = format!("{prefix}agent-inject-status");
        cases.push((with("true", &[(&status, "injected")]), false));
        cases.push((with("true", &[(&status, "update")]), true));
        cases.push((with("true", &[("secret-exec.dev/inject", "false")]), false));
        cases.push((pod(json!({ format!("{prefix}role"): "web" }), json!([])), false));
    }
    are_refused(&cases);
}

#[test]
fn a_pod_with_references_for_bank_vaults_that_was_not_injected_is_refused() {
    let mut cases = vec![(pod(json!({}), json!([{ "name": "A", "value": "vault:secret/data/db#a" }])), false)];
    for prefix in ["vault.security.banzaicloud.io/", "secrets-webhook.security.bank-vaults.io/"] {
        let with = |value: &str, more: &[(&str, &str)]| {
            let mut annotations = json!({ format!("{prefix}vault-role"): "web" });
            for (key, value) in more {
                annotations[format!("{prefix}{key}")] = json!(value);
            }
            pod(annotations, json!([{ "name": "A", "value": value }]))
        };
        let reference = "vault:secret/data/db#a";
        for (value, expected) in [
            (reference, true),
            ("bao:secret/data/db#a", true),
            ("postgres://${vault:secret/data/db#a}@db", true),
            ("plain", false),
            ("https://vault.example.com:8200", false),
            ("", false),
        ] {
            cases.push((with(value, &[]), expected));
        }
        cases.push((with(reference, &[("mutate", "skip")]), false));
        cases.push((with(reference, &[("mutate-containers", "proxy , app")]), true));
        cases.push((with(reference, &[("mutate-containers", " ")]), true));
        cases.push((with(reference, &[("mutate-containers", "app-2,a,pp")]), false));
        cases.push((with(reference, &[("mutate", "yes")]), true));
    }
    are_refused(&cases);
}

/// The mirror of a static pod passes where a Node owns it, and only there.
#[test]
fn the_policy_for_dialects_lets_a_mirror_pass() {
    let annotations = json!({ "vault.hashicorp.com/agent-inject": "true", "kubernetes.io/config.mirror": "0123" });
    let pretended = pod(annotations, json!([]));
    let mut mirror = pretended.clone();
    mirror["metadata"]["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" }]);
    let policy = load(&root().join("deploy/dialects/policy.yaml").display().to_string());
    let Some(policy) = policy.map(|mut documents| documents.remove(0)) else { return };
    let Some(answers) = refused_by(&policy, &[pretended, mirror]) else { return };
    assert_eq!(answers, [true, false]);
}
