//! Checks of the delegation at the parent.

use super::*;

fn addresses(all: &[(&str, &str)]) -> Addresses {
    let mut out = Addresses::new();
    for (name, address) in all {
        out.entry((*name).into()).or_default().insert(ip(address));
    }
    out
}

fn sound_referral() -> Referral {
    Referral {
        parent: "orbs.example".into(),
        servers: BTreeSet::from(["ns1.bl.orbs.example".into(), "ns2.other.example".into()]),
        glue: addresses(&[("ns1.bl.orbs.example", "192.0.2.1")]),
        ..Referral::default()
    }
}

fn resolved() -> Addresses {
    addresses(&[
        ("ns1.bl.orbs.example", "192.0.2.1"),
        ("ns2.other.example", "198.51.100.2"),
    ])
}

/// The findings that are not good.
fn problems(found: &Referral, resolved: &Addresses) -> Vec<Finding> {
    let all = delegation::assess(&zone(), found, resolved).into_iter();
    all.filter(|f| f.state != State::Good).collect()
}

#[test]
fn delegation_with_its_servers_and_glue_is_good() {
    assert_eq!(problems(&sound_referral(), &resolved()), []);
    let all = delegation::assess(&zone(), &sound_referral(), &resolved());
    let checks: Vec<&str> = all.iter().map(|f| f.check).collect();
    assert_eq!(checks, ["ns", "glue", "address"]);
}

#[test]
fn missing_glue_is_a_fault_with_the_record_to_add() {
    let found = Referral {
        glue: Addresses::new(),
        ..sound_referral()
    };
    let all = problems(&found, &resolved());
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].target, "bl.orbs.example: ns1.bl.orbs.example");
    expect(
        &all[0],
        State::Fault,
        "no glue",
        "add to the zone orbs.example.: ns1.bl.orbs.example. A 192.0.2.1",
    );
}

#[test]
fn glue_with_another_address_is_a_fault() {
    let found = Referral {
        glue: addresses(&[("ns1.bl.orbs.example", "192.0.2.99")]),
        ..sound_referral()
    };
    let all = problems(&found, &resolved());
    assert_eq!(all.len(), 1, "{all:?}");
    expect(
        &all[0],
        State::Fault,
        "192.0.2.99",
        "ns1.bl.orbs.example. A 192.0.2.1",
    );
}

#[test]
fn server_outside_of_the_zone_needs_an_address_and_no_glue() {
    let known = addresses(&[("ns1.bl.orbs.example", "192.0.2.1")]);
    let all = problems(&sound_referral(), &known);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (all[0].check, all[0].target.as_str()),
        ("address", "bl.orbs.example: ns2.other.example")
    );
    expect(&all[0], State::Fault, "no address", "ns2.other.example");
}

#[test]
fn zone_without_delegation_is_a_fault_with_the_records_to_add() {
    for found in [
        Referral {
            is_missing: true,
            parent: "orbs.example".into(),
            ..Referral::default()
        },
        Referral {
            parent: "orbs.example".into(),
            ..Referral::default()
        },
    ] {
        let all = problems(&found, &resolved());
        assert_eq!(all.len(), 1, "{all:?}");
        expect(
            &all[0],
            State::Fault,
            "does not delegate",
            "bl.orbs.example. NS ns1.bl.orbs.example., bl.orbs.example. NS ns2.other.example.",
        );
    }
}

#[test]
fn delegation_and_zone_with_different_servers_are_a_warning() {
    let mut found = sound_referral();
    found.servers.remove("ns2.other.example");
    let all = problems(&found, &resolved());
    expect(
        &all[0],
        State::Warning,
        "does not name ns2.other.example",
        "delegation",
    );
    let mut found = sound_referral();
    found.servers.insert("ns3.other.example".into());
    let known = addresses(&[
        ("ns2.other.example", "198.51.100.2"),
        ("ns3.other.example", "198.51.100.3"),
    ]);
    let all = problems(&found, &known);
    expect(
        &all[0],
        State::Warning,
        "names ns3.other.example",
        "zone file",
    );
}

#[test]
fn parent_that_has_the_zone_itself_shows_no_glue_and_that_is_no_fault() {
    let found = Referral {
        is_authoritative: true,
        glue: Addresses::new(),
        ..sound_referral()
    };
    assert_eq!(problems(&found, &resolved()), []);
}

#[test]
fn referral_is_read_from_all_sections() {
    let mut reply = Message::response(1, OpCode::Query);
    let ns = |text: &str| Record::from_rdata(name(ORIGIN), 60, RData::NS(NS(name(text))));
    reply.add_authority(ns("NS1.bl.orbs.example"));
    reply.add_authority(ns("ns2.other.example"));
    let glue = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
    reply.add_additional(Record::from_rdata(name("ns1.BL.orbs.example"), 60, glue));
    assert_eq!(
        delegation::referral("orbs.example", &reply),
        sound_referral()
    );
    let mut reply = Message::response(1, OpCode::Query);
    reply.metadata.response_code = ResponseCode::NXDomain;
    assert!(delegation::referral("orbs.example", &reply).is_missing);
}
