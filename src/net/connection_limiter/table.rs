//! The table of a listener's connections. It decides whether a client gets one more, and which
//! connection is closed for it. The table has no sockets and no clock: times are durations since
//! any fixed moment.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    time::Duration,
};

use crate::net::ClientPrefix;

mod shedding;

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// The connection has waited for a whole request since this time.
    BeforeRequest(Duration),
    /// All requests are answered, and the connection has waited for the next one since this time.
    Idle(Duration),
    /// Answers are being computed or written. The client has read nothing of one of them since this
    /// time.
    Answering(Duration),
    /// The connection carries a zone transfer.
    Transfer,
}

/// The kind of client that opens a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// Any client without a special status.
    Ordinary,
    /// A client that slots are reserved for.
    Reserved,
    /// A trusted proxy, or a program on a local socket. It is not counted by its address.
    Uncounted,
    /// The server's own health check.
    HealthCheck,
}

impl ClientKind {
    /// Whether the shares of addresses and networks apply to the client.
    fn is_counted(self) -> bool {
        matches!(self, ClientKind::Ordinary | ClientKind::Reserved)
    }
}

/// A client: the prefixes that it is counted by, and its kind.
#[derive(Debug, Clone, Copy)]
struct Client {
    prefixes: [ClientPrefix; 3],
    kind: ClientKind,
}

impl Client {
    fn new(addr: IpAddr, kind: ClientKind) -> Client {
        let prefixes = ClientPrefix::of(addr);
        Client { prefixes, kind }
    }
}

/// The pools of slots. A connection has one slot of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    /// Slots of all clients.
    General,
    /// Slots of reserved clients.
    Reserved,
    /// Slots for transfers of all clients.
    Transfers,
    /// Slots for transfers of reserved clients.
    ReservedTransfers,
    /// The slot of the health check.
    HealthCheck,
}

/// Shares of a listener's connections. Each is a divisor of the total: 8 is an eighth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The share of one address (IPv6: a /64). It is at least 64 connections, but at most half of
    /// the network's share.
    pub address: usize,
    /// The share of a /24 (IPv6: a /48).
    pub network: usize,
    /// The share of a /16 (IPv6: a /32).
    pub wide_network: usize,
    /// The share that is kept for reserved clients.
    pub reserved: usize,
}

impl Default for Shares {
    fn default() -> Shares {
        Shares {
            address: 32,
            network: 8,
            wide_network: 4,
            reserved: 16,
        }
    }
}

/// The smallest share of one address, in connections, unless half of its network's share is
/// smaller.
const MIN_PER_ADDRESS: usize = 64;

/// The limits of a pool, in connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// The limits of an address, a network and a wide network.
    pub per_prefix: [usize; 3],
    /// The limit of the whole pool.
    pub total: usize,
}

impl PoolLimits {
    const ONE: PoolLimits = PoolLimits {
        per_prefix: [1; 3],
        total: 1,
    };

    /// Divides a listener's total into the limits of the general and of the reserved pool.
    fn of(total: usize, shares: &Shares, reserves: bool) -> [PoolLimits; 2] {
        let part = |of: usize, share: usize| (of / share.max(1)).max(1);
        let reserved = if reserves {
            part(total, shares.reserved)
        } else {
            0
        };
        let (network, wide) = (
            part(total, shares.network),
            part(total, shares.wide_network),
        );
        let address = part(total, shares.address)
            .max(MIN_PER_ADDRESS)
            .min((network / 2).max(1));
        let general = PoolLimits {
            per_prefix: [address, network, wide],
            total: total.saturating_sub(reserved).max(1),
        };
        // Reserved clients are few and known, but one of them must not take all slots.
        let reserved = PoolLimits {
            per_prefix: [part(reserved, 4), part(reserved, 2), reserved],
            total: reserved,
        };
        [general, reserved]
    }
}

