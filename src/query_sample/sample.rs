//! Collects the chosen queries of all workers.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, sync_channel},
    },
};

use parking_lot::Mutex;

use super::{
    candidates::CandidateQueue,
    networks::QueriedNetworks,
    sampler::{MAX_WAITING, QueriedAddress, QuerySampler, SamplerState},
};
use crate::{
    model::{Subject, Uptime, special::unlistable, time::Seconds},
    random::Random,
};

/// `[query_sample]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySampleSettings {
    /// One in so many queries is sampled; 0: none.
    pub one_in: u32,
    /// How long an address is kept at most.
    pub period: Seconds,
    /// Whether addresses wait for look-ups of their reverse names.
    pub candidates: bool,
    /// Special-purpose ranges that may be listed. Addresses of all others are not kept.
    pub special: Vec<Subject>,
}

impl Default for QuerySampleSettings {
    fn default() -> QuerySampleSettings {
        QuerySampleSettings {
            one_in: 0,
            period: Seconds(7 * 86_400),
            candidates: false,
            special: Vec::new(),
        }
    }
}

/// How many addresses of a prefix were sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueriedCount {
    /// The different addresses of IPv4, or the different /64s of IPv6.
    pub count: u64,
    /// How long ago the sample begins.
    pub period: Seconds,
    /// One in so many queries is sampled.
    pub one_in: u32,
}

/// Numbers about the sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuerySampleStats {
    /// One in so many queries is sampled.
    pub one_in: u32,
    /// Sampled addresses since the start.
    pub sampled: u64,
    /// Sampled queries that were dropped because too many waited, since the start.
    pub dropped: u64,
    /// Networks in the sample.
    pub networks: usize,
    /// Addresses that wait for a look-up of their reverse name.
    pub waiting: usize,
    /// Addresses that were added to those that wait, since the start.
    pub candidates: u64,
}

/// What was collected.
#[derive(Debug, Default)]
struct Collected {
    settings: QuerySampleSettings,
    /// The chosen queries of each sampler.
    queues: Vec<Receiver<QueriedAddress>>,
    /// The networks; `None` if nothing is sampled.
    networks: Option<QueriedNetworks>,
    candidates: CandidateQueue,
    sampled: u64,
    /// When the previous and the present half of the period began; `None` before the first
    /// collection.
    halves: Option<[Uptime; 2]>,
    /// When the last collection was.
    now: Uptime,
}

impl Collected {
    /// Drops the chosen queries that wait.
    fn drop_waiting(&self) {
        for queue in &self.queues {
            queue.try_iter().take(MAX_WAITING).for_each(drop);
        }
    }

    /// Collects the chosen queries, and forgets what is older than the period.
    fn collect(&mut self, now: Uptime) {
        let Collected {
            settings,
            queues,
            networks: Some(networks),
            candidates,
            sampled,
            halves,
            now: last,
        } = self
        else {
            return;
        };
        *last = now;
        let [_, half] = *halves.get_or_insert([now; 2]);
        if half.plus(Seconds(settings.period.0.div_ceil(2))) <= now {
            networks.begin_half();
            candidates.clear();
            *halves = Some([half, now]);
        }
        let chosen = queues.iter().flat_map(|q| q.try_iter().take(MAX_WAITING));
        for QueriedAddress { addr, is_listed } in chosen {
            let addr = addr.to_canonical();
            if unlistable(&Subject::host(addr), &settings.special).is_some() {
                continue;
            }
            *sampled += 1;
            let was_sampled = networks.add(addr);
            if let IpAddr::V4(addr) = addr
                && settings.candidates
                && was_sampled
                && !is_listed
            {
                candidates.add(addr);
            }
        }
    }
}

/// The sample. Clones share it.
#[derive(Debug, Clone)]
pub struct QuerySample(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Arc<SamplerState>,
    random: Random,
    /// The sampler of all transports besides UDP.
    streams: QuerySampler,
    collected: Mutex<Collected>,
}

impl Default for QuerySample {
    fn default() -> QuerySample {
        QuerySample::new(QuerySampleSettings::default(), Random::system())
    }
}

