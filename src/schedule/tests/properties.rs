//! Days with anything in them.

use std::time::Duration;

use proptest::prelude::*;

use crate::provider::{Class, Failure};
use crate::schedule::{
    Answer, Authentication, Event, Grant, Life, Lifetime, MountId, Next, Operation, Outcome, Plan, Schedule, SecretId,
    Settings, State, Window, Work,
};

use super::Dice;
use super::server::{InjectedFault, Kind, Server, What, window};
use super::world::{World, stretch};
use super::{HOUR, seconds};

/// How long a random world runs.
const RUN: u64 = 8 * HOUR;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => (10_u64..4000, 1_u64..20, any::<bool>()).prop_map(|(ttl, lives, renewable)| Kind::Leased {
            ttl: seconds(ttl),
            max: seconds(ttl * lives),
            renewable,
        }),
        1 => (60_u64..4000).prop_map(|ttl| Kind::Certificate { ttl: seconds(ttl) }),
        1 => (60_u64..4000).prop_map(|period| Kind::Static { period: seconds(period) }),
        1 => Just(Kind::Plain),
    ]
}

fn server() -> impl Strategy<Value = Server> {
    (prop::collection::vec(kind(), 1..8), 30_u64..4000, 1_u64..30, any::<bool>()).prop_map(
        |(kinds, ttl, lives, renewable)| {
            let mut server = Server::new(kinds);
            server.token_ttl = seconds(ttl);
            server.token_max = seconds(ttl * lives);
            server.token_renewable = renewable;
            server
        },
    )
}

/// Anything that may go wrong with the backend itself.
fn outage() -> impl Strategy<Value = InjectedFault> {
    let what = prop_oneof![
        Just(What::Refuses),
        Just(What::Hangs),
        (1_u64..60).prop_map(|wait| What::Throttles(seconds(wait))),
    ];
    (0..RUN, 1_u64..1200, what).prop_map(|(from, length, what)| stretch(from, from + length, what))
}

