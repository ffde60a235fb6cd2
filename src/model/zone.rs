//! Zones as their files describe them: the published reasons, with codes and texts, and the rules
//! for queries and transfers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use super::publish::Publish;
use super::{
    digest::Digest,
    domain::name_to_ascii,
    logins::{Durability, LoginRules},
    names::suggest,
    retire::{MONTH, Retire},
    subject::Subject,
    time::Seconds,
    zone_addresses::ZoneAddresses,
};

/// The longest TTL in seconds (RFC 2181 section 8).
const MAX_TTL: u64 = i32::MAX as u64;

/// The kind of a zone's names.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub enum ZoneKind {
    /// Reversed IPv4 and IPv6 addresses (RFC 5782 sections 2.1 and 2.4).
    #[default]
    Address,
    /// Domain names (RFC 5782 section 3).
    Domain,
    /// A catalog of the zones of this server (RFC 9432), for transfers only.
    Catalog,
    /// Digests, one label each: see [`Digest`].
    Hash,
}

impl ZoneKind {
    /// The name in a zone file.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A static record of the zone, from a `[[record]]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct Record {
    /// `@` for the origin, or a name relative to it.
    pub name: String,
    /// The type: A, AAAA, NS, MX, CAA or TXT. NS delegates a name that no listing can have; A and
    /// AAAA of a name server inside the zone are its glue.
    #[serde(rename = "type")]
    pub kind: String,
    /// The data in the syntax of master files.
    pub data: String,
    /// The TTL; `None`: the zone's `ttl`.
    pub ttl: Option<Seconds>,
}

/// The clients that may query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct QueryRules {
    /// The prefixes of clients that get answers. Other clients get REFUSED.
    pub allow: Vec<String>,
    /// An A record (127.255.255.x) that a refused client gets instead of REFUSED. Off by default,
    /// because mail servers take any A record for a listing.
    pub refused_code: Option<Ipv4Addr>,
}

impl Default for QueryRules {
    fn default() -> QueryRules {
        QueryRules {
            allow: vec!["0.0.0.0/0".into(), "::/0".into()],
            refused_code: None,
        }
    }
}

/// A mirror to notify: an address, or a table with address, key and source address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Notify {
    /// `address:port`.
    Plain(String),
    /// A table.
    Full(NotifyTable),
}

/// The table form of a mirror to notify.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct NotifyTable {
    /// `address:port`.
    pub address: String,
    /// The name of a `[[key]]` to sign with.
    pub key: Option<String>,
    /// The source address of the message.
    pub source: Option<String>,
}

/// Deserializes by the type of the value, not as an untagged enum, so that an error names the
/// faulty key of a table.
impl<'de> Deserialize<'de> for Notify {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Notify, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = Notify;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an address with a port, or a table with `address`, `key` and `source`")
            }
            fn visit_str<E>(self, text: &str) -> Result<Notify, E> {
                Ok(Notify::Plain(text.into()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Notify, A::Error> {
                NotifyTable::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(Notify::Full)
            }
        }
        from.deserialize_any(Either)
    }
}

/// The clients that may transfer, and the mirrors that get NOTIFY.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct TransferRules {
    /// Prefixes, `key:NAME` of a TSIG key, and `cert:NAME` of a client certificate.
    pub allow: Vec<String>,
    /// The mirrors to notify.
    pub notify: Vec<Notify>,
}

impl TransferRules {
    /// The names of the TSIG keys that the rules use.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let allowed = self.allow.iter().filter_map(|a| a.strip_prefix("key:"));
        let notified = self.notify.iter().filter_map(|n| match n {
            Notify::Full(table) => table.key.as_deref(),
            Notify::Plain(_) => None,
        });
        allowed.chain(notified)
    }

    /// The names of the client certificates that may transfer.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.allow.iter().filter_map(|a| a.strip_prefix("cert:"))
    }

    /// Whether a client with a certificate for these names may transfer. Names are compared in any
    /// letter case; a wildcard name in a certificate does not match other names.
    pub fn allows_names(&self, names: &[String]) -> bool {
        self.names().any(|rule| {
            names
                .iter()
                .any(|n| n.eq_ignore_ascii_case(rule.trim_end_matches('.')))
        })
    }
}

