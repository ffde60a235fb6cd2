//! What is known of a metric: its name, type, labels, unit, meaning, and what to do about its value.

/// The type of a metric, as Prometheus names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum MetricType {
    /// A value that goes up and down.
    Gauge,
    /// A count since the start of the daemon.
    Counter,
    /// Counts of values by their size since the start of the daemon.
    Histogram,
}

impl MetricType {
    /// The type in the text format of Prometheus.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The description of a metric. Only the table in `families.rs` has any.
#[derive(Debug)]
pub struct MetricDescription {
    pub(super) name: &'static str,
    pub(super) metric_type: MetricType,
    pub(super) labels: &'static [&'static str],
    pub(super) unit: &'static str,
    pub(super) meaning: &'static str,
    pub(super) action: &'static str,
}

impl MetricDescription {
    /// The name, with the prefix `orbsd_`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The type.
    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    /// The labels of each sample, in order. The label `le` of a histogram's buckets is not among
    /// them.
    pub fn labels(&self) -> &'static [&'static str] {
        self.labels
    }

    /// What is counted or measured: a noun in the plural, or a unit.
    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// What the value means, in plain text without a full stop.
    pub fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// What to do when the value is high or low, in Markdown.
    pub fn action(&self) -> &'static str {
        self.action
    }
}

/// A gauge with `N` labels.
#[derive(Debug)]
pub struct Gauge<const N: usize>(pub(super) &'static MetricDescription);

/// A counter with `N` labels.
#[derive(Debug)]
pub struct Counter<const N: usize>(pub(super) &'static MetricDescription);

/// A histogram of durations. Its buckets have the label `le`.
#[derive(Debug)]
pub struct Histogram<const N: usize>(pub(super) &'static MetricDescription);

impl<const N: usize> Gauge<N> {
    /// The description.
    pub fn description(&self) -> &'static MetricDescription {
        self.0
    }
}

impl<const N: usize> Counter<N> {
    /// The description.
    pub fn description(&self) -> &'static MetricDescription {
        self.0
    }
}

impl<const N: usize> Histogram<N> {
    /// The description.
    pub fn description(&self) -> &'static MetricDescription {
        self.0
    }
}

/// Metrics about one part of the daemon.
#[derive(Debug)]
pub struct MetricGroup {
    pub(super) title: &'static str,
    pub(super) introduction: &'static str,
    pub(super) metrics: &'static [&'static MetricDescription],
}

impl MetricGroup {
    /// The heading of the group.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// Sentences about all metrics of the group, in Markdown; may be empty.
    pub fn introduction(&self) -> &'static str {
        self.introduction
    }

    /// The metrics, in the order of the page.
    pub fn metrics(&self) -> &'static [&'static MetricDescription] {
        self.metrics
    }
}

/// Declares a group of metrics. Each becomes a static item whose type has its number of labels, so
/// that a sample with other labels does not compile.
macro_rules! metric_group {
    ($group:ident, $title:literal, $introduction:literal;
     $($name:ident: $kind:ident $metric:literal [$($label:literal),*] $unit:literal,
        $meaning:literal, $action:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $name: $kind<{ <[&str]>::len(&[$($label),*]) }> = $kind(&MetricDescription {
                name: $metric,
                metric_type: MetricType::$kind,
                labels: &[$($label),*],
                unit: $unit,
                meaning: $meaning,
                action: $action,
            });
        )*
        static $group: MetricGroup = MetricGroup {
            title: $title,
            introduction: $introduction,
            metrics: &[$($name.0),*],
        };
    };
}
pub(super) use metric_group;
