//! `POST /v1/bulk`: a stream of changes, with a result for each line.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc;
use tokio_io_timeout::TimeoutReader;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::{
    codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead},
    io::StreamReader,
};

use super::{
    App,
    caller::Caller,
    changes::{Submission, change, submit},
    conditions::RequestConditions,
    handler::Call,
    input::{QueryParams, json},
    listen::stopped,
    lookup,
};
use crate::{
    api::{BulkQuery, BulkResponse, ListingRequest, ProblemCode, ProblemDetails},
    ledger::LedgerError,
    model::{
        Subject,
        history::{Command, HoldFor, RuleViolation},
    },
};

/// The most changes of a stream that are under way at the same time.
const MAX_IN_FLIGHT: usize = 1024;
/// The longest line of a stream, in bytes.
const MAX_LINE_BYTES: usize = 128 * 1024;
/// How long a client may pause.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Results are sent in blocks of this many bytes while more are to come.
const BLOCK_BYTES: usize = 32 * 1024;

/// The result of a line that was refused.
fn refused(line: u64, problem: ProblemDetails) -> BulkResponse {
    BulkResponse {
        line,
        status: problem.status,
        problem: Some(problem),
        ..BulkResponse::default()
    }
}

/// Waits for the outcome of a line.
async fn outcome(
    app: &App,
    line: u64,
    submitted: Result<Submitted, ProblemDetails>,
) -> BulkResponse {
    let (pending, report, removed) = match submitted {
        Err(problem) => return refused(line, problem),
        Ok((Submission::Proposed(id), ..)) => {
            return BulkResponse {
                line,
                status: 202,
                proposal: Some(id),
                ..BulkResponse::default()
            };
        }
        Ok((Submission::Pending(pending), report, removed)) => (pending, report, removed),
    };
    let receipt = match pending.receipt().await {
        Ok(receipt) => receipt,
        Err(e) => {
            let problem = ProblemDetails::of_ledger_error(&e, &app.ledger.store.dictionary());
            let problem = match removed.filter(|_| is_not_listed(&e)) {
                Some(s) => {
                    let snapshot = app.ledger.published.snapshot();
                    lookup::widening::explain_not_listed(&snapshot, &s, problem)
                }
                None => problem,
            };
            return refused(line, problem);
        }
    };
    let mut response = BulkResponse {
        line,
        status: 201,
        commit: Some(receipt.commit),
        renewed: receipt.renewal.map(Into::into),
        ..BulkResponse::default()
    };
    match report {
        Some(Report::Published(s)) => {
            let snapshot = app.ledger.published.snapshot();
            response.published = Some(lookup::published(&snapshot, &s));
        }
        Some(Report::Remaining(s)) => {
            response.remaining = lookup::remaining(&app.ledger.store, &s).ok();
        }
        None => {}
    }
    response
}

/// Whether a removal was refused because the subject has no listing.
fn is_not_listed(e: &LedgerError) -> bool {
    matches!(e, LedgerError::Rule(RuleViolation::NotListed))
}

/// Applies a stream of changes: one JSON object on each line, and one result for each line in the
/// same order, as soon as DNS shows the change.
///
/// The number of changes under way is limited, so that the stream of a client that does not read
/// its results is not read either. With an `Idempotency-Key`, a stream that was cut off can be sent
/// again from its beginning: lines that were processed get the same result, and the others are
/// processed.
#[utoipa::path(post, path = "/v1/bulk", tag = "listings",
    request_body(content = String, content_type = "application/x-ndjson", description = "A change on each line, as POST /v1/listings takes it, with `op`"),
    params(BulkQuery),
    responses((status = 200, body = BulkResponse, content_type = "application/x-ndjson", description = "A result for each line")))]
