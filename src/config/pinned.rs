//! The settings that `--pinned` protects: neither annotations nor environment may set them, because whoever can edit
//! those could redirect the login, choose the server, or disable the sandbox.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sections of the config that annotations cannot set under `--pinned`.
pub(super) const SECTIONS: [&str; 3] = ["vault", "aws", "onChange"];

/// Variables with which AWS's platforms tell a container its own identity (ECS, EKS, Lambda) or region, which stay in
/// effect. Those with an endpoint stay only if it is one of the platform's ([`is_platform`]).
const AWS_IDENTITY: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// Variables that redirect the C library's name resolution: search domains, and aliases from a file.
const RESOLVER: [&str; 3] = ["HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS"];

/// A variable that names a file with the domains of AWS's partitions. The SDK panics if that file is no use, so it never
/// sees the variable; `AWS_ENDPOINT_URL` and its like set other endpoints.
const PARTITIONS: &str = "SMITHY_CLIENT_SDK_CUSTOM_PARTITION";

/// The addresses of ECS's and EKS's container credentials, which AWS's SDKs allow without TLS.
const CONTAINER_CREDENTIALS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23)),
];

/// Whether a variable configures a backend, the connection to it, trusted CAs, a config file, a hook or the sandbox.
/// Under `--pinned` such a variable is ignored, and hidden from the SDK and HTTP clients.
///
/// `value` is `None` if it is not known, such as that of a variable which a manifest takes from a ConfigMap.
pub fn is_steering(name: &str, value: Option<&str>) -> bool {
    let name = name.to_ascii_uppercase();
    if let Some(rest) = name.strip_prefix(super::names::VARIABLES) {
        let sections = ["VAULT", "AWS", "ON_CHANGE", "CONFIG", "ANNOTATIONS", "SANDBOX"];
        return sections
            .iter()
            .any(|word| rest.strip_prefix(word).is_some_and(|more| more.is_empty() || more.starts_with('_')));
    }
    let is_identity = AWS_IDENTITY.contains(&name.as_str()) && value.is_none_or(|value| is_platform(&name, value));
    (name.starts_with("AWS_") && !is_identity)
        || name.starts_with("VAULT_")
        || name.starts_with("BAO_")
        || name.starts_with("RESOLV_")
        || name.ends_with("_PROXY")
        || RESOLVER.contains(&name.as_str())
        || name == PARTITIONS
        || matches!(name.as_str(), "SSL_CERT_FILE" | "SSL_CERT_DIR")
}

/// Whether the value of an identity variable leads to AWS's platform. The SDK would accept any `https` host, and send
/// it the token of `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
fn is_platform(name: &str, value: &str) -> bool {
    match name {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI" => {
            let uri = value.parse::<http::Uri>().ok();
            uri.as_ref().and_then(http::Uri::host).is_some_and(is_platform_host)
        }
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" => value.starts_with('/'),
        _ => true,
    }
}

/// Whether the host is loopback or one of [`CONTAINER_CREDENTIALS`].
fn is_platform_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || CONTAINER_CREDENTIALS.contains(&address),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a variable is hidden from libraries under `--pinned`: those above, and those that locate profiles.
pub fn is_hidden(name: &str, value: &str) -> bool {
    is_steering(name, Some(value)) || matches!(name, "HOME" | "XDG_CONFIG_HOME")
}

/// Whether a variable is hidden from libraries with and without `--pinned`.
pub fn is_always_hidden(name: &str) -> bool {
    name == PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_login_steers_and_an_identity_does_not() {
        for name in [
            "SECRET_EXEC_VAULT_ADDRESS",
            "SECRET_EXEC_VAULT_PROXY",
            "SECRET_EXEC_VAULT_AUTH_TOKEN_FILE",
            "SECRET_EXEC_AWS_ASSUME_ROLE",
            "SECRET_EXEC_ON_CHANGE",
            "SECRET_EXEC_CONFIG",
            "SECRET_EXEC_ANNOTATIONS",
            "SECRET_EXEC_SANDBOX",
            "VAULT_ADDR",
            "VAULT_SKIP_VERIFY",
            "BAO_ADDR",
            "HTTP_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "no_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            "AWS_CA_BUNDLE",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_PROFILE",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
            "AWS_ENDPOINT_URL_STS",
            "LOCALDOMAIN",
            "RES_OPTIONS",
            "HOSTALIASES",
            "RESOLV_HOST_CONF",
            "SMITHY_CLIENT_SDK_CUSTOM_PARTITION",
        ] {
            assert!(is_steering(name, None) && is_steering(name, Some("x")), "{name}");
        }
        for name in [
            "AWS_ROLE_ARN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_REGION",
            "SECRET_EXEC_STATE",
            "SECRET_EXEC_RUN_AS",
            "SECRET_EXEC_TIMEOUT",
            "HOME",
            "PATH",
            "VAULT",
            "PROXY",
        ] {
            assert!(!is_steering(name, None) && !is_steering(name, Some("x")), "{name}");
        }
    }

    #[test]
    fn an_identity_that_names_an_endpoint_counts_only_with_one_of_the_platforms() {
        let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let relative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        for (name, value) in [
            (full, "http://169.254.170.2/v2/credentials/x"),
            (full, "http://169.254.170.23/v1/credentials"),
            (full, "http://[fd00:ec2::23]/v1/credentials"),
            (full, "http://127.0.0.1:51679/x"),
            (full, "https://127.0.0.1/x"),
            (full, "http://[::1]:80/x"),
            (full, "http://localhost:8080/2016-11-01/credentialprovider/"),
            (relative, "/v2/credentials/x"),
        ] {
            assert!(!is_steering(name, Some(value)), "{name}={value}");
        }
        for (name, value) in [
            (full, "https://evil.example.com/"),
            (full, "http://evil.example.com/"),
            (full, "https://169.254.170.2@evil.example.com/"),
            (full, "https://127.0.0.1.evil.example.com/"),
            (full, "https://169.254.169.254/"),
            (full, "https://10.0.0.1/"),
            (full, "https://[fd00:ec2::254]/"),
            (full, "https://[::ffff:10.0.0.1]/"),
            (full, "/v2/credentials"),
            (full, "evil"),
            (full, ""),
            (relative, "@evil.example.com/"),
            (relative, "evil.example.com"),
            (relative, "http://evil.example.com/"),
        ] {
            assert!(is_steering(name, Some(value)) && is_hidden(name, value), "{name}={value}");
            assert!(!is_steering(name, None), "{name}");
        }
    }
}
