//! The supervisor's work: read signals, reap, do what `supervisor` decides. No loop of its own but [`run`]'s.
//!
//! [`Supervision::step`] never waits, and [`Supervision`] is a descriptor that becomes readable when there is something to
//! do: `poll` drives it, or an async reactor beside rotation.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::supervisor::{Action, Event, Forward, Supervisor};
use crate::sys::harden::Original;
use crate::sys::image::Image;
use crate::sys::signals::{self, Origin, Received, Signal, Signals, To};
use crate::sys::spawn::{Group, Spawn, SpawnError, Stdin};
use crate::sys::terminal::{self, Standing};
use crate::sys::wait::{self, Ended, Waited};
use crate::sys::{Pid, clock};

/// How the app is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Who gets the signals we get.
    pub forward: Forward,
    /// How long what the app left behind may take to end, KILL included.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { forward: Forward::Child, grace: Duration::from_secs(5) }
    }
}

/// Why the app is not, or no longer, looked after.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// It did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A signal came before it started: 128+n.
    #[error("ended by {0} before the command started")]
    Interrupted(Signal),
    /// A system call that does not fail did.
    #[error("cannot look after the command")]
    System(#[from] io::Error),
}

/// The app, started and looked after. Dropping it leaves the app alone; PDEATHSIG ends it with us.
#[derive(Debug)]
pub struct Supervision {
    signals: Signals,
    supervisor: Supervisor,
    standing: Standing,
    /// The process group the app lives in, when it is not ours.
    group: Option<Pid>,
    forward: Forward,
    /// Whom the leftovers' signal reached, so that nobody gets it twice.
    told: Vec<(Pid, Signal)>,
}

impl Supervision {
    /// Starts the app. From the main thread: the app gets KILL when the thread that started it ends, so that nothing with
    /// secrets outlives us. Privileges have been dropped before, for the whole process.
    pub fn start(image: &Image, original: &Original, options: Options) -> Result<Self, SuperviseError> {
        let signals = Signals::open()?;
        if let Some(signal) = original.pending_end() {
            return Err(SuperviseError::Interrupted(signal));
        }
        wait::adopt_orphans()?;
        let standing = terminal::standing();
        let group = match standing {
            // With a terminal we do not own, the app has to stay where its keys reach it.
            Standing::Shared => Group::Shared,
            Standing::Without => Group::Own,
            Standing::Ours => Group::Foreground,
        };
        let death_signal = Some(Signal::KILL);
        let spawn = Spawn { image, original, group, stdin: Stdin::Inherited, death_signal, privileges: None };
        let main = spawn.start().inspect_err(|_| {
            // A child that failed may have had the terminal.
            if group == Group::Foreground {
                terminal::hand_to(nix::unistd::getpgrp());
            }
        })?;
        Ok(Self {
            signals,
            supervisor: Supervisor::new(main, standing, options.grace),
            standing,
            group: (group != Group::Shared).then_some(main),
            forward: options.forward,
            told: Vec::new(),
        })
    }

    /// The app's main process, while it runs: for `onChange` signals. Its number cannot pass to another process before
    /// [`Self::step`] reaps it.
    pub fn main(&self) -> Option<Pid> {
        self.supervisor.main()
    }

    /// When [`Self::step`] is due even if nothing becomes readable.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        self.supervisor.deadline(now)
    }

    /// Looks after the app until it is over, and says how it ended.
    pub fn run(mut self) -> Result<Ended, SuperviseError> {
        loop {
            let now = clock::boottime();
            if let Some(ended) = self.step(now)? {
                return Ok(ended);
            }
            let timeout = match self.deadline(now) {
                None => PollTimeout::NONE,
                // Rounded up: to wake a little late is to wake once.
                Some(deadline) => {
                    let left = deadline.saturating_sub(now) + Duration::from_millis(1);
                    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
                }
            };
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Does all there is to do, without waiting. `Some` when it is over.
    pub fn step(&mut self, now: Duration) -> io::Result<Option<Ended>> {
        while let Some(received) = self.signals.next_received()? {
            if let Some(ended) = self.handle(Event::Received(received), now)? {
                return Ok(Some(ended));
            }
        }
        loop {
            let event = match wait::next_change()? {
                Waited::Changed(pid, change) => Event::Changed(pid, change),
                Waited::Nothing => break,
                Waited::Childless => Event::Childless,
            };
            if let Some(ended) = self.handle(event, now)? {
                return Ok(Some(ended));
            }
            if event == Event::Childless {
                break;
            }
        }
        self.handle(Event::Woken, now)
    }

    fn handle(&mut self, event: Event, now: Duration) -> io::Result<Option<Ended>> {
        for action in self.supervisor.on(event, now) {
            match action {
                Action::Forward(received) => self.forward(received),
                Action::StopTogether => self.stop_together(),
                Action::GiveTerminal => self.give_terminal(),
                Action::TakeTerminal => self.take_terminal(),
                Action::EndLeftovers(signal) => self.end_leftovers(signal),
                Action::Finish(ended) => return Ok(Some(ended)),
            }
        }
        Ok(None)
    }

    /// A process that ended meanwhile, or runs as somebody else, is no error of ours.
    fn forward(&self, received: Received) {
        let Some(main) = self.supervisor.main() else { return };
        let _unreachable = match (self.forward, self.group, received.origin) {
            (Forward::Group, Some(group), _) => signals::send(To::Group(group), received.signal),
            (_, _, Origin::Queued(value)) => signals::send_with_value(main, received.signal, value),
            _ => signals::send(To::Process(main), received.signal),
        };
    }

    /// Ctrl-Z, `fg`, `bg`: to the shell that started us we and the app are one job.
    fn stop_together(&self) {
        self.take_terminal();
        signals::stop_ourselves();
        self.give_terminal();
        // Sent by whoever continued us as well, and then read again; continuing twice changes nothing. Needed where nobody
        // does: a process group that no shell looks after is not stopped by the kernel, but the app's was.
        let Some(main) = self.supervisor.main() else { return };
        let _ended = signals::send(self.group.map_or(To::Process(main), To::Group), Signal::CONT);
    }

    fn give_terminal(&self) {
        if let (Standing::Ours, Some(group)) = (self.standing, self.group)
            && terminal::is_ours()
        {
            terminal::hand_to(group);
        }
    }

    fn take_terminal(&self) {
        if self.standing == Standing::Ours {
            terminal::hand_to(nix::unistd::getpgrp());
        }
    }

    /// Children only: theirs become ours as they end, and no number of a child can belong to somebody else.
    fn end_leftovers(&mut self, signal: Signal) {
        let children = match (wait::children(), self.group) {
            (Ok(children), _) => children,
            // Without /proc, the app's own group is all we know of.
            (Err(_), Some(group)) if !self.told.contains(&(group, signal)) => {
                self.told.push((group, signal));
                let _ended = signals::send(To::Group(group), signal);
                return;
            }
            (Err(_), _) => return,
        };
        for child in children {
            if !self.told.contains(&(child, signal)) {
                self.told.push((child, signal));
                let _ended = signals::send(To::Process(child), signal);
            }
        }
    }
}

impl AsFd for Supervision {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

impl AsRawFd for Supervision {
    fn as_raw_fd(&self) -> RawFd {
        self.signals.as_raw_fd()
    }
}

/// Starts the app, looks after it until it is over, and says how it ended.
pub fn run(image: &Image, original: &Original, options: Options) -> Result<Ended, SuperviseError> {
    Supervision::start(image, original, options)?.run()
}
