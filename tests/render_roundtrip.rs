//! What is rendered is read back by the readers it is for: Python's json, PyYAML (YAML 1.1) and a YAML 1.2 parser,
//! python-dotenv, the shells' `.`, `java.util.Properties`. One corpus of nasty strings goes through each of them, as a map
//! in the format and value by value through the template filters.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "the readers are programs, and a variable names the interpreter")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use secret_exec::config::Format;
use secret_exec::domain::{Fetched, Fetches, Payload, SecretBytes, SecretMap, SecretRef, SecretValue};
use secret_exec::render::{RenderError, Template, secret};

type Map = BTreeMap<String, String>;

/// Characters that some reader gives a meaning to, and a few that are merely far away.
const NASTY: &str = "'\"\\$`{}()#!=:;&|<>*?~%@,[]- \t\n\r\u{b}\u{c}\u{0}\u{1}\u{7}\u{1b}\u{7f}\u{81}\u{85}\u{88}\u{a0}\
    \u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}\u{fffd}é€😀\u{10ffff}abnrtux019";

/// Whole values that some reader would rather understand than return.
const WORDS: &[&str] = &[
    "",
    " ",
    "  a  ",
    "\ta\t",
    "yes",
    "No",
    "on",
    "y",
    "null",
    "~",
    "true",
    "010",
    "0x1F",
    "0o7",
    "1e3",
    "1_000",
    "12:30:45",
    "2001-01-01",
    ".5",
    "-.inf",
    "<<",
    "=",
    "- a",
    "? a",
    "a: b",
    "# a",
    "a #b",
    "a\n",
    "\na",
    "a\n\nb",
    "a\r\nb",
    "\\",
    "a\\",
    "\\\\",
    "a\\\\b",
    "\\n",
    "a\\'b",
    "'a'",
    "\"a\"",
    "it's",
    "a'b\"c",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    "a$",
    "${",
    "${a",
    "$'a'",
    "!x",
    "a!b",
    "\\u0041",
    "%41",
    "{a}",
    "[a]",
    "&a",
    "*a",
    "|",
    ">",
    "---",
    "...",
    "a\u{85}b",
    "a\u{2028}b",
    "\u{feff}a",
    "\u{1f600}",
    "e\u{301}",
    "p@ss:w/rd?&=",
    "C:\\dir\\new",
    "-----BEGIN KEY-----\nYWJj\n-----END KEY-----\n",
];

fn corpus() -> Vec<String> {
    let nasty: Vec<char> = NASTY.chars().collect();
    let character = prop_oneof![4 => proptest::sample::select(nasty), 1 => any::<char>()];
    let text = proptest::collection::vec(character, 0..10).prop_map(|all| all.into_iter().collect::<String>());
    let mut runner = TestRunner::deterministic();
    let generated = (0..800).map(|_| text.new_tree(&mut runner).unwrap().current());
    WORDS.iter().map(|word| (*word).to_owned()).chain(generated).collect()
}

/// The corpus under plain keys.
fn values() -> Map {
    corpus().into_iter().enumerate().map(|(number, value)| (format!("K{number}"), value)).collect()
}

/// The corpus as keys too, and a key that is longer than YAML's simple ones.
fn keys_and_values() -> Map {
    let mut map: Map = corpus().into_iter().rev().map(|text| (text.clone(), text)).collect();
    map.insert("k\u{e9}".repeat(2000), "long".to_owned());
    map
}

fn fetches(map: &Map) -> Fetches {
    let entry = |(key, value): (&String, &String)| (key.clone(), SecretValue::Text(SecretBytes::from(value.clone())));
    let payload = Payload::Map(map.iter().map(entry).collect());
    Fetches::from([(whole().source, Fetched { payload, version: None, lease: None, ends: None, metadata: None })])
}

fn whole() -> SecretRef {
    SecretRef::parse("vault:x", &BTreeMap::new()).unwrap()
}

fn rendered(map: &Map, format: Format) -> Result<Vec<u8>, RenderError> {
    secret(&whole(), Some(format), None, &fetches(map)).map(|bytes| bytes.expose().to_owned())
}

