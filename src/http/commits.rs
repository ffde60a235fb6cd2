//! Commits: what each one changed, undo, and the stream of changes.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    App,
    convert::names,
    error::of_ledger,
    handler::{Call, JsonResult, blocking},
    input::{JsonBody, Part, QueryParams, limit, note},
    listen::stopped,
};
use crate::{
    api::{
        ChangeEndResponse, ChangeGapResponse, ChangeResponse, ChangesPage, ChangesQuery,
        CommitResponse, LaterCommitResponse, ProblemDetails, UndoQuery, UndoRequest, UndoResponse,
    },
    ledger::{ChangedBy, Undo},
    model::{Preconditions, Role, Subject, history::EventKind},
    store::{Store, StoreError, schema::Commit},
};

/// The most subjects of a commit that a response names.
const MAX_SUBJECTS: usize = 1000;
/// The most events of a stream that wait for its reader.
const MAX_WAITING: usize = 64;
/// The most commits that a stream reads at a time.
const READ_BATCH: usize = 256;

/// A commit as it is sent.
fn commit_response(store: &Store, seq: u64, c: &Commit) -> Result<CommitResponse, StoreError> {
    let dictionary = store.dictionary();
    let subjects = c.before.iter().filter_map(|(k, _)| Subject::from_key(k));
    let mut subjects: Vec<Subject> = subjects.collect();
    subjects.sort();
    let mut changes = Vec::new();
    for subject in subjects.iter().take(MAX_SUBJECTS) {
        let change = |event: Option<&EventKind>| {
            let (reason, source) = names(&dictionary, event.and_then(EventKind::about));
            ChangeResponse {
                subject: subject.to_string(),
                event: event.map(EventKind::name),
                reason,
                source,
                until: event.and_then(EventKind::until).map(Into::into),
            }
        };
        let events = store.events_of_commit(subject, seq, c.at)?;
        if events.is_empty() {
            changes.push(change(None));
        }
        changes.extend(events.iter().map(|e| change(Some(&e.kind))));
    }
    let serials = c.serials.iter();
    let previous = c.serials.iter();
    Ok(CommitResponse {
        commit: seq,
        at: c.at.into(),
        serials: serials.map(|(z, _, to)| (z.clone(), to.0)).collect(),
        previous_serials: previous.map(|(z, from, _)| (z.clone(), from.0)).collect(),
        changes,
        count: subjects.len(),
        bulk: c.bulk,
        barrier: c.barrier,
    })
}

fn number(text: &str) -> Result<u64, ProblemDetails> {
    text.parse()
        .map_err(|_| ProblemDetails::not_found(format!("`{text}` is not the number of a commit")))
}

/// Returns a commit, while the journal has it.
#[utoipa::path(get, path = "/v1/commits/{seq}", tag = "commits",
    params(("seq" = u64, Path, description = "The number of the commit")),
    responses((status = 200, body = CommitResponse, description = "The commit")))]
pub async fn get_commit(State(app): State<App>, Part(seq): Part) -> JsonResult<CommitResponse> {
    let seq = number(&seq)?;
    let work = move || {
        let store = &app.ledger.store;
        match store.commit_row(seq)? {
            Some(c) if seq <= store.seq()? => Ok(Json(commit_response(store, seq, &c)?)),
            _ => Err(ProblemDetails::not_found(format!(
                "the journal does not have commit {seq}"
            ))),
        }
    };
    blocking(work).await
}

/// Undoes a commit for the subjects that have not changed since. The undo is a commit itself.
#[utoipa::path(post, path = "/v1/commits/{seq}/undo", tag = "commits", request_body = UndoRequest,
    params(("seq" = u64, Path, description = "The number of the commit"), UndoQuery),
    responses((status = 200, body = UndoResponse, description = "The subjects that were restored, or would be")))]
pub async fn undo_commit(
    Call { app, caller }: Call,
    Part(seq): Part,
    QueryParams(query): QueryParams<UndoQuery>,
    JsonBody(request): JsonBody<UndoRequest>,
) -> JsonResult<UndoResponse> {
    if !caller.bounds.is_empty() {
        return Err(ProblemDetails::forbidden(
            "a token that is limited to reasons, sources or prefixes cannot undo a commit, which may contain the changes of others",
        ));
    }
    if request.break_hold {
        caller.require(Role::Operator)?;
    }
    note(request.note.as_ref())?;
    let preconditions = Preconditions {
        from: caller.from.clone(),
        idempotency: caller.idempotency,
        breaks_hold: request.break_hold,
        ..Preconditions::default()
    };
    let undo = Undo {
        seq: number(&seq)?,
        author: caller.name.clone(),
        why: request.note,
        preconditions,
        of: request.author,
        dry_run: query.dry_run,
    };
    let ledger = app.ledger;
    let outcome = blocking(move || ledger.undo(&undo).map_err(of_ledger(&ledger))).await?;
    let texts = |s: Vec<Subject>| s.iter().map(Subject::to_string).collect();
    let later = |c: ChangedBy| LaterCommitResponse {
        commit: c.commit,
        description: c.description,
        count: c.count,
        sample: texts(c.sample),
    };
    Ok(Json(UndoResponse {
        receipt: outcome.receipt.map(Into::into),
        undone: texts(outcome.undone),
        changed_since: texts(outcome.changed_since),
        changed_by: outcome.changed_by.into_iter().map(later).collect(),
        held: texts(outcome.held),
        difference: outcome.rows.map(Into::into),
    }))
}

