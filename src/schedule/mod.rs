//! Rotation: what to do next so that secrets stay fresh, decided without a clock, a network or a thread.
//!
//! [`Schedule`] is the whole of it; its documentation is the specification. [`Driver`] starts what it asks for. The words
//! they share are in `work`, the arithmetic of a life in `term`, what one secret needs in `secret`, the login in `token`, what a shared
//! failure does to those who share it in `breaker`, and how long a request may take in `machine::limit`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

mod backoff;
mod breaker;
mod driver;
mod history;
mod machine;
mod secret;
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
