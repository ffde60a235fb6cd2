//! The table of a listener's connections: who may have one more, and which one is closed for it. A
//! data structure without sockets and without a clock: times come in as durations since any moment.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::net::ClientPrefix;

mod shedding;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// No full request has come yet, since this time.
    BeforeRequest(Duration),
    /// Its requests are answered, and the next one has not come, since this time.
    Idle(Duration),
    /// Answers are being made or written. Since this time the client has taken nothing of one of
    /// them.
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
    /// Answers that are under way, each with the time when the client last took a part of it.
    answers: Vec<(AnswerId, Duration)>,
    last_answer: AnswerId,
    /// It has shown a token: it is closed after all others.
    preferred: bool,
    handle: T,
}

/// A connection's number.
pub type ConnectionId = u64;

/// The number of an answer on its connection.
pub type AnswerId = u32;

impl<T> Connection<T> {
    fn new(
        prefixes: [ClientPrefix; 3],
        client: Client,
        pool: Pool,
        state: ConnectionState,
        handle: T,
    ) -> Connection<T> {
        Connection {
            prefixes,
            client,
            pool,
            state,
            answers: Vec::new(),
            last_answer: 0,
            preferred: false,
            handle,
        }
    }

    /// The state while answers are under way: that of the one which waits longest. Another one that
    /// is taken, or that ends, does not make it any younger.
    fn set_answering(&mut self) {
        if let Some(oldest) = self.answers.iter().map(|(_, at)| *at).min() {
            self.state = ConnectionState::Answering(oldest);
        }
    }
}

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
            Connection::new(prefixes, client, pool, state, handle),
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
                preferred,
                ..Connection::new(prefixes, Client::Ordinary, pool, state, handle)
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

    /// A full request has come: the number of its answer. `None` where the connection was closed.
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

    /// The client has taken a part of an answer.
    pub fn progress(&mut self, id: ConnectionId, answer: AnswerId, now: Duration) {
        self.change(id, |c| {
            if let Some((_, at)) = c.answers.iter_mut().find(|(a, _)| *a == answer) {
                *at = now;
                c.set_answering();
            }
        });
    }

    /// An answer is written, or given up.
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
                    preferred,
                    ..Connection::new(prefixes, client, pool, state, handle)
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
            if let Some(victim) = self.victim(*pool, full, prefixes, client, now) {
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
}

#[cfg(test)]
mod tests;
