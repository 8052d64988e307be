//! Reads the files of the command line. A file that cannot be read is a usage problem.

use std::fs;
use std::io;
use std::path::Path;

use crate::domain::{Diagnostic, Exit};

/// Reads a text file; a failure is a usage problem.
pub(super) fn text(path: &Path) -> Result<String, Vec<Diagnostic>> {
    fs::read_to_string(path).map_err(|error| vec![Diagnostic::new(Exit::Usage, cannot_read(path, &error))])
}

/// Reads the file that an option names with `reader`; a failure is a usage problem that names the option.
pub(super) fn option<T>(
    name: &str,
    path: &Path,
    reader: impl Fn(&Path) -> io::Result<T>,
) -> Result<T, Vec<Diagnostic>> {
    let usage = |error| Diagnostic::new(Exit::Usage, format!("--{name}: {}", cannot_read(path, &error)));
    reader(path).map_err(|error| vec![usage(error)])
}

/// Why a file cannot be read, in the words of `secret-exec`.
fn cannot_read(path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory; name a file in it".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot read {}: {why}", path.display())
}
