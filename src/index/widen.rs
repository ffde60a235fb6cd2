//! Widened reasons: the listing of a single IPv6 address counts as one of the network around it.
//!
//! A rule with a width counts the listings for widened reasons, one for each of its reasons and
//! widths. Their facts are made from those of the reason when the table of IPv6 changes, so that
//! nothing that reads the table knows of widths:
//!
//! * A subject has its facts for a widened reason too; only the listing of a single address that is
//!   not exact has none.
//! * A network of the width has, for each source without a fact of its own for the reason, the fact
//!   of the address in it that was seen last, and of several such of the lowest one.
//!
//! An address is looked for only where one in the network begins or ceases to be listed, or is seen
//! earlier or later. The search ends with the first address of the least age. If there is none, as
//! when the last address of a source ends, it passes over the leaves of the network.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rustc_hash::FxBuildHasher;

use super::{
    cover::InternContext,
    derive::{DerivedReason, Listed, WidenedReason},
    ip6::{HostEntry, Ip6, Key6},
    values::{Fact, FactsId, Interned},
};
use crate::model::{Prefix6, ReasonId, SightAge, SourceId, SubjectFamily};

/// A listing of a single address that counts as one of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Widened {
    number: ReasonId,
    source: SourceId,
    aged: SightAge,
    fact: Fact,
}

/// The listings of a single address with these facts that count as those of networks.
fn widened_listings<'a>(
    reasons: &'a [WidenedReason],
    interned: &'a Interned,
    facts: FactsId,
) -> impl Iterator<Item = (WidenedReason, Widened)> + 'a {
    let facts = interned.facts(facts);
    let listed = facts.facts.iter().filter(move |f| {
        // A suppressed listing is an exclusion, and one of an exempt address is not in force.
        !facts.exempt && !f.exclusion && !interned.is_exact(f.text)
    });
    listed.flat_map(move |f| {
        let of_reason = reasons.iter().filter(move |r| r.reason == f.reason);
        of_reason.map(move |r| {
            let widened = Widened {
                number: r.number,
                source: f.source,
                aged: f.aged,
                fact: Fact {
                    reason: r.number,
                    ..*f
                },
            };
            (*r, widened)
        })
    })
}

/// Finds the addresses whose facts a network has for widened reasons.
struct Search<'a> {
    reasons: &'a [WidenedReason],
    interned: &'a Interned,
    width: u8,
    /// By widened reason and source, the best address so far and its fact.
    best: BTreeMap<(ReasonId, SourceId), Option<(u128, Fact)>>,
    /// How many have no address of the least age yet.
    open: usize,
}

impl<'a> Search<'a> {
    fn new(
        reasons: &'a [WidenedReason],
        interned: &'a Interned,
        width: u8,
        pairs: impl IntoIterator<Item = (ReasonId, SourceId)>,
    ) -> Search<'a> {
        let pairs = pairs.into_iter().filter(|(_, s)| *s != SourceId::ALL);
        let best: BTreeMap<_, _> = pairs.map(|pair| (pair, None)).collect();
        Search {
            reasons,
            interned,
            width,
            open: best.len(),
            best,
        }
    }

    /// Whether an address with these facts is better than one that was found.
    fn improves(&self, facts: FactsId) -> bool {
        let widened = widened_listings(self.reasons, self.interned, facts);
        widened
            .filter(|(r, _)| r.width == self.width)
            .any(|(_, w)| {
                let best = self.best.get(&(w.number, w.source));
                best.is_some_and(|best| best.is_none_or(|(_, fact)| w.aged < fact.aged))
            })
    }

    /// Adds the next address; false if no more are needed.
    fn add(&mut self, address: u128, facts: FactsId) -> bool {
        let widened = widened_listings(self.reasons, self.interned, facts);
        for (_, w) in widened.filter(|(r, _)| r.width == self.width) {
            let Some(best) = self.best.get_mut(&(w.number, w.source)) else {
                continue;
            };
            if best.is_none_or(|(_, fact)| w.aged < fact.aged) {
                *best = Some((address, w.fact));
                self.open -= usize::from(w.aged == SightAge::default());
            }
        }
        self.open > 0
    }

    /// Looks through the addresses of a network. Returns how many entries were read.
    fn run(&mut self, ip6: &Ip6, network: Prefix6) -> usize {
        let mut read = 0;
        if self.open > 0 {
            // An entry that improves nothing now does not later either.
            let mut useless = HashMap::<FactsId, (), FxBuildHasher>::default();
            ip6.hosts(network, &mut |entry| {
                read += 1;
                match entry {
                    HostEntry::Leaf(facts) => self.improves(facts),
                    HostEntry::Host(address, facts) => {
                        if useless.contains_key(&facts) {
                            return true;
                        }
                        let goes_on = self.add(address, facts);
                        useless.insert(facts, ());
                        goes_on
                    }
                }
            });
        }
        read
    }
}

