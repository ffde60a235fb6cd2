//! Reports events about feeds.

use super::Ledger;
use crate::ledger::{command::Job, error::Refused, held::FeedEvent};

impl Ledger {
    /// Tells webhooks about a feed, and keeps its held list. Blocks.
    pub fn announce_feed(&self, event: FeedEvent) -> Result<(), Refused> {
        self.call(|r| Job::FeedEvent(Box::new(event), r))
    }
}
