//! A feed that follows another server's zone: by IXFR from the version that it has, otherwise by
//! AXFR.
//!
//! A copy of the zone's records is kept beside the rows that were made from them, and the commit
//! that makes both visible names both. A difference is compared with the copy first: if it does not
//! fit, the whole zone is fetched (RFC 1995 section 4).

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
        ListReport, Options, Reasoning,
        patch::{FollowedZone, MAX_NODES, Merged, Net, Patch, Rows, patch},
        records::{Mapping, Records},
    },
    model::{Serial, SourceId, time::Seconds},
    store::{
        StoreError,
        copy::{CopyReader, CopyWriter},
        schema::{Followed, short_digest},
        stage::{ImportDifference, Mode, ROW_COMMIT_MAX},
    },
};

/// The most records of a difference; above this, a whole zone is no more work.
const MAX_CHANGES: usize = 1 << 20;
/// The version of the rules by which records become rows. Increase it with each change of the
/// rules, so that all followed zones are read again.
const RULES_VERSION: u32 = 2;

const _: () = assert!(
    2 * MAX_NODES <= ROW_COMMIT_MAX,
    "a patch is committed row by row"
);

/// A followed zone and its destination.
pub struct Following<'a> {
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
    /// A limit of the source's lifetime besides the zone's own expire.
    pub max_age: Option<Seconds>,
    /// Set when it is time to stop.
    pub stop: &'a AtomicBool,
}

/// The result of a refresh.
#[derive(Debug)]
pub struct Refreshed {
    /// The zone's SOA.
    pub soa: Soa,
    /// How the change was transferred.
    pub kind: RefreshKind,
    /// What changed in the source.
    pub difference: ImportDifference,
    /// Rows that were left out because they came through this server or through too many.
    pub looped: u64,
    /// A warning, although the refresh succeeded.
    pub note: Option<String>,
}

/// How a change was transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshKind {
    /// Nothing changed.
    Same,
    /// By IXFR.
    Changes,
    /// By AXFR, or as a whole zone where a difference was asked for.
    Whole,
    /// The records are the same, and are read by new rules.
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
        Reasoning::One(reason) => text += &format!(" reason={}", reason.0),
        Reasoning::Codes(codes) => codes
            .iter()
            .for_each(|(code, reason)| text += &format!(" {code}={}", reason.0)),
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
    f: &'a Following<'a>,
    source: SourceId,
    options: Options,
    /// See [`Followed::mapping`].
    mapping: u64,
    previous: Option<Followed>,
}

