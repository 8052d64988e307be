//! Tracks what went wrong for the log. Of a backend's outage: one line when it begins, one for each new reason, one when
//! it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::provider::{Class, Extent, Failure};
use crate::schedule::{BackendId, SecretId, Work};

/// After this many failures in a row a backend is logged as not answering, even if only one secret was affected.
const WARN_AFTER: u32 = 3;
/// A reason that recurs is logged again after this time.
const NAMED_AGAIN: Duration = Duration::from_secs(300);
/// How many reasons are remembered.
const REASONS: usize = 8;

/// What went wrong, as far as it was reported.
#[derive(Default)]
pub(super) struct Failures {
    /// The class of the last failure of each secret, of the login and of its renewal, so that each failure is logged
    /// once.
    pub(super) classes: BTreeMap<(BackendId, Subject), Class>,
    /// The last failure of each backend.
    pub(super) last: BTreeMap<BackendId, Failure>,
    pub(super) outages: BTreeMap<BackendId, Outage>,
}

/// The failures of one backend since its last answer.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Failures in a row, of requests without an answer.
    failures: u32,
    /// Whether the log says that the backend does not answer.
    is_logged: bool,
    /// The last failure and when it happened.
    last: Option<(Failure, Duration)>,
    /// The reasons that were logged and when, the latest last.
    named: Vec<(String, Duration)>,
    /// Log lines to be written if the server turns out to be alive: failures that may concern one request or the whole
    /// backend.
    unclear: Vec<Line>,
}

/// A log line about a failure of one secret or of the login.
#[derive(Debug)]
pub(super) struct Line {
    /// The secret; `None`: the login.
    pub(super) of: Option<SecretId>,
    pub(super) reference: Option<String>,
    pub(super) text: String,
}

/// The subject of a failure that is logged once, until its class changes. A failed login after a failed renewal is
/// logged too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Secret(SecretId),
    Login,
    Renewal,
}

impl Subject {
    /// The subject of a piece of work; `None` for work whose failures are not logged as warnings.
    pub(super) fn of(work: Work) -> Option<Self> {
        match work {
            Work::Login(_) => Some(Self::Login),
            Work::RenewToken => Some(Self::Renewal),
            _ => work.secret().map(Self::Secret),
        }
    }

    /// The secret; `None` for the login and its renewal.
    pub(super) fn secret(self) -> Option<SecretId> {
        if let Self::Secret(id) = self { Some(id) } else { None }
    }
}

/// The line to be logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The backend does not answer.
    Begins,
    /// It still does not, for another reason.
    Changes,
}

impl Outage {
    /// Records a request without an answer; returns the line to be logged, if any.
    pub(super) fn failed(&mut self, failure: &Failure, now: Duration) -> Option<News> {
        self.last = Some((failure.clone(), now));
        self.failures = self.failures.saturating_add(1);
        if !self.is_logged {
            return if self.failures >= WARN_AFTER { self.begins(failure, now) } else { None };
        }
        self.names(now).then_some(News::Changes)
    }

    /// Records that the backend is known to be down, because of `failure`; returns the line to be logged, unless it was
    /// logged before.
    pub(super) fn begins(&mut self, failure: &Failure, now: Duration) -> Option<News> {
        self.last = Some((failure.clone(), now));
        if std::mem::replace(&mut self.is_logged, true) {
            return None;
        }
        self.named.clear();
        self.names(now);
        Some(News::Begins)
    }

    /// Records an answer; returns `true` if that ends an outage that only the number of failures showed.
    pub(super) fn answered(&mut self) -> bool {
        std::mem::take(&mut self.failures) >= WARN_AFTER && self.ends()
    }

    /// Records the end of the outage; returns `true` if its begin was logged.
    pub(super) fn ends(&mut self) -> bool {
        (self.failures, self.last) = (0, None);
        std::mem::take(&mut self.is_logged)
    }

    /// Whether the failure concerns the whole backend and therefore gets no line of its own.
    pub(super) fn covers(&self, failure: &Failure) -> bool {
        failure.class.is_retried()
            && match failure.extent {
                Extent::Backend => true,
                Extent::Silence | Extent::Unclear => self.is_logged,
                Extent::Request => false,
            }
    }

    /// Stores a line until it is known whether the server is alive.
    pub(super) fn keep(&mut self, line: Line) {
        self.unclear.push(line);
    }

    /// Removes and returns the stored lines.
    pub(super) fn take_kept(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.unclear)
    }

    /// The last failure and when it happened, while the outage lasts.
    pub(super) fn reason(&self) -> Option<(&Failure, Duration)> {
        self.last.as_ref().filter(|_| self.is_logged).map(|(failure, at)| (failure, *at))
    }

    /// Records that the last reason is logged; `false` if it was the last one logged, or was logged recently.
    fn names(&mut self, now: Duration) -> bool {
        let Some((failure, _)) = &self.last else { return false };
        // The timeout in the text differs from request to request.
        let reason = if failure.extent == Extent::Silence { "no answer in time" } else { &failure.why };
        let is_known = self.named.last().is_some_and(|(last, _)| last == reason)
            || self.named.iter().any(|(known, at)| known == reason && now < at.saturating_add(NAMED_AGAIN));
        if is_known {
            return false;
        }
        self.named.retain(|(known, _)| known != reason);
        if self.named.len() >= REASONS {
            self.named.remove(0);
        }
        self.named.push((reason.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Class;

    fn of(why: &str) -> Failure {
        Failure::new(Class::Transient, why).of_backend()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_new_reason_of_an_outage_is_named_once() {
        let mut outage = Outage::default();
        assert_eq!(outage.failed(&of("refused"), at(0)), None);
        assert_eq!(outage.begins(&of("refused"), at(0)), Some(News::Begins));
        assert_eq!(outage.failed(&of("refused"), at(1)), None);
        assert_eq!(outage.failed(&of("not trusted"), at(2)), Some(News::Changes));
        assert_eq!(outage.failed(&of("not trusted"), at(3)), None);
        assert_eq!(outage.failed(&of("sealed"), at(4)), Some(News::Changes));
        assert_eq!(outage.reason().map(|(failure, at)| (failure.why.as_str(), at)), Some(("sealed", at(4))));
        assert!(outage.ends() && !outage.ends());
        assert_eq!(outage.reason(), None);
        assert_eq!(outage.begins(&of("refused"), at(9)), Some(News::Begins));
    }

    #[test]
    fn reasons_that_take_turns_are_named_every_five_minutes() {
        let mut outage = Outage::default();
        let mut lines = 0;
        for second in (0..600).step_by(5) {
            let why = if second % 10 == 0 { "refused" } else { "sealed" };
            lines += u32::from(outage.failed(&of(why), at(second)).is_some());
        }
        assert!((3..=5).contains(&lines), "{lines}");
    }

    #[test]
    fn one_secret_alone_finds_an_outage_and_its_end() {
        let mut outage = Outage::default();
        let news: Vec<_> = (0..4).map(|second| outage.failed(&of("refused"), at(second))).collect();
        assert_eq!(news, [None, None, Some(News::Begins), None]);
        assert!(outage.answered() && !outage.answered());
    }

    #[test]
    fn a_silence_is_one_reason_however_long_it_was_waited() {
        let mut outage = Outage::default();
        outage.begins(&of("no answer within 1s").silent(), at(0));
        assert_eq!(outage.failed(&of("no answer within 2s").silent(), at(1)), None);
    }
}
