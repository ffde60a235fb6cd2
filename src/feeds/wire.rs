//! Requests to a zone's server: its SOA, and its records by AXFR or IXFR.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    clock::wall,
    dns::{
        PLAIN_SIZE, UDP_SIZE,
        incoming::{RecordChange, Soa, TransferEnd, TransferQuery, TransferReader, transfer_query},
        tsig::TsigSession,
    },
    index::records::wire_name,
    model::TsigKey,
};

/// How long the connection to a server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the next bytes of a transfer may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one transfer may take as a whole.
const MAX_TRANSFER_TIME: Duration = Duration::from_secs(4 * 3600);
/// How long a response over UDP may take.
const UDP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a query over UDP is sent.
const MAX_UDP_TRIES: usize = 2;
/// How many addresses of a server name are tried.
const MAX_ADDRESSES: usize = 8;
/// The port of a server that is configured without one.
const DEFAULT_PORT: u16 = 53;

/// A zone and its server.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The server: an address or a name, with or without a port.
    pub address: String,
    /// The zone, in text.
    pub zone: String,
    /// The TSIG key (RFC 8945) that signs requests; replies have to be signed with it too.
    pub key: Option<Arc<TsigKey>>,
}

/// Receives a transfer, and may abort it.
pub trait TransferSink {
    /// Whether the receiver also wants the zone's own records (SOA, NS and others).
    fn apex(&self) -> bool {
        false
    }
    /// Receives the size of each message. An error ends the transfer.
    fn bytes(&mut self, _size: usize) -> Result<(), String> {
        Ok(())
    }
    /// Receives a record. An error ends the transfer.
    fn change(&mut self, change: RecordChange) -> Result<(), String>;
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferError {
    /// The server could not be reached, or the connection failed; try again later.
    Network(String),
    /// The server refused the request, or its answer cannot be used.
    Answer(String),
}

impl TransferError {
    /// The message.
    pub fn text(self) -> String {
        match self {
            TransferError::Network(why) | TransferError::Answer(why) => why,
        }
    }
}

impl Server {
    /// Checks the address or name of a server and the name of its zone.
    ///
    /// # Errors
    ///
    /// The address or the zone is malformed.
    pub fn new(address: &str, zone: &str, key: Option<Arc<TsigKey>>) -> Result<Server, String> {
        wire_name(zone).map_err(|why| format!("zone: {why}"))?;
        let host = address.trim();
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(format!(
                "`{address}` is not a server; write 192.0.2.1, [2001:db8::1]:5300 or a name"
            ));
        }
        Ok(Server {
            address: host.into(),
            zone: zone.trim_end_matches('.').to_ascii_lowercase(),
            key,
        })
    }

