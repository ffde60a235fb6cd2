//! DNS over TCP (RFC 7766): many queries on a connection, answered in order, with limits on time,
//! size and number. The encrypted transports use the limits of this file, and TLS also its
//! connection loop.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use super::context::{ANSWER_BUFFER, ServerContext, count_one, query_time, sample_query};
use crate::{
    dns::{AnswerKind, Peer, encode::IDLE_DECISECONDS, notify, respond},
    metrics::WorkerCounters,
    net::{ConnectionLimiter, ConnectionPermit},
};

/// How long a connection may wait for the next query.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_millis(IDLE_DECISECONDS as u64 * 100);
/// How long a connection may live.
pub(super) const MAX_CONNECTION_AGE: Duration = Duration::from_secs(300);
/// How long a client may take to send a query that it has begun.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to receive an answer.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most queries that are answered before their answers are written.
pub(super) const MAX_PIPELINED: usize = 64;
/// The most bytes of a query; a longer one is malformed.
pub(super) const MAX_QUERY_BYTES: usize = 8 * 1024;
/// The most connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long a transfer waits for a permit.
const TRANSFER_WAIT: Duration = Duration::from_secs(120);
/// How long to wait after the system could not accept a connection.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Opens a listener. An IPv6 listener accepts only IPv6, as the UDP sockets do, so that `0.0.0.0`
/// and `[::]` can use the same port.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the task is dropped.
pub async fn run(listener: TcpListener, shared: ServerContext, limiter: ConnectionLimiter) {
    let counters = shared
        .metrics
        .worker(&worker_name("tcp", listener.local_addr()));
    let serve = move |stream, addr, permit: Arc<ConnectionPermit>| {
        let (shared, counters) = (shared.clone(), counters.clone());
        async move {
            // An error means that the client closed the connection.
            let stream = &mut Some(stream);
            let _ = connection(stream, Peer::tcp(addr), &shared, &counters, &permit).await;
        }
    };
    accept(listener, limiter, serve).await;
}

/// The name of a listener's counters, such as `tcp-127.0.0.1:53`.
pub(super) fn worker_name(transport: &str, addr: io::Result<SocketAddr>) -> String {
    format!(
        "{transport}-{}",
        addr.map_or_else(|_| "?".into(), |a| a.to_string())
    )
}

/// Accepts connections until the task is dropped. Each gets its permit before a byte is read.
pub(super) async fn accept<T: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    limiter: ConnectionLimiter,
    serve: impl Fn(TcpStream, IpAddr, Arc<ConnectionPermit>) -> T,
) {
    loop {
        limiter.wait_for_closing().await;
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(permit) = limiter.admit(from.ip()) else {
                    continue;
                };
                if stream.set_nodelay(true).is_ok() {
                    let work = serve(stream, from.ip().to_canonical(), permit.clone());
                    tokio::spawn(async move { permit.run(work).await });
                }
            }
            // Most likely there are no file descriptors left: wait until some are closed.
            Err(_) => tokio::time::sleep(ACCEPT_BACKOFF).await,
        }
    }
}

