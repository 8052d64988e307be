//! Every way to begin ends with nothing that could be regained.

use crate::Test;
use crate::starter::{Outcome, become_1000_with_ambient, before, check, command, is_root, line, run, text};

pub(crate) const TESTS: &[Test] = &[
    ("privileges::root_becomes_another_and_keeps_none_of_its_groups", root_becomes_another),
    ("privileges::root_that_stays_root_keeps_no_capability", root_that_stays_root),
    ("privileges::ambient_cap_setuid_ends_with_nothing", ambient_cap_setuid_ends_with_nothing),
    ("privileges::ambient_cap_setuid_may_still_change_the_user", ambient_cap_setuid_may_still_change_the_user),
    ("privileges::securebits_that_keep_capabilities_end_with_nothing", securebits_end_with_nothing),
    ("privileges::being_it_already_is_a_success", being_it_already_is_a_success),
    ("privileges::another_identity_without_capabilities_is_refused", another_identity_is_refused),
    ("privileges::a_process_with_threads_is_refused", a_process_with_threads_is_refused),
    ("privileges::threads_that_have_ended_do_not_count", threads_that_have_ended_do_not_count),
    ("privileges::a_process_that_others_may_look_into_is_refused", a_process_that_others_may_look_into_is_refused),
    ("privileges::a_user_gets_its_own_groups", a_user_gets_its_own_groups),
    ("privileges::a_child_drops_on_its_way_and_its_parent_does_not", a_child_drops_on_its_way),
];

const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
const NEEDS_ROOT: Outcome = Outcome::Skipped("needs root, to have something to drop");
const STATUS: [&str; 2] = ["cat", "/proc/self/status"];

/// What `/proc/self/status` of an app says when it can do nothing.
fn assert_powerless(status: &str, uid: u32, gid: u32, groups: &str) {
    for (name, id) in [("Uid", uid), ("Gid", gid)] {
        assert_eq!(line(status, name), [id.to_string().as_str(); 4].join("\t"));
    }
    assert_eq!(line(status, "Groups"), groups);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(line(status, set), "0000000000000000", "{set}");
    }
    assert_eq!(line(status, "NoNewPrivs"), "1");
}

fn set_groups(groups: &'static [u32]) -> impl FnMut() + Send + Sync + 'static {
    // SAFETY: the kernel reads as many numbers as there are.
    move || check("setgroups", unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }.into())
}

fn become_1000(groups: &'static [u32]) -> impl FnMut() + Send + Sync + 'static {
    move || {
        set_groups(groups)();
        // SAFETY: system calls.
        unsafe {
            check("setresgid", libc::setresgid(1000, 1000, 1000).into());
            check("setresuid", libc::setresuid(1000, 1000, 1000).into());
        }
    }
}

fn root_becomes_another() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    for mode in ["exec", "supervise", "spawn"] {
        let mut start = command(&[mode, "--run-as", "1000:1001"], &STATUS);
        before(&mut start, set_groups(&[0, 4, 27, 50]));
        let output = run(&mut start);
        assert!(output.status.success(), "{mode}: {output:?}");
        assert_powerless(&text(&output), 1000, 1001, "");
        assert_eq!(line(&text(&output), "CapBnd"), "0000000000000000", "{mode}: root has CAP_SETPCAP");
    }
    Outcome::Passed
}

fn root_that_stays_root() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    for mode in ["exec", "supervise", "spawn"] {
        for run_as in [&["--run-as", "0:0"][..], &[]] {
            let mut start = command(&[&[mode], run_as].concat(), &STATUS);
            before(&mut start, set_groups(&[]));
            let output = run(&mut start);
            assert!(output.status.success(), "{mode}: {output:?}");
            assert_powerless(&text(&output), 0, 0, "");
        }
    }
    Outcome::Passed
}

fn ambient_cap_setuid_ends_with_nothing() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    for mode in ["exec", "supervise", "spawn"] {
        for run_as in [&["--run-as", "1000:1000"][..], &[]] {
            for capability in [CAP_SETUID, CAP_SETGID] {
                let mut start = command(&[&[mode], run_as].concat(), &STATUS);
                before(&mut start, move || become_1000_with_ambient(capability));
                let output = run(&mut start);
                assert!(output.status.success(), "{mode}: {output:?}");
                assert_powerless(&text(&output), 1000, 1000, "");
            }
        }
    }
    // The start itself is what it is meant to be.
    let mut start = std::process::Command::new("cat");
    before(start.arg("/proc/self/status"), || become_1000_with_ambient(CAP_SETUID));
    assert_eq!(line(&text(&run(&mut start)), "CapEff"), "0000000000000080");
    Outcome::Passed
}

