//! Why something cannot be rendered: which reference or place of a template, why, what to do. Never a value.

use std::fmt;

use crate::domain::{Exit, JsonError, MOST_ELEMENTS, NameError, PickError, SecretRef};

use super::limits::{FUEL, GROWTH, OUTPUT};

/// A reference or template that did not become bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A reference.
    #[error("cannot render {reference}: {why}")]
    Reference {
        /// As it is written in a config.
        reference: String,
        /// What stands in the way.
        why: ValueError,
    },
    /// A place in a template.
    #[error("template {at}: {why}")]
    Template {
        /// Where.
        at: Location,
        /// What stands in the way.
        why: TemplateRenderError,
    },
}

impl RenderError {
    pub(super) fn of(reference: &SecretRef, why: ValueError) -> Self {
        Self::Reference { reference: reference.to_string(), why }
    }

    /// The exit code: 65, but 70 when what was to be rendered was never fetched.
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

/// A place in a template's text, both numbers one-based; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Location {
    /// The place of a byte of `text`.
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

/// What stands in the way of a value. Keys are named, values never.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The source is not among what was fetched: a bug of the caller.
    #[error("it was not fetched")]
    NotFetched,
    /// No such key, or null, or nothing that has keys.
    #[error("{0}")]
    Pick(PickError),
    /// `raw` of a map.
    #[error("it is a map with {}; add #KEY, or format: json", keys(.0))]
    RawMap(Vec<String>),
    /// `decode` of a map.
    #[error("decode takes one value and this is a map with {}; add #KEY", keys(.0))]
    DecodeMap(Vec<String>),
    /// A format that writes keys, and something without keys.
    #[error("{wanted} takes a map, and {why}{}", if *wanted == ENV_FROM { "pick its keys one by one under `env`" } else { "use format: raw" })]
    NotAMap {
        /// The format, or `envFrom`.
        wanted: &'static str,
        /// Why it is none.
        why: NoMap,
    },
    /// Bytes in a text format.
    #[error("{} is not UTF-8 text; use format: raw", value_of(.0))]
    NotText(Option<String>),
    /// A nested value that cannot be written again.
    #[error(
        "{} cannot be written again: it has more than {MOST_ELEMENTS} names and values, is nested deeper than {limit} levels, repeats a key, or holds half a surrogate pair",
        value_of(.0),
        limit = super::tree::DEPTH
    )]
    Nested(Option<String>),
    /// Not base64.
    #[error("it is not base64 (RFC 4648, standard or URL-safe)")]
    Base64,
    /// A key that is no variable name.
    #[error(
        "key {0:?} cannot be a variable: expected letters, digits and _, not starting with a digit; use format: json"
    )]
    VariableName(String),
    /// A key that steers loaders, shells or interpreters.
    #[error("a backend may not set the variable {0:?}; pick the keys you want one by one under `env`")]
    ForbiddenName(String),
    /// The same in a file that is read as variables.
    #[error("a backend may not set the variable {0:?}; use format: json, or a template with the keys you want")]
    ForbiddenKey(String),
    /// A key the shell itself keeps.
    #[error("key {0:?} is a variable that shells set themselves, so it cannot be read back; use format: json")]
    ShellName(String),
    /// A name the kernel does not take.
    #[error("variable {name:?}: {why}")]
    EnvName {
        /// Prefix and key.
        name: String,
        /// Why not.
        why: NameError,
    },
    /// A value that no dotenv spelling brings back everywhere.
    #[error("{} {why}; use format: json", value_of(.key))]
    Dotenv {
        /// Its key; `None` in a template.
        key: Option<String>,
        /// Why not.
        why: Unquotable,
    },
}

/// What variables of a whole map are called in the configuration.
pub(super) const ENV_FROM: &str = "envFrom";

/// Why something is not a map.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMap {
    /// A JSON string.
    #[error("this is one text; leave the #KEY out, or ")]
    Text,
    /// Something that was expected to be a JSON object.
    #[error("this is {0}; ")]
    Json(#[from] JsonError),
}

