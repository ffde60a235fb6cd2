//! Held lists: lists of feeds that a guard stopped, kept until a person decides, the feed has
//! another list, or the waiting time is over. And the events about feeds, of which webhooks are
//! notified.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{error::LedgerError, guard::GuardTrip};
use crate::{
    model::Time,
    store::{EncodedRow, StoreError, schema},
};

/// The prefix of the keys of held lists in the family `people`; the feed's name follows.
pub(super) const HELD: &str = "held/";

/// Identifies one content of a file: device, inode, size, and modification time (seconds,
/// nanoseconds).
pub type FileMark = (u64, u64, u64, i64, i64);

/// A feed's list that a guard stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldList {
    /// The feed's name.
    pub feed: String,
    /// The file that has the list.
    pub mark: FileMark,
    /// The time of the first of the successive lists whose sizes are within a tenth of each other.
    pub since: Time,
    /// The entries that the source would have with that first list.
    pub entries: u64,
    /// The number of lists since then whose sizes are within a tenth of it.
    pub refreshes: u32,
    /// Whether a person refused it; then nothing happens until the file changes.
    pub refused: bool,
    /// The finding of the guard.
    pub trip: GuardTrip,
}

/// An event about a feed, of which webhooks are notified.
#[derive(Debug, Clone)]
pub struct FeedEvent {
    /// The name of the event.
    pub event: &'static str,
    /// The fields of the event.
    pub fields: serde_json::Map<String, Value>,
    /// The held list of the event, which is stored in the same batch.
    pub held: Option<HeldList>,
}

pub(super) fn held_key(feed: &str) -> Vec<u8> {
    format!("{HELD}{feed}").into_bytes()
}

/// A held list as a row: JSON, so that fields can be added.
pub(super) fn held_row(held: &HeldList) -> Result<EncodedRow, LedgerError> {
    let text = serde_json::to_string(held)
        .map_err(|e| LedgerError::Invalid(format!("the held list cannot be stored: {e}")))?;
    Ok(schema::encode(&text))
}

/// Reads the row of a held list.
pub(super) fn read_held(row: &[u8]) -> Result<HeldList, StoreError> {
    let text = schema::decode::<String>(row).unwrap_or_default();
    serde_json::from_str(&text)
        .map_err(|e| StoreError::Damaged(format!("a held list cannot be read: {e}")))
}
