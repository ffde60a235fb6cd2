//! Rate limits per client, by GCRA (the generic cell rate algorithm of ITU-T I.371), in a table of
//! fixed size.
//!
//! The table is set-associative: a keyed hash assigns each client key to a set of 16
//! cells. If all cells of a set are in use, the one with the least load is replaced, so a client at
//! its limit is not forgotten for many others that came once. Such a table needs no links, no sweep
//! and no allocation, and an attacker cannot aim at a set without the key of the hash. The crate
//! `governor` does not fit: it checks one key at a time and counts with each check, while this
//! limit charges an address and its networks together or not at all.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::Duration,
};

use parking_lot::Mutex;

use super::ClientPrefix;

/// The cells of a table.
const CELLS: usize = 65_536;
/// The cells of a set, one of which holds a key.
const WAYS: usize = 16;
/// The limits of the networks around an address, as multiples of its own limit: a /24 or /48, and a
/// /32 of IPv6.
const NETWORK_FACTORS: [u64; 3] = [1, 8, 64];

/// The rate of an address (IPv6: a /64): a burst of `times`, and `times` more in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The number of times in a period.
    pub times: u32,
    /// The length of the period.
    pub period: Duration,
}

/// The error of a client that is at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    /// The prefix that is at its limit: the address, or a network around it.
    pub prefix: ClientPrefix,
    /// The limit of all clients in the prefix together, in a period.
    pub times: u64,
    /// How long the client has to wait.
    pub wait: Duration,
}

/// The hash of a key, and its theoretical arrival time in nanoseconds: the time at which all
/// charges are paid off. A free cell has 0.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    key: u64,
    paid_off: u64,
}

/// Limits how often each client may do something.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    hasher: RandomState,
    cells: Mutex<Vec<Cell>>,
}

impl RateLimiter {
    /// Creates a limiter with an empty table of 1 MiB.
    pub fn new(limit: RateLimit) -> RateLimiter {
        RateLimiter {
            limit,
            hasher: RandomState::new(),
            cells: Mutex::new(vec![Cell::default(); CELLS]),
        }
    }

    /// Charges a client once. `now` is a time since any fixed moment.
    ///
    /// # Errors
    ///
    /// The client, or one of its networks, is at its limit; then nothing is charged.
    pub fn charge(&self, addr: IpAddr, now: Duration) -> Result<(), RateLimited> {
        let now = now.as_nanos() as u64;
        let period = self.limit.period.as_nanos() as u64;
        let prefixes = ClientPrefix::of(addr);
        // An IPv4 /16 has no limit, because it has many owners.
        let levels = if prefixes[0].is_ipv6() { 3 } else { 2 };
        let mut cells = self.cells.lock();
        let mut charged = [(0, Cell::default()); 3];
        for (i, slot) in charged.iter_mut().enumerate().take(levels) {
            let times = u64::from(self.limit.times.max(1)) * NETWORK_FACTORS[i];
            let interval = period / times;
            let key = self.hasher.hash_one(prefixes[i]);
            let at = cell(&cells, key);
            let known = Some(cells[at])
                .filter(|c| c.key == key)
                .map_or(0, |c| c.paid_off);
            let paid_off = known.max(now) + interval;
            if paid_off - now > period {
                let wait = Duration::from_nanos(paid_off - now - period);
                return Err(RateLimited {
                    prefix: prefixes[i],
                    times,
                    wait,
                });
            }
            *slot = (at, Cell { key, paid_off });
        }
        for (i, (_, new)) in charged.iter().enumerate().take(levels) {
            // Two levels can get the same cell. Then the second one chooses again.
            let at = if charged[..i].iter().any(|c| c.0 == charged[i].0) {
                cell(&cells, new.key)
            } else {
                charged[i].0
            };
            cells[at] = *new;
        }
        Ok(())
    }
}

