//! Runs clap over a command line and collects every mistake, where clap alone stops at the first.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, Error};

use crate::config::{ConfigError, Place, nearest};

/// Why parsing returned no matches.
#[derive(Debug)]
pub(super) enum Stop {
    /// A help text or the version, for stdout.
    Print(String),
    /// The mistakes, and the matches of the command line without the mistaken words, where those parse.
    ConfigErrors(Vec<ConfigError>, Option<Box<ArgMatches>>),
}

/// Parses the arguments after the program's name. `unknown_command` returns text to append to the message about an
/// unknown command.
///
/// `sufficient` has the options of the commands that the arguments name. `whole` builds those of all commands, which takes
/// longer than parsing and is only needed for help and for error messages.
pub(super) fn parse(
    sufficient: Command,
    whole: fn() -> Command,
    args: &[OsString],
    unknown_command: impl Fn(&str) -> String,
) -> Result<ArgMatches, Stop> {
    let line = std::iter::once(OsString::from(sufficient.get_name())).chain(args.iter().cloned());
    if let Ok(matches) = sufficient.try_get_matches_from(line) {
        return Ok(matches);
    }
    let mut command = whole();
    let mut words = args.to_vec();
    let mut mistakes = Vec::new();
    let mut meant = Vec::new();
    loop {
        let line = std::iter::once(OsString::from(command.get_name())).chain(words.iter().cloned());
        let error = match command.clone().try_get_matches_from(line) {
            Ok(matches) if mistakes.is_empty() => return Ok(matches),
            Ok(matches) => return Err(Stop::ConfigErrors(mistakes, Some(Box::new(matches)))),
            Err(error) => error,
        };
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Err(Stop::Print(format!("{}\n", error.to_string().trim_end())));
        }
        if error.kind() == ErrorKind::MissingRequiredArgument {
            mistakes.extend(missing(&error, &meant));
            command = command.mut_subcommands(|sub| sub.mut_args(|arg| arg.required(false)));
            continue;
        }
        let found = Found::read(&error, &command, &words, &unknown_command);
        mistakes.push(found.mistake);
        meant.extend(found.meant);
        match found.cut {
            Some((at, count)) if at < words.len() => {
                words.drain(at..(at + count).min(words.len()));
            }
            _ => return Err(Stop::ConfigErrors(mistakes, None)),
        }
    }
}

/// The mistake of missing required options, without those in `meant`, which a misspelled option probably was.
fn missing(error: &Error, meant: &[String]) -> Option<ConfigError> {
    let name = |argument: &String| plain(argument.split(' ').next().unwrap_or_default());
    let names: Vec<String> =
        values(error, ContextKind::InvalidArg).iter().map(name).filter(|name| !meant.contains(name)).collect();
    (!names.is_empty()).then(|| mistake(&names.join(", "), format!("missing; usage: {}", usage(error))))
}

/// Message about an option that takes one file and was given twice.
pub(super) const TWICE: &str = "given twice; it can be given once";
/// The same, with a hint at `--set`, which is often what a second file is meant for.
pub(super) const TWICE_AND_SET: &str = "given twice; it can be given once (--set KEY=VALUE changes a key of it)";

/// A mistake on the command line.
pub(super) fn mistake(place: &str, text: impl Into<String>) -> ConfigError {
    ConfigError::new(&Place::Flag(place.to_owned()), text)
}

/// One clap error: the mistake to report, and which words to remove so that parsing can go on.
struct Found {
    /// The message.
    mistake: ConfigError,
    /// Index and count of the words to remove; `None` if parsing cannot go on.
    cut: Option<(usize, usize)>,
    /// The option that was probably meant, with its dashes.
    meant: Option<String>,
}

impl Found {
    /// A mistake with no option that was probably meant.
    fn new(mistake: ConfigError, cut: Option<(usize, usize)>) -> Self {
        Self { mistake, cut, meant: None }
    }

