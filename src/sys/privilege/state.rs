//! What this process is now, and whom it can become.

use std::path::PathBuf;

use nix::unistd::{self, Gid, Uid};

use super::super::capabilities::{self, Sets};
use super::super::idmap::{self, IdMap};
use super::error::{PrivilegeError, Step};

/// Nobody's id: the kernel reads it as "leave this one".
pub(super) const LEAVE: u32 = u32::MAX;

/// `NGROUPS_MAX`.
pub(super) const MOST_GROUPS: usize = 65_536;

pub(super) fn read_ids() -> Result<([u32; 3], [u32; 3]), nix::Error> {
    let (uid, gid) = (unistd::getresuid()?, unistd::getresgid()?);
    Ok(([uid.real, uid.effective, uid.saved].map(Uid::as_raw), [gid.real, gid.effective, gid.saved].map(Gid::as_raw)))
}

/// The identity to take; resolved (see `accounts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Groups,
    /// Its name, when `/etc/passwd` has one: for USER and LOGNAME.
    pub name: Option<String>,
    /// Its home, when `/etc/passwd` has one: for HOME.
    pub home: Option<PathBuf>,
}

/// Which supplementary groups are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These and no others: what `/etc/group` says of the user.
    ///
    /// Groups that cannot be changed stay, with an identity that we already have or in a user namespace that denies
    /// setgroups(2): see [`super::Plan::kept_groups`].
    Exactly(Vec<u32>),
    /// None but the primary one (`UID:GID`); groups that cannot be changed stay as above.
    PrimaryOnly,
    /// Those we have.
    Unchanged,
}

/// What this process is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Real, effective, saved.
    pub(super) uids: [u32; 3],
    pub(super) gids: [u32; 3],
    pub(super) groups: Vec<u32>,
    pub(super) capabilities: Sets,
    pub(super) namespace: Namespace,
}

/// What the user namespace allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Namespace {
    pub(super) uids: IdMap,
    pub(super) gids: IdMap,
    pub(super) may_set_groups: bool,
}

impl State {
    /// Asks the kernel.
    pub fn read() -> Result<Self, PrivilegeError> {
        let failed = |step| move |source| PrivilegeError::Failed { step, source };
        let (uids, gids) = read_ids().map_err(failed(Step::ReadUids))?;
        let groups = unistd::getgroups().map_err(failed(Step::ReadGroups))?.into_iter().map(Gid::as_raw).collect();
        let capabilities = capabilities::read().map_err(failed(Step::ReadCapabilities))?;
        let namespace = Namespace {
            uids: IdMap::read("/proc/self/uid_map"),
            gids: IdMap::read("/proc/self/gid_map"),
            may_set_groups: idmap::may_set_groups(),
        };
        Ok(Self { uids, gids, groups, capabilities, namespace })
    }

    /// The effective user.
    pub fn uid(&self) -> u32 {
        self.uids[1]
    }

    /// The effective group.
    pub fn gid(&self) -> u32 {
        self.gids[1]
    }

    /// The supplementary groups.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }
}
