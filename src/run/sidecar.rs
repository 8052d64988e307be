//! `sidecar`: fetches, delivers, rotates until a signal ends it, then revokes.

use std::io;
use std::time::Duration;

use tracing::{info, warn};

use crate::checkpoint::{Checkpoint, CheckpointKey, EndedValues, Found, find};
use crate::config::{Config, OnExpired};
use crate::domain::{Diagnostic, Mode, Source};
use crate::process::{HookId, HookOptions, Notice, Sidecar, find};
use crate::rotation::{Environment, Handover, Rotation, RotationEvent};
use crate::serve::{Refreshed, Running};
use crate::start::{Needs, Patience, Session, StartOptions};
use crate::sys::clock;
use crate::sys::image::Image;
use crate::sys::signals::Signal;
use crate::sys::watch::Watched;

use super::caller::ProcessContext;
use super::confinement::{Confinement, Stays};
use super::notify::{Reach, hook_ended, notify};
use super::prepare::Prepared;
use super::ready::Readiness;
use super::run_as::RunAsPlan;
use super::running::{Listeners, RunningState};

/// Runs a sidecar. Returns after a signal has ended it and everything issued is revoked.
pub fn sidecar(config: &Config, caller: &ProcessContext) -> Result<(), Vec<Diagnostic>> {
    let run_as = RunAsPlan::plan(config, Some(Mode::Sidecar));
    let readiness = Readiness::connect(caller);
    let (mut prepared, backends) = Prepared::make(config, caller, Mode::Sidecar, run_as, Vec::new())?;
    prepared.run_as.refuse_foreign_owner(config)?;
    let mut listeners = Listeners::prepare(config, &prepared.run_as, Mode::Sidecar, caller)?;
    // As soon as the volume exists, we run with the privileges of `runAs` only.
    prepared.preload_and_drop_privileges(&backends)?;
    let memory = listeners.state.as_ref().and_then(|state| state.memory());
    let kept = memory.zip(CheckpointKey::of(config));
    let sources: Vec<Source> = prepared.plan.sources.iter().map(|planned| planned.source.clone()).collect();
    let now = clock::boottime();
    // With `onExpired: remove`, a file that was removed when its secret expired must not reappear for a moment.
    let ended = if config.rotation.on_expired == OnExpired::Keep { EndedValues::Keep } else { EndedValues::Drop };
    let found = kept.as_ref().map(|(folder, key)| find(folder, key, &sources, ended, now));
    let found = found.unwrap_or(Found::NOTHING);
    let checkpoint = kept.and_then(|(folder, key)| Checkpoint::new(folder, key));
    // The volume exists, no backend was contacted yet, and this is the only thread: the sandbox can be applied.
    Confinement::plan(config, &prepared.plan, prepared.volume_path(config), caller, Stays::Sidecar).apply();
    let options =
        StartOptions { found, checkpoint, patience: Patience::Long, needs: Needs::Endless, mode: Some(Mode::Sidecar) };
    let mut session =
        Session::open(config, &mut prepared.plan, &prepared.preloaded, backends, &caller.original, options)?;
    let limit = session.render_limit(&caller.original);
    let delivered = prepared.deliver(&session.answers.fetches, limit);
    session.guard(delivered)?;
    let Prepared { plan, volume, preloaded, run_as } = prepared;
    let begun = Rotation::begin(Handover {
        config,
        plan,
        volume,
        preloaded: &preloaded,
        backends: &session.backends,
        answers: &mut session.answers,
        checkpoint: &mut session.checkpoint,
        environment: Environment::Once,
        rendered: limit,
    });
    let live = RunningState::new(session.guard(begun)?, Mode::Sidecar, run_as.home);
    let ended = session.block_on(async {
        let servers = listeners.listen();
        readiness.send();
        let ended = live.serving(&servers, run_until_signal(config, caller, &live)).await;
        live.revoke_all().await;
        ended
    });
    ended.map_err(|error| vec![Diagnostic::bug(&format!("cannot look after signals and hooks: {error}"))])
}

/// Rotates until a signal ends it, and for `revokeDelay` after that.
async fn run_until_signal(config: &Config, caller: &ProcessContext, live: &RunningState<'_>) -> io::Result<()> {
    let mut process = Sidecar::open(&caller.original, HookOptions::default())?;
    let watched = Watched::new(&process)?;
    let mut ends_at: Option<Duration> = None;
    let mut is_ending = false;
    loop {
        let now = clock::boottime();
        for notice in process.step(now)? {
            match notice {
                Notice::Received(received) => match received.signal {
                    Signal::TERM | Signal::INT | Signal::QUIT if ends_at.is_some() => ends_at = Some(now),
                    Signal::TERM | Signal::INT | Signal::QUIT => {
                        let delay = config.rotation.revoke_delay;
                        info!("asked to end by {}; revoking in {} s", received.signal, delay.as_secs());
                        ends_at = Some(now.saturating_add(delay));
                    }
                    Signal::HUP => {
                        if let Refreshed::TooSoon { wait } = live.refresh() {
                            warn!("SIGHUP: too soon to read everything again, wait {} s", wait.as_secs() + 1);
                        }
                    }
                    _ => {}
                },
                Notice::Hook { id, outcome } => hook_ended(id, &outcome, config, live),
                Notice::Killed | Notice::Restarted(_) | Notice::RestartAbandoned => {}
            }
        }
        if ends_at.is_some_and(|at| at <= now) {
            if !is_ending {
                process.end(now);
                is_ending = true;
            }
            if !process.is_busy() {
                return Ok(());
            }
        }
        let advanced = live.rotation.borrow_mut().advance(now);
        let mut has_acted = false;
        for event in advanced.events {
            if let RotationEvent::Changed(change) = event {
                notify(&change, config, live, caller, &mut Beside { process: &mut process });
                has_acted = true;
            }
        }
        if has_acted {
            continue; // a hook starts at the next step
        }
        let deadlines = [process.deadline(), ends_at.filter(|_| !is_ending)];
        let wait = deadlines.into_iter().flatten().map(|at| at.saturating_sub(now)).min();
        live.pause(&watched, wait.map_or(advanced.wait, |wait| wait.min(advanced.wait))).await?;
    }
}

/// Reaches an app in another container.
struct Beside<'a> {
    process: &'a mut Sidecar,
}

impl Reach for Beside<'_> {
    fn signal(&mut self, signal: Signal, process: Option<&str>) -> Result<String, String> {
        let name = process.expect("without a process it was refused at the start");
        let found = find::signal_oldest(name, signal).map_err(|error| error.to_string())?;
        Ok(format!("{name} (pid {found})"))
    }

    fn hook(&mut self, id: HookId, image: Image) {
        self.process.run_hook(id, image);
    }

    fn restart(&mut self) -> Result<(), String> {
        unreachable!("refused at the start")
    }
}
