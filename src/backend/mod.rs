//! One secret store from connection to revocation: its login tokens, the leases that depend on them, and the secret
//! versions it knows.
//!
//! `connect` builds the stores that a plan needs, for the start and for rotation; `login` logs in and `revoke` revokes;
//! [`Backend`] executes the requests that a schedule decides on, with `vault` and `aws` for what is specific to each.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

mod aws;
mod connect;
mod late;
pub(crate) mod login;
pub(crate) mod revoke;
mod vault;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tracing::debug;

use crate::domain::{Fetched, Fetches, LONGEST_LIFE, Lease, Source};
use crate::provider::file::Files;
use crate::provider::local::Local;
use crate::provider::vault::{Origin, Revocation, Token, TokenKind, Vault};
use crate::provider::{Class, Failure, Fetch};
use crate::schedule::{Answer, Executor, Grant, Lifetime, Outcome, SecretId, Work};
use crate::sys::clock;

use aws::VersionedReader;
pub(crate) use connect::Backends;
use late::LateIssues;
use revoke::{revoke_each, revoke_login};
pub(crate) use vault::Logins;

/// Everything fetched during the start, passed on to rotation.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The fetched value of every source.
    pub(crate) fetches: Fetches,
    /// When each source was requested, and by which run.
    pub(crate) requests: BTreeMap<Source, Request>,
    /// When the login request that returned the token was sent, as time since boot.
    pub(crate) login_at: Duration,
    /// `true` when the token of an earlier run was resumed from the checkpoint, `false` when this run logged in itself.
    pub(crate) is_resumed: bool,
}

/// When a value was requested, and by which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// Time since boot. TTLs count from here.
    pub(crate) at: Duration,
    pub(crate) run: Run,
}

/// Which run requested a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    This,
    /// An earlier run, whose checkpoint was resumed: the value in the store may have changed since.
    Earlier,
}

/// A store and its sources: sends the requests of a schedule, and tracks the leases that have to be revoked.
pub(crate) struct Backend {
    pub(crate) kind: Kind,
    /// Indexed by [`SecretId`].
    sources: RefCell<Vec<Source>>,
    /// The current lease of each secret that has one: the lease that is renewed.
    leases: RefCell<BTreeMap<SecretId, Lease>>,
    /// Leases that do not end with the revocation of a token and have to be revoked one by one.
    left_over: RefCell<Vec<LeftOver>>,
    /// Issue requests that timed out and may still be answered.
    late: LateIssues,
}

/// A lease that ends with no token that we revoke: it is revoked individually.
struct LeftOver {
    lease: Lease,
    /// It is dead by then in any case.
    expires_at: Duration,
    /// When it is to be revoked; `None` while its secret still uses it, or after it was returned by `take_left_over`.
    ends: Option<Duration>,
    /// Whether `take_left_over` has already returned it once.
    was_returned: bool,
}

impl LeftOver {
    /// For a lease whose value arrived too late to be used: it is due for revocation at once.
    fn unused(lease: Lease, now: Duration) -> Self {
        Self { expires_at: now.saturating_add(lease.ttl), lease, ends: Some(now), was_returned: false }
    }
}

/// The supported secret stores.
pub(crate) enum Kind {
    Vault(Box<Logins>),
    Aws(VersionedReader),
    Files(Rc<Files>),
    Local(Rc<Local>),
}

impl Backend {
    pub(crate) fn new(kind: Kind, sources: Vec<Source>) -> Self {
        Self {
            kind,
            sources: RefCell::new(sources),
            leases: RefCell::default(),
            left_over: RefCell::default(),
            late: LateIssues::default(),
        }
    }

    /// Appends a source; it gets the next [`SecretId`].
    pub(crate) fn add(&self, source: Source) {
        self.sources.borrow_mut().push(source);
    }

