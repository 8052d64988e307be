//! Pod annotations as a layer of the configuration: keys `secret-exec.dev/…`, from a downward-API file in the pod or
//! from the pod itself at admission. Keys that only the injector reads are skipped.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::check::Author;
use super::dialect::Setting;
use super::keys::ROOT;
use super::layer::{Annotations, Layer, Reading, Text};
use super::names::{kebab, singles};
use super::nearest::nearest;
use super::place::{ConfigError, Place};
use super::shape::Shape;
use super::tree::{ConfigErrors, Kind, Node};
use super::yaml::{self, Origin};

pub use super::place::PREFIX;

/// Keys that only the injector reads.
const INJECTOR: [&str; 4] = ["inject", "mode", "containers", "resources"];
const INJECTOR_COMMAND: &str = "command.";

/// The most YAML nodes in `config`, because a webhook reads it for many pods in one thread.
const MAX_NODES: usize = 4000;
/// The most unknown keys that get a suggestion.
const MAX_SUGGESTIONS: usize = 25;

/// The kinds of keys with a name after the dot: kind, map of the config, and field below the name.
const NAMED: [(&str, &str, Option<&str>); 5] = [
    ("file", "files", None),
    ("env", "env", None),
    ("secret", "secrets", None),
    ("template", "files", Some("template")),
    ("format", "files", Some("format")),
];

/// Settings that only the operator may set, by the keys someone may try.
const NEVER: [&str; 6] = ["skip-verify", "proxy", "redirect-hosts", "tls-server-name", "allow-insecure", "local"];

/// Every mistake in a pod's annotations that can be found without the other layers.
pub fn check<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<ConfigError> {
    check_all(pairs, &[])
}

/// Every mistake in a pod's annotations, and in the settings from another injector's annotations, that can be found
/// without the other layers.
pub fn check_all<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, settings: &[Setting]) -> Vec<ConfigError> {
    let mut mistakes = ConfigErrors::default();
    from_pairs(pairs, settings, &mut mistakes);
    mistakes.sorted()
}

/// Reads annotations as a layer.
pub(super) fn layer(annotations: Annotations<'_>, mistakes: &mut ConfigErrors) -> (Node, Reading) {
    match annotations {
        Annotations::Pairs(pairs) => from_pairs(as_texts(pairs), &[], mistakes),
        Annotations::Admitted(pairs, settings) => from_pairs(as_texts(pairs), settings, mistakes),
        Annotations::File(file) => match parse_downward_api(file) {
            Ok(pairs) if pairs.is_empty() => {
                let text = "holds no annotation; whoever copied this pod may have left them out (kubectl debug --copy-to does)";
                mistakes.add(&Place::Line { file: file.name.to_owned(), line: 1 }, text);
                (Node::empty(), Reading::Broken)
            }
            Ok(pairs) => from_pairs(as_texts(&pairs), &[], mistakes),
            Err(wrong) => {
                wrong.into_iter().for_each(|mistake| mistakes.add(&mistake.place, mistake.text));
                (Node::empty(), Reading::Broken)
            }
        },
    }
}

