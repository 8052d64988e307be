use std::io;

use super::super::capabilities::Sets;
use super::super::idmap::IdMap;
use super::state::Namespace;
use super::verify::{COUNTS, alone_after, is_confirmed};
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
    for kept in [None, Some(&identity(1000, 1000, Groups::Unchanged))] {
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
    let own = state(1000, 1000, &[], 0);
    let ask = |uid, gid, groups| missing(plan(Some(&identity(uid, gid, groups)), &own));
    assert_eq!(ask(1001, 1000, Groups::PrimaryOnly), ("the user", "CAP_SETUID"));
    assert_eq!(ask(1000, 1001, Groups::PrimaryOnly), ("the group", "CAP_SETGID"));
    let root = state(0, 0, &[], SETGID);
    assert_eq!(missing(plan(Some(&identity(1, 1, Groups::Unchanged)), &root)).1, "CAP_SETUID");
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
