use std::{collections::HashSet, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::{
    lists::{ReasonMapping, records::Records},
    model::{Domain, ReasonId, Scope},
};

/// Rows in memory.
struct Set<'a>(&'a BTreeSet<Vec<u8>>, Option<&'a Vec<u8>>);

impl Rows for Set<'_> {
    fn seek(&mut self, from: &[u8]) -> Result<(), String> {
        self.1 = self.0.range(from.to_vec()..).next();
        Ok(())
    }
    fn row(&self) -> Option<&[u8]> {
        self.1.map(Vec::as_slice)
    }
    fn next(&mut self) -> Result<(), String> {
        if let Some(row) = self.1 {
            self.1 = self
                .0
                .range((Bound::Excluded(row.clone()), Bound::Unbounded))
                .next();
        }
        Ok(())
    }
}

type List = BTreeMap<Subject, BTreeMap<ReasonId, (bool, Option<Box<str>>)>>;

/// The rows that an import makes of entries, computed in a simple way.
fn list(entries: Vec<ListEntry>, wide: &dyn Fn(&Subject) -> bool) -> List {
    let mut out: BTreeMap<Subject, BTreeMap<ReasonId, ListEntry>> = BTreeMap::new();
    let rank = |e: &ListEntry| {
        if !e.exclusion {
            1
        } else {
            2 * u8::from(!e.implied)
        }
    };
    for e in entries {
        let of = out.entry(e.subject.clone()).or_default();
        match of.get(&e.reason) {
            Some(o) if rank(o) >= rank(&e) => {}
            _ => drop(of.insert(e.reason, e)),
        }
    }
    for (s, of) in &mut out {
        of.retain(|_, e| !e.implied || wide(s));
    }
    out.retain(|_, of| !of.is_empty());
    out.into_iter()
        .map(|(s, of)| {
            (
                s,
                of.into_iter()
                    .map(|(r, e)| (r, (e.exclusion, e.text)))
                    .collect(),
            )
        })
        .collect()
}

fn above(a: &Subject, s: &Subject) -> bool {
    match (a, s) {
        (Subject::V4(a), Subject::V4(s)) => a.len() < s.len() && s.widen(a.len()) == *a,
        (Subject::V6(a), Subject::V6(s)) => a.len() < s.len() && s.widen(a.len()) == *a,
        (Subject::Domain(a), Subject::Domain(s)) => {
            a != s && a.scope() == Scope::Below && s.name().ends_with(&format!(".{}", a.name()))
        }
        _ => false,
    }
}

fn options(bits: bool) -> Options {
    let codes = [(2, 0), (3, 1), (4, 1)]
        .map(|(code, reason)| (Ipv4Addr::new(127, 0, 0, code), ReasonId(reason)));
    let reasoning = match bits {
        true => ReasonMapping::Bits([codes[0], codes[2]].into()),
        false => ReasonMapping::Codes(codes.into()),
    };
    Options {
        reasoning,
        ..Options::default()
    }
}

fn whole(options: &Options, rows: &mut dyn Rows) -> List {
    let (mut report, mut all) = (ListReport::default(), Vec::new());
    let mut sink = |e| {
        all.push(e);
        Ok(())
    };
    let mut records = Records::new(Mapping::Names, "z", options, &mut report, &mut sink);
    rows.seek(&[]).unwrap();
    while let Some(row) = rows.row() {
        records.row(row).unwrap();
        rows.next().unwrap();
    }
    records.finish().unwrap();
    let wides: HashSet<Subject> = all
        .iter()
        .filter(|e| !e.exclusion)
        .map(|e| e.subject.clone())
        .collect();
    list(all, &|s| wides.iter().any(|w| above(w, s)))
}

fn row(name: &str, record: u8) -> Vec<u8> {
    let mut out = node(name);
    out.push(0);
    match record {
        2..=4 | 9 => out.extend([0, 1, 127, 0, 0, record]),
        5 => out.extend([0, 1, 192, 0, 2, 5]),
        6 => out.extend(b"\0\x10\x03why"),
        7 => out.extend(b"\0\x10\x01a\x03b $"),
        // Two bits.
        10 => out.extend([0, 1, 127, 0, 0, 6]),
        _ => out.extend(b"\0\x0f\0\x0a\0"),
    }
    out
}

