//! Law 8 through `respond()`: each answer is the one that RFC 4592 finds in the zone's rendering,
//! as hickory-proto reads it; and domains are listed by the rule of the design.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hickory_proto::op::{Message, ResponseCode};
use proptest::prelude::*;

use super::{tests::query, *};
use crate::{
    index::{
        Builder, HASH, RawFact, RawFacts, Snapshot, ZoneSet, ZoneView, any_facts, any_world, apply,
        names,
        render::{Rendered, render},
        zones::rtype,
    },
    model::{Domain, Prefix4, ReasonId, Reasons, Scope, Serial, SourceId, Subject, Time, ZoneKind},
};

/// Orders of published reasons: in the order of the codes, a single one, and against it.
const ORDERS: [&[usize]; 4] = [&[0, 1, 2], &[1], &[2, 0], &[2, 1, 0]];

/// The keys of a zone of bit masks.
const MASKS: &str = "bitmask = true";

/// The code of a reason.
fn code(i: usize, bitmask: bool) -> [u8; 4] {
    let last = if bitmask { 2 << i } else { i + 2 };
    [127, 0, 0, last as u8]
}

/// A zone that publishes some of r0, r1 and r2. r1 has no text, and r0 and r2 have the same. Each has
/// another TTL.
fn zone(kind: &str, publish: &[usize], extra: &str, records: &[String]) -> ZoneView {
    let publish: Vec<String> = publish
        .iter()
        .map(|i| {
            let code = std::net::Ipv4Addr::from(code(*i, extra.contains(MASKS)));
            let ttl = ["", ", ttl = '1m'", ", ttl = '1h'"][*i];
            format!("{{reason = 'r{i}', code = '{code}'{ttl}}}")
        })
        .collect();
    let records: Vec<String> = records
        .iter()
        .map(|n| format!("[[record]]\nname = '{n}'\ntype = 'A'\ndata = '192.0.2.80'\n[[record]]\nname = '{n}'\ntype = 'TXT'\ndata = 'own'\nttl = '1h'\n"))
        .collect();
    let text = format!(
        "origin = 'bl.orbs.example'\nkind = '{kind}'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\nttl = '7m'\nnodata_ttl = '2m'\n\
         {extra}\npublish = [{}]\n{}",
        publish.join(","),
        records.concat()
    );
    let mut reasons = Reasons::default();
    (0..3).for_each(|i| drop(reasons.add(&format!("r{i}"))));
    let texts = HashMap::from([
        ("r0".to_string(), "see $ or $$".to_string()),
        ("r2".into(), "see $ or $$".into()),
    ]);
    ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &texts).unwrap()
}

fn snapshot(builder: &Builder, zone: &ZoneView) -> Snapshot {
    Snapshot {
        tables: builder.tables().clone(),
        zones: Arc::new(ZoneSet::new(vec![zone.clone()]).unwrap()),
        serials: vec![Serial(7)].into(),
        sound: true,
        ..Snapshot::default()
    }
}

/// Type, TTL and data of a record, as text.
type Record = (u16, u32, String);

