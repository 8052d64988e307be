//! The chart of `deploy/helm`, rendered by Helm itself: the same objects as kustomize makes, certificates that serve, and values
//! that are refused when they are wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret_exec::config::{Injector, Text};
use serde_json::{Value, json};

use crate::deploy::{validated, yaml_documents};
use crate::kustomize::{applied, copy};
use crate::support::{Webhook, connect, inject, python, root, text};

const NAMESPACE: &str = "secret-exec";

/// What Helm makes of these values, or its refusal. `None` where the real parts are not installed.
fn render(values: &Value, cluster: &Value) -> Option<Result<Vec<Value>, String>> {
    let objects = |rendered: Value| rendered["objects"].as_array().unwrap().clone();
    Some(by_helm(values, cluster)?.map(objects))
}

fn by_helm(values: &Value, cluster: &Value) -> Option<Result<Value, String>> {
    let script = std::fs::read_to_string(root().join("tests/parts/helm.py")).unwrap();
    let script = format!("__file__ = {:?}\n{script}", root().join("tests/parts/helm.py"));
    let input = json!({ "values": values, "namespace": NAMESPACE, "cluster": cluster }).to_string();
    let output = python(&script, &[], &input)?;
    Some(match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(text(&output.stderr).to_owned()),
    })
}

#[track_caller]
pub fn rendered(values: &Value) -> Option<Vec<Value>> {
    render(values, &Value::Null).map(Result::unwrap)
}

fn of<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn has(objects: &[Value], kind: &str) -> bool {
    objects.iter().any(|object| object["kind"] == kind)
}

/// Without what the two ways do differently on purpose: how a change of the ConfigMap rolls the Deployment, and its comments.
fn comparable(mut objects: Vec<Value>) -> Option<Vec<Value>> {
    for object in &mut objects {
        if object["kind"] == "ConfigMap" {
            let injector = object["data"]["injector.yaml"].as_str().unwrap().to_owned();
            object["data"]["injector.yaml"] = yaml_documents(&injector)?.remove(0);
        }
        if object["kind"] == "Deployment" {
            let template = object["spec"]["template"]["metadata"].as_object_mut().unwrap();
            template.remove("annotations");
        }
    }
    objects.sort_by_key(|object| format!("{}{}", object["kind"], object["metadata"]["name"]));
    Some(objects)
}

#[track_caller]
fn same(overlay: &str, chart: Vec<Value>, kustomize: Vec<Value>) {
    let (Some(chart), Some(kustomize)) = (comparable(chart), comparable(kustomize)) else { return };
    let names = |objects: &[Value]| -> Vec<String> {
        objects.iter().map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])).collect()
    };
    assert_eq!(names(&chart), names(&kustomize), "{overlay}");
    for (ours, theirs) in chart.iter().zip(&kustomize) {
        assert_eq!(ours, theirs, "{overlay}");
    }
}

#[test]
fn the_chart_makes_the_same_objects_as_kustomize() {
    let copy = copy();
    let by_kustomize = |overlay: &str| applied(&copy.path().join("deploy").join(overlay));
    for (overlay, mode) in [("base", "existing"), ("cert-manager", "certManager")] {
        let values = json!({ "certificates": { "mode": mode }, "namespace": { "create": true } });
        let (Some(chart), Some(kustomize)) = (rendered(&values), by_kustomize(overlay)) else { return };
        same(overlay, chart, kustomize);
    }
    // The defaults: the certificate and its authority are all that is added.
    let (Some(mut chart), Some(mut base)) = (rendered(&json!({})), by_kustomize("base")) else { return };
    assert!(of(&chart, "Secret")["data"]["tls.key"].is_string());
    chart.retain(|object| object["kind"] != "Secret");
    base.retain(|object| object["kind"] != "Namespace");
    let webhook = chart.iter_mut().find(|object| object["kind"] == "MutatingWebhookConfiguration").unwrap();
    let bundle = webhook["webhooks"][0]["clientConfig"].as_object_mut().unwrap().remove("caBundle");
    assert!(bundle.is_some());
    same("base", chart, base);
    let values = json!({ "metrics": { "serviceMonitor": { "enabled": true }, "podMonitor": { "enabled": true }, "rules": { "enabled": true } } });
    let (Some(mut chart), Some(monitoring)) = (rendered(&values), by_kustomize("monitoring")) else { return };
    chart.retain(|object| object["apiVersion"] == "monitoring.coreos.com/v1");
    same("monitoring", chart, monitoring);
}

