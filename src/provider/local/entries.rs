//! Parses the content of a local file: a value for each reference, and its lease.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::document::{self, Entry as Field, Kind, Node, Style, Text};
use crate::config::{ConfigError, Place, duration};
use crate::domain::{Payload, SecretBytes, SecretRef, SecretValue, Source};

use super::super::{Class, Failure};

/// The placeholder for a random string, new at each fetch.
const RANDOM: &str = "{{random}}";
/// The length of that string; 62^32 are 190 bits.
const RANDOM_LENGTH: usize = 32;

/// The value of one reference. No `Debug`, because it contains the value.
pub(super) struct Entry {
    pub(super) value: Value,
    /// `None` without a lease.
    pub(super) terms: Option<Terms>,
    /// Where the entry was written.
    place: Place,
}

/// The lease of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) ttl: Duration,
    pub(super) renewable: bool,
}

pub(super) enum Value {
    /// `data`: keys and values.
    Data(Vec<(String, Data)>),
    /// `value`: one string.
    Text(String),
    /// `base64`: one value of arbitrary bytes.
    Bytes(Vec<u8>),
}

/// A value below `data`.
pub(super) enum Data {
    Text(String),
    /// A number, `true`, `false` or `null`, in JSON notation.
    Literal(String),
    List(Vec<Data>),
    Map(Vec<(String, Data)>),
}

impl Value {
    /// The value as a backend would return it, with new random strings.
    pub(super) fn payload(&self) -> Result<Payload, Failure> {
        Ok(match self {
            Self::Data(entries) => {
                let entry = |(key, data): &(String, Data)| {
                    let value = match data {
                        Data::Text(text) => SecretValue::Text(SecretBytes::from(randomized(text)?)),
                        other => {
                            let mut json = String::new();
                            other.write(&mut json)?;
                            SecretValue::Json(SecretBytes::from(json))
                        }
                    };
                    Ok((key.clone(), value))
                };
                Payload::Map(entries.iter().map(entry).collect::<Result<_, Failure>>()?)
            }
            Self::Text(text) => Payload::Whole(SecretBytes::from(randomized(text)?)),
            Self::Bytes(bytes) => Payload::Whole(SecretBytes::copy_of(bytes)),
        })
    }
}

impl Data {
    /// Appends the value as JSON.
    fn write(&self, out: &mut String) -> Result<(), Failure> {
        match self {
            Self::Literal(json) => out.push_str(json),
            Self::Text(text) => out.push_str(&quoted(&randomized(text)?)),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(out)?;
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (place, (key, value)) in entries.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(key));
                    out.push(':');
                    value.write(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text always has a JSON form")
}

/// Replaces every [`RANDOM`] by a random string.
fn randomized(text: &str) -> Result<String, Failure> {
    let mut pieces = text.split(RANDOM);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(&random_text()?);
        out.push_str(piece);
    }
    Ok(out)
}

/// A random string of [`RANDOM_LENGTH`] letters and digits.
fn random_text() -> Result<String, Failure> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(RANDOM_LENGTH);
    let mut pool = [0_u8; 64];
    while out.len() < RANDOM_LENGTH {
        let failed = |_| Failure::new(Class::Transient, "the kernel gave no random bytes");
        getrandom::fill(&mut pool).map_err(failed)?;
        // Six bits for each character; the two values beyond the alphabet are discarded, so that all characters are
        // equally likely.
        let letters = pool.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        out.extend(letters.take(RANDOM_LENGTH.saturating_sub(out.len())).map(|letter| char::from(*letter)));
    }
    Ok(out)
}

/// Parses the whole file. Mistakes name the reference and the line, never a value.
pub(super) fn parse(file: &str, text: &str) -> Result<BTreeMap<Source, Entry>, Vec<ConfigError>> {
    let (root, mistakes) = document::parse(file, text);
    let mut reader = Reader { mistakes };
    let mut entries: BTreeMap<Source, Entry> = BTreeMap::new();
    match root.map(|root| (root.kind, root.place)) {
        None | Some((Kind::Bad, _)) => {}
        Some((Kind::Text(text), _)) if text.is_null() => {}
        Some((Kind::Map(fields), _)) => {
            for field in fields {
                let Some((source, entry)) = reader.entry(field) else { continue };
                if let Some(first) = entries.get(&source) {
                    reader.mistake(&entry.place, format!("duplicate entry {source} (first in {})", first.place));
                    continue;
                }
                entries.insert(source, entry);
            }
        }
        Some((_, place)) => {
            reader.mistake(&place, "expected a map: reference → { data: …, ttl: … }, { value: … } or { base64: … }");
        }
    }
    if reader.mistakes.is_empty() {
        return Ok(entries);
    }
    reader.mistakes.sort();
    Err(reader.mistakes)
}

