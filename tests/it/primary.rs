//! A scripted name server: a zone in versions, served by SOA, AXFR and IXFR, correctly or with one
//! of many faults.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use orbsd::{dns::tsig, index::records::wire_name, model::Keys};

/// A record: the owner below the zone, its type, its data.
pub type Record = (String, u16, Vec<u8>);

pub fn a(name: &str, last: u8) -> Record {
    (name.into(), 1, vec![127, 0, 0, last])
}

pub fn txt(name: &str, text: &str) -> Record {
    (
        name.into(),
        16,
        [&[text.len() as u8], text.as_bytes()].concat(),
    )
}

/// How the server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behavior {
    Correct,
    /// The connection is closed after so many bytes of a transfer.
    Cut(usize),
    /// IXFR is answered with the whole zone.
    WholeZone,
    /// IXFR is answered with NOTIMP.
    NoIxfr,
    /// A difference deletes a record that does not exist.
    BadDifference,
    /// The AXFR ends with another serial.
    OtherEnd,
    /// Bytes that are not messages.
    Garbage,
    Refused,
}

pub struct Script {
    /// The serials and the records of the zone, oldest first.
    pub versions: Vec<(u32, BTreeSet<Record>)>,
    pub how: Behavior,
    /// Refresh, retry, expire.
    pub timers: [u32; 3],
    /// The requests: `SOA`, `AXFR`, `IXFR 7`.
    pub log: Vec<String>,
    pub keys: Keys,
}

pub struct Primary {
    pub addr: SocketAddr,
    pub script: Arc<Mutex<Script>>,
    stop: Arc<AtomicBool>,
}

pub const ORIGIN: &str = "bl.peer.example";

impl Primary {
    pub fn new(records: impl IntoIterator<Item = Record>) -> Primary {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let addr = udp.local_addr().unwrap();
        let script = Script {
            versions: vec![(1, records.into_iter().collect())],
            how: Behavior::Correct,
            timers: [3600, 600, 86_400],
            log: vec![],
            keys: Keys::default(),
        };
        let (script, stop) = (
            Arc::new(Mutex::new(script)),
            Arc::new(AtomicBool::new(false)),
        );
        udp.set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let (s, end) = (script.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut buf = [0; 512];
            while !end.load(Relaxed) {
                if let Ok((n, from)) = udp.recv_from(&mut buf) {
                    let all = replies(&mut s.lock().unwrap(), &buf[..n]);
                    let _ = udp.send_to(&all[0], from);
                }
            }
        });
        tcp.set_nonblocking(true).unwrap();
        let (s, end) = (script.clone(), stop.clone());
        std::thread::spawn(move || {
            while !end.load(Relaxed) {
                match tcp.accept() {
                    Ok((stream, _)) => drop(serve(&s, stream)),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Primary { addr, script, stop }
    }

    /// Makes a new version of the zone. Returns its serial.
    pub fn step(&self, gone: &[Record], come: &[Record]) -> u32 {
        let mut s = self.script.lock().unwrap();
        let (serial, mut zone) = s.versions.last().unwrap().clone();
        gone.iter()
            .for_each(|r| assert!(zone.remove(r), "{r:?} is not there"));
        zone.extend(come.iter().cloned());
        s.versions.push((serial + 1, zone));
        serial + 1
    }

    pub fn set(&self, how: Behavior) {
        self.script.lock().unwrap().how = how;
    }

    /// Returns the requests since the last call, except those for the SOA.
    pub fn asked(&self) -> Vec<String> {
        let mut log = std::mem::take(&mut self.script.lock().unwrap().log);
        log.retain(|l| l != "SOA");
        log
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn serve(script: &Mutex<Script>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut query)?;
    let (all, how) = {
        let mut s = script.lock().unwrap();
        (replies(&mut s, &query), s.how)
    };
    let mut out = Vec::new();
    for m in all {
        out.extend((m.len() as u16).to_be_bytes());
        out.extend(m);
    }
    match how {
        Behavior::Cut(at) => out.truncate(at),
        Behavior::Garbage => out.iter_mut().skip(2).for_each(|b| *b ^= 0x5a),
        _ => {}
    }
    stream.write_all(&out)
}

fn record(out: &mut Vec<u8>, (name, kind, data): &Record) {
    for label in name.split('.').filter(|l| !l.is_empty()) {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.extend([0xc0, 12]);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 60]);
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
}

/// Returns the messages of a reply, with three records each.
fn replies(s: &mut Script, query: &[u8]) -> Vec<Vec<u8>> {
    let zone = wire_name(ORIGIN).unwrap();
    let end = 12 + zone.len() + 4;
    let kind = u16::from_be_bytes([query[end - 4], query[end - 3]]);
    let soa = |serial: u32| -> Record {
        let t = s.timers;
        (
            String::new(),
            6,
            [
                &[0, 0][..],
                &[serial, t[0], t[1], t[2], 60]
                    .map(u32::to_be_bytes)
                    .concat(),
            ]
            .concat(),
        )
    };
    let (newest, all) = s.versions.last().unwrap().clone();
    let mut rcode = if s.how == Behavior::Refused { 5 } else { 0 };
    let mut records = vec![soa(newest)];
    let from =
        (kind == 251).then(|| u32::from_be_bytes(query[end + 14..end + 18].try_into().unwrap()));
    let known = s.versions.iter().position(|v| Some(v.0) == from);
    match (kind, known) {
        (6, _) => {}
        (251, _) if s.how == Behavior::NoIxfr => rcode = 4,
        (251, _) if Some(newest) == from => {}
        (251, Some(at)) if s.how != Behavior::WholeZone => {
            for pair in s.versions[at..].windows(2) {
                records.push(soa(pair[0].0));
                records.extend(pair[0].1.difference(&pair[1].1).cloned());
                if s.how == Behavior::BadDifference {
                    records.push(a("9.9.9.9", 2));
                }
                records.push(soa(pair[1].0));
                records.extend(pair[1].1.difference(&pair[0].1).cloned());
            }
            records.push(soa(newest));
        }
        _ => {
            // Like some servers: in random order, except for the SOA records.
            records.extend(all.iter().rev().cloned());
            records.push((String::new(), 2, b"\x01n\0".to_vec()));
            records.push(soa(if s.how == Behavior::OtherEnd {
                newest + 1
            } else {
                newest
            }));
        }
    }
    s.log.push(match (kind, from) {
        (6, _) => "SOA".into(),
        (252, _) => "AXFR".into(),
        (_, from) => format!("IXFR {}", from.unwrap()),
    });
    let mut session = tsig::verify(&s.keys, query, orbsd::clock::wall()).unwrap_or(None);
    if !s.keys.is_empty() && session.is_none() {
        (rcode, records) = (9, vec![]);
    }
    if rcode != 0 {
        records.clear();
    }
    let mut out = Vec::new();
    let chunks: Vec<&[Record]> = if records.is_empty() {
        vec![&[]]
    } else {
        records.chunks(3).collect()
    };
    for chunk in chunks {
        let mut m = query[..2].to_vec();
        m.extend([0x84, rcode, 0, 1, 0, chunk.len() as u8, 0, 0, 0, 0]);
        m.extend(&query[12..end]);
        chunk.iter().for_each(|r| record(&mut m, r));
        if let Some(session) = &mut session {
            let len = m.len();
            m.resize(len + session.size(), 0);
            let len = session.sign(&mut m, len, orbsd::clock::wall()).unwrap();
            m.truncate(len);
        }
        out.push(m);
    }
    out
}
