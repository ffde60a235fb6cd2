//! Zones that publish single IPv6 addresses as the networks around them, from changes to answers
//! and differences.

use std::net::Ipv6Addr;

use crate::{
    index::ip6::nibbles,
    ledger::{
        Import, LedgerError, LedgerSettings,
        tests::{Bench, DAY, RELAY, commit},
        writer::expiry::tests::relay_entry,
    },
    model::{
        Change, EntryText, PublishWidth, SourceId, Subject,
        history::{Command, HoldFor},
        time::Seconds,
    },
    store::schema::FeedEntry,
};

const FIRST: &str = "2a01:4f8:1::1";
const SECOND: &str = "2a01:4f8:1::2";
/// An address of the same network that is not listed.
const OTHER: &str = "2a01:4f8:1::77";
const NETWORK: &str = "2a01:4f8:1::/64";

/// The settings of a bench whose zone publishes networks of so many bits.
fn with_width(b: &Bench, bits: Option<u8>) -> LedgerSettings {
    let mut settings = b.settings.clone();
    settings.zones[0].publish[0].width = bits.map(|ipv6| PublishWidth { ipv6 });
    settings
}

/// A ledger whose zone publishes the /64 around each address.
fn wide() -> Bench {
    let mut b = Bench::new();
    b.stop();
    b.settings = with_width(&b, Some(64));
    b.start();
    b
}

/// Whether DNS lists an address.
fn is_listed(b: &Bench, address: &str) -> bool {
    let address: Ipv6Addr = address.parse().unwrap();
    let labels = nibbles(address.into()).map(|n| format!("{n:x}"));
    b.listed(&labels.join("."))
}

fn list(b: &Bench, address: &str, exact: bool) -> Result<u64, LedgerError> {
    let command = Command::List {
        reason: RELAY,
        source: SourceId::OPERATOR,
        until: Some(b.ledger().now().plus(Seconds(30 * DAY))),
        text: EntryText::default().with_exact(exact),
    };
    let change = Change::new(address.parse().unwrap(), "anna", command);
    commit(b.ledger(), change).map(|receipt| receipt.commit)
}

fn delist(b: &Bench, address: &str) {
    let command = Command::Delist {
        reason: None,
        source: None,
        hold: HoldFor::Nothing,
    };
    b.change(address, command);
}

