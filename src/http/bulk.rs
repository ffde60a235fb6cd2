//! `POST /v1/bulk`: a stream of changes, with a result for each line.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    App,
    caller::Caller,
    changes::{Submission, change, submit},
    conditions::RequestConditions,
    input::{QueryParams, json},
};
use crate::{
    api::{BulkQuery, BulkResponse, ListingRequest, ProblemCode, ProblemDetails},
    model::{
        Subject,
        history::{Command, HoldFor},
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
    let (pending, report) = match submitted {
        Err(problem) => return refused(line, problem),
        Ok((Submission::Proposed(id), _)) => {
            return BulkResponse {
                line,
                status: 202,
                proposal: Some(id),
                ..BulkResponse::default()
            };
        }
        Ok((Submission::Pending(pending), report)) => (pending, report),
    };
    let receipt = match pending.receipt().await {
        Ok(receipt) => receipt,
        Err(e) => {
            let problem = ProblemDetails::of(&e, &app.ledger.store.dictionary());
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
            response.published = Some(super::lookup::published(&snapshot, &s));
        }
        Some(Report::Remaining(s)) => {
            response.remaining = super::lookup::remaining(&app.ledger.store, &s).ok();
        }
        None => {}
    }
    response
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
pub(super) async fn apply_changes(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    QueryParams(query): QueryParams<BulkQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ProblemDetails> {
    let conditions = RequestConditions {
        expect: None,
        ..RequestConditions::read(&headers)?
    };
    let (waiting, mut submitted) = mpsc::channel::<(u64, _)>(MAX_IN_FLIGHT);
    let (out, lines) = mpsc::channel::<Result<Bytes, std::io::Error>>(16);
    let reader = Reader {
        app: app.clone(),
        caller,
        conditions,
        line: 0,
        published: query.published,
    };
    tokio::spawn(reader.run(body, waiting));
    tokio::spawn(async move {
        let mut buffer = Vec::new();
        while let Some((line, change)) = submitted.recv().await {
            let response = outcome(&app, line, change).await;
            buffer.extend(serde_json::to_vec(&response).unwrap_or_default());
            buffer.push(b'\n');
            let full = buffer.len() > BLOCK_BYTES || submitted.is_empty();
            if full
                && out
                    .send(Ok(std::mem::take(&mut buffer).into()))
                    .await
                    .is_err()
            {
                return;
            }
        }
        if !buffer.is_empty() {
            let _ = out.send(Ok(buffer.into())).await;
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(ReceiverStream::new(lines))).into_response())
}

fn too_long() -> ProblemDetails {
    ProblemDetails::new(
        ProblemCode::ContentTooLarge,
        format!("a line has at most {MAX_LINE_BYTES} bytes"),
    )
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

/// A change that is under way, and what its result reports.
type Submitted = (Submission, Option<Report>);

type Waiting = mpsc::Sender<(u64, Result<Submitted, ProblemDetails>)>;

impl Reader {
    async fn run(mut self, mut body: Body, waiting: Waiting) {
        let mut rest: Vec<u8> = Vec::new();
        let mut stop = self.app.stop.clone();
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(READ_TIMEOUT, body.frame()) => match frame {
                    Ok(frame) => frame,
                    Err(_) => return self.end(&waiting, ProblemDetails::new(ProblemCode::Timeout, "nothing was sent for a minute; the lines that follow were not read")).await,
                },
                () = super::stopped(&mut stop) => {
                    return self.end(&waiting, ProblemDetails::new(ProblemCode::Unavailable, "the daemon stops; this line and those that follow were not processed")).await;
                }
            };
            let last = frame.is_none();
            match frame.map(|f| f.map(|f| f.into_data())) {
                Some(Ok(Ok(data))) => rest.extend(data),
                Some(Ok(Err(_))) => continue,
                // The body is cut off; an unfinished line is ignored.
                Some(Err(_)) => return,
                None if rest.is_empty() => return,
                None => rest.push(b'\n'),
            }
            let mut used = 0;
            while let Some(n) = rest[used..].iter().position(|b| *b == b'\n') {
                let text = &rest[used..used + n];
                if n > MAX_LINE_BYTES {
                    return self.end(&waiting, too_long()).await;
                }
                used += n + 1;
                self.line += 1;
                if text.trim_ascii().is_empty() {
                    continue;
                }
                let submitted = self.submit(text).await;
                if waiting.send((self.line, submitted)).await.is_err() {
                    return;
                }
            }
            rest.drain(..used);
            if rest.len() > MAX_LINE_BYTES {
                return self.end(&waiting, too_long()).await;
            }
            if last {
                return;
            }
        }
    }

    async fn submit(&self, text: &[u8]) -> Result<Submitted, ProblemDetails> {
        let request: ListingRequest = json(text)?;
        let what = format!("bulk {}", self.line);
        let change = change(
            &self.app,
            &request,
            &self.caller,
            self.conditions.preconditions(&self.caller, &what, text),
        )?;
        let report = match &change.command {
            Command::List { .. } => Some(Report::Published(change.subject.clone())),
            Command::Delist {
                hold: HoldFor::Nothing,
                ..
            } => Some(Report::Remaining(change.subject.clone())),
            _ => None,
        };
        Ok((
            submit(&self.app, &self.caller, change).await?,
            report.filter(|_| self.published),
        ))
    }

    /// Sends the last result of a stream that is not read to its end.
    async fn end(&self, waiting: &Waiting, why: ProblemDetails) {
        let _ = waiting.send((self.line + 1, Err(why))).await;
    }
}
