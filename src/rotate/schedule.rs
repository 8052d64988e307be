//! The schedule of one backend: one login token and its secrets, as a state machine over time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::provider::{Class, Failure};

use super::backoff::unit;
use super::breaker::{Answered, Breaker, Failed, Ran, Setback, Slot};
use super::secret::{Notice, Refusal, Secret, Shown, Step};
use super::settings::{Reads, Settings};
use super::status::{SecretStatus, State, Status, TokenStatus};
use super::token::{TokenStep, Tokens};
use super::work::{Answer, Event, Grant, Next, Outcome, Plan, SecretId, TokenId, Work};

/// No wait is longer: a clock that jumped is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// An expiry that nothing stands in the way of repairing is told only when it was not repaired within this.
const GRACE: Duration = Duration::from_secs(10);
/// What is due within this counts as urgent during an outage.
const SOON: Duration = Duration::from_secs(60);

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
/// jitter. What has ended is replaced at once. Nothing is due again within a second of its grant.
///
/// **The rest.** A read without a lease is repeated after its interval less up to a tenth, a value with a rotation of
/// its own (a static role) also right after that; when such a value has not rotated at its time, after 1 s, 2 s, 4 s … 60 s.
/// From one interval before a `NextRotationDate` to one after it the interval is a twelfth (at least 30 s). A write is
/// sent again only in the window of its own end, and never because of an interval or a [`refresh`](Self::refresh).
/// With [`Reads::Together`], reads that are due within a tenth of their interval go along with the first.
///
/// **Token hand-over.** A token that cannot be renewed is replaced in its window by a new login. No issue runs
/// beside a login or just before one that is due. Then every leased secret is issued once more under the new token; the
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
/// **Outages.** Transient and throttled belong to the backend. After a failure nothing runs but one probe, which is
/// real work: what failed least often first, then by urgency. Back-off is exponential from 0.5 s to 60 s with full jitter,
/// at most half of the time until the next expiry (but a second), and never more than 12 probes in a minute: with 8 requests under
/// way at its start, a minute of outage costs at most 20 requests. `Retry-After` (up to an hour) holds for everybody, plus up to
/// a tenth. As long as all failures are one secret's, the others wait at most half a second and go one at a time. On
/// recovery what is overdue runs: the token first, then by expiry, one in parallel, then 2, 4, 8.
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
    flights: Vec<Flight>,
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
struct Flight {
    slot: Slot,
    work: Work,
    asked: Duration,
    token: Option<TokenId>,
    ran: Ran,
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
            breaker: Breaker::new(settings.parallel),
            flights: Vec::new(),
            events: VecDeque::new(),
            unanswered_issues: 0,
            refreshed: None,
            settings,
        }
    }

    /// Adds a secret, due at once.
    pub fn add(&mut self, plan: Plan) -> SecretId {
        self.secrets.push(Secret::new(plan));
        SecretId(self.secrets.len() - 1)
    }

    /// Takes up a token that was asked for at `asked`: from the first fetch, or from an earlier run.
    pub fn take_up_token(&mut self, grant: Grant, asked: Duration, jitter: f64) -> Option<TokenId> {
        let tokens = self.tokens.as_mut()?;
        let id = tokens.upcoming();
        tokens.logged_in(id, grant, &self.settings, asked, jitter);
        Some(id)
    }

    /// Takes up a secret that was asked for (or last renewed) at `asked`, under the current token, and is delivered.
    pub fn take_up(&mut self, id: SecretId, answer: Answer, asked: Duration, jitter: f64) {
        let token = self.current();
        if let Some(secret) = self.secrets.get_mut(id.0) {
            secret.accept(answer, token, &self.settings, asked, jitter);
            secret.shown = Shown::Delivered;
        }
    }

    /// What to do now. Work that is handed out counts as under way until [`done`](Self::done).
    pub fn next(&mut self, now: Duration) -> Next {
        if let Some(event) = self.events.pop_front().or_else(|| self.expired(now)) {
            return Next::Tell(event);
        }
        self.forget_old_tokens(now);
        let mut wake = now + LONGEST_SLEEP;
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
        let Some(at) = self.flights.iter().position(|flight| flight.work == work) else { return };
        let flight = self.flights.swap_remove(at);
        let jitter = unit(jitter);
        match outcome {
            Outcome::Failed(failure) if failure.class.is_retried() => self.set_back(&flight, failure, now, jitter),
            outcome => {
                self.answered(now);
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

    /// Somebody wants fresh values (a command, a signal): reads and refused secrets are due. Nothing is issued that lives.
    pub fn refresh(&mut self, now: Duration) -> Refreshed {
        let wait = self.refreshed.map_or(Duration::ZERO, |at| (at + self.settings.refresh_every).saturating_sub(now));
        if !wait.is_zero() {
            return Refreshed::TooSoon(wait);
        }
        self.refreshed = Some(now);
        self.secrets.iter_mut().for_each(|secret| secret.refresh(now));
        Refreshed::Accepted
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
        let secrets = self.secrets.iter().enumerate().map(|(index, secret)| {
            let id = SecretId(index);
            let state = match (secret.notice, secret.trouble()) {
                (Notice::Told, _) => State::Expired,
                _ if secret.is_pending() => State::Pending,
                (_, Some(_)) => State::Failing,
                (_, None) => State::Fresh,
            };
            SecretStatus {
                id,
                state,
                next: secret.due().map(|at| (self.work(Slot::Secret(id), now), at)),
                expires: self.expiry(secret),
                last_success: secret.last_success(),
                last_error: secret.trouble().map(|trouble| trouble.failure.clone()),
            }
        });
        Status {
            down_until: self.breaker.down_until(),
            token,
            secrets: secrets.collect(),
            unanswered_issues: self.unanswered_issues,
            under_way: self.flights.len(),
        }
    }
}

/// Smaller goes first: failures (only while a probe is chosen), then token, secrets, old tokens; then expiry, then due.
type Rank = (u32, u8, Duration, Duration);

/// What is chosen, and when it may run.
impl Schedule {
    fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let old: Vec<TokenId> = self.tokens.iter().flat_map(Tokens::old).collect();
        let login = self.tokens.is_some().then_some([Slot::Token, Slot::Check]);
        let secrets = (0..self.secrets.len()).map(|index| Slot::Secret(SecretId(index)));
        login.into_iter().flatten().chain(old.into_iter().map(Slot::Old)).chain(secrets)
    }

    /// From when on `slot` may run; `None` while it needs nothing, or an outcome has to come first.
    fn ready(&mut self, slot: Slot, now: Duration) -> Option<Duration> {
        if self.is_under_way(slot) {
            return None;
        }
        let due = match slot {
            Slot::Token => {
                let tokens = self.tokens.as_ref()?;
                let is_login = tokens.step(now) == TokenStep::Login;
                let is_issuing = self.flights.iter().any(|flight| matches!(flight.work, Work::Issue(_)));
                if self.is_under_way(Slot::Check) || (is_login && is_issuing) {
                    return None;
                }
                tokens.due()?
            }
            Slot::Check => {
                if self.is_under_way(Slot::Token) {
                    return None;
                }
                self.tokens.as_ref()?.check_due()?
            }
            Slot::Old(id) => {
                if self.flights.iter().any(|flight| flight.token == Some(id)) {
                    return None;
                }
                self.tokens.as_ref()?.revoke_due(id, now)?
            }
            Slot::Secret(id) => {
                let secret = &self.secrets[id.0];
                let due = secret.due()?;
                if due <= now && !self.may_run(secret.step(self.current(), now), now) {
                    return None;
                }
                due
            }
        };
        let gate = self.breaker.gate(slot, self.flights.len())?;
        Some(due.max(gate))
    }

    /// Whether the token lets this step run.
    fn may_run(&mut self, step: Step, now: Duration) -> bool {
        let is_logging_in = self.flights.iter().any(|flight| matches!(flight.work, Work::Login(_)));
        let Some(tokens) = &mut self.tokens else { return true };
        tokens.is_live(now) && (step != Step::Issue || !(is_logging_in || tokens.is_login_first(&self.settings, now)))
    }

    fn rank(&self, slot: Slot, now: Duration) -> Rank {
        let tokens = self.tokens.as_ref();
        let (failures, order, expiry, due) = match slot {
            Slot::Token => (tokens.map_or(0, Tokens::failures), 0, Duration::ZERO, Duration::ZERO),
            Slot::Check => (0, 1, Duration::ZERO, Duration::ZERO),
            Slot::Secret(id) => {
                let secret = &self.secrets[id.0];
                let expiry = self.expiry(secret).unwrap_or(Duration::MAX);
                (secret.failures(), 2, expiry, secret.due().unwrap_or(now))
            }
            Slot::Old(id) => (tokens.map_or(0, |tokens| tokens.revoke_failures(id)), 3, Duration::ZERO, Duration::ZERO),
        };
        (if self.breaker.is_closed() { 0 } else { failures }, order, expiry, due)
    }

    fn start(&mut self, slot: Slot, now: Duration) -> Work {
        let work = self.work(slot, now);
        if let (Work::Read(_), Reads::Together, true) = (work, self.settings.reads, self.breaker.is_closed()) {
            for secret in self.secrets.iter_mut().filter(|secret| secret.joins(&self.settings, now)) {
                secret.join(now);
            }
        }
        let (token, ran) = (self.current(), self.breaker.start(now));
        self.flights.push(Flight { slot, work, asked: now, token, ran });
        work
    }

    fn work(&self, slot: Slot, now: Duration) -> Work {
        match slot {
            Slot::Token => match self.tokens.as_ref().map(|tokens| (tokens.step(now), tokens.upcoming())) {
                Some((TokenStep::Login, id)) => Work::Login(id),
                _ => Work::RenewToken,
            },
            Slot::Check => Work::CheckToken,
            Slot::Old(id) => Work::RevokeOldToken(id),
            Slot::Secret(id) => match self.secrets[id.0].step(self.current(), now) {
                Step::Renew => Work::Renew(id),
                Step::Issue => Work::Issue(id),
                Step::Read => Work::Read(id),
            },
        }
    }

    fn is_under_way(&self, slot: Slot) -> bool {
        self.flights.iter().any(|flight| flight.slot == slot)
    }

    fn current(&self) -> Option<TokenId> {
        self.tokens.as_ref().and_then(Tokens::current)
    }
}

/// What an outcome changes.
impl Schedule {
    fn answered(&mut self, now: Duration) {
        if self.breaker.answered() == Answered::Recovered {
            self.events.push_back(Event::BackendUp);
            self.secrets.iter_mut().for_each(|secret| secret.backend_is_back(now));
            if let Some(tokens) = &mut self.tokens {
                tokens.backend_is_back(now);
            }
        }
    }

    fn set_back(&mut self, flight: &Flight, failure: Failure, now: Duration, jitter: f64) {
        let retry_after = match failure.class {
            Class::Throttled { retry_after } => retry_after,
            _ => None,
        };
        if matches!(flight.work, Work::Issue(_)) && failure.class == Class::Transient {
            self.unanswered_issues += 1;
        }
        let limit = self.urgency(now);
        let setback = Setback { retry_after, limit };
        if self.breaker.failed(flight.slot, flight.ran, setback, now, jitter) == Failed::Down {
            self.events.push_back(Event::BackendDown);
        }
        match (flight.slot, &mut self.tokens) {
            (Slot::Secret(id), _) => {
                // Its own wait looks at its own end only: another's must not make it ask more often.
                let own = self.expiry(&self.secrets[id.0]).filter(|end| *end > now).map(|end| (end - now) / 2);
                self.secrets[id.0].set_back(failure, own, now, jitter);
            }
            (Slot::Token, Some(tokens)) => tokens.set_back(failure, limit, now, jitter),
            (Slot::Check, Some(tokens)) => tokens.check_set_back(limit, now, jitter),
            (Slot::Old(id), Some(tokens)) => tokens.revoke_set_back(id, limit, now, jitter),
            (Slot::Token | Slot::Check | Slot::Old(_), None) => {}
        }
    }

    /// Half of the time until the first expiry among what is due soon: no back-off should sleep through that.
    fn urgency(&self, now: Duration) -> Option<Duration> {
        let is_soon = |due: Option<Duration>| due.is_some_and(|due| due <= now + SOON);
        let secrets = self.secrets.iter().filter(|secret| is_soon(secret.due())).filter_map(|s| self.expiry(s));
        let token = self.tokens.as_ref().filter(|tokens| is_soon(tokens.due())).and_then(Tokens::current_end);
        secrets.chain(token).filter(|end| *end > now).min().map(|end| (end - now) / 2)
    }

    fn take_in(&mut self, flight: &Flight, outcome: Outcome, now: Duration, jitter: f64) {
        let (settings, asked) = (self.settings, flight.asked);
        match (flight.work, outcome) {
            (Work::Renew(id), Outcome::Renewed(life)) => {
                self.secrets[id.0].renewed(life, &settings, asked, jitter);
                self.replaced(id, now);
            }
            (Work::Issue(id) | Work::Read(id), Outcome::Fetched(answer)) => {
                let secret = &mut self.secrets[id.0];
                secret.accept(answer, flight.token, &settings, asked, jitter);
                if matches!(flight.work, Work::Issue(_)) {
                    secret.shown = Shown::Not;
                }
                self.replaced(id, now);
            }
            (Work::Renew(_) | Work::Issue(_) | Work::Read(_), outcome) => {
                self.secret_refused(flight, refusal(outcome), now, jitter);
            }
            (work, outcome) => {
                let Some(tokens) = &mut self.tokens else { return };
                match (work, outcome) {
                    (Work::Login(id), Outcome::Granted(grant)) => {
                        tokens.logged_in(id, grant, &settings, asked, jitter);
                        self.secrets.iter_mut().for_each(|secret| secret.token_is_new(id, now));
                        self.review_hand_over(now);
                    }
                    (Work::Login(id), Outcome::StillHeld(grant)) => match tokens.current() {
                        Some(_) => tokens.still_held(grant, &settings, asked, jitter),
                        None => tokens.logged_in(id, grant, &settings, asked, jitter),
                    },
                    (Work::Login(_), outcome) => tokens.login_refused(refusal(outcome).failure, now, jitter),
                    (Work::RenewToken, Outcome::Granted(grant)) => tokens.extended(grant, &settings, asked, jitter),
                    (Work::CheckToken, Outcome::Done | Outcome::Granted(_)) => tokens.is_alive(),
                    (Work::RevokeOldToken(id), _) => tokens.revoked(id),
                    (_, outcome) => {
                        let Refused { failure, of } = refusal(outcome);
                        let is_denied = failure.class == Class::Denied;
                        if of == Of::TheToken || (work == Work::CheckToken && is_denied) {
                            tokens.died(now, jitter);
                            self.secrets.iter_mut().for_each(|secret| secret.token_is_dead(now));
                        } else if work == Work::CheckToken {
                            tokens.is_alive();
                        } else {
                            tokens.not_renewable(failure, &settings, jitter);
                            if is_denied {
                                tokens.suspect(now);
                            }
                        }
                    }
                }
            }
        }
    }

    fn secret_refused(&mut self, flight: &Flight, refused: Refused, now: Duration, jitter: f64) {
        let (Slot::Secret(id), Refused { failure, of }) = (flight.slot, refused) else { return };
        let is_denied = failure.class == Class::Denied;
        let secret = &mut self.secrets[id.0];
        let current = self.tokens.as_ref().and_then(Tokens::current);
        if is_denied && flight.token != current {
            return secret.try_again(now);
        }
        if of == Of::TheToken {
            secret.try_again(now);
            if let Some(tokens) = &mut self.tokens {
                tokens.died(now, jitter);
            }
            return self.secrets.iter_mut().for_each(|secret| secret.token_is_dead(now));
        }
        let step = match flight.work {
            Work::Renew(_) => Step::Renew,
            Work::Read(_) => Step::Read,
            _ => Step::Issue,
        };
        let refusal = secret.refused(step, failure, &self.settings, now, jitter);
        if let (Refusal::Suspicious, Some(tokens)) = (refusal, &mut self.tokens) {
            tokens.suspect(now);
        }
    }

    /// Sets the time of revocation of old tokens that nothing needs any more.
    fn review_hand_over(&mut self, now: Duration) {
        let Some(tokens) = &mut self.tokens else { return };
        let leased = || self.secrets.iter().filter(|secret| secret.is_leased());
        if leased().any(|secret| secret.shown == Shown::Not) {
            return;
        }
        let settle = if leased().next().is_some() { self.settings.settle } else { Duration::ZERO };
        let old: Vec<TokenId> = tokens.old().collect();
        for id in old {
            if !leased().any(|secret| secret.leased_under() == Some(id)) {
                tokens.handed_over(id, now + settle);
            }
        }
    }

    fn forget_old_tokens(&mut self, now: Duration) {
        let secrets = &self.secrets;
        if let Some(tokens) = &mut self.tokens {
            tokens.forget(now, |id| secrets.iter().any(|secret| secret.leased_under() == Some(id)));
        }
    }
}

/// What is told about expiry.
impl Schedule {
    fn expiry(&self, secret: &Secret) -> Option<Duration> {
        secret.expiry(|id| self.tokens.as_ref().and_then(|tokens| tokens.end(id)))
    }

    fn expired(&mut self, now: Duration) -> Option<Event> {
        for index in 0..self.secrets.len() {
            let secret = &self.secrets[index];
            if secret.notice == Notice::Told || self.expiry(secret).is_none_or(|end| end > now) {
                continue;
            }
            let seen = match secret.notice {
                Notice::Seen(at) => at,
                _ => now,
            };
            let is_told = self.is_hindered(secret, now) || now >= seen + GRACE;
            self.secrets[index].notice = if is_told { Notice::Told } else { Notice::Seen(seen) };
            if is_told {
                return Some(Event::Expired(SecretId(index)));
            }
        }
        None
    }

    /// Whether something stands in the way of replacing it right now.
    fn is_hindered(&self, secret: &Secret, now: Duration) -> bool {
        let no_login = self.tokens.as_ref().is_some_and(|tokens| !tokens.is_live(now) && tokens.trouble().is_some());
        secret.is_hindered(now) || no_login || self.breaker.down_until().is_some()
    }

    fn next_notice(&self, now: Duration) -> Duration {
        let notices = self.secrets.iter().filter_map(|secret| match secret.notice {
            Notice::Told => None,
            Notice::Seen(at) => Some(at + GRACE),
            Notice::None => self.expiry(secret),
        });
        notices.filter(|at| *at > now).min().unwrap_or(Duration::MAX)
    }

    fn replaced(&mut self, id: SecretId, now: Duration) {
        // A login may have overtaken the answer; then it belongs to the old token.
        if let Some(current) = self.current() {
            self.secrets[id.0].token_is_new(current, now);
        }
        if std::mem::replace(&mut self.secrets[id.0].notice, Notice::None) == Notice::Told {
            self.events.push_back(Event::Revived(id));
        }
    }
}

/// A refusal, and of what.
struct Refused {
    failure: Failure,
    of: Of,
}

#[derive(PartialEq, Eq)]
enum Of {
    TheRequest,
    TheToken,
}

/// An outcome that is no success. One that does not fit its work is the driver's mistake and counts as a malformed answer.
fn refusal(outcome: Outcome) -> Refused {
    match outcome {
        Outcome::Failed(failure) => Refused { failure, of: Of::TheRequest },
        Outcome::TokenDead(failure) => Refused { failure, of: Of::TheToken },
        _ => Refused {
            failure: Failure::new(Class::Malformed, "the answer does not fit the request"),
            of: Of::TheRequest,
        },
    }
}
