//! Properties of the engine with a simulated clock and resolver, and of the look-ups.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use async_trait::async_trait;
use proptest::prelude::*;

use super::{
    engine::{GenericNameEngine, LOW_QUEUE, MAX_FAILURES, MAX_QUERIED},
    host::ListedName,
    lookup::{AssessedName, AssessedNames, NameDns, assess_address},
    schedule::LOOKUP_INTERVAL,
    service::check_resolver,
    settings::GenericNameSettings,
};
use crate::{
    generic_names::{AllowList, NameAssessment, NameConfidence, NameSign, assess},
    model::time::Seconds,
    random::Random,
    reverse_names::table::network,
};

/// The timeout of a look-up, after which the service reports an error.
const TIMEOUT: Duration = Duration::from_secs(10);

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host(network: u8, host: u8) -> IpAddr {
    IpAddr::from([45, 51, network, host])
}

fn settings() -> GenericNameSettings {
    GenericNameSettings {
        reason: "generic".into(),
        ..GenericNameSettings::default()
    }
}

fn engine(settings: GenericNameSettings) -> GenericNameEngine {
    GenericNameEngine::new(settings, Random::seeded(7))
}

/// A response with these names.
fn response(addr: IpAddr, names: &[String]) -> AssessedNames {
    let assessed = |name: &String| AssessedName {
        name: name.clone(),
        assessment: assess(name, Some(addr)),
    };
    AssessedNames {
        names: names.iter().map(assessed).collect(),
        ttl: Duration::from_secs(3600),
    }
}

/// A generic name of an address; the number makes different ones.
fn generic(addr: IpAddr, number: u8) -> String {
    format!(
        "{}.dyn{number}.isp.example",
        addr.to_string().replace('.', "-")
    )
}

/// How the resolver behaves for one look-up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    /// Answers after this many milliseconds.
    Answers(u16),
    /// Answers after this time with a name that no other answer has.
    Lies(u16),
    /// Has no answer after this time.
    Fails(u16),
    /// Never answers.
    Hangs,
}

fn any_behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        4 => (1..9_999u16).prop_map(Behaviour::Answers),
        2 => (1..9_999u16).prop_map(Behaviour::Lies),
        2 => (1..9_999u16).prop_map(Behaviour::Fails),
        1 => Just(Behaviour::Hangs),
    ]
}

/// What the world has: the names of hosts, and how the resolver behaves.
struct World {
    engine: GenericNameEngine,
    now: Duration,
    names: HashMap<IpAddr, Vec<String>>,
    /// The results on their way, by the time at which they arrive, with their numbers.
    on_the_way: BinaryHeap<Reverse<(Duration, usize)>>,
    results: Vec<(IpAddr, Result<AssessedNames, String>)>,
    running: HashSet<IpAddr>,
    last_start: Option<Duration>,
    /// The listings by the committed changes.
    listed: BTreeMap<IpAddr, String>,
    /// How often each host was looked up.
    look_ups: HashMap<IpAddr, usize>,
}

impl World {
    fn new(engine: GenericNameEngine) -> World {
        World {
            engine,
            now: Duration::ZERO,
            names: HashMap::new(),
            on_the_way: BinaryHeap::new(),
            results: Vec::new(),
            running: HashSet::new(),
            last_start: None,
            listed: BTreeMap::new(),
            look_ups: HashMap::new(),
        }
    }

    /// Puts a listing into the store before the start.
    fn restore(&mut self, addr: IpAddr, name: &str) {
        let listed = ListedName {
            name: name.into(),
            text: String::new(),
        };
        self.engine.restore(addr, listed, false, Duration::ZERO);
        self.listed.insert(addr, name.into());
    }

