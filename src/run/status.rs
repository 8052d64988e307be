//! `status` and `refresh`: send a request to the sidecar or supervisor of a state directory, and print its response.

use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::domain::{Diagnostic, Exit, printable};
use crate::serve::{
    self, Answer, Ask, AskError, FailureReport, Next, Report, SecretReport, SecretState, Status, TokenReport,
};
use crate::start::runtime;
use crate::sys::clock;

use super::check::NO_END;
use super::table::aligned;

/// The timeout for the response, which comes from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What `status` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Tables.
    Table,
    /// One JSON object.
    Json,
    /// Nothing: only the exit code matters.
    Readiness,
}

/// The text to print, and the problems if it is not ready.
pub fn status(config: &Config, shown: Shown) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
    match (ask(config, if shown == Shown::Readiness { Ask::Ready } else { Ask::Status })?, shown) {
        (Answer::Ready { reasons }, Shown::Readiness) => Ok((String::new(), not_ready(&reasons))),
        (Answer::Status(status), Shown::Json) => Ok((json(&*status), unready(&status))),
        (Answer::Status(status), Shown::Table) => Ok((table(&status, clock::wall()), unready(&status))),
        _ => Err(vec![unexpected_reply()]),
    }
}

/// What `refresh` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// A sentence.
    Line,
    /// One JSON object.
    Json,
}

/// The text to print, and a problem if the last refresh was too recent.
pub fn refresh(config: &Config, shown: Refresh) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
    let Answer::Refreshed { wait_seconds, not_read } = ask(config, Ask::Refresh)? else {
        return Err(vec![unexpected_reply()]);
    };
    let text = match (shown, wait_seconds) {
        (Refresh::Json, wait) => {
            json(&serde_json::json!({ "refreshed": wait.is_none(), "waitSeconds": wait, "notRead": not_read }))
        }
        (Refresh::Line, None) if not_read.is_empty() => {
            "reading again what has no lease, and trying at once what failed; status shows what comes of it\n"
                .to_owned()
        }
        (Refresh::Line, None) => {
            let names: String = not_read.iter().map(|name| format!("  {}\n", printable(name))).collect();
            format!(
                "reading again what has no lease, and trying at once what failed; status shows what comes of it; \
                 not read again, because that would issue them anew:\n{names}"
            )
        }
        (Refresh::Line, Some(_)) => String::new(),
    };
    let problems = wait_seconds.map(|wait| {
        let text = format!("the last refresh was a moment ago; ask again in {wait} s");
        Diagnostic::new(Exit::Unavailable, text)
    });
    Ok((text, problems.into_iter().collect()))
}

/// Sends a request to the control socket and returns the response.
fn ask(config: &Config, ask: Ask) -> Result<Answer, Vec<Diagnostic>> {
    let shown = |error: AskError| vec![Diagnostic::new(Exit::Unavailable, error.to_string())];
    runtime()?.block_on(serve::ask(&config.process.state, ask, ANSWER_WITHIN)).map_err(shown)
}

/// The problem of a response that does not fit the request.
fn unexpected_reply() -> Diagnostic {
    Diagnostic::new(Exit::Unavailable, "whoever runs there answered another question; is it another version?")
}

/// One problem for each reason.
fn not_ready(reasons: &[String]) -> Vec<Diagnostic> {
    reasons
        .iter()
        .map(|reason| Diagnostic::new(Exit::Unavailable, format!("not ready: {}", printable(reason))))
        .collect()
}

/// The problems of a status that is not ready.
fn unready(status: &Status) -> Vec<Diagnostic> {
    match status.report.not_ready() {
        _ if status.ready => Vec::new(),
        reasons if reasons.is_empty() => not_ready(&["the first delivery is not complete".to_owned()]),
        reasons => not_ready(&reasons),
    }
}

/// One line of JSON.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it came as JSON") + "\n"
}

