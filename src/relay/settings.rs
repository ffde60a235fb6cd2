//! The settings of relay tests, which the service reads at each decision.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    catalogue::Catalogue,
    host_names::HostNames,
    message::TesterIdentity,
    networks::{Networks, prefix_of},
    token::TokenCodec,
};
use crate::model::{Subject, special, time::Seconds};

/// The settings of relay tests.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Whether our own tester runs.
    pub enabled: bool,
    /// Whether hosts on the Internet may be tested.
    pub public: bool,
    /// The probe domain, whose mail the collector accepts; empty if there is none.
    pub domain: String,
    /// A second domain of ours, for senders.
    pub second_domain: Option<String>,
    /// Our name in EHLO.
    pub ehlo_name: String,
    /// The identity of the tester.
    pub tester: TesterIdentity,
    /// The addresses of the collector and of the tester.
    pub addresses: Vec<IpAddr>,
    /// Whether the collector is also reached at an address, because it listens on all
    /// addresses of this machine.
    pub is_local: fn(&[SocketAddr], IpAddr) -> bool,
    /// The sockets of the collector; empty if there is no collector.
    pub listen: Vec<SocketAddr>,
    /// The SMTP port.
    pub port: u16,
    /// The special-purpose ranges that may be tested.
    pub special_ranges: Vec<Subject>,
    /// The most hosts of a prefix (/24, IPv6 /48) that are tested in a day. Claims have a budget of
    /// their own.
    pub max_hosts_per_prefix: usize,
    /// The most hosts of one network that are tested in a day, without those of proved claims. A
    /// network is an autonomous system, or a /16 (IPv6: /32) if that is not known.
    pub max_hosts_per_asn: usize,
    /// The autonomous system of each prefix.
    pub asn_table: Arc<Networks>,
    /// The most unproved claims that wait for their test. As many can be tested in a day.
    pub max_unproved_claims: usize,
    /// The most nominations of one reporter in a day.
    pub nominations_per_day: u32,
    /// The reporters whose own tests list hosts like ours.
    pub trusted_reporters: Vec<String>,
    /// The opt-in tests that are enabled.
    pub enabled_tests: Vec<String>,
    /// The period between the second proof against an output and its listing.
    pub grace_period: Seconds,
    /// The delays before the second and the third try of deferred messages.
    pub retry_delays: [Seconds; 2],
    /// The catalogue of tests.
    pub catalogue: Arc<Catalogue>,
    /// The codec of tokens.
    pub tokens: TokenCodec,
    /// The source addresses of tests; if empty, the system chooses.
    pub sources: Vec<TesterSource>,
    /// Returns a random number below its argument. It selects the time of a recheck, so that it
    /// cannot be foreseen.
    pub random: fn(u64) -> u64,
}

/// A source address of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TesterSource {
    /// The address.
    pub address: IpAddr,
    /// The name in EHLO for this address, if it has its own.
    pub ehlo_name: Option<String>,
}

impl RelaySettings {
    /// Returns the names for a host that are known without a DNS query.
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

    /// Returns the settings after a reload. Settings that need a restart keep their values, such as
    /// the name of the collector and the key of tokens. If our name or the probe domain changes,
    /// hosts on the Internet are not tested until the restart.
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

    /// Whether an address belongs to the collector or the tester. Such an address is not tested,
    /// and a message from it proves nothing.
    pub fn is_ours(&self, addr: IpAddr) -> bool {
        let lab = self
            .special_ranges
            .iter()
            .any(|s| s.covers(&Subject::host(addr)));
        self.addresses.contains(&addr) || !lab && (self.is_local)(&self.listen, addr)
    }

    /// Returns the source addresses that can test a host, in order.
    pub fn sources(&self, target: IpAddr) -> Vec<IpAddr> {
        self.sources
            .iter()
            .map(|s| s.address)
            .filter(|a| a.is_ipv4() == target.is_ipv4())
            .collect()
    }

    /// Returns our name in EHLO for a source address, or for the first one if `source` is `None`.
    pub fn ehlo_name_from(&self, target: IpAddr, source: Option<IpAddr>) -> String {
        let source = source.or_else(|| self.sources(target).first().copied());
        let own = self
            .sources
            .iter()
            .find(|s| Some(s.address) == source)
            .and_then(|s| s.ehlo_name.clone());
        own.unwrap_or_else(|| self.ehlo_name.clone())
    }

    /// Returns a second source address, which a host cannot recognise as the same tester: it is in
    /// another prefix (/24, IPv6: /48) and has another name in EHLO.
    pub fn second_source(&self, target: IpAddr, first: Option<IpAddr>) -> Option<IpAddr> {
        let all = self.sources(target);
        let first = first.or_else(|| all.first().copied())?;
        let name = |a| self.ehlo_name_from(target, Some(a));
        all.into_iter()
            .find(|a| prefix_of(*a) != prefix_of(first) && name(*a) != name(first))
    }

    /// Returns a port if it is not the default one.
    pub fn other_port(&self, port: Option<u16>) -> Option<u16> {
        port.filter(|p| *p != self.port)
    }

    /// Whether there is a collector and a probe domain.
    fn has_collector(&self) -> bool {
        !self.domain.is_empty() && !self.listen.is_empty()
    }

    /// Whether hosts on the Internet may be tested, so that the mail route of the probe
    /// domain has to be checked.
    pub fn may_test_internet(&self) -> bool {
        self.public && self.has_collector()
    }

    /// Checks that our tester may test a host now. The error states why not.
    pub fn allows_our_test(&self, target: IpAddr) -> Result<(), String> {
        self.check_allowed(target, self.enabled)
    }

    /// Checks that a host may be tested with our messages, by our tester or by a reporter. The
    /// error states why not.
    pub fn allows_any_test(&self, target: IpAddr) -> Result<(), String> {
        self.check_allowed(target, true)
    }

    fn check_allowed(&self, target: IpAddr, is_enabled: bool) -> Result<(), String> {
        let subject = Subject::host(target);
        let is_special = |allowed: &[Subject]| special::unlistable(&subject, allowed).is_some();
        if is_special(&self.special_ranges) {
            return Err(
                "the address is in a special range; to test it, add the range to [limits] allow_special_ranges"
                    .into(),
            );
        }
        if self.is_ours(target) {
            return Err("the address belongs to the tester or the collector".into());
        }
        if !is_enabled {
            return Err("the tester is off; set [probe] enabled to switch it on".into());
        }
        if !self.has_collector() {
            return Err(
                "there is no collector; set [probe] domain and [collector] listen, and restart"
                    .into(),
            );
        }
        if !self.public && !is_special(&[]) {
            return Err(
                "hosts on the Internet are not tested; set allow_public, ehlo_name, contact and info_url in [probe]".into()
            );
        }
        Ok(())
    }
}
