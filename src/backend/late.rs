//! Issues that are not waited for any longer: a try is given up after seconds, so that the next one goes out soon, and its answer
//! is taken all the same when it comes during the next ones. A database may need longer for a user than a silence is waited out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::domain::{Ends, Fetched, Lease};
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
pub(super) struct LateIssues {
    by_secret: RefCell<BTreeMap<SecretId, Tries>>,
    /// Of secrets that have a value meanwhile, or of another login: what they bring is not used.
    spare: RefCell<FuturesUnordered<UnderWay>>,
}

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
        let mut tries = Tries { login, under_way: FuturesUnordered::new() };
        match self.by_secret.borrow_mut().remove(&id) {
            Some(earlier) if earlier.login == login => tries = earlier,
            Some(earlier) => self.spare.borrow_mut().extend(earlier.under_way),
            None => {}
        }
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
        if is_had {
            self.spare.borrow_mut().extend(tries.under_way);
        } else if !tries.under_way.is_empty() {
            self.by_secret.borrow_mut().insert(id, tries);
        }
        answered.map(|(sent, issued)| aged(issued, now.saturating_sub(sent)))
    }

    /// The leases that have come and that nobody uses.
    pub(super) fn unused(&self) -> Vec<Lease> {
        let mut spare = self.spare.borrow_mut();
        let come = std::iter::from_fn(|| spare.next().now_or_never().flatten());
        come.filter_map(|(_, (_, fetched))| fetched?.lease).collect()
    }

    /// Gives up what is still under way, and returns the leases that have come by now.
    pub(super) async fn give_up(&self) -> Vec<Lease> {
        let all = std::mem::take(&mut *self.by_secret.borrow_mut());
        self.spare.borrow_mut().extend(all.into_values().flat_map(|tries| tries.under_way));
        // What lies in a socket is read meanwhile.
        tokio::task::yield_now().await;
        let come = self.unused();
        self.spare.borrow_mut().clear();
        come
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

    /// A lease that nobody knows would live to its end.
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
        assert!(late.by_secret.borrow().is_empty() && late.spare.borrow().is_empty());
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
