//! Imports: the body is the file.

use std::io::{self, Read};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Query, Request, State},
    http::header,
};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{App, error::Problem};
use crate::{
    format::{self, Options, Reasoning, Report},
    ledger::{Import, ImportError, now},
    model::{SourceId, Time, subject::HostBits, time::Seconds},
    store::{schema::FeedEntry, stage::Mode},
};

/// Pieces of a file that wait to be read.
const WAITING: usize = 16;
/// How long a sender may pause.
const STALL: std::time::Duration = std::time::Duration::from_secs(60);
/// The number that no source has: whose name is only tried out.
const UNKNOWN: SourceId = SourceId(u16::MAX);

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
pub(super) async fn create(State(app): State<App>, Query(asked): Query<Asked>, request: Request) -> Result<Json<Value>, Problem> {
    let (tx, rx) = mpsc::channel::<io::Result<Piece>>(WAITING);
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|k| k.to_str().ok()).unwrap_or("");
    if kind.starts_with("multipart/form-data") {
        let parts = Multipart::from_request(request, &()).await.map_err(|e| Problem::invalid(e.to_string()))?;
        tokio::spawn(send_parts(parts, tx));
    } else {
        let name = if asked.file.is_empty() { "-".to_string() } else { asked.file.clone() };
        tokio::spawn(send_body(request.into_body(), name, tx));
    }
    let done = tokio::task::spawn_blocking(move || run(&app, &asked, Pieces { rx, piece: Bytes::new(), state: Where::Between })).await;
    done.map_err(|e| Problem::invalid(e.to_string()))?.map(Json)
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

fn run(app: &App, asked: &Asked, mut body: Pieces) -> Result<Value, Problem> {
    let options = options(app, asked)?;
    let problem = |e: ImportError| match &e {
        ImportError::Refused(r) => Problem::of(r, &app.ledger.store.vocabulary()),
        ImportError::Input(_) | ImportError::Over(_) => Problem::invalid(e.text(&app.ledger.store.vocabulary())),
        _ => Problem::refused(e.text(&app.ledger.store.vocabulary())),
    };
    let known = app.ledger.store.vocabulary().sources.get(&asked.source);
    let source = match known {
        // A dry run leaves nothing behind, not even a name.
        None if asked.dry_run => UNKNOWN,
        _ => app.ledger.source(&asked.source).map_err(|e| Problem::of(&e, &app.ledger.store.vocabulary()))?,
    };
    let max_age = asked.max_age.as_ref().map(|a| a.parse::<Seconds>()).transpose().map_err(Problem::invalid)?;
    if max_age == Some(Seconds(0)) {
        return Err(Problem::invalid("max_age: the list would end at once"));
    }
    let mut report = Report::default();
    // Only values that are several reasons, and names as a master file has them, make exceptions.
    let exceptions = asked.codes.is_some() || matches!(asked.format.as_str(), "" | "master");
    let mut what = Import { source, mode: asked.mode.unwrap_or(Mode::Replace), dry_run: asked.dry_run, max_age, expires: None, exceptions };
    let mut format = asked.format.clone();
    let result = app.ledger.import_with(&mut what, |what, sink| {
        while let Some(file) = body.next_file().map_err(|e| e.to_string())? {
            let mut lines = format::plain(Box::new(&mut body)).map_err(|e| format!("{file}: {e}"))?;
            let name = match asked.format.as_str() {
                "" => format::guess(io::BufRead::fill_buf(&mut lines).map_err(|e| format!("{file}: {e}"))?),
                name => name,
            };
            format = name.into();
            format::read(name, Box::new(lines), &file, &options, &mut report, &mut |e| {
                sink(e.subject, FeedEntry { reason: e.reason, hole: e.hole, weak: e.weak, since: Time(0), text: e.text })
            })?;
        }
        what.expires = report.expires;
        // A download that failed must not take a whole list away.
        if report.taken == 0 && report.errors == 0 && what.mode == Mode::Replace && !asked.allow_empty {
            return Err("the list has no entries; nothing was changed (--allow-empty, if all of it is meant to end)".into());
        }
        if report.errors > 0 && !asked.skip_errors {
            let shown: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
            return Err(format!("{}\n{} lines with errors; nothing was changed", shown.join("\n"), report.errors));
        }
        Ok(())
    });
    let result = result.map_err(problem)?;
    Ok(json!({
        "source": asked.source, "format": format, "mode": what.mode, "dry_run": asked.dry_run,
        "receipt": result.receipt, "difference": result.difference, "report": report,
    }))
}

fn options(app: &App, asked: &Asked) -> Result<Options, Problem> {
    let v = app.ledger.store.vocabulary();
    let snapshot = app.ledger.published.snapshot();
    let reasoning = match (&asked.reason, &asked.codes) {
        (Some(r), None) => {
            let settings = app.ledger.settings();
            let known: Vec<&str> = settings.reasons.iter().map(|r| r.name.as_str()).collect();
            let found = v.reasons.get(r).filter(|_| known.contains(&r.as_str()));
            let unknown = || Problem::invalid(format!("reason: `{r}` is not in config.toml; there are {}", known.join(", ")));
            Reasoning::One(found.ok_or_else(unknown)?)
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
        dataset: asked.dataset.clone(),
        subzone: asked.subzone.clone(),
        now: now(),
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

/// Files as they come in: one after the other, each to its end.
struct Pieces {
    rx: mpsc::Receiver<io::Result<Piece>>,
    piece: Bytes,
    state: Where,
}

enum Where {
    Between,
    Inside,
    /// The next file has begun already.
    At(String),
    Ended,
}

impl Pieces {
    /// The next file's name; `None` when there is none any more. What was not read of the one before is passed over.
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

    /// Takes the next piece.
    fn advance(&mut self) -> io::Result<()> {
        match self.rx.blocking_recv() {
            None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the sender went away")),
            Some(piece) => match piece? {
                Piece::File(name) => self.state = Where::At(name),
                Piece::Data(data) => self.piece = data,
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
