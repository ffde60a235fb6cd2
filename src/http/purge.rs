//! Purges: many listings removed at once, by what they have in common.

use axum::Json;

use super::{
    App,
    caller::Caller,
    conditions::RequestConditions,
    error::of_ledger,
    handler::{Call, JsonResult, blocking},
    input::{JsonBody, QueryParams, note},
    listings::ListingFilter,
};
use crate::{
    api::{ListingsQuery, ProblemDetails, PurgeQuery, PurgeRequest, PurgeResponse},
    ledger::{Import, MAX_CHANGES},
    model::{
        Change, EntryText, Evidence, ReasonId, SourceId, Subject,
        history::{Command, HoldFor},
        text::counted,
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
pub async fn purge_listings(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<PurgeQuery>,
    JsonBody(request): JsonBody<PurgeRequest>,
) -> JsonResult<PurgeResponse> {
    let conditions = ListingsQuery {
        source: request.source.clone(),
        reason: request.reason.clone(),
        author: request.author.clone(),
        prefix: request.prefix.clone(),
        domain: request.domain.clone(),
        from: request.from.clone(),
        to: request.to.clone(),
        ..ListingsQuery::default()
    };
    if conditions == ListingsQuery::default() {
        return Err(ProblemDetails::invalid(
            "at least one condition is required: source, reason, author, prefix, domain, from or to",
        ));
    }
    note(request.note.as_ref())?;
    let dictionary = app.ledger.store.dictionary();
    let filter = ListingFilter::read(&dictionary, app.ledger.now(), conditions)?;
    caller.allow(
        filter.within.as_ref(),
        request.reason.as_deref(),
        request.source.as_deref(),
    )?;
    let work = move || run(&app, &caller, &request, &filter, query.dry_run);
    blocking(work).await.map(Json)
}

/// The listings that match: subject, reason, source.
fn find_matches(
    app: &App,
    filter: &ListingFilter,
) -> Result<Vec<(Subject, ReasonId, SourceId)>, StoreError> {
    let (store, dictionary) = (&app.ledger.store, app.ledger.store.dictionary());
    let mut out = Vec::new();
    for (from, to) in filter.ranges() {
        store.scan_range(&dictionary, &from, &to, &mut |subject, verdict| {
            let entries = verdict.entries.iter();
            for e in entries.filter(|e| !e.exclusion && filter.fits(&subject, e)) {
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
    let all = find_matches(app, filter)?;
    let sample = all.iter().take(MAX_SAMPLES).map(|(s, ..)| s.to_string());
    let mut out = PurgeResponse {
        count: all.len(),
        sample: sample.collect(),
        commits: Vec::new(),
    };
    if dry_run || all.is_empty() {
        return Ok(out);
    }
    // Only the last commit records that the request was processed, so that an interrupted request
    // continues when it is repeated.
    let audit_record = |detail: String, last: bool| {
        let target = request.source.as_deref().unwrap_or("listings");
        let record = caller.audit_record("purge", target, detail, request.note.clone());
        AuditRecord {
            idempotency: record.idempotency.filter(|_| last),
            ..record
        }
    };
    let hold = if request.hold {
        HoldFor::Usual
    } else {
        HoldFor::Nothing
    };
    let (of_feeds, others): (Vec<_>, Vec<_>) =
        all.iter().partition(|(.., s)| !request.hold && s.is_feed());
    let mut feeds: Vec<SourceId> = of_feeds.iter().map(|(.., s)| *s).collect();
    feeds.sort_unstable();
    feeds.dedup();
    // A hold suppresses the reason for every source, so that one change for each is enough.
    let mut commands: Vec<(&Subject, Command)> = others
        .into_iter()
        .map(|(subject, reason, source)| {
            let command = Command::Delist {
                reason: Some(*reason),
                source: (!request.hold).then_some(*source),
                hold,
            };
            (subject, command)
        })
        .collect();
    commands.dedup();
    let parts = commands.len().div_ceil(MAX_CHANGES);
    for (n, part) in (1..).zip(commands.chunks(MAX_CHANGES)) {
        let change = |(subject, command): &(&Subject, Command)| {
            let mut change = Change::new((*subject).clone(), caller.name.clone(), command.clone());
            change.evidence = request.note.clone().map(Evidence::statement);
            change.preconditions = RequestConditions::default().preconditions(caller, "purge", &[]);
            change
        };
        let record = audit_record(
            counted(part.len(), "subject"),
            n == parts && feeds.is_empty(),
        );
        let changes = part.iter().map(change).collect();
        let receipt = app.ledger.submit_many(changes, record);
        out.commits.push(receipt.map_err(&problem)?.into());
    }
    for (n, source) in (1..).zip(&feeds) {
        let record = audit_record(String::new(), n == feeds.len());
        let mut import = Import {
            mode: Mode::Remove,
            audit: Some(record),
            ..Import::replace(*source)
        };
        let rows = of_feeds.iter().filter(|(.., s)| s == source);
        let result = app.ledger.import_with(&mut import, |_, sink| {
            for (subject, reason, _) in rows {
                let entry = FeedEntry {
                    reason: *reason,
                    exclusion: false,
                    implied: false,
                    since: app.ledger.now(),
                    text: EntryText::default(),
                    note: None,
                };
                sink(subject.clone(), entry)?;
            }
            Ok(())
        });
        let result =
            result.map_err(|e| ProblemDetails::conflict(e.text(&app.ledger.store.dictionary())))?;
        out.commits.extend(result.receipt.map(Into::into));
    }
    Ok(out)
}
