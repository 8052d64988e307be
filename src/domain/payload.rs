//! What a backend returned for one reference: a map of values, or one value, and how one key is picked from it.

use std::ops::Deref;

use super::json;
use super::secret::{SecretBytes, SecretValue};

/// Keys and values in the backend's order. Keys are not secret; messages may quote them.
#[derive(Debug, Default)]
pub struct SecretMap(Vec<(String, SecretValue)>);

impl SecretMap {
    /// Parses a JSON object; a faulty or ambiguous value is an error. Errors never quote the text.
    pub fn from_json(text: &[u8]) -> Result<Self, json::JsonError> {
        json::fields(text)?.strict().map(Self)
    }

    /// Parses a JSON object of which one key will be picked: returns the valid entries, and the keys whose value is
    /// faulty.
    pub fn from_faulty_json(text: &[u8]) -> Result<(Self, Vec<(String, json::JsonError)>), json::JsonError> {
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        for (key, value) in json::fields(text)?.entries {
            match value {
                Ok(value) => entries.push((key, value)),
                Err(fault) => faults.push((key, fault)),
            }
        }
        Ok((Self(entries), faults))
    }

    /// The value under `key`.
    pub fn value(&self, key: &str) -> Option<&SecretValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, SecretValue)> for SecretMap {
    fn from_iter<I: IntoIterator<Item = (String, SecretValue)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// The value of one reference.
#[derive(Debug)]
pub enum Payload {
    /// Keys and values (Vault, or a local file's `data`).
    Map(SecretMap),
    /// One value (Secrets Manager, a mounted file). It may be JSON, which is parsed only when a key is picked.
    Whole(SecretBytes),
}

/// A part of a payload: borrowed from it, or owned where it had to be parsed.
#[derive(Debug)]
pub enum MaybeOwned<'a, T> {
    /// Part of the payload.
    Borrowed(&'a T),
    /// Parsed from the payload.
    Owned(T),
}

impl<T> Deref for MaybeOwned<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Self::Borrowed(value) => value,
            Self::Owned(value) => value,
        }
    }
}

/// Why a key or map cannot be read from a payload. Never contains a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The key does not exist.
    #[error("no key {key:?}; it has {}{}", list(.known), meant(.key, .known))]
    NoKey {
        /// The key in the reference.
        key: String,
        /// The existing keys.
        known: Vec<String>,
    },
    /// Not a JSON object, or one in which the end of a value cannot be found.
    #[error("no key can be picked: it is {0}; without a key all of it is taken")]
    NotAnObject(json::JsonError),
    /// The key's value is faulty or ambiguous.
    #[error("it is {0}; other keys can be picked")]
    Faulty(json::JsonError),
    /// The value is JSON null.
    #[error("the value of key {0:?} is null")]
    Null(String),
}

/// A hint for a key that is an existing key plus a version, as in bank-vaults' `PATH#KEY#VERSION` or
/// `KEY?version=N`; else empty.
fn meant(key: &str, known: &[String]) -> String {
    match key.rsplit_once('#').or_else(|| key.rsplit_once("?version=")) {
        Some((key, version)) if version.parse::<u32>().is_ok() && known.iter().any(|name| name == key) => {
            format!("; a version stands before the key: PATH?version={version}#{key}")
        }
        _ => String::new(),
    }
}

/// The keys for a message: at most 20, then how many more.
fn list(keys: &[String]) -> String {
    if keys.is_empty() {
        return "no keys at all".to_owned();
    }
    let mut shown: Vec<_> = keys.iter().take(20).map(|key| format!("{key:?}")).collect();
    if keys.len() > 20 {
        shown.push(format!("and {} more", keys.len() - 20));
    }
    shown.join(", ")
}

