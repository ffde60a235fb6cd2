//! The tables of the index with as many entries as real lists have, compared with sets. The unit
//! tests of the index have small leaves.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use orbsd::{
    index::{Asked, Builder, Changes, Found, RawFact, RawFacts, ZoneView, find, ip6::nibbles},
    model::{Domain, Prefix6, ReasonId, Reasons, Scope, SourceId, Subject},
};

/// The same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        ((self.number() >> 32) as usize) % n
    }
    fn choose<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
    fn shuffle<T>(&mut self, all: &mut [T]) {
        (1..all.len()).for_each(|i| all.swap(i, self.below(i + 1)));
    }
}

fn zone(kind: &str) -> ZoneView {
    let text = format!(
        "origin = 'bl.example'\nkind = '{kind}'\nns = ['ns1.bl.example']\ncontact = 'h@bl.example'\npublish = [{{ reason = 'bad', code = '127.0.0.2' }}]\n"
    );
    let mut reasons = Reasons::default();
    reasons.add("bad").unwrap();
    let texts = HashMap::from([("bad".to_string(), "Bad".to_string())]);
    ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &texts).unwrap()
}

fn fact(exclusion: bool) -> RawFact {
    RawFact {
        aged: Default::default(),
        reason: ReasonId(0),
        source: SourceId(0),
        exclusion,
        text: Default::default(),
    }
}

fn facts(listed: bool) -> RawFacts {
    RawFacts {
        exempt: false,
        facts: if listed { vec![fact(false)] } else { vec![] },
    }
}

/// What an entry says of its subject and of everything inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Listed,
    Excluded,
}

impl Says {
    fn any(random: &mut Random) -> Says {
        random.choose(&[Says::Listed, Says::Listed, Says::Excluded])
    }
}

/// Sets or, with `None`, removes some entries in one batch.
fn put(builder: &mut Builder, entries: &[(Subject, Option<Says>)]) {
    let mut changes = Changes::default();
    for (subject, says) in entries {
        let facts = RawFacts {
            exempt: false,
            facts: says
                .map(|s| fact(s == Says::Excluded))
                .into_iter()
                .collect(),
        };
        let id = builder.intern(&facts);
        builder.add(&mut changes, subject, id);
    }
    builder.apply(changes);
}

/// Adds and removes subjects in batches of very different sizes.
fn change(builder: &mut Builder, subjects: &[Subject], listed: bool, random: &mut Random) {
    let id = builder.intern(&facts(listed));
    let mut rest = subjects;
    while !rest.is_empty() {
        let size = random.choose(&[1, 1, 7, 300, 5_000, 40_000]);
        let (batch, others) = rest.split_at(size.min(rest.len()));
        let mut changes = Changes::default();
        batch.iter().for_each(|s| builder.add(&mut changes, s, id));
        builder.apply(changes);
        rest = others;
    }
}

/// What the zone has at a name: listed, a name above listed ones, or nothing.
fn answer(builder: &Builder, zone: &ZoneView, name: &str) -> &'static str {
    let (mut labels, mut starts) = (Vec::new(), Vec::new());
    for l in name.split('.') {
        starts.push(labels.len() as u8);
        labels.push(l.len() as u8);
        labels.extend(l.as_bytes());
    }
    let mut scratch = None;
    match find(
        builder.tables(),
        zone,
        &Asked::new(&labels, &starts),
        &mut scratch,
    ) {
        Found::Listed(_) => "listed",
        Found::Empty => "empty",
        Found::Missing => "missing",
        Found::Static(_) | Found::Excluded => "other",
    }
}

fn label(random: &mut Random, len: Range<usize>) -> String {
    let len = len.start + random.below(len.len());
    (0..len).map(|_| random.choose(b"abcde") as char).collect()
}

#[test]
fn large_table_of_names_answers_what_is_listed() {
    let random = &mut Random(18);
    let zone = zone("domain");
    let mut names = BTreeSet::new();
    while names.len() < 40_000 {
        let mut name = format!(
            "{}.{}",
            label(random, 1..9),
            random.choose(&["com", "net", "co.uk"])
        );
        while random.below(10) < 3 {
            name = format!("{}.{name}", label(random, 1..4));
        }
        names.insert(name);
    }
    let mut all: Vec<String> = names.into_iter().collect();
    random.shuffle(&mut all);
    let subject = |n: &String| Subject::Domain(Domain::from_canonical(n, Scope::Name));
    let subjects: Vec<Subject> = all.iter().map(subject).collect();
    let mut builder = Builder::default();
    change(&mut builder, &subjects, true, random);
    let gone = subjects.len() / 3;
    change(&mut builder, &subjects[..gone], false, random);
    assert_eq!(builder.tables().counts()[3], subjects.len() - gone);

    let listed: BTreeSet<&str> = all[gone..].iter().map(String::as_str).collect();
    let above: BTreeSet<&str> = listed
        .iter()
        .flat_map(|n| n.match_indices('.').map(|(i, _)| &n[i + 1..]))
        .collect();
    let mut asked: Vec<String> = all.iter().step_by(2).cloned().collect();
    asked.extend(above.iter().step_by(3).map(ToString::to_string));
    asked.extend(
        (0..20_000).map(|_| format!("{}.{}.com", label(random, 1..3), label(random, 1..5))),
    );
    for name in asked {
        let want = match (listed.contains(&*name), above.contains(&*name)) {
            (true, _) => "listed",
            (_, true) => "empty",
            _ => "missing",
        };
        assert_eq!(answer(&builder, &zone, &name), want, "{name}");
    }
    change(&mut builder, &subjects[gone..], false, random);
    assert_eq!(builder.tables().counts()[3], 0);
    assert_eq!(answer(&builder, &zone, "com"), "missing");
}

