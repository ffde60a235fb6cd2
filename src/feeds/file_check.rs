//! The check of a feed's file, which imports, holds or refuses it; and decisions about held lists.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    FeedSource, FileList,
    feed::{Feed, LastCheck},
    file,
    held::{self, Step},
};
use crate::{
    api::{FeedDecision, FeedDecisionResponse, HeldListResponse},
    imports::{self, ImportFailure, ImportRequest},
    ledger::{
        AccountChange, Ledger,
        held::{FeedEvent, FileMark, HeldList},
    },
    store::{schema::AuditRecord, stage::ImportDifference},
};

/// The event of a list that is held.
const HELD: &str = "feed-held";
/// The event of a list that is refused.
const REFUSED: &str = "feed-refused";

/// A check of a file.
pub(super) struct FileCheck<'a> {
    pub ledger: &'a Ledger,
    pub feed: &'a Feed,
    pub path: &'a Path,
    pub format: &'a str,
    pub list: &'a FileList,
}

impl<'a> FileCheck<'a> {
    /// The check of a feed's file; `None` for a feed of another kind.
    pub fn new(ledger: &'a Ledger, feed: &'a Feed) -> Option<FileCheck<'a>> {
        match &feed.settings.kind {
            FeedSource::File { path, format, list } => Some(FileCheck {
                ledger,
                feed,
                path,
                format,
                list,
            }),
            FeedSource::Zone { .. } => None,
        }
    }

    /// Imports the file if the file or the settings by which it is read have changed.
    ///
    /// # Errors
    ///
    /// The reason why the feed was not refreshed; the status shows it.
    pub fn run(&self) -> Result<Option<ImportDifference>, String> {
        // One check or decision at a time.
        let mut last_check = self.feed.last_check.lock();
        let result = self.check(&mut last_check);
        self.update_held_state();
        result
    }

    fn check(&self, last_check: &mut LastCheck) -> Result<Option<ImportDifference>, String> {
        let mark = file::mark(self.path)?;
        let this_check = Some((mark, self.read_settings()?));
        let last = self.held();
        if *last_check == this_check {
            let wait = self.list.shrink_wait;
            return match last.filter(|h| held::is_due(h, wait, self.ledger.now())) {
                Some(_) => self.accept_automatically(mark).map(Some),
                None => Ok(None),
            };
        }
        match file::import(self.ledger, self.path, &self.list_import(), mark) {
            Ok(done) => {
                if last.is_some() {
                    self.delete_held(None)?;
                }
                *last_check = this_check;
                Ok(Some(done.result.difference))
            }
            Err(ImportFailure::Guard(trip)) => {
                let step = held::next(
                    last.as_ref(),
                    &self.feed.settings.name,
                    mark,
                    *trip,
                    self.list.shrink_wait,
                    self.ledger.now(),
                );
                let changed = match step {
                    Step::Accept => self.accept_automatically(mark).map(Some)?,
                    Step::Hold(held) => self.hold(held).map(|()| None)?,
                    Step::HoldOn(held) => self
                        .change_accounts(AccountChange::HeldList(Box::new(held)), None)
                        .map(|()| None)?,
                };
                *last_check = this_check;
                Ok(changed)
            }
            Err(e) => {
                let why = e.text(self.ledger);
                if matches!(e, ImportFailure::List(_))
                    && self.feed.state.lock().problem.as_ref() != Some(&why)
                {
                    self.announce(REFUSED, json!({"problem": why}), None)?;
                }
                Err(why)
            }
        }
    }

    /// The settings by which the file is read, as a text that is compared with that of the last
    /// check.
    fn read_settings(&self) -> Result<String, String> {
        let options =
            imports::options(self.ledger, &self.list_import()).map_err(|e| e.text(self.ledger))?;
        Ok(format!("{:?} {:?}", options.reasoning, options.allowed))
    }

    fn list_import(&self) -> ImportRequest {
        let settings = &self.feed.settings;
        ImportRequest {
            source: settings.name.clone(),
            format: self.format.into(),
            reasons: settings.reasons.clone(),
            max_age: settings.max_age,
            list: self.list.settings.clone(),
            ..ImportRequest::default()
        }
    }

    fn held(&self) -> Option<HeldList> {
        self.ledger
            .accounts()
            .held
            .get(&self.feed.settings.name)
            .cloned()
    }

    /// Copies the held list into the state of the feed.
    pub fn update_held_state(&self) {
        self.feed.state.lock().held = self
            .held()
            .map(|h| HeldListResponse::new(&h, self.list.shrink_wait));
    }

    fn change_accounts(
        &self,
        change: AccountChange,
        audit: Option<AuditRecord>,
    ) -> Result<(), String> {
        self.ledger
            .change_accounts_blocking(change, audit)
            .map_err(|e| e.text(&self.ledger.store.dictionary()))
    }

    fn delete_held(&self, audit: Option<AuditRecord>) -> Result<(), String> {
        self.change_accounts(
            AccountChange::DeleteHeldList(self.feed.settings.name.clone()),
            audit,
        )
    }

    fn announce(
        &self,
        event: &'static str,
        fields: Value,
        held: Option<HeldList>,
    ) -> Result<(), String> {
        let name = self.feed.settings.name.clone();
        let mut all = Map::from_iter([("feed".into(), Value::from(name))]);
        if let Value::Object(fields) = fields {
            all.extend(fields);
        }
        self.ledger
            .announce_feed(FeedEvent {
                event,
                fields: all,
                held,
            })
            .map_err(|e| e.text(&self.ledger.store.dictionary()))
    }

    fn hold(&self, held: HeldList) -> Result<(), String> {
        let d = &held.trip.difference;
        tracing::warn!(
            feed = held.feed,
            added = d.added,
            removed = d.removed,
            "feed held: {}; `orbsd feed show {}` shows the list",
            held.trip.reason,
            held.feed
        );
        let fields = serde_json::to_value(HeldListResponse::new(&held, self.list.shrink_wait))
            .unwrap_or_default();
        self.announce(HELD, fields, Some(held))
    }

    /// Imports the file without the shrink and growth guards.
    fn import_unguarded(
        &self,
        mark: FileMark,
        audit: AuditRecord,
    ) -> Result<imports::ImportOutcome, ImportFailure> {
        let mut request = ImportRequest {
            audit: Some(audit),
            ..self.list_import()
        };
        request.list.limits.allow_shrink = true;
        request.list.limits.allow_growth = true;
        let done = file::import(self.ledger, self.path, &request, mark)?;
        self.delete_held(None).map_err(ImportFailure::Busy)?;
        Ok(done)
    }

    fn accept_automatically(&self, mark: FileMark) -> Result<ImportDifference, String> {
        let name = &self.feed.settings.name;
        tracing::warn!(
            feed = name,
            "held list accepted: the feed has had similar lists for {}",
            self.list.shrink_wait
        );
        let audit = AuditRecord {
            at: self.ledger.now(),
            author: name.clone(),
            from: "feed".into(),
            action: "feed.accept".into(),
            target: name.clone(),
            note: Some("the feed has had similar lists for shrink_wait".into()),
            ..AuditRecord::default()
        };
        self.import_unguarded(mark, audit)
            .map(|d| d.result.difference)
            .map_err(|e| e.text(self.ledger))
    }

    /// Accepts the held list on behalf of an operator.
    ///
    /// # Errors
    ///
    /// No list is held, the file has changed, or the list cannot be read.
    pub fn accept(&self, audit: AuditRecord) -> Result<FeedDecisionResponse, ImportFailure> {
        let mut last_check = self.feed.last_check.lock();
        let name = &self.feed.settings.name;
        let held = self
            .held()
            .ok_or_else(|| ImportFailure::Busy(format!("no list of the feed `{name}` is held")))?;
        let mark = file::mark(self.path).map_err(ImportFailure::Busy)?;
        if mark != held.mark {
            let result = self.check(&mut last_check).map_err(ImportFailure::Busy);
            self.update_held_state();
            let next_step = match result? {
                Some(_) => "the new list is within the limits and was imported",
                None => "run `orbsd feed show` again",
            };
            return Err(ImportFailure::Busy(format!(
                "the file of the feed `{name}` has changed since its list was held; {next_step}"
            )));
        }
        let done = self.import_unguarded(mark, audit)?;
        *last_check = Some((mark, self.read_settings().map_err(ImportFailure::Busy)?));
        self.update_held_state();
        Ok(FeedDecisionResponse {
            feed: name.clone(),
            decision: FeedDecision::Accepted,
            receipt: done.result.receipt.map(Into::into),
            difference: Some(done.result.difference.into()),
        })
    }

    /// Refuses the held list on behalf of an operator: the old one stays until the file changes.
    ///
    /// # Errors
    ///
    /// No list is held, or it was refused before.
    pub fn refuse(&self, audit: AuditRecord) -> Result<FeedDecisionResponse, ImportFailure> {
        let _last_check = self.feed.last_check.lock();
        let name = &self.feed.settings.name;
        let held = self.held().filter(|h| !h.refused).ok_or_else(|| {
            ImportFailure::Busy(format!(
                "no list of the feed `{name}` is held, or it was refused before"
            ))
        })?;
        let refused = HeldList {
            refused: true,
            ..held
        };
        self.ledger
            .change_accounts_blocking(AccountChange::HeldList(Box::new(refused)), Some(audit))
            .map_err(ImportFailure::Ledger)?;
        self.update_held_state();
        Ok(FeedDecisionResponse {
            feed: name.clone(),
            decision: FeedDecision::Refused,
            receipt: None,
            difference: None,
        })
    }
}
