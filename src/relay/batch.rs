//! A batch: the rows and changes of one decision. Reads see the earlier writes of the batch.
//!
//! Values are JSON, because the rows are few and long-lived, and later versions add fields.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};

use super::keys::{Due, RelayKey, RelayRange, RelayTable};
use crate::{
    ledger::{Ledger, RelayRows},
    model::{
        Change, Evidence, EvidenceKind, Preconditions, Subject, Time, Verdict, history::Command,
    },
    store::{Store, StoreError, schema},
};

/// The new value of a row; `None` removes the row.
type BatchEntry = Option<Vec<u8>>;

/// The rows and changes of one decision. They are committed together.
pub(super) struct RelayBatch<'a> {
    store: &'a Store,
    /// The time of the decision.
    pub now: Time,
    rows: BTreeMap<Vec<u8>, BatchEntry>,
    /// The changes to listings.
    pub changes: Vec<Change>,
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
            unencoded: None,
        }
    }

    /// Returns the value of a row, if it exists.
    pub fn get<T: DeserializeOwned>(&self, key: &RelayKey) -> Result<Option<T>, StoreError> {
        let bytes = key.encode();
        let row = match self.rows.get(&bytes) {
            Some(entry) => entry.clone(),
            None => self.store.relay_row(&bytes)?,
        };
        row.map(|r| decode_value(&bytes, &r)).transpose()
    }

    /// Writes a row. A value that cannot be encoded makes [`RelayBatch::into_rows`] fail.
    pub fn put<T: Serialize>(&mut self, key: &RelayKey, value: &T) {
        match serde_json::to_vec(value) {
            Ok(row) => drop(self.rows.insert(key.encode(), Some(row))),
            Err(e) => {
                let text = format!("a row of relay tests cannot be encoded ({key:?}): {e}");
                self.unencoded.get_or_insert(StoreError::Io(text));
            }
        }
    }

    /// Removes a row.
    pub fn delete(&mut self, key: &RelayKey) {
        self.rows.insert(key.encode(), None);
    }

    /// Returns the keys of a range in order, at most `most`, with the changes of this batch.
    pub fn scan(&self, range: RelayRange, most: usize) -> Result<Vec<RelayKey>, StoreError> {
        let prefix = range.prefix();
        let mut out = std::collections::BTreeSet::new();
        self.store.relay_rows(&prefix, &prefix, &mut |k, _| {
            out.insert(k.to_vec());
            Ok(out.len() < most)
        })?;
        for (k, entry) in self
            .rows
            .range(prefix.clone()..)
            .take_while(|(k, _)| k.starts_with(&prefix))
        {
            match entry {
                Some(_) => out.insert(k.clone()),
                None => out.remove(k),
            };
        }
        Ok(out.iter().filter_map(|k| RelayKey::decode(k)).collect())
    }

    /// Whether a row exists.
    pub fn contains(&self, key: &RelayKey) -> Result<bool, StoreError> {
        let bytes = key.encode();
        Ok(match self.rows.get(&bytes) {
            Some(entry) => entry.is_some(),
            None => self.store.relay_row(&bytes)?.is_some(),
        })
    }

    /// Visits each stored value of a table.
    pub fn each<T: DeserializeOwned>(
        &self,
        table: RelayTable,
        f: &mut dyn FnMut(T),
    ) -> Result<(), StoreError> {
        let prefix = RelayRange::All(table).prefix();
        self.store.relay_rows(&prefix, &prefix, &mut |k, v| {
            f(decode_value(k, v)?);
            Ok(true)
        })
    }

    /// Returns the stored keys of a range that follow `after`, at most `most`.
    pub fn scan_after(
        &self,
        range: RelayRange,
        after: Option<&RelayKey>,
        most: usize,
    ) -> Result<Vec<RelayKey>, StoreError> {
        let after = after.map(RelayKey::encode).unwrap_or_default();
        let mut out = Vec::new();
        self.store
            .relay_rows(&range.prefix(), &after, &mut |k, _| {
                if k > &after[..] {
                    out.extend(RelayKey::decode(k));
                }
                Ok(out.len() < most)
            })?;
        Ok(out)
    }

    /// Returns the numbers of the stored jobs that are due in a range, the earliest first, at most
    /// `most`.
    pub fn scan_due(&self, from: Due, to: Due, most: usize) -> Result<Vec<u64>, StoreError> {
        let mut out = Vec::new();
        let end = RelayKey::DueJob(to, u64::MAX).encode();
        self.store.relay_rows(
            &RelayRange::All(RelayTable::DueJobs).prefix(),
            &RelayRange::DueAt(from).prefix(),
            &mut |k, _| {
                let within = k <= &end[..] && out.len() < most;
                if within {
                    out.extend(RelayKey::decode(k).map(|k| k.id()));
                }
                Ok(within)
            },
        )?;
        Ok(out)
    }

    /// Returns the stored numbers of a range that are lower than `below`, the highest first, at
    /// most `most`.
    pub fn scan_ids_desc(
        &self,
        range: RelayRange,
        below: u64,
        most: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let (mut out, prefix) = (Vec::new(), range.prefix());
        let before = [&prefix[..], &below.to_be_bytes()].concat();
        self.store.relay_rows_desc(&prefix, &before, &mut |k, _| {
            out.extend(RelayKey::decode(k).map(|k| k.id()));
            Ok(out.len() < most)
        })?;
        Ok(out)
    }

    /// Takes the next number for a job or a proof.
    pub fn next_id(&mut self) -> Result<u64, StoreError> {
        let n = self.get::<u64>(&RelayKey::LastId)?.unwrap_or(0) + 1;
        self.put(&RelayKey::LastId, &n);
        Ok(n)
    }

    /// Returns the stored verdict of a subject.
    pub fn verdict(&self, subject: &Subject) -> Result<Verdict, StoreError> {
        self.store.verdict(subject)
    }

    /// Adds a change to a listing, with `proof` as its evidence.
    pub fn change(
        &mut self,
        subject: Subject,
        author: &str,
        command: Command,
        proof: String,
        breaks_hold: bool,
    ) {
        let kind = if matches!(command, Command::List { .. }) {
            EvidenceKind::Delivery
        } else {
            EvidenceKind::Probe
        };
        let preconditions = Preconditions {
            from: "tester".into(),
            breaks_hold,
            ..Preconditions::default()
        };
        self.changes.push(Change {
            subject,
            author: author.into(),
            evidence: Some(Evidence { kind, text: proof }),
            command,
            preconditions,
        });
    }

    /// Returns the batch as one commit with its audit record.
    ///
    /// # Errors
    ///
    /// A value could not be encoded.
    pub fn into_rows(self, audit: Option<schema::AuditRecord>) -> Result<RelayRows, StoreError> {
        match self.unencoded {
            Some(error) => Err(error),
            None => Ok(RelayRows {
                rows: self.rows.into_iter().collect(),
                changes: self.changes,
                audit,
            }),
        }
    }
}

fn decode_value<T: DeserializeOwned>(key: &[u8], row: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(row).map_err(|e| {
        StoreError::Damaged(format!(
            "a row of relay tests ({}): {e}",
            String::from_utf8_lossy(&key[..1])
        ))
    })
}
