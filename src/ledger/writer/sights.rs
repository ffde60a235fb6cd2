//! Follows when listings were last seen, for the rules of zones that count only what was seen within
//! a time.
//!
//! A listing of a person or program has a due time for each limit, as for its end
//! ([`super::expiry`]). A feed sees all its entries at once: when it outlives a limit, or is
//! imported again after that, the configuration is applied again with other derived reasons.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::Writer;
use crate::{
    ledger::{error::LedgerError, publish_rules::feed_sights},
    model::{SightAge, SightLimits, SourceId, Subject, Time},
    store::{Batch, Dictionary, put_sight_limits, schema},
};

/// The most subjects whose due times are moved in one batch.
const SCHEDULE_BATCH: usize = 10_000;

/// The feeds that have outlived limits, each with the limit.
pub(super) fn unseen_feeds(
    limits: &SightLimits,
    dictionary: &Dictionary,
    now: Time,
) -> BTreeSet<(SightAge, SourceId)> {
    let feeds = feed_sights(dictionary);
    let outlived = |limit: &SightAge| {
        let limit = *limit;
        let unseen = feeds.iter().filter(move |f| limit.since(f.seen) <= now);
        unseen.map(move |f| (limit, f.source)).collect::<Vec<_>>()
    };
    limits.all().iter().flat_map(outlived).collect()
}

impl Writer {
    /// Publishes that feeds have outlived a limit, or were imported again after that.
    pub(super) fn follow_feed_sights(&mut self) {
        let dictionary = self.store.dictionary();
        let unseen = unseen_feeds(&self.sight_limits, &dictionary, self.clock.now());
        if unseen == self.unseen {
            return;
        }
        for (limit, source) in unseen.symmetric_difference(&self.unseen) {
            let is_unseen = unseen.contains(&(*limit, *source));
            tracing::info!(
                source = dictionary.sources.name(*source),
                seen_within_seconds = limit.0,
                counts = !is_unseen,
                "the last import of a feed decides whether zones count it"
            );
        }
        if let Err(e) = self.apply_settings(self.settings.clone(), false) {
            let why = e.text(&self.store.dictionary());
            tracing::error!(
                why,
                "applying the last imports of feeds to zones failed; retrying"
            );
        }
    }

    /// Gives all listings the due times of other limits. If this is interrupted, it is done again,
    /// whatever the limits are then: a due time too many does nothing, and one too few would never
    /// be found.
    pub(super) fn schedule_sights(&mut self, limits: SightLimits) -> Result<(), LedgerError> {
        let was = self.store.sight_limits()?;
        if was == limits {
            self.sight_limits = limits;
            return Ok(());
        }
        let is_resumed = was == SightLimits::unknown();
        if !is_resumed {
            let mut batch = Batch::default();
            put_sight_limits(&SightLimits::unknown(), &mut batch);
            self.commit_batch(batch)?;
        }
        let mut last: Option<Subject> = None;
        loop {
            let (mut batch, mut count, mut end) = (Batch::default(), 0, None);
            let is_complete = self.store.decided(last.as_ref(), &mut |subject, verdict| {
                let [old, new] = [&was, &limits].map(|limits| verdict.next_due(limits));
                if is_resumed || old != new {
                    let key = |at| schema::due_key(at, &subject);
                    old.into_iter()
                        .for_each(|at| batch.delete(schema::DUE, key(at)));
                    new.into_iter()
                        .for_each(|at| batch.put(schema::DUE, key(at), vec![]));
                }
                count += 1;
                end = Some(subject);
                Ok(count < SCHEDULE_BATCH)
            })?;
            if is_complete {
                put_sight_limits(&limits, &mut batch);
            }
            self.commit_batch(batch)?;
            if is_complete {
                self.next_due = self.store.next_due()?;
                self.sight_limits = limits;
                return Ok(());
            }
            last = end;
        }
    }
}
