//! One secret of the schedule: how its value ends, what it needs next and when. Nothing here knows of other secrets.

use std::time::Duration;

use crate::domain::{LONGEST_LIFE, part, scaled};
use crate::provider::{Class, Extent, Failure};

use super::backoff::{slowly, unit};
use super::breaker::FailureTiming;
use super::history::History;
use super::settings::Settings;
use super::term::{LeaseTerm, NextStep};
use super::work::{Answer, Life, Lifetime, MountId, Operation, Plan, TokenId};

/// A refused renewal is asked again once, this long after, before the lease is taken for lost.
const CONFIRM: Duration = Duration::from_secs(2);
/// A value that rotates by itself and has less life left than this is about to.
const SOON_ROTATED: Duration = Duration::from_secs(1);
/// Nothing is read more often by plan.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Near a rotation date Secrets Manager is asked this many times as often, but not more often than …
const NEAR: u32 = 12;
/// … this.
const NEAREST: Duration = Duration::from_secs(30);

/// A secret and its state.
#[derive(Debug)]
pub(super) struct Secret {
    plan: Plan,
    /// How often what would only be issued again at its end is issued all the same: an interval set on the secret itself.
    reissue: Option<Duration>,
    current: CurrentValue,
    due: Option<Duration>,
    pub(super) history: History,
    /// Whether the one re-issue after a refused renewal is spent. A renewal that works earns it back.
    reissued: bool,
    /// Since when a rotating value has had no life left.
    late_since: Option<Duration>,
    pub(super) notice: Notice,
    pub(super) shown: Shown,
}

/// What the last answer brought.
#[derive(Debug)]
enum CurrentValue {
    Nothing,
    Lease {
        term: LeaseTerm,
        token: Option<TokenId>,
        refusals: u32,
        lease: Lease,
        /// Its renewal fails: from then on it is replaced instead.
        gives_way: Option<Duration>,
    },
    /// A certificate, a signed key, a token without a lease: replaced long before its end.
    Ends(LeaseTerm),
    /// A static role: the value changes then, so it is read again right after.
    Rotates(Duration),
    Plain {
        rotation: Option<Duration>,
    },
}

/// What is believed of a lease.
#[derive(Debug, PartialEq, Eq)]
enum Lease {
    Alive,
    /// The server does not know it any more.
    Lost,
}

/// Whether an expiry was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    None,
    Seen(Duration),
    /// It had ended before this schedule began.
    Overdue,
    Reported,
}

/// Whether the app can see what was issued last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Not,
    Delivered,
}

/// What a secret needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Renew,
    Issue,
    Read,
}

/// Whether somebody answers, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Answers,
    IsDown,
}

