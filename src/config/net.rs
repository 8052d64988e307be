//! Validates addresses, so that a URL parser cannot interpret them differently later. Text with credentials is never
//! quoted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The parts of `SCHEME://HOST[:PORT][/REST]`.
pub(super) struct Url<'a> {
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    /// Host and port.
    pub(super) authority: &'a str,
    /// Everything from the first slash on.
    rest: &'a str,
}

/// Splits and validates an HTTP URL.
pub(super) fn url(text: &str) -> Result<Url<'_>, String> {
    const EXPECTED: &str = "expected http:// or https:// and a host";
    let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
    let known = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
    let scheme = known.ok_or(EXPECTED)?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['\\', '<', '>', '"', '^', '`', '{', '|', '}']) {
        return Err("has a character that is not allowed in a URL".to_owned());
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err("must not hold credentials".to_owned());
    }
    Ok(Url { scheme, host: checked_host(authority)?, authority, rest })
}

/// Validates `HOST[:PORT]` and returns the host.
pub(super) fn checked_host(text: &str) -> Result<&str, String> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']').ok_or("expected \"]\" after an IPv6 address")?;
        let (host, rest) = text.split_at(end + 1);
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("expected a colon and a port after \"]\"".to_owned()),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    host_syntax(host)?;
    let is_port =
        |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0);
    match port {
        Some(digits) if !is_port(digits) => Err("expected a port from 1 to 65535 after the host".to_owned()),
        _ => Ok(host),
    }
}

/// Validates a host name or IP address.
fn host_syntax(host: &str) -> Result<(), String> {
    const EXPECTED: &str = "expected the name of a host or its IP address (IPv6 in brackets)";
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(drop).map_err(|_| EXPECTED.to_owned());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(EXPECTED.to_owned());
    }
    // URL parsers interpret a numeric last label as IPv4, in any of its old notations.
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    if is_number && name.parse::<Ipv4Addr>().is_err() {
        return Err(EXPECTED.to_owned());
    }
    Ok(())
}

/// Validates the address of a server: `http://` or `https://`, host, optional port, optional path before the API's; or
/// `unix://` and the absolute path of a socket. Returns it with the scheme in lower case and without a final slash.
pub(super) fn address(text: &str) -> Result<String, String> {
    if let Some(path) = unix_socket(text) {
        let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains(['\0', '\n']);
        return match is_path {
            true => Ok(format!("unix://{path}")),
            false => Err("expected the absolute path of a socket, such as unix:///run/vault.sock".to_owned()),
        };
    }
    let url = url(text)?;
    prefix(url.rest)?;
    // Other code compares the scheme in lower case.
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    Ok(format!("{}://{}", url.scheme, rest.strip_suffix('/').unwrap_or(rest)))
}

/// The text after `unix://`, in any letter case.
fn unix_socket(text: &str) -> Option<&str> {
    let (scheme, path) = text.split_once("://")?;
    scheme.eq_ignore_ascii_case("unix").then_some(path)
}

/// Validates a path before the API's, as an ingress may add.
fn prefix(path: &str) -> Result<(), String> {
    let inner = path.strip_suffix('/').unwrap_or(path);
    let Some(inner) = inner.strip_prefix('/') else {
        return if path.is_empty() || path == "/" { Ok(()) } else { Err(NO_QUERY.to_owned()) };
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    for segment in inner.split('/') {
        if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(is_plain) {
            return Err(NO_QUERY.to_owned());
        }
    }
    match inner.rsplit('/').next() {
        Some(last @ ("v1" | "ui")) => Err(format!("expected the address without /{last}, which is not part of it")),
        _ => Ok(()),
    }
}

const NO_QUERY: &str = "expected only scheme, host, port and a plain path such as /vault, without a query";

/// Validates an `http://` proxy.
pub(super) fn proxy(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected http://HOST:PORT; no other kind of proxy is spoken to";
    let parts = url(text).map_err(|_| EXPECTED.to_owned())?;
    if parts.scheme != "http" {
        return Err(EXPECTED.to_owned());
    }
    if !matches!(parts.rest, "" | "/") {
        return Err("expected only scheme, host and port, without a path or a query".to_owned());
    }
    address(text)
}

/// Parses a comma-separated list of `HOST[:PORT]`, in lower case.
pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    let entries = text.split(',').map(str::trim);
    let found: Result<Vec<String>, (usize, String)> = entries
        .enumerate()
        .map(|(at, entry)| match redirect_host(entry) {
            Ok(()) => Ok(entry.to_ascii_lowercase()),
            Err(why) => Err((at + 1, why)),
        })
        .collect();
    let is_alone = !text.contains(',');
    found.map_err(|(at, why)| if is_alone { why } else { format!("entry {at}: {why}") })
}

/// Checks `HOST[:PORT]`; addresses and patterns are refused with a hint.
fn redirect_host(entry: &str) -> Result<(), String> {
    const EXPECTED: &str = "expected HOST[:PORT], such as vault-0.vault-internal:8200";
    if entry.is_empty() {
        return Err(format!("there is nothing between two commas, or at an end; {EXPECTED}"));
    }
    if entry.contains('@') {
        return Err("must not hold credentials".to_owned());
    }
    let what = [
        ("://", "an address is too much: leave out the scheme and the path"),
        ("*", "a pattern is not taken: name each host"),
        ("/", "a path is too much"),
        (" ", "several hosts have commas between them"),
    ];
    match what.iter().find(|(mark, _)| entry.contains(mark)) {
        Some((_, what)) => Err(format!("{what}; {EXPECTED}")),
        None => checked_host(entry).map(drop),
    }
}