struct Reader {
    mistakes: Vec<ConfigError>,
}

impl Reader {
    /// Adds a mistake at a place.
    fn mistake(&mut self, place: &Place, text: impl Into<String>) {
        self.mistakes.push(ConfigError::new(place, text));
    }

    /// Parses one reference and its value.
    fn entry(&mut self, Field { key: name, place, value }: Field) -> Option<(Source, Entry)> {
        let source = match SecretRef::parse(&name, &BTreeMap::new()) {
            Ok(SecretRef { source, key: None }) => Some(source),
            Ok(SecretRef { source, key: Some(_) }) => {
                self.mistake(
                    &place,
                    format!("{source}: leave the \"#\" and the key out; the entry is for the whole secret"),
                );
                None
            }
            Err(error) => {
                self.mistake(&place, format!("{name:?} {error}"));
                None
            }
        };
        let entry = self.body(&name, place, value, source.as_ref());
        Some((source?, entry?))
    }

    /// Parses the map behind a reference: `data`, `value` or `base64`, and the lease.
    fn body(&mut self, name: &str, place: Place, node: Node, source: Option<&Source>) -> Option<Entry> {
        let fields = match node.kind {
            Kind::Map(fields) => fields,
            Kind::Bad => return None,
            Kind::Text(_) | Kind::List(_) => {
                self.mistake(&node.place, format!("{name}: expected {{ data: … }}, {{ value: … }} or {{ base64: … }}"));
                return None;
            }
        };
        let before = self.mistakes.len();
        let (mut value, mut ttl, mut renewable): (Option<Value>, Option<Duration>, Option<bool>) = (None, None, None);
        let (mut has_ttl, mut is_broken) = (false, false);
        for field in fields {
            let key = field.key.as_str();
            if matches!(key, "data" | "value" | "base64") && value.is_some() {
                self.mistake(&field.place, format!("{name}: only one of data, value and base64"));
            }
            has_ttl |= key == "ttl";
            let place = field.value.place;
            match (key, field.value.kind) {
                (_, Kind::Bad) => is_broken = true,
                ("data", Kind::Map(fields)) => value = Some(Value::Data(data_of(fields))),
                ("data", _) => self.mistake(&place, format!("{name}: data must be a map of keys and values")),
                ("value", Kind::Text(text)) if !text.is_null() => value = Some(Value::Text(text.text)),
                ("value", _) => self.mistake(&place, format!("{name}: value must be one text")),
                ("base64", Kind::Text(text)) => match bytes(&text.text) {
                    Some(bytes) => value = Some(Value::Bytes(bytes)),
                    None => {
                        self.mistake(&place, format!("{name}: base64 is not valid base64 (RFC 4648, with padding)"))
                    }
                },
                ("base64", _) => self.mistake(&place, format!("{name}: base64 must be one text")),
                ("ttl", Kind::Text(text)) if duration(&text.text).is_ok() => ttl = duration(&text.text).ok(),
                ("ttl", _) => self.mistake(&place, format!("{name}: ttl must be a duration, such as 10s, 5m or 1h30m")),
                ("renewable", Kind::Text(text)) if matches!(text.text.as_str(), "true" | "false") => {
                    renewable = Some(text.text == "true");
                }
                ("renewable", _) => self.mistake(&place, format!("{name}: renewable must be true or false")),
                _ => self.mistake(
                    &field.place,
                    format!("{name}: unknown key {key:?}; expected data, value, base64, ttl or renewable"),
                ),
            }
        }
        if ttl.is_some() && source.is_some_and(|source| !matches!(source, Source::Vault(_))) {
            self.mistake(&place, format!("{name}: only a vault: reference has a lease, so ttl cannot stand here"));
        }
        if renewable.is_some() && !has_ttl {
            self.mistake(&place, format!("{name}: renewable needs a ttl: without one there is no lease"));
        }
        if value.is_none() && !is_broken && self.mistakes.len() == before {
            self.mistake(&place, format!("{name}: expected one of data, value and base64"));
        }
        let terms = ttl.map(|ttl| Terms { ttl, renewable: renewable.unwrap_or(false) });
        value.map(|value| Entry { value, terms, place })
    }
}

