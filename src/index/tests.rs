//! The index compared with a naive model: random subjects, exclusions, exemptions, both families
//! and domains.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::{
    build::{Builder, Changes, Tables},
    derive::{FeedSight, PublishRules},
    find::{Asked, Found, find},
    image,
    listing::{Items, Listing},
    render::{Rendered, render},
    values::{Derivations, RawFact, RawFacts, TextId, ValueId},
    zones::{ZoneView, rtype},
};
use crate::model::{
    Domain, EntryText, Mask, Prefix4, Prefix6, ReasonId, Reasons, Scope, SightAge, SourceId,
    Sources, Subject, SubjectFamily, Time, Zone, zone_addresses::octet,
};

/// The key of a zone of bit masks.
pub(crate) const MASKS: &str = "bitmask = true";

/// A zone for tests: publishes the given reasons of r0, r1, r2.
pub(crate) fn test_zone(kind: &str, publish: &[usize], extra: &str) -> ZoneView {
    let publish: Vec<String> = publish
        .iter()
        .map(|i| match extra.contains(MASKS) {
            // In a zone of bit masks, each reason has another TTL.
            true => format!(
                "{{reason = 'r{i}', code = '127.0.0.{}', ttl = '{}m'}}",
                2 << i,
                9 - i
            ),
            false => format!("{{reason = 'r{i}', code = '127.0.0.{}'}}", i + 2),
        })
        .collect();
    let text = format!(
        "origin = 'bl.orbs.example'\nkind = '{kind}'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\n{extra}\npublish = [{}]\n",
        publish.join(",")
    );
    let zone: Zone = toml::from_str(&text).unwrap();
    let mut reasons = Reasons::default();
    let mut texts = HashMap::new();
    for i in 0..7 {
        reasons.add(&format!("r{i}")).unwrap();
        texts.insert(format!("r{i}"), format!("reason {i}: $"));
    }
    ZoneView::new(&zone, &reasons, &texts).unwrap()
}

/// The shorter limit of the rules of the tests on the last sight of listings, in seconds.
const WEEK: u32 = 7 * 86_400;

pub(crate) type Facts = BTreeMap<Subject, RawFacts>;

pub(crate) fn any_facts() -> impl Strategy<Value = RawFacts> {
    // The third source stands for a hold for every source.
    let fact = (
        0u8..3,
        prop_oneof![8 => 0u16..2, 1 => Just(2)],
        prop::bool::weighted(0.3),
        prop::option::weighted(0.2, "t[a-c] \\$"),
        prop_oneof![2 => Just(0), 1 => Just(WEEK), 1 => Just(5 * WEEK)].prop_map(SightAge),
        prop::bool::weighted(0.2),
    );
    (
        prop::bool::weighted(0.07),
        prop::collection::vec(fact, 0..3),
    )
        .prop_map(|(exempt, facts)| {
            let mut out = RawFacts {
                exempt,
                facts: vec![],
            };
            for (r, s, exclusion, text, aged, exact) in facts {
                let (source, exclusion) = if s == 2 {
                    (SourceId::ALL, true)
                } else {
                    (SourceId(s), exclusion)
                };
                let f = RawFact {
                    aged,
                    reason: ReasonId(r),
                    source,
                    exclusion,
                    text: EntryText::from(text.as_deref()).with_exact(exact),
                };
                if !out
                    .facts
                    .iter()
                    .any(|g: &RawFact| (g.reason, g.source) == (f.reason, f.source))
                {
                    out.facts.push(f);
                }
            }
            // A hold for every source is a hold for each of them.
            let held: Vec<ReasonId> = out
                .facts
                .iter()
                .filter(|f| f.source == SourceId::ALL)
                .map(|f| f.reason)
                .collect();
            out.facts
                .iter_mut()
                .filter(|f| held.contains(&f.reason))
                .for_each(|f| f.exclusion = true);
            out.facts.sort_by_key(|f| (f.reason, f.source));
            out
        })
}

/// Subjects in a small world, so that they overlap: 2.3.x.y, 12.34.x.y, and a few IPv6 and domain
/// neighbourhoods.
fn any_subject() -> impl Strategy<Value = Subject> {
    let spot = prop_oneof![Just(0x0203_0000u32), Just(0x0c22_0000), Just(0x0c00_0000)];
    let low = prop_oneof![
        0u32..8,
        250u32..260,
        Just(0x0405),
        Just(0xffff),
        any::<u32>().prop_map(|x| x & 0xffff)
    ];
    let spot6 = prop_oneof![
        Just(0x2a00u128 << 112),
        Just(0x2a00_1234u128 << 96),
        Just(0x3020u128 << 112)
    ];
    let low6 = prop_oneof![
        0u128..4,
        any::<u128>().prop_map(|x| x & 3 << 92),
        any::<u128>().prop_map(|x| x >> 60)
    ];
    prop_oneof![
        5 => (spot, low, prop_oneof![Just(32u8), 8u8..=32]).prop_map(|(s, l, n)| Subject::V4(Prefix4::new(s | l, n))),
        2 => (spot6.clone(), 0u128..5, 0u128..3, prop_oneof![3 => Just(128u8), 1 => 46u8..=66, 1 => 65u8..=128])
            .prop_map(|(s, l, net, n)| Subject::V6(Prefix6::new(s | net << 64 | l, n))),
        3 => (spot6, low6, prop_oneof![Just(128u8), Just(64), 19u8..=48, 19u8..=128]).prop_map(|(s, l, n)| Subject::V6(Prefix6::new(s | l, n))),
        3 => ("([abx]\\.){0,3}[abxm][ab]?", 0..3usize)
            .prop_map(|(n, s)| Subject::Domain(Domain::from_canonical(&n, [Scope::Name, Scope::Below, Scope::Tree][s]))),
        1 => ("([0-9]\\.){1,3}(2|12)", 0..3usize)
            .prop_map(|(n, s)| Subject::Domain(Domain::from_canonical(&n, [Scope::Name, Scope::Below, Scope::Tree][s]))),
        1 => (prop_oneof![4 => Just(""), 1 => Just("x.")], prop::sample::select(&DIGESTS[..]), prop_oneof![4 => Just(0), 1 => 0..3usize])
            .prop_map(|(below, n, s)| {
                Subject::Domain(Domain::from_canonical(&format!("{below}{n}"), [Scope::Name, Scope::Below, Scope::Tree][s]))
            }),
    ]
}