/// Serves one connection of TCP, or of TLS over TCP, until it ends. A transfer takes the stream, and
/// puts it back if it succeeds.
pub(super) async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    slot: &mut Option<S>,
    peer: Peer<'_>,
    shared: &ServerContext,
    counters: &WorkerCounters,
    permit: &Arc<ConnectionPermit>,
) -> io::Result<()> {
    let mut input = Vec::with_capacity(MAX_QUERY_BYTES);
    let mut output = Vec::new();
    let mut started: Option<Instant> = None;
    let end = Instant::now() + MAX_CONNECTION_AGE;
    while !shared.stop.load(Ordering::Relaxed) && Instant::now() < end {
        let Some(mut stream) = slot.as_mut() else {
            return Ok(());
        };
        let received = match started {
            Some(b) => timeout_at(b + READ_TIMEOUT, stream.read_buf(&mut input)).await??,
            None => timeout(IDLE_TIMEOUT, stream.read_buf(&mut input)).await??,
        };
        if received == 0 {
            return Ok(());
        }
        let mut rest = &input[..];
        let is_whole = !matches!(split(rest), Ok(None));
        let mut answering = if is_whole {
            Some(permit.begin_answer().ok_or_else(shed)?)
        } else {
            None
        };
        let mut waiting = 0;
        // A client that sends anything but queries does not speak DNS, and its connection is closed
        // after earlier answers are written.
        let is_dns = loop {
            let (query, tail) = match split(rest) {
                Ok(Some(found)) => found,
                Ok(None) => break true,
                Err(_) => break false,
            };
            rest = tail;
            match answer(query, peer, shared, counters, &mut output) {
                AnswerKind::Dropped => break false,
                AnswerKind::Transfer => {
                    send(stream, &output).await?;
                    output.clear();
                    drop(answering.take());
                    let Some(lent) = slot.take() else {
                        return Ok(());
                    };
                    stream = slot.insert(transfer(query, peer, shared, lent, permit).await?);
                    answering = Some(permit.begin_answer().ok_or_else(shed)?);
                }
                _ => {}
            }
            waiting += 1;
            if waiting % MAX_PIPELINED == 0 {
                // A client that does not read gets no further answers; its queries wait in its own
                // buffers.
                send(stream, &output).await?;
                output.clear();
            }
        };
        let used = input.len() - rest.len();
        input.drain(..used);
        started = if input.is_empty() {
            None
        } else {
            Some(started.filter(|_| used == 0).unwrap_or_else(Instant::now))
        };
        send(stream, &output).await?;
        output.clear();
        drop(answering);
        if !is_dns {
            return Ok(());
        }
        if started.is_some() && is_whole {
            permit.await_request();
        }
    }
    Ok(())
}

fn shed() -> io::Error {
    io::Error::other("the connection was closed to make room for another one")
}

/// Writes all bytes, and flushes a stream that buffers them (TLS).
async fn send<S: AsyncWrite + Unpin>(stream: &mut S, output: &[u8]) -> io::Result<()> {
    let write = async {
        stream.write_all(output).await?;
        stream.flush().await
    };
    timeout(WRITE_TIMEOUT, write).await?
}

/// Sends a transfer and logs it. Returns the stream.
async fn transfer<S: AsyncWrite + Unpin + Send + 'static>(
    query: &[u8],
    peer: Peer<'_>,
    shared: &ServerContext,
    stream: S,
    permit: &Arc<ConnectionPermit>,
) -> io::Result<S> {
    let Some(transfers) = &shared.transfers else {
        return Err(io::Error::other("transfers are not served here"));
    };
    if !permit.begin_transfer(TRANSFER_WAIT).await {
        tracing::info!(client = %peer.addr, "transfer refused: too many are under way");
        return Err(io::Error::other("too many transfers are under way"));
    }
    let started = Instant::now();
    let sent = transfers.stream(query, peer, &shared.stop, stream).await;
    match &sent {
        Ok((_, s)) => {
            tracing::debug!(client = %peer.addr, to = %s.to, from = ?s.from, s.records, s.bytes, took = ?started.elapsed(), "transfer completed");
        }
        Err(e) => {
            tracing::info!(client = %peer.addr, error = %e, took = ?started.elapsed(), "transfer aborted");
        }
    }
    if permit.end_transfer() {
        sent.map(|(stream, _)| stream)
    } else {
        Err(shed())
    }
}

/// Appends the answer to a query to `output`, unless it is a transfer.
fn answer(
    query: &[u8],
    peer: Peer<'_>,
    shared: &ServerContext,
    counters: &WorkerCounters,
    output: &mut Vec<u8>,
) -> AnswerKind {
    ANSWER_BUFFER.with_borrow_mut(|buffer| {
        let snapshot = shared.published.load();
        let outcome = respond(&snapshot, query, peer, query_time(&snapshot), buffer);
        count_one(counters, &outcome, query.len());
        sample_query(shared.sample.streams(), &snapshot, query, &outcome);
        let acknowledged = if notify::is_notify(query) {
            shared.acknowledge_notify(query, peer.addr)
        } else {
            None
        };
        let reply = acknowledged.as_deref().unwrap_or(&buffer[..outcome.len]);
        if !reply.is_empty() && outcome.kind != AnswerKind::Transfer {
            output.extend((reply.len() as u16).to_be_bytes());
            output.extend(reply);
        }
        outcome.kind
    })
}

