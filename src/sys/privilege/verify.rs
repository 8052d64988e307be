//! The proof of a drop: this is the only thread, the kernel reports what was planned, and nothing can be regained.

use std::io;
use std::time::Duration;

use nix::sys::prctl;

use super::super::capabilities::{self, Sets};
use super::error::{PrivilegeError, Step, StepError};
use super::plan::{Plan, sorted};
use super::state::{LEAVE, MOST_GROUPS, read_ids};

/// Proves that this is the only thread: ids are set for all threads, but capabilities and no-new-privs for one
/// only. Waits up to 200 ms for ending threads.
///
/// The kernel wakes the joiner of a thread before it removes the thread from its lists (`mm_release` comes before
/// `release_task`), so a joined thread may still be counted for a moment, longer on a busy node.
pub fn alone() -> Result<(), PrivilegeError> {
    const PAUSE: Duration = Duration::from_millis(5);
    alone_after(capabilities::is_alone, || std::thread::sleep(PAUSE))
}

/// How often the threads are counted, over 200 ms.
pub(super) const COUNTS: u32 = 41;

/// Counts up to [`COUNTS`] times, with a pause in between, until this is the only thread.
pub(super) fn alone_after(
    mut is_alone: impl FnMut() -> io::Result<bool>,
    pause: impl Fn(),
) -> Result<(), PrivilegeError> {
    for count in 0..COUNTS {
        if count > 0 {
            pause();
        }
        match is_alone() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                let errno = nix::Error::from_raw(error.raw_os_error().unwrap_or_default());
                return Err(PrivilegeError::Uncounted(errno));
            }
        }
    }
    Err(PrivilegeError::NotAlone)
}

/// Proves that the state is as planned and that nothing can be regained: by reading it from the kernel, by trying
/// to regain it, and by reading /proc if it is mounted.
pub fn verify(plan: &Plan) -> Result<(), PrivilegeError> {
    let by_kernel = read_back(plan).and_then(|()| try_to_regain(plan));
    by_kernel.map_err(|(step, fault)| PrivilegeError::from_step(step, fault))?;
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) if !is_confirmed(&status, plan) => Err(PrivilegeError::Unproven { step: Step::ReadStatus }),
        _ => Ok(()),
    }
}

/// Reads ids, groups, capabilities and flags from the kernel and compares them to the plan. Only system calls.
pub(super) fn read_back(plan: &Plan) -> Result<(), (Step, StepError)> {
    let check = |step: Step, is_so: bool| if is_so { Ok(()) } else { Err((step, StepError::Wrong)) };
    let failed = |step: Step| move |errno: nix::Error| (step, errno.into());
    let (uids, gids) = read_ids().map_err(failed(Step::ReadUids))?;
    check(Step::ReadUids, uids == [plan.uid; 3])?;
    check(Step::ReadGids, gids == [plan.gid; 3])?;
    // On the stack, because a forked child must not allocate. The small buffer first, because the stack may be too
    // small for the large one.
    let has_groups = match has_groups::<256>(&plan.groups) {
        Err(nix::Error::EINVAL) => has_groups::<MOST_GROUPS>(&plan.groups),
        found => found,
    };
    check(Step::ReadGroups, has_groups.map_err(failed(Step::ReadGroups))?)?;
    let sets = capabilities::read().map_err(failed(Step::ReadCapabilities))?;
    check(Step::ReadCapabilities, sets == Sets::EMPTY)?;
    check(Step::ReadAmbient, capabilities::is_ambient_empty())?;
    check(Step::ReadBounding, !plan.clear_bounding || capabilities::is_bounding_empty())?;
    let is_forbidden = prctl::get_no_new_privs().map_err(failed(Step::ReadNoNewPrivs))?;
    check(Step::ReadNoNewPrivs, is_forbidden)?;
    // Dumpable, another process of the same user could read this one's memory and trace it.
    let is_dumpable = prctl::get_dumpable().map_err(failed(Step::ReadDumpable))?;
    check(Step::ReadDumpable, !is_dumpable)
}

/// Whether these are this process's supplementary groups; EINVAL if it has more than `MOST`.
#[inline(never)]
pub(super) fn has_groups<const MOST: usize>(groups: &[u32]) -> Result<bool, nix::Error> {
    let mut buffer = [0_u32; MOST];
    let most = libc::c_int::try_from(MOST).expect("a small constant");
    // SAFETY: the kernel writes at most as many numbers as the buffer has.
    let count = nix::Error::result(unsafe { libc::getgroups(most, buffer.as_mut_ptr()) })?;
    let count = usize::try_from(count).expect("not negative");
    buffer[..count].sort_unstable();
    // A container runtime may have set one twice.
    Ok(buffer[..count].chunk_by(|one, next| one == next).map(|same| same[0]).eq(groups.iter().copied()))
}

/// Tries to change user, group and supplementary groups; each attempt must fail. For root, the attempt is another
/// user.
pub(super) fn try_to_regain(plan: &Plan) -> Result<(), (Step, StepError)> {
    let another = |own: u32| if own == 0 { 65_534 } else { 0 };
    let (uid, gid) = (another(plan.uid), another(plan.gid));
    // SAFETY: no memory is touched; if an attempt succeeds, the caller ends the process.
    let answers = unsafe {
        [
            (Step::RegainUid, nix::Error::result(libc::setresuid(LEAVE, uid, LEAVE))),
            (Step::RegainGid, nix::Error::result(libc::setresgid(LEAVE, gid, LEAVE))),
            (Step::RegainGroups, nix::Error::result(libc::setgroups(0, std::ptr::null()))),
        ]
    };
    answers.into_iter().try_for_each(|(step, answer)| match answer {
        Err(nix::Error::EPERM) => Ok(()),
        // A user namespace without such an id: it cannot be taken.
        Err(nix::Error::EINVAL) if step != Step::RegainGroups => Ok(()),
        _ => Err((step, StepError::Wrong)),
    })
}

/// Whether the text of `/proc/self/status` matches the plan. Lines that an old kernel does not have are not
/// required.
pub(super) fn is_confirmed(status: &str, plan: &Plan) -> bool {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let numbers = |name: &str| -> Option<Vec<u32>> {
        line(name)?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
    };
    let is_empty = |name: &str| line(name).is_none_or(|set| set.trim().bytes().all(|digit| digit == b'0'));
    numbers("Uid") == Some(vec![plan.uid; 4])
        && numbers("Gid") == Some(vec![plan.gid; 4])
        && numbers("Groups").map(sorted).as_ref() == Some(&plan.groups)
        && ["CapInh", "CapPrm", "CapEff", "CapAmb"].into_iter().all(is_empty)
        && (!plan.clear_bounding || is_empty("CapBnd"))
        && line("NoNewPrivs").is_none_or(|value| value.trim() == "1")
}
