//! Becoming less: identity and capabilities planned (pure), dropped in one order, and proven dropped.
//!
//! The order is that of capabilities(7) and setresuid(2): what a step needs is given up only after it. The proof that
//! nothing can be regained comes after the capabilities are gone: a start with ambient CAP_SETUID, or with the
//! NO_SETUID_FIXUP bit, would still become root before.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use nix::sys::prctl;
use nix::unistd::{self, Gid, Uid};

use super::capabilities::{self, Capability, Sets};
use super::idmap::{self, IdMap};

/// Nobody's id: the kernel reads it as "leave this one".
const LEAVE: u32 = u32::MAX;
/// keyctl(2).
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
/// `NGROUPS_MAX`.
const MOST_GROUPS: usize = 65_536;

/// Whom to become; resolved (see `accounts`).
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

/// Which supplementary groups were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These and no others: what `/etc/group` says of the user.
    ///
    /// Groups that cannot be changed stay, with an identity that we already have or in a user namespace that denies
    /// setgroups(2): see [`Plan::kept_groups`].
    Exactly(Vec<u32>),
    /// None but the primary one (`UID:GID`); groups that cannot be changed stay as above.
    PrimaryOnly,
    /// Those we have.
    Ours,
}

/// What this process is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Real, effective, saved.
    uids: [u32; 3],
    gids: [u32; 3],
    groups: Vec<u32>,
    capabilities: Sets,
    namespace: Namespace,
}

/// What the user namespace allows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Namespace {
    uids: IdMap,
    gids: IdMap,
    may_set_groups: bool,
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

/// What will be done, and what has to be true afterwards. Whatever the identity: no capability, no new privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    uid: u32,
    gid: u32,
    /// Afterwards, sorted.
    groups: Vec<u32>,
    set_groups: bool,
    /// Groups the target does not list, which stay because they cannot be dropped.
    kept: Vec<u32>,
    set_gid: bool,
    set_uid: bool,
    /// Without CAP_SETPCAP the bounding set stays; no-new-privs makes it unreachable.
    clear_bounding: bool,
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

    /// Supplementary groups that the target does not list and that stay, because they cannot be dropped.
    pub fn kept_groups(&self) -> &[u32] {
        &self.kept
    }

    /// Whether files and folders may answer otherwise afterwards: another identity, or root without its capabilities.
    pub fn changes_access(&self) -> bool {
        self.set_uid || self.set_gid || self.set_groups || self.clear_bounding || self.uid == 0
    }
}

/// Why supplementary groups cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// CAP_SETGID is missing.
    Capability,
    /// `/proc/self/setgroups` is `deny`.
    Namespace,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capability => "CAP_SETGID is missing",
            Self::Namespace => "this user namespace does not allow setgroups",
        })
    }
}

/// Why privileges are not dropped, or not provably.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivilegeError {
    /// Another identity was asked for than we may take.
    #[error("cannot change {what} from {from} to {to}: {capability} is missing")]
    Missing {
        /// `the user`, `the group` or `the supplementary groups`.
        what: &'static str,
        /// What we are.
        from: String,
        /// What was asked for.
        to: String,
        /// What we would need.
        capability: &'static str,
    },
    /// An id that nobody can have in this user namespace.
    #[error(
        "cannot change {what} to {id}, which this user namespace does not have (a rootless container has those of \
         /etc/subuid and /etc/subgid)"
    )]
    Unmapped {
        /// `the user`, `the group` or `a supplementary group`.
        what: &'static str,
        /// The id.
        id: u32,
    },
    /// Root's group would stay with an identity that does not list it.
    #[error(
        "cannot drop the supplementary group 0, which is root's: {obstacle}; start without it (supplementalGroups, \
         --group-add), start as root, or leave runAs out, which keeps every group"
    )]
    RootGroup {
        /// Why no group can be dropped.
        obstacle: Obstacle,
    },
    /// More groups than a process can have.
    #[error("a process cannot have {0} groups")]
    TooManyGroups(usize),
    /// Capabilities belong to a thread: others would keep theirs.
    #[error("cannot drop privileges while there are other threads")]
    NotAlone,
    /// Nothing tells how many threads there are.
    #[error("cannot tell whether this is the only thread: /proc is not mounted")]
    Uncounted(#[source] nix::Error),
    /// A system call failed.
    #[error("cannot {step}")]
    Failed {
        /// Which.
        step: Step,
        /// Why.
        source: nix::Error,
    },
    /// Afterwards it was not as it has to be.
    #[error("the drop of privileges is not proven: could not {step}")]
    Unproven {
        /// What was not so.
        step: Step,
    },
}

