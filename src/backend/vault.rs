//! The logins to one Vault: the token that is used, and those that still have leases.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{self, VaultAuth};
use crate::domain::SecretBytes;
use crate::identity::aws::AwsIdentity;
use crate::identity::{self, PreloadedFiles, Proof};
use crate::provider::vault::{ENDLESS, Token, Vault};
use crate::provider::{Class, Failure, Limits};
use crate::schedule::{Outcome, TokenId};

use super::grant;
use super::login::{Credentials, LoginError, log_in};

/// Vault or OpenBao: the live tokens, of which the current one is used for requests.
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

    /// The token of an earlier run in its own namespace, whose leases are used until they are replaced.
    pub(crate) fn add_replaced(&self, id: TokenId, secret: &SecretBytes, token: &Token, namespace: Option<&str>) {
        let latest = Rc::clone(&self.tokens.borrow().latest);
        let old = latest.successor(&self.config, Limits::default());
        let Ok(old) = old.and_then(|old| old.in_namespace(namespace)) else { return };
        if old.adopt(SecretBytes::copy_of(secret.expose()), token.clone()).is_ok() {
            self.tokens.borrow_mut().by_id.insert(id, Rc::new(old));
        }
    }

    /// What the last login brought.
    pub(crate) fn latest_token(&self) -> Option<Token> {
        self.tokens.borrow().latest.token()
    }

    /// Whether the token file has another token than the one in use.
    pub(crate) fn is_identity_changed(&self) -> bool {
        let Some(secret) = identity::token_of_file(&self.auth, &self.preloaded) else { return false };
        self.current().is_some_and(|vault| vault.token().is_some() && !vault.holds(&secret))
    }

    /// A connection for each token that lives.
    pub(super) fn all(&self) -> Vec<Rc<Vault>> {
        self.tokens.borrow().by_id.values().cloned().collect()
    }

    /// A connection to the server, with or without a token that lives.
    pub(super) fn any(&self) -> Rc<Vault> {
        self.current().unwrap_or_else(|| Rc::clone(&self.tokens.borrow().latest))
    }

    /// The login whose token is used now.
    pub(super) fn current_id(&self) -> Option<TokenId> {
        self.tokens.borrow().current
    }

    /// The connection with the token that is used now.
    pub(crate) fn current(&self) -> Option<Rc<Vault>> {
        let tokens = self.tokens.borrow();
        tokens.by_id.get(&tokens.current?).cloned()
    }

    /// Logs in, with a connection of its own beside those whose tokens are still used.
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
            // The configuration was good at the start: whatever this is, it passes.
            Err(failure) => return Outcome::Failed(Failure::new(Class::Transient, failure.why)),
        };
        match log_in(&next, &proof, ENDLESS).await {
            Ok((token, _)) => {
                let tokens = &mut *self.tokens.borrow_mut();
                // Tokens that cannot be revoked end by themselves; a request under way keeps a reference to its own.
                tokens.by_id.retain(|_, old| old.token().is_some_and(|token| grant(&token).revocable));
                tokens.latest = Rc::clone(&next);
                tokens.by_id.insert(id, next);
                tokens.current = Some(id);
                Outcome::Granted(grant(&token))
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Revokes the token of one login.
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
