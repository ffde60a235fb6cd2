//! The rules of the cache: what is kept, for how long, and what is looked up next.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
};

use crate::{
    model::{Time, time::Seconds},
    net::ClientPrefix,
};

/// The most addresses whose names are kept: at most 20 MB with the longest names.
pub(super) const MAX_NAMES: usize = 50_000;
/// The most addresses that wait for a look-up.
pub(super) const MAX_QUEUE: usize = 1_000;
/// The age at which the name of an address is looked up again.
const REFRESH_AFTER: Seconds = Seconds(86_400);
/// The age at which an address without a name is looked up again.
const REFRESH_MISSING_AFTER: Seconds = Seconds(3 * 3_600);
/// The age at which a look-up that failed is tried again.
const RETRY_AFTER: Seconds = Seconds(600);

/// What is known about the name of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseName {
    /// The name; `None` if the address has none.
    pub name: Option<String>,
    /// Whether the name has the address (forward confirmation).
    pub confirmed: bool,
    /// When the name was looked up.
    pub at: Time,
}

#[derive(Debug)]
struct Slot {
    /// `None` if no look-up has succeeded yet.
    found: Option<ReverseName>,
    /// When it is looked up again, if a page shows it then.
    due: Time,
    /// The number of the slot's last place in the order of ages.
    number: u64,
}

/// The names that are known, and the addresses that wait.
#[derive(Debug, Default)]
pub struct ReverseNameTable {
    slots: HashMap<IpAddr, Slot>,
    /// The slots in the order of their last look-up, with their numbers then.
    ages: VecDeque<(IpAddr, u64)>,
    next_number: u64,
    queue: VecDeque<IpAddr>,
    queued: HashSet<IpAddr>,
    /// The networks with a look-up that has not ended.
    busy: HashSet<ClientPrefix>,
    /// Addresses that did not fit into the queue.
    dropped: u64,
}

/// The network whose name servers are asked only once at a time: a /24 (IPv6: /48).
pub(super) fn network(addr: IpAddr) -> ClientPrefix {
    ClientPrefix::of(addr)[1]
}

impl ReverseNameTable {
    /// Returns what is known about an address. A `listed` address that is not known, or whose name
    /// is old, is queued.
    pub fn get(&mut self, addr: IpAddr, listed: bool, now: Time) -> Option<ReverseName> {
        let slot = self.slots.get(&addr);
        let is_due = slot.is_none_or(|s| s.due <= now);
        let found = slot.and_then(|s| s.found.clone());
        if listed && is_due && !self.queued.contains(&addr) {
            if self.queue.len() < MAX_QUEUE {
                self.queue.push_back(addr);
                self.queued.insert(addr);
            } else {
                self.dropped += 1;
            }
        }
        found
    }

    /// Takes the first address that waits and whose network has no other look-up.
    pub fn start_next(&mut self) -> Option<IpAddr> {
        let busy = &self.busy;
        let at = self
            .queue
            .iter()
            .position(|a| !busy.contains(&network(*a)))?;
        let addr = self.queue.remove(at)?;
        self.busy.insert(network(addr));
        Some(addr)
    }

    /// Records the result of a look-up. After an error the name that was known stays.
    pub fn finish(&mut self, addr: IpAddr, result: Result<ReverseName, String>, now: Time) {
        self.busy.remove(&network(addr));
        self.queued.remove(&addr);
        let before = self.slots.remove(&addr).and_then(|s| s.found);
        let (found, wait) = match result {
            Ok(found) if found.name.is_some() => (Some(found), REFRESH_AFTER),
            Ok(found) => (Some(found), REFRESH_MISSING_AFTER),
            Err(_) => (before, RETRY_AFTER),
        };
        let number = self.next_number;
        self.next_number += 1;
        self.ages.push_back((addr, number));
        let due = now.plus(wait);
        self.slots.insert(addr, Slot { found, due, number });
        while self.slots.len() > MAX_NAMES || self.ages.len() > 2 * MAX_NAMES {
            let Some((oldest, number)) = self.ages.pop_front() else {
                break;
            };
            // An address that was looked up again has a later place too.
            if self.slots.get(&oldest).is_some_and(|s| s.number == number) {
                self.slots.remove(&oldest);
            }
        }
    }

    /// Returns the names that `is_wanted` selects by address and name.
    pub fn find(
        &self,
        is_wanted: &dyn Fn(IpAddr, Option<&str>) -> bool,
    ) -> Vec<(IpAddr, ReverseName)> {
        let all = self.slots.iter();
        all.filter_map(|(addr, slot)| {
            let found = slot.found.as_ref()?;
            is_wanted(*addr, found.name.as_deref()).then(|| (*addr, found.clone()))
        })
        .collect()
    }

    /// Removes an address that is known.
    pub fn remove(&mut self, addr: IpAddr) {
        // Its place in the order of ages ends when it is the oldest.
        self.slots.remove(&addr);
    }

    /// Removes the names that were looked up before a time. Returns their number.
    pub fn forget(&mut self, before: Time) -> usize {
        let all = self.slots.len();
        self.slots.retain(|_, slot| {
            let found = slot.found.as_ref();
            found.is_none_or(|found| found.at >= before)
        });
        all - self.slots.len()
    }

    /// The number of addresses that are known.
    pub fn known(&self) -> usize {
        self.slots.len()
    }

