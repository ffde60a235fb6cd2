//! The report of an export: what it leaves out or changes, counted by kind, with the first
//! subjects.

use std::{cell::RefCell, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::text_change::TextChange;

/// The most subjects of a kind that are named; all are counted.
pub const MAX_EXAMPLES: usize = 3;

/// A kind of change in an export.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum ExportChangeKind {
    /// Left out: the name is too long to be queried in this zone.
    #[strum(
        serialize = "left out: name and zone together are longer than a DNS name can be (253 characters)"
    )]
    NameTooLong,
    /// Left out of `rpz`: the name may be too long below the resolver's name of the policy zone.
    #[strum(
        serialize = "left out: name and policy zone together may be longer than a DNS name can be (255 bytes, of which 60 are reserved for the policy zone)"
    )]
    NameTooLongForPolicyZone,
    /// Left out of `rpz`: the last label starts with `rpz-`, so the name would be another trigger.
    #[strum(
        serialize = "left out: in a policy zone, names whose last label starts with `rpz-` are not host names"
    )]
    ReservedName,
    /// An exclusion that is left out of `rpz` because it is too long; the policy of the wildcard
    /// above it applies.
    #[strum(
        serialize = "exclusion left out: it is too long for a policy zone, so the wildcard above applies to it"
    )]
    ExclusionTooLong,
    /// Left out of `list` and `cidr`: a wildcard with exclusions below it, because these formats
    /// have no exclusions.
    #[strum(
        serialize = "left out: a wildcard with exclusions below it, which the format cannot express"
    )]
    WildcardWithExclusions,
    /// Texts of further reasons are left out, because the format has one text for a subject.
    #[strum(
        serialize = "several reasons: the format has one text, so only the first reason's is written"
    )]
    FurtherReasons,
    /// Several reasons of a subject have the same code, so that the file does not distinguish them.
    #[strum(serialize = "several reasons with the same code: the file does not distinguish them")]
    ReasonsWithOneCode,
    /// A data set of `rbldnsd` has one TTL, so this entry has a shorter one than in the zone.
    #[strum(serialize = "TTL shortened: the format has one TTL, the least of the zone's reasons")]
    ShorterTtl,
    /// `?` replaces bytes of a text that are not printable ASCII.
    #[strum(serialize = "text changed: `?` replaces each byte that is not printable ASCII")]
    TextReplaced,
    /// A text was truncated to the 255 bytes of a TXT string.
    #[strum(serialize = "text changed: it is truncated to 255 bytes, the length of a TXT string")]
    TextCut,
    /// Blanks at the start or end of a text are lost, because `rbldnsd` does not keep them.
    #[strum(serialize = "text changed: the format does not keep blanks at the start or the end")]
    TextTrimmed,
    /// An address or prefix is written as a part of a wider prefix.
    #[strum(serialize = "written as a part of a wider prefix")]
    Merged,
    /// A prefix is written in parts.
    #[strum(serialize = "written in parts, because of what is listed or excluded inside")]
    Split,
}

impl ExportChangeKind {
    /// A description of the kind, in one line.
    pub fn description(self) -> &'static str {
        self.into()
    }
}

/// One kind of change, with the subjects that it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportChange {
    /// The kind.
    pub kind: ExportChangeKind,
    /// The number of subjects; for texts, the number of records or lines.
    pub count: u64,
    /// The first subjects, at most [`MAX_EXAMPLES`].
    pub first: Vec<String>,
}

impl fmt::Display for ExportChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.first.len() as u64 {
            ", …"
        } else {
            ""
        };
        let (kind, first) = (self.kind.description(), self.first.join(", "));
        write!(f, "{} {kind}: {first}{more}", self.count)
    }
}

/// What an export left out or changed. Empty if the file lists exactly what the zone lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExportReport {
    /// The changes by kind; kinds that leave subjects out come first.
    pub changes: Vec<ExportChange>,
}

impl ExportReport {
    /// Whether the file lists exactly what the zone lists.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Collects a report while an export is written.
#[derive(Debug, Default)]
pub(super) struct ReportBuilder(RefCell<BTreeMap<ExportChangeKind, (u64, Vec<String>)>>);

impl ReportBuilder {
    /// Counts a subject, and formats it if it is one of the first.
    pub(super) fn add(&self, kind: ExportChangeKind, subject: impl fmt::Display) {
        let mut all = self.0.borrow_mut();
        let (count, first) = all.entry(kind).or_default();
        *count += 1;
        if first.len() < MAX_EXAMPLES {
            first.push(subject.to_string());
        }
    }

    /// Counts the changes of a subject's text.
    pub(super) fn add_text(&self, change: TextChange, subject: impl fmt::Display) {
        for (changed, kind) in [
            (change.replaced, ExportChangeKind::TextReplaced),
            (change.cut, ExportChangeKind::TextCut),
            (change.trimmed, ExportChangeKind::TextTrimmed),
        ] {
            if changed {
                self.add(kind, &subject);
            }
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
