//! Reads the entries of `secrets`, `files`, `env` and `envFrom`: what is fetched, and what is made of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{EnvName, FileName, ReferenceError, SecretRef};

use super::annotations::PREFIX;
use super::behind::option_behind;
use super::language::{GoOptions, Language, MissingKey};
use super::model::{Content, Decode, EnvEntry, EnvFrom, FileEntry, Format, NamedSecret, Template};
use super::nearest::nearest;
use super::place::Place;
use super::reader::{Reader, any, mode};
use super::tree::{Entry, Node, join};
use super::value;

/// The references of named secrets, by name.
pub(super) type Named = BTreeMap<String, SecretRef>;

impl<'t> Reader<'t> {
    /// The entries of a map at the top level.
    fn under(&self, map: &str) -> &'t [Entry] {
        self.tree.field(map).map_or(&[], Node::entries)
    }

    /// Reads `secrets`.
    pub(super) fn secrets(&mut self) -> BTreeMap<String, NamedSecret> {
        let mut found = BTreeMap::new();
        let names: BTreeSet<&str> = self.under("secrets").iter().map(|entry| entry.key.as_str()).collect();
        for Entry { key, place, value: node } in self.under("secrets") {
            let path = join("secrets", key);
            let reference = node.field("from").and_then(|from| {
                let text = from.text()?;
                if is_template(text) {
                    let error =
                        "a template is no secret of its own; it stands under `files` or `env`, as { template: … }";
                    self.mistakes.about(&from.place, &path, error);
                    return None;
                }
                if names.contains(cut(text)) {
                    let error = "names another entry of `secrets`; give the reference itself";
                    self.mistakes.about(&from.place, &path, error);
                    return None;
                }
                if let Some(option) = option_behind(text) {
                    self.mistakes.about(&from.place, &path, option.elsewhere(&from.place, &path));
                    return None;
                }
                let result = SecretRef::parse(text, &Named::new());
                self.mistakes.take(result.map_err(|error| error_without_secrets(&error)), &from.place, &path)
            });
            let refresh = self.field(node, &path, "refresh", value::duration);
            if let Some(reference) = reference {
                found.insert(key.clone(), NamedSecret { reference, refresh, place: place.clone() });
            }
        }
        found
    }

    /// Reads `files`.
    pub(super) fn files(&mut self, named: &Named) -> Vec<FileEntry> {
        let mut found: Vec<FileEntry> = Vec::new();
        // Every name, and every folder above one, with the index of the entry that has it.
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut folders: BTreeMap<String, usize> = BTreeMap::new();
        for Entry { key, place, value: node } in self.under("files") {
            let path = join("files", key);
            let name = self.mistakes.take(FileName::parse(key), place, &path);
            let content = self.content(node, &path, named);
            let mode = self.field(node, &path, "mode", mode);
            let refresh = self.field(node, &path, "refresh", value::duration);
            let (Some(name), Some(content)) = (name, content) else { continue };
            let text = name.to_string();
            let above = text.match_indices('/').map(|(at, _)| &text[..at]);
            let rival = names
                .get(&text)
                .or_else(|| folders.get(&text))
                .or_else(|| above.clone().find_map(|folder| names.get(folder)));
            if let Some(other) = rival.map(|at| &found[*at]) {
                let text = format!("clashes with {} ({}): one would be a file and a folder", other.name, other.place);
                self.mistakes.about(place, &path, text);
            }
            for folder in above {
                folders.entry(folder.to_owned()).or_insert(found.len());
            }
            names.entry(text).or_insert(found.len());
            found.push(FileEntry { name, content, mode, refresh, place: place.clone() });
        }
        found
    }

    /// Reads `env`.
    pub(super) fn variables(&mut self, named: &Named) -> Vec<EnvEntry> {
        let mut found = Vec::new();
        for Entry { key, place, value: node } in self.under("env") {
            let path = join("env", key);
            if key == "SECRET_EXEC_DIR" {
                self.mistakes.about(place, &path, "is set by secret-exec itself, to the directory of the files");
                continue;
            }
            let name = self.mistakes.take(EnvName::parse(key), place, &path);
            let content = self.content(node, &path, named);
            if let (Some(name), Some(content)) = (name, content) {
                found.push(EnvEntry { name, content, place: place.clone() });
            }
        }
        found
    }

    /// Reads `envFrom`.
    pub(super) fn variable_maps(&mut self, named: &Named) -> Vec<EnvFrom> {
        let mut found = Vec::new();
        for (at, node) in self.tree.field("envFrom").map_or(&[][..], Node::items).iter().enumerate() {
            let path = format!("envFrom[{at}]");
            let prefix = self.field(node, &path, "prefix", value::prefix).unwrap_or_default();
            let Some(reference) = node.field("from").and_then(|from| self.reference(from, &path, named)) else {
                continue;
            };
            if reference.key.is_some() {
                let text = "picks one key, but envFrom takes every key of a secret; leave the \"#\" and the key out";
                self.mistakes.about(&node.place, &path, text);
                continue;
            }
            found.push(EnvFrom { reference, prefix, place: node.place.clone() });
        }
        found
    }

    /// Reads the content of a file or variable: a reference or a template.
    fn content(&mut self, node: &Node, path: &str, named: &Named) -> Option<Content> {
        if node.field("template").is_some() {
            let language = self.language(node, path);
            let text = self.field(node, path, "template", any)?;
            return Some(Content::Template(Template::Text(text), language));
        }
        if node.field("templateFile").is_some() {
            let language = self.language(node, path);
            let file = self.field(node, path, "templateFile", value::path)?;
            return Some(Content::Template(Template::File(file), language));
        }
        let reference = self.reference(node.field("from")?, path, named);
        let format = self.field(node, path, "format", format);
        let decode = self.field(node, path, "decode", |_| Ok::<_, String>(Decode::Base64));
        Some(Content::Secret { reference: reference?, format, decode })
    }

    /// Reads the language of a template (its own, or the general one) and its options.
    fn language(&mut self, node: &Node, path: &str) -> Language {
        let own = self.field(node, path, "language", any);
        let name = own.or_else(|| self.read("templateLanguage", any));
        let mut options = GoOptions::default();
        if name.as_deref() != Some("go") {
            for field in ["leftDelimiter", "rightDelimiter", "errorOnMissingKey"] {
                if let Some(other) = node.field(field) {
                    self.mistakes.about(&other.place, &join(path, field), "is for Go templates; add language: go");
                }
            }
            return Language::Jinja;
        }
        if let Some(left) = self.field(node, path, "leftDelimiter", any) {
            options.left = left;
        }
        if let Some(right) = self.field(node, path, "rightDelimiter", any) {
            options.right = right;
        }
        if self.field(node, path, "errorOnMissingKey", value::boolean) == Some(true) {
            options.missing_key = MissingKey::Error;
        }
        Language::Go(options)
    }

    /// Parses a reference.
    fn reference(&mut self, node: &Node, path: &str, named: &Named) -> Option<SecretRef> {
        let text = node.text()?;
        if is_template(text) {
            self.mistakes.about(&node.place, path, template_instead(&node.place, path));
            return None;
        }
        if let Some(option) = option_behind(text) {
            self.mistakes.about(&node.place, path, option.elsewhere(&node.place, path));
            return None;
        }
        match SecretRef::parse(text, named) {
            Ok(reference) => Some(reference),
            // The entry exists but is invalid, which has been reported.
            Err(ReferenceError::UnknownName { name, .. }) if self.is_a_secret(&name) => None,
            Err(error) => {
                self.mistakes.about(&node.place, path, error_without_secrets(&error));
                None
            }
        }
    }

    /// Whether there is an entry of this name under `secrets`.
    fn is_a_secret(&self, name: &str) -> bool {
        self.tree.field("secrets").is_some_and(|all| all.field(name).is_some())
    }
}

