//! A feed that follows another server's zone: by IXFR from the version that it has, otherwise by
//! AXFR.
//!
//! The store keeps a copy of the zone's records beside the rows that were made from them, and one
//! commit names both. An incremental transfer is checked against the copy first: if it does not
//! fit, the whole zone is transferred (RFC 1995 section 4).

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::wire::{Server, TransferError, TransferSink};
use crate::{
    dns::incoming::{RecordChange, Soa, TransferEnd, TransferQuery},
    imports,
    ledger::{Follow, Import, Ledger},
    lists::{
        ListReport, Options, ReasonMapping,
        patch::{FollowedZone, MAX_NODES, MergedRows, Net, Patch, Rows, patch},
        records::{Mapping, Records},
    },
    model::{Serial, SourceId, time::Seconds},
    store::{
        StoreError,
        copy::{CopyReader, CopyWriter},
        schema::{FollowState, short_digest},
        stage::{ImportDifference, Mode, ROW_COMMIT_MAX},
    },
};

/// The most records of an incremental transfer; with more, a full transfer is as fast.
const MAX_CHANGES: usize = 1 << 20;
/// The version of the rules by which records become rows. Increase it with each change of the
/// rules, so that the rows of all followed zones are made again.
const RULES_VERSION: u32 = 2;

const _: () = assert!(
    2 * MAX_NODES <= ROW_COMMIT_MAX,
    "a patch is committed row by row"
);

/// A followed zone and its destination.
pub struct FollowTask<'a> {
    /// The ledger that gets the listings.
    pub ledger: &'a Ledger,
    /// The source's name.
    pub name: &'a str,
    /// The server and the zone.
    pub server: &'a Server,
    /// How records become entries.
    pub mapping: Mapping,
    /// Whether entries of a zone transfer, which have no path, are sent on in rows.
    pub transit: bool,
    /// The reasons of the entries.
    pub reasons: &'a imports::Reasons,
    /// After how long without a refresh the listings end, besides the zone's own `expire`.
    pub max_age: Option<Seconds>,
    /// Set when the feed has to stop.
    pub stop: &'a AtomicBool,
}

/// The result of a refresh.
#[derive(Debug)]
pub struct RefreshResult {
    /// The zone's SOA.
    pub soa: Soa,
    /// How the change was transferred.
    pub kind: RefreshKind,
    /// What changed in the source.
    pub difference: ImportDifference,
    /// Rows that were left out because they came through this server or through too many.
    pub looped: u64,
    /// A warning about a refresh that succeeded.
    pub note: Option<String>,
}

/// How a change was transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshKind {
    /// Nothing changed.
    Same,
    /// By IXFR.
    Changes,
    /// By AXFR, or as a whole zone in reply to IXFR.
    Whole,
    /// The records did not change; the rows were made again by new rules.
    Remade,
}

/// Identifies the rules by which a zone's records become rows. It is stored, so the text that it is
/// the digest of is written here in full and depends on no crate.
fn rules_digest(mapping: Mapping, options: &Options) -> u64 {
    let mut text = match mapping {
        Mapping::Names => format!("{RULES_VERSION} names"),
        Mapping::Rows => format!("{RULES_VERSION} rows"),
    };
    match &options.reasoning {
        ReasonMapping::One(reason) => text += &format!(" reason={}", reason.0),
        mapping => {
            if matches!(mapping, ReasonMapping::Bits(_)) {
                text += " bits";
            }
            let codes = mapping.codes().iter();
            codes.for_each(|(code, reason)| text += &format!(" {code}={}", reason.0));
        }
    }
    options
        .allowed
        .iter()
        .for_each(|subject| text += &format!(" allowed={subject}"));
    let (untraced, store) = (options.untraced, options.store.0);
    text += &format!(" untraced={untraced} store={store:016x}");
    short_digest(text.as_bytes())
}

/// The state of a refresh.
struct Refresh<'a> {
    f: &'a FollowTask<'a>,
    source: SourceId,
    options: Options,
    /// See [`FollowState::mapping`].
    mapping: u64,
    previous: Option<FollowState>,
}

