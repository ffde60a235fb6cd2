use super::*;

use std::fs;

fn clock() -> Clock {
    Clock::without_record(crate::clock::SystemTimeSource::default())
}

fn now() -> Time {
    clock().now()
}

fn open() -> (tempfile::TempDir, Mirrors) {
    let dir = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::open(vec![dir.path().join("mirrors.json")], clock());
    (dir, mirrors)
}

fn mirror(address: &str, key: Option<&str>) -> ConfiguredMirror {
    ConfiguredMirror {
        zone: "bl".into(),
        address: address.parse().unwrap(),
        key: key.map(Into::into),
    }
}

fn configured(mirrors: &Mirrors) -> [ConfiguredMirror; 3] {
    let all = [
        mirror("192.0.2.1:53", None),
        mirror("192.0.2.2:53", Some("k")),
        mirror("192.0.2.2:54", None),
    ];
    mirrors.configure(&all);
    all
}

/// Records a mirror's request for the changes after its serial; true if it needs the whole zone.
fn request(
    m: &Mirrors,
    zone: &str,
    from: &str,
    key: Option<&str>,
    serial: Option<u32>,
    current: u32,
) -> bool {
    let addr = from.parse().unwrap();
    m.record_request(&TransferRequest {
        zone,
        addr,
        key,
        serial: serial.map(Serial),
        proved: true,
        current: Serial(current),
    })
}

/// The known serial of each mirror.
fn have(mirrors: &Mirrors) -> Vec<(String, u32)> {
    let inner = mirrors.lock();
    inner
        .rows
        .iter()
        .filter_map(|((_, id), r)| Some((format!("{id:?}"), r.has?.0)))
        .collect()
}

#[test]
fn client_is_identified_by_key_then_by_address() {
    let (_dir, m) = open();
    configured(&m);
    for (from, key, serial, id) in [
        ("192.0.2.1", None, 1, "Configured(192.0.2.1:53, None)"),
        (
            "192.0.2.1",
            Some("other"),
            2,
            "Configured(192.0.2.1:53, None)",
        ),
        (
            "::ffff:192.0.2.1",
            None,
            3,
            "Configured(192.0.2.1:53, None)",
        ),
        (
            "192.0.2.2",
            Some("k"),
            4,
            "Configured(192.0.2.2:53, Some(\"k\"))",
        ),
        (
            "198.51.100.1",
            Some("k"),
            5,
            "Configured(192.0.2.2:53, Some(\"k\"))",
        ),
        ("192.0.2.2", None, 6, "Configured(192.0.2.2:54, None)"),
        ("198.51.100.1", None, 7, "Other(198.51.100.1, None)"),
        (
            "198.51.100.1",
            Some("x"),
            8,
            "Other(198.51.100.1, Some(\"x\"))",
        ),
    ] {
        request(&m, "bl", from, key, Some(serial), 9);
        assert!(
            have(&m).contains(&(id.to_string(), serial)),
            "{from} {key:?}: {:?}",
            have(&m)
        );
    }
    request(&m, "other", "192.0.2.1", None, Some(9), 9);
    assert!(
        have(&m).contains(&("Other(192.0.2.1, None)".into(), 9)),
        "another zone"
    );
    // A SOA query does not tell the serial of the mirror.
    request(&m, "bl", "192.0.2.1", None, None, 9);
    assert!(have(&m).contains(&("Configured(192.0.2.1:53, None)".into(), 3)));
    m.configure(&[]);
    assert!(have(&m).iter().all(|(id, _)| id.starts_with("Other")));
}

#[test]
fn unconfigured_mirrors_are_limited_and_the_oldest_is_removed() {
    let (_dir, m) = open();
    let mut inner = m.lock();
    for i in 0..MAX_OTHERS as u32 + 3 {
        inner.update_row(
            "bl",
            IpAddr::from(i.to_be_bytes()),
            None,
            Time(u64::from(i)),
            |r, _| r.has = Some(Serial(i)),
        );
    }
    assert_eq!(inner.rows.len(), MAX_OTHERS);
    assert_eq!(inner.rows.values().map(|r| r.last_seen.0).min(), Some(3));
}

#[test]
fn lag_counts_serials_and_seconds_since_the_first_missing_one() {
    let mut inner = Inner::default();
    for (serial, at) in [
        (u32::MAX - 1, 100),
        (u32::MAX, 110),
        (0, 110),
        (1, 120),
        (2, 130),
    ] {
        inner.record_published("bl", Serial(serial), Time(at));
    }
    let behind = |has: u32, at| {
        inner.behind(
            "bl",
            &Row {
                has: Some(Serial(has)),
                ..Row::default()
            },
            Serial(2),
            Time(at),
        )
    };
    assert_eq!(behind(2, 150), Some((0, 0)));
    assert_eq!(behind(1, 150), Some((1, 20)));
    assert_eq!(behind(0, 150), Some((2, 30)));
    assert_eq!(behind(u32::MAX - 1, 150), Some((4, 40)), "over the wrap");
    assert_eq!(
        behind(u32::MAX - 5, 150),
        Some((8, 50)),
        "from before the first that is known"
    );
    assert_eq!(behind(3, 150), None, "a serial of the future");
    assert_eq!(
        inner.behind("bl", &Row::default(), Serial(2), Time(150)),
        None
    );
    // After a restart, the time comes from the file.
    let old = Row {
        has: Some(Serial(u32::MAX - 5)),
        lacks_since: Some(Time(40)),
        ..Row::default()
    };
    assert_eq!(
        inner.behind("bl", &old, Serial(2), Time(150)),
        Some((8, 110))
    );
}

