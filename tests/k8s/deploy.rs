//! Everything in `deploy/` and `examples/kubernetes/` loads, is valid, and is what the contract says.

use std::path::{Path, PathBuf};

use secret_exec::config::{Injector, Layers, Text, Wraps, resolve};
use serde_json::{Value, json};

use crate::support::{inject, python, root, text};

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.ends_with("helm") {
            continue; // templates: `helm` renders them
        }
        if path.is_dir() {
            found.extend(manifests(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn all() -> Vec<String> {
    let folders = [root().join("deploy"), root().join("examples/kubernetes")];
    folders.iter().flat_map(|folder| manifests(folder)).map(|path| path.display().to_string()).collect()
}

/// Every document of a file, as PyYAML reads it.
#[track_caller]
pub fn load(path: &str) -> Option<Vec<Value>> {
    yaml_documents(&std::fs::read_to_string(path).unwrap())
}

/// Every document of a string, as PyYAML reads it.
#[track_caller]
pub fn yaml_documents(yaml: &str) -> Option<Vec<Value>> {
    const SCRIPT: &str = "import sys, yaml, json; print(json.dumps([d for d in yaml.safe_load_all(sys.stdin) if d]))";
    let output = python(SCRIPT, &[], yaml)?;
    assert!(output.status.success(), "{yaml}: {}", text(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn injected(path: &str) -> String {
    let config = root().join("deploy/base/injector.yaml").display().to_string();
    let output = inject(&["manifest", "--config", &config, "-f", path], "");
    assert!(output.status.success(), "{path}: {}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{path}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// What Kubernetes itself has no schema of.
const FOREIGN: &str = "kyverno.io cert-manager.io monitoring.coreos.com kustomize.config.k8s.io";

/// Validates documents from stdin against the API's schemas; prints how many.
const VALIDATE: &str = r#"
import sys, yaml, kubernetes_validate
count = 0
for document in yaml.safe_load_all(sys.stdin):
    if not isinstance(document, dict) or "apiVersion" not in document:
        continue
    if document["apiVersion"].split("/")[0] in sys.argv[1].split():
        continue
    kubernetes_validate.validate(document, "1.31", strict=True)
    count += 1
print(count)
"#;

/// How many of these documents the API has schemas of; all of those are valid.
#[track_caller]
pub fn validated(documents: &str, of: &str) -> usize {
    let output = python(VALIDATE, &[FOREIGN], documents).expect("whoever reads YAML with Python has it");
    assert!(output.status.success(), "{of}: {}", text(&output.stderr));
    text(&output.stdout).trim().parse().unwrap()
}

#[test]
fn every_manifest_is_valid_before_and_after_injection() {
    for path in all() {
        let before = std::fs::read_to_string(&path).unwrap();
        for text_of in [before, injected(&path)] {
            let Some(output) = python(VALIDATE, &[FOREIGN], &text_of) else { return };
            assert!(output.status.success(), "{path}: {}", text(&output.stderr));
        }
    }
}

/// The rules of the Pod Security Standard "restricted", for every pod and pod template of stdin.
const RESTRICTED: &str = r#"
import sys, yaml
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"}
def check(spec):
    pod = spec.get("securityContext") or {}
    assert not any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")), spec
    for volume in spec.get("volumes") or []:
        assert set(volume) - {"name"} <= VOLUMES, volume
    assert {s["name"] for s in pod.get("sysctls") or []} <= SYSCTLS, pod
    for c in [c for key in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(key) or []]:
        own = c.get("securityContext") or {}
        said = lambda key: own.get(key, pod.get(key))
        capabilities = own.get("capabilities") or {}
        assert not own.get("privileged") and own.get("procMount", "Default") == "Default", c
        assert own.get("allowPrivilegeEscalation") is False, c
        assert "ALL" in capabilities.get("drop", []) and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}, c
        assert said("runAsNonRoot") is True and said("runAsUser") != 0, c
        assert (said("seccompProfile") or {}).get("type") in ("RuntimeDefault", "Localhost"), c
        assert (said("appArmorProfile") or {"type": "RuntimeDefault"})["type"] in ("RuntimeDefault", "Localhost"), c
        options = said("seLinuxOptions") or {}
        assert options.get("type") in SELINUX and not options.get("user") and not options.get("role"), c
        assert not any(p.get("hostPort") for p in c.get("ports") or []), c
        for probe in (c.get(k) or {} for k in ("livenessProbe", "readinessProbe", "startupProbe")):
            assert not any((probe.get(k) or {}).get("host") for k in ("httpGet", "tcpSocket")), c
count = 0
for document in yaml.safe_load_all(sys.stdin):
    kind = (document or {}).get("kind")
    if kind in ("Pod", "Deployment", "Job"):
        check(document["spec"] if kind == "Pod" else document["spec"]["template"]["spec"])
        count += 1
print(count)
"#;

#[test]
fn every_example_is_restricted_before_and_after_injection() {
    for path in manifests(&root().join("examples/kubernetes")) {
        let path = path.display().to_string();
        for text_of in [std::fs::read_to_string(&path).unwrap(), injected(&path)] {
            let Some(output) = python(RESTRICTED, &[], &text_of) else { return };
            assert!(output.status.success(), "{path}: {}", text(&output.stderr));
            assert_ne!(text(&output.stdout).trim(), "0", "{path}");
        }
    }
}

/// In every mode, with and without native sidecars: valid, and what Pod Security "restricted" lets through.
#[test]
fn every_form_of_injection_is_valid_and_restricted() {
    let mut pods = String::new();
    for (mode, more) in [
        ("sidecar", ""),
        (
            "sidecar",
            "run-as: \"1000:1000\", secret-exec.dev/on-change: \"signal:HUP@app\", secret-exec.dev/volume: /etc/app",
        ),
        ("init", ""),
        ("init", "run-as: \"1000:1000\", secret-exec.dev/resources: \"limits: {memory: 64Mi}\""),
        ("exec", ""),
        ("exec", "run-as: \"1000:1000\""),
        ("supervise", "on-change: restart"),
    ] {
        let more = if more.is_empty() { String::new() } else { format!(", secret-exec.dev/{more}") };
        pods.push_str(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {mode}\n  annotations: {{secret-exec.dev/mode: {mode}{more}, \
             secret-exec.dev/vault-role: web, secret-exec.dev/file.a: \"vault:x#y\"}}\nspec:\n  securityContext: {{runAsNonRoot: \
             true, seccompProfile: {{type: RuntimeDefault}}}}\n  containers:\n  - name: app\n    image: a:1\n    command: \
             [/app]\n    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}\n---\n"
        ));
    }
    for native in ["true", "false"] {
        let config = tempfile::NamedTempFile::new().unwrap();
        let text_of = format!("image: i:1\nvault: {{ address: \"https://v\" }}\nnativeSidecar: {native}\n");
        std::fs::write(config.path(), text_of).unwrap();
        let output = inject(&["manifest", "--config", config.path().to_str().unwrap()], &pods);
        assert!(output.status.success(), "{}", text(&output.stderr));
        for script in [VALIDATE, RESTRICTED] {
            let Some(said) = python(script, &[FOREIGN], text(&output.stdout)) else { return };
            assert!(said.status.success(), "{}", text(&said.stderr));
        }
    }
}

#[test]
fn every_annotated_example_is_injected() {
    let examples = manifests(&root().join("examples/kubernetes"));
    assert!(examples.len() >= 6);
    for path in examples {
        let before = std::fs::read_to_string(&path).unwrap();
        let is_annotated = before.contains("secret-exec.dev/");
        let after = injected(&path.display().to_string());
        assert_eq!(is_annotated, before != after, "{}", path.display());
    }
}

/// EKS gives identities to containers by a webhook of its own, before ours or after it; ours is asked again then.
#[test]
fn the_examples_for_aws_carry_the_identity_over() {
    const EKS: &str = r#"
import sys, yaml
documents = list(yaml.safe_load_all(sys.stdin))
spec = documents[-1]["spec"]["template"]["spec"]
irsa = sys.argv[1] == "irsa"
path = "/var/run/secrets/" + ("eks.amazonaws.com/serviceaccount" if irsa else "pods.eks.amazonaws.com/serviceaccount")
env = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/checkout", "AWS_WEB_IDENTITY_TOKEN_FILE": path + "/token"} if irsa else {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path + "/eks-pod-identity-token"}
for container in spec["containers"]:
    container.setdefault("env", []).extend({"name": k, "value": v} for k, v in env.items())
    container.setdefault("volumeMounts", []).append({"name": "aws-token", "mountPath": path, "readOnly": True})
spec.setdefault("volumes", []).append({"name": "aws-token", "projected": {"sources": []}})
yaml.safe_dump_all(documents, sys.stdout, sort_keys=False)
"#;
    let config = root().join("deploy/base/injector.yaml").display().to_string();
    let inject_into = |text_of: &str| {
        let output = inject(&["manifest", "--config", &config], text_of);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    for (kind, variable) in
        [("irsa", "AWS_WEB_IDENTITY_TOKEN_FILE"), ("pod-identity", "AWS_CONTAINER_CREDENTIALS_FULL_URI")]
    {
        let example = std::fs::read_to_string(root().join(format!("examples/kubernetes/{kind}.yaml"))).unwrap();
        let eks = |text_of: &str| python(EKS, &[kind], text_of).map(|output| text(&output.stdout).to_owned());
        let Some(before) = eks(&example) else { return };
        let Some(after) = eks(&inject_into(&example)) else { return };
        for injected in [inject_into(&before), inject_into(&after)] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &injected).unwrap();
            let documents = load(&file.path().display().to_string()).unwrap();
            let spec = &documents.last().unwrap()["spec"]["template"]["spec"];
            let ours = &spec["initContainers"][0];
            assert_eq!(ours["name"], "secret-exec");
            let has = |list: &str, key: &str, value: &str| {
                ours[list].as_array().unwrap().iter().any(|item| item[key] == value)
            };
            assert!(has("env", "name", variable) && has("volumeMounts", "name", "aws-token"), "{kind}: {ours}");
            assert_eq!(inject_into(&injected), injected, "once is enough");
        }
    }
}

#[test]
fn every_overlay_names_files_that_are_there() {
    for path in all().iter().filter(|path| path.ends_with("kustomization.yaml")) {
        let Some(documents) = load(path) else { return };
        let folder = Path::new(path).parent().unwrap();
        for resource in documents[0]["resources"].as_array().into_iter().flatten() {
            let resource = folder.join(resource.as_str().unwrap());
            assert!(resource.exists(), "{path}: {}", resource.display());
        }
    }
}

#[test]
fn the_operators_example_is_a_config() {
    let path = root().join("deploy/base/injector.yaml");
    let injector = std::fs::read_to_string(path).unwrap();
    Injector::parse(Text { name: "injector.yaml", text: &injector }).unwrap();
}

#[test]
fn the_webhook_is_as_the_contract_says() {
    let Some(documents) = load(&root().join("deploy/base/webhook.yaml").display().to_string()) else { return };
    let webhook = &documents[0]["webhooks"][0];
    assert_eq!(
        webhook["matchConditions"][0]["expression"],
        "has(object.metadata.annotations) && (size(object.metadata.annotations) > 1000 || \
         object.metadata.annotations.exists(k, k.startsWith('secret-exec.dev/'))) && !('secret-exec.dev/inject' in \
         object.metadata.annotations && object.metadata.annotations['secret-exec.dev/inject'] == 'false')"
    );
    for (key, value) in [("failurePolicy", "Fail"), ("sideEffects", "None"), ("reinvocationPolicy", "IfNeeded")] {
        assert_eq!(webhook[key], value);
    }
    assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]));
    assert_eq!(
        (&webhook["rules"][0]["operations"], &webhook["rules"][0]["resources"]),
        (&json!(["CREATE"]), &json!(["pods"]))
    );
}

#[test]
fn the_webhooks_own_pod_is_restricted_and_knows_its_options() {
    let Some(documents) = load(&root().join("deploy/base/deployment.yaml").display().to_string()) else { return };
    assert_eq!(documents[0]["spec"]["replicas"], 2);
    let pod = &documents[0]["spec"]["template"]["spec"];
    assert_eq!(
        (&pod["automountServiceAccountToken"], &pod["securityContext"]["runAsNonRoot"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    // It gets as far as looking for its config, which is not here.
    let args: Vec<&str> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let output = inject(&args, "");
    assert!(text(&output.stderr).contains("cannot read /etc/secret-inject/injector.yaml"), "{}", text(&output.stderr));
}

#[test]
fn the_config_of_the_pod_by_hand_is_valid() {
    let Some(documents) = load(&root().join("examples/kubernetes/native-sidecar.yaml").display().to_string()) else {
        return;
    };
    let config = documents.iter().find(|document| document["kind"] == "ConfigMap").unwrap();
    let layers = Layers {
        environment: &[],
        annotations: None,
        file: Some(Text { name: "secret-exec.yaml", text: config["data"]["secret-exec.yaml"].as_str().unwrap() }),
        flags: &[],
        wraps: Wraps::Nothing,
    };
    resolve(&layers).unwrap();
}

#[test]
fn what_certs_writes_is_what_the_overlay_reads() {
    let directory = tempfile::tempdir().unwrap();
    crate::support::certs(directory.path());
    let overlay = std::fs::read_to_string(root().join("deploy/self-signed/kustomization.yaml")).unwrap();
    for name in ["tls.crt", "tls.key", "ca-bundle.yaml"] {
        assert!(directory.path().join(name).exists() && overlay.contains(&format!("certs/{name}")), "{name}");
    }
    let Some(patch) = load(&directory.path().join("ca-bundle.yaml").display().to_string()) else { return };
    assert_eq!(patch[0][0]["path"], "/webhooks/0/clientConfig/caBundle");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&directory.path().join("tls.key").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// The program and the schema that editors have decide the same about the operator's configuration, and take what is shipped.
#[test]
fn the_injectors_schema_takes_what_the_program_takes() {
    const CASES: &[(bool, &str)] = &[
        (true, "readerGroup: 64123"),
        (true, "readerGroup: '64123'"),
        (false, "readerGroup: 0"),
        (false, "readerGroup: 4294967295"),
        (false, "readerGroup: '-5'"),
        (true, "vault: { auth: { mount: k } }"),
        (true, "vault: { auth: { method: jwt, audience: v } }"),
        (true, "vault: { auth: { method: aws, region: eu-west-1 } }"),
        (false, "vault: { auth: { method: aws, regoin: eu-west-1 } }"),
        (false, "vault: { auth: { method: kubernetes, tokenFile: /x } }"),
        (false, "vault: { auth: { method: approle } }"),
        (false, "vault: { auth: { method: token-file, path: /x } }"),
        (false, "vault: { auth: { mount: auth/k } }"),
        (false, "vault: { caFile: /x }"),
        (false, "vault: { caPath: /x }"),
        (false, "vault: { adress: \"https://v\" }"),
        (true, "vault: { proxy: \"http://x:1\", namespace: a, tlsServerName: a }"),
        (true, "vault: {}\naws: {}"),
        (true, "aws: { assumeRole: { externalId: x } }"),
        (true, "resources: { requests: { cpu: 1 }, limits: { memory: 33554432, cpu: 0.5 } }"),
        (true, "resources: { requests: { cpu: 5m, memory: 24Mi }, limits: { memory: 32Mi } }"),
        (false, "resources: { limits: { gpu: 1 } }"),
        (true, "dialects: [vault, openbao, bank-vaults]"),
        (false, "dialects: [consul]"),
        (false, "dialects: vault"),
        (true, "imageMirrors: [a/b]\nnativeSidecar: false\nallowAddresses: [\"https://x:8200\"]"),
    ];
    const SCRIPT: &str = r#"
import json, sys, yaml, jsonschema
schema = json.loads(sys.argv[1])
validator = jsonschema.Draft202012Validator(schema)
validator.check_schema(schema)
documents = list(yaml.safe_load_all(sys.stdin))
print(json.dumps([[error.message for error in validator.iter_errors(document)] for document in documents]))
"#;
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let Some(values) = yaml_documents(&read("deploy/helm/secret-exec/values.yaml")) else { return };
    let mut chart = values[0]["injector"].clone();
    chart["image"] = "x".into();
    let mut cases = vec![(true, read("deploy/base/injector.yaml")), (true, chart.to_string())];
    cases.extend(CASES.iter().map(|(is_right, case)| (*is_right, format!("image: x\n{case}\n"))));
    let documents: Vec<&str> = cases.iter().map(|(_, case)| case.as_str()).collect();
    let schema = inject(&["schema"], "").stdout;
    let output = python(SCRIPT, &[text(&schema)], &documents.join("\n---\n")).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found.len(), cases.len());
    for ((is_right, case), errors) in cases.iter().zip(found) {
        let by_program = Injector::parse(Text { name: "injector.yaml", text: case });
        assert_eq!(by_program.is_ok(), *is_right, "{case}: {by_program:?}");
        assert_eq!(errors.is_empty(), *is_right, "{case}: {errors:?}");
    }
}
