//! Subjects: the addresses, prefixes and domains that can be listed.

use std::{
    cmp::Ordering,
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use super::{
    domain::{Domain, Scope},
    prefix::{MIN_LISTED_LEN4, MIN_LISTED_LEN6, Prefix4, Prefix6},
    publish::SubjectFamily,
};

/// Whether a subject can cover others: it is neither a single address nor a single name.
pub fn covers_others(subject: &Subject) -> bool {
    match subject {
        Subject::V4(p) => !p.is_host(),
        Subject::V6(p) => !p.is_host(),
        Subject::Domain(d) => d.scope().below(),
    }
}

/// An IPv4 address or prefix, an IPv6 address or prefix, or a domain.
///
/// In canonical order IPv4 prefixes come first, then IPv4 addresses, then IPv6, then domains.
/// Each of these is ordered by address, and then the wider one first. The bytes of [`Subject::key`]
/// have the same order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An IPv4 address (length 32) or prefix.
    V4(Prefix4),
    /// An IPv6 address (length 128) or prefix.
    V6(Prefix6),
    /// A domain name with its scope.
    Domain(Domain),
}

/// The treatment of a prefix whose host bits are set, such as `192.0.2.7/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostBits {
    /// An error, because most often the length or the address is mistyped.
    #[default]
    Refuse,
    /// The host bits are cleared.
    Clear,
}

/// The first byte of a key: the kind of the subject.
pub mod tag {
    /// IPv4 prefixes shorter than 32.
    pub const NET4: u8 = 1;
    /// IPv4 addresses.
    pub const HOST4: u8 = 2;
    /// IPv6, any length.
    pub const NET6: u8 = 3;
    /// Domains.
    pub const DOMAIN: u8 = 4;
}

impl Subject {
    /// A single IPv4 address.
    pub fn host4(addr: u32) -> Subject {
        Subject::V4(Prefix4::host(addr))
    }

    /// The family.
    pub fn family(&self) -> SubjectFamily {
        match self {
            Subject::V4(_) => SubjectFamily::Ipv4,
            Subject::V6(_) => SubjectFamily::Ipv6,
            Subject::Domain(_) => SubjectFamily::Name,
        }
    }

    /// Reads an address, a prefix (`192.0.2.0/24`, `2001:db8::/32`) or a domain (`a.b`, `*.a.b`,
    /// `.a.b`).
    ///
    /// `::ffff:192.0.2.1` is the IPv4 address.
    ///
    /// # Errors
    ///
    /// Says why the text is not a subject, and what is accepted.
    pub fn parse(text: &str, host_bits: HostBits) -> Result<Subject, String> {
        let (addr, len) = match text.split_once('/') {
            Some((a, l)) => (a, Some(l)),
            None => (text, None),
        };
        let Ok(addr) = addr.parse::<IpAddr>() else {
            if addr.contains(':') {
                return Err(format!("`{text}` is not an IPv6 address or prefix"));
            }
            return Domain::parse(text).map(Subject::Domain);
        };
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        let len = match len {
            None => bits,
            Some(l) => match l.parse::<u8>() {
                Ok(n) if n <= bits && l.bytes().all(|b| b.is_ascii_digit()) => n,
                _ => {
                    return Err(format!(
                        "`{text}`: a prefix length is a number from 0 to {bits}"
                    ));
                }
            },
        };
        let (subject, clean) = match addr {
            IpAddr::V4(a) => {
                let p = Prefix4::new(a.to_bits(), len);
                (Subject::V4(p), p.first() == a.to_bits())
            }
            IpAddr::V6(a) => {
                let p = Prefix6::new(a.to_bits(), len);
                (Subject::V6(p), p.first() == a.to_bits())
            }
        };
        if !clean && host_bits == HostBits::Refuse {
            return Err(format!(
                "`{text}` has host bits set; the prefix is {subject}"
            ));
        }
        Ok(subject.unmapped())
    }

    /// Converts IPv4-mapped addresses and prefixes (in `::ffff:0:0/96`) to IPv4.
    #[must_use]
    pub fn unmapped(self) -> Subject {
        const MAPPED: u128 = 0xffff << 32;
        match self {
            Subject::V6(p) if p.len() >= 96 && p.first() >> 32 == MAPPED >> 32 => {
                Subject::V4(Prefix4::new(p.first() as u32, p.len() - 96))
            }
            s => s,
        }
    }

    /// The number of addresses that it covers: 0 for a domain; `u128::MAX` for all of IPv6.
    pub fn addresses(&self) -> u128 {
        match self {
            Subject::V4(p) => 1u128 << (Prefix4::BITS - p.len()),
            Subject::V6(p) => 1u128
                .checked_shl(u32::from(Prefix6::BITS - p.len()))
                .unwrap_or(u128::MAX),
            Subject::Domain(_) => 0,
        }
    }