/// The number of TXT records of a listed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub enum TxtPolicy {
    /// One: the text of the first published reason.
    #[default]
    First,
    /// One for each reason.
    All,
}

/// How receivers are advised to use a zone.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub enum Recommendation {
    /// Refuse mail of what is listed.
    #[default]
    Refuse,
    /// Use the zone as one sign among several.
    Score,
    /// Do not use the zone for decisions about mail.
    Ignore,
}

/// What the public site tells about a zone, from the `[about]` table. Nothing of it is in DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct ZoneAbout {
    /// What the zone is for, in a sentence; empty: from the published reasons.
    pub use_for: String,
    /// What the zone is not for; empty: the general text.
    pub not_for: String,
    /// What is listed, and by which criteria, besides those of the reasons.
    pub criteria: String,
    /// How receivers are advised to use the zone; `None`: refuse.
    pub recommended: Option<Recommendation>,
}

impl ZoneAbout {
    /// How receivers are advised to use the zone.
    pub fn recommended(&self) -> Recommendation {
        self.recommended.unwrap_or_default()
    }
}

/// A zone file, `zones/*.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct Zone {
    /// The file's name without its ending, used in commands. It is not a key of the file.
    #[serde(skip)]
    pub short_name: String,
    /// The zone's name.
    pub origin: String,
    /// The kind of its names.
    pub kind: ZoneKind,
    /// The form of the names of a hash zone. `None` is not serialized, so that the stored hashes of
    /// other zones stay the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The name servers; the first is the SOA's MNAME.
    pub ns: Vec<String>,
    /// The mail address for the SOA's RNAME, such as `hostmaster@example`.
    pub contact: String,
    /// The TTL of listings and of the apex.
    pub ttl: Seconds,
    /// The TTL of NXDOMAIN, and of NODATA at a listed name.
    pub negative_ttl: Seconds,
    /// The TTL of NODATA at an empty non-terminal.
    pub nodata_ttl: Seconds,
    /// The first serial. `orbsd zone serial` sets a newer one later.
    pub serial: u32,
    /// SOA refresh.
    pub refresh: Seconds,
    /// SOA retry.
    pub retry: Seconds,
    /// SOA expire.
    pub expire: Seconds,
    /// The number of TXT records of a listed name.
    pub txt: TxtPolicy,
    /// The addresses that a domain zone publishes besides names. `None` is not serialized, so that
    /// the stored hashes of other zones stay the same.
    #[serde(skip_serializing_if = "ZoneAddresses::is_none")]
    pub addresses: ZoneAddresses,
    /// Whether IPv4 listings are also published below `::ffff:0:0/96`.
    pub ipv4_mapped: bool,
    /// Whether clients read the codes as bit masks.
    pub bitmask: bool,
    /// The published reasons, the worst first.
    pub publish: Vec<Publish>,
    /// The static records.
    #[serde(rename = "record")]
    pub records: Vec<Record>,
    /// The clients that may query.
    pub query: QueryRules,
    /// The clients that may transfer, and the mirrors to notify.
    pub transfer: TransferRules,
    /// The shutdown of the zone.
    pub retire: Option<Retire>,
    /// Where the entries are kept. The default is not serialized, so that the stored hashes of other
    /// zones stay the same.
    #[serde(skip_serializing_if = "Durability::is_durable")]
    pub durability: Durability,
    /// The log-ins of a volatile zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins: Option<LoginRules>,
    /// What the public site tells about the zone. It is not serialized, so that the stored hashes of
    /// zones, and with them the serials, do not depend on it.
    #[serde(skip_serializing)]
    pub about: ZoneAbout,
}

