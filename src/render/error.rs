//! Why something cannot be rendered: the reference or the place in a template, the reason, and what to do. Never
//! contains a value.

use std::fmt;

use crate::domain::{Exit, JsonError, MOST_ELEMENTS, NameError, PickError, SecretRef};

use super::limits::{FUEL, GROWTH, NAMES, NESTED, OUTPUT, WORK};

/// Why a reference or template cannot be rendered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A reference cannot be rendered.
    #[error("cannot render {reference}: {why}")]
    Reference {
        /// The reference as a config writes it.
        reference: String,
        /// The reason.
        why: ValueError,
    },
    /// A template cannot be rendered.
    #[error("template {at}: {why}")]
    Template {
        /// The place in the template.
        at: Location,
        /// The reason.
        why: TemplateRenderError,
    },
}

impl RenderError {
    /// The error of a reference.
    pub(super) fn of(reference: &SecretRef, why: ValueError) -> Self {
        Self::Reference { reference: reference.to_string(), why }
    }

    /// The exit code: 65, or 70 if the source was never fetched.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Reference { why: ValueError::NotFetched, .. }
            | Self::Template { why: TemplateRenderError::Reference { why: ValueError::NotFetched, .. }, .. } => {
                Exit::Bug
            }
            Self::Reference { .. } | Self::Template { .. } => Exit::Data,
        }
    }
}

/// A place in a template's text; both numbers are one-based, and a column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Location {
    /// The place of a byte offset in `text`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let is_start_of_character = |&&byte: &&u8| !(0x80..0xc0).contains(&byte);
        Self {
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            column: before[line_start..].iter().filter(is_start_of_character).count() + 1,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a value cannot be rendered. Names keys, never values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The source was not fetched, which is a bug of the caller.
    #[error("it was not fetched")]
    NotFetched,
    /// The key does not exist or is null, or the value has no keys.
    #[error("{0}")]
    Pick(PickError),
    /// Format `raw` for a map.
    #[error("it is a map with {}; add #KEY, or format: json", keys(.0))]
    RawMap(Vec<String>),
    /// `decode` for a map.
    #[error("decode takes one value and this is a map with {}; add #KEY", keys(.0))]
    DecodeMap(Vec<String>),
    /// A format that needs a map, for a value that is not one.
    #[error("{wanted} takes a map, and {why}{}", if *wanted == ENV_FROM { "pick its keys one by one under `env`" } else { "use format: raw" })]
    NotAMap {
        /// The format, or `envFrom`.
        wanted: &'static str,
        /// Why the value is not a map.
        why: NoMap,
    },
    /// Bytes that are not UTF-8, for a text format.
    #[error("{} is not UTF-8 text; use format: raw", value_of(.0))]
    NotText(Option<String>),
    /// A nested value that cannot be parsed and written again.
    #[error(
        "{} cannot be written again: it has more than {MOST_ELEMENTS} names and values, is nested deeper than {limit} levels, repeats a key, or holds half a surrogate pair",
        value_of(.0),
        limit = super::tree::DEPTH
    )]
    Nested(Option<String>),
    /// The value is not base64.
    #[error("it is not base64 (RFC 4648, standard or URL-safe)")]
    Base64,
    /// A key that is not a valid variable name.
    #[error(
        "key {0:?} cannot be a variable: expected letters, digits and _, not starting with a digit; use format: json"
    )]
    VariableName(String),
    /// Keys that would set variables of a loader, shell or interpreter, in `envFrom`.
    #[error(
        "a backend may not set {}; name each you want under `env`, and envFrom leaves it out, or give envFrom {}",
        variables(.names),
        if *.is_prefixed { "another prefix" } else { "a prefix" }
    )]
    ForbiddenNames {
        /// The prefix and the key, of each.
        names: Vec<String>,
        /// Whether there is a prefix.
        is_prefixed: bool,
    },
    /// The same in a dotenv file.
    #[error("a backend may not set {}; use format: json, or a template with the keys you want", variables(.0))]
    ForbiddenKeys(Vec<String>),
    /// A key that is a variable that shells set themselves.
    #[error("key {0:?} is a variable that shells set themselves, so it cannot be read back; use format: json")]
    ShellName(String),
    /// A name that an environment variable cannot have.
    #[error("variable {name:?}: {why}")]
    EnvName {
        /// The prefix and the key.
        name: String,
        /// The reason.
        why: NameError,
    },
    /// A value for a variable with a NUL byte.
    #[error("{} holds a NUL byte, which no variable can; deliver it as a file, and name the others under `env`", value_of(&Some(.0.clone())))]
    NulVariable(String),
    /// A value that cannot be written so that every dotenv reader reads it back.
    #[error("{} {why}; use format: json", value_of(.key))]
    Dotenv {
        /// The value's key; `None` in a template.
        key: Option<String>,
        /// The reason.
        why: Unquotable,
    },
}

/// The name of [`ValueError::NotAMap`]'s `wanted` for variables from a whole map.
pub(super) const ENV_FROM: &str = "envFrom";

/// Why a value is not a map.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMap {
    /// A JSON string.
    #[error("this is one text; leave the #KEY out, or ")]
    Text,
    /// A value that was expected to be a JSON object.
    #[error("this is {0}; ")]
    Json(#[from] JsonError),
}

