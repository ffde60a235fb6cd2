//! The DNS server of the laboratory: each host has a name, which has its address and is its own
//! mail exchange. Names can have TXT records besides.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, MX, PTR, TXT},
    },
};

/// The names of hosts, by address, and the TXT records of names.
#[derive(Clone, Default)]
pub struct Names(
    Arc<Mutex<HashMap<IpAddr, String>>>,
    Arc<Mutex<HashMap<String, String>>>,
);

impl Names {
    /// Serves DNS at an address until the process ends.
    pub fn start(addr: SocketAddr) -> Names {
        let names = Names::default();
        let (own, socket) = (names.clone(), UdpSocket::bind(addr).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((n, from)) = socket.recv_from(&mut buffer) {
                if let Ok(query) = Message::from_vec(&buffer[..n]) {
                    let _ = socket.send_to(&own.answer(&query).to_vec().unwrap(), from);
                }
            }
        });
        names
    }

    pub fn add(&self, addr: IpAddr, name: &str) {
        self.0.lock().unwrap().insert(addr, name.into());
    }

    /// Adds a TXT record.
    pub fn add_text(&self, name: &str, text: &str) {
        self.1.lock().unwrap().insert(name.into(), text.into());
    }

    pub fn remove(&self, addr: IpAddr) {
        self.0.lock().unwrap().remove(&addr);
    }

    /// Returns the name of an address. Tests pass it in nominations, because the resolver does not
    /// ask a server for the reverse DNS of 127.0.0.0/8.
    pub fn of(&self, addr: IpAddr) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .get(&addr)
            .cloned()
            .into_iter()
            .collect()
    }

    fn answer(&self, query: &Message) -> Message {
        let mut out = Message::response(query.metadata.id, query.metadata.op_code);
        out.metadata.message_type = MessageType::Response;
        let Some(q) = query.queries.first() else {
            return out;
        };
        out.add_query(q.clone());
        let all = self.0.lock().unwrap();
        let queried_name = q
            .name()
            .to_lowercase()
            .to_utf8()
            .trim_end_matches('.')
            .to_string();
        let name = |t: &str| Name::from_utf8(format!("{t}.")).unwrap();
        for (addr, host) in all.iter() {
            let data = match q.query_type() {
                RecordType::PTR if Name::from(*addr).to_lowercase() == q.name().to_lowercase() => {
                    Some(RData::PTR(PTR(name(host))))
                }
                RecordType::MX if queried_name == *host => Some(RData::MX(MX::new(10, name(host)))),
                RecordType::A if queried_name == *host => match addr {
                    IpAddr::V4(a) => Some(RData::A(A(*a))),
                    IpAddr::V6(_) => None,
                },
                RecordType::AAAA if queried_name == *host => match addr {
                    IpAddr::V6(a) => Some(RData::AAAA(AAAA(*a))),
                    IpAddr::V4(_) => None,
                },
                _ => None,
            };
            if let Some(data) = data {
                out.add_answer(Record::from_rdata(q.name().clone(), 0, data));
            }
        }
        let texts = self.1.lock().unwrap();
        if let (RecordType::TXT, Some(text)) = (q.query_type(), texts.get(&queried_name)) {
            let data = RData::TXT(TXT::new(vec![text.clone()]));
            out.add_answer(Record::from_rdata(q.name().clone(), 0, data));
        }
        let known = all.values().any(|h| *h == queried_name) || texts.contains_key(&queried_name);
        if out.answers.is_empty() && !known {
            out.metadata.response_code = ResponseCode::NXDomain;
        }
        out
    }
}
