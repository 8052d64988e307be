//! Signals processes that the app leaves behind when it ends, each process once per signal.

use crate::sys::Pid;
use crate::sys::signals::{self, Signal, To};
use crate::sys::wait;

/// The signals that were sent, so that no process gets the same one twice.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    signalled: Vec<(Pid, Signal)>,
}

impl Orphans {
    /// Sends `signal` to all children except `hook` that did not get it yet. Without /proc the children are unknown,
    /// and it is sent to `group`.
    ///
    /// Only children: orphans become our children as their parents end, and the process ID of a child is not reused.
    pub(super) fn end(&mut self, signal: Signal, hook: Option<Pid>, group: Option<Pid>) {
        match wait::children() {
            Ok(children) => {
                let others = children.into_iter().filter(|child| Some(*child) != hook);
                others.for_each(|child| self.signal_once(child, To::Process(child), signal));
            }
            Err(_) => group.into_iter().for_each(|group| self.signal_once(group, To::Group(group), signal)),
        }
    }

    /// Sends the signal unless it was sent before.
    fn signal_once(&mut self, pid: Pid, to: To, signal: Signal) {
        if !self.signalled.contains(&(pid, signal)) {
            self.signalled.push((pid, signal));
            let _ended = signals::send(to, signal);
        }
    }

    /// Records that a child was reaped: its process ID may be reused from now on.
    pub(super) fn reaped(&mut self, pid: Pid) {
        self.signalled.retain(|(signalled, _)| *signalled != pid);
    }

    /// Forgets everything, because the app starts again.
    pub(super) fn clear(&mut self) {
        self.signalled.clear();
    }
}