impl PrivilegeError {
    pub(super) fn from_step(step: Step, fault: Fault) -> Self {
        match fault {
            Fault::Wrong => Self::Unproven { step },
            Fault::Errno(source) => Self::Failed { step, source },
        }
    }
}

macro_rules! steps {
    ($($step:ident $text:literal,)*) => {
        /// One step of the drop or of its proof; reads behind "cannot".
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $(#[doc = $text] $step,)*
        }

        impl Step {
            pub(super) const ALL: [Self; [$(Self::$step),*].len()] = [$(Self::$step),*];
        }

        impl fmt::Display for Step {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$step => $text,)* })
            }
        }
    };
}

steps! {
    ClearBounding "empty the bounding set",
    ClearAmbient "empty the ambient capabilities",
    SetGroups "set the supplementary groups",
    SetGid "set the group",
    SetUid "set the user",
    ClearCapabilities "empty the capabilities",
    NoNewPrivs "forbid new privileges",
    NotDumpable "become not dumpable",
    ReadUids "read the user back as planned",
    ReadGids "read the group back as planned",
    ReadGroups "read the supplementary groups back as planned",
    ReadCapabilities "read the capabilities back as empty",
    ReadAmbient "read the ambient capabilities back as empty",
    ReadBounding "read the bounding set back as empty",
    ReadNoNewPrivs "read no-new-privs back as set",
    ReadDumpable "read back that we are not dumpable",
    RegainUid "be refused another user",
    RegainGid "be refused another group",
    RegainGroups "be refused other supplementary groups",
    ReadStatus "find the same in /proc/self/status",
}

/// What went wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not as it has to be.
    Wrong,
    /// The call failed.
    Errno(nix::Error),
}

impl From<nix::Error> for Fault {
    fn from(errno: nix::Error) -> Self {
        Self::Errno(errno)
    }
}

/// Plans the drop from `state` to `target`; without a target the identity stays. Being it already is a success.
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
    let is_ours = state.uids == [uid; 3] && state.gids == [gid; 3];
    let current = sorted(state.groups.clone());
    let wanted = match target.map_or(&Groups::Ours, |target| &target.groups) {
        Groups::Ours => current.clone(),
        Groups::PrimaryOnly => Vec::new(),
        Groups::Exactly(groups) => sorted(groups.iter().copied().chain([gid]).collect()),
    };
    let obstacle = match (namespace.may_set_groups, has(Capability::Setgid)) {
        (false, _) => Some(Obstacle::Namespace),
        (true, false) if is_ours => Some(Obstacle::Capability),
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
    // Whether the primary group stands among the others as well changes nothing.
    let others = |groups: &[u32]| groups.iter().copied().filter(|group| *group != gid).collect::<Vec<_>>();
    let set_groups = others(&wanted) != others(&current);
    if set_groups && !has(Capability::Setgid) {
        return missing("the supplementary groups", list(&current), list(&wanted), "CAP_SETGID");
    }
    if let Some(id) = wanted.iter().find(|group| set_groups && !namespace.gids.contains(**group)) {
        return Err(PrivilegeError::Unmapped { what: "a supplementary group", id: *id });
    }
    Ok(Plan {
        uid,
        gid,
        groups: if set_groups { wanted } else { current },
        set_groups,
        kept,
        set_gid: state.gids != [gid; 3],
        set_uid: state.uids != [uid; 3],
        clear_bounding: has(Capability::Setpcap),
    })
}

fn sorted(mut groups: Vec<u32>) -> Vec<u32> {
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn list(groups: &[u32]) -> String {
    if groups.is_empty() {
        return "none".to_owned();
    }
    groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Proves that this is the only thread; ids are set for all threads, capabilities and no-new-privs for one.
///
/// The kernel wakes whoever joins a thread before it takes the thread off its lists (`mm_release` comes before
/// `release_task`), so one that was joined may be counted for a moment more, on a busy node for a long one.
pub fn alone() -> Result<(), PrivilegeError> {
    const PAUSE: Duration = Duration::from_millis(5);
    alone_after(capabilities::is_alone, || std::thread::sleep(PAUSE))
}

/// How often the threads are counted: for 200 ms.
const COUNTS: u32 = 41;

fn alone_after(mut is_alone: impl FnMut() -> io::Result<bool>, pause: impl Fn()) -> Result<(), PrivilegeError> {
    for count in 0..COUNTS {
        if count > 0 {
            pause();
        }
        match is_alone() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                let errno = nix::Error::from_raw(error.raw_os_error().unwrap_or_default());
                return Err(PrivilegeError::Uncounted(errno));
            }
        }
    }
    Err(PrivilegeError::NotAlone)
}

