//! The command line of `secret-inject`: arguments and files in, one exit code out.

pub(super) mod options;
mod read;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::{self, ConfigError, Injector, LogFormat, LogLevel, Sandbox, Text};
use crate::domain::{Diagnostic, Exit, printable, worst};
use crate::k8s::webhook::Webhook;
use crate::k8s::{certs, manifest, tls};
use crate::run::{Program, start_log};
use crate::sys::sandbox::LineFormat;
use crate::sys::signals::{Signal, Signals};
use crate::sys::watch::Watched;
use crate::sys::{clock, environment, harden};
use clap::ArgMatches;

use super::confine::{confine, in_numbers};
use super::output::{self, print};
use super::parse::{self, Stop};
use super::shell::{Shell, man_page};

/// The program `secret-inject`: parses the command line, runs the command, prints problems, returns the exit code.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let shown: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    output::set_requested_format(&shown, None);
    let exit = start(&args).unwrap_or_else(|problems| {
        output::print_problems(Program::Inject, &problems);
        worst(&problems)
    });
    ExitCode::from(exit.code())
}

/// The result of a command: the exit code, or the problems to print.
type Ended = Result<Exit, Vec<Diagnostic>>;

fn usage(text: impl Into<String>) -> Vec<Diagnostic> {
    vec![Diagnostic::new(Exit::Usage, text)]
}

fn problems(mistakes: Vec<ConfigError>) -> Vec<Diagnostic> {
    mistakes.into_iter().map(Diagnostic::from).collect()
}

/// Parses the command line, checks the values of its options, and runs the command.
fn start(args: &[OsString]) -> Ended {
    let matches = match parse::parse(options::command(), options::command, args, |_| String::new()) {
        Ok(matches) => matches,
        Err(Stop::Print(text)) => return print(&text),
        Err(Stop::ConfigErrors(mistakes, rest)) => {
            let mut all = problems(mistakes);
            if let Some((name, own)) = rest.as_ref().and_then(|matches| matches.subcommand()) {
                all.extend(mistaken_values(name, &Options(own)));
            }
            return Err(all);
        }
    };
    let Some((name, own)) = matches.subcommand() else {
        return Err(usage("expected webhook, manifest, migrate or certs; see secret-inject --help"));
    };
    let options = Options(own);
    let mistaken = mistaken_values(name, &options);
    if !mistaken.is_empty() {
        return Err(mistaken);
    }
    match name {
        "webhook" => webhook(&options),
        "manifest" => offline(&options),
        "migrate" => migrate(&options),
        "certs" => make_certs(&options),
        "schema" => print(&config::injector_schema()),
        "completions" => print(&Shell::read(own).completions(options::command())),
        "man" => {
            let page = man_page(options::command(), own.get_one::<String>("command").map(String::as_str));
            print(&page.map_err(problems)?)
        }
        _ => print(&options::command().render_version()),
    }
}

/// The options of a subcommand, unparsed, by name.
#[derive(Debug)]
struct Options<'a>(&'a ArgMatches);

impl Options<'_> {
    /// Every value of an option, in the order given.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a OsString> {
        self.0.try_get_many::<OsString>(name).ok().flatten().into_iter().flatten()
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get_flag(name)
    }

    /// The last value of an option, as a path.
    fn path(&self, name: &str) -> Option<PathBuf> {
        self.all(name).last().map(PathBuf::from)
    }

    /// The last value of an option, as text. Refuses an empty value and one that is not UTF-8.
    fn text(&self, name: &str) -> Result<String, Vec<Diagnostic>> {
        match self.all(name).last().and_then(|value| value.to_str()) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(usage(format!("--{name}: expected a text"))),
        }
    }

    /// The value of an option that clap requires. Panics if it is missing.
    fn required(&self, name: &str) -> PathBuf {
        self.path(name).expect("clap refuses a command line without it")
    }
}

