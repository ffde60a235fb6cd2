//! What the desk keeps: rows of JSON under a letter and a host or number. JSON, because these rows
//! are few, long-lived, and get new fields.
//!
//! | key | value |
//! | --- | --- |
//! | `J` job | the job |
//! | `Q` job | nothing: it is open |
//! | `W` time, job | nothing: when an open job is looked at next; before all times those that wait for a turn, behind them those that are held |
//! | `L` host, job | nothing: a job of the host |
//! | `S` job | its transcript |
//! | `H` host | what is known of it |
//! | `C` host | nothing: a claim is looked at |
//! | `N` net | its budget; `A` network, the budget of an AS or a wide net |
//! | `O` subject | an opt-out |
//! | `R` name | a reporter |
//! | `T` token | what it was made for |
//! | `X` host | for whom it delivers |
//! | `P` proof | a message that came |
//! | `I` host, proof | nothing: it was the input |
//! | `Y` host, proof | nothing: it was the output |
//! | `G` host, proof | nothing: it was listed for it, as input or output |
//! | `n` | the last number of a job or proof; `o` the outages; `a` when the desk was last at work; `g` that `G` is complete |

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ledger::{Ledger, RelayRows},
    model::{Change, Evidence, EvidenceKind, Subject, Terms, Time, Verdict, history::Ask},
    store::{Store, StoreError, schema},
};

/// Keys of rows.
pub(super) mod key {
    use super::{IpAddr, Subject};

    pub const OUTAGES: &[u8] = b"o";
    /// When the collector was under load.
    pub const LOADS: &[u8] = b"l";
    pub const NUMBER: &[u8] = b"n";
    /// Whether proofs that list have their row `G`.
    pub const MARKED: &[u8] = b"g";
    /// When the desk was last at work.
    pub const ALIVE: &[u8] = b"a";

    pub fn host(letter: u8, addr: IpAddr) -> Vec<u8> {
        let bytes = match addr {
            IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
            IpAddr::V6(a) => a.octets(),
        };
        [&[letter][..], &bytes].concat()
    }
    pub fn number(letter: u8, n: u64) -> Vec<u8> {
        [&[letter][..], &n.to_be_bytes()].concat()
    }
    pub fn when(time: u64, job: u64) -> Vec<u8> {
        [number(b'W', time), job.to_be_bytes().to_vec()].concat()
    }
    pub fn both(letter: u8, addr: IpAddr, n: u64) -> Vec<u8> {
        [host(letter, addr), n.to_be_bytes().to_vec()].concat()
    }
    pub fn token(id: &[u8; 8]) -> Vec<u8> {
        [b"T", &id[..]].concat()
    }
    pub fn reporter(name: &str) -> Vec<u8> {
        [b"R", name.as_bytes()].concat()
    }
    pub fn opt_out(subject: &Subject) -> Vec<u8> {
        [&b"O"[..], &subject.key()].concat()
    }
    /// The number at the end of a key.
    pub fn tail(key: &[u8]) -> u64 {
        key.last_chunk().map_or(0, |b| u64::from_be_bytes(*b))
    }
    /// The host behind the letter of a key.
    pub fn addr(key: &[u8]) -> Option<IpAddr> {
        let bytes: [u8; 16] = key.get(1..17)?.try_into().ok()?;
        Some(IpAddr::from(bytes).to_canonical())
    }
}

/// What is being decided: reads see what was put before.
pub(super) struct RelayBatch<'a> {
    store: &'a Store,
    /// The moment.
    pub now: Time,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What the listings are to become.
    pub changes: Vec<Change>,
}

