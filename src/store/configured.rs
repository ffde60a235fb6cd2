//! The names of the last accepted configuration. With them the ledger detects a name that was
//! removed from the files and still has listings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Batch, Result, Store, schema};
use crate::model::{Mask, ReasonId};

/// The key of the row in the family `meta`.
const KEY: &[u8] = b"configured";
/// The key of the row with the origins of the domain zones that publish addresses.
const ADDRESSES_KEY: &[u8] = b"configured-addresses";

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
    /// Whether it is a zone of names.
    pub names: bool,
    /// Whether it is a zone of names that publishes addresses too. Stored in a row of its own,
    /// because earlier versions of this program have none.
    #[serde(skip)]
    pub addresses: bool,
    /// Its reasons.
    pub reasons: BTreeSet<ReasonId>,
}

impl ConfiguredZone {
    /// The reasons of the addresses that it published, and those of the names.
    pub fn masks(&self) -> [Mask; 2] {
        let mask = self.reasons.iter().fold(0, |m, r| m | r.bit());
        let of = |is_published: bool| if is_published { mask } else { 0 };
        [of(!self.names || self.addresses), of(self.names)]
    }
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
                    addresses: zone.addresses,
                    ..Default::default()
                })
                .reasons
                .extend(zone.reasons);
        }
    }

    /// Adds the row to a batch.
    pub fn row(&self, batch: &mut Batch) {
        batch.put(schema::META, KEY.to_vec(), schema::encode(self));
        let with_addresses = self.zones.iter().filter(|(_, zone)| zone.addresses);
        let origins: BTreeSet<&String> = with_addresses.map(|(origin, _)| origin).collect();
        let row = schema::encode(&origins);
        batch.put(schema::META, ADDRESSES_KEY.to_vec(), row);
    }
}

/// The key of the row with the zones for which all stored names were turned into addresses.
const TURNED_KEY: &[u8] = b"configured-turned";

/// The domain zones with addresses: origin, whether they have IPv6 addresses, and the numbers of
/// their reasons.
pub type TurnedZones = BTreeMap<String, (bool, BTreeSet<ReasonId>)>;

/// Adds the row with the zones for which all stored names were turned into addresses; `None` if
/// some names could not be turned.
pub fn put_turned_zones(batch: &mut Batch, zones: Option<&TurnedZones>) {
    batch.put(schema::META, TURNED_KEY.to_vec(), schema::encode(&zones));
}

impl Store {
    /// The zones for which all stored names were turned into addresses, at the last turn.
    ///
    /// # Errors
    ///
    /// The row cannot be read.
    pub fn turned_zones(&self) -> Result<Option<TurnedZones>> {
        let what = "the zones with addresses";
        let row: Option<Option<TurnedZones>> = self.read(schema::META, TURNED_KEY, what)?;
        Ok(row.flatten())
    }

    /// The names of the last accepted configuration; `None` if an older version wrote the store.
    ///
    /// # Errors
    ///
    /// The row cannot be read.
    pub fn configured(&self) -> Result<Option<ConfiguredNames>> {
        let what = "the names of the last configuration";
        let names: Option<ConfiguredNames> = self.read(schema::META, KEY, what)?;
        let Some(mut names) = names else {
            return Ok(None);
        };
        let origins: Option<BTreeSet<String>> = self.read(schema::META, ADDRESSES_KEY, what)?;
        for (origin, zone) in &mut names.zones {
            zone.addresses = origins.as_ref().is_some_and(|o| o.contains(origin));
        }
        Ok(Some(names))
    }
}
