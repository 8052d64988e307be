//! Explains failures between us and a response, from the chain of errors that `reqwest` returns.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};

use crate::config::ProxyError;
use crate::domain::MOST_ANSWER_BYTES;
use crate::identity::thread::NoThread;
use crate::provider::tls;
use crate::provider::{Class, Failure};

use super::names::{NoSuchName, NotLookedUp};
use super::{Limits, TrustSource};

/// Why there is no usable response. Names the address, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportError {
    /// The name does not exist, or no DNS server answers.
    #[error("the name {0} does not resolve")]
    Name(String),
    /// The name of the proxy does not exist.
    #[error(
        "{proxy}, through which {address} is reached, has a name that does not resolve; is it right? (NO_PROXY goes around it)"
    )]
    ProxyName {
        /// The proxy's URL, and the setting that names it.
        proxy: String,
        /// The address behind it.
        address: String,
    },
    /// The name look-up needs a thread, and none can be started.
    #[error("the name {0} cannot be looked up: {NoThread}")]
    NotLookedUp(String),
    /// The connection was refused.
    #[error("{0} refuses the connection; is the server running there?")]
    Refused(String),
    /// The Unix socket cannot be connected to.
    #[error("{0} cannot be connected to: {1}")]
    Socket(String, &'static str),
    /// The connection to the proxy was refused.
    #[error(
        "{proxy}, through which {address} is reached, refuses the connection; is the proxy running? (NO_PROXY goes around it)"
    )]
    ProxyRefused {
        /// The proxy's URL, and the setting that names it.
        proxy: String,
        /// The address behind it.
        address: String,
    },
    /// The proxy refuses to connect us.
    #[error("{proxy} does not connect us to {address}: {why}")]
    ProxyDenied {
        /// The proxy's URL, and the setting that names it.
        proxy: String,
        /// The address behind it.
        address: String,
        /// What to do.
        why: &'static str,
    },
    /// A proxy variable is invalid.
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    /// No route to the server.
    #[error("{0} cannot be reached: no route to it")]
    Unreachable(String),
    /// Connecting timed out.
    #[error("{0} cannot be reached: no connection within {1:?}")]
    ConnectTimeout(String, Duration),
    /// The response timed out.
    #[error("{0} gave no answer within {1:?}")]
    AnswerTimeout(String, Duration),
    /// A TLS error, as a whole sentence.
    #[error("{0}")]
    Tls(String),
    /// The connection ended before the response was complete.
    #[error("the connection to {0} ended before the answer was complete")]
    CutShort(String),
    /// The connection failed for another reason.
    #[error("no connection to {0}{1}")]
    NotConnected(String, &'static str),
    /// The body is encoded, although no request accepts that.
    #[error(
        "the answer is compressed (Content-Encoding: {0}), which no request allows; a proxy or load balancer before \
         the server does that: switch it off for this server"
    )]
    Encoded(String),
    /// The response exceeds the size limit.
    #[error("the answer is larger than {} MiB", MOST_ANSWER_BYTES >> 20)]
    TooLarge,
    /// A redirect that is not followed.
    #[error("{from} redirects to {to}{why}")]
    Redirect {
        /// Where the request was sent.
        from: String,
        /// Scheme, host and port of the target.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let class = match error {
            TransportError::TooLarge
            | TransportError::Encoded(_)
            | TransportError::Redirect { .. }
            | TransportError::Proxy(_) => Class::Malformed,
            _ => Class::Transient,
        };
        let failure = Self::new(class, error.to_string());
        let failure = match error {
            TransportError::AnswerTimeout(..) => failure.silent(),
            TransportError::CutShort(_) => failure.unclear(),
            // A failure of this machine, not of the backend.
            TransportError::NotLookedUp(_) => failure,
            // Vault redirects to no page, and a standby's own address is on the list of hosts.
            TransportError::Redirect { .. } | TransportError::Encoded(_) => failure.by_intermediary(),
            TransportError::TooLarge | TransportError::Proxy(_) => failure,
            _ => failure.of_backend(),
        };
        match error {
            TransportError::AnswerTimeout(..) | TransportError::CutShort(_) => failure.lost(),
            TransportError::TooLarge | TransportError::Encoded(_) => failure.perhaps_done(),
            TransportError::Tls(_) | TransportError::NotLookedUp(_) => failure.standing(),
            _ => failure,
        }
    }
}

