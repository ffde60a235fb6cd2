//! Who is tested when: budgets, the pace of claims, waiting periods. Values and arithmetic; the
//! clock comes from outside.

use std::{collections::VecDeque, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    control::{self, ControlSession, DecisionRow},
    networks::net,
    outcome::{Assessment, TestResult, assess},
};
use crate::model::{Time, time::Seconds};

const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// Evidence that is older leads to no test (safety rule S2).
pub const EVIDENCE_LIFE: Seconds = Seconds(14 * DAY);
/// No host is tested more often than this, but for a claim.
pub const BETWEEN: Seconds = Seconds(DAY);
/// The same evidence leads to no second test before this (safety rule S5).
pub const SAME_EVIDENCE: Seconds = Seconds(30 * DAY);
/// Where something was accepted and nothing came: how long until the host is released.
pub const WAITING: Seconds = Seconds(5 * DAY);
/// A claim that nobody could test by then is granted.
pub const UNTESTED: Seconds = Seconds(2 * DAY);
/// The last jobs of a reporter that his reputation rests on.
pub const REPUTATION: usize = 50;
/// A reporter's first jobs, which a person decides.
pub const FIRST: usize = 5;
/// A reporter below this has a person decide.
pub const TRUST: f64 = 0.1;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Until somebody decides or switches something on.
    Held,
    /// Until a time.
    Deferred,
    /// As soon as there is a turn.
    Queued,
    /// Now.
    Running,
    /// It has ended.
    Done,
}

/// Why a host is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// Somebody brought evidence.
    Nomination,
    /// Its owner asked, and has proved that he is.
    Owner,
    /// Somebody says that it is closed.
    Claim {
        /// He has proved that he speaks for it.
        proved: bool,
    },
    /// A message came that was sent before the host was released.
    Review,
    /// A released host gets the same forms once more.
    Recheck,
}

/// What led to a test (safety rule S2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSummary {
    /// `message`, `log`, `owner`, `claim`, `review` or `recheck`.
    pub kind: String,
    /// The message's id, the line, the words.
    pub text: String,
    /// When it was seen.
    pub at: Time,
}

/// A test of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// The host.
    pub target: IpAddr,
    /// Instead of 25.
    pub port: Option<u16>,
    /// Why.
    pub cause: Trigger,
    /// Who asked.
    pub by: String,
    /// What led to it.
    pub grounds: EvidenceSummary,
    /// When it was asked for.
    pub at: Time,
    /// Where it stands.
    pub state: JobState,
    /// For whom or what it waits, in words.
    pub waiting_for: Option<String>,
    /// Not before this.
    pub not_before: Time,
    /// A person has agreed: reputation holds it no more.
    #[serde(rename = "agreed")]
    pub approved: bool,
    /// Sent by the reporter himself, with our tokens.
    pub remote: bool,
    /// Names that the host may have, from the evidence; only those that point at it are used.
    #[serde(default)]
    pub names: Vec<String>,
    /// Only these tests; all where it is empty.
    pub only: Vec<String>,
    /// How often it was run.
    pub tries: u8,
    /// How often our own stop cut it off; those are no tries.
    #[serde(rename = "cuts", default)]
    pub interruptions: u8,
    /// When it began last.
    pub begun: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// What each message came to.
    pub results: Vec<TestResult>,
    /// The address of ours that tests; the first of the family where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// It asks from a second source address what the claim's own test has seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second: bool,
    /// The sessions that carried forms which had come through, with their controls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlSession>,
    /// The row of the table that a claim's test came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<DecisionRow>,
}

impl Job {
    /// What its results and its controls say. A nominated host that never relayed has no control;
    /// it counts as closed without one.
    pub fn assessment(&self) -> Assessment {
        let assessment = assess(self.results.iter().map(|r| (r.class.as_str(), &r.outcome)));
        let is_supported = match self.controls.is_empty() {
            true => !self.is_claim() && self.cause != Trigger::Recheck,
            false => control::is_supported(&self.results, &self.controls),
        };
        if assessment == Assessment::Closed && !is_supported {
            Assessment::Refused
        } else {
            assessment
        }
    }
    /// Whether a claim led to it.
    pub fn is_claim(&self) -> bool {
        matches!(self.cause, Trigger::Claim { .. })
    }

