//! Decides whether a list that a guard stopped is held, stays held, or is accepted automatically.
//! Pure.

use crate::{
    ledger::{
        guard::GuardTrip,
        held::{FileMark, HeldList},
    },
    model::{Time, time::Seconds},
};

/// How many more lists have to be similar to the first held one before it is accepted
/// automatically.
const MIN_REFRESHES: u32 = 3;

/// The decision about a list that a guard stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is held, and the hold is announced.
    Hold(HeldList),
    /// It is similar to the list that is held already, and stays held.
    HoldOn(HeldList),
    /// It is accepted: the feed has had similar lists for long enough.
    Accept,
}

/// Decides about a list that a guard stopped. `last` is the list that is held already; `wait` is
/// the time after which a list can be accepted automatically.
pub fn next(
    last: Option<&HeldList>,
    feed: &str,
    mark: FileMark,
    trip: GuardTrip,
    wait: Seconds,
    now: Time,
) -> Step {
    let entries = trip.extents.after.entries;
    let held = match last {
        // The same file was read again after a restart, or with other settings.
        Some(last) if last.mark == mark => HeldList {
            trip,
            ..last.clone()
        },
        Some(last)
            if !last.refused
                && last.trip.guard == trip.guard
                && is_alike(entries, last.entries) =>
        {
            HeldList {
                mark,
                trip,
                refreshes: last.refreshes + 1,
                ..last.clone()
            }
        }
        _ => {
            let held = HeldList {
                feed: feed.into(),
                mark,
                since: now,
                entries,
                refreshes: 0,
                refused: false,
                trip,
            };
            return Step::Hold(held);
        }
    };
    if is_due(&held, wait, now) {
        Step::Accept
    } else {
        Step::HoldOn(held)
    }
}

/// Whether a held list is accepted automatically.
pub fn is_due(held: &HeldList, wait: Seconds, now: Time) -> bool {
    !held.refused && held.refreshes >= MIN_REFRESHES && now >= held.since.plus(wait)
}

/// Whether two lists differ by at most a tenth of the first one's entries.
fn is_alike(entries: u64, first: u64) -> bool {
    u128::from(entries.abs_diff(first)) * 10 <= u128::from(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::guard::Guard,
        store::{
            extent::{Extent, Extents},
            stage::ImportDifference,
        },
    };

    const DAY: Seconds = Seconds(86_400);

    fn trip(entries: u64) -> GuardTrip {
        let before = Extent {
            entries: 1000,
            ..Extent::default()
        };
        let after = Extent {
            entries,
            ..Extent::default()
        };
        let extents = Extents {
            before,
            after,
            gone4: 1000 - entries,
            ..Extents::default()
        };
        GuardTrip {
            guard: Guard::Shrink,
            reason: "fewer".into(),
            extents,
            difference: ImportDifference::default(),
        }
    }

    fn mark(n: u64) -> FileMark {
        (1, n, 3, 4, 5)
    }

    fn hours(n: u64) -> Time {
        Time(1_800_000_000 + n * 3600)
    }

    fn held(step: Step) -> HeldList {
        match step {
            Step::Hold(h) | Step::HoldOn(h) => h,
            Step::Accept => panic!("accepted"),
        }
    }

    #[test]
    fn held_list_is_accepted_after_the_wait_and_three_similar_lists() {
        let first = next(None, "x", mark(1), trip(100), DAY, hours(0));
        assert!(
            matches!(&first, Step::Hold(h) if (h.refreshes, h.entries, h.since) == (0, 100, hours(0)))
        );
        let mut last = held(first);
        for (n, entries) in [(1, 110), (2, 90)] {
            last = held(next(
                Some(&last),
                "x",
                mark(1 + n),
                trip(entries),
                DAY,
                hours(n),
            ));
            assert_eq!(
                (last.refreshes, last.entries),
                (n as u32, 100),
                "measured against the first"
            );
        }
        // The wait is over, but there were only two similar lists.
        let two = next(Some(&last), "x", mark(3), trip(90), DAY, hours(30));
        assert!(
            matches!(two, Step::HoldOn(_)),
            "the same file is not one more"
        );
        assert_eq!(
            next(Some(&last), "x", mark(4), trip(100), DAY, hours(24)),
            Step::Accept
        );
        // There were three similar lists, but the wait is not over.
        let three = held(next(Some(&last), "x", mark(4), trip(100), DAY, hours(23)));
        assert_eq!(
            (
                three.refreshes,
                is_due(&three, DAY, hours(23)),
                is_due(&three, DAY, hours(24))
            ),
            (3, false, true)
        );
    }

    #[test]
    fn different_list_starts_a_new_hold() {
        let first = held(next(None, "x", mark(1), trip(100), DAY, hours(0)));
        for entries in [89, 111, 0, 300] {
            let other = next(Some(&first), "x", mark(2), trip(entries), DAY, hours(5));
            assert!(
                matches!(&other, Step::Hold(h) if (h.since, h.entries, h.refreshes) == (hours(5), entries, 0)),
                "{entries}"
            );
        }
        let grown = GuardTrip {
            guard: Guard::Growth,
            ..trip(100)
        };
        assert!(matches!(
            next(Some(&first), "x", mark(2), grown, DAY, hours(5)),
            Step::Hold(_)
        ));
    }

    #[test]
    fn refused_list_stays_refused_until_the_file_changes() {
        let refused = HeldList {
            refused: true,
            ..held(next(None, "x", mark(1), trip(100), DAY, hours(0)))
        };
        let again = next(Some(&refused), "x", mark(1), trip(100), DAY, hours(50));
        assert!(matches!(&again, Step::HoldOn(h) if h.refused));
        let other = next(Some(&refused), "x", mark(2), trip(100), DAY, hours(50));
        assert!(matches!(&other, Step::Hold(h) if !h.refused && h.since == hours(50)));
        let many = HeldList {
            refreshes: 9,
            ..refused
        };
        assert!(!is_due(&many, DAY, hours(50)));
    }
}
