//! `tests/cluster/run` needs a cluster. Here only what it would do is looked at: the commands, and the manifests, which the
//! offline injector takes or refuses as the script expects it of the webhook.

use std::process::Command;

use crate::support::{INJECT, inject, root, text};

#[test]
fn the_script_for_clusters_is_sound_as_far_as_it_can_be_seen_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let bin = std::path::Path::new(INJECT).parent().unwrap().display();
    let run = Command::new(root().join("tests/cluster/run"))
        .arg("--dry-run")
        .arg(directory.path())
        .env("PATH", format!("{bin}:{path}"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    let plan = text(&run.stdout);
    for section in [
        "install",
        "four modes",
        "rotation",
        "the sidecar restarts in an outage",
        "Jobs",
        "a denial",
        "stripped annotations",
        "drain under load",
        "the webhook's certificate is rotated",
        "uninstall",
    ] {
        assert!(plan.contains(&format!("\n== {section}\n")), "{section}: {plan}");
    }
    let config = root().join("deploy/base/injector.yaml").display().to_string();
    let injected = |name: &str| {
        let manifest = std::fs::read_to_string(directory.path().join(format!("{name}.yaml"))).unwrap();
        inject(&["manifest", "--config", &config], &manifest)
    };
    for name in
        ["sidecar", "init", "exec", "supervise", "job", "wrong-never", "wrong-on-failure", "load", "during", "after"]
    {
        let output = injected(name);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("name: secret-exec\n"), "{name}: {}", text(&output.stdout));
    }
    // The app ends where its variable has another value; a list in which only the last command counts would hide it.
    for name in ["exec", "supervise"] {
        let manifest = std::fs::read_to_string(directory.path().join(format!("{name}.yaml"))).unwrap();
        assert!(manifest.contains("test $VALUE = one || exit 1;"), "{manifest}");
    }
    // With --set-image a copy keeps its annotations.
    assert!(plan.contains(" debug sidecar --copy-to=stripped --container=app --image="), "{plan}");
    let denied = injected("denied");
    assert!(text(&denied.stderr).contains("did you mean secret-exec.dev/file.a?"), "{}", text(&denied.stderr));
    let output = injected("backend");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// It installs and uninstalls: what somebody else has installed would be gone.
#[test]
fn the_script_for_clusters_leaves_a_cluster_alone_that_has_secret_exec() {
    let directory = tempfile::tempdir().unwrap();
    let calls = directory.path().join("calls");
    let path = std::env::var("PATH").unwrap();
    let bin = std::path::Path::new(INJECT).parent().unwrap().display();
    let output = Command::new(root().join("tests/cluster/run"))
        .args(["--kubeconfig", "/dev/null"])
        .env("PATH", format!("{bin}:{path}"))
        .env("IMAGE", "i:1")
        .env("CALLS", &calls)
        // A function of bash stands before PATH.
        .env("BASH_FUNC_kubectl%%", "() { echo \"$*\" >> \"$CALLS\"; echo namespace/secret-exec; }")
        .output()
        .unwrap();
    let calls = std::fs::read_to_string(calls).unwrap();
    assert_eq!(output.status.code(), Some(64), "{calls}");
    assert!(text(&output.stderr).contains("already: namespace/secret-exec"), "{}", text(&output.stderr));
    assert!(calls.lines().all(|call| call.starts_with("--kubeconfig /dev/null get ")), "{calls}");
}

/// Every shell script of the repository.
fn scripts() -> Vec<std::path::PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    let files = text(&listed.stdout).split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name));
    let is_script = |path: &std::path::PathBuf| {
        let content = std::fs::read(path).unwrap_or_default();
        [&b"#!/bin/sh"[..], b"#!/usr/bin/env bash", b"#!/bin/bash"].iter().any(|start| content.starts_with(start))
    };
    files.filter(is_script).collect()
}

#[test]
fn every_script_passes_shellcheck() {
    let linter = root().join(".venv/bin/shellcheck");
    if !linter.exists() {
        return eprintln!("SKIPPED shellcheck (run tests/setup)");
    }
    let scripts = scripts();
    assert!(scripts.len() >= 10 || !root().join(".git").exists(), "{scripts:?}");
    if scripts.is_empty() {
        return eprintln!("LEFT OUT shellcheck (this is no git checkout)");
    }
    let output = Command::new(linter).args(&scripts).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn every_dockerfile_passes_hadolint() {
    let linter = root().join(".venv/bin/hadolint");
    if !linter.exists() {
        return eprintln!("SKIPPED hadolint (run tests/setup)");
    }
    let files = ["Dockerfile", "examples/docker/Dockerfile"].map(|file| root().join(file));
    let output = Command::new(linter).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));
}
