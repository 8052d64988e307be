//! Partial failure: one mount, one request, one renewal, one wish for patience; everything that still lives goes on.

use std::time::Duration;

use crate::provider::{Class, Failure};
use crate::schedule::{
    Answer, Authentication, Event, Life, Lifetime, MountId, Next, Operation, Outcome, PatienceFor, Plan, Schedule,
    SecretId, Settings, State, TokenId, Work,
};

use super::server::{IsIt, Kind, Server, What};
use super::world::{World, stretch};
use super::{DAY, Dice, HOUR, seconds};

const A: MountId = MountId(0);
const B: MountId = MountId(1);
const KV: MountId = MountId(2);

fn leased(ttl: u64, max: u64) -> Kind {
    Kind::Leased { ttl: seconds(ttl), max: seconds(max), renewable: true }
}

/// That many roles of database A, one of B, and two KV secrets, under a token of 60 s.
fn two_databases(roles: usize, seed: u64) -> World {
    World::new(server_of_two_databases(roles), seed)
}

fn server_of_two_databases(roles: usize) -> Server {
    let mut kinds = vec![leased(60, DAY); roles];
    kinds.extend([leased(60, 240), Kind::Plain, Kind::Plain]);
    let mut server = Server::new(kinds);
    server.mounts = vec![A; roles];
    server.mounts.extend([B, KV, KV]);
    server.token_ttl = seconds(60);
    server
}

/// The same, and the role of B is a connection of A's mount.
fn two_connections_of_one_mount(roles: usize, seed: u64) -> World {
    let mut world = two_databases(roles, seed);
    world.server.mounts[roles] = A;
    world.server.elsewhere.push((SecretId(roles), B));
    world
}

