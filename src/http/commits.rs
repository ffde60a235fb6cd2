//! Commits: what each did, the way back, and the stream of changes.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Body, Params, Part, limit},
    shapes::ReceiptShape,
};
use crate::{
    ledger::{ChangedBy, Undo},
    model::{Preconditions, Role, Subject},
    store::{StoreError, schema::Commit, stage::ImportDifference},
};

/// Subjects of a commit that are shown.
const SHOWN: usize = 1000;
/// Commits of a stream that wait for its reader.
const WAITING: usize = 64;
/// Commits that a stream reads at a time.
const READ: usize = 256;

/// A serial that a commit moved.
#[derive(Debug, Serialize, ToSchema)]
pub struct Moved {
    zone: String,
    from: u32,
    to: u32,
}

/// A commit.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommitShape {
    commit: u64,
    at: String,
    serials: Vec<Moved>,
    /// The subjects that it changed; at most 1000.
    subjects: Vec<String>,
    /// How many they are.
    count: usize,
    /// A large import: its subjects are too many to list.
    bulk: bool,
    /// Mirrors take a whole zone across it.
    barrier: bool,
}

fn shape(seq: u64, c: &Commit) -> CommitShape {
    let mut subjects: Vec<Subject> = c
        .before
        .iter()
        .filter_map(|(k, _)| Subject::from_key(k))
        .collect();
    subjects.sort();
    CommitShape {
        commit: seq,
        at: c.at.to_string(),
        serials: c
            .serials
            .iter()
            .map(|(z, from, to)| Moved {
                zone: z.clone(),
                from: from.0,
                to: to.0,
            })
            .collect(),
        count: subjects.len(),
        subjects: subjects
            .iter()
            .take(SHOWN)
            .map(Subject::to_string)
            .collect(),
        bulk: c.bulk,
        barrier: c.barrier,
    }
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found(format!("`{text}` is no commit's number")))
}

/// A commit, while the journal has it.
#[utoipa::path(get, path = "/v1/commits/{seq}", tag = "commits", params(("seq" = u64, Path)), responses((status = 200, body = CommitShape), Problem))]
pub(super) async fn get(
    State(app): State<App>,
    Part(seq): Part,
) -> Result<Json<CommitShape>, Problem> {
    let seq = number(&seq)?;
    match app.ledger.store.commit_row(seq)? {
        Some(c) if seq <= app.ledger.store.seq()? => Ok(Json(shape(seq, &c))),
        _ => Err(Problem::not_found(format!(
            "the journal has no commit {seq} (any more)"
        ))),
    }
}

/// How a commit is undone.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Undoing {
    /// Only what this author did in it; the changes of many share a commit.
    author: Option<String>,
    /// Only tell what would be done.
    dry_run: bool,
    /// Bring listings back also where a removal was granted.
    break_hold: bool,
    /// Why, for the history.
    note: Option<String>,
}

/// A commit that has changed subjects since.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedByShape {
    commit: u64,
    /// What it was.
    what: String,
    /// How many subjects.
    count: usize,
    /// Some of them.
    sample: Vec<String>,
}

/// What became of a commit's subjects.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndoneShape {
    /// None where there was nothing to take back, or only told.
    receipt: Option<ReceiptShape>,
    /// They stand as they stood before.
    undone: Vec<String>,
    /// They changed since, and were left alone.
    changed_since: Vec<String>,
    /// By which commits those have changed; the newest first, at most 20.
    changed_by: Vec<ChangedByShape>,
    /// A removal was granted: their listing did not come back.
    held: Vec<String>,
    /// Of a large import: what changed.
    difference: Option<DifferenceShape>,
}

/// What an import, or its way back, did or would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct DifferenceShape {
    added: u64,
    changed: u64,
    removed: u64,
    same: u64,
    /// Listed by it, and held down by a granted removal.
    held: u64,
    sample_added: Vec<String>,
    sample_removed: Vec<String>,
    sample_held: Vec<String>,
}

impl From<ImportDifference> for DifferenceShape {
    fn from(d: ImportDifference) -> DifferenceShape {
        let ImportDifference {
            added,
            changed,
            removed,
            same,
            held,
            sample_added,
            sample_removed,
            sample_held,
            ..
        } = d;
        DifferenceShape {
            added,
            changed,
            removed,
            same,
            held,
            sample_added,
            sample_removed,
            sample_held,
        }
    }
}

