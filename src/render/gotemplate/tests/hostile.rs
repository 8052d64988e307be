//! What a template may not do: take room without end, or say a value in an error.

use super::super::parser;
use super::super::references;
use super::*;

#[test]
fn paths_that_are_put_together_take_no_room_without_end() {
    let wide = format!(" (printf \"{}\" 1)", "%9999[1]d".repeat(400));
    let long = format!("{{{{ secret (print {}) }}}}", wide.repeat(33));
    let deep = format!("{{{{ {}{}{} }}}}", "(print ".repeat(90), wide.repeat(33), ")".repeat(90));
    let many = format!("{{{{ secret (print {}) }}}}", " (printf \"%4000d\" 1)".repeat(4_500));
    let found = [long, deep, many].map(|text| {
        let parsed = parser::parse("", &text, 0, (&GoOptions::default()).into()).map_err(|(_, why)| why).unwrap();
        references::find(&parsed).map(|found| (found.known.len(), found.computed.len())).map_err(|(_, why)| why)
    });
    assert_eq!(found[..2], [Ok((0, 1)), Ok((0, 0))]);
    assert!(matches!(found[2], Err(SyntaxError::TooLarge(_))), "{:?}", found[2]);
}

#[test]
fn a_template_of_very_many_actions_is_refused() {
    let parsed = |text: &str| Template::parse("", text, &GoOptions::default()).map(drop).map_err(|error| error.why);
    let too_large = |why| Err(SyntaxError::TooLarge(why));
    let words = too_large("its actions have more than 40,000 words");
    assert_eq!(parsed(&format!("{{{{$a := 1}}}}{}", "{{$a}}".repeat(35_000))), words);
    assert_eq!(parsed(&format!("{{{{ print {} }}}}", "1 ".repeat(60_000))), words);
    assert_eq!(parsed(&"{{/* a */}}".repeat(40_000)), Ok(()));
    let names = |count: usize| (0..count).map(|at| format!("{{{{ secret \"s/d/x{at}\" }}}}")).collect::<String>();
    assert_eq!(parsed(&names(1_000)), Ok(()));
    assert_eq!(parsed(&names(1_001)), too_large("it names more than 1,000 secrets"));
    assert_eq!(parsed(&names(1).repeat(5_000)), Ok(()));
    let declared = |count: usize| (0..count).map(|at| format!("{{{{ $v{at} := 1 }}}}")).collect::<String>();
    assert_eq!(parsed(&declared(199)), Ok(()));
    assert_eq!(parsed(&declared(200)), too_large("it declares more than 200 variables"));
    assert_eq!(parsed(&format!("{{{{ $a := 1 }}}}{}", "{{ $a = 2 }}{{ $b := $a }}".repeat(1_000))), Ok(()));
}

#[test]
fn a_scratch_takes_room_and_holds_itself_not() {
    for text in [
        "{{ scratch.Set \"a\" scratch }}",
        "{{ scratch.MapSet \"a\" \"b\" scratch }}",
        "{{ $x := sprig_repeat 4000 \"a\" }}{{ range loop 20000 }}{{ scratch.MapSet \"m\" (printf \"%d\" .) $x }}{{ end }}",
        "{{ range loop 70 }}{{ scratch.MapSet (printf \"%d\" .) \"k\" (scratch.Get (printf \"%d\" (subtract 1 .))) }}{{ end }}",
    ] {
        assert!(rendered(text).is_err(), "{text}");
    }
    let text = "{{ scratch.MapSet \"m\" \"a\" 1 }}{{ $m := scratch.Get \"m\" }}{{ scratch.MapSet \"m\" \"b\" 2 }}{{ $m }}{{ scratch.Get \"m\" }}";
    assert_eq!(rendered(text).as_deref(), Ok("map[a:1]map[a:1 b:2]"));
}

const CANARY: &str = "canary-7f3a";

