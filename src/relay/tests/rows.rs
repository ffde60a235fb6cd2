//! The stored form of rows: a fixture has rows that were written before relay testing had a module
//! of its own.

use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::relay::{
    policy::{Budget, OptOut, OutputRecord},
    proof::IssuedToken,
    proofs::Proof,
    transcript::render_transcript,
};

/// Keys in hexadecimal digits, and values.
const ROWS: &str = include_str!("rows.txt");

/// Fields that were added after the fixture, with the values that old rows get.
const ADDED_FIELDS: [&str; 1] = ["\"ehlo\":false,"];

fn same<T: Serialize + DeserializeOwned>(value: &str) {
    let read: T = serde_json::from_str(value).unwrap_or_else(|e| panic!("{value}: {e}"));
    let mut written = serde_json::to_string(&read).unwrap();
    for field in ADDED_FIELDS {
        written = written.replace(field, "");
    }
    assert_eq!(written, value);
}

#[test]
fn rows_of_an_earlier_version_are_read_and_written_unchanged() {
    let mut kinds = std::collections::BTreeSet::new();
    for line in ROWS.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        let bytes = data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
        let key = RelayKey::decode(&bytes).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(key.encode(), bytes, "{line}");
        kinds.insert(bytes[0]);
        match key {
            RelayKey::Job(_) => same::<Job>(value),
            RelayKey::Host(_) => same::<HostRecord>(value),
            RelayKey::Token(_) => same::<IssuedToken>(value),
            RelayKey::Output(_) => same::<OutputRecord>(value),
            RelayKey::Proof(_) => same::<Proof>(value),
            RelayKey::PrefixBudget(_) | RelayKey::NetworkBudget(_) => same::<Budget>(value),
            RelayKey::Reporter(_) => same::<ReporterRecord>(value),
            RelayKey::OptOut(_) => same::<OptOut>(value),
            RelayKey::Outages | RelayKey::Loads => same::<Vec<Outage>>(value),
            RelayKey::Heartbeat => same::<Time>(value),
            RelayKey::LastId => same::<u64>(value),
            RelayKey::Claim(_) | RelayKey::ListingProofsComplete => same::<bool>(value),
            RelayKey::Transcript(_) => {
                let text: String = serde_json::from_str(value).unwrap();
                assert_eq!(render_transcript(&parse_transcript(&text)), text);
            }
            RelayKey::OpenJob(_)
            | RelayKey::DueJob(..)
            | RelayKey::HostJob(..)
            | RelayKey::InputProof(..)
            | RelayKey::OutputProof(..)
            | RelayKey::ListingProof(..) => same::<()>(value),
        }
    }
    assert_eq!(kinds.len(), 22, "a row of each kind");
}

#[test]
fn a_value_that_cannot_be_encoded_fails_the_commit() {
    let b = Bench::new();
    let mut batch = b.relay.batch(b.now);
    // JSON has no keys that are lists.
    batch.put(&RelayKey::Loads, &HashMap::from([(vec![1], 1)]));
    assert!(matches!(
        b.relay.write(batch, None),
        Err(RelayError::Ledger(_))
    ));
    let batch = b.relay.batch(b.now);
    assert_eq!(batch.get::<Vec<Outage>>(&RelayKey::Loads).unwrap(), None);
}
