//! Every version of Kubernetes that is supported takes what is applied and what is injected, as its own schemas say.

use serde_json::{Value, json};

use crate::helm::rendered;
use crate::kustomize::{by_kustomize, copy};
use crate::support::{CONFIG, inject, python, root, text};

/// The oldest minor version, as the chart says it.
const OLDEST: u32 = 25;

/// Validates the documents of stdin, some of which need no schema, as this version does; prints how many.
const VALIDATE: &str = r#"
import sys, yaml, kubernetes_validate
documents = [d for d in yaml.safe_load_all(sys.stdin) if d and "cert-manager.io" not in d["apiVersion"]]
for document in documents:
    kubernetes_validate.validate(document, sys.argv[1], strict=True)
print(len(documents))
"#;

/// How many documents are valid in this version; `None` where Python is not here.
#[track_caller]
fn validated(documents: &str, minor: u32) -> Option<usize> {
    let output = python(VALIDATE, &[&format!("1.{minor}")], documents)?;
    assert!(output.status.success(), "1.{minor}: {}", text(&output.stderr));
    Some(text(&output.stdout).trim().parse().unwrap())
}

/// The latest minor version whose schemas are here.
fn latest() -> Option<u32> {
    let script = "import kubernetes_validate; print(kubernetes_validate.latest_version().split('.')[1])";
    Some(text(&python(script, &[], "")?.stdout).trim().parse().unwrap())
}

#[test]
fn the_chart_says_the_oldest_version_and_so_do_the_docs() {
    let chart = std::fs::read_to_string(root().join("deploy/helm/secret-exec/Chart.yaml")).unwrap();
    assert!(chart.contains(&format!("kubeVersion: \">=1.{OLDEST}.0-0\"")), "{chart}");
    for page in ["README.md", "docs/operations.md", "deploy/before-1.30/kustomization.yaml"] {
        let said = std::fs::read_to_string(root().join(page)).unwrap();
        assert!(said.contains(&format!("1.{OLDEST}")), "{page}");
    }
}

#[test]
fn every_supported_version_takes_what_kustomize_and_the_chart_make() {
    let Some(latest) = latest() else { return };
    let copy = copy();
    let file = copy.path().join("deploy/self-signed/kustomization.yaml");
    let overlay = std::fs::read_to_string(&file).unwrap();
    for minor in OLDEST..=latest {
        let components = if minor < 30 { "../dialects, ../before-1.30" } else { "../dialects" };
        std::fs::write(&file, format!("{overlay}components: [{components}]\n")).unwrap();
        let Some(said) = by_kustomize(file.parent().unwrap()) else { return };
        assert!(validated(&said, minor).unwrap() >= 10);
        let values = json!({
            "kubernetesVersion": format!("1.{minor}.3"),
            "injector": { "nativeSidecar": minor >= 29, "dialects": ["vault", "openbao", "bank-vaults"] },
        });
        let Some(chart) = rendered(&values) else { return };
        let chart = chart.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
        assert!(validated(&chart, minor).unwrap() >= 9);
    }
}

#[test]
fn every_supported_version_takes_what_is_injected() {
    let Some(latest) = latest() else { return };
    for minor in OLDEST..=latest {
        let config = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(config.path(), format!("{CONFIG}nativeSidecar: {}\n", minor >= 29)).unwrap();
        let mut pods = Vec::new();
        for mode in ["sidecar", "init", "exec", "supervise"] {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "web", "annotations": {
                    "secret-exec.dev/mode": mode, "secret-exec.dev/vault-role": "web",
                    "secret-exec.dev/file.a": "vault:secret/data/a#b",
                } },
                "spec": { "containers": [{ "name": "app", "image": "app:1", "command": ["/app"] }] },
            });
            let output = inject(&["manifest", "--config", config.path().to_str().unwrap()], &pod.to_string());
            assert!(output.status.success(), "{}", text(&output.stderr));
            pods.push(text(&output.stdout).to_owned());
        }
        assert_eq!(validated(&pods.join("\n---\n"), minor), Some(4));
    }
}
