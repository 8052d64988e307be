//! Completions and manual pages, generated from the program's clap definition.

use std::io::{self, Write};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell as ClapShell;
use clap_mangen::Man;

use crate::config::{ConfigError, nearest};

use super::parse::{did_you_mean, mistake};

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

impl Shell {
    /// The shell that `completions SHELL` names; clap accepts no other word.
    pub(super) fn read(matches: &ArgMatches) -> Self {
        match matches.get_one::<String>("shell").map(String::as_str) {
            Some("zsh") => Self::Zsh,
            Some("fish") => Self::Fish,
            _ => Self::Bash,
        }
    }

    /// The completion script for a program.
    pub(super) fn completions(self, mut command: Command) -> String {
        let shell = match self {
            Self::Bash => ClapShell::Bash,
            Self::Zsh => ClapShell::Zsh,
            Self::Fish => ClapShell::Fish,
        };
        command = with_words(command);
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name.as_str(), &mut script);
        let script = String::from_utf8(script).expect("clap writes UTF-8");
        // clap_complete 4.6 spells a hyphen of the program's name in two ways within one bash script, so that no
        // command's own options are found.
        script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
    }
}

/// The command line with the fixed words that options and arguments accept. Only for completions: for parsing,
/// `config` reports a wrong word better than clap does.
fn with_words(command: Command) -> Command {
    let commands = visible(&command).map(str::to_owned).collect::<Vec<_>>();
    let fix = move |arg: Arg| {
        let of = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
        let words: Vec<String> = match of.as_str() {
            "LEVEL" => ["error", "warn", "info", "debug", "trace"].map(str::to_owned).to_vec(),
            "COMMAND" => commands.clone(),
            _ if of.contains('|') => of.split('|').map(str::to_owned).collect(),
            _ => return arg,
        };
        arg.value_parser(PossibleValuesParser::new(words))
    };
    command.mut_args(fix.clone()).mut_subcommands(|sub| sub.mut_args(fix.clone()))
}

/// The names of the commands that the help lists.
fn visible(command: &Command) -> impl Iterator<Item = &str> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").map(Command::get_name)
}

/// The manual page (roff) of a program, or of its command `of`. Fails on an unknown command.
pub(super) fn man_page(mut command: Command, of: Option<&str>) -> Result<String, Vec<ConfigError>> {
    command.build();
    let page = match of {
        None => command,
        Some(name) => match command.find_subcommand(name).filter(|sub| !sub.is_hide_set()) {
            Some(found) => {
                let title = format!("{}-{name}", command.get_name());
                found.clone().name(title).version(env!("CARGO_PKG_VERSION"))
            }
            None => {
                let known: Vec<&str> = visible(&command).collect();
                let meant = did_you_mean(nearest(name, known.iter().copied()));
                let text = format!("unknown command `{name}`{meant}; expected {}", known.join(", "));
                return Err(vec![mistake("man", text)]);
            }
        },
    };
    Ok(rendered(page).expect("a vector takes every write"))
}

/// Renders the sections of man-pages(7). Usage, examples and exit codes keep their line breaks.
fn rendered(mut page: Command) -> io::Result<String> {
    let usage = page.render_usage().to_string().replace(['<', '>'], "");
    let usage = usage.trim_start_matches("Usage: ").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let ends = page.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (has_commands, is_program) = (page.has_subcommands(), page.get_version().is_some());
    let mut text = Vec::new();
    let man = Man::new(page);
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    as_they_are("SYNOPSIS", &usage, &mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    as_they_are("EXAMPLES AND EXIT STATUS", &ends, &mut text)?;
    if is_program {
        man.render_version_section(&mut text)?;
    }
    Ok(String::from_utf8(text).expect("clap_mangen writes UTF-8"))
}

/// Writes a section whose lines are kept unfilled (groff_man(7): `.EX`).
fn as_they_are(title: &str, lines: &str, out: &mut Vec<u8>) -> io::Result<()> {
    writeln!(out, ".SH {title}\n.EX")?;
    for line in lines.lines() {
        // A leading dot or apostrophe would be a roff request.
        writeln!(out, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(out, ".EE")
}