impl Default for Zone {
    fn default() -> Zone {
        Zone {
            short_name: String::new(),
            origin: String::new(),
            kind: ZoneKind::default(),
            digest: None,
            ns: Vec::new(),
            contact: String::new(),
            ttl: Seconds(300),
            negative_ttl: Seconds(60),
            nodata_ttl: Seconds(60),
            serial: 1,
            refresh: Seconds(600),
            retry: Seconds(300),
            expire: Seconds(7 * 86_400),
            txt: TxtPolicy::First,
            addresses: ZoneAddresses::None,
            ipv4_mapped: false,
            bitmask: false,
            publish: Vec::new(),
            records: Vec::new(),
            query: QueryRules::default(),
            transfer: TransferRules::default(),
            retire: None,
            durability: Durability::Durable,
            logins: None,
            about: ZoneAbout::default(),
        }
    }
}

/// A finding of `orbsd check` in a zone file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lint {
    /// The zone cannot be served.
    Error(String),
    /// The zone can be served, but probably not as intended.
    Warning(String),
}

impl Zone {
    /// Whether IPv4 addresses are among the zone's subjects.
    pub fn has_ip4(&self) -> bool {
        match self.kind {
            ZoneKind::Address => true,
            ZoneKind::Domain => !self.addresses.is_none(),
            ZoneKind::Hash | ZoneKind::Catalog => false,
        }
    }

    /// Whether IPv6 addresses are among the zone's subjects.
    pub fn has_ip6(&self) -> bool {
        match self.kind {
            ZoneKind::Address => true,
            ZoneKind::Domain => self.addresses == ZoneAddresses::Both,
            ZoneKind::Hash | ZoneKind::Catalog => false,
        }
    }

    /// Whether names or digests are among the zone's subjects.
    pub fn has_names(&self) -> bool {
        matches!(self.kind, ZoneKind::Domain | ZoneKind::Hash)
    }

    /// Whether a subject of this kind is published if it is listed for a reason of the zone.
    pub fn has_kind_of(&self, subject: &Subject) -> bool {
        match subject {
            Subject::V4(_) => self.has_ip4(),
            Subject::V6(_) => self.has_ip6(),
            // The labels of addresses are left to the addresses.
            Subject::Domain(d) => {
                let top = d.name().rsplit('.').next().unwrap_or_default();
                self.has_names() && !self.addresses.is_label(top.as_bytes())
            }
        }
    }

    /// The SOA's MINIMUM: the larger of both TTLs of negative answers. Each negative answer lowers
    /// it to its own.
    pub fn minimum(&self) -> Seconds {
        self.negative_ttl.max(self.nodata_ttl)
    }

    /// The longest TTL of a listing.
    pub fn longest_ttl(&self) -> Seconds {
        let ttls = self.publish.iter().map(|p| p.ttl.unwrap_or(self.ttl));
        ttls.max().unwrap_or(self.ttl)
    }

    /// Checks the zone. `reasons` are the names of the configured reasons.
    pub fn lint(&self, reasons: &[String]) -> Vec<Lint> {
        let mut out = Vec::new();
        let mut error = |text: String| out.push(Lint::Error(text));
        match name_to_ascii(self.origin.trim_end_matches('.')) {
            Ok(name) if name.len() > 180 => error(format!(
                "origin: `{}` leaves no room for a reversed IPv6 address below it",
                self.origin
            )),
            Ok(_) => {}
            Err(e) => error(format!("origin: {e}")),
        }
        if self.ns.is_empty() {
            error("ns: the zone has no name server; name at least one".into());
        }
        for ns in &self.ns {
            if let Err(e) = name_to_ascii(ns.trim_end_matches('.')) {
                error(format!("ns: {e}"));
            }
        }
        match self.contact.split_once('@') {
            Some((user, host))
                if !user.is_empty() && user.len() < 64 && name_to_ascii(host).is_ok() => {}
            _ => error(format!(
                "contact: `{}` is not a mail address such as hostmaster@orbs.example",
                self.contact
            )),
        }
        for (name, value) in [
            ("ttl", self.ttl),
            ("negative_ttl", self.negative_ttl),
            ("nodata_ttl", self.nodata_ttl),
            ("refresh", self.refresh),
            ("retry", self.retry),
            ("expire", self.expire),
        ] {
            if value.0 > MAX_TTL {
                error(format!(
                    "{name}: {value} is longer than a TTL can be (RFC 2181 section 8)"
                ));
            }
        }
        self.lint_transfer(&mut out);
        self.lint_mirrors(&mut out);
        self.lint_codes(reasons, &mut out);
        self.lint_digest(&mut out);
        self.lint_addresses(&mut out);
        self.lint_advice(&mut out);
        self.lint_volatile(&mut out);
        if let Some(r) = &self.retire {
            self.lint_retire(r, &mut out);
        }
        out
    }