    /// The name of the store in messages.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Vault(logins) => logins.config.address.clone(),
            Kind::Aws(_) => "AWS Secrets Manager".to_owned(),
            Kind::Files(_) => "the mounted files".to_owned(),
            Kind::Local(_) => "the local file".to_owned(),
        }
    }

    /// Records that the fetched value is used: its lease becomes the one that is renewed, its version the one that
    /// later reads are compared with.
    pub(crate) fn accept(&self, id: SecretId, fetched: &Fetched) {
        match &fetched.lease {
            Some(lease) => _ = self.leases.borrow_mut().insert(id, lease.clone()),
            None => _ = self.leases.borrow_mut().remove(&id),
        }
        if let (Kind::Aws(reader), Some(version)) = (&self.kind, &fetched.version) {
            reader.accept(id, version);
        }
    }

    /// The current lease of a secret, the one that is renewed.
    pub(crate) fn lease(&self, id: SecretId) -> Option<Lease> {
        self.leases.borrow().get(&id).cloned()
    }

    /// Remembers every current lease for individual revocation, because a token that cannot be revoked was replaced:
    /// its leases are not revoked with it.
    fn leave_leases(&self, now: Duration) {
        let leases = self.leases.borrow();
        let left = leases.values().cloned().map(|lease| LeftOver {
            expires_at: now.saturating_add(lease.ttl),
            lease,
            ends: None,
            was_returned: false,
        });
        self.left_over.borrow_mut().extend(left);
    }

    /// Called after values were delivered: schedules the left-over leases that no secret uses any more for revocation
    /// in `settle`.
    pub(crate) fn delivered(&self, settle: Duration, now: Duration) {
        let leases = self.leases.borrow();
        let is_used = |lease: &Lease| leases.values().any(|used| used.id == lease.id);
        let mut left_over = self.left_over.borrow_mut();
        let unused =
            left_over.iter_mut().filter(|left| left.ends.is_none() && !left.was_returned && !is_used(&left.lease));
        unused.for_each(|left| left.ends = Some(now.saturating_add(settle)));
    }

    /// Returns the left-over leases that are due for revocation. Each lease is returned once; one whose revocation
    /// fails is tried again only by `revoke_all`.
    pub(crate) fn take_left_over(&self, now: Duration) -> Vec<Lease> {
        let mut left_over = self.left_over.borrow_mut();
        left_over.retain(|left| left.expires_at > now);
        let due = left_over.iter_mut().filter(|left| left.ends.is_some_and(|at| at <= now));
        due.map(|left| {
            (left.ends, left.was_returned) = (None, true);
            left.lease.clone()
        })
        .collect()
    }

    /// Closes idle connections to Vault, so that their buffers do not keep the last response, and drops the tokens that
    /// have ended.
    pub(crate) fn close_idle(&self) {
        match &self.kind {
            Kind::Vault(logins) => {
                logins.drop_ended(clock::boottime());
                logins.all().iter().for_each(|vault| vault.close_idle());
            }
            Kind::Aws(_) | Kind::Files(_) | Kind::Local(_) => {}
        }
    }

    /// Revokes every token of this process (leases end with it) and, where the token is not revocable, each lease
    /// individually. All requests are sent at once, each again for about two seconds where that can help; returns their results.
    pub(crate) async fn revoke_all(&self) -> Vec<Result<Revocation, Failure>> {
        let come = self.late.give_up().await;
        let mut leases: Vec<Lease> = self.leases.borrow().values().cloned().collect();
        leases.extend(self.left_over.borrow().iter().map(|left| left.lease.clone()));
        leases.extend(come);
        leases.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        leases.dedup_by(|one, other| one.id == other.id);
        let leases: Vec<&Lease> = leases.iter().collect();
        match &self.kind {
            Kind::Vault(logins) => {
                logins.drop_ended(clock::boottime());
                let vaults = logins.all();
                let all = vaults.iter().map(|vault| revoke_login(vault, &leases, |_| {}));
                futures_util::future::join_all(all).await.into_iter().flatten().collect()
            }
            Kind::Local(local) => {
                let revoked = revoke_each(&**local, &leases, |_| {}).await;
                revoked.into_iter().map(|revoked| revoked.map(|()| Revocation::Revoked)).collect()
            }
            Kind::Aws(_) | Kind::Files(_) => Vec::new(),
        }
    }

    /// Revokes one lease that is not used. A failure is only logged (debug); the lease then ends with its TTL.
    pub(crate) async fn discard(self: Rc<Self>, lease: Lease) {
        let revoked = match &self.kind {
            Kind::Vault(logins) => match logins.current() {
                Some(vault) => vault.revoke(&lease.id).await,
                None => return,
            },
            Kind::Local(local) => local.revoke(&lease.id).await,
            Kind::Aws(_) | Kind::Files(_) => return,
        };
        match revoked {
            Ok(()) => self.left_over.borrow_mut().retain(|left| left.lease.id != lease.id),
            Err(failure) => debug!("a lease that is not used ends by itself: {failure}"),
        }
    }

    /// Fetches the current value of a secret. With Secrets Manager the value is `None` when its version has not
    /// changed.
    async fn fetch(&self, id: SecretId) -> (Outcome, Option<Fetched>) {
        let source = &self.sources.borrow()[id.0].clone();
        match &self.kind {
            Kind::Vault(logins) => match logins.current() {
                Some(vault) => fetched(fetch_one(&*vault, source).await.map_err(|failure| refused(&vault, failure))),
                None => (Outcome::Failed(no_login()), None),
            },
            Kind::Aws(reader) => reader.fetch(id, source).await,
            Kind::Files(files) => fetched(fetch_one(&**files, source).await.map_err(Outcome::Failed)),
            Kind::Local(local) => fetched(fetch_one(&**local, source).await.map_err(Outcome::Failed)),
        }
    }

    /// Renews the current lease of a secret and stores the renewed lease.
    async fn renew(&self, id: SecretId) -> Outcome {
        let Some(lease) = self.lease(id) else {
            return Outcome::Failed(Failure::new(Class::NotFound, "there is no lease to renew"));
        };
        let renewed = match &self.kind {
            Kind::Vault(logins) => match logins.current() {
                Some(vault) => vault.renew(&lease).await.map_err(|failure| refused(&vault, failure)),
                None => Err(Outcome::Failed(no_login())),
            },
            Kind::Local(local) => local.renew(&lease).await.map_err(Outcome::Failed),
            Kind::Aws(_) | Kind::Files(_) => unreachable!("only answers with a lease are renewed"),
        };
        match renewed {
            Ok(lease) => {
                let life = Lifetime { ttl: lease.ttl, renewable: lease.renewable };
                if let Some(known) = self.leases.borrow_mut().get_mut(&id) {
                    *known = lease;
                }
                Outcome::Renewed(life)
            }
            Err(outcome) => outcome,
        }
    }
}

