//! The report of reading files: problems, omissions, remarks and warnings.

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// The most classes of problems, and the most warnings, that are shown; others are counted.
pub const MAX_PROBLEMS: usize = 20;
/// The most further lines of one class that are named.
const MAX_LINES: usize = 10;
/// The most ranges that are shown, and the most prefixes of each.
const MAX_RANGES: usize = 10;
/// The most unread columns that are described.
const MAX_COLUMNS: usize = 8;

/// The first problem of a class, its position, and the number of problems of the class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in bytes, from 1; 0 if the input has no lines.
    pub column: usize,
    /// The text that was found, what is wrong with it, and what was expected.
    pub what: String,
    /// The number of problems of this class.
    #[serde(default = "one")]
    pub count: u64,
    /// The lines of further problems of the class.
    #[serde(default)]
    pub lines: Vec<u64>,
    /// The class, by which problems are grouped.
    #[serde(skip)]
    class: String,
}

fn one() -> u64 {
    1
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem {
            file,
            line,
            column,
            what,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {what}")?;
        let further = self.count.saturating_sub(1);
        if further == 0 {
            return Ok(());
        }
        let lines: Vec<String> = self.lines.iter().map(ToString::to_string).collect();
        let more = if further > lines.len() as u64 {
            ", …"
        } else {
            ""
        };
        let word = if further == 1 { "line" } else { "lines" };
        write!(
            f,
            " ({further} more of this kind: {word} {}{more})",
            lines.join(", ")
        )
    }
}

/// Why an entry, line or rule was left out. This is not an error and does not count against the
/// error allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum Omission {
    /// A special-purpose address range or name.
    #[strum(serialize = "in special-purpose ranges (--allow-special-ranges accepts them)")]
    SpecialRange,
    /// A prefix that contains 127.0.0.1.
    #[strum(serialize = "prefixes that contain 127.0.0.1, which is never listed")]
    Loopback,
    /// A prefix that is too wide to be listed.
    #[strum(serialize = "wider than /8 (IPv6 /19)")]
    TooWide,
    /// A test point, which is built into every zone.
    #[strum(serialize = "test points, which are built into every zone")]
    TestPoint,
    /// A name at or above a public suffix.
    #[strum(serialize = "names at or above a public suffix (--allow-suffix NAME accepts one)")]
    PublicSuffix,
    /// A record that does not list its owner.
    #[strum(serialize = "records that do not list their owner")]
    OtherRecord,
    /// An exception rule, or a rule that allows.
    #[strum(serialize = "exceptions and rules that allow")]
    ExceptionRule,
    /// A rule with options, which applies only to some requests.
    #[strum(serialize = "rules with options")]
    RuleWithOptions,
    /// A rule for parts of pages, paths or patterns.
    #[strum(serialize = "rules for pages, paths or patterns")]
    PageRule,
    /// Another line of a recognised format.
    #[strum(serialize = "other lines of the format")]
    OtherLine,
    /// A name of the machine itself in a hosts file.
    #[strum(serialize = "names of the machine itself")]
    LocalName,
    /// An AS number.
    #[strum(serialize = "AS numbers")]
    AsNumber,
    /// An entry that is not active yet, or only for clients with a key.
    #[strum(serialize = "entries that are not active for all clients")]
    Inactive,
}

impl Omission {
    /// A description, which follows the count.
    pub fn describe(self) -> &'static str {
        self.into()
    }
}

/// A remark about an accepted entry that may not be as its author intended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum Remark {
    /// The port after an address was ignored.
    #[strum(serialize = "addresses had a port, which was ignored")]
    Port,
    /// All names below a private suffix, such as `*.github.io`, are listed.
    #[strum(serialize = "entries list all names below a private suffix")]
    PrivateSuffix,
    /// A text was truncated to the length of a TXT string.
    #[strum(serialize = "texts were truncated to the 255 bytes of a TXT string")]
    CutText,
    /// Bytes of a text that are not printable ASCII were replaced.
    #[strum(serialize = "texts had bytes that are not printable ASCII; each was replaced by `?`")]
    ReplacedText,
    /// Byte order marks or other invisible characters were removed.
    #[strum(serialize = "lines had byte order marks or invisible characters, which were removed")]
    InvisibleCharacter,
}

