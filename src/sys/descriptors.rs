//! Finds the descriptors that the caller passed on purpose, and makes all others close on exec.

use std::io;
use std::os::fd::RawFd;

/// Descriptors above standard error that are open and not close-on-exec, in rising order. Called first in `main`,
/// these are exactly the inherited ones: those that survived the `execve` that started this program.
pub(super) fn inherited() -> Vec<RawFd> {
    let mut found: Vec<RawFd> = match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect(),
        // Without /proc every number is tried.
        Err(_) => (3..=highest()).filter(|fd| flags(*fd).is_some()).collect(),
    };
    found.retain(|fd| *fd > libc::STDERR_FILENO && flags(*fd).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0));
    found.sort_unstable();
    found
}

/// Makes every descriptor close-on-exec except the standard ones and `kept` (rising). This program opens its own
/// that way already; this also covers those that a library opened. Only system calls: usable between fork and execve.
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

/// Makes a range of descriptors close-on-exec.
fn mark(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: only sets flags of descriptors.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if answer == 0 {
        return Ok(());
    }
    // Before Linux 5.11, or where an older seccomp profile refuses the call.
    for fd in first..=last.min(highest()) {
        if let Some(flags) = flags(fd) {
            // SAFETY: only sets flags of a descriptor.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Whether that descriptor is open.
pub(super) fn is_open(fd: RawFd) -> bool {
    flags(fd).is_some()
}

/// The descriptor's flags; `None` if it is not open.
fn flags(fd: RawFd) -> Option<libc::c_int> {
    // SAFETY: only reads flags; a number that is no descriptor is an error.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    (flags >= 0).then_some(flags)
}

/// The highest number that may be open: the size of the descriptor table (`FDSize`), else the hard limit (the soft
/// one may be lower than an open descriptor), at most the default of `fs.nr_open`, so that a loop over all ends. Only
/// system calls.
fn highest() -> RawFd {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which this function owns.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let most = limit.rlim_max.min(1 << 20);
    table_size().unwrap_or_else(|| RawFd::try_from(most).expect("bounded in the line before"))
}

/// `FDSize` of /proc/self/status.
fn table_size() -> Option<RawFd> {
    let mut buffer = [0_u8; 2048];
    // SAFETY: a path that ends in NUL, a descriptor opened here, and at most as many bytes as the buffer has.
    let count = unsafe {
        let status = libc::open(c"/proc/self/status".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if status < 0 {
            return None;
        }
        let count = libc::read(status, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(status);
        count
    };
    let text = &buffer[..usize::try_from(count).ok()?];
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"FDSize:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}
