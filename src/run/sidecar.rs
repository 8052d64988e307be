//! `sidecar`: fetch, deliver, keep fresh until it is asked to end, then revoke.

use std::io;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::Config;
use crate::domain::Problem;
use crate::rotate::Refreshed;
use crate::sys::clock;
use crate::sys::signals::{Signal, Signals};
use crate::sys::watch::Watched;

use super::caller::Caller;
use super::exec::drop_privileges;
use super::prepare::{Prepared, bug};
use super::rotation::{Environment, Happening, Rotation};
use super::session::Session;
use super::whom::For;

/// Returns when it was asked to end and has given back what was issued.
pub fn sidecar(config: &Config, caller: &Caller) -> Result<(), Vec<Problem>> {
    let mut prepared = Prepared::make(config, caller, For::Ourselves, Vec::new())?;
    prepared.whom.refuse_foreign_owner(config)?;
    // Nobody of ours is more than the app, as soon as the volume exists.
    if config.run_as.is_some() {
        drop_privileges(&prepared.whom.drop)?;
    }
    let mut session = Session::open(config, &prepared.plan, &prepared.held, caller)?;
    let delivered = prepared.deliver(&session.fetches);
    session.guard(delivered)?;
    let begun = Rotation::begin(config, prepared, &mut session, Environment::Once);
    let mut rotation = session.guard(begun)?;
    let ended = session.block_on(async {
        let ended = stay(config, &mut rotation).await;
        rotation.give_back().await;
        ended
    });
    ended.map_err(|error| bug(&format!("cannot read the signalfd: {error}")))
}

/// Keeps everything fresh until a signal says to end, and for `revokeDelay` after it.
async fn stay(config: &Config, rotation: &mut Rotation<'_>) -> io::Result<()> {
    let signals = Signals::open()?;
    let watched = Watched::new(&signals)?;
    let mut ends_at: Option<Duration> = None;
    loop {
        let now = clock::boottime();
        while let Some(received) = signals.next_received()? {
            match received.signal {
                Signal::TERM | Signal::INT | Signal::QUIT if ends_at.is_some() => return Ok(()),
                Signal::TERM | Signal::INT | Signal::QUIT => {
                    let delay = config.revoke_delay;
                    info!("asked to end by {}; revoking in {} s", received.signal, delay.as_secs());
                    ends_at = Some(now + delay);
                }
                Signal::HUP => match rotation.refresh(now) {
                    Refreshed::Accepted => info!("SIGHUP: reading everything again"),
                    Refreshed::TooSoon(wait) => warn!("SIGHUP: too soon, again in {} s", wait.as_secs() + 1),
                },
                _ => {}
            }
        }
        if ends_at.is_some_and(|at| at <= now) {
            return Ok(());
        }
        let advanced = rotation.advance(now);
        for happening in advanced.happenings {
            match happening {
                Happening::Changed(_) | Happening::Expired { .. } => {}
            }
        }
        let wait = ends_at.map_or(advanced.wait, |at| advanced.wait.min(at.saturating_sub(now)));
        tokio::select! {
            biased;
            readable = watched.readable() => readable?,
            () = rotation.landed() => {}
            () = sleep(wait) => {}
        }
    }
}
