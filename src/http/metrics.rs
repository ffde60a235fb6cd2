//! All metrics in the text format of Prometheus. docs/metrics.md has the alert rules.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    App, clock,
    exposition::{Exposition, labels},
    generic_names, integrity, logins, operator_tickets, privacy, quality,
};
use crate::{
    api::{FeedKind, FeedResponse, MirrorResponse},
    ledger::outbox,
    metrics::Totals,
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

/// Counters by name.
fn counters(t: Totals) -> BTreeMap<String, u64> {
    serde_json::to_value(t)
        .ok()
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default()
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
    out.gauge(
        "start_time_seconds",
        "When the daemon started",
        app.started.0 as f64,
    );
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
    let text = out.0 + &more.await.unwrap_or_default().0;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Writes the state of the sample of queried addresses, if queries are sampled.
fn write_query_sample(out: &mut Exposition, app: &App) {
    let Some(stats) = app.netblocks.query_sample.stats() else {
        return;
    };
    for (name, help, value) in [
        (
            "query_sample_one_in",
            "One in so many DNS queries is sampled",
            f64::from(stats.one_in),
        ),
        (
            "query_sample_networks",
            "Networks (IPv4 /24, IPv6 /56) with a sampled address",
            stats.networks as f64,
        ),
        (
            "query_sample_waiting",
            "Sampled addresses that wait for a look-up of their reverse name",
            stats.waiting as f64,
        ),
    ] {
        out.gauge(name, help, value);
    }
    for (name, help, value) in [
        (
            "query_sample_addresses_total",
            "Sampled queries about an address",
            stats.sampled,
        ),
        (
            "query_sample_dropped_total",
            "Sampled queries that were dropped because too many waited",
            stats.dropped,
        ),
        (
            "query_sample_candidates_total",
            "Sampled addresses that were added to those that wait for a look-up",
            stats.candidates,
        ),
    ] {
        out.counter(name, help, value);
    }
}

/// Writes the counters of the cache of reverse names.
fn write_reverse_names(out: &mut Exposition, app: &App) {
    let stats = app.reverse_names.stats();
    out.gauge(
        "reverse_names_known",
        "Addresses in the cache of reverse names",
        stats.known as f64,
    );
    out.gauge(
        "reverse_names_waiting",
        "Listed addresses that wait for a look-up of their reverse name",
        stats.waiting as f64,
    );
    out.counter(
        "reverse_names_lookups_total",
        "Look-ups of reverse names that were started",
        stats.started,
    );
    out.counter(
        "reverse_names_failed_total",
        "Look-ups of reverse names that no server has answered",
        stats.failed,
    );
    out.counter(
        "reverse_names_dropped_total",
        "Listed addresses that did not fit into the queue of look-ups",
        stats.dropped,
    );
}

/// Writes the queries and the serial of each zone, and the number of listed subjects.
fn write_zones(out: &mut Exposition, app: &App) {
    let snapshot = app.ledger.published.snapshot();
    let zones = snapshot.zones.all();
    let zone = |name: &str| labels([("zone", name)]);
    let mut by_zone: Vec<_> = zones
        .iter()
        .map(|z| (zone(&z.name), counters(app.metrics.zone(Some(z.slot)))))
        .collect();
    by_zone.push((zone(""), counters(app.metrics.zone(None))));
    for name in counters(Totals::default()).keys() {
        let count = |c: &BTreeMap<String, u64>| c.get(name).copied().unwrap_or(0) as f64;
        out.counters(
            &format!("dns_{name}_total"),
            "DNS messages by zone; the label is empty for those outside of all zones",
            by_zone.iter().map(|(zone, c)| (zone.clone(), count(c))),
        );
    }
    let serial = |i: usize| snapshot.serials.get(i).map_or(0.0, |s| f64::from(s.0));
    out.gauges(
        "zone_serial",
        "The serial of a zone",
        zones
            .iter()
            .enumerate()
            .map(|(i, z)| (zone(&z.name), serial(i))),
    );
    let kinds = ["ipv4_hosts", "ipv4_prefixes", "ipv6", "domains"];
    let listed = kinds.into_iter().zip(snapshot.tables.counts());
    out.gauges(
        "listed",
        "Subjects with listings, exclusions or exemptions, by kind",
        listed.map(|(kind, n)| (labels([("kind", kind)]), n as f64)),
    );
    out.gauge(
        "commit",
        "The number of the last commit",
        snapshot.seq as f64,
    );
    logins::write_metrics(out, &snapshot);
}

/// Writes what the writer has done, and whether it accepts writes.
fn write_writer(out: &mut Exposition, app: &App) {
    let health = &app.ledger.health;
    out.counter(
        "commits_total",
        "Commits since the start",
        health.commits.load(Relaxed),
    );
    out.counter(
        "changes_total",
        "Subjects changed since the start",
        health.changes.load(Relaxed),
    );
    let times = &health.publish_times;
    out.durations(
        "publish",
        "From the moment at which a commit is durable until queries are answered from it",
        &times.elapsed,
    );
    out.durations(
        "publish_cpu",
        "CPU time for publishing a commit, without waiting for a core",
        &times.cpu,
    );
    out.gauge(
        "writes_taken",
        "1 while writes are accepted, 0 while the store or the removal log fails",
        f64::from(health.writes_refused().is_none()),
    );
}

/// Writes when each source was imported, and when its listings end.
fn write_sources(out: &mut Exposition, app: &App) {
    let dictionary = app.ledger.store.dictionary();
    let feeds = || dictionary.records.iter().filter(|r| r.feed);
    let sample = |r: &SourceRecord, at: Time| (labels([("source", &r.name)]), at.0 as f64);
    out.gauges(
        "source_refreshed_seconds",
        "When a source was last imported",
        feeds().map(|r| sample(r, r.refreshed)),
    );
    out.gauges(
        "source_expires_seconds",
        "When a source's listings end unless it is imported again",
        feeds().filter_map(|r| Some(sample(r, r.expires?))),
    );
}

/// Writes how many connections each listener has, and how many were closed or refused because all
/// slots were used.
fn write_connections(out: &mut Exposition, all: &[(&'static str, LimiterStats)]) {
    let samples = |value: fn(&LimiterStats) -> u64| {
        let sample = move |(name, s): &(&str, _)| (labels([("listener", name)]), value(s) as f64);
        all.iter().map(sample)
    };
    out.gauges(
        "connections",
        "Open connections of a listener, without transfers",
        samples(|s| s.open as u64),
    );
    out.gauges(
        "transfers_open",
        "Zone transfers that are under way",
        samples(|s| s.transfers as u64),
    );
    out.counters(
        "connections_shed_total",
        "Connections that were closed to make room for others",
        samples(|s| s.shed + s.shed_of_share),
    );
    out.counters(
        "connections_refused_total",
        "New connections that were closed at once because no slot could be freed",
        samples(|s| s.refused + s.refused_of_share),
    );
}

/// Writes which feeds wait for a decision, and which are not refreshed.
fn write_feeds(out: &mut Exposition, feeds: &[FeedResponse]) {
    let sample = |f: &FeedResponse, value: f64| (labels([("feed", &f.feed)]), value);
    let held = |f: &FeedResponse| f.held.as_ref().is_some_and(|h| !h.refused);
    out.gauges(
        "feed_held",
        "1 while a feed's list is held until a person decides",
        feeds.iter().map(|f| sample(f, f64::from(held(f)))),
    );
    let of_orbsd = feeds.iter().filter(|f| f.kind == FeedKind::Orbsd);
    out.counters(
        "feed_looped_total",
        "Rows of another orbsd that were left out because they had passed through this server",
        of_orbsd.map(|f| sample(f, f.looped as f64)),
    );
    out.gauges(
        "feed_failing",
        "1 while a feed is not refreshed because its list is refused or its server fails",
        feeds
            .iter()
            .map(|f| sample(f, f64::from(f.problem.is_some()))),
    );
}

/// Writes how far mirrors are behind, and which need a forced transfer.
fn write_mirrors(out: &mut Exposition, mirrors: &[MirrorResponse]) {
    let sample = |m: &MirrorResponse, value: f64| {
        let key = m.key.as_deref().unwrap_or("");
        let labels = labels([("zone", &m.zone), ("mirror", &m.address), ("key", key)]);
        (labels, value)
    };
    let lag = |m: &MirrorResponse| m.behind.map_or(0.0, |b| b.seconds as f64);
    out.gauges(
        "mirror_lag_seconds",
        "For how long a mirror has not had the current serial",
        mirrors.iter().map(|m| sample(m, lag(m))),
    );
    let forced = |m: &MirrorResponse| f64::from(m.needs_transfer.is_some());
    out.gauges(
        "mirror_needs_transfer",
        "1 while a mirror keeps its old zone because our serial was not newer for it",
        mirrors.iter().map(|m| sample(m, forced(m))),
    );
}

/// Writes the metrics that take a while: it reads files, and waits for the decisions of relay tests
/// that are under way.
fn write_slow(out: &mut Exposition, app: &App) {
    let version = labels([("version", env!("CARGO_PKG_VERSION"))]);
    out.gauges(
        "build_info",
        "Always 1; the version is a label",
        std::iter::once((version, 1.0)),
    );
    let around = (app.machine_state)();
    out.gauge(
        "tls_not_after_seconds",
        "When the certificate of [tls] ends, in seconds since 1970",
        around.certificate_end.map(|t| t.0 as f64),
    );
    write_webhooks(out, app);
    operator_tickets::write_metrics(out, &app.tickets);
    let enabled = app.relay.settings().enabled;
    out.gauge(
        "tester_enabled",
        "1 if relay tests are enabled",
        f64::from(enabled),
    );
    out.gauge(
        "tester_ready",
        "1 while relay tests can be made, 0 while they are disabled or something prevents them",
        f64::from(enabled && app.relay.problem().is_none()),
    );
    out.gauge(
        "store_bytes",
        "Bytes of the store's files",
        around.store_bytes.map(|n| n as f64),
    );
    let disk = |d: &Disk, bytes: u64| (labels([("disk", d.name)]), bytes as f64);
    out.gauges(
        "disk_free_bytes",
        "Free bytes of the file system of the store, and of the removal log",
        around.disks.iter().map(|d| disk(d, d.free)),
    );
    out.gauges(
        "disk_size_bytes",
        "Bytes of the file system of the store, and of the removal log",
        around.disks.iter().map(|d| disk(d, d.size)),
    );
}

/// Writes what waits for each webhook.
fn write_webhooks(out: &mut Exposition, app: &App) {
    let (accounts, backlog) = (app.ledger.accounts(), app.ledger.health.webhook_backlog());
    let sample = |id: &str, value: u64| (labels([("webhook", id)]), value as f64);
    let ids = || accounts.webhooks.keys();
    out.gauges(
        "webhook_waiting",
        "Messages that a webhook has not accepted, including dead letters",
        ids().map(|id| sample(id, backlog.get(id).copied().unwrap_or(0))),
    );
    // The first message of a webhook is the oldest. A store that cannot be read has metrics of its
    // own.
    let oldest = |id: &String| {
        let first = outbox::messages(&app.ledger.store, id, 1).ok()?;
        Some(sample(id, first.first()?.since.0))
    };
    out.gauges(
        "webhook_oldest_seconds",
        "When the oldest waiting message of a webhook was queued, in seconds since 1970",
        ids().filter_map(oldest),
    );
}
