//! Imports: what is asked for, and what became of it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{DifferenceResponse, ProblemDetails, ReceiptResponse, Timestamp};
use crate::{lists::ListReport, store::stage::Mode};

/// What becomes of what the source already lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportMode {
    /// The source lists what the file has, and nothing else.
    #[default]
    Replace,
    /// The entries of the file are added.
    Add,
    /// The entries of the file are removed.
    Remove,
}

impl From<ImportMode> for Mode {
    fn from(mode: ImportMode) -> Mode {
        match mode {
            ImportMode::Replace => Mode::Replace,
            ImportMode::Add => Mode::Add,
            ImportMode::Remove => Mode::Remove,
        }
    }
}

/// Query parameters of `POST /v1/imports`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The source of the list.
    pub source: String,
    /// The format of the file (default: recognised from its content).
    #[serde(default)]
    pub format: String,
    /// The reason of all entries; either this or `codes` is required.
    pub reason: Option<String>,
    /// The zone by whose codes the A values of the file stand for reasons.
    pub codes: Option<String>,
    /// What becomes of what the source already lists.
    #[serde(default)]
    #[param(inline)]
    pub mode: ImportMode,
    /// Only report what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Accept an empty list: all that the source lists ends.
    #[serde(default)]
    pub allow_empty: bool,
    /// How many lines with errors the list may have: `true` (5 % and at least 3 lines), `false`, a
    /// number, or a part such as `2%`.
    pub skip_errors: Option<String>,
    /// Accept a list that has much less than the last one.
    #[serde(default)]
    pub allow_shrink: bool,
    /// Accept a list that has much more than the last one.
    #[serde(default)]
    pub allow_growth: bool,
    /// Names at or above a public suffix to accept, separated by commas.
    #[serde(default)]
    pub allow_suffix: String,
    /// Accept a list of which no zone publishes anything.
    #[serde(default)]
    pub unpublished: bool,
    /// Clear host bits in prefixes instead of refusing them.
    #[serde(default)]
    pub host_bits: bool,
    /// Accept subjects in special-purpose ranges.
    #[serde(default)]
    pub special: bool,
    /// The column of the subject: a name, a number from 1, or keys with dots between them.
    pub column: Option<String>,
    /// The origin of a master file that does not name it.
    pub origin: Option<String>,
    /// The data set type of an rbldnsd file, such as `ip4set`.
    pub dataset: Option<String>,
    /// The sub-zone of a combined rbldnsd file whose data sets are read (default `@`).
    pub subzone: Option<String>,
    /// After how long all of it ends unless it is imported again: a duration.
    #[param(example = "2d")]
    pub max_age: Option<String>,
    /// The name of the file, for messages.
    #[serde(default)]
    pub file: String,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportState {
    /// The list is being read.
    Running,
    /// The list was imported, or compared for a dry run.
    Done,
    /// The list was refused; nothing was changed.
    Failed,
    /// The daemon ended before the import did; nothing was changed.
    #[serde(alias = "cut")]
    Interrupted,
}

/// What became of an import. The last 200 are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportResponse {
    /// The number of the import, for `/v1/imports/{id}`.
    pub id: String,
    /// How far it is.
    pub state: ImportState,
    /// The source of the list.
    pub source: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The SHA-256 of the files, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The format that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What became of what the source already listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ImportMode>,
    /// True if nothing was to change.
    #[serde(default)]
    pub dry_run: bool,
    /// The commit; absent for a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptResponse>,
    /// What changed, or would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<DifferenceResponse>,
    /// What reading the files showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ListReport>,
    /// Why the import failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemDetails>,
}

impl ImportResponse {
    /// An import that begins.
    pub fn running(id: String, source: String, since: Timestamp) -> ImportResponse {
        ImportResponse {
            id,
            state: ImportState::Running,
            source,
            since: Some(since),
            sha256: None,
            format: None,
            mode: None,
            dry_run: false,
            receipt: None,
            difference: None,
            report: None,
            problem: None,
        }
    }

    /// The same import after it was refused.
    #[must_use]
    pub fn failed(self, problem: ProblemDetails) -> ImportResponse {
        ImportResponse {
            state: ImportState::Failed,
            problem: Some(problem),
            ..self
        }
    }
}
