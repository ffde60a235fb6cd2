//! The result of reading files: problems, what was left out, and warnings.

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// How many classes of problems are shown, and how many warnings; the rest is counted.
pub const MAX_PROBLEMS: usize = 20;
/// How many further lines of one class are named.
const MAX_LINES: usize = 10;
/// How many ranges are shown, and how many prefixes of one.
const MAX_RANGES: usize = 10;
/// How many columns are described that were not read.
const MAX_COLUMNS: usize = 8;

/// The first problem of a class, with its place, and how many there are of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in bytes, from 1; 0 where there are no lines.
    pub column: usize,
    /// What was found, what is wrong with it, and what was expected.
    pub what: String,
    /// How many problems of this class there are.
    #[serde(default = "one")]
    pub count: u64,
    /// The lines of further problems of the class.
    #[serde(default)]
    pub lines: Vec<u64>,
    /// What problems are grouped by.
    #[serde(skip)]
    class: String,
}

fn one() -> u64 {
    1
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.what
        )?;
        if self.count > 1 {
            let lines: Vec<String> = self.lines.iter().map(ToString::to_string).collect();
            let more = if self.count as usize > self.lines.len() + 1 {
                ", …"
            } else {
                ""
            };
            let what = if self.count == 2 { "line" } else { "lines" };
            write!(
                f,
                " ({} more of this kind: {what} {}{more})",
                self.count - 1,
                lines.join(", ")
            )?;
        }
        Ok(())
    }
}

/// What a rule leaves out of a list. It is not an error, and does not count against the error
/// allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum Omission {
    /// A special-purpose address range or name.
    SpecialRange,
    /// A prefix that holds 127.0.0.1.
    Loopback,
    /// Wider than a list may be.
    TooWide,
    /// A test point, which every zone has by itself.
    TestPoint,
    /// A name at or above a public suffix.
    PublicSuffix,
    /// A record that lists nothing.
    OtherRecord,
    /// An exception rule, or a rule that allows.
    ExceptionRule,
    /// A rule with options, which applies to some requests alone.
    RuleWithOptions,
    /// A rule about parts of pages, paths or patterns.
    PageRule,
    /// Another line of a file that was recognised.
    OtherLine,
    /// A host's own name in a hosts file.
    LocalName,
    /// An AS number.
    AsNumber,
    /// An entry that is not active yet, or for clients with a key alone.
    Inactive,
}

impl Omission {
    /// A description for people, which follows the count.
    pub fn describe(self) -> &'static str {
        match self {
            Omission::SpecialRange => {
                "in special-purpose ranges (--allow-special-ranges takes them)"
            }
            Omission::Loopback => "prefixes that hold 127.0.0.1, which is never listed",
            Omission::TooWide => "wider than /8 (IPv6 /19)",
            Omission::TestPoint => "test points, which every zone has by itself",
            Omission::PublicSuffix => {
                "names at or above a public suffix (--allow-suffix NAME takes one)"
            }
            Omission::OtherRecord => "records that list nothing",
            Omission::ExceptionRule => "exceptions and rules that allow",
            Omission::RuleWithOptions => "rules with options",
            Omission::PageRule => "rules about pages, paths or patterns",
            Omission::OtherLine => "other lines of the format",
            Omission::LocalName => "names of the machine itself",
            Omission::AsNumber => "AS numbers",
            Omission::Inactive => "entries that are not active for everybody",
        }
    }
}

/// What was accepted, although it may not be what its author meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum Remark {
    /// The port after an address was not read.
    Port,
    /// The whole of a private suffix such as `*.github.io` is listed.
    PrivateSuffix,
    /// A text was cut to what a TXT string holds.
    CutText,
    /// Bytes of a text that are not printable ASCII were replaced.
    ReplacedText,
    /// Byte order marks or other invisible characters were removed.
    InvisibleCharacter,
}

impl Remark {
    /// A description for people, which follows the count.
    pub fn describe(self) -> &'static str {
        match self {
            Remark::Port => "addresses had a port, which was not read",
            Remark::PrivateSuffix => "entries list everything below a private suffix",
            Remark::CutText => "texts were cut to the 255 bytes that an answer can hold",
            Remark::ReplacedText => {
                "texts had bytes that are not printable ASCII; each was replaced by `?`"
            }
            Remark::InvisibleCharacter => {
                "lines had byte order marks or invisible characters, which were removed"
            }
        }
    }
}

