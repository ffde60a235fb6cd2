//! Reports events about feeds.

use super::Ledger;
use crate::ledger::{error::LedgerError, held::FeedEvent};

impl Ledger {
    /// Notifies webhooks of an event about a feed, and stores its held list. Blocks.
    pub fn announce_feed(&self, event: FeedEvent) -> Result<(), LedgerError> {
        self.call(|writer| writer.announce_feed(event))
    }
}
