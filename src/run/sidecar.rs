//! `sidecar`: fetch, deliver, keep fresh until it is asked to end, then revoke.

use std::io;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::{Action, Config};
use crate::domain::{Problem, Source};
use crate::serve::{Mode, Refreshed, Running};
use crate::sys::clock;
use crate::sys::signals::{Signal, Signals};
use crate::sys::watch::Watched;

use super::caller::Caller;
use super::exec::drop_privileges;
use super::live::{Live, Places};
use super::prepare::{Prepared, bug};
use super::rotation::{Environment, Found, Happening, Marks, Rotation, Saved, find};
use super::session::Session;
use super::whom::For;

/// Returns when it was asked to end and has given back what was issued.
pub fn sidecar(config: &Config, caller: &Caller) -> Result<(), Vec<Problem>> {
    let mut prepared = Prepared::make(config, caller, For::Ourselves, Vec::new())?;
    prepared.whom.refuse_foreign_owner(config)?;
    let mut places = Places::prepare(config, &prepared.whom)?;
    // Nobody of ours is more than the app, as soon as the volume exists.
    if config.run_as.is_some() {
        drop_privileges(&prepared.whom.drop)?;
    }
    let memory = places.state.as_ref().and_then(|state| state.memory());
    let kept = memory.zip(Marks::of(config));
    let sources: Vec<Source> = prepared.plan.sources.iter().map(|planned| planned.source.clone()).collect();
    let found =
        kept.as_ref().map_or(Found::Nothing, |(folder, marks)| find(folder, marks, &sources, clock::boottime()));
    let saved = kept.and_then(|(folder, marks)| Saved::new(folder, marks));
    let mut session = Session::open_with(config, &prepared.plan, &prepared.held, caller, found)?;
    let delivered = prepared.deliver(&session.fetches);
    session.guard(delivered)?;
    let begun = Rotation::begin(config, prepared, &mut session, Environment::Once, saved);
    let live = Live::new(session.guard(begun)?, Mode::Sidecar);
    let ended = session.block_on(async {
        let servers = places.listen();
        let ended = live.serving(&servers, stay(config, &live)).await;
        live.give_back().await;
        ended
    });
    ended.map_err(|error| bug(&format!("cannot read the signalfd: {error}")))
}

/// Keeps everything fresh until a signal says to end, and for `revokeDelay` after it.
async fn stay(config: &Config, live: &Live<'_>) -> io::Result<()> {
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
                Signal::HUP => {
                    if let Refreshed::TooSoon { wait } = live.refresh() {
                        warn!("SIGHUP: too soon to read everything again, wait {} s", wait.as_secs() + 1);
                    }
                }
                _ => {}
            }
        }
        if ends_at.is_some_and(|at| at <= now) {
            return Ok(());
        }
        let advanced = live.rotation.borrow_mut().advance(now);
        for happening in advanced.happenings {
            if let Happening::Changed(_) = happening {
                notify(config, live);
            }
        }
        let wait = ends_at.map_or(advanced.wait, |at| advanced.wait.min(at.saturating_sub(now)));
        live.pause(&watched, wait).await?;
    }
}

/// Every action of `onChange`, once.
fn notify(config: &Config, live: &Live<'_>) {
    for action in &config.on_change {
        match action {
            Action::Http { url, .. } => live.rotation.borrow_mut().post(url),
            Action::Signal { .. } | Action::Run(_) | Action::Restart => {}
        }
    }
}
