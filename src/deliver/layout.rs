//! The names inside a volume, and which of them this program makes, so that a directory in use for anything else is
//! never taken over.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::sys::fs::{self, Folder, Kind};

/// The link to the visible generation.
pub(super) const DATA: &str = "..data";
/// The temporary name of that link.
pub(super) const DATA_TMP: &str = "..data_tmp";
/// The file that a process locks which keeps the files fresh. It is empty, and stays.
pub(super) const LOCK: &str = "..lock";
/// The prefix of the temporary name of a stable link.
const NEW: &str = "..new_";

/// The target of the stable link `name`.
pub(super) fn stable(name: &OsStr) -> OsString {
    Path::new(DATA).join(name).into_os_string()
}

/// The temporary name of the stable link with this index.
pub(super) fn new_name(place: usize) -> OsString {
    format!("{NEW}{place}").into()
}

/// Whether a name is one that [`new_name`] returns.
pub(super) fn is_new_name(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(NEW.as_bytes())
}

/// Whether a name has the format of a generation: `..2026_11_21_23_13_46.123456789`.
pub(super) fn is_generation(name: &OsStr) -> bool {
    const SHAPE: &str = "..0000_00_00_00_00_00.";
    let name = name.as_encoded_bytes();
    let is_like = |shape: u8, byte: u8| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    let Some((head, tail)) = name.split_at_checked(SHAPE.len()) else { return false };
    SHAPE.bytes().zip(head).all(|(shape, byte)| is_like(shape, *byte))
        && !tail.is_empty()
        && tail.iter().all(u8::is_ascii_digit)
}

/// Returns a name in `volume` that this program cannot have made; `None` if there is none.
///
/// The kubelet's mounts have the same names, but its generations have mode 0755; those of this program are never open
/// to everyone.
pub(super) fn foreign_name(volume: &Folder) -> fs::Result<Option<OsString>> {
    for name in volume.names()? {
        if !is_own_name(volume, &name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether this program may have made the entry `name`, by its kind, mode and target.
fn is_own_name(volume: &Folder, name: &OsStr) -> fs::Result<bool> {
    let Some(found) = volume.find(name)? else { return Ok(true) };
    Ok(match found.kind {
        Kind::Folder => is_generation(name) && matches!(found.mode, 0o500 | 0o550 | 0o700),
        Kind::Link => {
            let target = volume.target(name)?;
            let is_data = (name == DATA || name == DATA_TMP) && is_generation(&target);
            let is_waiting = is_new_name(name) && Path::new(&target).starts_with(DATA);
            is_data || is_waiting || target == stable(name)
        }
        Kind::File => name == LOCK && found.size == 0 && found.mode == 0o600,
        Kind::Other => false,
    })
}