    /// A single address; an IPv4-mapped one is converted to IPv4.
    pub fn host(addr: IpAddr) -> Subject {
        match addr.to_canonical() {
            IpAddr::V4(a) => Subject::host4(a.to_bits()),
            IpAddr::V6(a) => Subject::V6(Prefix6::host(a.to_bits())),
        }
    }

    /// Whether this subject covers `other` or is equal to it.
    pub fn covers(&self, other: &Subject) -> bool {
        match (self, other) {
            (Subject::V4(a), Subject::V4(b)) => a.contains(*b),
            (Subject::V6(a), Subject::V6(b)) => a.contains(*b),
            (Subject::Domain(a), Subject::Domain(b)) => a.covers(b),
            _ => false,
        }
    }

    /// The subjects that could cover this one, the nearest first.
    pub fn wider(&self) -> Vec<Subject> {
        match self {
            Subject::V4(p) => (MIN_LISTED_LEN4..p.len())
                .rev()
                .map(|l| Subject::V4(p.widen(l)))
                .collect(),
            Subject::V6(p) => (MIN_LISTED_LEN6..p.len())
                .rev()
                .map(|l| Subject::V6(p.widen(l)))
                .collect(),
            Subject::Domain(d) => {
                let above = d.name().match_indices('.').map(|(i, _)| &d.name()[i + 1..]);
                let domain = |name, scope| Subject::Domain(Domain::from_canonical(name, scope));
                let own = (d.scope() != Scope::Tree).then(|| domain(d.name(), Scope::Tree));
                let above = above.flat_map(|n| [domain(n, Scope::Below), domain(n, Scope::Tree)]);
                own.into_iter().chain(above).collect()
            }
        }
    }

    /// The subject as bytes that have the order of subjects; [`Subject::from_key`] reads them back.
    pub fn key(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        self.write_key(&mut out);
        out
    }

    /// Appends the key to `out`.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Subject::V4(p) if p.is_host() => {
                out.push(tag::HOST4);
                out.extend(p.first().to_be_bytes());
            }
            Subject::V4(p) => {
                out.push(tag::NET4);
                out.extend(p.first().to_be_bytes());
                out.push(p.len());
            }
            Subject::V6(p) => {
                out.push(tag::NET6);
                out.extend(p.first().to_be_bytes());
                out.push(p.len());
            }
            Subject::Domain(d) => {
                out.push(tag::DOMAIN);
                for label in d.name().rsplit('.') {
                    out.extend(label.as_bytes());
                    out.push(0);
                }
                // Less than any byte of a label, so that a name precedes the names below it.
                out.push(1 + d.scope() as u8);
            }
        }
    }

    /// Reads a key; `None` if the bytes are not a valid key.
    pub fn from_key(key: &[u8]) -> Option<Subject> {
        let (&tag, rest) = key.split_first()?;
        match tag {
            tag::HOST4 => Some(Subject::host4(u32::from_be_bytes(rest.try_into().ok()?))),
            tag::NET4 => {
                let (a, l) = rest.split_at_checked(4)?;
                let (addr, len) = (u32::from_be_bytes(a.try_into().ok()?), single(l)?);
                let p = Prefix4::new(addr, len);
                (len < 32 && p.first() == addr).then_some(Subject::V4(p))
            }
            tag::NET6 => {
                let (a, l) = rest.split_at_checked(16)?;
                let (addr, len) = (u128::from_be_bytes(a.try_into().ok()?), single(l)?);
                let p = Prefix6::new(addr, len);
                (len <= 128 && p.first() == addr).then_some(Subject::V6(p))
            }
            tag::DOMAIN => {
                let (&scope, labels) = rest.split_last()?;
                let scope = *[Scope::Name, Scope::Below, Scope::Tree]
                    .get(usize::from(scope).checked_sub(1)?)?;
                let labels = std::str::from_utf8(labels.strip_suffix(&[0])?)
                    .ok()
                    .filter(|l| !l.contains('.'))?;
                let name: Vec<&str> = labels.rsplit('\0').collect();
                let name = name.join(".");
                let sound = super::domain::any_name_to_ascii(&name).is_ok_and(|n| *n == *name);
                sound.then(|| Subject::Domain(Domain::from_canonical(&name, scope)))
            }
            _ => None,
        }
    }

    /// Whether it is an address or a prefix (and not a domain).
    pub fn is_address(&self) -> bool {
        !matches!(self, Subject::Domain(_))
    }

    /// Whether it is a single IPv6 address.
    pub fn is_ipv6_address(&self) -> bool {
        matches!(self, Subject::V6(p) if p.is_host())
    }
}

fn single(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b] => Some(*b),
        _ => None,
    }
}

