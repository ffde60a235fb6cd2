//! Addresses as `Received` lines spell them, and those that are private.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

use crate::model::{Prefix4, Prefix6};

/// RFC 1918, loopback, link-local, and shared address space (RFC 6598).
const PRIVATE4: [Prefix4; 6] = [
    Prefix4::network(0x0a00_0000, 8),
    Prefix4::network(0x6440_0000, 10),
    Prefix4::network(0x7f00_0000, 8),
    Prefix4::network(0xa9fe_0000, 16),
    Prefix4::network(0xac10_0000, 12),
    Prefix4::network(0xc0a8_0000, 16),
];
/// Loopback, unique local (RFC 4193), link-local, and site-local (deprecated by RFC 3879).
const PRIVATE6: [Prefix6; 4] = [
    Prefix6::network(1, 128),
    Prefix6::network(0xfc00 << 112, 7),
    Prefix6::network(0xfe80 << 112, 10),
    Prefix6::network(0xfec0 << 112, 10),
];
/// "This network", multicast, and the reserved addresses: no client of a server has one.
const UNUSABLE4: [Prefix4; 3] = [
    Prefix4::network(0, 8),
    Prefix4::network(0xe000_0000, 4),
    Prefix4::network(0xf000_0000, 4),
];
/// The unspecified address and multicast.
const UNUSABLE6: [Prefix6; 2] = [Prefix6::network(0, 128), Prefix6::network(0xff00 << 112, 8)];
/// The longest address with a port and a zone identifier, in bytes.
const MAX_ADDRESS_BYTES: usize = 80;

/// Whether an address is private: RFC 1918, shared address space (100.64.0.0/10), loopback,
/// link-local, unique local, or an IPv6 form of a private IPv4 address (IPv4-mapped,
/// IPv4-compatible, 6to4, NAT64).
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(a) => is_private4(a.to_bits()),
        IpAddr::V6(a) => {
            let bits = a.to_bits();
            PRIVATE6.iter().any(|p| p.contains(Prefix6::host(bits)))
                || embedded4(bits).is_some_and(is_private4)
        }
    }
}

fn is_private4(bits: u32) -> bool {
    PRIVATE4.iter().any(|p| p.contains(Prefix4::host(bits)))
}

/// The IPv4 address in an IPv4-compatible, 6to4 (RFC 3056) or NAT64 (RFC 6052) address.
fn embedded4(bits: u128) -> Option<u32> {
    const NAT64: u128 = 0x0064_ff9b << 96;
    if bits >> 112 == 0x2002 {
        return Some((bits >> 80) as u32);
    }
    matches!(bits >> 32 << 32, 0 | NAT64).then_some(bits as u32)
}

/// Whether a client of a server can have an address.
fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !UNUSABLE4
            .iter()
            .any(|p| p.contains(Prefix4::host(a.to_bits()))),
        IpAddr::V6(a) => !UNUSABLE6
            .iter()
            .any(|p| p.contains(Prefix6::host(a.to_bits()))),
    }
}

/// Reads `[192.0.2.1]`, `[IPv6:2001:db8::1]`, `[192.0.2.1]:25`, `[192.0.2.1:25]` and the like.
pub(super) fn bracketed(word: &str) -> Option<IpAddr> {
    let (inner, port) = word
        .trim_end_matches(',')
        .strip_prefix('[')?
        .rsplit_once(']')?;
    let is_port = |p: &str| p.bytes().all(|b| b.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    plain(inner)
}

/// Reads an address without brackets, with or without `IPv6:` and a port or a zone identifier. The
/// dots may be written as `[.]`, which keeps programs from making a link of it.
pub(super) fn plain(word: &str) -> Option<IpAddr> {
    if word.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    let word = word.replace("[.]", ".").replace("[:]", ":");
    let word = match word.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => &word[5..],
        _ => word.as_str(),
    };
    let address: IpAddr = match (word.parse::<IpAddr>(), word.split_once('%')) {
        (Ok(address), _) => address,
        (Err(_), Some((address, _))) => address.parse::<Ipv6Addr>().ok()?.into(),
        (Err(_), None) => {
            let ip: Ipv4Addr = *word.parse::<SocketAddrV4>().ok()?.ip();
            ip.into()
        }
    };
    Some(address.to_canonical()).filter(|a| is_usable(*a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_private_in_every_form() {
        for text in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.9.9",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "::ffff:10.1.2.3",
            "::ffff:100.64.0.1",
            "::127.0.0.1",
            "2002:a05:6512:3d1::1",
            "2002:c0a8:101::1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.2.1",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.0",
            "::ffff:192.0.2.1",
            "2001:db8::1",
            "2002:c000:201::1",
            "64:ff9b::192.0.2.1",
            "fbff::1",
            "::2:0:0:1",
        ] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_in_every_spelling() {
        for (text, expected) in [
            ("[192.0.2.1]", Some("192.0.2.1")),
            ("[192.0.2.1]:4411", Some("192.0.2.1")),
            ("[192.0.2.1:4411]", Some("192.0.2.1")),
            ("[192[.]0[.]2[.]1]", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]", Some("192.0.2.1")),
            ("[IPv6:2001:db8::1]", Some("2001:db8::1")),
            ("[ipv6:2001:db8::1]:25", Some("2001:db8::1")),
            ("[fe80::1%eth0]", Some("fe80::1")),
            ("[192.0.2.1", None),
            ("192.0.2.1]", None),
            ("[192.0.2.1]x", None),
            ("[192.0.2.256]", None),
            ("[0.0.0.0]", None),
            ("[255.255.255.255]", None),
            ("[::]", None),
            ("[ff02::1]", None),
            ("[224.0.0.1]", None),
            ("[unix", None),
        ] {
            let expected = expected.map(|e| e.parse::<IpAddr>().unwrap());
            assert_eq!(bracketed(text), expected, "{text}");
        }
    }
}
