//! What `kubectl apply -k deploy/…` would apply. Kustomize itself says so where it is installed (as `kustomize`, or in
//! `kubectl`); everywhere, a reader of the few fields that these overlays use says the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use secret_exec::k8s::patch::{Op, apply};
use serde_json::{Value, json};

use crate::deploy::{load, validated, yaml_documents};
use crate::support::{certs, root, text};

const OVERLAYS: [&str; 4] = ["base", "cert-manager", "self-signed", "monitoring"];
const CLUSTER_WIDE: [&str; 4] =
    ["Namespace", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];

/// A copy of `deploy/` with the certificates that a user makes first.
pub fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(root().join("deploy")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    certs(&folder.path().join("deploy/self-signed/certs"));
    folder
}

/// The overlays patch the dialects' webhook only in their own file; what its file says to add in another overlay does the same.
#[test]
fn the_dialects_webhook_is_believed_in_an_overlay_of_ones_own() {
    let copy = copy();
    let folder = copy.path().join("deploy/dialects");
    let said = std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
    let snippet = |key: &str| -> String {
        let lines = said.lines().skip_while(|line| *line != format!("#   {key}:"));
        lines.map_while(|line| line.strip_prefix("#   ")).map(|line| format!("{line}\n")).collect()
    };
    for (base, key) in [("self-signed", "replacements"), ("cert-manager", "patches")] {
        let overlay = copy.path().join("deploy").join(format!("mine-{base}"));
        std::fs::create_dir(&overlay).unwrap();
        let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        let text = format!("{head}resources: [../{base}]\ncomponents: [../dialects]\n{}", snippet(key));
        std::fs::write(overlay.join("kustomization.yaml"), text).unwrap();
        let Some(objects) = applied(&overlay) else { return };
        let of = |name: &str| {
            let is_it = |object: &&Value| {
                object["kind"] == "MutatingWebhookConfiguration" && object["metadata"]["name"] == name
            };
            let object = objects.iter().find(is_it).unwrap();
            let bundle = &object["webhooks"][0]["clientConfig"]["caBundle"];
            let annotation = &object["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
            (bundle.clone(), annotation.clone())
        };
        let both = of("secret-inject-dialects");
        assert!(both.0.is_string() != both.1.is_string(), "{base}: {both:?}");
        assert_eq!(both, of("secret-inject"), "{base}");
    }
}

/// The objects of a folder, or `None` where there is no Python to read YAML with.
fn built(folder: &Path) -> Option<Vec<Value>> {
    let load = |path: &Path| load(&path.display().to_string());
    let file = load(&folder.join("kustomization.yaml"))?.remove(0);
    let known = "apiVersion kind namespace labels resources configMapGenerator secretGenerator images patches";
    for key in file.as_object().unwrap().keys() {
        assert!(known.split(' ').any(|known| known == key), "{}: teach this reader {key}", folder.display());
    }
    let mut objects = Vec::new();
    for resource in list(&file["resources"]) {
        let path = folder.join(resource.as_str().unwrap());
        objects.extend(if path.is_dir() { built(&path)? } else { load(&path)? });
    }
    for (generator, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
        objects.extend(list(&file[generator]).iter().map(|generator| generated(folder, generator, kind)));
    }
    for patch in list(&file["patches"]) {
        let ops = match patch["path"].as_str() {
            Some(path) => load(&folder.join(path))?.remove(0),
            None => yaml(patch["patch"].as_str().unwrap())?,
        };
        let is_meant = |object: &&mut Value| {
            let name = patch["target"]["name"].as_str().unwrap().trim_end_matches("(-dialects)?");
            object["kind"] == patch["target"]["kind"] && object["metadata"]["name"] == name
        };
        let mut meant: Vec<&mut Value> = objects.iter_mut().filter(is_meant).collect();
        assert_eq!(meant.len(), 1, "{}: {patch}", folder.display());
        for op in list(&ops) {
            assert_eq!(op["op"], "add");
            apply(meant[0], &[Op::add(&op["path"].as_str().unwrap()[1..], op["value"].clone())]);
        }
    }
    for object in &mut objects {
        let is_inside = !CLUSTER_WIDE.contains(&object["kind"].as_str().unwrap());
        if let Some(namespace) = file["namespace"].as_str().filter(|_| is_inside) {
            object["metadata"]["namespace"] = json!(namespace);
        }
        for labels in list(&file["labels"]) {
            for (key, value) in labels["pairs"].as_object().unwrap() {
                object["metadata"]["labels"][key] = value.clone();
            }
        }
        for image in list(&file["images"]) {
            let containers = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let name = container["image"].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned();
                if image["name"] == name {
                    container["image"] = json!(format!("{name}:{}", image["newTag"].as_str().unwrap()));
                }
            }
        }
    }
    Some(objects)
}

