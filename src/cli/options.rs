//! The clap definition of `secret-exec`'s command line: the options listed by `config`, and those of single
//! commands.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command};

use crate::config;

use super::help;

/// The settings that are not a single key of the config: name, value name (`None` for a switch), help.
const OTHERS: [(&str, Option<&str>, &str); 5] = [
    (
        "file",
        Some("NAME=REF"),
        "Write a secret to the file NAME of the volume. After REF may follow ,format=dotenv ,mode=0440 ,decode=base64 and \
         ,refresh=5m.",
    ),
    ("env", Some("NAME=REF"), "Set the app's variable NAME to a secret."),
    ("set", Some("KEY=VALUE"), "Set any key of the config, dotted: --set vault.auth.role=web."),
    ("local", Some("FILE"), "Take every secret from FILE: no server, no login."),
    (
        "pinned",
        None,
        "Take nothing about vault, aws, proxies, files and hooks from annotations or the environment; flags and the file set it.",
    ),
];

/// Options that apply only to a wrapped command.
const WRAPPING: [&str; 1] = ["supervise"];
/// Options without use in these commands: accepted (`config` may refuse them with a reason) and hidden from the
/// help.
const QUIET_IN: [(&str, &[&str]); 2] =
    [("init", &["env", "on-change", "metrics", "inherit"]), ("sidecar", &["env", "inherit", "leave-leases"])];
/// Options without use in `status` and `refresh`: accepted and hidden, so that one list of arguments serves all
/// commands.
const QUIET_IN_STATUS: [&str; 12] = [
    "file",
    "env",
    "local",
    "pinned",
    "volume",
    "run-as",
    "leave-leases",
    "on-change",
    "inherit",
    "timeout",
    "metrics",
    "sandbox",
];

/// Options and arguments that set nothing: they say what one command does.
const OF_ONE_COMMAND: [&str; 9] =
    ["online", "policy", "local-skeleton", "json", "watch", "ready", "path", "shell", "command"];

const ABOUT: &str = "secret-exec stands between a container and its secrets: it proves who the workload is to \
                     Vault/OpenBao or AWS Secrets Manager, fetches secrets, writes them to memory only, drops privileges \
                     and starts the app.";

const USAGE: &str = "\
secret-exec [OPTIONS] -- COMMAND [ARG]...
       secret-exec --supervise [OPTIONS] -- COMMAND [ARG]...
       secret-exec <init|sidecar|check|status|refresh> [OPTIONS]";

const TAIL: &str = "\
Without a command word, COMMAND after -- is started: it replaces this process,
or with --supervise becomes its child.

