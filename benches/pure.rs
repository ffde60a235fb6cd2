//! Measures pure functions: `respond`, building and changing the index, reading lists, and comparing
//! them.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    hint::black_box,
    sync::{Arc, mpsc::RecvTimeoutError},
};

use criterion::{Criterion, criterion_group, criterion_main};
use orbsd::{
    advice::{self, SessionPart},
    comparison::{ComparisonLines, EntrySet, TestedHosts, compare},
    dns::{Peer, PendingQuery, prefetch, queried_address, query::NameBuf, respond},
    index::{
        Builder, Changes, Published, RawFact, RawFacts, Snapshot, ZoneSet, ZoneView,
        derive::PublishRules, values::Derivations,
    },
    lists,
    model::{
        Prefix4, Prefix6, ReasonId, Reasons, Serial, SourceId, Sources, Subject, Time, Uptime, Zone,
    },
    query_sample::{QueriedAddress, QuerySample, QuerySampleSettings},
    random::Random,
};

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

/// Returns at most `n` sorted public addresses, which are the same in every run.
fn addresses(n: usize) -> Vec<u32> {
    let mut x = 1u64;
    let mut out: Vec<u32> = std::iter::repeat_with(|| {
        x = x
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (x >> 32) as u32
    })
    .filter(|a| (1..224).contains(&(a >> 24)) && ![10, 127, 172, 192].contains(&(a >> 24)))
    .take(n)
    .collect();
    out.sort_unstable();
    out.dedup();
    out
}

fn build(n: usize) -> Builder {
    let mut b = Builder::default();
    let id = b.intern(&listed());
    let mut c = Changes::default();
    addresses(n)
        .iter()
        .for_each(|a| b.add(&mut c, &Subject::host4(*a), id));
    ["2606:4700::/32", "45.0.0.0/12"]
        .iter()
        .for_each(|s| b.add(&mut c, &s.parse().unwrap(), id));
    b.apply(c);
    b
}

fn snapshot(b: &Builder) -> Snapshot {
    let text = "origin='bl.orbs.example'\nkind='address'\nns=['ns1.orbs.example','ns2.orbs.example']\ncontact='h@orbs.example'\n\
                publish=[{reason='relay',code='127.0.0.2',text='Open relay, see https://orbs.example/$'}]";
    let mut reasons = Reasons::default();
    reasons.add("relay").unwrap();
    let zone = |text: &str| {
        let zone = toml::from_str(text).unwrap();
        ZoneView::new(&zone, &reasons, &Default::default()).unwrap()
    };
    let domains = text
        .replace("bl.orbs", "dbl.orbs")
        .replace("address", "domain");
    Snapshot {
        tables: b.tables().clone(),
        zones: Arc::new(ZoneSet::new(vec![zone(text), zone(&domains)]).unwrap()),
        serials: vec![Serial(1); 2].into(),
        sound: true,
        ..Snapshot::default()
    }
}

fn query(name: &str, qtype: u8, edns: bool) -> Vec<u8> {
    let is_domain = name.split('.').any(|l| l.len() > 3);
    query_in(if is_domain { "dbl" } else { "bl" }, name, qtype, edns)
}

