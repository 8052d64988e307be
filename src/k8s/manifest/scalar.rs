//! Resolves plain scalars as kubectl's library does, which is a variant of YAML 1.1 (`yes` is true, `0400` is 256,
//! `1:30` is a string).

use serde_json::Number;

use super::doc::Doc;

/// The value of a plain scalar; an error for infinity and NaN, which JSON does not have.
pub(super) fn resolve(text: &str) -> Result<Doc, &'static str> {
    let word = match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Doc::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(Doc::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(Doc::Bool(false)),
        _ => None,
    };
    if let Some(word) = word {
        return Ok(word);
    }
    let bare = text.trim_start_matches(['+', '-']);
    if text.len() - bare.len() <= 1 && matches!(bare, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err("a number without end, which JSON does not have; put it in quotes");
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    Ok(if is_number { number(&text.replace('_', "")).map(Doc::Number) } else { None }
        .unwrap_or_else(|| Doc::Text(text.to_owned())))
}

/// The number that a scalar is, if it is one.
fn number(text: &str) -> Option<Number> {
    integer(text).or_else(|| is_float(text).then(|| text.parse::<f64>().ok()).flatten().and_then(whole))
}

/// A float as a JSON number; a whole one as an integer, as Go writes it.
fn whole(value: f64) -> Option<Number> {
    // Below this, every whole float is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT { Some((value as i64).into()) } else { Number::from_f64(value) }
}

/// An integer in the syntax of Go's `strconv.ParseInt(text, 0, 64)`: `0x`, `0o`, `0b`, and a leading `0` for octal.
fn integer(text: &str) -> Option<Number> {
    let (is_negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    match is_negative {
        false => Some(value.into()),
        true => i64::try_from(-i128::from(value)).ok().map(Number::from),
    }
}

/// Whether the text matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let before = digits(rest);
    let mut rest = &rest[before..];
    let mut after = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        after = digits(fraction);
        rest = &fraction[after..];
    }
    if before + after == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_what_kubectl_makes_of_them() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("off", json!(false)),
            ("n", json!(false)),
            ("~", json!(null)),
            ("", json!(null)),
            ("0400", json!(256)),
            ("0o400", json!(256)),
            ("0x10", json!(16)),
            ("0b101", json!(5)),
            ("-0b11", json!(-3)),
            ("+5", json!(5)),
            ("1_000", json!(1000)),
            ("08", json!(8)),
            ("1.50", json!(1.5)),
            ("1.", json!(1)),
            (".5", json!(0.5)),
            ("1e3", json!(1000)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1:30", json!("1:30")),
            ("2001-01-01", json!("2001-01-01")),
            ("1.2.3", json!("1.2.3")),
            ("0x", json!("0x")),
            ("-", json!("-")),
            (".", json!(".")),
            ("1e", json!("1e")),
            ("truE", json!("truE")),
            ("1Gi", json!("1Gi")),
        ] {
            assert_eq!(resolve(text).unwrap().to_json(), expected, "{text}");
        }
        for text in [".inf", "-.inf", "+.Inf", ".NaN"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
