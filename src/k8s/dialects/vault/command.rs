//! Commands to run after a change. In the Agent Injector, a shell runs them in the agent's container. The injected
//! container has no shell, and annotations run no programs here: only commands that signal a process or post to
//! loopback are translated.

use std::collections::BTreeSet;

use crate::config::Setting;
use crate::domain::Mode;

use super::Reader;

pub(super) const COMMAND: &str = "agent-inject-command-";

impl Reader<'_> {
    /// Translates the commands to `onChange` actions; refuses any other command. Those in `done` are translated already.
    pub(super) fn commands(&mut self, done: &BTreeSet<String>) {
        let pairs = self.pairs.iter().filter(|(key, text)| key.starts_with(COMMAND) && !text.trim().is_empty());
        let pairs: Vec<(&str, &str)> = pairs.filter(|(key, _)| !done.contains(*key)).copied().collect();
        let mut actions: Vec<String> = Vec::new();
        let mut first = None;
        for (key, text) in pairs {
            match action(text) {
                Some(_) if self.made.mode == Some(Mode::Init) => self.warn(
                    key,
                    "ignored: nothing changes after an init container (agent-pre-populate-only), and before it no \
                     process of the app runs",
                ),
                Some(action) => {
                    first.get_or_insert(key);
                    if !actions.contains(&action) {
                        actions.push(action);
                    }
                }
                None if signals_the_first_process(text) => self.warn(
                    key,
                    "ignored: process 1 is the agent's own shell there, or the pod's pause with a shared process \
                     namespace, never the app; what reaches it names its process: \
                     secret-exec.dev/on-change: signal:HUP@PROCESS",
                ),
                None => self.deny(
                    key,
                    "the injected container has no shell and runs no command; say what happens after a change with \
                     secret-exec.dev/on-change (signal:HUP@PROCESS, http:URL), or let the app watch the file; leave this out",
                ),
            }
        }
        if let Some(key) = first {
            self.made.settings.push(Setting {
                path: vec!["onChange".to_owned()],
                values: actions,
                annotation: format!("{}{key}", self.prefix),
            });
        }
    }
}

/// The `onChange` action that a command line is equivalent to; `None` for any other command.
pub(in crate::k8s::dialects) fn action(line: &str) -> Option<String> {
    let line = bare(line)?;
    kill(line).or_else(|| request(line))
}

/// Mode and path of `chmod MODE PATH`; the mode is octal.
pub(super) fn chmod(line: &str) -> Option<(&str, &str)> {
    let mut words = bare(line)?.split_whitespace();
    let (program, mode, path) = (words.next()?, words.next()?, words.next()?);
    let is_alone = words.next().is_none();
    let is_octal = mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b'+'));
    (base(program) == "chmod" && is_alone && is_octal && is_plain).then_some((mode, path))
}

/// Whether a command sends a signal to process 1 only.
fn signals_the_first_process(line: &str) -> bool {
    let words: Vec<&str> = bare(line).unwrap_or_default().split_whitespace().collect();
    let is_option = |word: &str| word.starts_with('-') && word != "--";
    match words.as_slice() {
        [program, options @ .., "1"] if base(program) == "kill" => {
            matches!(options, [] | ["-s", _]) || matches!(options, [option] if is_option(option))
        }
        _ => false,
    }
}

/// The command without the shell that runs it (`sh -c '…'`), the parentheses around it, and what hides a failure (`|| true`,
/// `; exit 0`) or its output at the end.
fn bare(line: &str) -> Option<&str> {
    const ENDS: [&str; 10] =
        ["|| true", "|| :", "|| exit 0", "; exit 0", "; true", ";", "2>&1", ">/dev/null", "> /dev/null", "2>/dev/null"];
    let line = line.trim();
    let inner =
        ["sh -c ", "/bin/sh -c ", "bash -c ", "/bin/bash -c "].iter().find_map(|start| line.strip_prefix(start));
    let mut line = match inner {
        Some(quoted) => {
            let quoted = quoted.trim();
            let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let inner = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
            (!inner.contains(quote)).then_some(inner.trim())?
        }
        None => line,
    };
    while let Some(shorter) = ENDS.iter().find_map(|end| line.strip_suffix(end)) {
        line = shorter.trim();
    }
    let inside = line.strip_prefix('(').and_then(|line| line.strip_suffix(')'));
    Some(inside.filter(|line| !line.contains(['(', ')'])).map_or(line, str::trim))
}

