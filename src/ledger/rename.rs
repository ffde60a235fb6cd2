//! The renaming of a reason or source.
//!
//! Rows have the numbers of reasons and sources, so that a rename changes only the vocabulary. Rows
//! that have their names are rewritten in the same batch: the restrictions of tokens, held lists,
//! and the names of the last configuration. The removal log gets a line, so that a store restored
//! from an older copy renames at the same point.

use serde::{Deserialize, Serialize};

use crate::store::Dictionary;

/// The kind of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum NameKind {
    /// A reason.
    Reason,
    /// A source.
    Source,
}

impl NameKind {
    /// The kind as text.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A rename of a reason or source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// The kind of the name.
    pub kind: NameKind,
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
}

impl Rename {
    /// Renames in a vocabulary. If the new name exists, the two names swap their numbers, so that
    /// the new name has to be unused.
    ///
    /// # Errors
    ///
    /// There is no such name, or the new one is not a valid name.
    pub(super) fn apply(&self, v: &mut Dictionary) -> Result<(), String> {
        match self.kind {
            NameKind::Reason => v.reasons.rename(&self.from, &self.to),
            NameKind::Source => {
                v.sources.rename(&self.from, &self.to)?;
                for (record, name) in v.records.iter_mut().zip(v.sources.0.all()) {
                    record.name.clone_from(name);
                }
                Ok(())
            }
        }
    }

    /// Replaces the old name, in a decision that was made before this rename.
    pub(super) fn forward(&self, kind: NameKind, name: &mut String) {
        if self.kind == kind && *name == self.from {
            name.clone_from(&self.to);
        }
    }
}
