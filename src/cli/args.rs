//! The command line as it was typed: which command, which flags, and what follows `--`. Flag values are read by `config`.

use std::ffi::OsString;

use lexopt::Arg;

use crate::config::{Flag, Mistake, Place};
use crate::run::Check;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `-- COMMAND`: fetch, deliver, drop privileges, exec (or supervise).
    Wrap(Vec<OsString>),
    /// Fetch, deliver, exit.
    Init,
    /// Fetch, deliver, keep fresh.
    Sidecar,
    /// Explain the plan.
    Check(Check),
    /// Ask a running supervisor or sidecar how it is.
    Status,
    /// Ask it to read everything again.
    Refresh,
    /// Copy the program.
    Install(OsString),
    /// Print the JSON Schema of the config file.
    Schema,
    /// Print help.
    Help,
    /// Print the version.
    Version,
}

/// The command line, split but not yet understood as settings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    /// What to do.
    pub(super) command: Command,
    /// `--config`.
    pub(super) config: Option<OsString>,
    /// `--annotations`.
    pub(super) annotations: Option<OsString>,
    /// `--json` (status, refresh).
    pub(super) json: bool,
    /// `--ready` (status).
    pub(super) ready: bool,
    /// Every setting, in the order given.
    pub(super) flags: Vec<Flag>,
}

/// An option that is a setting of the config: its name, what its value is called (`None` for a switch), what it does.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: Option<&'static str>,
    pub(super) help: &'static str,
}

const fn with_value(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, value: Some(value), help }
}

const fn switch(name: &'static str, help: &'static str) -> Setting {
    Setting { name, value: None, help }
}

/// All of them, in the order of the help.
pub(super) const SETTINGS: &[Setting] = &[
    with_value("file", "NAME=REF", "write a secret to the file NAME of the volume"),
    with_value("env", "NAME=REF", "set the app's variable NAME to a secret"),
    with_value("set", "KEY=VALUE", "any key of the config, dotted: --set vault.auth.role=web"),
    switch("pinned", "take nothing about vault and aws from annotations; the injector says it with --set"),
    with_value("volume", "DIR", "where files go (default /run/secret-exec/files; always in memory)"),
    with_value("state", "DIR", "our own state directory (default /run/secret-exec-state)"),
    with_value("run-as", "USER[:GROUP]", "whom the app runs as; names or numbers"),
    switch("supervise", "stay as the app's parent instead of being replaced by it"),
    switch("leave-leases", "accept secrets that end while the app runs (exec and init)"),
    with_value("on-change", "ACTION", "none, signal:HUP, signal:HUP@PROCESS, restart, http:URL"),
    with_value("inherit", "KINDS", "resolve inherited references: none, or of vault,aws-sm,arn (default vault,aws-sm)"),
    with_value("timeout", "DURATION", "until the first delivery (default 60s)"),
    with_value("local", "FILE", "answer every reference from FILE; no server, no login"),
    with_value("metrics", "ADDR", "serve health and metrics there (off by default)"),
    with_value("log-format", "text|json", "how log lines on stderr look"),
    with_value("log-level", "LEVEL", "error, warn, info, debug or trace"),
];

const COMMANDS: &[&str] = &["init", "sidecar", "check", "status", "refresh", "install", "schema", "help", "version"];

/// Splits the arguments (without the program's name). All mistakes at once.
pub(super) fn parse(args: Vec<OsString>) -> Result<Invocation, Vec<Mistake>> {
    let (ours, wrapped) = split(args);
    let mut parsed = Parsed::default();
    let mut parser = lexopt::Parser::from_args(ours);
    loop {
        match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Value(word))) => parsed.words.push(word),
            Ok(Some(Arg::Short('h'))) => parsed.help = true,
            Ok(Some(Arg::Short('V'))) => parsed.version = true,
            Ok(Some(Arg::Short(letter))) => {
                parsed.mistakes.push(mistake(&format!("-{letter}"), "unknown option; see secret-exec --help"));
            }
            Ok(Some(Arg::Long(name))) => {
                let name = name.to_owned();
                parsed.long(&name, &mut parser);
            }
            Err(error) => {
                parsed.mistakes.push(mistake("command line", error.to_string()));
                break;
            }
        }
    }
    parsed.finish(wrapped)
}