/// The error for a success whose body is encoded; `None` if it is not. Servers encode only what a request accepts, and
/// ours accept nothing.
pub(super) fn encoded(status: StatusCode, headers: &HeaderMap) -> Option<TransportError> {
    let encoding = headers.get(CONTENT_ENCODING).filter(|_| status.is_success())?.as_bytes().trim_ascii();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
        return None;
    }
    let is_name = encoding.len() <= 20 && encoding.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let name = if is_name { String::from_utf8_lossy(encoding).into_owned() } else { "unknown".to_owned() };
    Some(TransportError::Encoded(name))
}

/// Finds the reason of a `reqwest` error: the first informative error in its chain.
pub(super) fn why(
    error: &reqwest::Error,
    address: &str,
    proxy: Option<String>,
    trust: &TrustSource,
    limits: Limits,
) -> TransportError {
    let address = address.to_owned();
    let proxy_name = proxy.clone().unwrap_or_else(|| "the proxy".to_owned());
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    // Without TLS there is no tunnel: we are connected to the proxy itself.
    let is_relayed = proxy.is_some() && address.starts_with("http://");
    let mut peer = if is_relayed { proxy_name.clone() } else { address.clone() };
    while let Some(error) = next {
        // hyper-util's TunnelError cannot be downcast to; it is recognised by its text.
        match error.to_string().strip_prefix("tunnel error: ") {
            Some("failed to create underlying connection") => peer = proxy_name.clone(),
            Some(tunnel) => {
                if let Some(why) = why_denied(tunnel) {
                    return TransportError::ProxyDenied { proxy: proxy_name, address, why };
                }
            }
            None => {}
        }
        if let Some(NoSuchName(name)) = error.downcast_ref() {
            return no_such_name(name, peer, address);
        }
        if let Some(NotLookedUp(name)) = error.downcast_ref() {
            return TransportError::NotLookedUp(name.clone());
        }
        let of_tls = error.downcast_ref::<rustls::Error>();
        if let Some(error) = of_tls.or_else(|| error.downcast_ref::<io::Error>().and_then(wrapped)) {
            return TransportError::Tls(tls::explain(error, &address, &trust.to_string()));
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && let Some(error) = of_system(error.kind(), &peer, &address)
        {
            return error;
        }
        next = error.source();
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, true) => TransportError::ConnectTimeout(peer, limits.connect),
        (true, false) => TransportError::AnswerTimeout(address, limits.request),
        (false, true) => TransportError::NotConnected(address, ""),
        (false, false) => TransportError::CutShort(address),
    }
}

/// The error for a name that does not exist: the server's, or that of the proxy.
fn no_such_name(name: &str, peer: String, address: String) -> TransportError {
    if peer == address {
        TransportError::Name(name.to_owned())
    } else {
        TransportError::ProxyName { proxy: peer, address }
    }
}

/// Explains the text of a failed tunnel through a proxy; `None` if it is unknown.
fn why_denied(tunnel: &str) -> Option<&'static str> {
    match tunnel {
        "proxy authorization required" => {
            Some("it wants a user name and password; put them into its URL (http://USER:PASSWORD@HOST:PORT)")
        }
        "unsuccessful" => Some(
            "its rules may not allow that host or port, or it cannot reach it; its log says which (NO_PROXY goes around it)",
        ),
        _ => None,
    }
}

/// The error for a system error of the connection to `peer` (the server, a proxy, or a socket); `None` if it says
/// nothing specific.
fn of_system(kind: io::ErrorKind, peer: &str, address: &str) -> Option<TransportError> {
    let is_socket = address.starts_with("unix://");
    let (peer, address) = (peer.to_owned(), address.to_owned());
    Some(match kind {
        io::ErrorKind::NotFound if is_socket => TransportError::Socket(address, "there is no such socket"),
        io::ErrorKind::PermissionDenied if is_socket => {
            TransportError::Socket(address, "permission denied; the user that fetches needs write access to it")
        }
        io::ErrorKind::ConnectionRefused if peer != address => TransportError::ProxyRefused { proxy: peer, address },
        io::ErrorKind::ConnectionRefused => TransportError::Refused(peer),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            TransportError::Unreachable(peer)
        }
        _ => return None,
    })
}

/// The TLS error inside an io::Error, possibly nested: `source` skips what an io::Error wraps.
fn wrapped(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| inner.downcast_ref().and_then(wrapped))
}
