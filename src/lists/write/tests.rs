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

#[test]
fn sets_hold_one_address_family() {
    let snapshot = snapshot("address", &world("2.0.0.0/8 2a00:1::/32"));
    let nft = exported("nftables", "", &snapshot);
    let (four, six) = nft
        .split_once("add element inet orbsd bl_orbs_example_v6 {\n")
        .unwrap();
    assert!(
        four.contains("\n2.0.0.0/8,\n}\n") && !four.contains("2a00"),
        "{nft}"
    );
    assert_eq!(six, "2a00:1::/32,\n}\n");
    let ipset = exported("ipset", "", &snapshot);
    assert!(
        ipset.contains(
            "add bl_orbs_example_v4_new 2.0.0.0/8\nswap bl_orbs_example_v4_new bl_orbs_example_v4\n"
        ),
        "{ipset}"
    );
    assert!(ipset.ends_with(
        "add bl_orbs_example_v6_new 2a00:1::/32\nswap bl_orbs_example_v6_new bl_orbs_example_v6\ndestroy bl_orbs_example_v6_new\n"
    ));
    let rpz = exported("rpz", "", &snapshot);
    assert!(
        rpz.contains("\n8.0.0.0.2.rpz-client-ip CNAME .\n32.zz.1.2a00.rpz-client-ip CNAME .\n"),
        "{rpz}"
    );
}

#[test]
fn texts_name_the_listed_prefix_and_not_every_address() {
    let snapshot = snapshot(
        "address",
        &world("45.1.0.0/16=in_$ 45.2.0.4=host_$ 45.2.0.5=host_$ 46.1.1.1=alone_$ !45.1.0.0/24"),
    );
    let postfix = exported("postfix", "", &snapshot);
    for want in [
        "\n45.1.128.0/17 REJECT in 45.1.0.0/16\n",
        "\n45.2.0.4/31 REJECT host 45.2.0.4/31\n",
        "\n46.1.1.1 REJECT alone 46.1.1.1\n",
    ] {
        assert!(postfix.contains(want), "{want}{postfix}");
    }
    let jsonl = exported("jsonl", "", &snapshot);
    let want = "{\"reasons\":[{\"code\":\"127.0.0.2\",\"reason\":\"r0\",\"text\":\"host 45.2.0.5\"}],\"subject\":\"45.2.0.5\"}";
    assert!(jsonl.lines().any(|l| l == want), "{jsonl}");
    let rpz = exported("rpz", "192.0.2.80", &snapshot);
    assert!(rpz.contains("\n31.4.0.2.45.rpz-client-ip A 192.0.2.80\n31.4.0.2.45.rpz-client-ip TXT \"host 45.2.0.4/31\"\n"), "{rpz}");
}

#[test]
fn test_points_are_only_in_formats_for_clients() {
    for kind in ["address", "domain"] {
        let snapshot = snapshot(kind, &world("45.1.1.1 .a.test"));
        assert!(
            exported("master", "", &snapshot).contains(if kind == "address" {
                "\n2.0.0.127 A "
            } else {
                "\ntest A "
            })
        );
        for format in FORMATS
            .iter()
            .filter(|f| check(f, "", snapshot.zones.all()[0].spec.kind).is_ok())
        {
            let text = exported(format, "", &snapshot);
            assert!(
                !text.contains("127.0.0.2\",\"reasons")
                    && !text.contains("\ntest ")
                    && !text.contains("0.0.127."),
                "{format}: {text}"
            );
            assert!(!held_has_loopback(format, &text), "{format}: {text}");
        }
    }
}

fn held_has_loopback(format: &str, text: &str) -> bool {
    let loopback = Subject::V4(Prefix4::new(0x7f00_0002, 32));
    held(format, text).iter().any(|p| p.covers(&loopback))
}

#[test]
fn every_file_names_the_serial() {
    let snapshot = snapshot("address", &world("45.1.1.1"));
    for w in WRITERS.iter().filter(|w| w.name != "nsd") {
        let first = exported(w.name, "", &snapshot)
            .lines()
            .next()
            .unwrap()
            .to_string();
        let want = if w.name == "jsonl" {
            "\"serial\":7".to_string()
        } else {
            format!("bl.orbs.example serial 7 as {}", w.name)
        };
        assert!(first.contains(&want), "{first}");
    }
    assert!(
        exported("rpz", "", &snapshot)
            .contains("\n@ SOA ns1.orbs.example. h.orbs.example. 7 600 300 ")
    );
}

