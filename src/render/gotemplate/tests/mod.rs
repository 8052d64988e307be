use crate::domain::{Fetched, Payload, SecretMap};

use super::*;

mod bank_vaults;
mod hostile;
mod printf;

fn rendered(text: &str) -> Result<String, String> {
    let template = Template::parse("t", text, &GoOptions::default()).map_err(|error| error.to_string())?;
    match template.render(&Fetches::new(), 0).map_err(|error| error.to_string())? {
        Rendered::Done(bytes) => Ok(String::from_utf8_lossy(bytes.expose()).into_owned()),
        Rendered::Incomplete(sources) => Err(format!("misses {}", sources.len())),
    }
}

#[test]
fn actions_write_what_go_writes() {
    for (text, expected) in [
        ("a {{- 1 -}} b", "a1b"),
        ("{{/* c */}}x{{- /* d */ -}} y", "xy"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ range $i, $e := sprig_list 1 2 3 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ $e }}{{ end }}", "13"),
        ("{{ range loop 5 }}{{ if gt . 2 }}{{ break }}{{ end }}{{ . }}{{ end }}", "012"),
        ("{{ with 0 }}a{{ else with 2 }}{{ . }}{{ else }}c{{ end }}", "2"),
        ("{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" 1 }}{{ block \"y\" 2 }}{{ . }}{{ end }}", "<1>2"),
        ("{{ printf \"%05d|%-4s|%q|%x|%T\" 42 \"ab\" \"c\" \"hi\" 1.5 }}", "00042|ab  |\"c\"|6869|float64"),
        ("{{ (sprig_dict \"a\" 1).b }}", "<no value>"),
        ("{{ print 1 2 \"a\" 3 }}", "1 2a3"),
        ("{{ \"a\\\"b\" | printf \"%s-%s\" `c` }}", "c-a\"b"),
        ("{{ len (slice \"abcd\" 1 3) }}{{ index (sprig_list 7 8) 1 }}", "28"),
        ("{{ sprig_dateInZone \"Mon, 02 Jan 2006 15:04:05 MST\" 0 \"GMT\" }}", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("{{ sprig_date_in_zone \"MST Z07:00\" 0 \"GMT\" }}|{{ sprig_htmlDateInZone 0 \"GMT\" }}", "GMT Z|1970-01-01"),
        ("{{ sprig_dateInZone \"MST\" 0 \"Etc/UTC\" }} {{ sprig_dateInZone \"MST\" 0 \"\" }}", "UTC UTC"),
        ("{{ and 1 0 2 }}{{ or 0 \"\" 3 }}{{ not true }}", "03false"),
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn an_error_has_name_line_and_column() {
    for (text, expected) in [
        ("\n {{ nope }}", "template t:2:5: function \"nope\" not defined"),
        ("{{ upper 1 }}", "function \"upper\" not defined; Sprig's functions are named with sprig_ here: sprig_upper"),
        (
            "{{ sprig_randAlphaNum 5 }}",
            "function \"sprig_randAlphaNum\" is refused: its result is another one each time",
        ),
        ("{{ now }}", "function \"now\" not defined; Sprig's functions are named with sprig_ here: sprig_now"),
        ("{{ if }}{{ end }}", "template t:1:7: missing value for if"),
        ("{{ $x }}", "template t:1:4: undefined variable \"$x\""),
        ("{{ env \"HOME\" }}", "is refused"),
        ("{{ sprig_dig 1 \"none\" (sprig_dict \"\" 2) }}", "the keys of dig are strings, not int"),
        ("{{ sprig_dig \"a\" nil \"none\" (sprig_dict) }}", "the keys of dig are strings, not <nil>"),
        ("{{ end }}", "template t:1:4: unexpected <end> in input"),
        ("{{ break }}", "{{break}} outside {{range}}"),
        ("{{ 1 | 2 }}", "non executable command in pipeline stage 2"),
        ("{{ secret \"/../a\" }}", "secret: "),
        ("a\n {{ template \"x\" }}", "template t:2:5: template \"x\" not defined"),
        ("{{ if true }}{{ template \"x\" . }}{{ end }}", "line 1, column 17: in t: template \"x\" not defined"),
        (
            "{{ define \"a\" }}\n{{ template \"b\" }}{{ end }}{{ template \"a\" }}",
            "template t:2:4: template \"b\" not defined",
        ),
        ("{{ executeTemplate \"x\" }}", "template t:1:20: template \"x\" not defined"),
        ("{{ print (executeTemplate \"x\" .) }}", "template \"x\" not defined"),
    ] {
        let error = rendered(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_template_that_is_never_called_may_call_any() {
    for text in ["", "{{ define \"a\" }}{{ template \"b\" }}{{ end }}", "{{ block \"a\" . }}{{ end }}"] {
        assert_eq!(rendered(text).as_deref(), Ok(""), "{text}");
    }
}

#[test]
fn a_call_that_may_not_run_may_name_any_template() {
    for text in [
        "{{ if false }}{{ template \"x\" . }}{{ end }}",
        "{{ if true }}{{ else }}{{ template \"x\" . }}{{ end }}",
        "{{ if true }}{{ else if executeTemplate \"x\" . }}{{ end }}",
        "{{ with \"\" }}{{ executeTemplate \"x\" . }}{{ end }}",
        "{{ range loop 0 }}{{ template \"x\" . }}{{ end }}",
        "{{ if false }}{{ template \"a\" . }}{{ end }}{{ define \"a\" }}{{ template \"x\" . }}{{ end }}",
        "{{ define \"a\" }}{{ if . }}{{ template \"x\" . }}{{ end }}{{ end }}{{ template \"a\" }}",
        "{{ define \"b\" }}{{ template \"x\" }}{{ end }}{{ define \"a\" }}{{ end }}{{ executeTemplate (print \"a\") }}",
        "{{ $x := and false (executeTemplate \"x\" .) }}",
        "{{ $x := or true (false) (executeTemplate \"x\" .) }}",
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(""), "{text}");
    }
}

#[test]
fn a_call_that_is_certain_to_run_names_a_template_that_is_defined() {
    for text in [
        "{{ if executeTemplate \"x\" . }}{{ end }}",
        "{{ with 1 | and (executeTemplate \"x\" .) }}{{ end }}",
        "{{ $x := or (executeTemplate \"x\" .) 1 }}",
        "{{ define \"a\" }}{{ range executeTemplate \"x\" . }}{{ end }}{{ end }}{{ executeTemplate \"a\" }}",
    ] {
        let error = Template::parse("t", text, &GoOptions::default()).unwrap_err().to_string();
        assert!(error.ends_with("template \"x\" not defined"), "{text}: {error}");
    }
}

#[test]
fn the_parts_that_a_template_uses_are_found() {
    let picks = |text: &str| {
        let template = Template::parse("t", text, &GoOptions::default()).unwrap();
        let shown = |(of, path): (&SecretRef, &[Step])| {
            let steps: Vec<_> = path.iter().map(|step| if let Step::Key(key) = step { key } else { "*" }).collect();
            format!("{}:{}", of.to_string().trim_start_matches("vault:"), steps.join("."))
        };
        template.picks().map(shown).collect::<Vec<_>>().join(" ")
    };
    for (text, expected) in [
        ("{{ with secret \"s/data/a\" }}{{ .Data.data.user }}{{ .Data.metadata.version }}{{ end }}", "s/data/a:user"),
        ("{{ (secret \"database/creds/a\").Data.password }}", "database/creds/a:password"),
        ("{{ $x := secret \"kv/a\" }}{{ index $x.Data \"b c\" }}{{ $x.LeaseID }}", "kv/a:b c"),
        (
            "{{ with secret \"kv/a\" }}{{ range .Data.hosts }}{{ .name }}{{ end }}{{ end }}",
            "kv/a:hosts kv/a:hosts.* kv/a:hosts.*.name",
        ),
        ("{{ with secret \"kv/a\" }}{{ range $k, $v := .Data }}{{ $k }}={{ $v }}{{ end }}{{ end }}", ""),
        ("{{ with secret \"kv/a\" }}{{ range $k, $v := .Data.m }}{{ $v }}{{ end }}{{ end }}", "kv/a:m kv/a:m.KEY"),
        ("{{ with secret \"kv/a\" }}{{ with .Data.a }}{{ .b | toUpper }}{{ end }}{{ end }}", "kv/a:a kv/a:a.b"),
        (
            "{{ with secret \"kv/a\" }}{{ (index .Data.l 0).x }}{{ .Data.p | sprig_join \",\" }}{{ end }}",
            "kv/a:l kv/a:l.* kv/a:l.*.x kv/a:p kv/a:p.*",
        ),
        ("{{ define \"d\" }}{{ .Data.k }}{{ end }}{{ template \"d\" secret \"kv/a\" }}", "kv/a:k"),
        ("{{ define \"d\" }}{{ template \"d\" .Data }}{{ end }}{{ template \"d\" secret \"kv/a\" }}", "kv/a:Data"),
        (
            "{{ with pkiCert \"pki/issue/w\" \"common_name=x\" }}{{ .Key }}{{ end }}",
            "pki/issue/w?common_name=…:certificate pki/issue/w?common_name=…:private_key",
        ),
        ("{{ with secret \"kv/a\" }}{{ if .Data.a }}{{ $.Data.z }}{{ .Data.b }}{{ end }}{{ end }}", "kv/a:a kv/a:b"),
        ("{{ with secret (printf \"kv/%s\" \"a\") }}{{ .Data.a }}{{ end }}", "kv/a:a"),
    ] {
        let mut found: Vec<_> = picks(text).split(' ').map(str::to_owned).collect();
        // A template that calls itself goes on as deep as it may.
        found.retain(|pick| !pick.contains("Data.Data"));
        assert_eq!(found.join(" "), expected, "{text}");
    }
}

#[test]
fn what_never_ends_or_grows_is_an_error() {
    let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    for text in [
        "{{ range loop 1000000000 }}{{ end }}".to_owned(),
        "{{ range 1000000000 }}a{{ end }}".to_owned(),
        "{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}".to_owned(),
        "{{ define \"x\" }}{{ executeTemplate \"x\" }}{{ end }}{{ executeTemplate \"x\" }}".to_owned(),
        format!("{{{{ {deep} }}}}"),
        format!("{}{}", "{{ if true }}".repeat(10_000), "{{ end }}".repeat(10_000)),
        format!("{{{{ if 0 }}}}{}{{{{ end }}}}", "{{ else if 0 }}".repeat(10_000)),
        format!("{}{}", format!("{{{{ if 0 }}}}{}", "{{ else if 0 }}".repeat(300)).repeat(50), "{{ end }}".repeat(50)),
        "{{ sprig_repeat 1000000000 \"a\" }}".to_owned(),
        "{{ $x := \"a\" }}{{ range loop 100 }}{{ $x = print $x $x }}{{ end }}".to_owned(),
        "{{ $x := sprig_list 1 }}{{ range loop 1000 }}{{ $x = sprig_list $x }}{{ end }}".to_owned(),
        "{{ indent 1000000000 \"a\" }}".to_owned(),
    ] {
        assert!(rendered(&text).is_err(), "{}", &text[..60.min(text.len())]);
    }
    let error = rendered("{{ printf \"%9999999s\" \"a\" | len }}").unwrap_err();
    assert!(error.contains("the result is larger than 4 MiB"), "{error}");
    // As deep as may be, in a thread as a server's.
    let chain = format!("{{{{ if 0 }}}}{}{{{{ else }}}}end{{{{ end }}}}", "{{ else if 0 }}".repeat(500));
    assert_eq!(rendered(&chain), Ok("end".to_owned()));
    let large = format!("{}{{{{ 1 }}}}", "x".repeat(200 << 10));
    assert_eq!(rendered(&large).map(|text| text.len()), Ok((200 << 10) + 1));
}

#[test]
fn literal_paths_are_known_and_computed_ones_are_named() {
    let text = "{{ secret \"kv/data/a\" }}{{ with secret (printf \"kv/data/%s\" \"b\") }}{{ end }}\
                {{ \"kv/data/c\" | secret }}{{ secret \"pki/issue/x\" \"common_name=a\" }}{{ $p := \"x\" }}{{ secret $p }}";
    let template = Template::parse("t", text, &GoOptions::default()).unwrap();
    let found: Vec<_> = template.references().map(ToString::to_string).collect();
    // What a write sends is not shown.
    assert_eq!(found, ["vault:kv/data/a", "vault:kv/data/b", "vault:kv/data/c", "vault:pki/issue/x?common_name=…"]);
    assert_eq!(template.computed().len(), 1);
}

/// The beginnings of templates that are rendered in another way on purpose.
const DIFFERENT: [&str; 5] = [
    // A key that is repeated is refused everywhere.
    r#"{{ parseJSON "{\"a\":1,\"a\":2}" }}"#,
    // No Unicode classes in regular expressions: an error.
    r#"{{ regexMatch "\\pL" "#,
    // An error where Sprig returns the error's text as the value.
    r#"{{ sprig_repeat 0 "a" }}"#,
    // No hexadecimal floating point numbers.
    r#"{{ printf "%x %X" 1.5 255 }}"#,
    // A whole answer is not printed: it holds pointers.
    r#"{{ with secret "kv/data/app" }}{{ . }}{{ end }}"#,
];

/// What `bao agent -exit-after-auth` (OpenBao 2.7.2) wrote for these templates, and the secret it read.
#[test]
fn bao_agent_writes_the_same_bytes() {
    let recorded: serde_json::Value = serde_json::from_str(include_str!("recorded.json")).unwrap();
    let secret = &recorded["secret"];
    let source = SecretRef::parse(&format!("vault:{}", secret["path"].as_str().unwrap()), &Default::default()).unwrap();
    let fetched = Fetched {
        payload: Payload::Map(SecretMap::from_json(secret["data"].to_string().as_bytes()).unwrap()),
        version: None,
        lease: None,
        ends: None,
        metadata: Some(SecretBytes::from(secret["metadata"].to_string())),
    };
    let fetches = Fetches::from([(source.source, fetched)]);
    let mut different = Vec::new();
    for case in recorded["cases"].as_array().unwrap() {
        let (text, expected) = (case[0].as_str().unwrap(), case[1].as_str());
        let template = Template::parse("main", text, &GoOptions::default());
        let got = match template.map(|template| template.render(&fetches, 1_700_000_000)) {
            Ok(Ok(Rendered::Done(bytes))) => Ok(String::from_utf8_lossy(bytes.expose()).into_owned()),
            other => Err(format!("{other:?}")),
        };
        let is_different = DIFFERENT.iter().any(|start| text.starts_with(start));
        if (got.as_deref().ok() == expected) == is_different {
            different.push(format!("{text}\n  bao agent {expected:?}\n  here      {got:?}"));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
