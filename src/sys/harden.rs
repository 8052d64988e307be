//! The first act of `main`, while there is one thread: remember what the caller gave us, close what could leak us.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::descriptors;
use super::signals::{self, Disposition, Signal, SignalSet};

/// Which signals were ignored when the process began, seen before Rust's runtime ignored SIGPIPE.
static IGNORED_AT_START: AtomicU64 = AtomicU64::new(0);

// SAFETY: the section holds pointers to C functions that libc calls once before `main`, when it is itself ready; this one
// only makes system calls and stores a number.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = remember_ignored;

extern "C" fn remember_ignored() {
    let ignored = signals::ignored();
    IGNORED_AT_START.store(ignored.bits(), Ordering::Relaxed);
}

/// The stack we raise a smaller soft limit to. Up to here, what `execve` takes depends on no stack limit (128 KiB).
pub(super) const STACK: u64 = 512 << 10;

/// What the caller gave us and the app gets back: signal mask, dispositions, core and stack limits, descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSignalState {
    pub(super) mask: SignalSet,
    pub(super) ignored: SignalSet,
    pub(super) core: u64,
    pub(super) stack: u64,
    pub(super) inherited: Vec<RawFd>,
}

impl SavedSignalState {
    /// Whether `signal` would have ended a program without handlers in our place: not when the caller ignores or blocks
    /// it (`nohup`). What would have is what ends a fetch.
    pub fn would_end(&self, signal: Signal) -> bool {
        signals::would_end(signal, self.ignored, self.mask)
    }

    /// Those that would have.
    pub fn ending(&self) -> SignalSet {
        let readable = SignalSet::READ.iter();
        readable.filter(|signal| self.would_end(*signal)).fold(SignalSet::EMPTY, SignalSet::with)
    }

    /// The first waiting signal that would have ended us: once, before the app starts.
    pub fn pending_end(&self) -> Option<Signal> {
        signals::pending().iter().find(|signal| self.would_end(*signal))
    }
}

/// Why we do not start.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// setuid, setgid, or file capabilities: whoever starts us would get more than they are.
    #[error(
        "installed setuid, setgid or with file capabilities, which is refused: remove them (chmod u-s,g-s; setcap -r)"
    )]
    Elevated,
    /// A system call that never fails did.
    #[error("cannot {doing}")]
    Call {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: nix::Error,
    },
}

/// Hardens this process, before anything else and before any thread.
///
/// Afterwards every signal that can be read from a signalfd is blocked; nobody of our own uid can look into us; no core
/// is written; host names are looked up by built-in code only.
pub fn harden() -> Result<SavedSignalState, HardenError> {
    let failed = |doing| move |source| HardenError::Call { doing, source };
    // 1. Who started us with less than we have could steer us through the environment: before anything reads it.
    if is_elevated() {
        return Err(HardenError::Elevated);
    }
    // 2. Memory, environment and descriptors closed to others of our uid, before a secret comes.
    prctl::set_dumpable(false).map_err(failed("become not dumpable"))?;
    // 3. Only the soft limit: the hard one could not be given back.
    let (core, hard) = getrlimit(Resource::RLIMIT_CORE).map_err(failed("read the core limit"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard).map_err(failed("lower the core limit"))?;
    // The stack grows up to the limit of the moment, so a raised one counts at once.
    let (stack, hard) = getrlimit(Resource::RLIMIT_STACK).map_err(failed("read the stack limit"))?;
    if stack < STACK {
        setrlimit(Resource::RLIMIT_STACK, STACK.min(hard), hard).map_err(failed("raise the stack limit"))?;
    }
    // 4. Before we open anything ourselves.
    let inherited = descriptors::inherited();
    // 5. From here on signals wait until they are read. An inherited "ignore" of SIGCHLD would lose exit codes.
    let mask = signals::swap_mask(SignalSet::READ);
    signals::set_disposition(Signal::CHLD, Disposition::Default);
    // 6. A static glibc program loads the modules that the image's nsswitch.conf names: foreign code, as us.
    look_hosts_up_by_built_in_code();
    let ignored = SignalSet::from_bits(IGNORED_AT_START.load(Ordering::Relaxed));
    Ok(SavedSignalState { mask, ignored, core, stack, inherited })
}

/// The limit on this thread's stack where it is too small for us, and what is the least; [`harden`] raised it as far as the
/// hard limit goes.
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

/// The process that traces this one; `None` also where nothing says so, because /proc is not mounted.
pub fn tracer() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|pid| *pid != 0)
}

/// Whether our effective user may read the file of this program: if not, the process was not dumpable from its `execve` on.
pub fn is_program_readable() -> bool {
    nix::unistd::eaccess("/proc/self/exe", nix::unistd::AccessFlags::R_OK).is_ok()
}

fn is_elevated() -> bool {
    // SAFETY: reads a number from the auxiliary vector.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    is_secure || uid != nix::unistd::geteuid() || gid != nix::unistd::getegid()
}

#[cfg(target_env = "gnu")]
fn look_hosts_up_by_built_in_code() {
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const libc::c_char, line: *const libc::c_char) -> libc::c_int;
    }
    // SAFETY: two strings that end in NUL, which libc copies; called before any lookup, with one thread.
    let answer = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    assert_eq!(answer, 0, "the line is well-formed");
}

#[cfg(not(target_env = "gnu"))]
fn look_hosts_up_by_built_in_code() {}