#[test]
fn exclusions_below_listed_wildcards_pass() {
    let snapshot = snapshot(
        "domain",
        &world("*.a.bx !.ok.a.bx x.y.ok.a.bx .t.rpz-client-ip plain.bx"),
    );
    let rpz = exported("rpz", "nodata", &snapshot);
    let rules: Vec<&str> = rpz.lines().filter(|l| l.contains("CNAME")).collect();
    let want = [
        "a.bx", // not listed: only names below it are
        "*.a.bx CNAME *.",
        "ok.a.bx CNAME rpz-passthru.",
        "*.ok.a.bx CNAME rpz-passthru.",
        "x.y.ok.a.bx CNAME *.",
        "plain.bx CNAME *.",
    ];
    assert_eq!(rules.len(), want.len() - 1, "{rules:#?}");
    assert!(want[1..].iter().all(|w| rules.contains(w)), "{rules:#?}");
    let jsonl = exported("jsonl", "", &snapshot);
    assert!(
        jsonl.contains(
            "{\"reasons\":[],\"subject\":\"ok.a.bx\"}\n{\"reasons\":[],\"subject\":\"*.ok.a.bx\"}"
        ),
        "{jsonl}"
    );
    let local = exported("rpz", "2001:db8::80", &snapshot);
    assert!(
        local.contains("\nplain.bx AAAA 2001:db8::80\nplain.bx TXT \"reason 0: plain.bx\"\n"),
        "{local}"
    );
}

#[test]
fn ipv6_triggers_are_spelt_canonically() {
    for (text, want) in [
        ("2a00::/19", "19.zz.2a00"),
        ("2a00:0:0:1::/64", "64.zz.1.0.0.2a00"),
        ("2a00:0:0:1:0:0:1:1", "128.1.1.0.0.1.zz.2a00"),
        ("2a00:1:0:2:3:4:5:6", "128.6.5.4.3.2.0.1.2a00"),
        ("2a00::1", "128.1.zz.2a00"),
    ] {
        let Ok(Subject::V6(p)) = text.parse::<Subject>() else {
            panic!("{text}")
        };
        assert_eq!(
            format!("{}.{}", p.len(), super::rpz::address_groups(p)),
            want
        );
    }
}

#[test]
fn unsupported_format_is_refused_with_the_supported_ones() {
    for format in ["postfix", "nftables", "ipset"] {
        let why = check(format, "", ZoneKind::Domain).err().unwrap();
        assert!(
            why.contains("rpz") && why.contains("jsonl") && !why.contains("ipset,"),
            "{why}"
        );
    }
    let why = check("rpz", "", ZoneKind::Hash).err().unwrap();
    assert!(
        why.contains("a hash zone has digests") && why.contains("rbldnsd"),
        "{why}"
    );
    let why = check("nftables", "", ZoneKind::Hash).err().unwrap();
    assert!(why.contains("jsonl") && !why.contains("rpz"), "{why}");
    assert!(
        check("pdf", "", ZoneKind::Address)
            .err()
            .unwrap()
            .contains("nftables")
    );
    assert!(
        check("list", "drop", ZoneKind::Address)
            .err()
            .unwrap()
            .contains("rpz")
    );
    for good in [
        "",
        "nxdomain",
        "nodata",
        "drop",
        "tcp-only",
        "passthru",
        "192.0.2.1",
        "2001:db8::1",
        "garden.example.org",
    ] {
        assert!(check("rpz", good, ZoneKind::Domain).is_ok(), "{good}");
    }
    for bad in ["reject", "a b.c", "..", "x\n.y"] {
        assert!(
            check("rpz", bad, ZoneKind::Domain)
                .err()
                .unwrap()
                .contains("nxdomain"),
            "{bad}"
        );
    }
}

