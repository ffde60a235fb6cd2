//! Providers of dynamic ranges: the operations behind their pages, with the routes for programs,
//! and the routes of operators.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};

use super::{
    App,
    caller::{Caller, ClientAddress},
    handler::{Call, JsonResult, StatusResult, blocking},
    input::{JsonBody, Part, QueryParams},
    jobs::number,
};
use crate::{
    api::{
        Page, ProblemDetails, ProvidedEntryResponse, ProviderDetailResponse, ProviderEditRequest,
        ProviderEditResponse, ProviderPageResponse, ProviderRemovalQuery, ProviderRequest,
        ProviderResponse, ProviderSummaryResponse, ProviderUndoRequest, ProvidersPageResponse,
        ProvidersQuery,
    },
    dynamic_ranges::{
        DynamicRangeService, MAX_ENTRIES, ProvidedEntry, ProviderDetail, ProviderEdit,
        RangeProvider,
    },
    model::{SourceId, Subject, subject::HostBits},
    tickets::{TicketError, limits::LimitedRequest},
};

/// Calls the service of dynamic ranges on a thread that may block, since it waits for the writer.
async fn call<T: Send + 'static>(
    app: &App,
    request: impl FnOnce(&DynamicRangeService) -> Result<T, TicketError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let app = app.clone();
    blocking(move || {
        let dictionary = app.ledger.store.dictionary();
        request(&app.dynamic_ranges).map_err(|e| ProblemDetails::of_ticket_error(e, &dictionary))
    })
    .await
}

fn read_subject(field: &str, text: &str) -> Result<Subject, ProblemDetails> {
    Subject::parse(text.trim(), HostBits::Refuse)
        .map_err(|e| ProblemDetails::invalid(format!("{field}: {e}")))
}

fn entry_response(e: &ProvidedEntry) -> ProvidedEntryResponse {
    ProvidedEntryResponse {
        subject: e.subject.to_string(),
        at: e.at.into(),
        until: e.until.into(),
    }
}

fn edit_response(e: &ProviderEdit) -> ProviderEditResponse {
    ProviderEditResponse {
        number: e.number,
        at: e.at.into(),
        action: e.action,
        subject: e.subject.to_string(),
        reverts: e.reverts,
        reverted_by: e.reverted_by,
    }
}

fn response(d: &ProviderDetail) -> ProviderResponse {
    let p = &d.provider;
    let (hosts, ranges): (Vec<_>, Vec<_>) = d.entries.iter().partition(|e| e.is_host());
    ProviderResponse {
        number: p.number,
        range: p.range.to_string(),
        state: d.state,
        opened: p.opened.into(),
        record_names: p.zones.clone(),
        proved_at: p.proved_at.map(Into::into),
        proved_until: p.proved_until().map(Into::into),
        checked_at: p.checked_at.map(Into::into),
        problem: p.problem.clone(),
        ranges: ranges.into_iter().map(entry_response).collect(),
        hosts: hosts.into_iter().map(entry_response).collect(),
        edits: d.edits.iter().map(edit_response).collect(),
        removed_at: p.ended.as_ref().map(|end| end.at.into()),
    }
}

fn page_response(
    ranges: &DynamicRangeService,
    provider: RangeProvider,
) -> Result<ProviderPageResponse, TicketError> {
    let detail = ranges.detail(provider)?;
    Ok(ProviderPageResponse {
        path: detail.provider.path(),
        record_text: detail.provider.record_text(),
        provider: response(&detail),
    })
}

fn detail_response(
    ranges: &DynamicRangeService,
    provider: RangeProvider,
) -> Result<ProviderDetailResponse, TicketError> {
    let detail = ranges.detail(provider)?;
    let ended = detail.provider.ended.as_ref();
    Ok(ProviderDetailResponse {
        author: detail.provider.author(),
        removed_by: ended.map(|end| end.author.clone()),
        provider: response(&detail),
    })
}

/// Returns what the page says on which providers ask for a range.
pub fn providers_page(app: &App) -> ProvidersPageResponse {
    let name = app.dynamic_ranges.reason_name();
    let snapshot = app.ledger.published.snapshot();
    let mask = app.ledger.store.dictionary().reasons.get(&name);
    let mask = mask.map_or(0, |reason| reason.bit());
    let zones = snapshot.zones.all().iter();
    let zones = zones.filter(|z| z.listing_mask & mask != 0);
    ProvidersPageResponse {
        zones: zones.map(|z| z.name.to_string()).collect(),
        reason: Some(name).filter(|name| !name.is_empty()),
        max_entries: MAX_ENTRIES,
    }
}