fn query_in(zone: &str, name: &str, qtype: u8, edns: bool) -> Vec<u8> {
    let mut m = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for l in format!("{name}.{zone}.orbs.example").split('.') {
        m.push(l.len() as u8);
        m.extend(l.as_bytes());
    }
    m.extend([0, 0, qtype, 0, 1]);
    if edns {
        m.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    m
}

fn bench_respond(c: &mut Criterion) {
    let b = build(1_000_000);
    let s = snapshot(&b);
    let [x, y, z, w] = addresses(1_000_000)[500_000].to_be_bytes();
    let host = format!("{w}.{z}.{y}.{x}");
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.4.6.0.6.2";
    let branch = format!("{z}.{y}.{x}");
    for (name, q) in [
        ("hit", query(&host, 1, false)),
        ("hit, EDNS", query(&host, 1, true)),
        ("hit, TXT", query(&host, 16, true)),
        ("miss", query("1.2.3.11", 1, true)),
        ("branch", query(&branch, 1, true)),
        ("under a prefix", query("1.2.3.45", 1, true)),
        ("branch under a prefix", query("2.3.45", 1, true)),
        ("IPv6", query(six, 1, true)),
        ("test point", query("2.0.0.127", 1, true)),
    ] {
        let mut out = [0u8; 1232];
        let peer = Peer::udp([127, 0, 0, 1].into());
        c.bench_function(&format!("respond: {name}"), |b| {
            b.iter(|| respond(&s, black_box(&q), peer, Time(0), &mut out));
        });
    }
}

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// /64s in 30,000 /32s.
fn networks(n: usize) -> Vec<Subject> {
    let mut numbers = Numbers(6);
    let clusters: Vec<u128> = (0..30_000)
        .map(|_| 0x2000_0000 | u128::from(numbers.next() & 0x1fff_ffff))
        .collect();
    let network = |_| {
        let cluster = clusters[numbers.below(clusters.len())] << 96;
        // Half of the lower bits are those of /48s.
        let rest = match numbers.next() & 1 {
            0 => numbers.next() & 0xffff_0000,
            _ => numbers.next() & 0xffff_ffff,
        };
        Subject::V6(Prefix6::new(cluster | u128::from(rest) << 64, 64))
    };
    (0..n).map(network).collect()
}

/// Names of one to three words below common top-level domains, every fourth a subdomain of another.
fn domains(n: usize) -> Vec<Subject> {
    const TLDS: [&str; 12] = [
        "com", "com", "com", "com", "com", "top", "xyz", "net", "org", "info", "ru", "co.uk",
    ];
    const PARTS: [&str; 20] = [
        "mail", "best", "shop", "pay", "ver", "ify", "log", "in", "cash", "fast", "on", "line",
        "se", "cure", "an", "to", "re", "mi", "ku", "do",
    ];
    let mut numbers = Numbers(7);
    let mut out: Vec<String> = Vec::with_capacity(n);
    for i in 0..n {
        let mut word = String::new();
        for _ in 0..2 + numbers.below(4) {
            word += PARTS[numbers.below(PARTS.len())];
        }
        word += &(numbers.next() % 10_000).to_string();
        let name = match i % 4 {
            3 => format!("{word}.{}", out[numbers.below(i)]),
            _ => format!("{word}.{}", TLDS[numbers.below(TLDS.len())]),
        };
        let deep = name.split('.').count() > 5;
        out.push(if deep { format!("{word}.com") } else { name });
    }
    out.iter().map(|name| name.parse().unwrap()).collect()
}

/// The name under which a client asks for a subject; `host` tells addresses of a network apart.
fn asked_name(subject: &Subject, host: u64) -> String {
    match subject {
        Subject::V4(p) => {
            let [x, y, z, w] = p.first().to_be_bytes();
            format!("{w}.{z}.{y}.{x}")
        }
        Subject::V6(p) => {
            let addr = p.first() | u128::from(host);
            let nibbles = (0..32).map(|i| format!("{:x}", addr >> (4 * i) & 15));
            nibbles.collect::<Vec<_>>().join(".")
        }
        Subject::Domain(d) => d.name().to_string(),
    }
}

/// Answers to queries of each family with a million of each listed, half of them for what is
/// listed, in batches as a server receives them.
fn bench_families(c: &mut Criterion) {
    const QUERIES: usize = 1 << 16;
    let mut b = Builder::default();
    let id = b.intern(&listed());
    let mut numbers = Numbers(8);
    let v4: Vec<Subject> = addresses(1_000_000)
        .into_iter()
        .map(Subject::host4)
        .collect();
    let families = [
        ("IPv4", v4, vec![]),
        ("IPv6", networks(1_000_000), networks(1_100_000)),
        ("domains", domains(1_000_000), domains(1_100_000)),
    ];
    let mut queries: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
    for (name, listed, more) in families {
        let mut changes = Changes::default();
        listed.iter().for_each(|s| b.add(&mut changes, s, id));
        b.apply(changes);
        let mut some = Vec::with_capacity(QUERIES);
        for _ in 0..QUERIES / 2 {
            let hit = &listed[numbers.below(listed.len())];
            some.push(query(&asked_name(hit, numbers.next()), 1, true));
            let miss = match more.get(listed.len()..) {
                Some(others) if !others.is_empty() => others[numbers.below(others.len())].clone(),
                _ => Subject::host4(numbers.next() as u32),
            };
            some.push(query(&asked_name(&miss, numbers.next()), 1, true));
        }
        queries.push((name, some));
    }
    let mix = (0..QUERIES).map(|i| {
        let family = [0, 0, 0, 0, 1, 0, 0, 0, 0, 2][i % 10];
        queries[family].1[numbers.below(QUERIES)].clone()
    });
    let mix = mix.collect();
    queries.push(("80 % IPv4, 10 % IPv6, 10 % domains", mix));
    let s = snapshot(&b);
    for (name, queries) in &queries {
        bench_queries(c, name, &s, queries);
    }
    for one_in in [0, 64, 1] {
        bench_sampled(c, &s, &queries[0].1, one_in);
    }
    let mut spread = |all: &[Subject]| all[numbers.below(all.len())].clone();
    let (six, names) = (networks(1_100_000), domains(1_100_000));
    let fresh = |all: &[Subject], spread: &mut dyn FnMut(&[Subject]) -> Subject| -> Vec<Subject> {
        (0..4096).map(|_| spread(&all[1_000_000..])).collect()
    };
    for (name, all) in [
        ("one IPv6 /64 at 1,000,000", fresh(&six, &mut spread)),
        ("one domain at 1,000,000", fresh(&names, &mut spread)),
    ] {
        bench_changes_of(c, name, &mut b, &listed(), |i| all[i % all.len()].clone());
    }
}

/// Answers queries in batches as a UDP listener does.
fn bench_queries(c: &mut Criterion, name: &str, s: &Snapshot, queries: &[Vec<u8>]) {
    bench_batches(c, name, s, queries, |_| ());
}

/// The same with a sample of one in so many queries. 0: it is off.
fn bench_sampled(c: &mut Criterion, s: &Snapshot, queries: &[Vec<u8>], one_in: u32) {
    let settings = QuerySampleSettings {
        one_in,
        ..QuerySampleSettings::default()
    };
    let sample = QuerySample::new(settings, Random::system());
    let sampler = sample.worker();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let interval = std::time::Duration::from_millis(250);
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                sample.collect(Uptime(0));
            }
        });
        let name = match one_in {
            0 => "IPv4, sample off".into(),
            _ => format!("IPv4, one in {one_in} sampled"),
        };
        bench_batches(c, &name, s, queries, |query| {
            if sampler.is_next()
                && let Some(addr) = queried_address(s, query)
            {
                sampler.add(QueriedAddress {
                    addr,
                    is_listed: false,
                });
            }
        });
        drop(stop);
    });
}

