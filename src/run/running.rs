//! A process that keeps running: rotation, shared by the mode's loop and the servers that report on it.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::config::{Config, Place};
use crate::deliver::environ::Home;
use crate::domain::{Diagnostic, Exit, Mode};
use crate::rotation::Rotation;
use crate::serve::{Control, Health, Owner, Refreshed, Report, Running, StateDir};
use crate::sys::clock;
use crate::sys::watch::Watched;

use super::caller::ProcessContext;
use super::run_as::RunAsPlan;

/// Rotation and the control socket that reports on it. Single-threaded: no borrow lives across an `await`.
pub(super) struct RunningState<'a> {
    pub(super) rotation: RefCell<Rotation<'a>>,
    /// The app's home, for hooks.
    pub(super) home: Option<Home>,
    mode: Mode,
    refresh_requested: Notify,
}

impl<'a> RunningState<'a> {
    pub(super) fn new(rotation: Rotation<'a>, mode: Mode, home: Option<Home>) -> Self {
        Self { rotation: RefCell::new(rotation), home, mode, refresh_requested: Notify::new() }
    }

    /// Waits until `watched` is readable, a request has ended, a refresh was requested, or `wait` has passed.
    pub(super) async fn pause(&self, watched: &Watched, wait: Duration) -> io::Result<()> {
        tokio::select! {
            biased;
            readable = watched.readable() => return readable,
            () = poll_fn(|context| self.rotation.borrow_mut().poll_completed(context)) => {}
            () = self.refresh_requested.notified() => {}
            () = sleep(wait) => {}
        }
        Ok(())
    }

    /// Removes the delivered files, because the app did not start.
    pub(super) fn withdraw(&self) {
        self.rotation.borrow_mut().withdraw();
    }

    /// Revokes everything at shutdown. Clients are not served any more.
    pub(super) async fn revoke_all(self) {
        self.rotation.into_inner().revoke_all().await;
    }

    /// Runs `work`, and serves the control socket and the health endpoint until it ends.
    pub(super) async fn serving<T>(&self, servers: &Servers, work: impl Future<Output = T>) -> T {
        let control = async {
            let Some(control) = &servers.control else { return pending::<()>().await };
            let Err(error) = control.serve(self).await;
            warn!("status and refresh do not work any more: {error}");
            pending().await
        };
        let health = async {
            let Some(health) = &servers.health else { return pending::<()>().await };
            let Err(error) = health.serve(self).await;
            warn!("health and metrics do not work any more: {error}");
            pending().await
        };
        tokio::select! {
            biased;
            done = work => done,
            () = control => unreachable!("it waits for ever"),
            () = health => unreachable!("it waits for ever"),
        }
    }
}

impl Running for RunningState<'_> {
    fn report(&self) -> Report {
        self.rotation.borrow().report(self.mode, clock::boottime())
    }

    fn refresh(&self) -> Refreshed {
        let answer = self.rotation.borrow_mut().refresh(clock::boottime());
        self.refresh_requested.notify_one();
        if answer == Refreshed::Started {
            info!("refresh: reading again what has no lease, trying at once what failed");
        }
        answer
    }

    fn not_refreshed(&self) -> Vec<String> {
        self.rotation.borrow().not_refreshed()
    }

    fn is_ready(&self) -> bool {
        self.report().not_ready().is_empty()
    }
}

/// The servers that are open.
#[derive(Debug, Default)]
pub(super) struct Servers {
    control: Option<Control>,
    health: Option<Health>,
}

/// What has to be set up before privileges are dropped.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) state: Option<StateDir>,
    health: Option<Health>,
}

impl Listeners {
    /// Creates the state directory, owned by the user we switch to, and binds the metrics address. A default state
    /// directory that cannot be used is only logged.
    pub(super) fn prepare(
        config: &Config,
        run_as: &RunAsPlan,
        mode: Mode,
        caller: &ProcessContext,
    ) -> Result<Self, Vec<Diagnostic>> {
        let owner = Owner { uid: run_as.drop.uid(), gid: run_as.drop.gid() };
        let owner = config.app.run_as.is_some().then_some(owner);
        let state = match StateDir::prepare(&config.process.state, owner) {
            Ok(state) => Some(state),
            // On a laptop it may belong to another user, or to root, from an earlier run.
            Err(error) if config.backends.local.is_some() => {
                warn!("--local: status and refresh do not work: {error}");
                None
            }
            // An injected supervisor has none, because the app could read it in the same container; it does not resume
            // either.
            Err(error) if config.process.state_place == Place::Missing && mode == Mode::Supervise => {
                let text = "no state directory, so status and refresh do not work (metrics does)";
                if caller.is_pinned() {
                    debug!("{text}: {error}")
                } else {
                    info!("{text}: {error}")
                }
                None
            }
            // The default directory was not configured, so nothing depends on it.
            Err(error) if config.process.state_place == Place::Missing => {
                warn!("no state directory, so status and refresh do not work, and a restart begins anew: {error}");
                None
            }
            Err(error) => return Err(vec![Diagnostic::new(Exit::Volume, error.to_string())]),
        };
        if let Some(state) = state.as_ref().filter(|state| mode == Mode::Sidecar && state.memory().is_none()) {
            let path = state.path().display();
            warn!(
                "the state directory {path} is on a disk: nothing is kept there, so a restart begins anew (--state, on a tmpfs)"
            );
        }
        let health = config.process.metrics.as_deref().map(Health::listen).transpose();
        let health = health.map_err(|error| vec![Diagnostic::new(Exit::Usage, error.to_string())])?;
        Ok(Self { state, health })
    }

    /// Opens the control socket, with the current privileges, in the current runtime.
    pub(super) fn listen(&mut self) -> Servers {
        Servers { control: self.state.as_ref().and_then(Control::open), health: self.health.take() }
    }
}