/// Makes a sampler, and the other end of its queue.
fn sampler(state: &Arc<SamplerState>, random: &Random) -> (QuerySampler, Receiver<QueriedAddress>) {
    let (queue, chosen) = sync_channel(MAX_WAITING);
    // Without random numbers all samplers begin alike.
    let seed = random.below(u64::MAX).unwrap_or_default();
    (QuerySampler::new(state.clone(), seed, queue), chosen)
}

impl QuerySample {
    /// Makes a sample.
    pub fn new(settings: QuerySampleSettings, random: Random) -> QuerySample {
        let state = Arc::new(SamplerState::default());
        state.one_in.store(settings.one_in, Relaxed);
        let (streams, chosen) = sampler(&state, &random);
        let sample = QuerySample(Arc::new(Inner {
            state,
            random,
            streams,
            collected: Mutex::new(Collected {
                queues: vec![chosen],
                ..Collected::default()
            }),
        }));
        sample.configure(settings);
        sample
    }

    /// Applies new settings. What was sampled by other settings is forgotten.
    pub fn configure(&self, settings: QuerySampleSettings) {
        let mut collected = self.0.collected.lock();
        if collected.settings == settings {
            return;
        }
        self.0.state.one_in.store(settings.one_in, Relaxed);
        collected.drop_waiting();
        collected.networks = (settings.one_in > 0).then(QueriedNetworks::new);
        collected.candidates.clear();
        collected.halves = None;
        collected.settings = settings;
    }

    /// Makes a sampler for a worker.
    pub fn worker(&self) -> QuerySampler {
        let (sampler, chosen) = sampler(&self.0.state, &self.0.random);
        self.0.collected.lock().queues.push(chosen);
        sampler
    }

    /// The sampler of all transports besides UDP.
    #[inline]
    pub fn streams(&self) -> &QuerySampler {
        &self.0.streams
    }

    /// Collects the chosen queries, and forgets what is older than the period. It has to be called
    /// a few times in a second.
    pub fn collect(&self, now: Uptime) {
        self.0.collected.lock().collect(now);
    }

    /// Forgets the addresses of a prefix, and for IPv6 the /64 of a longer one. Returns how many
    /// were sampled: different addresses of IPv4, or different /64s of IPv6.
    pub fn forget(&self, prefix: &Subject) -> u64 {
        let mut collected = self.0.collected.lock();
        // Queries that were chosen before must not bring an address back.
        let now = collected.now;
        match collected.halves {
            Some(_) => collected.collect(now),
            None => collected.drop_waiting(),
        }
        collected.candidates.forget(prefix);
        let networks = collected.networks.as_mut();
        networks.map_or(0, |networks| networks.forget(prefix))
    }

    /// Takes an address that mail servers asked about at least twice and that was not listed, for a
    /// look-up of its reverse name.
    pub fn take_candidate(&self) -> Option<IpAddr> {
        let first = self.0.collected.lock().candidates.take_first();
        first.map(IpAddr::V4)
    }

    /// Counts the sampled addresses of a prefix. `None` if nothing is sampled.
    pub fn count(&self, prefix: &Subject) -> Option<QueriedCount> {
        let collected = self.0.collected.lock();
        let count = collected.networks.as_ref()?.count(prefix);
        let [begin, _] = collected.halves.unwrap_or([collected.now; 2]);
        Some(QueriedCount {
            count,
            period: Seconds(begin.seconds_until(collected.now)),
            one_in: collected.settings.one_in,
        })
    }

    /// The numbers. `None` if nothing is sampled.
    pub fn stats(&self) -> Option<QuerySampleStats> {
        let collected = self.0.collected.lock();
        Some(QuerySampleStats {
            networks: collected.networks.as_ref()?.len(),
            one_in: collected.settings.one_in,
            sampled: collected.sampled,
            dropped: self.0.state.dropped.load(Relaxed),
            waiting: collected.candidates.len(),
            candidates: collected.candidates.added(),
        })
    }
}
