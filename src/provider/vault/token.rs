//! The properties of a token, without the token itself.

use std::time::Duration;

/// The properties of a token. The secret itself stays inside [`super::Vault`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The server's public identifier of the token; batch tokens have none.
    pub accessor: Option<String>,
    /// The TTL, counted from the response; `None` when it does not end, or is unknown because its policy does not allow
    /// a look-up.
    pub ttl: Option<Duration>,
    /// Whether the server would renew it.
    pub renewable: bool,
    /// Batch tokens can be neither renewed nor revoked.
    pub kind: TokenKind,
    /// Who created it.
    pub origin: Origin,
    /// How many more requests it allows; `None` for any number.
    pub uses: Option<u64>,
}

impl Token {
    /// Whether the server refused the look-up of a token from a token file: its first use shows whether it is valid.
    pub(crate) fn is_unseen(&self) -> bool {
        self.origin == Origin::Foreign && self.accessor.is_none() && self.ttl.is_none()
    }
}

/// The accessor, if it can be written to a log line: short and printable, so that a hostile server cannot forge log
/// lines.
pub(crate) fn usable_accessor(text: String) -> Option<String> {
    const LONGEST: usize = 128;
    (!text.is_empty() && text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic())).then_some(text)
}

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Stored by the server.
    Service,
    /// Not stored by the server: encrypted data, valid until its end.
    Batch,
}

/// Who created the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Our login; we revoke it.
    Login,
    /// Another process, which keeps it alive; never revoked by us.
    Foreign,
}

/// The result of revoking a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, and with it its leases.
    Revoked,
    /// There was none to revoke: no login, or it was dead already.
    NoToken,
    /// It comes from a token file and was not revoked.
    Foreign,
    /// A batch token cannot be revoked: it stays valid until its TTL has passed.
    Batch {
        /// The TTL at the login.
        ttl: Option<Duration>,
    },
}

/// Where a token was issued: no other namespace knows it, and the next configuration may name another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Namespace {
    Root,
    Of(String),
}

impl Namespace {
    pub(crate) fn named(name: Option<&str>) -> Self {
        name.filter(|name| !name.is_empty()).map_or(Self::Root, |name| Self::Of(name.to_owned()))
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Root => None,
            Self::Of(name) => Some(name),
        }
    }
}
