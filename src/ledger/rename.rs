//! Names that leave the configuration while they have listings, and the renaming of reasons and
//! sources.
//!
//! Rows name reasons and sources by numbers, so that a rename changes the vocabulary alone. What
//! names them by text is rewritten in the same batch: the bounds of tokens, lists that a guard
//! holds, and the names of the last configuration. The removal log gets a line, so that a store
//! that is restored from an older copy renames at the same place.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Book, Job, Ledger, Refused, Settings, writer::Writer};
use crate::{
    model::{Mask, SourceId, ZoneKind},
    store::{
        Batch, Store, StoreError, Vocabulary,
        configured::{Configured, ConfiguredZone},
        schema, vocabulary_rows,
    },
};

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// A reason.
    Reason,
    /// A source.
    Source,
}

impl NameKind {
    /// The kind as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            NameKind::Reason => "reason",
            NameKind::Source => "source",
        }
    }
}

/// A rename of a reason or source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// What is renamed.
    pub kind: NameKind,
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
}

impl Rename {
    /// Renames in a vocabulary. Where the new name exists the two change their numbers: it has to
    /// be unused.
    ///
    /// # Errors
    ///
    /// There is no such name, or the new one cannot be a name.
    pub(super) fn apply(&self, v: &mut Vocabulary) -> Result<(), String> {
        match self.kind {
            NameKind::Reason => v.reasons.rename(&self.from, &self.to),
            NameKind::Source => {
                v.sources.rename(&self.from, &self.to)?;
                for (record, name) in v.records.iter_mut().zip(v.sources.0.all()) {
                    record.name.clone_from(name);
                }
                Ok(())
            }
        }
    }

    /// The name that a decision before this rename has after it.
    pub(super) fn forward(&self, kind: NameKind, name: &mut String) {
        if self.kind == kind && *name == self.from {
            name.clone_from(&self.to);
        }
    }

    /// Checks a rename against the configuration that is to be in force after it.
    ///
    /// # Errors
    ///
    /// The files still have the old name, or do not have the new one.
    fn check_files(&self, settings: &Settings, was_feed: bool) -> Result<(), String> {
        let Rename { kind, from, to } = self;
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
}

/// A name that has left the configuration and still has listings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// `reason`, `feed`, `zone`, or `publish` for a reason that a zone no longer publishes.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// Of `publish` the zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How many subjects are listed by it.
    pub listings: u64,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeftBehind {
            kind,
            name,
            zone,
            listings,
        } = self;
        let listings = format!(
            "{listings} {}",
            if *listings == 1 {
                "listing"
            } else {
                "listings"
            }
        );
        match (*kind, zone) {
            ("reason", _) => write!(
                f,
                "reason `{name}` has {listings} and is not configured any more, so that no zone publishes them; \
                 `orbsd reason rename {name} NEW` keeps them under a new name, `orbsd purge --reason {name}` removes them"
            ),
            ("feed", _) => write!(
                f,
                "source `{name}` has {listings} and is no [[feed]] any more, so that nothing refreshes them; \
                 `orbsd source rename {name} NEW` keeps them under a new name, `orbsd purge --source {name}` removes them"
            ),
            (_, Some(zone)) => write!(
                f,
                "zone {zone} does not publish reason `{name}` any more, which has {listings} there"
            ),
            (_, None) => write!(
                f,
                "zone {name} publishes {listings} and is not configured any more"
            ),
        }
    }
}

/// The names of a configuration, by the numbers of a store.
fn configured(settings: &Settings, v: &Vocabulary) -> Configured {
    let zone = |z: &crate::model::Zone| {
        let reasons = z
            .publish
            .iter()
            .filter_map(|p| v.reasons.get(&p.reason))
            .collect();
        (
            z.origin.trim_end_matches('.').to_ascii_lowercase(),
            ConfiguredZone {
                names: z.kind != ZoneKind::Address,
                reasons,
            },
        )
    };
    Configured {
        reasons: settings
            .reasons
            .iter()
            .filter_map(|r| v.reasons.get(&r.name))
            .collect(),
        feeds: settings.feeds.iter().cloned().collect(),
        zones: settings.zones.iter().map(zone).collect(),
    }
}

/// What was configured in a store.
fn last_configured(store: &Store, v: &Vocabulary) -> Result<Configured, StoreError> {
    let all = || {
        (0..v.reasons.0.all().len())
            .filter_map(|i| v.reasons.get(&v.reasons.0.all()[i]))
            .collect()
    };
    // An older version kept no names: every reason that it knows was configured one day.
    Ok(store.configured()?.unwrap_or_else(|| Configured {
        reasons: all(),
        ..Configured::default()
    }))
}

/// How many subjects each name of a store lists.
#[derive(Default)]
struct Usage {
    /// By reason: addresses and names.
    reasons: Vec<[u64; 2]>,
    sources: Vec<u64>,
    /// Of the zones that were asked for.
    zones: Vec<u64>,
    held_reasons: Mask,
    held_sources: Vec<SourceId>,
}

