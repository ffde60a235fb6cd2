//! Counters of queries, histograms of durations, and the table of all metrics. Each worker has a set
//! of counters for each zone, so that workers never contend.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

pub mod families;
mod family;

pub use family::{Counter, Gauge, Histogram, MetricDescription, MetricGroup, MetricType};

/// How many zones have counters of their own; all further zones share the last ones.
pub const MAX_ZONES: usize = 64;

macro_rules! counters {
    ($($name:ident: $doc:literal),* $(,)?) => {
        /// A set of counters.
        #[derive(Debug, Default)]
        pub struct CounterSet {
            $(#[doc = $doc] pub $name: AtomicU64,)*
        }

        /// The values of a set of counters.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
        pub struct Totals {
            $(#[doc = $doc] pub $name: u64,)*
        }

        impl CounterSet {
            /// Adds the values of the counters to totals.
            pub fn add_to(&self, to: &mut Totals) {
                $(to.$name += self.$name.load(Relaxed);)*
            }

            /// Adds totals to the counters.
            pub fn add(&self, from: &Totals) {
                $(if from.$name > 0 { self.$name.fetch_add(from.$name, Relaxed); })*
            }
        }
    };
}

counters! {
    queries: "Queries received.",
    listed: "Answers with records.",
    not_listed: "NXDOMAIN answers.",
    no_data: "NODATA answers: the name exists, and has no record of the type.",
    transfers: "Zone transfers that were granted.",
    refused: "REFUSED answers.",
    malformed: "FORMERR, NOTIMP and BADVERS answers.",
    failed: "SERVFAIL answers.",
    truncated: "Truncated answers (TC).",
    dropped: "Messages that were dropped without an answer.",
    bytes_in: "Bytes of queries received.",
    bytes_out: "Bytes of answers sent.",
}

/// The counters of one worker.
#[derive(Debug)]
pub struct WorkerCounters {
    /// The worker's name, such as `udp-0`.
    pub name: String,
    /// Counters of messages that belong to no zone.
    pub other: CounterSet,
    /// The counters of each zone, by the zone's slot.
    pub zones: Vec<CounterSet>,
}

impl WorkerCounters {
    /// Returns the counters of a zone, by its slot; `None` for messages that belong to no zone.
    #[inline]
    pub fn of(&self, zone: Option<usize>) -> &CounterSet {
        match zone {
            None => &self.other,
            Some(z) => &self.zones[z.min(MAX_ZONES - 1)],
        }
    }
}

/// The counters of all workers.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<Arc<WorkerCounters>>>);

impl Metrics {
    /// Creates the counters of a new worker.
    pub fn worker(&self, name: &str) -> Arc<WorkerCounters> {
        let zones = (0..MAX_ZONES).map(|_| CounterSet::default()).collect();
        let worker = Arc::new(WorkerCounters {
            name: name.into(),
            other: CounterSet::default(),
            zones,
        });
        self.0.lock().push(worker.clone());
        worker
    }

    /// Returns the name of each worker, its totals, and its totals by zone slot.
    pub fn by_worker(&self) -> Vec<(String, Totals, Vec<Totals>)> {
        let all = self.0.lock();
        let values = |c: &CounterSet| {
            let mut t = Totals::default();
            c.add_to(&mut t);
            t
        };
        let row = |w: &Arc<WorkerCounters>| {
            let mut total = values(&w.other);
            w.zones.iter().for_each(|z| z.add_to(&mut total));
            (w.name.clone(), total, w.zones.iter().map(values).collect())
        };
        all.iter().map(row).collect()
    }

    /// Returns the totals of a zone, by its slot; `None` for messages that belong to no zone.
    pub fn zone(&self, zone: Option<usize>) -> Totals {
        let mut t = Totals::default();
        self.0.lock().iter().for_each(|w| w.of(zone).add_to(&mut t));
        t
    }
}

/// The upper bounds of the buckets of a [`DurationHistogram`], in microseconds; one further bucket
/// has all longer durations.
pub const BUCKET_MICROS: [u64; 18] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    200_000, 1_000_000,
];

/// Counts durations by their length.
#[derive(Debug, Default)]
pub struct DurationHistogram {
    buckets: [AtomicU64; BUCKET_MICROS.len() + 1],
    nanoseconds: AtomicU64,
    longest: AtomicU64,
}

/// The values of a [`DurationHistogram`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationCounts {
    /// The number of durations in each bucket, the last one for those above all bounds.
    pub buckets: [u64; BUCKET_MICROS.len() + 1],
    /// The sum of all durations.
    pub sum: Duration,
    /// The longest duration.
    pub longest: Duration,
}

impl DurationHistogram {
    /// Counts a duration.
    pub fn add(&self, duration: Duration) {
        let nanoseconds = duration.as_nanos() as u64;
        let bucket = BUCKET_MICROS.partition_point(|bound| bound * 1000 < nanoseconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
        self.longest.fetch_max(nanoseconds, Relaxed);
    }

    /// Returns the values.
    pub fn counts(&self) -> DurationCounts {
        DurationCounts {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum: Duration::from_nanos(self.nanoseconds.load(Relaxed)),
            longest: Duration::from_nanos(self.longest.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_counted_in_the_first_bucket_whose_bound_is_not_shorter() {
        let histogram = DurationHistogram::default();
        let durations = [
            (1_000, 0),
            (1_001, 1),
            (5_000, 2),
            (u64::from(u32::MAX), 18),
        ];
        for (nanoseconds, bucket) in durations {
            histogram.add(Duration::from_nanos(nanoseconds));
            assert_eq!(histogram.counts().buckets[bucket], 1, "{nanoseconds} ns");
        }
        let counts = histogram.counts();
        assert_eq!(counts.buckets.iter().sum::<u64>(), 4);
        assert_eq!(counts.longest, Duration::from_nanos(u64::from(u32::MAX)));
        let sum: u64 = durations.iter().map(|(nanoseconds, _)| nanoseconds).sum();
        assert_eq!(counts.sum, Duration::from_nanos(sum));
    }
}
