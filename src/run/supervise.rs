//! `secret-exec --supervise -- COMMAND`: the same as exec, but stay as the app's parent: forward, reap, end as it ends.

use std::ffi::OsString;

use crate::config::Config;
use crate::domain::{Exit, Problem};
use crate::process::supervise::{Options, SuperviseError, Supervision};
use crate::sys::spawn::SpawnError;

use super::app::App;
use super::caller::Caller;
use super::exec::{drop_privileges, not_started};
use super::prepare::Prepared;
use super::session::{Session, interrupted};
use super::whom::For;

/// The app's own exit, or why it did not start.
pub fn supervise(config: &Config, command: &[OsString], caller: &Caller) -> Result<Exit, Vec<Problem>> {
    let app = App::find(command, caller);
    let mut prepared = Prepared::make(config, caller, For::App, app.problems())?;
    prepared.whom.refuse_foreign_owner(config)?;
    // After this line nobody of ours is more than the app, which cannot look into us either.
    drop_privileges(&prepared.whom.drop)?;
    let mut session = Session::open(config, &prepared.plan, &prepared.held, caller)?;
    let ready = app.image(config, &prepared, &session.fetches, caller).and_then(|image| {
        prepared.deliver(&session.fetches)?;
        Ok(image)
    });
    let image = session.guard(ready)?;
    if !session.has_leases() {
        session.give_back();
    }
    // The child's parent is the thread that forks it: alone, and the one that stays.
    session.suspend();
    let supervised = Supervision::start(&image, &caller.original, Options::default()).and_then(|supervision| {
        drop(image);
        session.forget_values();
        supervision.run()
    });
    if session.has_leases() {
        session.give_back();
    }
    match supervised {
        Ok(ended) => Ok(Exit::App(ended.code())),
        Err(error) => Err(vec![failed(&app.shown(), error)]),
    }
}

fn failed(command: &str, error: SuperviseError) -> Problem {
    match error {
        SuperviseError::Interrupted(signal) => interrupted(signal),
        SuperviseError::Spawn(SpawnError::Exec(error)) => not_started(command, error),
        SuperviseError::Spawn(SpawnError::Privileges(error)) => Problem::new(Exit::Privileges, error.to_string()),
        SuperviseError::Spawn(error) => Problem::new(Exit::Bug, format!("cannot start {command}: {error}")),
        SuperviseError::System(error) => Problem::new(Exit::Bug, format!("cannot look after {command}: {error}")),
    }
}
