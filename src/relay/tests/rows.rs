//! The stored form of rows. The fixture has rows of an earlier version.

use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::{
    ledger::KeyPart,
    relay::{
        tables::{
            CLAIMS, HEARTBEAT, HOST_JOBS, INPUT_PROOFS, JOBS, LAST_ID, LISTING_PROOFS_COMPLETE,
            NETWORK_BUDGETS, OPEN_JOBS, OPT_OUTS, OUTPUT_PROOFS, OUTPUTS, PREFIX_BUDGETS, PROOFS,
            TOKENS, TRANSCRIPTS,
        },
        transcript::render_transcript,
    },
};

/// Each line has a key in hexadecimal and a value.
const ROWS: &str = include_str!("rows.txt");

/// Fields that later versions added, with their default values.
const ADDED_FIELDS: [&str; 1] = ["\"ehlo\":false,"];

/// Checks a row if it is in the table: its key and its value are written as they were read.
fn assert_round_trip<K: KeyPart, V: Serialize + DeserializeOwned>(
    table: &RelayTable<K, V>,
    key: &[u8],
    value: &str,
) -> bool {
    let range = table.all();
    if !key.starts_with(&range.prefix) {
        return false;
    }
    let read_key = range.decode(key).unwrap_or_else(|| panic!("{key:?}"));
    assert_eq!(table.encode(&read_key), key);
    let read: V = serde_json::from_str(value).unwrap_or_else(|e| panic!("{value}: {e}"));
    let mut written = serde_json::to_string(&read).unwrap();
    for field in ADDED_FIELDS {
        written = written.replace(field, "");
    }
    assert_eq!(written, value);
    true
}

#[test]
fn rows_of_an_earlier_version_are_read_and_written_unchanged() {
    let mut letters = std::collections::BTreeSet::new();
    for line in ROWS.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        let key = &data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
        letters.insert(key[0]);
        let in_tables = [
            assert_round_trip(JOBS, key, value),
            assert_round_trip(OPEN_JOBS, key, value),
            assert_round_trip(DUE_JOBS, key, value),
            assert_round_trip(HOST_JOBS, key, value),
            assert_round_trip(TRANSCRIPTS, key, value),
            assert_round_trip(HOSTS, key, value),
            assert_round_trip(CLAIMS, key, value),
            assert_round_trip(PREFIX_BUDGETS, key, value),
            assert_round_trip(NETWORK_BUDGETS, key, value),
            assert_round_trip(OPT_OUTS, key, value),
            assert_round_trip(REPORTERS, key, value),
            assert_round_trip(TOKENS, key, value),
            assert_round_trip(OUTPUTS, key, value),
            assert_round_trip(PROOFS, key, value),
            assert_round_trip(INPUT_PROOFS, key, value),
            assert_round_trip(OUTPUT_PROOFS, key, value),
            assert_round_trip(LISTING_PROOFS, key, value),
            assert_round_trip(LAST_ID, key, value),
            assert_round_trip(OUTAGES, key, value),
            assert_round_trip(LOADS, key, value),
            assert_round_trip(HEARTBEAT, key, value),
            assert_round_trip(LISTING_PROOFS_COMPLETE, key, value),
        ];
        let tables = in_tables.into_iter().filter(|is_in| *is_in).count();
        assert_eq!(tables, 1, "{line}");
        if key[0] == b'S' {
            let text: String = serde_json::from_str(value).unwrap();
            assert_eq!(render_transcript(&parse_transcript(&text)), text);
        }
    }
    assert_eq!(letters.len(), 22, "a row of each table");
}

#[test]
fn value_that_cannot_be_encoded_fails_the_commit() {
    let b = Bench::new();
    let mut batch = b.relay.batch(b.now);
    // JSON cannot have lists as keys.
    let table: RelayTable<(), HashMap<Vec<u8>, u8>> = RelayTable::new(b'l');
    batch.put(&table, &(), &HashMap::from([(vec![1], 1)]));
    assert!(matches!(b.relay.write(batch), Err(RelayError::Ledger(_))));
    let batch = b.relay.batch(b.now);
    assert_eq!(batch.get(LOADS, &()).unwrap(), None);
}