impl Executor for Backend {
    type Output = Fetched;

    /// Executes one request with a time limit. An issue request that exceeds it keeps running, so that what it issues
    /// late can be revoked or used.
    async fn execute(self: Rc<Self>, work: Work, limit: Duration) -> (Outcome, Option<Fetched>) {
        let answered = match (work, &self.kind) {
            (Work::Issue(id), Kind::Vault(logins)) => {
                let sender = Rc::clone(&self);
                let fresh = async move { sender.send(work).await };
                let now = clock::boottime();
                let issued = self.late.issue(id, logins.current_id(), fresh, limit, now).await;
                let unused = self.late.unused().into_iter().map(|lease| LeftOver::unused(lease, now));
                self.left_over.borrow_mut().extend(unused);
                issued
            }
            _ => tokio::time::timeout(limit, self.send(work)).await.ok(),
        };
        match answered {
            Some((Outcome::Failed(failure), nothing)) => (Outcome::Failed(failure.after_contact()), nothing),
            Some(answered) => answered,
            None => {
                // The connection may be broken: close it, so that the next request opens a new one.
                self.close_idle();
                let why = format!("{} gave no answer within {:.1} s", self.name(), limit.as_secs_f64());
                let failure = Failure::new(Class::Transient, why).lost().silent();
                (Outcome::Failed(failure), None)
            }
        }
    }
}

