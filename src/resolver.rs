//! A stub resolver: looks up names of other hosts at the servers of `[http_client] resolvers`, or
//! at those of this machine.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name, RData, RecordType},
    system_conf::read_system_conf,
};

/// The most names of one response that are used.
const MAX_NAMES: usize = 8;

/// The most TXT records of one response that are used.
const MAX_TEXTS: usize = 100;

/// A stub resolver.
pub struct Resolver {
    resolver: TokioResolver,
    config: ResolverConfig,
    options: ResolverOpts,
}

impl Resolver {
    /// Creates a resolver that asks `servers`, or those of `/etc/resolv.conf` if the list is empty.
    /// `hosts` states whether the file `/etc/hosts` is read too.
    pub fn new(servers: &[SocketAddr], hosts: bool) -> Result<Resolver, String> {
        Resolver::build(servers, hosts, true)
    }

    /// Creates a resolver like [`Resolver::new`] that remembers no responses, for records that may
    /// have been added a moment ago.
    ///
    /// # Errors
    ///
    /// The servers of this machine cannot be read.
    pub fn uncached(servers: &[SocketAddr]) -> Result<Resolver, String> {
        Resolver::build(servers, false, false)
    }

    fn build(servers: &[SocketAddr], hosts: bool, cached: bool) -> Result<Resolver, String> {
        let (config, mut options) = match servers {
            [] => read_system_conf().map_err(|e| format!("/etc/resolv.conf: {e}"))?,
            servers => {
                let server = |s: &SocketAddr| {
                    let mut out = NameServerConfig::udp_and_tcp(s.ip());
                    out.connections.iter_mut().for_each(|c| c.port = s.port());
                    out
                };
                let servers = servers.iter().map(server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                (config, ResolverOpts::default())
            }
        };
        options.use_hosts_file = if hosts {
            ResolveHosts::Always
        } else {
            ResolveHosts::Never
        };
        if !cached {
            options.cache_size = 0;
        }
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(config.clone(), provider)
            .with_options(options.clone())
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Resolver {
            resolver,
            config,
            options,
        })
    }

    /// Returns the PTR names of an address, which are not verified. The list is empty if there are
    /// none, or if no server answers.
    pub async fn pointers(&self, addr: IpAddr) -> Vec<String> {
        let Ok(found) = self.resolver.reverse_lookup(addr).await else {
            return Vec::new();
        };
        names(&found, |r| match r {
            RData::PTR(p) => Some(&p.0),
            _ => None,
        })
    }

    /// Returns the PTR names of an address, which are not verified. The list is empty if it has none.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn reverse_names(&self, addr: IpAddr) -> Result<Vec<String>, String> {
        Ok(self.reverse_names_with_ttl(addr).await?.0)
    }

    /// Returns the PTR names of an address, which are not verified, and the lowest TTL of their
    /// records; without names, the TTL is 0.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn reverse_names_with_ttl(
        &self,
        addr: IpAddr,
    ) -> Result<(Vec<String>, Duration), String> {
        let found = match self.resolver.reverse_lookup(addr).await {
            Ok(found) => found,
            Err(e) if e.is_no_records_found() => return Ok((Vec::new(), Duration::ZERO)),
            Err(e) => return Err(format!("{addr}: {e}")),
        };
        let ttl = found.answers().iter().map(|r| r.ttl).min();
        let names = names(&found, |r| match r {
            RData::PTR(p) => Some(&p.0),
            _ => None,
        });
        Ok((names, Duration::from_secs(ttl.unwrap_or_default().into())))
    }

    /// Returns the mail exchanges (MX) of a domain.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String> {
        let found = match self.resolver.mx_lookup(domain).await {
            Ok(found) => found,
            Err(e) if e.is_no_records_found() => return Ok(Vec::new()),
            Err(e) => return Err(format!("{domain}: {e}")),
        };
        Ok(names(&found, |r| match r {
            RData::MX(m) => Some(&m.exchange),
            _ => None,
        }))
    }

    /// Returns the names of a zone's name servers (NS), at most eight.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn name_servers(&self, zone: &str) -> Result<Vec<String>, String> {
        let found = match self.resolver.ns_lookup(absolute(zone)).await {
            Ok(found) => found,
            Err(e) if e.is_no_records_found() => return Ok(Vec::new()),
            Err(e) => return Err(format!("{zone}: {e}")),
        };
        Ok(names(&found, |r| match r {
            RData::NS(n) => Some(&n.0),
            _ => None,
        }))
    }

    /// Returns the TXT records of a name, after its CNAME; the strings of a record are joined.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let found = match self.resolver.txt_lookup(absolute(name)).await {
            Ok(found) => found,
            Err(e) if e.is_no_records_found() => return Ok(Vec::new()),
            Err(e) => return Err(format!("{name}: {e}")),
        };
        let texts = found.answers().iter().filter_map(|r| match &r.data {
            RData::TXT(t) => Some(String::from_utf8_lossy(&t.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.take(MAX_TEXTS).collect())
    }

    /// Returns the apex of the zone that has a name, after its CNAME, by the SOA record of the
    /// response; `None` if it has none.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn zone_apex(&self, name: &str) -> Result<Option<String>, String> {
        let apex = match self.resolver.lookup(absolute(name), RecordType::SOA).await {
            Ok(found) => {
                let mut records = found.answers().iter();
                let soa = records.find(|r| matches!(r.data, RData::SOA(_)));
                soa.map(|r| r.name.clone())
            }
            Err(e) if e.is_no_records_found() => e.into_soa().map(|r| r.name.clone()),
            Err(e) => return Err(format!("{name}: {e}")),
        };
        Ok(apex.map(|n| n.to_utf8().trim_end_matches('.').to_ascii_lowercase()))
    }

    /// Returns a checker of SPF and DKIM that asks the same servers.
    ///
    /// # Errors
    ///
    /// The checker cannot be built from the settings of this resolver.
    pub fn mail_authenticator(&self) -> Result<mail_auth::MessageAuthenticator, String> {
        let (config, options) = (self.config.clone(), self.options.clone());
        mail_auth::MessageAuthenticator::new(config, options).map_err(|e| e.to_string())
    }

    /// Returns the addresses of a host name, possibly none. A host that is written as an address is
    /// returned as it is.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Ok(addr) = host.parse() {
            return Ok(vec![addr]);
        }
        match self.resolver.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(e) if e.is_no_records_found() => Ok(Vec::new()),
            Err(e) => Err(format!("{host}: {e}")),
        }
    }
}

/// A name with the dot at its end, so that no search domain is tried.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

/// The names of a response's records, in lower case and without the dot at the end.
fn names(found: &Lookup, name: impl Fn(&RData) -> Option<&Name>) -> Vec<String> {
    let names = found.answers().iter().filter_map(|r| name(&r.data));
    names
        .take(MAX_NAMES)
        .map(|n| n.to_utf8().trim_end_matches('.').to_ascii_lowercase())
        .collect()
}