/// Reads and parses the injector's config that `--config` names.
fn injector_in(path: &Path) -> Result<Injector, Vec<Diagnostic>> {
    let text = read::option("config", path, |path| fs::read_to_string(path))?;
    injector(&path.display().to_string(), &text)
}

/// Parses the injector's config. `name` is the place that error messages name.
fn injector(name: &str, text: &str) -> Result<Injector, Vec<Diagnostic>> {
    Injector::parse(Text { name, text }).map_err(|mistakes| mistakes.into_iter().map(Diagnostic::from).collect())
}

/// The problems in the values of a subcommand's options, found before any file is read.
fn mistaken_values(name: &str, options: &Options<'_>) -> Vec<Diagnostic> {
    match name {
        "webhook" => {
            let address = |name: &str| {
                let value = options.path(name)?;
                let expected = config::listen(&value.to_string_lossy()).err()?;
                Some(Diagnostic::new(Exit::Usage, format!("--{name}: {expected}")))
            };
            let mut mistaken: Vec<Diagnostic> = ["listen", "metrics"].into_iter().filter_map(address).collect();
            mistaken.extend(log_format(options).err().into_iter().flatten());
            mistaken.extend(log_level(options).err().into_iter().flatten());
            mistaken.extend(sandbox(options).err().into_iter().flatten());
            mistaken
        }
        "certs" => {
            let of_certs = [days(options).err(), label(options, "service").err(), label(options, "namespace").err()];
            of_certs.into_iter().flatten().flatten().collect()
        }
        _ => Vec::new(),
    }
}

fn log_format(options: &Options<'_>) -> Result<LogFormat, Vec<Diagnostic>> {
    match options.text("log-format")?.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(usage("--log-format: expected text or json")),
    }
}

fn log_level(options: &Options<'_>) -> Result<LogLevel, Vec<Diagnostic>> {
    config::log_level(&options.text("log-level")?).map_err(|expected| usage(format!("--log-level: {expected}")))
}

/// The value of `--days`: 1 to 3650.
fn days(options: &Options<'_>) -> Result<u32, Vec<Diagnostic>> {
    match options.text("days")?.parse() {
        Ok(days @ 1..=3650) => Ok(days),
        _ => Err(usage("--days: expected a number of days from 1 to 3650")),
    }
}

/// The value of option `name`, which must be an RFC 1123 label.
fn label(options: &Options<'_>, name: &str) -> Result<String, Vec<Diagnostic>> {
    let text = options.text(name)?;
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = text.len() <= 63
        && text.bytes().all(|b| is_plain(b) || b == b'-')
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().last().is_some_and(is_plain);
    let expected = "expected a name as Kubernetes has it (at most 63 of a-z, 0-9 and -), such as secret-inject";
    if is_label { Ok(text) } else { Err(usage(format!("--{name}: {expected}"))) }
}

/// Reads the manifests named on the command line, or stdin: pairs of name and text.
fn manifests(options: &Options<'_>) -> Result<Vec<(String, String)>, Vec<Diagnostic>> {
    let files: Vec<&OsString> = options.all("file").chain(options.all("files")).collect();
    let mut inputs = Vec::new();
    let mut unread = Vec::new();
    for file in files.iter().filter(|file| **file != "-") {
        match read::text(file.as_ref()) {
            Ok(text) => inputs.push((file.to_string_lossy().into_owned(), text)),
            Err(problem) => unread.extend(problem),
        }
    }
    if !unread.is_empty() {
        return Err(unread);
    }
    if inputs.is_empty() || files.iter().any(|file| *file == "-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| vec![Diagnostic::new(Exit::Data, format!("cannot read stdin: {error}"))])?;
        inputs.push(("stdin".to_owned(), text));
    }
    Ok(inputs)
}

fn data(mistakes: Vec<String>) -> Vec<Diagnostic> {
    mistakes.into_iter().map(|text| Diagnostic::new(Exit::Data, text)).collect()
}

