//! Counters: named atomics, one set for each worker and in it one for each zone, so that counting
//! never waits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

/// How many zones are counted apart; further ones share the last place.
pub const MAX_ZONES: usize = 64;

macro_rules! counters {
    ($($name:ident: $doc:literal),* $(,)?) => {
        /// What is counted.
        #[derive(Debug, Default)]
        pub struct Counts {
            $(#[doc = $doc] pub $name: AtomicU64,)*
        }

        /// The same as plain numbers.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct Totals {
            $(#[doc = $doc] pub $name: u64,)*
        }

        impl Counts {
            /// Adds what was counted to totals.
            pub fn add_to(&self, to: &mut Totals) {
                $(to.$name += self.$name.load(Relaxed);)*
            }

            /// Adds a batch's totals.
            pub fn add(&self, from: &Totals) {
                $(if from.$name > 0 { self.$name.fetch_add(from.$name, Relaxed); })*
            }
        }
    };
}

counters! {
    queries: "Queries that came in.",
    listed: "Answers with records.",
    not_listed: "NXDOMAIN.",
    no_data: "The name is there, the type is not.",
    transfers: "Requests for a transfer that were granted.",
    refused: "REFUSED.",
    malformed: "FORMERR, NOTIMP, BADVERS.",
    failed: "SERVFAIL.",
    truncated: "Answers cut short (TC).",
    dropped: "Messages without an answer.",
    bytes_in: "Bytes of queries.",
    bytes_out: "Bytes of answers.",
}

/// One worker's counters: what belongs to no zone, then each zone.
#[derive(Debug)]
pub struct Worker {
    /// Its name, such as `udp-0`.
    pub name: String,
    /// What belongs to no zone.
    pub other: Counts,
    /// By the zones' slots.
    pub zones: Vec<Counts>,
}

impl Worker {
    /// The counters of a zone, by its slot.
    #[inline]
    pub fn of(&self, zone: Option<usize>) -> &Counts {
        match zone {
            None => &self.other,
            Some(z) => &self.zones[z.min(MAX_ZONES - 1)],
        }
    }
}

/// All workers' counters.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<Arc<Worker>>>);

impl Metrics {
    /// Counters for a new worker.
    pub fn worker(&self, name: &str) -> Arc<Worker> {
        let zones = (0..MAX_ZONES).map(|_| Counts::default()).collect();
        let worker = Arc::new(Worker {
            name: name.into(),
            other: Counts::default(),
            zones,
        });
        self.0.lock().push(worker.clone());
        worker
    }

    /// Each worker's name, its totals, and its counters by zone slot.
    pub fn by_worker(&self) -> Vec<(String, Totals, Vec<Totals>)> {
        let all = self.0.lock();
        let plain = |c: &Counts| {
            let mut t = Totals::default();
            c.add_to(&mut t);
            t
        };
        let one = |w: &Arc<Worker>| {
            let mut total = plain(&w.other);
            w.zones.iter().for_each(|z| z.add_to(&mut total));
            (w.name.clone(), total, w.zones.iter().map(plain).collect())
        };
        all.iter().map(one).collect()
    }

    /// Totals of a zone; of what belongs to none for `None`.
    pub fn zone(&self, zone: Option<usize>) -> Totals {
        let mut t = Totals::default();
        self.0.lock().iter().for_each(|w| w.of(zone).add_to(&mut t));
        t
    }
}
