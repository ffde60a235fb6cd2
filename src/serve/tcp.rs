//! The TCP front (RFC 7766): many queries on a connection, answered in order as they come, with a limit on everything.
//! What is here also carries the encrypted fronts: their places, their limits, and the talk on one connection.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::{Shared, count, sys::set_option};
use crate::{
    clock::wall,
    dns::{Kind, Peer, TCP_SIZE, encode::IDLE_DECISECONDS, notify, respond},
    metrics::{Totals, Worker},
};

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 2048;
/// Connections of one client at the same time.
const MAX_PER_CLIENT: usize = 64;
/// How long a connection may wait for the next query.
pub(super) const IDLE: Duration = Duration::from_millis(IDLE_DECISECONDS as u64 * 100);
/// How long a connection may live.
pub(super) const TOTAL: Duration = Duration::from_secs(300);
/// How long a client may take to send a query it has begun, or to take what was answered.
pub(super) const STALL: Duration = Duration::from_secs(5);
/// Queries that are answered before what they got is written out.
pub(super) const PIPELINE: usize = 64;
/// Bytes read at a time; a query longer than this is malformed.
pub(super) const READ: usize = 8 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long a connection may wait for the next query while few places are free.
pub(super) const PRESSED_IDLE: Duration = Duration::from_secs(1);
/// Few places are free when fewer than one of so many is.
const PRESSED_PART: usize = 4;

thread_local! {
    /// Where an answer is made: one for each thread, not one for each connection.
    pub(super) static ANSWER: RefCell<Vec<u8>> = RefCell::new(vec![0; TCP_SIZE]);
}

/// Opens a listener. An IPv6 one is for IPv6 alone, as the UDP sockets are, so that `0.0.0.0` and `[::]` can stand side by
/// side.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if addr.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// The places for connections: one set for all listeners of a server.
#[derive(Debug, Clone)]
pub struct Places {
    room: Arc<Semaphore>,
    all: usize,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Places {
    fn default() -> Places {
        Places::new(MAX_CONNECTIONS)
    }
}

impl Places {
    fn new(all: usize) -> Places {
        Places { room: Arc::new(Semaphore::new(all)), all, clients: Arc::default() }
    }

    /// A place for a client, at once; none where it has as many as one may have, or all are taken.
    pub(super) fn take(&self, addr: IpAddr) -> Option<Guard> {
        Guard::new(self, addr, self.room.clone().try_acquire_owned().ok()?)
    }

    /// Whether few places are left, of all or of this client's.
    pub(super) fn pressed(&self, addr: IpAddr) -> bool {
        let map = self.clients.lock().unwrap_or_else(|e| e.into_inner());
        let own = map.get(&client(addr)).copied().unwrap_or(0);
        own > MAX_PER_CLIENT / PRESSED_PART || self.room.available_permits() < self.all / PRESSED_PART
    }

