//! consul-template's functions over strings.

use super::super::arguments::Kind::{Any, Int as Number, String as Str, Strings};
use super::super::float;
use super::super::rendering::Rendering;
use super::super::value::{Elements, Int, Map, Text, Uint, Value};
use super::letters::{lower, title, upper};
use super::regex::Regex;
use super::{Function, Outcome, bytes, integer, string};

pub(super) const TABLE: &[Function] = &[
    Function::pure("toLower", &[Str], |given| Ok(Value::text(lower(&string(&given[0]))))),
    Function::pure("toUpper", &[Str], |given| Ok(Value::text(upper(&string(&given[0]))))),
    Function::pure("toTitle", &[Str], |given| Ok(Value::text(title(&string(&given[0]))))),
    Function::pure("trimSpace", &[Str], |given| Ok(Value::text(string(&given[0]).trim()))),
    Function::pure("trim", &[Str, Str], trim).slow(),
    Function::pure("trimPrefix", &[Str, Str], trim_prefix),
    Function::pure("trimSuffix", &[Str, Str], trim_suffix),
    Function::with("replaceAll", &[Str, Str, Str], |run, given| {
        replace(run, &string(&given[2]), &string(&given[0]), &string(&given[1]))
    }),
    Function::with("indent", &[Number, Str], |run, given| {
        let width = usize::try_from(integer(&given[0])).map_err(|_| "indent value must be a positive integer")?;
        let text = bytes(&given[1]);
        run.grow(width.saturating_mul(text.split(|b| *b == b'\n').count()))?;
        let mut out = Vec::new();
        let mut is_start = true;
        for byte in text {
            if is_start && *byte != b'\n' {
                out.extend(std::iter::repeat_n(b' ', width));
            }
            out.push(*byte);
            is_start = *byte == b'\n';
        }
        Ok(Value::text(out))
    }),
    Function::with("split", &[Str, Str], |run, given| {
        Ok(Value::strings(split(run, &string(&given[1]), &string(&given[0]))?))
    }),
    Function::with("splitToMap", &[Str, Str, Str], |run, given| {
        let (pairs, equals) = (string(&given[0]), string(&given[1]));
        let text = string(&given[2]);
        let mut map = Map::new();
        for pair in split(run, &text, &pairs)? {
            // A search begins with a look at what is searched for, which may be the longer one.
            let Some((key, value)) = (pair.len() >= equals.len()).then(|| pair.split_once(&*equals)).flatten() else {
                continue;
            };
            map.insert(Text::from(key.as_bytes()), Value::text(value));
        }
        Ok(Value::Map(map.into(), Elements::Strings))
    }),
    Function::with("join", &[Str, Strings], |run, given| join(run, bytes(&given[0]), &given[1])),
    Function::with("regexMatch", &[Str, Str], |run, given| {
        let regex = Regex::new(run, &string(&given[0]))?;
        regex.find(run, &string(&given[1])).map(|found| Value::Bool(found.is_some()))
    }),
    Function::with("regexReplaceAll", &[Str, Str, Str], |run, given| {
        Regex::new(run, &string(&given[0]))?.replace(run, &string(&given[2]), &string(&given[1]))
    }),
    Function::pure("parseBool", &[Str], |given| match bytes(&given[0]) {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(Value::Bool(true)),
        b"" | b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(Value::Bool(false)),
        _ => Err("the text is no boolean".to_owned()),
    }),
    Function::pure("parseInt", &[Str], |given| match bytes(&given[0]) {
        b"" => Ok(Value::Int(0, Int::Int64)),
        _ => number(&given[0]).map(|number| Value::Int(number, Int::Int64)),
    }),
    Function::pure("parseUint", &[Str], |given| match bytes(&given[0]) {
        b"" => Ok(Value::Uint(0, Uint::Uint64)),
        text if text.starts_with(b"+") => Err("the text is no number".to_owned()),
        _ => number(&given[0]).map(|number| Value::Uint(number, Uint::Uint64)),
    }),
    Function::pure("parseFloat", &[Str], |given| match bytes(&given[0]) {
        b"" => Ok(Value::Float(0.0)),
        _ => float::parse(&string(&given[0])).map(Value::Float).ok_or_else(|| NO_NUMBER.to_owned()),
    }),
    Function::with("contains", &[Any, Any], |run, given| is_in(run, &given[1], &given[0]).map(Value::Bool)),
];

