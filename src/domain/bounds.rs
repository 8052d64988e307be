//! How much of what others send is taken: in bytes, and in elements, because a few bytes of JSON become many of memory.

/// The most bytes of one answer that holds secrets. Vault's own limit for an entry is 1 MiB; escapes may double it.
pub const MOST_ANSWER_BYTES: usize = 2 << 20;

/// The most bytes of an answer that holds credentials or none at all.
pub const MOST_IDENTITY_BYTES: usize = 256 << 10;

/// Of answers longer than this only one at a time is received from a backend.
pub const LARGE_ANSWER_BYTES: usize = 64 << 10;

/// The most bytes of secrets that are held at once: several times what a Kubernetes Secret holds.
pub const MOST_SECRET_BYTES: usize = 4 << 20;

/// The most names and values in one JSON text that is parsed. Each costs up to some hundred bytes of memory.
pub const MOST_ELEMENTS: usize = 20_000;

/// Whether a JSON text has more than [`MOST_ELEMENTS`] names and values, by its punctuation outside strings.
pub fn has_too_many_elements(json: &[u8]) -> bool {
    // Each element but the first stands behind one of these.
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
