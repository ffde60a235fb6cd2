//! Tests of comparisons against sets.

use std::{collections::BTreeSet, io::sink, net::Ipv4Addr};

use proptest::prelude::*;

use super::{
    presence::{Owner, Presence},
    *,
};
use crate::model::{Digest, Domain, Prefix4, Prefix6, Scope, Subject};

fn set<'s>(entries: impl IntoIterator<Item = &'s (Subject, bool)>) -> EntrySet {
    let place = tempfile::tempdir().unwrap();
    let mut set = EntrySet::in_folder(place.path());
    for (subject, listed) in entries {
        set.push(subject, *listed).unwrap();
    }
    set.finish().unwrap()
}

/// Compares without tests. Returns the result, the other list, and the entries that only it has.
fn compare_untested(theirs: &EntrySet, ours: &EntrySet) -> (ComparedLists, [String; 2]) {
    let (mut list, mut only_theirs) = (Vec::new(), Vec::new());
    let lines = ComparisonLines {
        list: &mut list,
        only_theirs: &mut only_theirs,
        closed: &mut sink(),
        closed_by_us: &mut sink(),
    };
    let compared = compare(theirs, ours, &TestedHosts::default(), lines).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (compared, [text(list), text(only_theirs)])
}

fn figures(theirs: &EntrySet, ours: &EntrySet) -> ComparisonFigures {
    compare_untested(theirs, ours).0.figures
}

/// The entry of a list that decides about a subject: the narrowest one that covers it; an exclusion
/// before a listing of the same subject.
fn deciding<'e>(list: &'e [(Subject, bool)], point: &Subject) -> Option<&'e (Subject, bool)> {
    let around = list.iter().filter(|(s, _)| s.covers(point));
    around.max_by(|a, b| {
        let narrower = match (a.0.covers(&b.0), b.0.covers(&a.0)) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        narrower.then((!a.1).cmp(&!b.1))
    })
}

/// The naive comparison: every point of a small universe is looked up in both lists.
fn naive(
    list: &[(Subject, bool)],
    other: &[(Subject, bool)],
    points: &[Subject],
) -> (u64, u64, u64) {
    let listed: BTreeSet<String> = list
        .iter()
        .filter(|(s, l)| *l && !list.contains(&(s.clone(), false)))
        .map(|(s, _)| s.to_string())
        .collect();
    let (mut entries, mut only, mut partly) = (0, 0, 0);
    for text in listed {
        let entry: Subject = text.parse().unwrap();
        let (mut inside, mut outside) = (false, false);
        for point in points.iter().filter(|p| entry.covers(p)) {
            // Points that an exclusion inside the entry takes away do not count.
            if !deciding(list, point).is_some_and(|(_, l)| *l) || !belongs(list, &entry, point) {
                continue;
            }
            match deciding(other, point).is_some_and(|(_, l)| *l) {
                true => inside = true,
                false => outside = true,
            }
        }
        entries += u64::from(inside || outside);
        only += u64::from(outside);
        partly += u64::from(inside && outside);
    }
    (entries, only, partly)
}

/// Whether no exclusion of the list is between an entry and a point inside it.
fn belongs(list: &[(Subject, bool)], entry: &Subject, point: &Subject) -> bool {
    let between = |s: &Subject| s != entry && entry.covers(s) && s.covers(point);
    !list.iter().any(|(s, listed)| !listed && between(s))
}

fn ip4_list() -> impl Strategy<Value = Vec<(Subject, bool)>> {
    let entry = (0..32u32, 27..=32u8, prop::bool::weighted(0.8));
    let subject = |(host, len, listed): (u32, u8, bool)| {
        (Subject::V4(Prefix4::new(0x0a00_0000 + host, len)), listed)
    };
    prop::collection::vec(entry.prop_map(subject), 0..25)
}

fn ip6_list() -> impl Strategy<Value = Vec<(Subject, bool)>> {
    let base = 0x2001_0db8_u128 << 96;
    let entry = (0..16u128, 124..=128u8, prop::bool::weighted(0.8));
    let subject = move |(host, len, listed): (u128, u8, bool)| {
        (Subject::V6(Prefix6::new(base + host, len)), listed)
    };
    prop::collection::vec(entry.prop_map(subject), 0..20)
}

