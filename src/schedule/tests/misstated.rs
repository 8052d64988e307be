//! Answers that state a life which is not true: a wrong one costs no life and few requests, a right one is followed.

use std::time::Duration;

use crate::schedule::{SecretId, State, Work};

use super::server::{IsIt, Kind, Server, What};
use super::world::{World, stretch};
use super::{DAY, HOUR, seconds};

/// Lives that no server means: seconds without end, hours instead of a minute.
const TOO_LONG: [Duration; 3] = [Duration::MAX, seconds_of_a_century(), Duration::from_secs(10 * HOUR)];

const fn seconds_of_a_century() -> Duration {
    Duration::from_secs(100 * 365 * DAY)
}

fn leased(ttl: u64) -> Kind {
    Kind::Leased { ttl: seconds(ttl), max: seconds(300 * DAY), renewable: true }
}

/// Seconds of the run in which the credential that the app has was dead.
fn dead_seconds(world: &mut World, from: u64, to: u64) -> usize {
    let mut dead = 0;
    for second in from..to {
        world.run(seconds(second));
        let last = world.server.leases.len() - 1;
        dead += usize::from(world.server.death(last) <= world.now);
    }
    dead
}

#[test]
fn a_renewal_that_states_too_long_a_life_costs_the_credential_and_the_token_nothing() {
    let kinds: [IsIt; 3] = [
        |work| matches!(work, Work::Renew(_)),
        |work| work == Work::RenewToken,
        |work| matches!(work, Work::Renew(_) | Work::RenewToken),
    ];
    for ttl in TOO_LONG {
        for is_it in kinds {
            // Once or twice, and for as long as it runs.
            for to in [100, 7 * HOUR] {
                let mut server = Server::new(vec![leased(60), Kind::Plain]);
                server.token_ttl = seconds(60);
                let mut world = World::new(server, 5);
                world.server.faults.push(stretch(20, to, What::Misstates(is_it, ttl)));
                assert_eq!(dead_seconds(&mut world, 1, 6 * HOUR), 0, "{ttl:?} until {to}");
                assert_eq!((world.logins(), world.issues(0)), (1, 1), "{ttl:?} until {to}");
                let renewals = world.count(0, 6 * HOUR, |work| matches!(work, Work::Renew(_)));
                assert!(renewals <= 6 * 60 * 2, "{renewals} renewals");
                world.assert_innocent();
            }
        }
    }
}

#[test]
fn a_life_without_end_in_a_first_answer_is_proven_by_an_early_renewal() {
    let kinds: [IsIt; 2] = [|work| matches!(work, Work::Issue(_)), |work| matches!(work, Work::Login(_))];
    for ttl in [Duration::MAX, seconds_of_a_century()] {
        for is_it in kinds {
            let mut server = Server::new(vec![leased(60), Kind::Plain]);
            server.token_ttl = seconds(60);
            let mut world = World::new(server, 5);
            world.server.faults.push(stretch(0, 7 * HOUR, What::Misstates(is_it, ttl)));
            assert_eq!(dead_seconds(&mut world, 1, 6 * HOUR), 0, "{ttl:?}");
            assert_eq!((world.logins(), world.issues(0)), (1, 1), "{ttl:?}");
            world.assert_innocent();
        }
    }
}

#[test]
fn what_says_that_it_lives_for_weeks_is_renewed_every_day_and_no_more_often() {
    let mut server = Server::new(vec![leased(32 * DAY)]);
    server.token_ttl = seconds(32 * DAY);
    let mut world = World::new(server, 5);
    world.run(seconds(20 * DAY));
    let renewals = |of: Work| world.count(0, 20 * DAY, |work| work == of);
    for of in [Work::Renew(SecretId(0)), Work::RenewToken] {
        assert!((20..=24).contains(&renewals(of)), "{of:?}: {}", renewals(of));
    }
    assert_eq!((world.logins(), world.issues(0)), (1, 1));
    world.assert_innocent();
}

#[test]
fn a_token_renewal_that_states_no_life_does_not_make_the_token_endless() {
    let mut server = Server::new(vec![leased(HOUR)]);
    server.token_ttl = seconds(60);
    let mut world = World::new(server, 5);
    let is_it: IsIt = |work| work == Work::RenewToken;
    world.server.faults.push(stretch(20, 100, What::Misstates(is_it, Duration::ZERO)));
    assert_eq!(dead_seconds(&mut world, 1, 2 * HOUR), 0);
    assert!(world.logins() <= 3, "{}", world.logins());
    assert_eq!(world.state(0), State::Fresh);
}

#[test]
fn a_lease_renewal_that_states_no_life_leaves_the_known_end() {
    let mut world = World::new(Server::new(vec![leased(60)]), 5);
    let is_it: IsIt = |work| matches!(work, Work::Renew(_));
    world.server.faults.push(stretch(20, 80, What::Misstates(is_it, Duration::ZERO)));
    assert_eq!(dead_seconds(&mut world, 1, 600), 0);
    assert_eq!((world.issues(0), world.events.len()), (2, 0));
    let replaced = world.server.leases[1].issued - world.server.leases[0].issued;
    assert!(replaced >= seconds(54), "replaced after {replaced:?}, long before its end");
}

#[test]
fn lives_that_shrink_from_renewal_to_renewal_are_followed_without_a_storm() {
    let mut world = World::new(Server::new(vec![leased(60)]), 5);
    for (round, ttl) in (1..=30).rev().enumerate() {
        let from = 10 + 20 * round as u64;
        let is_it: IsIt = |work| matches!(work, Work::Renew(_));
        world.server.faults.push(stretch(from, from + 20, What::Misstates(is_it, seconds(ttl))));
    }
    assert_eq!(dead_seconds(&mut world, 1, 610), 0);
    let requests = world.count(0, 610, |work| work.secret().is_some());
    assert!(requests <= 200, "{requests}");
}
