//! Builds the status report of rotation on request, from counters that are updated as things happen.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::backend::{Backend, Kind};
use crate::domain::{Fetched, Mode, Source, Version};
use crate::provider::{Class, Extent, Failure};
use crate::schedule::{BackendId, SecretId, SecretStatus, State, Work};
use crate::serve::{
    Backend as Whose, Counters, ErrorClass, FailureReport, Next, Operation, Report, SecretReport, SecretState,
    TokenReport,
};
use crate::sys::clock;

use super::outage::Outage;
use super::{Rotation, log};

/// Data kept only for the status and the metrics.
#[derive(Debug)]
pub(super) struct Statistics {
    pub(super) counters: Counters,
    since: SystemTime,
    /// The version of each value that was fetched last.
    pub(super) versions: BTreeMap<Source, String>,
    /// What the app has, where a newer value waits to be delivered.
    before: BTreeMap<Source, Delivered>,
    /// When the last failure of each secret happened; without a secret: of the login.
    failed: BTreeMap<(BackendId, Option<SecretId>), Duration>,
}

/// How a delivered value is shown.
#[derive(Debug, Clone)]
struct Delivered {
    version: Option<String>,
    lease: Option<String>,
}

impl Statistics {
    pub(super) fn new() -> Self {
        Self {
            counters: Counters::default(),
            since: clock::wall(),
            versions: BTreeMap::new(),
            before: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Remembers what the app has, before a newer value with another version and lease is accepted.
    pub(super) fn keep_delivered(&mut self, source: &Source, lease: Option<String>) {
        let version = self.versions.get(source).cloned();
        self.before.insert(source.clone(), Delivered { version, lease });
    }

    /// Records that the app has the latest values.
    pub(super) fn delivered(&mut self) {
        self.before.clear();
    }

    /// Records the version of a fetched value.
    pub(super) fn version(&mut self, source: &Source, version: Option<&Version>) {
        if let Some(version) = version {
            self.versions.insert(source.clone(), version.0.clone());
        }
    }

    /// Counts the login of the start.
    pub(super) fn first_login(&mut self, backend: &Backend) {
        self.counters.request(backend_kind(backend), Operation::Login);
        self.counters.logins += 1;
    }

    /// Counts a fetch of the start.
    pub(super) fn first_fetch(&mut self, backend: &Backend, fetched: &Fetched) {
        let operation = if fetched.lease.is_some() { Operation::Issue } else { Operation::Read };
        self.counters.request(backend_kind(backend), operation);
        self.counters.issued += u64::from(fetched.lease.is_some());
    }

    /// Counts a request.
    pub(super) fn started(&mut self, backend: &Backend, work: Work) {
        self.counters.request(backend_kind(backend), operation(work));
    }

    /// Counts a failed request.
    pub(super) fn failed(&mut self, id: BackendId, backend: &Backend, work: Work, failure: &Failure, now: Duration) {
        self.counters.failure(backend_kind(backend), operation(work), class(&failure.class));
        self.failed.insert((id, work.secret()), now);
    }
}

impl Rotation<'_> {
    /// The references that a refresh does not read again, because that would issue a new credential.
    pub(crate) fn not_refreshed(&self) -> Vec<String> {
        let schedules: BTreeMap<BackendId, _> =
            self.schedules.driver.backends().map(|(id, schedule, _)| (id, schedule)).collect();
        let placed = self.plan.sources.iter().zip(&self.schedules.places);
        let left = placed.filter(|(_, (backend, id))| !schedules[backend].is_refreshed(*id));
        left.map(|(planned, _)| planned.shown.clone()).collect()
    }

    /// The full status report as of `now`.
    pub(crate) fn report(&self, mode: Mode, now: Duration) -> Report {
        let date = Date { now, wall: clock::wall() };
        let mut secrets: BTreeMap<usize, SecretReport> = BTreeMap::new();
        let mut tokens = Vec::new();
        for (id, schedule, backend) in self.schedules.driver.backends() {
            let status = schedule.status(now);
            if let (Some(token), Kind::Vault(logins)) = (&status.token, &backend.kind) {
                tokens.push(TokenReport {
                    backend: backend_kind(backend),
                    login: logins.auth.to_string(),
                    accessor: logins.current().and_then(|vault| vault.token()?.accessor),
                    expires: token.expires.map(|at| date.of(at)),
                    next: token.next.map(|(work, at)| Next { action: operation(work), at: date.of(at) }),
                    last_error: self.trouble(id, backend, None, token.last_error.as_ref(), &date),
                });
            }
            for secret in &status.secrets {
                secrets.insert(self.source_of(id, secret.id), self.secret_report(id, backend, secret, &date));
            }
        }
        let undelivered = self.files.delivery.trouble().map(|text| local_trouble(text, &date));
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode,
            pid: std::process::id(),
            since: self.statistics.since,
            generation: self.files.delivery.generation.clone(),
            undelivered,
            tokens,
            secrets: secrets.into_values().collect(),
            counters: self.statistics.counters.clone(),
        }
    }

