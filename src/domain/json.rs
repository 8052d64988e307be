//! Parses a JSON object as a secret map: strings unescaped, other values kept as written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::bounds::{MOST_ELEMENTS, has_too_many_elements};
use super::secret::{SecretBytes, SecretValue};

/// Why a text is not the expected JSON object. Holds a position, never the text. Lines and columns are one-based; a
/// column counts characters, without a byte order mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("not valid JSON at line {line}, column {column}")]
    Syntax {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("JSON, but not an object")]
    NotAnObject,
    /// More elements than are parsed ([`MOST_ELEMENTS`]).
    #[error("JSON of more than {MOST_ELEMENTS} names and values, which only `format: raw` delivers as it is")]
    TooManyElements,
    /// An object with a trailing comma, or with a key that is not valid text. Its other keys can be picked.
    #[error("a JSON object with {why} (line {line}, column {column})")]
    Flaw {
        /// What is wrong.
        why: Flaw,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An object with one value that cannot be used. Its other keys can be picked.
    #[error("a JSON object in which the value of key {key:?} {why} (line {line}, column {column})")]
    Field {
        /// The key.
        key: String,
        /// What is wrong.
        why: FieldError,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
}

/// A fault of an object that is not in one of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// `{"a":1,}`
    #[error("a comma behind its last value")]
    TrailingComma,
    /// A key that cannot be decoded.
    #[error("a key that {0}")]
    Key(FieldError),
}

/// A fault of one key or value of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The same key with two different values: parsers differ in which one they take.
    #[error("occurs twice, with different values")]
    Repeated,
    /// `\ud800` without the second half of its surrogate pair.
    #[error("holds half a surrogate pair, which is no character")]
    Surrogate,
    /// A line break or another control character that is not escaped.
    #[error("holds a control character that is not escaped; JSON writes a line break as \\n")]
    Control,
    /// Bytes that are not UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// `NaN`, `'a'`, `01`, `\x`, `[1,]`.
    #[error("is not valid JSON")]
    NotJson,
}

/// An object, with the values that parsed and the faults of those that did not.
pub(super) struct Fields {
    /// Each key once, in the order of the text, with its value or what is wrong with it.
    pub(super) entries: Vec<(String, Result<SecretValue, JsonError>)>,
    /// The first fault outside the values.
    flaw: Option<JsonError>,
}

impl Fields {
    /// The entries, or the first fault.
    pub(super) fn strict(self) -> Result<Vec<(String, SecretValue)>, JsonError> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        self.entries.into_iter().map(|(key, value)| Ok((key, value?))).collect()
    }
}

/// Parses an object. A fault of one value is kept with its key; a text in which the end of a value cannot be found
/// is an error.
pub(super) fn fields(text: &[u8]) -> Result<Fields, JsonError> {
    if has_too_many_elements(text) {
        return Err(JsonError::TooManyElements);
    }
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut scanner = Scanner { text, at: 0 };
    if scanner.peek() != Some(b'{') {
        let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(text);
        return Err(parsed.map_or_else(|error| scanner.syntax(offset_of(text, &error)), |_| JsonError::NotAnObject));
    }
    scanner.object()
}

/// A position in the text of an object.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// A fault, and the offset of the byte where it is.
type Fault = (FieldError, usize);

