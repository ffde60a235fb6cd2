//! The HTTP API. Today it is reached through the unix socket, whose file permissions decide who may; it is the command
//! line's door, also when no daemon runs.

mod change;
mod error;
mod export;
mod import;
mod lookup;
mod status;

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, connect_info::Connected},
    routing::{get, post},
    serve::IncomingStream,
};
use tokio::net::{UnixListener, UnixStream};

use crate::{ledger::Ledger, metrics::Metrics};

/// The longest body of a single change, in bytes.
const MAX_CHANGE: usize = 256 * 1024;

/// Reads the configuration again: things to think over, or why it was refused.
pub type Reload = Arc<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>;

/// How the feeds are, as a list of objects.
pub type FeedStates = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;
/// How the files of scheduled exports are.
pub type Files = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;
/// What is known of the mirrors.
pub type Report = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What a handler may use.
#[derive(Clone)]
pub struct App {
    /// Writing and reading.
    pub ledger: Ledger,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Reads the configuration again; the error is told to whoever asked.
    pub reload: Reload,
    /// How the feeds are.
    pub feeds: FeedStates,
    /// How scheduled exports are.
    pub files: Files,
    /// What is known of the mirrors.
    pub mirrors: Report,
    /// When it started.
    pub started: crate::model::Time,
    /// Whether this is the daemon, and not a command that has opened the store itself.
    pub daemon: bool,
}

/// Who is at the other end of the socket.
#[derive(Debug, Clone)]
pub struct Caller(pub String);

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Caller {
        caller(stream.io())
    }
}

fn caller(stream: &UnixStream) -> Caller {
    match stream.peer_cred() {
        Ok(c) => Caller(format!("uid:{}", c.uid())),
        Err(_) => Caller("uid:?".into()),
    }
}

/// Every route.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/listings", post(change::create).layer(DefaultBodyLimit::max(MAX_CHANGE)))
        .route("/v1/bulk", post(change::bulk))
        .route("/v1/subjects/{subject}", get(lookup::subject))
        .route("/v1/imports", post(import::create))
        .route("/v1/zones/{origin}/export", get(export::zone))
        .route("/v1/status", get(status::status))
        .route("/v1/mirrors", get(status::mirrors))
        .route("/v1/reload", post(status::reload))
        .route("/health/ready", get(status::ready))
        .layer(DefaultBodyLimit::disable()) // streams have their own limits, line by line
        .with_state(app)
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

/// Serves the socket until `stop` resolves.
pub async fn run(listener: UnixListener, app: App, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    let service = router(app).into_make_service_with_connect_info::<Caller>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}