#[test]
fn large_table_of_ipv6_prefixes_answers_what_is_listed() {
    let random = &mut Random(18);
    let zone = zone("address");
    let mut prefixes = BTreeSet::new();
    while prefixes.len() < 40_000 {
        let allocation = 0x2a00_0000u128 + random.below(200) as u128;
        let len = random.choose(&[64, 64, 64, 56, 48, 128, 61]);
        let host = u128::from(random.number()) << 32 | random.below(4) as u128;
        prefixes.insert(Prefix6::new(allocation << 96 | host, len));
    }
    let mut all: Vec<Prefix6> = prefixes.into_iter().collect();
    random.shuffle(&mut all);
    let subjects: Vec<Subject> = all.iter().map(|p| Subject::V6(*p)).collect();
    let mut builder = Builder::default();
    change(&mut builder, &subjects, true, random);
    let gone = subjects.len() / 3;
    change(&mut builder, &subjects[..gone], false, random);
    assert_eq!(builder.tables().counts()[2], subjects.len() - gone);

    let listed: BTreeSet<Prefix6> = all[gone..].iter().copied().collect();
    let is_listed = |a: u128| (19..=128).any(|n| listed.contains(&Prefix6::new(a, n)));
    let name = |a: u128, n: usize| {
        let spelled: Vec<String> = nibbles(a)[..n]
            .iter()
            .rev()
            .map(|x| format!("{x:x}"))
            .collect();
        spelled.join(".")
    };
    for (i, p) in all.iter().enumerate().step_by(5) {
        for a in [
            p.first(),
            p.last(),
            p.first().wrapping_sub(1),
            p.last().wrapping_add(1),
        ] {
            let want = if is_listed(a) { "listed" } else { "missing" };
            assert_eq!(answer(&builder, &zone, &name(a, 32)), want, "{p} {a:x}");
        }
        // A prefix that is listed, or that listed ones are in, has a name.
        if i >= gone && p.len() > 40 {
            assert_eq!(answer(&builder, &zone, &name(p.first(), 8)), "empty", "{p}");
        }
    }
    assert_eq!(answer(&builder, &zone, "1.1.1.1.1.a.2"), "missing");
    change(&mut builder, &subjects[gone..], false, random);
    assert_eq!(builder.tables().counts()[2], 0);
    assert_eq!(answer(&builder, &zone, "a.2"), "missing");
}

/// Prefixes of every length, exclusions inside listings inside exclusions, in tables of many leaves,
/// in a few large batches and then a long run of single changes.
#[test]
fn every_ipv6_address_answers_its_longest_match() {
    let random = &mut Random(6);
    let zone = zone("address");
    let mut entries: BTreeMap<Prefix6, Says> = BTreeMap::new();
    let any_prefix = |random: &mut Random| {
        // Few allocations with few different bits in each, so that prefixes are inside others.
        let allocation = (0x2a00_0000u128 + random.below(3) as u128) << 96;
        let bits = u128::from(random.number()) << 64 | u128::from(random.number());
        let rest = bits & u128::from(random.number()) & (u128::MAX >> 32);
        let few = rest & (0xf000_f00f << 64 | 0xf000_0000_0000_000f);
        let address = allocation | random.choose(&[rest, few, few, few]);
        Prefix6::new(address, 19 + random.below(110) as u8)
    };
    while entries.len() < 30_000 {
        let prefix = any_prefix(random);
        entries.insert(prefix, Says::any(random));
    }
    let mut all: Vec<_> = entries.iter().map(|(p, s)| (*p, *s)).collect();
    random.shuffle(&mut all);
    let mut builder = Builder::default();
    for batch in all.chunks(7_000) {
        let batch: Vec<_> = batch
            .iter()
            .map(|(p, s)| (Subject::V6(*p), Some(*s)))
            .collect();
        put(&mut builder, &batch);
    }
    assert_eq!(builder.tables().counts()[2], entries.len());

    let want = |entries: &BTreeMap<Prefix6, Says>, address: u128| {
        let longest = (0..=128)
            .rev()
            .find_map(|len| entries.get(&Prefix6::new(address, len)));
        match longest {
            Some(Says::Listed) => "listed",
            _ => "missing",
        }
    };
    let check = |builder: &Builder, entries: &BTreeMap<Prefix6, Says>, p: Prefix6| {
        for address in [
            p.first(),
            p.last(),
            p.first().wrapping_sub(1),
            p.last().wrapping_add(1),
        ] {
            let labels: Vec<String> = nibbles(address)
                .iter()
                .rev()
                .map(|n| format!("{n:x}"))
                .collect();
            let got = answer(builder, &zone, &labels.join("."));
            assert_eq!(got, want(entries, address), "{address:x} near {p}");
        }
    };
    all.iter()
        .step_by(3)
        .for_each(|(p, _)| check(&builder, &entries, *p));
    for i in 0..4_000 {
        let prefix = match i % 2 {
            0 => all[random.below(all.len())].0,
            _ => any_prefix(random),
        };
        let says = (random.below(3) > 0).then(|| Says::any(random));
        match says {
            Some(says) => drop(entries.insert(prefix, says)),
            None => drop(entries.remove(&prefix)),
        }
        put(&mut builder, &[(Subject::V6(prefix), says)]);
        check(&builder, &entries, prefix);
    }
    assert_eq!(builder.tables().counts()[2], entries.len());
    all.iter()
        .step_by(5)
        .for_each(|(p, _)| check(&builder, &entries, *p));
}

