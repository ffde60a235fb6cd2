//! Feeds that bring a server's own entries back to it: what the configuration alone shows of that.
//!
//! Servers that follow each other by rows (kind `orbsd`) leave out what came from themselves. A
//! zone transfer (kind `axfr`) has no paths, so that an entry which has ended at its origin could
//! go round for ever.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{
    feeds::{Kind, Settings},
    lists::records::Mapping,
    model::{Zone, zone::Notify},
};

/// A rule of `transfer.allow` at least this long names a server, and not everybody.
const NARROW: u8 = 24;

/// What is wrong where a feed may be part of a ring. `listen` are this server's own addresses for
/// DNS.
pub(super) fn find(feed: &Settings, zones: &[Zone], listen: &[SocketAddr]) -> Option<String> {
    let Kind::Zone {
        server,
        mapping,
        transit,
    } = &feed.kind
    else {
        return None;
    };
    // A name is not looked up here: a check does not depend on the network.
    let address = server.literal()?;
    if listen.iter().any(|l| is_same_listener(*l, address)) {
        return Some(format!(
            "{address} is this server itself; its own entries would come back to it"
        ));
    }
    if *mapping != Mapping::Names {
        return None;
    }
    let published = |z: &&Zone| {
        z.publish
            .iter()
            .any(|p| feed.reasons.reason.as_ref().is_none_or(|r| *r == p.reason))
    };
    let zone = zones
        .iter()
        .filter(published)
        .find(|z| is_peer(z, address.ip()))?;
    let further = if *transit {
        "; transit = true sends them on as well"
    } else {
        ""
    };
    Some(format!(
        "{address} may transfer the zone {} from here, and a zone transfer does not say where an entry comes from: entries that have ended could go round between both servers for ever{further}. Follow it by kind = \"orbsd\", or stop the transfer in one direction",
        zone.origin
    ))
}

/// Whether an address is that of one of our listeners.
fn is_same_listener(listen: SocketAddr, address: SocketAddr) -> bool {
    let same_ip = if listen.ip().is_unspecified() {
        address.ip().is_loopback()
    } else {
        listen.ip() == address.ip()
    };
    same_ip && listen.port() == address.port()
}

/// Whether a server is told of a zone, or named among those that may transfer it. A rule for
/// everybody is not a sign.
fn is_peer(zone: &Zone, address: IpAddr) -> bool {
    let notified = zone.transfer.notify.iter().map(|n| match n {
        Notify::Plain(address) => address,
        Notify::Full(table) => &table.address,
    });
    let net = |rule: &String| {
        rule.parse::<IpNet>()
            .ok()
            .or_else(|| rule.parse::<IpAddr>().ok().map(IpNet::from))
    };
    notified
        .filter_map(|a| a.parse::<SocketAddr>().ok())
        .any(|a| a.ip() == address)
        || zone
            .transfer
            .allow
            .iter()
            .filter_map(net)
            .any(|n| n.prefix_len() >= NARROW && n.contains(&address))
}
