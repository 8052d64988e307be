//! One secret store from connection to revocation: its login tokens, the leases that depend on them, and the versions it has.
//!
//! `connect` builds the stores that a plan needs, under start and rotation alike; `login` and `revoke` are the one way in and
//! out; [`Backend`] executes what a schedule decides, with `vault` and `aws` for what only they have.

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

use crate::domain::{Fetched, Fetches, Lease, Source};
use crate::provider::file::Files;
use crate::provider::local::Local;
use crate::provider::vault::{Origin, Revocation, Token, TokenKind, Vault};
use crate::provider::{Class, Failure, Fetch};
use crate::schedule::{Answer, Executor, Grant, Lifetime, Outcome, SecretId, Work};
use crate::sys::clock;

use aws::VersionedReader;
pub(crate) use connect::Backends;
use late::LateIssues;
use revoke::{Retry, revoke_each, revoke_login};
pub(crate) use vault::Logins;

/// What the start fetched, for rotation to take over.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The value of every source.
    pub(crate) fetches: Fetches,
    /// How each of them came.
    pub(crate) requests: BTreeMap<Source, Request>,
    /// When the login that brought the token was sent, in time since boot.
    pub(crate) login_at: Duration,
    /// Whether an earlier run's login was resumed; `false`: this run logged in itself.
    pub(crate) is_resumed: bool,
}

/// When a value was requested, and by which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// Time since boot: a life counts from here.
    pub(crate) at: Duration,
    pub(crate) run: Run,
}

/// Which run requested a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    This,
    /// An earlier one, whose checkpoint was resumed: the value may have changed since.
    Earlier,
}

/// The sources of one backend, and the means to ask for them.
pub(crate) struct Backend {
    pub(crate) kind: Kind,
    /// By [`SecretId`].
    sources: RefCell<Vec<Source>>,
    /// The lease of each secret that has one, as it is delivered.
    leases: RefCell<BTreeMap<SecretId, Lease>>,
    /// Of tokens that we handed over from and cannot revoke.
    left_over: RefCell<Vec<LeftOver>>,
    /// That are not waited for any longer.
    late: LateIssues,
}

/// A lease that no revocation of a token ends: it is ended by itself.
struct LeftOver {
    lease: Lease,
    /// It is dead by then in any case.
    dies: Duration,
    /// When it is ended; `None`: as long as it is used, or when it was tried already.
    ends: Option<Duration>,
    is_tried: bool,
}

impl LeftOver {
    /// Of a value that came and is not used: it is ended at once.
    fn unused(lease: Lease, now: Duration) -> Self {
        Self { dies: now.saturating_add(lease.ttl), lease, ends: Some(now), is_tried: false }
    }
}

