//! Settings of a feed of a file: how its list is read.

use crate::{imports::ListSettings, model::time::Seconds};

/// How the list of a file is read, and how far it may differ from the last one.
#[derive(Debug, Clone, PartialEq)]
pub struct FileList {
    /// How it is read and checked.
    pub settings: ListSettings,
    /// How long a held list waits before it is accepted automatically.
    pub shrink_wait: Seconds,
}

impl Default for FileList {
    fn default() -> FileList {
        FileList {
            settings: ListSettings::default(),
            shrink_wait: Seconds(24 * 3600),
        }
    }
}
