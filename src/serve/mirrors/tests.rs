use super::*;

fn clock() -> Clock {
    Clock::without_record(crate::clock::SystemTimeSource::default())
}

fn open() -> (tempfile::TempDir, Mirrors) {
    let dir = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::open(dir.path().join("mirrors.json"), clock());
    (dir, mirrors)
}

fn configured(mirrors: &Mirrors) -> [SocketAddr; 3] {
    let at: [SocketAddr; 3] = ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.2:54"].map(|a| a.parse().unwrap());
    let keyed = ("bl".to_string(), at[1], Some("k".to_string()));
    mirrors.configure(&[("bl".into(), at[0], None), keyed, ("bl".into(), at[2], None)]);
    at
}

/// Who has which serial.
fn have(mirrors: &Mirrors) -> Vec<(String, u32)> {
    let inner = mirrors.lock();
    inner.rows.iter().filter_map(|((_, who), r)| Some((format!("{who:?}"), r.has?.0))).collect()
}

#[test]
fn whoever_asks_is_known_by_key_then_by_address() {
    let (_dir, m) = open();
    configured(&m);
    let ip = |s: &str| s.parse::<IpAddr>().unwrap();
    for (from, key, serial, who) in [
        ("192.0.2.1", None, 1, "Configured(192.0.2.1:53)"),
        ("192.0.2.1", Some("other"), 2, "Configured(192.0.2.1:53)"),
        ("::ffff:192.0.2.1", None, 3, "Configured(192.0.2.1:53)"),
        ("192.0.2.2", Some("k"), 4, "Configured(192.0.2.2:53)"),
        ("198.51.100.1", Some("k"), 5, "Configured(192.0.2.2:53)"),
        ("192.0.2.2", None, 6, "Configured(192.0.2.2:54)"),
        ("198.51.100.1", None, 7, "Other(198.51.100.1, None)"),
        ("198.51.100.1", Some("x"), 8, "Other(198.51.100.1, Some(\"x\"))"),
    ] {
        m.asked("bl", ip(from), key, Some(Serial(serial)));
        assert!(have(&m).contains(&(who.to_string(), serial)), "{from} {key:?}: {:?}", have(&m));
    }
    m.asked("other", ip("192.0.2.1"), None, Some(Serial(9)));
    assert!(have(&m).contains(&("Other(192.0.2.1, None)".into(), 9)), "another zone");
    // A SOA query says nothing of what they have.
    m.asked("bl", ip("192.0.2.1"), None, None);
    assert!(have(&m).contains(&("Configured(192.0.2.1:53)".into(), 3)));
    m.configure(&[]);
    assert!(have(&m).iter().all(|(who, _)| who.starts_with("Other")));
}

#[test]
fn those_that_are_not_configured_are_bounded_the_oldest_goes() {
    let (_dir, m) = open();
    let mut inner = m.lock();
    for i in 0..MAX_OTHERS as u32 + 3 {
        inner.known("bl", IpAddr::from(i.to_be_bytes()), None, Time(u64::from(i)), |r, _| r.has = Some(Serial(i)));
    }
    assert_eq!(inner.rows.len(), MAX_OTHERS);
    assert_eq!(inner.rows.values().map(|r| r.seen.0).min(), Some(3));
}

#[test]
fn the_lag_counts_serials_and_the_seconds_since_the_first_that_is_missing() {
    let mut inner = Inner::default();
    for (serial, at) in [(u32::MAX - 1, 100), (u32::MAX, 110), (0, 110), (1, 120), (2, 130)] {
        inner.published("bl", Serial(serial), Time(at));
    }
    let behind = |has: u32, at| inner.behind("bl", &Row { has: Some(Serial(has)), ..Row::default() }, Serial(2), Time(at));
    assert_eq!(behind(2, 150), Some((0, 0)));
    assert_eq!(behind(1, 150), Some((1, 20)));
    assert_eq!(behind(0, 150), Some((2, 30)));
    assert_eq!(behind(u32::MAX - 1, 150), Some((4, 40)), "over the wrap");
    assert_eq!(behind(u32::MAX - 5, 150), Some((8, 50)), "from before the first that is known");
    assert_eq!(behind(3, 150), None, "a serial of the future");
    assert_eq!(inner.behind("bl", &Row::default(), Serial(2), Time(150)), None);
    // Over a restart the time is that of the file.
    let old = Row { has: Some(Serial(u32::MAX - 5)), lacks_since: Some(Time(40)), ..Row::default() };
    assert_eq!(inner.behind("bl", &old, Serial(2), Time(150)), Some((8, 110)));
}

#[test]
fn the_times_of_publication_are_bounded_and_grow_coarse() {
    let mut log = Log::default();
    for i in 0..3 * MAX_LOG as u32 {
        log.push(Serial(i), Time(u64::from(i)));
        log.push(Serial(i), Time(u64::from(i) + 1));
    }
    assert!(log.entries.len() <= MAX_LOG);
    for has in [0, 1000, 9000, 3 * MAX_LOG as u32 - 3] {
        let found = log.after(Serial(has)).unwrap().0;
        assert!(found <= u64::from(has) + 1 && found + 32 > u64::from(has), "{has}: {found}");
    }
}

#[test]
fn the_file_keeps_the_state_and_a_damaged_one_is_an_empty_state() {
    let (dir, m) = open();
    let at = configured(&m);
    m.published("bl", Serial(7));
    m.sent("bl", at[0], Serial(7));
    m.answered("bl", at[0], 5, Duration::from_millis(3));
    m.sent("bl", at[1], Serial(7));
    m.failed("bl", at[1], "nobody");
    m.transferred("bl", at[0].ip(), None, Some(Serial(5)), Serial(6), 1234, Duration::from_millis(20));
    m.asked("bl", "2001:db8::1".parse().unwrap(), Some("k2"), Some(Serial(4)));
    m.save();
    let path = dir.path().join("mirrors.json");
    let again = Mirrors::open(path.clone(), clock());
    assert_eq!(have(&again), [("Configured(192.0.2.1:53)".to_string(), 6), ("Other(2001:db8::1, Some(\"k2\"))".into(), 4)]);
    let inner = again.lock();
    let row = &inner.rows[&("bl".to_string(), Who::Configured(at[0]))];
    let n = row.notified.as_ref().unwrap();
    assert_eq!((n.serial, n.rcode, n.answer_ms, row.counts.bytes), (Serial(7), Some(5), Some(3), 1234));
    assert!(row.lacks_since.is_some());
    let other = inner.rows[&("bl".to_string(), Who::Configured(at[1]))].notified.clone().unwrap();
    assert_eq!((other.problem.as_deref(), other.rcode, other.tries), (Some("nobody"), None, 1));
    // Nothing new: nothing is written.
    fs::remove_file(&path).unwrap();
    m.save();
    assert!(!path.exists());
    for damaged in ["{", "{\"version\":9,\"mirrors\":[]}", ""] {
        fs::write(&path, damaged).unwrap();
        assert!(have(&Mirrors::open(path.clone(), clock())).is_empty(), "{damaged}");
    }
}