/// Why a value cannot be quoted so that a shell and python-dotenv both read it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unquotable {
    /// A NUL byte ends a string in every shell.
    #[error("holds a NUL byte, which no variable can")]
    Nul,
    /// A carriage return.
    #[error("holds a carriage return, which python-dotenv reads as a newline")]
    CarriageReturn,
    /// An expansion, `${…}`.
    #[error("holds \"${{…}}\", which python-dotenv expands in any quotes")]
    Expansion,
    /// A backslash at the end.
    #[error("ends with a backslash, which python-dotenv takes for the escape of the closing quote")]
    LastBackslash,
    /// The value needs double quotes, in which `$` and backquote are expanded.
    #[error("{}", mixed(.0, .1))]
    Mixed(InnerQuote, Expanding),
    /// JSON null.
    #[error("is null")]
    Null,
}

/// What prevents single quotes around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerQuote {
    /// `'` ends the quotes in a shell.
    SingleQuote,
    /// Two backslashes, which python-dotenv reads as one.
    TwoBackslashes,
}

/// What prevents double quotes around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expanding {
    /// `$`
    Dollar,
    /// `` ` ``
    Backquote,
}

/// A sentence about the two characters, and which quotes each of them prevents.
fn mixed(inner: &InnerQuote, expanding: &Expanding) -> String {
    let (inner, single) = match inner {
        InnerQuote::SingleQuote => ("a single quote", "single quotes end at it in a shell"),
        InnerQuote::TwoBackslashes => ("two backslashes in a row", "between single quotes python-dotenv reads one"),
    };
    let expanding = match expanding {
        Expanding::Dollar => "$",
        Expanding::Backquote => "a backquote",
    };
    format!(
        "has both {inner} and {expanding}: {single}, and between double quotes a shell expands {expanding}, which \
         python-dotenv cannot read escaped"
    )
}

/// Why a compiled template cannot be rendered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateRenderError {
    /// A reference whose value or key is missing.
    #[error("{reference}: {why}")]
    Reference {
        /// The reference as a config writes it.
        reference: String,
        /// The reason.
        why: ValueError,
    },
    /// A key that is computed, and so not quoted, does not exist.
    #[error("{reference}: it does not have the key that is computed here")]
    ComputedKey {
        /// The reference as a config writes it.
        reference: String,
    },
    /// An undefined value, other than a missing key.
    #[error("this is undefined")]
    Undefined,
    /// A value that cannot be unpacked, as in `for k, v in secret('db')`.
    #[error(
        "this does not have as many parts as there are names; if it is a map, its keys and values are \
         `for k, v in … | items`; one text has none"
    )]
    Unpack,
    /// A loop over a single value, or `| items` of it, with the kind of the value.
    #[error(
        "this is {0} and has no items; a loop goes over a list, or over the keys of a whole secret: \
         `for k, v in secret('REFERENCE') | items`"
    )]
    NoItems(&'static str),
    /// `none` where text is needed.
    #[error("this is null, which is never delivered; use `| default('…', true)` if it may be missing")]
    Null,
    /// A map or list where text is needed.
    #[error("this is a map or a list; pick one of its values, or use `| json`")]
    Collection,
    /// Bytes where text is needed.
    #[error("this is not UTF-8 text; use `| b64encode`, or format: raw without a template")]
    Binary,
    /// `b64decode` of a value that is not base64.
    #[error("this is not base64 (RFC 4648, standard or URL-safe)")]
    Base64,
    /// `dotenv` or `properties` of a value that cannot be quoted.
    #[error("this value {0}")]
    Unquotable(Unquotable),
    /// A value that JSON cannot express, such as an infinite number.
    #[error("this value cannot be quoted: it is no text, number, map or list")]
    NoDatum,
    /// A value within values, without an end or nearly so.
    #[error("it makes a value that is nested too deep")]
    TooDeep,
    /// The limit of steps is exceeded.
    #[error("it does more than {FUEL} steps")]
    TooMuchWork,
    /// The limit of what operations look at is exceeded.
    #[error(
        "its operations look at more than {} MiB of values; do what is large once, before the loop, and keep it with \
         {{% set %}}",
        WORK >> 20
    )]
    TooMuchSearching,
    /// A namespace that begins with too many names.
    #[error("this would be a namespace of more than {NAMES} names; use the map itself")]
    TooManyNames,
    /// Too many namespaces in other values.
    #[error("it puts more than {NESTED} namespaces into other values")]
    TooManyNested,
    /// A method without the arguments it needs.
    #[error("loop.cycle() takes the values to choose from")]
    NothingToChoose,
    /// The limit of output is exceeded.
    #[error("it writes more than {} MiB", OUTPUT >> 20)]
    TooMuchOutput,
    /// The limit of memory for values is exceeded.
    #[error("the values it makes are larger than {} MiB in all", GROWTH >> 20)]
    TooMuchGrowth,
    /// A Go template failed.
    #[error("in {name}: {why}")]
    Go {
        /// The template's name.
        name: String,
        /// The reason.
        why: String,
    },
    /// Another error of minijinja, without its details, which can quote values.
    #[error("{0}; no details are given because they could quote a value")]
    Engine(String),
}

/// The value of a key, for a message.
fn value_of(key: &Option<String>) -> String {
    key.as_ref().map_or_else(|| "the value".to_owned(), |key| format!("the value of key {key:?}"))
}

/// The keys, for a message.
fn keys(keys: &[String]) -> String {
    match keys {
        [] => "no keys at all".to_owned(),
        [key] => format!("the key {key:?}"),
        keys => format!("the keys {}", list(keys)),
    }
}

/// The variables, for a message.
fn variables(names: &[String]) -> String {
    let what = if names.len() == 1 { "the variable" } else { "the variables" };
    format!("{what} {}", list(names))
}

/// The names in quotes; at most 20.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    if names.len() > SHOWN {
        shown.push(format!("and {} more", names.len() - SHOWN));
    }
    shown.join(", ")
}
