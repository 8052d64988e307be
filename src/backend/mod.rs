//! What a schedule asks for, carried out: one backend with its tokens, and the leases that hang on them.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

pub(crate) mod login;
pub(crate) mod revoke;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::config::{self, VaultAuth};
use crate::domain::{Fetched, Lease, Source, Version, http_date};
use crate::identity::aws::AwsIdentity;
use crate::identity::{self, PreloadedFiles, Proof};
use crate::provider::aws::Aws;
use crate::provider::file::Files;
use crate::provider::local::Local;
use crate::provider::vault::{ENDLESS, Origin, Revocation, Token, TokenKind, Vault};
use crate::provider::{Class, Failure, Fetch, Limits};
use crate::schedule::{Answer, Executor, Grant, Life, Lifetime, Outcome, SecretId, TokenId, Work};
use crate::sys::clock;

use login::{LoginError, proof};

/// The sources of one backend, and the means to ask for them.
pub(crate) struct Backend {
    pub(crate) kind: Kind,
    /// By [`SecretId`].
    pub(crate) sources: Vec<Source>,
    /// The lease of each secret that has one, as it is delivered.
    leases: RefCell<BTreeMap<SecretId, Lease>>,
    /// Of tokens that we handed over from and cannot revoke.
    left_over: RefCell<Vec<LeftOver>>,
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

/// The closed set of backends.
pub(crate) enum Kind {
    Vault(Box<Logins>),
    Aws(Described),
    Files(Rc<Files>),
    Local(Rc<Local>),
}

/// Vault or OpenBao: the tokens we hold, of which one is asked with.
pub(crate) struct Logins {
    pub(crate) config: config::Vault,
    pub(crate) auth: VaultAuth,
    pub(crate) preloaded: Rc<PreloadedFiles>,
    pub(crate) aws_identity: Arc<AwsIdentity>,
    tokens: RefCell<Tokens>,
}

struct Tokens {
    current: Option<TokenId>,
    by_id: BTreeMap<TokenId, Rc<Vault>>,
    /// The last one, dead or not: what it unwrapped is handed on.
    latest: Rc<Vault>,
}

/// Secrets Manager, and the versions we have.
pub(crate) struct Described {
    pub(crate) aws: Rc<Aws>,
    versions: RefCell<BTreeMap<SecretId, Version>>,
    /// We may read values but not descriptions: then the value is what is compared.
    blind: RefCell<bool>,
}

impl Backend {
    pub(crate) fn new(kind: Kind, sources: Vec<Source>) -> Self {
        Self { kind, sources, leases: RefCell::default(), left_over: RefCell::default() }
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
        if let (Kind::Aws(described), Some(version)) = (&self.kind, &fetched.version) {
            described.versions.borrow_mut().insert(id, version.clone());
        }
    }

    /// The lease that is renewed.
    pub(crate) fn lease(&self, id: SecretId) -> Option<Lease> {
        self.leases.borrow().get(&id).cloned()
    }

    /// A token that is not ours to revoke, or cannot be, was replaced: its leases do not end with the hand-over.
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

    /// Values were delivered: leases that nobody uses any more are ended `settle` later.
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

    /// Nothing is asked for a while: no pooled connection keeps the last answer in its buffers.
    pub(crate) fn rest(&self) {
        match &self.kind {
            Kind::Vault(logins) => logins.tokens.borrow().by_id.values().for_each(|vault| vault.close_idle()),
            Kind::Aws(_) | Kind::Files(_) | Kind::Local(_) => {}
        }
    }

