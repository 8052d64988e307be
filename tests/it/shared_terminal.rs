//! A terminal that others use as well: what is sent to the process group reaches the app once.

use std::path::Path;
use std::process::Command;

use support::*;

/// An app that says its parent's pid and its own, and each signal that reaches it; QUIT ends it.
const APP: &str = "trap 'echo all; exit 7' QUIT; for s in USR1 USR2 HUP INT TERM; do trap \"echo +$s\" $s; done; \
                   echo \"pids:$PPID:$$:\"; while :; do sleep 1000 & wait; done";

/// secret-exec with the app, in this shell code (`{}`), on a terminal of its own. Its pid and the app's.
fn start(shell: &str) -> (Running, String, String) {
    let words = format!("{} --supervise --run-as $(id -u) -- /bin/bash -c \"$APP\"", program().display());
    let code = shell.replace("{}", &words);
    let mut running = Run::new(Path::new("/bin/bash")).args(&["-c", &code]).env("APP", APP).pty().start();
    running.says("pids:");
    let pids = wait_for("the app", || {
        let said = running.stdout();
        let mut pids = said.split_once("pids:")?.1.split(':').map(str::to_owned);
        Some((pids.next()?, pids.next().filter(|_| said.ends_with('\n'))?))
    });
    (running, pids.0, pids.1)
}

fn kill(signal: &str, whom: &str) {
    assert!(Command::new("/bin/kill").args([&format!("-{signal}"), "--", whom]).status().unwrap().success());
}

/// The process group, as stat(5) has it.
fn group_of(pid: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap().to_owned()
}

/// Sends each signal to the app's group, and then one to secret-exec alone, which comes behind whatever it passes on.
fn each_arrives_once(running: &mut Running, wrapper: &str, app: &str) {
    let count = |running: &Running, text: &str| running.stdout().matches(text).count();
    for (turn, signal) in ["USR1", "HUP", "INT", "TERM"].iter().enumerate() {
        kill(signal, &format!("-{}", group_of(app)));
        wait_for(signal, || (count(running, &format!("+{signal}")) > 0).then_some(()));
        kill("USR2", wrapper);
        wait_for("what was forwarded", || (count(running, "+USR2") > turn).then_some(()));
        assert_eq!(count(running, &format!("+{signal}")), 1, "{signal}: {}", running.stdout());
    }
    kill("QUIT", app);
}

#[test]
fn a_signal_to_the_group_of_a_pipeline_reaches_the_app_once() {
    // Who waits in a pipeline survives what is sent to its group; the last one's exit code counts.
    let shell =
        "trap : USR1 HUP INT TERM; (trap '' USR1 HUP INT TERM; exec sleep 1000) | {}; code=$?; kill %1; exit $code";
    let (mut running, wrapper, app) = start(shell);
    each_arrives_once(&mut running, &wrapper, &app);
    running.says("all");
    wait_for("its end", || (!Path::new(&format!("/proc/{wrapper}")).exists()).then_some(()));
}

#[test]
fn the_leader_of_a_group_passes_nothing_on_twice_either() {
    let shell = "set -m; {} | (trap '' USR1 HUP INT TERM; exec cat)";
    let (mut running, wrapper, app) = start(shell);
    assert_eq!(group_of(&app), wrapper, "the group has the name of the one that left it");
    each_arrives_once(&mut running, &wrapper, &app);
    running.says("all");
    assert_eq!(running.end().code(), Some(0), "cat's");
}

#[test]
fn a_pipeline_that_was_stopped_goes_on_together() {
    let shell = "set -m; (trap '' USR1 HUP INT TERM; exec sleep 1000) | {} & wait %1; jobs; echo stopped; bg %1; wait";
    let (mut running, wrapper, app) = start(shell);
    kill("STOP", &format!("-{}", group_of(&app)));
    running.says("stopped");
    let is_stopped = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("State:\tT");
    wait_for("both to go on", || (!is_stopped(&wrapper) && !is_stopped(&app)).then_some(()));
    each_arrives_once(&mut running, &wrapper, &app);
    running.says("all");
}
