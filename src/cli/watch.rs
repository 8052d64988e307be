//! `status --watch`: repeats the query until a signal arrives or the reader closes the pipe.

use std::io::{self, Write};
use std::time::Duration;

use crate::domain::{Diagnostic, Exit, worst};
use crate::run::ProcessContext;
use crate::sys::harden::stdout;

/// How successive outputs are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Screen {
    /// Each replaces the one before.
    Cleared,
    /// Separated by an empty line.
    Appended,
    /// Each on one line: JSON.
    Lines,
}

/// Time between two queries.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often pending signals are checked.
const SLICE: Duration = Duration::from_millis(100);

/// Queries and prints until a signal arrives. A failure of the first query is returned; a later one is printed,
/// because the queried process may come back.
pub(super) fn watch(
    caller: &ProcessContext,
    screen: Screen,
    mut ask: impl FnMut() -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>>,
) -> Result<Exit, Vec<Diagnostic>> {
    let mut is_first = true;
    loop {
        let (text, problems) = match ask() {
            Err(problems) if is_first => return Err(problems),
            Err(problems) => (String::new(), problems),
            Ok(answer) => answer,
        };
        match show(screen, is_first, &text, &problems) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::App(0)),
            Err(error) => return Err(vec![Diagnostic::new(Exit::Volume, format!("cannot write to stdout: {error}"))]),
        }
        is_first = false;
        for _ in 0..INTERVAL.as_millis() / SLICE.as_millis() {
            if let Some(signal) = caller.pending_end() {
                return Ok(signal);
            }
            std::thread::sleep(SLICE);
        }
    }
}

/// Prints one output with its problems. In JSON, a query that failed is one object with `ready`, `exit` and `error`.
fn show(screen: Screen, is_first: bool, text: &str, problems: &[Diagnostic]) -> io::Result<()> {
    let mut out = stdout()?;
    match screen {
        Screen::Cleared => out.write_all(b"\x1b[H\x1b[2J")?,
        Screen::Appended if !is_first => out.write_all(b"\n")?,
        Screen::Appended | Screen::Lines => {}
    }
    out.write_all(text.as_bytes())?;
    if screen == Screen::Lines {
        if text.is_empty() {
            writeln!(
                out,
                "{}",
                serde_json::json!({ "ready": false, "exit": worst(problems).code(), "error": texts(problems) })
            )?;
        }
    } else if !problems.is_empty() {
        writeln!(out, "\n{}", texts(problems).join("\n"))?;
    }
    out.flush()
}

/// The problems' texts.
fn texts(problems: &[Diagnostic]) -> Vec<&str> {
    problems.iter().map(|problem| problem.text.as_str()).collect()
}
