//! Reading the configuration again, the names that leave it while they have listings, and renaming
//! reasons and sources.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Body, Params, Part},
};
use crate::{
    ledger::{LeftBehind, NameKind, Rename},
    store::schema::AuditRecord,
};

/// Reads the configuration again, and renames before it where that is asked for. The error is for
/// people.
pub type Reload = Arc<dyn Fn(ReloadRequest) -> Result<Reloaded, String> + Send + Sync>;

/// How the configuration is read again.
#[derive(Debug, Default)]
pub struct ReloadRequest {
    /// Names may leave the configuration and their listings behind.
    pub force: bool,
    /// Only report what would be left behind.
    pub dry_run: bool,
    /// Rename a reason or source with it, with the audit record.
    pub rename: Option<(Rename, AuditRecord)>,
}

/// What reading the configuration again did.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// Things to think over.
    pub warnings: Vec<String>,
    /// The names that left listings behind, or would.
    pub left_behind: Vec<LeftBehind>,
}

/// Query parameters of a reload.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReloadQuery {
    /// Accept a configuration that no longer has a reason, feed, zone or published reason which has
    /// listings.
    force: bool,
}

/// The new name of a reason or source.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameRequest {
    /// The new name.
    to: String,
}

/// A name that is no longer configured and has listings.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftBehindResponse {
    /// `reason`, `feed`, `zone`, or `publish` for a reason that a zone no longer publishes.
    kind: &'static str,
    /// The name.
    name: String,
    /// Of `publish` the zone.
    zone: Option<String>,
    /// How many subjects are listed by it.
    listings: u64,
    /// A sentence about it, with the commands that help.
    message: String,
}

/// Names that are no longer configured and have listings.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnconfiguredResponse {
    /// The names.
    items: Vec<LeftBehindResponse>,
}

/// One of them as a response.
pub(super) fn left_behind(l: &LeftBehind) -> LeftBehindResponse {
    LeftBehindResponse {
        kind: l.kind,
        name: l.name.clone(),
        zone: l.zone.clone(),
        listings: l.listings,
        message: l.to_string(),
    }
}

async fn run(app: &App, request: ReloadRequest) -> Result<Reloaded, Problem> {
    let reload = app.reload.clone();
    tokio::task::spawn_blocking(move || reload(request))
        .await
        .map_err(Problem::failed)?
        .map_err(Problem::invalid)
}

fn response(app: &App, done: &Reloaded) -> Value {
    let snapshot = app.ledger.published.snapshot();
    let zones = snapshot
        .zones
        .all()
        .iter()
        .enumerate()
        .map(|(i, z)| json!({"zone": z.name, "serial": snapshot.serials.get(i)}));
    let left: Vec<_> = done.left_behind.iter().map(left_behind).collect();
    json!({"zones": zones.collect::<Vec<_>>(), "warnings": done.warnings, "left_behind": left})
}

/// Reads the configuration again. One with an error is refused and the old one stays; so is one
/// that no longer has a name with listings, unless `force` is set.
#[utoipa::path(post, path = "/v1/reload", tag = "state", params(ReloadQuery), responses((status = 200, body = Value), Problem))]
pub(super) async fn reload(
    State(app): State<App>,
    Params(query): Params<ReloadQuery>,
) -> Result<Json<Value>, Problem> {
    if !app.daemon {
        return Err(Problem::refused(
            "no daemon runs; the next start reads the configuration anyway",
        ));
    }
    let done = run(
        &app,
        ReloadRequest {
            force: query.force,
            ..ReloadRequest::default()
        },
    )
    .await?;
    Ok(Json(response(&app, &done)))
}

/// Reads the configuration files and reports which reasons, feeds and zones they no longer have
/// although these have listings. Nothing is changed.
#[utoipa::path(get, path = "/v1/unconfigured", tag = "state", responses((status = 200, body = UnconfiguredResponse), Problem))]
pub(super) async fn unconfigured(
    State(app): State<App>,
) -> Result<Json<UnconfiguredResponse>, Problem> {
    let done = run(
        &app,
        ReloadRequest {
            dry_run: true,
            ..ReloadRequest::default()
        },
    )
    .await?;
    Ok(Json(UnconfiguredResponse {
        items: done.left_behind.iter().map(left_behind).collect(),
    }))
}

async fn rename(
    app: &App,
    caller: &Caller,
    kind: NameKind,
    from: String,
    to: String,
) -> Result<Json<Value>, Problem> {
    let line = caller.line(&format!("{}.rename", kind.as_str()), &from, &to, None);
    let rename = Rename {
        kind,
        from: from.clone(),
        to: to.clone(),
    };
    let done = run(
        app,
        ReloadRequest {
            rename: Some((rename, line)),
            ..ReloadRequest::default()
        },
    )
    .await?;
    let mut out = response(app, &done);
    (out["from"], out["to"]) = (from.into(), to.into());
    Ok(Json(out))
}

/// Renames a reason, with its listings and history, and reads the configuration again, which has to
/// have the new name already.
#[utoipa::path(post, path = "/v1/reasons/{name}/rename", tag = "state", request_body = RenameRequest, params(("name" = String, Path, description = "The reason's name")), responses((status = 200, body = Value), Problem))]
pub(super) async fn reason(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(name): Part,
    Body(new): Body<RenameRequest>,
) -> Result<Json<Value>, Problem> {
    rename(&app, &caller, NameKind::Reason, name, new.to).await
}

/// Renames a source, with its listings and history, and reads the configuration again. A feed has
/// to have its new name there already.
#[utoipa::path(post, path = "/v1/sources/{name}/rename", tag = "state", request_body = RenameRequest, params(("name" = String, Path, description = "The source's name")), responses((status = 200, body = Value), Problem))]
pub(super) async fn source(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(name): Part,
    Body(new): Body<RenameRequest>,
) -> Result<Json<Value>, Problem> {
    rename(&app, &caller, NameKind::Source, name, new.to).await
}