/// Answers queries in batches, and calls a function for each after its answer.
fn bench_batches(
    c: &mut Criterion,
    name: &str,
    s: &Snapshot,
    queries: &[Vec<u8>],
    answered: impl Fn(&[u8]),
) {
    let mut out = [0u8; 1232];
    let peer = Peer::udp([127, 0, 0, 1].into());
    let mut batches = queries.chunks(32).cycle();
    let mut names: Vec<NameBuf> = (0..32).map(|_| NameBuf::default()).collect();
    c.bench_function(&format!("respond to 32 queries: {name}"), |bench| {
        bench.iter(|| {
            let queries = batches.next().unwrap();
            let batch = queries.iter().zip(&mut names);
            let pending: [PendingQuery; 32] = {
                let mut all = batch.map(|(q, name)| PendingQuery::read(s, q, name));
                std::array::from_fn(|_| all.next().unwrap())
            };
            prefetch(s, pending.iter());
            for (query, message) in pending.into_iter().zip(queries) {
                black_box(query.answer(s, peer, Time(0), &mut out));
                answered(message);
            }
        });
    });
}

/// Applies changes one by one and publishes each. Every second change removes the subject that the
/// one before it has added.
fn bench_changes_of(
    c: &mut Criterion,
    name: &str,
    b: &mut Builder,
    facts: &RawFacts,
    subject: impl Fn(usize) -> Subject,
) {
    let published = Published::new(snapshot(b));
    let mut i = 0;
    c.bench_function(&format!("apply and publish: {name}"), |bench| {
        bench.iter(|| {
            let facts = if i % 2 == 0 {
                facts.clone()
            } else {
                RawFacts::default()
            };
            let id = b.intern(&facts);
            let mut changes = Changes::default();
            b.add(&mut changes, &subject(i / 2), id);
            b.apply(changes);
            i += 1;
            let next = Snapshot {
                tables: b.tables().clone(),
                ..Snapshot::clone(&published.load())
            };
            published.replace(next);
        });
    });
}

