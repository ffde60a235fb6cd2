//! All metrics in the text format of Prometheus. The table of them is in `metrics::families`.

use std::sync::atomic::Ordering::Relaxed;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    App, clock, exposition::Exposition, generic_names, integrity, logins, operator_tickets,
    privacy, quality,
};
use crate::{
    api::{FeedKind, FeedResponse, MirrorResponse},
    ledger::outbox,
    metrics::{Counter, Totals, families},
    model::Time,
    net::LimiterStats,
    store::schema::SourceRecord,
};

/// The state of the machine and of the files around the store.
#[derive(Debug, Clone, Default)]
pub struct MachineState {
    /// When the certificate of the encrypted listeners ends.
    pub certificate_end: Option<Time>,
    /// Bytes of the store's files.
    pub store_bytes: Option<u64>,
    /// The file systems that the daemon writes to.
    pub disks: Vec<Disk>,
}

/// A file system.
#[derive(Debug, Clone)]
pub struct Disk {
    /// What is written there: `store` or `removals`.
    pub name: &'static str,
    /// Bytes that are free for the daemon.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
}

/// Returns all metrics in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "state",
    responses((status = 200, body = String, content_type = "text/plain", description = "All metrics")))]
pub async fn get_metrics(State(app): State<App>) -> Response {
    let mut out = Exposition::default();
    write_zones(&mut out, &app);
    write_writer(&mut out, &app);
    integrity::write_metrics(&mut out, &app);
    privacy::write_metrics(&mut out, &app);
    quality::write_metrics(&mut out, &app);
    out.gauge(&families::START_TIME_SECONDS, app.started.0 as f64);
    clock::write_metrics(&mut out, &app.ledger.clock.report());
    write_sources(&mut out, &app);
    write_reverse_names(&mut out, &app);
    generic_names::write_metrics(&mut out, &app);
    write_query_sample(&mut out, &app);
    write_connections(&mut out, &(app.connections)());
    write_feeds(&mut out, &(app.feeds)());
    write_mirrors(&mut out, &(app.mirrors)());
    // These read files and may wait.
    let more = tokio::task::spawn_blocking(move || {
        let mut out = Exposition::default();
        write_slow(&mut out, &app);
        out
    });
    out.append(&more.await.unwrap_or_default());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], out.into_text()).into_response()
}

/// Writes the state of the sample of queried addresses, if queries are sampled.
fn write_query_sample(out: &mut Exposition, app: &App) {
    let Some(stats) = app.netblocks.query_sample.stats() else {
        return;
    };
    for (metric, value) in [
        (&families::QUERY_SAMPLE_ONE_IN, f64::from(stats.one_in)),
        (&families::QUERY_SAMPLE_NETWORKS, stats.networks as f64),
        (&families::QUERY_SAMPLE_WAITING, stats.waiting as f64),
    ] {
        out.gauge(metric, value);
    }
    for (metric, value) in [
        (&families::QUERY_SAMPLE_ADDRESSES_TOTAL, stats.sampled),
        (&families::QUERY_SAMPLE_DROPPED_TOTAL, stats.dropped),
        (&families::QUERY_SAMPLE_CANDIDATES_TOTAL, stats.candidates),
    ] {
        out.counter(metric, value);
    }
}

/// Writes the counters of the cache of reverse names.
fn write_reverse_names(out: &mut Exposition, app: &App) {
    let stats = app.reverse_names.stats();
    out.gauge(&families::REVERSE_NAMES_KNOWN, stats.known as f64);
    out.gauge(&families::REVERSE_NAMES_WAITING, stats.waiting as f64);
    out.counter(&families::REVERSE_NAMES_LOOKUPS_TOTAL, stats.started);
    out.counter(&families::REVERSE_NAMES_FAILED_TOTAL, stats.failed);
    out.counter(&families::REVERSE_NAMES_DROPPED_TOTAL, stats.dropped);
}

