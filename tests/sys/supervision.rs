//! The parent that stays: forwarding, orphans, leftovers, the terminal, pid 1.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::Test;
use crate::starter::{Outcome, app, before, check, command, helper, is_root, run, text, without_terminal};

pub(crate) const TESTS: &[Test] = &[
    ("supervision::every_forwardable_signal_reaches_the_app_once", every_signal_reaches_the_app),
    ("supervision::a_queued_signal_keeps_its_value", a_queued_signal_keeps_its_value),
    ("supervision::orphans_are_reaped", orphans_are_reaped),
    ("supervision::leftovers_are_asked_to_end", leftovers_are_asked_to_end),
    ("supervision::leftovers_that_refuse_are_killed", leftovers_that_refuse_are_killed),
    ("supervision::the_app_does_not_outlive_us", the_app_does_not_outlive_us),
    ("supervision::as_pid_1_a_term_is_forwarded", as_pid_1_a_term_is_forwarded),
    ("supervision::without_proc_the_apps_group_is_ended", without_proc_the_apps_group_is_ended),
    ("supervision::ctrl_c_reaches_the_app_once_and_ends_with_130", ctrl_c_ends_with_130),
    ("supervision::ctrl_z_where_nobody_could_continue_does_not_hang", ctrl_z_without_a_shell),
    ("supervision::ctrl_z_and_fg_stop_and_continue_the_whole_job", ctrl_z_and_fg),
    ("supervision::a_restart_hands_the_terminal_on", a_restart_hands_the_terminal_on),
    ("supervision::a_restart_in_the_background_takes_no_terminal", a_restart_in_the_background),
    ("supervision::in_a_pipeline_the_terminal_is_not_taken", in_a_pipeline_the_terminal_is_not_taken),
];

struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(start: &mut Command) -> Self {
        let mut child = without_terminal(start).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn send(&self, signal: i32) {
        // SAFETY: a system call.
        check("kill", unsafe { libc::kill(self.pid().as_raw(), signal) }.into());
    }
}

fn every_signal_reaches_the_app() -> Outcome {
    let mut running = Running::start(&mut command(&["supervise"], &app()));
    assert!(running.line().starts_with("ready"));
    let unsent = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGTSTP];
    let faults = [libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];
    for number in (1..=31).chain(34..=64).filter(|number| !unsent.contains(number) && !faults.contains(number)) {
        running.send(number);
        let signal = secret_exec::sys::signals::Signal::from_number(number).unwrap();
        assert_eq!(running.line(), format!("got {signal}"));
    }
    running.send(libc::SIGTERM);
    assert_eq!(running.line(), "got SIGTERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert_eq!(running.line(), "", "nothing came twice");
    Outcome::Passed
}

fn a_queued_signal_keeps_its_value() -> Outcome {
    let mut running = Running::start(&mut command(&["supervise"], &app()));
    assert!(running.line().starts_with("ready"));
    for value in [1_usize, 2, 3] {
        let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value) };
        // SAFETY: the value is a number.
        check("sigqueue", unsafe { libc::sigqueue(running.pid().as_raw(), 40, value) }.into());
    }
    assert_eq!([running.line(), running.line(), running.line()], [1, 2, 3].map(|n| format!("got signal 40 value {n}")));
    running.send(libc::SIGTERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    Outcome::Passed
}

fn orphans_are_reaped() -> Outcome {
    // The grandchild's parent ends at once; its own end is seen by us, its number is free afterwards.
    let script = "sh -c 'sh -c \"echo \\$\\$; exec sleep 0.2\" & exit 0'; read -r _; exit 5";
    let mut start = command(&["supervise"], &["sh", "-c", script]);
    let mut child = without_terminal(&mut start).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut orphan = String::new();
    output.read_line(&mut orphan).unwrap();
    let orphan = Pid::from_raw(orphan.trim().parse().unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    while kill(orphan, None).is_ok() {
        assert!(Instant::now() < until, "a zombie, or still running");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    Outcome::Passed
}

fn leftovers_are_asked_to_end() -> Outcome {
    let begun = Instant::now();
    // In sessions of their own too; and one level down.
    let script = "sleep 300 & setsid sleep 300 & (sleep 300 & sleep 300) & exit 7";
    let output = run(&mut command(&["supervise"], &["sh", "-c", script]));
    // Our end of the pipe closes when the last of them is gone.
    assert_eq!(output.status.code(), Some(7));
    assert!(begun.elapsed() < Duration::from_secs(4), "TERM was enough: {:?}", begun.elapsed());
    Outcome::Passed
}

fn leftovers_that_refuse_are_killed() -> Outcome {
    let begun = Instant::now();
    // Armed before it exists: what is ignored is inherited.
    let script = "trap '' TERM; (echo armed; while :; do sleep 300; done) & trap - TERM; exit 7";
    let output = run(&mut command(&["supervise", "--grace", "1000"], &["sh", "-c", script]));
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(7), "armed\n"));
    assert!(begun.elapsed() >= Duration::from_millis(800), "it was given its time");
    assert!(begun.elapsed() < Duration::from_secs(30));
    Outcome::Passed
}

