//! What must hold for every input: one function for each target, which panics when it does not.

mod pod;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use secret_exec::config::annotations::{PREFIX, check, parse_downward_api};
use secret_exec::config::{
    Annotations, ConfigError, Flag, GoOptions, Injector, Language, Layers, MissingKey, Text, Wraps, resolve,
};
use secret_exec::domain::{Fetched, Fetches, Payload, SecretBytes, SecretMap, SecretRef};
use secret_exec::k8s::admission::{Answer, Verdict};
use secret_exec::k8s::manifest::Output;
use secret_exec::render::AnyTemplate;
use secret_exec::render::gotemplate::ConvertedSecrets;
use serde_json::{Value, json};

/// Every target by its name.
pub const TARGETS: [(&str, fn(&[u8])); 6] = [
    ("admission", admission),
    ("annotations", annotations),
    ("config", config),
    ("gotemplate", gotemplate),
    ("manifest", manifest),
    ("reference", reference),
];

/// Operators who say as much as they can, and as little.
const OPERATORS: [&str; 2] = [
    "image: registry.example.com/secret-exec:1.0\n\
     vault: { address: \"https://vault.example.com:8200\", auth: { method: kubernetes, mount: kubernetes } }\n\
     aws: { region: eu-west-1 }\n\
     allowAddresses: [\"https://other.example.com\"]\n",
    "image: i:1\nnativeSidecar: false\n",
];

fn operators() -> &'static [Injector; 2] {
    static READ: std::sync::OnceLock<[Injector; 2]> = std::sync::OnceLock::new();
    READ.get_or_init(|| OPERATORS.map(|text| Injector::parse(Text { name: "injector.yaml", text }).unwrap()))
}

/// Any body is a 4xx, a denial with a sentence, or an answer; a patch applies, and applying it again changes nothing.
pub fn admission(bytes: &[u8]) {
    for operator in operators() {
        let Ok(answer) = secret_exec::k8s::admission::admission(bytes, operator) else { continue };
        let again = secret_exec::k8s::admission::admission(bytes, operator);
        assert_eq!(again.as_ref(), Ok(&answer), "the same body has the same answer");
        // Parts that injection does not read are skipped without being decoded, such as a string with half a surrogate.
        let Ok(mut review) = serde_json::from_slice::<Value>(bytes) else { continue };
        let response = response(&answer);
        assert_eq!(response["uid"], review["request"]["uid"]);
        if answer.verdict != Verdict::Injected {
            assert!(response.get("patch").is_none());
            continue;
        }
        let before = review["request"]["object"].clone();
        let patched = pod::patched(&before, &response);
        assert!(pod::survives(&before, &patched), "something is lost\n{before}\n{patched}");
        pod::reads_itself(&patched);
        review["request"]["object"] = patched;
        let twice = secret_exec::k8s::admission::admission(review.to_string().as_bytes(), operator).unwrap();
        assert_eq!(twice.verdict, Verdict::Unchanged, "injecting again: {}", String::from_utf8_lossy(&twice.body));
    }
}

fn response(answer: &Answer) -> Value {
    let review: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    let response = &review["response"];
    assert_eq!(response["allowed"], answer.verdict != Verdict::Denied);
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert_eq!(message, answer.message);
    assert_eq!(message.is_empty(), answer.verdict != Verdict::Denied, "a denial is a sentence");
    assert!(message.len() <= 4100, "a message that would be cut");
    response.clone()
}

/// The lines of a downward-API file read the same when they are written again, and make the same configuration as the
/// annotations they stand for. A pod with these annotations is denied, or reads what was admitted.
pub fn annotations(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Text { name: "annotations", text };
    let pairs = match parse_downward_api(file) {
        Ok(pairs) => sorted(pairs),
        Err(mistakes) => {
            are_lines(&mistakes);
            return;
        }
    };
    let written = pod::downward_api(&pairs);
    assert_eq!(parse_downward_api(Text { name: "annotations", text: &written }).map(sorted).as_ref(), Ok(&pairs));
    are_lines(&check(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
    let with = |annotations| {
        let layers = Layers { environment: &[], annotations, file: None, flags: &[], wraps: Wraps::Nothing };
        resolve(&layers).inspect_err(|mistakes| are_lines(mistakes))
    };
    if !pairs.iter().any(|(key, _)| key.starts_with(PREFIX)) {
        // A file without any annotation is refused as one that somebody left out; a pod may have none.
        let _ = with(Some(Annotations::File(file)));
        return;
    }
    assert_eq!(with(Some(Annotations::File(file))), with(Some(Annotations::Pairs(&pairs))));
    // A pod that leaves room for every mode.
    let annotations: serde_json::Map<String, Value> =
        pairs.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1", "operation": "CREATE", "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "object": {
                "metadata": { "name": "web", "annotations": annotations },
                "spec": { "containers": [{ "name": "app", "image": "app:1", "command": ["/app"] }] },
            },
        },
    });
    admission(review.to_string().as_bytes());
}

fn sorted(mut pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.sort_unstable();
    pairs
}

