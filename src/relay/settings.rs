//! How relay tests are made: the settings that the service reads at each decision.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    catalogue::Catalogue,
    host_names::HostNames,
    message::TesterIdentity,
    networks::{Networks, net},
    token::TokenCodec,
};
use crate::model::{Subject, special, time::Seconds};

/// How tests are made.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Whether our own tester runs.
    pub enabled: bool,
    /// Whether it goes to addresses that are not special: the operator has said who he is.
    pub public: bool,
    /// The domain whose mail the collector takes; empty: there is none.
    pub domain: String,
    /// A second domain of ours, for senders.
    pub foreign: Option<String>,
    /// Our name in the greeting.
    pub hello: String,
    /// Who tests.
    pub operator: TesterIdentity,
    /// Addresses of the collector and of the tester.
    pub addresses: Vec<IpAddr>,
    /// Tells other addresses at which the collector is reached: it may listen everywhere on this
    /// machine.
    pub at_home: fn(&[SocketAddr], IpAddr) -> bool,
    /// Where the collector listens; nowhere: there is none.
    pub listen: Vec<SocketAddr>,
    /// The port that is SMTP.
    pub port: u16,
    /// Special ranges that may be tested all the same.
    pub special: Vec<Subject>,
    /// Hosts of a net (/24, /48) that are tested in a day; for claims as many again.
    pub per_net: usize,
    /// The same of one network (an AS, or where that is not known a /16 or /32), but for proved
    /// claims.
    pub per_network: usize,
    /// Which network a host is of.
    pub networks: Arc<Networks>,
    /// Claims without a proof that may wait for their test at the same time: as many as are surely
    /// tested in a day.
    pub unproved: usize,
    /// Nominations of one reporter in a day.
    pub quota: u32,
    /// Reporters whose own tests list like ours.
    pub trusted: Vec<String>,
    /// Tests that are only run where they are named.
    pub chosen: Vec<String>,
    /// How long the owner of an output has before it is listed.
    pub notice: Seconds,
    /// How long what was put off waits, after the first and after the second time.
    pub retry: [Seconds; 2],
    /// All tests.
    pub catalogue: Arc<Catalogue>,
    /// Makes and reads tokens.
    pub tokens: TokenCodec,
    /// The addresses that tests come from; none: the system chooses.
    pub sources: Vec<TesterSource>,
    /// A random number below another: when a released host is tested once more is nobody's to know.
    pub random: fn(u64) -> u64,
}

/// An address that tests come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TesterSource {
    /// The address.
    pub address: IpAddr,
    /// Its name in the greeting, where it has one of its own.
    pub ehlo_name: Option<String>,
}

impl RelaySettings {
    /// What is known of a host without asking anybody.
    pub fn names(&self, target: IpAddr) -> HostNames {
        let (domain, foreign, hello) = (
            self.domain.clone(),
            self.foreign.clone(),
            self.hello.clone(),
        );
        HostNames {
            target,
            relay: None,
            hosted: None,
            user: None,
            domain,
            foreign,
            collector: None,
            hello,
        }
    }

    /// Another configuration, as far as it is taken without a restart: the collector keeps its
    /// name, and tokens stay good. Who changes the name by which the tested know him tests on the
    /// Internet after the restart.
    #[must_use]
    pub fn reloaded(&self, next: RelaySettings) -> RelaySettings {
        let (domain, hello, addresses, tokens) = (
            self.domain.clone(),
            self.hello.clone(),
            self.addresses.clone(),
            self.tokens.clone(),
        );
        let public = next.public && self.hello == next.hello && self.domain == next.domain;
        let (listen, sources) = (self.listen.clone(), self.sources.clone());
        RelaySettings {
            domain,
            hello,
            addresses,
            tokens,
            public,
            listen,
            port: self.port,
            sources,
            ..next
        }
    }

    /// Whether an address is the collector's or the tester's: what comes from there proves nothing,
    /// and it is not tested.
    pub fn is_ours(&self, addr: IpAddr) -> bool {
        let lab = self.special.iter().any(|s| s.covers(&Subject::host(addr)));
        self.addresses.contains(&addr) || !lab && (self.at_home)(&self.listen, addr)
    }

    /// The addresses that can test a host, in order.
    pub fn sources(&self, target: IpAddr) -> Vec<IpAddr> {
        self.sources
            .iter()
            .map(|s| s.address)
            .filter(|a| a.is_ipv4() == target.is_ipv4())
            .collect()
    }

    /// Our name in the greeting, from an address of ours; from the first where none is said.
    pub fn hello_from(&self, target: IpAddr, source: Option<IpAddr>) -> String {
        let source = source.or_else(|| self.sources(target).first().copied());
        let own = self
            .sources
            .iter()
            .find(|s| Some(s.address) == source)
            .and_then(|s| s.ehlo_name.clone());
        own.unwrap_or_else(|| self.hello.clone())
    }

    /// An address of ours that a host cannot know for the same tester as another: in another net
    /// (/24, IPv6 /48), with another name in the greeting.
    pub fn second_source(&self, target: IpAddr, first: Option<IpAddr>) -> Option<IpAddr> {
        let all = self.sources(target);
        let first = first.or_else(|| all.first().copied())?;
        let name = |a| self.hello_from(target, Some(a));
        all.into_iter()
            .find(|a| net(*a) != net(first) && name(*a) != name(first))
    }

    /// A port that is asked for in place of the usual one; none where it is that.
    pub fn other_port(&self, port: Option<u16>) -> Option<u16> {
        port.filter(|p| *p != self.port)
    }

    /// Whether there is a collector, and a domain whose mail it takes.
    fn collects(&self) -> bool {
        !self.domain.is_empty() && !self.listen.is_empty()
    }

    /// Whether it has to be known where the probe domain's mail goes.
    pub fn is_outside(&self) -> bool {
        self.public && self.collects()
    }

    /// Why a host cannot be tested by us now.
    pub fn ready(&self, target: IpAddr) -> Result<(), String> {
        self.barred(target, self.enabled)
    }

    /// Why a host cannot be tested by anybody, us or a reporter who sends our messages.
    pub fn may(&self, target: IpAddr) -> Result<(), String> {
        self.barred(target, true)
    }

    fn barred(&self, target: IpAddr, on: bool) -> Result<(), String> {
        let subject = Subject::host(target);
        let is_special = |allowed: &[Subject]| special::unlistable(&subject, allowed).is_some();
        if is_special(&self.special) {
            return Err("the address is in a special range; [limits] special names those that may be tested".into());
        }
        if self.is_ours(target) {
            return Err("that is an address of ours".into());
        }
        if !on {
            return Err("the tester is off; [probe] enabled switches it on".into());
        }
        if !self.collects() {
            return Err("there is no collector; [probe] domain and [collect] listen count from the next start on".into());
        }
        if !self.public && !is_special(&[]) {
            return Err(
                "hosts on the Internet are tested when [probe] allow_public is set, and hello, contact and about say who tests".into()
            );
        }
        Ok(())
    }
}