impl Usage {
    /// Reads every verdict.
    fn read(store: &Store, v: &Vocabulary, zones: &[(bool, Mask)]) -> Result<Usage, StoreError> {
        let mut u = Usage {
            reasons: vec![[0; 2]; v.reasons.0.all().len()],
            sources: vec![0; v.records.len()],
            zones: vec![0; zones.len()],
            ..Usage::default()
        };
        store.scan(v, &mut |subject, verdict| {
            let names = !subject.is_address();
            let (mut mask, mut seen) = (0, Vec::new());
            for e in verdict.entries.iter().filter(|e| !e.hole) {
                mask |= e.reason.bit();
                if !seen.contains(&e.source) {
                    seen.push(e.source);
                    u.sources
                        .get_mut(usize::from(e.source.0))
                        .into_iter()
                        .for_each(|n| *n += 1);
                }
            }
            let listed = u
                .reasons
                .iter_mut()
                .enumerate()
                .filter(|(i, _)| mask >> i & 1 == 1);
            listed.for_each(|(_, n)| n[usize::from(names)] += 1);
            for (n, (of_names, reasons)) in u.zones.iter_mut().zip(zones) {
                *n += u64::from(*of_names == names && mask & reasons != 0);
            }
            for h in &verdict.holds {
                u.held_reasons |= h.reason.bit();
                if !u.held_sources.contains(&h.source) {
                    u.held_sources.push(h.source);
                }
            }
            Ok(())
        })?;
        Ok(u)
    }
}

/// The names that were configured, are not in `settings`, and have listings. Every verdict is read
/// where a name is gone.
pub(super) fn left_behind(
    store: &Store,
    settings: &Settings,
) -> Result<Vec<LeftBehind>, StoreError> {
    let v = store.vocabulary();
    let (was, now) = (last_configured(store, &v)?, configured(settings, &v));
    let reasons: Vec<_> = was.reasons.difference(&now.reasons).copied().collect();
    let feeds: Vec<_> = was.feeds.difference(&now.feeds).cloned().collect();
    let (mut zones, mut masks, mut publish) = (Vec::new(), Vec::new(), Vec::new());
    for (origin, zone) in &was.zones {
        match now.zones.get(origin).filter(|n| n.names == zone.names) {
            None => {
                zones.push(origin);
                masks.push((zone.names, zone.reasons.iter().fold(0, |m, r| m | r.bit())));
            }
            Some(n) => {
                let gone = zone
                    .reasons
                    .difference(&n.reasons)
                    .filter(|r| !reasons.contains(r));
                publish.extend(gone.map(|r| (origin, zone.names, *r)));
            }
        }
    }
    if reasons.is_empty() && feeds.is_empty() && zones.is_empty() && publish.is_empty() {
        return Ok(Vec::new());
    }
    let usage = Usage::read(store, &v, &masks)?;
    let mut out = Vec::new();
    let mut add = |kind, name: &str, zone: Option<&String>, listings| {
        if listings > 0 {
            out.push(LeftBehind {
                kind,
                name: name.into(),
                zone: zone.cloned(),
                listings,
            });
        }
    };
    let count = |r: crate::model::ReasonId| {
        usage
            .reasons
            .get(usize::from(r.0))
            .copied()
            .unwrap_or_default()
    };
    reasons
        .iter()
        .for_each(|r| add("reason", v.reasons.name(*r), None, count(*r).iter().sum()));
    for f in &feeds {
        let source = v.sources.get(f).map(|s| usize::from(s.0));
        add(
            "feed",
            f,
            None,
            source
                .and_then(|s| usage.sources.get(s))
                .copied()
                .unwrap_or(0),
        );
    }
    zones
        .iter()
        .zip(&usage.zones)
        .for_each(|(origin, n)| add("zone", origin, None, *n));
    publish.iter().for_each(|(zone, names, r)| {
        add(
            "publish",
            v.reasons.name(*r),
            Some(zone),
            count(*r)[usize::from(*names)],
        );
    });
    Ok(out)
}

/// The same of a store that no daemon has open, which is read and not changed. None where there is
/// no store yet.
///
/// # Errors
///
/// The store cannot be read.
pub fn left_behind_while_stopped(
    store: crate::store::Settings,
    settings: &Settings,
) -> Result<Vec<LeftBehind>, StoreError> {
    Store::open_read_only(store)?
        .map_or_else(|| Ok(Vec::new()), |store| left_behind(&store, settings))
}

