//! Look-ups of a subject: everything with its history for operators, the public part for every
//! client.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Json,
    extract::{RawQuery, State},
    response::Response,
};

use super::{
    App,
    caller::ClientAddress,
    claims,
    convert::{event, hold, listing, revision_text, with_revision},
    handler::{JsonResult, blocking},
    input::Part,
    listings::exemption,
    subject,
};
use crate::{
    api::{
        CoverResponse, ListingResponse, LookupQuery, LookupReasonResponse, LookupResponse,
        LookupZoneResponse, OmittedExportResponse, ProblemDetails, RemainingListing,
        SubjectResponse, SubjectZoneResponse, UnaskableZoneResponse, ZoneCodes,
    },
    index::{
        Asked, Found, Snapshot, ZoneView, find,
        find::labels_in,
        render::{self, Rendered},
        trie,
        zones::rtype,
    },
    lists::write::limits,
    model::{Entry, Event, Subject, Verdict, ZoneKind, subject::HostBits},
    store::{Dictionary, Store, StoreError, schema::revision},
};

/// The listings of a subject and of the wider subjects that cover it, except suppressed ones.
pub fn remaining(store: &Store, subject: &Subject) -> Result<Vec<RemainingListing>, StoreError> {
    let dictionary = store.dictionary();
    let mut out = Vec::new();
    for s in std::iter::once(subject.clone()).chain(subject.wider()) {
        let verdict = store.verdict(&s)?;
        let suppressed = |e: &Entry| verdict.is_suppressed(e.reason, e.source);
        let listed = verdict.entries.iter();
        let listed = listed.filter(|e| !e.exclusion && !suppressed(e));
        out.extend(listed.map(|e| RemainingListing {
            subject: s.to_string(),
            source: dictionary.sources.name(e.source).into(),
            feed: e.source.is_feed(),
            reason: dictionary.reasons.name(e.reason).into(),
        }));
    }
    Ok(out)
}

/// Returns everything that is known about a subject: its listings, holds and history, and what each
/// zone answers.
#[utoipa::path(get, path = "/v1/subjects/{subject}", tag = "listings", params(("subject" = String, Path, description = "An address, a prefix (its `/` as %2F) or a domain")),
    responses((status = 200, body = SubjectResponse, description = "What is known about the subject")))]
pub async fn get_subject(
    State(app): State<App>,
    Part(text): Part,
) -> Result<Response, ProblemDetails> {
    let subject = subject::stored(&app, &text, HostBits::Refuse)?;
    let found = blocking(move || Ok(find_subject(&app, &subject)?)).await?;
    Ok(with_revision(&found.revision, &found))
}

fn find_subject(app: &App, subject: &Subject) -> Result<SubjectResponse, StoreError> {
    let (store, snapshot) = (&app.ledger.store, app.ledger.published.snapshot());
    let dictionary = store.dictionary();
    let listings = |s: &Subject, verdict: &Verdict, history: &[Event]| {
        let entries = verdict.entries.iter();
        let listings = entries.map(|e| {
            let listing = listing(&dictionary, s, verdict, e, history);
            let note = list_note(store, &dictionary, s, e)?.or(listing.note);
            Ok(ListingResponse { note, ..listing })
        });
        listings.collect::<Result<Vec<_>, StoreError>>()
    };
    let mut covered_by = Vec::new();
    for wider in subject.wider() {
        let verdict = store.verdict(&wider)?;
        if !verdict.is_empty() {
            covered_by.push(CoverResponse {
                subject: wider.to_string(),
                entries: listings(&wider, &verdict, &store.history(&wider)?)?,
                exempt: verdict.exempt.is_some(),
            });
        }
    }
    let (verdict, history) = (store.verdict(subject)?, store.history(subject)?);
    let zones = zone_answers(&snapshot, subject);
    let holds = verdict.holds.iter();
    Ok(SubjectResponse {
        subject: subject.to_string(),
        listed: zones.iter().any(|z| !z.codes.is_empty()),
        entries: listings(subject, &verdict, &history)?,
        exempt: exemption(subject, &verdict),
        holds: holds.map(|h| hold(&dictionary, subject, h)).collect(),
        covered_by,
        zones,
        history: history.iter().map(|e| event(e, &dictionary)).collect(),
        revision: revision_text(revision(&verdict)),
    })
}

