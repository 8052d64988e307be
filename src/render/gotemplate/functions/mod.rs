//! The functions of templates: Go's own, consul-template's, and those of Sprig.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arguments::Kind;
use super::error::SyntaxError;
use super::rendering::Rendering;
use super::value::Value;

mod api;
mod builtin;
mod collections;
mod compare;
mod encoding;
mod letters;
mod math;
mod md5;
mod pattern;
mod regex;
mod sprig;
mod text;
mod time;

pub(super) use api::{is_api, reference};

/// A function's result; errors never quote a value.
pub(super) type Outcome = Result<Value, String>;

/// A function and its parameters.
pub(super) struct Function {
    pub(super) name: &'static str,
    parameters: &'static [Kind],
    /// The type of further arguments, for a variadic function.
    rest: Option<Kind>,
    pub(super) call: Call,
    /// How often each byte of its texts is counted: the time that it takes for one, of about a nanosecond.
    slowness: usize,
}

/// How a function is called.
#[derive(Clone, Copy)]
pub(super) enum Call {
    /// The result depends only on the arguments.
    Pure(fn(&[Value]) -> Outcome),
    /// It uses the state of the rendering: fetched values, limits.
    With(fn(&mut Rendering<'_>, &[Value]) -> Outcome),
    /// `and`, `or`: evaluation stops at the first argument whose truth is `stops_at`.
    Lazy { stops_at: bool },
    /// `executeTemplate`, which the evaluator runs.
    ExecuteTemplate,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    /// A pure function.
    const fn pure(name: &'static str, parameters: &'static [Kind], call: fn(&[Value]) -> Outcome) -> Self {
        Self { name, parameters, rest: None, call: Call::Pure(call), slowness: 1 }
    }

    /// A function that uses the rendering.
    const fn with(
        name: &'static str,
        parameters: &'static [Kind],
        call: fn(&mut Rendering<'_>, &[Value]) -> Outcome,
    ) -> Self {
        Self { name, parameters, rest: None, call: Call::With(call), slowness: 1 }
    }

    /// `and` or `or`.
    const fn lazy(name: &'static str, stops_at: bool) -> Self {
        Self { name, parameters: &[Kind::Any], rest: Some(Kind::Any), call: Call::Lazy { stops_at }, slowness: 1 }
    }

    /// Makes the function variadic.
    const fn rest(mut self, kind: Kind) -> Self {
        self.rest = Some(kind);
        self
    }

    /// Makes each byte of its texts count for ten, as for parsers.
    const fn slow(mut self) -> Self {
        self.slowness = 10;
        self
    }

    /// How much of an argument is counted as looked at.
    pub(super) fn looks_at(&self, value: &Value) -> usize {
        /// What an argument itself takes.
        const ARGUMENT: usize = 16;
        bytes(value).len().saturating_mul(self.slowness).saturating_add(ARGUMENT)
    }

    /// The type of the parameter at an index.
    pub(super) fn kind(&self, place: usize) -> Kind {
        self.parameters.get(place).copied().or(self.rest).unwrap_or(Kind::Any)
    }

    /// Checks the number of arguments.
    pub(super) fn check_count(&self, count: usize) -> Result<(), String> {
        let wanted = self.parameters.len();
        match self.rest {
            Some(_) if count < wanted => {
                Err(format!("wrong number of args for {}: want at least {wanted} got {count}", self.name))
            }
            None if count != wanted => {
                Err(format!("wrong number of args for {}: want {wanted} got {count}", self.name))
            }
            _ => Ok(()),
        }
    }
}

const TABLES: &[&[Function]] = &[
    builtin::TABLE,
    compare::TABLE,
    api::TABLE,
    text::TABLE,
    encoding::TABLE,
    collections::TABLE,
    math::TABLE,
    time::TABLE,
];

const OWN_PROCESS: &str = "templates see no environment, because ours holds what the app must not see; use a secret";
const CONSUL: &str = "it reads Consul or Nomad; only Vault, OpenBao and AWS are read here";
const FILES: &str = "templates read no files; use `from: file:PATH` for a file of its own";

/// Functions of consul-template that are not supported, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("env", OWN_PROCESS),
    ("mustEnv", OWN_PROCESS),
    ("envOrDefault", OWN_PROCESS),
    ("sprig_env", OWN_PROCESS),
    ("sprig_expandenv", OWN_PROCESS),
    ("file", FILES),
    ("plugin", "it starts a program"),
    ("writeToFile", "it writes past the volume; make it a file of its own under `files`"),
    ("sockaddr", "it reads the network interfaces of our process"),
    ("secrets", "listing is not supported; name each secret"),
    ("byKey", CONSUL),
    ("byMeta", CONSUL),
    ("byTag", CONSUL),
    ("caLeaf", CONSUL),
    ("caRoots", CONSUL),
    ("connect", CONSUL),
    ("datacenters", CONSUL),
    ("explode", CONSUL),
    ("exportedServices", CONSUL),
    ("key", CONSUL),
    ("keyExists", CONSUL),
    ("keyExistsGet", CONSUL),
    ("keyOrDefault", CONSUL),
    ("ls", CONSUL),
    ("node", CONSUL),
    ("nodes", CONSUL),
    ("nomadService", CONSUL),
    ("nomadServices", CONSUL),
    ("nomadVar", CONSUL),
    ("nomadVarExists", CONSUL),
    ("nomadVarList", CONSUL),
    ("nomadVarListSafe", CONSUL),
    ("partitions", CONSUL),
    ("peerings", CONSUL),
    ("safeLs", CONSUL),
    ("safeTree", CONSUL),
    ("service", CONSUL),
    ("services", CONSUL),
    ("tree", CONSUL),
];

/// All functions.
fn all() -> impl Iterator<Item = &'static Function> {
    TABLES.iter().chain(&sprig::TABLES).flat_map(|table| table.iter())
}

/// The names of all functions.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|function| function.name)
}