/// Refuses a rename that would mix two names or leave a fixed one.
fn check(store: &Store, v: &Vocabulary, rename: &Rename) -> Result<(), Refused> {
    let Rename { kind, from, to } = rename;
    let no = |why: String| Err(Refused::Settings(why));
    if from == to {
        return no(format!("`{from}` and `{to}` are the same name"));
    }
    let known = match kind {
        NameKind::Reason => v.reasons.get(from).is_some(),
        NameKind::Source => v.sources.get(from).is_some(),
    };
    if !known {
        return Err(Refused::Unknown(format!(
            "no {} `{from}` has ever been used",
            kind.as_str()
        )));
    }
    if let Some(fixed) = [from, to]
        .into_iter()
        .find(|n| *kind == NameKind::Source && SourceId::DECIDING.contains(&n.as_str()))
    {
        return no(format!(
            "the source `{fixed}` is built in and keeps its name"
        ));
    }
    let used = |listings: u64| {
        let option = kind.as_str();
        no(format!(
            "the {option} `{to}` is in use itself ({listings} listings), and two cannot become one; choose another name, or `orbsd purge --{option} {to}` first"
        ))
    };
    match kind {
        NameKind::Reason => {
            let Some(id) = v.reasons.get(to) else {
                return Ok(());
            };
            let usage = Usage::read(store, v, &[])?;
            let listings = usage
                .reasons
                .get(usize::from(id.0))
                .map_or(0, |n| n.iter().sum());
            if listings > 0 || usage.held_reasons & id.bit() != 0 {
                used(listings)
            } else {
                Ok(())
            }
        }
        NameKind::Source => {
            let Some(id) = v.sources.get(to) else {
                return Ok(());
            };
            let usage = Usage::read(store, v, &[])?;
            let listings = usage.sources.get(usize::from(id.0)).copied().unwrap_or(0);
            let held = usage.held_sources.contains(&id);
            if listings > 0 || held {
                used(listings)
            } else {
                Ok(())
            }
        }
    }
}

impl Writer {
    /// Notes what the configuration in force names. With `replace` a name that is gone is
    /// forgotten: somebody accepted it.
    pub(super) fn note_configured(&self, replace: bool) -> Result<(), Refused> {
        let v = self.store.vocabulary();
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

    /// Renames, and takes the configuration that has the new name.
    pub(super) fn rename(
        &mut self,
        rename: &Rename,
        settings: Settings,
        line: &schema::Audit,
    ) -> Result<super::Receipt, Refused> {
        if let Some(why) = self.health.writes_refused() {
            return Err(Refused::Poisoned(why));
        }
        let mut v = Vocabulary::clone(&self.store.vocabulary());
        let mut named = last_configured(&self.store, &v)?;
        let was_feed = rename.kind == NameKind::Source && named.feeds.contains(&rename.from);
        rename
            .check_files(&settings, was_feed)
            .map_err(Refused::Settings)?;
        check(&self.store, &v, rename)?;
        if rename.kind == NameKind::Source {
            super::names::check_free(
                &rename.to,
                super::names::NameOwner::Source,
                &self.book.load(),
                &v,
            )?;
        }
        rename.apply(&mut v).map_err(Refused::Settings)?;
        let mut batch = Batch::default();
        self.log_rename(rename, &mut batch)?;
        vocabulary_rows(&v, &mut batch);
        if was_feed {
            named.feeds.remove(&rename.from);
            named.feeds.insert(rename.to.clone());
        }
        named.row(&mut batch);
        let mut book = Book::clone(&self.book.load());
        book.rename(rename, &mut batch)?;
        batch.put(
            schema::AUDIT,
            (self.audited + 1).to_be_bytes().to_vec(),
            schema::encode(line),
        );
        self.commit_batch(batch)?;
        self.audited += 1;
        self.store.set_vocabulary(v);
        self.book.store(Arc::new(book));
        // From here on the old files must not be taken again: they would make the old name anew.
        self.settings = settings.clone();
        self.take_over(settings, false)
    }
}

impl Ledger {
    /// The names that were configured, are not in `settings`, and have listings. Blocks; reads
    /// every verdict where a name is gone.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn left_behind(&self, settings: &Settings) -> Result<Vec<LeftBehind>, Refused> {
        Ok(left_behind(&self.store, settings)?)
    }

    /// The same of the configuration in force, at most a minute old. Blocks.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn left_behind_now(&self) -> Result<Vec<LeftBehind>, Refused> {
        const MAX_AGE: Duration = Duration::from_secs(60);
        let mut left = self.left.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, found)) = left.as_ref().filter(|(at, _)| at.elapsed() < MAX_AGE) {
            return Ok(found.clone());
        }
        let found = self.left_behind(&self.settings())?;
        *left = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    /// Renames a reason or source and takes the configuration that has the new name. Blocks.
    ///
    /// # Errors
    ///
    /// The files or the store do not fit the rename; nothing has changed then.
    pub fn rename(
        &self,
        rename: Rename,
        settings: Settings,
        line: schema::Audit,
    ) -> Result<super::Receipt, Refused> {
        let source = (rename.kind == NameKind::Source)
            .then(|| self.store.vocabulary().sources.get(&rename.from))
            .flatten();
        if source.is_some_and(|s| {
            self.busy
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .contains(&s)
        }) {
            return Err(Refused::Settings(format!(
                "a list of `{}` is being imported; run this again when it is done",
                rename.from
            )));
        }
        let settings = Settings {
            mirrors: self.settings().mirrors.clone(),
            ..settings
        };
        let receipt = self.call(|r| Job::Rename(Box::new((rename, settings.clone(), line)), r))?;
        self.set_settings(settings);
        Ok(receipt)
    }
}
