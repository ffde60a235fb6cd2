//! Zones prepared for answers: names in wire form, codes in order, static names with their records.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use rustc_hash::FxHashMap;

use super::{
    derive::{FactChange, Listed, PublishRules},
    fnv::fnv,
    listing::labels_in,
    logins::LoginView,
    records::{compress, record_data, relative, starts_label, wire_mail},
    rrsets::CodeRrset,
};
pub use super::{
    records::{MAX_NAME, Rr, StaticRecords, Text, rtype, txt_data, wire_name},
    rrsets::PublishedReason,
};
use crate::model::{
    LoginRules, Mask, Reasons, Sources, StoreId, SubjectFamily, Time, Zone, ZoneKind,
    domain::name_to_ascii, zone::TxtPolicy,
};

/// Increase it when this program renders the same data differently; it is part of every zone's
/// hash, so that the serial moves too.
pub const RENDER_VERSION: u32 = 3;

/// The version of a catalog's schema as TXT data: 2 (RFC 9432 section 4.2.1).
const CATALOG_VERSION: &[u8] = b"\x012";

/// A zone prepared for answers.
#[derive(Debug, Clone)]
pub struct ZoneView {
    /// The file it came from.
    pub spec: Zone,
    /// The origin as text, lower case, without a final dot.
    pub name: Box<str>,
    /// The origin in wire form, lower case, with the root label.
    pub origin: Box<[u8]>,
    /// The published reasons, derived ones included.
    pub mask: Mask,
    /// The reasons whose listings can be published.
    pub listing_mask: Mask,
    /// In the order of the answer.
    pub publish: Vec<PublishedReason>,
    /// Names with records of their own, by their labels relative to the origin in wire form without
    /// a root label; and the names above them.
    pub fixed: FxHashMap<Box<[u8]>, StaticRecords>,
    /// The labels next to the origin under which static names are.
    static_top_labels: Vec<Box<[u8]>>,
    /// The names that NS records of the zone file delegate.
    pub(super) cuts: Vec<Box<[u8]>>,
    /// MNAME and RNAME in wire form.
    pub soa_names: Box<[u8]>,
    /// The same in pieces: literal bytes, then an offset in the origin where the rest is found (RFC
    /// 1035 section 4.1.4).
    pub soa_parts: Vec<(std::ops::Range<usize>, Option<u16>)>,
    /// TTLs: of listings, of NXDOMAIN, of an existing branch; in seconds.
    pub ttls: [u32; 3],
    /// Whether it has IPv4 addresses.
    pub has_ip4: bool,
    /// Whether it has IPv6 addresses.
    pub has_ip6: bool,
    /// The TTL of listings, if all published reasons have the same.
    pub uniform_ttl: Option<u32>,
    /// A number that changes with everything that is rendered from configuration.
    pub hash: u64,
    /// The log-ins of a volatile zone.
    pub logins: Option<LoginView>,
    /// The store whose rows these are ([`super::rows`]).
    pub store: StoreId,
    /// The index of its counters: it stays the same while other zones come and go.
    pub slot: usize,
    allow: Vec<ipnet::IpNet>,
    open: bool,
    transfer: TransferRights,
}

/// A name that is listed for tests (RFC 5782 section 5).
struct TestPoint {
    /// The name, relative to the origin.
    name: String,
    /// The code whose reasons list it; `None`: all reasons.
    code: Option<[u8; 4]>,
    /// The subject for `$`.
    subject: String,
}

/// The name of the test point 127.0.0.2.
const TEST_POINT_OF_IP4: &str = "2.0.0.127";

/// The name of the same test point as an IPv6 address, `::ffff:127.0.0.2`.
fn test_point_of_ip6() -> String {
    let address = Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped();
    let nibbles = super::ip6::nibbles(address.to_bits());
    let labels: Vec<String> = nibbles.iter().rev().map(|n| format!("{n:x}")).collect();
    labels.join(".")
}

