//! A circuit breaker: after a failure that several requests share, they all stop, and one probe at a time tests for
//! recovery.
//!
//! Each backend has one, and so does each mount of it: a database that is down behind a healthy server opens only its
//! mount's breaker.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::scaled;

use super::backoff::{EXPIRED_WITHIN, PROBE_LAST, longest_hold, transient_backoff};
use super::work::{SecretId, TokenId};

/// What a request is for. The breaker distinguishes failures by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Login and renewal of the token.
    Token,
    /// `CheckToken`: a lookup of the current token.
    Check,
    /// `CheckHealth`: a health check of the server.
    Health,
    /// The revocation of a token that was replaced by a newer login.
    Old(TokenId),
    /// A secret.
    Secret(SecretId),
}

/// The breaker's state. Closed: everything may run. Open after a failure: only one probe may run after each back-off.
///
/// While all failures since the last success are **one** slot's, only that slot waits for the back-off; the other slots
/// wait half a second at most and run one at a time.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// The `Retry-After` in force. It stays in force even if an older request is answered meanwhile.
    hold: Option<Hold>,
    budget: Budget,
    /// How many requests may be under way. One after a failure; doubles with each answer, up to `parallel`.
    room: usize,
    parallel: usize,
    scope: Scope,
}

/// What a breaker protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A whole server. While it is open nothing else shows whether the server answers, so probes are limited per
    /// minute.
    Backend,
    /// One mount of a server that answers: a request for a value that is about to expire is sent even when the probe
    /// budget is spent.
    Mount,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { failures: u32, until: Duration, whose: Whose },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    One { slot: Slot, others: Duration },
    All,
}

/// A `Retry-After` of the server.
#[derive(Debug, Clone, Copy)]
struct Hold {
    since: Duration,
    until: Duration,
}

/// The budget of probes: five at once, then one every 10 s. (Full jitter alone bounds them only on average, and a
/// budget per minute would leave a gap of a minute once it is spent.)
#[derive(Debug, Default)]
struct Budget {
    /// When the full burst is available again.
    whole_at: Duration,
    /// When the last eleven probes started.
    spent: VecDeque<Duration>,
}

impl Budget {
    const BURST: u32 = 5;
    const PERIOD: Duration = Duration::from_secs(10);
    /// A probe for a value that is about to expire may start 5 s after the last one, as long as there were fewer than
    /// eleven within the minute.
    const URGENT: Duration = Duration::from_secs(5);
    const RECENT: usize = 11;
    const MINUTE: Duration = Duration::from_secs(60);

    /// When the next probe is within the budget.
    fn free_at(&self) -> Duration {
        self.whole_at.saturating_sub(Self::PERIOD.saturating_mul(Self::BURST.saturating_sub(1)))
    }

    /// When the next probe is within the budget if it is for a value that is about to expire.
    fn free_at_if_urgent(&self) -> Duration {
        let full = self.spent.front().filter(|_| self.spent.len() >= Self::RECENT);
        let last = self.spent.back().map_or(Duration::ZERO, |last| last.saturating_add(Self::URGENT));
        full.map_or(last, |oldest| last.max(oldest.saturating_add(Self::MINUTE))).min(self.free_at())
    }

    /// Records a probe that starts now.
    fn spend(&mut self, now: Duration) {
        if self.spent.len() >= Self::RECENT {
            self.spent.pop_front();
        }
        self.spent.push_back(now);
        self.whole_at = self.whole_at.max(now).saturating_add(Self::PERIOD);
    }

    /// Limits the debt of urgent probes beyond the budget, so that the next ordinary probe waits one period at most.
    fn cap_debt(&mut self, now: Duration) {
        self.whole_at = self.whole_at.min(now.saturating_add(Self::PERIOD.saturating_mul(Self::BURST)));
    }
}

/// How an answer changed the breaker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It was closed, or open for one slot only.
    Nothing,
    /// It was open for every slot and is now closed.
    Recovered,
}

