//! Places at a door: how many connections one client, and one net, may have at the same time, so that few do not take all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::model::probing::net;

/// A prefix by its first address and its length.
type Prefix = (IpAddr, u8);

/// The places of a door. Clones share them.
#[derive(Debug, Clone)]
pub struct Places {
    taken: Arc<Mutex<HashMap<Prefix, usize>>>,
    most: [usize; 2],
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place(Places, [Prefix; 2]);

impl Places {
    /// As many for an address (of IPv6: a /64), and for a net (a /24, of IPv6 a /48).
    pub fn new(most: [usize; 2]) -> Places {
        Places { taken: Arc::default(), most }
    }

    /// A place for an address; none where it, or its net, has as many as it may. `crowd` says that it may have more.
    pub fn take(&self, addr: IpAddr, crowd: bool) -> Option<Place> {
        let prefixes = match addr.to_canonical() {
            IpAddr::V6(a) => [(IpAddr::V6((u128::from(a) >> 64 << 64).into()), 64), (net(addr), 48)],
            a => [(a, 32), (net(a), 24)],
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |(prefix, most): (&Prefix, usize)| taken.get(prefix).is_some_and(|n| *n >= most);
        if !crowd && prefixes.iter().zip(self.most).any(full) {
            return None;
        }
        prefixes.iter().for_each(|p| *taken.entry(*p).or_default() += 1);
        Some(Place(self.clone(), prefixes))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for prefix in &self.1 {
            if let Some(n) = taken.get_mut(prefix) {
                *n -= 1;
                if *n == 0 {
                    taken.remove(prefix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One /56 of IPv6 took all places of the collector, tests stopped, and claims were granted untested.
    #[test]
    fn few_nets_do_not_take_all_places() {
        let places = Places::new([50, 200]);
        let taken = |all: &mut dyn Iterator<Item = IpAddr>| all.map_while(|a| places.take(a, false)).collect::<Vec<_>>();
        let v6 = |net: u128, n: u128| IpAddr::V6(((0x2001_0db8_u128 << 96) | (net << 80) | (n << 64) | n).into());
        let one = taken(&mut std::iter::repeat(v6(7, 3)));
        assert_eq!(one.len(), 50, "of a /64");
        let net = taken(&mut (100..999).map(|n| v6(7, n)));
        assert_eq!(net.len(), 150, "of a /48");
        assert!(places.take(v6(8, 1), false).is_some(), "others have theirs");
        let four = taken(&mut (0..999u32).map(|n| IpAddr::V4((0xc633_6400 + n % 200).into())));
        assert_eq!(four.len(), 200, "of a /24");
        let crowd: Vec<Place> = (0..999).map_while(|_| places.take([127, 64, 0, 1].into(), true)).collect();
        assert_eq!(crowd.len(), 999, "a laboratory's");
        drop((one, net, four, crowd));
        assert!(places.taken.lock().unwrap().is_empty(), "they are given back");
    }
}
