//! Providers of secrets: a closed set behind a narrow trait.

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

/// What every provider can do. Each call is one attempt; retries, time limits and schedules are the caller's.
pub trait Fetch {
    /// Reads every source once, with bounded parallelism and as few requests as the backend allows. Results are in the
    /// order of `sources`; the failure of one source does not affect another's.
    fn fetch(&self, sources: &[&Source]) -> impl Future<Output = Vec<Result<Fetched, Failure>>>;

    /// Renews a lease; returns it as the server now has it.
    fn renew(&self, lease: &Lease) -> impl Future<Output = Result<Lease, Failure>>;

    /// What a request that is under way has failed with so far, where the provider repeats parts of it by itself.
    fn failed_so_far(&self) -> Option<String> {
        None
    }

    /// Revokes a lease.
    fn revoke(&self, lease: &LeaseId) -> impl Future<Output = Result<(), Failure>>;
}
