//! The daemon: starts all parts in order, waits for a signal, and stops them in reverse order.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    api::{ConfigurationCheckResponse, MirrorResponse},
    clock::{Clock, SystemTimeSource},
    comparison::Comparisons,
    config::{Config, HttpListener},
    exports::Exports,
    feeds::Feeds,
    http,
    ledger::{self, Ledger},
    mail::Mailer,
    model::Time,
    net::{ConnectionLimiter, ConnectionLimits, FileBudget},
    quality::{QualityArchive, QualityJob},
    query_sample::QuerySample,
    random::Random,
    resolver::Resolver,
    reverse_names::{self, ReverseNames},
    server::{self, Certificates, ReservedClients, ServerContext, sys},
    site::SiteSettings,
    statistics::Statistics,
    store::Store,
};

pub mod comparisons;
pub mod dynamic_ranges;
mod name_look_ups;
mod netblocks;
mod quality;
pub mod relay;
mod reload;
mod retention;
mod scrub;
mod served;
pub mod tickets;
mod upgrade;

pub use name_look_ups::generic_names;

/// The seconds between two returns of free memory to the system.
const TRIM_EVERY: u64 = 30;
/// The limit of open files that is assumed if the system's limit cannot be read.
const ASSUMED_FILES: u64 = 1024;
/// The stack size of a UDP worker in bytes. Its buffers are on the heap.
const STACK: usize = 512 * 1024;

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
///
/// The daemon cannot start, or the store cannot be closed; the text is a message for users.
pub fn run(config_path: &Path, config: Config) -> Result<(), String> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    runtime.block_on(serve_until_stopped(config_path.to_path_buf(), config))
}

/// Starts the work for tickets, netblocks, dynamic ranges and figures that is repeated until `stop` is
/// set.
fn repeat_work(
    background: &tokio::runtime::Runtime,
    app: http::App,
    ticket_work: tickets::Work,
    stop: &tokio::sync::watch::Receiver<bool>,
) -> [tokio::task::JoinHandle<()>; 4] {
    let (netblocks, ranges) = (app.netblocks.clone(), app.dynamic_ranges.clone());
    [
        background.spawn(tickets::run(ticket_work, stop.clone())),
        background.spawn(netblocks::run(netblocks, stop.clone())),
        background.spawn(dynamic_ranges::run(ranges, stop.clone())),
        background.spawn(http::count_figures(app, stop.clone())),
    ]
}

/// Binds the sockets of HTTP.
async fn bind_http(config: &Config) -> Result<HttpSockets, String> {
    let socket = http::bind(&config.socket, &socket_owner(config)?).await;
    Ok(HttpSockets {
        socket: socket.map_err(|e| format!("admin.socket: {e}"))?,
        admin: listen("admin.listen", config.admin.listen)?,
        public: listen("web.listen", config.web.listen)?,
        proofs: listen("proofs.listen", config.proofs.listen)?,
    })
}

/// Starts the feeds; a NOTIFY to a listener of DNS refreshes the feed of its zone.
fn start_feeds(config: &Config, ledger: &Ledger, shared: &mut ServerContext) -> Feeds {
    let feeds = Feeds::new(ledger.clone(), sys::lower_priority);
    feeds.configure(&config.feeds);
    let notified = feeds.clone();
    shared.on_notify = Some(Arc::new(move |zone, from, key| {
        notified.notified(zone, from, key)
    }));
    feeds
}

