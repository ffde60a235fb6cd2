//! The stored form of rows. The fixture has rows of an earlier version.

use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::relay::{
    policy::{Budget, OptOut, OutputRecord},
    proof::IssuedToken,
    proofs::Proof,
    transcript::render_transcript,
};

/// Each line has a key in hexadecimal and a value.
const ROWS: &str = include_str!("rows.txt");

/// Fields that later versions added, with their default values.
const ADDED_FIELDS: [&str; 1] = ["\"ehlo\":false,"];

fn assert_round_trip<T: Serialize + DeserializeOwned>(value: &str) {
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
            RelayKey::Job(_) => assert_round_trip::<Job>(value),
            RelayKey::Host(_) => assert_round_trip::<HostRecord>(value),
            RelayKey::Token(_) => assert_round_trip::<IssuedToken>(value),
            RelayKey::Output(_) => assert_round_trip::<OutputRecord>(value),
            RelayKey::Proof(_) => assert_round_trip::<Proof>(value),
            RelayKey::PrefixBudget(_) | RelayKey::NetworkBudget(_) => {
                assert_round_trip::<Budget>(value);
            }
            RelayKey::Reporter(_) => assert_round_trip::<ReporterRecord>(value),
            RelayKey::OptOut(_) => assert_round_trip::<OptOut>(value),
            RelayKey::Outages | RelayKey::Loads => assert_round_trip::<Vec<Outage>>(value),
            RelayKey::Heartbeat => assert_round_trip::<Time>(value),
            RelayKey::LastId => assert_round_trip::<u64>(value),
            RelayKey::Claim(_) | RelayKey::ListingProofsComplete => {
                assert_round_trip::<bool>(value);
            }
            RelayKey::Transcript(_) => {
                let text: String = serde_json::from_str(value).unwrap();
                assert_eq!(render_transcript(&parse_transcript(&text)), text);
            }
            RelayKey::OpenJob(_)
            | RelayKey::DueJob(..)
            | RelayKey::HostJob(..)
            | RelayKey::InputProof(..)
            | RelayKey::OutputProof(..)
            | RelayKey::ListingProof(..) => assert_round_trip::<()>(value),
        }
    }
    assert_eq!(kinds.len(), 22, "a row of each kind");
}

#[test]
fn value_that_cannot_be_encoded_fails_the_commit() {
    let b = Bench::new();
    let mut batch = b.relay.batch(b.now);
    // JSON cannot have lists as keys.
    batch.put(&RelayKey::Loads, &HashMap::from([(vec![1], 1)]));
    assert!(matches!(
        b.relay.write(batch, None),
        Err(RelayError::Ledger(_))
    ));
    let batch = b.relay.batch(b.now);
    assert_eq!(batch.get::<Vec<Outage>>(&RelayKey::Loads).unwrap(), None);
}
