//! The decisions of a supervisor, as a pure state machine: driven by events, with `now` as an argument.
//!
//! When the app ends by itself, we end with the same result, however soon after a start. So there is no crash loop to
//! guard against: the process that started us decides whether we are started again. Only an end that our own restart
//! has caused is followed by another run.

use std::time::Duration;

use crate::sys::Pid;
use crate::sys::signals::{Origin, Received, Signal, SignalSet};
use crate::sys::terminal::TtyControl;
use crate::sys::wait::{Change, Ended};

/// Which processes get the signals sent to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forward {
    /// The app's main process.
    #[default]
    Child,
    /// All processes in its group.
    Group,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal was read.
    Received(Received),
    /// A child changed its state, or an orphan that became our child.
    Changed(Pid, Change),
    /// No child is left or, between two runs of the app, only a hook.
    Childless,
    /// A deadline has passed.
    Woken,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Forward this signal to the app.
    Forward(Received),
    /// Send this signal to the app, for a restart.
    Stop(Signal),
    /// Abandon the restart.
    Abandon,
    /// Every process of the last run has ended: start the next one.
    Start,
    /// The app was stopped from the terminal: stop us as well, and continue together.
    StopTogether,
    /// Make the app's group the foreground group again, if we have the terminal.
    GiveTerminal,
    /// The app has ended: make our group the foreground group.
    TakeTerminal,
    /// Send this signal to every child that did not get it yet.
    EndOrphans(Signal),
    /// End the supervision with this result.
    Finish(Ended),
}

/// The result of a request to restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The app was asked to end, and will be started again.
    Begun,
    /// A restart was in progress already; it will start with the newer image.
    Joined,
    /// The app has ended, or was asked to end by a signal: it is not started again.
    Refused,
}

/// How long things may take before KILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GracePeriods {
    /// The app, after a restart asked it to end.
    pub(super) stop: Duration,
    /// The processes it leaves behind, including the time after KILL.
    pub(super) orphans: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running {
        main: Pid,
    },
    /// A restart asked the app to end; `kill_at` is `None` after KILL.
    Stopping {
        main: Pid,
        kill_at: Option<Duration>,
    },
    /// For a restart: the app has ended, and its orphans are being ended, however long it takes, so that two runs never
    /// overlap.
    Clearing {
        outcome: Ended,
        kill_at: Duration,
    },
    /// The app has ended for good, and its orphans are being ended.
    Ending {
        outcome: Ended,
        kill_at: Duration,
        give_up_at: Duration,
    },
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Supervisor {
    phase: Phase,
    tty_control: TtyControl,
    grace: GracePeriods,
    stop: Signal,
    /// Signals that ask the app to end, without those that our caller ignores.
    ends: SignalSet,
    /// Whether a signal has asked the app to end. It may take any time for that.
    is_ending: bool,
}

impl Supervisor {
    /// The state right after the start of the app.
    pub(super) fn new(main: Pid, tty_control: TtyControl, grace: GracePeriods, stop: Signal, ends: SignalSet) -> Self {
        Self { phase: Phase::Running { main }, tty_control, grace, stop, ends, is_ending: false }
    }

    /// The app's main process, while it runs.
    pub(super) fn main(&self) -> Option<Pid> {
        match self.phase {
            Phase::Running { main } | Phase::Stopping { main, .. } => Some(main),
            Phase::Clearing { .. } | Phase::Ending { .. } => None,
        }
    }

    /// The app's main process, unless a restart is in progress.
    pub(super) fn running_pid(&self) -> Option<Pid> {
        match self.phase {
            Phase::Running { main } => Some(main),
            _ => None,
        }
    }

    /// Whether the app is between two runs.
    pub(super) fn is_clearing(&self) -> bool {
        matches!(self.phase, Phase::Clearing { .. })
    }

