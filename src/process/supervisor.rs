//! What a supervisor decides: pure, driven by events, `now` an argument.
//!
//! The app ends by itself, and we end as it did: in whatever run of it, however soon after a start. So there is no loop of
//! crashes to guard against; who started us decides whether we are started again. Only an end that we asked for, by a
//! restart of ours, is followed by another run.

use std::time::Duration;

use crate::sys::Pid;
use crate::sys::signals::{Origin, Received, Signal, SignalSet};
use crate::sys::terminal::TtyControl;
use crate::sys::wait::{Change, Ended};

/// Who gets what we are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forward {
    /// The app's main process.
    #[default]
    Child,
    /// Everybody in its process group.
    Group,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal was read.
    Received(Received),
    /// Something became of a child, or of an orphan that became one.
    Changed(Pid, Change),
    /// Nobody is left to wait for; but for a hook, between two runs of the app.
    Childless,
    /// Time passed.
    Woken,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Send it on to the app.
    Forward(Received),
    /// Our restart: send this to the app.
    Stop(Signal),
    /// No restart after all.
    Abandon,
    /// Nothing of the last run is left: start the next one.
    Start,
    /// The app was stopped from the terminal: stop as well, and go on together.
    StopTogether,
    /// Hand the terminal to the app again, if it is ours to give.
    GiveTerminal,
    /// The app is over: take the terminal back.
    TakeTerminal,
    /// Send this to every child that did not get it yet.
    EndLeftovers(Signal),
    /// It is over, in this way.
    Finish(Ended),
}

/// The result of a request to restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The app was asked to end, and is started again after its end.
    Begun,
    /// One was under way already; it starts with the newer values.
    Joined,
    /// The app is over, or was asked to end by somebody else: it is not started again.
    Refused,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// The app, after a restart of ours asked it to end.
    pub(super) stop: Duration,
    /// What it leaves behind, KILL included.
    pub(super) orphans: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running {
        main: Pid,
    },
    /// Our restart asked it to end; `None` after KILL.
    Stopping {
        main: Pid,
        kill_at: Option<Duration>,
    },
    /// Our restart: it is over, and what it left behind is being ended, for as long as it takes: two runs never overlap.
    Clearing {
        outcome: Ended,
        kill_at: Duration,
    },
    /// It is over for good, and what it left behind is being ended.
    Ending {
        outcome: Ended,
        kill_at: Duration,
        give_up_at: Duration,
    },
}

/// Decides; knows nothing of how things are done.
#[derive(Debug)]
pub(super) struct Supervisor {
    phase: Phase,
    tty_control: TtyControl,
    patience: Patience,
    stop: Signal,
    /// Signals that ask a whole job to end; without those the caller has ignored.
    ends: SignalSet,
    /// Somebody else asked the app to end. It may take its time.
    is_ending: bool,
}

impl Supervisor {
    /// From the start of the app on.
    pub(super) fn new(main: Pid, tty_control: TtyControl, patience: Patience, stop: Signal, ends: SignalSet) -> Self {
        Self { phase: Phase::Running { main }, tty_control, patience, stop, ends, is_ending: false }
    }

    /// The app's main process, while it runs.
    pub(super) fn main(&self) -> Option<Pid> {
        match self.phase {
            Phase::Running { main } | Phase::Stopping { main, .. } => Some(main),
            Phase::Clearing { .. } | Phase::Ending { .. } => None,
        }
    }

    /// The app's main process, unless it is about to be another one.
    pub(super) fn settled(&self) -> Option<Pid> {
        match self.phase {
            Phase::Running { main } => Some(main),
            _ => None,
        }
    }

    /// Whether the app is between two runs.
    pub(super) fn is_clearing(&self) -> bool {
        matches!(self.phase, Phase::Clearing { .. })
    }

