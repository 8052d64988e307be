//! Revokes tokens and leases, with retries of transient failures where the caller wants them. The caller bounds the
//! time.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::domain::{Ends, Fetches, Lease, Source};
use crate::provider::vault::{Origin, Revocation, Vault};
use crate::provider::{Failure, Fetch, backoff};
use crate::sys::random;

/// The time limit for revoking everything, at the end or after a failed start.
pub(crate) const REVOKE_WITHIN: Duration = Duration::from_secs(5);

/// At shutdown, pending responses are awaited for this long, because they may carry a lease to revoke.
pub(crate) const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How many times one revocation is retried.
const TRIES: u32 = 3;

/// Logs the result of revoking our token.
pub(crate) fn log_revocation(revocation: &Result<Revocation, Failure>) {
    match revocation {
        Ok(Revocation::Revoked) => info!(event = "revoke", "revoked our token"),
        Ok(Revocation::Batch { ttl }) => {
            let left = ttl.map(|ttl| format!(" (at most {} s)", ttl.as_secs())).unwrap_or_default();
            info!("our token is a batch token, which cannot be revoked: it ends by itself{left}");
        }
        Ok(Revocation::NoToken | Revocation::Foreign) => {}
        Err(failure) => warn!("cannot revoke our token, which ends by itself: {failure}"),
    }
}

/// The leases of the fetched values, with their sources.
pub(crate) fn leases(fetches: &Fetches) -> Vec<(&Source, &Lease)> {
    fetches.iter().filter_map(|(source, fetched)| Some((source, fetched.lease.as_ref()?))).collect()
}

/// A value that expires after this program has ended, so that it will not be replaced.
pub(crate) struct ExpiringValue<'a> {
    pub(crate) source: &'a Source,
    /// The predicate of a message that begins with "it has ".
    pub(crate) what: &'static str,
    pub(crate) ttl: Duration,
    pub(crate) bound: Bound,
}

/// Whether a value ends with the token that it was requested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    ToOurToken,
    ToNothing,
}

/// The fetched values that expire by themselves. A static role's value is not among them: the server rotates it in any
/// case.
pub(crate) fn expiring_values(fetches: &Fetches) -> impl Iterator<Item = ExpiringValue<'_>> {
    fetches.iter().filter_map(|(source, fetched)| {
        let (what, ttl, bound) = match (&fetched.lease, fetched.ends) {
            (Some(lease), _) => ("a lease that nothing would renew", lease.ttl, Bound::ToOurToken),
            (None, Some(Ends::WithToken(ttl))) => {
                ("an end, at the latest with our token, and nothing would replace it", ttl, Bound::ToOurToken)
            }
            (None, Some(Ends::Expires(ttl))) => ("an end, and nothing would replace it", ttl, Bound::ToNothing),
            (None, Some(Ends::Rotates(_) | Ends::ReadEvery(_)) | None) => return None,
        };
        Some(ExpiringValue { source, what, ttl, bound })
    })
}

/// The result of one revocation, for logging.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Revoked<'a> {
    Lease(&'a Lease, &'a Result<(), Failure>),
    Token(&'a Result<Revocation, Failure>),
}

/// Revokes each lease individually, all at once. `log` is called with each result as it arrives.
pub(crate) async fn revoke_each(
    provider: &impl Fetch,
    leases: &[&Lease],
    log: impl Fn(Revoked<'_>),
) -> Vec<Result<(), Failure>> {
    let all = leases.iter().map(async |lease| {
        let revoked = retry_revocation(|| provider.revoke(&lease.id)).await;
        log(Revoked::Lease(lease, &revoked));
        revoked
    });
    futures_util::future::join_all(all).await
}

/// Revokes the token of a login, preceded by `leases` if the token is not revocable (they would outlive it). A token
/// from a token file is not revoked.
pub(crate) async fn revoke_login(
    vault: &Vault,
    leases: &[&Lease],
    log: impl Fn(Revoked<'_>),
) -> Vec<Result<Revocation, Failure>> {
    let token = vault.token();
    let mut results = Vec::new();
    if token.as_ref().is_some_and(|token| !super::grant(token).revocable) {
        let revoked = revoke_each(vault, leases, &log).await;
        results.extend(revoked.into_iter().map(|revoked| revoked.map(|()| Revocation::Revoked)));
    }
    if token.is_none_or(|token| token.origin == Origin::Login) {
        let revoked = retry_revocation(|| vault.revoke_token()).await;
        log(Revoked::Token(&revoked));
        results.push(revoked);
    }
    results
}

/// Repeats a request that fails with a retryable failure, up to [`TRIES`] times with back-off. The caller bounds the
/// time.
async fn retry_revocation<T, F: Future<Output = Result<T, Failure>>>(request: impl Fn() -> F) -> Result<T, Failure> {
    let mut tries = 0;
    loop {
        match request().await {
            Err(failure) if failure.class.is_retried() && tries < TRIES => {
                sleep(backoff::delay(tries, None, random::unit())).await;
                tries = tries.saturating_add(1);
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::domain::{Fetched, LeaseId};
    use crate::provider::Class;

    /// A store whose first revocations fail.
    struct Failing {
        failures: Cell<u32>,
        revoked: RefCell<Vec<String>>,
    }

    impl Fetch for Failing {
        async fn fetch(&self, _: &[&Source]) -> Vec<Result<Fetched, Failure>> {
            unreachable!("revoking reads nothing")
        }

        async fn renew(&self, _: &Lease) -> Result<Lease, Failure> {
            unreachable!("revoking renews nothing")
        }

        async fn revoke(&self, lease: &LeaseId) -> Result<(), Failure> {
            if let Some(left) = self.failures.get().checked_sub(1) {
                self.failures.set(left);
                return Err(Failure::new(Class::Transient, "no connection"));
            }
            self.revoked.borrow_mut().push(lease.as_str().to_owned());
            Ok(())
        }
    }

    fn revoke(store: &Failing) -> (Vec<bool>, usize) {
        let lease = |id: &str| Lease { id: LeaseId::parse(id).unwrap(), ttl: Duration::from_secs(60), renewable: true };
        let leases = [lease("database/creds/web/a"), lease("database/creds/web/b")];
        let logged = Cell::new(0);
        let log = |_: Revoked<'_>| logged.set(logged.get() + 1);
        let leases: Vec<&Lease> = leases.iter().collect();
        let work = revoke_each(store, &leases, log);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let results = runtime.block_on(work);
        (results.iter().map(Result::is_ok).collect(), logged.get())
    }

    #[test]
    fn every_lease_is_revoked_and_logged_and_a_transient_failure_is_repeated_a_few_times() {
        let store = Failing { failures: Cell::new(1), revoked: RefCell::default() };
        assert_eq!(revoke(&store), (vec![true, true], 2));
        let mut revoked = store.revoked.take();
        revoked.sort();
        assert_eq!(revoked, ["database/creds/web/a", "database/creds/web/b"]);
        let store = Failing { failures: Cell::new(100), revoked: RefCell::default() };
        assert_eq!(revoke(&store), (vec![false, false], 2));
    }
}
