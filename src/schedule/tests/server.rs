//! A server that grants tokens and leases as Vault does, fails as configured, and records violations of its rules.

use std::time::Duration;

use crate::provider::{Class, Failure};
use crate::schedule::{Answer, Grant, Life, Lifetime, MountId, Outcome, SecretId, Settings, TokenId, Window, Work};

/// One kind of request.
pub(super) type IsIt = fn(Work) -> bool;

/// What a secret is on the server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `database/creds`: leased.
    Leased { ttl: Duration, max: Duration, renewable: bool },
    /// `pki/issue`.
    Certificate { ttl: Duration },
    /// `database/static-creds`: rotates by itself.
    Static { period: Duration },
    /// KV.
    Plain,
}

/// What goes wrong in a stretch of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct InjectedFault {
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// 503 at once, its health too.
    Refuses,
    /// 502 for everything of one mount: its plugin, or what is before it, says so.
    IsNoGatewayTo(MountId),
    /// Nothing, until the client gives up.
    Hangs,
    /// Issues and renewals of one mount hang: its database is stopped.
    HangsMount(MountId),
    /// The same, and what was sent meanwhile is never answered: the network to its database drops every packet.
    SwallowsMount(MountId),
    /// 500 for issues and renewals of one mount: its database is down.
    BreaksMount(MountId),
    /// Issues of one mount take so long.
    SlowsMount(MountId, Duration),
    /// 500 for the renewal of one secret's lease.
    BreaksRenewal(SecretId),
    /// 500 for the renewal of the token.
    BreaksTokenRenewal,
    /// 429 with `Retry-After` for one mount.
    ThrottlesMount(MountId, Duration),
    /// 429 with `Retry-After` for one kind of request.
    ThrottlesKind(IsIt, Duration),
    /// 403 for every login.
    DeniesLogins,
    /// Logins are answered with tokens that nothing accepts.
    GrantsDeadTokens,
    /// The request is carried out; its answer is cut.
    LosesAnswers,
    /// The same, for one kind of request.
    LosesAnswersTo(IsIt),
    /// 429 with `Retry-After`.
    Throttles(Duration),
    /// 500 for one secret: its database is down.
    Breaks(SecretId),
    /// 403 for one secret: its policy is gone.
    Denies(SecretId),
    /// 403 for the renewal of one secret's lease.
    DeniesRenewal(SecretId),
    /// A redirect to somewhere else, or 405, for one secret: nothing is done.
    Rejects(SecretId),
    /// Answers to one secret's requests cannot be read.
    Garbles(SecretId),
    /// One kind of request is carried out, and its answer states this life instead of the real one.
    Misstates(IsIt, Duration),
}

#[derive(Debug)]
pub(super) struct Token {
    pub(super) issued: Duration,
    pub(super) end: Duration,
    max: Duration,
    pub(super) revoked: bool,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) secret: SecretId,
    pub(super) token: TokenId,
    pub(super) issued: Duration,
    pub(super) end: Duration,
    max: Duration,
    pub(super) revoked: bool,
    /// The client never heard of it.
    lost: bool,
}

/// One request as the server saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) at: Duration,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) kinds: Vec<Kind>,
    /// Of each secret; without an entry it has one of its own.
    pub(super) mounts: Vec<MountId>,
    /// Secrets that are made in the database of another mount than their own: several connections of one mount.
    pub(super) elsewhere: Vec<(SecretId, MountId)>,
    /// The first request from then on that is such a one hangs, once.
    pub(super) hangs_once: Vec<(Duration, IsIt)>,
    /// The first issue from then on is carried out, and its answer says nothing, once.
    pub(super) garbles_once: Vec<Duration>,
    /// The first request from then on that is such a one is asked for that much patience, once.
    pub(super) throttles_once: Vec<(Duration, IsIt, Duration)>,
    pub(super) token_ttl: Duration,
    pub(super) token_max: Duration,
    pub(super) token_renewable: bool,
    pub(super) faults: Vec<InjectedFault>,
    pub(super) tokens: Vec<(TokenId, Token)>,
    pub(super) leases: Vec<Lease>,
    pub(super) log: Vec<Request>,
    pub(super) accusations: Vec<String>,
    /// Renewals that failed since the last that worked, of leases and (`None`) of the token.
    failed_renewals: Vec<Option<SecretId>>,
    pub(super) lost: usize,
    /// In which a login or an issue beside a living one is no accusation.
    pub(super) window: Window,
}