/// How a failure changed the breaker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It was already open for every slot, or is open for one slot only.
    Nothing,
    /// It is now open for every slot.
    Down,
}

/// Which slots a failure concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The slot of the request; a second slot with the same failure extends it to all.
    Slot,
    /// Every slot.
    All,
}

/// When a slot retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// At once, after its first timeout: the connection may be broken, and the next try opens a new one.
    AtOnce,
    /// After the back-off.
    Later,
}

/// What a failure means for the time of the next try.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailureTiming {
    pub(super) reach: Reach,
    pub(super) again: Again,
    /// When the failed request was sent; the back-off counts from here.
    pub(super) sent: Duration,
    /// The response's `Retry-After`, if any.
    pub(super) retry_after: Option<Duration>,
    /// The longest back-off, because something expires.
    pub(super) limit: Option<Duration>,
}

impl FailureTiming {
    /// When the next try is due after `failures` failures in a row.
    pub(super) fn due(&self, failures: u32, now: Duration, jitter: f64) -> Duration {
        match self.again {
            Again::AtOnce => now,
            Again::Later => self.sent.saturating_add(transient_backoff(failures, self.limit, jitter)).max(now),
        }
    }
}

/// Until when a request may be put off.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deadline {
    /// When the value expires.
    pub(super) end: Option<Duration>,
    /// When a pending renewal is given up in favour of a replacement.
    pub(super) renewal: Option<Duration>,
}

/// Whether a request started while the breaker was closed or as a probe of an open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    Freely,
    AsProbe,
}

/// A request under way, as seen by the breaker that counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Other {
    pub(super) slot: Slot,
    pub(super) ran: Ran,
}

impl Breaker {
    /// A longer `Retry-After` is cut to this.
    const PATIENCE: Duration = Duration::from_secs(300);

    /// A value that expires within this time is fetched even when all parallel requests are taken: the others may be
    /// slow.
    const LAST: Duration = Duration::from_millis(1500);

    /// A closed breaker that allows `parallel` requests at once, at least one.
    pub(super) fn new(scope: Scope, parallel: usize) -> Self {
        let parallel = parallel.max(1);
        Self { state: State::Closed, hold: None, budget: Budget::default(), room: parallel, parallel, scope }
    }

    /// Returns when `slot` may run, which may be in the past; `None` while a request under way has to end first.
    pub(super) fn gate(
        &self,
        slot: Slot,
        under_way: impl Iterator<Item = Other>,
        deadline: Deadline,
        now: Duration,
    ) -> Option<Duration> {
        let waits_until = self.waits_until(deadline);
        match &self.state {
            State::Closed => (under_way.count() < self.room).then_some(waits_until),
            State::Open { until, whose, .. } => {
                let (gate, failing) = match whose {
                    // Other slots' probes are not charged to the budget: the failures of one slot must not use up what
                    // the others need.
                    Whose::One { slot: failing, others } if *failing != slot => (*others, Some(*failing)),
                    _ => ((*until).max(self.probe_allowed_at(deadline.end, now)), None),
                };
                // Requests that started before the breaker opened, and the failing slot's own, do not block a probe.
                let mut probes = under_way.filter(|other| other.ran == Ran::AsProbe && Some(other.slot) != failing);
                probes.next().is_none().then(|| gate.max(waits_until))
            }
        }
    }

    /// [`gate`](Self::gate) of a mount's breaker for a secret that has not failed itself: the mount's failures may
    /// concern another database (several connections share a mount), so only the number of parallel requests and
    /// `Retry-After` count.
    pub(super) fn gate_unaffected(
        &self,
        under_way: impl Iterator<Item = Other>,
        deadline: Deadline,
        now: Duration,
    ) -> Option<Duration> {
        let is_last = deadline.end.is_some_and(|end| end > now && end <= now.saturating_add(Self::LAST));
        let room = if self.is_closed() { self.room } else { self.parallel };
        let has_room = is_last || under_way.count() < room;
        has_room.then(|| self.waits_until(deadline))
    }

