//! What a release is made with: workflows that a linter accepts, archives, provenance, packages.

use std::process::Command;

use serde_json::Value;

use crate::deploy::yaml_documents;
use crate::support::{INJECT, root, text};

/// A linter of `.venv`, which finds the others there (actionlint gives `run:` steps to shellcheck).
fn linter(name: &str) -> Option<Command> {
    let folder = root().join(".venv/bin");
    if !folder.join(name).exists() {
        eprintln!("SKIPPED {name} (run tests/setup)");
        return None;
    }
    let mut command = Command::new(folder.join(name));
    command.current_dir(root()).env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()));
    Some(command)
}

#[test]
fn the_workflows_pass_their_linters() {
    let arguments: [(&str, &[&str]); 2] =
        [("zizmor", &["--offline", "--quiet", "--no-progress", ".github"]), ("actionlint", &["-no-color"])];
    for (name, arguments) in arguments {
        let Some(mut linter) = linter(name) else { continue };
        let output = linter.args(arguments).output().unwrap();
        assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn actionlint_refuses_a_workflow_with_an_unknown_context_and_a_script_with_a_fault() {
    const BROKEN: &str = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      \
        - run: echo ${{ matrx.x }}\n      - run: 'cd $HOME; rm -rf $DIR/*'\n";
    let Some(mut linter) = linter("actionlint") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.yml");
    std::fs::write(&path, BROKEN).unwrap();
    let output = linter.arg("-no-color").arg(&path).output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in ["matrx", "shellcheck"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// No permission by default, every action by its commit, and nothing that runs for ever.
#[test]
fn the_workflows_have_least_rights_and_pinned_actions() {
    for name in ["ci", "release", "scheduled"] {
        let yaml = std::fs::read_to_string(root().join(format!(".github/workflows/{name}.yml"))).unwrap();
        let Some(documents) = yaml_documents(&yaml) else { return };
        assert_eq!(documents[0]["permissions"], serde_json::json!({}), "{name}");
        for (job, content) in documents[0]["jobs"].as_object().unwrap() {
            assert!(content["timeout-minutes"].is_u64() && content["permissions"].is_object(), "{name}: {job}");
            let is_publishing = job == "publish";
            for (right, level) in content["permissions"].as_object().unwrap() {
                assert!(level == "read" || is_publishing, "{name}: {job}: {right}");
            }
            for step in content["steps"].as_array().unwrap() {
                let Some(action) = step["uses"].as_str() else { continue };
                let commit = action.split_once('@').unwrap().1;
                assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {action}");
            }
            // A script of the repository that a workflow runs is there.
            for script in
                ["deploy/image/build", "deploy/release/pack", "deploy/release/provenance", "tests/cluster/run"]
            {
                assert!(root().join(script).exists(), "{script}");
            }
        }
    }
}

#[test]
fn an_archive_has_programs_completions_and_every_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let programs = std::path::Path::new(INJECT).parent().unwrap();
    let output = Command::new(root().join("deploy/release/pack"))
        .arg(folder.path())
        .args(["--archives-only", "--from"])
        .arg(programs)
        .env("SOURCE_DATE_EPOCH", "1795873892")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let archive = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let listed = Command::new("tar").arg("-tzf").arg(&archive).output().unwrap();
    let listed = text(&listed.stdout).to_owned();
    for name in [
        "bin/secret-exec",
        "bin/secret-inject",
        "completions/secret-exec.bash",
        "completions/_secret-inject",
        "man/secret-exec.1",
        "man/secret-exec-sidecar.1",
        "man/secret-inject-webhook.1",
        "LICENSE",
        "SECURITY.md",
    ] {
        assert!(listed.lines().any(|line| line.ends_with(&format!("/{name}"))), "{name}: {listed}");
    }
}

#[test]
fn a_provenance_names_the_commit_and_the_image() {
    let mut command = Command::new(root().join("deploy/release/provenance"));
    for (name, value) in [
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "a/b"),
        ("GITHUB_REF", "refs/tags/v1.0.0"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_SHA", "0123"),
        ("GITHUB_RUN_ID", "7"),
        ("GITHUB_RUN_ATTEMPT", "1"),
    ] {
        command.env(name, value);
    }
    let output = command.arg("sha256:4567").output().unwrap();
    let predicate: Value = serde_json::from_slice(&output.stdout).unwrap();
    let definition = &predicate["buildDefinition"];
    assert_eq!(definition["resolvedDependencies"][0]["digest"]["gitCommit"], "0123");
    assert_eq!(definition["internalParameters"]["image"], "sha256:4567");
    assert_eq!(Command::new(root().join("deploy/release/provenance")).output().unwrap().status.code(), Some(64));
}

/// Packages have the modes of the image: a program that nobody reads.
#[test]
fn packages_hold_what_an_archive_holds() {
    const SCRIPT: &str = "import sys, tomllib, json; print(json.dumps(tomllib.loads(sys.stdin.read())['package']))";
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let Some(output) = crate::support::python(SCRIPT, &[], &manifest) else { return };
    let package: Value = serde_json::from_slice(&output.stdout).unwrap();
    let deb = package["metadata"]["deb"]["assets"].as_array().unwrap();
    let rpm = package["metadata"]["generate-rpm"]["assets"].as_array().unwrap();
    assert_eq!(deb.len(), rpm.len());
    for (deb, rpm) in deb.iter().zip(rpm) {
        assert_eq!((&deb[0], &deb[2]), (&rpm["source"], &rpm["mode"]), "{deb}");
        let source = deb[0].as_str().unwrap();
        assert!(source.starts_with("target/") || root().join(source).exists(), "{source}");
    }
    let mode = |name: &str| deb.iter().find(|asset| asset[0] == name).unwrap()[2].clone();
    assert_eq!(mode("target/release/secret-exec"), "111");
    assert_eq!(mode("target/release/secret-inject"), "555");
}
