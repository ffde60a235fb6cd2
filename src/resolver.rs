//! DNS look-ups of other machines, by the servers of `[outgoing] resolvers` or those of this
//! machine.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};

/// Names of one response that are used at most.
const MAX_NAMES: usize = 8;

/// Resolves names.
pub struct Names(TokioResolver);

impl Names {
    /// Creates a resolver for some servers; without any, for those of `/etc/resolv.conf`. The file
    /// `hosts` is read only if names of the machine's own surroundings are meant.
    pub fn new(servers: &[SocketAddr], hosts: bool) -> Result<Names, String> {
        let mut builder = match servers {
            [] => TokioResolver::builder(TokioRuntimeProvider::default())
                .map_err(|e| format!("/etc/resolv.conf: {e}"))?,
            servers => {
                let one = |s: &SocketAddr| {
                    let mut out = NameServerConfig::udp_and_tcp(s.ip());
                    out.connections.iter_mut().for_each(|c| c.port = s.port());
                    out
                };
                let config =
                    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(one).collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        builder.options_mut().use_hosts_file = if hosts {
            ResolveHosts::Always
        } else {
            ResolveHosts::Never
        };
        builder.build().map(Names).map_err(|e| e.to_string())
    }

    /// The PTR names of an address, unverified. Empty if there are none or no server answers.
    pub async fn pointers(&self, addr: IpAddr) -> Vec<String> {
        let Ok(found) = self.0.reverse_lookup(addr).await else {
            return Vec::new();
        };
        let name = |r: &RData| {
            if let RData::PTR(p) = r {
                Some(p.0.to_utf8().trim_end_matches('.').to_ascii_lowercase())
            } else {
                None
            }
        };
        found
            .answers()
            .iter()
            .filter_map(|r| name(&r.data))
            .take(MAX_NAMES)
            .collect()
    }

    /// The mail exchanges (MX) of a domain. The error is one line and reports that no server has
    /// answered.
    pub async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String> {
        let found = match self.0.mx_lookup(domain).await {
            Ok(found) => found,
            Err(e) if e.is_no_records_found() => return Ok(Vec::new()),
            Err(e) => return Err(format!("{domain}: {e}")),
        };
        let name = |r: &RData| {
            if let RData::MX(m) = r {
                Some(
                    m.exchange
                        .to_utf8()
                        .trim_end_matches('.')
                        .to_ascii_lowercase(),
                )
            } else {
                None
            }
        };
        Ok(found
            .answers()
            .iter()
            .filter_map(|r| name(&r.data))
            .take(MAX_NAMES)
            .collect())
    }

    /// The addresses of a name, possibly none; of an address, itself. The error is one line and
    /// reports that no server has answered.
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
