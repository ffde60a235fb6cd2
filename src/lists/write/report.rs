//! What an export leaves out of a zone, or writes in another form: counts by kind, each with its
//! first subjects.

use std::{cell::RefCell, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// How many subjects a kind names; all are counted.
pub const MAX_EXAMPLES: usize = 3;

/// What an export leaves out or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum ExportChangeKind {
    /// Left out: no client can ask for it in this zone.
    NameTooLong,
    /// Left out of `rpz`: it may not fit under the resolver's name of the policy zone.
    NameTooLongForPolicyZone,
    /// Left out of `rpz`: its last label starts with `rpz-`, which means something else there.
    ReservedName,
    /// An exclusion that is left out of `rpz` because it is too long; the policy of the wildcard
    /// above it applies.
    ExclusionTooLong,
    /// Left out of `list` and `cidr`: a wildcard with exclusions below it, which these formats do
    /// not have.
    WildcardWithExclusions,
    /// Reasons of a subject whose texts are left out: the format has one text for a subject.
    FurtherReasons,
    /// Reasons of a subject that have one code, so that the file does not tell them apart.
    ReasonsWithOneCode,
    /// Texts with `?` in place of bytes that are not printable ASCII.
    TextReplaced,
    /// Texts cut to the 255 bytes of a TXT string.
    TextCut,
    /// Texts without the blanks at their start or end, which `rbldnsd` does not keep.
    TextTrimmed,
    /// Addresses and prefixes that are written as a part of a wider prefix.
    Merged,
    /// Prefixes that are written in parts.
    Split,
}

impl ExportChangeKind {
    /// A description of the kind, in one line.
    pub fn description(self) -> &'static str {
        match self {
            ExportChangeKind::NameTooLong => {
                "left out: name and zone together are longer than a DNS name can be (253 characters)"
            }
            ExportChangeKind::NameTooLongForPolicyZone => {
                "left out: name and policy zone together may be longer than a DNS name can be (255 bytes, of which 60 are reserved for \
                 the policy zone)"
            }
            ExportChangeKind::ReservedName => {
                "left out: in a policy zone, names whose last label starts with `rpz-` are not host names"
            }
            ExportChangeKind::ExclusionTooLong => {
                "exclusion left out: it is too long for a policy zone, so the wildcard above applies to it"
            }
            ExportChangeKind::WildcardWithExclusions => {
                "left out: a wildcard with exclusions below it, which the format cannot express"
            }
            ExportChangeKind::FurtherReasons => {
                "several reasons: the format has one text, so only the first reason's is written"
            }
            ExportChangeKind::ReasonsWithOneCode => {
                "several reasons with the same code: the file does not tell them apart"
            }
            ExportChangeKind::TextReplaced => {
                "text changed: `?` replaces each byte that is not printable ASCII"
            }
            ExportChangeKind::TextCut => {
                "text changed: it is cut to 255 bytes, the length of a TXT string"
            }
            ExportChangeKind::TextTrimmed => {
                "text changed: the format does not keep blanks at the start or the end"
            }
            ExportChangeKind::Merged => "written as a part of a wider prefix",
            ExportChangeKind::Split => {
                "written in parts, because of what is listed or excluded inside"
            }
        }
    }
}

/// One kind of change, with the subjects that it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportChange {
    /// What happened.
    pub kind: ExportChangeKind,
    /// How many subjects it concerns; of texts, how many records or lines have them.
    pub count: u64,
    /// The first of them, at most [`MAX_EXAMPLES`].
    pub first: Vec<String>,
}

impl fmt::Display for ExportChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.first.len() as u64 {
            ", …"
        } else {
            ""
        };
        write!(
            f,
            "{} {}: {}{more}",
            self.count,
            self.kind.description(),
            self.first.join(", ")
        )
    }
}

/// What an export left out or changed. Empty if the file has everything as the zone lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExportReport {
    /// By kind; kinds that leave something out come first.
    pub changes: Vec<ExportChange>,
}

impl ExportReport {
    /// Whether the file has everything as the zone lists it.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Collects a report while an export is written.
#[derive(Debug, Default)]
pub(super) struct ReportBuilder(RefCell<BTreeMap<ExportChangeKind, (u64, Vec<String>)>>);

impl ReportBuilder {
    /// Counts a subject. It is formatted only if it is one of the first.
    pub(super) fn add(&self, kind: ExportChangeKind, subject: impl fmt::Display) {
        let mut all = self.0.borrow_mut();
        let (count, first) = all.entry(kind).or_default();
        *count += 1;
        if first.len() < MAX_EXAMPLES {
            first.push(subject.to_string());
        }
    }

    /// Counts the changes of a text, which belongs to a subject.
    pub(super) fn add_text(
        &self,
        change: super::text_change::TextChange,
        subject: impl fmt::Display,
    ) {
        if change.replaced {
            self.add(ExportChangeKind::TextReplaced, &subject);
        }
        if change.cut {
            self.add(ExportChangeKind::TextCut, &subject);
        }
        if change.trimmed {
            self.add(ExportChangeKind::TextTrimmed, &subject);
        }
    }

    /// Moves the changes of a kind from another report into this one.
    pub(super) fn take(&self, other: &ReportBuilder, kind: ExportChangeKind) {
        if let Some(found) = other.0.borrow_mut().remove(&kind) {
            self.0.borrow_mut().insert(kind, found);
        }
    }

    pub(super) fn finish(self) -> ExportReport {
        let changes = self.0.into_inner().into_iter();
        ExportReport {
            changes: changes
                .map(|(kind, (count, first))| ExportChange { kind, count, first })
                .collect(),
        }
    }
}