    fn lint_retire(&self, retire: &Retire, out: &mut Vec<Lint>) {
        if self.kind == ZoneKind::Catalog {
            out.push(Lint::Error(
                "retire: a catalog zone has no listings; remove its file instead".into(),
            ));
        }
        if retire.empty_at < retire.announce_at.plus(MONTH) {
            out.push(Lint::Warning(format!(
                "retire: {} is less than {MONTH} after {}; announce the end a month or more before it (RFC 6471 section 3.4)",
                retire.empty_at, retire.announce_at
            )));
        }
        out.push(Lint::Warning(format!(
            "retire: this zone lists nothing from {} on",
            retire.empty_at
        )));
    }

    fn lint_transfer(&self, out: &mut Vec<Lint>) {
        let mut error = |text: String| out.push(Lint::Error(text));
        for rule in &self.transfer.allow {
            if let Some(name) = rule.strip_prefix("cert:") {
                if let Err(e) = name_to_ascii(name.trim_end_matches('.')) {
                    error(format!(
                        "transfer.allow: `{rule}` is not `cert:` and the host name of a certificate, such as cert:mirror.example: {e}"
                    ));
                }
                continue;
            }
            let fine = match rule.strip_prefix("key:") {
                Some(key) => !key.trim().is_empty(),
                None => rule.parse::<ipnet::IpNet>().is_ok() || rule.parse::<IpAddr>().is_ok(),
            };
            if !fine {
                error(format!(
                    "transfer.allow: `{rule}` is neither a prefix such as 192.0.2.0/24 nor `key:NAME` nor `cert:NAME`"
                ));
            }
        }
        for mirror in &self.transfer.notify {
            let (address, source) = match mirror {
                Notify::Plain(address) => (address, None),
                Notify::Full(table) => (&table.address, table.source.as_ref()),
            };
            if address.parse::<SocketAddr>().is_err() {
                error(format!(
                    "transfer.notify: `{address}` is not an address with a port, such as 192.0.2.53:53 or [2001:db8::53]:53"
                ));
            }
            if let Some(source) = source.filter(|s| s.parse::<IpAddr>().is_err()) {
                error(format!(
                    "transfer.notify: source `{source}` is not an address"
                ));
            }
        }
    }

    /// Warns about mirrors that cannot be distinguished: two on one address with the same key.
    fn lint_mirrors(&self, out: &mut Vec<Lint>) {
        let mirror = |n: &Notify| match n {
            Notify::Plain(address) => (address.parse().ok(), None),
            Notify::Full(t) => (t.address.parse().ok(), t.key.clone()),
        };
        let mirrors: Vec<(Option<SocketAddr>, Option<String>)> =
            self.transfer.notify.iter().map(mirror).collect();
        for (i, (address, key)) in mirrors.iter().enumerate() {
            let Some(address) = address else { continue };
            let same = mirrors[..i]
                .iter()
                .filter(|(a, k)| a.is_some_and(|a| a.ip() == address.ip()) && k == key)
                .count();
            if same == 1 {
                out.push(Lint::Warning(format!(
                    "transfer.notify: more than one mirror has the address {}{}, so that their serials cannot be distinguished; give each a key of its own",
                    address.ip(),
                    key.as_ref().map_or(String::new(), |k| format!(" and the key {k}")),
                )));
            }
        }
    }

