//! Finds the names of a host that is tested, by DNS.

use std::{net::IpAddr, pin::Pin, sync::Arc};

use super::{host_names::HostNames, service::RelayService};
use crate::resolver;

/// Finds out what a host is called; the names are those that it may have.
pub type HostNameResolver = Arc<
    dyn Fn(IpAddr, Vec<String>) -> Pin<Box<dyn Future<Output = HostNames> + Send>> + Send + Sync,
>;

/// Finds a host's names: only those whose address, or whose MX, points at it.
pub fn known(
    service: RelayService,
    names: Arc<Option<resolver::Resolver>>,
    collectors: Vec<IpAddr>,
) -> HostNameResolver {
    Arc::new(move |target, said| {
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
            find_names(names, said, &mut out).await;
            out
        })
    })
}

/// Fills in the missing names of a host, from its reverse DNS and from the names in the evidence.
pub async fn find_names(names: &resolver::Resolver, said: Vec<String>, out: &mut HostNames) {
    let target = out.target;
    let said = said
        .into_iter()
        .map(|n| n.trim_end_matches('.').to_ascii_lowercase());
    for name in names
        .pointers(target)
        .await
        .into_iter()
        .chain(said)
        .filter(|n| plain(n))
    {
        let parent = name
            .split_once('.')
            .map(|(_, p)| p.to_string())
            .filter(|p| p.contains('.'));
        for domain in std::iter::once(name.clone()).chain(parent) {
            if out.hosted.is_none() && takes_mail(names, &domain, target).await {
                out.hosted = Some(domain);
            }
        }
        if out.relay.is_none() && is_own(names, &name, target).await {
            out.relay = Some(name);
        }
    }
}

/// Whether a host, and no other, is the mail exchange of a domain: a test that it passes on to
/// another exchange would reach a third party.
async fn takes_mail(names: &resolver::Resolver, domain: &str, target: IpAddr) -> bool {
    let Ok(hosts) = names.exchanges(domain).await else {
        return false;
    };
    for host in &hosts {
        if !only(names, host, target).await {
            return false;
        }
    }
    !hosts.is_empty()
}

/// Whether a name is a host's own, and its mail too: another exchange would get what the host hands
/// on.
async fn is_own(names: &resolver::Resolver, name: &str, target: IpAddr) -> bool {
    let Ok(hosts) = names.exchanges(name).await else {
        return false;
    };
    only(names, name, target).await && (hosts.is_empty() || takes_mail(names, name, target).await)
}

/// Whether all addresses of a name, of the host's family, are the host's.
async fn only(names: &resolver::Resolver, name: &str, target: IpAddr) -> bool {
    let Ok(all) = names.addresses(name).await else {
        return false;
    };
    let mut family = all
        .iter()
        .filter(|a| a.is_ipv4() == target.is_ipv4())
        .peekable();
    family.peek().is_some() && family.all(|a| *a == target)
}

/// Whether a name can be part of a mail address: DNS data of third parties is checked.
fn plain(name: &str) -> bool {
    name.len() <= 100
        && name.contains('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        && name.parse::<IpAddr>().is_err()
}
