//! Leases, versions, and what one fetch brings home.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::payload::Payload;
use super::reference::Source;
use super::secret::SecretBytes;

/// The server's name of a lease. Not a secret, but not printed whole in logs either.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseId(String);

impl LeaseId {
    /// A lease exists only when the server named one; a bare duration is none.
    pub fn parse(id: &str) -> Option<Self> {
        (!id.is_empty()).then(|| Self(id.to_owned()))
    }

    /// The id as the server wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A credential the server ends by itself unless it is renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// How long it lives from the answer on.
    pub ttl: Duration,
    /// Whether the server would renew it.
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

/// What came back for one source.
#[derive(Debug)]
pub struct Fetched {
    /// The value.
    pub payload: Payload,
    /// Its version, where the backend has versions.
    pub version: Option<Version>,
    /// Its lease, where it has one.
    pub lease: Option<Lease>,
    /// An end of its own that the value states, beside its lease or without one.
    pub ends: Option<Ends>,
    /// KV v2's `metadata`, a JSON object, where the value stood in an envelope.
    pub metadata: Option<SecretBytes>,
}

/// How a value ends that states its own end, or how often it wants to be read. Durations count from the answer on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It expires then: a certificate, a signed key, a token. An earlier request brings another one, and two may live side
    /// by side without harm.
    Expires(Duration),
    /// The same, and it dies earlier with the token that it was requested with: a child token.
    WithToken(Duration),
    /// The server replaces it then by itself (a static role): an earlier request brings the same.
    Rotates(Duration),
    /// It has no end: whoever wrote it wants it read this often (the `ttl` of KV v1).
    ReadEvery(Duration),
}

impl Ends {
    /// When, or how often, from the answer on.
    pub fn after(self) -> Duration {
        match self {
            Self::Expires(ttl) | Self::WithToken(ttl) | Self::Rotates(ttl) | Self::ReadEvery(ttl) => ttl,
        }
    }
}

/// Everything that was fetched, by source.
pub type Fetches = BTreeMap<Source, Fetched>;