/// Translates `kill -HUP $(pidof nginx)`, `pkill -HUP nginx`, `killall -s HUP nginx`.
fn kill(line: &str) -> Option<String> {
    let (program, rest) = line.split_once(' ')?;
    let (signal, rest) = signal(rest.trim());
    let process = match base(program) {
        "kill" => {
            let inner = rest.strip_prefix("$(").and_then(|inner| inner.strip_suffix(')'));
            let inner = inner.or_else(|| rest.strip_prefix('`').and_then(|inner| inner.strip_suffix('`')))?.trim();
            let (finder, rest) = inner.split_once(' ')?;
            let rest = rest.trim();
            match base(finder) {
                "pidof" => rest.strip_prefix("-s ").unwrap_or(rest),
                "pgrep" => ["-x ", "-o ", "-xo ", "-ox "].iter().find_map(|o| rest.strip_prefix(o)).unwrap_or(rest),
                _ => return None,
            }
        }
        "pkill" => ["-x ", "-o ", "-xo ", "-ox "].iter().find_map(|o| rest.strip_prefix(o)).unwrap_or(rest),
        "killall" => rest,
        _ => return None,
    };
    let process = process.trim();
    let is_name = !process.is_empty()
        && !process.starts_with('-')
        && process.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'));
    is_name.then(|| format!("signal:{signal}@{process}"))
}

/// The signal in the options, and the rest of the text; TERM if there is none.
fn signal(rest: &str) -> (String, &str) {
    let named = rest.strip_prefix("-s ").or_else(|| rest.strip_prefix("--signal ")).or_else(|| rest.strip_prefix('-'));
    let Some((word, after)) = named.and_then(|text| text.trim_start().split_once(' ')) else {
        return ("TERM".to_owned(), rest);
    };
    let name = word.strip_prefix("SIG").unwrap_or(word);
    let name = match name {
        "1" => "HUP",
        "2" => "INT",
        "3" => "QUIT",
        "10" => "USR1",
        "12" => "USR2",
        "15" => "TERM",
        other => other,
    };
    let is_signal = ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "WINCH"].contains(&name);
    if is_signal { (name.to_owned(), after.trim()) } else { ("TERM".to_owned(), rest) }
}

/// Translates a POST to loopback: `curl -X POST http://127.0.0.1:8080/reload`, `wget --post-data= http://…`.
fn request(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let program = base(words.next()?);
    let (mut url, mut is_post) = (None, false);
    while let Some(word) = words.next() {
        let word = word.trim_matches(['"', '\'']);
        match (program, word) {
            ("curl", "-X" | "--request") => is_post = words.next()? == "POST",
            ("curl", "-XPOST" | "--request=POST") => is_post = true,
            (
                "curl",
                "-s" | "-S" | "-f" | "-sS" | "-sf" | "-fs" | "-fsS" | "-sSf" | "--silent" | "--fail" | "--show-error",
            ) => {}
            ("curl", "-o" | "--output") | ("wget", "-O") => {
                words.next().filter(|file| matches!(*file, "/dev/null" | "-"))?;
            }
            ("wget", "-q" | "-qO-" | "--quiet" | "-O-") => {}
            ("wget", "--post-data=" | "--method=POST") => is_post = true,
            ("curl" | "wget", address) if address.starts_with("http://") && url.is_none() => url = Some(address),
            _ => return None,
        }
    }
    let url = url.filter(|_| is_post)?;
    let host = url.strip_prefix("http://")?.split(['/', '?', '#']).next()?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "127.0.0.1" | "localhost" | "[::1]").then(|| format!("http:{url}"))
}

