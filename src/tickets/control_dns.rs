//! Asks DNS for proofs of control: what it has to say about a subject, and whether a TXT record
//! with the code is there.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{task::JoinSet, time::timeout};

use super::control::{
    ControlFacts, ControlSettings, host_address, is_proof_text, is_reverse_zone, mail_domain,
    reverse_name, reverse_names,
};
use crate::{
    model::{Subject, Time},
    resolver::Resolver,
};

/// How long all look-ups for a subject may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// The most look-ups at the same time.
const MAX_LOOKUPS: usize = 16;
/// The most reverse zones that a subject may lie in.
const MAX_ZONES: usize = 16;

/// The questions to DNS that proofs need. [`Resolver`] answers them.
#[async_trait]
pub trait ProofDns: Send + Sync {
    /// Returns the PTR names of an address, none on an error.
    async fn pointers(&self, addr: IpAddr) -> Vec<String>;
    /// Returns the addresses of a name.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String>;
    /// Returns the mail exchanges of a domain; an empty name is a null MX.
    async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String>;
    /// Returns the TXT texts of a name, after its CNAME.
    async fn texts(&self, name: &str) -> Result<Vec<String>, String>;
    /// Returns the apex of the zone that has a name, after its CNAME; `None` if it is not known.
    async fn zone_apex(&self, name: &str) -> Result<Option<String>, String>;
}

#[async_trait]
impl ProofDns for Resolver {
    async fn pointers(&self, addr: IpAddr) -> Vec<String> {
        Resolver::pointers(self, addr).await
    }
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        Resolver::addresses(self, name).await
    }
    async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String> {
        Resolver::exchanges(self, domain).await
    }
    async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        Resolver::texts(self, name).await
    }
    async fn zone_apex(&self, name: &str) -> Result<Option<String>, String> {
        Resolver::zone_apex(self, name).await
    }
}

/// What a check for the TXT record has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordCheck {
    /// The record is there, and proves control of the subject.
    Found,
    /// The record is missing at these names.
    Missing(Vec<String>),
    /// DNS did not answer; the text says for which name.
    Unavailable(String),
}

/// Looks up what DNS has to say about a subject. What cannot be looked up in time is left out.
pub async fn find_facts(
    dns: &Arc<dyn ProofDns>,
    subject: &Subject,
    settings: &ControlSettings,
    now: Time,
) -> ControlFacts {
    let found = async {
        let host_name = match host_address(subject) {
            Some(addr) => confirmed_name(&**dns, addr).await,
            None => None,
        };
        let null_mx = match mail_domain(subject, host_name.as_deref(), settings) {
            Some(domain) => accepts_no_mail(&**dns, domain).await,
            None => false,
        };
        (host_name, null_mx)
    };
    let zones = async { zones(dns, subject).await.unwrap_or_default() };
    let (found, zones) = tokio::join!(
        timeout(LOOKUP_TIMEOUT, found),
        timeout(LOOKUP_TIMEOUT, zones)
    );
    let (host_name, null_mx) = found.unwrap_or_default();
    ControlFacts {
        at: now,
        host_name,
        null_mx,
        zones: zones.unwrap_or_default(),
    }
}

/// The first reverse name of an address that has the address.
async fn confirmed_name(dns: &dyn ProofDns, addr: IpAddr) -> Option<String> {
    for name in dns.pointers(addr).await {
        let found = dns.addresses(&name).await.unwrap_or_default();
        if found.iter().any(|a| a.to_canonical() == addr) {
            return Some(name);
        }
    }
    None
}

/// Whether a domain has a null MX (RFC 7505).
async fn accepts_no_mail(dns: &dyn ProofDns, domain: &str) -> bool {
    let found = dns.exchanges(domain).await.unwrap_or_default();
    !found.is_empty() && found.iter().all(String::is_empty)
}

/// The apexes of the reverse zones that together cover a subject; see [`reverse_zones`].
async fn zones(dns: &Arc<dyn ProofDns>, subject: &Subject) -> Result<Vec<String>, String> {
    reverse_zones(dns, reverse_names(subject)).await
}

