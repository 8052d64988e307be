//! The plan of a drop: what to do, and what must be true afterwards. Pure.

use super::super::capabilities::Capability;
use super::error::{Obstacle, PrivilegeError};
use super::state::{Groups, Identity, MOST_GROUPS, State};

/// What to do, and what must be true afterwards. With any identity: no capability, no new privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The supplementary groups afterwards, sorted.
    pub(super) groups: Vec<u32>,
    pub(super) set_groups: bool,
    /// Groups that the target does not include and that stay because they cannot be dropped.
    pub(super) kept: Vec<u32>,
    pub(super) set_gid: bool,
    pub(super) set_uid: bool,
    /// Without CAP_SETPCAP the bounding set stays; no-new-privs makes it useless.
    pub(super) clear_bounding: bool,
}

impl Plan {
    /// The user afterwards.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The group afterwards.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The supplementary groups afterwards.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Supplementary groups that the target does not include and that stay because they cannot be dropped.
    pub fn kept_groups(&self) -> &[u32] {
        &self.kept
    }

    /// Whether access to files may be different afterwards: another identity, or root without its capabilities.
    pub fn changes_access(&self) -> bool {
        self.set_uid || self.set_gid || self.set_groups || self.clear_bounding || self.uid == 0
    }
}

/// Plans the drop from `state` to `target`; without a target the identity stays. Fails if a needed capability is
/// missing or an id is not mapped. A process that has the identity already needs no capability.
pub fn plan(target: Option<&Identity>, state: &State) -> Result<Plan, PrivilegeError> {
    let has = |capability| state.capabilities.has(capability);
    let (uid, gid) = target.map_or((state.uid(), state.gid()), |target| (target.uid, target.gid));
    let missing =
        |what, from: String, to: String, capability| Err(PrivilegeError::Missing { what, from, to, capability });
    if !state.uids.contains(&uid) && !has(Capability::Setuid) {
        return missing("the user", state.uid().to_string(), uid.to_string(), "CAP_SETUID");
    }
    if !state.gids.contains(&gid) && !has(Capability::Setgid) {
        return missing("the group", state.gid().to_string(), gid.to_string(), "CAP_SETGID");
    }
    let namespace = &state.namespace;
    if !state.uids.contains(&uid) && !namespace.uids.contains(uid) {
        return Err(PrivilegeError::Unmapped { what: "the user", id: uid });
    }
    if !state.gids.contains(&gid) && !namespace.gids.contains(gid) {
        return Err(PrivilegeError::Unmapped { what: "the group", id: gid });
    }
    let after = plan_groups(target, state, uid, gid)?;
    Ok(Plan {
        uid,
        gid,
        groups: after.groups,
        set_groups: after.is_change,
        kept: after.kept,
        set_gid: state.gids != [gid; 3],
        set_uid: state.uids != [uid; 3],
        clear_bounding: has(Capability::Setpcap),
    })
}

/// The supplementary groups of a plan.
struct GroupPlan {
    /// The supplementary groups afterwards, sorted.
    groups: Vec<u32>,
    /// Groups that the target does not include and that stay because they cannot be dropped.
    kept: Vec<u32>,
    is_change: bool,
}

/// Plans the supplementary groups. Without permission to change them the present ones stay, but root's group is
/// refused.
fn plan_groups(target: Option<&Identity>, state: &State, uid: u32, gid: u32) -> Result<GroupPlan, PrivilegeError> {
    let has_setgid = state.capabilities.has(Capability::Setgid);
    let namespace = &state.namespace;
    let is_unchanged = state.uids == [uid; 3] && state.gids == [gid; 3];
    let current = sorted(state.groups.clone());
    let wanted = match target.map_or(&Groups::Unchanged, |target| &target.groups) {
        Groups::Unchanged => current.clone(),
        Groups::PrimaryOnly => Vec::new(),
        Groups::Exactly(groups) => sorted(groups.iter().copied().chain([gid]).collect()),
    };
    let obstacle = match (namespace.may_set_groups, has_setgid) {
        (false, _) => Some(Obstacle::Namespace),
        (true, false) if is_unchanged => Some(Obstacle::Capability),
        (true, _) => None,
    };
    let (wanted, kept) = match obstacle {
        None => (wanted, Vec::new()),
        Some(obstacle) => {
            let is_extra = |group: &u32| *group != gid && !wanted.contains(group);
            let kept: Vec<u32> = current.iter().copied().filter(is_extra).collect();
            if kept.contains(&0) {
                return Err(PrivilegeError::RootGroup { obstacle });
            }
            (current.clone(), kept)
        }
    };
    if wanted.len() > MOST_GROUPS {
        return Err(PrivilegeError::TooManyGroups(wanted.len()));
    }
    // It makes no difference whether the primary group is also among the supplementary ones.
    let others = |groups: &[u32]| groups.iter().copied().filter(|group| *group != gid).collect::<Vec<_>>();
    let is_change = others(&wanted) != others(&current);
    if is_change && !has_setgid {
        let what = "the supplementary groups";
        let (from, to) = (list(&current), list(&wanted));
        return Err(PrivilegeError::Missing { what, from, to, capability: "CAP_SETGID" });
    }
    if let Some(id) = wanted.iter().find(|group| is_change && !namespace.gids.contains(**group)) {
        return Err(PrivilegeError::Unmapped { what: "a supplementary group", id: *id });
    }
    Ok(GroupPlan { groups: if is_change { wanted } else { current }, kept, is_change })
}

/// Sorted and without duplicates.
pub(super) fn sorted(mut groups: Vec<u32>) -> Vec<u32> {
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The groups for a message.
pub(super) fn list(groups: &[u32]) -> String {
    if groups.is_empty() {
        return "none".to_owned();
    }
    groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
