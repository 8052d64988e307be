//! Splits the command line: which command, which settings, and what follows `--`. `config` parses the settings'
//! values.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::config::{self, ConfigError, Flag};
use crate::run::{Check, CheckOutput};

use super::options;
use super::parse::{self, Stop, mistake};
use super::shell::Shell;

/// The command to run.
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
    /// Query a running supervisor or sidecar for its status.
    Status,
    /// Make a running supervisor or sidecar fetch every secret again.
    Refresh,
    /// Copy the program.
    Install(OsString),
    /// Print the JSON Schema of the config file.
    Schema,
    /// Print completions for a shell.
    Completions(Shell),
    /// Print a manual page: of the program, or of one of its commands.
    Man(Option<String>),
    /// Print this text: help or the version.
    Print(String),
}

/// The split command line; the values of its settings are not parsed yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    /// The command.
    pub(super) command: Command,
    /// `--config`.
    pub(super) config: Option<OsString>,
    /// `--annotations`.
    pub(super) annotations: Option<OsString>,
    /// `--json` (status, refresh).
    pub(super) json: bool,
    /// `--ready` (status).
    pub(super) ready: bool,
    /// `--watch` (status).
    pub(super) watch: bool,
    /// Every setting, in the order given.
    pub(super) flags: Vec<Flag>,
}

impl Invocation {
    /// An invocation of `command` without any option.
    fn of(command: Command) -> Self {
        Self { command, config: None, annotations: None, json: false, ready: false, watch: false, flags: Vec::new() }
    }
}

/// Splits the arguments (without the program's name). On failure, returns every mistake, those of the settings'
/// values included.
pub(super) fn parse(args: Vec<OsString>) -> Result<Invocation, Vec<ConfigError>> {
    let (options, wrapped) = split(args);
    let sufficient = options::command_for(&options);
    let unknown = |word: &str| format!(" (a command to run follows --: secret-exec [OPTIONS] -- {word})");
    let matches = match parse::parse(sufficient, options::command, &options, unknown) {
        Ok(matches) => matches,
        Err(Stop::Print(text)) => return Ok(Invocation::of(Command::Print(text))),
        Err(Stop::ConfigErrors(mut mistakes, rest)) => {
            if let Some(matches) = rest {
                let own = matches.subcommand().map(|(_, own)| own);
                let given = std::iter::once(&*matches).chain(own).flat_map(|matches| flags(matches, &mut mistakes));
                let given: Vec<Flag> = given.collect();
                mistakes.extend(config::mistakes_of_flags(&given));
            }
            return Err(mistakes);
        }
    };
    read(&matches, wrapped)
}

/// Splits at the first `--`: the arguments before it, and the words after it (`None` without a `--`).
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

/// Reads clap's matches. Settings may stand before and after the name of the subcommand; both are collected.
fn read(matches: &ArgMatches, wrapped: Option<Vec<OsString>>) -> Result<Invocation, Vec<ConfigError>> {
    let mut mistakes = Vec::new();
    let mut flags = flags(matches, &mut mistakes);
    let name = matches.subcommand_name();
    let own = matches.subcommand().map_or(matches, |(_, own)| own);
    if name.is_some() {
        flags.extend(self::flags(own, &mut mistakes));
    }
    let command = command(name, own, wrapped).map_err(|mistake| mistakes.push(mistake)).ok();
    let wraps = matches!(command, None | Some(Command::Wrap(_) | Command::Check(Check { command: Some(_), .. })));
    if !wraps && flags.iter().any(|flag| flag.name == "--supervise") {
        let text = "only with a command to supervise: secret-exec --supervise [OPTIONS] -- COMMAND";
        mistakes.push(mistake("--supervise", text));
    }
    let source = |id: &str| given(own, id).or_else(|| given(matches, id));
    for id in ["config", "annotations"] {
        if name.is_some() && given(own, id).is_some() && given(matches, id).is_some() {
            mistakes.push(mistake(&format!("--{id}"), parse::TWICE_AND_SET));
        }
    }
    if is_set(own, "watch") && is_set(own, "ready") {
        mistakes.push(mistake(
            "--watch",
            "prints again and again, so --ready, which prints nothing, does not go together with it",
        ));
    }
    match command {
        Some(command) if mistakes.is_empty() => Ok(Invocation {
            command,
            config: source("config"),
            annotations: source("annotations"),
            json: is_set(own, "json"),
            ready: is_set(own, "ready"),
            watch: is_set(own, "watch"),
            flags,
        }),
        _ => {
            mistakes.extend(config::mistakes_of_flags(&flags));
            Err(mistakes)
        }
    }
}

