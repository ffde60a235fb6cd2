//! Backups: a copy of the store on the daemon's own machine, so only for who reaches its socket.

use std::path::PathBuf;

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{App, access::Caller, error::Problem, input::Body};

/// Where a copy goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// A folder that is not there yet, or empty; a whole path.
    path: String,
}

/// What a copy holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupShape {
    path: String,
    commit: u64,
    /// The last line of the log of removals that it knows.
    removals: u64,
    /// Rows, all of them read back.
    rows: u64,
    at: String,
}

/// Copies the store while it is used, and reads the copy back. Only through the socket.
#[utoipa::path(post, path = "/v1/backups", tag = "state", request_body = NewBackup, responses((status = 201, body = BackupShape), Problem))]
pub(super) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<NewBackup>,
) -> Result<(axum::http::StatusCode, Json<BackupShape>), Problem> {
    if caller.token.is_some() {
        return Err(Problem::forbidden(
            "a backup is written to this machine's disk; run `orbsd backup` here",
        ));
    }
    let path = PathBuf::from(&asked.path);
    if !path.is_absolute() {
        return Err(Problem::invalid("path: say a whole path, from /"));
    }
    let ledger = app.ledger.clone();
    let copy = move || {
        let made = ledger.store.backup(&path, ledger.now().to_string())?;
        ledger
            .backed_up(made.removals)
            .map_err(|e| Problem::of(&e, &ledger.store.dictionary()))?;
        Ok::<_, Problem>(made)
    };
    let made = tokio::task::spawn_blocking(copy)
        .await
        .map_err(Problem::failed)??;
    let line = caller.line(
        "backup",
        &asked.path,
        format!("commit {}", made.commit),
        None,
    );
    app.ledger
        .note(line)
        .await
        .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
    let shape = BackupShape {
        path: asked.path,
        commit: made.commit,
        removals: made.removals,
        rows: made.rows.values().sum(),
        at: made.at,
    };
    Ok((axum::http::StatusCode::CREATED, Json(shape)))
}
