//! Templates in the keys of bank-vaults' references.

use crate::config::Piece;
use crate::domain::{SecretRef, Source};

use super::*;

const VALUE: &str =
    r#"{"user":"alice","password":"a b/c@d","n":42,"f":1.50,"t":true,"nul":null,"e":"","l":["y","x"],"o":{"k":"v"}}"#;

fn fetches() -> Fetches {
    let payload = Payload::Map(SecretMap::from_json(VALUE.as_bytes()).unwrap());
    let metadata = Some(SecretBytes::new(b"{\"version\":1}".to_vec()));
    Fetches::from([(secret().source, Fetched { payload, version: None, lease: None, ends: None, metadata })])
}

fn secret() -> SecretRef {
    SecretRef::parse("vault:kv/data/app", &BTreeMap::new()).unwrap()
}

/// The template whose text stands behind `vault:kv/data/app#`.
fn parsed(key: &str) -> Result<Template, String> {
    let value = format!("vault:kv/data/app#{key}");
    let text = value.len() - key.len()..value.len();
    Template::of_pieces("DB", &value, &[Piece::Template { secret: secret(), text }]).map_err(|error| error.to_string())
}

fn rendered(key: &str) -> Result<String, String> {
    match parsed(key)?.render(&fetches(), 0).map_err(|error| error.to_string())? {
        Rendered::Done(bytes) => Ok(String::from_utf8_lossy(bytes.expose()).into_owned()),
        Rendered::Incomplete(sources) => Err(format!("misses {}", sources.len())),
    }
}

