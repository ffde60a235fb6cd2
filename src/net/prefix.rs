//! The prefixes by which clients are counted.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

/// A prefix that clients are counted by: an address, its network, or its wide network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientPrefix {
    /// The first bits of the address; the rest is 0.
    bits: u64,
    /// The length of an IPv6 prefix, or the length of an IPv4 prefix plus 100.
    kind: u8,
}

impl ClientPrefix {
    /// Returns the prefixes of an address, the narrowest first: IPv4 /32, /24 and /16; IPv6 /64
    /// (usually one customer), /48 and /32.
    pub fn of(addr: IpAddr) -> [ClientPrefix; 3] {
        let (first_bits, kinds, base) = match addr.to_canonical() {
            IpAddr::V4(a) => (u64::from(u32::from(a)) << 32, [32, 24, 16], 100),
            IpAddr::V6(a) => ((u128::from(a) >> 64) as u64, [64, 48, 32], 0),
        };
        kinds.map(|length: u8| ClientPrefix {
            bits: first_bits & (u64::MAX << (64 - length)),
            kind: base + length,
        })
    }

    /// Whether this is a prefix of IPv6 addresses.
    pub fn is_ipv6(self) -> bool {
        self.kind <= 64
    }
}

/// Writes a single address without a length, and a network in CIDR notation.
impl fmt::Display for ClientPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addr, length) = match self.is_ipv6() {
            true => (IpAddr::V6((u128::from(self.bits) << 64).into()), self.kind),
            false => (
                IpAddr::V4(((self.bits >> 32) as u32).into()),
                self.kind - 100,
            ),
        };
        match IpNet::new(addr, length) {
            Ok(net) if net.prefix_len() < net.max_prefix_len() => net.fmt(f),
            _ => addr.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_by_address_network_and_wide_network() {
        let of = |a: &str| ClientPrefix::of(a.parse().unwrap());
        let equal = |a: &str, b: &str| {
            let (a, b) = (of(a), of(b));
            [0, 1, 2].map(|i| a[i] == b[i])
        };
        assert_eq!(equal("192.0.2.1", "192.0.2.1"), [true; 3]);
        assert_eq!(equal("192.0.2.1", "::ffff:192.0.2.1"), [true; 3]);
        assert_eq!(equal("192.0.2.1", "192.0.2.2"), [false, true, true]);
        assert_eq!(equal("192.0.2.1", "192.0.3.1"), [false, false, true]);
        assert_eq!(equal("192.0.2.1", "192.1.2.1"), [false; 3]);
        assert_eq!(equal("2001:db8:1:2::1", "2001:db8:1:2:3::"), [true; 3]);
        assert_eq!(
            equal("2001:db8:1:2::1", "2001:db8:1:3::1"),
            [false, true, true]
        );
        assert_eq!(
            equal("2001:db8:1:2::1", "2001:db8:2:2::1"),
            [false, false, true]
        );
        assert_eq!(equal("2001:db8:1:2::1", "2001:db9:1:2::1"), [false; 3]);
        assert_eq!(
            of("192.0.2.1").map(|p| p.to_string()),
            ["192.0.2.1", "192.0.2.0/24", "192.0.0.0/16"]
        );
        assert_eq!(
            of("2001:db8:1:2::1").map(|p| p.to_string()),
            ["2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"]
        );
        // An IPv4 address is never an IPv6 prefix.
        assert!(
            of("192.0.2.1")
                .iter()
                .all(|p| !p.is_ipv6() && !of("c000:201::").contains(p))
        );
    }
}