/// The command `migrate`: prints the migrated manifests to stdout and warnings to stderr. Exits 1 if something could
/// not be migrated, or with `--check` if something would change.
fn migrate(options: &Options<'_>) -> Ended {
    let inputs = manifests(options)?;
    let files: Vec<Text<'_>> = inputs.iter().map(|(name, text)| Text { name, text }).collect();
    let injector = match options.path("config") {
        Some(path) => Some(injector_in(&path)?),
        None => None,
    };
    let made = manifest::migrate::migrate(&files, injector.as_ref()).map_err(data)?;
    let is_check = options.is_set("check");
    let warnings = made.warnings.iter().map(|text| format!("warning: {text}"));
    let left = made.left.iter().map(|text| format!("not migrated: {text}"));
    let changed = made.changed.iter().filter(|_| is_check).map(|text| format!("{text}: would be migrated"));
    print_lines(warnings.chain(left).chain(changed));
    if !is_check {
        print(&made.text)?;
    }
    Ok(Exit::App(u8::from(!made.left.is_empty() || (is_check && !made.changed.is_empty()))))
}

/// The command `manifest`: injects into the given manifests and prints them, or with `--check` exits 1 if something would
/// change. Without `--config`, the config is that of a KRM function's `functionConfig`, if the input has one.
fn offline(options: &Options<'_>) -> Ended {
    let inputs = manifests(options)?;
    let injector = match options.path("config") {
        Some(path) => injector_in(&path)?,
        None => match inputs.iter().find_map(|(_, text)| manifest::function_config(text)) {
            Some(text) => injector("functionConfig.spec", &text)?,
            None => Injector::unconfigured(),
        },
    };
    let files: Vec<Text<'_>> = inputs.iter().map(|(name, text)| Text { name, text }).collect();
    let (output, mistakes) = manifest::manifest_or_mistakes(&files, &injector);
    print_lines(output.warnings.iter().map(|text| format!("warning: {text}")));
    if !mistakes.is_empty() {
        return Err(data(mistakes));
    }
    if !options.is_set("check") {
        return print(&output.text);
    }
    print_lines(output.changed.iter().map(|text| format!("{text}: would be injected")));
    Ok(Exit::App(u8::from(!output.changed.is_empty())))
}

/// The command `certs`: issues a CA and a server certificate and writes `ca.crt`, `ca-bundle.yaml`, `tls.key` and
/// `tls.crt` to `--out`. Authorities already in `ca.crt` stay in the bundle.
fn make_certs(options: &Options<'_>) -> Ended {
    let directory = options.required("out");
    let (days, service, namespace) = (days(options)?, label(options, "service")?, label(options, "namespace")?);
    let life = Duration::from_secs(u64::from(days) * 86_400);
    let bug =
        |error: &dyn std::fmt::Display| vec![Diagnostic::new(Exit::Bug, format!("cannot make certificates: {error}"))];
    let issued = certs::issue(&service, &namespace, life, clock::wall()).map_err(|error| bug(&error))?;
    let cannot = |path: &Path, error: io::Error| {
        vec![Diagnostic::new(Exit::Volume, format!("cannot write {}: {error}", path.display()))]
    };
    fs::create_dir_all(&directory).map_err(|error| cannot(&directory, error))?;
    let authorities = directory.join("ca.crt");
    let before = match fs::read(&authorities) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(cannot(&authorities, error)),
    };
    let bundle = certs::bundle(&issued.ca, &String::from_utf8_lossy(&before), clock::wall()).ok_or_else(|| {
        let text = "holds something that is no certificate; an authority in use may be among it, which would be trusted no \
                    more: repair or remove it";
        vec![Diagnostic::new(Exit::Usage, format!("{} {text}", authorities.display()))]
    })?;
    let patch = certs::ca_patch(&bundle);
    // The bundle is written first: if a later write fails, clients still trust the old certificate.
    for (name, text, mode) in [
        ("ca.crt", &bundle, 0o644),
        ("ca-bundle.yaml", &patch, 0o644),
        ("tls.key", &issued.key, 0o600),
        ("tls.crt", &issued.cert, 0o644),
    ] {
        let path = directory.join(name);
        write_whole(&path, text, mode).map_err(|error| cannot(&path, error))?;
    }
    print(&format!(
        "wrote ca.crt, ca-bundle.yaml, tls.key and tls.crt to {}, valid for {days} days\n",
        directory.display()
    ))
}

