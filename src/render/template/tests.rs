use std::collections::BTreeMap;

use super::super::tests::{Backend, fetches, reference};
use super::*;

const CANARY: &str = "canary7f3a";

mod work;

fn named() -> BTreeMap<String, SecretRef> {
    BTreeMap::from([
        ("db".to_owned(), reference("vault:database/creds/web")),
        ("stripe".to_owned(), reference("aws-sm:prod/stripe")),
        ("pw".to_owned(), reference("vault:database/creds/web#password")),
        ("bin".to_owned(), reference("aws-sm:bin")),
    ])
}

fn known() -> Fetches {
    fetches(&[
        (
            "vault:database/creds/web",
            Backend::Map(
                r#"{"username":"u","password":"canary7f3a","p":"a b/c&é'\"","n":5432,"f":1.50,"e":1e3,"zero":0.00,
                    "t":true,"no":null,"o":{"in":{"x":"y"},"l":[1,"a",null]},"b":"//4=","secret":"s","items":"i"}"#,
            ),
        ),
        ("aws-sm:prod/stripe", Backend::Whole(br#"{"key": "sk"}"#)),
        ("aws-sm:text", Backend::Whole(b"whole")),
        ("aws-sm:bin", Backend::Whole(b"\xff\xfe")),
    ])
}

fn rendered(text: &str) -> Result<String, String> {
    let template = Template::compile(text, &named()).map_err(|error| error.to_string())?;
    let bytes = template.render(&known()).map_err(|error| {
        assert_eq!(error.exit(), Exit::Data);
        error.to_string()
    })?;
    Ok(bytes.expose_text().unwrap().to_owned())
}

fn refused(text: &str) -> String {
    let error = rendered(text).expect_err(text);
    assert!(!error.contains(CANARY), "{error}");
    error
}

#[test]
fn values_are_written_as_they_are() {
    for (text, expected) in [
        ("{{ secret('db').username }}:{{ secret('db')['n'] }}\n", "u:5432\n"),
        ("{{ secret('pw') }}\n\n", "canary7f3a\n\n"),
        ("{{ secret('db#f') }} {{ secret('db').e }} {{ secret('db').t }}", "1.50 1e3 true"),
        ("{{ secret('db').o.in.x }}{{ secret('db').o.l[1] }}", "ya"),
        ("{{ secret('stripe') }} {{ secret('stripe').key }} {{ secret('aws-sm:text') }}", "{\"key\": \"sk\"} sk whole"),
        ("{{ secret('db').p }}", "a b/c&é'\""),
        ("{{ secret('db').secret }}{{ secret('db').items }}", "si"),
        ("{% set db = secret('db') %}{% for k in ['n', 'f'] %}{{ db[k] }} {% endfor %}", "5432 1.50 "),
        ("{% for k, v in secret('db').o.in | items %}{{ k }}={{ v }}{% endfor %}", "x=y"),
        ("{% if secret('db').zero or not secret('db').f %}no{% else %}yes{% endif %}", "yes"),
        ("{{ secret('db').n + 1 }} {{ 'a' ~ secret('db').f }} {{ secret('db').username | upper }}", "5433 a1.50 U"),
        ("{{ 'in' 'out' }}{# secret #}{% raw %}{{ secret }}{% endraw %}", "inout{{ secret }}"),
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn nothing_is_fetched_that_is_not_written_down() {
    let text = "{{ secret('db').a }}{% if false %}{{ secret('vault:x#k') }}{% endif %}{{ secret(\"db\") | json }}";
    let template = Template::compile(text, &named()).unwrap();
    let references: Vec<_> = template.references().map(ToString::to_string).collect();
    assert_eq!(references, ["vault:database/creds/web", "vault:x#k"]);
}

#[test]
fn filters_quote_one_value() {
    for (text, expected) in [
        ("{{ secret('db').p | urlencode }}", "a%20b%2Fc%26%C3%A9%27%22"),
        ("{{ 'AZaz09-._~' | urlencode }}{{ secret('bin') | urlencode }}", "AZaz09-._~%FF%FE"),
        ("{{ secret('bin') | b64encode }} {{ secret('db').n | b64encode }}", "//4= NTQzMg=="),
        ("{{ 'aGk' | b64decode }}{{ secret('db').b | b64decode | b64encode }}", "hi//4="),
        ("{{ [secret('db').n, secret('db').f, true] | join(',') }}", "5432,1.50,true"),
        ("{{ secret('db').p | json }} {{ secret('db').f | json }}", r#""a b/c&é'\"" 1.50"#),
        ("{{ secret('db').o | json }}", r#"{"in":{"x":"y"},"l":[1,"a",null]}"#),
        ("{{ '<a>' | e }}{{ '<b>' | safe | e }}", "&lt;a&gt;<b>"),
        ("{{ {'a': [secret('db').e, none, 'x']} | json }}", r#"{"a":[1e3,null,"x"]}"#),
        ("{{ secret('stripe') | json }}", r#"{"key":"sk"}"#),
        ("{{ secret('db').p | yaml }} {{ secret('db').e | yaml }}", r#""a b/c&é'\"" 1.0e+3"#),
        ("{{ secret('db').o | yaml }}", r#"{"in": {"x": "y"}, "l": [1, "a", null]}"#),
        ("P={{ secret('db').p | dotenv }}", r#"P="a b/c&é'\"""#),
        ("P={{ secret('db').o | dotenv }}", r#"P='{"in":{"x":"y"},"l":[1,"a",null]}'"#),
        ("p={{ ' é=' | properties }}", r"p=\ \u00E9="),
        ("{{ secret('db').nope | default('d') }}{{ secret('db#nope') | default('e') }}", "de"),
        ("{{ secret('db').no | default('d') }}{{ secret('db').nope is defined }}", "dfalse"),
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn the_name_secret_is_only_ever_called_with_a_literal() {
    let argument =
        "secret() takes exactly one string literal, so that every reference is known before anything is fetched";
    let called = "`secret` is only ever called: secret('REFERENCE')";
    let shadowed = "`secret` is a function's name and cannot be set";
    for (text, place, why) in [
        ("{{ secret(x) }}", "line 1, column 4", argument),
        ("a\né {{ secret('d' ~ 'b') }}", "line 2, column 6", argument),
        ("{{ secret() }}", "line 1, column 4", argument),
        ("{{ secret('db', 'x') }}", "line 1, column 4", argument),
        ("{{ secret(name='db') }}", "line 1, column 4", argument),
        ("{{ secret(*['db']) }}", "line 1, column 4", argument),
        ("{{ secret(1) }}", "line 1, column 4", argument),
        ("{{ 'db' | upper | lower ~ secret }}", "line 1, column 27", called),
        ("{% set s = secret %}", "line 1, column 12", called),
        ("{{ [secret] }}", "line 1, column 5", called),
        ("{{ (1, secret) }}", "line 1, column 8", called),
        ("{{ {'a': secret} }}", "line 1, column 10", called),
        ("{{ {secret: 1} }}", "line 1, column 5", called),
        ("{{ secret.x }}", "line 1, column 4", called),
        ("{{ secret['x'] }}", "line 1, column 4", called),
        ("{{ 'x'[secret] }}", "line 1, column 8", called),
        ("{{ 'x'[1:secret] }}", "line 1, column 10", called),
        ("{{ 'x' | default(secret) }}", "line 1, column 18", called),
        ("{{ secret | json }}", "line 1, column 4", called),
        ("{{ 1 is eq(secret) }}", "line 1, column 12", called),
        ("{{ secret is defined }}", "line 1, column 4", called),
        ("{{ not secret }}", "line 1, column 8", called),
        ("{{ 1 < 2 < secret }}", "line 1, column 12", called),
        ("{{ 1 if secret else 2 }}", "line 1, column 9", called),
        ("{{ dict(a=secret) }}", "line 1, column 11", called),
        ("{{ dict(**secret) }}", "line 1, column 11", called),
        ("{{ range(secret)(1) }}", "line 1, column 10", called),
        ("{% for x in secret %}{% endfor %}", "line 1, column 13", called),
        ("{% for x in [] if secret %}{% endfor %}", "line 1, column 19", called),
        ("{% for x in [] %}{% else %}{{ secret }}{% endfor %}", "line 1, column 31", called),
        ("{% if secret %}{% endif %}", "line 1, column 7", called),
        ("{% if 1 %}{% elif secret %}{% endif %}", "line 1, column 19", called),
        ("{% with a = secret %}{% endwith %}", "line 1, column 13", called),
        ("{% autoescape secret %}{% endautoescape %}", "line 1, column 15", called),
        ("{% filter default(secret) %}{% endfilter %}", "line 1, column 19", called),
        ("{% set x | default(secret) %}{% endset %}", "line 1, column 20", called),
        ("{% do range(secret) %}", "line 1, column 13", called),
        ("{% do secret(1) %}", "line 1, column 7", argument),
        ("{% set secret = 1 %}", "line 1, column 8", shadowed),
        ("{% set (a, secret) = [1, 2] %}", "line 1, column 12", shadowed),
        ("{% set secret %}x{% endset %}", "line 1, column 8", shadowed),
        ("{% for secret in [1] %}{% endfor %}", "line 1, column 8", shadowed),
        ("{% for a, secret in [] %}{% endfor %}", "line 1, column 11", shadowed),
        ("{% with secret = 1 %}{% endwith %}", "line 1, column 9", shadowed),
        ("{% set secret.x = 1 %}", "line 1, column 8", called),
    ] {
        assert_eq!(refused(text), format!("template {place}: {why}"), "{text}");
    }
}

#[test]
fn what_cannot_work_is_said_before_anything_is_fetched() {
    for (text, expected) in [
        (
            "{{ secret('dbx') }}",
            "line 1, column 4: secret() names a reference: no entry \"dbx\" under `secrets`; it has bin, db, pw, stripe",
        ),
        ("\n {{ scret('db') }}", "line 2, column 5: unknown name \"scret\""),
        ("{{ env.HOME }}", "line 1, column 4: unknown name \"env\""),
        ("{{ debug() }}", "line 1, column 4: unknown name \"debug\""),
        ("{{ self }}", "line 1, column 4: unknown name \"self\""),
        ("{{ 'a' | sha256 }}", "line 1, column 10: unknown filter \"sha256\""),
        ("{{ 'a' | pprint }}", "line 1, column 10: unknown filter \"pprint\""),
        ("{{ 'a' | tojson }}", "line 1, column 10: unknown filter \"tojson\"; did you mean json?"),
        ("{{ 'a' | base64 }}", "line 1, column 10: unknown filter \"base64\"; did you mean b64encode?"),
        (
            "{{ secret('db').username | toUpper }}",
            "line 1, column 28: unknown filter \"toUpper\", which is consul-template's; did you mean upper?",
        ),
        ("{{ 'a' is round }}", "line 1, column 11: unknown test \"round\""),
        ("{{ 'a' is startswith('a') }}", "line 1, column 11: unknown test \"startswith\"; did you mean startingwith?"),
        ("{{ db.username }}", "line 1, column 4: unknown name \"db\"; the entry of `secrets` is secret('db')"),
        ("{{ dbx.username }}", "line 1, column 4: unknown name \"dbx\"; a template knows secret('…')"),
        (
            "{% for k, v in secret('db').items() %}{% endfor %}",
            "line 1, column 16: values have no methods such as .items() here; write for k, v in X | items",
        ),
        (
            "{{ secret('db').get('username') }}",
            "line 1, column 4: values have no methods such as .get() here; write X.KEY",
        ),
        (
            "{{ (secret('db').username ~ 'x').upper() }}",
            "line 1, column 5: values have no methods such as .upper() here",
        ),
        ("a {{ b", "line 1, column 6: unexpected end of input"),
        ("{% include 'x' %}", "line 1, column 4: unknown statement include"),
        ("{% import 'x' as y %}", "line 1, column 4: unknown statement import"),
        ("{% from 'x' import secret %}", "line 1, column 4: unknown statement from"),
        ("{% extends 'x' %}", "line 1, column 4: unknown statement extends"),
        ("{% block a %}{% endblock %}", "line 1, column 4: unknown statement block"),
        ("{% macro a(secret) %}{% endmacro %}", "line 1, column 4: unknown statement macro"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(&format!("template {expected}")), "{text}: {error}");
    }
}

#[test]
fn a_missing_key_is_named_with_the_keys_there_are() {
    let known = r#""username", "password", "p", "n", "f", "e", "zero", "t", "no", "o", "b", "secret", "items""#;
    let missing = format!("vault:database/creds/web: no key \"nope\"; it has {known}");
    for (text, expected) in [
        ("x\n  {{ secret('db').nope }}", format!("line 2, column 6: {missing}")),
        ("{{ secret('db')['nope'] ~ 'x' }}", format!("line 1, column 4: {missing}")),
        (
            "{% for k, v in secret('db') %}{{ k }}{% endfor %}",
            "line 1, column 8: this does not have as many parts as there are names; if it is a map, its keys and values are \
             `for k, v in … | items`; one text has none"
                .into(),
        ),
        ("{{ secret('db').nope | upper }}", format!("line 1, column 24: {missing}")),
        ("{{ secret('db').nope + 1 }}", format!("line 1, column 4: {missing}")),
        ("{% set a = secret('db').nope %}{{ a }}", format!("line 1, column 35: {missing}")),
        ("{% if secret('db').nope %}{% endif %}", format!("line 1, column 7: {missing}")),
        ("{% for a in secret('db').nope %}{% endfor %}", format!("line 1, column 13: {missing}")),
        ("{{ [secret('db').nope] | join }}", format!("line 1, column 26: {missing}")),
        (
            "{{ secret('db#nope') }}",
            format!("line 1, column 4: vault:database/creds/web#nope: no key \"nope\"; it has {known}"),
        ),
        (
            "{{ secret('db').o.nope }}",
            "line 1, column 4: vault:database/creds/web: no key \"nope\"; it has \"in\", \"l\"".into(),
        ),
        ("{{ secret('db').no }}", "line 1, column 4: vault:database/creds/web: the value of key \"no\" is null".into()),
        (
            "{{ secret('db').o.l[2] }}",
            "line 1, column 4: this is null, which is never delivered; use `| default('…', true)` if it may be missing"
                .into(),
        ),
        ("{{ secret('db').o.l[3] }}", "line 1, column 4: this is undefined".into()),
    ] {
        assert_eq!(refused(text), format!("template {expected}"), "{text}");
    }
}

#[test]
fn a_template_of_consul_template_is_named() {
    for text in [
        "{{ with secret \"database/creds/web\" }}{{ .Data.username }}{{ end }}",
        "{{- with secret \"a\" -}}x{{- end -}}",
        "{{ range ls \"a\" }}{{ end }}",
        "{{ $x := secret \"a\" }}",
        "{{ .Data.data.password }}",
        "{{ secret \"a\" }}",
        "{{/* a comment */}}",
        "{{ if eq 1 1 }}a{{ else }}b{{ end }}",
        "{{ env \"HOME\" }}",
        "{{ base64Decode \"x\" }}",
        "{{ toUpper `x` }}",
        "{{ scratch.MapSet \"a\" \"b\" }}",
        "{{ index .Data \"x\" }}",
        "{{ len .Data }}",
        "{{ not .x }}",
        "{{ (secret \"x\").Data.foo }}",
        "{{ timestamp }}",
        "{{ .Data.foo | toJSON }}",
    ] {
        let said = refused(text);
        assert!(said.starts_with("template line 1, column 1: this is consul-template's language"), "{text}: {said}");
        assert!(
            said.contains("say templateLanguage: go or language: go, or write {{ secret('REFERENCE').KEY }}"),
            "{said}"
        );
    }
    for text in [
        "{{ secret('db').n",
        "{{ nope }}",
        "{{ secret('db').n | nope }}",
        "{{ not \"x\" }}{{ nope }}",
        "{{ len }}",
        "{{ nope (1) }}",
        "{{ x in \"x\" }}",
    ] {
        assert!(!refused(text).contains("consul"), "{text}");
    }
}

#[test]
fn null_is_false_and_none_and_never_text() {
    for (text, expected) in [
        (
            "{% if secret('db').no %}a{% else %}b{% endif %}{{ secret('db').no or 'y' }}{{ 'n' if not secret('db').no }}",
            "byn",
        ),
        (
            "{{ secret('db').no is none }} {{ secret('db').no is not none }} {{ secret('db').n is none }}",
            "true false false",
        ),
        ("{{ secret('db').no is defined }} {{ secret('db').nope is defined }}", "true false"),
        ("{{ secret('db').no == none }} {{ none != secret('db').no }} {{ secret('db').no == '' }}", "true false false"),
        ("{{ secret('db').no == secret('db#no') }} {{ secret('db').n != secret('db').no }}", "true true"),
        ("{{ secret('db#no') | default('x') }}{{ secret('db').no | d('y', true) }}{{ secret('db').no | d }}", "xy"),
        ("{{ secret('db').o.l[2] or 'z' }}{{ secret('db').o.l[2] | default('z') }}", "zz"),
        ("{% set x = secret('db') %}{% for k in ['no', 'n'] if x[k] is not none %}{{ k }}{% endfor %}", "n"),
        ("{% for v in secret('db').o.l %}{{ v or '-' }}{% endfor %}", "1a-"),
        ("{% for v in secret('db').o.l | reject('none') %}{{ v }}{% endfor %}", "1a"),
        ("{% for k, v in secret('db') | items if k in ['no', 't'] %}{{ k }}={{ v or '' }};{% endfor %}", "t=true;no=;"),
        ("{{ secret('db').no | json }}", "null"),
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
    }
    let null = "vault:database/creds/web: the value of key \"no\" is null";
    for text in [
        "{{ secret('db').no }}",
        "{{ secret('db').no ~ '' }}",
        "{{ secret('db').no | upper }}",
        "{{ secret('db').no | string }}",
        "{{ secret('db').no | b64encode }}",
        "{{ [secret('db').no] | join }}",
        "{{ [secret('db').no] ~ '' }}",
        "{% for k, v in secret('db') | items if k == 'no' %}{{ v }}{% endfor %}",
    ] {
        assert!(refused(text).contains(null), "{text}: {}", refused(text));
    }
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_only_where_it_is_used() {
    let deep =
        format!(r#"{{"ok":"x","deep":{}{},"half":"canary7f3a\ud800","nan":NaN}}"#, "[".repeat(99), "]".repeat(99));
    let known = fetches(&[("aws-sm:x", Backend::Whole(deep.as_bytes()))]);
    let render = |text: &str| {
        let rendered = Template::compile(text, &BTreeMap::new()).unwrap().render(&known);
        rendered.map(|bytes| bytes.expose_text().unwrap().to_owned()).map_err(|error| error.to_string())
    };
    assert_eq!(render("{{ secret('aws-sm:x').ok }}{{ secret('aws-sm:x#ok') }}").as_deref(), Ok("xx"));
    assert_eq!(render("{{ secret('aws-sm:x') }}").as_deref(), Ok(deep.as_str()));
    for (text, expected) in [
        ("{{ secret('aws-sm:x').half }}", "the value of key \"half\" holds half a surrogate pair"),
        ("{{ secret('aws-sm:x').half | default('y') }}", "the value of key \"half\" holds half a surrogate pair"),
        ("{{ secret('aws-sm:x#nan') or 'y' }}", "the value of key \"nan\" is not valid JSON"),
        ("{{ secret('aws-sm:x').deep is defined }}", "the value of key \"deep\" cannot be written again"),
        ("{{ secret('aws-sm:x') | json }}", "the value of key \"half\" holds half a surrogate pair"),
        ("{% for k, v in secret('aws-sm:x') | items %}{{ k }}{% endfor %}", "the value of key"),
    ] {
        let error = render(text).unwrap_err();
        assert!(error.contains(expected) && !error.contains(CANARY), "{text}: {error}");
    }
}

#[test]
fn a_missing_key_is_an_error_in_every_filter_but_default() {
    const MEANT: [&str; 2] = ["default", "d"];
    const FILTERS: &[&str] = &[
        "safe",
        "escape",
        "e",
        "lower",
        "upper",
        "title",
        "capitalize",
        "replace('a', 'b')",
        "length",
        "count",
        "dictsort",
        "items",
        "reverse",
        "trim",
        "join",
        "split",
        "lines",
        "default",
        "d",
        "round",
        "abs",
        "int",
        "float",
        "attr('a')",
        "first",
        "last",
        "min",
        "max",
        "sort",
        "list",
        "string",
        "bool",
        "batch(1)",
        "slice(1)",
        "sum",
        "indent",
        "select",
        "reject",
        "selectattr('a')",
        "rejectattr('a')",
        "map('upper')",
        "groupby('a')",
        "unique",
        "chain([1])",
        "zip([1])",
        "format(1)",
        "urlencode",
        "b64encode",
        "b64decode",
        "json",
        "yaml",
        "dotenv",
        "properties",
    ];
    let mut silent = Vec::new();
    for filter in FILTERS.iter().filter(|filter| !MEANT.contains(filter)) {
        for text in ["{{ secret('db').nope | FILTER }}", "{% for x in secret('db').nope | FILTER %}{% endfor %}"] {
            if rendered(&text.replace("FILTER", filter)).is_ok() {
                silent.push((*filter, text));
            }
        }
    }
    assert_eq!(silent, []);
}

#[test]
fn what_is_no_text_never_becomes_text() {
    let map = "this is a map or a list; pick one of its values, or use `| json`";
    let bytes = "this is not UTF-8 text; use `| b64encode`, or format: raw without a template";
    for (text, expected) in [
        ("{{ secret('db') }}", format!("line 1, column 4: {map}")),
        ("{{ secret('db').o.l }}", format!("line 1, column 4: {map}")),
        ("a {{ 'x' ~ secret('db') }}", format!("line 1, column 12: {map}")),
        ("{{ secret('db').o | string }}", format!("line 1, column 4: {map}")),
        ("{{ [secret('db').o] ~ '' }}", format!("line 1, column 5: {map}")),
        ("{{ [secret('db')] | join }}", format!("line 1, column 21: {map}")),
        ("{{ ['a'] }}", format!("line 1, column 4: {map}")),
        ("{{ secret('bin') }}", format!("line 1, column 4: {bytes}")),
        ("{{ 'a' ~ secret('bin') }}", format!("line 1, column 10: {bytes}")),
        ("{{ secret('bin') | upper }}", format!("line 1, column 4: {bytes}")),
        ("{{ secret('bin') | json }}", format!("line 1, column 20: {bytes}")),
        ("{{ secret('db').b | b64decode }}", format!("line 1, column 21: {bytes}")),
        ("{{ secret('db').b | b64decode ~ '' }}", format!("line 1, column 21: {bytes}")),
        (
            "{{ none }}",
            "line 1, column 4: this is null, which is never delivered; use `| default('…', true)` if it may be missing"
                .into(),
        ),
        ("{{ '+' | b64decode }}", "line 1, column 10: this is not base64 (RFC 4648, standard or URL-safe)".into()),
        ("{{ none | properties }}", "line 1, column 11: this is null".into()),
        ("{{ \"a\\r\" | dotenv }}", "line 1, column 12: this value holds a carriage return".into()),
        ("{{ (1e300 * 1e300) | json }}", "line 1, column 22: this value cannot be quoted".into()),
    ] {
        let error = refused(text);
        assert!(error.starts_with(&format!("template {expected}")), "{text}: {error}");
    }
}

#[test]
fn minijinjas_errors_keep_their_place_and_lose_their_text() {
    for text in [
        "{{ secret('pw') + 1 }}",
        "{{ secret('pw') * secret('pw') }}",
        "{{ secret('pw') | int }}",
        "{{ secret('pw') | round }}",
        "{{ secret('pw') | map(secret('pw')) }}",
        "{{ [1] | map(secret('pw')) | list }}",
        "{{ [1] | select(secret('pw')) | list }}",
        "{{ '%d' | format(secret('pw')) }}",
        "{{ secret('pw') | format(1) ~ [1].x }}",
        "{{ secret('pw').x() }}",
        "{{ secret('pw')() }}",
        "{{ range(secret('pw')) }}",
        "{{ namespace(secret('pw')) }}",
        "{% for a, b in [secret('pw')] %}{% endfor %}",
        "{{ 170141183460469231731687303715884105727 + 1 }}",
        "{{ 1 // 0 }}",
        "{{ secret('pw') | b64decode | json | int }}",
        "{{ secret('db') < secret('pw') | abs }}",
        "{{ secret('db')[secret('pw')] }}",
        "{{ secret('db') | attr(secret('pw')) }}",
    ] {
        let error = refused(text);
        assert!(error.starts_with("template line 1, column "), "{text}: {error}");
    }
}

const GROWN: &str = "the values it makes are larger than 16 MiB in all";

#[test]
fn a_template_ends() {
    for (text, expected) in [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "it does more than 100000 steps",
        ),
        ("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "invalid operation"),
        ("{% for a in range(9) %}{{ 'x' * 999999 }}{% endfor %}", "it writes more than 4 MiB"),
        ("{{ range(999999) | list }}", "invalid operation"),
        ("{{ 'x' * 999999999999 }}", GROWN),
        ("{% set n = namespace(x='ab') %}{% for i in range(50) %}{% set n.x = n.x ~ n.x %}{% endfor %}", GROWN),
        ("{% set n = namespace(x='ab') %}{% for i in range(50) %}{% set n.x = n.x + n.x %}{% endfor %}", GROWN),
        ("{% set n = namespace(x=[1]) %}{% for i in range(50) %}{% set n.x = [n.x, n.x] %}{% endfor %}", GROWN),
        ("{% set n = namespace(x=(1,)) %}{% for i in range(50) %}{% set n.x = n.x + n.x %}{% endfor %}", GROWN),
        (
            "{% set n = namespace(x=[1]) %}{% for i in range(50) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x | length }}",
            GROWN,
        ),
        (
            "{% set n = namespace(x=range(9)) %}{% for i in range(50) %}{% set n.x = n.x + n.x %}{% endfor %}{{ 2 in n.x }}",
            GROWN,
        ),
        (
            "{% set n = namespace(x='ab') %}{% for i in range(50) %}{% set n.x = n.x | replace('', n.x) %}{% endfor %}",
            GROWN,
        ),
        (
            "{% set n = namespace(x='ab') %}{% for i in range(50) %}{% set y %}{{ n.x }}-{{ n.x }}{% endset %}\
             {% set n.x = y %}{% endfor %}",
            "it writes more than 4 MiB",
        ),
        ("{{ 'a' | indent(999999999999) }}", GROWN),
        ("{{ [1] | batch(999999999, 0) }}", GROWN),
        ("{{ range(9999) | join('x' * 9999999) }}", GROWN),
    ] {
        let error = refused(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let text = format!("{{% set x %}}{{% for i in range(9999) %}}{}{{% endfor %}}{{% endset %}}", "r".repeat(4000));
    assert!(refused(&text).contains("it writes more than 4 MiB"), "literal text that is captured counts");
}

#[test]
fn what_has_a_bound_still_does_what_it_did() {
    for (text, expected) in [
        (
            "{{ 2 * 3 }} {{ 1.5 * 2 }} {{ 'ab' * 3 }} {{ 2 * 'x' }} {{ true and 2 * secret('db').n }}",
            "6 3.0 ababab xx 10864",
        ),
        ("{{ 'a-b-c' | replace('-', '+') }}{{ ('a' ~ 1) + 'c' }}{{ ([1] + [2]) | join }}", "a+b+ca1c12"),
        (
            "{{ 'a\n\nb' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(width=1, blank=true) }}",
            "a\n\n  b|  a\n  b|a\n \n b",
        ),
        (
            "{{ 'a\\n\\n' | indent(1, true, true) }}|{{ 'a\\r\\n\\r\\nb\\r\\n' | indent(1) }}|{{ '' | indent(1, true) }}",
            " a\n |a\r\n\r\n b|",
        ),
        ("{% for row in [1, 2, 3] | batch(2) %}{{ row | join }};{% endfor %}", "12;3;"),
        ("{% for a in [1, 2] %}{% if a == 1 %}x{% else %}y{% endif %}-{% else %}none{% endfor %}.", "x-y-."),
        ("{% for a in [] %}x{% else %}none{% endfor %}{{ 'y' if true else 'n' }}{{ 0 or 'z' }}", "noneyz"),
        ("{% set n = namespace(x=0) %}{% for a in range(9) %}{% set n.x = n.x + a %}{% endfor %}{{ n.x }}", "36"),
        ("{% for a in [1, [2, [3]]] recursive %}{{ loop(a) if a is iterable else a }}{% endfor %}", "123"),
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
    }
    let text =
        "{% set n = namespace(x='') %}{% for i in range(3000) %}{% set n.x = n.x ~ 'ab,' %}{% endfor %}{{ n.x }}";
    assert_eq!(rendered(text).map(|text| text.len()), Ok(9000), "a list that is made by hand");
}

#[test]
fn no_template_exhausts_the_stack() {
    let long = "this tag is too long; split it with {% set %}";
    for (text, expected) in [
        (format!("{{{{ {} 1 }}}}", "not ".repeat(100_000)), long),
        (format!("{{{{ {} 1 }}}}", "- ".repeat(100_000)), long),
        (format!("{{{{ {} 1 }}}}", "(".repeat(100_000)), long),
        (format!("{{{{ 1 {} }}}}", "+1".repeat(100_000)), long),
        (format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(100_000)), "the template has too many elif"),
        (format!("{{{{ {} 1 }}}}", "(".repeat(400)), "template exceeds maximum recursion limits"),
        ("{% if 1 %}".repeat(100_000), "template exceeds maximum recursion limits"),
    ] {
        let error = refused(&text);
        assert!(error.contains(expected), "{error}");
    }
    // as much as is allowed, at once
    for expression in [
        format!("{} true", "not ".repeat(490)),
        format!("{} 1", "- ".repeat(490)),
        format!("1 {}", "+ 1".repeat(245)),
        format!("'a' {}", "| upper".repeat(240)),
        format!("1 {}", "if 1 ".repeat(240)),
    ] {
        assert!(rendered(&format!("{{{{ {expression} }}}}")).is_ok(), "{expression}");
    }
    let branches = format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(250));
    assert_eq!(rendered(&branches).as_deref(), Ok(""));
}

#[test]
fn nothing_of_a_template_prints_a_value() {
    let template = Template::compile("{{ secret('pw') }}", &named()).unwrap();
    let bytes = template.render(&known()).unwrap();
    assert!(!format!("{template:?} {bytes:?}").contains(CANARY));
}

#[test]
fn a_missing_key_that_nobody_would_notice_is_an_error_too() {
    let missing = "vault:database/creds/web: no key \"nope\"";
    for text in [
        "{{ secret('db').nope is eq('x') }}",
        "{{ ' a ' | trim(secret('db').nope) }}",
        "{{ [1, secret('db').nope] | length }}",
        "{{ dict(secret('db').nope) | length }}",
        "{{ range(1, secret('db').nope) | json }}",
        "{{ [secret('db')['nope']] ~ '' }}{{ secret('db').other | default('') }}",
    ] {
        assert!(refused(text).starts_with("template line 1, column ") && refused(text).contains(missing), "{text}");
    }
    let computed = refused("{{ secret('db')['no' ~ 'pe'] }}{{ secret('db')[secret('pw')] }}");
    assert_eq!(
        computed,
        "template line 1, column 4: vault:database/creds/web: it does not have the key that is computed here"
    );
    assert!(refused("{{ secret('db#nope') is eq('x') }}").contains("no key \"nope\""));
    for text in [
        "{% if secret('db').nope is defined %}{% endif %}",
        "{% if secret('db#nope') is undefined %}{% endif %}",
        "{% set a = secret('db')['nope'] %}{{ a | d('') }}",
        "{% for key in ['nope'] %}{{ secret('db')[key] | default('') }}{% endfor %}",
        "{{ [secret('db')] | map(attribute='nope', default='') | join }}",
        "{% for k, v in secret('db') | items %}{% endfor %}",
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(""), "{text}");
    }
}

#[test]
fn operators_are_placed_at_their_first_operand() {
    for (text, column) in [
        ("{{ 1 + secret('pw') }}", 4),
        ("{{ 'a' if secret('db').nope else 'b' }}", 4),
        ("{{ secret('db').n < secret('db').nope < 1 }}", 4),
        ("{{ 1 if 0 }}", 4),
    ] {
        let error = refused(text);
        assert!(error.starts_with(&format!("template line 1, column {column}: ")), "{text}: {error}");
    }
}

#[test]
fn no_error_quotes_a_value_whatever_the_template() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    const OPERANDS: &[&str] = &[
        "secret('pw')",
        "secret('db')",
        "secret('db').f",
        "secret('db').o",
        "secret('db').nope",
        "secret('bin')",
        "secret('db').n",
        "secret('db').t",
        "none",
        "1",
        "'x'",
        "[secret('pw')]",
        "{'a': secret('pw')}",
        "range(3)",
    ];
    const BETWEEN: &[&str] = &["+", "-", "*", "/", "//", "%", "**", "~", "<", "==", "in", "not in", "and", "or", "if"];
    const BEHIND: &[&str] = &[
        "",
        "",
        "|int",
        "|float",
        "|round",
        "|sum",
        "|sort",
        "|join(secret('pw'))",
        "|map(secret('pw'))",
        "|b64decode",
        "|json",
        "|dotenv",
        "|indent(secret('pw'))",
        "|format(secret('pw'))",
        "|select(secret('pw'))|list",
        "[0]",
        ".x",
        "()",
        ".upper()",
        "[secret('pw')]",
        "[secret('pw'):]",
        " is divisibleby(secret('pw'))",
        "|batch(secret('pw'))",
        "|attr(secret('pw'))",
        "|dictsort(by=secret('pw'))",
        "|replace(1, secret('pw'))",
        "|zip(secret('db'))|list",
    ];
    let part = || (proptest::sample::select(OPERANDS), proptest::sample::select(BEHIND));
    let expression = (part(), proptest::sample::select(BETWEEN), part());
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::with_cases(2000), random);
    let outcome = runner.run(&expression, |((a, behind_a), between, (b, behind_b))| {
        let text = format!("{{{{ ({a}{behind_a}) {between} ({b}{behind_b}) }}}}");
        if let Err(error) = outcome_of(&text) {
            prop_assert!(!error.contains(CANARY), "{text}: {error}");
        }
        Ok(())
    });
    outcome.unwrap();
}

fn outcome_of(text: &str) -> Result<(), String> {
    let template = Template::compile(text, &named()).map_err(|error| format!("{error} {error:?}"))?;
    template.render(&known()).map(drop).map_err(|error| format!("{error} {error:?}"))
}

#[test]
fn an_option_behind_a_reference_is_a_filter_here() {
    for (text, expected) in [
        (
            "{{ secret('vault:a/b#k,format=dotenv') }}",
            "format=dotenv is no part of a reference; write secret('REF') | dotenv",
        ),
        ("{{ secret('vault:a/b#k, json') }}", "write secret('REF') | json"),
        ("{{ secret('vault:a/b#k,decode=base64') }}", "write secret('REF') | b64decode"),
        ("{{ secret('vault:a/b#k,mode=0440') }}", "beside the template: { template: …, mode: \"0440\" }"),
    ] {
        let error = Template::compile(text, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("line 1, column"), "{error}");
    }
}

#[test]
fn a_loop_over_one_value_says_what_a_loop_goes_over() {
    for (text, what) in [
        ("{% for c in secret('db').n %}{{ c }}{% endfor %}", "a number"),
        ("{% for c in secret('db').t %}{{ c }}{% endfor %}", "true or false"),
        ("{% for c in secret('db').e %}{{ c }}{% endfor %}", "one value"),
        ("{% for k, v in secret('db').username | items %}{{ k }}{% endfor %}", "no map"),
        ("{% for k, v in secret('db').o.l | items %}{{ k }}{% endfor %}", "no map"),
        ("{% for k, v in secret('db').n | items %}{{ k }}{% endfor %}", "no map"),
    ] {
        let said = refused(text);
        assert!(
            said.contains("line 1, column") && said.contains(&format!("this is {what} and has no items")),
            "{text}: {said}"
        );
        assert!(said.contains("for k, v in secret('REFERENCE') | items"), "{text}: {said}");
    }
    let text = refused("{% for k, v in secret('db').username %}{{ k }}{% endfor %}");
    assert!(
        text.contains("line 1, column 8: this does not have as many parts") && text.ends_with("one text has none"),
        "{text}"
    );
    let null = refused("{% for v in secret('db').o.l %}{{ v }}{% endfor %}");
    assert!(null.contains("this is null, which is never delivered"), "{null}");
    let null = refused("{% for v in secret('db').no %}{{ v }}{% endfor %}");
    assert!(null.contains("null") || null.contains("has no items"), "{null}");
}
