//! Parsed JSON below the top level of a secret: order and numbers stay as written.

use std::collections::BTreeSet;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::has_too_many_elements;

/// The deepest nesting of a value.
pub(super) const DEPTH: usize = 64;

/// A JSON value that can be written in any format. No `Debug`, because it contains secrets.
#[derive(Clone)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// The number as written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

/// The text is not JSON, too large, nested too deep, repeats a key, or has half a surrogate pair.
pub(super) struct JsonError;

impl Json {
    /// Parses JSON text.
    pub(super) fn parse(text: &str) -> Result<Self, JsonError> {
        if has_too_many_elements(text.as_bytes()) {
            return Err(JsonError);
        }
        serde_json::from_str(text).map_err(|_| JsonError).and_then(|raw: &RawValue| value(raw.get(), DEPTH))
    }
}

/// Parses a value. Raw values keep the text of numbers, which serde_json would convert to its own types.
fn value(text: &str, depth: usize) -> Result<Json, JsonError> {
    let depth = depth.checked_sub(1).ok_or(JsonError)?;
    let unreadable = |_| JsonError;
    Ok(match text.bytes().next() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'"') => Json::Text(serde_json::from_str(text).map_err(unreadable)?),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(unreadable)?;
            Json::List(items.into_iter().map(|item| value(item.get(), depth)).collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let entries = serde_json::Deserializer::from_str(text).deserialize_map(Entries).map_err(unreadable)?;
            let mut seen = BTreeSet::new();
            if !entries.iter().all(|(key, _)| seen.insert(key.as_str())) {
                return Err(JsonError);
            }
            let entry = |(key, raw): (String, &RawValue)| Ok((key, value(raw.get(), depth)?));
            Json::Map(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
        _ => Json::Number(text.to_owned()),
    })
}

/// Collects the entries of an object, unparsed, including repeated keys.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