proptest! {
    #[test]
    fn comparison_of_ipv4_equals_that_of_sets(theirs in ip4_list(), ours in ip4_list()) {
        let points: Vec<Subject> = (0..32).map(|i| Subject::host4(0x0a00_0000 + i)).collect();
        let figures = figures(&set(&theirs), &set(&ours));
        let (entries, only, partly) = naive(&theirs, &ours, &points);
        let counts = figures.ipv4;
        prop_assert_eq!(
            (counts.theirs, counts.both, counts.only_theirs, counts.partly_ours, counts.untested),
            (entries, entries - only, only, partly, only)
        );
        let (entries, only, _) = naive(&ours, &theirs, &points);
        prop_assert_eq!((counts.ours, counts.only_ours), (entries, only));
        let lists = |list: &[(Subject, bool)], p: &Subject| deciding(list, p).is_some_and(|e| e.1);
        let count = |f: &dyn Fn(&Subject) -> bool| points.iter().filter(|p| f(p)).count() as u128;
        let expected = Coverage {
            theirs: count(&|p| lists(&theirs, p)),
            ours: count(&|p| lists(&ours, p)),
            both: count(&|p| lists(&theirs, p) && lists(&ours, p)),
        };
        prop_assert_eq!(figures.ipv4_addresses, expected);
    }

    #[test]
    fn comparison_of_ipv6_equals_that_of_sets(theirs in ip6_list(), ours in ip6_list()) {
        let base = 0x2001_0db8_u128 << 96;
        let points: Vec<Subject> = (0..16).map(|i| Subject::V6(Prefix6::host(base + i))).collect();
        let counts = figures(&set(&theirs), &set(&ours)).ipv6;
        let (entries, only, partly) = naive(&theirs, &ours, &points);
        prop_assert_eq!(
            (counts.theirs, counts.only_theirs, counts.partly_ours),
            (entries, only, partly)
        );
        let (entries, only, _) = naive(&ours, &theirs, &points);
        prop_assert_eq!((counts.ours, counts.only_ours), (entries, only));
    }

    #[test]
    fn comparison_of_names_equals_that_of_sets(theirs in name_list(), ours in name_list()) {
        // A name without children stands for all names below it that no list has.
        let points: Vec<Subject> = names(3)
            .into_iter()
            .flat_map(|n| [n.clone(), format!("other.{n}")])
            .map(|n| Subject::Domain(Domain::from_canonical(&n, Scope::Name)))
            .collect();
        let mut found = [[0u64; 3]; 2];
        let (their_set, our_set) = (set(&theirs), set(&ours));
        super::names::compare_names(their_set.names(), our_set.names(), &mut |_, _| Ok(()), &mut |owner, _, presence| {
            let counts = &mut found[usize::from(owner == Owner::Ours)];
            counts[0] += 1;
            counts[1] += u64::from(presence != Presence::Whole);
            counts[2] += u64::from(presence == Presence::Part);
            Ok(())
        })
        .unwrap();
        let expected = [naive(&theirs, &ours, &points), naive(&ours, &theirs, &points)];
        prop_assert_eq!(found, expected.map(|(a, b, c)| [a, b, c]));
    }
}

/// All names of at most `depth` labels out of two letters, below `example`.
fn names(depth: usize) -> Vec<String> {
    let mut all = vec!["example".to_string()];
    let mut level = all.clone();
    for _ in 0..depth {
        level = level
            .iter()
            .flat_map(|n| [format!("a.{n}"), format!("b.{n}")])
            .collect();
        all.extend(level.clone());
    }
    all
}

fn name_list() -> impl Strategy<Value = Vec<(Subject, bool)>> {
    let all = names(3);
    let count = all.len();
    let entry = (0..count, 0..3usize, prop::bool::weighted(0.8));
    let subject = move |(name, scope, listed): (usize, usize, bool)| {
        let scope = [Scope::Name, Scope::Below, Scope::Tree][scope];
        let domain = Domain::from_canonical(&all[name], scope);
        (Subject::Domain(domain), listed)
    };
    prop::collection::vec(entry.prop_map(subject), 0..15)
}