#[test]
fn the_charts_values_reach_the_objects() {
    let values = json!({
        "name": "secrets", "kubernetesVersion": "1.31.2",
        "image": { "repository": "mirror/secret-exec", "digest": format!("sha256:{}", "0".repeat(64)),
                   "pullSecrets": [{ "name": "registry" }], "pullPolicy": "Always" },
        "injector": { "readerGroup": 1_000_660_000, "allowAddresses": ["https://other:8200"], "nativeSidecar": false },
        "webhook": { "port": 443, "namespaceSelector": { "matchLabels": { "team": "a" } }, "failurePolicy": "Ignore",
                     "timeoutSeconds": 3, "listenAddress": "[::]" },
        "replicas": 3, "logLevel": "debug", "priorityClassName": "system-cluster-critical",
        "podDisruptionBudget": { "minAvailable": 2 }, "nodeSelector": { "pool": "system" },
        "tolerations": [{ "operator": "Exists" }], "affinity": { "podAntiAffinity": {} }, "labels": { "team": "platform" },
        "podLabels": { "cost": "x" }, "podAnnotations": { "note": "y" },
        "topologySpreadConstraints": [{ "maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }],
        "networkPolicy": { "from": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] },
        "serviceAccount": { "annotations": { "note": "z" } },
    });
    let Some(objects) = rendered(&values) else { return };
    let text_of = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    assert!(validated(&text_of, "the chart") >= 10);
    let image = format!("mirror/secret-exec@sha256:{}", "0".repeat(64));
    let injector = of(&objects, "ConfigMap")["data"]["injector.yaml"].as_str().unwrap();
    let parsed = Injector::parse(Text { name: "injector.yaml", text: injector }).unwrap();
    assert_eq!((parsed.image.as_str(), parsed.reader_group), (image.as_str(), 1_000_660_000));
    let deployment = of(&objects, "Deployment");
    let template = &deployment["spec"]["template"];
    let pod = &template["spec"];
    for (pointer, expected) in [
        ("/containers/0/image", json!(image)),
        ("/containers/0/imagePullPolicy", json!("Always")),
        ("/containers/0/ports/0/containerPort", json!(443)),
        ("/securityContext/sysctls/0/name", json!("net.ipv4.ip_unprivileged_port_start")),
        ("/imagePullSecrets", json!([{ "name": "registry" }])),
        ("/priorityClassName", json!("system-cluster-critical")),
        ("/nodeSelector", json!({ "pool": "system" })),
        ("/tolerations", json!([{ "operator": "Exists" }])),
        ("/affinity", json!({ "podAntiAffinity": {} })),
        ("/topologySpreadConstraints/0/maxSkew", json!(2)),
        ("/volumes/1/secret/secretName", json!("secrets-tls")),
    ] {
        assert_eq!(pod.pointer(pointer), Some(&expected), "{pointer}");
    }
    let arguments = pod["containers"][0]["args"].to_string();
    assert!(arguments.contains("--listen=[::]:443"), "{arguments}");
    assert_eq!(template["metadata"]["labels"], json!({ "app.kubernetes.io/name": "secrets", "cost": "x" }));
    assert_eq!(template["metadata"]["annotations"]["note"], "y");
    assert_eq!(deployment["spec"]["replicas"], 3);
    let webhook = &of(&objects, "MutatingWebhookConfiguration")["webhooks"][0];
    assert_eq!(webhook["namespaceSelector"], json!({ "matchLabels": { "team": "a" } }));
    assert_eq!((&webhook["failurePolicy"], &webhook["timeoutSeconds"]), (&json!("Ignore"), &json!(3)));
    assert_eq!(webhook["clientConfig"]["service"]["name"], "secrets");
    assert_eq!(of(&objects, "PodDisruptionBudget")["spec"]["minAvailable"], 2);
    assert_eq!(of(&objects, "NetworkPolicy")["spec"]["ingress"][0]["from"][0]["ipBlock"]["cidr"], "10.0.0.0/8");
    assert_eq!(of(&objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"], 443);
    assert_eq!(of(&objects, "ServiceAccount")["metadata"]["annotations"]["note"], "z");
    let quota = &of(&objects, "ResourceQuota")["spec"]["scopeSelector"]["matchExpressions"][0]["values"][0];
    assert_eq!(quota, "system-cluster-critical");
    assert!(objects.iter().all(|object| object["metadata"]["labels"]["team"] == "platform"));
}

/// Nothing is amiss with the options themselves: the first thing that the program misses here is its files.
#[test]
fn the_webhook_knows_every_argument_that_the_chart_gives_it() {
    for level in ["", "error", "warn", "info", "debug", "trace"] {
        for format in ["text", "json"] {
            let values = json!({ "logLevel": level, "logFormat": format });
            let Some(objects) = rendered(&values) else { return };
            let container = &of(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
            let arguments: Vec<&str> =
                container["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
            let output = inject(&arguments, "");
            let said = text(&output.stderr);
            assert_eq!((output.status.code(), said.lines().count()), (Some(64), 3), "{values}: {said}");
            assert!(said.lines().all(|line| line.contains("cannot read /etc/secret-inject")), "{values}: {said}");
            assert_eq!(
                arguments.contains(&format!("--log-level={level}").as_str()),
                !level.is_empty(),
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn an_older_cluster_gets_a_label_selector_from_the_chart() {
    let values = json!({ "kubernetesVersion": "1.28.5", "injector": { "nativeSidecar": false } });
    let Some(objects) = rendered(&values) else { return };
    assert!(!has(&objects, "ValidatingAdmissionPolicy"));
    let webhook = &of(&objects, "MutatingWebhookConfiguration")["webhooks"][0];
    assert_eq!(webhook["objectSelector"], json!({ "matchLabels": { "secret-exec.dev/inject": "true" } }));
    assert!(webhook.get("matchConditions").is_none());
    let refused = render(&json!({ "kubernetesVersion": "1.28.5" }), &Value::Null).unwrap().unwrap_err();
    assert!(refused.contains("injector.nativeSidecar must be false before Kubernetes 1.29"), "{refused}");
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    for (values, place) in [
        (json!({ "bogus": 1 }), "additional properties 'bogus' not allowed"),
        (json!({ "certificates": { "mode": "vault" } }), "/certificates/mode"),
        (json!({ "image": { "digest": "latest" } }), "/image/digest"),
        (json!({ "webhook": { "failurePolicy": "fail" } }), "/webhook/failurePolicy"),
        (json!({ "injector": { "readerGroup": 0 } }), "/injector/readerGroup"),
        (json!({ "injector": { "dialect": [] } }), "'dialect' not allowed"),
        (json!({ "injector": { "vault": { "adress": "https://v" } } }), "'adress' not allowed"),
        (json!({ "injector": { "vault": { "address": "vault" } } }), "/injector/vault/address"),
        (json!({ "injector": { "vault": { "auth": { "method": "approle" } } } }), "/injector/vault/auth"),
        (json!({ "injector": { "vault": { "auth": { "mount": "auth/k" } } } }), "/injector/vault/auth"),
        (json!({ "injector": { "aws": { "region": "Europe" } } }), "/injector/aws/region"),
        (json!({ "webhook": { "port": 8080 } }), "webhook.port and metrics.port must be different"),
        (json!({ "replicas": 1 }), "minAvailable must be less than replicas"),
        (json!({ "podDisruptionBudget": { "minAvailable": "60%" } }), "minAvailable must be less than replicas"),
        (json!({ "replicas": 0 }), "/replicas"),
    ] {
        let Some(refused) = render(&values, &Value::Null) else { return };
        let refused = refused.expect_err(&values.to_string());
        assert!(refused.contains(place), "{place}: {refused}");
    }
}

/// Of the injector's config the chart fills in the image.
#[test]
fn the_charts_schema_of_the_injector_is_the_programs() {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let chart = read(&std::fs::read_to_string(root().join("deploy/helm/secret-exec/values.schema.json")).unwrap());
    let mut expected = read(text(&inject(&["schema"], "").stdout))["properties"].clone();
    expected.as_object_mut().unwrap().remove("$schema");
    expected["image"] = json!({ "type": "string" });
    assert_eq!(chart["properties"]["injector"]["properties"], expected);
}

#[test]
fn values_that_leave_a_node_to_be_drained_are_taken_and_the_notes_say_who_starts_without_secrets() {
    for values in [
        json!({ "replicas": 1, "podDisruptionBudget": { "enabled": false } }),
        json!({ "replicas": 3, "podDisruptionBudget": { "minAvailable": "60%" } }),
        json!({ "webhook": { "hostNetwork": true } }),
    ] {
        let Some(objects) = rendered(&values) else { return };
        let strategy = &of(&objects, "Deployment")["spec"]["strategy"]["rollingUpdate"];
        let waits = values["webhook"]["hostNetwork"] == true;
        assert_eq!((&strategy["maxSurge"], &strategy["maxUnavailable"]), (&json!(!waits as u8), &json!(waits as u8)));
    }
    let notes = |values: &Value| by_helm(values, &Value::Null).unwrap().unwrap()["notes"].as_str().unwrap().to_owned();
    for (values, starts) in [
        (json!({}), false),
        (json!({ "webhook": { "failurePolicy": "Ignore" } }), false),
        (json!({ "policy": { "enabled": false } }), false),
        (json!({ "webhook": { "failurePolicy": "Ignore" }, "policy": { "enabled": false } }), true),
        (json!({ "webhook": { "failurePolicy": "Ignore" }, "kubernetesVersion": "1.29.5" }), true),
    ] {
        let notes = notes(&values);
        let expected = if starts { "is ready starts WITHOUT its secrets" } else { "is ready is refused, all others" };
        assert!(notes.contains(expected), "{values}: {notes}");
    }
    let dialects = json!({ "dialects": ["vault"], "nativeSidecar": false });
    for (version, policy, blocks) in [("1.29.5", "Fail", true), ("1.29.5", "Ignore", false), ("1.36.0", "Fail", false)]
    {
        let values = json!({
            "kubernetesVersion": version, "webhook": { "failurePolicy": policy }, "injector": dialects,
        });
        let notes = notes(&values);
        assert_eq!(notes.contains("is sent to the webhook"), version == "1.29.5", "{values}: {notes}");
        assert_eq!(
            notes.contains("answers, none of them starts. Do not label secret-exec."),
            blocks,
            "{values}: {notes}"
        );
    }
}

fn decoded(object: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(object["data"][key].as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Upgrades look the certificate up: it stays until it is old or a rotation is wanted, and the authority before stays trusted.
/// The webhook takes the new one over while it runs.
#[test]
fn a_certificate_made_by_helm_serves_and_is_replaced_without_a_restart() {
    let Some(first) = rendered(&json!({})) else { return };
    let upgrade = |before: &Value, values: &Value| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/secret-inject-tls");
        let objects = render(values, &json!({ "objects": { path: before } })).unwrap().unwrap();
        let webhook = of(&objects, "MutatingWebhookConfiguration")["webhooks"][0]["clientConfig"].clone();
        let secret = of(&objects, "Secret").clone();
        assert_eq!(webhook["caBundle"], secret["data"]["ca.crt"]);
        secret
    };
    let first = of(&first, "Secret");
    assert_eq!(upgrade(first, &json!({}))["data"], first["data"], "an upgrade keeps it");
    let second = upgrade(first, &json!({ "certificates": { "rotation": "2" } }));
    assert_ne!(second["data"]["tls.crt"], first["data"]["tls.crt"]);
    let (old, new) = (decoded(first, "ca.crt"), decoded(&second, "ca.crt"));
    assert!(new.ends_with(&old) && new.len() > old.len(), "both authorities are trusted");
    let third = upgrade(&second, &json!({ "certificates": { "rotation": "3" } }));
    assert_eq!(decoded(&third, "ca.crt").matches("BEGIN CERTIFICATE").count(), 2, "not one more each time");
    let mut aged = first.clone();
    aged["metadata"]["annotations"]["secret-exec.dev/certificate-issued"] = json!("1700000000");
    assert_ne!(upgrade(&aged, &json!({}))["data"]["tls.crt"], first["data"]["tls.crt"], "it was old");

    let mut webhook = Webhook::start();
    let place = |name: &str| webhook.directory.path().join(name);
    let write = |secret: &Value| {
        for name in ["tls.key", "tls.crt"] {
            std::fs::write(place(name), decoded(secret, name)).unwrap();
        }
    };
    // Until the server shows a certificate of this authority alone.
    let is_served = |ca: &str| {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while connect(webhook.tcp(), ca).is_err() {
            assert!(std::time::Instant::now() < until, "the certificate was not taken over");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    write(first);
    is_served(&old);
    write(&second);
    is_served(new.strip_suffix(old.as_str()).unwrap());
    assert!(connect(webhook.tcp(), &new).is_ok(), "and believed with the bundle");
    assert!(webhook.is_running());
}

#[test]
fn helm_lints_and_packages_the_chart() {
    const SCRIPT: &str = "
import sys, json
from helm_python.chart import lint, package
said = lint(sys.argv[1], strict=True)
worst = [m for m in said['messages'] if m['severity'] > 1]
assert not said['errors'] and not worst, said
print(package(sys.argv[1], destination=sys.argv[2]))
";
    let folder = tempfile::tempdir().unwrap();
    let chart = root().join("deploy/helm/secret-exec");
    let arguments = [chart.to_str().unwrap(), folder.path().to_str().unwrap()];
    let Some(output) = python(SCRIPT, &arguments, "") else { return };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let archive = folder.path().join(format!("secret-exec-{}.tgz", env!("CARGO_PKG_VERSION")));
    assert!(archive.exists(), "the chart has the version of the program: {}", text(&output.stdout));
}

/// Other injectors' annotations: the chart makes what the component makes.
#[test]
fn the_charts_dialects_are_the_components() {
    let copy = copy();
    let file = copy.path().join("deploy/cert-manager/kustomization.yaml");
    let with = std::fs::read_to_string(&file).unwrap() + "components: [../dialects]\n";
    std::fs::write(&file, with).unwrap();
    let values = json!({ "certificates": { "mode": "certManager" }, "namespace": { "create": true },
                         "injector": { "dialects": ["vault", "openbao", "bank-vaults"] } });
    let (Some(chart), Some(kustomize)) = (rendered(&values), applied(file.parent().unwrap())) else { return };
    let injector = of(&chart, "ConfigMap")["data"]["injector.yaml"].as_str().unwrap();
    Injector::parse(Text { name: "injector.yaml", text: injector }).unwrap();
    let without_config = |mut objects: Vec<Value>| {
        objects.retain(|object| object["kind"] != "ConfigMap"); // the component leaves the config to the operator
        objects
    };
    same("dialects", without_config(chart), without_config(kustomize));
}