/// The counters of DNS messages with their metrics. A counter without a metric does not compile.
fn dns_counters(totals: &Totals) -> [(&'static Counter<1>, u64); 12] {
    let Totals {
        queries,
        listed,
        not_listed,
        no_data,
        transfers,
        refused,
        malformed,
        failed,
        truncated,
        dropped,
        bytes_in,
        bytes_out,
    } = *totals;
    [
        (&families::DNS_QUERIES_TOTAL, queries),
        (&families::DNS_LISTED_TOTAL, listed),
        (&families::DNS_NOT_LISTED_TOTAL, not_listed),
        (&families::DNS_NO_DATA_TOTAL, no_data),
        (&families::DNS_TRANSFERS_TOTAL, transfers),
        (&families::DNS_REFUSED_TOTAL, refused),
        (&families::DNS_MALFORMED_TOTAL, malformed),
        (&families::DNS_FAILED_TOTAL, failed),
        (&families::DNS_TRUNCATED_TOTAL, truncated),
        (&families::DNS_DROPPED_TOTAL, dropped),
        (&families::DNS_BYTES_IN_TOTAL, bytes_in),
        (&families::DNS_BYTES_OUT_TOTAL, bytes_out),
    ]
}

/// Writes the queries and the serial of each zone, and the number of listed subjects.
fn write_zones(out: &mut Exposition, app: &App) {
    let snapshot = app.ledger.published.snapshot();
    let zones = snapshot.zones.all();
    let mut by_zone: Vec<_> = zones
        .iter()
        .map(|z| (z.name.to_string(), app.metrics.zone(Some(z.slot))))
        .collect();
    by_zone.push((String::new(), app.metrics.zone(None)));
    for (i, (metric, _)) in dns_counters(&Totals::default()).into_iter().enumerate() {
        let value = |t: &Totals| dns_counters(t)[i].1 as f64;
        let samples = by_zone.iter();
        out.counters(metric, samples.map(|(zone, t)| ([zone.clone()], value(t))));
    }
    let serial = |i: usize| snapshot.serials.get(i).map_or(0.0, |s| f64::from(s.0));
    out.gauges(
        &families::ZONE_SERIAL,
        zones
            .iter()
            .enumerate()
            .map(|(i, z)| ([z.name.to_string()], serial(i))),
    );
    let kinds = ["ipv4_hosts", "ipv4_prefixes", "ipv6", "domains"];
    let listed = kinds.into_iter().zip(snapshot.tables.counts());
    out.gauges(
        &families::LISTED,
        listed.map(|(kind, n)| ([kind.into()], n as f64)),
    );
    out.gauge(&families::COMMIT, snapshot.seq as f64);
    logins::write_metrics(out, &snapshot);
}

/// Writes what the writer has done, and whether it accepts writes.
fn write_writer(out: &mut Exposition, app: &App) {
    let health = &app.ledger.health;
    out.counter(&families::COMMITS_TOTAL, health.commits.load(Relaxed));
    out.counter(&families::CHANGES_TOTAL, health.changes.load(Relaxed));
    let times = &health.publish_times;
    out.durations(
        &families::PUBLISH_SECONDS,
        &families::PUBLISH_MAX_SECONDS,
        &times.elapsed,
    );
    out.durations(
        &families::PUBLISH_CPU_SECONDS,
        &families::PUBLISH_CPU_MAX_SECONDS,
        &times.cpu,
    );
    out.gauge(
        &families::WRITES_TAKEN,
        f64::from(health.writes_refused().is_none()),
    );
}

/// Writes when each source was imported, and when its listings end.
fn write_sources(out: &mut Exposition, app: &App) {
    let dictionary = app.ledger.store.dictionary();
    let feeds = || dictionary.records.iter().filter(|r| r.feed);
    let sample = |r: &SourceRecord, at: Time| ([r.name.to_string()], at.0 as f64);
    out.gauges(
        &families::SOURCE_REFRESHED_SECONDS,
        feeds().map(|r| sample(r, r.refreshed)),
    );
    out.gauges(
        &families::SOURCE_EXPIRES_SECONDS,
        feeds().filter_map(|r| Some(sample(r, r.expires?))),
    );
}

/// Writes how many connections each listener has, and how many were closed or refused because all
/// slots were used.
fn write_connections(out: &mut Exposition, all: &[(&'static str, LimiterStats)]) {
    let samples = |value: fn(&LimiterStats) -> u64| {
        let sample = move |(name, s): &(&str, _)| ([name.to_string()], value(s) as f64);
        all.iter().map(sample)
    };
    out.gauges(&families::CONNECTIONS, samples(|s| s.open as u64));
    out.gauges(&families::TRANSFERS_OPEN, samples(|s| s.transfers as u64));
    out.counters(
        &families::CONNECTIONS_SHED_TOTAL,
        samples(|s| s.shed + s.shed_of_share),
    );
    out.counters(
        &families::CONNECTIONS_REFUSED_TOTAL,
        samples(|s| s.refused + s.refused_of_share),
    );
}

/// Writes which feeds wait for a decision, and which are not refreshed.
fn write_feeds(out: &mut Exposition, feeds: &[FeedResponse]) {
    let sample = |f: &FeedResponse, value: f64| ([f.feed.to_string()], value);
    let held = |f: &FeedResponse| f.held.as_ref().is_some_and(|h| !h.refused);
    out.gauges(
        &families::FEED_HELD,
        feeds.iter().map(|f| sample(f, f64::from(held(f)))),
    );
    let of_orbsd = feeds.iter().filter(|f| f.kind == FeedKind::Orbsd);
    out.counters(
        &families::FEED_LOOPED_TOTAL,
        of_orbsd.map(|f| sample(f, f.looped as f64)),
    );
    out.gauges(
        &families::FEED_FAILING,
        feeds
            .iter()
            .map(|f| sample(f, f64::from(f.problem.is_some()))),
    );
}

/// Writes how far mirrors are behind, and which need a forced transfer.
fn write_mirrors(out: &mut Exposition, mirrors: &[MirrorResponse]) {
    let sample = |m: &MirrorResponse, value: f64| {
        let key = m.key.as_deref().unwrap_or("");
        let labels = [m.zone.as_str(), &m.address, key].map(String::from);
        (labels, value)
    };
    let lag = |m: &MirrorResponse| m.behind.map_or(0.0, |b| b.seconds as f64);
    out.gauges(
        &families::MIRROR_LAG_SECONDS,
        mirrors.iter().map(|m| sample(m, lag(m))),
    );
    let forced = |m: &MirrorResponse| f64::from(m.needs_transfer.is_some());
    out.gauges(
        &families::MIRROR_NEEDS_TRANSFER,
        mirrors.iter().map(|m| sample(m, forced(m))),
    );
}

/// Writes the metrics that take a while: it reads files, and waits for the decisions of relay tests
/// that are under way.
fn write_slow(out: &mut Exposition, app: &App) {
    let version = [env!("CARGO_PKG_VERSION").into()];
    out.gauges(&families::BUILD_INFO, [(version, 1.0)]);
    let around = (app.machine_state)();
    out.gauge(
        &families::TLS_NOT_AFTER_SECONDS,
        around.certificate_end.map(|t| t.0 as f64),
    );
    write_webhooks(out, app);
    operator_tickets::write_metrics(out, &app.tickets);
    let enabled = app.relay.settings().enabled;
    out.gauge(&families::TESTER_ENABLED, f64::from(enabled));
    out.gauge(
        &families::TESTER_READY,
        f64::from(enabled && app.relay.problem().is_none()),
    );
    out.gauge(&families::STORE_BYTES, around.store_bytes.map(|n| n as f64));
    let disk = |d: &Disk, bytes: u64| ([d.name.into()], bytes as f64);
    out.gauges(
        &families::DISK_FREE_BYTES,
        around.disks.iter().map(|d| disk(d, d.free)),
    );
    out.gauges(
        &families::DISK_SIZE_BYTES,
        around.disks.iter().map(|d| disk(d, d.size)),
    );
}

/// Writes what waits for each webhook.
fn write_webhooks(out: &mut Exposition, app: &App) {
    let (accounts, backlog) = (app.ledger.accounts(), app.ledger.health.webhook_backlog());
    let sample = |id: &str, value: u64| ([id.into()], value as f64);
    let ids = || accounts.webhooks.keys();
    out.gauges(
        &families::WEBHOOK_WAITING,
        ids().map(|id| sample(id, backlog.get(id).copied().unwrap_or(0))),
    );
    // The first message of a webhook is the oldest. A store that cannot be read has metrics of its
    // own.
    let oldest = |id: &String| {
        let first = outbox::messages(&app.ledger.store, id, 1).ok()?;
        Some(sample(id, first.first()?.since.0))
    };
    out.gauges(&families::WEBHOOK_OLDEST_SECONDS, ids().filter_map(oldest));
}
