//! `init`: fetches, delivers and exits.

use crate::checkpoint::{Checkpoint, CheckpointKey};
use crate::config::{Config, Place};
use crate::domain::{Diagnostic, Mode};
use crate::start::{Session, StartOptions, Successor};

use super::caller::ProcessContext;
use super::prepare::Prepared;
use super::run_as::RunAsPlan;
use super::running::Listeners;

/// Fetches and delivers everything once. Leaves nothing issued, except with `--leave-leases`.
pub fn init(config: &Config, caller: &ProcessContext) -> Result<(), Vec<Diagnostic>> {
    let run_as = RunAsPlan::plan(config, Some(Mode::Init)).and_then(RunAsPlan::switch_to_owner);
    let (mut prepared, backends) = Prepared::make(config, caller, Mode::Init, run_as, Vec::new())?;
    // With `--leave-leases` a checkpoint is written, which a sidecar of the same configuration resumes.
    let listeners = config
        .app
        .leave_leases
        .then(|| Listeners::prepare(config, &prepared.run_as, Mode::Init, caller))
        .transpose()?;
    // As soon as the volume exists, we run with the privileges of `runAs` only.
    prepared.preload_and_drop_privileges(&backends)?;
    let memory = listeners.as_ref().and_then(|listeners| listeners.state.as_ref()?.memory());
    let checkpoint = memory.and_then(|folder| Checkpoint::new(folder, CheckpointKey::of(config)?));
    // A configuration with `--leave-leases` and a state directory of its own has a sidecar that follows.
    let successor = match &checkpoint {
        Some(_) if config.process.state_place != Place::Missing => Successor::Sidecar,
        _ => Successor::Nobody,
    };
    let options = StartOptions { checkpoint, ..StartOptions::fresh(Some(Mode::Init)) };
    let mut session =
        Session::open(config, &mut prepared.plan, &prepared.preloaded, backends, &caller.original, options)?;
    let accepted = session.refuse_expiring_values(config);
    session.guard(accepted)?;
    let limit = session.render_limit(&caller.original);
    session.leave(successor, |fetches| prepared.deliver(fetches, limit))
}