/// Returns the apexes of the reverse zones that have these names, each once. Empty if one of them is
/// not a reverse zone, or if there are too many.
///
/// # Errors
///
/// DNS does not answer; the text says for which name.
pub async fn reverse_zones(
    dns: &Arc<dyn ProofDns>,
    names: Vec<String>,
) -> Result<Vec<String>, String> {
    let mut names = names.into_iter();
    let mut tasks = JoinSet::new();
    let mut out: Vec<String> = Vec::new();
    loop {
        while tasks.len() < MAX_LOOKUPS
            && let Some(name) = names.next()
        {
            let dns = dns.clone();
            tasks.spawn(async move { dns.zone_apex(&name).await });
        }
        let Some(apex) = tasks.join_next().await else {
            out.sort();
            return Ok(out);
        };
        match apex.map_err(|e| e.to_string())?? {
            Some(apex) if is_reverse_zone(&apex) => {
                if !out.contains(&apex) {
                    out.push(apex);
                }
            }
            _ => return Ok(Vec::new()),
        }
        if out.len() > MAX_ZONES {
            return Ok(Vec::new());
        }
    }
}

/// Checks whether the TXT record with a code is where it proves control of a subject: at the listed
/// domain, at the reverse name of a single address, or at the apexes of all reverse zones that
/// cover the subject. Nothing is taken from earlier look-ups.
pub async fn check_record(dns: &Arc<dyn ProofDns>, subject: &Subject, code: &str) -> RecordCheck {
    let checked = timeout(LOOKUP_TIMEOUT, check_names(dns, subject, code));
    checked.await.unwrap_or_else(|_| {
        RecordCheck::Unavailable(format!(
            "DNS did not answer in {} seconds",
            LOOKUP_TIMEOUT.as_secs()
        ))
    })
}