/// Drops, for good. After an error this process is something in between and must end.
pub fn apply(plan: &Plan) -> Result<(), PrivilegeError> {
    alone()?;
    drop_all(plan).map_err(|(step, fault)| PrivilegeError::from_step(step, fault))
}

/// Proves that what was planned is so and that nothing can be regained: by asking the kernel, by trying, and by reading
/// /proc where it is mounted.
pub fn verify(plan: &Plan) -> Result<(), PrivilegeError> {
    let by_kernel = read_back(plan).and_then(|()| try_to_regain(plan));
    by_kernel.map_err(|(step, fault)| PrivilegeError::from_step(step, fault))?;
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) if !is_confirmed(&status, plan) => Err(PrivilegeError::Unproven { step: Step::ReadStatus }),
        _ => Ok(()),
    }
}

/// Both for a forked child, which has one thread: system calls only, nothing that allocates or locks.
pub(super) fn drop_in_child(plan: &Plan) -> Result<(), (Step, Fault)> {
    drop_all(plan)?;
    read_back(plan)?;
    try_to_regain(plan)
}

fn drop_all(plan: &Plan) -> Result<(), (Step, Fault)> {
    let step = |step: Step, result: Result<(), nix::Error>| result.map_err(|errno| (step, errno.into()));
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    // 1. While we have CAP_SETPCAP.
    if plan.clear_bounding {
        step(Step::ClearBounding, capabilities::clear_bounding())?;
    }
    // 2. Ambient ones would come back with the next execve.
    step(Step::ClearAmbient, capabilities::clear_ambient())?;
    // 3.–4. Groups while we have CAP_SETGID, and while we are root.
    if plan.set_groups {
        step(Step::SetGroups, set_groups(&plan.groups))?;
    }
    if plan.set_gid {
        step(Step::SetGid, unistd::setresgid(gid, gid, gid))?;
    }
    // 5. Real, effective and saved.
    if plan.set_uid {
        step(Step::SetUid, unistd::setresuid(uid, uid, uid))?;
    }
    // 6. Whatever is left: inheritable ones survive a change of user, all of them NO_SETUID_FIXUP.
    step(Step::ClearCapabilities, capabilities::clear())?;
    // 7. The starter's session keyring is not the app's: a new, empty one. Where keys do not exist or a sandbox forbids them
    // (ENOSYS, EPERM), nothing of anybody's can be read through them either; a full quota (EDQUOT) leaves it as it was.
    // SAFETY: a null name asks for an anonymous keyring; no memory is touched.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    // 8. No setuid program and no file capability gives anything back; root's execve neither.
    step(Step::NoNewPrivs, prctl::set_no_new_privs())?;
    // 9. The change of user may have made us dumpable (fs.suid_dumpable).
    step(Step::NotDumpable, prctl::set_dumpable(false))
}

fn set_groups(groups: &[u32]) -> Result<(), nix::Error> {
    // SAFETY: the kernel reads `len` numbers, which are there.
    nix::Error::result(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }).map(drop)
}

fn read_ids() -> Result<([u32; 3], [u32; 3]), nix::Error> {
    let (uid, gid) = (unistd::getresuid()?, unistd::getresgid()?);
    Ok(([uid.real, uid.effective, uid.saved].map(Uid::as_raw), [gid.real, gid.effective, gid.saved].map(Gid::as_raw)))
}

fn read_back(plan: &Plan) -> Result<(), (Step, Fault)> {
    let check = |step: Step, is_so: bool| if is_so { Ok(()) } else { Err((step, Fault::Wrong)) };
    let failed = |step: Step| move |errno: nix::Error| (step, errno.into());
    let (uids, gids) = read_ids().map_err(failed(Step::ReadUids))?;
    check(Step::ReadUids, uids == [plan.uid; 3])?;
    check(Step::ReadGids, gids == [plan.gid; 3])?;
    // On the stack: a forked child does not allocate. The small buffer, because a stack may be limited to less than the other.
    let has_groups = match has_groups::<256>(&plan.groups) {
        Err(nix::Error::EINVAL) => has_groups::<MOST_GROUPS>(&plan.groups),
        found => found,
    };
    check(Step::ReadGroups, has_groups.map_err(failed(Step::ReadGroups))?)?;
    let sets = capabilities::read().map_err(failed(Step::ReadCapabilities))?;
    check(Step::ReadCapabilities, sets == Sets::EMPTY)?;
    check(Step::ReadAmbient, capabilities::is_ambient_empty())?;
    check(Step::ReadBounding, !plan.clear_bounding || capabilities::is_bounding_empty())?;
    let is_forbidden = prctl::get_no_new_privs().map_err(failed(Step::ReadNoNewPrivs))?;
    check(Step::ReadNoNewPrivs, is_forbidden)?;
    // Or another process of the same user could read our memory and trace us.
    let is_dumpable = prctl::get_dumpable().map_err(failed(Step::ReadDumpable))?;
    check(Step::ReadDumpable, !is_dumpable)
}