    /// The address of ours that it was made from, as far as that is known.
    pub fn source_used(&self) -> Option<IpAddr> {
        self.controls
            .iter()
            .rev()
            .find_map(|s| s.source)
            .or(self.source)
    }

    /// Takes what a tester reports of its sessions. A message that was sent again belongs to its
    /// last session.
    pub fn add_controls(&mut self, sessions: Vec<ControlSession>) {
        for new in sessions {
            for old in &mut self.controls {
                old.places.retain(|p| !new.places.contains(p));
            }
            self.controls.push(new);
        }
        self.controls.retain(|s| !s.places.is_empty());
    }

    /// The budget that it counts in.
    pub fn budget_kind(&self) -> BudgetKind {
        if self.remote {
            BudgetKind::Remote
        } else {
            self.cause.budget_kind()
        }
    }
    /// Whether it still waits or runs.
    pub fn open(&self) -> bool {
        self.state != JobState::Done
    }
}

/// A claim that a host is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When it was made.
    pub at: Time,
    /// By whom.
    pub by: String,
    /// He has proved that he speaks for the host.
    pub proved: bool,
    /// Its test.
    pub job: u64,
    /// When the pace of claims lets it be tested.
    pub due: Time,
    /// Something was accepted and nothing has come: released then, if nothing comes.
    pub release: Option<Time>,
    /// What was sent since then speaks against it; since it was made, where it is left out.
    #[serde(default)]
    pub since: Option<Time>,
    /// The job that asks a second source address, while the waiting period runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_job: Option<u64>,
}

impl Claim {
    /// Whether a job is its test, or asks a second source address for it.
    pub fn is_tested_by(&self, job: u64) -> bool {
        self.job == job || self.second_job == Some(job)
    }

    /// Whether a message that was sent then, and came, says that it is wrong.
    pub fn is_refuted(&self, sent: Time) -> bool {
        sent >= self.since.unwrap_or(self.at)
    }

    /// When it is granted where nobody has tested it. A test that has begun may come to its end,
    /// but not for ever.
    pub fn granted(&self, begun: Option<Time>) -> Time {
        let usual = self.due.plus(UNTESTED);
        begun.map_or(usual, |b| {
            b.plus(UNTESTED).clamp(usual, usual.plus(UNTESTED))
        })
    }
}

/// What is known of a host beside its listings.
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
    /// When it was taken off last.
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

    /// When evidence that came `now` leads to a test. One that a reporter makes himself (`remote`)
    /// delays none of ours; and waits for ours and for others'.
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

/// Somebody asked not to be tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOut {
    /// What is not to be tested.
    pub subject: String,
    /// Since when.
    pub at: Time,
    /// Who wrote it down.
    pub by: String,
    /// How control was proved.
    pub proof: String,
}

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

impl Trigger {
    /// Whether the host's owner asked for the test: it is made at once and quickly.
    pub fn is_by_owner(self) -> bool {
        matches!(self, Trigger::Owner | Trigger::Claim { proved: true })
    }

    /// The budget of its tests.
    pub fn budget_kind(self) -> BudgetKind {
        match self {
            // It belongs to a claim, and comes at its own time.
            Trigger::Claim { proved: true } | Trigger::Recheck => BudgetKind::Claims,
            Trigger::Claim { proved: false } => BudgetKind::Unproved,
            Trigger::Nomination | Trigger::Owner | Trigger::Review => BudgetKind::Tests,
        }
    }
}

