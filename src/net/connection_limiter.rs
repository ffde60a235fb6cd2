//! The limit of a listener's connections: one for DNS over streams, one for each HTTP listener, one
//! for the collector.
//!
//! No listener stops accepting. A new connection gets a free place, or that of a connection which
//! is worth less ([`table::ConnectionTable`]), or is closed at once. So a few networks never keep
//! others out, whatever they send.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Acquire},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

pub mod table;

use table::{AnswerId, Client, ConnectionId, ConnectionTable, Shares, Stats};

/// Connections that were shed and are not closed yet, beyond which no more are accepted: each holds
/// a file descriptor still.
const MAX_CLOSING: usize = 4;
/// How long to wait for them at most.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(50);

/// Tells clients for which places are reserved.
pub type IsReserved = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The connections of one listener, or of several that share their places. Clones share them.
#[derive(Clone)]
pub struct ConnectionLimiter(Arc<Inner>);

struct Inner {
    table: Mutex<ConnectionTable<CancellationToken>>,
    started: Instant,
    /// Told when a transfer ends.
    transfer_ended: Notify,
    /// Connections that were shed and are not closed yet.
    closing: AtomicUsize,
    /// Told when one of them is closed.
    closed: Notify,
    is_reserved: IsReserved,
}

impl ConnectionLimiter {
    /// For a listener with so many connections at the same time, and no transfers.
    pub fn new(total: usize, shares: &Shares) -> ConnectionLimiter {
        ConnectionLimiter::with_transfers(total, 0, shares, Arc::new(|_| false))
    }

    /// For so many connections, and so many transfers besides, some of both for reserved clients.
    pub fn with_transfers(
        total: usize,
        transfers: usize,
        shares: &Shares,
        is_reserved: IsReserved,
    ) -> ConnectionLimiter {
        let table = Mutex::new(ConnectionTable::new(total, transfers, shares));
        let (transfer_ended, closed) = (Notify::new(), Notify::new());
        ConnectionLimiter(Arc::new(Inner {
            table,
            started: Instant::now(),
            transfer_ended,
            closing: AtomicUsize::new(0),
            closed,
            is_reserved,
        }))
    }

    /// A place for a connection from an address. `None` where it is refused and has to be closed.
    pub fn admit(&self, addr: IpAddr) -> Option<Arc<ConnectionPermit>> {
        self.admit_as(addr, self.client(addr))
    }

    /// A place for a connection of this kind of client.
    pub fn admit_as(&self, addr: IpAddr, client: Client) -> Option<Arc<ConnectionPermit>> {
        let closed = CancellationToken::new();
        let mut table = self.table();
        let (id, shed) = table.admit(addr, client, self.now(), closed.clone())?;
        self.close(shed);
        drop(table);
        Some(Arc::new(ConnectionPermit {
            limiter: self.clone(),
            id,
            closed,
            is_over: AtomicBool::new(false),
        }))
    }

    /// Waits until connections that were shed are closed: a listener accepts the next one after
    /// that.
    pub async fn settled(&self) {
        let few = async {
            loop {
                let closed = self.0.closed.notified();
                if self.0.closing.load(Acquire) <= MAX_CLOSING {
                    return;
                }
                closed.await;
            }
        };
        let _ = timeout(CLOSING_TIMEOUT, few).await;
    }

    /// Whether a client has to show that its address is its own before it gets a place: few are
    /// left.
    pub fn is_pressed(&self, addr: IpAddr) -> bool {
        let client = self.client(addr);
        self.table().is_pressed(addr, client)
    }

    /// What became of connections.
    pub fn stats(&self) -> Stats {
        self.table().stats()
    }

    fn client(&self, addr: IpAddr) -> Client {
        if (self.0.is_reserved)(addr.to_canonical()) {
            Client::Reserved
        } else {
            Client::Ordinary
        }
    }

    fn table(&self) -> MutexGuard<'_, ConnectionTable<CancellationToken>> {
        self.0.table.lock()
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Tells a connection that it was shed, while the table is locked: so it sees that, whenever it
    /// ends.
    fn close(&self, shed: Option<CancellationToken>) {
        if let Some(shed) = shed {
            self.0.closing.fetch_add(1, AcqRel);
            shed.cancel();
        }
    }
}

/// A connection's place, until it is dropped.
pub struct ConnectionPermit {
    limiter: ConnectionLimiter,
    id: ConnectionId,
    closed: CancellationToken,
    /// It was counted as closed after it was shed.
    is_over: AtomicBool,
}

impl ConnectionPermit {
    /// Resolves when the place was given to another connection: this one has to be closed.
    pub async fn shed(&self) {
        self.closed.cancelled().await;
    }

    /// Runs the connection until it ends or is shed.
    pub async fn run(&self, connection: impl Future<Output = ()>) {
        tokio::select! {
            () = connection => {}
            () = self.shed() => {}
        }
        self.over();
    }

