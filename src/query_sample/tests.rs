//! Properties of the sample against simple models, and what strangers cannot do to it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proptest::prelude::*;

use super::{
    QueriedAddress, QueriedCount, QuerySample, QuerySampleSettings,
    candidates::{CandidateQueue, MAX_CANDIDATES},
    networks::QueriedNetworks,
    sampler::MAX_WAITING,
};
use crate::{
    model::{Prefix4, Prefix6, Subject, Uptime, time::Seconds},
    random::Random,
};

const HOUR: u64 = 3_600_000;

fn settings(one_in: u32) -> QuerySampleSettings {
    QuerySampleSettings {
        one_in,
        candidates: true,
        ..QuerySampleSettings::default()
    }
}

fn sample(settings: QuerySampleSettings) -> QuerySample {
    QuerySample::new(settings, Random::seeded(5))
}

fn v4(network: u32, host: u8) -> IpAddr {
    Ipv4Addr::from(0x2d00_0000 + (network << 8) + u32::from(host)).into()
}

fn queried(addr: IpAddr) -> QueriedAddress {
    QueriedAddress {
        addr,
        is_listed: false,
    }
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn count(sample: &QuerySample, prefix: &str) -> Option<u64> {
    sample.count(&subject(prefix)).map(|c| c.count)
}

#[test]
fn query_is_chosen_with_the_same_probability_at_random_distances() {
    for one_in in [1, 2, 64, 1000] {
        let sampler = sample(settings(one_in)).worker();
        let chosen: Vec<u32> = (0..one_in * 2000).filter(|_| sampler.is_next()).collect();
        assert!(
            (1900..=2100).contains(&chosen.len()),
            "{} of 2000 with one in {one_in}",
            chosen.len()
        );
        let distances: HashSet<u32> = chosen.windows(2).map(|w| w[1] - w[0]).collect();
        let longest = distances.iter().max().copied().unwrap();
        assert!(longest < 2 * one_in, "{longest} with one in {one_in}");
        let different = (2 * one_in - 1).min(700) as usize;
        assert!(distances.len() >= different * 9 / 10, "one in {one_in}");
        // Every second or 64th query is not chosen more often than others.
        for step in [2, 64] {
            let n = chosen.iter().filter(|i| *i % step == 0).count() as u32;
            let expected = 2000 / step;
            let is_fair = n.abs_diff(expected) < expected / 10 + 30;
            assert!(is_fair, "{n} of {expected} with one in {one_in}");
        }
    }
}

#[test]
fn forgotten_address_does_not_come_back_from_a_queue_or_as_a_candidate() {
    let sample = sample(settings(1));
    let sampler = sample.worker();
    let (erased, other) = (v4(1, 7), v4(2, 7));
    for addr in [erased, erased, other, other] {
        sampler.add(queried(addr));
    }
    sample.collect(Uptime(HOUR));
    // Chosen, and not collected yet.
    sampler.add(queried(erased));
    assert_eq!(sample.forget(&Subject::host(erased)), 1);
    sample.collect(Uptime(HOUR + 1000));
    assert_eq!(count(&sample, "45.0.1.0/24"), Some(0));
    assert_eq!(count(&sample, "45.0.2.7"), Some(1));
    let candidates: Vec<IpAddr> = std::iter::from_fn(|| sample.take_candidate()).collect();
    assert_eq!(candidates, [other]);
    // It is like any other address afterwards.
    for _ in 0..2 {
        sampler.add(queried(erased));
    }
    sample.collect(Uptime(HOUR + 2000));
    assert_eq!(count(&sample, "45.0.1.7"), Some(1));
    assert_eq!(sample.take_candidate(), Some(erased));
    assert_eq!(sample.forget(&subject("2001:db9::/32")), 0);
    assert_eq!(QuerySample::default().forget(&Subject::host(erased)), 0);
}

#[test]
fn nothing_is_sampled_while_it_is_off_and_a_reload_changes_that() {
    let sample = sample(settings(0));
    let sampler = sample.worker();
    let chosen = || (0..1000).filter(|_| sampler.is_next()).count();
    assert_eq!(chosen(), 0);
    sampler.add(queried(v4(1, 1)));
    sample.collect(Uptime(0));
    assert_eq!((sample.stats(), count(&sample, "45.0.0.0/8")), (None, None));
    sample.configure(settings(1));
    assert!(chosen() > 700);
    sample.collect(Uptime(0));
    assert_eq!(count(&sample, "45.0.0.0/8"), Some(0), "from before");
    sampler.add(queried(v4(1, 1)));
    sample.collect(Uptime(0));
    assert_eq!(count(&sample, "45.0.0.0/8"), Some(1));
    sample.configure(settings(2));
    assert_eq!(count(&sample, "45.0.0.0/8"), Some(0), "by another rate");
    sampler.add(queried(v4(1, 1)));
    sample.configure(settings(0));
    sample.configure(settings(1));
    sample.collect(Uptime(0));
    assert_eq!(count(&sample, "45.0.0.0/8"), Some(0), "it was off");
}

#[test]
fn full_queue_drops_and_counts_and_never_waits() {
    let sample = sample(settings(1));
    let sampler = sample.worker();
    for i in 0..2 * MAX_WAITING as u32 + 5 {
        sampler.add(queried(v4(i, 1)));
    }
    sample.collect(Uptime(0));
    let stats = sample.stats().unwrap();
    assert_eq!(
        (stats.sampled, stats.dropped),
        (MAX_WAITING as u64, MAX_WAITING as u64 + 5)
    );
    assert_eq!(stats.networks, MAX_WAITING);
    sample.streams().add(queried(v4(9000, 1)));
    sample.collect(Uptime(0));
    assert_eq!(sample.stats().unwrap().sampled, MAX_WAITING as u64 + 1);
}

#[test]
fn special_addresses_are_not_kept() {
    let mut settings = settings(1);
    settings.special = vec![subject("10.1.0.0/16")];
    let sample = sample(settings);
    for addr in [
        "127.0.0.2",
        "10.2.3.4",
        "10.1.2.3",
        "::1",
        "::ffff:45.1.1.1",
    ] {
        sample.streams().add(queried(addr.parse().unwrap()));
    }
    sample.collect(Uptime(0));
    assert_eq!(sample.stats().unwrap().sampled, 2);
    assert_eq!(count(&sample, "10.1.2.3/32"), Some(1));
    assert_eq!(count(&sample, "45.1.1.1/32"), Some(1));
}

#[test]
fn candidate_was_asked_about_twice_and_is_an_ipv4_address_that_is_not_listed() {
    let sample = sample(settings(1));
    let sampler = sample.worker();
    let ask = |addr: &str, is_listed: bool| {
        sampler.add(QueriedAddress {
            addr: addr.parse().unwrap(),
            is_listed,
        });
        sample.collect(Uptime(0));
    };
    for _ in 0..3 {
        ask("45.1.1.1", false);
        ask("45.1.1.2", false);
        ask("45.1.2.1", true);
        ask("2a01:4f8::1", false);
    }
    ask("45.1.3.1", false);
    let one = sample.take_candidate().unwrap();
    assert_eq!(one, IpAddr::from([45, 1, 1, 1]));
    assert_eq!(sample.take_candidate(), None, "one of a network at a time");
    ask("45.1.1.2", false);
    assert_eq!(sample.take_candidate(), Some([45, 1, 1, 2].into()));
    let mut settings = settings(1);
    settings.candidates = false;
    sample.configure(settings);
    ask("45.1.1.1", false);
    ask("45.1.1.1", false);
    assert_eq!(sample.take_candidate(), None, "names are not looked up");
}

#[test]
fn sample_is_forgotten_after_its_period() {
    let sample = sample(settings(1));
    let at = |hours: u64| {
        sample.collect(Uptime(hours * HOUR));
        let QueriedCount { count, period, .. } = sample.count(&subject("45.0.0.0/8")).unwrap();
        (count, period)
    };
    at(1000);
    for _ in 0..2 {
        sample.streams().add(queried(v4(1, 1)));
    }
    assert_eq!(at(1001), (1, Seconds(3600)));
    assert_eq!(sample.stats().unwrap().waiting, 1);
    assert_eq!(at(1083), (1, Seconds(83 * 3600)));
    sample.streams().add(queried(v4(1, 2)));
    assert_eq!(at(1084), (2, Seconds(84 * 3600)), "half of seven days");
    assert_eq!(sample.stats().unwrap().waiting, 0, "candidates too");
    assert_eq!(at(1167), (2, Seconds(167 * 3600)));
    assert_eq!(at(1168), (1, Seconds(84 * 3600)), "only the later one");
    assert_eq!(at(1252), (0, Seconds(84 * 3600)));
    assert_eq!(sample.stats().unwrap().networks, 0);
}

/// An address in a few networks, of both families.
fn any_addr() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..6u32, any::<u8>()).prop_map(|(network, host)| v4(network, host)),
        (0..3u64, any::<u8>(), any::<u64>()).prop_map(|(network, member, host)| {
            let first = 0x2a01_04f8_0000_0000 + (network << 8) + u64::from(member);
            Ipv6Addr::from(u128::from(first) << 64 | u128::from(host)).into()
        }),
    ]
}