/// The rule's window.
pub(super) fn window(life: Duration) -> Duration {
    (life / 10).clamp(Duration::from_secs(2), Duration::from_secs(300))
}

/// The outcome with another life; zero is none for a token.
fn stating(outcome: Outcome, ttl: Duration) -> Outcome {
    match outcome {
        Outcome::Granted(Grant { life: Some(life), revocable }) => {
            let life = (!ttl.is_zero()).then_some(Lifetime { ttl, ..life });
            Outcome::Granted(Grant { life, revocable })
        }
        Outcome::Renewed(life) => Outcome::Renewed(Lifetime { ttl, ..life }),
        Outcome::Fetched(Answer { life: Life::Lease(life), rotates_in }) => {
            Outcome::Fetched(Answer { life: Life::Lease(Lifetime { ttl, ..life }), rotates_in })
        }
        outcome => outcome,
    }
}

/// What an operator made of it.
fn window_of(life: Duration, window: &Window) -> Duration {
    crate::domain::scaled(life, window.share).clamp(window.least, window.most)
}

/// In which a login token that cannot be renewed is replaced.
fn hand_over_of(life: Duration, window: &Window) -> Duration {
    crate::domain::scaled(life, 0.02).min(window.most * 6).max(window_of(life, window))
}

const TOLERANCE: Duration = Duration::from_secs(1);
/// How much before the window a login may be hastened: servers round lives down, twice.
const EARLY: Duration = Duration::from_millis(2100);
const QUICK: Duration = Duration::from_millis(5);

impl Server {
    pub(super) fn new(kinds: Vec<Kind>) -> Self {
        Self {
            kinds,
            mounts: Vec::new(),
            elsewhere: Vec::new(),
            hangs_once: Vec::new(),
            garbles_once: Vec::new(),
            throttles_once: Vec::new(),
            token_ttl: Duration::from_secs(3600),
            token_max: Duration::from_secs(10 * 365 * 86_400),
            token_renewable: true,
            faults: Vec::new(),
            tokens: Vec::new(),
            leases: Vec::new(),
            log: Vec::new(),
            accusations: Vec::new(),
            failed_renewals: Vec::new(),
            lost: 0,
            window: Settings::default().window,
        }
    }

    /// When a lease dies: with its token, whatever it says.
    pub(super) fn death(&self, lease: usize) -> Duration {
        let lease = &self.leases[lease];
        lease.end.min(self.token(lease.token).end)
    }

    /// Everything it knew is gone.
    pub(super) fn restart(&mut self) {
        self.tokens.iter_mut().for_each(|(_, token)| token.revoked = true);
        self.leases.iter_mut().for_each(|lease| lease.revoked = true);
    }

    pub(super) fn revoke_leases(&mut self, secret: SecretId) {
        self.leases.iter_mut().filter(|lease| lease.secret == secret).for_each(|lease| lease.revoked = true);
    }

    pub(super) fn is_token_live(&self, id: TokenId, now: Duration) -> bool {
        self.tokens.iter().any(|(known, token)| *known == id && !token.revoked && token.end > now)
    }

    fn is_live(&self, lease: &Lease, now: Duration) -> bool {
        !lease.revoked && lease.end > now && self.is_token_live(lease.token, now)
    }

    fn token(&self, id: TokenId) -> &Token {
        &self.tokens.iter().find(|(known, _)| *known == id).expect("a token that was granted").1
    }

    /// The mount of a secret.
    pub(super) fn mount(&self, id: SecretId) -> MountId {
        self.mounts.get(id.0).copied().unwrap_or(MountId(id.0))
    }

