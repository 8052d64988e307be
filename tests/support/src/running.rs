//! A program that runs, what it says, and what came of it; nothing is left behind.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// What a stream said so far.
pub(super) struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Collected {
    pub(super) fn start(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            // A terminal answers EIO when its last user has gone.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, thread }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// No program of the suite needs what the sandbox takes away. (tests/sys/sandbox.rs tries what is refused.)
    fn expect_nothing_refused(&self) {
        let said = self.text();
        assert!(!said.contains("the sandbox refused"), "{said}");
    }

    fn whole(&self, patience: Instant) -> Vec<u8> {
        // A left-over grandchild may hold the pipe; what is there by then is what counts.
        while !self.thread.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.bytes.lock().unwrap().clone()
    }
}

/// A program that runs. Killed when dropped.
pub struct Running {
    child: Child,
    described: String,
    stdout: Collected,
    stderr: Option<Collected>,
    terminal: Option<OwnedFd>,
    ended: Option<ExitStatus>,
}

impl Running {
    pub(super) fn new(
        child: Child,
        described: String,
        (stdout, stderr): (Collected, Option<Collected>),
        terminal: Option<OwnedFd>,
    ) -> Self {
        Self { child, described, stdout, stderr, terminal, ended: None }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it said on stdout (or its terminal) so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it said on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.as_ref().map(Collected::text).unwrap_or_default()
    }

    /// Waits until stdout (or its terminal) holds `text`; all of it then.
    #[track_caller]
    pub fn says(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let ended = self.try_end();
            if ended {
                let patience = Instant::now() + Duration::from_secs(5);
                self.stdout.whole(patience);
                self.stderr.iter().for_each(|stderr| drop(stderr.whole(patience)));
            }
            let said = self.stdout();
            if said.contains(text) {
                return said;
            }
            if ended || start.elapsed() > PATIENCE {
                let (out, err) = (self.stdout(), self.stderr());
                panic!("{} never said {text:?}\nstdout: {out}\nstderr: {err}", self.described);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until stderr holds `text`.
    #[track_caller]
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    pub fn reports(&mut self, text: &str) {
        let start = Instant::now();
        while !self.stderr().contains(text) {
            if self.try_end() || start.elapsed() > PATIENCE {
                panic!("{} never reported {text:?}\nstderr: {}", self.described, self.stderr());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn expect_nothing_refused(&self) {
        [Some(&self.stdout), self.stderr.as_ref()].into_iter().flatten().for_each(Collected::expect_nothing_refused);
    }

    fn try_end(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        crate::kept::calls::kill(self.pid(), number).unwrap();
    }

    /// Types on its terminal.
    pub fn types(&mut self, bytes: &[u8]) {
        let terminal = self.terminal.as_ref().expect("started with pty()");
        File::from(terminal.try_clone().unwrap()).write_all(bytes).unwrap();
    }

    /// Its one child's process id.
    pub fn only_child(&mut self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        self.until("child of ours", || {
            let children = std::fs::read_to_string(&path).unwrap_or_default();
            children.split_whitespace().next().map(|pid| pid.parse().unwrap())
        })
    }

    /// Waits until `probe` answers while it runs; an end before that is a failure.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let ended = self.try_end();
            if let Some(found) = probe() {
                return found;
            }
            if ended || start.elapsed() > PATIENCE {
                panic!("{}: no {what}\nstdout: {}\nstderr: {}", self.described, self.stdout(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        let start = Instant::now();
        while !self.try_end() {
            if start.elapsed() > PATIENCE {
                let (out, err) = (self.stdout(), self.stderr());
                panic!("{} did not end\nstdout: {out}\nstderr: {err}", self.described);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let patience = Instant::now() + Duration::from_secs(5);
        self.expect_nothing_refused();
        Outcome {
            status: self.ended.expect("it ended"),
            stdout: self.stdout.whole(patience),
            stderr: self.stderr.as_ref().map(|all| all.whole(patience)).unwrap_or_default(),
            described: self.described.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.try_end() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if !std::thread::panicking() {
            self.expect_nothing_refused();
        }
    }
}

/// What came of it.
pub struct Outcome {
    status: ExitStatus,
    /// Byte for byte.
    pub stdout: Vec<u8>,
    /// Byte for byte.
    pub stderr: Vec<u8>,
    described: String,
}

impl Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Stdout as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stderr as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The line that explains a failure.
    pub fn last_line(&self) -> String {
        self.err().trim_end().lines().next_back().unwrap_or_default().to_owned()
    }

    /// It ended with 0; its stdout.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.code(), Some(0), "{self}");
        self.out()
    }

    /// It ended with `code`, the last line is ours, stderr says each of `says` (`a|b`: one of them), and nothing panicked.
    #[track_caller]
    pub fn refused(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code(), Some(code), "{self}");
        let last = self.last_line();
        assert!(last.starts_with("secret-exec: "), "the last line is not ours\n{self}");
        let said = self.err();
        assert!(!said.contains("panicked"), "{self}");
        for text in says {
            assert!(text.split('|').any(|text| said.contains(text)), "stderr does not say {text:?}\n{self}");
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n--- stdout\n{}\n--- stderr\n{}", self.described, self.status, self.out(), self.err())
    }
}

/// A field of a `/proc/PID/status` text: `Uid`, `CapEff`, `SigIgn`…
#[track_caller]
pub fn status_field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).split_whitespace().collect::<Vec<_>>().join(" ")
}
