//! Acknowledged changes survive kills, full disks, damaged files and restarts.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufRead, BufReader, Write},
    process::{self, Stdio},
    time::Duration,
};

use orbsd::{
    index::{
        ip6::nibbles,
        names::name_key,
        values::{FactsId, ValueId},
    },
    ledger::Ledger,
    model::{
        Change, Prefix6, SourceId, Subject,
        history::{Command, EventKind},
        time::Seconds,
    },
    store::{Batch, Store, StoreError, schema},
};

use crate::lab::{Daemon, Folder, Lab, commit, query, shown, udp};

fn answer_to(f: &Folder, name: &str) -> String {
    let reply = udp(f.addr(), &query(name, 1, true), Duration::from_secs(5));
    shown(&reply.unwrap_or_else(|| panic!("no answer; the daemon says: {}", f.log())))
}

fn answer(f: &Folder, addr: u32) -> String {
    let [a, b, c, d] = addr.to_be_bytes();
    answer_to(f, &format!("{d}.{c}.{b}.{a}.bl.orbs.example"))
}

/// Kills the daemon fifty times during writes. A change that was not acknowledged may be stored,
/// but only completely and in order.
#[test]
fn acknowledged_changes_survive_kill_9_during_writes() {
    kill_rounds(50);
}

/// More changes than can be in flight at the same time.
const IN_FLIGHT: u32 = 1100;
/// Lines of an import that is killed: more than are committed row by row.
const IMPORTED: u32 = 21_000;

/// The tables whose subjects are listed while the daemon is killed.
#[derive(Clone, Copy)]
enum Family {
    Ip4,
    Ip6,
    Names,
}

impl Family {
    /// Each in turn.
    fn of_round(round: u32) -> Family {
        [Family::Ip4, Family::Ip6, Family::Names][round as usize % 3]
    }
    fn reason(self) -> &'static str {
        match self {
            Family::Ip4 | Family::Ip6 => "relay",
            Family::Names => "spam",
        }
    }
    fn subject(self, n: u32) -> Subject {
        match self {
            Family::Ip4 => Subject::host4(n),
            Family::Ip6 => Subject::V6(Prefix6::new(0x2a00 << 112 | u128::from(n) << 64, 64)),
            Family::Names => format!("n{n}.example").parse().unwrap(),
        }
    }
    /// What the name of a listed subject answers.
    fn answer(self, f: &Folder, n: u32) -> String {
        match self.subject(n) {
            Subject::V6(p) => {
                let nibbles = nibbles(p.first() | 7);
                let labels: Vec<String> = nibbles.iter().rev().map(|n| format!("{n:x}")).collect();
                answer_to(f, &format!("{}.bl.orbs.example", labels.join(".")))
            }
            Subject::Domain(d) => answer_to(f, &format!("{}.dbl.orbs.example", d.name())),
            Subject::V4(_) => answer(f, n),
        }
    }
    fn code(self) -> &'static str {
        match self {
            Family::Ip4 | Family::Ip6 => "NOERROR 127.0.0.2",
            Family::Names => "NOERROR 127.0.1.2",
        }
    }
    /// Whether a subject is stored; then it has a history, and queries see it.
    fn is_stored(self, ledger: &Ledger, n: u32) -> bool {
        let subject = self.subject(n);
        let stored = !ledger.store.verdict(&subject).unwrap().is_empty();
        let history = !ledger.store.history(&subject).unwrap().is_empty();
        let tables = &ledger.published.snapshot().tables;
        let answered = match &subject {
            Subject::V4(p) => tables.ip4.get(p.first()).0 != FactsId::NONE,
            Subject::V6(p) => tables.ip6.get(p.last()) != ValueId::EMPTY,
            Subject::Domain(d) => tables.names.value(&name_key(d.name())).own != ValueId::EMPTY,
        };
        assert!(
            stored == answered && stored == history,
            "{subject}: {stored} {answered} {history}"
        );
        stored
    }
}

