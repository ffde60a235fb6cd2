//! Look-up: where a subject stands and why; for operators with all its history, for everybody what
//! is public.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Extension, Json,
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    access::Peer,
    error::Problem,
    input::Part,
    shapes::{EventShape, ExemptShape, HoldShape, Listing, event, hex, hold, listing},
};
use crate::{
    index::{
        Asked, Found, Snapshot, ZoneView, find, find::labels_in, records::txt_data, zones::rtype,
    },
    lists::write::limits,
    model::{Entry, Subject, Verdict, ZoneKind, subject::HostBits},
    store::{Dictionary, Store, StoreError, schema::revision},
};

/// What a zone answers for the subject.
#[derive(Debug, Serialize, ToSchema)]
pub struct ZoneAnswer {
    zone: String,
    /// Its A records; empty: not listed there.
    a: Vec<String>,
    /// Its TXT records.
    txt: Vec<String>,
    /// Why no client can ask this zone for the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    never_asked: Option<String>,
    /// The export formats that leave the name out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_exported: Vec<NotExported>,
}

/// An export format that leaves a name out.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotExported {
    /// The format of `orbsd export`.
    format: String,
    /// Why a file of this format does not have the name.
    why: String,
}

/// Something wider that says something of the subject too.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cover {
    subject: String,
    entries: Vec<Listing>,
    exempt: bool,
}

/// Where a subject stands, and how it came there.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubjectShape {
    subject: String,
    /// Whether some zone lists it.
    listed: bool,
    /// What is said of it, by reason and source.
    entries: Vec<Listing>,
    exempt: Option<ExemptShape>,
    holds: Vec<HoldShape>,
    covered_by: Vec<Cover>,
    zones: Vec<ZoneAnswer>,
    /// All that was decided about it, the oldest first.
    history: Vec<EventShape>,
    /// For `If-Match`.
    revision: String,
}

/// What lists a subject, itself or by something wider, and is not held down: by whom, and for which
/// reason.
pub(super) fn listed_by(store: &Store, subject: &Subject) -> Result<Vec<String>, StoreError> {
    let v = store.dictionary();
    let mut out = Vec::new();
    for s in std::iter::once(subject.clone()).chain(subject.wider()) {
        let verdict = store.verdict(&s)?;
        for e in verdict
            .entries
            .iter()
            .filter(|e| !e.exclusion && !verdict.held(e.reason, e.source))
        {
            let kind = if e.source.is_feed() { "feed " } else { "" };
            let place = if s == *subject {
                String::new()
            } else {
                format!(" as part of {s}")
            };
            out.push(format!(
                "{kind}{} for {}{place}",
                v.sources.name(e.source),
                v.reasons.name(e.reason)
            ));
        }
    }
    Ok(out)
}

/// Verdict, history, and what each zone answers and why.
#[utoipa::path(get, path = "/v1/subjects/{subject}", tag = "listings", params(("subject" = String, Path, description = "An address, a prefix (its `/` as %2F) or a domain")),
    responses((status = 200, body = SubjectShape), Problem))]