/// The same lines written by a template: `{before}KEY{between}{{ value | filter }}`.
fn templated(map: &Map, before: &str, between: &str, filter: &str) -> Vec<u8> {
    let line = |key: &String| format!("{before}{key}{between}{{{{ secret('vault:x').{key} | {filter} }}}}\n");
    let template = Template::compile(&map.keys().map(line).collect::<String>(), &BTreeMap::new()).unwrap();
    template.render(&fetches(map)).unwrap().expose().to_owned()
}

fn assert_same(read: &Map, written: &Map, reader: &str) {
    for (key, value) in written {
        assert_eq!(read.get(key), Some(value), "{reader} reads another value under {key:?}");
    }
    assert_eq!(read.len(), written.len(), "{reader} reads other keys");
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn python() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    match std::env::var_os("TEST_PYTHON") {
        Some(path) => path.into(),
        None if ours.exists() => ours,
        None => "python3".into(),
    }
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs a script whose `read(path)` answers a dictionary.
fn read_by_python(script: &str, bytes: &[u8]) -> Map {
    let scratch = Scratch::new();
    let file = scratch.file("rendered", bytes);
    let script = format!("{script}\nimport json, sys\njson.dump(read(sys.argv[1]), sys.stdout)");
    serde_json::from_slice(&output(Command::new(python()).arg("-c").arg(script).arg(file))).unwrap()
}

const JSON: &str = "import json\ndef read(path): return json.load(open(path, encoding='utf-8'))";
const YAML: &str = "import yaml\ndef read(path): return yaml.safe_load(open(path, 'rb'))";
const DOTENV: &str = "import dotenv\ndef read(path): return dotenv.dotenv_values(path, encoding='utf-8')";

fn read_by_shell(shell: &str, bytes: &[u8]) -> Option<Map> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join(shell).exists()) {
        eprintln!("SKIPPED: {shell} is not on this machine, so nothing is known about its `.`");
        return None;
    }
    let scratch = Scratch::new();
    let file = scratch.file("rendered", bytes);
    let dump = "import json, os, sys; json.dump({k.decode(): v.decode() for k, v in os.environb.items() if k.startswith(b'K')}, sys.stdout)";
    let mut command = Command::new(shell);
    command.env_clear().env("PATH", path);
    command.args(["-c", "set -eua; . \"$1\"; exec \"$2\" -c \"$3\"", shell]).arg(file).arg(python()).arg(dump);
    Some(serde_json::from_slice(&output(&mut command)).unwrap())
}

/// YAML 1.2: a flat map of strings is keys and values in turn.
fn read_by_yaml_1_2(bytes: &[u8]) -> Map {
    let text = std::str::from_utf8(bytes).unwrap();
    let scalars: Vec<String> = granit_parser::Parser::new_from_str(text)
        .filter_map(|event| match event.unwrap().0 {
            granit_parser::Event::Scalar(text, ..) => Some(text.into_owned()),
            _ => None,
        })
        .collect();
    scalars.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

const PROPERTIES: &str = r#"
import java.io.*;
import java.util.*;

public class Read {
    static String hex(String text) {
        StringBuilder out = new StringBuilder();
        for (char unit : text.toCharArray()) out.append(String.format("%04x", (int) unit));
        return out.toString();
    }
    public static void main(String[] arguments) throws IOException {
        Properties properties = new Properties();
        try (InputStream in = new FileInputStream(arguments[0])) { properties.load(in); }
        for (String key : properties.stringPropertyNames()) System.out.println(hex(key) + "=" + hex(properties.getProperty(key)));
    }
}
"#;

fn read_by_java(bytes: &[u8]) -> Option<Map> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join("java").exists()) {
        eprintln!("SKIPPED: java is not on this machine, so nothing is known about Properties.load");
        return None;
    }
    let scratch = Scratch::new();
    let (source, file) = (scratch.file("Read.java", PROPERTIES.as_bytes()), scratch.file("rendered", bytes));
    let lines = output(Command::new("java").arg("-XX:TieredStopAtLevel=1").arg(source).arg(file));
    let text = |hex: &str| {
        let unit = |at: usize| u16::from_str_radix(&hex[at..at + 4], 16).unwrap();
        String::from_utf16(&(0..hex.len()).step_by(4).map(unit).collect::<Vec<_>>()).unwrap()
    };
    let lines = String::from_utf8(lines).unwrap();
    Some(lines.lines().map(|line| line.split_once('=').unwrap()).map(|(key, value)| (text(key), text(value))).collect())
}

