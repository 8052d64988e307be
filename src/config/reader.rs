//! Reads typed values from the validated tree. A value with a reported mistake counts as missing.

use std::fmt::Display;

use crate::domain::{FileMode, Owner, RunAs};

use super::check::is_misspelt;
use super::keys::ROOT;
use super::place::Place;
use super::tree::{ConfigErrors, Kind, Node};
use super::value;

/// The merged tree, and the mistakes so far.
pub(super) struct Reader<'t> {
    /// The merged tree, normalised.
    pub(super) tree: &'t Node,
    /// The mistakes so far.
    pub(super) mistakes: ConfigErrors,
}

impl<'t> Reader<'t> {
    /// The value under a dotted path from the root.
    pub(super) fn read<T, E: Display>(&mut self, path: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let node = self.tree.at(path)?;
        self.parsed(node, path, parse)
    }

    /// The value of a field of `node`, whose own path is `path`.
    pub(super) fn field<T, E: Display>(
        &mut self,
        node: &Node,
        path: &str,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let node = node.field(name)?;
        self.parsed(node, &format!("{path}.{name}"), parse)
    }

    /// Parses the value of a node, and reports a mistake.
    fn parsed<T, E: Display>(
        &mut self,
        node: &Node,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        // An invalid value was already reported for its layer; duplicates are removed at the end.
        let text = node.text()?;
        self.mistakes.take(parse(text), &node.place, path)
    }

    /// The value of a boolean key, `false` by default.
    pub(super) fn is_on(&mut self, path: &str) -> bool {
        self.read(path, value::boolean).unwrap_or(false)
    }

    /// Where a key was set.
    pub(super) fn place(&self, path: &str) -> Place {
        self.tree.at(path).map_or(Place::Missing, |node| node.place.clone())
    }

    /// Whether `section.key` is missing, and no misspelling of it was found.
    pub(super) fn is_missing(&self, section: &str, key: &str) -> bool {
        let is_empty = |node: &Node| matches!(&node.kind, Kind::Map(entries) if entries.is_empty());
        match self.tree.field(section) {
            None => !is_misspelt(self.tree, &ROOT, section),
            Some(node) if node.kind == Kind::Bad => false,
            Some(node) => {
                let shape = ROOT.under(section).expect("a key of the root");
                node.field(key).is_none_or(is_empty) && !is_misspelt(node, shape, key)
            }
        }
    }
}

/// Any string.
pub(super) fn any(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.to_owned())
}

/// `runAs`.
pub(super) fn run_as(text: &str) -> Result<RunAs, impl Display + use<>> {
    RunAs::parse(text)
}

/// `volume.owner`.
pub(super) fn owner(text: &str) -> Result<Owner, impl Display + use<>> {
    Owner::parse(text)
}

/// `mode` of a file.
pub(super) fn mode(text: &str) -> Result<FileMode, impl Display + use<>> {
    FileMode::parse(text)
}
