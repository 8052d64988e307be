//! What a person at a terminal gets from the table of options: completions and manual pages of both programs.

use std::process::Command;

fn printed(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn programs() -> [&'static str; 2] {
    [env!("CARGO_BIN_EXE_secret-exec"), env!("CARGO_BIN_EXE_secret-inject")]
}

#[test]
fn bash_completes_options_of_the_command_that_is_typed() {
    for (program, line, expected) in [
        (programs()[0], "secret-exec check --onl", "--online"),
        (programs()[0], "secret-exec --run", "--run-as"),
        (programs()[0], "secret-exec side", "sidecar"),
        (programs()[1], "secret-inject manifest --che", "--check"),
    ] {
        let script = printed(program, &["completions", "bash"]);
        let name = line.split(' ').next().unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let function = script.split_once("()").unwrap().0.trim().to_owned();
        let ask = format!(
            "{script}\nCOMP_WORDS=({line}); COMP_CWORD={}; {function} {name} '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        let replies = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            replies.lines().any(|reply| reply == expected),
            "{line}: {replies}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn every_shell_and_every_command_has_its_page() {
    for program in programs() {
        for shell in ["bash", "zsh", "fish"] {
            assert!(printed(program, &["completions", shell]).lines().count() > 20, "{program} {shell}");
        }
        let page = printed(program, &["man"]);
        assert!(page.starts_with(".ie") && page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{page}");
    }
    assert!(printed(programs()[0], &["man", "check"]).contains("local\\-skeleton"));
    assert!(printed(programs()[1], &["man", "webhook"]).contains("tls\\-cert"));
    let unknown = Command::new(programs()[0]).args(["man", "chekc"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(64));
}
