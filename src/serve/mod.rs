//! How a running supervisor or sidecar is asked: the control socket, and health and metrics over HTTP.
//!
//! Whoever runs implements [`Running`]; a [`Report`] is all that is ever said. A start reads: [`StateDir::prepare`] and
//! [`Health::listen`] while there are privileges, [`Control::open`] after they were dropped, [`Control::serve`] and
//! [`Health::serve`] beside the loop's own work. Both answer for ever and never wait for it.

mod connection_limit;
mod control;
mod http;
mod metrics;
mod report;
mod state;
mod time;

pub use control::{Answer, Ask, AskError, Control, Status, ask};
pub use http::{Health, ListenError, Page, Pages};
pub use report::{
    Action, Backend, Counters, ErrorClass, Failures, Next, Notifications, NotifyResult, Operation, Pace, Refreshed,
    Report, Requests, Running, SecretReport, SecretState, TokenReport, Trouble,
};
pub use state::{Owner, StateDir, StateError};
