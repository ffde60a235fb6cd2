//! DNS over QUIC (DoQ, RFC 9250): one query on each stream of a connection. quinn implements QUIC;
//! the limits and answers are set here.
//!
//! Transfers are not supported: AXFR and IXFR are refused, and are available over TLS. Packets are
//! padded to full length, as RFC 9250 section 5.4 recommends against traffic analysis.

use std::{
    io,
    net::{IpAddr, UdpSocket},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Certificates, ServerContext, context::reply, tcp, tls::HANDSHAKE_TIMEOUT};
use crate::{
    dns::{
        Peer,
        query::{NameBuf, Query},
    },
    metrics::WorkerCounters,
    net::{ConnectionLimiter, ConnectionPermit},
};

/// The flow control window of queries on one connection.
const RECEIVE_WINDOW: u32 = 64 * 1024;
/// The most bytes of answers on one connection that the client has not received.
const SEND_WINDOW: u64 = 256 * 1024;
/// The most connections that wait to be accepted.
const MAX_INCOMING: usize = 1024;
/// The most bytes that are buffered for one of them.
const MAX_INCOMING_BYTES: u64 = 16 * 1024;
/// The most bytes that are buffered for all of them.
const MAX_INCOMING_TOTAL_BYTES: u64 = 4 * 1024 * 1024;
/// QUIC's own idle timeout, for clients that have disappeared. Other connections are closed
/// earlier, by [`tcp::IDLE_TIMEOUT`].
const QUIC_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the idle time of a connection is checked.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// DOQ_NO_ERROR (RFC 9250 section 8.4).
const NO_ERROR: VarInt = VarInt::from_u32(0);
/// DOQ_PROTOCOL_ERROR.
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
/// DOQ_EXCESSIVE_LOAD.
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

/// Accepts connections until the task is dropped. The socket is one of [`super::udp::bind`].
///
/// # Errors
///
/// The socket cannot be used for QUIC.
pub async fn run(
    socket: UdpSocket,
    shared: ServerContext,
    limiter: ConnectionLimiter,
    certificates: Arc<Certificates>,
) -> io::Result<()> {
    let counters = shared
        .metrics
        .worker(&tcp::worker_name("quic", socket.local_addr()));
    let base = settings(ServerConfig::with_crypto(
        certificates.current().quic.clone(),
    ));
    let endpoint = Endpoint::new(
        EndpointConfig::default(),
        Some(base.clone()),
        socket,
        Arc::new(TokioRuntime),
    )?;
    while let Some(incoming) = endpoint.accept().await {
        let addr = incoming.remote_address().ip().to_canonical();
        // A forged address must not use up permits: if few are left, the client first has to prove
        // its address (Retry).
        if limiter.needs_address_validation(addr) && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let Some(permit) = limiter.admit(addr) else {
            incoming.refuse();
            continue;
        };
        let mut config = base.clone();
        config.crypto = certificates.current().quic.clone();
        let client = Arc::new(Client {
            addr,
            shared: shared.clone(),
            counters: counters.clone(),
            permit: permit.clone(),
        });
        tokio::spawn(async move {
            let served = async {
                drop(timeout(tcp::MAX_CONNECTION_AGE, client.connection(incoming, config)).await);
            };
            permit.run(served).await;
        });
    }
    Ok(())
}

/// Sets the limits of a connection. It cannot migrate, since permissions depend on its first
/// address.
fn settings(mut config: ServerConfig) -> ServerConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(tcp::MAX_PIPELINED as u32))
        .max_concurrent_uni_streams(VarInt::from_u32(0));
    transport
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW));
    transport
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .pad_to_mtu(true);
    transport.max_idle_timeout(QUIC_IDLE_TIMEOUT.try_into().ok());
    config
        .transport_config(Arc::new(transport))
        .migration(false);
    config
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(MAX_INCOMING_BYTES)
        .incoming_buffer_size_total(MAX_INCOMING_TOTAL_BYTES);
    config
}

/// The client of a connection, and the state that serves it.
struct Client {
    addr: IpAddr,
    shared: ServerContext,
    counters: Arc<WorkerCounters>,
    permit: Arc<ConnectionPermit>,
}

