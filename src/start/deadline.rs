//! The start-up deadline, retries within it, and a cancellation that still revokes late answers.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::backend::revoke::LAST_MOMENT;
use crate::domain::{part, with_clause};
use crate::provider::{Class, Failure, Outlook, backoff};
use crate::sys::{clock, random};

/// How long an attempt may take before the log says so.
const REPORTED_AFTER: Duration = Duration::from_secs(2);

/// The time reserved for a last attempt before the deadline.
const LAST_CHANCE: Duration = Duration::from_millis(250);

/// The limits of the time after which an unanswered request is repeated.
const SHARE: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(10);

/// The shortest pause after the second login whose answer was lost, and after each further one.
const AFTER_LOST_LOGINS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The failure of an attempt that the deadline ended.
fn deadline_exceeded() -> Failure {
    Failure::new(Class::Transient, "no answer before the deadline (--timeout)").perhaps_done()
}

/// How often a failure that is unlikely to pass is retried: about two seconds, in which for example a certificate may
/// be replaced.
const STANDING_TRIES: u32 = 3;

/// Whether a person or an app waits for the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Yes: a failure that is unlikely to pass is reported after a few tries.
    Short,
    /// No: a sidecar retries every retryable failure until the deadline.
    Long,
}

/// How many requests the token of this start must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Those of the start.
    Start,
    /// Any number: a sidecar or supervisor keeps running and rotates.
    Endless,
}

/// The deadline of the start, and whether the start has failed already.
#[derive(Debug)]
pub(crate) struct Start {
    patience: Patience,
    pub(crate) needs: Needs,
    deadline: Cell<Duration>,
    failed: Cell<bool>,
    changed: Notify,
    /// When the last line about an attempt without an answer was written.
    reported: Cell<Duration>,
}

impl Start {
    /// A start that may take `timeout` from now on.
    pub(crate) fn within(timeout: Duration, patience: Patience, needs: Needs) -> Self {
        Self {
            patience,
            needs,
            deadline: Cell::new(clock::boottime().saturating_add(timeout)),
            failed: Cell::new(false),
            changed: Notify::new(),
            reported: Cell::new(Duration::ZERO),
        }
    }

