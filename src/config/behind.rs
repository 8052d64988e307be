//! An option behind a reference, as only `--file NAME=REF,format=dotenv` takes it: elsewhere it would become a part of the key
//! or of the path in silence. A key that looks so is picked in a template: `secret('vault:PATH')['KEY']`.

use std::fmt;

use super::annotations::PREFIX;
use super::nearest::nearest;
use super::place::Place;

/// What looks like an option at the end of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionBehind {
    name: &'static str,
    /// Only one that the option takes: what else stands there may be anything.
    value: Option<String>,
}

const OPTIONS: [&str; 4] = ["format", "decode", "mode", "refresh"];
const FORMATS: [&str; 5] = ["raw", "json", "yaml", "dotenv", "properties"];
/// What may stand between a reference and an option.
const MARKS: [char; 3] = [',', ';', '|'];

/// The option at the end of a reference, if there is one.
pub fn option_behind(reference: &str) -> Option<OptionBehind> {
    let text = reference.trim_end();
    named(text).or_else(|| bare(text)).or_else(|| parameter(text))
}

/// `,format=dotenv`, with `:` or blanks too.
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

/// `,dotenv`.
fn bare(text: &str) -> Option<OptionBehind> {
    let (before, value) = text.rsplit_once(MARKS)?;
    let value = value.trim();
    let name = ["format", "decode", "mode"].into_iter().find(|name| takes(name, value))?;
    (!is_in_parameters(before)).then(|| OptionBehind { name, value: Some(value.to_owned()) })
}

/// `?format=dotenv`, which would be a write of it over the secret. No path of Vault's own takes these values.
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

/// Whether the end of a text is among the parameters of its path.
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
    /// The option as a field beside `from`.
    pub(super) fn field(&self) -> String {
        match (&self.value, self.name) {
            (Some(mode), "mode") => format!("mode: \"{mode}\""),
            (value, name) => format!("{name}: {}", value.as_deref().unwrap_or("…")),
        }
    }

    /// What is wrong with it in an entry of the configuration, and where it goes.
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
