//! The present identity of this process, and the identity it should take.

use std::path::PathBuf;

use nix::unistd::{self, Gid, Uid};

use super::super::capabilities::{self, Sets};
use super::super::idmap::{self, IdMap};
use super::error::{PrivilegeError, Step};

/// Not a valid id: setresuid(2) and setresgid(2) leave that id unchanged.
pub(super) const LEAVE: u32 = u32::MAX;

/// `NGROUPS_MAX`.
pub(super) const MOST_GROUPS: usize = 65_536;

/// Real, effective and saved user, and the same of the group.
pub(super) fn read_ids() -> Result<([u32; 3], [u32; 3]), nix::Error> {
    let (uid, gid) = (unistd::getresuid()?, unistd::getresgid()?);
    Ok(([uid.real, uid.effective, uid.saved].map(Uid::as_raw), [gid.real, gid.effective, gid.saved].map(Gid::as_raw)))
}

/// The identity to take, resolved (see `accounts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The uid.
    pub uid: u32,
    /// The primary gid.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Groups,
    /// The name in `/etc/passwd`, if it is there: for USER and LOGNAME.
    pub name: Option<String>,
    /// The home in `/etc/passwd`, if it is there: for HOME.
    pub home: Option<PathBuf>,
}

/// Which supplementary groups to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// Exactly these: the groups of the user in `/etc/group`.
    ///
    /// Groups that cannot be changed stay, if the identity is the present one or the user namespace denies
    /// setgroups(2): see [`super::Plan::kept_groups`].
    Exactly(Vec<u32>),
    /// None (`UID:GID`); groups that cannot be changed stay as above.
    PrimaryOnly,
    /// The present ones.
    Unchanged,
}

/// The present identity and capabilities of this process.
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
    /// Reads the state from the kernel.
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
