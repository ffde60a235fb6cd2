//! A daemon with its site, a tester, and mail servers to test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    lab::{DOMAINS, free_port, udp},
    relay::{
        RelayLab, ZONE,
        mta::{Mta, MtaBehavior, connect},
        v4,
    },
};

/// The operation code of NOTIFY, in the third byte of a message.
const NOTIFY: u8 = 4 << 3;

/// A daemon with its site, a mirror of its zones, and a smart host.
pub struct SiteLab {
    pub relay: RelayLab,
    /// The site's URL.
    pub base: String,
    /// The address of the mirror.
    pub mirror: SocketAddr,
    /// The messages that the smart host has.
    pub mail: Arc<Mutex<Vec<String>>>,
    site: SocketAddr,
}

impl SiteLab {
    /// Starts a daemon, with further tables of its configuration.
    pub fn new(tables: &str) -> SiteLab {
        let site: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let mirror: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let base = format!("http://{site}");
        let (smarthost, mail) = smart_host();
        let tables = format!(
            "[web]\nlisten = \"{site}\"\nbase_url = \"{base}\"\n\
             [mail]\nsmarthost = \"{smarthost}\"\nfrom = \"removal@orbs.example\"\nrequire_starttls = false\n{tables}"
        );
        let mirrored = |zone: &str| format!("{zone}[transfer]\nnotify = [\"{mirror}\"]\n");
        let zone = ZONE.replace(
            "{ reason = \"notest\", code = \"127.0.0.13\" },",
            "{ reason = \"notest\", code = \"127.0.0.13\" }, { reason = \"netblock\", code = \"127.0.0.9\" },",
        );
        let zones = [("bl", mirrored(&zone)), ("dbl", mirrored(DOMAINS))];
        let zones: Vec<(&str, &str)> = zones.iter().map(|(n, z)| (*n, z.as_str())).collect();
        let relay = RelayLab::with(&tables, "0s", &zones);
        serve_mirror(mirror, relay.api.f.addr());
        SiteLab {
            relay,
            base,
            mirror,
            mail,
            site,
        }
    }

    /// Waits for a message to an address. Returns it.
    pub fn mail_to(&self, address: &str) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let all = self.mail.lock().unwrap();
            if let Some(found) = all
                .iter()
                .find(|m| m.contains(&format!("RCPT TO:<{address}>")))
            {
                return found.clone();
            }
            assert!(Instant::now() < until, "no mail to {address}: {all:?}");
            drop(all);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts an open relay, and lists it by a test. Each number is another host.
    pub fn listed_relay(&self, number: u8, behavior: MtaBehavior) -> (IpAddr, Arc<Mta>) {
        let addr = v4(number, 1);
        let mta = self.relay.mta(addr, &format!("relay{number}"), behavior);
        let job = self.relay.nominate(addr, &json!({"tests": ["plain"]}));
        let job = self.relay.done(job);
        assert_eq!(job["assessment"], "open", "{job:#}");
        (addr, mta)
    }

    /// Lists a subject as an operator.
    pub fn list(&self, subject: &str, reason: &str) {
        let body = json!({"subject": subject, "reason": reason});
        self.relay.api.post("/v1/listings", &body.to_string()).ok();
    }

    /// Decides about a ticket as an operator.
    pub fn operator(&self, path: &str, text: &str) {
        let body = json!({ "text": text });
        self.relay.api.post(path, &body.to_string()).ok();
    }

    /// The ticket with a secret path, as programs see it.
    pub fn ticket_at(&self, path: &str) -> Value {
        let response = ureq::get(format!("{}{path}", self.base))
            .header("accept", "application/json")
            .call();
        serde_json::from_str(&response.unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Sends a request from an address of this machine, as a program on that host does. Returns the
    /// whole response.
    pub fn request_from(&self, source: IpAddr, method: &str, path: &str) -> String {
        let mut stream = connect(source, self.site).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: curl/8\r\naccept: */*\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n",
            self.site
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    /// The bounce of a receiver who uses the zone.
    pub fn bounce(addr: IpAddr) -> String {
        format!(
            "This is the mail system at host mail.sender.example.\n\n\
             I'm sorry to have to inform you that your message could not\n\
             be delivered to one or more recipients.\n\n\
             <anna@receiver.example>: host mx.receiver.example[192.0.2.25] said: 554 5.7.1\n    \
             Service unavailable; Client host [{addr}] blocked using bl.orbs.example;\n    \
             Open relay, see https://orbs.example/{addr} (in reply to RCPT TO\n    command)\n"
        )
    }
}

/// Serves what a daemon serves, as a mirror that is always up to date.
fn serve_mirror(addr: SocketAddr, primary: SocketAddr) {
    let socket = UdpSocket::bind(addr).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let message = &mut buffer[..n];
            if message.get(2).is_some_and(|b| b & 0x78 == NOTIFY) {
                message[2] |= 0x80;
                let _ = socket.send_to(message, from);
            } else if let Some(answer) = udp(primary, message, Duration::from_secs(2)) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// A mail server that accepts everything. Returns its address and the messages, each with its
/// envelope.
fn smart_host() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let messages = Arc::new(Mutex::new(Vec::new()));
    let received = messages.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let (mut message, mut line, mut is_data) = (String::new(), String::new(), false);
            let _ = stream.get_mut().write_all(b"220 smart.example\r\n");
            while stream.read_line(&mut line).unwrap_or(0) > 0 {
                message += &line;
                let reply = match (is_data, line.trim_end()) {
                    (true, ".") => {
                        is_data = false;
                        received.lock().unwrap().push(std::mem::take(&mut message));
                        "250 accepted\r\n"
                    }
                    (true, _) => "",
                    (false, "DATA") => {
                        is_data = true;
                        "354 go ahead\r\n"
                    }
                    (false, "QUIT") => "221 bye\r\n",
                    _ => "250 ok\r\n",
                };
                let _ = stream.get_mut().write_all(reply.as_bytes());
                line.clear();
            }
        }
    });
    (addr, messages)
}
