//! The table of a listener's connections: who may have one more, and which one is closed for it. A
//! data structure without sockets and without a clock: times come in as durations since any moment.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr, time::Duration};

use crate::net::ClientPrefix;

/// How long a new connection is not the first to be closed although it has not sent a request: a
/// handshake takes a while.
const GRACE: Duration = Duration::from_secs(1);
/// How long an answer may take to be written while places are needed. Without load the listener's
/// own timeout counts.
const WRITE_TIMEOUT_UNDER_LOAD: Duration = Duration::from_secs(1);

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// No full request has come yet, since this time.
    BeforeRequest(Duration),
    /// Its requests are answered, and the next one has not come, since this time.
    Idle(Duration),
    /// An answer is being made or written; since then nothing of it was finished.
    Answering(Duration),
    /// It carries a zone transfer.
    Transfer,
}

/// Who asks for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Anybody.
    Ordinary,
    /// A client for which places are reserved.
    Reserved,
    /// A trusted proxy, or a program on a local socket: it is not counted by its address.
    Uncounted,
    /// The server's own health check.
    HealthCheck,
}

impl Client {
    /// Whether the shares of addresses and networks hold for it.
    fn is_counted(self) -> bool {
        matches!(self, Client::Ordinary | Client::Reserved)
    }
}

/// The sets of places. A connection has one place of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    /// Everybody's.
    General,
    /// Those of reserved clients.
    Reserved,
    /// Everybody's for transfers.
    Transfers,
    /// Those of reserved clients for transfers.
    ReservedTransfers,
    /// The one of the health check.
    HealthCheck,
}

/// Parts of a listener's connections, each as one of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// One address, or /64 of IPv6; at least 64 connections, but at most half of the network's.
    pub address: usize,
    /// A /24, or /48 of IPv6.
    pub network: usize,
    /// A /16, or /32 of IPv6.
    pub wide_network: usize,
    /// What is kept for reserved clients.
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

/// The least share of one address, where half of its network's share is not less.
const MIN_PER_ADDRESS: usize = 64;

/// How many connections of a pool there may be: of an address, a network and a wide network, and in
/// all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// By prefix, the narrowest first.
    pub per_prefix: [usize; 3],
    /// In all.
    pub total: usize,
}

impl PoolLimits {
    const ONE: PoolLimits = PoolLimits {
        per_prefix: [1; 3],
        total: 1,
    };

    /// Of a listener's total: of everybody's places, and of the reserved ones.
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
        // Reserved clients are few and known; one of them still does not take all.
        let reserved = PoolLimits {
            per_prefix: [part(reserved, 4), part(reserved, 2), reserved],
            total: reserved,
        };
        [general, reserved]
    }
}

/// What became of connections, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Connections that are open, without transfers.
    pub open: usize,
    /// Transfers that are under way.
    pub transfers: usize,
    /// Connections that were closed for others because all places were taken.
    pub shed: u64,
    /// Connections that were closed for others of their own network, which had its share.
    pub shed_of_share: u64,
    /// New connections that were closed at once because all places were taken.
    pub refused: u64,
    /// New connections that were closed at once because their network had its share.
    pub refused_of_share: u64,
}

#[derive(Debug)]
struct Connection<T> {
    prefixes: [ClientPrefix; 3],
    client: Client,
    pool: Pool,
    state: ConnectionState,
    /// Answers that are under way.
    answers: usize,
    /// It has shown a token: it is closed after all others.
    preferred: bool,
    handle: T,
}

/// A connection's number.
pub type ConnectionId = u64;

/// What is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Share(ClientPrefix),
    Total,
}

/// The connections of a listener, or of several that share their places. `T` is what tells a
/// connection that it is closed.
#[derive(Debug)]
pub struct ConnectionTable<T> {
    connections: HashMap<ConnectionId, Connection<T>>,
    counts: HashMap<(Pool, ClientPrefix), usize>,
    totals: [usize; 5],
    limits: [PoolLimits; 5],
    last: ConnectionId,
    stats: Stats,
}

