//! The client of the HTTP API: over the daemon's socket, over the network, or, if no daemon runs, to
//! the same API on the store, opened for this command.

use std::{
    fmt::Display,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::Arc,
};

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Frame, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    runtime::Runtime,
    sync::mpsc,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::{CliError, Common, request_stream::RequestStream};
use crate::{
    api::{Page, ProblemCode, ProblemDetails, StatusResponse},
    config::Config,
    http,
    ledger::Ledger,
    metrics::Metrics,
    model::time::is_relative,
    net::ConnectionLimiter,
    relay::{RelayService, RelaySettings, name_lookup},
    server::sys,
};

/// The body of a request: bytes, or pieces of a channel.
pub(super) type AnyBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// The header of requests with a JSON body, and of those without a body.
const JSON: (&str, &str) = ("content-type", "application/json");

/// A connection to the API.
pub(super) struct Client {
    runtime: Runtime,
    sender: SendRequest<AnyBody>,
    /// The ledger of this process, if no daemon runs.
    own: Option<Ledger>,
    socket: PathBuf,
    /// The header `Host`.
    host: String,
    /// The token, over the network.
    token: Option<String>,
}

fn text(e: impl Display) -> CliError {
    CliError::Refused(e.to_string())
}

/// The runtime of a command.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

impl Client {
    /// Speaks HTTP over a stream.
    fn over<S>(runtime: Runtime, stream: S) -> Result<Client, CliError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = runtime
            .block_on(handshake(TokioIo::new(RequestStream(stream))))
            .map_err(text)?;
        runtime.spawn(connection);
        Ok(Client {
            runtime,
            sender,
            own: None,
            socket: PathBuf::new(),
            host: "orbsd".into(),
            token: None,
        })
    }

    /// Connects to the daemon, or opens the store if none runs.
    pub(super) fn open(common: &Common) -> Result<Client, CliError> {
        if let (Some(server), Some(token)) = (&common.server, &common.token) {
            return Client::connect(server, token, common.ca.as_deref(), common.insecure);
        }
        let socket = common.socket()?;
        let runtime = runtime()?;
        let stream = match runtime.block_on(UnixStream::connect(&socket)) {
            Ok(s) => s,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(CliError::Refused(no_access(&socket)));
            }
            // `--socket` names a daemon; the store belongs to the configuration.
            Err(e) if common.socket.is_some() => {
                return Err(CliError::Refused(format!(
                    "{}: {e}; is the daemon running?",
                    socket.display()
                )));
            }
            Err(_) => {
                let config = common.load()?;
                check_owner(&config)?;
                return Client::on_store(&config);
            }
        };
        let mut client = Client::over(runtime, stream)?;
        client.socket = socket;
        Ok(client)
    }

    /// Opens the store, and connects to the API on it.
    pub(super) fn on_store(config: &Config) -> Result<Client, CliError> {
        let runtime = runtime()?;
        let own = open_store(&runtime, config)?;
        let stream = runtime.block_on(UnixStream::connect(&config.socket))?;
        let mut client = Client::over(runtime, stream)?;
        (client.own, client.socket) = (Some(own), config.socket.clone());
        Ok(client)
    }

    /// Connects to the socket of a running daemon. `None` if none answers; the store is not opened.
    pub(super) fn running(socket: &Path) -> Option<Client> {
        let runtime = runtime().ok()?;
        let stream = runtime.block_on(UnixStream::connect(socket)).ok()?;
        Client::over(runtime, stream).ok()
    }

    /// Connects to a daemon over the network.
    fn connect(
        server: &str,
        token: &Path,
        ca: Option<&Path>,
        insecure: bool,
    ) -> Result<Client, CliError> {
        let (tls, host) = match server.split_once("://") {
            Some(("https", host)) => (true, host),
            Some(("http", host)) => (false, host),
            _ => (false, ""),
        };
        let host = host.trim_end_matches('/');
        if host.is_empty() || host.contains('/') {
            return Err(CliError::Usage(format!(
                "--server: `{server}` is not https://HOST:PORT"
            )));
        }
        let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        let addr = match port {
            Some(Ok(_)) => host.to_string(),
            _ => format!("{host}:8053"),
        };
        let named =
            |path: &Path, e: &dyn Display| CliError::Usage(format!("{}: {e}", path.display()));
        let unreachable = |e: &dyn Display| CliError::Refused(format!("{addr}: {e}"));
        let resolved = addr.to_socket_addrs().map_err(|e| unreachable(&e))?;
        let resolved: Vec<SocketAddr> = resolved.collect();
        if !tls && !insecure && !resolved.iter().all(|a| a.ip().to_canonical().is_loopback()) {
            return Err(CliError::Usage(format!(
                "--server: http://{host} is not this machine, and the token would go there unencrypted; use https://, or add --insecure on a network that you trust"
            )));
        }
        if tls && insecure {
            return Err(CliError::Usage(
                "--insecure is for http://; for a certificate of an unknown authority, use --ca"
                    .into(),
            ));
        }
        let secret = read_token(token).map_err(|e| named(token, &e))?;
        let runtime = runtime()?;
        let stream = runtime
            .block_on(tokio::net::TcpStream::connect(&resolved[..]))
            .map_err(|e| unreachable(&e))?;
        let mut client = if tls {
            let name = addr.rsplit_once(':').map_or(host, |(name, _)| name);
            let name = name.trim_matches(['[', ']']).to_string();
            let name = ServerName::try_from(name).map_err(text)?;
            let roots = roots(ca).map_err(|(path, e)| named(path, &e))?;
            let config = ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let secured = TlsConnector::from(Arc::new(config)).connect(name, stream);
            let secured = runtime.block_on(secured);
            Client::over(
                runtime,
                secured.map_err(|e| unreachable(&format_args!("TLS: {e}")))?,
            )?
        } else {
            Client::over(runtime, stream)?
        };
        (client.host, client.token) = (host.into(), Some(secret));
        Ok(client)
    }

    /// Whether a daemon responds, rather than this process.
    pub(super) fn is_daemon(&self) -> bool {
        self.own.is_none()
    }

    /// Sends a request with a header and a body. Returns the body of a successful response, which the
    /// caller reads; a problem becomes an error.
    pub(super) fn request(
        &mut self,
        method: Method,
        path: &str,
        (name, value): (&str, &str),
        body: AnyBody,
    ) -> Result<Incoming, CliError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header(name, value);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(text)?;
        // A connection is ready some moments after the response before was read; a request that is
        // sent earlier is cancelled.
        let response = self
            .runtime
            .block_on(async {
                self.sender.ready().await?;
                self.sender.send_request(request).await
            })
            .map_err(|e| CliError::Refused(format!("the daemon did not respond: {e}")))?;
        let status = response.status();
        let mut body = response.into_body();
        match status.is_success() {
            true => Ok(body),
            false => Err(failure(status, &self.whole(&mut body)?)),
        }
    }

    /// The rest of a body.
    fn whole(&self, body: &mut Incoming) -> Result<Vec<u8>, CliError> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece(body)? {
            all.extend(piece);
        }
        Ok(all)
    }

    /// Reads a text.
    pub(super) fn text(&mut self, path: &str) -> Result<String, CliError> {
        let mut body = self.request(Method::GET, path, JSON, bytes(""))?;
        Ok(String::from_utf8_lossy(&self.whole(&mut body)?).into_owned())
    }

    /// Warns if a time is relative to now, and trusted time differs from the wall clock: such a time
    /// counts from trusted time.
    pub(super) fn warn_of_clock(&mut self, time: Option<&str>) {
        let Some(time) = time.filter(|t| is_relative(t)) else {
            return;
        };
        // Errors do not matter here: the change is done.
        let status = self.get::<StatusResponse>("/v1/status").ok();
        if let Some(problem) = status.and_then(|s| s.clock.problem) {
            eprintln!("orbsd: warning: the time `{time}` was counted from trusted time; {problem}");
        }
    }

    /// The next piece of a response's body; `None` at its end.
    pub(super) fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, CliError> {
        Ok(self.frame(body)?.map(|f| f.into_data().unwrap_or_default()))
    }

    /// The next frame of a response's body, data or trailers; `None` at its end.
    pub(super) fn frame(&self, body: &mut Incoming) -> Result<Option<Frame<Bytes>>, CliError> {
        self.runtime
            .block_on(body.frame())
            .transpose()
            .map_err(|e| CliError::Refused(format!("the response is incomplete: {e}")))
    }

    /// Reads the whole body of a response.
    pub(super) fn read<T: DeserializeOwned>(&self, mut body: Incoming) -> Result<T, CliError> {
        serde_json::from_slice(&self.whole(&mut body)?).map_err(|e| unreadable(&e))
    }

    /// Reads a resource.
    pub(super) fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, CliError> {
        self.call(Method::GET, path)
    }

    /// Sends a POST request without a body.
    pub(super) fn post<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, CliError> {
        self.call(Method::POST, path)
    }

    /// Sends a POST request with a JSON body.
    pub(super) fn post_json<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.call_json(Method::POST, path, body)
    }

    /// Sends a DELETE request.
    pub(super) fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, CliError> {
        self.call(Method::DELETE, path)
    }

    fn call<T: DeserializeOwned>(&mut self, method: Method, path: &str) -> Result<T, CliError> {
        let body = self.request(method, path, JSON, bytes(""))?;
        self.read(body)
    }

    /// Sends a request with a JSON body.
    pub(super) fn call_json<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let body = bytes(serde_json::to_vec(body).map_err(text)?);
        let body = self.request(method, path, JSON, body)?;
        self.read(body)
    }

    /// Prints a list that fits on one page: as JSON, or as `print` does for each item.
    pub(super) fn print_list<T: DeserializeOwned + Serialize>(
        &mut self,
        common: &Common,
        path: &str,
        print: impl Fn(&T),
    ) -> Result<(), CliError> {
        let all: Page<T> = self.get(path)?;
        common.print(&all, |all| all.items.iter().for_each(print))
    }
}

