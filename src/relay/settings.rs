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

/// How relay tests are made.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Whether our own tester runs.
    pub enabled: bool,
    /// Whether hosts on the Internet may be tested: the operator has configured who tests.
    pub public: bool,
    /// The domain whose mail the collector accepts; empty: none.
    pub domain: String,
    /// A second domain of ours, for senders.
    pub second_domain: Option<String>,
    /// Our name in the greeting.
    pub ehlo_name: String,
    /// Who tests.
    pub tester: TesterIdentity,
    /// Addresses of the collector and of the tester.
    pub addresses: Vec<IpAddr>,
    /// Whether the collector is reached at another address, because it listens on every address of
    /// this machine.
    pub is_local: fn(&[SocketAddr], IpAddr) -> bool,
    /// Where the collector listens; empty: there is no collector.
    pub listen: Vec<SocketAddr>,
    /// The SMTP port.
    pub port: u16,
    /// Special ranges that may be tested.
    pub special_ranges: Vec<Subject>,
    /// Hosts of a prefix (/24, IPv6 /48) that are tested in a day; for claims as many again.
    pub max_hosts_per_prefix: usize,
    /// Hosts of one network that are tested in a day, without those of proved claims. A network is an
    /// autonomous system, or a /16 (IPv6 /32) where that is not known.
    pub max_hosts_per_asn: usize,
    /// The autonomous system of each prefix.
    pub asn_table: Arc<Networks>,
    /// Unproved claims that may wait for their test at the same time: as many as are tested in a day
    /// in any case.
    pub max_unproved_claims: usize,
    /// Nominations of one reporter in a day.
    pub nominations_per_day: u32,
    /// Reporters whose own tests list as ours do.
    pub trusted_reporters: Vec<String>,
    /// Tests that run only where they are named.
    pub enabled_tests: Vec<String>,
    /// How long the owner of an output has before it is listed.
    pub grace_period: Seconds,
    /// How long deferred messages wait, after the first and after the second try.
    pub retry_delays: [Seconds; 2],
    /// All tests.
    pub catalogue: Arc<Catalogue>,
    /// Makes and reads tokens.
    pub tokens: TokenCodec,
    /// The addresses that tests come from; none: the system chooses.
    pub sources: Vec<TesterSource>,
    /// A random number below another one: nobody can know when a released host is tested once more.
    pub random: fn(u64) -> u64,
}

/// An address that tests come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TesterSource {
    /// The address.
    pub address: IpAddr,
    /// Its own name in the greeting, if it has one.
    pub ehlo_name: Option<String>,
}

impl RelaySettings {
    /// What is known of a host without a query.
    pub fn names(&self, target: IpAddr) -> HostNames {
        HostNames {
            target,
            relay: None,
            hosted: None,
            user: None,
            domain: self.domain.clone(),
            foreign: self.second_domain.clone(),
            collector: None,
            hello: self.ehlo_name.clone(),
        }
    }

    /// The settings after a reload, as far as they change without a restart: the collector keeps its
    /// name, and tokens stay valid. Where the name changes by which tested hosts know us, hosts on
    /// the Internet are tested again after the restart.
    #[must_use]
    pub fn reloaded(&self, next: RelaySettings) -> RelaySettings {
        let is_same_name = self.ehlo_name == next.ehlo_name && self.domain == next.domain;
        RelaySettings {
            domain: self.domain.clone(),
            ehlo_name: self.ehlo_name.clone(),
            addresses: self.addresses.clone(),
            tokens: self.tokens.clone(),
            public: next.public && is_same_name,
            listen: self.listen.clone(),
            port: self.port,
            sources: self.sources.clone(),
            ..next
        }
    }

    /// Whether an address is the collector's or the tester's: a message from there proves nothing, and
    /// it is not tested.
    pub fn is_ours(&self, addr: IpAddr) -> bool {
        let lab = self
            .special_ranges
            .iter()
            .any(|s| s.covers(&Subject::host(addr)));
        self.addresses.contains(&addr) || !lab && (self.is_local)(&self.listen, addr)
    }

    /// The addresses that can test a host, in order.
    pub fn sources(&self, target: IpAddr) -> Vec<IpAddr> {
        self.sources
            .iter()
            .map(|s| s.address)
            .filter(|a| a.is_ipv4() == target.is_ipv4())
            .collect()
    }

    /// Our name in the greeting from one of our addresses; that of the first where none is given.
    pub fn ehlo_name_from(&self, target: IpAddr, source: Option<IpAddr>) -> String {
        let source = source.or_else(|| self.sources(target).first().copied());
        let own = self
            .sources
            .iter()
            .find(|s| Some(s.address) == source)
            .and_then(|s| s.ehlo_name.clone());
        own.unwrap_or_else(|| self.ehlo_name.clone())
    }

    /// An address of ours that a host cannot recognise as the same tester: in another prefix (/24,
    /// IPv6 /48) and with another name in the greeting.
    pub fn second_source(&self, target: IpAddr, first: Option<IpAddr>) -> Option<IpAddr> {
        let all = self.sources(target);
        let first = first.or_else(|| all.first().copied())?;
        let name = |a| self.ehlo_name_from(target, Some(a));
        all.into_iter()
            .find(|a| net(*a) != net(first) && name(*a) != name(first))
    }

    /// A port in place of the usual one; none where it is the usual one.
    pub fn other_port(&self, port: Option<u16>) -> Option<u16> {
        port.filter(|p| *p != self.port)
    }

    /// Whether there is a collector and a domain whose mail it accepts.
    fn collects(&self) -> bool {
        !self.domain.is_empty() && !self.listen.is_empty()
    }

    /// Whether the route of the probe domain's mail has to be checked.
    pub fn is_outside(&self) -> bool {
        self.public && self.collects()
    }

    /// Whether our tester may test a host now. The error says why not.
    pub fn allows_our_test(&self, target: IpAddr) -> Result<(), String> {
        self.barred(target, self.enabled)
    }

    /// Whether anyone may test a host with our messages: our tester or a reporter. The error says why
    /// not.
    pub fn allows_any_test(&self, target: IpAddr) -> Result<(), String> {
        self.barred(target, true)
    }

    fn barred(&self, target: IpAddr, on: bool) -> Result<(), String> {
        let subject = Subject::host(target);
        let is_special = |allowed: &[Subject]| special::unlistable(&subject, allowed).is_some();
        if is_special(&self.special_ranges) {
            return Err("the address is in a special range; [limits] allow_special_ranges names those that may be tested".into());
        }
        if self.is_ours(target) {
            return Err("that is an address of ours".into());
        }
        if !on {
            return Err("the tester is off; [probe] enabled switches it on".into());
        }
        if !self.collects() {
            return Err("there is no collector; [probe] domain and [collector] listen count from the next start on".into());
        }
        if !self.public && !is_special(&[]) {
            return Err(
                "hosts on the Internet are tested when [probe] allow_public is set, and ehlo_name, contact and info_url say who tests".into()
            );
        }
        Ok(())
    }
}
