//! What people type and read: standard input and pipes as files, colour on a terminal only, JSON for programs, and a status
//! that is shown again.

use serde_json::Value;

use support::*;

const CONFIG: &str = "vault: { address: \"http://127.0.0.1:1\", auth: { method: token-file, path: /token } }\n\
                      secrets: { db: \"vault:secret/data/db\" }\n\
                      env: { X: db#k }\nfiles: { db.json: db }\n";

#[test]
fn colour_is_for_a_terminal_and_for_whoever_wants_it() {
    let case = Case::new();
    let local = case.write("local.yaml", "vault:secret/data/db: { data: { k: canary } }\n");
    let run = || case.with_files(CONFIG).command("check").args(&["--online", "--local"]).arg(&local);
    let plain = run().output().ok();
    assert!(plain.contains("\n  ok") && !plain.contains('\x1b') && !plain.contains("canary"), "{plain}");
    let coloured = run().env("TERM", "xterm").pty().output().ok();
    assert!(coloured.contains("\x1b[1mReads (1, once each)\x1b[0m"), "{coloured}");
    assert!(coloured.contains("  \x1b[32mok\x1b[0m"), "{coloured}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let said = run().env("TERM", "xterm").env(name, value).pty().output().ok();
        assert!(said.contains("Reads (1, once each)") && !said.contains('\x1b'), "{name}: {said}");
    }
    let empty = run().env("TERM", "xterm").env("NO_COLOR", "").pty().output().ok();
    assert!(empty.contains("\x1b[1m"), "{empty}");
    // What is piped has none, whatever stdin is.
    let config = case.write("c.yaml", CONFIG);
    let piped = format!("{} check --config {} | cat", program().display(), config.display());
    let said = Run::new("/bin/sh".as_ref()).args(&["-c", &piped]).env("TERM", "xterm").pty().output().ok();
    assert!(said.contains("Reads") && !said.contains('\x1b'), "{said}");
}

#[test]
fn programs_get_the_plan_and_what_is_wrong_as_json() {
    let case = Case::new();
    let local = case.write("local.yaml", "vault:secret/data/db: { data: { k: canary } }\n");
    let run = || case.with_files(CONFIG).command("check").arg("--json");
    let plan: Value = serde_json::from_str(&run().output().ok()).unwrap();
    assert_eq!(plan["ok"], true);
    assert_eq!(plan["problems"], serde_json::json!([]));
    assert_eq!(plan["logins"][0]["address"], "http://127.0.0.1:1");
    assert_eq!(plan["reads"][0]["reference"], "vault:secret/data/db");
    assert_eq!(plan["reads"][0]["name"], "db");
    assert_eq!(plan["reads"][0]["uses"], serde_json::json!(["file db.json", "env X"]));
    assert_eq!(plan["reads"][0].get("answer"), None);
    assert_eq!(
        plan["files"][0],
        serde_json::json!({ "name": "db.json", "mode": "0400", "from": "vault:secret/data/db" })
    );
    assert_eq!(plan["variables"][0]["name"], "X");
    assert_eq!(plan["volume"], case.volume().to_str().unwrap());
    let tried = run().args(&["--online", "--local"]).arg(&local).output();
    let plan: Value = serde_json::from_str(&tried.ok()).unwrap();
    assert_eq!(plan["reads"][0]["answer"], "ok");
    assert!(!tried.out().contains("canary"), "{tried}");
    // What is wrong, where there is a plan and where there is none.
    for (run, code, says) in [
        (run().args(&["--online", "--timeout", "1s"]), 77, "/token"),
        (run().args(&["--set", "onExpired=never"]), 64, "expected keep, remove or stop"),
        (run().args(&["--file", "a=file:/proc/self/environ"]), 64, "it is in /proc"),
        (run().app(&["/nowhere/app"]), 127, "/nowhere/app"),
    ] {
        let outcome = run.output();
        outcome.refused(code, &[says]);
        let wrong: Value = serde_json::from_str(&outcome.out()).unwrap();
        assert_eq!(wrong["ok"], false, "{outcome}");
        assert_eq!(wrong["problems"][0]["exit"], code, "{outcome}");
        assert!(wrong["problems"][0]["text"].as_str().unwrap().contains(says), "{outcome}");
    }
}

#[test]
fn lines_about_a_mistake_have_the_format_that_the_same_file_asks_for() {
    let case = Case::new();
    let config = case.write("bad.yaml", "logFormat: json\nfoo: 1\n");
    let annotations = case.write("annotations", "secret-exec.dev/log-format=\"json\"\nsecret-exec.dev/fooo=\"x\"\n");
    for (flag, path) in [("--config", &config), ("--annotations", &annotations)] {
        let run = || case.run_bare().arg(flag).arg(path);
        let outcome = run().command("init").output();
        let line: serde_json::Value = serde_json::from_str(outcome.err().lines().next().unwrap()).unwrap();
        assert_eq!((outcome.code(), &line["exit"]), (Some(64), &serde_json::json!(64)), "{outcome}");
        let plain = run().args(&["--log-format", "text"]).command("init").output();
        assert!(plain.err().starts_with("secret-exec: "), "{plain}");
    }
}