/// The command that the subcommand's name and the words after `--` mean. Refuses words after `--` for a subcommand that
/// runs nothing, and a `--` with nothing after it.
fn command(name: Option<&str>, own: &ArgMatches, wrapped: Option<Vec<OsString>>) -> Result<Command, ConfigError> {
    let Some(name) = name else {
        return match wrapped {
            Some(command) if !command.is_empty() => Ok(Command::Wrap(command)),
            Some(_) => Err(no_command("secret-exec [OPTIONS] -- COMMAND [ARG]...")),
            None => Err(mistake(
                "command line",
                "nothing to do; expected -- COMMAND, or one of init, sidecar, check, status, refresh, install, schema, completions, man (see \
                 --help)",
            )),
        };
    };
    if name == "check" && wrapped.as_ref().is_some_and(Vec::is_empty) {
        return Err(no_command("secret-exec check [OPTIONS] -- COMMAND [ARG]..."));
    }
    if wrapped.is_some() && name != "check" {
        return Err(mistake("--", format!("{name} runs no command; leave -- and what follows out")));
    }
    Ok(match name {
        "init" => Command::Init,
        "sidecar" => Command::Sidecar,
        "check" => Command::Check(check(own, wrapped)?),
        "status" => Command::Status,
        "refresh" => Command::Refresh,
        "schema" => Command::Schema,
        "completions" => Command::Completions(Shell::read(own)),
        "man" => Command::Man(own.get_one::<String>("command").cloned()),
        "version" => Command::Print(options::command().render_version()),
        _ => Command::Install(given(own, "path").expect("clap requires it")),
    })
}

/// The mistake of a `--` with no command after it.
fn no_command(usage: &str) -> ConfigError {
    mistake("--", format!("expected a command after it: {usage}"))
}

/// The options of `check`. Refuses two options that each print something other than the plan.
fn check(own: &ArgMatches, command: Option<Vec<OsString>>) -> Result<Check, ConfigError> {
    let others: Vec<&str> =
        ["policy", "local-skeleton", "online", "json"].into_iter().filter(|name| is_set(own, name)).collect();
    if let [first @ ("policy" | "local-skeleton"), second, ..] = others.as_slice() {
        let text = format!("prints something else than the plan, so --{second} does not go together with it");
        return Err(mistake(&format!("--{first}"), text));
    }
    Ok(Check {
        command,
        online: is_set(own, "online"),
        policy: is_set(own, "policy"),
        local_skeleton: is_set(own, "local-skeleton"),
        output: if is_set(own, "json") { CheckOutput::Json } else { CheckOutput::default() },
    })
}

/// The settings given in `matches`, in the order of the command line. A value that is not UTF-8 is added to
/// `mistakes`.
fn flags(matches: &ArgMatches, mistakes: &mut Vec<ConfigError>) -> Vec<Flag> {
    let mut found: Vec<(usize, Flag)> = Vec::new();
    for id in matches.ids().filter(|id| options::is_setting(id.as_str())) {
        let name = id.as_str();
        let flag = format!("--{name}");
        if !is_given(matches, name) {
            continue;
        }
        let Ok(Some(values)) = matches.try_get_many::<OsString>(name) else {
            let at = matches.index_of(name).unwrap_or_default();
            found.push((at, Flag::new(flag, "")));
            continue;
        };
        for (at, value) in matches.indices_of(name).into_iter().flatten().zip(values) {
            match value.to_str() {
                Some(value) => found.push((at, Flag::new(flag.clone(), value))),
                None => mistakes.push(mistake(&flag, "the value is not UTF-8")),
            }
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, flag)| flag).collect()
}

