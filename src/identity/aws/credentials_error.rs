//! Explains in one line why no AWS credentials are available. The SDK's own messages may quote responses, so none is
//! used: only error codes, kinds of I/O errors, and the name of the principal.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::imds::client::error::ImdsError;
use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::config::ProxyError;
use crate::domain;
use crate::identity::thread::NoThread;
use crate::sys::clock;

use super::body::BodyError;
use super::checked::NotVisible;
use super::environment::Unusable;
use super::files_error::FilesError;
use super::peer::{self, NO_NAME, NoneGiven, NotReached};

/// Why no AWS credentials are available. Never contains a credential or a response's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsCredentialsError {
    /// A name without any region.
    #[error("no region: set aws.region or AWS_REGION, or use the secret's ARN")]
    NoRegion,
    /// Not the name of a region.
    #[error("{0:?} is not the name of a region, such as eu-west-1")]
    Region(String),
    /// An AWS environment variable or profile setting that cannot be used.
    #[error("{0}")]
    Environment(#[from] Unusable),
    /// A server ID with characters that are not allowed in a header.
    #[error("vault.auth.serverId has characters that cannot stand in a header")]
    ServerId,
    /// Credentials with characters that are not allowed in a request.
    #[error("the AWS credentials have characters that cannot stand in a request")]
    Unsignable,
    /// The file of `AWS_CA_BUNDLE` cannot be used.
    #[error("cannot use AWS_CA_BUNDLE {}: {why}", path.display())]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A proxy variable is invalid.
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    /// No provider of the credentials chain had any.
    #[error(
        "no AWS credentials: none in the environment, a profile, a web identity token (IRSA), a container endpoint (ECS, EKS Pod Identity), and {0}"
    )]
    NoCredentials(Metadata),
    /// A provider of the chain is configured incorrectly.
    #[error("the AWS credentials are set up wrongly: {0}")]
    Misconfigured(String),
    /// STS refused the request.
    #[error("{what} was refused{}: {hint}", in_brackets(code))]
    Refused {
        /// The call.
        what: &'static str,
        /// The service's error code.
        code: String,
        /// What to do.
        hint: &'static str,
    },
    /// STS limits requests.
    #[error("{what} was throttled")]
    Throttled {
        /// The call.
        what: &'static str,
        /// The response's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A response that exceeds the size limits.
    #[error("{what}: {why}")]
    Oversized {
        /// The call.
        what: &'static str,
        /// What is too large.
        why: BodyError,
    },
    /// Retryable: no connection, or a failed service.
    #[error("{what}: {why}")]
    Unreachable {
        /// The call.
        what: &'static str,
        /// The reason.
        why: String,
    },
}

/// The result of instance metadata, the last provider of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// It did not answer.
    Silent,
    /// It is disabled by `AWS_EC2_METADATA_DISABLED`.
    Off,
    /// It answered that the instance has no role.
    NoRole,
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "instance metadata does not answer (IMDSv2; a hop limit of 1 keeps containers out)",
            Self::Off => "instance metadata is off (AWS_EC2_METADATA_DISABLED)",
            Self::NoRole => "the instance has no role",
        })
    }
}

/// What an error code means, for all AWS services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Throttled: retry later.
    Throttled,
    /// The service failed: retry.
    Failed,
    /// The credentials were rejected: expired, unknown, or incorrectly signed (also because of a wrong clock).
    Credentials,
    /// The credentials are valid but do not permit the action.
    Denied,
    /// Specific to the operation.
    Other,
}

