//! Finds what a volatile zone has at a name, as RFC 4592 would find it in the owner names of the
//! log-ins that have not ended.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use super::{
    find::{Asked, Found, deepest_fixed},
    logins::LoginView,
    zones::ZoneView,
};
use crate::model::Uptime;

impl LoginView {
    /// Finds what the zone has at a name, and for how many seconds at most an answer with records
    /// holds.
    pub fn find<'a>(&'a self, zone: &'a ZoneView, asked: &Asked, now: Uptime) -> (Found<'a>, u32) {
        let fixed = deepest_fixed(zone, asked);
        if let Some((n, f)) = fixed
            && n == asked.count
            && (!f.rrs.is_empty() || n == 0)
        {
            return (Found::Static(f), u32::MAX);
        }
        let set = self.table.published.load();
        let live = |address: IpAddr| set.end(address).filter(|end| *end > now);
        if let Some(end) = self.published_address(asked).and_then(live) {
            let seconds = u32::try_from(now.seconds_until(end)).unwrap_or(u32::MAX);
            return (Found::Static(&self.records), seconds);
        }
        let exists = fixed.is_some_and(|(n, _)| n == asked.count)
            || ranges_below(asked, self.rules.ipv6_prefix)
                .into_iter()
                .flatten()
                .any(|range| set.has_live(&range, now));
        match exists {
            true => (Found::Empty, u32::MAX),
            false => (Found::Missing, u32::MAX),
        }
    }

    /// The address, or the first address of the prefix, whose log-in publishes a name.
    fn published_address(&self, asked: &Asked) -> Option<IpAddr> {
        if asked.count == 4 && asked.octets_len == 4 {
            return Some(Ipv4Addr::from(asked.octets).into());
        }
        let levels = usize::from(self.rules.ipv6_prefix) / 4;
        let is_published = match levels {
            32 => asked.count == 32 && asked.nibbles_len == 32,
            // A prefix publishes the wildcard below it.
            _ => {
                asked.count > levels && asked.nibbles_len >= levels && !asked.below_wildcard(levels)
            }
        };
        is_published.then(|| ip6(&asked.nibbles[..levels.min(32)], 0))
    }
}

/// The first (`fill` 0) or last (`fill` 15) address that begins with some nibbles.
fn ip6(nibbles: &[u8], fill: u8) -> IpAddr {
    let nibble = |i| nibbles.get(i).copied().unwrap_or(fill);
    let bits = (0..32).fold(0, |bits, i| bits << 4 | u128::from(nibble(i)));
    Ipv6Addr::from_bits(bits).into()
}

/// The addresses whose log-ins are below a name, for IPv4 and for IPv6.
fn ranges_below(asked: &Asked, ipv6_prefix: u8) -> [Option<RangeInclusive<IpAddr>>; 2] {
    let count = asked.count;
    let octets = (count < 4 && asked.octets_len == count).then(|| {
        let with = |fill| -> IpAddr {
            let octet = |i| if i < count { asked.octets[i] } else { fill };
            Ipv4Addr::from(std::array::from_fn::<u8, 4, _>(octet)).into()
        };
        with(0)..=with(255)
    });
    let levels = usize::from(ipv6_prefix) / 4;
    // The name of a prefix exists because of the wildcard below it.
    let deepest = if levels == 32 { 31 } else { levels };
    let nibbles = (count <= deepest && asked.nibbles_len == count).then(|| {
        let nibbles = &asked.nibbles[..count];
        ip6(nibbles, 0)..=ip6(nibbles, 15)
    });
    [octets, nibbles]
}
