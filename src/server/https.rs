//! DNS over HTTPS (DoH, RFC 8484): GET, HEAD and POST over HTTP/2 and HTTP/1.1. hyper implements
//! HTTP; the limits and answers are set here.
//!
//! The client chooses the version by ALPN; without ALPN it is HTTP/1.1, which proxies use. `Accept`
//! is ignored, since a client has to be able to process `application/dns-message` in any case (RFC
//! 8484 section 4.1).
//!
//! An HTTP response carries one message, so that transfers are not possible: AXFR and IXFR are
//! refused.

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
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Certificates, ServerContext, certificates::HTTP2, context::reply, tcp, tls::HANDSHAKE_TIMEOUT,
};
use crate::{
    dns::{Peer, min_ttl},
    metrics::WorkerCounters,
    net::{ConnectionLimiter, ConnectionPermit, RequestBody},
};

/// The media type of a message.
const MEDIA_TYPE: &str = "application/dns-message";
/// The supported methods, for `Allow`.
const METHODS: &str = "GET, HEAD, POST";
/// The most bytes of all headers of a request.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// The flow control window of a request and of a connection.
const WINDOW: u32 = 64 * 1024;
/// How often the idle time of a connection is checked.
const IDLE_CHECK: Duration = Duration::from_secs(1);
/// The most bytes of answers that wait until the client receives them.
const SEND_BUFFER: usize = 128 * 1024;
/// The most bytes of a body that are read and discarded after its request was refused.
const MAX_DISCARDED_BYTES: usize = 1024 * 1024;

/// The client of a connection, and the state that serves it.
struct Client {
    addr: IpAddr,
    shared: ServerContext,
    counters: Arc<WorkerCounters>,
    path: Arc<str>,
    permit: Arc<ConnectionPermit>,
    /// When the last request came, in milliseconds since the connection began.
    last: AtomicU64,
    since: Instant,
}

/// Accepts connections until the task is dropped. `path` is the path at which queries are answered.
pub async fn run(
    listener: TcpListener,
    shared: ServerContext,
    limiter: ConnectionLimiter,
    certificates: Arc<Certificates>,
    path: Arc<str>,
) {
    let counters = shared
        .metrics
        .worker(&tcp::worker_name("https", listener.local_addr()));
    let serve = move |stream, addr, permit: Arc<ConnectionPermit>| {
        let (shared, counters, path) = (shared.clone(), counters.clone(), path.clone());
        let config = certificates.current().https.clone();
        async move {
            let Ok(Ok(stream)) =
                timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await
            else {
                return;
            };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
            let client = Client {
                addr,
                shared,
                counters,
                path,
                permit,
                last: AtomicU64::new(0),
                since: Instant::now(),
            };
            let served = connection(stream, http2, Arc::new(client));
            let _ = timeout(tcp::MAX_CONNECTION_AGE, served).await;
        }
    };
    tcp::accept(listener, limiter, serve).await;
}

/// Serves one connection until it ends or is idle for too long. Answers that its client has not
/// received by then are lost.
async fn connection<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    http2: bool,
    client: Arc<Client>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let client = client.clone();
        async move {
            let request = request.map(|body| RequestBody::new(body, &client.permit));
            let answering = request.body().answer();
            Ok::<_, Infallible>(client.answer(request).await.map(answering))
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    // The header's timeout also ends a connection that waits for its next request.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(tcp::IDLE_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(tcp::MAX_PIPELINED as u32)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        if timeout(IDLE_CHECK, connection.as_mut()).await.is_ok() {
            return;
        }
        let idle = client
            .since
            .elapsed()
            .saturating_sub(Duration::from_millis(client.last.load(Relaxed)));
        if idle >= tcp::IDLE_TIMEOUT || client.shared.stop.load(Relaxed) {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(tcp::WRITE_TIMEOUT, connection).await;
            return;
        }
    }
}

impl Client {
    /// Answers one request. HEAD gets the response of GET without the body.
    async fn answer(&self, request: Request<RequestBody<Incoming>>) -> Response<Full<Bytes>> {
        self.last
            .store(self.since.elapsed().as_millis() as u64, Relaxed);
        let (head, mut body) = request.into_parts();
        let mut response = match self.query(&head, &mut body).await {
            Ok(query) => self.reply(&query),
            Err((status, text)) => refused(status, text),
        };
        if !body.is_end_stream() {
            tokio::spawn(discard(body.into_inner()));
        }
        if head.method == Method::HEAD {
            let length = HeaderValue::from(response.body().size_hint().exact().unwrap_or_default());
            response.headers_mut().insert(CONTENT_LENGTH, length);
            *response.body_mut() = Full::default();
        }
        response
    }