/// Names alone, everything below a name, and both; exclusions inside listings; labels as long and
/// names as deep as DNS has them.
#[test]
fn every_name_answers_its_longest_match() {
    const SCOPES: [Scope; 3] = [Scope::Tree, Scope::Name, Scope::Below];
    let random = &mut Random(9);
    let zone = zone("domain");
    // Entries by name, and by the place of the scope in `SCOPES`.
    let mut entries: BTreeMap<(String, usize), Says> = BTreeMap::new();
    let any_name = |random: &mut Random| {
        let mut name = label(random, 1..3);
        while random.below(4) > 0 && name.len() < 150 {
            let longest = random.choose(&[2, 2, 2, 3, 5, 64]);
            name = format!("{}.{name}", label(random, 1..longest));
        }
        name
    };
    while entries.len() < 30_000 {
        let name = any_name(random);
        entries.insert((name, random.below(3)), Says::any(random));
    }
    // 127 labels of one byte, and three of 63 with one of 61: 253 bytes, the most that a name has.
    let deepest = ["a"; 127].join(".");
    for depth in 1..=127 {
        let name = deepest[deepest.len() + 1 - 2 * depth..].to_string();
        entries.insert((name, random.below(3)), Says::any(random));
    }
    for (first, last) in [('x', 'y'), ('x', 'z'), ('y', 'y')] {
        let long = |c: char, n: usize| c.to_string().repeat(n);
        let name = [
            long(first, 63),
            long('m', 63),
            long('m', 63),
            long(last, 61),
        ]
        .join(".");
        entries.insert((name, 0), Says::Listed);
    }
    let subject = |(name, scope): &(String, usize)| {
        Subject::Domain(Domain::from_canonical(name, SCOPES[*scope]))
    };
    let mut all: Vec<_> = entries.iter().map(|(key, s)| (key.clone(), *s)).collect();
    random.shuffle(&mut all);
    let mut builder = Builder::default();
    for batch in all.chunks(7_000) {
        let batch: Vec<_> = batch
            .iter()
            .map(|(key, s)| (subject(key), Some(*s)))
            .collect();
        put(&mut builder, &batch);
    }
    assert_eq!(builder.tables().counts()[3], entries.len());

    let is_listed = |entries: &BTreeMap<(String, usize), Says>, name: &str| {
        let starts = name.match_indices('.').map(|(i, _)| i + 1).chain([0]);
        let mut starts: Vec<usize> = starts.collect();
        starts.sort_unstable();
        // From the top; what is said of a name and everything below it is the wider of two.
        let mut says = None;
        for start in starts.into_iter().rev() {
            let narrower = if start == 0 { 1 } else { 2 };
            for scope in [0, narrower] {
                says = entries.get(&(name[start..].to_string(), scope)).or(says);
            }
        }
        says == Some(&Says::Listed)
    };
    let check = |builder: &Builder, entries: &BTreeMap<(String, usize), Says>, name: &str| {
        let parent = name.split_once('.').map_or(name, |(_, parent)| parent);
        for asked in [name, parent, &format!("q.{name}"), &format!("q.r.{parent}")] {
            if asked.len() <= 253 {
                let got = answer(builder, &zone, asked) == "listed";
                assert_eq!(got, is_listed(entries, asked), "{asked}");
            }
        }
    };
    all.iter()
        .step_by(3)
        .for_each(|((name, _), _)| check(&builder, &entries, name));
    check(&builder, &entries, &deepest);
    for i in 0..4_000 {
        let key = match i % 2 {
            0 => all[random.below(all.len())].0.clone(),
            _ => (any_name(random), random.below(3)),
        };
        let says = (random.below(3) > 0).then(|| Says::any(random));
        put(&mut builder, &[(subject(&key), says)]);
        let name = key.0.clone();
        match says {
            Some(says) => drop(entries.insert(key, says)),
            None => drop(entries.remove(&key)),
        }
        check(&builder, &entries, &name);
    }
    assert_eq!(builder.tables().counts()[3], entries.len());
    all.iter()
        .step_by(5)
        .for_each(|((name, _), _)| check(&builder, &entries, name));
}
