//! NOTIFY to simulated mirrors, which answer at once, late, wrongly, or not at all.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use orbsd::{
    dns::tsig::{self, TsigSession},
    ledger::Ledger,
    model::{Change, Keys, Serial, history::Command},
    server::{Mirrors, mirrors::TransferRequest, notify},
};
use serde_json::Value;

use crate::lab::{CONFIG, Daemon, Folder, ZONE, commit};

/// A simulated mirror: a socket that receives NOTIFY.
struct Mirror(UdpSocket);

/// A received NOTIFY.
struct ReceivedNotify {
    bytes: Vec<u8>,
    from: SocketAddr,
}

impl Mirror {
    fn new() -> Mirror {
        Mirror(UdpSocket::bind("127.0.0.1:0").unwrap())
    }
    fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
    fn next(&self, patience: Duration) -> Option<ReceivedNotify> {
        let mut buf = [0; 2000];
        self.0.set_read_timeout(Some(patience)).unwrap();
        let (n, from) = self.0.recv_from(&mut buf).ok()?;
        Some(ReceivedNotify {
            bytes: buf[..n].to_vec(),
            from,
        })
    }
    fn hear(&self) -> ReceivedNotify {
        self.next(Duration::from_secs(10)).expect("a NOTIFY")
    }
    fn answer(&self, notification: &ReceivedNotify, rcode: u8) {
        self.0
            .send_to(&notification.reply(rcode), notification.from)
            .unwrap();
    }
    /// Answers until it was notified of a serial. Returns the number of received NOTIFY messages.
    fn until(&self, serial: u32) -> usize {
        for n in 1.. {
            let notification = self.hear();
            self.answer(&notification, 0);
            if notification.serial() == serial {
                return n;
            }
        }
        unreachable!()
    }
}

impl ReceivedNotify {
    fn serial(&self) -> u32 {
        let m = hickory_proto::op::Message::from_vec(&self.bytes).unwrap();
        assert_eq!(
            (m.metadata.op_code, m.metadata.authoritative),
            (hickory_proto::op::OpCode::Notify, true)
        );
        assert_eq!(m.queries[0].name().to_string(), "bl.orbs.example.");
        let hickory_proto::rr::RData::SOA(soa) = &m.answers[0].data else {
            panic!("{m:?}")
        };
        soa.serial
    }
    /// Returns a reply with the header and the question.
    fn reply(&self, rcode: u8) -> Vec<u8> {
        let mut out = self.bytes[..12 + "bl.orbs.example".len() + 2 + 4].to_vec();
        (out[2], out[3], out[7], out[11]) = (0xa4, rcode, 0, 0);
        out
    }
}

/// A ledger in this process that notifies its mirrors.
struct NotifySender {
    ledger: Ledger,
    mirrors: Arc<Mirrors>,
    runtime: Option<tokio::runtime::Runtime>,
    folder: Folder,
}

fn zone(notify: &str) -> String {
    format!("{ZONE}[transfer]\nnotify = [{notify}]\n")
}

