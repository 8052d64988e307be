//! Converts the SDK's errors to failures with a class and a short text. Only codes, IDs and principals are used, never
//! a message.

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::batch_get_secret_value::BatchGetSecretValueError;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::domain::AwsSource;
use crate::identity::aws::{
    AwsCredentialsError, CREDENTIALS, Meaning, explain, in_brackets, oversized, retry_after, sanitize_code, with_origin,
};

use super::super::{Class, Failure};
use super::denial;

impl From<AwsCredentialsError> for Failure {
    fn from(fault: AwsCredentialsError) -> Self {
        let class = match &fault {
            AwsCredentialsError::NoRegion
            | AwsCredentialsError::Region(_)
            | AwsCredentialsError::Environment(_)
            | AwsCredentialsError::Proxy(_) => Class::Misconfigured,
            AwsCredentialsError::ServerId
            | AwsCredentialsError::Unsignable
            | AwsCredentialsError::Oversized { .. }
            | AwsCredentialsError::CaBundle { .. } => Class::Malformed,
            AwsCredentialsError::NoCredentials(_)
            | AwsCredentialsError::Misconfigured(_)
            | AwsCredentialsError::Refused { .. } => Class::Denied,
            AwsCredentialsError::Throttled { retry_after, .. } => Class::Throttled { retry_after: *retry_after },
            AwsCredentialsError::Unreachable { .. } => Class::Transient,
        };
        let failure = Self::new(class, fault.to_string());
        if matches!(fault, AwsCredentialsError::Unreachable { .. }) { failure.of_backend() } else { failure }
    }
}

/// Whether the service rejected the credentials themselves, rather than the action.
pub(super) fn is_of_credentials(failure: &Failure) -> bool {
    failure.class == Class::Denied && failure.why.ends_with(CREDENTIALS)
}

/// The failure of `GetSecretValue`.
pub(super) fn of_get(error: SdkError<GetSecretValueError, HttpResponse>, source: &AwsSource, region: &str) -> Failure {
    common_failure(error, region).unwrap_or_else(|said| said.about(source, region, "secretsmanager:GetSecretValue"))
}

/// Why a secret has no description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescribeError {
    /// The service does not permit `DescribeSecret`; reading the value may be permitted.
    NotPermitted(Failure),
    /// Everything else: reading the value would fail too.
    Failed(Failure),
}

impl From<Failure> for DescribeError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The failure of `DescribeSecret`.
pub(super) fn of_describe(
    error: SdkError<DescribeSecretError, HttpResponse>,
    source: &AwsSource,
    region: &str,
) -> DescribeError {
    let is_answered = matches!(error, SdkError::ServiceError(_));
    let failure = common_failure(error, region)
        .unwrap_or_else(|said| said.about(source, region, "secretsmanager:DescribeSecret"));
    if is_answered && failure.class == Class::Denied && !is_of_credentials(&failure) {
        DescribeError::NotPermitted(failure)
    } else {
        DescribeError::Failed(failure)
    }
}

/// The failure of `BatchGetSecretValue`. `None` when single reads may succeed (no permission for batches, an ID that
/// the service refuses, an endpoint without batches, a response that would be too large).
pub(super) fn of_batch(error: SdkError<BatchGetSecretValueError, HttpResponse>, region: &str) -> Option<Failure> {
    if oversized(&error).is_some() {
        return None;
    }
    match common_failure(error, region) {
        Ok(failure) => Some(failure),
        Err(said) => match said.meaning() {
            Meaning::Credentials => Some(said.common(region)),
            Meaning::Denied | Meaning::Other | Meaning::Throttled | Meaning::Failed => None,
        },
    }
}

/// The failure in one entry of a batch's `Errors[]`.
pub(super) fn of_entry(code: Option<&str>, message: Option<&str>, source: &AwsSource, region: &str) -> Failure {
    let said = ServiceError { code: code.unwrap_or_default(), message: message.unwrap_or_default(), status: 200 };
    match said.meaning() {
        Meaning::Throttled | Meaning::Failed => said.busy(None),
        Meaning::Credentials | Meaning::Denied | Meaning::Other => {
            said.to_owned().about(source, region, "secretsmanager:GetSecretValue")
        }
    }
}

/// An error response of the service.
struct ServiceError<T> {
    code: T,
    message: T,
    status: u16,
}

impl ServiceError<&str> {
    fn to_owned(&self) -> ServiceError<String> {
        ServiceError { code: self.code.to_owned(), message: self.message.to_owned(), status: self.status }
    }

