//! Limits the connections of listeners: DNS over streams has one limiter, and so have each HTTP
//! listener and the collector.
//!
//! A listener never stops accepting. A new connection gets a free slot, or the slot of a connection
//! that ranks lower ([`table::ConnectionTable`]), or is closed at once. So a few networks cannot
//! keep others out, whatever they send.

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

use table::{AnswerId, ClientKind, ConnectionId, ConnectionTable, LimiterStats, Shares};

/// The most shed connections that are not closed yet: each still holds a file descriptor. Beyond
/// it, a listener waits before it accepts the next connection.
const MAX_CLOSING: usize = 4;
/// The longest wait for shed connections to close.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(50);

/// Returns whether slots are reserved for a client address.
pub type IsReserved = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Limits the connections of one listener, or of several that share their slots. Clones share the
/// state.
#[derive(Clone)]
pub struct ConnectionLimiter(Arc<Inner>);

struct Inner {
    table: Mutex<ConnectionTable<CancellationToken>>,
    started: Instant,
    /// Notified when a transfer ends.
    transfer_ended: Notify,
    /// Connections that were shed and are not closed yet.
    closing: AtomicUsize,
    /// Notified when a shed connection is closed.
    closed: Notify,
    is_reserved: IsReserved,
}

impl ConnectionLimiter {
    /// Creates a limiter of `total` simultaneous connections, without transfers.
    pub fn new(total: usize, shares: &Shares) -> ConnectionLimiter {
        ConnectionLimiter::with_transfers(total, 0, shares, Arc::new(|_| false))
    }

    /// Creates a limiter of `total` simultaneous connections and `transfers` more that carry zone
    /// transfers. Part of both is reserved for the clients of `is_reserved`.
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

    /// Admits a connection from an address. Returns `None` if it is refused and has to be closed.
    pub fn admit(&self, addr: IpAddr) -> Option<Arc<ConnectionPermit>> {
        self.admit_as(addr, self.client(addr))
    }

    /// Admits a connection of a known kind of client.
    pub fn admit_as(&self, addr: IpAddr, client: ClientKind) -> Option<Arc<ConnectionPermit>> {
        let closed = CancellationToken::new();
        let mut table = self.table();
        let (id, shed) = table.admit(addr, client, self.now(), closed.clone())?;
        self.close(shed);
        drop(table);
        Some(Arc::new(ConnectionPermit {
            limiter: self.clone(),
            id,
            closed,
            is_counted_closed: AtomicBool::new(false),
        }))
    }

    /// Waits until shed connections are closed. A listener calls this before each accept.
    pub async fn wait_for_closing(&self) {
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

    /// Whether a new client has to validate its address (RFC 9000 section 8.1) before it gets a
    /// slot, because few are left.
    pub fn needs_address_validation(&self, addr: IpAddr) -> bool {
        let client = self.client(addr);
        self.table().needs_address_validation(addr, client)
    }

    /// Returns the number of open connections, and of those that were shed and refused.
    pub fn stats(&self) -> LimiterStats {
        self.table().stats()
    }

    fn client(&self, addr: IpAddr) -> ClientKind {
        if (self.0.is_reserved)(addr.to_canonical()) {
            ClientKind::Reserved
        } else {
            ClientKind::Ordinary
        }
    }

    fn table(&self) -> MutexGuard<'_, ConnectionTable<CancellationToken>> {
        self.0.table.lock()
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Notifies a shed connection. The table is locked meanwhile, so that the connection is counted
    /// as closing before it can end.
    fn close(&self, shed: Option<CancellationToken>) {
        if let Some(shed) = shed {
            self.0.closing.fetch_add(1, AcqRel);
            shed.cancel();
        }
    }
}

/// The slot of one connection; dropping it frees the slot.
pub struct ConnectionPermit {
    limiter: ConnectionLimiter,
    id: ConnectionId,
    closed: CancellationToken,
    /// Whether the end of this connection was counted after it was shed.
    is_counted_closed: AtomicBool,
}

impl ConnectionPermit {
    /// Resolves when the slot was given to another connection; then this connection has to be
    /// closed.
    pub async fn shed(&self) {
        self.closed.cancelled().await;
    }

    /// Runs the connection until it ends or is shed.
    pub async fn run(&self, connection: impl Future<Output = ()>) {
        tokio::select! {
            () = connection => {}
            () = self.shed() => {}
        }
        self.count_closed();
    }

    /// Counts the end of a connection that was shed.
    fn count_closed(&self) {
        if self.closed.is_cancelled() && !self.is_counted_closed.swap(true, AcqRel) {
            self.limiter.0.closing.fetch_sub(1, AcqRel);
            self.limiter.0.closed.notify_waiters();
        }
    }

    /// Notes that a request has begun and that the connection waits for the rest of it.
    pub fn await_request(&self) {
        self.limiter
            .table()
            .await_request(self.id, self.limiter.now());
    }

    /// Notes that a whole request was received. Returns `None` if the connection was shed.
    pub fn begin_answer(self: &Arc<Self>) -> Option<AnswerGuard> {
        let answer = self
            .limiter
            .table()
            .begin_answer(self.id, self.limiter.now())?;
        Some(AnswerGuard(self.clone(), answer))
    }

    /// Notes that the client has sent a valid token: the connection is shed after all others.
    pub fn prefer(&self) {
        self.limiter.table().prefer(self.id);
    }

    /// Assigns the connection to the client that its trusted proxy names. Returns false if the
    /// share of that client is full.
    pub fn reassign(&self, addr: IpAddr) -> bool {
        let mut table = self.limiter.table();
        let (kept, shed) = table.reassign(self.id, addr, self.limiter.now());
        self.limiter.close(shed);
        kept
    }

    /// Moves the connection to a slot for transfers, and waits up to `wait` for one. Returns false
    /// if none became free, or if the connection was shed meanwhile.
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

    /// Moves the connection back to an ordinary slot after a transfer. Returns false if there is
    /// none for it.
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
        self.count_closed();
        self.limiter.0.transfer_ended.notify_waiters();
    }
}

/// An answer in progress. The connection is not shed while the client reads the answer.
pub struct AnswerGuard(Arc<ConnectionPermit>, AnswerId);

impl AnswerGuard {
    /// Notes that the client has read a part of the answer.
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
    async fn shed_connection_is_notified_and_its_slot_is_reused() {
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
            .expect("the connection without a request is shed");
        assert!(first.begin_answer().is_none());
        assert_eq!(limiter.0.closing.load(Acquire), 1);
        first.run(std::future::pending()).await;
        drop(first);
        assert_eq!(limiter.0.closing.load(Acquire), 0);
        assert_eq!(
            limiter.stats().open,
            2,
            "a shed connection frees its slot once"
        );
        drop(answer);
        assert!(third.begin_answer().is_some());
        drop((second, third));
        assert_eq!(limiter.stats().open, 0);
    }

    #[tokio::test]
    async fn transfer_waits_for_a_slot_and_frees_its_own() {
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
            "one slot is general, one is reserved"
        );
        let waiting =
            tokio::spawn(async move { (b.begin_transfer(Duration::from_secs(5)).await, b) });
        tokio::task::yield_now().await;
        assert!(a.end_transfer());
        assert!(waiting.await.unwrap().0);
    }
}
