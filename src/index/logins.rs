//! The recent log-ins of a volatile zone: what reports change and queries read.
//!
//! Log-ins are not part of the snapshot, because they do not wait for commits. Queries read the
//! present [`LoginSet`] without a lock; a report changes a copy, which shares all unchanged parts,
//! and publishes it before it returns.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use super::{
    Published,
    login_set::{LoginEntry, LoginSet},
    records::{Rr, StaticRecords, rtype, txt_data},
};
use crate::model::{LoginRules, Uptime};

/// The most log-ins of a zone, of some 100 bytes each. If one more is reported, the one that ends
/// first is removed.
pub const MAX_LOGINS: usize = 1 << 20;
/// The most log-ins that are removed in one step because they have ended, so that no step takes
/// long.
const MAX_EXPIRED: usize = 1000;

/// The log-ins of a zone.
#[derive(Debug)]
pub struct LoginTable {
    /// What queries read.
    pub(super) published: Published<LoginSet>,
    /// Held while a change is made and published.
    writer: Mutex<()>,
    /// The most log-ins.
    capacity: usize,
    reported: AtomicU64,
    removed: AtomicU64,
    evicted: AtomicU64,
}

/// What a zone's log-ins are at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginCounts {
    /// Addresses that are published, and those that have ended in the last second.
    pub entries: usize,
    /// Log-ins since the start; a repeated one counts again.
    pub reported: u64,
    /// Log-outs since the start.
    pub removed: u64,
    /// Log-ins that were removed before their end because there were [`MAX_LOGINS`].
    pub evicted: u64,
}

impl Default for LoginTable {
    fn default() -> LoginTable {
        LoginTable::with_capacity(MAX_LOGINS)
    }
}

