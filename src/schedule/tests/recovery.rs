//! How soon what has expired, or is about to, is tried again, and what that costs the server.

use std::time::Duration;

use crate::schedule::{SecretId, State, TokenId, Work};

use super::server::{IsIt, Kind, Server, What};
use super::world::{World, stretch};
use super::{DAY, seconds};

fn leased(ttl: u64, max: u64) -> Kind {
    Kind::Leased { ttl: seconds(ttl), max: seconds(max), renewable: true }
}

/// The most requests of this kind within a minute.
fn most_in_a_minute(world: &World, is_it: impl Fn(Work) -> bool) -> usize {
    let at: Vec<_> = world.server.log.iter().filter(|sent| is_it(sent.work)).map(|sent| sent.at).collect();
    let within = |from: &Duration| at.iter().filter(|at| *at >= from && **at < *from + seconds(60)).count();
    at.iter().map(within).max().unwrap_or_default()
}

#[test]
fn what_was_refused_and_has_expired_is_tried_every_ten_seconds_one_at_a_time() {
    for refuses in [What::Denies, What::Rejects] {
        let mut world = World::new(Server::new(vec![leased(60, DAY); 8]), 5);
        world.server.token_ttl = seconds(DAY);
        for id in 0..8 {
            world.server.faults.push(stretch(100, 2000, refuses(SecretId(id))));
        }
        world.run(seconds(2012));
        let requests = world.count(200, 2000, |work| matches!(work, Work::Issue(_)));
        // One in 7.5 to 10 s, and each on its own once in 7.5 to 10 min.
        assert!((150..=290).contains(&requests), "{requests}");
        assert!((0..8).any(|id| world.state(id) == State::Fresh), "within ten seconds");
    }
}

#[test]
fn a_login_that_was_refused_is_tried_every_ten_seconds_while_something_is_dead() {
    for seed in 0..20 {
        let mut world = World::new(Server::new(vec![leased(60, DAY), Kind::Plain]), seed);
        world.run(seconds(300));
        world.server.faults.push(stretch(300, 1500, What::DeniesLogins));
        world.server.restart();
        world.run(seconds(1511));
        assert!(world.logins() <= 170, "{}", world.logins());
        assert_eq!(world.state(0), State::Fresh, "seed {seed}");
    }
}

#[test]
fn a_login_with_a_token_that_nothing_accepts_is_repeated_every_ten_seconds_while_something_is_dead() {
    for seed in 0..20 {
        for roles in [1, 50] {
            let mut kinds = vec![leased(60, DAY); roles];
            kinds.push(Kind::Plain);
            let mut world = World::new(Server::new(kinds), seed);
            world.run(seconds(300));
            world.server.faults.push(stretch(300, 1500, What::GrantsDeadTokens));
            world.server.restart();
            world.run(seconds(1500));
            let of_a_secret = |work: Work| work.secret().is_some();
            // One probe in 7.5 to 10 s: a login, a request or two, a lookup.
            assert!(most_in_a_minute(&world, |work| matches!(work, Work::Login(_))) <= 9);
            assert!(world.count(360, 1500, of_a_secret) <= 170 * 2, "{}", world.count(360, 1500, of_a_secret));
            world.run(seconds(1500 + 12 + roles as u64 / 10));
            assert!((0..roles).all(|id| world.state(id) == State::Fresh), "seed {seed}, {roles} roles");
        }
    }
}

#[test]
fn while_nothing_is_dead_tokens_that_nothing_accepts_are_asked_for_in_minutes() {
    let mut world = World::new(Server::new(vec![Kind::Plain, Kind::Plain]), 3);
    world.run(seconds(300));
    world.server.faults.push(stretch(300, 3900, What::GrantsDeadTokens));
    world.server.restart();
    world.run(seconds(3900));
    let logins = world.count(300, 3900, |work| matches!(work, Work::Login(_)));
    assert!((2..=12).contains(&logins), "{logins}");
}

#[test]
fn an_issue_whose_answer_cannot_be_used_is_hastened_only_where_the_old_credential_is_over() {
    for seed in 0..20 {
        let mut world = World::new(Server::new(vec![leased(600, DAY)]), seed);
        world.server.token_ttl = seconds(DAY);
        world.server.faults.push(stretch(100, 2000, What::Garbles(SecretId(0))));
        world.run(seconds(2000));
        let issues = |from, to| world.count(from, to, |work| matches!(work, Work::Issue(_)));
        // The renewal at 360 to 400 s is refused twice; the lease ends at 600 s.
        assert!((1..=7).contains(&issues(100, 590)), "{}", issues(100, 590));
        assert!((130..=190).contains(&issues(610, 2000)), "{}", issues(610, 2000));
        world.run(seconds(2011));
        assert_eq!(world.state(0), State::Fresh, "seed {seed}");
    }
}

