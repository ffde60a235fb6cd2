//! Listeners: the socket of the command line, and addresses for all other clients. hyper speaks
//! HTTP; limits and timeouts are ours.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
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
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{
    caller::PeerAddress,
    proxy::{self, HeaderError, TrustedProxies},
};
use crate::api::{ProblemCode, ProblemDetails};
use crate::net::{ClientKind, ConnectionLimiter, ConnectionPermit, LingeringStream, RequestBody};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long the header of a request may take, and how long a connection may idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest header of a request, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// How long a client may read nothing of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often the log has a warning about a listener's proxies.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// How long to wait after accepting a connection failed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// How an address is served.
#[derive(Clone)]
pub struct ListenerConfig {
    /// The TLS configuration in force; none for plain HTTP.
    pub tls: Option<Tls>,
    /// Proxies that name their clients.
    pub trusted_proxies: TrustedProxies,
    /// The limit of connections.
    pub limiter: ConnectionLimiter,
}

/// Returns the TLS configuration that is in force.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// The owner of the socket and of a directory that is created for it; none: that of this process.
#[derive(Debug, Clone, Default)]
pub struct SocketOwner {
    /// The user id.
    pub user: Option<u32>,
    /// The group id.
    pub group: Option<u32>,
    /// The name of that group, where the configuration has it.
    pub group_name: Option<String>,
}

