//! Compares exports of small zones with their listings, by the rules of the program that loads the
//! file.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    index::{
        Asked, Builder, Found, MASKS, RawFact, RawFacts, Snapshot, ZoneSet, any_world, apply, find,
        names,
        render::{Rendered, records},
        test_zone,
        zones::rtype,
    },
    lists::{ListEntry, ListReport, Options, ReasonMapping, read},
    model::{Prefix4, Prefix6, ReasonId, Serial, SourceId, Subject, Zone, domain::MAX_NAME},
};

mod changes;
mod forms;

type World = Vec<(Subject, RawFacts)>;

fn snapshot(kind: &str, world: &[(Subject, RawFacts)]) -> Snapshot {
    let mut builder = Builder::default();
    apply(&mut builder, world);
    let zones = Arc::new(ZoneSet::new(vec![test_zone(kind, &[0, 1], "")]).unwrap());
    Snapshot {
        tables: builder.tables().clone(),
        zones,
        serials: vec![Serial(7)].into(),
        seq: 1,
        sound: true,
        ..Snapshot::default()
    }
}

/// Subjects that are listed for r0; exclusions have `!` before them, and a text can follow.
fn world(text: &str) -> World {
    let mut rows: BTreeMap<Subject, RawFacts> = BTreeMap::new();
    for word in text.split(' ') {
        let (word, text) = word.split_once('=').map_or((word, None), |(w, t)| {
            (w, Some(t.replace('_', " ").into_boxed_str()))
        });
        let (subject, exclusion) = word.strip_prefix('!').map_or((word, false), |s| (s, true));
        let fact = RawFact {
            aged: Default::default(),
            reason: ReasonId(0),
            source: SourceId(0),
            exclusion,
            text: text.into(),
        };
        rows.insert(
            subject.parse().unwrap(),
            RawFacts {
                exempt: false,
                facts: vec![fact],
            },
        );
    }
    rows.into_iter().collect()
}

fn exported(format: &str, action: &str, snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    let export = Export::new(format, action, snapshot, 0).unwrap();
    export.write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().next(), Some(&*export.first_line()), "{format}");
    text
}

/// Whether a name below the zone is listed by DNS.
fn listed(snapshot: &Snapshot, name: &str) -> bool {
    let (mut wire, mut starts, mut scratch) = (Vec::new(), Vec::new(), None);
    for l in name.split('.') {
        starts.push(wire.len() as u8);
        wire.push(l.len() as u8);
        wire.extend(l.as_bytes());
    }
    matches!(
        find(
            &snapshot.tables,
            &snapshot.zones.all()[0],
            &Asked::new(&wire, &starts),
            &mut scratch
        ),
        Found::Listed(_)
    )
}

fn lists(snapshot: &Snapshot, subject: &Subject) -> bool {
    listed(
        snapshot,
        &match subject {
            Subject::V4(p) => {
                let [a, b, c, d] = p.first().to_be_bytes();
                format!("{d}.{c}.{b}.{a}")
            }
            Subject::V6(p) => format!("{:032x}", p.first())
                .chars()
                .rev()
                .map(String::from)
                .collect::<Vec<_>>()
                .join("."),
            Subject::Domain(d) => d.name().to_string(),
        },
    )
}

/// The prefixes in a file of a format.
fn held(format: &str, text: &str) -> Vec<Subject> {
    let word = |l: &str| -> Option<String> {
        match format {
            "cidr" => (!l.starts_with('#')).then(|| l.to_string()),
            "postfix" => l.split_once(" REJECT ").map(|(p, _)| p.to_string()),
            "nftables" => l.strip_suffix(',').map(String::from),
            "ipset" => l
                .strip_prefix("add ")
                .and_then(|l| l.split_once(' '))
                .map(|(_, p)| p.to_string()),
            "jsonl" => serde_json::from_str::<serde_json::Value>(l).unwrap()["subject"]
                .as_str()
                .map(String::from),
            _ => l
                .split_once(".rpz-client-ip CNAME .")
                .map(|(o, _)| prefix(o)),
        }
    };
    text.lines()
        .filter_map(word)
        .map(|w| w.parse().unwrap_or_else(|e| panic!("{format}: {w}: {e}")))
        .collect()
}