/// Whether these are our supplementary groups; EINVAL when there are more than `MOST`.
#[inline(never)]
fn has_groups<const MOST: usize>(groups: &[u32]) -> Result<bool, nix::Error> {
    let mut buffer = [0_u32; MOST];
    let most = libc::c_int::try_from(MOST).expect("a small constant");
    // SAFETY: the kernel writes at most as many numbers as the buffer has.
    let count = nix::Error::result(unsafe { libc::getgroups(most, buffer.as_mut_ptr()) })?;
    let count = usize::try_from(count).expect("not negative");
    buffer[..count].sort_unstable();
    // A runtime may have set one twice.
    Ok(buffer[..count].chunk_by(|one, next| one == next).map(|same| same[0]).eq(groups.iter().copied()))
}

/// Each attempt has to be refused. Root keeps its number without its powers, so it tries to become somebody else.
fn try_to_regain(plan: &Plan) -> Result<(), (Step, Fault)> {
    let another = |ours: u32| if ours == 0 { 65_534 } else { 0 };
    let (uid, gid) = (another(plan.uid), another(plan.gid));
    // SAFETY: no memory is touched; if one succeeds, the caller ends.
    let answers = unsafe {
        [
            (Step::RegainUid, nix::Error::result(libc::setresuid(LEAVE, uid, LEAVE))),
            (Step::RegainGid, nix::Error::result(libc::setresgid(LEAVE, gid, LEAVE))),
            (Step::RegainGroups, nix::Error::result(libc::setgroups(0, std::ptr::null()))),
        ]
    };
    answers.into_iter().try_for_each(|(step, answer)| match answer {
        Err(nix::Error::EPERM) => Ok(()),
        // A user namespace that has no such id: there is nothing to become.
        Err(nix::Error::EINVAL) if step != Step::RegainGroups => Ok(()),
        _ => Err((step, Fault::Wrong)),
    })
}

