//! The listings that apply to a subject: its own, and those of wider subjects that cover it.

use crate::{
    model::{Entry, Mask, Prefix6, ReasonId, SightAge, SourceId, Subject, Verdict},
    store::{Store, StoreError},
};

/// A listing that applies to a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApplyingListing {
    /// The listed subject.
    pub listed: Subject,
    /// The entry.
    pub entry: Entry,
    /// The network as which a rule counts the listed address; `None`: as the address or prefix.
    pub network: Option<Prefix6>,
    /// Whether a longer listing of the same reason and source applies, which was last seen earlier.
    /// Only a rule that does not count that one because of it counts this one.
    pub is_second: bool,
}

/// The verdicts of a subject and of the wider subjects that cover it, the nearest first; only those
/// that are not empty.
pub(super) fn covering_verdicts(
    store: &Store,
    subject: &Subject,
) -> Result<Vec<(Subject, Verdict)>, StoreError> {
    let dictionary = store.dictionary();
    let mut out = Vec::new();
    for s in std::iter::once(subject.clone()).chain(subject.wider()) {
        let verdict = store.verdict_in(&dictionary, &s)?;
        if !verdict.is_empty() {
            out.push((s, verdict));
        }
    }
    Ok(out)
}

/// The listings that apply to a subject, by the verdicts of it and of what covers it, the nearest
/// first. The nearest entry of each reason and source decides, as in answers: an exclusion, a hold
/// or an exemption ends what is wider.
pub(super) fn applying<'a>(
    verdicts: impl IntoIterator<Item = &'a (Subject, Verdict)>,
    published: Mask,
) -> Vec<ApplyingListing> {
    // The nearest entries; of a listing its age, which a wider one may not have.
    let mut decided: Vec<((ReasonId, SourceId), Option<SightAge>)> = Vec::new();
    let (mut held, mut out) = (Vec::new(), Vec::new());
    for (listed, verdict) in verdicts {
        if verdict.exempt.is_some() {
            break;
        }
        held.extend(verdict.holds.iter().map(|h| (h.reason, h.source)));
        for entry in &verdict.entries {
            let (pair, every) = ((entry.reason, entry.source), (entry.reason, SourceId::ALL));
            if held.contains(&pair) || held.contains(&every) {
                continue;
            }
            let age = (!entry.exclusion).then_some(entry.aged);
            let nearer = decided.iter_mut().find(|(decided, _)| *decided == pair);
            let is_second = nearer.is_some();
            match nearer {
                None => decided.push((pair, age)),
                Some((_, Some(nearer))) if !entry.exclusion && entry.aged < *nearer => {
                    *nearer = entry.aged;
                }
                Some((_, nearer)) => {
                    // What is wider than an exclusion does not apply.
                    *nearer = nearer.filter(|_| !entry.exclusion);
                    continue;
                }
            }
            if !entry.exclusion && published & entry.reason.bit() != 0 {
                out.push(ApplyingListing {
                    listed: listed.clone(),
                    entry: entry.clone(),
                    network: None,
                    is_second,
                });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, ReasonId, Time};

    fn listed(reason: u8, source: SourceId, exclusion: bool) -> EventKind {
        EventKind::Listed {
            reason: ReasonId(reason),
            source,
            until: None,
            exclusion,
            text: Default::default(),
        }
    }

    fn verdict(events: &[EventKind]) -> Verdict {
        let mut out = Verdict::default();
        events.iter().for_each(|e| out.fold(Time(1), e));
        out
    }

    #[test]
    fn nearest_entry_of_a_reason_and_source_decides() {
        let (near, wide) = ("45.51.100.7", "45.51.100.0/24");
        let pair = |near_events: &[EventKind], wide_events: &[EventKind]| {
            let verdicts = [
                (near.parse().unwrap(), verdict(near_events)),
                (wide.parse().unwrap(), verdict(wide_events)),
            ];
            let found = applying(&verdicts, !0);
            let found = found
                .iter()
                .map(|l| (l.listed.to_string(), l.entry.reason.0));
            found.collect::<Vec<_>>()
        };
        let own = SourceId::OPERATOR;
        let feed = SourceId(40);
        let held = |source| EventKind::Held {
            reason: ReasonId(1),
            source,
            until: Time(9),
        };
        let both = listed(1, own, false);
        assert_eq!(
            pair(std::slice::from_ref(&both), std::slice::from_ref(&both)),
            [(near.to_string(), 1)]
        );
        assert_eq!(
            pair(&[listed(1, own, true)], std::slice::from_ref(&both)),
            []
        );
        assert_eq!(
            pair(
                &[listed(1, own, true)],
                &[both.clone(), listed(1, feed, false)]
            ),
            [(wide.to_string(), 1)]
        );
        assert_eq!(
            pair(&[held(SourceId::ALL)], std::slice::from_ref(&both)),
            []
        );
        assert_eq!(
            pair(&[held(feed)], std::slice::from_ref(&both)),
            [(wide.to_string(), 1)]
        );
        assert_eq!(
            pair(
                &[EventKind::Exempted { until: None }],
                std::slice::from_ref(&both)
            ),
            []
        );
        let other = listed(2, own, false);
        assert_eq!(
            pair(&[held(SourceId::ALL), other], &[both]),
            [(near.to_string(), 2)]
        );
        let verdicts = [(near.parse().unwrap(), verdict(&[listed(3, own, false)]))];
        assert_eq!(applying(&verdicts, ReasonId(1).bit()), []);
    }
}
