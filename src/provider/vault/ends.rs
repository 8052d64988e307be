//! Determines when a value without a lease expires: from the fields of the response, else from the certificate or token
//! in it.
//!
//! A TTL is independent of clocks and is therefore preferred to a date, which needs a correct wall clock. Of the dates,
//! in fields and in certificates and tokens, the earliest counts.

use std::time::{Duration, SystemTime};

use crate::domain::{Ends, LONGEST_LIFE, Seconds, SecretMap, SecretValue, VaultOperation, VaultSource};

use super::validity;

/// Fields with a TTL in seconds. In the response to a write, other names that end in `_ttl` count too.
const LIVES: [&str; 2] = ["ttl", "expires_in"];
/// Fields with a time: Unix seconds, or RFC 3339 in UTC.
const MOMENTS: [&str; 7] =
    ["expiration", "expires_at", "expires_at_seconds", "expiration_time", "expire_time", "expires_on", "not_after"];
/// Fields with the issued certificate; those of its issuers have other names.
const CERTIFICATES: [&str; 6] =
    ["certificate", "cert", "certificate_chain", "certificate_bundle", "pem_bundle", "certificate_pem"];
/// Parts of names that denote a limit on TTLs, not the TTL of this value.
const BOUNDS: [&str; 4] = ["max", "min", "default", "creation"];

/// The end that the response to `source` states; `None` when it states none.
pub(super) fn stated(map: &SecretMap, source: &VaultSource, now: SystemTime) -> Option<Ends> {
    // A static role whose rotation is due has a TTL of 0 until it has happened; any other TTL of 0 is ignored.
    if map.value("last_vault_rotation").is_some() {
        return map.value("ttl").and_then(seconds).map(|ttl| Ends::Rotates(ttl.life()));
    }
    let is_write = matches!(source.operation, VaultOperation::Write(_));
    // Users choose the fields of their cubbyhole.
    if !is_write && source.path.starts_with("cubbyhole/") {
        return None;
    }
    let is_life = |name: &str| LIVES.contains(&name) || (is_write && is_life_of_a_write(name));
    let lives = map.iter().filter(|(name, _)| is_life(name)).filter_map(|(_, value)| seconds(value));
    if let Some(life) = lives.filter(|life| !life.is_zero()).map(Seconds::life).min() {
        return Some(Ends::Expires(life));
    }
    let moments = MOMENTS.iter().filter_map(|name| moment(map.value(name)?));
    let inside = if is_write { inside(map) } else { tokens(map) };
    let end = SystemTime::UNIX_EPOCH.checked_add(moments.chain(inside).min()?);
    let left = end.map_or(LONGEST_LIFE, |end| end.duration_since(now).unwrap_or_default());
    Some(Ends::Expires(left.min(LONGEST_LIFE)))
}

/// The read interval of a KV v1 secret: KV v1 returns the secret's own field `ttl` as the lease duration. `None`
/// without such a field.
pub(super) fn interval(map: &SecretMap, duration: Seconds) -> Option<Ends> {
    let own = map.value("ttl")?;
    // A value such as `1h` was parsed by the server; a field that it could not parse is not returned as the duration.
    let is_repeated = seconds(own).map_or_else(|| text(own).is_some_and(is_duration), |own| own == duration);
    (is_repeated && !duration.is_zero()).then(|| Ends::ReadEvery(duration.life()))
}

/// Whether the text looks like a duration, such as `90m` or `1h30m`.
fn is_duration(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(['s', 'm', 'h', 'd'])
}

/// Whether a field in the response to a write is a TTL.
fn is_life_of_a_write(name: &str) -> bool {
    name.ends_with("_ttl") && !name.split('_').any(|part| BOUNDS.contains(&part))
}

/// Parses seconds: a number, or a string of digits.
fn seconds(value: &SecretValue) -> Option<Seconds> {
    Seconds::parse(value.raw().expose_text()?)
}

/// Parses a time: Unix seconds, or RFC 3339 in UTC.
fn moment(value: &SecretValue) -> Option<Duration> {
    let text = value.raw().expose_text()?;
    let number = text.parse().ok().map(Duration::from_secs);
    number.or_else(|| validity::rfc3339(text)).filter(|moment| !moment.is_zero())
}

/// The earliest expiry of the certificates, signed keys and tokens in the response.
fn inside(map: &SecretMap) -> Option<Duration> {
    let certificates = CERTIFICATES.iter().filter_map(|name| text(map.value(name)?)).filter_map(validity::x509);
    let keys = texts(map).filter_map(validity::ssh);
    certificates.chain(keys).chain(tokens(map)).min()
}

/// The earliest expiry of the JSON web tokens in the response.
fn tokens(map: &SecretMap) -> Option<Duration> {
    texts(map).filter_map(validity::jwt).min()
}

/// All strings.
fn texts(map: &SecretMap) -> impl Iterator<Item = &str> {
    map.iter().filter_map(|(_, value)| text(value))
}

