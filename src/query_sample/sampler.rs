//! Chooses queries at random distances, so that each query is chosen with the same probability, and
//! a client cannot send queries that are chosen more often than others.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
        mpsc::SyncSender,
    },
};

/// The most chosen queries of a worker that wait until they are collected: 32 KB.
pub(super) const MAX_WAITING: usize = 1024;
/// While nothing is sampled, a worker checks after so many queries whether that has changed.
const OFF_CHECK_INTERVAL: u32 = 256;

/// The address that a chosen query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueriedAddress {
    /// The address.
    pub addr: IpAddr,
    /// Whether the answer was a listing.
    pub is_listed: bool,
}

/// What all samplers share.
#[derive(Debug, Default)]
pub(super) struct SamplerState {
    /// One in so many queries is chosen; 0: none.
    pub(super) one_in: AtomicU32,
    /// How many chosen queries did not fit into the queue of their worker.
    pub(super) dropped: AtomicU64,
}

/// Chooses the queries of one worker, or those of several threads that share it. Such threads can
/// count a query twice or not at all, which changes the distances only.
#[derive(Debug)]
pub struct QuerySampler {
    /// How many queries are left until one is chosen, that one included.
    left: AtomicU32,
    /// The state of the random numbers, by which distances are chosen. It is never 0.
    random: AtomicU64,
    state: Arc<SamplerState>,
    queue: SyncSender<QueriedAddress>,
}

impl QuerySampler {
    pub(super) fn new(
        state: Arc<SamplerState>,
        seed: u64,
        queue: SyncSender<QueriedAddress>,
    ) -> QuerySampler {
        let sampler = QuerySampler {
            left: AtomicU32::new(0),
            random: AtomicU64::new(seed | 1),
            state,
            queue,
        };
        sampler.choose_distance();
        sampler
    }

    /// Counts a query. Returns whether it is chosen. This is all that happens for other queries.
    #[inline]
    pub fn is_next(&self) -> bool {
        let left = self.left.load(Relaxed);
        if left > 1 {
            self.left.store(left - 1, Relaxed);
            return false;
        }
        self.choose_distance()
    }

    /// Chooses the distance to the next query, at random from 1 to twice the mean. Returns whether
    /// queries are sampled.
    #[cold]
    fn choose_distance(&self) -> bool {
        let one_in = self.state.one_in.load(Relaxed);
        let distance = match one_in {
            0 => OFF_CHECK_INTERVAL,
            _ => {
                let choices = 2 * u64::from(one_in) - 1;
                let chosen = (u128::from(self.next_random()) * u128::from(choices)) >> 64;
                1 + chosen as u32
            }
        };
        self.left.store(distance, Relaxed);
        one_in > 0
    }

    /// The next number of the generator xorshift64* (S. Vigna, 2016). It is quick, and its
    /// numbers do not leave this process.
    fn next_random(&self) -> u64 {
        let mut x = self.random.load(Relaxed);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.store(x, Relaxed);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Keeps the address of a chosen query until it is collected. If too many wait, it is dropped
    /// and counted.
    pub fn add(&self, queried: QueriedAddress) {
        if self.queue.try_send(queried).is_err() {
            self.state.dropped.fetch_add(1, Relaxed);
        }
    }
}