/// Any config file is read, or refused with places; the injector's own, too. The annotation `config` reads the same.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let name = "annotation secret-exec.dev/config";
    let pairs = [("secret-exec.dev/config".to_owned(), text.to_owned())];
    let in_file = Layers {
        environment: &[],
        annotations: None,
        file: Some(Text { name, text }),
        flags: &[],
        wraps: Wraps::Nothing,
    };
    let in_annotation = Layers { annotations: Some(Annotations::Pairs(&pairs)), file: None, ..in_file };
    let (read, annotated) = (resolve(&in_file), resolve(&in_annotation));
    if let Err(mistakes) = &read {
        assert!(!mistakes.is_empty());
        are_lines(mistakes);
    }
    // Three keys are refused by annotation; whoever reads them there reads more mistakes, never fewer.
    assert!(annotated.is_err() || read.is_ok());
    if let Ok(annotated) = &annotated {
        assert_eq!(read.as_ref(), Ok(annotated));
    }
    // One flag at a time, as a line of the same text.
    let flags: Vec<Flag> = text.lines().take(4).map(|line| Flag::new("--set", line)).collect();
    if let Err(mistakes) = resolve(&Layers { file: None, flags: &flags, ..in_file }) {
        are_lines(&mistakes);
    }
    if let Err(mistakes) = Injector::parse(Text { name: "injector.yaml", text }) {
        assert!(!mistakes.is_empty());
        are_lines(&mistakes);
    }
}

/// Any Go template is refused with a place, or ends within its bounds; no error holds a value.
pub fn gotemplate(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for options in [GoOptions::default(), GoOptions { missing_key: MissingKey::Error, ..GoOptions::default() }] {
        let start = Instant::now();
        let template = match AnyTemplate::compile("t", text, &Language::Go(options), &BTreeMap::new()) {
            Ok(template) => template,
            Err(error) => {
                let error = error.to_string();
                assert!(error.starts_with("template t:"), "{error}");
                continue;
            }
        };
        let mut fetches: Fetches =
            template.references().map(|reference| (reference.source.clone(), fetched())).collect();
        // As a start does: what is computed is fetched, and may compute more.
        for _ in 0..4 {
            fetches.extend(
                template.computed_sources(&fetches, 1_700_000_000).into_iter().map(|source| (source, fetched())),
            );
        }
        let converted = ConvertedSecrets::default();
        let rendered = template.render(&fetches, &converted, 1_700_000_000);
        assert!(start.elapsed() < Duration::from_secs(20), "it takes long");
        let is_complete =
            template.computed_sources(&fetches, 1_700_000_000).iter().all(|source| fetches.contains_key(source));
        match &rendered {
            Ok(bytes) => assert!(bytes.expose().len() <= 4 << 20),
            // A computed path that is not fetched is named.
            Err(error) => assert!(!is_complete || !error.to_string().contains(CANARY), "{error}"),
        }
        // With what the first one has converted, as the next template of a delivery.
        let again = template.render(&fetches, &converted, 1_700_000_000);
        assert_eq!(rendered.map(|bytes| bytes.expose().to_vec()), again.map(|bytes| bytes.expose().to_vec()));
    }
}

const CANARY: &str = "canary-7f3a";

fn fetched() -> Fetched {
    let data = json!({ "user": CANARY, "n": 42, "f": 1.5, "l": [CANARY, 1, null], "o": { "a": CANARY, "b": {} }, "m": "a\nb" });
    Fetched {
        payload: Payload::Map(SecretMap::from_json(data.to_string().as_bytes()).expect("an object")),
        version: None,
        lease: None,
        ends: None,
        metadata: Some(SecretBytes::from("{\"version\":1}".to_owned())),
    }
}

fn are_lines(mistakes: &[ConfigError]) {
    for mistake in mistakes {
        let line = format!("{}: {}", mistake.place, mistake.text);
        assert!(!line.contains(char::is_control), "a mistake is one line: {line:?}");
    }
}

/// A stream in which nothing changes is copied byte for byte; what was injected is not injected again; whatever stands
/// before it stays.
pub fn manifest(bytes: &[u8]) {
    const PLAIN: &str = "# as it was\nkind: ConfigMap\ndata: {mode: 0400, \"on\": no}   # a\n---\n";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let operator = &operators()[0];
    let run = |text: &str| secret_exec::k8s::manifest::manifest(&[Text { name: "stdin", text }], operator);
    let Ok(output) = run(text) else { return };
    assert_eq!(run(text).as_ref(), Ok(&output), "the same bytes have the same answer");
    if output.changed.is_empty() {
        assert_eq!(output.text, text, "nothing changed");
    }
    let twice =
        run(&output.text).unwrap_or_else(|error| panic!("what was written cannot be read: {error:?}\n{}", output.text));
    assert_eq!(twice, Output { text: output.text, changed: Vec::new(), warnings: twice.warnings.clone() });
    // Behind another document: a stream of JSON is YAML then, which refuses more.
    if !text.trim_start().starts_with('{')
        && !text.starts_with('\u{feff}')
        && let Ok(after) = run(&format!("{PLAIN}{text}"))
    {
        assert_eq!(after.text, format!("{PLAIN}{}", twice.text), "a document changes another");
    }
    let _ = secret_exec::k8s::manifest::function_config(text);
}

/// A reference that is read reads the same once it is written: in full, and as messages show it.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let none = BTreeMap::new();
    let Ok(reference) = SecretRef::parse(text, &none) else { return };
    let written = match &reference.key {
        Some(key) => format!("{}#{key}", reference.source.written()),
        None => reference.source.written(),
    };
    assert_eq!(SecretRef::parse(&written, &none).as_ref(), Ok(&reference), "{text:?} written {written:?}");
    let shown = reference.to_string();
    let read = SecretRef::parse(&shown, &none).unwrap_or_else(|error| panic!("{text:?} shown {shown:?}: {error}"));
    assert_eq!(read.to_string(), shown);
    // By name, with a key of its own or with the entry's.
    let named = BTreeMap::from([("n".to_owned(), reference.clone())]);
    assert_eq!(SecretRef::parse("n", &named).as_ref(), Ok(&reference));
    assert_eq!(SecretRef::parse("n#k", &named).is_ok(), reference.key.is_none());
}