/// Who may transfer a zone: [`crate::model::zone::TransferRules`], prepared.
#[derive(Debug, Clone, Default)]
struct TransferRights {
    nets: Vec<ipnet::IpNet>,
    keys: Vec<String>,
}

impl TransferRights {
    fn new(rules: &crate::model::zone::TransferRules) -> Result<TransferRights, String> {
        let mut out = TransferRights::default();
        for rule in &rules.allow {
            if let Some(key) = rule.strip_prefix("key:") {
                out.keys
                    .push(key.trim_end_matches('.').to_ascii_lowercase());
            } else if !rule.starts_with("cert:") {
                out.nets
                    .push(allowed(rule).map_err(|e| e.replace("query.allow", "transfer.allow"))?);
            }
        }
        Ok(out)
    }
}

impl ZoneView {
    /// Prepares a zone that is alone in its store, or has no rules. `texts` are the texts of the
    /// reasons. The error names what is wrong.
    pub fn new(
        zone: &Zone,
        reasons: &Reasons,
        texts: &HashMap<String, String>,
    ) -> Result<ZoneView, String> {
        let rules = PublishRules::of([zone], reasons, &Sources::default())?;
        ZoneView::with_rules(zone, reasons, texts, &rules)
    }

    /// Prepares a zone whose rules are among `rules`.
    ///
    /// # Errors
    ///
    /// What is wrong, after the key that has to change.
    pub fn with_rules(
        zone: &Zone,
        reasons: &Reasons,
        texts: &HashMap<String, String>,
        rules: &PublishRules,
    ) -> Result<ZoneView, String> {
        let zone = &zone.with_bounded_ttls();
        let name = name_to_ascii(zone.origin.trim_end_matches('.'))?;
        let mut publish = Vec::new();
        for p in &zone.publish {
            let derived = p.rule().map(|rule| {
                let derived = rules.get(&rule).cloned();
                derived.ok_or_else(|| format!("the rule `{rule}` has no number"))
            });
            let derived = derived.transpose()?;
            let first = p.reasons().next().map_or("", |name| name);
            let reason = match &derived {
                Some(derived) => derived.reason,
                None => reasons
                    .get(first)
                    .ok_or_else(|| format!("reason `{first}` is not in config.toml"))?,
            };
            let text = p.text.as_ref().or_else(|| texts.get(first));
            let text = text.cloned().unwrap_or_default();
            publish.push(PublishedReason {
                reason,
                name: p.label().into(),
                derived,
                code: p.code.octets(),
                text: text.into(),
                ttl: p.ttl.unwrap_or(zone.ttl).0 as u32,
            });
        }
        let mut soa_names = wire_name(zone.ns.first().ok_or("ns: none is named")?)?;
        soa_names.extend(wire_mail(&zone.contact)?);
        let origin = wire_name(&name)?;
        let soa_parts = compress(&soa_names, &origin);
        let hashed = (
            RENDER_VERSION,
            &publish
                .iter()
                .map(|p| (p.stable_number(), p.code, &p.text))
                .collect::<Vec<_>>(),
            without_rules(zone),
        );
        let mut hash = fnv(&postcard::to_stdvec(&hashed).map_err(|e| e.to_string())?);
        let rules: Vec<_> = zone.publish.iter().filter_map(|p| p.rule()).collect();
        if !rules.is_empty() {
            // Without the names of its keys, a rule could have the bytes of another one.
            hash = fnv(&[&hash.to_le_bytes()[..], format!("{rules:?}").as_bytes()].concat());
        }
        let derived = publish.iter().filter_map(|p| p.derived.as_ref());
        let unseen: Vec<_> = derived.map(|d| d.unseen()).collect();
        if unseen.iter().any(|feeds| !feeds.is_empty()) {
            hash = fnv(&[&hash.to_le_bytes()[..], format!("{unseen:?}").as_bytes()].concat());
        }
        if zone.bitmask {
            // Earlier versions answered one record for each code, with the hash of the zone alone.
            hash = fnv(&[&hash.to_le_bytes()[..], b"bitmask"].concat());
        }
        let uniform_ttl = match &publish[..] {
            [] => Some(zone.ttl.0 as u32),
            [first, rest @ ..] => rest.iter().all(|p| p.ttl == first.ttl).then_some(first.ttl),
        };
        let mut view = ZoneView {
            origin: origin.into(),
            soa_parts,
            mask: publish.iter().fold(0, |m, p| m | p.reason.bit()),
            listing_mask: publish.iter().fold(0, |m, p| m | p.listing_mask()),
            publish,
            fixed: FxHashMap::default(),
            static_top_labels: Vec::new(),
            cuts: Vec::new(),
            soa_names: soa_names.into(),
            ttls: [zone.ttl, zone.negative_ttl, zone.nodata_ttl].map(|s| s.0 as u32),
            has_ip4: zone.has_ip4(),
            has_ip6: zone.has_ip6(),
            uniform_ttl,
            hash,
            logins: zone
                .login_rules()
                .map(|rules| LoginView::new(rules, zone.ttl.0 as u32)),
            store: StoreId::default(),
            slot: 0,
            allow: zone
                .query
                .allow
                .iter()
                .map(|p| allowed(p))
                .collect::<Result<_, _>>()?,
            open: false,
            transfer: TransferRights::new(&zone.transfer)?,
            spec: zone.clone(),
            name,
        };
        view.open =
            view.allow.contains(&allowed("0.0.0.0/0")?) && view.allow.contains(&allowed("::/0")?);
        view.fix()?;
        Ok(view)
    }

