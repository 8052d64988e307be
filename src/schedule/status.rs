//! What an operator may see of a schedule: for `status`, readiness and metrics. Times count from boot.

use std::time::Duration;

use crate::provider::Failure;

use super::work::{SecretId, TokenId, Work};

/// Whether a server answers anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It does, as far as is known.
    Answers,
    /// Its health decides: that is asked, or about to be.
    Unknown,
    /// It does not.
    Down,
}

/// One backend's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Since the last answer the backend failed for everybody; the next probe comes then.
    pub down_until: Option<Duration>,
    /// `None` where there is no login.
    pub token: Option<TokenStatus>,
    /// In the order they were added.
    pub secrets: Vec<SecretStatus>,
    /// Issues that ended without an answer: each may have left a credential behind that dies with the token.
    pub unanswered_issues: u64,
    /// Requests under way.
    pub under_way: usize,
}

/// The token's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// The current one; `None`: not logged in.
    pub id: Option<TokenId>,
    /// When it ends.
    pub expires: Option<Duration>,
    /// What is done next about it, and when (not before a probe, while the backend is down).
    pub next: Option<(Work, Duration)>,
    /// What went wrong since the last success.
    pub last_error: Option<Failure>,
    /// How many old ones are not revoked yet.
    pub handing_over: usize,
}

/// One secret's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretStatus {
    /// Which one.
    pub id: SecretId,
    /// How it stands.
    pub state: State,
    /// What is done next about it, and when (not before a probe, while the backend is down); `None`: nothing any more.
    pub next: Option<(Work, Duration)>,
    /// When its value dies: the earlier end of lease and token; `None`: not by itself.
    pub expires: Option<Duration>,
    /// When the last request that succeeded was sent.
    pub last_success: Option<Duration>,
    /// What went wrong since then.
    pub last_error: Option<Failure>,
}

/// How a secret stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Never fetched.
    Pending,
    /// Valid, and the last request about it succeeded.
    Fresh,
    /// Valid, but the last request about it failed.
    Failing,
    /// Told expired, and not replaced.
    Expired,
}
