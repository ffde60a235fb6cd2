//! A batch: the rows and changes of one decision of a feature. Reads see the earlier writes of the
//! batch.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    feature_rows::FeatureRows,
    feature_table::{Feature, FeatureTable, KeyPart, KeyRange},
};
use crate::{
    model::{Change, Evidence, Time},
    store::{Store, StoreError, schema::AuditRecord},
};

/// The new value of a row; `None` removes the row.
type BatchEntry = Option<Vec<u8>>;

/// The rows and changes of one decision, with its audit record and its events. They are committed
/// together.
pub struct FeatureBatch<'a, F: Feature> {
    store: &'a Store,
    /// The time of the decision.
    pub now: Time,
    rows: BTreeMap<Vec<u8>, BatchEntry>,
    /// The changes of listings.
    pub changes: Vec<Change>,
    /// The audit record.
    pub audit: Option<AuditRecord>,
    /// Events for webhooks.
    pub notices: Vec<F::Notice>,
    /// The error of the first value that could not be encoded. With it the whole batch fails.
    unencoded: Option<StoreError>,
}

impl<'a, F: Feature> FeatureBatch<'a, F> {
    /// Creates an empty batch.
    pub fn new(store: &'a Store, now: Time) -> FeatureBatch<'a, F> {
        FeatureBatch {
            store,
            now,
            rows: BTreeMap::new(),
            changes: Vec::new(),
            audit: None,
            notices: Vec::new(),
            unencoded: None,
        }
    }

    /// States in the evidence of each change that the listing which it ends was an error.
    pub fn mark_listed_in_error(&mut self) {
        for change in &mut self.changes {
            let note = change.evidence.take().map(|e| e.text);
            change.evidence = Some(Evidence::listed_in_error(note));
        }
    }

    /// The store that the batch reads.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    fn row(&self, key: &[u8]) -> Result<BatchEntry, StoreError> {
        match self.rows.get(key) {
            Some(entry) => Ok(entry.clone()),
            None => self.store.feature_row(F::FAMILY, key),
        }
    }

    /// Returns the value of a row, if it exists.
    pub fn get<K: KeyPart, V: DeserializeOwned>(
        &self,
        table: &FeatureTable<F, K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        let bytes = table.encode(key);
        let row = self.row(&bytes)?;
        row.map(|r| decode_value::<F, V>(&bytes, &r)).transpose()
    }

    /// Whether a row exists; its value is not read.
    pub fn contains<K: KeyPart, V>(
        &self,
        table: &FeatureTable<F, K, V>,
        key: &K,
    ) -> Result<bool, StoreError> {
        Ok(self.row(&table.encode(key))?.is_some())
    }

    /// Returns the value of a row, or the default value if it does not exist.
    pub fn get_or_default<K: KeyPart, V: DeserializeOwned + Default>(
        &self,
        table: &FeatureTable<F, K, V>,
        key: &K,
    ) -> Result<V, StoreError> {
        Ok(self.get(table, key)?.unwrap_or_default())
    }

    /// Writes a row. A value that cannot be encoded makes [`FeatureBatch::into_rows`] fail.
    pub fn put<K: KeyPart, V: Serialize>(
        &mut self,
        table: &FeatureTable<F, K, V>,
        key: &K,
        value: &V,
    ) {
        let bytes = table.encode(key);
        match serde_json::to_vec(value) {
            Ok(row) => drop(self.rows.insert(bytes, Some(row))),
            Err(e) => {
                let text = format!("{} cannot be encoded: {e}", row_name::<F>(&bytes));
                self.unencoded.get_or_insert(StoreError::Io(text));
            }
        }
    }

    /// Changes a row; it is created if it does not exist.
    pub fn update<K: KeyPart, V: Serialize + DeserializeOwned + Default>(
        &mut self,
        table: &FeatureTable<F, K, V>,
        key: &K,
        change: impl FnOnce(&mut V),
    ) -> Result<(), StoreError> {
        let mut value = self.get_or_default(table, key)?;
        change(&mut value);
        self.put(table, key, &value);
        Ok(())
    }

    /// Removes a row.
    pub fn delete<K: KeyPart, V>(&mut self, table: &FeatureTable<F, K, V>, key: &K) {
        self.rows.insert(table.encode(key), None);
    }

    /// Takes the next number from a table that has the last one.
    pub fn next_number(&mut self, last: &FeatureTable<F, (), u64>) -> Result<u64, StoreError> {
        let number = self.get_or_default(last, &())? + 1;
        self.put(last, &(), &number);
        Ok(number)
    }

