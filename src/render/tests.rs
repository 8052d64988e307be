use std::collections::BTreeMap;

use super::*;
use crate::domain::{Exit, Fetched};

/// What a backend had: a map (as JSON), or one value.
pub(super) enum Backend<'a> {
    Map(&'a str),
    Whole(&'a [u8]),
}

pub(super) fn reference(text: &str) -> SecretRef {
    SecretRef::parse(text, &BTreeMap::new()).unwrap()
}

pub(super) fn fetches(known: &[(&str, Backend<'_>)]) -> Fetches {
    let fetched = |backend: &Backend<'_>| Fetched {
        payload: match backend {
            Backend::Map(json) => Payload::Map(SecretMap::from_json(json.as_bytes()).unwrap()),
            Backend::Whole(bytes) => Payload::Whole(SecretBytes::copy_of(bytes)),
        },
        version: None,
        lease: None,
        ends: None,
        metadata: None,
    };
    known.iter().map(|(text, backend)| (reference(text).source, fetched(backend))).collect()
}

fn known() -> Fetches {
    fetches(&[
        (
            "vault:db",
            Backend::Map(r#"{"user":"app","port":5432,"f":1.50,"e":1e3,"t":true,"o":{"a":[1,"\u003c"]},"n":null}"#),
        ),
        ("vault:plain", Backend::Map(r#"{"B":"x y","A":"1"}"#)),
        ("vault:b64", Backend::Map(r#"{"text":"aGk=\n","json":"eyJhIjoxfQ","bytes":"//4="}"#)),
        ("aws-sm:json", Backend::Whole(br#" {"k":"v","n":1e2}"#)),
        ("aws-sm:text", Backend::Whole(b"p\"w\n")),
        ("aws-sm:bytes", Backend::Whole(b"\xff\x00")),
    ])
}

fn rendered(text: &str, format: Option<Format>) -> Result<String, RenderError> {
    let bytes = secret(&reference(text), format, None, &known())?;
    Ok(bytes.expose_text().unwrap().to_owned())
}

fn refused(text: &str, format: Option<Format>) -> String {
    let error = rendered(text, format).unwrap_err();
    assert_eq!(error.exit(), Exit::Data);
    error.to_string()
}

#[test]
fn raw_is_the_exact_value_with_nothing_added() {
    for (text, expected) in [
        ("vault:db#user", "app"),
        ("vault:db#port", "5432"),
        ("vault:db#f", "1.50"),
        ("vault:db#e", "1e3"),
        ("vault:db#t", "true"),
        ("aws-sm:text", "p\"w\n"),
        ("aws-sm:json", " {\"k\":\"v\",\"n\":1e2}"),
        ("aws-sm:json#k", "v"),
    ] {
        assert_eq!(rendered(text, None).unwrap(), expected, "{text}");
        assert_eq!(rendered(text, Some(Format::Raw)).unwrap(), expected, "{text}");
    }
    let bytes = secret(&reference("aws-sm:bytes"), None, None, &known()).unwrap();
    assert_eq!(bytes.expose(), b"\xff\x00");
}

#[test]
fn raw_of_a_map_lists_its_keys() {
    assert_eq!(
        refused("vault:plain", Some(Format::Raw)),
        r#"cannot render vault:plain: it is a map with the keys "B", "A"; add #KEY, or format: json"#
    );
}

#[test]
fn json_keeps_order_and_numbers_and_escapes_only_what_it_must() {
    let map = r#"{"user":"app","port":5432,"f":1.50,"e":1e3,"t":true,"o":{"a":[1,"<"]},"n":null}"#;
    for (text, expected) in [
        ("vault:db", map),
        ("vault:db#o", r#"{"a":[1,"<"]}"#),
        ("vault:db#e", "1e3"),
        ("vault:db#user", "\"app\""),
        ("aws-sm:json", r#"{"k":"v","n":1e2}"#),
        ("aws-sm:text", r#""p\"w\n""#),
    ] {
        assert_eq!(rendered(text, Some(Format::Json)).unwrap(), expected, "{text}");
    }
    assert_eq!(rendered("vault:db", None).unwrap(), map);
}

#[test]
fn the_other_formats_write_lines() {
    for (text, format, expected) in [
        ("vault:plain", Format::Yaml, "\"B\": \"x y\"\n\"A\": \"1\"\n"),
        ("vault:db#o", Format::Yaml, "\"a\": [1, \"<\"]\n"),
        ("aws-sm:json", Format::Yaml, "\"k\": \"v\"\n\"n\": 1.0e+2\n"),
        ("vault:plain", Format::Dotenv, "B='x y'\nA='1'\n"),
        ("aws-sm:json", Format::Dotenv, "k='v'\nn='1e2'\n"),
        ("vault:plain", Format::Properties, "B=x y\nA=1\n"),
        ("vault:db#o", Format::Properties, "a=[1,\"<\"]\n"),
    ] {
        assert_eq!(rendered(text, Some(format)).unwrap(), expected, "{text} {format:?}");
    }
}

#[test]
fn lines_need_a_map() {
    for (text, format, expected) in [
        (
            "vault:db#user",
            Format::Yaml,
            "yaml takes a map, and this is one text; leave the #KEY out, or use format: raw",
        ),
        ("vault:db#port", Format::Dotenv, "dotenv takes a map, and this is JSON, but not an object; use format: raw"),
        (
            "aws-sm:text",
            Format::Properties,
            "properties takes a map, and this is not valid JSON at line 1, column 1; use format: raw",
        ),
        ("aws-sm:bytes", Format::Json, "the value is not UTF-8 text; use format: raw"),
    ] {
        assert_eq!(refused(text, Some(format)), format!("cannot render {text}: {expected}"));
    }
}

#[test]
fn null_is_written_where_the_format_has_it() {
    assert!(rendered("vault:db", Some(Format::Yaml)).unwrap().ends_with("\"n\": null\n"));
    let known = fetches(&[("vault:aws", Backend::Map(r#"{"a":"1","b-c":null,"tok":null,"z":"null"}"#))]);
    for (format, expected) in [(Format::Dotenv, "a='1'\nz='null'\n"), (Format::Properties, "a=1\nz=null\n")] {
        let bytes = secret(&reference("vault:aws"), Some(format), None, &known).unwrap();
        assert_eq!(bytes.expose_text(), Some(expected));
    }
    assert_eq!(refused("vault:db#n", None), r#"cannot render vault:db#n: the value of key "n" is null"#);
}

#[test]
fn base64_is_undone_before_the_format() {
    let decoded = |text, format| secret(&reference(text), format, Some(Decode::Base64), &known());
    assert_eq!(decoded("vault:b64#text", None).unwrap().expose(), b"hi");
    assert_eq!(decoded("vault:b64#bytes", None).unwrap().expose(), b"\xff\xfe");
    assert_eq!(decoded("vault:b64#json", Some(Format::Yaml)).unwrap().expose(), b"\"a\": 1\n");
    for (text, format, expected) in [
        ("vault:b64#bytes", Some(Format::Json), "the value is not UTF-8 text; use format: raw"),
        ("vault:db#t", None, "it is not base64 (RFC 4648, standard or URL-safe)"),
        ("vault:plain", None, "decode takes one value and this is a map with the keys \"B\", \"A\"; add #KEY"),
    ] {
        let text_of = |error: RenderError| error.to_string();
        let expected = format!("cannot render {text}: {expected}");
        // "true" is four characters of the alphabet, so another value has to be the one that is none
        let text = if text == "vault:db#t" { "vault:db#f" } else { text };
        assert_eq!(decoded(text, format).map_err(text_of).unwrap_err(), expected.replace("vault:db#t", text));
    }
}

#[test]
fn what_was_never_fetched_is_a_bug() {
    let error = secret(&reference("vault:other"), None, None, &known()).unwrap_err();
    assert_eq!(
        (error.exit(), error.to_string().as_str()),
        (Exit::Bug, "cannot render vault:other: it was not fetched")
    );
}

#[test]
fn a_dotenv_key_is_a_name_that_may_be_set() {
    for (json, expected) in [
        (r#"{"a-b":"x"}"#, "key \"a-b\" cannot be a variable: expected letters, digits and _"),
        (r#"{"1a":"x"}"#, "key \"1a\" cannot be"),
        (r#"{"":"x"}"#, "key \"\" cannot be"),
        (r#"{"a\nb":"x"}"#, "key \"a\\nb\" cannot be"),
        (r#"{"LD_PRELOAD":"x"}"#, "a backend may not set the variable \"LD_PRELOAD\"; use format: json, or a template"),
        (
            r#"{"A":"b","LD_PRELOAD":"x","N":null,"PATH":"y","ENV":null}"#,
            "a backend may not set the variables \"LD_PRELOAD\", \"PATH\"; use",
        ),
        (r#"{"UID":"x"}"#, "key \"UID\" is a variable that shells set themselves"),
        (r#"{"_":"x"}"#, "key \"_\" is a variable that shells set themselves"),
    ] {
        let known = fetches(&[("vault:x", Backend::Map(json))]);
        let error = secret(&reference("vault:x"), Some(Format::Dotenv), None, &known).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot render vault:x: {expected}")), "{error}");
    }
}

#[test]
fn a_dotenv_value_without_a_common_spelling_is_refused_by_its_key() {
    for (value, why) in [
        (r"a\u0000b", Unquotable::Nul),
        (r"a\rb", Unquotable::CarriageReturn),
        ("a${b}c", Unquotable::Expansion),
        (r"a\\", Unquotable::LastBackslash),
        ("it's $5", Unquotable::Mixed(InnerQuote::SingleQuote, Expanding::Dollar)),
        (r"a\\\\b`", Unquotable::Mixed(InnerQuote::TwoBackslashes, Expanding::Backquote)),
    ] {
        let known = fetches(&[("vault:x", Backend::Map(&format!(r#"{{"k":"{value}"}}"#)))]);
        let error = secret(&reference("vault:x"), Some(Format::Dotenv), None, &known).unwrap_err();
        let why = ValueError::Dotenv { key: Some("k".into()), why };
        assert_eq!(error, RenderError::Reference { reference: "vault:x".into(), why }, "{value}");
    }
}

#[test]
fn every_key_becomes_a_variable() {
    let known = fetches(&[
        ("vault:x", Backend::Map(r#"{"A":"1","b.c":{"d":[1]},"PATH":"p"}"#)),
        ("vault:null", Backend::Map(r#"{"A":null,"PATH":null,"B":"null"}"#)),
        ("vault:equals", Backend::Map(r#"{"A=B":"1"}"#)),
        ("vault:newline", Backend::Map(r#"{"A\nLD_PRELOAD":"1"}"#)),
        ("vault:empty", Backend::Map(r#"{"":"1"}"#)),
        ("vault:blank", Backend::Map(r#"{"A B":"1"}"#)),
        ("vault:bad", Backend::Map(r#"{"A":"1","LD_PRELOAD":"x","PATH":"p","BASH_ENV":"y"}"#)),
        ("vault:said", Backend::Map(r#"{"A":"1","BASH_ENV":"y"}"#)),
    ]);
    let variables = |text, prefix| variables(&reference(text), prefix, |name| name == "BASH_ENV", &known);
    let got: Vec<_> = variables("vault:x", "APP_").unwrap();
    let got: Vec<_> = got.iter().map(|(name, value)| (name.as_str(), value.expose_text().unwrap())).collect();
    assert_eq!(got, [("APP_A", "1"), ("APP_b.c", r#"{"d":[1]}"#), ("APP_PATH", "p")]);
    let got = variables("vault:null", "").unwrap();
    assert_eq!((got.len(), got[0].0.as_str(), got[0].1.expose()), (1, "B", &b"null"[..]));
    let got = variables("vault:said", "").unwrap();
    assert_eq!((got.len(), got[0].0.as_str()), (1, "A"), "what the configuration sets itself is left out");
    let got = variables("vault:x#b.c", "").unwrap();
    assert_eq!((got[0].0.as_str(), got[0].1.expose()), ("d", &b"[1]"[..]));

    for (text, prefix, expected) in [
        (
            "vault:x",
            "",
            "a backend may not set the variable \"PATH\"; name each you want under `env`, and envFrom leaves it out, or give envFrom \
             a prefix",
        ),
        (
            "vault:x",
            "LD_",
            "a backend may not set the variables \"LD_A\", \"LD_b.c\", \"LD_PATH\"; name each you want under `env`, and envFrom leaves \
             it out, or give envFrom another prefix",
        ),
        (
            "vault:bad",
            "",
            "a backend may not set the variables \"LD_PRELOAD\", \"PATH\"; name each you want under `env`, and envFrom leaves it out, \
             or give envFrom a prefix",
        ),
        ("vault:blank", "P_", "variable \"P_A B\": an environment name cannot hold a blank"),
        (
            "vault:x#A",
            "",
            "envFrom takes a map, and this is one text; leave the #KEY out, or pick its keys one by one under `env`",
        ),
        ("vault:equals", "P_", "variable \"P_A=B\": an environment name cannot hold \"=\""),
        (
            "vault:newline",
            "",
            "variable \"A\\nLD_PRELOAD\": cannot hold a control character, a line separator or an invisible mark",
        ),
        ("vault:empty", "", "variable \"\": is empty"),
    ] {
        let error = variables(text, prefix).unwrap_err().to_string();
        assert_eq!(error, format!("cannot render {text}: {expected}"));
    }
}

#[test]
fn a_nesting_without_end_is_refused() {
    let deep = format!(r#"{{"k":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let known = fetches(&[("vault:x", Backend::Map(&deep))]);
    for format in [Format::Json, Format::Yaml] {
        let error = secret(&reference("vault:x"), Some(format), None, &known).unwrap_err().to_string();
        assert!(
            error.contains("the value of key \"k\" cannot be written again") && error.contains("nested deeper than 64"),
            "{error}"
        );
    }
}
