//! The handle of all feeds: configures them, wakes them, and reports their state.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use parking_lot::Mutex;

use super::{FeedSettings, FeedSource, MAX_FEEDS, feed::Feed, file_check::FileCheck, run};
use crate::{
    api::{FeedDecisionResponse, FeedResponse},
    imports::ImportFailure,
    index::records::wire_name,
    ledger::Ledger,
    store::schema::AuditRecord,
};

/// The running feeds. Clones share them.
#[derive(Clone)]
pub struct Feeds {
    ledger: Ledger,
    running: Arc<Mutex<Vec<Arc<Feed>>>>,
    /// One lock for each source: a feed with new settings waits until the thread with the old
    /// settings has released it.
    source_locks: Arc<Mutex<HashMap<String, Arc<Mutex<()>>>>>,
    /// The function that the thread of a feed calls first.
    on_thread_start: fn(),
}

impl Feeds {
    /// Creates the handle, without feeds. `on_thread_start` runs first on the thread of each feed,
    /// for example to lower its priority.
    pub fn new(ledger: Ledger, on_thread_start: fn()) -> Feeds {
        Feeds {
            ledger,
            running: Arc::default(),
            source_locks: Arc::default(),
            on_thread_start,
        }
    }

    /// Applies a configuration: changed feeds are restarted, and unchanged ones refresh, because
    /// reasons may have changed.
    pub fn configure(&self, settings: &[FeedSettings]) {
        let mut running = self.running.lock();
        running.retain(|f| {
            let stays = settings.contains(&f.settings);
            f.stop.store(!stays, Relaxed);
            f.wake();
            stays
        });
        for s in settings.iter().take(MAX_FEEDS) {
            if running.iter().any(|f| f.settings == *s) {
                continue;
            }
            let feed = Arc::new(Feed::new(s.clone()));
            let source_lock = self
                .source_locks
                .lock()
                .entry(s.name.clone())
                .or_default()
                .clone();
            let (started, ledger) = (feed.clone(), self.ledger.clone());
            let on_thread_start = self.on_thread_start;
            let thread = std::thread::Builder::new()
                .name("feed".into())
                .spawn(move || {
                    on_thread_start();
                    let _alone = source_lock.lock();
                    run::run(&ledger, &started);
                });
            match thread {
                Ok(_) => running.push(feed),
                Err(e) => {
                    tracing::error!(feed = s.name, error = %e, "the feed's thread could not be started");
                }
            }
        }
    }

    /// The settings of the running feeds.
    pub fn settings(&self) -> Vec<FeedSettings> {
        self.running
            .lock()
            .iter()
            .map(|f| f.settings.clone())
            .collect()
    }

    /// Handles a NOTIFY (RFC 1996) for a zone in wire form, from an address, with the name of the
    /// TSIG key if it is signed. Returns true if a feed follows that zone and the NOTIFY comes from
    /// its server: the reply is then NOERROR, and the feed refreshes at once.
    pub fn notified(&self, zone: &[u8], from: IpAddr, key: Option<&str>) -> bool {
        let mut any = false;
        for f in self.running.lock().iter() {
            let FeedSource::Zone { server, .. } = &f.settings.kind else {
                continue;
            };
            let bare = server.zone.strip_prefix("_rows.").unwrap_or(&server.zone);
            let is_followed = |z: &&str| wire_name(z).is_ok_and(|z| z == zone);
            if [bare, &server.zone].iter().any(is_followed)
                && (server.has_key(key) || f.addresses.lock().contains(&from.to_canonical()))
            {
                f.wake();
                any = true;
            }
        }
        any
    }

    /// Accepts or refuses the held list of a feed, and writes the audit record. Blocks.
    ///
    /// # Errors
    ///
    /// There is no such feed, no list of it is held, or its file has changed since.
    pub fn decide(
        &self,
        name: &str,
        accept: bool,
        audit: AuditRecord,
    ) -> Result<FeedDecisionResponse, ImportFailure> {
        let running = self.running.lock().clone();
        let Some(feed) = running.iter().find(|f| f.settings.name == name) else {
            let known: Vec<&str> = running.iter().map(|f| f.settings.name.as_str()).collect();
            let known = if known.is_empty() {
                "none".into()
            } else {
                known.join(", ")
            };
            return Err(ImportFailure::NotFound(format!(
                "there is no feed `{name}`; configured feeds: {known}"
            )));
        };
        let Some(file_check) = FileCheck::new(&self.ledger, feed) else {
            return Err(ImportFailure::Busy(format!(
                "the feed `{name}` follows a zone; only lists of files are held"
            )));
        };
        if accept {
            file_check.accept(audit)
        } else {
            file_check.refuse(audit)
        }
    }

    /// The state of each feed.
    pub fn states(&self) -> Vec<FeedResponse> {
        self.running
            .lock()
            .iter()
            .map(|f| f.state.lock().clone())
            .collect()
    }

    /// Stops all feeds without waiting for them.
    pub fn stop(&self) {
        self.configure(&[]);
    }
}
