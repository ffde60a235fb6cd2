//! Finds the names of a tested host in DNS.

use std::{net::IpAddr, pin::Pin, sync::Arc};

use super::{host_names::HostNames, service::RelayService};
use crate::resolver;

/// Finds the names of a host. The arguments are its address and candidate names.
pub type HostNameResolver = Arc<
    dyn Fn(IpAddr, Vec<String>) -> Pin<Box<dyn Future<Output = HostNames> + Send>> + Send + Sync,
>;

/// Returns a function that finds the names of a host: those whose address or whose MX is the host.
pub fn host_name_resolver(
    service: RelayService,
    names: Arc<Option<resolver::Resolver>>,
    collectors: Vec<IpAddr>,
) -> HostNameResolver {
    Arc::new(move |target, candidates| {
        let (names, settings, collectors) = (names.clone(), service.settings(), collectors.clone());
        Box::pin(async move {
            let collector = collectors
                .into_iter()
                .find(|c| c.is_ipv4() == target.is_ipv4());
            let mut out = HostNames {
                collector,
                ..settings.names(target)
            };
            let Some(names) = &*names else { return out };
            find_names(names, candidates, &mut out).await;
            out
        })
    })
}

/// Fills in the missing names of a host, from its reverse DNS and from candidate names.
pub async fn find_names(names: &resolver::Resolver, candidates: Vec<String>, out: &mut HostNames) {
    let target = out.target;
    let candidates = candidates
        .into_iter()
        .map(|n| n.trim_end_matches('.').to_ascii_lowercase());
    for name in names
        .pointers(target)
        .await
        .into_iter()
        .chain(candidates)
        .filter(|n| is_plain_name(n))
    {
        let parent = name
            .split_once('.')
            .map(|(_, p)| p.to_string())
            .filter(|p| p.contains('.'));
        for domain in std::iter::once(name.clone()).chain(parent) {
            if out.hosted.is_none() && is_only_exchange(names, &domain, target).await {
                out.hosted = Some(domain);
            }
        }
        if out.relay.is_none() && is_own(names, &name, target).await {
            out.relay = Some(name);
        }
    }
}

/// Whether a host is the only mail exchange of a domain. Another exchange would be a
/// third party.
async fn is_only_exchange(names: &resolver::Resolver, domain: &str, target: IpAddr) -> bool {
    let Ok(hosts) = names.exchanges(domain).await else {
        return false;
    };
    for host in &hosts {
        if !is_only_address(names, host, target).await {
            return false;
        }
    }
    !hosts.is_empty()
}

/// Whether a name belongs to a host alone, and so does its mail exchange, if it has one.
async fn is_own(names: &resolver::Resolver, name: &str, target: IpAddr) -> bool {
    let Ok(hosts) = names.exchanges(name).await else {
        return false;
    };
    is_only_address(names, name, target).await
        && (hosts.is_empty() || is_only_exchange(names, name, target).await)
}

/// Whether a host is the only address of a name, in its address family.
async fn is_only_address(names: &resolver::Resolver, name: &str, target: IpAddr) -> bool {
    let Ok(all) = names.addresses(name).await else {
        return false;
    };
    let mut family = all
        .iter()
        .filter(|a| a.is_ipv4() == target.is_ipv4())
        .peekable();
    family.peek().is_some() && family.all(|a| *a == target)
}

/// Whether a name is safe to use in a mail address. DNS data of third parties can contain anything.
fn is_plain_name(name: &str) -> bool {
    name.len() <= 100
        && name.contains('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        && name.parse::<IpAddr>().is_err()
}