    /// Carries a request out; answers its outcome and how long that takes, which is at most `limit`.
    pub(super) fn serve(
        &mut self,
        work: Work,
        token: Option<TokenId>,
        limit: Duration,
        now: Duration,
    ) -> (Outcome, Duration) {
        let renewal = match work {
            Work::Renew(id) => Some(Some(id)),
            Work::RenewToken => Some(None),
            _ => None,
        };
        let (outcome, takes) = self.serve_within(work, token, limit, now);
        self.failed_renewals.retain(|of| Some(*of) != renewal);
        if let (Some(of), Outcome::Failed(_)) = (renewal, &outcome) {
            self.failed_renewals.push(of);
        }
        (outcome, takes)
    }

    fn serve_within(
        &mut self,
        work: Work,
        token: Option<TokenId>,
        limit: Duration,
        now: Duration,
    ) -> (Outcome, Duration) {
        let silent = || Outcome::Failed(Failure::new(Class::Transient, "no answer").lost().silent());
        if let Some(index) = self.hangs_once.iter().position(|(from, is_it)| *from <= now && is_it(work)) {
            self.hangs_once.remove(index);
            self.log.push(Request { at: now, work });
            return (silent(), limit);
        }
        if let Some(index) = self.throttles_once.iter().position(|(from, is_it, _)| *from <= now && is_it(work)) {
            let (_, _, wait) = self.throttles_once.remove(index);
            self.log.push(Request { at: now, work });
            return (Outcome::Failed(Failure::new(Class::Throttled { retry_after: Some(wait) }, "429")), QUICK);
        }
        let (outcome, takes) = self.answer(work, token, now);
        let is_issued = matches!((work, &outcome), (Work::Issue(_), Outcome::Fetched(_)));
        if let (true, Some(index)) = (is_issued, self.garbles_once.iter().position(|from| *from <= now)) {
            self.garbles_once.remove(index);
            self.leases.iter_mut().next_back().into_iter().for_each(|lease| lease.lost = true);
            return (Outcome::Failed(Failure::new(Class::Malformed, "no data").perhaps_done()), takes);
        }
        if takes > limit {
            if let (Work::Issue(_), Outcome::Fetched(_)) = (work, &outcome) {
                self.lost += 1;
                self.leases.iter_mut().next_back().into_iter().for_each(|lease| lease.lost = true);
            }
            return (silent(), limit);
        }
        (outcome, takes)
    }

