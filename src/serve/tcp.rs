//! The TCP front (RFC 7766): many queries on a connection, answered in order as they come, with a limit on everything.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::{Shared, count};
use crate::{
    dns::{Peer, TCP_SIZE, encode::IDLE_DECISECONDS, respond},
    metrics::{Totals, Worker},
    model::Time,
};

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 2048;
/// Connections of one client at the same time.
const MAX_PER_CLIENT: usize = 64;
/// How long a connection may wait for the next query.
const IDLE: Duration = Duration::from_millis(IDLE_DECISECONDS as u64 * 100);
/// How long a connection may live.
const TOTAL: Duration = Duration::from_secs(300);
/// How long a client may take to send a query it has begun, or to take what was answered.
const STALL: Duration = Duration::from_secs(5);
/// Queries that are answered before what they got is written out.
const PIPELINE: usize = 64;
/// Bytes read at a time; a query longer than this is malformed.
const READ: usize = 8 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Opens a listener.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Takes connections until the task is dropped.
pub async fn run(listener: TcpListener, shared: Shared) {
    let counters = shared.metrics.worker(&format!("tcp-{}", listener.local_addr().map_or(0, |a| a.port())));
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let clients: Clients = Arc::default();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(guard) = Guard::new(&clients, from.ip(), permit) else { continue };
                let (shared, counters) = (shared.clone(), counters.clone());
                tokio::spawn(async move {
                    // How a connection ends is the client's business; there is nobody to tell.
                    let _ = timeout(TOTAL, connection(stream, from, &shared, &counters)).await;
                    drop(guard);
                });
            }
            // Out of file descriptors, most likely: wait for some to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

type Clients = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection's place, given back when it ends.
struct Guard {
    clients: Clients,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Guard {
    fn new(clients: &Clients, client: IpAddr, permit: OwnedSemaphorePermit) -> Option<Guard> {
        let mut map = clients.lock().unwrap_or_else(|e| e.into_inner());
        let n = map.entry(client).or_default();
        if *n >= MAX_PER_CLIENT {
            return None;
        }
        *n += 1;
        Some(Guard { clients: clients.clone(), client, _permit: permit })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut map = self.clients.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(n) = map.get_mut(&self.client) {
            *n -= 1;
            if *n == 0 {
                map.remove(&self.client);
            }
        }
    }
}

async fn connection(mut stream: TcpStream, from: SocketAddr, shared: &Shared, counters: &Worker) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = Peer { addr: from.ip().to_canonical(), stream: true };
    let mut input = Vec::with_capacity(READ);
    let mut output = Vec::new();
    let mut answer = vec![0; TCP_SIZE];
    let mut begun: Option<Instant> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let until = begun.map_or_else(|| Instant::now() + IDLE, |b| b + STALL);
        if timeout_at(until, stream.read_buf(&mut input)).await?? == 0 {
            return Ok(());
        }
        let mut rest = &input[..];
        let mut waiting = 0;
        while let Some((query, tail)) = split(rest)? {
            rest = tail;
            let snapshot = shared.published.load();
            let outcome = respond(&snapshot, query, peer, Time(0), &mut answer);
            drop(snapshot);
            let mut totals = Totals::default();
            count(&mut totals, &outcome, query.len());
            counters.of(outcome.zone).add(&totals);
            if outcome.len == 0 {
                return Ok(()); // no query: whoever sends this does not speak DNS
            }
            output.extend((outcome.len as u16).to_be_bytes());
            output.extend(&answer[..outcome.len]);
            waiting += 1;
            if waiting % PIPELINE == 0 {
                // A client that does not read gets no further answers: its queries wait in its own buffers.
                timeout(STALL, stream.write_all(&output)).await??;
                output.clear();
            }
        }
        let used = input.len() - rest.len();
        input.drain(..used);
        begun = if input.is_empty() { None } else { Some(begun.filter(|_| used == 0).unwrap_or_else(Instant::now)) };
        timeout(STALL, stream.write_all(&output)).await??;
        output.clear();
    }
    Ok(())
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
