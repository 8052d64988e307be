//! Reads typed values out of the checked tree. What has been reported is simply not there.

use std::fmt::Display;

use crate::domain::{FileMode, Owner, RunAs};

use super::check::is_misspelt;
use super::keys::ROOT;
use super::place::Place;
use super::tree::{ConfigErrors, Kind, Node};
use super::value;

/// The tree of all layers, and the mistakes so far.
pub(super) struct Reader<'t> {
    /// All layers as one, in normal form.
    pub(super) tree: &'t Node,
    /// What is wrong.
    pub(super) mistakes: ConfigErrors,
}

impl<'t> Reader<'t> {
    /// The value under a dotted path from the root.
    pub(super) fn read<T, E: Display>(&mut self, path: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let node = self.tree.at(path)?;
        self.parsed(node, path, parse)
    }

    /// The value of a field of `node`, which is called `path`.
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

    fn parsed<T, E: Display>(
        &mut self,
        node: &Node,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        // The layer's check has reported what does not parse; a second report of the same is dropped at the end.
        let text = node.text()?;
        self.mistakes.take(parse(text), &node.place, path)
    }

    /// A switch, off by default.
    pub(super) fn is_on(&mut self, path: &str) -> bool {
        self.read(path, value::boolean).unwrap_or(false)
    }

    /// Where a key was written.
    pub(super) fn place(&self, path: &str) -> Place {
        self.tree.at(path).map_or(Place::Missing, |node| node.place.clone())
    }

    /// Whether nobody says anything at `section.key`, right or wrong, nor something that was probably meant so.
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

/// Any text, as it is.
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