#[test]
fn publication_times_are_limited_and_become_coarser() {
    let mut log = Log::default();
    for i in 0..3 * MAX_LOG as u32 {
        log.push(Serial(i), Time(u64::from(i)));
        log.push(Serial(i), Time(u64::from(i) + 1));
    }
    assert!(log.entries.len() <= MAX_LOG);
    for has in [0, 1000, 9000, 3 * MAX_LOG as u32 - 3] {
        let found = log.after(Serial(has)).unwrap().0;
        assert!(
            found <= u64::from(has) + 1 && found + 32 > u64::from(has),
            "{has}: {found}"
        );
    }
}

#[test]
fn file_keeps_the_state_and_a_damaged_file_is_an_empty_state() {
    let (dir, m) = open();
    let at = configured(&m);
    m.record_published("bl", Serial(7));
    m.record_notify(&at[0], Serial(7));
    m.record_reply(&at[0], 5, Duration::from_millis(3));
    m.record_notify(&at[1], Serial(7));
    m.record_failure(&at[1], "timeout");
    m.record_transfer(
        "bl",
        at[0].address.ip(),
        None,
        Some(Serial(5)),
        Serial(6),
        1234,
        Duration::from_millis(20),
    );
    request(&m, "bl", "2001:db8::1", Some("k2"), Some(4), 7);
    m.save();
    let path = dir.path().join("mirrors.json");
    let again = Mirrors::open(vec![path.clone()], clock());
    assert_eq!(
        have(&again),
        [
            ("Configured(192.0.2.1:53, None)".to_string(), 6),
            ("Other(2001:db8::1, Some(\"k2\"))".into(), 4)
        ]
    );
    let inner = again.lock();
    let row = &inner.rows[&at[0].row_key()];
    let n = row.notified.as_ref().unwrap();
    assert_eq!(
        (n.serial, n.rcode, n.answer_ms, row.counts.bytes),
        (Serial(7), Some(5), Some(3), 1234)
    );
    assert!(row.lacks_since.is_some());
    let other = inner.rows[&at[1].row_key()].notified.clone().unwrap();
    assert_eq!(
        (other.problem.as_deref(), other.rcode, other.tries),
        (Some("timeout"), None, 1)
    );
    // Without a change, nothing is written.
    fs::remove_file(&path).unwrap();
    m.save();
    assert!(!path.exists());
    for damaged in ["{", "{\"version\":9,\"mirrors\":[]}", ""] {
        fs::write(&path, damaged).unwrap();
        assert!(
            have(&Mirrors::open(vec![path.clone()], clock())).is_empty(),
            "{damaged}"
        );
    }
}

#[test]
fn mirrors_at_one_address_are_distinguished_by_key() {
    let (_dir, m) = open();
    let [a, b] = ["a", "b"].map(|k| mirror("192.0.2.1:53", Some(k)));
    m.configure(&[a.clone(), b.clone()]);
    request(&m, "bl", "192.0.2.1", Some("a"), Some(3), 5);
    request(&m, "bl", "192.0.2.1", Some("b"), Some(4), 5);
    assert_eq!((m.has(&a), m.has(&b)), (Some(Serial(3)), Some(Serial(4))));
    m.record_notify(&b, Serial(5));
    m.record_reply(&b, 0, Duration::ZERO);
    let inner = m.lock();
    assert!(
        inner.rows[&a.row_key()].notified.is_none() && inner.rows[&b.row_key()].notified.is_some()
    );
    assert_eq!(inner.rows.len(), 2, "there is no third row");
}

#[test]
fn mirror_keeps_its_row_with_another_key_and_after_its_removal_from_the_configuration() {
    let (_dir, m) = open();
    m.configure(&[
        mirror("192.0.2.1:53", Some("old")),
        mirror("192.0.2.9:53", None),
    ]);
    request(&m, "bl", "192.0.2.1", Some("old"), Some(3), 5);
    request(&m, "bl", "192.0.2.9", None, Some(4), 5);
    m.configure(&[mirror("192.0.2.1:53", Some("new"))]);
    assert_eq!(
        have(&m),
        [
            ("Configured(192.0.2.1:53, Some(\"new\"))".to_string(), 3),
            ("Other(192.0.2.9, None)".into(), 4)
        ]
    );
}

