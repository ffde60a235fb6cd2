//! Subjects that cannot be listed without permission: special-purpose ranges, and prefixes that are
//! too wide.

use super::{
    prefix::{MIN_LISTED_LEN4, MIN_LISTED_LEN6, Prefix4, Prefix6},
    subject::Subject,
};

/// IANA's IPv4 special-purpose address registry (RFC 6890 and its updates), multicast and 240/4.
const SPECIAL4: [([u8; 4], u8); 18] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([192, 175, 48, 0], 24),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// IANA's IPv6 special-purpose address registry, and multicast: the first 64 bits, and the length.
const SPECIAL6: [(u64, u8); 13] = [
    (0, 96), // ::, ::1 and the deprecated IPv4-compatible addresses
    (0x0064_ff9b_0000_0000, 96),
    (0x0064_ff9b_0001_0000, 48),
    (0x0100_0000_0000_0000, 64),
    (0x0100_0000_0000_0001, 64),
    (0x2001_0000_0000_0000, 23),
    (0x2001_0db8_0000_0000, 32),
    (0x2002_0000_0000_0000, 16),
    (0x2620_004f_8000_0000, 48),
    (0x3fff_0000_0000_0000, 20),
    (0x5f00_0000_0000_0000, 16),
    (0xfc00_0000_0000_0000, 7),
    (0xfe00_0000_0000_0000, 7), // link-local, site-local and multicast
];

/// Why a subject cannot be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unlistable {
    /// It is 127.0.0.1 or the name `invalid`, which a DNSBL must not list (RFC 5782 section 5).
    #[error("127.0.0.1 and `invalid` are never listed (RFC 5782)")]
    Never,
    /// It is a test point, which every zone has anyway.
    #[error("it is a test point, which every zone has anyway (RFC 5782)")]
    TestPoint,
    /// It is a prefix that contains 127.0.0.1 or its IPv4-mapped form.
    #[error("it contains 127.0.0.1 or ::ffff:127.0.0.1, which are never listed (RFC 5782)")]
    HoldsNever,
    /// It overlaps a special-purpose range; `--allow-special-ranges` permits it.
    #[error("it is in a special-purpose range; use --allow-special-ranges to list it nevertheless")]
    Special,
    /// It is wider than /8 (IPv6 /19).
    #[error("it is wider than /8 (IPv6: /19)")]
    TooWide,
}

/// The reason why a subject cannot be listed without a permission; `None`: it can. `allowed` are
/// the special-purpose ranges that the configuration permits.
pub fn unlistable(subject: &Subject, allowed: &[Subject]) -> Option<Unlistable> {
    match subject {
        Subject::V4(p) => match p {
            _ if p.len() < MIN_LISTED_LEN4 => Some(Unlistable::TooWide),
            _ if p.first() == 0x7f00_0001 && p.is_host() => Some(Unlistable::Never),
            _ if p.is_host() && p.first() >> 8 == 0x007f_0000 => Some(Unlistable::TestPoint),
            _ if TESTS4.contains(*p) || p.contains(TESTS4) => Some(Unlistable::HoldsNever),
            _ if allowed.iter().any(|a| a.covers(subject)) => None,
            _ if special4().any(|s| s.contains(*p) || p.contains(s)) => Some(Unlistable::Special),
            _ => None,
        },
        Subject::V6(p) => match p {
            _ if p.len() < MIN_LISTED_LEN6 => Some(Unlistable::TooWide),
            _ if p.contains(Prefix6::host(0xffff << 32)) => Some(Unlistable::HoldsNever),
            _ if allowed.iter().any(|a| a.covers(subject)) => None,
            _ if special6().any(|s| s.contains(*p) || p.contains(s)) => Some(Unlistable::Special),
            _ => None,
        },
        Subject::Domain(d) => match d.name() {
            "invalid" => Some(Unlistable::Never),
            "test" => Some(Unlistable::TestPoint),
            name if name.ends_with(".invalid") => Some(Unlistable::Special),
            _ => None,
        },
    }
}

/// The prefix that has the IPv4 test points.
const TESTS4: Prefix4 = Prefix4::network(0x7f00_0000, 24);

fn special4() -> impl Iterator<Item = Prefix4> {
    SPECIAL4
        .iter()
        .map(|(a, l)| Prefix4::new(u32::from_be_bytes(*a), *l))
}

fn special6() -> impl Iterator<Item = Prefix6> {
    SPECIAL6
        .iter()
        .map(|(a, l)| Prefix6::new(u128::from(*a) << 64, *l))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b25_special_ranges_need_permission() {
        let why = |s: &str| unlistable(&s.parse().unwrap(), &["127.64.0.0/10".parse().unwrap()]);
        for s in [
            "10.1.2.3",
            "192.0.2.0/24",
            "192.0.0.0/16",
            "224.1.1.1",
            "255.255.255.255",
            "2001:db8::1",
            "fe80::1",
            "ff02::1",
            "::1",
        ] {
            assert_eq!(why(s), Some(Unlistable::Special), "{s}");
        }
        for s in ["4.0.0.0/6", "0.0.0.0/0", "2000::/18", "::/0"] {
            assert_eq!(why(s), Some(Unlistable::TooWide), "{s}");
        }
        assert_eq!(why("127.0.0.1"), Some(Unlistable::Never));
        assert_eq!(why("127.0.0.2"), Some(Unlistable::TestPoint));
        assert_eq!(why("::ffff:127.0.0.2"), Some(Unlistable::TestPoint));
        assert_eq!(why("test"), Some(Unlistable::TestPoint));
        for s in [
            "8.8.8.8",
            "9.0.0.0/8",
            "2a00::/19",
            "2606:4700::1",
            "a.b",
            "127.64.3.0/24",
        ] {
            assert_eq!(why(s), None, "{s}");
        }
        for s in [
            "127.0.0.0/8",
            "127.0.0.0/24",
            "127.0.0.0/30",
            "127.0.0.2/31",
            "::/32",
            "::8000:0:0/81",
            "::fffe:0:0/95",
        ] {
            assert_eq!(why(s), Some(Unlistable::HoldsNever), "{s}");
        }
        assert_eq!(why("127.0.0.0/9"), Some(Unlistable::HoldsNever));
        assert_eq!(
            why("127.128.0.0/9"),
            Some(Unlistable::Special),
            "permission for a part does not permit the whole"
        );
    }
}
