//! Confinement of a long-running process: a seccomp allow-list and Landlock rules, planned (pure), then applied
//! irrevocably.
//!
//! Both apply to one thread and are inherited by every thread and child that it starts later. So they are applied
//! while there is one thread, after every mount, and never before another program is started.

mod files;
mod filter;
mod plan;
mod syscalls;
mod violation;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use plan::{Enforcement, Files, LineFormat, Plan, Profile};

/// Which restrictions are in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Whether system calls are filtered, or why not.
    pub system_calls: Result<(), String>,
    /// Whether files are restricted, or why not. `None` where system calls are only logged.
    pub files: Option<Result<(), String>>,
}

/// Confines this process irrevocably: no new privileges, no core files, only the files and system calls of `plan`.
/// If the kernel or the container runtime refuses a step, it is reported and the others are still applied.
pub fn apply(plan: &Plan) -> Applied {
    let no_new_privileges = prctl::set_no_new_privs();
    forbid_core();
    if let Err(errno) = no_new_privileges {
        let why = format!("no-new-privs cannot be set: {}", errno.desc());
        return Applied { system_calls: Err(why.clone()), files: Some(Err(why)) };
    }
    if let Err(error) = super::privilege::alone() {
        return Applied { system_calls: Err(error.to_string()), files: Some(Err(error.to_string())) };
    }
    // Landlock first: its own system calls are not on the allow-list.
    let files = (plan.enforcement == Enforcement::On).then(|| files::restrict(&plan.files, plan.profile));
    violation::report_to_stderr(plan.lines, plan.profile);
    Applied { system_calls: filter::install(plan.profile, plan.enforcement), files }
}

/// Sets the soft and hard limit of core files to 0; the hard one cannot be restored.
fn forbid_core() {
    // Lowering is always permitted; the soft limit is 0 since the start.
    let _unlimited_stays = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// Limits the private memory of this process (heap, stacks) to `bytes`: an allocation beyond it ends the process
/// instead of filling the node's memory. A lower existing limit stays.
pub fn limit_memory(bytes: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_DATA)
        && soft > bytes
    {
        let _lower_is_allowed = setrlimit(Resource::RLIMIT_DATA, bytes, hard.min(bytes));
    }
}
