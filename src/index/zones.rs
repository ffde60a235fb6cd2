//! Zones made ready to answer: names in wire form, codes in order, the fixed names with their records.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rustc_hash::FxHashMap;

use crate::model::{
    Mask, ReasonId, Reasons, Zone, ZoneKind,
    domain::name_to_ascii,
    zone::{Record, TxtPolicy},
};

/// Moves when this program renders the same data differently; part of every zone's hash, so that the serial moves too.
pub const RENDER_VERSION: u32 = 1;

/// Record types this server knows by number.
pub mod rtype {
    #![allow(missing_docs)]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const SOA: u16 = 6;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
    pub const CAA: u16 = 257;
}

/// A fixed record: type, TTL in seconds, and data in wire form without compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rr {
    /// Its type.
    pub rtype: u16,
    /// Its TTL.
    pub ttl: u32,
    /// Its data.
    pub data: Box<[u8]>,
}

/// The records of a fixed name; none for a name that only has others below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Sorted by type.
    pub rrs: Vec<Rr>,
}

/// A published reason.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its number.
    pub reason: ReasonId,
    /// The A record's data.
    pub code: [u8; 4],
    /// The text where an entry has none of its own, with `$`.
    pub text: Box<str>,
}

/// A zone ready to answer.
#[derive(Debug, Clone)]
pub struct ZoneView {
    /// The file it came from.
    pub spec: Zone,
    /// The origin as text, lower case, without a final dot.
    pub name: Box<str>,
    /// The origin in wire form, lower case, with the root label.
    pub origin: Box<[u8]>,
    /// The published reasons.
    pub mask: Mask,
    /// In the order of the answer.
    pub publish: Vec<Published>,
    /// Names with records of their own, by their labels relative to the origin in wire form without a root label; and the
    /// names above them.
    pub fixed: FxHashMap<Box<[u8]>, Fixed>,
    /// The labels next to the origin under which fixed names stand.
    tops: Vec<Box<[u8]>>,
    /// MNAME and RNAME in wire form.
    pub soa_names: Box<[u8]>,
    /// The same in pieces: bytes as they stand, then a place in the origin where the rest is found (RFC 1035 section 4.1.4).
    pub soa_parts: Vec<(std::ops::Range<usize>, Option<u16>)>,
    /// TTLs: of listings, of NXDOMAIN, of an existing branch; in seconds.
    pub ttls: [u32; 3],
    /// A number that changes with everything that is rendered from configuration.
    pub hash: u64,
    allow: Vec<ipnet::IpNet>,
    open: bool,
}

impl ZoneView {
    /// Prepares a zone. `texts` are the reasons' own texts. The error names what is wrong.
    pub fn new(zone: &Zone, reasons: &Reasons, texts: &HashMap<String, String>) -> Result<ZoneView, String> {
        let name = name_to_ascii(zone.origin.trim_end_matches('.'))?;
        let mut publish = Vec::new();
        for p in &zone.publish {
            let reason = reasons.get(&p.reason).ok_or_else(|| format!("reason `{}` is not in config.toml", p.reason))?;
            let text = p.text.as_ref().or_else(|| texts.get(&p.reason)).cloned().unwrap_or_default();
            publish.push(Published { reason, code: p.code.octets(), text: text.into() });
        }
        let (user, host) = zone.contact.split_once('@').ok_or("contact: not a mail address")?;
        let mut soa_names = wire_name(zone.ns.first().ok_or("ns: none is named")?)?;
        soa_names.push(user.len() as u8);
        soa_names.extend(user.as_bytes());
        soa_names.extend(wire_name(host)?);
        let origin = wire_name(&name)?;
        let soa_parts = compress(&soa_names, &origin);
        let hashed = (RENDER_VERSION, &publish.iter().map(|p| (p.reason.0, p.code, &p.text)).collect::<Vec<_>>(), without_rules(zone));
        let hash = fnv(&postcard::to_stdvec(&hashed).map_err(|e| e.to_string())?);
        let mut view = ZoneView {
            origin: origin.into(),
            soa_parts,
            mask: publish.iter().fold(0, |m, p| m | p.reason.bit()),
            publish,
            fixed: FxHashMap::default(),
            tops: Vec::new(),
            soa_names: soa_names.into(),
            ttls: [zone.ttl, zone.negative_ttl, zone.nodata_ttl].map(|s| s.0 as u32),
            hash,
            allow: zone.query.allow.iter().map(|p| allowed(p)).collect::<Result<_, _>>()?,
            open: false,
            spec: zone.clone(),
            name,
        };
        view.open = view.allow.contains(&allowed("0.0.0.0/0")?) && view.allow.contains(&allowed("::/0")?);
        view.fix()?;
        Ok(view)
    }

