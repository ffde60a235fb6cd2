//! Bugs by their names.

use crate::lab::Folder;

/// Events were written in a form that could not be read back, so that a look-up called the store damaged.
#[test]
fn history_with_every_kind_of_event_reads_back() {
    let f = Folder::new();
    f.ok(&["list", "45.1.1.1", "--reason", "relay", "--note", "n"]);
    f.ok(&["delist", "45.1.1.1"]);
    f.ok(&["exempt", "45.1.1.1"]);
    f.ok(&["exempt", "--remove", "45.1.1.1"]);
    let events = f.json(&["lookup", "45.1.1.1", "--json"])["history"].as_array().unwrap().len();
    assert_eq!(events, 4);
}
