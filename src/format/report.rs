//! What is told of files that were read.

use crate::model::Time;

/// How many problems are told, and how many warnings; the rest is only counted.
pub const MAX_PROBLEMS: usize = 20;

/// A problem with its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What was expected.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }
}

/// What reading files has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Entries taken.
    pub taken: u64,
    /// Skipped: in a special range.
    pub special: u64,
    /// Skipped: wider than a list may be.
    pub too_wide: u64,
    /// Dropped: test points, which every zone has.
    pub test_points: u64,
    /// Skipped: records of an rbldnsd `generic` set that list nothing here.
    pub other_records: u64,
    /// Texts that were cut: a TXT string has at most 255 bytes.
    pub cut_texts: u64,
    /// Lines with errors.
    pub errors: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// The first of the things that were read over or may surprise.
    pub warnings: Vec<String>,
    /// How many warnings more there were.
    pub more_warnings: u64,
    /// When the file says that it ends.
    pub expires: Option<Time>,
    /// What a list consists of, to hold the next list of the same source against it.
    pub shape: Shape,
}

/// What one list consisted of.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Shape {
    /// Entries that list IPv4 addresses.
    pub ipv4: u64,
    /// Entries that list IPv6 addresses.
    pub ipv6: u64,
    /// Entries that list names.
    pub names: u64,
    /// Entries that list digests.
    pub digests: u64,
    /// Entries that except something from a wider listing (written in the file, not derived).
    pub exclusions: u64,
    /// Whether the list ended with a record about itself; readers refuse one whose count disagrees.
    pub final_record: bool,
}

impl Report {
    /// Keeps a warning, or counts it.
    pub fn warn(&mut self, what: String) {
        if self.warnings.len() < MAX_PROBLEMS {
            self.warnings.push(what);
        } else {
            self.more_warnings += 1;
        }
    }
}
