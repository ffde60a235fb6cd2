//! Changes of single subjects: list, renew, delist. A request becomes a [`Change`] here, for bulk
//! streams too.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    App,
    caller::Caller,
    conditions::RequestConditions,
    convert::{listing, listing_id, listing_of},
    error::of_ledger,
    input::{Part, QueryParams, json},
    subject,
};
use crate::{
    api::{
        DeletionQuery, ListingRequest, ListingResponse, ListingSubmissionResponse, Operation,
        ProblemDetails, ReceiptResponse, RenewalRequest,
    },
    ledger::{AccountChange, PROPOSE, Pending, Proposal},
    model::{
        Change, Evidence, Preconditions, ReasonId, Role, SourceId, Subject,
        history::{Command, HoldFor, OpenEnd},
        subject::HostBits,
        time::parse_end,
    },
};

/// The `until` of a listing that does not expire.
const NEVER: &str = "never";

/// Turns a request into a change, if the caller may make it.
pub(super) fn change(
    app: &App,
    request: &ListingRequest,
    caller: &Caller,
    preconditions: Preconditions,
) -> Result<Change, ProblemDetails> {
    let bits = if request.host_bits {
        HostBits::Clear
    } else {
        HostBits::Refuse
    };
    let subject = match request.op {
        Operation::List | Operation::Exempt => {
            let reason = request
                .reason
                .as_deref()
                .filter(|_| request.op == Operation::List);
            let reason = reason.and_then(|r| app.ledger.store.dictionary().reasons.get(r));
            let snapshot = app.ledger.published.snapshot();
            subject::intake(
                &snapshot.zones,
                &request.subject,
                bits,
                reason,
                &request.allow_suffix,
            )?
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
    let known = || dictionary.reasons.0.all().join(", ");
    let reason = |name: &String| {
        let found = dictionary.reasons.get(name);
        found.ok_or_else(|| {
            ProblemDetails::invalid(format!(
                "reason: `{name}` is not in config.toml; the reasons are {}",
                known()
            ))
        })
    };
    let source = |name: &String| {
        dictionary
            .sources
            .get(name)
            .ok_or_else(|| ProblemDetails::invalid(format!("source: unknown source `{name}`")))
    };
    if request.until.as_deref() == Some(NEVER) && request.op == Operation::List {
        preconditions.open_end = OpenEnd::Never;
    }
    let until = request
        .until
        .as_ref()
        .filter(|_| preconditions.open_end != OpenEnd::Never)
        .map(|u| {
            parse_end(u, app.ledger.now())
                .map_err(|e| ProblemDetails::invalid(format!("until: {e}")))
        })
        .transpose()?;
    for (field, text) in [("text", &request.text), ("note", &request.note)] {
        if text.as_ref().is_some_and(|t| t.len() > Evidence::MAX_TEXT) {
            return Err(ProblemDetails::invalid(format!(
                "{field}: at most {} bytes",
                Evidence::MAX_TEXT
            )));
        }
        text.as_ref()
            .map_or(Ok(()), |t| super::input::line(field, t))?;
    }
    let some_reason = request.reason.as_ref().map(reason).transpose()?;
    let one_reason = || {
        some_reason.ok_or_else(|| {
            ProblemDetails::invalid(format!("reason: required; the reasons are {}", known()))
        })
    };
    let some_source = request.source.as_ref().map(source).transpose()?;
    let command = match request.op {
        Operation::List => Command::List {
            reason: one_reason()?,
            source: some_source.unwrap_or(SourceId::OPERATOR),
            until,
            text: request.text.clone().map(Into::into),
        },
        Operation::Delist => Command::Delist {
            reason: some_reason,
            source: some_source,
            hold: match (until, request.no_hold) {
                (_, true) => HoldFor::Nothing,
                (Some(t), _) => HoldFor::Until(t),
                (None, _) => HoldFor::Usual,
            },
        },
        Operation::Exempt => Command::Exempt { until },
        Operation::Unexempt => Command::Unexempt,
        Operation::Hold => Command::Hold {
            reason: one_reason()?,
            until,
        },
        Operation::Unhold => Command::Unhold {
            reason: some_reason,
        },
    };
    check_permission(caller, request, &subject)?;
    (preconditions.special, preconditions.breaks_hold) = (request.special, request.break_hold);
    Ok(Change {
        subject,
        author: caller.name.clone(),
        evidence: request.note.clone().map(Evidence::statement),
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
    let snapshot = app.ledger.published.snapshot();
    match snapshot
        .zones
        .unpublished(subject, reason, &app.ledger.store.dictionary().reasons)
    {
        Some(why)
            if app
                .ledger
                .store
                .verdict(subject)?
                .entry(reason, source)
                .is_none() =>
        {
            Err(ProblemDetails::invalid(format!("subject: {why}")))
        }
        _ => Ok(()),
    }
}

/// Where a submitted change went.
pub(super) enum Submission {
    /// To the writer.
    Pending(Pending),
    /// To the proposals, under this number: another person has to approve it.
    Proposed(String),
}

/// Submits a change, or keeps it as a proposal if another person has to approve it.
pub(super) async fn submit(
    app: &App,
    caller: &Caller,
    change: Change,
) -> Result<Submission, ProblemDetails> {
    let needs_approval = match &change.command {
        Command::List { reason, .. } => {
            let dictionary = app.ledger.store.dictionary();
            let name = dictionary.reasons.name(*reason);
            caller.role < Role::Editor
                || app
                    .ledger
                    .settings()
                    .reasons
                    .iter()
                    .any(|r| r.name == name && r.two_persons)
        }
        _ => false,
    };
    if !needs_approval {
        let pending = app.ledger.submit(change).await;
        return Ok(Submission::Pending(
            pending.map_err(of_ledger(&app.ledger))?,
        ));
    }
    // A repeated request, or another one of the same author for the same listing, gets the same
    // proposal.
    let waiting = app
        .ledger
        .accounts()
        .proposals
        .same(&change)
        .map(|p| p.id.clone());
    let id = match (waiting, &change.preconditions.idempotency) {
        (Some(id), _) => id,
        (None, Some(idempotency)) => super::secrets::text(&idempotency.key),
        (None, None) => super::secrets::token().map_err(ProblemDetails::failed)?.0,
    };
    let record = caller.audit_record(
        PROPOSE,
        &change.subject,
        &id,
        change.evidence.as_ref().map(|e| e.text.clone()),
    );
    let proposal = Proposal {
        id: id.clone(),
        at: app.ledger.now(),
        change,
        person: caller.person.clone(),
    };
    app.ledger
        .change_accounts(AccountChange::Proposal(proposal), Some(record))
        .await
        .map_err(of_ledger(&app.ledger))?;
    Ok(Submission::Proposed(id))
}

/// Submits a change and waits for its receipt.
pub(super) async fn commit(app: &App, change: Change) -> Result<ReceiptResponse, ProblemDetails> {
    let pending = app.ledger.submit(change).await;
    let receipt = pending.map_err(of_ledger(&app.ledger))?.receipt().await;
    receipt.map(Into::into).map_err(of_ledger(&app.ledger))
}

/// Lists a subject, or renews its listing. The response is sent when DNS shows the change.
#[utoipa::path(post, path = "/v1/listings", tag = "listings", request_body = ListingRequest,
    responses((status = 201, body = ListingSubmissionResponse, description = "The subject is listed"),
        (status = 202, body = ListingSubmissionResponse, description = "Another person has to approve the listing")))]
pub(super) async fn create_listing(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Response, ProblemDetails> {
    let body: Bytes = super::input::bytes(request, &app).await?;
    let conditions = RequestConditions::read(&headers)?;
    let request: ListingRequest = json(&body)?;
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
    let location = [(header::LOCATION, format!("/v1/listings/{id}"))];
    Ok(match submit(&app, &caller, change).await? {
        Submission::Proposed(proposal) => (
            StatusCode::ACCEPTED,
            Json(ListingSubmissionResponse::proposed(id, proposal)),
        )
            .into_response(),
        Submission::Pending(pending) => {
            let receipt = pending.receipt().await.map_err(of_ledger(&app.ledger))?;
            let response = ListingSubmissionResponse::created(id, receipt.into());
            (StatusCode::CREATED, location, Json(response)).into_response()
        }
    })
}

/// Finds a listing by its ID: its subject, verdict and entry.
fn find(
    app: &App,
    id: &str,
) -> Result<(Subject, crate::model::Verdict, crate::model::Entry), ProblemDetails> {
    let none = || ProblemDetails::not_found(format!("there is no listing `{id}`"));
    let (subject, reason, source) = listing_of(id).ok_or_else(none)?;
    let verdict = app.ledger.store.verdict(&subject)?;
    let entry = verdict.entry(reason, source).cloned().ok_or_else(none)?;
    Ok((subject, verdict, entry))
}

/// Returns a listing.
#[utoipa::path(get, path = "/v1/listings/{id}", tag = "listings",
    params(("id" = String, Path, description = "The ID of the listing")),
    responses((status = 200, body = ListingResponse, description = "The listing")))]
pub(super) async fn get_listing(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Response, ProblemDetails> {
    let work = move || {
        let (subject, verdict, entry) = find(&app, &id)?;
        let history = app.ledger.store.history(&subject)?;
        let dictionary = app.ledger.store.dictionary();
        Ok::<_, ProblemDetails>(listing(&dictionary, &subject, &verdict, &entry, &history))
    };
    let out = tokio::task::spawn_blocking(work)
        .await
        .map_err(ProblemDetails::failed)??;
    Ok(([(header::ETAG, format!("\"{}\"", out.revision))], Json(out)).into_response())
}

/// Renews a listing: sets a new end, and a new text if the request has one.
#[utoipa::path(patch, path = "/v1/listings/{id}", tag = "listings", request_body = RenewalRequest,
    params(("id" = String, Path, description = "The ID of the listing")),
    responses((status = 200, body = ReceiptResponse, description = "The listing is renewed"),
        (status = 202, body = ListingSubmissionResponse, description = "Another person has to approve the renewal")))]