/// A client trigger read back by the rules of the draft.
fn prefix(owner: &str) -> String {
    let mut labels: Vec<&str> = owner.split('.').collect();
    let len = labels.remove(0);
    labels.reverse();
    if labels.len() == 4 && !labels.contains(&"zz") {
        return format!("{}/{len}", labels.join("."));
    }
    let at = labels.iter().position(|l| *l == "zz");
    let zeros = vec!["0"; 8 - labels.len() + usize::from(at.is_some())];
    if let Some(at) = at {
        labels.splice(at..=at, zeros);
    }
    format!("{}/{len}", labels.join(":"))
}

/// The first and the last address, the families one after the other.
fn ends(s: &Subject) -> ((bool, u128), (bool, u128)) {
    match s {
        Subject::V4(p) => ((false, p.first().into()), (false, p.last().into())),
        Subject::V6(p) => ((true, p.first()), (true, p.last())),
        Subject::Domain(d) => panic!("{d} among addresses"),
    }
}

const FORMATS: [&str; 6] = ["cidr", "postfix", "nftables", "ipset", "rpz", "jsonl"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    /// An export covers exactly the listed addresses, each once, however subjects nest.
    #[test]
    fn exports_cover_exactly_what_is_listed(world in any_world(), noise in prop::collection::vec(any::<u32>(), 4)) {
        let snapshot = snapshot("address", &world);
        let mut fewest = None;
        for format in FORMATS {
            let held = held(format, &exported(format, "", &snapshot));
            for pair in held.windows(2) {
                prop_assert!(ends(&pair[0]).1 < ends(&pair[1]).0, "{}: {} {}", format, pair[0], pair[1]);
            }
            for (i, (s, _)) in world.iter().enumerate() {
                let noise = noise[i % 4];
                let near: Vec<Subject> = match s {
                    Subject::V4(p) => [p.first(), p.last(), p.first() ^ 1, p.last() ^ 256, p.first().wrapping_sub(1), p.first() ^ (noise & 0xffff)]
                        .map(Subject::host4).into(),
                    Subject::V6(p) => [p.first(), p.last(), p.first() ^ 1, p.last() ^ 1 << 64, p.first() ^ u128::from(noise) << 64]
                        .map(|a| Subject::V6(Prefix6::host(a))).into(),
                    Subject::Domain(_) => vec![],
                };
                for address in near {
                    prop_assert_eq!(held.iter().any(|p| p.covers(&address)), lists(&snapshot, &address), "{} {}", format, address);
                }
            }
            if ["nftables", "ipset", "rpz", "cidr"].contains(&format) {
                prop_assert_eq!(fewest.get_or_insert(held.clone()), &held, "{}", format);
            }
        }
    }

    /// Names are listed or not as in DNS, both by the closest existing name and by removing labels.
    #[test]
    fn policy_names_agree_with_dns_answers(world in any_world(), noise in prop::collection::vec(any::<u32>(), 4)) {
        let snapshot = snapshot("domain", &world);
        let text = exported("rpz", "", &snapshot);
        let rules: BTreeMap<&str, bool> = text.lines().filter_map(|l| {
            let (owner, target) = l.split_once(" CNAME ")?;
            Some((owner, target == "."))
        }).collect();
        prop_assert_eq!(rules.len(), text.matches(" CNAME ").count(), "an owner has one rule");
        let exists = |name: &str| rules.keys().any(|k| *k == name || k.ends_with(&format!(".{name}")));
        for name in names(&world.into_iter().collect(), &noise) {
            // A policy zone has no static names of the zone, and no words that cannot be names.
            if name.is_empty() || name.split('.').next_back().is_some_and(|t| ["*", "test", "127"].contains(&t)) {
                continue;
            }
            let want = listed(&snapshot, &name);
            let above = || name.match_indices('.').map(|(i, _)| &name[i + 1..]);
            let fits = |n: &&str| rules.contains_key(&*format!("*.{n}"));
            let stripped = rules.get(&*name).copied().or_else(|| above().find(fits).map(|n| rules[&*format!("*.{n}")]));
            prop_assert_eq!(stripped.unwrap_or(false), want, "labels off: {}\n{}", name, text);
            let encloser = above().find(|n| exists(n));
            let dns = match rules.get(&*name) {
                Some(r) => *r,
                None if exists(&name) => false,
                None => encloser.filter(fits).is_some_and(|n| rules[&*format!("*.{n}")]),
            };
            prop_assert_eq!(dns, want, "closest name: {}\n{}", name, text);
        }
    }
}

