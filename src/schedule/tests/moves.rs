//! Played by hand, move by move: what may run beside what, and whose answer counts.

use std::time::Duration;

use crate::provider::{Class, Failure};
use crate::schedule::{
    Answer, Authentication, Event, Grant, Life, Lifetime, MountId, Next, Operation, Outcome, Plan, Schedule, SecretId,
    Settings, State, TokenId, Work,
};

use super::{DAY, HOUR, seconds};

const A: SecretId = SecretId(0);
const B: SecretId = SecretId(1);

/// A schedule with that many secrets, in a hand that ran nothing yet.
fn schedule(secrets: usize, operation: Operation) -> Schedule {
    let mut schedule = Schedule::new(Authentication::Token, Settings::default());
    for _ in 0..secrets {
        schedule.add(Plan { operation, refresh: seconds(300), mount: MountId(0) });
    }
    schedule
}

fn grant(ttl: u64) -> Grant {
    Grant { life: Some(Lifetime { ttl: seconds(ttl), renewable: false }), revocable: true }
}

fn lease(ttl: u64) -> Answer {
    Answer { life: Life::Lease(Lifetime { ttl: seconds(ttl), renewable: true }), rotates_in: None }
}

const PLAIN: Answer = Answer { life: Life::Unbounded, rotates_in: None };

fn failed(class: Class) -> Outcome {
    let failure = Failure::new(class, "no");
    Outcome::Failed(if failure.class == Class::Transient { failure.of_backend() } else { failure })
}

/// Everything that may start at once.
fn all(schedule: &mut Schedule, now: Duration) -> Vec<Work> {
    let mut works = Vec::new();
    loop {
        match schedule.next(now) {
            Next::Do(work) => works.push(work),
            Next::Tell(_) => {}
            Next::Wait(_) => return works,
        }
    }
}

#[test]
fn an_old_token_lives_until_everything_that_replaces_its_leases_is_visible() {
    let mut schedule = schedule(2, Operation::Read);
    let old = schedule.resume_token(grant(HOUR), seconds(0), 0.0).unwrap();
    for id in [A, B] {
        schedule.resume(id, lease(HOUR), seconds(0), 0.5);
    }
    let at = seconds(HOUR - 300);
    // Leases of the old token that are due for renewal may be renewed beside the login.
    let Some(login @ Work::Login(_)) = all(&mut schedule, at).into_iter().find(|w| matches!(w, Work::Login(_))) else {
        panic!("no login")
    };
    for id in [A, B] {
        schedule.done(Work::Renew(id), failed(Class::Malformed), at, 0.0);
    }
    schedule.done(login, Outcome::Granted(grant(HOUR)), at, 0.0);
    assert_eq!(all(&mut schedule, at), [Work::Issue(A), Work::Issue(B)]);
    for id in [A, B] {
        schedule.done(Work::Issue(id), Outcome::Fetched(lease(HOUR)), at, 0.0);
    }
    schedule.delivered(&[A], at);
    assert!(matches!(schedule.next(at + seconds(200)), Next::Wait(_)), "half delivered, not revoked");
    schedule.delivered(&[B], at + seconds(200));
    assert!(matches!(schedule.next(at + seconds(229)), Next::Wait(_)));
    assert_eq!(schedule.next(at + seconds(230)), Next::Do(Work::RevokeOldToken(old)));
}

#[test]
fn an_old_token_is_not_revoked_under_a_request_that_uses_it() {
    let mut schedule = schedule(1, Operation::Read);
    let old = schedule.resume_token(grant(60), seconds(0), 0.0).unwrap();
    schedule.resume(A, PLAIN, seconds(0), 0.0);
    schedule.refresh(seconds(54));
    assert_eq!(all(&mut schedule, seconds(54)), [Work::Login(TokenId(1)), Work::Read(A)]);
    schedule.done(Work::Login(TokenId(1)), Outcome::Granted(grant(HOUR)), seconds(54), 0.0);
    assert_eq!(all(&mut schedule, seconds(54)), []);
    schedule.done(Work::Read(A), Outcome::Fetched(PLAIN), seconds(55), 0.0);
    assert_eq!(all(&mut schedule, seconds(55)), [Work::RevokeOldToken(old)]);
}

