//! Starts the helper as odd callers do.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// How a test ended, when it did not fail.
pub(crate) enum Outcome {
    Passed,
    /// What it needs is not here.
    Skipped(&'static str),
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The helper, where every user can execute it.
pub(crate) fn helper() -> &'static Path {
    static HELPER: OnceLock<PathBuf> = OnceLock::new();
    HELPER.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap().keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let path = directory.join("helper");
        copy_program(&std::env::current_exe().unwrap(), &path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    })
}

/// Copies a file that will be executed. Not by ourselves: a child that another test forks meanwhile would keep the copy
/// open for writing, and it could not be executed (ETXTBSY).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Removes the helper and what was put beside it.
pub(crate) fn clean_up() {
    fs::remove_dir_all(helper().parent().unwrap()).unwrap();
}

/// `helper MODE… -- COMMAND…`.
pub(crate) fn command(mode: &[&str], command: &[&str]) -> Command {
    let mut start = Command::new(helper());
    start.arg("--helper").args(mode).arg("--").args(command);
    start
}

/// The helper as an app that reports its signals.
pub(crate) fn app() -> [&'static str; 3] {
    [helper().to_str().unwrap(), "--helper", "app"]
}

/// Runs `before` in the child, right before execve (std has given SIGPIPE its default back, and emptied the mask).
pub(crate) fn before(start: &mut Command, before: impl FnMut() + Send + Sync + 'static) -> &mut Command {
    let mut before = before;
    // SAFETY: the closures given make system calls only.
    unsafe {
        start.pre_exec(move || {
            before();
            Ok(())
        })
    }
}

/// The number of an answer of a system call, or a panic with what went wrong.
pub(crate) fn check(what: &str, answer: i64) {
    assert!(answer >= 0, "{what}: {}", io::Error::last_os_error());
}

/// In a session of its own, wherever the tests are started from.
pub(crate) fn without_terminal(start: &mut Command) -> &mut Command {
    before(start, || {
        // SAFETY: a system call.
        check("setsid", unsafe { libc::setsid() }.into());
    })
}

pub(crate) fn run(start: &mut Command) -> Output {
    without_terminal(start).output().unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A line of `/proc/self/status`.
pub(crate) fn line<'a>(status: &'a str, name: &str) -> &'a str {
    let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {status:?}")).trim()
}

/// Becomes uid and gid 1000 with one capability that survives execve: permitted, effective, inheritable, ambient.
pub(crate) fn become_1000_with_ambient(capability: u32) {
    // SAFETY: system calls; the structures have the kernel's layout (capset(2), version 3).
    unsafe {
        check("keepcaps", libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).into());
        check("setgroups", libc::setgroups(0, std::ptr::null()).into());
        check("setresgid", libc::setresgid(1000, 1000, 1000).into());
        check("setresuid", libc::setresuid(1000, 1000, 1000).into());
        let header = [0x2008_0522_u32, 0];
        let bit = 1_u32 << capability;
        let words = [bit, bit, bit, 0, 0, 0];
        check("capset", libc::syscall(libc::SYS_capset, header.as_ptr(), words.as_ptr()));
        let (raise, capability) = (libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, libc::c_ulong::from(capability));
        check("ambient", libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0).into());
    }
}
