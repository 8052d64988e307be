//! The control socket: who may ask, what is answered, and what clients that misbehave get.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use secret_exec::serve::{Answer, Ask, AskError, Control, Owner, SecretState, StateDir, StateError, ask};

use crate::fake::{self, Served, memory};

const PATIENCE: Duration = Duration::from_secs(20);
/// Who runs, when root asks; and who may not ask.
const APP: u32 = 23_456;
const STRANGER: u32 = 34_567;

fn asked(state: &Path, what: Ask) -> Result<Answer, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ask(state, what, PATIENCE))
}

/// Says by name that this test did not run. With `CI=1` that is a failure.
fn skipped(reason: &str) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    eprintln!("SKIPPED {name}: {reason}");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "CI=1 and {name} was skipped: {reason}");
}

/// What a line gets: the answer's line, or nothing when the connection is cut.
fn said(served: &Served, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(served.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Cut in the middle is one way to be refused.
    let _ = stream.write_all(line);
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => answer,
    }
}

#[test]
fn a_report_comes_over_as_it_was_given() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let Answer::Status(status) = asked(&served.state, Ask::Status).unwrap() else { panic!("another answer") };
    assert!(status.ready);
    assert_eq!(status.report, fake::report());
}

#[test]
fn readiness_says_why_not() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    assert_eq!(asked(&served.state, Ask::Ready).unwrap(), Answer::Ready { reasons: vec![] });
    served.fake.set(SecretState::Expired);
    let reasons = vec!["db has expired".to_owned()];
    assert_eq!(asked(&served.state, Ask::Ready).unwrap(), Answer::Ready { reasons });
}

#[test]
fn a_second_refresh_within_ten_seconds_is_told_how_long_to_wait() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    assert_eq!(asked(&served.state, Ask::Refresh).unwrap(), Answer::Refreshed { wait_seconds: None, not_read: vec![] });
    let Answer::Refreshed { wait_seconds: Some(wait), .. } = asked(&served.state, Ask::Refresh).unwrap() else {
        panic!("not refused");
    };
    assert!((1..=10).contains(&wait), "{wait}");
}

#[test]
fn what_is_no_question_is_refused_and_a_long_line_is_cut() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    for line in ["", "status", "{}", r#"{"ask":"values"}"#, r#"{"ask":"status","all":true}"#, "\u{0}\u{1}", "[[[[[["] {
        let answer = said(&served, format!("{line}\n").as_bytes());
        assert_eq!(answer.matches('\n').count(), 1, "{line}: {answer}");
        assert!(answer.starts_with(r#"{"refused":"expected {\"ask\":\"status\"}"#), "{line}: {answer}");
    }
    assert_eq!(said(&served, &[b'x'; 100_000]), "");
    // Two questions get one answer.
    let both = said(&served, b"{\"ask\":\"ready\"}\n{\"ask\":\"ready\"}\n");
    assert_eq!(both, "{\"ready\":{\"reasons\":[]}}\n");
}

#[test]
fn slow_clients_are_cut_and_hold_nobody_up() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let start = Instant::now();
    // As many as are let in, and more.
    let slow: Vec<UnixStream> = (0..24)
        .map(|_| {
            let mut stream = UnixStream::connect(served.socket()).unwrap();
            stream.write_all(b"{\"ask\":").unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        })
        .collect();
    served.fake.goes_on();
    assert!(matches!(asked(&served.state, Ask::Ready), Ok(Answer::Ready { .. })));
    served.fake.goes_on();
    for mut stream in slow {
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "a slow client got an answer");
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let mut report = fake::report();
    report.secrets = vec![report.secrets[0].clone(); 5000];
    let dir = memory();
    let served = Served::with(&dir.path().join("s"), report);
    let mut lazy = UnixStream::connect(served.socket()).unwrap();
    lazy.write_all(b"{\"ask\":\"status\"}\n").unwrap();
    let Answer::Status(status) = asked(&served.state, Ask::Status).unwrap() else { panic!("another answer") };
    assert_eq!(status.report.secrets.len(), 5000);
    // Its answer does not fit the socket's buffer; it is cut before its end.
    served.fake.goes_on();
    let mut cut = [PollFd::new(lazy.as_fd(), PollFlags::empty())]; // only the other side's end is told
    assert_eq!(poll(&mut cut, PollTimeout::from(20_000_u16)), Ok(1), "it was not cut");
    served.fake.goes_on();
    let mut text = Vec::new();
    let _ = lazy.read_to_end(&mut text);
    assert!(!text.is_empty() && !text.ends_with(b"\n"), "{} bytes", text.len());
}

#[test]
fn a_flood_of_connections_leaves_the_loop_alive() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let socket = served.socket();
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    let mut stream = UnixStream::connect(&socket).unwrap();
                    let _ = stream.write_all(b"{\"ask\":\"status\"}\n");
                }
            })
        })
        .collect();
    served.fake.goes_on();
    assert!(matches!(asked(&served.state, Ask::Ready), Ok(Answer::Ready { .. })));
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    assert!(matches!(asked(&served.state, Ask::Ready), Ok(Answer::Ready { .. })));
    served.fake.goes_on();
}