/// The keys and values below `data` or below one of its maps. A mistake in them has been reported by the parser.
fn data_of(fields: Vec<Field>) -> Vec<(String, Data)> {
    fields.into_iter().map(|field| (field.key, datum(field.value))).collect()
}

/// One value below `data`.
fn datum(node: Node) -> Data {
    match node.kind {
        Kind::Text(text) => scalar(text),
        Kind::List(items) => Data::List(items.into_iter().map(datum).collect()),
        Kind::Map(fields) => Data::Map(data_of(fields)),
        Kind::Bad => Data::Literal("null".to_owned()),
    }
}

/// Decodes base64, ignoring white space.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// A scalar, by YAML's core schema. What JSON cannot express (`0x1f`, `.inf`, `+5`) stays a string.
fn scalar(scalar: Text) -> Data {
    match scalar.text.as_str() {
        _ if scalar.is_null() => Data::Literal("null".to_owned()),
        _ if scalar.style != Style::Plain => Data::Text(scalar.text),
        "true" | "True" | "TRUE" => Data::Literal("true".to_owned()),
        "false" | "False" | "FALSE" => Data::Literal("false".to_owned()),
        number if is_json_number(number) => Data::Literal(scalar.text),
        _ => Data::Text(scalar.text),
    }
}

/// Whether a text is exactly one JSON number.
fn is_json_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok_and(|raw| raw.get() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let Err(mistakes) = parse("local.yaml", text) else { panic!("no mistakes") };
        mistakes.iter().map(|mistake| format!("{}: {}", mistake.place, mistake.text)).collect()
    }

    fn payload(text: &str) -> Payload {
        let entries = parse("local.yaml", text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        entries.into_values().next().unwrap().value.payload().unwrap()
    }

    #[test]
    fn values_keep_their_spelling() {
        let payload = payload(
            "vault:secret/data/a:\n  data:\n    n: 1.50\n    big: 123456789012345678901234567890\n    t: true\n    s: 'true'\n    hex: 0x1f\n    plus: +5\n    zero: 007\n    o: { a: [1, \"b\\\"\", null], c: x }\n    text: hello world\n",
        );
        for (key, raw, is_text) in [
            ("n", "1.50", false),
            ("big", "123456789012345678901234567890", false),
            ("t", "true", false),
            ("s", "true", true),
            ("hex", "0x1f", true),
            ("plus", "+5", true),
            ("zero", "007", true),
            ("o", r#"{"a":[1,"b\"",null],"c":"x"}"#, false),
            ("text", "hello world", true),
        ] {
            let value = payload.value(key).unwrap();
            assert_eq!(value.raw().expose_text(), Some(raw), "{key}");
            assert_eq!(matches!(*value, SecretValue::Text(_)), is_text, "{key}");
        }
    }

    #[test]
    fn what_the_configuration_may_contain_works_here_too() {
        let text = "vault:a: { data: &d { k: x }, ttl: 1h30m }\nvault:b: { data: *d }\n";
        let entries = parse("local.yaml", text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let texts: Vec<_> = entries
            .values()
            .map(|entry| entry.value.payload().unwrap().value("k").unwrap().raw().expose_text().unwrap().to_owned())
            .collect();
        assert_eq!(texts, ["x", "x"]);
        assert_eq!(entries.values().next().unwrap().terms.unwrap().ttl, Duration::from_secs(5400));
    }

    #[test]
    fn one_value_is_text_or_bytes() {
        let whole = |text| match payload(text) {
            Payload::Whole(bytes) => bytes.expose().to_owned(),
            Payload::Map(_) => panic!("a map"),
        };
        assert_eq!(whole(r#"aws-sm:prod/stripe: { value: "{\"key\":\"sk_test_1\"}" }"#), br#"{"key":"sk_test_1"}"#);
        assert_eq!(whole("aws-sm:prod/cert: { base64: AP8K }"), [0, 255, 10]);
        assert_eq!(whole("aws-sm:a: { value: 0123 }"), b"0123");
        assert_eq!(whole("file:/etc/x:\n  value: |\n    a\n    b\n"), b"a\nb\n");
    }

    #[test]
    fn randomness_is_as_long_as_promised_and_fresh_inside_nested_values() {
        let payload = payload("vault:a: { data: { o: { p: \"{{random}}\" }, two: \"{{random}}-{{random}}\" } }");
        let two = payload.value("two").unwrap().raw().expose_text().unwrap().to_owned();
        let (first, second) = two.split_once('-').unwrap();
        assert_ne!(first, second);
        assert_eq!((first.len(), second.len()), (RANDOM_LENGTH, RANDOM_LENGTH));
        let object = payload.value("o").unwrap().raw().expose_text().unwrap().to_owned();
        assert!(!object.contains("random") && object.len() > RANDOM_LENGTH, "{object}");
    }

    #[test]
    fn an_empty_file_has_no_entries() {
        for text in ["", "# nothing\n", "---\n", "{}"] {
            assert!(parse("local.yaml", text).is_ok_and(|entries| entries.is_empty()), "{text:?}");
        }
    }

    #[test]
    fn every_mistake_is_said_at_once_with_its_line_and_without_a_value() {
        let text = "vault:a#key: { value: canary }
vaults:b: { value: canary }
vault:c: canary
vault:d: { data: canary }
vault:e: { data: { k: canary }, ttl: 10 }
vault:f: { values: canary }
vault:g: { value: canary, base64: Y2FuYXJ5 }
vault:h: { base64: canary! }
vault:i: { value: canary, renewable: true }
aws-sm:j: { value: canary, ttl: 5s }
vault:k: {}
vault:l: { data: { k: canary, k: canary } }
vault:m: { data: { p: {{random}} } }
vault:n: { value: canary }
vault:n: { value: canary }
vault:o: { value: canary, ttl: 5s, renewable: canary }
";
        let mistakes = mistakes(text);
        let expected = [
            "1: vault:a: leave the \"#\" and the key out; the entry is for the whole secret",
            "2: \"vaults:b\" unknown scheme \"vaults\"; expected vault:, aws-sm:, arn:aws… or file:",
            "3: vault:c: expected { data: … }, { value: … } or { base64: … }",
            "4: vault:d: data must be a map of keys and values",
            "5: vault:e: ttl must be a duration, such as 10s, 5m or 1h30m",
            "6: vault:f: unknown key \"values\"; expected data, value, base64, ttl or renewable",
            "7: vault:g: only one of data, value and base64",
            "8: vault:h: base64 is not valid base64 (RFC 4648, with padding)",
            "9: vault:i: renewable needs a ttl: without one there is no lease",
            "10: aws-sm:j: only a vault: reference has a lease, so ttl cannot stand here",
            "11: vault:k: expected one of data, value and base64",
            "12: duplicate key `k` (first in line 12)",
            "13: a key must be a single word or text, not a list or a map; a template needs quotes around it, or stands below `|`",
            "15: duplicate key `vault:n` (first in line 14)",
            "16: vault:o: renewable must be true or false",
        ];
        assert_eq!(mistakes, expected.map(|text| format!("local.yaml:{text}")));
    }

    #[test]
    fn broken_yaml_is_said_with_its_line() {
        let broken = mistakes("vault:a: { value: x }\nvault:b: { value: [canary }\n");
        assert_eq!(broken.len(), 1);
        assert!(broken[0].starts_with("local.yaml:2: broken YAML at column"), "{broken:?}");
        assert_eq!(mistakes("- a\n").len(), 1);
        assert_eq!(mistakes("vault:a: { value: {{random}} }\n").len(), 1);
        let twice = "vault:a?x=1&y=2: { value: x }\nvault:a?y=2&x=1: { value: x }\n";
        assert_eq!(mistakes(twice), ["local.yaml:2: duplicate entry vault:a?x=…&y=… (first in local.yaml:1)"]);
        assert_eq!(mistakes("vault:a: { value: !!binary AAAA }\n").len(), 1);
        assert_eq!(mistakes("vault:a: { value: x }\n---\nvault:b: { value: x }\n").len(), 1);
    }
}
