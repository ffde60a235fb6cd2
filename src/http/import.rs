//! Imports: the body is the file.

use axum::{
    Extension, Json,
    extract::{Request, State},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Params, Part},
    parts::{Pieces, receive},
};
use crate::{
    imports::{self, ErrorAllowance, Failed},
    ledger::{AccountChange, LedgerError, guard::ListLimits},
    model::{Time, history::IdempotencyKey, time::Seconds},
    store::stage::Mode,
};

/// The query of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    source: String,
    #[serde(default)]
    format: String,
    reason: Option<String>,
    codes: Option<String>,
    #[param(value_type = Option<String>)]
    mode: Option<Mode>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    allow_empty: bool,
    /// How many lines with errors the list may have: `true` (5 % and at least 3 lines), `false`, a
    /// number, or a part such as `2%`.
    #[serde(default, deserialize_with = "allowance")]
    #[param(value_type = Option<String>)]
    skip_errors: ErrorAllowance,
    /// Take a list that has much less than the last one.
    #[serde(default)]
    allow_shrink: bool,
    /// Take a list that has much more than the last one.
    #[serde(default)]
    allow_growth: bool,
    /// Names at or above a public suffix that are taken all the same, separated by commas.
    #[serde(default)]
    allow_suffix: String,
    /// Take a list of which no zone publishes anything.
    #[serde(default)]
    unpublished: bool,
    #[serde(default)]
    host_bits: bool,
    #[serde(default)]
    special: bool,
    column: Option<String>,
    origin: Option<String>,
    dataset: Option<String>,
    subzone: Option<String>,
    max_age: Option<String>,
    /// What the file is called, for messages.
    #[serde(default)]
    file: String,
}

/// Reads an allowance of errors; an empty one is the default allowance.
fn allowance<'de, D: serde::Deserializer<'de>>(d: D) -> Result<ErrorAllowance, D::Error> {
    let text = String::deserialize(d)?;
    let text = if text.is_empty() { "true" } else { &text };
    text.parse()
        .map_err(|e| serde::de::Error::custom(format!("skip_errors: {e}")))
}

/// `POST /v1/imports?source&format&reason|codes&mode&dry_run…`: the body is the file, gzip or not,
/// or several as `multipart/form-data`. The answer is the same document for a dry run and the real
/// thing.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", params(Asked), request_body(content = String, content_type = "application/octet-stream"), responses((status = 200, body = Value), Problem))]
pub(super) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(asked): Params<Asked>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    if !caller.bounds.reasons.is_empty() || !caller.bounds.prefixes.is_empty() {
        return Err(Problem::forbidden(
            "a token that is bound to reasons or prefixes imports nothing; bind it to the source",
        ));
    }
    caller.allow(None, None, Some(&asked.source))?;
    let name = if asked.file.is_empty() {
        "-".to_string()
    } else {
        asked.file.clone()
    };
    let mut pieces = receive(request, name).await?;
    if let Some(once) = caller.once
        && let Some(before) = before(&app, once)?
    {
        let read = tokio::task::spawn_blocking(move || pieces.rest())
            .await
            .map_err(Problem::failed)?;
        let read = read.map_err(|e| Problem::new("unreadable", e.to_string()))?;
        return if before["sha256"] == read {
            Ok(Json(before))
        } else {
            Err(Problem::of(
                &LedgerError::IdempotencyKeyReused,
                &app.ledger.store.dictionary(),
            ))
        };
    }
    let id = super::secrets::text(&super::secrets::random::<8>().map_err(Problem::failed)?);
    let since = app.ledger.now();
    let head =
        json!({"id": id, "state": "running", "source": asked.source, "since": since.to_string()});
    told(&app, &id, since, &head).await;
    let (of, place) = (app.clone(), id.clone());
    let done = tokio::task::spawn_blocking(move || run(&of, &asked, &caller, &place, pieces))
        .await
        .map_err(Problem::failed)
        .flatten();
    let end = match &done {
        Ok(v) => v.clone(),
        Err(p) => {
            json!({"id": id, "state": "failed", "source": head["source"], "since": head["since"], "problem": p})
        }
    };
    told(&app, &id, since, &end).await;
    done.map(Json)
}

