//! The policies of `deploy/policies`, evaluated: which pods they refuse, and that both forms say the same.

use serde_json::{Value, json};

use crate::deploy::load;
use crate::support::{inject, python, root, text};

/// Whether a policy refuses each pod, with its conditions and variables, as the API server evaluates them.
const EVALUATE: &str = "
import sys, json, cel
wanted = json.load(sys.stdin)
def refuses(spec, pod):
    context = {'object': pod, 'variables': {}}
    if not all(cel.evaluate(c['expression'], context) for c in spec.get('matchConditions', [])):
        return False
    for variable in spec.get('variables', []):
        context['variables'][variable['name']] = cel.evaluate(variable['expression'], context)
    return not all(cel.evaluate(v['expression'], context) for v in spec['validations'])
print(json.dumps([refuses(wanted['spec'], pod) for pod in wanted['pods']]))
";

fn policies() -> Option<Vec<Value>> {
    let documents = load(&root().join("deploy/policies/admission.yaml").display().to_string())?;
    Some(documents.into_iter().filter(|document| document["kind"] == "ValidatingAdmissionPolicy").collect())
}

fn refused(name: &str, pods: &[Value]) -> Option<Vec<bool>> {
    let policies = policies()?;
    let policy = policies.iter().find(|policy| policy["metadata"]["name"] == name).unwrap();
    refused_by(policy, pods)
}

