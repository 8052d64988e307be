//! What a running supervisor or sidecar says of itself, and what the servers ask of it.
//!
//! Who serves fills a [`Report`] at one moment and hands it over; `status`, health and metrics are three readers of it.
//! It speaks of names and references and has no place for a value.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::domain::Mode;

use super::time;

/// A closed set of words, the same in JSON, in labels and in tables.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is written everywhere.
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
    /// Whom requests go to.
    Backend {
        /// Vault or OpenBao.
        Vault = "vault",
        /// Secrets Manager.
        Aws = "aws",
        /// Files already mounted.
        File = "file",
        /// The file that answers instead of any backend.
        Local = "local",
    }
}

words! {
    /// One kind of request.
    Operation {
        /// A new token.
        Login = "login",
        /// The token lives longer.
        RenewToken = "renew_token",
        /// Whether the token lives.
        CheckToken = "check_token",
        /// Whether the server lives.
        CheckHealth = "check_health",
        /// A lease lives longer.
        Renew = "renew",
        /// A new credential, which may be another one each time.
        Issue = "issue",
        /// A value that is the same until somebody changes it.
        Read = "read",
        /// Only its version.
        Describe = "describe",
        /// A token or a lease ends.
        Revoke = "revoke",
    }
}

words! {
    /// What kind of failure it was.
    ErrorClass {
        /// No connection, cut short, 5xx, sealed, standby.
        Transient = "transient",
        /// The backend asks for patience.
        Throttled = "throttled",
        /// Refused.
        Denied = "denied",
        /// Nothing there.
        NotFound = "not_found",
        /// An answer or a value that cannot be used.
        Malformed = "malformed",
        /// Ours alone: a full volume, a template.
        Local = "local",
    }
}

words! {
    /// How a secret stands.
    SecretState {
        /// Not delivered yet.
        Waiting = "waiting",
        /// Delivered and valid; the last request about it succeeded.
        Fresh = "fresh",
        /// Delivered and still valid, but the last request about it failed.
        Stale = "stale",
        /// What was delivered is valid no more.
        Expired = "expired",
    }
}

words! {
    /// How the app is told of a change.
    Action {
        /// A signal.
        Signal = "signal",
        /// The app stops and starts.
        Restart = "restart",
        /// A command.
        Run = "run",
        /// A POST.
        Http = "http",
    }
}

/// All of it, taken at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The program's version.
    pub version: String,
    /// Who is running.
    pub mode: Mode,
    /// Its process.
    pub pid: u32,
    /// When it started.
    #[serde(with = "time")]
    pub since: SystemTime,
    /// The generation everybody reads now; `None` before the first, or where no file is written.
    pub generation: Option<String>,
    /// Why what was fetched is not on disk (a full volume, a template); `None` when it is.
    pub undelivered: Option<Trouble>,
    /// One per login.
    pub tokens: Vec<TokenReport>,
    /// One per fetch, named or not, in the order of the config.
    pub secrets: Vec<SecretReport>,
    /// Since the start.
    pub counters: Counters,
}

/// One login's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenReport {
    /// Whose.
    pub backend: Backend,
    /// How we log in, as an operator knows it: `kubernetes (role web, mount kubernetes)`.
    pub login: String,
    /// Its accessor, which audit logs show too; never the token. `None`: not logged in, or it has none.
    pub accessor: Option<String>,
    /// When it ends; `None`: not by itself, or not logged in.
    #[serde(with = "time::maybe")]
    pub expires: Option<SystemTime>,
    /// What is done next about it.
    pub next: Option<Next>,
    /// What went wrong since the last success.
    pub last_error: Option<Trouble>,
}

