//! The command line: arguments and files in, one exit code out. Everything printed at the program's end is printed
//! here.

mod args;
mod confine;
mod help;
pub mod inject;
mod options;
mod output;
mod parse;
mod shell;
mod unread;
mod version;
mod watch;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::panic;
use std::process::ExitCode;

use crate::config::{self, Annotations, Config, ConfigError, Flag, Layers, Place, Text, Wraps};
use crate::domain::{Diagnostic, Exit, worst};
use crate::identity::file;
use crate::run::{self, Check, CheckOutput, ProcessContext, Program, Refresh, Settings, Shown};
use crate::sys::environment::{self, Variable};
use crate::sys::harden::{self, SavedSignalState};

use tracing::{info, warn};

use args::{Command, Invocation};
use output::print;

/// The whole program `secret-exec`. Must be called first in `main`, while the process has one thread.
pub fn main() -> ExitCode {
    output::print_panics_without_their_data(Program::Exec);
    let outcome = panic::catch_unwind(|| {
        let original = harden::harden().map_err(|error| vec![Diagnostic::from_error(Exit::Privileges, &error)])?;
        run::refuse_small_stack()?;
        let environment = environment::snapshot();
        let arguments: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let variable =
            environment.iter().find(|(name, _)| name == b"SECRET_EXEC_LOG_FORMAT").map(|(_, value)| value.as_slice());
        output::set_requested_format(&arguments, variable);
        start(std::env::args_os().skip(1).collect(), original, environment)
    });
    let exit = match outcome {
        Ok(Ok(exit)) => exit,
        Ok(Err(problems)) => {
            output::print_problems(Program::Exec, &problems);
            worst(&problems)
        }
        // The panic hook has printed the line.
        Err(_) => Exit::Bug,
    };
    ExitCode::from(exit.code())
}

/// Parses and runs a command line. Not inlined: its stack frame is large and must not become part of [`main`]'s,
/// which refuses a small stack.
#[inline(never)]
fn start(
    arguments: Vec<OsString>,
    original: SavedSignalState,
    environment: Vec<Variable>,
) -> Result<Exit, Vec<Diagnostic>> {
    let wants_json = output::is_check_in_json(&arguments);
    let invocation = match args::parse(arguments).map_err(problems) {
        Ok(invocation) => invocation,
        Err(problems) if wants_json => return shown((run::problems_as_json(&problems), problems)),
        Err(problems) => return Err(problems),
    };
    let is_pinned = invocation.flags.iter().any(|flag| flag.name == config::PINNED);
    let settings = if is_pinned { Settings::Pinned } else { Settings::All };
    environment::forget(|name, value| config::is_always_hidden(name) || (is_pinned && config::is_hidden(name, value)));
    let unread = non_utf8_settings(&environment, settings);
    let caller = &ProcessContext::new(original, environment, settings);
    match &invocation.command {
        Command::Print(text) => return print(text),
        Command::Completions(shell) => return print(&shell.completions(options::for_completions())),
        Command::Man(of) => {
            return print(&shell::man_page(options::command(), of.as_deref()).map_err(problems)?);
        }
        Command::Schema => return print(&config::schema()),
        Command::Install(path) => {
            let lines = run::install(path.as_ref(), caller)?;
            return print(&lines);
        }
        _ => {}
    }
    if matches!(invocation.command, Command::Wrap(_) | Command::Init | Command::Sidecar | Command::Check(_)) {
        run::refuse_few_files()?;
        run::refuse_tracer()?;
    }
    let is_json = matches!(&invocation.command, Command::Check(what) if what.output == CheckOutput::Json);
    match configure(&invocation, caller, unread) {
        Ok(config) => carry_out(invocation, &config, caller),
        // A caller that requested JSON gets JSON, even without a plan.
        Err(problems) if is_json => shown((run::problems_as_json(&problems), problems)),
        Err(problems) => Err(problems),
    }
}

