//! The record of a host, and the pauses between its tests.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    claim::Claim,
    periods::{DAY, HOUR, MIN_TEST_INTERVAL, SAME_EVIDENCE_INTERVAL},
};
use crate::model::{Time, time::Seconds};

/// The stored record of a host. Listings are stored apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostRecord {
    /// When the last test began.
    pub tested: Option<Time>,
    /// The last evidence that led to a test of ours: time and fingerprint.
    #[serde(rename = "grounds")]
    pub evidence: Vec<(Time, u64)>,
    /// The last evidence that led to a reporter's own test: time and fingerprint.
    pub remote: Vec<(Time, u64)>,
    /// The port that was last proved open, if it was not 25.
    pub port: Option<u16>,
    /// The number of failed claims since the listing and the time of the last one, for unproved and
    /// for proved claims.
    pub failed: [(u32, Option<Time>); 2],
    /// The open claim.
    pub claim: Option<Claim>,
    /// When the last test of an unproved claim began.
    pub unproved: Option<Time>,
    /// The time of the last release.
    pub released: Option<Time>,
    /// The hosts that delivered for this one.
    pub outputs: Vec<IpAddr>,
    /// Names that the host had in earlier tests. The next test verifies them again.
    pub names: Vec<String>,
    /// The blocked claims of this listing, unproved and proved.
    pub blocked: [BlockedClaims; 2],
    /// When the holder's own tests of the last day were requested, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub self_tests: Vec<Time>,
}

/// The claims of a listing whose tests were blocked: the host refused the tester, which shows
/// nothing about relaying.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockedClaims {
    /// The number of blocked claims.
    pub count: u32,
    /// The time of the last one.
    pub last: Option<Time>,
    /// Our addresses that were blocked, the most recent last.
    pub sources: Vec<IpAddr>,
    /// The jobs of the most recent blocked claims.
    pub jobs: Vec<u64>,
}

/// The most jobs of blocked claims that are stored.
const MAX_BLOCKED_JOBS: usize = 8;
/// How many tests a holder may ask for in 24 hours.
const SELF_TESTS_PER_DAY: usize = 3;

/// The pause before the next claim is tested from the same address, after each of the first
/// [`QUICK_BLOCKED`] blocked claims of a listing.
pub const BLOCKED_PAUSE: Seconds = Seconds(15 * 60);
/// See [`BLOCKED_PAUSE`]. Later pauses are those after failed claims.
pub const QUICK_BLOCKED: u32 = 3;
/// The period after a release in which the host is rechecked at a random time.
pub const RECHECK_PERIOD: Seconds = Seconds(72 * HOUR);

impl BlockedClaims {
    /// Notes a blocked claim.
    pub fn note(&mut self, job: u64, source: Option<IpAddr>, now: Time) {
        (self.count, self.last) = (self.count.saturating_add(1), Some(now));
        self.jobs.push(job);
        self.jobs
            .drain(..self.jobs.len().saturating_sub(MAX_BLOCKED_JOBS));
        if let Some(source) = source {
            self.sources.retain(|s| *s != source);
            self.sources.push(source);
        }
    }

    /// Returns which of our addresses tests the next claim: one that was not blocked yet, or else
    /// the one that was blocked longest ago.
    pub fn next_source(&self, all: &[IpAddr]) -> Option<IpAddr> {
        let blocked = |s: &IpAddr| self.sources.iter().position(|b| b == s);
        all.iter()
            .copied()
            .min_by_key(|s| blocked(s).map_or(0, |at| at + 1))
    }

    /// Returns when the next claim may be tested: at once if it is tested from an address that was
    /// not blocked yet.
    pub fn next_time(&self, all: &[IpAddr], now: Time) -> Time {
        let is_new = |s: IpAddr| !self.sources.contains(&s);
        match self.last {
            Some(_) if self.next_source(all).is_some_and(is_new) => now,
            Some(last) if self.count <= QUICK_BLOCKED => now.max(last.plus(BLOCKED_PAUSE)),
            Some(last) => now.max(last.plus(claim_pause(self.count - QUICK_BLOCKED))),
            None => now,
        }
    }
}

/// The most fingerprints of evidence that are stored of a host.
const MAX_FINGERPRINTS: usize = 16;

/// Returns the pause after the last failed claim of a kind, by the number of failed ones: none,
/// then 1, 4, 16, 64, 64 … hours.
pub fn claim_pause(failed: u32) -> Seconds {
    match failed {
        0 => Seconds(0),
        n => Seconds(HOUR * 4u64.pow((n - 1).min(3))),
    }
}

impl HostRecord {
    /// Returns when the holder may test the host again: an hour after the last test, and three
    /// times a day.
    pub fn self_test_time(&self, now: Time) -> Time {
        let day = |t: &Time| t.plus(Seconds(DAY));
        let today: Vec<Time> = self
            .self_tests
            .iter()
            .filter(|t| day(t) > now)
            .copied()
            .collect();
        let daily = today.len().checked_sub(SELF_TESTS_PER_DAY);
        let daily = daily.map_or(now, |i| today[i].plus(Seconds(DAY)));
        let hourly = today.last().map_or(now, |t| t.plus(Seconds(HOUR)));
        now.max(daily).max(hourly)
    }