/// Digests for [`HASH`] zones, one of digits alone, and one of another length.
const DIGESTS: [&str; 4] = [
    "d41d8cd98f00b204e9800998ecf8427e",
    "d41d8cd98f00b204e9800998ecf8427f",
    "12345678901234567890123456789012",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
];

/// The required keys of a zone of kind `hash`.
pub(crate) const HASH: &str = "digest = 'md5-hex'";

pub(crate) fn any_world() -> impl Strategy<Value = Vec<(Subject, RawFacts)>> {
    // Some have more entries than a leaf.
    prop_oneof![
        7 => prop::collection::vec((any_subject(), any_facts()), 0..14),
        1 => prop::collection::vec((any_subject(), any_facts()), 14..40),
    ]
}

pub(crate) fn apply(builder: &mut Builder, world: &[(Subject, RawFacts)]) {
    let mut changes = Changes::default();
    for (s, f) in world {
        let id = builder.intern(f);
        builder.add(&mut changes, s, id);
    }
    builder.apply(changes);
}

/// Length of the listed subject, and its text.
type Part = (u8, Option<String>);

/// The longest match of each source for each reason; `None` where it excludes.
type Matches = BTreeMap<(u8, u16), Option<Part>>;

fn longest_matches(facts: &Facts, covers: impl Fn(&Subject) -> Option<u8>) -> Matches {
    // The widest first; then every deeper fact of the same reason and source takes its place.
    let mut way: Vec<(u8, &RawFacts)> = facts
        .iter()
        .filter_map(|(s, f)| Some((covers(s)?, f)))
        .collect();
    way.sort_by_key(|(n, _)| *n);
    let mut parts = Matches::new();
    if way.iter().any(|(_, f)| f.exempt) {
        return parts;
    }
    for (n, f) in way {
        for f in &f.facts {
            if f.source == SourceId::ALL {
                parts
                    .iter_mut()
                    .filter(|((r, _), _)| *r == f.reason.0)
                    .for_each(|(_, p)| *p = None);
                continue;
            }
            let text = f.text.as_ref().map(ToString::to_string);
            parts.insert(
                (f.reason.0, f.source.0),
                (!f.exclusion).then_some((n, text)),
            );
        }
    }
    parts
}

/// (reason, text, length of the listed subject), sorted: what an address answers by the rules of
/// the design.
fn naive(facts: &Facts, covers: impl Fn(&Subject) -> Option<u8>) -> Vec<(u8, Option<String>, u8)> {
    let mut best: BTreeMap<u8, (u8, Option<String>)> = BTreeMap::new();
    for ((r, _), part) in longest_matches(facts, covers) {
        if let Some((n, text)) = part
            && best
                .get(&r)
                .is_none_or(|(m, t)| n > *m || (n == *m && t.is_none() && text.is_some()))
        {
            best.insert(r, (n, text));
        }
    }
    best.into_iter().map(|(r, (n, t))| (r, t, n)).collect()
}

fn wire(name: &str) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut starts) = (vec![], vec![]);
    for l in name.split('.').filter(|l| !l.is_empty()) {
        starts.push(out.len() as u8);
        out.push(l.len() as u8);
        out.extend(l.as_bytes());
    }
    (out, starts)
}

/// What a name answers, as text: records, or why there are none.
fn shown(builder: &Builder, zone: &ZoneView, name: &str) -> String {
    let (labels, starts) = wire(name);
    let asked = Asked::new(&labels, &starts);
    let mut scratch = None;
    match find(builder.tables(), zone, &asked, &mut scratch) {
        Found::Static(f) => records(builder, zone, Rendered::Static(f)),
        Found::Listed(l) => records(builder, zone, Rendered::Listed(l)),
        Found::Excluded => records(builder, zone, Rendered::Excluded),
        Found::Empty => "nodata".into(),
        Found::Missing => "nxdomain".into(),
    }
}

fn records(builder: &Builder, zone: &ZoneView, at: Rendered) -> String {
    match at {
        Rendered::Row(_) | Rendered::Identity(_) => unreachable!("owner names are rendered"),
        Rendered::Excluded => "HINFO".into(),
        Rendered::Static(f) => format!(
            "{:?}",
            f.rrs
                .iter()
                .filter(|r| [rtype::A, rtype::TXT].contains(&r.rtype))
                .collect::<Vec<_>>()
        ),
        Rendered::Listed(l) => {
            let mut out = format!("{:?} ", code_records(builder, zone, l));
            for p in &zone.publish {
                if let Some(i) = l.item(p.reason) {
                    let mut subject = String::new();
                    l.write_subject(i, &mut subject).unwrap();
                    let text = builder
                        .tables()
                        .interned
                        .own_text(i.text)
                        .unwrap_or(&p.text);
                    out += &format!("{:?} {text}={subject};", p.code);
                }
            }
            out
        }
    }
}

/// The A records of a listing, each with its TTL.
fn code_records(builder: &Builder, zone: &ZoneView, l: Listing) -> Vec<([u8; 4], u32)> {
    let (mut out, listed) = (Vec::new(), Rendered::Listed(l));
    super::render::records(
        &builder.tables().interned,
        zone,
        &listed,
        &mut |rtype, ttl, data| {
            if rtype == rtype::A {
                out.push((data.try_into().unwrap(), ttl));
            }
        },
    );
    out
}

/// A zone's rendering as a table, and an RFC 4592 look-up in it.
struct Naive4592(BTreeMap<String, String>, HashSet<String>);