fn generated(folder: &Path, generator: &Value, kind: &str) -> Value {
    let mut data = serde_json::Map::new();
    for file in list(&generator["files"]) {
        let path = folder.join(file.as_str().unwrap());
        let content = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let content = match kind {
            "Secret" => base64::Engine::encode(&base64::engine::general_purpose::STANDARD, content),
            _ => String::from_utf8(content).unwrap(),
        };
        data.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), json!(content));
    }
    let mut object =
        json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": generator["name"] }, "data": data });
    for (key, place) in [("namespace", "/metadata"), ("type", "")] {
        if let Some(value) = generator.get(key) {
            object.pointer_mut(place).unwrap()[key] = value.clone();
        }
    }
    object
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn yaml(text_of: &str) -> Option<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text_of).unwrap();
    Some(load(file.path().to_str().unwrap())?.remove(0))
}

/// The text of a folder's objects by kustomize; `None` where it is not installed, or older than the fields used here.
pub fn by_kustomize(folder: &Path) -> Option<String> {
    let folder = folder.to_str().unwrap();
    let kubectl = root().join(".venv/bin/kubectl");
    let kubectl = if kubectl.exists() { kubectl } else { "kubectl".into() };
    let output = match Command::new("kustomize").args(["build", folder]).output() {
        Ok(output) => output,
        Err(_) => {
            let version = Command::new(&kubectl).args(["version", "--client"]).output().ok()?;
            text(&version.stdout).contains("Kustomize Version: v5").then_some(())?;
            Command::new(&kubectl).args(["kustomize", folder]).output().unwrap()
        }
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout).to_owned())
}

/// The objects of a folder as they are applied, with generated names without their hash.
pub fn applied(folder: &Path) -> Option<Vec<Value>> {
    let Some(said) = by_kustomize(folder) else {
        eprintln!(
            "SKIPPED what kustomize makes (neither kustomize nor a kubectl with v5 of it is here: run tests/setup)"
        );
        return None;
    };
    validated(&said, &folder.display().to_string());
    yaml_documents(&without_hash(said))
}

/// A generated name has a hash at its end, wherever it stands.
fn without_hash(said: String) -> String {
    match said.split_once("name: secret-inject-").filter(|(_, rest)| !rest.starts_with("tls")) {
        Some((_, rest)) => {
            let hash = rest.lines().next().unwrap().to_owned();
            said.replace(&format!("secret-inject-{hash}"), "secret-inject")
        }
        None => said,
    }
}

#[test]
fn every_overlay_is_whole() {
    let copy = copy();
    for overlay in OVERLAYS {
        let Some(objects) = built(&copy.path().join("deploy").join(overlay)) else { return };
        is_whole(overlay, &objects);
        let text_of = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
        assert!(validated(&text_of, overlay) >= usize::from(overlay != "monitoring"), "{overlay}");
    }
}

#[test]
fn kustomize_itself_makes_the_same() {
    let copy = copy();
    for overlay in OVERLAYS {
        let folder = copy.path().join("deploy").join(overlay);
        let (Some(theirs), Some(ours)) = (applied(&folder), built(&folder)) else { return };
        is_whole(overlay, &theirs);
        assert_eq!(theirs.len(), ours.len(), "{overlay}");
        for mut object in theirs {
            // It breaks base64 into lines.
            if object["kind"] == "Secret" {
                for value in object["data"].as_object_mut().unwrap().values_mut() {
                    *value = json!(value.as_str().unwrap().replace('\n', ""));
                }
            }
            let name = |object: &Value| (object["kind"].clone(), object["metadata"]["name"].clone());
            let same = ours.iter().find(|ours| name(ours) == name(&object));
            assert_eq!(same, Some(&object), "{overlay}");
        }
    }
}