impl Scanner<'_> {
    /// Skips white space and returns the next byte without consuming it.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at = self.at.saturating_add(1);
        }
        self.text.get(self.at).copied()
    }

    /// Consumes the next byte after white space, which must be `expected`.
    fn take(&mut self, expected: u8) -> Result<(), JsonError> {
        if self.peek() != Some(expected) {
            return Err(self.syntax(self.at));
        }
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    /// Parses the whole object, to the end of the text.
    fn object(&mut self) -> Result<Fields, JsonError> {
        let mut fields = Fields { entries: Vec::new(), flaw: None };
        let mut places = BTreeMap::new();
        self.take(b'{')?;
        let mut comma = None;
        while self.peek() != Some(b'}') {
            if !places.is_empty() || fields.flaw.is_some() {
                comma.ok_or_else(|| self.syntax(self.at))?;
            }
            let key_at = self.at;
            let key = self.string(key_at)?;
            self.take(b':')?;
            let value = self.value()?;
            match key {
                Err((why, at)) => _ = fields.flaw.get_or_insert(self.flaw(Flaw::Key(why), at)),
                Ok(key) => {
                    let value = value.map_err(|(why, at)| self.field(&key, why, at));
                    match places.get(&key).and_then(|place: &usize| fields.entries.get_mut(*place)) {
                        Some((_, Ok(first))) if matches!(&value, Ok(value) if value.is_same(first)) => {}
                        Some((_, first)) => *first = Err(self.field(&key, FieldError::Repeated, key_at)),
                        None => {
                            places.insert(key.clone(), fields.entries.len());
                            fields.entries.push((key, value));
                        }
                    }
                }
            }
            comma = (self.peek() == Some(b',')).then_some(self.at);
            self.at = self.at.saturating_add(usize::from(comma.is_some()));
        }
        if let Some(comma) = comma {
            fields.flaw.get_or_insert(self.flaw(Flaw::TrailingComma, comma));
        }
        self.take(b'}')?;
        if self.peek().is_some() { Err(self.syntax(self.at)) } else { Ok(fields) }
    }

    /// Parses and decodes the string at the current position. The outer error is a text in which no string ends,
    /// reported at `start`; the inner one is a string that cannot be decoded.
    fn string(&mut self, start: usize) -> Result<Result<String, Fault>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax(self.at));
        }
        let from = self.at;
        let rest = &self.text[from..];
        let token = &rest[..string_length(rest).ok_or_else(|| self.syntax(start))?];
        self.at = from.saturating_add(token.len());
        Ok(serde_json::from_slice::<String>(token).map_err(|_| {
            let (why, at) = fault_of_string(token);
            (why, from.saturating_add(at))
        }))
    }

    /// Parses the value at the current position. The outer error is a value whose end cannot be found; the inner
    /// one is a value with a fault.
    fn value(&mut self) -> Result<Result<SecretValue, Fault>, JsonError> {
        let first = self.peek();
        let from = self.at;
        if first == Some(b'"') {
            return Ok(self.string(from)?.map(|text| SecretValue::Text(SecretBytes::from(text))));
        }
        let rest = &self.text[from..];
        let length = match first {
            Some(b'{' | b'[') => nested_length(rest).ok_or_else(|| self.syntax(from))?,
            _ => rest.iter().position(|byte| b",:{}[]\" \t\r\n".contains(byte)).unwrap_or(rest.len()),
        };
        let token = &rest[..length];
        self.at = from.saturating_add(length);
        Ok(match std::str::from_utf8(token) {
            Err(error) => Err((FieldError::NotUtf8, from.saturating_add(error.valid_up_to()))),
            Ok(json) => match serde_json::from_str::<&RawValue>(json) {
                Ok(raw) => Ok(SecretValue::Json(compact(raw.get()))),
                Err(error) => Err((FieldError::NotJson, from.saturating_add(offset_of(token, &error)))),
            },
        })
    }

    /// A syntax error at a byte offset.
    fn syntax(&self, at: usize) -> JsonError {
        let (line, column) = place(self.text, at);
        JsonError::Syntax { line, column }
    }

    /// A fault of the object at a byte offset.
    fn flaw(&self, why: Flaw, at: usize) -> JsonError {
        let (line, column) = place(self.text, at);
        JsonError::Flaw { why, line, column }
    }

    /// A fault of the value of `key` at a byte offset.
    fn field(&self, key: &str, why: FieldError, at: usize) -> JsonError {
        let (line, column) = place(self.text, at);
        JsonError::Field { key: key.to_owned(), why, line, column }
    }
}

