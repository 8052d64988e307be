//! `secret-exec --supervise -- COMMAND`: stays the app's parent, keeps its secrets fresh, forwards signals, reaps
//! orphans, and ends when the app ends.

use std::ffi::OsString;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::{Action, Config, OnExpired};
use crate::domain::{Diagnostic, Exit, Mode};
use crate::process::{HookId, Notice, Options, Restart, SignalResult, SuperviseError, Supervision};
use crate::rotation::{Environment, Handover, Rotation, RotationEvent};
use crate::start::{Needs, Session, StartOptions, interrupted};
use crate::sys::clock;
use crate::sys::image::Image;
use crate::sys::signals::Signal;
use crate::sys::spawn::SpawnError;
use crate::sys::wait::Ended;
use crate::sys::watch::Watched;

use super::app::{App, ChildContext};
use super::caller::ProcessContext;
use super::confinement::{Confinement, Stays};
use super::exec::not_started;
use super::notify::{Reach, hook_ended, notify};
use super::prepare::Prepared;
use super::ready::Readiness;
use super::run_as::RunAsPlan;
use super::running::{Listeners, RunningState, Servers};

/// How long the app may take to end before KILL, when it is stopped because a secret expired.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Runs `command` as a child until it ends. Returns the app's exit, or the problems if it did not start.
pub fn supervise(config: &Config, command: &[OsString], caller: &ProcessContext) -> Result<Exit, Vec<Diagnostic>> {
    let run_as = RunAsPlan::plan(config, Some(Mode::Supervise));
    let app = App::find(command, run_as.as_ref().ok(), caller);
    let readiness = Readiness::connect(caller);
    let (mut prepared, backends) = Prepared::make(config, caller, Mode::Supervise, run_as, app.problems())?;
    prepared.run_as.refuse_foreign_owner(config)?;
    let mut listeners = Listeners::prepare(config, &prepared.run_as, Mode::Supervise, caller)?;
    // From here on we run with the app's privileges and are not dumpable.
    prepared.preload_and_drop_privileges(&backends)?;
    let options = StartOptions { needs: Needs::Endless, ..StartOptions::fresh(Some(Mode::Supervise)) };
    let mut session =
        Session::open(config, &mut prepared.plan, &prepared.preloaded, backends, &caller.original, options)?;
    let limit = session.render_limit(&caller.original);
    let ready = prepared.plan.environment(&session.answers.fetches, limit).and_then(|variables| {
        let image = app.image(variables, &prepared.child_context(config, caller))?;
        prepared.deliver(&session.answers.fetches, limit)?;
        Ok(image)
    });
    let image = session.guard(ready)?;
    let is_restarted = config.rotation.on_change.contains(&Action::Restart);
    let confinement =
        Confinement::plan(config, &prepared.plan, prepared.volume_path(config), caller, Stays::Supervisor);
    let environment = if is_restarted { Environment::Again } else { Environment::Once };
    let Prepared { plan, volume, preloaded, run_as } = prepared;
    let begun = Rotation::begin(Handover {
        config,
        plan,
        volume,
        preloaded: &preloaded,
        backends: &session.backends,
        answers: &mut session.answers,
        checkpoint: &mut session.checkpoint,
        environment,
        rendered: limit,
    });
    let live = RunningState::new(session.guard(begun)?, Mode::Supervise, run_as.home);
    let servers = listeners.listen();
    if confinement.is_planned() {
        session.suspend();
    }
    let started = Supervision::start(&image, &caller.original, Options::default());
    drop(image);
    // The app runs and does not inherit the sandbox; until the runtime is resumed, this is the only thread.
    if started.is_ok() {
        readiness.send();
        confinement.apply();
    }
    session.resume()?;
    let ended = session.block_on(async {
        let ended = Supervised { config, app: &app, caller, live: &live }.until_ended(started, &servers).await;
        // The app has ended, and what was issued is not needed any more.
        live.revoke_all().await;
        ended
    });
    exit(ended, &app)
}

/// The app's exit, or why there is none.
fn exit(ended: Result<Over, SuperviseError>, app: &App<'_>) -> Result<Exit, Vec<Diagnostic>> {
    match ended {
        Ok(Over::Ended(ended)) => Ok(Exit::App(ended.code())),
        Ok(Over::Expired(reference)) => {
            let text = format!("stopped the app: {reference} has expired, and onExpired is stop");
            Err(vec![Diagnostic::new(Exit::Expired, text)])
        }
        Err(error) => Err(vec![failed(&app.shown(), error)]),
    }
}

/// Why the supervision ended.
enum Over {
    /// The app ended.
    Ended(Ended),
    /// We stopped the app because this secret expired.
    Expired(String),
}

/// The supervision of a running app.
struct Supervised<'a, 'c> {
    config: &'a Config,
    app: &'a App<'a>,
    caller: &'a ProcessContext,
    live: &'a RunningState<'c>,
}

/// The stopping of an app whose secret expired.
struct Stopping {
    reference: String,
    kill_at: Option<Duration>,
}

impl Supervised<'_, '_> {
    /// Looks after the app, if it was started, and serves status and health until it has ended.
    async fn until_ended(
        &self,
        started: Result<Supervision, SuperviseError>,
        servers: &Servers,
    ) -> Result<Over, SuperviseError> {
        let ended = match started {
            Ok(supervision) => self.live.serving(servers, self.run(supervision)).await,
            Err(error) => Err(error),
        };
        if let Err(SuperviseError::Spawn(_) | SuperviseError::Interrupted(_)) = ended {
            self.live.withdraw();
        }
        ended
    }