#[test]
fn one_answer_of_nothing_in_the_window_of_a_short_life_leaves_no_dead_credential() {
    for seed in 0..50 {
        for life in [30, 40, 60, 120] {
            let once = Kind::Leased { ttl: seconds(life), max: seconds(life), renewable: false };
            let mut world = World::new(Server::new(vec![once]), seed);
            world.server.token_ttl = seconds(DAY);
            world.server.garbles_once = vec![seconds(1000 + life / 2)];
            world.run(seconds(3 * life));
            assert!(world.server.garbles_once.is_empty());
            assert!(world.gaps.is_empty(), "lives of {life} s, seed {seed}: {:?}", world.gaps);
        }
    }
}

#[test]
fn when_one_secret_is_allowed_again_the_others_that_were_refused_are_tried_at_once() {
    for seed in 0..10 {
        let mut world = World::new(Server::new(vec![leased(60, DAY); 50]), seed);
        world.server.token_ttl = seconds(DAY);
        for id in 0..50 {
            world.server.faults.push(stretch(100, 2000, What::Denies(SecretId(id))));
        }
        world.run(seconds(2000));
        assert!(most_in_a_minute(&world, |work| matches!(work, Work::Issue(_))) <= 100);
        assert!(world.count(400, 2000, |work| matches!(work, Work::Issue(_))) <= 500);
        world.run(seconds(2015));
        let dead = (0..50).filter(|id| world.state(*id) != State::Fresh).count();
        assert_eq!(dead, 0, "seed {seed}");
    }
}

#[test]
fn lookups_that_are_throttled_wait_although_a_secret_has_expired() {
    for (wait, most) in [(60, 40), (1, 200)] {
        let mut world = World::new(Server::new(vec![leased(60, DAY), Kind::Plain]), 5);
        world.server.token_ttl = seconds(DAY);
        world.server.faults.push(stretch(100, 700, What::Denies(SecretId(0))));
        let throttled = What::ThrottlesKind(|work| matches!(work, Work::CheckToken), seconds(wait));
        world.server.faults.push(stretch(100, 700, throttled));
        world.run(seconds(700));
        let lookups = world.count(100, 700, |work| matches!(work, Work::CheckToken));
        assert!((1..=most).contains(&lookups), "Retry-After {wait} s: {lookups} lookups in ten minutes");
    }
}

#[test]
fn logins_that_are_throttled_after_a_token_died_wait_as_long_as_the_server_says() {
    for leases in [false, true] {
        for (wait, most) in [(300, 20), (120, 40), (1, 200)] {
            let mut kinds = vec![Kind::Plain, Kind::Plain];
            kinds.extend(leases.then(|| leased(12 * 3600, DAY)));
            let mut world = World::new(Server::new(kinds), 3);
            world.server.token_ttl = seconds(DAY);
            world.run(seconds(300));
            let throttled = What::ThrottlesKind(|work| matches!(work, Work::Login(_)), seconds(wait));
            world.server.faults.push(stretch(300, 3900, throttled));
            world.server.restart();
            world.run(seconds(3900));
            let logins = world.count(300, 3900, |work| matches!(work, Work::Login(_)));
            // A lease that died with its token is worth ten seconds; nothing else is.
            let most = if leases { most.max(480) } else { most };
            assert!((1..=most).contains(&logins), "leases {leases}, Retry-After {wait} s: {logins} logins in an hour");
        }
    }
}

#[test]
fn logins_whose_answers_are_lost_are_few_because_each_leaves_a_token() {
    for seed in 0..20 {
        let mut world = World::new(Server::new(vec![leased(60, DAY), Kind::Plain]), seed);
        world.run(seconds(100));
        world.server.restart();
        let is_it: IsIt = |work| matches!(work, Work::Login(_));
        world.server.faults.push(stretch(100, 400, What::LosesAnswersTo(is_it)));
        // The lease is renewed within 40 s, and then the token is found dead.
        world.run(seconds(400));
        // The first login of all was answered.
        let most = most_in_a_minute(&world, |work| is_it(work) && work != Work::Login(TokenId(0)));
        assert!(most <= 9, "seed {seed}: {most} logins in a minute");
        world.run(seconds(420));
        assert_eq!(world.state(0), State::Fresh, "seed {seed}");
    }
}
