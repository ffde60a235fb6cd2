//! The command line's way to the API: the daemon's socket, or, where none runs, the same API on the
//! store for the time of the command.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
};

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, runtime::Runtime, sync::mpsc};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::{Common, Failure, request_stream::RequestStream};
use crate::{
    api::{ProblemCode, ProblemDetails, StatusResponse},
    config::Config,
    http,
    ledger::Ledger,
    metrics::Metrics,
    model::time::is_relative,
    net::ConnectionLimiter,
    relay::{RelayService, RelaySettings, name_lookup},
    server::sys,
};

/// A body of either kind: bytes, or pieces that come with time.
pub(super) type AnyBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// A connection to the API.
pub(super) struct Client {
    runtime: Runtime,
    sender: SendRequest<AnyBody>,
    /// The ledger of this process, where no daemon runs.
    own: Option<Ledger>,
    socket: std::path::PathBuf,
    /// What stands in `Host`, and the token, of a server that is reached over the network.
    host: String,
    token: Option<String>,
}

fn text(e: impl std::fmt::Display) -> Failure {
    Failure::No(e.to_string())
}

impl Client {
    /// Connects to the daemon, or opens the store where none runs.
    pub(super) fn open(common: &Common) -> Result<Client, Failure> {
        if let (Some(server), Some(token)) = (&common.server, &common.token) {
            return Client::connect(server, token, common.ca.as_deref(), common.insecure);
        }
        let socket = common.socket()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let mut own = None;
        let stream = match runtime.block_on(UnixStream::connect(&socket)) {
            Ok(s) => s,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Failure::No(no_access(&socket)));
            }
            // A socket that was named is a daemon's; the store is that of the configuration.
            Err(e) if common.socket.is_some() => {
                return Err(Failure::No(format!(
                    "{}: {e}; is the daemon running?",
                    socket.display()
                )));
            }
            Err(_) => {
                own = Some(open_store(&runtime, &common.load()?)?);
                runtime.block_on(UnixStream::connect(&socket))?
            }
        };
        let (sender, connection) = runtime
            .block_on(handshake(TokioIo::new(RequestStream(stream))))
            .map_err(text)?;
        runtime.spawn(connection);
        Ok(Client {
            runtime,
            sender,
            own,
            socket,
            host: "orbsd".into(),
            token: None,
        })
    }

    /// Connects to the socket of a daemon that runs; `None` where none answers, and the store is
    /// left alone.
    pub(super) fn running(socket: &std::path::Path) -> Option<Client> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .ok()?;
        let stream = runtime.block_on(UnixStream::connect(socket)).ok()?;
        let (sender, connection) = runtime
            .block_on(handshake(TokioIo::new(RequestStream(stream))))
            .ok()?;
        runtime.spawn(connection);
        Some(Client {
            runtime,
            sender,
            own: None,
            socket: socket.to_path_buf(),
            host: "orbsd".into(),
            token: None,
        })
    }

    /// Connects to a daemon over the network.
    fn connect(
        server: &str,
        token: &Path,
        ca: Option<&Path>,
        insecure: bool,
    ) -> Result<Client, Failure> {
        let (tls, host) = match (
            server.strip_prefix("https://"),
            server.strip_prefix("http://"),
        ) {
            (Some(h), _) => (true, h),
            (_, Some(h)) => (false, h),
            _ => (false, ""),
        };
        let host = host.trim_end_matches('/');
        if host.is_empty() || host.contains('/') {
            return Err(Failure::Usage(format!(
                "--server: `{server}` is not https://HOST:PORT"
            )));
        }
        let port = host
            .rsplit_once(':')
            .is_some_and(|(_, p)| p.parse::<u16>().is_ok());
        let addr = if port {
            host.to_string()
        } else {
            format!("{host}:8053")
        };
        let named = |path: &Path, e: &dyn std::fmt::Display| {
            Failure::Usage(format!("{}: {e}", path.display()))
        };
        let resolved: Vec<SocketAddr> = addr
            .to_socket_addrs()
            .map_err(|e| Failure::No(format!("{addr}: {e}")))?
            .collect();
        if !tls && !insecure && !resolved.iter().all(|a| a.ip().to_canonical().is_loopback()) {
            return Err(Failure::Usage(format!(
                "--server: http://{host} is not this machine, and the token would go there unencrypted; use https://, or add --insecure on a network that you trust"
            )));
        }
        if tls && insecure {
            return Err(Failure::Usage("--insecure is for http://; for a certificate that this machine does not know, use --ca".into()));
        }
        let secret = read_token(token).map_err(|e| named(token, &e))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let stream = runtime
            .block_on(tokio::net::TcpStream::connect(&resolved[..]))
            .map_err(|e| Failure::No(format!("{addr}: {e}")))?;
        let sender =
            match tls {
                false => {
                    let (sender, connection) = runtime
                        .block_on(handshake(TokioIo::new(RequestStream(stream))))
                        .map_err(text)?;
                    runtime.spawn(connection);
                    sender
                }
                true => {
                    let mut roots = RootCertStore::empty();
                    match ca {
                        None => drop(roots.add_parsable_certificates(
                            rustls_native_certs::load_native_certs().certs,
                        )),
                        Some(path) => {
                            let read: Result<Vec<_>, _> =
                                CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
                            for cert in read.map_err(|e| named(path, &e))? {
                                roots.add(cert).map_err(|e| named(path, &e))?;
                            }
                        }
                    }
                    let config = ClientConfig::builder()
                        .with_root_certificates(roots)
                        .with_no_client_auth();
                    let name = addr
                        .rsplit_once(':')
                        .map_or(host, |(h, _)| h)
                        .trim_matches(['[', ']'])
                        .to_string();
                    let name = ServerName::try_from(name).map_err(text)?;
                    let secured = runtime
                        .block_on(TlsConnector::from(Arc::new(config)).connect(name, stream));
                    let secured = secured.map_err(|e| Failure::No(format!("{addr}: TLS: {e}")))?;
                    let (sender, connection) = runtime
                        .block_on(handshake(TokioIo::new(RequestStream(secured))))
                        .map_err(text)?;
                    runtime.spawn(connection);
                    sender
                }
            };
        Ok(Client {
            runtime,
            sender,
            own: None,
            socket: Default::default(),
            host: host.into(),
            token: Some(secret),
        })
    }

    /// Whether a daemon answers, and not this process itself.
    pub(super) fn is_daemon(&self) -> bool {
        self.own.is_none()
    }

    /// Requests a stream of a media type; its body is read block by block.
    pub(super) fn stream(&mut self, path: &str, accept: &str) -> Result<Incoming, Failure> {
        let request = self
            .request(Method::GET, path)
            .header("accept", accept)
            .body(bytes(""))
            .map_err(text)?;
        let response = self.exchange(request)?;
        self.check(response)
    }

    /// The body of a successful response; a problem becomes a failure.
    pub(super) fn check(&self, response: Response<Incoming>) -> Result<Incoming, Failure> {
        let status = response.status();
        let mut body = response.into_body();
        match status.is_success() {
            true => Ok(body),
            false => Err(failure(status, &self.whole(&mut body)?)),
        }
    }

    /// The rest of a body.
    fn whole(&self, body: &mut Incoming) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece(body)? {
            all.extend(piece);
        }
        Ok(all)
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host);
        match &self.token {
            Some(t) => request.header("authorization", format!("Bearer {t}")),
            None => request,
        }
    }

    /// Sends a request, after the one before it on this connection is done with, and waits for the
    /// head of the answer.
    fn exchange(&mut self, request: Request<AnyBody>) -> Result<Response<Incoming>, Failure> {
        let (runtime, sender) = (&self.runtime, &mut self.sender);
        let response = runtime.block_on(async {
            sender.ready().await?;
            sender.send_request(request).await
        });
        response.map_err(|e| Failure::No(format!("the daemon did not answer: {e}")))
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) fn send(
        &mut self,
        method: Method,
        path: &str,
        body: AnyBody,
    ) -> Result<Response<Incoming>, Failure> {
        self.send_as(method, path, "application/octet-stream", body)
    }

    fn send_as(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: AnyBody,
    ) -> Result<Response<Incoming>, Failure> {
        let request = self.request(method, path).header("content-type", kind);
        let request = request.body(body).map_err(text)?;
        self.exchange(request)
    }

    /// Sends a request without a body whose answer may end with trailers.
    pub(super) fn send_for_trailers(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<Response<Incoming>, Failure> {
        let request = self
            .request(method, path)
            .header("te", "trailers")
            .body(bytes(""))
            .map_err(text)?;
        self.exchange(request)
    }

    /// Sends a request without a body, and reads the response as text.
    pub(super) fn text(&mut self, method: Method, path: &str) -> Result<String, Failure> {
        let response = self.send(method, path, bytes(""))?;
        let mut body = self.check(response)?;
        Ok(String::from_utf8_lossy(&self.whole(&mut body)?).into_owned())
    }

    /// Warns on the terminal where a time was given relative to now, and the daemon's clock does
    /// not agree with the wall clock: such a time counts by trusted time.
    pub(super) fn warn_of_clock(&mut self, time: Option<&str>) {
        if !time.is_some_and(is_relative) {
            return;
        }
        // Only a help: the change itself is done.
        let status = self.get::<StatusResponse>("/v1/status").ok();
        if let Some(problem) = status.and_then(|s| s.clock.problem) {
            eprintln!(
                "orbsd: warning: the time `{}` was counted from trusted time; {problem}",
                time.unwrap_or_default()
            );
        }
    }

    /// The next piece of an answer's body; `None` at its end.
    pub(super) fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
        Ok(self.frame(body)?.map(|f| f.into_data().unwrap_or_default()))
    }

    /// The next frame of an answer's body, data or trailers; `None` at its end.
    pub(super) fn frame(&self, body: &mut Incoming) -> Result<Option<Frame<Bytes>>, Failure> {
        self.runtime
            .block_on(body.frame())
            .transpose()
            .map_err(|e| Failure::No(format!("the answer was cut short: {e}")))
    }

    /// Reads a resource.
    pub(super) fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path)
    }

    /// Sends a request without a body.
    pub(super) fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<T, Failure> {
        self.call_with(method, path, "application/json", bytes(""))
    }

    /// Sends a request with a JSON body.
    pub(super) fn call_json<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(text)?;
        self.call_with(method, path, "application/json", bytes(body))
    }

    /// Sends a request with a body of a media type, and reads the response; a problem becomes a
    /// failure.
    pub(super) fn call_with<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: AnyBody,
    ) -> Result<T, Failure> {
        let response = self.send_as(method, path, kind, body)?;
        let mut body = self.check(response)?;
        serde_json::from_slice(&self.whole(&mut body)?)
            .map_err(|e| Failure::No(format!("the response of the daemon cannot be read: {e}")))
    }
}

