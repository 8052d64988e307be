//! Days with anything in them.

use proptest::prelude::*;

use crate::rotate::{Event, SecretId, State};

use super::server::{Fault, Kind, Server, What, window};
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
fn outage() -> impl Strategy<Value = Fault> {
    let what = prop_oneof![
        Just(What::Refuses),
        Just(What::Hangs),
        (1_u64..60).prop_map(|wait| What::Throttles(seconds(wait))),
    ];
    (0..RUN, 1_u64..1200, what).prop_map(|(from, length, what)| stretch(from, from + length, what))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn on_a_calm_day_nothing_expires_and_nothing_is_issued_without_need(server in server(), seed: u64) {
        let mut world = World::new(server, seed);
        world.run(seconds(RUN));
        world.assert_innocent();
        prop_assert!(world.events.is_empty(), "{:?}", world.events);
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
        prop_assert_eq!(world.told(Event::BackendDown), world.told(Event::BackendUp));
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
        let told = world.told(Event::Expired(SecretId(0)));
        prop_assert!(world.issues(0) <= bound + world.server.lost + told, "{} {}", world.issues(0), bound);
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
            prop_assert_eq!(world.told(Event::Expired(SecretId(id))), 0);
        }
        prop_assert_eq!(world.told(Event::BackendDown), 0);
        prop_assert_eq!(world.logins(), 1);
        let touched_others = world.server.accusations.iter().any(|text| !text.contains("SecretId(0)"));
        prop_assert!(!touched_others, "{:?}", world.server.accusations);
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
