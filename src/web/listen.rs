//! Listeners: the socket of the command line, and addresses for everybody else. hyper speaks HTTP; places and patience are
//! ours.

use std::{
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
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{access::Peer, proxy};
use crate::{
    model::Subject,
    places::{Place, Places},
};

/// Connections at the same time; further ones wait.
const PLACES: usize = 1024;
/// Connections of one address (IPv6: a /64), and of one net (/24, IPv6: /48), at the same time; further ones are closed.
const EACH: [usize; 2] = [64, 256];
/// How long the head of a request may take, and how long a connection may idle between two.
const HEAD: Duration = Duration::from_secs(20);
/// The longest head of a request.
const MAX_HEAD: usize = 64 * 1024;
/// How long a client may take nothing of an answer.
const STALL: Duration = Duration::from_secs(15);
/// How long to wait after the system had no connection to give.
const BREATH: Duration = Duration::from_millis(50);

/// How an address is served.
#[derive(Clone, Default)]
pub struct Door {
    /// What TLS is spoken with, as it stands now; none: it is not.
    pub tls: Option<Tls>,
    /// Proxies whose word on who is behind them counts.
    pub trust: Vec<Subject>,
}

/// Gives the certificate that is in use.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

impl Door {
    fn trusts(&self, addr: IpAddr) -> bool {
        let subject = Subject::host(addr);
        self.trust.iter().any(|t| t.covers(&subject))
    }
}

/// The user and the group that the socket, and a directory that is made for it, belong to; none: those of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SocketOwner {
    /// The user id.
    pub user: Option<u32>,
    /// The group id.
    pub group: Option<u32>,
}

/// Opens the socket. A file that nobody listens on any more is replaced; one that somebody does is an error. The socket gets
/// the mode 0660, and a directory that is made for it 0750; one that is there stays as it is.
pub async fn bind(path: &Path, owner: SocketOwner) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::{PermissionsExt, chown};
    match UnixStream::connect(path).await.map_err(|e| e.kind()) {
        Err(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {}
        Ok(_) => return Err(std::io::Error::other(format!("{} is in use; is another orbsd running?", path.display()))),
        // A full backlog or a file that is not ours to open: somebody may well be there.
        Err(e) => return Err(std::io::Error::new(e, format!("{}: {e}; is another orbsd running?", path.display()))),
    }
    let open = |path: &Path, mode: u32| {
        chown(path, owner.user, owner.group)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty() && !f.exists()) {
        std::fs::create_dir_all(folder)?;
        open(folder, 0o750)?;
    }
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    open(path, 0o660)?;
    Ok(listener)
}

/// Opens an address.
pub fn bind_tcp(addr: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves the socket until `stop` says true; requests that are under way are finished.
pub async fn run_socket(listener: UnixListener, router: Router, mut stop: watch::Receiver<bool>) {
    let (places, tasks) = (Arc::new(Semaphore::new(PLACES)), TaskTracker::new());
    while let Some(permit) = permit(&places, &mut stop).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = super::stopped(&mut stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let uid = stream.peer_cred().ok().map(|c| c.uid());
        tasks.spawn(connection(stream, Caller::Itself(Peer::Socket(uid)), router.clone(), stop.clone(), (permit, None)));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Serves an address until `stop` says true.
pub async fn run_tcp(listener: TcpListener, router: Router, door: Door, mut stop: watch::Receiver<bool>) {
    let (places, each, tasks) = (Arc::new(Semaphore::new(PLACES)), Places::new(EACH), TaskTracker::new());
    while let Some(permit) = permit(&places, &mut stop).await {
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
        let place = each.take(addr.ip(), false);
        if place.is_none() && !trusted {
            continue;
        }
        let _ = stream.set_nodelay(true);
        tasks.spawn(knock(stream, addr.ip(), trusted, door.tls.clone(), router.clone(), stop.clone(), (permit, place)));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn permit(places: &Arc<Semaphore>, stop: &mut watch::Receiver<bool>) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        permit = places.clone().acquire_owned() => permit.ok(),
        () = super::stopped(stop) => None,
    }
}

/// What comes before HTTP: who is behind a proxy, and TLS.
async fn knock(
    mut stream: TcpStream,
    addr: IpAddr,
    trusted: bool,
    tls: Option<Tls>,
    router: Router,
    stop: watch::Receiver<bool>,
    place: (OwnedSemaphorePermit, Option<Place>),
) {
    let mut caller = Caller::Itself(Peer::Net(addr));
    if trusted {
        match tokio::time::timeout(HEAD, proxy::header(&mut stream)).await {
            // It has said who it is. Such a proxy passes on what the client writes, so that a `Forwarded` is the client's own.
            Ok(Ok(Some(behind))) => caller = Caller::Itself(Peer::Net(behind)),
            Ok(Ok(None)) => caller = Caller::Behind(addr),
            _ => return,
        }
    }
    match tls {
        None => connection(stream, caller, router, stop, place).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, TlsAcceptor::from(tls()).accept(stream)).await {
                connection(stream, caller, router, stop, place).await;
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
    _place: (OwnedSemaphorePermit, Option<Place>),
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let peer = match caller {
            Caller::Itself(peer) => peer,
            Caller::Behind(addr) => Peer::Net(proxy::forwarded(request.headers()).unwrap_or(addr)),
        };
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
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