    /// When the probe budget allows a probe for a value that expires at `end`.
    fn probe_allowed_at(&self, end: Option<Duration>, now: Duration) -> Duration {
        let free_at = self.budget.free_at();
        match (end.filter(|end| *end > now).map(|end| end.saturating_sub(EXPIRED_WITHIN)), self.scope) {
            (Some(soon), Scope::Mount) => free_at.min(soon),
            (Some(soon), Scope::Backend) => free_at.min(soon.max(self.budget.free_at_if_urgent())),
            (None, _) => free_at,
        }
    }

    /// Until when `Retry-After` holds back something with this deadline: cut short so that a renewal is tried before it
    /// is given up, and a replacement before the end.
    fn waits_until(&self, deadline: Deadline) -> Duration {
        let Some(Hold { since, until }) = self.hold else { return Duration::ZERO };
        match deadline.renewal.filter(|at| *at > since).or(deadline.end) {
            Some(end) => until.min(since.saturating_add(longest_hold(end.saturating_sub(since)))),
            None => until,
        }
    }

    /// Records the start of a request of `slot`, and charges a probe to the budget.
    pub(super) fn start(&mut self, slot: Slot, now: Duration) -> Ran {
        match &self.state {
            State::Closed => Ran::Freely,
            State::Open { whose, .. } => {
                if !matches!(whose, Whose::One { slot: failing, .. } if *failing != slot) {
                    self.budget.spend(now);
                    if self.scope == Scope::Mount {
                        self.budget.cap_debt(now);
                    }
                }
                Ran::AsProbe
            }
        }
    }

    /// Records that the server answered, with success or refusal: closes the breaker.
    pub(super) fn answered(&mut self) -> Answered {
        self.room = self.room.saturating_mul(2).min(self.parallel);
        if self.room == self.parallel {
            self.budget = Budget::default();
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open { whose: Whose::All, .. } => Answered::Recovered,
            _ => Answered::Nothing,
        }
    }

    /// Records a request without an answer, or one with a transient or throttled answer: opens the breaker or extends
    /// the back-off.
    pub(super) fn failed(&mut self, slot: Slot, ran: Ran, timing: FailureTiming, now: Duration, jitter: f64) -> Failed {
        self.room = 1;
        if let Some(wait) = timing.retry_after {
            // Up to a tenth later than the server said, so that clients that were throttled together do not return
            // together.
            let wait = wait.saturating_add(scaled(wait, jitter / 10.0)).min(Self::PATIENCE);
            let until = self.hold.map_or(Duration::ZERO, |hold| hold.until).max(now.saturating_add(wait));
            self.hold = Some(Hold { since: now, until });
        }
        let (failures, until, same, was_down) = match &self.state {
            State::Closed => (1, None, true, false),
            State::Open { failures, until, whose } => {
                let same = matches!(whose, Whose::One { slot: failing, .. } if *failing == slot);
                let was_down = *whose == Whose::All;
                // A request that was sent before the breaker opened is no evidence of how long the outage lasts.
                match ran {
                    Ran::Freely => (*failures, Some(*until), same, was_down),
                    Ran::AsProbe => (failures.saturating_add(1), None, same, was_down),
                }
            }
        };
        let last = (self.scope == Scope::Backend).then_some(PROBE_LAST);
        let timing = FailureTiming { limit: timing.limit.into_iter().chain(last).min(), ..timing };
        let until = until.unwrap_or_else(|| timing.due(failures, now, jitter));
        let whose = if same && timing.reach == Reach::Slot {
            Whose::One { slot, others: now.saturating_add(transient_backoff(1, None, jitter)) }
        } else {
            Whose::All
        };
        let is_down = whose == Whose::All;
        self.state = State::Open { failures, until, whose };
        if is_down && !was_down { Failed::Down } else { Failed::Nothing }
    }

