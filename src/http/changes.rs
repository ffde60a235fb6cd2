//! Changes of single subjects: list, renew, delist. A request becomes a [`Change`] here, for bulk
//! streams too.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    App,
    caller::Caller,
    conditions::RequestConditions,
    convert::{listing, listing_id, parse_listing_id, with_revision},
    error::of_ledger,
    handler::{Call, JsonResult, blocking},
    input::{JsonWithBytes, Part, QueryParams, line, time},
    secrets, subject,
};
use crate::{
    api::{
        DeletionQuery, ListingRequest, ListingResponse, ListingSubmissionResponse, Operation,
        ProblemDetails, ReceiptResponse, RenewalRequest,
    },
    ledger::{AccountChange, PROPOSE, Pending, Proposal, Receipt},
    model::{
        Change, Entry, EntryText, Evidence, Preconditions, ReasonId, Role, SourceId, Subject,
        Verdict,
        history::{Command, HoldFor, IdempotencyKey, OpenEnd},
        subject::HostBits,
        time::parse_end,
    },
    store::{StoreError, schema::StoredReceipt},
};

/// The `until` of a listing that does not expire.
const NEVER: &str = "never";

/// Turns a request into a change, if the caller may make it.
pub fn change(
    app: &App,
    request: &ListingRequest,
    caller: &Caller,
    preconditions: Preconditions,
) -> Result<Change, ProblemDetails> {
    let bits = if request.clear_host_bits {
        HostBits::Clear
    } else {
        HostBits::Refuse
    };
    let subject = match request.op {
        Operation::List | Operation::Exempt => {
            let reason = request.reason.as_ref();
            let reason = reason.filter(|_| request.op == Operation::List);
            let reason = reason.and_then(|r| app.ledger.store.dictionary().reasons.get(r));
            let zones = app.ledger.published.snapshot().zones.clone();
            let suffixes = &request.allow_suffix;
            subject::intake(&zones, &request.subject, bits, reason, suffixes)?
        }
        _ => subject::stored(app, &request.subject, bits)?,
    };
    let mut change = change_of(app, subject, request, caller, preconditions)?;
    if change.preconditions.open_end == OpenEnd::Lifetime {
        // An existing listing keeps its end; a new one gets the lifetime.
        change.preconditions.open_end = OpenEnd::Keep;
    }
    if let Command::List { reason, source, .. } = &change.command
        && !request.unpublished
    {
        check_published(app, &change.subject, *reason, *source)?;
    }
    Ok(change)
}

/// Builds a change of a known subject, such as that of a listing that is renewed.
fn change_of(
    app: &App,
    subject: Subject,
    request: &ListingRequest,
    caller: &Caller,
    mut preconditions: Preconditions,
) -> Result<Change, ProblemDetails> {
    let dictionary = app.ledger.store.dictionary();
    let reasons = || dictionary.reasons.0.all().join(", ");
    let find_reason = |name: &String| {
        let found = dictionary.reasons.get(name);
        found.ok_or_else(|| {
            ProblemDetails::invalid(format!(
                "reason: `{name}` is not in config.toml; the reasons are {}",
                reasons()
            ))
        })
    };
    let find_source = |name: &String| {
        let found = dictionary.sources.get(name);
        found.ok_or_else(|| ProblemDetails::invalid(format!("source: unknown source `{name}`")))
    };
    if request.until.as_deref() == Some(NEVER) && request.op == Operation::List {
        preconditions.open_end = OpenEnd::Never;
    }
    let until = request.until.as_ref();
    let until = until.filter(|_| preconditions.open_end != OpenEnd::Never);
    let until = time("until", until, app.ledger.now(), parse_end)?;
    for (field, text) in [("text", &request.text), ("note", &request.note)] {
        let Some(text) = text else { continue };
        if text.len() > Evidence::MAX_TEXT {
            return Err(ProblemDetails::invalid(format!(
                "{field}: at most {} bytes",
                Evidence::MAX_TEXT
            )));
        }
        line(field, text)?;
    }
    let reason = request.reason.as_ref().map(find_reason).transpose()?;
    let required_reason = || {
        reason.ok_or_else(|| {
            ProblemDetails::invalid(format!("reason: required; the reasons are {}", reasons()))
        })
    };
    let source = request.source.as_ref().map(find_source).transpose()?;
    if request.listed_in_error && request.op != Operation::Delist {
        return Err(ProblemDetails::invalid(
            "listed_in_error: only `delist` accepts it",
        ));
    }
    if request.exact && request.op != Operation::List {
        return Err(ProblemDetails::invalid("exact: only `list` accepts it"));
    }
    let command = match request.op {
        Operation::List => Command::List {
            reason: required_reason()?,
            source: source.unwrap_or(SourceId::OPERATOR),
            until,
            text: EntryText::from(request.text.clone()).with_exact(request.exact),
        },
        Operation::Delist => Command::Delist {
            reason,
            source,
            hold: match (until, request.no_hold) {
                (_, true) => HoldFor::Nothing,
                (Some(t), _) => HoldFor::Until(t),
                (None, _) => HoldFor::Usual,
            },
        },
        Operation::Exempt => Command::Exempt { until },
        Operation::Unexempt => Command::Unexempt,
        Operation::Hold => Command::Hold {
            reason: required_reason()?,
            until,
        },
        Operation::Unhold => Command::Unhold { reason },
    };
    let exact = command.check_exact(&subject);
    exact.map_err(ProblemDetails::invalid)?;
    check_permission(caller, request, &subject)?;
    (preconditions.special, preconditions.breaks_hold) = (request.special, request.break_hold);
    Ok(Change {
        subject,
        author: caller.name.clone(),
        evidence: match request.listed_in_error {
            true => Some(Evidence::listed_in_error(request.note.clone())),
            false => request.note.clone().map(Evidence::statement),
        },
        command,
        preconditions,
    })
}