/// Line and column of a byte offset, both one-based; a column counts characters.
fn place(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline.saturating_add(1));
    let line = before.iter().filter(|&&byte| byte == b'\n').count().saturating_add(1);
    let characters = before[line_start..].iter().filter(|&&byte| !(0x80..0xc0).contains(&byte)).count();
    (line, characters.saturating_add(1))
}

/// The byte offset of serde_json's line and column; its columns count bytes.
fn offset_of(text: &[u8], error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive(|&byte| byte == b'\n').take(error.line().saturating_sub(1));
    let line_start = lines.fold(0_usize, |sum, line| sum.saturating_add(line.len()));
    line_start.saturating_add(error.column().saturating_sub(1))
}

/// The length of the array or object at the start of `json`, by its brackets outside strings; `None` if it has no
/// end.
fn nested_length(json: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0_usize, 0_usize);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = at.checked_add(string_length(&json[at..])?)?.checked_sub(1)?,
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at = at.checked_add(1)?;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// What is wrong with a string token that serde_json refused, and the byte offset within the token.
fn fault_of_string(token: &[u8]) -> Fault {
    let text = match std::str::from_utf8(token) {
        Ok(text) => text,
        Err(error) => return (FieldError::NotUtf8, error.valid_up_to()),
    };
    if let Some(at) = text.bytes().position(|byte| byte < b' ') {
        return (FieldError::Control, at);
    }
    let mut at = 0_usize;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at = at.saturating_add(found);
        let escape = |from: usize| {
            let digits = text.get(from..)?.strip_prefix("\\u")?.get(..4)?;
            u16::from_str_radix(digits, 16).ok()
        };
        let is_pair = match escape(at) {
            Some(0xd800..0xdc00) => matches!(escape(at.saturating_add(6)), Some(0xdc00..0xe000)),
            Some(0xdc00..0xe000) => false,
            Some(_) => {
                at = at.saturating_add(6);
                continue;
            }
            None if text.as_bytes().get(at.saturating_add(1)).is_some_and(|byte| b"\"\\/bfnrt".contains(byte)) => {
                at = at.saturating_add(2);
                continue;
            }
            None => return (FieldError::NotJson, at),
        };
        if !is_pair {
            return (FieldError::Surrogate, at);
        }
        at = at.saturating_add(12);
    }
    (FieldError::NotJson, 0)
}

