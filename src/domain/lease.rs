//! Leases, versions, and the result of one fetch.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::payload::Payload;
use super::reference::Source;
use super::secret::SecretBytes;

/// The server's identifier of a lease. Not a secret, but not printed whole in logs either.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseId(String);

impl LeaseId {
    /// A lease id; `None` for an empty one: a duration without an id is not a lease.
    pub fn parse(id: &str) -> Option<Self> {
        (!id.is_empty()).then(|| Self(id.to_owned()))
    }

    /// The id as the server wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A credential that the server revokes by itself unless it is renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// Time to live, counted from the response.
    pub ttl: Duration,
    /// Whether the server allows renewal.
    pub renewable: bool,
}

/// A backend's version: a KV v2 number or a Secrets Manager version id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(pub String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of one fetch.
#[derive(Debug)]
pub struct Fetched {
    /// The value.
    pub payload: Payload,
    /// Its version, where the backend has versions.
    pub version: Option<Version>,
    /// Its lease, where it has one.
    pub lease: Option<Lease>,
    /// An end of validity that the value states itself, beside its lease or without one.
    pub ends: Option<Ends>,
    /// KV v2's `metadata`, a JSON object, where the value came in that envelope.
    pub metadata: Option<SecretBytes>,
}

/// How a value without a lease ends, or how often it should be read. Durations count from the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It expires after this time: a certificate, a signed key, a token. An earlier request issues a new one, and
    /// both are valid side by side.
    Expires(Duration),
    /// The same, but it also ends with the token that requested it: a child token.
    WithToken(Duration),
    /// The server replaces it after this time (a static role): an earlier request returns the same value.
    Rotates(Duration),
    /// It does not end: its author asks for it to be read this often (the `ttl` of KV v1).
    ReadEvery(Duration),
}

impl Ends {
    /// The duration, counted from the response.
    pub fn after(self) -> Duration {
        match self {
            Self::Expires(ttl) | Self::WithToken(ttl) | Self::Rotates(ttl) | Self::ReadEvery(ttl) => ttl,
        }
    }
}

/// The results of all fetches, by source.
pub type Fetches = BTreeMap<Source, Fetched>;
