//! Commits: what each one changed, undo, and the stream of changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{DifferenceResponse, EventName, ReceiptResponse, Timestamp};

/// One change of a subject in a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeResponse {
    /// The subject.
    pub subject: String,
    /// What happened to it; null where the history no longer says.
    pub event: Option<EventName>,
    /// The reason; null for an exemption.
    pub reason: Option<String>,
    /// The source; null: every source.
    pub source: Option<String>,
    /// When the effect of the change ends.
    pub until: Option<Timestamp>,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommitResponse {
    /// The number of the commit.
    pub commit: u64,
    /// When it was made.
    pub at: Timestamp,
    /// The new serials, by zone.
    pub serials: BTreeMap<String, u32>,
    /// The serials before the commit, by zone.
    pub previous_serials: BTreeMap<String, u32>,
    /// What changed, in the order of the subjects; at most 1000 subjects.
    pub changes: Vec<ChangeResponse>,
    /// The number of subjects that changed.
    pub count: usize,
    /// True for a large import, whose subjects are too many to list.
    pub bulk: bool,
    /// True if mirrors take a whole zone across this commit.
    pub barrier: bool,
}

/// Query parameters of `POST /v1/commits/{seq}/undo`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UndoQuery {
    /// Only report what would be undone.
    pub dry_run: bool,
}

/// How a commit is undone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UndoRequest {
    /// Only what this author did in it; one commit can hold the changes of many.
    pub author: Option<String>,
    /// List again although a removal was granted. Requires the role operator.
    pub break_hold: bool,
    /// Why, for the history.
    pub note: Option<String>,
}

/// A later commit that changed subjects of the commit to undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LaterCommitResponse {
    /// The number of the later commit.
    pub commit: u64,
    /// What it was.
    pub description: String,
    /// How many subjects it changed.
    pub count: usize,
    /// The first of them.
    pub sample: Vec<String>,
}

/// What became of the subjects of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UndoResponse {
    /// The commit that undid it; null for a dry run, and where there was nothing to undo.
    pub receipt: Option<ReceiptResponse>,
    /// The subjects that are as they were before the commit.
    pub undone: Vec<String>,
    /// The subjects that changed since, and were left alone.
    pub changed_since: Vec<String>,
    /// The commits that changed those, the newest first; at most 20.
    pub changed_by: Vec<LaterCommitResponse>,
    /// The subjects that were not listed again because a removal was granted.
    pub held: Vec<String>,
    /// What changed, for a large import.
    pub difference: Option<DifferenceResponse>,
}

/// Query parameters of `GET /v1/changes`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Only commits after this number: the `next` of the page before. Without it, a page begins
    /// with the first commit, and a stream with the next one.
    pub after: Option<u64>,
    /// The largest number of commits on a page (default 100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// A page of commits in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangesPage {
    /// The commits.
    pub items: Vec<CommitResponse>,
    /// Where the next page begins, for `after`; null where these are all commits so far.
    pub next: Option<String>,
    /// The number of the last commit.
    pub last: u64,
    /// True if the journal no longer has the first commits after `after`.
    pub gap: bool,
}

/// The event `gap` of a stream: the journal no longer has the commits between two numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeGapResponse {
    /// The last commit that the client has.
    pub after: u64,
    /// The first commit that follows in the stream.
    pub next: u64,
}

/// The event `end` of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeEndResponse {
    /// Why the stream ends.
    pub detail: String,
    /// The last commit that was sent; continue after it.
    pub after: u64,
}
