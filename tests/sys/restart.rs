//! Restarts, signals of our own, hooks, and telling the process of another container: with real processes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Test;
use crate::starter::{Outcome, app, check, command, helper, is_root, without_terminal};

pub(crate) const TESTS: &[Test] = &[
    ("restart::nothing_of_the_old_run_is_left_when_the_new_one_starts", nothing_is_left),
    ("restart::an_app_that_ignores_the_stop_signal_is_killed_after_its_grace", a_stubborn_app_is_killed),
    ("restart::a_restart_during_a_restart_starts_once_with_the_newest_values", a_restart_during_a_restart),
    ("restart::a_term_during_a_restart_is_forwarded_and_ends_everything", a_term_while_stopping),
    ("restart::a_term_between_two_runs_ends_everything", a_term_between_two_runs),
    ("restart::an_app_that_ended_by_itself_is_not_started_again", an_app_that_ended_by_itself),
    ("restart::a_run_that_cannot_start_ends_us_with_its_code", a_run_that_cannot_start),
    ("restart::many_restarts_beside_busy_threads_leave_no_zombie", many_restarts),
    ("restart::the_new_run_gets_what_the_first_one_got", the_new_run_gets_the_same),
    ("restart::the_new_run_does_not_outlive_us", the_new_run_does_not_outlive_us),
    ("restart::signals_of_ours_and_of_others_arrive_exactly_once", signals_arrive_once),
    ("restart::hooks_run_one_at_a_time_and_those_that_wait_once", hooks_run_one_at_a_time),
    ("restart::a_hook_that_takes_too_long_is_asked_then_killed_with_its_group", a_hook_takes_too_long),
    ("restart::a_hook_that_cannot_start_is_told", a_hook_that_cannot_start),
    ("restart::a_hook_outlives_a_restart", a_hook_outlives_a_restart),
    ("restart::a_hook_ends_with_the_app", a_hook_ends_with_the_app),
    ("restart::an_app_and_a_hook_that_end_together_are_told_apart", both_end_together),
    ("restart::a_sidecar_reads_signals_runs_hooks_and_reaps", a_sidecar),
    ("restart::as_pid_1_a_sidecar_reaps_orphans", a_sidecar_as_pid_1),
    ("restart::the_oldest_process_of_a_name_and_of_our_user_is_told", the_oldest_is_told),
];

/// The helper as it drives something, and both ends of its conversation.
struct Driven {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// For whatever the app locks and writes.
    directory: tempfile::TempDir,
}

impl Driven {
    fn start(mode: &[&str], app: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut start = command(mode, app);
        start.current_dir(directory.path());
        let start = without_terminal(&mut start).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = start.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, directory }
    }

    /// Supervises a shell script.
    fn script(options: &[&str], script: &str) -> Self {
        Self::start(&[&["drive"], options].concat(), &["sh", "-c", script])
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn expect(&mut self, lines: &[&str]) {
        for expected in lines {
            assert_eq!(self.line(), *expected);
        }
    }

    /// The number behind `word `.
    fn number(&mut self, word: &str) -> i32 {
        let line = self.line();
        let number = line.strip_prefix(word).and_then(|rest| rest.trim().parse().ok());
        number.unwrap_or_else(|| panic!("{word} and a number expected: {line:?}"))
    }

    fn tell(&mut self, line: &str) {
        self.input.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn touch(&self, name: &str) {
        fs::write(self.directory.path().join(name), "").unwrap();
    }

    fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    fn send(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    /// Whoever is our child now, zombies too.
    fn children(&self) -> Vec<i32> {
        let ours = format!("PPid:\t{}\n", self.pid());
        let is_child = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|s| s.contains(&ours));
        let names = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).filter(is_child).collect()
    }

    /// The exit code, and that nothing more is said.
    fn end(mut self) -> i32 {
        let code = self.child.wait().unwrap().code().unwrap();
        assert_eq!(self.line(), "", "the last line");
        code
    }
}

impl Drop for Driven {
    /// Nothing of a test that failed stays; its processes end with it.
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: a system call.
    check("kill", unsafe { libc::kill(pid, signal) }.into());
}

fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Takes a lock that everything it starts holds as well, and says which run it is and who.
const LOCKED: &str = "exec 9>lock; flock -n 9 || { echo OVERLAP; exit 99; }; ";
const UP: &str = "echo \"up $GENERATION $$\"; ";

