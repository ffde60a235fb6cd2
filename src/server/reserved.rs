//! Which clients have reserved places: those that fetch zones.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use parking_lot::Mutex;

use super::Mirrors;
use crate::{
    index::{Published, ZoneSet},
    model::zone::{Notify, TransferRules},
};

/// The shortest prefix of `transfer.allow` that reserves places: of IPv4, and of IPv6.
const MIN_PREFIX: (u8, u8) = (16, 32);

/// The clients for which places are reserved: prefixes of `transfer.allow` that are not too wide,
/// the addresses of `transfer.notify`, and those that completed a transfer by a key or a
/// certificate in the last days.
pub struct ReservedClients {
    published: Arc<Published>,
    mirrors: Option<Arc<Mirrors>>,
    /// The prefixes of the zones that were published when somebody asked last.
    configured: Mutex<(Arc<ZoneSet>, Arc<[IpNet]>)>,
}

impl ReservedClients {
    /// Of the zones that are published, and the mirrors that are known.
    pub fn new(published: Arc<Published>, mirrors: Option<Arc<Mirrors>>) -> ReservedClients {
        ReservedClients {
            published,
            mirrors,
            configured: Mutex::default(),
        }
    }

    /// Whether an address is one of them.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.prefixes().iter().any(|p| p.contains(&addr))
            || self
                .mirrors
                .as_ref()
                .is_some_and(|m| m.has_transferred(addr))
    }

    fn prefixes(&self) -> Arc<[IpNet]> {
        let zones = self.published.load().zones.clone();
        let mut configured = self.configured.lock();
        if !Arc::ptr_eq(&configured.0, &zones) {
            let prefixes = zones
                .all()
                .iter()
                .flat_map(|z| prefixes(&z.spec.transfer))
                .collect();
            *configured = (zones, prefixes);
        }
        configured.1.clone()
    }
}

/// The prefixes of a zone's rules that reserve places.
fn prefixes(rules: &TransferRules) -> Vec<IpNet> {
    let narrow = |p: &IpNet| {
        p.prefix_len()
            >= if p.addr().is_ipv4() {
                MIN_PREFIX.0
            } else {
                MIN_PREFIX.1
            }
    };
    let allowed = rules.allow.iter().filter_map(|a| {
        a.parse::<IpNet>()
            .or_else(|_| a.parse::<IpAddr>().map(IpNet::from))
            .ok()
    });
    let notified = rules.notify.iter().filter_map(|n| {
        let address = match n {
            Notify::Plain(address) => address,
            Notify::Full(table) => &table.address,
        };
        address
            .parse::<SocketAddr>()
            .ok()
            .map(|a| IpNet::from(a.ip().to_canonical()))
    });
    allowed.filter(narrow).chain(notified).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::zone::NotifyTable;

    #[test]
    fn wide_prefixes_reserve_nothing() {
        let rules = TransferRules {
            allow: [
                "127.0.0.0/8",
                "10.1.0.0/16",
                "10.2.3.4",
                "2001:db8::/31",
                "2001:db8::/32",
                "key:mirror",
                "0.0.0.0/0",
            ]
            .map(String::from)
            .to_vec(),
            notify: vec![
                Notify::Plain("192.0.2.1:53".into()),
                Notify::Full(NotifyTable {
                    address: "[2001:db9::1]:53".into(),
                    key: None,
                    source: None,
                }),
            ],
        };
        let found: Vec<String> = prefixes(&rules).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "10.1.0.0/16",
                "10.2.3.4/32",
                "2001:db8::/32",
                "192.0.2.1/32",
                "2001:db9::1/128"
            ]
        );
    }
}
