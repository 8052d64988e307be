//! The state of one secret in the schedule: when its value expires, what it needs next and when. It knows nothing of
//! other secrets.

mod intervals;
mod shown;

use std::time::Duration;

use crate::domain::{LONGEST_LIFE, part, scaled};
use crate::provider::{Class, Extent, Failure};

use super::backoff::{refusal_backoff, unit, with_jitter};
use super::breaker::FailureTiming;
use super::history::History;
use super::secret_state::{Delivering, DenialMeaning, Notice, Server, Shown, Step};
use super::settings::Settings;
use super::term::{LeaseTerm, NextStep};
use super::work::{Answer, Life, Lifetime, MountId, Operation, Plan, TokenId};

use intervals::{after_outage, less};

/// A refused renewal is retried once, 2–4 s later, before the lease is considered lost.
const CONFIRM: Duration = Duration::from_secs(2);
/// The shortest read interval.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// One secret and its state.
#[derive(Debug)]
pub(super) struct Secret {
    plan: Plan,
    /// An interval set on the secret itself, at which a credential is re-issued even though it has not expired.
    reissue: Option<Duration>,
    current: CurrentValue,
    due: Option<Duration>,
    pub(super) history: History,
    /// Whether the one re-issue after a refused renewal has been used. A successful renewal resets it.
    reissued: bool,
    /// The jitter of the recovery from an outage that the next read is the first after.
    came_back: Option<f64>,
    /// Since when a rotating value has been past its rotation time without having changed.
    late_since: Option<Duration>,
    pub(super) notice: Notice,
    pub(super) shown: Shown,
}

/// The value that was last fetched.
#[derive(Debug)]
enum CurrentValue {
    Nothing,
    Lease {
        term: LeaseTerm,
        token: Option<TokenId>,
        refusals: u32,
        lease: Lease,
        /// From then on the lease is replaced instead of renewed, because its renewal keeps failing.
        renewal_deadline: Option<Duration>,
    },
    /// A value that expires without a lease (certificate, signed key, token): replaced long before its end.
    Ends(LeaseTerm),
    /// A static role: the server changes the value at this time, so it is read again right after.
    Rotates(Duration),
    /// Valid until it is changed on the server; `rotation` is Secrets Manager's `NextRotationDate`.
    Plain {
        rotation: Option<Duration>,
    },
}

/// Whether a lease is known to the server.
#[derive(Debug, PartialEq, Eq)]
enum Lease {
    Alive,
    Lost,
}

impl Secret {
    pub(super) fn new(plan: Plan) -> Self {
        let refresh = plan.refresh.clamp(SHORTEST_INTERVAL, LONGEST_LIFE);
        Self {
            plan: Plan { refresh, ..plan },
            reissue: None,
            current: CurrentValue::Nothing,
            due: Some(Duration::ZERO),
            history: History::default(),
            reissued: false,
            came_back: None,
            late_since: None,
            notice: Notice::None,
            shown: Shown::Earlier(None, Delivering::Waits),
        }
    }

    /// Re-issues the secret at this interval too, unless it has a lease.
    pub(super) fn reissue_every(&mut self, interval: Duration) {
        self.reissue = Some(interval.clamp(SHORTEST_INTERVAL, LONGEST_LIFE));
    }

    /// The request to send now under the token `current`. A failing renewal becomes an issue only if the server
    /// answers.
    pub(super) fn step(&self, current: Option<TokenId>, server: Server, now: Duration) -> Step {
        match &self.current {
            CurrentValue::Lease { term, token, lease: Lease::Alive, renewal_deadline, .. }
                if *token == current && term.need(now) == NextStep::Renewal =>
            {
                let is_past_deadline = server == Server::Answers && renewal_deadline.is_some_and(|at| at <= now);
                if is_past_deadline { Step::Issue } else { Step::Renew }
            }
            CurrentValue::Nothing | CurrentValue::Lease { .. } | CurrentValue::Ends(_) => Step::Issue,
            CurrentValue::Plain { .. } if self.plan.operation == Operation::Write => Step::Issue,
            CurrentValue::Rotates(_) | CurrentValue::Plain { .. } => Step::Read,
        }
    }

    /// When the next request is due; `None`: never.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// When the last grant of its lease was requested, and the TTL that is believed of it; `None` without a lease.
    pub(super) fn granted(&self) -> Option<(Duration, Duration)> {
        match &self.current {
            CurrentValue::Lease { term, .. } => Some(term.granted()),
            _ => None,
        }
    }

    /// When a pending renewal is given up in favour of a replacement; `None` for a value that is not renewed.
    pub(super) fn renewed_by(&self, current: Option<TokenId>, settings: &Settings) -> Option<Duration> {
        match &self.current {
            CurrentValue::Lease { term, token, lease: Lease::Alive, renewal_deadline, .. } if *token == current => {
                term.is_extendable().then(|| renewal_deadline.unwrap_or(term.renewal_deadline(settings)))
            }
            _ => None,
        }
    }

