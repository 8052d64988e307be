//! What a file holds: raw bytes, formats that the real parsers read back, templates.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::*;

const LOCAL: &str = r##"
vault:secret/data/db:
  data: { username: app, password: "p'w \"$HOME\" `id` \\ #x é\n2", port: 5432, big: 12345678901234567890, real: 1.50, yes: true, deep: { a: [1, "<b>"] } }
vault:secret/data/plain: { data: { USER_NAME: app, PASS: "p w#1$x" } }
vault:secret/data/dash: { data: { "a-b": "x" } }
vault:secret/data/ks: { data: { p12: "AAEC/w==" , url: "AAEC_w", bad: "***" } }
aws-sm:blob: { base64: "AAEC/w==" }
aws-sm:text: { value: "plain text" }
"##;

/// Delivers one file made so; its bytes.
#[track_caller]
fn delivered(file: &str) -> Vec<u8> {
    let case = Case::new();
    let outcome = start(&case, file).app(&["true"]).output();
    outcome.ok();
    fs::read(case.volume().join("out")).unwrap()
}

fn start(case: &Case, file: &str) -> Run {
    let local = case.write("local.yaml", LOCAL);
    case.with_files(&format!("secrets: {{ db: \"vault:secret/data/db\" }}\nfiles:\n  out: {file}\n"))
        .arg("--local")
        .arg(local)
}

#[track_caller]
fn text(file: &str) -> String {
    String::from_utf8(delivered(file)).unwrap()
}

/// The whole secret as a parser should give it back, nested values apart.
fn expected() -> Value {
    serde_json::json!({ "username": "app", "password": "p'w \"$HOME\" `id` \\ #x é\n2", "port": 5432, "yes": true })
}

#[track_caller]
fn is_expected(read: &Value) {
    for (name, value) in expected().as_object().unwrap() {
        assert_eq!(&read[name], value, "{name} of {read}");
    }
}

#[test]
fn one_value_is_written_byte_for_byte() {
    assert_eq!(text("\"vault:secret/data/db#username\""), "app");
    assert_eq!(text("db#port"), "5432");
    assert_eq!(text("\"vault:secret/data/db#big\""), "12345678901234567890");
    assert_eq!(text("\"vault:secret/data/db#real\""), "1.50");
    assert_eq!(text("\"aws-sm:text\""), "plain text");
    assert_eq!(delivered("\"aws-sm:blob\""), [0, 1, 2, 255]);
}

#[test]
fn a_map_is_json_unless_told_otherwise() {
    for file in ["db", "{ from: db, format: json }"] {
        let written = text(file);
        is_expected(&serde_json::from_str(&written).unwrap());
        assert!(
            written.contains("12345678901234567890") && written.contains("1.50") && written.contains("<b>"),
            "{written}"
        );
        let python = python_output("import json,sys; print(json.dumps(json.load(sys.stdin)))", &[], written.as_bytes());
        is_expected(&serde_json::from_str(&python).unwrap());
    }
}

#[test]
fn yaml_reads_back_with_pyyaml() {
    let written = text("{ from: db, format: yaml }");
    let python = python_output(
        "import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.stdin.buffer)))",
        &[],
        written.as_bytes(),
    );
    let read: Value = serde_json::from_str(&python).unwrap();
    is_expected(&read);
    assert_eq!(read["deep"]["a"][1], "<b>");
}

#[test]
fn dotenv_reads_back_with_a_shell_and_with_python_dotenv() {
    let case = Case::new();
    let written = text("{ from: \"vault:secret/data/plain\", format: dotenv }");
    let file = case.write("written.env", &written);
    let shell = Run::new("/bin/sh".as_ref()).arg("-c").arg(". ./written.env; printf '%s|%s' \"$USER_NAME\" \"$PASS\"");
    assert_eq!(shell.cwd(&case.dir).user(APP, APP).output().ok(), "app|p w#1$x");
    let code = "import sys,dotenv; v=dotenv.dotenv_values(sys.argv[1]); print(v['USER_NAME']+'|'+v['PASS'],end='')";
    assert_eq!(python_output(code, &[file.to_str().unwrap()], b""), "app|p w#1$x");
}

#[test]
fn dotenv_refuses_a_key_that_no_shell_takes() {
    let case = Case::new();
    case.refused(start(&case, "{ from: \"vault:secret/data/dash\", format: dotenv }"), 65, &["a-b"]);
}

#[test]
fn properties_escape_what_java_reads() {
    let written = text("{ from: db, format: properties }");
    assert!(written.is_ascii(), "{written}");
    assert!(written.lines().any(|line| matches!(line, "username=app" | "username = app")), "{written}");
    assert!(written.contains("\\u00E9") || written.contains("\\u00e9"), "{written}");
    assert!(written.contains("\\n2"), "{written}");
}

