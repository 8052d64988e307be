//! The drop itself, in one order. After an error the process is something in between and must end.

use nix::sys::prctl;
use nix::unistd::{self, Gid, Uid};

use super::super::capabilities;
use super::error::{PrivilegeError, Step, StepError};
use super::plan::Plan;
use super::verify::alone;

/// keyctl(2).
pub(super) const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Drops, for good. After an error this process is something in between and must end.
pub fn apply(plan: &Plan) -> Result<(), PrivilegeError> {
    alone()?;
    drop_all(plan).map_err(|(step, fault)| PrivilegeError::from_step(step, fault))
}

pub(super) fn drop_all(plan: &Plan) -> Result<(), (Step, StepError)> {
    let step = |step: Step, result: Result<(), nix::Error>| result.map_err(|errno| (step, errno.into()));
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    // 1. While we have CAP_SETPCAP.
    if plan.clear_bounding {
        step(Step::ClearBounding, capabilities::clear_bounding())?;
    }
    // 2. Ambient ones would come back with the next execve.
    step(Step::ClearAmbient, capabilities::clear_ambient())?;
    // 3.–4. Groups while we have CAP_SETGID, and while we are root.
    if plan.set_groups {
        step(Step::SetGroups, set_groups(&plan.groups))?;
    }
    if plan.set_gid {
        step(Step::SetGid, unistd::setresgid(gid, gid, gid))?;
    }
    // 5. Real, effective and saved.
    if plan.set_uid {
        step(Step::SetUid, unistd::setresuid(uid, uid, uid))?;
    }
    // 6. Whatever is left: inheritable ones survive a change of user, all of them NO_SETUID_FIXUP.
    step(Step::ClearCapabilities, capabilities::clear())?;
    // 7. The starter's session keyring is not the app's: a new, empty one. Where keys do not exist or a sandbox forbids them
    // (ENOSYS, EPERM), nothing of anybody's can be read through them either; a full quota (EDQUOT) leaves it as it was.
    // SAFETY: a null name asks for an anonymous keyring; no memory is touched.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    // 8. No setuid program and no file capability gives anything back; root's execve neither.
    step(Step::NoNewPrivs, prctl::set_no_new_privs())?;
    // 9. The change of user may have made us dumpable (fs.suid_dumpable).
    step(Step::NotDumpable, prctl::set_dumpable(false))
}

pub(super) fn set_groups(groups: &[u32]) -> Result<(), nix::Error> {
    // SAFETY: the kernel reads `len` numbers, which are there.
    nix::Error::result(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }).map(drop)
}