    /// What the error means.
    fn meaning(&self) -> Meaning {
        Meaning::of(self.code, self.status)
    }

    /// The failure for an overloaded or failing service.
    fn busy(&self, answer: Option<&HttpResponse>) -> Failure {
        let code = sanitize_code(self.code);
        if self.meaning() == Meaning::Throttled {
            return Failure::new(
                Class::Throttled { retry_after: answer.and_then(retry_after) },
                format!("throttled ({})", status_and_code(code, self.status)),
            );
        }
        let has_code = !code.is_empty();
        let why = format!("Secrets Manager failed ({})", status_and_code(code, self.status));
        Failure::new(Class::Transient, if has_code { why } else { with_origin(&why) })
    }
}

/// Returns the failure if it is the same for every operation, otherwise the service's error response.
fn common_failure<E: ProvideErrorMetadata + std::error::Error + 'static>(
    error: SdkError<E, HttpResponse>,
    region: &str,
) -> Result<Failure, ServiceError<String>> {
    let SdkError::ServiceError(refused) = &error else {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        return Ok(match (explain(&error), status) {
            (AwsCredentialsError::Unreachable { .. }, Some(status)) if status >= 300 => {
                let said = ServiceError { code: "", message: "", status };
                match said.meaning() {
                    Meaning::Other => of_intermediary(status, region),
                    _ => said.busy(error.raw_response()),
                }
            }
            (AwsCredentialsError::Unreachable { what: "the request was not answered", why }, _) => {
                Failure::new(Class::Transient, format!("cannot reach Secrets Manager in {region}: {why}")).of_backend()
            }
            (AwsCredentialsError::Oversized { what: "the request was not answered", why }, _) => {
                Failure::new(Class::Malformed, format!("the answer of Secrets Manager in {region} is not read: {why}"))
            }
            (fault, _) => fault.into(),
        });
    };
    let said = ServiceError {
        code: refused.err().code().unwrap_or_default(),
        message: refused.err().message().unwrap_or_default(),
        status: refused.raw().status().as_u16(),
    };
    match said.meaning() {
        // A success status with an error body: another server answers in the service's place.
        Meaning::Other if refused.raw().status().is_success() => {
            let why = format!(
                "the answer of Secrets Manager in {region} cannot be read; is a proxy or another server answering?"
            );
            Ok(Failure::new(Class::Malformed, with_origin(&why)).by_intermediary())
        }
        Meaning::Other if said.code.is_empty() && said.status != 400 => Ok(of_intermediary(said.status, region)),
        Meaning::Throttled | Meaning::Failed => Ok(said.busy(Some(refused.raw()))),
        Meaning::Credentials | Meaning::Denied | Meaning::Other => Err(said.to_owned()),
    }
}

/// The failure of a refusal without an AWS error code: a proxy or firewall answers.
fn of_intermediary(status: u16, region: &str) -> Failure {
    let (class, why) = match status {
        300..=399 => (Class::Malformed, "that is a redirect: a proxy or another server answers in its place"),
        401 | 403 => {
            (Class::Denied, "no reason was given: the policy of a VPC endpoint, a firewall or a proxy may refuse it")
        }
        407 => (Class::Denied, "a proxy on the way wants a user name and password (http://USER:PASSWORD@HOST:PORT)"),
        _ => (Class::Malformed, "no reason was given: a proxy or another server may answer in its place"),
    };
    let failure = Failure::new(class, with_origin(&format!("Secrets Manager in {region} answers {status}; {why}")));
    // The policy of a VPC endpoint is the service's own word.
    if matches!(status, 401 | 403) { failure } else { failure.by_intermediary() }
}

impl ServiceError<String> {
    /// What the error means.
    fn meaning(&self) -> Meaning {
        Meaning::of(&self.code, self.status)
    }

    /// The failure for refused credentials, which concerns every secret.
    fn common(&self, region: &str) -> Failure {
        let code = sanitize_code(&self.code);
        Failure::new(
            Class::Denied,
            format!("Secrets Manager in {region} refused us{}: {CREDENTIALS}", in_brackets(&code)),
        )
    }