/// Whether a template was written in place of a reference.
fn is_template(reference: &str) -> bool {
    let is_reference = ["vault:", "aws-sm:", "arn:", "file:"].iter().any(|scheme| reference.starts_with(scheme));
    // A reference may contain JSON in a parameter: `{%22a%22:1}`.
    !is_reference && (reference.contains("{{") || reference.contains("{%"))
}

/// The message about a template in place of a reference, with how to write it.
fn template_instead(place: &Place, path: &str) -> String {
    let what = "expected a reference, and this is a template";
    match (place, path.split_once('.')) {
        (Place::Annotation(_), Some(("files", name))) => format!("{what}: say it in {PREFIX}template.{name}"),
        (Place::Annotation(_), _) => format!("{what}: in {PREFIX}config it is {{ template: … }}"),
        (Place::Flag(_), Some(("files" | "env", _))) => {
            format!("{what}: in the config file it is {{ template: … }}; as a flag, --set {path}.template=…")
        }
        (_, Some(("files" | "env", _))) => format!("{what}: write {{ template: … }}"),
        _ => format!("{what}, which stands under `files` or `env`, as {{ template: … }}"),
    }
}

/// The reference without its key.
fn cut(reference: &str) -> &str {
    reference.split_once('#').map_or(reference, |(name, _)| name)
}

/// Parses a format's name.
fn format(text: &str) -> Result<Format, String> {
    match text {
        "raw" => Ok(Format::Raw),
        "json" => Ok(Format::Json),
        "yaml" => Ok(Format::Yaml),
        "dotenv" => Ok(Format::Dotenv),
        "properties" => Ok(Format::Properties),
        _ => Err("expected raw, json, yaml, dotenv or properties".to_owned()),
    }
}

/// The message about an invalid reference. It does not quote text that may be a secret, such as a password in place of
/// the reference.
fn error_without_secrets(error: &ReferenceError) -> String {
    const EXPECTED: &str =
        "not a reference; expected vault:PATH, aws-sm:NAME, arn:aws…, file:PATH or a name from `secrets`";
    match error {
        ReferenceError::UnknownName { name, known } => match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("no such entry under `secrets`; did you mean {meant:?}?"),
            None if known.is_empty() => EXPECTED.to_owned(),
            None => format!("{EXPECTED} ({})", known.join(", ")),
        },
        ReferenceError::UnknownScheme { scheme, nearest: None } if !looks_like_a_scheme(scheme) => EXPECTED.to_owned(),
        _ => error.to_string(),
    }
}

/// Whether the text consists of characters of a scheme, so that messages may quote it.
fn looks_like_a_scheme(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'+')
}
