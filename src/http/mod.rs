//! The HTTP API: what operators and their programs do to a list. One router for the socket, which
//! the command line uses (also when no daemon runs), and for `[admin] listen`; what `[web] listen` serves to
//! programs is a part of the site's router.

pub mod access;
mod accounts;
mod advice;
mod backup;
mod bulk;
mod caller;
mod changes;
mod claims;
mod clock;
mod commits;
pub mod comparisons;
mod conditions;
mod convert;
mod document;
mod error;
mod export;
mod exposition;
mod feeds;
mod generic_names;
mod guard;
mod handler;
mod idempotency;
mod identity;
mod import;
mod import_body;
mod input;
mod integrity;
mod jobs;
mod listen;
mod listings;
mod logins;
mod lookup;
mod metrics;
mod names;
mod negotiation;
pub mod netblocks;
pub mod notices;
mod operator_tickets;
mod policy;
pub mod privacy;
mod proposals;
pub mod providers;
mod proxy;
pub mod public_lists;
pub mod public_pages;
mod purge;
mod quality;
mod reload;
mod reports;
mod routes;
pub mod secrets;
pub mod self_tests;
mod status;
mod subject;
mod text_pages;
pub mod tickets;
pub mod tickets_control;
mod webhooks;
mod zone_serial;

use std::sync::Arc;
use tokio::sync::watch;

pub use access::Access;
pub use advice::{advice_of, advice_questions, find_advice, find_guide, find_product};
pub use caller::{ClientAddress, PeerAddress};
pub use claims::get_proof;
pub use export::{MAX_EXPORTS, REPORT_TRAILER};
pub use feeds::{DecideFeed, no_feeds};
pub use input::{Part as PathPart, bytes as read_body, is_mail_address, json as parse_json};
pub use jobs::{public_relay_tests, relay_tests, relay_tests_of, survey};
pub use listen::{ListenerConfig, SocketOwner, Tls, bind, bind_tcp, run_socket, run_tcp};
pub use lookup::{LookupInput, lookup, only_subject, public_lookup, query_input};
pub use metrics::{Disk, MachineState};
pub use notices::public as public_notices;
pub use privacy::public as stored_data;
pub use proxy::TrustedProxies;
pub use public_lists::count_figures;
pub use reload::{Reload, ReloadRequest, ReloadResult};
pub use reports::{Check, ConnectionStats, Report};
pub use routes::{public_routes, router};
pub use text_pages::{open_relay, opt_out, opt_out_with};

use crate::{
    api::{ConfigurationCheckResponse, ExportStatusResponse, FeedResponse, MirrorResponse},
    ledger::Ledger,
    metrics::Metrics,
};

/// The state that handlers share.
#[derive(Clone)]
pub struct App {
    /// The listings, and everything else that is stored.
    pub ledger: Ledger,
    /// Counters of DNS queries.
    pub metrics: Arc<Metrics>,
    /// Reads the configuration again; the error is for the client.
    pub reload: Reload,
    /// The state of the feeds.
    pub feeds: Report<Vec<FeedResponse>>,
    /// Decides about held lists of feeds.
    pub decide_feed: DecideFeed,
    /// Comparisons with other lists.
    pub comparisons: crate::comparison::Comparisons,
    /// The state of the exported files.
    pub files: Report<Vec<ExportStatusResponse>>,
    /// The state of the mirrors.
    pub mirrors: Report<Vec<MirrorResponse>>,
    /// The state of the machine and of the files around the store.
    pub machine_state: Report<MachineState>,
    /// The connections of each listener.
    pub connections: ConnectionStats,
    /// Counts the requests of tokens and addresses.
    pub access: Arc<Access>,
    /// The slots of exports, each of which uses a thread.
    pub exports: Arc<tokio::sync::Semaphore>,
    /// Checks the address of a webhook.
    pub check_url: Check,
    /// Relay tests.
    pub relay: crate::relay::RelayService,
    /// The job that erases old data.
    pub retention: crate::privacy::RetentionJob,
    /// Tickets: requests that subjects are delisted.
    pub tickets: crate::tickets::TicketService,
    /// Netblocks: networks that two persons list.
    pub netblocks: crate::netblocks::NetblockService,
    /// Dynamic ranges: what providers prove and edit.
    pub dynamic_ranges: crate::dynamic_ranges::DynamicRangeService,
    /// The cache of reverse names, for pages.
    pub reverse_names: crate::reverse_names::ReverseNames,
    /// Listings by generic reverse names.
    pub generic_names: crate::reverse_names::generic::GenericNameService,
    /// The host of the public pages, in lower case.
    pub public_host: String,
    /// The contact on the public pages; empty if there is none.
    pub public_contact: String,
    /// The figures of the lists for the last days.
    pub statistics: crate::statistics::Statistics,
    /// The figures of the public pages.
    pub figures: public_lists::Figures,
    /// The daily figures of zones and sources.
    pub quality: crate::quality::QualityArchive,
    /// Looks up the names of a host.
    pub host_names: crate::relay::HostNameResolver,
    /// Checks the configuration as `orbsd check` does, for users who cannot read all of it.
    pub check_configuration: Report<ConfigurationCheckResponse>,
    /// The user that this process runs as, who is an owner at the socket.
    pub uid: u32,
    /// When the process started.
    pub started: crate::model::Time,
    /// Whether this is the daemon, and not a command that has opened the store itself.
    pub daemon: bool,
    /// True when the process stops: streams end with a line that says so.
    pub stop: watch::Receiver<bool>,
}
