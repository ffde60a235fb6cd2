//! Backups: copies of the store on the disk of the server, so that only callers at the socket may
//! make them.

use std::path::PathBuf;

use axum::{Extension, Json, extract::State, http::StatusCode};

use super::{App, caller::Caller, error::of_ledger, input::JsonBody};
use crate::{
    api::{BackupRequest, BackupResponse, ProblemDetails},
    model::Time,
};

/// Copies the store while it is in use, and reads the copy back. Only callers at the socket may
/// make a backup.
#[utoipa::path(post, path = "/v1/backups", tag = "state", request_body = BackupRequest,
    responses((status = 201, body = BackupResponse, description = "The backup")))]
pub(super) async fn create_backup(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<BackupRequest>,
) -> Result<(StatusCode, Json<BackupResponse>), ProblemDetails> {
    if caller.token.is_some() {
        return Err(ProblemDetails::forbidden(
            "a backup is written to the disk of the server; run `orbsd backup` there",
        ));
    }
    let path = PathBuf::from(&request.path);
    if !path.is_absolute() {
        return Err(ProblemDetails::invalid("path: it must be an absolute path"));
    }
    let ledger = app.ledger.clone();
    let copy = move || {
        let now: Time = ledger.now();
        let backup = ledger.store.backup(&path, now.to_string())?;
        ledger
            .backed_up(backup.removals)
            .map_err(of_ledger(&ledger))?;
        Ok::<_, ProblemDetails>((backup, now))
    };
    let (backup, at) = tokio::task::spawn_blocking(copy)
        .await
        .map_err(ProblemDetails::failed)??;
    let detail = format!("commit {}", backup.commit);
    let record = caller.audit_record("backup", &request.path, detail, None);
    app.ledger
        .note(record)
        .await
        .map_err(of_ledger(&app.ledger))?;
    let response = BackupResponse {
        path: request.path,
        commit: backup.commit,
        removal_line: backup.removals,
        rows: backup.rows.values().sum(),
        at: at.into(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}