impl<T> ConnectionTable<T> {
    /// For so many connections beside transfers, and so many transfers. Places are reserved where
    /// there are transfers.
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
            stats: Stats::default(),
        }
    }

    /// The limits of a pool.
    pub fn limits(&self, pool: Pool) -> PoolLimits {
        self.limits[pool as usize]
    }

    /// Connections in a pool.
    pub fn len(&self, pool: Pool) -> usize {
        self.totals[pool as usize]
    }

    /// What became of connections.
    pub fn stats(&self) -> Stats {
        let of = |pools: [Pool; 2]| pools.map(|p| self.len(p)).iter().sum();
        Stats {
            open: of([Pool::General, Pool::Reserved]),
            transfers: of([Pool::Transfers, Pool::ReservedTransfers]),
            ..self.stats
        }
    }

    /// Where a connection stands; `None` after it was closed.
    pub fn state(&self, id: ConnectionId) -> Option<ConnectionState> {
        self.connections.get(&id).map(|c| c.state)
    }

    /// Whether a new connection of this client would take one of few places: then it has to show
    /// first that its address is its own.
    pub fn is_pressed(&self, addr: IpAddr, client: Client) -> bool {
        let limits = self.limits(Pool::General);
        let count = |p: ClientPrefix| self.counts.get(&(Pool::General, p)).copied().unwrap_or(0);
        let [address, network, wide] = ClientPrefix::of(addr).map(count);
        let most = |n: usize| n * 3 / 4;
        client == Client::Reserved
            || address >= limits.per_prefix[0].div_ceil(4)
            || network >= most(limits.per_prefix[1])
            || wide >= most(limits.per_prefix[2])
            || self.len(Pool::General) >= most(limits.total)
    }

    /// Gives a new connection a place: its number, and the handle of the connection that is closed
    /// for it, if any. `None` where it is refused. `handle` is what the connection itself is told
    /// by.
    pub fn admit(
        &mut self,
        addr: IpAddr,
        client: Client,
        now: Duration,
        handle: T,
    ) -> Option<(ConnectionId, Option<T>)> {
        let prefixes = ClientPrefix::of(addr);
        let (pool, shed) = self.place(prefixes, client, now)?;
        self.last += 1;
        let state = ConnectionState::BeforeRequest(now);
        self.insert(
            self.last,
            Connection {
                prefixes,
                client,
                pool,
                state,
                answers: 0,
                preferred: false,
                handle,
            },
        );
        Some((self.last, shed))
    }

    /// Takes a connection out. Nothing happens where it was closed before.
    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let connection = self.connections.remove(&id)?;
        self.totals[connection.pool as usize] -= 1;
        for prefix in connection
            .prefixes
            .into_iter()
            .filter(|_| connection.client.is_counted())
        {
            if let Some(n) = self.counts.get_mut(&(connection.pool, prefix)) {
                *n -= 1;
                if *n == 0 {
                    self.counts.remove(&(connection.pool, prefix));
                }
            }
        }
        Some(connection.handle)
    }

    /// The connection is another client's, as its proxy says. False where that client has its
    /// share: it is closed then.
    pub fn reassign(&mut self, id: ConnectionId, addr: IpAddr, now: Duration) -> (bool, Option<T>) {
        let Some((state, preferred)) = self.connections.get(&id).map(|c| (c.state, c.preferred))
        else {
            return (false, None);
        };
        let Some(handle) = self.remove(id) else {
            return (false, None);
        };
        let prefixes = ClientPrefix::of(addr);
        let Some((pool, shed)) = self.place(prefixes, Client::Ordinary, now) else {
            return (false, None);
        };
        self.insert(
            id,
            Connection {
                prefixes,
                client: Client::Ordinary,
                pool,
                state,
                answers: 0,
                preferred,
                handle,
            },
        );
        (true, shed)
    }

    /// A request has begun, and the connection waits for the rest of it. One that waits already, or
    /// answers others, does so on.
    pub fn await_request(&mut self, id: ConnectionId, now: Duration) {
        self.change(id, |c| {
            if let ConnectionState::Idle(_) = c.state {
                c.state = ConnectionState::BeforeRequest(now);
            }
        });
    }

    /// A full request has come. False where the connection was closed.
    pub fn begin_answer(&mut self, id: ConnectionId, now: Duration) -> bool {
        self.change(id, |c| {
            c.answers += 1;
            if c.answers == 1 {
                c.state = ConnectionState::Answering(now);
            }
        })
    }

    /// A part of an answer was taken by the client.
    pub fn progress(&mut self, id: ConnectionId, now: Duration) {
        self.change(id, |c| {
            if c.answers > 0 {
                c.state = ConnectionState::Answering(now);
            }
        });
    }

    /// An answer is written, or given up.
    pub fn end_answer(&mut self, id: ConnectionId, now: Duration) {
        self.change(id, |c| {
            c.answers = c.answers.saturating_sub(1);
            c.state = if c.answers == 0 {
                ConnectionState::Idle(now)
            } else {
                ConnectionState::Answering(now)
            };
        });
    }

    /// The connection has shown a token: it is closed after all others.
    pub fn prefer(&mut self, id: ConnectionId) {
        self.change(id, |c| c.preferred = true);
    }

    /// The connection's question is read, and it is a transfer: it moves to the transfers' places.
    /// False where none is free.
    pub fn begin_transfer(&mut self, id: ConnectionId) -> bool {
        let Some(c) = self.connections.get(&id) else {
            return false;
        };
        let (prefixes, client) = (c.prefixes, c.client);
        let pools: &[Pool] = if client == Client::Reserved {
            &[Pool::ReservedTransfers, Pool::Transfers]
        } else {
            &[Pool::Transfers]
        };
        let Some(pool) = pools
            .iter()
            .find(|p| self.full(**p, prefixes, client).is_none())
            .copied()
        else {
            return false;
        };
        self.relocate(id, pool, ConnectionState::Transfer);
        true
    }

    /// The transfer is over: the connection takes a place among the others again. False where there
    /// is none for it: it is closed.
    pub fn end_transfer(&mut self, id: ConnectionId, now: Duration) -> (bool, Option<T>) {
        let Some(c) = self
            .connections
            .get(&id)
            .filter(|c| c.state == ConnectionState::Transfer)
        else {
            return (false, None);
        };
        let (prefixes, client) = (c.prefixes, c.client);
        let Some((pool, shed)) = self.place(prefixes, client, now) else {
            return (false, None);
        };
        self.relocate(id, pool, ConnectionState::Idle(now));
        (true, shed)
    }

    /// Changes a connection; one that carries a transfer stands as it is. False where it was
    /// closed.
    fn change(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection<T>)) -> bool {
        let Some(found) = self.connections.get_mut(&id) else {
            return false;
        };
        if found.state != ConnectionState::Transfer {
            change(found);
        }
        true
    }

    fn insert(&mut self, id: ConnectionId, connection: Connection<T>) {
        self.totals[connection.pool as usize] += 1;
        if connection.client.is_counted() {
            connection
                .prefixes
                .iter()
                .for_each(|p| *self.counts.entry((connection.pool, *p)).or_default() += 1);
        }
        self.connections.insert(id, connection);
    }

    fn relocate(&mut self, id: ConnectionId, pool: Pool, state: ConnectionState) {
        let Some(c) = self.connections.get(&id) else {
            return;
        };
        let (prefixes, client, preferred) = (c.prefixes, c.client, c.preferred);
        if let Some(handle) = self.remove(id) {
            self.insert(
                id,
                Connection {
                    prefixes,
                    client,
                    pool,
                    state,
                    answers: 0,
                    preferred,
                    handle,
                },
            );
        }
    }

    /// A free place, or one that is made free by closing a connection, whose handle comes with it.
    fn place(
        &mut self,
        prefixes: [ClientPrefix; 3],
        client: Client,
        now: Duration,
    ) -> Option<(Pool, Option<T>)> {
        let pools: &[Pool] = match client {
            Client::Reserved => &[Pool::Reserved, Pool::General],
            Client::HealthCheck => &[Pool::HealthCheck],
            Client::Ordinary | Client::Uncounted => &[Pool::General],
        };
        let full = |table: &Self, pool: Pool| table.full(pool, prefixes, client);
        if let Some(pool) = pools.iter().find(|p| full(self, **p).is_none()) {
            return Some((*pool, None));
        }
        for pool in pools {
            let Some(full) = full(self, *pool) else {
                continue;
            };
            if let Some(victim) = self.victim(*pool, full, now) {
                match full {
                    // The last check has not closed its connection yet.
                    _ if *pool == Pool::HealthCheck => {}
                    Full::Total => self.stats.shed += 1,
                    Full::Share(_) => self.stats.shed_of_share += 1,
                }
                return Some((*pool, self.remove(victim)));
            }
        }
        match pools.last().and_then(|p| full(self, *p)) {
            Some(Full::Share(_)) => self.stats.refused_of_share += 1,
            _ => self.stats.refused += 1,
        }
        None
    }

    /// What keeps a client from one more place of a pool, the narrowest first: what is freed there
    /// is free in all wider ones.
    fn full(&self, pool: Pool, prefixes: [ClientPrefix; 3], client: Client) -> Option<Full> {
        let limits = self.limits(pool);
        let count = |p: &ClientPrefix| self.counts.get(&(pool, *p)).copied().unwrap_or(0);
        let share = prefixes
            .iter()
            .zip(limits.per_prefix)
            .find(|(p, most)| count(p) >= *most)
            .map(|(p, _)| Full::Share(*p));
        let share = share.filter(|_| client.is_counted());
        share.or_else(|| (self.len(pool) >= limits.total).then_some(Full::Total))
    }

    /// The connection of a pool that is closed first. One look at each: a few thousand at most, and
    /// only under load.
    fn victim(&self, pool: Pool, full: Full, now: Duration) -> Option<ConnectionId> {
        let of_share = |c: &Connection<T>| match full {
            Full::Share(prefix) => c.client.is_counted() && c.prefixes.contains(&prefix),
            Full::Total => true,
        };
        let all = self
            .connections
            .iter()
            .filter(|(_, c)| c.pool == pool && of_share(c));
        all.filter_map(|(id, c)| Some((self.rank(c, now)?, *id)))
            .min()
            .map(|(_, id)| id)
    }

    /// The order in which connections are closed under load; `None` for one that is not: its answer
    /// is being written, or it carries a transfer. Those that have shown a token come last.
    /// Otherwise: those that wait for a request, the longest first; then those that are idle, the
    /// longest first; then new ones and those that do not take their answers, of the address, then
    /// the network, with most.
    fn rank(&self, c: &Connection<T>, now: Duration) -> Option<impl Ord + use<T>> {
        let count = |i: usize| {
            self.counts
                .get(&(c.pool, c.prefixes[i]))
                .copied()
                .unwrap_or(0)
        };
        let age = |since: Duration| now.saturating_sub(since);
        let (class, crowd, since) = match c.state {
            _ if c.pool == Pool::HealthCheck => (0, (0, 0), now),
            ConnectionState::BeforeRequest(since) if age(since) >= GRACE => (0, (0, 0), since),
            ConnectionState::Idle(since) => (1, (0, 0), since),
            ConnectionState::BeforeRequest(since) => (2, (count(0), count(1)), since),
            ConnectionState::Answering(since) if age(since) >= WRITE_TIMEOUT_UNDER_LOAD => {
                (2, (count(0), count(1)), since)
            }
            ConnectionState::Answering(_) | ConnectionState::Transfer => return None,
        };
        Some((c.preferred, class, Reverse(crowd), since))
    }
}

#[cfg(test)]
mod tests;
