//! Real name servers mirror us, and answer as we do: NSD, Knot, BIND and PowerDNS, with the documentation's configurations.

mod agree;
mod proxy;
mod servers;
mod standin;
mod wire;
mod worlds;

use std::time::{Duration, Instant};

use crate::lab::{Daemon, Folder};
use agree::{agree, equal, names, owners};
use proxy::Kind as Passed;
use servers::{ALL, Kind, Mirror};
use worlds::{Random, World, ZONES, feeds, folder, send};

/// A daemon with the zones, and mirrors that have them.
struct Laboratory {
    folder: Folder,
    mirrors: Vec<Mirror>,
    daemon: Daemon,
    standin: standin::Standin,
}

/// How long a mirror may take to be in step; what it takes is another test's matter.
const PATIENCE: Duration = Duration::from_secs(30);

impl Laboratory {
    /// `fill` lists what is there before the mirrors come.
    fn new(more: &str, zones: &[&str], kinds: &[Kind], fill: impl FnOnce(&Folder)) -> Laboratory {
        let folder = folder(more, zones, &[]);
        let mut standin = standin::Standin::new();
        let mut mirrors: Vec<Mirror> = kinds.iter().map(|k| Mirror::new(*k, standin.addr, zones)).collect();
        let told: Vec<_> = mirrors.iter().map(|m| m.addr).collect();
        zones.iter().for_each(|z| drop(folder.write(&format!("zones/{}.toml", z.split('.').next().unwrap()), &worlds::zone(z, &told))));
        let daemon = Daemon::start(&folder);
        fill(&folder);
        std::thread::sleep(Duration::from_secs(6));
        standin.load(&folder, zones, &told);
        mirrors.iter_mut().for_each(Mirror::start);
        Laboratory { folder, mirrors, daemon, standin }
    }

    /// Waits until all mirrors are where we are.
    fn in_step(&self, zone: &str) -> u32 {
        let serial = wire::serial(self.folder.addr(), zone).unwrap();
        self.mirrors.iter().for_each(|m| m.at(zone, serial, PATIENCE));
        serial
    }
}

#[test]
fn law8_mirrors_answer_as_we_do_and_follow_thousands_of_changes_by_ixfr() {
    let mut r = Random(0x5eed);
    let mut world = World::default();
    let first = world.changes(&mut r, 3000);
    let mut lab = Laboratory::new("", &ZONES, &ALL, |f| {
        feeds(f);
        let refused = send(f.path(), &first);
        assert!(refused.len() < first.len() / 20, "{refused:?}");
    });
    let ours = lab.folder.addr();
    let told: Vec<_> = lab.mirrors.iter().map(|m| m.addr).collect();
    for round in 0..4 {
        if round > 0 { lab.standin.load(&lab.folder, &ZONES, &told); }
        let ax = lab.standin.addr;
        let begun = Instant::now();
        for zone in ZONES {
            lab.in_step(zone);
            // Listings that end by themselves may end meanwhile: the comparison is of what stands still.
            let we = equal(ax, &lab.mirrors, zone);
            let subjects: Vec<String> = world.listed.iter().chain(&world.exempt).filter(|s| s.ends_with(".test") == zone.starts_with("dbl")).cloned().collect();
            let want = if round == 0 || round == 3 { 21_000 } else { 4_000 };
            let names = names(zone, &owners(zone, &we), &subjects, &mut r, want);
            assert!(round > 0 || names.len() >= 20_000, "{}", names.len());
            agree(ours, &lab.mirrors, zone, &names);
        }
        eprintln!("round {round}: {:?}", begun.elapsed());
        for m in &lab.mirrors {
            let passed = m.wire.passed();
            let count = |k| passed.iter().filter(|p| p.kind == k && p.bytes > 0).count();
            let (axfr, ixfr, whole) = (count(Passed::Axfr), count(Passed::Ixfr), count(Passed::Whole));
            // PowerDNS is left at AXFR: what it makes of differences is not the zone (docs/mirrors/powerdns.md).
            let by_differences = round > 0 && m.kind != Kind::Powerdns;
            assert!(if by_differences { axfr + whole == 0 && ixfr >= ZONES.len() } else { ixfr == 0 }, "{:?}: {passed:?}", m.kind);
        }
        let changes = world.changes(&mut r, 1500);
        for some in changes.chunks(100) {
            send(lab.folder.path(), some);
        }
        // What ends by itself has ended.
        std::thread::sleep(Duration::from_secs(6));
    }
    assert!(lab.daemon.stop().success());
}
