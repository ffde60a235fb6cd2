//! Reading the configuration again, names that leave it while they have listings, and renaming
//! reasons and sources.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::{
    App,
    handler::{Call, JsonResult, blocking},
    input::{JsonBody, Part, QueryParams},
};
use crate::{
    api::{
        Page, ProblemDetails, ReloadQuery, ReloadResponse, RenameRequest, RenameResponse,
        UnconfiguredResponse,
    },
    ledger::{LeftBehind, NameKind, Rename},
    store::schema::AuditRecord,
};

/// Reads the configuration again, after the rename that the request may contain. The error is a
/// text for operators.
pub type Reload = Arc<dyn Fn(ReloadRequest) -> Result<ReloadResult, String> + Send + Sync>;

/// How the configuration is read again.
#[derive(Debug, Default)]
pub struct ReloadRequest {
    /// Accept a configuration that no longer has names with listings.
    pub force: bool,
    /// Only report what would be left behind.
    pub dry_run: bool,
    /// A reason or source to rename at the same time, with the audit record.
    pub rename: Option<(Rename, AuditRecord)>,
}

/// The result of reading the configuration again.
#[derive(Debug, Default)]
pub struct ReloadResult {
    /// Warnings about the configuration.
    pub warnings: Vec<String>,
    /// The names that are no longer configured and have listings.
    pub left_behind: Vec<LeftBehind>,
}

async fn run(app: &App, request: ReloadRequest) -> Result<ReloadResult, ProblemDetails> {
    let reload = app.reload.clone();
    blocking(move || reload(request).map_err(ProblemDetails::invalid)).await
}

fn response(app: &App, reloaded: ReloadResult) -> ReloadResponse {
    let snapshot = app.ledger.published.snapshot();
    let zones = snapshot.zones.all().iter().zip(snapshot.serials.iter());
    ReloadResponse {
        serials: zones.map(|(z, s)| (z.name.to_string(), s.0)).collect(),
        warnings: reloaded.warnings,
        unconfigured: reloaded.left_behind.iter().map(Into::into).collect(),
    }
}

/// Reads the configuration again. A configuration with an error is refused, and so is one that no
/// longer has a name with listings, unless `force` is set.
#[utoipa::path(post, path = "/v1/reload", tag = "state", params(ReloadQuery),
    responses((status = 200, body = ReloadResponse, description = "The configuration is in force")))]
pub async fn reload_configuration(
    State(app): State<App>,
    QueryParams(query): QueryParams<ReloadQuery>,
) -> JsonResult<ReloadResponse> {
    if !app.daemon {
        return Err(ProblemDetails::conflict(
            "no daemon runs; the next start reads the configuration anyway",
        ));
    }
    let request = ReloadRequest {
        force: query.force,
        ..ReloadRequest::default()
    };
    let reloaded = run(&app, request).await?;
    Ok(Json(response(&app, reloaded)))
}

/// Reads the configuration files and lists the reasons, feeds and zones that they no longer have
/// although these have listings. Nothing is changed.
#[utoipa::path(get, path = "/v1/unconfigured", tag = "state",
    responses((status = 200, body = Page<UnconfiguredResponse>, description = "The names that are no longer configured")))]
pub async fn list_unconfigured(State(app): State<App>) -> JsonResult<Page<UnconfiguredResponse>> {
    let request = ReloadRequest {
        dry_run: true,
        ..ReloadRequest::default()
    };
    let reloaded = run(&app, request).await?;
    Ok(Json(Page::all(reloaded.left_behind.iter().map(Into::into))))
}

async fn rename(
    Call { app, caller }: Call,
    kind: NameKind,
    from: String,
    to: String,
) -> JsonResult<RenameResponse> {
    let action = format!("{}.rename", kind.as_str());
    let record = caller.audit_record(&action, &from, &to, None);
    let rename = Rename {
        kind,
        from: from.clone(),
        to: to.clone(),
    };
    let request = ReloadRequest {
        rename: Some((rename, record)),
        ..ReloadRequest::default()
    };
    let reloaded = response(&app, run(&app, request).await?);
    Ok(Json(RenameResponse {
        from,
        to,
        serials: reloaded.serials,
        warnings: reloaded.warnings,
        unconfigured: reloaded.unconfigured,
    }))
}

/// Renames a reason with its listings and history, and reads the configuration again, which must
/// have the new name already.
#[utoipa::path(post, path = "/v1/reasons/{name}/rename", tag = "state", request_body = RenameRequest,
    params(("name" = String, Path, description = "The name of the reason")),
    responses((status = 200, body = RenameResponse, description = "The reason is renamed")))]
pub async fn rename_reason(
    call: Call,
    Part(name): Part,
    JsonBody(request): JsonBody<RenameRequest>,
) -> JsonResult<RenameResponse> {
    rename(call, NameKind::Reason, name, request.to).await
}

/// Renames a source with its listings and history, and reads the configuration again, which must
/// have the new name of a feed already.
#[utoipa::path(post, path = "/v1/sources/{name}/rename", tag = "state", request_body = RenameRequest,
    params(("name" = String, Path, description = "The name of the source")),
    responses((status = 200, body = RenameResponse, description = "The source is renamed")))]
pub async fn rename_source(
    call: Call,
    Part(name): Part,
    JsonBody(request): JsonBody<RenameRequest>,
) -> JsonResult<RenameResponse> {
    rename(call, NameKind::Source, name, request.to).await
}
