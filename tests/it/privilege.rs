//! Privileges are dropped, proven dropped, and cannot be regained.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::*;

const SHOW: &[&str] = &["cat", "/proc/self/status"];
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;

/// No capability in any set, and none to be gained by a set-user-id program.
#[track_caller]
fn has_nothing(status: &str) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_field(status, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_field(status, "NoNewPrivs"), "1");
}

#[track_caller]
fn is(status: &str, uid: u32, gid: u32) {
    assert_eq!(status_field(status, "Uid"), [uid.to_string().as_str(); 4].join(" "));
    assert_eq!(status_field(status, "Gid"), [gid.to_string().as_str(); 4].join(" "));
}

#[test]
fn root_becomes_the_app_and_nothing_else() {
    needs_root!();
    let case = Case::new();
    let run = case.run().user_with_groups(0, 0, &[0, 4, 27]).args(&["--run-as", "23456:34567"]);
    let status = run.app(SHOW).output().ok();
    is(&status, 23_456, 34_567);
    let groups = status_field(&status, "Groups");
    assert!(matches!(groups.as_str(), "" | "34567"), "root's groups are still there: {groups}");
    has_nothing(&status);
    assert_eq!(status_field(&status, "CapBnd"), "0000000000000000");
}

#[test]
fn the_app_cannot_go_back() {
    needs_root!();
    let case = Case::new();
    for attempt in
        ["--reuid 0", "--regid 0", "--groups 0", "--inh-caps +all", "--ambient-caps +setuid", "--bounding-set +all"]
    {
        let script = format!("setpriv {attempt} cat /proc/self/status || cat /proc/self/status");
        let status = case.run().root().args(&["--run-as", "23456:23456"]).sh(&script).output().ok();
        is(&status, APP, APP);
        has_nothing(&status);
        assert!(!status_field(&status, "Groups").split(' ').any(|group| group == "0"), "{attempt}: {status}");
    }
}

#[test]
fn a_set_user_id_program_gives_the_app_nothing() {
    needs_root!();
    let case = Case::new();
    let copy = case.path("cat-as-root");
    copy_program(Path::new("/bin/cat"), &copy);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    let command = [copy.to_str().unwrap(), "/proc/self/status"];
    let status = case.run().root().args(&["--run-as", "23456:23456"]).app(&command).output().ok();
    is(&status, 23_456, 23_456);
}

#[test]
fn a_name_brings_its_own_groups_and_home() {
    needs_root!();
    let case = Case::new();
    let passwd = case.write("passwd", "root:x:0:0::/root:/bin/sh\nbroken line\nweb:x:777:778::/home/web:/bin/sh\n");
    let group =
        case.write("group", "root:x:0:\nwebs:x:778:\nextra:x:779:other,web\nthird:x:780:web\nnot:x:781:webby\n");
    let inside = format!(
        "mount --bind {} /etc/passwd && mount --bind {} /etc/group && exec \"$@\"",
        passwd.display(),
        group.display()
    );
    let within = ["unshare", "-m", "sh", "-c", &inside, "sh"];
    let show = ["sh", "-c", "cat /proc/self/status; echo HOME=$HOME USER=$USER LOGNAME=$LOGNAME"];
    let run = |who: &str| case.run().root().env("HOME", "/root").env("USER", "root").args(&["--run-as", who]);
    let said = run("web").within(&within).app(&show).output().ok();
    is(&said, 777, 778);
    let mut groups: Vec<_> = status_field(&said, "Groups").split(' ').map(str::to_owned).collect();
    groups.retain(|group| group != "778");
    assert_eq!(groups, ["779", "780"]);
    has_nothing(&said);
    assert!(said.contains("HOME=/home/web USER=web LOGNAME=web"), "{said}");

    let said = run("web:extra").within(&within).app(&show).output().ok();
    is(&said, 777, 779);
    assert!(matches!(status_field(&said, "Groups").as_str(), "" | "779"), "u:g means exactly that group: {said}");

    let said = run("777").within(&within).app(&show).output().ok();
    is(&said, 777, 778);
}

#[test]
fn root_that_stays_root_loses_its_capabilities() {
    needs_root!();
    let case = Case::new();
    let status = case.run().root().args(&["--run-as", "0"]).app(SHOW).output().ok();
    is(&status, 0, 0);
    has_nothing(&status);
    assert_eq!(status_field(&status, "CapBnd"), "0000000000000000");
}

#[test]
fn an_ambient_capability_does_not_survive() {
    needs_root!();
    let case = Case::new();
    for capability in [CAP_SETUID, CAP_SETGID] {
        let status = case.run().ambient(capability).app(SHOW).output().ok();
        is(&status, APP, APP);
        has_nothing(&status);
        let run_as = format!("{APP}:{APP}");
        let status = case.run().ambient(capability).args(&["--run-as", &run_as]).app(SHOW).output().ok();
        is(&status, APP, APP);
        has_nothing(&status);
    }
}

#[test]
fn an_unprivileged_start_keeps_its_identity_and_loses_the_rest() {
    let case = Case::new();
    let before = Run::new("/bin/cat".as_ref()).arg("/proc/self/status").user(APP, APP).output().ok();
    let status = case.run().app(SHOW).output().ok();
    for name in ["Uid", "Gid", "Groups"] {
        assert_eq!(status_field(&status, name), status_field(&before, name));
    }
    has_nothing(&status);
}

#[test]
fn being_that_identity_already_is_a_success_and_the_pods_groups_stay() {
    needs_root!();
    let case = Case::new();
    let run = case.run().user_with_groups(APP, APP, &[64_123]).args(&["--run-as", &format!("{APP}:{APP}")]);
    let status = run.app(SHOW).output().ok();
    is(&status, APP, APP);
    assert!(status_field(&status, "Groups").split(' ').any(|group| group == "64123"), "{status}");
    has_nothing(&status);
}

#[test]
fn another_identity_without_the_right_to_it_is_refused() {
    needs_root!();
    let case = Case::new();
    for who in ["34567:34567", "23456:34567", "0:0"] {
        case.refused(case.run().args(&["--run-as", who]), 71, &["CAP_SET|root|not permitted|privilege"]);
    }
}

#[test]
fn the_files_belong_to_the_app() {
    needs_root!();
    let case = Case::new();
    let config = format!("runAs: \"{APP}:{APP}\"\nfiles: {{ s: \"{}\" }}\n", case.secret("s", "value"));
    let outcome =
        case.with_files(&config).root().sh("cat $SECRET_EXEC_DIR/s; stat -L -c ' %u:%g %a' $SECRET_EXEC_DIR/s");
    let said = outcome.output().ok();
    assert!(said.starts_with(&format!("value {APP}:{APP} 4")), "{said}");
}

#[test]
fn a_set_user_id_copy_of_ours_refuses_to_run() {
    needs_root!();
    let case = Case::new();
    let copy = case.path("secret-exec");
    copy_program(program(), &copy);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    let outcome = Run::new(&copy).user(APP, APP).app(&case.marking_app()).output();
    assert!(!case.ran(), "{outcome}");
    outcome.refused(71, &["set-user-id|setuid"]);
}
