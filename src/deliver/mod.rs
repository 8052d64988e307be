//! Delivery: files into a directory of ours on memory, one generation at a time, and the app's environment.
//!
//! `place` finds, proves or mounts the directory, `generation` fills one folder of it, `volume` makes that folder the one
//! everybody reads by one rename, `links` leads to it from directories of their own. `claim` tells whether a directory is ours, so that
//! `way` and `remove` may take away what the app put in our way. Nothing is ever written to a place that was not proven to be memory.

pub mod environ;

mod claim;
mod error;
mod fallback;
mod generation;
mod layout;
mod links;
mod place;
mod remove;
mod volume;
mod way;

#[cfg(test)]
mod tests;

pub use error::VolumeError;
pub use fallback::private_fallback;
pub use links::link;
pub use volume::{Moment, Volume, Written, prepare};

use std::fmt;
use std::path::PathBuf;

use crate::domain::{FileMode, FileName, SecretBytes};
use crate::sys::path::{Purpose, Trust};

impl GroupAccess {
    /// The mode of a file that has none of its own.
    pub fn default_mode(self) -> FileMode {
        match self {
            Self::None | Self::Passes => FileMode::OWNER,
            Self::Reads => FileMode::OWNER_AND_GROUP,
        }
    }
}

/// What is written: one file of a generation.
#[derive(Debug)]
pub struct Artifact {
    /// Below the volume.
    pub name: FileName,
    /// What it holds.
    pub bytes: SecretBytes,
    /// Its own mode; without one 0400, with a reading group 0440.
    pub mode: Option<FileMode>,
}

/// Whom everything in the volume belongs to, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The user; `None` keeps the writer's.
    pub uid: Option<u32>,
    /// The group; `None` keeps the writer's.
    pub gid: Option<u32>,
    /// What that group may do.
    pub group: GroupAccess,
}

/// What the files' group may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupAccess {
    /// Nothing: files 0400 in directories 0500.
    #[default]
    None,
    /// Go through the directories (0550), for files whose own mode lets it read.
    Passes,
    /// Read every file (0440) but those with a mode of their own.
    Reads,
}

impl Ownership {
    /// Who may own a directory on the way to the volume.
    fn trust(self) -> Trust {
        Trust { uid: self.uid, gid: self.gid, purpose: Purpose::Volume }
    }

    /// Permission bits of the volume itself: its user writes, its group passes.
    fn volume_mode(self) -> u32 {
        if self.group == GroupAccess::None { 0o700 } else { 0o750 }
    }

    /// Permission bits of a generation and the folders in it: nobody writes.
    fn folder_mode(self) -> u32 {
        if self.group == GroupAccess::None { 0o500 } else { 0o550 }
    }

    /// Permission bits of a file: its own, or what the owner asks for.
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

/// Where the volume is to be and whom it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlan {
    /// Absolute.
    pub path: PathBuf,
    /// Whom the files belong to.
    pub owner: Ownership,
    /// Bytes, of a tmpfs we mount.
    pub size: u64,
}