fn bench_changes(c: &mut Criterion) {
    c.bench_function("build 1,000,000 addresses", |b| b.iter(|| build(1_000_000)));
    let mut b = build(10_000_000);
    let all = addresses(10_000_000);
    let spread = |i: usize| all[i.wrapping_mul(1_000_003) % all.len()];
    bench_changes_of(c, "one address at 10,000,000", &mut b, &listed(), |i| {
        Subject::host4(spread(i) ^ 1)
    });
    let own = RawFacts {
        facts: vec![RawFact {
            aged: Default::default(),
            text: "a text of its own".into(),
            ..listed().facts[0].clone()
        }],
        ..listed()
    };
    bench_changes_of(
        c,
        "one address with another text at 10,000,000",
        &mut b,
        &own,
        |i| Subject::host4(spread(i) ^ 1),
    );
    bench_changes_of(c, "one /24 at 10,000,000", &mut b, &listed(), |i| {
        Subject::V4(Prefix4::new(spread(i), 24))
    });
    bench_changes_of(c, "one IPv6 /64", &mut b, &listed(), |i| {
        Subject::V6(Prefix6::new(0x2606_4700 << 96 | (i as u128) << 64, 64))
    });
    bench_changes_of(c, "one domain", &mut b, &listed(), |i| {
        format!("name{i}.example").parse().unwrap()
    });
    // A /16 full of hosts with three kinds of facts is the largest possible block.
    let mut dense = Changes::default();
    let kinds = [
        listed(),
        own.clone(),
        RawFacts {
            facts: vec![RawFact {
                aged: Default::default(),
                text: "third".into(),
                ..own.facts[0].clone()
            }],
            ..own
        },
    ];
    for i in 0..60_000u32 {
        let id = b.intern(&kinds[i as usize % 3]);
        b.add(&mut dense, &Subject::host4(0xdd11_0000 | i), id);
    }
    b.apply(dense);
    bench_changes_of(c, "one address of a full /16", &mut b, &listed(), |i| {
        Subject::host4(0xdd11_0000 | 60_000 | (i as u32 % 5000))
    });
}

/// A zone that publishes the /64 around each listed address: a million addresses, of which the first
/// hundred thousand are in one network.
fn bench_width(c: &mut Criterion) {
    let zone: Zone = toml::from_str(
        "origin='w.orbs.example'\nkind='address'\nns=['ns1.orbs.example']\ncontact='h@orbs.example'\n\
         publish=[{reason='relay',width={ipv6=64},code='127.0.0.2'}]",
    )
    .unwrap();
    let mut reasons = Reasons::default();
    reasons.add("relay").unwrap();
    let rules = PublishRules::of([&zone], &reasons, &Sources::default()).unwrap();
    let mut b = Builder::deriving(Derivations::from(&rules));
    let address = |i: usize| {
        let network = 0x2a01_04f8u128 << 96 | (i.max(100_000) as u128) << 64;
        Subject::V6(Prefix6::host(network | i as u128))
    };
    let (id, mut changes) = (b.intern(&listed()), Changes::default());
    (0..1_000_000).for_each(|i| b.add(&mut changes, &address(i), id));
    b.apply(changes);
    for (name, first) in [
        (
            "one address of a /64 of 100,000 at 1,000,000 with a width",
            1,
        ),
        (
            "one address of a /64 of its own at 1,000,000 with a width",
            1_000_001,
        ),
    ] {
        bench_changes_of(c, name, &mut b, &listed(), |i| {
            match address(first + i % 50_000) {
                Subject::V6(p) => Subject::V6(Prefix6::host(p.first() | 1 << 40)),
                other => other,
            }
        });
    }
}

