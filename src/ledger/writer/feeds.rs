//! Events about feeds, held lists, and the shapes of lists.

use super::Writer;
use crate::{
    ledger::{
        accounts::{Book, Keep},
        error::Refused,
        held::{FeedEvent, held_key, held_row},
        transaction::Work,
    },
    store::{
        Batch,
        schema::{self, AcceptedList, ListShape},
    },
};

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
