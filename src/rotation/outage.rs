//! An outage of one backend in the log: one line when it begins, one for each new reason, one when it is over.

use std::time::Duration;

use crate::provider::{Extent, Failure};
use crate::schedule::{SecretId, Work};

/// After this many failures in a row a backend is said not to answer, even if one secret alone found out.
const WARN_AFTER: u32 = 3;
/// A reason that comes and goes is named again after this.
const NAMED_AGAIN: Duration = Duration::from_secs(300);
/// So many reasons are remembered.
const REASONS: usize = 8;

/// What is known of a backend that does not answer.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// In a row, of requests without an answer.
    failures: u32,
    /// Whether the log says that the backend does not answer.
    is_logged: bool,
    /// The last failure, and when it came.
    last: Option<(Failure, Duration)>,
    /// The reasons that the log named, and when; the last one last.
    named: Vec<(String, Duration)>,
    /// Lines that are due if the server lives: failures that can be one request's own or everybody's.
    unclear: Vec<Line>,
}

/// A line about a failure of one secret or of the login.
#[derive(Debug)]
pub(super) struct Line {
    /// `None`: the login.
    pub(super) of: Option<SecretId>,
    pub(super) reference: Option<String>,
    pub(super) text: String,
}

/// Whose failure is said once, until it changes. A login that fails after a renewal did is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Secret(SecretId),
    Login,
    Renewal,
}

impl Subject {
    /// `None` for work whose failures are no news.
    pub(super) fn of(work: Work) -> Option<Self> {
        match work {
            Work::Login(_) => Some(Self::Login),
            Work::RenewToken => Some(Self::Renewal),
            _ => work.secret().map(Self::Secret),
        }
    }

    /// `None`: the login.
    pub(super) fn secret(self) -> Option<SecretId> {
        if let Self::Secret(id) = self { Some(id) } else { None }
    }
}

/// The line that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The backend does not answer.
    Begins,
    /// It still does not, for another reason.
    Changes,
}

impl Outage {
    /// Nobody answered a request.
    pub(super) fn failed(&mut self, failure: &Failure, now: Duration) -> Option<News> {
        self.last = Some((failure.clone(), now));
        self.failures = self.failures.saturating_add(1);
        if !self.is_logged {
            return if self.failures >= WARN_AFTER { self.begins(failure, now) } else { None };
        }
        self.names(now).then_some(News::Changes)
    }

    /// The backend is known to be down, because of this failure.
    pub(super) fn begins(&mut self, failure: &Failure, now: Duration) -> Option<News> {
        self.last = Some((failure.clone(), now));
        if std::mem::replace(&mut self.is_logged, true) {
            return None;
        }
        self.named.clear();
        self.names(now);
        Some(News::Begins)
    }

    /// Somebody answered; true when that ends an outage that only the count of failures showed.
    pub(super) fn answered(&mut self) -> bool {
        std::mem::take(&mut self.failures) >= WARN_AFTER && self.ends()
    }

    /// It is over; true when the log says that it began.
    pub(super) fn ends(&mut self) -> bool {
        (self.failures, self.last) = (0, None);
        std::mem::take(&mut self.is_logged)
    }

    /// Whether the failure is the backend's, and has no line of its own.
    pub(super) fn covers(&self, failure: &Failure) -> bool {
        failure.class.is_retried()
            && match failure.extent {
                Extent::Backend => true,
                Extent::Silence | Extent::Unclear => self.is_logged,
                Extent::Request => false,
            }
    }

    /// Keeps a line until it is known whether the server lives.
    pub(super) fn keep(&mut self, line: Line) {
        self.unclear.push(line);
    }

    /// The lines that were kept.
    pub(super) fn take_kept(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.unclear)
    }

    /// The last failure and when it came, while the outage lasts.
    pub(super) fn reason(&self) -> Option<(&Failure, Duration)> {
        self.last.as_ref().filter(|_| self.is_logged).map(|(failure, at)| (failure, *at))
    }

    /// Notes the last reason as named; false when the log named it last, or not long ago.
    fn names(&mut self, now: Duration) -> bool {
        let Some((failure, _)) = &self.last else { return false };
        // How long an answer was waited for differs from request to request.
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
