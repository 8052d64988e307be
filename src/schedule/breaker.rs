//! A breaker: failures that are shared stop everybody who shares them, and one probe at a time finds out when it is over.
//!
//! A backend has one, and each of its mounts: a database that is down behind a healthy server opens only its mount's.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::scaled;

use super::backoff::{EXPIRED_WITHIN, patience, soon};
use super::work::{SecretId, TokenId};

/// Who sends a request. Failures are remembered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Login and renewal of the token.
    Token,
    /// The question whether the token lives.
    Check,
    /// The question whether the server lives.
    Health,
    /// The revocation of one handed over from.
    Old(TokenId),
    /// A secret.
    Secret(SecretId),
}

/// Closed at rest. Open after a failure: nothing runs but one probe after each back-off.
///
/// While all failures since the last answer are **one** slot's, only that slot waits out the back-off and the others wait
/// half a second at most, one at a time.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// From `Retry-After`: holds even if an older request is answered meanwhile.
    hold: Option<Hold>,
    budget: Budget,
    /// How many may be under way: doubles with each answer after an outage.
    room: usize,
    parallel: usize,
    scope: Scope,
}

/// Whose breaker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Behind which nobody answers while it is open: what it costs to find that out is bounded by the minute.
    Backend,
    /// Of a server that answers: what is about to end is tried whatever was spent before.
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

/// The server asked for patience.
#[derive(Debug, Clone, Copy)]
struct Hold {
    since: Duration,
    until: Duration,
}

/// Probes: five at once, then one in ten seconds. Full jitter alone bounds them only on average, and a budget by the minute
/// would leave a gap of a minute once it is spent.
#[derive(Debug, Default)]
struct Budget {
    /// When the budget is whole again.
    whole_at: Duration,
    /// The last eleven.
    spent: VecDeque<Duration>,
}

impl Budget {
    const BURST: u32 = 5;
    const PERIOD: Duration = Duration::from_secs(10);
    /// What is about to end has one in five seconds, while there were not eleven within the minute.
    const URGENT: Duration = Duration::from_secs(5);
    const RECENT: usize = 11;
    const MINUTE: Duration = Duration::from_secs(60);

    /// From when on there is a probe left.
    fn free_at(&self) -> Duration {
        self.whole_at.saturating_sub(Self::PERIOD.saturating_mul(Self::BURST.saturating_sub(1)))
    }

    fn free_at_if_urgent(&self) -> Duration {
        let full = self.spent.front().filter(|_| self.spent.len() >= Self::RECENT);
        let last = self.spent.back().map_or(Duration::ZERO, |last| last.saturating_add(Self::URGENT));
        full.map_or(last, |oldest| last.max(oldest.saturating_add(Self::MINUTE))).min(self.free_at())
    }

    fn spend(&mut self, now: Duration) {
        if self.spent.len() >= Self::RECENT {
            self.spent.pop_front();
        }
        self.spent.push_back(now);
        self.whole_at = self.whole_at.max(now).saturating_add(Self::PERIOD);
    }

    /// What urgent probes spent beyond the budget keeps nobody waiting for more than a period.
    fn forgive(&mut self, now: Duration) {
        self.whole_at = self.whole_at.min(now.saturating_add(Self::PERIOD.saturating_mul(Self::BURST)));
    }
}

/// What an answer changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It was closed, or open for one slot only.
    Nothing,
    /// It had been open for everybody.
    Recovered,
}

/// What a failure changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// No more than was known.
    Nothing,
    /// It is open for everybody from now on.
    Down,
}

/// Whom a failure speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The slot that met it; a second one that meets it too makes it everybody's.
    Slot,
    /// Everybody.
    All,
}

/// When the slot tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// After a first silence: the connection may be to blame, and the next try has another one.
    AtOnce,
    /// After the back-off.
    Later,
}

/// What a failure says about time.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailureTiming {
    pub(super) reach: Reach,
    pub(super) again: Again,
    /// When the request was sent: the back-off counts from there.
    pub(super) sent: Duration,
    /// `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// No back-off longer than this, because something ends.
    pub(super) limit: Option<Duration>,
}

impl FailureTiming {
    /// When the next try is due after that many failures.
    pub(super) fn due(&self, failures: u32, now: Duration, jitter: f64) -> Duration {
        match self.again {
            Again::AtOnce => now,
            Again::Later => self.sent.saturating_add(soon(failures, self.limit, jitter)).max(now),
        }
    }
}

/// Until when something can wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deadline {
    /// When its value dies.
    pub(super) end: Option<Duration>,
    /// When a renewal that was not made gives way to a replacement.
    pub(super) renewal: Option<Duration>,
}

/// Whether a request ran while the breaker was closed or as its probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    Freely,
    AsProbe,
}

/// A request under way, as the breaker it counts for sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Other {
    pub(super) slot: Slot,
    pub(super) ran: Ran,
}

impl Breaker {
    /// A longer `Retry-After` is taken as this.
    const PATIENCE: Duration = Duration::from_secs(300);

