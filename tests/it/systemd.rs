//! Under systemd: readiness, socket activation, the watchdog, and directories of the unit.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use support::*;

/// A manager's socket, and what it is told.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn at(case: &Case) -> Self {
        let path = case.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        own(&path, APP);
        Self { socket, name: path.to_str().unwrap().to_owned() }
    }

    fn abstract_name() -> Self {
        let name = format!("secret-exec-test-{}-{}", std::process::id(), unique());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self { socket, name: format!("@{name}") }
    }

    fn messages(&self) -> Vec<String> {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut buffer = [0; 4096];
        std::iter::from_fn(|| self.socket.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into()))
            .collect()
    }
}

#[test]
fn a_manager_is_told_once_when_everything_is_delivered() {
    for mode in [&[][..], &["--supervise"]] {
        let case = Case::new();
        let reference = case.secret("s", "value");
        for manager in [Manager::at(&case), Manager::abstract_name()] {
            let run = case.with_files(&format!("files: {{ f: \"{reference}\" }}")).args(mode);
            let outcome =
                run.env("NOTIFY_SOCKET", &manager.name).sh("cat \"$SECRET_EXEC_DIR/f\"; echo $NOTIFY_SOCKET").output();
            assert_eq!(outcome.code(), Some(0), "{outcome}");
            assert!(outcome.out().contains(&manager.name), "the app may talk to it as well: {outcome}");
            assert_eq!(manager.messages(), ["READY=1"], "{mode:?} {}", manager.name);
            if !manager.name.starts_with('@') {
                fs::remove_file(&manager.name).unwrap();
            }
        }
    }
}

#[test]
fn a_manager_is_told_nothing_after_a_start_that_failed() {
    let case = Case::new();
    let manager = Manager::at(&case);
    for mode in [&[][..], &["--supervise"]] {
        let run = case.run().args(mode).env("NOTIFY_SOCKET", &manager.name).args(&["--env", "A=file:/nowhere/at/all"]);
        case.refused(run, 65, &["/nowhere/at/all"]);
    }
    assert_eq!(manager.messages(), [""; 0]);
}

#[test]
fn a_manager_that_is_not_there_is_a_line_and_no_failure() {
    let case = Case::new();
    for mode in [&[][..], &["--supervise"]] {
        let outcome = case.run().args(mode).env("NOTIFY_SOCKET", case.path("nobody")).sh("exit 3").output();
        assert_eq!(outcome.code(), Some(3), "{outcome}");
        assert_eq!(outcome.err().matches("NOTIFY_SOCKET").count(), 1, "{outcome}");
    }
}

