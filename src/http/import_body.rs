//! Streams the files of an import: one body, or several parts of `multipart/form-data` within
//! limits.
//!
//! The multipart parser buffers a part's header until it is complete, searches the buffer again
//! after each block, and reads blocks as long as its stream has one ready. The stream therefore
//! yields one small block at a time, and fails if a header is too long.

use std::{
    io::{self, Read},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{FromRequest, Multipart, Request},
    http::header,
};
use data_encoding::HEXLOWER;
use http_body_util::BodyExt;
use ring::digest;
use tokio::sync::mpsc;
use tokio_stream::Stream;

use crate::{
    api::{ProblemCode, ProblemDetails},
    imports,
    model::text::escape,
};

/// The most blocks of a file that wait to be read.
const MAX_WAITING: usize = 16;
/// How long a client may pause.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest header of a part, in bytes.
const MAX_PART_HEADER_BYTES: usize = 16 * 1024;
/// The longest block that the parser gets at a time, in bytes. The parser can hold two blocks.
const MAX_BLOCK_BYTES: usize = 16 * 1024;
/// The most files of one import.
const MAX_FILES: usize = 100;
/// The longest name of a file, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// The field of a form whose files are a list.
pub const LIST_FIELD: &str = "file";

/// An item of the incoming body.
enum Piece {
    /// A file begins.
    File(FileHeader),
    /// Bytes of the file.
    Data(Bytes),
    /// The body is complete. If the client disconnects before this item, the last file is
    /// incomplete.
    End,
}

/// The header of a file.
struct FileHeader {
    /// The name of the file.
    name: String,
    /// The name of the form's field; `file` for a body that is one file.
    field: String,
}

type Sender = mpsc::Sender<io::Result<Piece>>;

/// The files of a request; `name` is the name of a body that is one file.
///
/// # Errors
///
/// Returns a problem if the content type is multipart without a boundary.
pub async fn receive(request: Request, name: String) -> Result<ImportBody, ProblemDetails> {
    let (tx, rx) = mpsc::channel(MAX_WAITING);
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|k| k.to_str().ok())
        .unwrap_or("");
    if kind.starts_with("multipart/form-data") {
        let pending = Arc::new(AtomicUsize::new(0));
        let (parts, body) = request.into_parts();
        let blocks = Blocks {
            body: body.into_data_stream(),
            rest: Bytes::new(),
            yielded: false,
            pending: pending.clone(),
        };
        let request = Request::from_parts(parts, Body::from_stream(blocks));
        let parts = Multipart::from_request(request, &())
            .await
            .map_err(|e| ProblemDetails::invalid(e.to_string()))?;
        tokio::spawn(send_parts(parts, pending, tx));
    } else {
        tokio::spawn(send_body(request.into_body(), name, tx));
    }
    Ok(ImportBody {
        pieces: rx,
        data: Bytes::new(),
        position: Position::Between,
        hash: digest::Context::new(&digest::SHA256),
        problem: None,
    })
}

/// A body in small blocks. The stream is not ready after each block, so that the parser processes
/// it before it reads the next one.
struct Blocks {
    body: BodyDataStream,
    rest: Bytes,
    yielded: bool,
    /// Bytes yielded since the parser last found the end of a header or of a block of data.
    pending: Arc<AtomicUsize>,
}

impl Stream for Blocks {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if std::mem::take(&mut self.yielded) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(cx) {
                Poll::Ready(Some(Ok(data))) => self.rest = data,
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(io::Error::other(e)))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let n = self.rest.len().min(MAX_BLOCK_BYTES);
        let block = self.rest.split_to(n);
        if self.pending.fetch_add(n, Relaxed) + n > MAX_PART_HEADER_BYTES + 2 * MAX_BLOCK_BYTES {
            return Poll::Ready(Some(Err(too_long(&format!(
                "the header of a part is longer than {MAX_PART_HEADER_BYTES} bytes"
            )))));
        }
        self.yielded = true;
        Poll::Ready(Some(Ok(block)))
    }
}

fn too_long(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("multipart body: {what}; send fewer or shorter parts"),
    )
}

