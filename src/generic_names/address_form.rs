//! Addresses in names: decimal, padded, hexadecimal, whole or in part, in either order.

use std::{net::IpAddr, sync::LazyLock};

use regex::Regex;

/// A form in which a name contains an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub(super) enum AddressForm {
    /// All octets in decimal.
    #[strum(serialize = "address in decimal")]
    Decimal,
    /// All octets with three digits each.
    #[strum(serialize = "address in padded decimal")]
    Padded,
    /// All octets in hexadecimal.
    #[strum(serialize = "address in hexadecimal")]
    Hexadecimal,
    /// The address as one decimal number.
    #[strum(serialize = "address as one number")]
    Number,
    /// Its last two octets in decimal.
    #[strum(serialize = "last two octets of the address")]
    LastOctets,
    /// The last 32 bits of an IPv6 address, or its text.
    #[strum(serialize = "IPv6 address in hexadecimal")]
    Ipv6,
    /// Four numbers that can be an address, but are not the given one.
    #[strum(serialize = "four numbers of an address")]
    FourNumbers,
}

impl AddressForm {
    /// Whether the name has all of the address.
    pub(super) fn is_whole(self) -> bool {
        self != AddressForm::LastOctets
    }

    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

static FOUR_NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let number = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|0{0,2}[0-9]|0?[1-9][0-9])";
    // The text is fixed, and a unit test uses the expression.
    Regex::new(&format!(
        "(?:^|[^0-9])({number}[-._]){{3}}{number}(?:[^0-9]|$)"
    ))
    .ok()
});

/// Finds the form in which a host name contains an address. Without an address, only four numbers
/// that can be one are found.
pub(super) fn find(host: &str, addr: Option<IpAddr>) -> Option<AddressForm> {
    let own = addr.and_then(|addr| match addr.to_canonical() {
        IpAddr::V4(a) => find_ipv4(host, a.octets()),
        IpAddr::V6(a) => find_ipv6(host, a),
    });
    let other = || {
        let pattern = FOUR_NUMBERS.as_ref()?;
        pattern.is_match(host).then_some(AddressForm::FourNumbers)
    };
    match own {
        Some(AddressForm::LastOctets) | None => other().or(own),
        whole => whole,
    }
}

/// The letters and digits of a host name.
fn compact(host: &str) -> String {
    host.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn find_ipv4(host: &str, octets: [u8; 4]) -> Option<AddressForm> {
    let compact = compact(host);
    let [o1, o2, o3, o4] = octets;
    let orders = [octets, [o4, o3, o2, o1]];
    let has = |text: &dyn Fn(&u8) -> String, shortest: usize| {
        orders.iter().any(|order| {
            let text: String = order.iter().map(text).collect();
            text.len() >= shortest && compact.contains(&text)
        })
    };
    let numbers: Vec<&str> = host
        .split(|c: char| !c.is_ascii_digit())
        .filter(|n| !n.is_empty())
        .collect();
    let is = |n: &str, o: u8| n.parse() == Ok(o);
    let has_run = |order: [u8; 4]| {
        let mut runs = numbers.windows(4);
        runs.any(|w| w.iter().zip(order).all(|(n, o)| is(n, o)))
    };
    // Two numbers of one digit are often those of a server and its site.
    let has_pair = || {
        let mut pairs = numbers.windows(2);
        o3.max(o4) >= 10
            && pairs.any(|w| is(w[0], o3) && is(w[1], o4) || is(w[0], o4) && is(w[1], o3))
    };
    let has_number = || {
        let number = u32::from_be_bytes(octets).to_string();
        number.len() >= 8 && numbers.contains(&number.as_str())
    };
    if has(&|o| format!("{o:03}"), 12) {
        Some(AddressForm::Padded)
    } else if orders.into_iter().any(has_run) || has(&u8::to_string, 6) {
        Some(AddressForm::Decimal)
    } else if has(&|o| format!("{o:02x}"), 8) {
        Some(AddressForm::Hexadecimal)
    } else if has_number() {
        Some(AddressForm::Number)
    } else {
        has_pair().then_some(AddressForm::LastOctets)
    }
}

fn find_ipv6(host: &str, addr: std::net::Ipv6Addr) -> Option<AddressForm> {
    let digits = format!("{:032x}", addr.to_bits());
    let reversed: String = digits.chars().rev().collect();
    let compact = compact(host);
    let text = addr.to_string().replace(':', "-");
    let is_in = compact.contains(&digits[24..])
        || compact.contains(&reversed[..8])
        || host.contains(&text)
        || host.contains(&text.replace("--", "-"));
    is_in.then_some(AddressForm::Ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_found_in_each_form() {
        let addr = Some("198.51.100.27".parse().unwrap());
        for (host, expected) in [
            ("198-51-100-27", Some(AddressForm::Decimal)),
            ("27.100.51.198", Some(AddressForm::Decimal)),
            ("host1985110027", Some(AddressForm::Decimal)),
            ("198051100027", Some(AddressForm::Padded)),
            ("027-100-051-198", Some(AddressForm::Padded)),
            ("ip-c633641b", Some(AddressForm::Hexadecimal)),
            ("1b6433c6", Some(AddressForm::Hexadecimal)),
            ("x3325256731", Some(AddressForm::Number)),
            ("h27-100", Some(AddressForm::LastOctets)),
            ("203-0-113-9", Some(AddressForm::FourNumbers)),
            ("a300-1-2-3", None),
            ("mx1-2", None),
        ] {
            assert_eq!(find(host, addr), expected, "{host}");
        }
        assert_eq!(
            find("a-198-51-100-27-b", None),
            Some(AddressForm::FourNumbers)
        );
        assert_eq!(find("198051100027", None), None);
        let v6 = Some("2001:db8::dead:beef".parse().unwrap());
        for host in ["2001-db8--dead-beef", "xdeadbeef", "f.e.e.b.d.a.e.d.0"] {
            assert_eq!(find(host, v6), Some(AddressForm::Ipv6), "{host}");
        }
    }
}
