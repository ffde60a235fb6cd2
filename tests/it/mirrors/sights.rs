//! Mirrors follow what leaves a zone because it was last seen too long ago, and what returns.

use std::time::{Duration, Instant};

use super::{Laboratory, agree::dump, proxy::TransferKind, servers::Kind};

const ZONE: &str = "recent.orbs.example";
/// The addresses of the test, as labels: one that is listed first, one of several that are listed
/// later, and one of a feed.
const ALL: [&str; 3] = ["1.0.52.45", "9.0.53.45", "7.100.51.45"];

/// Waits until the zone lists exactly these of [`ALL`], and compares the mirrors.
fn until_listed(lab: &Laboratory, listed: &[&str]) {
    let begin = Instant::now();
    loop {
        let records = dump(lab.folder.addr(), ZONE);
        let is_listed = |labels: &&&str| {
            let owner = format!("{labels}.{ZONE}. ");
            records.iter().any(|r| r.starts_with(&owner))
        };
        let found: Vec<&str> = ALL.iter().filter(is_listed).copied().collect();
        if found == listed {
            break;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{found:?}: {records:#?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    lab.equal(ZONE);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn mirrors_lose_and_regain_what_was_not_seen_within_the_limit() {
    let kinds = [Kind::Nsd, Kind::Knot, Kind::Bind];
    let lab = Laboratory::new("", &[ZONE], &kinds, |f| {
        f.write("a.txt", "45.51.100.7\n");
    });
    let import = || {
        let source = ["--reason", "relay", "--source", "feed-a", "a.txt"];
        lab.folder.ok(&[&["import"][..], &source].concat());
    };
    let list = |subject: &str| lab.folder.ok(&["list", subject, "--reason", "relay"]);
    list("45.52.0.1");
    std::thread::sleep(Duration::from_secs(10));
    (0..20).for_each(|n| drop(list(&format!("45.53.0.{n}"))));
    import();
    until_listed(&lab, &ALL);
    // One listing of many is a difference.
    until_listed(&lab, &ALL[1..]);
    for m in &lab.mirrors {
        let transfers = m.wire.transfers();
        let is_ixfr = transfers
            .last()
            .is_some_and(|t| t.kind == TransferKind::Ixfr);
        assert!(is_ixfr, "{:?}: {transfers:?}", m.kind);
    }
    until_listed(&lab, &[]);
    list("45.52.0.1");
    until_listed(&lab, &ALL[..1]);
    import();
    until_listed(&lab, &[ALL[0], ALL[2]]);
    until_listed(&lab, &[]);
    assert!(lab.daemon.stop().success());
}
