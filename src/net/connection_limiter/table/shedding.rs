//! Which connection is closed for a new one.
//!
//! Connections of an address or a network that holds many are closed before those of one that holds
//! few, whatever they do. Among equals those go first that wait for a request, then idle ones, then
//! those that do not take their answers. An answer that is taken in time, and a client with few
//! connections that has just connected, are protected, but not for an address that holds many more
//! connections than the newcomer's: otherwise some addresses could hold all places and refuse
//! everybody else.

use std::{cmp::Reverse, time::Duration};

use super::{Client, Connection, ConnectionId, ConnectionState, ConnectionTable, Full, Pool};
use crate::net::ClientPrefix;

/// From so many connections on an address has many; also from its share on, where that is less.
const MANY: usize = 8;
/// How long a client with few connections may take for its handshake and its request, or idle,
/// before a client with more connections gets its place.
const GRACE: Duration = Duration::from_secs(5);
/// The same of one with many, whose handshakes nobody has to wait for longer.
const GRACE_OF_MANY: Duration = Duration::from_secs(1);
/// How long the client may take nothing of an answer while places are needed. Without load the
/// listener's own timeout counts.
pub(super) const WRITE_TIMEOUT_UNDER_LOAD: Duration = Duration::from_secs(1);
/// By how many connections an address has to exceed that of a newcomer which has none, to lose a
/// protected one to it: it keeps one at least.
const MARGIN_FOR_FIRST: usize = 2;
/// The same where the newcomer's address has connections already.
const MARGIN: usize = 8;

/// Why a connection may be closed, first those that are closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// Nothing protects it.
    Unprotected,
    /// It is protected, but its address or its network holds many more connections than the
    /// newcomer's.
    Crowded,
    /// It has no request yet, and its client has few connections.
    New,
}

/// The order in which connections are closed, the smallest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// It has shown a token.
    preferred: bool,
    reason: Reason,
    crowding: Reverse<[usize; 3]>,
    class: u8,
    since: Duration,
}

impl<T> ConnectionTable<T> {
    /// The connection of a pool that is closed for a newcomer; `None` where the newcomer is
    /// refused. One look at each connection: a few thousand at most, and only under load.
    pub(super) fn victim(
        &self,
        pool: Pool,
        full: Full,
        newcomer: [ClientPrefix; 3],
        client: Client,
        now: Duration,
    ) -> Option<ConnectionId> {
        let of_share = |c: &Connection<T>| match full {
            Full::Share(prefix) => c.client.is_counted() && c.prefixes.contains(&prefix),
            Full::Total => true,
        };
        let held = self.held(pool, newcomer, client);
        let all = self
            .connections
            .iter()
            .filter(|(_, c)| c.pool == pool && of_share(c));
        all.filter_map(|(id, c)| Some((self.rank(c, held, now)?, *id)))
            .min()
            .map(|(_, id)| id)
    }

    /// How many connections of a pool a client's address, its network and its wide network have; 0
    /// where they are not counted.
    fn held(&self, pool: Pool, prefixes: [ClientPrefix; 3], client: Client) -> [usize; 3] {
        let count = |p| {
            self.counts
                .get(&(pool, p))
                .copied()
                .filter(|_| client.is_counted())
        };
        prefixes.map(|p| count(p).unwrap_or(0))
    }

    /// When a connection is closed for a newcomer whose prefixes hold so many; `None` where it is
    /// not.
    fn rank(&self, c: &Connection<T>, newcomer: [usize; 3], now: Duration) -> Option<Rank> {
        let held = self.held(c.pool, c.prefixes, c.client);
        let has_few = held[0] < MANY.min(self.limits(c.pool).per_prefix[0]);
        let grace = if has_few { GRACE } else { GRACE_OF_MANY };
        let age = |since: Duration| now.saturating_sub(since);
        let (class, since, is_protected) = match c.state {
            _ if c.pool == Pool::HealthCheck => (0, now, false),
            ConnectionState::BeforeRequest(since) => (0, since, age(since) < grace),
            ConnectionState::Idle(since) => (1, since, false),
            ConnectionState::Answering(since) => (2, since, age(since) < WRITE_TIMEOUT_UNDER_LOAD),
            ConnectionState::Transfer => return None,
        };
        let (preferred, is_new) = (c.preferred, class == 0);
        // The place of a client with fewer connections is not for one with more, unless it is
        // wasted.
        let has_fewer = held[0].max(1) < newcomer[0] && c.pool != Pool::HealthCheck;
        if !is_protected {
            let crowding = Reverse([self.crowding(c.pool, held), 0, 0]);
            let is_for_newcomer = !has_fewer || age(since) >= GRACE;
            return is_for_newcomer.then_some(Rank {
                preferred,
                reason: Reason::Unprotected,
                crowding,
                class,
                since,
            });
        }
        if self.exceeds(c.pool, held, newcomer) {
            let since = Duration::ZERO;
            return Some(Rank {
                preferred,
                reason: Reason::Crowded,
                crowding: Reverse(held),
                class: 0,
                since,
            });
        }
        let crowding = Reverse([0; 3]);
        (is_new && !has_fewer).then_some(Rank {
            preferred,
            reason: Reason::New,
            crowding,
            class,
            since,
        })
    }

    /// In how many steps an address and its networks are crowded: each step is twice as many
    /// connections. An address has steps from two connections on, a network from a quarter of its
    /// share on: those of many honest clients are not few either.
    fn crowding(&self, pool: Pool, held: [usize; 3]) -> usize {
        let limits = self.limits(pool).per_prefix;
        let bases = [1, (limits[1] / 8).max(1), (limits[2] / 8).max(1)];
        held.iter()
            .zip(bases)
            .filter_map(|(n, base)| (n / base).checked_ilog2())
            .sum::<u32>() as usize
    }

    /// Whether an address holds so many more connections than a newcomer's that it loses a
    /// protected one to it; or whether its network exceeds the newcomer's by half of its share, and
    /// the address itself has more.
    fn exceeds(&self, pool: Pool, held: [usize; 3], newcomer: [usize; 3]) -> bool {
        let limits = self.limits(pool).per_prefix;
        let margin = if newcomer[0] == 0 {
            MARGIN_FOR_FIRST
        } else {
            MARGIN
        };
        let network = |i: usize| held[i] >= newcomer[i] + (limits[i] / 2).max(MARGIN);
        held[0] >= newcomer[0] + margin || held[0] > newcomer[0] && (network(1) || network(2))
    }
}
