//! Executes what `supervisor` decides: reads signals, reaps children, starts and signals the app. Only [`run`] has a
//! loop.
//!
//! [`Supervision::step`] never blocks, and [`Supervision`] is a file descriptor that becomes readable when there is
//! something to do: it is driven by `poll`, or by an async reactor together with rotation.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Notice;
use super::hooks::{HookId, HookOptions, Hooks};
use super::job::TerminalJob;
use super::orphans::Orphans;
use super::supervisor::{Action, Event, Forward, GracePeriods, Restart, Supervisor};
use crate::sys::harden::SavedSignalState;
use crate::sys::image::Image;
use crate::sys::signals::{self, Origin, Received, Signal, SignalSet, Signals, To};
use crate::sys::spawn::{Spawn, SpawnError, Stdin};
use crate::sys::wait::{self, Change, Ended, Waited};
use crate::sys::{Pid, clock};

/// The settings of a supervision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Which processes of the app get forwarded signals, and the stop signal of a restart.
    pub forward: Forward,
    /// How long the processes that the app leaves behind may take to end, including KILL.
    pub grace: Duration,
    /// The signal with which a restart ends the app.
    pub stop: Signal,
    /// How long after that the app gets KILL.
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

/// Why the app could not be started or supervised.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// It could not be started or restarted.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A signal came before it was started: exit 128+n.
    #[error("ended by {0} before the command started")]
    Interrupted(Signal),
    /// A system call failed that normally does not.
    #[error("cannot look after the command")]
    System(#[from] io::Error),
}

/// The result of sending a signal to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalResult {
    /// It was sent.
    Sent,
    /// Nothing was sent: the app has ended, or is being restarted and will start with the new values.
    NobodyToTell,
}

/// The running app and its supervision. Dropping it does not signal the app; PDEATHSIG ends the app when we end.
#[derive(Debug)]
pub struct Supervision {
    original: SavedSignalState,
    options: Options,
    signals: Signals,
    supervisor: Supervisor,
    job: TerminalJob,
    orphans: Orphans,
    hooks: Hooks,
    /// The image of the next run, while a restart is in progress.
    next: Option<Image>,
    notices: Vec<Notice>,
}