/// Why a socket cannot be opened, and who may.
fn no_access(socket: &std::path::Path) -> String {
    use std::os::unix::fs::MetadataExt;
    // The socket's group, or that of a folder which this user may not enter.
    let found = std::fs::metadata(socket)
        .ok()
        .or_else(|| std::fs::metadata(socket.parent()?).ok());
    let group = found
        .filter(|m| m.gid() != 0)
        .and_then(|m| nix::unistd::Group::from_gid(m.gid().into()).ok().flatten());
    let how = match group {
        Some(g) => format!("join the group {}", g.name),
        // Its members could read whatever root's group can.
        None => "let `socket_group` of [admin] name a group that you are in".into(),
    };
    format!(
        "no access to {}: {how}, or run this as root or as the daemon's user",
        socket.display()
    )
}

/// The longest file of a token, in bytes.
const MAX_TOKEN_FILE_BYTES: u64 = 64 << 10;

/// Reads the token of a file or a pipe, and warns if other users can read or replace it.
fn read_token(path: &Path) -> std::io::Result<String> {
    use std::{
        io::{Error, Read},
        os::unix::fs::{FileTypeExt, MetadataExt},
    };
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() && !metadata.file_type().is_fifo() {
        return Err(Error::other(
            "it is neither a regular file nor a pipe; name the file that holds the token",
        ));
    }
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() && mode & 0o027 != 0 {
        let shown = path.display();
        eprintln!(
            "orbsd: warning: {shown}: its mode is {mode:04o}, so that others can read or replace the token; run `chmod 600 {shown}`"
        );
    }
    let mut token = String::new();
    file.take(MAX_TOKEN_FILE_BYTES + 1)
        .read_to_string(&mut token)?;
    match token.len() as u64 > MAX_TOKEN_FILE_BYTES {
        true => Err(Error::other(format!(
            "it is longer than {MAX_TOKEN_FILE_BYTES} bytes, and no token is; name the file that holds it"
        ))),
        false => Ok(token.trim().to_string()),
    }
}