/// The audit of RSS in the founding document: 31,193 hosts, of which 12,425 were not in ORBS, of
/// which tests found 828 open.
#[test]
fn audit_of_rss_has_the_figures_of_the_founding_document() {
    let host = |i: u32| Subject::host4(u32::from(Ipv4Addr::new(24, 0, 0, 1)) + 7 * i);
    let (listed, missing, open) = (31_193, 12_425, 828);
    let rss: Vec<_> = (0..listed).map(|i| (host(i), true)).collect();
    // ORBS has the others, and hosts that RSS does not have.
    let orbs: Vec<_> = (missing..listed + 200_000)
        .map(|i| (host(i), true))
        .collect();
    let mut tested = TestedHosts::default();
    let results: Vec<String> = (0..missing)
        .map(|i| format!("{} {}", host(i), if i < open { "open" } else { "closed" }))
        .collect();
    tested.add_file("tested.txt", &results.join("\n")).unwrap();
    let (mut only_theirs, mut closed) = (Vec::new(), Vec::new());
    let lines = ComparisonLines {
        list: &mut sink(),
        only_theirs: &mut only_theirs,
        closed: &mut closed,
        closed_by_us: &mut sink(),
    };
    let compared = compare(&set(&rss), &set(&orbs), &tested, lines).unwrap();
    let counts = compared.figures.total();
    assert_eq!((counts.theirs, counts.both), (31_193, 18_768));
    assert_eq!((counts.only_theirs, counts.only_ours), (12_425, 200_000));
    assert_eq!(
        (counts.tested_open, counts.tested_closed, counts.untested),
        (828, 11_597, 0)
    );
    assert_eq!(compared.closed_by_us, 0);
    let lines = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'\n').count();
    assert_eq!((lines(&only_theirs), lines(&closed)), (12_425, 11_597));
    let shares = compared.figures.shares();
    let percent = |part: EntryGroup, whole: EntryGroup| {
        let share = shares.iter().find(|s| (s.part, s.whole) == (part, whole));
        share.unwrap().percent()
    };
    let (closed, theirs) = (EntryGroup::TestedClosed, EntryGroup::Theirs);
    assert_eq!(percent(closed, EntryGroup::Tested), 93.3);
    assert_eq!(percent(closed, theirs), 37.2);
    assert_eq!(percent(EntryGroup::OnlyTheirs, theirs), 39.8);
    // The founding document divides the hosts that are not in ORBS by all hosts, and calls the
    // result a rate of false positives. No share of closed hosts is 40 %.
    let of_closed = shares.iter().filter(|s| s.part == closed);
    assert!(
        of_closed.clone().count() == 2 && of_closed.clone().all(|s| s.percent().round() != 40.0)
    );
}

#[test]
fn share_of_nothing_is_left_out() {
    let host = |text: &str| (text.parse::<Subject>().unwrap(), true);
    let shares = figures(&set(&[host("192.0.2.1")]), &set(&[])).shares();
    let pairs: Vec<_> = shares.iter().map(|s| (s.part, s.whole)).collect();
    assert!(pairs.contains(&(EntryGroup::OnlyTheirs, EntryGroup::Theirs)));
    assert!(
        shares
            .iter()
            .all(|s| s.whole_entries > 0 && s.percent() <= 100.0)
    );
    assert!(!pairs.iter().any(|(_, whole)| *whole == EntryGroup::Ours));
    assert_eq!(figures(&set(&[]), &set(&[])).shares(), []);
}

#[test]
fn prefix_that_our_list_has_in_parts_is_listed_as_a_whole() {
    let entries = |texts: &[&str]| {
        let entry = |t: &&str| (t.parse::<Subject>().unwrap(), true);
        set(&texts.iter().map(entry).collect::<Vec<_>>())
    };
    let theirs = entries(&["192.0.2.0/24", "198.51.100.0/24", "0.0.0.0/0", "::/0"]);
    let ours = entries(&["192.0.2.0/25", "192.0.2.128/25", "198.51.100.7"]);
    let figures = figures(&theirs, &ours);
    let counts = figures.ipv4;
    assert_eq!(
        (counts.both, counts.partly_ours, counts.only_theirs),
        (1, 2, 2)
    );
    assert_eq!(figures.ipv4_addresses.theirs, 1 << 32);
    assert_eq!(figures.ipv6_addresses.theirs, u128::MAX);
    assert_eq!(figures.ipv6.only_theirs, 1);
}

