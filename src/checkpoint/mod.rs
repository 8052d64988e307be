//! The checkpoint that a restarted sidecar resumes from: written into the state directory (which is on memory) before
//! each issue and after each answer, and removed at an orderly end.
//!
//! ```text
//! state.json       format, boot, configuration, our token, each value's lease, version and TTL, and the tokens of
//!                  earlier configurations until new values are delivered
//! state.value-N    one value, written once
//! ```
//!
//! Values without a lease are kept so that a restart during an outage can deliver them. Where space is short, tokens
//! and leases come first: values that can be read again are dropped, the largest first.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

mod format;
mod load;
mod write;

use std::time::Duration;

use ring::digest;

use crate::config::Config;
use crate::domain::{Ends, Fetched, SecretBytes, Source};
use crate::provider::vault::{Namespace, Origin, Token, Vault};

pub(crate) use load::find;
pub(crate) use write::{Checkpoint, Kept};

/// What a checkpoint must agree with to be resumed: boot, configuration and server.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointKey {
    boot: String,
    config: String,
    address: String,
}

impl CheckpointKey {
    /// The key of this boot, program version and configuration. `None` if no checkpoint is kept: with a local file, or
    /// without a boot id.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        if config.backends.local.is_some() {
            return None;
        }
        let address = config.backends.vault.as_ref().map_or_else(String::new, |vault| vault.address.clone());
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        // An init container differs from the sidecar that resumes its checkpoint only in `--leave-leases`.
        let mut config = config.clone();
        config.app.leave_leases = false;
        let text = format!("{} {config:?}", env!("CARGO_PKG_VERSION"));
        let config = digest::digest(&digest::SHA256, text.as_bytes());
        let config = config.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { boot: boot.trim().to_owned(), config, address })
    }
}

/// A token of an earlier run.
#[derive(Debug)]
pub(crate) struct SavedToken {
    pub(crate) secret: SecretBytes,
    pub(crate) token: Token,
    pub(crate) requested_at: Duration,
    /// The namespace of the token; `None` in a state that an earlier version wrote.
    pub(crate) namespace: Option<Namespace>,
}

impl SavedToken {
    /// The token of `vault`, requested at `requested_at`; `None` for the token of a token file.
    pub(crate) fn of(vault: &Vault, requested_at: Duration) -> Option<Self> {
        let token = vault.token().filter(|token| token.origin == Origin::Login)?;
        Some(Self {
            secret: vault.copy_token()?,
            token,
            requested_at,
            namespace: Some(Namespace::named(vault.namespace())),
        })
    }
}

/// A value of an earlier run.
#[derive(Debug)]
pub(crate) struct SavedValue {
    pub(crate) source: Source,
    pub(crate) fetched: Fetched,
    /// When it was requested, or last renewed.
    pub(crate) requested_at: Duration,
    /// Whether it has ended.
    pub(crate) is_over: bool,
    /// The file that contains it.
    file: String,
}

/// How values that ended while no sidecar ran are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedValues {
    /// They are loaded, for a start that cannot fetch newer ones.
    Keep,
    /// They are ignored.
    Drop,
}

impl SavedValue {
    /// Whether the value ends with the token that it was requested with.
    pub(crate) fn is_bound(&self) -> bool {
        self.fetched.lease.is_some() || matches!(self.fetched.ends, Some(Ends::WithToken(_)))
    }

    /// Marks the value as ended. If it depended on a token, it ended at `token_end` at the latest; the result depends
    /// on no token.
    fn ended(mut self, token_end: Duration) -> Self {
        if self.is_bound() {
            let until_end = token_end.saturating_sub(self.requested_at);
            let ttl = match (&self.fetched.lease, self.fetched.ends) {
                (Some(lease), _) => lease.ttl,
                (None, Some(ends)) => ends.after(),
                (None, None) => until_end,
            };
            (self.fetched.lease, self.fetched.ends) = (None, Some(Ends::Expires(ttl.min(until_end))));
        }
        self.is_over = true;
        self
    }
}

/// What earlier runs left in the state directory.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) loaded: LoadedCheckpoint,
    /// Tokens of runs with other configurations: the app uses what was issued under them until something newer is
    /// delivered.
    pub(crate) replaced: Vec<SavedToken>,
}

impl Found {
    pub(crate) const NOTHING: Self = Self { loaded: LoadedCheckpoint::Nothing, replaced: Vec::new() };
}

/// The checkpoint of an earlier run with this configuration.
#[derive(Debug)]
pub(crate) enum LoadedCheckpoint {
    Nothing,
    /// To be resumed: the token, if it is alive, and the values. Without a token none of the values depends on one.
    Usable(Option<SavedToken>, Vec<SavedValue>),
    /// The token has ended, and only values that do not depend on it remain: they may be used while nothing newer can
    /// be fetched.
    TokenEnded(SavedToken, Vec<SavedValue>),
    /// Not to be resumed, but the token can be revoked.
    Stale(SavedToken),
}

#[cfg(test)]
mod tests;
