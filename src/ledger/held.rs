//! Lists of feeds that a guard stopped: kept until a person decides, the feed brings another list,
//! or the wait is over; and the events about feeds that webhooks are told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{error::LedgerError, guard::GuardTrip};
use crate::{
    model::Time,
    store::{Encoded, StoreError, schema},
};

/// The keys of held lists in the family `people`, before the feed's name.
pub(super) const HELD: &str = "held/";

/// What tells one content of a file from another: device, inode, size, and when it was changed
/// (seconds, nanoseconds).
pub type FileMark = (u64, u64, u64, i64, i64);

/// A feed's list that a guard stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldList {
    /// The feed's name.
    pub feed: String,
    /// The file that holds the list.
    pub mark: FileMark,
    /// When the first of the lists came that are within a tenth of each other.
    pub since: Time,
    /// How many entries that first list would have made.
    pub entries: u64,
    /// How many lists came since that are within a tenth of it.
    pub refreshes: u32,
    /// A person refused it: nothing happens until the file changes.
    pub refused: bool,
    /// What the guard found.
    pub trip: GuardTrip,
}

/// An event about a feed that webhooks are told.
#[derive(Debug, Clone)]
pub struct FeedEvent {
    /// The event's name.
    pub event: &'static str,
    /// Its fields.
    pub fields: serde_json::Map<String, Value>,
    /// The held list that it is about, which is kept in the same batch.
    pub held: Option<HeldList>,
}

pub(super) fn held_key(feed: &str) -> Vec<u8> {
    format!("{HELD}{feed}").into_bytes()
}

/// A held list as a row: JSON, so that fields can be added.
pub(super) fn held_row(held: &HeldList) -> Result<Encoded, LedgerError> {
    let text = serde_json::to_string(held)
        .map_err(|e| LedgerError::Invalid(format!("the held list cannot be stored: {e}")))?;
    Ok(schema::encode(&text))
}

/// Reads such a row.
pub(super) fn read_held(row: &[u8]) -> Result<HeldList, StoreError> {
    let text = schema::decode::<String>(row).unwrap_or_default();
    serde_json::from_str(&text)
        .map_err(|e| StoreError::Damaged(format!("the list of a held feed: {e}")))
}
