//! Collateral: what the listing of a network covers besides what it is meant for.

use std::collections::BTreeMap;

use super::{KnownSender, KnownSenders};
use crate::{
    model::{ReasonId, Subject, Verdict},
    query_sample::QueriedCount,
    store::{Store, StoreError, schema::covered_ranges},
};

/// The most subjects of the store that are read.
const MAX_SUBJECTS: usize = 1_000_000;
/// The most exemptions and known senders that are named.
const MAX_NAMED: usize = 50;

/// What the listing of a network covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collateral {
    /// How many addresses the network has.
    pub addresses: u128,
    /// How many of them are listed already, by the name of the reason.
    pub listed: BTreeMap<String, u128>,
    /// The exemptions inside, and those that cover the network; at most 50.
    pub exemptions: Vec<Subject>,
    /// How many exemptions there are.
    pub exemption_count: usize,
    /// The networks of known senders inside, and those that cover the network; at most 50.
    pub known_senders: Vec<KnownSender>,
    /// How many networks of known senders there are.
    pub known_sender_count: usize,
    /// How many of its addresses mail servers have asked about; `None` if queries are not sampled.
    pub queried: Option<QueriedCount>,
    /// Whether all of the store's subjects inside were read; if not, the counts are least numbers.
    pub is_complete: bool,
}

/// A count of the listings and exemptions of a network. It reads each verdict once, in the order of
/// the subjects: first the prefixes, then the hosts.
#[derive(Debug)]
pub struct CollateralCount {
    prefix: Subject,
    reasons: BTreeMap<ReasonId, ListedAddresses>,
    exemptions: Vec<Subject>,
    exemption_count: usize,
}

/// The addresses that are listed for one reason.
#[derive(Debug, Default)]
struct ListedAddresses {
    /// The first addresses of the listed prefixes, in order, each with its prefix; without prefixes
    /// inside another one.
    prefixes: Vec<(u128, Subject)>,
    /// How many hosts outside of these prefixes are listed.
    hosts: u128,
}

impl ListedAddresses {
    /// Adds a listed subject. No wider one follows.
    fn add(&mut self, subject: &Subject) {
        let first = match subject {
            Subject::V4(p) => p.first().into(),
            Subject::V6(p) => p.first(),
            Subject::Domain(_) => return,
        };
        let next = self.prefixes.partition_point(|(f, _)| *f <= first);
        let before = next.checked_sub(1).and_then(|i| self.prefixes.get(i));
        if before.is_some_and(|(_, p)| p.covers(subject)) {
            return;
        }
        match subject.addresses() {
            1 => self.hosts += 1,
            _ => self.prefixes.insert(next, (first, subject.clone())),
        }
    }

    fn count(&self) -> u128 {
        let prefixes = self.prefixes.iter().map(|(_, p)| p.addresses());
        prefixes.fold(self.hosts, u128::saturating_add)
    }
}

impl CollateralCount {
    /// Begins a count for a network.
    pub fn new(prefix: &Subject) -> CollateralCount {
        CollateralCount {
            prefix: prefix.clone(),
            reasons: BTreeMap::new(),
            exemptions: Vec::new(),
            exemption_count: 0,
        }
    }

    /// Adds the verdict on a subject inside the network, or on one that covers it. A listing that is
    /// suppressed at the subject itself does not count.
    pub fn add(&mut self, subject: &Subject, verdict: &Verdict) {
        let is_wider = subject.covers(&self.prefix);
        if !is_wider && !self.prefix.covers(subject) {
            return;
        }
        let inside = if is_wider { &self.prefix } else { subject };
        for entry in verdict.in_force() {
            let listed = self.reasons.entry(entry.reason).or_default();
            listed.add(inside);
        }
        if verdict.exempt.is_some() {
            self.exemption_count += 1;
            if self.exemptions.len() < MAX_NAMED {
                self.exemptions.push(subject.clone());
            }
        }
    }

