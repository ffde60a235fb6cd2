//! The overlap of the own sources: for each pair, which entries both have, who had them first and by
//! how much; and for each source, which entries only it has.

use std::collections::BTreeMap;

use crate::model::{Subject, Time};

/// How many entries that only one source has are examined for sources that have dropped them.
const MAX_EXAMINED: usize = 100;
/// The steps of a power of two into which lags are divided, so that a median is right to some 6 %.
const STEPS: u64 = 16;

/// Numbers of lags in seconds, by size.
#[derive(Debug, Clone, Default)]
struct Lags(BTreeMap<u16, u64>);

impl Lags {
    fn add(&mut self, seconds: u64) {
        *self.0.entry(bucket(seconds)).or_default() += 1;
    }

    /// The median, rounded down to the beginning of its step; `None` without lags.
    fn median(&self) -> Option<u64> {
        let total: u64 = self.0.values().sum();
        let mut before = 0;
        self.0.iter().find_map(|(bucket, count)| {
            before += count;
            (2 * before >= total).then(|| lower_bound(*bucket))
        })
    }
}

/// The number of the step of a lag: exact below [`STEPS`], then [`STEPS`] for each power of two.
fn bucket(seconds: u64) -> u16 {
    match seconds.checked_ilog2() {
        Some(power) if seconds >= STEPS => {
            let shift = power - STEPS.ilog2();
            (u64::from(shift) * STEPS + (seconds >> shift)) as u16
        }
        _ => seconds as u16,
    }
}

/// The least lag of a step.
fn lower_bound(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    match (bucket / STEPS).checked_sub(1) {
        Some(shift) => (bucket - shift * STEPS) << shift,
        None => bucket,
    }
}

/// What one source has in comparison with another one.
#[derive(Debug, Clone, Default)]
struct Pair {
    both: u64,
    first: u64,
    same_time: u64,
    lags: Lags,
}

/// A source that is being counted.
#[derive(Debug, Clone, Default)]
struct SourceCount {
    entries: u64,
    alone: u64,
    /// The oldest entries that only this source has, the oldest first.
    oldest_alone: Vec<(Time, Subject)>,
}

/// Counts the entries of all sources.
#[derive(Debug, Clone)]
pub struct OverlapCounter {
    sources: Vec<SourceCount>,
    /// By the first source and the second.
    pairs: Vec<Vec<Pair>>,
}

/// One source of the overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOverlap {
    /// Its entries.
    pub entries: u64,
    /// The entries that no other source has.
    pub alone: u64,
    /// The oldest of these, the oldest first.
    pub oldest_alone: Vec<(Time, Subject)>,
}

/// A pair of sources that have entries in common or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairOverlap {
    /// The numbers of the sources, the lower one first.
    pub sources: [usize; 2],
    /// Entries that both have.
    pub both: u64,
    /// Entries of each source that the other one does not have.
    pub only: [u64; 2],
    /// Entries of both that each source had first.
    pub first: [u64; 2],
    /// Entries that both have since the same second.
    pub same_time: u64,
    /// The median of the seconds by which each source had the entries first that it had first.
    pub median_lead: [Option<u64>; 2],
}

impl OverlapCounter {
    /// A counter of a number of sources.
    pub fn new(sources: usize) -> OverlapCounter {
        OverlapCounter {
            sources: vec![SourceCount::default(); sources],
            pairs: vec![vec![Pair::default(); sources]; sources],
        }
    }

    /// Counts a subject: the sources that have it, each once and in order, and since when.
    pub fn add(&mut self, subject: &Subject, sources: &[(usize, Time)]) {
        for (i, (source, since)) in sources.iter().enumerate() {
            self.sources[*source].entries += 1;
            for (other, other_since) in &sources[i + 1..] {
                let (first, second) = (*source, *other);
                self.pairs[first][second].both += 1;
                let lead = |earlier: Time, later: Time| later.0 - earlier.0;
                match since.cmp(other_since) {
                    std::cmp::Ordering::Equal => self.pairs[first][second].same_time += 1,
                    std::cmp::Ordering::Less => {
                        self.pairs[first][second].lead(lead(*since, *other_since));
                    }
                    std::cmp::Ordering::Greater => {
                        self.pairs[second][first].lead(lead(*other_since, *since));
                    }
                }
            }
        }
        if let [(source, since)] = sources {
            self.sources[*source].add_alone(*since, subject);
        }
    }