impl Meaning {
    /// The meaning of an error code and its HTTP status.
    pub fn of(code: &str, status: u16) -> Self {
        match code {
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "LimitExceededException"
            | "SlowDown"
            | "PriorRequestNotComplete"
            | "TransactionInProgressException" => Self::Throttled,
            "RequestTimeout"
            | "RequestTimeoutException"
            | "InternalServiceError"
            | "InternalFailure"
            | "InternalError"
            | "ServiceUnavailable"
            | "IDPCommunicationError" => Self::Failed,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "InvalidAccessKeyId"
            | "AuthFailure"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "NotSignedException" => Self::Credentials,
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "NotAuthorized"
            | "OptInRequired"
            | "RegionDisabledException" => Self::Denied,
            _ if status == 429 => Self::Throttled,
            // A proxy's, never the service's: RFC 9110 15.5.20, RFC 8470, load balancers of AWS, nginx.
            "" if matches!(status, 421 | 423 | 425 | 460 | 499) => Self::Failed,
            _ if status == 408 => Self::Failed,
            _ if status >= 500 && !matches!(code, "NotImplemented" | "UnknownOperation") => Self::Failed,
            _ => Self::Other,
        }
    }
}

/// The `Retry-After` of a response.
pub(crate) fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    domain::retry_after(answer.headers().get("retry-after")?, clock::wall())
}

/// Explains why a request got no response of its service: credentials, connection, or timeout.
pub fn explain(error: &(dyn Error + 'static)) -> AwsCredentialsError {
    // The innermost credentials error is the cause: assuming a role fails because the base has no credentials.
    let mut refused = None;
    let mut credentials = None;
    for cause in chain(error) {
        refused = sts(cause).or(refused);
        credentials = cause.downcast_ref::<CredentialsError>().or(credentials);
    }
    let reason = innermost(error);
    if let Some(refused) = refused {
        return refused;
    }
    let what = if credentials.is_some() { peer::LOADING } else { "the request was not answered" };
    let is_of_settings =
        |cause: &&(dyn Error + 'static)| cause.is::<NotVisible>() || cause.is::<FilesError>() || cause.is::<Unusable>();
    if let Some(wrong) = chain(error).find(is_of_settings) {
        return AwsCredentialsError::Misconfigured(wrong.to_string());
    }
    if let Some(proxy) = chain(error).find_map(|cause| cause.downcast_ref::<ProxyError>()) {
        return AwsCredentialsError::Proxy(proxy.clone());
    }
    if let Some(why) = oversized(error) {
        return AwsCredentialsError::Oversized { what, why };
    }
    if let Some(none) = chain(error).find_map(|cause| cause.downcast_ref::<NoneGiven>()) {
        return AwsCredentialsError::Unreachable { what: peer::LOADING, why: none.explain() };
    }
    match credentials {
        Some(CredentialsError::CredentialsNotLoaded(_)) => AwsCredentialsError::NoCredentials(metadata(error)),
        Some(CredentialsError::InvalidConfiguration(_)) => AwsCredentialsError::Misconfigured(
            "look at AWS_PROFILE and its files (SSO and credential_process are not supported), AWS_CONTAINER_CREDENTIALS_* and AWS_CONTAINER_AUTHORIZATION_TOKEN*".to_owned(),
        ),
        Some(CredentialsError::ProviderError(_)) if is_missing_file(error) => AwsCredentialsError::Misconfigured(format!(
            "{reason} (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)"
        )),
        // Instance metadata, the last provider, could not be reached: this is no AWS machine, and no other provider had
        // credentials.
        Some(CredentialsError::ProviderError(_)) if is_no_metadata(error) => AwsCredentialsError::NoCredentials(Metadata::Silent),
        Some(_) | None => {
            let way = chain(error).find_map(|cause| cause.downcast_ref::<NotReached>());
            let is_answer = credentials.is_some() && chain(error).any(|cause| is_no_credentials(&cause.to_string()));
            let reason = if is_answer { NO_CREDENTIALS_THERE } else { &reason };
            AwsCredentialsError::Unreachable { what, why: peer::explain(way, reason) }
        }
    }
}

/// The size limit that a response exceeded, if that is the reason.
pub(crate) fn oversized(error: &(dyn Error + 'static)) -> Option<BodyError> {
    chain(error).find_map(|cause| cause.downcast_ref().copied()).filter(|error| *error != BodyError::CutShort)
}

/// Whether instance metadata could not be reached.
fn is_no_metadata(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .any(|cause| matches!(cause.downcast_ref(), Some(ImdsError::FailedToLoadToken(_) | ImdsError::IoError(_))))
}

/// The innermost reason that can be described: a kind of I/O error, a TLS error, a timeout.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut found = None;
    for cause in chain(error) {
        if let Some(error) = cause.downcast_ref::<NoThread>() {
            found = Some(error.to_string());
        } else if let Some(BodyError::CutShort) = cause.downcast_ref() {
            found = Some(BodyError::CutShort.to_string());
        } else if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            found = Some(tls(error));
        } else if let Some(error) = cause.downcast_ref::<io::Error>() {
            if error.raw_os_error().is_some() {
                found = Some(error.kind().to_string());
            } else if !matches!(error.kind(), io::ErrorKind::Other | io::ErrorKind::InvalidData) {
                found = found.or(Some(error.kind().to_string()));
            }
        } else if cause.downcast_ref::<ConnectorError>().is_some_and(ConnectorError::is_timeout) {
            found = found.or(Some("timed out".to_owned()));
        } else if cause.to_string().starts_with("dns error") {
            found = Some(NO_NAME.to_owned());
        }
    }
    found.unwrap_or_else(|| CONNECTION.to_owned())
}

/// The reason where no other is known.
const CONNECTION: &str = "the connection failed";

/// The reason where something answers that is no credentials endpoint, or one that has no credentials.
const NO_CREDENTIALS_THERE: &str = "what answers there gives no credentials; is it what AWS_CONTAINER_CREDENTIALS_FULL_URI or \
                                    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI should name, or instance metadata?";

/// Whether this is what the SDK says of an answer without credentials in it. Its types cannot be named.
fn is_no_credentials(text: &str) -> bool {
    [
        "invalid JSON in response",
        "Expected field `",
        "Invalid field in response",
        "Non-success status from HTTP",
        "failed to load",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

/// Describes a TLS error.
fn tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "the certificate is not trusted (unknown issuer); set AWS_CA_BUNDLE if that is meant".to_owned()
        }
        error => format!("TLS: {error}"),
    }
}

