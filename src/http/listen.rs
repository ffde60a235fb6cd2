//! Listeners: the socket of the command line, and addresses for all other clients. hyper implements
//! HTTP; the limits and timeouts are set here.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::HeaderMap, response::IntoResponse};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
    sync::watch,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::{net::Listener, task::TaskTracker};
use tower::ServiceExt;

use super::{
    caller::PeerAddress,
    proxy::{self, HeaderError, TrustedProxies},
};
use crate::api::{ProblemCode, ProblemDetails};
use crate::net::{ClientKind, ConnectionLimiter, ConnectionPermit, LingeringStream, RequestBody};

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long the header of a request may take, and how long a connection may be idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest header of a request, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// How long a client may read nothing of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// The least time between two warnings about the proxies of a listener.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// How long to wait after accepting a connection failed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// How an address is served.
#[derive(Clone)]
pub struct ListenerConfig {
    /// The TLS configuration in force; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// Proxies that name their clients.
    pub trusted_proxies: TrustedProxies,
    /// The limit of connections.
    pub limiter: ConnectionLimiter,
}

/// Returns the TLS configuration that is in force.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// The owner of the socket and of a directory that is created for it; `None` keeps that of this
/// process.
#[derive(Debug, Clone, Default)]
pub struct SocketOwner {
    /// The user id.
    pub user: Option<u32>,
    /// The group id.
    pub group: Option<u32>,
    /// The name of that group, if the configuration sets it.
    pub group_name: Option<String>,
}

impl SocketOwner {
    /// Changes the owner of a path.
    fn set_owner(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, self.user, self.group).map_err(|e| match &self.group_name {
            Some(group) => io::Error::new(
                e.kind(),
                format!(
                    "{} cannot be given to `{group}`, the `socket_group` of [admin]: {e}; the daemon has to be root or a member of \
                     that group: set SupplementaryGroups={group} in the systemd unit, or add the daemon's user to it",
                    path.display()
                ),
            ),
            None => e,
        })
    }

    /// Changes the group of an existing directory to the configured one if only its owner and group
    /// may enter it, so that the members of the group can reach the socket. A directory that only
    /// its owner may enter is left as it is.
    fn set_directory_group(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path)?;
        let Some(group) = &self.group_name else {
            return Ok(());
        };
        if metadata.mode() & 0o011 == 0 {
            let directory = path.display();
            tracing::warn!(
                "members of `{group}` cannot reach the socket: only its owner may enter {directory}; run `chmod 750 {directory}`"
            );
        }
        if metadata.mode() & 0o011 != 0o010 || self.group == Some(metadata.gid()) {
            return Ok(());
        }
        SocketOwner {
            user: None,
            ..self.clone()
        }
        .set_owner(path)
    }
}

/// Opens the socket. A socket file on which no process listens any more is replaced; any other file
/// is an error. The socket gets the mode 0660, and a directory that is created for it 0750; an
/// existing one only gets the group.
///
/// # Errors
/// The error names the step that failed. A socket or directory that was created is removed again.
pub async fn bind(path: &Path, owner: &SocketOwner) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let name = path.display();
    // Only a socket is ever replaced.
    if std::fs::symlink_metadata(path).is_ok_and(|m| !m.file_type().is_socket()) {
        let why = format!("{name} is not a socket; name another path");
        return Err(io::Error::other(why));
    }
    match UnixStream::connect(path).await.map_err(|e| e.kind()) {
        Err(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        Ok(_) => {
            let why = format!("{name} is in use; is another orbsd running?");
            return Err(io::Error::other(why));
        }
        // A full backlog, or a file that this process may not open: another process may listen.
        Err(e) => {
            let why = format!("{name}: {e}; is another orbsd running?");
            return Err(io::Error::new(e, why));
        }
    }
    let open = |path: &Path, mode: u32| {
        owner.set_owner(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    match path.parent().filter(|f| !f.as_os_str().is_empty()) {
        Some(folder) if folder.exists() => owner.set_directory_group(folder)?,
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            open(folder, 0o750).inspect_err(|_| drop(std::fs::remove_dir(folder)))?;
        }
        None => {}
    }
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    open(path, 0o660).inspect_err(|_| drop(std::fs::remove_file(path)))?;
    Ok(listener)
}

/// Listens on an address. Must be called within a runtime.
pub fn bind_tcp(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Waits until the process stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|s| *s).await.is_err() {
        // The sender is gone, so that no stop will be announced.
        std::future::pending::<()>().await;
    }
}

