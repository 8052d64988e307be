//! An app that owns its volume puts something else in the place of our names: the next start goes on, and touches nothing else.

use std::fs;
use std::os::unix::fs::symlink;

use support::*;

/// What an app may do in its volume, which is its working directory. The first delivery made `..data` and `s`.
const TAMPERING: &[&str] = &[
    "rm ..data; mkdir -p ..data/x/y; touch ..data/x/z",
    "rm ..data; mkdir ..data; chmod 0 ..data",
    "rm ..data; mkfifo ..data",
    "rm ..data; echo > ..data",
    "ln -sfn /etc ..data",
    "ln -sfn ..1999_01_01_00_00_00.1 ..data",
    "rm s; mkdir -p s/deep; touch s/deep/f; chmod 0 s/deep s",
    "rm s; mkfifo s",
    "rm s; echo mine > s",
    "ln -sfn /etc/passwd s",
    "ln -sfn ..data/other s",
    "g=..2026_11_21_23_13_46.1; mkdir -p $g/in/in; chmod 0 $g/in/in $g/in $g",
    "g=..2026_11_21_23_13_46.1; mkdir -p $g/a/b $g/c/..moved_1 $g/..moved_1/x; touch $g/..moved_2 $g/a/..moved_3",
    "mkdir -p ..data_tmp/x ..new_0/x; chmod 0 ..data_tmp ..new_0",
    "touch ..data_tmp ..new_0",
    "chmod -R 0777 ..2*; rm ..data; for g in ..2*; do touch $g/more; done",
    "chmod 0777 .",
    "chmod 01777 .",
    "touch mine; chmod 02700 .",
    "rm ..data; mkdir ..data; touch mine; chmod 0500 .",
    "chmod 0 .",
    "rm ..data s; mkdir -m 0 ..data s; touch mine; chmod 0 ..2* .",
];

fn start(case: &Case, run: Run) -> Run {
    run.args(&["--file", &format!("s={}", case.secret("s", "value")), "--volume"]).arg(case.volume())
}

#[test]
fn what_the_app_puts_in_the_place_of_our_names_does_not_block_the_next_start() {
    let who = format!("{APP}:{APP}");
    for tampering in TAMPERING {
        for more in [&[][..], &["--run-as", &who]] {
            if !more.is_empty() && !is_root() {
                continue;
            }
            let case = Case::new();
            let run = || start(&case, if more.is_empty() { case.run() } else { case.run().root().args(more) });
            run().sh(&format!("cd $SECRET_EXEC_DIR && {tampering}")).output().ok();
            let outcome = run().sh("cat $SECRET_EXEC_DIR/s $SECRET_EXEC_DIR/..data/s").output();
            assert_eq!(outcome.ok(), "valuevalue", "{more:?} after {tampering}\n{outcome}");
            assert_eq!(mode_of(&case.volume()), 0o700, "{tampering}");
            assert_eq!(generations(&case.volume()).len(), 1, "{more:?} after {tampering}\n{outcome}");
            assert_eq!(
                case.volume().join("mine").exists(),
                tampering.contains("touch mine"),
                "what is not in our way stays"
            );
        }
    }
}

#[test]
fn root_without_the_right_to_change_modes_of_others_starts_again_too() {
    needs_root!();
    for tampering in
        ["chmod 01777 .", "rm ..data s; mkdir -p ..data/x s; touch ..data/x/y; chmod 01700 ..data/x ..data ."]
    {
        let case = Case::new();
        let who = format!("{APP}:{APP}");
        let within = ["setpriv", "--bounding-set=-fowner"];
        let run = || start(&case, case.run().root().args(&["--run-as", &who])).within(&within);
        run().sh(&format!("cd $SECRET_EXEC_DIR && {tampering}")).output().ok();
        let outcome = run().sh("cat $SECRET_EXEC_DIR/s").output();
        assert_eq!(outcome.ok(), "value", "after {tampering}\n{outcome}");
        assert_eq!((mode_of(&case.volume()), owner_of(&case.volume())), (0o700, (APP, APP)), "{tampering}");
    }
}

