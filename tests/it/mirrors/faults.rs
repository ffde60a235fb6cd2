//! Failures between the primary and a mirror: the mirror is down, the journal is too short,
//! connections break, the primary is killed.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use hickory_proto::op::Message;
use orbsd::store::Store;
use serde_json::{Value, json};

use super::{
    Laboratory, SYNC_TIMEOUT,
    agree::dump,
    proxy::TransferKind,
    servers::Kind,
    wire::{self, frame, framed, serial, serial_of, transfer_query},
    worlds::{self, Random, World, send},
};
use crate::lab::{Daemon, Folder, query, udp};

const ZONE: &str = "bl.orbs.example";
/// The mirrors that use IXFR.
const BOTH: [Kind; 2] = [Kind::Nsd, Kind::Knot];

fn list(addresses: std::ops::Range<u32>) -> Vec<Value> {
    let host = |i: u32| std::net::Ipv4Addr::from((45 << 24) + i).to_string();
    addresses
        .map(|i| json!({"op": "list", "subject": host(i), "reason": "relay"}))
        .collect()
}

/// Imports a list of hosts, by their numbers, as a feed, with one new serial.
fn import(f: &Folder, source: &str, hosts: std::ops::Range<u32>) {
    let text: String = hosts
        .map(|i| format!("{}\n", std::net::Ipv4Addr::from((50 << 24) + i * 3)))
        .collect();
    f.write(source, &text);
    f.ok(&[
        "import", "--source", source, "--reason", "relay", "--format", "list", source,
    ]);
}

