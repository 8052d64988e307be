//! What a supervisor decides: pure, driven by events, `now` an argument.

use std::time::Duration;

use crate::sys::Pid;
use crate::sys::signals::{Origin, Received, Signal};
use crate::sys::terminal::Standing;
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
    /// Nobody is left to wait for.
    Childless,
    /// Time passed.
    Woken,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Send it on to the app.
    Forward(Received),
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

/// The states: the app runs; or it is over and what it left behind is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running { main: Pid },
    Ending { outcome: Ended, kill_at: Duration, give_up_at: Duration },
}

/// Decides; knows nothing of how things are done.
#[derive(Debug)]
pub(super) struct Supervisor {
    phase: Phase,
    standing: Standing,
    grace: Duration,
}

impl Supervisor {
    /// From the start of the app on.
    pub(super) fn new(main: Pid, standing: Standing, grace: Duration) -> Self {
        Self { phase: Phase::Running { main }, standing, grace }
    }

    /// The app's main process, while it runs.
    pub(super) fn main(&self) -> Option<Pid> {
        match self.phase {
            Phase::Running { main } => Some(main),
            Phase::Ending { .. } => None,
        }
    }

    /// When it wants [`Event::Woken`].
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Running { .. } => None,
            Phase::Ending { kill_at, give_up_at, .. } => Some(if now < kill_at { kill_at } else { give_up_at }),
        }
    }

    /// What to do now, in this order.
    pub(super) fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match (self.phase, event) {
            (Phase::Running { .. }, Event::Received(received)) => self.forward(received),
            (Phase::Running { main }, Event::Changed(pid, change)) if pid == main => self.main_changed(change, now),
            // An orphan, reaped; nothing else to do.
            (Phase::Running { .. }, Event::Changed(..) | Event::Childless | Event::Woken) => Vec::new(),
            (Phase::Ending { outcome, .. }, Event::Childless) => vec![Action::Finish(outcome)],
            (Phase::Ending { outcome, give_up_at, .. }, _) if now >= give_up_at => vec![Action::Finish(outcome)],
            // Whoever's parent ended is our child now, and gets what its parent got.
            (Phase::Ending { kill_at, .. }, _) => {
                vec![Action::EndLeftovers(if now < kill_at { Signal::TERM } else { Signal::KILL })]
            }
        }
    }

    fn forward(&self, received: Received) -> Vec<Action> {
        match received.signal {
            // Says only that there is something to wait for.
            Signal::CHLD => Vec::new(),
            // `fg`: our group was put into the foreground, the app's has to follow.
            Signal::CONT if self.standing == Standing::Ours => vec![Action::GiveTerminal, Action::Forward(received)],
            // The terminal's keys, and its size, reached the whole group, and the app is in it.
            Signal::INT | Signal::QUIT | Signal::TSTP | Signal::WINCH
                if self.standing == Standing::Shared && received.origin == Origin::Kernel =>
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
                let kill_at = now + self.grace * 4 / 5;
                self.phase = Phase::Ending { outcome, kill_at, give_up_at: now + self.grace };
                vec![Action::TakeTerminal, Action::EndLeftovers(Signal::TERM)]
            }
            Change::Stopped(_) if self.standing != Standing::Without => vec![Action::StopTogether],
            // Without a terminal somebody stopped it on purpose, and will continue it.
            Change::Stopped(_) | Change::Continued => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: Pid = Pid::from_raw(10);
    const ORPHAN: Pid = Pid::from_raw(11);
    const GRACE: Duration = Duration::from_secs(5);

    fn supervisor(standing: Standing) -> Supervisor {
        Supervisor::new(MAIN, standing, GRACE)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn received(signal: Signal, origin: Origin) -> Event {
        Event::Received(Received { signal, origin })
    }

    fn ended(pid: Pid, code: u8) -> Event {
        Event::Changed(pid, Change::Ended(Ended::Code(code)))
    }

    #[test]
    fn everything_is_forwarded_but_sigchld() {
        let mut supervisor = supervisor(Standing::Without);
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            for origin in [Origin::Kernel, Origin::Process, Origin::Queued(7)] {
                let expected = match signal {
                    Signal::CHLD => vec![],
                    _ => vec![Action::Forward(Received { signal, origin })],
                };
                assert_eq!(supervisor.on(received(signal, origin), at(0)), expected);
            }
        }
    }

    #[test]
    fn what_a_shared_terminal_sent_to_the_whole_group_is_not_sent_twice() {
        let mut shared = supervisor(Standing::Shared);
        for signal in [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH] {
            assert_eq!(shared.on(received(signal, Origin::Kernel), at(0)), []);
            assert_eq!(shared.on(received(signal, Origin::Process), at(0)).len(), 1, "but {signal} by kill is");
        }
        assert_eq!(shared.on(received(Signal::HUP, Origin::Kernel), at(0)).len(), 1);
    }

    #[test]
    fn stop_and_continue_go_together_on_a_terminal_only() {
        let stopped = Event::Changed(MAIN, Change::Stopped(Signal::TSTP));
        assert_eq!(supervisor(Standing::Without).on(stopped, at(0)), []);
        for standing in [Standing::Shared, Standing::Ours] {
            assert_eq!(supervisor(standing).on(stopped, at(0)), [Action::StopTogether]);
        }
        let orphan_stopped = Event::Changed(ORPHAN, Change::Stopped(Signal::TSTP));
        assert_eq!(supervisor(Standing::Ours).on(orphan_stopped, at(0)), []);
        let actions = supervisor(Standing::Ours).on(received(Signal::CONT, Origin::Process), at(0));
        assert_eq!(actions[0], Action::GiveTerminal);
        assert!(matches!(actions[1], Action::Forward(_)));
    }

    #[test]
    fn the_end_of_the_main_process_is_the_end_and_that_of_an_orphan_is_not() {
        let mut supervisor = supervisor(Standing::Without);
        assert_eq!(supervisor.on(ended(ORPHAN, 3), at(0)), []);
        assert_eq!(supervisor.main(), Some(MAIN));
        let ending = [Action::TakeTerminal, Action::EndLeftovers(Signal::TERM)];
        assert_eq!(supervisor.on(ended(MAIN, 7), at(0)), ending);
        assert_eq!(supervisor.main(), None);
        assert_eq!(supervisor.on(Event::Childless, at(0)), [Action::Finish(Ended::Code(7))]);
    }

    #[test]
    fn leftovers_are_asked_then_killed_then_left_alone() {
        let mut supervisor = supervisor(Standing::Without);
        assert_eq!(supervisor.deadline(at(0)), None);
        supervisor.on(ended(MAIN, 0), at(0));
        assert_eq!(supervisor.deadline(at(0)), Some(at(4)));
        assert_eq!(supervisor.on(ended(ORPHAN, 0), at(1)), [Action::EndLeftovers(Signal::TERM)]);
        let hurried = received(Signal::TERM, Origin::Process);
        assert_eq!(
            supervisor.on(hurried, at(2)),
            [Action::EndLeftovers(Signal::TERM)],
            "there is no app to send it to"
        );
        assert_eq!(supervisor.on(Event::Woken, at(4)), [Action::EndLeftovers(Signal::KILL)]);
        assert_eq!(supervisor.deadline(at(4)), Some(at(5)));
        assert_eq!(supervisor.on(Event::Woken, at(5)), [Action::Finish(Ended::Code(0))]);
    }
}