/// The open connections of a limiter, and how many it has shed and refused since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LimiterStats {
    /// Open connections, without transfers.
    pub open: usize,
    /// Transfers in progress.
    pub transfers: usize,
    /// Connections that were closed for others because no slot was free.
    pub shed: u64,
    /// Connections that were closed for others of the same network because its share was full.
    pub shed_of_share: u64,
    /// New connections that were closed at once because no slot was free.
    pub refused: u64,
    /// New connections that were closed at once because the share of their network was full.
    pub refused_of_share: u64,
}

#[derive(Debug)]
struct Connection<T> {
    client: Client,
    pool: Pool,
    state: ConnectionState,
    /// Answers in progress, each with the time when the client last read a part of it.
    answers: Vec<(AnswerId, Duration)>,
    last_answer: AnswerId,
    /// The client has sent a valid token: the connection is closed after all others.
    preferred: bool,
    handle: T,
}

/// The number of a connection in its table.
pub type ConnectionId = u64;

/// The number of an answer on its connection.
pub type AnswerId = u32;

impl<T> Connection<T> {
    /// Sets the state to that of the answer which has waited longest. Progress of another answer
    /// does not renew it.
    fn set_answering(&mut self) {
        if let Some(oldest) = self.answers.iter().map(|(_, at)| *at).min() {
            self.state = ConnectionState::Answering(oldest);
        }
    }
}

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReachedLimit {
    Share(ClientPrefix),
    Total,
}

/// The connections of a listener, or of several that share their slots. `T` is the handle by which
/// a connection is notified that it has to close.
#[derive(Debug)]
pub struct ConnectionTable<T> {
    connections: HashMap<ConnectionId, Connection<T>>,
    counts: HashMap<(Pool, ClientPrefix), usize>,
    totals: [usize; 5],
    limits: [PoolLimits; 5],
    last: ConnectionId,
    stats: LimiterStats,
}

impl<T> ConnectionTable<T> {
    /// Creates a table for `total` connections and `transfers` more that carry transfers. Slots are
    /// reserved only if there are transfers.
    pub fn new(total: usize, transfers: usize, shares: &Shares) -> ConnectionTable<T> {
        let reserves = transfers > 0;
        let ([general, reserved], [all, reserved_transfers]) = (
            PoolLimits::of(total, shares, reserves),
            PoolLimits::of(transfers, shares, reserves),
        );
        ConnectionTable {
            connections: HashMap::new(),
            counts: HashMap::new(),
            totals: [0; 5],
            limits: [general, reserved, all, reserved_transfers, PoolLimits::ONE],
            last: 0,
            stats: LimiterStats::default(),
        }
    }

    /// Returns the limits of a pool.
    pub fn limits(&self, pool: Pool) -> PoolLimits {
        self.limits[pool as usize]
    }

    /// Returns the number of connections in a pool.
    pub fn len(&self, pool: Pool) -> usize {
        self.totals[pool as usize]
    }

    /// Returns the number of open connections, and of those that were shed and refused.
    pub fn stats(&self) -> LimiterStats {
        let of = |pools: [Pool; 2]| pools.map(|p| self.len(p)).iter().sum();
        LimiterStats {
            open: of([Pool::General, Pool::Reserved]),
            transfers: of([Pool::Transfers, Pool::ReservedTransfers]),
            ..self.stats
        }
    }

    /// Whether a new connection of this client would take one of the last slots, so that it has to
    /// validate its address first.
    pub fn needs_address_validation(&self, addr: IpAddr, client: ClientKind) -> bool {
        let limits = self.limits(Pool::General);
        let count = |p: ClientPrefix| self.counts.get(&(Pool::General, p)).copied().unwrap_or(0);
        let [address, network, wide] = ClientPrefix::of(addr).map(count);
        let most = |n: usize| n * 3 / 4;
        client == ClientKind::Reserved
            || address >= limits.per_prefix[0].div_ceil(4)
            || network >= most(limits.per_prefix[1])
            || wide >= most(limits.per_prefix[2])
            || self.len(Pool::General) >= most(limits.total)
    }

