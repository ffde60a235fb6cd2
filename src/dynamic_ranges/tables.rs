//! The tables of dynamic ranges.

use super::{
    edit::{ProvidedEntry, ProviderEdit},
    provider::RangeProvider,
};
use crate::{
    ledger::{Feature, FeatureBatch, FeatureNotice, FeatureTable},
    model::Subject,
    store::schema::FeatureFamily,
};

/// The feature of dynamic ranges.
#[derive(Debug)]
pub(super) enum DynamicRanges {}

impl Feature for DynamicRanges {
    const FAMILY: FeatureFamily = FeatureFamily::DynamicRanges;
    type Notice = FeatureNotice;
}

/// The rows and changes of one decision about dynamic ranges.
pub(super) type RangeBatch<'a> = FeatureBatch<'a, DynamicRanges>;

/// A table of dynamic ranges.
type RangeTable<K, V> = FeatureTable<DynamicRanges, K, V>;

/// Providers, by number.
pub(super) const PROVIDERS: &RangeTable<u64, RangeProvider> = &RangeTable::new(b'p');
/// The numbers of providers, by the hash of their secret.
pub(super) const SECRETS: &RangeTable<[u8; 32], u64> = &RangeTable::new(b's');
/// What providers have put into the store, by subject.
pub(super) const ENTRIES: &RangeTable<Subject, ProvidedEntry> = &RangeTable::new(b'e');
/// The edits of each provider, by their number.
pub(super) const EDITS: &RangeTable<(u64, u64), ProviderEdit> = &RangeTable::new(b'h');
/// The last number of a provider.
pub(super) const LAST_NUMBER: &RangeTable<(), u64> = &RangeTable::new(b'n');
