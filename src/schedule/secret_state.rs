//! What one secret reports and needs, in words that its schedule shares.

use std::time::Duration;

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

/// Whether the latest value is delivered to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Not,
    Delivered,
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
