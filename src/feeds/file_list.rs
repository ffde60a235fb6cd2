//! Settings of a feed of a file: how its list is read.

use crate::{imports::ErrorAllowance, ledger::guard::ListLimits, model::time::Seconds};

/// How the list of a file is read, and how far it may differ from the last one.
#[derive(Debug, Clone, PartialEq)]
pub struct FileList {
    /// The column of the subject in a table.
    pub column: Option<String>,
    /// The origin of a master file that does not name it.
    pub origin: Option<String>,
    /// The type of an rbldnsd file.
    pub dataset: Option<String>,
    /// The sub-zone of a combined rbldnsd file.
    pub subzone: Option<String>,
    /// Clear host bits of prefixes instead of refusing them.
    pub host_bits: bool,
    /// How many lines with errors are allowed.
    pub skip_errors: ErrorAllowance,
    /// Accept special-purpose ranges.
    pub special: bool,
    /// Accept a well-formed empty list.
    pub allow_empty: bool,
    /// Public suffixes at or above which names are accepted.
    pub allow_suffixes: Vec<String>,
    /// How far a list may differ from the last one.
    pub limits: ListLimits,
    /// How long a held list waits before it is accepted automatically.
    pub shrink_wait: Seconds,
}

impl Default for FileList {
    fn default() -> FileList {
        FileList {
            column: None,
            origin: None,
            dataset: None,
            subzone: None,
            host_bits: false,
            skip_errors: ErrorAllowance::None,
            special: false,
            allow_empty: false,
            allow_suffixes: Vec::new(),
            limits: ListLimits::default(),
            shrink_wait: Seconds(24 * 3600),
        }
    }
}
