//! Listeners: the socket of the command line, and addresses for everybody else. hyper speaks HTTP; limits and timeouts are
//! ours.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{access::Peer, proxy};
use crate::{
    model::Subject,
    net::{Client, ConnectionLimiter, ConnectionPermit, RequestBody},
};

/// How long the head of a request may take, and how long a connection may idle between two.
const HEAD: Duration = Duration::from_secs(20);
/// The longest head of a request.
const MAX_HEAD: usize = 64 * 1024;
/// How long a client may take nothing of an answer.
const STALL: Duration = Duration::from_secs(15);
/// How long to wait after the system had no connection to give.
const BREATH: Duration = Duration::from_millis(50);

/// How an address is served.
#[derive(Clone)]
pub struct Door {
    /// What TLS is spoken with, as it stands now; none: it is not.
    pub tls: Option<Tls>,
    /// Proxies whose word on who is behind them counts.
    pub trust: Vec<Subject>,
    /// How many connections there may be.
    pub limiter: ConnectionLimiter,
}

/// Gives the certificate that is in use.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

impl Door {
    fn trusts(&self, addr: IpAddr) -> bool {
        let subject = Subject::host(addr);
        self.trust.iter().any(|t| t.covers(&subject))
    }
}

/// Opens the socket. A file that nobody listens on any more is replaced; one that somebody does is an error.
pub async fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match UnixStream::connect(path).await.map_err(|e| e.kind()) {
        Err(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {}
        Ok(_) => return Err(std::io::Error::other(format!("{} is in use; is another orbsd running?", path.display()))),
        // A full backlog or a file that is not ours to open: somebody may well be there.
        Err(e) => return Err(std::io::Error::new(e, format!("{}: {e}; is another orbsd running?", path.display()))),
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Opens an address.
pub fn bind_tcp(addr: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves the socket until `stop` says true; requests that are under way are finished.
pub async fn run_socket(listener: UnixListener, router: Router, limiter: ConnectionLimiter, mut stop: watch::Receiver<bool>) {
    let tasks = TaskTracker::new();
    loop {
        limiter.settled().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = super::stopped(&mut stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        // All are on this machine: there is no address that they could be counted by.
        let Some(permit) = limiter.admit_as(std::net::Ipv4Addr::LOCALHOST.into(), Client::Uncounted) else { continue };
        // Who can not be told is nobody in particular: root would be a lie.
        let uid = stream.peer_cred().map_or(u32::MAX, |c| c.uid());
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn(async move { permit.run(connection(stream, Caller::Itself(Peer::Socket(uid)), router, stop, permit.clone())).await });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Serves an address until `stop` says true.
pub async fn run_tcp(listener: TcpListener, router: Router, door: Door, mut stop: watch::Receiver<bool>) {
    let tasks = TaskTracker::new();
    loop {
        door.limiter.settled().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = super::stopped(&mut stop) => break,
        };
        let Ok((stream, addr)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        // A proxy brings the connections of many.
        let trusted = door.trusts(addr.ip());
        let client = if trusted { Client::Uncounted } else { Client::Ordinary };
        let Some(permit) = door.limiter.admit_as(addr.ip(), client) else { continue };
        let _ = stream.set_nodelay(true);
        let (tls, router, stop) = (door.tls.clone(), router.clone(), stop.clone());
        tasks.spawn(async move { permit.run(knock(stream, addr.ip(), trusted, tls, router, stop, permit.clone())).await });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// What comes before HTTP: who is behind a proxy, and TLS.
async fn knock(
    mut stream: TcpStream,
    addr: IpAddr,
    trusted: bool,
    tls: Option<Tls>,
    router: Router,
    stop: watch::Receiver<bool>,
    permit: Arc<ConnectionPermit>,
) {
    let mut caller = Caller::Itself(Peer::Net(addr));
    if trusted {
        match tokio::time::timeout(HEAD, proxy::header(&mut stream)).await {
            // It has said who it is. Such a proxy passes on what the client writes, so that a `Forwarded` is the client's own.
            Ok(Ok(Some(behind))) if permit.reassign(behind) => caller = Caller::Itself(Peer::Net(behind)),
            Ok(Ok(None)) => caller = Caller::Behind(addr),
            _ => return,
        }
    }
    match tls {
        None => connection(stream, caller, router, stop, permit).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, TlsAcceptor::from(tls()).accept(stream)).await {
                connection(stream, caller, router, stop, permit).await;
            }
        }
    }
}

/// Who is at the other end of a connection, and whether a request may name somebody else.
#[derive(Clone, Copy)]
enum Caller {
    Itself(Peer),
    Behind(IpAddr),
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    caller: Caller,
    router: Router,
    mut stop: watch::Receiver<bool>,
    permit: Arc<ConnectionPermit>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let request = request.map(|body| RequestBody::new(body, &permit));
        let answering = request.body().answer();
        let mut request = request.map(Body::new);
        let peer = match caller {
            Caller::Itself(peer) => peer,
            Caller::Behind(addr) => Peer::Net(proxy::forwarded(request.headers()).unwrap_or(addr)),
        };
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(permit.clone());
        let answer = router.clone().oneshot(request);
        async move { Ok::<_, Infallible>(answer.await?.map(answering)) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD).half_close(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = super::stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