    /// Where the connection was shed, it is closed now.
    fn over(&self) {
        if self.closed.is_cancelled() && !self.is_over.swap(true, AcqRel) {
            self.limiter.0.closing.fetch_sub(1, AcqRel);
            self.limiter.0.closed.notify_waiters();
        }
    }

    /// The connection waits for the rest of a request that has begun.
    pub fn await_request(&self) {
        self.limiter
            .table()
            .await_request(self.id, self.limiter.now());
    }

    /// A full request has come. `None` where the connection was shed.
    pub fn begin_answer(self: &Arc<Self>) -> Option<AnswerGuard> {
        let answer = self
            .limiter
            .table()
            .begin_answer(self.id, self.limiter.now())?;
        Some(AnswerGuard(self.clone(), answer))
    }

    /// The connection has shown a valid token: it is shed after all others.
    pub fn prefer(&self) {
        self.limiter.table().prefer(self.id);
    }

    /// The connection is that of another client, as its trusted proxy says. False where that client
    /// has its share.
    pub fn reassign(&self, addr: IpAddr) -> bool {
        let mut table = self.limiter.table();
        let (kept, shed) = table.reassign(self.id, addr, self.limiter.now());
        self.limiter.close(shed);
        kept
    }

    /// The connection becomes a transfer: it moves to the transfers' places, for one of which it
    /// waits as long as this. False where none became free, or the connection was shed meanwhile.
    pub async fn begin_transfer(&self, wait: Duration) -> bool {
        let moved = async {
            loop {
                let ended = self.limiter.0.transfer_ended.notified();
                if self.limiter.table().begin_transfer(self.id) {
                    return;
                }
                ended.await;
            }
        };
        timeout(wait, moved).await.is_ok()
    }

    /// The transfer is over, and the connection goes on. False where there is no place for it.
    pub fn end_transfer(&self) -> bool {
        let mut table = self.limiter.table();
        let (kept, shed) = table.end_transfer(self.id, self.limiter.now());
        self.limiter.close(shed);
        drop(table);
        self.limiter.0.transfer_ended.notify_waiters();
        kept
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.table().remove(self.id);
        self.over();
        self.limiter.0.transfer_ended.notify_waiters();
    }
}

/// An answer that is under way: the connection is not shed while the client takes it.
pub struct AnswerGuard(Arc<ConnectionPermit>, AnswerId);

impl AnswerGuard {
    /// The client has taken a part of the answer.
    pub fn progress(&self) {
        self.0
            .limiter
            .table()
            .progress(self.0.id, self.1, self.0.limiter.now());
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0
            .limiter
            .table()
            .end_answer(self.0.id, self.1, self.0.limiter.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shed_connection_is_told_and_its_place_is_given_on() {
        let limiter = ConnectionLimiter::new(
            2,
            &Shares {
                address: 1,
                network: 1,
                wide_network: 1,
                reserved: 16,
            },
        );
        let addr = |n: u8| IpAddr::from([192, 0, n, 1]);
        let first = limiter.admit(addr(1)).unwrap();
        let second = limiter.admit(addr(2)).unwrap();
        let answer = second.begin_answer().unwrap();
        let third = limiter.admit(addr(3)).unwrap();
        timeout(Duration::from_secs(1), first.shed())
            .await
            .expect("the one without a request");
        assert!(first.begin_answer().is_none());
        assert_eq!(limiter.0.closing.load(Acquire), 1);
        first.run(std::future::pending()).await;
        drop(first);
        assert_eq!(limiter.0.closing.load(Acquire), 0);
        assert_eq!(
            limiter.stats().open,
            2,
            "a shed connection gives nothing back twice"
        );
        drop(answer);
        assert!(third.begin_answer().is_some());
        drop((second, third));
        assert_eq!(limiter.stats().open, 0);
    }

    #[tokio::test]
    async fn a_transfer_waits_for_a_place_and_gives_its_own_back() {
        let shares = Shares {
            address: 1,
            network: 1,
            wide_network: 1,
            reserved: 2,
        };
        let limiter = ConnectionLimiter::with_transfers(8, 2, &shares, Arc::new(|_| false));
        let [a, b] = [1, 2].map(|n| limiter.admit([192, 0, n, 1].into()).unwrap());
        assert!(a.begin_transfer(Duration::ZERO).await);
        assert_eq!((limiter.stats().open, limiter.stats().transfers), (1, 1));
        assert!(
            !b.begin_transfer(Duration::from_millis(10)).await,
            "one place is everybody's, one is reserved"
        );
        let waiting =
            tokio::spawn(async move { (b.begin_transfer(Duration::from_secs(5)).await, b) });
        tokio::task::yield_now().await;
        assert!(a.end_transfer());
        assert!(waiting.await.unwrap().0);
    }
}
