//! Processes that the app leaves behind when it ends: each gets a signal once.

use crate::sys::Pid;
use crate::sys::signals::{self, Signal, To};
use crate::sys::wait;

/// The signals that were sent, so that no process gets one twice.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    signalled: Vec<(Pid, Signal)>,
}

impl Orphans {
    /// Sends `signal` to all children but `hook` that did not get it yet; without /proc to `group`, which is all we know.
    ///
    /// Children only: theirs become ours as they end, and no number of a child can belong to somebody else.
    pub(super) fn end(&mut self, signal: Signal, hook: Option<Pid>, group: Option<Pid>) {
        match wait::children() {
            Ok(children) => {
                let others = children.into_iter().filter(|child| Some(*child) != hook);
                others.for_each(|child| self.tell(child, To::Process(child), signal));
            }
            Err(_) => group.into_iter().for_each(|group| self.tell(group, To::Group(group), signal)),
        }
    }

    fn tell(&mut self, pid: Pid, to: To, signal: Signal) {
        if !self.signalled.contains(&(pid, signal)) {
            self.signalled.push((pid, signal));
            let _ended = signals::send(to, signal);
        }
    }

    /// A child was reaped: its number may be another's from now on.
    pub(super) fn reaped(&mut self, pid: Pid) {
        self.signalled.retain(|(signalled, _)| *signalled != pid);
    }

    /// The app starts again.
    pub(super) fn clear(&mut self) {
        self.signalled.clear();
    }
}
