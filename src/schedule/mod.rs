//! Rotation schedules: what to request next so that secrets stay valid, decided without clock, network or threads.
//!
//! [`Schedule`] is the entry point; its documentation is the specification. [`Driver`] starts the work that it
//! requests. The types that they share are in `work`, the arithmetic of lifetimes in `term`, the state of one secret in
//! `secret`, the login token in `token`, the circuit breaker in `breaker`, and request timeouts in `machine::limit`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

mod backoff;
mod breaker;
mod driver;
mod history;
mod machine;
mod secret;
mod secret_state;
mod settings;
mod status;
mod term;
#[cfg(test)]
mod tests;
mod token;
mod work;

pub use driver::{BackendId, Completed, Driver, Executor, Started};
pub use machine::{Authentication, Refreshed, Schedule};
pub use settings::{Reads, Settings, Silence, Window};
pub use status::{Liveness, SecretStatus, State, Status, TokenStatus};
pub use work::{
    Answer, Event, Grant, Life, Lifetime, MountId, Next, Operation, Outcome, PatienceFor, Plan, SecretId, TokenId, Work,
};
