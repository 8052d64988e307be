//! The app: finding its program, and building what `execve` needs to start it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::deliver::environ::{self, AwsCredentials, Home};
use crate::domain::{Diagnostic, EnvName, Exit, SecretBytes};
use crate::process::lookup::{self, LookupError};
use crate::sys::image::{Image, ImageError, Limits};

use super::caller::ProcessContext;
use super::run_as::RunAsPlan;

/// The command after `--`, whose program was looked up before the first request to a backend.
#[derive(Debug)]
pub(super) struct App<'a> {
    command: &'a [OsString],
    found: Result<PathBuf, LookupError>,
}

/// What a child process (the app or a hook) is started with, besides its secrets.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChildContext<'a> {
    pub(super) config: &'a Config,
    pub(super) caller: &'a ProcessContext,
    /// `HOME`, `USER` and `LOGNAME`; `None` keeps the inherited ones.
    pub(super) home: Option<&'a Home>,
    /// The directory of the delivered files.
    pub(super) directory: Option<&'a Path>,
}

impl<'a> App<'a> {
    /// Looks the program up in the app's `PATH`, with the permissions of the app's user and groups.
    pub(super) fn find(command: &'a [OsString], run_as: Option<&RunAsPlan>, caller: &ProcessContext) -> Self {
        let path = caller.variable("PATH");
        Self { command, found: lookup::find(&command[0], path, run_as.map(|run_as| &run_as.drop)) }
    }

    /// Why the program cannot be started, as far as the lookup shows.
    pub(super) fn problems(&self) -> Vec<Diagnostic> {
        match &self.found {
            Ok(_) => Vec::new(),
            Err(error) => {
                let exit = if error.code() == 127 { Exit::NotFound } else { Exit::NotExecutable };
                vec![Diagnostic::new(exit, error.to_string())]
            }
        }
    }

    /// The command's name, as typed.
    pub(super) fn shown(&self) -> String {
        self.command[0].to_string_lossy().into_owned()
    }

    /// Program, arguments and environment, ready for `execve`. `variables` are the app's secrets and settings.
    pub(super) fn image(
        &self,
        variables: Vec<(EnvName, SecretBytes)>,
        place: &ChildContext<'_>,
    ) -> Result<Image, Vec<Diagnostic>> {
        let path = self.found.as_ref().expect("its problems were told before");
        let own_pid = if place.config.app.supervise { own_pid(&variables, place.caller) } else { Vec::new() };
        image(path, self.command, variables, &own_pid, place).map_err(|problem| vec![problem])
    }
}

/// The image of an `onChange` command: run as the app's user, in its environment without the secrets.
pub(super) fn hook(command: &[String], place: &ChildContext<'_>) -> Result<Image, String> {
    let command: Vec<OsString> = command.iter().map(OsString::from).collect();
    let path = lookup::find(&command[0], place.caller.variable("PATH"), None).map_err(|error| error.to_string())?;
    image(&path, &command, Vec::new(), &[], place).map_err(|problem| problem.text)
}

/// The inherited variables with which systemd names the process that its sockets (sd_listen_fds(3)) and its watchdog
/// (sd_watchdog_enabled(3)) are meant for, if they name this process: they are set to the app's process ID.
fn own_pid(set: &[(EnvName, SecretBytes)], caller: &ProcessContext) -> Vec<&'static [u8]> {
    let own_pid = std::process::id().to_string();
    let is_own_name = |name: &&str| {
        caller.variable(name) == Some(own_pid.as_bytes()) && set.iter().all(|(other, _)| other.as_str() != *name)
    };
    ["LISTEN_PID", "WATCHDOG_PID"].into_iter().filter(is_own_name).map(str::as_bytes).collect()
}

/// Builds the environment and the image of a child process. The variables in `own_pid` are set to the child's process
/// ID.
fn image(
    path: &Path,
    command: &[OsString],
    set: Vec<(EnvName, SecretBytes)>,
    own_pid: &[&[u8]],
    place: &ChildContext<'_>,
) -> Result<Image, Diagnostic> {
    let environment = environ::plan(environ::Sources {
        inherited: &place.caller.environment,
        pass_env: &place.config.app.pass_env,
        aws: if place.config.app.scrub_aws { AwsCredentials::Scrub } else { AwsCredentials::Keep },
        home: place.home,
        set,
        dir: place.directory,
    })
    .map_err(|error| Diagnostic::new(error.exit(), error.to_string()))?;
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_slice(), value.expose())).collect();
    Image::for_child(path, command, &environment, own_pid, Limits::now()).map_err(|error| refused(&error))
}

/// The problem of an image that the kernel would not accept: its values are data (65), its command line is usage (64).
fn refused(error: &ImageError) -> Diagnostic {
    let exit = match error {
        ImageError::ArgumentWithNul(_) | ImageError::ArgumentTooLong { .. } | ImageError::Name(_) => Exit::Usage,
        ImageError::ValueWithNul(_) | ImageError::VariableTooLong { .. } | ImageError::TooLarge { .. } => Exit::Data,
    };
    Diagnostic::new(exit, error.to_string())
}
