//! Privileges are dropped, proven dropped, and cannot be regained.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::*;

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

/// A start as a user would make one: root that is meant, another identity, or a capability that survived.
fn identities<'a>(run: impl Fn() -> Run + 'a) -> Vec<(&'static str, Run, u32)> {
    let app = format!("{APP}:{APP}");
    vec![
        ("root that is meant", run().root().args(&["--run-as", "0"]), 0),
        ("root that becomes the app", run().root().args(&["--run-as", &app]), APP),
        ("an ambient capability", run().ambient(CAP_SETUID), APP),
        ("an ambient capability and runAs", run().ambient(CAP_SETGID).args(&["--run-as", &app]), APP),
        ("an ordinary user", run(), APP),
    ]
}

#[test]
fn a_sidecar_and_its_hooks_have_no_privileges_whoever_starts_it() {
    needs_root!();
    let case = Case::new();
    let secret = case.write("mounted/s", "first");
    let make = || {
        let config = format!(
            "refresh: 1s\nonChange: [ {{ run: [/bin/sh, -c, \"cat /proc/self/status > $SECRET_EXEC_DIR/../hook.new; mv \
             $SECRET_EXEC_DIR/../hook.new $SECRET_EXEC_DIR/../hook\"] }} ]\nfiles: {{ s: \"file:{}\" }}\n",
            secret.display()
        );
        case.with_files(&config).command("sidecar")
    };
    for (who, run, uid) in identities(make) {
        let hook = case.memory.join("hook");
        let _ = fs::remove_file(&hook);
        fs::write(&secret, "first").unwrap();
        // What it may read and write when it is nobody else any more.
        own(&secret, uid);
        own(&case.memory, uid);
        let mut running = run.start();
        let delivered = || fs::read_to_string(case.volume().join("s")).unwrap_or_default();
        running.until(who, || (delivered() == "first").then_some(()));
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
        is(&status, uid, uid);
        has_nothing(&status);
        replace(&secret, |beside| {
            fs::write(beside, "second").unwrap();
            own(beside, uid);
        });
        running.until("a rotated file", || (delivered() == "second").then_some(()));
        let status = running.until("the hook", || fs::read_to_string(&hook).ok());
        is(&status, uid, uid);
        has_nothing(&status);
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert_eq!(outcome.code(), Some(0), "{who}: {outcome}");
        fs::remove_dir_all(&case.memory).unwrap();
        fs::create_dir(&case.memory).unwrap();
    }
}

#[test]
fn init_has_no_privileges_while_it_asks_the_backend() {
    needs_root!();
    // Accepts, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let case = Case::new();
    let token = case.write("token", "t");
    let make = || {
        let config = format!(
            "vault: {{ address: \"http://{}\", auth: {{ method: token-file, path: {} }} }}\nfiles: {{ s: \"vault:kv/a#k\" }}\n",
            silent.local_addr().unwrap(),
            token.display()
        );
        case.with_files(&config).command("init")
    };
    for (who, run, uid) in identities(make) {
        own(&case.memory, uid);
        let mut running = run.start();
        let path = format!("/proc/{}/status", running.pid());
        let status = running.until(who, || {
            let status = fs::read_to_string(&path).ok()?;
            (status_field(&status, "NoNewPrivs") == "1").then_some(status)
        });
        is(&status, uid, uid);
        running.until(who, || {
            let status = fs::read_to_string(&path).ok()?;
            (status_field(&status, "CapEff") == "0000000000000000").then_some(())
        });
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code(), Some(143), "{who}");
        let _ = fs::remove_dir_all(case.volume());
    }
}

#[test]
fn init_delivers_for_another_owner_without_the_privileges_of_root() {
    needs_root!();
    let case = Case::new();
    let config = format!(
        "runAs: \"{APP}:{APP}\"\nvolume: {{ path: {}, owner: \"{STRANGER}:{STRANGER}\" }}\nfiles: {{ s: \"{}\" }}\n",
        case.volume().display(),
        case.secret("s", "value")
    );
    own(&case.memory, 0);
    case.with_config(&config).command("init").root().output().ok();
    let file = fs::canonicalize(case.volume().join("s")).unwrap();
    assert_eq!((fs::read_to_string(&file).unwrap().as_str(), owner_of(&file)), ("value", (STRANGER, STRANGER)));
    assert_eq!(mode_of(&file), 0o400);
}

#[test]
fn a_group_that_cannot_be_dropped_is_refused_where_it_is_roots_and_told_otherwise() {
    needs_root!();
    let run_as = format!("{APP}:{APP}");
    let start = |case: &Case, groups: &[u32]| {
        case.run().user_with_groups(APP, APP, groups).args(&["--run-as", run_as.as_str()])
    };
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        case.refused(start(&case, &[0, 27]).args(mode), 71, &["group 0", "root's", "CAP_SETGID", "leave runAs out"]);
        let outcome = start(&case, &[27, 64_123]).args(mode).app(SHOW).output();
        is(&outcome.ok(), APP, APP);
        assert_eq!(outcome.err().matches("27 64123").count(), 1, "one line names them: {outcome}");
        // Nothing is promised about groups, so nothing has to be refused or said.
        let outcome = case.run().user_with_groups(APP, APP, &[0, 27]).args(mode).app(SHOW).output();
        assert_eq!(status_field(&outcome.ok(), "Groups"), "0 27");
        assert_eq!(outcome.err(), "");
    }
}

#[test]
fn a_group_that_opens_the_login_to_the_app_is_refused() {
    needs_root!();
    let case = Case::new();
    let token = case.write("token", "t");
    std::os::unix::fs::chown(&token, Some(0), Some(64_123)).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
    let config = format!(
        "runAs: \"{APP}:{APP}\"\nvault: {{ address: \"http://127.0.0.1:1\", auth: {{ method: token-file, path: {} }} }}\n\
         env: {{ X: \"vault:kv/a#k\" }}\n",
        token.display()
    );
    let run = case.with_config(&config).user_with_groups(APP, APP, &[64_123]);
    case.refused(run, 71, &["group 64123", token.to_str().unwrap(), "leave runAs out"]);
}

#[test]
fn a_user_namespace_of_one_id_keeps_what_it_cannot_drop_and_says_so() {
    needs_root!();
    let prefix = ["unshare", "-U", "-r"];
    if Run::new("/bin/true".as_ref()).user(APP, APP).within(&prefix).output().code() != Some(0) {
        return skip("needs user namespaces (unshare -U)");
    }
    let case = Case::new();
    let run = |groups: &[u32]| case.run_bare().user_with_groups(APP, APP, groups).args(&["--run-as", "0:0"]);
    let outcome = run(&[64_123]).within(&prefix).app(SHOW).output();
    let status = outcome.ok();
    is(&status, 0, 0);
    has_nothing(&status);
    assert_eq!(outcome.err().matches("65534").count(), 1, "{outcome}");
    assert_eq!(run(&[]).within(&prefix).app(&["true"]).output().err(), "");
}
