//! `install PATH`: copies this program into an image that does not have it, and runs the copy once.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::domain::{Diagnostic, Exit};
use crate::process::supervise::{self, Options};
use crate::sys::image::{Image, Limits};

use super::caller::ProcessContext;

/// Everyone may execute it, nobody may read it. A program that its uid may not read is not dumpable from its `execve`
/// on, so no process of that uid can open its memory before it has hardened itself.
const MODE: u32 = 0o111;

/// The suffix of a readable copy, which the image has beside the unreadable program.
const COPY: &str = ".copy";

/// Copies the running program to `path` (or into the directory `path`) and runs the copy once; returns the line to
/// print.
pub fn install(path: &Path, caller: &ProcessContext) -> Result<String, Vec<Diagnostic>> {
    if path.as_os_str().is_empty() {
        let text = "PATH: is empty; expected where the program goes, such as /usr/local/bin/secret-exec";
        return Err(vec![Diagnostic::new(Exit::Usage, text)]);
    }
    let target = if path.is_dir() { path.join("secret-exec") } else { path.to_owned() };
    let mut from = open().map_err(|text| {
        vec![Diagnostic::new(Exit::Volume, format!("cannot install to {}: {text}", target.display()))]
    })?;
    let cannot = |error: io::Error| {
        let why = match target.parent() {
            Some(folder) if error.kind() == io::ErrorKind::NotFound => {
                format!("there is no directory {}", folder.display())
            }
            _ => error.to_string(),
        };
        vec![Diagnostic::new(Exit::Volume, format!("cannot install to {}: {why}", target.display()))]
    };
    copy(&mut from, &target).map_err(cannot)?;
    run_copy(&target, caller).map_err(|why| {
        let text = format!("installed to {}, but it does not run there: {why}", target.display());
        vec![Diagnostic::new(Exit::NotExecutable, text)]
    })?;
    Ok(format!("installed {}\n", target.display()))
}

/// Opens the running program or, if that may only be executed, the readable copy beside it.
fn open() -> Result<fs::File, String> {
    let denied = match fs::File::open("/proc/self/exe") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => error,
        opened => return opened.map_err(|error| format!("cannot read this program: {error}")),
    };
    let mut beside = fs::read_link("/proc/self/exe").unwrap_or_default().into_os_string();
    beside.push(COPY);
    fs::File::open(&beside).map_err(|error| {
        format!(
            "cannot read this program ({denied}), whose mode 0111 keeps others from looking into it, nor a readable copy of it, \
             {} ({error}): run install as root, or from the image, which has that copy",
            Path::new(&beside).display()
        )
    })
}

/// Copies under a temporary name and renames, so that a running old program is not affected and no process sees half a
/// copy.
fn copy(from: &mut fs::File, target: &Path) -> io::Result<()> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = target.with_file_name(beside);
    let written = write(from, &beside).and_then(|()| fs::rename(&beside, target));
    if written.is_err() {
        // Report the first error.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Writes the copy and sets its mode.
fn write(from: &mut fs::File, beside: &Path) -> io::Result<()> {
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o700).open(beside)?;
    io::copy(from, &mut to)?;
    // Set here, because the umask would change it.
    to.set_permissions(fs::Permissions::from_mode(MODE))
}

/// Runs the copy once. A copy on a file system mounted noexec, or for another architecture, is reported now and not
/// when the app starts.
fn run_copy(target: &Path, caller: &ProcessContext) -> Result<(), String> {
    let arguments = [target.as_os_str(), "version".as_ref()];
    let nothing: &[(&str, &str)] = &[];
    let image = Image::new(target, &arguments, nothing, Limits::now()).map_err(|error| error.to_string())?;
    match supervise::run(&image, &caller.original, Options::default()) {
        Ok(ended) if ended.code() == 0 => Ok(()),
        Ok(ended) => Err(format!("it ended with {}", ended.code())),
        Err(error) => Err(format!("{error} (is the file system mounted noexec?)")),
    }
}
