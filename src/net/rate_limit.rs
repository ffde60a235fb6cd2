//! Rate limits per client, by GCRA (the generic cell rate algorithm of ITU-T I.371), in a table of
//! fixed size.
//!
//! A key has a set of 16 cells that it may be in, chosen by a keyed hash. Where all are in use, the
//! one with the least load goes: a client that is at its limit is not forgotten for many that came
//! once, however many those are. A table of sets needs no links, no sweep and no allocation, and
//! nobody can aim at a set without the key of the hash. `governor` measures one key at a time and
//! counts when it looks; this limit charges an address and its networks together or not at all, and
//! has to look without counting.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::Duration,
};

use parking_lot::Mutex;

use super::ClientPrefix;

/// Cells of a table.
const CELLS: usize = 65_536;
/// Cells that a key may be in.
const WAYS: usize = 16;
/// How many times as much as an address the networks around it may do: a /24 or /48, and a /32 of
/// IPv6.
const NETWORK_FACTORS: [u64; 3] = [1, 8, 64];

/// How often an address (IPv6: a /64) may do something: so many times at once, and as many again in
/// each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many times.
    pub times: u32,
    /// In how long.
    pub period: Duration,
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    /// What is at its limit: the address, or a network around it.
    pub prefix: ClientPrefix,
    /// How often all clients of it may in a period.
    pub times: u64,
    /// How long the client has to wait.
    pub wait: Duration,
}

/// A key's hash, and its theoretical arrival time in nanoseconds: when all that was charged is paid
/// off. 0 is a free cell.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    key: u64,
    paid_off: u64,
}

/// What each client has done lately.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    hasher: RandomState,
    cells: Mutex<Vec<Cell>>,
}

impl RateLimiter {
    /// With an empty table. Its memory, 1 MiB, is taken as it is used.
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
    /// It, or its network, is at its limit; nothing is charged then.
    pub fn charge(&self, addr: IpAddr, now: Duration) -> Result<(), RateLimited> {
        let now = now.as_nanos() as u64;
        let period = self.limit.period.as_nanos() as u64;
        let prefixes = ClientPrefix::of(addr);
        // There is no limit for a /16 of IPv4: it has many owners.
        let levels = if prefixes[0].is_ipv6() { 3 } else { 2 };
        let mut cells = self.cells.lock();
        let mut charged = [(0, Cell::default()); 3];
        for (i, place) in charged.iter_mut().enumerate().take(levels) {
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
            *place = (at, Cell { key, paid_off });
        }
        for (i, (_, new)) in charged.iter().enumerate().take(levels) {
            // The cells of two levels may be one: then it is chosen again, and the network's stays.
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

/// The cell of a key; where it has none, that of its set with the least load.
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

    /// How often an address may at one time.
    fn allowed(limiter: &RateLimiter, addr: IpAddr, now: Duration) -> usize {
        (0..100_000)
            .take_while(|_| limiter.charge(addr, now).is_ok())
            .count()
    }

    #[test]
    fn an_address_may_so_often_in_a_period_and_is_told_how_long_to_wait() {
        let limiter = RateLimiter::new(LIMIT);
        let addr: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(allowed(&limiter, addr, secs(5)), 10);
        let wait = |now| limiter.charge(addr, now).map_err(|e| e.wait);
        assert_eq!(wait(secs(5)), Err(secs(6)));
        assert_eq!(wait(secs(10)), Err(secs(1)), "a refusal costs nothing");
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
            "the same address"
        );
    }

    #[test]
    fn networks_have_a_limit_of_their_own() {
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
    fn a_client_at_its_limit_is_not_forgotten_for_many_others() {
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
        /// In any window of a period a client is allowed at most twice its limit (the burst and
        /// what is paid off meanwhile), and one that keeps to its pace is never refused.
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
