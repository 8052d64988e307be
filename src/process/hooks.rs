//! Commands that run when secrets changed: one at a time, each within its time, the newest values of those that wait.
//!
//! A hook is a child like the app, so whoever reaps (`supervise`, `sidecar`) tells this module what became of whom.

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
    /// How long one may run before it gets TERM.
    pub timeout: Duration,
    /// How long after TERM it gets KILL.
    pub grace: Duration,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), grace: Duration::from_secs(5) }
    }
}

/// Which hook: its place among the actions of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HookId(pub usize);

/// What became of a hook.
#[derive(Debug)]
pub enum HookOutcome {
    /// It ended by itself.
    Ended(Ended),
    /// It took too long, and was ended.
    TimedOut(Ended),
    /// It never ran.
    NotStarted(SpawnError),
}

/// The hooks: at most one that runs, and those that wait, each at most once.
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

    /// Lets it run when its turn comes. One that waits already runs with the newer image; one that runs already runs again.
    pub(super) fn request(&mut self, id: HookId, image: Image) {
        self.waiting.push(id, image);
    }

    /// The process of the one that runs. Its number cannot pass to another process before it is reaped.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Whether one runs or waits.
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some() || !self.waiting.0.is_empty()
    }

    /// When [`Self::advance`] is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.running.as_ref()?.limit {
            Limit::Time { until } | Limit::Terminated { until } => Some(until),
            Limit::Killed => None,
        }
    }

    /// What became of a child, which may be a hook.
    pub(super) fn changed(&mut self, pid: Pid, change: Change) -> Option<Notice> {
        let Change::Ended(ended) = change else { return None };
        let running = self.running.take_if(|running| running.pid == pid)?;
        let outcome = if running.is_timed_out { HookOutcome::TimedOut(ended) } else { HookOutcome::Ended(ended) };
        Some(Notice::Hook { id: running.id, outcome })
    }

    /// Ends the one that takes too long, starts the next one when none runs. From the main thread (see [`Spawn`]).
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
            // A group of its own: what it starts ends with it, and no key of a terminal reaches it.
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

    /// No hook starts any more.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.0.clear();
    }

    /// No hook starts any more, and the one that runs has until the end of its grace.
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

#[derive(Debug)]
struct Running {
    id: HookId,
    pid: Pid,
    limit: Limit,
    is_timed_out: bool,
}

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
    /// What it gets now, because it takes too long.
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

    /// Not reaped yet, so the group is still its own. One that is over already is no error.
    fn send(&self, signal: Signal) {
        let _over = signals::send(To::Group(self.pid), signal);
    }
}

/// Those whose turn will come, in the order in which they were asked for first.
#[derive(Debug)]
struct Waiting<T>(Vec<(HookId, T)>);

impl<T> Waiting<T> {
    fn push(&mut self, id: HookId, image: T) {
        match self.0.iter_mut().find(|(other, _)| *other == id) {
            Some((_, waiting)) => *waiting = image,
            None => self.0.push((id, image)),
        }
    }

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
