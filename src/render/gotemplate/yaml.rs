//! `toYAML`: the block style of Go's `yaml.Marshal`.

use super::float;
use super::quote::quote;
use super::value::Value;

/// Writes a value as a document, without the final line end.
pub(super) fn write(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    node(&mut out, value, 0, Place::Top)?;
    Ok(out.trim_end_matches('\n').as_bytes().to_vec())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// Behind `key:`.
    Entry,
    /// Behind `- `.
    Item,
}

fn node(out: &mut String, value: &Value, indent: usize, place: Place) -> Result<(), String> {
    let before = |out: &mut String, at: usize, step: usize| {
        if at == 0 && place == Place::Entry {
            out.push('\n');
        }
        if at > 0 || place == Place::Entry {
            out.push_str(&" ".repeat(step));
        }
    };
    match value {
        Value::Map(map, _) if !map.is_empty() => {
            for (at, (key, item)) in map.iter().enumerate() {
                before(out, at, indent);
                out.push_str(&scalar(key, indent)?);
                out.push(':');
                let is_list = matches!(item, Value::List(..));
                node(out, item, if is_list { indent } else { indent + 2 }, Place::Entry)?;
            }
        }
        Value::List(items, _) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                before(out, at, indent);
                out.push_str("- ");
                node(out, item, indent + 2, Place::Item)?;
            }
        }
        other => {
            if place == Place::Entry {
                out.push(' ');
            }
            match other {
                Value::Invalid | Value::Nil | Value::Pending => out.push_str("null"),
                Value::Bool(value) => out.push_str(&value.to_string()),
                Value::Int(value, _) => out.push_str(&value.to_string()),
                Value::Uint(value, _) => out.push_str(&value.to_string()),
                Value::Float(value) => out.push_str(&float::format(*value, 'g', None, false)),
                Value::Number(text) => out.push_str(&String::from_utf8_lossy(text)),
                Value::String(text) => out.push_str(&scalar(text, indent)?),
                Value::Map(..) => out.push_str("{}"),
                Value::List(..) => out.push_str("[]"),
                other => {
                    return Err(format!("a value of type {} has no YAML here; write its .Data", other.type_name()));
                }
            }
            out.push('\n');
        }
    }
    Ok(())
}

fn scalar(text: &[u8], indent: usize) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|_| "bytes that are no UTF-8 have no YAML here; use base64Encode")?;
    if text.contains('\n') && text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()) {
        let indent = indent.max(2);
        // What begins with white space needs the indentation spelled out.
        let width = if text.starts_with([' ', '\n']) { "2" } else { "" };
        let chomp = if text.ends_with("\n\n") {
            "+"
        } else if text.ends_with('\n') {
            ""
        } else {
            "-"
        };
        let body = text.strip_suffix('\n').unwrap_or(text);
        let lines: Vec<String> = body
            .split('\n')
            .map(|line| if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(indent)) })
            .collect();
        return Ok(format!("|{width}{chomp}\n{}", lines.join("\n")));
    }
    if text.chars().any(char::is_control) {
        return Ok(quote(text.as_bytes(), '"', false));
    }
    if looks_typed(text) {
        return Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    let opens = text.starts_with(['!', '&', '*', '%', '@', '`', '\'', '"', '#', '|', '>', '{', '}', '[', ']', ',']);
    let is_mark = text.starts_with(['-', '?', ':']) && text.chars().nth(1).is_none_or(|c| c == ' ');
    let is_document = text.starts_with("---") || text.starts_with("...");
    let has_mark = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let is_padded = text != text.trim_matches(' ');
    let is_quoted = opens || is_mark || is_document || has_mark || is_padded;
    Ok(if is_quoted { format!("'{}'", text.replace('\'', "''")) } else { text.to_owned() })
}

/// Whether a reader would take the plain text for something else than a string.
fn looks_typed(text: &str) -> bool {
    const WORDS: [&str; 15] =
        ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "-.inf", ".nan", "+.inf"];
    let lower = text.to_ascii_lowercase();
    let number = lower.replace('_', "");
    let is_date = lower.len() >= 8
        && lower.as_bytes()[4] == b'-'
        && lower.bytes().all(|b| b.is_ascii_digit() || b"-:tz. +".contains(&b));
    let digits = number.trim_start_matches(['-', '+']);
    let is_radix = ["0x", "0b", "0o"].iter().any(|prefix| digits.starts_with(prefix));
    let is_base60 = lower.contains(':') && lower.bytes().all(|b| b.is_ascii_digit() || b":.-+_".contains(&b));
    WORDS.contains(&lower.as_str())
        || is_date
        || is_radix
        || is_base60
        || (digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && number.parse::<f64>().is_ok())
}
