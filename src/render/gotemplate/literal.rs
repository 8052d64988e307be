//! Parses string, character and number literals, like `strconv.Unquote` and Go's number syntax.

use super::ast::Term;
use super::error::SyntaxError;
use super::float;

/// A syntax error.
fn syntax(text: &str) -> SyntaxError {
    SyntaxError::Syntax(text.to_owned())
}

/// The bytes of a string literal, given with its quotes.
pub(super) fn string(quoted: &str) -> Result<Vec<u8>, SyntaxError> {
    let inner = &quoted[1..quoted.len() - 1];
    if quoted.starts_with('`') {
        return Ok(inner.replace('\r', "").into_bytes());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (character, behind) = unquote(rest, '"')?;
        match character {
            Unquoted::Byte(byte) => out.push(byte),
            Unquoted::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = behind;
    }
    Ok(out)
}

/// One unquoted element: `\xNN` and octal escapes are bytes.
enum Unquoted {
    Byte(u8),
    Char(char),
}

/// Unquotes the first element of a text; returns it with the rest.
fn unquote(text: &str, quote: char) -> Result<(Unquoted, &str), SyntaxError> {
    let mut chars = text.chars();
    let c = chars.next().ok_or_else(|| syntax("invalid syntax in a literal"))?;
    if c != '\\' {
        return Ok((Unquoted::Char(c), chars.as_str()));
    }
    let escape = chars.next().ok_or_else(|| syntax("invalid syntax in a literal"))?;
    let rest = chars.as_str();
    let simple = match escape {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '\'' | '"' if escape == quote => escape,
        'x' => return digits(rest, 2, 16).map(|(value, rest)| (Unquoted::Byte(value as u8), rest)),
        'u' => return scalar(rest, 4),
        'U' => return scalar(rest, 8),
        '0'..='7' => {
            let (value, rest) = digits(&text[1..], 3, 8)?;
            let byte = u8::try_from(value).map_err(|_| syntax("invalid escape in a literal"))?;
            return Ok((Unquoted::Byte(byte), rest));
        }
        _ => return Err(syntax("invalid escape in a literal")),
    };
    Ok((Unquoted::Char(simple), rest))
}

/// Parses exactly `count` digits; returns the number with the rest.
fn digits(text: &str, count: usize, radix: u32) -> Result<(u32, &str), SyntaxError> {
    let invalid = || syntax("invalid escape in a literal");
    let number = text.get(..count).filter(|number| number.bytes().all(|b| b.is_ascii_alphanumeric()));
    let value = u32::from_str_radix(number.ok_or_else(invalid)?, radix).map_err(|_| invalid())?;
    Ok((value, &text[count..]))
}

/// Parses a Unicode code point of `count` hexadecimal digits.
fn scalar(text: &str, count: usize) -> Result<(Unquoted, &str), SyntaxError> {
    let (value, rest) = digits(text, count, 16)?;
    let c = char::from_u32(value).ok_or_else(|| syntax("invalid escape in a literal"))?;
    Ok((Unquoted::Char(c), rest))
}

/// A number or character constant: `int`, or `float64` if it is written as a float.
pub(super) fn number(text: &str) -> Result<Term, SyntaxError> {
    if let Some(inner) = text.strip_prefix('\'') {
        let inner = inner.strip_suffix('\'').unwrap_or(inner);
        let (character, rest) = unquote(inner, '\'')?;
        if !rest.is_empty() || inner == "'" {
            return Err(syntax("malformed character constant"));
        }
        return Ok(Term::Int(match character {
            Unquoted::Byte(byte) => byte.into(),
            Unquoted::Char(c) => u32::from(c).into(),
        }));
    }
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    if digits.ends_with('i') {
        return Err(syntax("complex numbers are not supported"));
    }
    let bad = || SyntaxError::Syntax(format!("bad number syntax: {text:?}"));
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let has_bad_underscore = body.ends_with('_') || body.contains("__") || (radix == 10 && body.starts_with('_'));
    if has_bad_underscore {
        return Err(bad());
    }
    let body = body.replace('_', "");
    if radix == 16 && body.contains(['.', 'p']) {
        return float::hexadecimal(&body)
            .map(|value| Term::Float(if sign == "-" { -value } else { value }))
            .ok_or_else(bad);
    }
    if radix == 10 && body.contains(['.', 'e']) {
        let value: f64 = format!("{sign}{body}").parse().map_err(|_| bad())?;
        return if value.is_finite() { Ok(Term::Float(value)) } else { Err(bad()) };
    }
    match i64::from_str_radix(&format!("{sign}{body}"), radix) {
        Ok(value) => Ok(Term::Int(value)),
        Err(error)
            if matches!(error.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow) =>
        {
            Err(SyntaxError::Syntax(format!("integer overflow: {text:?}")))
        }
        Err(_) => Err(bad()),
    }
}
