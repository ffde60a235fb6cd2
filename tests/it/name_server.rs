//! A DNS server of a test: it answers from a table of records, and notes the names that are asked.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, MX, NS, PTR, SOA, TXT},
    },
};

/// Returns a name of the root.
pub fn name(text: &str) -> Name {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap()
}

/// A name as the key of the tables.
fn key(name: &Name) -> String {
    let text = name.to_lowercase().to_utf8();
    text.trim_end_matches('.').to_string()
}

#[derive(Default)]
struct Tables {
    records: HashMap<(RecordType, String), Vec<RData>>,
    /// The names of hosts, by address.
    hosts: HashMap<IpAddr, String>,
    /// The names for which the server fails.
    failing: HashSet<String>,
    asked: Vec<String>,
    /// Whether it does not answer at all.
    is_silent: bool,
    /// The name that every address has which has no other.
    invented: Option<String>,
    /// The servers of delegated zones, with their glue.
    delegated: HashMap<String, Vec<(String, Option<IpAddr>)>>,
    /// Another server, which answers for all names in a zone.
    forwarded: Option<(String, SocketAddr)>,
}

/// The records of a DNS server, which answers over UDP until the process ends.
#[derive(Clone, Default)]
pub struct NameServer(Arc<Mutex<Tables>>);

