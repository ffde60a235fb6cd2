//! When which address is looked up: at a limited rate, one of each network at a time, in the order
//! in which they are due.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use crate::{net::ClientPrefix, reverse_names::table::network};

/// The time between two look-ups: at most five begin in a second.
pub(super) const LOOKUP_INTERVAL: Duration = Duration::from_millis(200);

/// The addresses of a network.
#[derive(Debug, Default)]
struct NetworkQueue {
    /// The addresses that wait, by the time at which they are due.
    waiting: BTreeSet<(Duration, IpAddr)>,
    /// The address whose look-up runs.
    running: Option<IpAddr>,
}

/// The addresses that wait for a look-up. Times are those since the start of the service.
#[derive(Debug, Default)]
pub(super) struct LookupSchedule {
    /// When each address is due; `None` while its look-up runs.
    due: HashMap<IpAddr, Option<Duration>>,
    networks: HashMap<ClientPrefix, NetworkQueue>,
    /// The networks without a running look-up, by the time at which their first address is due.
    ready: BTreeSet<(Duration, ClientPrefix)>,
    /// The earliest time of the next look-up.
    next_start: Duration,
}

impl LookupSchedule {
    /// Adds an address, unless it waits or its look-up runs already. Returns whether it was added.
    pub(super) fn add(&mut self, addr: IpAddr, due: Duration) -> bool {
        if self.due.contains_key(&addr) {
            return false;
        }
        self.due.insert(addr, Some(due));
        let key = network(addr);
        let queue = self.networks.entry(key).or_default();
        let first = queue.waiting.first().map(|(due, _)| *due);
        queue.waiting.insert((due, addr));
        if queue.running.is_none() {
            if let Some(first) = first {
                self.ready.remove(&(first, key));
            }
            self.make_ready(key);
        }
        true
    }

    /// Takes the address that is due first and whose network has no other look-up. `jitter` is added
    /// to the time until the next look-up.
    pub(super) fn start_next(&mut self, now: Duration, jitter: Duration) -> Option<IpAddr> {
        let (due, key) = *self.ready.first()?;
        if due > now || self.next_start > now {
            return None;
        }
        self.ready.remove(&(due, key));
        let queue = self.networks.get_mut(&key)?;
        let (_, addr) = queue.waiting.pop_first()?;
        queue.running = Some(addr);
        self.due.insert(addr, None);
        self.next_start = now + LOOKUP_INTERVAL + jitter;
        Some(addr)
    }

    /// Whether the look-up of an address runs.
    pub(super) fn is_running(&self, addr: IpAddr) -> bool {
        self.due.get(&addr) == Some(&None)
    }

    /// Ends a running look-up, and adds the address again if it is to be looked up later.
    pub(super) fn finish(&mut self, addr: IpAddr, again: Option<Duration>) {
        if !self.is_running(addr) {
            return;
        }
        self.due.remove(&addr);
        let key = network(addr);
        if let Some(queue) = self.networks.get_mut(&key) {
            queue.running = None;
        }
        self.make_ready(key);
        if let Some(due) = again {
            self.add(addr, due);
        }
    }

    /// Enters a network without a running look-up among the ready ones, or forgets it if it is
    /// empty.
    fn make_ready(&mut self, key: ClientPrefix) {
        let Some(queue) = self.networks.get(&key) else {
            return;
        };
        match queue.waiting.first() {
            Some((due, _)) => drop(self.ready.insert((*due, key))),
            None => drop(self.networks.remove(&key)),
        }
    }

    /// The number of addresses that wait or whose look-up runs.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// When the next look-up begins, unless addresses are added or look-ups end before.
    pub(super) fn next_at(&self) -> Option<Duration> {
        let (due, _) = self.ready.first()?;
        Some(self.next_start.max(*due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn address_that_is_due_first_is_looked_up_first() {
        let mut schedule = LookupSchedule::default();
        for (a, due) in [("45.51.1.1", 3), ("45.51.2.1", 1), ("2a01:4f8::1", 2)] {
            assert!(schedule.add(addr(a), seconds(due)));
            assert!(!schedule.add(addr(a), seconds(0)), "it waits already");
        }
        assert_eq!(schedule.start_next(Duration::ZERO, Duration::ZERO), None);
        let mut order = Vec::new();
        for now in 1..=3 {
            order.extend(schedule.start_next(seconds(now), Duration::ZERO));
        }
        assert_eq!(order, ["45.51.2.1", "2a01:4f8::1", "45.51.1.1"].map(addr));
        assert_eq!(schedule.len(), 3, "their look-ups run");
        assert!(schedule.is_running(addr("45.51.2.1")));
        schedule.finish(addr("45.51.2.1"), None);
        assert!(!schedule.is_running(addr("45.51.2.1")));
        assert_eq!(schedule.len(), 2);
    }

    #[test]
    fn network_has_one_look_up_at_a_time() {
        let mut schedule = LookupSchedule::default();
        for a in ["45.51.1.1", "45.51.1.2", "45.51.2.1"] {
            schedule.add(addr(a), Duration::ZERO);
        }
        let next = |s: &mut LookupSchedule, now| s.start_next(seconds(now), Duration::ZERO);
        assert_eq!(next(&mut schedule, 0), Some(addr("45.51.1.1")));
        assert_eq!(next(&mut schedule, 0), None, "the rate is limited");
        assert_eq!(schedule.next_at(), Some(LOOKUP_INTERVAL));
        assert_eq!(next(&mut schedule, 1), Some(addr("45.51.2.1")));
        assert_eq!((next(&mut schedule, 2), schedule.next_at()), (None, None));
        schedule.finish(addr("45.51.1.1"), Some(seconds(9)));
        assert_eq!(next(&mut schedule, 3), Some(addr("45.51.1.2")));
        schedule.finish(addr("45.51.1.2"), None);
        schedule.finish(addr("45.51.2.1"), None);
        assert_eq!((schedule.next_at(), schedule.len()), (Some(seconds(9)), 1));
        assert_eq!((schedule.networks.len(), schedule.ready.len()), (1, 1));
    }
}
