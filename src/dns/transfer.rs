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
    wire::{Rcode, rtype, skip_name, u16_at},
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
    /// The request is refused.
    Refused {
        /// The response code.
        rcode: Rcode,
        /// The code of the extended error (RFC 8914).
        extended: u16,
        /// The text of the extended error.
        text: &'static str,
    },
    /// The current SOA alone: the mirror is up to date (RFC 1995 section 4).
    CurrentSoa,
    /// A transfer.
    Granted(Grant),
}

fn refuse(rcode: Rcode, extended: u16, text: &'static str) -> TransferDecision {
    TransferDecision::Refused {
        rcode,
        extended,
        text,
    }
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
    let zone = &snapshot.zones.all()[number];
    if query.qclass != 1 {
        return refuse(Rcode::Refused, 18, "zones are of class IN");
    }
    if peer.transport == Transport::SingleMessage && query.qtype != rtype::SOA {
        return refuse(
            Rcode::Refused,
            21,
            "this transport has no transfers; use TCP or TLS",
        );
    }
    if view_of(below).is_none() {
        return refuse(
            Rcode::NotAuth,
            20,
            "request a transfer by the name of the zone",
        );
    }
    if !zone.may_transfer(peer.addr, key, peer.certificate_names) {
        return refuse(
            Rcode::Refused,
            18,
            "this client may not transfer this zone; see [transfer] of its file",
        );
    }
    if query.qtype == rtype::SOA {
        return TransferDecision::CurrentSoa;
    }
    if query.qtype == rtype::AXFR {
        return match peer.is_datagram() {
            false => TransferDecision::Granted(Grant::Axfr),
            // RFC 5936 section 4.2: not defined over UDP.
            true => refuse(Rcode::Refused, 21, "AXFR is served over TCP, not UDP"),
        };
    }
    let Some(theirs) = client_serial(query) else {
        return refuse(
            Rcode::FormErr,
            0,
            "the IXFR query has no SOA in its authority section",
        );
    };
    match theirs.partial_cmp(&serial(snapshot, number)) {
        Some(std::cmp::Ordering::Less) | None => TransferDecision::Granted(Grant::Ixfr(theirs)),
        Some(_) => TransferDecision::CurrentSoa,
    }
}

/// The serial of the SOA in the authority section of an IXFR query (RFC 1995 section 3).
pub fn client_serial(query: &Query) -> Option<Serial> {
    let (message, mut at) = (query.message, query.question_end);
    if u16_at(message, 6)? != 0 || u16_at(message, 8)? == 0 {
        return None;
    }
    at = skip_name(message, at)?;
    if u16_at(message, at)? != rtype::SOA {
        return None;
    }
    let end = at + 10 + usize::from(u16_at(message, at + 8)?);
    let names = skip_name(message, skip_name(message, at + 10)?)?;
    // Two names and five numbers, of which the serial is the first.
    (names + 20 == end).then_some(())?;
    Some(Serial(u32::from_be_bytes(
        *message.get(names..)?.first_chunk()?,
    )))
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
    out.record(
        &[],
        rtype::SOA,
        zone.soa_ttl(),
        &soa_data(zone, serial(snapshot, number)),
    );
    out.finish()
}
