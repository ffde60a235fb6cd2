//! `POST /v1/bulk`: a stream of changes, answered line by line.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    change::{Conditions, Ordered, Placed, change, place},
    error::Problem,
    input::{Params, json},
    shapes::RenewalShape,
};
use crate::model::{
    Subject,
    history::{Command, HoldFor},
};

/// Changes of a stream that are on their way at the same time.
const IN_FLIGHT: usize = 1024;
/// The longest line of a stream.
const MAX_LINE: usize = 128 * 1024;
/// How long a sender may pause.
const STALL: Duration = Duration::from_secs(60);
/// Answers are handed on in pieces of this many bytes while more are to come.
const PIECE: usize = 32 * 1024;

/// What became of a line.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer {
    /// Which line, from 1; lines that are empty are counted too.
    line: u64,
    /// 201 made, 202 waits for a second person, otherwise as of a single request.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<String>,
    /// Of a listing, with `?published=true`: the zones that publish the subject now, each with its
    /// codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Vec<String>>,
    /// Of a listing that was there: when it would have ended, and when it ends now.
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed: Option<RenewalShape>,
    /// Of a `delist` with `no_hold`, with `?published=true`: what still lists the subject, by whom
    /// and for which reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    still_listed_by: Option<Vec<String>>,
    /// The problem, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// What a stream of changes is to be answered with.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BulkQuery {
    /// Name the zones that publish what is listed, and who still lists what is delisted without a
    /// hold.
    published: bool,
}

impl Answer {
    fn new(line: u64) -> Answer {
        Answer {
            line,
            status: 0,
            commit: None,
            proposal: None,
            published: None,
            renewed: None,
            still_listed_by: None,
            detail: None,
            problem: None,
        }
    }

    fn no(line: u64, p: Problem) -> Answer {
        Answer {
            status: p.status,
            detail: Some(p.detail.clone()),
            problem: Some(p),
            ..Answer::new(line)
        }
    }
}

/// A change on each line (NDJSON); for each a line `{line, status, …}` in the same order, as soon
/// as it is true in DNS.
///
/// What is on its way is limited, so a sender that does not read its answers is not read either.
/// Under an `Idempotency-Key` a stream that was cut can be sent again from its beginning: lines
/// that were made are answered as before, and the rest is made.
#[utoipa::path(post, path = "/v1/bulk", tag = "listings", request_body(content = String, content_type = "application/x-ndjson", description = "A change (as POST /v1/listings takes, with `op`) on each line"),
    params(BulkQuery, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer, content_type = "application/x-ndjson", description = "A line for each line"), Problem))]
pub(super) async fn bulk(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<BulkQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let conditions = Conditions {
        expect: None,
        ..Conditions::of(&headers)?
    };
    let (waiting, mut answers) = mpsc::channel::<(u64, Result<Submitted, Problem>)>(IN_FLIGHT);
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
        while let Some((line, placed)) = answers.recv().await {
            let answer = match placed {
                Err(p) => Answer::no(line, p),
                Ok((Placed::Proposed(id), _)) => Answer {
                    status: 202,
                    proposal: Some(id),
                    ..Answer::new(line)
                },
                Ok((Placed::Pending(p), report)) => match p.receipt().await {
                    Ok(r) => {
                        let mut answer = Answer {
                            status: 201,
                            commit: Some(r.commit),
                            ..Answer::new(line)
                        };
                        answer.renewed = r.renewal.map(Into::into);
                        match report {
                            Some(Report::Published(s)) => {
                                answer.published = Some(super::lookup::published(
                                    &app.ledger.published.snapshot(),
                                    &s,
                                ));
                            }
                            Some(Report::StillListed(s)) => {
                                answer.still_listed_by =
                                    super::lookup::listed_by(&app.ledger.store, &s).ok();
                            }
                            None => {}
                        }
                        answer
                    }
                    Err(e) => Answer::no(line, Problem::of(&e, &app.ledger.store.dictionary())),
                },
            };
            buffer.extend(serde_json::to_vec(&answer).unwrap_or_default());
            buffer.push(b'\n');
            let full = buffer.len() > PIECE || answers.is_empty();
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

fn too_long() -> Problem {
    Problem::new("too-large", format!("a line has at most {MAX_LINE} bytes"))
}

/// Reads the lines of a stream and hands them in.
struct Reader {
    app: App,
    caller: Caller,
    conditions: Conditions,
    line: u64,
    /// Whether the zones that publish a listing are wanted.
    published: bool,
}

/// What an answer tells of a subject after its change.
enum Report {
    /// The zones that publish it.
    Published(Subject),
    /// What still lists it.
    StillListed(Subject),
}

/// A change on its way, and what its answer tells of the subject.
type Submitted = (Placed, Option<Report>);

type Waiting = mpsc::Sender<(u64, Result<Submitted, Problem>)>;

impl Reader {
    async fn run(mut self, mut body: Body, waiting: Waiting) {
        let mut rest: Vec<u8> = Vec::new();
        let mut stop = self.app.stop.clone();
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(STALL, body.frame()) => match frame {
                    Ok(frame) => frame,
                    Err(_) => return self.end(&waiting, Problem::new("too-slow", "nothing came for a minute; what follows was not read")).await,
                },
                () = super::stopped(&mut stop) => {
                    return self.end(&waiting, Problem::new("unavailable", "the daemon stops; this line and what follows were not done")).await;
                }
            };
            let last = frame.is_none();
            match frame.map(|f| f.map(|f| f.into_data())) {
                Some(Ok(Ok(data))) => rest.extend(data),
                Some(Ok(Err(_))) => continue,
                // Cut short: an unfinished line is no line.
                Some(Err(_)) => return,
                None if rest.is_empty() => return,
                None => rest.push(b'\n'),
            }
            let mut used = 0;
            while let Some(n) = rest[used..].iter().position(|b| *b == b'\n') {
                let text = &rest[used..used + n];
                if n > MAX_LINE {
                    return self.end(&waiting, too_long()).await;
                }
                used += n + 1;
                self.line += 1;
                if text.trim_ascii().is_empty() {
                    continue;
                }
                let placed = self.place(text).await;
                if waiting.send((self.line, placed)).await.is_err() {
                    return;
                }
            }
            rest.drain(..used);
            if rest.len() > MAX_LINE {
                return self.end(&waiting, too_long()).await;
            }
            if last {
                return;
            }
        }
    }

    async fn place(&self, text: &[u8]) -> Result<Submitted, Problem> {
        let ordered: Ordered = json(text)?;
        let what = format!("bulk {}", self.line);
        let change = change(
            &self.app,
            &ordered,
            &self.caller,
            self.conditions.preconditions(&self.caller, &what, text),
        )?;
        let report = match &change.command {
            Command::List { .. } => Some(Report::Published(change.subject.clone())),
            Command::Delist {
                hold: HoldFor::Nothing,
                ..
            } => Some(Report::StillListed(change.subject.clone())),
            _ => None,
        };
        Ok((
            place(&self.app, &self.caller, change).await?,
            report.filter(|_| self.published),
        ))
    }

    /// The last line of a stream that is not read to its end.
    async fn end(&self, waiting: &Waiting, why: Problem) {
        let _ = waiting.send((self.line + 1, Err(why))).await;
    }
}