#[test]
fn a_mistake_of_the_command_line_is_json_where_check_was_told_to() {
    let case = Case::new();
    for words in [&["check", "--json", "--fiel", "x"][..], &["check", "--json", "--"]] {
        let outcome = case.run_bare().args(words).output();
        let said: serde_json::Value = serde_json::from_str(&outcome.out()).unwrap();
        assert_eq!((outcome.code(), &said["ok"]), (Some(64), &serde_json::json!(false)), "{outcome}");
    }
}

#[test]
fn standard_input_and_a_pipe_of_the_shell_are_files() {
    let case = Case::new();
    let local = case.write("local.yaml", "vault:secret/data/db: { data: { k: value } }\n");
    let config = CONFIG.replace("files: { db.json: db }\n", "");
    let run = || case.run().arg("--local").arg(&local);
    for option in [&["--config", "-"][..], &["--config=-"], &["--config", "/dev/stdin"]] {
        let outcome = run().args(option).stdin(config.as_bytes()).sh("printf %s $X; cat").output();
        assert_eq!(outcome.ok(), "value", "{option:?}");
    }
    let both = format!(
        "exec {} --state {} --config <(cat {}) --local <(cat {}) -- /bin/sh -c 'printf %s $X'",
        program().display(),
        case.memory.join("state").display(),
        case.write("c.yaml", &config).display(),
        local.display()
    );
    assert_eq!(Run::new("/bin/bash".as_ref()).user(APP, APP).args(&["-c", &both]).output().ok(), "value");
    // Standard input is read once, and nothing of it is not a configuration.
    for two in [["--config", "-", "--local", "-"], ["--config", "-", "--annotations", "-"]] {
        let outcome = case.run().args(&two).stdin(config.as_bytes()).app(&case.marking_app()).output();
        outcome.refused(64, &["standard input"]);
    }
    let outcome = run().args(&["--config", "-"]).stdin(b"").app(&case.marking_app()).output();
    outcome.refused(64, &["nothing to deliver (--config was read)"]);
    let outcome = run().args(&["--config", "-"]).command("check").stdin(b"").app(&case.marking_app()).output();
    outcome.refused(64, &["nothing to deliver (--config was read)"]);
    assert!(!case.ran());
}

/// How often `text` was printed.
fn count(running: &Running, text: &str) -> usize {
    running.stdout().matches(text).count()
}

#[track_caller]
fn shows(running: &Running, text: &str, times: usize) {
    wait_for(text, || (count(running, text) >= times).then_some(()));
}

#[test]
fn a_status_is_shown_again_until_a_signal_ends_it() {
    let case = Case::new();
    let config = format!("files: {{ a: \"{}\" }}\n", case.secret("a", "canary"));
    let sidecar = || {
        let mut sidecar = case.with_files(&config).command("sidecar").start();
        let answers = || case.with_files(&config).command("status").output().code() == Some(0);
        sidecar.until("answer", || answers().then_some(()));
        sidecar
    };
    let end = |running: Running, code: i32| {
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code(), Some(code));
    };
    let state = case.memory.join("state");
    let status = |more: &[&str]| case.run_bare().args(&["status", "--watch", "--state"]).arg(&state).args(more);
    let first = sidecar();
    let (plain, json) = (status(&[]).start(), status(&["--json"]).start());
    let mut terminal = status(&[]).env("TERM", "xterm").pty().start();
    shows(&plain, "ready: sidecar", 2);
    shows(&json, "\"ready\":true", 2);
    shows(&terminal, "\x1b[H\x1b[2Jready: sidecar", 2);
    assert_eq!((count(&plain, "\x1b"), count(&plain, "canary")), (0, 0));
    terminal.types(b"\x03");
    assert_eq!(terminal.end().code(), Some(130));
    // Whoever was watched may come back.
    end(first, 0);
    shows(&plain, "no supervisor or sidecar answers", 1);
    shows(&json, "\"ready\":false", 1);
    status(&[]).output().refused(69, &["no supervisor or sidecar answers"]);
    let before = count(&plain, "ready: sidecar");
    let second = sidecar();
    shows(&plain, "ready: sidecar", before + 1);
    end(plain, 143);
    end(json, 143);
    // A reader that has enough.
    let head = format!("{} status --watch --state {} | head -1", program().display(), state.display());
    let said = Run::new("/bin/sh".as_ref()).user(APP, APP).args(&["-c", &head]).output().ok();
    assert!(said.starts_with("ready: sidecar"), "{said}");
    end(second, 0);
}

/// A reader that has seen enough is content; whoever can read nothing is told so.
#[test]
fn output_that_cannot_be_written_is_no_success() {
    let case = Case::new();
    let config = case.write("c.yaml", CONFIG);
    let check = format!("check --config {}", config.display());
    for command in [&check, "schema", "man", "completions bash", "--help", "--version"] {
        for (to, code, says) in [
            (">&-", 73, "cannot write to stdout: it is closed"),
            (">/dev/full", 73, "cannot write to stdout: No space left on device"),
            ("", 0, ""),
        ] {
            let line = format!("{{ {} {command} {to}; echo code $? >&2; }} | true", program().display());
            let said = Run::new("/bin/sh".as_ref()).args(&["-c", &line]).output().err();
            assert!(said.contains(&format!("code {code}\n")) && said.contains(says), "{command} {to}: {said}");
        }
    }
}
