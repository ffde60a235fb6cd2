//! Metrics for alerts about the certificate, webhooks, the tester and disks. docs/metrics.md has
//! the alert rules.

use super::{
    App,
    exposition::{family, label},
};
use crate::{ledger::outbox, model::Time};

/// The state of the machine and of the files around the store.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
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
pub(super) fn write(out: &mut String, app: &App) {
    let one = |value: f64| [(String::new(), value)];
    let flag = |set: bool| f64::from(u8::from(set));
    let version = label("version", env!("CARGO_PKG_VERSION"));
    family(
        out,
        "build_info",
        "gauge",
        "Always 1; the version is a label",
        [(format!("{{{version}}}"), 1.0)],
    );
    let around = (app.surroundings)();
    let end = around.certificate_end.map(|t| (String::new(), t.0 as f64));
    family(
        out,
        "tls_not_after_seconds",
        "gauge",
        "When the certificate of [tls] ends, in seconds since 1970",
        end,
    );
    webhooks(out, app);
    let enabled = app.relay.settings().enabled;
    family(
        out,
        "tester_enabled",
        "gauge",
        "1 if relay tests are enabled",
        one(flag(enabled)),
    );
    let ready = enabled && app.relay.problem().is_none();
    family(
        out,
        "tester_ready",
        "gauge",
        "1 while relay tests can be made, 0 while they are disabled or something prevents them",
        one(flag(ready)),
    );
    let store = around.store_bytes.map(|n| (String::new(), n as f64));
    family(
        out,
        "store_bytes",
        "gauge",
        "Bytes of the store's files",
        store,
    );
    let disks = |value: fn(&Disk) -> u64| {
        around
            .disks
            .iter()
            .map(move |d| (format!("{{{}}}", label("disk", d.name)), value(d) as f64))
            .collect::<Vec<_>>()
    };
    family(
        out,
        "disk_free_bytes",
        "gauge",
        "Free bytes of the file system of the store, and of the removal log",
        disks(|d| d.free),
    );
    family(
        out,
        "disk_size_bytes",
        "gauge",
        "Bytes of the file system of the store, and of the removal log",
        disks(|d| d.size),
    );
}

/// What waits for each webhook.
fn webhooks(out: &mut String, app: &App) {
    let (accounts, backlog) = (app.ledger.accounts(), app.ledger.health.webhook_backlog());
    let labels = |id: &str| format!("{{{}}}", label("webhook", id));
    let waiting = accounts
        .webhooks
        .keys()
        .map(|id| (labels(id), backlog.get(id).copied().unwrap_or(0) as f64));
    family(
        out,
        "webhook_waiting",
        "gauge",
        "Messages that a webhook has not accepted, including dead letters",
        waiting,
    );
    // The first message of a webhook is the oldest. A store that cannot be read has metrics of its
    // own.
    let oldest = |id: &String| {
        Some((
            labels(id),
            outbox::messages(&app.ledger.store, id, 1)
                .ok()?
                .first()?
                .since
                .0 as f64,
        ))
    };
    let oldest: Vec<_> = accounts.webhooks.keys().filter_map(oldest).collect();
    family(
        out,
        "webhook_oldest_seconds",
        "gauge",
        "When the oldest waiting message of a webhook was queued, in seconds since 1970",
        oldest,
    );
}
