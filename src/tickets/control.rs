//! Which ways to prove control of a subject can work, with the commands and records to copy.
//!
//! Pure: what DNS has to say about a subject is a value of its own ([`ControlFacts`]), which
//! [`super::control_dns`] looks up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::codes::ticket_of;
use crate::{
    generic_names::is_generic_name,
    model::{
        Subject, Time,
        domain::{is_at_or_below, is_public_suffix},
    },
};

/// The text of a TXT record before the code.
pub const TXT_PREFIX: &str = "orbsd-proof=";
/// The reasons for which a request from the address proves nothing, because strangers act through
/// the host.
const USED_BY_STRANGERS: [&str; 3] = ["proxy", "form", "spamsource"];
/// The shortest IPv4 prefix that DNS can prove.
const MIN_PROVED_LEN4: u8 = 16;
/// The shortest IPv6 prefix that DNS can prove.
const MIN_PROVED_LEN6: u8 = 32;
/// The most reverse names of a prefix whose zones are looked up.
pub const MAX_REVERSE_NAMES: usize = 128;
/// The mailboxes of a domain that receive a code: RFC 2142 gives both to those who answer for it.
const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// What DNS has to say about a subject. It is looked up when a ticket is opened, because no page
/// waits for DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlFacts {
    /// When it was looked up.
    pub at: Time,
    /// The reverse name of the address that has the address in turn; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Whether the domain of the mail way accepts no mail at all (null MX, RFC 7505).
    #[serde(default)]
    pub null_mx: bool,
    /// The apexes of the reverse zones that together cover the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
}

/// What the operator offers for proofs of control.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlSettings {
    /// The URL of the site, without a slash at the end.
    pub base_url: String,
    /// The URL of the site over plain HTTP, for servers without today's root certificates; `None`
    /// if there is none.
    pub plain_url: Option<String>,
    /// Whether mail can be sent.
    pub mail: bool,
    /// The domains of providers, whose names belong to their customers.
    pub providers: Vec<String>,
}

/// A way to prove control of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlOption {
    /// A request from the address: programs and their commands.
    Server(Vec<(&'static str, String)>),
    /// A TXT record.
    Dns {
        /// The owner names of the record.
        names: Vec<String>,
        /// Whether the record has to be at every name, and not at one of them.
        at_every_name: bool,
        /// The text of the record.
        text: String,
    },
    /// A code by mail to one of these addresses.
    Mail(Vec<String>),
}

/// Returns the ways to prove control that can work for a subject that is listed for some reasons,
/// the quickest first. Before DNS was asked (`facts` is `None`), those that need it are left out.
pub fn control_options<R: AsRef<str>>(
    subject: &Subject,
    reasons: &[R],
    facts: Option<&ControlFacts>,
    code: &str,
    settings: &ControlSettings,
) -> Vec<ControlOption> {
    let mut out = Vec::new();
    if let Some(addr) = host_address(subject).filter(|_| is_server_proof_possible(reasons)) {
        out.push(ControlOption::Server(commands(addr, code, settings)));
    }
    let addresses = facts.map(|f| mail_addresses(subject, f, settings));
    if let Some(addresses) = addresses.filter(|a| settings.mail && !a.is_empty()) {
        out.push(ControlOption::Mail(addresses));
    }
    let (names, at_every_name) = record_names(subject, facts);
    if !names.is_empty() {
        out.push(ControlOption::Dns {
            names,
            at_every_name,
            text: format!("{TXT_PREFIX}{code}"),
        });
    }
    out
}

/// Whether a request from the address proves control, for these reasons.
pub fn is_server_proof_possible<R: AsRef<str>>(reasons: &[R]) -> bool {
    !reasons
        .iter()
        .any(|r| USED_BY_STRANGERS.contains(&r.as_ref()))
}

/// Returns the address of a subject that is a single one.
pub fn host_address(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::V4(p) if p.is_host() => Some(Ipv4Addr::from(p.first()).into()),
        Subject::V6(p) if p.is_host() => Some(Ipv6Addr::from(p.first()).into()),
        _ => None,
    }
}

