//! The addresses that a domain zone publishes besides names, under their reversed octets or
//! nibbles, for clients that ask for literal hosts of URIs.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    domain::Domain,
    prefix::{MIN_LISTED_LEN6, Prefix4, Prefix6},
    subject::Subject,
};

/// The value of `addresses` in a zone file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ZoneAddresses {
    /// `false`: no addresses.
    #[default]
    None,
    /// `true`: IPv4.
    Ip4,
    /// `"both"`: IPv4 and IPv6.
    Both,
}

impl ZoneAddresses {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == ZoneAddresses::None
    }

    /// What either of two has.
    #[must_use]
    pub fn or(self, other: ZoneAddresses) -> ZoneAddresses {
        match (self, other) {
            (ZoneAddresses::Both, _) | (_, ZoneAddresses::Both) => ZoneAddresses::Both,
            (ZoneAddresses::Ip4, _) | (_, ZoneAddresses::Ip4) => ZoneAddresses::Ip4,
            (ZoneAddresses::None, ZoneAddresses::None) => ZoneAddresses::None,
        }
    }

    /// Whether a label next to the zone's origin is part of an address: an octet, or with IPv6 a
    /// nibble. A zone with addresses has no names below such a label. No domain of the public DNS
    /// ends in one (RFC 3696 section 2; top-level domains have at least two characters).
    pub fn is_label(self, label: &[u8]) -> bool {
        let is_nibble = || matches!(label, [b'0'..=b'9' | b'a'..=b'f']);
        match self {
            ZoneAddresses::None => false,
            ZoneAddresses::Ip4 => octet(label).is_some(),
            ZoneAddresses::Both => octet(label).is_some() || is_nibble(),
        }
    }

    /// The address or prefix for which clients ask by the names of a domain: `7.100.51.45` is
    /// 45.51.100.7, and `*.100.51.45` is 45.51.100.0/24. `None` if the names are not those of one
    /// address or prefix of these families.
    pub fn asked_subject(self, domain: &Domain) -> Option<Subject> {
        let labels = || domain.name().rsplit('.');
        let (count, scope) = (labels().count(), domain.scope());
        // Clients ask for whole addresses, so only a wildcard can stand for a prefix.
        let is_asked = |whole: usize| match count == whole {
            true => scope.name(),
            false => scope.below(),
        };
        if !self.is_none()
            && let Some(p) = prefix4_of(labels())
        {
            return is_asked(4).then_some(Subject::V4(p));
        }
        let p = prefix6_of(labels()).filter(|p| p.len() >= MIN_LISTED_LEN6)?;
        (self == ZoneAddresses::Both && is_asked(32)).then(|| Subject::V6(p).unmapped())
    }
}

/// An octet as a label: decimal, without leading zeros.
pub fn octet(label: &[u8]) -> Option<u8> {
    if label.len() > 3 || label.is_empty() || (label[0] == b'0' && label.len() > 1) {
        return None;
    }
    label.iter().try_fold(0u8, |n, b| {
        n.checked_mul(10)?
            .checked_add((*b as char).to_digit(10)? as u8)
    })
}

/// The IPv4 prefix of one to four octets, from the left; an octet has no leading zeros.
pub fn prefix4_of<'l>(labels: impl Iterator<Item = &'l str>) -> Option<Prefix4> {
    let octets: Vec<u8> = labels.map(|l| octet(l.as_bytes())).collect::<Option<_>>()?;
    let mut addr = [0; 4];
    addr.get_mut(..octets.len())?.copy_from_slice(&octets);
    Some(Prefix4::new(
        u32::from_be_bytes(addr),
        8 * octets.len() as u8,
    ))
}

/// The IPv6 prefix of one to 32 hexadecimal digits, from the left.
pub fn prefix6_of<'l>(labels: impl Iterator<Item = &'l str>) -> Option<Prefix6> {
    let nibble = |l: &str| u128::from_str_radix(l, 16).ok().filter(|_| l.len() == 1);
    let nibbles: Vec<u128> = labels.map(nibble).collect::<Option<_>>()?;
    let addr = nibbles.iter().rev().fold(0, |addr, n| addr >> 4 | n << 124);
    (nibbles.len() <= 32).then(|| Prefix6::new(addr, 4 * nibbles.len() as u8))
}

