//! The driver's loop over simulated time, with everything that happened written down.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::schedule::{
    Authentication, Event, Next, Operation, Outcome, Plan, Schedule, SecretId, Settings, State, TokenId, Work,
};

use super::Dice;
use super::server::{Kind, Server};

/// A schedule, a server, and the time.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) schedule: Schedule,
    pub(super) server: Server,
    pub(super) events: Vec<(Duration, Event)>,
    /// The longest the schedule wanted to sleep.
    pub(super) longest_wait: Duration,
    /// The most requests that were under way at once.
    pub(super) most_under_way: usize,
    /// Stretches in which the app had a dead credential: whose, from when, how long.
    pub(super) gaps: Vec<(SecretId, Duration, Duration)>,
    /// The place of the lease the app has of each secret.
    visible: BTreeMap<SecretId, usize>,
    dice: Dice,
    token: Option<TokenId>,
    under_way: Vec<(Duration, Work, Outcome)>,
}

impl World {
    pub(super) fn new(server: Server, seed: u64) -> Self {
        Self::with(Settings::default(), server, seed)
    }

    pub(super) fn with(settings: Settings, server: Server, seed: u64) -> Self {
        Self::reading(Duration::from_secs(300), settings, server, seed)
    }

    /// What has no lease is read again at this interval.
    pub(super) fn reading(refresh: Duration, settings: Settings, mut server: Server, seed: u64) -> Self {
        server.window = settings.window;
        let mut schedule = Schedule::new(Authentication::Token, settings);
        for (index, kind) in server.kinds.iter().enumerate() {
            let operation = match kind {
                Kind::Certificate { .. } => Operation::Write,
                _ => Operation::Read,
            };
            let mount = server.mount(SecretId(index));
            schedule.add(Plan { operation, refresh, mount });
        }
        Self {
            now: Duration::from_secs(1000),
            schedule,
            server,
            events: Vec::new(),
            longest_wait: Duration::ZERO,
            most_under_way: 0,
            gaps: Vec::new(),
            visible: BTreeMap::new(),
            dice: Dice(seed),
            token: None,
            under_way: Vec::new(),
        }
    }

    /// Drives until `until` after the start of the world.
    pub(super) fn run(&mut self, until: Duration) {
        let until = Duration::from_secs(1000) + until;
        let mut steps_at_once = 0;
        while self.now < until {
            match self.schedule.next(self.now) {
                Next::Do(work) => {
                    steps_at_once += 1;
                    assert!(steps_at_once < 10_000, "a loop at {:?}: {work:?}", self.now);
                    let (outcome, takes) = self.server.serve(work, self.token, self.schedule.limit(work), self.now);
                    self.under_way.push((self.now + takes, work, outcome));
                    self.most_under_way = self.most_under_way.max(self.under_way.len());
                }
                Next::Tell(event) => self.events.push((self.now, event)),
                Next::Wait(wait) => {
                    assert!(!wait.is_zero(), "a wait for nothing at {:?}", self.now);
                    steps_at_once = 0;
                    self.longest_wait = self.longest_wait.max(wait);
                    let wake = (self.now + wait).min(until);
                    match self.under_way.iter().map(|(at, ..)| *at).min().filter(|at| *at <= wake) {
                        Some(at) => self.hear(at),
                        None => self.now = wake,
                    }
                }
            }
        }
    }

    /// The first outcome arrives.
    fn hear(&mut self, at: Duration) {
        let index = self.under_way.iter().position(|(then, ..)| *then == at).expect("just found");
        let (_, work, outcome) = self.under_way.remove(index);
        self.now = self.now.max(at);
        if let (Work::Login(id), Outcome::Granted(_)) = (work, &outcome) {
            self.token = Some(id);
        }
        let brings_a_value = matches!(outcome, Outcome::Fetched(_));
        self.schedule.done(work, outcome, self.now, self.dice.unit());
        if let (Some(id), true) = (work.secret(), brings_a_value) {
            self.show(id);
            self.schedule.delivered(&[id], self.now);
        }
    }

    /// The app has the new value from now on; was the one before alive until now?
    fn show(&mut self, id: SecretId) {
        let Some(place) = self.server.leases.iter().rposition(|lease| lease.secret == id) else { return };
        if let Some(before) = self.visible.insert(id, place).filter(|before| *before != place) {
            let dead = self.now.saturating_sub(self.server.death(before));
            if !dead.is_zero() {
                self.gaps.push((id, self.now - dead, dead));
            }
        }
    }

    /// The clock moves on while nothing runs: a laptop sleeps.
    pub(super) fn suspend(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn state(&self, id: usize) -> State {
        self.schedule.status(self.now).secrets[id].state
    }

    /// Requests from `from` on, both times after the start of the world.
    pub(super) fn requests(&self, from: u64, to: u64) -> Vec<Work> {
        let (from, to) = (Duration::from_secs(1000 + from), Duration::from_secs(1000 + to));
        self.server.log.iter().filter(|r| r.at >= from && r.at < to).map(|r| r.work).collect()
    }

    pub(super) fn count(&self, from: u64, to: u64, is: impl Fn(Work) -> bool) -> usize {
        self.requests(from, to).into_iter().filter(|work| is(*work)).count()
    }

    pub(super) fn issues(&self, id: usize) -> usize {
        self.count(0, u64::MAX / 2, |work| work == Work::Issue(SecretId(id)))
    }

    pub(super) fn logins(&self) -> usize {
        self.count(0, u64::MAX / 2, |work| matches!(work, Work::Login(_)))
    }

    pub(super) fn count_events(&self, event: Event) -> usize {
        self.events.iter().filter(|(_, seen)| *seen == event).count()
    }

    pub(super) fn assert_innocent(&self) {
        assert!(self.server.accusations.is_empty(), "{:#?}", self.server.accusations);
    }
}

/// A fault's stretch, counted from the start of the world.
pub(super) fn stretch(from: u64, to: u64, what: super::server::What) -> super::server::InjectedFault {
    let at = |n| Duration::from_secs(1000 + n);
    super::server::InjectedFault { from: at(from), to: at(to), what }
}