impl FollowTask<'_> {
    /// Checks whether the zone has changed, and updates the source. Blocks.
    pub fn refresh(&self) -> Result<RefreshResult, TransferError> {
        let refused = |e: imports::ImportFailure| TransferError::Answer(e.text(self.ledger));
        let list_import = imports::ImportRequest {
            reasons: self.reasons.clone(),
            ..Default::default()
        };
        let untraced = self.mapping == Mapping::Names && !self.transit;
        let options = Options {
            followed: true,
            untraced,
            ..imports::options(self.ledger, &list_import).map_err(refused)?
        };
        let source = self
            .ledger
            .source(self.name)
            .map_err(|e| refused(imports::ImportFailure::Ledger(e)))?;
        let dictionary = self.ledger.store.dictionary();
        let record = dictionary.records.get(usize::from(source.0));
        let refresh = Refresh {
            f: self,
            source,
            mapping: rules_digest(self.mapping, &options),
            options,
            previous: record.and_then(|r| r.followed.clone()),
        };
        let soa = self.server.soa()?;
        match refresh
            .previous
            .clone()
            .filter(|f| f.zone == self.server.zone)
        {
            None => refresh.transfer(TransferQuery::Axfr),
            // The copy may be in an old form.
            Some(f) if older(f.serial, soa.serial) && f.mapping != refresh.mapping => {
                refresh.transfer(TransferQuery::Axfr)
            }
            Some(f) if older(f.serial, soa.serial) => {
                match refresh.transfer(TransferQuery::Ixfr(f.serial)) {
                    // If the IXFR fails, AXFR may still work.
                    Err(TransferError::Answer(_)) if !self.stop.load(Relaxed) => {
                        refresh.transfer(TransferQuery::Axfr)
                    }
                    result => result,
                }
            }
            Some(f) => {
                // Keep the zone if the server has an older serial.
                let note = (f.serial != soa.serial).then(|| {
                    format!(
                        "the server has the serial {}, which is older than the followed serial {}",
                        soa.serial, f.serial
                    )
                });
                let soa = Soa {
                    serial: f.serial,
                    ..soa
                };
                let kind = match f.mapping == refresh.mapping {
                    true => RefreshKind::Same,
                    false => RefreshKind::Remade,
                };
                let mut result = refresh.changed(&f, &Net::new(), soa, kind)?;
                result.note = note.or(result.note);
                Ok(result)
            }
        }
    }
}

fn older(a: Serial, b: Serial) -> bool {
    a.partial_cmp(&b) == Some(std::cmp::Ordering::Less)
}

fn store_error(e: impl Into<StoreError>) -> TransferError {
    TransferError::Network(e.into().to_string())
}

