//! Tests of servers that follow each other by rows, in memory: whatever they list and delist, and
//! whichever of them cannot reach each other for a while, each converges to the listings of the
//! servers that it follows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    dns::incoming::node,
    index::{
        Builder, Changes, RawFact, RawFacts, ZoneView,
        rows::{data, render_rows},
        zones::rtype,
    },
    lists::{
        ListReport, Options, ReasonMapping,
        records::{Mapping, Records},
    },
    model::{Domain, EntryText, ReasonId, Reasons, Scope, SourceId, StoreId, Subject},
};

/// The entries of one feed: for each subject whether it is an exclusion, and the text with its
/// path.
type List = BTreeMap<Subject, (bool, EntryText)>;

struct Server {
    id: StoreId,
    own: BTreeMap<Subject, Option<&'static str>>,
    /// By the number of the followed server.
    received: BTreeMap<usize, List>,
}

const DEFAULT: &str = "listed";

impl Server {
    /// Its rows as records of a zone's copy, in order.
    fn rows(&self, kind: &str) -> BTreeSet<Vec<u8>> {
        let mut facts: BTreeMap<&Subject, Vec<RawFact>> = BTreeMap::new();
        let fact = |source: usize, exclusion, text| RawFact {
            aged: Default::default(),
            reason: ReasonId(0),
            source: SourceId(source as u16),
            exclusion,
            text,
        };
        for (s, text) in &self.own {
            facts
                .entry(s)
                .or_default()
                .push(fact(0, false, (*text).into()));
        }
        for (from, list) in &self.received {
            for (s, (exclusion, text)) in list {
                facts
                    .entry(s)
                    .or_default()
                    .push(fact(from + 1, *exclusion, text.clone()));
            }
        }
        let mut builder = Builder::default();
        for (s, facts) in facts {
            let id = builder.intern(&RawFacts {
                exempt: false,
                facts,
            });
            let mut changes = Changes::default();
            builder.add(&mut changes, s, id);
            builder.apply(changes);
        }
        let zone = zone(kind).of_store(self.id);
        let mut out = BTreeSet::new();
        render_rows(builder.tables(), &zone, &mut |owner, at| {
            if let Some(data) = data(&builder.tables().interned, &zone, owner, &at) {
                let labels: Vec<_> = crate::index::listing::labels_in(owner)
                    .map(String::from_utf8_lossy)
                    .collect();
                out.insert(
                    [
                        &node(&labels.join("."))[..],
                        &[0],
                        &rtype::ROW.to_be_bytes(),
                        &data,
                    ]
                    .concat(),
                );
            }
            true
        });
        out
    }

    /// Replaces the entries from another server by the rows of that server.
    fn receive(&mut self, from: usize, rows: &BTreeSet<Vec<u8>>) -> Result<u64, String> {
        let reasoning = ReasonMapping::One(ReasonId(0));
        let options = Options {
            reasoning,
            followed: true,
            store: self.id,
            ..Options::default()
        };
        let (mut report, mut list) = (ListReport::default(), List::new());
        let mut sink = |e: crate::lists::ListEntry| {
            let text = EntryText {
                text: e.text,
                path: e.path,
                exact: false,
            };
            list.insert(e.subject, (e.exclusion, text));
            Ok(())
        };
        let mut records = Records::new(Mapping::Rows, "z", &options, &mut report, &mut sink);
        rows.iter().try_for_each(|r| records.row(r))?;
        records.finish()?;
        assert_eq!(report.errors, 0, "{:?}", report.problems);
        self.received.insert(from, list);
        Ok(report.looped)
    }

    /// Whether it lists an address or a name: whether one of its sources does by its longest match.
    fn lists(&self, point: &Subject) -> bool {
        let own = self.own.keys().any(|s| covers(s, point).is_some());
        let longest = |list: &List| {
            let matches = list
                .iter()
                .filter_map(|(s, (exclusion, _))| Some((covers(s, point)?, *exclusion)));
            matches
                .max_by_key(|(len, _)| *len)
                .is_some_and(|(_, exclusion)| !exclusion)
        };
        own || self.received.values().any(longest)
    }
}

fn zone(kind: &str) -> ZoneView {
    let text = format!(
        "origin = 'bl.orbs.example'\nkind = '{kind}'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\n\
         publish = [{{reason = 'r', code = '127.0.0.2', text = '{DEFAULT}'}}]"
    );
    let mut reasons = Reasons::default();
    reasons.add("r").unwrap();
    ZoneView::new(
        &toml::from_str(&text).unwrap(),
        &reasons,
        &Default::default(),
    )
    .unwrap()
}