fn the_app_does_not_outlive_us() -> Outcome {
    let mut running = Running::start(&mut command(&["supervise"], &["sh", "-c", "echo ready; exec sleep 300"]));
    assert_eq!(running.line(), "ready");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    // The pipe closes when the app is gone.
    assert_eq!(running.line(), "");
    Outcome::Passed
}

fn as_pid_1_a_term_is_forwarded() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("needs root, for a pid namespace");
    }
    let script = "test $PPID = 1 || exit 9; kill -TERM 1; sleep 60";
    let mut start = Command::new("unshare");
    start.args(["--pid", "--fork", "--mount-proc"]).arg(helper()).args(["--helper", "supervise", "--"]);
    let Ok(output) = start.args(["sh", "-c", script]).output() else {
        return Outcome::Skipped("needs unshare (util-linux)");
    };
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    Outcome::Passed
}

fn without_proc_the_apps_group_is_ended() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("needs root, to unmount /proc in a mount namespace");
    }
    let begun = Instant::now();
    let mut start = command(&["supervise"], &["sh", "-c", "sleep 300 & exit 7"]);
    before(&mut start, || {
        // SAFETY: strings that end in NUL.
        unsafe {
            check("unshare", libc::unshare(libc::CLONE_NEWNS).into());
            let (none, root) = (std::ptr::null(), c"/".as_ptr());
            check("private", libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()).into());
            check("umount", libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH).into());
        }
    });
    assert_eq!(run(&mut start).status.code(), Some(7));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    Outcome::Passed
}

/// A program in a session of its own with a terminal, and that terminal's other end.
struct Terminal {
    child: Child,
    keyboard: File,
    seen: String,
}