/// A zone that publishes what three sources list by their weights, and one that publishes all of it,
/// over one list.
fn bench_rules(c: &mut Criterion) {
    let zone = |name: &str, rule: &str| -> Zone {
        toml::from_str(&format!(
            "origin='{name}.orbs.example'\nkind='address'\nns=['ns1.orbs.example','ns2.orbs.example']\ncontact='h@orbs.example'\n\
             publish=[{{reason='relay',code='127.0.0.2',text='Open relay, see https://orbs.example/$'{rule}}}]"
        ))
        .unwrap()
    };
    let zones = [
        zone("bl", ""),
        zone("sc", ",weights={operator=2,prober=2,trap=1},min_score=3"),
    ];
    let mut reasons = Reasons::default();
    reasons.add("relay").unwrap();
    let mut sources = Sources::default();
    for name in SourceId::DECIDING {
        sources.add(name).unwrap();
    }
    let rules = PublishRules::of(&zones, &reasons, &sources).unwrap();
    let views = zones
        .each_ref()
        .map(|z| ZoneView::with_rules(z, &reasons, &Default::default(), &rules).unwrap());
    let pool = addresses(1_500_000);
    let mut numbers = Numbers(20);
    let mut b = Builder::deriving(Derivations::from(&rules));
    let mut changes = Changes::default();
    for a in &pool {
        // Each source lists two thirds of the pool.
        let sources = (0..3).filter(|_| numbers.below(3) > 0);
        let facts = sources.map(|s| RawFact {
            aged: Default::default(),
            source: SourceId(s),
            ..listed().facts[0].clone()
        });
        let facts = RawFacts {
            facts: facts.collect(),
            ..listed()
        };
        let id = b.intern(&facts);
        b.add(&mut changes, &Subject::host4(*a), id);
    }
    b.apply(changes);
    let s = Snapshot {
        tables: b.tables().clone(),
        zones: Arc::new(ZoneSet::new(views.to_vec()).unwrap()),
        serials: vec![Serial(1); 2].into(),
        sound: true,
        ..Snapshot::default()
    };
    let asked: Vec<String> = (0..1 << 16)
        .map(|i| match i % 2 {
            0 => pool[numbers.below(pool.len())],
            _ => numbers.next() as u32,
        })
        .map(|a| asked_name(&Subject::host4(a), 0))
        .collect();
    for (name, zone) in [
        ("all of three sources", "bl"),
        ("a score of three sources", "sc"),
    ] {
        let queries: Vec<Vec<u8>> = asked.iter().map(|n| query_in(zone, n, 1, true)).collect();
        bench_queries(c, name, &s, &queries);
    }
    let mut b = Builder::deriving(Derivations::from(&rules));
    let id = b.intern(&listed());
    let all = addresses(10_000_000);
    let mut changes = Changes::default();
    all.iter()
        .for_each(|a| b.add(&mut changes, &Subject::host4(*a), id));
    ["2606:4700::/32", "45.0.0.0/12"]
        .iter()
        .for_each(|s| b.add(&mut changes, &s.parse().unwrap(), id));
    b.apply(changes);
    let two = RawFacts {
        facts: (0..2)
            .map(|s| RawFact {
                aged: Default::default(),
                source: SourceId(s),
                ..listed().facts[0].clone()
            })
            .collect(),
        ..listed()
    };
    let spread = |i: usize| all[i.wrapping_mul(1_000_003) % all.len()];
    bench_changes_of(
        c,
        "one address at 10,000,000 with a score",
        &mut b,
        &two,
        |i| Subject::host4(spread(i) ^ 1),
    );
    bench_changes_of(
        c,
        "one listed /24 at 10,000,000 with a score",
        &mut b,
        &two,
        |i| Subject::V4(Prefix4::new(spread(i), 24)),
    );
}