/// Texts that are hard to express: with quotes, semicolons, backslashes, dollar signs, a comment
/// sign, a tab or other letters, and a text that is too long.
const TEXTS: [&str; 8] = [
    "he said \"no\"; see C:\\list\\ and 50% off",
    "ends with a backslash \\",
    "two \"strings\" \"side by side\" (and a bracket",
    "price $$5; # not a comment here",
    "caf\u{e9}) and a tab\there",
    "$ is listed",
    "=frame $$1 of $",
    "LONG the end of a long one $$",
];

/// A text of [`TEXTS`], in place of each text of a world; names are put below `example`, and some
/// are made very long.
fn hard_world(world: World, noise: &[u32]) -> World {
    let mut rows: BTreeMap<Subject, RawFacts> = BTreeMap::new();
    for (i, (subject, mut facts)) in world.into_iter().enumerate() {
        for (j, fact) in facts
            .facts
            .iter_mut()
            .enumerate()
            .filter(|(_, f)| f.text.is_some())
        {
            fact.text = TEXTS[(i + j) % TEXTS.len()]
                .replace("LONG", &"x".repeat(250))
                .as_str()
                .into();
        }
        let subject = match subject {
            Subject::Domain(d) => {
                let label = "l".repeat(42 + (noise[i % noise.len()] % 20) as usize);
                let short = format!("{}.example", d.name());
                let long = format!("{label}.{label}.{label}.{label}.{short}");
                let is_long = noise[i % noise.len()].is_multiple_of(5) && long.len() <= MAX_NAME;
                let name = if is_long { long } else { short };
                Subject::Domain(Domain::from_canonical(&name, d.scope()))
            }
            address => address,
        };
        rows.insert(subject, facts);
    }
    rows.into_iter().collect()
}

/// The reader of a format's files.
struct ReadBack {
    format: &'static str,
    action: &'static str,
    /// Reads the file of a zone.
    read: fn(&str, &Zone) -> Vec<ListEntry>,
    /// Whether the file has the reasons and the texts.
    reasons: bool,
}

/// One line for each format that is read back.
const READ_BACK: [ReadBack; 9] = [
    ReadBack {
        format: "master",
        action: "",
        read: |text, of| read_as("master", text, of, true),
        reasons: true,
    },
    ReadBack {
        format: "rbldnsd",
        action: "",
        read: |text, of| read_as("rbldnsd", text, of, true),
        reasons: true,
    },
    ReadBack {
        format: "jsonl",
        action: "",
        read: |text, of| read_as("json", text, of, true),
        reasons: true,
    },
    ReadBack {
        format: "list",
        action: "",
        read: |text, of| read_as("list", text, of, false),
        reasons: false,
    },
    ReadBack {
        format: "cidr",
        action: "",
        read: |text, of| read_as("list", text, of, false),
        reasons: false,
    },
    ReadBack {
        format: "rpz",
        action: "",
        read: |text, of| read_as("rpz", text, of, false),
        reasons: false,
    },
    ReadBack {
        format: "nftables",
        action: "",
        read: |text, of| read_as("nftables", text, of, false),
        reasons: false,
    },
    ReadBack {
        format: "ipset",
        action: "",
        read: |text, of| read_as("ipset", text, of, false),
        reasons: false,
    },
    ReadBack {
        format: "postfix",
        action: "",
        read: |text, of| read_as("postfix", text, of, false),
        reasons: false,
    },
];

