//! The drop of privileges, in a fixed order. After an error the process is only partly dropped and must end.

use nix::sys::prctl;
use nix::unistd::{self, Gid, Uid};

use super::super::capabilities;
use super::error::{PrivilegeError, Step, StepError};
use super::plan::Plan;
use super::verify::alone;

/// keyctl(2).
pub(super) const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Drops the privileges irrevocably. After an error the process is only partly dropped and must end.
pub fn apply(plan: &Plan) -> Result<(), PrivilegeError> {
    alone()?;
    drop_all(plan).map_err(|(step, fault)| PrivilegeError::from_step(step, fault))
}

/// Executes the steps of the drop; returns the failed one. Only system calls: usable between fork and execve.
pub(super) fn drop_all(plan: &Plan) -> Result<(), (Step, StepError)> {
    let step = |step: Step, result: Result<(), nix::Error>| result.map_err(|errno| (step, errno.into()));
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    // 1. While CAP_SETPCAP is still there.
    if plan.clear_bounding {
        step(Step::ClearBounding, capabilities::clear_bounding())?;
    }
    // 2. Ambient capabilities would become permitted again at the next execve.
    step(Step::ClearAmbient, capabilities::clear_ambient())?;
    // 3.–4. Groups while CAP_SETGID is still there.
    if plan.set_groups {
        step(Step::SetGroups, set_groups(&plan.groups))?;
    }
    if plan.set_gid {
        step(Step::SetGid, unistd::setresgid(gid, gid, gid))?;
    }
    // 5. Real, effective and saved user.
    if plan.set_uid {
        step(Step::SetUid, unistd::setresuid(uid, uid, uid))?;
    }
    // 6. The remaining capabilities: inheritable ones survive a change of user, and with NO_SETUID_FIXUP all of them
    // do.
    step(Step::ClearCapabilities, capabilities::clear())?;
    // 7. A new, empty session keyring instead of the caller's. Where keys do not exist or a sandbox forbids them
    // (ENOSYS, EPERM), the app cannot read any key either; with a full quota (EDQUOT) the caller's keyring stays.
    // SAFETY: a null name requests an anonymous keyring; no memory is touched.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    // 8. Neither a setuid program nor file capabilities nor root's execve restore anything.
    step(Step::NoNewPrivs, prctl::set_no_new_privs())?;
    // 9. The change of user may have made the process dumpable (fs.suid_dumpable).
    step(Step::NotDumpable, prctl::set_dumpable(false))
}

/// setgroups(2) for this thread.
pub(super) fn set_groups(groups: &[u32]) -> Result<(), nix::Error> {
    // SAFETY: the kernel reads `len` numbers of the slice.
    nix::Error::result(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }).map(drop)
}
