//! What a running supervisor or sidecar reports about itself, and what its servers need from it.
//!
//! The running process builds a [`Report`] when it is requested; `status`, health and metrics use it. It contains names
//! and references, and has no field for a value.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::domain::Mode;

use super::time;

/// Defines an enum with a fixed word for each variant, used in JSON, labels and tables.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// All variants.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word of the variant.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// A backend.
    Backend {
        /// Vault or OpenBao.
        Vault = "vault",
        /// Secrets Manager.
        Aws = "aws",
        /// Mounted files.
        File = "file",
        /// The local file in place of every backend.
        Local = "local",
    }
}

words! {
    /// A kind of request.
    Operation {
        /// A login for a new token.
        Login = "login",
        /// The renewal of the token.
        RenewToken = "renew_token",
        /// A check whether the token is alive.
        CheckToken = "check_token",
        /// A check whether the server is alive.
        CheckHealth = "check_health",
        /// The renewal of a lease.
        Renew = "renew",
        /// The issue of a credential, which may be a new one each time.
        Issue = "issue",
        /// A read of a value that stays the same until it is changed on the server.
        Read = "read",
        /// A read of the version only.
        Describe = "describe",
        /// The revocation of a token or lease.
        Revoke = "revoke",
    }
}

words! {
    /// The class of a failure.
    ErrorClass {
        /// No connection, a connection that ended early, 5xx, sealed, standby.
        Transient = "transient",
        /// The backend limits requests.
        Throttled = "throttled",
        /// Denied.
        Denied = "denied",
        /// The secret does not exist.
        NotFound = "not_found",
        /// A response or value that cannot be used.
        Malformed = "malformed",
        /// A local failure: a full volume, a template.
        Local = "local",
    }
}

words! {
    /// The state of a secret.
    SecretState {
        /// Not delivered yet.
        Waiting = "waiting",
        /// Delivered and valid; the last request about it succeeded.
        Fresh = "fresh",
        /// Delivered and still valid, but the last request about it failed.
        Stale = "stale",
        /// The delivered value has expired.
        Expired = "expired",
    }
}

words! {
    /// How the app is notified of a change.
    Action {
        /// A signal.
        Signal = "signal",
        /// The app is restarted.
        Restart = "restart",
        /// A command is run.
        Run = "run",
        /// An HTTP POST.
        Http = "http",
    }
}

/// The full report, built at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The program's version.
    pub version: String,
    /// The mode that is running.
    pub mode: Mode,
    /// Its process ID.
    pub pid: u32,
    /// When it started.
    #[serde(with = "time")]
    pub since: SystemTime,
    /// The current generation of files; `None` before the first, or where no file is written.
    pub generation: Option<String>,
    /// Why fetched values could not be delivered (a full volume, a template); `None` when they are.
    pub undelivered: Option<FailureReport>,
    /// The tokens, one for each login.
    pub tokens: Vec<TokenReport>,
    /// One entry for each source, in the order of the config.
    pub secrets: Vec<SecretReport>,
    /// The counters since the start.
    pub counters: Counters,
}

/// The token of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenReport {
    /// The backend.
    pub backend: Backend,
    /// The login for messages: `kubernetes (role web, mount kubernetes)`.
    pub login: String,
    /// The token's accessor, as in the server's audit log; `None` when not logged in or for a batch token.
    pub accessor: Option<String>,
    /// When it ends; `None`: it does not, or there is none.
    #[serde(with = "time::maybe")]
    pub expires: Option<SystemTime>,
    /// The next request about it.
    pub next: Option<Next>,
    /// The last failure since the last success.
    pub last_error: Option<FailureReport>,
}

/// A source that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReport {
    /// Its name under `secrets`.
    pub name: Option<String>,
    /// The reference, without a key.
    pub reference: String,
    /// The state.
    pub state: SecretState,
    /// The delivered version, where the backend has versions.
    pub version: Option<String>,
    /// The lease ID of the delivered value, shortened as in log lines.
    pub lease: Option<String>,
    /// When the last successful request was sent.
    #[serde(with = "time::maybe")]
    pub last_success: Option<SystemTime>,
    /// The next request about it; `None` when there is none any more.
    pub next: Option<Next>,
    /// When the delivered value expires: the earlier end of lease and token; `None`: never.
    #[serde(with = "time::maybe")]
    pub expires: Option<SystemTime>,
    /// The last failure since the last success.
    pub last_error: Option<FailureReport>,
}

/// The next request, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// The request.
    pub action: Operation,
    /// The earliest time.
    #[serde(with = "time")]
    pub at: SystemTime,
}

/// A failure, and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// Its class.
    pub class: ErrorClass,
    /// The reason and what to do, as in log lines; never a value.
    pub why: String,
    /// When it happened.
    #[serde(with = "time")]
    pub at: SystemTime,
}

/// Counters since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Requests sent, incremented by [`Self::request`].
    pub requests: Vec<Requests>,
    /// Requests that failed, incremented by [`Self::failure`].
    pub failures: Vec<Failures>,
    /// Renewals of leases and tokens.
    pub renewals: u64,
    /// Tokens issued by logins.
    pub logins: u64,
    /// Credentials issued with a lease or an expiry.
    pub issued: u64,
    /// Generations made visible.
    pub generations: u64,
    /// Failed attempts to deliver a generation.
    pub delivery_failures: u64,
    /// Notifications of the app, incremented by [`Self::notified`].
    pub notifications: Vec<Notifications>,
}

/// The number of requests of one kind to one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// The backend.
    pub backend: Backend,
    /// The kind of request.
    pub operation: Operation,
    /// The number.
    pub count: u64,
}

