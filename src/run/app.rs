//! The app: where its program is, and what it is given.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::deliver::environ::{self, AwsCredentials, Home};
use crate::domain::{Diagnostic, EnvName, Exit, SecretBytes};
use crate::process::lookup::{self, LookupError};
use crate::sys::image::{Image, ImageError, Limits};

use super::caller::ProcessContext;
use super::run_as::RunAsPlan;

/// The command after `--`, looked up before the first request to a backend.
#[derive(Debug)]
pub(super) struct App<'a> {
    command: &'a [OsString],
    found: Result<PathBuf, LookupError>,
}

/// What a process that we start is given beside its secrets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) config: &'a Config,
    pub(super) caller: &'a ProcessContext,
    /// `HOME`, `USER` and `LOGNAME`; `None` leaves what was inherited.
    pub(super) home: Option<&'a Home>,
    /// Where the files are.
    pub(super) directory: Option<&'a Path>,
}

impl<'a> App<'a> {
    /// Looks it up in the app's PATH, with the app's user and groups.
    pub(super) fn find(command: &'a [OsString], run_as: Option<&RunAsPlan>, caller: &ProcessContext) -> Self {
        let path = caller.variable("PATH");
        Self { command, found: lookup::find(&command[0], path, run_as.map(|run_as| &run_as.drop)) }
    }

    /// Why it cannot be started, as far as one can know before.
    pub(super) fn problems(&self) -> Vec<Diagnostic> {
        match &self.found {
            Ok(_) => Vec::new(),
            Err(error) => {
                let exit = if error.code() == 127 { Exit::NotFound } else { Exit::NotExecutable };
                vec![Diagnostic::new(exit, error.to_string())]
            }
        }
    }

    /// As it was typed.
    pub(super) fn shown(&self) -> String {
        self.command[0].to_string_lossy().into_owned()
    }

    /// Program, arguments and environment, ready for `execve`.
    pub(super) fn image(
        &self,
        variables: Vec<(EnvName, SecretBytes)>,
        place: &Place<'_>,
    ) -> Result<Image, Vec<Diagnostic>> {
        let path = self.found.as_ref().expect("its problems were told before");
        let own_pid = if place.config.supervise { own_pid(&variables, place.caller) } else { Vec::new() };
        image(path, self.command, variables, &own_pid, place).map_err(|problem| vec![problem])
    }
}

/// A command of `onChange`: as the app's identity, in its environment without the secrets.
pub(super) fn hook(command: &[String], place: &Place<'_>) -> Result<Image, String> {
    let command: Vec<OsString> = command.iter().map(OsString::from).collect();
    let path = lookup::find(&command[0], place.caller.variable("PATH"), None).map_err(|error| error.to_string())?;
    image(&path, &command, Vec::new(), &[], place).map_err(|problem| problem.text)
}

/// The variables with which systemd names the process that its sockets (sd_listen_fds(3)) and its watchdog
/// (sd_watchdog_enabled(3)) are meant for: when that is us, it shall be the app.
fn own_pid(set: &[(EnvName, SecretBytes)], caller: &ProcessContext) -> Vec<&'static [u8]> {
    let own_pid = std::process::id().to_string();
    let is_own_name = |name: &&str| {
        caller.variable(name) == Some(own_pid.as_bytes()) && set.iter().all(|(other, _)| other.as_str() != *name)
    };
    ["LISTEN_PID", "WATCHDOG_PID"].into_iter().filter(is_own_name).map(str::as_bytes).collect()
}

fn image(
    path: &Path,
    command: &[OsString],
    set: Vec<(EnvName, SecretBytes)>,
    own_pid: &[&[u8]],
    place: &Place<'_>,
) -> Result<Image, Diagnostic> {
    let environment = environ::plan(environ::Sources {
        inherited: &place.caller.environment,
        pass_env: &place.config.pass_env,
        aws: if place.config.scrub_aws { AwsCredentials::Scrub } else { AwsCredentials::Keep },
        home: place.home,
        set,
        dir: place.directory,
    })
    .map_err(|error| Diagnostic::new(error.exit(), error.to_string()))?;
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_slice(), value.expose())).collect();
    Image::for_child(path, command, &environment, own_pid, Limits::now()).map_err(|error| refused(&error))
}

/// Values the kernel does not take are data; a command line it does not take is usage.
fn refused(error: &ImageError) -> Diagnostic {
    let exit = match error {
        ImageError::ArgumentWithNul(_) | ImageError::ArgumentTooLong { .. } | ImageError::Name(_) => Exit::Usage,
        ImageError::ValueWithNul(_) | ImageError::VariableTooLong { .. } | ImageError::TooLarge { .. } => Exit::Data,
    };
    Diagnostic::new(exit, error.to_string())
}
