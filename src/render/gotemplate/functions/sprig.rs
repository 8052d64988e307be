//! The functions of Sprig that templates for secrets use.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::super::arguments::Kind::{Any, Int as Number, String as Str};
use super::super::quote::quote;
use super::super::value::{Elements, Map, Text, Value};
use super::super::{json, rendering::Rendering};
use super::{Function, Outcome, bytes, encoding, integer, letters, printed, string, text};

pub(super) const TABLE: &[Function] = &[
    Function::pure("sprig_upper", &[Str], |given| Ok(Value::text(letters::upper(&string(&given[0]))))),
    Function::pure("sprig_lower", &[Str], |given| Ok(Value::text(letters::lower(&string(&given[0]))))),
    Function::pure("sprig_title", &[Str], |given| Ok(Value::text(letters::each_word(&string(&given[0]))))),
    Function::pure("sprig_trim", &[Str], |given| Ok(Value::text(string(&given[0]).trim()))),
    Function::pure("sprig_trimAll", &[Str, Str], |given| {
        let set = string(&given[0]);
        Ok(Value::text(string(&given[1]).trim_matches(|c| set.contains(c))))
    }),
    Function::pure("sprig_trimPrefix", &[Str, Str], |given| {
        let whole = bytes(&given[1]);
        Ok(Value::text(whole.strip_prefix(bytes(&given[0])).unwrap_or(whole)))
    }),
    Function::pure("sprig_trimSuffix", &[Str, Str], |given| {
        let whole = bytes(&given[1]);
        Ok(Value::text(whole.strip_suffix(bytes(&given[0])).unwrap_or(whole)))
    }),
    Function::pure("sprig_contains", &[Str, Str], |given| {
        Ok(Value::Bool(string(&given[1]).contains(&*string(&given[0]))))
    }),
    Function::pure("sprig_hasPrefix", &[Str, Str], |given| {
        Ok(Value::Bool(bytes(&given[1]).starts_with(bytes(&given[0]))))
    }),
    Function::pure("sprig_hasSuffix", &[Str, Str], |given| {
        Ok(Value::Bool(bytes(&given[1]).ends_with(bytes(&given[0]))))
    }),
    Function::with("sprig_replace", &[Str, Str, Str], |run, given| {
        text::replace(run, &string(&given[2]), &string(&given[0]), &string(&given[1]))
    }),
    Function::with("sprig_repeat", &[Number, Str], |run, given| {
        let count = usize::try_from(integer(&given[0])).map_err(|_| "a negative count")?;
        run.grow(count.saturating_mul(bytes(&given[1]).len()))?;
        Ok(Value::text(bytes(&given[1]).repeat(count)))
    }),
    Function::pure("sprig_quote", &[], |given| {
        Ok(Value::text(quoted(given, |text| quote(text, '"', false).into_bytes())?))
    })
    .rest(Any),
    Function::pure("sprig_squote", &[], |given| Ok(Value::text(quoted(given, |text| [b"'", text, b"'"].concat())?)))
        .rest(Any),
    Function::with("sprig_indent", &[Number, Str], |run, given| indent(run, given, "")),
    Function::with("sprig_nindent", &[Number, Str], |run, given| indent(run, given, "\n")),
    Function::pure("sprig_b64enc", &[Str], |given| Ok(Value::text(STANDARD.encode(bytes(&given[0]))))),
    Function::pure("sprig_b64dec", &[Str], |given| encoding::decode(&STANDARD, &given[0])),
    Function::pure("sprig_sha1sum", &[Str], |given| {
        Ok(Value::text(encoding::digest_hex(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes(&given[0]))))
    }),
    Function::pure("sprig_sha256sum", &[Str], |given| {
        Ok(Value::text(encoding::digest_hex(&digest::SHA256, bytes(&given[0]))))
    }),
    Function::pure("sprig_default", &[Any], |given| match given {
        [_, value, ..] if value.is_true() => Ok(value.clone()),
        _ => Ok(given[0].clone()),
    })
    .rest(Any),
    Function::pure("sprig_empty", &[Any], |given| Ok(Value::Bool(!given[0].is_true()))),
    Function::pure("sprig_coalesce", &[], |given| {
        Ok(given.iter().find(|value| value.is_true()).cloned().unwrap_or(Value::Nil))
    })
    .rest(Any),
    Function::pure("sprig_ternary", &[Any, Any, Any], |given| match &given[2] {
        Value::Bool(is_first) => Ok(given[usize::from(!is_first)].clone()),
        other => Err(format!("ternary takes a boolean, not {}", other.type_name())),
    }),
    Function::with("sprig_list", &[], |run, given| run.nested(Value::list(given.to_vec()))).rest(Any),
    Function::with("sprig_dict", &[], |run, given| {
        let mut map = Map::new();
        for pair in given.chunks(2) {
            let value = pair.get(1).cloned().unwrap_or_else(|| Value::text(""));
            map.insert(Text::from(printed(&pair[0])?), value);
        }
        run.nested(Value::map(map))
    })
    .rest(Any),
    Function::pure("sprig_get", &[Any, Str], |given| match &given[0] {
        Value::Map(map, _) => Ok(map.get(bytes(&given[1])).cloned().unwrap_or_else(|| Value::text(""))),
        other => Err(format!("get takes a map, not {}", other.type_name())),
    }),
    Function::pure("sprig_hasKey", &[Any, Str], |given| match &given[0] {
        Value::Map(map, _) => Ok(Value::Bool(map.contains_key(bytes(&given[1])))),
        nothing if nothing.is_nothing() => Ok(Value::Bool(false)),
        other => Err(format!("hasKey takes a map, not {}", other.type_name())),
    }),
    Function::with("sprig_append", &[Any, Any], |run, given| {
        let mut all = items(&given[0])?.to_vec();
        all.push(given[1].clone());
        run.nested(Value::list(all))
    }),
    Function::pure("sprig_first", &[Any], |given| Ok(items(&given[0])?.first().cloned().unwrap_or(Value::Nil))),
    Function::pure("sprig_last", &[Any], |given| Ok(items(&given[0])?.last().cloned().unwrap_or(Value::Nil))),
    Function::pure("sprig_join", &[Str, Any], |given| {
        let parts: Vec<Vec<u8>> = match &given[1] {
            Value::List(all, _) => {
                all.iter().filter(|item| !item.is_nothing()).map(printed).collect::<Result<_, _>>()?
            }
            other if other.is_nothing() => Vec::new(),
            other => vec![printed(other)?],
        };
        Ok(Value::text(parts.join(bytes(&given[0]))))
    }),
    Function::pure("sprig_splitList", &[Str, Str], |given| {
        let (separator, whole) = (string(&given[0]), string(&given[1]));
        if separator.is_empty() {
            return Ok(Value::strings(whole.chars().map(String::from)));
        }
        Ok(Value::List(whole.split(&*separator).map(Value::text).collect::<Vec<_>>().into(), Elements::Strings))
    }),
    Function::pure("sprig_toString", &[Any], |given| match &given[0] {
        Value::Nil | Value::Invalid => Ok(Value::text("<nil>")),
        value => printed(value).map(Value::text),
    }),
    Function::pure("sprig_toJson", &[Any], |given| json::write(&given[0], None, true).map(Value::text)),
    Function::pure("sprig_toPrettyJson", &[Any], |given| json::write(&given[0], Some(2), true).map(Value::text)),
];

/// The items of a list argument.
fn items(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(items, _) => Ok(items),
        other => Err(format!("it takes a list, not {}", other.type_name())),
    }
}

/// The arguments that are not nil, quoted and joined with blanks.
fn quoted(given: &[Value], quote: fn(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, String> {
    let shown = given.iter().filter(|value| !value.is_nothing()).map(|value| Ok(quote(&printed(value)?)));
    Ok(shown.collect::<Result<Vec<_>, String>>()?.join(&b' '))
}

/// Indents every line; `before` precedes the result.
fn indent(run: &mut Rendering<'_>, given: &[Value], before: &str) -> Outcome {
    let width = usize::try_from(integer(&given[0])).map_err(|_| "a negative width")?;
    let whole = string(&given[1]);
    run.grow(width.saturating_mul(whole.split('\n').count()))?;
    let padding = " ".repeat(width);
    Ok(Value::text(format!("{before}{padding}{}", whole.replace('\n', &format!("\n{padding}")))))
}
