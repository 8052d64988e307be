//! One fault at a time.

use std::time::Duration;

use crate::provider::{Class, Failure};
use crate::schedule::{
    Answer, Authentication, Event, Life, MountId, Next, Operation, Outcome, Plan, Refreshed, Schedule, SecretId,
    Settings, State, Work,
};

use super::server::{Kind, Server, What};
use super::world::{World, stretch};
use super::{DAY, Dice, HOUR, MINUTE, seconds};

fn leased(ttl: u64, max: u64) -> Kind {
    Kind::Leased { ttl: seconds(ttl), max: seconds(max), renewable: true }
}

fn world(kinds: Vec<Kind>) -> World {
    World::new(Server::new(kinds), 7)
}

#[test]
fn one_login_and_one_lease_per_secret_per_start() {
    let mut world = world(vec![leased(60, DAY), leased(HOUR, DAY), Kind::Plain]);
    world.run(seconds(20 * HOUR));
    assert_eq!((world.logins(), world.issues(0), world.issues(1)), (1, 1, 1));
    world.assert_innocent();
    assert!(world.events.is_empty(), "{:?}", world.events);
    assert_eq!(world.longest_wait, seconds(30));
}

#[test]
fn a_lease_is_replaced_in_its_window_at_max_ttl() {
    let mut world = world(vec![leased(60, 300)]);
    world.run(seconds(DAY));
    // Life 300 s, window 30 s: one in 270 to 285 s.
    let issues = world.issues(0) as u64;
    assert!((DAY / 285..=DAY / 270 + 1).contains(&issues), "{issues}");
    assert_eq!(world.logins(), 1);
    world.assert_innocent();
}