#[test]
fn a_sidecar_tells_the_manager_too() {
    let case = Case::new();
    let reference = case.secret("s", "value");
    let manager = Manager::at(&case);
    let run = case.with_files(&format!("files: {{ f: \"{reference}\" }}")).command("sidecar");
    let running = run.env("NOTIFY_SOCKET", &manager.name).start();
    let told = wait_for("READY=1", || Some(manager.messages()).filter(|told| !told.is_empty()));
    assert_eq!(told, ["READY=1"]);
    assert!(case.volume().join("f").exists());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

/// Has the program find its own process id in the variables, as systemd sets them.
const AS_SYSTEMD: &str = "export LISTEN_FDS=1 LISTEN_PID=$$ WATCHDOG_USEC=1000000 WATCHDOG_PID=$$; exec \"$@\"";

#[test]
fn the_child_finds_its_own_process_id_and_not_ours() {
    let case = Case::new();
    let script = "echo $LISTEN_PID-$WATCHDOG_PID-$LISTEN_FDS-$$";
    for mode in [&[][..], &["--supervise"]] {
        let run = case.run().args(mode).within(&["/bin/sh", "-c", AS_SYSTEMD, "sh"]).sh(script);
        let outcome = run.output();
        let stdout = outcome.out();
        let parts: Vec<&str> = stdout.trim().split('-').collect();
        assert_eq!(parts.len(), 4, "{outcome}");
        assert_eq!((parts[0], parts[1], parts[2]), (parts[3], parts[3], "1"), "{mode:?} {outcome}");
    }
}

#[test]
fn a_process_id_that_is_not_ours_stays_and_one_that_the_config_sets_too() {
    let case = Case::new();
    let run = case.run().arg("--supervise").env("LISTEN_PID", "1").env("WATCHDOG_PID", "");
    assert_eq!(run.sh("echo $LISTEN_PID-$WATCHDOG_PID").output().out(), "1-\n");
    let reference = case.secret("s", "7");
    let run = case.run().arg("--supervise").args(&["--env", &format!("LISTEN_PID={reference}")]);
    let run = run.within(&["/bin/sh", "-c", AS_SYSTEMD, "sh"]);
    assert_eq!(run.sh("echo $LISTEN_PID").output().out(), "7\n");
}

#[test]
fn two_supervisors_without_a_named_state_directory_both_run() {
    let case = Case::new();
    let own_directory = case.path("runtime");
    fs::create_dir(&own_directory).unwrap();
    own(&own_directory, APP);
    let run = || case.run_bare().arg("--supervise").env("RUNTIME_DIRECTORY", &own_directory);
    let mut first = run().sh("echo ready; exec sleep 60").start();
    first.says("ready");
    assert!(own_directory.join("secret-exec-state/control.sock").exists());
    let second = run().sh("exit 4").output();
    assert_eq!(second.code(), Some(4), "{second}");
    assert_eq!(second.err().matches("no state directory").count(), 1, "{second}");
    assert!(
        !second.err().contains("warning: no state directory"),
        "a supervisor needs none, and its app may be beside it: {second}"
    );
    let named = run().arg("--state").arg(own_directory.join("secret-exec-state"));
    case.refused(named, 73, &["another secret-exec runs"]);
    first.signal(libc::SIGTERM);
    first.end();
}

#[test]
fn the_example_unit_works() {
    let case = Case::new();
    let unit = include_str!("../../examples/systemd/web.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let runtime = case.volume();
    fs::create_dir(&runtime).unwrap();
    own(&runtime, APP);
    let reference = case.secret("s", "value");
    let config = case.write("secret-exec.yaml", format!("files: {{ f: \"{reference}\" }}"));
    let words = line.replace("${RUNTIME_DIRECTORY}", runtime.to_str().unwrap());
    let words = words.replace("/etc/web/secret-exec.yaml", config.to_str().unwrap());
    let (options, app) = words.split_once(" -- ").unwrap();
    assert_eq!(app, "/usr/local/bin/web");
    let options: Vec<&str> = options.split(' ').skip(1).collect();
    let manager = Manager::at(&case);
    let run = case.run_bare().args(&options).env("RUNTIME_DIRECTORY", &runtime).env("NOTIFY_SOCKET", &manager.name);
    let mut running = run.sh("cat $SECRET_EXEC_DIR/f; echo; exec sleep 60").start();
    running.says("value");
    let told = wait_for("READY=1", || Some(manager.messages()).filter(|told| !told.is_empty()));
    assert_eq!(told, ["READY=1"]);
    let status = case.run_bare().command("status").env("RUNTIME_DIRECTORY", &runtime).output();
    assert_eq!(status.code(), Some(0), "{status}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(128 + libc::SIGTERM));
}

#[test]
fn a_sidecars_state_directory_on_a_disk_is_said_to_keep_nothing() {
    let case = Case::new();
    let reference = case.secret("s", "7");
    // Each has a volume of its own: what the first one has delivered, or not, is not the second one's.
    let run = |mode: &str, volume: &str, state: &Path| {
        let volume = case.memory.join(volume);
        let run = case.run_bare().arg("--volume").arg(&volume).args(&["--file", &format!("a={reference}")]);
        run.command(mode).arg("--state").arg(state)
    };
    let mut running = run("sidecar", "one", &case.path("state")).start();
    running.reports("is on a disk: nothing is kept there, so a restart begins anew");
    running.signal(libc::SIGTERM);
    running.end();
    let mut running = run("sidecar", "two", &case.memory.join("state")).start();
    running.reports("delivered 1 file");
    running.signal(libc::SIGTERM);
    assert!(!running.end().err().contains("on a disk"));
}
