//! Backups: a copy of the store on the daemon's own machine, so that only the socket offers them.

use std::path::PathBuf;

use axum::{Extension, Json, extract::State, http::StatusCode};

use super::{App, caller::Caller, error::of_ledger, input::JsonBody};
use crate::{
    api::{BackupRequest, BackupResponse, ProblemDetails},
    model::Time,
};

/// Copies the store while it is used, and reads the copy back. Only through the socket.
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
        return Err(ProblemDetails::invalid("path: it takes an absolute path"));
    }
    let ledger = app.ledger.clone();
    let copy = move || {
        let now: Time = ledger.now();
        let made = ledger.store.backup(&path, now.to_string())?;
        ledger
            .backed_up(made.removals)
            .map_err(of_ledger(&ledger))?;
        Ok::<_, ProblemDetails>((made, now))
    };
    let (made, at) = tokio::task::spawn_blocking(copy)
        .await
        .map_err(ProblemDetails::failed)??;
    let detail = format!("commit {}", made.commit);
    let record = caller.audit_record("backup", &request.path, detail, None);
    app.ledger
        .note(record)
        .await
        .map_err(of_ledger(&app.ledger))?;
    let response = BackupResponse {
        path: request.path,
        commit: made.commit,
        removal_line: made.removals,
        rows: made.rows.values().sum(),
        at: at.into(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}
