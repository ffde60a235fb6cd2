//! What is known of a reporter.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::periods::DAY;
use crate::model::{Time, time::Seconds};

/// The last jobs of a reporter that count for the reputation.
pub const REPUTATION: usize = 50;
/// The first jobs of a reporter, which a person approves.
pub const FIRST: usize = 5;
/// The jobs of a reporter with less reputation are approved by a person.
pub const TRUST: f64 = 0.1;

/// What is known of a reporter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReporterRecord {
    /// The last jobs, the oldest first, and whether the host relayed.
    pub recent: VecDeque<(u64, bool)>,
    /// The day that is counted, and the nominations of that day.
    pub day: (u64, u32),
}

impl ReporterRecord {
    /// How often the reporter is right: (right + 1) / (tested + 2) over the last fifty.
    pub fn reputation(&self) -> f64 {
        let right = self.recent.iter().filter(|(_, r)| *r).count();
        (right as f64 + 1.0) / (self.recent.len() as f64 + 2.0)
    }

    /// Whether a person approves the reporter's nominations.
    pub fn is_watched(&self) -> bool {
        self.recent.len() < FIRST || self.reputation() < TRUST
    }

    /// Notes a job that has ended, or that the reporter was right after all.
    pub fn note(&mut self, job: u64, right: bool) {
        match self.recent.iter_mut().find(|(j, _)| *j == job) {
            Some((_, r)) => *r |= right,
            None => self.recent.push_back((job, right)),
        }
        while self.recent.len() > REPUTATION {
            self.recent.pop_front();
        }
    }

    /// The day of the last nomination.
    pub fn last(&self) -> Time {
        Time(self.day.0 * DAY)
    }

    /// How long until the quota of the next day begins.
    pub fn next_day(&self, now: Time) -> Seconds {
        Seconds(DAY - now.0 % DAY)
    }

    /// Counts a nomination; false where the day's quota is used up.
    pub fn count(&mut self, quota: u32, now: Time) -> bool {
        let day = now.0 / DAY;
        if self.day.0 != day {
            self.day = (day, 0);
        }
        if self.day.1 >= quota {
            return false;
        }
        self.day.1 += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reputation_and_quota() {
        let mut r = ReporterRecord::default();
        assert!(r.is_watched());
        for i in 0..5 {
            r.note(i, i == 0);
        }
        assert!(!r.is_watched() && (r.reputation() - 2.0 / 7.0).abs() < 1e-9);
        (5..60).for_each(|i| r.note(i, false));
        assert_eq!(r.recent.len(), REPUTATION);
        assert!(r.is_watched(), "{}", r.reputation());
        r.note(59, true);
        assert!(r.recent.back() == Some(&(59, true)));
        assert!(
            r.count(2, Time(0))
                && r.count(2, Time(1))
                && !r.count(2, Time(2))
                && r.count(2, Time(DAY))
        );
    }
}
