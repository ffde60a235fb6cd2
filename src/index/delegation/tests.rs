use super::*;
use crate::model::{Reasons, Zone};

fn zone(kind: &str, origin: &str, ns: &str, records: &str) -> Result<ZoneView, String> {
    let text = format!(
        "origin = '{origin}'\nkind = '{kind}'\nns = ['{ns}']\ncontact = 'h@orbs.example'\n{records}"
    );
    ZoneView::new(
        &toml::from_str::<Zone>(&text).map_err(|e| e.to_string())?,
        &Reasons::default(),
        &Default::default(),
    )
}

fn record(name: &str, kind: &str, data: &str) -> String {
    format!("[[record]]\nname = '{name}'\ntype = '{kind}'\ndata = '{data}'\n")
}

fn missing(zones: Vec<ZoneView>) -> Vec<(usize, String, String, bool)> {
    let set = ZoneSet::new(zones).unwrap();
    set.missing_addresses()
        .into_iter()
        .map(|m| (m.zone, m.name, m.record, m.problem.is_some()))
        .collect()
}

#[test]
fn a_name_server_inside_a_zone_without_an_address_is_named() {
    let inside =
        |records: &str| vec![zone("address", "bl.x.example", "ns1.bl.x.example", records).unwrap()];
    assert_eq!(
        missing(inside("")),
        [(0, "ns1.bl.x.example".into(), "ns1".into(), false)]
    );
    assert_eq!(missing(inside(&record("ns1", "TXT", "x"))).len(), 1);
    for (kind, data) in [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")] {
        assert_eq!(missing(inside(&record("ns1", kind, data))), []);
    }
    assert_eq!(
        missing(vec![
            zone("address", "bl.x.example", "ns1.x.example", "").unwrap()
        ]),
        [],
        "outside of our zones"
    );
    let apex =
        |records: &str| vec![zone("domain", "bl.x.example", "bl.x.example", records).unwrap()];
    assert_eq!(
        missing(apex("")),
        [(0, "bl.x.example".into(), "@".into(), false)]
    );
    assert_eq!(missing(apex(&record("@", "A", "192.0.2.1"))), []);
    let odd = vec![zone("address", "bl.x.example", "7.bl.x.example", "").unwrap()];
    assert_eq!(
        missing(odd),
        [(0, "7.bl.x.example".into(), "7".into(), true)],
        "no record can have that name"
    );
    // It lies in another zone of ours, whose file lacks it.
    let other = vec![
        zone("address", "a.x.example", "ns1.b.x.example", "").unwrap(),
        zone("address", "b.x.example", "ns1.x.example", "").unwrap(),
    ];
    assert_eq!(
        missing(other),
        [(1, "ns1.b.x.example".into(), "ns1".into(), false)]
    );
}

#[test]
fn a_zone_has_the_glue_of_zones_below_it_and_another_hash_with_it() {
    let set = |data: &str| {
        let low = zone(
            "domain",
            "low.bl.x.example",
            "ns1.low.bl.x.example",
            &record("ns1", "AAAA", data),
        )
        .unwrap();
        ZoneSet::new(vec![
            zone("address", "bl.x.example", "ns1.low.bl.x.example", "").unwrap(),
            low,
        ])
        .unwrap()
    };
    let (one, two) = (set("2001:db8::1"), set("2001:db8::2"));
    let glue = &one.all()[0].fixed[&b"\x03ns1\x03low"[..]].rrs;
    assert_eq!(
        (glue.len(), glue[0].rtype, glue[0].ttl),
        (1, rtype::AAAA, 300)
    );
    assert_eq!(one.missing_addresses(), []);
    assert_ne!(
        one.all()[0].hash,
        two.all()[0].hash,
        "the serial moves with the glue"
    );
    let plain = zone("address", "bl.x.example", "ns1.x.example", "").unwrap();
    assert_eq!(
        ZoneSet::new(vec![plain.clone()]).unwrap().all()[0].hash,
        plain.hash,
        "without glue nothing moves"
    );
}

#[test]
fn ns_records_delegate_names_that_no_listing_can_have() {
    let with =
        |kind: &str, records: &str| zone(kind, "bl.x.example", "ns1.x.example", records).map(drop);
    let ns = |name: &str| record(name, "NS", "ns1.lab.bl.x.example");
    assert_eq!(
        with(
            "address",
            &(ns("lab") + &record("ns1.lab", "A", "192.0.2.1"))
        ),
        Ok(())
    );
    assert_eq!(with("address", &ns("a.lab")), Ok(()));
    for (kind, records, part) in [
        ("address", ns("7"), "could be part of an address"),
        ("address", ns("*.lab"), "`*`"),
        ("address", ns("@"), "`ns`"),
        ("domain", ns("lab"), "can be listed"),
        (
            "address",
            ns("lab") + &record("www.lab", "A", "192.0.2.1"),
            "www.lab: `lab` is delegated",
        ),
        (
            "address",
            record("www.lab", "A", "192.0.2.1") + &ns("lab"),
            "`lab` is delegated",
        ),
        (
            "address",
            ns("lab") + &record("lab", "TXT", "x"),
            "`lab` is delegated",
        ),
        (
            "address",
            ns("lab") + &record("ns1.lab", "TXT", "x"),
            "`lab` is delegated",
        ),
        (
            "address",
            ns("lab") + &ns("deeper.lab"),
            "`lab` is delegated",
        ),
    ] {
        let e = with(kind, &records).unwrap_err();
        assert!(e.contains(part), "{records}: {e}");
    }
}