#[test]
fn mirrors_of_the_last_thirty_days_count_when_a_serial_jumps() {
    let (_dir, m) = open();
    configured(&m);
    request(&m, "bl", "192.0.2.1", None, Some(3), 5);
    let (addr, key, serial) = ("192.0.2.2".parse().unwrap(), None, Some(Serial(77)));
    m.record_request(&TransferRequest {
        zone: "bl",
        addr,
        key,
        serial,
        proved: false,
        current: Serial(5),
    });
    let recent = |at: Time| {
        m.recent_mirrors("bl", at)
            .iter()
            .map(|s| (s.address.clone(), s.serial.0))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        recent(now()),
        [("192.0.2.1:53".to_string(), 3)],
        "a datagram that anybody can send proves nothing"
    );
    assert_eq!(recent(now().plus(SEEN_WITHIN)).len(), 1);
    assert_eq!(recent(now().plus(Seconds(SEEN_WITHIN.0 + 5))), []);
    request(&m, "bl", "192.0.2.2", None, Some(77), 5);
    assert_eq!(recent(now()).len(), 2);
    assert_eq!(m.recent_mirrors("other", now()), []);
}

/// Until it transfers the whole zone, a mirror that was ahead has another zone than ours, even
/// after our serial has passed its own.
#[test]
fn mirror_that_is_left_behind_is_reported_until_it_transfers_the_whole_zone() {
    let (dir, m) = open();
    let [a, ..] = configured(&m);
    m.record_published("bl", Serial(100));
    m.record_transfer(
        "bl",
        a.address.ip(),
        None,
        None,
        Serial(100),
        1,
        Duration::ZERO,
    );
    assert!(m.left_behind("bl").is_empty());
    m.save();
    // The store is restored, so that our serials start again below the mirror's.
    let m = Mirrors::open(vec![dir.path().join("mirrors.json")], clock());
    m.record_published("bl", Serial(50));
    assert_eq!(
        m.left_behind("bl")
            .iter()
            .map(|l| l.serial.0)
            .collect::<Vec<_>>(),
        [100]
    );
    m.record_published("bl", Serial(200));
    assert_eq!(m.left_behind("bl").len(), 1, "its 100 is not our 100");
    assert!(
        request(&m, "bl", "192.0.2.1", None, Some(100), 200),
        "it needs the whole zone"
    );
    m.record_transfer(
        "bl",
        a.address.ip(),
        None,
        Some(Serial(100)),
        Serial(200),
        1,
        Duration::ZERO,
    );
    assert_eq!(m.left_behind("bl").len(), 1);
    m.record_transfer(
        "bl",
        a.address.ip(),
        None,
        None,
        Serial(200),
        1,
        Duration::ZERO,
    );
    assert!(
        m.left_behind("bl").is_empty() && !request(&m, "bl", "192.0.2.1", None, Some(200), 200)
    );
}

#[test]
fn mirror_with_a_serial_before_its_announcement_is_not_ahead() {
    let (_dir, m) = open();
    let [a, ..] = configured(&m);
    m.record_published("bl", Serial(1));
    m.record_transfer(
        "bl",
        a.address.ip(),
        None,
        Some(Serial(1)),
        Serial(3),
        1,
        Duration::ZERO,
    );
    m.record_published("bl", Serial(2));
    assert!(!request(&m, "bl", "192.0.2.1", None, Some(3), 3) && m.left_behind("bl").is_empty());
}

#[test]
fn file_is_written_to_the_first_writable_path_and_the_first_version_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (beside, inside) = (
        dir.path().join("data.mirrors.json"),
        dir.path().join("data/mirrors.json"),
    );
    fs::create_dir(dir.path().join("data")).unwrap();
    let old = r#"{"version":1,"mirrors":[["bl",{"Configured":"192.0.2.1:53"},{"key":"k","seen":7,"has":5}],["bl",{"Other":["::1",null]},{"seen":7,"has":4}]]}"#;
    fs::write(&inside, old).unwrap();
    let paths = vec![beside.clone(), inside.clone()];
    let have_both = [
        ("Configured(192.0.2.1:53, Some(\"k\"))".to_string(), 5),
        ("Other(::1, None)".into(), 4),
    ];
    let m = Mirrors::open(paths.clone(), clock());
    assert_eq!(have(&m), have_both);
    m.configure(&[mirror("192.0.2.1:53", Some("k"))]);
    m.save();
    assert!(beside.exists() && !inside.exists());
    assert_eq!(have(&Mirrors::open(paths, clock())), have_both);
    let nowhere = dir.path().join("nowhere/data.mirrors.json");
    let m = Mirrors::open(vec![nowhere.clone(), inside.clone()], clock());
    m.configure(&[mirror("192.0.2.1:53", Some("k"))]);
    m.save();
    assert!(inside.exists() && !nowhere.exists());
}
