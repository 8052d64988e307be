//! Parses responses of the server without quoting them: serde's error messages contain values, so they are dropped.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::domain::{
    Ends, Fetched, JsonError, LONGEST_LIFE, Lease, LeaseId, MOST_ELEMENTS, Payload, Seconds, SecretBytes, SecretMap,
    VaultSource, Version, has_too_many_elements, is_der,
};
use crate::provider::{Class, Failure};

use super::ends;
use super::token::{Origin, Token, TokenKind, usable_accessor};

/// A response: status, `Retry-After` and body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: SecretBytes,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the body contains this phrase. The body itself is never shown.
    pub(super) fn contains(&self, phrase: &str) -> bool {
        self.body.expose().windows(phrase.len()).any(|window| window == phrase.as_bytes())
    }

    /// Whether the response gives no reason: no body, or an empty list of errors.
    pub(super) fn has_no_reason(&self) -> bool {
        let body: Vec<u8> = self.body.expose().iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        [&b""[..], b"{}", br#"{"errors":[]}"#, br#"{"errors":null}"#].contains(&body.as_slice())
    }

    /// Whether Vault may have sent this: an empty body, or JSON with one of the names that Vault's responses have.
    pub(super) fn is_from_vault(&self) -> bool {
        let body = self.body.expose();
        if body.trim_ascii().is_empty() {
            return true;
        }
        match serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body) {
            Ok(map) => map.is_empty() || OF_VAULT.iter().any(|name| map.contains_key(*name)),
            Err(_) => false,
        }
    }
}

/// Top-level names in Vault's responses: of errors, of successes, of the health check.
const OF_VAULT: [&str; 7] = ["errors", "data", "auth", "warnings", "request_id", "initialized", "sealed"];

/// The capabilities of our token on the one path that was queried.
pub(super) fn capabilities(answer: &Answer) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Whole {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        capabilities: Vec<String>,
    }
    serde_json::from_slice::<Whole>(answer.body.expose()).ok().map(|whole| whole.data.capabilities)
}

/// The envelope of every response. Unknown fields are ignored.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    lease_id: Option<String>,
    #[serde(default)]
    lease_duration: Seconds,
    #[serde(default)]
    renewable: bool,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    auth: Option<&'a RawValue>,
    #[serde(borrow, default)]
    wrap_info: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Parses the envelope, with a limit on the number of elements.
    fn of(answer: &'a Answer) -> Result<Self, Failure> {
        if answer.body.expose().trim_ascii().is_empty() {
            let why = "the answer is empty; does a proxy, a load balancer or another server give it?";
            return Err(malformed(format!("{why} ({})", answer.status)).by_intermediary());
        }
        if has_too_many_elements(answer.body.expose()) {
            return Err(malformed(format!("the answer has more than {MOST_ELEMENTS} names and values")));
        }
        serde_json::from_slice(answer.body.expose())
            .map_err(|_| malformed("the answer is no Vault answer; is vault.address right?").by_intermediary())
    }

    /// The lease, if there is one.
    fn lease(&self) -> Option<Lease> {
        let id = self.lease_id.as_deref().and_then(LeaseId::parse)?;
        Some(Lease { id, ttl: self.lease_duration.life(), renewable: self.renewable })
    }
}

/// The failure for a malformed response.
fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Class::Malformed, why)
}

/// KV v2's metadata, as far as it is used. A KV v2 envelope has all four fields.
#[derive(Deserialize)]
struct Metadata {
    version: u64,
    #[serde(rename = "created_time")]
    _created_time: String,
    deletion_time: String,
    destroyed: bool,
}

