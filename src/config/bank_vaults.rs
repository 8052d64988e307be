//! References in the syntax of bank-vaults' `vault-env`: `vault:PATH#KEY#VERSION`, `>>vault:PATH#KEY#{json}`,
//! `${vault:PATH#KEY}` inside other text, the same with `bao:`, and a template in KEY. They are converted to our
//! references and templates.
//!
//! Values are never quoted in messages: one that is no reference may be a secret.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use serde_json::Value;

use crate::domain::SecretRef;

use super::behind::option_behind;
use super::language::{Language, Piece};
use super::loose::{is_around, without_quotes};
use super::model::{Content, Template};

/// The schemes of references; `bao:` has the same syntax as `vault:`.
const SCHEMES: [&str; 4] = [">>vault:", ">>bao:", "vault:", "bao:"];
/// Schemes of the successor's other backends, which are not supported.
const OTHERS: [&str; 2] = ["gcp:secretmanager:", "azure:keyvault:"];
/// The most references in one value.
const MAX_REFERENCES: usize = 100;

/// Whether a value has one of these forms, except those that are also our own syntax. Returns how to write it in our
/// syntax; `None` if it has none of these forms.
pub(super) fn form(value: &str) -> Option<&'static str> {
    let bare = value.trim_start_matches(is_around);
    if OTHERS.iter().any(|start| bare.starts_with(start)) {
        return Some("a file or variable from vault: or aws-sm:; no other backend is supported");
    }
    if next_inline(value).is_some() {
        return Some("a template under `env`: \"…{{ secret('vault:PATH#KEY') }}…\", or --inherit bank-vaults");
    }
    if bare.starts_with(">>vault:") || bare.starts_with(">>bao:") {
        return Some("vault:PATH?PARAMETER=VALUE#KEY under `env`, or --inherit bank-vaults");
    }
    let (scheme, rest) = bare.split_once(':').filter(|(scheme, _)| matches!(*scheme, "vault" | "bao"))?;
    if rest.trim_end_matches(is_around) == "login" {
        return Some("vault:auth/token/lookup-self#id, or --inherit bank-vaults");
    }
    if is_ciphertext(rest) || rest.starts_with('/') {
        return None;
    }
    match rest.split_once('#') {
        None => None,
        Some((_, key)) if key.contains("${") => {
            Some("a template under `env`: \"{{ secret('vault:PATH').KEY }}\", or --inherit bank-vaults")
        }
        Some((_, key)) if version(key).is_some() => Some("vault:PATH?version=N#KEY, or --inherit bank-vaults"),
        Some(_) if scheme == "bao" => Some("vault:PATH#KEY, or --inherit bank-vaults"),
        Some(_) => None,
    }
}

/// The correct spelling of a value that is nearly in one of these forms: in other letter case, with spaces after `${`
/// or `>>`, or with one `>`. If the forms are enabled (`is_read`), also of a path without a key.
pub(super) fn misspelled(bare: &str, is_read: bool) -> Option<&'static str> {
    // `${VAULT:-default}` is shell syntax.
    let is_default =
        |inner: &str| inner.split_once(':').is_some_and(|(_, rest)| rest.starts_with(['-', '+', '=', '?']));
    let nearly = bare.match_indices("${").map(|(at, _)| &bare[at + 2..]);
    let nearly = nearly.filter(|inner| is_nearly(inner) && !is_default(inner));
    // Bounded, because each is searched for its closing brace.
    let is_inline =
        nearly.take(MAX_REFERENCES).any(|inner| closing(inner).is_some_and(|end| inner[..end].contains('#')));
    if is_inline {
        return Some("${vault:PATH#KEY}");
    }
    let behind = bare.trim_start_matches(|c: char| c == '>' || c.is_whitespace());
    // Text with spaces is a sentence.
    if bare.starts_with('>') && is_nearly(bare) && behind.contains('#') && !behind.contains(char::is_whitespace) {
        return Some(">>vault:PATH#KEY#{\"PARAMETER\":\"VALUE\"}");
    }
    let path = bare.strip_prefix("vault:").or_else(|| bare.strip_prefix("bao:")).filter(|_| is_read)?;
    let is_path = path.contains('/') && !path.starts_with('/') && !is_ciphertext(path);
    (is_path && !path.contains(['#', ' '])).then_some("vault:PATH#KEY")
}

