//! Detects an option after a reference. Only `--file NAME=REF,format=dotenv` accepts one; elsewhere it would silently
//! become a part of the key or path. A key that looks like that can be picked in a template:
//! `secret('vault:PATH')['KEY']`.

use std::fmt;

use super::annotations::PREFIX;
use super::nearest::nearest;
use super::place::Place;

/// A text at the end of a reference that looks like an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionBehind {
    name: &'static str,
    /// Its value, if it is valid for the option; any other text may be a secret.
    value: Option<String>,
}

const OPTIONS: [&str; 4] = ["format", "decode", "mode", "refresh"];
const FORMATS: [&str; 5] = ["raw", "json", "yaml", "dotenv", "properties"];
/// Characters that may separate a reference from an option.
const MARKS: [char; 3] = [',', ';', '|'];

/// The option at the end of a reference, if there is one.
pub fn option_behind(reference: &str) -> Option<OptionBehind> {
    let text = reference.trim_end();
    named(text).or_else(|| bare(text)).or_else(|| parameter(text))
}

/// An option with its name, such as `,format=dotenv`, also with `:` or blanks.
fn named(text: &str) -> Option<OptionBehind> {
    let (head, value) = text.rsplit_once(['=', ':'])?;
    let (head, value) = (head.trim_end(), value.trim().trim_matches(['"', '\'']));
    let before = head.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let written = &head[before.len()..];
    if written.is_empty() || value.contains('#') {
        return None;
    }
    let reference = before.trim_end();
    let is_parameter = is_in_parameters(reference);
    let exact = OPTIONS.into_iter().find(|name| name.eq_ignore_ascii_case(written));
    let name = exact.or_else(|| nearest(written, OPTIONS))?;
    let is_certain = match reference.chars().last()? {
        mark if MARKS.contains(&mark) => exact.is_some() && !is_parameter,
        '?' | '&' if is_parameter => return None,
        '?' | '&' => false,
        _ if before.len() > reference.len() => false,
        _ => return None,
    };
    let value = takes(name, value).then(|| value.to_owned());
    (is_certain || value.is_some()).then_some(OptionBehind { name, value })
}

/// A value without the option's name, such as `,dotenv`.
fn bare(text: &str) -> Option<OptionBehind> {
    let (before, value) = text.rsplit_once(MARKS)?;
    let value = value.trim();
    let name = ["format", "decode", "mode"].into_iter().find(|name| takes(name, value))?;
    (!is_in_parameters(before)).then(|| OptionBehind { name, value: Some(value.to_owned()) })
}

/// An option written as a parameter, such as `?format=dotenv`, which would be a write to the secret. No Vault path
/// accepts these values.
fn parameter(text: &str) -> Option<OptionBehind> {
    let (_, parameters) = text.split('#').next()?.split_once('?')?;
    let mut pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
    let (name, value) = pairs.find(|pair| {
        matches!(pair, ("format", "dotenv" | "properties") | ("decode", "base64"))
            || pair.0 == "mode" && takes("mode", pair.1)
    })?;
    let name = OPTIONS.into_iter().find(|option| *option == name)?;
    Some(OptionBehind { name, value: Some(value.to_owned()) })
}

/// Whether a reference ends within its parameters.
fn is_in_parameters(text: &str) -> bool {
    !text.contains('#') && text.contains('?')
}

/// Whether `value` is valid for the option `name`.
fn takes(name: &str, value: &str) -> bool {
    match name {
        "format" => FORMATS.contains(&value),
        "decode" => value == "base64",
        "mode" => value.len() == 4 && value.starts_with('0') && value.bytes().all(|b| matches!(b, b'0'..=b'7')),
        _ => super::value::duration(value).is_ok(),
    }
}

impl fmt::Display for OptionBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(self.name),
        }
    }
}

impl OptionBehind {
    /// The option as a field of an entry, beside `from`.
    pub(super) fn field(&self) -> String {
        match (&self.value, self.name) {
            (Some(mode), "mode") => format!("mode: \"{mode}\""),
            (value, name) => format!("{name}: {}", value.as_deref().unwrap_or("…")),
        }
    }

    /// The message about the option in an entry of the configuration, with the place where it belongs.
    pub(super) fn elsewhere(&self, place: &Place, path: &str) -> String {
        let entry = format!("{{ from: REF, {} }}", self.field());
        let is_of_files = matches!(self.name, "mode" | "refresh");
        let goes = match (place, path.split_once('.')) {
            (_, Some(("env", _))) if is_of_files => "it is for files, and a variable has none".to_owned(),
            (_, Some(("secrets", _))) if self.name != "refresh" => {
                format!("say it under files or env, where the secret is used: {{ from: NAME, {} }}", self.field())
            }
            (_, None) => "envFrom takes none but prefix".to_owned(),
            (Place::Annotation(_), Some(("files", name))) if self.name == "format" => {
                let name = name.trim_matches('"');
                format!("say it in {PREFIX}format.{name}: {}", self.value.as_deref().unwrap_or("…"))
            }
            (Place::Annotation(_), Some((map, name))) => {
                format!("say it in {PREFIX}config, as {map}: {{ {name}: {entry} }}")
            }
            (Place::Flag(flag), Some(("files" | "env", name)))
                if flag.starts_with("--file") || flag.starts_with("--env") =>
            {
                let flag = flag.split(' ').next().unwrap_or_default();
                format!("write {flag} {name}=REF,{self}, without a blank")
            }
            _ => format!("write {entry}"),
        };
        format!("{self} is no part of a reference; {goes}")
    }

    /// What to write in a template.
    pub fn in_template(&self) -> String {
        let instead = match (self.name, self.value.as_deref()) {
            ("format", Some(format)) if format != "raw" => format!("write secret('REF') | {format}"),
            ("decode", _) => "write secret('REF') | b64decode".to_owned(),
            ("mode" | "refresh", _) => format!("it stands beside the template: {{ template: …, {} }}", self.field()),
            _ => "leave it out".to_owned(),
        };
        format!("{self} is no part of a reference; {instead}")
    }
}