    /// The failure for one secret.
    fn about(&self, source: &AwsSource, region: &str, action: &str) -> Failure {
        let code = in_brackets(&sanitize_code(&self.code));
        match self.meaning() {
            Meaning::Credentials => return self.common(region),
            Meaning::Denied => {
                let why = format!("permission denied{code}{}", denial::explain(&self.message, action, &source.id));
                return Failure::new(Class::Denied, why);
            }
            Meaning::Throttled | Meaning::Failed | Meaning::Other => {}
        }
        match self.code.as_str() {
            "ResourceNotFoundException" if self.message.contains("secret value") => {
                Failure::new(Class::NotFound, no_version(source, region))
            }
            "ResourceNotFoundException" => Failure::new(Class::NotFound, not_found(source, region)),
            "DecryptionFailure" | "DecryptionFailureException" => Failure::new(
                Class::Denied,
                format!(
                    "cannot be decrypted{code}: the policy needs kms:Decrypt on the secret's key, and the key must be enabled"
                ),
            ),
            "InvalidRequestException" if self.message.contains("delet") => {
                Failure::new(Class::NotFound, "the secret is scheduled for deletion; restore it with RestoreSecret")
            }
            "InvalidRequestException" | "InvalidParameterException" | "ValidationException" => Failure::new(
                Class::Malformed,
                format!(
                    "Secrets Manager refuses the request{code}: check the name or ARN, and that stage and version belong together"
                ),
            ),
            _ => {
                let said = status_and_code(sanitize_code(&self.code), self.status);
                let why = format!("Secrets Manager refuses the request ({said})");
                Failure::new(Class::Malformed, if self.code.is_empty() { with_origin(&why) } else { why })
            }
        }
    }
}

/// The status, and the code if there is one.
fn status_and_code(code: String, status: u16) -> String {
    if code.is_empty() { status.to_string() } else { format!("{status}, {code}") }
}

/// The message for a secret that exists without the requested version. The service says: "can't find the specified
/// secret value for staging label: …".
fn no_version(source: &AwsSource, region: &str) -> String {
    let what = match (&source.stage, &source.version) {
        (None, None) => "no current version: no value was stored yet".to_owned(),
        (Some(stage), None) => format!("no version with stage {stage:?}"),
        (None, Some(version)) => format!("no version {version:?}"),
        (Some(stage), Some(version)) => format!("no version {version:?} with stage {stage:?}"),
    };
    format!("the secret is there in {region}, but it has {what} (ResourceNotFoundException)")
}

