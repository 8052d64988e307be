//! The schedule of one backend: one login token and its secrets, as a state machine over time.

mod choose;
mod expiry;
mod hasten;
mod limit;
mod mount;
mod take_in;
mod throttled;

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::unit;
use super::breaker::{Breaker, Ran, Scope, Slot};
use super::secret::{Notice, Secret, Shown};
use super::settings::Settings;
use super::status::{SecretStatus, State, Status, TokenStatus};
use super::token::Tokens;
use super::work::{Answer, Event, Grant, Next, Outcome, Plan, SecretId, TokenId, Work};

use choose::Rank;
use hasten::Round;
use mount::Mount;
use throttled::Throttled;

/// What is under way for longer is slow, and perhaps hangs.
const SLOW: Duration = Duration::from_secs(1);
/// No wait is longer: a clock that jumped is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Decides what is done next for one backend: its login token, if it has one, and its secrets.
///
/// Pure: `now` counts from boot (suspend included) and `jitter` is a fresh number in `[0, 1)`; both are arguments. The driver
/// is a loop: ask [`next`](Self::next); start the work it names, tell the event it names, or wait until an outcome arrives
/// or the time is over; report each outcome by [`done`](Self::done) and each delivery by [`delivered`](Self::delivered).
///
/// # Specification
///
/// **Lives.** A life counts from when its request was *sent*, so that it never ends later here than on the server. The
/// expiry of a leased secret is the earlier end of its lease and of the token it was issued under; a token that is revoked
/// or forgotten takes its leases with it. A value without a lease does not depend on the token.
///
/// **Renewal.** A renewable lease or token is renewed at two thirds of its life less up to a tenth of it, by jitter. It is
/// never renewed after its end, nor in its last second (or tenth, when that is shorter). That `max_ttl` is reached shows in
/// renewals that bring less than half of the time that has passed: twice in a row, or once within the window, and it is not
/// renewed again.
///
/// **Replacement.** While a lease and its token can be renewed nothing is issued. What cannot be renewed is replaced in
/// its *window*: the last tenth of its whole life, at least 2 s, at most 5 min; begun in the window's first half, by
/// jitter. What has ended is replaced at once. Nothing is replaced within a second of its issue, or within a third of it when
/// it lives less than three.
///
/// **The rest.** A read without a lease is repeated after its interval less up to a tenth, a value with a rotation of
/// its own (a static role) also right after that; when such a value has not rotated at its time, every second, and then
/// after an eighth of how late it is, at most a minute.
/// From one interval before a `NextRotationDate` to one after it the interval is a twelfth (at least 30 s), and so is the
/// first one where the date is not known yet. What states its own end and may live twice without harm (a certificate, a
/// signed key, a token), read or written, is issued again at two thirds of its life less up to a tenth, and never because
/// of the general interval or a [`refresh`](Self::refresh), only at one that is set on the secret itself
/// ([`reissue_every`](Self::reissue_every)); a write that states none, only at the latter.
/// With [`Reads::Together`](super::Reads), reads that are due within a tenth of their interval follow the first, a second behind one
/// another (of short intervals less).
///
/// **Token hand-over.** A token that cannot be renewed is replaced in its window by a new login; one that lives for hours and is
/// revoked afterwards at any moment, by jitter, from a fiftieth of its life before its end (at most six of the longest windows) to
/// the middle of its window, so that a fleet that started together spreads. No issue runs
/// beside a login or just before one that is due: what is due in the token's window waits for the login until the middle
/// of its own window, and then hastens it. Then every leased secret is issued once more under the new token; the
/// others are not read again because of it. When all of them were delivered, and [`Settings::settle`] has passed, the
/// old token is revoked, if it is ours and still lives.
///
/// **A dead token.** The first `Denied` of something that was not denied before leads to one question whether the token
/// lives, unless the driver already says [`Outcome::TokenDead`]. Dead means one new login at once, and a
/// further one only after a minute, doubling to ten, until a token is seen alive again. Refusals that were asked under an
/// older token say nothing. Alive means the denial is the secret's own.
///
/// **Refusals.** Denied, not found and malformed belong to the secret: asked again after a minute, doubling to ten, less
/// up to a quarter, and no other secret notices. A refused *renewal* is repeated once, 2–4 s later; refused again, the
/// lease is lost and issued anew, once: if the new lease's first renewal is refused as well, that lease lives its life
/// out and is replaced in its window.
///
/// **Failures.** An answer from a server that works is never an outage of the server. Transient and throttled answers belong to
/// the *mount*, which has a breaker of its own: one probe at a time of what fails there, which is real work. What does not fail
/// itself (or failed once while its value lives) passes the mount's breaker, because two databases can be connections of one mount,
/// and an answer to it does not close the breaker. A silence longer than the [limit](Self::limit) belongs to the mount too,
/// unless [`Work::CheckHealth`] shows that nobody answers; so does an answer that a server which is down gives to everybody (503, 502,
/// a proxy's page), for which the health is asked at once, once for all. What has no connection, and 429 from two that share nothing (all
/// renewals are one) while nothing else is answered, belongs to the *backend*: nothing runs but one probe after each back-off, of what failed least often first, then by urgency.
/// As long as all failures are one secret's, the others wait at most half a second and go one at a time.
///
/// Back-off is exponential from 0.5 s to 60 s with full jitter, at most half of the time until the next expiry (but a second). A
/// backend has never more than 12 probes in a minute: with 8 requests under way at its start, a minute of outage costs at most 20
/// requests; three answers in a row end an outage for good, and the next is counted anew. `Retry-After`, plus up to a tenth, holds
/// for five minutes at most and never beyond what expires; a [`refresh`](Self::refresh) lifts it. On recovery what is overdue
/// runs: the token first, then by expiry, two in parallel, then 4, 8. A renewal that keeps failing while the server answers gives
/// way to a replacement in the window of the current grant.
///
/// **Expired.** What has expired, or will within 10 s, is tried every 10 s whatever its back-off has grown to: what was refused
/// one secret at a time, a refused login likewise.
///
/// **Changes.** When a read brings another value, reads of the same interval are sent once more half a second later
/// ([`Settings::together_within`]), so that what changed together is one delivery.
///
/// **Expiry.** When a value dies, [`Event::Expired`] comes once: at once if something stands in the way of replacing
/// it, after 10 s of trying otherwise (a suspended laptop resumes with everything expired and repairs it in
/// milliseconds). [`Event::Revived`] follows when it was replaced.
///
/// **Time.** No wait is longer than 30 s; a jump of the clock only makes things due.
#[derive(Debug)]
pub struct Schedule {
    settings: Settings,
    tokens: Option<Tokens>,
    secrets: Vec<Secret>,
    breaker: Breaker,
    mounts: Vec<Mount>,
    in_flight: Vec<InFlight>,
    /// When the last answer came, whatever it said.
    last_answer: Duration,
    /// When the server was asked whether it lives.
    last_health: Duration,
    /// A request was in vain, and nothing was answered since it was sent.
    suspected: Option<Duration>,
    throttled: Throttled,
    /// The next try of something that was refused and has expired.
    refused_again: Duration,
    round: Option<Round>,
    jitter: f64,
    events: VecDeque<Event>,
    unanswered_issues: u64,
    refreshed: Option<Duration>,
}

