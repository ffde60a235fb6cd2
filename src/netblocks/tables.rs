//! The tables of netblocks.

use super::entry::Netblock;
use crate::{
    ledger::{Feature, FeatureBatch, FeatureNotice, FeatureTable},
    model::Subject,
    store::schema::FeatureFamily,
};

/// The feature of netblocks.
#[derive(Debug)]
pub enum Netblocks {}

impl Feature for Netblocks {
    const FAMILY: FeatureFamily = FeatureFamily::Netblocks;
    type Notice = FeatureNotice;
}

/// The rows and changes of one decision about netblocks.
pub(super) type NetblockBatch<'a> = FeatureBatch<'a, Netblocks>;

/// Entries, by prefix. An entry replaces an earlier one of the same prefix, and has its history.
pub(super) const ENTRIES: &FeatureTable<Netblocks, Subject, Netblock> = &FeatureTable::new(b'e');