    /// How long a connection may idle now.
    pub(super) fn idle(&self) -> Duration {
        if self.room.available_permits() < self.all / PRESSED_PART { PRESSED_IDLE } else { IDLE }
    }
}

/// Takes connections until the task is dropped.
pub async fn run(listener: TcpListener, shared: Shared, places: Places) {
    let counters = shared.metrics.worker(&name("tcp", listener.local_addr()));
    let serve = move |stream, addr, places| {
        let (shared, counters) = (shared.clone(), counters.clone());
        async move {
            // How a connection ends is the client's business; there is nobody to tell.
            let _ = connection(stream, Peer::tcp(addr), &shared, &counters, &places).await;
        }
    };
    accept(listener, places, serve).await;
}

/// The name of a front's counters, such as `tcp-127.0.0.1:53`.
pub(super) fn name(front: &str, addr: io::Result<SocketAddr>) -> String {
    format!("{front}-{}", addr.map_or_else(|_| "?".into(), |a| a.to_string()))
}

/// Takes connections until the task is dropped, each on a place of its client, which is taken before a byte is read.
pub(super) async fn accept<T: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    places: Places,
    serve: impl Fn(TcpStream, IpAddr, Places) -> T,
) {
    loop {
        let Ok(permit) = places.room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(guard) = Guard::new(&places, from.ip(), permit) else { continue };
                if stream.set_nodelay(true).is_ok() {
                    let work = serve(stream, from.ip().to_canonical(), places.clone());
                    tokio::spawn(async move {
                        work.await;
                        drop(guard);
                    });
                }
            }
            // Out of file descriptors, most likely: wait for some to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Whose places are counted together: an IPv4 address, or a /64 of IPv6, which is one customer as a rule.
fn client(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// A connection's place, given back when it ends.
pub(super) struct Guard {
    places: Places,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Guard {
    fn new(places: &Places, addr: IpAddr, permit: OwnedSemaphorePermit) -> Option<Guard> {
        let client = client(addr);
        let mut map = places.clients.lock().unwrap_or_else(|e| e.into_inner());
        let n = map.entry(client).or_default();
        if *n >= MAX_PER_CLIENT {
            return None;
        }
        *n += 1;
        Some(Guard { places: places.clone(), client, _permit: permit })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut map = self.places.clients.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(n) = map.get_mut(&self.client) {
            *n -= 1;
            if *n == 0 {
                map.remove(&self.client);
            }
        }
    }
}

/// Serves one connection until it ends: of TCP, or of what runs over it.
pub(super) async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: Peer<'_>,
    shared: &Shared,
    counters: &Worker,
    places: &Places,
) -> io::Result<()> {
    let mut input = Vec::with_capacity(READ);
    let mut output = Vec::new();
    let mut begun: Option<Instant> = None;
    let end = Instant::now() + TOTAL;
    while !shared.stop.load(Ordering::Relaxed) && Instant::now() < end {
        let got = match begun {
            Some(b) => timeout_at(b + STALL, stream.read_buf(&mut input)).await??,
            None => idle(&mut stream, &mut input, places).await?,
        };
        if got == 0 {
            return Ok(());
        }
        let mut rest = &input[..];
        let mut waiting = 0;
        // Whoever sends what is no query does not speak DNS; what was answered before is written all the same.
        let sound = loop {
            let (query, tail) = match split(rest) {
                Ok(Some(found)) => found,
                Ok(None) => break true,
                Err(_) => break false,
            };
            rest = tail;
            match answer(query, peer, shared, counters, &mut output) {
                Kind::Dropped => break false,
                Kind::Transfer => {
                    send(&mut stream, &output).await?;
                    output.clear();
                    transfer(query, peer, shared, &mut stream).await?;
                }
                _ => {}
            }
            waiting += 1;
            if waiting % PIPELINE == 0 {
                // A client that does not read gets no further answers: its queries wait in its own buffers.
                send(&mut stream, &output).await?;
                output.clear();
            }
        };
        let used = input.len() - rest.len();
        input.drain(..used);
        begun = if input.is_empty() { None } else { Some(begun.filter(|_| used == 0).unwrap_or_else(Instant::now)) };
        send(&mut stream, &output).await?;
        output.clear();
        if !sound {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes all of it; a stream that keeps bytes back (TLS) is made to let them go.
async fn send<S: AsyncWrite + Unpin>(stream: &mut S, output: &[u8]) -> io::Result<()> {
    let write = async {
        stream.write_all(output).await?;
        stream.flush().await
    };
    timeout(STALL, write).await?
}

/// Waits for the next query for as long as a connection may idle, which gets shorter while it waits when places get few.
async fn idle<S: AsyncRead + Unpin>(stream: &mut S, input: &mut Vec<u8>, places: &Places) -> io::Result<usize> {
    let since = Instant::now();
    loop {
        match timeout(PRESSED_IDLE, stream.read_buf(input)).await {
            Ok(got) => return got,
            Err(_) if since.elapsed() >= places.idle() => return Ok(0),
            Err(_) => {}
        }
    }
}

/// Sends a transfer; what was it is told in the log.
async fn transfer<S: AsyncWrite + Unpin>(query: &[u8], peer: Peer<'_>, shared: &Shared, stream: &mut S) -> io::Result<()> {
    let Some(transfers) = &shared.transfers else { return Err(io::Error::other("transfers are not served here")) };
    let begun = Instant::now();
    let sent = transfers.stream(query, peer, &shared.stop, stream).await;
    match &sent {
        Ok(s) => {
            tracing::debug!(client = %peer.addr, to = %s.to, from = ?s.from, s.records, s.bytes, took = ?begun.elapsed(), "transferred");
        }
        Err(e) => tracing::info!(client = %peer.addr, error = %e, took = ?begun.elapsed(), "a transfer was cut off"),
    }
    sent.map(drop)
}

/// Answers a query behind what was answered before, unless it is a transfer.
fn answer(query: &[u8], peer: Peer<'_>, shared: &Shared, counters: &Worker, output: &mut Vec<u8>) -> Kind {
    ANSWER.with_borrow_mut(|buffer| {
        let outcome = respond(&shared.published.load(), query, peer, wall(), buffer);
        let mut totals = Totals::default();
        count(&mut totals, &outcome, query.len());
        counters.of(outcome.zone).add(&totals);
        let notified = if notify::is_one(query) { shared.notify(query, peer.addr) } else { None };
        let reply = notified.as_deref().unwrap_or(&buffer[..outcome.len]);
        if !reply.is_empty() && outcome.kind != Kind::Transfer {
            output.extend((reply.len() as u16).to_be_bytes());
            output.extend(reply);
        }
        outcome.kind
    })
}

/// The first whole message of what was read, and what follows it.
fn split(bytes: &[u8]) -> io::Result<Option<(&[u8], &[u8])>> {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(*len));
    if len > READ {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a query of this length is none"));
    }
    Ok(rest.split_at_checked(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        index::{Published, Snapshot},
        metrics::Metrics,
    };

    fn shared() -> Shared {
        let snapshot = Snapshot { sound: true, ..Snapshot::default() };
        Shared {
            published: Arc::new(Published::new(snapshot)),
            metrics: Arc::new(Metrics::default()),
            transfers: None,
            notified: None,
            stop: Arc::default(),
        }
    }

    /// A framed query that is refused, since there are no zones.
    fn query(id: u8) -> Vec<u8> {
        vec![0, 19, 0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1]
    }

    async fn reply(s: &mut TcpStream) -> Option<Vec<u8>> {
        let len = timeout(Duration::from_secs(3), s.read_u16()).await.ok()?.ok()?;
        let mut out = vec![0; usize::from(len)];
        s.read_exact(&mut out).await.ok()?;
        Some(out)
    }

    #[tokio::test]
    async fn both_wildcard_addresses_listen_on_one_port() {
        let four = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = four.local_addr().unwrap().port();
        match bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            Ok(six) => assert_eq!(six.local_addr().unwrap().port(), port),
            Err(e) => assert!(crate::serve::sys::is_missing(&e), "{e}"),
        }
    }

    #[tokio::test]
    async fn all_listeners_share_the_places_of_a_client() {
        let places = Places::default();
        let listeners = [bind("127.0.0.1:0".parse().unwrap()).unwrap(), bind("127.0.0.1:0".parse().unwrap()).unwrap()];
        let addrs = listeners.each_ref().map(|l| l.local_addr().unwrap());
        for l in listeners {
            tokio::spawn(run(l, shared(), places.clone()));
        }
        let mut open = Vec::new();
        for i in 0..MAX_PER_CLIENT + 10 {
            let mut s = TcpStream::connect(addrs[i % 2]).await.unwrap();
            if s.write_all(&query(1)).await.is_ok() && reply(&mut s).await.is_some() {
                open.push(s);
            }
        }
        assert_eq!(open.len(), MAX_PER_CLIENT);
        drop(open);
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if places.clients.lock().unwrap().is_empty() {
                break;
            }
        }
        assert!(places.clients.lock().unwrap().is_empty(), "places are given back");
        let of = |a: &str| client(a.parse().unwrap());
        assert_eq!(of("2a00:1:2:3::1"), of("2a00:1:2:3:ffff::2"));
        assert_ne!(of("2a00:1:2:3::1"), of("2a00:1:2:4::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[tokio::test]
    async fn idle_connections_go_early_when_places_are_few() {
        for (all, held) in [(4, false), (8, true)] {
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let addr = listener.local_addr().unwrap();
            let task = tokio::spawn(run(listener, shared(), Places::new(all)));
            let mut all = Vec::new();
            for _ in 0..3 {
                let mut s = TcpStream::connect(addr).await.unwrap();
                s.write_all(&query(1)).await.unwrap();
                assert!(reply(&mut s).await.is_some());
                all.push(s);
            }
            // The fourth place waits for the next connection: none of four is free, four of eight are.
            let patience = Duration::from_millis(if held { 1500 } else { 8000 });
            assert_eq!(timeout(patience, all[0].read_u8()).await.is_err(), held);
            task.abort();
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_written_before_a_bad_message_ends_it() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(run(listener, shared(), Places::default()));
        for bad in [&[0xff, 0xff, 0][..], &[0, 3, 1, 2, 3], &[0, 12, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let mut s = TcpStream::connect(addr).await.unwrap();
            s.write_all(&[&query(1)[..], &query(2), bad].concat()).await.unwrap();
            for id in [1, 2] {
                let got = reply(&mut s).await.unwrap();
                assert_eq!((got[1], got[3] & 15), (id, 5));
            }
            assert!(matches!(timeout(Duration::from_secs(3), s.read_u8()).await, Ok(Err(_))), "closed");
        }
    }

    #[test]
    fn the_limit_of_open_files_is_raised() {
        let first = crate::serve::sys::raise_file_limit().unwrap();
        assert_eq!(crate::serve::sys::raise_file_limit().unwrap(), first);
        assert!(first > 0);
    }
}