impl Payload {
    /// The payload as a map; a whole value is parsed as a JSON object.
    pub fn map(&self) -> Result<MaybeOwned<'_, SecretMap>, PickError> {
        match self {
            Self::Map(map) => Ok(MaybeOwned::Borrowed(map)),
            Self::Whole(bytes) => {
                SecretMap::from_json(bytes.expose()).map(MaybeOwned::Owned).map_err(PickError::NotAnObject)
            }
        }
    }

    /// The value of one key; JSON null counts as missing.
    pub fn value(&self, key: &str) -> Result<MaybeOwned<'_, SecretValue>, PickError> {
        let value = match self {
            Self::Map(map) => MaybeOwned::Borrowed(map.value(key).ok_or_else(|| no_key(key, map, &[]))?),
            Self::Whole(bytes) => {
                let (map, faults) = SecretMap::from_faulty_json(bytes.expose()).map_err(PickError::NotAnObject)?;
                if let Some((_, fault)) = faults.iter().find(|(name, _)| name == key) {
                    return Err(PickError::Faulty(fault.clone()));
                }
                let place = map.0.iter().position(|(name, _)| name == key).ok_or_else(|| no_key(key, &map, &faults))?;
                let SecretMap(mut entries) = map;
                MaybeOwned::Owned(entries.swap_remove(place).1)
            }
        };
        if value.is_null() {
            return Err(PickError::Null(key.to_owned()));
        }
        Ok(value)
    }
}

/// The error for a key that does not exist, with the existing keys.
fn no_key(key: &str, map: &SecretMap, faults: &[(String, json::JsonError)]) -> PickError {
    let known = map.keys().chain(faults.iter().map(|(name, _)| name.as_str()));
    PickError::NoKey { key: key.to_owned(), known: known.map(str::to_owned).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Payload {
        Payload::Whole(SecretBytes::from(text.to_owned()))
    }

    #[test]
    fn debug_prints_neither_value_nor_length() {
        let text = format!("{:?} {:?}", whole("canary"), SecretMap::from_json(br#"{"k":"canary"}"#));
        assert!(!text.contains("canary") && !text.contains('6'), "{text}");
    }

    #[test]
    fn a_key_is_picked_out_of_a_json_string() {
        let payload = whole(r#"{"port": 5432, "f": 1.50, "o": {"a" : [1, 2]}, "s": "a<b"}"#);
        for (key, raw) in [("port", "5432"), ("f", "1.50"), ("o", r#"{"a":[1,2]}"#), ("s", "a<b")] {
            assert_eq!(payload.value(key).unwrap().raw().expose_text(), Some(raw));
        }
    }

    #[test]
    fn a_missing_key_names_the_keys_there_are_and_null_is_missing() {
        let error = whole(r#"{"a":1,"b":null}"#).value("c").unwrap_err();
        assert_eq!(error.to_string(), r#"no key "c"; it has "a", "b""#);
        assert_eq!(whole(r#"{"b":null}"#).value("b").unwrap_err(), PickError::Null("b".into()));
    }

    #[test]
    fn a_version_behind_the_key_is_hinted_at_where_the_key_is_there() {
        let said = |key: &str| whole(r#"{"k":1,"a#1":2}"#).value(key).unwrap_err().to_string();
        assert!(said("k#3").ends_with("; a version stands before the key: PATH?version=3#k"), "{}", said("k#3"));
        assert!(said("k?version=3").ends_with("the key: PATH?version=3#k"), "{}", said("k?version=3"));
        assert!(!said("z#3").contains("version") && !said("k#x").contains("version"));
        assert_eq!(whole(r#"{"k":1,"a#1":2}"#).value("a#1").unwrap().raw().expose(), b"2");
    }

    #[test]
    fn an_error_about_text_that_is_not_json_does_not_quote_it() {
        let error = whole("hunter2").value("c").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.ends_with("; without a key all of it is taken"), "{error}");
    }

    #[test]
    fn a_key_is_picked_whatever_another_one_holds_and_the_message_names_the_one_that_is_wrong() {
        let payload = whole("\u{feff}{\"ü\":\"\\ud800\",\"a\":1,\"a\":2,\"n\":NaN,\"ok\":\"x\",}");
        assert_eq!(payload.value("ok").unwrap().raw().expose_text(), Some("x"));
        let said = |key: &str| payload.value(key).unwrap_err().to_string();
        assert_eq!(
            said("ü"),
            "it is a JSON object in which the value of key \"ü\" holds half a surrogate pair, which is no character \
             (line 1, column 7); other keys can be picked"
        );
        assert!(said("a").contains("\"a\" occurs twice, with different values (line 1, column 21)"), "{}", said("a"));
        assert!(said("n").contains("\"n\" is not valid JSON (line 1, column 31)"), "{}", said("n"));
        assert_eq!(said("z"), r#"no key "z"; it has "ok", "ü", "a", "n""#);
    }
}
