//! The text format of Prometheus.

use std::fmt::Write as _;

use crate::metrics::{BUCKET_MICROS, DurationHistogram};

/// The [`labels`] of a sample, and its value.
pub type Sample = (String, f64);

/// Families of samples as text.
#[derive(Default)]
pub struct Exposition(pub String);

impl Exposition {
    /// Writes a gauge without labels; an unknown value has no sample.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Option<f64>>) {
        let sample = value.into().map(|v| (String::new(), v));
        self.family("gauge", name, help, sample);
    }

    /// Writes a counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family("counter", name, help, [(String::new(), value as f64)]);
    }

    /// Writes a family of gauges.
    pub fn gauges(&mut self, name: &str, help: &str, samples: impl Iterator<Item = Sample>) {
        self.family("gauge", name, help, samples);
    }

    /// Writes a family of counters.
    pub fn counters(&mut self, name: &str, help: &str, samples: impl Iterator<Item = Sample>) {
        self.family("counter", name, help, samples);
    }

    /// Writes a histogram of durations in seconds, and a gauge with the longest one, whose name has
    /// `max` in front of the unit.
    pub fn durations(&mut self, name: &str, help: &str, durations: &DurationHistogram) {
        let counts = durations.counts();
        let mut total = 0;
        let mut buckets = Vec::new();
        for (i, n) in counts.buckets.iter().enumerate() {
            total += n;
            let bound = BUCKET_MICROS
                .get(i)
                .map_or("+Inf".into(), |micros| (*micros as f64 / 1e6).to_string());
            buckets.push((format!("_bucket{}", labels([("le", &bound)])), total as f64));
        }
        buckets.push(("_sum".into(), counts.sum.as_secs_f64()));
        buckets.push(("_count".into(), total as f64));
        self.family("histogram", &format!("{name}_seconds"), help, buckets);
        self.gauge(
            &format!("{name}_max_seconds"),
            &format!("{help}: the longest since the start"),
            counts.longest.as_secs_f64(),
        );
    }

    fn family(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        let _ = write!(
            self.0,
            "# HELP orbsd_{name} {help}\n# TYPE orbsd_{name} {kind}\n"
        );
        for (labels, value) in samples {
            let _ = writeln!(self.0, "orbsd_{name}{labels} {value}");
        }
    }
}

/// The labels of a sample: names and values. Backslash, quote and line end are escaped.
pub fn labels<const N: usize>(all: [(&str, &str); N]) -> String {
    let all = all.map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{}\"", value.replace('\n', "\\n"))
    });
    format!("{{{}}}", all.join(","))
}