/// Waits for the client for at most [`READ_TIMEOUT`], since the source of the import is busy
/// meanwhile.
async fn with_timeout<T, E: Into<axum::BoxError>>(
    next: impl Future<Output = Result<T, E>>,
) -> io::Result<T> {
    match tokio::time::timeout(READ_TIMEOUT, next).await {
        Ok(Ok(t)) => Ok(t),
        Ok(Err(e)) => {
            let e: axum::BoxError = e.into();
            Err(io::Error::new(io_kind(&*e), innermost(&*e)))
        }
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "the client has sent nothing for {} s",
                READ_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// The message of the innermost cause of an error.
fn innermost(e: &(dyn std::error::Error + 'static)) -> String {
    e.source().map_or_else(|| e.to_string(), innermost)
}

/// The kind of the I/O error that caused an error.
fn io_kind(e: &(dyn std::error::Error + 'static)) -> io::ErrorKind {
    match (e.downcast_ref::<io::Error>(), e.source()) {
        (Some(io), _) if io.kind() != io::ErrorKind::Other => io.kind(),
        (_, Some(inner)) => io_kind(inner),
        _ => io::ErrorKind::Other,
    }
}

async fn send_body(mut body: Body, name: String, tx: Sender) {
    let header = FileHeader {
        name,
        field: LIST_FIELD.into(),
    };
    let mut next = Some(Ok(Piece::File(header)));
    while let Some(piece) = next {
        let last = piece.is_err();
        if tx.send(piece).await.is_err() || last {
            return;
        }
        let frame = with_timeout(async { body.frame().await.transpose() }).await;
        next = match frame.map(|f| f.map(|f| f.into_data().unwrap_or_default())) {
            Ok(data) => data.map(|d| Ok(Piece::Data(d))),
            Err(e) => Some(Err(e)),
        };
    }
    let _ = tx.send(Ok(Piece::End)).await;
}

/// The name of a file for display: decoded (RFC 7578 section 2), and on one line.
fn file_name(encoded: &str) -> String {
    let name = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy();
    escape(&name).into_owned()
}

/// Adds the position in the body to an error: after which file, or in the header of the first one.
fn after_file(files: usize, e: &io::Error) -> io::Error {
    let place = if files == 0 {
        "in the header of the first file".to_string()
    } else {
        format!("after file {files}")
    };
    io::Error::new(e.kind(), format!("{place}: {e}"))
}

async fn send_parts(mut parts: Multipart, pending: Arc<AtomicUsize>, tx: Sender) {
    let result: io::Result<()> = async {
        let ended = || io::Error::other("the import has ended");
        let mut files = 0;
        while let Some(mut part) = with_timeout(parts.next_field())
            .await
            .map_err(|e| after_file(files, &e))?
        {
            pending.store(0, Relaxed);
            files += 1;
            if files > MAX_FILES {
                return Err(too_long(&format!("it has more than {MAX_FILES} files")));
            }
            let name = part.file_name().unwrap_or("-").to_string();
            if name.len() > MAX_NAME_BYTES {
                return Err(too_long(&format!(
                    "the name of a file is longer than {MAX_NAME_BYTES} bytes"
                )));
            }
            let header = FileHeader {
                name: file_name(&name),
                field: part.name().unwrap_or(LIST_FIELD).into(),
            };
            tx.send(Ok(Piece::File(header)))
                .await
                .map_err(|_| ended())?;
            while let Some(data) = with_timeout(part.chunk()).await? {
                pending.store(0, Relaxed);
                tx.send(Ok(Piece::Data(data))).await.map_err(|_| ended())?;
            }
        }
        tx.send(Ok(Piece::End)).await.map_err(|_| ended())
    }
    .await;
    if let Err(e) = result {
        let _ = tx.send(Err(e)).await;
    }
}

/// The files of a request, read one after the other.
pub struct ImportBody {
    pieces: mpsc::Receiver<io::Result<Piece>>,
    /// Bytes of the current file that were received and not read.
    data: Bytes,
    position: Position,
    /// The hash of all files so far.
    hash: digest::Context,
    /// Why the body could not be read to its end.
    problem: Option<ProblemDetails>,
}

/// Where the reader is in the body.
enum Position {
    Between,
    Inside,
    /// The next file has begun.
    At(FileHeader),
    Ended,
}

impl imports::Files for ImportBody {
    fn next_file(&mut self) -> io::Result<Option<String>> {
        loop {
            match std::mem::replace(&mut self.position, Position::Between) {
                Position::At(header) => {
                    self.position = Position::Inside;
                    return Ok(Some(header.name));
                }
                Position::Ended => {
                    self.position = Position::Ended;
                    return Ok(None);
                }
                Position::Between | Position::Inside => self.advance()?,
            }
        }
    }
}

impl ImportBody {
    /// The form's field of the next file; `None` after the last one. The unread rest of the previous
    /// file is skipped.
    ///
    /// # Errors
    ///
    /// The body cannot be read.
    pub fn next_field(&mut self) -> io::Result<Option<&str>> {
        while matches!(self.position, Position::Between | Position::Inside) {
            self.advance()?;
        }
        Ok(match &self.position {
            Position::At(header) => Some(&header.field),
            _ => None,
        })
    }

    /// The SHA-256 of the files as far as they were read, in hex.
    pub fn hash(&self) -> String {
        HEXLOWER.encode(self.hash.clone().finish().as_ref())
    }

    /// Reads and discards the rest. Returns the hash of all files.
    pub fn read_to_end(&mut self) -> io::Result<String> {
        while !matches!(self.position, Position::Ended) {
            self.advance()?;
        }
        Ok(self.hash())
    }

    /// Takes the problem because of which the body could not be read to its end.
    pub fn take_problem(&mut self) -> Option<ProblemDetails> {
        self.problem.take()
    }

    /// Receives the next item.
    fn advance(&mut self) -> io::Result<()> {
        let piece = self.pieces.blocking_recv().unwrap_or_else(|| {
            Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the client disconnected before the end of the body",
            ))
        });
        match piece.inspect_err(|e| self.problem = Some(unreadable(e)))? {
            Piece::File(header) => self.position = Position::At(header),
            Piece::Data(data) => {
                self.hash.update(&data);
                self.data = data;
            }
            Piece::End => self.position = Position::Ended,
        }
        Ok(())
    }
}

/// The problem of a body that could not be read to its end.
fn unreadable(e: &io::Error) -> ProblemDetails {
    let code = match e.kind() {
        io::ErrorKind::InvalidData => ProblemCode::ContentTooLarge,
        io::ErrorKind::TimedOut => ProblemCode::Timeout,
        _ => ProblemCode::Malformed,
    };
    ProblemDetails::new(code, format!("{e}; nothing was changed"))
}

impl Read for ImportBody {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.data.is_empty() && matches!(self.position, Position::Inside) {
            self.advance()?;
        }
        let n = buf.len().min(self.data.len());
        buf[..n].copy_from_slice(&self.data.split_to(n));
        Ok(n)
    }
}