/// What a refusal means beyond the secret itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DenialMeaning {
    /// Its own affair.
    Own,
    /// It worked before under this token: perhaps the token is dead.
    Suspicious,
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
            late_since: None,
            notice: Notice::None,
            shown: Shown::Not,
        }
    }

    /// It is issued again at this interval too, unless it has a lease.
    pub(super) fn reissue_every(&mut self, interval: Duration) {
        self.reissue = Some(interval.clamp(SHORTEST_INTERVAL, LONGEST_LIFE));
    }

    /// What it needs, if it is done now under `current`. A renewal that keeps failing gives way only where the server answers:
    /// in an outage the lease can still be renewed after it.
    pub(super) fn step(&self, current: Option<TokenId>, server: Server, now: Duration) -> Step {
        match &self.current {
            CurrentValue::Lease { term, token, lease: Lease::Alive, gives_way, .. }
                if *token == current && term.need(now) == NextStep::Renewal =>
            {
                let gives_way = server == Server::Answers && gives_way.is_some_and(|at| at <= now);
                if gives_way { Step::Issue } else { Step::Renew }
            }
            CurrentValue::Nothing | CurrentValue::Lease { .. } | CurrentValue::Ends(_) => Step::Issue,
            CurrentValue::Plain { .. } if self.plan.operation == Operation::Write => Step::Issue,
            CurrentValue::Rotates(_) | CurrentValue::Plain { .. } => Step::Read,
        }
    }

    /// When it needs something; `None`: never again.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// When the delivered value dies. `token_end` answers for the token of a lease (`None`: it does not end).
    pub(super) fn expiry(&self, token_end: impl Fn(TokenId) -> Option<Duration>) -> Option<Duration> {
        match &self.current {
            CurrentValue::Lease { term, token, .. } => {
                let end = token.and_then(token_end).unwrap_or(Duration::MAX);
                Some(term.end().min(end))
            }
            CurrentValue::Ends(term) => Some(term.end()),
            CurrentValue::Rotates(read_again) => Some(*read_again),
            CurrentValue::Nothing | CurrentValue::Plain { .. } => None,
        }
    }

    /// From when on a renewal that was not made gives way to a replacement; `None` for what is not renewed.
    pub(super) fn renewed_by(&self, current: Option<TokenId>, settings: &Settings) -> Option<Duration> {
        match &self.current {
            CurrentValue::Lease { term, token, lease: Lease::Alive, gives_way, .. } if *token == current => {
                term.is_extendable().then(|| gives_way.unwrap_or(term.gives_way(settings)))
            }
            _ => None,
        }
    }

    /// The token its lease dies with.
    pub(super) fn leased_under(&self) -> Option<TokenId> {
        match &self.current {
            CurrentValue::Lease { token, .. } => *token,
            _ => None,
        }
    }

    pub(super) fn is_leased(&self) -> bool {
        matches!(self.current, CurrentValue::Lease { .. })
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.current, CurrentValue::Nothing)
    }

    /// Takes a fetched value in.
    pub(super) fn accept(
        &mut self,
        answer: Answer,
        token: Option<TokenId>,
        settings: &Settings,
        requested_at: Duration,
        jitter: f64,
    ) {
        let rotation = match (answer.rotates_in, &self.current) {
            // Past its date the provider cannot say when that was; we know from before.
            (Some(Duration::ZERO), CurrentValue::Plain { rotation: Some(at) }) => Some(*at),
            (wait, _) => wait.map(|wait| requested_at.saturating_add(wait.min(LONGEST_LIFE))),
        };
        if !matches!(answer.life, Life::Rotates(_)) {
            self.late_since = None;
        }
        let reissued = self.reissue.map(|interval| requested_at.saturating_add(less(interval, settings, jitter)));
        let leased = |term: LeaseTerm| {
            let lease = CurrentValue::Lease { term, token, refusals: 0, lease: Lease::Alive, gives_way: None };
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
                let wait = less(self.interval(rotation, requested_at), settings, jitter);
                (CurrentValue::Plain { rotation }, Some(requested_at.saturating_add(wait)))
            }
        };
        self.history.succeeded(requested_at);
    }

    /// Takes a renewal in.
    pub(super) fn renewed(&mut self, life: Lifetime, settings: &Settings, requested_at: Duration, jitter: f64) {
        if let CurrentValue::Lease { term, refusals, gives_way, .. } = &mut self.current {
            term.renew(life, requested_at, settings);
            (*refusals, *gives_way) = (0, None);
            self.due = Some(term.due(settings, jitter));
            self.reissued = false;
        }
        self.history.succeeded(requested_at);
    }

    /// Right after the rotation. A value whose time has come but which has not changed yet is read every second, and ever more
    /// rarely the later it is, so that what is delivered is never stale for long.
    fn after_rotation(&mut self, ttl: Duration, requested_at: Duration, jitter: f64) -> Duration {
        if ttl > SOON_ROTATED {
            self.late_since = None;
            let later = Duration::from_millis(250).saturating_add(scaled(Duration::from_millis(750), unit(jitter)));
            return ttl.min(LONGEST_LIFE).saturating_add(later);
        }
        let late = requested_at.saturating_sub(*self.late_since.get_or_insert(requested_at));
        scaled(part(late, 8).clamp(SOON_ROTATED, Duration::from_secs(60)), 1.0 - unit(jitter) / 10.0)
    }

    /// The interval until the next read: `refresh`, shorter from one interval before a rotation date to one after it.
    fn interval(&self, rotation: Option<Duration>, now: Duration) -> Duration {
        let refresh = self.plan.refresh;
        let near = part(refresh, NEAR).max(NEAREST).min(refresh);
        let Some(at) = rotation.filter(|at| now <= at.saturating_add(refresh)) else { return refresh };
        at.saturating_sub(refresh).saturating_sub(now).min(refresh).max(near)
    }

    /// There was no answer, or one of a mount that fails: soon again, and in any case as soon as it is back.
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
        self.history.was_answered(extent);
        let count = self.history.failed(failure);
        let due = timing.due(count, now, jitter);
        self.due = Some(match &mut self.current {
            CurrentValue::Lease { term, gives_way, .. } if step == Step::Renew && extent != Extent::Backend => {
                let at = *gives_way.get_or_insert(term.gives_way_after(now, settings));
                if at > now { due.min(at) } else { due }
            }
            _ => due,
        });
    }

    /// That its renewal failed was the backend's.
    pub(super) fn keeps_renewing(&mut self) {
        if let CurrentValue::Lease { gives_way, .. } = &mut self.current {
            *gives_way = None;
        }
    }

    /// The backend refused: this is the secret's own.
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
                    // Refused again right after a re-issue: it is renewing that is refused. The lease lives its life out.
                    term.finish();
                    term.due(settings, jitter)
                } else {
                    (*lease, self.reissued) = (Lease::Lost, true);
                    now
                }
            }
            _ => now.saturating_add(slowly(count, jitter)),
        });
        if suspicious { DenialMeaning::Suspicious } else { DenialMeaning::Own }
    }

    /// The backend is back: what waited for it is due.
    pub(super) fn backend_is_back(&mut self, now: Duration) {
        if self.history.is_retried() {
            self.due = Some(now);
        }
    }

    /// There is a new token: a lease of the old one is replaced, and what was refused may be granted now.
    pub(super) fn token_is_new(&mut self, token: TokenId, now: Duration) {
        if self.history.is_denied() || self.leased_under().is_some_and(|under| under != token) {
            self.due = Some(now);
        }
    }

    /// The token is dead: a denial was the token's.
    pub(super) fn token_is_dead(&mut self, now: Duration) {
        if self.history.is_denied() {
            self.due = Some(now);
        }
    }

    /// Whether it waits because of a failure: for the backend, or for a refusal to be taken back.
    pub(super) fn is_hindered(&self, now: Duration) -> bool {
        let waits = self.due.is_some_and(|due| due > now);
        self.history.trouble().is_some() && (waits || self.history.is_retried())
    }

    /// Puts an issue off until `at`, if that is still in the first half of its window.
    pub(super) fn wait_until(&mut self, at: Duration, settings: &Settings) -> bool {
        let (CurrentValue::Lease { term, lease: Lease::Alive, .. } | CurrentValue::Ends(term)) = &self.current else {
            return false;
        };
        let can_wait =
            self.history.trouble().is_none() && term.end().saturating_sub(part(term.window(settings), 2)) >= at;
        if can_wait {
            self.due = Some(at);
        }
        can_wait
    }

    /// Asked under a token that was replaced meanwhile: the answer says nothing.
    pub(super) fn try_again(&mut self, now: Duration) {
        self.due = Some(now);
    }

    /// Somebody wants fresh values: reads, and whatever failed last, are due; nothing is issued that is alive.
    pub(super) fn refresh(&mut self, now: Duration) {
        if self.is_refreshed() {
            self.due = Some(now);
        }
    }

    /// Whether a refresh that somebody asks for concerns it; otherwise it would be issued anew.
    pub(super) fn is_refreshed(&self) -> bool {
        self.is_read() || (self.history.trouble().is_some() && self.due.is_some())
    }

    fn is_read(&self) -> bool {
        matches!(self.current, CurrentValue::Rotates(_) | CurrentValue::Plain { .. })
            && self.plan.operation == Operation::Read
    }

    /// Another read brought a change: it is read once more soon, so that what changed with it is delivered with it.
    pub(super) fn read_beside(&mut self, refresh: Duration, at: Duration) -> bool {
        let is_beside = self.is_read() && self.plan.refresh == refresh && self.history.trouble().is_none();
        if is_beside {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
        is_beside
    }

    /// Whether it waits beyond its end because it was refused, and could be granted by now. Another answer that cannot be used would
    /// be another credential, so that is not hastened.
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

    /// Whether it is read at intervals and nothing is wrong with it.
    pub(super) fn is_read_at_intervals(&self) -> bool {
        matches!(self.current, CurrentValue::Plain { .. })
            && self.plan.operation == Operation::Read
            && self.history.trouble().is_none()
    }

    /// Pulls a read forward.
    pub(super) fn join(&mut self, at: Duration) {
        self.due = self.due.map(|due| due.min(at));
    }
}

/// `wait` less up to a tenth.
fn less(wait: Duration, settings: &Settings, jitter: f64) -> Duration {
    scaled(wait, 1.0 - unit(jitter) * unit(settings.spread))
}
