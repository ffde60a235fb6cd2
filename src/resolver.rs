//! A stub resolver: looks up names of other hosts at the servers of `[http_client] resolvers`, or
//! at those of this machine.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup,
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name, RData},
};

/// The most names of one response that are used.
const MAX_NAMES: usize = 8;

/// A stub resolver.
pub struct Resolver(TokioResolver);

impl Resolver {
    /// Creates a resolver that asks `servers`, or those of `/etc/resolv.conf` if the list is empty.
    /// `hosts` states whether the file `/etc/hosts` is read too.
    pub fn new(servers: &[SocketAddr], hosts: bool) -> Result<Resolver, String> {
        let mut builder = match servers {
            [] => TokioResolver::builder(TokioRuntimeProvider::default())
                .map_err(|e| format!("/etc/resolv.conf: {e}"))?,
            servers => {
                let server = |s: &SocketAddr| {
                    let mut out = NameServerConfig::udp_and_tcp(s.ip());
                    out.connections.iter_mut().for_each(|c| c.port = s.port());
                    out
                };
                let config = ResolverConfig::from_parts(
                    None,
                    Vec::new(),
                    servers.iter().map(server).collect(),
                );
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        builder.options_mut().use_hosts_file = if hosts {
            ResolveHosts::Always
        } else {
            ResolveHosts::Never
        };
        builder.build().map(Resolver).map_err(|e| e.to_string())
    }

    /// Returns the PTR names of an address, which are not verified. The list is empty if there are
    /// none, or if no server answers.
    pub async fn pointers(&self, addr: IpAddr) -> Vec<String> {
        let Ok(found) = self.0.reverse_lookup(addr).await else {
            return Vec::new();
        };
        names(&found, |r| match r {
            RData::PTR(p) => Some(&p.0),
            _ => None,
        })
    }

    /// Returns the mail exchanges (MX) of a domain.
    ///
    /// # Errors
    ///
    /// No server has answered.
    pub async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String> {
        let found = match self.0.mx_lookup(domain).await {
            Ok(found) => found,
            Err(e) if e.is_no_records_found() => return Ok(Vec::new()),
            Err(e) => return Err(format!("{domain}: {e}")),
        };
        Ok(names(&found, |r| match r {
            RData::MX(m) => Some(&m.exchange),
            _ => None,
        }))
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
        match self.0.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(e) if e.is_no_records_found() => Ok(Vec::new()),
            Err(e) => Err(format!("{host}: {e}")),
        }
    }
}

/// The names of a response's records, in lower case and without the dot at the end.
fn names(found: &Lookup, name: impl Fn(&RData) -> Option<&Name>) -> Vec<String> {
    let names = found.answers().iter().filter_map(|r| name(&r.data));
    names
        .take(MAX_NAMES)
        .map(|n| n.to_utf8().trim_end_matches('.').to_ascii_lowercase())
        .collect()
}
