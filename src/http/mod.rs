//! The HTTP API: what an operator and his programs do to a list. One router for the socket, which
//! is the command line's door (also when no daemon runs), and for `[admin] listen`; a small one for
//! `[web] listen`, where only the public answer is served.

pub mod access;
mod backup;
mod bulk;
mod change;
mod claims;
mod clock;
mod commits;
mod document;
mod error;
mod export;
mod feeds;
mod gauges;
mod identity;
mod import;
mod input;
mod integrity;
mod jobs;
mod listen;
mod listings;
mod lookup;
mod names;
mod negotiation;
mod once;
mod parts;
mod people;
mod proposals;
mod proxy;
mod purge;
mod rename;
mod routes;
pub mod secrets;
mod shapes;
mod status;
mod subject;
mod webhooks;
mod zone_serial;

use std::sync::Arc;

use tokio::sync::watch;

pub use access::{Access, Peer};
pub use error::{KINDS, Problem};
pub use export::REPORT_TRAILER;
pub use feeds::{DecideFeed, no_feeds};
pub use gauges::{Disk, Surroundings};
pub use listen::{Door, SocketOwner, Tls, bind, bind_tcp, run_socket, run_tcp};
pub use proxy::TrustedProxies;
pub use rename::{Reload, ReloadRequest, Reloaded};
pub use routes::{public_router, router};

use crate::{ledger::Ledger, metrics::Metrics};

/// How many exports are under way at the same time.
pub const EXPORTS: usize = 16;

/// What another part of the daemon tells about itself.
pub type Report = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;
/// What became of the connections of each listener.
pub type ConnectionStats =
    Arc<dyn Fn() -> Vec<(&'static str, crate::net::LimiterStats)> + Send + Sync>;

/// Whether a text is what it should be; the error says why not.
pub type Check = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

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
    pub feeds: Report,
    /// Decides about held lists of feeds.
    pub decide_feed: DecideFeed,
    /// How the files of scheduled exports are.
    pub files: Report,
    /// What is known of the mirrors.
    pub mirrors: Report,
    /// What is known of the machine and the files around the store.
    pub surroundings: Arc<dyn Fn() -> Surroundings + Send + Sync>,
    /// What became of the connections of each listener.
    pub connections: ConnectionStats,
    /// What is counted about tokens and addresses.
    pub access: Arc<Access>,
    /// Turns of exports, of which each has a thread.
    pub exports: Arc<tokio::sync::Semaphore>,
    /// Whether a webhook's address can be one.
    pub check_url: Check,
    /// Relay tests.
    pub relay: crate::relay::RelayService,
    /// Finds out what is known of a host's names.
    pub known: crate::relay::HostNameResolver,
    /// Checks the configuration as `orbsd check` does, for whoever cannot read all of it.
    pub check_configuration: Report,
    /// The user that this process runs as; whoever connects to the socket as this user is an owner.
    pub uid: u32,
    /// When it started.
    pub started: crate::model::Time,
    /// Whether this is the daemon, and not a command that has opened the store itself.
    pub daemon: bool,
    /// True when it stops: streams end with a line that says so.
    pub stop: watch::Receiver<bool>,
}

/// Waits until the daemon stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|s| *s).await.is_err() {
        // Nobody will ever say so.
        std::future::pending::<()>().await;
    }
}
