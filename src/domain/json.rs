//! A JSON object as a secret map: strings unescaped, everything else kept as it was written.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bounds::{MOST_ELEMENTS, has_too_many_elements};
use super::secret::{SecretBytes, SecretValue};

/// Text that is not the JSON object it should be. Holds a position, never the text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("not valid JSON at line {line}, column {column}")]
    Syntax {
        /// One-based line.
        line: usize,
        /// One-based column.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("JSON, but not an object")]
    NotAnObject,
    /// More than is parsed.
    #[error("JSON of more than {MOST_ELEMENTS} names and values, which only `format: raw` delivers as it is")]
    TooManyElements,
    /// The same key twice.
    #[error("key {0:?} stands twice")]
    Repeated(String),
}

/// The entries of the object, in its order.
pub(super) fn object(text: &[u8]) -> Result<Vec<(String, SecretValue)>, JsonError> {
    let syntax = |error: serde_json::Error| {
        if error.is_data() {
            return JsonError::NotAnObject;
        }
        JsonError::Syntax { line: error.line(), column: error.column() }
    };
    if has_too_many_elements(text) {
        return Err(JsonError::TooManyElements);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let entries = deserializer.deserialize_map(Entries).map_err(syntax)?;
    deserializer.end().map_err(syntax)?;
    let mut seen = std::collections::BTreeSet::new();
    for (key, _) in &entries {
        if !seen.insert(key.as_str()) {
            return Err(JsonError::Repeated(key.clone()));
        }
    }
    entries
        .into_iter()
        .map(|(key, raw)| {
            let value = if raw.get().starts_with('"') {
                // A raw string that parsed once parses again; a lone surrogate is the one thing RawValue lets pass.
                let text: String = serde_json::from_str(raw.get()).map_err(syntax)?;
                SecretValue::Text(SecretBytes::from(text))
            } else {
                SecretValue::Json(compact(raw.get()))
            };
            Ok((key, value))
        })
        .collect()
}

/// The same JSON without whitespace between tokens and with nothing escaped that need not be, as a whole map is written:
/// the server's encoder writes `<` as `\u003c`. Numbers stay as written.
fn compact(json: &str) -> SecretBytes {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('"') {
        let (between, string) = rest.split_at(at);
        out.extend(between.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let (string, after) = string.split_at(string_length(string));
        match serde_json::from_str::<String>(string) {
            Ok(text) => serde_json::to_writer(&mut out, &*zeroize::Zeroizing::new(text)).expect("a string is JSON"),
            // A lone surrogate is no text.
            Err(_) => out.extend_from_slice(string.as_bytes()),
        }
        rest = after;
    }
    out.extend(rest.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    SecretBytes::new(out)
}

/// The length of the string token that `json` begins with.
fn string_length(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        if byte == b'"' && !escaped {
            return at.saturating_add(1);
        }
        escaped = byte == b'\\' && !escaped;
    }
    json.len()
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Box<RawValue>)>;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Result<Vec<(String, String)>, JsonError> {
        let entries = object(text.as_bytes())?;
        Ok(entries.into_iter().map(|(key, value)| (key, value.raw().expose_text().unwrap().to_owned())).collect())
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let got = raw(r#" { "n": 1e2, "big": 123456789012345678901234567890, "t": true, "s": "a\n\u00e9\"", "o": { "k \" ": [ 1 , "a b" ] } } "#).unwrap();
        let expected = [
            ("n", "1e2"),
            ("big", "123456789012345678901234567890"),
            ("t", "true"),
            ("s", "a\né\""),
            ("o", r#"{"k \" ":[1,"a b"]}"#),
        ];
        assert_eq!(got, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn nothing_inside_an_object_is_escaped_that_need_not_be() {
        let got =
            raw(r#"{"o": {"a\u003cb": "\u003c\u003e\u0026 \u2028 \u00e9 \/ \\u003c \" \n", "n": [1.50, "\ud800"]}}"#)
                .unwrap();
        assert_eq!(got[0].1, "{\"a<b\":\"<>& \u{2028} é / \\\\u003c \\\" \\n\",\"n\":[1.50,\"\\ud800\"]}");
    }

    #[test]
    fn what_is_not_an_object_is_said_without_quoting_it() {
        assert_eq!(raw("[1]").unwrap_err(), JsonError::NotAnObject);
        assert_eq!(raw("\"hunter2\"").unwrap_err(), JsonError::NotAnObject);
        assert_eq!(raw("{\"a\":1,}").unwrap_err(), JsonError::Syntax { line: 1, column: 8 });
        assert_eq!(raw(r#"{"a":1,"a":2}"#).unwrap_err(), JsonError::Repeated("a".into()));
        assert!(matches!(raw(r#"{"a":1} x"#), Err(JsonError::Syntax { .. })));
    }
}
