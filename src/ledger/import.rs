//! Imports: staged beside the writer, made true by it in one small commit.

use super::{
    error::Refused,
    guard::{ListLimits, ListRefusal, Passed},
    receipt::Receipt,
};
use crate::{
    index::Builder,
    model::{SourceId, Subject, Time, Verdict, time::Seconds},
    store::{
        StoreError, Vocabulary,
        schema::{Audit, FeedEntry, Followed, ListShape},
        stage::{Mode, Staged},
    },
};

/// How many imports run at the same time.
pub(super) const IMPORTS: usize = 4;

/// What an import is about.
#[derive(Debug, Clone)]
pub struct Import {
    /// Whose listings.
    pub source: SourceId,
    /// How what is there is treated.
    pub mode: Mode,
    /// Only tell what would change.
    pub dry_run: bool,
    /// When the source's whole life ends unless it is imported again, counted from now.
    pub max_age: Option<Seconds>,
    /// The same as a point in time, from the file itself.
    pub expires: Option<Time>,
    /// See [`Terms::exceptions`](crate::store::stage::Terms::exceptions).
    pub exceptions: bool,
    /// The zone that it comes from, where it does; any other import ends the source's following.
    pub follow: Option<Follow>,
    /// The subjects of a [`Mode::Patch`], in order; at most [`SMALL`](crate::store::stage::SMALL).
    pub touched: Vec<Subject>,
    /// Who asks for it, where it is not the source itself: a line for the audit log.
    pub asked: Option<Audit>,
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
    pub fn replace(source: SourceId) -> Import {
        Import {
            source,
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

/// Why an import did not happen; nothing has changed then.
#[derive(Debug)]
pub enum ImportError {
    /// Another import of the same source is under way, or too many of others.
    Busy,
    /// The list ended before it came.
    Over(Time),
    /// The source's listings are decided one by one.
    NotAFeed(String),
    /// The ledger or the store said no.
    Refused(Refused),
    /// The lines ended with an error; its text was told to whoever reads them.
    Input(String),
    /// The list must not replace the source's last one.
    List(ListRefusal),
}

impl ImportError {
    /// In words for people.
    pub fn text(&self, vocabulary: &Vocabulary) -> String {
        match self {
            ImportError::Busy => format!(
                "another import of this source is under way, or {IMPORTS} of others; try again when it is done"
            ),
            ImportError::Over(t) => {
                format!("the list says that it ended at {t}; nothing was changed")
            }
            ImportError::NotAFeed(name) => {
                format!(
                    "`{name}` is no feed: list its subjects one by one (`orbsd list` reads them from standard input), or import under another name"
                )
            }
            ImportError::Refused(r) => r.text(vocabulary),
            ImportError::Input(why) => why.clone(),
            ImportError::List(refusal) => refusal.describe("NAME"),
        }
    }
}

impl From<StoreError> for ImportError {
    fn from(e: StoreError) -> ImportError {
        ImportError::Refused(e.into())
    }
}

/// A staged import on its way to the writer.
pub(super) struct Ready {
    pub(super) staged: Staged,
    /// When the source's life ends from now on.
    pub(super) expires: Option<Time>,
    /// True where its life has ended, and nobody dropped anything.
    pub(super) ended: bool,
    /// See [`Import::follow`].
    pub(super) follow: Option<Follow>,
    /// See [`Import::asked`].
    pub(super) asked: Option<Audit>,
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

/// What became of an import that was handed in.
pub(super) enum Handed {
    /// It is true.
    Done(Receipt),
    /// Too much was written meanwhile: it has to be prepared again.
    Stale(Box<Ready>),
}

/// Where an import's lines go.
pub type Sink<'a> = &'a mut dyn FnMut(Subject, FeedEntry) -> Result<(), String>;