    /// The response to a query.
    fn reply(&self, query: &[u8]) -> Response<Full<Bytes>> {
        let peer = Peer::single_message(self.addr);
        let mut message = Vec::new();
        if !reply(query, peer, &self.shared, &self.counters, &mut message) {
            return refused(StatusCode::BAD_REQUEST, "not a DNS query");
        }
        // A cache may keep an answer as long as its records live (RFC 8484 section 5.1), and an
        // answer without records not at all.
        let cache_control =
            min_ttl(&message).map_or("no-store".to_string(), |ttl| format!("max-age={ttl}"));
        let mut response = Response::new(Full::new(Bytes::from(message)));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Ok(cache_control) = HeaderValue::from_str(&cache_control) {
            response.headers_mut().insert(CACHE_CONTROL, cache_control);
        }
        response
    }

    /// The query of a request: the parameter `dns` in base64url without padding, or the body.
    async fn query(
        &self,
        head: &Parts,
        body: &mut RequestBody<Incoming>,
    ) -> Result<Bytes, (StatusCode, &'static str)> {
        let refuse = |status, text| Err((status, text));
        if head.uri.path() != &*self.path {
            return refuse(
                StatusCode::NOT_FOUND,
                "DNS queries are answered at another path",
            );
        }
        match head.method {
            Method::GET | Method::HEAD => {
                let mut pairs = head.uri.query().unwrap_or_default().split('&');
                let Some(value) = pairs.find_map(|pair| pair.strip_prefix("dns=")) else {
                    let text = "the parameter `dns` is missing (RFC 8484 section 4.1)";
                    return refuse(StatusCode::BAD_REQUEST, text);
                };
                BASE64URL_NOPAD
                    .decode(value.as_bytes())
                    .map(Into::into)
                    .or_else(|_| {
                        let text = "`dns` is not base64url without padding (RFC 8484 section 6)";
                        refuse(StatusCode::BAD_REQUEST, text)
                    })
            }
            Method::POST => {
                if !is_message(&head.headers) {
                    let text = "the media type of the body must be application/dns-message";
                    return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
                }
                let body = Limited::new(body, tcp::MAX_QUERY_BYTES);
                match timeout(tcp::READ_TIMEOUT, body.collect()).await {
                    Ok(Ok(body)) => Ok(body.to_bytes()),
                    Ok(Err(_)) => refuse(StatusCode::PAYLOAD_TOO_LARGE, "query too long"),
                    Err(_) => refuse(
                        StatusCode::REQUEST_TIMEOUT,
                        "the query did not arrive in time",
                    ),
                }
            }
            _ => refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "send queries by GET, HEAD or POST",
            ),
        }
    }
}

/// Whether the body is a DNS message: one media type, whose case and parameters do not matter (RFC
/// 9110 section 8.3.1).
fn is_message(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_media_type = |t: &HeaderValue| {
        let essence = t.as_bytes().split(|b| *b == b';').next();
        essence.is_some_and(|e| e.trim_ascii().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()))
    };
    types.next().is_some_and(is_media_type) && types.next().is_none()
}

/// Reads the rest of a refused request's body. Many clients lose the response if the stream is
/// reset, or the connection closed, while they still send. The body is therefore read up to a
/// limit, then flow control stops the client, and after [`tcp::READ_TIMEOUT`] the stream ends with
/// NO_ERROR (RFC 9113 section 8.1).
async fn discard(mut body: Incoming) {
    let deadline = Instant::now() + tcp::READ_TIMEOUT;
    let mut discarded = 0;
    while discarded < MAX_DISCARDED_BYTES {
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => discarded += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
    tokio::time::sleep_until(deadline).await;
}

/// The response to a request without a query: a status and a line with the reason.
fn refused(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let mut header = |name: HeaderName, value| {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value))
    };
    header(CONTENT_TYPE, "text/plain; charset=utf-8");
    header(CACHE_CONTROL, "no-store");
    if status == StatusCode::METHOD_NOT_ALLOWED {
        header(ALLOW, METHODS);
    }
    response
}
