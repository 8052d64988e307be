//! The text format of Prometheus (0.0.4): families of samples, with their labels escaped.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The type of a metric.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// It only grows, from 0 at the start.
    Counter,
    /// It may grow and shrink.
    Gauge,
}

/// The labels of a sample, with their values.
pub(crate) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A page of metrics while it is written.
#[derive(Debug, Default)]
pub(crate) struct MetricsText {
    text: String,
}

/// The distribution of a duration.
#[derive(Debug)]
pub(crate) struct Histogram<'a> {
    /// For each upper bound in seconds, in rising order, how many were not above it.
    pub(crate) buckets: &'a [(f64, u64)],
    /// The sum of all, in seconds.
    pub(crate) sum: f64,
    pub(crate) count: u64,
}

impl MetricsText {
    /// Appends a metric family: its head, and one sample for each set of labels. Of several samples with equal labels
    /// the largest is used, because duplicates would make the whole page invalid.
    pub(crate) fn family<'a>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) {
        let mut kept = BTreeMap::new();
        for (labels, number) in samples {
            let place = kept.entry(labels).or_insert(number);
            *place = number.max(*place);
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, help, kind);
        for (labels, number) in kept {
            let labels: Vec<_> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            self.push(format_args!("{name}{labels} {number}\n"));
        }
    }

    /// Appends a family with one sample without labels.
    pub(crate) fn number(&mut self, kind: Kind, name: &str, help: &str, number: u64) {
        self.family(kind, name, help, [(Vec::new(), number)]);
    }

    /// Appends a histogram without labels.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram<'_>) {
        let Histogram { buckets, sum, count } = histogram;
        self.head(name, help, "histogram");
        for (bound, number) in *buckets {
            self.push(format_args!("{name}_bucket{{le=\"{bound}\"}} {number}\n"));
        }
        self.push(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n"));
    }

    /// Returns the text of the page.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Appends the lines that describe a family.
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Appends formatted text.
    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("writing to a String cannot fail");
    }
}

/// Escapes a label's value: backslash, quote and line feed.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(samples: Vec<(Labels<'_>, u64)>) -> String {
        let mut page = MetricsText::default();
        page.family(Kind::Gauge, "x", "Help.", samples);
        page.into_text()
    }

    #[test]
    fn labels_are_escaped_and_stand_in_braces_only_when_there_are_some() {
        let text = rendered(vec![(vec![("a", "q\"b\\c\nd"), ("b", "é")], 7)]);
        assert_eq!(text, "# HELP x Help.\n# TYPE x gauge\nx{a=\"q\\\"b\\\\c\\nd\",b=\"é\"} 7\n");
        assert_eq!(rendered(vec![(vec![], 1)]), "# HELP x Help.\n# TYPE x gauge\nx 1\n");
    }

    #[test]
    fn of_two_equal_samples_the_greater_stands_there_once() {
        let text = rendered(vec![(vec![("a", "1")], 5), (vec![("a", "1")], 9), (vec![("a", "1")], 7)]);
        assert!(text.ends_with("gauge\nx{a=\"1\"} 9\n"), "{text}");
    }

    #[test]
    fn a_histogram_ends_with_all_of_them() {
        let mut page = MetricsText::default();
        page.histogram("x", "Help.", &Histogram { buckets: &[(0.001, 2), (1.0, 3)], sum: 7.5, count: 4 });
        let samples = "x_bucket{le=\"0.001\"} 2\nx_bucket{le=\"1\"} 3\nx_bucket{le=\"+Inf\"} 4\nx_sum 7.5\nx_count 4\n";
        assert_eq!(page.into_text(), format!("# HELP x Help.\n# TYPE x histogram\n{samples}"));
    }
}
