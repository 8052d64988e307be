//! `secret-inject migrate` as people type it.

use std::fs;

use crate::support::{inject, text};

const POD: &str = "\
# the web
kind: Pod
metadata:
  name: web
  annotations:
    vault.hashicorp.com/agent-inject: \"true\"
    vault.hashicorp.com/role: web
    vault.hashicorp.com/agent-inject-secret-db: secret/data/db
    vault.hashicorp.com/agent-inject-template-db: '{{ with secret \"secret/data/db\" }}{{ .Data.data.password }}{{ end }}'
spec:
  containers:
  - name: app # the app
    image: app:1
";

const MIGRATED: &str = "\
# the web
kind: Pod
metadata:
  name: web
  annotations:
    secret-exec.dev/volume: /vault/secrets
    secret-exec.dev/vault-role: web
    secret-exec.dev/file.db: vault:secret/data/db#password
spec:
  containers:
  - name: app # the app
    image: app:1
";

#[test]
fn it_is_a_pipe_and_its_output_is_injected() {
    let output = inject(&["migrate"], POD);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert_eq!(text(&output.stdout), MIGRATED);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("injector.yaml");
    fs::write(&config, crate::support::CONFIG).unwrap();
    let config = config.display().to_string();
    let injected = inject(&["manifest", "--config", &config], MIGRATED);
    assert_eq!(injected.status.code(), Some(0), "{}", text(&injected.stderr));
    assert!(text(&injected.stdout).contains("- db=vault:secret/data/db#password\n"), "{}", text(&injected.stdout));
    let again = inject(&["migrate", "--config", &config], text(&injected.stdout));
    assert_eq!((again.status.code(), &again.stdout), (Some(0), &injected.stdout), "there is nothing left to do");
}

#[test]
fn check_and_what_is_left_end_with_1() {
    let commented = inject(&["migrate"], &POD.replace("role: web", "role: web # of the team"));
    let kept = MIGRATED.replace("  annotations:\n", "  annotations:\n    # of the team\n");
    assert_eq!((commented.status.code(), text(&commented.stdout), text(&commented.stderr)), (Some(0), &*kept, ""));
    let check = inject(&["migrate", "--check"], POD);
    assert_eq!((check.status.code(), text(&check.stdout)), (Some(1), ""));
    let said = "secret-inject: stdin: document at line 1 (Pod web): would be migrated\n";
    assert_eq!(text(&check.stderr), said);
    assert_eq!(inject(&["migrate", "--check"], MIGRATED).status.code(), Some(0));
    let left = POD.replace("role: web", "agent-configmap: web");
    let output = inject(&["migrate"], &left);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), left.as_str()));
    let said = "secret-inject: not migrated: stdin: document at line 1 (Pod web): annotation vault.hashicorp.com/agent-configmap: ";
    assert!(text(&output.stderr).starts_with(said), "{}", text(&output.stderr));
    let broken = inject(&["migrate"], "a: [\n");
    assert_eq!((broken.status.code(), text(&broken.stdout)), (Some(65), ""));
    assert!(text(&broken.stderr).starts_with("secret-inject: stdin:1: "), "{}", text(&broken.stderr));
}
