//! A batch: the rows and changes of one decision. Reads see the earlier writes of the batch.
//!
//! Values are JSON, because the rows are few and long-lived, and later versions add fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    actor::Actor,
    tables::{DUE_JOBS, Due, KeyPart, LAST_ID, RelayRange, RelayTable},
};
use crate::{
    ledger::{FeatureRows, Ledger},
    model::{
        Change, Evidence, EvidenceKind, ReasonId, SourceId, Subject, Time, Verdict,
        history::{Command, HoldFor},
    },
    store::{
        Store, StoreError,
        schema::{AuditRecord, FeatureFamily},
    },
};

/// The new value of a row; `None` removes the row.
type BatchEntry = Option<Vec<u8>>;

/// The rows and changes of one decision, with its audit record. They are committed together.
pub(super) struct RelayBatch<'a> {
    store: &'a Store,
    /// The time of the decision.
    pub now: Time,
    rows: BTreeMap<Vec<u8>, BatchEntry>,
    /// The changes to listings.
    pub changes: Vec<Change>,
    audit: Option<AuditRecord>,
    /// The error of the first value that could not be encoded. With it the whole batch fails.
    unencoded: Option<StoreError>,
}

impl<'a> RelayBatch<'a> {
    /// Creates an empty batch.
    pub fn new(ledger: &'a Ledger, now: Time) -> RelayBatch<'a> {
        RelayBatch {
            store: &ledger.store,
            now,
            rows: BTreeMap::new(),
            changes: Vec::new(),
            audit: None,
            unencoded: None,
        }
    }

    /// Returns the value of a row, if it exists.
    pub fn get<K: KeyPart, V: DeserializeOwned>(
        &self,
        table: &RelayTable<K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        let bytes = table.encode(key);
        let row = match self.rows.get(&bytes) {
            Some(entry) => entry.clone(),
            None => self.store.feature_row(FeatureFamily::Relay, &bytes)?,
        };
        row.map(|r| decode_value(&bytes, &r)).transpose()
    }

    /// Whether a row exists; its value is not read.
    pub fn contains<K: KeyPart, V>(
        &self,
        table: &RelayTable<K, V>,
        key: &K,
    ) -> Result<bool, StoreError> {
        let bytes = table.encode(key);
        Ok(match self.rows.get(&bytes) {
            Some(entry) => entry.is_some(),
            None => self
                .store
                .feature_row(FeatureFamily::Relay, &bytes)?
                .is_some(),
        })
    }

    /// Returns the value of a row, or the default value if it does not exist.
    pub fn get_or_default<K: KeyPart, V: DeserializeOwned + Default>(
        &self,
        table: &RelayTable<K, V>,
        key: &K,
    ) -> Result<V, StoreError> {
        Ok(self.get(table, key)?.unwrap_or_default())
    }

    /// Writes a row. A value that cannot be encoded makes [`RelayBatch::into_rows`] fail.
    pub fn put<K: KeyPart, V: Serialize>(&mut self, table: &RelayTable<K, V>, key: &K, value: &V) {
        let bytes = table.encode(key);
        match serde_json::to_vec(value) {
            Ok(row) => drop(self.rows.insert(bytes, Some(row))),
            Err(e) => {
                let text = format!("{} cannot be encoded: {e}", row_name(&bytes));
                self.unencoded.get_or_insert(StoreError::Io(text));
            }
        }
    }

    /// Changes a row; it is created if it does not exist.
    pub fn update<K: KeyPart, V: Serialize + DeserializeOwned + Default>(
        &mut self,
        table: &RelayTable<K, V>,
        key: &K,
        change: impl FnOnce(&mut V),
    ) -> Result<(), StoreError> {
        let mut value = self.get_or_default(table, key)?;
        change(&mut value);
        self.put(table, key, &value);
        Ok(())
    }

    /// Removes a row.
    pub fn delete<K: KeyPart, V>(&mut self, table: &RelayTable<K, V>, key: &K) {
        self.rows.insert(table.encode(key), None);
    }

    /// Returns the keys of a range in order, at most `most`, with the changes of this batch.
    pub fn scan<K: KeyPart>(
        &self,
        range: &RelayRange<K>,
        most: usize,
    ) -> Result<Vec<K>, StoreError> {
        let prefix = &range.prefix;
        let mut out = BTreeSet::new();
        self.store
            .feature_rows(FeatureFamily::Relay, prefix, prefix, &mut |k, _| {
                out.insert(k.to_vec());
                Ok(out.len() < most)
            })?;
        let changed = self.rows.range(prefix.clone()..);
        for (k, entry) in changed.take_while(|(k, _)| k.starts_with(prefix)) {
            match entry {
                Some(_) => out.insert(k.clone()),
                None => out.remove(k),
            };
        }
        Ok(out.iter().filter_map(|k| range.decode(k)).collect())
    }

    /// Visits each stored value of a table.
    pub fn each<K: KeyPart, V: DeserializeOwned>(
        &self,
        table: &RelayTable<K, V>,
        f: &mut dyn FnMut(V),
    ) -> Result<(), StoreError> {
        let prefix = table.all().prefix;
        self.store
            .feature_rows(FeatureFamily::Relay, &prefix, &prefix, &mut |k, v| {
                f(decode_value(k, v)?);
                Ok(true)
            })
    }

    /// Returns the stored keys of a range that follow the bytes of the key `after`, at most `most`,
    /// and the bytes of the last one.
    pub fn scan_after<K: KeyPart>(
        &self,
        range: &RelayRange<K>,
        after: &[u8],
        most: usize,
    ) -> Result<(Vec<K>, Vec<u8>), StoreError> {
        let (mut out, mut last) = (Vec::new(), Vec::new());
        self.store
            .feature_rows(FeatureFamily::Relay, &range.prefix, after, &mut |k, _| {
                if k > after {
                    out.extend(range.decode(k));
                    last = k.to_vec();
                }
                Ok(out.len() < most)
            })?;
        Ok((out, last))
    }

    /// Returns the numbers of the stored jobs that are due in a range, the earliest first, at most
    /// `most`.
    pub fn scan_due(&self, from: Due, to: Due, most: usize) -> Result<Vec<u64>, StoreError> {
        let mut out = Vec::new();
        let (table, end) = (DUE_JOBS.all(), DUE_JOBS.encode(&(to, u64::MAX)));
        let begin = DUE_JOBS.of(&from).prefix;
        self.store
            .feature_rows(FeatureFamily::Relay, &table.prefix, &begin, &mut |k, _| {
                let within = k <= &end[..] && out.len() < most;
                if within {
                    out.extend(number_of(k));
                }
                Ok(within)
            })?;
        Ok(out)
    }

    /// Returns the stored numbers of a range that are lower than `below`, the highest first, at
    /// most `most`.
    pub fn scan_ids_desc<K>(
        &self,
        range: &RelayRange<K>,
        below: u64,
        most: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let mut out = Vec::new();
        let before = [&range.prefix[..], &below.to_be_bytes()].concat();
        self.store.feature_rows_desc(
            FeatureFamily::Relay,
            &range.prefix,
            &before,
            &mut |k, _| {
                out.extend(number_of(k));
                Ok(out.len() < most)
            },
        )?;
        Ok(out)
    }

    /// Takes the next number for a job or a proof.
    pub fn next_id(&mut self) -> Result<u64, StoreError> {
        let n = self.get_or_default(LAST_ID, &())? + 1;
        self.put(LAST_ID, &(), &n);
        Ok(n)
    }

    /// Returns the stored verdict of a host.
    pub fn verdict(&self, host: IpAddr) -> Result<Verdict, StoreError> {
        self.store.verdict(&Subject::host(host))
    }

    /// Whether the source `prober` lists a host, also with a hold.
    pub fn has_listing(&self, host: IpAddr) -> Result<bool, StoreError> {
        let entries = self.verdict(host)?.entries;
        Ok(entries.iter().any(|e| e.source == SourceId::PROBER))
    }

    /// Lists a host for a delivered message. With `breaks_hold`, a hold does not prevent it.
    pub fn list(
        &mut self,
        host: IpAddr,
        reason: ReasonId,
        author: &str,
        proof: String,
        breaks_hold: bool,
    ) {
        let command = Command::List {
            reason,
            source: SourceId::PROBER,
            until: None,
            text: None,
        };
        let mut change = Change::new(Subject::host(host), author, command);
        change.preconditions.breaks_hold = breaks_hold;
        self.change(change, EvidenceKind::Delivery, proof);
    }

    /// Delists a subject for a reason; without a source, for all sources.
    pub fn delist(
        &mut self,
        subject: Subject,
        (reason, source): (ReasonId, Option<SourceId>),
        hold: HoldFor,
        author: &str,
        proof: String,
    ) {
        let command = Command::Delist {
            reason: Some(reason),
            source,
            hold,
        };
        let change = Change::new(subject, author, command);
        self.change(change, EvidenceKind::Probe, proof);
    }

    fn change(&mut self, mut change: Change, kind: EvidenceKind, text: String) {
        change.evidence = Some(Evidence { kind, text });
        change.preconditions.from = "tester".into();
        self.changes.push(change);
    }

    /// Adds the audit record of a request.
    pub fn audit(
        &mut self,
        actor: &Actor,
        what: &str,
        about: &dyn ToString,
        detail: String,
        why: Option<String>,
    ) {
        self.audit = Some(AuditRecord {
            at: self.now,
            author: actor.name.clone(),
            from: actor.from.clone(),
            action: what.into(),
            target: about.to_string(),
            detail,
            note: why,
            idempotency: actor.idempotency,
            ..AuditRecord::default()
        });
    }

    /// Returns the batch as one commit.
    ///
    /// # Errors
    ///
    /// A value could not be encoded.
    pub fn into_rows(self) -> Result<FeatureRows, StoreError> {
        match self.unencoded {
            Some(error) => Err(error),
            None => Ok(FeatureRows {
                family: FeatureFamily::Relay,
                rows: self.rows.into_iter().collect(),
                changes: self.changes,
                audit: self.audit,
                notices: Vec::new(),
            }),
        }
    }
}

/// Returns the number at the end of a key.
fn number_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

fn row_name(key: &[u8]) -> String {
    format!("a row of relay tests ({})", char::from(key[0]))
}

fn decode_value<T: DeserializeOwned>(key: &[u8], row: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(row).map_err(|e| StoreError::Damaged(format!("{}: {e}", row_name(key))))
}