/// Requests a range, and looks for its record in the background.
///
/// # Errors
///
/// The range cannot be proved or listed, or a limit is reached.
pub async fn open_provider(
    app: &App,
    request: ProviderRequest,
    client: Option<IpAddr>,
) -> Result<ProviderPageResponse, ProblemDetails> {
    let range = read_subject("range", &request.range)?;
    let opened = call(app, move |ranges| {
        ranges.count_request(LimitedRequest::Open, client)?;
        let provider = ranges.open(range, ranges.now())?;
        page_response(ranges, provider)
    })
    .await?;
    let (ranges, number) = (app.dynamic_ranges.clone(), opened.provider.number);
    tokio::spawn(async move {
        if let Err(e) = ranges.check(number).await {
            tracing::debug!(provider = number, error = ?e, "looking up the record of a provider failed");
        }
    });
    Ok(opened)
}

/// Returns the provider with a secret.
///
/// # Errors
///
/// There is no such provider.
pub async fn view_provider(
    app: &App,
    secret: &str,
) -> Result<ProviderPageResponse, ProblemDetails> {
    let secret = secret.to_string();
    call(app, move |ranges| {
        page_response(ranges, ranges.find(&secret)?)
    })
    .await
}

/// What a provider does on its page.
#[derive(Debug, Clone)]
pub enum ProviderCommand {
    /// Looks for the record now.
    Check,
    /// Makes an edit.
    Edit(ProviderEditRequest),
    /// Undoes an edit.
    Undo(ProviderUndoRequest),
}

/// Carries out a command of the provider with a secret, and returns the provider as it is then.
///
/// # Errors
///
/// There is no such provider, a limit is reached, or the command is refused.
pub async fn change_provider(
    app: &App,
    secret: &str,
    command: ProviderCommand,
    client: Option<IpAddr>,
) -> Result<ProviderPageResponse, ProblemDetails> {
    let key = secret.to_string();
    let found = call(app, move |ranges| {
        ranges.count_request(LimitedRequest::Change, client)?;
        ranges.find(&key)
    });
    let number = found.await?.number;
    let ranges = &app.dynamic_ranges;
    let done = match command {
        ProviderCommand::Check => ranges.check(number).await,
        ProviderCommand::Edit(edit) => {
            let subject = read_subject("subject", &edit.subject)?;
            ranges.edit(number, edit.action, subject).await.map(drop)
        }
        ProviderCommand::Undo(undo) => ranges.undo(number, undo.edit).await.map(drop),
    };
    let dictionary: Arc<crate::store::Dictionary> = app.ledger.store.dictionary();
    done.map_err(|e| ProblemDetails::of_ticket_error(e, &dictionary))?;
    view_provider(app, secret).await
}

/// Returns what providers need to ask for a range.
#[utoipa::path(get, path = "/providers", tag = "public",
    responses((status = 200, body = ProvidersPageResponse, description = "Whether ranges are accepted, and the limits")))]
pub async fn get_providers_page(State(app): State<App>) -> Json<ProvidersPageResponse> {
    Json(providers_page(&app))
}

/// Requests a range. The path of the response is the only key to its page. Nothing can be edited
/// before the TXT record is found at all of its names.
#[utoipa::path(post, path = "/providers", tag = "public", request_body = ProviderRequest,
    responses((status = 201, body = ProviderPageResponse, description = "The provider")))]
pub async fn post_provider(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    JsonBody(request): JsonBody<ProviderRequest>,
) -> StatusResult<ProviderPageResponse> {
    let opened = open_provider(&app, request, client).await?;
    Ok((StatusCode::CREATED, Json(opened)))
}

/// Returns a provider.
#[utoipa::path(get, path = "/providers/{secret}", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the provider's path")),
    responses((status = 200, body = ProviderPageResponse, description = "The provider")))]
pub async fn get_provider(
    State(app): State<App>,
    Part(secret): Part,
) -> JsonResult<ProviderPageResponse> {
    view_provider(&app, &secret).await.map(Json)
}

/// Looks for the record of a provider now.
#[utoipa::path(post, path = "/providers/{secret}/check", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the provider's path")),
    responses((status = 200, body = ProviderPageResponse, description = "The provider")))]
pub async fn post_provider_check(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Part(secret): Part,
) -> JsonResult<ProviderPageResponse> {
    let command = ProviderCommand::Check;
    change_provider(&app, &secret, command, client)
        .await
        .map(Json)
}

