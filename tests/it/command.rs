//! The command is looked up as the app will be: by its user, its groups, and without root's rights.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use support::*;

/// Two folders of PATH, each with a `tool` that says where it is.
fn tools(case: &Case) -> [std::path::PathBuf; 2] {
    ["first", "second"].map(|name| {
        let folder = case.path(name);
        fs::create_dir(&folder).unwrap();
        let tool = folder.join("tool");
        fs::write(&tool, format!("#!/bin/sh\nprintf {name}\n")).unwrap();
        set(&tool, 0, 0o755);
        set(&folder, 0, 0o755);
        folder
    })
}

fn set(path: &Path, owner: u32, mode: u32) {
    chown(path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn run(case: &Case, folders: &[std::path::PathBuf; 2]) -> Run {
    let path = format!("{}:{}:/bin:/usr/bin", folders[0].display(), folders[1].display());
    case.run().root().env("PATH", path).args(&["--run-as", &format!("{APP}:{APP}")])
}

#[test]
fn a_folder_the_app_may_not_enter_is_passed_over() {
    needs_root!();
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        let folders = tools(&case);
        assert_eq!(run(&case, &folders).args(mode).app(&["tool"]).output().ok(), "first");
        set(&folders[0], 0, 0o700);
        assert_eq!(run(&case, &folders).args(mode).app(&["tool"]).output().ok(), "second");
    }
}

#[test]
fn a_program_the_app_may_not_execute_is_passed_over() {
    needs_root!();
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        let folders = tools(&case);
        set(&folders[0].join("tool"), 0, 0o750);
        assert_eq!(run(&case, &folders).args(mode).app(&["tool"]).output().ok(), "second");
        // By the app's group it may.
        chown(folders[0].join("tool"), Some(0), Some(APP)).unwrap();
        assert_eq!(run(&case, &folders).args(mode).app(&["tool"]).output().ok(), "first");
    }
}

#[test]
fn where_the_app_may_execute_none_it_is_126_before_anything_is_fetched() {
    needs_root!();
    let case = Case::new();
    let folders = tools(&case);
    for folder in &folders {
        set(&folder.join("tool"), 0, 0o700);
    }
    // Nobody answers at that address, so asking would be another end.
    let config = format!(
        "vault: {{ address: \"http://127.0.0.1:1\", auth: {{ method: token-file, path: {} }} }}\nenv: {{ X: \"vault:a/b#c\" }}\n",
        case.write("token", "t").display()
    );
    let config = case.write("config.yaml", config);
    let refused = || run(&case, &folders).arg("--config").arg(&config);
    refused().app(&["tool"]).output().refused(126, &[&format!("uid {APP}"), "first/tool"]);
    refused().app(&[folders[0].join("tool")]).output().refused(126, &[&format!("uid {APP}"), "first/tool"]);
    for folder in &folders {
        set(folder, 0, 0o700);
    }
    refused().app(&["tool"]).output().refused(127, &["tool"]);
    refused().app(&[folders[0].join("tool")]).output().refused(126, &["on the way"]);
}

#[test]
fn root_without_capabilities_has_only_what_root_owns() {
    needs_root!();
    let case = Case::new();
    let folders = tools(&case);
    set(&folders[0], APP, 0o700);
    let outcome = run(&case, &folders).args(&["--run-as", "0"]).app(&["tool"]).output();
    assert_eq!(outcome.ok(), "second");
}

#[test]
fn the_app_does_not_get_a_signal_of_the_look_up() {
    needs_root!();
    let case = Case::new();
    let status = case
        .run()
        .root()
        .blocking(&[libc::SIGCHLD])
        .args(&["--run-as", &format!("{APP}:{APP}")])
        .app(&["cat", "/proc/self/status"])
        .output()
        .ok();
    assert_eq!(status_field(&status, "ShdPnd"), "0000000000000000", "{status}");
    assert_eq!(status_field(&status, "SigPnd"), "0000000000000000", "{status}");
}

#[test]
fn what_was_delivered_does_not_stay_when_the_command_cannot_be_executed() {
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        // It is there and executable, and yet no program: only execve finds out.
        let broken = case.write("broken", "\x7fELF");
        fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!("files: {{ a/s: \"{0}\", t: \"{0}\" }}\n", case.secret("s", "value"));
        let outcome = case.with_files(&config).args(mode).app(&[&broken]).output();
        outcome.refused(126, &["broken"]);
        let left: Vec<_> = fs::read_dir(case.volume()).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{mode:?}: {left:?}\n{outcome}");
    }
}

#[test]
fn root_removes_what_it_delivered_for_another_user_too() {
    needs_root!();
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        let broken = case.write("broken", "\x7fELF");
        fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!("runAs: \"{APP}:{APP}\"\nfiles: {{ s: \"{}\" }}\n", case.secret("s", "value"));
        let outcome = case.with_files(&config).root().args(mode).app(&[&broken]).output();
        outcome.refused(126, &["broken"]);
        let left: Vec<_> = fs::read_dir(case.volume()).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{mode:?}: {left:?}\n{outcome}");
    }
}
