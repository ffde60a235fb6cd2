//! Imports: the body is the file.

use std::io::{self, Read};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State},
};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{App, error::Problem};
use crate::{
    format::{self, Options, Reasoning, Report},
    ledger::{Import, ImportError},
    model::{Time, subject::HostBits, time::Seconds},
    store::{schema::FeedEntry, stage::Mode},
};

/// Pieces of a file that wait to be read.
const WAITING: usize = 16;

/// The query of an import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    source: String,
    #[serde(default)]
    format: String,
    reason: Option<String>,
    codes: Option<String>,
    mode: Option<Mode>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    skip_errors: bool,
    #[serde(default)]
    host_bits: bool,
    #[serde(default)]
    special: bool,
    column: Option<String>,
    origin: Option<String>,
    max_age: Option<String>,
    /// What the file is called, for messages.
    #[serde(default)]
    file: String,
}

/// `POST /v1/imports?source&format&reason|codes&mode&dry_run…`: the body is the file, gzip or not. The answer is the same
/// document for a dry run and the real thing.
pub(super) async fn create(State(app): State<App>, Query(asked): Query<Asked>, mut body: Body) -> Result<Json<Value>, Problem> {
    let (tx, rx) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let piece = match frame.map(|f| f.into_data()) {
                Ok(Ok(data)) => Ok(data),
                Ok(Err(_)) => continue,
                Err(e) => Err(io::Error::other(e)),
            };
            if tx.send(piece).await.is_err() {
                return;
            }
        }
        // An empty piece is the end: a sender that went away before it has cut the file short.
        let _ = tx.send(Ok(Bytes::new())).await;
    });
    let done = tokio::task::spawn_blocking(move || run(&app, &asked, Pieces { rx, piece: Bytes::new(), ended: false })).await;
    done.map_err(|e| Problem::invalid(e.to_string()))?.map(Json)
}

fn run(app: &App, asked: &Asked, body: Pieces) -> Result<Value, Problem> {
    let options = options(app, asked)?;
    let problem = |e: ImportError| match &e {
        ImportError::Refused(r) => Problem::of(r, &app.ledger.store.vocabulary()),
        ImportError::Input(_) => Problem::invalid(e.text(&app.ledger.store.vocabulary())),
        _ => Problem::refused(e.text(&app.ledger.store.vocabulary())),
    };
    let source = app.ledger.source(&asked.source).map_err(|e| Problem::of(&e, &app.ledger.store.vocabulary()))?;
    let max_age = asked.max_age.as_ref().map(|a| a.parse::<Seconds>()).transpose().map_err(Problem::invalid)?;
    let mut report = Report::default();
    let file = if asked.file.is_empty() { "-" } else { &asked.file };
    let mut what = Import { source, mode: asked.mode.unwrap_or(Mode::Replace), dry_run: asked.dry_run, max_age, expires: None };
    let mut body = format::plain(Box::new(body)).map_err(|e| Problem::invalid(format!("{file}: {e}")))?;
    let name = match asked.format.as_str() {
        "" => format::guess(io::BufRead::fill_buf(&mut body).map_err(|e| Problem::invalid(e.to_string()))?),
        name => name,
    };
    // The file says itself when it ends, but only while it is read: a first pass over its head is not worth it, so the
    // stage is told afterwards.
    let result = app.ledger.import_with(&mut what, |what, sink| {
        format::read(name, Box::new(body), file, &options, &mut report, &mut |e| {
            sink(e.subject, FeedEntry { reason: e.reason, hole: e.hole, weak: e.weak, since: Time(0), text: e.text })
        })?;
        what.expires = report.expires;
        if report.errors > 0 && !asked.skip_errors {
            let shown: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
            return Err(format!("{}\n{} lines with errors; nothing was changed", shown.join("\n"), report.errors));
        }
        Ok(())
    });
    let result = result.map_err(problem)?;
    Ok(json!({
        "source": asked.source, "format": name, "mode": what.mode, "dry_run": asked.dry_run,
        "receipt": result.receipt, "difference": result.difference, "report": report,
    }))
}

fn options(app: &App, asked: &Asked) -> Result<Options, Problem> {
    let v = app.ledger.store.vocabulary();
    let snapshot = app.ledger.published.snapshot();
    let reasoning = match (&asked.reason, &asked.codes) {
        (Some(r), None) => {
            let known = v.reasons.0.all().join(", ");
            Reasoning::One(
                v.reasons.get(r).ok_or_else(|| Problem::invalid(format!("reason: `{r}` is not in config.toml; there are {known}")))?,
            )
        }
        (None, Some(zone)) => {
            let found = find_zone(&snapshot, zone)?;
            Reasoning::Codes(found.publish.iter().map(|p| (p.code.into(), p.reason)).collect())
        }
        _ => return Err(Problem::invalid("say either a reason for all lines, or a zone whose codes give the reasons")),
    };
    Ok(Options {
        reasoning,
        host_bits: if asked.host_bits { HostBits::Clear } else { HostBits::Refuse },
        special: asked.special,
        allowed: app.ledger.settings().special.clone(),
        column: asked.column.clone(),
        origin: asked.origin.clone(),
        ..Options::default()
    })
}

/// A zone by its origin or its file's stem.
pub(super) fn find_zone<'s>(snapshot: &'s crate::index::Snapshot, name: &str) -> Result<&'s crate::index::ZoneView, Problem> {
    let all = snapshot.zones.all();
    let by_name = snapshot.zones.by_name(name).map(|i| &all[i]);
    by_name.or_else(|| all.iter().find(|z| z.spec.stem == name)).ok_or_else(|| {
        let known: Vec<String> = all.iter().map(|z| z.name.to_string()).collect();
        Problem::not_found(format!("there is no zone `{name}`; there are {}", known.join(", ")))
    })
}

/// A body as something to read from.
struct Pieces {
    rx: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.ended {
            match self.rx.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the sender went away")),
            }
            self.ended = self.piece.is_empty();
        }
        let n = buf.len().min(self.piece.len());
        buf[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}