/// Which functions a template has, beside Go's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FunctionSet {
    /// Those of consul-template, with Sprig's as `sprig_NAME`.
    ConsulTemplate,
    /// Those of Sprig, by their plain names.
    Sprig,
}

/// The function with that name, or why there is none.
pub(super) fn find(name: &str, set: FunctionSet) -> Result<&'static Function, SyntaxError> {
    match set {
        FunctionSet::ConsulTemplate => find_prefixed(name),
        FunctionSet::Sprig => find_plain(name),
    }
}

/// The function of Sprig or Go with that name. Sprig's `slice` replaces Go's.
fn find_plain(name: &str) -> Result<&'static Function, SyntaxError> {
    let refused = match find_prefixed(&format!("sprig_{name}")) {
        Err(SyntaxError::Refused { why, .. }) => SyntaxError::Refused { name: name.to_owned(), why },
        found => return found,
    };
    let mut own = builtin::TABLE.iter().chain(compare::TABLE);
    own.find(|function| function.name == name).ok_or(refused)
}

/// The function of consul-template with that name.
fn find_prefixed(name: &str) -> Result<&'static Function, SyntaxError> {
    static BY_NAME: LazyLock<HashMap<&str, &Function>> =
        LazyLock::new(|| all().map(|function| (function.name, function)).collect());
    if let Some(function) = BY_NAME.get(name) {
        return Ok(function);
    }
    if let Some((_, why)) = REFUSED.iter().chain(sprig::REFUSED).find(|(refused, _)| *refused == name) {
        return Err(SyntaxError::Refused { name: name.to_owned(), why });
    }
    if name.starts_with("spew_") {
        return Err(SyntaxError::Refused {
            name: name.to_owned(),
            why: "it prints everything a value holds; print the fields",
        });
    }
    if let Some(function) = sprig::without_must(name).and_then(|name| BY_NAME.get(name)) {
        return Ok(function);
    }
    if name.starts_with("sprig_") {
        let why = "only the functions of Sprig that docs/go-templates.md lists are here";
        return Err(SyntaxError::Refused { name: name.to_owned(), why });
    }
    let sprig = format!("sprig_{name}");
    let is_sprig = BY_NAME.contains_key(&*sprig);
    let hint =
        if is_sprig { format!("; Sprig's functions are named with sprig_ here: {sprig}") } else { String::new() };
    Err(SyntaxError::UnknownFunction { name: name.to_owned(), hint })
}

/// Whether consul-template has a function with that name, supported here or not.
pub(in crate::render) fn is_function(name: &str) -> bool {
    !matches!(find_prefixed(name), Err(SyntaxError::UnknownFunction { .. }))
}

/// The bytes of a string argument; empty for other types.
fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::String(text) | Value::Number(text) => text,
        _ => &[],
    }
}

/// A string argument as text; invalid UTF-8 is replaced.
fn string(value: &Value) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes(value))
}

/// How many comparisons one of two texts takes beside the first: those of other lengths differ at once.
fn text_compared(left: &[u8], right: &[u8]) -> usize {
    const A_COMPARISON: usize = 256;
    if left.len() == right.len() { left.len() / A_COMPARISON } else { 0 }
}

/// An integer argument; 0 for other types.
fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(number, _) => *number,
        _ => 0,
    }
}

/// A value as Go prints it.
fn printed(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    super::print::value(&mut out, value).map_err(super::print::Unprintable::reason)?;
    Ok(out)
}