/// Validates a host name for TLS, without a port.
pub(super) fn host(text: &str) -> Result<String, String> {
    host_syntax(text)?;
    if text.starts_with('[') {
        return Err("expected the name of a host".to_owned());
    }
    Ok(text.to_owned())
}

/// Validates `HOST:PORT` to listen on.
pub fn listen(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected HOST:PORT, such as 127.0.0.1:9090 or 0.0.0.0:9090 for every interface";
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    host_syntax(host).map_err(|_| EXPECTED)?;
    let is_port = port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit());
    if is_port { Ok(text.to_owned()) } else { Err(EXPECTED.to_owned()) }
}

/// Validates a URL to notify.
pub(super) fn notify(text: &str) -> Result<String, String> {
    let url = url(text)?;
    if url.rest.contains('#') {
        return Err("expected a URL without \"#\"".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether a URL accepted by [`notify`] is on this machine.
pub(super) fn is_loopback(text: &str) -> bool {
    url(text).is_ok_and(|url| {
        let bare = url.host.trim_start_matches('[').trim_end_matches(']');
        url.host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_scheme_host_and_port() {
        for good in [
            "https://vault.example.com:8200",
            "http://127.0.0.1:8200",
            "https://[::1]:8200",
            "https://[::1]",
            "https://vault",
            "https://vault_1.ns.svc.",
        ] {
            assert_eq!(address(good), Ok(good.to_owned()));
        }
        assert_eq!(address("https://vault/"), Ok("https://vault".into()));
        assert_eq!(address("HTTPS://ingress/vault/"), Ok("https://ingress/vault".into()));
        assert_eq!(address("https://ingress:8443/a/b-c"), Ok("https://ingress:8443/a/b-c".into()));
        assert_eq!(address("UNIX:///run/vault.sock"), Ok("unix:///run/vault.sock".into()));
        assert_eq!(address("HTTPS://vault:8200/"), Ok("https://vault:8200".into()));
        for bad in [
            "",
            "vault",
            "vault:8200",
            "unix://",
            "unix://run/x",
            "unix:///run/",
            "https://vault/a/../b",
            "https://vault/a//b",
            "https://vault/a%2fb",
            "https://vault/ui/",
            "https://vault/a?b",
            "https://",
            "https:///x",
            "https://:8200",
            "https://vault:",
            "https://vault:0",
            "https://vault:65536",
            "https://vault:+1",
            "https://vault/v1",
            "https://vault//",
            "https://vault?x",
            "https://vault#x",
            "https://user:canary@vault",
            "https://a b",
            "https://vault\n",
            "https://ü.de",
            "https://a..b",
            "https://1.2.3",
            "https://1.2.3.256",
            "https://0x7f.0x1",
            "https://[::1",
            "https://[::g]",
            "https://[::1]8200",
            "https://::1",
            "https://-a",
            "https://a\\b",
        ] {
            let error = address(bad).expect_err(bad);
            assert!(!error.contains("canary"));
        }
    }

    #[test]
    fn hosts_are_a_list_of_names_with_and_without_ports() {
        let expected = ["vault-0.v", "10.0.0.1:8200", "[::1]:8200"].map(str::to_owned).to_vec();
        assert_eq!(hosts("Vault-0.v, 10.0.0.1:8200,[::1]:8200"), Ok(expected));
        for (bad, says) in [
            ("", "there is nothing between two commas, or at an end; expected HOST[:PORT], such as vault-0.vault"),
            (",", "entry 1: there is nothing between two commas"),
            ("a,", "entry 2: there is nothing between two commas, or at an end"),
            ("https://a", "an address is too much: leave out the scheme and the path; expected HOST[:PORT]"),
            ("a, https://b:8200", "entry 2: an address is too much"),
            ("a/b", "a path is too much"),
            ("a:0", "expected a port from 1 to 65535 after the host"),
            ("a,b:x", "entry 2: expected a port from 1 to 65535"),
            ("*.a", "a pattern is not taken: name each host"),
            ("a b", "several hosts have commas between them"),
            ("u:canary@b", "must not hold credentials"),
            ("a;b", "expected the name of a host or its IP address"),
        ] {
            let why = hosts(bad).unwrap_err();
            assert!(why.starts_with(says) && !why.contains("canary"), "{bad}: {why}");
        }
    }

    #[test]
    fn a_proxy_is_plain_http() {
        assert!(proxy("http://proxy:3128").is_ok());
        assert!(proxy("https://proxy:3128").is_err());
        assert!(proxy("http://proxy:3128/x").is_err());
        assert!(proxy("http://u:p@proxy").is_err());
    }

    #[test]
    fn a_place_to_listen_has_host_and_port() {
        for good in ["127.0.0.1:9090", "[::]:9090", "localhost:0"] {
            assert!(listen(good).is_ok(), "{good}");
        }
        for bad in ["", "9090", ":9090", "127.0.0.1", "h:65536", "h:x", "::1:9090", "http://h:1"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_recognised_by_its_address_or_the_one_name() {
        for near in ["http://127.0.0.1/x", "http://127.9.9.9:1/", "http://localhost:80", "http://[::1]:1/x?y"] {
            assert!(notify(near).is_ok() && is_loopback(near), "{near}");
        }
        for far in ["http://10.0.0.1/", "http://localhost.evil.com/", "http://127.0.0.1.evil.com/", "http://[::2]/"] {
            assert!(notify(far).is_ok() && !is_loopback(far), "{far}");
        }
    }
}