impl Naive4592 {
    fn new(builder: &Builder, zone: &ZoneView) -> Naive4592 {
        let mut all = BTreeMap::new();
        render(builder.tables(), zone, &mut |owner, at| {
            let labels: Vec<_> = super::listing::labels_in(owner)
                .map(|l| String::from_utf8_lossy(l).into_owned())
                .collect();
            let old = all.insert(labels.join("."), records(builder, zone, at));
            assert_eq!(old, None, "{} is rendered twice", labels.join("."));
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
        Naive4592(all, exist)
    }
    fn exists(&self, name: &str) -> bool {
        self.1.contains(name)
    }
    fn look_up(&self, name: &str) -> String {
        if let Some(r) = self.0.get(name) {
            return r.clone();
        }
        if self.exists(name) {
            return "nodata".into();
        }
        let mut encloser = name;
        while let Some((_, rest)) = encloser.split_once('.') {
            encloser = rest;
            if self.exists(encloser) {
                return self
                    .0
                    .get(&format!("*.{encloser}"))
                    .cloned()
                    .unwrap_or("nxdomain".into());
            }
        }
        "nxdomain".into()
    }
}

/// Names worth asking for: every subject's own, its neighbours, the branches above, and some that
/// spell nothing.
pub(crate) fn names(facts: &Facts, noise: &[u32]) -> Vec<String> {
    let mut out: Vec<String> = [
        "",
        "1.0.0.127",
        "2.0.0.127",
        "0.0.127",
        "127",
        "3.0.0.127",
        "test",
        "invalid",
        "x.test",
        "*",
    ]
    .map(String::from)
    .into();
    let v4 = |out: &mut Vec<String>, a: u32| {
        let [a, b, c, d] = a.to_be_bytes();
        out.extend([
            format!("{d}.{c}.{b}.{a}"),
            format!("{c}.{b}.{a}"),
            format!("{b}.{a}"),
            format!("{a}"),
        ]);
        out.extend([
            format!("x.{c}.{b}.{a}"),
            format!("x.{d}.{c}.{b}.{a}"),
            format!("999.{b}.{a}"),
            format!("a.{a}"),
            format!("0{d}.{c}.{b}.{a}"),
        ]);
    };
    let v6 = |out: &mut Vec<String>, a: u128| {
        let n: Vec<String> = super::ip6::nibbles(a)
            .iter()
            .rev()
            .map(|n| format!("{n:x}"))
            .collect();
        out.extend((0..32).map(|i| n[i..].join(".")));
        out.extend(
            (0..32)
                .step_by(5)
                .map(|i| format!("xy.{}", n[i..].join("."))),
        );
    };
    for (i, s) in facts.keys().enumerate() {
        let noise = noise[i % noise.len()];
        match s {
            Subject::V4(p) => {
                [
                    p.first(),
                    p.last(),
                    p.first() ^ 1,
                    p.last() ^ 256,
                    p.first() ^ (noise & 0xffff),
                ]
                .into_iter()
                .for_each(|a| v4(&mut out, a));
            }
            Subject::V6(p) => {
                let noise = u128::from(noise) << (noise % 96);
                [
                    p.first(),
                    p.last(),
                    p.first() ^ 1,
                    p.last() ^ 1 << 64,
                    p.first() ^ noise,
                ]
                .into_iter()
                .for_each(|a| v6(&mut out, a));
            }
            Subject::Domain(d) => {
                let n = d.name();
                out.extend([n.to_string(), format!("q.{n}"), format!("q.r.{n}")]);
                out.extend(
                    n.match_indices('.')
                        .flat_map(|(i, _)| [n[i + 1..].to_string(), format!("zz.{}", &n[i + 1..])]),
                );
            }
        }
    }
    out
}

fn image_of(tables: &Tables) -> Vec<u8> {
    let mut out = Vec::new();
    image::write(tables, &mut out).unwrap();
    out
}

/// What the rules of the tests are, as keys of an entry of `publish`.
pub(super) const RULES: [&str; 14] = [
    "any = ['r0', 'r1', 'r2'], sources = ['prober']",
    "any = ['r0', 'r1', 'r2'], families = ['ipv6']",
    "any = ['r0', 'r1', 'r2'], min_sources = 2",
    "any = ['r0', 'r1'], weights = { operator = 1, prober = 2 }, min_score = 2",
    "all = ['r0', 'r1']",
    "all = ['r1', 'r2'], sources = ['operator'], families = ['name', 'ipv4']",
    "reason = 'r0', sources = ['operator', 'prober'], min_sources = 2",
    "any = ['r0', 'r1', 'r2'], seen_within = '7d'",
    "any = ['r0', 'r1'], sources = ['operator'], seen_within = '14d'",
    "any = ['r0', 'r1', 'r2'], seen_within = '7d', min_sources = 2",
    "reason = 'r0', width = { ipv6 = 64 }",
    "any = ['r0', 'r1'], width = { ipv6 = 48 }, min_sources = 2",
    "any = ['r0', 'r1', 'r2'], width = { ipv6 = 64 }, seen_within = '7d'",
    "all = ['r0', 'r2'], width = { ipv6 = 62 }, families = ['ipv6', 'name']",
];

/// Whether [`RULES`] list a point: the rules again, as one would say them. `matches` are the listings
/// of the point, with single IPv6 addresses as networks of so many bits, and without those that were
/// not seen within a time.
fn naive_listed(
    matches: impl Fn(Option<u8>, Option<u32>) -> Matches,
    family: SubjectFamily,
) -> [bool; RULES.len()] {
    let counted = |width, within| {
        let matches = matches(width, within);
        let listed = matches.iter().filter(|(_, part)| part.is_some());
        listed
            .map(|(pair, _)| *pair)
            .collect::<HashSet<(u8, u16)>>()
    };
    let recent = [WEEK, 2 * WEEK].map(|within| counted(None, Some(within)));
    let listed = counted(None, None);
    let wide = [48, 62, 64].map(|width| counted(Some(width), None));
    let of = |all: &HashSet<(u8, u16)>, source| all.iter().any(|(_, s)| *s == source);
    let by = |source| of(&listed, source);
    let [operator, prober] = [0, 1];
    [
        by(prober),
        family == SubjectFamily::Ipv6 && !listed.is_empty(),
        by(operator) && by(prober),
        listed.contains(&(0, prober)) || listed.contains(&(1, prober)),
        [0, 1].iter().all(|r| listed.iter().any(|(l, _)| l == r)),
        family != SubjectFamily::Ipv6
            && listed.contains(&(1, operator))
            && listed.contains(&(2, operator)),
        listed.contains(&(0, operator)) && listed.contains(&(0, prober)),
        !recent[0].is_empty(),
        [0, 1].iter().any(|r| recent[1].contains(&(*r, operator))),
        of(&recent[0], operator) && of(&recent[0], prober),
        wide[2].iter().any(|(r, _)| *r == 0),
        [operator, prober]
            .iter()
            .all(|s| [0, 1].iter().any(|r| wide[0].contains(&(*r, *s)))),
        !counted(Some(64), Some(WEEK)).is_empty(),
        family != SubjectFamily::Ipv4 && [0, 2].iter().all(|r| wide[1].iter().any(|(l, _)| l == r)),
    ]
}

/// The facts with each listing of a single IPv6 address as one of the network of so many bits around
/// it, unless it is exact or not in force.
fn with_width(facts: &Facts, width: Option<u8>) -> Facts {
    let mut out = facts.clone();
    let Some(width) = width else { return out };
    let mut widened: BTreeMap<(Prefix6, ReasonId, SourceId), (SightAge, Prefix6, RawFact)> =
        BTreeMap::new();
    for (subject, own) in facts {
        let Subject::V6(p) = subject else { continue };
        if !p.is_host() {
            continue;
        }
        let counts_wide = |f: &RawFact| !f.exclusion && !f.text.exact;
        out.entry(subject.clone())
            .or_default()
            .facts
            .retain(|f| !counts_wide(f));
        for f in own.facts.iter().filter(|f| !own.exempt && counts_wide(f)) {
            let key = (Prefix6::new(p.first(), width), f.reason, f.source);
            let new = (f.aged, *p, f.clone());
            let best = widened.entry(key).or_insert_with(|| new.clone());
            if (new.0, new.1) < (best.0, best.1) {
                *best = new;
            }
        }
    }
    for ((network, reason, source), (_, _, fact)) in widened {
        let own = facts
            .get(&Subject::V6(network))
            .cloned()
            .unwrap_or_default();
        if own.fact(reason, source).is_none() {
            let exclusion = own.fact(reason, SourceId::ALL).is_some();
            let facts = &mut out.entry(Subject::V6(network)).or_default().facts;
            facts.push(RawFact { exclusion, ..fact });
        }
    }
    out
}

/// The facts without the listings that were not seen within a time. `unseen_feed` was last imported
/// ten days ago.
fn seen_within(facts: &Facts, within: Option<u32>, unseen_feed: Option<SourceId>) -> Facts {
    let Some(within) = within else {
        return facts.clone();
    };
    let mut out = facts.clone();
    for facts in out.values_mut() {
        facts.facts.retain(|f| {
            let is_feed = unseen_feed == Some(f.source) && within < TEN_DAYS;
            f.exclusion || f.aged < SightAge(within) && !is_feed
        });
    }
    out
}

const TEN_DAYS: u32 = 10 * 86_400;

/// The entries of `publish` of [`RULES`], and of the plain reasons behind them.
fn test_entries(chosen: &[usize]) -> String {
    let all = RULES.iter().map(ToString::to_string);
    let all: Vec<String> = all
        .chain((0..3).map(|r| format!("reason = 'r{r}'")))
        .collect();
    let entry = |i: &usize| format!("{{ {}, code = '127.0.0.{}' }}", all[*i], i + 2);
    let entries: Vec<String> = chosen.iter().map(entry).collect();
    entries.join(", ")
}

fn zone_with_rules(kind: &str, chosen: &[usize]) -> Zone {
    toml::from_str(&format!(
        "origin = 'bl.orbs.example'\nkind = '{kind}'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\npublish = [{}]\n",
        test_entries(chosen)
    ))
    .unwrap()
}

fn test_reasons() -> Reasons {
    let mut reasons = Reasons::default();
    for i in 0..7 {
        reasons.add(&format!("r{i}")).unwrap();
    }
    reasons
}

/// [`RULES`] with their numbers.
pub(super) fn numbered_rules() -> PublishRules {
    rules_without(None)
}

/// [`RULES`] when a feed was last imported ten days ago.
fn rules_without(unseen_feed: Option<SourceId>) -> PublishRules {
    let all: Vec<usize> = (0..RULES.len()).collect();
    let zone = zone_with_rules("address", &all);
    let mut sources = Sources::default();
    for name in SourceId::DECIDING {
        sources.add(name).unwrap();
    }
    let rules = PublishRules::of([&zone], &test_reasons(), &sources).unwrap();
    let feeds = unseen_feed.map(|source| FeedSight {
        source,
        reasons: Mask::MAX,
        seen: Time(0),
    });
    rules.at(Time(TEN_DAYS.into()), feeds.as_slice())
}

/// A zone that publishes some of [`RULES`] and reasons.
pub(super) fn test_zone_with_rules(kind: &str, chosen: &[usize]) -> ZoneView {
    let texts = (0..7)
        .map(|i| (format!("r{i}"), format!("reason {i}: $")))
        .collect();
    let zone = zone_with_rules(kind, chosen);
    ZoneView::with_rules(&zone, &test_reasons(), &texts, &numbered_rules()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Every address answers the longest match of each source.
    #[test]
    fn addresses_answer_as_the_naive_model(world in any_world(), noise in prop::collection::vec(any::<u32>(), 8)) {
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let mut facts: Facts = world.into_iter().collect();
        facts.retain(|_, f| *f != RawFacts::default());
        let t = builder.tables();
        let text = |i: TextId| t.interned.own_text(i).map(ToString::to_string);
        for (i, s) in facts.keys().enumerate() {
            match s {
                Subject::V4(p) => for a in [p.first(), p.last(), p.first() ^ 1, p.first() ^ (noise[i % 8] & 0xffff)] {
                    let host = Subject::host4(a);
                    let want = naive(&facts, |s| match s { Subject::V4(p) if s.covers(&host) => Some(p.len()), _ => None });
                    let (own, cover) = t.ip4.get(a);
                    let mut got = Items::default();
                    if cover != ValueId::EXEMPT {
                        got.extend(&t.interned.facts(own).items, u64::MAX);
                        got.extend(&t.interned.value(cover).items, u64::MAX);
                    }
                    let mut got: Vec<_> = got.as_slice().iter().map(|i| (i.reason.0, text(i.text), i.len.min(32))).collect();
                    got.sort();
                    prop_assert_eq!(got, want, "{}", host);
                },
                Subject::V6(p) => for a in [p.first(), p.last(), p.first() ^ 1, p.last() ^ 1 << 70] {
                    let host = Subject::V6(Prefix6::host(a));
                    let want = naive(&facts, |s| match s { Subject::V6(p) if s.covers(&host) => Some(p.len()), _ => None });
                    let v = t.interned.value(t.ip6.get(a));
                    let got: Vec<_> = v.items.iter().map(|i| (i.reason.0, text(i.text), i.len)).collect();
                    prop_assert_eq!(got, want, "{}", host);
                },
                Subject::Domain(_) => {}
            }
        }
    }

    /// A zone can publish what some sources, a family, several reasons or sources together, or a
    /// score list: each point is listed as the rule says of its listings, and the zone is as any
    /// other.
    #[test]
    fn rules_list_a_point_by_its_listings_alone(world in any_world(), more in any_world(), noise in prop::collection::vec(any::<u32>(), 8), unseen in prop::option::of(0u16..2)) {
        let unseen = unseen.map(SourceId);
        let derivations = || Derivations::from(&rules_without(unseen));
        let mut builder = Builder::deriving(derivations());
        apply(&mut builder, &world);
        apply(&mut builder, &more);
        let facts: Facts = world.iter().chain(&more).cloned().collect();
        let wide = [48, 62, 64].map(|width| (width, with_width(&facts, Some(width))));
        let with_width = |width: Option<u8>| match width {
            Some(width) => wide.iter().find(|(w, _)| *w == width).map_or(&facts, |(_, facts)| facts),
            None => &facts,
        };
        let all: Vec<usize> = (0..RULES.len()).collect();
        let zones = [test_zone_with_rules("address", &all), test_zone_with_rules("domain", &all)];
        for (i, s) in facts.keys().enumerate() {
            let points: Vec<Subject> = match s {
                Subject::V4(p) => [p.first(), p.last(), p.first() ^ (noise[i % 8] & 0xffff)].map(Subject::host4).into(),
                Subject::V6(p) => [p.first(), p.last(), p.last() ^ 1 << 70, p.first() ^ 1, p.first() ^ 1 << 64].map(|a| Subject::V6(Prefix6::host(a))).into(),
                Subject::Domain(d) => ["", "q.", "q.r."].map(|below| Subject::Domain(Domain::from_canonical(&format!("{below}{}", d.name()), Scope::Name))).into(),
            };
            for point in points {
                let covers = |s: &Subject| match (s, &point) {
                    (Subject::V4(p), _) if s.covers(&point) => Some(p.len()),
                    (Subject::V6(p), _) if s.covers(&point) => Some(p.len()),
                    (Subject::Domain(d), Subject::Domain(asked)) => {
                        let own = d.name() == asked.name();
                        let below = asked.name().strip_suffix(d.name()).is_some_and(|rest| rest.ends_with('.'));
                        let covers = own && d.scope().name() || below && d.scope().below();
                        let labels = d.name().split('.').count() as u8;
                        covers.then_some(2 * labels + u8::from(d.scope() != Scope::Tree))
                    }
                    _ => None,
                };
                let matches = |width, within| longest_matches(&seen_within(with_width(width), within, unseen), covers);
                let name = match &point {
                    Subject::V4(p) => p.first().to_le_bytes().map(|o| o.to_string()).join("."),
                    Subject::V6(p) => super::ip6::nibbles(p.first()).iter().rev().map(|n| format!("{n:x}")).collect::<Vec<_>>().join("."),
                    Subject::Domain(d) => d.name().to_string(),
                };
                let (labels, starts) = wire(&name);
                let (asked, mut scratch) = (Asked::new(&labels, &starts), None);
                let zone = &zones[usize::from(!point.is_address())];
                let got: Vec<u8> = match find(builder.tables(), zone, &asked, &mut scratch) {
                    Found::Listed(l) => code_records(&builder, zone, l).iter().map(|(code, _)| code[3] - 2).collect(),
                    _ => vec![],
                };
                let want = (0u8..).zip(naive_listed(matches, point.family()));
                let want: Vec<u8> = want.filter(|(_, listed)| *listed).map(|(i, _)| i).collect();
                prop_assert_eq!(got, want, "{} {:?}", point, matches(None, None));
            }
        }
        // However the same facts and rules were reached, the rendering is the same.
        let mut at_once = Builder::deriving(derivations());
        apply(&mut at_once, &facts.clone().into_iter().collect::<Vec<_>>());
        let mut plain = Builder::default();
        apply(&mut plain, &world);
        apply(&mut plain, &more);
        let rederived = plain.rederived(derivations());
        let without = builder.rederived(Derivations::default());
        prop_assert_eq!(without.tables().counts(), plain.tables().counts());
        let again = without.rederived(derivations());
        // One by one, with changes that are taken back.
        let mut stepwise = Builder::deriving(derivations());
        let gone = world.iter().map(|(s, _)| (s.clone(), RawFacts::default()));
        let steps = world.iter().cloned().chain(gone).chain(world.iter().cloned()).chain(more.iter().cloned());
        steps.for_each(|step| apply(&mut stepwise, &[step]));
        stepwise.sweep();
        let from_image = image::read(&mut &image_of(builder.tables())[..], derivations()).unwrap();
        for chosen in [&[0][..], &[1], &[2], &[3], &[4], &[5, 6], &[7], &[8, 9], &[10], &[11], &[12, 13], &[RULES.len(), 2, 7, 10]] {
            for kind in ["address", "domain"] {
                let zone = test_zone_with_rules(kind, chosen);
                let naive = Naive4592::new(&builder, &zone);
                for name in names(&facts, &noise) {
                    prop_assert_eq!(shown(&builder, &zone, &name), naive.look_up(&name), "{} in {:?}", name, naive.0);
                }
                for same in [&at_once, &rederived, &from_image, &again, &stepwise] {
                    prop_assert_eq!(&naive.0, &Naive4592::new(same, &zone).0);
                }
            }
        }
    }

    /// The A records of an address are the codes of the reasons that list it, or one record with all
    /// bits, and have the least TTL.
    #[test]
    fn codes_are_those_of_the_naive_model(world in any_world(), noise in prop::collection::vec(any::<u32>(), 8), masks: bool) {
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let mut facts: Facts = world.into_iter().collect();
        facts.retain(|_, f| *f != RawFacts::default());
        let zone = test_zone("address", &[2, 0, 1], if masks { MASKS } else { "" });
        let hosts = facts.keys().enumerate().flat_map(|(i, s)| match s {
            Subject::V4(p) => [p.first(), p.last(), p.first() ^ (noise[i % 8] & 0xffff)].map(Subject::host4).to_vec(),
            Subject::V6(p) => [p.first(), p.last(), p.first() ^ 1].map(|a| Subject::V6(Prefix6::host(a))).to_vec(),
            Subject::Domain(_) => vec![],
        });
        for host in hosts {
            let by = naive(&facts, |s| match s {
                Subject::V4(p) if s.covers(&host) => Some(p.len()),
                Subject::V6(p) if s.covers(&host) => Some(p.len()),
                _ => None,
            });
            let by: Vec<u8> = [2, 0, 1].into_iter().filter(|r| by.iter().any(|b| b.0 == *r)).collect();
            let want: Vec<([u8; 4], u32)> = match masks {
                _ if by.is_empty() => vec![],
                true => {
                    let bits = by.iter().fold(0, |all, r| all | 2 << r);
                    let ttl = by.iter().map(|r| (9 - u32::from(*r)) * 60).min().unwrap();
                    vec![([127, 0, 0, bits], ttl)]
                }
                false => by.iter().map(|r| ([127, 0, 0, r + 2], 300)).collect(),
            };
            let name = match &host {
                Subject::V4(p) => p.first().to_le_bytes().map(|o| o.to_string()).join("."),
                Subject::V6(p) => super::ip6::nibbles(p.first()).iter().rev().map(|n| format!("{n:x}")).collect::<Vec<_>>().join("."),
                Subject::Domain(_) => unreachable!("only hosts are queried"),
            };
            let (labels, starts) = wire(&name);
            let (asked, mut scratch) = (Asked::new(&labels, &starts), None);
            let got = match find(builder.tables(), &zone, &asked, &mut scratch) {
                Found::Listed(l) => code_records(&builder, &zone, l),
                _ => vec![],
            };
            prop_assert_eq!(got, want, "{}", host);
        }
    }

    /// A name is answered as RFC 4592 answers it in the rendered zone.
    #[test]
    fn answers_are_those_of_the_rendering(world in any_world(), noise in prop::collection::vec(any::<u32>(), 8), zone in 0..4usize, masks: bool) {
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let facts: Facts = world.into_iter().collect();
        let publish = [&[0, 1, 2][..], &[1], &[2, 0], &[0, 1, 2]][zone];
        let masks = if masks { MASKS } else { "" };
        let mapped = if zone == 3 { "ipv4_mapped = true" } else { "" };
        let addresses = test_zone("address", publish, &format!("{masks}\n{mapped}"));
        let domain = |extra| test_zone("domain", publish, &format!("{masks}\n{extra}"));
        let both = domain(format!("addresses = 'both'\n{mapped}"));
        let hashes = test_zone("hash", publish, &format!("{masks}\n{HASH}"));
        for zone in [addresses, domain(String::new()), domain("addresses = true".into()), both, hashes] {
            let naive = Naive4592::new(&builder, &zone);
            let mut asked = names(&facts, &noise);
            if zone.spec.ipv4_mapped {
                let v4: Vec<u32> = facts.keys().filter_map(|s| match s { Subject::V4(p) => Some(p.first()), _ => None }).collect();
                for a in v4 {
                    let n: Vec<String> = super::ip6::nibbles(0xffff << 32 | u128::from(a)).iter().rev().map(|n| format!("{n:x}")).collect();
                    asked.extend((0..32).map(|i| n[i..].join(".")));
                }
            }
            for name in asked {
                prop_assert_eq!(shown(&builder, &zone, &name), naive.look_up(&name), "{} in {:?}", name, naive.0);
            }
        }
    }

    /// Names and addresses of one zone are apart from the first label on.
    #[test]
    fn domain_zone_with_addresses_answers_names_and_addresses_as_a_zone_of_each(
        world in any_world(), noise in prop::collection::vec(any::<u32>(), 8), both in any::<bool>(),
    ) {
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let facts: Facts = world.into_iter().collect();
        let (of_addresses, of_names) = (test_zone("address", &[0, 1], ""), test_zone("domain", &[0, 1], ""));
        let zone = test_zone("domain", &[0, 1], if both { "addresses = 'both'" } else { "addresses = true" });
        for name in names(&facts, &noise) {
            let labels: Vec<&str> = name.rsplit('.').collect();
            let host = labels.len() == 4 && labels.iter().all(|l| octet(l.as_bytes()).is_some());
            let (same, is_compared) = match zone.spec.addresses.is_label(labels[0].as_bytes()) {
                // Without IPv6, names between and wildcards are others.
                true => (&of_addresses, both || host),
                false => (&of_names, true),
            };
            if is_compared && labels[0] != "127" && !name.is_empty() {
                let [mut got, mut want] = [&zone, same].map(|z| shown(&builder, z, &name));
                if !both && host {
                    // The labels of a host can be the first nibbles of IPv6 addresses.
                    [&mut got, &mut want].into_iter().filter(|s| *s == "nodata").for_each(|s| *s = "nxdomain".into());
                }
                prop_assert_eq!(got, want, "{}", name);
            }
        }
    }

    /// However the same facts were reached, and also from an image, the rendering is the same.
    #[test]
    fn changes_in_any_order_render_the_same(before in any_world(), after in any_world(), parts in 1..4usize) {
        let (mut stepwise, mut at_once) = (Builder::default(), Builder::default());
        apply(&mut stepwise, &before);
        let kept = stepwise.tables().clone();
        let zones = [
            test_zone("address", &[0, 1, 2], "ipv4_mapped = true"),
            test_zone("domain", &[0, 1], ""),
            test_zone("domain", &[0, 1], "addresses = 'both'"),
            test_zone("domain", &[1, 2], MASKS),
            test_zone("hash", &[0, 1], HASH),
        ];
        let old: Vec<_> = zones.iter().map(|z| Naive4592::new(&stepwise, z).0).collect();
        let gone: Vec<_> = before.iter().map(|(s, _)| (s.clone(), RawFacts::default())).collect();
        for part in gone.chunks(parts).chain(after.chunks(parts)) {
            apply(&mut stepwise, part);
        }
        stepwise.sweep();
        let facts: Facts = after.into_iter().collect();
        apply(&mut at_once, &facts.into_iter().collect::<Vec<_>>());
        let mut from_image = image::read(&mut &image_of(stepwise.tables())[..], Derivations::default()).unwrap();
        for (zone, old) in zones.iter().zip(old) {
            let want = Naive4592::new(&at_once, zone).0;
            prop_assert_eq!(&Naive4592::new(&stepwise, zone).0, &want);
            prop_assert_eq!(&Naive4592::new(&from_image, zone).0, &want);
            // The snapshot that was taken first has not changed.
            let mut same = BTreeMap::new();
            render(&kept, zone, &mut |o, _| { same.insert(o.to_vec(), ()); });
            prop_assert_eq!(same.len(), old.len());
        }
        prop_assert_eq!(stepwise.tables().counts(), at_once.tables().counts());
        prop_assert_eq!(from_image.tables().counts(), at_once.tables().counts());
        // Tables from an image change like any others.
        for builder in [&mut from_image, &mut at_once] {
            apply(builder, &before);
        }
        for zone in &zones {
            prop_assert_eq!(Naive4592::new(&from_image, zone).0, Naive4592::new(&at_once, zone).0);
        }
    }

    #[test]
    fn a_damaged_image_is_refused_and_never_a_panic(world in any_world(), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let mut bytes = image_of(builder.tables());
        let at = cut.index(bytes.len());
        bytes[at] ^= flip;
        let _ = image::read(&mut &bytes[..], Derivations::default());
        let _ = image::read(&mut &bytes[..at], Derivations::default());
    }
}

#[test]
fn no_apex_wildcard_and_no_family_is_taken_for_the_other() {
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
    let world: Vec<_> = ["2.0.0.0/8", "2620::/19", "1.2.3.4"]
        .map(|s| (s.parse().unwrap(), listed.clone()))
        .into();
    apply(&mut builder, &world);
    let zone = test_zone("address", &[0], "");
    let owners = Naive4592::new(&builder, &zone).0;
    assert!(
        !owners.contains_key("*"),
        "B24: a zone never lists the world"
    );
    for k in owners.keys().filter_map(|k| k.strip_prefix("*.")) {
        let labels: Vec<&str> = k.split('.').collect();
        let nibbles = labels.iter().all(|l| l.len() == 1);
        assert!(
            !nibbles || labels.len() >= 4,
            "X4: *.{k} could match the other family"
        );
    }
    assert_eq!(
        shown(&builder, &zone, "1.0.6.2"),
        records_of(&builder, &zone, "1.0.6.2")
    );
    assert_eq!(shown(&builder, &zone, "2"), "nodata");
}

fn records_of(builder: &Builder, zone: &ZoneView, name: &str) -> String {
    Naive4592::new(builder, zone).look_up(name)
}

fn listed() -> RawFacts {
    RawFacts {
        exempt: false,
        facts: vec![RawFact {
            aged: Default::default(),
            reason: ReasonId(0),
            source: SourceId(0),
            exclusion: false,
            text: Default::default(),
        }],
    }
}

fn listing(subjects: &[&str]) -> Builder {
    let listed = listed();
    let exempt = RawFacts {
        exempt: true,
        facts: vec![],
    };
    let mut builder = Builder::default();
    let one = |s: &&str| match s.strip_prefix('!') {
        Some(s) => (s.parse().unwrap(), exempt.clone()),
        None => (s.parse().unwrap(), listed.clone()),
    };
    apply(&mut builder, &subjects.iter().map(one).collect::<Vec<_>>());
    builder
}

/// RFC 4592 sections 2.1.1 and 4.2: a wildcard is an ordinary name, and nothing is below it.
#[test]
fn nothing_stands_below_a_wildcard_itself() {
    let builder = listing(&["*.bad.test", "203.0.0.0/16", "2a00:1234::/32"]);
    let six = "4.3.2.1.0.0.a.2";
    for (kind, parent) in [
        ("domain", "bad.test"),
        ("address", "0.203"),
        ("address", six),
    ] {
        let zone = test_zone(kind, &[0], "");
        for (name, listed) in [
            ("*", true),
            ("x", true),
            ("x.*", false),
            ("*.*", false),
            ("*.x", true),
            ("x.*.y", true),
        ] {
            let name = format!("{name}.{parent}");
            let got = shown(&builder, &zone, &name);
            assert_eq!(got, records_of(&builder, &zone, &name), "{name}");
            assert_eq!(got != "nxdomain", listed, "{name}: {got}");
        }
    }
    let zone = test_zone("address", &[0], "ipv4_mapped = true");
    let mapped = "0.0.b.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";
    for name in ["*", "x.*", "x"] {
        let name = format!("{name}.{mapped}");
        assert_eq!(
            shown(&builder, &zone, &name),
            records_of(&builder, &zone, &name),
            "{name}"
        );
    }
}

/// RFC 5782 section 5: the test points of names and of addresses.
#[test]
fn domain_zone_with_addresses_has_the_test_points_of_both() {
    let builder = listing(&[
        "bad.example",
        "45.51.100.7",
        "45.51.101.0/24",
        "45.0.0.0/20",
    ]);
    let nibbles = |last: u8| format!("{last}.0.0.0.0.0.f.7.f.f.f.f{}", ".0".repeat(20));
    let listed = |extra: &str, name: &str| {
        let shown = shown(&builder, &test_zone("domain", &[0], extra), name);
        !["nxdomain", "nodata"].contains(&&*shown)
    };
    for (name, none, ip4, both) in [
        ("test", true, true, true),
        ("invalid", false, false, false),
        ("2.0.0.127", false, true, true),
        ("1.0.0.127", false, false, false),
        ("3.0.0.127", false, false, false),
        (&nibbles(2), false, false, true),
        (&nibbles(1), false, false, false),
        ("bad.example", true, true, true),
        ("7.100.51.45", false, true, true),
        ("x.7.100.51.45", false, false, false),
        ("8.100.51.45", false, false, false),
        ("9.101.51.45", false, true, true),
        ("9.15.0.45", false, true, true),
        ("9.16.0.45", false, false, false),
    ] {
        assert_eq!(listed("", name), none, "{name}");
        assert_eq!(listed("addresses = true", name), ip4, "{name}");
        assert_eq!(listed("addresses = 'both'", name), both, "{name}");
    }
}

/// A stored name of digits must not answer for another address, or hide one.
#[test]
fn domain_zone_with_addresses_has_no_names_below_labels_of_addresses() {
    let numeric = |name: &str| Subject::Domain(Domain::parse_any(name).unwrap());
    let mut builder = listing(&["45.51.100.0/24", "bad.example"]);
    let (listed, exempt) = (
        listed(),
        RawFacts {
            exempt: true,
            facts: vec![],
        },
    );
    apply(
        &mut builder,
        &[
            (numeric("9.9.9.46"), listed.clone()),
            (numeric(".256"), listed),
            (numeric("7.100.51.45"), exempt),
        ],
    );
    let zone = test_zone("domain", &[0], "addresses = true");
    let owners: Vec<String> = Naive4592::new(&builder, &zone).0.into_keys().collect();
    assert_eq!(
        owners,
        [
            "",
            "*.100.51.45",
            "*.256",
            "2.0.0.127",
            "256",
            "bad.example",
            "test"
        ]
    );
}

#[test]
fn static_name_of_a_domain_zone_with_addresses_cannot_be_part_of_an_address() {
    let with = |extra: &str, name: &str| {
        let zone = test_zone("domain", &[0], extra).spec;
        let record = format!("[[record]]\nname = '{name}'\ntype = 'A'\ndata = '192.0.2.1'\n");
        let text = toml::to_string(&zone).unwrap().replace("record = []\n", "") + &record;
        let mut reasons = Reasons::default();
        reasons.add("r0").unwrap();
        ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &HashMap::new()).is_ok()
    };
    for (name, none, ip4) in [
        ("www", true, true),
        ("7.www", true, true),
        ("www.7", true, false),
        ("f", true, false),
        ("test", false, false),
    ] {
        assert_eq!(with("", name), none, "{name}");
        assert_eq!(with("addresses = true", name), ip4, "{name}");
    }
}

#[test]
fn a_fixed_name_hides_no_tree_below_it() {
    let builder = listing(&[".www.example", "*.mail.example"]);
    let record = |n: &str| format!("[[record]]\nname = '{n}'\ntype = 'A'\ndata = '192.0.2.1'\n");
    let zone = test_zone("domain", &[0], "");
    let text =
        toml::to_string(&zone.spec).unwrap() + &record("www.example") + &record("x.mail.example");
    let mut reasons = Reasons::default();
    (0..3).for_each(|i| drop(reasons.add(&format!("r{i}"))));
    let zone = ZoneView::new(
        &toml::from_str(&text.replace("record = []\n", "")).unwrap(),
        &reasons,
        &HashMap::new(),
    )
    .unwrap();
    let all = Naive4592::new(&builder, &zone);
    assert!(
        all.0.contains_key("*.www.example") && all.0["www.example"].contains("Rr"),
        "{:?}",
        all.0
    );
    for name in [
        "www.example",
        "a.www.example",
        "*.www.example",
        "mail.example",
        "x.mail.example",
        "y.mail.example",
        "z.x.mail.example",
    ] {
        assert_eq!(shown(&builder, &zone, name), all.look_up(name), "{name}");
    }
}

#[test]
fn what_is_longer_than_a_name_can_be_is_not_rendered() {
    let long = |n: usize| vec!["a".repeat(49); 5].join(".")[..n].to_string();
    let names = [
        long(236),
        long(238),
        format!("*.{}", long(237).replacen('a', "b", 1)),
        format!(".{}", long(235).replacen('a', "c", 1)),
    ];
    let builder = listing(&names.each_ref().map(String::as_str));
    let zone = test_zone("domain", &[0], "");
    let origin = zone.origin.len();
    let mut owners = 0;
    render(builder.tables(), &zone, &mut |owner, _| {
        owners += 1;
        assert!(owner.len() + origin <= 255, "{}", owner.len() + origin);
    });
    assert!(owners >= 4, "{owners}");
    assert_ne!(shown(&builder, &zone, &long(236)), "nxdomain");
}

#[test]
fn an_exception_in_a_tree_is_a_name_with_hinfo() {
    let builder = listing(&[".bad.test", "!.good.bad.test"]);
    let zone = test_zone("domain", &[0], "");
    assert_eq!(shown(&builder, &zone, "good.bad.test"), "HINFO");
    assert_eq!(shown(&builder, &zone, "x.good.bad.test"), "nxdomain");
}

#[test]
fn a_hash_zone_has_digests_of_its_form_and_nothing_below_them() {
    let [one, other, digits, longer] = DIGESTS;
    let (tree, below) = (format!(".{other}"), format!("x.{one}"));
    let builder = listing(&[
        one,
        &tree,
        digits,
        longer,
        &below,
        "bad.test",
        &format!("!{digits}"),
    ]);
    let zone = test_zone("hash", &[0], HASH);
    let owners: Vec<String> = Naive4592::new(&builder, &zone).0.into_keys().collect();
    assert_eq!(
        owners,
        ["", one, other, "test"],
        "the exempt one, names and other lengths are not there"
    );
    assert!(
        shown(&builder, &zone, one).ends_with(&format!("={one};")),
        "{}",
        shown(&builder, &zone, one)
    );
    for name in [
        digits,
        longer,
        &below,
        &format!("x.{other}"),
        "bad.test",
        "invalid",
        "x.test",
    ] {
        assert_eq!(shown(&builder, &zone, name), "nxdomain", "{name}");
    }
    assert!(shown(&builder, &zone, "test").starts_with("[Rr"));
}

#[test]
fn a_fixed_name_of_a_hash_zone_cannot_be_a_digest() {
    let with = |name: &str| {
        let record = format!("[[record]]\nname = '{name}'\ntype = 'A'\ndata = '192.0.2.1'\n");
        let text = toml::to_string(&test_zone("hash", &[0], HASH).spec)
            .unwrap()
            .replace("record = []\n", "")
            + &record;
        let mut reasons = Reasons::default();
        (0..3).for_each(|i| drop(reasons.add(&format!("r{i}"))));
        ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &HashMap::new()).map(|_| ())
    };
    assert_eq!(with("www"), Ok(()));
    assert_eq!(with(DIGESTS[3]), Ok(()), "another length");
    for (name, part) in [
        (DIGESTS[0], "could be a digest"),
        ("test", "test point of a hash zone"),
        ("*", "wildcards"),
    ] {
        assert!(with(name).unwrap_err().contains(part), "{name}");
    }
}

#[test]
fn the_writer_frees_what_readers_have_left() {
    let published = super::Published::default();
    let reader = published.snapshot();
    let guard = published.load();
    let old = std::sync::Arc::downgrade(&reader);
    published.replace(super::Snapshot {
        seq: 1,
        ..Default::default()
    });
    drop(guard);
    drop(reader);
    assert!(old.upgrade().is_some(), "the last reader does not free it");
    published.sweep();
    assert!(old.upgrade().is_none());
    let current = published.snapshot();
    published.sweep();
    assert_eq!(published.load().seq, 1);
    published.replace(super::Snapshot::default());
    published.replace(super::Snapshot::default());
    assert_eq!(
        std::sync::Arc::strong_count(&current),
        2,
        "kept while it is read"
    );
}

/// Whether a /16 with many runs has a wildcard is decided in few steps.
#[test]
fn a_block_of_many_runs_is_answered_quickly() {
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
    let holes = (0..5000u32).map(|i| {
        (
            Subject::V4(Prefix4::new(0x0c22_0000 + i * 13, 31)),
            exempt.clone(),
        )
    });
    let hosts = (0..5000u32).map(|i| (Subject::host4(0x0c22_0000 + i * 13 + 1), listed.clone()));
    let mut builder = Builder::default();
    let wide = (Subject::V4(Prefix4::new(0x0c22_0000, 16)), listed.clone());
    apply(
        &mut builder,
        &holes.chain(hosts).chain([wide]).collect::<Vec<_>>(),
    );
    let zone = test_zone("address", &[0], "");
    let begun = std::time::Instant::now();
    for i in 0..1000 {
        assert_ne!(shown(&builder, &zone, &format!("x{i}.34.12")), "nxdomain");
    }
    let each = begun.elapsed() / 1000;
    println!("a branch of a /16 with 5,000 runs: {each:?}");
    assert!(each < std::time::Duration::from_millis(2), "{each:?}");
}
