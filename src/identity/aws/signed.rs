//! The signed `GetCallerIdentity` request of Vault's aws login: it is signed here and sent by Vault, which learns from
//! STS who signed it (developer.hashicorp.com/vault/docs/auth/aws, "IAM auth method").

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_request};
use aws_sigv4::sign::v4;

use crate::domain::SecretBytes;

use super::{AwsCredentialsError, SignedRequest};

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
const SERVER_ID: &str = "X-Vault-AWS-IAM-Server-ID";

/// Partitions whose host names do not end in `amazonaws.com`, by the prefix of their regions.
const PARTITIONS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
];

/// Checks the name of a region, which becomes part of a host name.
pub(super) fn checked_region(region: &str) -> Result<(), AwsCredentialsError> {
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if region.split('-').count() > 1 && region.split('-').all(is_name) {
        return Ok(());
    }
    Err(AwsCredentialsError::Region(region.to_owned()))
}

/// The STS host, and the region to sign for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    host: String,
    region: String,
}

impl Endpoint {
    /// The regional endpoint, or the global one (of the commercial partition only).
    pub(super) fn of(region: Option<&str>) -> Result<Self, AwsCredentialsError> {
        let Some(region) = region else {
            return Ok(Self { host: "sts.amazonaws.com".to_owned(), region: "us-east-1".to_owned() });
        };
        checked_region(region)?;
        let suffix = PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("amazonaws.com", |p| p.1);
        Ok(Self { host: format!("sts.{region}.{suffix}"), region: region.to_owned() })
    }
}

/// Signs the request for the time `now`. `Host` and `Content-Length` are set by Vault; every other signed header is
/// returned.
pub(super) fn sign(
    credentials: Credentials,
    endpoint: &Endpoint,
    server_id: Option<&str>,
    now: SystemTime,
) -> Result<SignedRequest, AwsCredentialsError> {
    let url = format!("https://{}/", endpoint.host);
    let mut headers = vec![("Content-Type", CONTENT_TYPE)];
    if let Some(id) = server_id {
        if !id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(AwsCredentialsError::ServerId);
        }
        headers.push((SERVER_ID, id));
    }
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&endpoint.region)
        .name("sts")
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .expect("every parameter is set")
        .into();
    let request = SignableRequest::new("POST", &url, headers.iter().copied(), SignableBody::Bytes(BODY.as_bytes()))
        .map_err(|_| AwsCredentialsError::Unsignable)?;
    let (instructions, _) =
        sign_request(request, &parameters).map_err(|_| AwsCredentialsError::Unsignable)?.into_parts();

    // Vault ignores the case of header names, and refuses unknown `x-amz-…` headers; it knows these.
    let mut all: BTreeMap<Cow<'_, str>, [&str; 1]> = BTreeMap::new();
    all.extend(headers.iter().map(|(name, value)| (Cow::Borrowed(*name), [*value])));
    all.extend(instructions.headers().map(|(name, value)| (Cow::Owned(canonical(name)), [value])));
    let headers_json = serde_json::to_vec(&all).expect("text always has a JSON form");
    Ok(SignedRequest {
        method: "POST".to_owned(),
        url,
        body: BODY.to_owned(),
        headers_json: SecretBytes::new(headers_json),
    })
}

/// `x-amz-date` → `X-Amz-Date`, as Vault's own clients write it.
fn canonical(name: &str) -> String {
    let part = |part: &str| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-01-02T03:04:05Z
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
    }

    fn credentials(token: Option<&str>) -> Credentials {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        Credentials::new("AKIDEXAMPLE", secret, token.map(str::to_owned), None, "test")
    }

    /// Recorded; the signature was computed a second time, by hand-written HMACs over the canonical request.
    #[test]
    fn the_login_request_is_the_recorded_one() {
        let endpoint = Endpoint::of(Some("eu-west-1")).unwrap();
        let request = sign(credentials(Some("TOKEN")), &endpoint, Some("vault.example.com"), now()).unwrap();
        assert_eq!(
            (request.method.as_str(), request.url.as_str(), request.body.as_str()),
            ("POST", "https://sts.eu-west-1.amazonaws.com/", "Action=GetCallerIdentity&Version=2011-06-15")
        );
        assert_eq!(request.headers_json.expose_text().unwrap(), include_str!("signed.recorded.json").trim_end());
    }

    #[test]
    fn without_region_and_server_id_it_is_the_global_endpoint() {
        let request = sign(credentials(None), &Endpoint::of(None).unwrap(), None, now()).unwrap();
        assert_eq!(request.url, "https://sts.amazonaws.com/");
        let headers = request.headers_json.expose_text().unwrap().to_owned();
        assert!(headers.contains("/20260102/us-east-1/sts/aws4_request"), "{headers}");
        assert!(headers.contains("SignedHeaders=content-type;host;x-amz-date,"), "{headers}");
        assert!(!headers.contains("X-Vault") && !headers.contains("Security-Token"), "{headers}");
    }

    #[test]
    fn the_proof_is_not_in_debug() {
        let request = sign(credentials(Some("canary")), &Endpoint::of(None).unwrap(), None, now()).unwrap();
        assert!(!format!("{request:?}").contains("canary"));
    }

    #[test]
    fn a_region_cannot_become_another_host() {
        let host = |region| Endpoint::of(Some(region)).map(|endpoint| endpoint.host);
        assert_eq!(host("cn-north-1").unwrap(), "sts.cn-north-1.amazonaws.com.cn");
        assert_eq!(host("us-gov-west-1").unwrap(), "sts.us-gov-west-1.amazonaws.com");
        for bad in ["", "evil.example.com/", "eu-west-1.evil", "EU-WEST-1", "eu", "a--b", "eu-west-1#"] {
            assert!(matches!(host(bad), Err(AwsCredentialsError::Region(_))), "{bad}");
        }
    }

    #[test]
    fn a_server_id_with_a_line_break_is_refused() {
        let sign = |id| sign(credentials(None), &Endpoint::of(None).unwrap(), Some(id), now());
        assert!(matches!(sign("a\r\nX-Evil: 1"), Err(AwsCredentialsError::ServerId)));
    }
}
