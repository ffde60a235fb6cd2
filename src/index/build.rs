//! Builds the tables: one way for a full build and for a single change.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    cover::InternContext,
    ip4::{Block, HostFacts, Ip4},
    ip6::Ip6,
    names::Names,
    values::{Derivations, FactsId, Interned, Interner, RawFacts, ValueId},
    widen,
};
use crate::model::{Domain, Mask, Prefix4, Prefix6, Subject, SubjectFamily};

/// The tables from which queries are answered. A copy shares everything.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// IPv4.
    pub ip4: Ip4,
    /// IPv6.
    pub ip6: Ip6,
    /// Domains.
    pub names: Names,
    /// Texts, facts and values.
    pub interned: Interned,
}

impl Tables {
    /// How many subjects have facts: IPv4 hosts, IPv4 prefixes (and hosts with exclusions), IPv6
    /// prefixes (and networks as which addresses count), domains.
    pub fn counts(&self) -> [usize; 4] {
        let nets = self
            .ip4
            .rows
            .iter()
            .flatten()
            .map(|r| r.nets().count())
            .sum();
        [self.ip4.hosts(), nets, self.ip6.len(), self.names.len()]
    }

    /// Counts the listed entries by the set of their reasons, without exempt ones. Derived reasons
    /// are those of the entry's own listings alone.
    pub fn count_by_reasons(&self, derivations: &Derivations) -> BTreeMap<Mask, u64> {
        let mut by_facts: BTreeMap<(SubjectFamily, FactsId), u64> = BTreeMap::new();
        let mut count = |family: SubjectFamily, facts: FactsId, n: u64| {
            *by_facts.entry((family, facts)).or_default() += n;
        };
        for row in self.ip4.rows.iter().flatten() {
            // Hosts that override a wider listing are part of their blocks, too.
            let nets = row.nets().filter(|(p, _)| p.len() < 32);
            nets.for_each(|(_, f)| count(SubjectFamily::Ipv4, f, 1));
            for block in row.blocks.iter().flatten() {
                let hosts = block.hosts.len();
                match &block.facts {
                    HostFacts::One(f) => count(SubjectFamily::Ipv4, *f, hosts as u64),
                    facts => {
                        (0..hosts).for_each(|i| count(SubjectFamily::Ipv4, facts.get(i), 1));
                    }
                }
            }
        }
        self.ip6.visit(&mut |_, f| count(SubjectFamily::Ipv6, f, 1));
        self.names
            .visit(&mut |_, _, f| count(SubjectFamily::Name, f, 1));
        let mut by_reasons = BTreeMap::new();
        for ((family, id), n) in by_facts {
            let facts = self.interned.facts(id);
            let listed = facts.facts.iter().filter(|f| !f.exclusion);
            let mask = listed.fold(0, |m, f| m | f.reason.bit());
            if mask != 0 && !facts.exempt {
                let mask = mask | derivations.mask(family, facts);
                *by_reasons.entry(mask).or_default() += n;
            }
        }
        by_reasons
    }

    /// Calls `each` for every domain that is itself listed or exempt, in order; held and excluded
    /// ones are left out.
    pub fn domains(&self, each: &mut dyn FnMut(Domain)) {
        self.names_with_facts(&mut |domain, facts| {
            let facts = self.interned.facts(facts);
            if facts.mask != 0 || facts.exempt {
                each(domain);
            }
        });
    }

    fn names_with_facts(&self, each: &mut dyn FnMut(Domain, FactsId)) {
        self.names.visit(&mut |key, scope, facts| {
            let text = String::from_utf8_lossy(&key[..key.len().saturating_sub(1)]);
            let name: Vec<&str> = text.rsplit('\0').collect();
            each(Domain::from_canonical(&name.join("."), scope), facts);
        });
    }
}

/// After how many changes the writer looks for interned values that are no longer used.
const SWEEP_EVERY: usize = 1 << 17;

/// Makes the next tables from changes. The writer has the only one.
#[derive(Debug, Clone)]
pub struct Builder {
    tables: Tables,
    interner: Interner,
    changed: usize,
}

