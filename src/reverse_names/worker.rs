//! The background work: takes addresses from the queue at a fixed rate and asks the resolver.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::table::{ReverseName, ReverseNameTable};
use crate::{clock::Clock, model::Time, resolver::Resolver};

/// The time between two look-ups: 20 begin in a second.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long a look-up may take, with its confirmation.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The name of an address and whether it is confirmed; the error says why no server has answered.
pub type ReverseLookup = Result<Option<(String, bool)>, String>;

/// Looks up the name of an address, and confirms it.
pub type ReverseResolver =
    Arc<dyn Fn(IpAddr) -> Pin<Box<dyn Future<Output = ReverseLookup> + Send>> + Send + Sync>;

/// Counters of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReverseNameStats {
    /// Addresses that are known.
    pub known: usize,
    /// Addresses that wait for a look-up.
    pub waiting: usize,
    /// Addresses that did not fit into the queue.
    pub dropped: u64,
    /// Look-ups that were started.
    pub started: u64,
    /// Look-ups that failed.
    pub failed: u64,
}

#[derive(Default)]
struct Shared {
    table: Mutex<ReverseNameTable>,
    started: AtomicU64,
    failed: AtomicU64,
}

/// The cache of reverse names. Clones share it.
#[derive(Clone, Default)]
pub struct ReverseNames(Arc<Shared>);

impl ReverseNames {
    /// Returns what is known about an address, and queues a `listed` one that is not known or old.
    /// Does not wait.
    pub fn get(&self, addr: IpAddr, listed: bool, now: Time) -> Option<ReverseName> {
        self.0.table.lock().get(addr.to_canonical(), listed, now)
    }

    /// Returns the names that `is_wanted` selects by address and name.
    pub fn find(
        &self,
        is_wanted: &dyn Fn(IpAddr, Option<&str>) -> bool,
    ) -> Vec<(IpAddr, ReverseName)> {
        self.0.table.lock().find(is_wanted)
    }

    /// Removes the names that `is_wanted` selects by address and name. Returns their number.
    pub fn erase(&self, is_wanted: &dyn Fn(IpAddr, Option<&str>) -> bool) -> u64 {
        let mut table = self.0.table.lock();
        let found = table.find(is_wanted);
        found.iter().for_each(|(addr, _)| table.remove(*addr));
        found.len() as u64
    }

    /// Removes the names that were looked up before a time. Returns their number.
    pub fn forget(&self, before: Time) -> u64 {
        self.0.table.lock().forget(before) as u64
    }

    /// The counters.
    pub fn stats(&self) -> ReverseNameStats {
        let table = self.0.table.lock();
        ReverseNameStats {
            known: table.known(),
            waiting: table.waiting(),
            dropped: table.dropped(),
            started: self.0.started.load(Relaxed),
            failed: self.0.failed.load(Relaxed),
        }
    }

    /// Looks up the addresses of the queue until `stop` is set.
    pub async fn run(
        self,
        resolver: ReverseResolver,
        clock: Clock,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|s| *s) => return,
            }
            let next = self.0.table.lock().start_next();
            let Some(addr) = next else { continue };
            self.0.started.fetch_add(1, Relaxed);
            let (names, resolver, clock) = (self.clone(), resolver.clone(), clock.clone());
            tokio::spawn(async move {
                let found = tokio::time::timeout(TIMEOUT, resolver(addr)).await;
                let now = clock.now();
                let found = found.unwrap_or_else(|_| Err("the look-up took too long".into()));
                if let Err(why) = &found {
                    names.0.failed.fetch_add(1, Relaxed);
                    tracing::debug!(%addr, error = why, "reverse name not found");
                }
                let result = found.map(|name| ReverseName {
                    confirmed: name.as_ref().is_some_and(|(_, confirmed)| *confirmed),
                    name: name.map(|(name, _)| name),
                    at: now,
                });
                names.0.table.lock().finish(addr, result, now);
            });
        }
    }
}

/// Makes the resolver of the cache. Names are taken only if they are host names: a PTR record is the
/// text of a stranger.
pub fn dns_resolver(resolver: Arc<Result<Resolver, String>>) -> ReverseResolver {
    Arc::new(move |addr| {
        let resolver = resolver.clone();
        Box::pin(async move {
            let resolver = resolver.as_ref().as_ref().map_err(String::clone)?;
            let names = resolver.reverse_names(addr).await?;
            let mut names = names.into_iter().filter_map(|n| {
                let name = crate::model::domain::name_to_ascii(&n).ok()?;
                Some(String::from(name))
            });
            let Some(first) = names.next() else {
                return Ok(None);
            };
            for name in std::iter::once(first.clone()).chain(names) {
                let addresses = resolver.addresses(&name).await.unwrap_or_default();
                if addresses.iter().any(|a| a.to_canonical() == addr) {
                    return Ok(Some((name, true)));
                }
            }
            Ok(Some((first, false)))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::clock::SystemTimeSource;

    async fn until(what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed().as_secs() < 10, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn listed_addresses_are_looked_up_in_the_background_at_a_fixed_rate() {
        let names = ReverseNames::default();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let called = calls.clone();
        let resolver: ReverseResolver = Arc::new(move |addr| {
            called.lock().push(addr);
            let found = match addr.to_string().as_str() {
                "45.51.1.1" => Ok(Some(("mx.example".to_string(), true))),
                "45.51.2.1" => Ok(None),
                _ => Err("no server".to_string()),
            };
            Box::pin(async move { found })
        });
        let (stop, stopped) = watch::channel(false);
        let clock = Clock::without_record(SystemTimeSource::default());
        let now = clock.now();
        let worker = tokio::spawn(names.clone().run(resolver, clock, stopped));
        let addr = |i: u8| IpAddr::from([45, 51, i, 1]);
        assert_eq!(names.get(addr(9), false, now), None);
        let start = Instant::now();
        for i in 1..=6 {
            assert_eq!(names.get(addr(i), true, now), None);
        }
        until("all are known", || names.stats().known == 6).await;
        assert!(start.elapsed() >= 4 * INTERVAL, "{:?}", start.elapsed());
        let found = names.get(addr(1), true, now).unwrap();
        assert_eq!(found.name.as_deref(), Some("mx.example"));
        assert!(found.confirmed && found.at >= now);
        assert_eq!(names.get(addr(2), true, now).unwrap().name, None);
        assert_eq!(names.get(addr(3), true, now), None);
        let stats = names.stats();
        assert_eq!((stats.started, stats.failed, stats.waiting), (6, 4, 0));
        assert!(
            !calls.lock().contains(&addr(9)),
            "an unlisted address is not looked up"
        );
        stop.send(true).unwrap();
        worker.await.unwrap();
    }
}
