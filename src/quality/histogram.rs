//! Exact percentiles of many values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Counts equal values. It has one entry for each different value, so that values of a bounded
/// range, such as ages in days, take bounded memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Histogram(BTreeMap<u64, u64>);

/// The median, the 90th percentile and the largest of some values. A percentile is the smallest of
/// the values that at least so many percent of them do not exceed (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Percentiles {
    /// The median.
    pub median: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The largest value.
    pub largest: u64,
}

impl Histogram {
    /// Counts a value.
    pub(super) fn add(&mut self, value: u64) {
        *self.0.entry(value).or_default() += 1;
    }

    /// Returns the percentiles; `None` without values.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let total: u64 = self.0.values().sum();
        let (largest, _) = self.0.last_key_value()?;
        let at = |percent: u64| {
            let rank = (u128::from(total) * u128::from(percent)).div_ceil(100) as u64;
            let mut counted = 0;
            let mut values = self.0.iter();
            let found = values.find(|(_, n)| {
                counted += **n;
                counted >= rank
            });
            found.map_or(*largest, |(value, _)| *value)
        };
        Some(Percentiles {
            median: at(50),
            p90: at(90),
            largest: *largest,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_value_has_no_percentile() {
        assert_eq!(Histogram::default().percentiles(), None);
    }

    #[test]
    fn percentile_of_few_values_is_one_of_them() {
        let of = |values: &[u64]| {
            let mut histogram = Histogram::default();
            values.iter().for_each(|v| histogram.add(*v));
            let p = histogram.percentiles().unwrap();
            (p.median, p.p90, p.largest)
        };
        assert_eq!(of(&[7]), (7, 7, 7));
        assert_eq!(of(&[1, 9]), (1, 9, 9));
        assert_eq!(of(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 100]), (5, 9, 100));
    }

    proptest! {
        /// Nearest rank: counted in the sorted values.
        #[test]
        fn percentiles_equal_those_of_the_sorted_values(mut values in proptest::collection::vec(0u64..50, 1..200)) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|v| histogram.add(*v));
            values.sort_unstable();
            let rank = |percent: usize| values[(values.len() * percent).div_ceil(100) - 1];
            let expected = Percentiles { median: rank(50), p90: rank(90), largest: *values.last().unwrap() };
            prop_assert_eq!(histogram.percentiles(), Some(expected));
        }
    }
}
