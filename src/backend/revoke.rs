//! Giving back what was issued: tokens and leases, tried again where that helps, within a time the caller bounds.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::domain::{Ends, Fetches, Lease, Source};
use crate::provider::vault::Revocation;
use crate::provider::{Failure, Fetch, backoff, in_parallel};
use crate::sys::random;

/// No longer for giving back what was issued, at the end or after a failed start.
pub(crate) const GIVE_BACK_WITHIN: Duration = Duration::from_secs(5);

/// What is under way when it is over is heard out for this long: its answer may be something to give back.
pub(crate) const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How often one is tried again.
const TRIES: u32 = 3;

/// Says what became of a token.
pub(crate) fn log_revocation(revocation: Result<Revocation, Failure>) {
    match revocation {
        Ok(Revocation::Revoked) => info!("revoked our token"),
        Ok(Revocation::Batch { ttl }) => {
            let left = ttl.map(|ttl| format!(" (at most {} s)", ttl.as_secs())).unwrap_or_default();
            info!("our token is a batch token, which cannot be revoked: it ends by itself{left}");
        }
        Ok(Revocation::NoToken | Revocation::Foreign) => {}
        Err(failure) => warn!("cannot revoke our token, which ends by itself: {failure}"),
    }
}

/// The leases among the answers, with their sources.
pub(crate) fn leases(fetches: &Fetches) -> Vec<(&Source, &Lease)> {
    fetches.iter().filter_map(|(source, fetched)| Some((source, fetched.lease.as_ref()?))).collect()
}

/// A value that dies although nothing changes it, and nobody of ours is there to replace it.
pub(crate) struct Mortal<'a> {
    pub(crate) source: &'a Source,
    /// Behind "it has ".
    pub(crate) what: &'static str,
    pub(crate) ttl: Duration,
    pub(crate) bound: Bound,
}

/// Whether a value dies with the token that it was requested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    ToOurToken,
    ToNothing,
}

/// The answers that die by themselves. A static role is none of them: the server changes it whoever is there.
pub(crate) fn mortals(fetches: &Fetches) -> impl Iterator<Item = Mortal<'_>> {
    fetches.iter().filter_map(|(source, fetched)| {
        let (what, ttl, bound) = match (&fetched.lease, fetched.ends) {
            (Some(lease), _) => ("a lease that nobody would renew", lease.ttl, Bound::ToOurToken),
            (None, Some(Ends::WithToken(ttl))) => {
                ("an end, at the latest with our token, and nobody would replace it", ttl, Bound::ToOurToken)
            }
            (None, Some(Ends::Expires(ttl))) => ("an end, and nobody would replace it", ttl, Bound::ToNothing),
            (None, Some(Ends::Rotates(_)) | None) => return None,
        };
        Some(Mortal { source, what, ttl, bound })
    })
}

/// Ends each lease by itself; failures are warnings.
pub(crate) async fn revoke_each(provider: &impl Fetch, leases: &[(&Source, &Lease)]) {
    let revocations = leases.iter().map(|(source, lease)| async move {
        match retry_revocation(|| provider.revoke(&lease.id)).await {
            Ok(()) => info!("revoked the lease of {source}"),
            Err(failure) => warn!("cannot revoke the lease of {source}, which ends by itself: {failure}"),
        }
    });
    in_parallel(revocations).await;
}

/// Tries again while that can help; the caller bounds the time.
pub(crate) async fn retry_revocation<T, F: Future<Output = Result<T, Failure>>>(
    request: impl Fn() -> F,
) -> Result<T, Failure> {
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