#[test]
fn a_dead_ones_socket_is_replaced_and_a_live_one_is_refused() {
    let dir = memory();
    let path = dir.path().join("s");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    drop(UnixListener::bind(path.join("control.sock")).unwrap());
    assert!(matches!(asked(&path, Ask::Ready), Err(AskError::Nobody { .. })), "the socket is dead");

    let served = Served::start(&path);
    assert!(matches!(asked(&path, Ask::Ready), Ok(Answer::Ready { .. })));
    assert_eq!(StateDir::prepare(&path, None).unwrap_err(), StateError::Busy(path.clone()));
    drop(served);
    assert!(!path.join("control.sock").exists(), "an orderly end leaves no socket");
    drop(Served::start(&path));
}

#[test]
fn what_cannot_be_replaced_leaves_no_socket_and_no_failure() {
    let dir = memory();
    let state = StateDir::prepare(&dir.path().join("s"), None).unwrap();
    fs::create_dir(state.path().join("control.sock")).unwrap();
    assert!(Control::open(&state).is_none());
}

#[test]
fn the_socket_is_for_its_owner_only_and_its_path_may_be_long() {
    let dir = memory();
    let path = dir.path().join("long".repeat(40)).join("s");
    let served = Served::start(&path);
    let meta = fs::metadata(served.socket()).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    assert!(matches!(asked(&path, Ask::Ready), Ok(Answer::Ready { .. })));
}

#[test]
fn nobody_there_is_said() {
    let dir = memory();
    let error = asked(&dir.path().join("s"), Ask::Ready).unwrap_err();
    assert!(error.to_string().starts_with("no supervisor or sidecar answers at /dev/shm/"), "{error}");
}

#[test]
fn whoever_accepts_and_says_nothing_costs_no_more_than_our_patience() {
    let dir = memory();
    let _listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(ask(dir.path(), Ask::Status, Duration::from_millis(100)));
    assert!(matches!(answer, Err(AskError::Late { .. })), "{answer:?}");
}

/// Not a test of its own: what `root_and_the_owner_may_ask` starts as another user.
#[test]
#[ignore = "started by another test"]
fn serve_as_somebody_else() {
    let Some(state) = std::env::var_os("SERVE_AT") else { return };
    let _served = Served::start(state.as_ref());
    println!("serving");
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn root_and_the_owner_may_ask_and_nobody_else() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("needs root (other users)");
    }
    let dir = memory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = dir.path().join("s");
    let state = StateDir::prepare(&place, Some(Owner { uid: APP, gid: APP })).unwrap();
    let meta = fs::metadata(&place).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (APP, APP, 0o700));
    drop(state);

    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = |from: &Path, name: &str| {
        let to = shared.path().join(name);
        fs::copy(from, &to).unwrap();
        to
    };
    let mut server = Command::new(copy(&std::env::current_exe().unwrap(), "server"))
        .args(["--exact", "control::serve_as_somebody_else", "--ignored", "--nocapture"])
        .env("SERVE_AT", &place)
        .current_dir("/")
        .uid(APP)
        .gid(APP)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    // The harness says which test it runs on the same line.
    assert!(lines.any(|line| line.unwrap().ends_with("serving")), "it did not start");

    assert!(matches!(asked(&place, Ask::Ready), Ok(Answer::Ready { .. })), "root may ask");
    let program = copy(env!("CARGO_BIN_EXE_secret-exec").as_ref(), "secret-exec");
    let run = |uid: u32| {
        let mut command = Command::new(&program);
        command.args(["status", "--ready", "--state"]).arg(&place).uid(uid).gid(uid).current_dir("/");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(APP), (Some(0), String::new()), "the owner may ask");
    let (code, text) = run(STRANGER);
    assert_eq!(code, Some(69), "{text}");
    assert!(text.contains(&format!("is for user {APP} and root, and we are user {STRANGER}")), "{text}");

    // Even where the way is open, the connection is cut.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.join("control.sock"), fs::Permissions::from_mode(0o666)).unwrap();
    let (code, text) = run(STRANGER);
    assert_eq!(code, Some(69), "{text}");
    assert!(text.contains("gave no answer"), "{text}");
    assert_eq!(run(APP), (Some(0), String::new()));

    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("needs root (other users)");
    }
    let dir = memory();
    let place = dir.path().join("s");
    fs::create_dir(&place).unwrap();
    chown(&place, Some(STRANGER), Some(STRANGER)).unwrap();
    let foreign = StateDir::prepare(&place, Some(Owner { uid: APP, gid: APP })).unwrap_err();
    assert!(matches!(foreign, StateError::Foreign { uid: STRANGER, .. }), "{foreign}");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o1777)).unwrap();
    let shared = StateDir::prepare(&place, None).unwrap_err();
    assert!(shared.to_string().ends_with("/s/own"), "{shared}");
}

#[test]
fn a_question_is_answered_at_once_under_a_thousand_silent_clients() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let slow = crate::fake::keep_connecting(1000, {
        let socket = served.socket();
        move || UnixStream::connect(&socket).ok()
    });
    for _ in 0..3 {
        let start = std::time::Instant::now();
        assert!(matches!(asked(&served.state, Ask::Ready), Ok(Answer::Ready { .. })));
        // Without a place for it, it would wait three seconds until a silent client has used up its time.
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    drop(slow);
}