/// How specific a subject is, if it covers a point; `None` if it does not.
fn covers(s: &Subject, point: &Subject) -> Option<u32> {
    match (s, point) {
        (Subject::V4(a), Subject::V4(p)) => {
            (a.len() <= p.len() && p.widen(a.len()) == *a).then(|| u32::from(a.len()))
        }
        (Subject::V6(a), Subject::V6(p)) => {
            (a.len() <= p.len() && p.widen(a.len()) == *a).then(|| u32::from(a.len()))
        }
        (Subject::Domain(a), Subject::Domain(p)) => {
            let depth = 2 * a.name().split('.').count() as u32;
            let below = p.name().ends_with(&format!(".{}", a.name()));
            match a.scope() {
                Scope::Name => (a.name() == p.name()).then_some(depth + 1),
                Scope::Below => below.then_some(depth),
                Scope::Tree => (below || a.name() == p.name()).then_some(depth),
            }
        }
        _ => None,
    }
}

/// The subjects that can be listed, and the points that are compared.
fn universe(kind: &str) -> (Vec<Subject>, Vec<Subject>) {
    let parse = |all: &[&str]| {
        all.iter()
            .map(|s| s.parse().unwrap())
            .collect::<Vec<Subject>>()
    };
    if kind == "address" {
        let listed = [
            "45.51.100.0/24",
            "45.51.100.0/28",
            "45.51.100.4/30",
            "45.51.100.1",
            "45.51.100.5",
            "2a00:db8::/32",
            "2a00:db8::/63",
            "2a00:db8::7",
        ];
        let points = [
            "45.51.100.0",
            "45.51.100.1",
            "45.51.100.4",
            "45.51.100.5",
            "45.51.100.99",
            "2a00:db8::7",
            "2a00:db8::8",
            "2a00:db8:1::1",
        ];
        return (parse(&listed), parse(&points));
    }
    let domain = |name: &str, scope| Subject::Domain(Domain::from_canonical(name, scope));
    let names = ["bad.test", "x.bad.test", "y.x.bad.test", "worse.test"];
    let listed = names
        .iter()
        .flat_map(|n| [Scope::Name, Scope::Below, Scope::Tree].map(|s| domain(n, s)))
        .collect();
    let points = names
        .iter()
        .flat_map(|n| {
            [
                domain(n, Scope::Name),
                domain(&format!("q.{n}"), Scope::Name),
            ]
        })
        .collect();
    (listed, points)
}

/// One step. Numbers are used modulo the number of servers, edges or subjects.
#[derive(Debug, Clone)]
enum Step {
    /// A server lists a subject itself, or ends that listing.
    Word(usize, usize, Option<usize>),
    /// A server refreshes the feed of one edge.
    Refresh(usize),
    /// All feeds refresh at once.
    All,
    /// An edge cannot be used, or can be used again.
    CoverMode(usize, bool),
    /// A server lists a subject, the feeds of these edges refresh one after the other, and the
    /// server no longer lists it.
    Ghost(usize, usize, Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6usize, 0..24usize, prop::option::of(0..3usize)).prop_map(|(a, b, c)| Step::Word(a, b, c)),
        3 => (0..14usize).prop_map(Step::Refresh),
        2 => Just(Step::All),
        1 => (0..14usize, any::<bool>()).prop_map(|(a, b)| Step::CoverMode(a, b)),
    ]
}

/// Few own listings, most of which end while other servers still have them.
fn ghost_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6usize, 0..24usize, prop::collection::vec(0..14usize, 1..5)).prop_map(|(a, b, edges)| Step::Ghost(a, b, edges)),
        2 => step(),
    ]
}

const TEXTS: [Option<&str>; 3] = [None, Some("one"), Some("two")];

struct World {
    kind: &'static str,
    servers: Vec<Server>,
    /// Follower, followed, whether they reach each other.
    edges: Vec<(usize, usize, bool)>,
}

impl World {
    fn refresh(&mut self, edges: &[usize]) {
        let rows: Vec<_> = self.servers.iter().map(|s| s.rows(self.kind)).collect();
        for e in edges {
            let (to, from, there) = self.edges[*e];
            if there {
                self.servers[to].receive(from, &rows[from]).unwrap();
            }
        }
    }