/// The commands of common programs that send a request. `option` chooses the family of the address.
/// The response to a request that proves nothing has to be seen, too.
fn http_commands(option: &str, url: &str) -> [(&'static str, String); 2] {
    [
        ("curl", format!("curl{option} -X POST {url}")),
        ("wget", format!("wget{option} -nv -O - --post-data=x {url}")),
    ]
}

/// Returns the commands that send a request with a code from an address that is not known here;
/// none if the text is not a code.
pub fn commands_for_code(code: &str, settings: &ControlSettings) -> Vec<String> {
    let base = settings.plain_url.as_deref().unwrap_or(&settings.base_url);
    let commands = http_commands("", &format!("{base}/prove/{code}"));
    let commands = commands.into_iter().map(|(_, command)| command);
    match ticket_of(code) {
        Some(_) => commands.collect(),
        None => Vec::new(),
    }
}

/// The commands that send a request from an address. Each uses the family of the address, since a
/// server with both would prove the other one.
fn commands(addr: IpAddr, code: &str, settings: &ControlSettings) -> Vec<(&'static str, String)> {
    let (option, family) = match addr {
        IpAddr::V4(_) => ("-4", "InterNetwork"),
        IpAddr::V6(_) => ("-6", "InterNetworkV6"),
    };
    let plain = settings.plain_url.as_deref();
    let url = format!("{}/prove/{code}", plain.unwrap_or(&settings.base_url));
    let mut out = Vec::from(http_commands(&format!(" {option}"), &url));
    match plain.and_then(split_plain_url) {
        Some((host, port, path)) => {
            let port_part = if port == 80 {
                String::new()
            } else {
                format!(":{port}")
            };
            let name = host.trim_matches(['[', ']']);
            out.push((
                "PowerShell",
                format!(
                    "$c=New-Object Net.Sockets.TcpClient([Net.Sockets.AddressFamily]::{family}); $c.Connect('{name}',{port}); \
                     $s=$c.GetStream(); $b=[Text.Encoding]::ASCII.GetBytes(\"POST {path}/prove/{code} HTTP/1.1`r`nHost: {host}{port_part}`r`n\
                     Content-Length: 0`r`nConnection: close`r`n`r`n\"); $s.Write($b,0,$b.Length); (New-Object IO.StreamReader($s)).ReadToEnd()"
                ),
            ));
            out.push((
                "nc",
                format!(
                    "printf 'POST {path}/prove/{code} HTTP/1.1\\r\\nHost: {host}{port_part}\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n' \
                     | nc {option} {name} {port}"
                ),
            ));
        }
        None => out.push(("PowerShell", format!("curl.exe {option} -X POST {url}"))),
    }
    out
}

/// The host, the port and the path of a URL with the scheme `http`.
fn split_plain_url(url: &str) -> Option<(&str, u16, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let has_port = |(_, port): &(&str, &str)| port.bytes().all(|b| b.is_ascii_digit());
    match authority.rsplit_once(':').filter(has_port) {
        Some((host, port)) => Some((host, port.parse().ok()?, path)),
        None => Some((authority, 80, path)),
    }
}

/// The owner names at which a TXT record proves control, the most specific first, and whether it
/// has to be at all of them.
fn record_names(subject: &Subject, facts: Option<&ControlFacts>) -> (Vec<String>, bool) {
    if let Subject::Domain(d) = subject {
        return (vec![d.name().to_string()], false);
    }
    let zones = facts.map_or(&[][..], |f| &f.zones);
    match host_address(subject) {
        Some(addr) => {
            let own = reverse_name(addr);
            let zones = zones.iter().filter(|z| **z != own).cloned();
            (std::iter::once(own.clone()).chain(zones).collect(), false)
        }
        None if is_provable_by_dns(subject) => (zones.to_vec(), zones.len() > 1),
        None => (Vec::new(), false),
    }
}

/// Whether a subject is narrow enough for a proof by DNS: /16, or /32 of IPv6.
pub fn is_provable_by_dns(subject: &Subject) -> bool {
    match subject {
        Subject::V4(p) => p.len() >= MIN_PROVED_LEN4,
        Subject::V6(p) => p.len() >= MIN_PROVED_LEN6,
        Subject::Domain(_) => true,
    }
}

/// Returns the name of an address in `in-addr.arpa` or `ip6.arpa`.
pub fn reverse_name(addr: IpAddr) -> String {
    match addr.to_canonical() {
        IpAddr::V4(a) => reverse_name4(a.to_bits(), 4),
        IpAddr::V6(a) => reverse_name6(a.to_bits(), 32),
    }
}

fn reverse_name4(addr: u32, octets: usize) -> String {
    let labels = addr.to_be_bytes();
    let labels = labels[..octets].iter().rev().map(|o| format!("{o}."));
    labels.collect::<String>() + "in-addr.arpa"
}

fn reverse_name6(addr: u128, nibbles: usize) -> String {
    let labels = (0..nibbles).rev();
    let labels = labels.map(|i| format!("{:x}.", addr >> (124 - 4 * i) & 15));
    labels.collect::<String>() + "ip6.arpa"
}

/// Returns the reverse names whose zones together cover a subject: those of the narrowest name
/// boundaries (octets, nibbles) that are not wider than the subject. Below /24 these are the names
/// of all its addresses, because such ranges are delegated by CNAME (RFC 2317). The list is empty
/// for a domain, and for a prefix that DNS cannot prove.
pub fn reverse_names(subject: &Subject) -> Vec<String> {
    if !is_provable_by_dns(subject) {
        return Vec::new();
    }
    match subject {
        Subject::V4(p) => {
            let octets = p.len().div_ceil(8);
            let step = 1u64 << (32 - 8 * u32::from(octets));
            (u64::from(p.first())..=u64::from(p.last()))
                .step_by(step as usize)
                .map(|a| reverse_name4(a as u32, usize::from(octets)))
                .collect()
        }
        Subject::V6(p) => {
            let nibbles = p.len().div_ceil(4);
            let count = 1u128 << (4 * nibbles - p.len());
            let shift = 128 - 4 * u32::from(nibbles);
            (0..count)
                .map(|i| reverse_name6(p.first() | i << shift, usize::from(nibbles)))
                .collect()
        }
        Subject::Domain(_) => Vec::new(),
    }
}

/// Whether a name is the apex of a reverse zone that a holder of addresses can have, and not
/// `in-addr.arpa` itself or the whole of DNS.
pub fn is_reverse_zone(apex: &str) -> bool {
    [".in-addr.arpa", ".ip6.arpa"]
        .iter()
        .any(|top| apex.strip_suffix(top).is_some_and(|p| !p.is_empty()))
}

/// Whether a TXT text is the proof with a code. Spaces and quotation marks around it are ignored.
pub fn is_proof_text(text: &str, code: &str) -> bool {
    let text = text.trim().trim_matches('"').trim();
    let prefix = text.get(..TXT_PREFIX.len());
    prefix.is_some_and(|p| p.eq_ignore_ascii_case(TXT_PREFIX))
        && text[TXT_PREFIX.len()..].trim().eq_ignore_ascii_case(code)
}

/// Returns the domain whose role mailboxes answer for a subject: the listed domain, or the
/// forward-confirmed name of the address. `None` if mail to it would prove nothing.
pub fn mail_domain<'a>(
    subject: &'a Subject,
    host_name: Option<&'a str>,
    settings: &ControlSettings,
) -> Option<&'a str> {
    let (domain, addr) = match subject {
        Subject::Domain(d) => (d.name(), None),
        _ => (host_name?, Some(host_address(subject)?)),
    };
    let is_usable = is_host_name(domain)
        && !is_public_suffix(domain)
        && !settings.providers.iter().any(|d| is_at_or_below(domain, d))
        && addr.is_none_or(|a| !is_generic_name(domain, a));
    is_usable.then_some(domain)
}

/// Returns the addresses that may receive a code by mail; none if mail would prove nothing.
pub fn mail_addresses(
    subject: &Subject,
    facts: &ControlFacts,
    settings: &ControlSettings,
) -> Vec<String> {
    match mail_domain(subject, facts.host_name.as_deref(), settings) {
        Some(domain) if !facts.null_mx => ROLES.map(|r| format!("{r}@{domain}")).to_vec(),
        _ => Vec::new(),
    }
}

/// Whether a name can be the domain of a mail address. DNS data of strangers can contain anything.
fn is_host_name(name: &str) -> bool {
    let is_label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 200
        && name.contains('.')
        && name.split('.').all(is_label)
        && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests;
