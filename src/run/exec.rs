//! `secret-exec -- COMMAND`: fetch, deliver, drop privileges, and replace this process by the app.

use std::convert::Infallible;
use std::ffi::OsString;

use crate::config::Config;
use crate::domain::{Diagnostic, Exit, Mode};
use crate::start::{Session, StartOptions, Successor, interrupted};
use crate::sys::exec::{self, ExecError};

use super::app::App;
use super::caller::ProcessContext;
use super::prepare::Prepared;
use super::ready::Readiness;
use super::run_as::{RunAsPlan, drop_privileges};

/// Runs `COMMAND` in place of this process. Returns only if that fails, with the problems.
pub fn exec(config: &Config, command: &[OsString], caller: &ProcessContext) -> Result<Infallible, Vec<Diagnostic>> {
    let run_as = RunAsPlan::plan(config, Some(Mode::Exec));
    let app = App::find(command, run_as.as_ref().ok(), caller);
    let readiness = Readiness::connect(caller);
    let (mut prepared, backends) = Prepared::make(config, caller, Mode::Exec, run_as, app.problems())?;
    let mut session = Session::open(
        config,
        &mut prepared.plan,
        &prepared.preloaded,
        backends,
        &caller.original,
        StartOptions::fresh(Some(Mode::Exec)),
    )?;
    let ready = session.refuse_expiring_values(config).and_then(|()| {
        let variables = prepared.plan.environment(&session.answers.fetches, session.render_limit(&caller.original))?;
        app.image(variables, &prepared.child_context(config, caller))
    });
    let image = session.guard(ready)?;
    let limit = session.render_limit(&caller.original);
    session.leave(Successor::Nobody, |fetches| prepared.deliver(fetches, limit))?;

    // From here on no thread is started, and no step can be undone.
    // 1. End the runtime and its threads: capabilities and no-new-privs are per thread.
    session.suspend();
    // 2. Drop the privileges and verify the drop; 3. replace the process.
    let problems = match drop_privileges(&prepared.run_as.drop) {
        Ok(()) => {
            readiness.send();
            vec![not_started(&app.shown(), exec::replace(&image, &caller.original))]
        }
        Err(problems) => problems,
    };
    // `execve` failed: no process will use the files and leases, so remove and revoke them.
    prepared.withdraw();
    if session.needs_token() {
        session.revoke_all();
    }
    Err(problems)
}

/// The problem of a failed `execve`.
pub(super) fn not_started(command: &str, error: ExecError) -> Diagnostic {
    match error {
        ExecError::Interrupted(signal) => interrupted(signal),
        ExecError::NotFound => Diagnostic::new(Exit::NotFound, format!("cannot start {command}: {error}")),
        ExecError::NotAProgram | ExecError::Refused(_) => {
            Diagnostic::new(Exit::NotExecutable, format!("cannot start {command}: {error}"))
        }
    }
}
