//! The record of a reporter.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::periods::DAY;
use crate::model::{Time, time::Seconds};

/// How many of the last jobs of a reporter count for the reputation.
pub const REPUTATION_JOBS: usize = 50;
/// How many of the first jobs of a reporter need approval.
pub const FIRST_JOBS: usize = 5;
/// The reputation below which the jobs of a reporter need approval.
pub const MIN_REPUTATION: f64 = 0.1;

/// The record of a reporter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReporterRecord {
    /// The last jobs, the oldest first, each with whether the host relayed.
    pub recent: VecDeque<(u64, bool)>,
    /// The current day (since 1970) and the number of nominations in it.
    pub day: (u64, u32),
}

impl ReporterRecord {
    /// Returns the share of right nominations: (right + 1) / (tested + 2) of the last fifty jobs.
    pub fn reputation(&self) -> f64 {
        let right = self.recent.iter().filter(|(_, r)| *r).count();
        (right as f64 + 1.0) / (self.recent.len() as f64 + 2.0)
    }

    /// Whether nominations of the reporter need approval.
    pub fn needs_approval(&self) -> bool {
        self.recent.len() < FIRST_JOBS || self.reputation() < MIN_REPUTATION
    }

    /// Notes whether the host of a job relayed. A later delivery corrects an earlier result.
    pub fn note(&mut self, job: u64, right: bool) {
        match self.recent.iter_mut().find(|(j, _)| *j == job) {
            Some((_, r)) => *r |= right,
            None => self.recent.push_back((job, right)),
        }
        while self.recent.len() > REPUTATION_JOBS {
            self.recent.pop_front();
        }
    }

    /// Returns the day of the last nomination.
    pub fn last(&self) -> Time {
        Time(self.day.0 * DAY)
    }

    /// Returns the time until the next day, when the quota is renewed.
    pub fn next_day(&self, now: Time) -> Seconds {
        Seconds(DAY - now.0 % DAY)
    }

    /// Counts a nomination. Returns false if the quota of the day is used up.
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
    fn reputation_decides_about_approval_and_the_quota_is_daily() {
        let mut r = ReporterRecord::default();
        assert!(r.needs_approval());
        for i in 0..5 {
            r.note(i, i == 0);
        }
        assert!(!r.needs_approval() && (r.reputation() - 2.0 / 7.0).abs() < 1e-9);
        (5..60).for_each(|i| r.note(i, false));
        assert_eq!(r.recent.len(), REPUTATION_JOBS);
        assert!(r.needs_approval(), "{}", r.reputation());
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