/// Whether a text begins with a scheme, except for letter case, spaces or a missing `>`.
fn is_nearly(text: &str) -> bool {
    const MOST_AROUND: usize = 16;
    let around = |c: char| c == '>' || c.is_whitespace();
    let bare = text.trim_start_matches(around);
    if text.len() - bare.len() > MOST_AROUND {
        return false;
    }
    let starts = |scheme: &str| bare.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    (starts("vault:") || starts("bao:")) && !SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// Whether a variable gets the token of the login in bank-vaults' syntax, which allows it under these names.
pub fn is_token(name: &str, value: &str) -> bool {
    matches!(name, "VAULT_TOKEN" | "BAO_TOKEN") && matches!(value, "vault:login" | "bao:login")
}

/// Whether the path is transit ciphertext: `vault:v1:…`, with a higher number after a rotation.
pub(super) fn is_ciphertext(path: &str) -> bool {
    let number = path.strip_prefix('v').and_then(|rest| rest.split_once(':')).map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Converts a value; `None` when it has none of these forms.
pub(super) fn content(value: &str) -> Option<Result<Content, String>> {
    if let Some(scheme) = SCHEMES.iter().find(|scheme| value.starts_with(**scheme)) {
        let rest = &value[scheme.len()..];
        if is_ciphertext(rest) || !(rest == "login" || rest.contains('#')) {
            return None;
        }
        return Some(whole(scheme, rest));
    }
    next_inline(value).is_some().then(|| inline(value))
}

/// Converts a value that is a single reference.
fn whole(scheme: &str, rest: &str) -> Result<Content, String> {
    match parse(scheme, rest)? {
        Parsed::Reference(text) => {
            if let Some(option) = option_behind(&text) {
                let entry = format!("NAME: {{ from: REF, {} }}", option.field());
                return Err(format!("{option} stands behind it, which belongs under `env` in the config, as {entry}"));
            }
            Ok(Content::Secret { reference: reference(&text)?, format: None, decode: None })
        }
        Parsed::Template { source, text } => {
            let start = scheme.len() + text.start;
            let piece = Piece::Template { secret: reference(&source)?, text: start..start + text.len() };
            Ok(template(&format!("{scheme}{rest}"), vec![piece]))
        }
    }
}

/// Converts a text that contains references to a template.
fn inline(value: &str) -> Result<Content, String> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut count = 0;
    while let Some((start, scheme)) = next_inline(&value[at..]) {
        pieces.push(Piece::Text(at..at + start));
        at += start + 2 + scheme.len();
        let end = closing(&value[at..]).ok_or("it has a \"${\" without its \"}\"")?;
        pieces.push(match parse(scheme, &value[at..at + end])? {
            Parsed::Reference(text) => {
                if let Some(option) = option_behind(&text) {
                    return Err(option.in_template());
                }
                Piece::Value(reference(&text)?)
            }
            Parsed::Template { source, text } => {
                Piece::Template { secret: reference(&source)?, text: at + text.start..at + text.end }
            }
        });
        at += end + 1;
        count += 1;
        if count > MAX_REFERENCES {
            return Err(format!("it has more than {MAX_REFERENCES} references"));
        }
    }
    pieces.push(Piece::Text(at..value.len()));
    Ok(template(value, pieces))
}

/// The content of a value with these pieces.
fn template(value: &str, mut pieces: Vec<Piece>) -> Content {
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    Content::Template(Template::Text(value.to_owned()), Language::BankVaults(pieces))
}

/// Parses a reference in our syntax.
fn reference(text: &str) -> Result<SecretRef, String> {
    SecretRef::parse(text, &BTreeMap::new()).map_err(|error| without_quotes(&error))
}

/// Finds the next `${vault:` and returns its position and scheme.
fn next_inline(text: &str) -> Option<(usize, &'static str)> {
    text.match_indices("${").find_map(|(at, _)| {
        let scheme = SCHEMES.iter().find(|scheme| text[at + 2..].starts_with(**scheme))?;
        Some((at, *scheme))
    })
}

/// The position of the `}` that closes the brace before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

enum Parsed {
    /// A reference in our syntax.
    Reference(String),
    /// The Go template at `text` of what was parsed, over the keys of `source`, a reference without a key.
    Template { source: String, text: Range<usize> },
}

/// Parses `PATH#KEY`, `PATH#KEY#VERSION`, `PATH#KEY#{json}` or `login` after a scheme.
fn parse(scheme: &str, rest: &str) -> Result<Parsed, String> {
    let is_write = scheme.starts_with(">>");
    if rest == "login" && !is_write {
        return Ok(Parsed::Reference("vault:auth/token/lookup-self#id".to_owned()));
    }
    let (path, rest) = rest.split_once('#').ok_or("it has no \"#\" and key")?;
    if path.is_empty() || path.contains(char::is_whitespace) || rest.ends_with(char::is_whitespace) {
        return Err("it has no path, or white space in its path or at its end; write vault:PATH#KEY".to_owned());
    }
    if path.contains("?version=") {
        return Err(
            "it has a version in its path, which bank-vaults writes behind its key; write vault:PATH#KEY#VERSION"
                .to_owned(),
        );
    }
    let mut source = format!("vault:{}", path.replace('%', "%25").replace('?', "%3F"));
    let key = if is_write {
        let (key, data) = match rest.find("#{") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, "{}"),
        };
        source.push('?');
        source.push_str(&parameters(data)?);
        key
    } else {
        match version(rest) {
            Some((key, number)) => {
                let _ = write!(source, "?version={number}");
                key
            }
            None if rest.contains('#') && !rest.contains("${") => {
                return Err("what stands behind its second \"#\" is a version, which is a number".to_owned());
            }
            None => rest,
        }
    };
    if key.contains("?version=") {
        return Err("\"?version=\" stands in its key; write vault:PATH#KEY#VERSION".to_owned());
    }
    match key {
        "" => Err("it has no key".to_owned()),
        key if key.contains("${") => {
            let start = path.len() + 1;
            Ok(Parsed::Template { source, text: start..start + key.len() })
        }
        key => Ok(Parsed::Reference(format!("{source}#{key}"))),
    }
}

