//! One class per failure: what is retried soon, what slowly, and which exit code it leads to.

use std::fmt;
use std::time::Duration;

use crate::domain::{Exit, MOST_SECRET_BYTES, SecretBytes};

/// What kind of failure it was, which decides what happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Worth another try soon: no connection, cut short, 5xx, sealed, standby (472, 473), consistency (412), a request
    /// that came too slowly (408).
    Transient,
    /// The server asks for patience (429, or an SDK throttling error).
    Throttled {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Refused: no policy, a dead token, a wrong role; any 4xx of a login but 408, 412 and 429.
    Denied,
    /// Nothing there, or deleted, or destroyed.
    NotFound,
    /// An answer that cannot be used, or a request the server calls wrong (400).
    Malformed,
    /// The configuration lacks what the request needs: nothing was sent.
    Misconfigured,
}

impl Class {
    /// Whether another try soon could help.
    pub fn is_retried(&self) -> bool {
        matches!(self, Self::Transient | Self::Throttled { .. })
    }

    /// The exit code when nothing better comes before the deadline.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Transient | Self::Throttled { .. } => Exit::Unavailable,
            Self::Denied => Exit::Denied,
            Self::NotFound | Self::Malformed => Exit::Data,
            Self::Misconfigured => Exit::Usage,
        }
    }
}

/// The word of the log.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient => f.write_str("transient"),
            Self::Throttled { retry_after: None } => f.write_str("throttled"),
            Self::Throttled { retry_after: Some(wait) } => write!(f, "throttled, Retry-After {} s", wait.as_secs()),
            Self::Denied => f.write_str("denied"),
            Self::NotFound => f.write_str("not found"),
            Self::Malformed => f.write_str("malformed"),
            Self::Misconfigured => f.write_str("misconfigured"),
        }
    }
}

/// What a failed request may have left behind. A read can be repeated whatever it says; a write cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it was refused, or never arrived.
    None,
    /// What was asked for: the answer is missing or says nothing of it.
    Perhaps,
}

/// Whether another try soon is likely to meet the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It passes: an outage, a restart, a queue.
    Passing,
    /// It stays until somebody mends it, as a certificate that is not trusted does.
    Standing,
}

/// Whose word a failure is. At a start both mean that the address is wrong; a server that was there before did not say what
/// somebody else says in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The backend's, or nobody's: nothing came.
    Backend,
    /// Of something between us and the backend: a page of a proxy or load balancer.
    SomebodyElse,
}

/// How much of the backend a failure that passes speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The server answered: whatever fails is the request's own, or its mount's.
    Request,
    /// No answer in time. That may be the request's, its mount's, or the server's.
    Silence,
    /// An answer that one path can have by itself and a server that is down gives to everybody (501 to 504, 472, 473, a page of a
    /// proxy), or a connection that ended within it. The server's health tells which.
    Unclear,
    /// No server answered: no connection, or one whose health says that it serves nobody.
    Backend,
}

/// A failed request. `why` reads behind "cannot read vault:secret/data/app: " and never holds a value or a response body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// What kind it was.
    pub class: Class,
    /// Whether the server may have done what was asked all the same.
    pub effect: Effect,
    /// Whether waiting is likely to help.
    pub outlook: Outlook,
    /// Whose word it is.
    pub speaker: Speaker,
    /// Whether the server works all the same.
    pub extent: Extent,
    /// Why, with the status code where there is one, and what to do: `permission denied (403): the policy needs read on secret/data/app`.
    pub why: String,
}

impl Failure {
    /// A failure from its parts.
    pub fn new(class: Class, why: impl Into<String>) -> Self {
        let (effect, outlook, speaker) = (Effect::None, Outlook::Passing, Speaker::Backend);
        Self { class, effect, outlook, speaker, extent: Extent::Request, why: why.into() }
    }

    /// The failure of an answer that came while enough secrets are held, if they are.
    pub(super) fn of_too_many_secrets() -> Option<Self> {
        let why = || format!("the secrets held at once would be larger than {} MiB", MOST_SECRET_BYTES >> 20);
        (SecretBytes::live() > MOST_SECRET_BYTES).then(|| Self::new(Class::Malformed, why()))
    }

    /// The same failure of a request that the server may have carried out.
    pub fn perhaps_done(self) -> Self {
        Self { effect: Effect::Perhaps, ..self }
    }

    /// The same failure, where no server answered.
    pub fn of_backend(self) -> Self {
        Self { extent: Extent::Backend, ..self }
    }

    /// The same failure, where only the server's health tells whether anybody is answered.
    pub fn unclear(self) -> Self {
        Self { extent: Extent::Unclear, ..self }
    }

    /// The same failure, where the answer did not come in time.
    pub fn silent(self) -> Self {
        Self { extent: Extent::Silence, ..self }
    }

    /// The same failure, of a cause that somebody has to mend.
    pub fn standing(self) -> Self {
        Self { outlook: Outlook::Standing, ..self }
    }

    /// The same failure as the word of somebody else.
    pub fn of_somebody_else(self) -> Self {
        Self { speaker: Speaker::SomebodyElse, ..self }
    }

    /// As it is meant once the backend has answered: what somebody else says in its place is a matter of time, and no
    /// refusal.
    pub fn at_work(self) -> Self {
        match self.speaker {
            Speaker::Backend => self,
            Speaker::SomebodyElse if matches!(self.class, Class::Throttled { .. }) => self,
            Speaker::SomebodyElse if self.class.is_retried() => self.unclear(),
            Speaker::SomebodyElse => Self { class: Class::Transient, effect: Effect::Perhaps, ..self.unclear() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_somebody_else_refuses_nothing_at_work() {
        let refused = Failure::new(Class::Denied, "no");
        assert_eq!(refused.clone().at_work(), refused);
        let failure = refused.of_somebody_else().at_work();
        assert_eq!((failure.class, failure.effect), (Class::Transient, Effect::Perhaps));
        assert_eq!(failure.extent, Extent::Unclear);
        let throttled = Class::Throttled { retry_after: None };
        assert_eq!(Failure::new(throttled.clone(), "later").of_somebody_else().at_work().class, throttled);
    }
}
