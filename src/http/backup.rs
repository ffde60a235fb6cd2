//! Backups: copies of the store on the disk of the server, so that only callers at the socket may
//! make them.

use std::path::PathBuf;

use axum::{Json, http::StatusCode};

use super::{
    error::of_ledger,
    handler::{Call, StatusResult, blocking},
    input::JsonBody,
};
use crate::{
    api::{BackupRequest, BackupResponse, ProblemDetails},
    store::LastBackup,
};

/// Copies the store while it is in use, and reads the copy back. Only callers at the socket may
/// make a backup.
#[utoipa::path(post, path = "/v1/backups", tag = "state", request_body = BackupRequest,
    responses((status = 201, body = BackupResponse, description = "The backup")))]
pub async fn create_backup(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<BackupRequest>,
) -> StatusResult<BackupResponse> {
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
    let (backup, at) = blocking(move || {
        let now = ledger.now();
        let backup = ledger.store.backup(&path, now.to_string())?;
        let recorded = ledger.backed_up(LastBackup {
            at: now,
            commit: backup.commit,
            removal_line: backup.removals,
        });
        recorded.map_err(of_ledger(&ledger))?;
        Ok((backup, now))
    })
    .await?;
    let detail = format!("commit {}", backup.commit);
    let record = caller.audit_record("backup", &request.path, detail, None);
    app.note(record).await?;
    let response = BackupResponse {
        path: request.path,
        commit: backup.commit,
        removal_line: backup.removals,
        rows: backup.rows.values().sum(),
        at: at.into(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}