    /// The addresses of the server. A name is looked up.
    ///
    /// # Errors
    ///
    /// The name has no address or is malformed.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        if let Some(address) = self.literal() {
            return Ok(vec![address]);
        }
        let text = self.address.trim();
        let with_port = match text.contains(':') {
            true => text.to_string(),
            false => format!("{text}:{DEFAULT_PORT}"),
        };
        let found = with_port
            .to_socket_addrs()
            .map_err(|e| format!("the server `{text}` has no address: {e}"))?;
        Ok(found.take(MAX_ADDRESSES).collect())
    }

    /// The address, if the server is configured as an address and not as a name.
    pub fn literal(&self) -> Option<SocketAddr> {
        let text = self.address.trim();
        let without_brackets = text.trim_start_matches('[').trim_end_matches(']');
        without_brackets
            .parse::<IpAddr>()
            .map(|ip| SocketAddr::new(ip, DEFAULT_PORT))
            .or_else(|_| text.parse())
            .ok()
    }

    /// The addresses that are known without a DNS query: that of a literal in any form that the
    /// system accepts (`127.1`, `[::ffff:127.0.0.1]`), and those of this machine for the names of
    /// RFC 6761 section 6.3 (`localhost`).
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        let canonical = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
        if let Some(address) = self.literal() {
            return vec![canonical(address)];
        }
        let text = self.address.trim();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (text, Some(DEFAULT_PORT)),
        };
        let Some(port) = port else { return Vec::new() };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_number = |l: &str| match l.strip_prefix("0x") {
            Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
            None => !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit()),
        };
        match host.as_str() {
            "localhost" | "localhost.localdomain" | "ip6-localhost" | "ip6-loopback" => {}
            name if name.ends_with(".localhost") => {}
            // The system reads a name of numbers as an address and does not look it up.
            numbers if numbers.split('.').all(is_number) => {
                return (numbers, port)
                    .to_socket_addrs()
                    .into_iter()
                    .flatten()
                    .map(canonical)
                    .collect();
            }
            _ => return Vec::new(),
        }
        let loopback = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        loopback.map(|ip| SocketAddr::new(ip, port)).into()
    }

    /// Whether the server's messages are signed with the TSIG key of this name.
    pub fn has_key(&self, key: Option<&str>) -> bool {
        self.key.as_ref().is_some_and(|k| Some(k.name()) == key)
    }

    /// The query, signed if there is a key, and the session that verifies its replies.
    fn query(
        &self,
        id: u16,
        zone: &[u8],
        kind: TransferQuery,
    ) -> Result<(Vec<u8>, Option<TsigSession>), TransferError> {
        let mut query = transfer_query(id, zone, kind);
        let Some(key) = &self.key else {
            return Ok((query, None));
        };
        let len = query.len();
        query.resize(PLAIN_SIZE + len, 0); // enough for the name and the MAC of any key
        let signed = TsigSession::request(key.clone(), &mut query, len, wall());
        let (session, len) = signed.ok_or_else(|| {
            TransferError::Answer(format!("the name of the key `{}` is too long", key.name()))
        })?;
        query.truncate(len);
        Ok((query, Some(session)))
    }

    /// The zone's name in wire form.
    fn wire(&self) -> Result<Vec<u8>, TransferError> {
        wire_name(&self.zone).map_err(TransferError::Answer)
    }

    /// Queries the zone's SOA over UDP, and over TCP if UDP gives none.
    pub fn soa(&self) -> Result<Soa, TransferError> {
        let zone = self.wire()?;
        let mut last = None;
        for addr in self.addresses().map_err(TransferError::Network)? {
            match self.udp(addr, &zone) {
                Ok(Some(soa)) => return Ok(soa),
                Ok(None) => {}
                Err(e @ TransferError::Answer(_)) => last = Some(e),
                Err(e) => last = last.or(Some(e)),
            }
            match self.exchange(addr, &zone, TransferQuery::Soa, &mut DiscardRecords) {
                Ok(TransferEnd::UpToDate(soa)) => return Ok(soa),
                Ok(_) => {}
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| self.no_address()))
    }

    fn no_address(&self) -> TransferError {
        TransferError::Network(format!("the server `{}` has no address", self.address))
    }

    /// Transfers the zone or its changes over TCP. Tries the next address only if no record was
    /// received.
    pub fn transfer(
        &self,
        kind: TransferQuery,
        sink: &mut dyn TransferSink,
    ) -> Result<TransferEnd, TransferError> {
        let zone = self.wire()?;
        let mut last = self.no_address();
        for addr in self.addresses().map_err(TransferError::Network)? {
            let mut counted = RecordCounter {
                sink: &mut *sink,
                records: 0,
            };
            match self.exchange(addr, &zone, kind, &mut counted) {
                Ok(end) => return Ok(end),
                Err(e) if counted.records > 0 => return Err(e),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Queries the SOA over UDP; `None` if TCP has to be used, because the answer is truncated or
    /// has no SOA.
    fn udp(&self, addr: SocketAddr, zone: &[u8]) -> Result<Option<Soa>, TransferError> {
        let network = |e: std::io::Error| TransferError::Network(format!("{addr}: {e}"));
        let any = if addr.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).map_err(network)?;
        socket.connect(addr).map_err(network)?;
        let mut buf = [0; UDP_SIZE];
        for _ in 0..MAX_UDP_TRIES {
            let id = id().map_err(network)?;
            let (query, session) = self.query(id, zone, TransferQuery::Soa)?;
            if socket.send(&query).is_err() {
                continue; // an ICMP error of an earlier packet; TCP reports it better
            }
            let until = Instant::now() + UDP_TIMEOUT;
            loop {
                let remaining = until.saturating_duration_since(Instant::now());
                if remaining.is_zero() {
                    break;
                }
                socket.set_read_timeout(Some(remaining)).map_err(network)?;
                let Ok(n) = socket.recv(&mut buf) else { break };
                if buf.get(..2) != Some(&id.to_be_bytes()) || n < 12 {
                    continue; // not the reply to this query
                }
                if buf[2] & 2 != 0 {
                    return Ok(None);
                }
                // A datagram can be forged, so one without the required signature is ignored.
                if session
                    .clone()
                    .is_some_and(|mut s| s.check(&buf[..n], wall()).is_err())
                {
                    return Ok(None);
                }
                let mut incoming = TransferReader::new(zone, id, TransferQuery::Soa);
                return match incoming.message(&buf[..n], &mut |_| Ok(())) {
                    Ok(()) => Ok(incoming.soa()),
                    Err(why) => Err(TransferError::Answer(format!("{addr}: {why}"))),
                };
            }
        }
        Ok(None)
    }

    fn exchange(
        &self,
        addr: SocketAddr,
        zone: &[u8],
        kind: TransferQuery,
        sink: &mut dyn TransferSink,
    ) -> Result<TransferEnd, TransferError> {
        let network = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                TransferError::Network(format!(
                    "{addr} has sent no data for {} s",
                    READ_TIMEOUT.as_secs()
                ))
            }
            std::io::ErrorKind::UnexpectedEof => {
                TransferError::Network(format!("{addr} closed the connection before the end"))
            }
            _ => TransferError::Network(format!("{addr}: {e}")),
        };
        let until = Instant::now() + MAX_TRANSFER_TIME;
        let mut stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT).map_err(|e| {
            TransferError::Network(format!(
                "{addr} cannot be reached over TCP: {e}; check the address and the server"
            ))
        })?;
        stream
            .set_read_timeout(Some(READ_TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(READ_TIMEOUT)))
            .map_err(network)?;
        let id = id().map_err(network)?;
        let (query, mut session) = self.query(id, zone, kind)?;
        stream
            .write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat())
            .map_err(network)?;
        let mut stream = std::io::BufReader::with_capacity(1 << 16, stream);
        let mut incoming = TransferReader::new(zone, id, kind);
        incoming.apex = sink.apex();
        let mut message = Vec::new();
        loop {
            if Instant::now() > until {
                return Err(TransferError::Network(format!(
                    "the transfer took longer than {} s",
                    MAX_TRANSFER_TIME.as_secs()
                )));
            }
            let mut len = [0; 2];
            stream.read_exact(&mut len).map_err(network)?;
            message.resize(usize::from(u16::from_be_bytes(len)), 0);
            stream.read_exact(&mut message).map_err(network)?;
            sink.bytes(message.len() + 2)
                .map_err(TransferError::Network)?;
            if let Some(s) = &mut session {
                s.check(&message, wall())
                    .map_err(|why| TransferError::Answer(format!("{addr}: {why}")))?;
            }
            incoming
                .message(&message, &mut |c| sink.change(c))
                .map_err(|why| TransferError::Answer(format!("{addr}: {why}")))?;
            match incoming.end() {
                Some(_) if session.as_ref().is_some_and(|s| !s.whole()) => {
                    return Err(TransferError::Answer(format!(
                        "{addr}: the last message of the transfer is not signed"
                    )));
                }
                Some(end) => return Ok(end),
                None if kind == TransferQuery::Soa => {
                    return Err(TransferError::Answer(format!(
                        "the answer of {addr} has no SOA of {}",
                        self.zone
                    )));
                }
                None => {}
            }
        }
    }
}

/// A random message ID, which a forged reply would have to guess.
fn id() -> std::io::Result<u16> {
    Ok(u16::from_be_bytes(crate::random::Random::system().bytes()?))
}

/// Discards all records.
struct DiscardRecords;

impl TransferSink for DiscardRecords {
    fn change(&mut self, _: RecordChange) -> Result<(), String> {
        Ok(())
    }
}

/// Passes records on and counts them.
struct RecordCounter<'w> {
    sink: &'w mut dyn TransferSink,
    records: u64,
}

impl TransferSink for RecordCounter<'_> {
    fn apex(&self) -> bool {
        self.sink.apex()
    }
    fn bytes(&mut self, n: usize) -> Result<(), String> {
        self.sink.bytes(n)
    }
    fn change(&mut self, change: RecordChange) -> Result<(), String> {
        self.records += 1;
        self.sink.change(change)
    }
}