/// The error about a response that is not what the API defines.
pub(super) fn unreadable(e: &serde_json::Error) -> CliError {
    CliError::Refused(format!("the response of the daemon cannot be read: {e}"))
}

/// The certificate authorities of a file, or those of this machine. The error names the file.
pub(super) fn roots(ca: Option<&Path>) -> Result<RootCertStore, (&Path, String)> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| (path, e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| (path, e.to_string()))?;
        roots.add(certificate).map_err(|e| (path, e.to_string()))?;
    }
    Ok(roots)
}

/// The error about a socket that this user may not open.
fn no_access(socket: &Path) -> String {
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
        // Root's group is not one to join.
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
            "it is neither a regular file nor a pipe; name the file with the token",
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
            "it is longer than {MAX_TOKEN_FILE_BYTES} bytes, and no token is; name the file with the token"
        ))),
        false => Ok(token.trim().to_string()),
    }
}

/// A problem document as a failure; a wrong request is wrong usage.
fn failure(status: StatusCode, body: &[u8]) -> CliError {
    match serde_json::from_slice::<ProblemDetails>(body) {
        Err(_) => CliError::Refused(format!("the daemon responded with {status}")),
        Ok(p) if p.code == ProblemCode::ListRefused => CliError::ListRefused(p.detail),
        Ok(p) if status == StatusCode::UNPROCESSABLE_ENTITY => CliError::Usage(p.detail),
        Ok(p) => CliError::Refused(p.detail),
    }
}

