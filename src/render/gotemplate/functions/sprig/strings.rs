//! Sprig's strings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::super::super::super::limits::check_written;
use super::super::super::arguments::Kind::{Any, Int as Number, String as Str};
use super::super::super::print::{self, Unprintable};
use super::super::super::quote::quote;
use super::super::super::rendering::Rendering;
use super::super::super::value::{Elements, Map, Text, Value};
use super::super::regex::Regex;
use super::super::{Function, Outcome, bytes, encoding, integer, letters, printed, string, text};
use super::lists::strings;

pub(in super::super) const TABLE: &[Function] = &[
    Function::pure("sprig_upper", &[Str], |given| Ok(Value::text(letters::upper(&string(&given[0]))))),
    Function::pure("sprig_lower", &[Str], |given| Ok(Value::text(letters::lower(&string(&given[0]))))),
    Function::pure("sprig_title", &[Str], |given| Ok(Value::text(letters::each_word(&string(&given[0]))))),
    Function::pure("sprig_trim", &[Str], |given| Ok(Value::text(string(&given[0]).trim()))),
    Function::pure("sprig_trimAll", &[Str, Str], text::trim).slow(),
    Function::pure("sprig_trimall", &[Str, Str], text::trim).slow(),
    Function::pure("sprig_trimPrefix", &[Str, Str], text::trim_prefix),
    Function::pure("sprig_trimSuffix", &[Str, Str], text::trim_suffix),
    Function::pure("sprig_nospace", &[Str], |given| {
        Ok(Value::text(string(&given[0]).split_whitespace().collect::<String>()))
    }),
    Function::pure("sprig_trunc", &[Number, Str], |given| {
        let (count, whole) = (integer(&given[0]), bytes(&given[1]));
        let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        Ok(Value::text(match count {
            _ if size >= whole.len() => whole,
            ..0 => &whole[whole.len() - size..],
            _ => &whole[..size],
        }))
    }),
    Function::pure("sprig_abbrev", &[Number, Str], |given| {
        let whole = bytes(&given[1]);
        match usize::try_from(integer(&given[0])) {
            Ok(width) if width >= 4 && whole.len() > width => Ok(Value::text([&whole[..width - 3], b"..."].concat())),
            _ => Ok(given[1].clone()),
        }
    }),
    Function::pure("sprig_substr", &[Number, Number, Str], |given| {
        let (start, end, whole) = (integer(&given[0]), integer(&given[1]), bytes(&given[2]));
        let place = |at: i64| usize::try_from(at).ok();
        let part = match (place(start), place(end)) {
            (None, end) => whole.get(..end.unwrap_or(usize::MAX)),
            (Some(start), Some(end)) if end <= whole.len() => whole.get(start..end),
            (Some(start), _) => whole.get(start..),
        };
        part.map(Value::text).ok_or_else(|| "slice bounds out of range".to_owned())
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
    Function::pure("sprig_cat", &[], |given| {
        let shown = print::spaced(given.iter().filter(|value| !value.is_nothing()));
        shown.map(Value::text).map_err(Unprintable::reason)
    })
    .rest(Any),
    Function::pure(
        "sprig_plural",
        &[Str, Str, Number],
        |given| Ok(given[usize::from(integer(&given[2]) != 1)].clone()),
    ),
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
    Function::pure("sprig_sha1sum", &[Str], |given| digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, given)),
    Function::pure("sprig_sha256sum", &[Str], |given| digest(&digest::SHA256, given)),
    Function::with("sprig_join", &[Str, Any], |run, given| {
        let parts = strings(&given[1])?;
        run.grow(parts.iter().map(|part| part.len() + bytes(&given[0]).len()).sum())?;
        Ok(Value::text(parts.join(bytes(&given[0]))))
    }),
    Function::with("sprig_splitList", &[Str, Str], |run, given| {
        Ok(Value::strings(split(run, &string(&given[1]), &string(&given[0]), usize::MAX)?))
    }),
    Function::with("sprig_split", &[Str, Str], |run, given| {
        Ok(numbered(split(run, &string(&given[1]), &string(&given[0]), usize::MAX)?))
    }),
    Function::with("sprig_splitn", &[Str, Number, Str], |run, given| {
        let most = usize::try_from(integer(&given[1])).unwrap_or(usize::MAX);
        Ok(numbered(split(run, &string(&given[2]), &string(&given[0]), most)?))
    }),
    Function::pure("sprig_toString", &[Any], |given| match &given[0] {
        Value::Nil | Value::Invalid => Ok(Value::text("<nil>")),
        value => printed(value).map(Value::text),
    }),
    Function::with("sprig_regexMatch", &[Str, Str], |run, given| {
        let regex = Regex::new(run, &string(&given[0]))?;
        regex.find(run, &string(&given[1])).map(|found| Value::Bool(found.is_some()))
    }),
    Function::with("sprig_regexFind", &[Str, Str], |run, given| {
        let found =
            Regex::new(run, &string(&given[0]))?.find(run, &string(&given[1])).map(|found| found.map(Value::text));
        Ok(found?.unwrap_or_else(|| Value::text("")))
    }),
    Function::with("sprig_regexFindAll", &[Str, Str, Number], |run, given| {
        let most = usize::try_from(integer(&given[2])).unwrap_or(usize::MAX);
        Regex::new(run, &string(&given[0]))?.find_all(run, &string(&given[1]), most)
    }),
    Function::with("sprig_regexReplaceAll", &[Str, Str, Str], |run, given| {
        Regex::new(run, &string(&given[0]))?.replace(run, &string(&given[1]), &string(&given[2]))
    }),
    Function::with("sprig_regexReplaceAllLiteral", &[Str, Str, Str], |run, given| {
        let literal = string(&given[2]).replace('$', "$$");
        Regex::new(run, &string(&given[0]))?.replace(run, &string(&given[1]), &literal)
    }),
    Function::pure("sprig_regexQuoteMeta", &[Str], |given| {
        let mut out = String::new();
        for c in string(&given[0]).chars() {
            if r"\.+*?()|[]{}^$".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        Ok(Value::text(out))
    }),
];

fn digest(algorithm: &'static digest::Algorithm, given: &[Value]) -> Outcome {
    Ok(Value::text(encoding::digest_hex(algorithm, bytes(&given[0]))))
}

/// At most `most` parts; without a separator, the characters.
fn split<'t>(run: &mut Rendering<'_>, whole: &'t str, separator: &str, most: usize) -> Result<Vec<&'t str>, String> {
    if separator.is_empty() {
        run.pieces(whole.chars().take(most).count())?;
        let places: Vec<usize> = whole.char_indices().map(|(at, _)| at).take(most).chain([whole.len()]).collect();
        return Ok(places.windows(2).map(|place| &whole[place[0]..place[1]]).collect());
    }
    run.pieces(whole.splitn(most, separator).count())?;
    Ok(whole.splitn(most, separator).collect())
}

/// Parts as a map with the keys `_0`, `_1` and so on.
fn numbered(parts: Vec<&str>) -> Value {
    let entries = parts.iter().enumerate();
    let map: Map = entries.map(|(at, part)| (Text::from(format!("_{at}").as_bytes()), Value::text(part))).collect();
    Value::Map(map.into(), Elements::Strings)
}

/// The arguments that are not nil, quoted and joined with blanks.
fn quoted(given: &[Value], quote: fn(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for value in given.iter().filter(|value| !value.is_nothing()) {
        if !out.is_empty() {
            out.push(b' ');
        }
        check_written(out.len())?;
        out.extend_from_slice(&quote(&printed(value)?));
    }
    Ok(out)
}

/// Indents every line; `before` precedes the result.
fn indent(run: &mut Rendering<'_>, given: &[Value], before: &str) -> Outcome {
    let width = usize::try_from(integer(&given[0])).map_err(|_| "a negative width")?;
    let whole = string(&given[1]);
    run.grow(width.saturating_mul(whole.split('\n').count()))?;
    let padding = " ".repeat(width);
    Ok(Value::text(format!("{before}{padding}{}", whole.replace('\n', &format!("\n{padding}")))))
}