/// Every function with the value in every place, alone and beside others, and what else may fail over it.
#[test]
fn no_error_says_a_value() {
    let data = serde_json::json!({ "v": CANARY, "m": { CANARY: CANARY }, "l": [CANARY] });
    let source = SecretRef::parse("vault:kv/data/a", &Default::default()).unwrap().source;
    let fetched = Fetched {
        payload: Payload::Map(SecretMap::from_json(data.to_string().as_bytes()).unwrap()),
        version: None,
        lease: None,
        ends: None,
        metadata: Some(SecretBytes::from("{\"version\":1}".to_owned())),
    };
    let fetches = Fetches::from([(source, fetched)]);
    let others = ["1", "\"x\"", "nil", "$m", "(loop 2)", "(sprig_list 1)", "1.5", "true"];
    let mut bodies: Vec<String> = [
        "template \"nope\" $v",
        "$v.x",
        "$v 1",
        "$m.x.y.z",
        "$l.x",
        "range $v",
        "scratch.Set $v scratch",
        "scratch.Get $v 1",
        "scratch.MapSet $v",
        "$.Data.data.v.w",
        "printf $v scratch",
    ]
    .map(str::to_owned)
    .into();
    for name in super::super::functions::names() {
        for value in ["$v", "$m", "$l"] {
            bodies.extend([format!("{name} {value}"), format!("{value} | {name}")]);
            for other in others {
                bodies.push(format!("{name} {value} {other}"));
                bodies.push(format!("{name} {other} {value}"));
                bodies.push(format!("{name} {other} {value} {value}"));
                bodies.push(format!("{name} {value} {value} {other}"));
            }
        }
    }
    for body in &bodies {
        let text = format!(
            "{{{{ with secret \"kv/data/a\" }}}}{{{{ $v := .Data.data.v }}}}{{{{ $m := .Data.data.m }}}}\
             {{{{ $l := .Data.data.l }}}}{{{{ {body} }}}}{{{{ end }}}}{}",
            if body.starts_with("range") { "{{ end }}" } else { "" }
        );
        let options = GoOptions { missing_key: MissingKey::Error, ..GoOptions::default() };
        let said = match Template::parse("t", &text, &options) {
            Err(error) => error.to_string(),
            Ok(template) => match template.render(&fetches, 0) {
                Err(error) => format!("{error} {error:?}"),
                Ok(_) => continue,
            },
        };
        assert!(!said.contains(CANARY), "{body}: {said}");
    }
}

