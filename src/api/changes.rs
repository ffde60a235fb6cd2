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
    /// What happened to the subject; null if the history no longer has the event.
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
    /// When the commit was made.
    pub at: Timestamp,
    /// The new serials, by zone.
    pub serials: BTreeMap<String, u32>,
    /// The serials before the commit, by zone.
    pub previous_serials: BTreeMap<String, u32>,
    /// The changes in the order of their subjects; at most 1000 subjects are included.
    pub changes: Vec<ChangeResponse>,
    /// The number of subjects that changed.
    pub count: usize,
    /// True for a large import, whose subjects are too many to list.
    pub bulk: bool,
    /// True if mirrors have to transfer the whole zone (AXFR) to get past this commit.
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

/// The options of an undo.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UndoRequest {
    /// Undo only the changes of this author; one commit can contain the changes of several.
    pub author: Option<String>,
    /// List subjects again although their removal was granted. Requires the role operator.
    pub break_hold: bool,
    /// Why, for the history.
    pub note: Option<String>,
}

/// A later commit that changed subjects of the commit to undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LaterCommitResponse {
    /// The number of the later commit.
    pub commit: u64,
    /// What the commit did, in words.
    pub description: String,
    /// How many of the subjects it changed.
    pub count: usize,
    /// The first of those subjects.
    pub sample: Vec<String>,
}

/// The result of an undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UndoResponse {
    /// The receipt of the undo; null for a dry run, and if there was nothing to undo.
    pub receipt: Option<ReceiptResponse>,
    /// The subjects that were restored, or, in a dry run, would be.
    pub undone: Vec<String>,
    /// The subjects that have changed since the commit, and were left as they are.
    pub changed_since: Vec<String>,
    /// The commits that changed those subjects, the newest first; at most 20.
    pub changed_by: Vec<LaterCommitResponse>,
    /// The subjects that were not listed again because a removal was granted.
    pub held: Vec<String>,
    /// For a large import: what the undo changed.
    pub difference: Option<DifferenceResponse>,
}

/// Query parameters of `GET /v1/changes`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Only commits after this number: the `next` of the previous page. Without it, a page begins
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
    /// The value of `after` for the next page; null if there are no later commits yet.
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
