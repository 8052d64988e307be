//! The logins to one Vault server: the current token, and older tokens that still have leases.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, VaultAuth};
use crate::domain::SecretBytes;
use crate::identity::aws::AwsIdentity;
use crate::identity::{self, PreloadedFiles, Proof};
use crate::provider::vault::{ENDLESS, Namespace, Token, Vault};
use crate::provider::{Class, Failure, Limits};
use crate::schedule::{Outcome, TokenId};
use crate::sys::clock;

use super::grant;
use super::login::{Credentials, LoginError, log_in};

/// Vault or OpenBao: one connection for each live token; the current one is used for requests.
pub(crate) struct Logins {
    pub(crate) config: config::Vault,
    pub(crate) auth: VaultAuth,
    pub(crate) preloaded: Rc<PreloadedFiles>,
    pub(crate) aws_identity: Arc<AwsIdentity>,
    tokens: RefCell<Tokens>,
}

/// The connections by login, each with its own token.
struct Tokens {
    current: Option<TokenId>,
    by_id: BTreeMap<TokenId, Rc<Vault>>,
    /// When each replaced token has ended by itself at the latest, if it does.
    ends: BTreeMap<TokenId, Duration>,
    /// The connection of the last login, even if its token is dead. The next connection is derived from it, because it
    /// keeps what was unwrapped (a response-wrapped secret ID can be unwrapped only once).
    latest: Rc<Vault>,
}

impl Tokens {
    /// Records when the tokens that are about to be replaced have ended: from now on they are not renewed.
    fn note_ends(&mut self, now: Duration) {
        for (id, vault) in &self.by_id {
            if let Some(ttl) = vault.token().and_then(|token| token.ttl) {
                self.ends.entry(*id).or_insert(now.saturating_add(ttl));
            }
        }
    }

    /// Drops the connections for which `is_over` holds, and their tokens also where somebody else has the connection:
    /// the start has the first one.
    fn drop_where(&mut self, is_over: impl Fn(&TokenId, &Vault) -> bool) {
        self.by_id.retain(|id, vault| {
            let is_over = is_over(id, vault);
            if is_over {
                vault.forget_token();
            }
            !is_over
        });
    }

    /// Drops replaced tokens that have ended.
    fn drop_ended(&mut self, now: Duration) {
        let ends = std::mem::take(&mut self.ends);
        self.drop_where(|id, _| ends.get(id).is_some_and(|end| *end <= now));
        self.ends = ends.into_iter().filter(|(id, _)| self.by_id.contains_key(id)).collect();
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
        let (by_id, ends) = (BTreeMap::new(), BTreeMap::new());
        let tokens = Tokens { current: None, by_id, ends, latest: first };
        Self { config, auth, preloaded, aws_identity, tokens: RefCell::new(tokens) }
    }

    /// Registers the login that was made at start-up under `id` and makes it the current one.
    pub(crate) fn resume(&self, id: TokenId) {
        let tokens = &mut *self.tokens.borrow_mut();
        tokens.by_id.insert(id, Rc::clone(&tokens.latest));
        tokens.current = Some(id);
    }

    /// Adds the token of an earlier run, with its own namespace, so that it can be revoked when its leases have been replaced. Where the
    /// namespace is not known, the configuration's is the most likely. Does nothing if the connection cannot be set up.
    pub(crate) fn add_replaced(&self, id: TokenId, secret: &SecretBytes, token: &Token, namespace: Option<&Namespace>) {
        let latest = Rc::clone(&self.tokens.borrow().latest);
        let old = latest.successor(&self.config, Limits::default());
        let old = old.and_then(|old| match namespace {
            Some(namespace) => old.in_namespace(namespace),
            None => Ok(old),
        });
        let Ok(old) = old else { return };
        if old.adopt(SecretBytes::copy_of(secret.expose()), token.clone()).is_ok() {
            self.tokens.borrow_mut().by_id.insert(id, Rc::new(old));
        }
    }

    /// The token of the last login, if it is still alive.
    pub(crate) fn latest_token(&self) -> Option<Token> {
        self.tokens.borrow().latest.token()
    }

    /// Whether the token file now contains another token than the one in use. `false` for every other login method.
    pub(crate) fn is_identity_changed(&self) -> bool {
        let Some(secret) = identity::token_of_file(&self.auth, &self.preloaded) else { return false };
        self.current().is_some_and(|vault| vault.token().is_some() && !vault.holds(&secret))
    }

    /// Drops replaced tokens that have ended by themselves, which nobody revokes: the schedule waits with a revocation
    /// until the leases under a token are replaced, and a short-lived token ends before.
    pub(super) fn drop_ended(&self, now: Duration) {
        self.tokens.borrow_mut().drop_ended(now);
    }

    /// The connections of all logins that have not been revoked.
    pub(super) fn all(&self) -> Vec<Rc<Vault>> {
        self.tokens.borrow().by_id.values().cloned().collect()
    }

    /// The current connection, or else that of the last login, whose token may be dead.
    pub(super) fn any(&self) -> Rc<Vault> {
        self.current().unwrap_or_else(|| Rc::clone(&self.tokens.borrow().latest))
    }

    /// The login whose token is currently used.
    pub(crate) fn current_id(&self) -> Option<TokenId> {
        self.tokens.borrow().current
    }

    /// The connection of the current login.
    pub(crate) fn current(&self) -> Option<Rc<Vault>> {
        let tokens = self.tokens.borrow();
        tokens.by_id.get(&tokens.current?).cloned()
    }

    /// Logs in with fresh credentials on a new connection and makes it the current one; connections with revocable
    /// tokens stay until their leases are replaced. If the token file still contains the token in use, only looks that
    /// token up again (`TokenUnchanged`).
    pub(super) async fn log_in(&self, id: TokenId) -> Outcome {
        let credentials = Credentials { auth: &self.auth, preloaded: &self.preloaded, aws: &self.aws_identity };
        let proof = match credentials.proof().await {
            Ok(proof) => proof,
            Err(LoginError::NoCredentials(error)) => {
                return Outcome::Failed(Failure::new(Class::Denied, error.to_string()));
            }
            Err(LoginError::Rejected(failure)) => return Outcome::Failed(failure),
        };
        if let (Proof::Token(secret), Some(vault)) = (&proof, self.current())
            && vault.holds(secret)
        {
            return match log_in(&vault, &proof, ENDLESS).await {
                Ok((token, _)) => Outcome::TokenUnchanged(grant(&token)),
                Err(failure) => Outcome::Failed(failure),
            };
        }
        let latest = Rc::clone(&self.tokens.borrow().latest);
        let next = match latest.successor(&self.config, Limits::default()) {
            Ok(next) => Rc::new(next),
            // The configuration was valid at start-up, so the cause is temporary.
            Err(failure) => return Outcome::Failed(Failure::new(Class::Transient, failure.why)),
        };
        match log_in(&next, &proof, ENDLESS).await {
            Ok((token, _)) => {
                let tokens = &mut *self.tokens.borrow_mut();
                // Tokens that we cannot revoke end by themselves: drop their connections. A pending request keeps its
                // own reference.
                tokens.drop_where(|_, old| !old.token().is_some_and(|token| grant(&token).revocable));
                tokens.note_ends(clock::boottime());
                tokens.latest = Rc::clone(&next);
                tokens.by_id.insert(id, next);
                tokens.current = Some(id);
                Outcome::Granted(grant(&token))
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Revokes the token of one login and drops its connection. An unknown login counts as revoked.
    pub(super) async fn revoke(&self, id: TokenId) -> Outcome {
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
