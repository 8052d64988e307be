//! What the environment limits is never called a bug: a sentence, and a code of the contract.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::*;

const PYTHON: &str = "/usr/bin/python3";

#[test]
fn few_open_files_are_refused_with_a_sentence() {
    for files in [4, 5, 6, 7, 8, 15, 16, 24, 34] {
        let case = Case::new();
        let run =
            case.run().limit(libc::RLIMIT_NOFILE, files).args(&["--env", &format!("X={}", case.secret("s", "v"))]);
        case.refused(run, 64, &["files can be opened", "RLIMIT_NOFILE"]);
    }
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        let run = case.run().limit(libc::RLIMIT_NOFILE, 40).args(mode);
        let run = run.args(&["--env", &format!("X={}", case.secret("s", "v"))]);
        assert_eq!(run.sh("printf %s $X").output().ok(), "v");
    }
}

#[test]
fn descriptors_that_are_passed_on_count_among_the_open_files() {
    if !Path::new(PYTHON).exists() {
        return skip("needs /usr/bin/python3, which every user may run");
    }
    let starter = "import os, resource, sys\nfor _ in range(10): os.set_inheritable(os.dup(0), True)\n\
                   resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\nos.execv(sys.argv[1], sys.argv[1:])\n";
    let case = Case::new();
    let run = case.run().args(&["--env", &format!("X={}", case.secret("s", "v"))]).app(&case.marking_app());
    run.within(&[PYTHON, "-c", starter]).output().refused(64, &["files can be opened", "RLIMIT_NOFILE is 40"]);
    assert!(!case.ran());
}

#[test]
fn a_small_stack_is_enough() {
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        let run = case.run().limit(libc::RLIMIT_STACK, 200 << 10).args(mode);
        let run = run.args(&["--env", &format!("X={}", case.secret("s", "v"))]);
        assert_eq!(run.sh("printf '%s %s' $X $(ulimit -S -s)").output().ok(), "v 200", "and the app has its own limit");
    }
}

#[test]
fn a_stack_that_cannot_be_raised_to_what_a_start_needs_is_refused() {
    for kibibytes in [96, 200, 400] {
        let case = Case::new();
        let run = case.run().args(&["--env", &format!("X={}", case.secret("s", "v"))]).app(&case.marking_app());
        let stack = format!("--stack={0}:{0}", kibibytes << 10);
        let run = run.user(APP, APP).within(&["prlimit", &stack]);
        run.output().refused(64, &["RLIMIT_STACK", "512 KiB is the least"]);
        assert!(!case.ran());
    }
}

#[test]
fn no_thread_for_a_name_look_up_is_told_with_the_limit() {
    let case = Case::new();
    let token = case.write("token", "s.token");
    let config = format!(
        "vault: {{ address: \"https://vault.test:8200\", auth: {{ method: token-file, path: {} }} }}\n\
         files: {{ s: \"vault:kv/a#k\" }}\n",
        token.display()
    );
    // Root has no such limit.
    let start = || case.with_files(&config).args(&["--timeout", "5s"]).user(APP, APP);
    for run in [start().command("init"), start().app(&case.marking_app())] {
        run.within(&["prlimit", "--nproc=1"])
            .output()
            .refused(69, &["vault.test cannot be looked up", "pids limit", "ulimit -u"]);
        assert!(!case.ran());
    }
    let env = |run: Run| run.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "key");
    let config = "aws: { region: eu-west-1 }\nfiles: { s: \"aws-sm:a\" }\n";
    let start = env(case.with_files(config)).args(&["--timeout", "5s"]).user(APP, APP);
    let run = start.within(&["prlimit", "--nproc=1"]).app(&case.marking_app());
    case.refused(run, 69, &["no thread can be started", "pids limit"]);
}

#[test]
fn no_process_for_the_command_is_126() {
    let case = Case::new();
    let start = case.run().user(APP, APP).arg("--supervise").within(&["prlimit", "--nproc=1"]);
    case.refused(start.app(&case.marking_app()), 126, &["cannot start", "process"]);
}

#[test]
fn little_address_space_is_no_bug() {
    for mebibytes in [64, 128, 256, 512] {
        let case = Case::new();
        let run = case.run().limit(libc::RLIMIT_AS, mebibytes << 20);
        let outcome = run.args(&["--env", &format!("X={}", case.secret("s", "v"))]).sh("printf %s $X").output();
        assert_eq!(outcome.ok(), "v", "{mebibytes} MiB");
    }
}

#[test]
fn accounts_that_cannot_be_read_are_not_needed_for_numbers() {
    needs_root!();
    let case = Case::new();
    let empty = case.write("nobody-reads-this", "root:x:0:0::/:/bin/sh\n");
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o000)).unwrap();
    own(&empty, 0);
    for file in ["/etc/passwd", "/etc/group"] {
        let inside = format!(
            "mount --bind {} {file} && exec setpriv --reuid {APP} --regid {APP} --clear-groups \"$@\"",
            empty.display()
        );
        let within = ["unshare", "-m", "sh", "-c", &inside, "sh"];
        let who = format!("{APP}:{APP}");
        for more in [&["--run-as", who.as_str()][..], &[]] {
            assert_eq!(case.run().root().args(more).within(&within).app(&["echo", "ran"]).output().ok(), "ran\n");
        }
        let run = case.run().root().args(&["--run-as", "root"]).within(&within);
        case.refused(run, 64, &[file]);
    }
}

#[test]
fn a_generation_that_was_nested_too_deep_is_removed_by_the_next_start() {
    let case = Case::new();
    let start = |value: &str| {
        case.with_files(&format!("files: {{ s: \"{}\" }}\n", case.secret("s", value))).command("init").output()
    };
    start("first").ok();
    let left = case.volume().join("..2026_11_21_23_13_46.1");
    let script = "import os, sys\nos.mkdir(sys.argv[1], 0o500 | 0o200)\nos.chdir(sys.argv[1])\n\
                  for _ in range(3000):\n os.mkdir('d')\n os.chdir('d')\n";
    let python = Run::new("/usr/bin/python3".as_ref()).args(&["-c", script]).arg(&left).user(APP, APP).output();
    if python.code() != Some(0) {
        return skip("needs /usr/bin/python3");
    }
    start("second").ok();
    assert!(!left.exists());
}
