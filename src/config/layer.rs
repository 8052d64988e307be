//! One layer of the configuration: what it is read from, and how it is put together from checked parts.

use std::fmt;

use super::check::{self, Author};
use super::dialect::Setting;
use super::keys::ROOT;
use super::merge;
use super::tree::{ConfigErrors, Node};

/// A text and its name.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// As the user called it, for places.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// Pod annotations, as they come.
#[derive(Clone, Copy)]
pub enum Annotations<'a> {
    /// In the pod: a downward-API file.
    File(Text<'a>),
    /// Keys and values.
    Pairs(&'a [(String, String)]),
    /// At admission: keys and values that reach the pod as flags, and so are stronger than variables, over what annotations
    /// of another injector say.
    Admitted(&'a [(String, String)], &'a [Setting]),
}

// Texts may hold secrets that somebody put there: `Debug` shows names only.

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

/// Whether every text could be read, so that what is missing is really missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Yes.
    Complete,
    /// A text was broken.
    Broken,
}

/// One layer while it is put together from parts that are each checked on their own.
pub(super) struct Layer {
    /// What there is so far, in normal form.
    pub(super) tree: Node,
    author: Author,
}

impl Layer {
    /// A layer that says nothing yet.
    pub(super) fn new(author: Author) -> Self {
        Self { tree: Node::empty(), author }
    }

    /// Puts another layer under this one.
    pub(super) fn put_under(&mut self, earlier: Self) {
        self.tree = merge::over(earlier.tree, std::mem::replace(&mut self.tree, Node::empty()), &ROOT);
    }

    /// Checks a part and puts it over what is there.
    pub(super) fn add(&mut self, part: Node, mistakes: &mut ConfigErrors) {
        let part = check::layer(part, &ROOT, self.author, mistakes);
        self.tree = merge::over(std::mem::replace(&mut self.tree, Node::empty()), part, &ROOT);
    }
}