    /// The token that the secret's lease ends with.
    pub(super) fn leased_under(&self) -> Option<TokenId> {
        match &self.current {
            CurrentValue::Lease { token, .. } => *token,
            _ => None,
        }
    }

    pub(super) fn is_leased(&self) -> bool {
        matches!(self.current, CurrentValue::Lease { .. })
    }

    /// Whether there is no value yet.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.current, CurrentValue::Nothing)
    }

    /// Records a fetched value that was requested at `requested_at` under `token`, and schedules the next request. The
    /// app has the one before until [`delivered`](super::Schedule::delivered).
    pub(super) fn accept(
        &mut self,
        answer: Answer,
        token: Option<TokenId>,
        settings: &Settings,
        requested_at: Duration,
        jitter: f64,
    ) {
        self.shown = Shown::Earlier(self.shown_until(requested_at), Delivering::Waits);
        let rotation = match (answer.rotates_in, &self.current) {
            // After the date the provider returns no date any more: keep the one that is known.
            (Some(Duration::ZERO), CurrentValue::Plain { rotation: Some(at) }) => Some(*at),
            (wait, _) => wait.map(|wait| requested_at.saturating_add(wait.min(LONGEST_LIFE))),
        };
        if !matches!(answer.life, Life::Rotates(_)) {
            self.late_since = None;
        }
        let came_back = self.came_back.take();
        let reissued = self.reissue.map(|interval| requested_at.saturating_add(less(interval, settings, jitter)));
        let leased = |term: LeaseTerm| {
            let lease = CurrentValue::Lease { term, token, refusals: 0, lease: Lease::Alive, renewal_deadline: None };
            (lease, Some(term.due(settings, jitter)))
        };
        (self.current, self.due) = match (answer.life, self.plan.operation) {
            (Life::Lease(life), _) => leased(LeaseTerm::new(life, requested_at)),
            (Life::HarmlessLease(ttl), _) => leased(LeaseTerm::harmless(ttl, requested_at)),
            (Life::Expires(ttl), _) => {
                let term = LeaseTerm::harmless(ttl, requested_at);
                let due = term.due(settings, jitter);
                (CurrentValue::Ends(term), Some(reissued.map_or(due, |reissued| due.min(reissued))))
            }
            (Life::Rotates(ttl), _) => {
                let again = requested_at.saturating_add(self.after_rotation(ttl, requested_at, jitter));
                let refreshed = requested_at.saturating_add(less(self.plan.refresh, settings, jitter));
                (CurrentValue::Rotates(again), Some(again.min(refreshed)))
            }
            (Life::ReadEvery(interval), _) => {
                let wait = interval.clamp(SHORTEST_INTERVAL, self.plan.refresh);
                let due = requested_at.saturating_add(less(wait, settings, jitter));
                (CurrentValue::Plain { rotation: None }, Some(due))
            }
            (Life::Unbounded, Operation::Write) => (CurrentValue::Plain { rotation: None }, reissued),
            (Life::Unbounded, Operation::Read) => {
                let interval = self.interval(rotation, requested_at);
                let wait =
                    came_back.map_or_else(|| less(interval, settings, jitter), |back| after_outage(interval, back));
                (CurrentValue::Plain { rotation }, Some(requested_at.saturating_add(wait)))
            }
        };
        self.history.succeeded(requested_at);
    }

    /// Records a renewed lease and schedules the next request.
    pub(super) fn renewed(&mut self, life: Lifetime, settings: &Settings, requested_at: Duration, jitter: f64) {
        if let CurrentValue::Lease { term, refusals, renewal_deadline, .. } = &mut self.current {
            term.renew(life, requested_at, settings);
            (*refusals, *renewal_deadline) = (0, None);
            self.due = Some(term.due(settings, jitter));
            self.reissued = false;
        }
        self.history.succeeded(requested_at);
    }

    /// Records a retryable failure and schedules the retry, and after a failed renewal the replacement of the lease.
    pub(super) fn set_back(
        &mut self,
        step: Step,
        failure: Failure,
        timing: &FailureTiming,
        settings: &Settings,
        now: Duration,
        jitter: f64,
    ) {
        let extent = failure.extent;
        self.history.count_timeouts(extent);
        let count = self.history.failed(failure);
        let due = timing.due(count, now, jitter);
        self.due = Some(match &mut self.current {
            CurrentValue::Lease { term, renewal_deadline, .. } if step == Step::Renew && extent != Extent::Backend => {
                let at = *renewal_deadline.get_or_insert(term.renewal_deadline_after(now, settings));
                if at > now { due.min(at) } else { due }
            }
            _ => due,
        });
    }

    /// Cancels the replacement instead of renewal: the renewal failed because the backend was down.
    pub(super) fn keep_renewing(&mut self) {
        if let CurrentValue::Lease { renewal_deadline, .. } = &mut self.current {
            *renewal_deadline = None;
        }
    }

    /// Records a refusal and schedules the retry. After two refused renewals the lease counts as lost, but only once.
    pub(super) fn refused(
        &mut self,
        step: Step,
        failure: Failure,
        settings: &Settings,
        now: Duration,
        jitter: f64,
    ) -> DenialMeaning {
        let suspicious = failure.class == Class::Denied && !self.history.is_denied();
        let count = self.history.failed(failure);
        self.due = Some(match &mut self.current {
            CurrentValue::Lease { term, refusals, lease, .. } if step == Step::Renew => {
                *refusals = refusals.saturating_add(1);
                if *refusals == 1 {
                    now.saturating_add(scaled(CONFIRM, 1.0 + unit(jitter)).min(part(term.left(now), 4)))
                } else if self.reissued {
                    // Refused again right after a re-issue: the policy refuses renewals. Keep the lease until its
                    // window.
                    term.finish();
                    term.due(settings, jitter)
                } else {
                    (*lease, self.reissued) = (Lease::Lost, true);
                    now
                }
            }
            _ => {
                let wait = refusal_backoff(count, jitter);
                let read = self.read_within().map(|within| with_jitter(within, jitter));
                now.saturating_add(read.map_or(wait, |read| wait.min(read)))
            }
        });
        if suspicious { DenialMeaning::Suspicious } else { DenialMeaning::Own }
    }

    /// Makes the secret due at `at` if it waits for a retry, because the backend answers again. The read after the next
    /// one follows sooner by a share of `jitter`.
    pub(super) fn backend_is_back(&mut self, at: Duration, jitter: f64) {
        if self.history.is_retried() {
            self.due = Some(at);
            self.came_back = Some(jitter);
        }
    }

    /// Makes the secret due after a login, if its lease belongs to the old token or its last request was denied.
    pub(super) fn token_is_new(&mut self, token: TokenId, now: Duration) {
        if self.history.is_denied() || self.leased_under().is_some_and(|under| under != token) {
            self.due = Some(now);
        }
    }

    /// Makes a denied secret due: the denial was due to the dead token.
    pub(super) fn token_is_dead(&mut self, now: Duration) {
        if self.history.is_denied() {
            self.due = Some(now);
        }
    }

    /// Whether the secret waits because of a failure: for the backend, or for the retry of a refused request.
    pub(super) fn is_blocked(&self, now: Duration) -> bool {
        let waits = self.due.is_some_and(|due| due > now);
        self.history.last_failure().is_some() && (waits || self.history.is_retried())
    }

    /// Puts an issue off until `at` if that is in the first half of its window and nothing has failed; whether it did.
    pub(super) fn wait_until(&mut self, at: Duration, settings: &Settings) -> bool {
        let (CurrentValue::Lease { term, lease: Lease::Alive, .. } | CurrentValue::Ends(term)) = &self.current else {
            return false;
        };
        let can_wait =
            self.history.last_failure().is_none() && term.end().saturating_sub(part(term.window(settings), 2)) >= at;
        if can_wait {
            self.due = Some(at);
        }
        can_wait
    }

    /// Makes the secret due now, because its last answer is not conclusive.
    pub(super) fn try_again(&mut self, now: Duration) {
        self.due = Some(now);
    }

    /// Makes the secret due for a refresh on demand, unless that would re-issue a valid credential.
    pub(super) fn refresh(&mut self, now: Duration) {
        if self.is_refreshed() {
            self.due = Some(now);
        }
    }

    /// Whether a refresh on demand concerns it: it is read (a refresh never re-issues), or its last request failed.
    pub(super) fn is_refreshed(&self) -> bool {
        self.is_read() || (self.history.last_failure().is_some() && self.due.is_some())
    }

    /// Whether the next request is a read, not a renewal or issue.
    fn is_read(&self) -> bool {
        matches!(self.current, CurrentValue::Rotates(_) | CurrentValue::Plain { .. })
            && self.plan.operation == Operation::Read
    }

    /// Moves its read forward to `at` if its interval is `refresh` and nothing has failed; returns whether it did.
    pub(super) fn read_again_at(&mut self, refresh: Duration, at: Duration) -> bool {
        let is_beside = self.is_read() && self.plan.refresh == refresh && self.history.last_failure().is_none();
        if is_beside {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
        is_beside
    }

    /// Whether its retry after a refusal is later than `end` and now, so that it should be moved forward.
    pub(super) fn is_refused(&self, end: Option<Duration>, now: Duration) -> bool {
        let sooner = end.unwrap_or(now).max(now);
        self.history.is_refused() && self.due.is_some_and(|due| due > sooner)
    }

    pub(super) fn mount(&self) -> MountId {
        self.plan.mount
    }

    pub(super) fn refresh_interval(&self) -> Duration {
        self.plan.refresh
    }

    /// Whether the secret is read at intervals and its last request succeeded.
    pub(super) fn is_read_at_intervals(&self) -> bool {
        matches!(self.current, CurrentValue::Plain { .. })
            && self.plan.operation == Operation::Read
            && self.history.last_failure().is_none()
    }

    /// Moves the next request forward to `at`, if it would be later.
    pub(super) fn pull_forward(&mut self, at: Duration) {
        self.due = self.due.map(|due| due.min(at));
    }
}