    /// The zone as part of a store, whose identity is part of the hash because every row has it.
    #[must_use]
    pub fn of_store(mut self, store: StoreId) -> ZoneView {
        self.store = store;
        self.hash = fnv(&[self.hash, store.0].map(u64::to_le_bytes).concat());
        self
    }

    /// The zone at a time: a retired zone lists no subject from the day on which it is emptied. The
    /// test points still show what it published.
    #[must_use]
    pub fn at(mut self, now: Time) -> ZoneView {
        if self.spec.retire.as_ref().is_some_and(|r| r.is_empty(now)) {
            (self.mask, self.listing_mask) = (0, 0);
            self.hash = fnv(&[&self.hash.to_le_bytes()[..], b"empty"].concat());
        }
        self
    }

    /// Whether changes of listings can change the zone.
    pub fn changed_by<'c>(&self, changes: impl IntoIterator<Item = &'c FactChange>) -> bool {
        let is_published = |change: &FactChange| match change.family {
            SubjectFamily::Ipv4 | SubjectFamily::Ipv6 => self.has_ip4,
            SubjectFamily::Name => self.spec.has_names(),
        };
        // A zone that is retired publishes no reason.
        self.listing_mask != 0
            && changes.into_iter().any(|change| {
                is_published(change) && self.publish.iter().any(|p| p.is_changed_by(change))
            })
    }

    /// Whether listings of a subject, without those of what covers it, are published.
    pub fn publishes(
        &self,
        family: SubjectFamily,
        listed: &(impl Iterator<Item = Listed> + Clone),
    ) -> bool {
        self.publish.iter().any(|p| {
            let mut counted = listed.clone().filter(|l| p.counts(family, *l));
            match &p.derived {
                None => counted.next().is_some(),
                Some(derived) => derived.is_listed(counted),
            }
        })
    }

    /// Whether [`ZoneView::at`] would now return something else.
    pub fn falls_empty(&self, now: Time) -> bool {
        self.mask != 0 && self.spec.retire.as_ref().is_some_and(|r| r.is_empty(now))
    }

    /// Fills in the static names: the apex, the configured records, the test points.
    fn fix(&mut self) -> Result<(), String> {
        let wrong =
            |r: &crate::model::zone::Record, e: &str| format!("record {} {}: {e}", r.name, r.kind);
        self.fixed.entry(Box::new([])).or_default();
        for ns in self.spec.ns.clone() {
            self.add(
                &[],
                Rr {
                    rtype: rtype::NS,
                    ttl: self.ttls[0],
                    data: wire_name(&ns)?.into(),
                },
            );
        }
        for r in self.spec.records.clone() {
            let place = match r.name.as_str() {
                "@" => Vec::new(),
                name => relative(name)
                    .and_then(|place| self.check_place(&place).map(|()| place))
                    .map_err(|e| wrong(&r, &e))?,
            };
            let ttl = r.ttl.map_or(self.ttls[0], |t| t.0 as u32);
            let (rtype, data) = record_data(&r).map_err(|e| wrong(&r, &e))?;
            if rtype == rtype::NS {
                self.check_cut(&place).map_err(|e| wrong(&r, &e))?;
            }
            if self
                .fixed
                .get(&place[..])
                .is_some_and(|f| f.rrs.iter().any(|o| o.rtype == rtype && o.ttl != ttl))
            {
                return Err(wrong(
                    &r,
                    "records of one name and type have one TTL (RFC 2181 section 5.2)",
                ));
            }
            self.add(
                &place,
                Rr {
                    rtype,
                    ttl,
                    data: data.into(),
                },
            );
        }
        self.check_below_cuts()?;
        let announced = self
            .spec
            .retire
            .as_ref()
            .map(|r| txt_data(&r.announcement(&self.name), &self.name));
        if let Some(data) = announced.clone() {
            let ttl = self
                .fixed
                .get(&[][..])
                .and_then(|f| f.rrs.iter().find(|o| o.rtype == rtype::TXT))
                .map_or(self.ttls[0], |o| o.ttl);
            self.add(
                &[],
                Rr {
                    rtype: rtype::TXT,
                    ttl,
                    data,
                },
            );
        }
        for point in self.test_points() {
            self.add_test_point(&point, announced.as_deref())?;
        }
        if let Some(records) = self.logins.as_ref().map(|l| l.records.rrs.clone()) {
            for name in [test_point_of_ip6(), TEST_POINT_OF_IP4.into()] {
                let place = relative(&name)?;
                records.iter().for_each(|rr| self.add(&place, rr.clone()));
            }
        }
        self.link();
        Ok(())
    }

    /// Adds the records of a test point: those of a listing with its reasons. `announced` is the
    /// text of a retired zone, which takes the place of the others.
    fn add_test_point(
        &mut self,
        point: &TestPoint,
        announced: Option<&[u8]>,
    ) -> Result<(), String> {
        let place = relative(&point.name)?;
        let contributes = |p: &&PublishedReason| point.code.is_none_or(|code| p.code == code);
        let reasons = || self.publish.iter().filter(contributes);
        let rrset = CodeRrset::new(self.spec.bitmask, reasons());
        let mut records: Vec<Rr> = Vec::new();
        records.extend(rrset.codes().iter().map(|code| Rr {
            rtype: rtype::A,
            ttl: rrset.ttl,
            data: (*code).into(),
        }));
        let shown = || {
            reasons()
                .filter(|p| !p.text.is_empty())
                .take(self.max_texts())
        };
        let ttl = shown().map(|p| p.ttl).min().unwrap_or(self.ttls[0]);
        let texts = shown().map(|p| txt_data(&p.text, &point.subject));
        let texts: Vec<Box<[u8]>> = match announced {
            Some(text) => vec![text.into()],
            None => texts.collect(),
        };
        records.extend(texts.into_iter().map(|data| Rr {
            rtype: rtype::TXT,
            ttl,
            data,
        }));
        records.into_iter().for_each(|rr| self.add(&place, rr));
        Ok(())
    }

    /// Adds the names above static names, and the labels next to the origin; sorts records.
    fn link(&mut self) {
        let places: Vec<Box<[u8]>> = self.fixed.keys().cloned().collect();
        for place in places {
            let mut rest = &place[..];
            while let Some((len, _)) = rest.split_first() {
                let next = &rest[usize::from(*len) + 1..];
                if next.is_empty() && !self.static_top_labels.iter().any(|t| **t == *rest) {
                    self.static_top_labels.push(rest.into());
                }
                self.fixed.entry(next.into()).or_default();
                rest = next;
            }
        }
        self.fixed
            .values_mut()
            .for_each(|f| f.rrs.sort_by_key(|r| r.rtype));
    }

    /// Whether a static name is allowed at a name: never where a listing can be, so that the two
    /// cannot collide.
    pub(super) fn check_place(&self, place: &[u8]) -> Result<(), String> {
        if place.len() + self.origin.len() > MAX_NAME {
            return Err(format!(
                "the name is longer than {MAX_NAME} bytes under the origin"
            ));
        }
        if labels_in(place).any(|l| l == b"*") {
            return Err("`*` cannot be a label of it: what is listed makes the wildcards".into());
        }
        match (self.spec.kind, labels_in(place).last()) {
            (ZoneKind::Address | ZoneKind::Domain, Some(top))
                if self.has_ip4 && (top.len() < 2 || top.iter().all(u8::is_ascii_digit)) =>
            {
                Err(format!(
                    "the label `{}` next to the origin could be part of an address; take two or more characters, not all digits (RFC 5782 section 2.3)",
                    top.escape_ascii()
                ))
            }
            (ZoneKind::Domain | ZoneKind::Hash, Some(top))
                if [&b"test"[..], b"invalid"].contains(&top) =>
            {
                Err(format!(
                    "`{}` is a test point of a {} zone (RFC 5782 section 5)",
                    top.escape_ascii(),
                    self.spec.kind.name()
                ))
            }
            (ZoneKind::Hash, Some(top)) if self.spec.digest.is_some_and(|d| d.matches(top)) => {
                Err(format!(
                    "the label `{}` next to the origin could be a digest; take another",
                    top.escape_ascii()
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether another zone's origin is below this one's.
    pub(super) fn holds(&self, child: &ZoneView) -> bool {
        let at = child.origin.len().saturating_sub(self.origin.len());
        at > 0 && child.origin[at..] == *self.origin && starts_label(&child.origin, at)
    }

    /// Leaves the names below a child's origin to it: its name servers appear here as a delegation,
    /// so that mirrors know them.
    pub(super) fn delegate(&mut self, child: &ZoneView) -> Result<(), String> {
        let place = child.origin[..child.origin.len() - self.origin.len()].to_vec();
        self.check_place(&place)
            .map_err(|e| format!("zone {} below zone {}: {e}", child.name, self.name))?;
        let mut hashed = [&self.hash.to_le_bytes()[..], &place].concat();
        for ns in &child.spec.ns {
            let data = wire_name(ns)?;
            hashed.extend(&data);
            self.add(
                &place,
                Rr {
                    rtype: rtype::NS,
                    ttl: self.ttls[0],
                    data: data.into(),
                },
            );
        }
        self.hash = fnv(&hashed);
        self.link();
        Ok(())
    }

    /// Adds the addresses of a name server that is below, in another zone.
    pub(super) fn add_addresses(&mut self, place: &[u8], addresses: Vec<Rr>) {
        let mut hashed = [&self.hash.to_le_bytes()[..], place].concat();
        for rr in addresses {
            hashed.extend(&rr.data);
            // One RRset has one TTL (RFC 2181 section 5.2).
            let there = self
                .fixed
                .get(place)
                .and_then(|f| f.rrs.iter().find(|o| o.rtype == rr.rtype))
                .map(|o| o.ttl);
            self.add(
                place,
                Rr {
                    ttl: there.unwrap_or(rr.ttl),
                    ..rr
                },
            );
        }
        self.hash = fnv(&hashed);
        self.link();
    }

    /// Fills in a catalog (RFC 9432): its version, and for each member a label of its own, which
    /// the member keeps.
    pub(super) fn catalogue(&mut self, members: &[Box<str>]) -> Result<(), String> {
        let ttl = self.ttls[0];
        self.add(
            &relative("version")?,
            Rr {
                rtype: rtype::TXT,
                ttl,
                data: CATALOG_VERSION.into(),
            },
        );
        let mut hashed = self.hash.to_le_bytes().to_vec();
        for member in members {
            let data = wire_name(member)?;
            let place = relative(&format!("{:016x}.zones", fnv(&data)))?;
            hashed.extend(&data);
            self.add(
                &place,
                Rr {
                    rtype: rtype::PTR,
                    ttl,
                    data: data.into(),
                },
            );
        }
        self.hash = fnv(&hashed);
        self.link();
        Ok(())
    }

    fn add(&mut self, place: &[u8], rr: Rr) {
        let rrs = &mut self.fixed.entry(place.into()).or_default().rrs;
        if !rrs.contains(&rr) {
            rrs.push(rr);
        }
    }

    /// The test points of RFC 5782 section 5.
    fn test_points(&self) -> Vec<TestPoint> {
        let all = |name: &str, subject: &str| TestPoint {
            name: name.into(),
            code: None,
            subject: subject.into(),
        };
        if self.publish.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::new();
        if self.spec.has_names() {
            out.push(all("test", "test"));
        }
        if !self.has_ip4 {
            return out;
        }
        if self.has_ip6 {
            out.push(all(&test_point_of_ip6(), "127.0.0.2"));
        }
        let codes: BTreeSet<[u8; 4]> = self.publish.iter().map(|p| p.code).collect();
        let own = codes
            .into_iter()
            .filter(|c| self.spec.kind == ZoneKind::Address && c[..3] == [127, 0, 0] && c[3] > 2);
        out.extend(own.map(|code| TestPoint {
            name: format!("{}.0.0.127", code[3]),
            code: Some(code),
            subject: Ipv4Addr::from(code).to_string(),
        }));
        out.push(all(TEST_POINT_OF_IP4, "127.0.0.2"));
        out
    }

    /// Whether a key of the names ([`super::names`]) can be a name of this zone: those below a label
    /// of an address are left to the addresses.
    #[inline]
    pub(super) fn has_name_key(&self, key: &[u8]) -> bool {
        !self.has_ip4 || {
            let top = key.split(|b| *b == 0).next().unwrap_or_default();
            !self.spec.addresses.is_label(top)
        }
    }

    /// The most TXT records of a name.
    pub(super) fn max_texts(&self) -> usize {
        match self.spec.txt {
            TxtPolicy::First => 1,
            TxtPolicy::All => usize::MAX,
        }
    }

    /// Whether a static name can be under the label (with its length byte) next to the origin.
    #[inline]
    pub fn may_have_static(&self, top: &[u8]) -> bool {
        self.static_top_labels.iter().any(|t| **t == *top)
    }

    /// The TTL of the SOA at the apex: a mirror caches NXDOMAIN for the smaller of this and
    /// MINIMUM.
    pub fn soa_ttl(&self) -> u32 {
        self.ttls[0].min(self.ttls[1])
    }

    /// Whether every client may query.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a client may query.
    #[inline]
    pub fn allows(&self, client: IpAddr) -> bool {
        self.open || self.allow.iter().any(|net| net.contains(&client))
    }
}

impl ZoneView {
    /// Whether a client may transfer the zone: by its address, the key (without a final dot) that
    /// signed the request, or a name in its certificate.
    pub fn may_transfer(&self, client: IpAddr, key: Option<&str>, names: &[String]) -> bool {
        let rights = &self.transfer;
        rights.nets.iter().any(|net| net.contains(&client)) || self.allows_transfer_to(key, names)
    }

    /// Whether a client may transfer the zone from any address: by the key that signed the request,
    /// or a name in its certificate.
    pub fn allows_transfer_to(&self, key: Option<&str>, names: &[String]) -> bool {
        let keys = &self.transfer.keys;
        key.is_some_and(|key| {
            keys.iter()
                .any(|k| k.eq_ignore_ascii_case(key.trim_end_matches('.')))
        }) || self.spec.transfer.allows_names(names)
    }
}

/// A client prefix, or a single address.
fn allowed(text: &str) -> Result<ipnet::IpNet, String> {
    match text.parse::<IpAddr>() {
        Ok(a) => Ok(a.into()),
        Err(_) => text
            .parse::<ipnet::IpNet>()
            .map(|n| n.trunc())
            .map_err(|_| format!("query.allow: `{text}` is not a prefix")),
    }
}

/// Clears what does not show in a zone's records.
fn without_rules(zone: &Zone) -> Zone {
    Zone {
        query: Default::default(),
        transfer: Default::default(),
        logins: zone.login_rules().map(|rules| LoginRules {
            allow: Vec::new(),
            lifetime: Default::default(),
            ..rules
        }),
        serial: 0,
        ..zone.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(kind: &str, tail: &str) -> Result<ZoneView, String> {
        let text = format!(
            "origin = 'bl.orbs.example'\nkind = '{kind}'\nns = ['ns1.b\u{fc}cher.example']\ncontact = 'h@b\u{fc}cher.example'\n\
             publish = [{{reason = 'r', code = '127.0.0.2'}}]\n{tail}"
        );
        let mut reasons = Reasons::default();
        reasons.add("r")?;
        ZoneView::new(
            &toml::from_str(&text).map_err(|e| e.to_string())?,
            &reasons,
            &HashMap::new(),
        )
    }

    fn record(name: &str) -> String {
        format!("[[record]]\nname = '{name}'\ntype = 'A'\ndata = '192.0.2.1'\n")
    }

    #[test]
    fn rfc5782_a10_fixed_names_never_meet_what_is_listed() {
        for (kind, name, fits) in [
            ("address", "www", true),
            ("address", "x.ns1", true),
            ("address", "1a", true),
            ("address", "*", false),
            ("address", "*.www", false),
            ("address", "www.*.ns", false),
            ("address", "7", false),
            ("address", "www.7", false),
            ("address", "f", false),
            ("address", "z", false),
            ("address", "255", false),
            ("address", "1000", false),
            ("domain", "7", true),
            ("domain", "*.a", false),
            ("domain", "test", false),
            ("domain", "www.Test", false),
            ("domain", "invalid", false),
            ("domain", "test.www", true),
        ] {
            assert_eq!(zone(kind, &record(name)).is_ok(), fits, "{kind} {name}");
        }
        let long = vec!["a".repeat(60); 4].join(".");
        assert!(zone("address", &record(&long)).unwrap_err().contains("255"));
    }

    /// A zone of bit masks with r as 127.0.0.4 and 1 minute, s as 127.0.0.128.
    fn masks(kind: &str, tail: &str) -> ZoneView {
        let text = format!(
            "origin = 'bl.orbs.example'\nkind = '{kind}'\nbitmask = true\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\n\
             publish = [{{reason = 'r', code = '127.0.0.4', ttl = '1m', text = 'r $'}}, {{reason = 's', code = '127.0.0.128', text = 's $'}}]\n{tail}"
        );
        let mut reasons = Reasons::default();
        for r in ["r", "s"] {
            reasons.add(r).unwrap();
        }
        ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &HashMap::new()).unwrap()
    }

    #[test]
    fn test_points_of_a_bit_mask_are_all_bits_and_each_bit() {
        let records = |zone: &ZoneView, name: &str| {
            let fixed = zone.fixed.get(&relative(name).unwrap()[..]);
            let rrs = fixed.map(|f| f.rrs.iter().map(|r| (r.rtype, r.ttl, r.data.to_vec())));
            rrs.map(Iterator::collect::<Vec<_>>)
        };
        let a = |ttl, bits| (rtype::A, ttl, vec![127, 0, 0, bits]);
        let txt = |ttl, text: &str| (rtype::TXT, ttl, txt_data(text, "").to_vec());
        let first = masks("address", "");
        let mapped = format!("2.0.0.0.0.0.f.7.f.f.f.f.{}", ["0"; 20].join("."));
        for name in ["2.0.0.127", &mapped] {
            let want = vec![a(60, 132), txt(60, "r 127.0.0.2")];
            assert_eq!(records(&first, name), Some(want), "{name}");
        }
        assert_eq!(
            records(&first, "4.0.0.127"),
            Some(vec![a(60, 4), txt(60, "r 127.0.0.4")])
        );
        assert_eq!(
            records(&first, "128.0.0.127"),
            Some(vec![a(300, 128), txt(300, "s 127.0.0.128")])
        );
        for absent in ["1.0.0.127", "8.0.0.127", "132.0.0.127"] {
            assert_eq!(records(&first, absent), None, "{absent}");
        }
        let all = masks("domain", "txt = 'all'");
        let want = vec![a(60, 132), txt(60, "r test"), txt(60, "s test")];
        assert_eq!(records(&all, "test"), Some(want));
    }

    /// The stored hash decides whether a zone gets a new serial and a barrier for IXFR.
    #[test]
    fn zone_of_bit_masks_has_another_hash_than_in_earlier_versions() {
        let earlier = |zone: &ZoneView| {
            let publish = zone
                .publish
                .iter()
                .map(|p| (p.stable_number(), p.code, &p.text));
            let hashed = (
                RENDER_VERSION,
                publish.collect::<Vec<_>>(),
                without_rules(&zone.spec),
            );
            fnv(&postcard::to_stdvec(&hashed).unwrap())
        };
        let masks = masks("address", "");
        assert_ne!(masks.hash, earlier(&masks));
        let codes = zone("address", "").unwrap();
        assert_eq!(
            codes.hash,
            earlier(&codes),
            "other zones keep their serials"
        );
    }

    #[test]
    fn ttl_of_a_reason_changes_the_hash() {
        let with = |ttl: &str| {
            let text = toml::to_string(&zone("address", "").unwrap().spec).unwrap();
            let text = text.replace(
                "code = \"127.0.0.2\"",
                &format!("code = \"127.0.0.2\"{ttl}"),
            );
            let mut reasons = Reasons::default();
            reasons.add("r").unwrap();
            ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &HashMap::new()).unwrap()
        };
        assert_eq!(with("").hash, zone("address", "").unwrap().hash);
        assert_ne!(with("\nttl = \"1h\"").hash, with("").hash);
        assert_eq!(with("\nttl = \"1h\"").uniform_ttl, Some(3600));
    }

    #[test]
    fn one_set_of_records_has_one_ttl() {
        let two = |a: &str, b: &str| {
            zone(
                "address",
                &format!(
                    "{}{a}{}{b}",
                    record("www"),
                    record("www").replace("2.1", "2.2")
                ),
            )
        };
        assert!(two("", "ttl = '1h'\n").unwrap_err().contains("one TTL"));
        assert!(two("ttl = '1h'\n", "ttl = '60m'\n").is_ok());
        assert!(
            zone(
                "address",
                &format!("{}ttl = '{}d'\n", record("www"), 30_000)
            )
            .unwrap_err()
            .contains("TTL")
        );
    }

    #[test]
    fn names_are_read_in_either_form_and_a_test_point_without_a_text_has_no_txt() {
        let z = zone("address", "").unwrap();
        assert_eq!(
            &*z.soa_names,
            b"\x03ns1\x0dxn--bcher-kva\x07example\0\x01h\x0dxn--bcher-kva\x07example\0"
        );
        let types: Vec<u16> = z.fixed[&b"\x012\x010\x010\x03127"[..]]
            .rrs
            .iter()
            .map(|r| r.rtype)
            .collect();
        assert_eq!(types, [rtype::A]);
    }
}
