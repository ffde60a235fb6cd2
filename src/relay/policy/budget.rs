//! How many hosts of one prefix or network are tested in a day.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::periods::DAY;
use crate::model::{Time, time::Seconds};

/// Tests that began in a net lately.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Of nominations: host and time.
    pub tests: Vec<(IpAddr, Time)>,
    /// Of proved claims.
    pub claims: Vec<(IpAddr, Time)>,
    /// Of claims that were not proved.
    pub unproved: Vec<(IpAddr, Time)>,
    /// Of those that reporters sent themselves.
    pub remote: Vec<(IpAddr, Time)>,
}

/// Which budget a test is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetKind {
    /// Nominations, and what follows from them.
    Tests,
    /// Proved claims.
    Claims,
    /// Claims that were not proved: they delay no others.
    Unproved,
    /// Those that reporters send themselves.
    Remote,
}

impl Budget {
    /// When a host may be tested, with fewer than `most` others in a day. A host that has a place
    /// keeps it: later hosts do not delay it.
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

    /// Whether all of its tests are of days before.
    pub fn is_over(&self, now: Time) -> bool {
        [&self.tests, &self.claims, &self.unproved, &self.remote]
            .into_iter()
            .flatten()
            .all(|(_, t)| t.plus(Seconds(DAY)) <= now)
    }

    /// Counts a test at a time, which may lie ahead: then it is a place for the host. Forgets those
    /// of the days before.
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
    fn a_net_has_three_hosts_tested_a_day_and_claims_apart() {
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
            "one of the three"
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

    /// Who came later pushed those back who waited before him.
    #[test]
    fn a_place_in_a_nets_budget_is_kept() {
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
        // One that was tested late takes from those behind it.
        b.count(host(1), BudgetKind::Unproved, Time(7000), Time(7000));
        b.count(host(2), BudgetKind::Unproved, Time(7000), Time(7000));
        assert_eq!(
            b.time(host(3), BudgetKind::Unproved, 2, Time(100 + DAY)),
            Time(7000 + DAY)
        );
    }
}
