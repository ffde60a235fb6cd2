//! The DoH front (RFC 8484): GET and POST over HTTP/2. hyper speaks HTTP; limits and answers are ours.
//!
//! A stream of HTTP carries one message, so there are no transfers here: AXFR and IXFR are refused.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{Certificates, Shared, reply, tcp, tls::HANDSHAKE};
use crate::{
    dns::{Peer, lifetime},
    metrics::Worker,
    net::{ConnectionLimiter, ConnectionPermit, RequestBody},
};

/// The media type of a message.
const MESSAGE: &str = "application/dns-message";
/// Bytes of a request's headers together.
const MAX_HEADERS: u32 = 16 * 1024;
/// Bytes of bodies that are on their way to us, of one request and of a connection.
const WINDOW: u32 = 64 * 1024;
/// How often a connection is looked at, whether it idles for too long.
const IDLE_CHECK: Duration = Duration::from_secs(1);
/// Bytes of an answer that wait until the client takes them.
const SEND_BUFFER: usize = 128 * 1024;

/// One connection's client and what it is served with.
struct Client {
    addr: IpAddr,
    shared: Shared,
    counters: Arc<Worker>,
    path: Arc<str>,
    permit: Arc<ConnectionPermit>,
    /// When the last request came, in milliseconds after the connection.
    last: AtomicU64,
    since: Instant,
}

/// Takes connections until the task is dropped. `path` is where queries are answered.
pub async fn run(listener: TcpListener, shared: Shared, limiter: ConnectionLimiter, certificates: Arc<Certificates>, path: Arc<str>) {
    let counters = shared.metrics.worker(&tcp::name("https", listener.local_addr()));
    let serve = move |stream, addr, permit: Arc<ConnectionPermit>| {
        let (shared, counters, path) = (shared.clone(), counters.clone(), path.clone());
        let config = certificates.ready().https.clone();
        async move {
            let Ok(Ok(stream)) = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await else { return };
            let client = Client { addr, shared, counters, path, permit, last: AtomicU64::new(0), since: Instant::now() };
            let _ = timeout(tcp::TOTAL, connection(stream, Arc::new(client))).await;
        }
    };
    tcp::accept(listener, limiter, serve).await;
}

/// Serves one connection until it ends or idles for too long. What its client has not taken by then is lost.
async fn connection<S: AsyncRead + AsyncWrite + Unpin>(stream: S, client: Arc<Client>) {
    let service = service_fn(|request: Request<Incoming>| {
        let client = client.clone();
        async move {
            let request = request.map(|body| RequestBody::new(body, &client.permit));
            let answering = request.body().answer();
            Ok::<_, Infallible>(client.answer(request).await.map(answering))
        }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(tcp::PIPELINE as u32).max_header_list_size(MAX_HEADERS);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW).max_send_buf_size(SEND_BUFFER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        if timeout(IDLE_CHECK, connection.as_mut()).await.is_ok() {
            return;
        }
        let idle = client.since.elapsed().saturating_sub(Duration::from_millis(client.last.load(Relaxed)));
        if idle >= tcp::IDLE || client.shared.stop.load(Relaxed) {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(tcp::STALL, connection).await;
            return;
        }
    }
}

impl Client {
    /// Answers one request.
    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.last.store(self.since.elapsed().as_millis() as u64, Relaxed);
        let query = match self.query(request).await {
            Ok(query) => query,
            Err((status, text)) => return refused(status, text),
        };
        let peer = Peer::single(self.addr);
        let mut message = Vec::new();
        if !reply(&query, peer, &self.shared, &self.counters, &mut message) {
            return refused(StatusCode::BAD_REQUEST, "that is no DNS query");
        }
        // RFC 8484 section 5.1: a cache keeps it no longer than its records live; what has none is not kept at all.
        let kept = lifetime::seconds(&message).map_or("no-store".to_string(), |ttl| format!("max-age={ttl}"));
        let mut response = Response::new(Full::new(Bytes::from(message)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
        if let Ok(kept) = HeaderValue::from_str(&kept) {
            response.headers_mut().insert(CACHE_CONTROL, kept);
        }
        response
    }

    /// The query of a request: in `dns` of its address, base64url without padding, or as its body.
    async fn query<B>(&self, request: Request<B>) -> Result<Bytes, (StatusCode, &'static str)>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.uri().path() != &*self.path {
            return Err((StatusCode::NOT_FOUND, "DNS queries are answered at another path"));
        }
        match *request.method() {
            Method::GET => {
                let of = |q: &str| q.split('&').find_map(|pair| pair.strip_prefix("dns=").map(|v| BASE64URL_NOPAD.decode(v.as_bytes())));
                match request.uri().query().and_then(of) {
                    Some(Ok(query)) => Ok(query.into()),
                    Some(Err(_)) => Err((StatusCode::BAD_REQUEST, "`dns` is not base64url without padding (RFC 8484 section 6)")),
                    None => Err((StatusCode::BAD_REQUEST, "there is no `dns` (RFC 8484 section 4.1)")),
                }
            }
            Method::POST => {
                if request.headers().get(CONTENT_TYPE).is_none_or(|t| t.as_bytes() != MESSAGE.as_bytes()) {
                    return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body has to be application/dns-message"));
                }
                let body = Limited::new(request.into_body(), tcp::READ);
                match timeout(tcp::STALL, body.collect()).await {
                    Ok(Ok(body)) => Ok(body.to_bytes()),
                    Ok(Err(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, "a query of this length is none")),
                    Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the query did not come")),
                }
            }
            _ => Err((StatusCode::METHOD_NOT_ALLOWED, "queries are asked by GET or POST")),
        }
    }
}

/// What a request gets that holds no query: its status and a line that says why.
fn refused(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let mut header = |name: HeaderName, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
    header(CONTENT_TYPE, "text/plain; charset=utf-8");
    header(CACHE_CONTROL, "no-store");
    if status == StatusCode::METHOD_NOT_ALLOWED {
        header(ALLOW, "GET, POST");
    }
    response
}