/// Reads a file by the reader of a format: with the codes of [`test_zone`], or all for one reason.
fn read_as(reader: &str, text: &str, zone: &Zone, codes: bool) -> Vec<ListEntry> {
    let code = |(i, last): (u8, u8)| (std::net::Ipv4Addr::new(127, 0, 0, last), ReasonId(i));
    let reasoning = match (codes, zone.bitmask) {
        (true, true) => ReasonMapping::Bits([(0, 2), (1, 4), (2, 8)].map(code).into()),
        (true, false) => ReasonMapping::Codes([(0, 2), (1, 3), (2, 4)].map(code).into()),
        (false, _) => ReasonMapping::One(ReasonId(0)),
    };
    let options = Options {
        reasoning,
        addresses: zone.addresses,
        origin: Some("bl.orbs.example".into()),
        ..Options::default()
    };
    let (mut out, mut report) = (Vec::new(), ListReport::default());
    let done = read(
        reader,
        Box::new(text.as_bytes()),
        "f",
        &options,
        &mut report,
        &mut |e| {
            out.push(e);
            Ok(())
        },
    );
    assert!(
        done.is_ok() && report.errors == 0,
        "{reader}: {done:?} {report:?}\n{text}"
    );
    out
}

/// A snapshot of the entries that were read, as one source.
fn read_again(kind: &str, extra: &str, entries: &[ListEntry]) -> Snapshot {
    let mut rows: BTreeMap<Subject, BTreeMap<ReasonId, &ListEntry>> = BTreeMap::new();
    let rank = |e: &ListEntry| (e.exclusion && !e.implied, !e.exclusion);
    for e in entries {
        let row = rows
            .entry(e.subject.clone())
            .or_default()
            .entry(e.reason)
            .or_insert(e);
        if rank(e) > rank(row) {
            *row = e;
        }
    }
    let fact = |e: &ListEntry| RawFact {
        aged: Default::default(),
        reason: e.reason,
        source: SourceId(0),
        exclusion: e.exclusion,
        text: e.text.clone().into(),
    };
    let world: World = rows
        .into_iter()
        .map(|(s, row)| {
            (
                s,
                RawFacts {
                    exempt: false,
                    facts: row.into_values().map(fact).collect(),
                },
            )
        })
        .collect();
    snapshot_of(kind, extra, &world)
}

fn snapshot_of(kind: &str, extra: &str, world: &[(Subject, RawFacts)]) -> Snapshot {
    let mut builder = Builder::default();
    apply(&mut builder, world);
    let zones = Arc::new(ZoneSet::new(vec![test_zone(kind, &[0, 1, 2], extra)]).unwrap());
    Snapshot {
        tables: builder.tables().clone(),
        zones,
        serials: vec![Serial(7)].into(),
        seq: 1,
        sound: true,
        ..Snapshot::default()
    }
}

/// The A and TXT records of a name below the zone; `None` if it is not listed.
fn answer(snapshot: &Snapshot, name: &str) -> Option<(Vec<Vec<u8>>, Vec<String>)> {
    let (mut wire, mut starts, mut scratch) = (Vec::new(), Vec::new(), None);
    for l in name.split('.') {
        starts.push(wire.len() as u8);
        wire.push(l.len() as u8);
        wire.extend(l.as_bytes());
    }
    let view = &snapshot.zones.all()[0];
    let asked = Asked::new(&wire, &starts);
    let Found::Listed(l) = find(&snapshot.tables, view, &asked, &mut scratch) else {
        return None;
    };
    let (mut a, mut txt) = (Vec::new(), Vec::new());
    records(
        &snapshot.tables.interned,
        view,
        &Rendered::Listed(l),
        &mut |kind, _, data| match kind {
            rtype::A => a.push(data.to_vec()),
            // The rbldnsd format keeps no blanks at the ends.
            _ => txt.push(String::from_utf8_lossy(&data[1..]).trim().to_string()),
        },
    );
    Some((a, txt))
}

