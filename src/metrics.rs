//! Counters of queries. Each worker has a set for each zone, so that workers never contend.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

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