/// A network whose facts may change.
#[derive(Debug, Default)]
struct Network {
    /// Its own facts, if they change.
    own: Option<FactsId>,
    /// The widened reasons and sources for which an address has to be found.
    pairs: BTreeSet<(ReasonId, SourceId)>,
}

/// Makes the facts of the table from the subjects' own.
struct Widening<'w> {
    reasons: &'w [WidenedReason],
    /// The facts of single addresses, and those of prefixes, by their own.
    known: [HashMap<FactsId, FactsId, FxBuildHasher>; 2],
}

impl Widening<'_> {
    /// The facts that a subject has in the table, without those of addresses in it.
    fn of_subject(&mut self, is_host: bool, own: FactsId, context: &mut InternContext) -> FactsId {
        if let Some(known) = self.known[usize::from(is_host)].get(&own) {
            return *known;
        }
        let facts = context.interned.facts(own);
        let stays = |f: &&Fact| !is_host || f.exclusion || context.interned.is_exact(f.text);
        let mut all = facts.facts.to_vec();
        for f in facts.facts.iter().filter(stays) {
            all.extend(copies(self.reasons, f));
        }
        let id = intern(all, facts.exempt, context);
        self.known[usize::from(is_host)].insert(own, id);
        id
    }

    /// The facts of a network in the table.
    fn of_network(
        &self,
        ip6: &Ip6,
        p: Prefix6,
        network: &Network,
        context: &mut InternContext,
    ) -> FactsId {
        let interned = &*context.interned;
        let there = interned.facts(ip6.facts(p));
        let is_widened = |f: &Fact| self.reasons.iter().any(|r| r.number == f.reason);
        let (exempt, own): (bool, Vec<Fact>) = match network.own {
            Some(own) => {
                let own = interned.facts(own);
                (own.exempt, own.facts.to_vec())
            }
            None => {
                let own = there.facts.iter().filter(|f| !is_widened(f));
                (there.exempt, own.copied().collect())
            }
        };
        let of_width = || self.reasons.iter().filter(|r| r.width == p.len());
        let mut pairs = network.pairs.clone();
        if network.own.is_some() {
            // What an own fact has hidden, or hides now.
            let present = there.facts.iter();
            let present = present.filter(|f| of_width().any(|r| r.number == f.reason));
            pairs.extend(present.map(|f| (f.reason, f.source)));
        }
        let has_own = |reason, source| own.iter().any(|f| (f.reason, f.source) == (reason, source));
        let is_open = |(number, source): &(ReasonId, SourceId)| {
            let mut reasons = self.reasons.iter().filter(|r| r.number == *number);
            reasons.all(|r| !has_own(r.reason, *source))
        };
        let wanted = pairs.iter().copied().filter(is_open);
        let mut search = Search::new(self.reasons, interned, p.len(), wanted);
        search.run(ip6, p);
        let mut all = own.clone();
        own.iter().for_each(|f| all.extend(copies(self.reasons, f)));
        for r in of_width() {
            let is_held = has_own(r.reason, SourceId::ALL);
            let kept = there.facts.iter().filter(|f| {
                let is_decided = pairs.contains(&(r.number, f.source));
                f.reason == r.number && !is_decided && !has_own(r.reason, f.source)
            });
            let found = search
                .best
                .iter()
                .filter(|((number, _), _)| *number == r.number);
            let found = found.filter_map(|(_, best)| best.as_ref().map(|(_, fact)| *fact));
            all.extend(kept.copied().chain(found).map(|f| match is_held {
                true => Fact {
                    exclusion: true,
                    aged: SightAge::default(),
                    ..f
                },
                false => f,
            }));
        }
        intern(all, exempt, context)
    }
}

/// A fact for each widened reason of its reason.
fn copies<'a>(reasons: &'a [WidenedReason], f: &Fact) -> impl Iterator<Item = Fact> + use<'a> {
    let f = *f;
    let reasons = reasons.iter().filter(move |r| r.reason == f.reason);
    reasons.map(move |r| Fact {
        reason: r.number,
        ..f
    })
}

fn intern(mut facts: Vec<Fact>, exempt: bool, context: &mut InternContext) -> FactsId {
    facts.sort_unstable_by_key(|f| (f.reason, f.source));
    context
        .interner
        .facts(context.interned, exempt, facts.into())
}