    /// Admits a new connection with its own handle. Returns its number, and the handle of the
    /// connection that has to close for it, if any; `None` if the new connection is refused.
    pub fn admit(
        &mut self,
        addr: IpAddr,
        client: ClientKind,
        now: Duration,
        handle: T,
    ) -> Option<(ConnectionId, Option<T>)> {
        let client = Client::new(addr, client);
        let (pool, shed) = self.find_slot(client, now)?;
        self.last += 1;
        let connection = Connection {
            client,
            pool,
            state: ConnectionState::BeforeRequest(now),
            answers: Vec::new(),
            last_answer: 0,
            preferred: false,
            handle,
        };
        self.insert(self.last, connection);
        Some((self.last, shed))
    }

    /// Removes a connection and returns its handle; `None` if it was removed before.
    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        self.take(id).map(|connection| connection.handle)
    }

    /// Takes a connection out of the table and out of the counts.
    fn take(&mut self, id: ConnectionId) -> Option<Connection<T>> {
        let connection = self.connections.remove(&id)?;
        let Connection { pool, client, .. } = connection;
        self.totals[pool as usize] -= 1;
        for prefix in client.prefixes {
            if client.kind.is_counted()
                && let Entry::Occupied(mut count) = self.counts.entry((pool, prefix))
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        Some(connection)
    }

    /// Assigns a connection to the client that its proxy names. Returns false if the share of that
    /// client is full; then the connection is removed.
    pub fn reassign(&mut self, id: ConnectionId, addr: IpAddr, now: Duration) -> (bool, Option<T>) {
        let Some(connection) = self.take(id) else {
            return (false, None);
        };
        let client = Client::new(addr, ClientKind::Ordinary);
        let Some((pool, shed)) = self.find_slot(client, now) else {
            return (false, None);
        };
        let connection = Connection {
            client,
            pool,
            ..connection
        };
        self.insert(id, connection);
        (true, shed)
    }

    /// Notes that a request has begun and that the connection waits for the rest of it. This
    /// changes an idle connection only.
    pub fn await_request(&mut self, id: ConnectionId, now: Duration) {
        self.change(id, |c| {
            if let ConnectionState::Idle(_) = c.state {
                c.state = ConnectionState::BeforeRequest(now);
            }
        });
    }

    /// Notes that a whole request was received. Returns the number of its answer; `None` if the
    /// connection was removed.
    pub fn begin_answer(&mut self, id: ConnectionId, now: Duration) -> Option<AnswerId> {
        let c = self.connections.get_mut(&id)?;
        c.last_answer = c.last_answer.wrapping_add(1);
        let answer = c.last_answer;
        if c.state != ConnectionState::Transfer {
            c.answers.push((answer, now));
            c.set_answering();
        }
        Some(answer)
    }

    /// Notes that the client has read a part of an answer.
    pub fn progress(&mut self, id: ConnectionId, answer: AnswerId, now: Duration) {
        self.change(id, |c| {
            if let Some((_, at)) = c.answers.iter_mut().find(|(a, _)| *a == answer) {
                *at = now;
                c.set_answering();
            }
        });
    }

    /// Notes that an answer is written, or given up.
    pub fn end_answer(&mut self, id: ConnectionId, answer: AnswerId, now: Duration) {
        self.change(id, |c| {
            let before = c.answers.len();
            c.answers.retain(|(a, _)| *a != answer);
            match c.answers.is_empty() {
                true if before > 0 => c.state = ConnectionState::Idle(now),
                _ => c.set_answering(),
            }
        });
    }

    /// Notes that the client has sent a valid token: the connection is closed after all others.
    pub fn prefer(&mut self, id: ConnectionId) {
        self.change(id, |c| c.preferred = true);
    }

    /// Moves a connection whose request is a transfer to a slot for transfers. Returns false if
    /// none is free.
    pub fn begin_transfer(&mut self, id: ConnectionId) -> bool {
        let Some(c) = self.connections.get(&id) else {
            return false;
        };
        let client = c.client;
        let pools: &[Pool] = match client.kind {
            ClientKind::Reserved => &[Pool::ReservedTransfers, Pool::Transfers],
            _ => &[Pool::Transfers],
        };
        let free = pools.iter().find(|p| self.full(**p, client).is_none());
        if let Some(pool) = free {
            self.relocate(id, *pool, ConnectionState::Transfer);
        }
        free.is_some()
    }

    /// Moves a connection back to an ordinary slot after its transfer. Returns false if there is
    /// none for it; then the connection has to be closed.
    pub fn end_transfer(&mut self, id: ConnectionId, now: Duration) -> (bool, Option<T>) {
        let connection = self.connections.get(&id);
        let transfer = connection.filter(|c| c.state == ConnectionState::Transfer);
        let Some(client) = transfer.map(|c| c.client) else {
            return (false, None);
        };
        let Some((pool, shed)) = self.find_slot(client, now) else {
            return (false, None);
        };
        self.relocate(id, pool, ConnectionState::Idle(now));
        (true, shed)
    }

    /// Changes a connection, unless it carries a transfer or was removed.
    fn change(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection<T>)) {
        if let Some(found) = self.connections.get_mut(&id)
            && found.state != ConnectionState::Transfer
        {
            change(found);
        }
    }

    fn insert(&mut self, id: ConnectionId, connection: Connection<T>) {
        let Connection { pool, client, .. } = connection;
        self.totals[pool as usize] += 1;
        for prefix in client.prefixes {
            if client.kind.is_counted() {
                *self.counts.entry((pool, prefix)).or_default() += 1;
            }
        }
        self.connections.insert(id, connection);
    }

    fn relocate(&mut self, id: ConnectionId, pool: Pool, state: ConnectionState) {
        if let Some(mut connection) = self.take(id) {
            connection.answers.clear();
            (connection.pool, connection.state) = (pool, state);
            self.insert(id, connection);
        }
    }

    /// Finds a free slot, or frees one by removing a connection, whose handle is returned.
    fn find_slot(&mut self, client: Client, now: Duration) -> Option<(Pool, Option<T>)> {
        let pools: &[Pool] = match client.kind {
            ClientKind::Reserved => &[Pool::Reserved, Pool::General],
            ClientKind::HealthCheck => &[Pool::HealthCheck],
            ClientKind::Ordinary | ClientKind::Uncounted => &[Pool::General],
        };
        if let Some(pool) = pools.iter().find(|p| self.full(**p, client).is_none()) {
            return Some((*pool, None));
        }
        for pool in pools {
            let Some(full) = self.full(*pool, client) else {
                continue;
            };
            if let Some(victim) = self.victim(*pool, full, client, now) {
                match full {
                    // The previous health check has not closed its connection yet.
                    _ if *pool == Pool::HealthCheck => {}
                    ReachedLimit::Total => self.stats.shed += 1,
                    ReachedLimit::Share(_) => self.stats.shed_of_share += 1,
                }
                return Some((*pool, self.remove(victim)));
            }
        }
        match pools.last().and_then(|p| self.full(*p, client)) {
            Some(ReachedLimit::Share(_)) => self.stats.refused_of_share += 1,
            _ => self.stats.refused += 1,
        }
        None
    }

    /// Returns the limit that keeps a client from one more slot of a pool. The narrowest comes
    /// first, because a slot that is freed in it is free in all wider ones.
    fn full(&self, pool: Pool, client: Client) -> Option<ReachedLimit> {
        let limits = self.limits(pool);
        let count = |p: &ClientPrefix| self.counts.get(&(pool, *p)).copied().unwrap_or(0);
        let mut shares = client.prefixes.into_iter().zip(limits.per_prefix);
        let share = shares.find(|(p, most)| client.kind.is_counted() && count(p) >= *most);
        let is_total = self.len(pool) >= limits.total;
        share
            .map(|(p, _)| ReachedLimit::Share(p))
            .or(is_total.then_some(ReachedLimit::Total))
    }
}

#[cfg(test)]
mod tests;
