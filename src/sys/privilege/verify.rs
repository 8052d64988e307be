//! The proof of a drop: that this is the only thread, that the kernel says what was planned, and that nothing is regained.

use std::io;
use std::time::Duration;

use nix::sys::prctl;

use super::super::capabilities::{self, Sets};
use super::error::{PrivilegeError, Step, StepError};
use super::plan::{Plan, sorted};
use super::state::{LEAVE, MOST_GROUPS, read_ids};

/// Proves that this is the only thread; ids are set for all threads, capabilities and no-new-privs for one.
///
/// The kernel wakes whoever joins a thread before it takes the thread off its lists (`mm_release` comes before
/// `release_task`), so one that was joined may be counted for a moment more, on a busy node for a long one.
pub fn alone() -> Result<(), PrivilegeError> {
    const PAUSE: Duration = Duration::from_millis(5);
    alone_after(capabilities::is_alone, || std::thread::sleep(PAUSE))
}

/// How often the threads are counted: for 200 ms.
pub(super) const COUNTS: u32 = 41;

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

/// Proves that what was planned is so and that nothing can be regained: by asking the kernel, by trying, and by reading
/// /proc where it is mounted.
pub fn verify(plan: &Plan) -> Result<(), PrivilegeError> {
    let by_kernel = read_back(plan).and_then(|()| try_to_regain(plan));
    by_kernel.map_err(|(step, fault)| PrivilegeError::from_step(step, fault))?;
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) if !is_confirmed(&status, plan) => Err(PrivilegeError::Unproven { step: Step::ReadStatus }),
        _ => Ok(()),
    }
}

pub(super) fn read_back(plan: &Plan) -> Result<(), (Step, StepError)> {
    let check = |step: Step, is_so: bool| if is_so { Ok(()) } else { Err((step, StepError::Wrong)) };
    let failed = |step: Step| move |errno: nix::Error| (step, errno.into());
    let (uids, gids) = read_ids().map_err(failed(Step::ReadUids))?;
    check(Step::ReadUids, uids == [plan.uid; 3])?;
    check(Step::ReadGids, gids == [plan.gid; 3])?;
    // On the stack: a forked child does not allocate. The small buffer, because a stack may be limited to less than the other.
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
    // Or another process of the same user could read our memory and trace us.
    let is_dumpable = prctl::get_dumpable().map_err(failed(Step::ReadDumpable))?;
    check(Step::ReadDumpable, !is_dumpable)
}

/// Whether these are our supplementary groups; EINVAL when there are more than `MOST`.
#[inline(never)]
pub(super) fn has_groups<const MOST: usize>(groups: &[u32]) -> Result<bool, nix::Error> {
    let mut buffer = [0_u32; MOST];
    let most = libc::c_int::try_from(MOST).expect("a small constant");
    // SAFETY: the kernel writes at most as many numbers as the buffer has.
    let count = nix::Error::result(unsafe { libc::getgroups(most, buffer.as_mut_ptr()) })?;
    let count = usize::try_from(count).expect("not negative");
    buffer[..count].sort_unstable();
    // A runtime may have set one twice.
    Ok(buffer[..count].chunk_by(|one, next| one == next).map(|same| same[0]).eq(groups.iter().copied()))
}

/// Each attempt has to be refused. Root keeps its number without its powers, so it tries to become somebody else.
pub(super) fn try_to_regain(plan: &Plan) -> Result<(), (Step, StepError)> {
    let another = |own: u32| if own == 0 { 65_534 } else { 0 };
    let (uid, gid) = (another(plan.uid), another(plan.gid));
    // SAFETY: no memory is touched; if one succeeds, the caller ends.
    let answers = unsafe {
        [
            (Step::RegainUid, nix::Error::result(libc::setresuid(LEAVE, uid, LEAVE))),
            (Step::RegainGid, nix::Error::result(libc::setresgid(LEAVE, gid, LEAVE))),
            (Step::RegainGroups, nix::Error::result(libc::setgroups(0, std::ptr::null()))),
        ]
    };
    answers.into_iter().try_for_each(|(step, answer)| match answer {
        Err(nix::Error::EPERM) => Ok(()),
        // A user namespace that has no such id: there is nothing to become.
        Err(nix::Error::EINVAL) if step != Step::RegainGroups => Ok(()),
        _ => Err((step, StepError::Wrong)),
    })
}

/// Whether the text of `/proc/self/status` says the same. Lines an old kernel does not have are not asked for.
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
