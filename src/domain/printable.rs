//! Makes untrusted text safe inside one log or output line: no line breaks, no terminal control, bounded length.

use std::borrow::Cow;

use super::names::is_invisible;

/// The text with control and invisible characters escaped as Rust does: `\n`, `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The first `most` characters of the text, with control and invisible characters escaped; `…` marks a cut.
pub fn excerpt(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => printable(text).into_owned(),
        Some((at, _)) => printable(&text[..at]).into_owned() + "…",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_stays_in_its_line() {
        assert_eq!(printable("Grüße, a b"), "Grüße, a b");
        assert_eq!(
            printable("a\n\u{1b}[31mb\u{202e}c\u{200b}\r\t\u{9b}"),
            "a\\n\\u{1b}[31mb\\u{202e}c\\u{200b}\\r\\t\\u{9b}"
        );
        assert_eq!(
            (excerpt("äöü", 3), excerpt("äöü", 2), excerpt("\n\n", 1)),
            ("äöü".into(), "äö…".into(), "\\n…".into())
        );
    }
}