impl Remark {
    /// A description, which follows the count.
    pub fn describe(self) -> &'static str {
        self.into()
    }
}

/// The number of omissions or remarks of one kind, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct Tally<K> {
    /// The kind.
    pub kind: K,
    /// The number.
    pub count: u64,
    /// The position and the text of the first: `file:line:column: text`.
    pub first: String,
}

/// A column that was not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct UnreadColumn {
    /// Its number, from 1.
    pub column: usize,
    /// The smallest and the largest number in it, if all values are numbers.
    #[cfg_attr(feature = "daemon", schema(value_type = Option<Vec<i64>>))]
    pub numbers: Option<(i64, i64)>,
    /// The first value in it.
    pub first: String,
}

impl std::fmt::Display for UnreadColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let column = self.column;
        match self.numbers {
            Some((least, most)) => {
                write!(
                    f,
                    "column {column} (numbers {least} to {most}) was not read"
                )
            }
            None => write!(f, "column {column} (such as `{}`) was not read", self.first),
        }
    }
}

/// The shape of one list. The next list of the same source is compared with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct Shape {
    /// Entries that list IPv4 addresses.
    pub ipv4: u64,
    /// Entries that list IPv6 addresses.
    pub ipv6: u64,
    /// Entries that list names.
    pub names: u64,
    /// Entries that list digests.
    pub digests: u64,
    /// Entries that exclude something from a wider listing, as the file writes them.
    pub exclusions: u64,
    /// Whether the list ended with a record that describes it, such as the last line of Spamhaus
    /// DROP.
    pub final_record: bool,
}

/// Entries of a list that no zone publishes for their reasons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct UnpublishedCounts {
    /// Addresses and prefixes.
    pub addresses: u64,
    /// Names.
    pub names: u64,
    /// Digests.
    pub digests: u64,
}

/// The result of reading files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct ListReport {
    /// The number of lines that were read.
    pub lines: u64,
    /// The number of entries that were accepted.
    #[serde(rename = "taken")]
    pub accepted: u64,
    /// The number of rows of another server that came through this server, or through too many.
    pub looped: u64,
    /// The entries, lines and rules that were left out, by kind.
    pub left_out: Vec<Tally<Omission>>,
    /// Remarks about accepted entries, by kind.
    pub remarks: Vec<Tally<Remark>>,
    /// Columns of plain lists that were not read.
    pub unread_columns: Vec<UnreadColumn>,
    /// The first ranges as they are written, with their prefixes.
    pub ranges: Vec<String>,
    /// The number of errors.
    pub errors: u64,
    /// The first problem of each class.
    pub problems: Vec<Problem>,
    /// The first warnings.
    pub warnings: Vec<String>,
    /// The number of further warnings.
    pub more_warnings: u64,
    /// When the list expires, if the file has an expiry time.
    #[serde(with = "crate::model::time::rfc3339")]
    #[cfg_attr(feature = "daemon", schema(value_type = Option<String>, format = DateTime))]
    pub expires: Option<Time>,
    /// The shape of the list.
    pub shape: Shape,
    /// Entries that no zone publishes.
    pub unpublished: UnpublishedCounts,
}

impl ListReport {
    /// Keeps a warning, or counts it.
    pub fn warn(&mut self, what: String) {
        if self.warnings.len() < MAX_PROBLEMS {
            self.warnings.push(what);
        } else {
            self.more_warnings += 1;
        }
    }

