//! Completions and manual pages, which both programs print from their table of options.

use clap::{ArgMatches, Command};
use clap_complete::Shell as ClapShell;
use clap_mangen::Man;

use crate::config::ConfigError;

use super::parse::mistake;

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
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name.as_str(), &mut script);
        let script = String::from_utf8(script).expect("clap writes UTF-8");
        // clap_complete 4.6 spells a hyphen of the program's name in two ways within one bash script, so that no
        // command's own options are found.
        script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
    }
}

/// The manual page of a program, or of one of its commands.
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
                let known: Vec<&str> =
                    command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(Command::get_name).collect();
                return Err(vec![mistake("man", format!("unknown command `{name}`; expected {}", known.join(", ")))]);
            }
        },
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text).expect("a vector takes every write");
    Ok(String::from_utf8(text).expect("clap_mangen writes UTF-8"))
}