/// What stands before the first `--`, and what follows it.
fn split(mut args: Vec<OsString>) -> (Vec<OsString>, Option<Vec<OsString>>) {
    match args.iter().position(|arg| arg == "--") {
        Some(place) => {
            let command = args.split_off(place + 1);
            args.truncate(place);
            (args, Some(command))
        }
        None => (args, None),
    }
}

fn mistake(flag: &str, text: impl Into<String>) -> Mistake {
    Mistake::new(&Place::Flag(flag.to_owned()), text)
}

#[derive(Default)]
struct Parsed {
    words: Vec<OsString>,
    config: Option<OsString>,
    annotations: Option<OsString>,
    check: Check,
    json: bool,
    ready: bool,
    help: bool,
    version: bool,
    flags: Vec<Flag>,
    mistakes: Vec<Mistake>,
}

impl Parsed {
    fn long(&mut self, name: &str, parser: &mut lexopt::Parser) {
        match name {
            "help" => self.help = true,
            "version" => self.version = true,
            "online" => self.check.online = true,
            "policy" => self.check.policy = true,
            "local-skeleton" => self.check.local_skeleton = true,
            "json" => self.json = true,
            "ready" => self.ready = true,
            "config" => self.config = self.value(name, "FILE", parser),
            "annotations" => self.annotations = self.value(name, "FILE", parser),
            _ => self.setting(name, parser),
        }
    }