fn ambient_cap_setuid_may_still_change_the_user() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    let mut start = command(&["exec", "--run-as", "2000:1000"], &STATUS);
    before(&mut start, || become_1000_with_ambient(CAP_SETUID));
    assert_powerless(&text(&run(&mut start)), 2000, 1000, "");
    let mut start = command(&["exec", "--run-as", "2000:2000"], &["echo", "ran"]);
    before(&mut start, || become_1000_with_ambient(CAP_SETUID));
    let output = run(&mut start);
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(71), ""));
    assert!(String::from_utf8_lossy(&output.stderr).contains("CAP_SETGID is missing"), "{output:?}");
    Outcome::Passed
}

fn securebits_end_with_nothing() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    // SECBIT_NO_SETUID_FIXUP and its lock: a change of user leaves every capability where it was.
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2 | 1 << 3;
    for mode in ["exec", "supervise", "spawn"] {
        let mut start = command(&[mode, "--run-as", "1000:1000"], &STATUS);
        before(&mut start, || {
            // SAFETY: a system call.
            let answer = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0) };
            check("securebits", answer.into());
        });
        let output = run(&mut start);
        assert!(output.status.success(), "{mode}: {output:?}");
        assert_powerless(&text(&output), 1000, 1000, "");
    }
    Outcome::Passed
}

fn being_it_already_is_a_success() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    for run_as in [&["--run-as", "1000:1000"][..], &[]] {
        let mut start = command(&[&["exec"], run_as].concat(), &STATUS);
        before(&mut start, become_1000(&[2000, 64_123, 2000]));
        let output = run(&mut start);
        assert!(output.status.success(), "{output:?}");
        let status = text(&output);
        assert_powerless(&status, 1000, 1000, "2000 2000 64123");
        assert_ne!(line(&status, "CapBnd"), "0000000000000000", "only CAP_SETPCAP could empty it");
    }
    Outcome::Passed
}

fn another_identity_is_refused() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    for (mode, run_as) in [("exec", "1001:1000"), ("exec", "1000:1001"), ("supervise", "0:0"), ("spawn", "0:1000")] {
        let mut start = command(&[mode, "--run-as", run_as], &["echo", "ran"]);
        before(&mut start, become_1000(&[]));
        let output = run(&mut start);
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(71), ""), "{run_as}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("is missing"), "{output:?}");
    }
    Outcome::Passed
}

fn a_process_with_threads_is_refused() -> Outcome {
    for mode in ["exec", "supervise"] {
        let output = run(&mut command(&[mode, "--thread"], &["echo", "ran"]));
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(71), ""), "{mode}: {output:?}");
    }
    Outcome::Passed
}

fn threads_that_have_ended_do_not_count() -> Outcome {
    for _ in 0..20 {
        let output = run(&mut command(&["exec", "--joined"], &["echo", "ran"]));
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), "ran\n"), "{output:?}");
    }
    Outcome::Passed
}

fn a_process_that_others_may_look_into_is_refused() -> Outcome {
    for mode in ["exec", "supervise"] {
        let output = run(&mut command(&[mode, "--dumpable"], &["echo", "ran"]));
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(71), ""), "{mode}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not dumpable"), "{output:?}");
    }
    Outcome::Passed
}

fn a_user_gets_its_own_groups() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    // The one user that is everywhere, as another program finds it.
    let ask = |what: &str| text(&run(std::process::Command::new("id").args([what, "daemon"]))).trim().to_owned();
    let (Ok(uid), Ok(gid)) = (ask("-u").parse(), ask("-g").parse()) else {
        return Outcome::Skipped("there is no user named daemon");
    };
    let mut groups: Vec<u32> = ask("-G").split(' ').map(|gid| gid.parse().unwrap()).collect();
    groups.sort_unstable();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    let mut start = command(&["exec", "--run-as", "daemon"], &STATUS);
    before(&mut start, set_groups(&[0, 4, 27]));
    let output = run(&mut start);
    assert!(output.status.success(), "{output:?}");
    assert_powerless(&text(&output), uid, gid, &groups.join(" "));
    Outcome::Passed
}

fn a_child_drops_on_its_way() -> Outcome {
    if !is_root() {
        return NEEDS_ROOT;
    }
    let both = "cat /proc/self/status; cat /proc/$PPID/status";
    let status = text(&run(&mut command(&["spawn", "--run-as", "1000:1000"], &["sh", "-c", both])));
    let (child, parent) = status.split_at(status.rfind("Name:").unwrap());
    assert_powerless(child, 1000, 1000, "");
    assert_ne!(line(parent, "CapEff"), "0000000000000000");
    Outcome::Passed
}