/// Returns the kinds of a mirror's transfers since the last call that had records.
fn kinds(lab: &Laboratory, mirror: usize) -> Vec<TransferKind> {
    lab.mirrors[mirror]
        .wire
        .transfers()
        .iter()
        .filter(|p| p.zone == ZONE && p.bytes > 0)
        .map(|p| p.kind)
        .collect()
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn mirror_that_was_down_continues_by_ixfr() {
    let lab = Laboratory::new("", &[ZONE], &BOTH, |f| drop(send(f.path(), &list(0..3000))));
    lab.equal(ZONE);
    (0..2).for_each(|m| drop(kinds(&lab, m)));
    lab.mirrors.iter().for_each(|m| m.wire.away(true));
    let (mut r, mut world) = (Random(77), World::default());
    for some in world.changes(&mut r, 2000).chunks(50) {
        send(lab.folder.path(), some);
    }
    std::thread::sleep(Duration::from_secs(6));
    let before = serial(lab.mirrors[0].addr, ZONE);
    assert_ne!(before, serial(lab.folder.addr(), ZONE));
    lab.mirrors.iter().for_each(|m| m.wire.away(false));
    send(lab.folder.path(), &list(5000..5001));
    lab.equal(ZONE);
    for m in 0..2 {
        let kinds = kinds(&lab, m);
        assert!(
            kinds.contains(&TransferKind::Ixfr)
                && !kinds.contains(&TransferKind::Whole)
                && !kinds.contains(&TransferKind::Axfr),
            "{kinds:?}"
        );
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn serial_older_than_the_journal_gets_an_axfr() {
    let lab = Laboratory::new("[journal]\nmax_size = \"64KiB\"", &[ZONE], &BOTH, |f| {
        drop(send(f.path(), &list(0..500)));
    });
    lab.equal(ZONE);
    let old = serial(lab.folder.addr(), ZONE).unwrap();
    (0..2).for_each(|m| drop(kinds(&lab, m)));
    lab.mirrors.iter().for_each(|m| m.wire.away(true));
    // More than the journal may hold. The journal is trimmed every minute; here while the daemon is
    // stopped.
    for some in list(1000..9000).chunks(400) {
        send(lab.folder.path(), some);
    }
    let Laboratory {
        folder,
        mirrors,
        daemon,
    } = lab;
    assert!(daemon.stop().success());
    let store = Store::open(folder.config().store).unwrap();
    let goes = store
        .trim(orbsd::clock::wall(), store.seq().unwrap())
        .unwrap()
        .expect("64 KiB of journal hold 8,000 changes");
    store.commit(goes).unwrap();
    drop(store);
    let lab = Laboratory {
        daemon: Daemon::start(&folder),
        folder,
        mirrors,
    };
    let taken = wire::take(lab.folder.addr(), ZONE, Some(old)).unwrap();
    assert_eq!(
        taken.records.get(1).and_then(serial_of),
        None,
        "an AXFR, not an IXFR"
    );
    lab.mirrors.iter().for_each(|m| m.wire.away(false));
    send(lab.folder.path(), &list(9000..9001));
    lab.equal(ZONE);
    for m in 0..2 {
        let kinds = kinds(&lab, m);
        assert!(
            kinds.contains(&TransferKind::Whole) || kinds.contains(&TransferKind::Axfr),
            "{kinds:?}"
        );
        // What is listed after that transfer may come by IXFR.
        assert_ne!(kinds.first(), Some(&TransferKind::Ixfr), "{kinds:?}");
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn interrupted_transfer_keeps_the_old_zone_and_is_repeated() {
    let lab = Laboratory::new("", &[ZONE], &BOTH, |f| import(f, "many", 0..30_000));
    let first = lab.equal(ZONE);
    // Interrupt an IXFR: the mirrors keep their zone. One commit, so that there is no serial in
    // between.
    lab.mirrors.iter().for_each(|m| m.wire.cut_after(40_000));
    import(&lab.folder, "more", 40_000..45_000);
    let cut = |times: u64| {
        let until = Instant::now() + SYNC_TIMEOUT;
        while lab.mirrors.iter().any(|m| m.wire.cuts() < times) {
            assert!(Instant::now() < until, "nothing was cut");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    cut(1);
    for (i, m) in lab.mirrors.iter().enumerate() {
        // A mirror may have retried quickly, but it never has anything in between.
        let has = lab.copy(i, ZONE);
        assert!(
            has == first || serial(m.addr, ZONE) == serial(lab.folder.addr(), ZONE),
            "{:?} has {} records",
            m.kind,
            has.len()
        );
    }
    send(lab.folder.path(), &list(5000..5001));
    let second = lab.equal(ZONE);
    assert_eq!(second.len(), first.len() + 2 * 5001);
    // Interrupt an AXFR: another TTL is another rendering, to which no difference leads.
    (0..2).for_each(|m| drop(kinds(&lab, m)));
    lab.mirrors.iter().for_each(|m| m.wire.cut_after(400_000));
    let told: Vec<_> = lab.mirrors.iter().map(|m| m.addr).collect();
    lab.folder.write(
        "zones/bl.toml",
        &format!("ttl='9m'\n{}", worlds::zone(ZONE, &told)),
    );
    lab.folder.ok(&["reload"]);
    cut(2);
    for (i, m) in lab.mirrors.iter().enumerate() {
        let has = lab.copy(i, ZONE);
        assert!(
            has == second || serial(m.addr, ZONE) == serial(lab.folder.addr(), ZONE),
            "{:?} has {} records",
            m.kind,
            has.len()
        );
    }
    send(lab.folder.path(), &list(5001..5002));
    let third = lab.equal(ZONE);
    assert!(third.iter().filter(|l| l.contains(" 540 A ")).count() > 30_000);
    (0..2).for_each(|m| {
        assert!(
            kinds(&lab, m).contains(&TransferKind::Whole),
            "{:?}",
            lab.mirrors[m].kind
        );
    });
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn mirror_recovers_after_the_primary_is_killed_during_a_transfer() {
    let mut lab = Laboratory::prepared("", &[ZONE], &BOTH, |f| import(f, "many", 0..40_000));
    lab.mirrors
        .iter()
        .for_each(|m| m.wire.pace(Duration::from_millis(60)));
    lab.mirrors.iter_mut().for_each(super::Mirror::start);
    let until = Instant::now() + SYNC_TIMEOUT;
    while lab.mirrors.iter().any(|m| m.wire.running_bytes() < 60_000) {
        assert!(Instant::now() < until, "no transfer");
        std::thread::sleep(Duration::from_millis(2));
    }
    lab.daemon.0.kill().unwrap();
    lab.daemon.0.wait().unwrap();
    assert!(
        lab.mirrors.iter().all(|m| serial(m.addr, ZONE).is_none()),
        "an incomplete zone is not served"
    );
    lab.daemon = Daemon::start(&lab.folder);
    lab.mirrors.iter().for_each(|m| m.wire.pace(Duration::ZERO));
    send(lab.folder.path(), &list(0..1));
    let all = lab.equal(ZONE);
    assert!(all.len() > 80_000);
    // Again with an existing zone, which the mirror keeps.
    lab.mirrors
        .iter()
        .for_each(|m| m.wire.pace(Duration::from_millis(60)));
    (0..2).for_each(|m| drop(kinds(&lab, m)));
    import(&lab.folder, "more", 50_000..62_000);
    let until = Instant::now() + SYNC_TIMEOUT;
    while lab.mirrors.iter().any(|m| m.wire.running_bytes() < 40_000) {
        assert!(Instant::now() < until, "no transfer");
        std::thread::sleep(Duration::from_millis(2));
    }
    let newest = serial(lab.folder.addr(), ZONE);
    lab.daemon.0.kill().unwrap();
    lab.daemon.0.wait().unwrap();
    let kept: Vec<_> = (0..2).map(|m| lab.copy(m, ZONE)).collect();
    lab.daemon = Daemon::start(&lab.folder);
    assert_eq!(
        serial(lab.folder.addr(), ZONE),
        newest,
        "acknowledged changes are stored with their serial"
    );
    // One of them may have ended its transfer while the other one had not begun.
    let new = dump(lab.folder.addr(), ZONE);
    let is_whole = |copy: &Vec<String>| *copy == all || *copy == new;
    assert!(kept.iter().all(is_whole), "a part of a zone is not served");
    lab.mirrors.iter().for_each(|m| m.wire.pace(Duration::ZERO));
    send(lab.folder.path(), &list(1..2));
    lab.equal(ZONE);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn thousand_simultaneous_transfers_do_not_starve_other_clients() {
    let lab = Laboratory::new("", &[ZONE], &[Kind::Knot], |f| import(f, "many", 0..20_000));
    let all = lab.equal(ZONE).len() + 1;
    let to = lab.folder.addr();
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..1000 {
        let Ok(mut s) = TcpStream::connect(to) else {
            continue;
        };
        s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A refused client may already be closed.
        let _ = s.write_all(&framed(&transfer_query(ZONE, None)));
        clients.push(s);
    }
    // Most of them do not read. Other clients are answered, and changes are made and followed.
    let mut slowest = Duration::ZERO;
    for i in 0..200 {
        let begun = Instant::now();
        assert!(
            udp(
                to,
                &query(&format!("2.0.0.127.{ZONE}"), 1, true),
                Duration::from_secs(2)
            )
            .is_some(),
            "query {i}"
        );
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    send(lab.folder.path(), &list(0..10));
    // Each is served completely, refused, or closed. An incomplete zone is never without a sign of
    // that.
    let (mut whole, mut refused, mut cut) = (0, 0, 0);
    for s in &mut clients {
        let mut records = Vec::new();
        loop {
            match frame(s) {
                Ok(Some(m)) => {
                    let m = Message::from_vec(&m).unwrap();
                    if m.answers.is_empty() {
                        refused += 1;
                        break;
                    }
                    records.extend(m.answers);
                    if records.len() > 1 && records.last().and_then(serial_of).is_some() {
                        assert!(records.len() >= all, "{} of {all}", records.len());
                        whole += 1;
                        break;
                    }
                }
                Ok(None) | Err(_) => {
                    cut += 1;
                    break;
                }
            }
        }
    }
    assert!(
        whole > 0 && whole + refused + cut == clients.len(),
        "{whole} whole, {refused} refused, {cut} cut"
    );
    drop(clients);
    send(lab.folder.path(), &list(10..20));
    lab.equal(ZONE);
    let memory = std::fs::read_to_string(format!("/proc/{}/status", lab.daemon.0.id())).unwrap();
    let peak: u64 = memory
        .lines()
        .find_map(|l| {
            l.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap();
    assert!(peak < 600_000, "{peak} kB for a thousand transfers");
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn ixfr_from_a_newer_serial_is_answered_with_the_soa_only() {
    let lab = Laboratory::new("", &[ZONE], &BOTH, |f| {
        (0..5).for_each(|i| drop(send(f.path(), &list(i * 20..i * 20 + 20))));
    });
    let now = serial(lab.folder.addr(), ZONE).unwrap();
    let single = |m: &[u8]| {
        let m = Message::from_vec(m).unwrap();
        (
            m.answers.len(),
            m.answers.first().and_then(serial_of),
            m.metadata.truncation,
        )
    };
    for ahead in [0, 1, 1000, (1 << 31) - 1] {
        let q = transfer_query(ZONE, Some(now.wrapping_add(ahead)));
        let by_udp = udp(lab.folder.addr(), &q, Duration::from_secs(2)).unwrap();
        assert_eq!(single(&by_udp), (1, Some(now), false), "UDP, {ahead} ahead");
        let mut s = TcpStream::connect(lab.folder.addr()).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        s.write_all(&framed(&q)).unwrap();
        assert_eq!(
            single(&frame(&mut s).unwrap().unwrap()),
            (1, Some(now), false),
            "TCP, {ahead} ahead"
        );
        // No record follows.
        s.set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        assert!(!matches!(s.read(&mut [0; 2]), Ok(1..)), "{ahead} ahead");
    }
    // The primary loses its store with the state of the mirrors, and its serial is older than
    // theirs. They keep their zones, are reported, and transfer the whole zone once the serial is
    // newer.
    let Laboratory {
        folder,
        mirrors,
        daemon,
    } = lab;
    assert!(daemon.stop().success());
    std::fs::rename(folder.path().join("data"), folder.path().join("lost")).unwrap();
    std::fs::remove_file(folder.path().join("data.mirrors.json")).unwrap();
    let daemon = Daemon::start(&folder);
    let behind = serial(folder.addr(), ZONE).unwrap();
    assert!(behind < now, "{behind}, {now}");
    send(folder.path(), &list(50_000..50_001));
    std::thread::sleep(Duration::from_secs(1));
    mirrors
        .iter()
        .for_each(|m| assert_eq!(serial(m.addr, ZONE), Some(now), "{:?}", m.kind));
    folder.ok(&["zone", "serial", ZONE, &(now + 1).to_string()]);
    send(folder.path(), &list(50_001..50_002));
    let lab = Laboratory {
        folder,
        mirrors,
        daemon,
    };
    assert!(lab.equal(ZONE).len() < 40);
}

/// Each kind of mirror keeps its zone if the serial is not newer, and transfers it after the
/// printed command.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn printed_commands_force_a_transfer() {
    let lab = Laboratory::new("", &[ZONE], &super::servers::ALL, |f| {
        drop(send(f.path(), &list(0..50)));
    });
    lab.equal(ZONE);
    lab.mirrors.iter().for_each(|m| m.wire.away(true));
    let had = serial(lab.folder.addr(), ZONE).unwrap();
    let far = (1u32 << 31) - 1;
    let first = had.wrapping_add(far);
    lab.folder.ok(&["zone", "serial", ZONE, &first.to_string()]);
    let refused = lab
        .folder
        .orbsd(&["zone", "serial", ZONE, &first.wrapping_add(far).to_string()]);
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("nsd-control force_transfer"),
        "{refused:?}"
    );
    lab.folder.ok(&[
        "zone",
        "serial",
        ZONE,
        &first.wrapping_add(far).to_string(),
        "--force",
    ]);
    lab.mirrors.iter().for_each(|m| m.wire.away(false));
    send(lab.folder.path(), &list(100..101));
    std::thread::sleep(Duration::from_secs(2));
    for m in &lab.mirrors {
        assert_eq!(serial(m.addr, ZONE), Some(had), "{:?}", m.kind);
        m.force_transfer(ZONE);
    }
    lab.equal(ZONE);
    // After this they follow as before.
    send(lab.folder.path(), &list(101..110));
    lab.equal(ZONE);
}
