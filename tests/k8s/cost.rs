//! What an admission costs as a pod grows, in processor time of one thread: no shape may cost more than its size.

use secret_exec::config::{Injector, Text};
use secret_exec::k8s::admission::admission;

use crate::shapes::{SHAPES, body};
use crate::support::CONFIG;

/// Microseconds of this thread, the least of several.
fn cost(body: &[u8], injector: &Injector) -> i64 {
    let now = || {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse::<i64>().unwrap() / 1000
    };
    let once = |_| {
        let start = now();
        admission(body, injector).unwrap();
        now() - start
    };
    (0..3).map(once).min().unwrap()
}

#[test]
fn no_shape_of_a_pod_costs_more_than_its_size() {
    let config = format!("{CONFIG}dialects: [vault, bank-vaults]\n");
    let injector = Injector::parse(Text { name: "injector.yaml", text: &config }).unwrap();
    let mut wrong = Vec::new();
    for (name, shape) in SHAPES {
        let small = body(&shape(250));
        let large = body(&shape(4000));
        let (before, after) = (cost(&small, &injector), cost(&large, &injector));
        let growth = (large.len() as f64 / small.len() as f64).max(16.0);
        println!("{name}: {} bytes in {before} µs, {} bytes in {after} µs", small.len(), large.len());
        // Linear in size is a factor of 16; quadratic is 256. A small pod has its fixed cost beside it.
        if after as f64 > (before.max(4000)) as f64 * growth * 4.0 {
            wrong.push(format!("{name}: {before} µs became {after} µs"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