/// Sets the own facts of prefixes and addresses, with what they mean for widened reasons; the last
/// change of a subject counts.
pub(super) fn apply(
    ip6: &mut Ip6,
    changes: &[(Prefix6, FactsId)],
    reasons: &[WidenedReason],
    context: &mut InternContext,
) {
    let changes = Ip6::last_changes(changes);
    if reasons.is_empty() {
        return ip6.apply(&changes, context);
    }
    let mut widening = Widening {
        reasons,
        known: Default::default(),
    };
    let mut networks: BTreeMap<Prefix6, Network> = BTreeMap::new();
    let mut own: Vec<(Key6, FactsId)> = Vec::with_capacity(changes.len());
    for (key, facts) in changes {
        let p = key.prefix();
        if p.is_host() {
            for (r, pair) in changed_listings(reasons, context.interned, [ip6.facts(p), facts]) {
                networks
                    .entry(p.widen(r.width))
                    .or_default()
                    .pairs
                    .insert(pair);
            }
        } else if reasons.iter().any(|r| r.width == p.len()) {
            networks.entry(p).or_default().own = Some(facts);
            continue;
        }
        own.push((key, widening.of_subject(p.is_host(), facts, context)));
    }
    // The addresses first: the networks are made from them.
    ip6.apply(&own, context);
    let of_network = |(p, network)| {
        let facts = widening.of_network(ip6, p, &network, context);
        (Key6::of(p), facts)
    };
    let changed: Vec<(Key6, FactsId)> = networks.into_iter().map(of_network).collect();
    ip6.apply(&changed, context);
}

/// The widened reasons and sources for which the listings of an address change.
fn changed_listings(
    reasons: &[WidenedReason],
    interned: &Interned,
    [before, after]: [FactsId; 2],
) -> Vec<(WidenedReason, (ReasonId, SourceId))> {
    let listings = |facts| widened_listings(reasons, interned, facts);
    let differs = |w: &Widened, other| !listings(other).any(|(_, o)| o == *w);
    let ended = listings(before).filter(|(_, w)| differs(w, after));
    let begun = listings(after).filter(|(_, w)| differs(w, before));
    let changed = ended.chain(begun);
    changed.map(|(r, w)| (r, (w.number, w.source))).collect()
}

/// An address that is listed, and whose listing counts as one of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedAddress {
    /// The widened reason.
    pub reason: WidenedReason,
    /// The source.
    pub source: SourceId,
    /// The address.
    pub address: Prefix6,
}

/// The addresses whose listings count as those of a network for the widened reasons of its length,
/// one for each reason and source without a fact of the network's own.
pub fn counted_addresses(
    (ip6, interned): (&Ip6, &Interned),
    reasons: &[WidenedReason],
    network: Prefix6,
) -> Vec<CountedAddress> {
    let facts = interned.facts(ip6.facts(network));
    let of_width = || reasons.iter().filter(|r| r.width == network.len());
    let mut wanted = Vec::new();
    for r in of_width() {
        let widened = facts.facts.iter().filter(|f| f.reason == r.number);
        let own = |source| {
            let mut own = facts.facts.iter();
            own.any(|f| (f.reason, f.source) == (r.reason, source))
        };
        let widened = widened.filter(|f| !own(f.source));
        wanted.extend(widened.map(|f| (r.number, f.source)));
    }
    let mut search = Search::new(reasons, interned, network.len(), wanted);
    search.run(ip6, network);
    let found = search.best.into_iter();
    let found = found.filter_map(|((number, source), best)| {
        Some(CountedAddress {
            reason: *of_width().find(|r| r.number == number)?,
            source,
            address: Prefix6::host(best?.0),
        })
    });
    found.collect()
}

