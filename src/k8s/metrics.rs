//! Counters of the webhook, as metrics of Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::serve::{Histogram, Kind, MetricsText};

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
        let seconds = |micros: u64| micros as f64 / 1e6;
        let mut page = MetricsText::default();
        let results = [
            ("injected", &self.injected),
            ("unchanged", &self.unchanged),
            ("denied", &self.denied),
            ("bad_request", &self.bad),
        ];
        let results = results.map(|(result, count)| (vec![("result", result)], value(count)));
        page.family(Kind::Counter, "secret_inject_admissions_total", "Reviews by what came of them.", results);
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound));
        let buckets: Vec<_> = bounds.zip(self.buckets.iter().map(value)).collect();
        let histogram = Histogram { buckets: &buckets, sum: seconds(value(&self.micros)), count: value(&self.count) };
        let help = "How long a review took, without its transport.";
        page.histogram("secret_inject_admission_seconds", help, &histogram);
        page.number(Kind::Gauge, "secret_inject_connections", "Open TLS connections.", open);
        for (name, help, number) in [
            ("secret_inject_connections_evicted_total", "Connections that were cut to make room for others.", evicted),
            (
                "secret_inject_tls_handshakes_failed_total",
                "Handshakes that came to nothing.",
                value(&self.handshakes_failed),
            ),
            ("secret_inject_certificate_reloads_total", "Certificates that were taken over.", value(&self.reloads)),
            (
                "secret_inject_certificate_reloads_failed_total",
                "Certificates that could not be; the old one stays.",
                value(&self.reloads_failed),
            ),
        ] {
            page.number(Kind::Counter, name, help, number);
        }
        page.into_text()
    }
}
