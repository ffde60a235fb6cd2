//! The relay tester, as the administrators of tested hosts see it: its DNS records, its web page,
//! and whether others list it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use mail_auth::{SpfResult, spf::verify::SpfParameters};
use tokio::task::JoinSet;

use super::{
    context::{Context, in_time},
    finding::{Area, Examination, Finding},
    sample::reversed,
    site::assess,
    web::{Route, status},
};
use crate::{config::Config, resolver::Resolver};

/// Answers of lists that refuse a query (RFC 5782 section 2.3 leaves the range to them).
const REFUSALS: [u8; 3] = [127, 255, 255];

/// Checks the tester, if it tests hosts on the Internet.
pub(super) async fn check(context: Arc<Context>) -> Vec<Finding> {
    let Ok(config) = &context.config else {
        return vec![context.without_config(Area::Tester)];
    };
    let relay = &config.probe.relay;
    let examination = |check, target: &str| Examination::new(Area::Tester, check, target);
    let is_public = relay.enabled && relay.public;
    if !is_public && context.dnsbls.is_empty() {
        return Vec::new();
    }
    let Ok(resolver) = &context.resolver else {
        return vec![
            examination("dns", &relay.domain)
                .not_seen("no resolver can be asked", "name one with `--from`"),
        ];
    };
    let addresses = own_addresses(config);
    if addresses.is_empty() {
        return vec![examination("addresses", &relay.domain).not_seen(
            "no public address of the tester is configured",
            "name them in `[probe] source_addresses`, or in `[collector] public_addresses`",
        )];
    }
    let mut out = Vec::new();
    if is_public {
        let (mx, contact, page) = tokio::join!(
            exchanges(resolver, config),
            contact(resolver, config),
            async {
                let url = &relay.tester.info_url;
                let found = status(resolver, url, Route::default()).await;
                assess_page(examination("info-url", url), url, &found)
            },
        );
        out.extend([mx, contact, page]);
    }
    let mut tasks: JoinSet<Vec<Finding>> = JoinSet::new();
    for address in addresses {
        let context = context.clone();
        tasks.spawn(async move { address_findings(&context, address, is_public).await });
    }
    out.extend(tasks.join_all().await.into_iter().flatten());
    out
}

/// Assesses the page about the tests. One on this machine alone is of a trial, where nobody else
/// could read it.
pub(super) fn assess_page(
    examination: Examination,
    url: &str,
    found: &Result<u16, String>,
) -> Finding {
    const REMEDY: &str = "let the page of `[probe] info_url` answer over HTTPS: administrators of tested hosts read it";
    let is_local = ["http://127.", "http://[::1]"]
        .iter()
        .any(|l| url.starts_with(l));
    if matches!(found, Ok(200..=399)) && !url.starts_with("https://") && !is_local {
        return examination.warning("it is not under https://", REMEDY);
    }
    assess(examination, found, REMEDY)
}

/// The addresses that tests come from.
pub(super) fn own_addresses(config: &Config) -> BTreeSet<IpAddr> {
    let sources = config.probe.relay.sources.iter().map(|s| s.address);
    let mut out: BTreeSet<IpAddr> = sources.filter(|a| !a.is_loopback()).collect();
    if out.is_empty() {
        let public = config.probe.receiver.addresses.iter().copied();
        out.extend(public.filter(|a| !a.is_loopback()));
    }
    out
}

/// The findings about one address of the tester.
async fn address_findings(context: &Context, address: IpAddr, is_public: bool) -> Vec<Finding> {
    let (Ok(config), Ok(resolver)) = (&context.config, &context.resolver) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if is_public {
        let mut sources = config.probe.relay.sources.iter();
        let source = sources.find(|s| s.address == address);
        let own = source.and_then(|s| s.ehlo_name.as_deref());
        let ehlo = own.unwrap_or(&config.probe.relay.ehlo_name);
        let (pointer, spf) = tokio::join!(
            pointer(resolver, address, ehlo),
            sender_policy(resolver, address, ehlo, &config.probe.relay.domain),
        );
        out.extend([pointer, spf]);
    }
    for zone in &context.dnsbls {
        let name = reversed(address, zone.trim_end_matches('.'));
        let found = in_time(resolver.addresses(&format!("{name}."))).await;
        out.push(assess_listing(address, zone, found));
    }
    out
}

