//! The rules of listings by generic names: what is looked up when, and what a result changes. Times
//! are those since the start of the service; no clock and no I/O.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    host::{HostState, ListedName, Step},
    lookup::{AssessedNames, allowed},
    ranges::RangeWalk,
    remembered::Remembered,
    schedule::LookupSchedule,
    settings::GenericNameSettings,
};
use crate::{
    model::{Subject, special::unlistable, time::Seconds},
    random::Random,
};

/// The shortest time for which the name of a listed address is not looked up again, whatever its
/// TTL.
pub(super) const MIN_RECHECK: Duration = Duration::from_secs(3600);
/// The shortest and the longest time for which an address that is not listed is remembered, whatever
/// the TTL of its name.
pub(super) const MIN_REMEMBERED: Duration = Duration::from_secs(6 * 3600);
pub(super) const LONGEST_REMEMBERED: Duration = Duration::from_secs(7 * 86_400);
/// How long after a failed look-up it is tried again; each further failure doubles the time.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(600);
/// After how many failures in a row an address that is not listed is no longer a candidate.
pub(super) const MAX_FAILURES: u32 = 3;
/// While fewer addresses than this wait, the walk through the ranges and the reading of listed hosts
/// go on.
pub(super) const LOW_QUEUE: usize = 200;
/// The most candidates from queries in the queue. Strangers choose which addresses are asked about,
/// so they must not hold up those of the operator.
pub(super) const MAX_QUERIED: usize = 100;
/// The longest time that is added to the time between two look-ups, in milliseconds.
const START_JITTER_MS: u64 = 50;
/// Times are longer by up to one part in this many, so that look-ups of the same time spread.
const JITTER_DIVISOR: u32 = 8;

fn seconds(time: Seconds) -> Duration {
    Duration::from_secs(time.0)
}

/// Numbers about the engine, of which the last six count since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GenericNameCounters {
    /// Addresses that are listed.
    pub listed: usize,
    /// Candidates that wait for a look-up, or whose look-up runs.
    pub waiting: usize,
    /// Addresses that were looked up and are not listed.
    pub remembered: usize,
    /// Addresses that the present pass through the ranges has left.
    pub range_left: u64,
    /// Candidates from queries that were added to the queue.
    pub queried: u64,
    /// Look-ups that were started.
    pub lookups: u64,
    /// Look-ups that failed.
    pub failed: u64,
    /// Candidates that did not fit into the queue.
    pub dropped: u64,
    /// Listings that ended because the name has changed or is not generic any more.
    pub ended: u64,
    /// Generic names that are not listed because too many are listed.
    pub over_limit: u64,
}

/// The state of all candidates and listings.
pub(super) struct GenericNameEngine {
    settings: GenericNameSettings,
    random: Random,
    schedule: LookupSchedule,
    /// The hosts that are listed, in doubt, or whose look-up has failed.
    hosts: HashMap<IpAddr, HostState>,
    remembered: Remembered,
    walk: RangeWalk,
    /// The candidates from queries that are in the queue.
    queried: HashSet<IpAddr>,
    /// The changes that are not committed yet: a listing, or its end.
    changes: BTreeMap<IpAddr, Option<ListedName>>,
    counters: GenericNameCounters,
}

impl GenericNameEngine {
    pub(super) fn new(settings: GenericNameSettings, random: Random) -> GenericNameEngine {
        let place = random.below(u64::MAX).unwrap_or_default();
        GenericNameEngine {
            walk: RangeWalk::new(&settings.ranges, place),
            settings,
            random,
            schedule: LookupSchedule::default(),
            hosts: HashMap::new(),
            remembered: Remembered::default(),
            queried: HashSet::new(),
            changes: BTreeMap::new(),
            counters: GenericNameCounters::default(),
        }
    }

    /// Returns a part of a time, at random.
    fn part_of(&self, time: Duration) -> Duration {
        let limit = time.as_millis() as u64 + 1;
        // Without random numbers everything is a little less spread.
        Duration::from_millis(self.random.below(limit).unwrap_or_default())
    }

    /// Returns a time that is a little longer, at random.
    fn jittered(&self, time: Duration) -> Duration {
        time + self.part_of(time / JITTER_DIVISOR)
    }

    fn recheck(&self) -> Duration {
        seconds(self.settings.recheck)
    }

    /// Takes a listing from the store. The look-ups of all listings are spread over the time in
    /// which they are due. With `is_outdated`, the stored entry has another reason, and is written
    /// again.
    pub(super) fn restore(
        &mut self,
        addr: IpAddr,
        name: ListedName,
        is_outdated: bool,
        now: Duration,
    ) {
        if allowed(addr, &name.name, &self.settings.allow).is_some() {
            self.changes.insert(addr, None);
            self.counters.ended += 1;
            return;
        }
        if is_outdated {
            self.changes.insert(addr, Some(name.clone()));
        }
        let state = HostState {
            listed: Some(name),
            ..HostState::default()
        };
        let due = now + self.part_of(self.recheck());
        if self.schedule.add(addr, due) {
            self.hosts.insert(addr, state);
            self.counters.listed += 1;
        }
    }

    /// The number of candidates in the queue.
    fn candidates(&self) -> usize {
        self.schedule.len().saturating_sub(self.counters.listed)
    }

    /// Whether the queue has room for the walk through ranges and listed hosts.
    pub(super) fn is_idle(&self) -> bool {
        self.candidates() < LOW_QUEUE.min(self.settings.max_queue)
    }