/// The last component of a program's path.
fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_and_requests_to_loopback_become_actions() {
        for (line, expected) in [
            ("kill -HUP $(pidof nginx)", "signal:HUP@nginx"),
            ("sh -c 'kill -HUP $(pidof nginx) || true'", "signal:HUP@nginx"),
            ("/bin/sh -c \"pkill -1 envoy\"", "signal:HUP@envoy"),
            ("kill -s SIGUSR1 `pgrep -x my-app`", "signal:USR1@my-app"),
            ("pkill -HUP app", "signal:HUP@app"),
            ("killall -s HUP haproxy", "signal:HUP@haproxy"),
            ("pkill app", "signal:TERM@app"),
            ("kill -TERM $(pidof java)\n", "signal:TERM@java"),
            ("sh -c '(pkill -HUP app); exit 0'", "signal:HUP@app"),
            ("pkill -HUP app > /dev/null 2>&1 || true", "signal:HUP@app"),
            ("curl -s -o /dev/null -X POST http://localhost:8080/x || exit 0", "http:http://localhost:8080/x"),
            ("curl -s -X POST http://127.0.0.1:8080/reload", "http:http://127.0.0.1:8080/reload"),
            ("wget -q --post-data= http://localhost:9000/-/reload", "http:http://localhost:9000/-/reload"),
        ] {
            assert_eq!(action(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn any_other_command_is_none() {
        for line in [
            "cp /vault/secrets/a /b",
            "kill -HUP 1",
            "kill -HUP $(cat /run/app.pid)",
            "pkill -HUP -f 'java -jar'",
            "pkill -HUP app; rm -rf /",
            "(pkill -HUP app); (rm -rf /)",
            "pkill -HUP app > /vault/secrets/a",
            "curl -o /vault/secrets/a -X POST http://127.0.0.1/",
            "pkill -HUP $(cat /vault/secrets/a); exit 0",
            "pkill -HUP ; exit 0",
            "curl http://127.0.0.1:8080/reload",
            "curl -X POST http://example.com/",
            "curl -X POST http://127.0.0.1@example.com/",
            "curl -d @/vault/secrets/a -X POST http://127.0.0.1/",
            "sh -c 'pkill a' 'b'",
            "kill",
            "",
        ] {
            assert_eq!(action(line), None, "{line}");
        }
    }

    #[test]
    fn a_mode_is_octal_and_its_path_plain() {
        for (line, expected) in [
            ("chmod 0440 /vault/secrets/config", Some(("0440", "/vault/secrets/config"))),
            ("/bin/chmod 600 /vault/secrets/a.env || true", Some(("600", "/vault/secrets/a.env"))),
            ("sh -c 'chmod 0400 /vault/secrets/a'", Some(("0400", "/vault/secrets/a"))),
            ("chmod u+x /vault/secrets/a", None),
            ("chmod 0440 /vault/secrets/*", None),
            ("chmod 0440 /vault/secrets/a /vault/secrets/b", None),
            ("chmod 0440 $(ls)", None),
            ("chmod 0440", None),
            ("chown 0440 /vault/secrets/a", None),
        ] {
            assert_eq!(chmod(line), expected, "{line}");
        }
    }

    #[test]
    fn process_1_is_nobody_s_app() {
        for line in ["kill -HUP 1", "kill 1", "sh -c 'kill -s TERM 1'", "/bin/kill -9 1 || true"] {
            assert!(signals_the_first_process(line), "{line}");
        }
        for line in ["kill -HUP 12", "kill -HUP 1 2", "pkill -HUP 1", "kill -HUP $(cat 1)", "kill", ""] {
            assert!(!signals_the_first_process(line), "{line}");
        }
    }
}