const NO_NUMBER: &str = "the text is no number of that type";

/// The second text without the characters of the first at its ends.
pub(super) fn trim(given: &[Value]) -> Outcome {
    let mut set: Vec<char> = string(&given[0]).chars().collect();
    set.sort_unstable();
    Ok(Value::text(string(&given[1]).trim_matches(|c| set.binary_search(&c).is_ok())))
}

/// The second text without the first at its start.
pub(super) fn trim_prefix(given: &[Value]) -> Outcome {
    let text = bytes(&given[1]);
    Ok(Value::text(text.strip_prefix(bytes(&given[0])).unwrap_or(text)))
}

/// The second text without the first at its end.
pub(super) fn trim_suffix(given: &[Value]) -> Outcome {
    let text = bytes(&given[1]);
    Ok(Value::text(text.strip_suffix(bytes(&given[0])).unwrap_or(text)))
}

/// Parses a number.
fn number<T: std::str::FromStr>(value: &Value) -> Result<T, String> {
    string(value).parse().map_err(|_| NO_NUMBER.to_owned())
}

/// Replaces every occurrence of `from`.
pub(super) fn replace(run: &mut Rendering<'_>, text: &str, from: &str, to: &str) -> Outcome {
    run.grow(text.matches(from).count().saturating_mul(to.len()).saturating_add(text.len()))?;
    Ok(Value::text(text.replace(from, to)))
}

/// Joins the printed items of a list.
pub(super) fn join(run: &mut Rendering<'_>, separator: &[u8], list: &Value) -> Outcome {
    let Value::List(items, _) = list else { return Ok(Value::text("")) };
    let parts: Vec<Vec<u8>> = items.iter().map(super::printed).collect::<Result<_, _>>()?;
    run.grow(parts.iter().map(|part| part.len() + separator.len()).sum())?;
    Ok(Value::text(parts.join(separator)))
}

/// Splits like consul-template: white space around the text is removed, and an empty text has no parts.
fn split<'t>(run: &mut Rendering<'_>, text: &'t str, separator: &str) -> Result<Vec<&'t str>, String> {
    let text = text.trim();
    run.pieces(if separator.is_empty() { text.chars().count() } else { text.matches(separator).count() + 1 })?;
    Ok(match (text, separator) {
        ("", _) => Vec::new(),
        (text, "") => text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect(),
        _ => text.split(separator).collect(),
    })
}

/// Whether a list contains the value, or a string contains the other.
pub(super) fn is_in(run: &mut Rendering<'_>, list: &Value, value: &Value) -> Result<bool, String> {
    let is_same = |item: &Value| match (item, value) {
        (Value::String(a), Value::String(b)) | (Value::Number(a), Value::Number(b)) => a == b,
        (Value::Int(a, _), Value::Int(b, _)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        _ => false,
    };
    match (list, value) {
        (Value::List(items, _), _) => {
            let mut compared = 0;
            let is_found = items.iter().any(|item| {
                compared += 1 + super::text_compared(bytes(item), bytes(value));
                is_same(item)
            });
            run.compared(compared)?;
            Ok(is_found)
        }
        (Value::String(text), Value::String(part)) => {
            run.look(text.len())?;
            Ok(has_part(text, part))
        }
        _ => Ok(false),
    }
}

/// Whether the bytes contain the others, in linear time.
fn has_part(text: &[u8], part: &[u8]) -> bool {
    match (std::str::from_utf8(text), std::str::from_utf8(part)) {
        (Ok(text), Ok(part)) => text.contains(part),
        // What is UTF-8 occurs in what is not, as bytes; the search of the standard library is one in characters.
        _ => {
            let characters = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
            characters(text).contains(&characters(part))
        }
    }
}
