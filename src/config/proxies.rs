//! Proxy environment variables, read once: selects the proxy for an address. No library reads them itself.

use std::fmt;
use std::net::IpAddr;

use super::net;

/// The variables in order of precedence; the last two apply to every scheme.
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Whether a variable of this name configures proxies.
pub(super) fn is_variable(name: &str) -> bool {
    [&HTTPS[..], &HTTP, &EXCEPT].concat().contains(&name)
}

/// The configured proxies and their exceptions.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    except: Vec<Exception>,
}

/// The proxy of a variable: its URL, or why it is invalid.
#[derive(Clone, PartialEq, Eq)]
struct Named {
    variable: &'static str,
    proxy: Result<String, &'static str>,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    Network(ipnet::IpNet),
    /// A domain with all its subdomains.
    Domain(String),
}

/// A variable with an invalid proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {why}; it would be used for {host}")]
pub struct ProxyError {
    /// The variable's name.
    pub variable: &'static str,
    /// Why it is invalid. Never quotes the value, which may contain a password.
    pub why: &'static str,
    /// The host whose requests would use it.
    pub host: String,
}

impl ProxyError {
    /// The message without the variable, for a place that names it.
    pub(super) fn at_its_place(&self) -> String {
        format!("{}; it would be used for {}", self.why, self.host)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |named: &Option<Named>| named.as_ref().map(|named| named.variable);
        f.debug_struct("Proxies")
            .field("https", &name(&self.https))
            .field("http", &name(&self.http))
            .field("except", &self.except)
            .finish()
    }
}

impl Proxies {
    /// Reads the variables; `variable` returns a variable's value. An empty value counts as unset.
    pub fn read<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, variable(name).filter(|value| !value.is_empty())?)))
        };
        let named =
            |names: &[&'static str]| first(names).map(|(variable, value)| Named { variable, proxy: proxy(value) });
        // Under CGI a client's request header `Proxy` is passed as HTTP_PROXY.
        let http = if variable("REQUEST_METHOD").is_some() { &HTTP[1..] } else { &HTTP[..] };
        let except = first(&EXCEPT)
            .map_or(Vec::new(), |(_, list)| list.split([',', ' ', '\t', '\n']).filter_map(exception).collect());
        Self { https: named(&HTTPS), http: named(http), except }
    }

    /// Selects the proxy for a URL, given by its parts; `None` for a direct connection. An invalid proxy is an error
    /// only if it would be used.
    pub fn choose(&self, scheme: &str, host: &str, port: Option<u16>) -> Result<Option<&str>, ProxyError> {
        let (named, usual) = match scheme {
            "https" => (&self.https, 443),
            "http" => (&self.http, 80),
            _ => return Ok(None),
        };
        let Some(Named { variable, proxy }) = named else { return Ok(None) };
        if self.except.iter().any(|exception| exception.covers(host, port.unwrap_or(usual))) {
            return Ok(None);
        }
        proxy.as_deref().map(Some).map_err(|why| ProxyError { variable, why, host: host.to_owned() })
    }

    /// Selects the proxy for an address of the configuration; `None` for this machine.
    pub fn choose_for(&self, address: &str) -> Result<Option<&str>, ProxyError> {
        let Ok(net::Url { scheme, host, authority, .. }) = net::url(address) else { return Ok(None) };
        if net::is_loopback(address) || host.to_ascii_lowercase().ends_with(".localhost") {
            return Ok(None);
        }
        let port = authority.strip_prefix(host).and_then(|rest| rest.strip_prefix(':')?.parse().ok());
        self.choose(scheme, host, port)
    }

    /// The variable that sets the proxy for a scheme, for messages.
    pub fn variable(&self, scheme: &str) -> Option<&'static str> {
        let named = if scheme == "https" { &self.https } else { &self.http };
        named.as_ref().map(|named| named.variable)
    }
}