References:
  vault:PATH[?version=N][#KEY]        as in `vault read`
  vault:PATH?[param=value&...][#KEY]  as in `vault write`
  aws-sm:NAME-OR-ARN[?stage=S&version=V&role=ARN][#KEY]
  arn:aws...:secretsmanager:REGION:ACCOUNT:secret:NAME[:json-key:stage:version]
  file:PATH[#KEY]                     a file already mounted
  NAME[#KEY]                          an entry of `secrets` in the config

Examples:
  secret-exec --env DB_PASSWORD=vault:secret/data/db#password -- ./server
  secret-exec --config /etc/secret-exec.yaml --run-as 1000:1000 -- ./server
  secret-exec --supervise --file db.env=vault:database/creds/web,format=dotenv \\
              --on-change signal:HUP -- ./server
  secret-exec check --config /etc/secret-exec.yaml --online";

/// The whole command line of `secret-exec`.
pub(super) fn command() -> Command {
    with_options(|_| true, |_| true)
}

/// The command line with the options of only those commands that are among `words`.
pub(super) fn command_for(words: &[OsString]) -> Command {
    with_options(|_| true, |name| words.iter().any(|word| word == name))
}

/// The command line for completions: without the options that `status` and `refresh` accept but do not use.
pub(super) fn for_completions() -> Command {
    with_options(|arg| !is_one_of(arg, &QUIET_IN_STATUS), |_| true)
}

/// Builds the command line. `has` decides which options `status` and `refresh` get, and `is_needed` which commands get their
/// options at all.
fn with_options(has: impl Fn(&Arg) -> bool, is_needed: impl Fn(&str) -> bool) -> Command {
    let settings = settings();
    let of = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let with = |name, about| {
        if !is_needed(name) {
            return of(name, about);
        }
        let quiet = QUIET_IN.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, options)| options);
        let shown = |arg: &Arg| if is_one_of(arg, quiet) { arg.clone().hide(true) } else { arg.clone() };
        of(name, about).args(settings.iter().filter(|arg| !is_one_of(arg, &WRAPPING)).map(shown))
    };
    let asking = |name, about| {
        if !is_needed(name) {
            return of(name, about);
        }
        let hidden = settings
            .iter()
            .filter(|arg| !is_one_of(arg, &WRAPPING) && has(arg))
            .map(|arg| if is_one_of(arg, &QUIET_IN_STATUS) { arg.clone().hide(true) } else { arg.clone() });
        of(name, about).args(hidden).arg(switch("json", "Print JSON."))
    };
    let program = Command::new("secret-exec")
        .about(ABOUT)
        .override_usage(USAGE)
        .version(super::version::version())
        .after_help(format!("{TAIL}\n\n{}", help::EXEC_EXITS))
        .term_width(80)
        .subcommand_help_heading("Commands")
        .args(&settings)
        .subcommand(with("init", "Fetch, deliver, exit (an init container)."))
        .subcommand(with("sidecar", "Fetch, deliver, keep fresh until SIGTERM, then revoke."))
        .subcommand(
            with("check", "Explain the plan; never prints a value. -- COMMAND may follow.")
                .override_usage("secret-exec check [OPTIONS] [-- COMMAND [ARG]...]")
                .arg(arg(&settings, "supervise"))
                .arg(switch("online", "Also log in and try every reference."))
                .arg(switch("policy", "Print the least Vault policy and IAM statement instead."))
                .arg(switch("local-skeleton", "Print a --local file for this config instead."))
                .arg(switch("json", "Print JSON.")),
        )
        .subcommand(
            asking("status", "Ask a running supervisor or sidecar how its secrets are.")
                .arg(switch("watch", "Print it again every two seconds, until a signal ends it."))
                .arg(switch("ready", "Print nothing; exit 0 when everything has been delivered, else 69.")),
        )
        .subcommand(asking("refresh", "Ask a running supervisor or sidecar to read everything again."))
        .subcommand(
            of("install", "Copy this program to PATH, so that another image can run it.")
                .arg(Arg::new("path").value_name("PATH").required(true).value_parser(ValueParser::os_string())),
        )
        .subcommand(of("schema", "Print the JSON Schema of the config file."))
        .subcommands(for_shells())
        .subcommand(of("version", "Print the version.").hide(true));
    help::with_ends(program, help::EXEC_EXAMPLES, help::EXEC_EXITS)
}

/// `completions` and `man`, which both programs have.
pub(super) fn for_shells() -> [Command; 2] {
    [
        Command::new("completions")
            .about("Print completions for a shell.")
            .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(["bash", "zsh", "fish"])),
        Command::new("man")
            .about("Print the manual page (roff) of the program or of one of its commands.")
            .arg(Arg::new("command").value_name("COMMAND")),
    ]
}

/// Whether the option is a setting, and not a switch or argument of a single command.
pub(super) fn is_setting(name: &str) -> bool {
    !is_source(name) && !OF_ONE_COMMAND.contains(&name)
}

/// Whether the option names a file of settings.
pub(super) fn is_source(name: &str) -> bool {
    matches!(name, "config" | "annotations")
}

/// Every option that sets something, plus `--config` and `--annotations`.
fn settings() -> Vec<Arg> {
    let mut all = vec![
        value("config", "FILE", "Settings and references, as YAML; - is stdin.").action(ArgAction::Set),
        value("annotations", "FILE", "The pod's annotations, a downward-API file.").action(ArgAction::Set),
    ];
    all.extend(OTHERS.iter().map(|(name, of, help)| match of {
        Some(of) if *name == "local" => value(name, of, help).action(ArgAction::Set),
        Some(of) => value(name, of, help),
        None => switch(name, help),
    }));
    for option in config::options() {
        let Some(flag) = &option.flag else { continue };
        let help = option.doc_with_default();
        all.push(match flag.value {
            Some(of) => value(&flag.name, of, &help),
            None => switch(&flag.name, option.doc),
        });
    }
    all
}

/// The option `name` of `settings`. Panics if it is missing.
fn arg(settings: &[Arg], name: &str) -> Arg {
    settings.iter().find(|arg| arg.get_id() == name).expect("an option of the list").clone()
}

/// Whether the option's name is one of `names`.
fn is_one_of(arg: &Arg, names: &[&str]) -> bool {
    names.iter().any(|name| arg.get_id() == *name)
}

/// The option `--name VALUE`; may be repeated.
pub(super) fn value(name: &str, of: &str, help: &str) -> Arg {
    Arg::new(name.to_owned())
        .long(name.to_owned())
        .value_name(of.to_owned())
        .help(help.to_owned())
        .action(ArgAction::Append)
        .value_parser(ValueParser::os_string())
}

/// The switch `--name`; may be repeated.
pub(super) fn switch(name: &str, help: &str) -> Arg {
    Arg::new(name.to_owned())
        .long(name.to_owned())
        .help(help.to_owned())
        .action(ArgAction::SetTrue)
        .overrides_with(name.to_owned())
}
