//! The renaming of a reason or source.
//!
//! Rows name reasons and sources by numbers, so that a rename changes the vocabulary alone. What
//! names them by text is rewritten in the same batch: the bounds of tokens, lists that a guard
//! holds, and the names of the last configuration. The removal log gets a line, so that a store
//! that is restored from an older copy renames at the same place.

use serde::{Deserialize, Serialize};

use crate::store::Dictionary;

/// What a name is the name of.
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
    /// The kind as a word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A rename of a reason or source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// What is renamed.
    pub kind: NameKind,
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
}

impl Rename {
    /// Renames in a vocabulary. Where the new name exists the two change their numbers: it has to
    /// be unused.
    ///
    /// # Errors
    ///
    /// There is no such name, or the new one cannot be a name.
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

    /// The name that a decision before this rename has after it.
    pub(super) fn forward(&self, kind: NameKind, name: &mut String) {
        if self.kind == kind && *name == self.from {
            name.clone_from(&self.to);
        }
    }
}
