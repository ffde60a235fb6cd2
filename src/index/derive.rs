//! Derived reasons: a point is listed for them by a rule over the listings that it has, such as
//! those of one source, or at least so many.
//!
//! They are computed when facts change, and a zone publishes them like any other reason. Their
//! numbers are those that the store has not given to reasons, from the last one down. Those of
//! [widened reasons](super::widen) follow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use crate::model::{
    MAX_REASONS, Mask, PublishRule, ReasonId, Reasons, SightAge, SourceId, Sources, SubjectFamily,
    Time, Zone,
};

/// A reason for which single IPv6 addresses count as the networks around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WidenedReason {
    /// The number of the widened reason, for which no source lists anything.
    pub number: ReasonId,
    /// The reason of the listings.
    pub reason: ReasonId,
    /// The bits of the networks.
    pub width: u8,
}

/// A listing as a point has it: the longest match of a source for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The reason.
    pub reason: ReasonId,
    /// The source.
    pub source: SourceId,
    /// The longest limit that it has outlived since it was last seen.
    pub aged: SightAge,
}

/// A change of listings or exclusions, by which zones can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FactChange {
    /// The family of the subjects.
    pub family: SubjectFamily,
    /// The reasons.
    pub reasons: Mask,
    /// The source; `None`: any.
    pub source: Option<SourceId>,
    /// The ages before and after, if nothing else changes.
    pub ages: Option<[SightAge; 2]>,
}

impl FactChange {
    /// The changes of a source in these reasons: those of addresses, and those of names.
    pub fn of_masks(
        [addresses, names]: [Mask; 2],
        source: Option<SourceId>,
    ) -> impl Iterator<Item = FactChange> {
        let families = [
            (SubjectFamily::Ipv4, addresses),
            (SubjectFamily::Ipv6, addresses),
            (SubjectFamily::Name, names),
        ];
        let changes = families
            .into_iter()
            .map(move |(family, reasons)| FactChange {
                family,
                reasons,
                source,
                ages: None,
            });
        changes.filter(|c| c.reasons != 0)
    }
}

/// When a feed last saw its entries.
#[derive(Debug, Clone, Copy)]
pub struct FeedSight {
    /// The feed.
    pub source: SourceId,
    /// The reasons that it lists.
    pub reasons: Mask,
    /// When it was last imported.
    pub seen: Time,
}

/// A [`PublishRule`] with numbers for names.
///
/// More listings never take a derived reason away: what is listed by some listings is listed by
/// these and others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DerivedReason {
    /// The reason, for which no source lists anything.
    pub reason: ReasonId,
    /// The reasons whose listings count.
    pub reasons: Mask,
    /// The reasons that all need a listing that counts.
    pub all: Mask,
    /// The sources whose listings count, in order; `None`: all.
    sources: Option<Box<[SourceId]>>,
    /// The families whose listings count, in order; empty: all.
    families: Box<[SubjectFamily]>,
    /// How many sources need a listing that counts; at least 1.
    pub min_sources: u32,
    /// By source, in order.
    weights: Box<[(SourceId, u32)]>,
    /// What the weights of the sources with a listing that counts have to add up to; 0: anything.
    pub min_score: u64,
    /// The limit that a listing that counts has not outlived.
    seen_within: Option<SightAge>,
    /// The feeds that have outlived it, in order.
    unseen: Box<[SourceId]>,
    /// The widened reasons whose facts count in place of those of the reasons, in the table of
    /// IPv6; empty for a rule without a width.
    widened: Box<[WidenedReason]>,
}

