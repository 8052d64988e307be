//! Finds the comments of a document, to tell which ones a change has lost.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle};

/// The comments of `before` that are not in `after`, each with its one-based line.
pub(super) fn lost(before: &str, after: &str) -> Vec<(usize, String)> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, comment) in comments(after) {
        *left.entry(comment).or_default() += 1;
    }
    let mut is_lost = |comment: &str| match left.get_mut(comment) {
        Some(count @ 1..) => {
            *count -= 1;
            false
        }
        _ => true,
    };
    let all = comments(before).into_iter().filter(|(_, comment)| is_lost(comment));
    all.map(|(line, comment)| (line, comment.to_owned())).collect()
}

/// The line of the first anchor (`&name`); one-based.
pub(super) fn first_anchor(text: &str) -> Option<usize> {
    let mut options = granit_parser::options! {};
    options.set_emit_comments(false);
    let mut events = Parser::new_from_str_with_options(text, options).map_while(Result::ok);
    let (event, span) = events.find(|(event, _)| {
        matches!(event, Event::Scalar(_, _, anchor, _) | Event::MappingStart(_, anchor, _) | Event::SequenceStart(_, anchor, _) if *anchor != 0)
    })?;
    let range = span.byte_range()?;
    // A block begins behind its anchor, perhaps on a later line; a scalar may contain the sign itself.
    let end = if matches!(event, Event::Scalar(..)) { range.start } else { range.end }.min(text.len());
    let is_in_comment = |at: usize| {
        let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        line.match_indices('#').any(|(mark, _)| line[..mark].chars().next_back().is_none_or(char::is_whitespace))
    };
    let at = text.get(..end)?.rmatch_indices('&').map(|(at, _)| at).find(|at| !is_in_comment(*at))?;
    Some(text[..at].matches('\n').count() + 1)
}

/// Every comment with its one-based line: a `#` at the start of a line or after white space, outside of every
/// value.
fn comments(text: &str) -> Vec<(usize, &str)> {
    let mut values = values(text).into_iter().peekable();
    let mut found = Vec::new();
    let mut start = 0;
    for (line, row) in text.split_inclusive('\n').enumerate() {
        let marks =
            row.match_indices('#').filter(|(at, _)| row[..*at].chars().next_back().is_none_or(char::is_whitespace));
        for (at, _) in marks {
            while values.next_if(|(_, end)| *end <= start + at).is_some() {}
            if values.peek().is_none_or(|(from, _)| start + at < *from) {
                found.push((line + 1, row[at..].trim_end()));
                break;
            }
        }
        start += row.len();
    }
    found
}

/// The byte ranges of scalar values, in order; for a block scalar, without its first line.
fn values(text: &str) -> Vec<(usize, usize)> {
    let mut options = granit_parser::options! {};
    options.set_emit_comments(false);
    let mut found = Vec::new();
    for event in Parser::new_from_str_with_options(text, options) {
        let Ok((event, span)) = event else { break };
        let (Event::Scalar(_, style, ..), Some(range)) = (event, span.byte_range()) else { continue };
        let Some(value) = text.get(range.clone()) else { continue };
        let from = match style {
            ScalarStyle::Literal | ScalarStyle::Folded if value.starts_with(['|', '>']) => {
                value.find('\n').unwrap_or(value.len())
            }
            _ => 0,
        };
        found.push((range.start + from, range.start + value.trim_end().len().max(from)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_anchor_is_found() {
        for (text, line) in [
            ("a: 1\nb: &x 2\nc: *x\n", Some(2)),
            ("a: 1\nb: &x\n  c: 2\nd: *x\n", Some(2)),
            ("a: &x { b: 1 }\nd: [*x]\n", Some(1)),
            ("- 1\n- &x [2]\n", Some(2)),
            ("a: &x\n  # R&D\n  k: 1\nb: *x\n", Some(1)),
            ("a: &x |\n  foo && bar\n  b & c\nd: *x\n", Some(1)),
            ("a: \"&x\" # &y\nb: c&d\n", None),
        ] {
            assert_eq!(first_anchor(text), line, "{text}");
        }
    }

    #[test]
    fn comments_are_told_from_values() {
        let text = "# one\na: b # two\nc: \"x # y\" # three\nd: 'e#f' #\n# four\ng: | # five\n  text # no\n  # nor this\nh: [a, # six\n  b#c]   # seven\n- x\n";
        let found: Vec<_> = comments(text).into_iter().map(|(line, comment)| format!("{line}{comment}")).collect();
        assert_eq!(found, ["1# one", "2# two", "3# three", "4#", "5# four", "6# five", "9# six", "10# seven"]);
        assert_eq!(
            lost("a: 1 # x\nb: 2 # x\nc: 3 # y\n", "b: 2 # x\n"),
            [(2, "# x".to_owned()), (3, "# y".to_owned())]
        );
    }
}
