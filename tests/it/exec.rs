//! Wrapping a command: the process is replaced, and nothing between caller and app is lost.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use support::*;

#[test]
fn every_exit_code_passes_through() {
    let case = Case::new();
    for code in 0..=255 {
        let outcome = case.run().sh(&format!("exit {code}")).output();
        assert_eq!(outcome.code(), Some(code), "{outcome}");
    }
}

#[test]
fn death_by_a_signal_passes_through() {
    let case = Case::new();
    for name in ["HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM"] {
        let outcome = case.run().sh(&format!("kill -{name} $$")).output();
        let plain = Run::new("/bin/sh".as_ref()).args(&["-c", &format!("kill -{name} $$")]).output();
        assert_eq!(outcome.signal(), plain.signal(), "{name}: {outcome}");
        assert!(outcome.signal().is_some(), "{name}: {outcome}");
    }
}

#[test]
fn the_process_is_replaced() {
    let case = Case::new();
    let env = format!("SECRET={}", case.secret("s", "value"));
    let running = case.run().args(&["--env", &env]).sh("echo pid=$$ secret=$SECRET; exec sleep 1000").start();
    let mut running = running;
    let pid = running.pid();
    running.says(&format!("pid={pid} secret=value"));
    wait_for("exec", || fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|name| name == "sleep\n"));
    assert_eq!(fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(), 1);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(children, "");
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let case = Case::new();
    let odd =
        [OsStr::new("printf"), OsStr::new("[%s]"), OsStr::new(""), OsStr::from_bytes(b"\xff\n a"), OsStr::new("--")];
    assert_eq!(case.run().app(&odd).output().stdout, b"[][\xff\n a][--]");
}

#[test]
fn an_option_behind_the_dashes_belongs_to_the_command() {
    let case = Case::new();
    assert_eq!(case.run().app(&["echo", "--env", "--help"]).output().ok(), "--env --help\n");
}

#[test]
fn standard_input_is_the_apps() {
    let case = Case::new();
    assert_eq!(case.run().app(&["cat"]).stdin(b"line\nsecond").output().ok(), "line\nsecond");
}

#[test]
fn the_app_gets_the_callers_signal_mask_and_dispositions() {
    let case = Case::new();
    let signals = |run: Run| {
        let status = run.output().ok();
        ["SigBlk", "SigIgn"].map(|name| status_field(&status, name))
    };
    for (ignore, block) in
        [(&[][..], &[][..]), (&[13], &[]), (&[17], &[]), (&[1, 2, 13], &[10, 12]), (&[], &[2, 15, 17, 40])]
    {
        let plain = Run::new("/bin/cat".as_ref()).arg("/proc/self/status").ignoring(ignore).blocking(block);
        let ours = case.run().app(&["cat", "/proc/self/status"]).ignoring(ignore).blocking(block);
        assert_eq!(signals(ours), signals(plain), "ignored {ignore:?}, blocked {block:?}");
    }
}

#[test]
fn the_app_gets_the_callers_limits() {
    let case = Case::new();
    let limits = |run: Run| run.limit(libc::RLIMIT_CORE, 0).limit(libc::RLIMIT_NOFILE, 200).output().ok();
    let plain = limits(Run::new("/bin/cat".as_ref()).arg("/proc/self/limits"));
    assert_eq!(limits(case.run().app(&["cat", "/proc/self/limits"])), plain);
}

#[test]
fn our_descriptors_are_closed_and_the_callers_survive() {
    let case = Case::new();
    let config = format!(
        "files: {{ s: \"{0}\" }}\nenv: {{ S: \"{0}\" }}\nvolume: {{ path: {1} }}\n",
        case.secret("s", "value"),
        case.volume().display()
    );
    let descriptors = |run: Run| run.app(&["ls", "/proc/self/fd"]).output().ok().lines().count();
    // 0, 1, 2, the directory that ls reads, and what the suite itself was given.
    let plain = Run::new("/bin/ls".as_ref()).arg("/proc/self/fd").output().ok().lines().count();
    assert_eq!(descriptors(case.with_config(&config)), plain);
    let given = File::open(case.write("given", "from the caller")).unwrap();
    let fd = given.as_raw_fd();
    let outcome = case.with_config(&config).inherit(fd).app(&["cat", &format!("/proc/self/fd/{fd}")]).output();
    assert_eq!(outcome.ok(), "from the caller");
    assert_eq!(descriptors(case.with_config(&config).inherit(fd)), plain + 1);
}

