//! Queries many names at once, and transfers whole zones, with hickory-proto as the parser.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};

use crate::lab::query;

/// The most queries of one client in flight.
const IN_FLIGHT: usize = 96;
/// The timeout of a datagram, and how often it is sent again.
const DATAGRAM_TIMEOUT: Duration = Duration::from_millis(700);
const TRIES: usize = 12;

pub const A: u16 = 1;
pub const SOA: u16 = 6;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const IXFR: u16 = 251;
pub const AXFR: u16 = 252;
pub const ANY: u16 = 255;
pub const CAA: u16 = 257;

/// An answer, without regard to the order of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub rcode: u16,
    pub aa: bool,
    /// Type, TTL and data of the records in the answer section; the owner is included if it is not
    /// the queried name.
    pub records: Vec<(u16, u32, String)>,
    /// Whether AUTHORITY has the SOA.
    pub soa: bool,
}

impl Answer {
    fn read(name: &str, reply: &[u8]) -> Answer {
        let m = Message::from_vec(reply).unwrap_or_else(|e| panic!("{name}: {e}: {reply:02x?}"));
        let mut records: Vec<(u16, u32, String)> = m
            .answers
            .iter()
            .map(|r| {
                let owner = r.name.to_string();
                let own = owner
                    .trim_end_matches('.')
                    .eq_ignore_ascii_case(name.trim_end_matches('.'));
                let data = if own {
                    r.data.to_string()
                } else {
                    format!("{owner} {}", r.data)
                };
                (r.record_type().into(), r.ttl, data)
            })
            .collect();
        records.sort();
        Answer {
            rcode: u16::from(m.metadata.response_code),
            aa: m.metadata.authoritative,
            records,
            soa: m
                .authorities
                .iter()
                .any(|r| r.record_type() == RecordType::SOA),
        }
    }
}

/// Sends all queries, many at a time. Returns the answers in order, or the queries without an
/// answer.
pub fn ask_all(to: SocketAddr, questions: &[(String, u16)]) -> Result<Vec<Answer>, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut out: Vec<Option<Answer>> = vec![None; questions.len()];
    let mut waiting: HashMap<u16, (usize, Instant, usize)> = HashMap::new();
    let (mut next, mut id) = (0, 0u16);
    let mut buffer = [0; 4096];
    let packet = |i: usize, id: u16| {
        let mut q = query(&questions[i].0, questions[i].1, true);
        q[..2].copy_from_slice(&id.to_be_bytes());
        q
    };
    while next < questions.len() || !waiting.is_empty() {
        while next < questions.len() && waiting.len() < IN_FLIGHT {
            id = id.wrapping_add(1);
            let _ = socket.send(&packet(next, id));
            waiting.insert(id, (next, Instant::now(), 1));
            next += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(n) if n >= 12 && buffer[2] & 0x80 != 0 => {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                if let Some((i, ..)) = waiting.remove(&id) {
                    out[i] = Some(Answer::read(&questions[i].0, &buffer[..n]));
                }
            }
            Ok(_) => {}
            Err(_) => {
                for (id, (i, at, tries)) in &mut waiting {
                    if at.elapsed() > DATAGRAM_TIMEOUT {
                        if *tries == TRIES {
                            return Err(format!("no answer to {:?}, number {i}", questions[*i]));
                        }
                        let _ = socket.send(&packet(*i, *id));
                        (*at, *tries) = (Instant::now(), *tries + 1);
                    }
                }
            }
        }
    }
    Ok(out.into_iter().map(Option::unwrap).collect())
}

/// Returns the serial of a zone at a server; `None` if the server does not have the zone or does
/// not answer.
pub fn serial(at: SocketAddr, zone: &str) -> Option<u32> {
    let reply = crate::lab::udp(at, &query(zone, SOA, false), Duration::from_millis(500))?;
    let m = Message::from_vec(&reply).ok()?;
    m.answers.first().and_then(serial_of)
}

/// Returns the serial of an SOA record.
pub fn serial_of(r: &Record) -> Option<u32> {
    match &r.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    }
}

/// Makes a query for a zone transfer; with a serial, an IXFR.
pub fn transfer_query(zone: &str, serial: Option<u32>) -> Vec<u8> {
    let mut q = query(zone, if serial.is_some() { IXFR } else { AXFR }, false);
    if let Some(serial) = serial {
        q[9] = 1; // one record in AUTHORITY: our SOA
        q.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        q.extend(serial.to_be_bytes());
        q.extend([0; 16]);
    }
    q
}

/// Reads one framed message of a stream; `None` at its end.
pub fn frame(s: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 2];
    match s.read_exact(&mut len) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        r => r?,
    }
    let mut out = vec![0; usize::from(u16::from_be_bytes(len))];
    s.read_exact(&mut out)?;
    Ok(Some(out))
}

/// Returns a message with its length prefix.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// A received transfer.
pub struct ReceivedTransfer {
    pub records: Vec<Record>,
    pub messages: usize,
    pub bytes: usize,
}

/// Transfers a zone by AXFR, or from a serial by IXFR. The error is the response code, or the
/// failure.
pub fn take(from: SocketAddr, zone: &str, serial: Option<u32>) -> Result<ReceivedTransfer, String> {
    let mut s = TcpStream::connect(from).map_err(|e| e.to_string())?;
    s.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    s.write_all(&framed(&transfer_query(zone, serial)))
        .map_err(|e| e.to_string())?;
    let mut received = ReceivedTransfer {
        records: Vec::new(),
        messages: 0,
        bytes: 0,
    };
    loop {
        let message = frame(&mut s).map_err(|e| e.to_string())?.ok_or("cut off")?;
        let m = Message::from_vec(&message).map_err(|e| e.to_string())?;
        if m.metadata.response_code != ResponseCode::NoError {
            return Err(format!("{:?}", m.metadata.response_code));
        }
        received.messages += 1;
        received.bytes += message.len();
        if m.answers.is_empty() {
            return Err("an empty message".into());
        }
        received.records.extend(m.answers);
        if ended(&received.records, serial) {
            return Ok(received);
        }
    }
}

/// Whether the records of a transfer are complete: its first SOA has occurred as often as its kind
/// requires.
fn ended(records: &[Record], asked: Option<u32>) -> bool {
    let Some(newest) = records.first().and_then(serial_of) else {
        return true;
    };
    let last = records.len() > 1 && records.last().and_then(serial_of) == Some(newest);
    let incremental = asked.is_some()
        && records
            .get(1)
            .and_then(serial_of)
            .is_some_and(|s| s != newest);
    match asked {
        // The client's serial is not older: the answer is a single SOA.
        Some(mine) if records.len() == 1 => mine == newest || mine.wrapping_sub(newest) < 1 << 31,
        // The newest SOA also begins the last additions.
        Some(_) if incremental => {
            last && records
                .iter()
                .filter(|r| serial_of(r) == Some(newest))
                .count()
                == 3
        }
        _ => last,
    }
}

/// Returns records as sorted lines `owner TTL type data`, without the SOA at the end.
pub fn lines(records: &[Record]) -> Vec<String> {
    let line = |r: &Record| {
        format!(
            "{} {} {} {}",
            r.name.to_lowercase(),
            r.ttl,
            r.record_type(),
            r.data
        )
    };
    let body = &records[..records.len().saturating_sub(1).max(1).min(records.len())];
    let mut out: Vec<String> = body.iter().map(line).collect();
    out.sort();
    out
}
