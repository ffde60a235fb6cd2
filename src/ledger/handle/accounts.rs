//! Users, tokens, webhooks and what else is kept by name: reading, and asking for changes.

use std::sync::Arc;

use super::Ledger;
use crate::{
    ledger::{
        accounts::{Book, Keep},
        command::Job,
        error::Refused,
    },
    store::schema,
};

impl Ledger {
    /// Everybody who may do something.
    pub fn book(&self) -> Arc<Book> {
        self.book.load_full()
    }

    /// The same from a thread that may block.
    pub fn keep_blocking(&self, keep: Keep, line: Option<schema::Audit>) -> Result<(), Refused> {
        self.call(|r| Job::Keep(Box::new((keep, line)), r))
    }

    /// Keeps somebody, with a line in the audit log where it is a change.
    pub async fn keep(&self, keep: Keep, line: Option<schema::Audit>) -> Result<(), Refused> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.jobs
            .send(Job::Keep(Box::new((keep, line)), tx))
            .await
            .map_err(|_| Refused::Stopped)?;
        rx.await.unwrap_or(Err(Refused::Stopped))
    }

    /// Writes a line in the audit log for what is no change of the store itself.
    pub async fn note(&self, line: schema::Audit) -> Result<(), Refused> {
        self.keep(Keep::Nothing, Some(line)).await
    }
}