impl DerivedReason {
    /// A rule as a derived reason. A source that has no number yet lists nothing.
    ///
    /// # Errors
    ///
    /// The name of a reason has no number.
    fn new(
        rule: &PublishRule,
        reason: ReasonId,
        widened: &[WidenedReason],
        reasons: &Reasons,
        sources: &Sources,
    ) -> Result<DerivedReason, String> {
        let mask = |names: &BTreeSet<String>| {
            names.iter().try_fold(0, |mask: Mask, name| {
                let id = reasons.get(name);
                let id = id.ok_or_else(|| format!("reason `{name}` is not in config.toml"))?;
                Ok::<_, String>(mask | id.bit())
            })
        };
        let known = rule.sources.iter().filter_map(|name| sources.get(name));
        let mut known: Vec<SourceId> = known.collect();
        known.sort_unstable();
        let weights = rule.weights.iter();
        let weights = weights.filter_map(|(name, weight)| Some((sources.get(name)?, *weight)));
        let mut weights: Vec<(SourceId, u32)> = weights.collect();
        weights.sort_unstable();
        let counted = mask(&rule.reasons)?;
        let widened = widened.iter().filter(|w| {
            let is_of_rule = counted & w.reason.bit() != 0;
            is_of_rule && rule.ipv6_width == Some(w.width)
        });
        Ok(DerivedReason {
            reason,
            reasons: counted,
            all: mask(&rule.all)?,
            sources: (!rule.sources.is_empty()).then(|| known.into()),
            families: rule.families.iter().copied().collect(),
            min_sources: rule.min_sources.unwrap_or(1),
            weights: weights.into(),
            min_score: rule.min_score.unwrap_or(0).into(),
            seen_within: rule.seen_within.map(SightAge::of),
            unseen: Box::default(),
            widened: widened.copied().collect(),
        })
    }

    /// The bits of the networks as which single IPv6 addresses count; `None`: as addresses.
    pub fn width(&self) -> Option<u8> {
        self.widened.first().map(|w| w.width)
    }

    /// The widened reasons of the rule; empty without a width.
    pub fn widened(&self) -> &[WidenedReason] {
        &self.widened
    }

    /// A fact of the tables as the listing that the rule counts; `None` if the rule counts another
    /// fact in its place: that of the widened reason.
    pub(super) fn listing_of_fact(&self, family: SubjectFamily, fact: Listed) -> Option<Listed> {
        if family != SubjectFamily::Ipv6 || self.widened.is_empty() {
            return Some(fact);
        }
        let widened = self.widened.iter().find(|w| w.number == fact.reason)?;
        Some(Listed {
            reason: widened.reason,
            ..fact
        })
    }

    /// Leaves out the feeds that were last imported too long before `now`.
    fn leave_out_unseen(&mut self, feeds: &[FeedSight], now: Time) {
        let Some(limit) = self.seen_within else {
            return;
        };
        let unseen = feeds.iter().filter(|f| {
            let is_used = f.reasons & self.reasons != 0 && self.has_source(f.source);
            is_used && limit.since(f.seen) <= now
        });
        let mut unseen: Vec<SourceId> = unseen.map(|f| f.source).collect();
        unseen.sort_unstable();
        self.unseen = unseen.into();
    }

    /// The feeds that are left out because they were last imported too long ago.
    pub fn unseen(&self) -> &[SourceId] {
        &self.unseen
    }

    fn has_source(&self, source: SourceId) -> bool {
        let named = self.sources.as_ref();
        named.is_none_or(|all| all.binary_search(&source).is_ok())
    }

    /// Whether listings of a family count.
    pub fn has_family(&self, family: SubjectFamily) -> bool {
        self.families.is_empty() || self.families.contains(&family)
    }

    /// Whether a listing counts. The longest one that does gives the derived one its text.
    pub fn counts(&self, family: SubjectFamily, listed: Listed) -> bool {
        self.concerns(family, listed) && !self.is_unseen(listed)
    }

    /// Whether a listing would count if it were seen now.
    pub fn concerns(&self, family: SubjectFamily, listed: Listed) -> bool {
        self.reasons & listed.reason.bit() != 0
            && self.has_family(family)
            && self.has_source(listed.source)
    }

    /// Whether a listing was last seen too long ago.
    fn is_unseen(&self, listed: Listed) -> bool {
        self.seen_within.is_some_and(|limit| {
            limit <= listed.aged || self.unseen.binary_search(&listed.source).is_ok()
        })
    }

