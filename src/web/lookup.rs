//! Where a subject stands, and why.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{App, error::Problem};
use crate::{
    dns::{Peer, TCP_SIZE, respond},
    index::{Snapshot, ZoneView, zones::rtype},
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
        for wider in wider(&subject) {
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

/// The subjects that could cover this one, the nearest first.
fn wider(subject: &Subject) -> Vec<Subject> {
    use crate::model::{Domain, Scope, special};
    match subject {
        Subject::V4(p) => (special::WIDEST4..p.len()).rev().map(|l| Subject::V4(p.widen(l))).collect(),
        Subject::V6(p) => (special::WIDEST6..p.len()).rev().map(|l| Subject::V6(p.widen(l))).collect(),
        Subject::Domain(d) => {
            let above = d.name().match_indices('.').map(|(i, _)| &d.name()[i + 1..]);
            let mut out: Vec<Subject> = Vec::new();
            if d.scope() == Scope::Name {
                out.push(Subject::Domain(Domain::from_canonical(d.name(), Scope::Tree)));
            }
            for name in above {
                out.extend([Scope::Below, Scope::Tree].map(|s| Subject::Domain(Domain::from_canonical(name, s))));
            }
            out
        }
    }
}

/// Asks a zone as a mail server would, for the subject itself (a prefix: its first address; `*.a.b`: a name below).
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
    let ask = |qtype: u16| {
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(crate::index::zones::wire_name(&name).ok()?);
        query.extend(qtype.to_be_bytes());
        query.extend([0, 1]);
        let mut out = vec![0; TCP_SIZE];
        let peer = Peer { addr: std::net::Ipv6Addr::LOCALHOST.into(), stream: true };
        let outcome = respond(snapshot, &query, peer, Time(0), &mut out);
        Some(data(&out[..outcome.len], query.len(), qtype))
    };
    Some(ZoneAnswer { zone: zone.name.to_string(), a: ask(rtype::A)?, txt: ask(rtype::TXT)? })
}

/// The records' data of a reply of ours, whose owners are all pointers.
fn data(reply: &[u8], question_end: usize, qtype: u16) -> Vec<String> {
    let mut out = Vec::new();
    let count = reply.get(6..8).map_or(0, |c| u16::from_be_bytes([c[0], c[1]]));
    let mut at = question_end;
    for _ in 0..count {
        let Some(len) = reply.get(at + 10..at + 12) else { break };
        let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
        let Some(data) = reply.get(at + 12..at + 12 + len) else { break };
        match (qtype, data) {
            (rtype::A, [a, b, c, d]) => out.push(format!("{a}.{b}.{c}.{d}")),
            (rtype::TXT, [_, text @ ..]) => out.push(String::from_utf8_lossy(text).into_owned()),
            _ => {}
        }
        at += 12 + len;
    }
    out
}
