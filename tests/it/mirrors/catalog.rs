//! A catalog zone (RFC 9432): mirrors find the zones by it.

use super::{
    Laboratory, Mirror, SYNC_TIMEOUT,
    agree::{agree, names, owners},
    servers::Kind,
    wire::serial,
    worlds::{Random, World, ZONES, catalog, send, zone},
};

const CATALOG: &str = "catalog.orbs.example";

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn knot_bind_and_powerdns_add_and_remove_zones_of_the_catalog() {
    let kinds = [Kind::Knot, Kind::Bind, Kind::Powerdns];
    let mut world = World::default();
    let lab = Laboratory::with_catalog(CATALOG, &ZONES[..2], &kinds, |f| {
        send(f.path(), &world.changes(&mut Random(5), 300));
    });
    std::thread::sleep(std::time::Duration::from_secs(6));
    for name in &ZONES[..2] {
        let we = lab.equal(name);
        let names = names(
            name,
            &owners(name, &we),
            &world.listed,
            &mut Random(6),
            2000,
        );
        agree(lab.folder.addr(), &lab.mirrors, name, &names);
    }
    // A new zone file adds the zone at all mirrors, and a removed one removes it.
    let told: Vec<_> = lab.mirrors.iter().map(|m| m.addr).collect();
    let domains = ZONES[3];
    lab.folder.write("zones/dbl.toml", &zone(domains, &told));
    std::fs::remove_file(lab.folder.path().join("zones/all.toml")).unwrap();
    lab.folder.ok(&["reload", "--force"]);
    lab.in_step(domains);
    let until = std::time::Instant::now() + SYNC_TIMEOUT;
    while let Some(m) = lab
        .mirrors
        .iter()
        .find(|m| serial(m.addr, ZONES[1]).is_some())
    {
        assert!(
            std::time::Instant::now() < until,
            "{:?} still has {}:\n{}",
            m.kind,
            ZONES[1],
            m.log()
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    lab.equal(domains);
    lab.equal(ZONES[0]);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn nsd_adds_and_removes_zones_of_an_include_file() {
    let mut lab = Laboratory::prepared("", &ZONES[..1], &[Kind::Nsd], |f| {
        drop(send(
            f.path(),
            &World::default().changes(&mut Random(5), 300),
        ));
    });
    let at = lab.mirrors.remove(0).addr;
    lab.folder
        .write("zones/catalog.toml", &catalog(CATALOG, &[]));
    lab.folder.ok(&["reload", "--force"]);
    let file = lab.folder.path().join("nsd.zones");
    let export = || {
        lab.folder.ok(&[
            "export",
            "catalog",
            "--format",
            "nsd",
            "--output",
            file.to_str().unwrap(),
        ])
    };
    export();
    let mut mirror = Mirror::with_include(at, lab.folder.addr(), &file);
    mirror.start();
    mirror.in_step(ZONES[0], lab.folder.addr(), SYNC_TIMEOUT);
    lab.folder.write("zones/dbl.toml", &zone(ZONES[3], &[at]));
    std::fs::remove_file(lab.folder.path().join("zones/bl.toml")).unwrap();
    lab.folder.ok(&["reload", "--force"]);
    export();
    mirror.control("reconfig");
    mirror.in_step(ZONES[3], lab.folder.addr(), SYNC_TIMEOUT);
    let until = std::time::Instant::now() + SYNC_TIMEOUT;
    while serial(at, ZONES[0]).is_some() {
        assert!(
            std::time::Instant::now() < until,
            "it still has {}:\n{}",
            ZONES[0],
            mirror.log()
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    lab.mirrors.push(mirror);
    lab.equal(ZONES[3]);
}
