//! The program under test: it starts as the real ones do, and plays the app that reports what reaches it.

use std::ffi::{OsStr, OsString};
use std::os::fd::IntoRawFd;
use std::process::ExitCode;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use secret_exec::process::{self, HookOptions, Options, SuperviseError, lookup};
use secret_exec::sys::accounts::{Account, Accounts};
use secret_exec::sys::harden::{self, SavedSignalState};
use secret_exec::sys::image::{Image, Limits};
use secret_exec::sys::signals::{Origin, Signal, Signals, pending, stop_ourselves};
use secret_exec::sys::spawn::{Group, Spawn, SpawnError, Stdin};
use secret_exec::sys::{environment, exec, privilege};

use crate::{driver, memory, sandbox};

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let (mode, rest) = arguments.split_first().expect("a mode");
    if mode == "scan" {
        return memory::scan();
    }
    if mode == "neighbour" {
        return sandbox::neighbour(rest);
    }
    if mode == "die" {
        die(rest[0].parse().expect("a number"));
    }
    let original = match harden::harden() {
        Ok(original) => original,
        Err(error) => return fail(64, &error),
    };
    match mode.as_str() {
        "app" => report_signals(),
        "find" => driver::find(rest),
        "sandbox" => sandbox::confined(rest),
        _ => start(mode, rest, &original),
    }
}

fn start(mode: &str, arguments: &[String], original: &SavedSignalState) -> ExitCode {
    let separator = arguments.iter().position(|argument| argument == "--").expect("-- COMMAND");
    let (options, command) = (&arguments[..separator], &arguments[separator + 1..]);
    let is = |flag: &str| options.iter().any(|option| option == flag);
    let value = |flag: &str| options.iter().position(|option| option == flag).map(|place| options[place + 1].as_str());

    if is("--open") {
        // What a careless library would do.
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: only sets flags of a descriptor of ours.
        unsafe { libc::fcntl(file.into_raw_fd(), libc::F_SETFD, 0) };
    }
    if is("--raise-term") {
        // SAFETY: blocked since `harden`, so it waits.
        unsafe { libc::raise(libc::SIGTERM) };
        assert!(pending().contains(Signal::TERM));
    }
    let threads = is("--thread").then(|| {
        let (over, waits) = std::sync::mpsc::channel::<()>();
        (std::thread::spawn(move || waits.recv()), over)
    });

    let environment = environment::snapshot();
    let path = environment.iter().find(|(name, _)| name == b"PATH").map(|(_, value)| value.as_slice());
    let program = match lookup::find(OsStr::new(&command[0]), path, None) {
        Ok(program) => program,
        Err(error) => return fail(error.code(), &error),
    };
    let arguments: Vec<OsString> = command.iter().map(OsString::from).collect();
    let image = Image::new(&program, &arguments, &environment, Limits::now()).expect("an image");
    let plan = match plan(value("--run-as")) {
        Ok(plan) => plan,
        Err(error) => return fail(71, &*error),
    };
    if mode == "spawn" {
        return spawn(&image, original, &plan);
    }
    if is("--joined") {
        // Joined, and yet in /proc/self/task for a moment more.
        let threads: Vec<_> = (0..50).map(|_| std::thread::spawn(|| ())).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    let applied = privilege::apply(&plan);
    if is("--dumpable") {
        nix::sys::prctl::set_dumpable(true).unwrap();
    }
    if let Err(error) = applied.and_then(|()| privilege::verify(&plan)) {
        return fail(71, &error);
    }
    drop(threads);
    let time = |flag: &str, standard: Duration| {
        value(flag).map_or(standard, |text| Duration::from_millis(text.parse().expect("milliseconds")))
    };
    let standard = Options::default();
    let options = Options {
        grace: time("--grace", standard.grace),
        stop_grace: time("--stop-grace", standard.stop_grace),
        hooks: HookOptions {
            timeout: time("--hook-timeout", standard.hooks.timeout),
            grace: time("--hook-grace", standard.hooks.grace),
        },
        ..standard
    };
    if is("--busy") {
        driver::busy_threads();
    }
    match mode {
        "drive" => driver::supervise(&program, &arguments, original, options, value("--lines")),
        "sidecar" => driver::sidecar(original, options),
        "exec" => {
            let error = exec::replace(&image, original);
            fail(error.code(), &error)
        }
        "supervise" => match process::run(&image, original, options) {
            Ok(ended) => ExitCode::from(ended.code()),
            Err(SuperviseError::Spawn(SpawnError::Exec(error))) => fail(error.code(), &error),
            Err(SuperviseError::Interrupted(signal)) => ExitCode::from(128 + signal.number()),
            Err(error) => fail(70, &error),
        },
        other => panic!("no mode {other}"),
    }
}

/// A child that drops on its way, from a parent that does not.
fn spawn(image: &Image, original: &SavedSignalState, plan: &privilege::Plan) -> ExitCode {
    let spawn = Spawn {
        image,
        original,
        group: Group::Own,
        stdin: Stdin::Null,
        death_signal: Some(Signal::KILL),
        privileges: Some(plan),
    };
    match spawn.start() {
        Ok(child) => {
            let status = nix::sys::wait::waitpid(child, None).unwrap();
            assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
            ExitCode::SUCCESS
        }
        Err(SpawnError::Exec(error)) => fail(error.code(), &error),
        Err(SpawnError::Privileges(error)) => fail(71, &error),
        Err(error) => fail(70, &error),
    }
}

fn plan(run_as: Option<&str>) -> Result<privilege::Plan, Box<dyn std::error::Error>> {
    let state = privilege::State::read()?;
    let Some(text) = run_as else { return Ok(privilege::plan(None, &state)?) };
    let account = |text: &'static str| text.parse().map_or(Account::Name(text), Account::Id);
    let text: &'static str = text.to_owned().leak();
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(account(group))),
        None => (text, None),
    };
    let identity = Accounts::read()?.identity(account(user), group, &state)?;
    Ok(privilege::plan(Some(&identity), &state)?)
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    eprintln!("helper: {text}");
    ExitCode::from(code)
}

/// Ends by this signal.
fn die(signal: i32) -> ! {
    // SAFETY: no handler is installed; the signal ends this process, and a core is not wanted.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
    panic!("{signal} did not end us");
}

/// Says every signal it gets; TERM ends it with 0, INT with 130.
fn report_signals() -> ExitCode {
    let signals = Signals::open().unwrap();
    println!("ready {}", std::process::id());
    loop {
        poll(&mut [PollFd::new(std::os::fd::AsFd::as_fd(&signals), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        while let Some(received) = signals.next_received().unwrap() {
            match received.origin {
                Origin::Queued(value) => println!("got {} value {value}", received.signal),
                _ => println!("got {}", received.signal),
            }
            match received.signal {
                Signal::TERM => return ExitCode::SUCCESS,
                Signal::INT => return ExitCode::from(130),
                Signal::TSTP => {
                    stop_ourselves();
                    println!("continued");
                }
                _ => {}
            }
        }
    }
}
