//! Imports: staged beside the writer, and committed by it in one small batch.

use super::{
    error::LedgerError,
    guard::{ListLimits, ListRefusal, Passed},
    receipt::Receipt,
};
use crate::{
    index::Builder,
    model::{SourceId, Subject, Time, Verdict, time::Seconds},
    store::{
        Dictionary, StoreError,
        schema::{AuditRecord, FeedEntry, Followed, ListShape},
        stage::{Mode, Staged},
    },
};

/// How many imports run at the same time at most.
pub(super) const IMPORTS: usize = 4;

/// An import that is requested.
#[derive(Debug, Clone)]
pub struct Import {
    /// The source whose listings they are; none for a dry run of a source that has no number yet.
    pub source: Option<SourceId>,
    /// What happens to present entries.
    pub mode: Mode,
    /// Whether to report the changes only.
    pub dry_run: bool,
    /// When the source's whole life ends unless it is imported again, counted from now.
    pub max_age: Option<Seconds>,
    /// The same as a point in time, from the file itself.
    pub expires: Option<Time>,
    /// See [`StageOptions::exceptions`](crate::store::stage::StageOptions::exceptions).
    pub exceptions: bool,
    /// The zone that it comes from, where it does; any other import ends the source's following.
    pub follow: Option<Follow>,
    /// The subjects of a [`Mode::Patch`], in order; at most [`ROW_COMMIT_MAX`](crate::store::stage::ROW_COMMIT_MAX).
    pub touched: Vec<Subject>,
    /// The audit record; none if the source itself imports.
    pub asked: Option<AuditRecord>,
    /// How far the list may differ from the source's last one; `None` where any difference is
    /// meant.
    pub limits: Option<ListLimits>,
    /// What the list consists of, where `limits` are set.
    pub shape: ListShape,
}

/// A step of a source from one version of the zone that it follows to another.
#[derive(Debug, Clone, Default)]
pub struct Follow {
    /// Where it stood when this was worked out; otherwise the import is refused.
    pub was: Option<Followed>,
    /// Where it stands afterwards.
    pub is: Followed,
    /// The records of the copy that come (true) and go, where the copy stays the same one.
    pub records: Vec<(Vec<u8>, bool)>,
}

impl Import {
    /// Makes the source's listings equal to the lines.
    pub fn replace(source: impl Into<Option<SourceId>>) -> Import {
        Import {
            source: source.into(),
            mode: Mode::Replace,
            dry_run: false,
            max_age: None,
            expires: None,
            exceptions: true,
            follow: None,
            touched: Vec::new(),
            asked: None,
            limits: None,
            shape: ListShape::default(),
        }
    }
}

/// Why an import was not done. Nothing has changed.
#[derive(Debug)]
pub enum ImportError {
    /// Another import of the same source is running, or too many of other sources.
    Busy,
    /// The list has expired, at this time.
    Over(Time),
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
    /// In words for people.
    pub fn text(&self, dictionary: &Dictionary) -> String {
        match self {
            ImportError::Busy => format!(
                "another import of this source is running, or {IMPORTS} of other sources; try again when it is done"
            ),
            ImportError::Over(t) => {
                format!("the list expired at {t}, by its own statement; nothing was changed")
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
    pub(super) staged: Staged,
    /// When the source's life ends from now on.
    pub(super) expires: Option<Time>,
    /// Whether the source has expired, which drops nothing on purpose.
    pub(super) ended: bool,
    /// See [`Import::follow`].
    pub(super) follow: Option<Follow>,
    /// See [`Import::asked`].
    pub(super) asked: Option<AuditRecord>,
    /// When the source's life would have ended without it.
    pub(super) was_expires: Option<Time>,
    /// See [`Import::shape`]; `None` where the list was not compared with the last one.
    pub(super) passed: Option<(ListShape, Passed)>,
    pub(super) mode: Mode,
    /// The commit that was the last one when `prepared` was read.
    pub(super) base: u64,
    pub(super) prepared: Prepared,
}

/// What was read and built beside the writer; it only has to look again at what changed after
/// `base`.
pub(super) enum Prepared {
    /// The verdicts of the rows' subjects.
    Verdicts(Vec<(Subject, Verdict)>),
    /// The tables with the import in them.
    Tables(Box<Builder>),
    /// Nothing: the writer builds the tables itself.
    Nothing,
}

/// The writer's reply to a staged import.
pub(super) enum ImportReply {
    /// It is committed.
    Done(Receipt),
    /// Too much was written meanwhile: prepare it again.
    Stale(Box<StagedImport>),
}

/// Where an import's lines go.
pub type LineSink<'a> = &'a mut dyn FnMut(Subject, FeedEntry) -> Result<(), String>;