impl NotifySender {
    fn new(notify: &str) -> NotifySender {
        NotifySender::of(Folder::with(CONFIG, &[("bl", &zone(notify))]))
    }
    fn of(folder: Folder) -> NotifySender {
        let ledger = folder.ledger();
        let mirrors = Arc::new(Mirrors::open(
            folder.config().mirrors(),
            crate::lab::clock(),
        ));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(notify::run(ledger.clone(), mirrors.clone()));
        NotifySender {
            ledger,
            mirrors,
            runtime: Some(runtime),
            folder,
        }
    }
    fn commit(&self, n: u32) {
        let reason = self.ledger.store.dictionary().reasons.get("relay").unwrap();
        let source = self
            .ledger
            .store
            .dictionary()
            .sources
            .get("operator")
            .unwrap();
        let ask = Command::List {
            reason,
            source,
            until: None,
            text: Default::default(),
        };
        let subject = std::net::Ipv4Addr::from(0x2d00_0000 + n)
            .to_string()
            .parse()
            .unwrap();
        let change = Change {
            subject,
            author: "test".into(),
            evidence: None,
            command: ask,
            preconditions: Default::default(),
        };
        commit(&self.ledger, change).unwrap();
    }
    /// Requests an IXFR from a serial, as a mirror.
    fn asks(&self, serial: u32) {
        self.mirrors.record_request(&TransferRequest {
            zone: "bl.orbs.example",
            addr: [127, 0, 0, 1].into(),
            key: None,
            serial: Some(Serial(serial)),
            proved: true,
            current: Serial(self.serial()),
        });
    }
    fn serial(&self) -> u32 {
        self.ledger.published.snapshot().serials[0].0
    }
    fn report(&self) -> Value {
        serde_json::json!(self.mirrors.report(&self.ledger.published.snapshot()))[0].clone()
    }
    /// Waits until the report has some content.
    fn until(&self, what: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let r = self.report();
            if what(&r) {
                return r;
            }
            assert!(Instant::now() < end, "{r:#}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for NotifySender {
    fn drop(&mut self) {
        if let Some(r) = self.runtime.take() {
            r.shutdown_background();
        }
        let _ = self.ledger.stop();
    }
}

#[test]
fn commit_is_notified_at_once_and_the_lag_is_reported() {
    let m = Mirror::new();
    let t = NotifySender::new(&format!(
        "{{ address = '{}', source = '127.0.0.3' }}",
        m.addr()
    ));
    let first = m.hear();
    assert_eq!(
        (first.serial(), first.from.ip().to_string()),
        (t.serial(), "127.0.0.3".into()),
        "once at start"
    );
    m.answer(&first, 0);
    t.until(|r| r["last_notify"]["acknowledged"] == true);
    t.mirrors.record_transfer(
        "bl.orbs.example",
        [127, 0, 0, 1].into(),
        None,
        None,
        Serial(t.serial()),
        1000,
        Duration::from_millis(2),
    );
    assert_eq!(t.report()["behind"]["serials"], 0);
    // The fastest of a few, because the machine can be busy.
    let mut quickest = Duration::MAX;
    for n in 1..=4 {
        std::thread::sleep(Duration::from_millis(150)); // what follows an answer closely has to wait
        t.commit(n);
        let receipt = Instant::now();
        assert_eq!(m.until(t.serial()), 1);
        quickest = quickest.min(receipt.elapsed());
        t.until(|r| r["last_notify"]["acknowledged"] == true);
    }
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
    assert_eq!(t.report()["behind"]["serials"], 4);
    t.commit(9);
    let notification = m.hear();
    assert_eq!(notification.serial(), t.serial());
    assert_eq!(t.report()["behind"]["serials"], 5);
    m.answer(&notification, 0);
    let r = t.until(|r| r["last_notify"]["acknowledged"] == true);
    assert_eq!(
        (
            &r["last_notify"]["serial"],
            &r["last_notify"]["tries"],
            &r["counts"]["answered"]
        ),
        (&t.serial().into(), &1.into(), &6.into())
    );
    t.asks(t.serial());
    let r = t.report();
    assert_eq!(
        (
            &r["mirror_serial"],
            &r["behind"]["serials"],
            &r["last_request"]["serial"]
        ),
        (&t.serial().into(), &0.into(), &t.serial().into())
    );
    assert_eq!(
        (
            &r["last_transfer"]["kind"],
            &r["last_transfer"]["bytes"],
            &r["configured"]
        ),
        (&"whole".into(), &1000.into(), &true.into())
    );
    assert!(
        m.next(Duration::from_millis(1300)).is_none(),
        "who has answered is left alone"
    );
}

/// Busy name servers acknowledge a NOTIFY and lose it, or the transfer after it. NOTIFY is repeated
/// after 5, 15 and 45 seconds; after the first of these only if the mirror does not query.
#[test]
fn mirror_that_acknowledges_and_does_not_transfer_is_notified_again() {
    let (silent, asks) = (Mirror::new(), Mirror::new());
    let t = NotifySender::new(&format!("'{}'", silent.addr()));
    let other = NotifySender::new(&format!("'{}'", asks.addr()));
    let start = Instant::now();
    silent.answer(&silent.hear(), 0);
    asks.answer(&asks.hear(), 0);
    std::thread::sleep(Duration::from_millis(200));
    other.asks(0);
    let again = silent.next(Duration::from_secs(7)).expect("a reminder");
    assert!(
        (4500..7000).contains(&start.elapsed().as_millis()),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(again.serial(), t.serial());
    silent.answer(&again, 0);
    asks.answer(&asks.next(Duration::from_secs(2)).expect("one reminder"), 0);
    std::thread::sleep(Duration::from_millis(200));
    other.asks(0);
    t.until(|r| r["last_notify"]["acknowledged"] == true && r["last_notify"]["tries"] == 2);
    let third = silent
        .next(Duration::from_secs(12))
        .expect("a second reminder");
    assert!(
        (14_500..17_500).contains(&start.elapsed().as_millis()),
        "{:?}",
        start.elapsed()
    );
    silent.answer(&third, 0);
    // A mirror with the serial is not notified again.
    t.mirrors.record_transfer(
        "bl.orbs.example",
        [127, 0, 0, 1].into(),
        None,
        None,
        Serial(t.serial()),
        1,
        Duration::ZERO,
    );
    assert!(
        asks.next(Duration::from_millis(100)).is_none(),
        "who asks is left alone"
    );
}

#[test]
fn two_mirrors_at_one_address_are_notified_each_with_its_key() {
    let (m, f) = (Mirror::new(), Folder::new());
    let mut config = std::fs::read_to_string(f.path().join("config.toml")).unwrap();
    for key in ["one", "two"] {
        config += f.json(&["key", "create", key, "--json"])["lines"]["orbsd_config"]
            .as_str()
            .unwrap();
    }
    f.write("config.toml", &config);
    let both: Vec<String> = ["one", "two"]
        .iter()
        .map(|k| format!("{{ address = '{}', key = '{k}' }}", m.addr()))
        .collect();
    f.write("zones/bl.toml", &zone(&both.join(", ")));
    let keys = f.config().ledger.keys;
    let t = NotifySender::of(f);
    let mut signed_by: Vec<String> = (0..2)
        .map(|_| {
            tsig::verify(&keys, &m.hear().bytes, orbsd::clock::wall())
                .unwrap()
                .unwrap()
                .key()
                .to_string()
        })
        .collect();
    signed_by.sort();
    assert_eq!(signed_by, ["one", "two"]);
    let report = serde_json::json!(t.mirrors.report(&t.ledger.published.snapshot()));
    assert_eq!(
        report
            .as_array()
            .unwrap()
            .iter()
            .map(|m| &m["key"])
            .collect::<Vec<_>>(),
        ["one", "two"]
    );
}

#[test]
fn thousand_commits_send_few_notifies_and_a_dead_mirror_delays_no_other() {
    let (m, dead) = (Mirror::new(), Mirror::new());
    let t = NotifySender::new(&format!("'{}', '{}'", dead.addr(), m.addr()));
    let start = Instant::now();
    let count = std::thread::scope(|s| {
        let last = t.serial() + 1000;
        let heard = s.spawn(move || m.until(last));
        (1..=1000).for_each(|n| t.commit(n));
        assert_eq!(t.serial(), last);
        heard.join().unwrap()
    });
    let most = start.elapsed().as_millis() as usize / 100 + 3;
    assert!(count <= most, "{count} times in {:?}", start.elapsed());
    // The dead mirror has one outstanding NOTIFY at a time, with the newest serial.
    let heard: Vec<u32> = std::iter::from_fn(|| dead.next(Duration::from_millis(1500)))
        .take(30)
        .map(|t| t.serial())
        .collect();
    assert!(
        heard.len() <= start.elapsed().as_secs() as usize + 2,
        "{heard:?} in {:?}",
        start.elapsed()
    );
    assert_eq!(heard.last(), Some(&t.serial()));
}

#[test]
fn late_answer_counts_and_an_unanswered_notify_is_repeated() {
    let m = Mirror::new();
    let t = NotifySender::new(&format!("'{}'", m.addr()));
    let notification = m.hear();
    std::thread::sleep(Duration::from_millis(700));
    m.answer(&notification, 0);
    let r = t.until(|r| r["last_notify"]["acknowledged"] == true);
    assert!(
        r["last_notify"]["answer_ms"].as_u64().unwrap() >= 700 && r["last_notify"]["tries"] == 1,
        "{r}"
    );
    t.commit(1);
    let (first, sent) = (m.hear(), Instant::now());
    let second = m.hear();
    assert!(
        sent.elapsed() > Duration::from_millis(900) && sent.elapsed() < Duration::from_secs(5),
        "{:?}",
        sent.elapsed()
    );
    assert_eq!((first.serial(), second.serial()), (t.serial(), t.serial()));
    let third = m.hear();
    assert!(
        sent.elapsed() > Duration::from_millis(2800),
        "longer each time: {:?}",
        sent.elapsed()
    );
    m.answer(&third, 0);
    assert_eq!(
        t.until(|r| r["last_notify"]["acknowledged"] == true)["last_notify"]["tries"],
        3
    );
    // A mirror that has transferred the zone is not notified again, even if it has not answered.
    t.commit(2);
    m.hear();
    t.mirrors.record_transfer(
        "bl.orbs.example",
        [127, 0, 0, 1].into(),
        None,
        None,
        Serial(t.serial()),
        1,
        Duration::ZERO,
    );
    assert!(m.next(Duration::from_millis(1500)).is_none());
}

#[test]
fn datagram_that_is_not_an_answer_is_ignored_and_a_refusal_is_reported() {
    let m = Mirror::new();
    let t = NotifySender::new(&format!("'{}'", m.addr()));
    let notification = m.hear();
    for (at, byte) in [
        (0, notification.bytes[0] ^ 1),
        (2, 0x24),
        (13, b'x'),
        (5, 0),
    ] {
        let mut wrong = notification.reply(0);
        wrong[at] = byte;
        m.0.send_to(&wrong, notification.from).unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(t.report()["last_notify"]["acknowledged"], false);
    m.answer(&notification, 9);
    let r = t.until(|r| r["last_notify"]["rcode"] == "NOTAUTH");
    assert_eq!(r["last_notify"]["acknowledged"], false);
    assert!(
        m.next(Duration::from_millis(1500)).is_none(),
        "not again for this serial"
    );
    t.commit(1);
    let notification = m.hear();
    assert_eq!(
        notification.serial(),
        t.serial(),
        "the next serial is notified"
    );
    m.answer(&notification, 2);
    t.until(|r| r["last_notify"]["rcode"] == "SERVFAIL");
    assert_eq!(m.hear().serial(), t.serial(), "SERVFAIL is asked again");
}

/// A folder with a key, and a mirror that has to sign with it.
fn keyed() -> (Mirror, Folder) {
    let (m, f) = (Mirror::new(), Folder::new());
    let made = f.json(&["key", "create", "mirror", "--json"]);
    let config = std::fs::read_to_string(f.path().join("config.toml")).unwrap();
    f.write(
        "config.toml",
        &format!(
            "{config}{}",
            made["lines"]["orbsd_config"].as_str().unwrap()
        ),
    );
    f.write(
        "zones/bl.toml",
        &zone(&format!("{{ address = '{}', key = 'mirror' }}", m.addr())),
    );
    (m, f)
}

/// Returns a reply to a NOTIFY, signed in its session.
fn signed(notification: &ReceivedNotify, session: &mut TsigSession) -> Vec<u8> {
    let mut reply = notification.reply(0);
    let len = reply.len();
    reply.resize(600, 0);
    let end = session.sign(&mut reply, len, orbsd::clock::wall()).unwrap();
    reply.truncate(end);
    reply
}

#[test]
fn notify_and_its_answer_are_signed() {
    let (m, f) = keyed();
    let keys = f.config().ledger.keys;
    let t = NotifySender::of(f);
    let notification = m.hear();
    assert_eq!(notification.serial(), t.serial());
    let session = tsig::verify(&keys, &notification.bytes, orbsd::clock::wall())
        .unwrap()
        .expect("a signed NOTIFY");
    m.answer(&notification, 0);
    t.until(|r| {
        r["last_notify"]["problem"]
            .as_str()
            .is_some_and(|p| p.contains("not signed"))
    });
    let mut forged = signed(&notification, &mut session.clone());
    *forged.last_mut().unwrap() ^= 1;
    m.0.send_to(&forged, notification.from).unwrap();
    let other = keys
        .get("mirror")
        .map(|k| orbsd::model::TsigKey::new("mirror", k.algorithm(), &[1; 32]).unwrap())
        .unwrap();
    let wrong = tsig::verify(
        &Keys::new(vec![other]).unwrap(),
        &notification.bytes,
        orbsd::clock::wall(),
    )
    .unwrap_err();
    let mut reply = notification.reply(wrong.rcode());
    let len = reply.len();
    reply.resize(600, 0);
    let end = wrong.sign(&mut reply, len).unwrap();
    m.0.send_to(&reply[..end], notification.from).unwrap();
    let r = t.until(|r| {
        r["last_notify"]["problem"]
            .as_str()
            .is_some_and(|p| p.contains("BADSIG"))
    });
    assert_eq!(
        (&r["last_notify"]["rcode"], &r["key"]),
        (&Value::Null, &"mirror".into())
    );
    m.0.send_to(
        &signed(&notification, &mut session.clone()),
        notification.from,
    )
    .unwrap();
    let r = t.until(|r| r["last_notify"]["acknowledged"] == true);
    assert_eq!(r["last_notify"]["problem"], Value::Null);
}

#[test]
fn reload_changes_the_notified_mirrors() {
    let (a, b) = (Mirror::new(), Mirror::new());
    let t = NotifySender::new(&format!("'{}'", a.addr()));
    a.answer(&a.hear(), 0);
    t.folder
        .write("zones/bl.toml", &zone(&format!("'{}'", b.addr())));
    t.ledger
        .configure(t.folder.config().ledger)
        .map_err(|e| format!("{e:?}"))
        .unwrap();
    let notification = b.hear();
    b.answer(&notification, 0);
    let r = t.until(|r| {
        r["address"] == b.addr().to_string() && r["last_notify"]["acknowledged"] == true
    });
    assert_eq!(r["last_notify"]["serial"], t.serial());
    t.commit(1);
    assert_eq!(b.until(t.serial()), 1);
    assert!(a.next(Duration::from_millis(300)).is_none());
}

#[test]
fn mirror_state_is_reported_and_survives_a_restart() {
    let m = Mirror::new();
    let f = Folder::with(CONFIG, &[("bl", &zone(&format!("'{}'", m.addr())))]);
    let one = || f.json(&["mirror", "list", "--json"])["items"][0].clone();
    let answers = |n: u64| {
        let end = Instant::now() + Duration::from_secs(10);
        while one()["counts"]["answered"] != n {
            assert!(Instant::now() < end, "{:#}", one());
        }
    };
    let daemon = Daemon::start(&f);
    m.answer(&m.hear(), 0);
    let sent = Instant::now();
    f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    let notification = m.hear();
    m.answer(&notification, 0);
    assert!(sent.elapsed() < Duration::from_secs(5));
    answers(2);
    let shown = one();
    assert_eq!(
        (&shown["zone"], &shown["address"]),
        (&"bl.orbs.example".into(), &m.addr().to_string().into())
    );
    assert_eq!(
        (
            &shown["last_notify"]["serial"],
            &shown["last_notify"]["acknowledged"]
        ),
        (&notification.serial().into(), &true.into())
    );
    assert_eq!(shown["mirror_serial"], Value::Null);
    let human = f.ok(&["mirror", "list"]);
    assert!(
        human.contains("acknowledged after") && human.contains("serial unknown"),
        "{human}"
    );
    assert_eq!(f.json(&["status", "--json"])["running"], true);
    assert!(daemon.stop().success());
    assert_eq!(one(), shown, "also without a daemon");
    let daemon = Daemon::start(&f);
    let again = m.hear();
    assert_eq!(
        again.serial(),
        notification.serial(),
        "notified once more at the start"
    );
    m.answer(&again, 0);
    answers(3);
    assert!(daemon.stop().success());
    // A damaged file is a warning.
    f.write("data.mirrors.json", "{");
    let daemon = Daemon::start(&f);
    m.answer(&m.hear(), 0);
    answers(1);
    assert!(f.log().contains("mirrors.json"), "{}", f.log());
    assert!(daemon.stop().success());
}