    /// The sources by their numbers, and all pairs.
    pub fn finish(self) -> (Vec<SourceOverlap>, Vec<PairOverlap>) {
        let mut pairs = Vec::new();
        for a in 0..self.sources.len() {
            for b in a + 1..self.sources.len() {
                let (one, other) = (&self.pairs[a][b], &self.pairs[b][a]);
                let only = [a, b].map(|s| self.sources[s].entries - one.both);
                pairs.push(PairOverlap {
                    sources: [a, b],
                    both: one.both,
                    only,
                    first: [one.first, other.first],
                    same_time: one.same_time,
                    median_lead: [one.lags.median(), other.lags.median()],
                });
            }
        }
        let source = |s: SourceCount| SourceOverlap {
            entries: s.entries,
            alone: s.alone,
            oldest_alone: s.oldest_alone,
        };
        (self.sources.into_iter().map(source).collect(), pairs)
    }
}

impl Pair {
    fn lead(&mut self, seconds: u64) {
        self.first += 1;
        self.lags.add(seconds);
    }
}

impl SourceCount {
    fn add_alone(&mut self, since: Time, subject: &Subject) {
        self.alone += 1;
        let is_full = self.oldest_alone.len() == MAX_EXAMINED;
        if is_full && self.oldest_alone.last().is_some_and(|(t, _)| since >= *t) {
            return;
        }
        let at = self.oldest_alone.partition_point(|(t, _)| *t <= since);
        self.oldest_alone.insert(at, (since, subject.clone()));
        self.oldest_alone.truncate(MAX_EXAMINED);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_of_lags_are_in_order_and_at_most_a_sixteenth_wide() {
        for seconds in (0..5_000).chain([86_400, 31_536_000, u64::MAX >> 1, u64::MAX]) {
            let lower = lower_bound(bucket(seconds));
            assert!(
                lower <= seconds && seconds - lower <= seconds / STEPS,
                "{seconds}: {lower}"
            );
        }
        assert!((0..5_000).map(bucket).is_sorted());
    }

    #[test]
    fn source_that_lists_first_leads_by_the_median() {
        let mut counter = OverlapCounter::new(2);
        let host = |i: u32| Subject::host4(0xc000_0200 + i);
        for (i, (a, b)) in [(100, 103), (100, 110), (100, 1000), (7, 7), (50, 40)]
            .into_iter()
            .enumerate()
        {
            counter.add(&host(i as u32), &[(0, Time(a)), (1, Time(b))]);
        }
        counter.add(&host(9), &[(1, Time(5))]);
        let (sources, pairs) = counter.finish();
        let expected = PairOverlap {
            sources: [0, 1],
            both: 5,
            only: [0, 1],
            first: [3, 1],
            same_time: 1,
            median_lead: [Some(10), Some(10)],
        };
        assert_eq!(pairs, [expected]);
        assert_eq!(sources[1].oldest_alone, [(Time(5), host(9))]);
        assert_eq!((sources[0].alone, sources[1].alone), (0, 1));
    }

    proptest! {
        #[test]
        fn overlap_equals_that_of_sets(
            entries in prop::collection::vec(prop::collection::btree_map(0..4usize, 0..9u64, 1..4), 0..200),
        ) {
            let mut counter = OverlapCounter::new(4);
            for (i, sources) in entries.iter().enumerate() {
                let sources: Vec<_> = sources.iter().map(|(s, t)| (*s, Time(*t))).collect();
                counter.add(&Subject::host4(i as u32), &sources);
            }
            let (sources, pairs) = counter.finish();
            let set = |s: usize| -> BTreeSet<usize> {
                let has = |i: &usize| entries[*i].contains_key(&s);
                (0..entries.len()).filter(has).collect()
            };
            for (s, source) in sources.iter().enumerate() {
                let own = set(s);
                prop_assert_eq!(source.entries, own.len() as u64);
                let alone: Vec<usize> = own.iter().copied().filter(|i| entries[*i].len() == 1).collect();
                prop_assert_eq!(source.alone, alone.len() as u64);
                let oldest = alone.iter().map(|i| entries[*i][&s]).min();
                prop_assert_eq!(source.oldest_alone.first().map(|(t, _)| t.0), oldest);
            }
            for pair in pairs {
                let [a, b] = pair.sources;
                let both: Vec<usize> = set(a).intersection(&set(b)).copied().collect();
                prop_assert_eq!(pair.both, both.len() as u64);
                prop_assert_eq!(pair.only, [set(a).len() - both.len(), set(b).len() - both.len()].map(|n| n as u64));
                for (x, y, first, median) in [(a, b, pair.first[0], pair.median_lead[0]), (b, a, pair.first[1], pair.median_lead[1])] {
                    let mut leads: Vec<u64> = both.iter().filter_map(|i| entries[*i][&y].checked_sub(entries[*i][&x])).filter(|l| *l > 0).collect();
                    leads.sort_unstable();
                    prop_assert_eq!(first, leads.len() as u64);
                    prop_assert_eq!(median, leads.get(leads.len().saturating_sub(1) / 2).copied());
                }
            }
        }
    }
}