    /// Returns the keys of a range in order, at most `most`, with the changes of this batch.
    pub fn scan<K: KeyPart>(&self, range: &KeyRange<K>, most: usize) -> Result<Vec<K>, StoreError> {
        let prefix = &range.prefix;
        let mut out = BTreeSet::new();
        self.store
            .feature_rows(F::FAMILY, prefix, prefix, &mut |k, _| {
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
        table: &FeatureTable<F, K, V>,
        f: &mut dyn FnMut(V),
    ) -> Result<(), StoreError> {
        let prefix = table.all().prefix;
        self.store
            .feature_rows(F::FAMILY, &prefix, &prefix, &mut |k, v| {
                f(decode_value::<F, V>(k, v)?);
                Ok(true)
            })
    }

    /// Visits the stored keys of a range from the bytes `from` on, in order, each with its bytes,
    /// until `f` returns false.
    pub fn visit_keys<K: KeyPart>(
        &self,
        range: &KeyRange<K>,
        from: &[u8],
        f: &mut dyn FnMut(&[u8], K) -> bool,
    ) -> Result<(), StoreError> {
        self.store
            .feature_rows(F::FAMILY, &range.prefix, from, &mut |k, _| {
                Ok(range.decode(k).is_none_or(|key| f(k, key)))
            })
    }

    /// Returns the stored keys of a table that follow `after`, in order, at most `most`.
    pub fn keys<K: KeyPart, V>(
        &self,
        table: &FeatureTable<F, K, V>,
        after: Option<&K>,
        most: usize,
    ) -> Result<Vec<K>, StoreError> {
        let after = after.map_or(Vec::new(), |k| table.encode(k));
        Ok(self.scan_after(&table.all(), &after, most)?.0)
    }

    /// Returns the stored keys of a range that follow the bytes of the key `after`, at most `most`,
    /// and the bytes of the last one.
    pub fn scan_after<K: KeyPart>(
        &self,
        range: &KeyRange<K>,
        after: &[u8],
        most: usize,
    ) -> Result<(Vec<K>, Vec<u8>), StoreError> {
        let (mut out, mut last) = (Vec::new(), Vec::new());
        self.visit_keys(range, after, &mut |bytes, key| {
            if bytes > after {
                out.push(key);
                last = bytes.to_vec();
            }
            out.len() < most
        })?;
        Ok((out, last))
    }

    /// Returns the stored numbers at the end of the keys of a range that are lower than `below`, the
    /// highest first, at most `most`.
    pub fn scan_numbers_desc<K>(
        &self,
        range: &KeyRange<K>,
        below: u64,
        most: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let mut out = Vec::new();
        let before = [&range.prefix[..], &below.to_be_bytes()].concat();
        self.store
            .feature_rows_desc(F::FAMILY, &range.prefix, &before, &mut |k, _| {
                out.extend(k.last_chunk().map(|bytes| u64::from_be_bytes(*bytes)));
                Ok(out.len() < most)
            })?;
        Ok(out)
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
                family: F::FAMILY,
                rows: self.rows.into_iter().collect(),
                changes: self.changes,
                audit: self.audit,
                notices: self.notices.into_iter().map(Into::into).collect(),
            }),
        }
    }
}

/// Where the next round through each range of keys begins, so that a long range is read in parts.
/// Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    /// By the first bytes of a range, the last key of the previous round.
    last: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>,
}

impl Rounds {
    /// Returns the next keys of a range, at most `most`. The next round continues after them.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn next<F: Feature, K: KeyPart>(
        &self,
        batch: &FeatureBatch<'_, F>,
        range: &KeyRange<K>,
        most: usize,
    ) -> Result<Vec<K>, StoreError> {
        let mut all = self.last.lock();
        let after = all.get(&range.prefix).cloned().unwrap_or_default();
        let (keys, last) = batch.scan_after(range, &after, most)?;
        if keys.len() >= most {
            all.insert(range.prefix.clone(), last);
        } else {
            all.remove(&range.prefix);
        }
        Ok(keys)
    }

    /// Whether a round of one of the ranges has not reached its end.
    pub fn has_any(&self, prefixes: &[Vec<u8>]) -> bool {
        let all = self.last.lock();
        prefixes.iter().any(|p| all.contains_key(p))
    }
}

fn row_name<F: Feature>(key: &[u8]) -> String {
    let letter = key.first().copied().map_or(' ', char::from);
    format!("row {letter} of the family `{}`", F::FAMILY.name())
}

fn decode_value<F: Feature, V: DeserializeOwned>(key: &[u8], row: &[u8]) -> Result<V, StoreError> {
    // The text of the decoder's error can quote the row, which can be personal.
    serde_json::from_slice(row).map_err(|e| {
        StoreError::Damaged(format!(
            "{} cannot be read: {:?} error at byte {}",
            row_name::<F>(key),
            e.classify(),
            e.column()
        ))
    })
}
