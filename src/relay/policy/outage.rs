//! Outages and load of the collector, which pause waiting periods.

use super::periods::DAY;
use crate::model::{Time, time::Seconds};

/// A period in which the collector or the clock could not be trusted (safety rule S18): its begin,
/// and its end if it is over.
pub type Outage = (Time, Option<Time>);

/// Returns how much of a span was in outages, which may overlap.
pub fn outage_time(outages: &[Outage], from: Time, to: Time) -> Seconds {
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

/// The most time by which load of the collector delays one claim in total.
pub const MAX_LOAD_PAUSE: Seconds = Seconds(7 * DAY);

/// Returns how long a period of a claim, which began at `from`, was paused by outages and by load.
/// Load counts up to [`MAX_LOAD_PAUSE`] since the claim was made.
pub fn paused_time(
    outages: &[Outage],
    loads: &[Outage],
    claimed: Time,
    from: Time,
    now: Time,
) -> Seconds {
    let in_outages = outage_time(outages, from, now).0;
    let in_all = outage_time(&[outages, loads].concat(), from, now).0;
    let left = MAX_LOAD_PAUSE
        .0
        .saturating_sub(outage_time(loads, claimed, from).0);
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
        assert_eq!(
            paused_time(&[], &[load(1, 3)], day(0), day(0), day(10)),
            days(2)
        );
        assert_eq!(
            paused_time(&[], &[(day(1), None)], day(0), day(0), day(20)),
            days(7)
        );
        assert_eq!(
            paused_time(&[], &[load(1, 5), load(8, 20)], day(0), day(0), day(20)),
            days(7)
        );
        // Load during one period reduces what is left for the next one.
        assert_eq!(
            paused_time(&[], &[load(0, 5), load(8, 20)], day(0), day(8), day(20)),
            days(2)
        );
        // Outages count without a limit, and time that is both outage and load counts once.
        assert_eq!(
            paused_time(&[load(2, 4)], &[load(1, 5)], day(0), day(0), day(20)),
            days(4)
        );
        assert_eq!(
            paused_time(&[load(0, 30)], &[load(1, 5)], day(0), day(0), day(20)),
            days(20)
        );
        assert_eq!(
            paused_time(&[load(0, 10)], &[load(0, 30)], day(0), day(0), day(30)),
            days(17)
        );
    }

    proptest! {
        /// S18: overlapping outages count once, and time outside of the span does not count.
        #[test]
        fn lost_time_is_the_union_of_outages_within_the_span(spans in proptest::collection::vec((0u64..200, 0u64..90, any::<bool>()), 0..6), from in 0u64..100, len in 0u64..300) {
            let to = from + len;
            let outages: Vec<Outage> = spans.iter().map(|(a, long, open)| (Time(*a), (!open).then_some(Time(a + long)))).collect();
            let naive = (from..to).filter(|t| outages.iter().any(|(a, b)| a.0 <= *t && *t < b.map_or(to, |b| b.0))).count() as u64;
            prop_assert_eq!(outage_time(&outages, Time(from), Time(from + len)).0, naive);
        }
    }
}