/// What an import under the same key was told before.
fn before(app: &App, once: IdempotencyKey) -> Result<Option<Value>, Problem> {
    match app.ledger.store.answer(app.ledger.now(), &once.key)? {
        Some((body, _, text)) if body == once.body => {
            Ok(Some(serde_json::from_str(&text).map_err(Problem::failed)?))
        }
        // It was done or was another one, and nothing more is known.
        _ => super::once::before(app, once).map(|_| None),
    }
}

/// Where an import stands, for who asks for it by its number; also when the daemon was stopped
/// meanwhile.
async fn told(app: &App, id: &str, since: Time, told: &Value) {
    if let Err(e) = app
        .ledger
        .change_accounts(
            AccountChange::Import(id.into(), since, told.to_string().into()),
            None,
        )
        .await
    {
        tracing::warn!(error = ?e, id, "what became of an import could not be written down");
    }
}

/// What became of an import: the same document as its own answer, or `running`, or `failed`; `cut`
/// where the daemon ended before it did. The last 200 are remembered.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports", params(("id" = String, Path)), responses((status = 200, body = Value), Problem))]
pub(super) async fn get(State(app): State<App>, Part(id): Part) -> Result<Json<Value>, Problem> {
    let accounts = app.ledger.accounts();
    let (since, text) = accounts
        .imports
        .get(&id)
        .ok_or_else(|| Problem::not_found(format!("no import `{id}` is remembered")))?;
    let mut told: Value = serde_json::from_str(text).map_err(Problem::failed)?;
    if told["state"] == "running" && *since < app.started {
        told["state"] = "cut".into();
    }
    Ok(Json(told))
}

fn run(
    app: &App,
    asked: &Asked,
    caller: &Caller,
    id: &str,
    mut body: Pieces,
) -> Result<Value, Problem> {
    let max_age = asked
        .max_age
        .as_ref()
        .map(|a| a.parse::<Seconds>())
        .transpose()
        .map_err(|e| Problem::invalid(format!("max_age: {e}")))?;
    let list = imports::Asked {
        source: asked.source.clone(),
        format: asked.format.clone(),
        reasons: imports::Reasons {
            reason: asked.reason.clone(),
            codes: asked.codes.clone(),
        },
        mode: asked.mode,
        dry_run: asked.dry_run,
        allow_empty: asked.allow_empty,
        skip_errors: asked.skip_errors,
        limits: ListLimits {
            allow_shrink: asked.allow_shrink,
            allow_growth: asked.allow_growth,
            ..ListLimits::default()
        },
        allow_suffixes: asked
            .allow_suffix
            .split(',')
            .filter(|s| !s.is_empty())
            .map(String::from)
            .collect(),
        unpublished: asked.unpublished,
        host_bits: asked.host_bits,
        special: asked.special,
        column: asked.column.clone(),
        origin: asked.origin.clone(),
        dataset: asked.dataset.clone(),
        subzone: asked.subzone.clone(),
        max_age,
        asked: Some(caller.line("import", &asked.source, "", None)),
    };
    let done = imports::run(&app.ledger, &list, &mut body);
    let done = done.map_err(|e| body.broken().unwrap_or_else(|| problem(&app.ledger, &e)))?;
    Ok(json!({
        "id": id, "state": "done", "sha256": body.sum(), "source": asked.source, "format": done.format, "mode": done.mode, "dry_run": asked.dry_run,
        "receipt": done.result.receipt, "difference": done.result.difference, "report": done.report,
    }))
}

/// Why an import changed nothing, as a problem document.
pub(super) fn problem(ledger: &crate::ledger::Ledger, e: &Failed) -> Problem {
    match e {
        Failed::Ledger(r) => Problem::of(r, &ledger.store.dictionary()),
        Failed::Invalid(why) => Problem::invalid(why),
        Failed::NotFound(why) => Problem::not_found(why),
        Failed::Busy(why) => Problem::refused(why),
        Failed::List(_) | Failed::Guard(_) => Problem::new("list-refused", e.text(ledger)),
    }
}

/// A zone by its origin or its file's stem.
pub(super) fn find_zone<'s>(
    snapshot: &'s crate::index::Snapshot,
    name: &str,
) -> Result<&'s crate::index::ZoneView, Problem> {
    imports::find_zone(snapshot, name).map_err(Problem::not_found)
}
