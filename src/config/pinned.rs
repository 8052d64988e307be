//! What `--pinned` is about: the settings that neither annotations nor the environment may say, because whoever can edit
//! those would move the login, choose what answers it, or take the sandbox away.

/// Sections of the config that annotations do not say under `--pinned`.
pub(super) const SECTIONS: [&str; 3] = ["vault", "aws", "onChange"];

/// What AWS's platforms tell a container about its own identity (ECS, EKS, Lambda), which stays; and the region, which
/// names no host outside of AWS.
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

/// Whether a variable says something about a backend, the way to it, whom we trust there, a config file, a hook or the
/// sandbox. Under
/// `--pinned` such a variable does not count, and neither the SDK nor an HTTP client finds it.
pub fn is_steering(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if let Some(rest) = name.strip_prefix(super::names::VARIABLES) {
        let sections = ["VAULT", "AWS", "ON_CHANGE", "CONFIG", "ANNOTATIONS", "SANDBOX"];
        return sections
            .iter()
            .any(|word| rest.strip_prefix(word).is_some_and(|more| more.is_empty() || more.starts_with('_')));
    }
    let is_aws = name.starts_with("AWS_") && !AWS_IDENTITY.contains(&name.as_str());
    is_aws
        || name.starts_with("VAULT_")
        || name.starts_with("BAO_")
        || name.ends_with("_PROXY")
        || matches!(name.as_str(), "SSL_CERT_FILE" | "SSL_CERT_DIR")
}

/// Whether a variable would be read by a library of ours under `--pinned`: the above, and where profiles are looked for.
pub fn is_hidden(name: &str) -> bool {
    is_steering(name) || matches!(name, "HOME" | "XDG_CONFIG_HOME")
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
        ] {
            assert!(is_steering(name), "{name}");
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
            assert!(!is_steering(name), "{name}");
        }
    }
}