impl Backend {
    /// Sends the request for `work`, without a time limit.
    async fn send(&self, work: Work) -> (Outcome, Option<Fetched>) {
        let outcome = match (work, &self.kind) {
            (Work::Issue(id) | Work::Read(id), _) => return self.fetch(id).await,
            (Work::Renew(id), _) => self.renew(id).await,
            (Work::Login(id), Kind::Vault(logins)) => {
                let outcome = logins.log_in(id).await;
                if matches!(outcome, Outcome::Granted(grant) if !grant.revocable) {
                    self.leave_leases(clock::boottime());
                }
                outcome
            }
            (Work::RenewToken, Kind::Vault(logins)) => match logins.current() {
                Some(vault) => match vault.renew_token().await {
                    Ok(token) => Outcome::Granted(renewed(&token)),
                    Err(failure) => refused(&vault, failure),
                },
                None => Outcome::Failed(no_login()),
            },
            (Work::CheckToken, Kind::Vault(logins)) => match logins.current() {
                Some(vault) => vault.check_token().await.map_or_else(Outcome::Failed, |()| Outcome::Done),
                None => Outcome::Failed(no_login()),
            },
            (Work::CheckHealth, Kind::Vault(logins)) => {
                logins.any().check_health().await.map_or_else(Outcome::Failed, |()| Outcome::Done)
            }
            (Work::RevokeOldToken(id), Kind::Vault(logins)) => logins.revoke(id).await,
            (Work::Login(_) | Work::RenewToken | Work::CheckToken | Work::CheckHealth | Work::RevokeOldToken(_), _) => {
                unreachable!("a schedule without a token asks for no token")
            }
        };
        (outcome, None)
    }
}

/// The lifetime of a token for the schedule, and whether we may revoke it. Only a service token of our own login is
/// renewed and revoked.
pub(crate) fn grant(token: &Token) -> Grant {
    // Another process renews a token from a token file; a batch token cannot be renewed.
    let is_renewable = token.origin == Origin::Login && token.kind == TokenKind::Service;
    // One that can be renewed has an end: if the answer does not state it, a renewal will.
    let ttl = token.ttl.or_else(|| (token.renewable && is_renewable).then_some(LONGEST_LIFE));
    let life = ttl.map(|ttl| Lifetime { ttl, renewable: token.renewable && is_renewable });
    Grant { life, revocable: is_renewable }
}

/// The same of a renewed token. A renewal that does not state a lifetime has given none: the known end stays.
fn renewed(token: &Token) -> Grant {
    let grant = grant(token);
    Grant { life: token.ttl.and(grant.life), ..grant }
}

/// The failure of a request for which no login exists.
fn no_login() -> Failure {
    Failure::new(Class::Denied, "not logged in")
}

/// Converts a failed request to an outcome: `TokenDead` when the token was denied. The provider drops a token that it
/// finds dead, so a missing token after a denial means that it is dead.
fn refused(vault: &Vault, failure: Failure) -> Outcome {
    let is_dead = failure.class == Class::Denied && vault.token().is_none();
    if is_dead { Outcome::TokenDead(failure) } else { Outcome::Failed(failure) }
}

/// Pairs a fetched value with what the schedule needs of it.
fn fetched(answer: Result<Fetched, Outcome>) -> (Outcome, Option<Fetched>) {
    match answer {
        Ok(fetched) => (Outcome::Fetched(Answer::from(&fetched)), Some(fetched)),
        Err(outcome) => (outcome, None),
    }
}

/// Fetches one source.
async fn fetch_one(provider: &impl Fetch, source: &Source) -> Result<Fetched, Failure> {
    let answer = provider.fetch(&[source]).await.pop();
    answer.unwrap_or_else(|| Err(Failure::new(Class::Malformed, "the provider gave no answer").perhaps_done()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_without_a_lifetime_is_renewed_early_and_a_renewal_without_one_is_the_last() {
        let token = |ttl| Token {
            accessor: None,
            ttl,
            renewable: true,
            kind: TokenKind::Service,
            origin: Origin::Login,
            uses: None,
        };
        let minute = Some(Duration::from_secs(60));
        let ttl = |grant: Grant| grant.life.map(|life| life.ttl);
        assert_eq!((ttl(grant(&token(minute))), ttl(renewed(&token(minute)))), (minute, minute));
        assert_eq!((ttl(grant(&token(None))), ttl(renewed(&token(None)))), (Some(LONGEST_LIFE), None));
    }
}