    fn lint_codes(&self, reasons: &[String], out: &mut Vec<Lint>) {
        for (i, p) in self.publish.iter().enumerate() {
            let at = format!("publish {}", i + 1);
            let mut error = |text: String| out.push(Lint::Error(format!("{at}: {text}")));
            if p.code.octets()[0] != 127 {
                error(format!(
                    "code {} is outside 127.0.0.0/8, which clients take for a broken list (RFC 5782 section 2.3)",
                    p.code
                ));
            }
            if self.bitmask && !is_bit(p.code) {
                error(format!(
                    "code {} is not one bit; with bitmask = true, codes are 127.0.0.2, 127.0.0.4, 127.0.0.8, 127.0.0.16, 127.0.0.32, 127.0.0.64 and 127.0.0.128",
                    p.code
                ));
            }
            if let Some(ttl) = p.ttl.filter(|ttl| ttl.0 > MAX_TTL) {
                error(format!(
                    "ttl {ttl} is longer than a TTL can be (RFC 2181 section 8)"
                ));
            }
            if p.code == Ipv4Addr::LOCALHOST {
                error("127.0.0.1 is the test point that is never listed and cannot be a code (RFC 5782 section 5)".into());
            }
            p.lint_rule().into_iter().for_each(&mut error);
            for name in p.reasons().filter(|name| !reasons.contains(name)) {
                error(format!(
                    "reason `{name}` is not in config.toml{}",
                    suggest(name, reasons)
                ));
            }
            let rule = p.rule();
            let is_same =
                |q: &Publish| q.rule() == rule && (rule.is_some() || q.label() == p.label());
            if self.publish[..i].iter().any(is_same) {
                error(match &rule {
                    None => format!("reason `{}` is published twice", p.label()),
                    Some(rule) => format!("the rule `{rule}` is published twice"),
                });
            }
            if p.code.octets()[..3] == [127, 255, 255] && !self.bitmask {
                out.push(Lint::Warning(format!(
                    "{at}: code {} is in 127.255.255.0/24, which clients take for an error of the list",
                    p.code
                )));
            }
            if let Some(q) = self.publish[..i].iter().find(|q| q.code == p.code) {
                out.push(Lint::Warning(format!(
                    "reasons `{}` and `{}` share the code {}; clients cannot tell them apart",
                    q.label(),
                    p.label(),
                    p.code
                )));
            }
        }
        if let Some(code) = self.query.refused_code {
            if self.bitmask {
                out.push(Lint::Error(format!("query.refused_code: {code} would match every bit of a bit-mask zone; leave it out")));
            } else if code.octets()[..3] != [127, 255, 255] {
                out.push(Lint::Error(format!(
                    "query.refused_code: {code} is not in 127.255.255.0/24"
                )));
            } else {
                out.push(Lint::Warning(format!("query.refused_code: mail servers that do not look at the code take {code} for a listing")));
            }
        }
    }

    fn lint_digest(&self, out: &mut Vec<Lint>) {
        match (self.kind, self.digest) {
            (ZoneKind::Hash, None) => out.push(Lint::Error(
                "digest: a zone of kind \"hash\" needs the form of its names, such as digest = \"sha1-hex\" or digest = \"sha256-base32\""
                    .into(),
            )),
            (ZoneKind::Hash, _) | (_, None) => {}
            (kind, Some(_)) => out.push(Lint::Error(format!(
                "digest: a zone of kind \"{}\" has no digests; remove the key, or set kind = \"hash\"",
                kind.name()
            ))),
        }
    }

    fn lint_addresses(&self, out: &mut Vec<Lint>) {
        let mut error = |text: String| out.push(Lint::Error(text));
        let kind = self.kind.name();
        match self.kind {
            ZoneKind::Domain => {}
            ZoneKind::Address if !self.addresses.is_none() => error(
                "addresses: a zone of kind \"address\" always publishes IPv4 and IPv6 addresses; remove the key"
                    .into(),
            ),
            _ if !self.addresses.is_none() => error(format!(
                "addresses: a zone of kind \"{kind}\" cannot publish addresses; remove the key, or set kind = \"domain\""
            )),
            _ => {}
        }
        if self.ipv4_mapped {
            match self.kind {
                ZoneKind::Address => {}
                ZoneKind::Domain if self.addresses == ZoneAddresses::Both => {}
                ZoneKind::Domain => error(
                    "ipv4_mapped: a zone of kind \"domain\" has no IPv6 addresses; remove the key, or set addresses = \"both\""
                        .into(),
                ),
                ZoneKind::Hash | ZoneKind::Catalog => error(format!(
                    "ipv4_mapped: a zone of kind \"{kind}\" has no addresses; remove the key"
                )),
            }
        }
    }