    /// Whether the app has ended for good.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    /// When it needs [`Event::Woken`].
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Running { .. } => None,
            Phase::Stopping { kill_at, .. } => kill_at,
            Phase::Clearing { kill_at, .. } => (now < kill_at).then_some(kill_at),
            Phase::Ending { kill_at, give_up_at, .. } => Some(if now < kill_at { kill_at } else { give_up_at }),
        }
    }

    /// Handles a request to restart the app; returns the result and the action to execute now.
    pub(super) fn restart(&mut self, now: Duration) -> (Restart, Option<Action>) {
        match self.phase {
            Phase::Running { main } if !self.is_ending => {
                self.phase = Phase::Stopping { main, kill_at: Some(now + self.grace.stop) };
                (Restart::Begun, Some(Action::Stop(self.stop)))
            }
            Phase::Stopping { .. } | Phase::Clearing { .. } => (Restart::Joined, None),
            Phase::Running { .. } | Phase::Ending { .. } => (Restart::Refused, None),
        }
    }

    /// Records that [`Action::Start`] was executed.
    pub(super) fn started(&mut self, main: Pid) {
        self.phase = Phase::Running { main };
    }

    /// Handles an event; returns the actions to execute, in order.
    pub(super) fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match (self.phase, event) {
            (Phase::Running { .. } | Phase::Stopping { .. }, Event::Received(received)) => self.received(received),
            (Phase::Running { main } | Phase::Stopping { main, .. }, Event::Changed(pid, change)) if pid == main => {
                self.main_changed(change, now)
            }
            (Phase::Stopping { main, kill_at: Some(kill_at) }, Event::Woken) if now >= kill_at => {
                self.phase = Phase::Stopping { main, kill_at: None };
                vec![Action::Stop(Signal::KILL)]
            }
            // An orphan was reaped: nothing else to do.
            (Phase::Running { .. } | Phase::Stopping { .. }, Event::Changed(..) | Event::Childless | Event::Woken) => {
                Vec::new()
            }
            (Phase::Clearing { .. }, Event::Childless) => vec![Action::Start],
            (Phase::Clearing { outcome, kill_at }, Event::Received(received)) if self.asks_to_end(received) => {
                self.phase = Phase::Ending { outcome, kill_at, give_up_at: kill_at.max(now) + self.grace.orphans / 5 };
                vec![Action::Abandon, end_orphans(kill_at, now)]
            }
            (Phase::Ending { outcome, .. }, Event::Childless) => vec![Action::Finish(outcome)],
            (Phase::Ending { outcome, give_up_at, .. }, _) if now >= give_up_at => vec![Action::Finish(outcome)],
            // Send the signal again: the children of a process that ended are our children now.
            (Phase::Clearing { kill_at, .. } | Phase::Ending { kill_at, .. }, _) => vec![end_orphans(kill_at, now)],
        }
    }

    /// Handles a signal while the app runs or is being stopped.
    fn received(&mut self, received: Received) -> Vec<Action> {
        let mut actions = self.forward(received);
        // INT and QUIT do not always mean the end (Ctrl-C at a prompt, a JVM's thread dump); TERM does.
        self.is_ending |= received.signal == Signal::TERM && self.asks_to_end(received);
        if let Phase::Stopping { main, .. } = self.phase
            && self.asks_to_end(received)
        {
            // The grace period and KILL belonged to our restart; whoever sent this signal has its own.
            self.is_ending = true;
            self.phase = Phase::Running { main };
            actions.push(Action::Abandon);
        }
        actions
    }

    /// Whether a signal asks the app to end.
    fn asks_to_end(&self, received: Received) -> bool {
        // SIGHUP from `kill` means: read your configuration again.
        let is_hangup = received.signal != Signal::HUP || received.origin == Origin::Kernel;
        self.ends.contains(received.signal) && is_hangup
    }

    /// The actions that forward a signal, if it is for the app.
    fn forward(&self, received: Received) -> Vec<Action> {
        match received.signal {
            // SIGCHLD only announces that there is a child to reap.
            Signal::CHLD => Vec::new(),
            // The kernel sent it for one of this process's descriptors: a file of a retired generation was opened while
            // this process had a lease on it.
            Signal::URG | Signal::IO if received.origin == Origin::Kernel => Vec::new(),
            // `fg` made our group the foreground group: the app's has to follow.
            Signal::CONT if self.tty_control == TtyControl::Foreground => {
                vec![Action::GiveTerminal, Action::Forward(received)]
            }
            // The kernel sent these (terminal keys, window size) to the whole group, which includes the app.
            Signal::INT | Signal::QUIT | Signal::TSTP | Signal::WINCH
                if self.tty_control == TtyControl::Shared && received.origin == Origin::Kernel =>
            {
                Vec::new()
            }
            _ => vec![Action::Forward(received)],
        }
    }

    /// Handles a change of the app's main process.
    fn main_changed(&mut self, change: Change, now: Duration) -> Vec<Action> {
        match change {
            Change::Ended(outcome) => {
                // A fifth of the grace period remains for the time after KILL.
                let kill_at = now + self.grace.orphans * 4 / 5;
                // A terminal key that ends the app was sent to the app only, not to us.
                let is_by_key = matches!(outcome, Ended::Signal(Signal::INT | Signal::QUIT));
                let was_stopping = matches!(self.phase, Phase::Stopping { .. });
                let actions = [Action::TakeTerminal, Action::EndOrphans(Signal::TERM)];
                if was_stopping && !is_by_key {
                    self.phase = Phase::Clearing { outcome, kill_at };
                    return actions.into();
                }
                self.phase = Phase::Ending { outcome, kill_at, give_up_at: now + self.grace.orphans };
                was_stopping.then_some(Action::Abandon).into_iter().chain(actions).collect()
            }
            Change::Stopped(_) if self.tty_control != TtyControl::Without => vec![Action::StopTogether],
            // Without a terminal it was stopped on purpose by `kill`, and will be continued the same way.
            Change::Stopped(_) | Change::Continued => Vec::new(),
        }
    }
}

/// Ends orphans: with TERM before `kill_at`, then with KILL.
fn end_orphans(kill_at: Duration, now: Duration) -> Action {
    Action::EndOrphans(if now < kill_at { Signal::TERM } else { Signal::KILL })
}

#[cfg(test)]
mod tests;
