//! The words between the schedule and its driver: what is to be done, and what came of it.

use std::time::Duration;

use crate::domain::{Ends, Fetched};
use crate::provider::{Class, Failure};

/// One secret of a schedule: the place it was added at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(pub usize);

/// What answers for several secrets of a schedule behind one server: one secrets engine. Its failures are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MountId(pub usize);

/// One login of a schedule, in order. The driver keeps the tokens themselves under these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u32);

/// What a secret asks for, known before anything was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// A read may be repeated; a write is sent again only at its own end.
    pub operation: Operation,
    /// How often it is read again when it has no lease.
    pub refresh: Duration,
    /// Whose failures are its own too. Ids are small: one per mount, from 0.
    pub mount: MountId,
}

/// Whether asking again changes something on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `vault:PATH`, Secrets Manager, a mounted file.
    Read,
    /// `vault:PATH?…`, which may issue something each time.
    Write,
}

/// What [`next`](super::Schedule::next) answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start this now and report its outcome; ask again at once, more may run beside it.
    Do(Work),
    /// Something the caller decides about; ask again at once.
    Tell(Event),
    /// Nothing until an outcome arrives or this much time has passed, whichever is first. At most 30 s.
    Wait(Duration),
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Log in; the new token is kept under this id. Answered by [`Outcome::Granted`] or [`Outcome::TokenUnchanged`].
    Login(TokenId),
    /// Extend the current token. Answered by [`Outcome::Granted`].
    RenewToken,
    /// Ask whether the current token lives (`lookup-self`). Answered by [`Outcome::Done`]; [`Failure`] `Denied` means dead.
    CheckToken,
    /// Ask whether the server answers at all (`sys/health`, without a token). Answered by [`Outcome::Done`]; a [`Failure`] means
    /// that nobody does.
    CheckHealth,
    /// Revoke a token that was handed over from. Answered by [`Outcome::Done`].
    RevokeOldToken(TokenId),
    /// Extend the secret's lease. Answered by [`Outcome::Renewed`].
    Renew(SecretId),
    /// Fetch what may be a new credential each time. Answered by [`Outcome::Fetched`].
    Issue(SecretId),
    /// Fetch what is the same until somebody changes it. Answered by [`Outcome::Fetched`].
    Read(SecretId),
}

impl Work {
    /// The secret it is about.
    pub fn secret(self) -> Option<SecretId> {
        match self {
            Self::Renew(id) | Self::Issue(id) | Self::Read(id) => Some(id),
            Self::Login(_) | Self::RenewToken | Self::CheckToken | Self::CheckHealth | Self::RevokeOldToken(_) => None,
        }
    }
}

/// What came of a piece of work. Every started work ends in exactly one; an aborted one is a transient failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A token: a new one after a login, the same with a new end after a renewal.
    Granted(Grant),
    /// A login that brought the token we already have (a token file that did not change).
    TokenUnchanged(Grant),
    /// A lease with a new end.
    Renewed(Lifetime),
    /// A value.
    Fetched(Answer),
    /// A revocation, or a check of a token that lives.
    Done,
    /// It failed, by class.
    Failed(Failure),
    /// It was refused, and the server says that the token itself is dead: spares the check.
    TokenDead(Failure),
}

/// A token as the server granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// `None`: it does not end by itself.
    pub life: Option<Lifetime>,
    /// Ours to revoke: we logged in for it, and it is no batch token.
    pub revocable: bool,
}

/// How long something lives from its answer on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// The time.
    pub ttl: Duration,
    /// Whether the server would renew it.
    pub renewable: bool,
}

/// What the schedule has to know about a fetched value; never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// How it ends.
    pub life: Life,
    /// Secrets Manager's `NextRotationDate` from now; zero when it is past.
    pub rotates_in: Option<Duration>,
}

/// How a fetched value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// With its lease, or with the token it was issued under.
    Lease(Lifetime),
    /// The same, of what cannot be renewed and may live twice without harm: a leased certificate, a child token.
    HarmlessLease(Duration),
    /// By itself, and may live twice without harm: a certificate, a signed key, a token.
    Expires(Duration),
    /// By itself: the server replaces it then (a static role).
    Rotates(Duration),
    /// When somebody changes it; it is to be read this often.
    ReadEvery(Duration),
    /// When somebody changes it.
    Unbounded,
}

impl Answer {
    /// What lives shorter from its answer on is of no use to an app, and would be issued again every second for ever. What is
    /// renewed or rotates by itself is only about to be.
    const SHORTEST: Duration = Duration::from_secs(2);

    /// The failure that a value is which is over, or nearly, when it comes: issued again after a back-off.
    pub fn over(&self) -> Option<Failure> {
        let ttl = match self.life {
            Life::Lease(Lifetime { ttl, renewable: true }) if !ttl.is_zero() => return None,
            Life::Lease(Lifetime { ttl, .. }) | Life::HarmlessLease(ttl) | Life::Expires(ttl) => ttl,
            Life::Rotates(_) | Life::ReadEvery(_) | Life::Unbounded => return None,
        };
        let why = "what came lives for less than two seconds; are the clocks right here and at the server, and what life does \
                   the role give?";
        (ttl < Self::SHORTEST).then(|| Failure::new(Class::Malformed, why))
    }
}

impl From<&Fetched> for Answer {
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

/// What the server asks patience for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatienceFor {
    /// The mount of this secret, which was sent away.
    MountOf(SecretId),
    /// Logins and renewals of the token.
    Token,
    /// Whatever is sent to the backend.
    Everything,
}

/// What the caller decides about, logs or counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The delivered value is dead and nothing has replaced it: `onExpired` decides. Once per expiry.
    Expired(SecretId),
    /// A value that had been told expired was replaced.
    Revived(SecretId),
    /// The server asks for patience: nothing of this is sent until that time has passed, but for what would expire.
    Patience(PatienceFor, Duration),
    /// The backend does not answer; one line, not one per secret.
    BackendDown,
    /// It answers again.
    BackendUp,
}
