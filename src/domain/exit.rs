//! Exit codes of the contract, and diagnostics: one line each, with the exit code they cause.

/// How the program ends when the app did not run, or when this program ended it.
///
/// The order is part of the contract: of several failures, the first in this order gives the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 70: a bug.
    Bug,
    /// 64: wrong usage or config.
    Usage,
    /// 71: privileges could not be dropped, or the drop could not be proven.
    Privileges,
    /// 73: the volume is not memory-backed or cannot be written.
    Volume,
    /// 77: login or a read was denied.
    Denied,
    /// 65: a secret, key or template is missing or malformed.
    Data,
    /// 69: the backend could not be reached, or the templates were not rendered, before the deadline; `status`: not
    /// ready, or no process to query.
    Unavailable,
    /// 75: a secret expired and `onExpired: stop`.
    Expired,
    /// 126: the command is not executable.
    NotExecutable,
    /// 127: the command was not found.
    NotFound,
    /// 128+n: a signal ended this program before the app ran.
    Signal(u8),
    /// The app's own code, or 128+n when a signal ended it.
    App(u8),
}

impl Exit {
    /// The exit code as a number.
    pub fn code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Bug => 70,
            Self::Privileges => 71,
            Self::Volume => 73,
            Self::Expired => 75,
            Self::Denied => 77,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(number) => 128_u8.saturating_add(number),
            Self::App(code) => code,
        }
    }
}

/// One failure as the operator reads it: what failed, on which reference, why, what to do. Never contains a secret
/// value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The exit code it causes.
    pub exit: Exit,
    /// One line, lower-case, no full stop, without the leading `secret-exec: `.
    pub text: String,
}

impl Diagnostic {
    /// A diagnostic with this code and text; ` (os error N)` is removed from the text.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: without_errno(text.into()) }
    }

    /// A failure that only a bug in this program explains.
    pub fn bug(what: &str) -> Self {
        Self::new(Exit::Bug, format!("bug: {what}"))
    }

    /// An error and its chain of causes, joined with `: ` on one line.
    pub fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(exit, text)
    }
}

/// The text without the ` (os error 2)` that the standard library adds: the words before it say the same.
pub fn without_errno(mut text: String) -> String {
    const MARK: &str = " (os error ";
    let mut from = 0;
    while let Some(at) = text[from..].find(MARK).map(|at| from + at) {
        let rest = &text[at + MARK.len()..];
        match rest.find(|c: char| !c.is_ascii_digit()) {
            Some(digits) if digits > 0 && rest[digits..].starts_with(')') => {
                text.replace_range(at..at + MARK.len() + digits + 1, "");
                from = at;
            }
            _ => from = at + MARK.len(),
        }
    }
    text
}

/// A message with one more clause: behind a semicolon, or in brackets after a question.
pub fn with_clause(text: &str, clause: &str) -> String {
    if text.ends_with('?') { format!("{text} ({clause})") } else { format!("{text}; {clause}") }
}

/// The exit code of several problems together; [`Exit::Bug`] if there are none.
pub fn worst(problems: &[Diagnostic]) -> Exit {
    problems.iter().map(|problem| problem.exit).min().unwrap_or(Exit::Bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_kernels_is_no_part_of_a_line() {
        let error = std::io::Error::from_raw_os_error(2);
        let line = Diagnostic::new(Exit::Usage, format!("cannot read a: {error}; and b: {error}")).text;
        assert_eq!(line, "cannot read a: No such file or directory; and b: No such file or directory");
        assert_eq!(Diagnostic::from_error(Exit::Volume, &error).text, "No such file or directory");
        for kept in ["(os error 2)", " (os error x)", " (os error )", " (os error 2", "é (os error"] {
            assert_eq!(without_errno(kept.to_owned()), kept);
        }
    }

    #[test]
    fn a_clause_never_follows_a_question_mark_directly() {
        assert_eq!(with_clause("no answer", "trying again"), "no answer; trying again");
        assert_eq!(with_clause("is it there?", "trying again"), "is it there? (trying again)");
    }

    #[test]
    fn of_several_failures_the_contracts_first_gives_the_code() {
        let order =
            [Exit::Bug, Exit::Usage, Exit::Privileges, Exit::Volume, Exit::Denied, Exit::Data, Exit::Unavailable];
        for pair in order.windows(2) {
            let problems = [Diagnostic::new(pair[1], "later"), Diagnostic::new(pair[0], "earlier")];
            assert_eq!(worst(&problems), pair[0]);
        }
        assert_eq!(order.map(Exit::code), [70, 64, 71, 73, 77, 65, 69]);
    }
}