    /// Fills in the fixed names: the apex, the configured records, the test points.
    fn fix(&mut self) -> Result<(), String> {
        self.fixed.entry(Box::new([])).or_default();
        for ns in self.spec.ns.clone() {
            self.add(&[], Rr { rtype: rtype::NS, ttl: self.ttls[0], data: wire_name(&ns)?.into() });
        }
        for r in self.spec.records.clone() {
            let place = match r.name.as_str() {
                "@" => Vec::new(),
                name => relative(name)?,
            };
            let ttl = r.ttl.map_or(self.ttls[0], |t| t.0 as u32);
            let (rtype, data) = record_data(&r).map_err(|e| format!("record {} {}: {e}", r.name, r.kind))?;
            self.add(&place, Rr { rtype, ttl, data: data.into() });
        }
        for (name, codes, subject) in self.test_points() {
            let place = relative(&name)?;
            for code in &codes {
                self.add(&place, Rr { rtype: rtype::A, ttl: self.ttls[0], data: (*code).into() });
            }
            let shown = self.publish.iter().filter(|p| codes.contains(&p.code));
            let limit = if self.spec.txt == TxtPolicy::First { 1 } else { usize::MAX };
            let texts: Vec<Box<[u8]>> = shown.take(limit).map(|p| txt_data(&p.text, &subject)).collect();
            for data in texts {
                self.add(&place, Rr { rtype: rtype::TXT, ttl: self.ttls[0], data });
            }
        }
        let places: Vec<Box<[u8]>> = self.fixed.keys().cloned().collect();
        for place in places {
            let mut rest = &place[..];
            while let Some((len, _)) = rest.split_first() {
                let next = &rest[usize::from(*len) + 1..];
                if next.is_empty() && !self.tops.iter().any(|t| **t == *rest) {
                    self.tops.push(rest.into());
                }
                self.fixed.entry(next.into()).or_default();
                rest = next;
            }
        }
        self.fixed.values_mut().for_each(|f| f.rrs.sort_by_key(|r| r.rtype));
        Ok(())
    }

    fn add(&mut self, place: &[u8], rr: Rr) {
        let rrs = &mut self.fixed.entry(place.into()).or_default().rrs;
        if !rrs.contains(&rr) {
            rrs.push(rr);
        }
    }

    /// The test points of RFC 5782 section 5: name, codes, and what stands for `$`.
    fn test_points(&self) -> Vec<(String, Vec<[u8; 4]>, String)> {
        let mut all: Vec<[u8; 4]> = Vec::new();
        for p in &self.publish {
            if !all.contains(&p.code) {
                all.push(p.code);
            }
        }
        if all.is_empty() {
            return Vec::new();
        }
        if self.spec.kind != ZoneKind::Address {
            return vec![("test".into(), all, "test".into())];
        }
        let nibbles = |a: Ipv6Addr| {
            let n: Vec<String> = super::trie::nibbles(a.to_bits()).iter().rev().map(|n| format!("{n:x}")).collect();
            n.join(".")
        };
        let mapped = Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped();
        let mut out = vec![(nibbles(mapped), all.clone(), "127.0.0.2".into())];
        for code in all.iter().filter(|c| c[..3] == [127, 0, 0] && c[3] > 2) {
            out.push((format!("{}.0.0.127", code[3]), vec![*code], Ipv4Addr::from(*code).to_string()));
        }
        out.push(("2.0.0.127".into(), all, "127.0.0.2".into()));
        out
    }

    /// Whether a fixed name can stand under the label (with its length byte) next to the origin.
    #[inline]
    pub fn may_fix(&self, top: &[u8]) -> bool {
        self.tops.iter().any(|t| **t == *top)
    }

    /// Whether a client may query.
    #[inline]
    pub fn allows(&self, client: IpAddr) -> bool {
        self.open || self.allow.iter().any(|net| net.contains(&client))
    }
}

/// A client prefix, or a single address.
fn allowed(text: &str) -> Result<ipnet::IpNet, String> {
    match text.parse::<IpAddr>() {
        Ok(a) => Ok(a.into()),
        Err(_) => text.parse::<ipnet::IpNet>().map(|n| n.trunc()).map_err(|_| format!("query.allow: `{text}` is not a prefix")),
    }
}

/// A zone without what does not show in its records.
fn without_rules(zone: &Zone) -> Zone {
    Zone { query: Default::default(), transfer: Default::default(), serial: 0, ..zone.clone() }
}

/// Splits two names that stand one after the other into what has to be written and what the origin already holds.
fn compress(names: &[u8], origin: &[u8]) -> Vec<(std::ops::Range<usize>, Option<u16>)> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < names.len() {
        let mut end = start;
        while names[end] != 0 {
            end += usize::from(names[end]) + 1;
        }
        let whole = &names[start..=end];
        // The first label from which the rest ends the origin too; the root alone is not worth a pointer.
        let mut at = 0;
        while whole.len() - at > 1 && !(origin.ends_with(&whole[at..]) && starts_label(origin, origin.len() - (whole.len() - at))) {
            at += usize::from(whole[at]) + 1;
        }
        if whole.len() - at > 1 {
            out.push((start..start + at, Some((origin.len() - (whole.len() - at)) as u16)));
        } else {
            out.push((start..end + 1, None));
        }
        start = end + 1;
    }
    out
}