impl Client {
    /// Serves one connection until it ends or is idle for too long.
    async fn connection(self: &Arc<Self>, incoming: Incoming, config: ServerConfig) -> Option<()> {
        let connecting = incoming.accept_with(Arc::new(config)).ok()?;
        let connection = timeout(HANDSHAKE_TIMEOUT, connecting).await.ok()?.ok()?;
        // One task for each stream; they end with the connection.
        let mut streams = JoinSet::new();
        let mut last = Instant::now();
        loop {
            match timeout(IDLE_CHECK, connection.accept_bi()).await {
                Ok(Ok((send, receive))) => {
                    last = Instant::now();
                    let (client, connection) = (self.clone(), connection.clone());
                    streams.spawn(async move { client.stream(&connection, send, receive).await });
                }
                Ok(Err(_)) => return None,
                Err(_) if last.elapsed() >= tcp::IDLE_TIMEOUT || self.shared.stop.load(Relaxed) => {
                    connection.close(NO_ERROR, b"");
                    return None;
                }
                Err(_) => {}
            }
            while streams.try_join_next().is_some() {}
        }
    }

    /// Answers the query of one stream. A protocol error ends the connection (RFC 9250 section
    /// 4.3.3).
    async fn stream(
        &self,
        connection: &Connection,
        mut send: SendStream,
        mut receive: RecvStream,
    ) -> Option<()> {
        let mut out = vec![0, 0];
        let read = receive.read_to_end(2 + tcp::MAX_QUERY_BYTES);
        let read = match timeout(tcp::READ_TIMEOUT, read).await {
            Ok(Ok(read)) => read,
            Ok(Err(quinn::ReadToEndError::TooLong)) => {
                connection.close(PROTOCOL_ERROR, b"query too long");
                return None;
            }
            Ok(Err(_)) => return None,
            Err(_) => {
                let _ = send.reset(EXCESSIVE_LOAD);
                return None;
            }
        };
        let _answering = self.permit.begin_answer()?;
        let peer = Peer::single_message(self.addr);
        let answered = query(&read).and_then(|query| {
            reply(query, peer, &self.shared, &self.counters, &mut out)
                .then_some(())
                .ok_or("not a DNS query")
        });
        if let Err(text) = answered {
            connection.close(PROTOCOL_ERROR, text.as_bytes());
            return None;
        }
        let len = (out.len() - 2) as u16;
        out[..2].copy_from_slice(&len.to_be_bytes());
        let written = timeout(tcp::WRITE_TIMEOUT, send.write_all(&out)).await;
        written.ok()?.ok()?;
        send.finish().ok()
    }
}

/// The only query of a stream, which follows its length (RFC 9250 sections 4.2.1, 4.3.3 and 5.5.2).
/// The error says what is wrong.
fn query(read: &[u8]) -> Result<&[u8], &'static str> {
    let (len, query) = read
        .split_first_chunk::<2>()
        .ok_or("the stream ended before its query")?;
    match usize::from(u16::from_be_bytes(*len)) {
        len if len > query.len() => return Err("the stream ended before its query"),
        len if len < query.len() => return Err("a stream must have one query"),
        _ => {}
    }
    if query.get(..2).is_some_and(|id| id != [0, 0]) {
        return Err("the message ID must be 0");
    }
    if Query::parse(query, &mut NameBuf::default())
        .is_ok_and(|q| q.edns.is_some_and(|e| e.keepalive))
    {
        return Err("edns-tcp-keepalive is not allowed over QUIC");
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_has_one_complete_query_with_id_0_and_without_keepalive() {
        let plain = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1];
        let framed = |q: &[u8]| [&(q.len() as u16).to_be_bytes()[..], q].concat();
        assert_eq!(query(&framed(&plain)), Ok(&plain[..]));
        let mut id = plain;
        id[1] = 1;
        let mut keepalive = [
            &plain[..],
            &[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 4, 0, 11, 0, 0],
        ]
        .concat();
        keepalive[11] = 1;
        for (bad, text) in [
            (vec![], "ended before"),
            (vec![0], "ended before"),
            (framed(&plain)[..10].to_vec(), "ended before"),
            ([framed(&plain), framed(&plain)].concat(), "one query"),
            (framed(&id), "ID must be 0"),
            (framed(&keepalive), "keepalive"),
        ] {
            assert!(query(&bad).unwrap_err().contains(text), "{text}");
        }
    }
}
