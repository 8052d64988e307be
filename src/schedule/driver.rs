//! Drives schedules: starts the work they request as futures and reports the outcomes back to them.
//!
//! There is one schedule per backend. Time and jitter are arguments, so that a simulated backend can be driven like a
//! real one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::machine::Schedule;
use super::work::{Event, Next, Outcome, Work};

/// Executes the work that the schedule of one backend requests.
pub trait Executor: 'static {
    /// The value that a fetch returns.
    type Output: 'static;

    /// Executes one piece of work, taking no longer than `limit`. Returns its outcome and, after a fetch, the new
    /// value.
    fn execute(
        self: Rc<Self>,
        work: Work,
        limit: Duration,
    ) -> impl Future<Output = (Outcome, Option<Self::Output>)> + 'static;
}

/// One backend of a driver: its index in the order of [`Driver::add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub usize);

/// Work that has ended.
#[derive(Debug)]
pub struct Completed<B> {
    /// The backend it was executed by.
    pub backend: BackendId,
    /// The work that was requested.
    pub work: Work,
    /// The result, as the schedule needs it.
    pub outcome: Outcome,
    /// The fetched value; `None` if the work was not a fetch, or the value has not changed.
    pub output: Option<B>,
}

/// What [`Driver::start`] started, and how long to wait before the next call.
#[derive(Debug)]
pub struct Started {
    /// The work that was started, in order.
    pub work: Vec<(BackendId, Work)>,
    /// Events for the caller to decide about, log or count.
    pub events: Vec<(BackendId, Event)>,
    /// Nothing becomes due before this time has passed, unless work ends first; at most 30 s.
    pub wait: Duration,
}

type InFlight<B> = Pin<Box<dyn Future<Output = Completed<B>>>>;

/// The schedules and executors of all backends, and the work under way.
pub struct Driver<C: Executor> {
    backends: Vec<(Schedule, Rc<C>)>,
    in_flight: FuturesUnordered<InFlight<C::Output>>,
}

impl<C: Executor> std::fmt::Debug for Driver<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("under_way", &self.in_flight.len()).finish_non_exhaustive()
    }
}

impl<C: Executor> Default for Driver<C> {
    fn default() -> Self {
        Self { backends: Vec::new(), in_flight: FuturesUnordered::new() }
    }
}

impl<C: Executor> Driver<C> {
    /// Adds a backend with its schedule; returns its id.
    pub fn add(&mut self, schedule: Schedule, backend: Rc<C>) -> BackendId {
        let id = BackendId(self.backends.len());
        self.backends.push((schedule, backend));
        id
    }

    /// Every backend with its id, schedule and executor.
    pub fn backends(&self) -> impl Iterator<Item = (BackendId, &Schedule, &Rc<C>)> {
        self.backends.iter().enumerate().map(|(index, (schedule, executor))| (BackendId(index), schedule, executor))
    }

    /// The schedule of a backend.
    pub fn schedule(&mut self, id: BackendId) -> &mut Schedule {
        &mut self.backends[id.0].0
    }

    /// The executor of a backend.
    pub fn executor(&self, id: BackendId) -> &Rc<C> {
        &self.backends[id.0].1
    }

    /// Starts all work that is due at `now` and collects the schedules' events. Does not wait for anything.
    pub fn start(&mut self, now: Duration) -> Started {
        let mut started = Started { work: Vec::new(), events: Vec::new(), wait: Duration::MAX };
        for (index, (schedule, executor)) in self.backends.iter_mut().enumerate() {
            let backend = BackendId(index);
            loop {
                match schedule.next(now) {
                    Next::Tell(event) => started.events.push((backend, event)),
                    Next::Do(work) => {
                        started.work.push((backend, work));
                        let under_way = Rc::clone(executor).execute(work, schedule.limit(work));
                        self.in_flight.push(Box::pin(async move {
                            let (outcome, output) = under_way.await;
                            Completed { backend, work, outcome, output }
                        }));
                    }
                    Next::Wait(wait) => {
                        started.wait = started.wait.min(wait);
                        break;
                    }
                }
            }
        }
        started
    }

    /// Waits until some work ends and returns it; never returns while nothing is under way.
    pub async fn completed(&mut self) -> Completed<C::Output> {
        poll_fn(|context| self.poll_completed(context)).await
    }

