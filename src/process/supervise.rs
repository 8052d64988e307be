//! The supervisor's work: read signals, reap, do what `supervisor` decides. No loop of its own but [`run`]'s.
//!
//! [`Supervision::step`] never waits, and [`Supervision`] is a descriptor that becomes readable when there is something to
//! do: `poll` drives it, or an async reactor beside rotation.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Notice;
use super::hooks::{HookId, HookOptions, Hooks};
use super::job::TerminalJob;
use super::orphans::Orphans;
use super::supervisor::{Action, Event, Forward, Patience, Restart, Supervisor};
use crate::sys::harden::SavedSignalState;
use crate::sys::image::Image;
use crate::sys::signals::{self, Origin, Received, Signal, SignalSet, Signals, To};
use crate::sys::spawn::{Spawn, SpawnError, Stdin};
use crate::sys::wait::{self, Change, Ended, Waited};
use crate::sys::{Pid, clock};

/// How the app is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Who gets the signals we get, and a restart's.
    pub forward: Forward,
    /// How long what the app left behind may take to end, KILL included.
    pub grace: Duration,
    /// What a restart asks the app to end with.
    pub stop: Signal,
    /// How long after that it gets KILL.
    pub stop_grace: Duration,
    /// How hooks are run.
    pub hooks: HookOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            forward: Forward::Child,
            grace: Duration::from_secs(5),
            stop: Signal::TERM,
            stop_grace: Duration::from_secs(10),
            hooks: HookOptions::default(),
        }
    }
}

/// Why the app is not, or no longer, looked after.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// It did not start; or not again.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A signal came before it started: 128+n.
    #[error("ended by {0} before the command started")]
    Interrupted(Signal),
    /// A system call that does not fail did.
    #[error("cannot look after the command")]
    System(#[from] io::Error),
}

/// What became of a signal for the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalResult {
    /// It was sent.
    Sent,
    /// Nothing was sent: the app is over, or a restart ends this run of it, and the next one begins with what is new.
    NobodyToTell,
}

/// The app, started and looked after. Dropping it leaves the app alone; PDEATHSIG ends it with us.
#[derive(Debug)]
pub struct Supervision {
    original: SavedSignalState,
    options: Options,
    signals: Signals,
    supervisor: Supervisor,
    job: TerminalJob,
    orphans: Orphans,
    hooks: Hooks,
    /// What the next run starts with, while a restart is under way.
    next: Option<Image>,
    notices: Vec<Notice>,
}

