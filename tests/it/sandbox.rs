//! A process of ours that stays confines itself, and the app does not inherit it.

use std::fs;

use crate::support::*;

const LOCAL: &str =
    "vault:database/creds/web: { data: { username: app, password: \"{{random}}\" }, ttl: 2s, renewable: false }\n";
const CONFIG: &str = "files: { db: \"vault:database/creds/web#password\" }\n";
/// Seccomp: 0 is nothing, 2 a filter (proc(5)).
const FREE: &str = "0";
const FILTERED: &str = "2";

fn local(case: &Case, config: &str) -> Run {
    let file = case.write("local.yaml", LOCAL);
    case.with_files(&format!("{CONFIG}{config}")).arg("--local").arg(file)
}

fn status(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap()
}

fn seccomp(pid: i32) -> String {
    status_field(&status(pid), "Seccomp")
}

fn rotates(case: &Case, running: &mut Running) {
    let path = case.volume().join("db");
    let first = running.until("a first delivery", || fs::read(&path).ok());
    running.until("a second delivery", || fs::read(&path).ok().filter(|now| *now != first));
}

/// Whether this process inherited a filter itself (a container's default profile): then everything has one.
fn is_filtered_ourselves() -> bool {
    seccomp(std::process::id().cast_signed()) != FREE
}

#[test]
fn a_sidecar_confines_itself_and_rotates() {
    let case = Case::new();
    let mut running = local(&case, "").command("sidecar").start();
    rotates(&case, &mut running);
    assert_eq!(seccomp(running.pid()), FILTERED);
    assert_eq!(status_field(&status(running.pid()), "NoNewPrivs"), "1");
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(!outcome.err().contains("sandbox"), "{outcome}");
}

#[test]
fn a_supervisor_confines_itself_after_the_app_has_started() {
    if is_filtered_ourselves() {
        return skip("this process has a filter itself, which the app inherits");
    }
    let case = Case::new();
    let script = "grep -E ^Seccomp: /proc/self/status; unshare --user true 2>/dev/null; read end; exit 7";
    let mut running = local(&case, "supervise: true\nonChange: [\"signal:URG\"]\n").sh(script).pty().start();
    let said = running.says("Seccomp");
    assert!(said.contains("Seccomp:\t0"), "the app inherits no filter: {said}");
    let pid = running.pid();
    running.until("the supervisor's filter", || (seccomp(pid) == FILTERED).then_some(()));
    rotates(&case, &mut running);
    running.types(b"\n");
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(7), "{outcome}");
}

#[test]
fn what_starts_commands_later_says_that_it_is_not_confined() {
    let case = Case::new();
    for (config, setting) in [
        ("supervise: true\nonChange: [restart]\n", "onChange: restart"),
        ("supervise: true\nonChange: [{ run: [/bin/true] }]\n", "onChange: run"),
    ] {
        let mut running = local(&case, config).sh("echo ready; sleep 60").start();
        running.says("ready");
        let line = format!("running without a sandbox: {setting} starts commands, which would inherit it");
        wait_for("the line", || running.stderr().contains(&line).then_some(()));
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert_eq!(outcome.err().matches("without a sandbox").count(), 1, "{outcome}");
    }
}

#[test]
fn off_and_log_refuse_nothing() {
    let case = Case::new();
    for (sandbox, expected) in [("off", FREE), ("log", FILTERED)] {
        if sandbox == "off" && is_filtered_ourselves() {
            continue;
        }
        let mut running = local(&case, "").command("sidecar").env("SECRET_EXEC_SANDBOX", sandbox).start();
        rotates(&case, &mut running);
        assert_eq!(seccomp(running.pid()), expected, "{sandbox}");
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert_eq!(outcome.err().contains("sandbox: log: nothing is refused"), sandbox == "log", "{outcome}");
    }
    let outcome = local(&case, "").command("sidecar").args(&["--sandbox", "maybe"]).output();
    outcome.refused(64, &["--sandbox", "off, log or on"]);
}

#[test]
fn check_shows_what_stays_allowed() {
    let case = Case::new();
    let shown = local(&case, "").command("check").output().ok();
    let section = shown.split_once("Confines itself\n").unwrap_or_else(|| panic!("{shown}")).1;
    assert!(section.contains(case.volume().to_str().unwrap()), "{section}");
    assert!(section.contains("/etc/ssl") && section.contains("never execve"), "{section}");
    let shown = local(&case, "").command("check").args(&["--sandbox", "off"]).output().ok();
    assert!(shown.contains("sandbox is off"), "{shown}");
    let shown = local(&case, "onChange: [{ run: [/bin/true] }]\n").command("check").output().ok();
    assert!(shown.contains("onChange: run starts commands"), "{shown}");
}