    fn lint_advice(&self, out: &mut Vec<Lint>) {
        if self.origin.trim_end_matches('.').split('.').count() < 3 {
            out.push(Lint::Warning(format!(
                "origin: `{}` is not a sub-domain of a domain of yours; a list should have its own name servers (RFC 6471 section 3.1)",
                self.origin
            )));
        }
        if self.ns.len() == 1 {
            out.push(Lint::Warning(
                "ns: the zone has only one name server; use at least two (RFC 2182)".into(),
            ));
        }
        if self.kind == ZoneKind::Catalog && !(self.publish.is_empty() && self.records.is_empty()) {
            out.push(Lint::Error(
                "a catalog zone has only the names of other zones; remove publish and [[record]]"
                    .into(),
            ));
            return;
        }
        if self.publish.is_empty() && self.kind != ZoneKind::Catalog && !self.is_volatile() {
            out.push(Lint::Warning(
                "publish: it is empty, so that the zone lists nothing".into(),
            ));
        }
        if self.negative_ttl.0 > 3600 {
            out.push(Lint::Warning(format!(
                "negative_ttl: {}: resolvers may not see a new listing for that long",
                self.negative_ttl
            )));
        }
    }
}

/// Whether a code can be one of a zone of bit masks: 127.0.0.2, 127.0.0.4 … 127.0.0.128.
/// 127.0.0.1 is the test point that is never listed.
fn is_bit(code: Ipv4Addr) -> bool {
    matches!(code.octets(), [127, 0, 0, bit] if bit > 1 && bit.is_power_of_two())
}