    /// Translates a clap error about `words`.
    fn read(error: &Error, command: &Command, words: &[OsString], unknown_command: &impl Fn(&str) -> String) -> Self {
        let argument = text(error, ContextKind::InvalidArg);
        let name = argument.split([' ', '=']).next().unwrap_or_default();
        match error.kind() {
            ErrorKind::UnknownArgument if argument.starts_with('-') => Self::unknown_option(&argument, command, words),
            ErrorKind::UnknownArgument => Self::new(
                mistake("command line", format!("unexpected argument `{argument}`")),
                words.iter().rposition(|word| *word == *argument).map(|at| (at, 1)),
            ),
            ErrorKind::InvalidSubcommand => Self::unknown_command(error, command, words, unknown_command),
            ErrorKind::InvalidValue => {
                let (value, known) = (text(error, ContextKind::InvalidValue), values(error, ContextKind::ValidValue));
                if value.is_empty() {
                    let cut = words.iter().rposition(|word| *word == *name).map(|at| (at, 1));
                    let found = Self::new(mistake(name, format!("expected a value: {}", plain(&argument))), cut);
                    // Marks the option as given, so that it is not reported as missing too.
                    return Self { meant: Some(name.to_owned()), ..found };
                }
                let meant = did_you_mean(nearest(&value, known.iter().map(String::as_str)));
                let text = format!("unknown value `{value}`{meant}; expected {}", known.join(", "));
                Self::new(mistake(&plain(&argument), text), None)
            }
            ErrorKind::TooManyValues => Self::new(
                mistake(name, "takes no value"),
                words.iter().position(|word| starts_with(word, &format!("{name}="))).map(|at| (at, 1)),
            ),
            ErrorKind::ArgumentConflict => {
                let last = words.iter().rposition(|word| *word == *name || starts_with(word, &format!("{name}=")));
                let has_value = last.is_some_and(|at| *words[at] == *name) && argument.contains('<');
                let text = if has_long(command, "set") { TWICE_AND_SET } else { TWICE };
                Self::new(mistake(name, text), last.map(|at| (at, 1 + usize::from(has_value))))
            }
            _ => {
                let whole = error.to_string();
                let line = whole.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Self::new(mistake("command line", line), None)
            }
        }
    }

    /// The mistake of a word that is not a command: the second half of a NAME=REF in two words, an unknown word after
    /// `help`, or a misspelled command.
    fn unknown_command(
        error: &Error,
        command: &Command,
        words: &[OsString],
        unknown_command: &impl Fn(&str) -> String,
    ) -> Self {
        let word = text(error, ContextKind::InvalidSubcommand);
        let at = words.iter().position(|other| *other == *word);
        let before = |count: usize| at.and_then(|at| words.get(at.checked_sub(count)?)?.to_str());
        let known = command.get_subcommands().map(Command::get_name);
        let meant = did_you_mean(nearest(&word, known));
        if let (Some(option @ ("--env" | "--file" | "--set")), Some(name)) = (before(2), before(1))
            && !name.contains('=')
        {
            // The value of a setting may be a secret, so it is not quoted.
            let text = match option {
                "--set" => "expected KEY=VALUE, not two words".to_owned(),
                _ => format!("expected NAME=REF, not two words: {option} {name}={word}"),
            };
            return Self::new(mistake(option, text), at.map(|at| (at - 2, 3)));
        }
        let (place, text) = match words.first() {
            Some(first) if *first == *"help" => ("help", format!("unknown command `{word}`{meant}")),
            _ => (word.as_str(), format!("unknown command{meant}{}", unknown_command(&word))),
        };
        Self::new(mistake(place, text), None)
    }

    /// The mistake if the word at `at` is the value of an option before it, such as `-1s` of `--timeout -1s`.
    fn value_with_dash(command: &Command, words: &[OsString], at: usize) -> Option<Self> {
        let before = at.checked_sub(1).filter(|_| !starts_with(&words[at], "--"))?;
        let arg = with_value(command, &words[before])?;
        let option = words[before].to_string_lossy().into_owned();
        let value = arg.get_value_names().and_then(<[_]>::first).map_or("VALUE", |name| name.as_str());
        let text = format!("expected a value that does not begin with a dash: {option} {value}");
        let found = Self::new(mistake(&option, text), Some((before, 2)));
        Some(Self { meant: Some(option), ..found })
    }

