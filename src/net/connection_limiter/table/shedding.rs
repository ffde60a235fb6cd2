//! Chooses the connection that is closed for a new one.
//!
//! Connections of an address or a network with many connections are closed before those of one with
//! few, whatever they do. Among equals, connections that wait for a request are closed first, then
//! idle ones, then those whose client does not read its answers. A connection is protected while
//! its client reads an answer in time, and while a client with few connections has just connected.
//! The protection does not hold for an address that has many more connections than the newcomer's;
//! otherwise a few addresses could occupy all slots and keep all others out.

use std::{cmp::Reverse, time::Duration};

use super::{
    Client, Connection, ConnectionId, ConnectionState, ConnectionTable, Pool, ReachedLimit,
};

/// An address has many connections from this number on, or from its share on if that is smaller.
const MANY_CONNECTIONS: usize = 8;
/// How long a client with few connections may take for its handshake and its request, or be idle,
/// before a client with more connections gets its slot.
const GRACE: Duration = Duration::from_secs(5);
/// The same for a client with many connections.
const CROWDED_GRACE: Duration = Duration::from_secs(1);
/// How long a client may read nothing of an answer while slots are needed. Without load the
/// listener's own timeout applies.
pub(super) const WRITE_TIMEOUT_UNDER_LOAD: Duration = Duration::from_secs(1);
/// By how many connections an address has to exceed a newcomer's address without connections to
/// lose a protected one to it. It keeps at least one.
const MARGIN_FOR_FIRST: usize = 2;
/// The same if the newcomer's address has connections already.
const MARGIN: usize = 8;

/// Why a connection may be closed, in the order in which connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ShedReason {
    /// Nothing protects it.
    Unprotected,
    /// It is protected, but its address or its network has many more connections than the
    /// newcomer's.
    Crowded,
    /// It has no request yet, and its client has few connections.
    New,
}

/// The order in which connections are closed, the smallest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// The client has sent a valid token.
    preferred: bool,
    reason: ShedReason,
    crowding: Reverse<[usize; 3]>,
    class: u8,
    since: Duration,
}

impl<T> ConnectionTable<T> {
    /// Returns the connection of a pool that is closed for a newcomer; `None` if the newcomer is
    /// refused. It compares all connections: a few thousand at most, and only under load.
    pub(super) fn victim(
        &self,
        pool: Pool,
        full: ReachedLimit,
        newcomer: Client,
        now: Duration,
    ) -> Option<ConnectionId> {
        let of_share = |Connection { client, .. }: &Connection<T>| match full {
            ReachedLimit::Share(p) => client.kind.is_counted() && client.prefixes.contains(&p),
            ReachedLimit::Total => true,
        };
        let held = self.held(pool, newcomer);
        let all = self
            .connections
            .iter()
            .filter(|(_, c)| c.pool == pool && of_share(c));
        all.filter_map(|(id, c)| Some((self.rank(c, held, now)?, *id)))
            .min()
            .map(|(_, id)| id)
    }

    /// Returns how many connections of a pool a client's address, network and wide network have; 0
    /// if the client is not counted.
    fn held(&self, pool: Pool, client: Client) -> [usize; 3] {
        client.prefixes.map(|p| match client.kind.is_counted() {
            true => self.counts.get(&(pool, p)).copied().unwrap_or(0),
            false => 0,
        })
    }

    /// Returns the rank of a connection among those that may be closed for a newcomer; `None` if it
    /// may not. `newcomer` is the number of connections of the newcomer's prefixes.
    fn rank(&self, c: &Connection<T>, newcomer: [usize; 3], now: Duration) -> Option<Rank> {
        let held = self.held(c.pool, c.client);
        let has_few = held[0] < MANY_CONNECTIONS.min(self.limits(c.pool).per_prefix[0]);
        let grace = if has_few { GRACE } else { CROWDED_GRACE };
        let age = |since: Duration| now.saturating_sub(since);
        let (class, since, is_protected) = match c.state {
            _ if c.pool == Pool::HealthCheck => (0, now, false),
            ConnectionState::BeforeRequest(since) => (0, since, age(since) < grace),
            ConnectionState::Idle(since) => (1, since, false),
            ConnectionState::Answering(since) => (2, since, age(since) < WRITE_TIMEOUT_UNDER_LOAD),
            ConnectionState::Transfer => return None,
        };
        // A client with more connections does not get the slot of one with fewer, unless the slot
        // is unused for long.
        let has_fewer = held[0].max(1) < newcomer[0] && c.pool != Pool::HealthCheck;
        let rank = |reason, crowding, class, since| Rank {
            preferred: c.preferred,
            reason,
            crowding: Reverse(crowding),
            class,
            since,
        };
        if !is_protected {
            let crowding = [self.crowding(c.pool, held), 0, 0];
            let is_for_newcomer = !has_fewer || age(since) >= GRACE;
            return is_for_newcomer.then(|| rank(ShedReason::Unprotected, crowding, class, since));
        }
        if self.exceeds(c.pool, held, newcomer) {
            return Some(rank(ShedReason::Crowded, held, 0, Duration::ZERO));
        }
        (class == 0 && !has_fewer).then(|| rank(ShedReason::New, [0; 3], class, since))
    }

    /// Returns by how many steps an address and its networks are crowded. Each step doubles the
    /// connections. An address has its first step at two connections; a network at a quarter of its
    /// share, because many honest clients of one network also have many connections.
    fn crowding(&self, pool: Pool, held: [usize; 3]) -> usize {
        let limits = self.limits(pool).per_prefix;
        let bases = [1, (limits[1] / 8).max(1), (limits[2] / 8).max(1)];
        held.iter()
            .zip(bases)
            .filter_map(|(n, base)| (n / base).checked_ilog2())
            .sum::<u32>() as usize
    }

    /// Whether an address loses a protected connection to a newcomer: it has many more connections
    /// than the newcomer's address; or it has more, and one of its networks exceeds the newcomer's
    /// by half of its share.
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