/// Why no spelling brings a value back in both readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unquotable {
    /// NUL ends a string in every shell.
    #[error("holds a NUL byte, which no variable can")]
    Nul,
    /// Universal newlines.
    #[error("holds a carriage return, which python-dotenv reads as a newline")]
    CarriageReturn,
    /// `${…}`.
    #[error("holds \"${{…}}\", which python-dotenv expands in any quotes")]
    Expansion,
    /// `\` at the end.
    #[error("ends with a backslash, which python-dotenv takes for the escape of the closing quote")]
    LastBackslash,
    /// It needs double quotes, in which `$` and backquote expand.
    #[error("{}", mixed(.0, .1))]
    Mixed(InnerQuote, Expanding),
    /// JSON null.
    #[error("is null")]
    Null,
}

/// What keeps a value from standing between single quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerQuote {
    /// `'` ends them in a shell.
    SingleQuote,
    /// Two backslashes, which python-dotenv reads as one there.
    TwoBackslashes,
}

/// What keeps a value from standing between double quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expanding {
    /// `$`
    Dollar,
    /// `` ` ``
    Backquote,
}

/// One sentence: which two characters, and what each of them rules out.
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

/// What stands in the way of a template that compiled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateRenderError {
    /// A reference without its value, or a key that is not there.
    #[error("{reference}: {why}")]
    Reference {
        /// As it is written in a config.
        reference: String,
        /// What stands in the way.
        why: ValueError,
    },
    /// No such key, and the key is not one that the template spells out.
    #[error("{reference}: it does not have the key that is computed here")]
    ComputedKey {
        /// As it is written in a config.
        reference: String,
    },
    /// An undefined value that is not simply a missing key.
    #[error("this is undefined")]
    Undefined,
    /// `for k, v in secret('db')`.
    #[error(
        "this does not have as many parts as there are names; if it is a map, its keys and values are \
         `for k, v in … | items`"
    )]
    Unpack,
    /// `none` where text goes.
    #[error("this is null, which is never delivered; use `| default('…', true)` if it may be missing")]
    Null,
    /// A map or list where text goes.
    #[error("this is a map or a list; pick one of its values, or use `| json`")]
    Collection,
    /// Bytes where text goes.
    #[error("this is not UTF-8 text; use `| b64encode`, or format: raw without a template")]
    Binary,
    /// `b64decode` of something else.
    #[error("this is not base64 (RFC 4648, standard or URL-safe)")]
    Base64,
    /// `dotenv` or `properties` of a value that cannot be quoted.
    #[error("this value {0}")]
    Unquotable(Unquotable),
    /// A number JSON does not have, or a nesting without end.
    #[error("this value cannot be quoted: it is no text, number, map or list")]
    NoDatum,
    /// Out of fuel.
    #[error("it does more than {FUEL} steps")]
    TooMuchWork,
    /// Out of output.
    #[error("it writes more than {} MiB", OUTPUT >> 20)]
    TooMuchOutput,
    /// Out of room for values.
    #[error("the values it makes are larger than {} MiB in all", GROWTH >> 20)]
    TooMuchGrowth,
    /// A Go template, with its name.
    #[error("in {name}: {why}")]
    Go {
        /// The template's name.
        name: String,
        /// What stands in the way.
        why: String,
    },
    /// What minijinja says without its details, which can quote values.
    #[error("{0}; no details are given because they could quote a value")]
    Engine(String),
}

fn value_of(key: &Option<String>) -> String {
    key.as_ref().map_or_else(|| "the value".to_owned(), |key| format!("the value of key {key:?}"))
}

fn keys(keys: &[String]) -> String {
    const SHOWN: usize = 20;
    match keys.len() {
        0 => "no keys at all".to_owned(),
        1 => format!("the key {:?}", keys[0]),
        count => {
            let mut shown: Vec<_> = keys.iter().take(SHOWN).map(|key| format!("{key:?}")).collect();
            if count > SHOWN {
                shown.push(format!("and {} more", count - SHOWN));
            }
            format!("the keys {}", shown.join(", "))
        }
    }
}
