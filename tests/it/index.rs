//! The tables of the index with as many entries as real lists have, compared with sets. The unit
//! tests of the index have small leaves.

use std::{
    collections::{BTreeSet, HashMap},
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

fn facts(listed: bool) -> RawFacts {
    let fact = RawFact {
        reason: ReasonId(0),
        source: SourceId(0),
        exclusion: false,
        text: Default::default(),
    };
    RawFacts {
        exempt: false,
        facts: if listed { vec![fact] } else { vec![] },
    }
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
