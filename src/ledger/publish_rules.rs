//! The rules of a configuration's zones, with the numbers that a store gives to their names.

use super::{LedgerError, LedgerSettings};
use crate::{
    index::derive::{FeedSight, PublishRules},
    model::{SourceId, Time},
    store::Dictionary,
};

/// When the feeds that list something were last imported.
pub(super) fn feed_sights(dictionary: &Dictionary) -> Vec<FeedSight> {
    let records = (0..).map(SourceId).zip(&dictionary.records);
    let feeds = records
        .filter(|(_, r)| r.feed)
        .map(|(source, r)| FeedSight {
            source,
            reasons: r.masks[0] | r.masks[1],
            seen: r.refreshed,
        });
    feeds.filter(|f| f.reasons != 0).collect()
}

/// The rules of the zones of a configuration at a time. Its reasons, and the sources that rules name,
/// get numbers.
pub(super) fn publish_rules(
    settings: &LedgerSettings,
    dictionary: &mut Dictionary,
    now: Time,
) -> Result<PublishRules, LedgerError> {
    for r in &settings.reasons {
        let added = dictionary.reasons.add(&r.name);
        added.map_err(LedgerError::Invalid)?;
    }
    let rules = settings.zones.iter().flat_map(|z| &z.publish);
    for rule in rules.filter_map(|p| p.rule()) {
        for name in rule.sources.iter().chain(rule.weights.keys()) {
            let added = dictionary.add_source(name);
            added.map_err(LedgerError::Invalid)?;
        }
    }
    let rules = PublishRules::of(&settings.zones, &dictionary.reasons, &dictionary.sources);
    let rules = rules.map_err(LedgerError::Invalid)?;
    Ok(rules.at(now, &feed_sights(dictionary)))
}