async fn serve_until_stopped(config_path: PathBuf, config: Config) -> Result<(), String> {
    for w in &config.warnings {
        tracing::warn!("{w}");
    }
    // First of all, so that a reload during the start waits until a large store is read.
    let mut signals = Signals::new()?;
    let (config, connections) = divide_files(config);
    // Ports below 1024 and larger buffers need the privileges that are dropped next.
    let (udp, tcp) = bind(&config.dns)?;
    let encrypted = server::encrypted::bind(&config.tls)?;
    let sockets = bind_http(&config).await?;
    let collectors = relay::bind(&config.probe.listen)?;
    drop_privileges(&config)?;
    // Read as the unprivileged user, who has to read it again after a renewal.
    let certificates = config.tls.open()?;
    let (ledger, mirrors) = open(&config).await?;
    let mut shared = ServerContext::new(&ledger, Some(mirrors.clone()));
    let reserved = ReservedClients::new(ledger.published.clone(), Some(mirrors.clone()));
    let limiters = Limiters::new(&connections, reserved);
    let collect = limiters.collect.clone();
    let tests = relay::RelayTests::new(&config, &ledger, certificates.as_ref(), collect)?;
    let reported = report(&ledger, &mirrors);
    let ticket_work = tickets::Work::new(&config, &ledger, &tests.service, reported)?;
    let tickets = ticket_work.service.clone();
    shared.sample = QuerySample::new(config.query_sample.clone(), Random::system());
    let netblocks = netblocks::service(&config, &ledger, &shared.sample);
    let dynamic_ranges = dynamic_ranges::service(&config, &tickets);
    let tests = tests.with_removal_mail(tickets::removal_mail(&config, &tickets)?);
    let reverse_names = ReverseNames::default();
    let (sample, erasures) = (&shared.sample, erasures(&config));
    let retention =
        retention::run_first(&tickets, &netblocks, &reverse_names, sample, erasures).await?;
    let exports = Exports::default();
    exports.set(config.exports.clone());
    let feeds = start_feeds(&config, &ledger, &mut shared);
    let workers = start_udp(udp, &shared)?;
    let serve_tcp = |l| tokio::spawn(server::tcp::run(l, shared.clone(), limiters.dns.clone()));
    let mut listeners: Vec<_> = tcp.into_iter().map(serve_tcp).collect();
    if let Some(certificates) = &certificates {
        let path = &config.tls.path;
        listeners.extend(encrypted.serve(path, certificates, &shared, &limiters.dns));
    }
    let (socket_path, outbound) = (config.socket.clone(), outbound(&config)?);
    let listener_configs = listener_configs(&config, certificates.as_ref(), &limiters);
    let (stop_web, web_stopped) = tokio::sync::watch::channel(false);
    let machine_state = machine_state(&config, certificates.clone());
    let check_url = url_check(&config);
    let (site, statistics) = (config.site.clone(), Statistics::open(config.statistics()));
    let quality = QualityArchive::open(config.quality());
    let quality_job = QualityJob::new(tickets.clone(), quality.clone());
    let public_host = public_host(&config.base_url);
    let names = reverse_names::dns_resolver(resolver(&config));
    let generic_names = generic_names(&config);
    let comparisons = comparisons::service(&config);
    let reload = reload::Reloader {
        comparisons: comparisons.clone(),
        path: config_path.clone(),
        running: config,
        ledger: ledger.clone(),
        exports: exports.clone(),
        feeds: feeds.clone(),
        relay: tests.service.clone(),
        tickets: tickets.clone(),
        generic_names: generic_names.clone(),
        netblocks: netblocks.clone(),
        dynamic_ranges: dynamic_ranges.clone(),
        certificates,
    };
    let reload: http::Reload = Arc::new(move |request| reload.run(request));
    let (shown_feeds, decided_feeds, shown_exports) =
        (feeds.clone(), feeds.clone(), exports.clone());
    let app = http::App {
        comparisons: comparisons.clone(),
        ledger: ledger.clone(),
        metrics: shared.metrics.clone(),
        reload: reload.clone(),
        feeds: Arc::new(move || shown_feeds.states()),
        decide_feed: Arc::new(move |name, accept, audit| decided_feeds.decide(name, accept, audit)),
        files: Arc::new(move || shown_exports.states()),
        mirrors: report(&ledger, &mirrors),
        machine_state,
        check_url,
        relay: tests.service.clone(),
        retention: retention.clone(),
        tickets,
        netblocks,
        dynamic_ranges,
        generic_names,
        reverse_names: reverse_names.clone(),
        public_host,
        public_contact: site.contact.clone(),
        host_names: tests.known.clone(),
        connections: limiters.stats(),
        access: Arc::default(),
        statistics,
        quality: quality.clone(),
        figures: Default::default(),
        exports: Arc::new(tokio::sync::Semaphore::new(http::MAX_EXPORTS)),
        check_configuration: checker(config_path),
        uid: sys::uid(),
        started: ledger.now(),
        daemon: true,
        stop: web_stopped.clone(),
    };
    let background = background_runtime()?;
    let notifier = background.spawn(server::notify::run(ledger.clone(), mirrors.clone()));
    let mut web = start_web(
        &background,
        sockets,
        app.clone(),
        site,
        &listener_configs,
        &limiters.socket,
        &web_stopped,
    )?;
    let tester = tests.start(&background, collectors, &web_stopped)?;
    web.extend(name_look_ups::start(&background, &app, names, &web_stopped));
    web.extend(repeat_work(&background, app, ticket_work, &web_stopped));
    let webhooks = crate::webhooks::run(ledger.clone(), outbound, web_stopped.clone());
    web.push(background.spawn(webhooks));
    let files = background.spawn(exports.clone().run(ledger.published.clone()));
    let tickers = start_upkeep(&ledger, retention, comparisons, quality_job, &shared.stop)?;
    notify(NotifyState::Ready);
    signals.wait(&reload).await;
    notify(NotifyState::Stopping);
    tracing::info!("stopping");
    tickers.iter().for_each(|t| t.abort());
    feeds.stop();
    let _ = stop_web.send(true);
    end_requests(web).await;
    tester.iter().chain([&notifier]).for_each(|t| t.abort());
    exports.stop();
    let _ = tokio::time::timeout(Duration::from_secs(5), files).await;
    shared.stop.store(true, Ordering::Relaxed);
    listeners.iter().for_each(|l| l.abort());
    let closed = tokio::task::spawn_blocking(move || close(workers, &mirrors, &ledger));
    let _ = std::fs::remove_file(&socket_path);
    background.shutdown_background();
    closed.await.map_err(|e| e.to_string())?
}

