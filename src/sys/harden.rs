//! The first step of `main`, while there is one thread: save what the caller set, and close ways to leak data.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::descriptors;
use super::signals::{self, Disposition, Signal, SignalSet};

/// The signals that were ignored when the process started, read before Rust's runtime ignored SIGPIPE.
static IGNORED_AT_START: AtomicU64 = AtomicU64::new(0);

/// Whether the process started without standard output, read before Rust's runtime opened /dev/null in its place.
static IS_STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

// SAFETY: the section holds pointers to C functions that libc calls once before `main`, when libc is ready; this
// function only makes system calls and stores numbers.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = remember_start;

/// Stores what Rust's runtime changes; called by libc before `main`.
extern "C" fn remember_start() {
    let ignored = signals::ignored();
    IGNORED_AT_START.store(ignored.bits(), Ordering::Relaxed);
    IS_STDOUT_CLOSED.store(!descriptors::is_open(libc::STDOUT_FILENO), Ordering::Relaxed);
}

/// Standard output, for what somebody is to read; an error if the caller closed it.
pub fn stdout() -> io::Result<io::StdoutLock<'static>> {
    if IS_STDOUT_CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("it is closed"));
    }
    Ok(io::stdout().lock())
}

/// The least stack size in bytes: a smaller soft limit is raised to it. Up to this size, the limit of `execve`'s
/// arguments does not depend on the stack limit (it is 128 KiB).
pub(super) const STACK: u64 = 512 << 10;

/// What the caller set and the app gets back: signal mask, dispositions, core and stack limits, descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSignalState {
    pub(super) mask: SignalSet,
    pub(super) ignored: SignalSet,
    pub(super) core: u64,
    pub(super) stack: u64,
    pub(super) inherited: Vec<RawFd>,
}

impl SavedSignalState {
    /// Whether `signal` would have ended a program without handlers that was started instead of this one: not if
    /// the caller ignores or blocks it (`nohup`). Such signals end a fetch.
    pub fn would_end(&self, signal: Signal) -> bool {
        signals::would_end(signal, self.ignored, self.mask)
    }

    /// The signals for which [`Self::would_end`] is true.
    pub fn ending(&self) -> SignalSet {
        let readable = SignalSet::READ.iter();
        readable.filter(|signal| self.would_end(*signal)).fold(SignalSet::EMPTY, SignalSet::with)
    }

    /// The first pending signal that would have ended this process; checked once, before the app starts.
    pub fn pending_end(&self) -> Option<Signal> {
        signals::pending().iter().find(|signal| self.would_end(*signal))
    }
}

/// Why this program refuses to start.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// setuid, setgid, or file capabilities: they would give the caller more rights than it has.
    #[error(
        "installed setuid, setgid or with file capabilities, which is refused: remove them (chmod u-s,g-s; setcap -r)"
    )]
    Elevated,
    /// A system call failed that should not.
    #[error("cannot {doing}")]
    Call {
        /// The attempted action.
        doing: &'static str,
        /// The error.
        source: nix::Error,
    },
}

/// Hardens this process, before anything else and before any thread.
///
/// Afterwards every signal that can be read from a signalfd is blocked; no process of the same uid can read this
/// one's memory; no core is written; host names are looked up by built-in code only.
pub fn harden() -> Result<SavedSignalState, HardenError> {
    let failed = |doing| move |source| HardenError::Call { doing, source };
    // 1. A caller with fewer rights than this process could steer it through the environment: refused before
    // anything reads it.
    if is_elevated() {
        return Err(HardenError::Elevated);
    }
    // 2. Close memory, environment and descriptors to other processes of this uid, before a secret is read.
    prctl::set_dumpable(false).map_err(failed("become not dumpable"))?;
    // 3. Only the soft limit: a lowered hard one could not be restored.
    let (core, hard) = getrlimit(Resource::RLIMIT_CORE).map_err(failed("read the core limit"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard).map_err(failed("lower the core limit"))?;
    // The stack grows up to the current limit, so a raised one takes effect at once.
    let (stack, hard) = getrlimit(Resource::RLIMIT_STACK).map_err(failed("read the stack limit"))?;
    if stack < STACK {
        setrlimit(Resource::RLIMIT_STACK, STACK.min(hard), hard).map_err(failed("raise the stack limit"))?;
    }
    // 4. Before this program opens any descriptor.
    let inherited = descriptors::inherited();
    // 5. From here on signals stay pending until they are read. An inherited "ignore" of SIGCHLD would lose exit
    // codes.
    let mask = signals::swap_mask(SignalSet::READ);
    signals::set_disposition(Signal::CHLD, Disposition::Default);
    // 6. A static glibc program would load the modules that the image's nsswitch.conf names: foreign code with this
    // process's rights.
    use_built_in_host_lookup();
    let ignored = SignalSet::from_bits(IGNORED_AT_START.load(Ordering::Relaxed));
    Ok(SavedSignalState { mask, ignored, core, stack, inherited })
}

/// The soft limit on this thread's stack if it is too small, with the required size; [`harden`] has raised it as
/// far as the hard limit permits.
pub fn small_stack() -> Option<(u64, u64)> {
    let (soft, _) = getrlimit(Resource::RLIMIT_STACK).ok()?;
    (soft < STACK).then_some((soft, STACK))
}

/// How many more files may be opened, counted up to `enough`, and the soft limit on open files.
pub fn free_descriptors(enough: usize) -> (usize, u64) {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let numbers = 0..RawFd::try_from(limit).unwrap_or(RawFd::MAX);
    (numbers.filter(|fd| !descriptors::is_open(*fd)).take(enough).count(), limit)
}

/// The pid of the process that traces this one; `None` also if /proc is not mounted.
pub fn tracer() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|pid| *pid != 0)
}

/// Whether the effective user may read this program's file: if not, the process was never dumpable since its
/// `execve`.
pub fn is_program_readable() -> bool {
    nix::unistd::eaccess("/proc/self/exe", nix::unistd::AccessFlags::R_OK).is_ok()
}

/// Whether this process has other rights than its caller: AT_SECURE, or real and effective ids that differ.
fn is_elevated() -> bool {
    // SAFETY: reads a number from the auxiliary vector.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    is_secure || uid != nix::unistd::geteuid() || gid != nix::unistd::getegid()
}

/// Configures glibc to look host names up without loading modules.
#[cfg(target_env = "gnu")]
fn use_built_in_host_lookup() {
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const libc::c_char, line: *const libc::c_char) -> libc::c_int;
    }
    // SAFETY: two strings that end in NUL, which libc copies; called before any lookup, with one thread.
    let answer = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    assert_eq!(answer, 0, "the line is well-formed");
}

#[cfg(not(target_env = "gnu"))]
fn use_built_in_host_lookup() {}
