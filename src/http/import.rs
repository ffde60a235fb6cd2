//! Imports: the body is the file.

use std::io;

use axum::{
    Json,
    extract::{Request, State},
};

use super::{
    App,
    caller::Caller,
    error::of_ledger,
    handler::{Call, JsonResult, blocking},
    idempotency::earlier_response,
    import_body::{ImportBody, receive},
    input::{Part, QueryParams},
    secrets,
};
use crate::{
    api::{ImportQuery, ImportResponse, ImportState, ProblemCode, ProblemDetails},
    imports::{self, ErrorAllowance, ImportFailure},
    index::{Snapshot, ZoneView},
    ledger::{AccountChange, Ledger, LedgerError, guard::ListLimits},
    model::{Time, history::IdempotencyKey, time::Seconds},
};

/// Imports a list: the body is the file, compressed or not, or several files as
/// `multipart/form-data`. A dry run has the same response.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", params(ImportQuery),
    request_body(content = String, content_type = "application/octet-stream", description = "The file"),
    responses((status = 200, body = ImportResponse, description = "The list is imported, or was compared")))]
pub async fn import_list(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<ImportQuery>,
    request: Request,
) -> JsonResult<ImportResponse> {
    caller.allow_whole_source(&query.source, "import")?;
    let name = if query.file.is_empty() {
        "-"
    } else {
        &query.file
    };
    let mut body = receive(request, name.to_string()).await?;
    if let Some(key) = caller.idempotency
        && let Some(earlier) = earlier_import(&app, key)?
    {
        let malformed = |e: io::Error| ProblemDetails::new(ProblemCode::Malformed, e.to_string());
        let hash = blocking(move || body.read_to_end().map_err(malformed)).await?;
        return if earlier.sha256 == Some(hash) {
            Ok(Json(earlier))
        } else {
            Err(of_ledger(&app.ledger)(LedgerError::IdempotencyKeyReused))
        };
    }
    let id = secrets::random::<8>().map_err(ProblemDetails::internal)?;
    let id = secrets::base32(&id);
    let since = app.ledger.now();
    let running = ImportResponse::running(id, query.source.clone(), since.into());
    record(&app, since, &running).await;
    let (ledger, state) = (app.ledger.clone(), running.clone());
    let result = blocking(move || run(&ledger, &query, &caller, state, body)).await;
    let end = match &result {
        Ok(response) => response.clone(),
        Err(problem) => running.failed(problem.clone()),
    };
    record(&app, since, &end).await;
    result.map(Json)
}

/// The response to an earlier import with the same key.
fn earlier_import(
    app: &App,
    key: IdempotencyKey,
) -> Result<Option<ImportResponse>, ProblemDetails> {
    match app.ledger.store.answer(app.ledger.now(), &key.key)? {
        Some((body, _, text)) if body == key.body => Ok(Some(
            serde_json::from_str(&text).map_err(ProblemDetails::internal)?,
        )),
        // Another request had the key, or its response is not kept.
        _ => earlier_response(app, key).map(|_| None),
    }
}

/// Stores the state of an import, for requests by its ID, also after a restart.
async fn record(app: &App, since: Time, import: &ImportResponse) {
    let text = serde_json::to_string(import).unwrap_or_default();
    let change = AccountChange::Import(import.id.clone(), since, text.into());
    if let Err(e) = app.ledger.change_accounts(change, None).await {
        tracing::warn!(error = ?e, id = import.id, "state of an import could not be recorded");
    }
}

/// Returns the state and the result of an import. The last 200 are kept.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports",
    params(("id" = String, Path, description = "The ID of the import")),
    responses((status = 200, body = ImportResponse, description = "The import")))]
pub async fn get_import(State(app): State<App>, Part(id): Part) -> JsonResult<ImportResponse> {
    let accounts = app.ledger.accounts();
    let (since, text) = accounts.imports.get(&id).ok_or_else(|| {
        ProblemDetails::not_found(format!(
            "there is no import `{id}`, or it is no longer kept"
        ))
    })?;
    let mut import: ImportResponse =
        serde_json::from_str(text).map_err(ProblemDetails::internal)?;
    if import.state == ImportState::Running && *since < app.started {
        import.state = ImportState::Interrupted;
    }
    Ok(Json(import))
}

/// Reads an allowance of errors; an empty text stands for `true`.
fn allowance(text: Option<&str>) -> Result<ErrorAllowance, ProblemDetails> {
    let read = text.map(|t| if t.is_empty() { "true" } else { t }.parse());
    read.transpose()
        .map(Option::unwrap_or_default)
        .map_err(|e| ProblemDetails::invalid(format!("skip_errors: {e}")))
}

fn run(
    ledger: &Ledger,
    query: &ImportQuery,
    caller: &Caller,
    running: ImportResponse,
    mut body: ImportBody,
) -> Result<ImportResponse, ProblemDetails> {
    let max_age = query
        .max_age
        .as_ref()
        .map(|a| a.parse::<Seconds>())
        .transpose()
        .map_err(|e| ProblemDetails::invalid(format!("max_age: {e}")))?;
    let suffixes = query.allow_suffix.split(',').filter(|s| !s.is_empty());
    let list = imports::ImportRequest {
        source: query.source.clone(),
        format: query.format.clone(),
        reasons: imports::Reasons {
            reason: query.reason.clone(),
            code_zone: query.code_zone.clone(),
        },
        mode: Some(query.mode.into()),
        dry_run: query.dry_run,
        list: imports::ListSettings {
            allow_empty: query.allow_empty,
            skip_errors: allowance(query.skip_errors.as_deref())?,
            limits: ListLimits {
                allow_shrink: query.allow_shrink,
                allow_growth: query.allow_growth,
                ..ListLimits::default()
            },
            allow_suffixes: suffixes.map(String::from).collect(),
            clear_host_bits: query.clear_host_bits,
            special: query.special,
            exact: query.exact,
            column: query.column.clone(),
            origin: query.origin.clone(),
            dataset: query.dataset.clone(),
            subzone: query.subzone.clone(),
        },
        unpublished: query.unpublished,
        max_age,
        audit: Some(caller.audit_record("import", &query.source, "", None)),
    };
    let outcome = imports::run(ledger, &list, &mut body);
    let outcome =
        outcome.map_err(|e| body.take_problem().unwrap_or_else(|| problem(ledger, &e)))?;
    Ok(ImportResponse {
        state: ImportState::Done,
        sha256: Some(body.hash()),
        format: Some(outcome.format),
        mode: Some(query.mode),
        dry_run: query.dry_run,
        receipt: outcome.result.receipt.map(Into::into),
        difference: Some(outcome.result.difference.into()),
        report: Some(outcome.report),
        ..running
    })
}

/// The problem of an import that changed nothing.
pub fn problem(ledger: &Ledger, e: &ImportFailure) -> ProblemDetails {
    match e {
        ImportFailure::Ledger(r) => ProblemDetails::of_ledger_error(r, &ledger.store.dictionary()),
        ImportFailure::Invalid(why) => ProblemDetails::invalid(why),
        ImportFailure::NotFound(why) => ProblemDetails::not_found(why),
        ImportFailure::Busy(why) => ProblemDetails::conflict(why),
        ImportFailure::List(_) | ImportFailure::Guard(_) => {
            ProblemDetails::new(ProblemCode::ListRefused, e.text(ledger))
        }
    }
}

/// A zone by its name or by the name of its file.
pub fn find_zone<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s ZoneView, ProblemDetails> {
    imports::find_zone(snapshot, name).map_err(ProblemDetails::not_found)
}