/// Rests in `read`, without a child, so that a signal is handled at once.
fn script(beginning: &str) -> String {
    format!("{LOCKED}test -e fifo || mkfifo fifo; exec 8<>fifo; {beginning}{UP}while :; do read -r _ <&8; done")
}

fn nothing_is_left() -> Outcome {
    // One leftover ends when asked, one has to be killed, one lives in a session of its own.
    let leave = "sleep 300 & setsid sleep 300 & (trap '' TERM; while :; do sleep 300; done) & \
                 trap 'exit 3' TERM; ";
    let mut driven = Driven::script(&["--grace", "500"], &script(leave));
    let mut last = driven.number("up 1");
    for generation in 2..=3 {
        let before = driven.children();
        driven.tell(&format!("restart {generation}"));
        driven.expect(&["Begun"]);
        let new = expect_restart(&mut driven, generation);
        assert!(!exists(last), "{last} is reaped");
        assert!(before.iter().all(|pid| !exists(*pid)));
        last = new;
    }
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 3);
    Outcome::Passed
}

/// The line of the new run and the notice come from two processes, in either order.
fn expect_restart(driven: &mut Driven, generation: u32) -> i32 {
    let lines = [driven.line(), driven.line()];
    assert!(lines.iter().any(|line| line == "notice Restarted"), "{lines:?}");
    let up = lines.iter().find_map(|line| line.strip_prefix(&format!("up {generation} ")));
    up.unwrap_or_else(|| panic!("{lines:?}")).parse().unwrap()
}

fn a_stubborn_app_is_killed() -> Outcome {
    let mut driven = Driven::script(&["--stop-grace", "400"], &script("trap 'echo asked' TERM; "));
    let old = driven.number("up 1");
    let begun = Instant::now();
    driven.tell("restart 2");
    let mut lines = [driven.line(), driven.line()];
    lines.sort_unstable();
    assert_eq!(lines, ["Begun", "asked"]);
    driven.expect(&["notice Killed"]);
    assert!(begun.elapsed() >= Duration::from_millis(400), "it was given its time");
    let new = expect_restart(&mut driven, 2);
    assert!(!exists(old));
    kill(new, libc::SIGKILL);
    assert_eq!(driven.end(), 137);
    Outcome::Passed
}

fn a_restart_during_a_restart() -> Outcome {
    // It ends when it is let go.
    let wait = "trap 'while ! test -e go; do sleep 0.01; done; exit 0' TERM; ";
    let mut driven = Driven::script(&[], &script(wait));
    driven.number("up 1");
    for (generation, answer) in [(2, "Begun"), (3, "Joined"), (4, "Joined")] {
        driven.tell(&format!("restart {generation}"));
        driven.expect(&[answer]);
    }
    driven.tell("signal HUP");
    driven.expect(&["NobodyToTell"]);
    driven.touch("go");
    expect_restart(&mut driven, 4);
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 0);
    Outcome::Passed
}

fn a_term_while_stopping() -> Outcome {
    let count =
        "terms=0; trap 'terms=$((terms + 1)); echo term $terms; test $terms = 1 || { sleep 0.3; exit 7; }' TERM; ";
    // Ours may not be followed by a KILL any more: the second handler takes longer than the grace.
    let mut driven = Driven::script(&["--stop-grace", "150"], &script(count));
    driven.number("up 1");
    driven.tell("restart 2");
    let mut lines = [driven.line(), driven.line()];
    lines.sort_unstable();
    assert_eq!(lines, ["Begun", "term 1"]);
    driven.send(libc::SIGTERM);
    let mut lines = [driven.line(), driven.line()];
    lines.sort_unstable();
    assert_eq!(lines, ["notice RestartAbandoned", "term 2"]);
    assert_eq!(driven.end(), 7);
    Outcome::Passed
}

fn a_term_between_two_runs() -> Outcome {
    let leave = "(trap '' TERM; echo \"leftover $(exec sh -c 'echo $PPID')\"; while :; do sleep 300; done) & \
                 trap 'exit 4' TERM; ";
    let mut driven = Driven::script(&["--grace", "3000"], &script(leave));
    let lines = [driven.line(), driven.line()];
    let number =
        |word: &str| -> i32 { lines.iter().find_map(|line| line.strip_prefix(word)).unwrap().trim().parse().unwrap() };
    let (app, leftover) = (number("up 1"), number("leftover"));
    driven.tell("restart 2");
    driven.expect(&["Begun"]);
    until("the app ends", || !exists(app));
    driven.tell("restart 3");
    driven.expect(&["Joined"]);
    assert!(exists(leftover));
    driven.send(libc::SIGTERM);
    driven.expect(&["notice RestartAbandoned"]);
    assert_eq!(driven.end(), 4);
    assert!(!exists(leftover));
    Outcome::Passed
}

