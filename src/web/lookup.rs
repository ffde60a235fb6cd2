//! Where a subject stands, and why.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{App, error::Problem};
use std::net::Ipv4Addr;

use crate::{
    index::{
        Asked, Found, Snapshot, ZoneView, find,
        find::labels_in,
        zones::{rtype, txt_data},
    },
    model::{Subject, Time, Verdict, ZoneKind, history::What, subject::HostBits},
    store::Vocabulary,
};

/// What a zone answers for the subject.
#[derive(Debug, Serialize)]
struct ZoneAnswer {
    zone: String,
    a: Vec<String>,
    txt: Vec<String>,
}

/// `GET /v1/subjects/{subject}`: verdict, history, and what each zone answers.
pub(super) async fn subject(State(app): State<App>, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let subject = Subject::parse(&text, HostBits::Refuse).map_err(Problem::invalid)?;
    let store = app.ledger.store.clone();
    let snapshot = app.ledger.published.snapshot();
    let found = tokio::task::spawn_blocking(move || -> Result<Value, Problem> {
        let verdict = store.verdict(&subject)?;
        let history = store.history(&subject)?;
        let v = store.vocabulary();
        let zones: Vec<ZoneAnswer> = snapshot.zones.all().iter().filter_map(|z| answers(&snapshot, z, &subject)).collect();
        let mut covers = Vec::new();
        for wider in subject.wider() {
            let found = store.verdict(&wider)?;
            if !found.is_empty() {
                covers.push(json!({"subject": wider, "entries": entries(&found, &v), "exempt": found.exempt.is_some()}));
            }
        }
        Ok(json!({
            "subject": subject,
            "listed": zones.iter().any(|z| !z.a.is_empty()),
            "entries": entries(&verdict, &v),
            "exempt": verdict.exempt.as_ref().map(|e| json!({"since": e.since.to_string(), "until": e.until.map(|t| t.to_string())})),
            "holds": verdict.holds.iter().map(|h| json!({
                "reason": v.reasons.name(h.reason), "source": v.sources.name(h.source), "since": h.since.to_string(), "until": h.until.to_string(),
            })).collect::<Vec<_>>(),
            "covered_by": covers,
            "zones": zones,
            "history": history.iter().map(|e| event(e, &v)).collect::<Vec<_>>(),
        }))
    });
    found.await.map_err(|e| Problem::invalid(e.to_string()))?.map(Json)
}

fn entries(verdict: &Verdict, v: &Vocabulary) -> Vec<Value> {
    let one = |e: &crate::model::Entry| {
        json!({
            "reason": v.reasons.name(e.reason),
            "source": v.sources.name(e.source),
            "since": e.since.to_string(),
            "until": e.until.map(|t: Time| t.to_string()),
            "text": e.text,
            "hole": e.hole,
            "held": verdict.held(e.reason, e.source),
        })
    };
    verdict.entries.iter().map(one).collect()
}

fn event(e: &crate::model::Event, v: &Vocabulary) -> Value {
    let mut out = json!({"at": e.at.to_string(), "author": e.author, "evidence": e.evidence});
    let (name, about, until) = match &e.what {
        What::Listed { reason, source, until, hole, .. } => (if *hole { "excepted" } else { "listed" }, Some((reason, source)), *until),
        What::Delisted { reason, source } => ("delisted", Some((reason, source)), None),
        What::Expired { reason, source } => ("expired", Some((reason, source)), None),
        What::Dropped { reason, source } => ("dropped", Some((reason, source)), None),
        What::Held { reason, source, until } => ("held", Some((reason, source)), Some(*until)),
        What::HoldEnded { reason, source } => ("hold_ended", Some((reason, source)), None),
        What::Exempted { until } => ("exempted", None, *until),
        What::ExemptEnded => ("exempt_ended", None, None),
    };
    out["event"] = name.into();
    if let Some((reason, source)) = about {
        out["reason"] = v.reasons.name(*reason).into();
        out["source"] = v.sources.name(*source).into();
    }
    if let Some(t) = until {
        out["until"] = t.to_string().into();
    }
    out
}

/// What a zone says to whoever may ask it, of the subject itself (a prefix: its first address; `*.a.b`: a name below).
fn answers(snapshot: &Snapshot, zone: &ZoneView, subject: &Subject) -> Option<ZoneAnswer> {
    let name = match (zone.spec.kind, subject) {
        (ZoneKind::Address, Subject::V4(p)) => {
            let [a, b, c, d] = p.first().to_be_bytes();
            format!("{d}.{c}.{b}.{a}.{}", zone.name)
        }
        (ZoneKind::Address, Subject::V6(p)) => {
            let n: Vec<String> = crate::index::trie::nibbles(p.first()).iter().rev().map(|n| format!("{n:x}")).collect();
            format!("{}.{}", n.join("."), zone.name)
        }
        (ZoneKind::Domain, Subject::Domain(d)) => {
            let below = if d.scope().name() { "" } else { "any." };
            format!("{below}{}.{}", d.name(), zone.name)
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
            for (template, item) in crate::index::render::texts(&snapshot.tables.interned, zone, &l) {
                let mut subject = String::new();
                let _ = l.write_subject(item, &mut subject);
                txt.push(string(&txt_data(template, &subject)));
            }
        }
        Found::Fixed(f) => {
            let of = |rtype: u16| f.rrs.iter().filter(move |r| r.rtype == rtype);
            a.extend(of(rtype::A).filter_map(|r| Some(Ipv4Addr::from(*r.data.first_chunk::<4>()?).to_string())));
            txt.extend(of(rtype::TXT).map(|r| string(&r.data)));
        }
        _ => {}
    }
    Some(ZoneAnswer { zone: zone.name.to_string(), a, txt })
}

/// The first string of TXT data.
fn string(data: &[u8]) -> String {
    let text = data.split_first().map_or(&[][..], |(len, rest)| &rest[..usize::from(*len).min(rest.len())]);
    String::from_utf8_lossy(text).into_owned()
}
