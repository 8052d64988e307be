//! Checks whether another process could read this process's memory before it was hardened: a tracer, or one with the
//! same uid.
//!
//! `PR_SET_DUMPABLE` comes too late against the latter: the kernel checks only when `/proc/PID/mem` is opened, and a
//! process that polls for new process IDs can open it between our `execve` and our first instruction. A program file
//! that its uid may not read (mode 0111) is not dumpable from the `execve` on.

use crate::config::{Action, Config};
use crate::domain::{Diagnostic, Exit, Mode, Source};
use crate::sys::{fs, harden};

use super::run_as::RunAsPlan;
use crate::plan::Plan;

/// Returns a problem (71) while another process traces this one: the tracer could read every secret.
pub fn refuse_tracer() -> Result<(), Vec<Diagnostic>> {
    let Some(pid) = harden::tracer() else { return Ok(()) };
    let text =
        format!("process {pid} traces this one (a debugger, strace), and would read every secret: start without it");
    Err(vec![Diagnostic::new(Exit::Privileges, text)])
}

/// Returns a problem (64) for a stack limit that the start would exceed.
pub fn refuse_small_stack() -> Result<(), Vec<Diagnostic>> {
    let Some((limit, least)) = harden::small_stack() else { return Ok(()) };
    let text = format!(
        "the limit on the stack is {} KiB (RLIMIT_STACK), and {} KiB is the least: raise it (ulimit -s)",
        limit >> 10,
        least >> 10
    );
    Err(vec![Diagnostic::new(Exit::Usage, text)])
}

/// Returns a problem (64) for a limit on open files that the start would exceed somewhere in the middle.
pub fn refuse_few_files() -> Result<(), Vec<Diagnostic>> {
    const FILES: usize = 32;
    let (free, limit) = harden::free_descriptors(FILES);
    if free >= FILES {
        return Ok(());
    }
    let text = format!(
        "no more than {free} files can be opened (RLIMIT_NOFILE is {limit}), and {FILES} is the least: raise it (ulimit -n)"
    );
    Err(vec![Diagnostic::new(Exit::Usage, text)])
}

/// Returns a warning where the program file is readable, so that a process with the app's uid could read our memory
/// during the start. `None` where that is not possible, or where we have no secrets that the app does not get.
pub(super) fn readable_program(config: &Config, plan: &Plan, run_as: &RunAsPlan, mode: Option<Mode>) -> Option<String> {
    let (uid, _) = fs::effective_ids();
    let logs_in = plan.sources.iter().any(|planned| !matches!(planned.source, Source::File(_)));
    let stays_itself = run_as.drop.uid() == uid;
    let shares_uid = match mode {
        Some(Mode::Exec | Mode::Supervise) => stays_itself,
        Some(Mode::Init | Mode::Sidecar) | None => {
            (config.app.run_as.is_some() && stays_itself) || signals_other_process(config)
        }
    };
    // Root can read our memory whatever the file's mode.
    let is_exposed =
        uid != 0 && config.backends.local.is_none() && logs_in && shares_uid && harden::is_program_readable();
    is_exposed.then(|| {
        format!(
            "uid {uid}, which the app has too, may read this program's file, so a process of that uid can look into us \
             while we start: give the file mode 0111 (secret-exec install does, and the image has it)"
        )
    })
}

/// Whether `onChange` signals a process in a shared PID namespace, which has our uid.
fn signals_other_process(config: &Config) -> bool {
    config.rotation.on_change.iter().any(|action| matches!(action, Action::Signal { process: Some(_), .. }))
}
