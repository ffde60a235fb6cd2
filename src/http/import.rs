//! Imports: the body is the file.

use axum::{
    Extension, Json,
    extract::{Request, State},
};

use super::{
    App,
    caller::Caller,
    idempotency::earlier_response,
    input::{Part, QueryParams},
    parts::{Pieces, receive},
};
use crate::{
    api::{ImportQuery, ImportResponse, ImportState, ProblemCode, ProblemDetails},
    imports::{self, ErrorAllowance, ImportFailure},
    ledger::{AccountChange, LedgerError, guard::ListLimits},
    model::{Time, history::IdempotencyKey, time::Seconds},
};

/// Imports a list: the body is the file, compressed or not, or several files as
/// `multipart/form-data`. A dry run has the same response.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", params(ImportQuery),
    request_body(content = String, content_type = "application/octet-stream", description = "The file"),
    responses((status = 200, body = ImportResponse, description = "The list is imported, or was compared")))]
pub(super) async fn import_list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    QueryParams(query): QueryParams<ImportQuery>,
    request: Request,
) -> Result<Json<ImportResponse>, ProblemDetails> {
    if !caller.bounds.reasons.is_empty() || !caller.bounds.prefixes.is_empty() {
        return Err(ProblemDetails::forbidden(
            "a token that is limited to reasons or prefixes may not import; limit it to the source",
        ));
    }
    caller.allow(None, None, Some(&query.source))?;
    let name = if query.file.is_empty() {
        "-".to_string()
    } else {
        query.file.clone()
    };
    let mut pieces = receive(request, name).await?;
    if let Some(key) = caller.idempotency
        && let Some(earlier) = earlier_import(&app, key)?
    {
        let read = tokio::task::spawn_blocking(move || pieces.rest())
            .await
            .map_err(ProblemDetails::failed)?;
        let read = read.map_err(|e| ProblemDetails::new(ProblemCode::Malformed, e.to_string()))?;
        return if earlier.sha256.as_ref() == Some(&read) {
            Ok(Json(earlier))
        } else {
            Err(ProblemDetails::of(
                &LedgerError::IdempotencyKeyReused,
                &app.ledger.store.dictionary(),
            ))
        };
    }
    let id = super::secrets::random::<8>().map_err(ProblemDetails::failed)?;
    let id = super::secrets::text(&id);
    let since = app.ledger.now();
    let running = ImportResponse::running(id, query.source.clone(), since.into());
    record(&app, since, &running).await;
    let (of, begun) = (app.clone(), running.clone());
    let done = tokio::task::spawn_blocking(move || run(&of, &query, &caller, begun, pieces))
        .await
        .map_err(ProblemDetails::failed)
        .flatten();
    let end = match &done {
        Ok(response) => response.clone(),
        Err(problem) => running.failed(problem.clone()),
    };
    record(&app, since, &end).await;
    done.map(Json)
}

/// The response to an earlier import with the same key.
fn earlier_import(
    app: &App,
    key: IdempotencyKey,
) -> Result<Option<ImportResponse>, ProblemDetails> {
    match app.ledger.store.answer(app.ledger.now(), &key.key)? {
        Some((body, _, text)) if body == key.body => Ok(Some(
            serde_json::from_str(&text).map_err(ProblemDetails::failed)?,
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
pub(super) async fn get_import(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Json<ImportResponse>, ProblemDetails> {
    let accounts = app.ledger.accounts();
    let (since, text) = accounts.imports.get(&id).ok_or_else(|| {
        ProblemDetails::not_found(format!(
            "there is no import `{id}`, or it is no longer kept"
        ))
    })?;
    let mut import: ImportResponse = serde_json::from_str(text).map_err(ProblemDetails::failed)?;
    if import.state == ImportState::Running && *since < app.started {
        import.state = ImportState::Interrupted;
    }
    Ok(Json(import))
}

/// Reads an allowance of errors; an empty one is the default allowance.
fn allowance(text: Option<&str>) -> Result<ErrorAllowance, ProblemDetails> {
    match text {
        None => Ok(ErrorAllowance::default()),
        Some(text) => {
            let text = if text.is_empty() { "true" } else { text };
            text.parse()
                .map_err(|e| ProblemDetails::invalid(format!("skip_errors: {e}")))
        }
    }
}

fn run(
    app: &App,
    query: &ImportQuery,
    caller: &Caller,
    begun: ImportResponse,
    mut body: Pieces,
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
            codes: query.codes.clone(),
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
            host_bits: query.host_bits,
            special: query.special,
            column: query.column.clone(),
            origin: query.origin.clone(),
            dataset: query.dataset.clone(),
            subzone: query.subzone.clone(),
        },
        unpublished: query.unpublished,
        max_age,
        audit: Some(caller.audit_record("import", &query.source, "", None)),
    };
    let done = imports::run(&app.ledger, &list, &mut body);
    let done = done.map_err(|e| body.broken().unwrap_or_else(|| problem(&app.ledger, &e)))?;
    Ok(ImportResponse {
        state: ImportState::Done,
        sha256: Some(body.sum()),
        format: Some(done.format),
        mode: Some(query.mode),
        dry_run: query.dry_run,
        receipt: done.result.receipt.map(Into::into),
        difference: Some(done.result.difference.into()),
        report: Some(done.report),
        ..begun
    })
}

/// The problem of an import that changed nothing.
pub(super) fn problem(ledger: &crate::ledger::Ledger, e: &ImportFailure) -> ProblemDetails {
    match e {
        ImportFailure::Ledger(r) => ProblemDetails::of(r, &ledger.store.dictionary()),
        ImportFailure::Invalid(why) => ProblemDetails::invalid(why),
        ImportFailure::NotFound(why) => ProblemDetails::not_found(why),
        ImportFailure::Busy(why) => ProblemDetails::conflict(why),
        ImportFailure::List(_) | ImportFailure::Guard(_) => {
            ProblemDetails::new(ProblemCode::ListRefused, e.text(ledger))
        }
    }
}

/// A zone by its name or by the name of its file.
pub(super) fn find_zone<'s>(
    snapshot: &'s crate::index::Snapshot,
    name: &str,
) -> Result<&'s crate::index::ZoneView, ProblemDetails> {
    imports::find_zone(snapshot, name).map_err(ProblemDetails::not_found)
}
