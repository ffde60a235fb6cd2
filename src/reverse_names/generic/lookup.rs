//! Looks up the names of an address, and assesses them.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;

use crate::{
    generic_names::{AllowList, GenericMatch, NameAssessment, NameConfidence, NameSign, assess},
    model::{
        Subject,
        domain::{name_to_ascii, registered_domain},
    },
    resolver::Resolver,
};

/// The questions to DNS that generic names need. [`Resolver`] answers them.
#[async_trait]
pub trait NameDns: Send + Sync {
    /// Returns the PTR names of an address and the TTL of the response.
    async fn reverse_names(&self, addr: IpAddr) -> Result<(Vec<String>, Duration), String>;
    /// Returns the addresses of a name.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String>;
    /// Returns the mail exchanges of a domain.
    async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String>;
}

#[async_trait]
impl NameDns for Resolver {
    async fn reverse_names(&self, addr: IpAddr) -> Result<(Vec<String>, Duration), String> {
        Resolver::reverse_names_with_ttl(self, addr).await
    }
    // With a dot at the end no search domain is tried.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        Resolver::addresses(self, &format!("{name}.")).await
    }
    async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String> {
        Resolver::exchanges(self, &format!("{domain}.")).await
    }
}

/// A name of an address, with what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssessedName {
    /// The name, in lower case.
    pub name: String,
    /// What it shows about the address.
    pub assessment: NameAssessment,
}

/// The names of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssessedNames {
    /// All names that are host names.
    pub names: Vec<AssessedName>,
    /// The TTL of the response.
    pub ttl: Duration,
}

impl AssessedNames {
    /// The first name with its pattern, if all names are generic with at least a confidence.
    pub fn generic(&self, least: NameConfidence) -> Option<(&str, &GenericMatch)> {
        let mut all = self.names.iter().map(|n| match &n.assessment {
            NameAssessment::Generic(found) if found.confidence >= least => {
                Some((n.name.as_str(), found))
            }
            _ => None,
        });
        let first = all.next()??;
        all.all(|other| other.is_some()).then_some(first)
    }
}

/// Looks up the names of an address, and assesses each. A name that is a mail exchange of its
/// domain and has the address is never generic.
///
/// # Errors
///
/// No server has answered one of the questions.
pub async fn assess_address(
    dns: &dyn NameDns,
    addr: IpAddr,
    allow: &AllowList,
) -> Result<AssessedNames, String> {
    let (names, ttl) = dns.reverse_names(addr).await?;
    // A PTR record is the text of a stranger: only host names count.
    let host_names = names.iter().filter_map(|n| name_to_ascii(n).ok());
    let mut out = Vec::new();
    for name in host_names {
        let name = String::from(name);
        let mut assessment = match allowed(addr, &name, allow) {
            Some(entry) => NameAssessment::NeverGeneric(NameSign::Allowed(entry)),
            None => assess(&name, Some(addr)),
        };
        if matches!(assessment, NameAssessment::Generic(_))
            && let Some(domain) = exchange_domain(dns, addr, &name).await?
        {
            assessment = NameAssessment::NeverGeneric(NameSign::Exchange(domain));
        }
        out.push(AssessedName { name, assessment });
    }
    Ok(AssessedNames { names: out, ttl })
}

/// The entry of the allow list that an address or its name is in.
pub(super) fn allowed(addr: IpAddr, name: &str, allow: &AllowList) -> Option<String> {
    let by_address = allow.address(addr).map(Subject::to_string);
    by_address.or_else(|| allow.name(name).map(Into::into))
}

/// Returns the domain of which a name is a mail exchange, if the name has the address: the name
/// itself, or its registered domain.
async fn exchange_domain(
    dns: &dyn NameDns,
    addr: IpAddr,
    name: &str,
) -> Result<Option<String>, String> {
    let mut domains = vec![name];
    domains.extend(Some(registered_domain(name)).filter(|d| *d != name));
    for domain in domains {
        let exchanges = dns.exchanges(domain).await?;
        if exchanges.iter().any(|e| e.eq_ignore_ascii_case(name)) {
            let addresses = dns.addresses(name).await?;
            let is_confirmed = addresses.iter().any(|a| a.to_canonical() == addr);
            return Ok(is_confirmed.then(|| domain.to_string()));
        }
    }
    Ok(None)
}