/// The secret in the response to a read or a write. `now` is the wall-clock time, for dates of expiry.
pub(super) fn fetched(answer: &Answer, source: &VaultSource, now: SystemTime) -> Result<Fetched, Failure> {
    if answer.body.expose().trim_ascii().is_empty() {
        return Err(malformed(format!("the answer is empty ({}): there is nothing to deliver", answer.status)));
    }
    if is_raw(answer, source) {
        let payload = Payload::Whole(SecretBytes::copy_of(answer.body.expose()));
        return Ok(Fetched { payload, version: None, lease: None, ends: None, metadata: None });
    }
    let envelope = Envelope::of(answer)?;
    let Some(data) = envelope.data.filter(|data| data.get() != "null") else {
        return issued_token(&envelope);
    };
    let map = map(data)?;
    if let Some(metadata) = kv2_metadata(&envelope, &map) {
        let inner = map.value("data").expect("an opened envelope has data");
        let envelope_metadata = map.value("metadata").map(|value| SecretBytes::copy_of(value.raw().expose()));
        if inner.is_null() {
            return Err(deleted_version(&metadata, answer.status));
        }
        let map = SecretMap::from_json(inner.raw().expose()).map_err(unreadable)?;
        return Ok(Fetched {
            payload: Payload::Map(map),
            version: Some(Version(metadata.version.to_string())),
            lease: None,
            ends: None,
            metadata: envelope_metadata,
        });
    }
    let lease = envelope.lease();
    // A duration without a lease is that of KV v1: the fields are the user's own and state no expiry.
    let is_issued = lease.is_some() || envelope.lease_duration.is_zero();
    let ends = if is_issued { ends::stated(&map, source, now) } else { ends::interval(&map, envelope.lease_duration) };
    Ok(Fetched { payload: Payload::Map(map), version: None, lease, ends, metadata: None })
}

/// Whether this is the response of a raw endpoint, which has no envelope: PEM or keys as text (`pki/ca/pem`,
/// `ssh/public_key`), DER (`pki/ca`, `pki/crl`), a JSON document of OIDC (`identity/oidc/.well-known/keys`).
fn is_raw(answer: &Answer, source: &VaultSource) -> bool {
    const STARTS: [&str; 5] = ["-----BEGIN CERTIFICATE-----", "-----BEGIN X509 CRL-----", "ssh-", "ecdsa-sha2-", "sk-"];
    let body = answer.body.expose();
    let text = body.trim_ascii_start();
    let is_public_text =
        STARTS.iter().any(|start| text.starts_with(start.as_bytes())) && std::str::from_utf8(text).is_ok();
    let is_document = source.path.split('/').any(|segment| segment == ".well-known")
        && SecretMap::from_json(body).is_ok_and(|map| map.value("request_id").is_none());
    is_public_text || is_der(body) || is_document
}

/// The payload of a response without data: a token that a write created, or a wrapping token.
fn issued_token(envelope: &Envelope<'_>) -> Result<Fetched, Failure> {
    let nothing = || malformed("the answer has no data: there is nothing to deliver");
    let is_present = |part: &&RawValue| part.get() != "null";
    let (part, ends) = match (envelope.auth.filter(is_present), envelope.wrap_info.filter(is_present)) {
        (Some(auth), _) => {
            let token: Auth = serde_json::from_str(auth.get()).map_err(|_| nothing())?;
            if token.client_token.is_empty() {
                return Err(nothing());
            }
            // A token without a TTL still ends with its parent.
            let life = (!token.lease_duration.is_zero()).then(|| token.lease_duration.life());
            let ends = if token.orphan {
                life.map(Ends::Expires)
            } else {
                Some(Ends::WithToken(life.unwrap_or(LONGEST_LIFE)))
            };
            (auth, ends)
        }
        (None, Some(wrapping)) => {
            let Wrapping { ttl } = serde_json::from_str(wrapping.get()).map_err(|_| nothing())?;
            (wrapping, (!ttl.is_zero()).then(|| Ends::Expires(ttl.life())))
        }
        (None, None) => return Err(nothing()),
    };
    Ok(Fetched { payload: Payload::Map(map(part)?), version: None, lease: None, ends, metadata: None })
}

#[derive(Deserialize)]
struct Wrapping {
    ttl: Seconds,
}

/// Parses a map of data.
fn map(data: &RawValue) -> Result<SecretMap, Failure> {
    SecretMap::from_json(data.get().as_bytes()).map_err(unreadable)
}

/// The failure for data that cannot be parsed.
fn unreadable(error: JsonError) -> Failure {
    malformed(format!("the answer's data cannot be used: {error}"))
}

/// The metadata, if this is a KV v2 envelope: no lease duration (KV v1 has one), exactly the keys `data` and
/// `metadata`, and the four fields in the latter (beside others such as `custom_metadata`).
fn kv2_metadata(envelope: &Envelope<'_>, map: &SecretMap) -> Option<Metadata> {
    if !envelope.lease_duration.is_zero() || map.len() != 2 || map.value("data").is_none() {
        return None;
    }
    serde_json::from_slice(map.value("metadata")?.raw().expose()).ok()
}

