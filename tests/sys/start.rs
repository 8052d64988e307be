//! What the caller gave reaches the app unchanged.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::Test;
use crate::starter::{Outcome, before, check, command, copy_program, helper, is_root, line, run, text};

pub(crate) const TESTS: &[Test] = &[
    ("start::mask_and_dispositions_are_the_callers", mask_and_dispositions_are_the_callers),
    ("start::the_core_limit_is_the_callers_and_ours_is_zero", the_core_limit_is_the_callers_and_ours_is_zero),
    ("start::inherited_descriptors_survive_and_ours_do_not", inherited_descriptors_survive_and_ours_do_not),
    (
        "start::descriptors_of_ours_are_closed_whatever_their_number",
        descriptors_of_ours_are_closed_whatever_their_number,
    ),
    ("start::it_works_without_proc", it_works_without_proc),
    ("start::a_waiting_signal_keeps_the_app_from_starting", a_waiting_signal_keeps_the_app_from_starting),
    ("start::a_waiting_signal_the_caller_ignores_does_not", a_waiting_signal_the_caller_ignores_does_not),
    ("start::a_setuid_or_setgid_installation_is_refused", a_setuid_or_setgid_installation_is_refused),
    ("start::nobody_of_our_uid_can_look_into_us", nobody_of_our_uid_can_look_into_us),
];

const MODES: [&str; 2] = ["exec", "supervise"];

fn set(signals: &[i32]) -> u64 {
    signals.iter().fold(0, |set, signal| set | 1 << (signal - 1))
}

fn ignore(signals: &'static [i32]) -> impl FnMut() + Send + Sync + 'static {
    move || {
        for signal in signals {
            // SAFETY: no handler is installed.
            unsafe { libc::signal(*signal, libc::SIG_IGN) };
        }
    }
}

fn block(signals: &'static [i32]) -> impl FnMut() + Send + Sync + 'static {
    move || {
        let mask = set(signals);
        // SAFETY: eight bytes, as said.
        let answer = unsafe {
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, std::ptr::null::<u64>(), 8)
        };
        check("mask", answer);
    }
}

fn mask_and_dispositions_are_the_callers() -> Outcome {
    let starts: [(&[i32], &[i32]); 5] = [
        (&[], &[]),
        (&[libc::SIGPIPE], &[]),
        (&[libc::SIGCHLD, libc::SIGHUP], &[libc::SIGUSR1]),
        (&[libc::SIGPIPE, libc::SIGTTOU, 40], &[libc::SIGTERM, libc::SIGPIPE, 64]),
        (&[libc::SIGSEGV], &[libc::SIGCHLD, libc::SIGSEGV, 33]),
    ];
    // libc's own two are the caller's as well: glibc's posix_spawn, for one, leaves 32 ignored.
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    let internal = u64::from_str_radix(line(&ours, "SigIgn"), 16).unwrap() & set(&[32, 33]);
    for mode in MODES {
        for (ignored, blocked) in starts {
            let mut start = command(&[mode], &["cat", "/proc/self/status"]);
            before(&mut start, ignore(ignored));
            before(&mut start, block(blocked));
            let output = run(&mut start);
            assert!(output.status.success(), "{mode} {ignored:?} {blocked:?}: {output:?}");
            let status = text(&output);
            assert_eq!(line(&status, "SigIgn"), format!("{:016x}", set(ignored) | internal), "{mode}");
            assert_eq!(line(&status, "SigBlk"), format!("{:016x}", set(blocked)), "{mode}");
        }
    }
    Outcome::Passed
}

fn the_core_limit_is_the_callers_and_ours_is_zero() -> Outcome {
    for mode in MODES {
        let mut start = command(&[mode], &["sh", "-c", "cat /proc/self/limits; cat /proc/$PPID/limits"]);
        before(&mut start, || {
            let limit = libc::rlimit { rlim_cur: 12_288, rlim_max: 40_960 };
            // SAFETY: the kernel reads one rlimit.
            check("core", unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) }.into());
        });
        let limits = text(&run(&mut start));
        let mut core = limits.lines().filter(|line| line.starts_with("Max core file size"));
        let fields =
            |line: Option<&str>| line.unwrap().split_whitespace().skip(4).take(2).collect::<Vec<_>>().join(" ");
        assert_eq!(fields(core.next()), "12288 40960", "{mode}");
        if mode == "supervise" {
            assert_eq!(fields(core.next()), "0 40960");
        }
    }
    Outcome::Passed
}