/// Whether the MX of the probe domain is the collector.
async fn exchanges(resolver: &Resolver, config: &Config) -> Finding {
    let (domain, own) = (&config.probe.relay.domain, &config.probe.receiver.addresses);
    let examination = Examination::new(Area::Tester, "mx", domain.clone());
    let hosts = match in_time(resolver.exchanges(&format!("{domain}."))).await {
        Ok(hosts) => hosts,
        Err(why) => {
            return examination.not_seen(why, "ask another resolver with `--from`");
        }
    };
    let mut found = Vec::new();
    for host in &hosts {
        match in_time(resolver.addresses(&format!("{host}."))).await {
            Ok(addresses) => found.extend(addresses),
            Err(why) => {
                return examination.not_seen(why, "ask another resolver with `--from`");
            }
        }
    }
    assess_exchanges(examination, domain, &hosts, &found, own)
}

/// Assesses the MX of the probe domain. `own` are the addresses of the collector, if they are known.
pub(super) fn assess_exchanges(
    examination: Examination,
    domain: &str,
    hosts: &[String],
    found: &[IpAddr],
    own: &[IpAddr],
) -> Finding {
    let remedy = match own.first() {
        Some(own) => format!(
            "add to the zone of {domain}: `{domain}. MX 10 HOST.` with the address {own} for HOST"
        ),
        None => format!("add an MX record for {domain} that leads to [collector] listen"),
    };
    if hosts.is_empty() {
        return examination.fault("it has no MX, so that no test message arrives", remedy);
    }
    let hosts = hosts.join(", ");
    if found.is_empty() {
        return examination.fault(format!("its MX {hosts} has no address"), remedy);
    }
    if !own.is_empty() && !found.iter().any(|a| own.contains(a)) {
        return examination.fault(
            format!("its MX {hosts} does not lead to an address of the collector"),
            remedy,
        );
    }
    examination.good(format!("its MX is {hosts}"))
}

/// Whether mail to the contact can be delivered.
async fn contact(resolver: &Resolver, config: &Config) -> Finding {
    let contact = &config.probe.relay.tester.contact;
    let examination = Examination::new(Area::Tester, "contact", contact.clone());
    let domain = contact.rsplit_once('@').map_or("", |(_, d)| d);
    let name = format!("{domain}.");
    let (hosts, addresses) = tokio::join!(
        in_time(resolver.exchanges(&name)),
        in_time(resolver.addresses(&name)),
    );
    match (hosts, addresses) {
        (Ok(hosts), _) if !hosts.is_empty() => {
            examination.good(format!("its mail goes to {}", hosts.join(", ")))
        }
        (_, Ok(addresses)) if !addresses.is_empty() => {
            examination.good("its domain has an address")
        }
        (Ok(_), Ok(_)) => examination.fault(
            "its domain has neither MX nor address",
            "name a mail address in `[probe] contact` that people read",
        ),
        (Err(why), _) | (_, Err(why)) => {
            examination.not_seen(why, "ask another resolver with `--from`")
        }
    }
}

/// Whether the reverse DNS of an address is its EHLO name, and leads back to it.
async fn pointer(resolver: &Resolver, address: IpAddr, ehlo: &str) -> Finding {
    let examination = Examination::new(Area::Tester, "ptr", address.to_string());
    let name = format!("{ehlo}.");
    let (names, back) = tokio::join!(
        in_time(resolver.reverse_names(address)),
        in_time(resolver.addresses(&name)),
    );
    match (names, back) {
        (Ok(names), Ok(back)) => assess_pointer(examination, address, ehlo, &names, &back),
        (Err(why), _) | (_, Err(why)) => {
            examination.not_seen(why, "ask another resolver with `--from`")
        }
    }
}

