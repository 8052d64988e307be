//! The schedule of one backend: one login token and its secrets, as a state machine over time.

mod choose;
mod delivered;
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
use super::secret::Secret;
use super::secret_state::{Notice, Shown};
use super::settings::Settings;
use super::status::{SecretStatus, State, Status, TokenStatus};
use super::token::Tokens;
use super::work::{Answer, Event, Grant, Next, Outcome, Plan, SecretId, TokenId, Work};

use choose::Rank;
use hasten::Round;
use mount::Mount;
use throttled::Throttled;

/// A request that has been under way for longer than this is slow, and may hang.
const SLOW: Duration = Duration::from_secs(1);
/// The longest wait that `next` returns, so that a clock jump is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Decides what is requested next of one backend: its login token, if it has one, and its secrets.
///
/// Pure: `now` is time since boot (suspend included) and `jitter` a fresh random number in `[0, 1)`; both are
/// arguments. The driver is a loop: it calls [`next`](Self::next), then starts the returned work, handles the returned
/// event, or waits until an outcome arrives or the returned time has passed; it reports each outcome to
/// [`done`](Self::done) and each delivery to [`delivered`](Self::delivered).
///
/// # Specification
///
/// **Lifetimes.** A TTL counts from when its request was *sent*, so that it never ends later here than on the server.
/// The expiry of a leased secret is the earlier end of its lease and of the token it was issued under; a token that is
/// revoked or forgotten ends its leases. A value without a lease does not depend on the token.
///
/// **Renewal.** A renewable lease or token is renewed after two thirds of its TTL, less up to a tenth of it by jitter.
/// It is never renewed after its end, nor in its last second (or last tenth, if that is shorter). A TTL that a server
/// states is believed with limits: what is renewable is renewed daily whatever it states, and within seconds of its
/// issue if it states more than 20 years; a renewal brings at most the TTL of the issue. Reaching `max_ttl` is
/// detected by renewals that extend the lifetime by less than half of the time that has passed: after two of them in a
/// row, or one within the window, there is no further renewal.
///
/// **Replacement.** While a lease and its token can be renewed nothing is issued. What cannot be renewed is replaced in
/// its *window*: the last tenth of its whole lifetime, at least 2 s, at most 5 min; the replacement starts in the
/// window's first half, by jitter. An expired value is replaced at once. Nothing is replaced within a second of its
/// issue, or within a third of its lifetime if that is shorter than 3 s.
///
/// **Values without a lease.** A read is repeated after its interval less up to a tenth, and a value with a rotation of
/// its own (a static role) also right after its rotation; if it has not rotated in time, it is read every second, and
/// then after an eighth of the delay, at most every minute. From one interval before a `NextRotationDate` to one after
/// it the interval is a twelfth (at least 30 s), and so is the first interval while the date is unknown. A value that
/// states its own expiry, and of which two may be valid at once without harm (a certificate, a signed key, a token), is
/// issued again after two thirds of its lifetime less up to a tenth; the general interval and
/// [`refresh`](Self::refresh) never cause that, only an interval set on the secret itself
/// ([`reissue_every`](Self::reissue_every)). A write that states no expiry is repeated only at such an interval. With
/// [`Reads::Together`](super::Reads), reads that are due within a tenth of their interval follow the first one, one
/// second apart (less for short intervals).
///
/// **Token hand-over.** A token that cannot be renewed is replaced in its window by a new login. One that lives for
/// hours and is revoked afterwards is replaced at a random moment from a fiftieth of its lifetime before its end (at
/// most six of the longest windows) to the middle of its window, so that clients that started together spread. No issue
/// runs beside a login or just before one that is due: an issue that is due in the token's window waits for the login
/// until the middle of its own window, and then brings the login forward. After the login every leased secret is issued
/// once more under the new token; the others are not read again. When all of them are delivered, and
/// [`Settings::settle`] has passed, the old token is revoked, if we logged in for it and it is still alive.
///
/// **A dead token.** The first `Denied` for something that was not denied before leads to one token lookup, unless the
/// driver already reports [`Outcome::TokenDead`]. A dead token leads to one new login at once, and to further ones only
/// after a minute, doubling to ten, until a token is seen alive again; while something has expired, every 10 s. Under a
/// token that follows a dead one a single secret's request runs, until the server has accepted it. A refusal of a request that was sent under an
/// older token is ignored. If the token is alive, the denial is the secret's own.
///
/// **Refusals.** Denied, not found and malformed concern only the secret: it is requested again after a minute,
/// doubling to ten, less up to a quarter, and no other secret is affected. A refused *renewal* is repeated once, 2–4 s
/// later; if it is refused again, the lease is considered lost and issued anew, once: if the new lease's first renewal
/// is refused as well, that lease is kept until its window and replaced there.
///
/// **Failures.** An answer from a server that works is never an outage of the server. Transient and throttled answers
/// count for the *mount*, which has a breaker of its own: one probe at a time of what fails there, which is a real
/// request. A secret that has not failed itself (or only once while its value is valid) passes the mount's breaker,
/// because several databases can be connections of one mount, and an answer to it does not close the breaker. A timeout
/// after the [limit](Self::limit) counts for the mount too, unless [`Work::CheckHealth`] shows that the server does not
/// answer; so does an answer that a server which is down gives to every request (503, 502, a proxy's error page), after
/// which one health check runs at once. Connection failures, and 429 for two requests that share no mount (all renewals
/// count as one) while nothing else succeeds, count for the *backend*: nothing runs but one probe after each back-off,
/// beginning with what failed least often, then by urgency. As long as all failures are one secret's, the others wait
/// at most half a second and run one at a time.
///
/// The back-off is exponential from 0.5 s to 60 s with full jitter (for the probes of a backend that does not answer: 20
/// s), at most half of the time until the next expiry (but at least 1 s). A value that is read at intervals waits no
/// longer than its interval (at least 10 s), after a refusal, too. A backend never gets more than 12 probes in a minute: with 8 requests under way when it starts, a
/// minute of outage costs at most 20 requests. Three answers in a row end an outage, and the next is counted anew.
/// `Retry-After`, plus up to a tenth, is honoured for five minutes at most and never beyond an expiry; a
/// [`refresh`](Self::refresh) ends it. On recovery overdue work runs: the token first, then by expiry, two in parallel,
/// then 4, 8; what failed and does not expire within a minute, together within 5 s. The interval of a read after the
/// first since an outage is less by up to half. A renewal that keeps failing while the server answers is given up in favour of a replacement in the
/// window of the current TTL.
///
/// **Expired values.** A value that has expired, or will within 10 s, is requested every 10 s whatever its back-off
/// (before its end, also after half of what is left): refused secrets one at a time, a refused login likewise. When one
/// that was refused is answered, the others are due.
///
/// **Changes.** When a read finds a changed value, secrets with the same read interval are read again half a second
/// later ([`Settings::together_within`]), so that what changed together is delivered together.
///
/// **Expiry.** When the value that the app has expires, [`Event::Expired`] is returned once: at once if something hinders
/// its replacement (its delivery failed, too), otherwise after 10 s of trying (a suspended laptop resumes with everything
/// expired and replaces it in milliseconds). [`Event::Revived`] follows when a replacement is delivered. Requests follow
/// the end of the latest value, delivered or not: one that cannot be written is renewed, and replaced near its own end.
///
/// **Time.** No wait is longer than 30 s; a clock jump only makes things due.
#[derive(Debug)]
pub struct Schedule {
    settings: Settings,
    tokens: Option<Tokens>,
    secrets: Vec<Secret>,
    breaker: Breaker,
    mounts: Vec<Mount>,
    requests: Requests,
    contact: Contact,
    haste: Haste,
    jitter: f64,
    events: VecDeque<Event>,
}