/// The number of failures of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The backend.
    pub backend: Backend,
    /// The kind of request.
    pub operation: Operation,
    /// The class.
    pub class: ErrorClass,
    /// The number.
    pub count: u64,
}

/// The number of notifications of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    /// The kind.
    pub action: Action,
    /// The number of attempts.
    pub count: u64,
    /// The number of failed attempts.
    pub failed: u64,
}

/// The result of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyResult {
    /// It was sent.
    Yes,
    /// It failed.
    Failed,
}

impl Counters {
    /// Counts a request that is sent.
    pub fn request(&mut self, backend: Backend, operation: Operation) {
        match self.requests.iter_mut().find(|row| row.backend == backend && row.operation == operation) {
            Some(row) => row.count += 1,
            None => self.requests.push(Requests { backend, operation, count: 1 }),
        }
    }

    /// Counts a failed request.
    pub fn failure(&mut self, backend: Backend, operation: Operation, class: ErrorClass) {
        let same = |row: &Failures| row.backend == backend && row.operation == operation && row.class == class;
        match self.failures.iter_mut().find(|row| same(row)) {
            Some(row) => row.count += 1,
            None => self.failures.push(Failures { backend, operation, class, count: 1 }),
        }
    }

    /// Counts a notification.
    pub fn notified(&mut self, action: Action, result: NotifyResult) {
        let failed = u64::from(result == NotifyResult::Failed);
        match self.notifications.iter_mut().find(|row| row.action == action) {
            Some(row) => {
                row.count += 1;
                row.failed += failed;
            }
            None => self.notifications.push(Notifications { action, count: 1, failed }),
        }
    }
}

impl Report {
    /// Why the process is not ready, one line for each secret that is not delivered or has expired. Empty if it is
    /// ready.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.secrets.iter().filter_map(SecretReport::not_ready).collect();
        if let Some(trouble) = self.undelivered.as_ref().filter(|_| self.counters.generations == 0) {
            reasons.push(format!("nothing is delivered: {}", trouble.why));
        }
        reasons
    }
}

impl SecretReport {
    /// The secret's name, or else its reference.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.reference)
    }

    /// Why this secret keeps the process from being ready.
    fn not_ready(&self) -> Option<String> {
        let state = match self.state {
            SecretState::Fresh | SecretState::Stale => return None,
            SecretState::Waiting => "is not delivered yet",
            SecretState::Expired => "has expired",
        };
        let why = self.last_error.as_ref().map_or(String::new(), |error| format!(": {} ({})", error.why, error.class));
        Some(format!("{} {state}{why}", self.title()))
    }
}

/// The result of a request to refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// Every value that is read (not issued) is being read again.
    Started,
    /// The last refresh was too recent.
    TooSoon {
        /// How long to wait.
        wait: Duration,
    },
}

/// What the servers need of the running process. Single-threaded; none of it blocks.
pub trait Running {
    /// The current report.
    fn report(&self) -> Report;
    /// Starts a refresh. Limited by [`Pace`].
    fn refresh(&self) -> Refreshed;
    /// The references that a refresh does not read again, because that would issue new credentials.
    fn not_refreshed(&self) -> Vec<String> {
        Vec::new()
    }
    /// Whether every secret is delivered and none has expired; the same as an empty [`Report::not_ready`].
    fn is_ready(&self) -> bool;
}

/// A rate limit: lets something happen at most once in an interval.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    last: Option<Duration>,
}

impl Pace {
    /// The interval of refreshes on demand.
    pub const REFRESH: Duration = Duration::from_secs(10);

    /// At most once in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Requests to act at `now` (time since boot). If the result is [`Refreshed::Started`], the interval begins anew.
    pub fn ask(&mut self, now: Duration) -> Refreshed {
        let wait = self.last.map_or(Duration::ZERO, |last| last.saturating_add(self.every).saturating_sub(now));
        if wait > Duration::ZERO {
            return Refreshed::TooSoon { wait };
        }
        self.last = Some(now);
        Refreshed::Started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_json_and_in_labels() {
        for class in ErrorClass::ALL {
            assert_eq!(serde_json::to_string(class).unwrap(), format!("{:?}", class.word()));
        }
        assert_eq!(serde_json::from_str::<Operation>("\"renew_token\"").unwrap(), Operation::RenewToken);
    }

    #[test]
    fn a_pace_lets_one_through_and_tells_the_next_how_long_to_wait() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let at = Duration::from_secs;
        assert_eq!(pace.ask(at(3)), Refreshed::Started);
        assert_eq!(pace.ask(at(4)), Refreshed::TooSoon { wait: at(9) });
        assert_eq!(pace.ask(at(12)), Refreshed::TooSoon { wait: at(1) }, "asking does not make it longer");
        assert_eq!(pace.ask(at(13)), Refreshed::Started);
        assert_eq!(pace.ask(at(14)), Refreshed::TooSoon { wait: at(9) });
    }

    #[test]
    fn equal_things_are_counted_together() {
        let mut counters = Counters::default();
        for operation in [Operation::Read, Operation::Read, Operation::Login] {
            counters.request(Backend::Vault, operation);
        }
        counters.request(Backend::Aws, Operation::Read);
        let counts: Vec<_> = counters.requests.iter().map(|row| (row.backend, row.operation, row.count)).collect();
        let expected = [(Backend::Vault, Operation::Read, 2), (Backend::Vault, Operation::Login, 1)];
        assert_eq!(counts[..2], expected);
        assert_eq!(counts[2..], [(Backend::Aws, Operation::Read, 1)]);
        counters.notified(Action::Run, NotifyResult::Yes);
        counters.notified(Action::Run, NotifyResult::Failed);
        assert_eq!(counters.notifications, [Notifications { action: Action::Run, count: 2, failed: 1 }]);
    }
}