/// Waits for the UDP workers, saves the state of the mirrors, and closes the store.
fn close(
    workers: Vec<std::thread::JoinHandle<()>>,
    mirrors: &server::Mirrors,
    ledger: &Ledger,
) -> Result<(), String> {
    workers.into_iter().for_each(|w| drop(w.join()));
    mirrors.save();
    let closed = ledger.stop();
    closed.map_err(|e| format!("the store could not be closed: {e:?}"))
}

/// Waits for running requests, which get their receipts while queries are still answered. A stream
/// that does not end in time is aborted.
async fn end_requests(web: Vec<tokio::task::JoinHandle<()>>) {
    let ended = async {
        for task in web {
            let _ = task.await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
}

/// The runtime of the API and of all background work, on threads of its own with a lower priority
/// than DNS.
fn background_runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .thread_name("web")
        .on_thread_start(sys::lower_priority)
        .build();
    runtime.map_err(|e| e.to_string())
}

/// Opens the store with its ledger, and the file of the mirrors.
async fn open(config: &Config) -> Result<(Ledger, Arc<server::Mirrors>), String> {
    let (started, config) = (std::time::Instant::now(), config.clone());
    let (ledger, mirrors) = tokio::task::spawn_blocking(move || open_ledger(&config))
        .await
        .map_err(|e| e.to_string())??;
    report_left_behind(&ledger);
    let tables = ledger.published.snapshot();
    tracing::info!(commit = tables.seq, listed = ?tables.tables.counts(), took = ?started.elapsed(), "ready");
    Ok((ledger, mirrors))
}

/// Opens an address of the API, if one is configured.
fn listen(
    key: &str,
    addr: Option<std::net::SocketAddr>,
) -> Result<Option<std::net::TcpListener>, String> {
    addr.map(|a| http::bind_tcp(a).map_err(|e| format!("{key}: {a}: {e}")))
        .transpose()
}

/// The sockets of the HTTP API.
struct HttpSockets {
    socket: tokio::net::UnixListener,
    /// `[admin] listen`, if it is set.
    admin: Option<std::net::TcpListener>,
    /// `[web] listen`, if it is set.
    public: Option<std::net::TcpListener>,
    /// `[proofs] listen`, if it is set.
    proofs: Option<std::net::TcpListener>,
}

/// Starts the listeners of the socket, the API and the public look-up.
fn start_web(
    background: &tokio::runtime::Runtime,
    sockets: HttpSockets,
    app: http::App,
    site: SiteSettings,
    configs: &[http::ListenerConfig; 2],
    socket_limiter: &ConnectionLimiter,
    stop: &tokio::sync::watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, String> {
    let _in = background.enter();
    let HttpSockets {
        socket,
        admin,
        public,
        proofs,
    } = sockets;
    let socket = socket
        .into_std()
        .and_then(tokio::net::UnixListener::from_std)
        .map_err(|e| format!("admin.socket: {e}"))?;
    let mut out = vec![background.spawn(http::run_socket(
        socket,
        http::router(app.clone()),
        socket_limiter.clone(),
        stop.clone(),
    ))];
    // Proofs come without TLS, and through the same proxies as the site.
    let plain = http::ListenerConfig {
        tls: None,
        ..configs[1].clone()
    };
    let proof_router = http::tickets_control::proof_router(app.clone());
    let site = Arc::new(site);
    let all = [
        (
            admin,
            crate::site::admin_router(app.clone(), site.clone()),
            configs[0].clone(),
        ),
        (proofs, proof_router, plain),
        (public, crate::site::router(app, site), configs[1].clone()),
    ];
    for (listener, router, config) in all {
        let listener = listener
            .map(tokio::net::TcpListener::from_std)
            .transpose()
            .map_err(|e| e.to_string())?;
        out.extend(
            listener.map(|l| background.spawn(http::run_tcp(l, router, config, stop.clone()))),
        );
    }
    Ok(out)
}

/// The host of the public pages, in lower case and without a port.
fn public_host(base_url: &str) -> String {
    let rest = base_url.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    host.to_ascii_lowercase()
}

/// The resolver of names of other hosts; each user of it has its own, with its own cache.
fn resolver(config: &Config) -> Arc<Result<Resolver, String>> {
    let resolver = Resolver::new(&config.http_client.resolvers, true);
    Arc::new(resolver.map_err(|e| format!("http_client.resolvers: {e}")))
}

/// The ways out that webhooks take.
fn outbound(config: &Config) -> Result<crate::webhooks::Outbound, String> {
    let names = resolver(config);
    let mail = Arc::new(Mailer::new(&config.mail)?);
    Ok(crate::webhooks::Outbound {
        allow: config.http_client.allow.clone(),
        // A machine without /etc/resolv.conf may still send to addresses.
        names: Arc::new(move |host| {
            let names = names.clone();
            Box::pin(async move {
                let names = names.as_ref().as_ref().map_err(String::clone)?;
                match names.addresses(&host).await {
                    Ok(none) if none.is_empty() => Err(format!("{host} has no address in DNS")),
                    found => found,
                }
            })
        }),
        mail: Arc::new(move |to, subject, text| {
            let mail = mail.clone();
            Box::pin(async move {
                match &*mail {
                    Some(mail) => mail.send(&to, &subject, text).await,
                    None => Err("no smart host is configured; set [mail] smarthost".into()),
                }
            })
        }),
    })
}

/// Returns a check of webhook URLs: HTTP, or mail if a smart host is configured.
pub fn url_check(config: &Config) -> http::Check {
    let sends_mail = !config.mail.smarthost.is_empty();
    Arc::new(move |url| {
        match url.strip_prefix(crate::webhooks::MAILTO) {
        Some(_) if !sends_mail => Err("no smart host takes mail; set `smarthost` and `from` of [mail], and restart the daemon".into()),
        Some(to) => crate::mail::check_address(to),
        None => crate::webhooks::parse_url(url).map(drop),
    }
    })
}

/// How `[admin]` and `[web]` are served: a certificate that is read again is taken with the next
/// connection.
fn listener_configs(
    config: &Config,
    certificates: Option<&Arc<Certificates>>,
    limiters: &Limiters,
) -> [http::ListenerConfig; 2] {
    let one = |listener: &HttpListener, limiter: &ConnectionLimiter| {
        let tls = certificates
            .cloned()
            .filter(|_| listener.tls)
            .map(|c| Arc::new(move || c.current().web.clone()) as http::Tls);
        http::ListenerConfig {
            tls,
            trusted_proxies: listener.trusted_proxies.clone(),
            limiter: limiter.clone(),
        }
    };
    [
        one(&config.admin, &limiters.admin),
        one(&config.web, &limiters.web),
    ]
}

/// Returns a function that reads the state of disks, files and certificates for metrics.
pub fn machine_state(
    config: &Config,
    certificates: Option<Arc<Certificates>>,
) -> http::Report<http::MachineState> {
    let store = config.store.path.clone();
    let removals = config.ledger.removals.clone();
    Arc::new(move || {
        let disk = |name, path: &Path| {
            let found = rustix::fs::statvfs(path).ok()?;
            let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
            Some(http::Disk {
                name,
                free: bytes(found.f_bavail),
                size: bytes(found.f_blocks),
            })
        };
        let removals_disk = removals
            .as_deref()
            .and_then(Path::parent)
            .and_then(|folder| {
                // A file name without a folder is in the current folder.
                let is_current = folder.as_os_str().is_empty();
                disk("removals", if is_current { Path::new(".") } else { folder })
            });
        let files = std::fs::read_dir(&store).ok();
        let store_bytes = files.map(|all| {
            let files = all.flatten().filter_map(|f| f.metadata().ok());
            files.filter(|m| m.is_file()).map(|m| m.len()).sum()
        });
        http::MachineState {
            certificate_end: certificates.as_ref().map(|c| c.current().not_after),
            store_bytes,
            disks: disk("store", &store)
                .into_iter()
                .chain(removals_disk)
                .collect(),
        }
    })
}

/// Starts trusted time on this machine. It writes nothing before its first tick. `last_commit` is
/// the time of the store's last commit, if the store is open.
pub fn clock(config: &Config, last_commit: Option<Time>) -> Clock {
    let source = SystemTimeSource {
        synchronised: sys::is_clock_synchronised,
    };
    let record = Some(config.clock());
    Clock::start(source, record, config.trust_at_start, last_commit)
}

/// The connection limits. All stream listeners of DNS share one; each other listener has its own.
struct Limiters {
    dns: ConnectionLimiter,
    admin: ConnectionLimiter,
    web: ConnectionLimiter,
    socket: ConnectionLimiter,
    collect: ConnectionLimiter,
}

impl Limiters {
    fn new(c: &ConnectionLimits, reserved: ReservedClients) -> Limiters {
        let of = |total| ConnectionLimiter::new(total, &c.shares);
        let is_reserved = Arc::new(move |addr| reserved.contains(addr));
        let dns = ConnectionLimiter::with_transfers(c.dns, c.transfers, &c.shares, is_reserved);
        Limiters {
            dns,
            admin: of(c.admin),
            web: of(c.web),
            socket: of(c.socket),
            collect: of(c.collect),
        }
    }

    /// Returns a function that reads the statistics of all limiters.
    fn stats(&self) -> http::ConnectionStats {
        let all = [
            ("dns", &self.dns),
            ("admin", &self.admin),
            ("web", &self.web),
            ("socket", &self.socket),
            ("collect", &self.collect),
        ];
        let all = all.map(|(name, limiter)| (name, limiter.clone()));
        Arc::new(move || {
            all.iter()
                .map(|(name, limiter)| (*name, limiter.stats()))
                .collect()
        })
    }
}

/// Raises the limit of open files, and divides them among the store, the listeners and the rest.
/// Returns the configuration with the store's part, and the listeners' part.
fn divide_files(mut config: Config) -> (Config, ConnectionLimits) {
    let limit = sys::raise_file_limit().unwrap_or_else(|e| {
        tracing::warn!(error = %e, "reading the limit of open files failed");
        ASSUMED_FILES
    });
    let per_address = workers(&config.dns) + 1;
    let sockets = config.dns.listen.len() * per_address
        + config.tls.listen.len()
        + config.tls.https.len()
        + config.tls.quic.len()
        + config.tls.h3.len() * server::http3::SOCKETS
        + config.probe.listen.len()
        + usize::from(config.proofs.listen.is_some());
    let zones = config.ledger.zones.iter();
    let notified: usize = zones.map(|z| z.transfer.notify.len()).sum();
    let outgoing = notified + 2 * config.feeds.len() + 2 * config.probe.scheduler.concurrency;
    let collects = !config.probe.listen.is_empty();
    let used = [
        config.admin.listen.is_some(),
        config.web.listen.is_some(),
        collects,
    ];
    let budget = FileBudget::divide(limit, (sockets + outgoing) as u64, config.connections, used);
    if let Some(warning) = &budget.warning {
        tracing::warn!("{warning}");
    }
    config.store.open_tables = budget.store_tables;
    (config, budget.connections)
}

/// Opens the store and the ledger, and reads the file of the mirrors.
///
/// # Errors
///
/// The store or the ledger cannot be opened.
pub fn open_ledger(config: &Config) -> Result<(Ledger, Arc<server::Mirrors>), String> {
    let mut upgrade = upgrade::UpgradeReport::default();
    let store = Store::open_watched(config.store.clone(), &mut |p| upgrade.add(p));
    let store = store.map_err(|e| e.to_string())?;
    let clock = clock(config, store.last_commit_time().map_err(|e| e.to_string())?);
    let mirrors = Arc::new(server::Mirrors::open(config.mirrors(), clock.clone()));
    let shown = store.dictionary();
    let settings = ledger::LedgerSettings {
        mirrors: mirrors.mirror_serials(),
        ..config.ledger.clone()
    };
    let ledger =
        ledger::open(store, settings, clock, sys::lower_priority).map_err(|e| e.text(&shown))?;
    Ok((ledger, mirrors))
}

/// Logs the names that have left the configuration while the daemon was stopped. The daemon starts
/// nevertheless, because other lists must not stop for one name; `status` reports it until an
/// operator decides.
fn report_left_behind(ledger: &Ledger) {
    match ledger.left_behind_now() {
        Ok(left) => left.iter().for_each(|l| {
            tracing::error!(
                "the configuration has lost a name: {l}; `orbsd reload --force` accepts it"
            );
        }),
        Err(e) => tracing::error!(
            error = e.text(&ledger.store.dictionary()),
            "comparing the store with the configuration failed"
        ),
    }
}

/// What is known of the mirrors, against what is published.
pub fn report(
    ledger: &Ledger,
    mirrors: &Arc<server::Mirrors>,
) -> http::Report<Vec<MirrorResponse>> {
    let (published, mirrors) = (ledger.published.clone(), mirrors.clone());
    Arc::new(move || mirrors.report(&published.snapshot()))
}

type Sockets = (Vec<std::net::UdpSocket>, Vec<tokio::net::TcpListener>);

fn bind(settings: &server::DnsSettings) -> Result<Sockets, String> {
    let workers = workers(settings);
    let udp = |addr| (0..workers).map(|_| server::udp::bind(addr)).collect();
    let udp: Vec<Vec<_>> = sys::bind_each("dns.listen: UDP", &settings.listen, udp)?;
    let tcp = sys::bind_each("dns.listen: TCP", &settings.listen, server::tcp::bind)?;
    Ok((udp.into_iter().flatten().collect(), tcp))
}

/// The owner of the socket: the user that the daemon switches to, and the group of `[admin]
/// socket_group`.
///
/// # Errors
///
/// There is no such user or group.
pub fn socket_owner(config: &Config) -> Result<http::SocketOwner, String> {
    use nix::unistd::Group;
    let mut owner = http::SocketOwner::default();
    if sys::is_root() && !config.user.is_empty() {
        let user = sys::find_user(&config.user).map_err(|e| format!("process.user: {e}"))?;
        owner = http::SocketOwner {
            user: Some(user.uid.as_raw()),
            group: Some(user.gid.as_raw()),
            group_name: None,
        };
    }
    if !config.socket_group.is_empty() {
        let group = Group::from_name(&config.socket_group)
            .map_err(|e| format!("admin.socket_group: {e}"))?;
        let group = group.ok_or_else(|| {
            format!(
                "admin.socket_group: there is no group `{}` on this machine",
                config.socket_group
            )
        })?;
        (owner.group, owner.group_name) =
            (Some(group.gid.as_raw()), Some(config.socket_group.clone()));
    }
    Ok(owner)
}

/// Checks the configuration files for users of the socket.
fn checker(path: PathBuf) -> http::Report<ConfigurationCheckResponse> {
    Arc::new(move || match Config::load(&path) {
        Ok(c) => {
            let errors = Vec::from_iter(c.tls.open().err());
            ConfigurationCheckResponse {
                errors,
                zones: c.ledger.zones.len(),
                warnings: [c.readable_files(), c.warnings].concat(),
            }
        }
        Err(e) => ConfigurationCheckResponse {
            errors: e.0,
            ..ConfigurationCheckResponse::default()
        },
    })
}

/// The number of UDP workers for each address.
fn workers(settings: &server::DnsSettings) -> usize {
    match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

fn drop_privileges(config: &Config) -> Result<(), String> {
    if !sys::is_root() {
        return Ok(());
    }
    if config.user.is_empty() {
        tracing::warn!("running as root; name a user in [process] of config.toml");
        return Ok(());
    }
    let folder = &config.store.path;
    crate::store::private::create_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    sys::give(folder, &config.user)
        .and_then(|()| sys::drop_privileges(&config.user))
        .map_err(|e| format!("process.user: {e}"))
}

fn start_udp(
    sockets: Vec<std::net::UdpSocket>,
    shared: &ServerContext,
) -> Result<Vec<std::thread::JoinHandle<()>>, String> {
    let mut out = Vec::new();
    for (i, socket) in sockets.into_iter().enumerate() {
        let (shared, name) = (shared.clone(), format!("udp-{i}"));
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .stack_size(STACK);
        let run = move || {
            sys::short_slices();
            if let Err(e) = server::udp::run(&socket, &shared, &name) {
                tracing::error!(error = %e, worker = name, "UDP worker failed");
            }
        };
        out.push(thread.spawn(run).map_err(|e| e.to_string())?);
    }
    Ok(out)
}

/// The file of erasures on request.
pub fn erasures(config: &Config) -> crate::privacy::Erasures {
    crate::privacy::Erasures::new(config.erasures(), crate::random::Random::system())
}

/// Starts the periodic work: scrubs, the erasure of old data and the daily figures on threads, and the ticks of the ledger and of the clock in
/// the returned tasks.
fn start_upkeep(
    ledger: &Ledger,
    retention: crate::privacy::RetentionJob,
    comparisons: Comparisons,
    quality: QualityJob,
    stop: &Arc<std::sync::atomic::AtomicBool>,
) -> Result<[tokio::task::JoinHandle<()>; 2], String> {
    scrub::start(ledger, stop)?;
    retention::start(retention, comparisons, stop)?;
    quality::start(quality, stop)?;
    Ok([
        tokio::spawn(tick(ledger.clone())),
        tokio::spawn(watch_clock(ledger.clock.clone())),
    ])
}

/// The seconds since now; a missed one is not made up for.
fn seconds() -> tokio::time::Interval {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    seconds
}

async fn tick(ledger: Ledger) {
    let mut every = seconds();
    for second in 0u64.. {
        every.tick().await;
        ledger.tick().await;
        let snapshot = ledger.published.snapshot();
        let zones = snapshot.zones.all().iter();
        zones
            .filter_map(|z| z.logins.as_ref())
            .for_each(|logins| logins.table.expire(crate::clock::uptime()));
        drop(snapshot);
        if second % TRIM_EVERY == TRIM_EVERY - 1 {
            sys::trim_memory();
        }
    }
}

/// Checks the clock each second, apart from the ledger, because writing the record may block.
async fn watch_clock(clock: Clock) {
    let mut every = seconds();
    loop {
        every.tick().await;
        let clock = clock.clone();
        let _ = tokio::task::spawn_blocking(move || clock.tick()).await;
    }
}

/// The handled signals.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> Result<Signals, String> {
        let on = |kind| signal(kind).map_err(|e| e.to_string());
        Ok(Signals {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
            hup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop. SIGHUP reloads the configuration.
    async fn wait(&mut self, reload: &http::Reload) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => {
                    notify(NotifyState::Reloading);
                    let reload = reload.clone();
                    if let Ok(Err(e)) = tokio::task::spawn_blocking(move || reload(http::ReloadRequest::default())).await {
                        tracing::error!("the new configuration was refused, and the old one stays in force:\n{e}");
                    }
                    notify(NotifyState::Ready);
                }
            }
        }
    }
}

/// Reports a state to systemd, if systemd has started the daemon.
fn notify(state: NotifyState<'_>) {
    let mut states = vec![state];
    if matches!(states[..], [NotifyState::Reloading]) {
        states.extend(NotifyState::monotonic_usec_now());
    }
    if let Err(e) = sd_notify::notify(&states) {
        tracing::warn!(error = %e, "reporting the state to systemd failed");
    }
}
