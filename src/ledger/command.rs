//! The commands that the writer takes, and how it replies.

use tokio::sync::oneshot;

use super::{
    accounts::Keep,
    diff::{Asked, Both},
    error::Refused,
    held::FeedEvent,
    import::{Handed, Ready},
    outbox::Tried,
    receipt::Receipt,
    relay_rows::RelayRows,
    rename::Rename,
    serials::{SerialChange, SerialRequest},
    settings::Settings,
};
use crate::{
    index::Builder,
    model::{Change, SourceId},
    store::schema::Audit,
};

/// How many changes wait for the writer at most; who brings more waits.
pub(super) const QUEUE: usize = 4096;

/// How many changes one commit takes at most.
pub(super) const GROUP: usize = 1024;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Refused>>;

#[allow(clippy::large_enum_variant)] // changes are what nearly all jobs are; a box for each would cost more
pub(super) enum Job {
    Change(Change, Reply<Receipt>),
    Import(Box<Ready>, Reply<Handed>),
    /// A copy of the tables' builder, and the commit it stands at.
    Fork(Reply<(Box<Builder>, u64)>),
    /// A number for a generation that is about to be staged.
    Generation(SourceId, Reply<u32>),
    /// The number of a source's name, given now if it has none.
    Source(String, Reply<SourceId>),
    Configure(Box<Settings>, Reply<Receipt>),
    /// A serial for a zone.
    Serial(Box<SerialRequest>, Reply<SerialChange>),
    /// A reason or source gets another name, with the configuration that has it and the audit
    /// record.
    Rename(Box<(Rename, Settings, Audit)>, Reply<Receipt>),
    /// The tables of the past, and the snapshot of now, for a difference.
    Past(Box<Asked>, Reply<Option<Both>>),
    /// Many changes as one commit, and their line in the audit log.
    Many(Box<(Vec<Change>, Audit)>, Reply<Receipt>),
    /// Rows of relay tests, with the changes and the audit record that belong to them.
    Record(Box<RelayRows>, Reply<Option<Receipt>>),
    /// What webhooks are told about a feed.
    FeedEvent(Box<FeedEvent>, Reply<()>),
    /// What came of sending a message: the webhook, the message's commit.
    Tried(Box<(String, u64, Tried)>, Reply<()>),
    /// A person or a token, and the line in the audit log.
    Keep(Box<(Keep, Option<Audit>)>, Reply<()>),
    /// Reads the whole log of removals, and acts on what is wrong with it.
    VerifyRemovals(Reply<()>),
    /// A copy of the store was made that knows the log of removals up to this line.
    BackedUp(u64, Reply<()>),
    Tick,
    Stop(Reply<()>),
}