pub(super) async fn subject(State(app): State<App>, Part(text): Part) -> Result<Response, Problem> {
    let subject = super::subject::stored(&app, &text, HostBits::Refuse)?;
    let (store, snapshot) = (app.ledger.store.clone(), app.ledger.published.snapshot());
    let found = tokio::task::spawn_blocking(move || -> Result<SubjectShape, Problem> {
        let (verdict, history, v) = (
            store.verdict(&subject)?,
            store.history(&subject)?,
            store.dictionary(),
        );
        let zones: Vec<ZoneAnswer> = snapshot
            .zones
            .all()
            .iter()
            .filter_map(|z| answers(&snapshot, z, &subject))
            .collect();
        let listings = |s: &Subject,
                        verdict: &Verdict,
                        history: &[crate::model::Event]|
         -> Result<Vec<Listing>, StoreError> {
            let each = verdict.entries.iter();
            each.map(|e| {
                let listing = listing(&v, s, verdict, e, history);
                Ok(Listing {
                    note: list_note(&store, &v, s, e)?.or(listing.note),
                    ..listing
                })
            })
            .collect()
        };
        let mut covered_by = Vec::new();
        for wider in subject.wider() {
            let found = store.verdict(&wider)?;
            if !found.is_empty() {
                let entries = listings(&wider, &found, &store.history(&wider)?)?;
                covered_by.push(Cover {
                    subject: wider.to_string(),
                    entries,
                    exempt: found.exempt.is_some(),
                });
            }
        }
        let exempt = verdict.exempt.as_ref().map(|e| ExemptShape {
            subject: subject.to_string(),
            since: e.since.to_string(),
            until: e.until.map(|t| t.to_string()),
            revision: hex(revision(&verdict)),
        });
        Ok(SubjectShape {
            subject: subject.to_string(),
            listed: zones.iter().any(|z| !z.a.is_empty()),
            entries: listings(&subject, &verdict, &history)?,
            exempt,
            holds: verdict
                .holds
                .iter()
                .map(|h| hold(&v, &subject, h))
                .collect(),
            covered_by,
            zones,
            history: history.iter().map(|e| event(e, &v)).collect(),
            revision: hex(revision(&verdict)),
        })
    });
    let found = found.await.map_err(Problem::failed)??;
    Ok((
        [(header::ETAG, format!("\"{}\"", found.revision))],
        Json(found),
    )
        .into_response())
}

/// What a feed's list says about an entry, for operators.
fn list_note(
    store: &Store,
    v: &Dictionary,
    subject: &Subject,
    e: &Entry,
) -> Result<Option<String>, StoreError> {
    let generation = v
        .records
        .get(usize::from(e.source.0))
        .map_or(0, |r| r.generation);
    if !e.source.is_feed() || generation == 0 {
        return Ok(None);
    }
    let row = store.feed_row(e.source, generation, subject)?;
    Ok(row
        .into_iter()
        .find(|f| f.reason == e.reason)
        .and_then(|f| f.note)
        .map(String::from))
}

/// Why a zone lists a subject, for everybody to read.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicReason {
    reason: String,
    /// What is listed: the subject, or what covers it.
    listed: String,
    since: String,
    /// When it ends by itself, where that is known.
    until: Option<String>,
}

/// What a zone says to everybody.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicZone {
    zone: String,
    /// The codes that mail servers see.
    codes: Vec<String>,
    /// The text that they show.
    texts: Vec<String>,
    why: Vec<PublicReason>,
    /// Whom to write to about this list.
    contact: String,
}

/// A zone that cannot be asked for a name.
#[derive(Debug, Serialize, ToSchema)]
pub struct NeverAsked {
    /// The zone's origin.
    zone: String,
    /// Why no client can ask it for the name.
    why: String,
}

/// The public answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Public {
    subject: String,
    listed: bool,
    /// The zones that list it.
    zones: Vec<PublicZone>,
    /// The zones that cannot be asked for the name, because name and zone together are too long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    never_asked: Vec<NeverAsked>,
    /// What relay tests have proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    tested: Option<super::claims::Tested>,
    /// What its owner can do.
    what_to_do: String,
}

/// The subject of a public look-up: `subject=`, `ip=`, or the bare address of the old form.
fn asked(query: Option<&str>, peer: Option<Peer>) -> Result<Subject, Problem> {
    let query = query.unwrap_or_default();
    let of = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let text = of("subject").or_else(|| of("ip")).or_else(|| {
        (!query.is_empty() && !query.contains(['=', '&'])).then(|| percent_decoded(query))
    });
    match (text, peer) {
        (Some(t), _) => Subject::parse(t.trim(), HostBits::Refuse)
            .map_err(|e| Problem::invalid(format!("subject: {e}"))),
        (None, Some(Peer::Net(addr))) if query.is_empty() => Ok(Subject::host(addr.to_canonical())),
        _ => Err(Problem::invalid(
            "subject: say an address, a prefix or a domain",
        )),
    }
}

