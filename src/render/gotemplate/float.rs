//! Floating-point numbers as `strconv.FormatFloat` writes and `strconv.ParseFloat` reads them.

/// Formats a number with the verb `b`, `e`, `E`, `f`, `g` or `G`. Without a precision, the result is the shortest
/// text that reads back as the same number. `is_sharp` is the flag `#`: always a point, and with `g` trailing zeros.
pub(super) fn format(value: f64, verb: char, precision: Option<usize>, is_sharp: bool) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let pointed = |text: String| match text.split_once('e') {
        _ if !is_sharp || text.contains('.') => text,
        Some((mantissa, exponent)) => format!("{mantissa}.e{exponent}"),
        None => format!("{text}."),
    };
    match verb {
        'b' => binary(value),
        'e' | 'E' => {
            let text = precision.map_or_else(|| format!("{value:e}"), |p| format!("{value:.p$e}"));
            exponential(&pointed(text), verb)
        }
        'g' | 'G' => general(value, verb, precision, is_sharp),
        _ => pointed(precision.map_or_else(|| format!("{value}"), |p| format!("{value:.p$}"))),
    }
}

/// Parses a decimal or hexadecimal number with optional underscores between digits, or a word such as `inf`. `None`
/// for other text, and for a number that is too large.
pub(super) fn parse(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    if digits.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return text.parse().ok().filter(|_| digits.len() == text.len() || digits != "nan");
    }
    let (is_hexadecimal, body) = match digits.strip_prefix("0x") {
        Some(rest) => (true, rest.strip_prefix('_').unwrap_or(rest)),
        None => (false, digits),
    };
    let between = |at: usize| [at.wrapping_sub(1), at + 1].map(|at| body.as_bytes().get(at));
    let is_digit = |byte: u8| byte.is_ascii_digit() || (is_hexadecimal && byte.is_ascii_hexdigit());
    let is_between = |(at, _)| between(at).iter().all(|byte| byte.is_some_and(|byte| is_digit(*byte)));
    if body.starts_with(['+', '-']) || !body.match_indices('_').all(is_between) {
        return None;
    }
    let body = body.replace('_', "");
    let value: f64 = if is_hexadecimal { hexadecimal(&body)? } else { body.parse().ok()? };
    Some(if lower.starts_with('-') { -value } else { value }).filter(|value| value.is_finite())
}

/// Parses the text after `0x`: hexadecimal digits and a power of two.
pub(super) fn hexadecimal(body: &str) -> Option<f64> {
    let (mantissa, exponent) = body.split_once('p')?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    let value = u64::from_str_radix(&digits, 16).ok()? as f64;
    let exponent: i32 = exponent.parse().ok()?;
    Some(value * 2f64.powi(exponent.checked_sub(4 * i32::try_from(part.len()).ok()?)?))
}

/// The number as an integer times a power of two.
fn binary(value: f64) -> String {
    let bits = value.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff);
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let power = i64::try_from(exponent.max(1)).unwrap_or_default() - 1023 - 52;
    format!("{}{mantissa}p{power:+}", if value.is_sign_negative() { "-" } else { "" })
}

/// Converts Rust's exponent `1.5e7` to Go's `1.5e+07`.
fn exponential(text: &str, verb: char) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    let e = if verb.is_uppercase() { 'E' } else { 'e' };
    format!("{mantissa}{e}{sign}{digits:0>2}")
}

/// Formats with the verb `g` or `G`.
fn general(value: f64, verb: char, precision: Option<usize>, keeps_zeros: bool) -> String {
    // `#` keeps zeros up to the precision, 6 by default.
    let precision = if keeps_zeros { precision.or(Some(6)) } else { precision };
    let wanted = precision.map(|p| p.max(1));
    let text = wanted.map_or_else(|| format!("{value:e}"), |p| format!("{value:.*e}", p - 1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mantissa = match mantissa.split_once('.') {
        Some(_) if !keeps_zeros => mantissa.trim_end_matches('0').trim_end_matches('.'),
        _ => mantissa,
    };
    let digits = i32::try_from(mantissa.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i32::MAX);
    let limit = match wanted {
        None => 6,
        Some(p) => {
            let p = i32::try_from(p).unwrap_or(i32::MAX);
            if !keeps_zeros && p > digits && digits > exponent { digits } else { p }
        }
    };
    // strconv uses 6 as the limit for the shortest text.
    if exponent < -4 || exponent >= limit {
        return exponential(&format!("{mantissa}e{exponent}"), verb);
    }
    let decimals = usize::try_from((digits - 1 - exponent).max(0)).unwrap_or_default();
    format!("{value:.decimals$}")
}