/// The failure for a version that is deleted or destroyed.
fn deleted_version(metadata: &Metadata, status: u16) -> Failure {
    let Metadata { version, deletion_time, destroyed, .. } = metadata;
    let why = match (destroyed, deletion_time.as_str()) {
        (true, _) => format!("version {version} was destroyed ({status})"),
        (false, "") => format!("version {version} has no data ({status})"),
        (false, when) if is_time(when) => format!("version {version} was deleted at {when} ({status})"),
        (false, _) => format!("version {version} was deleted ({status})"),
    };
    Failure::new(Class::NotFound, why)
}

/// Whether the text looks like RFC 3339, so that it can be repeated in a message.
fn is_time(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ+".contains(&b))
}

/// The failure of a 404 for a deleted or destroyed KV v2 version; `None` for any other 404.
pub(super) fn deleted(answer: &Answer) -> Option<Failure> {
    let envelope = Envelope::of(answer).ok()?;
    let metadata = kv2_metadata(&envelope, &map(envelope.data?).ok()?)?;
    Some(deleted_version(&metadata, answer.status))
}

/// The version in a KV v2 response, even of a deleted version.
pub(super) fn version(answer: &Answer) -> Option<u64> {
    let envelope = Envelope::of(answer).ok()?;
    Some(kv2_metadata(&envelope, &map(envelope.data?).ok()?)?.version)
}

/// The lease in the response to the renewal of `lease`.
pub(super) fn renewed(answer: &Answer, lease: &LeaseId) -> Result<Lease, Failure> {
    match Envelope::of(answer)?.lease() {
        Some(renewed) if renewed.id == *lease => Ok(renewed),
        Some(_) => Err(malformed("the answer to the renewal is about another lease").by_intermediary()),
        None => Err(malformed("the answer to the renewal names no lease").by_intermediary()),
    }
}

/// The token in the response to a login or renewal.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    client_token: String,
    accessor: String,
    lease_duration: Seconds,
    renewable: bool,
    token_type: String,
    num_uses: i64,
    orphan: bool,
}

impl Auth {
    /// The token in the answer to `request`.
    fn of(answer: &Answer, request: &str) -> Result<Self, Failure> {
        let none = || malformed(format!("the answer to the {request} has no token"));
        serde_json::from_str(Envelope::of(answer)?.auth.ok_or_else(none)?.get()).map_err(|_| none())
    }

    /// The token's properties.
    fn properties(self, origin: Origin) -> Token {
        Token {
            accessor: usable_accessor(self.accessor),
            ttl: (!self.lease_duration.is_zero()).then(|| self.lease_duration.life()),
            renewable: self.renewable,
            kind: kind(&self.token_type),
            origin,
            uses: uses(self.num_uses),
        }
    }
}

/// The token in the response to a login, with its properties.
pub(super) fn issued(answer: &Answer) -> Result<(SecretBytes, Token), Failure> {
    let mut auth = Auth::of(answer, "login")?;
    if auth.client_token.is_empty() {
        let why = "the login is not complete: the server wants a second factor, which a workload has not";
        return Err(Failure::new(Class::Denied, why));
    }
    let secret = SecretBytes::from(std::mem::take(&mut auth.client_token));
    Ok((secret, auth.properties(Origin::Login)))
}

/// The properties that a renewal gives the token, which came from `origin`.
pub(super) fn renewed_token(answer: &Answer, origin: Origin) -> Result<Token, Failure> {
    Ok(Auth::of(answer, "renewal")?.properties(origin))
}

/// The data in the response to `lookup-self`.
#[derive(Deserialize)]
struct LookedUp {
    #[serde(default)]
    accessor: String,
    #[serde(default)]
    ttl: Seconds,
    #[serde(default)]
    renewable: Option<bool>,
    #[serde(default, rename = "type")]
    token_type: String,
    #[serde(default)]
    num_uses: i64,
    #[serde(default)]
    expire_time: Option<String>,
}

/// The properties of a token from a token file, by `lookup-self`.
pub(super) fn looked_up(answer: &Answer) -> Result<Token, Failure> {
    let envelope = Envelope::of(answer)?;
    let no_token = || malformed("the answer to the token's look-up is none");
    let data: LookedUp = serde_json::from_str(envelope.data.ok_or_else(no_token)?.get()).map_err(|_| no_token())?;
    Ok(Token {
        accessor: usable_accessor(data.accessor),
        ttl: data.expire_time.map(|_| data.ttl.life()),
        renewable: data.renewable.unwrap_or(false),
        kind: kind(&data.token_type),
        origin: Origin::Foreign,
        uses: uses(data.num_uses),
    })
}