/// Writes to a temporary file in the same directory and renames it, so that no reader sees half a file, nor one
/// with a wider mode than `mode`.
fn write_whole(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The command `webhook`: hardens and confines the process, and serves until SIGTERM or SIGINT.
fn webhook(options: &Options<'_>) -> Ended {
    let path = options.required("config");
    let tls = tls::Files { cert: options.required("tls-cert"), key: options.required("tls-key") };
    let injector = injector_in(&path);
    let of_tls = [("tls-cert", &tls.cert), ("tls-key", &tls.key)];
    let unread =
        of_tls.into_iter().filter_map(|(name, path)| read::option(name, path, |path| fs::read(path)).err()).flatten();
    let mut problems: Vec<Diagnostic> = unread.collect();
    let injector = injector.map_err(|mistakes| problems.splice(0..0, mistakes).for_each(drop)).ok();
    let (Some(injector), true) = (injector, problems.is_empty()) else { return Err(problems) };
    let webhook = Webhook {
        listen: in_numbers(&options.text("listen")?),
        metrics: options.path("metrics").map(|address| in_numbers(&address.display().to_string())),
        tls,
        injector,
    };
    let format = log_format(options)?;
    start_log(Program::Inject, format, log_level(options)?);
    harden::harden().map_err(|error| vec![Diagnostic::from_error(Exit::Privileges, &error)])?;
    let lines = if format == LogFormat::Json { LineFormat::Json } else { LineFormat::Text };
    confine(sandbox(options)?, &webhook.tls, lines);
    let unavailable = |error: io::Error| vec![Diagnostic::new(Exit::Unavailable, format!("cannot start: {error}"))];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
    runtime.block_on(async {
        let signals = Signals::open().map_err(unavailable)?;
        let watched = Watched::new(&signals).map_err(unavailable)?;
        let stop = async {
            loop {
                while let Ok(Some(received)) = signals.next_received() {
                    if matches!(received.signal, Signal::TERM | Signal::INT) {
                        return;
                    }
                }
                if watched.readable().await.is_err() {
                    return;
                }
            }
        };
        let served = webhook.serve(stop, |address, metrics| {
            tracing::info!("serving on https://{address}");
            if let Some(metrics) = metrics {
                tracing::info!("health and metrics on http://{metrics}");
            }
        });
        served.await.map_err(|error| {
            let exit = match &error {
                crate::k8s::webhook::WebhookError::Tls(_) => Exit::Usage,
                _ => Exit::Unavailable,
            };
            vec![Diagnostic::from_error(exit, &error)]
        })
    })?;
    Ok(Exit::App(0))
}

/// The value of `--sandbox`, else of `SECRET_EXEC_SANDBOX`, else `on`.
fn sandbox(options: &Options<'_>) -> Result<Sandbox, Vec<Diagnostic>> {
    const VARIABLE: &str = "SECRET_EXEC_SANDBOX";
    let variable = environment::snapshot().into_iter().find(|(name, _)| name == VARIABLE.as_bytes());
    let (place, text) = match (options.path("sandbox"), variable) {
        (Some(_), _) => ("--sandbox", options.text("sandbox")?),
        (None, Some((_, value))) => (VARIABLE, String::from_utf8_lossy(&value).into_owned()),
        (None, None) => return Ok(Sandbox::On),
    };
    config::sandbox(&text).map_err(|expected| usage(format!("{place}: {expected}")))
}

/// Prints each text on a line of its own to stderr. Failures to write are ignored.
fn print_lines(texts: impl Iterator<Item = String>) {
    let mut err = io::stderr().lock();
    for text in texts {
        let _ = writeln!(err, "secret-inject: {}", printable(&text));
    }
}