impl Supervision {
    /// Starts the app. From the main thread, as [`Self::step`]: the app gets KILL when the thread that started it ends, so
    /// that nothing with secrets outlives us. Other threads may be there. Privileges have been dropped before, for the
    /// whole process.
    pub fn start(image: &Image, original: &SavedSignalState, options: Options) -> Result<Self, SuperviseError> {
        let signals = Signals::open()?;
        if let Some(signal) = original.pending_end() {
            return Err(SuperviseError::Interrupted(signal));
        }
        wait::adopt_orphans()?;
        let mut job = TerminalJob::new();
        let main = spawn(image, original, &mut job)?;
        let patience = Patience { stop: options.stop_grace, orphans: options.grace };
        let ends = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].into_iter();
        let ends = ends.filter(|signal| original.would_end(*signal)).fold(SignalSet::EMPTY, SignalSet::with);
        Ok(Self {
            original: original.clone(),
            options,
            signals,
            supervisor: Supervisor::new(main, job.tty_control(), patience, options.stop, ends),
            job,
            orphans: Orphans::default(),
            hooks: Hooks::new(original, options.hooks),
            next: None,
            notices: Vec::new(),
        })
    }

    /// The app's main process, while it runs. Its number cannot pass to another process before [`Self::step`] reaps it.
    pub fn main(&self) -> Option<Pid> {
        self.supervisor.main()
    }

    /// Stops the app, waits until nothing of it is left, and starts it anew with `image`. A restart that is under way
    /// starts once, with the newest image.
    ///
    /// An app that is over already, or that somebody else asked to end (TERM), is not started again.
    pub fn restart(&mut self, image: Image, now: Duration) -> io::Result<Restart> {
        // It ended by itself, and nobody has read that yet: that ends us.
        if let Some(main) = self.supervisor.settled()
            && wait::is_over(main)?
        {
            return Ok(Restart::Refused);
        }
        let (restart, action) = self.supervisor.restart(now);
        if restart != Restart::Refused {
            self.next = Some(image);
        }
        if let Some(Action::Stop(signal)) = action {
            self.stop(signal);
        }
        Ok(restart)
    }

    /// Sends the app a signal of ours.
    pub fn signal(&self, signal: Signal) -> io::Result<SignalResult> {
        match self.supervisor.settled() {
            Some(main) => signals::send(To::Process(main), signal).map(|()| SignalResult::Sent),
            None => Ok(SignalResult::NobodyToTell),
        }
    }

    /// Runs a hook at the next [`Self::step`], or when its turn comes. One that waits already runs with the newer image.
    pub fn run_hook(&mut self, id: HookId, image: Image) {
        self.hooks.request(id, image);
    }

    /// What happened since it was asked last.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// When [`Self::step`] is due even if nothing becomes readable.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        [self.supervisor.deadline(now), self.hooks.deadline()].into_iter().flatten().min()
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

    /// Does all there is to do, without waiting. `Some` when it is over. Call it after [`Self::restart`] and
    /// [`Self::run_hook`] too.
    pub fn step(&mut self, now: Duration) -> Result<Option<Ended>, SuperviseError> {
        if let Some(ended) = self.read_signals(now)? {
            return Ok(Some(ended));
        }
        loop {
            let event = match wait::next_change()? {
                Waited::Changed(pid, change) => {
                    self.notices.extend(self.hooks.changed(pid, change));
                    if let Change::Ended(_) = change {
                        self.orphans.reaped(pid);
                    }
                    Event::Changed(pid, change)
                }
                Waited::Nothing if self.is_only_the_hook_left() => Event::Childless,
                Waited::Nothing => break,
                Waited::Childless => Event::Childless,
            };
            if event == Event::Childless && self.supervisor.is_clearing() {
                // The last moment to learn that the app shall not start again.
                if let Some(ended) = self.read_signals(now)? {
                    return Ok(Some(ended));
                }
            }
            if let Some(ended) = self.handle(event, now)? {
                return Ok(Some(ended));
            }
            if event == Event::Childless {
                break;
            }
        }
        if self.supervisor.is_ending() {
            // The one that runs is a leftover like others.
            self.hooks.forget_waiting();
        }
        self.notices.extend(self.hooks.advance(now));
        self.handle(Event::Woken, now)
    }

    fn read_signals(&mut self, now: Duration) -> Result<Option<Ended>, SuperviseError> {
        while let Some(received) = self.signals.next_received()? {
            if let Some(ended) = self.handle(Event::Received(received), now)? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    /// Without /proc nobody can tell, and the next run waits for the hook as well.
    fn is_only_the_hook_left(&self) -> bool {
        self.supervisor.is_clearing() && self.hooks.pid().is_some_and(|hook| wait::is_only_child(hook).unwrap_or(false))
    }

    fn handle(&mut self, event: Event, now: Duration) -> Result<Option<Ended>, SuperviseError> {
        for action in self.supervisor.on(event, now) {
            match action {
                Action::Forward(received) => self.forward(received),
                Action::Stop(signal) => self.stop(signal),
                Action::Abandon => {
                    self.next = None;
                    self.notices.push(Notice::RestartAbandoned);
                }
                Action::Start => self.start_next()?,
                Action::StopTogether => {
                    if let Some(main) = self.supervisor.main() {
                        self.job.stop_together(main);
                    }
                }
                Action::GiveTerminal => self.job.give_terminal(),
                Action::TakeTerminal => self.job.take_terminal(),
                Action::EndLeftovers(signal) => {
                    // Between two runs a hook goes on; at the end nobody does.
                    let hook = self.hooks.pid().filter(|_| self.supervisor.is_clearing());
                    self.orphans.end(signal, hook, self.job.group());
                }
                Action::Finish(ended) => return Ok(Some(ended)),
            }
        }
        Ok(None)
    }

    /// A process that ended meanwhile, or runs as somebody else, is no error of ours.
    fn forward(&self, received: Received) {
        let Some(main) = self.supervisor.main() else { return };
        let _unreachable = match (self.options.forward, self.job.group(), received.origin) {
            (Forward::Group, Some(group), _) => signals::send(To::Group(group), received.signal),
            (_, _, Origin::Queued(value)) => signals::send_with_value(main, received.signal, value),
            _ => signals::send(To::Process(main), received.signal),
        };
    }

    fn stop(&mut self, signal: Signal) {
        if signal == Signal::KILL {
            self.notices.push(Notice::Killed);
        }
        self.job.rejoin();
        self.forward(Received { signal, origin: Origin::Process });
    }

    fn start_next(&mut self) -> Result<(), SpawnError> {
        let image =
            self.next.take().expect("whoever asks for a restart brings an image, which goes when it is abandoned");
        self.orphans.clear();
        let main = spawn(&image, &self.original, &mut self.job)?;
        self.supervisor.started(main);
        self.notices.push(Notice::Restarted(main));
        Ok(())
    }
}

fn spawn(image: &Image, original: &SavedSignalState, job: &mut TerminalJob) -> Result<Pid, SpawnError> {
    let group = job.place();
    let death_signal = Some(Signal::KILL);
    let spawn = Spawn { image, original, group, stdin: Stdin::Inherited, death_signal, privileges: None };
    let main = spawn.start().inspect_err(|_| job.not_started(group))?;
    job.started(main, group);
    Ok(main)
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
pub fn run(image: &Image, original: &SavedSignalState, options: Options) -> Result<Ended, SuperviseError> {
    Supervision::start(image, original, options)?.run()
}