impl Following<'_> {
    /// Checks whether the zone has changed, and updates the source. Blocks.
    pub fn refresh(&self) -> Result<Refreshed, TransferError> {
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
        let followed = self
            .ledger
            .store
            .dictionary()
            .records
            .get(usize::from(source.0))
            .and_then(|r| r.followed.clone());
        let refresh = Refresh {
            f: self,
            source,
            mapping: rules_digest(self.mapping, &options),
            options,
            previous: followed,
        };
        let soa = self.server.soa()?;
        match refresh
            .previous
            .clone()
            .filter(|f| f.zone == self.server.zone)
        {
            None => refresh.transfer(TransferQuery::Axfr),
            // The copy may be in a form that is not read any more.
            Some(f) if older(f.serial, soa.serial) && f.mapping != refresh.mapping => {
                refresh.transfer(TransferQuery::Axfr)
            }
            Some(f) if older(f.serial, soa.serial) => {
                match refresh.transfer(TransferQuery::Ixfr(f.serial)) {
                    // The difference is unusable or unavailable: the whole zone may be available.
                    Err(TransferError::Answer(_)) if !self.stop.load(Relaxed) => {
                        refresh.transfer(TransferQuery::Axfr)
                    }
                    result => result,
                }
            }
            Some(f) => {
                // A server with an older serial is not a reason to forget what it sent before.
                let note = (f.serial != soa.serial).then(|| {
                    format!("the server has the serial {}, which is older than {}, the one that is followed", soa.serial, f.serial)
                });
                let soa = Soa {
                    serial: f.serial,
                    ..soa
                };
                let kind = if f.mapping == refresh.mapping {
                    RefreshKind::Same
                } else {
                    RefreshKind::Remade
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
    /// Transfers the zone or a difference; the reply says which it is.
    fn transfer(&self, query: TransferQuery) -> Result<Refreshed, TransferError> {
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
        let result = match (end, copy, &self.previous) {
            (Err(e), ..) => Err(e),
            (Ok(TransferEnd::UpToDate(soa)), _, Some(f)) => self.changed(
                f,
                &Net::new(),
                Soa {
                    serial: f.serial,
                    ..soa
                },
                RefreshKind::Same,
            ),
            (Ok(TransferEnd::UpToDate(_)), _, None) => Err(TransferError::Answer(
                "the server sends an SOA where a zone was asked for".into(),
            )),
            (Ok(TransferEnd::Ixfr(soa)), _, Some(f)) => self
                .net(f, changes)
                .and_then(|net| self.changed(f, &net, soa, RefreshKind::Changes)),
            (Ok(TransferEnd::Ixfr(_)), _, None) => Err(TransferError::Answer(
                "the server sends a difference where a zone was asked for".into(),
            )),
            (Ok(TransferEnd::Axfr(soa)), copy, _) => {
                let copy = copy.map_or_else(|| store.write_copy(self.source, number), Ok);
                let written = copy.and_then(CopyWriter::finish).map_err(store_error);
                let result = written.and_then(|_| {
                    self.import(
                        self.followed(soa, number),
                        Vec::new(),
                        &Net::new(),
                        soa,
                        RefreshKind::Whole,
                    )
                });
                if result.is_err() {
                    let _ = store.drop_copy(self.source, number); // never named; the next try clears it too
                }
                return result;
            }
        };
        if result.is_err() {
            let _ = store.drop_copy(self.source, number);
        }
        result
    }

    fn followed(&self, soa: Soa, copy: u32) -> Followed {
        let timers = [soa.refresh, soa.retry, soa.expire];
        Followed {
            zone: self.f.server.zone.clone(),
            serial: soa.serial,
            timers,
            copy,
            mapping: self.mapping,
        }
    }

    /// The net effect of a difference on the copy: each removed record has to exist, and each added
    /// one must not.
    fn net(&self, f: &Followed, changes: Vec<(Vec<u8>, bool)>) -> Result<Net, TransferError> {
        let mut all: BTreeMap<Vec<u8>, (bool, bool)> = BTreeMap::new();
        for (row, there) in changes {
            let (base, is) = match all.get(&row) {
                Some(state) => *state,
                None => {
                    let has = self
                        .f
                        .ledger
                        .store
                        .has_record(self.source, f.copy, &row)
                        .map_err(store_error)?;
                    (has, has)
                }
            };
            if is == there {
                return Err(TransferError::Answer(
                    "the difference does not fit to what was sent before".into(),
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

    /// The copy stays and changes by `net`: if possible, only what the change touches is read.
    fn changed(
        &self,
        f: &Followed,
        net: &Net,
        soa: Soa,
        kind: RefreshKind,
    ) -> Result<Refreshed, TransferError> {
        let is = self.followed(soa, f.copy);
        let records = net
            .iter()
            .map(|(row, there)| (row.clone(), *there))
            .collect();
        if f.mapping != self.mapping {
            return self.import(is, records, net, soa, kind);
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
                    &mut Merged::new(Copy(new), net),
                    &mut report,
                )
            });
        match result
            .map_err(store_error)?
            .map_err(TransferError::Network)?
        {
            None => self.import(is, records, net, soa, kind),
            Some(Patch { touched, entries }) => {
                let follow = Follow {
                    was: self.previous.clone(),
                    is,
                    records,
                };
                let touched = touched.into_iter().collect();
                let mut import_settings = Import {
                    mode: Mode::Patch,
                    touched,
                    ..self.import_settings(follow, soa)
                };
                let result = self.f.ledger.import_with(&mut import_settings, |_, sink| {
                    entries
                        .into_iter()
                        .map(imports::row)
                        .try_for_each(|(subject, row)| sink(subject, row))
                });
                self.result(result.map(|d| d.difference), &report, soa, kind)
            }
        }
    }

    /// Makes the source's rows anew from the copy that `is` names, changed by `net`.
    fn import(
        &self,
        is: Followed,
        records: Vec<(Vec<u8>, bool)>,
        net: &Net,
        soa: Soa,
        kind: RefreshKind,
    ) -> Result<Refreshed, TransferError> {
        let store = &self.f.ledger.store;
        let (copy, zone) = (is.copy, is.zone.clone());
        let mut import_settings = self.import_settings(
            Follow {
                was: self.previous.clone(),
                is,
                records,
            },
            soa,
        );
        let mut report = ListReport::default();
        let result = self.f.ledger.import_with(&mut import_settings, |_, sink| {
            let mut entry = |e| {
                let (subject, row) = imports::row(e);
                sink(subject, row)
            };
            let mut list = Records::new(
                self.f.mapping,
                &zone,
                &self.options,
                &mut report,
                &mut entry,
            );
            let read = store.read_copy(self.source, copy, |[rows, _]| {
                let mut rows = Merged::new(Copy(rows), net);
                rows.seek(&[])?;
                while let Some(row) = rows.row() {
                    list.row(row)?;
                    rows.next()?;
                }
                list.finish()
            });
            read.map_err(|e| e.to_string())??;
            match (report.taken, report.problems.first()) {
                // Most likely the codes are those of another list: the present rows must not be
                // removed for that.
                (0, Some(p)) => Err(format!(
                    "nothing in the zone can be taken; the first of {} problems: {}",
                    report.errors, p.what
                )),
                _ => Ok(()),
            }
        });
        self.result(result.map(|d| d.difference), &report, soa, kind)
    }

    /// The settings of an import: the zone's lifetime is the source's.
    fn import_settings(&self, follow: Follow, soa: Soa) -> Import {
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
    ) -> Result<Refreshed, TransferError> {
        let difference = result.map_err(|e| {
            TransferError::Network(
                imports::ImportFailure::of(e, self.f.ledger, self.f.name).text(self.f.ledger),
            )
        })?;
        let note = report.problems.first().map(|p| {
            format!(
                "{} records were left out; the first: {}",
                report.errors, p.what
            )
        });
        Ok(Refreshed {
            soa,
            kind,
            difference,
            looped: report.looped,
            note,
        })
    }
}

/// Receives the records of a transfer: a whole zone into a new copy, a difference into memory.
struct TransferReceiver<'a> {
    refresh: &'a Refresh<'a>,
    /// The new copy's number.
    number: u32,
    copy: Option<CopyWriter<'a>>,
    changes: Vec<(Vec<u8>, bool)>,
}

impl TransferSink for TransferReceiver<'_> {
    fn bytes(&mut self, _: usize) -> Result<(), String> {
        if self.refresh.f.stop.load(Relaxed) {
            Err("the daemon is stopping, or its configuration has changed".into())
        } else {
            Ok(())
        }
    }

    fn change(&mut self, change: RecordChange) -> Result<(), String> {
        if !change.whole {
            if self.changes.len() >= MAX_CHANGES {
                return Err(format!(
                    "the difference has more than {MAX_CHANGES} records"
                ));
            }
            self.changes.push((change.row.to_vec(), !change.gone));
            return Ok(());
        }
        let copy = match self.copy.take() {
            Some(copy) => copy,
            None => self
                .refresh
                .f
                .ledger
                .store
                .write_copy(self.refresh.source, self.number)
                .map_err(|e| e.to_string())?,
        };
        self.copy
            .insert(copy)
            .push(change.row)
            .map_err(|e| e.to_string())
    }
}

/// A copy's records as rows.
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
        let one = options(Reasoning::One(ReasonId(3)));
        let code = std::net::Ipv4Addr::new(127, 0, 0, 2);
        let codes = options(Reasoning::Codes(vec![(code, ReasonId(3))]));
        let text = "2 names reason=3 allowed=10.0.0.0/8 untraced=true store=0000000000001234";
        let digest = short_digest(text.as_bytes());
        assert_eq!(rules_digest(Mapping::Names, &one), digest);
        assert_eq!(digest, 0x0493_07c0_a4b5_797b);
        assert_ne!(rules_digest(Mapping::Rows, &one), digest);
        assert_ne!(rules_digest(Mapping::Names, &codes), digest);
    }
}
