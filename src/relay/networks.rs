//! The network of a host: its autonomous system by a routing table, else a wide prefix. Networks
//! are never scanned (safety rule S3).

use std::net::IpAddr;

/// How many bits a host's network has where its AS is not known: an IPv4 /16, an IPv6 /32.
const WIDE: [u8; 2] = [16, 32];

/// A routing table: prefixes with the number of the AS that announces each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// First address, bits, AS; in order. IPv4 as the last 32 bits, with 96 bits more.
    routes: Vec<(u128, u8, u32)>,
    /// The lengths that there are, the longest first.
    lengths: Vec<u8>,
}

/// What counts as one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// An AS.
    As(u32),
    /// A prefix, by its first address.
    Wide(IpAddr),
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Network::As(n) => write!(f, "AS{n}"),
            Network::Wide(a) => write!(f, "{a}/{}", WIDE[usize::from(a.is_ipv6())]),
        }
    }
}

/// The prefix whose hosts share a budget, and in which two inputs count as one: a /24, or an IPv6
/// /48.
pub fn net(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(a) => IpAddr::V4((u32::from(a) & 0xffff_ff00).into()),
        IpAddr::V6(a) => IpAddr::V6((u128::from(a) >> 80 << 80).into()),
    }
}

fn bits(addr: IpAddr) -> u128 {
    match addr.to_canonical() {
        IpAddr::V4(a) => a.to_ipv6_mapped().into(),
        IpAddr::V6(a) => a.into(),
    }
}

fn first(value: u128, length: u8) -> u128 {
    value & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl Networks {
    /// Reads a table: one route a line, `PREFIX AS` or `ADDRESS BITS AS` with blanks or tabs
    /// between, as collectors of routes publish it. Of several origins (`1_2`, `{1,2}`) the first
    /// counts. `#`, `;` and `%` begin a comment. The error names the line.
    pub fn read(text: &str) -> Result<Networks, String> {
        let mut routes = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';', '%']) {
                continue;
            }
            routes.push(route(line).ok_or_else(|| {
                format!(
                    "line {}: `{}` is no `PREFIX AS`",
                    n + 1,
                    line.escape_debug()
                )
            })?);
        }
        routes.sort_unstable();
        // The first of several that announce the same prefix counts.
        routes.dedup_by_key(|r| (r.0, r.1));
        let mut lengths: Vec<u8> = routes.iter().map(|r| r.1).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Ok(Networks { routes, lengths })
    }

    /// The network of a host: that of the longest route which covers it.
    pub fn of(&self, addr: IpAddr) -> Network {
        let value = bits(addr);
        for length in &self.lengths {
            let wanted = (first(value, *length), *length);
            if let Ok(at) = self.routes.binary_search_by_key(&wanted, |r| (r.0, r.1)) {
                return Network::As(self.routes[at].2);
            }
        }
        Network::Wide(match addr.to_canonical() {
            IpAddr::V4(a) => IpAddr::V4((u32::from(a) & 0xffff_0000).into()),
            IpAddr::V6(a) => IpAddr::V6((u128::from(a) >> 96 << 96).into()),
        })
    }
}

fn route(line: &str) -> Option<(u128, u8, u32)> {
    let mut words = line.split_whitespace();
    let net = words.next()?;
    let (addr, length) = match net.split_once('/') {
        Some((addr, length)) => (addr, length),
        None => (net, words.next()?),
    };
    let addr: IpAddr = addr.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    let origin = words.next()?.trim_start_matches(['A', 'S', 'a', 's', '{']);
    let digits = origin
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(origin.len());
    let origin = origin[..digits].parse().ok()?;
    let length = match addr {
        IpAddr::V4(_) if length <= 32 => length + 96,
        IpAddr::V6(_) if length <= 128 => length,
        _ => return None,
    };
    Some((first(bits(addr), length), length, origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(table: &Networks, addr: &str) -> String {
        table.of(addr.parse().unwrap()).to_string()
    }

    #[test]
    fn the_longest_route_names_the_network() {
        let text = "# routes\n192.0.0.0/8 1\n192.0.2.0\t24\t64500\n\n2001:db8::/32 AS64501\n198.51.100.0/24 {7,8}\n203.0.113.0 24 9_10\n";
        let table = Networks::read(text).unwrap();
        let said: Vec<String> = [
            "192.0.2.9",
            "192.1.1.1",
            "2001:db8:5::1",
            "198.51.100.1",
            "203.0.113.7",
            "10.1.2.3",
            "2001:db9:1::2",
        ]
        .iter()
        .map(|a| of(&table, a))
        .collect();
        assert_eq!(
            said,
            [
                "AS64500",
                "AS1",
                "AS64501",
                "AS7",
                "AS9",
                "10.1.0.0/16",
                "2001:db9::/32"
            ]
        );
        assert_eq!(of(&table, "::ffff:192.0.2.9"), "AS64500");
        assert_eq!(of(&Networks::default(), "192.0.2.9"), "192.0.0.0/16");
    }

    #[test]
    fn a_line_that_is_no_route_is_named() {
        for (line, text) in [
            ("x", "x"),
            ("10.0.0.0/33 1", "/33"),
            ("10.0.0.0 1", "10.0.0.0 1"),
            ("2001:db8::/129 1", "129"),
            ("10.0.0.0/8 -", "-"),
        ] {
            let said = Networks::read(&format!("10.0.0.0/8 1\n{line}\n")).unwrap_err();
            assert!(said.starts_with("line 2") && said.contains(text), "{said}");
        }
    }

    proptest! {
        /// Against a walk over all routes.
        #[test]
        fn it_is_what_a_walk_over_all_routes_finds(routes in proptest::collection::vec((any::<u8>(), 0u8..=12, 1u32..50), 0..20), addr: u16) {
            let text: String = routes.iter().map(|(a, len, n)| format!("10.{a}.0.0 {} {n}\n", len + 8)).collect();
            let table = Networks::read(&text).unwrap();
            let addr = u32::from(std::net::Ipv4Addr::new(10, (addr >> 8) as u8, addr as u8, 1));
            let covers = |(a, len, _): &&(u8, u8, u32)| {
                let shift = 32 - u32::from(len + 8);
                addr >> shift == u32::from(std::net::Ipv4Addr::new(10, *a, 0, 0)) >> shift
            };
            let longest = routes.iter().filter(covers).map(|r| r.1).max();
            let said: Vec<u32> = routes.iter().filter(covers).filter(|r| Some(r.1) == longest).map(|r| r.2).collect();
            match table.of(IpAddr::V4(addr.into())) {
                Network::As(n) => prop_assert!(said.contains(&n)),
                Network::Wide(_) => prop_assert!(said.is_empty()),
            }
        }
    }
}