/// The note of a feed's list about an entry, for operators.
fn list_note(
    store: &Store,
    dictionary: &Dictionary,
    subject: &Subject,
    e: &Entry,
) -> Result<Option<String>, StoreError> {
    let record = dictionary.records.get(usize::from(e.source.0));
    let generation = record.map_or(0, |r| r.generation);
    if !e.source.is_feed() || generation == 0 {
        return Ok(None);
    }
    let mut row = store.feed_row(e.source, generation, subject)?.into_iter();
    let entry = row.find(|f| f.reason == e.reason);
    Ok(entry.and_then(|f| f.note).map(String::from))
}

/// Reads the subject of a public look-up: `subject=`, `ip=`, the bare address of the old form, or
/// the address of the client.
fn read_subject(query: Option<&str>, client: Option<IpAddr>) -> Result<Subject, ProblemDetails> {
    let query = query.unwrap_or_default();
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let value = |name: &str| {
        let mut pairs = pairs.iter();
        pairs.find(|(k, _)| k == name).map(|(_, v)| v.clone())
    };
    // Without `=` the whole query is the name of one pair.
    let bare = || match &pairs[..] {
        [(text, value)] if value.is_empty() && !query.contains('=') => Some(text.clone()),
        _ => None,
    };
    let text = value("subject").or_else(|| value("ip")).or_else(bare);
    match (text, client.filter(|_| query.is_empty())) {
        (Some(text), _) => Subject::parse(text.trim(), HostBits::Refuse)
            .map_err(|e| ProblemDetails::invalid(format!("subject: {e}"))),
        (None, Some(addr)) => Ok(Subject::host(addr)),
        (None, None) => Err(ProblemDetails::invalid(
            "subject: it must be an address, a prefix or a domain",
        )),
    }
}

/// Looks up whether a subject is listed: in which zones, why, since when, and what its owner can
/// do.
///
/// The query may also be the bare address.
#[utoipa::path(get, path = "/lookup", tag = "public", params(LookupQuery),
    responses((status = 200, body = LookupResponse, description = "The public information about the subject")))]
pub async fn lookup(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    RawQuery(query): RawQuery,
) -> JsonResult<LookupResponse> {
    let subject = read_subject(query.as_deref(), client)?;
    let client = client.unwrap_or(Ipv4Addr::LOCALHOST.into());
    blocking(move || Ok(Json(find_public(&app, &subject, client)?))).await
}

/// Looks up a subject under the path of earlier look-up pages.
#[utoipa::path(get, path = "/nph-lookup", tag = "public", params(LookupQuery),
    responses((status = 200, body = LookupResponse, description = "The public information about the subject")))]
pub async fn lookup_by_old_path(
    app: State<App>,
    client: ClientAddress,
    query: RawQuery,
) -> JsonResult<LookupResponse> {
    lookup(app, client, query).await
}

fn find_public(app: &App, subject: &Subject, client: IpAddr) -> Result<LookupResponse, StoreError> {
    let (store, snapshot) = (&app.ledger.store, app.ledger.published.snapshot());
    let dictionary = store.dictionary();
    // The verdicts of the subject and of all that covers it, read once for all zones, and only if
    // a zone lists it.
    let mut verdicts: Option<Vec<(Subject, Verdict)>> = None;
    let (mut zones, mut never_asked) = (Vec::new(), Vec::new());
    for z in snapshot.zones.all().iter().filter(|z| z.allows(client)) {
        let Some(answer) = answer(&snapshot, z, subject) else {
            continue;
        };
        if let Some(why) = answer.never_asked {
            never_asked.push(UnaskableZoneResponse {
                zone: answer.zone,
                cause: why,
            });
            continue;
        }
        if answer.codes.is_empty() {
            continue;
        }
        let verdicts = match &mut verdicts {
            Some(verdicts) => verdicts,
            unread => unread.insert(covering_verdicts(store, subject)?),
        };
        zones.push(LookupZoneResponse {
            zone: answer.zone,
            codes: answer.codes,
            texts: answer.texts,
            reasons: reasons(&dictionary, z, verdicts),
            contact: z.spec.contact.clone(),
        });
    }
    let relay_tests = host_address(subject)
        .filter(|_| !zones.is_empty())
        .and_then(|a| claims::relay_findings(&app.relay, a, client));
    let what_to_do = match zones.is_empty() {
        true => "Nothing: it is not listed here.".to_string(),
        false if relay_tests.as_ref().is_some_and(|t| t.inputs.is_empty()) => {
            "Close the server to relaying, restart it, and claim that it is closed (POST /claims): it is tested again and released.".into()
        }
        false => "Read the text of each zone and fix what it names. Then write to the contact of the zone and ask for the removal.".into(),
    };
    Ok(LookupResponse {
        answer: match zones.is_empty() {
            true => crate::api::LookupAnswer::NeverListed,
            false => crate::api::LookupAnswer::Listed,
        },
        past: None,
        other_lists: Vec::new(),
        bounce: None,
        removal: Vec::new(),
        timeline: Vec::new(),
        host_name: None,
        network: None,
        cache_seconds: 0,
        dig: Vec::new(),
        subject: subject.to_string(),
        listed: !zones.is_empty(),
        zones,
        never_asked,
        relay_tests,
        what_to_do,
    })
}

