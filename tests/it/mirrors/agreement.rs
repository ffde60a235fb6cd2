//! Mirrors give the same answers as the primary (law 8).

use std::time::Duration;

use super::{
    Laboratory,
    agree::{agree, names, owners},
    proxy::TransferKind,
    servers::{ALL, Kind},
    worlds::{Random, World, ZONES, belongs, feeds, send},
};

/// The changes in a request. Each request leads to at least one new serial.
const REQUEST: usize = 100;

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn mirrors_answer_like_the_primary_and_follow_thousands_of_changes_by_ixfr() {
    let mut r = Random(0x5eed);
    let mut world = World::default();
    let first = world.changes(&mut r, 3000);
    let lab = Laboratory::new("", &ZONES, &ALL, |f| {
        feeds(f);
        let refused = send(f.path(), &first);
        assert!(refused.len() < first.len() / 20, "{refused:?}");
    });
    let ours = lab.folder.addr();
    for (round, want) in [21_000, 3_000, 21_000].into_iter().enumerate() {
        // Everything that expires has expired, so that nothing changes during the comparison.
        std::thread::sleep(Duration::from_secs(6));
        for zone in ZONES {
            let we = lab.equal(zone);
            let subjects = world
                .listed
                .iter()
                .chain(&world.exempt)
                .filter(|s| belongs(zone, s))
                .cloned();
            let names = names(
                zone,
                &owners(zone, &we),
                &subjects.collect::<Vec<_>>(),
                &mut r,
                want,
            );
            assert!(
                names.len() >= want - want / 20,
                "{zone}: {} names",
                names.len()
            );
            agree(ours, &lab.mirrors, zone, &names);
        }
        for m in &lab.mirrors {
            let passed: Vec<_> = m
                .wire
                .transfers()
                .into_iter()
                .filter(|p| p.bytes > 0)
                .collect();
            let count = |k| passed.iter().filter(|p| p.kind == k).count();
            let (axfr, ixfr, whole) = (
                count(TransferKind::Axfr),
                count(TransferKind::Ixfr),
                count(TransferKind::Whole),
            );
            let all = ZONES.iter().all(|z| {
                passed
                    .iter()
                    .any(|p| p.zone == *z && p.kind == TransferKind::Ixfr)
            });
            // PowerDNS uses only AXFR, because its IXFR does not give the right zone
            // (docs/mirrors/powerdns.md). A difference that is larger than the zone is sent as the
            // zone; few are. NSD 4.6 counts two transfers that arrive while it applies another as a
            // failed one, and fetches the zone again (docs/mirrors/nsd.md).
            let right = match (round, m.kind) {
                (_, Kind::Powerdns) => ixfr == 0 && axfr >= ZONES.len(),
                (0, _) => axfr >= ZONES.len(),
                (_, Kind::Nsd) => all && (whole + axfr) * 4 <= ixfr,
                _ => axfr == 0 && all && whole * 4 <= ixfr,
            };
            assert!(
                right,
                "{:?}, round {round}: {axfr} AXFR, {ixfr} IXFR, {whole} whole: {passed:?}\n{}",
                m.kind,
                m.log()
            );
        }
        let changes = world.changes(&mut r, 2000);
        for some in changes.chunks(REQUEST) {
            send(lab.folder.path(), some);
        }
    }
    assert!(lab.daemon.stop().success());
}