    fn run(&mut self, step: &Step, subjects: &[Subject]) {
        let count = self.servers.len();
        match step {
            Step::Word(server, subject, text) => {
                let own = &mut self.servers[server % count].own;
                let subject = subjects[subject % subjects.len()].clone();
                match text {
                    Some(t) => drop(own.insert(subject, TEXTS[*t])),
                    None => drop(own.remove(&subject)),
                }
            }
            Step::All => self.refresh(&(0..self.edges.len()).collect::<Vec<_>>()),
            Step::Refresh(e) if !self.edges.is_empty() => self.refresh(&[e % self.edges.len()]),
            Step::CoverMode(e, there) if !self.edges.is_empty() => {
                let e = e % self.edges.len();
                self.edges[e].2 = *there;
            }
            Step::Ghost(server, subject, edges) => {
                self.run(&Step::Word(*server, *subject, Some(0)), subjects);
                edges
                    .iter()
                    .for_each(|e| self.run(&Step::Refresh(*e), subjects));
                self.run(&Step::Word(*server, *subject, None), subjects);
            }
            Step::Refresh(_) | Step::CoverMode(..) => {}
        }
    }

    /// Refreshes all feeds until nothing changes; returns the number of rounds.
    fn settle(&mut self) -> usize {
        self.edges.iter_mut().for_each(|e| e.2 = true);
        let state = |w: &World| {
            w.servers
                .iter()
                .map(|s| s.received.clone())
                .collect::<Vec<_>>()
        };
        let all: Vec<_> = (0..self.edges.len()).collect();
        (1..100)
            .find(|_| {
                let before = state(self);
                self.refresh(&all);
                state(self) == before
            })
            .expect("the servers' serials never stand still")
    }

    /// The servers whose own listings a server has: itself and those that it follows, also by way
    /// of others.
    fn sources(&self, server: usize) -> BTreeSet<usize> {
        let mut out = BTreeSet::from([server]);
        loop {
            let more: Vec<_> = self
                .edges
                .iter()
                .filter(|(to, from, _)| out.contains(to) && !out.contains(from))
                .map(|e| e.1)
                .collect();
            if more.is_empty() {
                return out;
            }
            out.extend(more);
        }
    }
}

