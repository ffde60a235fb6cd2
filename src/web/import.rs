//! Imports: the body is the file.

use std::io::{self, Read};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Request, State},
    http::header,
};
use http_body_util::BodyExt;
use ring::digest;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Params, Part},
};
use crate::{
    intake::{self, Failed},
    ledger::{Keep, Refused, now},
    model::{Time, history::Once, time::Seconds},
    store::stage::Mode,
};

/// Pieces of a file that wait to be read.
const WAITING: usize = 16;
/// How long a sender may pause.
const STALL: std::time::Duration = std::time::Duration::from_secs(60);

/// The query of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    source: String,
    #[serde(default)]
    format: String,
    reason: Option<String>,
    codes: Option<String>,
    #[param(value_type = Option<String>)]
    mode: Option<Mode>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    allow_empty: bool,
    #[serde(default)]
    skip_errors: bool,
    #[serde(default)]
    host_bits: bool,
    #[serde(default)]
    special: bool,
    column: Option<String>,
    origin: Option<String>,
    dataset: Option<String>,
    subzone: Option<String>,
    max_age: Option<String>,
    /// What the file is called, for messages.
    #[serde(default)]
    file: String,
}

/// `POST /v1/imports?source&format&reason|codes&mode&dry_run…`: the body is the file, gzip or not, or several as
/// `multipart/form-data`. The answer is the same document for a dry run and the real thing.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", params(Asked), request_body(content = String, content_type = "application/octet-stream"), responses((status = 200, body = Value), Problem))]
pub(super) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(asked): Params<Asked>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    if !caller.bounds.reasons.is_empty() || !caller.bounds.prefixes.is_empty() {
        return Err(Problem::forbidden("a token that is bound to reasons or prefixes imports nothing; bind it to the source"));
    }
    caller.allow(None, None, Some(&asked.source))?;
    let (tx, rx) = mpsc::channel::<io::Result<Piece>>(WAITING);
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|k| k.to_str().ok()).unwrap_or("");
    if kind.starts_with("multipart/form-data") {
        let parts = Multipart::from_request(request, &()).await.map_err(|e| Problem::invalid(e.to_string()))?;
        tokio::spawn(send_parts(parts, tx));
    } else {
        let name = if asked.file.is_empty() { "-".to_string() } else { asked.file.clone() };
        tokio::spawn(send_body(request.into_body(), name, tx));
    }
    let mut pieces = Pieces { rx, piece: Bytes::new(), state: Where::Between, read: digest::Context::new(&digest::SHA256) };
    if let Some(once) = caller.once
        && let Some(before) = before(&app, once)?
    {
        let read = tokio::task::spawn_blocking(move || pieces.rest()).await.map_err(Problem::failed)?;
        let read = read.map_err(|e| Problem::new("unreadable", e.to_string()))?;
        return if before["sha256"] == read {
            Ok(Json(before))
        } else {
            Err(Problem::of(&Refused::OtherBody, &app.ledger.store.vocabulary()))
        };
    }
    let id = super::secrets::text(&super::secrets::random::<8>().map_err(Problem::failed)?);
    let since = now();
    let head = json!({"id": id, "state": "running", "source": asked.source, "since": since.to_string()});
    told(&app, &id, since, &head).await;
    let (of, place) = (app.clone(), id.clone());
    let done = tokio::task::spawn_blocking(move || run(&of, &asked, &caller, &place, pieces)).await.map_err(Problem::failed).flatten();
    let end = match &done {
        Ok(v) => v.clone(),
        Err(p) => json!({"id": id, "state": "failed", "source": head["source"], "since": head["since"], "problem": p}),
    };
    told(&app, &id, since, &end).await;
    done.map(Json)
}

/// What an import under the same key was told before.
fn before(app: &App, once: Once) -> Result<Option<Value>, Problem> {
    match app.ledger.store.answer(now(), &once.key)? {
        Some((body, _, text)) if body == once.body => Ok(Some(serde_json::from_str(&text).map_err(Problem::failed)?)),
        // It was done or was another one, and nothing more is known.
        _ => super::once::before(app, once).map(|_| None),
    }
}

/// Where an import stands, for who asks for it by its number; also when the daemon was stopped meanwhile.
async fn told(app: &App, id: &str, since: Time, told: &Value) {
    if let Err(e) = app.ledger.keep(Keep::Import(id.into(), since, told.to_string().into()), None).await {
        tracing::warn!(error = ?e, id, "what became of an import could not be written down");
    }
}

/// What became of an import: the same document as its own answer, or `running`, or `failed`; `cut` where the daemon ended
/// before it did. The last 200 are remembered.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports", params(("id" = String, Path)), responses((status = 200, body = Value), Problem))]
pub(super) async fn get(State(app): State<App>, Part(id): Part) -> Result<Json<Value>, Problem> {
    let book = app.ledger.book();
    let (since, text) = book.imports.get(&id).ok_or_else(|| Problem::not_found(format!("no import `{id}` is remembered")))?;
    let mut told: Value = serde_json::from_str(text).map_err(Problem::failed)?;
    if told["state"] == "running" && *since < app.started {
        told["state"] = "cut".into();
    }
    Ok(Json(told))
}

/// A part of what comes in.
enum Piece {
    /// A file begins.
    File(String),
    /// Some of its bytes.
    Data(Bytes),
    /// All files are there. A sender that went away before it has cut the last one short.
    End,
}