/// Whether the backend wants a login before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// A token, under which leases live (Vault, OpenBao).
    Token,
    /// None that has a life we would know of (Secrets Manager, files).
    Nothing,
}

/// The answer to [`Schedule::refresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// Everything that may be read again is due.
    Accepted,
    /// The last one was too recent; try again after this.
    TooSoon(Duration),
}

/// A request under way.
#[derive(Debug)]
struct InFlight {
    slot: Slot,
    work: Work,
    requested_at: Duration,
    token: Option<TokenId>,
    ran: Ran,
    ran_in_mount: Ran,
    limit: Duration,
}

impl InFlight {
    /// Whether it may still be one of those that are answered soon.
    fn is_young(&self, now: Duration) -> bool {
        self.requested_at.saturating_add(SLOW) > now
    }
}

impl Schedule {
    /// A schedule without secrets.
    pub fn new(authentication: Authentication, settings: Settings) -> Self {
        Self {
            tokens: match authentication {
                Authentication::Token => Some(Tokens::new()),
                Authentication::Nothing => None,
            },
            secrets: Vec::new(),
            breaker: Breaker::new(Scope::Backend, settings.parallel),
            mounts: Vec::new(),
            last_answer: Duration::ZERO,
            last_health: Duration::ZERO,
            suspected: None,
            throttled: Throttled::default(),
            refused_again: Duration::ZERO,
            round: None,
            jitter: 0.5,
            in_flight: Vec::new(),
            events: VecDeque::new(),
            unanswered_issues: 0,
            refreshed: None,
            settings,
        }
    }