/// The remaining uses: `None` for 0, which means any number; 0 for negative numbers.
fn uses(num_uses: i64) -> Option<u64> {
    (num_uses != 0).then(|| u64::try_from(num_uses).unwrap_or(0))
}

/// The kind of a token.
fn kind(token_type: &str) -> TokenKind {
    if token_type == "batch" { TokenKind::Batch } else { TokenKind::Service }
}

/// The secret ID in the response to an unwrap request.
pub(super) fn unwrapped(answer: &Answer) -> Result<SecretBytes, Failure> {
    #[derive(Deserialize)]
    struct Unwrapped {
        secret_id: String,
    }
    let data = Envelope::of(answer)?.data;
    data.and_then(|data| serde_json::from_str(data.get()).ok())
        .map(|Unwrapped { secret_id }| SecretBytes::from(secret_id))
        .ok_or_else(|| Failure::new(Class::Denied, "what was wrapped is no secret id"))
}

/// A mount of a secrets engine.
#[derive(Debug, Deserialize)]
pub(super) struct Mount {
    /// Its path, with the trailing slash.
    pub(super) path: String,
    /// The engine.
    #[serde(rename = "type")]
    pub(super) kind: String,
    options: Option<MountOptions>,
}

#[derive(Debug, Deserialize)]
struct MountOptions {
    version: Option<String>,
}

