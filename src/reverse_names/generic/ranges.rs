//! The walk through the ranges of an operator: each address once in a pass, and neighbours far apart
//! in time, so that no name server gets many questions at once.

use std::{net::IpAddr, time::Duration};

use crate::model::Subject;

/// The time from the start of a pass to that of the next one: how long a name that is not generic
/// is remembered at most.
pub(super) const PASS_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

/// A walk through ranges. It begins at a random place, so that daemons that are restarted often
/// reach all addresses too.
#[derive(Debug, Default)]
pub(super) struct RangeWalk {
    /// The first address and the number of addresses of each range.
    ranges: Vec<(IpAddr, u64)>,
    total: u64,
    /// The distance between two steps; it has no factor in common with `total`.
    stride: u64,
    place: u64,
    /// How many addresses the pass has left.
    left: u64,
    next_pass: Duration,
}

/// The first address and the number of addresses of a range; `None` for names.
pub(super) fn extent(range: &Subject) -> Option<(IpAddr, u64)> {
    let first = match range {
        Subject::V4(p) => IpAddr::V4(p.first().into()),
        Subject::V6(p) => IpAddr::V6(p.first().into()),
        Subject::Domain(_) => return None,
    };
    let count = u64::try_from(range.addresses()).unwrap_or(u64::MAX);
    Some((first, count))
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl RangeWalk {
    /// Makes a walk that begins at a place, which `random` chooses.
    pub(super) fn new(ranges: &[Subject], random: u64) -> RangeWalk {
        let ranges: Vec<_> = ranges.iter().filter_map(extent).collect();
        let total = ranges
            .iter()
            .fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
        // Steps of about 0.618 of a circle spread evenly over it.
        let mut stride = (u128::from(total) * 618 / 1000) as u64;
        while total > 0 && greatest_common_divisor(stride, total) != 1 {
            stride += 1;
        }
        RangeWalk {
            ranges,
            total,
            stride,
            place: random % total.max(1),
            left: 0,
            next_pass: Duration::ZERO,
        }
    }

    /// Returns the next address; `None` until the next pass begins.
    pub(super) fn next(&mut self, now: Duration) -> Option<IpAddr> {
        if self.left == 0 {
            if self.total == 0 || now < self.next_pass {
                return None;
            }
            (self.left, self.next_pass) = (self.total, now + PASS_INTERVAL);
        }
        self.left -= 1;
        self.place =
            ((u128::from(self.place) + u128::from(self.stride)) % u128::from(self.total)) as u64;
        let mut offset = self.place;
        for (first, count) in &self.ranges {
            if offset < *count {
                return Some(match first {
                    IpAddr::V4(a) => IpAddr::V4((u32::from(*a) + offset as u32).into()),
                    IpAddr::V6(a) => IpAddr::V6((u128::from(*a) + u128::from(offset)).into()),
                });
            }
            offset -= count;
        }
        None
    }

    /// How many addresses the present pass has left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_are_far_apart_in_a_pass() {
        let ranges: Vec<Subject> = vec!["45.51.0.0/16".parse().unwrap()];
        let mut walk = RangeWalk::new(&ranges, 7);
        let pass: Vec<IpAddr> = std::iter::from_fn(|| walk.next(Duration::ZERO)).collect();
        assert_eq!(pass.len(), 65_536);
        let networks: HashSet<[u8; 3]> = pass[..100]
            .iter()
            .map(|a| match a {
                IpAddr::V4(a) => *a.octets().first_chunk().unwrap(),
                IpAddr::V6(_) => unreachable!(),
            })
            .collect();
        assert!(
            networks.len() > 80,
            "{} networks in 100 steps",
            networks.len()
        );
    }

    #[test]
    fn next_pass_begins_after_its_interval() {
        let mut walk = RangeWalk::new(&["45.51.1.1".parse().unwrap()], 0);
        let addr = Some("45.51.1.1".parse().unwrap());
        assert_eq!(walk.next(Duration::ZERO), addr);
        assert_eq!(walk.next(PASS_INTERVAL / 2), None);
        assert_eq!(walk.next(PASS_INTERVAL), addr);
        assert_eq!(RangeWalk::new(&[], 0).next(PASS_INTERVAL), None);
    }

    proptest! {
        #[test]
        fn pass_has_each_address_once(
            lengths in prop::collection::vec(22..=32u8, 1..5),
            v6 in 120..=128u8,
            random: u64,
        ) {
            let mut ranges: Vec<Subject> = lengths
                .iter()
                .enumerate()
                .map(|(i, len)| format!("45.{i}.0.0/{len}").parse().unwrap())
                .collect();
            ranges.push(format!("2a01:4f8::/{v6}").parse().unwrap());
            let total: u128 = ranges.iter().map(Subject::addresses).sum();
            let mut walk = RangeWalk::new(&ranges, random);
            let pass: Vec<IpAddr> = std::iter::from_fn(|| walk.next(Duration::ZERO)).collect();
            let all: HashSet<&IpAddr> = pass.iter().collect();
            prop_assert_eq!((pass.len() as u128, all.len() as u128), (total, total));
            let inside = |a: &IpAddr| ranges.iter().any(|r| r.covers(&Subject::host(*a)));
            prop_assert!(pass.iter().all(inside));
        }
    }
}
