//! The text format of Prometheus.

use std::fmt::Write as _;

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