    /// The time left until the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.get().saturating_sub(clock::boottime())
    }

    /// Shortens the deadline to `time` from now, because the values that are missing are not essential.
    pub(crate) fn shorten(&self, time: Duration) {
        self.deadline.set(self.deadline.get().min(clock::boottime().saturating_add(time)));
    }

    /// Ends the start after a signal: requests under way get a last moment, because an answer that is not read could
    /// leave an unknown token or lease behind.
    pub(crate) fn end_soon(&self) {
        self.deadline.set(self.deadline.get().min(clock::boottime().saturating_add(LAST_MOMENT)));
        self.fail();
    }

    /// Whether no further request is to be sent: the start has failed, or a signal ends it.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// Fails the start, after a failure that no retry can repair: the other requests are not retried any more.
    pub(crate) fn fail(&self) {
        self.failed.set(true);
        self.changed.notify_waiters();
    }

    /// The pause before the next attempt, at most until shortly before the deadline; `None` when another attempt is
    /// pointless.
    fn pause(&self, wait: Duration, retry_after: Option<Duration>) -> Option<Duration> {
        let latest = self.left().saturating_sub(LAST_CHANCE);
        let wait = wait.min(latest);
        let is_pointless =
            self.failed.get() || wait.is_zero() || retry_after.is_some_and(|retry_after| retry_after > latest);
        (!is_pointless).then_some(wait)
    }

    /// How long one request may go unanswered before another one is sent: a quarter of the time left, within [`SHARE`].
    pub(crate) fn share(&self) -> Duration {
        part(self.left(), 4).clamp(*SHARE.start(), *SHARE.end())
    }

    /// Runs `request`; returns a transient failure when `server` does not answer within [`Self::share`].
    pub(crate) async fn within_share<T>(&self, server: &str, request: impl Future<Output = T>) -> Result<T, Failure> {
        let share = self.share();
        timeout(share, request).await.map_err(|_| {
            let why = format!("{server} gave no answer within {:.1} s", share.as_secs_f64());
            Failure::new(Class::Transient, why).lost().silent()
        })
    }

    /// Waits; returns `false` if the start failed meanwhile.
    async fn sleep(&self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => !self.failed.get(),
            () = self.changed.notified() => false,
        }
    }

    /// Runs `attempt`; returns a transient failure when the deadline comes first. Logs that it waits for `what` when
    /// that takes long.
    pub(crate) async fn attempt<T>(&self, what: &str, attempt: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answer = attempt => Ok(answer),
            () = self.ended() => Err(deadline_exceeded()),
            never = self.report_waiting(what) => match never {},
        }
    }

    /// Logs that an attempt gets no answer: after two seconds, and then at doubling intervals. Of parallel attempts
    /// only one is logged.
    async fn report_waiting(&self, what: &str) -> Infallible {
        let since = clock::boottime();
        let mut pause = REPORTED_AFTER;
        loop {
            sleep(pause).await;
            let now = clock::boottime();
            if now.saturating_sub(self.reported.get()) >= REPORTED_AFTER / 2 {
                self.reported.set(now);
                let (waited, left) = (now.saturating_sub(since).as_secs(), self.left().as_secs());
                info!("waiting for {what}: no answer for {waited} s; {left} s are left (--timeout)");
            }
            pause = pause.saturating_mul(2);
        }
    }

    /// Like [`Self::attempt`], for a login: after the deadline its answer is awaited a moment longer, so that the token
    /// can be revoked.
    pub(crate) async fn login<T>(&self, what: &str, login: impl Future<Output = T>) -> Result<T, Failure> {
        let mut login = pin!(login);
        match self.attempt(what, &mut login).await {
            Ok(answer) => Ok(answer),
            Err(late) => {
                let _unused = timeout(LAST_MOMENT, login).await;
                Err(late)
            }
        }
    }

    /// Returns at the deadline, also if that moves meanwhile.
    async fn ended(&self) {
        while !self.left().is_zero() {
            tokio::select! {
                () = sleep(self.left()) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Waits before the next attempt, and logs it; returns `false` when another attempt is pointless.
    pub(crate) async fn wait(&self, what: &str, failure: &Failure, tries: u32) -> bool {
        self.wait_at_least(Duration::ZERO, what, failure, tries).await
    }

    /// Like [`Self::wait`], for a login. `lost` answers to it did not arrive, of which each probably left a token that
    /// nobody knows: after the second one it waits longer than for other failures.
    pub(crate) async fn wait_for_login(&self, what: &str, failure: &Failure, tries: u32, lost: u32) -> bool {
        let least = match lost {
            0 | 1 => Duration::ZERO,
            2 => AFTER_LOST_LOGINS.0,
            _ => AFTER_LOST_LOGINS.1,
        };
        self.wait_at_least(least, what, failure, tries).await
    }

    /// [`Self::wait`], of at least `least`.
    async fn wait_at_least(&self, least: Duration, what: &str, failure: &Failure, tries: u32) -> bool {
        let is_bounded = failure.outlook == Outlook::Standing && self.patience == Patience::Short;
        if is_bounded && tries >= STANDING_TRIES {
            return false;
        }
        let retry_after = match &failure.class {
            // A `Retry-After` of zero or in the past is ignored: the usual back-off applies.
            Class::Throttled { retry_after } => retry_after.filter(|wait| !wait.is_zero()),
            _ => None,
        };
        let pause = backoff::delay(tries, retry_after, random::unit());
        // A person waits for the start, so the pause is shorter than a running sidecar's. `Retry-After` has its jitter
        // already.
        let pause = if retry_after.is_some() { pause } else { pause.min(LONGEST_PAUSE) }.max(least);
        let Some(pause) = self.pause(pause, retry_after.map(backoff::honoured)) else {
            if let Some(wait) = retry_after.filter(|_| !self.failed.get()) {
                let (wait, left) = (backoff::as_sent(wait), self.left().as_secs());
                warn!(
                    "{what}: no other try: the server asks to wait {wait} (Retry-After), and {left} s are left (--timeout)"
                );
            }
            return false;
        };
        let is_less = retry_after.is_some_and(|wait| backoff::honoured(wait) < wait);
        let least = if is_less { ", which is the most that is waited" } else { "" };
        let again = format!("trying again in {} ms{least}", pause.as_millis());
        warn!("{}", with_clause(&format!("{what}: {failure}"), &again));
        debug!(
            "try {} failed ({}); the next is in {} ms, {} s before the deadline (--timeout)",
            tries.saturating_add(1),
            failure.class,
            pause.as_millis(),
            self.left().saturating_sub(pause).as_secs(),
        );
        self.sleep(pause).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(seconds: u64, patience: Patience) -> Start {
        Start::within(Duration::from_secs(seconds), patience, Needs::Start)
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn a_pause_ends_before_the_deadline_and_none_is_made_for_a_wait_beyond_it() {
        let start = start(10, Patience::Long);
        assert_eq!(start.pause(Duration::from_secs(1), None), Some(Duration::from_secs(1)));
        assert!(start.pause(Duration::from_secs(60), None).unwrap() < Duration::from_secs(10) - LAST_CHANCE / 2);
        assert_eq!(start.pause(Duration::from_secs(60), Some(Duration::from_secs(60))), None);
        start.fail();
        assert_eq!(start.pause(Duration::from_secs(1), None), None, "the start has failed already");
    }

    #[test]
    fn a_wait_that_the_server_asks_for_comes_with_jitter() {
        let second = Duration::from_secs(1);
        let asked = Failure::new(Class::Throttled { retry_after: Some(second) }, "too many requests");
        let waits = || {
            let (start, before) = (start(60, Patience::Short), clock::boottime());
            assert!(block_on(start.wait("cannot read", &asked, 3)));
            clock::boottime().saturating_sub(before)
        };
        let times: Vec<Duration> = std::thread::scope(|scope| {
            let all = [(); 4].map(|()| scope.spawn(waits));
            all.map(|one| one.join().unwrap()).into()
        });
        assert!(times.iter().all(|time| *time >= second), "{times:?}");
        // 250 ms of jitter: four within 5 ms of the second are one in six million.
        assert!(times.iter().any(|time| *time > second + Duration::from_millis(5)), "{times:?}");
    }

    #[test]
    fn what_is_likely_to_stay_is_reported_soon_only_where_somebody_waits() {
        let standing = Failure::new(Class::Transient, "a certificate of another issuer").standing();
        assert!(!block_on(start(60, Patience::Short).wait("cannot read", &standing, STANDING_TRIES)));
        assert!(block_on(start(60, Patience::Long).wait("cannot read", &standing, 0)));
    }

    #[test]
    fn an_attempt_that_outlives_the_deadline_is_a_failure_that_may_have_been_carried_out() {
        let start = start(0, Patience::Long);
        let late = block_on(start.attempt("Vault", std::future::pending::<()>())).unwrap_err();
        assert_eq!((late.class, late.effect), (Class::Transient, crate::provider::Effect::Perhaps));
        // A login is waited for a moment longer, so that its token can be revoked.
        let is_over = std::cell::Cell::new(false);
        let login = async {
            sleep(Duration::from_millis(20)).await;
            is_over.set(true);
        };
        assert!(block_on(start.login("the login", login)).is_err() && is_over.get());
    }
}
