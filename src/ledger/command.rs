//! The commands of the writer, and the type of its replies.

use tokio::sync::oneshot;

use super::{
    accounts::AccountChange,
    diff::{DiffRequest, OldAndNew},
    error::LedgerError,
    held::FeedEvent,
    import::{ImportReply, StagedImport},
    outbox::DeliveryResult,
    receipt::Receipt,
    relay_rows::RelayRows,
    rename::Rename,
    serials::{SerialChange, SerialRequest},
    settings::LedgerSettings,
};
use crate::{
    index::Builder,
    model::{Change, SourceId},
    store::schema::AuditRecord,
};

/// The most commands that wait for the writer. Further callers wait until one is taken.
pub(super) const QUEUE_LENGTH: usize = 4096;

/// The most changes in one group commit.
pub(super) const GROUP_COMMIT_MAX: usize = 1024;

pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// A command to the writer, with the channel for its reply.
#[allow(clippy::large_enum_variant)] // Nearly all commands are changes; a box for each costs time.
pub(super) enum WriterCommand {
    Change(Change, Reply<Receipt>),
    Import(Box<StagedImport>, Reply<ImportReply>),
    /// Returns a copy of the tables' builder, and its commit.
    Fork(Reply<(Box<Builder>, u64)>),
    /// Returns the number for a generation that is to be staged.
    NewGeneration(SourceId, Reply<u32>),
    /// Returns the number of a source; a new name gets one.
    Source(String, Reply<SourceId>),
    Configure(Box<LedgerSettings>, Reply<Receipt>),
    /// Sets the serial of a zone.
    SetSerial(Box<SerialRequest>, Reply<SerialChange>),
    /// The renaming of a reason or source, the configuration with the new name, the audit record.
    Rename(Box<(Rename, LedgerSettings, AuditRecord)>, Reply<Receipt>),
    /// Returns the tables of a zone at an earlier serial, and the present snapshot.
    DiffSince(Box<DiffRequest>, Reply<Option<OldAndNew>>),
    /// Several changes as one commit, and its audit record.
    ChangeMany(Box<(Vec<Change>, AuditRecord)>, Reply<Receipt>),
    /// Rows of relay tests, with the changes and the audit record that belong to them.
    RelayRows(Box<RelayRows>, Reply<Option<Receipt>>),
    /// An event about a feed, for webhooks.
    FeedEvent(Box<FeedEvent>, Reply<()>),
    /// The result of a delivery: the webhook, the commit of the message, the result.
    DeliveryResult(Box<(String, u64, DeliveryResult)>, Reply<()>),
    /// A change of an account, and its audit record.
    ChangeAccounts(Box<(AccountChange, Option<AuditRecord>)>, Reply<()>),
    /// Reads the whole removal log, and handles damage.
    VerifyRemovals(Reply<()>),
    /// A backup was made that includes the removal log up to this line.
    BackedUp(u64, Reply<()>),
    /// A second has passed.
    Tick,
    Stop(Reply<()>),
}
