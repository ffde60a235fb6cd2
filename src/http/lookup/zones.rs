//! What zones answer for a subject.

use std::net::Ipv4Addr;

use super::widening::published_network;
use crate::{
    api::{OmittedExportResponse, SubjectZoneResponse, ZoneCodes},
    index::{
        Asked, Found, Snapshot, ZoneView, find, ip6,
        listing::labels_in,
        render::{self, Rendered},
        zones::rtype,
    },
    lists::write::limits,
    model::{Subject, ZoneKind},
};

/// The zones that list a subject, each with its codes.
pub fn published(snapshot: &Snapshot, subject: &Subject) -> Vec<ZoneCodes> {
    let zones = snapshot.zones.all().iter();
    let answers = zones.filter_map(|z| Some((z, answer(snapshot, z, subject)?)));
    answers
        .filter(|(_, a)| !a.codes.is_empty())
        .map(|(zone, a)| ZoneCodes {
            zone: a.zone,
            codes: a.codes,
            network: published_network(snapshot, zone, subject).map(|n| n.to_string()),
        })
        .collect()
}

/// What each zone that has subjects of this kind answers.
pub(super) fn zone_answers(snapshot: &Snapshot, subject: &Subject) -> Vec<SubjectZoneResponse> {
    let zones = snapshot.zones.all().iter();
    zones.filter_map(|z| answer(snapshot, z, subject)).collect()
}

/// What a zone answers for a subject; for a prefix, for its first address; for `*.a.b`, for a name
/// below `a.b`.
pub(super) fn answer(
    snapshot: &Snapshot,
    zone: &ZoneView,
    subject: &Subject,
) -> Option<SubjectZoneResponse> {
    // Who is logged in is no listing, and not for the public.
    if zone.spec.is_volatile() {
        return None;
    }
    let (never_asked, not_exported) = match subject {
        Subject::Domain(d) => (limits::never_asked(zone, d), limits::left_out(zone, d)),
        _ => (None, Vec::new()),
    };
    let omitted = |o: limits::FormatLimit| OmittedExportResponse {
        format: o.format.into(),
        cause: o.why,
    };
    let (codes, texts) = if never_asked.is_some() {
        Default::default()
    } else {
        records(snapshot, zone, subject)?
    };
    Some(SubjectZoneResponse {
        zone: zone.name.to_string(),
        codes,
        texts,
        rules: Vec::new(),
        never_asked,
        not_exported: not_exported.into_iter().map(omitted).collect(),
    })
}

/// The A and TXT records of a subject in a zone; `None` if the zone does not have subjects of this
/// kind.
fn records(
    snapshot: &Snapshot,
    zone: &ZoneView,
    subject: &Subject,
) -> Option<(Vec<String>, Vec<String>)> {
    let name = query_name(zone, subject)?;
    let wire = crate::index::zones::wire_name(&name).ok()?;
    let wire = wire.get(..wire.len() - zone.origin.len())?;
    let (mut starts, mut at) = (Vec::new(), 0);
    for label in labels_in(wire) {
        starts.push(at as u8);
        at += label.len() + 1;
    }
    let asked = Asked::new(wire, &starts);
    let (mut scratch, mut codes, mut texts) = (None, Vec::new(), Vec::new());
    let found = match find(&snapshot.tables, zone, &asked, &mut scratch) {
        Found::Listed(listing) => Rendered::Listed(listing),
        Found::Static(fixed) => Rendered::Static(fixed),
        _ => return Some((codes, texts)),
    };
    let interned = &snapshot.tables.interned;
    render::records(interned, zone, &found, &mut |rtype, _, data| match rtype {
        rtype::A => codes.extend(
            data.first_chunk::<4>()
                .map(|a| Ipv4Addr::from(*a).to_string()),
        ),
        rtype::TXT => texts.push(first_string(data)),
        _ => {}
    });
    Some((codes, texts))
}

/// The first string of TXT data.
fn first_string(data: &[u8]) -> String {
    let text = data.split_first().map_or(&[][..], |(len, rest)| {
        &rest[..usize::from(*len).min(rest.len())]
    });
    String::from_utf8_lossy(text).into_owned()
}

/// The name that clients query in a zone for a subject; `None` if the zone does not have subjects of
/// this kind.
pub(super) fn query_name(zone: &ZoneView, subject: &Subject) -> Option<String> {
    let name = match (zone.spec.kind, subject) {
        (_, Subject::V4(p)) if zone.has_ip4 => {
            let [a, b, c, d] = p.first().to_be_bytes();
            format!("{d}.{c}.{b}.{a}.{}", zone.name)
        }
        (_, Subject::V6(p)) if zone.has_ip6 => {
            let nibbles = ip6::nibbles(p.first()).into_iter().rev();
            let labels: String = nibbles.map(|n| format!("{n:x}.")).collect();
            format!("{labels}{}", zone.name)
        }
        (ZoneKind::Domain, Subject::Domain(d)) => {
            let below = if d.scope().name() { "" } else { "any." };
            format!("{below}{}.{}", d.name(), zone.name)
        }
        (ZoneKind::Hash, Subject::Domain(d))
            if zone.spec.digest.is_some_and(|digest| digest.publishes(d)) =>
        {
            format!("{}.{}", d.name(), zone.name)
        }
        _ => return None,
    };
    Some(name)
}

/// A `dig` command that shows what mail servers see.
pub(super) fn dig_command(zone: &ZoneView, subject: &Subject) -> Option<String> {
    let name = query_name(zone, subject)?;
    // The characters of a domain name need no quotes in a shell.
    Some(format!("dig +noall +answer {name} A {name} TXT"))
}
