//! Issue requests (dynamic credentials) that outlive their timeout. A request is given up after some seconds so that
//! the next one is sent soon, but its response is still used when it arrives during a later request: creating a
//! database user may take longer than the timeout of one request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::domain::{Ends, Fetched, Lease};
use crate::schedule::{Answer, Outcome, SecretId, TokenId};

/// The result of one issue request.
type Issued = (Outcome, Option<Fetched>);

/// A pending request; resolves to the time it was sent and its result.
type UnderWay = Pin<Box<dyn Future<Output = (Duration, Issued)>>>;

/// The pending requests of one secret.
struct Tries {
    /// The login they were sent with. Leases of another login would end with that login's token.
    login: Option<TokenId>,
    under_way: FuturesUnordered<UnderWay>,
}

/// The pending issue requests of all secrets of a backend.
#[derive(Default)]
pub(super) struct LateIssues {
    by_secret: RefCell<BTreeMap<SecretId, Tries>>,
    /// Pending requests of secrets that got a value meanwhile, or that were sent with an earlier login: their results
    /// are not used, and their leases are revoked.
    unneeded: RefCell<FuturesUnordered<UnderWay>>,
}

impl LateIssues {
    /// Sends `fresh` and waits up to `limit` for the first success of this or an earlier request, or for the failure of
    /// this one. Returns `None` on a timeout; the requests then stay pending. The TTLs of an earlier request's result
    /// are shortened by its age.
    pub(super) async fn issue(
        &self,
        id: SecretId,
        login: Option<TokenId>,
        fresh: impl Future<Output = Issued> + 'static,
        limit: Duration,
        now: Duration,
    ) -> Option<Issued> {
        let mut tries = Tries { login, under_way: FuturesUnordered::new() };
        match self.by_secret.borrow_mut().remove(&id) {
            Some(earlier) if earlier.login == login => tries = earlier,
            Some(earlier) => self.unneeded.borrow_mut().extend(earlier.under_way),
            None => {}
        }
        tries.under_way.push(Box::pin(async move { (now, fresh.await) }));
        let first = async {
            loop {
                match tries.under_way.next().await {
                    // The failure of an earlier request was already reported as a timeout.
                    Some((sent, (outcome, _))) if sent != now && !matches!(outcome, Outcome::Fetched(_)) => {}
                    answered => return answered,
                }
            }
        };
        let answered = tokio::time::timeout(limit, first).await.ok().flatten();
        let is_fetched = matches!(answered, Some((_, (Outcome::Fetched(_), _))));
        if is_fetched {
            self.unneeded.borrow_mut().extend(tries.under_way);
        } else if !tries.under_way.is_empty() {
            self.by_secret.borrow_mut().insert(id, tries);
        }
        answered.map(|(sent, issued)| shorten_ttls(issued, now.saturating_sub(sent)))
    }

    /// Returns the leases of unused results that have arrived.
    pub(super) fn unused(&self) -> Vec<Lease> {
        let mut unneeded = self.unneeded.borrow_mut();
        let come = std::iter::from_fn(|| unneeded.next().now_or_never().flatten());
        come.filter_map(|(_, (_, fetched))| fetched?.lease).collect()
    }

    /// Cancels all pending requests, and returns the leases of those that have been answered by now.
    pub(super) async fn give_up(&self) -> Vec<Lease> {
        let all = std::mem::take(&mut *self.by_secret.borrow_mut());
        self.unneeded.borrow_mut().extend(all.into_values().flat_map(|tries| tries.under_way));
        // Let the runtime read responses that are already in a socket.
        tokio::task::yield_now().await;
        let come = self.unused();
        self.unneeded.borrow_mut().clear();
        come
    }
}

