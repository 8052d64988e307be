//! Commands to run after a change. In the Agent Injector, a shell runs them in the agent's container. The injected
//! container has no shell, and annotations run no programs here: only commands that signal a process or post to
//! loopback are translated.

use crate::config::Setting;

use super::Reader;

const COMMAND: &str = "agent-inject-command-";

impl Reader<'_> {
    /// Translates the commands to `onChange` actions; refuses any other command.
    pub(super) fn commands(&mut self) {
        let pairs: Vec<(&str, &str)> = self
            .pairs
            .iter()
            .filter(|(key, text)| key.starts_with(COMMAND) && !text.trim().is_empty())
            .copied()
            .collect();
        let mut actions: Vec<String> = Vec::new();
        let mut first = None;
        for (key, text) in pairs {
            match action(text) {
                Some(action) => {
                    first.get_or_insert(key);
                    if !actions.contains(&action) {
                        actions.push(action);
                    }
                }
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
    let line = line.trim();
    // `sh -c '…'` wraps the command in another shell.
    let inner =
        ["sh -c ", "/bin/sh -c ", "bash -c ", "/bin/bash -c "].iter().find_map(|start| line.strip_prefix(start));
    let line = match inner {
        Some(quoted) => {
            let quoted = quoted.trim();
            let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let inner = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
            (!inner.contains(quote)).then_some(inner.trim())?
        }
        None => line,
    };
    let line = line.strip_suffix("|| true").or_else(|| line.strip_suffix("|| :")).unwrap_or(line).trim();
    kill(line).or_else(|| request(line))
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
}