/// A problem document as a failure; a wrong request is wrong usage.
fn failure(status: StatusCode, body: &[u8]) -> Failure {
    let problem: Option<ProblemDetails> = serde_json::from_slice(body).ok();
    let Some(problem) = problem else {
        return Failure::No(format!("the daemon responded with {status}"));
    };
    match problem.code {
        ProblemCode::ListRefused => Failure::List(problem.detail),
        _ if status == StatusCode::UNPROCESSABLE_ENTITY => Failure::Usage(problem.detail),
        _ => Failure::No(problem.detail),
    }
}

/// Opens the store in this process and serves the API on the socket.
fn open_store(runtime: &Runtime, config: &Config) -> Result<Ledger, Failure> {
    use std::os::unix::fs::MetadataExt;
    let owner = match std::fs::metadata(&config.store.path) {
        Ok(meta) => Some(meta.uid()).filter(|uid| *uid != sys::uid()),
        // A store that root makes is of no use to a daemon that is not root.
        Err(_) => super::owner::of_daemon(config)?.map(|owner| owner.user),
    };
    if let Some(uid) = owner {
        return Err(Failure::No(format!(
            "no daemon runs, and the store {} belongs to uid {uid}: run this as that user, or start the daemon",
            config.store.path.display(),
        )));
    }
    let (ledger, mirrors) = crate::daemon::open_ledger(config).map_err(Failure::No)?;
    // Nobody says stop: the command ends, and its runtime with it.
    let stop = tokio::sync::watch::channel(false).1;
    // Of this command alone, so nobody else has to reach it.
    let listener = runtime.block_on(http::bind(&config.socket, &http::SocketOwner::default()))?;
    let reload = offline_reload(ledger.clone(), config.ledger.clone());
    // Nothing is tested by a command, and no token is made or read.
    let relay = RelayService::new(
        ledger.clone(),
        RelaySettings {
            enabled: false,
            ..config.probe.relay.clone()
        },
    );
    let app = http::App {
        ledger: ledger.clone(),
        metrics: Arc::new(Metrics::default()),
        reload,
        feeds: Arc::new(Vec::new),
        decide_feed: http::no_feeds(),
        files: Arc::new(Vec::new),
        mirrors: crate::daemon::report(&ledger, &mirrors),
        surroundings: Arc::new(http::Surroundings::default),
        check_url: crate::daemon::url_check(config),
        host_names: name_lookup::host_name_resolver(relay.clone(), None.into(), Vec::new()),
        relay,
        connections: Arc::new(Vec::new),
        access: Arc::default(),
        exports: Arc::new(tokio::sync::Semaphore::new(http::MAX_EXPORTS)),
        check_configuration: Arc::new(Default::default),
        uid: sys::uid(),
        started: ledger.now(),
        daemon: false,
        stop: stop.clone(),
    };
    let limiter = ConnectionLimiter::new(config.connections.socket, &config.connections.shares);
    runtime.spawn(http::run_socket(listener, http::router(app), limiter, stop));
    Ok(ledger)
}