impl Budget {
    /// When a host of the net may be tested, with at most `most` others in a day. A host that has a
    /// place already keeps it: whoever comes behind it does not push it back.
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

/// What is known of a reporter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReporterRecord {
    /// His last jobs, oldest first, and whether the host relayed.
    pub recent: VecDeque<(u64, bool)>,
    /// The day that is counted, and his nominations in it.
    pub day: (u64, u32),
}

impl ReporterRecord {
    /// How often he is right: (right + 1) / (tested + 2) over the last fifty.
    pub fn reputation(&self) -> f64 {
        let right = self.recent.iter().filter(|(_, r)| *r).count();
        (right as f64 + 1.0) / (self.recent.len() as f64 + 2.0)
    }

    /// Whether a person decides about what he brings.
    pub fn is_watched(&self) -> bool {
        self.recent.len() < FIRST || self.reputation() < TRUST
    }

    /// Notes a job that has ended, or that it was right after all.
    pub fn note(&mut self, job: u64, right: bool) {
        match self.recent.iter_mut().find(|(j, _)| *j == job) {
            Some((_, r)) => *r |= right,
            None => self.recent.push_back((job, right)),
        }
        while self.recent.len() > REPUTATION {
            self.recent.pop_front();
        }
    }

    /// When he brought something last, to the day.
    pub fn last(&self) -> Time {
        Time(self.day.0 * DAY)
    }

    /// How long his quota of this day lasts still.
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

/// An input that a host delivered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPath {
    /// The host that took the message.
    pub input: IpAddr,
    /// Who had it tested.
    pub by: String,
    /// It was the input's owner: it proves nothing here.
    pub owner: bool,
    /// When it was seen.
    pub at: Time,
}

/// A host that delivers for inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputRecord {
    /// Whom for; only those that are still open.
    pub inputs: Vec<RelayPath>,
    /// It is listed.
    pub listed: bool,
}

impl OutputRecord {
    /// Takes note of an input.
    pub fn add(&mut self, fed: RelayPath) {
        if !self
            .inputs
            .iter()
            .any(|f| (f.input, &f.by, f.owner) == (fed.input, &fed.by, fed.owner))
        {
            self.inputs.push(fed);
        }
    }

    /// When there were two inputs in different nets, nominated by two, none of them by its owner:
    /// since then the notice period runs.
    pub fn proved(&self) -> Option<Time> {
        let strangers: Vec<&RelayPath> = self.inputs.iter().filter(|f| !f.owner).collect();
        let pair = |a: &RelayPath, b: &RelayPath| net(a.input) != net(b.input) && a.by != b.by;
        let pairs = strangers
            .iter()
            .enumerate()
            .flat_map(|(i, a)| strangers[i + 1..].iter().map(move |b| (a, b)));
        pairs
            .filter(|(a, b)| pair(a, b))
            .map(|(a, b)| a.at.max(b.at))
            .min()
    }
}

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
    use super::*;
    use proptest::prelude::*;

    fn ip(t: &str) -> IpAddr {
        t.parse().unwrap()
    }

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

    #[test]
    fn an_output_takes_two_inputs_of_two_nets_and_two_nominators() {
        let fed = |i: &str, by: &str, owner, at| RelayPath {
            input: ip(i),
            by: by.into(),
            owner,
            at: Time(at),
        };
        let proved = |all: &[RelayPath]| {
            OutputRecord {
                inputs: all.to_vec(),
                listed: false,
            }
            .proved()
        };
        assert_eq!(proved(&[fed("192.0.2.1", "a", false, 1)]), None);
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("192.0.2.9", "b", false, 2)
            ]),
            None,
            "one net"
        );
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("198.51.100.1", "a", false, 2)
            ]),
            None,
            "one nominator"
        );
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("198.51.100.1", "b", true, 2)
            ]),
            None,
            "its owner"
        );
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("198.51.100.1", "b", false, 2)
            ]),
            Some(Time(2))
        );
        assert_eq!(
            proved(&[
                fed("2001:db8::1", "a", false, 3),
                fed("2001:db8:0:1::", "b", false, 2)
            ]),
            None,
            "one /48"
        );
    }

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