/// The closed set of backends.
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

    /// One more source, the next [`SecretId`].
    pub(crate) fn add(&self, source: Source) {
        self.sources.borrow_mut().push(source);
    }

    /// As it stands in messages.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Vault(logins) => logins.config.address.clone(),
            Kind::Aws(_) => "AWS Secrets Manager".to_owned(),
            Kind::Files(_) => "the mounted files".to_owned(),
            Kind::Local(_) => "the local file".to_owned(),
        }
    }

    /// What was fetched is to be used: from now on its lease is the one that is renewed, its version the one we have.
    pub(crate) fn accept(&self, id: SecretId, fetched: &Fetched) {
        match &fetched.lease {
            Some(lease) => _ = self.leases.borrow_mut().insert(id, lease.clone()),
            None => _ = self.leases.borrow_mut().remove(&id),
        }
        if let (Kind::Aws(reader), Some(version)) = (&self.kind, &fetched.version) {
            reader.accept(id, version);
        }
    }

    /// The lease that is renewed.
    pub(crate) fn lease(&self, id: SecretId) -> Option<Lease> {
        self.leases.borrow().get(&id).cloned()
    }

    /// A token that cannot be revoked was replaced: its leases outlive it and are revoked one by one.
    fn leave_leases(&self, now: Duration) {
        let leases = self.leases.borrow();
        let left = leases.values().cloned().map(|lease| LeftOver {
            dies: now.saturating_add(lease.ttl),
            lease,
            ends: None,
            is_tried: false,
        });
        self.left_over.borrow_mut().extend(left);
    }

    /// Values were delivered: leases that are not used any more are revoked `settle` later.
    pub(crate) fn delivered(&self, settle: Duration, now: Duration) {
        let leases = self.leases.borrow();
        let is_used = |lease: &Lease| leases.values().any(|used| used.id == lease.id);
        let mut left_over = self.left_over.borrow_mut();
        let unused = left_over.iter_mut().filter(|left| left.ends.is_none() && !left.is_tried && !is_used(&left.lease));
        unused.for_each(|left| left.ends = Some(now.saturating_add(settle)));
    }

    /// The leases to be ended now. Each is named once; those that cannot be are tried again at the end.
    pub(crate) fn take_left_over(&self, now: Duration) -> Vec<Lease> {
        let mut left_over = self.left_over.borrow_mut();
        left_over.retain(|left| left.dies > now);
        let due = left_over.iter_mut().filter(|left| left.ends.is_some_and(|at| at <= now));
        due.map(|left| {
            (left.ends, left.is_tried) = (None, true);
            left.lease.clone()
        })
        .collect()
    }

    /// Closes idle connections, so that none keeps the last answer in its buffers.
    pub(crate) fn rest(&self) {
        match &self.kind {
            Kind::Vault(logins) => logins.all().iter().for_each(|vault| vault.close_idle()),
            Kind::Aws(_) | Kind::Files(_) | Kind::Local(_) => {}
        }
    }

    /// Revokes everything that can be revoked, all at once: the tokens (leases end with them), or each lease by itself.
    pub(crate) async fn give_back(&self) -> Vec<Result<Revocation, Failure>> {
        let come = self.late.give_up().await;
        let mut leases: Vec<Lease> = self.leases.borrow().values().cloned().collect();
        leases.extend(self.left_over.borrow().iter().map(|left| left.lease.clone()));
        leases.extend(come);
        leases.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        leases.dedup_by(|one, other| one.id == other.id);
        let leases: Vec<&Lease> = leases.iter().collect();
        match &self.kind {
            Kind::Vault(logins) => {
                let vaults = logins.all();
                let all = vaults.iter().map(|vault| revoke_login(vault, &leases, Retry::Never, |_| {}));
                futures_util::future::join_all(all).await.into_iter().flatten().collect()
            }
            Kind::Local(local) => {
                let revoked = revoke_each(&**local, &leases, Retry::Never, |_| {}).await;
                revoked.into_iter().map(|revoked| revoked.map(|()| Revocation::Revoked)).collect()
            }
            Kind::Aws(_) | Kind::Files(_) => Vec::new(),
        }
    }

    /// Ends a lease that cannot be used, or is not used any more.
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

    async fn fetch(&self, id: SecretId) -> (Outcome, Option<Fetched>) {
        let source = &self.sources.borrow()[id.0].clone();
        match &self.kind {
            Kind::Vault(logins) => match logins.current() {
                Some(vault) => fetched(one(&*vault, source).await.map_err(|failure| refused(&vault, failure))),
                None => (Outcome::Failed(no_login()), None),
            },
            Kind::Aws(reader) => reader.fetch(id, source).await,
            Kind::Files(files) => fetched(one(&**files, source).await.map_err(Outcome::Failed)),
            Kind::Local(local) => fetched(one(&**local, source).await.map_err(Outcome::Failed)),
        }
    }

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
            Some((Outcome::Failed(failure), nothing)) => (Outcome::Failed(failure.at_work()), nothing),
            Some(answered) => answered,
            None => {
                // The connection may be to blame: the next request gets another one.
                self.rest();
                let why = format!("{} gave no answer within {:.1} s", self.name(), limit.as_secs_f64());
                let failure = Failure::new(Class::Transient, why).perhaps_done().silent();
                (Outcome::Failed(failure), None)
            }
        }
    }
}

impl Backend {
    /// Sends what the work needs.
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
                    Ok(token) => Outcome::Granted(grant(&token)),
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

/// What the schedule has to know of a token.
pub(crate) fn grant(token: &Token) -> Grant {
    // Whoever keeps a foreign token alive does that without us; a batch token cannot be renewed.
    let is_renewable = token.origin == Origin::Login && token.kind == TokenKind::Service;
    let life = token.ttl.map(|ttl| Lifetime { ttl, renewable: token.renewable && is_renewable });
    Grant { life, revocable: is_renewable }
}

fn no_login() -> Failure {
    Failure::new(Class::Denied, "not logged in")
}

/// A dead token was forgotten by the provider as it found out.
fn refused(vault: &Vault, failure: Failure) -> Outcome {
    let is_dead = failure.class == Class::Denied && vault.token().is_none();
    if is_dead { Outcome::TokenDead(failure) } else { Outcome::Failed(failure) }
}

fn fetched(answer: Result<Fetched, Outcome>) -> (Outcome, Option<Fetched>) {
    match answer {
        Ok(fetched) => (Outcome::Fetched(Answer::from(&fetched)), Some(fetched)),
        Err(outcome) => (outcome, None),
    }
}

async fn one(provider: &impl Fetch, source: &Source) -> Result<Fetched, Failure> {
    let answer = provider.fetch(&[source]).await.pop();
    answer.unwrap_or_else(|| Err(Failure::new(Class::Malformed, "the provider gave no answer")))
}
