//! Types that several resources share: times, pages, receipts, and the differences of imports.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type},
    },
};

use crate::{
    ledger::{Receipt, Renewal},
    model::Time,
    store::stage::ImportDifference,
};

/// A point in time, written as RFC 3339 in UTC to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub Time);

impl From<Time> for Timestamp {
    fn from(time: Time) -> Timestamp {
        Timestamp(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        crate::model::time::text(from).map(Timestamp)
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A time as RFC 3339 in UTC."))
            .examples(["2026-12-31T00:00:00Z"])
            .build()
            .into()
    }
}

impl ToSchema for Timestamp {}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The value of `after` for the next page; null on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A list that fits on one page.
    pub fn all(items: impl IntoIterator<Item = T>) -> Page<T> {
        let items = items.into_iter().collect();
        Page { items, next: None }
    }
}

/// The receipt of a write. It is sent after the change is durable and visible in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptResponse {
    /// The number of the commit.
    pub commit: u64,
    /// The new serials, by zone.
    pub serials: BTreeMap<String, u32>,
    /// The revision of the subject after the write, for `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The old and the new end of a listing that was renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<RenewalResponse>,
}

impl From<Receipt> for ReceiptResponse {
    fn from(r: Receipt) -> ReceiptResponse {
        ReceiptResponse {
            commit: r.commit,
            serials: r.serials.into_iter().map(|(o, s)| (o, s.0)).collect(),
            revision: r.revision.map(|n| format!("{n:016x}")),
            renewed: r.renewal.map(Into::into),
        }
    }
}

/// The old and the new end of a listing that was renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenewalResponse {
    /// When the listing would have expired; null: never.
    pub previous_until: Option<Timestamp>,
    /// When the listing expires now; null: never.
    pub until: Option<Timestamp>,
}

impl From<Renewal> for RenewalResponse {
    fn from(r: Renewal) -> RenewalResponse {
        RenewalResponse {
            previous_until: r.was.map(Into::into),
            until: r.until.map(Into::into),
        }
    }
}

/// What changes by an import, or by the undo of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DifferenceResponse {
    /// The number of subjects that the source did not have.
    pub added: u64,
    /// The number of subjects whose reasons or texts change.
    pub changed: u64,
    /// The number of subjects that the source no longer has.
    pub removed: u64,
    /// The number of subjects that stay as they are.
    pub same: u64,
    /// How many of the added subjects are exclusions.
    pub excluded_added: u64,
    /// How many of the removed subjects are exclusions.
    pub excluded_removed: u64,
    /// How many of the unchanged subjects are exclusions.
    pub excluded_same: u64,
    /// The number of subjects that are listed and stay unpublished because a removal was granted.
    pub held: u64,
    /// The first of the added subjects.
    pub sample_added: Vec<String>,
    /// The first of the removed subjects.
    pub sample_removed: Vec<String>,
    /// The first of the held subjects.
    pub sample_held: Vec<String>,
}

impl From<ImportDifference> for DifferenceResponse {
    fn from(d: ImportDifference) -> DifferenceResponse {
        DifferenceResponse {
            added: d.added,
            changed: d.changed,
            removed: d.removed,
            same: d.same,
            excluded_added: d.excluded_added,
            excluded_removed: d.excluded_removed,
            excluded_same: d.excluded_same,
            held: d.held,
            sample_added: d.sample_added,
            sample_removed: d.sample_removed,
            sample_held: d.sample_held,
        }
    }
}
