//! One breaker per backend: transient and throttled failures stop everybody, one probe at a time finds out when it is over.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::scaled;

use super::backoff::soon;
use super::work::{SecretId, TokenId};

/// Who asks. Failures are remembered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Login and renewal of the token.
    Token,
    /// The question whether it lives.
    Check,
    /// The revocation of one handed over from.
    Old(TokenId),
    /// A secret.
    Secret(SecretId),
}

/// Closed at rest. Open after a failure that is the backend's: nothing runs but one probe after each back-off.
///
/// While all failures since the last answer are **one** slot's, only that slot waits out the back-off and the others wait
/// half a second at most, one at a time: a database that is down behind a healthy server is not an outage of the server.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// From `Retry-After`: holds even if an older request is answered meanwhile.
    held_until: Duration,
    /// When the last probes started; a full list makes the next wait until the oldest is a minute ago. Once there is room
    /// for everybody again the outage is over for good, and the next one has a budget of its own.
    probes: VecDeque<Duration>,
    /// How many may be under way: doubles with each answer after an outage.
    room: usize,
    parallel: usize,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { failures: u32, until: Duration, whose: Whose },
}

#[derive(Debug)]
enum Whose {
    One { slot: Slot, others: Duration },
    Backend,
}

/// What an answer changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It was closed, or open for one slot only.
    Nothing,
    /// The backend had been down for everybody and is back.
    Recovered,
}

/// What a failure changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// No more than was known.
    Nothing,
    /// The backend is down for everybody from now on.
    Down,
}

/// What a failure of the backend says about time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setback {
    /// `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// No back-off longer than this, because something ends.
    pub(super) limit: Option<Duration>,
}

/// Whether a request ran while the breaker was closed or as its probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    Freely,
    AsProbe,
}

impl Breaker {
    /// Probes in any minute. Full jitter alone bounds them only on average.
    pub(super) const PROBES: usize = 12;
    const BUDGET: Duration = Duration::from_secs(60);
    /// A longer `Retry-After` is taken as this.
    const PATIENCE: Duration = Duration::from_secs(3600);

    pub(super) fn new(parallel: usize) -> Self {
        let parallel = parallel.max(1);
        Self { state: State::Closed, held_until: Duration::ZERO, probes: VecDeque::new(), room: parallel, parallel }
    }

    /// From when on `slot` may run; `None` while an outcome has to come first.
    pub(super) fn gate(&self, slot: Slot, under_way: usize) -> Option<Duration> {
        match &self.state {
            State::Closed => (under_way < self.room).then_some(self.held_until),
            State::Open { until, whose, .. } => {
                let gate = match whose {
                    // Not charged to the budget: one slot's failures must not use up what the others need.
                    Whose::One { slot: failing, others } if *failing != slot => *others,
                    _ => (*until).max(self.budget()),
                };
                (under_way == 0).then(|| gate.max(self.held_until))
            }
        }
    }

    fn budget(&self) -> Duration {
        match self.probes.front() {
            Some(oldest) if self.probes.len() >= Self::PROBES => oldest.saturating_add(Self::BUDGET),
            _ => Duration::ZERO,
        }
    }

    /// Notes a request that starts.
    pub(super) fn start(&mut self, now: Duration) -> Ran {
        if self.is_closed() {
            return Ran::Freely;
        }
        if self.probes.len() >= Self::PROBES {
            self.probes.pop_front();
        }
        self.probes.push_back(now);
        Ran::AsProbe
    }

    /// The backend answered, whatever it said.
    pub(super) fn answered(&mut self) -> Answered {
        self.room = self.room.saturating_mul(2).min(self.parallel);
        if self.room == self.parallel {
            self.probes.clear();
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open { whose: Whose::Backend, .. } => Answered::Recovered,
            _ => Answered::Nothing,
        }
    }

    /// The backend did not answer, or asked for patience.
    pub(super) fn failed(&mut self, slot: Slot, ran: Ran, setback: Setback, now: Duration, jitter: f64) -> Failed {
        self.room = 1;
        if let Some(wait) = setback.retry_after {
            // A little later than asked, so that a fleet that was sent away together does not come back together.
            let wait = wait.min(Self::PATIENCE);
            let later = scaled(wait, jitter / 10.0);
            self.held_until = self.held_until.max(now.saturating_add(wait).saturating_add(later));
        }
        let (failures, until, same, was_down) = match &self.state {
            State::Closed => (1, None, true, false),
            State::Open { failures, until, whose } => {
                let same = matches!(whose, Whose::One { slot: failing, .. } if *failing == slot);
                let was_down = matches!(whose, Whose::Backend);
                // What was under way when it opened says nothing new about how long it lasts.
                match ran {
                    Ran::Freely => (*failures, Some(*until), same, was_down),
                    Ran::AsProbe => (failures.saturating_add(1), None, same, was_down),
                }
            }
        };
        let until = until.unwrap_or_else(|| now.saturating_add(soon(failures, setback.limit, jitter)));
        let whose = if same && setback.retry_after.is_none() {
            Whose::One { slot, others: now.saturating_add(soon(1, None, jitter)) }
        } else {
            Whose::Backend
        };
        let is_down = matches!(whose, Whose::Backend);
        self.state = State::Open { failures, until, whose };
        if is_down && !was_down { Failed::Down } else { Failed::Nothing }
    }

