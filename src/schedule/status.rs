//! The state of a schedule as shown to operators: for `status`, readiness and metrics. Times are since boot.

use std::time::Duration;

use crate::provider::Failure;

use super::work::{SecretId, TokenId, Work};

/// Whether a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It does, as far as is known.
    Answers,
    /// Unknown: a health check is under way or due.
    Unknown,
    /// It does not.
    Down,
}

/// The state of one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// When the next probe may start, if the backend is down.
    pub down_until: Option<Duration>,
    /// The token; `None` where there is no login.
    pub token: Option<TokenStatus>,
    /// The secrets, in the order they were added.
    pub secrets: Vec<SecretStatus>,
    /// Issue requests that ended without an answer: each may have created a credential that nobody uses, until the
    /// token ends.
    pub unanswered_issues: u64,
    /// Requests under way.
    pub under_way: usize,
}

/// The state of the login token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// The current login; `None`: not logged in.
    pub id: Option<TokenId>,
    /// When it ends; `None`: it does not.
    pub expires: Option<Duration>,
    /// The next request about it, and when it is due (not before a probe, while the backend is down).
    pub next: Option<(Work, Duration)>,
    /// The last failure since the last success.
    pub last_error: Option<Failure>,
    /// How many old tokens are not revoked yet.
    pub handing_over: usize,
}

/// The state of one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretStatus {
    /// The secret.
    pub id: SecretId,
    /// Its state.
    pub state: State,
    /// The next request about it, and when it is due (not before a probe, while the backend is down); `None`: none any
    /// more.
    pub next: Option<(Work, Duration)>,
    /// When the value that the app has expires: the earlier end of lease and token; `None`: never.
    pub expires: Option<Duration>,
    /// When the last successful request was sent.
    pub last_success: Option<Duration>,
    /// The last failure since then.
    pub last_error: Option<Failure>,
}

/// The state of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Never fetched.
    Pending,
    /// Valid, and the last request about it succeeded.
    Fresh,
    /// Valid, but the last request about it failed.
    Failing,
    /// Reported as expired, and not replaced yet.
    Expired,
}