impl Ord for Subject {
    fn cmp(&self, other: &Subject) -> Ordering {
        match (self, other) {
            (Subject::V4(a), Subject::V4(b)) => a.is_host().cmp(&b.is_host()).then(a.cmp(b)),
            (Subject::V6(a), Subject::V6(b)) => a.cmp(b),
            (Subject::Domain(a), Subject::Domain(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Subject {
    fn rank(&self) -> u8 {
        match self {
            Subject::V4(_) => 0,
            Subject::V6(_) => 1,
            Subject::Domain(_) => 2,
        }
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Subject) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Subject {
    type Err = String;
    fn from_str(s: &str) -> Result<Subject, String> {
        Subject::parse(s, HostBits::Refuse)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::V4(p) => p.fmt(f),
            // `Ipv6Addr` prints a dotted quad only for IPv4-mapped addresses, which are IPv4 here.
            Subject::V6(p) if p.is_host() => Ipv6Addr::from(p.first()).fmt(f),
            Subject::V6(p) => p.fmt(f),
            Subject::Domain(d) => d.fmt(f),
        }
    }
}

impl serde::Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Subject, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any subject.
    pub fn any_subject() -> impl Strategy<Value = Subject> {
        prop_oneof![
            (any::<u32>(), 0u8..=32).prop_map(|(a, l)| Subject::V4(Prefix4::new(a, l))),
            (any::<u128>(), 0u8..=128)
                .prop_map(|(a, l)| Subject::V6(Prefix6::new(a, l)).unmapped()),
            ("[a-z][a-z0-9-]{0,8}(\\.[a-z]{1,5}){0,3}", 0..3usize)
                .prop_filter("an A-label that does not decode", |(n, _)| !n
                    .starts_with("xn--"))
                .prop_map(|(n, s)| Subject::Domain(Domain::from_canonical(
                    &n,
                    [Scope::Name, Scope::Below, Scope::Tree][s]
                ))),
        ]
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(s in any_subject()) {
            prop_assert_eq!(s.to_string().parse::<Subject>(), Ok(s));
        }

        #[test]
        fn keys_keep_the_order_and_read_back(a in any_subject(), b in any_subject()) {
            prop_assert_eq!(a.key().cmp(&b.key()), a.cmp(&b));
            prop_assert_eq!(Subject::from_key(&a.key()), Some(a));
        }

        #[test]
        fn bytes_that_read_as_a_subject_are_its_key(bytes: Vec<u8>) {
            if let Some(s) = Subject::from_key(&bytes) {
                prop_assert_eq!(s.key(), bytes);
            }
        }

        #[test]
        fn parsing_any_text_gives_a_subject_or_an_error(text in ".{0,80}") {
            match Subject::parse(&text, HostBits::Refuse) {
                Ok(s) => prop_assert_eq!(s.to_string().parse::<Subject>(), Ok(s)),
                Err(e) => prop_assert!(!e.is_empty()),
            }
        }

        #[test]
        fn clearing_host_bits_gives_the_containing_prefix(a: u32, len in 0u8..=32) {
            let text = format!("{}/{len}", std::net::Ipv4Addr::from(a));
            prop_assert_eq!(Subject::parse(&text, HostBits::Clear), Ok(Subject::V4(Prefix4::new(a, len))));
        }
    }

    /// Lists of domains contain such names, and their keys have to be readable.
    #[test]
    fn numeric_name_is_a_domain_only_in_lists_of_domains() {
        for text in ["1", "4.3.2.45", "*.123", ".1.2"] {
            let s = Subject::Domain(Domain::parse_any(text).unwrap());
            assert_eq!(Subject::from_key(&s.key()), Some(s));
        }
        assert!(
            "123".parse::<Subject>().is_err(),
            "on a command line it is refused as mistyped"
        );
        let digits = "12345678901234567890123456789012";
        assert_eq!(
            digits.parse::<Subject>().unwrap().to_string(),
            digits,
            "more digits than an address can have: a digest"
        );
    }

    #[test]
    fn key_with_a_dot_in_a_label_is_not_valid() {
        assert_eq!(Subject::from_key(b"\x04a.b\0\x01"), None);
        assert_eq!(Subject::from_key(b"\x04b\0a\0\x01"), "a.b".parse().ok());
    }

    #[test]
    fn subjects_print_in_canonical_form() {
        let show = |s: &str| s.parse::<Subject>().map(|s| s.to_string());
        assert_eq!(show("::ffff:192.0.2.1").unwrap(), "192.0.2.1");
        assert_eq!(show("::ffff:192.0.2.0/120").unwrap(), "192.0.2.0/24");
        assert_eq!(show("2001:DB8:0::/32").unwrap(), "2001:db8::/32");
        assert!(show("192.0.2.7/24").unwrap_err().contains("192.0.2.0/24"));
        assert!(show("192.0.2.0/33").unwrap_err().contains("0 to 32"));
        assert!(show("192.0.2").unwrap_err().contains("four octets"));
        assert!(
            show("192.0.2.256").is_err() && show("192.0.2.01").is_err() && show("1::2::3").is_err()
        );
    }
}