fn kill_rounds(rounds: u32) {
    let f = Folder::new();
    let mut acked: HashSet<u32> = HashSet::new();
    let first_of = |round: u32| 0x2d00_0000 + round * 0x1_0000;
    let (mut seed, mut rounds_with_acks, mut imported) = (12345u32, 0, 0);
    for round in 0..rounds {
        let daemon = Daemon::start(&f);
        for n in acked.iter().filter(|n| *n % 7 == round % 7) {
            let family = Family::of_round((n - first_of(0)) >> 16);
            let answer = family.answer(&f, *n);
            assert_eq!(answer, family.code(), "acknowledged in an earlier round");
        }
        let family = Family::of_round(round);
        let mut child = process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
            .args(["list", "--reason", family.reason(), "--until", "90d"])
            .current_dir(f.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let base = first_of(round);
        let numbers: HashMap<String, u32> = (base..base + 20_000)
            .map(|n| (family.subject(n).to_string(), n))
            .collect();
        let writer = std::thread::spawn(move || {
            for i in 0..20_000u32 {
                // Every tenth line is refused, because it is in a special-purpose range.
                let special = if i % 10 == 0 {
                    format!("{}\n", std::net::Ipv4Addr::from(0x0a00_0000 + i))
                } else {
                    String::new()
                };
                if writeln!(stdin, "{special}{}", family.subject(base + i)).is_err() {
                    return;
                }
            }
        });
        // In every third round a large import of another list runs as well.
        let imported_family = Family::of_round(round / 3);
        let first_imported = 0x5000_0000 + round * 0x10_0000;
        let import = (round % 3 == 0).then(|| {
            let lines: String = (first_imported..first_imported + IMPORTED)
                .map(|n| format!("{}\n", imported_family.subject(n)))
                .collect();
            f.write("big.txt", &lines);
            let mut c = process::Command::new(env!("CARGO_BIN_EXE_orbsd"));
            let reason = imported_family.reason();
            c.args(["import", "--source", "big", "--reason", reason, "big.txt"])
                .current_dir(f.path());
            c.stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12345);
        let wait = Duration::from_millis(u64::from(
            20 + (seed >> 16) % if import.is_some() { 400 } else { 150 },
        ));
        // In every second round the time counts from the first acknowledgement, so that a slow
        // machine has some too.
        let (first_ack, acknowledged) = std::sync::mpsc::channel();
        let killer = std::thread::spawn(move || {
            if round % 2 == 1 {
                let _ = acknowledged.recv_timeout(Duration::from_secs(20));
            }
            std::thread::sleep(wait);
            drop(daemon);
        });
        let mut now = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
        {
            if let Some((subject, _)) = line.split_once(": listed") {
                let _ = first_ack.send(());
                now.push(numbers[subject]);
            }
        }
        killer.join().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        writer.join().unwrap();
        let acked_import = import.is_some_and(|mut c| c.wait().unwrap().success());
        rounds_with_acks += u32::from(!now.is_empty());
        acked.extend(&now);
        let ledger = f.ledger();
        for n in &now {
            assert!(family.is_stored(&ledger, *n), "lost {}", family.subject(*n));
        }
        // Changes in flight may be stored or not, but completely and without a gap between them.
        // Refused changes are not stored.
        let next = now.last().map_or(base, |a| a + 1);
        let there: Vec<bool> = (next..next + IN_FLIGHT)
            .map(|n| family.is_stored(&ledger, n))
            .collect();
        assert!(
            there.is_sorted_by(|a, b| a >= b),
            "changes are committed in order"
        );
        (0..20).for_each(|i| {
            assert!(
                !Family::Ip4.is_stored(&ledger, 0x0a00_0000 + i * 10),
                "refused, but listed"
            );
        });
        if round % 3 == 0 {
            let there = (first_imported..first_imported + IMPORTED)
                .filter(|n| imported_family.is_stored(&ledger, *n))
                .count() as u32;
            assert!(
                there == 0 || there == IMPORTED,
                "an import is stored completely or not at all: {there}"
            );
            assert!(!acked_import || there == IMPORTED, "an acknowledged import");
            imported += u32::from(there > 0);
        }
        ledger.stop().unwrap();
    }
    assert!(
        rounds_with_acks * 2 > rounds && acked.len() > rounds as usize,
        "the machine is too slow for this test: {rounds_with_acks} of {rounds}, {}",
        acked.len()
    );
    eprintln!(
        "{} acknowledged in {rounds_with_acks} of {rounds} rounds, {imported} imports",
        acked.len()
    );
}

/// Fills a small disk in a mount namespace of its own, and then frees it.
#[test]
fn full_disk_refuses_writes_and_recovers_without_loss() {
    let f = Folder::new();
    let script = r#"
set -u
trap 'kill $pid 2> /dev/null' EXIT
mkdir data && mount -t tmpfs -o size=40m tmpfs data || exit 90
head -c 4000000 /dev/zero > data/ballast
$ORBSD serve 2> log & pid=$!
for i in $(seq 50); do [ -S run/orbsd.sock ] && break; sleep 0.1; done
$ORBSD list 45.9.9.9 --reason relay > /dev/null || exit 91
for round in $(seq 20); do
    i=0
    while head -c 1000000 /dev/zero >> data/fill 2>/dev/null; do i=$((i+1)); [ $i -gt 60 ] && exit 92; done
    seq 1 200 | sed "s/^/45.1.$round./" | $ORBSD list --reason relay --note "$(head -c 30000 /dev/zero | tr '\0' x)" >> acked 2>> refused
    grep -qE 'outcome unknown|writes are refused' refused && break
done
dig +short +time=2 @127.0.0.1 -p PORT 9.9.9.45.bl.orbs.example | grep -q 127.0.0.2 || exit 97
# The store takes writes again as soon as a compaction has made room: fill the disk until they are
# refused while the status is printed.
refusing=no
for round in $(seq 20); do
    head -c 40000000 /dev/zero >> data/fill 2>/dev/null
    seq 1 100 | sed "s/^/45.7.$round./" | $ORBSD list --reason relay --note "$(head -c 30000 /dev/zero | tr '\0' x)" > /dev/null 2>&1
    $ORBSD status > status.txt 2>&1 || { refusing=yes; break; }
done
[ $refusing = yes ] || exit 98
grep -q 'writes refused' status.txt || exit 99
rm data/fill data/ballast
for i in $(seq 60); do $ORBSD list 45.8.8.8 --reason relay > /dev/null 2>&1 && break; sleep 0.2; done
$ORBSD lookup 45.8.8.8 > /dev/null || exit 93
$ORBSD lookup 45.9.9.9 > /dev/null || exit 94
sed -n 's/: listed.*//p' acked | while read a; do $ORBSD lookup $a > /dev/null || exit 95; done || exit 95
# Refused changes with a known outcome are not stored.
sed -n 's/: writes are refused.*//p' refused | while read a; do $ORBSD lookup $a > /dev/null && exit 89; done; [ $? = 89 ] && exit 89
[ -s acked ] || exit 88
kill $pid; wait $pid
$ORBSD lookup 45.9.9.9 > /dev/null || exit 96
"#;
    let script = script.replace("PORT", &f.port.to_string());
    let out = process::Command::new("unshare")
        .args([
            "-rm",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            &script,
        ])
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .current_dir(f.path())
        .output()
        .unwrap();
    let read = |n: &str| fs::read_to_string(f.path().join(n)).unwrap_or_default();
    assert!(
        out.status.success(),
        "{:?} {} {}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stderr),
        read("refused"),
        read("log")
    );
    assert!(
        read("log").contains("commit failed"),
        "the failure is logged: {}",
        read("log")
    );
}

#[test]
fn store_of_a_newer_version_and_damaged_store_are_refused() {
    let f = Folder::new();
    let ledger = f.ledger();
    ledger.stop().unwrap();
    let store = Store::open(f.config().store).unwrap();
    let mut batch = Batch::default();
    batch.put(
        schema::META,
        b"version".to_vec(),
        99u32.to_be_bytes().to_vec(),
    );
    store.commit(batch).unwrap();
    store.close().unwrap();
    assert!(matches!(
        Store::open(f.config().store),
        Err(StoreError::Newer(99))
    ));
    let stderr = String::from_utf8_lossy(&f.orbsd(&["status"]).stderr).into_owned();
    assert!(stderr.contains("newer orbsd"), "{stderr}");

    let f = Folder::new();
    let ledger = f.ledger();
    let lines: String = (0..30_000u32)
        .map(|i| format!("{}\n", std::net::Ipv4Addr::from(0x2d00_0000 + i * 7)))
        .collect();
    f.write("a.txt", &lines);
    ledger.stop().unwrap();
    f.ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    fs::remove_file(f.path().join("data/image")).unwrap();
    let largest = fs::read_dir(f.path().join("data"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "sst"));
    let mut damaged = 0;
    for path in largest.filter(|p| fs::metadata(p).unwrap().len() > 100_000) {
        let mut bytes = fs::read(&path).unwrap();
        (1000..60_000).step_by(997).for_each(|i| bytes[i] ^= 0x55);
        fs::write(&path, bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged > 0);
    let out = f.orbsd(&["serve"]);
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && stderr.contains("damaged"),
        "{stderr}"
    );
}

#[test]
fn restart_from_image_journal_or_rows_gives_the_same_answers() {
    let f = Folder::new();
    f.write(
        "a.rbl",
        "45.0.0.0/16\n!45.0.3.0/24\n45.0.3.7 :3:own\n2a00:1::/32\n46.1.1.1\n",
    );
    f.ok(&[
        "import",
        "--source",
        "one",
        "--code-zone",
        "bl",
        "--format",
        "rbldnsd",
        "a.rbl",
    ]);
    f.ok(&["list", "bad.test", "--reason", "spam"]);
    f.ok(&["exempt", "45.0.9.0/24"]);
    let export = |f: &Folder| ["bl", "dbl"].map(|z| f.ok(&["export", z]));
    let want = export(&f);
    {
        let _daemon = Daemon::start(&f);
        f.ok(&[
            "list",
            "47.1.1.1",
            "48.0.0.0/12",
            "worse.test",
            "--reason",
            "netblock",
            "--allow-unpublished",
        ]);
        f.ok(&["delist", "45.0.3.7"]);
        f.ok(&["exempt", "47.1.1.1", "--until", "1h"]);
    } // kill -9, so that the journal is newer than the image
    let image = f.path().join("data/image");
    let before = fs::read(&image).unwrap();
    let after = export(&f); // A command without a daemon writes an image when it ends.
    assert!(
        after != want && after[0].contains("*.0.48"),
        "the journal was read: {}",
        after[0]
    );
    let written = fs::read(&image).unwrap();
    fs::remove_file(&image).unwrap();
    assert_eq!(export(&f), after, "from the rows, with the same serials");
    // An older image with the journal after it, and damaged images, which are not used.
    let flip = |at: usize| {
        let mut bytes = written.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = written[..written.len() / 2].to_vec();
    for (what, bytes) in [
        ("older", before),
        (
            "garbage",
            b"ORBSIMG\x02 this is no image at all, but long enough to look like one".to_vec(),
        ),
        ("its body", flip(written.len() - 3)),
        ("its store", flip(10)),
        ("its commit", flip(24)),
        ("cut short", cut),
    ] {
        fs::write(&image, bytes).unwrap();
        assert_eq!(export(&f), after, "{what}");
    }
}

#[test]
fn listing_that_expires_while_stopped_ends_before_the_first_answer() {
    let f = Folder::new();
    let ledger = f.ledger();
    let relay = ledger.store.dictionary().reasons.get("relay").unwrap();
    let subject = |addr: &str| addr.parse::<Subject>().unwrap();
    for (addr, seconds) in [("45.1.1.1", 60), ("45.1.1.2", 3600)] {
        let list = Command::List {
            reason: relay,
            source: SourceId::OPERATOR,
            until: Some(ledger.now().plus(Seconds(seconds))),
            text: Default::default(),
        };
        let change = Change::new(subject(addr), "test", list);
        commit(&ledger, change).unwrap();
    }
    ledger.stop().unwrap();
    drop(ledger);
    f.time.pass(120);
    let lab = Lab::new(f);
    assert_eq!(lab.ask("1.1.1.45.bl.orbs.example", 1), "NXDOMAIN soa 60");
    assert_eq!(lab.ask("2.1.1.45.bl.orbs.example", 1), "NOERROR 127.0.0.2");
    let history = lab.ledger.store.history(&subject("45.1.1.1")).unwrap();
    assert!(
        matches!(history[1].kind, EventKind::Expired { .. }),
        "{history:?}"
    );
}

/// Tests that take long, which only `make drill` runs.
mod drill {
    use super::*;

    /// Kills the daemon for `ORBSD_DRILL_MINUTES` minutes, by default an hour.
    #[test]
    #[ignore = "takes long; run `make drill`"]
    fn kill_9_for_hours() {
        let minutes = std::env::var("ORBSD_DRILL_MINUTES")
            .ok()
            .and_then(|m| m.parse().ok())
            .unwrap_or(60u64);
        let until = std::time::Instant::now() + Duration::from_secs(minutes * 60);
        while std::time::Instant::now() < until {
            kill_rounds(50);
        }
    }

    /// Imports ten million addresses, kills the daemon, and prints the time of the next start.
    #[test]
    #[ignore = "takes long; run `make drill`"]
    fn ten_million_addresses() {
        let f = Folder::new();
        let mut out = std::io::BufWriter::new(fs::File::create(f.path().join("big.txt")).unwrap());
        // Every 97th address from 45.0.0.0 on.
        for i in 0..10_000_000u32 {
            writeln!(out, "{}", std::net::Ipv4Addr::from(0x2d00_0000 + i * 97)).unwrap();
        }
        drop(out);
        let daemon = Daemon::start(&f);
        f.ok(&[
            "import",
            "--source",
            "big",
            "--reason",
            "relay",
            "--allow-special-ranges",
            "big.txt",
        ]);
        assert_eq!(
            answer(&f, 0x2d00_0000 + 9_999_999 * 97),
            "NOERROR 127.0.0.2"
        );
        assert_eq!(answer(&f, 0x2d00_0001), "NXDOMAIN soa 60");
        std::thread::sleep(Duration::from_secs(5)); // The image is written in the background.
        drop(daemon);
        let start = std::time::Instant::now();
        let _daemon = Daemon::start(&f);
        let took = start.elapsed();
        assert_eq!(
            answer(&f, 0x2d00_0000 + 9_999_999 * 97),
            "NOERROR 127.0.0.2"
        );
        eprintln!("ready after {took:?}");
    }
}