fn an_app_that_ended_by_itself() -> Outcome {
    // Its end and the wish arrive together: we are stopped while it ends.
    let mut driven = Driven::script(&[], &script("trap 'exit 6' USR1; "));
    let app = driven.number("up 1");
    driven.send(libc::SIGSTOP);
    let is = |pid: i32, state: &str| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(state);
    until("we stop", || is(driven.pid(), ") T "));
    kill(app, libc::SIGUSR1);
    until("it ends", || is(app, ") Z "));
    driven.tell("restart 2");
    driven.send(libc::SIGCONT);
    driven.expect(&["Refused"]);
    assert_eq!(driven.end(), 6);
    // And once it was asked to end from outside, it has its time.
    let mut driven = Driven::script(&[], &script("trap 'echo asked; sleep 0.2; exit 5' TERM; "));
    driven.number("up 1");
    driven.send(libc::SIGTERM);
    driven.expect(&["asked"]);
    driven.tell("restart 2");
    driven.expect(&["Refused"]);
    assert_eq!(driven.end(), 5);
    Outcome::Passed
}

fn a_run_that_cannot_start() -> Outcome {
    let mut driven = Driven::script(&[], &script(""));
    driven.number("up 1");
    driven.tell("replace /nonexistent/app");
    driven.expect(&["Begun"]);
    assert_eq!(driven.end(), 127);
    Outcome::Passed
}

fn many_restarts() -> Outcome {
    let mut driven = Driven::script(&["--busy"], &script("sleep 300 & "));
    driven.number("up 1");
    for generation in 2..=40 {
        driven.tell(&format!("restart {generation}"));
        driven.expect(&["Begun"]);
        expect_restart(&mut driven, generation);
    }
    // Two in one breath: the second joins, or begins anew; the last one counts.
    driven.tell("restart 41\nrestart 42");
    driven.expect(&["Begun", "Joined"]);
    let app = expect_restart(&mut driven, 42);
    assert_eq!(driven.children(), [app]);
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 143);
    Outcome::Passed
}

fn the_new_run_gets_the_same() -> Outcome {
    let show = "grep -E '^(Sig(Blk|Ign)|NoNewPrivs|CapEff)' /proc/$$/status | tr '\\n\\t' '  '; \
                (cd /proc/$$/fd; echo *); ulimit -c; ";
    let mut driven = Driven::script(&["--busy"], &format!("{show}echo up; exec sleep 300"));
    let read = |driven: &mut Driven| [driven.line(), driven.line(), driven.line()];
    let first = read(&mut driven);
    assert_eq!(first[2], "up");
    driven.tell("restart 2");
    driven.expect(&["Begun"]);
    let lines: Vec<_> = (0..4).map(|_| driven.line()).filter(|line| line != "notice Restarted").collect();
    assert_eq!(lines, first);
    driven.tell("hook 0 grep -E '^(Sig(Blk|Ign)|NoNewPrivs|CapEff)' /proc/$$/status | tr '\\n\\t' '  '; echo; cat");
    let hook = driven.line();
    assert!(first[0].starts_with(&hook), "{first:?} {hook:?}");
    driven.expect(&["hook 0 Ended(Code(0))"]);
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 143);
    Outcome::Passed
}

fn the_new_run_does_not_outlive_us() -> Outcome {
    let mut driven = Driven::script(&["--busy"], &script(""));
    driven.number("up 1");
    driven.tell("restart 2");
    driven.expect(&["Begun"]);
    let app = expect_restart(&mut driven, 2);
    driven.tell("hook 0 echo hook $$; exec sleep 300");
    let hook = driven.number("hook");
    driven.child.kill().unwrap();
    driven.child.wait().unwrap();
    // The pipe closes when both end.
    driven.expect(&[""]);
    until("both are gone", || !is_running(app) && !is_running(hook));
    Outcome::Passed
}

fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signals_arrive_once() -> Outcome {
    let mut driven = Driven::start(&["drive", "--busy"], &app());
    driven.number("ready");
    for _ in 0..3 {
        driven.tell("signal HUP");
        let mut lines = [driven.line(), driven.line()];
        lines.sort_unstable();
        assert_eq!(lines, ["Sent", "got SIGHUP"]);
        driven.send(libc::SIGUSR1);
        driven.expect(&["got SIGUSR1"]);
    }
    driven.tell("restart 2");
    let mut lines: Vec<_> = (0..4).map(|_| driven.line()).collect();
    lines.sort_unstable();
    assert_eq!(lines[..3], ["Begun", "got SIGTERM", "notice Restarted"]);
    driven.send(libc::SIGHUP);
    driven.expect(&["got SIGHUP"]);
    driven.send(libc::SIGTERM);
    driven.expect(&["got SIGTERM"]);
    assert_eq!(driven.end(), 0);
    Outcome::Passed
}

fn hooks_run_one_at_a_time() -> Outcome {
    let mut driven = Driven::script(&[], &script(""));
    driven.number("up 1");
    driven.tell("hook 0 echo first; while ! test -e go; do sleep 0.01; done");
    driven.expect(&["first"]);
    driven.tell("hook 0 echo old; exit 1\nhook 1 echo other; exit 9\nhook 0 echo new; kill -9 $$");
    driven.tell("signal WINCH");
    driven.expect(&["Sent"]);
    driven.touch("go");
    let ends = ["hook 0 Ended(Code(0))", "hook 0 Ended(Signal(SIGKILL))", "hook 1 Ended(Code(9))"];
    // What a hook says and what is said of the one before may cross.
    let mut lines: Vec<_> = (0..5).map(|_| driven.line()).collect();
    let said: Vec<_> = lines.iter().filter(|line| !line.starts_with("hook")).cloned().collect();
    assert_eq!(said, ["new", "other"]);
    lines.retain(|line| line.starts_with("hook"));
    assert_eq!(lines, ends);
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 143);
    Outcome::Passed
}

fn a_hook_takes_too_long() -> Outcome {
    let options = ["--hook-timeout", "300", "--hook-grace", "200"];
    let mut driven = Driven::script(&options, &script(""));
    let app = driven.number("up 1");
    let begun = Instant::now();
    driven.tell("hook 3 trap '' TERM; sleep 300 & echo child $!; wait; while :; do sleep 300; done");
    let child = driven.number("child");
    driven.expect(&["hook 3 TimedOut(Signal(SIGKILL))"]);
    assert!(begun.elapsed() >= Duration::from_millis(500));
    until("its group is gone, and reaped", || !exists(child));
    driven.tell("hook 3 exec sleep 300");
    driven.expect(&["hook 3 TimedOut(Signal(SIGTERM))"]);
    assert_eq!(driven.children(), [app], "and the app never noticed");
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 143);
    Outcome::Passed
}

fn a_hook_that_cannot_start() -> Outcome {
    let mut driven = Driven::script(&[], &script(""));
    driven.number("up 1");
    driven.tell("missing 4\nhook 0 exit 0");
    driven.expect(&["hook 4 not started: not found", "hook 0 Ended(Code(0))"]);
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 143);
    Outcome::Passed
}

fn a_hook_outlives_a_restart() -> Outcome {
    let mut driven = Driven::script(&[], &script("sleep 300 & "));
    driven.number("up 1");
    driven.tell("hook 0 echo begun; while ! test -e go; do sleep 0.01; done; exit 2");
    driven.expect(&["begun"]);
    driven.tell("restart 2");
    driven.expect(&["Begun"]);
    expect_restart(&mut driven, 2);
    driven.touch("go");
    driven.expect(&["hook 0 Ended(Code(2))"]);
    driven.send(libc::SIGTERM);
    assert_eq!(driven.end(), 143);
    Outcome::Passed
}

fn a_hook_ends_with_the_app() -> Outcome {
    let mut driven = Driven::script(&[], &script(""));
    driven.number("up 1");
    driven.tell("hook 0 echo hook $$; exec sleep 300\nhook 1 echo never");
    let hook = driven.number("hook");
    driven.send(libc::SIGTERM);
    driven.expect(&["hook 0 Ended(Signal(SIGTERM))"]);
    assert_eq!(driven.end(), 143);
    assert!(!exists(hook));
    Outcome::Passed
}