/// The component takes away what older clusters refuse, and selects by label instead.
#[test]
fn an_older_cluster_gets_neither_policy_nor_conditions() {
    let copy = copy();
    let file = copy.path().join("deploy/self-signed/kustomization.yaml");
    let overlay = std::fs::read_to_string(&file).unwrap() + "components: [../before-1.30]\n";
    std::fs::write(&file, overlay).unwrap();
    let Some(said) = by_kustomize(file.parent().unwrap()) else {
        return eprintln!("SKIPPED the overlay for older clusters (no kustomize v5 here: run tests/setup)");
    };
    validated(&said, "self-signed with before-1.30");
    assert!(!said.contains("ValidatingAdmissionPolicy") && !said.contains("matchConditions"), "{said}");
    assert!(said.contains("objectSelector:\n    matchLabels:\n      secret-exec.dev/inject: \"true\"\n"), "{said}");
    assert!(said.contains("kind: MutatingWebhookConfiguration") && said.contains("caBundle: "), "{said}");
}

/// The component for other injectors' annotations adds a configuration of its own, which the certificates of the overlay reach.
#[test]
fn the_component_for_dialects_gets_the_certificate_too() {
    let copy = copy();
    for overlay in ["self-signed", "cert-manager"] {
        let file = copy.path().join(format!("deploy/{overlay}/kustomization.yaml"));
        let with = std::fs::read_to_string(&file).unwrap() + "components: [../dialects]\n";
        std::fs::write(&file, with).unwrap();
        let Some(said) = by_kustomize(file.parent().unwrap()) else {
            eprintln!("neither kustomize nor a kubectl with it (v5) is here");
            return;
        };
        validated(&said, overlay);
        let mark = if overlay == "self-signed" { "caBundle: " } else { "cert-manager.io/inject-ca-from: " };
        assert_eq!(said.matches(mark).count(), 2, "{overlay}: {said}");
    }
}

/// What an installation needs, whoever built it.
#[track_caller]
fn is_whole(overlay: &str, objects: &[Value]) {
    let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind);
    let names: BTreeSet<_> = objects
        .iter()
        .map(|object| (&object["kind"], &object["metadata"]["name"]))
        .map(|(kind, name)| format!("{kind}{name}"))
        .collect();
    assert_eq!(names.len(), objects.len(), "{overlay}: an object stands twice");
    if overlay == "monitoring" {
        assert!(of("ServiceMonitor").is_some() && of("PrometheusRule").is_some());
        return;
    }
    for object in objects {
        let is_inside = !CLUSTER_WIDE.contains(&object["kind"].as_str().unwrap());
        assert_eq!(object["metadata"]["namespace"] == "secret-exec", is_inside, "{overlay}: {object}");
    }
    assert_eq!(of("Namespace").unwrap()["metadata"]["name"], "secret-exec");
    // What the pod mounts and runs is there, or comes with the certificate.
    let pod = &of("Deployment").unwrap()["spec"]["template"]["spec"];
    let image = format!("registry.example.com/secret-exec:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(pod["containers"][0]["image"], image, "{overlay}");
    assert_eq!(of("ServiceAccount").unwrap()["metadata"]["name"], pod["serviceAccountName"]);
    let volume = |kind: &str| list(&pod["volumes"]).iter().find_map(|volume| volume.get(kind)).unwrap();
    assert_eq!(of("ConfigMap").unwrap()["metadata"]["name"], volume("configMap")["name"], "{overlay}");
    let webhook = of("MutatingWebhookConfiguration").unwrap();
    let client = &webhook["webhooks"][0]["clientConfig"];
    let binding = of("ValidatingAdmissionPolicyBinding").unwrap();
    assert_eq!(of("ValidatingAdmissionPolicy").unwrap()["metadata"]["name"], binding["spec"]["policyName"]);
    assert_eq!(of("Service").unwrap()["metadata"]["name"], client["service"]["name"]);
    match overlay {
        "self-signed" => {
            let secret = of("Secret").unwrap();
            assert_eq!(secret["metadata"]["name"], volume("secret")["secretName"]);
            assert!(secret["data"]["tls.crt"].is_string() && secret["data"]["tls.key"].is_string());
            assert!(client["caBundle"].is_string());
        }
        "cert-manager" => {
            let is_served = |object: &&Value| object["kind"] == "Certificate" && object["spec"]["isCA"] != true;
            let certificate = objects.iter().find(is_served).unwrap();
            assert_eq!(certificate["spec"]["secretName"], volume("secret")["secretName"]);
            let from = format!("secret-exec/{}", certificate["metadata"]["name"].as_str().unwrap());
            assert_eq!(webhook["metadata"]["annotations"]["cert-manager.io/inject-ca-from"], from);
            let host = format!("{}.secret-exec.svc", client["service"]["name"].as_str().unwrap());
            assert!(list(&certificate["spec"]["dnsNames"]).contains(&json!(host)));
        }
        _ => assert!(client.get("caBundle").is_none()),
    }
}