impl Serialize for ZoneAddresses {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            ZoneAddresses::None => s.serialize_bool(false),
            ZoneAddresses::Ip4 => s.serialize_bool(true),
            ZoneAddresses::Both => s.serialize_str("both"),
        }
    }
}

impl<'de> Deserialize<'de> for ZoneAddresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ZoneAddresses, D::Error> {
        struct BoolOrBoth;
        impl de::Visitor<'_> for BoolOrBoth {
            type Value = ZoneAddresses;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("false, true (IPv4) or \"both\" (IPv4 and IPv6)")
            }
            fn visit_bool<E>(self, is_set: bool) -> Result<ZoneAddresses, E> {
                Ok(match is_set {
                    true => ZoneAddresses::Ip4,
                    false => ZoneAddresses::None,
                })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ZoneAddresses, E> {
                match text {
                    "both" => Ok(ZoneAddresses::Both),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(BoolOrBoth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_reversed_octets_or_nibbles_is_the_address_that_is_asked() {
        let asked = |name: &str, addresses: ZoneAddresses| {
            let domain = Domain::parse_any(name).unwrap();
            addresses.asked_subject(&domain).map(|s| s.to_string())
        };
        let host6 = format!("1.{}8.b.d.0.1.0.a.2", "0.".repeat(23));
        let mapped = format!("7.0.0.0.4.6.3.3.f.f.f.f{}", ".0".repeat(20));
        for (name, ip4, both) in [
            ("7.100.51.45", Some("45.51.100.7"), None),
            (".7.100.51.45", Some("45.51.100.7"), None),
            ("*.100.51.45", Some("45.51.100.0/24"), None),
            (".51.45", Some("45.51.0.0/16"), None),
            ("*.45", Some("45.0.0.0/8"), None),
            (&host6, None, Some("2a01:db8::1")),
            ("*.8.b.d.0.1.0.a.2", None, Some("2a01:db8::/32")),
            (&mapped, None, Some("51.100.0.7")),
        ] {
            assert_eq!(asked(name, ZoneAddresses::Ip4).as_deref(), ip4, "{name}");
            assert_eq!(
                asked(name, ZoneAddresses::Both).as_deref(),
                ip4.or(both),
                "{name}"
            );
            assert_eq!(asked(name, ZoneAddresses::None), None, "{name}");
        }
        for name in [
            "*.7.100.51.45",
            "100.51.45",
            "07.100.51.45",
            "256.100.51.45",
            "1.7.100.51.45",
            "8.b.d.0.1.0.a.2",
            "*.0.1.0.a",
            "bad.example",
            "45.example",
        ] {
            assert_eq!(asked(name, ZoneAddresses::Both), None, "{name}");
        }
    }

    #[test]
    fn label_of_an_address_is_an_octet_or_a_nibble() {
        use ZoneAddresses::{Both, Ip4, None};
        for (label, ip4, both) in [
            ("0", true, true),
            ("255", true, true),
            ("256", false, false),
            ("01", false, false),
            ("f", false, true),
            ("g", false, false),
            ("com", false, false),
        ] {
            let label = label.as_bytes();
            assert_eq!(
                [None, Ip4, Both].map(|a| a.is_label(label)),
                [false, ip4, both]
            );
        }
    }

    #[test]
    fn value_is_a_boolean_or_both() {
        #[derive(Debug, Serialize, Deserialize)]
        struct File {
            addresses: ZoneAddresses,
        }
        for text in ["false", "true", "\"both\""] {
            let file: File = toml::from_str(&format!("addresses = {text}")).unwrap();
            assert_eq!(
                toml::to_string(&file).unwrap().trim(),
                format!("addresses = {text}")
            );
        }
        let wrong = toml::from_str::<File>("addresses = \"ipv4\"").unwrap_err();
        assert!(wrong.to_string().contains("\"both\""), "{wrong}");
    }
}