/// Decodes percent signs; invalid UTF-8 is replaced.
pub(super) fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The public answer: listed or not, where, why, since when, and what to do. `?subject=`, `?ip=`,
/// or the bare address.
#[utoipa::path(get, path = "/lookup", security(()), tag = "public", params(("subject" = Option<String>, Query, description = "An address, a prefix or a domain"), ("ip" = Option<String>, Query, description = "The same")),
    responses((status = 200, body = Public), Problem))]
pub(super) async fn public(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Public>, Problem> {
    let subject = asked(query.as_deref(), peer.as_ref().map(|p| p.0))?;
    let client = match peer {
        Some(Extension(Peer::Net(addr))) => addr,
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let done = tokio::task::spawn_blocking(move || find_public(&app, &subject, client))
        .await
        .map_err(Problem::failed)?;
    Ok(Json(done?))
}

/// The same under its old name.
#[utoipa::path(get, path = "/nph-lookup", security(()), tag = "public", params(("ip" = Option<String>, Query)), responses((status = 200, body = Public), Problem))]
pub(super) async fn public_old(
    app: State<App>,
    peer: Option<Extension<Peer>>,
    query: RawQuery,
) -> Result<Json<Public>, Problem> {
    public(app, peer, query).await
}

fn find_public(app: &App, subject: &Subject, client: IpAddr) -> Result<Public, StoreError> {
    let (store, snapshot) = (&app.ledger.store, app.ledger.published.snapshot());
    let v = store.dictionary();
    // What is said of it and of all that covers it, read once for all zones, and only where some
    // zone lists it.
    let mut said: Option<Vec<(Subject, Verdict)>> = None;
    let (mut zones, mut never_asked) = (Vec::new(), Vec::new());
    for z in snapshot.zones.all().iter().filter(|z| z.allows(client)) {
        let Some(answer) = answers(&snapshot, z, subject) else {
            continue;
        };
        if let Some(why) = answer.never_asked {
            never_asked.push(NeverAsked {
                zone: answer.zone,
                why,
            });
            continue;
        }
        if answer.a.is_empty() {
            continue;
        }
        let said = match &mut said {
            Some(s) => s,
            none => {
                let mut all = Vec::new();
                for s in std::iter::once(subject.clone()).chain(subject.wider()) {
                    let verdict = store.verdict(&s)?;
                    if !verdict.entries.is_empty() {
                        all.push((s, verdict));
                    }
                }
                none.insert(all)
            }
        };
        zones.push(PublicZone {
            zone: answer.zone,
            codes: answer.a,
            texts: answer.txt,
            why: why(&v, z, said),
            contact: z.spec.contact.clone(),
        });
    }
    let tested = single(subject)
        .filter(|_| !zones.is_empty())
        .and_then(|a| super::claims::tested(&app.relay, a, client));
    let what_to_do = match zones.is_empty() {
        true => "Nothing: it is not listed here.".to_string(),
        false if tested.as_ref().is_some_and(|t| t.inputs.is_empty()) => {
            "Close the server to strangers, restart it, and file it closed (POST /claims): it is tested again and released.".into()
        }
        false => "Read the text of each zone and mend what it names. Then write to the contact of the zone and ask for its removal.".into(),
    };
    Ok(Public {
        subject: subject.to_string(),
        listed: !zones.is_empty(),
        zones,
        never_asked,
        tested,
        what_to_do,
    })
}

/// The host that a subject is.
fn single(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::V4(p) if p.len() == 32 => Some(IpAddr::V4(p.first().into())),
        Subject::V6(p) if p.len() == 128 => Some(IpAddr::V6(p.first().into())),
        _ => None,
    }
}

/// The reasons of a zone that are in force, each once: the nearest word, the longest standing of
/// several sources.
fn why(v: &Dictionary, z: &ZoneView, said: &[(Subject, Verdict)]) -> Vec<PublicReason> {
    let mut out = Vec::new();
    for p in &z.publish {
        let mut of = said.iter().map(|(s, verdict)| {
            let entries = verdict.in_force().filter(|e| e.reason == p.reason);
            (s, entries.min_by_key(|e| e.since))
        });
        if let Some((s, Some(e))) = of.find(|(_, e)| e.is_some()) {
            out.push(public_reason(v, s, e));
        }
    }
    out
}

fn public_reason(v: &Dictionary, subject: &Subject, e: &Entry) -> PublicReason {
    PublicReason {
        reason: v.reasons.name(e.reason).into(),
        listed: subject.to_string(),
        since: e.since.to_string(),
        until: e.until.map(|t| t.to_string()),
    }
}

/// The zones that list a subject, each with its codes, such as `relays.orbs.example 127.0.0.2`.
pub(super) fn published(snapshot: &Snapshot, subject: &Subject) -> Vec<String> {
    let answers = snapshot
        .zones
        .all()
        .iter()
        .filter_map(|z| answers(snapshot, z, subject));
    answers
        .filter(|a| !a.a.is_empty())
        .map(|a| format!("{} {}", a.zone, a.a.join(" ")))
        .collect()
}

/// What a zone says to whoever may ask it, of the subject itself (a prefix: its first address;
/// `*.a.b`: a name below).
fn answers(snapshot: &Snapshot, zone: &ZoneView, subject: &Subject) -> Option<ZoneAnswer> {
    let (never_asked, not_exported) = match subject {
        Subject::Domain(d) => (limits::never_asked(zone, d), limits::left_out(zone, d)),
        _ => (None, Vec::new()),
    };
    let not_exported = not_exported
        .into_iter()
        .map(|l| NotExported {
            format: l.format.into(),
            why: l.why,
        })
        .collect();
    let (a, txt) = if never_asked.is_some() {
        Default::default()
    } else {
        records(snapshot, zone, subject)?
    };
    Some(ZoneAnswer {
        zone: zone.name.to_string(),
        a,
        txt,
        never_asked,
        not_exported,
    })
}

/// The A and TXT records of a subject in a zone; `None` where the zone is not about such subjects.
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
            let n: Vec<String> = crate::index::trie::nibbles(p.first())
                .iter()
                .rev()
                .map(|n| format!("{n:x}"))
                .collect();
            format!("{}.{}", n.join("."), zone.name)
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
    let (mut scratch, mut a, mut txt) = (None, Vec::new(), Vec::new());
    match find(&snapshot.tables, zone, &asked, &mut scratch) {
        Found::Listed(l) => {
            for p in zone.publish.iter().filter(|p| l.item(p.reason).is_some()) {
                let code = Ipv4Addr::from(p.code).to_string();
                if !a.contains(&code) {
                    a.push(code);
                }
            }
            for (template, item) in crate::index::render::texts(&snapshot.tables.interned, zone, &l)
            {
                let mut subject = String::new();
                let _ = l.write_subject(item, &mut subject);
                txt.push(string(&txt_data(template, &subject)));
            }
        }
        Found::Fixed(f) => {
            let of = |rtype: u16| f.rrs.iter().filter(move |r| r.rtype == rtype);
            a.extend(
                of(rtype::A)
                    .filter_map(|r| Some(Ipv4Addr::from(*r.data.first_chunk::<4>()?).to_string())),
            );
            txt.extend(of(rtype::TXT).map(|r| string(&r.data)));
        }
        _ => {}
    }
    Some((a, txt))
}

/// The first string of TXT data.
fn string(data: &[u8]) -> String {
    let text = data.split_first().map_or(&[][..], |(len, rest)| {
        &rest[..usize::from(*len).min(rest.len())]
    });
    String::from_utf8_lossy(text).into_owned()
}
