//! Metrics for alerts about the certificate, webhooks, the tester and disks. docs/metrics.md has
//! the alert rules.

use super::{
    App,
    exposition::{Exposition, labels},
};
use crate::{ledger::outbox, model::Time};

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

/// Writes the metrics. It reads files, and waits for the decisions of relay tests that are under
/// way.
pub fn write(out: &mut Exposition, app: &App) {
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
