//! Zone transfers as messages: AXFR (RFC 5936) and IXFR (RFC 1995), from renderings to bytes.
//!
//! [`decide`] tells what a request gets, for every front alike. A transfer is written by [`axfr`]
//! or [`ixfr`] from one snapshot, message by message, to whoever takes them; nothing of it is kept.

mod difference;
#[cfg(test)]
mod tests;
mod writer;

use super::{
    Peer, Rcode,
    query::Query,
    wire::{rtype, skip_name, u16_at},
};
use crate::{
    index::{
        Interned, Snapshot, Tables, ZoneView,
        difference::Face,
        render::{Emit, Rendered, records, render_while},
        rows,
    },
    model::Serial,
};

pub use difference::Difference;
pub use writer::{FULL, Writer};

/// What a request for a transfer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// An error: its code, an extended error (RFC 8914) and a text.
    No(Rcode, u16, &'static str),
    /// The single current SOA: the mirror is up to date (RFC 1995 section 4).
    Current,
    /// All of the zone, or what changed from a serial on.
    Run(Option<Serial>),
}

/// What a name asks to transfer, if anything: a zone's own name for its records, `_rows` below it
/// for its rows.
pub fn face(below: &[u8]) -> Option<Face> {
    match below {
        [] => Some(Face::Names),
        rows::ROWS => Some(Face::Rows),
        _ => None,
    }
}

/// Renders one face of a zone, for as long as `emit` says true.
fn render_face(face: Face, tables: &Tables, zone: &ZoneView, emit: Emit) -> bool {
    match face {
        Face::Names => render_while(tables, zone, emit),
        Face::Rows => rows::render_rows(tables, zone, emit),
    }
}

/// The records of an owner of one face.
fn records_of(
    face: Face,
    interned: &Interned,
    zone: &ZoneView,
    owner: &[u8],
    at: &Rendered,
    tell: &mut dyn FnMut(u16, u32, &[u8]),
) {
    match face {
        Face::Names => records(interned, zone, at, tell),
        Face::Rows => rows::records(interned, zone, owner, at, tell),
    }
}

/// Decides about an AXFR or IXFR for a zone of ours, and about the SOA of its rows. `below` are the
/// labels below the zone's origin in wire form; `key` is the TSIG key that signed it.
pub fn decide(
    snapshot: &Snapshot,
    number: usize,
    query: &Query,
    below: &[u8],
    peer: Peer<'_>,
    key: Option<&str>,
) -> Decision {
    let zone = &snapshot.zones.all()[number];
    if query.qclass != 1 {
        return Decision::No(Rcode::Refused, 18, "zones are of class IN");
    }
    if peer.single && query.qtype != rtype::SOA {
        return Decision::No(
            Rcode::Refused,
            21,
            "no transfers here; they go over TCP or TLS",
        );
    }
    if face(below).is_none() {
        return Decision::No(
            Rcode::NotAuth,
            20,
            "a transfer is asked for by the zone's own name",
        );
    }
    if !zone.may_transfer(peer.addr, key, peer.names) {
        return Decision::No(
            Rcode::Refused,
            18,
            "this client may not transfer this zone; see [transfer] of its file",
        );
    }
    if query.qtype == rtype::SOA {
        return Decision::Current;
    }
    if query.qtype == rtype::AXFR {
        return match peer.stream {
            true => Decision::Run(None),
            // RFC 5936 section 4.2: not defined over UDP.
            false => Decision::No(Rcode::Refused, 21, "AXFR is served over TCP, not UDP"),
        };
    }
    let Some(theirs) = client_serial(query) else {
        return Decision::No(
            Rcode::FormErr,
            0,
            "an IXFR query has the mirror's SOA in its authority section",
        );
    };
    match theirs.partial_cmp(&serial(snapshot, number)) {
        Some(std::cmp::Ordering::Less) | None => Decision::Run(Some(theirs)),
        Some(_) => Decision::Current,
    }
}

/// A zone's serial in a snapshot.
pub fn serial(snapshot: &Snapshot, number: usize) -> Serial {
    snapshot
        .serials
        .get(number)
        .copied()
        .unwrap_or(Serial(snapshot.zones.all()[number].spec.serial))
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

/// Writes a zone as an AXFR answer: from SOA to SOA. False where the taker had enough before the
/// end.
pub fn axfr(snapshot: &Snapshot, number: usize, face: Face, out: &mut Writer) -> bool {
    let zone = &snapshot.zones.all()[number];
    let soa = soa_data(zone, serial(snapshot, number));
    out.record(&[], rtype::SOA, zone.soa_ttl(), &soa);
    render_face(face, &snapshot.tables, zone, &mut |owner, at| {
        records_of(
            face,
            &snapshot.tables.interned,
            zone,
            owner,
            &at,
            &mut |rtype, ttl, data| out.record(owner, rtype, ttl, data),
        );
        out.wanted()
    });
    out.record(&[], rtype::SOA, zone.soa_ttl(), &soa);
    out.finish()
}

/// Writes a difference as an IXFR answer: one sequence, condensed (RFC 1995 sections 4 and 5).
pub fn ixfr(zone: &ZoneView, difference: &Difference, out: &mut Writer) -> bool {
    let soa = |serial, out: &mut Writer| {
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

/// Writes the answer that there is nothing newer: the current SOA alone.
pub fn current(snapshot: &Snapshot, number: usize, out: &mut Writer) -> bool {
    let zone = &snapshot.zones.all()[number];
    out.record(
        &[],
        rtype::SOA,
        zone.soa_ttl(),
        &soa_data(zone, serial(snapshot, number)),
    );
    out.finish()
}
