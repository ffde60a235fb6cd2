//! What checks know: the configuration, and what the daemon reports.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::finding::{Area, Examination, Finding};
use crate::{
    api::{
        ClockResponse, ConfigurationCheckResponse, ListingResponse, ListingsQuery, MirrorResponse,
        Page, StatusResponse,
    },
    cli::{
        CliError, Common,
        client::{Client, with_query},
    },
    config::{Config, ConfigError},
    model::{Subject, Time},
    resolver::Resolver,
};

/// The timeout of a look-up, a connection or a request.
pub(super) const TIMEOUT: Duration = Duration::from_millis(1500);
/// How many listings of the daemon are read to choose a sample.
const MAX_LISTINGS: usize = 200;

/// What the daemon reports over its API.
pub(super) struct DaemonReport {
    pub(super) status: StatusResponse,
    pub(super) mirrors: Vec<MirrorResponse>,
    /// Some subjects that are listed.
    pub(super) listed: Vec<Subject>,
    /// What the daemon says about its configuration files, if this user cannot read them.
    pub(super) configuration: Option<ConfigurationCheckResponse>,
}

/// Why there is no report of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoReport {
    /// No daemon answers.
    NotRunning(String),
    /// This user may not ask it, or does not know its socket.
    NoAccess(String),
}

impl NoReport {
    /// The cause.
    pub(super) fn text(&self) -> &str {
        match self {
            NoReport::NotRunning(text) | NoReport::NoAccess(text) => text,
        }
    }
}

/// What checks know.
pub(super) struct Context {
    /// The configuration, or why it cannot be used.
    pub(super) config: Result<Config, ConfigError>,
    /// The path of the configuration.
    pub(super) config_path: PathBuf,
    /// The daemon's socket; `None` if the configuration that names it cannot be read.
    pub(super) socket: Option<PathBuf>,
    /// The report of the daemon, or why there is none.
    pub(super) daemon: Result<DaemonReport, NoReport>,
    /// The resolver that names are looked up with.
    pub(super) resolver: Result<Resolver, String>,
    /// The port of name servers.
    pub(super) dns_port: u16,
    /// DNSBLs that must not list the addresses of the tester.
    pub(super) dnsbls: Vec<String>,
}

impl Context {
    /// Reads the configuration and asks the daemon. `from` is the resolver to use instead of the
    /// configured ones.
    pub(super) fn read(
        common: &Common,
        from: Option<SocketAddr>,
        dns_port: u16,
        dnsbls: Vec<String>,
    ) -> Context {
        let config = Config::load(&common.config);
        let socket = common.socket().map_err(|e| e.text().to_string());
        let daemon = socket
            .as_ref()
            .map_err(|e| NoReport::NoAccess(e.clone()))
            .and_then(|path| read_daemon(path, config.is_err()));
        let resolvers = match (from, &config) {
            (Some(from), _) => vec![from],
            (None, Ok(config)) => config.http_client.resolvers.clone(),
            (None, Err(_)) => Vec::new(),
        };
        Context {
            config,
            config_path: common.config.clone(),
            socket: socket.ok(),
            daemon,
            resolver: Resolver::uncached(&resolvers),
            dns_port,
            dnsbls,
        }
    }

    /// The clock of the daemon, or that of this machine by the daemon's record; `None` if neither
    /// is known.
    pub(super) fn clock(&self) -> Option<ClockResponse> {
        match (&self.daemon, &self.config) {
            (Ok(daemon), _) => Some(daemon.status.clock.clone()),
            (Err(_), Ok(config)) => Some((&crate::daemon::clock(config, None).report()).into()),
            (Err(_), Err(_)) => None,
        }
    }

    /// Trusted time.
    pub(super) fn now(&self) -> Option<Time> {
        self.clock().map(|c| c.trusted.0)
    }

    /// The finding about an area that needs the configuration, which cannot be used.
    pub(super) fn without_config(&self, area: Area) -> Finding {
        Examination::new(area, "all", self.config_path.display().to_string()).not_seen(
            "the configuration cannot be used, so nothing of this area was checked",
            "correct the faults of the configuration first",
        )
    }

    /// The finding about an area that needs the daemon, which does not answer.
    pub(super) fn without_daemon(&self, area: Area, why: &NoReport) -> Finding {
        Examination::new(area, "all", "daemon").not_seen(
            format!("only the running daemon knows: {}", why.text()),
            "start the daemon, or run this as root, as its user or as a member of `socket_group`",
        )
    }
}

/// Asks the daemon at a socket. `check` lets it check its configuration, too.
fn read_daemon(socket: &Path, check: bool) -> Result<DaemonReport, NoReport> {
    let shown = socket.display();
    let not_running = |e: &dyn std::fmt::Display| {
        NoReport::NotRunning(format!("{shown}: no daemon accepts a connection: {e}"))
    };
    match UnixStream::connect(socket) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return Err(NoReport::NoAccess(format!("{shown}: {e}")));
        }
        Err(e) => return Err(not_running(&e)),
    }
    let client = Client::running(socket);
    let mut client = client.ok_or_else(|| not_running(&"it closed the connection"))?;
    let text = |e: CliError| NoReport::NotRunning(format!("{shown}: {}", e.text()));
    let status: StatusResponse = client.get("/v1/status").map_err(text)?;
    let mirrors: Page<MirrorResponse> = client.get("/v1/mirrors").map_err(text)?;
    let query = ListingsQuery {
        limit: Some(MAX_LISTINGS),
        ..ListingsQuery::default()
    };
    let listed: Page<ListingResponse> = client
        .get(&with_query("/v1/listings", &query))
        .map_err(text)?;
    let listed = listed.items.iter().filter_map(|l| l.subject.parse().ok());
    let configuration = check
        .then(|| client.get("/v1/configuration/check").ok())
        .flatten();
    Ok(DaemonReport {
        status,
        mirrors: mirrors.items,
        listed: listed.collect(),
        configuration,
    })
}

/// Waits for a look-up, a connection or a request, at most [`TIMEOUT`].
///
/// # Errors
///
/// The text of the error, or that there was no answer in time.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", TIMEOUT.as_millis())))
}
