//! DNS over HTTP/3 (RFC 8484 over RFC 9114). hickory-server implements QUIC and HTTP/3; the answers
//! come from [`crate::dns::respond`]. This is the only transport that hickory-server serves.
//!
//! The limits that hickory-server lacks are set here as far as its API allows: it completes one
//! handshake at a time on a socket, so that each address has several sockets; it does not limit
//! queries, so that [`QueryHandler`] does. `docs/http3.md` lists the limits that remain.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use hickory_server::{
    Server,
    net::{runtime::Time, xfer::Protocol},
    proto::op::{Edns, Header, HeaderCounts, Message, Metadata, ResponseCode},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

use super::{
    Certificates, ServerContext,
    context::{count_one, reply},
    sys, tcp, udp,
};
use crate::{
    dns::{AnswerKind, Peer, QueryOutcome, UDP_SIZE},
    metrics::WorkerCounters,
    net::{RateLimit, RateLimiter},
};

/// Sockets of each address. A client whose handshake stalls blocks the others of its socket for up
/// to five seconds.
pub const SOCKETS: usize = 16;
/// Threads of the runtime.
const THREADS: usize = 2;
/// The limit of queries of one address (IPv6: a /64).
const QUERY_LIMIT: RateLimit = RateLimit {
    times: 1000,
    period: Duration::from_secs(1),
};

/// Opens the sockets of an address. The kernel divides the clients among them (SO_REUSEPORT).
pub fn bind(addr: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let first = udp::bind(addr)?;
    let addr = first.local_addr()?;
    let others = (1..SOCKETS).map(|_| udp::bind(addr));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// Serves the sockets of an address until the task is dropped.
///
/// # Errors
///
/// The system cannot start a thread, or a socket cannot be registered.
pub async fn run(
    sockets: Vec<UdpSocket>,
    shared: ServerContext,
    certificates: Arc<Certificates>,
) -> io::Result<()> {
    let addr = sockets.first().map_or_else(
        || Err(io::Error::other("no socket is open")),
        UdpSocket::local_addr,
    );
    let name = tcp::worker_name("http3", addr);
    let runtime = OwnRuntime::start()?;
    let handler = QueryHandler::new(shared, &name, Some(QUERY_LIMIT));
    let mut server = Server::new(handler);
    {
        let _inside = runtime.handle().enter();
        for socket in sockets {
            socket.set_nonblocking(true)?;
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            server.register_h3_listener(socket, tcp::IDLE_TIMEOUT, certificates.clone(), None)?;
        }
    }
    server.block_until_done().await.map_err(io::Error::other)
}

/// A runtime for hickory-server alone, with threads of low priority: its code lacks some limits,
/// and must not slow the other transports down.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn start() -> io::Result<OwnRuntime> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("http3")
            .on_thread_start(sys::lower_priority)
            .enable_all()
            .build()?;
        Ok(OwnRuntime(Some(runtime)))
    }

    fn handle(&self) -> tokio::runtime::Handle {
        match &self.0 {
            Some(runtime) => runtime.handle().clone(),
            None => tokio::runtime::Handle::current(),
        }
    }
}

impl Drop for OwnRuntime {
    /// Does not wait for the threads, as dropping a [`Runtime`] would, since that would block an
    /// asynchronous task.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Answers hickory-server's requests with [`crate::dns::respond`].
///
/// hickory-server decodes a query before this handler gets it, and encodes the reply from its own
/// types: the records, flags and EDNS options are those of `respond`, the compression of names may
/// differ. A signature (TSIG) would therefore not match the reply, and signed queries are refused.
pub struct QueryHandler {
    shared: ServerContext,
    counters: Arc<WorkerCounters>,
    limiter: Option<RateLimiter>,
    started: Instant,
}

impl QueryHandler {
    /// Creates a handler whose counters have this name, with a limit of the queries of each client.
    pub fn new(shared: ServerContext, name: &str, limit: Option<RateLimit>) -> QueryHandler {
        QueryHandler {
            counters: shared.metrics.worker(name),
            shared,
            limiter: limit.map(RateLimiter::new),
            started: Instant::now(),
        }
    }

    /// Whether a client may send this request.
    fn is_allowed(&self, request: &Request) -> bool {
        let elapsed = self.started.elapsed();
        let within_limit = |l: &RateLimiter| l.charge(request.src().ip(), elapsed).is_ok();
        self.limiter.as_ref().is_none_or(within_limit) && request.signature.is_none()
    }

    /// The reply to a query; `None` if it gets none.
    fn answer(&self, request: &Request) -> Option<Message> {
        let addr = request.src().ip().to_canonical();
        let peer = match request.protocol() {
            Protocol::Udp => Peer::udp(addr),
            _ => Peer::single_message(addr),
        };
        let mut bytes = Vec::new();
        reply(
            request.as_slice(),
            peer,
            &self.shared,
            &self.counters,
            &mut bytes,
        )
        .then(|| Message::from_vec(&bytes).ok())?
    }

    /// Counts a refused query.
    fn count_refused(&self, request: &Request) {
        let outcome = QueryOutcome {
            len: 0,
            zone: None,
            kind: AnswerKind::Refused,
            truncated: false,
        };
        count_one(&self.counters, &outcome, request.as_slice().len());
    }
}

#[async_trait]
impl RequestHandler for QueryHandler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut sender: R,
    ) -> ResponseInfo {
        let builder = MessageResponseBuilder::from_message_request(request);
        let sent = if self.is_allowed(request) {
            let Some(message) = self.answer(request) else {
                return no_response(request);
            };
            let mut response = builder.build(
                message.metadata,
                &message.answers,
                &message.authorities,
                [],
                &message.additionals,
            );
            if let Some(edns) = &message.edns {
                response.set_edns(edns);
            }
            sender.send_response(response).await
        } else {
            self.count_refused(request);
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_SIZE as u16);
            let mut response = builder.error_msg(&request.metadata, ResponseCode::Refused);
            if request.edns.is_some() {
                response.set_edns(&edns);
            }
            sender.send_response(response).await
        };
        // An error means that the client closed the connection.
        sent.unwrap_or_else(|_| no_response(request))
    }
}

/// The result for hickory-server of a request that gets no response.
fn no_response(request: &Request) -> ResponseInfo {
    ResponseInfo::from(Header {
        metadata: Metadata::response_from_request(&request.metadata),
        counts: HeaderCounts::default(),
    })
}
