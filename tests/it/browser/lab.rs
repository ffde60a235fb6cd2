//! A daemon with its site, a tester, and mail servers to test.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde_json::json;

use crate::{
    lab::free_port,
    relay::{
        RelayLab,
        mta::{Mta, MtaBehavior, connect},
        v4,
    },
};

/// A daemon with its site.
pub struct SiteLab {
    pub relay: RelayLab,
    /// The site's URL.
    pub base: String,
    site: SocketAddr,
}

impl SiteLab {
    /// Starts a daemon, with further tables of its configuration.
    pub fn new(tables: &str) -> SiteLab {
        let site: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let base = format!("http://{site}");
        let relay = RelayLab::new(&format!(
            "[web]\nlisten = \"{site}\"\nbase_url = \"{base}\"\n{tables}"
        ));
        SiteLab { relay, base, site }
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
