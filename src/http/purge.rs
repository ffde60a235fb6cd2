//! Purges: many listings removed at once, by what they have in common.

use axum::{Extension, Json, extract::State};

use super::{
    App,
    caller::Caller,
    conditions::RequestConditions,
    error::of_ledger,
    input::{JsonBody, QueryParams},
    listings::ListingFilter,
};
use crate::{
    api::{ProblemDetails, PurgeQuery, PurgeRequest, PurgeResponse},
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

/// The most subjects that a response names.
const MAX_SAMPLES: usize = 20;

/// Removes all listings that have something in common.
#[utoipa::path(post, path = "/v1/purges", tag = "listings", params(PurgeQuery), request_body = PurgeRequest,
    responses((status = 200, body = PurgeResponse, description = "The listings that were removed, or would be")))]
pub(super) async fn purge_listings(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    QueryParams(query): QueryParams<PurgeQuery>,
    JsonBody(request): JsonBody<PurgeRequest>,
) -> Result<Json<PurgeResponse>, ProblemDetails> {
    if request.source.is_none()
        && request.reason.is_none()
        && request.author.is_none()
        && request.prefix.is_none()
        && request.domain.is_none()
        && request.from.is_none()
        && request.to.is_none()
    {
        return Err(ProblemDetails::invalid(
            "at least one condition is required: source, reason, author, prefix, domain, from or to",
        ));
    }
    super::input::note(request.note.as_ref())?;
    let dictionary = app.ledger.store.dictionary();
    let filter = ListingFilter {
        author: request.author.clone(),
        ..ListingFilter::read(
            &dictionary,
            app.ledger.now(),
            (request.prefix.as_ref(), request.domain.as_ref()),
            (request.reason.as_ref(), request.source.as_ref()),
            (request.from.as_ref(), request.to.as_ref()),
        )?
    };
    caller.allow(
        filter.within.as_ref(),
        request.reason.as_deref(),
        request.source.as_deref(),
    )?;
    let work = move || run(&app, &caller, &request, &filter, query.dry_run);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ProblemDetails::failed)?
        .map(Json)
}

/// The listings that match: subject, reason, source.
fn matching(
    app: &App,
    filter: &ListingFilter,
) -> Result<Vec<(Subject, ReasonId, SourceId)>, StoreError> {
    let (store, dictionary) = (&app.ledger.store, app.ledger.store.dictionary());
    let mut out = Vec::new();
    for (from, to) in filter.ranges() {
        store.scan_range(&dictionary, &from, &to, &mut |subject, verdict| {
            for e in verdict
                .entries
                .iter()
                .filter(|e| !e.exclusion && filter.fits(&subject, e))
            {
                if !filter.needs_history() || filter.fits_history(e, &store.history(&subject)?) {
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
    request: &PurgeRequest,
    filter: &ListingFilter,
    dry_run: bool,
) -> Result<PurgeResponse, ProblemDetails> {
    let problem = of_ledger(&app.ledger);
    let all = matching(app, filter)?;
    let sample = all
        .iter()
        .take(MAX_SAMPLES)
        .map(|(s, ..)| s.to_string())
        .collect();
    let mut out = PurgeResponse {
        count: all.len(),
        sample,
        commits: Vec::new(),
    };
    if dry_run || all.is_empty() {
        return Ok(out);
    }
    // Only the last commit records that the request was processed, so that an interrupted request
    // continues when it is repeated.
    let audit_record = |detail: String, last: bool| {
        let record = caller.audit_record(
            "purge",
            request.source.as_deref().unwrap_or("listings"),
            detail,
            request.note.clone(),
        );
        AuditRecord {
            idempotency: record.idempotency.filter(|_| last),
            ..record
        }
    };
    let mut commands: Vec<(&Subject, Command)> = Vec::new();
    for (subject, reason, source) in all.iter().filter(|(.., s)| request.hold || !s.is_feed()) {
        let hold = if request.hold {
            HoldFor::Usual
        } else {
            HoldFor::Nothing
        };
        // A hold suppresses the reason for every source, so that one change for each is enough.
        let command = Command::Delist {
            reason: Some(*reason),
            source: (!request.hold).then_some(*source),
            hold,
        };
        if commands
            .last()
            .is_none_or(|(s, a)| (*s, a) != (subject, &command))
        {
            commands.push((subject, command));
        }
    }
    let mut feeds: Vec<SourceId> = match request.hold {
        true => Vec::new(),
        false => all
            .iter()
            .map(|(.., s)| *s)
            .filter(|s| s.is_feed())
            .collect(),
    };
    feeds.sort_unstable();
    feeds.dedup();
    let parts = commands.len().div_ceil(MAX_CHANGES);
    for (n, part) in (1..).zip(commands.chunks(MAX_CHANGES)) {
        let change = |(subject, command): &(&Subject, Command)| {
            let mut change = Change::new((*subject).clone(), caller.name.clone(), command.clone());
            change.evidence = request.note.clone().map(Evidence::statement);
            change.preconditions = RequestConditions::default().preconditions(caller, "purge", &[]);
            change
        };
        let record = audit_record(
            format!("{} subjects", part.len()),
            n == parts && feeds.is_empty(),
        );
        out.commits.push(
            app.ledger
                .submit_many(part.iter().map(change).collect(), record)
                .map_err(&problem)?
                .into(),
        );
    }
    for (n, source) in (1..).zip(&feeds) {
        let record = audit_record(String::new(), n == feeds.len());
        let mut import = Import {
            mode: Mode::Remove,
            audit: Some(record),
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
            result.map_err(|e| ProblemDetails::conflict(e.text(&app.ledger.store.dictionary())))?;
        out.commits.extend(result.receipt.map(Into::into));
    }
    Ok(out)
}