/// Whether the role and the bounds of the caller allow a change.
fn check_permission(
    caller: &Caller,
    request: &ListingRequest,
    subject: &Subject,
) -> Result<(), ProblemDetails> {
    caller.require(match request.op {
        Operation::Exempt | Operation::Unexempt | Operation::Unhold => Role::Operator,
        _ if request.break_hold || request.special => Role::Operator,
        Operation::List => Role::Reporter,
        Operation::Delist | Operation::Hold => Role::Editor,
    })?;
    // An exemption is for every reason, a hold for every source.
    let (reason, source) = match request.op {
        Operation::Exempt | Operation::Unexempt => (None, None),
        Operation::Hold | Operation::Unhold => (request.reason.as_deref(), None),
        Operation::List => (
            request.reason.as_deref(),
            Some(request.source.as_deref().unwrap_or(SourceId::DECIDING[0])),
        ),
        Operation::Delist => (request.reason.as_deref(), request.source.as_deref()),
    };
    caller.allow(Some(subject), reason, source)
}

/// Refuses a listing that no zone would publish, unless it renews one. A listing by a relay test or
/// a trap is always accepted, so that its evidence is kept.
fn check_published(
    app: &App,
    subject: &Subject,
    reason: ReasonId,
    source: SourceId,
) -> Result<(), ProblemDetails> {
    if [SourceId::PROBER, SourceId::TRAP].contains(&source) {
        return Ok(());
    }
    let (snapshot, store) = (app.ledger.published.snapshot(), &app.ledger.store);
    let reasons = &store.dictionary().reasons;
    match snapshot.zones.unpublished(subject, reason, reasons) {
        Some(why) if store.verdict(subject)?.entry(reason, source).is_none() => {
            Err(ProblemDetails::invalid(format!("subject: {why}")))
        }
        _ => Ok(()),
    }
}

/// Whether listings for a reason need the approval of another person.
pub fn requires_approval(app: &App, reason: &str) -> bool {
    let settings = app.ledger.settings();
    let mut reasons = settings.reasons.iter();
    reasons.any(|r| r.name == reason && r.two_persons)
}

/// Where a submitted change went.
pub(super) enum Submission {
    /// To the writer.
    Pending(Pending),
    /// To the proposals, under this number: another person has to approve it.
    Proposed(String),
}

