//! Staying as the app's parent: signals forwarded, orphans reaped, the terminal handed on, the exit status kept.

use std::fs;
use std::path::Path;

use support::*;

fn supervised(case: &Case) -> Run {
    case.run().arg("--supervise")
}

fn is_gone(pid: &str) -> bool {
    // A zombie that waits for somebody else's wait is gone too.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

#[test]
fn every_exit_code_passes_through() {
    let case = Case::new();
    for code in 0..=255 {
        let outcome = supervised(&case).sh(&format!("exit {code}")).output();
        assert_eq!(outcome.code(), Some(code), "{outcome}");
    }
}

#[test]
fn death_by_a_signal_becomes_128_and_its_number() {
    let case = Case::new();
    for number in [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15] {
        let outcome = supervised(&case).sh(&format!("kill -{number} $$")).output();
        assert_eq!(outcome.code(), Some(128 + number), "{outcome}");
    }
}

#[test]
fn a_caller_that_ignores_sigchld_does_not_cost_the_exit_code() {
    let case = Case::new();
    assert_eq!(supervised(&case).ignoring(&[libc::SIGCHLD]).sh("exit 7").output().code(), Some(7));
}

/// Says `ready`, then the name of each signal it gets; ends with `USR2`.
fn listener(names: &[&str]) -> String {
    let traps: Vec<_> = names.iter().map(|name| format!("trap 'echo got {name}' {name}")).collect();
    format!("trap 'echo done; exit 5' USR2; {}; echo ready; while :; do sleep 0.02; done", traps.join("; "))
}

#[test]
fn signals_are_forwarded_to_the_app() {
    let case = Case::new();
    let names = ["HUP", "INT", "QUIT", "USR1", "ALRM", "TERM", "CONT", "WINCH", "URG"];
    let numbers = [1, 2, 3, 10, 14, 15, 18, 28, 23];
    let mut running = supervised(&case).app(&["/bin/bash", "-c", &listener(&names)]).start();
    running.says("ready");
    for (name, number) in names.iter().zip(numbers) {
        running.signal(number);
        running.says(&format!("got {name}\n"));
    }
    running.signal(libc::SIGUSR2);
    assert_eq!(running.end().code(), Some(5));
}

#[test]
fn real_time_signals_are_forwarded_too() {
    let case = Case::new();
    let mut running = supervised(&case).app(&["/bin/bash", "-c", &listener(&["RTMIN+3", "RTMAX"])]).start();
    running.says("ready");
    running.signal(34 + 3);
    running.says("got RTMIN+3");
    running.signal(64);
    running.says("got RTMAX");
    running.signal(libc::SIGUSR2);
    assert_eq!(running.end().code(), Some(5));
}

#[test]
fn a_term_that_the_app_outlives_is_not_followed_by_a_kill() {
    let case = Case::new();
    let mut running =
        supervised(&case).sh("trap 'echo not yet' TERM; echo ready; read line; sleep 0.3; echo over; exit 6");
    running = running.stdin(b"");
    let mut running = running.start();
    running.says("ready");
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(6), "{outcome}");
    assert!(outcome.out().contains("over"));
}

#[test]
fn orphans_are_reaped() {
    let case = Case::new();
    // The middle shell ends at once; its child becomes ours and ends as well.
    let script = "sh -c 'sh -c \"echo orphan=\\$\\$; exec sleep 0.05\" & exit 0'; echo ready; exec sleep 1000";
    let mut running = supervised(&case).sh(script).start();
    running.says("ready");
    let said = running.says("orphan=");
    let orphan = said.split("orphan=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    wait_for("the orphan to be reaped", || (!Path::new("/proc").join(&orphan).exists()).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn what_the_app_leaves_running_is_ended_after_it() {
    let case = Case::new();
    let script = "sleep 1000 & echo polite=$!; sh -c 'trap \"\" TERM; echo stubborn=$$; while :; do sleep 0.1; done' & \
                  while [ ! -e go ]; do sleep 0.01; done; exit 3";
    let mut running = supervised(&case).sh(script).start();
    running.says("polite=");
    let said = running.says("stubborn=");
    case.write("go", "");
    let pid =
        |name: &str| said.split(&format!("{name}=")).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(3), "{outcome}");
    for name in ["polite", "stubborn"] {
        wait_for(name, || is_gone(&pid(name)).then_some(()));
    }
}

#[test]
fn the_app_dies_with_a_supervisor_that_is_killed() {
    let case = Case::new();
    let mut running = supervised(&case).sh("echo pid=$$; exec sleep 1000").start();
    let pid = running.says("pid=").split('=').nth(1).unwrap().trim().to_owned();
    running.says("\n");
    running.signal(libc::SIGKILL);
    running.end();
    wait_for("the app's end", || is_gone(&pid).then_some(()));
}

