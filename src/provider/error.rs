//! The classes of failures: which are retried soon, which slowly, and the exit code of each.

use std::fmt;
use std::time::Duration;

use crate::domain::{Exit, MOST_SECRET_BYTES, SecretBytes, with_clause};

use super::backoff;

/// The kind of a failure, which decides what happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Retried soon: no connection, a connection that ended early, 5xx, sealed, standby (472, 473), missing consistency
    /// (412), and what a proxy or load balancer says in passing (408, 421, 423, 425, 460, 499).
    Transient,
    /// The server limits requests (429, or an SDK throttling error).
    Throttled {
        /// The `Retry-After` of the response.
        retry_after: Option<Duration>,
    },
    /// Denied: by a policy, because of a dead token or a wrong role; every 4xx of a login that the server explains, except those that are
    /// transient.
    Denied,
    /// The secret does not exist, or is deleted or destroyed.
    NotFound,
    /// A response that cannot be used, or a request that the server calls invalid (400).
    Malformed,
    /// The configuration lacks something that the request needs; nothing was sent.
    Misconfigured,
}

impl Class {
    /// Whether a failure of this class is retried soon.
    pub fn is_retried(&self) -> bool {
        matches!(self, Self::Transient | Self::Throttled { .. })
    }

    /// The exit code if retries do not succeed before the deadline.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Transient | Self::Throttled { .. } => Exit::Unavailable,
            Self::Denied => Exit::Denied,
            Self::NotFound | Self::Malformed => Exit::Data,
            Self::Misconfigured => Exit::Usage,
        }
    }
}

/// The name of the class in logs.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient => f.write_str("transient"),
            Self::Throttled { retry_after: None } => f.write_str("throttled"),
            Self::Throttled { retry_after: Some(wait) } => {
                write!(f, "throttled, Retry-After {}", backoff::as_sent(*wait))
            }
            Self::Denied => f.write_str("denied"),
            Self::NotFound => f.write_str("not found"),
            Self::Malformed => f.write_str("malformed"),
            Self::Misconfigured => f.write_str("misconfigured"),
        }
    }
}

/// Whether a failed request may have had an effect on the server. A read may be repeated in any case; a write only
/// without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It had none: it was refused, or did not arrive.
    None,
    /// It may have been carried out: the response is inconclusive.
    Perhaps,
    /// It was sent, and what the server answered did not arrive: probably it was carried out, each time.
    Lost,
    /// It was carried out, but what it brought is of no use. Each repetition issues another credential.
    Done,
}

/// Whether an immediate retry is likely to fail again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It may pass: an outage, a restart, a queue.
    Passing,
    /// It lasts until it is repaired, such as an untrusted certificate.
    Standing,
}

/// Who sent the error response. At a start a response of something else means that the address is wrong; after the
/// server has answered once, it means an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The backend; also when there was no response.
    Backend,
    /// Something between us and the backend, such as a proxy or load balancer.
    Intermediary,
}

/// How much of the backend a transient failure concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Only the request or its mount: the server answered.
    Request,
    /// A timeout: it may be due to the request, its mount, or the server.
    Silence,
    /// A response that one path may cause but that a server which is down gives to every request (501 to 504, 472, 473,
    /// a proxy's page), or a connection that ended early. A health check shows which.
    Unclear,
    /// The whole backend: no connection, or a health check that failed.
    Backend,
}

/// A failed request. `why` completes "cannot read vault:secret/data/app: " and never contains a value or a response
/// body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// Its kind.
    pub class: Class,
    /// Whether the request may have been carried out all the same.
    pub effect: Effect,
    /// Whether a retry is likely to help.
    pub outlook: Outlook,
    /// Who sent the error response.
    pub speaker: Speaker,
    /// How much of the backend is affected.
    pub extent: Extent,
    /// The reason, with the HTTP status if there is one, and what to do: `permission denied (403): the policy needs
    /// read on secret/data/app`.
    pub why: String,
    /// The login that was refused, with which `why` begins.
    refused_login: Option<String>,
}

impl Failure {
    /// A failure of the backend's own response that had no effect and concerns only the request.
    pub fn new(class: Class, why: impl Into<String>) -> Self {
        let (effect, outlook, speaker) = (Effect::None, Outlook::Passing, Speaker::Backend);
        Self { class, effect, outlook, speaker, extent: Extent::Request, why: why.into(), refused_login: None }
    }

    /// The failure of a login that was refused: the name of the login, and what the answer says of it
    /// (` was refused (400): the role id is wrong`).
    pub(super) fn of_refused_login(login: String, said: &str) -> Self {
        Self { refused_login: Some(login.clone()), ..Self::new(Class::Denied, login + said) }
    }

    /// The failure of a response that arrives while secrets in memory exceed the limit; `None` if they do not.
    pub(super) fn of_too_many_secrets() -> Option<Self> {
        let why = || format!("the secrets held at once would be larger than {} MiB", MOST_SECRET_BYTES >> 20);
        (SecretBytes::live() > MOST_SECRET_BYTES).then(|| Self::new(Class::Malformed, why()))
    }