/// One fetch: a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReport {
    /// Its name under `secrets`.
    pub name: Option<String>,
    /// Where it is, without a key.
    pub reference: String,
    /// How it stands.
    pub state: SecretState,
    /// The delivered version, where the backend has versions.
    pub version: Option<String>,
    /// The lease, shortened as in log lines.
    pub lease: Option<String>,
    /// When the last request that succeeded was sent.
    #[serde(with = "time::maybe")]
    pub last_success: Option<SystemTime>,
    /// What is done next about it; `None`: nothing any more.
    pub next: Option<Next>,
    /// When its value dies: the earlier end of lease and token; `None`: not by itself.
    #[serde(with = "time::maybe")]
    pub expires: Option<SystemTime>,
    /// What went wrong since the last success.
    pub last_error: Option<Trouble>,
}

/// What comes next, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// What.
    pub action: Operation,
    /// Not before.
    #[serde(with = "time")]
    pub at: SystemTime,
}

/// What went wrong, when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What kind it was.
    pub class: ErrorClass,
    /// Why and what to do, as in log lines; never a value.
    pub why: String,
    /// When.
    #[serde(with = "time")]
    pub at: SystemTime,
}

/// What happened since the start. Numbers only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Requests that were sent. Count with [`Self::request`].
    pub requests: Vec<Requests>,
    /// Requests that failed. Count with [`Self::failure`].
    pub failures: Vec<Failures>,
    /// Leases and tokens that were made to live longer.
    pub renewals: u64,
    /// Tokens.
    pub logins: u64,
    /// Credentials with a life of their own.
    pub issued: u64,
    /// Generations made visible.
    pub generations: u64,
    /// Attempts to make one visible that failed.
    pub delivery_failures: u64,
    /// The app was told of a change. Count with [`Self::notified`].
    pub notifications: Vec<Notifications>,
}

/// How often one thing was asked of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Whom.
    pub backend: Backend,
    /// What.
    pub operation: Operation,
    /// How often.
    pub count: u64,
}

/// How often that failed in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// Whose.
    pub backend: Backend,
    /// Of what.
    pub operation: Operation,
    /// In which way.
    pub class: ErrorClass,
    /// How often.
    pub count: u64,
}

/// How often the app was told in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    /// In which way.
    pub action: Action,
    /// How often.
    pub count: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// How an attempt to tell the app ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyResult {
    /// It was told.
    Yes,
    /// It could not be.
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

    /// Counts a request that failed.
    pub fn failure(&mut self, backend: Backend, operation: Operation, class: ErrorClass) {
        let same = |row: &Failures| row.backend == backend && row.operation == operation && row.class == class;
        match self.failures.iter_mut().find(|row| same(row)) {
            Some(row) => row.count += 1,
            None => self.failures.push(Failures { backend, operation, class, count: 1 }),
        }
    }

    /// Counts an attempt to tell the app.
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
    /// One line per reason why this is not ready: every secret is delivered, and none expired. Empty: ready.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.secrets.iter().filter_map(SecretReport::not_ready).collect();
        if let Some(trouble) = self.undelivered.as_ref().filter(|_| self.counters.generations == 0) {
            reasons.push(format!("nothing is delivered: {}", trouble.why));
        }
        reasons
    }
}

impl SecretReport {
    /// Its name, else its reference.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.reference)
    }

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

/// What came of asking for a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// Everything that can be read again is being read now. What a read would issue anew is left alone.
    Started,
    /// The last one was a moment ago.
    TooSoon {
        /// How long to wait.
        wait: Duration,
    },
}

/// What the two servers ask of the process they serve. All in one thread; no answer waits for anything.
pub trait Running {
    /// How it is, now.
    fn report(&self) -> Report;
    /// Reads everything again, soon. See [`Pace`].
    fn refresh(&self) -> Refreshed;
    /// The references that a refresh does not read again, because that would issue something anew.
    fn not_refreshed(&self) -> Vec<String> {
        Vec::new()
    }
    /// Whether every secret is delivered and none expired. Agrees with [`Report::not_ready`].
    fn is_ready(&self) -> bool;
}

/// Lets something happen at most once in a while, whoever asks.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    last: Option<Duration>,
}

impl Pace {
    /// Of a refresh somebody asks for.
    pub const REFRESH: Duration = Duration::from_secs(10);

    /// At most once in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Asks at `now` (since boot). [`Refreshed::Started`] counts as done.
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