/// The error and its causes. The `source` of an `io::Error` skips the error it wraps, so that is added.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// Whether a file could not be opened.
fn is_missing_file(error: &(dyn Error + 'static)) -> bool {
    let is_file = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
    };
    chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(is_file)
}

/// The refusal of STS, if this error is its response.
fn sts(error: &(dyn Error + 'static)) -> Option<AwsCredentialsError> {
    type Assume = SdkError<AssumeRoleError, HttpResponse>;
    type WebIdentity = SdkError<AssumeRoleWithWebIdentityError, HttpResponse>;
    let (what, hint, code, answer) = if let Some(Assume::ServiceError(answer)) = error.downcast_ref() {
        let hint = "its trust policy must allow us, and ours sts:AssumeRole on it (and externalId must match)";
        ("assuming the role", hint, answer.err().code(), answer.raw())
    } else if let Some(WebIdentity::ServiceError(answer)) = error.downcast_ref() {
        let hint = "the trust policy of AWS_ROLE_ARN must allow this service account, for audience sts.amazonaws.com";
        ("the web identity (IRSA)", hint, answer.err().code(), answer.raw())
    } else {
        return None;
    };
    let code = code.unwrap_or_default();
    let hint = if code.is_empty() { NOT_STS } else { hint };
    Some(match Meaning::of(code, answer.status().as_u16()) {
        Meaning::Throttled => AwsCredentialsError::Throttled { what, retry_after: retry_after(answer) },
        Meaning::Failed => {
            AwsCredentialsError::Unreachable { what, why: format!("STS failed ({})", answer.status().as_u16()) }
        }
        Meaning::Credentials => AwsCredentialsError::Refused { what, code: sanitize_code(code), hint: CREDENTIALS },
        Meaning::Denied | Meaning::Other => AwsCredentialsError::Refused { what, code: sanitize_code(code), hint },
    })
}

/// The hint for a response without an AWS error code.
const NOT_STS: &str = "no reason was given: a proxy or another server may answer in its place (AWS_ENDPOINT_URL, \
                       AWS_ENDPOINT_URL_STS, HTTPS_PROXY)";

/// The hint for [`Meaning::Credentials`].
pub(crate) const CREDENTIALS: &str = "the credentials are expired or unknown, or this machine's clock is wrong";

/// An error code that is safe to print: a single word; empty where there is no code.
pub(crate) fn sanitize_code(code: &str) -> String {
    let is_word = code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word { code.to_owned() } else { "an error".to_owned() }
}

/// The code in parentheses, such as ` (AccessDenied)`; empty where there is no code.
pub(crate) fn in_brackets(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" ({code})") }
}