/// Whether the policy refuses each of the pods.
pub fn refused_by(policy: &Value, pods: &[Value]) -> Option<Vec<bool>> {
    let output = python(EVALUATE, &[], &json!({ "spec": policy["spec"], "pods": pods }).to_string())?;
    assert!(output.status.success(), "(tests/setup installs what is missing) {}", text(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A pod of this one container.
fn pod(mut container: Value) -> Value {
    container["name"] = json!("app");
    container["image"] = json!("app:1");
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" }, "spec": { "containers": [container] } })
}

/// The container of this pod as an init container, beside an app that is fine.
fn as_init(pod: &Value) -> Value {
    let mut moved = pod.clone();
    moved["spec"]["initContainers"] = moved["spec"]["containers"].take();
    moved["spec"]["initContainers"][0]["name"] = json!("first");
    moved["spec"]["containers"] = json!([{ "name": "app", "image": "app:1" }]);
    moved
}

/// Each pod, as it is and with its container as an init container, is refused or not.
#[track_caller]
fn are_refused(policy: &str, cases: &[(Value, bool)]) {
    let pods: Vec<Value> = cases.iter().flat_map(|(pod, _)| [pod.clone(), as_init(pod)]).collect();
    let Some(answers) = refused(policy, &pods) else { return };
    for ((pod, expected), answers) in cases.iter().zip(answers.chunks(2)) {
        assert_eq!(answers, [*expected; 2], "{pod}");
    }
}

#[test]
fn a_secret_in_plain_sight_is_refused_and_a_reference_is_not() {
    let env = |name: &str, value: &str| pod(json!({ "env": [{ "name": name, "value": value }] }));
    let field = json!({ "name": "DB_PASSWORD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } });
    are_refused(
        "secret-exec-no-plain-secrets",
        &[
            (env("DB_PASSWORD", "hunter2"), true),
            (env("password", "hunter2"), true),
            (env("STRIPE_API_KEY", "sk_live"), true),
            (env("STRIPE_APIKEY", "sk_live"), true),
            (env("TOKEN", "t"), true),
            (env("AWS_SECRET_ACCESS_KEY", "k"), true),
            (env("PGPASSWORD", "p"), true),
            (env("MYSQL_PWD", "p"), true),
            (env("dbPassword", "p"), true),
            (env("dbPass", "p"), true),
            (env("DB_PASS", "p"), true),
            (env("SECRET_KEY_BASE", "k"), true),
            (env("SECRET_KEY", "k"), true),
            (env("DB_PASSWORD", "arn:aws:s3:::bucket"), true),
            (env("DB_PASSWORD", "hunter$(2)"), true),
            (env("PGPASSWORD", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db#password"), false),
            (env("DB_PASSWORD", "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:db"), false),
            (env("DB_PASSWORD", "$(OTHER)"), false),
            (env("DB_PASSWORD", "${vault:secret/data/db#password}"), false),
            (env("PWD", "/app"), false),
            (env("OLDPWD", "/app"), false),
            (env("BYPASS", "yes"), false),
            (env("AWS_ACCESS_KEY_ID", "AKIA"), false),
            (env("DB_PASSWORD", "vault:"), true),
            (env("DB_PASSWORD", "vault:secret/data/db#password"), false),
            (env("DB_PASSWORD", "aws-sm:prod/db#password"), false),
            (env("DB_PASSWORD", ""), false),
            (env("DB_PASSWORD_FILE", "/run/secret-exec/files/db"), false),
            (env("TOKENIZER", "bpe"), false),
            (env("PORT", "8080"), false),
            (pod(json!({})), false),
            (pod(json!({ "env": [field] })), false),
        ],
    );
}

#[test]
fn a_secret_object_in_the_environment_is_refused_where_the_namespace_says_so() {
    let key = json!({ "name": "A", "valueFrom": { "secretKeyRef": { "name": "db", "key": "a" } } });
    are_refused(
        "secret-exec-no-secret-env",
        &[
            (pod(json!({ "envFrom": [{ "secretRef": { "name": "db" } }] })), true),
            (pod(json!({ "envFrom": [{ "configMapRef": { "name": "db" } }] })), false),
            (pod(json!({ "env": [key] })), true),
            (pod(json!({ "env": [{ "name": "A", "value": "b" }] })), false),
            (pod(json!({})), false),
        ],
    );
}

#[test]
fn a_pod_that_asks_is_restricted_and_injection_keeps_it_so() {
    let restricted = json!({
        "runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let asks = |context: Value| {
        let mut pod = pod(json!({ "securityContext": context, "command": ["/app"] }));
        pod["metadata"]["annotations"] =
            json!({ "secret-exec.dev/vault-role": "web", "secret-exec.dev/file.a": "vault:a#b" });
        pod
    };
    let without = |key: &str| {
        let mut context = restricted.clone();
        context.as_object_mut().unwrap().remove(key);
        asks(context)
    };
    let with = |key: &str, value: Value| {
        let mut context = restricted.clone();
        context[key] = value;
        asks(context)
    };
    let in_pod = |key: &str, value: Value| {
        let mut pod = asks(restricted.clone());
        pod["spec"][key] = value;
        pod
    };
    let mut by_pod = without("runAsNonRoot");
    by_pod["spec"]["securityContext"] = json!({ "runAsNonRoot": true });
    let mut filtered_by_pod = without("seccompProfile");
    filtered_by_pod["spec"]["securityContext"] = json!({ "seccompProfile": { "type": "Localhost" } });
    let mut root_by_pod = asks(restricted.clone());
    root_by_pod["spec"]["securityContext"] = json!({ "runAsUser": 0 });
    let mut user_of_its_own = root_by_pod.clone();
    user_of_its_own["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(1000);
    let mut root_anyway = by_pod.clone();
    root_anyway["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] = json!(false);
    let mut off = asks(json!({}));
    off["metadata"]["annotations"]["secret-exec.dev/inject"] = json!("false");
    let mut other = asks(json!({}));
    other["metadata"]["annotations"] = json!({ "example.com/a": "" });
    // As another injector's annotations are injected, or a copy without annotations: its container says that it gets secrets.
    let injected = |context: Value| {
        let mut pod = asks(context);
        pod["metadata"]["annotations"] = json!({ "vault.hashicorp.com/agent-inject": "true" });
        pod["spec"]["initContainers"] = json!([{ "name": "secret-exec", "securityContext": restricted.clone() }]);
        pod
    };
    let mut stripped = injected(json!({}));
    stripped["metadata"].as_object_mut().unwrap().remove("annotations");
    let mut cases = vec![
        (asks(restricted.clone()), false),
        (injected(restricted.clone()), false),
        (injected(json!({})), true),
        (stripped, true),
        (without("runAsNonRoot"), true),
        (without("allowPrivilegeEscalation"), true),
        (without("capabilities"), true),
        (asks(json!({})), true),
        (without("seccompProfile"), true),
        (with("seccompProfile", json!({ "type": "Unconfined" })), true),
        (with("seccompProfile", json!({ "type": "Localhost", "localhostProfile": "a" })), false),
        (with("capabilities", json!({ "drop": ["ALL"], "add": ["SYS_ADMIN"] })), true),
        (with("capabilities", json!({ "drop": ["ALL"], "add": ["sys_admin"] })), true),
        (with("capabilities", json!({ "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] })), false),
        (with("runAsUser", json!(0)), true),
        (with("runAsUser", json!(1000)), false),
        (in_pod("hostPID", json!(true)), true),
        (in_pod("hostIPC", json!(true)), true),
        (in_pod("hostNetwork", json!(true)), true),
        (in_pod("hostPID", json!(false)), false),
        (in_pod("volumes", json!([{ "name": "v", "hostPath": { "path": "/" } }])), true),
        (in_pod("volumes", json!([{ "name": "v", "emptyDir": {} }])), false),
        (filtered_by_pod, false),
        (root_by_pod, true),
        (user_of_its_own, false),
        (by_pod, false),
        (root_anyway, true),
        (off, false),
        (other, false),
    ];
    for mode in ["sidecar", "init", "exec"] {
        let mut plain = asks(restricted.clone());
        plain["metadata"]["annotations"]["secret-exec.dev/mode"] = json!(mode);
        let config = root().join("deploy/base/injector.yaml").display().to_string();
        let output = inject(&["manifest", "--config", &config], &plain.to_string());
        assert!(output.status.success(), "{}", text(&output.stderr));
        cases.push((serde_json::from_slice(&output.stdout).unwrap(), false));
    }
    let pods: Vec<Value> = cases.iter().map(|(pod, _)| pod.clone()).collect();
    let Some(answers) = refused("secret-exec-restricted", &pods) else { return };
    for ((pod, expected), answer) in cases.iter().zip(answers) {
        assert_eq!(answer, *expected, "{pod}");
    }
}

#[test]
fn a_container_that_debugs_a_pod_gets_none_of_its_secrets() {
    let config = root().join("deploy/base/injector.yaml").display().to_string();
    let mut cases: Vec<(Value, bool)> = Vec::new();
    for mode in ["sidecar", "init", "exec", "supervise"] {
        let mut asks = pod(json!({ "command": ["/app"] }));
        asks["metadata"]["annotations"] = json!({
            "secret-exec.dev/mode": mode, "secret-exec.dev/vault-role": "web", "secret-exec.dev/file.a": "vault:a#b",
        });
        let output = inject(&["manifest", "--config", &config], &asks.to_string());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let injected: Value = serde_json::from_slice(&output.stdout).unwrap();
        let debugged = |pod: &Value, more: Value| {
            let mut container = json!({ "name": "debugger", "image": "busybox" });
            container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut pod = pod.clone();
            pod["spec"]["ephemeralContainers"] = json!([{ "name": "first", "image": "busybox" }, container]);
            pod
        };
        let with = |more: Value| debugged(&injected, more);
        cases.extend([(injected.clone(), false), (with(json!({})), false)]);
        // Every volume that injection adds, whatever it is called, and none of the app's own.
        let volumes = injected["spec"]["volumes"].as_array().unwrap();
        assert!(!volumes.is_empty());
        for volume in volumes {
            let mount = json!({ "volumeMounts": [{ "name": volume["name"], "mountPath": "/x", "readOnly": true }] });
            cases.push((with(mount), true));
        }
        cases.push((with(json!({ "volumeMounts": [{ "name": "data", "mountPath": "/x" }] })), false));
        for (target, expected) in [("secret-exec", true), ("secret-exec-init", true), ("app", false)] {
            cases.push((with(json!({ "targetContainerName": target })), expected));
        }
        for (capability, expected) in [
            ("SYS_PTRACE", true),
            ("sys_ptrace", true),
            ("Cap_Sys_Ptrace", true),
            ("SYS_ADMIN", true),
            ("ALL", true),
            ("all", true),
            ("SYS_MODULE", true),
            ("DAC_READ_SEARCH", true),
            ("PERFMON", true),
            ("NET_RAW", false),
            ("NET_ADMIN", false),
        ] {
            let context = json!({ "securityContext": { "capabilities": { "add": [capability] } } });
            cases.push((with(context.clone()), expected));
            cases.push((debugged(&pod(json!({})), context), false));
        }
        let restricted = json!({ "privileged": false, "capabilities": { "drop": ["ALL"] } });
        cases.push((with(json!({ "securityContext": restricted })), false));
        cases.push((with(json!({ "securityContext": { "privileged": true } })), true));
    }
    let pods: Vec<Value> = cases.iter().map(|(pod, _)| pod.clone()).collect();
    let Some(answers) = refused("secret-exec-no-debug-access", &pods) else { return };
    for ((pod, expected), answer) in cases.iter().zip(answers) {
        assert_eq!(answer, *expected, "{}", pod["spec"]["ephemeralContainers"]);
    }
    // It is asked where such containers are added, and only there.
    let policies = policies().unwrap();
    let policy = policies.iter().find(|policy| policy["metadata"]["name"] == "secret-exec-no-debug-access").unwrap();
    let rule = &policy["spec"]["matchConstraints"]["resourceRules"][0];
    assert_eq!((&rule["resources"], &rule["operations"]), (&json!(["pods/ephemeralcontainers"]), &json!(["UPDATE"])));
}

#[test]
fn kyvernos_policies_say_the_same() {
    let kyverno = root().join("deploy/policies/kyverno.yaml").display().to_string();
    let (Some(policies), Some(kyverno)) = (policies(), load(&kyverno)) else { return };
    assert_eq!(policies.len(), kyverno.len());
    for (policy, theirs) in policies.iter().zip(&kyverno) {
        assert_eq!(policy["metadata"]["name"], theirs["metadata"]["name"]);
        let rule = &theirs["spec"]["rules"][0];
        assert_eq!(policy["spec"].get("matchConditions"), rule.get("celPreconditions"));
        let cel = &rule["validate"]["cel"];
        assert_eq!(policy["spec"]["variables"], cel["variables"]);
        let ours = policy["spec"]["validations"].as_array().unwrap();
        let said = cel["expressions"].as_array().unwrap();
        assert_eq!(ours.len(), said.len());
        for (ours, said) in ours.iter().zip(said) {
            assert_eq!((&ours["expression"], &ours["message"]), (&said["expression"], &said["message"]));
        }
    }
}
