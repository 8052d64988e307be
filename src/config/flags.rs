//! Command-line flags as a layer: `--set`, `--file`, `--env`, `--on-change`, and a flag for every single-valued key of
//! the top level.

use std::collections::BTreeSet;
use std::fmt;

use super::check::Author;
use super::layer::{Layer, Reading};
use super::names::{locate, singles};
use super::nearest::nearest;
use super::place::{ConfigError, Place};
use super::shape::Shape;
use super::tree::{ConfigErrors, Kind, Node};
use super::yaml::{self, Origin};

/// With this flag, annotations and environment do not affect backends, login, proxies and hooks, because others may be
/// able to edit those.
pub const PINNED: &str = "--pinned";

/// A flag of the command line with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as written: `--run-as`.
    pub name: String,
    /// Its value; empty for a switch.
    pub value: String,
}

impl Flag {
    /// A flag from its parts.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flag").field(&self.name).finish()
    }
}

/// Reads all flags as a layer, and the value of `--local`. Of a repeated flag with a single value the last takes precedence; a
/// file, variable, secret or list may be set only once, and two flags may not contradict each other.
pub(super) fn layer<'a>(flags: &'a [Flag], mistakes: &mut ConfigErrors) -> (Node, Option<&'a str>, Reading) {
    read(flags, Author::Operator, mistakes)
}

/// Reads flags as a layer of this author.
fn read<'a>(flags: &'a [Flag], author: Author, mistakes: &mut ConfigErrors) -> (Node, Option<&'a str>, Reading) {
    let mut reader = Reader {
        layer: Layer::new(author),
        seen: BTreeSet::new(),
        actions: Vec::new(),
        local: None,
        reading: Reading::Complete,
        mistakes,
    };
    for flag in flags {
        reader.flag(flag);
    }
    reader.finish()
}

/// The mistakes that these flags would be if annotations had to set the same.
pub fn check_as_annotations(flags: &[Flag]) -> Vec<ConfigError> {
    let mut mistakes = ConfigErrors::default();
    if let Some(flag) = flags.iter().find(|flag| ["--local", PINNED].contains(&flag.name.as_str())) {
        mistakes.add(&Place::Flag(flag.name.clone()), "is no annotation's to set");
    }
    read(flags, Author::Annotation, &mut mistakes);
    mistakes.sorted()
}

struct Reader<'a, 'm> {
    layer: Layer,
    seen: BTreeSet<(&'a str, &'a str)>,
    actions: Vec<Node>,
    local: Option<&'a str>,
    reading: Reading,
    mistakes: &'m mut ConfigErrors,
}

impl<'a> Reader<'a, '_> {
    /// Adds one flag to the layer.
    fn flag(&mut self, flag: &'a Flag) {
        let place = Place::Flag(flag.name.clone());
        match flag.name.as_str() {
            "--set" => self.set(&flag.value),
            "--file" => self.entry(flag, "files"),
            "--env" => self.entry(flag, "env"),
            "--on-change" => self.actions.push(Node::given(&flag.value, &place)),
            "--local" if flag.value.is_empty() => self.mistakes.add(&place, "expected a file"),
            "--local" => self.local = Some(&flag.value),
            PINNED => {}
            "--supervise" | "--leave-leases" if flag.value.is_empty() => {
                self.set_top_level_key(&flag.name, "true", &place)
            }
            name => self.set_top_level_key(name, &flag.value, &place),
        }
    }

    /// Sets the top-level key that has this flag.
    fn set_top_level_key(&mut self, name: &str, value: &str, place: &Place) {
        let singles: Vec<_> = singles().into_iter().filter(|single| single.path.len() == 1).collect();
        match singles.iter().find(|single| name.strip_prefix("--") == Some(&single.kebab())) {
            Some(single) => self.layer.add_consistent(Node::given(value, place).under(&single.path), self.mistakes),
            None => {
                let names: Vec<_> = singles.iter().map(|single| format!("--{}", single.kebab())).collect();
                let text = match nearest(name, names.iter().map(String::as_str)) {
                    Some(meant) => format!("unknown flag; did you mean {meant}?"),
                    None => "unknown flag; any key of the config can be set with --set KEY=VALUE".to_owned(),
                };
                self.mistakes.add(place, text);
            }
        }
    }

    /// Handles `--file NAME=REF` and `--env NAME=REF`.
    fn entry(&mut self, flag: &'a Flag, map: &'a str) {
        let Some((name, reference)) = flag.value.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            self.mistakes.add(&Place::Flag(flag.name.clone()), "expected NAME=REF, such as x=vault:secret/data/x#key");
            return;
        };
        let place = Place::Flag(format!("{} {name}", flag.name));
        if !self.seen.insert((map, name)) {
            self.mistakes.add(&place, "given twice");
            return;
        }
        let (reference, options) = split_options(reference, map);
        if let Some((option, meant)) = misspelled_option(reference, map) {
            self.mistakes.add(&place, format!("unknown option {option:?} behind the reference; did you mean {meant}?"));
            return;
        }
        let is_changed = |(at, (option, value)): &(usize, &(&str, &str))| {
            options[..*at].iter().any(|(earlier, other)| earlier == option && other != value)
        };
        if let Some((_, (option, _))) = options.iter().enumerate().find(is_changed) {
            self.mistakes.add(&place, format!("{option} is given twice"));
            return;
        }
        if options.is_empty() {
            return self.layer.add_consistent(Node::given(reference, &place).under(&[map, name]), self.mistakes);
        }
        self.layer.add_consistent(Node::given(reference, &place).under(&[map, name, "from"]), self.mistakes);
        for (option, value) in options {
            self.layer.add_consistent(Node::given(value, &place).under(&[map, name, option]), self.mistakes);
        }
    }

    /// Handles `--set KEY=VALUE`: the value of a single-valued key is taken as it is, any other is parsed as YAML.
    fn set(&mut self, text: &str) {
        let (key, value) = match split_set(text) {
            Some(parts) => parts,
            None => {
                self.mistakes.add(&Place::Flag("--set".to_owned()), "expected KEY=VALUE, such as vault.auth.role=web");
                return;
            }
        };
        let place = Place::Flag(format!("--set {key}"));
        let Some((path, shape)) = self.mistakes.take(locate(key), &place, "") else { return };
        let is_yaml = match shape {
            Shape::Single(_) => false,
            Shape::Short { .. } => value.starts_with('{'),
            Shape::List { .. } if shape.is_single() => value.starts_with(['[', '{']),
            _ => true,
        };
        let node = if is_yaml {
            match yaml::parse(value, &Origin::Value(&place), self.mistakes) {
                Some(node) => node,
                None => {
                    self.reading = Reading::Broken;
                    return;
                }
            }
        } else {
            Node::given(value, &place)
        };
        self.layer.add_consistent(node.under(&path), self.mistakes);
    }

    /// The layer, with the collected actions, and the value of `--local`.
    fn finish(mut self) -> (Node, Option<&'a str>, Reading) {
        if let Some(first) = self.actions.first() {
            let place = first.place.clone();
            let list = Node { kind: Kind::List(self.actions), place };
            self.layer.add_consistent(list.under(&["onChange"]), self.mistakes);
        }
        (self.layer.tree, self.local, self.reading)
    }
}

