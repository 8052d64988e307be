//! The helper as a program that drives its processes from a runtime, beside other work and threads; told what to do by lines
//! on its standard input.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use secret_exec::process::{HookId, HookOutcome, Notice, Options, Sidecar, SuperviseError, Supervision, find};
use secret_exec::sys::clock;
use secret_exec::sys::environment::{self, Variable};
use secret_exec::sys::harden::SavedSignalState;
use secret_exec::sys::image::{Image, Limits};
use secret_exec::sys::signals::Signal;
use secret_exec::sys::spawn::SpawnError;
use secret_exec::sys::watch::Watched;

const NO_ENVIRONMENT: [(&str, &str); 0] = [];

/// Forks while others allocate and look names up.
pub(crate) fn busy_threads() {
    for _ in 0..2 {
        std::thread::spawn(|| {
            loop {
                let found = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 1)).map(Iterator::count);
                std::hint::black_box((found.ok(), vec![1_u8; 100_000]));
            }
        });
    }
}

pub(crate) fn supervise(
    program: &Path,
    command: &[OsString],
    original: &SavedSignalState,
    options: Options,
    pipe: Option<&str>,
) -> ExitCode {
    let image = |generation: &str| {
        let mut environment = environment::snapshot();
        environment.push((b"GENERATION".to_vec(), generation.as_bytes().to_vec()));
        Image::new(program, command, &environment, Limits::now()).unwrap()
    };
    let mut supervision = match Supervision::start(&image("1"), original, options) {
        Ok(supervision) => supervision,
        Err(error) => panic!("{error}"),
    };
    runtime().block_on(async {
        let (watched, mut lines) = (Watched::new(&supervision).unwrap(), Lines::open(pipe));
        loop {
            let now = clock::boottime();
            for line in lines.next() {
                match line.split_once(' ').unwrap() {
                    ("restart", generation) => {
                        println!("{:?}", supervision.restart(image(generation), now).unwrap());
                    }
                    ("replace", program) => {
                        let image = Image::new(Path::new(program), command, &environment::snapshot(), Limits::now());
                        println!("{:?}", supervision.restart(image.unwrap(), now).unwrap());
                    }
                    ("signal", name) => {
                        println!("{:?}", supervision.signal(Signal::from_name(name).unwrap()).unwrap());
                    }
                    ("hook", hook) => {
                        let (id, image) = self::hook(hook);
                        supervision.run_hook(id, image);
                    }
                    ("missing", id) => {
                        let image =
                            Image::new(Path::new("/nonexistent/hook"), &["hook"], &NO_ENVIRONMENT, Limits::now());
                        supervision.run_hook(HookId(id.parse().unwrap()), image.unwrap());
                    }
                    other => panic!("{other:?}"),
                }
            }
            let ended = supervision.step(now);
            supervision.notices().iter().for_each(report);
            match ended {
                Ok(None) => {}
                Ok(Some(ended)) => return ExitCode::from(ended.code()),
                Err(SuperviseError::Spawn(SpawnError::Exec(error))) => return ExitCode::from(error.code()),
                Err(error) => panic!("{error}"),
            }
            wait(&watched, &lines, supervision.deadline(now), now).await;
        }
    })
}

pub(crate) fn sidecar(original: &SavedSignalState, options: Options) -> ExitCode {
    let mut sidecar = Sidecar::open(original, options.hooks).unwrap();
    println!("ready");
    runtime().block_on(async {
        let (watched, mut lines) = (Watched::new(&sidecar).unwrap(), Lines::open(None));
        let mut is_over = false;
        loop {
            let now = clock::boottime();
            for line in lines.next() {
                let (id, image) = hook(line.strip_prefix("hook ").unwrap());
                sidecar.run_hook(id, image);
            }
            for notice in sidecar.step(now).unwrap() {
                if matches!(&notice, Notice::Received(received) if received.signal == Signal::TERM) {
                    is_over = true;
                    sidecar.end(now);
                }
                report(&notice);
            }
            if is_over && !sidecar.is_busy() {
                return ExitCode::from(5);
            }
            wait(&watched, &lines, sidecar.deadline(), now).await;
        }
    })
}

/// `helper find NAME SIGNAL`
pub(crate) fn find(arguments: &[String]) -> ExitCode {
    let [name, signal] = arguments else { panic!("NAME SIGNAL") };
    match find::signal_oldest(name, Signal::from_name(signal).unwrap()) {
        Ok(pid) => println!("told {pid}"),
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap()
}

/// `ID SCRIPT`
fn hook(text: &str) -> (HookId, Image) {
    let (id, script) = text.split_once(' ').unwrap();
    let environment: Vec<Variable> = environment::snapshot();
    let image = Image::new(Path::new("/bin/sh"), &["sh", "-c", script], &environment, Limits::now()).unwrap();
    (HookId(id.parse().unwrap()), image)
}

fn report(notice: &Notice) {
    match notice {
        Notice::Received(received) => println!("received {}", received.signal),
        Notice::Hook { id, outcome: HookOutcome::NotStarted(error) } => println!("hook {} not started: {error}", id.0),
        Notice::Hook { id, outcome } => println!("hook {} {outcome:?}", id.0),
        Notice::Restarted(_) => println!("notice Restarted"),
        other => println!("notice {other:?}"),
    }
}

async fn wait(watched: &Watched, lines: &Lines, deadline: Option<Duration>, now: Duration) {
    let left = deadline.map(|deadline| deadline.saturating_sub(now) + Duration::from_millis(1));
    tokio::select! {
        readable = watched.readable() => readable.unwrap(),
        readable = lines.watched.readable(), if !lines.are_over => readable.unwrap(),
        () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => {}
    }
}

/// Lines that say what to do, without waiting for them.
struct Lines {
    file: File,
    watched: Watched,
    read: String,
    are_over: bool,
}

impl Lines {
    /// From a named pipe, where standard input is the app's terminal.
    fn open(pipe: Option<&str>) -> Self {
        let file = match pipe {
            Some(path) => File::options().read(true).write(true).open(path).unwrap(),
            None => std::io::stdin().as_fd().try_clone_to_owned().unwrap().into(),
        };
        Self { watched: Watched::new(&file).unwrap(), file, read: String::new(), are_over: false }
    }

    fn is_readable(&self) -> bool {
        poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
    }

    fn next(&mut self) -> Vec<String> {
        while !self.are_over && self.is_readable() {
            let mut bytes = [0; 4096];
            let count = self.file.read(&mut bytes).unwrap();
            self.are_over = count == 0;
            self.read.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        let whole = self.read.rfind('\n').map_or(0, |end| end + 1);
        self.read.drain(..whole).collect::<String>().lines().map(str::to_owned).collect()
    }
}