/// Splits `KEY#VERSION`.
fn version(rest: &str) -> Option<(&str, &str)> {
    let (key, number) = rest.rsplit_once('#')?;
    (!key.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some((key, number))
}

/// Converts the JSON data of a write to parameters of a reference.
fn parameters(json: &str) -> Result<String, String> {
    let expected = || "its data is no JSON map of texts, numbers and booleans; write it as vault:PATH?NAME=VALUE#KEY";
    let data: BTreeMap<String, Value> = serde_json::from_str(json).map_err(|_| expected())?;
    let mut pairs = Vec::new();
    for (name, value) in &data {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(expected().to_owned()),
        };
        pairs.push(format!("{}={}", encoded(name), encoded(&text)));
    }
    Ok(pairs.join("&"))
}

/// Percent-encodes a parameter.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference, or the pieces with `|` between them: texts, `<REF>`, and `<REF TEMPLATE>`.
    fn inline(value: &str) -> Option<Result<String, String>> {
        content(value).map(|made| {
            made.map(|content| match content {
                Content::Secret { reference, .. } => reference.to_string(),
                Content::Template(Template::Text(text), Language::BankVaults(pieces)) => {
                    let piece = |piece: Piece| match piece {
                        Piece::Text(at) => text[at].to_owned(),
                        Piece::Value(reference) => format!("<{reference}>"),
                        Piece::Template { secret, text: at } => format!("<{secret} {}>", &text[at]),
                    };
                    pieces.into_iter().map(piece).collect::<Vec<_>>().join("|")
                }
                Content::Template(..) => unreachable!("no file is named, nor is it another language"),
            })
        })
    }

    /// Where every brace is looked for to the end of the text, this takes minutes.
    #[test]
    fn braces_without_an_end_cost_no_more_than_their_length() {
        for piece in ["${ vault:a", "${vault:", "${VAULT:a#", "${{", "${ ", "${\u{3000}"] {
            let value = piece.repeat(100_000);
            assert_eq!(misspelled(&value, true), None, "{piece}");
            let _of_any_form = (form(&value), content(&value).is_some());
        }
    }

    #[test]
    fn each_form_becomes_a_reference_or_a_template() {
        for (value, expected) in [
            ("vault:secret/data/db#password", "vault:secret/data/db#password"),
            ("bao:secret/data/db#password", "vault:secret/data/db#password"),
            ("vault:secret/data/db#password#3", "vault:secret/data/db?version=3#password"),
            ("vault:login", "vault:auth/token/lookup-self#id"),
            ("${vault:a/b#c}", "<vault:a/b#c>"),
            (
                "pg://${vault:a/b#u}:${bao:a/b#p#2}@db/{{x}}${HOME}",
                "pg://|<vault:a/b#u>|:|<vault:a/b?version=2#p>|@db/{{x}}${HOME}",
            ),
            ("vault:a/b#${.user}:${.password}", "<vault:a/b ${.user}:${.password}>"),
            ("bao:a/b#x${.p | urlquery}#2", "<vault:a/b?version=2 x${.p | urlquery}>"),
            (r#">>vault:a/b#${.p | upper}#{"c":"d"}"#, "<vault:a/b?c=… ${.p | upper}>"),
            ("${vault:a/b#${.user}}!", "<vault:a/b ${.user}>|!"),
            ("é${>>bao:a#${.u | b64enc}}${vault:b#c}", "é|<vault:a? ${.u | b64enc}>|<vault:b#c>"),
        ] {
            assert_eq!(inline(value), Some(Ok(expected.to_owned())), "{value}");
        }
    }

    #[test]
    fn data_of_a_write_becomes_parameters() {
        let value = r#">>vault:pki/issue/web#certificate#{"common_name":"web a","ttl":60,"x":true}"#;
        let Some(Ok(Content::Secret { reference, .. })) = content(value) else { panic!("a reference") };
        let written = "vault:pki/issue/web?common_name=web%20a&ttl=60&x=true#certificate";
        assert_eq!(reference, SecretRef::parse(written, &BTreeMap::new()).unwrap());
    }

    #[test]
    fn what_is_none_of_them_is_left_alone() {
        for value in
            ["", "x", "vault:v1:abc#d", "vault:8200", "${HOME}/vault:", "use vault:a#b", "$vault:a#b", "${ vault:a#b}"]
        {
            assert_eq!(inline(value), None, "{value}");
            assert_eq!(form(value), None, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_translated_is_said_without_the_value() {
        for value in [
            "vault:#canary",
            "vault:a#",
            "vault:a/b#canary#x",
            "vault:a/b#canary#",
            "vault:canary b#c",
            ">>vault:canary#b#{\"x\":[1]}",
            ">>vault:canary#b#{x}",
            "${vault:canary#b",
            "${vault:canary}",
        ] {
            let error = inline(value).expect(value).expect_err(value);
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