fn names() -> impl Strategy<Value = String> {
    let four = prop::collection::vec(prop::sample::select(vec!["45", "46", "7"]), 1..=4)
        .prop_map(|l| l.join("."));
    let six = (
        prop::collection::vec(prop::sample::select(vec!["a", "1"]), 1..=4),
        prop::sample::select(vec![28usize, 20, 8]),
    )
        .prop_map(|(low, zeros)| {
            let high = [vec!["0"; zeros], vec!["8", "0", "a", "2"]].concat();
            [low, high].concat().join(".")
        });
    let domain = prop::collection::vec(prop::sample::select(vec!["x", "yy", "com"]), 1..=4)
        .prop_map(|l| l.join("."));
    (prop_oneof![4 => four, 2 => six, 2 => domain], any::<bool>())
        .prop_map(|(n, wild)| if wild { format!("*.{n}") } else { n })
}

fn rows() -> impl Strategy<Value = BTreeSet<Vec<u8>>> {
    let record = prop::sample::select(vec![2u8, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    prop::collection::btree_set((names(), record).prop_map(|(n, r)| row(&n, r)), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn patch_equals_reading_the_whole_zone(old in rows(), come in rows(), keep: u64, bits: bool) {
        let kept: BTreeSet<Vec<u8>> = old.iter().enumerate().filter(|(i, _)| keep >> (i % 64) & 1 == 1).map(|(_, r)| r.clone()).collect();
        let new: BTreeSet<Vec<u8>> = kept.union(&come).cloned().collect();
        let gone = old.difference(&new).map(|r| (r.clone(), false));
        let net: Net = gone.chain(new.difference(&old).map(|r| (r.clone(), true))).collect();
        let options = options(bits);
        let before = whole(&options, &mut Set(&old, None));
        let after = whole(&options, &mut Set(&new, None));
        prop_assert_eq!(&whole(&options, &mut MergedRows::new(Set(&old, None), &net)), &after);
        let zone = FollowedZone { name: "z", mapping: Mapping::Names, options: &options };
        let mut merged = MergedRows::new(Set(&old, None), &net);
        let patch = patch(&zone, &net, &mut Set(&old, None), &mut merged, &mut ListReport::default()).unwrap().unwrap();
        let mut patched = before;
        patched.retain(|s, _| !patch.touched.contains(s));
        prop_assert!(patch.entries.iter().all(|e| patch.touched.contains(&e.subject)));
        patched.extend(list(patch.entries, &|_| true));
        prop_assert_eq!(patched, after);
    }

    #[test]
    fn names_and_nodes_convert_both_ways(name in names()) {
        let n = node(&name);
        prop_assert_eq!(crate::dns::incoming::name(&n), name.clone());
        let mut owner = n.clone();
        owner.push(0);
        let (bare, wild) = split(&owner);
        prop_assert_eq!(wild, name.starts_with("*."));
        prop_assert_eq!(crate::dns::incoming::name(bare), name.trim_start_matches("*."));
    }
}

/// With mapped addresses every node would have to be read twice, so the whole zone is read.
#[test]
fn mapped_addresses_other_than_test_points_need_the_whole_zone() {
    let zone = |o| FollowedZone {
        name: "z",
        mapping: Mapping::Names,
        options: o,
    };
    let options = options(false);
    let mapped = |last: &str| format!("{last}.f.f.f.f.{}", ["0"; 20].join("."));
    for (name, patched) in [
        (mapped("2.0.0.0.0.0.f.7"), true),
        (mapped("2.0.1.0.1.0.d.2"), false),
    ] {
        let (old, net) = (
            BTreeSet::from([row(&name, 2)]),
            Net::from([(row("1.1.1.45", 2), true)]),
        );
        let mut merged = MergedRows::new(Set(&old, None), &net);
        let found = patch(
            &zone(&options),
            &net,
            &mut Set(&old, None),
            &mut merged,
            &mut ListReport::default(),
        )
        .unwrap();
        assert_eq!(found.is_some(), patched, "{name}");
        let all = whole(&options, &mut merged);
        assert!(all.contains_key(&"45.1.1.1".parse().unwrap()));
        assert_eq!(all.len(), if patched { 1 } else { 2 });
    }
    assert_eq!(
        Subject::Domain(Domain::from_canonical("a", Scope::Name)),
        master::subject("a").unwrap()
    );
}
