//! A JSON object as a secret map: strings unescaped, everything else kept as it was written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::bounds::{MOST_ELEMENTS, has_too_many_elements};
use super::secret::{SecretBytes, SecretValue};

/// Text that is not the JSON object it should be. Holds a position, never the text. Lines and columns are one-based;
/// a column is a character, and a byte order mark is none.
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
    /// More than is parsed.
    #[error("JSON of more than {MOST_ELEMENTS} names and values, which only `format: raw` delivers as it is")]
    TooManyElements,
    /// An object with a comma too many, or a key that is no text. Its other keys can be picked.
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
        why: FieldFault,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
}

/// What is wrong with an object beside its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// `{"a":1,}`
    #[error("a comma behind its last value")]
    TrailingComma,
    /// A key that cannot be decoded.
    #[error("a key that {0}")]
    Key(FieldFault),
}

/// What is wrong with one value of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// The same key with two values: readers differ in which one they take.
    #[error("stands there twice, with different values")]
    Repeated,
    /// `\ud800` without its other half.
    #[error("holds half a surrogate pair, which is no character")]
    Surrogate,
    /// A line break or another control character that is not escaped.
    #[error("holds a control character that is not escaped; JSON writes a line break as \\n")]
    Control,
    /// Bytes that are no text.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// `NaN`, `'a'`, `01`, `\x`, `[1,]`.
    #[error("is not valid JSON")]
    NotJson,
}

/// An object that is read as far as it is unambiguous.
pub(super) struct Fields {
    /// Each key once, in the order of the text.
    pub(super) entries: Vec<(String, Result<SecretValue, JsonError>)>,
    flaw: Option<JsonError>,
}

impl Fields {
    /// The entries, if there is nothing wrong with any of them.
    pub(super) fn strict(self) -> Result<Vec<(String, SecretValue)>, JsonError> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        self.entries.into_iter().map(|(key, value)| Ok((key, value?))).collect()
    }
}

/// Reads an object. What is wrong with one value is kept with its key.
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

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// What is wrong, and the byte where.
type Fault = (FieldFault, usize);

impl Scanner<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at = self.at.saturating_add(1);
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Result<(), JsonError> {
        if self.peek() != Some(expected) {
            return Err(self.syntax(self.at));
        }
        self.at = self.at.saturating_add(1);
        Ok(())
    }

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
                        Some((_, first)) => *first = Err(self.field(&key, FieldFault::Repeated, key_at)),
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

    /// The string that begins here, decoded. `start` is the place of an error about one without an end.
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

    /// The value that begins here, whatever is in it, as long as it can be seen where it ends.
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
            Err(error) => Err((FieldFault::NotUtf8, from.saturating_add(error.valid_up_to()))),
            Ok(json) => match serde_json::from_str::<&RawValue>(json) {
                Ok(raw) => Ok(SecretValue::Json(compact(raw.get()))),
                Err(error) => Err((FieldFault::NotJson, from.saturating_add(offset_of(token, &error)))),
            },
        })
    }

    fn syntax(&self, at: usize) -> JsonError {
        let (line, column) = place(self.text, at);
        JsonError::Syntax { line, column }
    }

    fn flaw(&self, why: Flaw, at: usize) -> JsonError {
        let (line, column) = place(self.text, at);
        JsonError::Flaw { why, line, column }
    }

    fn field(&self, key: &str, why: FieldFault, at: usize) -> JsonError {
        let (line, column) = place(self.text, at);
        JsonError::Field { key: key.to_owned(), why, line, column }
    }
}

/// Line and column of a byte, both one-based; a column is a character.
fn place(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline.saturating_add(1));
    let line = before.iter().filter(|&&byte| byte == b'\n').count().saturating_add(1);
    let characters = before[line_start..].iter().filter(|&&byte| !(0x80..0xc0).contains(&byte)).count();
    (line, characters.saturating_add(1))
}

/// The byte that serde_json means by its line and its column of bytes.
fn offset_of(text: &[u8], error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive(|&byte| byte == b'\n').take(error.line().saturating_sub(1));
    let line_start = lines.fold(0_usize, |sum, line| sum.saturating_add(line.len()));
    line_start.saturating_add(error.column().saturating_sub(1))
}

/// The length of the list or object that `json` begins with, by its brackets outside strings.
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

/// What serde_json does not take about a string token, and the byte where.
fn fault_of_string(token: &[u8]) -> Fault {
    let text = match std::str::from_utf8(token) {
        Ok(text) => text,
        Err(error) => return (FieldFault::NotUtf8, error.valid_up_to()),
    };
    if let Some(at) = text.bytes().position(|byte| byte < b' ') {
        return (FieldFault::Control, at);
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
            None => return (FieldFault::NotJson, at),
        };
        if !is_pair {
            return (FieldFault::Surrogate, at);
        }
        at = at.saturating_add(12);
    }
    (FieldFault::NotJson, 0)
}

/// The same JSON without whitespace between tokens and with nothing escaped that need not be, as a whole map is written:
/// the server's encoder writes `<` as `\u003c`. Numbers stay as written.
fn compact(json: &str) -> SecretBytes {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('"') {
        let (between, string) = rest.split_at(at);
        out.extend(between.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let (string, after) = string.split_at(string_length(string.as_bytes()).unwrap_or(string.len()));
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

/// The length of the string token that `json` begins with; `None` when it has no end.
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
        use FieldFault::*;
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
            (r#"{"\ud800":1,"ok":"x"}"#, Flaw::Key(FieldFault::Surrogate), 3),
        ] {
            let read = fields(text.as_bytes()).unwrap();
            assert_eq!(read.entries[0].1.as_ref().unwrap().raw().expose(), b"x");
            assert_eq!(read.strict().unwrap_err(), JsonError::Flaw { why, line: 1, column });
        }
    }
}