impl LoginTable {
    /// A table for at most `capacity` log-ins.
    fn with_capacity(capacity: usize) -> LoginTable {
        LoginTable {
            published: Published::new(LoginSet::default()),
            writer: Mutex::default(),
            capacity,
            reported: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Publishes addresses until `end`. When it returns, queries are answered from them.
    pub fn report(&self, addresses: &[IpAddr], end: Uptime, now: Uptime) {
        let evicted = self.change(|set| {
            expire(set, now);
            let mut evicted = 0;
            for address in addresses {
                set.insert(LoginEntry {
                    address: *address,
                    end,
                });
                if set.len() > self.capacity
                    && let Some(first) = set.earliest()
                {
                    set.remove(first.address);
                    evicted += 1;
                }
            }
            evicted
        });
        self.reported.fetch_add(addresses.len() as u64, Relaxed);
        self.evicted.fetch_add(evicted, Relaxed);
    }

    /// Ends the log-in of an address. Returns whether there was one that had not ended.
    pub fn remove(&self, address: IpAddr, now: Uptime) -> bool {
        let was_live = self.change(|set| {
            let was_live = set.end(address).is_some_and(|end| end > now);
            set.remove(address);
            was_live
        });
        self.removed.fetch_add(u64::from(was_live), Relaxed);
        was_live
    }

    /// Frees the log-ins that have ended, which queries do not see anyway. Call it each second.
    pub fn expire(&self, now: Uptime) {
        let has_ended = |set: &LoginSet| set.earliest().is_some_and(|e| e.end <= now);
        while has_ended(&self.published.load()) {
            self.change(|set| expire(set, now));
        }
        self.published.sweep();
    }

    /// The end of an address's log-in; `None` if there is none, or it has passed.
    pub fn end(&self, address: IpAddr, now: Uptime) -> Option<Uptime> {
        self.published.load().end(address).filter(|end| *end > now)
    }

    /// The counts of the table.
    pub fn counts(&self) -> LoginCounts {
        LoginCounts {
            entries: self.published.load().len(),
            reported: self.reported.load(Relaxed),
            removed: self.removed.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
        }
    }

    /// Changes a copy of the set, and publishes it.
    fn change<T>(&self, change: impl FnOnce(&mut LoginSet) -> T) -> T {
        let _writer = self.writer.lock();
        let mut set = LoginSet::clone(&self.published.load());
        let result = change(&mut set);
        self.published.replace(set);
        self.published.sweep();
        result
    }
}

/// Removes up to [`MAX_EXPIRED`] log-ins that have ended.
fn expire(set: &mut LoginSet, now: Uptime) {
    for _ in 0..MAX_EXPIRED {
        match set.earliest() {
            Some(first) if first.end <= now => set.remove(first.address),
            _ => return,
        };
    }
}

/// The log-ins of a zone that is prepared for answers.
#[derive(Debug, Clone)]
pub struct LoginView {
    /// The log-ins. They stay when the configuration is read again.
    pub table: Arc<LoginTable>,
    /// The rules of the zone file.
    pub rules: LoginRules,
    /// The records of each published address.
    pub(super) records: StaticRecords,
}

impl LoginView {
    /// The view of a zone without log-ins. `ttl`: that of its records, in seconds.
    pub(super) fn new(rules: LoginRules, ttl: u32) -> LoginView {
        let record = |rtype, data| Rr { rtype, ttl, data };
        let mut rrs = vec![record(rtype::A, rules.code.octets().into())];
        if !rules.text.is_empty() {
            rrs.push(record(rtype::TXT, txt_data(&rules.text, "")));
        }
        LoginView {
            table: Arc::default(),
            rules,
            records: StaticRecords { rrs },
        }
    }

    /// Continues with the log-ins of the zone before the configuration was read again, unless they
    /// are prefixes of another length.
    pub(super) fn continue_with(&mut self, earlier: &LoginView) {
        if self.rules.ipv6_prefix == earlier.rules.ipv6_prefix {
            self.table = earlier.table.clone();
        }
    }

    /// The published log-in of a client: the address, or the first one of its prefix, and the end.
    /// `None` if there is none, or it has ended.
    pub fn end(&self, client: IpAddr, now: Uptime) -> Option<(IpAddr, Uptime)> {
        let address = self.rules.published(client)?;
        Some((address, self.table.end(address, now)?))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::model::time::Seconds;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const MINUTE: Seconds = Seconds(60);

    #[test]
    fn log_in_is_published_until_its_end_and_not_a_millisecond_longer() {
        let (table, start) = (LoginTable::default(), Uptime(1_000));
        table.report(&[ip("192.0.2.1")], start.plus(MINUTE), start);
        assert_eq!(
            table.end(ip("192.0.2.1"), Uptime(60_999)),
            Some(Uptime(61_000))
        );
        assert_eq!(table.end(ip("192.0.2.1"), Uptime(61_000)), None);
        assert_eq!(table.end(ip("192.0.2.2"), start), None);
        // It is freed later.
        assert_eq!(table.counts().entries, 1);
        table.expire(Uptime(60_999));
        assert_eq!(table.counts().entries, 1);
        table.expire(Uptime(61_000));
        assert_eq!(table.counts().entries, 0);
    }

    #[test]
    fn later_log_in_of_an_address_extends_the_first() {
        let table = LoginTable::default();
        for at in [0, 30_000] {
            let at = Uptime(at);
            table.report(&[ip("192.0.2.1")], at.plus(MINUTE), at);
        }
        assert_eq!(
            table.end(ip("192.0.2.1"), Uptime(89_999)),
            Some(Uptime(90_000))
        );
        let counts = table.counts();
        assert_eq!((counts.entries, counts.reported), (1, 2));
    }

    #[test]
    fn log_out_ends_a_log_in_and_counts_only_if_there_was_one() {
        let table = LoginTable::default();
        let addresses = ["192.0.2.1", "192.0.2.2"].map(ip);
        table.report(&addresses, Uptime(60_000), Uptime(0));
        assert!(table.remove(addresses[0], Uptime(1)));
        assert!(!table.remove(addresses[0], Uptime(1)));
        assert!(!table.remove(addresses[1], Uptime(60_000)), "it has ended");
        assert_eq!(table.end(addresses[0], Uptime(1)), None);
        assert_eq!(table.counts().removed, 1);
    }

    #[test]
    fn full_table_removes_the_log_in_that_ends_first() {
        let table = LoginTable::with_capacity(3);
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        for (n, end) in [(1, 500), (2, 300), (3, 400), (4, 600), (5, 350)] {
            table.report(&[address(n)], Uptime(end), Uptime(0));
        }
        let left: Vec<u8> = (1..=5)
            .filter(|n| table.end(address(*n), Uptime(0)).is_some())
            .collect();
        assert_eq!(
            left,
            [1, 3, 4],
            "the fifth ended before all others that were left"
        );
        assert_eq!(table.counts().evicted, 2);
        // Those that have ended make room first.
        table.report(&[address(6)], Uptime(900), Uptime(450));
        assert_eq!(table.counts().evicted, 2);
        assert_eq!(table.counts().entries, 3);
    }

    #[test]
    fn many_ended_log_ins_are_freed_in_small_steps() {
        let table = LoginTable::default();
        let all: Vec<IpAddr> = (0..2500u32).map(|n| Ipv4Addr::from(n).into()).collect();
        table.report(&all, Uptime(10), Uptime(0));
        table.report(&[ip("192.0.2.1")], Uptime(100), Uptime(10));
        assert_eq!(table.counts().entries, 2500 - MAX_EXPIRED + 1);
        table.expire(Uptime(10));
        assert_eq!(table.counts().entries, 1);
    }

    /// Readers and reports at the same time: a reader sees each address from the moment at which
    /// its report has returned.
    #[test]
    fn reported_address_is_seen_by_every_reader_at_once() {
        let table = Arc::new(LoginTable::default());
        let (tx, rx) = std::sync::mpsc::channel::<IpAddr>();
        let reader = std::thread::spawn({
            let table = table.clone();
            move || {
                rx.into_iter()
                    .filter(|a| table.end(*a, Uptime(0)).is_none())
                    .count()
            }
        });
        let writers: Vec<_> = (0..2u8)
            .map(|writer| {
                let (table, tx) = (table.clone(), tx.clone());
                std::thread::spawn(move || {
                    for n in 0..2000u16 {
                        let [a, b] = n.to_be_bytes();
                        let address = IpAddr::from([10, writer, a, b]);
                        table.report(&[address], Uptime(60_000), Uptime(0));
                        tx.send(address).unwrap();
                    }
                })
            })
            .collect();
        drop(tx);
        writers.into_iter().for_each(|w| w.join().unwrap());
        assert_eq!(reader.join().unwrap(), 0);
        assert_eq!(table.counts().entries, 4000);
    }
}