impl Exception {
    /// Whether the exception applies to a host and port.
    fn covers(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network) => bare.parse::<IpAddr>().is_ok_and(|address| network.contains(&address)),
            Hosts::Domain(domain) => {
                let host = bare.to_ascii_lowercase();
                host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

/// Parses an entry of `NO_PROXY`: `*`, a name (with or without a leading dot or `*.`), an address, or a network; all
/// but a network may be followed by a port.
fn exception(entry: &str) -> Option<Exception> {
    let all = |hosts| Some(Exception { hosts, port: None });
    if entry.is_empty() {
        return None;
    }
    if entry == "*" {
        return all(Hosts::All);
    }
    if let Ok(network) = entry.parse() {
        return all(Hosts::Network(network));
    }
    if let Ok(address) = entry.parse::<IpAddr>() {
        return all(Hosts::Network(address.into()));
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (entry, None),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let hosts = match bare.parse::<IpAddr>() {
        Ok(address) => Hosts::Network(address.into()),
        Err(_) if host == "*" => Hosts::All,
        Err(_) => {
            let name = host.strip_prefix('*').unwrap_or(host);
            let name = name.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
            if name.is_empty() {
                return None;
            }
            Hosts::Domain(name)
        }
    };
    Some(Exception { hosts, port })
}

/// Normalises a proxy's URL: `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]`. The default scheme is `http://`.
fn proxy(text: &str) -> Result<String, &'static str> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['\\', '<', '>', '"', '^', '`', '{', '|', '}']) {
        return Err("has a character that is not allowed in a URL (a line end, perhaps); expected http://HOST:PORT");
    }
    if !text.contains("://") && text.contains('/') {
        return Err("is no proxy's URL; expected http://HOST:PORT");
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = scheme.to_ascii_lowercase();
    if scheme.starts_with("socks") {
        return Err("names a SOCKS proxy, which is not spoken; name an http:// proxy, or set NO_PROXY for that host");
    }
    if scheme != "http" && scheme != "https" {
        return Err("is no proxy's URL; expected http://HOST:PORT");
    }
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if net::checked_host(host).is_err() {
        return Err("has no valid host and port; expected http://HOST:PORT");
    }
    if rest.matches('@').count() > 1 {
        return Err("has an \"@\" in its user name or password; write %40 for it");
    }
    Ok(format!("{scheme}://{rest}"))
}

/// A proxy's URL without user name and password.
pub fn without_userinfo(proxy: &str) -> String {
    match (proxy.split_once("://"), proxy.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => proxy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &'static str)]) -> Proxies {
        Proxies::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
    }

    #[test]
    fn the_first_variable_that_is_set_names_the_proxy_of_a_scheme() {
        for (variables, scheme, expected) in [
            (&[("HTTPS_PROXY", "http://p:1")][..], "https", Some("http://p:1")),
            (&[("HTTPS_PROXY", "http://p:1")], "http", None),
            (&[("https_proxy", "p:1")], "https", Some("http://p:1")),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "http://low:1")], "https", Some("http://low:1")),
            (&[("HTTPS_PROXY", "http://p:1"), ("https_proxy", "http://low:1")], "https", Some("http://p:1")),
            (&[("ALL_PROXY", "HTTP://p:1/")], "https", Some("http://p:1")),
            (&[("all_proxy", "http://u:p%40@p:1")], "http", Some("http://u:p%40@p:1")),
            (&[("HTTP_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")], "http", None),
            (&[("http_proxy", "http://p:1"), ("REQUEST_METHOD", "GET")], "http", Some("http://p:1")),
            (&[("HTTPS_PROXY", "http://[::1]:3128")], "https", Some("http://[::1]:3128")),
        ] {
            assert_eq!(proxies(variables).choose(scheme, "vault", None), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_an_error_only_where_it_would_be_used() {
        for value in [
            "http://p:x",
            "http://",
            "://p",
            "http://p:1\n",
            " http://p",
            "ftp://p",
            "http//p:1",
            "socks5h://p:1",
            "http://u:canary@",
            "http://a b",
            "http://u@canary@p:1",
            "http://p:99999",
        ] {
            let value: &'static str = value;
            let error = proxies(&[("HTTPS_PROXY", value)]).choose("https", "vault", None).unwrap_err();
            assert_eq!(error.variable, "HTTPS_PROXY", "{value:?}");
            assert!(!error.to_string().contains("canary"), "{error}");
            assert_eq!(proxies(&[("HTTPS_PROXY", value)]).choose("http", "vault", None), Ok(None));
            assert_eq!(
                proxies(&[("HTTPS_PROXY", value), ("NO_PROXY", "vault")]).choose("https", "vault", None),
                Ok(None)
            );
        }
    }

    #[test]
    fn no_proxy_names_hosts_domains_networks_and_ports() {
        for (list, host, port, is_direct) in [
            ("vault", "vault", Some(8200), true),
            ("VAULT.", "vault", Some(8200), true),
            ("vault:8200", "vault", Some(8200), true),
            ("vault:8200", "vault", Some(8201), false),
            ("vault:8200", "vault", None, false),
            ("vault:443", "vault", None, true),
            ("x, vault:8200", "a.vault", Some(8200), true),
            ("x vault", "vault", None, true),
            (".svc", "vault.svc", None, true),
            (".svc:8200", "vault.svc", Some(8200), true),
            ("*.svc", "vault.svc.", None, true),
            ("svc", "vaultsvc", None, false),
            ("*", "vault", None, true),
            ("*:8200", "vault", None, false),
            ("10.0.0.0/8", "10.1.2.3", None, true),
            ("10.0.0.0/8", "11.1.2.3", None, false),
            ("10.1.2.3", "10.1.2.3", None, true),
            ("10.1.2.3:8200", "10.1.2.3", Some(8200), true),
            ("10.1.2.3:8200", "10.1.2.3", Some(1), false),
            ("::1", "[::1]", None, true),
            ("[::1]:8200", "[::1]", Some(8200), true),
            ("[::1]:8200", "[::1]", None, false),
            ("fd00::/8", "[fd00::1]", None, true),
            (",", "vault", None, false),
            ("vault:x", "vault", None, false),
            ("", "vault", None, false),
        ] {
            let chosen = proxies(&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", list)]);
            let chosen = chosen.choose("https", host, port);
            assert_eq!(chosen == Ok(None), is_direct, "{list} {host} {port:?}");
        }
    }

    #[test]
    fn a_proxys_password_is_in_no_debug_output() {
        let text = format!("{:?}", proxies(&[("HTTPS_PROXY", "http://u:canary@p:1")]));
        assert!(text.contains("HTTPS_PROXY") && !text.contains("canary"), "{text}");
    }
}
