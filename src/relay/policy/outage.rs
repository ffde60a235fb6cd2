//! Outages and load of the collector: waiting periods stand still in them.

use super::periods::DAY;
use crate::model::{Time, time::Seconds};

/// When the collector or the clock could not be trusted (safety rule S18): begin, and end where it
/// is over.
pub type Outage = (Time, Option<Time>);

/// How much of a span lay in outages, which may overlap; the waiting period stands still there.
pub fn lost(outages: &[Outage], from: Time, to: Time) -> Seconds {
    let mut spans: Vec<(u64, u64)> = outages
        .iter()
        .map(|(a, b)| (a.0.max(from.0), b.unwrap_or(to).0.min(to.0)))
        .collect();
    spans.sort_unstable();
    let (mut sum, mut done) = (0, from.0);
    for (a, b) in spans {
        sum += b.saturating_sub(a.max(done));
        done = done.max(b);
    }
    Seconds(sum)
}

/// The most that load of the collector delays a claim, in all.
pub const MAX_LOAD_PAUSE: Seconds = Seconds(7 * DAY);

/// How long a period of a claim, which began at `from`, has stood still: in outages, and while the
/// collector was under load; but for load at most [`MAX_LOAD_PAUSE`] since the claim was made.
pub fn paused(
    outages: &[Outage],
    loads: &[Outage],
    claimed: Time,
    from: Time,
    now: Time,
) -> Seconds {
    let in_outages = lost(outages, from, now).0;
    let in_all = lost(&[outages, loads].concat(), from, now).0;
    let left = MAX_LOAD_PAUSE
        .0
        .saturating_sub(lost(loads, claimed, from).0);
    Seconds(in_outages + (in_all - in_outages).min(left))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn load_delays_a_claim_by_seven_days_in_all() {
        let day = |n: u64| Time(n * DAY);
        let days = |n: u64| Seconds(n * DAY);
        let load = |a, b| (day(a), Some(day(b)));
        assert_eq!(paused(&[], &[load(1, 3)], day(0), day(0), day(10)), days(2));
        assert_eq!(
            paused(&[], &[(day(1), None)], day(0), day(0), day(20)),
            days(7)
        );
        assert_eq!(
            paused(&[], &[load(1, 5), load(8, 20)], day(0), day(0), day(20)),
            days(7)
        );
        // What one period has used the next one lacks.
        assert_eq!(
            paused(&[], &[load(0, 5), load(8, 20)], day(0), day(8), day(20)),
            days(2)
        );
        // Outages count whatever their length, and a time that is both counts once.
        assert_eq!(
            paused(&[load(2, 4)], &[load(1, 5)], day(0), day(0), day(20)),
            days(4)
        );
        assert_eq!(
            paused(&[load(0, 30)], &[load(1, 5)], day(0), day(0), day(20)),
            days(20)
        );
        assert_eq!(
            paused(&[load(0, 10)], &[load(0, 30)], day(0), day(0), day(30)),
            days(17)
        );
    }

    proptest! {
        /// S18: time that was lost is never more than the span, and counts once, also where a stop
        /// came into an outage.
        #[test]
        fn lost_time_adds_up(spans in proptest::collection::vec((0u64..200, 0u64..90, any::<bool>()), 0..6), from in 0u64..100, len in 0u64..300) {
            let to = from + len;
            let outages: Vec<Outage> = spans.iter().map(|(a, long, open)| (Time(*a), (!open).then_some(Time(a + long)))).collect();
            let naive = (from..to).filter(|t| outages.iter().any(|(a, b)| a.0 <= *t && *t < b.map_or(to, |b| b.0))).count() as u64;
            prop_assert_eq!(lost(&outages, Time(from), Time(from + len)).0, naive);
        }
    }
}