impl Default for Builder {
    fn default() -> Builder {
        let mut tables = Tables::default();
        let interner = Interner::new(&mut tables.interned);
        Builder {
            tables,
            interner,
            changed: 0,
        }
    }
}

/// Changes collected for one [`Builder::apply`].
#[derive(Debug, Default)]
pub struct Changes {
    hosts: Vec<(u32, FactsId)>,
    nets: Vec<(Prefix4, FactsId)>,
    ip6: Vec<(Prefix6, FactsId)>,
    names: Vec<(Domain, FactsId)>,
    /// Hosts of this batch that override a wider listing, so that a later change in the same batch
    /// can remove them again.
    overriding: BTreeSet<Prefix4>,
}

impl Changes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.hosts.len() + self.nets.len() + self.ip6.len() + self.names.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Builder {
    /// A builder without facts that derives these reasons.
    pub fn deriving(derivations: Derivations) -> Builder {
        let mut builder = Builder::default();
        builder.interner.derivations = derivations;
        builder
    }

    /// The derived reasons.
    pub fn derivations(&self) -> &Derivations {
        &self.interner.derivations
    }

    /// A builder with the facts of this one, and other derived reasons. It walks all tables, and
    /// shares nothing with this one.
    #[must_use]
    pub fn rederived(&self, derivations: Derivations) -> Builder {
        let mut new = Builder::deriving(derivations);
        let tables = &self.tables;
        let mut numbers: HashMap<FactsId, FactsId> = HashMap::new();
        let mut changes = Changes::default();
        let mut add = |subject: Subject, facts: FactsId| {
            let number = *numbers.entry(facts).or_insert_with(|| {
                let facts = tables.interned.facts(facts);
                new.intern(&self.derivations().own_facts(tables.interned.raw(facts)))
            });
            new.add(&mut changes, &subject, number);
        };
        for (a, row) in (0u32..).zip(tables.ip4.rows.iter()) {
            let Some(row) = row else { continue };
            row.nets().for_each(|(p, f)| add(Subject::V4(p), f));
            for (b, block) in (0u32..).zip(&row.blocks) {
                let Some(block) = block else { continue };
                block.hosts.each(0, u16::MAX, |place, suffix| {
                    let facts = block.facts.get(place);
                    // Hosts that override a wider listing are among the prefixes, too.
                    if !tables.interned.facts(facts).overrides_parent() {
                        let address = a << 24 | b << 16 | u32::from(suffix);
                        add(Subject::V4(Prefix4::new(address, 32)), facts);
                    }
                });
            }
        }
        tables.ip6.visit(&mut |p, f| add(Subject::V6(p), f));
        tables.names_with_facts(&mut |d, f| add(Subject::Domain(d), f));
        new.put(changes);
        new
    }

    /// The present tables; cheap.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Interns the facts of a subject and returns their number.
    pub fn intern(&mut self, raw: &RawFacts) -> FactsId {
        self.interner.raw(&mut self.tables.interned, raw)
    }

    /// Adds one subject's new facts to `changes`.
    pub fn add(&mut self, changes: &mut Changes, subject: &Subject, facts: FactsId) {
        match subject {
            Subject::V4(p) if p.is_host() => {
                let said = self.tables.interned.facts(facts);
                let own = if said.mask == 0 { FactsId::NONE } else { facts };
                changes.hosts.push((p.first(), own));
                if said.overrides_parent() {
                    changes.nets.push((*p, facts));
                    changes.overriding.insert(*p);
                } else if self.has_net(*p) || changes.overriding.contains(p) {
                    changes.nets.push((*p, FactsId::NONE));
                }
            }
            Subject::V4(p) => changes.nets.push((*p, facts)),
            Subject::V6(p) => changes.ip6.push((*p, facts)),
            Subject::Domain(d) => changes.names.push((d.clone(), facts)),
        }
    }

    fn has_net(&self, p: Prefix4) -> bool {
        self.tables.ip4.rows[(p.first() >> 24) as usize]
            .as_ref()
            .is_some_and(|r| r.has_net(p))
    }

