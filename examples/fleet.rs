//! What a fleet costs its Vault over a day: our schedule beside the peers' published algorithm, as a table and a plot.
//!
//! `cargo run --release --example fleet [PODS]` (10,000 by default; writes nothing).
//!
//! Each pod has a token (1 h, at most 24 h), one database credential (the same) and two KV secrets. The pods start within
//! a minute or within an hour; one day has a minute of 503 at noon. Ours is the very code that runs in a pod, reading KV
//! every 5 min. The peers' is what their sources say: renew at once, then after 70–73 % of the rest; give up under four
//! graces (of 10–20 %) and start anew, reading everything again after a new login; KV every 4m15s to 4m45s. In the outage:
//! 575 token renewals in 3 s, a new credential every 100 ms while renewing the lease fails, reads again after 0.25 s
//! doubling to 1 min. Where the sources leave it open, the peers get the kinder reading: they log in only when the outage is
//! over, and their token keeps what was issued under it until then.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use secret_exec::provider::{Class, Failure};
use secret_exec::schedule::{
    Answer, Authentication, Grant, Life, Lifetime, MountId, Next, Operation, Outcome, Plan, Schedule, Settings, Work,
};

const DAY: usize = 86_400;
const TTL: f64 = 3600.0;
const MAX: f64 = 86_400.0;
/// The roll-out and the first renewals behind it are not "at rest".
const AT_REST: usize = 7200;
const NOON: usize = 43_200;
const KV: usize = 2;

fn main() {
    let pods = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    println!("{pods} pods, each with one token, one database credential (1 h, at most 24 h) and {KV} KV secrets\n");
    println!(
        "{:36} {:>10} {:>8} {:>8} {:>8} {:>8} {:>11} {:>8} {:>8}",
        "", "all day", "mean", "peak", "peak", "logins", "credentials", "peak", "peak"
    );
    println!(
        "{:36} {:>10} {:>8} {:>8} {:>8} {:>8} {:>11} {:>8} {:>8}",
        "", "", "at rest", "at rest", "noon", "", "asked for", "at rest", "noon"
    );
    let days = [
        ("started in a minute", 60.0, Outage(0, 0)),
        ("started in an hour", 3600.0, Outage(0, 0)),
        ("the same, 503 at noon", 3600.0, Outage(NOON, NOON + 60)),
    ];
    let mut plots = Vec::new();
    // Two hours: every credential and every token expires, and each pod tries again within ten seconds. The peers have no row: their
    // credentials every 100 ms would be 720 million.
    let mut load = Load::new();
    let outage = Outage(NOON, NOON + 7200);
    (0..pods).for_each(|pod| ours(&mut load, outage, 3600.0 * Dice(pod).unit(), pod));
    load.print_outage("503 from noon for two hours, ours", outage);
    for (name, rollout, outage) in days {
        for (who, run) in [("ours", ours as fn(&mut Load, Outage, f64, u64)), ("the peers", theirs)] {
            let mut load = Load::new();
            for pod in 0..pods {
                let start = rollout * Dice(pod).unit();
                run(&mut load, outage, start, pod);
            }
            let name = format!("{name}, {who}");
            load.print(&name, outage);
            plots.push((name, load));
        }
    }
    println!(
        "\nat rest: after two hours, but for noon where it has an outage: from 11:59 to 12:10; the last two columns: logins and new credentials a second"
    );
    plot(&plots);
}

/// From and to, in seconds of the day.
#[derive(Debug, Clone, Copy)]
struct Outage(usize, usize);

impl Outage {
    fn covers(self, at: f64) -> bool {
        at >= self.0 as f64 && at < self.1 as f64
    }

    fn is_none(self) -> bool {
        self.0 == self.1
    }
}

/// Requests in each second of the day.
struct Load {
    seconds: Vec<u64>,
    /// Those that make something: a login, a credential.
    dear: Vec<u64>,
    logins: u64,
    credentials: u64,
}

impl Load {
    fn new() -> Self {
        Self { seconds: vec![0; DAY], dear: vec![0; DAY], logins: 0, credentials: 0 }
    }

    fn add(&mut self, at: f64) {
        if let Some(second) = self.seconds.get_mut(at as usize) {
            *second += 1;
        }
    }