impl Supervision {
    /// Starts the app. To be called from the main thread, as [`Self::step`]: the app gets KILL when the thread that
    /// started it ends, so that no process with secrets outlives us. Other threads may exist. Privileges must have been
    /// dropped before, for the whole process.
    pub fn start(image: &Image, original: &SavedSignalState, options: Options) -> Result<Self, SuperviseError> {
        let signals = Signals::open()?;
        if let Some(signal) = original.pending_end() {
            return Err(SuperviseError::Interrupted(signal));
        }
        wait::adopt_orphans()?;
        let mut job = TerminalJob::new();
        let main = spawn(image, original, &mut job)?;
        let grace = GracePeriods { stop: options.stop_grace, orphans: options.grace };
        let ends = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].into_iter();
        let ends = ends.filter(|signal| original.would_end(*signal)).fold(SignalSet::EMPTY, SignalSet::with);
        Ok(Self {
            original: original.clone(),
            options,
            signals,
            supervisor: Supervisor::new(main, job.tty_control(), grace, options.stop, ends),
            job,
            orphans: Orphans::default(),
            hooks: Hooks::new(original, options.hooks),
            next: None,
            notices: Vec::new(),
        })
    }

    /// The app's main process, while it runs. Its ID is not reused before [`Self::step`] reaps it.
    pub fn main(&self) -> Option<Pid> {
        self.supervisor.main()
    }

    /// Stops the app, waits until all its processes have ended, and starts it again with `image`. If a restart is in
    /// progress, it starts once, with the newest image.
    ///
    /// Refused if the app has ended already, or was asked to end by a signal (TERM).
    pub fn restart(&mut self, image: Image, now: Duration) -> io::Result<Restart> {
        // It has ended, and that was not processed yet: the supervision will end as well.
        if let Some(main) = self.supervisor.running_pid()
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

    /// Sends a signal of our own to the app.
    pub fn signal(&self, signal: Signal) -> io::Result<SignalResult> {
        match self.supervisor.running_pid() {
            Some(main) => signals::send(To::Process(main), signal).map(|()| SignalResult::Sent),
            None => Ok(SignalResult::NobodyToTell),
        }
    }

    /// Queues a hook, which starts at the next [`Self::step`] when no other runs. If it waits already, it will run with
    /// the newer image.
    pub fn run_hook(&mut self, id: HookId, image: Image) {
        self.hooks.request(id, image);
    }

    /// Removes and returns what happened since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// When [`Self::step`] has to be called even if nothing becomes readable.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        [self.supervisor.deadline(now), self.hooks.deadline()].into_iter().flatten().min()
    }

    /// Supervises the app until it has ended, and returns how it ended.
    pub fn run(mut self) -> Result<Ended, SuperviseError> {
        loop {
            let now = clock::boottime();
            if let Some(ended) = self.step(now)? {
                return Ok(ended);
            }
            let timeout = match self.deadline(now) {
                None => PollTimeout::NONE,
                // Rounded up to milliseconds, so that it does not wake too early.
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

    /// Does everything that can be done without blocking. `Some` when the app has ended for good. To be called after
    /// [`Self::restart`] and [`Self::run_hook`] too.
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
                // The last chance to see a signal that forbids the restart.
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
            // The running hook is ended like the other orphans.
            self.hooks.forget_waiting();
        }
        self.notices.extend(self.hooks.advance(now));
        self.handle(Event::Woken, now)
    }

    /// Reads and handles all pending signals.
    fn read_signals(&mut self, now: Duration) -> Result<Option<Ended>, SuperviseError> {
        while let Some(received) = self.signals.next_received()? {
            if let Some(ended) = self.handle(Event::Received(received), now)? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    /// Whether all processes of the last run have ended and only the hook remains. Without /proc this is unknown, and
    /// the next run waits for the hook as well.
    fn is_only_the_hook_left(&self) -> bool {
        self.supervisor.is_clearing() && self.hooks.pid().is_some_and(|hook| wait::is_only_child(hook).unwrap_or(false))
    }

    /// Lets the supervisor decide about an event, and executes its actions.
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
                Action::EndOrphans(signal) => {
                    // Between two runs the hook continues; at the end it is ended too.
                    let hook = self.hooks.pid().filter(|_| self.supervisor.is_clearing());
                    self.orphans.end(signal, hook, self.job.group());
                }
                Action::Finish(ended) => return Ok(Some(ended)),
            }
        }
        Ok(None)
    }

    /// Forwards a signal to the app. That the process has ended meanwhile, or runs as another user, is no error.
    fn forward(&self, received: Received) {
        let Some(main) = self.supervisor.main() else { return };
        let _unreachable = match (self.options.forward, self.job.group(), received.origin) {
            (Forward::Group, Some(group), _) => signals::send(To::Group(group), received.signal),
            (_, _, Origin::Queued(value)) => signals::send_with_value(main, received.signal, value),
            _ => signals::send(To::Process(main), received.signal),
        };
    }

    /// Sends the stop signal of a restart to the app.
    fn stop(&mut self, signal: Signal) {
        if signal == Signal::KILL {
            self.notices.push(Notice::Killed);
        }
        self.job.rejoin();
        self.forward(Received { signal, origin: Origin::Process });
    }

    /// Starts the next run of the app.
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

/// Starts the app in the process group that the terminal requires.
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

/// Starts the app, supervises it until it has ended, and returns how it ended.
pub fn run(image: &Image, original: &SavedSignalState, options: Options) -> Result<Ended, SuperviseError> {
    Supervision::start(image, original, options)?.run()
}
