//! A proxy between a mirror and the primary. It records transfers, and can be slow, interrupted or
//! down.

use std::{
    collections::HashMap,
    io::Write,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hickory_proto::op::Message;

use super::wire::{AXFR, IXFR, frame, framed, serial_of};

/// The kind of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKind {
    /// The request only: no answer yet, or a single SOA.
    Asked,
    /// An AXFR that was requested.
    Axfr,
    /// An IXFR with differences.
    Ixfr,
    /// An IXFR that is answered with the whole zone.
    Whole,
}

/// A transfer through the proxy.
#[derive(Debug, Clone)]
pub struct ObservedTransfer {
    pub zone: String,
    pub kind: TransferKind,
    /// The bytes of its messages so far.
    pub bytes: usize,
    head: Vec<Option<u32>>,
}

struct State {
    to: SocketAddr,
    stop: AtomicBool,
    away: AtomicBool,
    /// The microseconds to wait before each message of the primary.
    pace: AtomicU64,
    /// The bytes of the primary after which the connection is closed, once; 0: never.
    cut: AtomicU64,
    cuts: AtomicU64,
    log: Mutex<Vec<ObservedTransfer>>,
    told: AtomicUsize,
}

/// The proxy. It ends with the test.
pub struct Proxy {
    pub addr: SocketAddr,
    state: Arc<State>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, SeqCst);
    }
}

impl Proxy {
    pub fn to(to: SocketAddr) -> Proxy {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let addr = udp.local_addr().unwrap();
        let state = Arc::new(State {
            to,
            stop: AtomicBool::new(false),
            away: AtomicBool::new(false),
            pace: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            log: Mutex::new(Vec::new()),
            told: AtomicUsize::new(0),
        });
        tcp.set_nonblocking(true).unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let (one, two) = (state.clone(), state.clone());
        std::thread::spawn(move || datagrams(&udp, &one));
        std::thread::spawn(move || connections(&tcp, &two));
        Proxy { addr, state }
    }
    /// Stops or resumes all traffic.
    pub fn away(&self, away: bool) {
        self.state.away.store(away, SeqCst);
    }
    /// Sets the wait before each message of the primary.
    pub fn pace(&self, each: Duration) {
        self.state.pace.store(each.as_micros() as u64, SeqCst);
    }
    /// Closes the connection after so many more bytes of a transfer, once.
    pub fn cut_after(&self, bytes: u64) {
        self.state.cut.store(bytes, SeqCst);
    }
    /// Returns how often a connection was closed.
    pub fn cuts(&self) -> u64 {
        self.state.cuts.load(SeqCst)
    }
    /// Returns the transfers since the last call.
    pub fn transfers(&self) -> Vec<ObservedTransfer> {
        let log = self.state.log.lock().unwrap();
        log[self.state.told.swap(log.len(), SeqCst)..].to_vec()
    }
    /// Returns the bytes of the running transfer.
    pub fn running_bytes(&self) -> usize {
        self.state.log.lock().unwrap().last().map_or(0, |p| p.bytes)
    }
}

fn datagrams(udp: &UdpSocket, state: &State) {
    let mut buffer = [0; 4096];
    while !state.stop.load(SeqCst) {
        let Ok((n, from)) = udp.recv_from(&mut buffer) else {
            continue;
        };
        if state.away.load(SeqCst) {
            continue;
        }
        if let Some(reply) = crate::lab::udp(state.to, &buffer[..n], Duration::from_secs(1)) {
            let _ = udp.send_to(&reply, from);
        }
    }
}

fn connections(tcp: &TcpListener, state: &Arc<State>) {
    while !state.stop.load(SeqCst) {
        let Ok((client, _)) = tcp.accept() else {
            std::thread::sleep(Duration::from_millis(3));
            continue;
        };
        let _ = client.set_nonblocking(false);
        let server = TcpStream::connect(state.to);
        if let (false, Ok(server)) = (state.away.load(SeqCst), server) {
            let state = state.clone();
            std::thread::spawn(move || carry(&client, &server, &state));
        }
    }
}

/// Forwards one connection: requests in a thread of their own, answers in this one.
fn carry(client: &TcpStream, server: &TcpStream, state: &Arc<State>) {
    let asked: Arc<Mutex<HashMap<[u8; 2], Option<usize>>>> = Arc::default();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (questions, log) = (asked.clone(), state.clone());
    std::thread::spawn(move || {
        while let Ok(Some(q)) = frame(&mut from) {
            if let Ok(m) = Message::from_vec(&q)
                && let Some(first) = m.queries.first()
            {
                let at = [AXFR, IXFR]
                    .contains(&u16::from(first.query_type()))
                    .then(|| {
                        let kind = if u16::from(first.query_type()) == AXFR {
                            TransferKind::Axfr
                        } else {
                            TransferKind::Asked
                        };
                        let zone = first.name().to_string().trim_end_matches('.').to_string();
                        let mut log = log.log.lock().unwrap();
                        log.push(ObservedTransfer {
                            zone,
                            kind,
                            bytes: 0,
                            head: Vec::new(),
                        });
                        log.len() - 1
                    });
                questions.lock().unwrap().insert([q[0], q[1]], at);
            }
            if to.write_all(&framed(&q)).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    while let Ok(Some(reply)) = frame(&mut from) {
        let at = asked
            .lock()
            .unwrap()
            .get(&[reply[0], reply[1]])
            .copied()
            .flatten();
        if let Some(at) = at {
            note(state, at, &reply);
            std::thread::sleep(Duration::from_micros(state.pace.load(SeqCst)));
            let left = state.cut.load(SeqCst);
            if left > 0 {
                let more = left.saturating_sub(reply.len() as u64);
                state.cut.store(more, SeqCst);
                if more == 0 {
                    state.cuts.fetch_add(1, SeqCst);
                    // Close within a message.
                    let _ = to.write_all(&framed(&reply)[..reply.len() / 2]);
                    break;
                }
            }
        }
        if state.away.load(SeqCst) || to.write_all(&framed(&reply)).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// Counts a message, and recognises the kind of a transfer by its first two records.
fn note(state: &State, at: usize, reply: &[u8]) {
    let mut log = state.log.lock().unwrap();
    let p = &mut log[at];
    p.bytes += reply.len();
    if p.head.len() < 2 {
        let m = Message::from_vec(reply).unwrap_or_else(|e| panic!("a message of a transfer: {e}"));
        p.head.extend(m.answers.iter().take(2).map(serial_of));
        if p.kind == TransferKind::Asked && p.head.len() >= 2 {
            p.kind = if p.head[1].is_some_and(|s| Some(s) != p.head[0]) {
                TransferKind::Ixfr
            } else {
                TransferKind::Whole
            };
        }
    }
}
