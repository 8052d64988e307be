//! Days of rotation in milliseconds: a simulated server with leases, tokens and faults, and a driver that keeps its loop.
//!
//! `server` grants, counts and accuses; `world` drives a schedule against it; `stories` tell single faults;
//! `properties` are days with anything in them; `partial` has what fails only in part; `recovery` how soon what has expired is tried again; `comeback` how soon a repair is noticed; `misstated` has lives that are not true; `moves` are played by hand, where the order of two answers matters.

mod comeback;
mod misstated;
mod moves;
mod partial;
mod properties;
mod recovery;
mod server;
mod stories;
mod undelivered;
mod world;

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Jitter for tests: splitmix64.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
