//! The rules of a configuration's zones, with the numbers that a store gives to their names.

use super::{LedgerError, LedgerSettings};
use crate::{index::derive::PublishRules, store::Dictionary};

/// The rules of the zones of a configuration. Its reasons, and the sources that rules name, get
/// numbers.
pub(super) fn publish_rules(
    settings: &LedgerSettings,
    dictionary: &mut Dictionary,
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
    PublishRules::of(&settings.zones, &dictionary.reasons, &dictionary.sources)
        .map_err(LedgerError::Invalid)
}
