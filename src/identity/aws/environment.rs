//! Checks AWS environment variables on which the SDK would panic, fail obscurely or retry for ever, so that the error
//! names the variable. Values are never quoted: an address may contain a password.

use std::borrow::Cow;
use std::env::VarError;
use std::net::IpAddr;

use aws_config::SdkConfig;
use aws_types::os_shim_internal::Env;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::identity::file;

/// An environment variable or profile setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {why}")]
pub struct Unusable {
    name: String,
    why: Cow<'static, str>,
}

impl Unusable {
    fn new(name: &str, why: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.to_owned(), why: why.into() }
    }
}

/// The variables with addresses of services.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_STS"];

const WHITE: &str = "has white space around its value; `echo` adds a line end, `printf %s` does not";
const NO_ADDRESS: &str = "is not an address; expected https://HOST or http://HOST:PORT";
const BAD_CHARACTER: &str = "has a line end or another character that no request can carry";

/// The variables that the SDK takes for unset where they are not UTF-8.
const TEXTS: [&str; 7] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// Checks that the variables of a login are text, and the one that is part of every request's `User-Agent`.
pub(super) fn check_texts() -> Result<(), Unusable> {
    let is_no_text = |name: &&str| matches!(Env::default().get(name), Err(VarError::NotUnicode(_)));
    if let Some(name) = TEXTS.into_iter().chain(ENDPOINTS).find(is_no_text) {
        return Err(Unusable::new(name, "is not UTF-8 text"));
    }
    let name = "AWS_EXECUTION_ENV";
    let value = Env::default().get(name).unwrap_or_default();
    let is_visible = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if is_visible { Ok(()) } else { Err(Unusable::new(name, BAD_CHARACTER)) }
}

/// Whether a web identity (IRSA) is configured, which is exchanged for credentials at STS.
pub(super) fn has_web_identity() -> bool {
    Env::default().get("AWS_WEB_IDENTITY_TOKEN_FILE").is_ok()
}

/// Whether a key is configured, which the credentials chain takes before everything else.
pub(super) fn has_key() -> bool {
    Env::default().get("AWS_ACCESS_KEY_ID").is_ok_and(|value| !value.trim().is_empty())
}

/// The region of the environment, if one is set.
pub(super) fn region() -> Option<String> {
    let value = |name| Env::default().get(name).ok().filter(|value| !value.is_empty());
    value("AWS_REGION").or_else(|| value("AWS_DEFAULT_REGION"))
}

/// Checks the address that the environment or the profile configures for a service, which is named by its SDK ID.
pub(super) fn check_endpoint(sdk: &SdkConfig, services: &impl LoadServiceConfig, id: &str) -> Result<(), Unusable> {
    match endpoint(sdk, services, id).and_then(|url| Some((address(&url).err()?, url))) {
        Some((why, url)) => Err(Unusable::new(&name_of(&url), why)),
        None => Ok(()),
    }
}

/// The endpoint of a service in environment or profile, as the SDK resolves it.
pub(super) fn endpoint(sdk: &SdkConfig, services: &impl LoadServiceConfig, id: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let of_service = key.ok().and_then(|key| services.load_config(key));
    of_service.or_else(|| sdk.endpoint_url().map(str::to_owned)).filter(|url| !url.trim().is_empty())
}

/// The switches to other AWS endpoints: environment variable and key of a profile.
const FIPS: (&str, &str) = ("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
const DUAL_STACK: (&str, &str) = ("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");

/// Refuses a switch that is neither true nor false: the SDK would ignore it and use another endpoint.
pub(super) fn check_switches() -> Result<(), Unusable> {
    let is_switch = |value: &str| ["", "true", "false"].iter().any(|known| value.eq_ignore_ascii_case(known));
    let wrong =
        [FIPS.0, DUAL_STACK.0].into_iter().find(|name| Env::default().get(name).is_ok_and(|value| !is_switch(&value)));
    wrong.map_or(Ok(()), |name| Err(Unusable::new(name, "is neither true nor false")))
}

/// Refuses a switch to another AWS endpoint together with an address for the service: the SDK's rules exclude each
/// other.
pub(super) fn check_one_endpoint(sdk: &SdkConfig, services: &impl LoadServiceConfig, id: &str) -> Result<(), Unusable> {
    let switches = [(FIPS, sdk.use_fips()), (DUAL_STACK, sdk.use_dual_stack())];
    let on = switches.into_iter().find(|(_, is_on)| *is_on == Some(true)).map(|(switch, _)| switch);
    let (Some((variable, key)), Some(url)) = (on, endpoint(sdk, services, id)) else { return Ok(()) };
    let is_of_environment = Env::default().get(variable).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let name =
        if is_of_environment { variable.to_owned() } else { format!("{key} in ~/.aws/config (AWS_CONFIG_FILE)") };
    let why = format!(
        "is true, and {} gives {id} an address of its own: only one of them can be used, so unset the other",
        name_of(&url)
    );
    Err(Unusable::new(&name, why))
}

/// The variable (or profile setting) that contains this address.
fn name_of(url: &str) -> String {
    let variable = ENDPOINTS.iter().find(|name| Env::default().get(name).is_ok_and(|value| value == url));
    variable.map_or_else(|| "endpoint_url in ~/.aws/config (AWS_CONFIG_FILE)".to_owned(), |name| (*name).to_owned())
}

/// The variable with an address of this authority (`HOST:PORT`): a service's or a credentials endpoint's.
pub(super) fn endpoint_variable(authority: &str) -> Option<&'static str> {
    let is_there = |name: &&str| Env::default().get(name).is_ok_and(|value| has_authority(&value, authority));
    ENDPOINTS.into_iter().chain(["AWS_CONTAINER_CREDENTIALS_FULL_URI"]).find(is_there)
}