/// The JSON without white space between tokens and without needless escapes (Vault's encoder writes `<` as `\u003c`),
/// in the form in which a whole map is written. Numbers stay as written.
fn compact(json: &str) -> SecretBytes {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('"') {
        let (between, string) = rest.split_at(at);
        out.extend(between.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let (string, after) = string.split_at(string_length(string.as_bytes()).unwrap_or(string.len()));
        match serde_json::from_str::<String>(string) {
            Ok(text) => serde_json::to_writer(&mut out, &*zeroize::Zeroizing::new(text)).expect("a string is JSON"),
            // A lone surrogate cannot be decoded, so it stays escaped.
            Err(_) => out.extend_from_slice(string.as_bytes()),
        }
        rest = after;
    }
    out.extend(rest.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    SecretBytes::new(out)
}

/// The length of the string token at the start of `json`; `None` if it has no end.
fn string_length(json: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in json.iter().enumerate().skip(1) {
        if *byte == b'"' && !is_escaped {
            return at.checked_add(1);
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Result<Vec<(String, String)>, JsonError> {
        let entries = fields(text.as_bytes())?.strict()?;
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
        for (text, line, column) in [
            (r#"{"a":1} x"#, 1, 9),
            ("hunter2", 1, 1),
            ("", 1, 1),
            ("{\n  \"é\": \"ü\" \"b\": 1}", 2, 12),
            (r#"{"a":"x"#, 1, 6),
            (r#"{"a":[1, "x]"#, 1, 6),
            (r#"{"a""#, 1, 5),
            (r#"{"a":1"#, 1, 7),
            (r#"{,}"#, 1, 2),
            (r#"{"a":1,,"b":2}"#, 1, 8),
            (r#"{"a":1}}"#, 1, 8),
            (r#"{'a':1}"#, 1, 2),
        ] {
            assert_eq!(raw(text).unwrap_err(), JsonError::Syntax { line, column }, "{text}");
        }
    }

    #[test]
    fn one_value_that_is_wrong_leaves_the_others_and_is_named_with_its_place() {
        use FieldError::*;
        let deep = format!("{{\"bad\":{}1{},\"ok\":\"x\"}}", "[".repeat(5_000), "]".repeat(5_000));
        for (text, why, line, column) in [
            ("{\"ok\":\"x\",\"bad\":1,\"bad\":2}".as_bytes(), Repeated, 1, 19),
            (b"{\"bad\":1,\"ok\":\"x\",\"b\\u0061d\":\"1\"}", Repeated, 1, 19),
            ("{\n\"ü\":\"é\", \"bad\":\"é\\ud800\",\"ok\":\"x\"}".as_bytes(), Surrogate, 2, 18),
            (b"{\"bad\":\"\\ud83d\\ude00\\n\\udc00\",\"ok\":\"x\"}", Surrogate, 1, 23),
            (b"{\"bad\":\"BEGIN\nEND\",\"ok\":\"x\"}", Control, 1, 14),
            (b"{\"bad\":\"a\xff\",\"ok\":\"x\"}", NotUtf8, 1, 10),
            (b"{\"bad\":NaN,\"ok\":\"x\"}", NotJson, 1, 8),
            (b"{\"bad\": -Infinity ,\"ok\":\"x\"}", NotJson, 1, 10),
            (b"{\"bad\":,\"ok\":\"x\"}", NotJson, 1, 8),
            (b"{\"bad\":01,\"ok\":\"x\"}", NotJson, 1, 9),
            (b"{\"bad\":\"a\\x\",\"ok\":\"x\"}", NotJson, 1, 10),
            (b"{\"bad\":{\"in\":\n[1,]},\"ok\":\"x\"}", NotJson, 2, 4),
        ] {
            let shown = String::from_utf8_lossy(text);
            let read = fields(text).unwrap_or_else(|error| panic!("{shown}: {error}"));
            let of = |key: &str| read.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref());
            assert_eq!(of("ok").unwrap().unwrap().raw().expose(), b"x", "{shown}");
            let expected = JsonError::Field { key: "bad".into(), why, line, column };
            assert_eq!(of("bad").unwrap().unwrap_err(), &expected, "{shown}");
            assert_eq!(read.strict().unwrap_err(), expected, "{shown}");
        }
        assert_eq!(raw(&deep).unwrap()[1].1, "x");
    }

    #[test]
    fn a_byte_order_mark_and_a_key_that_stands_twice_with_one_value_change_nothing() {
        assert_eq!(raw("\u{feff}{\"a\":\"\u{feff}x\"}").unwrap(), [("a".into(), "\u{feff}x".into())]);
        assert_eq!(raw("\u{feff}{\"a\":NaN}").unwrap_err(), raw("{\"a\":NaN}").unwrap_err());
        assert_eq!(raw(r#"{"a":1,"b":2,"a":1}"#).unwrap().len(), 2);
        assert!(raw(r#"{"a":1,"a":"1"}"#).is_err() && raw(r#"{"a":1,"a":1.0}"#).is_err());
    }

    #[test]
    fn an_object_with_a_comma_too_many_or_a_key_that_is_no_text_still_has_its_other_keys() {
        for (text, why, column) in [
            (r#"{"ok":"x" , }"#, Flaw::TrailingComma, 11),
            (r#"{"\ud800":1,"ok":"x"}"#, Flaw::Key(FieldError::Surrogate), 3),
        ] {
            let read = fields(text.as_bytes()).unwrap();
            assert_eq!(read.entries[0].1.as_ref().unwrap().raw().expose(), b"x");
            assert_eq!(read.strict().unwrap_err(), JsonError::Flaw { why, line: 1, column });
        }
    }
}