async fn check_names(dns: &Arc<dyn ProofDns>, subject: &Subject, code: &str) -> RecordCheck {
    let has_record = async |name: &str| {
        let texts = dns.texts(name).await?;
        Ok::<_, String>(texts.iter().any(|t| is_proof_text(t, code)))
    };
    let mut missing = Vec::new();
    let mut errors = Vec::new();
    let single = match subject {
        Subject::Domain(d) => Some(d.name().to_string()),
        _ => host_address(subject).map(reverse_name),
    };
    if let Some(name) = single {
        match has_record(&name).await {
            Ok(true) => return RecordCheck::Found,
            Ok(false) => missing.push(name),
            Err(e) => errors.push(e),
        }
    }
    match zones(dns, subject).await {
        Ok(zones) => {
            let mut at_all = !zones.is_empty();
            for name in zones {
                match has_record(&name).await {
                    Ok(true) => continue,
                    Ok(false) if missing.contains(&name) => {}
                    Ok(false) => missing.push(name),
                    Err(e) => errors.push(e),
                }
                at_all = false;
            }
            if at_all {
                return RecordCheck::Found;
            }
        }
        Err(e) => errors.push(e),
    }
    match (missing.is_empty(), errors.into_iter().next()) {
        (true, Some(error)) => RecordCheck::Unavailable(error),
        _ => RecordCheck::Missing(missing),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// DNS of a test: records by type and name. A name without an SOA entry is in the zone of its
    /// parent.
    #[derive(Default)]
    struct Records(HashMap<(&'static str, String), Vec<String>>);

    impl Records {
        fn with(mut self, kind: &'static str, name: &str, data: &[&str]) -> Records {
            let data = data.iter().map(|d| (*d).into()).collect();
            self.0.insert((kind, name.into()), data);
            self
        }
        fn get(&self, kind: &'static str, name: &str) -> Vec<String> {
            self.0
                .get(&(kind, name.into()))
                .cloned()
                .unwrap_or_default()
        }
        /// The name after its CNAME.
        fn target(&self, name: &str) -> String {
            let target = self.get("CNAME", name).into_iter().next();
            target.unwrap_or_else(|| name.into())
        }
    }

    #[async_trait]
    impl ProofDns for Records {
        async fn pointers(&self, addr: IpAddr) -> Vec<String> {
            self.get("PTR", &addr.to_string())
        }
        async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
            Ok(self
                .get("A", name)
                .iter()
                .filter_map(|a| a.parse().ok())
                .collect())
        }
        async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String> {
            Ok(self.get("MX", domain))
        }
        async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
            if !self.get("FAIL", name).is_empty() {
                return Err(format!("{name}: no answer"));
            }
            Ok(self.get("TXT", &self.target(name)))
        }
        async fn zone_apex(&self, name: &str) -> Result<Option<String>, String> {
            let target = self.target(name);
            let mut name = target.as_str();
            loop {
                if self.0.contains_key(&("SOA", name.into())) {
                    return Ok(Some(name.into()));
                }
                match name.split_once('.') {
                    Some((_, parent)) => name = parent,
                    None => return Ok(None),
                }
            }
        }
    }

    const PROOF: &[&str] = &["orbsd-proof=7-abc"];

    fn zone() -> Records {
        Records::default()
            .with("SOA", "in-addr.arpa", &[])
            .with("SOA", "2.0.192.in-addr.arpa", &[])
            .with("SOA", "shop.example", &[])
    }

    async fn check(records: Records, subject: &str) -> RecordCheck {
        let dns: Arc<dyn ProofDns> = Arc::new(records);
        check_record(&dns, &subject.parse().unwrap(), "7-abc").await
    }

    #[tokio::test]
    async fn record_at_the_reverse_name_proves_the_address_alone() {
        let records = || zone().with("TXT", "5.2.0.192.in-addr.arpa", PROOF);
        assert_eq!(check(records(), "192.0.2.5").await, RecordCheck::Found);
        for other in ["192.0.2.6", "192.0.2.0/24", "192.0.2.4/31"] {
            let found = check(records(), other).await;
            assert!(
                matches!(found, RecordCheck::Missing(_)),
                "{other}: {found:?}"
            );
        }
    }

    #[tokio::test]
    async fn record_at_the_apex_proves_the_whole_zone_and_nothing_wider() {
        let records = || zone().with("TXT", "2.0.192.in-addr.arpa", PROOF);
        for subject in [
            "192.0.2.5",
            "192.0.2.0/24",
            "192.0.2.128/25",
            "192.0.2.8/29",
        ] {
            assert_eq!(
                check(records(), subject).await,
                RecordCheck::Found,
                "{subject}"
            );
        }
        for other in ["192.0.2.0/23", "192.0.3.5", "192.0.0.0/16", "192.0.0.0/8"] {
            let found = check(records(), other).await;
            assert!(
                matches!(found, RecordCheck::Missing(_)),
                "{other}: {found:?}"
            );
        }
    }

    #[tokio::test]
    async fn range_of_several_zones_needs_the_record_at_each_apex() {
        let records = || zone().with("SOA", "3.0.192.in-addr.arpa", &[]);
        let one = records().with("TXT", "2.0.192.in-addr.arpa", PROOF);
        assert_eq!(
            check(one, "192.0.2.0/23").await,
            RecordCheck::Missing(vec!["3.0.192.in-addr.arpa".into()])
        );
        let both = records().with("TXT", "2.0.192.in-addr.arpa", PROOF).with(
            "TXT",
            "3.0.192.in-addr.arpa",
            PROOF,
        );
        assert_eq!(check(both, "192.0.2.0/23").await, RecordCheck::Found);
    }

    #[tokio::test]
    async fn apex_does_not_prove_what_is_delegated_away() {
        // 192.0.2.64/26 belongs to a customer, by CNAME (RFC 2317) or by a zone cut.
        let cut = |r: Records| {
            (64..128).fold(r.with("SOA", "64-26.2.0.192.in-addr.arpa", &[]), |r, i| {
                let target = format!("{i}.64-26.2.0.192.in-addr.arpa");
                r.with("CNAME", &format!("{i}.2.0.192.in-addr.arpa"), &[&target])
            })
        };
        let by_provider = || cut(zone()).with("TXT", "2.0.192.in-addr.arpa", PROOF);
        assert_eq!(check(by_provider(), "192.0.2.5").await, RecordCheck::Found);
        for delegated in ["192.0.2.65", "192.0.2.64/26", "192.0.2.0/25"] {
            let found = check(by_provider(), delegated).await;
            assert!(
                matches!(found, RecordCheck::Missing(_)),
                "{delegated}: {found:?}"
            );
        }
        let by_customer = || cut(zone()).with("TXT", "64-26.2.0.192.in-addr.arpa", PROOF);
        for own in ["192.0.2.65", "192.0.2.64/26", "192.0.2.64/27"] {
            assert_eq!(check(by_customer(), own).await, RecordCheck::Found, "{own}");
        }
        assert_ne!(check(by_customer(), "192.0.2.5").await, RecordCheck::Found);
    }

    #[tokio::test]
    async fn cname_of_a_reverse_name_is_followed() {
        let records = zone()
            .with("CNAME", "5.2.0.192.in-addr.arpa", &["5.rev.shop.example"])
            .with("TXT", "5.rev.shop.example", PROOF);
        assert_eq!(check(records, "192.0.2.5").await, RecordCheck::Found);
        // The apex of a zone that is not a reverse zone proves no address.
        let apex = zone()
            .with("CNAME", "5.2.0.192.in-addr.arpa", &["5.rev.shop.example"])
            .with("TXT", "shop.example", PROOF);
        assert_ne!(check(apex, "192.0.2.5").await, RecordCheck::Found);
    }

    #[tokio::test]
    async fn registry_zones_prove_nothing() {
        let records =
            Records::default()
                .with("SOA", "in-addr.arpa", &[])
                .with("TXT", "in-addr.arpa", PROOF);
        assert_ne!(check(records, "192.0.2.5").await, RecordCheck::Found);
    }

    #[tokio::test]
    async fn listed_domain_is_proved_by_its_own_name() {
        let records = || zone().with("TXT", "shop.example", PROOF);
        assert_eq!(check(records(), "shop.example").await, RecordCheck::Found);
        assert_eq!(check(records(), "*.shop.example").await, RecordCheck::Found);
        assert_eq!(
            check(records(), "www.shop.example").await,
            RecordCheck::Missing(vec!["www.shop.example".into()])
        );
    }

    #[tokio::test]
    async fn code_of_another_ticket_proves_nothing() {
        let records = zone().with("TXT", "shop.example", &["orbsd-proof=8-abc", "v=spf1 -all"]);
        assert!(matches!(
            check(records, "shop.example").await,
            RecordCheck::Missing(_)
        ));
    }

    #[tokio::test]
    async fn failed_lookup_is_not_a_missing_record() {
        let records = zone().with("FAIL", "shop.example", &["x"]);
        assert_eq!(
            check(records, "shop.example").await,
            RecordCheck::Unavailable("shop.example: no answer".into())
        );
    }

    #[tokio::test]
    async fn only_a_forward_confirmed_name_counts() {
        let settings = ControlSettings::default();
        let facts = async |records: Records| {
            let dns: Arc<dyn ProofDns> = Arc::new(records);
            find_facts(&dns, &"192.0.2.5".parse().unwrap(), &settings, Time(9)).await
        };
        let records = || zone().with("PTR", "192.0.2.5", &["a.example.com", "b.example.com"]);
        let other = facts(records().with("A", "a.example.com", &["192.0.2.6"])).await;
        assert_eq!(other.host_name, None);
        assert_eq!(other.zones, ["2.0.192.in-addr.arpa"]);
        let own = facts(records().with("A", "b.example.com", &["192.0.2.5"]).with(
            "MX",
            "b.example.com",
            &[""],
        ))
        .await;
        assert_eq!(own.host_name.as_deref(), Some("b.example.com"));
        assert!(own.null_mx);
    }
}