/// A prefix around or inside these networks.
fn any_prefix() -> impl Strategy<Value = Subject> {
    (any_addr(), 8..=32u8, 19..=128u8).prop_map(|(addr, len4, len6)| match addr {
        IpAddr::V4(a) => Subject::V4(Prefix4::new(a.into(), len4)),
        IpAddr::V6(a) => Subject::V6(Prefix6::new(a.into(), len6)),
    })
}

/// The prefix whose members are counted for a prefix: inside a /64, the /64 counts.
fn wide(prefix: &Subject) -> Subject {
    match prefix {
        Subject::V6(p) => Subject::V6(p.widen(64)),
        other => other.clone(),
    }
}

/// The network of a sampled address.
fn network_of(addr: IpAddr) -> Subject {
    match addr {
        IpAddr::V4(a) => Subject::V4(Prefix4::new(a.into(), 24)),
        IpAddr::V6(a) => Subject::V6(Prefix6::new(a.into(), 56)),
    }
}

/// What is counted: an address of IPv4, a /64 of IPv6.
fn counted(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(a) => Ipv6Addr::from(u128::from(a) >> 64 << 64).into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Each step is a sampled address, or the beginning of another half of the period.
    #[test]
    fn counts_equal_those_of_two_sets(
        steps in prop::collection::vec(prop_oneof![20 => any_addr().prop_map(Some), 1 => Just(None)], 0..400),
        prefixes in prop::collection::vec(any_prefix(), 1..8),
    ) {
        let mut networks = QueriedNetworks::with_cells(1024);
        let mut model: [BTreeSet<IpAddr>; 2] = Default::default();
        for step in steps {
            let Some(addr) = step else {
                networks.begin_half();
                model = [BTreeSet::new(), std::mem::take(&mut model[0])];
                continue;
            };
            let was_sampled = model.iter().any(|half| half.contains(&counted(addr)));
            prop_assert_eq!(networks.add(addr), was_sampled);
            model[0].insert(counted(addr));
        }
        let all: BTreeSet<IpAddr> = model.iter().flatten().copied().collect();
        for prefix in prefixes {
            let inside = all.iter().filter(|a| wide(&prefix).covers(&Subject::host(**a)));
            prop_assert_eq!(networks.count(&prefix), inside.count() as u64, "{}", prefix);
        }
    }

    /// What is forgotten is gone from both halves of the period, and nothing else is.
    #[test]
    fn only_the_members_in_a_forgotten_prefix_are_forgotten(
        halves in prop::collection::vec(prop::collection::vec(any_addr(), 0..150), 2),
        forgotten in any_prefix(),
        prefixes in prop::collection::vec(any_prefix(), 1..8),
    ) {
        let mut networks = QueriedNetworks::with_cells(1024);
        let mut all = BTreeSet::new();
        for half in &halves {
            networks.begin_half();
            half.iter().for_each(|addr| {
                networks.add(*addr);
                all.insert(counted(*addr));
            });
        }
        let before = all.len();
        let forgotten = wide(&forgotten);
        all.retain(|a| !forgotten.covers(&Subject::host(*a)));
        prop_assert_eq!(networks.forget(&forgotten), (before - all.len()) as u64);
        for prefix in prefixes.iter().chain([&forgotten]) {
            let inside = all.iter().filter(|a| wide(prefix).covers(&Subject::host(**a)));
            prop_assert_eq!(networks.count(prefix), inside.count() as u64, "{}", prefix);
        }
        // A network without members is no longer there.
        let left: BTreeSet<Subject> = all.iter().map(|a| network_of(*a)).collect();
        prop_assert_eq!(networks.len(), left.len());
    }

    /// Strangers ask about any number of addresses, each of which is sampled once; meanwhile mail
    /// servers ask about a few networks again and again. None of these is forgotten, and the table
    /// does not grow.
    #[test]
    fn many_different_addresses_push_out_no_network_that_is_asked_about_again(
        known in prop::collection::btree_set(0..60_000u32, 1..40),
        first in any::<u32>(),
    ) {
        let mut networks = QueriedNetworks::with_cells(1024);
        let known: Vec<IpAddr> = known.into_iter().map(|n| v4(n, 7)).collect();
        for addr in known.iter().chain(&known) {
            networks.add(*addr);
        }
        // Sets of 16 cells have room for eight such networks; a few sets can get more of them.
        let kept: Vec<IpAddr> = known
            .iter()
            .copied()
            .filter(|a| networks.count(&Subject::host(*a)) == 1)
            .collect();
        prop_assert!(kept.len() + 2 >= known.len());
        for i in 0..20_000u32 {
            // Networks outside of 45.0.0.0/8, each once.
            let flood = Ipv4Addr::from(0x5000_0000 | (first.wrapping_add(i) & 0xf_ffff) << 8);
            networks.add(flood.into());
        }
        for addr in kept {
            prop_assert_eq!(networks.count(&Subject::host(addr)), 1, "{}", addr);
        }
        prop_assert!(networks.len() <= 1024);
    }

    /// The same through the whole sample, with one in 16 queries: of very many random addresses,
    /// hardly one becomes a candidate, and those that mail servers ask about do.
    #[test]
    fn candidates_are_addresses_that_are_asked_about_again(seed in any::<u64>()) {
        let sample = QuerySample::new(settings(16), Random::seeded(seed));
        let sampler = sample.worker();
        let known: HashSet<IpAddr> = (0..20).map(|n| v4(n, 7)).collect();
        let (mut random, mut found) = (seed | 1, HashMap::<IpAddr, u32>::new());
        for round in 0..400u64 {
            let flood = (0..1000).map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                IpAddr::from(Ipv4Addr::from((random >> 32) as u32 & 0x00ff_ffff | 0x5000_0000))
            });
            let asked = flood.chain(known.iter().copied());
            for addr in asked {
                if sampler.is_next() {
                    sampler.add(queried(addr));
                }
            }
            sample.collect(Uptime(round * 1000));
            while let Some(addr) = sample.take_candidate() {
                *found.entry(addr).or_default() += 1;
            }
        }
        let strangers = found.keys().filter(|a| !known.contains(a)).count();
        prop_assert_eq!(found.len() - strangers, known.len());
        prop_assert!(strangers < 60, "{} of 400,000", strangers);
        let stats = sample.stats().unwrap();
        prop_assert_eq!(stats.dropped, 0);
        prop_assert!(stats.networks <= 131_072 && stats.waiting == 0);
    }

    /// The queue of candidates has its bound, no two of a network, and room for newcomers whatever
    /// it was filled with.
    #[test]
    fn full_queue_of_candidates_lets_others_in(first in 0..40_000u32) {
        let mut queue = CandidateQueue::default();
        let addr = |n: u32| Ipv4Addr::from(0x2d00_0000 + (n << 8) + 1);
        for n in 0..5000 {
            queue.add(addr(first + n));
            queue.add(addr(first + n));
            prop_assert!(queue.len() <= MAX_CANDIDATES);
        }
        for n in 0..MAX_CANDIDATES as u32 / 4 {
            queue.add(addr(60_000 + n));
        }
        let mut all = Vec::new();
        while let Some(a) = queue.take_first() {
            all.push(a);
        }
        prop_assert_eq!(all.len(), MAX_CANDIDATES);
        let networks: HashSet<u32> = all.iter().map(|a| u32::from(*a) >> 8).collect();
        prop_assert_eq!(networks.len(), all.len());
        let later = all.iter().filter(|a| **a >= addr(60_000)).count();
        prop_assert!(later > MAX_CANDIDATES / 8, "{}", later);
        queue.add(addr(1));
        prop_assert_eq!(queue.take_first(), Some(addr(1)), "its network is forgotten");
    }
}