/// The first complete message of the input, and what follows it.
fn split(bytes: &[u8]) -> io::Result<Option<(&[u8], &[u8])>> {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes(*len));
    if len > MAX_QUERY_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "query too long"));
    }
    Ok(rest.split_at_checked(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        index::{Published, Snapshot},
        metrics::Metrics,
        net::Shares,
    };

    fn shared() -> ServerContext {
        let snapshot = Snapshot {
            sound: true,
            ..Snapshot::default()
        };
        ServerContext {
            published: Arc::new(Published::new(snapshot)),
            metrics: Arc::new(Metrics::default()),
            sample: Default::default(),
            transfers: None,
            on_notify: None,
            stop: Arc::default(),
        }
    }

    /// A framed query that is refused, since there are no zones.
    fn query(id: u8) -> Vec<u8> {
        vec![
            0, 19, 0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1,
        ]
    }

    async fn reply(s: &mut TcpStream) -> Option<Vec<u8>> {
        let len = timeout(Duration::from_secs(3), s.read_u16())
            .await
            .ok()?
            .ok()?;
        let mut out = vec![0; usize::from(len)];
        s.read_exact(&mut out).await.ok()?;
        Some(out)
    }

    #[tokio::test]
    async fn wildcard_addresses_of_both_families_can_share_a_port() {
        let four = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = four.local_addr().unwrap().port();
        match bind(SocketAddr::new(
            std::net::Ipv6Addr::UNSPECIFIED.into(),
            port,
        )) {
            Ok(six) => assert_eq!(six.local_addr().unwrap().port(), port),
            Err(e) => assert!(crate::server::sys::is_missing(&e), "{e}"),
        }
    }

    fn limiter(total: usize) -> ConnectionLimiter {
        ConnectionLimiter::new(total, &Shares::default())
    }

    #[tokio::test]
    async fn listeners_share_the_connection_limit_of_a_client() {
        let limiter = limiter(2048);
        let listeners = [
            bind("127.0.0.1:0".parse().unwrap()).unwrap(),
            bind("127.0.0.1:0".parse().unwrap()).unwrap(),
        ];
        let addrs = listeners.each_ref().map(|l| l.local_addr().unwrap());
        for l in listeners {
            tokio::spawn(run(l, shared(), limiter.clone()));
        }
        let mut open = Vec::new();
        for i in 0..64 + 10 {
            let mut s = TcpStream::connect(addrs[i % 2]).await.unwrap();
            s.write_all(&query(1)).await.unwrap();
            assert!(
                reply(&mut s).await.is_some(),
                "{i}: a new connection is answered"
            );
            open.push(s);
        }
        assert_eq!(
            (limiter.stats().open, limiter.stats().shed_of_share),
            (64, 10)
        );
        for (i, s) in open.iter_mut().enumerate() {
            let closed = timeout(
                Duration::from_millis(if i < 10 { 3000 } else { 1 }),
                s.read_u8(),
            )
            .await
            .is_ok();
            assert_eq!(
                closed,
                i < 10,
                "{i}: those that were idle longest are closed"
            );
        }
        drop(open);
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if limiter.stats().open == 0 {
                break;
            }
        }
        assert_eq!(limiter.stats().open, 0, "permits are released");
    }

    #[tokio::test]
    async fn earlier_answers_are_written_before_a_bad_message_ends_the_connection() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(run(listener, shared(), limiter(2048)));
        for bad in [
            &[0xff, 0xff, 0][..],
            &[0, 3, 1, 2, 3],
            &[0, 12, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let mut s = TcpStream::connect(addr).await.unwrap();
            s.write_all(&[&query(1)[..], &query(2), bad].concat())
                .await
                .unwrap();
            for id in [1, 2] {
                let received = reply(&mut s).await.unwrap();
                assert_eq!((received[1], received[3] & 15), (id, 5));
            }
            assert!(
                matches!(
                    timeout(Duration::from_secs(3), s.read_u8()).await,
                    Ok(Err(_))
                ),
                "closed"
            );
        }
    }

    #[test]
    fn limit_of_open_files_is_raised() {
        let first = crate::server::sys::raise_file_limit().unwrap();
        assert_eq!(crate::server::sys::raise_file_limit().unwrap(), first);
        assert!(first > 0);
    }
}
