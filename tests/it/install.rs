//! `install PATH`: the program puts itself where an app's container can start it.

use std::fs;

use crate::support::*;

#[test]
fn the_copy_is_0555_and_runs() {
    let case = Case::new();
    let target = case.path("bin/secret-exec");
    fs::create_dir(case.path("bin")).unwrap();
    own(&case.path("bin"), APP);
    let install = || case.run_bare().arg("install").arg(&target).output();
    install().ok();
    assert_eq!(mode_of(&target), 0o555);
    let version = Run::new(&target).arg("--version").user(APP, APP).output().ok();
    assert_eq!(version, format!("secret-exec {}\n", env!("CARGO_PKG_VERSION")));
    // A second time, over the first, even while that runs.
    let running = Run::new(&target).user(APP, APP).app(&["sleep", "1000"]).start();
    install().ok();
    drop(running);
    assert_eq!(fs::read_dir(case.path("bin")).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_folder_of_mounts_that_may_not_execute_is_named() {
    needs_root!();
    let case = Case::new();
    let mount = case.path("mount");
    fs::create_dir(&mount).unwrap();
    let script =
        format!("mount -t tmpfs -o noexec,mode=0777 tmpfs {0}; \"$0\" install {0}/secret-exec", mount.display());
    let outcome = Run::new(program()).within(&["unshare", "-m", "sh", "-c", &script]).output();
    assert!(!matches!(outcome.code(), Some(0) | None), "{outcome}");
    outcome.refused(outcome.code().unwrap(), &["noexec"]);
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let case = Case::new();
    let outcome = case.run_bare().args(&["install", "/proc/nowhere/secret-exec"]).output();
    assert!(!matches!(outcome.code(), Some(0) | None), "{outcome}");
    outcome.refused(outcome.code().unwrap(), &["/proc/nowhere"]);
    case.run_bare().arg("install").output().refused(64, &["install"]);
}
