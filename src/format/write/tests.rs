//! What is exported against what is listed: in any small world, by the rules of whoever loads the file.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    index::{Asked, Builder, Found, RawFact, RawFacts, Snapshot, ZoneSet, any_world, apply, find, names, test_zone},
    model::{Prefix4, Prefix6, ReasonId, Serial, SourceId, Subject},
};

type World = Vec<(Subject, RawFacts)>;

fn snapshot(kind: &str, world: &[(Subject, RawFacts)]) -> Snapshot {
    let mut builder = Builder::default();
    apply(&mut builder, world);
    let zones = Arc::new(ZoneSet::new(vec![test_zone(kind, &[0, 1], "")]).unwrap());
    Snapshot { tables: builder.tables().clone(), zones, serials: vec![Serial(7)].into(), seq: 1, sound: true, ..Snapshot::default() }
}

/// Subjects that are listed for r0; with `!` before them holes, with a text after them.
fn world(text: &str) -> World {
    let mut rows: BTreeMap<Subject, RawFacts> = BTreeMap::new();
    for word in text.split(' ') {
        let (word, text) = word.split_once('=').map_or((word, None), |(w, t)| (w, Some(t.replace('_', " ").into())));
        let (subject, hole) = word.strip_prefix('!').map_or((word, false), |s| (s, true));
        let fact = RawFact { reason: ReasonId(0), source: SourceId(0), hole, text };
        rows.insert(subject.parse().unwrap(), RawFacts { exempt: false, facts: vec![fact] });
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

/// What DNS says of a name below the zone: listed or not.
fn listed(snapshot: &Snapshot, name: &str) -> bool {
    let (mut wire, mut starts, mut scratch) = (Vec::new(), Vec::new(), None);
    for l in name.split('.') {
        starts.push(wire.len() as u8);
        wire.push(l.len() as u8);
        wire.extend(l.as_bytes());
    }
    matches!(find(&snapshot.tables, &snapshot.zones.all()[0], &Asked::new(&wire, &starts), &mut scratch), Found::Listed(_))
}

fn lists(snapshot: &Snapshot, subject: &Subject) -> bool {
    listed(
        snapshot,
        &match subject {
            Subject::V4(p) => {
                let [a, b, c, d] = p.first().to_be_bytes();
                format!("{d}.{c}.{b}.{a}")
            }
            Subject::V6(p) => format!("{:032x}", p.first()).chars().rev().map(String::from).collect::<Vec<_>>().join("."),
            Subject::Domain(d) => d.name().to_string(),
        },
    )
}

/// The prefixes that a file of a format holds.
fn held(format: &str, text: &str) -> Vec<Subject> {
    let word = |l: &str| -> Option<String> {
        match format {
            "cidr" => (!l.starts_with('#')).then(|| l.to_string()),
            "postfix" => l.split_once(" REJECT ").map(|(p, _)| p.to_string()),
            "nftables" => l.strip_suffix(',').map(String::from),
            "ipset" => l.strip_prefix("add ").and_then(|l| l.split_once(' ')).map(|(_, p)| p.to_string()),
            "jsonl" => serde_json::from_str::<serde_json::Value>(l).unwrap()["subject"].as_str().map(String::from),
            _ => l.split_once(".rpz-client-ip CNAME .").map(|(o, _)| prefix(o)),
        }
    };
    text.lines().filter_map(word).map(|w| w.parse().unwrap_or_else(|e| panic!("{format}: {w}: {e}"))).collect()
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

    /// X1, X2, X3: every listed address is inside, no other is, whatever lies in what; nothing is there twice.
    #[test]
    fn x1_x2_x3_exactly_what_is_listed_is_inside(world in any_world(), noise in prop::collection::vec(any::<u32>(), 4)) {
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

    /// X1, X2: names are listed or not as in DNS, both by the closest name that exists and by taking labels off.
    #[test]
    fn x1_x2_names_of_a_policy_say_what_dns_says(world in any_world(), noise in prop::collection::vec(any::<u32>(), 4)) {
        let snapshot = snapshot("domain", &world);
        let text = exported("rpz", "", &snapshot);
        let rules: BTreeMap<&str, bool> = text.lines().filter_map(|l| {
            let (owner, target) = l.split_once(" CNAME ")?;
            Some((owner, target == "."))
        }).collect();
        prop_assert_eq!(rules.len(), text.matches(" CNAME ").count(), "an owner has one rule");
        let exists = |name: &str| rules.keys().any(|k| *k == name || k.ends_with(&format!(".{name}")));
        for name in names(&world.into_iter().collect(), &noise) {
            // What the zone of the list has at fixed names, and what can not be a name, is no matter of a policy.
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
fn x4_families_never_stand_in_one_set() {
    let snapshot = snapshot("address", &world("2.0.0.0/8 2a00:1::/32"));
    let nft = exported("nftables", "", &snapshot);
    let (four, six) = nft.split_once("add element inet orbsd bl_orbs_example_v6 {\n").unwrap();
    assert!(four.contains("\n2.0.0.0/8,\n}\n") && !four.contains("2a00"), "{nft}");
    assert_eq!(six, "2a00:1::/32,\n}\n");
    let ipset = exported("ipset", "", &snapshot);
    assert!(ipset.contains("add bl_orbs_example_v4_new 2.0.0.0/8\nswap bl_orbs_example_v4_new bl_orbs_example_v4\n"), "{ipset}");
    assert!(ipset.ends_with(
        "add bl_orbs_example_v6_new 2a00:1::/32\nswap bl_orbs_example_v6_new bl_orbs_example_v6\ndestroy bl_orbs_example_v6_new\n"
    ));
    let rpz = exported("rpz", "", &snapshot);
    assert!(rpz.contains("\n8.0.0.0.2.rpz-client-ip CNAME .\n32.zz.1.2a00.rpz-client-ip CNAME .\n"), "{rpz}");
}

#[test]
fn x5_texts_name_what_is_listed_and_not_every_address() {
    let snapshot = snapshot("address", &world("45.1.0.0/16=in_$ 45.2.0.4=host_$ 45.2.0.5=host_$ 46.1.1.1=alone_$ !45.1.0.0/24"));
    let postfix = exported("postfix", "", &snapshot);
    for want in ["\n45.1.128.0/17 REJECT in 45.1.0.0/16\n", "\n45.2.0.4/31 REJECT host 45.2.0.4/31\n", "\n46.1.1.1 REJECT alone 46.1.1.1\n"]
    {
        assert!(postfix.contains(want), "{want}{postfix}");
    }
    let jsonl = exported("jsonl", "", &snapshot);
    let want = "{\"reasons\":[{\"code\":\"127.0.0.2\",\"reason\":\"r0\",\"text\":\"host 45.2.0.5\"}],\"subject\":\"45.2.0.5\"}";
    assert!(jsonl.lines().any(|l| l == want), "{jsonl}");
    let rpz = exported("rpz", "192.0.2.80", &snapshot);
    assert!(rpz.contains("\n31.4.0.2.45.rpz-client-ip A 192.0.2.80\n31.4.0.2.45.rpz-client-ip TXT \"host 45.2.0.4/31\"\n"), "{rpz}");
}

#[test]
fn x7_test_points_are_for_clients_of_the_list_alone() {
    for kind in ["address", "domain"] {
        let snapshot = snapshot(kind, &world("45.1.1.1 .a.test"));
        assert!(exported("master", "", &snapshot).contains(if kind == "address" { "\n2.0.0.127 A " } else { "\ntest A " }));
        for format in FORMATS.iter().filter(|f| check(f, "", snapshot.zones.all()[0].spec.kind).is_ok()) {
            let text = exported(format, "", &snapshot);
            assert!(!text.contains("127.0.0.2\",\"reasons") && !text.contains("\ntest ") && !text.contains("0.0.127."), "{format}: {text}");
            assert!(!held_has_loopback(format, &text), "{format}: {text}");
        }
    }
}

fn held_has_loopback(format: &str, text: &str) -> bool {
    let loopback = Subject::V4(Prefix4::new(0x7f00_0002, 32));
    held(format, text).iter().any(|p| p.covers(&loopback))
}

#[test]
fn x8_the_serial_is_in_every_file() {
    let snapshot = snapshot("address", &world("45.1.1.1"));
    for w in WRITERS.iter().filter(|w| w.name != "nsd") {
        let first = exported(w.name, "", &snapshot).lines().next().unwrap().to_string();
        let want = if w.name == "jsonl" { "\"serial\":7".to_string() } else { format!("bl.orbs.example serial 7 as {}", w.name) };
        assert!(first.contains(&want), "{first}");
    }
    assert!(exported("rpz", "", &snapshot).contains("\n@ SOA ns1.orbs.example. h.orbs.example. 7 600 300 "));
}

#[test]
fn exceptions_pass_below_listed_trees() {
    let snapshot = snapshot("domain", &world("*.a.bx !.ok.a.bx x.y.ok.a.bx .t.rpz-client-ip plain.bx"));
    let rpz = exported("rpz", "nodata", &snapshot);
    let rules: Vec<&str> = rpz.lines().filter(|l| l.contains("CNAME")).collect();
    let want = [
        "a.bx", // nothing: only what is below it is listed
        "*.a.bx CNAME *.",
        "ok.a.bx CNAME rpz-passthru.",
        "*.ok.a.bx CNAME rpz-passthru.",
        "x.y.ok.a.bx CNAME *.",
        "plain.bx CNAME *.",
    ];
    assert_eq!(rules.len(), want.len() - 1, "{rules:#?}");
    assert!(want[1..].iter().all(|w| rules.contains(w)), "{rules:#?}");
    let jsonl = exported("jsonl", "", &snapshot);
    assert!(jsonl.contains("{\"reasons\":[],\"subject\":\"ok.a.bx\"}\n{\"reasons\":[],\"subject\":\"*.ok.a.bx\"}"), "{jsonl}");
    let local = exported("rpz", "2001:db8::80", &snapshot);
    assert!(local.contains("\nplain.bx AAAA 2001:db8::80\nplain.bx TXT \"reason 0: plain.bx\"\n"), "{local}");
}

#[test]
fn ipv6_triggers_are_spelt_the_one_way() {
    for (text, want) in [
        ("2a00::/19", "19.zz.2a00"),
        ("2a00:0:0:1::/64", "64.zz.1.0.0.2a00"),
        ("2a00:0:0:1:0:0:1:1", "128.1.1.0.0.1.zz.2a00"),
        ("2a00:1:0:2:3:4:5:6", "128.6.5.4.3.2.0.1.2a00"),
        ("2a00::1", "128.1.zz.2a00"),
    ] {
        let Ok(Subject::V6(p)) = text.parse::<Subject>() else { panic!("{text}") };
        assert_eq!(format!("{}.{}", p.len(), super::rpz::words(p)), want);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_does() {
    for format in ["postfix", "nftables", "ipset"] {
        let why = check(format, "", ZoneKind::Domain).err().unwrap();
        assert!(why.contains("rpz") && why.contains("jsonl") && !why.contains("ipset,"), "{why}");
    }
    let why = check("rpz", "", ZoneKind::Hash).err().unwrap();
    assert!(why.contains("a hash zone has digests") && why.contains("rbldnsd"), "{why}");
    let why = check("nftables", "", ZoneKind::Hash).err().unwrap();
    assert!(why.contains("jsonl") && !why.contains("rpz"), "{why}");
    assert!(check("pdf", "", ZoneKind::Address).err().unwrap().contains("nftables"));
    assert!(check("list", "drop", ZoneKind::Address).err().unwrap().contains("rpz"));
    for good in ["", "nxdomain", "nodata", "drop", "tcp-only", "passthru", "192.0.2.1", "2001:db8::1", "garden.example.org"] {
        assert!(check("rpz", good, ZoneKind::Domain).is_ok(), "{good}");
    }
    for bad in ["reject", "a b.c", "..", "x\n.y"] {
        assert!(check("rpz", bad, ZoneKind::Domain).err().unwrap().contains("nxdomain"), "{bad}");
    }
}

#[test]
fn names_of_sets_fit() {
    let mut view = test_zone("address", &[0], "");
    for (stem, want) in [("relays", "relays"), ("", "bl_orbs_example"), ("4.x", "z4_x"), ("a b;c", "a_b_c")] {
        view.spec.stem = stem.into();
        assert_eq!(set_name(&view), want);
    }
    let long = |stem: &str| {
        let mut view = test_zone("address", &[0], "");
        view.spec.stem = stem.into();
        let zones = Arc::new(ZoneSet::new(vec![view]).unwrap());
        let text = exported("ipset", "", &Snapshot { zones, ..snapshot("address", &world("45.1.1.1")) });
        text.lines().find_map(|l| l.strip_prefix("flush ")).unwrap().to_string()
    };
    let (a, b) = (long("a-very-long-name-of-a-zone-one"), long("a-very-long-name-of-a-zone-two"));
    assert!(a != b && a.len() == 31 && b.len() == 31, "{a} {b}");
}

#[test]
fn a_hash_zone_is_exported_as_its_digests_alone() {
    let (one, digits) = ("d41d8cd98f00b204e9800998ecf8427e", "12345678901234567890123456789012");
    let longer = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let world = world(&format!("{one} {digits}=own_$ {longer} .bad.example x.{one} 45.1.2.3"));
    let mut builder = Builder::default();
    apply(&mut builder, &world);
    let zones = Arc::new(ZoneSet::new(vec![test_zone("hash", &[0, 1], crate::index::HASH)]).unwrap());
    let snapshot =
        Snapshot { tables: builder.tables().clone(), zones, serials: vec![Serial(7)].into(), seq: 1, sound: true, ..Snapshot::default() };
    let lines = |format: &str| {
        let text = exported(format, "", &snapshot);
        let of =
            |l: &&str| l.contains(one) || l.contains(digits) || l.contains(longer) || l.contains("bad.example") || l.contains("45.1.2.3");
        text.lines().filter(of).map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(lines("list"), [digits, one]);
    let master = lines("master");
    assert_eq!(master.len(), 4, "an A and a TXT record of each: {master:?}");
    let jsonl = lines("jsonl");
    assert!(jsonl.len() == 2 && jsonl[0].contains(&format!("own {digits}")), "{jsonl:?}");
    let rbldnsd = lines("rbldnsd");
    assert!(rbldnsd.contains(&one.to_string()) && rbldnsd.contains(&digits.to_string()), "{rbldnsd:?}");
    assert!(exported("rbldnsd", "", &snapshot).contains("dnset"));
}
