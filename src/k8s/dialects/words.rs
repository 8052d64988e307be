//! Parses single values as Go's standard library does.

use std::time::Duration;

/// Like `strconv.ParseBool`; an empty text is false.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" | "" => Ok(false),
        _ => Err("expected \"true\" or \"false\"".to_owned()),
    }
}

/// Like `strconv.ParseInt`; an empty text is 0.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| "expected a whole number".to_owned())
}

/// Like `strconv.ParseUint`.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().ok_or_else(|| "expected a whole number of seconds".to_owned())
}

/// Like `time.ParseDuration`, without a sign; a bare number is seconds, as in Vault's settings.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 8] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let expected = || "expected a duration such as 30s, 5m or 1h30m".to_owned();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Duration::from_secs).map_err(|_| expected());
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
        if !number.bytes().any(|b| b.is_ascii_digit()) {
            return Err(expected());
        }
        total += number.parse::<f64>().map_err(|_| expected())? * factor;
        rest = tail;
    }
    if text.is_empty() {
        return Err(expected());
    }
    Duration::try_from_secs_f64(total).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_gos() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["0", "f", "F", "false", "FALSE", "False", ""] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        for text in ["tRuE", "yes", "on", " true", "2", "True "] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_and_durations_are_gos() {
        assert_eq!(integer("-5"), Ok(-5));
        assert_eq!(integer(""), Ok(0));
        assert!(integer("5s").is_err() && integer("1.5").is_err());
        assert_eq!(count("30"), Ok(30));
        assert!(count("").is_err() && count("-1").is_err() && count("+1").is_err());
        for (text, millis) in [("300", 300_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("250ms", 250), ("5m", 300_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "x", "5", "5x", "s", "-5s", "1d", ".s", "5 s", "1..5s"].iter().filter(|text| **text != "5") {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
