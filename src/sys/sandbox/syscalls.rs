//! Which system calls each profile may make, and with which arguments. Pure lists.
//!
//! Sufficient for the whole test suite on x86_64, which runs confined: a refused call fails its test. Longer than
//! what the tests use: the lists include calls that libc, tokio, rustls, ring or the AWS SDK make on other kernels
//! instead. For aarch64 the lists compile, but have not been run.

use std::collections::BTreeMap;

use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::plan::Profile;

/// Calls that fail with ENOSYS: their flags are in memory, which a filter cannot read, and libc falls back to
/// others.
pub(super) const UNSUPPORTED: [i64; 2] = [libc::SYS_clone3, libc::SYS_openat2];

/// Memory, time, threads, signals and exit: what libc and any program needs.
const PROCESS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mremap,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Open descriptors, and reading files. Landlock restricts which files.
const DESCRIPTORS: &[i64] = &[
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The same under their older names, which aarch64 does not have.
#[cfg(target_arch = "x86_64")]
const OLDER_NAMES: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getpgrp,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_NAMES: &[i64] = &[];

/// Existing and incoming connections.
const CONNECTIONS: &[i64] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];

/// The number is the same on every architecture; libc has no name for it on aarch64.
const SYS_FCHMODAT2: i64 = 452;

/// Changing files, in directories of this program.
const CHANGES: &[i64] = &[
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_mkdirat,
    libc::SYS_renameat2,
    libc::SYS_symlinkat,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
];

#[cfg(target_arch = "x86_64")]
const OLDER_CHANGES: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_symlink,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_CHANGES: &[i64] = &[38]; // renameat, which libc has no name for on aarch64

/// Waiting for children.
const CHILDREN: &[i64] = &[libc::SYS_wait4, libc::SYS_waitid];

/// Sending signals to the app, which is a child or a process of another container.
const SIGNALS: &[i64] = &[libc::SYS_kill, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_rt_sigqueueinfo];

/// The allow-list of a profile. A call with an empty list of rules is allowed with every argument.
pub(super) fn allowed(profile: Profile) -> BTreeMap<i64, Vec<SeccompRule>> {
    let mut lists = vec![PROCESS, DESCRIPTORS, OLDER_NAMES, CONNECTIONS];
    if profile != Profile::Webhook {
        lists.extend([CHANGES, OLDER_CHANGES, CHILDREN, &[libc::SYS_connect]]);
    }
    if matches!(profile, Profile::SignallingSidecar | Profile::Supervisor) {
        lists.push(SIGNALS);
    }
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        lists.into_iter().flatten().map(|number| (*number, Vec::new())).collect();
    rules.extend(limited(profile));
    // The other filter fails these with ENOSYS and takes precedence; they only must not be stricter here.
    rules.extend(UNSUPPORTED.map(|number| (number, Vec::new())));
    rules
}

/// Calls that are allowed with some arguments only.
fn limited(profile: Profile) -> Vec<(i64, Vec<SeccompRule>)> {
    let mut rules = vec![
        // New threads, but not processes, and not with new namespaces.
        (libc::SYS_clone, vec![rule(&[(0, Only::Bits { mask: THREAD | NAMESPACES, value: THREAD })])]),
        (libc::SYS_ioctl, values(1, &IOCTLS)),
        (libc::SYS_fcntl, fcntls()),
        // Not with the flag that connects, which neither `connect` nor Landlock sees.
        (libc::SYS_sendto, vec![rule(&[(3, Only::Bits { mask: MSG_FASTOPEN, value: 0 })])]),
        (libc::SYS_sendmsg, vec![rule(&[(2, Only::Bits { mask: MSG_FASTOPEN, value: 0 })])]),
        (libc::SYS_sendmmsg, vec![rule(&[(3, Only::Bits { mask: MSG_FASTOPEN, value: 0 })])]),
        // No memory becomes executable.
        (libc::SYS_mmap, vec![rule(&[(2, Only::Bits { mask: PROT_EXEC, value: 0 })])]),
        (libc::SYS_mprotect, vec![rule(&[(2, Only::Bits { mask: PROT_EXEC, value: 0 })])]),
        (libc::SYS_prctl, values(0, &PRCTLS)),
        // Only this process's own limits: getrlimit uses it.
        (libc::SYS_prlimit64, values(0, &[0])),
        // Only this process itself: abort uses it.
        (libc::SYS_tgkill, values(0, &[u64::from(std::process::id())])),
        (libc::SYS_socket, sockets(profile)),
    ];
    if profile == Profile::Supervisor {
        // To hand the terminal to the app and take it back.
        rules.push((libc::SYS_setpgid, Vec::new()));
    }
    rules
}