    /// Ends the back-off, `Retry-After` and the probe budget, because an operator demanded a refresh: the next probe
    /// may start now.
    pub(super) fn lift(&mut self, now: Duration) {
        self.hold = None;
        self.budget = Budget::default();
        if let State::Open { until, .. } = &mut self.state {
            *until = (*until).min(now);
        }
    }

    /// Shortens the back-off of a mount to `at`, because the server that did not answer is back.
    pub(super) fn server_is_back(&mut self, at: Duration) {
        if let State::Open { until, .. } = &mut self.state {
            *until = (*until).min(at);
        }
    }

    /// Whether every slot may run.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// When the next probe may start while the breaker is open for every slot; `None` otherwise.
    pub(super) fn down_until(&self) -> Option<Duration> {
        match &self.state {
            State::Open { until, whose: Whose::All, .. } => {
                Some((*until).max(self.waits_until(Deadline::default())).max(self.budget.free_at()))
            }
            _ => None,
        }
    }

    /// The end of the `Retry-After` in force, if it is later than `now`.
    pub(super) fn retry_after_until(&self, now: Duration) -> Option<Duration> {
        self.hold.map(|hold| hold.until).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Slot = Slot::Secret(SecretId(0));
    const B: Slot = Slot::Secret(SecretId(1));
    const PLAIN: FailureTiming =
        FailureTiming { reach: Reach::Slot, again: Again::Later, sent: Duration::ZERO, retry_after: None, limit: None };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn at(now: Duration) -> FailureTiming {
        FailureTiming { sent: now, ..PLAIN }
    }

    fn gate(breaker: &Breaker, slot: Slot, others: &[Other]) -> Option<Duration> {
        breaker.gate(slot, others.iter().copied(), Deadline::default(), Duration::ZERO)
    }

    #[test]
    fn an_outage_costs_eleven_probes_a_minute_with_the_worst_jitter_and_leaves_no_gap_over_ten_seconds() {
        let mut breaker = Breaker::new(Scope::Backend, 8);
        breaker.failed(A, Ran::Freely, PLAIN, Duration::ZERO, 0.0);
        breaker.failed(B, Ran::Freely, PLAIN, Duration::ZERO, 0.0);
        let (mut now, mut probes) = (Duration::ZERO, Vec::new());
        loop {
            now = now.max(gate(&breaker, A, &[]).unwrap());
            if now >= seconds(60) {
                break;
            }
            let ran = breaker.start(A, now);
            breaker.failed(A, ran, at(now), now, 0.0);
            probes.push(now);
        }
        assert!(probes.len() <= 11, "{probes:?}");
        assert!(probes.windows(2).all(|pair| pair[1] - pair[0] <= seconds(10)), "{probes:?}");
    }

    #[test]
    fn what_an_outage_that_is_over_cost_is_not_charged_to_the_next() {
        let mut breaker = Breaker::new(Scope::Backend, 8);
        let outage = |breaker: &mut Breaker, now: u64| {
            breaker.failed(A, Ran::Freely, at(seconds(now)), seconds(now), 0.0);
            for _ in 0..Budget::BURST {
                let ran = breaker.start(A, seconds(now));
                breaker.failed(B, ran, at(seconds(now)), seconds(now), 0.0);
            }
        };
        outage(&mut breaker, 0);
        assert_eq!(gate(&breaker, A, &[]), Some(seconds(10)));
        breaker.answered();
        breaker.answered();
        outage(&mut breaker, 1);
        assert_eq!(gate(&breaker, A, &[]), Some(seconds(60)), "two answers are no end of an outage");
        (0..3).for_each(|_| _ = breaker.answered());
        breaker.failed(A, Ran::Freely, at(seconds(2)), seconds(2), 0.0);
        assert_eq!(gate(&breaker, A, &[]), Some(seconds(2)));
    }

    #[test]
    fn one_probe_at_a_time_and_what_hangs_from_before_does_not_count() {
        let mut breaker = Breaker::new(Scope::Backend, 8);
        breaker.failed(A, Ran::Freely, PLAIN, Duration::ZERO, 0.5);
        assert_eq!(gate(&breaker, A, &[Other { slot: B, ran: Ran::AsProbe }]), None);
        assert!(gate(&breaker, A, &[Other { slot: B, ran: Ran::Freely }]).is_some());
        assert!(gate(&breaker, B, &[Other { slot: A, ran: Ran::AsProbe }]).is_some(), "the failing one hangs again");
    }

    #[test]
    fn one_slots_failures_do_not_hold_the_others_for_long() {
        let mut breaker = Breaker::new(Scope::Backend, 8);
        let mut ran = Ran::Freely;
        for n in 0..10 {
            breaker.failed(A, ran, at(seconds(60 * n)), seconds(60 * n), 0.9);
            ran = breaker.start(A, seconds(60 * n));
        }
        assert_eq!(breaker.down_until(), None);
        assert!(gate(&breaker, B, &[]).unwrap() <= seconds(540) + Duration::from_millis(500));
        assert!(gate(&breaker, A, &[]).unwrap() >= seconds(555));
        assert_eq!(breaker.failed(B, ran, at(seconds(541)), seconds(541), 0.9), Failed::Down);
        assert_eq!(gate(&breaker, A, &[]), gate(&breaker, B, &[]));
    }

    #[test]
    fn retry_after_holds_even_when_an_older_request_is_answered_but_not_beyond_what_expires_nor_five_minutes() {
        let mut breaker = Breaker::new(Scope::Backend, 8);
        let away = |wait| FailureTiming { retry_after: Some(wait), ..PLAIN };
        assert_eq!(breaker.failed(A, Ran::Freely, away(seconds(30)), seconds(5), 0.0), Failed::Nothing);
        assert_eq!(breaker.answered(), Answered::Nothing);
        let until =
            |breaker: &Breaker, end| breaker.gate(B, std::iter::empty(), Deadline { end, renewal: None }, seconds(5));
        assert_eq!(until(&breaker, None), Some(seconds(35)));
        assert_eq!(until(&breaker, Some(seconds(25))), Some(seconds(20)));
        assert_eq!(until(&breaker, Some(seconds(5))), Some(seconds(15)), "what has expired waits ten seconds");
        let renewed = |at| Deadline { end: Some(seconds(25)), renewal: Some(seconds(at)) };
        let until_renewed = |at| breaker.gate(B, std::iter::empty(), renewed(at), seconds(5));
        assert_eq!(until_renewed(13), Some(seconds(11)), "before the renewal gives way");
        assert_eq!(until_renewed(4), Some(seconds(20)), "it has given way");
        breaker.failed(A, Ran::Freely, away(Duration::MAX), seconds(40), 0.9);
        breaker.answered();
        assert_eq!(until(&breaker, None), Some(seconds(340)));
        breaker.lift(seconds(41));
        assert_eq!(until(&breaker, None), Some(Duration::ZERO));
    }

    #[test]
    fn a_silence_that_is_everybodys_is_an_outage_at_once() {
        let mut breaker = Breaker::new(Scope::Backend, 8);
        let silence = FailureTiming { reach: Reach::All, ..PLAIN };
        assert_eq!(breaker.failed(Slot::Health, Ran::Freely, silence, Duration::ZERO, 0.5), Failed::Down);
    }

    #[test]
    fn after_an_outage_the_room_doubles_with_each_answer() {
        let mut breaker = Breaker::new(Scope::Backend, 8);
        let other = Other { slot: B, ran: Ran::Freely };
        breaker.failed(A, Ran::Freely, PLAIN, Duration::ZERO, 0.5);
        breaker.answered();
        let room = |breaker: &Breaker, count| gate(breaker, A, &vec![other; count]).is_some();
        assert_eq!((room(&breaker, 1), room(&breaker, 2)), (true, false));
        breaker.answered();
        breaker.answered();
        breaker.answered();
        assert_eq!((room(&breaker, 7), room(&breaker, 8)), (true, false));
    }
}