/// Names for which the answers are compared: addresses in and around the listed prefixes, or names
/// at and around the listed ones.
fn asked_of_both(kind: &str, world: &World, noise: &[u32]) -> Vec<String> {
    let facts = world.iter().cloned().collect();
    let whole = |n: &String| {
        let labels: Vec<&str> = n.split('.').collect();
        let v4 = labels.len() == 4
            && labels
                .iter()
                .all(|l| l.parse::<u8>().is_ok_and(|o| o.to_string() == *l));
        v4 || (labels.len() == 32
            && labels
                .iter()
                .all(|l| l.len() == 1 && u8::from_str_radix(l, 16).is_ok()))
    };
    let mut out = names(&facts, noise);
    // Static records of the zone, and names too long to be queried in it, are not listings.
    let is_name = |n: &str| n.ends_with(".example") && n.len() + ".bl.orbs.example".len() <= 253;
    out.retain(|n| (whole(n) && !n.ends_with(".127")) || (kind == "domain" && is_name(n)));
    out
}

/// The kind of a zone and further keys.
fn any_zone() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("address", ""),
        ("address", "ipv4_mapped = true"),
        ("domain", ""),
        ("domain", "addresses = true"),
        ("domain", "addresses = 'both'"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    /// Every export, read back, publishes the same addresses and names, except those that its
    /// report counts as left out. Formats with reasons give the same answers.
    #[test]
    fn exports_read_back_publish_the_same(
        world in any_world(), noise in prop::collection::vec(any::<u32>(), 4), (kind, extra) in any_zone(), masks in any::<bool>(),
    ) {
        let extra = format!("{extra}\n{}", if masks { MASKS } else { "" });
        let extra = extra.as_str();
        let world = hard_world(world, &noise);
        let snapshot = snapshot_of(kind, extra, &world);
        for back in READ_BACK.iter().filter(|b| check(b.format, b.action, snapshot.zones.all()[0].spec.kind).is_ok()) {
            let mut text = Vec::new();
            let report = Export::new(back.format, back.action, &snapshot, 0).unwrap().write(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            let again = read_again(kind, extra, &(back.read)(&text, &snapshot.zones.all()[0].spec));
            let whole = !report.changes.iter().any(|c| c.kind.leaves_out() && c.kind != ExportChangeKind::NameTooLong);
            for name in asked_of_both(kind, &world, &noise) {
                let (was, is) = (answer(&snapshot, &name), answer(&again, &name));
                // The wildcard above an exclusion that is left out applies to its name.
                let more = report.changes.iter().any(|c| c.kind == ExportChangeKind::ExclusionTooLong);
                prop_assert!(more || was.is_some() || is.is_none(), "{} lists more than the zone: {}\n{}", back.format, name, text);
                prop_assert!(!whole || was.is_some() == is.is_some(), "{} lost {}\n{:?}\n{}", back.format, name, report, text);
                if back.reasons {
                    // Which text belongs to which bit is not in the file, but those of JSON have a reason each.
                    let codes = |a: Option<(Vec<Vec<u8>>, Vec<String>)>| a.map(|a| (a.0, if masks && back.format != "jsonl" { vec![] } else { a.1 }));
                    prop_assert_eq!(codes(was), codes(is), "{} {}\n{}", back.format, name, text);
                }
            }
        }
    }
}

impl ExportChangeKind {
    /// Whether subjects, or some of their listings, are missing from the file.
    pub fn leaves_out(self) -> bool {
        self < ExportChangeKind::ReasonsWithOneCode
    }
}