/// The longest time between two requests of this kind.
fn longest_gap(world: &World, is_it: impl Fn(Work) -> bool) -> Duration {
    let is_it = |work: Work| is_it(work) || matches!(work, Work::Issue(_)) && is_it(Work::Read(work.secret().unwrap()));
    let at: Vec<_> = world.server.log.iter().filter(|request| is_it(request.work)).map(|request| request.at).collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[test]
fn a_database_that_is_down_stopped_or_slow_costs_nobody_else_anything() {
    for roles in [1, 2, 3, 50] {
        for what in [What::BreaksMount(A), What::HangsMount(A), What::SlowsMount(A, seconds(4))] {
            for (make, seed) in [two_databases, two_connections_of_one_mount].into_iter().flat_map(|m| [(m, 0), (m, 1)])
            {
                let mut world = make(roles, seed);
                world.server.faults.push(stretch(100, 700, what));
                world.run(seconds(700));
                let (b, kv) = (SecretId(roles), SecretId(roles + 1));
                let about = format!("{roles} roles, {what:?}, seed {seed}");
                assert_eq!(world.count_events(Event::BackendDown), 0, "{about}");
                assert_eq!((world.logins(), world.count_events(Event::Expired(b))), (1, 0), "{about}");
                assert!(!world.gaps.iter().any(|(id, ..)| *id == b), "{about}: {:?}", world.gaps);
                // 240 s of life less a window of 24 s.
                assert!(world.issues(b.0) <= 4, "{about}: {}", world.issues(b.0));
                let gap = longest_gap(&world, |work| work.secret() == Some(kv));
                assert!(gap <= seconds(302), "{about}: KV was not read for {gap:?}");
                let requests = world.count(100, 700, |work| work.secret().is_some_and(|id| id.0 < roles));
                // One that is slow is asked for as much as one that is quick.
                assert!(
                    requests <= 20 * 10 + 60 || matches!(what, What::SlowsMount(..)),
                    "{about}: {requests} requests for A"
                );
                world.run(seconds(760));
                for id in 0..roles + 3 {
                    assert_eq!(world.state(id), State::Fresh, "{about}: {id}");
                }
            }
        }
    }
}

#[test]
fn a_database_that_fails_costs_another_connection_of_its_mount_nothing_at_lives_of_a_few_seconds() {
    for (roles, seed) in [1, 3, 8, 20].into_iter().flat_map(|roles| (0..10).map(move |seed| (roles, seed))) {
        for what in [What::BreaksMount(A), What::HangsMount(A), What::SlowsMount(A, seconds(2))] {
            let mut kinds = vec![leased(10, 20); roles];
            kinds.extend([leased(10, 20), Kind::Plain, Kind::Plain]);
            let mut server = Server::new(kinds);
            server.mounts = vec![A; roles + 1];
            server.mounts.extend([KV, KV]);
            server.elsewhere.push((SecretId(roles), B));
            server.token_ttl = seconds(20);
            let mut world = World::new(server, seed);
            world.server.faults.push(stretch(100, 300, what));
            world.run(seconds(300));
            let about = format!("{roles} roles, {what:?}, seed {seed}");
            assert!(!world.gaps.iter().any(|(id, ..)| id.0 == roles), "{about}: {:?}", world.gaps);
            // 20 s of life less a window of 2 s.
            assert!(world.issues(roles) <= 18, "{about}: {}", world.issues(roles));
            assert_eq!(world.logins(), 1, "{about}");
            let requests = world.count(100, 300, |work| work.secret().is_some_and(|id| id.0 < roles));
            let most = 60 + 10 * roles;
            assert!(
                requests <= most || matches!(what, What::SlowsMount(..)),
                "{about}: {requests} requests for A, not {most}"
            );
        }
    }
}

#[test]
fn whatever_happens_to_one_mount_another_is_read_at_its_interval() {
    let faults = [
        What::BreaksMount(A),
        What::HangsMount(A),
        What::SwallowsMount(A),
        What::SlowsMount(A, seconds(4)),
        What::IsNoGatewayTo(A),
        What::ThrottlesMount(A, seconds(3600)),
    ];
    for (roles, what) in [1, 2, 3, 50].into_iter().flat_map(|roles| faults.map(move |what| (roles, what))) {
        for seed in 0..if roles == 50 { 2 } else { 4 } {
            let mut world = World::reading(seconds(2), Settings::default(), server_of_two_databases(roles), seed);
            world.server.faults.push(stretch(30, 250, what));
            world.run(seconds(300));
            let gap = longest_gap(&world, |work| work.secret() == Some(SecretId(roles + 1)));
            let about = format!("{roles} roles, {what:?}, seed {seed}");
            // In the moment in which many begin to hang it waits until they are known to be slow.
            assert!(gap <= Duration::from_millis(2500), "{about}: KV was not read for {gap:?}");
            assert_eq!(world.logins(), 1, "{about}");
            assert!(!world.gaps.iter().any(|(id, ..)| id.0 == roles), "{about}: {:?}", world.gaps);
        }
    }
}

#[test]
fn patience_asked_of_one_kind_of_request_costs_the_others_nothing() {
    let kinds: [(&str, IsIt); 6] = [
        ("leases are renewed", |work| matches!(work, Work::Renew(_))),
        ("leases and the token are renewed", |work| matches!(work, Work::Renew(_) | Work::RenewToken)),
        ("the token is renewed", |work| work == Work::RenewToken),
        ("tokens are issued", |work| matches!(work, Work::Login(_) | Work::RenewToken)),
        ("credentials are issued", |work| matches!(work, Work::Issue(_))),
        ("leases are issued and renewed", |work| matches!(work, Work::Issue(_) | Work::Renew(_))),
    ];
    let cases = kinds.into_iter().flat_map(|kind| [0, 3, 3600].map(move |wait| (kind, wait)));
    for (((kind, is_it), wait), seed) in cases.flat_map(|case| (0..10).map(move |seed| (case, seed))) {
        let mut world = World::reading(seconds(5), Settings::default(), server_of_two_databases(1), seed);
        world.server.faults.push(stretch(30, 250, What::ThrottlesKind(is_it, seconds(wait))));
        world.run(seconds(300));
        let about = format!("429 where {kind}, Retry-After {wait}, seed {seed}");
        assert!(world.count_events(Event::BackendDown) <= 1, "{about}");
        if is_it(Work::Login(TokenId(1))) {
            continue;
        }
        let gap = longest_gap(&world, |work| work.secret() == Some(SecretId(2)));
        assert!(gap <= seconds(7), "{about}: KV was not read for {gap:?}");
        if !is_it(Work::Issue(SecretId(0))) {
            assert!(world.gaps.is_empty(), "{about}: {:?}", world.gaps);
            assert_eq!(world.count_events(Event::BackendDown), 0, "{about}");
        }
    }
}

#[test]
fn what_one_mount_answers_as_if_nobody_did_costs_nobody_else_anything() {
    for (roles, seed) in [1, 3, 50].into_iter().flat_map(|roles| (0..10).map(move |seed| (roles, seed))) {
        for failing in [A, KV] {
            let mut world = two_databases(roles, seed);
            world.server.faults.push(stretch(100, 700, What::IsNoGatewayTo(failing)));
            world.run(seconds(700));
            let (b, kv) = (SecretId(roles), SecretId(roles + 1));
            let about = format!("{roles} roles, {failing:?} fails, seed {seed}");
            assert_eq!((world.logins(), world.count_events(Event::BackendDown)), (1, 0), "{about}");
            assert!(!world.gaps.iter().any(|(id, ..)| *id == b || failing == KV), "{about}: {:?}", world.gaps);
            if failing == A {
                let gap = longest_gap(&world, |work| work.secret() == Some(kv));
                assert!(gap <= seconds(302), "{about}: KV was not read for {gap:?}");
            }
            let failed =
                world.count(100, 700, |work| work.secret().is_some_and(|id| world.server.mount(id) == failing));
            let questions = world.count(100, 700, |work| work == Work::CheckHealth);
            assert!(questions <= failed, "{about}: {questions} for {failed} failures");
            world.run(seconds(760));
            for id in 0..roles + 3 {
                assert_eq!(world.state(id), State::Fresh, "{about}: {id}");
            }
        }
    }
}

#[test]
fn an_outage_is_over_with_it_although_the_only_mount_fails_on() {
    for seed in 0..40 {
        let mut world = World::new(Server::new(vec![leased(60, DAY)]), seed);
        world.server.token_ttl = seconds(DAY);
        world.server.faults.push(stretch(100, 200, What::Refuses));
        world.server.faults.push(stretch(100, 700, What::IsNoGatewayTo(A)));
        world.run(seconds(700));
        let of = |event| world.events.iter().filter(move |(_, of)| *of == event).map(|(at, _)| *at).collect::<Vec<_>>();
        let (down, up) = (of(Event::BackendDown), of(Event::BackendUp));
        assert!(matches!((&*down, &*up), ([_], [up]) if *up <= seconds(1220)), "seed {seed}: {down:?} {up:?}");
    }
}

#[test]
fn what_one_mount_has_lost_is_had_again_within_ten_seconds_of_its_return() {
    for (what, seed) in
        [What::BreaksMount(A), What::HangsMount(A)].into_iter().flat_map(|w| (0..20).map(move |s| (w, s)))
    {
        let mut world = two_databases(2, seed);
        world.server.faults.push(stretch(100, 400, what));
        world.run(seconds(412));
        assert_eq!([0, 1].map(|id| world.state(id)), [State::Fresh; 2], "{what:?}, seed {seed}");
    }
}

#[test]
fn what_has_expired_on_a_silent_database_is_retried_within_ten_seconds_every_time() {
    for (roles, seed) in [1, 2, 5].into_iter().flat_map(|roles| (0..20).map(move |seed| (roles, seed))) {
        let mut world = two_databases(roles, seed);
        world.server.faults.push(stretch(100, 400, What::SwallowsMount(A)));
        world.run(seconds(400));
        let is_its = |work: Work| work.secret().is_some_and(|id| id.0 < roles);
        let sent: Vec<_> = world.server.log.iter().filter(|request| is_its(request.work)).map(|r| r.at).collect();
        let expired = sent.windows(2).filter(|pair| pair[1] > seconds(1200));
        let longest = expired.map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= Duration::from_millis(10_010), "{roles} roles, seed {seed}: {longest:?}");
        world.run(seconds(411));
        assert!((0..roles).all(|id| world.state(id) == State::Fresh), "{roles} roles, seed {seed}");
    }
}