impl NameServer {
    pub fn start(addr: SocketAddr) -> NameServer {
        let server = NameServer::default();
        let (own, socket) = (server.clone(), UdpSocket::bind(addr).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((n, from)) = socket.recv_from(&mut buffer) {
                let is_silent = own.0.lock().unwrap().is_silent;
                if let Some(reply) = own.forwarded_reply(&buffer[..n]) {
                    let _ = socket.send_to(&reply, from);
                    continue;
                }
                if let Ok(query) = Message::from_vec(&buffer[..n])
                    && !is_silent
                {
                    let _ = socket.send_to(&own.answer(&query).to_vec().unwrap(), from);
                }
            }
        });
        server
    }

    pub fn add(&self, kind: RecordType, at: &str, data: RData) {
        let records = &mut self.0.lock().unwrap().records;
        let entry = records.entry((kind, key(&name(at))));
        entry.or_default().push(data);
    }

    /// Adds the SOA of a zone. Names in no zone get responses without SOA.
    pub fn zone(&self, apex: &str) {
        let soa = SOA::new(name("ns.example"), name("host.example"), 1, 60, 60, 60, 0);
        self.add(RecordType::SOA, apex, RData::SOA(soa));
    }

    /// Delegates a zone: queries in it get a referral to these servers, with their glue.
    pub fn delegate(&self, apex: &str, servers: &[(&str, Option<IpAddr>)]) {
        let servers = servers.iter().map(|(name, glue)| ((*name).into(), *glue));
        let delegated = &mut self.0.lock().unwrap().delegated;
        delegated.insert(apex.into(), servers.collect());
    }

    /// Lets another server answer for all names in a zone.
    pub fn forward(&self, apex: &str, to: SocketAddr) {
        self.0.lock().unwrap().forwarded = Some((apex.into(), to));
    }

    /// The reply of the other server to a query in its zone.
    fn forwarded_reply(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (apex, to) = self.0.lock().unwrap().forwarded.clone()?;
        let message = Message::from_vec(query).ok()?;
        let at = key(message.queries.first()?.name());
        if !is_within(&at, &apex) {
            return None;
        }
        crate::lab::udp(to, query, std::time::Duration::from_millis(500))
    }

    pub fn text(&self, at: &str, text: &str) {
        // A string of a record has at most 255 bytes.
        let strings = text.as_bytes().chunks(255);
        let strings = strings.map(|s| String::from_utf8_lossy(s).into_owned());
        let text = TXT::new(strings.collect());
        self.add(RecordType::TXT, at, RData::TXT(text));
    }

    pub fn exchange(&self, domain: &str, host: &str) {
        let data = RData::MX(MX::new(10, name(host)));
        self.add(RecordType::MX, domain, data);
    }

    pub fn pointer(&self, addr: IpAddr, host: &str) {
        let data = RData::PTR(PTR(name(host)));
        self.add(RecordType::PTR, &key(&Name::from(addr)), data);
    }

    /// Replaces the name of an address, or removes it.
    pub fn set_pointer(&self, addr: IpAddr, host: Option<&str>) {
        let at = (RecordType::PTR, key(&Name::from(addr)));
        self.0.lock().unwrap().records.remove(&at);
        if let Some(host) = host {
            self.pointer(addr, host);
        }
    }

    /// Stops to answer, or answers again.
    pub fn set_silent(&self, is_silent: bool) {
        self.0.lock().unwrap().is_silent = is_silent;
    }

    /// Gives a name to every address that has no other, or to none.
    pub fn invent(&self, host: Option<&str>) {
        self.0.lock().unwrap().invented = host.map(Into::into);
    }

    pub fn address(&self, host: &str, addr: IpAddr) {
        let (kind, data) = address_data(addr);
        self.add(kind, host, data);
    }

    /// Adds a host: its name in both directions, and as its own mail exchange.
    pub fn host(&self, addr: IpAddr, host: &str) {
        self.pointer(addr, host);
        self.address(host, addr);
        self.exchange(host, host);
        self.0.lock().unwrap().hosts.insert(addr, host.into());
    }

    /// Removes the name of a host.
    pub fn remove_host(&self, addr: IpAddr) {
        let mut tables = self.0.lock().unwrap();
        let Some(host) = tables.hosts.remove(&addr) else {
            return;
        };
        let (kind, data) = address_data(addr);
        let records = &mut tables.records;
        records.remove(&(RecordType::PTR, key(&Name::from(addr))));
        let addresses = records.entry((kind, host.clone())).or_default();
        addresses.retain(|d| *d != data);
        if addresses.is_empty() {
            records.remove(&(kind, host.clone()));
            records.remove(&(RecordType::MX, host));
        }
    }

    /// Returns the name of a host. Tests pass it in nominations, because the resolver does not ask a
    /// server for the reverse DNS of 127.0.0.0/8.
    pub fn names_of(&self, addr: IpAddr) -> Vec<String> {
        let tables = self.0.lock().unwrap();
        tables.hosts.get(&addr).cloned().into_iter().collect()
    }

    /// Answers queries for a name with SERVFAIL.
    pub fn fail(&self, at: &str) {
        self.0.lock().unwrap().failing.insert(key(&name(at)));
    }

    /// Returns the names that were asked since the last call.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }

    fn answer(&self, query: &Message) -> Message {
        let mut out = Message::response(query.metadata.id, query.metadata.op_code);
        out.metadata.message_type = MessageType::Response;
        let Some(q) = query.queries.first() else {
            return out;
        };
        out.add_query(q.clone());
        let mut tables = self.0.lock().unwrap();
        let at = key(q.name());
        tables.asked.push(at.clone());
        if tables.failing.contains(&at) {
            out.metadata.response_code = ResponseCode::ServFail;
            return out;
        }
        let mut delegated = tables.delegated.iter();
        if let Some((apex, servers)) = delegated.find(|(apex, _)| is_within(&at, apex)) {
            for (server, glue) in servers {
                let data = RData::NS(NS(name(server)));
                out.add_authority(Record::from_rdata(name(apex), 60, data));
                if let Some(glue) = glue {
                    let data = address_data(*glue).1;
                    out.add_additional(Record::from_rdata(name(server), 60, data));
                }
            }
            return out;
        }
        let records = &tables.records;
        let found = records.get(&(q.query_type(), at.clone()));
        for data in found.into_iter().flatten() {
            out.add_answer(Record::from_rdata(q.name().clone(), 0, data.clone()));
        }
        if let (Some(host), RecordType::PTR) = (&tables.invented, q.query_type())
            && out.answers.is_empty()
        {
            let data = RData::PTR(PTR(name(host)));
            out.add_answer(Record::from_rdata(q.name().clone(), 0, data));
        }
        if out.answers.is_empty() {
            let mut above = at.as_str();
            while !records.contains_key(&(RecordType::SOA, above.into())) {
                let Some((_, parent)) = above.split_once('.') else {
                    break;
                };
                above = parent;
            }
            let soa = records.get(&(RecordType::SOA, above.into()));
            for soa in soa.into_iter().flatten() {
                out.add_authority(Record::from_rdata(name(above), 0, soa.clone()));
            }
            if !records.keys().any(|(_, n)| *n == at) {
                out.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        out
    }
}

/// Whether a name is a zone or in it.
fn is_within(at: &str, apex: &str) -> bool {
    at == apex || at.ends_with(&format!(".{apex}"))
}

fn address_data(addr: IpAddr) -> (RecordType, RData) {
    match addr {
        IpAddr::V4(a) => (RecordType::A, RData::A(A(a))),
        IpAddr::V6(a) => (RecordType::AAAA, RData::AAAA(AAAA(a))),
    }
}
