use http::StatusCode;
use http::header::LOCATION;

use super::*;

fn leads(from: &str, to: &str) -> Result<(), String> {
    let hosts = "10.0.0.7,vault.test,localhost.test,127.0.0.1:8300,[::1]:8300,vault-1,127.0.0.1:8200";
    follows(from, to, StatusCode::TEMPORARY_REDIRECT, &http::Method::PUT, hosts)
}

fn follows(from: &str, to: &str, status: StatusCode, method: &http::Method, hosts: &str) -> Result<(), String> {
    let mut response = http::Response::new(Vec::new());
    *response.status_mut() = status;
    let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(to).unwrap());
    match redirect(&Url::parse(from).unwrap(), method, &response, &hosts) {
        Ok(target) => assert_eq!(target.as_ref().map(Url::as_str), Some(to)),
        Err(error) => return Err(error.to_string()),
    }
    Ok(())
}

#[test]
fn a_redirect_is_followed_only_to_hosts_that_are_allowed() {
    let (status, method) = (StatusCode::TEMPORARY_REDIRECT, http::Method::GET);
    let from = "https://vault:8200/v1/x";
    for (to, hosts) in [
        ("https://vault:8200/v1/y", "other"),
        ("https://vault-1:8200/v1/x", "vault-0,vault-1"),
        ("https://vault-1:9200/v1/x", "vault-1:9200"),
        ("https://vault-1/v1/x", "vault-1:443"),
        ("https://[::1]:8200/v1/x", "[::1]"),
    ] {
        assert_eq!(follows(from, to, status, &method, hosts), Ok(()), "{to} {hosts}");
    }
    for (to, hosts) in [
        ("https://vault:8201/v1/x", "other"),
        ("https://vault/v1/x", "other"),
        ("https://evil:8200/v1/x", "vault"),
        ("https://vault-1:9200/v1/x", "vault-1"),
        ("https://vault-1.evil:8200/v1/x", "vault-1"),
        ("https://vault-1@evil:8200/v1/x", "vault-1"),
    ] {
        let why = follows(from, to, status, &method, hosts).unwrap_err();
        assert!(why.contains("redirectHosts"), "{to} {hosts}: {why}");
    }
}

#[test]
fn what_redirects_to_no_path_of_the_api_is_somebody_else() {
    let from = "https://vault:8200/v1/x";
    for to in ["https://sso.example.com/login?x=canary", "https://vault:8200/login", "/login", "ftp://x"] {
        let why = follows(from, to, StatusCode::FOUND, &http::Method::GET, "vault").unwrap_err();
        let is_told = why.contains("a login page, a proxy or another server") && !why.contains("canary");
        assert!(is_told && !why.contains("set vault.address to"), "{to}: {why}");
    }
    for to in ["not a url at all", "", "http://[x", &format!("https://{}/v1/x", "x".repeat(256))] {
        let why = follows(from, to, StatusCode::FOUND, &http::Method::GET, "vault").unwrap_err();
        assert!(why.contains("redirects to what is no URL; is this a Vault server?"), "{to}: {why}");
    }
    let why = follows(from, "https://vault/v1/x", StatusCode::SEE_OTHER, &http::Method::GET, "vault").unwrap_err();
    assert!(why.contains("a login page"), "{why}");
    // A balancer may lead the next request to the active node.
    assert_eq!(follows(from, from, StatusCode::TEMPORARY_REDIRECT, &http::Method::GET, "vault"), Ok(()));
    let why = follows(from, "ftp://x/v1/x", StatusCode::FOUND, &http::Method::GET, "vault").unwrap_err();
    assert!(why.contains("no address of a server"), "{why}");
}

#[test]
fn a_write_is_not_sent_again_for_a_status_that_may_change_the_method() {
    let to = "https://vault:8200/v1/y";
    for method in [http::Method::PUT, http::Method::POST] {
        for status in [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND] {
            let why = follows("https://vault:8200/v1/x", to, status, &method, "vault").unwrap_err();
            assert!(why.contains("a write is not sent again"), "{why}");
        }
        for status in [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT] {
            assert_eq!(follows("https://vault:8200/v1/x", to, status, &method, "vault"), Ok(()));
        }
    }
}

#[test]
fn a_redirect_never_takes_the_token_from_loopback_onto_the_network_in_clear() {
    for (from, to) in [
        ("http://127.0.0.1:8200/v1/x", "http://10.0.0.7:8200/v1/x"),
        ("http://[::1]:8200/v1/x", "http://vault.test/v1/x"),
        ("http://localhost:8200/v1/x", "http://localhost.test/v1/x"),
    ] {
        let why = leads(from, to).unwrap_err();
        assert!(why.contains("would cross the network unencrypted"), "{from} {to}: {why}");
    }
    for (from, to) in [
        ("http://127.0.0.1:8200/v1/x", "http://127.0.0.1:8300/v1/x"),
        ("http://127.0.0.1:8200/v1/x", "http://[::1]:8300/v1/x"),
        ("http://vault-0:8200/v1/x", "http://vault-1:8200/v1/x"), // unencrypted by choice, and said at the start
        ("http://vault-0:8200/v1/x", "http://127.0.0.1:8200/v1/x"),
        ("https://127.0.0.1:8200/v1/x", "https://vault-1:8200/v1/x"),
    ] {
        assert_eq!(leads(from, to), Ok(()), "{from} {to}");
    }
}
