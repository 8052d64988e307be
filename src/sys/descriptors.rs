//! Which descriptors the caller passed on purpose, and that nothing else reaches the app.

use std::io;
use std::os::fd::RawFd;

/// Descriptors above standard error that are open and not close-on-exec, in rising order. Asked first thing in `main`,
/// these are exactly the inherited ones: what survived the `execve` that began us.
pub(super) fn inherited() -> Vec<RawFd> {
    let mut found: Vec<RawFd> = match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect(),
        // Without /proc every number is asked for; one beyond the bound is not passed on.
        Err(_) => (3..most()).collect(),
    };
    found.retain(|fd| *fd > libc::STDERR_FILENO && flags(*fd).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0));
    found.sort_unstable();
    found
}

/// Makes every descriptor close-on-exec except standard ones and `kept` (rising). Ours are born so; this is the second lock,
/// for what a library opened without asking. Only system calls: allowed between fork and execve.
pub(super) fn close_others_on_exec(kept: &[RawFd]) -> io::Result<()> {
    let mut from = libc::STDERR_FILENO + 1;
    for fd in kept.iter().copied().chain([RawFd::MAX]) {
        if fd > from {
            mark(from, fd - 1)?;
        }
        from = fd.saturating_add(1);
    }
    Ok(())
}

fn mark(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: only sets flags of descriptors.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if answer == 0 {
        return Ok(());
    }
    // Before Linux 5.11, or refused by an older seccomp profile.
    for fd in first..=last.min(most()) {
        if let Some(flags) = flags(fd) {
            // SAFETY: only sets flags of a descriptor.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

fn flags(fd: RawFd) -> Option<libc::c_int> {
    // SAFETY: only reads flags; a number that is no descriptor is an error.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    (flags >= 0).then_some(flags)
}

/// Above which number nothing is expected: the limit, which can be a billion, within reason.
fn most() -> RawFd {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which is ours.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    RawFd::try_from(limit.rlim_cur.min(65_536)).expect("bounded in the same line")
}
