//! Addresses that were looked up and are not listed: until when they are not looked up again.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

/// The most addresses that are remembered: about 10 MB.
pub(super) const MAX_REMEMBERED: usize = 100_000;

/// The addresses, each with the time until which it is remembered.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    until: HashMap<IpAddr, Duration>,
    /// The same, in the order in which they are forgotten.
    order: BTreeSet<(Duration, IpAddr)>,
}

impl Remembered {
    /// Remembers an address. If there are too many, the one is forgotten that would be forgotten
    /// first.
    pub(super) fn add(&mut self, addr: IpAddr, until: Duration) {
        if let Some(before) = self.until.insert(addr, until) {
            self.order.remove(&(before, addr));
        }
        self.order.insert((until, addr));
        if self.until.len() > MAX_REMEMBERED
            && let Some((_, first)) = self.order.pop_first()
        {
            self.until.remove(&first);
        }
    }

    /// Whether an address is remembered. Forgets those whose time is over.
    pub(super) fn contains(&mut self, addr: IpAddr, now: Duration) -> bool {
        while let Some((until, first)) = self.order.first().copied()
            && until <= now
        {
            self.order.pop_first();
            self.until.remove(&first);
        }
        self.until.contains_key(&addr)
    }

    /// The number of addresses.
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_remembered_until_its_time_and_the_number_is_limited() {
        let mut all = Remembered::default();
        let addr = |i: u32| IpAddr::V4((0x2d00_0000 + i).into());
        let seconds = Duration::from_secs;
        all.add(addr(0), seconds(5));
        assert!(all.contains(addr(0), seconds(4)) && !all.contains(addr(1), seconds(4)));
        all.add(addr(0), seconds(9));
        assert!(all.contains(addr(0), seconds(8)), "it was looked up again");
        assert!(!all.contains(addr(0), seconds(9)));
        assert_eq!(all.len(), 0);
        for i in 0..MAX_REMEMBERED as u32 + 3 {
            all.add(addr(i), seconds(10 + u64::from(i)));
        }
        assert_eq!(
            (all.len(), all.order.len()),
            (MAX_REMEMBERED, MAX_REMEMBERED)
        );
        assert!(!all.contains(addr(2), seconds(0)) && all.contains(addr(3), seconds(0)));
    }
}
