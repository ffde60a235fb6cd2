//! Changes one by one, and as a stream.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{App, Caller, error::Problem};
use crate::{
    ledger::{Pending, now},
    model::{
        Change, Evidence, SourceId, Subject, Terms,
        history::{Ask, HoldFor},
        subject::HostBits,
        time::until,
    },
};

/// Changes of a stream that are on their way at the same time.
const IN_FLIGHT: usize = 1024;
/// The longest line of a stream.
const MAX_LINE: usize = 128 * 1024;

/// What a request says. The same shape for one listing and for a line of a stream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordered {
    /// `list` (also where it is left out), `delist`, `exempt`, `unexempt`.
    #[serde(default)]
    op: Option<String>,
    subject: String,
    reason: Option<String>,
    source: Option<String>,
    until: Option<String>,
    text: Option<String>,
    note: Option<String>,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    host_bits: bool,
    /// Of `delist`: it was a mistake, and may come back.
    #[serde(default)]
    no_hold: bool,
    /// Of `list`: a granted removal is no reason not to.
    #[serde(default)]
    break_hold: bool,
}

/// Makes a change of what was ordered.
fn change(app: &App, ordered: Ordered, author: &str) -> Result<Change, Problem> {
    let bits = if ordered.host_bits { HostBits::Clear } else { HostBits::Refuse };
    let subject = Subject::parse(&ordered.subject, bits).map_err(|e| Problem::invalid(format!("subject: {e}")))?;
    let vocabulary = app.ledger.store.vocabulary();
    let known = || vocabulary.reasons.0.all().join(", ");
    let reason = |name: &String| {
        let found = vocabulary.reasons.get(name);
        found.ok_or_else(|| Problem::invalid(format!("reason: `{name}` is not in config.toml; there are {}", known())))
    };
    let source = |name: &String| vocabulary.sources.get(name).ok_or_else(|| Problem::invalid(format!("source: there is no `{name}`")));
    let until = ordered.until.as_ref().map(|u| until(u, now()).map_err(|e| Problem::invalid(format!("until: {e}")))).transpose()?;
    let long = [&ordered.text, &ordered.note].into_iter().flatten().any(|t| t.len() > Evidence::MAX_TEXT);
    if long {
        return Err(Problem::invalid(format!("text, note: at most {} bytes", Evidence::MAX_TEXT)));
    }
    let ask = match ordered.op.as_deref() {
        None | Some("list") => Ask::List {
            reason: ordered
                .reason
                .as_ref()
                .map(reason)
                .transpose()?
                .ok_or_else(|| Problem::invalid(format!("reason: say one of {}", known())))?,
            source: ordered.source.as_ref().map(source).transpose()?.unwrap_or(SourceId::OPERATOR),
            until,
            text: ordered.text.map(Into::into),
        },
        Some("delist") => Ask::Delist {
            reason: ordered.reason.as_ref().map(reason).transpose()?,
            source: ordered.source.as_ref().map(source).transpose()?,
            hold: match (until, ordered.no_hold) {
                (_, true) => HoldFor::Nothing,
                (Some(t), _) => HoldFor::Until(t),
                (None, _) => HoldFor::Usual,
            },
        },
        Some("exempt") => Ask::Exempt { until },
        Some("unexempt") => Ask::Unexempt,
        Some(op) => return Err(Problem::invalid(format!("op: `{op}` is not list, delist, exempt or unexempt"))),
    };
    let terms = Terms { special: ordered.special, breaks_hold: ordered.break_hold, ..Terms::default() };
    Ok(Change { subject, author: author.into(), evidence: ordered.note.map(Evidence::word), ask, terms })
}

/// `POST /v1/listings`: one change; 201 with its receipt, which is true in DNS when it arrives.
pub(super) async fn create(State(app): State<App>, ConnectInfo(caller): ConnectInfo<Caller>, body: Bytes) -> Result<Response, Problem> {
    let ordered = serde_json::from_slice(&body).map_err(|e| Problem::invalid(e.to_string()))?;
    let change = change(&app, ordered, &caller.0)?;
    let problem = |e| Problem::of(&e, &app.ledger.store.vocabulary());
    let receipt = app.ledger.submit(change).await.map_err(problem)?.receipt().await.map_err(problem)?;
    Ok((StatusCode::CREATED, Json(receipt)).into_response())
}

/// `POST /v1/bulk`: a change on each line; for each a line `{line, status, commit?, detail?}` in the same order.
///
/// What is on its way is limited, so a sender that does not read its answers is not read either.
pub(super) async fn bulk(State(app): State<App>, ConnectInfo(caller): ConnectInfo<Caller>, body: Body) -> Response {
    let (waiting, mut answers) = mpsc::channel::<(u64, Result<Pending, Problem>)>(IN_FLIGHT);
    let (out, lines) = mpsc::channel::<Result<Bytes, std::io::Error>>(16);
    let reader = app.clone();
    tokio::spawn(async move { read_lines(reader, caller, body, waiting).await });
    tokio::spawn(async move {
        let mut buffer = Vec::new();
        while let Some((line, pending)) = answers.recv().await {
            let result = match pending {
                Err(p) => Err(p),
                Ok(p) => p.receipt().await.map_err(|e| Problem::of(&e, &app.ledger.store.vocabulary())),
            };
            let value = match result {
                Ok(r) => json!({"line": line, "status": 201, "commit": r.commit}),
                Err(p) => json!({"line": line, "status": p.status, "detail": p.detail}),
            };
            buffer.extend(value.to_string().into_bytes());
            buffer.push(b'\n');
            let full = buffer.len() > 32 * 1024 || answers.is_empty();
            if full && out.send(Ok(std::mem::take(&mut buffer).into())).await.is_err() {
                return;
            }
        }
    });
    Body::from_stream(ReceiverStream::new(lines)).into_response()
}

async fn read_lines(app: App, caller: Caller, mut body: Body, waiting: mpsc::Sender<(u64, Result<Pending, Problem>)>) {
    let mut rest: Vec<u8> = Vec::new();
    let mut line = 0;
    loop {
        let frame = body.frame().await;
        let end = frame.is_none();
        match frame.map(|f| f.map(|f| f.into_data())) {
            Some(Ok(Ok(data))) => rest.extend(data),
            Some(Ok(Err(_))) => continue,
            Some(Err(_)) => return,
            None if rest.is_empty() => return,
            None => rest.push(b'\n'),
        }
        let mut used = 0;
        while let Some(n) = rest[used..].iter().position(|b| *b == b'\n') {
            let text = &rest[used..used + n];
            used += n + 1;
            line += 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let ordered = serde_json::from_slice::<Ordered>(text).map_err(|e| Problem::invalid(e.to_string()));
            let pending = match ordered.and_then(|o| change(&app, o, &caller.0)) {
                Ok(c) => app.ledger.submit(c).await.map_err(|e| Problem::of(&e, &app.ledger.store.vocabulary())),
                Err(p) => Err(p),
            };
            if waiting.send((line, pending)).await.is_err() {
                return;
            }
        }
        rest.drain(..used);
        if rest.len() > MAX_LINE {
            let _ = waiting.send((line + 1, Err(Problem::invalid(format!("a line has at most {MAX_LINE} bytes"))))).await;
            return;
        }
        if end {
            return;
        }
    }
}