/// The records of a rendered name, in their order.
fn records(builder: &Builder, zone: &ZoneView, at: Rendered) -> Vec<Record> {
    let mut out: Vec<Record> = Vec::new();
    match at {
        Rendered::Row(_) | Rendered::Identity(_) => unreachable!("owner names are rendered"),
        Rendered::Excluded => out.push((rtype::HINFO, 420, "exempt ".into())),
        Rendered::Static(f) => out.extend(f.rrs.iter().map(|r| {
            let data = match (r.rtype, &*r.data) {
                (rtype::A, [a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
                (rtype::TXT, [_, text @ ..]) => String::from_utf8(text.to_vec()).unwrap(),
                (rtype::NS, _) => "ns1.orbs.example.".into(),
                other => panic!("{other:?}"),
            };
            (r.rtype, r.ttl, data)
        })),
        Rendered::Listed(l) => {
            let (mut codes, mut ttls, mut texts) = (Vec::new(), Vec::new(), Vec::new());
            for p in &zone.spec.publish {
                let reason: usize = p.reason[1..].parse().unwrap();
                let Some(i) = l.item(ReasonId(reason as u8)) else {
                    continue;
                };
                let p = zone.publish.iter().find(|q| q.reason == i.reason).unwrap();
                codes.push(p.code);
                ttls.push([420, 60, 3600][reason]);
                let mut subject = String::new();
                l.write_subject(i, &mut subject).unwrap();
                let template = builder
                    .tables()
                    .interned
                    .own_text(i.text)
                    .unwrap_or(&p.text);
                let text = template
                    .replace("$$", "\u{1}")
                    .replace('$', &subject)
                    .replace('\u{1}', "$");
                let text: String = text.chars().take(255).collect();
                if !template.is_empty() {
                    texts.push((text, [420, 60, 3600][reason]));
                }
            }
            if zone.spec.bitmask {
                let bits = codes.iter().fold(0, |all, c| all | c[3]);
                codes = vec![[127, 0, 0, bits]];
            }
            let ttl = *ttls.iter().min().unwrap();
            out.extend(codes.iter().map(|c| {
                let data = std::net::Ipv4Addr::from(*c).to_string();
                (rtype::A, ttl, data)
            }));
            if zone.spec.txt == crate::model::zone::TxtPolicy::First {
                texts.truncate(1);
            }
            let ttl = texts.iter().map(|t| t.1).min();
            let mut shown = BTreeSet::new();
            for (text, _) in texts {
                if shown.insert(text.clone()) {
                    out.push((rtype::TXT, ttl.unwrap(), text));
                }
            }
        }
    }
    out
}

/// A rendering with a look-up by RFC 4592.
struct Mirror(BTreeMap<String, Vec<Record>>, BTreeSet<String>);

impl Mirror {
    fn new(builder: &Builder, zone: &ZoneView) -> Mirror {
        let mut all = BTreeMap::new();
        render(builder.tables(), zone, &mut |owner, at| {
            let labels: Vec<_> = crate::index::listing::labels_in(owner)
                .map(|l| String::from_utf8_lossy(l).into_owned())
                .collect();
            assert_eq!(
                all.insert(labels.join("."), records(builder, zone, at)),
                None,
                "{} twice",
                labels.join(".")
            );
        });
        let above = |k: &String| {
            k.match_indices('.')
                .map(|(i, _)| k[i + 1..].to_string())
                .collect::<Vec<_>>()
        };
        let exist = all
            .keys()
            .flat_map(above)
            .chain(all.keys().cloned())
            .chain([String::new()])
            .collect();
        Mirror(all, exist)
    }

    /// The records of a type at a name; `None` if the name does not exist.
    fn look_up(&self, name: &str, qtype: u16) -> Option<Vec<Record>> {
        let of = |all: &Vec<Record>| {
            let first = all.first().map_or(0, |r| r.0);
            all.iter()
                .filter(|r| r.0 == if qtype == rtype::ANY { first } else { qtype })
                .cloned()
                .collect()
        };
        if let Some(all) = self.0.get(name) {
            return Some(of(all));
        }
        if self.1.contains(name) {
            return Some(vec![]);
        }
        let encloser = name
            .match_indices('.')
            .map(|(i, _)| &name[i + 1..])
            .find(|n| self.1.contains(*n))
            .unwrap_or("");
        let wildcard = if encloser.is_empty() {
            "*".into()
        } else {
            format!("*.{encloser}")
        };
        self.0.get(&wildcard).map(of)
    }
}

/// Sends a query, and reads the reply with hickory-proto: the counts are those of the header, and
/// it fits.
pub(super) fn ask(s: &Snapshot, name: &str, qtype: u16, stream: bool) -> Message {
    let name = if name.is_empty() {
        "bl.orbs.example".into()
    } else {
        format!("{name}.bl.orbs.example")
    };
    let mut out = vec![0; TCP_SIZE];
    let o = respond(
        s,
        &query(&name, qtype, true),
        Peer {
            transport: if stream {
                Transport::Stream
            } else {
                Transport::Datagram
            },
            ..Peer::udp([192, 0, 2, 53].into())
        },
        Time(0),
        &mut out,
    );
    assert!(stream || o.len <= UDP_SIZE);
    read(&out[..o.len])
}

fn read(reply: &[u8]) -> Message {
    let m = Message::from_vec(reply).unwrap();
    let count = |i: usize| usize::from(u16::from_be_bytes([reply[i], reply[i + 1]]));
    let got = [
        m.queries.len(),
        m.answers.len(),
        m.authorities.len(),
        m.additionals.len() + usize::from(m.edns.is_some()),
    ];
    assert_eq!([4, 6, 8, 10].map(count), got);
    m
}

/// Names to query: with `*` labels, in 127.0.0.0/8, and next to static names.
fn more_names(world: &BTreeMap<Subject, RawFacts>, records: &[String]) -> Vec<String> {
    let mut out: Vec<String> = [
        "1.64.127",
        "1.2.64.127",
        "64.127",
        "x.64.127",
        "9.0.0.127",
        "x.0.0.127",
        "1.0.127",
        "*.127",
        "*.0.0.127",
        "www",
        "x.www",
        "*.www",
    ]
    .map(String::from)
    .into();
    out.extend(records.iter().flat_map(|r| {
        [
            r.clone(),
            format!("q.{r}"),
            format!("*.{r}"),
            format!("q.*.{r}"),
        ]
    }));
    for s in world.keys() {
        let parent = match s {
            Subject::V4(p) => {
                let [a, b, c, _] = p.first().to_be_bytes();
                out.extend([
                    format!("*.{a}"),
                    format!("x.*.{a}"),
                    format!("*.{c}.{b}.{a}"),
                    format!("7.*.{c}.{b}.{a}"),
                    format!("7.*.{b}.{a}"),
                ]);
                format!("{b}.{a}")
            }
            Subject::V6(p) => {
                let n: Vec<String> = crate::index::ip6::nibbles(p.first())
                    .iter()
                    .map(|n| format!("{n:x}"))
                    .collect();
                n[..usize::from(p.len()).div_ceil(4).clamp(1, 31)]
                    .iter()
                    .rev()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(".")
            }
            Subject::Domain(d) => d.name().into(),
        };
        out.extend(["*", "x.*", "*.*", "*.x", "x.*.x", "*.x.*"].map(|l| format!("{l}.{parent}")));
    }
    out
}

/// Compares the answers for all names with the mirror's.
fn compare(builder: &Builder, zone: &ZoneView, queried: &[String]) -> Result<(), TestCaseError> {
    let (s, mirror) = (snapshot(builder, zone), Mirror::new(builder, zone));
    for name in queried {
        let name = name.to_ascii_lowercase();
        for qtype in [rtype::A, rtype::TXT, rtype::HINFO, rtype::ANY] {
            if name.is_empty() && qtype == rtype::ANY {
                continue; // the apex has NS, A and so on in the order of a table, not of a rule
            }
            let m = ask(&s, &name, qtype, true);
            let want = mirror.look_up(&name, qtype);
            let rcode = if want.is_some() {
                ResponseCode::NoError
            } else {
                ResponseCode::NXDomain
            };
            prop_assert_eq!(
                m.metadata.response_code,
                rcode,
                "{} {} in {:?}",
                name,
                qtype,
                mirror.0
            );
            let got: Vec<Record> = m
                .answers
                .iter()
                .map(|r| (u16::from(r.record_type()), r.ttl, r.data.to_string()))
                .collect();
            let want = want.unwrap_or_default();
            prop_assert_eq!(
                m.authorities.len(),
                usize::from(want.is_empty()),
                "{} {}",
                name,
                qtype
            );
            prop_assert_eq!(got, want, "{} {} in {:?}", name, qtype, mirror.0);
        }
    }
    Ok(())
}

/// A run of hosts in 12.34.5.0/24 and an extra fact for some of them: blocks where nearly every
/// child is full.
fn dense(first: u8, last: u8, facts: &RawFacts) -> Vec<(Subject, RawFacts)> {
    (first..=last)
        .map(|d| (Subject::host4(0x0c22_0500 | u32::from(d)), facts.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn answers_equal_an_rfc4592_lookup_in_the_rendering(
        world in any_world(),
        noise in prop::collection::vec(any::<u32>(), 8),
        (order, all, mapped, masks) in (0..4usize, any::<bool>(), any::<bool>(), any::<bool>()),
        (first, last, many) in (any::<u8>(), any::<u8>(), any_facts()),
        loop_back in prop::option::of(any_facts()),
        records in prop::collection::btree_set("([abx]\\.){0,2}[abxm][ab]", 0..3),
    ) {
        let mut world = world;
        world.extend(dense(first, if order == 0 { 255 } else { last }, &many));
        world.extend(loop_back.map(|f| (Subject::V4(Prefix4::new(0x7f40_0000, 10)), f)));
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let facts: BTreeMap<_, _> = world.into_iter().collect();
        let few: BTreeMap<_, _> = facts.iter().filter(|(s, _)| !matches!(s, Subject::V4(p) if p.is_host() && p.first() & 7 != 0)).collect();
        let few: BTreeMap<Subject, RawFacts> = few.into_iter().map(|(s, f)| (s.clone(), f.clone())).collect();
        let masks = if masks { MASKS } else { "" };
        let extra = format!("{masks}\ntxt = '{}'", if all { "all" } else { "first" });
        let records: Vec<String> = records.into_iter().collect();
        let mut queried = names(&few, &noise);
        queried.extend(more_names(&few, &records));
        if mapped {
            for a in few.keys().filter_map(|s| match s { Subject::V4(p) => Some(p.first()), _ => None }) {
                let n: Vec<String> = crate::index::ip6::nibbles(0xffff << 32 | u128::from(a)).iter().rev().map(|n| format!("{n:x}")).collect();
                queried.extend((0..9).map(|i| n[i..].join(".")));
                queried.extend((1..9).map(|i| format!("x.*.{}", n[i..].join("."))));
            }
        }
        let mapping = format!("ipv4_mapped = {mapped}");
        compare(&builder, &zone("address", ORDERS[order], &format!("{extra}\n{mapping}"), &["www".into(), "x.ns1".into()]), &queried)?;
        for addresses in ["addresses = true".to_string(), format!("addresses = 'both'\n{mapping}")] {
            compare(&builder, &zone("domain", ORDERS[order], &format!("{extra}\n{addresses}"), &records), &queried)?;
        }
        queried.retain(|n| !n.ends_with("127") && n.len() < 40);
        compare(&builder, &zone("domain", ORDERS[order], &extra, &records), &queried)?;
        compare(&builder, &zone("hash", ORDERS[order], &format!("{extra}\n{HASH}"), &records), &queried)?;
    }

    /// The answer for a domain follows the longest match of each source: the name itself, otherwise
    /// the nearest tree.
    #[test]
    fn domains_answer_as_the_naive_model(world in any_world(), order in 0..4usize, masks: bool) {
        let world: Vec<_> = world.into_iter().filter(|(s, _)| matches!(s, Subject::Domain(_))).collect();
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let facts: BTreeMap<_, _> = world.into_iter().collect();
        let zone = zone("domain", ORDERS[order], if masks { MASKS } else { "" }, &[]);
        let s = snapshot(&builder, &zone);
        let queried: BTreeSet<String> = names(&facts, &[1]).into_iter().filter(|n| !n.is_empty() && !n.contains('*') && n != "test" && !n.contains("127")).collect();
        for name in queried {
            let me = Domain::from_canonical(&name, Scope::Name);
            // Wide matches come before narrow ones; at one name, the tree comes before the names
            // below and the name.
            let mut matches: Vec<_> = facts.iter().filter_map(|(s, f)| match s {
                Subject::Domain(d) if d.covers(&me) => Some((d.name().split('.').count(), std::cmp::Reverse(d.scope() as u8), f)),
                _ => None,
            }).collect();
            matches.sort_by_key(|(labels, scope, _)| (*labels, *scope));
            let mut listed_by: BTreeMap<(u8, u16), bool> = BTreeMap::new();
            for f in matches.iter().flat_map(|w| &w.2.facts) {
                if f.source == SourceId::ALL {
                    // A granted removal applies to every source.
                    listed_by.iter_mut().filter(|((r, _), _)| *r == f.reason.0).for_each(|(_, listed)| *listed = false);
                } else {
                    listed_by.insert((f.reason.0, f.source.0), !f.exclusion);
                }
            }
            let exempt = matches.iter().any(|w| w.2.exempt);
            let reason = |i: usize| !exempt && listed_by.iter().any(|((r, _), listed)| usize::from(*r) == i && *listed);
            let mut codes: Vec<[u8; 4]> = ORDERS[order].iter().filter(|i| reason(**i)).map(|i| code(*i, masks)).collect();
            if masks && !codes.is_empty() {
                codes = vec![[127, 0, 0, codes.iter().fold(0, |all, c| all | c[3])]];
            }
            let want: Vec<String> = codes.iter().map(|c| std::net::Ipv4Addr::from(*c).to_string()).collect();
            let m = ask(&s, &name, rtype::A, false);
            let got: Vec<String> = m.answers.iter().map(|r| r.data.to_string()).collect();
            prop_assert_eq!(got, want, "{} in {:?}", name, facts);
        }
    }
}

/// Compares a block that is stored as a bitmap, with runs and exempt hosts, with its rendering.
#[test]
fn full_block_answers_as_its_rendering() {
    let listed = |r| RawFacts {
        exempt: false,
        facts: vec![RawFact {
            aged: Default::default(),
            reason: ReasonId(r),
            source: SourceId(0),
            exclusion: false,
            text: Default::default(),
        }],
    };
    let exempt = RawFacts {
        exempt: true,
        facts: vec![],
    };
    let hosts = (0..0x1_0000u32)
        .filter(|i| i % 3 == 0 || i >> 8 == 7)
        .map(|i| (Subject::host4(0x0c22_0000 | i), listed((i >> 12) as u8 % 2)));
    for exclusions in [
        vec![],
        vec!["12.34.7.0/24", "12.34.8.4/30", "12.34.9.9"],
        vec!["12.34.255.255", "12.34.0.0", "12.34.200.0/21"],
    ] {
        for wide in [None, Some("12.34.0.0/16"), Some("12.34.128.0/18")] {
            let mut world: Vec<_> = hosts.clone().collect();
            world.extend(
                exclusions
                    .iter()
                    .map(|h| (h.parse().unwrap(), exempt.clone())),
            );
            world.extend(wide.map(|w| (w.parse().unwrap(), listed(1))));
            let mut builder = Builder::default();
            apply(&mut builder, &world);
            let mut queried: Vec<String> =
                ["34.12", "x.34.12", "12", "x.12", "*.34.12", "x.*.34.12"]
                    .map(String::from)
                    .into();
            for c in (0..=255).step_by(17).chain([7, 8, 9, 200, 207, 208]) {
                queried.extend([format!("{c}.34.12"), format!("x.{c}.34.12")]);
                queried.extend([0, 1, 3, 4, 7, 8, 9, 254, 255].map(|d| format!("{d}.{c}.34.12")));
            }
            compare(
                &builder,
                &zone("address", &[1, 0], "ipv4_mapped = true", &[]),
                &queried,
            )
            .unwrap();
            compare(&builder, &zone("address", &[0], "", &[]), &queried).unwrap();
        }
    }
}

/// RFC 6891 section 6.2.5: a reply that exceeds the smaller of both sizes is truncated, and keeps
/// the OPT record.
#[test]
fn reply_is_truncated_at_the_smaller_of_both_sizes() {
    let publish: Vec<String> = (2..64)
        .map(|i| format!("{{reason='x{i}', code='127.0.0.{i}'}}"))
        .collect();
    let text = format!(
        "origin='bl.orbs.example'\nkind='address'\nns=['ns1.orbs.example']\ncontact='h@orbs.example'\npublish=[{}]",
        publish.join(",")
    );
    let mut reasons = Reasons::default();
    (2..64).for_each(|i| drop(reasons.add(&format!("x{i}"))));
    let zone = ZoneView::new(
        &toml::from_str(&text).unwrap(),
        &reasons,
        &Default::default(),
    )
    .unwrap();
    assert_eq!(zone.spec.kind, ZoneKind::Address);
    let s = snapshot(&Builder::default(), &zone);
    for size in [0u16, 100, 512, 700, 1100, 1232, 4096, 65_535] {
        let mut q = query("2.0.0.127.bl.orbs.example", rtype::A, true);
        let at = q.len() - 8;
        q[at..at + 2].copy_from_slice(&size.to_be_bytes());
        let mut out = vec![0; TCP_SIZE];
        let o = respond(&s, &q, Peer::udp([192, 0, 2, 53].into()), Time(0), &mut out);
        let m = read(&out[..o.len]);
        let limit = usize::from(size).clamp(PLAIN_SIZE, UDP_SIZE);
        assert!(o.len <= limit, "{size}: {}", o.len);
        let whole = q.len() + 62 * 16 <= limit;
        assert_eq!(
            (o.truncated, m.metadata.truncation, m.answers.len()),
            (!whole, !whole, if whole { 62 } else { 0 }),
            "{size}"
        );
        assert_eq!(m.edns.map(|e| e.max_payload()), Some(1232), "{size}");
    }
}

/// hickory-proto reads every kind of reply.
#[test]
fn every_reply_is_well_formed() {
    let mut builder = Builder::default();
    let listed = RawFacts {
        exempt: false,
        facts: vec![RawFact {
            aged: Default::default(),
            reason: ReasonId(0),
            source: SourceId(0),
            exclusion: false,
            text: Default::default(),
        }],
    };
    let exempt = RawFacts {
        exempt: true,
        facts: vec![],
    };
    apply(
        &mut builder,
        &[
            (".a.b".parse().unwrap(), listed),
            (".c.a.b".parse().unwrap(), exempt),
        ],
    );
    for extra in [
        "",
        "query = { allow = [] }",
        "query = { allow = [], refused_code = '127.255.255.254' }",
    ] {
        let zone = zone("domain", &[0, 1, 2], extra, &[]);
        let mut s = snapshot(&builder, &zone);
        s.nsid = "n".into();
        for name in [
            "", "a.b", "x.a.b", "c.a.b", "x.c.a.b", "b", "test", "invalid", "x.*.a.b",
        ] {
            for qtype in [
                rtype::A,
                rtype::TXT,
                rtype::SOA,
                rtype::NS,
                rtype::ANY,
                rtype::HINFO,
                rtype::AXFR,
                65_535,
            ] {
                for stream in [false, true] {
                    ask(&s, name, qtype, stream);
                }
                for (opcode, version, additional) in
                    [(0, 1, 1), (4, 0, 1), (5, 0, 2), (0, 0, 2), (15, 9, 0)]
                {
                    let mut q = query(&format!("{name}.bl.orbs.example"), qtype, true);
                    let version_at = q.len() - 5;
                    (q[2], q[version_at], q[11]) = (opcode << 3, version, additional);
                    let mut out = vec![0; UDP_SIZE];
                    let o = respond(&s, &q, Peer::udp([192, 0, 2, 53].into()), Time(0), &mut out);
                    read(&out[..o.len]);
                }
            }
        }
        s.sound = false;
        ask(&s, "a.b", rtype::A, false);
    }
}