fn bench_advice(c: &mut Criterion) {
    for (name, greeting) in [
        ("known", "220 mail.example.com ESMTP Postfix (Debian/GNU)"),
        (
            "unknown",
            "220 mail.example.com ESMTP 8f3a ready at Mon, 30 Nov 2026 14:00:00 +0000",
        ),
    ] {
        c.bench_function(&format!("recognise a greeting: {name}"), |b| {
            b.iter(|| advice::recognise(SessionPart::Greeting, black_box(greeting)));
        });
    }
    for text in [
        "postfix",
        "relay from hosts",
        "220 mail.example.com ESMTP Exim 4.96 ready",
    ] {
        c.bench_function(&format!("search the knowledge base: {text}"), |b| {
            b.iter(|| advice::search(black_box(text)));
        });
    }
}

fn bench_lists(c: &mut Criterion) {
    let options = lists::Options {
        reasoning: lists::ReasonMapping::One(ReasonId(0)),
        ..Default::default()
    };
    let addrs: Vec<String> = addresses(100_000)
        .iter()
        .map(|a| std::net::Ipv4Addr::from(*a).to_string())
        .collect();
    let reversed = |a: &String| a.split('.').rev().collect::<Vec<_>>().join(".");
    for (name, text) in [
        ("list", addrs.join("\n")),
        (
            "rbldnsd",
            format!(":127.0.0.2:Open $\n{}\n", addrs.join("\n")),
        ),
        (
            "csv",
            format!(
                "ip,score\n{}",
                addrs.iter().map(|a| format!("{a},3\n")).collect::<String>()
            ),
        ),
        (
            "json",
            addrs
                .iter()
                .map(|a| format!("{{\"cidr\":\"{a}\"}}\n"))
                .collect(),
        ),
        (
            "master",
            format!(
                "$ORIGIN bl.x.\n{}",
                addrs
                    .iter()
                    .map(|a| format!("{} A 127.0.0.2\n", reversed(a)))
                    .collect::<String>()
            ),
        ),
    ] {
        c.bench_function(&format!("read 100,000 lines: {name}"), |b| {
            b.iter(|| {
                let mut n = 0;
                lists::read(
                    name,
                    Box::new(text.as_bytes()),
                    "x",
                    &options,
                    &mut Default::default(),
                    &mut |_| {
                        n += 1;
                        Ok(())
                    },
                )
                .unwrap();
                n
            });
        });
    }
}

/// Two lists, half of whose entries are the same.
fn entry_sets(subject: impl Fn(u32) -> Subject) -> [EntrySet; 2] {
    let addresses = addresses(150_000);
    let thirds = addresses.len() / 3;
    [&addresses[..2 * thirds], &addresses[thirds..]].map(|list| {
        let place = tempfile::tempdir().unwrap();
        let mut set = EntrySet::in_folder(place.path());
        list.iter()
            .for_each(|a| set.push(&subject(*a), true).unwrap());
        set.finish().unwrap()
    })
}

fn bench_comparison(c: &mut Criterion) {
    for (name, [theirs, ours]) in [
        ("IPv4", entry_sets(Subject::host4)),
        (
            "IPv6",
            entry_sets(|a| Subject::V6(Prefix6::new(u128::from(a) << 64 | 1 << 125, 64))),
        ),
        (
            "names",
            entry_sets(|a| format!("x{a}.bad.example").parse().unwrap()),
        ),
    ] {
        c.bench_function(&format!("compare 100,000 with 100,000: {name}"), |b| {
            b.iter(|| {
                let lines = ComparisonLines {
                    list: &mut std::io::sink(),
                    only_theirs: &mut std::io::sink(),
                    closed: &mut std::io::sink(),
                    closed_by_us: &mut std::io::sink(),
                };
                compare(black_box(&theirs), &ours, &TestedHosts::default(), lines).unwrap()
            });
        });
    }
}

criterion_group!(name = benches; config = Criterion::default().sample_size(20); targets = bench_advice, bench_respond, bench_families, bench_changes, bench_rules, bench_width, bench_lists, bench_comparison);
criterion_main!(benches);