/// Waits for a sender, but not for ever: its source is busy meanwhile.
async fn patient<T, E: Into<axum::BoxError>>(next: impl Future<Output = Result<T, E>>) -> io::Result<T> {
    match tokio::time::timeout(STALL, next).await {
        Ok(Ok(t)) => Ok(t),
        Ok(Err(e)) => Err(io::Error::other(e)),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("the sender has sent nothing for {} s", STALL.as_secs()))),
    }
}

async fn send_body(mut body: Body, name: String, tx: mpsc::Sender<io::Result<Piece>>) {
    let mut next = Some(Ok(Piece::File(name)));
    while let Some(piece) = next {
        let last = piece.is_err();
        if tx.send(piece).await.is_err() || last {
            return;
        }
        let frame = patient(async { body.frame().await.transpose() }).await;
        next = match frame.map(|f| f.map(|f| f.into_data().unwrap_or_default())) {
            Ok(data) => data.map(|d| Ok(Piece::Data(d))),
            Err(e) => Some(Err(e)),
        };
    }
    let _ = tx.send(Ok(Piece::End)).await;
}

async fn send_parts(mut parts: Multipart, tx: mpsc::Sender<io::Result<Piece>>) {
    let result: io::Result<()> = async {
        let gone = || io::Error::other("nobody reads any more");
        while let Some(mut part) = patient(parts.next_field()).await? {
            let name = part.file_name().unwrap_or("-").to_string();
            tx.send(Ok(Piece::File(name))).await.map_err(|_| gone())?;
            while let Some(data) = patient(part.chunk()).await? {
                tx.send(Ok(Piece::Data(data))).await.map_err(|_| gone())?;
            }
        }
        tx.send(Ok(Piece::End)).await.map_err(|_| gone())
    }
    .await;
    if let Err(e) = result {
        let _ = tx.send(Err(e)).await;
    }
}

fn run(app: &App, asked: &Asked, caller: &Caller, id: &str, mut body: Pieces) -> Result<Value, Problem> {
    let max_age =
        asked.max_age.as_ref().map(|a| a.parse::<Seconds>()).transpose().map_err(|e| Problem::invalid(format!("max_age: {e}")))?;
    let list = intake::Asked {
        source: asked.source.clone(),
        format: asked.format.clone(),
        reasons: intake::Reasons { reason: asked.reason.clone(), codes: asked.codes.clone() },
        mode: asked.mode,
        dry_run: asked.dry_run,
        allow_empty: asked.allow_empty,
        skip_errors: asked.skip_errors,
        host_bits: asked.host_bits,
        special: asked.special,
        column: asked.column.clone(),
        origin: asked.origin.clone(),
        dataset: asked.dataset.clone(),
        subzone: asked.subzone.clone(),
        max_age,
        asked: Some(caller.line("import", &asked.source, "", None)),
    };
    let done = intake::run(&app.ledger, &list, &mut body).map_err(|e| match e {
        Failed::Refused(r) => Problem::of(&r, &app.ledger.store.vocabulary()),
        Failed::Invalid(why) => Problem::invalid(why),
        Failed::NoZone(why) => Problem::not_found(why),
        Failed::Busy(why) => Problem::refused(why),
    })?;
    Ok(json!({
        "id": id, "state": "done", "sha256": body.sum(), "source": asked.source, "format": done.format, "mode": done.mode, "dry_run": asked.dry_run,
        "receipt": done.result.receipt, "difference": done.result.difference, "report": done.report,
    }))
}

/// A zone by its origin or its file's stem.
pub(super) fn find_zone<'s>(snapshot: &'s crate::index::Snapshot, name: &str) -> Result<&'s crate::index::ZoneView, Problem> {
    intake::find_zone(snapshot, name).map_err(Problem::not_found)
}

/// Files as they come in: one after the other, each to its end.
struct Pieces {
    rx: mpsc::Receiver<io::Result<Piece>>,
    piece: Bytes,
    state: Where,
    /// The hash of all that was read.
    read: digest::Context,
}

enum Where {
    Between,
    Inside,
    /// The next file has begun already.
    At(String),
    Ended,
}

impl intake::Files for Pieces {
    fn next_file(&mut self) -> io::Result<Option<String>> {
        loop {
            match std::mem::replace(&mut self.state, Where::Between) {
                Where::At(name) => {
                    self.state = Where::Inside;
                    return Ok(Some(name));
                }
                Where::Ended => {
                    self.state = Where::Ended;
                    return Ok(None);
                }
                Where::Between | Where::Inside => self.advance()?,
            }
        }
    }
}

impl Pieces {
    /// The SHA-256 of the files as far as they were read, in hex.
    fn sum(&self) -> String {
        self.read.clone().finish().as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads what is left and throws it away; tells the sum of it all.
    fn rest(&mut self) -> io::Result<String> {
        while !matches!(self.state, Where::Ended) {
            self.advance()?;
        }
        Ok(self.sum())
    }

    /// Takes the next piece.
    fn advance(&mut self) -> io::Result<()> {
        match self.rx.blocking_recv() {
            None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the sender went away")),
            Some(piece) => match piece? {
                Piece::File(name) => self.state = Where::At(name),
                Piece::Data(data) => {
                    self.read.update(&data);
                    self.piece = data;
                }
                Piece::End => self.state = Where::Ended,
            },
        }
        Ok(())
    }
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && matches!(self.state, Where::Inside) {
            self.advance()?;
        }
        let n = buf.len().min(self.piece.len());
        buf[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}