/// Whether an address has this authority.
pub(super) fn has_authority(url: &str, authority: &str) -> bool {
    let own = url.parse::<http::Uri>().ok().and_then(|uri| uri.authority().cloned());
    own.is_some_and(|own| own.as_str().rsplit('@').next() == Some(authority))
}

/// The variable that sets an address of Secrets Manager other than AWS's, if there is one.
pub(super) fn secrets_manager_variable() -> Option<&'static str> {
    let is_set = |name: &&str| Env::default().get(name).is_ok_and(|value| !value.trim().is_empty());
    ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"].into_iter().find(is_set).filter(|_| !ignores_addresses())
}

/// Whether addresses of services in environment and files do not count.
pub(super) fn ignores_addresses() -> bool {
    Env::default().get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_ok_and(|word| word.eq_ignore_ascii_case("true"))
}

/// Checks that the text is an HTTP address; empty is allowed.
fn address(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Ok(()); // none, as for AWS's tools
    }
    if text.trim() != text {
        return Err(WHITE);
    }
    let uri = text.parse::<http::Uri>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let authority = uri.as_ref().and_then(http::Uri::authority).filter(|authority| !authority.host().is_empty());
    let (Some(uri), Some(authority)) = (&uri, authority) else { return Err(NO_ADDRESS) };
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_port = authority.as_str().ends_with(authority.host()) || authority.port_u16().is_some();
    if is_http && is_port { Ok(()) } else { Err(NO_ADDRESS) }
}

/// Explains why the providers that only the environment configures gave no credentials: a web identity (IRSA), and, if
/// the settings themselves are wrong (`is_of_settings`), a container endpoint (ECS, EKS Pod Identity).
pub(super) fn why_no_credentials(env: &Env, is_of_settings: bool) -> Option<Unusable> {
    web_identity(env).or_else(|| incomplete_key_pair(env)).or_else(|| is_of_settings.then(|| container(env))?)
}

/// The problem if only one of two variables is set that are useful only together. An empty one counts as not set,
/// as in the SDK.
fn incomplete_key_pair(env: &Env) -> Option<Unusable> {
    let is_set = |name: &str| env.get(name).is_ok_and(|value| !value.trim().is_empty());
    let (id, key, token) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN");
    let is_key = is_set(key) || is_set("SECRET_ACCESS_KEY");
    let (name, missing) = match (is_set(id), is_key, is_set(token)) {
        (true, false, _) => (id, key.to_owned()),
        (false, true, _) => (if is_set(key) { key } else { "SECRET_ACCESS_KEY" }, id.to_owned()),
        (false, false, true) => (token, format!("{id} and {key}")),
        (true, true, _) | (false, false, false) => return None,
    };
    let verb = if missing == id || missing == key { "is not" } else { "are not" };
    Some(Unusable::new(name, format!("is set and {missing} {verb}: they are credentials only together")))
}

/// Checks the variables of the web identity.
fn web_identity(env: &Env) -> Option<Unusable> {
    let unusable = |name: &str, why: &'static str| Some(Unusable::new(name, why));
    let path = env.get("AWS_WEB_IDENTITY_TOKEN_FILE").ok()?;
    if path.is_empty() {
        return unusable("AWS_WEB_IDENTITY_TOKEN_FILE", "is empty; give it the token's file, or unset it");
    }
    if env.get("AWS_ROLE_ARN").unwrap_or_default().is_empty() {
        return unusable("AWS_WEB_IDENTITY_TOKEN_FILE", "is set and AWS_ROLE_ARN is not: which role shall be assumed?");
    }
    let token = file::read(path.as_ref()).ok()?;
    let is_token = token.expose().trim_ascii().iter().all(u8::is_ascii_graphic);
    if is_token { None } else { unusable("AWS_WEB_IDENTITY_TOKEN_FILE", "names a file that holds no token") }
}