/// Whether a name ends like an ARN: with a hyphen and six letters or digits that the service chose.
fn has_arn_suffix(id: &str) -> bool {
    id.rsplit_once('-').is_some_and(|(name, suffix)| {
        !name.is_empty()
            && suffix.len() == 6
            && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && suffix.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// The message about a secret that does not exist, with a hint at the likely mistake.
fn not_found(source: &AwsSource, region: &str) -> String {
    let what = match (&source.stage, &source.version) {
        (None, None) => "no such secret".to_owned(),
        (Some(stage), None) => format!("no such secret, or no version of it has stage {stage:?}"),
        (None, Some(version)) => format!("no such secret, or no version {version:?} of it"),
        (Some(stage), Some(version)) => format!("no such secret, or no version {version:?} of it with stage {stage:?}"),
    };
    let hint = if source.id.starts_with("arn:") && has_arn_suffix(&source.id) {
        "it was deleted, or made anew with another end of its ARN: aws-sm:NAME finds that one too"
    } else if source.id.starts_with("arn:") {
        "give the whole ARN: without the six characters at its end, a name that itself ends in a hyphen and six characters is not found"
    } else if source.id.starts_with("secret:") {
        "that is the end of an ARN: give the full ARN, or the name alone (without secret: and without the hyphen and six characters)"
    } else if source.id.contains(':') {
        "ARN:KEY:STAGE:VERSION, as ECS has it, needs a full ARN; write aws-sm:NAME?stage=STAGE#KEY"
    } else if has_arn_suffix(&source.id) {
        "the name ends as an ARN does: leave out the hyphen and the six characters behind it, or give the full ARN"
    } else {
        "a secret of another account needs its full ARN"
    };
    format!("{what} in {region} (ResourceNotFoundException); {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Exit;

    fn source(id: &str) -> AwsSource {
        AwsSource { id: id.to_owned(), region: None, stage: None, version: None, role: None }
    }

    fn about(code: &str, message: &str) -> Failure {
        of_entry(Some(code), Some(message), &source("prod/db"), "eu-west-1")
    }

    #[test]
    fn every_code_has_its_class() {
        for (code, class) in [
            ("ResourceNotFoundException", Class::NotFound),
            ("AccessDeniedException", Class::Denied),
            ("DecryptionFailure", Class::Denied),
            ("ExpiredTokenException", Class::Denied),
            ("ThrottlingException", Class::Throttled { retry_after: None }),
            ("InternalServiceError", Class::Transient),
            ("InvalidParameterException", Class::Malformed),
            ("InvalidRequestException", Class::Malformed),
            ("SomethingNew", Class::Malformed),
        ] {
            assert_eq!(about(code, "").class, class, "{code}");
        }
        for deleted in ["it was marked for deletion.", "it was deleted.", "it's currently marked deleted."] {
            let deleted = format!("You can't perform this operation on the secret because {deleted}");
            assert_eq!(about("InvalidRequestException", &deleted).class, Class::NotFound);
        }
    }

    #[test]
    fn an_empty_code_leaves_no_brackets_behind() {
        for message in ["", "canary"] {
            let why = about("", message).why;
            assert!(!why.contains("()") && !why.contains("(,") && !why.contains(", )"), "{why}");
        }
        let refused = ServiceError { code: String::new(), message: String::new(), status: 400 };
        let why = refused.about(&source("prod/db"), "eu-west-1", "x").why;
        assert_eq!(why, "Secrets Manager refuses the request (400)");
    }

    #[test]
    fn who_was_refused_is_said_and_nothing_else_of_the_message() {
        let message = "User: arn:aws:sts::123456789012:assumed-role/web/pod is not authorized to perform: secretsmanager:GetSecretValue on resource: canary";
        assert_eq!(
            about("AccessDeniedException", message).why,
            "permission denied (AccessDeniedException) to arn:aws:sts::123456789012:assumed-role/web/pod: the policy needs secretsmanager:GetSecretValue on prod/db, and kms:Decrypt on its key where that is not aws/secretsmanager"
        );
        assert!(!about("AccessDeniedException", "User: canary! is").why.contains("canary"));
        assert!(!about("canary canary", "canary").why.contains("canary"));
    }

    #[test]
    fn a_secret_that_is_not_there_comes_with_the_hint_that_fits() {
        assert!(not_found(&source("prod/db"), "eu-west-1").ends_with("needs its full ARN"));
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db";
        for (id, hint) in [
            (arn, "give the whole ARN"),
            (&format!("{arn}-AbCdEf"), "aws-sm:NAME finds that one too"),
            ("secret:prod/db-AbCdEf", "without secret:"),
            ("prod/db:k::", "as ECS has it"),
        ] {
            assert!(not_found(&source(id), "eu-west-1").contains(hint), "{id}");
        }
    }

    #[test]
    fn an_answer_without_a_code_is_somebody_elses() {
        for (status, class, said) in [
            (302, Class::Malformed, "redirect"),
            (403, Class::Denied, "VPC endpoint"),
            (407, Class::Denied, "user name and password"),
            (404, Class::Malformed, "another server"),
        ] {
            let failure = of_intermediary(status, "eu-west-1");
            assert!(failure.class == class && failure.why.contains(said), "{}", failure.why);
            assert_eq!(failure.after_contact().class.is_retried(), status != 403, "{status}");
        }
    }

    #[test]
    fn a_secret_without_a_version_is_not_called_missing() {
        let none = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
        let failure = about("ResourceNotFoundException", none);
        assert_eq!(failure.class, Class::NotFound);
        assert_eq!(
            failure.why,
            "the secret is there in eu-west-1, but it has no current version: no value was stored yet (ResourceNotFoundException)"
        );
        let previous = AwsSource { stage: Some("AWSPREVIOUS".into()), ..source("prod/db") };
        let failure = of_entry(Some("ResourceNotFoundException"), Some(none), &previous, "eu-west-1");
        assert!(failure.why.contains("no version with stage \"AWSPREVIOUS\""), "{}", failure.why);
        let missing = about("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
        assert!(missing.why.starts_with("no such secret in eu-west-1"), "{}", missing.why);
    }

    #[test]
    fn a_name_with_the_end_of_an_arn_is_recognised() {
        for (id, expected) in [
            ("prod/db-AbCdEf", true),
            ("prod/db-a1b2c3", true),
            ("prod/db-master", false),
            ("prod/db", false),
            ("-AbCdEf", false),
            ("prod/db-AbCdEfg", false),
        ] {
            assert_eq!(
                not_found(&source(id), "eu-west-1").contains("the hyphen and the six characters"),
                expected,
                "{id}"
            );
        }
    }

    #[test]
    fn faults_of_the_identity_have_classes() {
        assert_eq!(Failure::from(AwsCredentialsError::NoRegion).class.exit(), Exit::Usage);
        let unreachable = AwsCredentialsError::Unreachable { what: "assuming the role", why: "timed out".into() };
        assert_eq!(Failure::from(unreachable).class, Class::Transient);
    }
}