/// Checks all zones together: finds reasons whose subjects would be digests in one zone and names,
/// or other digests, in another. Each error has the index of the zone whose file has to change.
pub fn lint_reasons(zones: &[Zone]) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for (i, zone) in zones.iter().enumerate() {
        if zone.kind != ZoneKind::Hash {
            continue;
        }
        let named = (1..)
            .zip(&zone.publish)
            .flat_map(|(n, p)| p.reasons().map(move |r| (n, r)));
        for (n, name) in named {
            let publishes = |z: &&Zone| z.publish.iter().any(|q| q.has_reason(name));
            let mut domains = zones.iter().filter(|z| z.kind == ZoneKind::Domain);
            if let Some(other) = domains.find(publishes) {
                let text = format!(
                    "publish {n}: reason `{name}` is published by the domain zone {} too, and would mix digests with names; use another reason",
                    other.origin
                );
                out.push((i, text));
            }
            let earlier = zones[..i].iter().filter(|z| z.kind == ZoneKind::Hash);
            let mut others = earlier.filter(|z| z.digest != zone.digest);
            if let Some((other, digest)) = others.find(publishes).and_then(|z| Some((z, z.digest?)))
            {
                let text = format!(
                    "publish {n}: reason `{name}` has {digest} digests in the zone {}; use one reason for each form of digest",
                    other.origin
                );
                out.push((i, text));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(edit: impl FnOnce(&mut Zone)) -> Vec<Lint> {
        let mut z = Zone {
            short_name: String::new(),
            origin: "bl.orbs.example".into(),
            kind: ZoneKind::Address,
            digest: None,
            ns: vec!["ns1.orbs.example".into(), "ns2.orbs.example".into()],
            contact: "hostmaster@orbs.example".into(),
            ttl: Seconds(300),
            negative_ttl: Seconds(60),
            nodata_ttl: Seconds(60),
            serial: 1,
            refresh: Seconds(600),
            retry: Seconds(300),
            expire: Seconds(600_000),
            txt: TxtPolicy::First,
            addresses: ZoneAddresses::None,
            ipv4_mapped: false,
            bitmask: false,
            publish: vec![Publish {
                reason: "relay".into(),
                code: Ipv4Addr::new(127, 0, 0, 2),
                ..Publish::default()
            }],
            records: vec![],
            query: QueryRules::default(),
            transfer: TransferRules::default(),
            retire: None,
            durability: Durability::Durable,
            logins: None,
            about: ZoneAbout::default(),
        };
        edit(&mut z);
        z.lint(&["relay".into(), "input".into()])
    }

    fn contains(lints: &[Lint], error: bool, part: &str) -> bool {
        lints.iter().any(|l| match l {
            Lint::Error(t) => error && t.contains(part),
            Lint::Warning(t) => !error && t.contains(part),
        })
    }

    #[test]
    fn valid_zone_has_no_lints() {
        assert_eq!(zone(|_| ()), []);
    }

    #[test]
    fn codes_and_origin_are_linted() {
        let publish = |reason: &str, code: [u8; 4]| Publish {
            reason: reason.into(),
            code: code.into(),
            ..Publish::default()
        };
        assert!(contains(
            &zone(|z| z.publish[0].code = [10, 0, 0, 2].into()),
            true,
            "127.0.0.0/8"
        ));
        assert!(contains(
            &zone(|z| z.publish[0].code = Ipv4Addr::LOCALHOST),
            true,
            "127.0.0.1"
        ));
        assert!(contains(
            &zone(|z| z.publish[0].reason = "relai".into()),
            true,
            "relai"
        ));
        assert!(contains(
            &zone(|z| z.publish.push(publish("input", [127, 0, 0, 2]))),
            false,
            "share the code"
        ));
        assert!(contains(
            &zone(|z| z.publish.push(publish("relay", [127, 0, 0, 3]))),
            true,
            "twice"
        ));
        assert!(contains(
            &zone(|z| z.origin = "orbs.example".into()),
            false,
            "sub-domain"
        ));
        assert!(contains(
            &zone(|z| z.origin = "a..b".into()),
            true,
            "origin"
        ));
        assert!(contains(
            &zone(|z| z.contact = "hostmaster".into()),
            true,
            "contact"
        ));
    }

    #[test]
    fn error_code_as_a_listing_is_a_warning() {
        let code = Ipv4Addr::new(127, 255, 255, 2);
        assert!(contains(
            &zone(|z| z.publish[0].code = code),
            false,
            "127.255.255.0/24"
        ));
    }

    #[test]
    fn codes_of_a_bit_mask_are_single_bits_in_127_0_0_0_24() {
        let masks = |code: [u8; 4]| zone(|z| (z.publish[0].code, z.bitmask) = (code.into(), true));
        for bit in [2, 4, 8, 16, 32, 64, 128] {
            assert_eq!(masks([127, 0, 0, bit]), [], "{bit}");
        }
        for code in [
            [127, 0, 0, 1],
            [127, 0, 0, 3],
            [127, 0, 0, 0],
            [127, 0, 1, 2],
            [127, 255, 255, 2],
        ] {
            assert!(contains(&masks(code), true, "is not one bit"), "{code:?}");
        }
        // Two reasons may share a bit.
        let shared = zone(|z| {
            z.bitmask = true;
            z.publish.push(Publish {
                reason: "input".into(),
                ..z.publish[0].clone()
            });
        });
        assert!(matches!(&shared[..], [Lint::Warning(w)] if w.contains("share the code")));
    }

    #[test]
    fn ttl_of_a_reason_has_the_bounds_of_a_ttl() {
        let with = |ttl| zone(|z| z.publish[0].ttl = Some(Seconds(ttl)));
        assert_eq!(with(86_400), []);
        assert!(contains(&with(1 << 31), true, "publish 1: ttl"));
    }

    #[test]
    fn transfer_rules_that_are_not_prefixes_keys_or_certificates_are_errors() {
        let with = |rules: &str| {
            let rules: TransferRules = toml::from_str(rules).map_err(|e| e.to_string())?;
            Ok::<_, String>(zone(|z| z.transfer = rules))
        };
        let fine = "allow = ['127.0.0.0/8', '192.0.2.1', '2001:db8::/32', 'key:mirror', 'cert:Mirror.example']\n\
                    notify = ['192.0.2.53:53', {address = '[2001:db8::1]:53', key = 'mirror', source = '2001:db8::2'}]";
        assert_eq!(with(fine).unwrap(), []);
        for (rules, part) in [
            ("allow = ['mirror']", "neither a prefix"),
            ("allow = ['key:']", "neither a prefix"),
            ("allow = ['cert:']", "cert:mirror.example"),
            ("allow = ['cert:a..b']", "cert:mirror.example"),
            ("allow = ['192.0.2.0/33']", "neither a prefix"),
            ("notify = ['192.0.2.53']", "with a port"),
            ("notify = [{address = 'ns1.example:53'}]", "with a port"),
            (
                "notify = [{address = '192.0.2.53:53', source = 'eth0'}]",
                "source",
            ),
        ] {
            assert!(contains(&with(rules).unwrap(), true, part), "{rules}");
        }
        assert!(
            with("notify = [{address = '192.0.2.53:53', kee = 'mirror'}]")
                .unwrap_err()
                .contains("kee")
        );
        assert!(with("notify = [53]").unwrap_err().contains("address"));
    }

    #[test]
    fn certificate_permits_transfer_only_by_an_exact_name() {
        let rules: TransferRules =
            toml::from_str("allow = ['key:b.example', 'cert:Mirror.example.']").unwrap();
        let allows = |names: &[&str]| {
            rules.allows_names(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>())
        };
        assert!(allows(&["a.example", "mirror.example"]));
        for other in [
            &[][..],
            &["b.example"],
            &["x.mirror.example"],
            &["*.example"],
            &["mirror.example.org"],
        ] {
            assert!(!allows(other), "{other:?}");
        }
    }

    #[test]
    fn only_hash_zones_have_a_digest_and_they_need_one() {
        assert!(contains(
            &zone(|z| z.kind = ZoneKind::Hash),
            true,
            "digest: a zone of kind \"hash\" needs"
        ));
        assert_eq!(
            zone(|z| (z.kind, z.digest) = (ZoneKind::Hash, Some(Digest::Sha1Hex))),
            []
        );
        for kind in [ZoneKind::Address, ZoneKind::Domain] {
            assert!(contains(
                &zone(|z| (z.kind, z.digest) = (kind, Some(Digest::Sha1Hex))),
                true,
                "remove the key"
            ));
        }
        let mapped = zone(|z| {
            (z.kind, z.digest, z.ipv4_mapped) = (ZoneKind::Hash, Some(Digest::Sha1Hex), true);
        });
        assert!(contains(&mapped, true, "ipv4_mapped"));
    }

    #[test]
    fn addresses_are_a_key_of_domain_zones() {
        for addresses in [ZoneAddresses::Ip4, ZoneAddresses::Both] {
            let with = |kind| zone(|z| (z.kind, z.addresses) = (kind, addresses));
            assert_eq!(with(ZoneKind::Domain), []);
            for (kind, part) in [
                (ZoneKind::Address, "always publishes"),
                (ZoneKind::Hash, "kind \"hash\" cannot publish addresses"),
                (
                    ZoneKind::Catalog,
                    "kind \"catalog\" cannot publish addresses",
                ),
            ] {
                assert!(contains(&with(kind), true, part), "{part}");
            }
        }
        let mapped = |addresses| {
            zone(|z| (z.kind, z.addresses, z.ipv4_mapped) = (ZoneKind::Domain, addresses, true))
        };
        assert_eq!(mapped(ZoneAddresses::Both), []);
        assert!(contains(
            &mapped(ZoneAddresses::Ip4),
            true,
            "addresses = \"both\""
        ));
    }

    #[test]
    fn refused_code_is_an_error_in_a_bit_mask() {
        let code = Some(Ipv4Addr::new(127, 255, 255, 254));
        assert!(contains(
            &zone(|z| (z.bitmask, z.query.refused_code) = (true, code)),
            true,
            "bit-mask"
        ));
        assert!(contains(
            &zone(|z| z.query.refused_code = code),
            false,
            "take 127.255.255.254"
        ));
    }
}
