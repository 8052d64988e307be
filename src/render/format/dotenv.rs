//! Writes dotenv lines that a shell's `.` and python-dotenv both read back to the same value. A value for which
//! that is impossible is refused.
//!
//! | | between `'` | between `"` |
//! |---|---|---|
//! | shell (POSIX, 2.2.2 and 2.2.3) | everything literal | `\` escapes `$`, `` ` ``, `"`, `\`; `$` and `` ` `` expand |
//! | python-dotenv | `\\` and `\'` are escapes | `\\`, `\'`, `\"`, `\n` and the like are escapes, `\$` is not |
//!
//! python-dotenv also expands `${NAME}` in both quotes, reads `\r` as a line break, and its versions up to 1.2.1
//! take a `\` before the closing quote as an escape of that quote, whatever precedes it.

use super::super::error::{Expanding, InnerQuote, Unquotable, ValueError};
use super::super::tree::Json;
use super::{Datum, Entry, json};
use crate::domain::is_forbidden_from_backend;

/// A map as `KEY='value'` lines. A key with a null value is left out.
pub(super) fn map(entries: &[Entry<'_>]) -> Result<String, ValueError> {
    let mut out = String::new();
    let is_given = |(_, value): &&Entry<'_>| !matches!(datum(value), Err(Unquotable::Null));
    let forbidden: Vec<String> = entries
        .iter()
        .filter(|(key, _)| is_forbidden_from_backend(key))
        .filter(is_given)
        .map(|(key, _)| (*key).to_owned())
        .collect();
    if !forbidden.is_empty() {
        return Err(ValueError::ForbiddenKeys(forbidden));
    }
    for (key, value) in entries {
        let value = match datum(value) {
            Ok(value) => value,
            Err(Unquotable::Null) => continue,
            Err(why) => return Err(ValueError::Dotenv { key: Some((*key).to_owned()), why }),
        };
        check_name(key)?;
        out.push_str(key);
        out.push('=');
        out.push_str(&value);
        out.push('\n');
    }
    Ok(out)
}

/// Refuses a key that is not a safe variable name.
fn check_name(key: &str) -> Result<(), ValueError> {
    let is_name = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(ValueError::VariableName(key.to_owned()));
    }
    if is_kept_by_shells(key) {
        return Err(ValueError::ShellName(key.to_owned()));
    }
    Ok(())
}

/// Whether the variable is read-only in dash or bash, or does not keep an assigned value.
fn is_kept_by_shells(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "_",
        "UID",
        "EUID",
        "PPID",
        "GROUPS",
        "OPTIND",
        "OPTARG",
        "OPTERR",
        "LINENO",
        "RANDOM",
        "SRANDOM",
        "SECONDS",
        "EPOCHSECONDS",
        "EPOCHREALTIME",
        "HISTCMD",
        "DIRSTACK",
        "FUNCNAME",
        "PIPESTATUS",
        "COMP_WORDBREAKS",
    ];
    NAMES.contains(&name) || name.starts_with("BASH_") || name == "BASHPID"
}

/// One value in quotes. A nested value becomes JSON text.
pub(in super::super) fn datum(datum: &Datum<'_>) -> Result<String, Unquotable> {
    match datum {
        Datum::Text(value) => quote(value),
        Datum::Json(Json::Null) => Err(Unquotable::Null),
        Datum::Json(_) => quote(&json::datum(datum)),
    }
}

/// Quotes a value, preferably with single quotes.
fn quote(value: &str) -> Result<String, Unquotable> {
    if value.contains('\0') {
        return Err(Unquotable::Nul);
    }
    if value.contains('\r') {
        return Err(Unquotable::CarriageReturn);
    }
    if value.split_once("${").is_some_and(|(_, rest)| rest.contains('}')) {
        return Err(Unquotable::Expansion);
    }
    if value.ends_with('\\') {
        return Err(Unquotable::LastBackslash);
    }
    if !value.contains('\'') && !value.contains("\\\\") {
        return Ok(format!("'{value}'"));
    }
    let expanding =
        [('$', Expanding::Dollar), ('`', Expanding::Backquote)].into_iter().find(|(c, _)| value.contains(*c));
    if let Some((_, expanding)) = expanding {
        let inner = if value.contains('\'') { InnerQuote::SingleQuote } else { InnerQuote::TwoBackslashes };
        return Err(Unquotable::Mixed(inner, expanding));
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}