/// A name that no delivery had is the app's own, if it keeps something there.
#[test]
fn a_folder_that_the_app_keeps_under_a_name_that_is_new_to_us_stays() {
    let case = Case::new();
    start(&case, case.run())
        .sh("cd $SECRET_EXEC_DIR && mkdir -p cache/in empty && echo mine > cache/in/file")
        .output()
        .ok();
    let more =
        |name: &str| start(&case, case.run()).args(&["--file", &format!("{name}={}", case.secret("t", "token"))]);
    more("cache/token").sh("true").output().refused(73, &["cache", "is not ours"]);
    assert_eq!(fs::read_to_string(case.volume().join("cache/in/file")).unwrap(), "mine\n");
    let outcome = more("empty/token").sh("cat $SECRET_EXEC_DIR/empty/token $SECRET_EXEC_DIR/cache/in/file").output();
    assert_eq!(outcome.ok(), "tokenmine\n", "{outcome}");
}

/// Below our own directory even the way is put right: everything there is ours by its name.
#[test]
fn what_the_app_puts_in_the_place_of_the_volume_does_not_block_the_next_start() {
    needs_root!();
    for tampering in [
        "rm -r a/files; touch a/files",
        "rm -r a/files; mkfifo a/files",
        "rm -r a/files; ln -s /etc a/files",
        "rm -r a/files; mkdir a/files; echo mine > a/files/s",
        "rm -r a; echo > a",
        "rm -r a; ln -s /etc a",
        "chmod 0 a/files a",
        "chmod 0777 a/files a",
        "rm -r a/files/* a/files/..[!.]*; mkdir a/files/..data a/files/s; chmod 0 a/files/s",
    ] {
        let case = Case::new();
        let script = format!(
            "mkdir -p /run/secret-exec; mount -t tmpfs -o mode=1777 none /run/secret-exec; cd /; \
             setpriv --reuid {APP} --regid {APP} --clear-groups \"$0\" \"$@\" -- sh -ec 'chmod -R u+rwx /run/secret-exec/a; cd /run/secret-exec; {tampering}'; \
             setpriv --reuid {APP} --regid {APP} --clear-groups \"$0\" \"$@\" -- sh -ec 'cat $SECRET_EXEC_DIR/s'"
        );
        let run = case.run().args(&["--file", &format!("s={}", case.secret("s", "value"))]);
        let run = run.args(&["--volume", "/run/secret-exec/a/files"]);
        let outcome = run.root().within(&["unshare", "-m", "sh", "-ec", &script]).output();
        assert_eq!(outcome.ok(), "value", "after {tampering}\n{outcome}");
    }
}

#[test]
fn what_the_app_puts_in_the_place_of_a_folder_of_links_does_not_block_the_next_start() {
    needs_root!();
    for tampering in [
        "rm -r links; touch links",
        "rm -r links/0; mkfifo links/0",
        "chmod 0 links/0 links",
        "rm links/0/s; mkdir -p links/0/s/x; chmod 0 links/0/s; touch links/0/other",
    ] {
        let case = Case::new();
        let config = format!(
            "volume: {{ links: /run/secret-exec/links }}\nfiles: {{ 0/s: \"{}\" }}\n",
            case.secret("s", "value")
        );
        let as_app = format!("setpriv --reuid {APP} --regid {APP} --clear-groups");
        let script = format!(
            "mkdir -p /run/secret-exec; mount -t tmpfs -o mode=1777 none /run/secret-exec; cd /; {as_app} \"$0\" \"$@\" -- \
             sh -ec 'cd /run/secret-exec; {tampering}'; {as_app} \"$0\" \"$@\" -- sh -ec 'cat /run/secret-exec/links/0/s'"
        );
        let outcome = case.with_config(&config).root().within(&["unshare", "-m", "sh", "-ec", &script]).output();
        assert_eq!(outcome.ok(), "value", "after {tampering}\n{outcome}");
    }
}