    /// Notes a test that the holder has requested.
    pub fn note_self_test(&mut self, now: Time) {
        self.self_tests.retain(|t| t.plus(Seconds(DAY)) > now);
        self.self_tests.push(now);
    }

    /// Returns when a claim that is made `now` is tested from one of `sources`. Unproved claims
    /// lead to at most one test a day.
    pub fn claim_time(&self, proved: bool, sources: &[IpAddr], now: Time) -> Time {
        let (failed, last) = self.failed[usize::from(proved)];
        let paced = last.map_or(now, |t| t.plus(claim_pause(failed)));
        let daily = self
            .unproved
            .filter(|_| !proved)
            .map_or(now, |t| t.plus(MIN_TEST_INTERVAL));
        now.max(paced)
            .max(daily)
            .max(self.blocked[usize::from(proved)].next_time(sources, now))
    }

    /// Returns when evidence that is received `now` leads to a test. A reporter's own test
    /// (`remote`) does not delay our tests, but waits for them and for those of other reporters.
    pub fn nomination_time(&self, hash: u64, remote: bool, now: Time) -> Time {
        let theirs = if remote { &self.remote[..] } else { &[] };
        let last = self.tested.max(theirs.iter().map(|g| g.0).max());
        let rested = last.map_or(now, |t| t.plus(MIN_TEST_INTERVAL));
        let mut known = self.evidence.iter().chain(theirs).filter(|g| g.1 == hash);
        let same = known
            .next_back()
            .map_or(now, |g| g.0.plus(SAME_EVIDENCE_INTERVAL));
        now.max(rested).max(same)
    }

    /// Notes the fingerprint of evidence that led to a test.
    pub fn note(all: &mut Vec<(Time, u64)>, hash: u64, now: Time) {
        all.retain(|g| g.1 != hash);
        all.push((now, hash));
        all.drain(..all.len().saturating_sub(MAX_FINGERPRINTS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S5.
    #[test]
    fn claims_are_tested_at_once_then_after_1_4_16_64_64_hours() {
        let hours: Vec<u64> = (0..7).map(|n| claim_pause(n).0 / HOUR).collect();
        assert_eq!(hours, [0, 1, 4, 16, 64, 64, 64]);
        let now = Time(1_000_000);
        let mut h = HostRecord {
            failed: [(3, Some(now)), (0, None)],
            ..HostRecord::default()
        };
        assert_eq!(
            h.claim_time(true, &[], now),
            now,
            "an unproved claim never delays a proved one"
        );
        assert_eq!(h.claim_time(false, &[], now), now.plus(Seconds(16 * HOUR)));
        h.unproved = Some(now);
        assert_eq!(
            h.claim_time(false, &[], now),
            now.plus(MIN_TEST_INTERVAL),
            "one test a day"
        );
        h.failed[1] = (2, Some(now));
        assert_eq!(h.claim_time(true, &[], now), now.plus(Seconds(4 * HOUR)));
    }

    #[test]
    fn holder_tests_a_host_once_an_hour_and_three_times_a_day() {
        let mut host = HostRecord::default();
        let mut now = Time(1_000_000);
        let mut times = Vec::new();
        for _ in 0..5 {
            now = host.self_test_time(now);
            host.note_self_test(now);
            times.push(now.0 - 1_000_000);
        }
        assert_eq!(times, [0, HOUR, 2 * HOUR, DAY, DAY + HOUR]);
        assert!(host.self_tests.len() <= SELF_TESTS_PER_DAY);
    }

    #[test]
    fn host_is_tested_once_a_day_and_once_a_month_for_the_same_evidence() {
        let now = Time(10_000_000);
        let h = HostRecord {
            tested: Some(now),
            evidence: vec![(now, 7)],
            ..HostRecord::default()
        };
        assert_eq!(
            h.nomination_time(8, false, now),
            now.plus(MIN_TEST_INTERVAL)
        );
        assert_eq!(
            h.nomination_time(7, false, now),
            now.plus(SAME_EVIDENCE_INTERVAL)
        );
        assert_eq!(HostRecord::default().nomination_time(7, false, now), now);
        // A reporter's own test waits for all tests and does not delay ours.
        let theirs = HostRecord {
            remote: vec![(now, 7)],
            ..HostRecord::default()
        };
        assert_eq!(
            [7, 8].map(|h| theirs.nomination_time(h, false, now)),
            [now; 2]
        );
        assert_eq!(
            [7, 8].map(|h| theirs.nomination_time(h, true, now)),
            [
                now.plus(SAME_EVIDENCE_INTERVAL),
                now.plus(MIN_TEST_INTERVAL)
            ]
        );
        assert_eq!(h.nomination_time(8, true, now), now.plus(MIN_TEST_INTERVAL));
    }
}
