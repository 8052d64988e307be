//! `status` and `refresh` as they are started: what is printed, and the exit code.

use std::process::Command;

use secret_exec::serve::SecretState;

use crate::fake::{Served, memory};

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secret-exec"));
    let output = command.args(arguments).env_clear().output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_probe_prints_nothing_when_all_is_well_and_the_reasons_when_not() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let probe = ["status", "--ready", "--state", served.state.to_str().unwrap()];
    let ready = run(&probe);
    assert_eq!((ready.code, ready.out.as_str(), ready.err.as_str()), (0, "", ""));
    served.fake.set(SecretState::Waiting);
    let waiting = run(&probe);
    assert_eq!((waiting.code, waiting.out.as_str()), (69, ""));
    assert_eq!(waiting.err, "secret-exec: not ready: db is not delivered yet\n");
}

#[test]
fn people_get_a_table_and_programs_get_json() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let state = served.state.to_str().unwrap();
    let table = run(&["status", "--state", state]);
    assert_eq!((table.code, table.err.as_str()), (0, ""));
    assert!(table.out.starts_with("ready: supervise 0.1.0 (process 7), running for "), "{}", table.out);
    assert!(table.out.contains("vault:secret/data/q\"uote\\d\\nline"), "{}", table.out);
    assert!(table.out.contains("transient"), "{}", table.out);

    served.fake.set(SecretState::Expired);
    let json = run(&["status", "--json", "--state", state]);
    assert_eq!((json.code, json.err.as_str()), (69, "secret-exec: not ready: db has expired\n"));
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["ready"], false);
    assert_eq!(value["since"], "2023-11-14T22:13:20Z");
    assert_eq!(value["secrets"][0]["state"], "expired");
    assert_eq!(value["secrets"][0]["next"]["action"], "renew");
    assert_eq!(value["secrets"][1]["lastError"]["class"], "transient");
    assert_eq!(value["tokens"][0]["expires"], "2023-11-14T23:13:20Z");
}

#[test]
fn a_refresh_begins_and_the_next_one_waits() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let state = served.state.to_str().unwrap();
    let first = run(&["refresh", "--json", "--state", state]);
    assert_eq!((first.code, first.out.as_str()), (0, "{\"notRead\":[],\"refreshed\":true,\"waitSeconds\":null}\n"));
    let second = run(&["refresh", "--state", state]);
    assert_eq!((second.code, second.out.as_str()), (69, ""));
    assert!(second.err.starts_with("secret-exec: the last refresh was a moment ago; ask again in "));
}

#[test]
fn nobody_there_is_69() {
    let dir = memory();
    let state = dir.path().join("s");
    for command in [&["status"][..], &["status", "--ready"], &["refresh"]] {
        let said = run(&[command, &["--state", state.to_str().unwrap()]].concat());
        assert_eq!((said.code, said.out.as_str()), (69, ""));
        assert!(said.err.starts_with("secret-exec: no supervisor or sidecar answers at "), "{}", said.err);
    }
}
