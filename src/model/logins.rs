//! Recent log-ins: the settings of a volatile zone, and the addresses that it publishes.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{access::check_name, time::Seconds};

/// The longest lifetime of a log-in: a day.
pub const MAX_LIFETIME: Seconds = Seconds(86_400);
/// Where the entries of a zone are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub enum Durability {
    /// In the store: each change is durable before it is acknowledged.
    #[default]
    Durable,
    /// In memory alone: the zone has recent log-ins, and is empty after a start.
    Volatile,
}

impl Durability {
    /// Whether it is the default.
    pub fn is_durable(&self) -> bool {
        *self == Durability::Durable
    }
}

/// The table `[logins]` of a volatile zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct LoginRules {
    /// The users and programs whose tokens may report log-ins.
    pub allow: Vec<String>,
    /// How long an address is published after a log-in.
    pub lifetime: Seconds,
    /// The A record of a published address, in 127.0.0.0/8.
    pub code: Ipv4Addr,
    /// The TXT record of a published address; empty: none.
    pub text: String,
    /// The length of the prefix that an IPv6 log-in publishes: 128 or 64.
    pub ipv6_prefix: u8,
}

impl Default for LoginRules {
    fn default() -> LoginRules {
        LoginRules {
            allow: Vec::new(),
            lifetime: Seconds(1800),
            code: Ipv4Addr::new(127, 0, 0, 2),
            text: String::new(),
            ipv6_prefix: 128,
        }
    }
}

impl LoginRules {
    /// Whether a user or program with this name may report log-ins.
    pub fn allows(&self, name: &str) -> bool {
        self.allow.iter().any(|a| a == name)
    }

    /// The address, or the first address of the prefix, that a log-in from an address publishes;
    /// `None` if it publishes nothing, since clients cannot be told apart by such an address.
    pub fn published(&self, address: IpAddr) -> Option<IpAddr> {
        match address.to_canonical() {
            IpAddr::V4(a) => {
                let [first, ..] = a.octets();
                let is_special = matches!(first, 0 | 127 | 224..) || a.is_link_local();
                (!is_special).then_some(a.into())
            }
            IpAddr::V6(a) => {
                // ::/64 has the loopback address and the forms of IPv4 addresses.
                let is_special =
                    a.segments()[..4] == [0; 4] || a.is_multicast() || a.is_unicast_link_local();
                let mask = u128::MAX << (128 - u32::from(self.ipv6_prefix.clamp(1, 128)));
                (!is_special).then(|| IpAddr::V6((a.to_bits() & mask).into()))
            }
        }
    }
}

impl LoginRules {
    /// What is wrong with the settings, each with its key.
    pub(super) fn errors(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.lifetime.0 == 0 || self.lifetime > MAX_LIFETIME {
            out.push(format!(
                "logins.lifetime: {} is not between 1s and {MAX_LIFETIME}",
                self.lifetime
            ));
        }
        let octets = self.code.octets();
        if octets[0] != 127 || self.code == Ipv4Addr::LOCALHOST || octets[..3] == [127, 255, 255] {
            out.push(format!(
                "logins.code: {} is not a code of a listing; take one in 127.0.0.0/8 besides 127.0.0.1 and 127.255.255.0/24, such as 127.0.0.2",
                self.code
            ));
        }
        if self.text.contains('$') {
            out.push(
                "logins.text: it is the same for every address, so that `$` does not stand for one; remove the `$`"
                    .into(),
            );
        }
        if ![64, 128].contains(&self.ipv6_prefix) {
            out.push(format!(
                "logins.ipv6_prefix: {} is neither 128 (the address alone) nor 64 (its network)",
                self.ipv6_prefix
            ));
        }
        let names = self.allow.iter().filter_map(|name| check_name(name).err());
        out.extend(names.map(|e| format!("logins.allow: {e}")));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_many_clients_share_are_not_published() {
        let rules = |ipv6_prefix| LoginRules {
            ipv6_prefix,
            ..LoginRules::default()
        };
        let published = |length, a: &str| {
            let address = rules(length).published(a.parse().unwrap());
            address.map(|a| a.to_string())
        };
        for (address, want) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("10.1.2.3", Some("10.1.2.3")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("2001:db8::1:2", Some("2001:db8::1:2")),
            ("127.0.0.1", None),
            ("127.0.0.2", None),
            ("0.0.0.0", None),
            ("255.255.255.255", None),
            ("224.0.0.1", None),
            ("169.254.1.1", None),
            ("::1", None),
            ("::", None),
            ("fe80::1", None),
            ("ff02::1", None),
        ] {
            assert_eq!(published(128, address).as_deref(), want, "{address}");
        }
        let whole = published(64, "2001:db8:1:2:3:4:5:6");
        assert_eq!(whole.as_deref(), Some("2001:db8:1:2::"));
        assert_eq!(published(64, "192.0.2.7").as_deref(), Some("192.0.2.7"));
    }
}