/// The requests under way.
#[derive(Debug, Default)]
struct Requests {
    in_flight: Vec<InFlight>,
    unanswered_issues: u64,
}

/// What is known of the server.
#[derive(Debug, Default)]
struct Contact {
    /// When it last answered, with success or refusal.
    last_answer: Duration,
    /// When the last health check was sent.
    last_health: Duration,
    /// When a request failed in an unclear way, if the server has answered nothing since then.
    suspected: Option<Duration>,
    throttled: Throttled,
}

/// What moves requests forward.
#[derive(Debug, Default)]
struct Haste {
    /// No earlier than this, the next refused secret is retried because it has expired.
    refused_again: Duration,
    round: Option<Round>,
    refreshed: Option<Duration>,
}

/// Whether the backend needs a login before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// A login token, to which leases are bound (Vault, OpenBao).
    Token,
    /// No login, or none with a known lifetime (Secrets Manager, files).
    Nothing,
}

/// The result of [`Schedule::refresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// Everything that may be read again is due now.
    Accepted,
    /// The last refresh was too recent; try again after this time.
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
    /// Whether the request has been under way for less than [`SLOW`].
    fn is_recent(&self, now: Duration) -> bool {
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
            breaker: Breaker::new(Scope::Backend, settings.parallel.backend),
            mounts: Vec::new(),
            requests: Requests::default(),
            contact: Contact::default(),
            haste: Haste::default(),
            jitter: 0.5,
            events: VecDeque::new(),
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

    /// Sets an interval at which this secret is issued again, which an operator set on the secret itself. A secret with
    /// a lease is renewed instead.
    pub fn reissue_every(&mut self, id: SecretId, interval: Duration) {
        self.secrets[id.0].reissue_every(interval);
    }

    /// Whether [`refresh`](Self::refresh) reads this secret again; it never re-issues a valid credential.
    pub fn is_refreshed(&self, id: SecretId) -> bool {
        self.secrets[id.0].is_refreshed()
    }

    /// Resumes a token that was requested at `requested_at`: by the first login, or by an earlier run. Returns its id;
    /// `None` for a backend without logins.
    pub fn resume_token(&mut self, grant: Grant, requested_at: Duration, jitter: f64) -> Option<TokenId> {
        let tokens = self.tokens.as_mut()?;
        let id = tokens.upcoming();
        tokens.logged_in(id, grant, &self.settings, requested_at, jitter);
        Some(id)
    }

    /// Resumes a secret that was requested (or last renewed) at `requested_at` under the current token, and that is
    /// already delivered.
    pub fn resume(&mut self, id: SecretId, answer: Answer, requested_at: Duration, jitter: f64) {
        let token = self.current();
        if let Some(secret) = self.secrets.get_mut(id.0) {
            secret.accept(answer, token, &self.settings, requested_at, jitter);
            secret.shown = Shown::Latest;
        }
    }

    /// Makes a secret's read due at once, because the value may have changed. A secret that would be re-issued is not
    /// touched.
    pub fn read_again(&mut self, id: SecretId, now: Duration) {
        if let Some(secret) = self.secrets.get_mut(id.0) {
            secret.refresh(now);
        }
    }

    /// Marks a value as fetched by an earlier run: it is read again at once. If it has expired, that is reported
    /// without delay, since the start already tried to replace it.
    pub fn is_of_earlier_run(&mut self, id: SecretId, now: Duration) {
        let is_over = |secret: &Secret| self.shown_expiry(secret).is_some_and(|end| end <= now);
        if self.secrets.get(id.0).is_some_and(is_over) {
            self.secrets[id.0].notice = Notice::Overdue;
        }
        self.read_again(id, now);
    }

    /// Returns what to do now. Returned work counts as under way until [`done`](Self::done) is called for it.
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

    /// Reports the outcome of a piece of work. Ignored if that work is not under way.
    pub fn done(&mut self, work: Work, outcome: Outcome, now: Duration, jitter: f64) {
        let Some(at) = self.requests.in_flight.iter().position(|flight| flight.work == work) else { return };
        let flight = self.requests.in_flight.swap_remove(at);
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

    /// Handles a refresh on demand (a command, a signal): reads, and everything whose last request failed, are due at
    /// once, regardless of back-off and `Retry-After`. Valid credentials are not re-issued.
    pub fn refresh(&mut self, now: Duration) -> Refreshed {
        let wait = self
            .haste
            .refreshed
            .map_or(Duration::ZERO, |at| at.saturating_add(self.settings.refresh_every).saturating_sub(now));
        if !wait.is_zero() {
            return Refreshed::TooSoon(wait);
        }
        self.haste.refreshed = Some(now);
        self.secrets.iter_mut().for_each(|secret| secret.refresh(now));
        self.tokens.iter_mut().for_each(|tokens| tokens.refresh(now));
        self.breaker.lift(now);
        self.mounts.iter_mut().for_each(|mount| mount.breaker.lift(now));
        Refreshed::Accepted
    }

    /// Reports that the credentials for the login have changed (a token file): the login is due, unless the last one
    /// failed and waits for its retry.
    pub fn identity_changed(&mut self, now: Duration) {
        if let Some(tokens) = &mut self.tokens {
            tokens.identity_changed(now);
        }
    }

    /// The state of the token and of each secret.
    pub fn status(&self, now: Duration) -> Status {
        let token = self.tokens.as_ref().map(|tokens| TokenStatus {
            id: tokens.current(),
            expires: tokens.current_end(),
            next: tokens.due().map(|at| (self.work(Slot::Token, now), at)),
            last_error: tokens.last_failure().map(|last_failure| last_failure.failure.clone()),
            handing_over: tokens.old().filter(|id| tokens.end(*id).is_none_or(|end| end > now)).count(),
        });
        // A secret that is overdue because there is no login shows the login's failure.
        let no_login = self.tokens.as_ref().filter(|tokens| !tokens.is_live(now)).and_then(Tokens::last_failure);
        let secrets = self.secrets.iter().enumerate().map(|(index, secret)| {
            let id = SecretId(index);
            let is_overdue = secret.due().is_some_and(|due| due <= now);
            let last_failure = secret.history.last_failure().or(no_login.filter(|_| is_overdue));
            let state = match (secret.notice, last_failure) {
                (Notice::Reported, _) => State::Expired,
                _ if secret.is_pending() => State::Pending,
                (_, Some(_)) => State::Failing,
                (_, None) => State::Fresh,
            };
            SecretStatus {
                id,
                state,
                next: secret.due().map(|at| (self.work(Slot::Secret(id), now), at.max(self.waits_until(id, now)))),
                expires: self.shown_expiry(secret),
                last_success: secret.history.last_success(),
                last_error: last_failure.map(|last_failure| last_failure.failure.clone()),
            }
        });
        Status {
            down_until: self.breaker.down_until(),
            token,
            secrets: secrets.collect(),
            unanswered_issues: self.requests.unanswered_issues,
            under_way: self.requests.in_flight.len(),
        }
    }
}
