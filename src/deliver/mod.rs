//! Delivery: writes files into a directory on memory, one generation at a time, and builds the app's environment.
//!
//! `place` finds or mounts the directory and verifies it, `generation` fills one folder of it, `volume` makes that
//! folder visible to readers by one rename, `lock` keeps other writers out, `links` makes directories of links to it.
//! `claim` decides whether a directory is ours, so that `way` and `remove` may remove what the app put there. Nothing is
//! ever written to a directory that was not verified to be on memory.

pub mod environ;

mod claim;
mod error;
mod fallback;
mod generation;
mod layout;
mod links;
mod lock;
mod place;
mod remove;
mod volume;
mod way;

#[cfg(test)]
mod tests;

pub use error::VolumeError;
pub use fallback::private_fallback;
pub use links::link;
pub use lock::Writer;
pub use volume::{Moment, Volume, Written, prepare};

use std::fmt;
use std::path::PathBuf;

use crate::domain::{FileMode, FileName, SecretBytes};
use crate::sys::path::{Purpose, Trust};

impl GroupAccess {
    /// The mode of a file without a configured one.
    pub fn default_mode(self) -> FileMode {
        match self {
            Self::None | Self::Passes => FileMode::OWNER,
            Self::Reads => FileMode::OWNER_AND_GROUP,
        }
    }
}

/// One file of a generation.
#[derive(Debug)]
pub struct Artifact {
    /// The path below the volume.
    pub name: FileName,
    /// The content.
    pub bytes: SecretBytes,
    /// The configured mode; `None` for 0400, or 0440 with a reading group.
    pub mode: Option<FileMode>,
}

/// The owner of everything in the volume, as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The user; `None` for the writer's.
    pub uid: Option<u32>,
    /// The group; `None` for the writer's.
    pub gid: Option<u32>,
    /// What the group may do.
    pub group: GroupAccess,
}

/// What the files' group may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupAccess {
    /// Nothing: files have mode 0400, directories 0500.
    #[default]
    None,
    /// Enter the directories (0550), for files whose configured mode lets the group read.
    Passes,
    /// Read every file (0440) without a configured mode.
    Reads,
}

impl Ownership {
    /// The users who may own a directory on the path to the volume.
    fn trust(self) -> Trust {
        Trust { uid: self.uid, gid: self.gid, purpose: Purpose::Volume }
    }

    /// The mode of the volume itself: its user writes, its group enters.
    fn volume_mode(self) -> u32 {
        if self.group == GroupAccess::None { 0o700 } else { 0o750 }
    }

    /// The mode of a generation and its folders: not writable for any user.
    fn folder_mode(self) -> u32 {
        if self.group == GroupAccess::None { 0o500 } else { 0o550 }
    }

    /// The mode of a file: its configured one, or the default for this owner.
    fn file_mode(self, own: Option<FileMode>) -> u32 {
        own.unwrap_or(self.group.default_mode()).bits()
    }
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(uid) = self.uid {
            write!(f, "{uid}")?;
        }
        self.gid.map_or(Ok(()), |gid| write!(f, ":{gid}"))
    }
}

/// The path of the volume, and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlan {
    /// Absolute path.
    pub path: PathBuf,
    /// The owner of the files.
    pub owner: Ownership,
    /// The size in bytes of a tmpfs that we mount.
    pub size: u64,
    /// How long we write to it.
    pub writer: Writer,
}
