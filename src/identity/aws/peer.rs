//! Adds to a failed request which peer it was sent to: the service, or a proxy.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::config::{Proxies, without_userinfo};
use crate::domain;

use super::profile;

/// A request without a response, and its route.
#[derive(Debug)]
pub(super) struct NotReached {
    way: PeerRoute,
    cause: ConnectorError,
}

/// The route of a request, without user name or password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerRoute {
    /// Directly to this address (scheme, host, port).
    Direct(String),
    /// Through this proxy, which this variable names.
    Proxy(String, &'static str),
}

impl PeerRoute {
    /// The route to an address, through the proxy if there is one.
    pub(super) fn of(uri: &http::Uri, proxy: Option<&str>, proxies: &Proxies) -> Self {
        let scheme = uri.scheme_str().unwrap_or("http");
        match proxy {
            Some(proxy) => Self::Proxy(without_userinfo(proxy), proxies.variable(scheme).unwrap_or("HTTPS_PROXY")),
            None => {
                let authority = uri.authority().map_or("", |authority| authority.as_str());
                Self::Direct(without_userinfo(&format!("{scheme}://{authority}")))
            }
        }
    }
}

impl fmt::Display for NotReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer")
    }
}

impl Error for NotReached {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// Adds the route to an error, keeping its kind.
pub(super) fn with_route(way: PeerRoute, cause: ConnectorError) -> ConnectorError {
    let (is_timeout, is_user, is_io) = (cause.is_timeout(), cause.is_user(), cause.is_io());
    let kind = cause.as_other();
    let wrapped = Box::new(NotReached { way, cause });
    match (is_timeout, is_user, is_io) {
        (true, ..) => ConnectorError::timeout(wrapped),
        (_, true, _) => ConnectorError::user(wrapped),
        (_, _, true) => ConnectorError::io(wrapped),
        _ => ConnectorError::other(wrapped, kind),
    }
}

/// Why a request for credentials was not answered; `reason` is its innermost one.
pub(super) fn unanswered(error: &ConnectorError, reason: &str) -> String {
    let way = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    format!("{LOADING}: {}", explain(way.into_iter().find_map(|cause| cause.downcast_ref()), reason))
}

/// What a request does whose answer are credentials.
pub(super) const LOADING: &str = "loading AWS credentials";

/// Adds the address, or the proxy and its variable, to the reason.
pub(super) fn explain(failed: Option<&NotReached>, reason: &str) -> String {
    match failed {
        None => reason.to_owned(),
        Some(failed) => failed.way.add_to(tunnel(failed).filter(|_| failed.way.is_proxy()).unwrap_or(reason)),
    }
}

impl PeerRoute {
    /// Whether it leads through a proxy.
    fn is_proxy(&self) -> bool {
        matches!(self, Self::Proxy(..))
    }

    /// Adds the address, or the proxy, to the reason.
    fn add_to(&self, reason: &str) -> String {
        match self {
            Self::Direct(address) => {
                let authority = address.split_once("://").map_or(address.as_str(), |(_, authority)| authority);
                let said = profile::origin_of_address(authority).map(|name| format!(", from {name}"));
                format!("{reason} ({address}{})", said.unwrap_or_default())
            }
            Self::Proxy(proxy, variable) => {
                let reason = if reason == NO_NAME { "the proxy's name does not resolve" } else { reason };
                format!("{reason}; requests go through the proxy {proxy} ({variable}), and NO_PROXY goes around it")
            }
        }
    }
}

/// What came of the last request for credentials, where that were none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoneGiven {
    /// A status other than success.
    Status(PeerRoute, u16),
    /// There is no answer yet.
    Waiting(PeerRoute),
}

impl NoneGiven {
    /// The reason, with the address.
    pub(super) fn explain(&self) -> String {
        match self {
            Self::Waiting(way) => way.add_to("no answer in time"),
            Self::Status(way, status @ 400..=499) => domain::with_clause(
                &way.add_to(&format!("the credentials endpoint answers {status}")),
                "its log says why; in EKS the service account needs a Pod Identity association",
            ),
            Self::Status(way, status) => way.add_to(&format!("the credentials endpoint answers {status}")),
        }
    }
}

impl fmt::Display for NoneGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain())
    }
}

impl Error for NoneGiven {}

/// The message for a name that does not resolve.
pub(super) const NO_NAME: &str = "the name does not resolve";

/// Explains why a proxy does not connect us. hyper-util's error cannot be downcast to, so it is recognised by its text.
fn tunnel(failed: &NotReached) -> Option<&'static str> {
    let causes = std::iter::successors(failed.source(), |&error| error.source());
    let mut texts = causes.map(|error: &(dyn Error + 'static)| error.to_string());
    texts.find_map(|text| match text.strip_prefix("tunnel error: ")? {
        "proxy authorization required" => {
            Some("the proxy wants a user name and password (http://USER:PASSWORD@HOST:PORT)")
        }
        "unsuccessful" => Some("the proxy does not connect to it: its rules or its log say why"),
        _ => None,
    })
}
