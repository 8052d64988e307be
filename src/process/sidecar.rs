//! A process without an app of its own: it reads its signals, runs hooks, and reaps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::Notice;
use super::hooks::{HookId, HookOptions, Hooks};
use crate::sys::harden::SavedSignalState;
use crate::sys::image::Image;
use crate::sys::signals::{Signal, Signals};
use crate::sys::wait::{self, Waited};

/// Signals and hooks of a sidecar. It never waits; as [`super::Supervision`], it is a descriptor that becomes readable when
/// there is something to do.
#[derive(Debug)]
pub struct Sidecar {
    signals: Signals,
    hooks: Hooks,
}

impl Sidecar {
    /// Opens it. What signals wait already are the first to be read.
    pub fn open(original: &SavedSignalState, options: HookOptions) -> io::Result<Self> {
        Ok(Self { signals: Signals::open()?, hooks: Hooks::new(original, options) })
    }

    /// Runs a hook at the next [`Self::step`], or when its turn comes. One that waits already runs with the newer image.
    pub fn run_hook(&mut self, id: HookId, image: Image) {
        self.hooks.request(id, image);
    }

    /// Whether a hook runs or waits.
    pub fn is_busy(&self) -> bool {
        self.hooks.is_busy()
    }

    /// When [`Self::step`] is due even if nothing becomes readable.
    pub fn deadline(&self) -> Option<Duration> {
        self.hooks.deadline()
    }

    /// Does all there is to do, without waiting, and says what happened. Call it after [`Self::run_hook`] too. From the
    /// main thread: a hook ends with the thread that started it.
    pub fn step(&mut self, now: Duration) -> io::Result<Vec<Notice>> {
        let mut notices = Vec::new();
        while let Some(received) = self.signals.next_received()? {
            // Says only that there is something to wait for.
            if received.signal != Signal::CHLD {
                notices.push(Notice::Received(received));
            }
        }
        // Orphans too: in a container of its own a sidecar is the first process.
        while let Waited::Changed(pid, change) = wait::next_change()? {
            notices.extend(self.hooks.changed(pid, change));
        }
        notices.extend(self.hooks.advance(now));
        Ok(notices)
    }

    /// No hook starts any more, and the one that runs is asked to end, then killed: go on with [`Self::step`] until it is
    /// not [busy](Self::is_busy).
    pub fn end(&mut self, now: Duration) {
        self.hooks.end(now);
    }
}

impl AsFd for Sidecar {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}
