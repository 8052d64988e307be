//! The types shared by the schedule and its driver: work, outcomes and events.

use std::time::Duration;

use crate::domain::{Ends, Fetched};
use crate::provider::{Class, Failure};

/// One secret of a schedule: its index in the order it was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(pub usize);

/// A secrets engine mount, whose failures concern all its secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MountId(pub usize);

/// One login of a schedule, numbered in order. The driver stores the tokens by this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u32);

/// What a secret needs, known before anything was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// A read may be repeated; a write is sent again only when its value ends.
    pub operation: Operation,
    /// How often it is read again when it has no lease.
    pub refresh: Duration,
    /// The mount whose failures it shares. Ids are small: one per mount, from 0.
    pub mount: MountId,
}

/// Whether a repeated request changes something on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `vault:PATH`, Secrets Manager, a mounted file.
    Read,
    /// `vault:PATH?…`, which may issue something each time.
    Write,
}

/// What [`next`](super::Schedule::next) returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start this now and report its outcome. Call `next` again at once: more may run in parallel.
    Do(Work),
    /// Something the caller has to decide about or log. Call `next` again at once.
    Tell(Event),
    /// Nothing to do until an outcome arrives or this much time has passed, whichever is first. At most 30 s.
    Wait(Duration),
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Log in; the new token is stored under this id. Ends with [`Outcome::Granted`] or [`Outcome::TokenUnchanged`].
    Login(TokenId),
    /// Renew the current token. Ends with [`Outcome::Granted`].
    RenewToken,
    /// Look the current token up (`lookup-self`). Ends with [`Outcome::Done`]; a [`Failure`] `Denied` means that it is
    /// dead.
    CheckToken,
    /// Check whether the server answers at all (`sys/health`, without a token). Ends with [`Outcome::Done`]; a
    /// [`Failure`] means that it does not.
    CheckHealth,
    /// Revoke a token that was replaced. Ends with [`Outcome::Done`].
    RevokeOldToken(TokenId),
    /// Renew the secret's lease. Ends with [`Outcome::Renewed`].
    Renew(SecretId),
    /// Fetch something that may be a new credential each time. Ends with [`Outcome::Fetched`].
    Issue(SecretId),
    /// Fetch something that stays the same until it is changed on the server. Ends with [`Outcome::Fetched`].
    Read(SecretId),
}

impl Work {
    /// The secret it is about; `None` for work about the token or the server.
    pub fn secret(self) -> Option<SecretId> {
        match self {
            Self::Renew(id) | Self::Issue(id) | Self::Read(id) => Some(id),
            Self::Login(_) | Self::RenewToken | Self::CheckToken | Self::CheckHealth | Self::RevokeOldToken(_) => None,
        }
    }
}

/// The result of a piece of work. Every piece that was started ends in exactly one; an aborted one counts as a
/// transient failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A token: a new one after a login, the same one with a new end after a renewal.
    Granted(Grant),
    /// A login that returned the token already in use (a token file that has not changed).
    TokenUnchanged(Grant),
    /// A renewed lease.
    Renewed(Lifetime),
    /// A fetched value.
    Fetched(Answer),
    /// A successful revocation, or a check that found token or server alive.
    Done,
    /// A failure, with its class.
    Failed(Failure),
    /// A denial with which the server says that the token itself is dead: no check is needed.
    TokenDead(Failure),
}

/// A token as the server granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Its lifetime; `None`: it does not end by itself.
    pub life: Option<Lifetime>,
    /// Whether we revoke it: we logged in for it, and it is not a batch token.
    pub revocable: bool,
}

/// How long something is valid, counted from its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// The TTL.
    pub ttl: Duration,
    /// Whether the server would renew it.
    pub renewable: bool,
}

/// What the schedule needs to know of a fetched value, never the value itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// How its validity ends.
    pub life: Life,
    /// The time until Secrets Manager's `NextRotationDate`; zero when it is past.
    pub rotates_in: Option<Duration>,
}

/// How the validity of a fetched value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// With its lease, or with the token it was issued under.
    Lease(Lifetime),
    /// The same, for something that cannot be renewed and may be duplicated without harm: a leased certificate, a child
    /// token.
    HarmlessLease(Duration),
    /// By itself, and it may be duplicated without harm: a certificate, a signed key, a token.
    Expires(Duration),
    /// By itself, when the server replaces it (a static role).
    Rotates(Duration),
    /// When it is changed on the server; to be read at this interval.
    ReadEvery(Duration),
    /// When it is changed on the server.
    Unbounded,
}

impl Answer {
    /// A value that is valid for less than this is of no use to an app and would be re-issued every second. Values that
    /// are renewed or rotate by themselves are exempt.
    const SHORTEST: Duration = Duration::from_secs(2);

    /// Returns a failure for a value that has (nearly) expired on arrival, so that it is issued again after a back-off.
    pub fn over(&self) -> Option<Failure> {
        let ttl = match self.life {
            Life::Lease(Lifetime { ttl, renewable: true }) if !ttl.is_zero() => return None,
            Life::Lease(Lifetime { ttl, .. }) | Life::HarmlessLease(ttl) | Life::Expires(ttl) => ttl,
            Life::Rotates(_) | Life::ReadEvery(_) | Life::Unbounded => return None,
        };
        let why = "what came lives for less than two seconds; are the clocks right here and at the server, and what life does \
                   the role give?";
        (ttl < Self::SHORTEST).then(|| Failure::new(Class::Malformed, why).done())
    }
}

impl From<&Fetched> for Answer {
    /// How long a fetched value lives, for the schedule.
    fn from(fetched: &Fetched) -> Self {
        let life = match (&fetched.lease, fetched.ends) {
            (Some(lease), Some(Ends::Expires(ttl) | Ends::WithToken(ttl))) if !lease.renewable => {
                Life::HarmlessLease(lease.ttl.min(ttl))
            }
            (Some(lease), _) => Life::Lease(Lifetime { ttl: lease.ttl, renewable: lease.renewable }),
            (None, Some(Ends::WithToken(ttl))) => Life::HarmlessLease(ttl),
            (None, Some(Ends::Expires(ttl))) => Life::Expires(ttl),
            (None, Some(Ends::Rotates(ttl))) => Life::Rotates(ttl),
            (None, Some(Ends::ReadEvery(interval))) => Life::ReadEvery(interval),
            (None, None) => Life::Unbounded,
        };
        Self { life, rotates_in: None }
    }
}

/// What a `Retry-After` applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatienceFor {
    /// The mount of this secret, which was throttled.
    MountOf(SecretId),
    /// Logins and renewals of the token.
    Token,
    /// Every request to the backend.
    Everything,
}

/// Something the caller decides about, logs or counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The delivered value has expired and nothing has replaced it: `onExpired` decides. Once per expiry.
    Expired(SecretId),
    /// A value that was reported as expired has been replaced, and the app has the replacement.
    Revived(SecretId),
    /// The server sent `Retry-After`: requests of this kind are put off for that time, except for what would expire.
    Patience(PatienceFor, Duration),
    /// The backend does not answer. One event, not one per secret.
    BackendDown,
    /// The backend answers again.
    BackendUp,
}
