//! Limits on data received from others: in bytes, and in elements, because a few bytes of JSON take many bytes of
//! memory.

/// The most bytes of one response that holds secrets. Vault's own limit for an entry is 1 MiB; escapes may double
/// it.
pub const MOST_ANSWER_BYTES: usize = 2 << 20;

/// The most bytes of a response that holds credentials or no secret at all.
pub const MOST_IDENTITY_BYTES: usize = 256 << 10;

/// Only one response longer than this is received from a backend at a time.
pub const LARGE_ANSWER_BYTES: usize = 64 << 10;

/// The most bytes of secrets in memory at once: several times what a Kubernetes Secret holds.
pub const MOST_SECRET_BYTES: usize = 4 << 20;

/// The most names and values in one JSON text that is parsed. Each takes up to a few hundred bytes of memory.
pub const MOST_ELEMENTS: usize = 20_000;

/// Whether a JSON text has more than [`MOST_ELEMENTS`] names and values, counted by its punctuation outside
/// strings.
pub fn has_too_many_elements(json: &[u8]) -> bool {
    // Every element but the first follows one of these characters.
    if json.len() <= MOST_ELEMENTS {
        return false;
    }
    let (mut elements, mut in_string, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b',' | b':' | b'[' | b'{' if !in_string => elements = elements.saturating_add(1),
            _ => {}
        }
        if elements > MOST_ELEMENTS {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_outside_of_strings() {
        let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        assert!(has_too_many_elements(list("{}", MOST_ELEMENTS).as_bytes()));
        assert!(has_too_many_elements(list("1", MOST_ELEMENTS + 1).as_bytes()));
        assert!(has_too_many_elements("[".repeat(MOST_ELEMENTS + 1).as_bytes()));
        assert!(!has_too_many_elements(list("1", MOST_ELEMENTS).as_bytes()));
        let text = format!(r#"["{}\"{}"]"#, ",".repeat(MOST_ELEMENTS * 2), "{".repeat(MOST_ELEMENTS * 2));
        assert!(!has_too_many_elements(text.as_bytes()));
    }
}
