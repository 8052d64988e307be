//! The only place that reads a clock; everything else gets `now` as an argument.

use std::time::{Duration, SystemTime};

/// Time since boot, including suspend: leases go on while a machine sleeps, and this clock cannot be set.
pub fn boottime() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which this function owns.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert_eq!(answer, 0, "CLOCK_BOOTTIME exists since Linux 2.6.39");
    let seconds = u64::try_from(time.tv_sec).expect("time since boot is not negative");
    let nanoseconds = u32::try_from(time.tv_nsec).expect("a timespec's nanoseconds are below one second");
    Duration::new(seconds, nanoseconds)
}

/// The date, for comparison with external dates: certificates, signatures, `Retry-After`, log lines. It may jump.
#[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The date in seconds since 1970, for templates; 0 before 1970.
pub fn unix() -> u64 {
    wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_boot_never_runs_backwards() {
        let earlier = boottime();
        assert!(earlier > Duration::ZERO);
        assert!(boottime() >= earlier);
    }
}