/// The error that is returned instead of running the chain again.
#[derive(Debug)]
pub(super) struct CachedMiss(pub(super) Metadata);

impl fmt::Display for CachedMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the chain had nothing a moment ago")
    }
}

impl Error for CachedMiss {}

/// The result of instance metadata, for a chain without credentials.
pub(super) fn metadata(error: &(dyn Error + 'static)) -> Metadata {
    if let Some(CachedMiss(metadata)) = chain(error).find_map(|cause| cause.downcast_ref()) {
        return *metadata;
    }
    let tried = chain(error).find_map(|cause| cause.downcast_ref::<ProviderChainError<CredentialsError>>());
    let last = tried.and_then(|tried| tried.attempts().last());
    let said = last.and_then(|attempt| attempt.error().source()).map(|source| source.to_string()).unwrap_or_default();
    if said.starts_with("IMDS disabled") {
        Metadata::Off
    } else if said.contains("404") {
        Metadata::NoRole
    } else {
        Metadata::Silent
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn codes_mean_the_same_whichever_service_says_them() {
        for (code, status, meaning) in [
            ("ThrottlingException", 400, Meaning::Throttled),
            ("whatever", 429, Meaning::Throttled),
            ("InternalServiceError", 500, Meaning::Failed),
            ("whatever", 503, Meaning::Failed),
            ("", 408, Meaning::Failed),
            ("", 421, Meaning::Failed),
            ("", 425, Meaning::Failed),
            ("", 499, Meaning::Failed),
            ("", 522, Meaning::Failed),
            ("ValidationException", 423, Meaning::Other),
            ("ExpiredTokenException", 400, Meaning::Credentials),
            ("AccessDenied", 403, Meaning::Denied),
            ("ResourceNotFoundException", 400, Meaning::Other),
            ("NotImplemented", 501, Meaning::Other),
        ] {
            assert_eq!(Meaning::of(code, status), meaning, "{code}");
        }
    }

    #[test]
    fn a_wait_may_be_a_date() {
        let wait = |header: String| {
            let answer = http::Response::builder().status(429).header("retry-after", header).body(());
            let answer = answer.unwrap().map(|()| SdkBody::empty());
            retry_after(&HttpResponse::try_from(answer).unwrap())
        };
        assert_eq!(wait("7".into()), Some(Duration::from_secs(7)));
        let date = domain::http_date(clock::wall() + Duration::from_secs(100));
        assert!(wait(date.clone()).is_some_and(|wait| (98..=100).contains(&wait.as_secs())), "{date}");
        assert_eq!(wait("Sun Nov  6 08:49:37 1994".into()), Some(Duration::ZERO));
        assert_eq!(wait("soon".into()), None);
    }

    #[test]
    fn a_code_that_is_no_word_is_not_printed() {
        assert_eq!(sanitize_code("AccessDenied"), "AccessDenied");
        assert_eq!(sanitize_code("secret = hunter2"), "an error");
    }

    #[test]
    fn a_refused_connection_is_said_as_such() {
        let refused = io::Error::from_raw_os_error(111);
        let error = ConnectorError::io(Box::new(refused));
        assert_eq!(innermost(&error), "connection refused");
        let explained = explain(&error).to_string();
        assert_eq!(explained, "the request was not answered: connection refused");
    }

    #[test]
    fn what_a_provider_quoted_is_not_passed_on() {
        let error = CredentialsError::provider_error("failed to load credentials [x]: canary");
        let explained = explain(&error);
        assert!(!format!("{explained} {explained:?}").contains("canary"), "{explained}");
    }
}
