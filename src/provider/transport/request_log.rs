//! Logs each request at debug: method, address, proxy, peer, status and time; never a header or a body.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use reqwest::{Response, Url};
use tracing::{debug, trace};

use crate::config::without_userinfo;
use crate::sys::clock;

use super::{Transport, origin};

impl Transport {
    /// How a request to `url` is routed: directly or through a proxy.
    pub(super) fn route(&self, url: &Url) -> Route {
        if let Some(proxy) = &self.endpoint.proxy {
            return Route::Proxy(proxy.to_string(), "vault.proxy".to_owned());
        }
        let variable = self.endpoint.proxies.variable(url.scheme()).filter(|_| self.endpoint.uses_environment());
        let chosen = self.endpoint.proxies.choose(url.scheme(), url.host_str().unwrap_or_default(), url.port());
        match (variable, chosen) {
            (Some(variable), Ok(Some(proxy))) => Route::Proxy(proxy.to_owned(), variable.to_owned()),
            (Some(variable), Ok(None)) => Route::Excepted(variable),
            _ => Route::Direct,
        }
    }
}

/// A request that was sent, for its log lines.
pub(super) struct SentRequest {
    what: String,
    since: Duration,
}

impl SentRequest {
    /// Logs that the request is sent, without its query, which may contain parameters of the caller.
    pub(super) fn new(transport: &Transport, method: &http::Method, url: &Url) -> Self {
        let route = transport.route(url);
        let what = match &transport.endpoint.socket {
            Some(_) => format!("{method} {}{}", transport.endpoint.address, url.path()),
            None => format!("{method} {}{}{route}", origin(url), url.path()),
        };
        trace!("request: {what}");
        Self { what, since: clock::boottime() }
    }

    /// Logs the status and the peer's address (the server's, or the proxy's).
    pub(super) fn log_answer(&self, response: &Response) {
        let peer = response.remote_addr().map(|peer| format!(" from {peer}")).unwrap_or_default();
        let (status, took) = (response.status().as_u16(), clock::boottime().saturating_sub(self.since).as_millis());
        debug!("request: {}: status {status}{peer} after {took} ms", self.what);
    }

    /// Logs every error in the chain; messages to the user contain only the first informative one.
    pub(super) fn log_failure(&self, error: &reqwest::Error) {
        let took = clock::boottime().saturating_sub(self.since).as_millis();
        debug!("request: {}: failed after {took} ms: {}", self.what, Causes(error));
    }
}

/// The chain of errors, outermost first, without `reqwest`'s own text, which quotes the URL with its query.
struct Causes<'a>(&'a reqwest::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = Vec::new();
        let mut next = self.0.source();
        while let Some(cause) = next {
            texts.push(cause.to_string().escape_debug().to_string());
            next = cause.source();
        }
        texts.dedup();
        if texts.is_empty() {
            texts.push(if self.0.is_timeout() { "timed out" } else { "no cause is named" }.to_owned());
        }
        f.write_str(&texts.join(": "))
    }
}

/// How a request leaves this machine.
pub(super) enum Route {
    Direct,
    /// The proxy's URL, and the setting that names it.
    Proxy(String, String),
    /// A proxy is set by this variable, but NO_PROXY excludes the address.
    Excepted(&'static str),
}

impl Route {
    /// The proxy for messages, without user name and password.
    pub(super) fn proxy(&self) -> Option<String> {
        match self {
            Self::Proxy(url, of) => Some(format!("the proxy {} ({of})", without_userinfo(url).trim_end_matches('/'))),
            Self::Direct | Self::Excepted(_) => None,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => Ok(()),
            Self::Proxy(..) => write!(f, " through {}", self.proxy().unwrap_or_default()),
            Self::Excepted(variable) => write!(f, " directly (NO_PROXY covers it, so {variable} does not count)"),
        }
    }
}