/// Passes /dev/zero as 7 and /dev/full as 200.
fn pass_descriptors() {
    // Nothing but these: whoever started the tests may have passed us something as well.
    // SAFETY: only sets flags of descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    for (path, number) in [(c"/dev/zero", 7), (c"/dev/full", 200)] {
        // SAFETY: a string that ends in NUL, and descriptors.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            check("dup2", libc::dup2(fd, number).into());
        }
    }
}

fn inherited_descriptors_survive_and_ours_do_not() -> Outcome {
    for mode in MODES {
        // `ls` opens the directory itself, which becomes the lowest free number.
        let listing = "for fd in /proc/self/fd/*; do echo ${fd##*/} $(readlink $fd); done";
        let mut start = command(&[mode, "--open"], &["sh", "-c", listing]);
        before(&mut start, pass_descriptors);
        let found = text(&run(&mut start));
        let above: Vec<&str> = found.lines().filter(|line| line.contains(" /dev/") && !line.contains("null")).collect();
        // In the shell's order, which is that of text.
        assert_eq!(above, ["200 /dev/full", "7 /dev/zero"], "{mode}: {found}");
        assert!(!found.lines().any(|line| line.contains("/dev/null") && !line.starts_with("0 ")), "{mode}: {found}");
        assert!(!found.contains("signalfd"), "{mode}: {found}");
    }
    Outcome::Passed
}

/// Every number below is taken, so that what the program opens comes after it.
const TAKEN: i32 = 65_700;

fn descriptors_of_ours_are_closed_whatever_their_number() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("needs root, to raise the limit on open files");
    }
    for mode in MODES {
        let above = format!(
            "n={TAKEN}; while [ $n -lt {} ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done; :",
            TAKEN + 100
        );
        let mut start = command(&[mode, "--open"], &["sh", "-c", &above]);
        before(&mut start, || {
            let limit = libc::rlimit { rlim_cur: 70_000, rlim_max: 70_000 };
            // SAFETY: the struct and the filter live through their calls; descriptors are only copied where there is none.
            unsafe {
                check("limit", libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit).into());
                for fd in (3..TAKEN).filter(|fd| libc::fcntl(*fd, libc::F_GETFD) < 0) {
                    check("dup2", libc::dup2(0, fd).into());
                }
                refuse_close_range();
            }
        });
        assert_eq!(text(&run(&mut start)), "", "{mode}");
    }
    Outcome::Passed
}

/// From here on `close_range` does not exist (ENOSYS), as before Linux 5.9.
///
/// # Safety
/// For the time between fork and exec: makes system calls only.
unsafe fn refuse_close_range() {
    const LOAD_NUMBER: libc::sock_filter = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let number = u32::try_from(libc::SYS_close_range).expect("a small number");
    let filter = [
        LOAD_NUMBER,
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: number },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32 },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program points to four instructions that live through the call.
    unsafe {
        check("no_new_privs", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into());
        check("seccomp", libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program).into());
    }
}

