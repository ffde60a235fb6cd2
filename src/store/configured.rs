//! The names of the last accepted configuration. With them the ledger detects a name that was
//! removed from the files and still has listings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Batch, Result, Store, schema};
use crate::model::ReasonId;

/// The key of the row in the family `meta`.
const KEY: &[u8] = b"configured";

/// The configured names; reasons by their numbers in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredNames {
    /// The reasons.
    pub reasons: BTreeSet<ReasonId>,
    /// The sources that a `[[feed]]` refreshes.
    pub feeds: BTreeSet<String>,
    /// The zones by origin.
    pub zones: BTreeMap<String, ConfiguredZone>,
}

/// The reasons that a configured zone published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredZone {
    /// Whether it is a zone of names and not of addresses.
    pub names: bool,
    /// Its reasons.
    pub reasons: BTreeSet<ReasonId>,
}

impl ConfiguredNames {
    /// Adds the names of `other`. A name that was removed from the files stays until a
    /// configuration without it is accepted.
    pub fn merge(&mut self, other: ConfiguredNames) {
        self.reasons.extend(other.reasons);
        self.feeds.extend(other.feeds);
        for (origin, zone) in other.zones {
            self.zones
                .entry(origin)
                .or_insert_with(|| ConfiguredZone {
                    names: zone.names,
                    ..Default::default()
                })
                .reasons
                .extend(zone.reasons);
        }
    }

    /// Adds the row to a batch.
    pub fn row(&self, batch: &mut Batch) {
        batch.put(schema::META, KEY.to_vec(), schema::encode(self));
    }
}

impl Store {
    /// The names of the last accepted configuration; `None` if an older version wrote the store.
    ///
    /// # Errors
    ///
    /// The row cannot be read.
    pub fn configured(&self) -> Result<Option<ConfiguredNames>> {
        self.read(schema::META, KEY, "the names of the last configuration")
    }
}