/// How often something was seen, and its first place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct Tally<K> {
    /// What.
    pub kind: K,
    /// How often.
    pub count: u64,
    /// The first: `file:line:column: what was found`.
    pub first: String,
}

/// A column that was not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct UnreadColumn {
    /// Its number, from 1.
    pub column: usize,
    /// The smallest and the largest number in it, where all are numbers.
    #[cfg_attr(feature = "daemon", schema(value_type = Option<Vec<i64>>))]
    pub numbers: Option<(i64, i64)>,
    /// The first value in it.
    pub first: String,
}

impl std::fmt::Display for UnreadColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.numbers {
            Some((least, most)) => write!(
                f,
                "column {} (numbers {least} to {most}) was not read",
                self.column
            ),
            None => write!(
                f,
                "column {} (such as `{}`) was not read",
                self.column, self.first
            ),
        }
    }
}

/// The shape of one list, which the next list of the same source is compared with.
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
    /// Whether the list ended with a record about itself, such as the last line of Spamhaus DROP.
    pub final_record: bool,
}

/// Entries of a list that no zone publishes for their reasons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct Unpublished {
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
    /// Lines read.
    pub lines: u64,
    /// Entries taken.
    pub taken: u64,
    /// Rows of another server that came through this server, or through too many.
    pub looped: u64,
    /// What rules left out.
    pub left_out: Vec<Tally<Omission>>,
    /// What was accepted and may surprise.
    pub remarks: Vec<Tally<Remark>>,
    /// Columns of plain lists that were not read.
    pub unread_columns: Vec<UnreadColumn>,
    /// The first ranges as they are written, with their prefixes.
    pub ranges: Vec<String>,
    /// Errors.
    pub errors: u64,
    /// The first problem of each class.
    pub problems: Vec<Problem>,
    /// The first warnings.
    pub warnings: Vec<String>,
    /// How many warnings more there were.
    pub more_warnings: u64,
    /// When the list ends, if the file has an end.
    #[serde(with = "crate::model::time::rfc3339")]
    #[cfg_attr(feature = "daemon", schema(value_type = Option<String>, format = DateTime))]
    pub expires: Option<Time>,
    /// The shape of the list.
    pub shape: Shape,
    /// Entries that no zone publishes.
    pub unpublished: Unpublished,
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

    /// Records a problem. Those of one class are shown as one; if `class` is empty, the class is
    /// the text without what is in backticks and without numbers.
    pub fn problem(&mut self, file: &str, line: u64, column: usize, class: &str, what: &str) {
        self.errors += 1;
        let class = if class.is_empty() {
            class_of(what)
        } else {
            class.into()
        };
        if let Some(p) = self
            .problems
            .iter_mut()
            .find(|p| p.class == class && p.file == file)
        {
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

    /// Counts something that a rule leaves out. `first` is only called for the first of its kind.
    pub fn leave_out(&mut self, kind: Omission, first: impl FnOnce() -> String) {
        tally(&mut self.left_out, kind, first);
    }

    /// Counts something that was accepted and may surprise.
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
            c.numbers = c
                .numbers
                .zip(number)
                .map(|((least, most), n)| (least.min(n), most.max(n)));
        } else if self.unread_columns.len() < MAX_COLUMNS {
            let first = value.chars().take(40).collect();
            self.unread_columns.push(UnreadColumn {
                column,
                numbers: number.map(|n| (n, n)),
                first,
            });
        }
    }

    /// What was left out and what may surprise, one line each, for people.
    pub fn notes(&self) -> Vec<String> {
        let left = self.left_out.iter().map(|t| {
            format!(
                "left out: {} {}; the first: {}",
                t.count,
                t.kind.describe(),
                t.first
            )
        });
        let remarks = self.remarks.iter().map(|t| {
            format!(
                "note: {} {}; the first: {}",
                t.count,
                t.kind.describe(),
                t.first
            )
        });
        let columns = self.unread_columns.iter().map(|c| format!("note: {c}"));
        let Unpublished {
            addresses,
            names,
            digests,
        } = self.unpublished;
        let unpublished = [
            (addresses, "addresses"),
            (names, "names"),
            (digests, "digests"),
        ]
        .into_iter()
        .filter(|u| u.0 > 0);
        let unpublished = unpublished.map(|(n, what)| {
            format!(
                "note: {n} {what} are listed and not published: no zone of the reason has {what}"
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

/// A problem's text without what differs between problems of one class.
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
    fn problems_of_one_class_are_one_with_a_count_and_lines() {
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