    /// Records a problem. Problems of one class are shown as one. If `class` is empty, the class is
    /// the text without numbers and without the parts in backticks.
    pub fn problem(&mut self, file: &str, line: u64, column: usize, class: &str, what: &str) {
        self.errors += 1;
        let class = if class.is_empty() {
            class_of(what)
        } else {
            class.into()
        };
        let same = self
            .problems
            .iter_mut()
            .find(|p| p.class == class && p.file == file);
        if let Some(p) = same {
            p.count += 1;
            if p.lines.len() < MAX_LINES {
                p.lines.push(line);
            }
        } else if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                file: file.into(),
                line,
                column,
                what: what.into(),
                count: 1,
                lines: Vec::new(),
                class,
            });
        }
    }

    /// Counts an omission. `first` is only called for the first of its kind.
    pub fn leave_out(&mut self, kind: Omission, first: impl FnOnce() -> String) {
        tally(&mut self.left_out, kind, first);
    }

    /// Counts a remark. `first` is only called for the first of its kind.
    pub fn remark(&mut self, kind: Remark, first: impl FnOnce() -> String) {
        tally(&mut self.remarks, kind, first);
    }

    /// Keeps one of the first ranges as it is written.
    pub fn range(&mut self, written: &str, prefixes: &[crate::model::Subject]) {
        if self.ranges.len() < MAX_RANGES {
            let shown: Vec<String> = prefixes
                .iter()
                .take(MAX_RANGES)
                .map(ToString::to_string)
                .collect();
            let more = if prefixes.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            self.ranges
                .push(format!("{written} is {}{more}", shown.join(", ")));
        }
    }

    /// Records that a column of a plain list was not read.
    pub fn unread_column(&mut self, column: usize, value: &str) {
        let number = value.parse::<i64>().ok();
        if let Some(c) = self.unread_columns.iter_mut().find(|c| c.column == column) {
            let numbers = c.numbers.zip(number);
            c.numbers = numbers.map(|((least, most), n)| (least.min(n), most.max(n)));
        } else if self.unread_columns.len() < MAX_COLUMNS {
            let numbers = number.map(|n| (n, n));
            let first = value.chars().take(40).collect();
            self.unread_columns.push(UnreadColumn {
                column,
                numbers,
                first,
            });
        }
    }

    /// Omissions, remarks and unread columns as text, one line each.
    pub fn notes(&self) -> Vec<String> {
        let tally =
            |label, count, kind, first| format!("{label}: {count} {kind}; the first: {first}");
        let left = self.left_out.iter();
        let left = left.map(|t| tally("left out", t.count, t.kind.describe(), &t.first));
        let remarks = self.remarks.iter();
        let remarks = remarks.map(|t| tally("note", t.count, t.kind.describe(), &t.first));
        let columns = self.unread_columns.iter().map(|c| format!("note: {c}"));
        let u = &self.unpublished;
        let counts = [
            (u.addresses, "addresses"),
            (u.names, "names"),
            (u.digests, "digests"),
        ];
        let unpublished = counts.into_iter().filter(|u| u.0 > 0).map(|(n, what)| {
            format!(
                "note: {n} {what} are listed but not published: no zone of the reason publishes them"
            )
        });
        left.chain(remarks)
            .chain(columns)
            .chain(unpublished)
            .collect()
    }
}

fn tally<K: PartialEq>(all: &mut Vec<Tally<K>>, kind: K, first: impl FnOnce() -> String) {
    match all.iter_mut().find(|t| t.kind == kind) {
        Some(t) => t.count += 1,
        None => all.push(Tally {
            kind,
            count: 1,
            first: first(),
        }),
    }
}

/// The text of a problem without the parts that differ between problems of one class.
fn class_of(what: &str) -> String {
    what.split('`')
        .step_by(2)
        .flat_map(str::chars)
        .filter(|c| !c.is_ascii_digit())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_one_class_are_grouped() {
        let mut r = ListReport::default();
        for line in [2, 3, 4, 6] {
            r.problem(
                "f",
                line,
                1,
                "a leading zero",
                &format!("`45.51.100.0{line}`: leading zero"),
            );
        }
        r.problem("f", 7, 1, "", "`127.0.0.4` is not a code");
        r.problem("f", 8, 1, "", "`127.0.0.5` is not a code");
        assert_eq!(r.errors, 6);
        let shown: Vec<String> = r.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown[0],
            "f:2:1: `45.51.100.02`: leading zero (3 more of this kind: lines 3, 4, 6)"
        );
        assert_eq!(
            shown[1],
            "f:7:1: `127.0.0.4` is not a code (1 more of this kind: line 8)"
        );
    }

    #[test]
    fn unread_columns_report_their_numbers() {
        let mut r = ListReport::default();
        for n in ["5", "1", "11"] {
            r.unread_column(2, n);
        }
        r.unread_column(3, "host.example");
        r.unread_column(3, "4");
        assert_eq!(
            r.notes(),
            [
                "note: column 2 (numbers 1 to 11) was not read",
                "note: column 3 (such as `host.example`) was not read"
            ]
        );
    }
}
