//! Job control for the app: what a shell does with process groups and the terminal for a job.

use crate::sys::Pid;
use crate::sys::signals::{self, Signal, To};
use crate::sys::spawn::Group;
use crate::sys::terminal::{self, TtyControl};

/// The app's process group, and whether it has the terminal.
#[derive(Debug)]
pub(super) struct TerminalJob {
    tty_control: TtyControl,
    /// The process group of the app, when it differs from this process's group.
    group: Option<Pid>,
    /// Whether we made the app's group the foreground group. Only then is the terminal taken back: otherwise it may
    /// belong to a shell that runs us in the background.
    is_lent: bool,
    /// The process group that we share with the app, while we have left it.
    left: Option<Pid>,
}

impl TerminalJob {
    /// The state before the first start of the app.
    pub(super) fn new() -> Self {
        Self { tty_control: terminal::tty_control(), group: None, is_lent: false, left: None }
    }

    pub(super) fn tty_control(&self) -> TtyControl {
        self.tty_control
    }

    pub(super) fn group(&self) -> Option<Pid> {
        self.group
    }

    /// The process group in which to start the app.
    pub(super) fn place(&self) -> Group {
        match self.tty_control {
            // This process may not hand the terminal over: the app stays in the group that its keys reach.
            TtyControl::Shared => Group::Shared,
            TtyControl::Without => Group::Own,
            TtyControl::Foreground if terminal::is_in_foreground() => Group::Foreground,
            // A restart while a shell has us in the background.
            TtyControl::Foreground => Group::Own,
        }
    }

    /// Records that the app was started in `place`.
    pub(super) fn started(&mut self, main: Pid, place: Group) {
        self.group = (place != Group::Shared).then_some(main);
        self.is_lent = place == Group::Foreground;
        // Leave the shared group: a signal to the group reaches the app directly, and would reach it a second time
        // through us.
        if place == Group::Shared {
            self.left = self.left.or_else(terminal::leave_group);
        }
    }

    /// Rejoins the group that the terminal's keys reach, because there may be no app that they could end.
    pub(super) fn rejoin(&mut self) {
        self.left.take().into_iter().for_each(terminal::join_group);
    }

    /// Records that the app could not be started; its child process may have had the terminal.
    pub(super) fn not_started(&mut self, place: Group) {
        self.is_lent = place == Group::Foreground;
        self.take_terminal();
    }

    /// Makes the app's group the foreground group, if we have the terminal.
    pub(super) fn give_terminal(&mut self) {
        if let (TtyControl::Foreground, Some(group)) = (self.tty_control, self.group)
            && terminal::is_in_foreground()
        {
            terminal::hand_to(group);
            self.is_lent = true;
        }
    }

    /// Makes our group the foreground group again, if we had handed the terminal over.
    pub(super) fn take_terminal(&mut self) {
        self.rejoin();
        if self.is_lent {
            terminal::hand_to(nix::unistd::getpgrp());
            self.is_lent = false;
        }
    }

    /// Stops us after the app was stopped (Ctrl-Z), and continues both (`fg`, `bg`): to the shell, we and the app are
    /// one job.
    pub(super) fn stop_together(&mut self, main: Pid) {
        let shares = self.left.is_some();
        self.take_terminal();
        signals::stop_ourselves();
        self.give_terminal();
        // A sandboxed process cannot start the child that leading a new group would require.
        if shares && !terminal::is_group_leader() {
            self.left = terminal::leave_group();
        }
        // Continue the app. If our sender continued it as well, this changes nothing. It is needed where nobody does:
        // the kernel does not stop a process group that no shell controls, but the app's was stopped.
        let _ended = signals::send(self.group.map_or(To::Process(main), To::Group), Signal::CONT);
    }
}