    /// Whether a change can change what is listed.
    pub fn is_changed_by(&self, change: &FactChange) -> bool {
        let outlived = |age: SightAge| self.seen_within.is_some_and(|limit| limit <= age);
        self.reasons & change.reasons != 0
            && self.has_family(change.family)
            && change.source.is_none_or(|s| self.has_source(s))
            && change
                .ages
                .is_none_or(|[before, after]| outlived(before) != outlived(after))
    }

    /// Whether the listings that count are enough; none never are.
    pub fn is_listed(&self, counted: impl Iterator<Item = Listed>) -> bool {
        let (mut mask, mut sources) = (0, Vec::new());
        for listed in counted {
            mask |= listed.reason.bit();
            if !sources.contains(&listed.source) {
                sources.push(listed.source);
            }
        }
        mask != 0
            && self.all & !mask == 0
            && sources.len() >= self.min_sources as usize
            && (self.min_score == 0 || self.score(&sources) >= self.min_score)
    }

    fn score(&self, sources: &[SourceId]) -> u64 {
        let weight = |s: &SourceId| {
            let place = self.weights.binary_search_by_key(s, |(source, _)| *source);
            place.map_or(0, |i| u64::from(self.weights[i].1))
        };
        sources.iter().map(weight).sum()
    }

    /// The weight of a source.
    pub fn weight(&self, source: SourceId) -> u64 {
        self.score(&[source])
    }
}

/// The rules of a set of zones, each with its derived reason. Equal rules of several zones share
/// one.
#[derive(Debug, Clone, Default)]
pub struct PublishRules(BTreeMap<PublishRule, Arc<DerivedReason>>);

impl PublishRules {
    /// The rules of all zones.
    ///
    /// # Errors
    ///
    /// A rule names an unknown reason, or a store cannot have so many reasons and rules.
    pub fn of<'z>(
        zones: impl IntoIterator<Item = &'z Zone>,
        reasons: &Reasons,
        sources: &Sources,
    ) -> Result<PublishRules, String> {
        let zones = zones.into_iter();
        let rules = zones.flat_map(|z| z.publish.iter().filter_map(|p| p.rule()));
        let rules: BTreeSet<PublishRule> = rules.collect();
        let used = reasons.0.all().len();
        let widths: BTreeSet<(ReasonId, u8)> = rules
            .iter()
            .filter_map(|rule| Some((&rule.reasons, rule.ipv6_width?)))
            .flat_map(|(names, width)| names.iter().map(move |name| (name, width)))
            // A name without a number is an error below.
            .filter_map(|(name, width)| Some((reasons.get(name)?, width)))
            .collect();
        if used + rules.len() + widths.len() > MAX_REASONS {
            let widths = match widths.len() {
                0 => String::new(),
                n => format!(", {n} pairs of a reason and a width"),
            };
            return Err(format!(
                "the zones have {} rules{widths}, and the store {used} reasons; a store has at most {MAX_REASONS} of all together",
                rules.len()
            ));
        }
        let mut numbers = (0..MAX_REASONS as u8).rev().map(ReasonId);
        let of_rules: Vec<ReasonId> = numbers.by_ref().take(rules.len()).collect();
        let widened = widths.into_iter().zip(numbers);
        let widened: Vec<WidenedReason> = widened
            .map(|((reason, width), number)| WidenedReason {
                number,
                reason,
                width,
            })
            .collect();
        let derived = rules.into_iter().zip(of_rules).map(|(rule, number)| {
            let derived = DerivedReason::new(&rule, number, &widened, reasons, sources)?;
            Ok((rule, Arc::new(derived)))
        });
        derived.collect::<Result<_, String>>().map(PublishRules)
    }

    /// The rules at a time: without the feeds that were last imported too long ago.
    #[must_use]
    pub fn at(mut self, now: Time, feeds: &[FeedSight]) -> PublishRules {
        for derived in self.0.values_mut() {
            Arc::make_mut(derived).leave_out_unseen(feeds, now);
        }
        self
    }

    /// The derived reason of a rule.
    pub fn get(&self, rule: &PublishRule) -> Option<&Arc<DerivedReason>> {
        self.0.get(rule)
    }

    /// All derived reasons.
    pub fn derived(&self) -> impl Iterator<Item = &Arc<DerivedReason>> {
        self.0.values()
    }
}