    /// Ends the count. `name` returns the name of a reason.
    pub fn finish(
        self,
        known: &KnownSenders,
        is_complete: bool,
        name: impl Fn(ReasonId) -> String,
    ) -> Collateral {
        let listed = self.reasons.iter();
        Collateral {
            addresses: self.prefix.addresses(),
            listed: listed.map(|(r, l)| (name(*r), l.count())).collect(),
            exemptions: self.exemptions,
            exemption_count: self.exemption_count,
            known_senders: known
                .inside(&self.prefix)
                .take(MAX_NAMED)
                .cloned()
                .collect(),
            known_sender_count: known.inside(&self.prefix).count(),
            queried: None,
            is_complete,
        }
    }
}

/// Counts what the listing of a prefix covers in a store.
pub(super) fn read(
    store: &Store,
    prefix: &Subject,
    known: &KnownSenders,
) -> Result<Collateral, StoreError> {
    let dictionary = store.dictionary();
    let mut count = CollateralCount::new(prefix);
    for wider in prefix.wider().into_iter().rev() {
        count.add(&wider, &store.verdict_in(&dictionary, &wider)?);
    }
    let (mut left, mut is_complete) = (MAX_SUBJECTS, true);
    for (from, to) in covered_ranges(prefix) {
        is_complete &= store.scan_range(&dictionary, &from, &to, &mut |subject, verdict| {
            left = left.saturating_sub(1);
            count.add(&subject, &verdict);
            Ok(left > 0)
        })?;
    }
    let name = |reason| dictionary.reasons.name(reason).to_string();
    Ok(count.finish(known, is_complete, name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{EventKind, Prefix4, SourceId, Time};

    const NET: u32 = 0x2d01_0100;

    /// A subject around 45.1.1.0/24 with the reasons that list it, and whether it is exempt.
    fn facts() -> impl Strategy<Value = Vec<(Subject, Vec<u8>, bool)>> {
        let subject = (0u32..512, 20u8..=32)
            .prop_map(|(host, len)| Subject::V4(Prefix4::new(NET + host, len)));
        let fact = (subject, prop::collection::vec(0u8..3, 0..3), any::<bool>());
        prop::collection::vec(fact, 0..24)
    }

    fn verdict(reasons: &[u8], exempt: bool) -> Verdict {
        let mut out = Verdict::default();
        for reason in reasons {
            let listed = EventKind::Listed {
                reason: ReasonId(*reason),
                source: SourceId::OPERATOR,
                until: None,
                exclusion: false,
                text: Default::default(),
            };
            out.fold(Time(1), &listed);
        }
        if exempt {
            out.fold(Time(1), &EventKind::Exempted { until: None });
        }
        out
    }

    proptest! {
        #[test]
        fn counts_equal_those_of_every_address(all in facts()) {
            let prefix: Subject = "45.1.1.0/24".parse().unwrap();
            // One verdict for each subject, in the order of the subjects.
            let mut verdicts = BTreeMap::new();
            for (subject, reasons, exempt) in all {
                let key = (subject.addresses() == 1, subject);
                verdicts.insert(key, verdict(&reasons, exempt));
            }
            let mut count = CollateralCount::new(&prefix);
            for ((_, subject), verdict) in &verdicts {
                count.add(subject, verdict);
            }
            let known = KnownSenders::parse("45.1.1.7 a\n45.1.2.0/24 b\n45.1.0.0/16 c").unwrap();
            let found = count.finish(&known, true, |r| r.0.to_string());
            for reason in 0..3 {
                let lists = |host: &Subject| verdicts.iter().any(|((_, s), v)| {
                    s.covers(host) && v.in_force().any(|e| e.reason.0 == reason)
                });
                let naive = (0..256).filter(|n| lists(&Subject::host4(NET + n))).count() as u128;
                let counted = found.listed.get(&reason.to_string());
                prop_assert_eq!(counted.copied().unwrap_or_default(), naive);
            }
            let touches = |s: &Subject| s.covers(&prefix) || prefix.covers(s);
            let exempt = verdicts.iter().filter(|((_, s), v)| v.exempt.is_some() && touches(s));
            prop_assert_eq!(found.exemption_count, exempt.count());
            prop_assert_eq!(found.addresses, 256);
            let senders: Vec<&str> = found.known_senders.iter().map(|k| k.name.as_str()).collect();
            prop_assert_eq!(senders, ["a", "c"]);
        }
    }
}