#[test]
fn an_issue_and_a_login_never_run_beside_each_other() {
    let mut schedule = schedule(1, Operation::Read);
    schedule.resume_token(grant(600), seconds(0), 0.9);
    // Due in the token's window, but before its login, at 567 s: the login goes first all the same.
    let short = |ttl| Answer { life: Life::Lease(Lifetime { ttl: seconds(ttl), renewable: false }), rotates_in: None };
    schedule.resume(A, short(590), seconds(0), 0.9);
    assert_eq!(all(&mut schedule, seconds(557)), []);
    assert_eq!(all(&mut schedule, seconds(558)), [Work::Login(TokenId(1))], "at 567 s its window would be half over");
    schedule.done(Work::Login(TokenId(1)), Outcome::Granted(grant(600)), seconds(541), 0.9);
    assert_eq!(all(&mut schedule, seconds(541)), [Work::Issue(A)]);
    // And an issue that hangs into the next window is not waited for.
    assert_eq!(all(&mut schedule, seconds(540 + 599)), [Work::Login(TokenId(2)), Work::CheckHealth]);
}

#[test]
fn an_issue_waits_for_the_login_while_its_own_window_is_young() {
    let mut schedule = schedule(1, Operation::Read);
    schedule.resume_token(grant(600), seconds(0), 0.9);
    let short = Answer { life: Life::Lease(Lifetime { ttl: seconds(600), renewable: false }), rotates_in: None };
    schedule.resume(A, short, seconds(0), 0.0);
    assert_eq!(all(&mut schedule, seconds(540)), []);
    assert_eq!(all(&mut schedule, seconds(566)), []);
    assert_eq!(all(&mut schedule, seconds(567)), [Work::Login(TokenId(1))]);
    // A login that is refused holds nothing up: what can be had under the old token is.
    schedule.done(Work::Login(TokenId(1)), failed(Class::Denied), seconds(567), 0.0);
    assert_eq!(all(&mut schedule, seconds(568)), [Work::Issue(A)]);
}

#[test]
fn a_refusal_that_was_asked_under_an_older_token_says_nothing() {
    let mut schedule = schedule(2, Operation::Read);
    schedule.resume_token(grant(DAY), seconds(0), 0.0);
    for id in [A, B] {
        schedule.resume(id, PLAIN, seconds(0), 0.0);
    }
    assert_eq!(all(&mut schedule, seconds(300)), [Work::Read(A), Work::Read(B)]);
    schedule.done(Work::Read(A), failed(Class::Denied), seconds(301), 0.0);
    assert_eq!(all(&mut schedule, seconds(301)), [Work::CheckToken]);
    schedule.done(Work::CheckToken, failed(Class::Denied), seconds(301), 0.0);
    assert_eq!(all(&mut schedule, seconds(301)), [Work::Login(TokenId(1))]);
    schedule.done(Work::Login(TokenId(1)), Outcome::Granted(grant(DAY)), seconds(301), 0.0);
    schedule.done(Work::Read(B), failed(Class::Denied), seconds(302), 0.0);
    assert_eq!(all(&mut schedule, seconds(302)), [Work::Read(A)], "both again, no second login");
    schedule.done(Work::Read(A), Outcome::Fetched(PLAIN), seconds(303), 0.0);
    assert_eq!(all(&mut schedule, seconds(303)), [Work::Read(B)], "once the new token is known to be good");
}

