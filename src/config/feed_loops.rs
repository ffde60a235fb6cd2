//! Warns of feeds that may send a server's own entries back to it.
//!
//! Servers that follow each other by rows (kind `orbsd`) leave out their own entries. A zone
//! transfer (kind `axfr`) does not contain the path of an entry, so that two servers could send an
//! ended entry to each other for ever.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::probe::is_own_address;
use crate::{
    feeds::{FeedSettings, FeedSource},
    lists::records::Mapping,
    model::{Zone, zone::Notify},
};

/// The shortest prefix of a rule of `transfer.allow` that means one server.
const NARROW: u8 = 24;

/// The warning about a feed that may be part of a loop. `listen` are the addresses of `[dns]`.
pub(super) fn find(feed: &FeedSettings, zones: &[Zone], listen: &[SocketAddr]) -> Option<String> {
    let FeedSource::Zone {
        server,
        mapping,
        transit,
    } = &feed.kind
    else {
        return None;
    };
    // Names are not looked up: the check must not depend on the network.
    let addresses = server.local_addresses();
    if let Some(address) = addresses
        .iter()
        .find(|a| listen.iter().any(|l| is_same_listener(*l, **a)))
    {
        return Some(format!(
            "{address} is this server itself; its own entries would come back to it"
        ));
    }
    if *mapping != Mapping::Names {
        return None;
    }
    let published = |z: &&Zone| {
        z.publish.iter().any(|p| {
            let reason = feed.reasons.reason.as_ref();
            reason.is_none_or(|r| p.has_reason(r))
        })
    };
    let is_known = |z: &&Zone| addresses.iter().any(|a| is_peer(z, a.ip()));
    let zone = zones.iter().filter(published).find(is_known)?;
    let address = addresses.first()?;
    let further = if *transit {
        "; transit = true sends them on as well"
    } else {
        ""
    };
    Some(format!(
        "{address} may transfer the zone {} from here, and a zone transfer does not say where an entry comes from: both servers could send ended entries to each other for ever{further}. Follow it by kind = \"orbsd\", or stop the transfer in one direction",
        zone.origin
    ))
}

/// Whether an address is that of a listener of this server.
fn is_same_listener(listen: SocketAddr, address: SocketAddr) -> bool {
    let (own, ip) = (listen.ip().to_canonical(), address.ip());
    // A connection to 0.0.0.0 is one to this machine.
    let same_ip = own == ip || ip.is_unspecified() || is_own_address(&[listen], ip);
    same_ip && listen.port() == address.port()
}

/// Whether a zone notifies a server, or permits it to transfer the zone by a rule that is narrow
/// enough to mean this server.
fn is_peer(zone: &Zone, address: IpAddr) -> bool {
    let notify = zone.transfer.notify.iter().map(|n| match n {
        Notify::Plain(address) => address,
        Notify::Full(table) => &table.address,
    });
    let net = |rule: &String| {
        rule.parse::<IpNet>()
            .ok()
            .or_else(|| rule.parse::<IpAddr>().ok().map(IpNet::from))
    };
    notify
        .filter_map(|a| a.parse::<SocketAddr>().ok())
        .any(|a| a.ip().to_canonical() == address)
        || zone
            .transfer
            .allow
            .iter()
            .filter_map(net)
            .any(|n| n.prefix_len() >= NARROW && n.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ZONE, load};

    #[test]
    fn a_feed_from_this_server_is_named_whatever_the_spelling() {
        let warnings = |listen: &str, server: &str| {
            let feed = format!(
                "[[feed]]\nname='x'\nkind='axfr'\nreason='relay'\nzone='z.example'\nserver='{server}'\n"
            );
            load(
                &format!("[[reason]]\nname='relay'\n[dns]\nlisten=[{listen}]\n{feed}"),
                ZONE,
            )
            .unwrap()
            .warnings
        };
        let own = |listen: &str, server: &str| {
            warnings(listen, server)
                .iter()
                .any(|w| w.contains("is this server itself"))
        };
        for server in [
            "127.0.0.1:5300",
            "[::ffff:127.0.0.1]:5300",
            "localhost:5300",
            "LocalHost.:5300",
            "a.localhost:5300",
            "127.1:5300",
            "0x7f000001:5300",
            "2130706433:5300",
            "0.0.0.0:5300",
        ] {
            assert!(own("'127.0.0.1:5300'", server), "{server}");
            assert!(own("'0.0.0.0:5300'", server), "{server}");
            assert!(!own("'127.0.0.1:5301'", server), "{server}");
        }
        assert!(
            own("'[::1]:5300'", "localhost:5300")
                && own("'[::1]:5300'", "[::1]:5300")
                && own("'127.0.0.1:53'", "localhost")
        );
        for server in [
            "192.0.2.1:5300",
            "localhost.example:5300",
            "ns1.example.org",
        ] {
            assert!(!own("'127.0.0.1:5300'", server), "{server}");
        }
    }
}