#[test]
fn the_command_is_found_in_the_apps_path() {
    let case = Case::new();
    let tool = case.write("tools/my-tool", "#!/bin/sh\necho found\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let tools = case.path("tools");
    let path = format!("{}:/usr/bin:/bin", tools.display());
    assert_eq!(case.run().env("PATH", &path).app(&["my-tool"]).output().ok(), "found\n");
    assert_eq!(case.run().cwd(&tools).app(&["./my-tool"]).output().ok(), "found\n");
    // An empty element is the current directory, as in execvp(3).
    assert_eq!(case.run().env("PATH", ":/usr/bin:/bin").cwd(&tools).app(&["my-tool"]).output().ok(), "found\n");
}

#[test]
fn a_command_that_is_not_there_ends_with_127_before_anything_is_asked() {
    let (case, proxy) = (Case::new(), Proxy::before(OpenBao::shared().port));
    let token = case.write("token", "never-sent");
    let config = format!(
        "vault: {{ address: \"{}\", auth: {{ method: token-file, path: {} }} }}\nenv: {{ A: \"vault:secret/data/a#b\" }}\n",
        proxy.address(),
        token.display()
    );
    for command in ["no-such-command", "/no/such/command", "./nothing"] {
        let outcome = case.with_config(&config).app(&[command]).output();
        outcome.refused(127, &[command, "not found|no such file|cannot find"]);
    }
    assert_eq!(proxy.requests().len(), 0);
}

#[test]
fn a_command_that_cannot_be_executed_ends_with_126() {
    let case = Case::new();
    let data = case.write("data", "plain data\n");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o644)).unwrap();
    let headless = case.write("headless", "echo a script without its first line\n");
    fs::set_permissions(&headless, fs::Permissions::from_mode(0o755)).unwrap();
    for command in [data.as_path(), headless.as_path(), case.dir.as_path()] {
        let outcome = case.run().app(&[command]).output();
        outcome.refused(126, &[command.to_str().unwrap()]);
    }
}

#[test]
fn a_signal_before_the_app_ran_ends_us_with_its_number() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let proxy = Proxy::before(space.bao.port);
        proxy.always(Plan::Hang);
        let login = space.approle(&case, &["x/*"]);
        let config = space.vault_at(&proxy.address(), &login) + "env: { A: \"vault:x/y#z\" }\n";
        let mut running = case.with_config(&config).app(&case.marking_app()).start();
        running.until("login", || (!proxy.requests().is_empty()).then_some(()));
        running.signal(number);
        let outcome = running.end();
        assert_eq!(outcome.code(), Some(128 + number), "{outcome}");
        assert!(!case.ran());
    }
}

#[test]
fn help_and_version_are_on_stdout() {
    let case = Case::new();
    let help = case.run().arg("--help").output().ok();
    let words = [
        "secret-exec",
        "--config",
        "--env",
        "--file",
        "--run-as",
        "--supervise",
        "--local",
        "init",
        "check",
        "install",
    ];
    for word in words {
        assert!(help.contains(word), "no {word} in\n{help}");
    }
    assert!(help.lines().all(|line| line.len() <= 120), "{help}");
    let version = Run::new(program()).arg("--version").output().ok();
    assert!(version.starts_with(concat!("secret-exec ", env!("CARGO_PKG_VERSION"))), "{version}");
}

#[test]
fn help_of_a_subcommand_is_there_too() {
    for command in ["init", "check", "install", "schema"] {
        let help = Run::new(program()).args(&[command, "--help"]).output().ok();
        assert!(help.contains(command), "{help}");
    }
}