/// The verdicts of a subject and of the wider subjects that cover it, if they have entries.
fn covering_verdicts(
    store: &Store,
    subject: &Subject,
) -> Result<Vec<(Subject, Verdict)>, StoreError> {
    let mut out = Vec::new();
    for s in std::iter::once(subject.clone()).chain(subject.wider()) {
        let verdict = store.verdict(&s)?;
        if !verdict.entries.is_empty() {
            out.push((s, verdict));
        }
    }
    Ok(out)
}

/// The address of a subject that is a single host.
fn host_address(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::V4(p) if p.len() == 32 => Some(IpAddr::V4(p.first().into())),
        Subject::V6(p) if p.len() == 128 => Some(IpAddr::V6(p.first().into())),
        _ => None,
    }
}

/// The published reasons of a zone that apply, each once: the nearest listing, and the oldest of
/// several sources.
fn reasons(
    dictionary: &Dictionary,
    z: &ZoneView,
    verdicts: &[(Subject, Verdict)],
) -> Vec<LookupReasonResponse> {
    let mut out = Vec::new();
    for p in &z.publish {
        let mut oldest = verdicts.iter().map(|(s, verdict)| {
            let entries = verdict.in_force().filter(|e| e.reason == p.reason);
            (s, entries.min_by_key(|e| e.since))
        });
        if let Some((s, Some(e))) = oldest.find(|(_, e)| e.is_some()) {
            out.push(LookupReasonResponse {
                reason: dictionary.reasons.name(e.reason).into(),
                listed: s.to_string(),
                since: e.since.into(),
                until: e.until.map(Into::into),
                source: None,
            });
        }
    }
    out
}

/// The zones that list a subject, each with its codes.
pub fn published(snapshot: &Snapshot, subject: &Subject) -> Vec<ZoneCodes> {
    let answers = zone_answers(snapshot, subject).into_iter();
    answers
        .filter(|a| !a.codes.is_empty())
        .map(|a| ZoneCodes {
            zone: a.zone,
            codes: a.codes,
        })
        .collect()
}

/// What each zone that has subjects of this kind answers.
fn zone_answers(snapshot: &Snapshot, subject: &Subject) -> Vec<SubjectZoneResponse> {
    let zones = snapshot.zones.all().iter();
    zones.filter_map(|z| answer(snapshot, z, subject)).collect()
}

/// What a zone answers for a subject; for a prefix, for its first address; for `*.a.b`, for a name
/// below `a.b`.
fn answer(snapshot: &Snapshot, zone: &ZoneView, subject: &Subject) -> Option<SubjectZoneResponse> {
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
    let name = match (zone.spec.kind, subject) {
        (ZoneKind::Address, Subject::V4(p)) => {
            let [a, b, c, d] = p.first().to_be_bytes();
            format!("{d}.{c}.{b}.{a}.{}", zone.name)
        }
        (ZoneKind::Address, Subject::V6(p)) => {
            let nibbles = trie::nibbles(p.first()).into_iter().rev();
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
        Found::Fixed(fixed) => Rendered::Fixed(fixed),
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