/// Returns the index of a key's cell; if it has none, that of the cell with the least load in its
/// set.
fn cell(cells: &[Cell], key: u64) -> usize {
    let first = key as usize % (CELLS / WAYS) * WAYS;
    let set = first..first + WAYS;
    set.clone()
        .find(|i| cells[*i].key == key)
        .or_else(|| set.min_by_key(|i| cells[*i].paid_off))
        .unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: RateLimit = RateLimit {
        times: 10,
        period: Duration::from_secs(60),
    };

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// How many times in a row an address is allowed at one time.
    fn allowed(limiter: &RateLimiter, addr: IpAddr, now: Duration) -> usize {
        (0..100_000)
            .take_while(|_| limiter.charge(addr, now).is_ok())
            .count()
    }

    #[test]
    fn address_over_its_limit_gets_the_time_to_wait() {
        let limiter = RateLimiter::new(LIMIT);
        let addr: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(allowed(&limiter, addr, secs(5)), 10);
        let wait = |now| limiter.charge(addr, now).map_err(|e| e.wait);
        assert_eq!(wait(secs(5)), Err(secs(6)));
        assert_eq!(wait(secs(10)), Err(secs(1)), "a refusal is not charged");
        assert_eq!(allowed(&limiter, addr, secs(11)), 1);
        assert_eq!(allowed(&limiter, addr, secs(71)), 10);
        assert_eq!(
            allowed(&limiter, "192.0.2.2".parse().unwrap(), secs(71)),
            10
        );
        assert!(
            limiter
                .charge("::ffff:192.0.2.1".parse().unwrap(), secs(71))
                .is_err(),
            "an IPv4-mapped address is the same client"
        );
    }

    #[test]
    fn networks_have_limits_of_their_own() {
        let limiter = RateLimiter::new(LIMIT);
        let v4 = (0..=255u8)
            .map(|n| allowed(&limiter, IpAddr::from([198, 51, 100, n]), secs(1)))
            .sum::<usize>();
        assert_eq!(v4, 80, "a /24");
        let refused = limiter
            .charge([198, 51, 100, 200].into(), secs(1))
            .unwrap_err();
        assert_eq!(
            (refused.prefix.to_string().as_str(), refused.times),
            ("198.51.100.0/24", 80)
        );
        assert_eq!(
            allowed(&limiter, IpAddr::from([198, 51, 101, 1]), secs(1)),
            10,
            "the next one"
        );
        let v6 = |n: u128| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into());
        assert_eq!(
            (0..100)
                .map(|host| allowed(&limiter, v6(host), secs(1)))
                .sum::<usize>(),
            10,
            "a /64"
        );
        assert_eq!(
            (1..300)
                .map(|n| allowed(&limiter, v6(n << 64), secs(1)))
                .sum::<usize>(),
            70,
            "the rest of its /48"
        );
        assert_eq!(
            (1..3000)
                .map(|n| allowed(&limiter, v6(n << 80), secs(1)))
                .sum::<usize>(),
            560,
            "the rest of its /32"
        );
    }

    #[test]
    fn client_at_its_limit_is_not_evicted_by_many_others() {
        let limiter = RateLimiter::new(LIMIT);
        let addr: IpAddr = "203.0.113.7".parse().unwrap();
        assert_eq!(allowed(&limiter, addr, secs(1)), 10);
        // Many more than there are cells, each in a network of its own.
        for n in 0..200_000u32 {
            assert!(
                limiter
                    .charge(IpAddr::from((0x0a00_0000 + n * 256).to_be_bytes()), secs(1))
                    .is_ok()
            );
        }
        assert!(limiter.charge(addr, secs(1)).is_err());
    }

    proptest! {
        /// In any window of one period a client is allowed at most twice its limit (the burst, and
        /// the charges that are paid off meanwhile). A client that stays below the rate is never
        /// refused.
        #[test]
        fn the_rate_holds_in_every_window(pauses in proptest::collection::vec(0u64..20_000, 1..120)) {
            let limiter = RateLimiter::new(LIMIT);
            let addr: IpAddr = "192.0.2.1".parse().unwrap();
            let slow: IpAddr = "198.51.100.1".parse().unwrap();
            let (mut now, mut allowed, mut last) = (0u64, Vec::new(), None::<u64>);
            for pause in pauses {
                now += pause;
                let at = Duration::from_millis(now);
                if limiter.charge(addr, at).is_ok() {
                    allowed.push(now);
                }
                if last.is_none_or(|l| now - l >= 6000) {
                    prop_assert!(limiter.charge(slow, at).is_ok());
                    last = Some(now);
                }
            }
            for (i, from) in allowed.iter().enumerate() {
                prop_assert!(allowed[i..].iter().take_while(|t| **t < from + 60_000).count() <= 20);
            }
        }
    }
}