    /// Adds a secret, due at once.
    pub fn add(&mut self, plan: Plan) -> SecretId {
        let id = SecretId(self.secrets.len());
        while self.mounts.len() <= plan.mount.0 {
            self.mounts.push(Mount::new(&self.settings));
        }
        self.secrets.push(Secret::new(plan));
        id
    }

    /// Issues this secret again at this interval too: an operator set it on the secret itself. One with a lease is renewed
    /// instead.
    pub fn reissue_every(&mut self, id: SecretId, interval: Duration) {
        self.secrets[id.0].reissue_every(interval);
    }

    /// Whether [`refresh`](Self::refresh) reads this secret again; what it would issue anew is left alone.
    pub fn is_refreshed(&self, id: SecretId) -> bool {
        self.secrets[id.0].is_refreshed()
    }

    /// Takes up a token that was asked for at `asked`: from the first fetch, or from an earlier run.
    pub fn resume_token(&mut self, grant: Grant, requested_at: Duration, jitter: f64) -> Option<TokenId> {
        let tokens = self.tokens.as_mut()?;
        let id = tokens.upcoming();
        tokens.logged_in(id, grant, &self.settings, requested_at, jitter);
        Some(id)
    }

    /// Takes up a secret that was asked for (or last renewed) at `asked`, under the current token, and is delivered.
    pub fn resume(&mut self, id: SecretId, answer: Answer, requested_at: Duration, jitter: f64) {
        let token = self.current();
        if let Some(secret) = self.secrets.get_mut(id.0) {
            secret.accept(answer, token, &self.settings, requested_at, jitter);
            secret.shown = Shown::Delivered;
        }
    }

    /// Makes a read due at once: the value may have changed. What would be issued anew is left alone.
    pub fn read_again(&mut self, id: SecretId, now: Duration) {
        if let Some(secret) = self.secrets.get_mut(id.0) {
            secret.refresh(now);
        }
    }

    /// The value is of an earlier run: it is read again at once, and if it has ended, that is told without delay: the start has
    /// tried to replace it.
    pub fn is_of_earlier_run(&mut self, id: SecretId, now: Duration) {
        let is_over = |secret: &Secret| self.expiry(secret).is_some_and(|end| end <= now);
        if self.secrets.get(id.0).is_some_and(is_over) {
            self.secrets[id.0].notice = Notice::Overdue;
        }
        self.read_again(id, now);
    }

    /// What to do now. Work that is handed out counts as under way until [`done`](Self::done).
    pub fn next(&mut self, now: Duration) -> Next {
        if let Some(event) = self.events.pop_front().or_else(|| self.expired(now)) {
            return Next::Tell(event);
        }
        self.forget_old_tokens(now);
        self.hasten(now);
        self.await_login(now);
        let mut wake = now.saturating_add(LONGEST_SLEEP).min(self.next_hastened(now)).min(self.next_slow(now));
        let mut first: Option<(Rank, Slot)> = None;
        for slot in self.slots() {
            match self.ready(slot, now) {
                None => {}
                Some(at) if at > now => wake = wake.min(at),
                Some(_) => {
                    let rank = self.rank(slot, now);
                    if first.as_ref().is_none_or(|(best, _)| rank < *best) {
                        first = Some((rank, slot));
                    }
                }
            }
        }
        if let Some((_, slot)) = first {
            return Next::Do(self.start(slot, now));
        }
        Next::Wait(wake.min(self.next_notice(now)).saturating_sub(now))
    }