    fn login(&mut self, at: f64) {
        self.add_dear(at);
        self.logins += u64::from((at as usize) < DAY);
    }

    fn credential(&mut self, at: f64) {
        self.add_dear(at);
        self.credentials += u64::from((at as usize) < DAY);
    }

    fn add_dear(&mut self, at: f64) {
        self.add(at);
        if let Some(second) = self.dear.get_mut(at as usize) {
            *second += 1;
        }
    }

    /// The busiest second, and the mean, of an outage's last hour, and the busiest second of the ten minutes after it.
    fn print_outage(&self, name: &str, outage: Outage) {
        let last = &self.seconds[outage.1 - 3600..outage.1];
        let after = &self.seconds[outage.1..outage.1 + 600];
        let dear = &self.dear[outage.1..outage.1 + 600];
        println!(
            "{name}: in its last hour {:.1} requests a second, at most {}; after it at most {}, of them dear {}\n",
            last.iter().sum::<u64>() as f64 / last.len() as f64,
            last.iter().max().copied().unwrap_or(0),
            after.iter().max().copied().unwrap_or(0),
            dear.iter().max().copied().unwrap_or(0),
        );
    }

    /// On a day without an outage noon is as good as any other time.
    fn print(&self, name: &str, outage: Outage) {
        let noon = if outage.is_none() { 0..0 } else { NOON - 60..NOON + 600 };
        let at_noon = |peak: u64| if outage.is_none() { "-".to_owned() } else { peak.to_string() };
        let rest = |of: &[u64]| -> Vec<u64> {
            (AT_REST..DAY).filter(|second| !noon.contains(second)).map(|second| of[second]).collect()
        };
        let peak = |of: &[u64]| of.iter().max().copied().unwrap_or(0);
        let calm = rest(&self.seconds);
        let mean = calm.iter().sum::<u64>() as f64 / calm.len() as f64;
        println!(
            "{name:36} {:>10} {mean:>8.1} {:>8} {:>8} {:>8} {:>11} {:>8} {:>8}",
            self.seconds.iter().sum::<u64>(),
            peak(&calm),
            at_noon(peak(&self.seconds[noon.clone()])),
            self.logins,
            self.credentials,
            peak(&rest(&self.dear)),
            at_noon(peak(&self.dear[noon.clone()])),
        );
    }
}

fn sealed() -> Failure {
    Failure::new(Class::Transient, "503")
}

/// One pod of ours.
fn ours(load: &mut Load, outage: Outage, start: f64, seed: u64) {
    let mut dice = Dice(seed ^ 0x5eed);
    let mut schedule = Schedule::new(Authentication::Token, Settings::default());
    for _ in 0..=KV {
        schedule.add(Plan { operation: Operation::Read, refresh: Duration::from_secs(300), mount: MountId(0) });
    }
    let mut now = start;
    let (mut token_max, mut lease_max) = (0.0, 0.0);
    while now < DAY as f64 {
        let work = match schedule.next(Duration::from_secs_f64(now)) {
            Next::Do(work) => work,
            Next::Tell(_) => continue,
            Next::Wait(wait) => {
                now += wait.as_secs_f64().max(1e-9);
                continue;
            }
        };
        match work {
            Work::Login(_) => load.login(now),
            Work::Issue(id) if id.0 == 0 => load.credential(now),
            _ => load.add(now),
        }
        let life = |max: f64| Lifetime { ttl: Duration::from_secs_f64(TTL.min(max - now).max(0.0)), renewable: true };
        let grant = |max| Outcome::Granted(Grant { life: Some(life(max)), revocable: true });
        let outcome = match work {
            // As a server that is sealed answers: its health, too.
            Work::CheckHealth if outage.covers(now) => Outcome::Failed(sealed().of_backend()),
            _ if outage.covers(now) => Outcome::Failed(sealed().unclear()),
            Work::Login(_) => {
                token_max = now + MAX;
                grant(token_max)
            }
            Work::RenewToken => grant(token_max),
            Work::Renew(_) => Outcome::Renewed(life(lease_max)),
            Work::Issue(id) if id.0 == 0 => {
                lease_max = now + MAX;
                Outcome::Fetched(Answer { life: Life::Lease(life(lease_max)), rotates_in: None })
            }
            Work::Issue(_) | Work::Read(_) => Outcome::Fetched(Answer { life: Life::Unbounded, rotates_in: None }),
            Work::CheckToken | Work::CheckHealth | Work::RevokeOldToken(_) => Outcome::Done,
        };
        let at = Duration::from_secs_f64(now);
        schedule.done(work, outcome, at, dice.unit());
        if let Some(id) = work.secret() {
            schedule.delivered(&[id], at);
        }
    }
}

