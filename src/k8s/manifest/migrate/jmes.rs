//! Translates JMESPath expressions of the AWS provider that name one value: fields, and places in lists.

use std::fmt::Write;

/// What a file is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A reference.
    From(String),
    /// A Jinja template.
    Template(String),
}

/// A step into a value.
#[derive(Debug, PartialEq, Eq)]
enum Step<'p> {
    Field(&'p str),
    Place(&'p str),
}

/// The value at `path` in the secret `source`; `None` for other expressions.
pub(super) fn content(source: &str, path: &str) -> Option<Content> {
    let steps = steps(path)?;
    if let [Step::Field(name)] = steps[..] {
        return Some(Content::From(format!("{source}#{name}")));
    }
    let is_plain = |text: &str| !text.contains(['\'', '\\', '{', '}', '%']);
    let mut template = format!("{{{{ secret('{source}')");
    for step in &steps {
        let _ = match step {
            Step::Field(name) if is_plain(name) => write!(template, "['{name}']"),
            Step::Place(number) => write!(template, "[{number}]"),
            Step::Field(_) => return None,
        };
    }
    template.push_str(" }}");
    is_plain(source).then_some(Content::Template(template))
}

/// The steps of `a."b-c"[0].d`.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()),
        };
        if name.is_empty()
            || name.contains('\\')
            || (!rest.starts_with('"') && rest.starts_with(|c: char| c.is_ascii_digit()))
        {
            return None;
        }
        steps.push(Step::Field(name));
        rest = after;
        while let Some(inner) = rest.strip_prefix('[') {
            let (number, after) = inner.split_once(']')?;
            if number.is_empty() || number.len() > 6 || !number.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Place(number));
            rest = after;
        }
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None => return rest.is_empty().then_some(steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_places_are_references_or_templates() {
        let from = |text: &str| Some(Content::From(text.to_owned()));
        let template = |text: &str| Some(Content::Template(text.to_owned()));
        for (path, expected) in [
            ("password", from("aws-sm:a#password")),
            ("\"a.b\"", from("aws-sm:a#a.b")),
            ("db.password", template("{{ secret('aws-sm:a')['db']['password'] }}")),
            ("db.\"my-key\"[0].x", template("{{ secret('aws-sm:a')['db']['my-key'][0]['x'] }}")),
            ("list[10]", template("{{ secret('aws-sm:a')['list'][10] }}")),
        ] {
            assert_eq!(content("aws-sm:a", path), expected, "{path}");
        }
    }

    #[test]
    fn other_expressions_are_none() {
        for path in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a[*]",
            "a[-1]",
            "a[0",
            "a[?b]",
            "a | b",
            "a.b()",
            "length(a)",
            "@",
            "*",
            "a.*",
            "[0]",
            "a-b",
            "0a",
            "\"a",
            "\"\"",
            "\"a\\\"b\"",
            "a.\"it's\"",
            "a.\"{{\"",
            "a.[b]",
            "{a: b}",
            "a || b",
            "a [0]",
        ] {
            assert_eq!(content("aws-sm:a", path), None, "{path}");
        }
    }
}