/// Whether a label starts at a place of a name.
fn starts_label(name: &[u8], place: usize) -> bool {
    let mut at = 0;
    while at < place {
        at += usize::from(name[at]) + 1;
    }
    at == place
}

/// FNV-1a, 64 bits: the same on every machine and in every version.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// A name in wire form, lower case, with the root label.
pub fn wire_name(text: &str) -> Result<Vec<u8>, String> {
    let mut out = relative(text.trim_end_matches('.'))?;
    out.push(0);
    Ok(out)
}

/// A name in wire form, lower case, without the root label.
fn relative(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len() + 1);
    for label in text.split('.') {
        if label.is_empty() || label.len() > 63 || !label.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("`{text}` is not a name"));
        }
        out.push(label.len() as u8);
        out.extend(label.to_ascii_lowercase().as_bytes());
    }
    if out.len() > 254 { Err(format!("`{text}` is too long")) } else { Ok(out) }
}

/// TXT data: one string of at most 255 printable bytes, `$` replaced by the subject and `$$` by `$`.
pub fn txt_data(template: &str, subject: &str) -> Box<[u8]> {
    let mut out = vec![0];
    let mut bytes = template.bytes().peekable();
    while let Some(b) = bytes.next() {
        if b == b'$' && bytes.next_if_eq(&b'$').is_none() {
            out.extend(subject.as_bytes());
        } else {
            out.push(if (32..127).contains(&b) { b } else { b'?' });
        }
    }
    out.truncate(256);
    out[0] = (out.len() - 1) as u8;
    out.into()
}

fn record_data(r: &Record) -> Result<(u16, Vec<u8>), String> {
    let words: Vec<&str> = r.data.split_whitespace().collect();
    let quoted = |s: &str| s.trim().trim_matches('"').to_string();
    Ok(match (r.kind.to_ascii_uppercase().as_str(), &words[..]) {
        ("A", [a]) => (rtype::A, a.parse::<Ipv4Addr>().map_err(|e| e.to_string())?.octets().to_vec()),
        ("AAAA", [a]) => (rtype::AAAA, a.parse::<Ipv6Addr>().map_err(|e| e.to_string())?.octets().to_vec()),
        ("MX", [preference, host]) => {
            let p: u16 = preference.parse().map_err(|_| "the preference is not a number")?;
            let host = if *host == "." { vec![0] } else { wire_name(host)? };
            (rtype::MX, [&p.to_be_bytes()[..], &host].concat())
        }
        ("CAA", [flags, tag, ..]) => {
            let f: u8 = flags.parse().map_err(|_| "the flags are not a number")?;
            let value = quoted(r.data.splitn(3, char::is_whitespace).nth(2).unwrap_or(""));
            (rtype::CAA, [&[f, tag.len() as u8], tag.as_bytes(), value.as_bytes()].concat())
        }
        ("TXT", _) => {
            let text = quoted(&r.data);
            let parts = text.as_bytes().chunks(255).flat_map(|c| std::iter::once(c.len() as u8).chain(c.iter().copied()));
            (rtype::TXT, parts.collect())
        }
        (kind, _) => return Err(format!("`{kind} {}` is not A, AAAA, MX, CAA or TXT data", r.data)),
    })
}

/// All zones, found by the longest origin that ends a name.
#[derive(Debug, Clone, Default)]
pub struct ZoneSet {
    zones: Vec<ZoneView>,
    lengths: Vec<usize>,
    by_origin: FxHashMap<Box<[u8]>, usize>,
}

impl ZoneSet {
    /// From ready zones; the error names an origin that two of them have.
    pub fn new(zones: Vec<ZoneView>) -> Result<ZoneSet, String> {
        let mut set = ZoneSet { zones, ..ZoneSet::default() };
        for (i, z) in set.zones.iter().enumerate() {
            set.lengths.push(z.origin.len());
            if set.by_origin.insert(z.origin.clone(), i).is_some() {
                return Err(format!("two zones have the origin {}", z.name));
            }
        }
        set.lengths.sort_unstable_by(|a, b| b.cmp(a));
        set.lengths.dedup();
        Ok(set)
    }

    /// All zones; their places are their numbers.
    pub fn all(&self) -> &[ZoneView] {
        &self.zones
    }

    /// The zone of a name (wire form, lower case, with the root label) and where its origin starts. `starts` tells whether
    /// a label starts at a place.
    #[inline]
    pub fn find(&self, name: &[u8], starts: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        for len in &self.lengths {
            let Some(at) = name.len().checked_sub(*len) else { continue };
            if starts(at)
                && let Some(i) = self.by_origin.get(&name[at..])
            {
                return Some((*i, at));
            }
        }
        None
    }

    /// A zone by its origin.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.zones.iter().position(|z| *z.name == *name)
    }
}
