//! The interfaces of a running supervisor or sidecar: the control socket, and health and metrics over HTTP.
//!
//! The running process implements [`Running`]; a [`Report`] contains everything that is ever reported. The order at a
//! start: [`StateDir::prepare`] and [`Health::listen`] before privileges are dropped, [`Control::open`] after that,
//! then [`Control::serve`] and [`Health::serve`] in parallel with the mode's own loop. Both serve for ever and never
//! block it.

mod connection_limit;
mod control;
mod http;
mod metrics;
mod metrics_text;
mod report;
mod state;
mod time;

pub use control::{Answer, Ask, AskError, Control, Status, ask};
pub use http::{Health, ListenError, Page, Pages};
pub(crate) use metrics_text::{Histogram, Kind, MetricsText};
pub use report::{
    Action, Backend, Counters, ErrorClass, FailureReport, Failures, Next, Notifications, NotifyResult, Operation, Pace,
    Refreshed, Report, Requests, Running, SecretReport, SecretState, TokenReport,
};
pub use state::{Owner, StateDir, StateError};
