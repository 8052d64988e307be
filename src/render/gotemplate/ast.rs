//! The syntax tree of a template, as Go's `text/template/parse` makes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::Function;

/// Byte offset in the source.
pub(super) type Offset = usize;

/// A sequence of nodes.
pub(super) type List = Vec<Node>;

/// What a template is made of.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{template "name" pipeline}}`, and what `block` leaves in its place.
    Template {
        at: Offset,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// `if`, `with` and `range`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: List,
    pub(super) otherwise: Option<List>,
}

/// A pipeline, with the variables it sets.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: Offset,
    pub(super) variables: Vec<String>,
    /// `=` and not `:=`.
    pub(super) is_assignment: bool,
    pub(super) commands: Vec<Command>,
}

/// One stage of a pipeline.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
}

/// One operand with its place.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) at: Offset,
    pub(super) term: Term,
}

/// An operand.
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

/// Templates by name: the main one and those it defines.
pub(super) type Templates = BTreeMap<String, List>;
