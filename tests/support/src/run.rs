//! Runs a program as a user, a pod or a terminal would.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::is_root;
use crate::running::{Collected, Outcome, Running};

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

    /// Whether there is a command behind `--`.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    pub fn has_app(&self) -> bool {
        !self.app.is_empty()
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
        // Nobody else forks while a terminal's ends could still leak into the child.
        let alone = crate::kept::forking();
        let terminal = self.pty.then(crate::kept::terminal);
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
        crate::kept::before_exec(&mut command, move || before.apply(pty));
        let mut child = loop {
            match command.spawn() {
                Ok(child) => break child,
                // Another test forked while this file was being written, and its child has not called exec yet.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                Err(error) => panic!("cannot start {described}: {error}"),
            }
        };
        drop((command, alone));
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
        Running::new(child, described, (stdout, stderr), terminal)
    }
}

impl Before {
    /// Runs in the child; only system calls.
    fn apply(&self, pty: bool) -> std::io::Result<()> {
        use crate::kept::calls;
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
