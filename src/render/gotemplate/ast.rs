//! The syntax tree of a template, like that of Go's `text/template/parse`.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::domain::SecretRef;

use super::functions::Function;

/// Byte offset in the template's text.
pub(super) type Offset = usize;

/// A sequence of nodes. As everything in the tree, it takes exactly the room that it needs: there may be many templates,
/// and they are kept.
pub(super) type List = Box<[Node]>;

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node {
    Text(Box<str>),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{template "name" pipeline}}`; also the place of a `block`.
    Template {
        at: Offset,
        name: Box<str>,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// An `if`, `with` or `range`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: List,
    pub(super) otherwise: Option<List>,
}

/// A pipeline and the variables it sets.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: Offset,
    pub(super) variables: Box<[Box<str>]>,
    /// Whether it assigns with `=`; else it declares with `:=`.
    pub(super) is_assignment: bool,
    pub(super) commands: Box<[Command]>,
}

/// One stage of a pipeline: a function with its arguments, or one operand.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) words: Box<[Word]>,
}

/// One operand and its place.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) at: Offset,
    pub(super) term: Term,
}

/// The kind of an operand.
#[derive(Debug)]
pub(super) enum Term {
    Function(&'static Function),
    Variable {
        name: Box<str>,
        fields: Fields,
    },
    Dot,
    Nil,
    Field(Fields),
    Chain {
        term: Box<Word>,
        fields: Fields,
    },
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Rc<[u8]>),
    Pipe(Box<Pipe>),
    /// The value of a reference; without a key the map of all keys. No template text has it.
    Data(Box<SecretRef>),
}

/// The names of fields behind a value, as they are written: `.Data.key`.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Box<str>);

impl Fields {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, without dots.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.strip_prefix('.').into_iter().flat_map(|names| names.split('.'))
    }
}

/// Templates by name: the main one and those that it defines.
pub(super) type Templates = BTreeMap<String, List>;
