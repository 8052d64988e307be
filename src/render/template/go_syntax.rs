//! What tells a template of Go's language (consul-template, Vault agent) from one of Jinja.

/// Where a text that is no template of ours has the first tag that only Go's language has: `{{ with …`, `{{ .Data.x }}`,
/// `{{ secret "…" }}`, `{{ $x := …`.
pub(super) fn go_template(text: &str) -> Option<usize> {
    const ACTIONS: [&str; 9] = ["with", "range", "if", "else", "end", "define", "block", "template", "printf"];
    const FUNCTIONS: [&str; 4] = ["secret", "key", "file", "pkiCert"];
    text.match_indices("{{").map(|(at, _)| at).find(|at| {
        let tag = text[*at..].trim_start_matches('{');
        let tag = tag.split_once("}}").map_or(tag, |(tag, _)| tag);
        let tag = tag.trim_start_matches('-').trim_end_matches('-').trim();
        let (word, rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let is_action = ACTIONS.contains(&word) && (["end", "else"].contains(&tag) || !rest.is_empty());
        let is_call = FUNCTIONS.contains(&word) && rest.trim_start().starts_with(['"', '`', '(']);
        tag.starts_with(['.', '$']) || tag.starts_with("/*") || is_action || is_call
    })
}