/// What a peer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Token,
    Lease,
    Read(u32),
}

/// One pod with the peers' algorithm.
fn theirs(load: &mut Load, outage: Outage, start: f64, seed: u64) {
    let mut dice = Dice(seed ^ 0x9ee5);
    // Everything that waits, in microseconds, with the login it belongs to.
    let mut queue: BinaryHeap<Reverse<(u64, u32, Wake)>> = BinaryHeap::new();
    let micros = |at: f64| (at * 1e6) as u64;
    let mut login = 0;
    let (mut token_max, mut lease_max) = (0.0, 0.0);
    let mut begin = Some(start);
    loop {
        if let Some(now) = begin.take() {
            login += 1;
            queue.clear();
            load.login(now);
            load.credential(now);
            (token_max, lease_max) = (now + MAX, now + MAX);
            queue.push(Reverse((micros(now), login, Wake::Token)));
            queue.push(Reverse((micros(now), login, Wake::Lease)));
            (0..KV).for_each(|_| queue.push(Reverse((micros(now), login, Wake::Read(0)))));
        }
        let Some(Reverse((at, of, wake))) = queue.pop() else { return };
        let now = at as f64 / 1e6;
        if now >= DAY as f64 {
            return;
        }
        if of != login {
            continue;
        }
        let fails = outage.covers(now);
        let mut grace = || 4.0 * TTL * (0.1 + 0.1 * dice.unit());
        match wake {
            Wake::Token | Wake::Lease if !fails => {
                load.add(now);
                let max = if wake == Wake::Token { token_max } else { lease_max };
                let left = TTL.min(max - now);
                if left >= grace() {
                    let sleep = left * (0.70 + 0.03 * dice.unit());
                    queue.push(Reverse((micros(now + sleep), login, wake)));
                } else if wake == Wake::Token {
                    begin = Some(now);
                } else {
                    load.credential(now);
                    lease_max = now + MAX;
                    queue.push(Reverse((micros(now), login, wake)));
                }
            }
            Wake::Token => {
                (0..575).for_each(|n| load.add(now + 3.0 * f64::from(n) / 575.0));
                begin = Some((outage.1 as f64).max(now + 3.0) + dice.unit());
            }
            Wake::Lease => {
                load.add(now);
                let mut again = now;
                while outage.covers(again) {
                    load.credential(again);
                    again += 0.1;
                }
                load.credential(again);
                lease_max = again + MAX;
                queue.push(Reverse((micros(again), login, wake)));
            }
            Wake::Read(tries) => {
                load.add(now);
                let wait = match tries {
                    tries if fails => (0.25 * f64::from(1_u32 << tries.min(11))).min(60.0),
                    _ => 255.0 + 30.0 * dice.unit(),
                };
                let tries = if fails { tries + 1 } else { 0 };
                queue.push(Reverse((micros(now + wait), login, Wake::Read(tries))));
            }
        }
    }
}

/// A quarter of an hour a column: the busiest second of each, on one logarithmic scale.
fn plot(plots: &[(String, Load)]) {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let busiest = |quarter: &[u64]| quarter.iter().max().copied().unwrap_or(0);
    let top = plots.iter().map(|(_, load)| busiest(&load.seconds)).max().unwrap_or(1).max(2);
    println!("\nthe busiest second of each quarter of an hour (logarithmic; a full bar is {top} requests)\n");
    for (name, load) in plots {
        let bars: String = load
            .seconds
            .chunks(900)
            .map(busiest)
            .map(|n| {
                let height = (n.max(1) as f64).ln() / (top as f64).ln() * 7.0;
                BARS[(height.round() as usize).min(7)]
            })
            .collect();
        println!("{name:36} {bars}");
    }
    println!("{:36} 0 h{:21}6 h{:21}12 h{:20}18 h{:20}", "", "", "", "", "");
}

/// splitmix64: the same day every time.
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