/// The addresses of a network, in order and at most `most`, whose listings a rule counts as the
/// network.
pub fn listed_addresses(
    (ip6, interned): (&Ip6, &Interned),
    derived: &DerivedReason,
    network: Prefix6,
    most: usize,
) -> Vec<Prefix6> {
    let reasons = derived.widened();
    let counts = |facts: FactsId| {
        let mut widened = widened_listings(reasons, interned, facts);
        widened.any(|(r, w)| {
            let listed = Listed {
                reason: r.reason,
                source: w.source,
                aged: w.aged,
            };
            r.width == network.len() && derived.counts(SubjectFamily::Ipv6, listed)
        })
    };
    let mut out = Vec::new();
    ip6.hosts(network, &mut |entry| match entry {
        HostEntry::Leaf(facts) => counts(facts),
        HostEntry::Host(address, facts) => {
            if counts(facts) {
                out.push(Prefix6::host(address));
            }
            out.len() < most
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        index::{
            Builder, Changes,
            derive::PublishRules,
            values::{Derivations, RawFact, RawFacts},
        },
        model::{Reasons, Sources, Subject, Zone},
    };

    fn widened_builder() -> Builder {
        let zone: Zone = toml::from_str(
            "origin = 'bl.orbs.example'\nkind = 'address'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\n\
             publish = [{ reason = 'r', width = { ipv6 = 64 }, code = '127.0.0.2' }]\n",
        )
        .unwrap();
        let mut reasons = Reasons::default();
        reasons.add("r").unwrap();
        let rules = PublishRules::of([&zone], &reasons, &Sources::default()).unwrap();
        Builder::deriving(Derivations::from(&rules))
    }

    fn listed(source: u16, aged: u32) -> RawFacts {
        RawFacts {
            exempt: false,
            facts: vec![RawFact {
                reason: ReasonId(0),
                source: SourceId(source),
                exclusion: false,
                text: Default::default(),
                aged: SightAge(aged),
            }],
        }
    }

    fn apply_all(builder: &mut Builder, all: impl Iterator<Item = (u128, RawFacts)>) {
        let mut changes = Changes::default();
        for (address, facts) in all {
            let id = builder.intern(&facts);
            builder.add(&mut changes, &Subject::V6(Prefix6::host(address)), id);
        }
        builder.apply(changes);
    }

    /// An attacker can use any number of addresses of its network.
    #[test]
    fn search_in_a_network_of_many_addresses_reads_few_entries() {
        let network = Prefix6::new(0x2001_0db8 << 96, 64);
        let address = |i: u32| network.first() | u128::from(i) << 20;
        let mut builder = widened_builder();
        apply_all(
            &mut builder,
            (0..100_000).map(|i| (address(i), listed(3, 0))),
        );
        let reasons = builder.derivations().widened().to_vec();
        let read = |builder: &Builder, source| {
            let tables = builder.tables();
            let wanted = [(reasons[0].number, SourceId(source))];
            let mut search = Search::new(&reasons, &tables.interned, 64, wanted);
            let read = search.run(&tables.ip6, network);
            (read, search.best[&wanted[0]].map(|(address, _)| address))
        };
        let (entries, found) = read(&builder, 3);
        assert_eq!(found, Some(network.first()));
        assert!(entries <= 8, "{entries} entries read");
        // What the search looks for is not there: leaves are passed over whole.
        apply_all(&mut builder, [(address(99_999), listed(4, 0))].into_iter());
        apply_all(
            &mut builder,
            [(address(99_998), RawFacts::default())].into_iter(),
        );
        assert_eq!(read(&builder, 4).1, Some(address(99_999)));
        assert_eq!(read(&builder, 5).1, None);
    }

    #[test]
    fn network_has_the_fact_of_the_address_seen_last_and_loses_it_with_the_last_one() {
        let network = Prefix6::new(0x2001_0db8 << 96, 64);
        let address = |i: u128| network.first() | i;
        let mut builder = widened_builder();
        let number = builder.derivations().widened()[0].number;
        let counted = |builder: &Builder| {
            let reasons = builder.derivations().widened();
            let (ip6, interned) = (&builder.tables().ip6, &builder.tables().interned);
            let found = counted_addresses((ip6, interned), reasons, network);
            let there = interned.facts(ip6.facts(network));
            let there = there.facts.iter().filter(|f| f.reason == number);
            let there: Vec<u32> = there.map(|f| f.aged.0).collect();
            let found: Vec<u128> = found.iter().map(|a| a.address.first() & 0xff).collect();
            (found, there)
        };
        apply_all(
            &mut builder,
            [(1, 10), (2, 5), (3, 5)]
                .map(|(i, aged)| (address(i), listed(0, aged)))
                .into_iter(),
        );
        assert_eq!(counted(&builder), (vec![2], vec![5]));
        apply_all(
            &mut builder,
            [(address(2), RawFacts::default())].into_iter(),
        );
        assert_eq!(counted(&builder), (vec![3], vec![5]));
        apply_all(&mut builder, [(address(3), listed(0, 20))].into_iter());
        assert_eq!(counted(&builder), (vec![1], vec![10]));
        let ended = [1, 3].map(|i| (address(i), RawFacts::default()));
        apply_all(&mut builder, ended.into_iter());
        assert_eq!(counted(&builder), (vec![], vec![]));
        assert_eq!(
            builder.tables().ip6.len(),
            0,
            "nothing is left of the network"
        );
    }
}