#[test]
fn python_reads_json_back() {
    let map = keys_and_values();
    assert_same(&read_by_python(JSON, &rendered(&map, Format::Json).unwrap()), &map, "json");
    let map = values();
    let lines = [b"{\n".as_slice(), &templated(&map, ",\"", "\":", "json")[1..], b"}"].concat();
    assert_same(&read_by_python(JSON, &lines), &map, "json, by a template");
}

#[test]
fn yaml_readers_of_both_versions_read_yaml_back() {
    let map = keys_and_values();
    let yaml = rendered(&map, Format::Yaml).unwrap();
    assert_same(&read_by_python(YAML, &yaml), &map, "PyYAML");
    assert_same(&read_by_yaml_1_2(&yaml), &map, "a YAML 1.2 parser");
    let map = values();
    assert_same(&read_by_python(YAML, &templated(&map, "", ": ", "yaml")), &map, "PyYAML, by a template");
}

/// Numbers, booleans, null and nested values are what json says they are, in type and value.
#[test]
fn yaml_means_what_json_means() {
    let json =
        r#"{"a":1e3,"b":1E-7,"c":-0,"d":-0.0,"e":0.10,"f":12345678901234567890,"g":-1.5E+10,"h":1e+2,"i":0,"j":true,
        "k":null,"l":false,"m":[],"n":{},"o":[1e3,"1e3",[null],{"yes":"no","a\u0085b\u2028\ud83d\ude00\u007f":[1.0,2]}],
        "p":{"<<":{"x":1},"010":"010","":"","k":{"k":"\\\"\n"}},"q":"1e3","r":"null","s":2e0}"#
            .replace("\"k\":\"", &format!("\"{}\":\"", "k".repeat(3000)));
    let payload = Payload::Map(SecretMap::from_json(json.as_bytes()).unwrap());
    let fetches =
        Fetches::from([(whole().source, Fetched { payload, version: None, lease: None, ends: None, metadata: None })]);
    let yaml = secret(&whole(), Some(Format::Yaml), None, &fetches).unwrap();
    let again = secret(&whole(), Some(Format::Json), None, &fetches).unwrap();
    let compare = "import json, sys, yaml\n\
        a = json.loads(sys.argv[1]); b = yaml.safe_load(sys.argv[2]); c = json.loads(sys.argv[3])\n\
        assert repr(a) == repr(b), (a, b)\n\
        assert repr(a) == repr(c), (a, c)";
    let text = |bytes: &SecretBytes| bytes.expose_text().unwrap().to_owned();
    output(Command::new(python()).args(["-c", compare, &json, &text(&yaml), &text(&again)]));
}

/// What the dotenv format delivers, and what it refuses.
fn quotable() -> (Map, Map) {
    values().into_iter().partition(|(key, value)| {
        let alone = Map::from([(key.clone(), value.clone())]);
        rendered(&alone, Format::Dotenv).is_ok()
    })
}

#[test]
fn shells_and_python_dotenv_read_dotenv_back_alike() {
    let (map, refused) = quotable();
    assert!(map.len() > 3 * refused.len(), "{} of {} values are refused", refused.len(), map.len() + refused.len());
    for bytes in [rendered(&map, Format::Dotenv).unwrap(), templated(&map, "", "=", "dotenv")] {
        assert_same(&read_by_python(DOTENV, &bytes), &map, "python-dotenv");
        for shell in ["sh", "dash", "bash"] {
            if let Some(read) = read_by_shell(shell, &bytes) {
                assert_same(&read, &map, shell);
            }
        }
    }
}

#[test]
fn java_reads_properties_back() {
    let map = keys_and_values();
    let bytes = rendered(&map, Format::Properties).unwrap();
    assert!(bytes.is_ascii());
    if let Some(read) = read_by_java(&bytes) {
        assert_same(&read, &map, "Properties.load");
        let map = values();
        let read = read_by_java(&templated(&map, "", "=", "properties")).unwrap();
        assert_same(&read, &map, "Properties.load, by a template");
    }
}
