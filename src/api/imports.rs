//! Imports: their parameters, state and result.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{DifferenceResponse, ProblemDetails, ReceiptResponse, Timestamp};
use crate::{lists::ListReport, store::stage::Mode};

/// How the file changes the entries of the source.
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
    /// The reason of all entries; either this or `code_zone` is required.
    pub reason: Option<String>,
    /// The zone whose codes map the A values of the file to reasons.
    pub code_zone: Option<String>,
    /// How the file changes the entries of the source.
    #[serde(default)]
    #[param(inline)]
    pub mode: ImportMode,
    /// Only report what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Accept an empty list, which ends all listings of the source.
    #[serde(default)]
    pub allow_empty: bool,
    /// How many lines with errors the list may have: `true` (5 % and at least 3 lines), `false`, a
    /// number, or a part such as `2%`.
    pub skip_errors: Option<String>,
    /// Accept a list that is much smaller than the last one.
    #[serde(default)]
    pub allow_shrink: bool,
    /// Accept a list that is much larger than the last one.
    #[serde(default)]
    pub allow_growth: bool,
    /// Names at or above a public suffix to accept, separated by commas.
    #[serde(default)]
    pub allow_suffix: String,
    /// Accept a list from which no zone publishes anything.
    #[serde(default)]
    pub unpublished: bool,
    /// Clear host bits in prefixes instead of refusing them.
    #[serde(default)]
    pub clear_host_bits: bool,
    /// Accept subjects in special-purpose ranges.
    #[serde(default)]
    pub special: bool,
    /// Publish the single IPv6 addresses of the list as they are, never as the networks around them.
    #[serde(default)]
    pub exact: bool,
    /// The column of the subject: a name, a number from 1, or JSON keys separated by dots.
    pub column: Option<String>,
    /// The origin of a master file that does not name it.
    pub origin: Option<String>,
    /// The data set type of an rbldnsd file, such as `ip4set`.
    pub dataset: Option<String>,
    /// The sub-zone of a combined rbldnsd file whose data sets are read (default `@`).
    pub subzone: Option<String>,
    /// How long the listings last unless the list is imported again: a duration.
    #[param(example = "2d")]
    pub max_age: Option<String>,
    /// The name of the file, for messages.
    #[serde(default)]
    pub file: String,
}

/// The state of an import.
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

/// The state and the result of an import. The last 200 are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportResponse {
    /// The ID of the import, for `/v1/imports/{id}`.
    pub id: String,
    /// The state of the import.
    pub state: ImportState,
    /// The source of the list.
    pub source: String,
    /// When the import began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The SHA-256 of the files, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The format that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How the file changed the entries of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ImportMode>,
    /// True for a dry run, which changes nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The commit; absent for a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptResponse>,
    /// What changed, or would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<DifferenceResponse>,
    /// The report about reading the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ListReport>,
    /// Why the import failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemDetails>,
}

impl ImportResponse {
    /// Creates the response for an import that begins.
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

    /// Marks the import as refused because of a problem.
    #[must_use]
    pub fn failed(self, problem: ProblemDetails) -> ImportResponse {
        ImportResponse {
            state: ImportState::Failed,
            problem: Some(problem),
            ..self
        }
    }
}
