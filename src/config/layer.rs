//! One layer of the configuration: its inputs, and how it is built from validated parts.

use std::fmt;

use super::check::{self, Author};
use super::contradiction;
use super::dialect::Setting;
use super::keys::ROOT;
use super::merge;
use super::tree::{ConfigErrors, Node};

/// A text with its name.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The name, for places in messages.
    pub name: &'a str,
    /// The content.
    pub text: &'a str,
}

/// The source of pod annotations.
#[derive(Clone, Copy)]
pub enum Annotations<'a> {
    /// A downward-API file, in the pod.
    File(Text<'a>),
    /// Keys and values.
    Pairs(&'a [(String, String)]),
    /// Keys and values at admission, over the settings of another injector's annotations. They will reach the pod as
    /// flags, and therefore take precedence over variables.
    Admitted(&'a [(String, String)], &'a [Setting]),
}

// Texts may contain secrets: `Debug` shows names only.

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Text").field(&self.name).finish()
    }
}

impl fmt::Debug for Annotations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(text) => text.fmt(f),
            Self::Pairs(pairs) | Self::Admitted(pairs, _) => {
                f.debug_list().entries(pairs.iter().map(|(key, _)| key)).finish()
            }
        }
    }
}

/// Whether every text could be parsed. Only then is a key that is not found really missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All texts were parsed.
    Complete,
    /// A text is malformed.
    Broken,
}

/// A layer under construction. Each part is validated when it is added.
pub(super) struct Layer {
    /// The parts so far, normalised.
    pub(super) tree: Node,
    author: Author,
}

impl Layer {
    /// An empty layer.
    pub(super) fn new(author: Author) -> Self {
        Self { tree: Node::empty(), author }
    }

    /// Merges another layer below this one.
    pub(super) fn put_under(&mut self, earlier: Self) {
        self.tree = merge::over(earlier.tree, std::mem::replace(&mut self.tree, Node::empty()), &ROOT);
    }

    /// Validates a part and merges it over the existing ones.
    pub(super) fn add(&mut self, part: Node, mistakes: &mut ConfigErrors) {
        let part = check::layer(part, &ROOT, self.author, mistakes);
        self.merge(part);
    }

    /// Validates a part and merges it with the existing ones, unless it contradicts one of them: then both are a mistake.
    pub(super) fn add_consistent(&mut self, part: Node, mistakes: &mut ConfigErrors) {
        let part = check::layer(part, &ROOT, self.author, mistakes);
        match contradiction::find(&self.tree, &part, &ROOT) {
            Some(found) => mistakes.add(found.later, found.text()),
            None => self.merge(part),
        }
    }

    /// Merges a part over the existing ones.
    fn merge(&mut self, part: Node) {
        self.tree = merge::over(std::mem::replace(&mut self.tree, Node::empty()), part, &ROOT);
    }
}