impl<'a> RelayBatch<'a> {
    pub fn new(ledger: &'a Ledger, now: Time) -> RelayBatch<'a> {
        RelayBatch {
            store: &ledger.store,
            now,
            rows: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    pub fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let row = match self.rows.get(key) {
            Some(put) => put.clone(),
            None => self.store.probe(key)?,
        };
        row.map(|r| read(key, &r)).transpose()
    }

    pub fn put<T: Serialize>(&mut self, key: impl Into<Vec<u8>>, value: &T) {
        // Plain data has a form in JSON.
        let row = serde_json::to_vec(value).unwrap_or_default();
        self.rows.insert(key.into(), Some(row));
    }

    pub fn drop_row(&mut self, key: impl Into<Vec<u8>>) {
        self.rows.insert(key.into(), None);
    }

    /// The stored rows under a prefix, with what was put since; at most `most`.
    pub fn keys(&self, prefix: &[u8], most: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut out = std::collections::BTreeSet::new();
        self.store.probes(prefix, prefix, &mut |k, _| {
            out.insert(k.to_vec());
            Ok(out.len() < most)
        })?;
        for (k, v) in self
            .rows
            .range(prefix.to_vec()..)
            .take_while(|(k, _)| k.starts_with(prefix))
        {
            match v {
                Some(_) => out.insert(k.clone()),
                None => out.remove(k),
            };
        }
        Ok(out.into_iter().collect())
    }

    /// Each stored value under a prefix.
    pub fn each<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        f: &mut dyn FnMut(T),
    ) -> Result<(), StoreError> {
        self.store.probes(prefix, prefix, &mut |k, v| {
            f(read(k, v)?);
            Ok(true)
        })
    }

    /// The stored rows under a prefix behind a key; at most `most`.
    pub fn keys_behind(
        &self,
        prefix: &[u8],
        behind: &[u8],
        most: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut out = Vec::new();
        self.store.probes(prefix, behind, &mut |k, _| {
            if k > behind {
                out.push(k.to_vec());
            }
            Ok(out.len() < most)
        })?;
        Ok(out)
    }

    /// The stored rows that say when jobs are looked at, from a time to a time; at most `most`.
    pub fn whens(&self, from: u64, to: u64, most: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let (mut out, end) = (Vec::new(), key::when(to, u64::MAX));
        self.store
            .probes(b"W", &key::number(b'W', from), &mut |k, _| {
                let within = k <= &end[..] && out.len() < most;
                if within {
                    out.push(k.to_vec());
                }
                Ok(within)
            })?;
        Ok(out)
    }

    /// The stored numbers behind a prefix that are lower than one, the highest first; at most
    /// `most`.
    pub fn numbers_below(
        &self,
        prefix: &[u8],
        number: u64,
        most: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let mut out = Vec::new();
        self.store.probes_back(
            prefix,
            &[prefix, &number.to_be_bytes()].concat(),
            &mut |k, _| {
                out.push(key::tail(k));
                Ok(out.len() < most)
            },
        )?;
        Ok(out)
    }

    /// The next number of a job or a proof.
    pub fn number(&mut self) -> Result<u64, StoreError> {
        let n = self.get::<u64>(key::NUMBER)?.unwrap_or(0) + 1;
        self.put(key::NUMBER, &n);
        Ok(n)
    }

    pub fn verdict(&self, subject: &Subject) -> Result<Verdict, StoreError> {
        self.store.verdict(subject)
    }

    /// A change of a listing, on a proof.
    pub fn change(
        &mut self,
        subject: Subject,
        author: &str,
        ask: Ask,
        proof: String,
        breaks_hold: bool,
    ) {
        let kind = if matches!(ask, Ask::List { .. }) {
            EvidenceKind::Delivery
        } else {
            EvidenceKind::Probe
        };
        let terms = Terms {
            from: "tester".into(),
            breaks_hold,
            ..Terms::default()
        };
        self.changes.push(Change {
            subject,
            author: author.into(),
            evidence: Some(Evidence { kind, text: proof }),
            ask,
            terms,
        });
    }

    /// Everything that was put, as one commit with its audit record.
    pub fn rows(self, audit: Option<schema::Audit>) -> RelayRows {
        RelayRows {
            rows: self.rows.into_iter().collect(),
            changes: self.changes,
            audit,
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(key: &[u8], row: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(row).map_err(|e| {
        StoreError::Damaged(format!(
            "a row of relay tests ({}): {e}",
            String::from_utf8_lossy(&key[..1])
        ))
    })
}