/// Runs a command with its configuration.
fn carry_out(invocation: Invocation, config: &Config, caller: &ProcessContext) -> Result<Exit, Vec<Diagnostic>> {
    output::set_format(config.process.log_format);
    run::start_log(Program::Exec, config.process.log_format, config.process.log_level);
    warn_of_overrides(config, caller);
    match invocation.command {
        Command::Wrap(command) if config.app.supervise => run::supervise(config, &command, caller),
        Command::Wrap(command) => match run::exec(config, &command, caller)? {},
        Command::Init => run::init(config, caller).map(|()| Exit::App(0)),
        Command::Check(mut what) => {
            if what.output != CheckOutput::Json {
                what.output = CheckOutput::Table(output::style(caller));
            }
            shown(run::check(config, &what, caller)?)
        }
        Command::Status => {
            let how = match (invocation.ready, invocation.json) {
                (true, _) => Shown::Readiness,
                (false, true) => Shown::Json,
                (false, false) => Shown::Table,
            };
            if invocation.watch {
                return watch::watch(caller, output::screen(caller, how), || run::status(config, how));
            }
            shown(run::status(config, how)?)
        }
        Command::Sidecar => run::sidecar(config, caller).map(|()| Exit::App(0)),
        Command::Refresh => {
            let how = if invocation.json { Refresh::Json } else { Refresh::Line };
            shown(run::refresh(config, how)?)
        }
        Command::Print(_) | Command::Completions(_) | Command::Man(_) | Command::Schema | Command::Install(_) => {
            unreachable!("carried out above")
        }
    }
}

/// Logs one line for each setting that makes the configuration weaker than its author may expect, or that is
/// ignored.
fn warn_of_overrides(config: &Config, caller: &ProcessContext) {
    if config.backends.vault.as_ref().is_some_and(|vault| vault.skip_verify) {
        warn!(
            target: run::ALWAYS,
            "vault.skipVerify: the server's certificate is not verified; whoever answers reads the login and every secret"
        );
    }
    if let Some(vault) = config.backends.vault.as_ref().filter(|_| config.backends.local.is_none()) {
        unread::warn_of_unread(vault, caller);
    }
    let ignored = caller.ignored();
    if !ignored.is_empty() {
        info!("--pinned: these inherited variables do not count: {}", ignored.join(", "));
    }
}

/// Prints the text to stdout, then returns the problems, if there are any.
fn shown((text, problems): (String, Vec<Diagnostic>)) -> Result<Exit, Vec<Diagnostic>> {
    print(&text)?;
    if problems.is_empty() { Ok(Exit::App(0)) } else { Err(problems) }
}

/// The settings in the environment whose name or value is not UTF-8. The layers of settings hold strings only:
/// without this check such a setting would be missed and its default used.
fn non_utf8_settings(environment: &[Variable], settings: Settings) -> Vec<ConfigError> {
    let mistake = |(name, value): &Variable| {
        let shown = String::from_utf8_lossy(name);
        let what = match (std::str::from_utf8(name), std::str::from_utf8(value)) {
            (Err(_), _) => "name",
            (_, Err(_)) => "value",
            _ => return None,
        };
        let place = Place::Variable(shown.escape_debug().to_string());
        let counts = settings == Settings::All || !config::is_steering(&shown, None);
        (counts && config::is_setting(&shown))
            .then(|| ConfigError::new(&place, format!("its {what} is not UTF-8 text")))
    };
    environment.iter().filter_map(mistake).collect()
}

