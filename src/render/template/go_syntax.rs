//! Recognizes a template in Go's language (consul-template, Vault Agent) that is read as Jinja.

use crate::render::gotemplate;

/// The offset of the first tag that only Go's language has, in a text that does not compile as Jinja: `{{ with …`, `{{
/// .Data.x }}`, `{{ secret "…" }}`, `{{ $x := …`.
pub(super) fn go_template(text: &str) -> Option<usize> {
    const ACTIONS: [&str; 9] = ["with", "range", "if", "else", "end", "define", "block", "template", "printf"];
    const FUNCTIONS: [&str; 4] = ["secret", "key", "file", "pkiCert"];
    // The difference shows at the beginning of a tag, and among the first tags.
    tags(text)
        .take(MOST_TAGS)
        .find(|(_, tag)| {
            let tag = tag.trim_start_matches('-').trim_end_matches('-').trim().trim_start_matches('(');
            let (word, rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            let is_action = ACTIONS.contains(&word) && (["end", "else"].contains(&tag) || !rest.is_empty());
            let is_call = FUNCTIONS.contains(&word) && rest.trim_start().starts_with(['"', '`', '(']);
            tag.starts_with(['.', '$']) || tag.starts_with("/*") || is_action || is_call || is_word_call(word, rest)
        })
        .map(|(at, _)| at)
}

/// Whether a tag calls a function without parentheses, as only Go's language does: `{{ NAME "text" }}`, `{{ index .Data
/// … }}`, `{{ timestamp }}`.
fn is_word_call(word: &str, rest: &str) -> bool {
    let rest = rest.trim_start();
    let is_name = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) && word != "not";
    match rest.chars().next() {
        Some('"' | '`') => is_name,
        Some('.' | '$' | '(') => word == "not" || gotemplate::is_function(word),
        Some(_) => false,
        None => word == "timestamp",
    }
}

/// The most tags that are inspected.
const MOST_TAGS: usize = 1000;
/// The most bytes of a tag that are inspected.
const LONGEST_TAG: usize = 200;

/// The tags of a text: offset, and the beginning of the content.
fn tags(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text[from..].find("{{")?;
        let braces = text[at..].len() - text[at..].trim_start_matches('{').len();
        let inside = &text[at + braces..];
        let most = (0..=LONGEST_TAG.min(inside.len())).rev().find(|end| inside.is_char_boundary(*end))?;
        let inside = &inside[..most];
        let tag = inside.split_once("}}").map_or(inside, |(tag, _)| tag);
        from = at + braces + tag.len();
        Some((at, tag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_go_is_found_where_it_begins() {
        for (text, at) in [
            ("a {{ .Data.x }}", Some(2)),
            ("{{ x }}{{ with secret \"a\" }}", Some(7)),
            ("{{{{ $x := 1 }}", Some(0)),
            ("{{- range .l -}}", Some(0)),
            ("{{ x }}", None),
            ("{{", None),
            ("ü{{ü", None),
        ] {
            assert_eq!(go_template(text), at, "{text}");
        }
    }

    /// Every byte is looked at a bounded number of times, whatever the braces.
    #[test]
    fn a_text_of_braces_costs_no_more_than_its_length() {
        for piece in ["{{", "{{ a ", "{", "{{ü", "{{ a }}"] {
            let text = piece.repeat(300_000);
            let looked_at: usize = tags(&text).map(|(_, tag)| tag.len() + 2).sum();
            assert!(looked_at <= 2 * text.len() + LONGEST_TAG, "{piece}: {looked_at}");
            assert_eq!(go_template(&text), None, "{piece}");
        }
    }
}