/// Takes a commit back, as far as its subjects still stand as it left them. The way back is a
/// commit itself.
#[utoipa::path(post, path = "/v1/commits/{seq}/undo", tag = "commits", params(("seq" = u64, Path)), request_body = Undoing, responses((status = 200, body = UndoneShape), Problem))]
pub(super) async fn undo(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(seq): Part,
    Body(asked): Body<Undoing>,
) -> Result<Json<UndoneShape>, Problem> {
    if !caller.bounds.is_empty() {
        return Err(Problem::forbidden(
            "a token that is bound to reasons, sources or prefixes undoes nothing: a commit can hold the changes of others",
        ));
    }
    if asked.break_hold && caller.role < Role::Operator {
        return Err(Problem::forbidden(
            "breaking a hold takes the role operator",
        ));
    }
    super::input::note(asked.note.as_ref())?;
    let preconditions = Preconditions {
        from: caller.from.clone(),
        idempotency: caller.once,
        breaks_hold: asked.break_hold,
        ..Preconditions::default()
    };
    let undo = Undo {
        seq: number(&seq)?,
        author: caller.name.clone(),
        why: asked.note,
        preconditions,
        of: asked.author,
        dry_run: asked.dry_run,
    };
    let ledger = app.ledger.clone();
    let done = tokio::task::spawn_blocking(move || ledger.undo(&undo))
        .await
        .map_err(Problem::failed)?;
    let done = done.map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
    let names = |s: Vec<Subject>| s.iter().map(Subject::to_string).collect();
    let changed = |c: ChangedBy| ChangedByShape {
        commit: c.commit,
        what: c.what,
        count: c.count,
        sample: names(c.sample),
    };
    Ok(Json(UndoneShape {
        receipt: done.receipt.map(Into::into),
        undone: names(done.undone),
        changed_since: names(done.changed_since),
        changed_by: done.changed_by.into_iter().map(changed).collect(),
        held: names(done.held),
        difference: done.rows.map(Into::into),
    }))
}

/// From where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// Only commits after this number; of a stream, those that come where it is left out.
    since: Option<u64>,
    /// At most so many on a page (1 to 1000; 100 where it is left out).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Commits in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changes {
    commits: Vec<CommitShape>,
    /// The last commit there is.
    last: u64,
    /// The journal no longer has the first ones after `since`: what happened is not all told.
    gap: bool,
}

fn read(app: &App, since: u64, most: usize) -> Result<Changes, StoreError> {
    let last = app.ledger.published.snapshot().seq;
    let mut commits = Vec::new();
    app.ledger
        .store
        .commits(since.saturating_add(1), &mut |seq, c| {
            if seq > last || commits.len() >= most {
                return Ok(false);
            }
            commits.push(shape(seq, &c));
            Ok(true)
        })?;
    // A number that was never given is one of another store, or of what was lost.
    let gap = since > last || since < last && commits.first().is_none_or(|c| c.commit != since + 1);
    Ok(Changes { commits, last, gap })
}

/// What changed: a page, or with `Accept: text/event-stream` a stream that goes on. A stream's
/// events are `commit` (its id is the number; send it back in `Last-Event-ID`), `gap` where the
/// journal no longer reaches back, and `end`.
#[utoipa::path(get, path = "/v1/changes", tag = "commits", params(Since), responses((status = 200, content((Changes = "application/json"), (String = "text/event-stream"))), Problem))]
pub(super) async fn changes(
    State(app): State<App>,
    headers: HeaderMap,
    Params(asked): Params<Since>,
) -> Result<Response, Problem> {
    let most = limit(asked.limit)?;
    let streamed = headers
        .get(header::ACCEPT)
        .and_then(|a| a.to_str().ok())
        .is_some_and(|a| a.contains("text/event-stream"));
    if !streamed {
        let work = move || read(&app, asked.since.unwrap_or(0), most);
        return Ok(Json(
            tokio::task::spawn_blocking(work)
                .await
                .map_err(Problem::failed)??,
        )
        .into_response());
    }
    let last_id = headers
        .get("last-event-id")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    let from = last_id
        .or(asked.since)
        .unwrap_or(app.ledger.published.snapshot().seq);
    let (tx, rx) = mpsc::channel(WAITING);
    tokio::spawn(stream(app, from, tx));
    let keep = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(ReceiverStream::new(rx))
        .keep_alive(keep)
        .into_response())
}

async fn stream(app: App, mut at: u64, tx: mpsc::Sender<Result<Event, Infallible>>) {
    let (mut commits, mut stop) = (app.ledger.commits.clone(), app.stop.clone());
    let end = |why: &str, at: u64| {
        Event::default()
            .event("end")
            .data(format!("{{\"reason\":\"{why}\",\"since\":{at}}}"))
    };
    loop {
        commits.borrow_and_update();
        let of = app.clone();
        let found = tokio::task::spawn_blocking(move || read(&of, at, READ)).await;
        let Ok(Ok(found)) = found else {
            let _ = tx.send(Ok(end("the journal cannot be read", at))).await;
            return;
        };
        if found.gap {
            let text = format!(
                "{{\"since\":{at},\"next\":{}}}",
                found.commits.first().map_or(found.last, |c| c.commit)
            );
            if tx
                .send(Ok(Event::default().event("gap").data(text)))
                .await
                .is_err()
            {
                return;
            }
            at = found.commits.first().map_or(found.last, |c| c.commit - 1);
        }
        let more = found.commits.len() == READ;
        for c in found.commits {
            at = c.commit;
            let event = Event::default()
                .id(at.to_string())
                .event("commit")
                .data(serde_json::to_string(&c).unwrap_or_default());
            if tx.send(Ok(event)).await.is_err() {
                return;
            }
        }
        if more {
            continue;
        }
        tokio::select! {
            changed = commits.changed() => if changed.is_err() { return },
            () = tx.closed() => return,
            () = super::stopped(&mut stop) => {
                let _ = tx.send(Ok(end("the daemon stops; go on from here", at))).await;
                return;
            }
        }
    }
}