#[test]
fn what_is_not_ours_is_refused_as_before() {
    // No sign that the directory was ever ours.
    let case = Case::new();
    fs::create_dir(case.volume()).unwrap();
    fs::write(case.volume().join("s"), "theirs").unwrap();
    own(&case.volume(), APP);
    own(&case.volume().join("s"), APP);
    set_mode(&case.volume(), 0o700);
    case.refused(start(&case, case.run()), 73, &["s is there already and is not ours"]);
    set_mode(&case.volume(), 0o000);
    case.refused(start(&case, case.run()), 73, &["permission denied"]);
    assert_eq!(mode_of(&case.volume()), 0);
    set_mode(&case.volume(), 0o700);
    assert_eq!(fs::read_to_string(case.volume().join("s")).unwrap(), "theirs");

    // A directory as the kubelet makes it.
    let case = Case::new();
    let generation = case.volume().join("..2026_11_21_23_13_46.1");
    fs::create_dir_all(&generation).unwrap();
    fs::write(generation.join("s"), "theirs").unwrap();
    fs::write(case.volume().join("s"), "theirs").unwrap();
    set_mode(&generation, 0o755);
    symlink("..2026_11_21_23_13_46.1", case.volume().join("..data")).unwrap();
    if is_root() {
        own(case.volume().parent().unwrap(), 0);
        case.refused(start(&case, case.run().root()).args(&["--run-as", "0"]), 73, &["not ours"]);
    }
    assert_eq!(fs::read_to_string(generation.join("s")).unwrap(), "theirs");
    assert_eq!(fs::read_to_string(case.volume().join("s")).unwrap(), "theirs");
}

#[test]
fn what_belongs_to_another_owner_is_never_removed() {
    needs_root!();
    let who = format!("{APP}:{APP}");
    for (name, says) in [
        ("s", Some("s is there already")),
        ("..data", Some("..data is there already")),
        ("..2026_11_21_23_13_46.1", None),
    ] {
        let case = Case::new();
        let run = || start(&case, case.run().root().args(&["--run-as", &who]));
        run().sh("cd $SECRET_EXEC_DIR; rm s ..data").output().ok();
        let theirs = case.volume().join(name);
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("kept"), "").unwrap();
        own(&theirs, APP + 1);
        match says {
            Some(says) => drop(case.refused(run(), 73, &[says])),
            None => assert_eq!(run().sh("cat $SECRET_EXEC_DIR/s").output().ok(), "value"),
        }
        assert!(theirs.join("kept").exists(), "{name}");
        // In a directory of the app's own, too.
        let case = Case::new();
        let run = || start(&case, case.run().root().args(&["--run-as", &who]));
        run().sh("cd $SECRET_EXEC_DIR; rm s; mkdir s; touch s/own").output().ok();
        let theirs = case.volume().join("s/theirs");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("kept"), "").unwrap();
        own(&theirs, APP + 1);
        assert_eq!(run().sh("cat $SECRET_EXEC_DIR/s").output().ok(), "value");
        let stays =
            fs::read_dir(case.volume()).unwrap().flatten().any(|entry| entry.path().join("theirs/kept").exists());
        assert!(stays);
    }
}

#[test]
fn nothing_is_removed_across_a_mount() {
    needs_root!();
    let case = Case::new();
    let volume = case.volume();
    let volume = volume.display();
    // The same file system, so that only the number of the mount tells.
    let script = format!(
        "\"$0\" \"$@\" -- true; rm {volume}/s; mkdir -p {volume}/s {volume}/data {volume}/..2026_11_21_23_13_46.1/in; \
         touch {volume}/data/kept; chown -R {APP} {volume}/s {volume}/data {volume}/..2*; \
         mount --bind {volume}/data {volume}/..2026_11_21_23_13_46.1/in; \
         \"$0\" \"$@\" -- true || true; ls {volume}/data; rm -r {volume}/s; mkdir {volume}/s; \
         mount --bind {volume}/data {volume}/s; \"$0\" \"$@\" -- true || echo $?; ls {volume}/data"
    );
    let who = format!("{APP}:{APP}");
    let run =
        start(&case, case.run().root().args(&["--run-as", &who])).within(&["unshare", "-m", "sh", "-ec", &script]);
    assert_eq!(run.output().out(), "kept\n73\nkept\n");
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
