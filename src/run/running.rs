//! A process that stays: rotation shared between the mode's own loop and those who ask how it is.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{Config, Place};
use crate::deliver::environ::Home;
use crate::domain::{Exit, Mode, Problem};
use crate::rotation::Rotation;
use crate::serve::{Control, Health, Owner, Refreshed, Report, Running, StateDir};
use crate::sys::clock;
use crate::sys::watch::Watched;

use super::run_as::RunAsPlan;

/// Rotation, and whoever asks about it. All in one thread: nobody holds the borrow while waiting.
pub(super) struct RunningState<'a> {
    pub(super) rotation: RefCell<Rotation<'a>>,
    /// Of the app: hooks run in it.
    pub(super) home: Option<Home>,
    mode: Mode,
    refresh_requested: Notify,
}

impl<'a> RunningState<'a> {
    pub(super) fn new(rotation: Rotation<'a>, mode: Mode, home: Option<Home>) -> Self {
        Self { rotation: RefCell::new(rotation), home, mode, refresh_requested: Notify::new() }
    }

    /// Waits until `watched` is readable, a piece of work ended, somebody asked for something, or `wait` is over.
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

    /// There is no app, and nobody will read what it was to have.
    pub(super) fn withdraw(&self) {
        self.rotation.borrow_mut().withdraw();
    }

    /// The end: nobody asks any more.
    pub(super) async fn give_back(self) {
        self.rotation.into_inner().give_back().await;
    }

    /// Does `work`, and answers those who ask meanwhile.
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

/// Whoever answers.
#[derive(Debug, Default)]
pub(super) struct Servers {
    control: Option<Control>,
    health: Option<Health>,
}

/// What has to be made while there are rights to make it.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) state: Option<StateDir>,
    health: Option<Health>,
}

impl Listeners {
    /// The state directory, given to whom we become, and the address to listen at.
    pub(super) fn prepare(config: &Config, run_as: &RunAsPlan) -> Result<Self, Vec<Problem>> {
        let owner = Owner { uid: run_as.drop.uid(), gid: run_as.drop.gid() };
        let owner = config.run_as.is_some().then_some(owner);
        let state = match StateDir::prepare(&config.state, owner) {
            Ok(state) => Some(state),
            // On a laptop it may be what another user, or root, once ran with.
            Err(error) if config.local.is_some() => {
                warn!("--local: status and refresh do not work: {error}");
                None
            }
            // Nobody named it, so nobody counts on it.
            Err(error) if config.state_place == Place::Missing => {
                warn!("no state directory, so status and refresh do not work, and a restart begins anew: {error}");
                None
            }
            Err(error) => return Err(vec![Problem::new(Exit::Volume, error.to_string())]),
        };
        let health = config.metrics.as_deref().map(Health::listen).transpose();
        let health = health.map_err(|error| vec![Problem::new(Exit::Usage, error.to_string())])?;
        Ok(Self { state, health })
    }

    /// Listens, as whom we are now, in the runtime this is called in.
    pub(super) fn listen(&mut self) -> Servers {
        Servers { control: self.state.as_ref().and_then(Control::open), health: self.health.take() }
    }
}