    /// Marks the failure as one of a request that may have been carried out.
    pub fn perhaps_done(self) -> Self {
        Self { effect: Effect::Perhaps, ..self }
    }

    /// Marks the failure as one of a request whose answer did not arrive.
    pub fn lost(self) -> Self {
        Self { effect: Effect::Lost, ..self }
    }

    /// The same failure, of a request that was carried out.
    pub fn done(self) -> Self {
        Self { effect: Effect::Done, ..self }
    }

    /// Adds what an earlier attempt failed with: a deadline alone says nothing about the cause.
    pub(crate) fn after(self, earlier: Option<String>) -> Self {
        match earlier.filter(|earlier| *earlier != self.why) {
            Some(earlier) => Self { why: with_clause(&self.why, &format!("before that: {earlier}")), ..self },
            None => self,
        }
    }

    /// The failure for a message that names this address already: the reason says "it".
    pub(crate) fn at(self, address: &str) -> Self {
        match self.why.split_once(address) {
            Some((before, rest)) if !address.is_empty() && is_whole(rest) => {
                Self { why: format!("{before}it{rest}"), ..self }
            }
            _ => self,
        }
    }

    /// The failure for a message that names the login already: the reason says "it".
    pub(crate) fn of_named_login(self) -> Self {
        let said = self.refused_login.as_deref().and_then(|login| self.why.strip_prefix(login));
        match said.map(|said| format!("it{said}")) {
            Some(why) => Self { why, refused_login: None, ..self },
            None => self,
        }
    }

    /// Marks the failure as one of the whole backend: no server answered.
    pub fn of_backend(self) -> Self {
        Self { extent: Extent::Backend, ..self }
    }

    /// Marks the failure as one where only a health check shows whether the server is down.
    pub fn unclear(self) -> Self {
        Self { extent: Extent::Unclear, ..self }
    }

    /// Marks the failure as a timeout.
    pub fn silent(self) -> Self {
        Self { extent: Extent::Silence, ..self }
    }

    /// Marks the failure as one whose cause has to be repaired.
    pub fn standing(self) -> Self {
        Self { outlook: Outlook::Standing, ..self }
    }

    /// Marks the failure as one in a response that something between us and the backend sent.
    pub fn by_intermediary(self) -> Self {
        Self { speaker: Speaker::Intermediary, ..self }
    }

    /// The failure as it counts once the backend has answered before: an error response of something else is then
    /// transient, and not a refusal.
    pub fn after_contact(self) -> Self {
        match self.speaker {
            Speaker::Backend => self,
            Speaker::Intermediary if matches!(self.class, Class::Throttled { .. }) => self,
            Speaker::Intermediary if self.class.is_retried() => self.unclear(),
            Speaker::Intermediary => Self { class: Class::Transient, effect: Effect::Lost, ..self.unclear() },
        }
    }
}

/// Whether an address ends where this rest of a message begins, and is no part of a longer one.
fn is_whole(rest: &str) -> bool {
    rest.is_empty() || [" ", ",", ": ", "; "].iter().any(|end| rest.starts_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_the_message_names_is_not_named_again() {
        for (why, expected) in [
            ("http://a:1 refuses the connection; is it there?", "it refuses the connection; is it there?"),
            ("the certificate of http://a:1 has expired", "the certificate of it has expired"),
            ("no connection to http://a:1", "no connection to it"),
            ("http://a:1 redirects to http://a:1/x", "it redirects to http://a:1/x"),
            ("http://a:12 refuses", "http://a:12 refuses"),
            ("http://a:1/x refuses", "http://a:1/x refuses"),
            ("permission denied (403)", "permission denied (403)"),
        ] {
            assert_eq!(Failure::new(Class::Transient, why).at("http://a:1").why, expected);
        }
        assert_eq!(Failure::new(Class::Transient, "x").at("").why, "x");
    }

    #[test]
    fn a_login_that_the_message_names_is_not_named_again() {
        let (login, said) = ("approle login (mount \"a\")", " was refused (400): the role id is wrong");
        let refused = Failure::of_refused_login(login.to_owned(), said);
        assert_eq!(refused.why, format!("{login}{said}"));
        assert_eq!(refused.of_named_login().why, format!("it{said}"));
        let unwrapping = Failure::new(Class::Denied, "the unwrapping of the secret id was refused (400)");
        assert_eq!(unwrapping.clone().of_named_login(), unwrapping);
    }

    #[test]
    fn a_page_of_somebody_else_refuses_nothing_at_work() {
        let refused = Failure::new(Class::Denied, "no");
        assert_eq!(refused.clone().after_contact(), refused);
        let failure = refused.by_intermediary().after_contact();
        assert_eq!((failure.class, failure.effect), (Class::Transient, Effect::Lost));
        assert_eq!(failure.extent, Extent::Unclear);
        let throttled = Class::Throttled { retry_after: None };
        assert_eq!(Failure::new(throttled.clone(), "later").by_intermediary().after_contact().class, throttled);
    }
}