/// Checks that the store belongs to this user: the daemon could not use the files of another one.
fn check_owner(config: &Config) -> Result<(), CliError> {
    use std::os::unix::fs::MetadataExt;
    let owner = match std::fs::metadata(&config.store.path) {
        Ok(meta) => Some(meta.uid()).filter(|uid| *uid != sys::uid()),
        // A daemon that is not root could not use a store of root.
        Err(_) => super::owner::of_daemon(config)?.map(|owner| owner.user),
    };
    match owner {
        Some(uid) => Err(CliError::Refused(format!(
            "no daemon runs, and the store {} belongs to uid {uid}: run this as that user, or start the daemon",
            config.store.path.display(),
        ))),
        None => Ok(()),
    }
}

/// Opens the store in this process and serves the API on the socket.
fn open_store(runtime: &Runtime, config: &Config) -> Result<Ledger, CliError> {
    let (ledger, mirrors) = crate::daemon::open_ledger(config).map_err(CliError::Refused)?;
    // The server ends with the runtime of the command.
    let stop = tokio::sync::watch::channel(false).1;
    // Only this command connects to it.
    let listener = runtime.block_on(http::bind(&config.socket, &http::SocketOwner::default()))?;
    let reload = offline_reload(ledger.clone(), config.ledger.clone());
    // A command tests nothing, and needs no tokens.
    let relay = RelaySettings {
        enabled: false,
        ..config.probe.relay.clone()
    };
    let relay = RelayService::new(ledger.clone(), relay);
    let mirrors = crate::daemon::report(&ledger, &mirrors);
    let served = crate::daemon::tickets::served(config, &ledger, mirrors.clone());
    let tickets = crate::daemon::tickets::service(config, &ledger, &relay, &served);
    let known_senders = config.known_senders.clone();
    let netblocks =
        crate::netblocks::NetblockService::new(ledger.clone(), known_senders, Default::default());
    let dynamic_ranges = crate::daemon::dynamic_ranges::service(config, &tickets);
    let data = crate::privacy::PersonalData {
        ledger: ledger.clone(),
        relay: relay.clone(),
        tickets: tickets.clone(),
        netblocks: netblocks.clone(),
        reverse_names: Default::default(),
        query_sample: Default::default(),
        erasures: crate::daemon::erasures(config),
    };
    // A command without a daemon must not show what was erased after the backup was made.
    data.repeat_erasures().map_err(CliError::Refused)?;
    let generic_names = {
        let _in = runtime.enter();
        crate::daemon::generic_names(config)
    };
    let app = http::App {
        comparisons: crate::daemon::comparisons::service(config),
        ledger: ledger.clone(),
        metrics: Arc::new(Metrics::default()),
        reload,
        feeds: Arc::new(Vec::new),
        decide_feed: http::no_feeds(),
        files: Arc::new(Vec::new),
        mirrors,
        machine_state: Arc::new(http::MachineState::default),
        check_url: crate::daemon::url_check(config),
        reverse_names: data.reverse_names.clone(),
        generic_names,
        public_host: String::new(),
        public_contact: config.site.contact.clone(),
        host_names: name_lookup::host_name_resolver(relay.clone(), None.into(), Vec::new()),
        retention: crate::privacy::RetentionJob::new(data),
        relay,
        tickets,
        netblocks,
        dynamic_ranges,
        connections: Arc::new(Vec::new),
        access: Arc::default(),
        statistics: Default::default(),
        quality: crate::quality::QualityArchive::open(config.quality()),
        figures: Default::default(),
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

/// The reload of a command without a daemon, which has opened the store with the present files.
fn offline_reload(ledger: Ledger, settings: crate::ledger::LedgerSettings) -> http::Reload {
    Arc::new(move |request| {
        let text = |e: crate::ledger::LedgerError| e.text(&ledger.store.dictionary());
        if let Some((rename, line)) = request.rename {
            let renamed = ledger.rename(rename, settings.clone(), line);
            renamed.map_err(text)?;
        }
        Ok(http::ReloadResult {
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

/// A body whose pieces come from a channel.
pub(super) fn pieces(rx: mpsc::Receiver<std::io::Result<Bytes>>) -> AnyBody {
    let frames = ReceiverStream::new(rx).map(|piece| piece.map(Frame::data));
    BodyExt::boxed(StreamBody::new(frames))
}

/// The characters to escape in a part of a path: all but the unreserved ones (RFC 3986 section 2.3).
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