impl Refresh<'_> {
    /// Transfers the whole zone or the changes; the server decides which it sends.
    fn transfer(&self, query: TransferQuery) -> Result<RefreshResult, TransferError> {
        let store = &self.f.ledger.store;
        let number = self.previous.as_ref().map_or(1, |f| f.copy.wrapping_add(1));
        let mut receiver = TransferReceiver {
            refresh: self,
            number,
            copy: None,
            changes: Vec::new(),
        };
        let end = self.f.server.transfer(query, &mut receiver);
        let TransferReceiver { copy, changes, .. } = receiver;
        let result = match (end, &self.previous) {
            (Err(e), _) => Err(e),
            (Ok(TransferEnd::UpToDate(soa)), Some(f)) => {
                let soa = Soa {
                    serial: f.serial,
                    ..soa
                };
                self.changed(f, &Net::new(), soa, RefreshKind::Same)
            }
            (Ok(TransferEnd::UpToDate(_)), None) => Err(TransferError::Answer(
                "the server replied to AXFR with a single SOA record".into(),
            )),
            (Ok(TransferEnd::Ixfr(soa)), Some(f)) => self
                .net(f, changes)
                .and_then(|net| self.changed(f, &net, soa, RefreshKind::Changes)),
            (Ok(TransferEnd::Ixfr(_)), None) => Err(TransferError::Answer(
                "the server replied to AXFR with an incremental transfer".into(),
            )),
            (Ok(TransferEnd::Axfr(soa)), _) => {
                let copy = copy.map_or_else(|| store.write_copy(self.source, number), Ok);
                copy.and_then(CopyWriter::finish)
                    .map_err(store_error)
                    .and_then(|_| {
                        let current = self.followed(soa, number);
                        self.import(current, &Net::new(), soa, RefreshKind::Whole)
                    })
            }
        };
        if result.is_err() {
            let _ = store.drop_copy(self.source, number); // the next attempt removes it too
        }
        result
    }

    fn followed(&self, soa: Soa, copy: u32) -> FollowState {
        FollowState {
            zone: self.f.server.zone.clone(),
            serial: soa.serial,
            timers: [soa.refresh, soa.retry, soa.expire],
            copy,
            mapping: self.mapping,
        }
    }

    /// The net effect of an incremental transfer on the copy. Each removed record has to exist, and
    /// each added one must not.
    fn net(&self, f: &FollowState, changes: Vec<(Vec<u8>, bool)>) -> Result<Net, TransferError> {
        let store = &self.f.ledger.store;
        let mut all: BTreeMap<Vec<u8>, (bool, bool)> = BTreeMap::new();
        for (row, there) in changes {
            let (base, is) = match all.get(&row) {
                Some(state) => *state,
                None => {
                    let has = store
                        .has_record(self.source, f.copy, &row)
                        .map_err(store_error)?;
                    (has, has)
                }
            };
            if is == there {
                return Err(TransferError::Answer(
                    "the incremental transfer does not match the records that were transferred before"
                        .into(),
                ));
            }
            all.insert(row, (base, there));
        }
        Ok(all
            .into_iter()
            .filter(|(_, (base, is))| base != is)
            .map(|(row, (_, is))| (row, is))
            .collect())
    }

    /// Applies `net` to the copy and to the rows. If possible, only the affected subjects are read.
    fn changed(
        &self,
        f: &FollowState,
        net: &Net,
        soa: Soa,
        kind: RefreshKind,
    ) -> Result<RefreshResult, TransferError> {
        let current = self.followed(soa, f.copy);
        if f.mapping != self.mapping {
            return self.import(current, net, soa, kind);
        }
        let zone = FollowedZone {
            name: &self.f.server.zone,
            mapping: self.f.mapping,
            options: &self.options,
        };
        let mut report = ListReport::default();
        let result = self
            .f
            .ledger
            .store
            .read_copy(self.source, f.copy, |[old, new]| {
                patch(
                    &zone,
                    net,
                    &mut Copy(old),
                    &mut MergedRows::new(Copy(new), net),
                    &mut report,
                )
            });
        let patch = result
            .map_err(store_error)?
            .map_err(TransferError::Network)?;
        let Some(Patch { touched, entries }) = patch else {
            return self.import(current, net, soa, kind);
        };
        let mut import_settings = Import {
            mode: Mode::Patch,
            touched: touched.into_iter().collect(),
            ..self.import_settings(current, net, soa)
        };
        let result = self.f.ledger.import_with(&mut import_settings, |_, sink| {
            let mut rows = entries.into_iter().map(|e| imports::row(e, false));
            rows.try_for_each(|(subject, row)| sink(subject, row))
        });
        self.result(result.map(|d| d.difference), &report, soa, kind)
    }

    /// Makes all rows of the source from the copy of the `current` zone, with the changes `net`.
    fn import(
        &self,
        current: FollowState,
        net: &Net,
        soa: Soa,
        kind: RefreshKind,
    ) -> Result<RefreshResult, TransferError> {
        let store = &self.f.ledger.store;
        let (copy, zone) = (current.copy, current.zone.clone());
        let mut import_settings = self.import_settings(current, net, soa);
        let mut report = ListReport::default();
        let result = self.f.ledger.import_with(&mut import_settings, |_, sink| {
            let mut entry = |e| {
                let (subject, row) = imports::row(e, false);
                sink(subject, row)
            };
            let (mapping, options) = (self.f.mapping, &self.options);
            let mut list = Records::new(mapping, &zone, options, &mut report, &mut entry);
            let read = store.read_copy(self.source, copy, |[rows, _]| {
                let mut rows = MergedRows::new(Copy(rows), net);
                rows.seek(&[])?;
                while let Some(row) = rows.row() {
                    list.row(row)?;
                    rows.next()?;
                }
                list.finish()
            });
            read.map_err(|e| e.to_string())??;
            match (report.accepted, report.problems.first()) {
                // The codes are most likely those of another list, so the current rows stay.
                (0, Some(p)) => Err(format!(
                    "no record of the zone can be used; the first of {} problems: {}",
                    report.errors, p.what
                )),
                _ => Ok(()),
            }
        });
        self.result(result.map(|d| d.difference), &report, soa, kind)
    }

    /// The settings of an import. The listings end when the zone expires.
    fn import_settings(&self, current: FollowState, net: &Net, soa: Soa) -> Import {
        let follow = Follow {
            previous: self.previous.clone(),
            current,
            records: net
                .iter()
                .map(|(row, there)| (row.clone(), *there))
                .collect(),
        };
        let life = u64::from(soa.expire).max(u64::from(soa.refresh) + u64::from(soa.retry));
        let expires = Some(self.f.ledger.now().plus(Seconds(life.max(1))));
        Import {
            max_age: self.f.max_age,
            expires,
            follow: Some(follow),
            ..Import::replace(self.source)
        }
    }

    fn result(
        &self,
        result: Result<ImportDifference, crate::ledger::ImportError>,
        report: &ListReport,
        soa: Soa,
        kind: RefreshKind,
    ) -> Result<RefreshResult, TransferError> {
        let difference = result.map_err(|e| {
            let failure = imports::ImportFailure::of(e, self.f.ledger, self.f.name);
            TransferError::Network(failure.text(self.f.ledger))
        })?;
        let note = report.problems.first().map(|p| {
            format!(
                "{} records were left out; the first: {}",
                report.errors, p.what
            )
        });
        Ok(RefreshResult {
            soa,
            kind,
            difference,
            looped: report.looped,
            note,
        })
    }
}

