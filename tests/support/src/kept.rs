//! Processes that never outlive the suite, and the system calls a child makes before it becomes a program.
//!
//! The kernel kills a child when the *thread* that forked it ends, so servers that several tests share are started by
//! a thread that lives as long as the suite.

#![expect(unsafe_code, reason = "what a child does between fork and exec has no safe spelling")]

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Makes something on a thread that never ends, for every test to use.
pub fn keep<T: Send + Sync + 'static>(make: impl FnOnce() -> T + Send + 'static) -> &'static T {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("keeper".into())
        .spawn(move || {
            let made: &'static T = Box::leak(Box::new(make()));
            sender.send(made).unwrap();
            loop {
                std::thread::park();
            }
        })
        .unwrap();
    receiver.recv().expect("the shared server started (see the panic above)")
}

/// Held by whoever forks, or makes descriptors that a child of somebody else must not get.
pub fn forking() -> MutexGuard<'static, ()> {
    static FORKING: Mutex<()> = Mutex::new(());
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new terminal whose ends do not survive exec; the caller is [`forking`].
pub fn terminal() -> nix::pty::OpenptyResult {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let pty = nix::pty::openpty(None, None).unwrap();
    for end in [&pty.master, &pty.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    }
    pty
}

/// Runs `action` in the child, before it becomes the program.
pub fn before_exec(command: &mut Command, action: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static) {
    // SAFETY: the actions given here only make system calls on memory that was allocated before the fork.
    unsafe { command.pre_exec(action) };
}

/// A server that is killed when dropped, when its thread ends, and when the suite is killed.
pub struct Server(Child);

impl Server {
    /// Starts it, as `user` where that is given.
    pub fn start(mut command: Command, user: Option<u32>, farewell: i32) -> Self {
        before_exec(&mut command, move || {
            if let Some(id) = user {
                calls::become_user(id, id, &[], None)?;
            }
            calls::die_with_parent(farewell)
        });
        let program = command.get_program().to_owned();
        let _alone = forking();
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display())))
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        calls::kill(self.0.id().cast_signed(), number).unwrap();
    }

    /// Its process id.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    pub fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One system call each, fit for the time between fork and exec.
pub mod calls {
    use std::ffi::CStr;
    use std::io::{Error, Result};

    fn check(result: libc::c_int) -> Result<()> {
        if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    /// A session of its own, with stdin as its terminal when that is one.
    pub fn new_session(pty: bool) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe {
            libc::setsid();
            if pty { check(libc::ioctl(0, libc::TIOCSCTTY, 0)) } else { Ok(()) }
        }
    }

    /// What is mounted from here on, nobody else sees.
    pub fn private_mounts() -> Result<()> {
        // SAFETY: constant strings and null pointers where mount(2) allows them.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            let none = std::ptr::null();
            check(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))
        }
    }

    /// A tmpfs.
    pub fn tmpfs(path: &CStr, options: &CStr) -> Result<()> {
        // SAFETY: three C strings that live through the call.
        unsafe { check(libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())) }
    }

    /// A soft limit.
    pub fn limit(resource: u32, soft: u64) -> Result<()> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls get a valid struct.
        unsafe {
            check(libc::getrlimit(resource, &raw mut limit))?;
            limit.rlim_cur = soft;
            check(libc::setrlimit(resource, &raw const limit))
        }
    }

    /// A descriptor survives exec.
    pub fn pass_on(fd: i32) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe { check(libc::fcntl(fd, libc::F_SETFD, 0)) }
    }

    /// Another user with exactly these groups; one capability may stay, ambient.
    pub fn become_user(uid: u32, gid: u32, groups: &[u32], ambient: Option<u32>) -> Result<()> {
        // SAFETY: the group list and the capability structs live through their calls.
        unsafe {
            check(libc::setgroups(groups.len(), groups.as_ptr()))?;
            check(libc::setresgid(gid, gid, gid))?;
            if ambient.is_some() {
                check(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
            }
            check(libc::setresuid(uid, uid, uid))?;
            if let Some(capability) = ambient {
                let bit = 1_u32 << capability;
                let header: [u32; 2] = [0x2008_0522, 0];
                let data: [u32; 6] = [bit, bit, bit, 0, 0, 0];
                if libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) != 0 {
                    return Err(Error::last_os_error());
                }
                check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0))?;
            }
        }
        Ok(())
    }

    /// The kernel sends `signal` when the forking thread ends. After the change of user, which clears it.
    pub fn die_with_parent(signal: i32) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe { check(libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0)) }
    }

    /// Signals to ignore and to block.
    pub fn signals(ignore: &[i32], block: &[i32]) -> Result<()> {
        // SAFETY: the set is initialised by sigemptyset before it is read.
        unsafe {
            for number in ignore {
                if libc::signal(*number, libc::SIG_IGN) == libc::SIG_ERR {
                    return Err(Error::last_os_error());
                }
            }
            let mut set: libc::sigset_t = std::mem::zeroed();
            check(libc::sigemptyset(&raw mut set))?;
            for number in block {
                check(libc::sigaddset(&raw mut set, *number))?;
            }
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()))
        }
    }

    /// kill(2).
    pub fn kill(pid: i32, signal: i32) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe { check(libc::kill(pid, signal)) }
    }
}
