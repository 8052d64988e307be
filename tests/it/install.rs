//! `install PATH`: the program puts itself where an app's container can start it.

use std::fs;

use support::*;

#[test]
fn the_copy_may_be_run_and_not_read() {
    let case = Case::new();
    let target = case.path("bin/secret-exec");
    fs::create_dir(case.path("bin")).unwrap();
    own(&case.path("bin"), APP);
    let install = || case.run_bare().arg("install").arg(&target).output();
    install().ok();
    assert_eq!(mode_of(&target), 0o111);
    let version = Run::new(&target).arg("--version").user(APP, APP).output().ok();
    assert!(version.starts_with(concat!("secret-exec ", env!("CARGO_PKG_VERSION"))), "{version}");
    assert!(Run::new("/bin/cat".as_ref()).arg(&target).user(APP, APP).output().code() != Some(0), "it can be read");
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
    outcome.refused(
        outcome.code().unwrap(),
        &["cannot install to /proc/nowhere/secret-exec: there is no directory /proc/nowhere"],
    );
    case.run_bare().arg("install").output().refused(64, &["install"]);
}

#[test]
fn a_program_that_may_not_be_read_installs_the_readable_copy_beside_it() {
    needs_root!();
    use std::os::unix::fs::PermissionsExt;
    let case = Case::new();
    let closed = case.path("secret-exec");
    copy_program(program(), &closed);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o111)).unwrap();
    let target = case.path("target");
    let install = || Run::new(&closed).arg("install").arg(&target).user(APP, APP).output();
    install().refused(73, &["0111", "secret-exec.copy", "as root"]);
    let copy = case.path("secret-exec.copy");
    copy_program(program(), &copy);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o444)).unwrap();
    install().ok();
    assert_eq!((mode_of(&target), owner_of(&target)), (0o111, (APP, APP)));
    fs::remove_file(&copy).unwrap();
    Run::new(&closed).arg("install").arg(&target).root().output().ok();
}
