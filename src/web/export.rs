//! Exports: a zone as a file, streamed.

use std::io::{self, BufWriter, Write};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{App, error::Problem, import::find_zone};
use crate::format::write::{self, Export};

/// Pieces on their way to a reader.
const WAITING: usize = 8;
/// Bytes of a piece.
const PIECE: usize = 64 * 1024;

/// The query of an export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    format: String,
    #[serde(default)]
    action: String,
}

/// `GET /v1/zones/{origin}/export?format=&action=`: from one snapshot, whatever is written meanwhile.
pub(super) async fn zone(State(app): State<App>, Path(origin): Path<String>, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let snapshot = app.ledger.published.snapshot();
    let origin = find_zone(&snapshot, &origin)?.name.clone();
    let number = snapshot.zones.by_name(&origin).ok_or_else(|| Problem::not_found("the zone is gone"))?;
    let format = if asked.format.is_empty() { "master".to_string() } else { asked.format };
    let kind = snapshot.zones.all()[number].spec.kind;
    write::check(&format, &asked.action, kind).map_err(Problem::invalid)?;
    let (tx, rx) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PIECE, Sender(tx.clone()));
        let export = Export::new(&format, &asked.action, &snapshot, number).map_err(io::Error::other);
        if let Err(e) = export.and_then(|e| e.write(&mut out)).and_then(|()| out.flush()) {
            // Cuts the body short, so that nobody takes it for the whole.
            let _ = tx.blocking_send(Err(e));
        }
    });
    Ok(Body::from_stream(ReceiverStream::new(rx)).into_response())
}

struct Sender(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sender {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(buf)));
        sent.map(|()| buf.len()).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away"))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