    /// Everything that can be revoked is, all at once: our tokens (leases end with them), or each lease by itself.
    pub(crate) async fn give_back(&self) -> Vec<Result<Revocation, Failure>> {
        let mut leases: Vec<Lease> = self.leases.borrow().values().cloned().collect();
        leases.extend(self.left_over.borrow().iter().map(|left| left.lease.clone()));
        leases.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        leases.dedup_by(|one, other| one.id == other.id);
        match &self.kind {
            Kind::Vault(logins) => {
                let vaults: Vec<Rc<Vault>> = logins.tokens.borrow().by_id.values().cloned().collect();
                let all = vaults.iter().map(|vault| async {
                    let token = vault.token();
                    let mut answers = match &token {
                        Some(token) if !grant(token).revocable => revoke_each(&**vault, &leases).await,
                        _ => Vec::new(),
                    };
                    if token.is_none_or(|token| token.origin == Origin::Ours) {
                        answers.push(vault.revoke_token().await);
                    }
                    answers
                });
                futures_util::future::join_all(all).await.into_iter().flatten().collect()
            }
            Kind::Local(local) => revoke_each(&**local, &leases).await,
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
        let source = &self.sources[id.0];
        match &self.kind {
            Kind::Vault(logins) => match logins.current() {
                Some(vault) => fetched(one(&*vault, source).await.map_err(|failure| refused(&vault, failure))),
                None => (Outcome::Failed(no_login()), None),
            },
            Kind::Aws(described) => described.fetch(id, source).await,
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
        match tokio::time::timeout(limit, self.asked(work)).await {
            Ok((Outcome::Failed(failure), nothing)) => (Outcome::Failed(failure.at_work()), nothing),
            Ok(answered) => answered,
            Err(_) => {
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
    async fn asked(&self, work: Work) -> (Outcome, Option<Fetched>) {
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

impl Logins {
    pub(crate) fn new(
        config: config::Vault,
        auth: VaultAuth,
        preloaded: Rc<PreloadedFiles>,
        aws_identity: Arc<AwsIdentity>,
        first: Rc<Vault>,
    ) -> Self {
        let tokens = Tokens { current: None, by_id: BTreeMap::new(), latest: first };
        Self { config, auth, preloaded, aws_identity, tokens: RefCell::new(tokens) }
    }

    /// The first login, which the start made, has this id.
    pub(crate) fn resume(&self, id: TokenId) {
        let tokens = &mut *self.tokens.borrow_mut();
        tokens.by_id.insert(id, Rc::clone(&tokens.latest));
        tokens.current = Some(id);
    }

    /// What the last login brought.
    pub(crate) fn latest_token(&self) -> Option<Token> {
        self.tokens.borrow().latest.token()
    }

    /// Whether the token file holds another token than ours.
    pub(crate) fn is_identity_changed(&self) -> bool {
        let VaultAuth::TokenFile { .. } = &self.auth else { return false };
        let Ok(Proof::Token(secret)) = identity::prove(&self.auth, &self.preloaded) else { return false };
        self.current().is_some_and(|vault| vault.token().is_some() && !vault.holds(&secret))
    }

    /// A connection to the server, with or without a token that lives.
    fn any(&self) -> Rc<Vault> {
        self.current().unwrap_or_else(|| Rc::clone(&self.tokens.borrow().latest))
    }

    /// Whoever is asked now.
    pub(crate) fn current(&self) -> Option<Rc<Vault>> {
        let tokens = self.tokens.borrow();
        tokens.by_id.get(&tokens.current?).cloned()
    }

    async fn log_in(&self, id: TokenId) -> Outcome {
        let proof = match proof(&self.auth, &self.preloaded, &self.aws_identity).await {
            Ok(proof) => proof,
            Err(LoginError::NoCredentials(error)) => {
                return Outcome::Failed(Failure::new(Class::Denied, error.to_string()));
            }
            Err(LoginError::Rejected(failure)) => return Outcome::Failed(failure),
        };
        if let (Proof::Token(secret), Some(vault)) = (&proof, self.current())
            && vault.holds(secret)
        {
            return match vault.login(&proof, ENDLESS).await {
                Ok(token) => Outcome::StillHeld(grant(&token)),
                Err(failure) => Outcome::Failed(failure),
            };
        }
        let latest = Rc::clone(&self.tokens.borrow().latest);
        let next = match latest.successor(&self.config, Limits::default()) {
            Ok(next) => Rc::new(next),
            // The configuration was good at the start: whatever this is, it passes.
            Err(failure) => return Outcome::Failed(Failure::new(Class::Transient, failure.why)),
        };
        match next.login(&proof, ENDLESS).await {
            Ok(token) => {
                let tokens = &mut *self.tokens.borrow_mut();
                // Those that nobody can revoke end by themselves; whatever is under way holds on to its own.
                tokens.by_id.retain(|_, old| old.token().is_some_and(|token| grant(&token).revocable));
                tokens.latest = Rc::clone(&next);
                tokens.by_id.insert(id, next);
                tokens.current = Some(id);
                Outcome::Granted(grant(&token))
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn revoke(&self, id: TokenId) -> Outcome {
        let Some(vault) = self.tokens.borrow().by_id.get(&id).cloned() else { return Outcome::Done };
        match vault.revoke_token().await {
            Ok(_) => {
                self.tokens.borrow_mut().by_id.remove(&id);
                Outcome::Done
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

impl Described {
    pub(crate) fn new(aws: Rc<Aws>) -> Self {
        Self { aws, versions: RefCell::default(), blind: RefCell::new(false) }
    }

    /// The value only when its version is another than ours: a description costs the same and decrypts nothing.
    async fn fetch(&self, id: SecretId, source: &Source) -> (Outcome, Option<Fetched>) {
        let mut rotates_in = None;
        let Source::Aws(wanted) = source else { unreachable!("the sources of Secrets Manager") };
        let is_blind = *self.blind.borrow();
        let known = self.versions.borrow().get(&id).cloned();
        if !is_blind && known.is_some() {
            match self.aws.describe(wanted).await {
                Ok(description) => {
                    let until = |at: std::time::SystemTime| at.duration_since(clock::wall()).unwrap_or(Duration::ZERO);
                    rotates_in = description.next_rotation.map(until);
                    if let Some(at) = description.deleted {
                        let why = format!(
                            "the secret was scheduled for deletion at {}; what was delivered stays, but the next start \
                             cannot read it: restore it with RestoreSecret",
                            http_date(at)
                        );
                        return (Outcome::Failed(Failure::new(Class::NotFound, why)), None);
                    }
                    if known == Some(description.version) {
                        return (Outcome::Fetched(Answer { life: Life::Unbounded, rotates_in }), None);
                    }
                }
                Err(failure) if failure.class == Class::Denied => {
                    debug!("{source}: no description ({failure}); the value is read each time");
                    *self.blind.borrow_mut() = true;
                }
                Err(failure) => return (Outcome::Failed(failure), None),
            }
        }
        match one(&*self.aws, source).await {
            Ok(fetched) => (Outcome::Fetched(Answer { rotates_in, ..Answer::from(&fetched) }), Some(fetched)),
            Err(failure) => (Outcome::Failed(failure), None),
        }
    }
}

/// What the schedule has to know of a token.
pub(crate) fn grant(token: &Token) -> Grant {
    // Whoever keeps a foreign token alive does that without us; a batch token cannot be renewed.
    let is_ours = token.origin == Origin::Ours && token.kind == TokenKind::Service;
    let life = token.ttl.map(|ttl| Lifetime { ttl, renewable: token.renewable && is_ours });
    Grant { life, revocable: is_ours }
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

async fn revoke_each(provider: &impl Fetch, leases: &[Lease]) -> Vec<Result<Revocation, Failure>> {
    let all = leases.iter().map(|lease| async { provider.revoke(&lease.id).await.map(|()| Revocation::Revoked) });
    futures_util::future::join_all(all).await
}