    /// Goes on to the next event, if it comes before `end`. `behaviour` is asked for each look-up;
    /// `arrived` gets each result before the engine does.
    fn step(
        &mut self,
        end: Duration,
        behaviour: &mut dyn FnMut(IpAddr) -> Behaviour,
        arrived: &mut dyn FnMut(IpAddr, &Result<AssessedNames, String>),
    ) -> bool {
        let arrival = self.on_the_way.peek().map(|Reverse((at, _))| *at);
        let start = self.engine.next_at().map(|at| at.max(self.now));
        let Some(next) = arrival
            .into_iter()
            .chain(start)
            .min()
            .filter(|at| *at <= end)
        else {
            self.now = end;
            return false;
        };
        self.now = next;
        if arrival == Some(next) {
            let Reverse((_, number)) = self.on_the_way.pop().unwrap();
            let (addr, result) = self.results[number].clone();
            assert!(self.running.remove(&addr));
            arrived(addr, &result);
            self.engine.finish(addr, result, self.now);
        } else if let Some(addr) = self.engine.start_next(self.now) {
            let gap = self.last_start.map(|at| self.now - at);
            assert!(
                gap.is_none_or(|gap| gap >= LOOKUP_INTERVAL),
                "more than five in a second"
            );
            self.last_start = Some(self.now);
            let is_same = |other: &IpAddr| network(*other) == network(addr);
            assert!(
                !self.running.iter().any(is_same),
                "two in the network of {addr}"
            );
            self.running.insert(addr);
            *self.look_ups.entry(addr).or_default() += 1;
            let truth = self.names.get(&addr).cloned().unwrap_or_default();
            let behaviour = behaviour(addr);
            let (after, result) = match behaviour {
                Behaviour::Answers(ms) => {
                    (Duration::from_millis(ms.into()), Ok(response(addr, &truth)))
                }
                Behaviour::Lies(ms) => {
                    let lie = format!(
                        "{}.lie{}.dyn.isp.example",
                        addr.to_string().replace('.', "-"),
                        self.results.len()
                    );
                    (Duration::from_millis(ms.into()), Ok(response(addr, &[lie])))
                }
                Behaviour::Fails(ms) => (Duration::from_millis(ms.into()), Err("no server".into())),
                Behaviour::Hangs => (TIMEOUT, Err("no answer".into())),
            };
            self.on_the_way
                .push(Reverse((self.now + after, self.results.len())));
            self.results.push((addr, result));
        }
        for (addr, change) in self.engine.take_changes(usize::MAX) {
            match change {
                Some(name) => drop(self.listed.insert(addr, name.name)),
                None => drop(self.listed.remove(&addr)),
            }
        }
        true
    }