fn check(
    kind: &'static str,
    count: usize,
    edges: &[(usize, usize)],
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let servers = (0..count)
        .map(|i| Server {
            id: StoreId(0xa0 + i as u64),
            own: BTreeMap::new(),
            received: BTreeMap::new(),
        })
        .collect();
    let edges: BTreeSet<_> = edges
        .iter()
        .map(|(a, b)| (a % count, b % count))
        .filter(|(a, b)| a != b)
        .collect();
    let mut world = World {
        kind,
        servers,
        edges: edges.into_iter().map(|(a, b)| (a, b, true)).collect(),
    };
    let (subjects, points) = universe(kind);
    steps.iter().for_each(|s| world.run(s, &subjects));
    let rounds = world.settle();
    prop_assert!(rounds <= 3 * count + 3, "{} rounds", rounds);
    for i in 0..count {
        let sources = world.sources(i);
        for point in &points {
            let expected = sources.iter().any(|s| {
                world.servers[*s]
                    .own
                    .keys()
                    .any(|o| covers(o, point).is_some())
            });
            prop_assert_eq!(
                world.servers[i].lists(point),
                expected,
                "server {} about {}",
                i,
                point
            );
        }
        // A text ends with the listing that it belongs to.
        let texts: BTreeSet<&str> = world
            .servers
            .iter()
            .flat_map(|s| s.own.values().flatten().copied())
            .chain([DEFAULT])
            .collect();
        for (_, (_, text)) in world.servers[i].received.values().flatten() {
            prop_assert!(
                text.as_deref().is_none_or(|t| texts.contains(t)),
                "{:?}",
                text
            );
        }
    }
    // No trace of earlier listings remains: servers that never had them converge to the same lists.
    let fresh = world
        .servers
        .iter()
        .map(|s| Server {
            id: s.id,
            own: s.own.clone(),
            received: BTreeMap::new(),
        })
        .collect();
    let mut fresh = World {
        kind,
        servers: fresh,
        edges: world.edges.clone(),
    };
    fresh.settle();
    for (i, (s, t)) in world.servers.iter().zip(&fresh.servers).enumerate() {
        prop_assert_eq!(&s.received, &t.received, "server {}", i);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn rings_converge_to_the_union_of_own_listings(
        count in 2..=6usize,
        domains: bool,
        edges in prop::collection::vec((0..6usize, 0..6usize), 1..14),
        steps in prop::collection::vec(step(), 1..20),
    ) {
        check(if domains { "domain" } else { "address" }, count, &edges, &steps)?;
    }

    #[test]
    fn ended_listings_disappear_from_rings(
        count in 2..=6usize,
        domains: bool,
        edges in prop::collection::vec((0..6usize, 0..6usize), 3..14),
        steps in prop::collection::vec(ghost_step(), 1..12),
    ) {
        check(if domains { "domain" } else { "address" }, count, &edges, &steps)?;
    }
}

/// In the ring 0→1→3→0, 0 no longer lists what is more specific than the listing of 2, which 0 and
/// 3 follow.
#[test]
fn ended_entry_does_not_circulate_in_a_ring() {
    // By number in the universe: `.x.bad.test` in `*.bad.test`, a /30 in a /24, a /63 in a /32.
    for (kind, narrow, wide) in [("domain", 5, 1), ("address", 2, 0), ("address", 6, 5)] {
        // The edge of server 1 to 0 is the third in order.
        let steps = [
            Step::Word(2, wide, Some(0)),
            Step::Ghost(0, narrow, vec![2]),
        ];
        check(kind, 4, &[(0, 2), (0, 3), (1, 0), (3, 1), (3, 2)], &steps).unwrap();
    }
}

#[test]
fn row_that_repeats_the_row_above_is_not_sent() {
    let domain = |name, scope| Subject::Domain(Domain::from_canonical(name, scope));
    let pairs = [
        (
            "domain",
            domain("x.bad.test", Scope::Tree),
            domain("bad.test", Scope::Below),
        ),
        (
            "domain",
            domain("x.bad.test", Scope::Name),
            domain("bad.test", Scope::Tree),
        ),
        (
            "address",
            "45.51.100.4/30".parse().unwrap(),
            "45.51.100.0/24".parse().unwrap(),
        ),
        (
            "address",
            "45.51.100.5".parse().unwrap(),
            "45.51.0.0/16".parse().unwrap(),
        ),
        (
            "address",
            "45.51.100.0/24".parse().unwrap(),
            "45.48.0.0/14".parse().unwrap(),
        ),
        (
            "address",
            "2a00:db8::/63".parse().unwrap(),
            "2a00:db8::/32".parse().unwrap(),
        ),
        (
            "address",
            "2a00:db8::7".parse().unwrap(),
            "2a00:db8::/61".parse().unwrap(),
        ),
    ];
    for (kind, narrow, wide) in pairs {
        let list = |s: &Subject, path: &[u64]| {
            let path =
                crate::model::FeedPath::via(path.iter().map(|id| StoreId(*id)).collect::<Vec<_>>());
            List::from([(
                s.clone(),
                (
                    false,
                    EntryText {
                        text: Some("listed by a feed".into()),
                        path,
                        exact: false,
                    },
                ),
            )])
        };
        let mut server = Server {
            id: StoreId(7),
            own: BTreeMap::new(),
            received: BTreeMap::from([(1, list(&wide, &[2]))]),
        };
        let rows = server.rows(kind);
        assert_eq!(rows.len(), 2, "the identity and one row: {wide}");
        for longer in [&[1, 3][..], &[1; 8]] {
            server.received.insert(0, list(&narrow, longer));
            assert_eq!(
                server.rows(kind),
                rows,
                "{narrow} in {wide} has the longer path {longer:?}"
            );
        }
        server.received.insert(0, list(&narrow, &[1]));
        assert!(
            server.rows(kind).len() > 2,
            "{narrow} in {wide} has a path as short, of an earlier source"
        );
    }
}

/// Two servers that follow each other: an entry that ended at its origin ends at both.
#[test]
fn ended_entry_does_not_come_back_through_a_follower() {
    let steps = [
        Step::Word(0, 3, Some(1)),
        Step::All,
        Step::All,
        Step::All,
        Step::Word(0, 3, None),
        Step::All,
    ];
    check("address", 2, &[(0, 1), (1, 0)], &steps).unwrap();
}

/// If each server preferred the more specific listing of the other, both would change at every
/// refresh.
#[test]
fn followers_of_each_other_converge() {
    let words =
        [(0, 0), (1, 0), (2, 4)].map(|(server, subject)| Step::Word(server, subject, Some(0)));
    check("address", 3, &[(0, 1), (1, 0), (0, 2), (1, 2)], &words).unwrap();
}

#[test]
fn server_does_not_follow_itself() {
    let mut server = Server {
        id: StoreId(7),
        own: BTreeMap::new(),
        received: BTreeMap::new(),
    };
    let rows = server.rows("address");
    let e = server.receive(0, &rows).unwrap_err();
    assert!(
        e.contains("identity of this server's own store, 0000000000000007"),
        "{e}"
    );
    let without: BTreeSet<Vec<u8>> = BTreeSet::new();
    let e = server.receive(0, &without).unwrap_err();
    assert!(e.contains("a form that this version does not read"), "{e}");
}