const PROT_EXEC: u64 = 4;
const THREAD: u64 = 0x0001_0000; // CLONE_THREAD
/// CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}.
const NAMESPACES: u64 =
    0x80 | 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;
/// TCGETS, TCGETS2, TIOCGWINSZ, TIOCGPGRP, TIOCSPGRP, FIONBIO, FIONREAD, FIOCLEX, FIONCLEX (asm-generic/ioctls.h).
const IOCTLS: [u64; 9] = [0x5401, 0x802c_542a, 0x5413, 0x540f, 0x5410, 0x5421, 0x541b, 0x5451, 0x5450];
/// F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW,
/// F_SETLEASE, F_GETLEASE, F_DUPFD_CLOEXEC (asm-generic/fcntl.h, linux/fcntl.h).
const FCNTLS: [u64; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1024, 1025, 1030];
const F_SETSIG: u64 = 10;
const MSG_FASTOPEN: u64 = 0x2000_0000;
/// PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_SET_VMA (names of mappings, by libc).
const PRCTLS: [u64; 5] = [3, 15, 16, 39, 0x5356_4d41];

/// Not those that have a signal sent to another process. Who has a file open is found with a lease whose signal is the
/// one that is ignored by default.
fn fcntls() -> Vec<SeccompRule> {
    let mut rules = values(1, &FCNTLS);
    rules.push(rule(&[(1, Only::Is(F_SETSIG)), (2, Only::Is(libc::SIGURG as u64))]));
    rules
}

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
/// Mask of SOCK_STREAM, SOCK_DGRAM and SOCK_RAW without the flags beside them.
const KIND: u64 = 0xf;
const STREAM: u64 = 1;
const DATAGRAM: u64 = 2;

/// TCP, UDP (name lookups) and Unix sockets; netlink only as getaddrinfo uses it to read local addresses. No raw
/// sockets.
fn sockets(profile: Profile) -> Vec<SeccompRule> {
    let of = |family, kind| rule(&[(0, Only::Is(family)), (1, Only::Bits { mask: KIND, value: kind })]);
    match profile {
        Profile::Sidecar | Profile::SignallingSidecar | Profile::Supervisor => {
            let families = [AF_UNIX, AF_INET, AF_INET6];
            let kinds = families.iter().flat_map(|family| [of(*family, STREAM), of(*family, DATAGRAM)]);
            kinds.chain([rule(&[(0, Only::Is(AF_NETLINK)), (2, Only::Is(0))])]).collect()
        }
        Profile::Webhook => vec![of(AF_INET, STREAM), of(AF_INET6, STREAM)],
    }
}

/// The permitted values of an argument.
enum Only {
    Is(u64),
    Bits { mask: u64, value: u64 },
}

/// A rule that matches if all of these arguments match.
fn rule(arguments: &[(u8, Only)]) -> SeccompRule {
    let conditions = arguments.iter().map(|(place, only)| {
        let (operator, value) = match only {
            Only::Is(value) => (SeccompCmpOp::Eq, *value),
            Only::Bits { mask, value } => (SeccompCmpOp::MaskedEq(*mask), *value),
        };
        // The kernel uses 32 bits of each of these arguments.
        SeccompCondition::new(*place, SeccompCmpArgLen::Dword, operator, value).expect("at most six arguments")
    });
    SeccompRule::new(conditions.collect()).expect("a rule has a condition")
}

