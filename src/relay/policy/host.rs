//! What is known of a host, and how often it is tested.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    claim::Claim,
    periods::{BETWEEN, HOUR, SAME_EVIDENCE},
};
use crate::model::{Time, time::Seconds};

/// What is known of a host besides its listings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostRecord {
    /// When a test began last.
    pub tested: Option<Time>,
    /// When evidence led to a test, and a hash of it; the last few.
    pub grounds: Vec<(Time, u64)>,
    /// What reporters had messages for, which they sent themselves, and a hash of it; the last few.
    pub remote: Vec<(Time, u64)>,
    /// The port that was proved open last, where it was not 25.
    pub port: Option<u16>,
    /// Claims that failed since the listing, unproved and proved, and when the last of each did.
    pub failed: [(u32, Option<Time>); 2],
    /// The claim that is being looked at.
    pub claim: Option<Claim>,
    /// When an unproved claim last led to a test.
    pub unproved: Option<Time>,
    /// When it was released last.
    pub released: Option<Time>,
    /// Who delivered for it.
    pub outputs: Vec<IpAddr>,
    /// Names that it had when it was tested: the next test looks whether they are still its own.
    pub names: Vec<String>,
    /// Claims of this listing that were blocked, unproved and proved.
    pub blocked: [BlockedClaims; 2],
}

/// Claims of a listing whose tests were blocked: the host refused the tester, which says nothing
/// about relaying.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockedClaims {
    /// How many there were.
    pub count: u32,
    /// When the last one was.
    pub last: Option<Time>,
    /// The addresses of ours that were blocked, the last one last.
    pub sources: Vec<IpAddr>,
    /// The jobs of the last ones.
    pub jobs: Vec<u64>,
}

/// The most jobs that are remembered of blocked claims.
const MAX_BLOCKED_JOBS: usize = 8;

/// How long after a blocked claim the next one is tested from the same address, for the first
/// [`QUICK_BLOCKED`] ones of a listing.
pub const BLOCKED_PAUSE: Seconds = Seconds(15 * 60);
/// See [`BLOCKED_PAUSE`]; later ones wait as after failed claims.
pub const QUICK_BLOCKED: u32 = 3;
/// Within this time after a release the forms that had come through are sent once more.
pub const RECHECK_WITHIN: Seconds = Seconds(72 * HOUR);

impl BlockedClaims {
    /// Notes a claim that was blocked.
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

    /// The address of ours that tests the next claim, of those that can: one that was not blocked
    /// yet, else the one that was blocked longest ago.
    pub fn next_source(&self, all: &[IpAddr]) -> Option<IpAddr> {
        let blocked = |s: &IpAddr| self.sources.iter().position(|b| b == s);
        all.iter()
            .copied()
            .min_by_key(|s| blocked(s).map_or(0, |at| at + 1))
    }

    /// When the next claim may be tested: at once from an address that was not blocked yet.
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

/// What led to tests, and is remembered of a host.
const MAX_GROUNDS: usize = 16;

/// How long after the last failed claim of its kind the next one is tested: at once, then 1, 4, 16,
/// 64, 64 … hours.
pub fn claim_pause(failed: u32) -> Seconds {
    match failed {
        0 => Seconds(0),
        n => Seconds(HOUR * 4u64.pow((n - 1).min(3))),
    }
}

impl HostRecord {
    /// When a claim made `now` is tested, by one of our addresses. An unproved one leads to at most
    /// one test a day, whatever became of it.
    pub fn claim_time(&self, proved: bool, sources: &[IpAddr], now: Time) -> Time {
        let (failed, last) = self.failed[usize::from(proved)];
        let paced = last.map_or(now, |t| t.plus(claim_pause(failed)));
        let daily = self
            .unproved
            .filter(|_| !proved)
            .map_or(now, |t| t.plus(BETWEEN));
        now.max(paced)
            .max(daily)
            .max(self.blocked[usize::from(proved)].next_time(sources, now))
    }

    /// When evidence of `now` leads to a test. A reporter's own test (`remote`) delays none of
    /// ours, and waits for ours and for those of other reporters.
    pub fn nomination_time(&self, hash: u64, remote: bool, now: Time) -> Time {
        let theirs = if remote { &self.remote[..] } else { &[] };
        let last = self.tested.max(theirs.iter().map(|g| g.0).max());
        let rested = last.map_or(now, |t| t.plus(BETWEEN));
        let mut known = self.grounds.iter().chain(theirs).filter(|g| g.1 == hash);
        let same = known.next_back().map_or(now, |g| g.0.plus(SAME_EVIDENCE));
        now.max(rested).max(same)
    }

    /// Notes what led to a test, of those that are remembered.
    pub fn note(all: &mut Vec<(Time, u64)>, hash: u64, now: Time) {
        all.retain(|g| g.1 != hash);
        all.push((now, hash));
        all.drain(..all.len().saturating_sub(MAX_GROUNDS));
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
            now.plus(BETWEEN),
            "one test a day"
        );
        h.failed[1] = (2, Some(now));
        assert_eq!(h.claim_time(true, &[], now), now.plus(Seconds(4 * HOUR)));
    }

    #[test]
    fn nothing_is_tested_twice_a_day_or_for_old_news() {
        let now = Time(10_000_000);
        let h = HostRecord {
            tested: Some(now),
            grounds: vec![(now, 7)],
            ..HostRecord::default()
        };
        assert_eq!(h.nomination_time(8, false, now), now.plus(BETWEEN));
        assert_eq!(h.nomination_time(7, false, now), now.plus(SAME_EVIDENCE));
        assert_eq!(HostRecord::default().nomination_time(7, false, now), now);
        // What reporters send themselves waits for all, and delays nobody else.
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
            [now.plus(SAME_EVIDENCE), now.plus(BETWEEN)]
        );
        assert_eq!(h.nomination_time(8, true, now), now.plus(BETWEEN));
    }
}
