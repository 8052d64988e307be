//! The syntax tree of a template, like that of Go's `text/template/parse`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::Function;

/// Byte offset in the template's text.
pub(super) type Offset = usize;

/// A sequence of nodes.
pub(super) type List = Vec<Node>;

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{template "name" pipeline}}`; also the place of a `block`.
    Template {
        at: Offset,
        name: String,
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
    pub(super) variables: Vec<String>,
    /// Whether it assigns with `=`; else it declares with `:=`.
    pub(super) is_assignment: bool,
    pub(super) commands: Vec<Command>,
}

/// One stage of a pipeline: a function with its arguments, or one operand.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
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
    Variable { name: String, fields: Vec<String> },
    Dot,
    Nil,
    Field(Vec<String>),
    Chain { term: Box<Word>, fields: Vec<String> },
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Arc<[u8]>),
    Pipe(Box<Pipe>),
}

/// Templates by name: the main one and those that it defines.
pub(super) type Templates = BTreeMap<String, List>;