/// The pairs, borrowed.
fn as_texts(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// In the path of a setting: the values are items of a list, each below the rest of the path.
const LIST: &str = "[]";

/// Converts a setting from another injector's annotation to a part of the layer.
fn part(setting: &Setting) -> Node {
    let place = Place::Annotation(setting.annotation.clone());
    let (above, below) = match setting.path.iter().position(|part| part == LIST) {
        Some(at) => (&setting.path[..at], Some(&setting.path[at + 1..])),
        None => (setting.path.as_slice(), None),
    };
    let value = match (setting.values.as_slice(), below) {
        ([only], None) => Node::given(only, &place),
        (many, below) => {
            let item = |value: &String| Node::given(value, &place).under(below.unwrap_or_default());
            Node { kind: Kind::List(many.iter().map(item).collect()), place: place.clone() }
        }
    };
    value.under(above)
}

/// Reads annotations as a layer, over `settings` from another injector's annotations. Keys with other prefixes are
/// ignored; a single key takes precedence over the same key inside `config`.
pub(super) fn from_pairs<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    settings: &[Setting],
    mistakes: &mut ConfigErrors,
) -> (Node, Reading) {
    let mut reading = Reading::Complete;
    let mut layer = Layer::new(Author::Annotation);
    let mut keys: Vec<_> = pairs.into_iter().filter(|(key, _)| key.starts_with(PREFIX)).collect();
    keys.sort_unstable();
    let is_config = |(key, _): &(&str, &str)| *key == "secret-exec.dev/config";
    if let Some((key, text)) = keys.iter().find(|pair| is_config(pair)) {
        let origin = format!("annotation {key}");
        match yaml::parse_bounded(text, &Origin::File(&origin), MAX_NODES, mistakes) {
            Some(mut node) => {
                node.drop_schema_key();
                layer.add(node, mistakes);
            }
            None => reading = Reading::Broken,
        }
    }
    let mut seen: BTreeMap<Vec<String>, &str> = BTreeMap::new();
    let mut unknown = 0;
    for (key, value) in keys.into_iter().filter(|pair| !is_config(pair)) {
        let place = Place::Annotation(key.to_owned());
        match path_of(&key[PREFIX.len()..]) {
            Ok(None) => {}
            Err(KeyError::Refused(text)) => mistakes.add(&place, text),
            Err(KeyError::Unknown) => {
                // Few of them are shown, and computing a suggestion for each would be slow.
                unknown += 1;
                let text = if unknown <= MAX_SUGGESTIONS { unknown_text(key) } else { "unknown annotation".to_owned() };
                mistakes.add(&place, text);
            }
            Ok(Some(path)) => {
                let value_path = value_path(&path);
                match conflicting(&seen, &value_path) {
                    Some(other) => mistakes.add(&place, format!("cannot stand together with {other}")),
                    None => {
                        layer.add(Node::given(value, &place).under(&path), mistakes);
                        seen.insert(value_path, key);
                    }
                }
            }
        }
    }
    let mut translated = Layer::new(Author::Annotation);
    let counts = |setting: &&Setting| !is_of_replaced_template(setting, &layer.tree);
    settings.iter().filter(counts).for_each(|setting| translated.add(part(setting), mistakes));
    layer.put_under(translated);
    (layer.tree, reading)
}

/// Whether a setting concerns the parsing of a template that one of our annotations replaces.
fn is_of_replaced_template(setting: &Setting, own: &Node) -> bool {
    const READ: [&str; 4] = ["language", "leftDelimiter", "rightDelimiter", "errorOnMissingKey"];
    let [map, name, field] = setting.path.as_slice() else { return false };
    let template = || own.field(map)?.field(name)?.field("template");
    READ.contains(&field.as_str()) && template().is_some()
}

/// The path of the value that an option sets: `volume.path` for `volume`, which is short for it.
fn value_path(path: &[String]) -> Vec<String> {
    let is_option = !NAMED.iter().any(|(_, map, _)| path.first().is_some_and(|first| first == map));
    let shape = path.iter().try_fold(&ROOT, |shape, key| shape.under(key)).filter(|_| is_option);
    let field = match shape {
        Some(Shape::Short { into, .. }) => *into,
        _ => None,
    };
    path.iter().map(String::as_str).chain(field).map(str::to_owned).collect()
}

/// An earlier annotation for the same key, or for the same file's content. (A template has a format of its own.)
fn conflicting<'a>(seen: &BTreeMap<Vec<String>, &'a str>, path: &[String]) -> Option<&'a str> {
    let file = |name: &String, field: Option<&str>| {
        let path = ["files", name].into_iter().chain(field);
        path.map(str::to_owned).collect::<Vec<_>>()
    };
    let others = match path {
        [map, name, field] if map == "files" && field == "template" => {
            vec![file(name, None), file(name, Some("format"))]
        }
        [map, name] if map == "files" => vec![file(name, Some("template"))],
        _ => Vec::new(),
    };
    seen.get(path).or_else(|| others.iter().find_map(|other| seen.get(other))).copied()
}

