//! Outgoing zone transfers: AXFR (RFC 5936) and IXFR (RFC 1995), from renderings to messages.
//!
//! [`decide`] decides about a request for all transports. [`axfr`] and [`ixfr`] write a transfer
//! from one snapshot to a [`MessageWriter`], message by message, without keeping it in memory.

mod difference;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use super::{
    Peer, Transport,
    query::Query,
    wire::{Rcode, RecordHead, rtype, skip_name, u16_at},
};
use crate::{
    index::{Snapshot, ZoneView, difference::View},
    model::Serial,
};

use view::{records_of, render_view};

pub use difference::ZoneDifference;
pub use view::{serial, view_of};
pub use writer::{FULL, MessageWriter};

/// A transfer that a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The whole zone.
    Axfr,
    /// The changes since a serial.
    Ixfr(Serial),
}

/// The decision about a request for a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferDecision {
    /// The request is refused, with an extended error (RFC 8914): code and text.
    Refused(Rcode, (u16, &'static str)),
    /// The current SOA alone: the mirror is up to date (RFC 1995 section 4).
    CurrentSoa,
    /// A transfer.
    Granted(Grant),
}

/// Decides about an AXFR or IXFR for a zone of this server, and about a query for the SOA of its
/// rows. `below` has the labels below the zone's origin in wire form; `key` is the name of the TSIG
/// key that signed the request.
pub fn decide(
    snapshot: &Snapshot,
    number: usize,
    query: &Query,
    below: &[u8],
    peer: Peer<'_>,
    key: Option<&str>,
) -> TransferDecision {
    use TransferDecision::{CurrentSoa, Granted, Refused};
    let zone = &snapshot.zones.all()[number];
    if query.qclass != 1 {
        return Refused(Rcode::Refused, (18, "zones are of class IN"));
    }
    if peer.transport == Transport::SingleMessage && query.qtype != rtype::SOA {
        let text = "this transport has no transfers; use TCP or TLS";
        return Refused(Rcode::Refused, (21, text));
    }
    if view_of(below).is_none() {
        let text = "request a transfer by the name of the zone";
        return Refused(Rcode::NotAuth, (20, text));
    }
    if !zone.may_transfer(peer.addr, key, peer.certificate_names) {
        let text = "this client may not transfer this zone; see [transfer] of its file";
        return Refused(Rcode::Refused, (18, text));
    }
    if query.qtype == rtype::SOA {
        return CurrentSoa;
    }
    if query.qtype == rtype::AXFR {
        return match peer.is_datagram() {
            false => Granted(Grant::Axfr),
            // RFC 5936 section 4.2: not defined over UDP.
            true => Refused(Rcode::Refused, (21, "AXFR is served over TCP, not UDP")),
        };
    }
    let Some(theirs) = client_serial(query) else {
        let text = "the IXFR query has no SOA in its authority section";
        return Refused(Rcode::FormErr, (0, text));
    };
    match theirs.partial_cmp(&serial(snapshot, number)) {
        Some(std::cmp::Ordering::Less) | None => Granted(Grant::Ixfr(theirs)),
        Some(_) => CurrentSoa,
    }
}

/// The serial of the SOA in the authority section of an IXFR query (RFC 1995 section 3).
pub fn client_serial(query: &Query) -> Option<Serial> {
    let message = query.message;
    if u16_at(message, 6)? != 0 || u16_at(message, 8)? == 0 {
        return None;
    }
    let soa = RecordHead::read(message, skip_name(message, query.question_end)?)?;
    let names = skip_name(message, skip_name(message, soa.data.start)?)?;
    // Two names and five numbers, of which the serial is the first.
    if soa.rtype != rtype::SOA || names + 20 != soa.data.end {
        return None;
    }
    let serial = message.get(names..)?.first_chunk()?;
    Some(Serial(u32::from_be_bytes(*serial)))
}

/// SOA data in wire form without compression (RFC 1035 section 3.3.13).
pub fn soa_data(zone: &ZoneView, serial: Serial) -> Vec<u8> {
    let spec = &zone.spec;
    let mut out = zone.soa_names.to_vec();
    for n in [
        serial.0,
        spec.refresh.0 as u32,
        spec.retry.0 as u32,
        spec.expire.0 as u32,
        spec.minimum().0 as u32,
    ] {
        out.extend(n.to_be_bytes());
    }
    out
}

/// Writes a zone as an AXFR answer, from SOA to SOA. Returns false if the sink stopped before the
/// end.
pub fn axfr(snapshot: &Snapshot, number: usize, view: View, out: &mut MessageWriter) -> bool {
    let zone = &snapshot.zones.all()[number];
    let soa = soa_data(zone, serial(snapshot, number));
    out.record(&[], rtype::SOA, zone.soa_ttl(), &soa);
    render_view(view, &snapshot.tables, zone, &mut |owner, at| {
        records_of(
            view,
            &snapshot.tables.interned,
            zone,
            owner,
            &at,
            &mut |rtype, ttl, data| out.record(owner, rtype, ttl, data),
        );
        out.is_wanted()
    });
    out.record(&[], rtype::SOA, zone.soa_ttl(), &soa);
    out.finish()
}

/// Writes a difference as an IXFR answer: one condensed sequence (RFC 1995 sections 4 and 5).
pub fn ixfr(zone: &ZoneView, difference: &ZoneDifference, out: &mut MessageWriter) -> bool {
    let soa = |serial, out: &mut MessageWriter| {
        out.record(&[], rtype::SOA, zone.soa_ttl(), &soa_data(zone, serial));
    };
    soa(difference.to, out);
    soa(difference.from, out);
    difference.removed(&mut |owner, rtype, ttl, data| out.record(owner, rtype, ttl, data));
    soa(difference.to, out);
    difference.added(&mut |owner, rtype, ttl, data| out.record(owner, rtype, ttl, data));
    soa(difference.to, out);
    out.finish()
}

/// Writes the answer to a mirror that is up to date: the current SOA alone.
pub fn current(snapshot: &Snapshot, number: usize, out: &mut MessageWriter) -> bool {
    let zone = &snapshot.zones.all()[number];
    let soa = soa_data(zone, serial(snapshot, number));
    out.record(&[], rtype::SOA, zone.soa_ttl(), &soa);
    out.finish()
}
