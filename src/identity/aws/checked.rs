//! Credentials that can stand in a request: the SDK panics on a line end in an access key id.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};

/// A provider whose credentials are checked before anybody signs with them.
#[derive(Debug)]
pub(super) struct Checked<P>(pub(super) P);

/// Which part of the credentials cannot stand in a header or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {0} has a blank, a line end or another character that no request can carry; `echo` adds a line end, `printf %s` \
     does not"
)]
pub(super) struct NotVisible(&'static str);

impl<P: ProvideCredentials> ProvideCredentials for Checked<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { checked(self.0.provide_credentials().await?) })
    }
}

fn checked(credentials: Credentials) -> Result {
    let parts = [
        ("access key id (AWS_ACCESS_KEY_ID)", Some(credentials.access_key_id())),
        ("secret access key (AWS_SECRET_ACCESS_KEY)", Some(credentials.secret_access_key())),
        ("session token (AWS_SESSION_TOKEN)", credentials.session_token()),
    ];
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = parts.iter().find(|(_, text)| text.is_some_and(|text| !is_visible(text))).map(|(name, _)| *name);
    match wrong {
        Some(name) => Err(CredentialsError::invalid_configuration(NotVisible(name))),
        None => Ok(credentials),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn what_no_header_can_carry_is_named_and_not_shown() {
        let refused = |id: &str, key: &str, token: Option<&str>| {
            let error = checked(Credentials::new(id, key, token.map(str::to_owned), None, "test")).unwrap_err();
            error.source().unwrap().to_string()
        };
        for bad in ["canary\n", "can ary", "canary\0", "can\u{e4}ry", "\tcanary"] {
            let said = [refused(bad, "k", None), refused("i", bad, None), refused("i", "k", Some(bad))];
            let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
            assert!(
                said.iter().zip(names).all(|(said, name)| said.contains(name) && !said.contains("ary")),
                "{said:?}"
            );
        }
        assert!(checked(Credentials::new("AKID", "a+/=b", Some("x".to_owned()), None, "test")).is_ok());
    }
}
