//! Runs hooks (commands for changed secrets): one at a time, each with a timeout; a hook that waits runs once, with the
//! newest values.
//!
//! A hook is a child process like the app, so the owner of this module (`supervise`, `sidecar`) reaps it and reports
//! its end here.

use std::time::Duration;

use super::Notice;
use crate::sys::Pid;
use crate::sys::harden::SavedSignalState;
use crate::sys::image::Image;
use crate::sys::signals::{self, Signal, To};
use crate::sys::spawn::{Group, Spawn, SpawnError, Stdin};
use crate::sys::wait::{Change, Ended};

/// How hooks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookOptions {
    /// How long a hook may run before it gets TERM.
    pub timeout: Duration,
    /// How long after TERM it gets KILL.
    pub grace: Duration,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), grace: Duration::from_secs(5) }
    }
}

/// Identifies a hook by its index among the configured actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HookId(pub usize);

/// The result of a hook.
#[derive(Debug)]
pub enum HookOutcome {
    /// It exited by itself.
    Ended(Ended),
    /// It ran longer than its timeout, and was ended.
    TimedOut(Ended),
    /// It could not be started.
    NotStarted(SpawnError),
}

/// The running hook, if any, and the waiting ones, each at most once.
#[derive(Debug)]
pub(super) struct Hooks {
    original: SavedSignalState,
    options: HookOptions,
    running: Option<Running>,
    waiting: Waiting<Image>,
}

impl Hooks {
    pub(super) fn new(original: &SavedSignalState, options: HookOptions) -> Self {
        Self { original: original.clone(), options, running: None, waiting: Waiting(Vec::new()) }
    }

    /// Queues a hook. If it waits already, it will run with the newer image; if it runs already, it will run again.
    pub(super) fn request(&mut self, id: HookId, image: Image) {
        self.waiting.push(id, image);
    }

    /// The process of the running hook. Its ID is not reused before the process is reaped.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Whether a hook runs or waits.
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some() || !self.waiting.0.is_empty()
    }

    /// When [`Self::advance`] has to be called.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.running.as_ref()?.limit {
            Limit::Time { until } | Limit::Terminated { until } => Some(until),
            Limit::Killed => None,
        }
    }

    /// Reports a change of a child process; returns a notice if that was the end of the running hook.
    pub(super) fn changed(&mut self, pid: Pid, change: Change) -> Option<Notice> {
        let Change::Ended(ended) = change else { return None };
        let running = self.running.take_if(|running| running.pid == pid)?;
        let outcome = if running.is_timed_out { HookOutcome::TimedOut(ended) } else { HookOutcome::Ended(ended) };
        Some(Notice::Hook { id: running.id, outcome })
    }

    /// Ends a hook that exceeds its timeout, and starts the next one when none runs. To be called from the main thread
    /// (see [`Spawn`]).
    pub(super) fn advance(&mut self, now: Duration) -> Vec<Notice> {
        let mut notices = Vec::new();
        if let Some(running) = &mut self.running
            && let Some(signal) = running.overdue(now, self.options.grace)
        {
            running.send(signal);
        }
        while self.running.is_none()
            && let Some((id, image)) = self.waiting.next()
        {
            // The hook gets a process group of its own: its children end with it, and terminal keys do not reach it.
            let spawn = Spawn {
                image: &image,
                original: &self.original,
                group: Group::Own,
                stdin: Stdin::Null,
                death_signal: Some(Signal::KILL),
                privileges: None,
            };
            match spawn.start() {
                Ok(pid) => {
                    let limit = Limit::Time { until: now + self.options.timeout };
                    self.running = Some(Running { id, pid, limit, is_timed_out: false });
                }
                Err(error) => notices.push(Notice::Hook { id, outcome: HookOutcome::NotStarted(error) }),
            }
        }
        notices
    }

    /// Removes all waiting hooks.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.0.clear();
    }

    /// Removes all waiting hooks, and sends TERM to the running one; after its grace period it gets KILL.
    pub(super) fn end(&mut self, now: Duration) {
        self.forget_waiting();
        if let Some(running) = &mut self.running
            && let Limit::Time { .. } = running.limit
        {
            running.limit = Limit::Terminated { until: now + self.options.grace };
            running.send(Signal::TERM);
        }
    }
}

/// The hook that runs.
#[derive(Debug)]
struct Running {
    id: HookId,
    pid: Pid,
    limit: Limit,
    is_timed_out: bool,
}

/// How a running hook will be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Time {
        until: Duration,
    },
    /// It got TERM.
    Terminated {
        until: Duration,
    },
    Killed,
}

impl Running {
    /// The signal it gets now because it exceeds its time.
    fn overdue(&mut self, now: Duration, grace: Duration) -> Option<Signal> {
        match self.limit {
            Limit::Time { until } if now >= until => {
                self.limit = Limit::Terminated { until: now + grace };
                self.is_timed_out = true;
                Some(Signal::TERM)
            }
            Limit::Terminated { until } if now >= until => {
                self.limit = Limit::Killed;
                Some(Signal::KILL)
            }
            _ => None,
        }
    }

    /// Signals the hook's process group. It is not reaped yet, so the group is still its own; that it has ended is no
    /// error.
    fn send(&self, signal: Signal) {
        let _over = signals::send(To::Group(self.pid), signal);
    }
}

/// The waiting hooks, in the order in which they were first requested.
#[derive(Debug)]
struct Waiting<T>(Vec<(HookId, T)>);

impl<T> Waiting<T> {
    /// Adds an image to the end of the queue, or replaces the waiting one of the same hook.
    fn push(&mut self, id: HookId, image: T) {
        match self.0.iter_mut().find(|(other, _)| *other == id) {
            Some((_, waiting)) => *waiting = image,
            None => self.0.push((id, image)),
        }
    }

    /// Takes the first image of the queue.
    fn next(&mut self) -> Option<(HookId, T)> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_waits_keeps_its_place_and_gets_the_newest_values() {
        let mut waiting = Waiting(Vec::new());
        for (id, image) in [(0, "old"), (1, "other"), (0, "new")] {
            waiting.push(HookId(id), image);
        }
        assert_eq!(waiting.next(), Some((HookId(0), "new")));
        waiting.push(HookId(0), "newer");
        assert_eq!(waiting.next(), Some((HookId(1), "other")));
        assert_eq!(waiting.next(), Some((HookId(0), "newer")));
        assert_eq!(waiting.next(), None);
    }

    #[test]
    fn a_hook_that_takes_too_long_is_asked_then_killed() {
        let at = Duration::from_secs;
        let pid = Pid::from_raw(7);
        let limit = Limit::Time { until: at(30) };
        let mut running = Running { id: HookId(0), pid, limit, is_timed_out: false };
        assert_eq!((running.overdue(at(29), at(5)), running.is_timed_out), (None, false));
        assert_eq!((running.overdue(at(31), at(5)), running.is_timed_out), (Some(Signal::TERM), true));
        assert_eq!(running.overdue(at(35), at(5)), None);
        assert_eq!(running.overdue(at(36), at(5)), Some(Signal::KILL));
        assert_eq!(running.overdue(at(99), at(5)), None);
    }
}