/// An answer nobody should give.
fn anything(dice: &mut Dice) -> Outcome {
    let mut pick = |from: &[u64]| from[(dice.unit() * from.len() as f64) as usize];
    let time = Duration::from_secs(pick(&[0, 1, 2, 30, 3600, u64::MAX]));
    let life = Lifetime { ttl: time, renewable: pick(&[0, 1]) == 0 };
    let class =
        [Class::Denied, Class::NotFound, Class::Malformed, Class::Transient][pick(&[0, 1, 2, 3]) as usize].clone();
    let grant = Grant { life: [Some(life), None][pick(&[0, 0, 1]) as usize], revocable: pick(&[0, 1]) == 0 };
    let answer = |life| Outcome::Fetched(Answer { life, rotates_in: Some(time) });
    match pick(&[0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10]) {
        0 => Outcome::Granted(grant),
        1 => Outcome::TokenUnchanged(grant),
        2 => Outcome::Renewed(life),
        3 => answer(Life::Lease(life)),
        4 => answer(Life::Expires(time)),
        5 => answer(Life::Unbounded),
        6 => Outcome::Done,
        7 => Outcome::Failed(Failure::new(class, "no")),
        9 => answer(Life::ReadEvery(time)),
        8 => Outcome::TokenDead(Failure::new(class, "dead")),
        _ => Outcome::Failed(Failure::new(Class::Throttled { retry_after: Some(time) }, "429")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn on_a_calm_day_nothing_expires_and_nothing_is_issued_without_need(server in server(), seed: u64) {
        let mut world = World::new(server, seed);
        world.run(seconds(RUN));
        world.assert_innocent();
        prop_assert!(world.events.is_empty(), "{:?}", world.events);
        prop_assert!(world.gaps.is_empty(), "dead credentials: {:?}", world.gaps);
        let token_life = world.server.token_max.max(world.server.token_ttl);
        let token_life = if world.server.token_renewable { token_life } else { world.server.token_ttl };
        for (id, kind) in world.server.kinds.iter().enumerate() {
            let Kind::Leased { ttl, max, renewable } = *kind else { continue };
            let life = if renewable { max.max(ttl) } else { ttl };
            let times = |life| seconds(RUN).div_duration_f64(life - window(life)).ceil() as usize;
            let bound = times(life) + times(token_life) + 1;
            prop_assert!(world.issues(id) <= bound, "secret {id}: {} > {bound}", world.issues(id));
        }
        prop_assert!(world.longest_wait <= seconds(30));
    }

    #[test]
    fn lives_of_a_few_seconds_are_replaced_before_they_end(
        kinds in prop::collection::vec((2_u64..=10, 1_u64..4, any::<bool>()), 1..5),
        token in (2_u64..=10, 1_u64..4, any::<bool>()), seed: u64,
    ) {
        let leased = |&(ttl, lives, renewable): &(u64, u64, bool)| Kind::Leased {
            ttl: seconds(ttl), max: seconds(ttl * lives), renewable,
        };
        let mut world = World::new(Server::new(kinds.iter().map(leased).collect()), seed);
        (world.server.token_ttl, world.server.token_renewable) = (seconds(token.0), token.2);
        world.server.token_max = seconds(token.0 * token.1);
        world.run(seconds(90));
        world.assert_innocent();
        prop_assert!(world.gaps.is_empty(), "dead credentials: {:?}", world.gaps);
        // The token and each secret, at most four times in a second and a half.
        let requests = world.server.log.len();
        prop_assert!(requests <= (kinds.len() + 1) * 240, "{requests}");
    }

    #[test]
    fn every_threshold_an_operator_may_choose_keeps_the_rules(
        server in server(), at in 30_u32..=80, jitter in 5_u32..=20, hand_over in 10_u64..=3600, seed: u64,
    ) {
        let defaults = Settings::default();
        let (at, jitter) = (f64::from(at) / 100.0, f64::from(jitter) / 100.0);
        let window = Window { most: seconds(hand_over), ..defaults.window };
        let settings = Settings { renew_after: at, spread: jitter, window, ..defaults };
        let mut world = World::with(settings, server, seed);
        world.run(seconds(HOUR));
        world.assert_innocent();
        prop_assert!(world.events.is_empty(), "{:?}", world.events);
        prop_assert!(world.gaps.is_empty(), "dead credentials: {:?}", world.gaps);
        // A first renewal stands within the jitter before its place.
        for (id, kind) in world.server.kinds.iter().enumerate() {
            let Kind::Leased { ttl, max, renewable: true } = *kind else { continue };
            if max <= ttl || world.server.token_ttl <= ttl { continue }
            let of = |wanted| world.server.log.iter().find(|request| request.work == wanted).map(|request| request.at);
            let (Some(issued), Some(renewed)) = (of(Work::Issue(SecretId(id))), of(Work::Renew(SecretId(id)))) else { continue };
            let part = (renewed - issued).div_duration_f64(ttl);
            prop_assert!(part >= at - jitter - 0.001 && part <= at + 0.05, "{part} of its life, not {at}");
        }
    }

    #[test]
    fn after_a_day_of_outages_no_rule_was_broken_and_everything_is_fresh(
        server in server(), outages in prop::collection::vec(outage(), 0..6), seed: u64,
    ) {
        let mut world = World::new(server, seed);
        world.server.faults = outages;
        world.run(seconds(RUN + 2400));
        world.assert_innocent();
        for id in 0..world.server.kinds.len() {
            prop_assert_eq!(world.state(id), State::Fresh);
        }
        prop_assert_eq!(world.count_events(Event::BackendDown), world.count_events(Event::BackendUp));
        prop_assert!(world.most_under_way <= 8);
    }

    #[test]
    fn answers_lost_on_the_way_cost_one_credential_each_and_no_more(
        ttl in 20_u64..2000, from in 0..HOUR, length in 1_u64..300, seed: u64,
    ) {
        let kind = Kind::Leased { ttl: seconds(ttl), max: seconds(ttl * 10), renewable: true };
        let mut world = World::new(Server::new(vec![kind]), seed);
        world.server.faults.push(stretch(from, from + length, What::LosesAnswers));
        world.run(seconds(RUN));
        let life = seconds(ttl * 10);
        let bound = seconds(RUN).div_duration_f64(life - window(life)).ceil() as usize + 1;
        // One more when renewals whose answers were lost let the lease end for us.
        let expiries = world.count_events(Event::Expired(SecretId(0)));
        prop_assert!(world.issues(0) <= bound + world.server.lost + expiries, "{} {}", world.issues(0), bound);
        prop_assert_eq!(world.state(0), State::Fresh);
    }

    #[test]
    fn whatever_befalls_one_secret_the_others_do_not_notice(
        kinds in prop::collection::vec((60_u64..2000, 2_u64..20), 2..6),
        from in 60..HOUR, length in 1..RUN, which in 0_usize..4, seed: u64,
    ) {
        let leased = |&(ttl, lives): &(u64, u64)| Kind::Leased {
            ttl: seconds(ttl),
            max: seconds(ttl * lives),
            renewable: true,
        };
        let what = [What::Denies, What::Garbles, What::Breaks, What::DeniesRenewal][which](SecretId(0));
        let mut world = World::new(Server::new(kinds.iter().map(leased).collect()), seed);
        world.server.faults.push(stretch(from, from + length, what));
        world.run(seconds(RUN));
        for id in 1..kinds.len() {
            prop_assert_eq!(world.count_events(Event::Expired(SecretId(id))), 0);
        }
        prop_assert_eq!(world.count_events(Event::BackendDown), 0);
        prop_assert_eq!(world.logins(), 1);
        let touched_others = world.server.accusations.iter().any(|text| !text.contains("SecretId(0)"));
        prop_assert!(!touched_others, "{:?}", world.server.accusations);
    }

    #[test]
    fn whatever_a_server_answers_there_is_neither_a_panic_nor_a_busy_loop(seed: u64, refresh in 0_u64..9) {
        let mut dice = Dice(seed);
        let mut schedule = Schedule::new(Authentication::Token, Settings::default());
        for n in 0..4 {
            let operation = if n % 2 == 0 { Operation::Read } else { Operation::Write };
            let refresh = Duration::from_secs([0, 1, 300, u64::MAX][n].saturating_add(refresh));
            schedule.add(Plan { operation, refresh, mount: MountId(0) });
        }
        let (mut now, mut requests) = (seconds(5), 0);
        while now < seconds(2 * HOUR) {
            match schedule.next(now) {
                Next::Tell(_) => {}
                Next::Wait(wait) => {
                    prop_assert!(!wait.is_zero() && wait <= seconds(30), "{wait:?}");
                    now += wait;
                }
                Next::Do(work) => {
                    requests += 1;
                    let outcome = anything(&mut dice);
                    let jitter = [f64::NAN, f64::INFINITY, -1.0, dice.unit()][(dice.unit() * 4.0) as usize];
                    schedule.done(work, outcome, now, jitter);
                    schedule.status(now);
                }
            }
        }
        // Five of them, once a second at the very most.
        prop_assert!(requests <= 2 * HOUR * 5, "{requests}");
    }

    #[test]
    fn restarts_and_jumps_of_the_clock_are_repaired(
        server in server(), shocks in prop::collection::vec((0..RUN, any::<bool>(), 1_u64..7200), 1..5), seed: u64,
    ) {
        let mut world = World::new(server, seed);
        let mut shocks = shocks;
        shocks.sort_unstable();
        let mut suspended = 0;
        for (at, is_restart, jump) in shocks {
            world.run(seconds(at + suspended));
            if is_restart {
                world.server.restart();
            } else {
                world.suspend(seconds(jump));
                suspended += jump;
            }
        }
        world.run(seconds(RUN + suspended + 2 * HOUR));
        world.assert_innocent();
        for id in 0..world.server.kinds.len() {
            prop_assert_eq!(world.state(id), State::Fresh);
        }
    }
}