/// What a command may do with the configuration where no daemon runs: the store was opened with the
/// files as they are.
fn offline_reload(ledger: Ledger, settings: crate::ledger::LedgerSettings) -> http::Reload {
    Arc::new(move |request| {
        let text = |e: crate::ledger::LedgerError| e.text(&ledger.store.dictionary());
        if let Some((rename, line)) = request.rename {
            ledger
                .rename(rename, settings.clone(), line)
                .map_err(text)?;
        }
        Ok(http::Reloaded {
            warnings: Vec::new(),
            left_behind: ledger.left_behind_now().map_err(text)?,
        })
    })
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(ledger) = self.own.take() {
            let _ = std::fs::remove_file(&self.socket);
            let _ = ledger.stop();
        }
    }
}

/// A body of bytes.
pub(super) fn bytes(b: impl Into<Bytes>) -> AnyBody {
    Full::new(b.into()).map_err(|e| match e {}).boxed()
}

/// A body whose pieces come through a channel.
pub(super) fn pieces(rx: mpsc::Receiver<std::io::Result<Bytes>>) -> AnyBody {
    BodyExt::boxed(StreamBody::new(
        ReceiverStream::new(rx).map(|b| b.map(Frame::data)),
    ))
}

/// What is escaped in a part of a path: everything but unreserved characters (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes a part of a path.
pub(super) fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A path with query parameters.
pub(super) fn with_query(path: &str, query: &impl Serialize) -> String {
    match serde_urlencoded::to_string(query) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_string(),
    }
}
