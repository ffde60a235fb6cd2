//! Commits the rename of a reason or source.

use std::sync::Arc;

use super::Writer;
use crate::{
    ledger::{
        accounts::Accounts,
        error::LedgerError,
        left_behind::{Usage, configured, last_configured},
        names::{NameOwner, check_free},
        receipt::Receipt,
        rename::{NameKind, Rename},
        settings::LedgerSettings,
    },
    model::{SourceId, text::counted},
    store::{Batch, Dictionary, Store, dictionary_rows, schema::AuditRecord},
};

/// Checks a rename against the configuration that is applied with it.
///
/// # Errors
///
/// The configuration still has the old name, or does not have the new one.
fn check_files(rename: &Rename, settings: &LedgerSettings, was_feed: bool) -> Result<(), String> {
    let Rename { kind, from, to } = rename;
    let (table, has): (_, &dyn Fn(&str) -> bool) = match kind {
        NameKind::Reason => ("[[reason]]", &|n| {
            settings.reasons.iter().any(|r| r.name == n)
        }),
        NameKind::Source => ("[[feed]]", &|n| settings.feeds.iter().any(|f| f == n)),
    };
    if has(from) {
        return Err(format!(
            "config.toml still has the {table} `{from}`; rename it there first (and in the zone files), then run this again"
        ));
    }
    if !has(to) && (*kind == NameKind::Reason || was_feed) {
        return Err(format!(
            "config.toml has no {table} `{to}`; add it there first, then run this again"
        ));
    }
    Ok(())
}

/// Refuses a rename to a name that is in use, and one of a built-in name.
fn check(store: &Store, v: &Dictionary, rename: &Rename) -> Result<(), LedgerError> {
    let Rename { kind, from, to } = rename;
    let invalid = |why: String| Err(LedgerError::Invalid(why));
    if from == to {
        return invalid(format!("`{from}` and `{to}` are the same name"));
    }
    let is_known = |name: &str| match kind {
        NameKind::Reason => v.reasons.get(name).is_some(),
        NameKind::Source => v.sources.get(name).is_some(),
    };
    if !is_known(from) {
        return Err(LedgerError::NotFound(format!(
            "there is no {} `{from}`",
            kind.as_str()
        )));
    }
    if let Some(fixed) = [from, to]
        .into_iter()
        .find(|n| *kind == NameKind::Source && SourceId::DECIDING.contains(&n.as_str()))
    {
        return invalid(format!(
            "the source `{fixed}` is built in and cannot be renamed"
        ));
    }
    if !is_known(to) {
        return Ok(());
    }
    let usage = Usage::read(store, v, &[])?;
    let (listings, held) = match kind {
        NameKind::Reason => v.reasons.get(to).map_or((0, false), |id| {
            (
                usage.of_reason(id).iter().sum(),
                usage.held_reasons & id.bit() != 0,
            )
        }),
        NameKind::Source => v.sources.get(to).map_or((0, false), |id| {
            (usage.of_source(id), usage.held_sources.contains(&id))
        }),
    };
    if listings > 0 || held {
        let option = kind.as_str();
        return Err(LedgerError::Conflict(format!(
            "the {option} `{to}` is in use ({}), and two names cannot be merged; choose another name, or run `orbsd purge --{option} {to}` first",
            counted(listings, "listing")
        )));
    }
    Ok(())
}

impl Writer {
    /// Records the names in the present configuration. With `replace`, names that have left it are
    /// forgotten, because the operator has accepted that.
    pub(super) fn note_configured(&self, replace: bool) -> Result<(), LedgerError> {
        let v = self.store.dictionary();
        let mut next = configured(&self.settings, &v);
        if !replace {
            next.merge(last_configured(&self.store, &v)?);
        }
        if self.store.configured()?.as_ref() == Some(&next) {
            return Ok(());
        }
        let mut batch = Batch::default();
        next.row(&mut batch);
        self.commit_batch(batch)
    }

    /// Renames, and applies the configuration that has the new name.
    pub(in crate::ledger) fn rename(
        &mut self,
        rename: &Rename,
        settings: LedgerSettings,
        audit: AuditRecord,
    ) -> Result<Receipt, LedgerError> {
        if let Some(why) = self.health.writes_refused() {
            return Err(LedgerError::Unavailable(why));
        }
        let mut v = Dictionary::clone(&self.store.dictionary());
        let mut named = last_configured(&self.store, &v)?;
        let was_feed = rename.kind == NameKind::Source && named.feeds.contains(&rename.from);
        check_files(rename, &settings, was_feed).map_err(LedgerError::Conflict)?;
        check(&self.store, &v, rename)?;
        if rename.kind == NameKind::Source {
            check_free(&rename.to, NameOwner::Source, &self.accounts.load(), &v)?;
        }
        rename.apply(&mut v).map_err(LedgerError::Invalid)?;
        let mut batch = Batch::default();
        self.log_rename(rename, &mut batch)?;
        dictionary_rows(&v, &mut batch);
        if was_feed {
            named.feeds.remove(&rename.from);
            named.feeds.insert(rename.to.clone());
        }
        named.row(&mut batch);
        let mut accounts = Accounts::clone(&self.accounts.load());
        accounts.rename(rename, &mut batch)?;
        let record = AuditRecord {
            idempotency: None,
            ..audit
        };
        self.commit_audited(batch, Some(record))?;
        self.store.set_dictionary(v);
        self.accounts.store(Arc::new(accounts));
        // The old configuration must not be applied again, even if the next step fails: it would
        // create the old name again.
        self.settings = settings.clone();
        let applied = self.apply_settings(settings, false);
        self.committed.send_replace(self.seq);
        applied
    }
}