    /// Whether everybody may run.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// When the next probe may start, while it is open for everybody.
    pub(super) fn down_until(&self) -> Option<Duration> {
        match &self.state {
            State::Open { until, whose: Whose::Backend, .. } => Some((*until).max(self.held_until).max(self.budget())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Slot = Slot::Secret(SecretId(0));
    const B: Slot = Slot::Secret(SecretId(1));
    const PLAIN: Setback = Setback { retry_after: None, limit: None };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_outage_costs_at_most_a_dozen_probes_a_minute_even_with_the_worst_jitter() {
        let mut breaker = Breaker::new(8);
        breaker.failed(A, Ran::Freely, PLAIN, Duration::ZERO, 0.0);
        breaker.failed(B, Ran::Freely, PLAIN, Duration::ZERO, 0.0);
        let (mut now, mut probes) = (Duration::ZERO, 0);
        loop {
            now = now.max(breaker.gate(A, 0).unwrap());
            if now >= seconds(60) {
                break;
            }
            let ran = breaker.start(now);
            breaker.failed(A, ran, PLAIN, now, 0.0);
            probes += 1;
        }
        assert_eq!(probes, Breaker::PROBES);
    }

    #[test]
    fn what_an_outage_that_is_over_cost_is_not_charged_to_the_next() {
        let mut breaker = Breaker::new(8);
        let outage = |breaker: &mut Breaker, at: u64| {
            breaker.failed(A, Ran::Freely, PLAIN, seconds(at), 0.0);
            for _ in 0..Breaker::PROBES {
                let ran = breaker.start(seconds(at));
                breaker.failed(B, ran, PLAIN, seconds(at), 0.0);
            }
        };
        outage(&mut breaker, 0);
        assert_eq!(breaker.gate(A, 0), Some(seconds(60)));
        breaker.answered();
        breaker.answered();
        outage(&mut breaker, 1);
        assert_eq!(breaker.gate(A, 0), Some(seconds(61)), "two answers are no end of an outage");
        (0..3).for_each(|_| _ = breaker.answered());
        breaker.failed(A, Ran::Freely, PLAIN, seconds(2), 0.0);
        assert_eq!(breaker.gate(A, 0), Some(seconds(2)));
    }

    #[test]
    fn one_probe_at_a_time() {
        let mut breaker = Breaker::new(8);
        breaker.failed(A, Ran::Freely, PLAIN, Duration::ZERO, 0.5);
        assert_eq!(breaker.gate(A, 1), None);
        assert!(breaker.gate(A, 0).is_some());
    }

    #[test]
    fn one_slots_failures_do_not_hold_the_others_for_long() {
        let mut breaker = Breaker::new(8);
        let mut ran = Ran::Freely;
        for n in 0..10 {
            breaker.failed(A, ran, PLAIN, seconds(60 * n), 0.9);
            ran = breaker.start(seconds(60 * n));
        }
        assert_eq!(breaker.down_until(), None);
        assert!(breaker.gate(B, 0).unwrap() <= seconds(540) + Duration::from_millis(500));
        assert!(breaker.gate(A, 0).unwrap() >= seconds(580));
        assert_eq!(breaker.failed(B, ran, PLAIN, seconds(541), 0.9), Failed::Down);
        assert_eq!(breaker.gate(A, 0), breaker.gate(B, 0));
    }

    #[test]
    fn retry_after_holds_even_when_an_older_request_is_answered() {
        let mut breaker = Breaker::new(8);
        let asked = Setback { retry_after: Some(seconds(30)), limit: Some(seconds(1)) };
        assert_eq!(breaker.failed(A, Ran::Freely, asked, seconds(5), 0.0), Failed::Down);
        assert_eq!(breaker.answered(), Answered::Recovered);
        assert_eq!(breaker.gate(B, 0), Some(seconds(35)));
    }

    #[test]
    fn after_an_outage_the_room_doubles_with_each_answer() {
        let mut breaker = Breaker::new(8);
        breaker.failed(A, Ran::Freely, PLAIN, Duration::ZERO, 0.5);
        breaker.answered();
        assert_eq!((breaker.gate(A, 1).is_some(), breaker.gate(A, 2).is_some()), (true, false));
        breaker.answered();
        breaker.answered();
        breaker.answered();
        assert_eq!((breaker.gate(A, 7).is_some(), breaker.gate(A, 8).is_some()), (true, false));
    }
}
