//! Hardening, the drop of privileges, exec and supervision, tried with real processes and real users.
//!
//! - `start`: what the caller gave reaches the app unchanged: mask, dispositions, limits, descriptors, waiting signals
//! - `privileges`: every way to begin ends with nothing that could be regained
//! - `outcome`: all exit codes and deaths by signal, in both modes
//! - `supervision`: forwarding, orphans, leftovers, the terminal, pid 1
//! - `restart`: another run of the app, our own signals, hooks, a sidecar's signals, the process of another container
//! - `sandbox`: what a confined process and its neighbour of the same user cannot do
//! - `memory`: an environment block leaves no copy behind
//!
//! A program of its own, without the standard harness: `harden` is the first act of a `main` with one thread. The same
//! program plays us and the app (`helper`, `driver`).

#![expect(clippy::disallowed_methods, reason = "the tests start programs with std, as any caller would")]
#![expect(unsafe_code, reason = "a caller's odd starts (blocked signals, ambient capabilities) are made before execve")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test runner reports, and the helper is an app")]
#![allow(missing_docs, reason = "a test program")]

mod driver;
mod helper;
mod memory;
mod outcome;
mod privileges;
mod restart;
mod sandbox;
mod start;
mod starter;
mod supervision;

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use starter::Outcome;

type Test = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--helper", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return helper::main(rest);
    }
    let tests: Vec<Test> = [
        start::TESTS,
        privileges::TESTS,
        outcome::TESTS,
        supervision::TESTS,
        restart::TESTS,
        sandbox::TESTS,
        memory::TESTS,
    ]
    .concat();
    let is = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_asked_for = |name: &str| {
        let matches =
            |asked: &&String| if is("--exact") { name == asked.as_str() } else { name.contains(asked.as_str()) };
        names.is_empty() || names.iter().any(matches)
    };
    // What test runners ask for: a list, and the tests that are ignored by default (none).
    if is("--list") {
        tests.iter().filter(|_| !is("--ignored")).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in tests.into_iter().filter(|(name, _)| !is("--ignored") && is_asked_for(name)) {
        let (over, watched) = mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            if watched.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("test {name} ... HANGS");
                std::process::abort();
            }
        });
        match std::panic::catch_unwind(test) {
            Ok(Outcome::Passed) => println!("test {name} ... ok"),
            Ok(Outcome::Skipped(reason)) => eprintln!("SKIPPED {name}: {reason}"),
            Err(_) => {
                failed += 1;
                println!("test {name} ... FAILED");
            }
        }
        drop(over);
        watchdog.join().unwrap();
    }
    starter::clean_up();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
