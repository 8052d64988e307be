//! Process management: finding, starting, supervising and restarting the app, forwarding signals to it; hooks; and
//! finding the process in another container that is to be signalled.
//!
//! [`Supervision`] has an app, [`Sidecar`] has none; both read signals, reap children and run hooks. Neither blocks:
//! each is a file descriptor (`AsFd`) that becomes readable when there is something to do, and has a deadline.

pub mod find;
pub mod hooks;
mod job;
mod orphans;
pub mod lookup;
mod sidecar;
pub mod supervise;
mod supervisor;

use crate::sys::Pid;
use crate::sys::signals::Received;

pub use hooks::{HookId, HookOptions, HookOutcome};
pub use sidecar::Sidecar;
pub use supervise::{Options, SignalResult, SuperviseError, Supervision, run};
pub use supervisor::{Forward, Restart};

/// Something to log or to act on, returned by a step in the order in which it happened.
#[derive(Debug)]
pub enum Notice {
    /// A signal for us; only where there is no app to forward it to.
    Received(Received),
    /// The app did not stop in time for a restart, and got KILL.
    Killed,
    /// The app was restarted; this is its new main process.
    Restarted(Pid),
    /// The restart was abandoned, because the app was asked to end meanwhile.
    RestartAbandoned,
    /// A hook has ended.
    Hook {
        /// The hook.
        id: HookId,
        /// Its result.
        outcome: HookOutcome,
    },
}
