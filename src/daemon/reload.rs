//! Reload: reads the configuration again and applies all of it, or nothing.

use std::{path::PathBuf, sync::Arc};

use crate::{
    comparison::Comparisons,
    config::Config,
    dynamic_ranges::DynamicRangeService,
    exports::Exports,
    feeds::Feeds,
    http::{ReloadRequest, ReloadResult},
    ledger::{Ledger, LedgerError, Receipt, Rename},
    netblocks::NetblockService,
    relay::RelayService,
    reverse_names::generic::GenericNameService,
    server::{Certificates, PreparedCertificates},
    store::schema::AuditRecord,
    tickets::TicketService,
};

/// What a reload reads and changes.
pub(super) struct Reloader {
    pub path: PathBuf,
    /// The configuration that the daemon was started with.
    pub running: Config,
    pub ledger: Ledger,
    pub exports: Exports,
    pub feeds: Feeds,
    pub comparisons: Comparisons,
    pub relay: RelayService,
    pub tickets: TicketService,
    pub generic_names: GenericNameService,
    pub netblocks: NetblockService,
    pub dynamic_ranges: DynamicRangeService,
    pub certificates: Option<Arc<Certificates>>,
}

impl Reloader {
    /// Reloads. Everything that can be refused comes before the first change: the files, the
    /// certificates, the names with listings, and then the ledger, which changes all or nothing.
    /// The rest cannot fail.
    ///
    /// # Errors
    ///
    /// Why nothing was changed.
    pub(super) fn run(&self, request: ReloadRequest) -> Result<ReloadResult, String> {
        let config = Config::load(&self.path).map_err(|e| e.to_string())?;
        let certificates = self.prepare_certificates(&config)?;
        let mut left_behind = Vec::new();
        if request.rename.is_none() {
            left_behind = self
                .ledger
                .left_behind(&config.ledger)
                .map_err(|e| self.text(&e))?;
            if request.dry_run {
                return Ok(ReloadResult {
                    left_behind,
                    ..ReloadResult::default()
                });
            }
            if !left_behind.is_empty() && !request.force {
                let all: Vec<String> = left_behind.iter().map(ToString::to_string).collect();
                return Err(format!(
                    "{}\nnothing was changed; `orbsd reload --force` accepts it",
                    all.join("\n")
                ));
            }
        }
        let mut warnings = config.warnings.clone();
        let changed = config.needs_restart(&self.running).into_iter();
        warnings.extend(
            changed.map(|key| format!("{key} has changed; restart the daemon to apply it")),
        );
        let receipt = self.apply_to_ledger(&config, request.rename)?;
        if let (Some(running), Some(prepared)) = (&self.certificates, certificates) {
            running.apply(prepared);
        }
        self.feeds.configure(&config.feeds);
        self.exports.set(config.exports);
        self.comparisons.configure(config.comparisons);
        // The tokens of messages that are on their way stay valid.
        let relay = self.relay.settings().reloaded(config.probe.relay);
        self.relay.configure(relay);
        self.tickets.configure(config.tickets);
        self.generic_names.configure(config.generic_names);
        self.netblocks.configure(config.known_senders);
        self.dynamic_ranges.configure(config.dynamic_ranges);
        self.netblocks.query_sample.configure(config.query_sample);
        if !request.force {
            match self.ledger.left_behind_now() {
                Ok(names) => left_behind.extend(names),
                Err(e) => warnings.push(self.text(&e)),
            }
        }
        warnings.iter().for_each(|w| tracing::warn!("{w}"));
        tracing::info!(moved = ?receipt.serials, "configuration reloaded");
        Ok(ReloadResult {
            warnings,
            left_behind,
        })
    }

    /// Reads the certificate files. If no listener of the running daemon is encrypted, they only
    /// have to be valid for the next start.
    fn prepare_certificates(
        &self,
        config: &Config,
    ) -> Result<Option<PreparedCertificates>, String> {
        match &self.certificates {
            Some(running) if config.tls.is_used() => running
                .prepare(&config.tls.files)
                .map_err(|e| format!("[tls]: {e}; nothing was changed")),
            Some(_) => Ok(None),
            None => config.tls.open().map(|_| None),
        }
    }

    /// Gives the ledger its settings, with a rename in the same commit if there is one.
    fn apply_to_ledger(
        &self,
        config: &Config,
        rename: Option<(Rename, AuditRecord)>,
    ) -> Result<Receipt, String> {
        let settings = config.ledger.clone();
        let Some((rename, audit_record)) = rename else {
            let done = self.ledger.configure(settings);
            return done.map_err(|e| self.text(&e));
        };
        // The feed of the old name ends before, and that of the new name starts after the rename:
        // neither creates a source.
        let before = self.feeds.settings();
        let others: Vec<_> = before
            .iter()
            .filter(|f| f.name != rename.from)
            .cloned()
            .collect();
        self.feeds.configure(&others);
        let done = self.ledger.rename(rename, settings, audit_record);
        done.map_err(|e| {
            self.feeds.configure(&before);
            self.text(&e)
        })
    }

    fn text(&self, e: &LedgerError) -> String {
        e.text(&self.ledger.store.dictionary())
    }
}