#[test]
fn ctrl_c_on_a_terminal_ends_with_130() {
    let case = Case::new();
    let mut running = supervised(&case).sh("echo ready; exec sleep 1000").pty().start();
    running.says("ready");
    running.types(b"\x03");
    assert_eq!(running.end().code(), Some(130));
}

#[test]
fn the_app_reads_from_the_terminal() {
    let case = Case::new();
    let mut running = supervised(&case).sh("echo ready; read line; echo got $line; exit 4").pty().start();
    running.says("ready");
    running.types(b"hello\n");
    running.says("got hello");
    assert_eq!(running.end().code(), Some(4));
}

#[test]
fn the_app_gets_the_callers_signal_mask_and_dispositions() {
    let case = Case::new();
    let signals = |run: Run| {
        let status = run.output().ok();
        ["SigBlk", "SigIgn"].map(|name| status_field(&status, name))
    };
    for (ignore, block) in [(&[][..], &[][..]), (&[13, 17], &[10, 15]), (&[], &[17, 40])] {
        let plain = Run::new("/bin/cat".as_ref()).arg("/proc/self/status").ignoring(ignore).blocking(block);
        let ours = supervised(&case).app(&["cat", "/proc/self/status"]).ignoring(ignore).blocking(block);
        assert_eq!(signals(ours), signals(plain), "ignored {ignore:?}, blocked {block:?}");
    }
}

#[test]
fn the_app_gets_only_its_own_descriptors() {
    let case = Case::new();
    let plain = Run::new("/bin/ls".as_ref()).arg("/proc/self/fd").output().ok();
    assert_eq!(supervised(&case).app(&["ls", "/proc/self/fd"]).output().ok(), plain);
}

#[test]
fn files_and_variables_are_there_and_the_files_stay_while_the_app_runs() {
    let case = Case::new();
    let (file, variable) = (case.secret("f", "in a file"), case.secret("v", "in a variable"));
    let config = format!("supervise: true\nfiles: {{ f: \"{file}\" }}\nenv: {{ V: \"{variable}\" }}\n");
    let outcome = case.with_files(&config).sh("cat $SECRET_EXEC_DIR/f; echo; echo $V").output();
    assert_eq!(outcome.ok(), "in a file\nin a variable\n");
}

#[test]
fn the_app_learns_nothing_from_its_supervisor() {
    needs_root!();
    let case = Case::new();
    let env = format!("A={}", case.secret("a", "value"));
    let script = "for f in environ mem maps fd/0 root/etc; do cat /proc/$PPID/$f >/dev/null 2>&1 && echo open $f; done; \
                  ls /proc/$PPID/fd/ >/dev/null 2>&1 && echo open fd; cat /proc/$PPID/status";
    let run_as = format!("{APP}:{APP}");
    let outcome = supervised(&case).root().args(&["--run-as", &run_as, "--env", &env]).sh(script).output();
    let said = outcome.ok();
    assert!(!said.contains("open "), "{outcome}");
    // Nobody of ours is more than the app.
    assert_eq!(status_field(&said, "Uid"), [APP.to_string().as_str(); 4].join(" "));
    assert_eq!(status_field(&said, "Gid"), [APP.to_string().as_str(); 4].join(" "));
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"] {
        assert_eq!(status_field(&said, set), "0000000000000000", "{set} of the supervisor");
    }
    assert_eq!(status_field(&said, "NoNewPrivs"), "1");
}

#[test]
fn a_signal_before_the_app_ran_ends_us_with_its_number() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let proxy = Proxy::before(space.bao.port);
    proxy.always(Plan::Hang);
    let login = space.approle(&case, &["x/*"]);
    let config = space.vault_at(&proxy.address(), &login) + "env: { A: \"vault:x/y#z\" }\n";
    let mut running = case.with_config(&config).arg("--supervise").app(&case.marking_app()).start();
    running.until("login", || (!proxy.requests().is_empty()).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(143));
    assert!(!case.ran());
}

#[test]
fn as_the_first_process_it_reaps_and_forwards_as_well() {
    needs_root!();
    let case = Case::new();
    let script = "trap 'echo got TERM; exit 9' TERM; echo ready; sh -c 'sleep 0.05 &'; while :; do sleep 0.02; done";
    let within = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    own(&case.memory, 0); // above the state directory; it belongs to somebody else otherwise
    let run = case.run().root().args(&["--supervise", "--run-as", "0"]).within(&within).sh(script);
    let mut running = run.start();
    running.says("ready");
    let first = running.only_child();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGTERM).unwrap();
    running.says("got TERM");
    assert_eq!(running.end().code(), Some(9));
}
