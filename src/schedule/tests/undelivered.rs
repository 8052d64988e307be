//! The latest value cannot be written: what the app has decides about its expiry.

use std::time::Duration;

use crate::schedule::{
    Answer, Authentication, Event, Grant, Life, Lifetime, MountId, Next, Operation, Outcome, Plan, Schedule, SecretId,
    Settings, State, TokenId, Work,
};

use super::{DAY, seconds};

const A: SecretId = SecretId(0);

fn lease(ttl: u64) -> Answer {
    Answer { life: Life::Lease(Lifetime { ttl: seconds(ttl), renewable: false }), rotates_in: None }
}

/// A delivered lease of 100 s under a token of `token` seconds that is not ours to revoke.
fn resumed(token: u64) -> Schedule {
    let mut schedule = Schedule::new(Authentication::Token, Settings::default());
    schedule.add(Plan { operation: Operation::Read, refresh: seconds(300), mount: MountId(0) });
    let life = Some(Lifetime { ttl: seconds(token), renewable: false });
    schedule.resume_token(Grant { life, revocable: false }, seconds(0), 0.0);
    schedule.resume(A, lease(100), seconds(0), 0.0);
    schedule
}

/// The same, and the next lease of `ttl` seconds, fetched at 95 s.
fn replaced(token: u64, ttl: u64) -> Schedule {
    let mut schedule = resumed(token);
    let (works, _) = all(&mut schedule, seconds(95));
    assert_eq!(works.last(), Some(&Work::Issue(A)));
    schedule.done(Work::Issue(A), Outcome::Fetched(lease(ttl)), seconds(95), 0.0);
    schedule
}

/// Everything that may start at once, and what is reported.
fn all(schedule: &mut Schedule, now: Duration) -> (Vec<Work>, Vec<Event>) {
    let (mut works, mut events) = (Vec::new(), Vec::new());
    loop {
        match schedule.next(now) {
            Next::Do(work) => works.push(work),
            Next::Tell(event) => events.push(event),
            Next::Wait(_) => return (works, events),
        }
    }
}

fn shown(schedule: &Schedule, now: u64) -> (State, Option<Duration>) {
    let secret = &schedule.status(seconds(now)).secrets[0];
    (secret.state, secret.expires)
}

#[test]
fn what_the_app_has_expires_although_a_newer_value_waits_to_be_delivered() {
    let mut schedule = replaced(DAY, 1000);
    assert_eq!(shown(&schedule, 96), (State::Fresh, Some(seconds(100))));
    schedule.not_delivered(&[A]);
    assert_eq!(all(&mut schedule, seconds(99)), (vec![], vec![]));
    assert_eq!(all(&mut schedule, seconds(100)), (vec![], vec![Event::Expired(A)]), "at once, and no request");
    assert_eq!(shown(&schedule, 101), (State::Expired, Some(seconds(100))));
    schedule.delivered(&[A], seconds(200));
    assert_eq!(all(&mut schedule, seconds(200)), (vec![], vec![Event::Revived(A)]));
    assert_eq!(shown(&schedule, 200), (State::Fresh, Some(seconds(1095))));
}

#[test]
fn a_delivery_that_has_not_failed_is_waited_for() {
    let mut schedule = replaced(DAY, 1000);
    assert_eq!(all(&mut schedule, seconds(101)), (vec![], vec![]));
    assert_eq!(all(&mut schedule, seconds(111)), (vec![], vec![Event::Expired(A)]));
}

#[test]
fn the_end_of_a_value_that_was_never_delivered_is_nobodys() {
    let mut schedule = replaced(DAY, 3);
    schedule.not_delivered(&[A]);
    let (works, events) = all(&mut schedule, seconds(98));
    assert_eq!((works, events), (vec![Work::Issue(A)], vec![]));
    schedule.done(Work::Issue(A), Outcome::Fetched(lease(1000)), seconds(98), 0.0);
    schedule.not_delivered(&[A]);
    assert_eq!(all(&mut schedule, seconds(99)), (vec![], vec![]));
    assert_eq!(all(&mut schedule, seconds(100)), (vec![], vec![Event::Expired(A)]), "the end of the first");
}

#[test]
fn what_the_app_has_ends_with_its_token_however_long_the_next_one_lives() {
    let mut schedule = resumed(98);
    assert_eq!(all(&mut schedule, seconds(95)), (vec![Work::Login(TokenId(1))], vec![]));
    let life = Some(Lifetime { ttl: seconds(DAY), renewable: false });
    schedule.done(Work::Login(TokenId(1)), Outcome::Granted(Grant { life, revocable: false }), seconds(95), 0.0);
    assert_eq!(all(&mut schedule, seconds(95)), (vec![Work::Issue(A)], vec![]));
    schedule.done(Work::Issue(A), Outcome::Fetched(lease(1000)), seconds(95), 0.0);
    schedule.not_delivered(&[A]);
    assert_eq!(all(&mut schedule, seconds(97)), (vec![], vec![]));
    assert_eq!(shown(&schedule, 97), (State::Fresh, Some(seconds(98))));
    assert_eq!(all(&mut schedule, seconds(98)).1, [Event::Expired(A)]);
}
