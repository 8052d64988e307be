//! Counters of the webhook, in the text format of Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::admission::Verdict;

/// Upper bounds of the histogram's buckets, in microseconds.
const BOUNDS: [u64; 8] = [100, 250, 500, 1000, 2500, 10_000, 100_000, 1_000_000];

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    injected: AtomicU64,
    unchanged: AtomicU64,
    denied: AtomicU64,
    bad: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) reloads_failed: AtomicU64,
}

/// Adds one to a counter.
pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    /// Counts a review with its verdict and duration.
    pub(super) fn answered(&self, verdict: Verdict, took: Duration) {
        add(match verdict {
            Verdict::Injected => &self.injected,
            Verdict::Unchanged => &self.unchanged,
            Verdict::Denied => &self.denied,
        });
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if micros <= *bound {
                add(bucket);
            }
        }
        add(&self.count);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts a request that was not a valid review.
    pub(super) fn refused(&self) {
        add(&self.bad);
    }

    /// The metrics page. `open` and `evicted` are numbers of connections.
    pub(super) fn page(&self, open: u64, evicted: u64) -> String {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut out = String::new();
        let mut head = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (line, value) in lines {
                let _ = writeln!(out, "{line} {value}");
            }
        };
        let one = |name: &str, value: u64| vec![(name.to_owned(), value as f64)];
        let name = "secret_inject_admissions_total";
        let results = [
            ("injected", &self.injected),
            ("unchanged", &self.unchanged),
            ("denied", &self.denied),
            ("bad_request", &self.bad),
        ];
        let lines: Vec<_> =
            results.iter().map(|(result, n)| (format!("{name}{{result=\"{result}\"}}"), value(n) as f64)).collect();
        head(name, "counter", "Reviews by what came of them.", &lines);
        let name = "secret_inject_admission_seconds";
        let seconds = |micros: u64| micros as f64 / 1e6;
        let mut lines: Vec<_> = BOUNDS
            .iter()
            .zip(&self.buckets)
            .map(|(bound, n)| (format!("{name}_bucket{{le=\"{}\"}}", seconds(*bound)), value(n) as f64))
            .collect();
        lines.push((format!("{name}_bucket{{le=\"+Inf\"}}"), value(&self.count) as f64));
        lines.push((format!("{name}_sum"), seconds(value(&self.micros))));
        lines.push((format!("{name}_count"), value(&self.count) as f64));
        head(name, "histogram", "How long a review took, without its transport.", &lines);
        let name = "secret_inject_connections";
        head(name, "gauge", "Open TLS connections.", &one(name, open));
        let name = "secret_inject_connections_evicted_total";
        head(name, "counter", "Connections that were cut to make room for others.", &one(name, evicted));
        let name = "secret_inject_tls_handshakes_failed_total";
        head(name, "counter", "Handshakes that came to nothing.", &one(name, value(&self.handshakes_failed)));
        let name = "secret_inject_certificate_reloads_total";
        head(name, "counter", "Certificates that were taken over.", &one(name, value(&self.reloads)));
        let name = "secret_inject_certificate_reloads_failed_total";
        head(
            name,
            "counter",
            "Certificates that could not be; the old one stays.",
            &one(name, value(&self.reloads_failed)),
        );
        out
    }
}