pub(super) async fn renew_listing(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Response, ProblemDetails> {
    let body = super::input::bytes(request, &app).await?;
    let renewal: RenewalRequest = json(&body)?;
    let preconditions = RequestConditions::read(&headers)?.preconditions(&caller, &id, &body);
    // A repeated request gets the same receipt, also when the listing has ended since.
    if let Some(idempotency) = preconditions.idempotency
        && let Some(stored) = app
            .ledger
            .store
            .stored_receipt(app.ledger.now(), &idempotency.key)?
        && idempotency.body == stored.body
    {
        return Ok(
            Json(ReceiptResponse::from(crate::ledger::Receipt::from(stored))).into_response(),
        );
    }
    let (subject, _, entry) = find(&app, &id)?;
    let dictionary = app.ledger.store.dictionary();
    let request = ListingRequest {
        reason: Some(dictionary.reasons.name(entry.reason).into()),
        source: Some(dictionary.sources.name(entry.source).into()),
        until: renewal.until,
        text: renewal.text.or(entry.text.text.map(Into::into)),
        note: renewal.note,
        ..ListingRequest::default()
    };
    let mut change = change_of(&app, subject, &request, &caller, preconditions)?;
    change.preconditions.special = true; // it is listed already
    match submit(&app, &caller, change).await? {
        Submission::Proposed(proposal) => Ok((
            StatusCode::ACCEPTED,
            Json(ListingSubmissionResponse::proposed(id, proposal)),
        )
            .into_response()),
        Submission::Pending(pending) => {
            let receipt = pending.receipt().await.map_err(of_ledger(&app.ledger))?;
            Ok(Json(ReceiptResponse::from(receipt)).into_response())
        }
    }
}

/// Grants a removal: the listings of every source for the reason end, and a hold prevents a new
/// listing of the subject.
#[utoipa::path(delete, path = "/v1/listings/{id}", tag = "listings",
    params(("id" = String, Path, description = "The ID of the listing"), DeletionQuery),
    responses((status = 200, body = ReceiptResponse, description = "The subject is delisted")))]
pub(super) async fn delete_listing(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
    QueryParams(query): QueryParams<DeletionQuery>,
    headers: HeaderMap,
) -> Result<Json<ReceiptResponse>, ProblemDetails> {
    let conditions = RequestConditions::read(&headers)?;
    let body = serde_json::to_vec(&query).map_err(ProblemDetails::failed)?;
    let preconditions = conditions.preconditions(&caller, &id, &body);
    let Some((subject, reason, source)) = listing_of(&id) else {
        return Err(ProblemDetails::not_found(format!(
            "there is no listing `{id}`"
        )));
    };
    // A repeated request gets the same receipt, also when nothing is left to delist.
    let earlier = preconditions
        .idempotency
        .map(|o| app.ledger.store.stored_receipt(app.ledger.now(), &o.key))
        .transpose()?
        .flatten();
    if earlier.is_none() {
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
        ..ListingRequest::default()
    };
    let change = change_of(&app, subject, &request, &caller, preconditions)?;
    commit(&app, change).await.map(Json)
}
