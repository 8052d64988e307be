//! The app and the terminal: what a shell does for a job, we do for the app.

use crate::sys::Pid;
use crate::sys::signals::{self, Signal, To};
use crate::sys::spawn::Group;
use crate::sys::terminal::{self, TtyControl};

/// The app's process group and the terminal it may have.
#[derive(Debug)]
pub(super) struct TerminalJob {
    tty_control: TtyControl,
    /// The process group the app lives in, when it is not ours.
    group: Option<Pid>,
    /// Whether we handed the terminal over: what we did not give we do not take back, from a shell that had us in the
    /// background.
    is_lent: bool,
    /// The group we share with the app and others, while we are not in it.
    left: Option<Pid>,
}

impl TerminalJob {
    /// Before the first start.
    pub(super) fn new() -> Self {
        Self { tty_control: terminal::tty_control(), group: None, is_lent: false, left: None }
    }

    pub(super) fn tty_control(&self) -> TtyControl {
        self.tty_control
    }

    pub(super) fn group(&self) -> Option<Pid> {
        self.group
    }

    /// The group to start the app in.
    pub(super) fn place(&self) -> Group {
        match self.tty_control {
            // With a terminal we do not own, the app has to stay where its keys reach it.
            TtyControl::Shared => Group::Shared,
            TtyControl::Without => Group::Own,
            TtyControl::Foreground if terminal::is_in_foreground() => Group::Foreground,
            // A restart in the background of somebody's shell.
            TtyControl::Foreground => Group::Own,
        }
    }

    /// The app runs, in that place.
    pub(super) fn started(&mut self, main: Pid, place: Group) {
        self.group = (place != Group::Shared).then_some(main);
        self.is_lent = place == Group::Foreground;
        // What somebody sends to the group reaches the app by itself, and would reach it again through us.
        if place == Group::Shared {
            self.left = self.left.or_else(terminal::leave_group);
        }
    }

    /// Back among those that the terminal's keys reach: the app may not be there to be ended by them.
    pub(super) fn rejoin(&mut self) {
        self.left.take().into_iter().for_each(terminal::join_group);
    }

    /// It does not; it may have had the terminal.
    pub(super) fn not_started(&mut self, place: Group) {
        self.is_lent = place == Group::Foreground;
        self.take_terminal();
    }

    pub(super) fn give_terminal(&mut self) {
        if let (TtyControl::Foreground, Some(group)) = (self.tty_control, self.group)
            && terminal::is_in_foreground()
        {
            terminal::hand_to(group);
            self.is_lent = true;
        }
    }

    pub(super) fn take_terminal(&mut self) {
        self.rejoin();
        if self.is_lent {
            terminal::hand_to(nix::unistd::getpgrp());
            self.is_lent = false;
        }
    }

    /// Ctrl-Z, `fg`, `bg`: to the shell that started us we and the app are one job.
    pub(super) fn stop_together(&mut self, main: Pid) {
        let shares = self.left.is_some();
        self.take_terminal();
        signals::stop_ourselves();
        self.give_terminal();
        // A process that is confined by now starts no other, as the leader of a group would have to.
        if shares && !terminal::leads_its_group() {
            self.left = terminal::leave_group();
        }
        // Sent by whoever continued us as well, and then read again; continuing twice changes nothing. Needed where nobody
        // does: a process group that no shell looks after is not stopped by the kernel, but the app's was.
        let _ended = signals::send(self.group.map_or(To::Process(main), To::Group), Signal::CONT);
    }
}