    fn answer(&mut self, work: Work, token: Option<TokenId>, now: Duration) -> (Outcome, Duration) {
        self.log.push(Request { at: now, work });
        let faults: Vec<_> =
            self.faults.iter().filter(|f| f.from <= now && now < f.to).map(|fault| fault.what).collect();
        let failed = |class, why: &str| Outcome::Failed(Failure::new(class, why));
        let (mut cut, mut dead, mut takes, mut misstated) = (false, false, QUICK, None);
        let until = |what: What| {
            self.faults
                .iter()
                .filter(|fault| {
                    fault.from <= now
                        && matches!((fault.what, what), (What::HangsMount(a), What::HangsMount(b)) if a == b)
                })
                .map(|fault| fault.to)
                .max()
                .unwrap_or(now)
        };
        for fault in faults {
            let of = work.secret();
            match fault {
                What::Refuses => {
                    let refused = Failure::new(Class::Transient, "503");
                    let is_health = work == Work::CheckHealth;
                    let failure = if is_health { refused.of_backend() } else { refused.unclear() };
                    return (Outcome::Failed(failure), QUICK);
                }
                What::IsNoGatewayTo(mount) if of.is_some_and(|id| self.mount(id) == mount) => {
                    return (Outcome::Failed(Failure::new(Class::Transient, "502").perhaps_done().unclear()), QUICK);
                }
                What::Hangs => return (failed(Class::Transient, "never"), Duration::MAX),
                // Whoever is still waiting when the database goes on has an answer.
                What::HangsMount(mount) if self.is_made_in(work, mount) => takes = until(fault) - now + QUICK,
                What::SwallowsMount(mount) if self.is_made_in(work, mount) => {
                    return (failed(Class::Transient, "never"), Duration::MAX);
                }
                What::BreaksMount(mount) if self.is_made_in(work, mount) => {
                    return (failed(Class::Transient, "500"), QUICK);
                }
                What::BreaksRenewal(id) if work == Work::Renew(id) => return (failed(Class::Transient, "500"), QUICK),
                What::BreaksTokenRenewal if work == Work::RenewToken => {
                    return (failed(Class::Transient, "500"), QUICK);
                }
                What::ThrottlesMount(mount, wait) if of.is_some_and(|id| self.mount(id) == mount) => {
                    return (failed(Class::Throttled { retry_after: Some(wait) }, "429"), QUICK);
                }
                What::ThrottlesKind(is_it, wait) if is_it(work) => {
                    return (failed(Class::Throttled { retry_after: Some(wait) }, "429"), QUICK);
                }
                What::DeniesLogins if matches!(work, Work::Login(_)) => return (failed(Class::Denied, "403"), QUICK),
                What::GrantsDeadTokens => dead = true,
                What::SlowsMount(mount, time) if self.is_made_in(work, mount) => takes = time,
                What::LosesAnswers => cut = true,
                What::LosesAnswersTo(is_it) if is_it(work) => cut = true,
                What::Misstates(is_it, ttl) if is_it(work) => misstated = Some(ttl),
                What::Throttles(wait) => {
                    return (failed(Class::Throttled { retry_after: Some(wait) }, "429"), QUICK);
                }
                What::Breaks(id) if of == Some(id) => return (failed(Class::Transient, "500"), QUICK),
                What::Denies(id) if of == Some(id) => return (failed(Class::Denied, "403"), QUICK),
                What::DeniesRenewal(id) if work == Work::Renew(id) => return (failed(Class::Denied, "403"), QUICK),
                What::Rejects(id) if of == Some(id) => return (failed(Class::Malformed, "405"), QUICK),
                What::Garbles(id) if of == Some(id) => {
                    return (Outcome::Failed(Failure::new(Class::Malformed, "no JSON").perhaps_done()), QUICK);
                }
                _ => {}
            }
        }
        let outcome = self.carry_out(work, token, now);
        if let (true, Work::Login(_)) = (dead, work) {
            self.tokens.iter_mut().next_back().into_iter().for_each(|(_, token)| token.revoked = true);
        }
        if cut && !matches!(outcome, Outcome::Failed(_)) {
            self.lost += 1;
            match work {
                Work::Issue(_) => self.leases.iter_mut().next_back().into_iter().for_each(|lease| lease.lost = true),
                // A token nobody heard of: its id is granted again by the next login.
                Work::Login(id) => self.tokens.retain(|(known, _)| *known != id),
                _ => {}
            }
            return (Outcome::Failed(Failure::new(Class::Transient, "cut").lost().unclear()), QUICK);
        }
        (misstated.map_or_else(|| outcome.clone(), |ttl| stating(outcome.clone(), ttl)), takes)
    }

    /// Whether this is done in the database of that mount.
    fn is_made_in(&self, work: Work, mount: MountId) -> bool {
        let database = |id| self.elsewhere.iter().find(|(of, _)| *of == id).map_or(self.mount(id), |(_, mount)| *mount);
        matches!(work, Work::Issue(id) | Work::Renew(id) if database(id) == mount)
    }

    fn carry_out(&mut self, work: Work, token: Option<TokenId>, now: Duration) -> Outcome {
        let denied = || Outcome::Failed(Failure::new(Class::Denied, "403"));
        if work == Work::CheckHealth {
            return Outcome::Done;
        }
        if let Work::Login(id) = work {
            return self.login(id, token, now);
        }
        if let Work::RevokeOldToken(id) = work {
            if !self.is_token_live(id, now) {
                return denied();
            }
            self.tokens.iter_mut().filter(|(known, _)| *known == id).for_each(|(_, token)| token.revoked = true);
            return Outcome::Done;
        }
        let Some(id) = token else {
            self.accusations.push(format!("{now:?}: {work:?} without a token"));
            return denied();
        };
        if !self.is_token_live(id, now) {
            if !self.token(id).revoked {
                self.accusations.push(format!("{now:?}: {work:?} with a token that has ended"));
            }
            return denied();
        }
        match work {
            Work::CheckToken => Outcome::Done,
            Work::RenewToken => {
                let (ttl, renewable) = (self.token_ttl, self.token_renewable);
                let token = &mut self.tokens.iter_mut().find(|(known, _)| *known == id).expect("checked").1;
                token.end = (now + ttl).min(token.max);
                let life = Lifetime { ttl: token.end - now, renewable };
                Outcome::Granted(Grant { life: Some(life), revocable: true })
            }
            Work::Renew(secret) => self.renew(secret, now),
            Work::Issue(secret) | Work::Read(secret) => self.fetch(secret, id, now),
            Work::Login(_) | Work::CheckHealth | Work::RevokeOldToken(_) => unreachable!("answered above"),
        }
    }

