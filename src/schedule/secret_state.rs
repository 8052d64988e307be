//! What one secret reports and needs, in words that its schedule shares.

use std::time::Duration;

use super::work::TokenId;

/// Whether an expiry was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    None,
    /// Seen expired at this time, not yet reported.
    Seen(Duration),
    /// It had already expired before this schedule began: reported without delay.
    Overdue,
    Reported,
}

/// When a value ends: at its own end, or earlier with the token that it was issued under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValueEnd {
    pub(super) at: Duration,
    pub(super) token: Option<TokenId>,
}

/// Which value the app has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The latest one.
    Latest,
    /// An earlier one (or none) that ends so; the latest one waits to be delivered.
    Earlier(Option<ValueEnd>, Delivering),
}

/// The state of a delivery that has not succeeded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivering {
    Waits,
    HasFailed,
}

/// The request that a secret needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Renew,
    Issue,
    Read,
}

/// Whether the server answers, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Answers,
    IsDown,
}

/// What a refusal means for the token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DenialMeaning {
    /// Nothing: it concerns this secret only.
    Own,
    /// The secret was not denied before, so the token may be dead.
    Suspicious,
}
