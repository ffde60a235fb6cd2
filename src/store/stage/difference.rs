//! What an import changes, counted.

/// The result of an import or of a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportDifference {
    /// Subjects the source did not have.
    pub added: u64,
    /// Subjects whose reasons or texts changed.
    pub changed: u64,
    /// Subjects the source no longer has.
    pub removed: u64,
    /// Subjects that stay as they are.
    pub same: u64,
    /// Of those that were added, how many are exclusions alone.
    #[serde(default)]
    pub excluded_added: u64,
    /// Of those that were removed, how many were exclusions alone.
    #[serde(default)]
    pub excluded_removed: u64,
    /// Of those that stay, how many are exclusions alone.
    #[serde(default)]
    pub excluded_same: u64,
    /// Subjects that it lists, and that a hold keeps unlisted.
    #[serde(default)]
    pub held: u64,
    /// A few of those that were added.
    pub sample_added: Vec<String>,
    /// A few of those that were removed.
    pub sample_removed: Vec<String>,
    /// A few of those that are held.
    #[serde(default)]
    pub sample_held: Vec<String>,
}

impl ImportDifference {
    /// The counts as text.
    pub fn words(&self) -> String {
        let ImportDifference {
            added,
            changed,
            removed,
            same,
            held,
            ..
        } = self;
        format!("{added} added, {changed} changed, {removed} removed, {same} the same, {held} held")
    }
}