#[test]
fn a_minute_of_outage_costs_at_most_twenty_requests_for_one_and_for_a_hundred_leases() {
    for (leases, seeds) in [(1, 40), (100, 8)] {
        for what in [What::Refuses, What::Hangs] {
            for seed in 0..seeds {
                let from = 100 + seed * 60 / seeds;
                let mut world = World::new(Server::new(vec![leased(60, DAY); leases]), seed);
                world.server.faults.push(stretch(from, from + 60, what));
                world.run(seconds(from + 60));
                let cost = world.requests(from, from + 60).len();
                assert!(cost <= 20, "{leases} leases, {what:?}, seed {seed}: {cost}");
                world.run(seconds(from + 300));
                assert_eq!(world.state(0), State::Fresh, "{leases} leases, {what:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn on_recovery_the_token_goes_first_then_by_expiry_in_bounded_parallel() {
    let mut world = world((0..40).map(|n| leased(600 + 10 * n, DAY)).collect());
    world.server.token_ttl = seconds(780);
    world.server.faults.push(stretch(350, 560, What::Refuses));
    world.run(seconds(800));
    let ran = world.requests(560, 800);
    let token = ran.iter().position(|work| *work == Work::RenewToken).unwrap();
    assert!(token <= 1, "the probe, then the token: {ran:?}");
    let renewed: Vec<_> = ran[2..12].iter().filter_map(|work| work.secret()).collect();
    assert!(renewed.is_sorted(), "{renewed:?}");
    assert!(world.most_under_way <= Settings::default().parallel.backend);
    assert_eq!((world.count_events(Event::BackendDown), world.count_events(Event::BackendUp)), (1, 1));
    world.assert_innocent();
}

#[test]
fn retry_after_is_honoured_by_everybody() {
    for seed in 0..20 {
        let mut server = Server::new(vec![Kind::Plain; 5]);
        server.mounts = vec![MountId(0), MountId(0), MountId(0), MountId(1), MountId(1)];
        server.token_ttl = seconds(DAY);
        let mut world = World::new(server, seed);
        world.server.faults.push(stretch(250, 600, What::Throttles(seconds(25))));
        world.run(seconds(900));
        let requests: Vec<_> = world.server.log.iter().map(|request| request.at).collect();
        let sent_away: Vec<_> = requests.iter().filter(|at| (seconds(1300)..seconds(1600)).contains(*at)).collect();
        assert!(sent_away.len() >= 3, "{sent_away:?}");
        for at in sent_away {
            // Beside what was under way when the first answer came.
            let quiet = *at + seconds(25);
            let early = requests.iter().find(|other| **other > *at + Duration::from_millis(10) && **other < quiet);
            assert!(early.is_none(), "seed {seed}: sent away at {at:?}, back at {early:?}");
        }
        world.assert_innocent();
    }
}

#[test]
fn one_denied_secret_of_five_never_touches_the_others() {
    let run = |denied| {
        let mut world = world(vec![leased(60, 600); 5]);
        if denied {
            world.server.faults.push(stretch(200, 2000, What::Denies(SecretId(2))));
        }
        world.run(seconds(2000));
        world
    };
    let (calm, denied) = (run(false), run(true));
    for id in [0, 1, 3, 4] {
        assert_eq!(denied.count_events(Event::Expired(SecretId(id))), 0);
        assert!(denied.issues(id).abs_diff(calm.issues(id)) <= 1);
    }
    assert_eq!(denied.logins(), 1);
    // It has expired, so it is tried every 7.5 to 10 s.
    let requests = denied.count(200, 2000, |work| work.secret() == Some(SecretId(2)));
    assert!((150..=250).contains(&requests), "{requests}");
    assert_eq!(denied.count(200, 2000, |work| work == Work::CheckToken), 1);
    assert_eq!(denied.state(2), State::Expired);
    let error = denied.schedule.status(denied.now).secrets[2].last_error.clone();
    assert_eq!(error.unwrap().class, Class::Denied);
    denied.assert_innocent();
}

#[test]
fn a_database_that_is_down_behind_a_healthy_server_is_not_an_outage() {
    let mut world = world(vec![leased(60, 600), leased(60, DAY), leased(HOUR, DAY), Kind::Plain]);
    world.server.faults.push(stretch(100, 4000, What::Breaks(SecretId(0))));
    world.run(seconds(5000));
    assert_eq!(world.count_events(Event::BackendDown), 0);
    for id in [1, 2] {
        assert_eq!((world.count_events(Event::Expired(SecretId(id))), world.issues(id)), (0, 1));
    }
    assert_eq!(world.state(0), State::Fresh);
    world.assert_innocent();
}

#[test]
fn a_dead_token_leads_to_one_login_and_each_lease_is_issued_once_more() {
    let mut world = world(vec![leased(60, DAY), leased(60, DAY), Kind::Plain]);
    world.run(seconds(500));
    world.server.restart();
    world.run(seconds(2000));
    assert_eq!((world.logins(), world.issues(0), world.issues(1)), (2, 2, 2));
    assert_eq!(world.count(500, 2000, |work| work == Work::CheckToken), 1);
    assert!(world.events.is_empty(), "repaired before anybody had to hear of it: {:?}", world.events);
    world.assert_innocent();
}

#[test]
fn a_token_that_keeps_dying_does_not_lead_to_a_login_loop() {
    let mut world = world(vec![leased(10, DAY)]);
    for n in 0..HOUR / 5 {
        world.run(seconds(5 * (n + 1)));
        world.server.restart();
    }
    // With each login there is a credential that lives: one in 7.5 to 10 s.
    assert!(world.logins() <= 480, "{}", world.logins());
    world.server.faults.clear();
    world.run(seconds(HOUR + 700));
    assert_eq!(world.state(0), State::Fresh);
}

#[test]
fn a_lease_revoked_by_an_operator_is_issued_once_more() {
    let mut world = world(vec![leased(60, DAY), leased(60, DAY)]);
    world.run(seconds(500));
    world.server.revoke_leases(SecretId(0));
    world.run(seconds(2000));
    assert_eq!((world.issues(0), world.issues(1), world.logins()), (2, 1, 1));
    assert_eq!(world.state(0), State::Fresh);
    world.assert_innocent();
}

#[test]
fn refused_renewals_never_become_a_stream_of_credentials() {
    let mut world = world(vec![leased(60, DAY)]);
    world.server.faults.push(stretch(0, DAY, What::DeniesRenewal(SecretId(0))));
    world.run(seconds(HOUR));
    // One at start, one after the refusal, then one per life of 60 s, in its window.
    let issues = world.issues(0) as u64;
    assert!(issues <= 2 + HOUR / 54 + 1, "{issues}");
    assert_eq!(world.logins(), 1);
}

#[test]
fn a_garbled_answer_to_a_renewal_costs_no_credential() {
    let mut world = world(vec![leased(60, DAY)]);
    world.run(seconds(100));
    let next = world.schedule.status(world.now).secrets[0].next.unwrap().1.as_secs() - 1000;
    world.server.faults.push(stretch(next, next + 2, What::Garbles(SecretId(0))));
    world.run(seconds(HOUR));
    assert_eq!(world.issues(0), 1);
}

#[test]
fn an_hour_of_suspend_is_repaired_at_once_and_token_and_leases_are_new() {
    let mut world = world(vec![leased(60, DAY), Kind::Plain, leased(4 * HOUR, DAY)]);
    world.run(seconds(500));
    world.suspend(seconds(HOUR + 10));
    world.run(seconds(500 + HOUR + 20));
    assert_eq!((world.logins(), world.issues(0), world.issues(2)), (2, 2, 2));
    assert_eq!([0, 1, 2].map(|id| world.state(id)), [State::Fresh; 3]);
    assert!(world.events.is_empty(), "{:?}", world.events);
    world.assert_innocent();
}

#[test]
fn a_token_is_handed_over_before_its_end_and_the_old_one_revoked_after_it() {
    let mut world = world(vec![leased(HOUR, 30 * DAY), leased(HOUR, 30 * DAY), Kind::Plain]);
    (world.server.token_ttl, world.server.token_max) = (seconds(HOUR), seconds(2 * HOUR));
    world.run(seconds(3 * HOUR));
    assert_eq!((world.logins(), world.issues(0), world.issues(1)), (2, 2, 2));
    let login = world.server.log.iter().filter(|r| matches!(r.work, Work::Login(_))).nth(1).unwrap().at;
    let revoked = world.server.log.iter().find(|r| matches!(r.work, Work::RevokeOldToken(_))).unwrap().at;
    let issued = world.server.log.iter().rfind(|r| matches!(r.work, Work::Issue(_))).unwrap().at;
    assert!(login < issued && issued + Settings::default().settle <= revoked, "{login:?} {issued:?} {revoked:?}");
    assert!(revoked < seconds(1000 + 2 * HOUR), "while the old one lived: {revoked:?}");
    let reads = world.count(0, 3 * HOUR, |work| work == Work::Read(SecretId(2)));
    assert!((3 * HOUR / 300..=3 * HOUR / 270).contains(&(reads as u64)), "no read because of the login: {reads}");
    world.assert_innocent();
}

#[test]
fn expiry_is_told_once_at_its_time_in_an_outage_and_its_repair_too() {
    let mut world = world(vec![leased(60, DAY)]);
    world.server.faults.push(stretch(30, 200, What::Refuses));
    world.run(seconds(400));
    let end = world.events.iter().find(|(_, e)| *e == Event::Expired(SecretId(0))).unwrap().0;
    assert!((seconds(1059)..=seconds(1061)).contains(&end), "{end:?}");
    assert_eq!(
        (world.count_events(Event::Expired(SecretId(0))), world.count_events(Event::Revived(SecretId(0)))),
        (1, 1)
    );
    assert_eq!(world.state(0), State::Fresh);
    world.assert_innocent();
}

#[test]
fn a_certificate_is_issued_again_at_two_thirds_of_its_life_and_never_because_of_a_refresh() {
    let mut world = world(vec![Kind::Certificate { ttl: seconds(HOUR) }]);
    world.run(seconds(700));
    assert_eq!(world.schedule.refresh(world.now), Refreshed::Accepted);
    assert!(matches!(world.schedule.refresh(world.now), Refreshed::TooSoon(_)));
    world.run(seconds(DAY));
    let issues = world.issues(0) as u64;
    assert!((36..=43).contains(&issues), "{issues}");
}

#[test]
fn an_interval_set_on_the_secret_itself_issues_it_again_with_and_without_an_end() {
    for (operation, life) in [
        (Operation::Write, Life::Unbounded),
        (Operation::Write, Life::Expires(seconds(HOUR))),
        (Operation::Read, Life::Expires(seconds(HOUR))),
    ] {
        let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
        let id = schedule.add(Plan { operation, refresh: seconds(5), mount: MountId(0) });
        schedule.reissue_every(id, seconds(300));
        let (mut now, mut issued) = (seconds(1), 0);
        while now < seconds(HOUR) {
            match schedule.next(now) {
                Next::Wait(wait) => now += wait,
                Next::Tell(event) => panic!("{event:?}"),
                Next::Do(work) => {
                    assert_eq!(work, Work::Issue(id));
                    issued += 1;
                    schedule.done(work, Outcome::Fetched(Answer { life, rotates_in: None }), now, 0.0);
                }
            }
        }
        assert_eq!(issued, 12, "{operation:?} {life:?}");
        assert!(!schedule.is_refreshed(id));
    }
}

#[test]
fn a_static_role_is_read_right_after_its_rotation() {
    let mut world = world(vec![Kind::Static { period: seconds(200) }]);
    world.run(seconds(DAY));
    let reads: Vec<_> = world.server.log.iter().filter(|r| matches!(r.work, Work::Read(_))).map(|r| r.at).collect();
    assert!(reads.len() as u64 <= DAY / 200 + 1, "{}", reads.len());
    for at in reads {
        assert!(at.as_millis() % 200_000 <= 1_100, "{at:?}");
    }
    assert_eq!(world.count_events(Event::Expired(SecretId(0))), 0);
}

#[test]
fn a_rotation_that_does_not_come_is_asked_for_ever_more_rarely() {
    let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
    let id = schedule.add(Plan { operation: Operation::Read, refresh: seconds(300), mount: MountId(0) });
    let (mut now, mut requests) = (seconds(1), 0);
    while now < seconds(HOUR) {
        match schedule.next(now) {
            Next::Wait(wait) => now += wait,
            Next::Tell(event) => panic!("{event:?}"),
            Next::Do(work) => {
                requests += 1;
                assert_eq!(work.secret(), Some(id));
                let answer = Answer { life: Life::Rotates(seconds(0)), rotates_in: None };
                schedule.done(work, Outcome::Fetched(answer), now, 0.5);
            }
        }
    }
    // Every second at first, at last every minute.
    assert!((85..=105).contains(&requests), "{requests}");
}

#[test]
fn a_value_that_wants_to_be_read_often_has_no_end() {
    let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
    schedule.add(Plan { operation: Operation::Read, refresh: seconds(300), mount: MountId(0) });
    let (mut now, mut reads) = (seconds(1), 0);
    while now < seconds(HOUR) {
        match schedule.next(now) {
            Next::Wait(wait) => now += wait,
            Next::Tell(Event::BackendDown) => {}
            Next::Tell(event) => panic!("{event:?}"),
            Next::Do(work) if reads < 100 => {
                reads += 1;
                let answer = Answer { life: Life::ReadEvery(seconds(3)), rotates_in: None };
                schedule.done(work, Outcome::Fetched(answer), now, 0.5);
            }
            Next::Do(work) => {
                let sealed = Failure::new(Class::Transient, "sealed").of_backend();
                schedule.done(work, Outcome::Failed(sealed), now, 0.5);
            }
        }
        assert!(reads < 100 || now >= seconds(270), "{now:?}");
        assert_eq!(schedule.status(now).secrets[0].expires, None);
    }
    assert_eq!(reads, 100);
}

#[test]
fn the_interval_is_shorter_near_a_rotation_date_and_only_there() {
    let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
    schedule.add(Plan { operation: Operation::Read, refresh: seconds(HOUR), mount: MountId(0) });
    let (mut now, mut reads, date) = (seconds(1), Vec::new(), seconds(10 * HOUR));
    while now < seconds(20 * HOUR) {
        match schedule.next(now) {
            Next::Wait(wait) => now += wait,
            Next::Tell(event) => panic!("{event:?}"),
            Next::Do(work) => {
                reads.push(now.as_secs());
                let answer = Answer { life: Life::Unbounded, rotates_in: Some(date.saturating_sub(now)) };
                schedule.done(work, Outcome::Fetched(answer), now, 0.0);
            }
        }
    }
    let near = |from: u64, to: u64| reads.iter().filter(|at| (from..to).contains(at)).count();
    assert_eq!(near(9 * HOUR + 600, 11 * HOUR), 22);
    assert!(near(0, 9 * HOUR) <= 10 && near(12 * HOUR, 20 * HOUR) <= 9, "{reads:?}");
}

#[test]
fn the_first_interval_is_short_while_no_rotation_date_is_known() {
    let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
    let id = schedule.add(Plan { operation: Operation::Read, refresh: seconds(HOUR), mount: MountId(0) });
    let unknown = Answer { life: Life::Unbounded, rotates_in: Some(Duration::ZERO) };
    schedule.resume(id, unknown, seconds(0), 0.0);
    let (mut now, mut reads) = (seconds(0), Vec::new());
    while now < seconds(3 * HOUR) {
        match schedule.next(now) {
            Next::Wait(wait) => now += wait,
            Next::Tell(event) => panic!("{event:?}"),
            Next::Do(work) => {
                reads.push(now.as_secs());
                let answer = Answer { life: Life::Unbounded, rotates_in: None };
                schedule.done(work, Outcome::Fetched(answer), now, 0.0);
            }
        }
    }
    assert_eq!(reads, [300, 300 + HOUR, 300 + 2 * HOUR]);
}

#[test]
fn reads_of_one_backend_go_together_a_second_behind_one_another_whatever_the_jitter() {
    for spread in [0.1, 0.5, 1.0] {
        let mut schedule = Schedule::new(Authentication::Nothing, Settings { spread, ..Settings::default() });
        for _ in 0..20 {
            schedule.add(Plan { operation: Operation::Read, refresh: seconds(HOUR), mount: MountId(0) });
        }
        let (mut now, mut reads, mut dice) = (seconds(1), Vec::new(), Dice(3));
        while now < seconds(DAY) {
            match schedule.next(now) {
                Next::Wait(wait) => now += wait,
                Next::Tell(event) => panic!("{event:?}"),
                Next::Do(work) => {
                    reads.push(now);
                    let answer = Answer { life: Life::Unbounded, rotates_in: None };
                    schedule.done(work, Outcome::Fetched(answer), now, dice.unit());
                }
            }
        }
        let (first, later) = reads.split_at(20);
        assert_eq!(first, [seconds(1); 20]);
        let a_second_behind = later.windows(2).filter(|pair| pair[1] - pair[0] == seconds(1)).count();
        let rounds = later.len() / 20;
        assert!(spread > 0.1 || a_second_behind >= rounds * 18, "{a_second_behind} of {rounds} rounds");
        let most = (24.0 / (1.0 - spread).max(0.4)) as usize + 2;
        assert!(rounds <= most, "{spread}: {rounds} rounds");
    }
}

#[test]
fn a_thousand_replicas_that_start_together_do_not_renew_together() {
    let mut buckets = vec![0_u32; 1000];
    for seed in 0..1000 {
        let mut world = World::new(Server::new(vec![leased(HOUR, DAY)]), seed);
        world.server.token_ttl = seconds(30 * DAY);
        world.run(seconds(2500));
        let renewal = world.server.log.iter().find(|r| matches!(r.work, Work::Renew(_))).unwrap().at;
        buckets[(renewal.as_secs() - 1000 - 2000) as usize] += 1;
    }
    // 360 s of spread: 2.8 a second on average, and Poisson's tail.
    let busiest = *buckets.iter().max().unwrap();
    assert!(busiest <= 14, "{busiest} in one second");
    assert!(buckets.iter().filter(|count| **count > 0).count() > 300);
}

#[test]
fn a_fleet_hands_its_tokens_over_evenly_however_many_leases_a_pod_has() {
    let mut left = Vec::new();
    for seed in 0..200 {
        let mut world = World::new(Server::new(vec![leased(HOUR, DAY); 5]), seed);
        world.server.token_max = seconds(DAY);
        world.run(seconds(DAY));
        assert_eq!((world.logins(), world.issues(0)), (2, 2), "seed {seed}");
        world.assert_innocent();
        let mut logins = world.server.log.iter().filter(|request| matches!(request.work, Work::Login(_)));
        left.push((world.server.tokens[0].1.issued + seconds(DAY) - logins.next_back().unwrap().at).as_secs());
    }
    // From a fiftieth of the day before its end to the middle of the last five minutes.
    assert!(left.iter().all(|left| (149..=1728).contains(left)), "{left:?}");
    let in_minute = |from: u64| left.iter().filter(|left| (from..from + 60).contains(*left)).count();
    let busiest = (149..=1728).step_by(60).map(in_minute).max().unwrap();
    assert!(busiest <= 30, "{busiest} of 200 in one minute");
}

#[test]
fn an_issue_without_an_answer_is_counted() {
    let mut world = world(vec![leased(60, DAY)]);
    world.server.faults.push(stretch(0, 3, What::LosesAnswers));
    world.run(seconds(10 * MINUTE));
    assert!(world.server.lost > 0);
    let counted = world.schedule.status(world.now).unanswered_issues;
    assert_eq!(counted as usize, world.issues(0) - 1);
    assert_eq!(world.state(0), State::Fresh);
}