/// Makes an edit: adds or removes a range, takes a single host out, or puts one back.
#[utoipa::path(post, path = "/providers/{secret}/edits", tag = "public", request_body = ProviderEditRequest,
    params(("secret" = String, Path, description = "The secret part of the provider's path")),
    responses((status = 200, body = ProviderPageResponse, description = "The provider")))]
pub async fn post_provider_edit(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Part(secret): Part,
    JsonBody(request): JsonBody<ProviderEditRequest>,
) -> JsonResult<ProviderPageResponse> {
    let command = ProviderCommand::Edit(request);
    change_provider(&app, &secret, command, client)
        .await
        .map(Json)
}

/// Undoes an edit by another one, unless somebody else has changed its subject since.
#[utoipa::path(post, path = "/providers/{secret}/undo", tag = "public", request_body = ProviderUndoRequest,
    params(("secret" = String, Path, description = "The secret part of the provider's path")),
    responses((status = 200, body = ProviderPageResponse, description = "The provider")))]
pub async fn post_provider_undo(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Part(secret): Part,
    JsonBody(request): JsonBody<ProviderUndoRequest>,
) -> JsonResult<ProviderPageResponse> {
    let command = ProviderCommand::Undo(request);
    change_provider(&app, &secret, command, client)
        .await
        .map(Json)
}

/// Lists the providers of dynamic ranges, in the order of their numbers.
#[utoipa::path(get, path = "/v1/providers", tag = "providers", params(ProvidersQuery),
    responses((status = 200, body = Page<ProviderSummaryResponse>, description = "All providers, or those in a state")))]
pub async fn list_providers(
    State(app): State<App>,
    QueryParams(query): QueryParams<ProvidersQuery>,
) -> JsonResult<Page<ProviderSummaryResponse>> {
    let now = app.dynamic_ranges.now();
    let all = call(&app, move |ranges| ranges.list(query.state)).await?;
    let summary = |p: &RangeProvider| ProviderSummaryResponse {
        number: p.number,
        range: p.range.to_string(),
        state: p.state(now),
        opened: p.opened.into(),
        proved_at: p.proved_at.map(Into::into),
        edits: p.last_edit,
    };
    Ok(Json(Page::all(all.iter().map(summary))))
}

/// Returns a provider with its ranges, hosts and edits. The secret of its page is not shown.
#[utoipa::path(get, path = "/v1/providers/{number}", tag = "providers",
    params(("number" = u64, Path, description = "The number of the provider")),
    responses((status = 200, body = ProviderDetailResponse, description = "The provider")))]
pub async fn get_provider_of_operators(
    State(app): State<App>,
    Part(text): Part,
) -> JsonResult<ProviderDetailResponse> {
    let number = number(&text, "provider")?;
    let found = call(&app, move |ranges| {
        detail_response(ranges, ranges.get(number)?)
    });
    found.await.map(Json)
}

/// Ends the edits of the providers of a range for a caller.
fn remove(
    ranges: &DynamicRangeService,
    number: u64,
    keep: bool,
    caller: &Caller,
) -> Result<ProviderDetailResponse, TicketError> {
    let from = caller.from.to_string();
    let operator = (caller.name.as_str(), from.as_str(), caller.idempotency);
    let removed = ranges.remove(number, keep, operator, ranges.now())?;
    detail_response(ranges, removed)
}

/// Ends the edits of all providers of a range. Unless `keep` is set, what they have listed is
/// delisted, and what they have taken out is put back. The range cannot be requested again for 90
/// days.
#[utoipa::path(delete, path = "/v1/providers/{number}", tag = "providers",
    params(("number" = u64, Path, description = "The number of one of its providers"), ProviderRemovalQuery),
    responses((status = 200, body = ProviderDetailResponse, description = "The provider")))]
pub async fn remove_provider(
    Call { app, caller }: Call,
    Part(text): Part,
    QueryParams(query): QueryParams<ProviderRemovalQuery>,
) -> JsonResult<ProviderDetailResponse> {
    let number = number(&text, "provider")?;
    let provider = call(&app, move |ranges| ranges.get(number)).await?;
    let reason = app.dynamic_ranges.reason_name();
    let source = SourceId::DECIDING[0];
    caller.allow(Some(&provider.range), Some(&reason), Some(source))?;
    let removed = call(&app, move |ranges| {
        remove(ranges, number, query.keep, &caller)
    });
    removed.await.map(Json)
}
