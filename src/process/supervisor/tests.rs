//! A supervisor's decisions, over made-up hours.

use super::*;

const MAIN: Pid = Pid::from_raw(10);
const ORPHAN: Pid = Pid::from_raw(11);
const NEXT: Pid = Pid::from_raw(12);
const PATIENCE: GracePeriods = GracePeriods { stop: Duration::from_secs(10), orphans: Duration::from_secs(5) };
const END_LEFTOVERS: [Action; 2] = [Action::TakeTerminal, Action::EndOrphans(Signal::TERM)];

fn supervisor(tty_control: TtyControl) -> Supervisor {
    let ends = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
    let ends = ends.into_iter().fold(SignalSet::EMPTY, SignalSet::with);
    Supervisor::new(MAIN, tty_control, PATIENCE, Signal::TERM, ends)
}

/// One whose restart was begun at 0.
fn stopping(tty_control: TtyControl) -> Supervisor {
    let mut supervisor = supervisor(tty_control);
    assert_eq!(supervisor.restart(at(0)), (Restart::Begun, Some(Action::Stop(Signal::TERM))));
    supervisor
}

/// One whose app ended at 1, after the restart asked it to.
fn clearing() -> Supervisor {
    let mut supervisor = stopping(TtyControl::Without);
    assert_eq!(supervisor.on(ended(MAIN, 0), at(1)), END_LEFTOVERS);
    supervisor
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
fn everything_is_forwarded_but_sigchld_and_what_the_kernel_says_of_our_descriptors() {
    let mut supervisor = supervisor(TtyControl::Without);
    for number in 1..=64 {
        let signal = Signal::from_number(number).unwrap();
        for origin in [Origin::Kernel, Origin::Process, Origin::Queued(7)] {
            let expected = match signal {
                Signal::CHLD => vec![],
                Signal::URG | Signal::IO if origin == Origin::Kernel => vec![],
                _ => vec![Action::Forward(Received { signal, origin })],
            };
            assert_eq!(supervisor.on(received(signal, origin), at(0)), expected);
        }
    }
}

#[test]
fn what_a_shared_terminal_sent_to_the_whole_group_is_not_sent_twice() {
    let mut shared = supervisor(TtyControl::Shared);
    for signal in [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH] {
        assert_eq!(shared.on(received(signal, Origin::Kernel), at(0)), []);
        assert_eq!(shared.on(received(signal, Origin::Process), at(0)).len(), 1, "but {signal} by kill is");
    }
    assert_eq!(shared.on(received(Signal::HUP, Origin::Kernel), at(0)).len(), 1);
}

#[test]
fn what_the_kernel_says_of_our_descriptors_is_not_the_apps() {
    for (signal, tty_control) in [(Signal::URG, TtyControl::Without), (Signal::IO, TtyControl::Shared)] {
        assert_eq!(supervisor(tty_control).on(received(signal, Origin::Kernel), at(0)), []);
        assert_eq!(
            supervisor(tty_control).on(received(signal, Origin::Process), at(0)).len(),
            1,
            "but {signal} by kill is"
        );
    }
}

#[test]
fn stop_and_continue_go_together_on_a_terminal_only() {
    let stopped = Event::Changed(MAIN, Change::Stopped(Signal::TSTP));
    assert_eq!(supervisor(TtyControl::Without).on(stopped, at(0)), []);
    for tty_control in [TtyControl::Shared, TtyControl::Foreground] {
        assert_eq!(supervisor(tty_control).on(stopped, at(0)), [Action::StopTogether]);
    }
    let orphan_stopped = Event::Changed(ORPHAN, Change::Stopped(Signal::TSTP));
    assert_eq!(supervisor(TtyControl::Foreground).on(orphan_stopped, at(0)), []);
    let actions = supervisor(TtyControl::Foreground).on(received(Signal::CONT, Origin::Process), at(0));
    assert_eq!(actions[0], Action::GiveTerminal);
    assert!(matches!(actions[1], Action::Forward(_)));
}

#[test]
fn the_end_of_the_main_process_is_the_end_and_that_of_an_orphan_is_not() {
    let mut supervisor = supervisor(TtyControl::Without);
    assert_eq!(supervisor.on(ended(ORPHAN, 3), at(0)), []);
    assert_eq!(supervisor.main(), Some(MAIN));
    let ending = [Action::TakeTerminal, Action::EndOrphans(Signal::TERM)];
    assert_eq!(supervisor.on(ended(MAIN, 7), at(0)), ending);
    assert_eq!(supervisor.main(), None);
    assert_eq!(supervisor.on(Event::Childless, at(0)), [Action::Finish(Ended::Code(7))]);
}

#[test]
fn orphans_are_terminated_then_killed_then_left_alone() {
    let mut supervisor = supervisor(TtyControl::Without);
    assert_eq!(supervisor.deadline(at(0)), None);
    supervisor.on(ended(MAIN, 0), at(0));
    assert_eq!(supervisor.deadline(at(0)), Some(at(4)));
    assert_eq!(supervisor.on(ended(ORPHAN, 0), at(1)), [Action::EndOrphans(Signal::TERM)]);
    let hurried = received(Signal::TERM, Origin::Process);
    assert_eq!(supervisor.on(hurried, at(2)), [Action::EndOrphans(Signal::TERM)], "there is no app to send it to");
    assert_eq!(supervisor.on(Event::Woken, at(4)), [Action::EndOrphans(Signal::KILL)]);
    assert_eq!(supervisor.deadline(at(4)), Some(at(5)));
    assert_eq!(supervisor.on(Event::Woken, at(5)), [Action::Finish(Ended::Code(0))]);
}

#[test]
fn a_restart_stops_the_app_ends_its_leftovers_and_starts_once() {
    let mut supervisor = stopping(TtyControl::Without);
    assert_eq!((supervisor.main(), supervisor.running_pid()), (Some(MAIN), None));
    assert_eq!(supervisor.on(ended(ORPHAN, 0), at(0)), []);
    assert_eq!(supervisor.on(ended(MAIN, 0), at(1)), END_LEFTOVERS);
    assert_eq!((supervisor.main(), supervisor.deadline(at(1))), (None, Some(at(5))));
    assert_eq!(supervisor.on(ended(ORPHAN, 0), at(2)), [Action::EndOrphans(Signal::TERM)]);
    assert_eq!(supervisor.on(Event::Woken, at(5)), [Action::EndOrphans(Signal::KILL)]);
    assert_eq!(supervisor.deadline(at(5)), None, "two runs never overlap, however long it takes");
    assert_eq!(supervisor.on(Event::Woken, at(500)), [Action::EndOrphans(Signal::KILL)]);
    assert_eq!(supervisor.on(Event::Childless, at(501)), [Action::Start]);
    supervisor.started(NEXT);
    assert_eq!((supervisor.running_pid(), supervisor.deadline(at(502))), (Some(NEXT), None));
}

#[test]
fn an_app_that_does_not_stop_in_time_is_killed_once() {
    let mut supervisor = stopping(TtyControl::Without);
    assert_eq!(supervisor.deadline(at(0)), Some(at(10)));
    assert_eq!(supervisor.on(Event::Woken, at(9)), []);
    assert_eq!(supervisor.on(Event::Woken, at(10)), [Action::Stop(Signal::KILL)]);
    assert_eq!((supervisor.on(Event::Woken, at(11)), supervisor.deadline(at(11))), (vec![], None));
    assert_eq!(supervisor.on(Event::Changed(MAIN, Change::Ended(Ended::Signal(Signal::KILL))), at(11)), END_LEFTOVERS);
    assert_eq!(supervisor.on(Event::Childless, at(11)), [Action::Start]);
}

#[test]
fn a_restart_during_a_restart_joins_it() {
    let mut supervisor = stopping(TtyControl::Without);
    assert_eq!(supervisor.restart(at(4)), (Restart::Joined, None));
    assert_eq!(supervisor.deadline(at(4)), Some(at(10)), "and does not give it more time");
    supervisor.on(ended(MAIN, 0), at(5));
    assert_eq!(supervisor.restart(at(5)), (Restart::Joined, None));
    supervisor.on(Event::Childless, at(5));
    supervisor.started(NEXT);
    assert_eq!(supervisor.restart(at(5)).0, Restart::Begun);
}

#[test]
fn who_asks_the_app_to_end_during_a_restart_is_obeyed() {
    let mut supervisor = stopping(TtyControl::Without);
    let term = Received { signal: Signal::TERM, origin: Origin::Process };
    assert_eq!(supervisor.on(Event::Received(term), at(1)), [Action::Forward(term), Action::Abandon]);
    assert_eq!(supervisor.deadline(at(1)), None, "the grace is theirs");
    assert_eq!(supervisor.restart(at(2)), (Restart::Refused, None));
    assert_eq!(supervisor.on(ended(MAIN, 3), at(60)), END_LEFTOVERS);
    assert_eq!(supervisor.on(Event::Childless, at(60)), [Action::Finish(Ended::Code(3))]);

    let mut supervisor = clearing();
    let abandoned = [Action::Abandon, Action::EndOrphans(Signal::TERM)];
    assert_eq!(supervisor.on(Event::Received(term), at(2)), abandoned);
    assert_eq!(supervisor.on(Event::Childless, at(3)), [Action::Finish(Ended::Code(0))]);

    let mut supervisor = clearing();
    assert_eq!(supervisor.on(Event::Received(term), at(100))[1], Action::EndOrphans(Signal::KILL));
    assert_eq!(supervisor.on(Event::Woken, at(101)), [Action::Finish(Ended::Code(0))], "and gives up as ever");
}

#[test]
fn an_app_that_was_asked_to_end_before_is_not_restarted() {
    let mut supervisor = supervisor(TtyControl::Without);
    supervisor.on(received(Signal::INT, Origin::Process), at(0));
    supervisor.on(received(Signal::QUIT, Origin::Process), at(0));
    assert_eq!(supervisor.restart(at(0)).0, Restart::Begun, "a thread dump is no end");
    supervisor.on(ended(MAIN, 0), at(0));
    supervisor.on(Event::Childless, at(0));
    supervisor.started(NEXT);
    supervisor.on(received(Signal::TERM, Origin::Process), at(1));
    assert_eq!(supervisor.restart(at(2)), (Restart::Refused, None));
}

#[test]
fn what_does_not_ask_for_the_end_does_not_stop_a_restart() {
    for signal in [Signal::HUP, Signal::CONT, Signal::WINCH] {
        assert_eq!(stopping(TtyControl::Without).on(received(signal, Origin::Process), at(1)).len(), 1, "{signal}");
        let ignored = clearing().on(received(signal, Origin::Process), at(1));
        assert_eq!(ignored, [Action::EndOrphans(Signal::TERM)], "{signal} has nobody to go to");
    }
    let gone = stopping(TtyControl::Without).on(received(Signal::HUP, Origin::Kernel), at(1));
    assert_eq!(gone.last(), Some(&Action::Abandon), "the terminal went away");
    let mut deaf = stopping(TtyControl::Without);
    deaf.ends = SignalSet::EMPTY;
    assert_eq!(deaf.on(received(Signal::HUP, Origin::Kernel), at(1)).len(), 1, "nohup");
}

#[test]
fn a_key_ends_what_a_restart_was_stopping() {
    let mut shared = stopping(TtyControl::Shared);
    assert_eq!(shared.on(received(Signal::INT, Origin::Kernel), at(1)), [Action::Abandon]);
    let mut own = stopping(TtyControl::Foreground);
    let actions = own.on(Event::Changed(MAIN, Change::Ended(Ended::Signal(Signal::INT))), at(1));
    assert_eq!(actions, [Action::Abandon, END_LEFTOVERS[0], END_LEFTOVERS[1]]);
    assert_eq!(own.on(Event::Childless, at(1)), [Action::Finish(Ended::Signal(Signal::INT))]);
}

#[test]
fn an_app_that_ends_by_itself_right_after_a_restart_ends_us() {
    let mut supervisor = clearing();
    supervisor.on(Event::Childless, at(1));
    supervisor.started(NEXT);
    assert_eq!(supervisor.on(ended(NEXT, 1), at(1)), END_LEFTOVERS);
    assert_eq!(supervisor.on(Event::Childless, at(1)), [Action::Finish(Ended::Code(1))]);
}
