//! Providers: where secrets come from. A closed enum behind a narrow trait; each answers for its own sources.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

use std::future::Future;

use crate::domain::{Fetched, Lease, LeaseId, Source};

pub mod aws;
pub mod backoff;
mod error;
mod chain_log;
pub mod file;
pub mod local;
mod parallel;
mod post;
mod tls;
mod transport;
pub mod vault;

pub use error::{Class, Effect, Extent, Failure, Outlook, Speaker};
pub use parallel::in_parallel;
pub use post::{PostError, post};
pub use transport::Limits;

/// What every provider can do. One attempt each; retries, bounds in time and schedules belong to the caller.
pub trait Fetch {
    /// Reads every source once, in parallel within the provider's bound, in as few requests as the backend allows.
    /// Answers stand in the order of `sources`; one source's failure never touches another's.
    fn fetch(&self, sources: &[&Source]) -> impl Future<Output = Vec<Result<Fetched, Failure>>>;

    /// Extends a lease; answers it as the server now has it.
    fn renew(&self, lease: &Lease) -> impl Future<Output = Result<Lease, Failure>>;

    /// Ends one lease.
    fn revoke(&self, lease: &LeaseId) -> impl Future<Output = Result<(), Failure>>;
}