    /// What ends within this waits for no room: others are slow, and it may be quick.
    const LAST: Duration = Duration::from_millis(1500);

    pub(super) fn new(scope: Scope, parallel: usize) -> Self {
        let parallel = parallel.max(1);
        Self { state: State::Closed, hold: None, budget: Budget::default(), room: parallel, parallel, scope }
    }

    /// From when on `slot` may run; `None` while an outcome has to come first.
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
                    // Not charged to the budget: one slot's failures must not use up what the others need.
                    Whose::One { slot: failing, others } if *failing != slot => (*others, Some(*failing)),
                    _ => ((*until).max(self.affords(deadline.end, now)), None),
                };
                // What ran freely when it opened, and what hangs of the one that fails, keeps nobody from finding out.
                let mut probes = under_way.filter(|other| other.ran == Ran::AsProbe && Some(other.slot) != failing);
                probes.next().is_none().then(|| gate.max(waits_until))
            }
        }
    }

    /// The same for what did not fail itself, in a mount whose failures may be those of others: two databases can be connections
    /// of one mount.
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

    /// When there is a probe for what ends at `end`.
    fn affords(&self, end: Option<Duration>, now: Duration) -> Duration {
        let free_at = self.budget.free_at();
        match (end.filter(|end| *end > now).map(|end| end.saturating_sub(EXPIRED_WITHIN)), self.scope) {
            (Some(soon), Scope::Mount) => free_at.min(soon),
            (Some(soon), Scope::Backend) => free_at.min(soon.max(self.budget.free_at_if_urgent())),
            (None, _) => free_at,
        }
    }

    /// Until when patience lasts: so that a renewal is tried before it gives way, and a replacement before the end.
    fn waits_until(&self, deadline: Deadline) -> Duration {
        let Some(Hold { since, until }) = self.hold else { return Duration::ZERO };
        match deadline.renewal.filter(|at| *at > since).or(deadline.end) {
            Some(end) => until.min(since.saturating_add(patience(end.saturating_sub(since)))),
            None => until,
        }
    }

    /// Notes a request of `slot` that starts.
    pub(super) fn start(&mut self, slot: Slot, now: Duration) -> Ran {
        match &self.state {
            State::Closed => Ran::Freely,
            State::Open { whose, .. } => {
                if !matches!(whose, Whose::One { slot: failing, .. } if *failing != slot) {
                    self.budget.spend(now);
                    if self.scope == Scope::Mount {
                        self.budget.forgive(now);
                    }
                }
                Ran::AsProbe
            }
        }
    }

    /// There was an answer, whatever it said.
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

    /// There was none, or one that asks for patience.
    pub(super) fn failed(&mut self, slot: Slot, ran: Ran, timing: FailureTiming, now: Duration, jitter: f64) -> Failed {
        self.room = 1;
        if let Some(wait) = timing.retry_after {
            // A little later than asked, so that a fleet that was sent away together does not come back together.
            let wait = wait.saturating_add(scaled(wait, jitter / 10.0)).min(Self::PATIENCE);
            let until = self.hold.map_or(Duration::ZERO, |hold| hold.until).max(now.saturating_add(wait));
            self.hold = Some(Hold { since: now, until });
        }
        let (failures, until, same, was_down) = match &self.state {
            State::Closed => (1, None, true, false),
            State::Open { failures, until, whose } => {
                let same = matches!(whose, Whose::One { slot: failing, .. } if *failing == slot);
                let was_down = *whose == Whose::All;
                // What was under way when it opened says nothing new about how long it lasts.
                match ran {
                    Ran::Freely => (*failures, Some(*until), same, was_down),
                    Ran::AsProbe => (failures.saturating_add(1), None, same, was_down),
                }
            }
        };
        let until = until.unwrap_or_else(|| timing.due(failures, now, jitter));
        let whose = if same && timing.reach == Reach::Slot {
            Whose::One { slot, others: now.saturating_add(soon(1, None, jitter)) }
        } else {
            Whose::All
        };
        let is_down = whose == Whose::All;
        self.state = State::Open { failures, until, whose };
        if is_down && !was_down { Failed::Down } else { Failed::Nothing }
    }

    /// Somebody wants to know now: the next probe waits neither for the back-off nor for what the server asked.
    pub(super) fn lift(&mut self, now: Duration) {
        self.hold = None;
        self.budget = Budget::default();
        if let State::Open { until, .. } = &mut self.state {
            *until = (*until).min(now);
        }
    }

    /// Whether everybody may run.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// When the next probe may start, while it is open for everybody.
    pub(super) fn down_until(&self) -> Option<Duration> {
        match &self.state {
            State::Open { until, whose: Whose::All, .. } => {
                Some((*until).max(self.waits_until(Deadline::default())).max(self.budget.free_at()))
            }
            _ => None,
        }
    }

    /// Until when the server asked for patience, if that is not over.
    pub(super) fn patient_until(&self, now: Duration) -> Option<Duration> {
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
        assert!(gate(&breaker, A, &[]).unwrap() >= seconds(580));
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
