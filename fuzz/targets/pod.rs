//! The other side of an admission, written a second time: what the API server makes of a patch, what kubelet makes of a
//! pod, and what the program in it then reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret_exec::config::{Flag, Layers, Wraps, resolve};
use serde_json::Value;

/// The object after the patch of a response (RFC 6902, of which `add` is all that is used).
pub fn patched(object: &Value, response: &Value) -> Value {
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().expect("a patch")).expect("base64");
    let patch: Vec<Value> = serde_json::from_slice(&patch).expect("a list of operations");
    assert!(!patch.is_empty());
    let mut object = object.clone();
    for op in patch {
        assert_eq!(op["op"], "add");
        let pointer = op["path"].as_str().expect("a path");
        let (parent, last) = pointer.rsplit_once('/').expect("a path of steps");
        let last = last.replace("~1", "/").replace("~0", "~");
        match object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
            Value::Object(map) => drop(map.insert(last, op["value"].clone())),
            Value::Array(list) if last == "-" => list.push(op["value"].clone()),
            Value::Array(list) => list.insert(last.parse().expect("an index"), op["value"].clone()),
            other => panic!("{pointer} leads into {other}"),
        }
    }
    object
}

/// Whether everything of `before` is still in `after`; the command of a container that is wrapped stands at its end.
pub fn survives(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().all(|(key, value)| {
            value.is_null()
                || after.get(key).is_some_and(|found| survives(value, found) || (key == "command" && wraps(found)))
                || key == "shareProcessNamespace"
        }),
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            before.iter().all(|value| rest.any(|found| survives(value, found)))
        }
        (before, after) => before == after,
    }
}

fn wraps(command: &Value) -> bool {
    command[0] == "/run/secret-exec-bin/secret-exec"
}

/// A file as kubelet writes it: sorted, quoted as Go's `%q` does.
pub fn downward_api<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let mut lines: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Go's `strconv.Quote`, but for what is not printable and no control character, which Go escapes and we need not.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || c.is_whitespace() && c != ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if c > '\u{ffff}' => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Every process of ours in an injected pod reads a configuration: what admission lets through starts.
pub fn reads_itself(pod: &Value) {
    let mut read = 0;
    let spec = &pod["spec"];
    for container in list(&spec["initContainers"]).iter().chain(list(&spec["containers"])) {
        let (words, wraps) = if wraps(&container["command"]) {
            (&list(&container["command"])[1..], Wraps::Command)
        } else if matches!(container["args"][0].as_str(), Some("init" | "sidecar")) {
            (list(&container["args"]), Wraps::Nothing)
        } else {
            continue;
        };
        let words: Vec<String> = words.iter().map(|word| word.as_str().expect("a word").replace("$$", "$")).collect();
        let mut words = words.iter().map(String::as_str).take_while(|word| *word != "--");
        let mut flags = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "init" | "sidecar" => {}
                "--leave-leases" | "--pinned" | "--supervise" => flags.push(Flag::new(word, "")),
                name => flags.push(Flag::new(name, words.next().expect("a value"))),
            }
        }
        let environment: Vec<(String, String)> = list(&container["env"])
            .iter()
            .filter_map(|variable| {
                Some((variable["name"].as_str()?.to_owned(), variable["value"].as_str()?.to_owned()))
            })
            .filter(|(_, value)| !value.contains("$("))
            .collect();
        let layers = Layers { environment: &environment, annotations: None, file: None, flags: &flags, wraps };
        if let Err(mistakes) = resolve(&layers) {
            panic!("admitted, and refused by its own container {}: {mistakes:?}", container["name"]);
        }
        read += 1;
    }
    assert!(read > 0, "nobody reads anything");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
