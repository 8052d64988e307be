//! `secret-inject manifest`: a pipe, a check, a function; and what other readers make of what it writes.

use serde_json::json;

use crate::support::{CONFIG, inject, python, text};

const DEPLOYMENT: &str = "\
# Source: chart/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations:
        note: 'yes'
        secret-exec.dev/vault-role: web
        secret-exec.dev/file.db: vault:secret/data/db#password
        secret-exec.dev/template.conf: |
          user={{ secret('vault:secret/data/db').username }}
    spec:
      containers:
      - name: web
        image: web:1
        stdin: no
        env:
        - {name: A, value: \"on\"}
        - {name: B, value: \"0400\"}
        - {name: C, value: 1.0.0}
      volumes:
      - name: v
        secret: {secretName: s, defaultMode: 0400}
";

fn config() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), CONFIG).unwrap();
    file
}

#[test]
fn it_is_a_pipe() {
    let config = config();
    let args = ["manifest", "--config", config.path().to_str().unwrap()];
    let output = inject(&args, DEPLOYMENT);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty());
    let once = text(&output.stdout);
    assert!(once.starts_with("# Source: chart/templates/web.yaml\napiVersion: apps/v1\n"));
    assert_eq!(text(&inject(&args, DEPLOYMENT).stdout), once, "the same bytes every time");
    assert_eq!(text(&inject(&args, once).stdout), once, "twice is once");
}

#[test]
fn check_says_by_its_exit_code_whether_something_would_change() {
    let output = inject(&["manifest", "--check"], "a: 1\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let with_address = DEPLOYMENT.replace("note: 'yes'", "secret-exec.dev/vault-address: https://v:8200");
    let output = inject(&["manifest", "--check"], &with_address);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(text(&output.stderr).contains("document at line 1 (Deployment web), spec.template: would be injected"));
}

#[test]
fn mistakes_end_it_with_nothing_on_stdout() {
    let config = config();
    let args = ["manifest", "--config", config.path().to_str().unwrap()];
    let bad = DEPLOYMENT.replace("vault-role", "valt-role");
    let output = inject(&args, &format!("a: 1\n---\n{bad}"));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(65), 0));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains(
            "stdin: document at line 3 (Deployment web), spec.template: annotation secret-exec.dev/valt-role:"
        ),
        "{stderr}"
    );
    // What is only warned of, in the document that is denied and in others, may be the reason.
    let late = "        secret-exec.dev/containers: web,late\n";
    let warned = |text: &str| text.replace("        note: 'yes'\n", late);
    let output = inject(&args, &format!("{}---\n{}", warned(DEPLOYMENT), warned(&bad)));
    let stderr = text(&output.stderr);
    let warnings = stderr.lines().filter(|line| line.starts_with("secret-inject: warning: "));
    assert_eq!(warnings.filter(|line| line.ends_with("no container late here yet")).count(), 2, "{stderr}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(65), 0), "{stderr}");
    assert_eq!(inject(&args, "a: [").status.code(), Some(65));
    assert_eq!(inject(&["manifest", "-f", "/none"], "").status.code(), Some(64));
    std::fs::write(config.path(), "imag: x\n").unwrap();
    let output = inject(&args, "a: 1\n");
    assert_eq!(output.status.code(), Some(64));
    assert!(
        text(&output.stderr).contains(":1: unknown key \"imag\"; did you mean \"image\"?"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_krm_function_brings_its_config_along() {
    let indented: String = DEPLOYMENT.lines().skip(1).map(|line| format!("  {line}\n")).collect();
    let list = format!(
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nfunctionConfig:\n  apiVersion: secret-exec.dev/v1\n  \
         kind: SecretInject\n  spec:\n    image: mine:1\n    vault: {{address: 'https://v'}}\nitems:\n- {}",
        indented.trim_start()
    );
    let output = inject(&["manifest"], &list);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("image: mine:1") && text(&output.stdout).contains("kind: ResourceList"));
}

/// PyYAML reads YAML 1.1, as kubectl does. Both sides of the pipe must be the same to it, but for what was added.
#[test]
fn another_reader_sees_only_what_was_added() {
    const SCRIPT: &str = r#"
import sys, yaml, json
before, after = yaml.safe_load(sys.argv[1]), yaml.safe_load(sys.stdin.read())
pod = after["spec"]["template"]["spec"]
assert pod["initContainers"][0]["name"] == "secret-exec"
del pod["initContainers"], pod["securityContext"], pod["containers"][0]["volumeMounts"]
pod["volumes"] = [v for v in pod["volumes"] if not v["name"].startswith("secret-exec")]
assert before == after, (before, after)
import kubernetes_validate
kubernetes_validate.validate(yaml.safe_load(sys.argv[2]), "1.31", strict=True)
"#;
    let config = config();
    let output = inject(&["manifest", "--config", config.path().to_str().unwrap()], DEPLOYMENT);
    let after = text(&output.stdout);
    if let Some(said) = python(SCRIPT, &[DEPLOYMENT, after], after) {
        assert!(said.status.success(), "{}", text(&said.stderr));
    }
}

#[test]
fn the_plugin_for_helm_4_pipes_through_the_injector() {
    let folder = crate::support::root().join("examples/helm-plugin");
    let Some(plugin) = crate::deploy::load(&folder.join("plugin.yaml").display().to_string()) else { return };
    assert_eq!((&plugin[0]["type"], &plugin[0]["runtime"]), (&json!("postrenderer/v1"), &json!("subprocess")));
    let command = plugin[0]["runtimeConfig"]["platformCommand"][0]["command"].as_str().unwrap();
    let script = command.replace("${HELM_PLUGIN_DIR}", &folder.display().to_string());
    let bin = std::path::Path::new(crate::support::INJECT).parent().unwrap().display();
    let chart = std::fs::File::open(crate::support::root().join("examples/kubernetes/deployment.yaml")).unwrap();
    let output = std::process::Command::new(script)
        .env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()))
        .env("SECRET_INJECT_CONFIG", crate::support::root().join("deploy/base/injector.yaml"))
        .stdin(chart)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", crate::support::text(&output.stderr));
    assert!(crate::support::text(&output.stdout).contains("name: secret-exec\n"));
}
