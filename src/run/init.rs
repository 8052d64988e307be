//! `init`: fetch, deliver, exit.

use crate::checkpoint::{Marks, Saved};
use crate::config::{Config, Place};
use crate::domain::{Mode, Problem};
use crate::start::{Opening, Session, Successor};

use super::caller::Caller;
use super::prepare::Prepared;
use super::run_as::Whom;
use super::running::Places;

/// Delivers once.
pub fn init(config: &Config, caller: &Caller) -> Result<(), Vec<Problem>> {
    let whom = Whom::plan(config, Some(Mode::Init)).and_then(Whom::becoming_the_owner);
    let (mut prepared, backends) = Prepared::make(config, caller, Mode::Init, whom, Vec::new())?;
    // What is accepted to live on is written down: a sidecar of the same configuration takes it up.
    let places = config.leave_leases.then(|| Places::prepare(config, &prepared.whom)).transpose()?;
    // Nobody of ours is more than the app, as soon as the volume exists.
    prepared.become_the_app(&backends)?;
    let memory = places.as_ref().and_then(|places| places.state.as_ref()?.memory());
    let saved = memory.zip(Marks::of(config)).and_then(|(folder, marks)| Saved::new(folder, marks));
    // Who names a state directory and accepts leases has a sidecar that comes after.
    let successor = match &saved {
        Some(_) if config.state_place != Place::Missing => Successor::Sidecar,
        _ => Successor::Nobody,
    };
    let opening = Opening { saved, ..Opening::fresh() };
    let mut session = Session::open(config, &prepared.plan, &prepared.held, backends, &caller.original, opening)?;
    let accepted = session.refuse_mortals(config);
    session.guard(accepted)?;
    session.leave(successor, |fetches| prepared.deliver(fetches))
}