    /// Adds a candidate, unless it is known, cannot be listed, or the queue is full. Returns whether
    /// it was added.
    pub(super) fn offer(&mut self, addr: IpAddr, now: Duration) -> bool {
        let addr = addr.to_canonical();
        if unlistable(&Subject::host(addr), &self.settings.special).is_some()
            || self.settings.allow.address(addr).is_some()
            || self.hosts.contains_key(&addr)
            || self.remembered.contains(addr, now)
        {
            return false;
        }
        if self.candidates() >= self.settings.max_queue {
            self.counters.dropped += 1;
            return false;
        }
        self.schedule.add(addr, now)
    }

    /// Whether the queue has room for a candidate from queries.
    pub(super) fn takes_queried(&self) -> bool {
        let most = (self.settings.max_queue / 2).clamp(1, MAX_QUERIED);
        self.settings.queried_hosts && self.queried.len() < most
    }

    /// Adds a candidate from queries, if there is room for it.
    pub(super) fn offer_queried(&mut self, addr: IpAddr, now: Duration) {
        let addr = addr.to_canonical();
        if self.takes_queried() && self.offer(addr, now) {
            self.queried.insert(addr);
            self.counters.queried += 1;
        }
    }

    /// Fills the queue from the ranges while it is almost empty. At most so many addresses are
    /// taken, so that a range of known addresses does not hold up others.
    pub(super) fn walk(&mut self, now: Duration, most: usize) {
        for _ in 0..most {
            if !self.is_idle() {
                return;
            }
            let Some(addr) = self.walk.next(now) else {
                return;
            };
            self.offer(addr, now);
        }
    }

    /// Takes the next address to look up. [`GenericNameEngine::finish`] has to be called for it.
    pub(super) fn start_next(&mut self, now: Duration) -> Option<IpAddr> {
        let jitter = self.part_of(Duration::from_millis(START_JITTER_MS));
        let addr = self.schedule.start_next(now, jitter)?;
        self.queried.remove(&addr);
        self.counters.lookups += 1;
        Some(addr)
    }

    /// Takes the result of a look-up. After an error nothing changes but the time of the next
    /// look-up.
    pub(super) fn finish(
        &mut self,
        addr: IpAddr,
        result: Result<AssessedNames, String>,
        now: Duration,
    ) {
        if !self.schedule.is_running(addr) {
            return;
        }
        let again = match result {
            Ok(found) => self.found(addr, &found, now),
            Err(_) => self.failed(addr),
        };
        let again = again.map(|after| now + self.jittered(after));
        self.schedule.finish(addr, again);
    }

    /// Returns after how long the address is looked up again.
    fn found(&mut self, addr: IpAddr, found: &AssessedNames, now: Duration) -> Option<Duration> {
        let name = found
            .generic(self.settings.min_confidence)
            .map(|(name, found)| ListedName::new(name, found));
        let was_listed = self.hosts.get(&addr).is_some_and(|h| h.listed.is_some());
        if name.is_some() && !was_listed && self.counters.listed >= self.settings.max_listed {
            self.counters.over_limit += 1;
            self.hosts.remove(&addr);
            self.remembered
                .add(addr, now + self.jittered(MIN_REMEMBERED));
            return None;
        }
        let host = self.hosts.entry(addr).or_default();
        let step = host.found(name);
        let is_listed = host.listed.is_some();
        match step {
            Step::Keep => {}
            Step::Confirm => return Some(seconds(self.settings.confirm_after)),
            Step::List(name) => drop(self.changes.insert(addr, Some(name))),
            Step::End => {
                self.changes.insert(addr, None);
                self.counters.ended += 1;
            }
        }
        match (was_listed, is_listed) {
            (false, true) => self.counters.listed += 1,
            (true, false) => self.counters.listed -= 1,
            _ => {}
        }
        if is_listed {
            let longest = self.recheck();
            return Some(found.ttl.clamp(MIN_RECHECK.min(longest), longest));
        }
        self.hosts.remove(&addr);
        let remembered = found.ttl.clamp(MIN_REMEMBERED, LONGEST_REMEMBERED);
        self.remembered.add(addr, now + self.jittered(remembered));
        None
    }

    fn failed(&mut self, addr: IpAddr) -> Option<Duration> {
        self.counters.failed += 1;
        let longest = self.recheck();
        let host = self.hosts.entry(addr).or_default();
        host.failures = host.failures.saturating_add(1);
        if host.listed.is_none() && host.failures >= MAX_FAILURES {
            self.hosts.remove(&addr);
            return None;
        }
        let doublings = (host.failures - 1).min(16);
        Some((RETRY_AFTER * (1 << doublings)).min(longest))
    }

    /// Takes the changes that are not committed yet, at most `most`.
    pub(super) fn take_changes(&mut self, most: usize) -> Vec<(IpAddr, Option<ListedName>)> {
        let later = match self.changes.keys().nth(most).copied() {
            Some(first) => self.changes.split_off(&first),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.changes, later)
            .into_iter()
            .collect()
    }

    /// Takes changes back that could not be committed, unless there are newer ones.
    pub(super) fn return_changes(&mut self, changes: Vec<(IpAddr, Option<ListedName>)>) {
        for (addr, change) in changes {
            self.changes.entry(addr).or_insert(change);
        }
    }

    /// Whether there are changes to commit.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// When the next look-up begins, unless candidates are added or look-ups end before.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.schedule.next_at()
    }

    /// The settings.
    pub(super) fn settings(&self) -> &GenericNameSettings {
        &self.settings
    }

    /// The numbers.
    pub(super) fn counters(&self) -> GenericNameCounters {
        GenericNameCounters {
            waiting: self.candidates(),
            remembered: self.remembered.len(),
            range_left: self.walk.left(),
            ..self.counters
        }
    }
}
