//! Purges: many listings taken off at once, by what they have in common; first looked at, then
//! done.

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    change::Conditions,
    error::Problem,
    input::{Body, Params},
    listings::Wanted,
    shapes::ReceiptShape,
};
use crate::{
    ledger::{Import, MAX_CHANGES},
    model::{
        Change, EntryText, Evidence, ReasonId, SourceId, Subject,
        history::{Command, HoldFor},
    },
    store::{
        StoreError,
        schema::{AuditRecord, FeedEntry},
        stage::Mode,
    },
};

/// Subjects that a preview shows.
const SAMPLES: usize = 20;

/// What is to go. At least one has to be said.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Purge {
    /// Only by this source; of a feed it goes until the feed's next import.
    source: Option<String>,
    /// Only for this reason.
    reason: Option<String>,
    /// Only what this author listed last.
    author: Option<String>,
    /// Only what this prefix covers.
    prefix: Option<String>,
    /// Only this domain and what is below it.
    domain: Option<String>,
    /// Only what is listed since this time or later: a date, an RFC 3339 time, or a duration before
    /// now (7d).
    from: Option<String>,
    /// Only what is listed since this time or earlier.
    to: Option<String>,
    /// Hold the reasons down, as a granted removal does (30 days).
    hold: bool,
    /// Why, for the history.
    note: Option<String>,
}

/// Whether it is only looked at.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// Only tell what would go.
    dry_run: bool,
}

/// What went, or would go.
#[derive(Debug, Serialize, ToSchema)]
pub struct Purged {
    /// Listings.
    count: usize,
    /// Some of their subjects.
    sample: Vec<String>,
    /// What was done, commit by commit; at most 50,000 subjects in each, so that all of it can be
    /// undone.
    commits: Vec<ReceiptShape>,
}

/// Takes off all listings that have something in common.
#[utoipa::path(post, path = "/v1/purges", tag = "listings", params(How), request_body = Purge, responses((status = 200, body = Purged), Problem))]
pub(super) async fn purge(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(how): Params<How>,
    Body(asked): Body<Purge>,
) -> Result<Json<Purged>, Problem> {
    if asked.source.is_none()
        && asked.reason.is_none()
        && asked.author.is_none()
        && asked.prefix.is_none()
        && asked.domain.is_none()
        && asked.from.is_none()
        && asked.to.is_none()
    {
        return Err(Problem::invalid(
            "say what is to go: source, reason, author, prefix, domain, from or to",
        ));
    }
    super::input::note(asked.note.as_ref())?;
    let v = app.ledger.store.dictionary();
    let words = (
        (asked.prefix.as_ref(), asked.domain.as_ref()),
        (asked.reason.as_ref(), asked.source.as_ref()),
        (asked.from.as_ref(), asked.to.as_ref()),
    );
    let wanted = Wanted {
        author: asked.author.clone(),
        ..Wanted::read(&v, app.ledger.now(), words.0, words.1, words.2)?
    };
    caller.allow(
        wanted.within.as_ref(),
        asked.reason.as_deref(),
        asked.source.as_deref(),
    )?;
    let work = move || run(&app, &caller, &asked, &wanted, how.dry_run);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Problem::failed)?
        .map(Json)
}

/// The listings that are meant: subject, reason, source.
fn meant(app: &App, wanted: &Wanted) -> Result<Vec<(Subject, ReasonId, SourceId)>, StoreError> {
    let (store, v) = (&app.ledger.store, app.ledger.store.dictionary());
    let mut out = Vec::new();
    for (from, to) in wanted.ranges() {
        store.scan_range(&v, &from, &to, &mut |subject, verdict| {
            for e in verdict
                .entries
                .iter()
                .filter(|e| !e.exclusion && wanted.fits(&subject, e))
            {
                if !wanted.asks_history() || wanted.fits_history(e, &store.history(&subject)?) {
                    out.push((subject.clone(), e.reason, e.source));
                }
            }
            Ok(true)
        })?;
    }
    Ok(out)
}

fn run(
    app: &App,
    caller: &Caller,
    asked: &Purge,
    wanted: &Wanted,
    dry_run: bool,
) -> Result<Purged, Problem> {
    let problem = |e| Problem::of(&e, &app.ledger.store.dictionary());
    let all = meant(app, wanted)?;
    let sample = all
        .iter()
        .take(SAMPLES)
        .map(|(s, ..)| s.to_string())
        .collect();
    let mut out = Purged {
        count: all.len(),
        sample,
        commits: Vec::new(),
    };
    if dry_run || all.is_empty() {
        return Ok(out);
    }
    // The last of its commits is the one that says that it was done: what is cut before goes on
    // when it is asked for again.
    let line = |detail: String, last: bool| {
        let line = caller.line(
            "purge",
            asked.source.as_deref().unwrap_or("listings"),
            detail,
            asked.note.clone(),
        );
        AuditRecord {
            idempotency: line.idempotency.filter(|_| last),
            ..line
        }
    };
    let mut asks: Vec<(&Subject, Command)> = Vec::new();
    for (subject, reason, source) in all.iter().filter(|(.., s)| asked.hold || !s.is_feed()) {
        let hold = if asked.hold {
            HoldFor::Usual
        } else {
            HoldFor::Nothing
        };
        // With a hold it is the reason that is granted, whoever says it: once for each.
        let command = Command::Delist {
            reason: Some(*reason),
            source: (!asked.hold).then_some(*source),
            hold,
        };
        if asks
            .last()
            .is_none_or(|(s, a)| (*s, a) != (subject, &command))
        {
            asks.push((subject, command));
        }
    }
    let mut feeds: Vec<SourceId> = match asked.hold {
        true => Vec::new(),
        false => all
            .iter()
            .map(|(.., s)| *s)
            .filter(|s| s.is_feed())
            .collect(),
    };
    feeds.sort_unstable();
    feeds.dedup();
    let parts = asks.len().div_ceil(MAX_CHANGES);
    for (n, part) in (1..).zip(asks.chunks(MAX_CHANGES)) {
        let change = |(subject, command): &(&Subject, Command)| {
            let mut change = Change::new((*subject).clone(), caller.name.clone(), command.clone());
            change.evidence = asked.note.clone().map(Evidence::word);
            change.preconditions = Conditions::default().preconditions(caller, "purge", &[]);
            change
        };
        let line = line(
            format!("{} subjects", part.len()),
            n == parts && feeds.is_empty(),
        );
        out.commits.push(
            app.ledger
                .submit_many(part.iter().map(change).collect(), line)
                .map_err(problem)?
                .into(),
        );
    }
    for (n, source) in (1..).zip(&feeds) {
        let line = line(String::new(), n == feeds.len());
        let mut import = Import {
            mode: Mode::Remove,
            asked: Some(line),
            ..Import::replace(*source)
        };
        let rows = all.iter().filter(|(.., s)| s == source);
        let result = app.ledger.import_with(&mut import, |_, sink| {
            for (subject, reason, _) in rows {
                sink(
                    subject.clone(),
                    FeedEntry {
                        reason: *reason,
                        exclusion: false,
                        implied: false,
                        since: app.ledger.now(),
                        text: EntryText::default(),
                        note: None,
                    },
                )?;
            }
            Ok(())
        });
        let result =
            result.map_err(|e| Problem::refused(e.text(&app.ledger.store.dictionary())))?;
        out.commits.extend(result.receipt.map(Into::into));
    }
    Ok(out)
}