    /// The report about one secret.
    fn secret_report(&self, id: BackendId, backend: &Backend, secret: &SecretStatus, date: &Date) -> SecretReport {
        let index = self.source_of(id, secret.id);
        let planned = &self.plan.sources[index];
        let local = self.files.delivery.trouble().filter(|_| self.files.delivery.is_waiting(index));
        let local = local.map(|text| local_trouble(text, date));
        let Delivered { version, lease } = match self.statistics.before.get(&planned.source) {
            Some(before) => before.clone(),
            None => Delivered {
                version: self.statistics.versions.get(&planned.source).cloned(),
                lease: backend.lease(secret.id).map(|lease| log::short(&lease.id)),
            },
        };
        SecretReport {
            name: planned.name.clone(),
            reference: planned.source.to_string(),
            state: match (&local, state(secret)) {
                (Some(_), SecretState::Fresh) => SecretState::Stale,
                (_, state) => state,
            },
            version,
            lease,
            last_success: secret.last_success.map(|at| date.of(at)),
            next: secret.next.map(|(work, at)| Next { action: operation(work), at: date.of(at) }),
            expires: secret.expires.map(|at| date.of(at)),
            last_error: local.or_else(|| self.trouble(id, backend, Some(secret.id), secret.last_error.as_ref(), date)),
        }
    }

    /// The last failure of a secret or, without one, of the login. During an outage of Vault this is the outage's last
    /// failure, because only one request at a time finds out the reason. (Regions of Secrets Manager fail
    /// independently.)
    fn trouble(
        &self,
        id: BackendId,
        backend: &Backend,
        secret: Option<SecretId>,
        failure: Option<&Failure>,
        date: &Date,
    ) -> Option<FailureReport> {
        let failure = failure?;
        let own = (failure, self.statistics.failed.get(&(id, secret)).copied().unwrap_or(date.now));
        let outage = self.failures.outages.get(&id).filter(|_| matches!(backend.kind, Kind::Vault(_)));
        let shared =
            outage.and_then(Outage::reason).filter(|_| matches!(failure.extent, Extent::Backend | Extent::Unclear));
        let (failure, at) = shared.unwrap_or(own);
        Some(FailureReport { class: class(&failure.class), why: failure.why.clone(), at: date.of(at) })
    }
}

/// A local failure in the form of the report.
fn local_trouble(text: &str, date: &Date) -> FailureReport {
    FailureReport { class: ErrorClass::Local, why: text.to_owned(), at: date.wall }
}

/// The time since boot and the wall-clock time of the same moment.
struct Date {
    now: Duration,
    wall: SystemTime,
}

impl Date {
    /// Converts a time since boot to wall-clock time.
    fn of(&self, boot: Duration) -> SystemTime {
        let moved = match boot.checked_sub(self.now) {
            Some(later) => self.wall.checked_add(later),
            None => self.wall.checked_sub(self.now.saturating_sub(boot)),
        };
        moved.unwrap_or(self.wall)
    }
}

/// A secret's state in reports.
fn state(secret: &SecretStatus) -> SecretState {
    match secret.state {
        State::Pending => SecretState::Waiting,
        State::Fresh => SecretState::Fresh,
        State::Failing => SecretState::Stale,
        State::Expired => SecretState::Expired,
    }
}

/// The backend in the counters.
pub(super) fn backend_kind(backend: &Backend) -> Whose {
    match &backend.kind {
        Kind::Vault(_) => Whose::Vault,
        Kind::Aws(_) => Whose::Aws,
        Kind::Files(_) => Whose::File,
        Kind::Local(_) => Whose::Local,
    }
}

/// The operation in reports.
fn operation(work: Work) -> Operation {
    match work {
        Work::Login(_) => Operation::Login,
        Work::RenewToken => Operation::RenewToken,
        Work::CheckToken => Operation::CheckToken,
        Work::CheckHealth => Operation::CheckHealth,
        Work::RevokeOldToken(_) => Operation::Revoke,
        Work::Renew(_) => Operation::Renew,
        Work::Issue(_) => Operation::Issue,
        Work::Read(_) => Operation::Read,
    }
}

/// The class of a failure in reports.
fn class(class: &Class) -> ErrorClass {
    match class {
        Class::Transient => ErrorClass::Transient,
        Class::Throttled { .. } => ErrorClass::Throttled,
        Class::Denied => ErrorClass::Denied,
        Class::NotFound => ErrorClass::NotFound,
        Class::Malformed | Class::Misconfigured => ErrorClass::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_since_boot_is_shown_as_a_date_on_either_side_of_now() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let date = Date { now: Duration::from_secs(100), wall };
        assert_eq!(date.of(Duration::from_secs(160)), wall + Duration::from_secs(60));
        assert_eq!(date.of(Duration::from_secs(40)), wall - Duration::from_secs(60));
        assert_eq!(date.of(Duration::MAX), wall, "what no date can show is now");
    }

    #[test]
    fn every_kind_of_work_and_of_failure_has_its_own_label() {
        let id = SecretId(0);
        let work = [Work::Renew(id), Work::Issue(id), Work::Read(id), Work::RenewToken, Work::CheckToken];
        let operations: Vec<_> = work.map(operation).map(|operation| format!("{operation:?}")).into();
        assert_eq!(operations, ["Renew", "Issue", "Read", "RenewToken", "CheckToken"]);
        assert!(matches!(class(&Class::Throttled { retry_after: None }), ErrorClass::Throttled));
        assert!(matches!(class(&Class::NotFound), ErrorClass::NotFound));
    }
}