impl Terminal {
    fn start(start: &mut Command) -> Self {
        let pty = openpty(None, None).unwrap();
        let screen = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        start.stdin(screen(&pty.slave)).stdout(screen(&pty.slave)).stderr(screen(&pty.slave));
        let master = pty.master.as_raw_fd();
        before(start, move || {
            // SAFETY: system calls.
            unsafe {
                libc::close(master);
                check("setsid", libc::setsid().into());
                check("TIOCSCTTY", libc::ioctl(0, libc::TIOCSCTTY, 0).into());
            }
        });
        let child = start.spawn().unwrap();
        // The command keeps copies of the terminal, which would keep it open after the program's end.
        *start = Command::new("true");
        Self { child, keyboard: pty.master.into(), seen: String::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until `text` is on the screen, and forgets everything up to it.
    fn expect(&mut self, text: &str) {
        loop {
            if let Some(place) = self.seen.find(text) {
                self.seen.drain(..place + text.len());
                return;
            }
            let mut bytes = [0; 4096];
            let count = self.keyboard.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "the terminal closed before {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Waits until somebody other than the shell has it in the foreground.
    fn wait_until_taken(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let shell = Pid::from_raw(self.child.id().try_into().unwrap());
        while nix::unistd::tcgetpgrp(&self.keyboard).unwrap() == shell {
            assert!(Instant::now() < deadline, "nobody took the terminal");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn rest(mut self) -> (Option<i32>, String) {
        let mut bytes = [0; 4096];
        // At its end Linux answers EIO.
        while let Ok(count @ 1..) = self.keyboard.read(&mut bytes) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        (self.child.wait().unwrap().code(), self.seen)
    }
}

fn ctrl_c_ends_with_130() -> Outcome {
    let mut terminal = Terminal::start(&mut command(&["supervise"], &app()));
    terminal.expect("ready");
    terminal.press("\x03");
    let (code, seen) = terminal.rest();
    assert_eq!((code, seen.matches("got SIGINT").count()), (Some(130), 1), "{seen}");
    // And a program without handlers, which dies of it.
    let mut terminal = Terminal::start(&mut command(&["supervise"], &["sh", "-c", "echo ready; exec sleep 300"]));
    terminal.expect("ready");
    terminal.press("\x03");
    assert_eq!(terminal.rest().0, Some(130));
    Outcome::Passed
}

fn ctrl_z_without_a_shell() -> Outcome {
    // As `docker run -it`: a session's first process, with nobody above it to type `fg`.
    let mut terminal = Terminal::start(&mut command(&["supervise"], &app()));
    terminal.expect("ready");
    terminal.press("\x1a");
    terminal.expect("continued");
    terminal.press("\x03");
    assert_eq!(terminal.rest().0, Some(130));
    Outcome::Passed
}

/// What a shell says when it listens. What is typed while it still takes note of a job's end may be thrown away.
const PROMPT: &str = "your turn> ";

fn shell() -> Option<Terminal> {
    let mut start = Command::new("bash");
    start.args(["--norc", "--noprofile", "-i"]).env("PS1", PROMPT).env("HISTFILE", "");
    let is_there = Command::new("bash").args(["-c", "true"]).status().is_ok_and(|status| status.success());
    is_there.then(|| Terminal::start(&mut start))
}

fn ctrl_z_and_fg() -> Outcome {
    let Some(mut terminal) = shell() else { return Outcome::Skipped("needs bash, for job control") };
    terminal.press(&format!("{0} --helper supervise -- {0} --helper app\n", helper().display()));
    terminal.expect("ready");
    terminal.press("\x1a");
    terminal.expect("Stopped");
    terminal.expect(PROMPT);
    terminal.press("echo in-be''tween\n");
    terminal.expect("in-between");
    terminal.expect(PROMPT);
    terminal.press("fg\n");
    terminal.expect("continued");
    // The terminal is the app's again.
    terminal.press("\x03");
    terminal.expect("got SIGINT");
    terminal.expect(PROMPT);
    terminal.press("echo code $?.\n");
    terminal.expect("code 130.");
    terminal.press("exit\n");
    terminal.rest();
    Outcome::Passed
}

/// A named pipe that tells the helper what to do while its standard input is the terminal.
fn pipe() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    (directory, path.to_str().unwrap().to_owned())
}

fn a_restart_hands_the_terminal_on() -> Outcome {
    let (_directory, lines) = pipe();
    let script = "echo up $GENERATION; read -r line; echo got $line; exec sleep 300";
    let mut terminal = Terminal::start(&mut command(&["drive", "--lines", &lines], &["sh", "-c", script]));
    terminal.expect("up 1");
    std::fs::write(&lines, "restart 2\n").unwrap();
    terminal.expect("up 2");
    // Somebody in the background would be stopped by reading.
    terminal.press("hello\n");
    terminal.expect("got hello");
    terminal.press("\x03");
    assert_eq!(terminal.rest().0, Some(130));
    Outcome::Passed
}

fn a_restart_in_the_background() -> Outcome {
    let Some(mut terminal) = shell() else { return Outcome::Skipped("needs bash, for job control") };
    let (_directory, lines) = pipe();
    let helper = helper().display();
    terminal
        .press(&format!("{helper} --helper drive --lines {lines} -- sh -c 'echo up $GENERATION.; exec sleep 300'\n"));
    terminal.expect("up 1.");
    terminal.press("\x1a");
    terminal.expect("Stopped");
    terminal.expect(PROMPT);
    terminal.press("bg\n");
    terminal.expect("&");
    std::fs::write(&lines, "restart 2\n").unwrap();
    terminal.expect("up 2.");
    // The shell has it still.
    terminal.press("echo it is mi''ne\n");
    terminal.expect("it is mine");
    terminal.expect(PROMPT);
    terminal.press("fg\n");
    terminal.wait_until_taken();
    terminal.press("\x03");
    terminal.expect(PROMPT);
    terminal.press("echo code $?.\n");
    terminal.expect("code 130.");
    terminal.press("exit\n");
    terminal.rest();
    Outcome::Passed
}

fn in_a_pipeline_the_terminal_is_not_taken() -> Outcome {
    let Some(mut terminal) = shell() else { return Outcome::Skipped("needs bash, for job control") };
    // Who has the terminal while the app runs: the pipeline's group, in which the reader is. It reads on after ^C: what
    // the app says then would have nobody to go to.
    let reader =
        "sh -c 'trap : INT; read -r line; echo \"$line\"; read -r key </dev/tty; echo key $key; trap \"\" INT; cat'";
    terminal.press(&format!("{0} --helper supervise -- {0} --helper app | {reader}\n", helper().display()));
    terminal.expect("ready ");
    terminal.press("typed\n");
    terminal.expect("key typed");
    terminal.press("\x03");
    terminal.expect(PROMPT);
    terminal.press("echo codes ${PIPESTATUS[@]}.\n");
    terminal.expect("codes 130 0.");
    terminal.press("exit\n");
    terminal.rest();
    Outcome::Passed
}