/// Why a key is not accepted.
enum KeyError {
    Refused(&'static str),
    Unknown,
}

/// Every option by its annotation key. Computed once, because a pod may have many annotations.
static SINGLES: LazyLock<BTreeMap<String, Vec<&str>>> =
    LazyLock::new(|| singles().into_iter().map(|single| (single.kebab(), single.path)).collect());

/// The key of the config that an annotation sets; `None` for the injector's own keys.
fn path_of(key: &str) -> Result<Option<Vec<String>>, KeyError> {
    if INJECTOR.contains(&key) || key.strip_prefix(INJECTOR_COMMAND).is_some_and(|name| !name.is_empty()) {
        return Ok(None);
    }
    if NEVER.contains(&key) {
        return Err(KeyError::Refused("is the operator's to set, never an annotation's"));
    }
    if let Some((kind, name)) = key.split_once('.')
        && let Some((_, map, field)) = NAMED.iter().find(|(known, ..)| *known == kind)
        && !name.is_empty()
    {
        let path = [Some(*map), Some(name), *field].into_iter().flatten().map(str::to_owned).collect();
        return if is_a_key(key) { Ok(Some(path)) } else { Err(KeyError::Refused(NO_KEY)) };
    }
    let of = |path: &[&str]| Ok(Some(path.iter().map(|name| (*name).to_owned()).collect()));
    if key == "vault-role" {
        return of(&["vault", "auth", "role"]);
    }
    match SINGLES.get(key) {
        Some(path) => of(path),
        None => Err(KeyError::Unknown),
    }
}

/// The message for an unknown key, with a suggestion. `key` includes the prefix.
fn unknown_text(key: &str) -> String {
    let key = &key[PREFIX.len()..];
    let known = SINGLES.keys().map(String::as_str).chain(INJECTOR).chain(["config", "vault-role", "command"]);
    let known = known.chain(NAMED.iter().map(|(kind, ..)| *kind));
    let (kind, name) = key.split_once('.').map_or((key, None), |(kind, name)| (kind, Some(name)));
    let is_named = |kind: &str| kind == "command" || NAMED.iter().any(|(known, ..)| *known == kind);
    let meant = nearest(kind, known).map(|kind| match name {
        _ if !is_named(kind) => kind.to_owned(),
        Some(name) if !name.is_empty() => format!("{kind}.{name}"),
        _ => format!("{kind}.NAME"),
    });
    match meant {
        Some(meant) => format!("unknown annotation; did you mean {PREFIX}{meant}?"),
        None => format!(
            "unknown annotation; expected {PREFIX}file.NAME, env.NAME, template.NAME, format.NAME, secret.NAME, \
             vault-role, config or another option by its name"
        ),
    }
}

const NO_KEY: &str = "Kubernetes has no such key: after the prefix it allows 63 letters, digits, \"-\", \"_\" and \".\", the last one a \
                      letter or digit; say it in secret-exec.dev/config";

/// Whether Kubernetes allows this name after a prefix (labels and annotations, syntax and character set).
fn is_a_key(name: &str) -> bool {
    name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether a file of this name can be configured by an annotation of its own.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && is_a_key(&format!("template.{name}"))
}

/// The annotation key of an option, without the prefix: `vault-auth-role` for `vault.auth.role`.
pub fn option_key(path: &[&str]) -> String {
    kebab(path)
}

/// Parses a downward-API file: lines `key="value"`, with the value quoted like Go's `%q`. A byte order mark and the line ends
/// of Windows are an editor's.
pub fn parse_downward_api(file: Text<'_>) -> Result<Vec<(String, String)>, Vec<ConfigError>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut mistakes = ConfigErrors::default();
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(file.text);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let place = Place::Line { file: file.name.to_owned(), line: at + 1 };
        let pair = line.split_once('=').filter(|(key, _)| !key.is_empty());
        match pair.and_then(|(key, quoted)| Some((key, unquoted(quoted)?))) {
            Some((key, _)) if pairs.iter().any(|(known, _)| known == key) => {
                mistakes.add(&place, format!("duplicate annotation {key}"));
            }
            Some((key, value)) => pairs.push((key.to_owned(), value)),
            None => mistakes.add(&place, "expected key=\"value\" as the downward API writes annotations"),
        }
    }
    let mistakes = mistakes.sorted();
    if mistakes.is_empty() { Ok(pairs) } else { Err(mistakes) }
}

/// The content of a Go string literal in double quotes (go.dev/ref/spec, String literals); `None` if it is malformed,
/// or if its `\x` bytes are not UTF-8.
fn unquoted(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"').filter(|_| literal.len() >= 2)?;
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return None,
            '\\' => rest = escape(rest, &mut out)?,
            c if c.is_control() => return None,
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(out).ok()
}

/// Decodes the escape sequence after a backslash into `out`; returns the rest.
fn escape<'a>(text: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let (name, rest) = text.split_at_checked(1)?;
    let hex = |digits: usize| {
        let (number, rest) = rest.split_at_checked(digits)?;
        let is_hex = number.bytes().all(|b| b.is_ascii_hexdigit());
        Some((is_hex.then(|| u32::from_str_radix(number, 16).ok()).flatten()?, rest))
    };
    let byte = match name {
        "a" => 7,
        "b" => 8,
        "f" => 12,
        "n" => b'\n',
        "r" => b'\r',
        "t" => b'\t',
        "v" => 11,
        "\\" => b'\\',
        "\"" => b'"',
        "x" => {
            let (number, rest) = hex(2)?;
            out.push(u8::try_from(number).ok()?);
            return Some(rest);
        }
        "u" | "U" => {
            let (number, rest) = hex(if name == "u" { 4 } else { 8 })?;
            out.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(rest);
        }
        _ => return None,
    };
    out.push(byte);
    Some(rest)
}
