//! How the app ends is how we end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use crate::Test;
use crate::starter::{Outcome, before, check, command, helper, run, text};

pub(crate) const TESTS: &[Test] = &[
    ("outcome::all_exit_codes_pass_through", all_exit_codes_pass_through),
    ("outcome::death_by_a_signal_is_128_and_its_number", death_by_a_signal),
    ("outcome::exit_codes_pass_even_when_the_caller_ignores_sigchld", exit_codes_pass_with_sigchld_ignored),
    ("outcome::what_cannot_be_executed_is_126_and_what_is_not_there_127", what_cannot_be_executed),
];

fn all_exit_codes_pass_through() -> Outcome {
    for mode in ["exec", "supervise"] {
        for code in 0..=255 {
            let output = run(&mut command(&[mode], &["sh", "-c", &format!("exit {code}")]));
            assert_eq!(output.status.code(), Some(code), "{mode}");
        }
    }
    Outcome::Passed
}

fn death_by_a_signal() -> Outcome {
    for number in (1..=31).chain([34, 50, 64]) {
        if [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH].contains(&number)
            || [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&number)
        {
            continue;
        }
        // Not by a shell, some of which ignore QUIT.
        let die = [helper().to_str().unwrap(), "--helper", "die", &number.to_string()];
        let exec = run(&mut command(&["exec"], &die)).status;
        assert_eq!(exec.signal(), Some(number));
        let supervise = run(&mut command(&["supervise"], &die)).status;
        assert_eq!(supervise.code(), Some(128 + number));
    }
    Outcome::Passed
}

fn exit_codes_pass_with_sigchld_ignored() -> Outcome {
    let mut start = command(&["supervise"], &["sh", "-c", "exit 42"]);
    before(&mut start, || {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        check("ignore", 0);
    });
    assert_eq!(run(&mut start).status.code(), Some(42));
    Outcome::Passed
}

fn what_cannot_be_executed() -> Outcome {
    let at = |name: &str| helper().with_file_name(name);
    for (name, content, mode) in [
        ("no-program", "neither\n", 0o755),
        ("no-interpreter", "#!/nonexistent/interpreter\n", 0o755),
        ("not-executable", "#!/bin/sh\n", 0o644),
    ] {
        fs::write(at(name), content).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for mode in ["exec", "supervise"] {
        for (name, code, says) in [
            ("no-program", 126, "#!"),
            ("no-interpreter", 126, "interpreter"),
            ("not-executable", 126, "not executable"),
            ("nothing", 127, "no such file"),
        ] {
            let output = run(&mut command(&[mode], &[at(name).to_str().unwrap()]));
            assert_eq!(output.status.code(), Some(code), "{mode} {name}: {output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{mode} {name}: {output:?}");
        }
        let output = run(&mut command(&[mode], &["a-command-that-does-not-exist"]));
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(127), ""), "{mode}");
    }
    Outcome::Passed
}