    /// Rotates, notifies and forwards signals until the app has ended.
    async fn run(&self, mut supervision: Supervision) -> Result<Over, SuperviseError> {
        let watched = Watched::new(&supervision)?;
        let mut stopping: Option<Stopping> = None;
        loop {
            let now = clock::boottime();
            if let Some(ended) = supervision.step(now)? {
                return Ok(match stopping {
                    Some(Stopping { reference, .. }) => Over::Expired(reference),
                    None => Over::Ended(ended),
                });
            }
            for notice in supervision.notices() {
                self.log_notice(notice);
            }
            let advanced = self.live.rotation.borrow_mut().advance(now);
            let mut has_acted = false;
            for event in advanced.events {
                has_acted |= self.act(event, &mut supervision, &mut stopping, now);
            }
            if let Some(stopping) = &mut stopping
                && stopping.kill_at.is_some_and(|at| at <= now)
            {
                warn!("the app did not stop in time, and gets KILL");
                stopping.kill_at = None;
                let _over = supervision.signal(Signal::KILL);
            }
            if has_acted {
                continue; // the next step executes what was decided here
            }
            let kill_at = stopping.as_ref().and_then(|stopping| stopping.kill_at);
            let deadlines = [supervision.deadline(now), kill_at];
            let wait = deadlines.into_iter().flatten().map(|at| at.saturating_sub(now)).min();
            self.live.pause(&watched, wait.map_or(advanced.wait, |wait| wait.min(advanced.wait))).await?;
        }
    }

    /// Acts on an event of rotation; returns whether the supervision has something to execute now.
    fn act(
        &self,
        event: RotationEvent,
        supervision: &mut Supervision,
        stopping: &mut Option<Stopping>,
        now: Duration,
    ) -> bool {
        match event {
            RotationEvent::Changed(_) if stopping.is_some() => return false,
            RotationEvent::Changed(change) => {
                let mut child = Child { all: self, supervision, now };
                notify(&change, self.config, self.live, self.caller, &mut child);
            }
            RotationEvent::Expired { reference }
                if self.config.rotation.on_expired == OnExpired::Stop && stopping.is_none() =>
            {
                warn!("stopping the app: {reference} has expired, and onExpired is stop");
                let _over = supervision.signal(Signal::TERM);
                *stopping = Some(Stopping { reference, kill_at: Some(now.saturating_add(STOP_GRACE)) });
            }
            RotationEvent::Expired { .. } => return false,
        }
        true
    }

    /// Logs a notice of the supervision.
    fn log_notice(&self, notice: Notice) {
        match notice {
            Notice::Received(_) => {}
            Notice::Killed => warn!("the app did not stop in time, and got KILL"),
            Notice::Restarted(pid) => info!("the app runs anew (pid {pid})"),
            Notice::RestartAbandoned => info!("the app was asked to end, and is not started anew"),
            Notice::Hook { id, outcome } => hook_ended(id, &outcome, self.config, self.live),
        }
    }
}

/// Reaches an app that is our child process.
struct Child<'a, 'b, 'c> {
    all: &'a Supervised<'b, 'c>,
    supervision: &'a mut Supervision,
    now: Duration,
}

impl Reach for Child<'_, '_, '_> {
    fn signal(&mut self, signal: Signal, _: Option<&str>) -> Result<String, String> {
        match self.supervision.signal(signal) {
            Ok(SignalResult::Sent) => Ok("the app".to_owned()),
            Ok(SignalResult::NobodyToTell) => Ok("nobody: the app begins anew with what is new".to_owned()),
            Err(error) => Err(format!("cannot send {signal} to the app: {error}")),
        }
    }

    fn hook(&mut self, id: HookId, image: Image) {
        self.supervision.run_hook(id, image);
    }

    /// Restarts the app with newly rendered environment variables; the error says why it is not restarted.
    fn restart(&mut self) -> Result<(), String> {
        let Supervised { app, caller, live, .. } = self.all;
        let rotation = live.rotation.borrow();
        let place =
            ChildContext { config: self.all.config, caller, home: live.home.as_ref(), directory: rotation.directory() };
        let image = rotation.environment().and_then(|variables| app.image(variables, &place));
        drop(rotation);
        let image = image
            .map_err(|problems| problems.into_iter().map(|problem| problem.text).collect::<Vec<_>>().join("; "))?;
        match self.supervision.restart(image, self.now) {
            Ok(Restart::Refused) => Err("the app is ending".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The problem of a supervision that failed.
fn failed(command: &str, error: SuperviseError) -> Diagnostic {
    match error {
        SuperviseError::Interrupted(signal) => interrupted(signal),
        SuperviseError::Spawn(SpawnError::Exec(error)) => not_started(command, error),
        SuperviseError::Spawn(SpawnError::Privileges(error)) => Diagnostic::new(Exit::Privileges, error.to_string()),
        // A limit of the environment, such as on processes or descriptors.
        SuperviseError::Spawn(error) => {
            let text = error.to_string();
            let why = text.strip_prefix("cannot start a process: ").unwrap_or(&text);
            Diagnostic::new(Exit::NotExecutable, format!("cannot start {command}: {why}"))
        }
        SuperviseError::System(error) => Diagnostic::new(Exit::Bug, format!("cannot look after {command}: {error}")),
    }
}
