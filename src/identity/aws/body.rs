//! Why the body of a response is rejected, and what the SDK panics on in responses of instance metadata.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::domain::MOST_ELEMENTS;

/// What is wrong with a response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed.
    #[error("the answer is larger than {} KiB", .0 >> 10)]
    TooLarge(usize),
    /// Its JSON has more elements than are parsed.
    #[error("the answer has more than {MOST_ELEMENTS} names and values")]
    TooManyElements,
    /// It ended early.
    #[error("the connection ended before the answer was complete")]
    CutShort,
    /// Instance metadata names no role.
    #[error("the answer is not the name of a role")]
    NoRole,
}

impl From<BodyError> for ConnectorError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::CutShort => Self::io(error.into()),
            BodyError::TooLarge(_) | BodyError::TooManyElements | BodyError::NoRole => Self::other(error.into(), None),
        }
    }
}

/// The path whose response names the instance's role, which the SDK appends to it for the next request.
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
/// The lifetime of a token of instance metadata in seconds, as a response says it.
const TOKEN_LIFE: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// The longest such lifetime that AWS has.
const LONGEST_TOKEN_LIFE: u64 = 21_600;

/// Refuses a role that cannot be a part of a path, on which the SDK panics.
pub(super) fn check_role(uri: &str, body: &[u8]) -> Result<(), BodyError> {
    if uri.parse::<http::Uri>().ok().is_none_or(|uri| !uri.path().ends_with(ROLE)) {
        return Ok(());
    }
    let role = std::str::from_utf8(body).map_err(|_| BodyError::NoRole)?;
    format!("{ROLE}{role}").parse::<http::Uri>().map(drop).map_err(|_| BodyError::NoRole)
}

/// Shortens the lifetime of a token of instance metadata to one that AWS has; the SDK would add any number to the time.
pub(super) fn bound_token_life(response: &mut HttpResponse) {
    let life = response.headers().get(TOKEN_LIFE).and_then(|life| life.parse::<u64>().ok());
    if life.is_some_and(|life| life > LONGEST_TOKEN_LIFE) {
        response.headers_mut().insert(TOKEN_LIFE, LONGEST_TOKEN_LIFE.to_string());
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn a_role_is_what_can_end_a_path() {
        let check = |role: &str| {
            check_role("http://169.254.169.254/latest/meta-data/iam/security-credentials/", role.as_bytes())
        };
        for good in ["web", "web-role_1+=,.@x", "a/b", ""] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for bad in ["a b", "web\n", "\0", "<html>", &"x".repeat(70_000)] {
            assert_eq!(check(bad), Err(BodyError::NoRole));
        }
        assert_eq!(check_role("http://169.254.169.254/latest/meta-data/iam/security-credentials/web", b"{ }"), Ok(()));
    }

    #[test]
    fn a_token_lives_no_longer_than_those_of_aws() {
        for (said, becomes) in [("21600", "21600"), ("60", "60"), ("18446744073709551615", "21600"), ("x", "x")] {
            let mut response = HttpResponse::new(200.try_into().unwrap(), SdkBody::empty());
            response.headers_mut().insert(TOKEN_LIFE, said);
            bound_token_life(&mut response);
            assert_eq!(response.headers().get(TOKEN_LIFE), Some(becomes));
        }
    }
}