    fn login(&mut self, id: TokenId, current: Option<TokenId>, now: Duration) -> Outcome {
        if let Some(old) = current.filter(|id| self.is_token_live(*id, now)) {
            let old = self.token(old);
            let left = old.end - now;
            let gave_way =
                self.failed_renewals.contains(&None) && left <= window_of(self.token_ttl, &self.window) + EARLY;
            let is_extendable = self.token_renewable && old.max > old.end + TOLERANCE && !gave_way;
            if left > TOLERANCE
                && !gave_way
                && (is_extendable || left > hand_over_of(old.end - old.issued, &self.window) + EARLY)
            {
                self.accusations.push(format!("{now:?}: login with {left:?} left"));
            }
        }
        let max = now + self.token_max;
        let end = (now + self.token_ttl).min(max);
        self.tokens.push((id, Token { issued: now, end, max, revoked: false }));
        let life = Lifetime { ttl: end - now, renewable: self.token_renewable };
        Outcome::Granted(Grant { life: Some(life), revocable: true })
    }

    fn renew(&mut self, secret: SecretId, now: Duration) -> Outcome {
        let Kind::Leased { ttl, renewable, .. } = self.kinds[secret.0] else {
            self.accusations.push(format!("{now:?}: renewal of {secret:?}, which has no lease"));
            return Outcome::Done;
        };
        let at = self.leases.iter().rposition(|lease| lease.secret == secret && !lease.lost).expect("a lease");
        let is_live = self.is_live(&self.leases[at], now);
        let lease = &mut self.leases[at];
        if now > lease.end {
            self.accusations.push(format!("{now:?}: renewal of {secret:?}, which ended at {:?}", lease.end));
        }
        if !is_live {
            return Outcome::Failed(Failure::new(Class::Malformed, "lease not found (400)"));
        }
        lease.end = (now + ttl).min(lease.max);
        Outcome::Renewed(Lifetime { ttl: lease.end - now, renewable })
    }

    fn fetch(&mut self, secret: SecretId, token: TokenId, now: Duration) -> Outcome {
        let life = match self.kinds[secret.0] {
            Kind::Plain => Life::Unbounded,
            Kind::Certificate { ttl } => Life::Expires(ttl),
            Kind::Static { period } => {
                let into = now.as_nanos() % period.as_nanos();
                Life::Rotates(period - Duration::from_nanos(u64::try_from(into).expect("less than a period")))
            }
            Kind::Leased { ttl, max, renewable } => {
                self.accuse_issue(secret, token, renewable, now);
                let max = now + max;
                let end = (now + ttl).min(max);
                self.leases.push(Lease { secret, token, issued: now, end, max, revoked: false, lost: false });
                Life::Lease(Lifetime { ttl: end - now, renewable })
            }
        };
        Outcome::Fetched(Answer { life, rotates_in: None })
    }

    fn accuse_issue(&mut self, secret: SecretId, token: TokenId, renewable: bool, now: Duration) {
        let Some(last) = self.leases.iter().rfind(|lease| lease.secret == secret && !lease.lost) else { return };
        if last.token != token || !self.is_live(last, now) {
            return;
        }
        let left = last.end.min(self.token(token).end) - now;
        let Kind::Leased { ttl, .. } = self.kinds[secret.0] else { return };
        let gave_way = self.failed_renewals.contains(&Some(secret)) && left <= window_of(ttl, &self.window) + TOLERANCE;
        let is_extendable = renewable && last.max > last.end + TOLERANCE && !gave_way;
        if left > TOLERANCE
            && !gave_way
            && (is_extendable || left > window_of(last.end - last.issued, &self.window) + TOLERANCE)
        {
            self.accusations.push(format!("{now:?}: issue of {secret:?} with {left:?} left"));
        }
    }
}
