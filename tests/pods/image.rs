//! The image that `deploy/image/build` makes. Every pod of this suite runs from it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::engine::{OUR_IMAGE, needs_pods};

/// A folder with what the script reads of a repository.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(folder.path().join("deploy/image")).unwrap();
    fs::copy(root.join("deploy/image/build"), folder.path().join("deploy/image/build")).unwrap();
    fs::copy(root.join("Cargo.toml"), folder.path().join("Cargo.toml")).unwrap();
    folder
}

const ARM64: u8 = 0xb7;

/// A program for a processor, as far as its ELF header says.
fn stand_in(machine: u8, name: &str) -> Vec<u8> {
    [&b"\x7fELF"[..], &[0; 14], &[machine, 0], name.as_bytes()].concat()
}

#[test]
fn an_image_that_no_node_could_run_or_nobody_could_name_is_refused() {
    let (programs, folder) = (tempfile::tempdir().unwrap(), checkout());
    let refused = |name: &str, arch: &str, expected: &str| {
        let output = Command::new(folder.path().join("deploy/image/build"))
            .args([
                name,
                "--arch",
                arch,
                "--from",
                programs.path().to_str().unwrap(),
                "--out",
                "/nonexistent/image.tar",
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{name} {arch}: {said}");
    };
    refused("localhost/a:1", "arm64", "no secret-exec in");
    fs::write(programs.path().join("secret-exec"), stand_in(ARM64, "")).unwrap();
    refused("localhost/a:1", "amd64", "secret-exec is not built for amd64");
    fs::write(programs.path().join("secret-inject"), stand_in(0x3e, "")).unwrap();
    refused("localhost/a:1", "arm64", "secret-inject is not built for arm64");
    for name in ["Bad NAME", "a;b", ":1", "a\"b"] {
        refused(name, "arm64", "is no name of an image");
    }
}

#[test]
fn two_folders_make_the_same_bytes() {
    let programs = tempfile::tempdir().unwrap();
    for name in ["secret-exec", "secret-inject"] {
        fs::write(programs.path().join(name), stand_in(ARM64, name)).unwrap();
    }
    let build = |umask: &str| {
        let folder = checkout();
        let out = folder.path().join("image.tar");
        let script = format!(
            "umask {umask} && exec '{}' localhost/secret-exec:1 --arch arm64 --from '{}' --out '{}'",
            folder.path().join("deploy/image/build").display(),
            programs.path().display(),
            out.display()
        );
        let output = Command::new("sh").args(["-c", &script]).env("SOURCE_DATE_EPOCH", "1795873892").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (fs::read(out).unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (first, said) = build("022");
    assert!(said.contains("arm64") && said.contains("sha256:"), "{said}");
    assert!(first == build("077").0, "the bytes differ");
}

#[test]
fn the_image_is_one_layer_of_programs_that_nobody_reads_or_changes() {
    let engine = needs_pods!();
    let inspected: Value = serde_json::from_str(&engine.must(&["image", "inspect", OUR_IMAGE])).unwrap();
    let image = &inspected[0];
    assert_eq!(image["Config"]["User"], "65532:65532");
    assert_eq!(image["Config"]["Entrypoint"], serde_json::json!(["/secret-exec"]));
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    let labels = &image["Labels"];
    for (label, expected) in [
        ("source", "https://github.com/secret-exec/secret-exec"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", "Apache-2.0"),
        ("created", "2026-11-28T13:51:32Z"),
    ] {
        assert_eq!(labels[format!("org.opencontainers.image.{label}")], expected, "{label}");
    }
    assert!(labels["org.opencontainers.image.revision"].as_str().is_some_and(|revision| !revision.is_empty()));
    let container = engine.must(&["create", OUR_IMAGE]);
    let folder = engine.folder("exported");
    let tar = folder.join("image.tar").display().to_string();
    engine.must(&["export", "--output", &tar, container.trim()]);
    let listed = Command::new("tar").args(["--numeric-owner", "-tvf", &tar]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for (mode, name) in [
        ("---x--x--x 0/0", " secret-exec\n"),
        ("-r--r--r-- 0/0", " secret-exec.copy\n"),
        ("-r-xr-xr-x 0/0", " secret-inject\n"),
    ] {
        assert!(listed.lines().any(|line| line.starts_with(mode) && format!("{line}\n").ends_with(name)), "{listed}");
    }
    engine.must(&["rm", container.trim()]);
    // The program is alive, and says what it is.
    let said = engine.must(&["run", "--rm", "--network=none", OUR_IMAGE, "--version"]);
    assert!(said.starts_with("secret-exec 0."), "{said}");
}

#[test]
fn wrong_arguments_are_refused() {
    for words in [&[][..], &["--arch"], &["a", "b"], &["a", "--arch", "mips"], &["a", "--bogus"]] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/image/build");
        assert_eq!(Command::new(script).args(words).output().unwrap().status.code(), Some(64), "{words:?}");
    }
}