/// Serves the socket until `stop` is true; requests that are under way are finished.
pub async fn run_socket(
    listener: UnixListener,
    router: Router,
    limiter: ConnectionLimiter,
    stop: watch::Receiver<bool>,
) {
    let serve = |stream: UnixStream, _| {
        // All clients are on this machine and have no address to count them by.
        let permit = limiter.admit_as(Ipv4Addr::LOCALHOST.into(), ClientKind::Uncounted)?;
        let uid = stream.peer_cred().ok().map(|c| c.uid());
        let sender = Sender::Peer(PeerAddress::Socket(uid));
        let connection = Connection::new(&router, &stop, &permit);
        let stream = LingeringStream::new(stream);
        Some((permit, connection.serve(stream, sender, false)))
    };
    accept_all(listener, &limiter, stop.clone(), serve).await;
}

/// Serves an address until `stop` is true.
pub async fn run_tcp(
    listener: TcpListener,
    router: Router,
    config: ListenerConfig,
    stop: watch::Receiver<bool>,
) {
    let last_warning: Arc<Mutex<Option<Instant>>> = Arc::default();
    let serve = |stream: TcpStream, addr: SocketAddr| {
        // A proxy carries the connections of many clients.
        let trusted = config.trusted_proxies.contain(addr.ip());
        let client = if trusted {
            ClientKind::Uncounted
        } else {
            ClientKind::Ordinary
        };
        let permit = config.limiter.admit_as(addr.ip(), client)?;
        let _ = stream.set_nodelay(true);
        let proxy = trusted.then(|| Proxy {
            forwarded: config.trusted_proxies.forwarded,
            last_warning: last_warning.clone(),
        });
        let (tls, connection) = (config.tls.clone(), Connection::new(&router, &stop, &permit));
        let accepted = accept_connection(stream, addr.ip(), proxy, tls, connection);
        Some((permit, accepted))
    };
    accept_all(listener, &config.limiter, stop.clone(), serve).await;
}