/// Subtracts `age` (the time by which the answered request precedes the current one) from the TTLs of a result, down to
/// at least 1 s, or the TTL itself if it is shorter.
fn shorten_ttls((outcome, fetched): Issued, age: Duration) -> Issued {
    let mut fetched = match fetched {
        Some(fetched) if !age.is_zero() => fetched,
        fetched => return (outcome, fetched),
    };
    let left = |ttl: Duration| ttl.saturating_sub(age).max(ttl.min(Duration::from_secs(1)));
    if let Some(lease) = &mut fetched.lease {
        lease.ttl = left(lease.ttl);
    }
    fetched.ends = fetched.ends.map(|ends| match ends {
        Ends::Expires(ttl) => Ends::Expires(left(ttl)),
        Ends::WithToken(ttl) => Ends::WithToken(left(ttl)),
        Ends::Rotates(ttl) => Ends::Rotates(left(ttl)),
        Ends::ReadEvery(interval) => Ends::ReadEvery(interval),
    });
    (Outcome::Fetched(Answer::from(&fetched)), Some(fetched))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LeaseId, Payload, SecretBytes};
    use crate::provider::{Class, Failure};

    const ID: SecretId = SecretId(0);
    const LIMIT: Duration = Duration::from_millis(100);

    /// A credential that comes after so many hundredths of a second.
    async fn credential(after: u64, lease: &'static str) -> Issued {
        tokio::time::sleep(Duration::from_millis(10 * after)).await;
        let lease = Lease { id: LeaseId::parse(lease).unwrap(), ttl: Duration::from_secs(60), renewable: true };
        let payload = Payload::Whole(SecretBytes::copy_of(b"x"));
        let fetched = Fetched { payload, version: None, lease: Some(lease), ends: None, metadata: None };
        (Outcome::Fetched(Answer::from(&fetched)), Some(fetched))
    }

    async fn failure() -> Issued {
        (Outcome::Failed(Failure::new(Class::Transient, "500")), None)
    }

    fn lease(issued: Option<Issued>) -> Option<(String, Duration)> {
        let lease = issued?.1?.lease?;
        Some((lease.id.as_str().to_owned(), lease.ttl))
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test]
    async fn a_try_that_takes_longer_than_it_is_waited_for_is_answered_during_the_next() {
        let late = LateIssues::default();
        assert!(late.issue(ID, None, credential(15, "slow"), LIMIT, seconds(100)).await.is_none());
        let issued = late.issue(ID, None, std::future::pending(), LIMIT, seconds(110)).await;
        assert_eq!(lease(issued), Some(("slow".to_owned(), seconds(50))), "its life counts from its own request");
        assert!(late.by_secret.borrow().is_empty(), "nothing is waited for");
    }

    /// A lease that is not recorded would live to its end.
    #[tokio::test]
    async fn what_comes_and_is_not_used_is_known() {
        let late = LateIssues::default();
        let ids = |leases: Vec<Lease>| leases.iter().map(|lease| lease.id.as_str().to_owned()).collect::<Vec<_>>();
        assert!(late.issue(ID, None, credential(12, "slow"), LIMIT, seconds(100)).await.is_none());
        let issued = late.issue(ID, None, credential(9, "beside"), LIMIT, seconds(110)).await;
        assert_eq!(lease(issued).unwrap().0, "slow");
        tokio::time::sleep(LIMIT).await;
        assert_eq!(ids(late.unused()), ["beside"]);
        assert!(late.issue(ID, None, credential(12, "old login"), LIMIT, seconds(120)).await.is_none());
        assert!(late.issue(ID, Some(TokenId(1)), credential(12, "late"), LIMIT, seconds(130)).await.is_none());
        assert!(late.issue(SecretId(1), None, std::future::pending(), LIMIT, seconds(140)).await.is_none());
        let mut come = ids(late.give_up().await);
        come.sort();
        assert_eq!(come, ["late", "old login"]);
        assert!(late.by_secret.borrow().is_empty() && late.unneeded.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_quick_next_try_wins_and_a_failed_one_leaves_the_earlier_under_way() {
        let late = LateIssues::default();
        assert!(late.issue(ID, None, credential(60, "slow"), LIMIT, seconds(100)).await.is_none());
        let failed = late.issue(ID, None, failure(), LIMIT, seconds(110)).await;
        assert!(matches!(failed, Some((Outcome::Failed(_), None))));
        assert!(late.issue(ID, Some(TokenId(1)), std::future::pending(), LIMIT, seconds(111)).await.is_none());
        let issued = late.issue(ID, Some(TokenId(1)), credential(1, "quick"), LIMIT, seconds(121)).await;
        assert_eq!(
            lease(issued),
            Some(("quick".to_owned(), seconds(60))),
            "and what another login asked for is not taken"
        );
    }
}
