//! The types of imports. An import is staged outside the writer, which commits it in one small
//! batch.

use super::{
    error::LedgerError,
    guard::{ListAcceptance, ListLimits, ListRefusal},
    receipt::Receipt,
};
use crate::{
    index::Builder,
    model::{SourceId, Subject, Time, Verdict, time::Seconds},
    store::{
        Dictionary, StoreError,
        schema::{AuditRecord, FeedEntry, FollowState, ListShape},
        stage::{FinishedStage, Mode},
    },
};

/// The most imports that run at the same time.
pub(super) const MAX_IMPORTS: usize = 4;

/// A requested import.
#[derive(Debug, Clone)]
pub struct Import {
    /// The source of the listings; `None` for a dry run of a source that has no number yet.
    pub source: Option<SourceId>,
    /// How the list is applied to the present entries.
    pub mode: Mode,
    /// Whether to report the changes without making them.
    pub dry_run: bool,
    /// The time from now after which the source expires unless it is imported again.
    pub max_age: Option<Seconds>,
    /// The same as a point in time, which the file states.
    pub expires: Option<Time>,
    /// The step in the zone that the source follows. An import without one ends the following.
    pub follow: Option<Follow>,
    /// The subjects of a [`Mode::Patch`], in order; at most
    /// [`ROW_COMMIT_MAX`](crate::store::stage::ROW_COMMIT_MAX).
    pub touched: Vec<Subject>,
    /// The audit record; `None` if the source imports by itself.
    pub audit: Option<AuditRecord>,
    /// How far the list may differ from the source's last one; `None`: without limits.
    pub limits: Option<ListLimits>,
    /// The shape of the list; used only with `limits`.
    pub shape: ListShape,
}

/// A step of a source from one version of the zone that it follows to another.
#[derive(Debug, Clone, Default)]
pub struct Follow {
    /// The version before the step. The import is refused if the source has another one.
    pub previous: Option<FollowState>,
    /// The version after the step.
    pub current: FollowState,
    /// The records of the copy that are added (true) and deleted, if the step keeps the copy.
    pub records: Vec<(Vec<u8>, bool)>,
}

impl Import {
    /// An import that replaces all listings of a source.
    pub fn replace(source: impl Into<Option<SourceId>>) -> Import {
        Import {
            source: source.into(),
            mode: Mode::Replace,
            dry_run: false,
            max_age: None,
            expires: None,
            follow: None,
            touched: Vec::new(),
            audit: None,
            limits: None,
            shape: ListShape::default(),
        }
    }
}

/// Why an import was refused. Nothing has changed.
#[derive(Debug)]
pub enum ImportError {
    /// Another import of the same source is running, or too many of other sources.
    Busy,
    /// The list has expired, at this time.
    Expired(Time),
    /// The source is not a feed: its listings are decided one by one.
    NotAFeed(String),
    /// The ledger refused it, or the store failed.
    Ledger(LedgerError),
    /// Reading the lines failed.
    Input(String),
    /// A rule or a guard refuses the list.
    List(ListRefusal),
}

impl ImportError {
    /// The message for users; `dictionary` has the names of sources.
    pub fn text(&self, dictionary: &Dictionary) -> String {
        match self {
            ImportError::Busy => format!(
                "another import of this source is running, or {MAX_IMPORTS} of other sources; try again when it is done"
            ),
            ImportError::Expired(t) => {
                format!("the list states that it expired at {t}; nothing was changed")
            }
            ImportError::NotAFeed(name) => {
                format!(
                    "`{name}` is not a feed source; use `orbsd list`, which reads subjects from standard input, or import under another source name"
                )
            }
            ImportError::Ledger(r) => r.text(dictionary),
            ImportError::Input(why) => why.clone(),
            ImportError::List(refusal) => refusal.describe("NAME"),
        }
    }
}

impl From<LedgerError> for ImportError {
    fn from(e: LedgerError) -> ImportError {
        ImportError::Ledger(e)
    }
}

impl From<StoreError> for ImportError {
    fn from(e: StoreError) -> ImportError {
        ImportError::Ledger(e.into())
    }
}

/// A staged import that is submitted to the writer.
pub(super) struct StagedImport {
    pub(super) source: SourceId,
    pub(super) staged: FinishedStage,
    /// The time at which the source expires after the import.
    pub(super) expires: Option<Time>,
    /// Whether the source has expired. Its entries end, but the feed has not dropped them.
    pub(super) ended: bool,
    /// See [`Import::follow`].
    pub(super) follow: Option<Follow>,
    /// See [`Import::audit`].
    pub(super) audit: Option<AuditRecord>,
    /// The time at which the source expires without the import.
    pub(super) was_expires: Option<Time>,
    /// See [`Import::shape`]; `None` if the list was not compared with the last one.
    pub(super) passed: Option<(ListShape, ListAcceptance)>,
    pub(super) mode: Mode,
    /// The last commit when `prepared` was read.
    pub(super) base: u64,
    pub(super) prepared: PreparedTables,
}

/// The parts that were read and built outside the writer, which updates them with the changes after
/// `base`.
pub(super) enum PreparedTables {
    /// The verdicts of the rows' subjects.
    Verdicts(Vec<(Subject, Verdict)>),
    /// The tables with the import in them.
    Tables(Box<Builder>),
    /// Nothing: the writer builds the tables itself.
    Nothing,
}

/// The writer's reply to a staged import.
pub(super) enum ImportReply {
    /// The import is committed.
    Done(Receipt),
    /// Too much was committed meanwhile: prepare the import again.
    Stale(Box<StagedImport>),
}

/// Receives the lines of an import.
pub type LineSink<'a> = &'a mut dyn FnMut(Subject, FeedEntry) -> Result<(), String>;