/// Reads the files that the command line or the environment names, and resolves all layers. `unread` are mistakes
/// found earlier, reported along with unreadable files.
fn configure(
    invocation: &Invocation,
    caller: &ProcessContext,
    mut unread: Vec<ConfigError>,
) -> Result<Config, Vec<Diagnostic>> {
    let named = |given: &Option<OsString>, flag: &str, variable: &str| match given {
        Some(path) => Some((path.clone(), Place::Flag(flag.to_owned()))),
        None => {
            let path = OsStr::from_bytes(caller.variable(variable)?).to_owned();
            Some((path, Place::Variable(variable.to_owned())))
        }
    };
    let mut read = |named: (OsString, Place)| read_named(named, caller).map_err(|mistake| unread.push(mistake)).ok();
    let file = named(&invocation.config, "--config", "SECRET_EXEC_CONFIG");
    let annotations = named(&invocation.annotations, "--annotations", "SECRET_EXEC_ANNOTATIONS");
    refuse_one_stdin_for_two([&file, &annotations], &invocation.flags)?;
    let file = file.and_then(&mut read);
    let annotations = annotations.and_then(&mut read);
    [&file, &annotations].into_iter().flatten().for_each(|(_, text)| output::set_format_of_text(text));
    if let Some(problem) = caller.interruption("the configuration was read") {
        return Err(vec![problem]);
    }
    if !unread.is_empty() {
        unread.extend(config::mistakes_of_flags(&invocation.flags));
        return Err(problems(unread));
    }
    let environment = caller.environment_as_text();
    let layers = Layers {
        environment: &environment,
        annotations: annotations.as_ref().map(|(name, text)| Annotations::File(Text { name, text })),
        file: file.as_ref().map(|(name, text)| Text { name, text }),
        flags: &invocation.flags,
        wraps: match invocation.command {
            Command::Wrap(_) | Command::Check(Check { command: Some(_), .. }) => Wraps::Command,
            _ => Wraps::Nothing,
        },
    };
    let resolved = match &invocation.command {
        Command::Check(what) if what.policy || what.local_skeleton => config::resolve_without_requests(&layers),
        _ => config::resolve(&layers),
    };
    let mut config = resolved.map_err(problems)?;
    let sources =
        [("--annotations", annotations.is_some()), ("--config", file.is_some()), (config::PINNED, caller.is_pinned())];
    let sources: Vec<&str> = sources.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
    refuse_empty(&invocation.command, &config, &sources)?;
    if config.process.state_place == Place::Missing
        && let Some(state) = caller.default_state(&config.process.state)
        && !state.starts_with(&config.volume.path)
    {
        config.process.state = state;
    }
    Ok(config)
}

/// Reads a file of settings: its name for messages, and its text.
fn read_named((path, place): (OsString, Place), caller: &ProcessContext) -> Result<(String, String), ConfigError> {
    if path.is_empty() {
        let text = "expected a path, and it is empty; name a file, or leave the option out";
        return Err(ConfigError::new(&place, text));
    }
    match file::read_source(path.as_ref(), || caller.interruption("the configuration was read").is_some()) {
        Ok(text) => {
            let name = if path == "-" { "stdin".into() } else { path.to_string_lossy() };
            Ok((name.into_owned(), text))
        }
        Err(error) => Err(ConfigError::new(&place, format!("cannot read {}: {error}", path.display()))),
    }
}

/// Refuses two options that read standard input: it can be read only once.
fn refuse_one_stdin_for_two(
    [config, annotations]: [&Option<(OsString, Place)>; 2],
    flags: &[Flag],
) -> Result<(), Vec<Diagnostic>> {
    let local = flags.iter().find(|flag| flag.name == "--local").map(|flag| OsStr::new(&flag.value));
    let path = |named: &'_ Option<(OsString, Place)>| named.as_ref().map(|(path, _)| path.clone());
    let named =
        [("--config", path(config)), ("--annotations", path(annotations)), ("--local", local.map(OsStr::to_owned))];
    let of_stdin = named.iter().filter(|(_, path)| path.as_ref().is_some_and(|path| file::is_stdin(path.as_ref())));
    let of_stdin: Vec<&str> = of_stdin.map(|(name, _)| *name).collect();
    match of_stdin.as_slice() {
        [first, second, ..] => {
            let text = format!("names standard input, which {first} reads already; name a file");
            Err(problems(vec![ConfigError::new(&Place::Flag((*second).to_owned()), text)]))
        }
        _ => Ok(()),
    }
}