/// Submits a change, or keeps it as a proposal if another person has to approve it.
pub async fn submit(
    app: &App,
    caller: &Caller,
    change: Change,
) -> Result<Submission, ProblemDetails> {
    let needs_approval = match &change.command {
        Command::List { reason, .. } => {
            let dictionary = app.ledger.store.dictionary();
            caller.role < Role::Editor || requires_approval(app, dictionary.reasons.name(*reason))
        }
        _ => false,
    };
    if !needs_approval {
        return app.submit(change).await.map(Submission::Pending);
    }
    // A repeated request, or another one of the same author for the same listing, gets the same
    // proposal.
    let accounts = app.ledger.accounts();
    let waiting = accounts.proposals.same(&change);
    let id = match (waiting, &change.preconditions.idempotency) {
        (Some(proposal), _) => proposal.id.clone(),
        (None, Some(idempotency)) => secrets::base32(&idempotency.key),
        (None, None) => secrets::token().map_err(ProblemDetails::internal)?.0,
    };
    let note = change.evidence.as_ref().map(|e| e.text.clone());
    let record = caller.audit_record(PROPOSE, &change.subject, &id, note);
    let proposal = Proposal {
        id: id.clone(),
        at: app.ledger.now(),
        change,
        person: caller.person.clone(),
    };
    app.change_accounts(AccountChange::Proposal(proposal), record)
        .await?;
    Ok(Submission::Proposed(id))
}

/// Waits for the receipt of a change.
async fn receipt(app: &App, pending: Pending) -> Result<ReceiptResponse, ProblemDetails> {
    let receipt = pending.receipt().await;
    receipt.map(Into::into).map_err(of_ledger(&app.ledger))
}

/// Submits a change and waits for its receipt.
pub async fn commit(app: &App, change: Change) -> Result<ReceiptResponse, ProblemDetails> {
    receipt(app, app.submit(change).await?).await
}

/// The response to a listing that became a proposal.
fn proposed(listing: String, proposal: String) -> Response {
    let response = ListingSubmissionResponse::proposed(listing, proposal);
    (StatusCode::ACCEPTED, Json(response)).into_response()
}

/// Lists a subject, or renews its listing. The response is sent when DNS shows the change.
#[utoipa::path(post, path = "/v1/listings", tag = "listings", request_body = ListingRequest,
    responses((status = 201, body = ListingSubmissionResponse, description = "The subject is listed"),
        (status = 202, body = ListingSubmissionResponse, description = "Another person has to approve the listing")))]
pub async fn create_listing(
    Call { app, caller }: Call,
    conditions: RequestConditions,
    JsonWithBytes(request, body): JsonWithBytes<ListingRequest>,
) -> Result<Response, ProblemDetails> {
    if request.op != Operation::List {
        return Err(ProblemDetails::invalid(
            "op: only `list` is accepted here; POST /v1/bulk accepts the others",
        ));
    }
    let preconditions = conditions.preconditions(&caller, "listings", &body);
    let change = change(&app, &request, &caller, preconditions)?;
    let id = match &change.command {
        Command::List { reason, source, .. } => listing_id(&change.subject, *reason, *source),
        _ => String::new(),
    };
    match submit(&app, &caller, change).await? {
        Submission::Proposed(proposal) => Ok(proposed(id, proposal)),
        Submission::Pending(pending) => {
            let location = [(header::LOCATION, format!("/v1/listings/{id}"))];
            let receipt = receipt(&app, pending).await?;
            let response = ListingSubmissionResponse::created(id, receipt);
            Ok((StatusCode::CREATED, location, Json(response)).into_response())
        }
    }
}

/// Finds a listing by its ID: its subject, verdict and entry.
fn find(app: &App, id: &str) -> Result<(Subject, Verdict, Entry), ProblemDetails> {
    let (subject, reason, source) = parse_listing_id(id).ok_or_else(|| no_listing(id))?;
    let verdict = app.ledger.store.verdict(&subject)?;
    let entry = verdict.entry(reason, source).cloned();
    let entry = entry.ok_or_else(|| no_listing(id))?;
    Ok((subject, verdict, entry))
}

fn no_listing(id: &str) -> ProblemDetails {
    ProblemDetails::not_found(format!("there is no listing `{id}`"))
}

/// Returns a listing.
#[utoipa::path(get, path = "/v1/listings/{id}", tag = "listings",
    params(("id" = String, Path, description = "The ID of the listing")),
    responses((status = 200, body = ListingResponse, description = "The listing")))]
