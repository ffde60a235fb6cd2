//! Mirrors follow a zone that publishes single IPv6 addresses as the networks around them.

use std::{net::SocketAddr, time::Duration};

use super::{Laboratory, proxy::TransferKind, servers::Kind};
use crate::lab::{query, shown, udp};

const ZONE: &str = "wide.orbs.example";

/// The labels of an address of 2a01:4f8:1::/64 with this end.
fn labels(end: u8) -> String {
    let nibbles = format!("2a0104f80001000000000000000000{end:02x}");
    let nibbles: Vec<String> = nibbles.chars().rev().map(String::from).collect();
    nibbles.join(".")
}

/// What a server answers for an address of that network.
fn answer(at: SocketAddr, end: u8) -> String {
    let name = format!("{}.{ZONE}", labels(end));
    shown(&udp(at, &query(&name, 1, true), Duration::from_secs(5)).unwrap())
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn mirrors_have_the_network_of_an_address_by_axfr_and_ixfr() {
    let kinds = [Kind::Nsd, Kind::Knot, Kind::Bind];
    let lab = Laboratory::new("", &[ZONE], &kinds, |f| {
        f.ok(&["list", "2a01:4f8:1::1", "--reason", "relay"]);
        (0..30).for_each(|n| {
            let other = format!("2a01:4f8:2:{n}::1");
            f.ok(&["list", &other, "--reason", "relay"]);
        });
    });
    let run = |args: &[&str]| drop(lab.folder.ok(args));
    let all = |end: u8| {
        let mut servers = vec![lab.folder.addr()];
        servers.extend(lab.mirrors.iter().map(|m| m.addr));
        let mut answers: Vec<String> = servers.iter().map(|at| answer(*at, end)).collect();
        answers.dedup();
        assert_eq!(answers.len(), 1, "{end}: {answers:?}");
        answers.remove(0)
    };
    let records = lab.equal(ZONE);
    let wildcard = format!("*.{}.{ZONE}. ", &labels(0)[32..]);
    let address = format!("{}.{ZONE}. ", labels(1));
    assert!(
        records.iter().any(|r| r.starts_with(&wildcard)),
        "{records:#?}"
    );
    assert!(
        !records.iter().any(|r| r.starts_with(&address)),
        "{records:#?}"
    );
    assert_eq!(all(0x77), "NOERROR 127.0.0.2");
    // An exempt address.
    run(&["exempt", "2a01:4f8:1::77"]);
    lab.equal(ZONE);
    assert!(all(0x77).starts_with("NXDOMAIN"), "{}", all(0x77));
    assert_eq!(all(0x78), "NOERROR 127.0.0.2");
    // A second address changes nothing, and one of two does not end it.
    run(&["list", "2a01:4f8:1::2", "--reason", "relay"]);
    run(&["delist", "2a01:4f8:1::1", "--no-hold"]);
    lab.equal(ZONE);
    assert_eq!(all(0x78), "NOERROR 127.0.0.2");
    run(&["delist", "2a01:4f8:1::2", "--no-hold"]);
    lab.equal(ZONE);
    assert!(all(0x78).starts_with("NXDOMAIN"), "{}", all(0x78));
    run(&["list", "2a01:4f8:1::3", "--reason", "relay", "--exact"]);
    let records = lab.equal(ZONE);
    let address = format!("{}.{ZONE}. ", labels(3));
    assert!(
        records.iter().any(|r| r.starts_with(&address)),
        "{records:#?}"
    );
    assert_eq!(all(3), "NOERROR 127.0.0.2");
    assert!(all(4).starts_with("NXDOMAIN"), "{}", all(4));
    for m in &lab.mirrors {
        let transfers = m.wire.transfers();
        let is_ixfr = transfers
            .last()
            .is_some_and(|t| t.kind == TransferKind::Ixfr);
        assert!(is_ixfr, "{:?}: {transfers:?}", m.kind);
    }
    assert!(lab.daemon.stop().success());
}