    /// The number of addresses that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The number of addresses that did not fit into the queue.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn named(name: &str, at: u64) -> ReverseName {
        ReverseName {
            name: Some(name.into()),
            confirmed: true,
            at: Time(at),
        }
    }

    fn missing(at: u64) -> ReverseName {
        ReverseName {
            name: None,
            confirmed: false,
            at: Time(at),
        }
    }

    #[test]
    fn unlisted_address_is_never_queued() {
        let mut table = ReverseNameTable::default();
        assert_eq!(table.get(addr("45.51.100.7"), false, Time(0)), None);
        assert_eq!((table.start_next(), table.waiting()), (None, 0));
    }

    #[test]
    fn listed_address_is_looked_up_once_and_again_when_it_is_old() {
        let (mut table, a) = (ReverseNameTable::default(), addr("45.51.100.7"));
        for _ in 0..3 {
            assert_eq!(table.get(a, true, Time(10)), None);
        }
        assert_eq!((table.start_next(), table.start_next()), (Some(a), None));
        table.get(a, true, Time(11));
        assert_eq!(table.waiting(), 0, "its look-up runs");
        table.finish(a, Ok(named("mx.example", 12)), Time(12));
        assert_eq!(table.get(a, true, Time(13)), Some(named("mx.example", 12)));
        assert_eq!(table.waiting(), 0);
        let old = Time(12 + 86_400);
        assert_eq!(table.get(a, false, old), Some(named("mx.example", 12)));
        assert_eq!(table.waiting(), 0, "it is not listed any more");
        assert_eq!(table.get(a, true, old), Some(named("mx.example", 12)));
        assert_eq!(table.start_next(), Some(a));
        table.finish(a, Err("timeout".into()), old);
        assert_eq!(table.get(a, true, old), Some(named("mx.example", 12)));
        assert_eq!(table.waiting(), 0, "it failed a moment ago");
        table.get(a, true, old.plus(RETRY_AFTER));
        assert_eq!(table.waiting(), 1);
    }

    #[test]
    fn missing_name_is_known_for_a_shorter_time() {
        let (mut table, a) = (ReverseNameTable::default(), addr("2a01:4f8::7"));
        table.get(a, true, Time(0));
        table.start_next();
        table.finish(a, Ok(missing(0)), Time(0));
        assert_eq!(table.get(a, true, Time(10_799)), Some(missing(0)));
        assert_eq!(table.waiting(), 0);
        table.get(a, true, Time(10_800));
        assert_eq!(table.waiting(), 1);
    }

    #[test]
    fn old_name_is_forgotten_and_looked_up_again() {
        let (mut table, a) = (ReverseNameTable::default(), addr("45.51.100.7"));
        table.finish(a, Ok(named("mx.example", 10)), Time(10));
        let by_name = |_: IpAddr, name: Option<&str>| name == Some("mx.example");
        assert_eq!(table.find(&by_name), [(a, named("mx.example", 10))]);
        assert_eq!(table.forget(Time(10)), 0);
        assert_eq!(table.forget(Time(11)), 1);
        assert_eq!(table.get(a, true, Time(11)), None);
        assert_eq!(table.start_next(), Some(a));
        table.finish(a, Ok(named("mx.example", 12)), Time(12));
        table.remove(a);
        assert_eq!((table.known(), table.find(&by_name)), (0, vec![]));
    }

    #[test]
    fn network_has_one_look_up_at_a_time() {
        let mut table = ReverseNameTable::default();
        for a in [
            "45.51.100.7",
            "45.51.100.8",
            "45.51.101.1",
            "2a01:4f8:0:1::1",
            "2a01:4f8:0:2::1",
        ] {
            table.get(addr(a), true, Time(0));
        }
        let started: Vec<String> = std::iter::from_fn(|| table.start_next())
            .map(|a| a.to_string())
            .collect();
        assert_eq!(started, ["45.51.100.7", "45.51.101.1", "2a01:4f8:0:1::1"]);
        table.finish(addr("45.51.100.7"), Ok(missing(1)), Time(1));
        assert_eq!(table.start_next(), Some(addr("45.51.100.8")));
    }

    #[test]
    fn queue_and_cache_are_bounded() {
        let mut table = ReverseNameTable::default();
        for i in 0..MAX_QUEUE as u32 + 5 {
            table.get(IpAddr::V4((0x2d00_0000 + (i << 8)).into()), true, Time(0));
        }
        assert_eq!((table.waiting(), table.dropped()), (MAX_QUEUE, 5));
        for i in 0..MAX_NAMES as u32 + 10 {
            let a = IpAddr::V4((0x2e00_0000 + i).into());
            table.finish(a, Ok(missing(0)), Time(0));
        }
        assert_eq!(table.known(), MAX_NAMES);
        let first = IpAddr::V4(0x2e00_0000.into());
        assert_eq!(
            table.get(first, false, Time(0)),
            None,
            "the oldest is forgotten first"
        );
        // One address that is looked up again and again does not fill the order of ages.
        for i in 0..3 * MAX_NAMES as u64 {
            table.finish(addr("45.51.100.7"), Ok(missing(i)), Time(i));
        }
        assert!(table.ages.len() <= 2 * MAX_NAMES && table.known() >= 1);
        assert!(table.get(addr("45.51.100.7"), false, Time(0)).is_some());
    }
}
