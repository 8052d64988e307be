//! How soon a change is seen after a server, or one mount of it, is repaired.

use std::time::Duration;

use crate::provider::{Class, Failure};
use crate::schedule::{
    Answer, Authentication, Life, MountId, Next, Operation, Outcome, Plan, Schedule, SecretId, Settings, Work,
};

use super::server::{Kind, Server, What};
use super::world::{World, stretch};
use super::{DAY, seconds};

/// When each of four KV secrets (two mounts) is first read after an outage of `long` seconds, and the requests of the
/// outage's last minute.
fn reads_after(what: What, long: u64, seed: u64) -> (Vec<Duration>, usize) {
    let lease = Kind::Leased { ttl: seconds(3600), max: seconds(DAY), renewable: true };
    let mut server = Server::new(vec![Kind::Plain, Kind::Plain, Kind::Plain, lease, Kind::Plain]);
    server.mounts = [0, 0, 1, 2, 1].map(MountId).into();
    let mut world = World::reading(seconds(5), Settings::default(), server, seed);
    world.server.faults.push(stretch(100, 100 + long, what));
    world.run(seconds(100 + long + 100));
    let end = seconds(1000 + 100 + long);
    let first = |id| {
        let is_it = |sent: &&super::server::Request| sent.at >= end && sent.work.secret() == Some(SecretId(id));
        world.server.log.iter().find(is_it).expect("it is read again").at - end
    };
    ([0, 1, 2, 4].map(first).into(), world.count(100 + long - 60, 100 + long, |_| true))
}

#[test]
fn after_an_outage_everything_is_read_within_half_a_minute_however_long_it_was() {
    for (what, worst) in [(What::Refuses, 25), (What::Hangs, 35)] {
        for long in [60, 300, 1800] {
            for seed in 0..20 {
                let (reads, requests) = reads_after(what, long, seed);
                assert!(reads.iter().all(|at| *at <= seconds(worst)), "{what:?} {long} {seed}: {reads:?}");
                assert!(requests <= 20 && (long == 60 || requests <= 12), "{what:?} {long} {seed}: {requests}");
            }
        }
    }
}

#[test]
fn what_is_read_often_is_tried_every_ten_seconds_when_its_mount_fails() {
    for long in [60, 300, 1800] {
        for seed in 0..20 {
            let (reads, requests) = reads_after(What::IsNoGatewayTo(MountId(0)), long, seed);
            assert!(reads.iter().all(|at| *at <= seconds(12)), "{long} {seed}: {reads:?}");
            assert!(requests <= 60, "of which the healthy ones are 26: {long} {seed}: {requests}");
        }
    }
}

#[test]
fn a_refused_read_is_repeated_at_its_interval_but_not_within_seven_seconds() {
    for (refresh, last) in [(2, 10), (120, 120), (3600, 600)] {
        let mut schedule = Schedule::new(Authentication::Nothing, Settings::default());
        let plan = Plan { operation: Operation::Read, refresh: seconds(refresh), mount: MountId(0) };
        let id = schedule.add(plan);
        schedule.resume(id, Answer { life: Life::Unbounded, rotates_in: None }, seconds(0), 0.0);
        let (mut now, mut sent) = (seconds(0), Vec::new());
        while sent.len() < 8 {
            match schedule.next(now) {
                Next::Do(work) => {
                    assert_eq!(work, Work::Read(id));
                    sent.push(now);
                    schedule.done(work, Outcome::Failed(Failure::new(Class::NotFound, "404")), now, 1.0);
                }
                Next::Tell(_) => {}
                Next::Wait(wait) => now += wait,
            }
        }
        let gap = sent[7] - sent[6];
        assert!(gap <= seconds(last) && gap * 10 >= seconds(last) * 7, "{refresh}: {gap:?}");
    }
}
