//! Limits how many hosts of a prefix or a network are tested in a day.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::periods::DAY;
use crate::model::{Time, time::Seconds};

/// The tests of the last day in a prefix or a network: host and time of each, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Tests of nominations.
    pub tests: Vec<(IpAddr, Time)>,
    /// Tests of proved claims.
    pub claims: Vec<(IpAddr, Time)>,
    /// Tests of unproved claims.
    pub unproved: Vec<(IpAddr, Time)>,
    /// Tests that reporters ran themselves.
    pub remote: Vec<(IpAddr, Time)>,
}

/// The budget that a test is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetKind {
    /// Nominations and reviews.
    Tests,
    /// Proved claims.
    Claims,
    /// Unproved claims. They do not delay other tests.
    Unproved,
    /// Tests that reporters run themselves.
    Remote,
}

impl Budget {
    /// Returns the earliest time at which a host may be tested, with at most `most` hosts in a day.
    /// A host that was counted before keeps its time; later hosts do not delay it.
    pub fn time(&self, target: IpAddr, kind: BudgetKind, most: usize, now: Time) -> Time {
        let all = match kind {
            BudgetKind::Tests => &self.tests,
            BudgetKind::Claims => &self.claims,
            BudgetKind::Unproved => &self.unproved,
            BudgetKind::Remote => &self.remote,
        };
        let most = most.max(1);
        let own = all
            .iter()
            .find(|(a, _)| *a == target)
            .map(|(_, t)| (*t).max(now));
        let before = |t: Time| own.is_none_or(|o| t <= o);
        let others = all
            .iter()
            .filter(|(a, t)| *a != target && t.plus(Seconds(DAY)) > now && before(*t));
        let mut recent: Vec<Time> = others.map(|(_, t)| *t).collect();
        recent.sort_unstable();
        let free = match recent.len() < most {
            true => now,
            false => recent[recent.len() - most].plus(Seconds(DAY)),
        };
        free.max(own.unwrap_or(now))
    }

    /// Whether all tests are more than a day old.
    pub fn is_over(&self, now: Time) -> bool {
        [&self.tests, &self.claims, &self.unproved, &self.remote]
            .into_iter()
            .flatten()
            .all(|(_, t)| t.plus(Seconds(DAY)) <= now)
    }

    /// Counts a test at a time. A time in the future reserves the budget for the host. Tests that
    /// are more than a day old are removed.
    pub fn count(&mut self, target: IpAddr, kind: BudgetKind, at: Time, now: Time) {
        let all = match kind {
            BudgetKind::Tests => &mut self.tests,
            BudgetKind::Claims => &mut self.claims,
            BudgetKind::Unproved => &mut self.unproved,
            BudgetKind::Remote => &mut self.remote,
        };
        all.retain(|(a, t)| *a != target && t.plus(Seconds(DAY)) > now);
        all.push((target, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(t: &str) -> IpAddr {
        t.parse().unwrap()
    }

    /// S3.
    #[test]
    fn prefix_has_three_tests_a_day_and_claims_are_counted_apart() {
        let mut b = Budget::default();
        for i in 1..=3 {
            let a = ip(&format!("192.0.2.{i}"));
            assert_eq!(b.time(a, BudgetKind::Tests, 3, Time(i)), Time(i));
            b.count(a, BudgetKind::Tests, Time(i), Time(i));
        }
        assert_eq!(
            b.time(ip("192.0.2.4"), BudgetKind::Tests, 3, Time(10)),
            Time(1 + DAY)
        );
        assert_eq!(
            b.time(ip("192.0.2.3"), BudgetKind::Tests, 3, Time(10)),
            Time(10),
            "a host that was counted is not delayed"
        );
        assert_eq!(
            b.time(ip("192.0.2.4"), BudgetKind::Claims, 3, Time(10)),
            Time(10)
        );
        assert_eq!(
            b.time(ip("192.0.2.4"), BudgetKind::Tests, 3, Time(DAY + 2)),
            Time(DAY + 2)
        );
        assert!(!b.is_over(Time(DAY + 2)) && b.is_over(Time(DAY + 3)));
    }

    /// Once, later hosts delayed those that were already waiting.
    #[test]
    fn host_keeps_its_time_in_the_budget() {
        let mut b = Budget::default();
        let host = |i: u64| ip(&format!("192.0.2.{i}"));
        let mut times = Vec::new();
        for i in 1..=5 {
            let at = b.time(host(i), BudgetKind::Unproved, 2, Time(100));
            b.count(host(i), BudgetKind::Unproved, at, Time(100));
            times.push(at.0);
        }
        assert_eq!(times, [100, 100, 100 + DAY, 100 + DAY, 100 + 2 * DAY]);
        for (i, at) in (1..=5).zip(&times) {
            assert_eq!(
                b.time(host(i), BudgetKind::Unproved, 2, Time(100)),
                Time(*at),
                "{i}"
            );
        }
        // A host that is tested later than reserved delays those after it.
        b.count(host(1), BudgetKind::Unproved, Time(7000), Time(7000));
        b.count(host(2), BudgetKind::Unproved, Time(7000), Time(7000));
        assert_eq!(
            b.time(host(3), BudgetKind::Unproved, 2, Time(100 + DAY)),
            Time(7000 + DAY)
        );
    }
}
