//! What an admission costs as a pod grows, in processor time of one thread: no shape may cost more than its size.

use secret_exec::config::{Injector, Text};
use secret_exec::k8s::admission::admission;

use crate::shapes::{SHAPES, body, largest_bodies};
use crate::support::CONFIG;

/// Microseconds of this thread, the least of several runs.
fn cost(body: &[u8], injector: &Injector, runs: usize) -> i64 {
    let now = || {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse::<i64>().unwrap() / 1000
    };
    let once = |_| {
        let start = now();
        admission(body, injector).unwrap();
        now() - start
    };
    (0..runs).map(once).min().unwrap()
}

#[test]
fn no_shape_of_a_pod_costs_more_than_its_size() {
    let config = format!("{CONFIG}dialects: [vault, bank-vaults]\n");
    let injector = Injector::parse(Text { name: "injector.yaml", text: &config }).unwrap();
    let mut wrong = Vec::new();
    for (name, shape) in SHAPES {
        let small = body(shape(250));
        let large = body(shape(4000));
        let (before, after) = (cost(&small, &injector, 3), cost(&large, &injector, 3));
        let growth = (large.len() as f64 / small.len() as f64).max(16.0);
        println!("{name}: {} bytes in {before} µs, {} bytes in {after} µs", small.len(), large.len());
        // Linear in size is a factor of 16; quadratic is 256. A small pod has its fixed cost beside it.
        if after as f64 > (before.max(4000)) as f64 * growth * 4.0 {
            wrong.push(format!("{name}: {before} µs became {after} µs"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_largest_bodies_cost_no_more_than_their_size() {
    let injector = Injector::parse(Text { name: "injector.yaml", text: CONFIG }).unwrap();
    for (name, body) in largest_bodies() {
        assert!(body.len() <= 3 << 20, "{name}");
        let cost = cost(&body, &injector, 1);
        println!("{name}: {} bytes in {cost} µs", body.len());
        // A build that is not optimised takes twenty times as long as the one that ships, which is measured by the benchmark.
        assert!(cost < 3_000_000, "{name}: {cost} µs");
    }
}
