//! Writes a document as YAML that every parser reads the same: block style, quoted wherever versions of YAML
//! differ.

use super::doc::Doc;
use super::scalar;

/// The document, with a newline at its end.
pub(super) fn yaml(doc: &Doc) -> String {
    let mut out = String::new();
    match doc {
        Doc::Map(entries) if !entries.is_empty() => map(entries, 0, &mut out),
        Doc::List(items) if !items.is_empty() => list(items, 0, &mut out),
        other => {
            inline(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

/// Writes the indentation of a level.
fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// Writes a map in block style; its first key goes to the current position.
fn map(entries: &[(String, Doc)], level: usize, out: &mut String) {
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            indent(level, out);
        }
        scalar_text(key, out);
        out.push(':');
        match value {
            Doc::Map(inner) if !inner.is_empty() => {
                out.push('\n');
                indent(level + 1, out);
                map(inner, level + 1, out);
            }
            // Items are not indented below their key, as kubectl and kustomize write them.
            Doc::List(inner) if !inner.is_empty() => {
                out.push('\n');
                indent(level, out);
                list(inner, level, out);
            }
            other => {
                out.push(' ');
                inline(other, level + 1, out);
                out.push('\n');
            }
        }
    }
}

/// Writes a list in block style; its first dash goes to the current position.
fn list(items: &[Doc], level: usize, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            indent(level, out);
        }
        out.push_str("- ");
        match item {
            Doc::Map(inner) if !inner.is_empty() => map(inner, level + 1, out),
            Doc::List(inner) if !inner.is_empty() => list(inner, level + 1, out),
            other => {
                inline(other, level + 1, out);
                out.push('\n');
            }
        }
    }
}

/// Writes a scalar or an empty collection, without the newline after it.
fn inline(doc: &Doc, level: usize, out: &mut String) {
    match doc {
        Doc::Null => out.push_str("null"),
        Doc::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Doc::Number(number) => out.push_str(&number.to_string()),
        Doc::Text(text) if is_block(text) => block(text, level, out),
        Doc::Text(text) => scalar_text(text, out),
        Doc::List(_) => out.push_str("[]"),
        Doc::Map(_) => out.push_str("{}"),
    }
}

/// Whether a text can be written as a literal block and read back unchanged.
fn is_block(text: &str) -> bool {
    let lines = || text.trim_end_matches('\n').split('\n');
    text.contains('\n')
        && !text.starts_with(['\n', ' '])
        && text.chars().all(|c| c == '\n' || is_plain_char(c))
        && lines().all(|line| !line.ends_with(' ') && !line.starts_with('\t'))
        && !text.trim_end_matches('\n').is_empty()
}

/// Writes a text as a literal block.
fn block(text: &str, level: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    out.push_str(match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(level, out);
            out.push_str(line);
        }
    }
}

/// Writes a text plain or in double quotes.
fn scalar_text(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_plain_char(c) => out.push(c),
            c if u32::from(c) > 0xffff => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    out.push('"');
}

/// Whether the character is printable and no line break in any version of YAML.
fn is_plain_char(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether a text needs no quotes in YAML 1.1 and 1.2, as a key and as a value.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next();
    let starts_well = first.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '$'));
    starts_well
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(|c| is_plain_char(c) && c != '\t')
        && matches!(scalar::resolve(text), Ok(Doc::Text(_)))
        && !looks_like_something(text)
}

/// Whether some parsers read the text as a date, a time or a number in base 60.
fn looks_like_something(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.chars().all(|c| c.is_ascii_digit() || ".:-+_TtZz eExXoObB".contains(c) || c.is_ascii_hexdigit())
        || matches!(text, "<<" | "=")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read::read;
    use super::*;

    fn any_doc() -> impl Strategy<Value = Doc> {
        let text = prop_oneof![
            "[ -~\\n\\t]{0,12}",
            "\\PC{0,8}",
            "(a|\\n| |#|:|-|'|\"|\\\\|\\u{85}|\\u{feff}|\\r){0,6}",
            prop::sample::select(vec![
                "yes",
                "0400",
                "1e3",
                "null",
                "~",
                "2001-01-01",
                "1:30",
                "",
                "- a",
                "<<",
                "=",
                "y"
            ])
            .prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            Just(Doc::Null),
            any::<bool>().prop_map(Doc::Bool),
            any::<i64>().prop_map(|n| Doc::Number(n.into())),
            text.clone().prop_map(Doc::Text),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Doc::List),
                prop::collection::btree_map(text.clone(), inner, 0..4)
                    .prop_map(|map| Doc::Map(map.into_iter().rev().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(doc in any_doc()) {
            let text = yaml(&doc);
            let found = read(&text);
            let found = found.map(|found| found.map_or(Doc::Null, |(doc, _)| doc));
            prop_assert_eq!(found, Ok(doc), "{}", text);
        }
    }

    #[test]
    fn it_looks_as_people_write_it() {
        let text = "a: b\nlist:\n- x: \"1\"\n  k:\n  - z\n- - 1\n  - 2\nscript: |\n  one\n    two\nempty: {}\nnone: []\nurl: https://x:1/\n";
        let (doc, _) = read(text).unwrap().unwrap();
        assert_eq!(yaml(&doc), text);
    }
}
