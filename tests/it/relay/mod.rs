//! Relay tests against mail servers with known behaviour, on addresses of this machine.

mod attacks;
mod collector;
mod day;
mod matrix;
pub mod mta;
mod pace;
mod probe_command;
pub mod real;
mod rules;
mod table;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    lab::{CONFIG, free_port},
    name_server::NameServer,
};
use mta::{Mta, MtaBehavior};

/// A zone that publishes all reasons of relay tests.
pub const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
negative_ttl = "1m"
publish = [
  { reason = "relay", code = "127.0.0.2" }, { reason = "input", code = "127.0.0.3" }, { reason = "output", code = "127.0.0.4" },
  { reason = "unconfirmed", code = "127.0.0.8" }, { reason = "notest", code = "127.0.0.13" },
]
"#;

/// A laboratory: a daemon whose tester is on for addresses of this machine, and a DNS server with
/// their names.
pub struct RelayLab {
    pub api: Api,
    pub names: NameServer,
    pub collector: SocketAddr,
    pub port: u16,
    /// The ports of submission, and of submission under TLS.
    pub submission: [u16; 2],
    /// The IPv6 port of the collector.
    six: u16,
}

pub fn v4(net: u8, host: u8) -> IpAddr {
    [127, 64, net, host].into()
}

impl RelayLab {
    pub fn new(probe: &str) -> RelayLab {
        RelayLab::with_pause(probe, "0s")
    }

    /// Creates a laboratory whose tester pauses between two messages.
    pub fn with_pause(probe: &str, pause: &str) -> RelayLab {
        RelayLab::with(probe, pause, &[("bl", ZONE)])
    }

    /// Creates a laboratory with these zones.
    pub fn with(probe: &str, pause: &str, zones: &[(&str, &str)]) -> RelayLab {
        let (port, dns, six) = (free_port(), free_port(), free_port());
        let submission = [free_port(), free_port()];
        let collector: SocketAddr = ([127, 127, 0, 1], free_port()).into();
        let reasons: String = ["input", "output", "unconfirmed", "notest"]
            .map(|n| format!("[[reason]]\nname = \"{n}\"\ntext = \"{n} $\"\n"))
            .concat();
        let config = format!(
            "{CONFIG}{reasons}[limits]\nallow_special_ranges = [\"127.64.0.0/10\", \"::1\"]\n[http_client]\nresolvers = [\"127.0.0.1:{dns}\"]\n\
             [collector]\nlisten = [\"{collector}\", \"[::]:{six}\"]\n[probe]\nenabled = true\ndomain = \"probe.example\"\nsecond_domain = \"other.example\"\n\
             ehlo_name = \"tester.example\"\npause = \"{pause}\"\nmin_duration = \"0s\"\ntimeout = \"2s\"\ncollect_wait = \"1s\"\nretry_delays = [\"1s\", \"1s\"]\n\
             concurrency = 64\nmax_hosts_per_asn = 1000\nports = [{port}, {}, {}]\n{probe}",
            submission[0], submission[1],
        );
        let names = NameServer::start(([127, 0, 0, 1], dns).into());
        let api = Api::with_zones(&config, zones);
        let until = Instant::now() + Duration::from_secs(20);
        while api.get("/v1/status").ok()["tester"]["problem"]
            .as_str()
            .is_some_and(|w| w.contains("not checked yet"))
        {
            assert!(Instant::now() < until, "{}", api.f.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        RelayLab {
            api,
            names,
            collector,
            port,
            submission,
            six,
        }
    }

    pub fn mta(&self, addr: IpAddr, name: &str, behavior: MtaBehavior) -> Arc<Mta> {
        let name = format!("{name}.lab.example");
        self.names.host(addr, &name);
        let six = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), self.six);
        let submission = behavior.submission;
        let mta = Mta::start(
            addr,
            self.port,
            &name,
            behavior,
            if addr.is_ipv4() { self.collector } else { six },
        );
        if submission {
            mta.submission(self.submission);
        }
        mta
    }

    pub fn nominate(&self, target: IpAddr, more: &Value) -> u64 {
        let mut body = json!({"target": target, "evidence": "a line of a log", "kind": "log", "names": self.names.names_of(target)});
        more.as_object()
            .into_iter()
            .flatten()
            .for_each(|(k, v)| body[k] = v.clone());
        self.api.post("/v1/nominations", &body.to_string()).ok()["id"]
            .as_u64()
            .unwrap()
    }

    pub fn job(&self, id: u64) -> Value {
        self.api.get(&format!("/v1/jobs/{id}")).ok()
    }

    /// Waits until a job has ended.
    pub fn done(&self, id: u64) -> Value {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let job = self.job(id);
            if job["state"] == "done" {
                return job;
            }
            assert!(Instant::now() < until, "{job:#}\n{}", self.api.f.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Looks up a host in the zone.
    pub fn dns(&self, addr: IpAddr) -> String {
        match addr {
            IpAddr::V4(a) => {
                let [a, b, c, d] = a.octets();
                self.api.dns(&format!("{d}.{c}.{b}.{a}"))
            }
            IpAddr::V6(a) => {
                let name: Vec<String> = a
                    .octets()
                    .iter()
                    .rev()
                    .map(|b| format!("{:x}.{:x}", b & 15, b >> 4))
                    .collect();
                self.api.dns(&name.join("."))
            }
        }
    }
}