/// Rules that match if the argument at `place` has one of these values.
fn values(place: u8, values: &[u64]) -> Vec<SeccompRule> {
    values.iter().map(|value| rule(&[(place, Only::Is(*value))])).collect()
}

macro_rules! named {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// Names of calls that an intruder would try or a newer library may use; others are reported by number.
const NAMES: &[(i64, &str)] = named! {
    SYS_accept SYS_accept4 SYS_acct SYS_add_key SYS_bpf SYS_chdir SYS_chroot SYS_clone SYS_connect SYS_delete_module
    SYS_execve SYS_execveat SYS_fanotify_init SYS_finit_module SYS_init_module SYS_inotify_add_watch SYS_inotify_init1
    SYS_io_setup SYS_io_uring_setup SYS_ioctl SYS_kcmp SYS_kexec_load SYS_keyctl SYS_kill SYS_landlock_create_ruleset
    SYS_linkat SYS_memfd_create SYS_memfd_secret SYS_mkdirat SYS_mknodat SYS_mmap SYS_mount SYS_move_mount SYS_mprotect
    SYS_msync SYS_name_to_handle_at SYS_open_by_handle_at SYS_open_tree SYS_perf_event_open SYS_personality
    SYS_pidfd_getfd SYS_pidfd_open SYS_pidfd_send_signal SYS_pivot_root SYS_pkey_mprotect SYS_prctl SYS_prlimit64
    SYS_process_madvise SYS_process_vm_readv SYS_process_vm_writev SYS_ptrace SYS_reboot SYS_renameat2 SYS_request_key
    SYS_sched_setaffinity SYS_seccomp SYS_sendfile SYS_setgid SYS_setgroups SYS_sethostname SYS_setns SYS_setpgid
    SYS_setresgid SYS_setresuid SYS_setsid SYS_setuid SYS_shmget SYS_socket SYS_splice SYS_swapon SYS_tgkill SYS_tkill
    SYS_unlinkat SYS_umount2 SYS_unshare SYS_userfaultfd SYS_vmsplice
};

/// The name of a call, looked up without allocation or locks, for a signal handler.
pub(super) fn name(number: libc::c_int) -> Option<&'static str> {
    let (_, name) = NAMES.iter().find(|(known, _)| *known == i64::from(number))?;
    name.strip_prefix("SYS_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Profile; 4] = [Profile::Sidecar, Profile::SignallingSidecar, Profile::Supervisor, Profile::Webhook];

    #[test]
    fn nothing_starts_a_program_or_looks_into_another_process() {
        for profile in ALL {
            let allowed = allowed(profile);
            for number in [
                libc::SYS_execve,
                libc::SYS_execveat,
                libc::SYS_ptrace,
                libc::SYS_process_vm_readv,
                libc::SYS_process_vm_writev,
                libc::SYS_pidfd_getfd,
                libc::SYS_mount,
                libc::SYS_unshare,
                libc::SYS_setns,
                libc::SYS_keyctl,
                libc::SYS_bpf,
                libc::SYS_seccomp,
                libc::SYS_io_uring_setup,
            ] {
                assert!(!allowed.contains_key(&number), "{profile:?}: {number}");
            }
        }
    }

    #[test]
    fn the_webhook_connects_to_nobody_and_signals_nobody() {
        let allowed = allowed(Profile::Webhook);
        for number in [libc::SYS_connect, libc::SYS_kill, libc::SYS_unlinkat, libc::SYS_fchmod] {
            assert!(!allowed.contains_key(&number), "{number}");
        }
    }

    #[test]
    fn what_is_reported_has_its_usual_name() {
        assert_eq!(name(libc::SYS_ptrace as libc::c_int), Some("ptrace"));
        assert_eq!(name(4095), None);
    }
}