    fn run(&mut self, end: Duration, behaviour: &mut dyn FnMut(IpAddr) -> Behaviour) {
        while self.step(end, behaviour, &mut |_, _| {}) {}
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// The listing of each host by the results that arrived, computed in the simplest way: it is what
/// the last two results that say the same have in common.
#[derive(Default)]
struct NaiveListings {
    listed: BTreeMap<IpAddr, String>,
    last: HashMap<IpAddr, Option<String>>,
    failures: HashMap<IpAddr, u32>,
}

impl NaiveListings {
    fn arrived(&mut self, addr: IpAddr, result: &Result<AssessedNames, String>) {
        let Ok(found) = result else {
            let failures = self.failures.entry(addr).or_default();
            *failures += 1;
            if *failures >= MAX_FAILURES && !self.listed.contains_key(&addr) {
                // It is no longer a candidate, and begins again when it is one.
                self.failures.remove(&addr);
                self.last.remove(&addr);
            }
            return;
        };
        self.failures.remove(&addr);
        let name = found
            .generic(NameConfidence::Medium)
            .map(|(name, _)| name.to_string());
        let before = self.last.insert(addr, name.clone());
        if before == Some(name.clone()) {
            match name {
                Some(name) => drop(self.listed.insert(addr, name)),
                None => drop(self.listed.remove(&addr)),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The rate and the limit of each network hold at every step ([`World::step`] checks them), and
    /// the listings are those of the simplest model.
    #[test]
    fn listings_follow_the_last_two_equal_results(
        hosts in prop::collection::btree_map((0..6u8, 1..5u8), prop::collection::vec(0..4u8, 3), 1..16),
        behaviours in prop::collection::vec(any_behaviour(), 1..60),
        restored in prop::collection::btree_set((0..6u8, 1..5u8), 0..6),
    ) {
        let mut world = World::new(engine(settings()));
        let mut model = NaiveListings::default();
        for (network, number) in restored {
            let (a, name) = (host(network, number), generic(host(network, number), 9));
            world.restore(a, &name);
            model.listed.insert(a, name.clone());
            model.last.insert(a, Some(name));
        }
        let mut next = behaviours.iter().copied().cycle();
        for phase in 0..3u32 {
            for ((network, number), names) in &hosts {
                let a = host(*network, *number);
                // 0: no name; 1: its own; 2 and 3: generic ones.
                let names = match names[phase as usize] {
                    0 => Vec::new(),
                    1 => vec!["mail.example.com".to_string()],
                    n => vec![generic(a, n)],
                };
                world.names.insert(a, names);
                world.engine.offer(a, world.now);
            }
            let end = DAY * (phase + 1);
            while world.step(end, &mut |_| next.next().unwrap(), &mut |a, r| model.arrived(a, r)) {
                prop_assert!(world.listed == model.listed, "at {:?}", world.now);
            }
        }
    }

    /// A resolver that lies now and then, fails, hangs or is slow changes no listing.
    #[test]
    fn bad_answers_change_nothing_but_the_times_of_look_ups(
        bad in prop::collection::vec(any_behaviour(), 1..40),
        listed in 1..20u8,
    ) {
        let mut world = World::new(engine(settings()));
        let mut expected = BTreeMap::new();
        for number in 1..=listed {
            let a = host(number % 5, number);
            let name = generic(a, 1);
            world.restore(a, &name);
            world.names.insert(a, vec![name.clone()]);
            expected.insert(a, name);
            // Its neighbour has a name of its own.
            let own = host(number % 5, 100 + number);
            world.names.insert(own, vec![format!("mail{number}.example.com")]);
            world.engine.offer(own, Duration::ZERO);
        }
        let mut next = bad.iter().copied().cycle();
        // Lies differ from each other, so that no two agree.
        while world.step(DAY * 3, &mut |_| next.next().unwrap(), &mut |_, _| {}) {
            prop_assert!(world.listed == expected, "at {:?}", world.now);
        }
        prop_assert!(world.look_ups.len() >= usize::from(listed));
    }

    #[test]
    fn queue_is_bounded_and_each_candidate_in_it_is_looked_up(
        limit in 1..40usize,
        candidates in prop::collection::btree_set((0..4u8, 0..40u8), 1..80),
    ) {
        let mut world = World::new(engine(GenericNameSettings { max_queue: limit, ..settings() }));
        for (network, number) in &candidates {
            world.engine.offer(host(*network, *number), Duration::ZERO);
            prop_assert!(world.engine.counters().waiting <= limit);
        }
        let counters = world.engine.counters();
        let queued = candidates.len().min(limit);
        prop_assert_eq!(counters.waiting, queued);
        prop_assert_eq!(counters.dropped, (candidates.len() - queued) as u64);
        world.run(DAY, &mut |_| Behaviour::Answers(100));
        prop_assert_eq!(world.look_ups.len(), queued);
        prop_assert!(world.look_ups.values().all(|n| *n == 1));
        prop_assert_eq!(world.engine.counters().remembered, queued);
    }
}

#[test]
fn host_is_listed_after_the_second_look_up_and_until_its_name_changes() {
    let mut world = World::new(engine(settings()));
    let a = host(1, 7);
    world.names.insert(a, vec![generic(a, 1)]);
    world.engine.offer(a, Duration::ZERO);
    let mut good = |_: IpAddr| Behaviour::Answers(50);
    world.run(Duration::from_secs(590), &mut good);
    assert_eq!((world.look_ups[&a], world.listed.len()), (1, 0));
    world.run(Duration::from_secs(700), &mut good);
    assert_eq!(
        (world.look_ups[&a], world.listed.get(&a)),
        (2, Some(&generic(a, 1)))
    );
    world.run(DAY, &mut good);
    let after_a_day = world.look_ups[&a];
    assert!(
        after_a_day >= 20,
        "its TTL is an hour: {after_a_day} look-ups"
    );
    world.names.insert(a, vec!["mx7.example.com".into()]);
    world.run(DAY + Duration::from_secs(5400), &mut good);
    assert!(world.listed.is_empty());
    let counters = world.engine.counters();
    assert_eq!(
        (counters.listed, counters.ended, counters.remembered),
        (0, 1, 1)
    );
}

#[test]
fn address_with_any_name_of_its_own_is_not_listed() {
    let mut world = World::new(engine(settings()));
    let a = host(1, 7);
    world
        .names
        .insert(a, vec![generic(a, 1), "shop.example.com".into()]);
    world.engine.offer(a, Duration::ZERO);
    world.run(DAY, &mut |_| Behaviour::Answers(50));
    assert!(world.listed.is_empty());
}

#[test]
fn confidence_below_the_least_one_is_not_listed() {
    let name = "pool7.isp.example".to_string();
    for (least, expected) in [(NameConfidence::Medium, 0), (NameConfidence::Low, 1)] {
        let mut world = World::new(engine(GenericNameSettings {
            min_confidence: least,
            ..settings()
        }));
        world.names.insert(host(1, 7), vec![name.clone()]);
        world.engine.offer(host(1, 7), Duration::ZERO);
        world.run(DAY, &mut |_| Behaviour::Answers(50));
        assert_eq!(world.listed.len(), expected, "{least:?}");
    }
}

#[test]
fn candidate_without_an_answer_is_given_up_and_a_listed_host_is_not() {
    let mut world = World::new(engine(settings()));
    let (new, old) = (host(1, 7), host(2, 7));
    world.restore(old, &generic(old, 1));
    world.engine.offer(new, Duration::ZERO);
    world.run(DAY * 30, &mut |_| Behaviour::Hangs);
    assert_eq!(world.look_ups[&new], MAX_FAILURES as usize);
    assert!(world.look_ups[&old] >= 20, "{}", world.look_ups[&old]);
    assert_eq!(world.listed.keys().collect::<Vec<_>>(), [&old]);
}

#[test]
fn address_that_cannot_be_listed_or_is_allowed_is_not_looked_up() {
    let allow = AllowList::read("45.51.1.0/24\nisp.example").unwrap();
    let mut world = World::new(engine(GenericNameSettings {
        allow,
        ..settings()
    }));
    for a in [
        "10.1.1.1",
        "127.0.0.1",
        "192.0.2.7",
        "45.51.1.7",
        "::ffff:45.51.1.8",
    ] {
        world.engine.offer(addr(a), Duration::ZERO);
    }
    assert_eq!(world.engine.counters().waiting, 0);
    // The file has changed since the host was listed.
    world.restore(host(2, 7), &generic(host(2, 7), 1));
    assert_eq!(world.engine.take_changes(9), [(host(2, 7), None)]);
}

#[test]
fn walk_through_ranges_leaves_room_and_reaches_each_address() {
    let ranges = vec!["45.51.0.0/21".parse().unwrap()];
    let mut world = World::new(engine(GenericNameSettings {
        ranges,
        ..settings()
    }));
    let mut good = |_: IpAddr| Behaviour::Answers(50);
    while world.look_ups.len() < 2048 {
        world.engine.walk(world.now, 10_000);
        assert!(world.engine.counters().waiting <= LOW_QUEUE);
        let end = world.now + Duration::from_secs(10);
        world.run(end, &mut good);
        assert!(world.now < DAY, "{} of 2048", world.look_ups.len());
    }
    assert!(world.look_ups.values().all(|n| *n == 1));
    assert!(world.now >= LOOKUP_INTERVAL * 2047);
}

/// Strangers can make the sample offer any number of addresses.
#[test]
fn candidates_from_queries_do_not_hold_up_those_of_the_operator() {
    let mut world = World::new(engine(GenericNameSettings {
        ranges: vec!["45.51.0.0/24".parse().unwrap()],
        queried_hosts: true,
        ..settings()
    }));
    let (mut offered, mut good) = (0u32, |_| Behaviour::Answers(50));
    let operator = |world: &World| {
        let all = world.look_ups.keys();
        all.filter(|a| a.to_string().starts_with("45.")).count()
    };
    while operator(&world) < 256 {
        assert!(world.now < Duration::from_secs(180), "{}", operator(&world));
        while world.engine.takes_queried() {
            let stranger = IpAddr::from((0x5000_0001 + (offered << 8)).to_be_bytes());
            world.engine.offer_queried(stranger, world.now);
            offered += 1;
        }
        world.engine.walk(world.now, 1000);
        assert!(world.engine.counters().waiting <= LOW_QUEUE + MAX_QUERIED);
        let end = world.now + Duration::from_secs(1);
        world.run(end, &mut good);
    }
    assert!(world.look_ups.len() > 256 + 100, "strangers' come too");
    let counters = world.engine.counters();
    assert_eq!(
        (counters.queried, counters.dropped),
        (u64::from(offered), 0)
    );
}

#[test]
fn known_addresses_are_no_candidates_from_queries_again() {
    let with = |queried_hosts, max_queue| {
        World::new(engine(GenericNameSettings {
            queried_hosts,
            max_queue,
            ..settings()
        }))
    };
    let mut world = with(true, 10_000);
    let (ordinary, listed) = (host(1, 7), host(2, 7));
    world.names.insert(listed, vec![generic(listed, 1)]);
    for _ in 0..3 {
        for a in [ordinary, listed] {
            world.engine.offer_queried(a, world.now);
            world.engine.offer_queried(a, world.now);
        }
        let end = world.now + Duration::from_secs(1000);
        world.run(end, &mut |_| Behaviour::Answers(50));
    }
    assert_eq!(world.listed.len(), 1);
    assert_eq!((world.look_ups[&ordinary], world.look_ups[&listed]), (1, 2));
    assert_eq!(world.engine.counters().queried, 2);
    // A short queue has room for others; without the setting there are none.
    let mut short = with(true, 4);
    (0..9).for_each(|n| short.engine.offer_queried(host(n, 7), Duration::ZERO));
    assert_eq!(short.engine.counters().waiting, 2);
    let mut off = with(false, 10_000);
    off.engine.offer_queried(ordinary, Duration::ZERO);
    assert_eq!(off.engine.counters().waiting, 0);
}

#[test]
fn listings_are_limited() {
    let mut world = World::new(engine(GenericNameSettings {
        max_listed: 3,
        ..settings()
    }));
    for number in 1..=5 {
        let a = host(number, 7);
        world.names.insert(a, vec![generic(a, 1)]);
        world.engine.offer(a, Duration::ZERO);
    }
    world.run(Duration::from_secs(3000), &mut |_| Behaviour::Answers(50));
    assert_eq!(world.listed.len(), 3);
    assert!(world.engine.counters().over_limit >= 2);
}

#[test]
fn changes_that_were_not_committed_are_committed_later_unless_newer_ones_exist() {
    let mut engine = engine(settings());
    let listed = |n: u8| {
        Some(ListedName {
            name: format!("{n}"),
            text: String::new(),
        })
    };
    engine.return_changes((0..5).map(|n| (host(n, 1), listed(n))).collect());
    let first = engine.take_changes(2);
    assert_eq!(
        first.iter().map(|(a, _)| *a).collect::<Vec<_>>(),
        [host(0, 1), host(1, 1)]
    );
    engine.return_changes(vec![(host(1, 1), None)]);
    engine.return_changes(first);
    assert_eq!(
        engine.take_changes(2),
        [(host(0, 1), listed(0)), (host(1, 1), None)]
    );
    assert_eq!(engine.take_changes(9).len(), 3);
    assert!(!engine.has_changes());
}

#[test]
fn listings_of_the_store_are_looked_up_at_different_times() {
    let mut engine = engine(GenericNameSettings {
        recheck: Seconds(86_400),
        ..settings()
    });
    for number in 0..=200 {
        let a = host(number, 1);
        let name = ListedName {
            name: generic(a, 1),
            text: String::new(),
        };
        engine.restore(a, name, number == 7, Duration::ZERO);
    }
    assert_eq!(
        engine.take_changes(9).len(),
        1,
        "the entry with another reason"
    );
    let mut hours = HashSet::new();
    let mut now = Duration::ZERO;
    for _ in 0..=200 {
        now = now.max(engine.next_at().unwrap());
        engine.start_next(now).unwrap();
        hours.insert(now.as_secs() / 3600);
    }
    assert!(hours.len() >= 20, "{hours:?}");
}

/// DNS with fixed records; what it does not have does not exist.
#[derive(Default)]
struct FixedDns {
    names: HashMap<IpAddr, Vec<String>>,
    addresses: HashMap<String, Vec<IpAddr>>,
    exchanges: HashMap<String, Vec<String>>,
    /// The answer for all other names.
    invented: Option<IpAddr>,
    /// Whether all other addresses have a name.
    invents_names: bool,
    fails: bool,
}

#[async_trait]
impl NameDns for FixedDns {
    async fn reverse_names(&self, addr: IpAddr) -> Result<(Vec<String>, Duration), String> {
        let known = self.names.get(&addr).cloned();
        let names = known.unwrap_or_else(|| match self.invents_names {
            true => vec!["host.liar.example".into()],
            false => Vec::new(),
        });
        (!self.fails)
            .then_some((names, Duration::from_secs(60)))
            .ok_or_else(|| "no server".into())
    }
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = self.addresses.get(name).cloned();
        Ok(found.unwrap_or_else(|| self.invented.into_iter().collect()))
    }
    async fn exchanges(&self, domain: &str) -> Result<Vec<String>, String> {
        match domain {
            "broken.example" => Err("no server".into()),
            _ => Ok(self.exchanges.get(domain).cloned().unwrap_or_default()),
        }
    }
}

async fn generic_name(dns: &FixedDns, a: IpAddr, allow: &str) -> Result<Option<String>, String> {
    let allow = AllowList::read(allow).unwrap();
    let found = assess_address(dns, a, &allow).await?;
    Ok(found
        .generic(NameConfidence::Medium)
        .map(|(name, _)| name.into()))
}

#[tokio::test]
async fn confirmed_mail_exchange_and_allowed_name_are_never_generic() {
    let a = host(1, 7);
    let name = "45-51-1-7.dyn.isp.example".to_string();
    let mut dns = FixedDns::default();
    dns.names.insert(a, vec![name.to_ascii_uppercase()]);
    assert_eq!(generic_name(&dns, a, "").await, Ok(Some(name.clone())));
    for allow in ["isp.example", "45.51.1.0/24"] {
        assert_eq!(generic_name(&dns, a, allow).await, Ok(None), "{allow}");
    }
    // The name alone proves nothing: it has to have the address.
    dns.exchanges
        .insert("isp.example".into(), vec![name.clone()]);
    assert_eq!(generic_name(&dns, a, "").await, Ok(Some(name.clone())));
    dns.addresses.insert(name.clone(), vec![a]);
    assert_eq!(generic_name(&dns, a, "").await, Ok(None));
    let found = assess_address(&dns, a, &AllowList::default())
        .await
        .unwrap();
    let sign = NameSign::Exchange("isp.example".into());
    assert_eq!(
        found.names[0].assessment,
        NameAssessment::NeverGeneric(sign)
    );
    // Without an answer about mail exchanges nothing is known.
    dns.names
        .insert(a, vec!["45-51-1-7.dyn.broken.example".into()]);
    assert!(generic_name(&dns, a, "").await.is_err());
    // What is not a host name does not count.
    dns.names.insert(a, vec!["<b>45-51-1-7</b>".into(), name]);
    let found = assess_address(&dns, a, &AllowList::default())
        .await
        .unwrap();
    assert_eq!(found.names.len(), 1);
}

#[tokio::test]
async fn resolver_that_invents_answers_or_has_none_is_found() {
    let random = Random::seeded(1);
    let mut dns = FixedDns::default();
    assert_eq!(check_resolver(&dns, &random).await, Ok(()));
    dns.invented = Some(host(9, 9));
    let why = check_resolver(&dns, &random).await.unwrap_err();
    assert!(why.contains("invents answers"), "{why}");
    dns.invented = None;
    dns.invents_names = true;
    let why = check_resolver(&dns, &random).await.unwrap_err();
    assert!(why.contains("host.liar.example for 192.0.2."), "{why}");
    dns.fails = true;
    assert_eq!(check_resolver(&dns, &random).await, Err("no server".into()));
}