#[test]
fn yaml_in_a_template_is_bounded() {
    let laughs: String = (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9))).collect();
    let deep = "[".repeat(10_000);
    let tower = |n: usize| format!("- &a{n} {}*a{}{}\n", "[".repeat(40), n - 1, "]".repeat(40));
    let towers = format!("- &a0 [x]\n{}", (1..200).map(tower).collect::<String>());
    for (yaml, expected) in [
        (format!("a0: &a0 [x, x]\n{laughs}"), "larger than 16 MiB"),
        (deep, "yaml: line 1"),
        (format!("- &a {{? \"{}\" : 1}}\n{}", "K".repeat(100_000), "- *a\n".repeat(9_000)), "larger than 16 MiB"),
        (format!("- &k \"{}\"\n{}", "K".repeat(100_000), "- {*k : 1}\n".repeat(3_000)), "larger than 16 MiB"),
        (towers, "values are nested deeper than 64 levels"),
        (format!("[{}]", "1,".repeat(25_000)), "yaml: line 1: it has more than 20,000 keys, values and brackets"),
        ("a: &a [*a]".to_owned(), "yaml: line 1: an alias of a collection that contains it"),
        ("a: \"".to_owned(), "yaml: line 1: not valid YAML"),
        ("[1]: a".to_owned(), "yaml: line 1: a key is a list, a map, .nan, -0.0 or no UTF-8"),
        ("a: !!int x".to_owned(), "yaml: line 1: a value does not fit its tag"),
        (
            format!(
                "a: &a {{{}}}\nb: {{{}}}",
                (0..400).map(|n| format!("k{n}: 1, ")).collect::<String>(),
                "<<: *a, ".repeat(300)
            ),
            "yaml: line 2: it merges more than 100,000 entries",
        ),
        ("a: {<<: x}".to_owned(), "yaml: line 1: map merge requires map or sequence of maps"),
    ] {
        let text = format!("{{{{ parseYAML `{yaml}` | toJSON }}}}");
        let error = rendered(&text).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_value_that_occurs_often_is_not_written_without_end() {
    let long = format!("{{{{ $s := parseJSON `\"{}\"` }}}}", "K".repeat(100_000));
    let often = format!("{{{{ sprig_list {} | FUNCTION }}}}", "$s ".repeat(60));
    let deep = format!("{}\"{}\"{}", "[".repeat(60), "a ".repeat(100_000), "]".repeat(60));
    for (text, function) in [
        (format!("{long}{often}"), "toJSON"),
        (format!("{long}{often}"), "toYAML"),
        (format!("{long}{often}"), "toTOML"),
        (format!("{{{{ parseJSON `{deep}` | FUNCTION }}}}"), "toYAML"),
    ] {
        let error = rendered(&text.replace("FUNCTION", function)).unwrap_err();
        assert!(error.contains("what it writes is larger than 4 MiB"), "{function}: {error}");
    }
}

/// Each would take gigabytes before its result was looked at.
#[test]
fn a_long_text_is_not_an_argument_many_times() {
    let long = "{{ $s := sprig_repeat 3000000 \"a\" }}{{ $l := sprig_list $s }}";
    for function in [
        "print",
        "println",
        "html",
        "js",
        "urlquery",
        "sprig_cat",
        "sprig_quote",
        "sprig_squote",
        "printf \"x\"",
        "sprig_join \"\"",
    ] {
        for value in ["$s ", "$l "] {
            let many = if function == "sprig_join \"\"" {
                format!("{long}{{{{ sprig_list {} | sprig_join \"\" | len }}}}", value.repeat(5_000))
            } else {
                format!("{long}{{{{ {function} {} | len }}}}", value.repeat(5_000))
            };
            let error = rendered(&many).unwrap_err();
            let is_bounded = error.contains("larger than") || error.contains("more than 100000 steps");
            assert!(is_bounded, "{function}: {error}");
        }
    }
    for cut in [
        "split \"\"",
        "sprig_splitList \"\"",
        "sprig_split \"\"",
        "sprig_splitn \"\" -1",
        "sprig_splitList \"a\"",
        "splitToMap \"a\" \"b\"",
    ] {
        let error = rendered(&format!("{long}{{{{ $s | {cut} | len }}}}")).unwrap_err();
        assert!(error.contains("the values it makes are larger than 16 MiB"), "{cut}: {error}");
    }
    let error = rendered(&format!("{long}{{{{ sprig_regexFindAll \"a\" $s -1 | len }}}}")).unwrap_err();
    assert!(error.contains("the values it makes are larger than 16 MiB"), "{error}");
}

#[test]
fn comparisons_with_the_items_of_a_list_are_steps() {
    let list = "{{ $l := sprig_until 20000 }}{{ $d := sprig_dict \"a\" $l }}";
    for call in [
        "sprig_has -1 $l",
        "sprig_deepEqual $l $l",
        "sprig_deepEqual $d $d",
        "in $l -1",
        "contains -1 $l",
        "containsAll $l $l",
        "containsAny (sprig_list -1) $l",
        "containsNone (sprig_list -1) $l",
        "containsNotAll $l $l",
    ] {
        let error =
            rendered(&format!("{list}{{{{ range loop 200 }}}}{{{{ $x := {call} }}}}{{{{ end }}}}")).unwrap_err();
        assert!(error.contains("it does more than 100000 steps"), "{call}: {error}");
    }
    let each = "{{ range $l }}{{ if not (CALL) }}x{{ end }}{{ end }}";
    for call in ["sprig_has . $l", "in $l .", "sprig_deepEqual . ."] {
        let text = format!("{{{{ $l := sprig_until 1000 }}}}{}", each.replace("CALL", call));
        assert_eq!(rendered(&text).as_deref(), Ok(""), "{call}");
    }
}

/// The steps of a rendering, whether it ends well or not.
fn steps(text: &str) -> u64 {
    let template = Template::parse("t", text, &GoOptions::default()).unwrap();
    let (fetches, converted) = (Fetches::new(), ConvertedSecrets::default());
    let mut evaluator =
        Evaluator::new(&template.templates, Rendering::new(&fetches, &converted, MissingKey::NoValue, 0));
    let _result = evaluator.run(MAIN, &Value::Invalid, 0).is_ok();
    evaluator.rendering.taken()
}

#[test]
fn what_a_function_looks_at_counts_as_steps() {
    const KIB: usize = 64;
    let texts = format!(
        "{{{{ $s := sprig_repeat {0} \"a\" }}}}{{{{ $b := print $s \"b\" }}}}{{{{ $d := sprig_repeat {0} \"1\" }}}}\
         {{{{ $w := sprig_repeat {0} \" \" }}}}{{{{ $l := sprig_list $s }}}}{{{{ $q := sprig_repeat 1024 \"a\" }}}}",
        KIB << 10
    );
    let without = steps(&texts);
    // A step for each four KiB of each text, more where a byte takes longer.
    let all = KIB as u64 / 4;
    for (call, least) in [
        ("in $s $b", 2 * all),
        ("contains $b $s", 2 * all),
        ("containsAny $l $s", 2 * all),
        ("in $l $s", all),
        ("sprig_has $s $l", all),
        ("sprig_uniq (sprig_list $s $s $s)", 3 * all),
        ("sprig_deepEqual $l $l", all / 16),
        ("sprig_without $l $s", all),
        ("trim $b $s", 2 * all),
        ("sprig_trimAll $b $s", 2 * all),
        ("eq $s $b", 2 * all),
        ("sha256Hex $s", all),
        ("md5sum $s", 10 * all),
        ("parseJSON $w", 10 * all),
        ("sprig_fromJson $s", 10 * all),
        ("parseYAML $w", 10 * all),
        ("sprig_atoi $d", 10 * all),
        ("sprig_add $d 1", 10 * all),
        ("regexMatch \"b\" $s", 30 * all),
        ("sprig_regexFind \"b\" $s", 30 * all),
        ("regexReplaceAll \"b\" \"\" $s", 60 * all),
        ("sprig_regexFindAll \"b\" $s -1", 60 * all),
        ("regexMatch \"(a|b){300}c\" $q", 500),
        // Each match looks at the rest of the text.
        ("regexReplaceAll \"a(a*b)?\" \"\" $q", 500),
        ("sprig_regexFindAll \".*x|a\" $q -1", 500),
        ("printf \"%.1v\" $l", all),
        ("replaceAll $s \"\" $b", 2 * all),
        ("splitToMap \",\" $s $b", 2 * all),
    ] {
        let taken = steps(&format!("{texts}{{{{ $x := {call} }}}}")) - without;
        assert!(taken >= least, "{call}: {taken} steps, not {least}");
    }
    let names = steps(&format!("{{{{ $x := $.a{} }}}}", ".a".repeat(10_000)));
    assert!(names > 150, "{names}");
}

#[test]
fn functions_of_ordinary_texts_take_few_steps() {
    let text = format!("{{{{ $s := `{}` }}}}", "a line of a certificate\n".repeat(400));
    for call in [
        r#"regexReplaceAll "\\n" "|" $s"#,
        r#"regexReplaceAll `\s+` " " $s"#,
        r#"regexReplaceAll `(?m)^\s*(\w+)` "$1" $s"#,
        r#"regexMatch `^[a-z]+(-[a-z]+)*$` $s"#,
    ] {
        let taken = steps(&format!("{text}{{{{ $x := {call} }}}}"));
        assert!(taken < 2_000, "{call}: {taken}");
    }
    for call in ["parseJSON \"[1,2]\"", "regexMatch \"^a+$\" \"aaa\"", "sprig_atoi \"12\"", "in \"abc\" \"b\""] {
        assert!(steps(&format!("{{{{ $x := {call} }}}}")) < 5, "{call}");
    }
}

#[test]
fn bytes_that_are_no_text_are_found_in_others() {
    let bytes = "{{ $n := base64Decode \"/wBh/w==\" }}{{ $p := base64Decode \"Yf8=\" }}{{ $é := \"é\" }}";
    let text = "{{ in $n $p }}{{ in $n \"a\" }}{{ in $p $n }}{{ in $n $é }}{{ in $é (slice $é 1) }}{{ in $n \"\" }}";
    assert_eq!(rendered(&format!("{bytes}{text}")).as_deref(), Ok("truetruefalsefalsetruetrue"));
}

#[test]
fn a_long_key_of_many_tables_is_not_written_without_end() {
    let tables: String = (0..5_000).map(|n| format!("\"a{n}\":{{}},")).collect();
    let json = format!("{{\"{}\":{{{}}}}}", "K".repeat(50_000), tables.trim_end_matches(','));
    let error = rendered(&format!("{{{{ parseJSON `{json}` | toTOML }}}}")).unwrap_err();
    assert!(error.contains("what it writes is larger than 4 MiB"), "{error}");
}

#[test]
fn what_is_looked_at_for_the_parts_is_bounded() {
    let picks = |text: &str| {
        let template = Template::parse("t", text, &GoOptions::default()).unwrap();
        let longest = template.picks().map(|(_, path)| path.len()).max();
        (template.picks().count(), longest.unwrap_or(0))
    };
    let call = |of: usize| format!("{{{{ template \"t{of}\" . }}}}");
    let doubled: String =
        (0..45).map(|of| format!("{{{{ define \"t{of}\" }}}}{0}{0}{{{{ end }}}}", call(of + 1))).collect();
    assert_eq!(picks(&format!("{doubled}{{{{ define \"t45\" }}}}{{{{ end }}}}{}", call(0))), (0, 0));
    let within = |fields: &str| format!("{{{{ with secret \"kv/a\" }}}}{{{{ .Data{fields} }}}}{{{{ end }}}}");
    for deep in [3_000, 20_000] {
        assert_eq!(picks(&within(&".a".repeat(deep))), (60, 60));
    }
    assert_eq!(picks(&within(&format!(".a.{}.b", "b".repeat(10_000)))), (1, 1));
    let ranges = "{{ range . }}".repeat(80);
    let text = format!("{{{{ with secret \"kv/a\" }}}}{{{{ with .Data.a }}}}{ranges}{}", "{{ end }}".repeat(82));
    assert_eq!(picks(&text), (60, 60));
}