/// Whether the option `id` was given on the command line. The subcommand need not define it.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).unwrap_or(false) && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The value of the option `id`; `None` if it was not given or the subcommand does not define it.
fn given(matches: &ArgMatches, id: &str) -> Option<OsString> {
    matches.try_get_one::<OsString>(id).ok().flatten().cloned()
}

/// Whether the switch `id` was given.
fn is_set(matches: &ArgMatches, id: &str) -> bool {
    is_given(matches, id)
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
    fn every_option_sets_something_or_belongs_to_one_command() {
        let named = |command: &clap::Command| {
            let ids: Vec<_> = command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
            ids
        };
        let whole = options::command();
        let settings: Vec<_> = named(&whole).into_iter().filter(|id| !options::is_source(id)).collect();
        assert!(settings.iter().all(|id| options::is_setting(id)), "{settings:?}");
        let others = whole.get_subcommands().flat_map(named).filter(|id| !settings.contains(id));
        let taken: Vec<_> = others.filter(|id| options::is_setting(id)).collect();
        assert!(taken.is_empty(), "{taken:?}");
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
        assert!(text.contains("--json: unknown option here; check, status, refresh have it"), "{text}");
        assert_eq!(parsed("--fiel x=y -- true").unwrap_err(), "--fiel: unknown option (did you mean --file?)");
        assert_eq!(parsed("--fiel=x=y -- true").unwrap_err(), "--fiel: unknown option (did you mean --file?)");
        let text = parsed("--nonsense --file --onlin --config a --config b --supervise=x -- true").unwrap_err();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let expected = [
            "--config: given twice; it can be given once (--set KEY=VALUE changes a key of it)",
            "--file: expected a value: --file NAME=REF",
            "--nonsense: unknown option; --help lists them",
            "--onlin: unknown option (did you mean --online of check?)",
            "--supervise: takes no value",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_unknown_option_hides_no_other_mistake() {
        let lines = |line: &str| {
            let text = parsed(line).unwrap_err();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        let bad = lines("--fiel x=y --timeout 5x --log-level loud --env A=name --set vault.auth.method=x -- true");
        assert_eq!(bad.len(), 3, "{bad:?}");
        for (line, start) in bad.iter().zip(["--fiel: unknown option", "--log-level: ", "--timeout: "]) {
            assert!(line.starts_with(start), "{line}");
        }
        let bad = lines("init --fiel x=y --config a --config b --run-as 1:2:3");
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert_eq!(
            lines("install --timeut 5s"),
            [
                "--timeut: unknown option (did you mean --timeout of init, \
             sidecar, check, status, refresh?)",
                "PATH: missing; usage: secret-exec install PATH"
            ]
        );
        assert_eq!(lines("--Version"), ["--Version: unknown option (did you mean --version?)"]);
        for mode in ["init", "sidecar"] {
            let text = parsed(&format!("{mode} --supervise")).unwrap_err();
            let expected = "--supervise: it goes with a command to run: secret-exec --supervise [OPTIONS] -- COMMAND";
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_value_that_begins_with_a_dash_is_one_mistake() {
        let expected = "--timeout: expected a value that does not begin with a dash: --timeout DURATION";
        for line in ["--timeout -1s -- app", "init --timeout -1s", "--timeout -x -- app"] {
            let text = parsed(line).unwrap_err();
            assert_eq!(text, expected, "{line}");
        }
        assert_eq!(
            parsed("--timeout --supervise -- app").unwrap_err(),
            "--timeout: expected a value: --timeout DURATION"
        );
    }

    #[test]
    fn settings_may_stand_before_and_after_the_command_word() {
        let invocation = parsed("--timeout 5s --set a=1 sidecar --set b=2 --config c.yaml").unwrap();
        assert_eq!(invocation.command, Command::Sidecar);
        let flags: Vec<_> = invocation.flags.iter().map(|f| (f.name.as_str(), f.value.as_str())).collect();
        assert_eq!(flags, [("--timeout", "5s"), ("--set", "a=1"), ("--set", "b=2")]);
        assert_eq!(invocation.config, Some("c.yaml".into()));
        assert!(parsed("--config a init --config b").unwrap_err().contains("given twice"));
    }

    #[test]
    fn every_command_has_help_of_at_most_80_columns() {
        for line in ["--help", "-h", "help", "help check", "check --help", "init --help", "man --help", "status -h"] {
            let Ok(Invocation { command: Command::Print(text), .. }) = parsed(line) else { panic!("{line}") };
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        let Ok(Invocation { command: Command::Print(text), .. }) = parsed("--help") else { panic!() };
        for part in ["Usage:", "Exit codes:", "  70 ", "  75 ", "Examples:", "--run-as", "sidecar"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_command_lists_no_option_that_it_refuses_or_has_no_use_for() {
        for (command, absent, present) in [
            ("init", "--on-change", "--leave-leases"),
            ("sidecar", "--leave-leases", "--on-change"),
            ("check", "-J", "--env"),
        ] {
            let Ok(Invocation { command: Command::Print(text), .. }) = parsed(&format!("{command} --help")) else {
                panic!()
            };
            assert!(!text.contains(absent) && text.contains(present), "{command}: {text}");
        }
        assert!(parsed("init --on-change none").is_ok());
    }

    #[test]
    fn words_that_belong_nowhere_are_named() {
        assert_eq!(parsed("init extra").unwrap_err(), "command line: unexpected argument `extra`");
        assert_eq!(parsed("install a b").unwrap_err(), "command line: unexpected argument `b`");
        assert_eq!(parsed("install").unwrap_err(), "PATH: missing; usage: secret-exec install PATH");
        assert_eq!(parsed("completions tcsh").unwrap_err(), "SHELL: unknown value `tcsh`; expected bash, zsh, fish");
        let near = "SHELL: unknown value `bsh`; did you mean bash?; expected bash, zsh, fish";
        assert_eq!(parsed("completions bsh").unwrap_err(), near);
        assert_eq!(parsed("status --online").unwrap_err(), "--online: only check has it");
    }

    #[test]
    fn what_prints_something_else_stands_alone() {
        for (line, text) in [
            ("check --policy --local-skeleton", "--policy: prints something else than the plan, so --local-skeleton"),
            ("check --online --policy", "--policy: prints something else than the plan, so --online"),
            ("status --watch --ready", "--watch: prints again and again"),
            ("check --json --local-skeleton", "--local-skeleton: prints something else than the plan, so --json"),
        ] {
            assert!(parsed(line).unwrap_err().starts_with(text), "{line}");
        }
        let Command::Check(check) = parsed("check --json --online -- app").unwrap().command else { panic!() };
        assert_eq!((check.output, check.online), (CheckOutput::Json, true));
    }

    #[test]
    fn what_was_forgotten_is_named_and_not_the_word_after_it() {
        assert_eq!(
            parsed("--env X vault:a#k -- app").unwrap_err(),
            "--env: expected NAME=REF, not two words: --env X=vault:a#k"
        );
        assert_eq!(
            parsed("--local l --file x aws-sm:a init").unwrap_err(),
            "--file: expected NAME=REF, not two words: --file x=aws-sm:a"
        );
        assert_eq!(parsed("--set runAs 1000 -- app").unwrap_err(), "--set: expected KEY=VALUE, not two words");
        assert_eq!(parsed("help nope").unwrap_err(), "help: unknown command `nope`");
        assert_eq!(parsed("help chekc").unwrap_err(), "help: unknown command `chekc`; did you mean check?");
        assert_eq!(parsed("help check --online").unwrap_err(), "help: unknown command `--online`");
    }

    #[test]
    fn a_command_without_two_dashes_is_explained() {
        let nothing = parsed("check --json --").unwrap_err();
        assert_eq!(nothing, "--: expected a command after it: secret-exec check [OPTIONS] -- COMMAND [ARG]...");
        for line in ["./server", "", "--", "init -- app", "install", "init --supervise", "check extra"] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(parsed("sidcar").unwrap_err().contains("did you mean sidecar?"));
    }
}