pub async fn get_listing(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Response, ProblemDetails> {
    let work = move || {
        let (subject, verdict, entry) = find(&app, &id)?;
        let history = app.ledger.store.history(&subject)?;
        let dictionary = app.ledger.store.dictionary();
        Ok(listing(&dictionary, &subject, &verdict, &entry, &history))
    };
    let found = blocking(work).await?;
    Ok(with_revision(&found.revision, &found))
}

/// Renews a listing: sets a new end, and a new text if the request has one.
#[utoipa::path(patch, path = "/v1/listings/{id}", tag = "listings", request_body = RenewalRequest,
    params(("id" = String, Path, description = "The ID of the listing")),
    responses((status = 200, body = ReceiptResponse, description = "The listing is renewed"),
        (status = 202, body = ListingSubmissionResponse, description = "Another person has to approve the renewal")))]
pub async fn renew_listing(
    Call { app, caller }: Call,
    Part(id): Part,
    conditions: RequestConditions,
    JsonWithBytes(renewal, body): JsonWithBytes<RenewalRequest>,
) -> Result<Response, ProblemDetails> {
    let preconditions = conditions.preconditions(&caller, &id, &body);
    // A repeated request gets the same receipt, also when the listing has ended since.
    if let Some(idempotency) = preconditions.idempotency
        && let Some(stored) = stored_receipt(&app, idempotency)?
        && idempotency.body == stored.body
    {
        return Ok(Json(ReceiptResponse::from(Receipt::from(stored))).into_response());
    }
    let (subject, _, entry) = find(&app, &id)?;
    let dictionary = app.ledger.store.dictionary();
    let request = ListingRequest {
        reason: Some(dictionary.reasons.name(entry.reason).into()),
        source: Some(dictionary.sources.name(entry.source).into()),
        until: renewal.until,
        text: renewal.text.or(entry.text.text.map(Into::into)),
        exact: entry.text.exact,
        note: renewal.note,
        ..ListingRequest::default()
    };
    let mut change = change_of(&app, subject, &request, &caller, preconditions)?;
    change.preconditions.special = true; // it is listed already
    match submit(&app, &caller, change).await? {
        Submission::Proposed(proposal) => Ok(proposed(id, proposal)),
        Submission::Pending(pending) => Ok(Json(receipt(&app, pending).await?).into_response()),
    }
}

/// The receipt of an earlier request with the same key.
fn stored_receipt(
    app: &App,
    idempotency: IdempotencyKey,
) -> Result<Option<StoredReceipt>, StoreError> {
    let now = app.ledger.now();
    app.ledger.store.stored_receipt(now, &idempotency.key)
}

/// Grants a removal: the listings of every source for the reason end, and a hold prevents a new
/// listing of the subject.
#[utoipa::path(delete, path = "/v1/listings/{id}", tag = "listings",
    params(("id" = String, Path, description = "The ID of the listing"), DeletionQuery),
    responses((status = 200, body = ReceiptResponse, description = "The subject is delisted")))]
pub async fn delete_listing(
    Call { app, caller }: Call,
    Part(id): Part,
    QueryParams(query): QueryParams<DeletionQuery>,
    conditions: RequestConditions,
) -> JsonResult<ReceiptResponse> {
    let body = serde_json::to_vec(&query).map_err(ProblemDetails::internal)?;
    let preconditions = conditions.preconditions(&caller, &id, &body);
    let (subject, reason, source) = parse_listing_id(&id).ok_or_else(|| no_listing(&id))?;
    // A repeated request gets the same receipt, also when nothing is left to delist.
    let earlier = preconditions.idempotency.map(|i| stored_receipt(&app, i));
    if earlier.transpose()?.flatten().is_none() {
        find(&app, &id)?;
    }
    let dictionary = app.ledger.store.dictionary();
    let no_hold = query.hold.as_deref() == Some("none");
    let request = ListingRequest {
        op: Operation::Delist,
        reason: Some(dictionary.reasons.name(reason).into()),
        source: query.only.then(|| dictionary.sources.name(source).into()),
        until: query.hold.filter(|_| !no_hold),
        note: query.note,
        no_hold,
        listed_in_error: query.listed_in_error,
        ..ListingRequest::default()
    };
    let change = change_of(&app, subject, &request, &caller, preconditions)?;
    commit(&app, change).await.map(Json)
}