    /// Like [`Self::completed`], for a caller that must not borrow the driver while it waits. Pending while nothing is
    /// under way.
    pub fn poll_completed(&mut self, context: &mut Context<'_>) -> Poll<Completed<C::Output>> {
        match self.in_flight.poll_next_unpin(context) {
            Poll::Ready(Some(completed)) => Poll::Ready(completed),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// How many pieces of work are under way.
    pub fn under_way(&self) -> usize {
        self.in_flight.len()
    }

    /// Drops all work that is under way, without reporting it to the schedules: for shutdown only.
    pub fn abandon(&mut self) {
        self.in_flight.clear();
    }

    /// Reports the outcome of a piece of work to its schedule; to be called once for each [`Completed`].
    pub fn done(&mut self, backend: BackendId, work: Work, outcome: Outcome, now: Duration, jitter: f64) {
        self.backends[backend.0].0.done(work, outcome, now, jitter);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::provider::{Class, Failure};
    use crate::schedule::{
        Answer, Authentication, Grant, Life, Lifetime, MountId, Operation, Plan, SecretId, Settings, State,
    };

    /// Answers at once, in a world where only the test's clock moves.
    struct Fake {
        down: RefCell<bool>,
        sent: RefCell<Vec<Work>>,
    }

    impl Executor for Fake {
        type Output = u64;
        fn execute(self: Rc<Self>, work: Work, _: Duration) -> impl Future<Output = (Outcome, Option<u64>)> + 'static {
            self.sent.borrow_mut().push(work);
            let life = Lifetime { ttl: Duration::from_secs(600), renewable: true };
            let answer = match work {
                _ if *self.down.borrow() => (Outcome::Failed(Failure::new(Class::Transient, "503")), None),
                Work::Login(_) | Work::RenewToken => {
                    (Outcome::Granted(Grant { life: Some(life), revocable: true }), None)
                }
                Work::Renew(_) => (Outcome::Renewed(life), None),
                Work::Issue(_) | Work::Read(_) => {
                    (Outcome::Fetched(Answer { life: Life::Lease(life), rotates_in: None }), Some(1))
                }
                Work::CheckToken | Work::CheckHealth | Work::RevokeOldToken(_) => (Outcome::Done, None),
            };
            async move { answer }
        }
    }

    /// Drives until `until` by the test's own clock.
    fn run(driver: &mut Driver<Fake>, now: &mut Duration, until: Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        while *now < until {
            let started = driver.start(*now);
            if driver.under_way() == 0 {
                *now += started.wait.max(Duration::from_millis(1));
                continue;
            }
            let completed = runtime.block_on(driver.completed());
            let delivered: Vec<SecretId> = completed.output.and(completed.work.secret()).into_iter().collect();
            driver.done(completed.backend, completed.work, completed.outcome, *now, 0.5);
            driver.schedule(completed.backend).delivered(&delivered, *now);
        }
    }

    fn world() -> (Driver<Fake>, Rc<Fake>) {
        let fake = Rc::new(Fake { down: RefCell::new(false), sent: RefCell::default() });
        let mut schedule = Schedule::new(Authentication::Token, Settings::default());
        schedule.add(Plan { operation: Operation::Read, refresh: Duration::from_secs(300), mount: MountId(0) });
        let mut driver = Driver::default();
        driver.add(schedule, Rc::clone(&fake));
        (driver, fake)
    }

    #[test]
    fn an_hour_of_renewals_is_one_login_and_one_issue() {
        let (mut driver, fake) = world();
        let mut now = Duration::from_secs(1000);
        run(&mut driver, &mut now, Duration::from_secs(1000 + 3600));
        let sent = fake.sent.borrow();
        let count = |is: fn(&Work) -> bool| sent.iter().filter(|work| is(work)).count();
        assert_eq!(count(|work| matches!(work, Work::Login(_))), 1);
        assert_eq!(count(|work| matches!(work, Work::Issue(_))), 1);
        assert!(count(|work| matches!(work, Work::Renew(_))) >= 8);
    }

    #[test]
    fn an_outage_passes_without_a_second_credential() {
        let (mut driver, fake) = world();
        let mut now = Duration::from_secs(1000);
        run(&mut driver, &mut now, Duration::from_secs(1300));
        *fake.down.borrow_mut() = true;
        let before = fake.sent.borrow().len();
        run(&mut driver, &mut now, Duration::from_secs(1500));
        assert!(fake.sent.borrow().len() - before <= 40, "{} requests", fake.sent.borrow().len() - before);
        *fake.down.borrow_mut() = false;
        run(&mut driver, &mut now, Duration::from_secs(1800));
        assert_eq!(fake.sent.borrow().iter().filter(|work| matches!(work, Work::Issue(_))).count(), 1);
        let states: Vec<_> = driver.backends().map(|(_, schedule, _)| schedule.status(now).secrets[0].state).collect();
        assert_eq!(states, [State::Fresh]);
    }
}