/// The value, if it is a string.
fn text(value: &SecretValue) -> Option<&str> {
    match value {
        SecretValue::Text(text) => text.expose_text(),
        SecretValue::Json(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{SecretRef, Source};

    fn ends(reference: &str, json: &str) -> Option<Ends> {
        let Source::Vault(source) = SecretRef::parse(reference, &BTreeMap::new()).unwrap().source else { panic!() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        stated(&SecretMap::from_json(json.as_bytes()).unwrap(), &source, now)
    }

    fn expires(seconds: u64) -> Option<Ends> {
        Some(Ends::Expires(Duration::from_secs(seconds)))
    }

    #[test]
    fn what_is_issued_says_when_it_ends() {
        for (reference, json, expected) in [
            ("vault:pki/issue/web?", r#"{"serial_number":"1","expiration":1600}"#, expires(600)),
            ("vault:pki/sign/web?csr=x", r#"{"expiration":"1600"}"#, expires(600)),
            // A certificate says itself when it ends, whatever is stated beside it.
            ("vault:x/y?", r#"{"token":"eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDB9.eA","expiration":4600}"#, expires(700)),
            ("vault:pki/issue/web?", r#"{"serial_number":"1","expiration":900}"#, expires(0)),
            (
                "vault:auth/approle/role/x/secret-id?",
                r#"{"secret_id":"s","secret_id_ttl":90,"secret_id_num_uses":0}"#,
                expires(90),
            ),
            ("vault:auth/approle/role/x/secret-id?", r#"{"secret_id":"s","secret_id_ttl":0}"#, None),
            ("vault:identity/oidc/token/x", r#"{"client_id":"c","token":"t","ttl":20}"#, expires(20)),
            ("vault:gcp/token/x", r#"{"token":"t","expires_at_seconds":4600,"token_ttl":3599}"#, expires(3600)),
            ("vault:gcp/token/x?", r#"{"token":"t","expires_at_seconds":4600,"token_ttl":3599}"#, expires(3599)),
            ("vault:github/token?", r#"{"token":"t","expires_at":"1970-01-01T00:30:00Z"}"#, expires(800)),
            ("vault:github/token?", r#"{"token":"t","expires_at":"1970-01-01T00:30:00.25Z"}"#, expires(800)),
            ("vault:x/y?", r#"{"access_token":"t","expires_in":60,"ttl":90}"#, expires(60)),
            ("vault:transit/encrypt/k?plaintext=x", r#"{"ciphertext":"vault:v1:x","key_version":1}"#, None),
            ("vault:totp/code/x", r#"{"code":"123456"}"#, None),
            (
                "vault:x/y?",
                r#"{"max_ttl":5,"explicit_max_ttl":5,"default_lease_ttl":5,"creation_ttl":5,"min_ttl":5}"#,
                None,
            ),
            ("vault:auth/approle/role/x", r#"{"secret_id_ttl":90,"token_ttl":60}"#, None),
            ("vault:cubbyhole/x", r#"{"ttl":5,"expiration":1600}"#, None),
            ("vault:x/y?", r#"{"ttl":"1h","expiration":"never"}"#, None),
            ("vault:x/y?", r#"{"ttl":-1,"expiration":-1}"#, None),
            ("vault:x/y?", r#"{"expiration":18446744073709551615}"#, expires(LONGEST_LIFE.as_secs())),
        ] {
            assert_eq!(ends(reference, json), expected, "{reference} {json}");
        }
    }

    #[test]
    fn a_static_role_rotates_and_says_0_until_it_has() {
        let rotates = |seconds| Some(Ends::Rotates(Duration::from_secs(seconds)));
        let json = |ttl| format!(r#"{{"password":"x","ttl":{ttl},"last_vault_rotation":"2026-01-01T00:00:00Z"}}"#);
        assert_eq!(ends("vault:database/static-creds/x", &json(42)), rotates(42));
        assert_eq!(ends("vault:database/static-creds/x", &json(0)), rotates(0));
    }

    #[test]
    fn certificates_and_tokens_are_read_when_no_field_says_it() {
        // {"alg":"none"} . {"exp":1700} . x
        let jwt = "eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDB9.eA";
        let json = format!(r#"{{"service_account_token":"{jwt}"}}"#);
        assert_eq!(ends("vault:kubernetes/creds/x", &json), expires(700));
        let certificate = rcgen::generate_simple_self_signed(["x.test".to_owned()]).unwrap().cert.pem();
        let json = format!(r#"{{"certificate":{},"issuing_ca":"x"}}"#, serde_json::to_string(&certificate).unwrap());
        assert!(ends("vault:pki/sign/x?", &json).is_some());
        // A value that can be read again is stored by a person, and stays until it is changed.
        assert_eq!(ends("vault:pki/cert/ca", &json), None);
    }
}
