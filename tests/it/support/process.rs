//! Runs a program as a user, a pod or a terminal would, collects what came of it, and leaves nothing behind.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{PATIENCE, is_root, wait_for};

/// How a program is started. The environment is empty but for `PATH` unless a test adds to it.
pub struct Run {
    program: PathBuf,
    args: Vec<OsString>,
    app: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    before: Before,
    pty: bool,
    cwd: PathBuf,
}

/// What happens in the child between fork and exec; prepared in whole, so that nothing allocates there.
#[derive(Default, Clone)]
struct Before {
    user: Option<(u32, u32, Vec<u32>)>,
    tmpfs: Vec<(CString, CString)>,
    keep_ambient: Option<u32>,
    ignore: Vec<i32>,
    block: Vec<i32>,
    limits: Vec<(u32, u64)>,
    inherit: Option<i32>,
}

impl Run {
    /// That program, no arguments, nothing on stdin.
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            app: Vec::new(),
            env: vec![("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())],
            stdin: None,
            before: Before::default(),
            pty: false,
            cwd: PathBuf::from("/"),
        }
    }

    /// One argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Several.
    pub fn args(mut self, args: &[impl AsRef<OsStr>]) -> Self {
        self.args.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Before all arguments so far: a subcommand.
    pub fn command(mut self, name: &str) -> Self {
        self.args.insert(0, name.into());
        self
    }

    /// `-- COMMAND ARG…`, behind all arguments.
    pub fn app(mut self, command: &[impl AsRef<OsStr>]) -> Self {
        self.app = command.iter().map(|arg| arg.as_ref().to_owned()).collect();
        self
    }

    /// Started by another program: `within(&["unshare", "-m"])`.
    pub fn within(mut self, prefix: &[impl AsRef<OsStr>]) -> Self {
        let mut args: Vec<OsString> = prefix.iter().map(|arg| arg.as_ref().to_owned()).collect();
        args.push(std::mem::take(&mut self.program).into());
        args.append(&mut self.args);
        self.program = args.remove(0).into();
        self.args = args;
        self
    }

    /// `-- /bin/sh -c SCRIPT`.
    pub fn sh(self, script: &str) -> Self {
        self.app(&["/bin/sh", "-c", script])
    }

    /// One environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Bytes on stdin, then its end.
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// As another user and group, without supplementary groups. Without root this keeps ours.
    pub fn user(self, uid: u32, gid: u32) -> Self {
        self.user_with_groups(uid, gid, &[])
    }

    /// As another user with supplementary groups.
    pub fn user_with_groups(mut self, uid: u32, gid: u32, groups: &[u32]) -> Self {
        self.before.user = is_root().then(|| (uid, gid, groups.to_vec()));
        self
    }

    /// As ourselves (root, in the tests that say so).
    pub fn root(mut self) -> Self {
        self.before.user = None;
        self
    }

    /// A private mount namespace with a tmpfs at `path`.
    pub fn tmpfs(mut self, path: &Path, options: &str) -> Self {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        self.before.tmpfs.push((path, CString::new(options).unwrap()));
        self
    }

    /// Keeps one capability, ambient, through the change of user (`podman run --user 1000 --cap-add SETUID` does that).
    pub fn ambient(mut self, capability: u32) -> Self {
        self.before.keep_ambient = Some(capability);
        self
    }

    /// Starts with these signals ignored.
    pub fn ignoring(mut self, signals: &[i32]) -> Self {
        self.before.ignore = signals.into();
        self
    }

    /// Starts with these signals blocked.
    pub fn blocking(mut self, signals: &[i32]) -> Self {
        self.before.block = signals.into();
        self
    }

    /// A soft resource limit (`libc::RLIMIT_…`).
    pub fn limit(mut self, resource: u32, soft: u64) -> Self {
        self.before.limits.push((resource, soft));
        self
    }

    /// Passes this descriptor on, as a caller does on purpose.
    pub fn inherit(mut self, fd: i32) -> Self {
        self.before.inherit = Some(fd);
        self
    }

    /// On a new terminal: stdin, stdout and stderr.
    pub fn pty(mut self) -> Self {
        self.pty = true;
        self
    }

    /// Where it starts.
    pub fn cwd(mut self, path: &Path) -> Self {
        self.cwd = path.into();
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn output(self) -> Outcome {
        self.start().end()
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Running {
        let described = format!("{} {:?} -- {:?}", self.program.display(), self.args, self.app);
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        if !self.app.is_empty() {
            command.arg("--").args(&self.app);
        }
        command.current_dir(&self.cwd);
        let terminal = self.pty.then(|| nix::pty::openpty(None, None).unwrap());
        match &terminal {
            Some(pty) => {
                let end = || Stdio::from(pty.slave.try_clone().unwrap());
                command.stdin(end()).stdout(end()).stderr(end());
            }
            None => {
                command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        let (before, pty) = (self.before.clone(), self.pty);
        super::kept::before_exec(&mut command, move || before.apply(pty));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {described}: {error}"));
        drop(command);
        if let Some(bytes) = self.stdin {
            let mut stdin = child.stdin.take().unwrap();
            std::thread::spawn(move || stdin.write_all(&bytes));
        }
        let (terminal, stdout) = match terminal {
            Some(pty) => {
                drop(pty.slave);
                let reader = File::from(pty.master.try_clone().unwrap());
                (Some(pty.master), Collected::start(reader))
            }
            None => (None, Collected::start(child.stdout.take().unwrap())),
        };
        let stderr = child.stderr.take().map(Collected::start);
        Running { child, described, stdout, stderr, terminal, ended: None }
    }
}

impl Before {
    /// Runs in the child; only system calls.
    fn apply(&self, pty: bool) -> std::io::Result<()> {
        use super::kept::calls;
        calls::new_session(pty)?;
        if !self.tmpfs.is_empty() {
            calls::private_mounts()?;
            for (path, options) in &self.tmpfs {
                calls::tmpfs(path, options)?;
            }
        }
        for (resource, soft) in &self.limits {
            calls::limit(*resource, *soft)?;
        }
        if let Some(fd) = self.inherit {
            calls::pass_on(fd)?;
        }
        if let Some((uid, gid, groups)) = &self.user {
            calls::become_user(*uid, *gid, groups, self.keep_ambient)?;
        }
        calls::die_with_parent(libc::SIGKILL)?;
        calls::signals(&self.ignore, &self.block)
    }
}

/// What a stream said so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Collected {
    fn start(mut from: impl Read + Send + 'static) -> Self {
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

    fn whole(&self, patience: Instant) -> Vec<u8> {
        // A left-over grandchild may hold the pipe; what is there by then is what counts.
        while !self.thread.is_finished() && Instant::now() < patience {
            std::thread::sleep(std::time::Duration::from_millis(1));
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
                let patience = Instant::now() + std::time::Duration::from_secs(5);
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
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    fn try_end(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        super::kept::calls::kill(self.pid(), number).unwrap();
    }

    /// Types on its terminal.
    pub fn types(&mut self, bytes: &[u8]) {
        let terminal = self.terminal.as_ref().expect("started with pty()");
        File::from(terminal.try_clone().unwrap()).write_all(bytes).unwrap();
    }

    /// Its one child's process id.
    pub fn only_child(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        wait_for("a child of ours", || {
            let children = std::fs::read_to_string(&path).unwrap_or_default();
            children.split_whitespace().next().map(|pid| pid.parse().unwrap())
        })
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
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let patience = Instant::now() + std::time::Duration::from_secs(5);
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