#[test]
fn set_names_fit_the_length_limit() {
    let mut view = test_zone("address", &[0], "");
    for (stem, want) in [
        ("relays", "relays"),
        ("", "bl_orbs_example"),
        ("4.x", "z4_x"),
        ("a b;c", "a_b_c"),
    ] {
        view.spec.short_name = stem.into();
        assert_eq!(set_name(&view), want);
    }
    let long = |stem: &str| {
        let mut view = test_zone("address", &[0], "");
        view.spec.short_name = stem.into();
        let zones = Arc::new(ZoneSet::new(vec![view]).unwrap());
        let text = exported(
            "ipset",
            "",
            &Snapshot {
                zones,
                ..snapshot("address", &world("45.1.1.1"))
            },
        );
        text.lines()
            .find_map(|l| l.strip_prefix("flush "))
            .unwrap()
            .to_string()
    };
    let (a, b) = (
        long("a-very-long-name-of-a-zone-one"),
        long("a-very-long-name-of-a-zone-two"),
    );
    assert!(a != b && a.len() == 31 && b.len() == 31, "{a} {b}");
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

/// The report of an export of a domain zone with these subjects, as lines.
fn reported(format: &str, action: &str, snapshot: &Snapshot) -> Vec<String> {
    let report = Export::new(format, action, snapshot, 0).unwrap().report();
    report
        .changes
        .iter()
        .map(|c| format!("{:?} {} {}", c.kind, c.count, c.first.join(" ")))
        .collect()
}

#[test]
fn names_too_long_for_the_zone_are_left_out_of_every_format_and_counted() {
    let long = format!("{0}.{0}.{0}.{0}.bad.example", "l".repeat(56));
    let snapshot = snapshot(
        "domain",
        &world(&format!("{long} .{long}x *.{long}y short.bad.example")),
    );
    for format in ["master", "rbldnsd", "list", "cidr", "jsonl", "rpz"] {
        let text = exported(format, "", &snapshot);
        assert!(
            text.contains("short.bad.example") && !text.contains("llll"),
            "{format}: {text}"
        );
        assert_eq!(
            reported(format, "", &snapshot),
            [format!("NameTooLong 3 {long} .{long}x *.{long}y")],
            "{format}"
        );
    }
}

#[test]
fn names_that_a_policy_zone_cannot_have_are_left_out_and_counted() {
    let label = "l".repeat(46);
    let (long, excluded) = (
        format!("{label}.{label}.{label}.{label}.bad.example"),
        format!("{label}.{label}.{label}.{label}.w.example"),
    );
    let text =
        format!("{long} short.bad.example 32.1.100.51.45.rpz-client-ip .w.example !.{excluded}");
    let snapshot = snapshot("domain", &world(&text));
    assert_eq!(
        reported("rpz", "", &snapshot),
        [
            format!("NameTooLongForPolicyZone 1 {long}"),
            "ReservedName 1 32.1.100.51.45.rpz-client-ip".to_string(),
            format!("ExclusionTooLong 2 {excluded} *.{excluded}"),
        ]
    );
    let rpz = exported("rpz", "", &snapshot);
    assert!(rpz.contains("\nshort.bad.example CNAME .\n"), "{rpz}");
    assert!(
        ![&long[..], &excluded, "rpz-client"]
            .iter()
            .any(|left_out| rpz.contains(left_out)),
        "{rpz}"
    );
    assert_eq!(reported("master", "", &snapshot), Vec::<String>::new());
}

#[test]
fn list_export_leaves_out_a_wildcard_with_exclusions() {
    let snapshot = snapshot(
        "domain",
        &world("*.a.bx !.ok.a.bx x.y.ok.a.bx .whole.bx plain.bx"),
    );
    for format in ["list", "cidr"] {
        let text = exported(format, "", &snapshot);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(
            ["x.y.ok.a.bx", "whole.bx", "*.whole.bx", "plain.bx"]
                .iter()
                .all(|l| lines.contains(l)),
            "{text}"
        );
        assert!(
            !text.contains("\n*.a.bx\n") && !text.contains("ok.a.bx\n*.ok"),
            "{text}"
        );
        assert_eq!(
            reported(format, "", &snapshot),
            ["WildcardWithExclusions 1 *.a.bx"]
        );
    }
}

#[test]
fn rbldnsd_export_excludes_a_name_and_names_below_it_separately() {
    let snapshot = snapshot("domain", &world("*.a.bx !one.a.bx two.a.bx !*.two.a.bx"));
    let text = exported("rbldnsd", "", &snapshot);
    let has = |line: &str| text.lines().any(|l| l == line);
    assert!(
        has("!one.a.bx") && has("*.one.a.bx") && has("two.a.bx") && has("!*.two.a.bx"),
        "{text}"
    );
}

#[test]
fn merged_and_split_prefixes_are_counted() {
    let rows = world("45.1.1.1 45.1.1.4/30 2a00::1");
    let world = world(
        "45.51.100.0/23 45.51.101.0/24 45.51.101.7 45.51.102.0/25 45.51.102.128 46.0.0.0/8 !46.1.0.0/16 2a00:1::/48 2a00:1:0:2::/64",
    );
    let snapshot = snapshot("address", &world);
    for format in ["cidr", "nftables", "ipset", "rpz"] {
        assert_eq!(
            reported(format, "", &snapshot),
            [
                "Merged 3 45.51.101.7 45.51.101.0/24 2a00:1:0:2::/64",
                "Split 1 46.0.0.0/8"
            ],
            "{format}\n{}",
            exported(format, "", &snapshot)
        );
    }
    // If texts differ, each part is a separate line.
    assert_eq!(
        reported("postfix", "", &snapshot)[0]
            .split(' ')
            .take(2)
            .collect::<Vec<_>>(),
        ["Split", "4"]
    );
    let plain = snapshot_of("address", "", &rows);
    assert!(FORMATS.iter().all(|f| reported(f, "", &plain).is_empty()));
}

#[test]
fn changed_texts_are_counted() {
    let mut rows = world("45.1.1.1 45.1.1.3 45.1.1.5");
    let texts = [
        "caf\u{e9} and\ta tab".to_string(),
        "x".repeat(250) + " is $",
        "plain $$ and \"$\"".into(),
    ];
    for ((_, facts), text) in rows.iter_mut().zip(texts) {
        facts.facts[0].text = text.as_str().into();
    }
    let snapshot = snapshot("address", &rows);
    for (format, action) in [
        ("master", ""),
        ("rbldnsd", ""),
        ("jsonl", ""),
        ("postfix", ""),
        ("rpz", "192.0.2.1"),
    ] {
        assert_eq!(
            reported(format, action, &snapshot),
            ["TextReplaced 1 45.1.1.1", "TextCut 1 45.1.1.3"],
            "{format}"
        );
    }
    assert!(
        reported("list", "", &snapshot).is_empty(),
        "it has no texts"
    );
}

#[test]
fn reasons_that_a_format_cannot_carry_are_counted() {
    let mut rows = world("45.1.1.1 45.1.1.3");
    let second = RawFact {
        aged: Default::default(),
        reason: ReasonId(1),
        ..rows[0].1.facts[0].clone()
    };
    rows[0].1.facts.push(second);
    let snapshot = snapshot("address", &rows);
    for (format, action) in [("postfix", ""), ("rpz", "192.0.2.1")] {
        assert_eq!(
            reported(format, action, &snapshot),
            ["FurtherReasons 1 45.1.1.1"],
            "{format}"
        );
    }
    let mut view = test_zone("address", &[0, 1], "");
    view.publish[1].code = view.publish[0].code;
    let joined = Snapshot {
        zones: Arc::new(ZoneSet::new(vec![view]).unwrap()),
        ..snapshot
    };
    for format in ["master", "rbldnsd"] {
        assert_eq!(
            reported(format, "", &joined),
            ["ReasonsWithOneCode 1 45.1.1.1"],
            "{format}"
        );
    }
}

#[test]
fn zone_of_bit_masks_is_exported_with_the_bits_of_all_reasons() {
    let mut rows = world("45.1.1.1 45.1.1.2 45.2.0.0/16");
    let (_, host) = rows
        .iter_mut()
        .find(|(s, _)| s.to_string() == "45.1.1.1")
        .unwrap();
    let second = RawFact {
        aged: Default::default(),
        reason: ReasonId(1),
        ..host.facts[0].clone()
    };
    host.facts.push(second);
    for (extra, texts) in [("", 1), ("\ntxt = 'all'", 2)] {
        let snapshot = snapshot_of("address", &format!("{MASKS}{extra}"), &rows);
        let master = exported("master", "", &snapshot);
        assert!(master.contains("\n1.1.1.45 480 A 127.0.0.6\n"), "{master}");
        assert!(master.contains("\n2.1.1.45 540 A 127.0.0.2\n"), "{master}");
        assert!(master.contains("\n*.2.45 540 A 127.0.0.2\n"), "{master}");
        assert!(
            master.contains("\n2.0.0.127 420 A 127.0.0.14\n"),
            "{master}"
        );
        assert!(master.contains("\n8.0.0.127 420 A 127.0.0.8\n"), "{master}");
        let rbldnsd = exported("rbldnsd", "", &snapshot);
        assert_eq!(
            rbldnsd.matches("\n45.1.1.1 :127.0.0.6:").count(),
            [0, 2][texts - 1]
        );
        assert_eq!(rbldnsd.matches(":127.0.0.6:").count(), texts, "{rbldnsd}");
        assert!(rbldnsd.contains("\n$TTL 420\n"), "{rbldnsd}");
        let shorter = reported("rbldnsd", "", &snapshot);
        assert!(
            shorter.contains(&"ShorterTtl 3 45.1.1.1 45.1.1.2 45.2.0.0/16".into()),
            "{shorter:?}"
        );
        // Each reason has its own code.
        let jsonl = exported("jsonl", "", &snapshot);
        assert!(
            jsonl.contains("127.0.0.2")
                && jsonl.contains("127.0.0.4")
                && !jsonl.contains("127.0.0.6"),
            "{jsonl}"
        );
    }
}

#[test]
fn small_and_odd_zones_are_written_in_every_format() {
    let many: String = (0..1000)
        .map(|i| format!(" 46.1.{}.{}=text_{i}_of_$", i / 250, i % 250))
        .collect();
    for (text, want) in [
        ("", 0),
        ("45.1.1.1", 1),
        ("::ffff:45.51.102.1", 1),
        (&many[..], 1000),
    ] {
        let world = if text.is_empty() {
            World::new()
        } else {
            world(text.trim())
        };
        let snapshot = snapshot("address", &world);
        for back in &READ_BACK {
            let file = exported(back.format, "", &snapshot);
            let entries = (back.read)(&file, &snapshot.zones.all()[0].spec);
            let again = read_again("address", "", &entries);
            let listed = world.iter().filter(|(s, _)| lists(&again, s)).count();
            assert_eq!(
                (listed, lists(&again, &"45.1.1.2".parse().unwrap())),
                (want, false),
                "{}",
                back.format
            );
        }
        for format in FORMATS {
            assert_eq!(
                held(format, &exported(format, "", &snapshot)).is_empty(),
                want == 0,
                "{format}"
            );
        }
    }
}

#[test]
fn look_up_names_the_formats_that_leave_a_name_out() {
    let view = test_zone("domain", &[0], "");
    let formats = |name: &str| {
        let found = limits::left_out(&view, &Domain::parse(name).unwrap());
        found.iter().map(|l| l.format).collect::<Vec<_>>().join(" ")
    };
    let label = "l".repeat(56);
    let long = format!("{label}.{label}.{label}.{label}.bad.example");
    let why = limits::never_asked(&view, &Domain::parse(&long).unwrap());
    assert_eq!(
        why.as_deref(),
        Some("never asked: name and zone together have 255 characters, at most 253")
    );
    assert_eq!(formats(&long), "master rbldnsd list cidr jsonl rpz");
    let below = format!(
        "*.{}.bad.example",
        &long[..long.len() - "bad.example".len() - 3]
    );
    let why = limits::never_asked(&view, &Domain::parse(&below).unwrap()).unwrap();
    assert!(
        why.contains("a name below it and the zone together have at least 25"),
        "{why}"
    );
    assert_eq!(
        formats(&format!(
            "{label}.{label}.{label}.{}.example",
            "m".repeat(20)
        )),
        "rpz"
    );
    assert_eq!(
        (formats("a.rpz-ip"), formats("bad.example")),
        ("rpz".into(), String::new())
    );
    assert_eq!(
        limits::never_asked(&view, &Domain::parse("bad.example").unwrap()),
        None
    );
}

#[test]
fn export_of_a_hash_zone_has_only_digests() {
    let (one, digits) = (
        "d41d8cd98f00b204e9800998ecf8427e",
        "12345678901234567890123456789012",
    );
    let longer = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let world = world(&format!(
        "{one} {digits}=own_$ {longer} .bad.example x.{one} 45.1.2.3"
    ));
    let mut builder = Builder::default();
    apply(&mut builder, &world);
    let zones =
        Arc::new(ZoneSet::new(vec![test_zone("hash", &[0, 1], crate::index::HASH)]).unwrap());
    let snapshot = Snapshot {
        tables: builder.tables().clone(),
        zones,
        serials: vec![Serial(7)].into(),
        seq: 1,
        sound: true,
        ..Snapshot::default()
    };
    let lines = |format: &str| {
        let text = exported(format, "", &snapshot);
        let of = |l: &&str| {
            l.contains(one)
                || l.contains(digits)
                || l.contains(longer)
                || l.contains("bad.example")
                || l.contains("45.1.2.3")
        };
        text.lines()
            .filter(of)
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines("list"), [digits, one]);
    let master = lines("master");
    assert_eq!(master.len(), 4, "an A and a TXT record of each: {master:?}");
    let jsonl = lines("jsonl");
    assert!(
        jsonl.len() == 2 && jsonl[0].contains(&format!("own {digits}")),
        "{jsonl:?}"
    );
    let rbldnsd = lines("rbldnsd");
    assert!(
        rbldnsd.contains(&one.to_string()) && rbldnsd.contains(&digits.to_string()),
        "{rbldnsd:?}"
    );
    assert!(exported("rbldnsd", "", &snapshot).contains("dnset"));
}

impl ExportChangeKind {
    /// Whether subjects, or some of their listings, are missing from the file.
    pub fn leaves_out(self) -> bool {
        self < ExportChangeKind::ReasonsWithOneCode
    }
}
