//! Lists of feeds that a guard stopped: kept until a person decides, the feed brings another list,
//! or the wait is over; and the events about feeds that webhooks are told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Book, Job, Keep, Ledger, Refused, group::Work, guard::GuardTrip, writer::Writer};
use crate::{
    model::Time,
    store::{
        Batch, StoreError,
        schema::{self, AcceptedList, ListShape},
    },
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
pub(super) fn held_row(held: &HeldList) -> Result<Vec<u8>, Refused> {
    let text = serde_json::to_string(held)
        .map_err(|e| Refused::Settings(format!("the held list cannot be stored: {e}")))?;
    Ok(schema::encode(&text))
}

/// Reads such a row.
pub(super) fn read_held(row: &[u8]) -> Result<HeldList, StoreError> {
    let text = schema::decode::<String>(row).unwrap_or_default();
    serde_json::from_str(&text)
        .map_err(|e| StoreError::Damaged(format!("the list of a held feed: {e}")))
}

impl Ledger {
    /// Tells webhooks about a feed, and keeps its held list. Blocks.
    pub fn announce_feed(&self, event: FeedEvent) -> Result<(), Refused> {
        self.call(|r| Job::FeedEvent(Box::new(event), r))
    }
}

impl Writer {
    /// The event is a commit of its own, so that each webhook gets it in order; without a webhook
    /// there is no commit.
    pub(super) fn announce_feed(&mut self, event: FeedEvent) -> Result<(), Refused> {
        if let Some(why) = self.health.poisoned() {
            return Err(Refused::Poisoned(why));
        }
        let mut book = Book::clone(&self.book.load());
        let mut rows = Vec::new();
        if let Some(held) = event.held {
            rows.push((held_key(&held.feed), held_row(&held)?));
            book.held.insert_mut(held.feed.clone(), held);
        }
        if book.webhooks.values().any(|h| h.paused.is_none()) {
            let mut work = Work::new(self.clock.now());
            work.people = rows;
            work.notice = Some((event.event, event.fields));
            self.commit(&work, None)?;
        } else if !rows.is_empty() {
            let mut batch = Batch::default();
            rows.into_iter()
                .for_each(|(key, row)| batch.put(schema::PEOPLE, key, row));
            self.commit_batch(batch)?;
        }
        self.book.store(std::sync::Arc::new(book));
        Ok(())
    }

    /// The part of [`Writer::keep`] that is about held lists and the shapes of lists.
    pub(super) fn keep_of_feed(
        &self,
        keep: Keep,
        book: &mut Book,
        batch: &mut Batch,
    ) -> Result<(), Refused> {
        match keep {
            Keep::HeldList(held) => {
                batch.put(schema::PEOPLE, held_key(&held.feed), held_row(&held)?);
                book.held.insert_mut(held.feed.clone(), *held);
            }
            Keep::NoHeldList(feed) => {
                batch.delete(schema::PEOPLE, held_key(&feed));
                book.held.remove_mut(&feed);
            }
            Keep::ShapeReset(source) => {
                let last = self.store.accepted_list(source)?.unwrap_or_default();
                let forgotten = AcceptedList {
                    shape: ListShape::default(),
                    ..last
                };
                batch.put(
                    schema::META,
                    schema::accepted_key(source),
                    schema::encode(&forgotten),
                );
            }
            _ => {}
        }
        Ok(())
    }
}