/// Receives the records of a transfer: those of a whole zone into a new copy, changes into memory.
struct TransferReceiver<'a> {
    refresh: &'a Refresh<'a>,
    /// The new copy's number.
    number: u32,
    copy: Option<CopyWriter<'a>>,
    changes: Vec<(Vec<u8>, bool)>,
}

impl TransferSink for TransferReceiver<'_> {
    fn bytes(&mut self, _: usize) -> Result<(), String> {
        match self.refresh.f.stop.load(Relaxed) {
            true => Err("the daemon is stopping, or its configuration has changed".into()),
            false => Ok(()),
        }
    }

    fn change(&mut self, change: RecordChange) -> Result<(), String> {
        if !change.whole {
            if self.changes.len() >= MAX_CHANGES {
                return Err(format!(
                    "the incremental transfer has more than {MAX_CHANGES} records"
                ));
            }
            self.changes.push((change.row.to_vec(), !change.removed));
            return Ok(());
        }
        let store = &self.refresh.f.ledger.store;
        let copy = match self.copy.take() {
            Some(copy) => copy,
            None => store
                .write_copy(self.refresh.source, self.number)
                .map_err(|e| e.to_string())?,
        };
        self.copy
            .insert(copy)
            .push(change.row)
            .map_err(|e| e.to_string())
    }
}

/// The records of a copy, as [`Rows`].
struct Copy<'a>(CopyReader<'a>);

impl Rows for Copy<'_> {
    fn seek(&mut self, from: &[u8]) -> Result<(), String> {
        self.0.seek(from).map_err(|e| e.to_string())
    }
    fn row(&self) -> Option<&[u8]> {
        self.0.row()
    }
    fn next(&mut self) -> Result<(), String> {
        self.0.step().map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReasonId, StoreId};

    #[test]
    fn stored_digest_of_the_rules_never_changes() {
        let options = |reasoning| Options {
            reasoning,
            allowed: vec!["10.0.0.0/8".parse().unwrap()],
            untraced: true,
            store: StoreId(0x1234),
            ..Options::default()
        };
        let one = options(ReasonMapping::One(ReasonId(3)));
        let code = std::net::Ipv4Addr::new(127, 0, 0, 2);
        let codes = options(ReasonMapping::Codes(vec![(code, ReasonId(3))]));
        let text = "2 names reason=3 allowed=10.0.0.0/8 untraced=true store=0000000000001234";
        let digest = short_digest(text.as_bytes());
        assert_eq!(rules_digest(Mapping::Names, &one), digest);
        assert_eq!(digest, 0x0493_07c0_a4b5_797b);
        assert_ne!(rules_digest(Mapping::Rows, &one), digest);
        assert_ne!(rules_digest(Mapping::Names, &codes), digest);
    }
}
