//! Whatever somebody writes: an answer, never a panic.

use proptest::prelude::*;

use super::*;

/// Text made of the pieces that matter, so that it gets far.
fn near_text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "vault",
        "auth",
        "method",
        "kubernetes",
        "role",
        "files",
        "env",
        "envFrom",
        "from",
        "template",
        "mode",
        "a",
        "b/c",
        "onChange",
        "signal",
        "HUP",
        "refresh",
        "5m",
        "volume",
        "size",
        "8Mi",
        "vault:x#k",
        "aws-sm:x",
        "db",
        "secrets",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "#",
        " #",
        "|",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "<<",
        "---\n",
        "!",
        "!!str ",
        "%",
        "?",
        "~",
        "null",
        "0440",
        "\t",
        "\\",
        "\\x",
        "\\u00",
        "=",
        "ü",
        "\u{0}",
        "\u{feff}",
        "secret-exec.dev/",
        "file.",
        "config",
        "run-as",
        "=\"",
        "\"\n",
        "true",
        "yes",
        "\r\n",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => near_text(), 1 => any::<String>(), 1 => mutated()]
}

/// The example with a piece put into it somewhere.
fn mutated() -> impl Strategy<Value = String> {
    (0..EXAMPLE.len(), 0..40_usize, near_text()).prop_map(|(at, gone, piece)| {
        let floor = |mut at: usize| {
            while !EXAMPLE.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (floor(at), floor((at + gone).min(EXAMPLE.len())));
        format!("{}{piece}{}", &EXAMPLE[..start], &EXAMPLE[end..])
    })
}

proptest! {
    #[test]
    fn resolve_answers_whatever_is_written(
        file in text(),
        annotations in text(),
        pairs in prop::collection::vec((text(), text()), 0..3),
        flags in prop::collection::vec(
            (prop::sample::select(vec!["--set", "--file", "--env", "--on-change", "--run-as", "--local", "--x"]), text()),
            0..4,
        ),
        environment in prop::collection::vec((text(), text()), 0..3),
    ) {
        let flags: Vec<Flag> = flags.into_iter().map(|(name, value)| Flag::new(name, value)).collect();
        let prefixed: Vec<_> = pairs.iter().map(|(key, value)| (format!("secret-exec.dev/{key}"), value.clone())).collect();
        let variables: Vec<_> =
            environment.iter().map(|(key, value)| (format!("SECRET_EXEC_{key}"), value.clone())).chain(environment.clone()).collect();
        for annotations in [
            None,
            Some(Annotations::File(Text { name: "a", text: &annotations })),
            Some(Annotations::Pairs(&prefixed)),
        ] {
            let layers = Layers {
                environment: &variables,
                annotations,
                file: Some(Text { name: "c.yaml", text: &file }),
                flags: &flags,
                wraps: Wraps::Command,
            };
            if let Err(mistakes) = resolve(&layers) {
                prop_assert!(!mistakes.is_empty());
                for mistake in mistakes {
                    let line = format!("{}: {}", mistake.place, mistake.text);
                    prop_assert!(!line.contains(char::is_control), "one line: {line:?}");
                }
            }
        }
    }

    #[test]
    fn go_quoting_is_undone(value in any::<String>()) {
        let mut quoted = String::new();
        for c in value.chars() {
            match c {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                c if c.is_control() && c.len_utf8() == 1 => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => quoted.push(c),
            }
        }
        let text = format!("k=\"{quoted}\"\n");
        let pairs = crate::config::annotations::parse_downward_api(Text { name: "a", text: &text });
        prop_assert_eq!(pairs, Ok(vec![("k".to_owned(), value)]));
    }

    #[test]
    fn a_file_reads_the_same_as_the_same_text_in_an_annotation(file in text()) {
        let pairs = [("secret-exec.dev/config".to_owned(), file.clone())];
        let in_file = Layers { environment: &[], annotations: None, file: Some(Text { name: "annotation secret-exec.dev/config", text: &file }), flags: &[], wraps: Wraps::Nothing };
        let in_annotation = Layers { annotations: Some(Annotations::Pairs(&pairs)), file: None, ..in_file };
        let (a, b) = (resolve(&in_file), resolve(&in_annotation));
        if !file.contains("skipVerify") {
            prop_assert_eq!(a, b);
        }
    }
}
