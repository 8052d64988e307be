//! Formats a report as metrics of Prometheus. Labels contain names and references, never a value.

use std::time::{SystemTime, UNIX_EPOCH};

use super::metrics_text::{Kind, Labels, MetricsText};
use super::report::{Action, Backend, Counters, ErrorClass, Operation, Report, SecretReport, SecretState, TokenReport};

/// The readiness, as `/readyz` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Ready,
    NotReady,
}

/// All metrics of a report.
pub(super) fn text(report: &Report, health: Health) -> String {
    let mut page = Page::default();
    page.process(report, health);
    page.secrets(&report.secrets);
    page.tokens(&report.tokens);
    page.counters(&report.counters, &report.tokens);
    page.0.into_text()
}

#[derive(Debug, Default)]
struct Page(MetricsText);

impl Page {
    /// Appends the metrics about the process.
    fn process(&mut self, report: &Report, health: Health) {
        let mut one = |name: &str, help: &str, labels: Labels<'_>, number: u64| {
            self.0.family(Kind::Gauge, name, help, [(labels, number)]);
        };
        let labels = vec![("version", report.version.as_str()), ("mode", report.mode.name())];
        one("secret_exec_build_info", "What is running; always 1.", labels, 1);
        one("secret_exec_start_timestamp_seconds", "When it started.", vec![], seconds(report.since));
        one(
            "secret_exec_ready",
            "1 when every secret is delivered and none has expired.",
            vec![],
            (health == Health::Ready).into(),
        );
        let help = "1 while what was fetched cannot be written (a full volume, a template).";
        one("secret_exec_undelivered", help, vec![], report.undelivered.is_some().into());
    }

    /// Appends the metrics about each secret.
    fn secrets(&mut self, secrets: &[SecretReport]) {
        let states = secrets.iter().flat_map(|secret| {
            SecretState::ALL.iter().map(move |state| {
                let mut labels = of_secret(secret);
                labels.push(("state", state.word()));
                (labels, (secret.state == *state).into())
            })
        });
        let help = "1 for the state a secret is in, 0 for the others.";
        self.0.family(Kind::Gauge, "secret_exec_secret_state", help, states);
        self.dates(
            "secret_exec_secret_expiry_timestamp_seconds",
            "When the secret's value dies; missing where it does not by itself.",
            secrets.iter().map(|secret| (of_secret(secret), secret.expires)),
        );
        self.dates(
            "secret_exec_secret_last_success_timestamp_seconds",
            "When the last request about the secret that succeeded was sent.",
            secrets.iter().map(|secret| (of_secret(secret), secret.last_success)),
        );
    }

    /// Appends the metrics about each login.
    fn tokens(&mut self, tokens: &[TokenReport]) {
        self.dates(
            "secret_exec_token_expiry_timestamp_seconds",
            "When the token ends; missing where it does not by itself.",
            tokens
                .iter()
                .map(|token| (vec![("backend", token.backend.word()), ("login", &*token.login)], token.expires)),
        );
    }

    /// Appends a family of times; samples without a time are omitted.
    fn dates<'a>(&mut self, name: &str, help: &str, samples: impl Iterator<Item = (Labels<'a>, Option<SystemTime>)>) {
        self.0.family(Kind::Gauge, name, help, samples.filter_map(|(labels, at)| Some((labels, seconds(at?)))));
    }

    /// Appends the counters.
    fn counters(&mut self, counters: &Counters, tokens: &[TokenReport]) {
        let mut family = |name: &str, help: &str, samples: Vec<(Labels<'static>, u64)>| {
            self.0.family(Kind::Counter, name, help, samples);
        };
        // Series that may occur start at 0: a rate does not see a series that begins with 1.
        let logins = tokens.iter().map(|token| (token.backend, Operation::Login));
        let requested = counters.requests.iter().map(|row| (row.backend, row.operation));
        let possible: Vec<(Backend, Operation)> = logins.chain(requested).collect();
        let of = |(backend, operation): (Backend, Operation)| {
            vec![("backend", backend.word()), ("operation", operation.word())]
        };
        let mut requests: Vec<_> = possible.iter().map(|what| (of(*what), 0)).collect();
        requests.extend(counters.requests.iter().map(|row| (of((row.backend, row.operation)), row.count)));
        family("secret_exec_requests_total", "Requests sent to a backend.", requests);

        let with = |what, class: ErrorClass| {
            let mut labels = of(what);
            labels.push(("class", class.word()));
            labels
        };
        let all = |what: &(Backend, Operation)| ErrorClass::ALL.iter().map(|class| (with(*what, *class), 0)).collect();
        let mut failures: Vec<_> = possible.iter().flat_map(|what| -> Vec<_> { all(what) }).collect();
        let counted = counters.failures.iter();
        failures.extend(counted.map(|row| (with((row.backend, row.operation), row.class), row.count)));
        family("secret_exec_request_failures_total", "Requests to a backend that failed.", failures);

        for (name, help, number) in [
            ("secret_exec_renewals_total", "Leases and tokens made to live longer.", counters.renewals),
            ("secret_exec_logins_total", "Tokens that were issued.", counters.logins),
            ("secret_exec_issued_total", "Credentials with a life of their own that were issued.", counters.issued),
            ("secret_exec_generations_total", "Generations of files made visible.", counters.generations),
            (
                "secret_exec_delivery_failures_total",
                "Attempts to make a generation visible that failed.",
                counters.delivery_failures,
            ),
        ] {
            family(name, help, vec![(vec![], number)]);
        }
        let none = || Action::ALL.iter().map(|action| (vec![("action", action.word())], 0));
        let rows = &counters.notifications;
        let notified = rows.iter().map(|row| (vec![("action", row.action.word())], row.count));
        family(
            "secret_exec_notifications_total",
            "Notifications of the app about a change.",
            none().chain(notified).collect(),
        );
        let failed = rows.iter().map(|row| (vec![("action", row.action.word())], row.failed));
        let help = "Notifications of the app that failed.";
        family("secret_exec_notification_failures_total", help, none().chain(failed).collect());
    }
}

/// The labels of a secret.
fn of_secret(secret: &SecretReport) -> Labels<'_> {
    vec![("name", secret.name.as_deref().unwrap_or_default()), ("reference", &secret.reference)]
}

/// Unix time in seconds; 0 for times before 1970.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