#[test]
fn one_request_that_hangs_never_costs_a_credential_its_life() {
    let kinds: [(&str, IsIt); 5] = [
        ("a renewal", |work| matches!(work, Work::Renew(_))),
        ("a token renewal", |work| matches!(work, Work::RenewToken)),
        ("a read", |work| matches!(work, Work::Read(_))),
        ("an issue", |work| matches!(work, Work::Issue(_))),
        ("a login", |work| matches!(work, Work::Login(_))),
    ];
    for (name, is_it) in kinds {
        for (life, seed) in [20, 40, 60].into_iter().flat_map(|life| (0..8).map(move |seed| (life, seed))) {
            let mut server = Server::new(vec![leased(life, 4 * life), leased(life, 3 * life), Kind::Plain]);
            (server.token_ttl, server.token_max) = (seconds(life), seconds(5 * life));
            let mut world = World::new(server, seed);
            for at in [1 + 2 * life, 3 * life, 9 * life] {
                world.server.hangs_once.push((seconds(1000 + at), is_it));
            }
            world.run(seconds(20 * life));
            let about = format!("{name}, lives of {life} s, seed {seed}");
            assert!(world.gaps.is_empty(), "{about}: {:?}", world.gaps);
            assert!(world.events.is_empty(), "{about}: {:?}", world.events);
            assert!(longest_gap(&world, |work| work == Work::Read(SecretId(2))) <= seconds(302), "{about}");
            world.assert_innocent();
        }
    }
}