    /// What came of a piece of work. One that is not under way is ignored.
    pub fn done(&mut self, work: Work, outcome: Outcome, now: Duration, jitter: f64) {
        let Some(at) = self.in_flight.iter().position(|flight| flight.work == work) else { return };
        let flight = self.in_flight.swap_remove(at);
        let jitter = unit(jitter);
        self.jitter = jitter;
        match outcome {
            Outcome::Failed(failure) if failure.class.is_retried() => self.set_back(&flight, failure, now, jitter),
            outcome => {
                self.answered(&flight, now);
                self.take_in(&flight, outcome, now, jitter);
            }
        }
    }

    /// These secrets, as they came last, are visible to the app.
    pub fn delivered(&mut self, secrets: &[SecretId], now: Duration) {
        for id in secrets {
            if let Some(secret) = self.secrets.get_mut(id.0) {
                secret.shown = Shown::Delivered;
            }
        }
        self.review_hand_over(now);
    }

    /// Somebody wants fresh values (a command, a signal): reads, and whatever fails, are due at once, whatever the back-off is
    /// and the server asked for. Nothing is issued that lives.
    pub fn refresh(&mut self, now: Duration) -> Refreshed {
        let wait = self
            .refreshed
            .map_or(Duration::ZERO, |at| at.saturating_add(self.settings.refresh_every).saturating_sub(now));
        if !wait.is_zero() {
            return Refreshed::TooSoon(wait);
        }
        self.refreshed = Some(now);
        self.secrets.iter_mut().for_each(|secret| secret.refresh(now));
        self.tokens.iter_mut().for_each(|tokens| tokens.refresh(now));
        self.breaker.lift(now);
        self.mounts.iter_mut().for_each(|mount| mount.breaker.lift(now));
        Refreshed::Accepted
    }

    /// Whoever we log in as has changed (a token file): the login is due, unless the last one failed and is waited for.
    pub fn identity_changed(&mut self, now: Duration) {
        if let Some(tokens) = &mut self.tokens {
            tokens.identity_changed(now);
        }
    }

    /// How everything stands.
    pub fn status(&self, now: Duration) -> Status {
        let token = self.tokens.as_ref().map(|tokens| TokenStatus {
            id: tokens.current(),
            expires: tokens.current_end(),
            next: tokens.due().map(|at| (self.work(Slot::Token, now), at)),
            last_error: tokens.trouble().map(|trouble| trouble.failure.clone()),
            handing_over: tokens.old().filter(|id| tokens.end(*id).is_none_or(|end| end > now)).count(),
        });
        // What is overdue because nobody is logged in has the login's trouble.
        let no_login = self.tokens.as_ref().filter(|tokens| !tokens.is_live(now)).and_then(Tokens::trouble);
        let secrets = self.secrets.iter().enumerate().map(|(index, secret)| {
            let id = SecretId(index);
            let is_overdue = secret.due().is_some_and(|due| due <= now);
            let trouble = secret.history.trouble().or(no_login.filter(|_| is_overdue));
            let state = match (secret.notice, trouble) {
                (Notice::Reported, _) => State::Expired,
                _ if secret.is_pending() => State::Pending,
                (_, Some(_)) => State::Failing,
                (_, None) => State::Fresh,
            };
            SecretStatus {
                id,
                state,
                next: secret.due().map(|at| (self.work(Slot::Secret(id), now), at.max(self.waits_until(id, now)))),
                expires: self.expiry(secret),
                last_success: secret.history.last_success(),
                last_error: trouble.map(|trouble| trouble.failure.clone()),
            }
        });
        Status {
            down_until: self.breaker.down_until(),
            token,
            secrets: secrets.collect(),
            unanswered_issues: self.unanswered_issues,
            under_way: self.in_flight.len(),
        }
    }
}