#[test]
fn a_death_the_driver_knows_of_costs_no_question_and_repeated_ones_are_waited_out() {
    let mut schedule = schedule(1, Operation::Read);
    let (mut now, mut logins) = (seconds(1), 0);
    while now < seconds(HOUR) {
        match schedule.next(now) {
            Next::Wait(wait) => now += wait,
            Next::Tell(_) => {}
            Next::Do(work @ Work::Login(_)) => {
                logins += 1;
                assert!(logins < 100, "a loop");
                schedule.done(work, Outcome::Granted(grant(DAY)), now, 0.0);
            }
            Next::Do(Work::CheckToken) => panic!("it was said"),
            Next::Do(work) => {
                let dead = Failure::new(Class::Denied, "the token is dead (403)");
                schedule.done(work, Outcome::TokenDead(dead), now, 0.0);
            }
        }
    }
    // At once, at once, then after 1, 2, 4, 8, 10, 10 … minutes.
    assert!((8..=10).contains(&logins), "{logins}");
}

#[test]
fn a_token_that_may_not_be_renewed_is_replaced_in_its_window() {
    let mut schedule = schedule(0, Operation::Read);
    let renewable = Grant { life: Some(Lifetime { ttl: seconds(HOUR), renewable: true }), revocable: true };
    schedule.resume_token(renewable, seconds(0), 0.0);
    assert_eq!(all(&mut schedule, seconds(2400)), [Work::RenewToken]);
    schedule.done(Work::RenewToken, failed(Class::Denied), seconds(2400), 0.0);
    assert_eq!(all(&mut schedule, seconds(2400)), [Work::CheckToken]);
    schedule.done(Work::CheckToken, Outcome::Done, seconds(2400), 0.0);
    assert_eq!(all(&mut schedule, seconds(3299)), []);
    assert_eq!(all(&mut schedule, seconds(3300)), [Work::Login(TokenId(1))]);
}

#[test]
fn a_token_file_that_did_not_change_is_no_hand_over() {
    let mut schedule = schedule(1, Operation::Read);
    let theirs = |ttl| Grant { revocable: false, ..grant(ttl) };
    let token = schedule.resume_token(theirs(60), seconds(0), 0.0);
    schedule.resume(A, lease(DAY), seconds(0), 0.0);
    assert_eq!(all(&mut schedule, seconds(54)), [Work::Login(TokenId(1))]);
    schedule.done(Work::Login(TokenId(1)), Outcome::TokenUnchanged(theirs(60)), seconds(54), 0.0);
    assert_eq!(schedule.status(seconds(54)).token.unwrap().id, token);
    assert_eq!(all(&mut schedule, seconds(54)), [], "nothing is issued again");
}

#[test]
fn a_token_file_that_changed_is_a_login_at_once_and_one_that_is_refused_is_waited_for() {
    let mut schedule = schedule(1, Operation::Read);
    let theirs = |ttl| Grant { revocable: false, ..grant(ttl) };
    schedule.resume_token(theirs(DAY), seconds(0), 0.0);
    schedule.resume(A, lease(DAY), seconds(0), 0.0);
    assert_eq!(all(&mut schedule, seconds(60)), []);
    schedule.identity_changed(seconds(60));
    assert_eq!(all(&mut schedule, seconds(60)), [Work::Login(TokenId(1))]);
    schedule.done(Work::Login(TokenId(1)), failed(Class::Denied), seconds(60), 0.0);
    schedule.identity_changed(seconds(61));
    assert_eq!(all(&mut schedule, seconds(61)), [], "a refused one is waited for");
    assert_eq!(all(&mut schedule, seconds(120)), [Work::Login(TokenId(1))]);
    schedule.done(Work::Login(TokenId(1)), Outcome::Granted(theirs(DAY)), seconds(120), 0.0);
    assert_eq!(all(&mut schedule, seconds(120)), [Work::Issue(A)]);
}

#[test]
fn a_write_without_an_end_is_sent_once() {
    let mut schedule = schedule(1, Operation::Write);
    schedule.resume_token(Grant { life: None, revocable: false }, seconds(0), 0.0);
    assert_eq!(all(&mut schedule, seconds(1)), [Work::Issue(A)]);
    schedule.done(Work::Issue(A), Outcome::Fetched(PLAIN), seconds(1), 0.0);
    schedule.refresh(seconds(2));
    assert_eq!(all(&mut schedule, seconds(1000 * DAY)), []);
    assert_eq!(schedule.status(seconds(1000 * DAY)).secrets[0].next, None);
}