    /// An option that the command does not have: another command's, misspelled, or unknown. The next word is
    /// removed too if it looks like the option's value.
    fn unknown_option(argument: &str, command: &Command, words: &[OsString]) -> Self {
        let name = argument.split('=').next().unwrap_or_default();
        let long = name.trim_start_matches('-');
        let is_long = name.starts_with("--");
        let chosen = words.iter().find_map(|word| command.find_subcommand(word)).unwrap_or(command);
        let owners: Vec<&str> =
            command.get_subcommands().filter(|sub| has_long(sub, long)).map(Command::get_name).collect();
        let others = std::iter::once(command).chain(command.get_subcommands()).flat_map(longs);
        let near = nearest(long, longs(chosen).chain(["help", "version"])).or_else(|| nearest(long, others));
        let near = near.filter(|_| is_long);
        let owns = |long| command.get_subcommands().filter(move |sub| has_long(sub, long)).map(Command::get_name);
        let text = match (owners.as_slice(), near) {
            _ if is_long && has_long(command, long) => {
                format!("it goes with a command to run: {} {name} [OPTIONS] -- COMMAND", command.get_name())
            }
            ([only], _) if is_long => format!("only {only} has it"),
            ([first, second], _) if is_long => format!("only {first} and {second} have it"),
            ([_, _, _, ..], _) if is_long => format!("unknown option here; {} have it", owners.join(", ")),
            (_, Some(near)) if has_long(chosen, near) || matches!(near, "help" | "version") => {
                format!("unknown option (did you mean --{near}?)")
            }
            (_, Some(near)) => {
                let owners: Vec<&str> = owns(near).collect();
                format!("unknown option (did you mean --{near} of {}?)", owners.join(", "))
            }
            _ => "unknown option; --help lists them".to_owned(),
        };
        let at = words.iter().position(|word| *word == *argument || starts_with(word, &format!("{name}=")));
        let at = at.or_else(|| words.iter().position(|word| !name.starts_with("--") && starts_with(word, name)));
        if let Some(found) = at.and_then(|at| Self::value_with_dash(command, words, at)) {
            return found;
        }
        let takes_next = |at: usize| {
            let is_alone = *words[at] == *name && name.starts_with("--");
            let next = words.get(at + 1).filter(|next| !starts_with(next, "-"));
            is_alone
                && next.is_some_and(|next| command.get_subcommands().all(|sub| *next != *sub.get_name()))
                && !is_switch(command, long)
        };
        let cut = at.map(|at| (at, 1 + usize::from(takes_next(at))));
        Self { mistake: mistake(name, text.as_str()), cut, meant: near.map(|near| format!("--{near}")) }
    }
}

/// Whether the option `--long`, in every command that has it, takes no value. False if no command has it.
fn is_switch(command: &Command, long: &str) -> bool {
    let all = std::iter::once(command).chain(command.get_subcommands());
    let mut args = all.flat_map(Command::get_arguments).filter(|arg| arg.get_long() == Some(long)).peekable();
    args.peek().is_some() && args.all(|arg| !arg.get_action().takes_values())
}

/// Whether the command itself has the option `--long`.
fn has_long(command: &Command, long: &str) -> bool {
    longs(command).any(|known| known == long)
}

/// The long names of the command's own options.
fn longs(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter_map(clap::Arg::get_long)
}

/// The option that a word alone (`--timeout`) is, if it takes a value.
fn with_value<'a>(command: &'a Command, word: &OsStr) -> Option<&'a clap::Arg> {
    let long = word.to_str()?.strip_prefix("--")?;
    let all = std::iter::once(command).chain(command.get_subcommands());
    all.flat_map(Command::get_arguments).find(|arg| arg.get_long() == Some(long) && arg.get_action().takes_values())
}

/// Whether the word's bytes begin with `start`.
fn starts_with(word: &OsStr, start: &str) -> bool {
    word.as_bytes().starts_with(start.as_bytes())
}

/// `; did you mean NEAR?`, or an empty string.
pub(super) fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// `--file <NAME=REF>` without the angle brackets.
fn plain(argument: &str) -> String {
    argument.replace(['<', '>'], "")
}

/// The usage line of the error, on one line.
fn usage(error: &Error) -> String {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    plain(&usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The context of an error as one string; empty if it has none.
fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

/// The context of an error as a list of strings.
fn values(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