fn it_works_without_proc() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("needs root, to unmount /proc in a mount namespace");
    }
    for mode in MODES {
        let check_fds = "test ! -e /proc/self || exit 9; test -e /dev/stdin; true <&7 || exit 8; (true <&9) 2>/dev/null && exit 7; id -u; id -g; id -G";
        let mut start = command(&[mode, "--open", "--run-as", "1000:1000"], &["sh", "-c", check_fds]);
        before(&mut start, || {
            // SAFETY: strings that end in NUL.
            unsafe {
                check("unshare", libc::unshare(libc::CLONE_NEWNS).into());
                let (none, root) = (std::ptr::null(), c"/".as_ptr());
                let private = libc::MS_REC | libc::MS_PRIVATE;
                check("private", libc::mount(none, root, none, private, none.cast()).into());
                check("umount", libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH).into());
            }
            pass_descriptors();
        });
        let output = run(&mut start);
        assert_eq!(output.status.code(), Some(0), "{mode}: {output:?}");
        assert_eq!(text(&output), "1000\n1000\n1000\n", "{mode}");
        // Threads are counted without it as well.
        let mut start = command(&[mode, "--thread"], &["true"]);
        before(&mut start, || {
            // SAFETY: strings that end in NUL.
            unsafe {
                check("unshare", libc::unshare(libc::CLONE_NEWNS).into());
                let (none, root) = (std::ptr::null(), c"/".as_ptr());
                check("private", libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()).into());
                check("umount", libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH).into());
            }
        });
        assert_eq!(run(&mut start).status.code(), Some(71), "{mode}");
    }
    Outcome::Passed
}

fn a_waiting_signal_keeps_the_app_from_starting() -> Outcome {
    for mode in MODES {
        let output = run(&mut command(&[mode, "--raise-term"], &["echo", "ran"]));
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(143), ""), "{mode}: {output:?}");
    }
    Outcome::Passed
}

fn a_waiting_signal_the_caller_ignores_does_not() -> Outcome {
    let mut start = command(&["exec", "--raise-term"], &["echo", "ran"]);
    before(&mut start, ignore(&[libc::SIGTERM]));
    let output = run(&mut start);
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), "ran\n"));
    // One the caller blocks goes on waiting, in the app.
    let mut start = command(&["exec", "--raise-term"], &["cat", "/proc/self/status"]);
    before(&mut start, block(&[libc::SIGTERM]));
    let status = text(&run(&mut start));
    let waiting = u64::from_str_radix(line(&status, "SigPnd"), 16).unwrap()
        | u64::from_str_radix(line(&status, "ShdPnd"), 16).unwrap();
    assert_eq!(waiting, set(&[libc::SIGTERM]));
    Outcome::Passed
}

fn a_setuid_or_setgid_installation_is_refused() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return Outcome::Skipped("needs root, to install a setuid program and start it as somebody else");
    }
    for mode in [0o4755, 0o2755] {
        let copy = helper().with_file_name(format!("helper-{mode:o}"));
        copy_program(helper(), &copy);
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
        let mut start = std::process::Command::new(&copy);
        start.args(["--helper", "exec", "--", "echo", "ran"]);
        before(&mut start, || {
            // SAFETY: system calls.
            unsafe {
                check("setresgid", libc::setresgid(1000, 1000, 1000).into());
                check("setresuid", libc::setresuid(1000, 1000, 1000).into());
            }
        });
        let output = run(&mut start);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Outcome::Skipped("the temporary directory is mounted nosuid");
        }
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(64), ""), "{output:?}");
        assert!(said.contains("setuid, setgid"), "{said}");
    }
    Outcome::Passed
}

fn nobody_of_our_uid_can_look_into_us() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("needs root, to drop");
    }
    // The app has our uid, and we are its parent.
    let look = "for what in mem environ maps; do (cat <&3) 2>/dev/null 3</proc/$PPID/$what && echo opened $what; done; \
                ls /proc/$PPID/fd 2>/dev/null; readlink /proc/$PPID/exe; kill -0 $PPID && echo parent";
    let output = run(&mut command(&["supervise", "--run-as", "1000:1000"], &["sh", "-c", look]));
    assert_eq!(output.status.signal(), None);
    assert_eq!(text(&output), "parent\n", "{output:?}");
    Outcome::Passed
}