#[test]
fn a_refresh_issues_nothing_that_lives_and_asks_again_what_was_refused() {
    let mut schedule = schedule(3, Operation::Read);
    schedule.resume_token(grant(DAY), seconds(0), 0.0);
    schedule.resume(A, lease(HOUR), seconds(0), 0.0);
    schedule.resume(B, PLAIN, seconds(0), 0.0);
    assert_eq!(all(&mut schedule, seconds(1)), [Work::Issue(SecretId(2))]);
    schedule.done(Work::Issue(SecretId(2)), failed(Class::NotFound), seconds(1), 0.0);
    assert_eq!(all(&mut schedule, seconds(20)), []);
    schedule.refresh(seconds(20));
    assert_eq!(all(&mut schedule, seconds(20)), [Work::Read(B), Work::Issue(SecretId(2))]);
}

#[test]
fn when_the_backend_is_back_nobody_sits_out_an_old_back_off() {
    let leased = SecretId(2);
    let mut schedule = schedule(3, Operation::Read);
    let fixed = Answer { life: Life::Lease(Lifetime { ttl: seconds(70), renewable: false }), rotates_in: None };
    schedule.resume_token(grant(DAY), seconds(0), 0.0);
    schedule.resume(leased, fixed, seconds(0), 0.0);
    let mut now = seconds(0);
    // Two secrets fail into ever longer back-offs, until the lease is due, whose end shortens the wait for the next probe.
    loop {
        match schedule.next(now) {
            Next::Do(work) if work == Work::Issue(leased) => break,
            Next::Do(work) => schedule.done(work, failed(Class::Transient), now, 0.9),
            Next::Tell(_) => {}
            Next::Wait(wait) => now += wait,
        }
    }
    let due = |schedule: &Schedule| {
        let secrets = schedule.status(now).secrets;
        secrets.iter().filter(|secret| secret.next.is_some_and(|(_, at)| at <= now) && secret.id != leased).count()
    };
    assert!(due(&schedule) < 2, "somebody has a back-off to sit out");
    schedule.done(Work::Issue(leased), Outcome::Fetched(fixed), now, 0.0);
    assert_eq!(schedule.next(now), Next::Tell(Event::BackendUp));
    assert_eq!(due(&schedule), 2, "both, at once");
}

#[test]
fn a_lease_in_danger_is_not_slept_through_by_its_own_back_off() {
    let mut schedule = schedule(1, Operation::Read);
    schedule.resume_token(grant(DAY), seconds(0), 0.0);
    schedule.resume(A, lease(120), seconds(0), 0.0);
    let (mut now, mut last) = (seconds(80), seconds(80));
    while now < seconds(119) {
        match schedule.next(now) {
            Next::Do(work) => {
                last = now;
                schedule.done(work, failed(Class::Transient), now, 0.99);
            }
            Next::Tell(event) => panic!("{event:?}"),
            Next::Wait(wait) => now += wait,
        }
    }
    assert!(last >= seconds(116), "the last try was at {last:?}");
}

#[test]
fn an_answer_that_does_not_fit_is_a_malformed_one() {
    let mut schedule = schedule(1, Operation::Read);
    schedule.resume_token(grant(DAY), seconds(0), 0.0);
    assert_eq!(all(&mut schedule, seconds(1)), [Work::Issue(A)]);
    schedule.done(Work::Issue(A), Outcome::Done, seconds(1), 0.0);
    let status = schedule.status(seconds(1)).secrets.remove(0);
    assert_eq!((status.state, status.last_error.unwrap().class), (State::Pending, Class::Malformed));
    assert_eq!(all(&mut schedule, seconds(60)), []);
    assert_eq!(all(&mut schedule, seconds(61)), [Work::Issue(A)]);
}