impl SocketOwner {
    /// Gives a path to the owner.
    fn give(&self, path: &Path) -> std::io::Result<()> {
        std::os::unix::fs::chown(path, self.user, self.group).map_err(|e| match &self.group_name {
            Some(group) => std::io::Error::new(
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

    /// Gives a directory that was there before to the configured group, where nobody but its owner
    /// and group may enter it: its members have to reach the socket. One that is for its owner
    /// alone stays so.
    fn give_directory(&self, path: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path)?;
        let Some(group) = &self.group_name else {
            return Ok(());
        };
        if found.mode() & 0o011 == 0 {
            let directory = path.display();
            tracing::warn!(
                "members of `{group}` cannot reach the socket: nobody but its owner may enter {directory}; run `chmod 750 {directory}`"
            );
        }
        if found.mode() & 0o011 != 0o010 || self.group == Some(found.gid()) {
            return Ok(());
        }
        SocketOwner {
            user: None,
            ..self.clone()
        }
        .give(path)
    }
}

/// Opens the socket. A file on which no process listens any more is replaced; another one is an
/// error. The socket gets the mode 0660, and a directory that is created for it 0750; an existing
/// one gets the group alone.
///
/// # Errors
/// Says what could not be done, and leaves nothing behind.
pub async fn bind(path: &Path, owner: &SocketOwner) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    // Only a socket is ever replaced.
    if std::fs::symlink_metadata(path).is_ok_and(|m| !m.file_type().is_socket()) {
        return Err(std::io::Error::other(format!(
            "{} is not a socket; name another path",
            path.display()
        )));
    }
    match UnixStream::connect(path).await.map_err(|e| e.kind()) {
        Err(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {}
        Ok(_) => {
            return Err(std::io::Error::other(format!(
                "{} is in use; is another orbsd running?",
                path.display()
            )));
        }
        // A full backlog, or a file that this process may not open: another process may listen.
        Err(e) => {
            return Err(std::io::Error::new(
                e,
                format!("{}: {e}; is another orbsd running?", path.display()),
            ));
        }
    }
    let open = |path: &Path, mode: u32| {
        owner.give(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    match path.parent().filter(|f| !f.as_os_str().is_empty()) {
        Some(folder) if folder.exists() => owner.give_directory(folder)?,
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

/// Opens an address, inside of a runtime.
pub fn bind_tcp(addr: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Serves the socket until `stop` says true; requests that are under way are finished.
pub async fn run_socket(
    listener: UnixListener,
    router: Router,
    limiter: ConnectionLimiter,
    mut stop: watch::Receiver<bool>,
) {
    let tasks = TaskTracker::new();
    loop {
        limiter.wait_for_closing().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = super::stopped(&mut stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        // All clients are on this machine and have no address to count them by.
        let Some(permit) =
            limiter.admit_as(std::net::Ipv4Addr::LOCALHOST.into(), ClientKind::Uncounted)
        else {
            continue;
        };
        let uid = stream.peer_cred().ok().map(|c| c.uid());
        let (router, stop) = (router.clone(), stop.clone());
        let stream = LingeringStream::new(stream);
        tasks.spawn(async move {
            permit
                .run(connection(
                    stream,
                    (Sender::Itself(PeerAddress::Socket(uid)), false),
                    router,
                    stop,
                    permit.clone(),
                ))
                .await;
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Serves an address until `stop` says true.
pub async fn run_tcp(
    listener: TcpListener,
    router: Router,
    config: ListenerConfig,
    mut stop: watch::Receiver<bool>,
) {
    let tasks = TaskTracker::new();
    let warned: Arc<Mutex<Option<Instant>>> = Arc::default();
    loop {
        config.limiter.wait_for_closing().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = super::stopped(&mut stop) => break,
        };
        let Ok((stream, addr)) = accepted else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        // A proxy brings the connections of many clients.
        let trusted = config.trusted_proxies.contain(addr.ip());
        let client = if trusted {
            ClientKind::Uncounted
        } else {
            ClientKind::Ordinary
        };
        let Some(permit) = config.limiter.admit_as(addr.ip(), client) else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let proxy = trusted.then(|| Proxy {
            forwarded: config.trusted_proxies.forwarded,
            warned: warned.clone(),
        });
        let (tls, router, stop) = (config.tls.clone(), router.clone(), stop.clone());
        tasks.spawn(async move {
            permit
                .run(accept_connection(
                    stream,
                    addr.ip(),
                    proxy,
                    tls,
                    router,
                    stop,
                    permit.clone(),
                ))
                .await;
        });
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
    warned: Arc<Mutex<Option<Instant>>>,
}

impl Proxy {
    /// Logs why a proxy's connection is closed, at most once a minute: proxies open many.
    fn warn(&self, addr: IpAddr, error: &HeaderError) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            *warned = Some(Instant::now());
            let proxy = addr.to_canonical();
            match error {
                HeaderError::Missing(error) => {
                    tracing::warn!(%proxy, %error, "connection of a trusted proxy closed: it does not start with a PROXY v2 header; \
                        let the proxy send one, or set `forwarded_header = true` beside `trusted_proxies`");
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
    router: Router,
    stop: watch::Receiver<bool>,
    permit: Arc<ConnectionPermit>,
) {
    let caller = match proxy {
        None => Sender::Itself(PeerAddress::Net(addr)),
        Some(proxy) if proxy.forwarded => Sender::Forwarded(addr),
        // The header is required (section 2 of its specification): without one the client is not
        // known.
        Some(proxy) => {
            match tokio::time::timeout(HEADER_TIMEOUT, proxy::read_header(&mut stream)).await {
                Ok(Ok(None)) => Sender::Itself(PeerAddress::Net(addr)),
                // From here on it counts as the client's connection.
                Ok(Ok(Some(client))) if permit.reassign(client) => {
                    Sender::Itself(PeerAddress::Net(client))
                }
                Ok(Ok(Some(_))) => return,
                Ok(Err(e)) => return proxy.warn(addr, &e),
                Err(_) => return proxy.warn(addr, &HeaderError::Missing("timed out".into())),
            }
        }
    };
    let stream = LingeringStream::new(stream);
    match tls {
        None => connection(stream, (caller, false), router, stop, permit).await,
        Some(tls) => {
            if let Ok(Ok(stream)) =
                tokio::time::timeout(HEADER_TIMEOUT, TlsAcceptor::from(tls()).accept(stream)).await
            {
                connection(stream, (caller, true), router, stop, permit).await;
            }
        }
    }
}

/// Marks a request that came over TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encrypted;

/// Who sends the requests of a connection.
#[derive(Clone, Copy)]
enum Sender {
    /// The other end of the connection.
    Itself(PeerAddress),
    /// The client that a proxy names in each request.
    Forwarded(IpAddr),
}

impl Sender {
    /// The sender of a request.
    fn of(self, headers: &HeaderMap) -> Result<PeerAddress, ProblemDetails> {
        let addr = match self {
            Sender::Itself(peer) => return Ok(peer),
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

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    (sender, encrypted): (Sender, bool),
    router: Router,
    mut stop: watch::Receiver<bool>,
    permit: Arc<ConnectionPermit>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let request = request.map(|body| RequestBody::new(body, &permit));
        let answering = request.body().answer();
        let (peer, router, permit) = (sender.of(request.headers()), router.clone(), permit.clone());
        async move {
            let response = match peer {
                Ok(peer) => {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(peer);
                    request.extensions_mut().insert(permit);
                    if encrypted {
                        request.extensions_mut().insert(Encrypted);
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
    let mut connection =
        std::pin::pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = super::stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
