//! Issues that are not waited for any longer: a try is given up after seconds, so that the next one goes out soon, and its answer
//! is taken all the same when it comes during the next ones. A database may need longer for a user than a silence is waited out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::domain::{Ends, Fetched};
use crate::schedule::{Answer, Outcome, SecretId, TokenId};

/// What comes of one try.
type Issued = (Outcome, Option<Fetched>);

/// A try under way, with the time it was sent at.
type UnderWay = Pin<Box<dyn Future<Output = (Duration, Issued)>>>;

/// Tries of one secret that are under way, each with the time it was sent at.
struct Tries {
    /// What they were sent with: under another login their leases would end elsewhere.
    login: Option<TokenId>,
    under_way: FuturesUnordered<UnderWay>,
}

/// Those of all secrets of a backend.
#[derive(Default)]
pub(super) struct LateIssues(RefCell<BTreeMap<SecretId, Tries>>);

impl LateIssues {
    /// Sends `fresh` and waits for what it or an earlier try brings; `None` when that is nothing within `limit`.
    pub(super) async fn issue(
        &self,
        id: SecretId,
        login: Option<TokenId>,
        fresh: impl Future<Output = Issued> + 'static,
        limit: Duration,
        now: Duration,
    ) -> Option<Issued> {
        let earlier = self.0.borrow_mut().remove(&id).filter(|tries| tries.login == login);
        let mut tries = earlier.unwrap_or_else(|| Tries { login, under_way: FuturesUnordered::new() });
        tries.under_way.push(Box::pin(async move { (now, fresh.await) }));
        let first = async {
            loop {
                match tries.under_way.next().await {
                    // That an earlier one was in vain is known.
                    Some((sent, (outcome, _))) if sent != now && !matches!(outcome, Outcome::Fetched(_)) => {}
                    answered => return answered,
                }
            }
        };
        let answered = tokio::time::timeout(limit, first).await.ok().flatten();
        let is_had = matches!(answered, Some((_, (Outcome::Fetched(_), _))));
        if !is_had && !tries.under_way.is_empty() {
            self.0.borrow_mut().insert(id, tries);
        }
        answered.map(|(sent, issued)| aged(issued, now.saturating_sub(sent)))
    }

    /// Gives up what is still under way.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// The same, whose life began up to so long before the request that it is taken for an answer to.
fn aged((outcome, fetched): Issued, age: Duration) -> Issued {
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
    use crate::domain::{Lease, LeaseId, Payload, SecretBytes};
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
        assert!(late.0.borrow().is_empty(), "the other one is given up");
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