/// The report as tables, one for each section.
fn table(status: &Status, now: SystemTime) -> String {
    let report = &status.report;
    let mut out = summary(status, now);
    let mut section = |title: &str, rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            out.push_str(&format!("\n{title}\n{}", aligned(&rows)));
        }
    };
    section("Logins", report.tokens.iter().map(|token| login(token, now)).collect());
    section("Secrets", report.secrets.iter().map(|secret| row(secret, now)).collect());
    section("Failing", failing(report, now));
    section("Since the start", counts(report));
    out
}

/// The first line: readiness, mode, process, age and generation.
fn summary(status: &Status, now: SystemTime) -> String {
    let Report { mode, version, pid, since, generation, .. } = &status.report;
    let ready = if status.ready { "ready" } else { "not ready" };
    let running = span(now.duration_since(*since).unwrap_or_default());
    let generation = generation.as_ref().map(|name| format!(", generation {}", printable(name))).unwrap_or_default();
    format!("{ready}: {mode} {} (process {pid}), running for {running}{generation}\n", printable(version))
}

/// The row about a login.
fn login(token: &TokenReport, now: SystemTime) -> Vec<String> {
    let accessor = token
        .accessor
        .as_ref()
        .map_or("not logged in, or no accessor".to_owned(), |id| format!("accessor {}", printable(id)));
    vec![
        token.backend.to_string(),
        printable(&token.login).into_owned(),
        accessor,
        ends(token.expires, now),
        next(token.next, now),
    ]
}

/// The row about a secret.
fn row(secret: &SecretReport, now: SystemTime) -> Vec<String> {
    let name = secret.name.as_ref().map(|name| format!("({})", printable(name))).unwrap_or_default();
    let version = secret.version.as_ref().map(|version| format!("version {}", printable(version)));
    let lease = secret.lease.as_ref().map(|lease| format!("lease {}", printable(lease)));
    let which = [version, lease].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let last = secret.last_success.map_or("never read".to_owned(), |at| format!("ok {}", when(at, now)));
    let state = secret.state.to_string();
    vec![
        state,
        printable(&secret.reference).into_owned(),
        name,
        which,
        last,
        secret_ends(secret, now),
        next(secret.next, now),
    ]
}

/// A value that neither expires nor has a next request is a write whose response states no expiry.
fn secret_ends(secret: &SecretReport, now: SystemTime) -> String {
    match (secret.expires, secret.next, secret.state) {
        (None, None, SecretState::Fresh | SecretState::Stale) => NO_END.to_owned(),
        (expires, ..) => ends(expires, now),
    }
}

/// The rows about failures: of logins, secrets and the delivery.
fn failing(report: &Report, now: SystemTime) -> Vec<Vec<String>> {
    let row = |what: String, trouble: &FailureReport| {
        vec![what, format!("{} {}", trouble.class, when(trouble.at, now)), printable(&trouble.why).into_owned()]
    };
    let tokens = report
        .tokens
        .iter()
        .filter_map(|token| Some(row(printable(&token.login).into_owned(), token.last_error.as_ref()?)));
    let secrets = report
        .secrets
        .iter()
        .filter_map(|secret| Some(row(printable(secret.title()).into_owned(), secret.last_error.as_ref()?)));
    let delivery = report.undelivered.iter().map(|trouble| row("delivery".to_owned(), trouble));
    tokens.chain(secrets).chain(delivery).collect()
}

/// The rows of counters.
fn counts(report: &Report) -> Vec<Vec<String>> {
    let counters = &report.counters;
    let requests: u64 = counters.requests.iter().map(|row| row.count).sum();
    let failures: u64 = counters.failures.iter().map(|row| row.count).sum();
    let shown: u64 = counters.notifications.iter().map(|row| row.count).sum();
    let cell = |count: u64, what: &str| format!("{count} {what}");
    vec![
        vec![cell(requests, "requests"), cell(failures, "failed"), cell(counters.logins, "logins")],
        vec![
            cell(counters.issued, "issued"),
            cell(counters.renewals, "renewals"),
            cell(counters.generations, "generations"),
        ],
        vec![cell(shown, "notifications")],
    ]
}