/// Refuses to start with nothing to deliver, which usually means that a configuration did not arrive. Allowed only
/// for a wrapped command that has no configuration source, or whose configuration may be empty (`may_be_empty`).
fn refuse_empty(command: &Command, config: &Config, sources: &[&str]) -> Result<(), Vec<Diagnostic>> {
    let is_empty =
        config.files.is_empty() && config.env.is_empty() && config.env_from.is_empty() && config.secrets.is_empty();
    let delivers = match command {
        Command::Init | Command::Sidecar => true,
        Command::Wrap(_) | Command::Check(_) => !sources.is_empty() && !config.may_be_empty,
        _ => false,
    };
    if !delivers || !is_empty {
        return Ok(());
    }
    let read = if sources.is_empty() { String::new() } else { format!(" ({} was read)", sources.join(", ")) };
    let text = format!(
        "nothing to deliver{read}: the configuration names no file, no variable and no secret; say --file NAME=REF or --env \
         NAME=REF, or see what became of the configuration that was meant"
    );
    Err(problems(vec![ConfigError::new(&Place::Missing, text)]))
}

/// Config errors as problems to print.
fn problems(mistakes: Vec<ConfigError>) -> Vec<Diagnostic> {
    mistakes.into_iter().map(Diagnostic::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_no_text_is_a_mistake_and_not_left_out() {
        let variable = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
        let lines = |name: &[u8], value: &[u8]| -> Vec<String> {
            let mistakes = non_utf8_settings(&[variable(name, value)], Settings::All);
            mistakes.into_iter().map(|mistake| Diagnostic::from(mistake).text).collect()
        };
        let expected = ["environment variable SECRET_EXEC_RUN_AS: its value is not UTF-8 text"];
        assert_eq!(lines(b"SECRET_EXEC_RUN_AS", b"canary\xff"), expected);
        let expected = ["environment variable SECRET_EXEC_\u{fffd}: its name is not UTF-8 text"];
        assert_eq!(lines(b"SECRET_EXEC_\xff", b"canary"), expected);
        for (name, value) in [
            (&b"SECRET_EXEC_RUN_AS"[..], &b"1000"[..]),
            (b"SECRET_EXEC_CONFIG", b"/etc/\xff"),      // a path
            (b"SECRET_EXEC_ANNOTATIONS", b"/etc/\xff"), // a path
            (b"SECRET_EXEC_DIR", b"/run/\xff"),         // an outer wrapper's
            (b"APP", b"\xff"),
            (b"\xff", b"\xff"),
        ] {
            assert!(lines(name, value).is_empty(), "{name:?}");
        }
        for name in ["VAULT_ADDR", "BAO_NAMESPACE", "AWS_REGION"] {
            assert_eq!(lines(name.as_bytes(), b"\xff").len(), 1, "{name}");
        }
    }

    /// The help of a program and of each of its commands, with its name.
    fn pages(mut program: clap::Command) -> Vec<(String, String)> {
        program.build();
        let mut pages = vec![(program.get_name().to_owned(), program.render_help().to_string())];
        for sub in program.get_subcommands_mut().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            pages.push((sub.get_bin_name().unwrap().to_owned(), sub.render_help().to_string()));
        }
        pages
    }

    #[test]
    fn every_help_fits_80_columns_and_has_an_example_and_the_exit_codes() {
        let all = [pages(options::command()), pages(inject::options::command())].concat();
        assert!(all.len() >= 17, "{}", all.len());
        for (name, page) in all {
            let wide: Vec<_> = page.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{name}: wider than 80 columns: {wide:#?}");
            let end = page.split_once("Examples:\n").unwrap_or_else(|| panic!("{name} has no example:\n{page}")).1;
            assert!(end.starts_with(&format!("  {name}")), "{name}: another command's example: {end}");
            for code in ["  64 ", " 70 ", " 75 "] {
                assert!(end.contains(code), "{name}: no exit code{code}in {end}");
            }
            let cut: Vec<_> = page.lines().filter(|line| ["or", "write`"].contains(&line.trim())).collect();
            assert!(cut.is_empty(), "{name}: a prepared line was wrapped: {page}");
        }
    }

    #[test]
    fn no_prepared_line_is_wrapped() {
        let ends = [help::EXEC_EXITS, help::INJECT_EXITS].into_iter();
        let examples = help::EXEC_EXAMPLES.iter().chain(help::INJECT_EXAMPLES).map(|(_, lines)| *lines);
        for line in ends.chain(examples).flat_map(str::lines) {
            assert!(line.trim_start().chars().count() <= 78, "{line}");
        }
    }
}