#[test]
fn a_renewal_that_keeps_failing_is_replaced_in_the_window_before_its_end() {
    for seed in 0..40 {
        let mut world = World::new(Server::new(vec![leased(60, DAY), leased(60, DAY)]), seed);
        world.server.token_ttl = seconds(DAY);
        world.server.faults.push(stretch(100, 2000, What::BreaksRenewal(SecretId(0))));
        world.run(seconds(2000));
        assert!(world.gaps.is_empty(), "seed {seed}: {:?}", world.gaps);
        // A life of 60 s less a window of 6 s.
        assert!(world.issues(0) <= 2 + 1900 / 54 + 1, "{}", world.issues(0));
        assert_eq!((world.issues(1), world.count_events(Event::BackendDown)), (1, 0));
    }
}

#[test]
fn a_token_whose_renewal_keeps_failing_is_replaced_in_the_window_before_its_end() {
    for seed in 0..40 {
        let mut world = World::new(Server::new(vec![leased(HOUR, DAY), Kind::Plain]), seed);
        world.server.token_ttl = seconds(60);
        world.server.faults.push(stretch(100, 700, What::BreaksTokenRenewal));
        world.run(seconds(700));
        assert!(world.gaps.is_empty(), "seed {seed}: {:?}", world.gaps);
        assert!(world.logins() <= 2 + 600 / 54 + 1, "{}", world.logins());
        let ends: Vec<_> = world.server.tokens.iter().map(|(_, token)| token.end).collect();
        for (at, end) in world.server.tokens.iter().skip(1).map(|(_, token)| token.issued).zip(ends) {
            assert!(at + seconds(2) <= end, "seed {seed}: a login {:?} before the end", end.saturating_sub(at));
        }
    }
}

#[test]
fn in_an_outage_a_lease_that_can_still_be_renewed_after_it_is_not_replaced() {
    for seed in 0..40 {
        let mut world = World::new(Server::new(vec![leased(60, DAY), leased(60, DAY)]), seed);
        world.server.token_ttl = seconds(DAY);
        world.run(seconds(100));
        let next = |world: &World, id: usize| world.schedule.status(world.now).secrets[id].next.unwrap().1;
        let due = next(&world, 0).min(next(&world, 1)).as_secs() - 1000;
        world.server.faults.push(stretch(due, due + 8, What::Refuses));
        world.run(seconds(400));
        assert_eq!((world.issues(0), world.issues(1)), (1, 1), "seed {seed}");
        world.assert_innocent();
    }
}

