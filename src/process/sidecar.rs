//! The process management of a mode without an app: reads signals, runs hooks, and reaps children.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::Notice;
use super::hooks::{HookId, HookOptions, Hooks};
use crate::sys::harden::SavedSignalState;
use crate::sys::image::Image;
use crate::sys::signals::{Signal, Signals};
use crate::sys::wait::{self, Waited};

/// Signals and hooks of a sidecar. It never blocks; like [`super::Supervision`], it is a file descriptor that becomes
/// readable when there is something to do.
#[derive(Debug)]
pub struct Sidecar {
    signals: Signals,
    hooks: Hooks,
}

impl Sidecar {
    /// Opens the signalfd. Signals that are pending already are read first.
    pub fn open(original: &SavedSignalState, options: HookOptions) -> io::Result<Self> {
        Ok(Self { signals: Signals::open()?, hooks: Hooks::new(original, options) })
    }

    /// Queues a hook, which starts at the next [`Self::step`] when no other runs. If it waits already, it will run with
    /// the newer image.
    pub fn run_hook(&mut self, id: HookId, image: Image) {
        self.hooks.request(id, image);
    }

    /// Whether a hook runs or waits.
    pub fn is_busy(&self) -> bool {
        self.hooks.is_busy()
    }

    /// When [`Self::step`] has to be called even if nothing becomes readable.
    pub fn deadline(&self) -> Option<Duration> {
        self.hooks.deadline()
    }

    /// Does everything that can be done without blocking, and returns what happened. To be called after
    /// [`Self::run_hook`] too, and from the main thread, because a hook gets KILL when the thread that started it ends.
    pub fn step(&mut self, now: Duration) -> io::Result<Vec<Notice>> {
        let mut notices = Vec::new();
        while let Some(received) = self.signals.next_received()? {
            // SIGCHLD only announces that there is a child to reap.
            if received.signal != Signal::CHLD {
                notices.push(Notice::Received(received));
            }
        }
        // Reaps orphans too: in its own container a sidecar is the init process.
        while let Waited::Changed(pid, change) = wait::next_change()? {
            notices.extend(self.hooks.changed(pid, change));
        }
        notices.extend(self.hooks.advance(now));
        Ok(notices)
    }

    /// Ends the hooks: removes the waiting ones and sends TERM, later KILL, to the running one. Call [`Self::step`]
    /// until it is not [busy](Self::is_busy).
    pub fn end(&mut self, now: Duration) {
        self.hooks.end(now);
    }
}

impl AsFd for Sidecar {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}