    /// Applies changes. If a subject appears twice, the last change wins.
    pub fn apply(&mut self, changes: Changes) {
        self.changed += changes.len();
        self.put(changes);
        self.sweep_if_due();
    }

    /// Takes over tables that [`Builder::with`] has made from the present ones.
    pub fn adopt(&mut self, tables: Tables) {
        self.tables = tables;
    }

    /// Frees interned values that are no longer used, after every 131,072 changes.
    pub fn sweep_if_due(&mut self) {
        if self.changed >= SWEEP_EVERY {
            self.sweep();
        }
    }

    /// The tables as they would be with other facts for some subjects; the builder's own stay as
    /// they are. Equal values have the same number in both.
    pub fn with<'s>(&mut self, facts: impl Iterator<Item = (&'s Subject, RawFacts)>) -> Tables {
        let kept = self.tables.clone();
        let mut changes = Changes::default();
        for (subject, facts) in facts {
            let id = self.intern(&facts);
            self.add(&mut changes, subject, id);
        }
        self.changed += changes.len();
        // Not swept: values that only the kept tables use would be freed.
        self.put(changes);
        let interned = self.tables.interned.clone();
        std::mem::replace(&mut self.tables, Tables { interned, ..kept })
    }

    fn put(&mut self, mut changes: Changes) {
        let sorted = changes.hosts.is_sorted_by(|a, b| a.0 < b.0);
        if !sorted {
            changes.hosts.sort_by_key(|(a, _)| *a);
            changes.hosts.reverse();
            changes.hosts.dedup_by_key(|(a, _)| *a);
            changes.hosts.reverse();
        }
        let mut context = InternContext {
            interned: &mut self.tables.interned,
            interner: &mut self.interner,
            family: SubjectFamily::Ipv4,
        };
        self.tables
            .ip4
            .apply(&changes.hosts, &changes.nets, &mut context);
        context.family = SubjectFamily::Ipv6;
        let derivations = context.interner.derivations.clone();
        let ip6 = &mut self.tables.ip6;
        widen::apply(ip6, &changes.ip6, derivations.widened(), &mut context);
        context.family = SubjectFamily::Name;
        self.tables.names.apply(&changes.names, &mut context);
    }

    /// Frees interned values that are no longer used, if there are enough of them to be worth the
    /// walk.
    pub fn sweep(&mut self) {
        let [_, facts, values] = self.tables.interned.counts();
        self.changed = 0;
        if facts + values < 1024 {
            return;
        }
        let (mut facts, mut values) = (vec![false; facts], vec![false; values]);
        let mut fact = |f: FactsId| facts[f.0 as usize] = true;
        let mut value = |v: ValueId| values[v.0 as usize] = true;
        for row in self.tables.ip4.rows.iter().flatten() {
            row.nets().for_each(|(_, f)| fact(f));
            (0..=255).for_each(|b| value(row.cover(b)));
            value(row.at);
            for block in row.blocks.iter().flatten() {
                block.ranges.iter().for_each(|r| value(r.value));
                block.facts.kinds(&mut fact);
            }
        }
        self.tables.ip6.used(&mut fact, &mut value);
        self.tables.names.used(&mut fact, &mut value);
        self.interner
            .sweep(&mut self.tables.interned, facts, values);
    }

    /// From the parts of an image: interned values, blocks of IPv4 hosts, IPv4 prefixes, and the
    /// tables of IPv6 and of names.
    pub(super) fn from_image(
        (interned, interner): (Interned, Interner),
        blocks: Vec<(u16, Block)>,
        nets: Vec<(Prefix4, FactsId)>,
        ip6: Ip6,
        names: Names,
    ) -> Builder {
        let mut builder = Builder {
            tables: Tables {
                ip4: Ip4::default(),
                ip6,
                names,
                interned,
            },
            interner,
            changed: 0,
        };
        let ip4 = &mut builder.tables.ip4;
        for (ab, block) in blocks {
            ip4.put_block(ab, block, &builder.tables.interned);
        }
        builder.put(Changes {
            nets,
            ..Changes::default()
        });
        builder
    }
}