/// Checks the variables of the container endpoint.
fn container(env: &Env) -> Option<Unusable> {
    const PLAIN: &str =
        "is plain HTTP to a host that is neither this machine nor the address of ECS or EKS; write https://";
    let unusable = |name: &str, why: &'static str| Some(Unusable::new(name, why));
    let relative = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").ok();
    let full = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").ok();
    match (&relative, &full) {
        (None, None) => return None,
        (Some(path), _) if !path.starts_with('/') || path.parse::<http::Uri>().is_err() => {
            return unusable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "is not a path; expected /PATH");
        }
        (None, Some(url)) if url.is_empty() => {
            return unusable("AWS_CONTAINER_CREDENTIALS_FULL_URI", "is empty; give it an address, or unset it");
        }
        (None, Some(url)) => {
            if let Err(why) = address(url) {
                return unusable("AWS_CONTAINER_CREDENTIALS_FULL_URI", why);
            }
        }
        (Some(_), _) => {}
    }
    let is_sendable = |bytes: &[u8]| bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let file_name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    if let Ok(path) = env.get(file_name) {
        let token = file::read(path.as_ref()).ok()?;
        if !is_sendable(token.expose()) {
            return unusable(file_name, "names a file with a line end or another character that no request can carry");
        }
    } else if !is_sendable(env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").unwrap_or_default().as_bytes()) {
        return unusable("AWS_CONTAINER_AUTHORIZATION_TOKEN", BAD_CHARACTER);
    }
    let is_far = |url: &String| url.parse::<http::Uri>().is_ok_and(|url| !is_near(url.host().unwrap_or_default()));
    full.filter(|url| relative.is_none() && url.starts_with("http://") && is_far(url))
        .and_then(|_| unusable("AWS_CONTAINER_CREDENTIALS_FULL_URI", PLAIN))
}

/// Whether a host is a loopback or link-local address, or one of EC2's metadata addresses.
pub(super) fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        // fd00:ec2::/32 is where instance metadata and Pod Identity answer over IPv6.
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0x0ec2]
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port_that_there_is() {
        for good in ["", "http://127.0.0.1:25000", "https://vpce.example.com", "https://h/prefix", "http://[::1]:1/"] {
            assert_eq!(address(good), Ok(()), "{good}");
        }
        for white in ["http://127.0.0.1:1\n", " http://a", "http://a\t"] {
            assert_eq!(address(white), Err(WHITE), "{white:?}");
        }
        for bad in [
            "127.0.0.1:25000",
            "localhost",
            "x",
            "http://",
            "ftp://x",
            "http://a b",
            "http://[::1",
            "unix:///x",
            "http://\u{e4}",
            "http://a\u{7f}",
            "http://127.0.0.1:99999",
            "http://a:",
            "https:///x",
        ] {
            assert_eq!(address(bad), Err(NO_ADDRESS), "{bad:?}");
        }
    }

    #[test]
    fn what_the_environment_says_wrongly_of_an_identity_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            folder.path().join(name).to_str().unwrap().to_owned()
        };
        let (good, broken, two) = (write("t", b"a.b.c\n"), write("b", b"a\xff"), write("two", b"a\nb"));
        const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
        const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        for (variables, expected) in [
            (&[][..], None),
            (&[(FILE, good.as_str()), ("AWS_ROLE_ARN", "arn")], None),
            (&[(FILE, "")], Some("AWS_WEB_IDENTITY_TOKEN_FILE is empty")),
            (&[(FILE, good.as_str())], Some("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not")),
            (
                &[(FILE, broken.as_str()), ("AWS_ROLE_ARN", "arn")],
                Some("AWS_WEB_IDENTITY_TOKEN_FILE names a file that"),
            ),
            (&[("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "canary")], None),
            (&[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")], None),
            (&[("AWS_ACCESS_KEY_ID", "AKIA")], Some("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: they")),
            (
                &[("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "")],
                Some("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"),
            ),
            (&[("AWS_SECRET_ACCESS_KEY", "x")], Some("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not")),
            (
                &[("AWS_SESSION_TOKEN", "x")],
                Some("AWS_SESSION_TOKEN is set and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not"),
            ),
            (&[(RELATIVE, "/x")], None),
            (&[(RELATIVE, "x")], Some("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not a path")),
            (&[(FULL, "https://example.com/x")], None),
            (&[(FULL, "http://127.0.0.1:1/x")], None),
            (&[(FULL, "")], Some("AWS_CONTAINER_CREDENTIALS_FULL_URI is empty")),
            (&[(FULL, "x")], Some("AWS_CONTAINER_CREDENTIALS_FULL_URI is not an address")),
            (&[(FULL, "http://example.com/x")], Some("AWS_CONTAINER_CREDENTIALS_FULL_URI is plain HTTP")),
            (&[(RELATIVE, "/x"), (TOKEN, "canary\n")], Some("AWS_CONTAINER_AUTHORIZATION_TOKEN has a line end")),
            (
                &[(RELATIVE, "/x"), (TOKEN_FILE, two.as_str())],
                Some("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names a file"),
            ),
        ] {
            let said = why_no_credentials(&Env::from_slice(variables), true).map(|why| why.to_string());
            match expected {
                Some(start) => assert!(said.as_ref().is_some_and(|said| said.starts_with(start)), "{said:?}"),
                None => assert_eq!(said, None),
            }
        }
    }
}