/// Reads subjects, each with whether it is listed: those with `!` are exclusions.
fn parsed(texts: &[&str]) -> Vec<(Subject, bool)> {
    let entry = |t: &&str| {
        let listed = !t.starts_with('!');
        (t.trim_start_matches('!').parse().unwrap(), listed)
    };
    texts.iter().map(entry).collect()
}

#[test]
fn list_has_each_listed_entry_once_and_in_order() {
    let theirs = set(&parsed(&[
        "www.bad.example",
        "2001:db8::/32",
        "192.0.2.1",
        "192.0.2.0/24",
        "192.0.2.1",
        "10.0.0.0/8",
        "192.0.2.7",
        "!192.0.2.7",
        ".bad.example",
        "bad.example",
        "!other.example",
    ]));
    let (_, [list, _]) = compare_untested(&theirs, &set(&[]));
    let expected = [
        "10.0.0.0/8",
        "192.0.2.0/24",
        "192.0.2.1",
        "2001:db8::/32",
        "bad.example",
        ".bad.example",
        "www.bad.example",
    ];
    assert_eq!(list.lines().collect::<Vec<_>>(), expected);
}

/// Lists that are long enough to be in files are compared as short ones are.
#[test]
fn long_lists_in_any_order_have_the_figures_of_their_sets() {
    let host = |i: u32| Subject::host4(0x2d00_0000 + i.wrapping_mul(2_654_435_761) % 1_000_003);
    let name = |i: u32| format!("n{}.x{}.example", i.wrapping_mul(40_503) % 7919, i % 13);
    let domain = |i: u32| name(i).parse::<Subject>().unwrap();
    let list = |range: std::ops::Range<u32>| -> BTreeSet<Subject> {
        let names = range.clone().map(domain);
        range.map(host).chain(names).collect()
    };
    let (theirs, ours) = (list(0..3000), list(1500..4500));
    let shuffled = |list: &BTreeSet<Subject>| {
        let mut all: Vec<_> = list.iter().map(|s| (s.clone(), true)).collect();
        all.sort_by_key(|(s, _)| s.to_string().bytes().rev().collect::<Vec<u8>>());
        set(&all)
    };
    let (compared, [list, only]) = compare_untested(&shuffled(&theirs), &shuffled(&ours));
    let total = compared.figures.total();
    let both = theirs.intersection(&ours).count() as u64;
    assert_eq!(
        (total.theirs, total.ours, total.both),
        (theirs.len() as u64, ours.len() as u64, both)
    );
    let texts = |subjects: &mut dyn Iterator<Item = &Subject>| -> Vec<String> {
        subjects.map(ToString::to_string).collect()
    };
    assert_eq!(list.lines().collect::<Vec<_>>(), texts(&mut theirs.iter()));
    let expected = texts(&mut theirs.difference(&ours));
    assert_eq!(only.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn digests_are_compared_as_names() {
    let digest = |i: u32| Digest::Sha1Hex.read(&format!("{:040X}", u64::from(i) << 33));
    let list = |range: std::ops::Range<u32>| {
        let entry = |i| (Subject::Domain(digest(i).unwrap()), true);
        set(&range.map(entry).collect::<Vec<_>>())
    };
    let (compared, [list, only]) = compare_untested(&list(0..300), &list(100..500));
    let names = compared.figures.names;
    assert_eq!(
        (
            names.theirs,
            names.ours,
            names.both,
            names.only_theirs,
            names.only_ours
        ),
        (300, 400, 200, 100, 200)
    );
    assert_eq!((names.untested, names.partly_ours), (100, 0));
    assert_eq!(compared.figures.total(), names);
    assert_eq!((list.lines().count(), only.lines().count()), (300, 100));
    assert_eq!(only.lines().nth(1), Some(digest(1).unwrap().name()));
    let [group] = &compared.samples[..] else {
        panic!("{:?}", compared.samples);
    };
    assert_eq!((group.group.as_str(), group.entries), ("digests", 100));
}