pub async fn apply_changes(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<BulkQuery>,
    conditions: RequestConditions,
    body: Body,
) -> Result<Response, ProblemDetails> {
    let conditions = RequestConditions {
        expect: None,
        ..conditions
    };
    let (lines_out, mut submitted) = mpsc::channel::<(u64, _)>(MAX_IN_FLIGHT);
    let (out, lines) = mpsc::channel::<Result<Bytes, std::io::Error>>(16);
    let reader = Reader {
        app: app.clone(),
        caller,
        conditions,
        line: 0,
        published: query.published,
    };
    tokio::spawn(reader.run(body, lines_out));
    tokio::spawn(async move {
        let mut buffer = Vec::new();
        while let Some((line, change)) = submitted.recv().await {
            let response = outcome(&app, line, change).await;
            buffer.extend(serde_json::to_vec(&response).unwrap_or_default());
            buffer.push(b'\n');
            if buffer.len() > BLOCK_BYTES || submitted.is_empty() {
                let block = std::mem::take(&mut buffer).into();
                if out.send(Ok(block)).await.is_err() {
                    return;
                }
            }
        }
        if !buffer.is_empty() {
            let _ = out.send(Ok(buffer.into())).await;
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(ReceiverStream::new(lines))).into_response())
}

/// Reads the lines of a stream and submits them.
struct Reader {
    app: App,
    caller: Caller,
    conditions: RequestConditions,
    line: u64,
    /// Whether results report zones and remaining listings.
    published: bool,
}

/// What a result reports about its subject after the change.
enum Report {
    /// The zones that publish the subject.
    Published(Subject),
    /// The listings that remain.
    Remaining(Subject),
}

/// A change that is under way, what its result reports, and the subject of a removal.
type Submitted = (Submission, Option<Report>, Option<Subject>);

type SubmittedLines = mpsc::Sender<(u64, Result<Submitted, ProblemDetails>)>;

impl Reader {
    async fn run(mut self, body: Body, lines_out: SubmittedLines) {
        let data = body.into_data_stream().map(|d| d.map_err(io::Error::other));
        let mut body = TimeoutReader::new(StreamReader::new(data));
        body.set_timeout(Some(READ_TIMEOUT));
        let codec = AnyDelimiterCodec::new_with_max_length(b"\n".into(), vec![], MAX_LINE_BYTES);
        let mut lines = std::pin::pin!(FramedRead::new(body, codec));
        let mut stop = self.app.stop.clone();
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = stopped(&mut stop) => {
                    let why = "the daemon stops; this line and those that follow were not processed";
                    return self.end(&lines_out, ProblemCode::Unavailable, why).await;
                }
            };
            let text = match line {
                Some(Ok(text)) => text,
                Some(Err(AnyDelimiterCodecError::MaxChunkLengthExceeded)) => {
                    let why = format!("a line has at most {MAX_LINE_BYTES} bytes");
                    return self
                        .end(&lines_out, ProblemCode::ContentTooLarge, &why)
                        .await;
                }
                Some(Err(AnyDelimiterCodecError::Io(e))) if e.kind() == io::ErrorKind::TimedOut => {
                    let why = "nothing was sent for a minute; the lines that follow were not read";
                    return self.end(&lines_out, ProblemCode::Timeout, why).await;
                }
                // The body is cut off, and an unfinished line is ignored; or the body has ended.
                Some(Err(_)) | None => return,
            };
            self.line += 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let submitted = self.submit(&text).await;
            if lines_out.send((self.line, submitted)).await.is_err() {
                return;
            }
        }
    }

    async fn submit(&self, text: &[u8]) -> Result<Submitted, ProblemDetails> {
        let request: ListingRequest = json(text)?;
        let scope = format!("bulk {}", self.line);
        let preconditions = self.conditions.preconditions(&self.caller, &scope, text);
        let change = change(&self.app, &request, &self.caller, preconditions)?;
        let report = match &change.command {
            Command::List { .. } => Some(Report::Published(change.subject.clone())),
            Command::Delist {
                hold: HoldFor::Nothing,
                ..
            } => Some(Report::Remaining(change.subject.clone())),
            _ => None,
        };
        let is_removal = matches!(change.command, Command::Delist { .. });
        let removed = is_removal.then(|| change.subject.clone());
        let submission = submit(&self.app, &self.caller, change).await?;
        Ok((submission, report.filter(|_| self.published), removed))
    }

    /// Sends the last result of a stream that is not read to its end.
    async fn end(&self, lines_out: &SubmittedLines, code: ProblemCode, why: &str) {
        let problem = ProblemDetails::new(code, why);
        let _ = lines_out.send((self.line + 1, Err(problem))).await;
    }
}
