//! What is known of the token we hold, but not the token.

use std::time::Duration;

/// The facts of a login. The token itself stays inside [`super::Vault`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The server's public name of it; batch tokens have none.
    pub accessor: Option<String>,
    /// How long it lives from the answer on; `None` when it does not end, or its policy does not let it look.
    pub ttl: Option<Duration>,
    /// Whether the server would renew it.
    pub renewable: bool,
    /// Batch tokens can be neither renewed nor revoked.
    pub kind: TokenKind,
    /// Whose it is.
    pub origin: Origin,
    /// How many requests it is good for from the answer on; `None` is any number.
    pub uses: Option<u64>,
}

/// An accessor, which stands in log lines; what is none (a server that is not what it seems) must not make lines of its own.
pub(crate) fn usable_accessor(text: String) -> Option<String> {
    const LONGEST: usize = 128;
    (!text.is_empty() && text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic())).then_some(text)
}

/// What kind of token the server made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Kept by the server.
    Service,
    /// Nothing but an encrypted text, good until its end.
    Batch,
}

/// Who created the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Our login: we revoke it.
    Login,
    /// Somebody else, who keeps it alive: never revoked by us.
    Foreign,
}

/// What became of a token that was to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is gone, and its leases with it.
    Revoked,
    /// There was none: no login, or it was dead already.
    NoToken,
    /// It is somebody else's and stays.
    Foreign,
    /// A batch token cannot be revoked: it lives on for what is left of this.
    Batch {
        /// As of the login.
        ttl: Option<Duration>,
    },
}
