//! How a running supervisor or sidecar is asked: the control socket, and health and metrics over HTTP.
//!
//! Whoever runs implements [`Running`]; a [`Report`] is all that is ever said.

mod report;
pub(crate) mod time;

pub use report::{
    Action, Backend, Counters, ErrorClass, Failures, Mode, Next, Notifications, Operation, Pace, Refreshed, Report,
    Requests, Running, SecretReport, SecretState, TokenReport, Told, Trouble,
};