/// Reads a page of commits after a number.
fn read(app: &App, after: u64, most: usize) -> Result<ChangesPage, StoreError> {
    let last = app.ledger.published.snapshot().seq;
    let store = &app.ledger.store;
    let mut rows = Vec::new();
    store.commits(after.saturating_add(1), &mut |seq, c| {
        if seq > last || rows.len() >= most {
            return Ok(false);
        }
        rows.push((seq, c));
        Ok(true)
    })?;
    let items = rows.iter().map(|(seq, c)| commit_response(store, *seq, c));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    // A number that was never assigned belongs to another store, or to commits that were lost.
    let gap = after > last || after < last && items.first().is_none_or(|c| c.commit != after + 1);
    let next = items.last().map(|c| c.commit).filter(|n| *n < last);
    Ok(ChangesPage {
        items,
        next: next.map(|n| n.to_string()),
        last,
        gap,
    })
}

/// Lists commits in order, or streams them with `Accept: text/event-stream`.
///
/// The events of a stream are `commit` (its ID is the number, for `Last-Event-ID`; its data is a
/// `CommitResponse`), `gap` if the journal no longer has the next commits (`ChangeGapResponse`),
/// and `end` (`ChangeEndResponse`).
#[utoipa::path(get, path = "/v1/changes", tag = "commits", params(ChangesQuery),
    responses((status = 200, description = "A page of commits, or a stream of events", content((ChangesPage = "application/json"), (String = "text/event-stream")))))]
pub async fn list_changes(
    State(app): State<App>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<ChangesQuery>,
) -> Result<Response, ProblemDetails> {
    let most = limit(query.limit)?;
    let streamed = headers
        .get(header::ACCEPT)
        .and_then(|a| a.to_str().ok())
        .is_some_and(|a| a.contains("text/event-stream"));
    if !streamed {
        let work = move || Ok(read(&app, query.after.unwrap_or(0), most)?);
        return Ok(Json(blocking(work).await?).into_response());
    }
    let last_id = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let last_id = last_id.and_then(|v| v.parse().ok());
    let from = last_id
        .or(query.after)
        .unwrap_or(app.ledger.published.snapshot().seq);
    let (tx, rx) = mpsc::channel(MAX_WAITING);
    tokio::spawn(stream(app, from, tx));
    let keep = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(ReceiverStream::new(rx))
        .keep_alive(keep)
        .into_response())
}

/// An event of a stream.
fn event(name: &str, data: &impl serde::Serialize) -> Event {
    let data = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(data)
}

async fn stream(app: App, mut after: u64, tx: mpsc::Sender<Result<Event, Infallible>>) {
    let (mut commits, mut stop) = (app.ledger.commits.clone(), app.stop.clone());
    let end = |detail: &str, after: u64| {
        let detail = detail.into();
        event("end", &ChangeEndResponse { detail, after })
    };
    loop {
        commits.borrow_and_update();
        let reader = app.clone();
        let Ok(found) = blocking(move || Ok(read(&reader, after, READ_BATCH)?)).await else {
            let _ = tx.send(Ok(end("the journal cannot be read", after))).await;
            return;
        };
        if found.gap {
            let next = found.items.first().map_or(found.last, |c| c.commit);
            let gap = event("gap", &ChangeGapResponse { after, next });
            if tx.send(Ok(gap)).await.is_err() {
                return;
            }
            after = found.items.first().map_or(found.last, |c| c.commit - 1);
        }
        let more = found.items.len() == READ_BATCH;
        for c in found.items {
            after = c.commit;
            let commit = event("commit", &c).id(after.to_string());
            if tx.send(Ok(commit)).await.is_err() {
                return;
            }
        }
        if more {
            continue;
        }
        tokio::select! {
            changed = commits.changed() => if changed.is_err() { return },
            () = tx.closed() => return,
            () = stopped(&mut stop) => {
                let _ = tx.send(Ok(end("the daemon stops; continue after this commit", after))).await;
                return;
            }
        }
    }
}