#[test]
fn a_key_is_a_go_template_over_the_keys_with_sprigs_functions() {
    for (key, expected) in [
        ("${.user}:${.password}", "alice:a b/c@d"),
        ("postgres://${.user}:${.password | urlquery}@db:5432/x", "postgres://alice:a+b%2Fc%40d@db:5432/x"),
        ("${ .user | upper | quote }", "\"ALICE\""),
        ("${ printf \"%s}%d\" .user 5 }", "alice}5"),
        ("${.n} ${.f} ${.t}", "42 1.50 true"),
        ("${.o.k} ${.o} ${.l}", "v map[k:v] [y x]"),
        ("${ b64enc .user }${ .user | b64enc | b64dec }", "YWxpY2U=alice"),
        ("${ .o | toJson }", r#"{"k":"v"}"#),
        ("${ if eq .user \"alice\" }a${ else }b${ end }", "a"),
        ("${ range $i, $v := sortAlpha .l }${ if $i }, ${ end }${ $v }${ end }", "x, y"),
        ("${ range $k, $v := .o }${ $k }=${ $v }:${ $.user }${ end }", "k=v:alice"),
        ("${ with .o }${ .k }${ $.n }${ end }", "v42"),
        ("a ${- .user -} b", "aaliceb"),
        ("${/* nothing */}${ `}` }${ \"${\" }{{ .user }}$HOME", "}${{{ .user }}$HOME"),
        // Functions whose names consul-template has too take their arguments in Sprig's order.
        ("${ contains \"lic\" .user }${ trimSuffix \"ce\" .user }${ join \"-\" .l }", "trueali"),
        ("${ replace \"l\" \"L\" .user } ${ splitList \"i\" .user } ${ add 1 2 3 } ${ div 7 2 }", "aLice [al ce] 6 3"),
        ("${ slice .l 1 } ${ slice (list 1 2 3) 0 2 } ${ index .l 0 } ${ len .l }", "[x] [1 2] y 2"),
        ("${ mustToJson .l }${ sha256sum .e | trunc 8 }", r#"["y","x"]e3b0c442"#),
        ("${ .missing | default \"d\" }${ default \"e\" .nul }${ default \"f\" .e }", "def"),
        ("${ if .missing }a${ else if not .nul }b${ end }${ coalesce .missing .e .user }", "balice"),
        ("${ hasKey . \"missing\" }${ get . \"user\" }${ empty .missing }", "falsealicetrue"),
    ] {
        let expected = if key.contains("trimSuffix") { format!("{expected}y-x") } else { expected.to_owned() };
        assert_eq!(rendered(key), Ok(expected), "{key}");
    }
}

#[test]
fn a_missing_key_is_an_error_where_nothing_stands_for_it() {
    for (key, expected) in [
        ("x${.missing}", "line 1, column 22: in DB: map has no entry for key \"missing\""),
        ("${.user}\n:${.password | upper}${.pasword | upper}", "line 2, column 24: in DB: map has no entry"),
        ("${ printf \"%s\" .missing }", "map has no entry"),
        ("${ default \"x\" (printf \"%s\" .missing) }", "map has no entry"),
        ("${ if eq .missing \"x\" }${ end }", "map has no entry"),
        ("${ $x := .missing }", "map has no entry"),
        ("${ .missing.more }", "map has no entry"),
        ("${ .nul }", "it has no value; `default` may give it one"),
        ("${ get . \"missing\" | upper }${ index .o \"z\" }", "no value"),
        ("${ .user.more }", "can't evaluate field more"),
    ] {
        let error = rendered(key).expect_err(key);
        assert!(error.contains(expected) && !error.contains("alice"), "{key}: {error}");
    }
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    for (key, expected) in [
        ("${ .user | genCA }", "template DB:1:30: function \"genCA\" is refused: its result is another one each time"),
        ("${ env \"HOME\" }", "template DB:1:22: function \"env\" is refused: templates see no environment"),
        ("${ expandenv \"$HOME\" }", "function \"expandenv\" is refused"),
        ("${ secret \"kv/b\" }", "function \"secret\" is refused: only the functions of Sprig"),
        ("${ sprig_upper .user }", "function \"sprig_upper\" is refused"),
        ("${ user }", "function \"user\" is refused"),
        ("a\n${ .user", "template DB:2:"),
        ("${ define \"x\" }a${ end }b", "a template in a key defines no other template"),
        ("${ template \"x\" }", "template \"x\" not defined"),
        ("${ end }", "unexpected <end>"),
    ] {
        let error = rendered(key).expect_err(key);
        assert!(error.contains(expected), "{key}: {error}");
    }
}

#[test]
fn a_value_is_put_together_from_pieces_whose_references_are_known() {
    let reference = |text: &str| SecretRef::parse(text, &BTreeMap::new()).unwrap();
    let value = "pg://${vault:kv/data/app#${.user | upper}}:${vault:kv/data/app#password}@db${HOME}";
    let template = value.find("${.user").unwrap();
    let pieces = [
        Piece::Text(0..5),
        Piece::Template { secret: secret(), text: template..template + "${.user | upper}".len() },
        Piece::Text(42..43),
        Piece::Value(reference("vault:kv/data/app#password")),
        Piece::Text(value.find("@db").unwrap()..value.len()),
    ];
    let template = Template::of_pieces("DB", value, &pieces).unwrap();
    let Ok(Rendered::Done(bytes)) = template.render(&fetches(), 0) else { panic!("rendered") };
    assert_eq!(bytes.expose(), b"pg://ALICE:a b/c@d@db${HOME}");
    let known: Vec<String> = template.references().map(ToString::to_string).collect();
    assert_eq!(known, ["vault:kv/data/app", "vault:kv/data/app#password"]);
    let picks: Vec<String> = template.picks().map(|(of, path)| format!("{of} {path:?}")).collect();
    assert_eq!(picks, [r#"vault:kv/data/app [Key("password")]"#, r#"vault:kv/data/app [Key("user")]"#]);
    let Ok(Rendered::Incomplete(sources)) = template.render(&Fetches::new(), 0) else { panic!("not fetched") };
    assert_eq!(sources, [secret().source] as [Source; 1]);
    assert!(template.computed().is_empty());
}