/// Assesses the reverse DNS of an address. `back` are the addresses of its EHLO name.
pub(super) fn assess_pointer(
    examination: Examination,
    address: IpAddr,
    ehlo: &str,
    names: &[String],
    back: &[IpAddr],
) -> Finding {
    let remedy = format!(
        "let the provider of {address} set its PTR record to {ehlo}., and add {ehlo}. with this address to your zone"
    );
    let is_own = |name: &String| name.eq_ignore_ascii_case(ehlo.trim_end_matches('.'));
    if names.is_empty() {
        examination.fault(
            "it has no PTR record, so that many mail servers refuse its tests",
            remedy,
        )
    } else if !names.iter().any(is_own) {
        examination.fault(
            format!(
                "its PTR record is {}, not the EHLO name {ehlo}",
                names.join(", ")
            ),
            remedy,
        )
    } else if !back.contains(&address) {
        examination.fault(format!("its name {ehlo} does not lead back to it"), remedy)
    } else {
        examination.good(format!("its name is {ehlo}, in both directions"))
    }
}

/// Whether SPF permits an address to send for the probe domain (RFC 7208).
async fn sender_policy(resolver: &Resolver, address: IpAddr, ehlo: &str, domain: &str) -> Finding {
    let examination = Examination::new(Area::Tester, "spf", format!("{domain} from {address}"));
    let checked = async {
        let authenticator = resolver.mail_authenticator()?;
        let sender = format!("postmaster@{domain}");
        let parameters = SpfParameters::verify_mail_from(address, ehlo, ehlo, &sender);
        Ok(authenticator.verify_spf(parameters).await.result())
    };
    assess_spf(examination, domain, address, in_time(checked).await)
}

/// Assesses the result of SPF.
pub(super) fn assess_spf(
    examination: Examination,
    domain: &str,
    address: IpAddr,
    result: Result<SpfResult, String>,
) -> Finding {
    let family = if address.is_ipv4() { "ip4" } else { "ip6" };
    let remedy =
        format!("add to the zone of {domain}: `{domain}. TXT \"v=spf1 {family}:{address} -all\"`");
    match result {
        Ok(SpfResult::Pass) => examination.good("SPF permits it"),
        Ok(SpfResult::None) => examination.fault("the domain has no SPF record", remedy),
        Ok(SpfResult::TempError) => examination.not_seen(
            "the SPF record could not be looked up",
            "ask another resolver with `--from`",
        ),
        Ok(result) => examination.fault(format!("the result of SPF is {result:?}"), remedy),
        Err(why) => examination.not_seen(why, "ask another resolver with `--from`"),
    }
}

/// Assesses the answer of a DNSBL about an address.
pub(super) fn assess_listing(
    address: IpAddr,
    zone: &str,
    found: Result<Vec<IpAddr>, String>,
) -> Finding {
    let examination = Examination::new(Area::Tester, "dnsbl", format!("{address} at {zone}"));
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            return examination.not_seen(why, "ask another resolver with `--from`");
        }
    };
    let codes: Vec<Ipv4Addr> = found
        .iter()
        .filter_map(|a| match a {
            IpAddr::V4(a) if a.is_loopback() => Some(*a),
            _ => None,
        })
        .collect();
    match codes.first() {
        None => examination.good("it is not listed"),
        Some(code) if code.octets().starts_with(&REFUSALS) => examination.not_seen(
            format!("the list refuses this resolver with {code}"),
            "ask through a resolver of your own with `--from`",
        ),
        Some(code) => examination.fault(
            format!("it is listed with {code}"),
            format!("find out at the operator of {zone} why, and ask for a removal; tests from a listed address prove nothing"),
        ),
    }
}
