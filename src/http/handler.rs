//! What handlers share: the sender of the request as an argument, the types of their results, work
//! that may block, and writes of the ledger.

use axum::{
    Extension, Json,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};

use super::{App, caller::Caller, error::of_ledger};
use crate::{
    api::ProblemDetails,
    ledger::{AccountChange, Pending},
    model::Change,
    store::schema::AuditRecord,
};

/// The result of a handler that responds with JSON.
pub type JsonResult<T> = Result<Json<T>, ProblemDetails>;

/// The result of a handler that responds with another status than 200.
pub type StatusResult<T> = Result<(StatusCode, Json<T>), ProblemDetails>;

/// The arguments of a handler that needs the sender of the request.
pub struct Call {
    /// The state that handlers share.
    pub app: App,
    /// The sender of the request.
    pub caller: Caller,
}

impl FromRequestParts<App> for Call {
    type Rejection = ProblemDetails;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Call, ProblemDetails> {
        let caller = Extension::from_request_parts(parts, app).await;
        let Extension(caller) = caller.map_err(ProblemDetails::internal)?;
        let app = app.clone();
        Ok(Call { app, caller })
    }
}

/// Runs work on a thread that may block.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProblemDetails> + Send + 'static,
) -> Result<T, ProblemDetails> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ProblemDetails::internal)?
}

impl App {
    /// Changes what is stored besides listings, together with its audit record.
    pub(super) async fn change_accounts(
        &self,
        change: AccountChange,
        record: AuditRecord,
    ) -> Result<(), ProblemDetails> {
        let changed = self.ledger.change_accounts(change, Some(record)).await;
        changed.map_err(of_ledger(&self.ledger))
    }

    /// Writes an audit record alone.
    pub(super) async fn note(&self, record: AuditRecord) -> Result<(), ProblemDetails> {
        let noted = self.ledger.note(record).await;
        noted.map_err(of_ledger(&self.ledger))
    }

    /// Submits a change to the writer.
    pub(super) async fn submit(&self, change: Change) -> Result<Pending, ProblemDetails> {
        let submitted = self.ledger.submit(change).await;
        submitted.map_err(of_ledger(&self.ledger))
    }
}