fn import(b: &Bench, addresses: &[&str], exact: bool) {
    let source = b.ledger().source("xbl").unwrap();
    let mut import = Import::replace(source);
    b.ledger()
        .import_with(&mut import, |_, sink| {
            for address in addresses {
                let entry = relay_entry(b.ledger());
                let entry = FeedEntry {
                    text: entry.text.clone().with_exact(exact),
                    ..entry
                };
                sink(address.parse().unwrap(), entry)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn network_is_published_until_the_last_address_in_it_expires() {
    let b = wide();
    b.list(FIRST, 2);
    b.list(SECOND, 5);
    assert!(is_listed(&b, FIRST) && is_listed(&b, OTHER));
    assert!(!is_listed(&b, "2a01:4f8:1:1::1"), "another network");
    b.pass(2 * DAY);
    assert!(is_listed(&b, OTHER), "by the other address");
    b.pass(3 * DAY);
    assert!(!is_listed(&b, OTHER) && !is_listed(&b, SECOND));
}

#[test]
fn exempt_or_held_address_is_not_published_by_its_neighbour() {
    let b = wide();
    b.list(FIRST, 30);
    b.exempt(OTHER, 1);
    assert!(!is_listed(&b, OTHER) && is_listed(&b, SECOND));
    b.pass(DAY);
    assert!(is_listed(&b, OTHER));
    let hold = Command::Hold {
        reason: RELAY,
        until: None,
    };
    b.change(SECOND, hold.clone());
    assert!(!is_listed(&b, SECOND) && is_listed(&b, OTHER));
    b.change(NETWORK, hold);
    assert!(!is_listed(&b, OTHER), "the network is held");
    b.change(NETWORK, Command::Unhold { reason: None });
    assert!(is_listed(&b, OTHER));
    b.exempt(FIRST, 1);
    assert!(
        !is_listed(&b, OTHER),
        "the listing of an exempt address is not in force"
    );
}

#[test]
fn exact_listing_is_that_of_the_address_alone() {
    let mut b = wide();
    list(&b, FIRST, true).unwrap();
    assert!(is_listed(&b, FIRST) && !is_listed(&b, OTHER));
    let stored = b.ledger().store.verdict(&FIRST.parse().unwrap()).unwrap();
    assert!(stored.entries[0].text.exact);
    b.stop();
    b.start();
    assert!(is_listed(&b, FIRST) && !is_listed(&b, OTHER));
    list(&b, FIRST, false).unwrap();
    assert!(is_listed(&b, OTHER), "the last listing counts");
    for subject in [NETWORK, "45.51.1.1"] {
        let refused = list(&b, subject, true);
        let is_explained = matches!(&refused, Err(LedgerError::Invalid(why)) if why.contains("not a single IPv6 address"));
        assert!(is_explained, "{subject}: {refused:?}");
    }
}

#[test]
fn feed_publishes_networks_until_it_drops_the_addresses() {
    let b = wide();
    import(&b, &[FIRST, SECOND], false);
    assert!(is_listed(&b, OTHER));
    import(&b, &[SECOND], false);
    assert!(is_listed(&b, OTHER));
    import(&b, &[SECOND], true);
    assert!(!is_listed(&b, OTHER) && is_listed(&b, SECOND));
    import(&b, &[], false);
    assert!(!is_listed(&b, SECOND));
}

#[test]
fn start_and_reload_publish_the_same_networks() {
    let mut b = wide();
    b.list(FIRST, 30);
    list(&b, "2a01:4f8:2::1", true).unwrap();
    let check = |b: &Bench, why: &str| {
        assert!(is_listed(b, OTHER), "{why}");
        let exact = ["2a01:4f8:2::1", "2a01:4f8:2::2"].map(|a| is_listed(b, a));
        assert_eq!(exact, [true, false], "{why}");
    };
    check(&b, "at first");
    for has_image in [true, false] {
        b.stop();
        if !has_image {
            std::fs::remove_file(b.dir.path().join("data/image")).unwrap();
        }
        b.start();
        check(&b, "after a start");
    }
    b.ledger().configure(with_width(&b, None)).unwrap();
    assert!(is_listed(&b, FIRST) && !is_listed(&b, OTHER));
    b.ledger().configure(with_width(&b, Some(48))).unwrap();
    check(&b, "with another width");
    assert!(is_listed(&b, "2a01:4f8:1:ffff::1"));
    b.ledger().configure(with_width(&b, Some(64))).unwrap();
    check(&b, "after a reload");
    assert!(!is_listed(&b, "2a01:4f8:1:ffff::1"));
}

#[test]
fn difference_of_an_address_contains_its_network() {
    let b = wide();
    let serial = || b.ledger().published.snapshot().serials[0];
    b.list(SECOND, 30);
    let before = serial();
    b.list(FIRST, 30);
    delist(&b, SECOND);
    let diff = || b.ledger().diff_since("bl.orbs.example", before).unwrap();
    let both = diff().unwrap();
    let network: Subject = NETWORK.parse().unwrap();
    assert!(both.subjects.contains(&network), "{:?}", both.subjects);
    let address: Ipv6Addr = OTHER.parse().unwrap();
    let mask = |t: &crate::index::Tables| t.interned.value(t.ip6.get(address.into())).mask;
    assert_eq!(mask(&both.old), mask(&both.new.tables));
    delist(&b, FIRST);
    let both = diff().unwrap();
    assert_ne!(mask(&both.old), 0);
    assert_eq!(mask(&both.new.tables), 0);
}
