//! Processes we look after: the app, found before anything is fetched, started, forwarded to, restarted; hooks; and the one
//! process of another container that is told that secrets changed.
//!
//! [`Supervision`] has an app, [`Sidecar`] has none; both read the signals, reap, and run hooks. Neither waits: each is a
//! descriptor (`AsFd`) that becomes readable when there is something to do, with a deadline beside it.

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

/// Something worth a line in a log, or an answer: told by a step, in the order in which it happened.
#[derive(Debug)]
pub enum Notice {
    /// A signal for us. Only where there is no app to forward it to.
    Received(Received),
    /// A restart did not wait any longer: the app did not stop in time and got KILL.
    Killed,
    /// A restart is over: this is the app's new main process.
    Restarted(Pid),
    /// No restart after all: the app was asked to end meanwhile.
    RestartAbandoned,
    /// What became of a hook.
    Hook {
        /// Which.
        id: HookId,
        /// What.
        outcome: HookOutcome,
    },
}