#[test]
fn an_absurd_wish_for_patience_lets_nothing_expire_and_is_over_after_five_minutes() {
    for (wait, seed) in [3600, u64::MAX].into_iter().flat_map(|wait| (0..20).map(move |seed| (wait, seed))) {
        let mut world = two_databases(2, seed);
        // Everybody is sent away once.
        world.server.faults.push(stretch(100, 101, What::Throttles(seconds(wait))));
        world.server.faults.push(stretch(290, 291, What::ThrottlesMount(KV, seconds(wait))));
        world.run(seconds(1300));
        assert!(world.gaps.is_empty(), "seed {seed}: {:?}", world.gaps);
        assert_eq!(world.logins(), 1);
        let gap = longest_gap(&world, |work| work.secret() == Some(SecretId(3)));
        assert!(gap <= seconds(602), "seed {seed}: {gap:?}");
        world.assert_innocent();
    }
}

#[test]
fn an_hour_of_patience_that_was_asked_for_once_costs_no_credential_and_no_login() {
    for (life, seed) in [6, 12, 60, 600, HOUR].into_iter().flat_map(|life| (0..20).map(move |seed| (life, seed))) {
        let mut world = World::new(Server::new(vec![leased(life, DAY), Kind::Plain]), seed);
        world.server.mounts = vec![A, KV];
        world.server.token_ttl = seconds(life + 2);
        world.server.throttles_once = vec![
            (seconds(1001), |work| matches!(work, Work::Renew(_)), seconds(3600)),
            (seconds(1001), |work| work == Work::RenewToken, seconds(3600)),
        ];
        world.run(seconds(4 * life));
        let about = format!("lives of {life} s, seed {seed}");
        assert!(world.server.throttles_once.is_empty(), "{about}");
        assert_eq!((world.issues(0), world.logins()), (1, 1), "{about}");
        assert!(world.gaps.is_empty(), "{about}: {:?}", world.gaps);
        let is_of_the_token = |event: &Event| matches!(event, Event::Patience(PatienceFor::Token, _));
        assert_eq!(world.events.iter().filter(|(_, event)| is_of_the_token(event)).count(), 1, "{about}");
    }
}

#[test]
fn a_refresh_asks_at_once_whatever_the_server_asked_for() {
    let mut world = two_databases(1, 3);
    world.server.faults.push(stretch(200, 300, What::ThrottlesMount(KV, seconds(3600))));
    world.run(seconds(310));
    let next = world.schedule.status(world.now).secrets[2].next.unwrap().1;
    assert!(next > world.now + seconds(100), "status says until when: {next:?}");
    assert_eq!(
        world.events.iter().filter(|(_, event)| matches!(event, Event::Patience(PatienceFor::MountOf(_), _))).count(),
        1
    );
    world.schedule.refresh(world.now);
    world.run(seconds(311));
    assert_eq!(world.count(310, 311, |work| work == Work::Read(SecretId(2))), 1);
}

#[test]
fn a_value_that_is_over_when_it_comes_is_a_failure_and_no_loop() {
    for (operation, life) in [
        (Operation::Write, Life::Expires(Duration::ZERO)),
        (Operation::Write, Life::Expires(Duration::from_millis(1990))),
        (Operation::Write, Life::HarmlessLease(seconds(1))),
        (Operation::Read, Life::Lease(Lifetime { ttl: seconds(1), renewable: false })),
        (Operation::Read, Life::Lease(Lifetime { ttl: Duration::ZERO, renewable: true })),
        (Operation::Read, Life::Lease(Lifetime { ttl: Duration::ZERO, renewable: false })),
    ] {
        for valid_first in [false, true] {
            let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
            schedule.add(Plan { operation, refresh: seconds(300), mount: A });
            let (mut now, mut issued) = (seconds(1), 0);
            while now < seconds(HOUR) {
                match schedule.next(now) {
                    Next::Wait(wait) => now += wait,
                    Next::Tell(_) => {}
                    Next::Do(work) => {
                        issued += 1;
                        let life = if valid_first && issued == 1 { Life::Expires(seconds(60)) } else { life };
                        schedule.done(work, Outcome::Fetched(Answer { life, rotates_in: None }), now, 0.5);
                        schedule.delivered(&[SecretId(0)], now);
                    }
                }
            }
            // After 1, 2, 4, 8, 10, 10 … minutes; also where what was valid has expired, for each try issues another one.
            assert!((7..=11).contains(&issued), "{issued}, valid first: {valid_first}");
        }
    }
}