impl Mount {
    /// The mount that an answer describes.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        serde_json::from_str(Envelope::of(answer).ok()?.data?.get()).ok()
    }

    /// Whether it is KV version 2.
    pub(super) fn is_versioned(&self) -> bool {
        let version = self.options.as_ref().and_then(|options| options.version.as_deref());
        self.kind == "kv" && version == Some("2")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::VaultOperation;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: SecretBytes::copy_of(body.as_bytes()) }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn read() -> VaultSource {
        VaultSource { path: "x/y".into(), operation: VaultOperation::Read { version: None } }
    }

    fn write() -> VaultSource {
        VaultSource { path: "x/y".into(), operation: VaultOperation::Write(Default::default()) }
    }

    fn keys(fetched: &Fetched) -> Vec<String> {
        fetched.payload.map().unwrap().keys().map(str::to_owned).collect()
    }

    const METADATA: &str = r#"{"created_time":"2026-01-01T00:00:00Z","custom_metadata":null,"deletion_time":"2099-01-01T00:00:00Z","destroyed":false,"version":3}"#;

    #[test]
    fn a_raw_endpoint_is_delivered_as_it_is() {
        let at_path = |path: &str| VaultSource { path: path.into(), ..read() };
        let der = |length: &[u8], content: usize| [&[0x30][..], length, &vec![0xa5; content]].concat();
        let raw = |body: &[u8]| Answer { status: 200, retry_after: None, body: SecretBytes::copy_of(body) };
        for body in [der(&[0x82, 0x01, 0x00], 256), der(&[0x81, 0x80], 128), der(&[3], 3)] {
            let fetched = fetched(&raw(&body), &at_path("pki/ca"), at(0)).unwrap();
            assert!(matches!(&fetched.payload, Payload::Whole(whole) if whole.expose() == body));
        }
        for body in [der(&[0x82, 0x01, 0x00], 255), der(&[0x80], 3), der(&[0x89], 200), der(&[], 0), vec![0x31, 0]] {
            assert!(fetched(&raw(&body), &at_path("pki/ca"), at(0)).is_err(), "{body:?}");
        }
        let keys = r#"{"keys":[{"kid":"a"}]}"#;
        let document = fetched(&answer(200, keys), &at_path("identity/oidc/.well-known/keys"), at(0)).unwrap();
        assert_eq!(document.payload.value("keys").unwrap().raw().expose(), br#"[{"kid":"a"}]"#);
        assert!(fetched(&answer(200, keys), &at_path("x/keys"), at(0)).is_err());
        let wrapped = r#"{"request_id":"1","data":{"k":"v"}}"#;
        let inner = fetched(&answer(200, wrapped), &at_path("kv/.well-known/x"), at(0)).unwrap();
        assert_eq!(inner.payload.value("k").unwrap().raw().expose(), b"v");
    }

    #[test]
    fn a_kv_v2_envelope_is_opened_and_a_deletion_in_the_future_is_none() {
        let body =
            format!(r#"{{"lease_id":"","lease_duration":0,"data":{{"data":{{"a":1.50}},"metadata":{METADATA}}}}}"#);
        let fetched = fetched(&answer(200, &body), &read(), at(0)).unwrap();
        assert_eq!(fetched.payload.value("a").unwrap().raw().expose(), b"1.50");
        assert_eq!((fetched.version, fetched.lease, fetched.ends), (Some(Version("3".into())), None, None));
    }

    #[test]
    fn what_only_looks_like_kv_v2_stays_as_it_is() {
        for body in [
            format!(r#"{{"lease_duration":2764800,"data":{{"data":{{"a":1}},"metadata":{METADATA}}}}}"#),
            r#"{"lease_duration":0,"data":{"data":{"a":1},"metadata":{}}}"#.into(),
            format!(r#"{{"lease_duration":0,"data":{{"data":{{"a":1}},"metadata":{METADATA},"x":1}}}}"#),
        ] {
            let fetched = fetched(&answer(200, &body), &read(), at(0)).unwrap();
            assert_eq!(keys(&fetched)[..2], ["data", "metadata"]);
            assert_eq!((fetched.version, fetched.lease), (None, None));
        }
    }

    #[test]
    fn deleted_and_destroyed_versions_say_which_and_when() {
        let body = |deletion: &str, destroyed: bool| {
            format!(
                r#"{{"data":{{"data":null,"metadata":{{"created_time":"x","deletion_time":"{deletion}","destroyed":{destroyed},"version":7}}}}}}"#
            )
        };
        for (body, why) in [
            (body("2026-11-21T23:45:04.95Z", false), "version 7 was deleted at 2026-11-21T23:45:04.95Z (404)"),
            (body("hunter2", false), "version 7 was deleted (404)"),
            (body("", true), "version 7 was destroyed (404)"),
        ] {
            assert_eq!(deleted(&answer(404, &body)).unwrap(), Failure::new(Class::NotFound, why));
        }
        assert!(deleted(&answer(404, r#"{"errors":[]}"#)).is_none());
        assert!(deleted(&answer(404, "<html>")).is_none());
    }

    #[test]
    fn a_lease_is_a_lease_id_and_nothing_else() {
        let body = r#"{"lease_id":"database/creds/web/x","lease_duration":3600,"renewable":true,"data":{"k":5}}"#;
        let lease = fetched(&answer(200, body), &read(), at(0)).unwrap();
        assert_eq!(lease.lease.unwrap().ttl, Duration::from_secs(3600));
        assert_eq!(lease.ends, None);
        let kv1 = fetched(&answer(200, r#"{"lease_id":"","lease_duration":2764800,"data":{"ttl":5}}"#), &read(), at(0))
            .unwrap();
        assert_eq!((kv1.lease, kv1.ends), (None, None));
        for (ttl, duration) in [("5", 5), (r#""5""#, 5), (r#""1h30m""#, 5400)] {
            let body = format!(r#"{{"lease_id":"","lease_duration":{duration},"data":{{"ttl":{ttl},"k":"v"}}}}"#);
            let own = fetched(&answer(200, &body), &read(), at(0)).unwrap();
            assert_eq!((own.lease, own.ends), (None, Some(Ends::ReadEvery(Duration::from_secs(duration)))), "{ttl}");
        }
    }

    #[test]
    fn a_token_that_was_made_ends_by_itself_or_with_its_parent() {
        let made = |auth: &str| {
            let body = format!(r#"{{"lease_id":"","lease_duration":0,"data":null,"wrap_info":null,"auth":{auth}}}"#);
            fetched(&answer(200, &body), &write(), at(0))
        };
        let token = made(r#"{"client_token":"s.x","lease_duration":60,"orphan":false}"#).unwrap();
        assert_eq!(token.ends, Some(Ends::WithToken(Duration::from_secs(60))));
        assert_eq!(token.payload.value("client_token").unwrap().raw().expose(), b"s.x");
        let ends = |auth: &str| made(auth).unwrap().ends;
        let orphan = r#"{"client_token":"s.x","lease_duration":60,"orphan":true}"#;
        assert_eq!(ends(orphan), Some(Ends::Expires(Duration::from_secs(60))));
        assert_eq!(ends(r#"{"client_token":"s.x","orphan":true}"#), None);
        assert_eq!(made(r#"{"client_token":"","mfa_requirement":{}}"#).unwrap_err().class, Class::Malformed);
        let wrapped = r#"{"data":null,"auth":null,"wrap_info":{"token":"s.w","ttl":120}}"#;
        let wrapped = fetched(&answer(200, wrapped), &write(), at(0)).unwrap();
        assert_eq!(
            (keys(&wrapped), wrapped.ends),
            (vec!["token".into(), "ttl".into()], Some(Ends::Expires(Duration::from_secs(120))))
        );
    }

    #[test]
    fn a_life_of_any_number_is_a_life() {
        for (number, seconds) in [
            ("18446744073709551615", LONGEST_LIFE.as_secs()),
            ("1e300", LONGEST_LIFE.as_secs()),
            ("3600.7", 3600),
            ("-1", 0),
            ("null", 0),
        ] {
            let life = Duration::from_secs(seconds);
            let body = format!(r#"{{"lease_id":"a/b","lease_duration":{number},"renewable":true,"data":{{"ttl":1}}}}"#);
            let fetched = fetched(&answer(200, &body), &read(), at(0)).unwrap();
            assert_eq!(fetched.lease.map(|lease| lease.ttl), Some(life), "{number}");
            let id = LeaseId::parse("a/b").unwrap();
            assert_eq!(renewed(&answer(200, &body), &id).unwrap().ttl, life, "{number}");
            let body = format!(r#"{{"auth":{{"client_token":"s.x","lease_duration":{number},"num_uses":-1}}}}"#);
            let (_, token) = issued(&answer(200, &body)).unwrap();
            assert_eq!((token.ttl, token.uses), ((seconds > 0).then_some(life), Some(0)), "{number}");
            let body = format!(r#"{{"data":{{"ttl":{number},"expire_time":"9999-12-31T23:59:59Z"}}}}"#);
            assert_eq!(looked_up(&answer(200, &body)).unwrap().ttl, Some(life), "{number}");
        }
        // A certificate until the year 9999, an SSH certificate for ever.
        for end in ["253402300799", "18446744073709551615"] {
            let body = format!(r#"{{"data":{{"serial_number":"1","expiration":{end}}}}}"#);
            assert_eq!(
                fetched(&answer(200, &body), &write(), at(1000)).unwrap().ends,
                Some(Ends::Expires(LONGEST_LIFE)),
                "{end}"
            );
        }
    }

    #[test]
    fn a_renewal_of_another_lease_or_of_none_is_nothing_that_the_server_says() {
        let id = LeaseId::parse("database/creds/web/one").unwrap();
        for other in ["database/creds/web/two", "database/creds/web/on", ""] {
            let body = format!(r#"{{"lease_id":"{other}","lease_duration":3600,"renewable":true}}"#);
            let failure = renewed(&answer(200, &body), &id).unwrap_err();
            assert_eq!(failure.after_contact().class, Class::Transient, "{other}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_never_quoted() {
        for body in [
            "hunter2",
            r#""hunter2""#,
            r#"{"data":"hunter2"}"#,
            r#"{"data":null}"#,
            r#"{"lease_id":7,"x":"hunter2"}"#,
            "",
        ] {
            let failure = fetched(&answer(200, body), &read(), at(0)).unwrap_err();
            assert_eq!(failure.class, Class::Malformed);
            assert!(!failure.why.contains("hunter2"), "{failure}");
        }
        let failure = issued(&answer(200, r#"{"auth":{"client_token":["hunter2"]}}"#)).unwrap_err();
        assert!(!failure.why.contains("hunter2"), "{failure}");
    }

    #[test]
    fn a_login_yields_a_token_and_its_facts() {
        let body = r#"{"auth":{"client_token":"b.x","accessor":"","lease_duration":60,"renewable":false,"token_type":"batch","num_uses":0}}"#;
        let (secret, token) = issued(&answer(200, body)).unwrap();
        assert_eq!(secret.expose(), b"b.x");
        assert_eq!((token.kind, token.uses, token.accessor), (TokenKind::Batch, None, None));
        let body = r#"{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"x"}}}"#;
        assert_eq!(issued(&answer(200, body)).unwrap_err().class, Class::Denied);
        for body in ["{}", r#"{"auth":null}"#, r#"{"auth":[1]}"#] {
            let failures = [
                (issued(&answer(200, body)).err(), "login"),
                (renewed_token(&answer(200, body), Origin::Login).err(), "renewal"),
            ];
            for (failure, request) in failures {
                let failure = failure.unwrap();
                assert_eq!(failure.class, Class::Malformed);
                assert!(failure.why.contains(&format!("answer to the {request} has no token")), "{failure}");
            }
        }
    }
}
