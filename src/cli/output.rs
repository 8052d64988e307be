//! What a program prints at its end: text for stdout, and the lines on stderr that say why it failed, as text or
//! JSON.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{LogFormat, LogLevel};
use crate::domain::{Diagnostic, Exit, printable, worst};
use crate::run::{ProcessContext, Program, Shown, Style, start_log};
use crate::sys::harden::stdout;

use super::watch::Screen;

/// Whether the lines on stderr are JSON. A static, because the panic hook reads it too.
static JSON: AtomicBool = AtomicBool::new(false);
/// Whether the command line or the environment sets the format.
static IS_REQUESTED: AtomicBool = AtomicBool::new(false);

/// Sets the format of later lines on stderr.
pub(super) fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Sets the format that the command line or the environment requests. Called before they are validated, so that
/// mistakes in them are printed in that format too.
pub(super) fn set_requested_format(arguments: &[String], variable: Option<&[u8]>) {
    if let Some(format) = requested_format(arguments, variable) {
        IS_REQUESTED.store(true, Ordering::Relaxed);
        set_format(format);
    }
}

/// Sets the format that the text of a config file or of annotations requests, unless the command line or the
/// environment did. The text may be invalid elsewhere.
pub(super) fn set_format_of_text(text: &str) {
    let is_json = |line: &str| {
        let value = line.strip_prefix("logFormat:").or_else(|| line.strip_prefix("secret-exec.dev/log-format="));
        value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == "json")
    };
    if !IS_REQUESTED.load(Ordering::Relaxed) && text.lines().any(is_json) {
        set_format(LogFormat::Json);
    }
}

/// Whether the command line, which may be invalid, is `check --json`.
pub(super) fn is_check_in_json(arguments: &[OsString]) -> bool {
    let before = || arguments.iter().take_while(|argument| *argument != "--");
    before().any(|word| word == "check") && before().any(|word| word == "--json")
}

/// The log format that the arguments before `--` request, else the variable; `None` if neither does. The arguments may
/// be invalid.
fn requested_format(arguments: &[String], variable: Option<&[u8]>) -> Option<LogFormat> {
    let before = arguments.iter().take_while(|argument| *argument != "--");
    let mut named = variable.map(|value| value == b"json");
    let mut words = before.peekable();
    while let Some(word) = words.next() {
        let value = match (word.as_str(), words.peek()) {
            ("--log-format", Some(value)) => Some(value.as_str()),
            ("--set", Some(value)) => value.strip_prefix("logFormat="),
            _ => word.strip_prefix("--log-format=").or_else(|| word.strip_prefix("--set=logFormat=")),
        };
        named = value.map_or(named, |value| Some(value == "json"));
    }
    named.map(|is_json| if is_json { LogFormat::Json } else { LogFormat::Text })
}

/// Prints each problem on a line of its own to stderr. Failures to write are ignored.
pub(super) fn print_problems(program: Program, problems: &[Diagnostic]) {
    let exit = worst(problems);
    for problem in problems {
        print_line(program, &problem.text, exit);
    }
}

/// Prints one line to stderr, as JSON with the exit code or as text with the program's name.
fn print_line(program: Program, text: &str, exit: Exit) {
    if JSON.load(Ordering::Relaxed) {
        // The log may not have been started yet; starting it twice has no effect.
        start_log(program, LogFormat::Json, LogLevel::Info);
        tracing::error!(exit = exit.code(), "{text}");
    } else {
        let name = match program {
            Program::Exec => "secret-exec",
            Program::Inject => "secret-inject",
        };
        let _ = writeln!(io::stderr().lock(), "{name}: {}", printable(text));
    }
}

/// Whether output on stdout is coloured: on a terminal with a usable `TERM`, unless NO_COLOR is set (no-color.org).
pub(super) fn style(caller: &ProcessContext) -> Style {
    let is_unwanted = caller.variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !is_unwanted && has_known_terminal(caller) { Style::Colour } else { Style::Plain }
}

/// How `status --watch` separates successive outputs.
pub(super) fn screen(caller: &ProcessContext, shown: Shown) -> Screen {
    match shown {
        Shown::Json => Screen::Lines,
        Shown::Table | Shown::Readiness if io::stdout().is_terminal() && has_known_terminal(caller) => Screen::Cleared,
        Shown::Table | Shown::Readiness => Screen::Appended,
    }
}

/// Whether `TERM` is set to a terminal that is not `dumb`.
fn has_known_terminal(caller: &ProcessContext) -> bool {
    caller.variable("TERM").is_some_and(|value| !value.is_empty() && value != b"dumb")
}

/// Prints to stdout. A reader that has closed the pipe (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<Exit, Vec<Diagnostic>> {
    let written = stdout().and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    match written {
        Ok(()) => Ok(Exit::App(0)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::App(0)),
        Err(error) => Err(vec![Diagnostic::new(Exit::Volume, format!("cannot write to stdout: {error}"))]),
    }
}

/// Installs a panic hook that prints only the place of the panic: its message could quote a secret.
pub(super) fn print_panics_without_their_data(program: Program) {
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = format!("bug at {place}; please report it with the command line and config");
        print_line(program, &text, Exit::Bug);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_the_last_word_counts_and_the_apps_arguments_do_not() {
        let of = |line: &str, variable: Option<&[u8]>| {
            requested_format(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), variable)
        };
        for line in [
            "--log-format json init",
            "init --log-format=json",
            "--set logFormat=json -- x",
            "--fiel --log-format json",
        ] {
            assert_eq!(of(line, None), Some(LogFormat::Json), "{line}");
        }
        assert_eq!(of("init", Some(b"json")), Some(LogFormat::Json));
        assert_eq!(of("--log-format text init", Some(b"json")), Some(LogFormat::Text));
        assert_eq!(of("-- app --log-format json", None), None);
    }
}