/// Accepts connections until `stop` is true, and waits for those that are under way. `serve`
/// returns the permit of a connection and its task, or `None` to refuse it.
async fn accept_all<L: Listener, F: Future<Output = ()> + Send + 'static>(
    mut listener: L,
    limiter: &ConnectionLimiter,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(L::Io, L::Addr) -> Option<(Arc<ConnectionPermit>, F)>,
) {
    let tasks = TaskTracker::new();
    loop {
        limiter.wait_for_closing().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let Ok((stream, addr)) = accepted else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        if let Some((permit, task)) = serve(stream, addr) {
            tasks.spawn(async move { permit.run(task).await });
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// A connection of a trusted proxy.
struct Proxy {
    /// Whether the client is named in each request, and not at the start of the connection.
    forwarded: bool,
    /// When the log last had a warning about the listener's proxies.
    last_warning: Arc<Mutex<Option<Instant>>>,
}

impl Proxy {
    /// Logs why the connection of a proxy is closed, at most once a minute, since proxies open
    /// many.
    fn warn(&self, addr: IpAddr, error: &HeaderError) {
        let mut last_warning = self.last_warning.lock();
        if last_warning.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            *last_warning = Some(Instant::now());
            let proxy = addr.to_canonical();
            match error {
                HeaderError::Missing(error) => {
                    tracing::warn!(%proxy, %error, "connection of a trusted proxy closed: it does not start with a PROXY v2 header; \
                        let the proxy send one, or set `forwarded_header = true` next to `trusted_proxies`");
                }
                HeaderError::Unsupported(why) => {
                    tracing::warn!(%proxy, "connection of a trusted proxy closed: {why}");
                }
            }
        }
    }
}

/// Accepts a connection: reads the header of a proxy, and negotiates TLS.
async fn accept_connection(
    mut stream: TcpStream,
    addr: IpAddr,
    proxy: Option<Proxy>,
    tls: Option<Tls>,
    connection: Connection,
) {
    let sender = match proxy {
        None => Sender::Peer(PeerAddress::Net(addr)),
        Some(proxy) if proxy.forwarded => Sender::Forwarded(addr),
        // The header is required (section 2 of its specification): without one the client is not
        // known.
        Some(proxy) => {
            match tokio::time::timeout(HEADER_TIMEOUT, proxy::read_header(&mut stream)).await {
                Ok(Ok(None)) => Sender::Peer(PeerAddress::Net(addr)),
                // From here on, the connection counts for the client.
                Ok(Ok(Some(client))) if connection.permit.reassign(client) => {
                    Sender::Peer(PeerAddress::Net(client))
                }
                Ok(Ok(Some(_))) => return,
                Ok(Err(e)) => return proxy.warn(addr, &e),
                Err(_) => return proxy.warn(addr, &HeaderError::Missing("timed out".into())),
            }
        }
    };
    let stream = LingeringStream::new(stream);
    let Some(tls) = tls else {
        return connection.serve(stream, sender, false).await;
    };
    let negotiated = TlsAcceptor::from(tls()).accept(stream);
    if let Ok(Ok(stream)) = tokio::time::timeout(HEADER_TIMEOUT, negotiated).await {
        connection.serve(stream, sender, true).await;
    }
}

/// Marks a request that came over TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverTls;

/// Who sends the requests of a connection.
#[derive(Clone, Copy)]
enum Sender {
    /// The other end of the connection.
    Peer(PeerAddress),
    /// The client that a proxy names in each request.
    Forwarded(IpAddr),
}

impl Sender {
    /// The sender of a request.
    fn of(self, headers: &HeaderMap) -> Result<PeerAddress, ProblemDetails> {
        let addr = match self {
            Sender::Peer(peer) => return Ok(peer),
            Sender::Forwarded(addr) => addr,
        };
        let client = proxy::forwarded(headers);
        let client = client.map_err(|e| {
            ProblemDetails::new(
                ProblemCode::Malformed,
                format!("the proxy must name the client in `Forwarded`: {e}"),
            )
        })?;
        Ok(PeerAddress::Net(client.unwrap_or(addr)))
    }
}

/// What a connection needs to serve its requests.
struct Connection {
    router: Router,
    stop: watch::Receiver<bool>,
    permit: Arc<ConnectionPermit>,
}

impl Connection {
    fn new(
        router: &Router,
        stop: &watch::Receiver<bool>,
        permit: &Arc<ConnectionPermit>,
    ) -> Connection {
        Connection {
            router: router.clone(),
            stop: stop.clone(),
            permit: permit.clone(),
        }
    }

    /// Serves requests until the client closes the connection or the process stops.
    async fn serve<S>(mut self, stream: S, sender: Sender, encrypted: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, permit) = (self.router, self.permit);
        let service = service_fn(move |request: Request<Incoming>| {
            let request = request.map(|body| RequestBody::new(body, &permit));
            let answering = request.body().answer();
            let sender = sender.of(request.headers());
            let (router, permit) = (router.clone(), permit.clone());
            async move {
                let response = match sender {
                    Ok(peer) => {
                        let mut request = request.map(Body::new);
                        request.extensions_mut().insert(peer);
                        request.extensions_mut().insert(permit);
                        if encrypted {
                            request.extensions_mut().insert(OverTls);
                        }
                        router.oneshot(request).await?
                    }
                    Err(problem) => problem.into_response(),
                };
                Ok::<_, Infallible>(response.map(answering))
            }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .half_close(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let stream = TokioIo::new(Box::pin(stream));
        let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stopped(&mut self.stop) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}
