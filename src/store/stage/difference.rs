//! The counted changes of an import.

/// The counted changes of an import or of a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportDifference {
    /// Subjects that the source did not have.
    pub added: u64,
    /// Subjects whose reasons or texts changed.
    pub changed: u64,
    /// Subjects that the source no longer has.
    pub removed: u64,
    /// Subjects that did not change.
    pub same: u64,
    /// Added subjects that are only excluded, not listed.
    #[serde(default)]
    pub excluded_added: u64,
    /// Removed subjects that were only excluded, not listed.
    #[serde(default)]
    pub excluded_removed: u64,
    /// Unchanged subjects that are only excluded, not listed.
    #[serde(default)]
    pub excluded_same: u64,
    /// Subjects of the list that a hold keeps unlisted.
    #[serde(default)]
    pub held: u64,
    /// Some added subjects.
    pub sample_added: Vec<String>,
    /// Some removed subjects.
    pub sample_removed: Vec<String>,
    /// Some held subjects.
    #[serde(default)]
    pub sample_held: Vec<String>,
}

impl std::fmt::Display for ImportDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ImportDifference {
            added,
            changed,
            removed,
            same,
            held,
            ..
        } = self;
        write!(
            f,
            "{added} added, {changed} changed, {removed} removed, {same} the same, {held} held"
        )
    }
}