fn both_end_together() -> Outcome {
    for _ in 0..10 {
        let mut driven = Driven::script(&[], &script("trap 'exit 8' USR1; "));
        let app = driven.number("up 1");
        driven.tell("hook 0 trap 'exit 9' USR1; echo hook $$; while :; do sleep 0.01; done");
        let hook = driven.number("hook");
        driven.send(libc::SIGSTOP);
        until("we stop", || fs::read_to_string(format!("/proc/{}/stat", driven.pid())).unwrap().contains(") T "));
        kill(hook, libc::SIGUSR1);
        kill(app, libc::SIGUSR1);
        until("both end", || !is_running(app) && !is_running(hook));
        driven.send(libc::SIGCONT);
        driven.expect(&["hook 0 Ended(Code(9))"]);
        assert_eq!(driven.end(), 8);
    }
    Outcome::Passed
}

fn a_sidecar() -> Outcome {
    let mut driven = Driven::start(&["sidecar", "--busy", "--hook-timeout", "300", "--hook-grace", "300"], &["true"]);
    driven.expect(&["ready"]);
    driven.send(libc::SIGHUP);
    driven.expect(&["received SIGHUP"]);
    driven.tell("hook 0 exit 3\nhook 1 exec sleep 300");
    driven.expect(&["hook 0 Ended(Code(3))", "hook 1 TimedOut(Signal(SIGTERM))"]);
    assert_eq!(driven.children(), [0_i32; 0]);
    driven.tell("hook 0 trap '' TERM; echo begun; while :; do sleep 0.01; done\nhook 1 echo never");
    driven.expect(&["begun"]);
    driven.send(libc::SIGTERM);
    driven.expect(&["received SIGTERM", "hook 0 Ended(Signal(SIGKILL))"]);
    assert_eq!(driven.end(), 5);
    Outcome::Passed
}

fn a_sidecar_as_pid_1() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("needs root, for a pid namespace");
    }
    let mut start = Command::new("unshare");
    start.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(helper());
    start.args(["--helper", "sidecar", "--", "true"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = start.spawn() else {
        return Outcome::Skipped("needs unshare (util-linux)");
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut input = child.stdin.take().unwrap();
    // A zombie that nobody reaps would be there for ever.
    let orphan = "orphan=$(sh -c 'sleep 0.1 >/dev/null & echo $!')";
    input.write_all(format!("hook 0 {orphan}; while test -e /proc/$orphan; do sleep 0.02; done\n").as_bytes()).unwrap();
    let said = [lines.next(), lines.next()];
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said, ["ready", "hook 0 Ended(Code(0))"].map(|line| Some(line.to_owned())));
    Outcome::Passed
}

/// A program of that name, as that user; says when it is there.
fn decoy(directory: &Path, name: &str, uid: u32) -> (Child, BufReader<ChildStdout>) {
    let program = directory.join(name);
    if !program.exists() {
        fs::copy(helper(), &program).unwrap();
    }
    let mut start = Command::new(program);
    start.args(["--helper", "app"]).stdin(Stdio::null()).stdout(Stdio::piped());
    if is_root() {
        start.uid(uid).gid(uid);
    }
    let mut child = start.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("ready"));
    (child, output)
}

fn the_oldest_is_told() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("needs root, for decoys of another user");
    }
    let directory = helper().parent().unwrap();
    let name = format!("n{}", std::process::id());
    let find = |name: &str, uid: u32| {
        let mut start = Command::new(helper());
        let output = start.args(["--helper", "find", name, "HUP"]).uid(uid).gid(uid).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let said = find(&name, 1000);
    assert!(said.starts_with(&format!("no process named {name} runs as uid 1000 in this PID namespace")), "{said}");
    let mut decoys = vec![decoy(directory, &name, 1001)];
    assert!(find(&name, 1000).starts_with(&format!("{name} runs as uid 1001 ")));
    decoys.push(decoy(directory, &format!("{name}x"), 1000));
    let (mut oldest, mut output) = decoy(directory, &name, 1000);
    // Into another tick of the kernel's clock.
    std::thread::sleep(Duration::from_millis(30));
    decoys.push(decoy(directory, &name, 1000));
    for _ in 0..3 {
        assert_eq!(find(&name, 1000), format!("told {}", oldest.id()));
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "got SIGHUP\n");
    }
    oldest.kill().unwrap();
    // A zombie is nobody: the next one is told.
    until("it is a zombie", || !is_running(oldest.id().try_into().unwrap()));
    assert_eq!(find(&name, 1000), format!("told {}", decoys[2].0.id()));
    oldest.wait().unwrap();
    for (mut child, mut output) in decoys.drain(..) {
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
        assert!(rest.is_empty() || rest == "got SIGHUP\n", "{rest:?}");
    }
    Outcome::Passed
}
