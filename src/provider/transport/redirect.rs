//! Decides which redirects are followed.

use std::net::IpAddr;

use http::StatusCode;
use http::header::LOCATION;
use reqwest::Url;

use super::failure::TransportError;

/// No host name is longer (RFC 1035), and the message about a redirect shows it.
const LONGEST_HOST: usize = 255;

/// The target of a redirect; `None` when the response is not one. An error for a redirect that is not followed.
pub(super) fn redirect(
    from: &Url,
    method: &http::Method,
    response: &http::Response<Vec<u8>>,
    allowed: &[String],
) -> Result<Option<Url>, TransportError> {
    use StatusCode as S;
    let status = response.status();
    if ![S::MOVED_PERMANENTLY, S::FOUND, S::SEE_OTHER, S::TEMPORARY_REDIRECT, S::PERMANENT_REDIRECT].contains(&status) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let Some(target) = location
        .filter(|location| is_location(location))
        .and_then(|location| from.join(location).ok())
        .filter(|target| target.host_str().is_some_and(|host| host.len() <= LONGEST_HOST))
    else {
        let to = if response.headers().contains_key(LOCATION) { "what is no URL" } else { "nowhere" }.to_owned();
        return Err(TransportError::Redirect { from: origin(from), to, why: "; is this a Vault server?" });
    };
    // A standby redirects to an API path of another node, an ingress perhaps to one with a prefix.
    if status == S::SEE_OTHER || !target.path().contains("/v1/") {
        let why = ", to no path of Vault's API: a login page, a proxy or another server answers in its place; is \
                   vault.address right?";
        return Err(TransportError::Redirect { from: origin(from), to: origin(&target), why });
    }
    if matches!(status, S::MOVED_PERMANENTLY | S::FOUND) && method != http::Method::GET {
        let why = ", and a write is not sent again for that: set vault.address to where it should go";
        return Err(TransportError::Redirect { from: origin(from), to: origin(&target), why });
    }
    if target.scheme() != from.scheme() {
        let why = match target.scheme() {
            "https" => "; set vault.address to that",
            "http" => ", which is not encrypted; not followed",
            _ => ", which is no address of a server; is vault.address right?",
        };
        return Err(TransportError::Redirect { from: origin(from), to: origin(&target), why });
    }
    if target.scheme() == "http" && is_loopback(from) && !is_loopback(&target) {
        let why = ", where the token would cross the network unencrypted; not followed: set vault.address to its https \
                   address";
        return Err(TransportError::Redirect { from: origin(from), to: origin(&target), why });
    }
    if target.origin() != from.origin() && !allowed.iter().any(|host| is_host(&target, from, host)) {
        let why = ", which is not vault.address; if it is a node of that cluster, add it to vault.redirectHosts";
        return Err(TransportError::Redirect { from: origin(from), to: origin(&target), why });
    }
    Ok(Some(target))
}

/// Whether this can be a URI reference (RFC 3986 allows no white space). An empty one is refused.
fn is_location(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

/// Whether the URL is at `HOST[:PORT]`; without a port, that of `from` applies.
pub(super) fn is_host(url: &Url, from: &Url, host: &str) -> bool {
    let Ok(allowed) = Url::parse(&format!("{}://{host}", url.scheme())) else { return false };
    let port = match host.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => allowed.port_or_known_default(),
        _ => from.port_or_known_default(),
    };
    url.host_str() == allowed.host_str() && url.port_or_known_default() == port
}

/// Scheme, host and port of a URL.
pub(super) fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Whether a URL's host is a loopback address or `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}
