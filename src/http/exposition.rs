//! The text format of Prometheus.

use std::fmt::Write as _;

use crate::metrics::{
    BUCKET_MICROS, Counter, DurationHistogram, Gauge, Histogram, MetricDescription,
};

/// The values of a sample's labels, in the order of the metric's labels, and its value.
pub type Sample<const N: usize> = ([String; N], f64);

/// Metrics with their samples as text. Only metrics of the table can be written, each with its own
/// labels.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    /// Writes a gauge without labels; an unknown value has no sample.
    pub fn gauge(&mut self, metric: &Gauge<0>, value: impl Into<Option<f64>>) {
        let sample = value.into().map(|v| ([], v));
        self.gauges(metric, sample);
    }

    /// Writes a counter without labels.
    pub fn counter(&mut self, metric: &Counter<0>, value: u64) {
        self.counters(metric, [([], value as f64)]);
    }

    /// Writes a gauge with its samples.
    pub fn gauges<const N: usize>(
        &mut self,
        metric: &Gauge<N>,
        samples: impl IntoIterator<Item = Sample<N>>,
    ) {
        self.samples(metric.description(), samples);
    }

    /// Writes a counter with its samples.
    pub fn counters<const N: usize>(
        &mut self,
        metric: &Counter<N>,
        samples: impl IntoIterator<Item = Sample<N>>,
    ) {
        self.samples(metric.description(), samples);
    }

    /// Writes a histogram of durations in seconds, and a gauge with the longest one.
    pub fn durations(
        &mut self,
        metric: &Histogram<0>,
        longest: &Gauge<0>,
        durations: &DurationHistogram,
    ) {
        let (description, counts) = (metric.description(), durations.counts());
        self.head(description);
        let mut total = 0;
        for (i, n) in counts.buckets.iter().enumerate() {
            total += n;
            let bound = BUCKET_MICROS
                .get(i)
                .map_or("+Inf".into(), |micros| (*micros as f64 / 1e6).to_string());
            let labels = labels(&["le"], [bound]);
            self.sample(description, "_bucket", &labels, total as f64);
        }
        self.sample(description, "_sum", "", counts.sum.as_secs_f64());
        self.sample(description, "_count", "", total as f64);
        self.gauge(longest, counts.longest.as_secs_f64());
    }

    /// Adds the metrics of another exposition.
    pub fn append(&mut self, other: &Exposition) {
        self.0.push_str(&other.0);
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    fn samples<const N: usize>(
        &mut self,
        description: &MetricDescription,
        samples: impl IntoIterator<Item = Sample<N>>,
    ) {
        self.head(description);
        for (values, value) in samples {
            let labels = labels(description.labels(), values);
            self.sample(description, "", &labels, value);
        }
    }

    fn head(&mut self, description: &MetricDescription) {
        let (name, help) = (description.name(), description.meaning());
        let kind = description.metric_type().as_str();
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, description: &MetricDescription, ending: &str, labels: &str, value: f64) {
        let name = description.name();
        let _ = writeln!(self.0, "{name}{ending}{labels} {value}");
    }
}

/// The labels of a sample. Backslash, quote and line end are escaped.
fn labels<const N: usize>(names: &[&str], values: [String; N]) -> String {
    if N == 0 {
        return String::new();
    }
    let escape = |value: String| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        value.replace('\n', "\\n")
    };
    let pairs = names.iter().zip(values);
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::families;

    #[test]
    fn sample_has_the_labels_of_the_table_with_escaped_values() {
        let mut out = Exposition::default();
        let values = ["a\\b", "c\"d", "e\nf"].map(String::from);
        out.gauges(&families::MIRROR_LAG_SECONDS, [(values, 1.5)]);
        let text = out.into_text();
        let (head, sample) = text.trim_end().rsplit_once('\n').unwrap();
        let expected = r#"orbsd_mirror_lag_seconds{zone="a\\b",mirror="c\"d",key="e\nf"} 1.5"#;
        assert_eq!(sample, expected);
        assert!(head.starts_with("# HELP orbsd_mirror_lag_seconds For how long "));
        assert!(head.ends_with("\n# TYPE orbsd_mirror_lag_seconds gauge"));
    }

    #[test]
    fn gauge_of_an_unknown_value_has_no_sample() {
        let mut out = Exposition::default();
        out.gauge(&families::TLS_NOT_AFTER_SECONDS, None);
        let text = out.into_text();
        assert!(text.lines().all(|l| l.starts_with("# ")), "{text}");
    }

    #[test]
    fn histogram_counts_each_duration_in_all_longer_buckets() {
        let durations = DurationHistogram::default();
        durations.add(Duration::from_micros(3));
        durations.add(Duration::from_secs(2));
        let mut out = Exposition::default();
        out.durations(
            &families::PUBLISH_SECONDS,
            &families::PUBLISH_MAX_SECONDS,
            &durations,
        );
        let text = out.into_text();
        for line in [
            "orbsd_publish_seconds_bucket{le=\"0.000002\"} 0",
            "orbsd_publish_seconds_bucket{le=\"0.000005\"} 1",
            "orbsd_publish_seconds_bucket{le=\"1\"} 1",
            "orbsd_publish_seconds_bucket{le=\"+Inf\"} 2",
            "orbsd_publish_seconds_sum 2.000003",
            "orbsd_publish_seconds_count 2",
            "orbsd_publish_max_seconds 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }
}
