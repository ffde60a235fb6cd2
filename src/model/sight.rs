//! When listings were last seen, and which limits on that (`seen_within` of a zone's `publish`) they
//! have outlived.
//!
//! A person or program sees a listing when it lists the subject or renews the listing; a feed sees
//! all its entries with each import. A listing that has outlived a limit does not count for the
//! rules that have this limit or a shorter one, until it is seen again. Nothing else of it changes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    time::{Seconds, Time},
    zone::Zone,
};

/// The longest limit of [`SightLimits`] that a listing has outlived, in seconds; 0: none.
///
/// It is part of the state of a listing and set when the listing is processed at that time, so that
/// what is published does not depend on the clock alone.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SightAge(pub u32);

impl SightAge {
    /// The age that a listing has when it was last seen before this time; at most 136 years.
    pub fn of(time: Seconds) -> SightAge {
        SightAge(u32::try_from(time.0).unwrap_or(u32::MAX))
    }

    /// When something that was last seen at `seen` has this age.
    pub fn since(self, seen: Time) -> Time {
        seen.plus(Seconds(self.0.into()))
    }
}

/// The different `seen_within` of all zones, the shortest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SightLimits(Vec<SightAge>);

impl SightLimits {
    /// The limits of the rules of some zones.
    pub fn of<'z>(zones: impl IntoIterator<Item = &'z Zone>) -> SightLimits {
        let published = zones.into_iter().flat_map(|zone| &zone.publish);
        let limits = published.filter_map(|p| p.seen_within.map(SightAge::of));
        let limits: BTreeSet<SightAge> = limits.collect();
        SightLimits(limits.into_iter().collect())
    }

    /// Limits that no configuration has, because `seen_within` is never 0: those of due times that
    /// are being moved.
    pub fn unknown() -> SightLimits {
        SightLimits(vec![SightAge(0)])
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All limits, the shortest first.
    pub fn all(&self) -> &[SightAge] {
        &self.0
    }

    /// The longest limit that something has outlived which was last seen at `seen`.
    pub fn outlived(&self, seen: Time, now: Time) -> SightAge {
        let outlived = self.0.iter().rev().find(|limit| limit.since(seen) <= now);
        outlived.copied().unwrap_or_default()
    }

    /// When something that was last seen at `seen`, and has outlived the limits up to `aged`,
    /// outlives the next one.
    pub fn next(&self, seen: Time, aged: SightAge) -> Option<Time> {
        let next = self.0.iter().find(|limit| **limit > aged);
        next.map(|limit| limit.since(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_outlived_at_its_second() {
        let limits = SightLimits(vec![SightAge(10), SightAge(30)]);
        let seen = Time(100);
        for (now, outlived) in [(100, 0), (109, 0), (110, 10), (129, 10), (130, 30)] {
            assert_eq!(
                limits.outlived(seen, Time(now)),
                SightAge(outlived),
                "{now}"
            );
        }
        assert_eq!(limits.next(seen, SightAge(0)), Some(Time(110)));
        assert_eq!(limits.next(seen, SightAge(10)), Some(Time(130)));
        assert_eq!(limits.next(seen, SightAge(20)), Some(Time(130)));
        assert_eq!(limits.next(seen, SightAge(30)), None);
    }
}
