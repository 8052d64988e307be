//! Checks credentials before they are used in a request: the SDK panics on a line break in an access key ID.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_types::os_shim_internal::Env;

/// A credentials provider whose results are checked.
#[derive(Debug)]
pub(super) struct Checked<P>(pub(super) P);

/// Which part of the credentials contains characters that are not allowed in a header or signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {what} ({from}) has a blank, a line end or another character that no request can carry; `echo` adds a line end, `printf %s` \
     does not"
)]
pub(super) struct NotVisible {
    what: &'static str,
    from: &'static str,
}

impl<P: ProvideCredentials> ProvideCredentials for Checked<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let is_of_environment = Env::default().get("AWS_ACCESS_KEY_ID").is_ok_and(|id| !id.is_empty());
            checked(self.0.provide_credentials().await?, is_of_environment)
        })
    }
}

/// Returns the credentials if all parts are printable ASCII without spaces.
fn checked(credentials: Credentials, is_of_environment: bool) -> Result {
    let parts = [
        ("access key id", "AWS_ACCESS_KEY_ID", Some(credentials.access_key_id())),
        ("secret access key", "AWS_SECRET_ACCESS_KEY", Some(credentials.secret_access_key())),
        ("session token", "AWS_SESSION_TOKEN", credentials.session_token()),
    ];
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = parts
        .iter()
        .find(|(.., text)| text.is_some_and(|text| !is_visible(text)))
        .map(|(what, variable, _)| (*what, *variable));
    match wrong {
        Some((what, variable)) => {
            let elsewhere = "of the profile in ~/.aws/credentials or ~/.aws/config, or of a credentials endpoint";
            let from = if is_of_environment { variable } else { elsewhere };
            Err(CredentialsError::invalid_configuration(NotVisible { what, from }))
        }
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
            let error = checked(Credentials::new(id, key, token.map(str::to_owned), None, "test"), true).unwrap_err();
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
        let good = |id: &str| Credentials::new(id, "a+/=b", Some("x".to_owned()), None, "test");
        assert!(checked(good("AKID"), true).is_ok());
        let said = checked(good("AKID\n"), false).unwrap_err().source().unwrap().to_string();
        assert!(said.contains("~/.aws/credentials") && !said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    }
}