/// Whether the text of `/proc/self/status` says the same. Lines an old kernel does not have are not asked for.
fn is_confirmed(status: &str, plan: &Plan) -> bool {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let numbers = |name: &str| -> Option<Vec<u32>> {
        line(name)?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
    };
    let is_empty = |name: &str| line(name).is_none_or(|set| set.trim().bytes().all(|digit| digit == b'0'));
    numbers("Uid") == Some(vec![plan.uid; 4])
        && numbers("Gid") == Some(vec![plan.gid; 4])
        && numbers("Groups").map(sorted).as_ref() == Some(&plan.groups)
        && ["CapInh", "CapPrm", "CapEff", "CapAmb"].into_iter().all(is_empty)
        && (!plan.clear_bounding || is_empty("CapBnd"))
        && line("NoNewPrivs").is_none_or(|value| value.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUID: u64 = 1 << 7;
    const SETGID: u64 = 1 << 6;
    const SETPCAP: u64 = 1 << 8;

    fn state(uid: u32, gid: u32, groups: &[u32], effective: u64) -> State {
        let capabilities = Sets { effective, permitted: effective, inheritable: 0 };
        let namespace = Namespace { uids: IdMap::all(), gids: IdMap::all(), may_set_groups: true };
        State { uids: [uid; 3], gids: [gid; 3], groups: groups.to_vec(), capabilities, namespace }
    }

    fn identity(uid: u32, gid: u32, groups: Groups) -> Identity {
        Identity { uid, gid, groups, name: None, home: None }
    }

    fn missing(result: Result<Plan, PrivilegeError>) -> (&'static str, &'static str) {
        match result {
            Err(PrivilegeError::Missing { what, capability, .. }) => (what, capability),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn root_becomes_another_and_loses_its_groups() {
        let root = state(0, 0, &[0, 4, 27], SETUID | SETGID | SETPCAP);
        let plan = plan(Some(&identity(1000, 1000, Groups::PrimaryOnly)), &root).unwrap();
        assert_eq!((plan.uid, plan.gid, plan.groups.len()), (1000, 1000, 0));
        assert!(plan.set_groups && plan.set_gid && plan.set_uid && plan.clear_bounding);
    }

    #[test]
    fn being_it_already_is_a_success_and_the_containers_own_groups_stay() {
        let pod = state(1000, 1000, &[2000, 64_123], 0);
        let plan = plan(Some(&identity(1000, 1000, Groups::PrimaryOnly)), &pod).unwrap();
        assert_eq!(plan.groups, [2000, 64_123]);
        assert_eq!(plan.kept_groups(), [2000, 64_123]);
        assert!(!plan.set_groups && !plan.set_gid && !plan.set_uid && !plan.clear_bounding);
    }

    #[test]
    fn roots_group_that_cannot_be_dropped_is_refused_and_others_are_named() {
        let pod = |groups: &[u32]| state(1000, 1000, groups, 0);
        for listed in [Groups::PrimaryOnly, Groups::Exactly(vec![7])] {
            let target = identity(1000, 1000, listed);
            let refused = plan(Some(&target), &pod(&[0, 7, 27]));
            assert_eq!(refused, Err(PrivilegeError::RootGroup { obstacle: Obstacle::Capability }));
        }
        let listed = identity(1000, 1000, Groups::Exactly(vec![7]));
        assert_eq!(plan(Some(&listed), &pod(&[7, 27, 1000])).unwrap().kept_groups(), [27]);
        for kept in [None, Some(&identity(1000, 1000, Groups::Ours))] {
            assert_eq!(plan(kept, &pod(&[0, 27])).unwrap().kept_groups(), [0; 0], "nothing was said of groups");
        }
        let denied = State {
            namespace: Namespace { uids: IdMap::all(), gids: IdMap::all(), may_set_groups: false },
            ..state(0, 0, &[65_534], SETUID | SETGID | SETPCAP)
        };
        let plan = plan(Some(&identity(0, 0, Groups::PrimaryOnly)), &denied).unwrap();
        assert_eq!((plan.kept_groups(), plan.set_groups), (&[65_534][..], false));
    }

    #[test]
    fn what_the_user_namespace_does_not_have_is_said_before_anything_is_done() {
        let (nobody, all) = (IdMap::none(), IdMap::all());
        let root = |uids: &IdMap, gids: &IdMap, may_set_groups| State {
            namespace: Namespace { uids: uids.clone(), gids: gids.clone(), may_set_groups },
            ..state(0, 0, &[0], SETUID | SETGID | SETPCAP)
        };
        let other = identity(1000, 1000, Groups::PrimaryOnly);
        let unmapped = |what, id| Err(PrivilegeError::Unmapped { what, id });
        assert_eq!(plan(Some(&other), &root(&nobody, &all, true)), unmapped("the user", 1000));
        assert_eq!(plan(Some(&other), &root(&all, &nobody, true)), unmapped("the group", 1000));
        let with_group = identity(0, 0, Groups::Exactly(vec![27]));
        assert_eq!(plan(Some(&with_group), &root(&all, &nobody, true)), unmapped("a supplementary group", 0));
        let denied = plan(Some(&with_group), &root(&all, &all, false)).unwrap();
        assert!(!denied.set_groups && denied.kept.is_empty(), "a group that cannot be added gives nothing");
        assert!(plan(None, &root(&nobody, &nobody, false)).is_ok(), "who we are already is nobody's to refuse");
    }

    #[test]
    fn groups_that_may_be_changed_are_changed_even_when_the_identity_stays() {
        let root = state(0, 0, &[4, 27], SETGID);
        let plan = plan(Some(&identity(0, 0, Groups::PrimaryOnly)), &root).unwrap();
        assert!(plan.set_groups && plan.groups.is_empty());
    }

    #[test]
    fn without_a_target_the_identity_stays() {
        let plan = plan(None, &state(1000, 0, &[5], 0)).unwrap();
        assert_eq!((plan.uid, plan.gid, &plan.groups[..]), (1000, 0, &[5][..]));
        assert!(!plan.set_groups);
    }

    #[test]
    fn another_identity_without_the_capability_is_refused_by_its_name() {
        let ours = state(1000, 1000, &[], 0);
        let ask = |uid, gid, groups| missing(plan(Some(&identity(uid, gid, groups)), &ours));
        assert_eq!(ask(1001, 1000, Groups::PrimaryOnly), ("the user", "CAP_SETUID"));
        assert_eq!(ask(1000, 1001, Groups::PrimaryOnly), ("the group", "CAP_SETGID"));
        let root = state(0, 0, &[], SETGID);
        assert_eq!(missing(plan(Some(&identity(1, 1, Groups::Ours)), &root)).1, "CAP_SETUID");
    }

    #[test]
    fn a_user_whose_groups_are_listed_gets_no_others() {
        let able = state(1000, 1000, &[2000], SETGID);
        let named = identity(1000, 1000, Groups::Exactly(vec![]));
        let plan_of = plan(Some(&named), &able).unwrap();
        assert!(plan_of.set_groups && plan_of.groups == [1000]);
        let other = state(0, 1000, &[2000], SETUID);
        assert_eq!(missing(plan(Some(&named), &other)).0, "the supplementary groups");
        let same = state(1000, 1000, &[7, 1000, 5], 0);
        let listed = identity(1000, 1000, Groups::Exactly(vec![5, 7]));
        assert!(!plan(Some(&listed), &same).unwrap().set_groups, "order and the primary one do not matter");
    }

    /// `--run-as 1000` in a pod that runs as 1000 with an fsGroup, of an image that has a line for 1000: who we are is what
    /// was asked for, and the groups are the pod's.
    #[test]
    fn a_listed_user_we_are_already_keeps_the_groups_of_its_pod_that_nobody_may_change() {
        for listed in [vec![], vec![1000], vec![7]] {
            let named = identity(1000, 1000, Groups::Exactly(listed));
            let plan = plan(Some(&named), &state(1000, 1000, &[2000, 64_123], 0)).unwrap();
            assert_eq!(plan.groups, [2000, 64_123]);
            assert!(!plan.set_groups && !plan.set_gid && !plan.set_uid);
        }
    }

    #[test]
    fn leftover_groups_are_not_kept_by_a_change_of_user_without_setgid() {
        let start = state(0, 1000, &[0], SETUID);
        let target = identity(1000, 1000, Groups::PrimaryOnly);
        assert_eq!(missing(plan(Some(&target), &start)).0, "the supplementary groups");
    }

    #[test]
    fn the_status_of_the_kernel_is_compared_line_by_line() {
        let plan = Plan { clear_bounding: true, ..plan(None, &state(1000, 1000, &[7, 5], 0)).unwrap() };
        let status = "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t5 7 \n\
            CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
            CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
        assert!(is_confirmed(status, &plan));
        for (good, bad) in [
            ("Uid:\t1000\t1000\t1000\t1000", "Uid:\t1000\t1000\t1000\t0"),
            ("Gid:\t1000", "Gid:\t0"),
            ("5 7 ", "5 7 0"),
            ("CapInh:\t0", "CapInh:\t8"),
            ("CapPrm:\t0", "CapPrm:\t8"),
            ("CapEff:\t0", "CapEff:\t8"),
            ("CapBnd:\t0", "CapBnd:\t8"),
            ("CapAmb:\t0", "CapAmb:\t8"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
        ] {
            let changed = status.replace(good, bad);
            assert_ne!(changed, status);
            assert!(!is_confirmed(&changed, &plan), "{bad:?}");
        }
        let kept = Plan { clear_bounding: false, ..plan };
        assert!(is_confirmed(&status.replace("CapBnd:\t0", "CapBnd:\t8"), &kept));
    }

    #[test]
    fn a_thread_that_is_still_listed_after_its_end_is_waited_for_but_not_for_long() {
        let after = |counts: u32| {
            let counted = std::cell::Cell::new(0);
            let is_alone = || {
                counted.set(counted.get() + 1);
                Ok(counted.get() > counts)
            };
            (alone_after(is_alone, || ()), counted.get())
        };
        assert_eq!(after(0), (Ok(()), 1));
        assert_eq!(after(3), (Ok(()), 4));
        assert_eq!(after(COUNTS), (Err(PrivilegeError::NotAlone), COUNTS));
        let unknown = alone_after(|| Err(io::Error::from_raw_os_error(libc::EPERM)), || panic!("nothing to wait for"));
        assert_eq!(unknown, Err(PrivilegeError::Uncounted(nix::Error::EPERM)));
    }

    #[test]
    fn a_process_with_other_threads_is_not_alone() {
        // The test runner's own thread waits for this one.
        assert_eq!(alone(), Err(PrivilegeError::NotAlone));
    }
}
