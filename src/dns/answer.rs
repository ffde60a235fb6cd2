//! The answer to a query as a value, which is decided before it is encoded.

use super::{
    AnswerKind, Peer, Rcode,
    query::{Labels, Query},
    transfer::{self, TransferDecision},
    wire::rtype,
};
use crate::index::{
    Asked, Found, Items, Listing, Snapshot, ZoneView, find, render::texts, rows::ROWS,
    zones::StaticRecords,
};
use crate::model::{Uptime, ZoneKind};

/// The records of the answer section.
#[derive(Debug, Clone, Copy)]
pub enum AnswerSection<'a> {
    /// No record.
    None,
    /// StaticRecords records of one type, or of the first type for ANY.
    Static(&'a StaticRecords, u16),
    /// The SOA.
    Soa,
    /// The SOA alone, as the answer to a transfer request that is granted.
    Transfer,
    /// A listing's A records.
    Codes(Listing<'a>),
    /// The HINFO record of an exception below a listed tree.
    Excluded,
    /// A listing's TXT records.
    Texts(Listing<'a>),
    /// A delegation: its NS records go to the authority section. Their owner is the part of the
    /// question's name that starts at this offset.
    Referral(&'a StaticRecords, usize),
    /// The A record for a refused client, if the zone configures one.
    RefusedCode([u8; 4]),
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The response code.
    pub rcode: Rcode,
    /// The index of the zone of the query.
    pub zone: Option<usize>,
    /// The offset of its origin in the question's name.
    pub origin_at: usize,
    /// The answer section.
    pub body: AnswerSection<'a>,
    /// The longest TTL of static records in the answer section: a log-in may end before theirs.
    pub max_ttl: u32,
    /// The TTL of the SOA in the authority section, which every negative answer has (RFC 2308
    /// section 3).
    pub negative: Option<u32>,
    /// An extended error (RFC 8914): code and text.
    pub ede: Option<(u16, &'static str)>,
}

impl Answer<'_> {
    /// The kind of the answer, for the counters.
    pub fn kind(&self) -> AnswerKind {
        match self.rcode {
            Rcode::NoError if matches!(self.body, AnswerSection::RefusedCode(_)) => {
                AnswerKind::Refused
            }
            Rcode::NoError if matches!(self.body, AnswerSection::Transfer) => AnswerKind::Transfer,
            Rcode::NoError
                if self.negative.is_some() || matches!(self.body, AnswerSection::Referral(..)) =>
            {
                AnswerKind::NoData
            }
            Rcode::NoError => AnswerKind::Listed,
            Rcode::NxDomain => AnswerKind::NotListed,
            Rcode::Refused | Rcode::NotAuth => AnswerKind::Refused,
            Rcode::ServFail => AnswerKind::Failed,
            _ => AnswerKind::Malformed,
        }
    }

    /// Whether the AA bit is set, which it is not for a delegation (RFC 1034 section 4.3.2).
    pub fn authoritative(&self) -> bool {
        self.zone.is_some()
            && !matches!(self.body, AnswerSection::Referral(..))
            && matches!(self.rcode, Rcode::NoError | Rcode::NxDomain)
    }
}

/// The place of a query's name in the zones of this server.
#[derive(Debug, Clone, Copy)]
pub struct ZonePlace<'a> {
    /// The index of its zone.
    pub zone: usize,
    /// The offset of the zone's origin in the name.
    pub origin_at: usize,
    /// What is before the origin.
    pub asked: Asked<'a>,
}

impl<'a> ZonePlace<'a> {
    /// The place of a name; `None` if it is in no zone.
    #[inline]
    pub fn of(snapshot: &Snapshot, Labels { name, starts }: Labels<'a>) -> Option<ZonePlace<'a>> {
        let is_start = |at| at == name.len() - 1 || starts.contains(&(at as u8));
        let (zone, origin_at) = snapshot.zones.find(name, is_start)?;
        let below = starts.iter().take_while(|s| usize::from(**s) < origin_at);
        Some(ZonePlace {
            zone,
            origin_at,
            asked: Asked::new(&name[..origin_at], &starts[..below.count()]),
        })
    }
}

const fn plain(
    rcode: Rcode,
    zone: Option<usize>,
    ede: Option<(u16, &'static str)>,
) -> Answer<'static> {
    Answer {
        rcode,
        zone,
        origin_at: 0,
        body: AnswerSection::None,
        max_ttl: u32::MAX,
        negative: None,
        ede,
    }
}

/// Decides the answer to a query. `place` is that of its name, `key` the name of the TSIG key that
/// signed it, `now` the time by which log-ins end; `items` holds what the answer borrows.
pub fn answer<'a>(
    snapshot: &'a Snapshot,
    query: &Query<'a>,
    place: Option<&'a ZonePlace<'a>>,
    peer: Peer<'_>,
    key: Option<&str>,
    now: Uptime,
    items: &'a mut Option<Items>,
) -> Answer<'a> {
    if query.edns.is_some_and(|e| e.version > 0) {
        return plain(Rcode::BadVers, None, None);
    }
    let Some(ZonePlace {
        zone: number,
        origin_at,
        asked,
    }) = place
    else {
        return plain(
            Rcode::Refused,
            None,
            Some((20, "not a zone of this server")),
        );
    };
    let (number, origin_at) = (*number, *origin_at);
    let zone = &snapshot.zones.all()[number];
    if !snapshot.sound {
        return plain(
            Rcode::ServFail,
            Some(number),
            Some((14, "the store cannot be trusted; see the server's log")),
        );
    }
    let transfer = matches!(query.qtype, rtype::AXFR | rtype::IXFR);
    if transfer || query.qtype == rtype::SOA && asked.labels == ROWS {
        return match transfer::decide(snapshot, number, query, asked.labels, peer, key) {
            TransferDecision::Refused(rcode, ede) => plain(rcode, Some(number), Some(ede)),
            TransferDecision::CurrentSoa | TransferDecision::Granted(_) => Answer {
                body: if transfer {
                    AnswerSection::Transfer
                } else {
                    AnswerSection::Soa
                },
                origin_at,
                ..plain(Rcode::NoError, Some(number), None)
            },
        };
    }
    if query.qclass != 1 && query.qclass != 255 {
        return plain(
            Rcode::Refused,
            Some(number),
            Some((18, "this class is not served")),
        );
    }
    // Only clients that may transfer a catalog zone may query it: which zones a mirror serves is
    // not public (RFC 9432 section 6).
    let is_allowed = match zone.spec.kind {
        ZoneKind::Catalog => zone.may_transfer(peer.addr, key, peer.certificate_names),
        _ => zone.allows(peer.addr),
    };
    if !is_allowed {
        return refused(zone, number, origin_at, query.qtype);
    }
    if let Some((at, fixed)) = zone.delegation(asked.labels, asked.starts) {
        // DS records belong to the parent, and this zone has none (RFC 4035 section 3.1.4.1).
        return match query.qtype == rtype::DS && at == 0 {
            true => Answer {
                origin_at,
                negative: Some(zone.ttls[1]),
                ..plain(Rcode::NoError, Some(number), None)
            },
            false => Answer {
                origin_at,
                body: AnswerSection::Referral(fixed, at),
                ..plain(Rcode::NoError, Some(number), None)
            },
        };
    }
    let (found, max_ttl) = match &zone.logins {
        None => (find(&snapshot.tables, zone, asked, items), u32::MAX),
        Some(logins) => logins.find(zone, asked, now),
    };
    let mut out = Answer {
        origin_at,
        max_ttl,
        ..plain(Rcode::NoError, Some(number), None)
    };
    let [_, negative_ttl, nodata_ttl] = zone.ttls;
    match (found, query.qtype) {
        (Found::Missing, _) => (out.rcode, out.negative) = (Rcode::NxDomain, Some(negative_ttl)),
        (Found::Empty, _) => out.negative = Some(nodata_ttl),
        (Found::Excluded, rtype::HINFO | rtype::ANY) => out.body = AnswerSection::Excluded,
        (Found::Excluded, _) => out.negative = Some(negative_ttl),
        (Found::Listed(l), rtype::A | rtype::ANY) => out.body = AnswerSection::Codes(l),
        (Found::Listed(l), rtype::TXT) if has_text(snapshot, zone, &l) => {
            out.body = AnswerSection::Texts(l);
        }
        (Found::Listed(_), _) => out.negative = Some(negative_ttl),
        (Found::Static(_), rtype::SOA) if asked.count == 0 => out.body = AnswerSection::Soa,
        (Found::Static(f), qtype) => match f
            .rrs
            .iter()
            .find(|r| qtype == rtype::ANY || r.rtype == qtype)
        {
            Some(rr) => out.body = AnswerSection::Static(f, rr.rtype),
            None => out.negative = Some(negative_ttl),
        },
    }
    out
}

/// REFUSED with an extended error, or, if the zone configures it, an A record in 127.255.255.0/24.
fn refused(zone: &ZoneView, number: usize, origin_at: usize, qtype: u16) -> Answer<'static> {
    let ede = Some((
        18,
        "this client may not query this zone; see its operator's policy",
    ));
    match zone.spec.query.refused_code {
        Some(code) if qtype == rtype::A => Answer {
            origin_at,
            body: AnswerSection::RefusedCode(code.octets()),
            ..plain(Rcode::NoError, Some(number), ede)
        },
        _ => plain(Rcode::Refused, Some(number), ede),
    }
}

/// Whether a listing has a text: without one it has no TXT record.
fn has_text(snapshot: &Snapshot, zone: &ZoneView, listing: &Listing) -> bool {
    texts(&snapshot.tables.interned, zone, listing)
        .next()
        .is_some()
}