/// Splits `,format=dotenv,mode=0440` off the end of a reference: fields that are set beside `from`. Any other comma
/// belongs to the reference.
fn split_options<'a>(mut text: &'a str, map: &str) -> (&'a str, Vec<(&'a str, &'a str)>) {
    let fields = option_names(map);
    let mut options = Vec::new();
    while let Some((before, option)) = text.rsplit_once(',') {
        let Some((name, value)) = option.split_once('=').filter(|(name, _)| fields.contains(name)) else { break };
        // The shell has removed one level of quotes; YAML's may remain.
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        options.push((name, value));
        text = before;
    }
    options.reverse();
    (text, options)
}

/// The fields that may follow a reference.
fn option_names(map: &str) -> &'static [&'static str] {
    if map == "files" { &["format", "decode", "mode", "refresh"] } else { &["format", "decode"] }
}

/// A likely misspelled option at the end of a reference, and the correct name.
fn misspelled_option<'a>(text: &'a str, map: &str) -> Option<(&'a str, &'static str)> {
    let (name, _) = text.rsplit_once(',')?.1.split_once('=').filter(|(_, value)| !value.contains('#'))?;
    let in_parameters = text.rsplit_once('?').is_some_and(|(_, rest)| !rest.contains('#'));
    let is_word = !in_parameters && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic());
    Some((name, nearest(name, option_names(map).iter().copied())?)).filter(|_| is_word)
}

/// Splits at the first `=` outside quotes.
fn split_set(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let place = text.find(|c| {
        quoted ^= c == '"';
        c == '=' && !quoted
    })?;
    Some((&text[..place], &text[place + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_file_stand_after_its_reference() {
        let reference = "vault:secret/data/a,b?x=1,format=2#k,mode";
        assert_eq!(split_options(reference, "files"), (reference, vec![]));
        let expected = ("vault:secret/data/db", vec![("format", "dotenv"), ("mode", "0440")]);
        assert_eq!(split_options("vault:secret/data/db,format=dotenv,mode=0440", "files"), expected);
        assert_eq!(split_options("db,mode=0440", "env"), ("db,mode=0440", vec![]));
        assert_eq!(split_options("db,mode=\"0440\"", "files"), ("db", vec![("mode", "0440")]));
        for (text, meant) in [
            ("vault:a#k,fromat=raw", Some(("fromat", "format"))),
            ("vault:a#k,Mode=0440", Some(("Mode", "mode"))),
            ("vault:a#k,x=1", None),
            ("vault:a?labels=a=1,node=x", None),
            ("vault:a?b=1,formats=2#k", None),
            ("vault:a#k", None),
        ] {
            assert_eq!(misspelled_option(text, "files"), meant, "{text}");
        }
        assert_eq!(split_options("db#p,decode=base64", "env"), ("db#p", vec![("decode", "base64")]));
    }
}
