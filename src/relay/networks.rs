//! Maps hosts to networks: to the autonomous system in a routing table, or else to a wide prefix.
//! Budgets are counted by network (safety rule S3).

use std::{collections::HashMap, net::IpAddr};

/// The prefix lengths of networks whose AS is not known: IPv4 /16, IPv6 /32.
const WIDE: [u8; 2] = [16, 32];

/// A routing table: prefixes and the number of the AS that announces each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// First address, prefix length and AS, sorted. IPv4 prefixes are mapped into IPv6.
    routes: Vec<(u128, u8, u32)>,
    /// The prefix lengths that occur, the longest first.
    lengths: Vec<u8>,
    /// The names of the holders of some autonomous systems.
    holders: HashMap<u32, Box<str>>,
}

/// The network of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// An autonomous system, by its number.
    As(u32),
    /// A wide prefix, by its first address.
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

/// Returns the first address of the prefix whose hosts share a budget, and in which two inputs
/// count as one: a /24 (IPv6: /48).
pub fn prefix_of(addr: IpAddr) -> IpAddr {
    first_address(addr, [24, 48])
}

/// Returns the first address of the prefix of a host, by its lengths for IPv4 and IPv6.
fn first_address(addr: IpAddr, lengths: [u8; 2]) -> IpAddr {
    let length = match addr.to_canonical() {
        IpAddr::V4(_) => 96 + lengths[0],
        IpAddr::V6(_) => lengths[1],
    };
    IpAddr::from(first(bits(addr), length).to_be_bytes()).to_canonical()
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
    /// Parses a routing table with one route on each line: `PREFIX AS`, or `ADDRESS LENGTH AS` as
    /// route collectors publish it, separated by blanks or tabs. Of several origins (`1_2`,
    /// `{1,2}`) the first counts. The rest of a line is the name of the holder. `#`, `;` and `%`
    /// begin a comment line.
    ///
    /// # Errors
    ///
    /// A line is not a route; the text names it.
    pub fn read(text: &str) -> Result<Networks, String> {
        let (mut routes, mut holders) = (Vec::new(), HashMap::new());
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';', '%']) {
                continue;
            }
            let invalid = || {
                let line = line.escape_debug();
                format!("line {}: `{line}` is not a route (PREFIX AS)", n + 1)
            };
            let (route, holder) = route(line).ok_or_else(invalid)?;
            routes.push(route);
            if !holder.is_empty() {
                let name = crate::model::text::replace_controls(&holder);
                holders.entry(route.2).or_insert_with(|| name.into());
            }
        }
        routes.sort_unstable();
        // If several AS announce the same prefix, the lowest number counts.
        routes.dedup_by_key(|r| (r.0, r.1));
        let mut lengths: Vec<u8> = routes.iter().map(|r| r.1).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Ok(Networks {
            routes,
            lengths,
            holders,
        })
    }

    /// Returns the name of the holder of an autonomous system, if the table has it.
    pub fn holder(&self, asn: u32) -> Option<&str> {
        self.holders.get(&asn).map(|h| &**h)
    }

    /// Returns the network of a host, by the longest matching route.
    pub fn of(&self, addr: IpAddr) -> Network {
        let value = bits(addr);
        for length in &self.lengths {
            let wanted = (first(value, *length), *length);
            if let Ok(at) = self.routes.binary_search_by_key(&wanted, |r| (r.0, r.1)) {
                return Network::As(self.routes[at].2);
            }
        }
        Network::Wide(first_address(addr, WIDE))
    }
}

/// Reads a route, and the name of the holder after it.
fn route(line: &str) -> Option<((u128, u8, u32), String)> {
    let mut words = line.split_whitespace();
    let prefix = words.next()?;
    let (addr, length) = match prefix.split_once('/') {
        Some((addr, length)) => (addr, length),
        None => (prefix, words.next()?),
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
    let holder = words.collect::<Vec<_>>().join(" ");
    Some(((first(bits(addr), length), length, origin), holder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(table: &Networks, addr: &str) -> String {
        table.of(addr.parse().unwrap()).to_string()
    }

    #[test]
    fn longest_matching_route_gives_the_network() {
        let text = "# routes\n192.0.0.0/8 1\n192.0.2.0\t24\t64500\n\n2001:db8::/32 AS64501\n198.51.100.0/24 {7,8}\n203.0.113.0 24 9_10\n";
        let table = Networks::read(text).unwrap();
        let found: Vec<String> = [
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
            found,
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
    fn rest_of_a_line_is_the_holder() {
        let table =
            Networks::read("45.51.0.0/16 64500 Example  Net, Ltd\n45.52.0.0 16 AS64501\n").unwrap();
        assert_eq!(table.holder(64500), Some("Example Net, Ltd"));
        assert_eq!(table.holder(64501), None);
    }

    #[test]
    fn invalid_line_is_named_in_the_error() {
        for (line, text) in [
            ("x", "x"),
            ("10.0.0.0/33 1", "/33"),
            ("10.0.0.0 1", "10.0.0.0 1"),
            ("2001:db8::/129 1", "129"),
            ("10.0.0.0/8 -", "-"),
        ] {
            let found = Networks::read(&format!("10.0.0.0/8 1\n{line}\n")).unwrap_err();
            assert!(
                found.starts_with("line 2") && found.contains(text),
                "{found}"
            );
        }
    }

    proptest! {
        /// Compares the table with a search through all routes.
        #[test]
        fn look_up_equals_a_search_through_all_routes(routes in proptest::collection::vec((any::<u8>(), 0u8..=12, 1u32..50), 0..20), addr: u16) {
            let text: String = routes.iter().map(|(a, len, n)| format!("10.{a}.0.0 {} {n}\n", len + 8)).collect();
            let table = Networks::read(&text).unwrap();
            let addr = u32::from(std::net::Ipv4Addr::new(10, (addr >> 8) as u8, addr as u8, 1));
            let covers = |(a, len, _): &&(u8, u8, u32)| {
                let shift = 32 - u32::from(len + 8);
                addr >> shift == u32::from(std::net::Ipv4Addr::new(10, *a, 0, 0)) >> shift
            };
            let longest = routes.iter().filter(covers).map(|r| r.1).max();
            let found: Vec<u32> = routes.iter().filter(covers).filter(|r| Some(r.1) == longest).map(|r| r.2).collect();
            match table.of(IpAddr::V4(addr.into())) {
                Network::As(n) => prop_assert!(found.contains(&n)),
                Network::Wide(_) => prop_assert!(found.is_empty()),
            }
        }
    }
}