    fn setting(&mut self, name: &str, parser: &mut lexopt::Parser) {
        let flag = format!("--{name}");
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let _ = parser.optional_value();
            let known = SETTINGS.iter().map(|setting| setting.name).chain(["config", "annotations", "help", "version"]);
            let hint = crate::config::nearest(name, known).map(|near| format!(" (did you mean --{near}?)"));
            return self.mistakes.push(mistake(&flag, format!("unknown option{}", hint.unwrap_or_default())));
        };
        let value = match setting.value {
            None => Some(OsString::new()),
            Some(what) => self.value(name, what, parser),
        };
        let Some(value) = value else { return };
        match value.into_string() {
            Ok(value) => self.flags.push(Flag { name: flag, value }),
            Err(_) => self.mistakes.push(mistake(&flag, "the value is not UTF-8")),
        }
    }

    fn value(&mut self, name: &str, what: &str, parser: &mut lexopt::Parser) -> Option<OsString> {
        let value = parser.value().ok();
        if value.is_none() {
            self.mistakes.push(mistake(&format!("--{name}"), format!("expected a value: --{name} {what}")));
        }
        value
    }

    fn finish(mut self, wrapped: Option<Vec<OsString>>) -> Result<Invocation, Vec<Mistake>> {
        if self.help || self.version {
            let command = if self.help { Command::Help } else { Command::Version };
            return Ok(self.invocation(command));
        }
        let command = self.command(wrapped);
        if let Some(command) = &command {
            self.refuse_strays(command);
        }
        match command {
            Some(command) if self.mistakes.is_empty() => Ok(self.invocation(command)),
            _ => Err(self.mistakes),
        }
    }

    fn invocation(self, command: Command) -> Invocation {
        let Self { config, annotations, json, ready, flags, .. } = self;
        Invocation { command, config, annotations, json, ready, flags }
    }

    fn command(&mut self, wrapped: Option<Vec<OsString>>) -> Option<Command> {
        let mut words = std::mem::take(&mut self.words).into_iter();
        let Some(word) = words.next() else {
            return match wrapped {
                Some(command) if !command.is_empty() => Some(Command::Wrap(command)),
                Some(_) => self.refuse("--", "expected a command after it: secret-exec [OPTIONS] -- COMMAND [ARG]..."),
                None => self.refuse(
                    "command line",
                    "nothing to do; expected -- COMMAND, or one of init, sidecar, check, status, refresh, install, schema (see --help)",
                ),
            };
        };
        let word = word.to_string_lossy().into_owned();
        if !COMMANDS.contains(&word.as_str()) {
            let hint = crate::config::nearest(&word, COMMANDS.iter().copied())
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            return self.refuse(
                &word,
                format!("unknown command{hint} (a command to run follows --: secret-exec [OPTIONS] -- {word})"),
            );
        }
        if wrapped.is_some() && word != "check" {
            return self.refuse("--", format!("{word} runs no command; leave -- and what follows out"));
        }
        let command = match word.as_str() {
            "init" => Command::Init,
            "sidecar" => Command::Sidecar,
            "check" => Command::Check(Check { command: wrapped, ..std::mem::take(&mut self.check) }),
            "status" => Command::Status,
            "refresh" => Command::Refresh,
            "schema" => Command::Schema,
            "version" => Command::Version,
            "help" => Command::Help,
            _ => match words.next() {
                Some(path) => Command::Install(path),
                None => return self.refuse("install", "expected a path: secret-exec install PATH"),
            },
        };
        if let Some(extra) = words.next() {
            return self.refuse(&extra.to_string_lossy(), format!("one word too many after {word}"));
        }
        Some(command)
    }

    fn refuse(&mut self, place: &str, text: impl Into<String>) -> Option<Command> {
        self.mistakes.push(mistake(place, text));
        None
    }

    /// Switches that belong to another command are mistakes, not decoration.
    fn refuse_strays(&mut self, command: &Command) {
        let Check { online, policy, local_skeleton, .. } = self.check;
        for (name, given) in [("--online", online), ("--policy", policy), ("--local-skeleton", local_skeleton)] {
            if given {
                self.mistakes.push(mistake(name, "only check has it"));
            }
        }
        let asks = matches!(command, Command::Status | Command::Refresh);
        if self.json && !asks {
            self.mistakes.push(mistake("--json", "only status and refresh have it"));
        }
        if self.ready && *command != Command::Status {
            self.mistakes.push(mistake("--ready", "only status has it"));
        }
        if matches!(command, Command::Wrap(_) | Command::Check(Check { command: Some(_), .. })) {
            return;
        }
        if let Some(flag) = self.flags.iter().find(|flag| flag.name == "--supervise") {
            let text = "only with a command to supervise: secret-exec --supervise [OPTIONS] -- COMMAND";
            self.mistakes.push(mistake(&flag.name, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, String> {
        parse(line.split_whitespace().map(OsString::from).collect()).map_err(|mistakes| {
            mistakes.iter().map(|m| format!("{}: {}", m.place, m.text)).collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn a_command_to_run_follows_two_dashes() {
        let invocation = parsed("--env A=vault:secret/data/x#k --supervise -- app --env B -- c").unwrap();
        let words = ["app", "--env", "B", "--", "c"].map(OsString::from).to_vec();
        assert_eq!(invocation.command, Command::Wrap(words));
        let flags: Vec<_> = invocation.flags.iter().map(|f| (f.name.as_str(), f.value.as_str())).collect();
        assert_eq!(flags, [("--env", "A=vault:secret/data/x#k"), ("--supervise", "")]);
    }

    #[test]
    fn an_equals_sign_may_stand_between_option_and_value() {
        let invocation = parsed("init --config=/c.yaml --timeout=5s").unwrap();
        assert_eq!(invocation.config, Some("/c.yaml".into()));
        assert_eq!(invocation.flags[0].value, "5s");
    }

    #[test]
    fn mistakes_are_reported_together_and_name_what_was_meant() {
        let text = parsed("--tiemout=5s --json -x -- app").unwrap_err();
        assert!(text.contains("--tiemout: unknown option (did you mean --timeout?)"), "{text}");
        assert!(text.contains("-x: unknown option"), "{text}");
        assert!(text.contains("--json: only status and refresh have it"), "{text}");
    }

    #[test]
    fn a_command_without_two_dashes_is_explained() {
        for line in ["./server", "", "--", "init -- app", "install", "init --supervise", "check extra"] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(parsed("sidcar").unwrap_err().contains("did you mean sidecar?"));
    }
}