    /// Whether the app is over for good.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    /// When it wants [`Event::Woken`].
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Running { .. } => None,
            Phase::Stopping { kill_at, .. } => kill_at,
            Phase::Clearing { kill_at, .. } => (now < kill_at).then_some(kill_at),
            Phase::Ending { kill_at, give_up_at, .. } => Some(if now < kill_at { kill_at } else { give_up_at }),
        }
    }

    /// The app shall start anew; and what to do about it now.
    pub(super) fn restart(&mut self, now: Duration) -> (Restart, Option<Action>) {
        match self.phase {
            Phase::Running { main } if !self.is_ending => {
                self.phase = Phase::Stopping { main, kill_at: Some(now + self.patience.stop) };
                (Restart::Begun, Some(Action::Stop(self.stop)))
            }
            Phase::Stopping { .. } | Phase::Clearing { .. } => (Restart::Joined, None),
            Phase::Running { .. } | Phase::Ending { .. } => (Restart::Refused, None),
        }
    }

    /// [`Action::Start`] was done.
    pub(super) fn started(&mut self, main: Pid) {
        self.phase = Phase::Running { main };
    }

    /// What to do now, in this order.
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
            // An orphan, reaped; nothing else to do.
            (Phase::Running { .. } | Phase::Stopping { .. }, Event::Changed(..) | Event::Childless | Event::Woken) => {
                Vec::new()
            }
            (Phase::Clearing { .. }, Event::Childless) => vec![Action::Start],
            (Phase::Clearing { outcome, kill_at }, Event::Received(received)) if self.asks_to_end(received) => {
                self.phase =
                    Phase::Ending { outcome, kill_at, give_up_at: kill_at.max(now) + self.patience.orphans / 5 };
                vec![Action::Abandon, end_leftovers(kill_at, now)]
            }
            (Phase::Ending { outcome, .. }, Event::Childless) => vec![Action::Finish(outcome)],
            (Phase::Ending { outcome, give_up_at, .. }, _) if now >= give_up_at => vec![Action::Finish(outcome)],
            // Whoever's parent ended is our child now, and gets what its parent got.
            (Phase::Clearing { kill_at, .. } | Phase::Ending { kill_at, .. }, _) => vec![end_leftovers(kill_at, now)],
        }
    }

    fn received(&mut self, received: Received) -> Vec<Action> {
        let mut actions = self.forward(received);
        // INT and QUIT alone say less: Ctrl-C at a prompt, a JVM's thread dump. TERM is meant for good.
        self.is_ending |= received.signal == Signal::TERM && self.asks_to_end(received);
        if let Phase::Stopping { main, .. } = self.phase
            && self.asks_to_end(received)
        {
            // Grace and KILL were our restart's; who asks now has their own.
            self.is_ending = true;
            self.phase = Phase::Running { main };
            actions.push(Action::Abandon);
        }
        actions
    }

    fn asks_to_end(&self, received: Received) -> bool {
        // By `kill` it says: read your configuration again.
        let is_hangup = received.signal != Signal::HUP || received.origin == Origin::Kernel;
        self.ends.contains(received.signal) && is_hangup
    }

    fn forward(&self, received: Received) -> Vec<Action> {
        match received.signal {
            // Says only that there is something to wait for.
            Signal::CHLD => Vec::new(),
            // The kernel says so of a descriptor of ours: a file of a retired generation was opened while its lease was ours.
            Signal::URG | Signal::IO if received.origin == Origin::Kernel => Vec::new(),
            // `fg`: our group was put into the foreground, the app's has to follow.
            Signal::CONT if self.tty_control == TtyControl::Foreground => {
                vec![Action::GiveTerminal, Action::Forward(received)]
            }
            // The terminal's keys, and its size, reached the whole group, and the app is in it.
            Signal::INT | Signal::QUIT | Signal::TSTP | Signal::WINCH
                if self.tty_control == TtyControl::Shared && received.origin == Origin::Kernel =>
            {
                Vec::new()
            }
            _ => vec![Action::Forward(received)],
        }
    }

    fn main_changed(&mut self, change: Change, now: Duration) -> Vec<Action> {
        match change {
            Change::Ended(outcome) => {
                // A fifth of the grace is left to what KILL has to undo.
                let kill_at = now + self.patience.orphans * 4 / 5;
                // A terminal's key that ends an app reaches the app alone.
                let is_by_key = matches!(outcome, Ended::Signal(Signal::INT | Signal::QUIT));
                let was_stopping = matches!(self.phase, Phase::Stopping { .. });
                let actions = [Action::TakeTerminal, Action::EndLeftovers(Signal::TERM)];
                if was_stopping && !is_by_key {
                    self.phase = Phase::Clearing { outcome, kill_at };
                    return actions.into();
                }
                self.phase = Phase::Ending { outcome, kill_at, give_up_at: now + self.patience.orphans };
                was_stopping.then_some(Action::Abandon).into_iter().chain(actions).collect()
            }
            Change::Stopped(_) if self.tty_control != TtyControl::Without => vec![Action::StopTogether],
            // Without a terminal somebody stopped it on purpose, and will continue it.
            Change::Stopped(_) | Change::Continued => Vec::new(),
        }
    }
}

fn end_leftovers(kill_at: Duration, now: Duration) -> Action {
    Action::EndLeftovers(if now < kill_at { Signal::TERM } else { Signal::KILL })
}

#[cfg(test)]
mod tests;