#[test]
fn reads_of_one_interval_go_together_and_neighbours_of_a_change_once_more() {
    let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
    let ids: Vec<_> = (0..3)
        .map(|n| schedule.add(Plan { operation: Operation::Read, refresh: seconds([10, 10, 300][n]), mount: KV }))
        .collect();
    let (mut now, mut dice, mut reads) = (seconds(1), Dice(3), Vec::new());
    let mut changed = false;
    while now < seconds(120) {
        match schedule.next(now) {
            Next::Wait(wait) => now += wait,
            Next::Tell(event) => panic!("{event:?}"),
            Next::Do(work) => {
                let id = work.secret().unwrap();
                reads.push((now, id));
                let answer = Answer { life: Life::Unbounded, rotates_in: None };
                schedule.done(work, Outcome::Fetched(answer), now, dice.unit());
                if now > seconds(60) && id == ids[0] && !changed {
                    changed = true;
                    schedule.changed(id, now);
                    assert_eq!(schedule.settles_at(now), Some(now + Duration::from_millis(500)));
                }
            }
        }
    }
    let at = |id: usize| reads.iter().filter(|(_, of)| *of == ids[id]).map(|(at, _)| *at).collect::<Vec<_>>();
    let pairs: Vec<_> = at(0).into_iter().zip(at(1)).skip(1).filter(|(one, _)| *one < seconds(60)).collect();
    let apart: Vec<_> = pairs.iter().map(|(one, other)| one.abs_diff(*other)).collect();
    assert!(apart.iter().all(|apart| *apart <= Duration::from_millis(500)), "{pairs:?}");
    assert!(apart.iter().all(|apart| !apart.is_zero()), "a fleet that is spread sends no bursts: {pairs:?}");
    let again = |id| at(id).windows(2).filter(|pair| pair[1] - pair[0] <= Duration::from_millis(500)).count();
    assert!(again(0) == 0 && again(1) <= 1, "what changed is not read again");
    let change = at(0).into_iter().find(|at| *at > seconds(60)).unwrap() + Duration::from_millis(500);
    assert!(at(1).contains(&change), "what goes with it is, or for the first time");
    assert_eq!(at(2).len(), 1, "another interval is not touched");
}

#[test]
fn a_change_does_not_wait_for_a_neighbour_whose_reads_hang() {
    let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
    let ids: Vec<_> =
        (0..3).map(|_| schedule.add(Plan { operation: Operation::Read, refresh: seconds(300), mount: KV })).collect();
    // The second one hangs, the third one answers.
    let plain = || Outcome::Fetched(Answer { life: Life::Unbounded, rotates_in: None });
    ids.iter().for_each(|id| schedule.resume(*id, Answer { life: Life::Unbounded, rotates_in: None }, seconds(0), 0.0));
    let read = |schedule: &mut Schedule, now: Duration| {
        let mut sent = Vec::new();
        while let Next::Do(work) = schedule.next(now) {
            sent.push(work);
        }
        sent
    };
    schedule.read_again(ids[1], seconds(5));
    assert_eq!(read(&mut schedule, seconds(5)), [Work::Read(ids[1])]);
    let half = Duration::from_millis(500);
    for (is_known, begin) in [(false, seconds(5)), (true, seconds(40))] {
        schedule.read_again(ids[0], begin);
        assert!(read(&mut schedule, begin).contains(&Work::Read(ids[0])), "{is_known}");
        schedule.done(Work::Read(ids[0]), plain(), begin, 0.0);
        schedule.changed(ids[0], begin);
        let (at, until) = (begin + half, begin + half + seconds(1));
        assert_eq!(schedule.settles_at(begin), Some(at));
        read(&mut schedule, at);
        schedule.done(Work::Read(ids[2]), plain(), at, 0.0);
        assert_eq!(schedule.settles_at(at), (!is_known).then_some(until), "the first time it may only be slow");
        assert_eq!(schedule.settles_at(until), None);
        let silence = Failure::new(Class::Transient, "no answer in time").silent();
        schedule.done(Work::Read(ids[1]), Outcome::Failed(silence), until, 0.0);
        read(&mut schedule, seconds(39));
    }
}