/// The next operation and its time, in words.
fn next(next: Option<Next>, now: SystemTime) -> String {
    next.map(|next| format!("{} {}", next.action.word().replace('_', " "), when(next.at, now))).unwrap_or_default()
}

/// An end, in words.
fn ends(at: Option<SystemTime>, now: SystemTime) -> String {
    match at {
        None => "no end".to_owned(),
        Some(at) if at > now => format!("ends {}", when(at, now)),
        Some(at) => format!("ended {}", when(at, now)),
    }
}

/// `in 3m 20s`, `12s ago`, `now`.
fn when(at: SystemTime, now: SystemTime) -> String {
    match (at.duration_since(now), now.duration_since(at)) {
        (Ok(ahead), _) if ahead.as_secs() > 0 => format!("in {}", span(ahead)),
        (_, Ok(gone)) if gone.as_secs() > 0 => format!("{} ago", span(gone)),
        _ => "now".to_owned(),
    }
}

/// A duration in its two largest units.
fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let shown: Vec<_> = parts[first..]
        .iter()
        .take(2)
        .enumerate()
        .filter(|(place, (count, _))| *place == 0 || *count > 0)
        .map(|(_, (count, unit))| format!("{count}{unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Mode;
    use crate::serve::{Backend, Counters, ErrorClass, Operation, SecretState};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn report() -> Report {
        let trouble =
            FailureReport { class: ErrorClass::Denied, why: "permission denied (403)\u{1b}[2J".into(), at: at(990) };
        Report {
            version: "0.1.0".into(),
            mode: Mode::Sidecar,
            pid: 7,
            since: at(0),
            generation: Some("..2026".into()),
            undelivered: None,
            tokens: vec![TokenReport {
                backend: Backend::Vault,
                login: "kubernetes (role web, mount kubernetes)".into(),
                accessor: Some("acc".into()),
                expires: Some(at(4600)),
                next: Some(Next { action: Operation::RenewToken, at: at(1060) }),
                last_error: None,
            }],
            secrets: vec![SecretReport {
                name: Some("db".into()),
                reference: "vault:database/creds/web".into(),
                state: SecretState::Waiting,
                version: None,
                lease: Some("…abcd".into()),
                last_success: None,
                next: Some(Next { action: Operation::Issue, at: at(1000) }),
                expires: None,
                last_error: Some(trouble),
            }],
            counters: Counters::default(),
        }
    }

    #[test]
    fn the_table_says_what_an_operator_asks() {
        let text = table(&Status { ready: false, report: report() }, at(1000));
        assert_eq!(
            text,
            "not ready: sidecar 0.1.0 (process 7), running for 16m 40s, generation ..2026\n\
             \n\
             Logins\n  vault  kubernetes (role web, mount kubernetes)  accessor acc  ends in 1h  renew token in 1m\n\
             \n\
             Secrets\n  waiting  vault:database/creds/web  (db)  lease …abcd  never read  no end  issue now\n\
             \n\
             Failing\n  db  denied 10s ago  permission denied (403)\\u{1b}[2J\n\
             \n\
             Since the start\n  0 requests       0 failed    0 logins\n  0 issued         0 renewals  0 generations\n  \
             0 notifications\n"
        );
    }

    #[test]
    fn what_is_not_ready_leads_to_69_and_says_why() {
        let problems = unready(&Status { ready: false, report: report() });
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].exit, Exit::Unavailable);
        assert!(problems[0].text.starts_with("not ready: db is not delivered yet: permission denied (403)"));
        assert!(!problems[0].text.contains('\u{1b}'));
        assert!(unready(&Status { ready: true, report: report() }).is_empty());
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (3661, "1h 1m"), (3601, "1h"), (90_061, "1d 1h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!([when(at(5), at(5)), when(at(6), at(5)), when(at(4), at(5))], ["now", "in 1s", "1s ago"]);
    }
}