#[test]
fn base64_is_decoded() {
    assert_eq!(delivered("{ from: \"vault:secret/data/ks#p12\", decode: base64 }"), [0, 1, 2, 255]);
    assert_eq!(delivered("{ from: \"vault:secret/data/ks#url\", decode: base64 }"), [0, 1, 2, 255]);
    let case = Case::new();
    let outcome = case.refused(
        start(&case, "{ from: \"vault:secret/data/ks#bad\", decode: base64 }"),
        65,
        &["base64", "vault:secret/data/ks#bad"],
    );
    assert!(!outcome.err().contains("***"), "{outcome}");
}

#[test]
fn templates_use_secrets_by_name_and_by_reference() {
    assert_eq!(text("{ template: \"user={{ secret('db').username }}\" }"), "user=app");
    assert_eq!(
        text("{ template: \"{{ secret('vault:secret/data/db#port') }} {{ secret('db').port }}\\n\" }"),
        "5432 5432\n"
    );
    assert_eq!(text("{ template: \"{{ secret('db').username | b64encode }} {{ 'YQ==' | b64decode }}\" }"), "YXBw a");
    assert_eq!(text("{ template: \"{{ 'a b/c?ä' | urlencode }}\" }"), "a%20b%2Fc%3F%C3%A4");
    assert_eq!(text("{ template: \"{% if secret('db').yes %}on{% endif %} <&>\" }"), "on <&>");
    assert_eq!(
        text("{ template: \"{{ secret('db').password | json }}\" }"),
        serde_json::to_string(&expected()["password"]).unwrap()
    );
    let yaml = text("{ template: \"x: {{ secret('db').password | yaml }}\\n\" }");
    let read = python_output(
        "import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.stdin.buffer)))",
        &[],
        yaml.as_bytes(),
    );
    assert_eq!(serde_json::from_str::<Value>(&read).unwrap()["x"], expected()["password"]);
}

#[test]
fn a_template_can_be_a_file() {
    let case = Case::new();
    let file = case.write("app.conf.tmpl", "[db]\nuser = {{ secret('db').username }}\n");
    start(&case, &format!("{{ templateFile: {} }}", file.display())).app(&["true"]).output().ok();
    assert_eq!(fs::read_to_string(case.volume().join("out")).unwrap(), "[db]\nuser = app\n");
}

#[test]
fn a_template_that_is_wrong_is_refused_with_line_and_column() {
    for (template, says) in [
        ("ok\\n{{ secret('db').nothing }}", ["nothing", "2"]),
        ("ok\\n{{ unknown }}", ["unknown", "2"]),
        ("ok\\n  {{ secret(name) }}", ["secret", "2"]),
        ("ok\\n{% set f = secret %}{{ f('db') }}", ["secret", "2"]),
        ("ok\\n{{ secret('db'", ["2", "template|expected|syntax|unexpected"]),
        ("{{ secret('nodb') }}", ["nodb", "1"]),
        ("{{ secret('db').username | nofilter }}", ["nofilter", "1"]),
        ("{% include 'x' %}", ["include", "1"]),
    ] {
        let case = Case::new();
        let run = start(&case, &format!("{{ template: \"{template}\" }}"));
        let outcome = case.refused(run, 65, &says);
        assert!(!outcome.err().contains("$HOME"), "{outcome}");
    }
}

#[test]
fn a_map_cannot_be_raw() {
    let case = Case::new();
    case.refused(start(&case, "{ from: db, format: raw }"), 65, &["db", "#|json"]);
}

/// A rendering is bounded, and so is a start of many of them.
#[test]
fn templates_that_together_take_longer_than_the_deadline_end_with_it() {
    let case = Case::new();
    let local = case.write("local.yaml", LOCAL);
    let slow = "{% set l = range(49000) | list %}{% for i in range(90) %}{% if -1 in l %}{% endif %}{% endfor %}{{ secret('db').port }}";
    let files: String = (0..60).map(|at| format!("  f{at}: {{ template: \"{slow}\" }}\n")).collect();
    let variables: String = (0..60).map(|at| format!("  V{at}: {{ template: \"{slow}\" }}\n")).collect();
    for (config, of) in [
        (format!("files:\n{files}"), "cannot render the files before the deadline (--timeout): "),
        (format!("env:\n{variables}"), "cannot render the variables before the deadline (--timeout): "),
    ] {
        let begun = Instant::now();
        let run = case.with_files(&format!("secrets: {{ db: \"vault:secret/data/db\" }}\n{config}"));
        case.refused(run.arg("--local").arg(&local).args(&["--timeout", "1s"]), 69, &[of, " of 60 took all the time"]);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
