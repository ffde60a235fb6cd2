//! Samples of the entries that only the other list has, by network: IPv4 by /8, IPv6 by /16, names
//! by their top-level domain, digests together.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, BuildHasherDefault},
};

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::entries::Entry;
use crate::model::{Digest, Prefix4, Prefix6, Subject};

/// How many entries of each group are shown.
const SAMPLES: usize = 3;
/// The most groups of names; further ones are counted in one group.
const MAX_NAME_GROUPS: usize = 1_000;
/// The group of names whose own groups are too many.
const OTHER_NAMES: &str = "other names";
/// The group of the digests of a hash zone, which have no networks.
const DIGESTS: &str = "digests";
/// The bits by which IPv4 and IPv6 entries are grouped.
const GROUP_BITS: [u8; 2] = [8, 16];

/// The entries of a group, and some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleGroup {
    /// The network or the top-level domain.
    pub group: String,
    /// How many entries of the group only the other list has.
    pub entries: u64,
    /// Some of them.
    pub samples: Vec<String>,
}

/// A group that is being counted. Of all its entries, those with the least hash are its samples:
/// they are spread over the group, and are the same whenever the same lists are compared.
#[derive(Debug, Clone, Default)]
struct Group {
    entries: u64,
    samples: Vec<(u64, Subject)>,
}

impl Group {
    fn add(&mut self, entry: Entry) {
        self.entries += 1;
        let hasher = BuildHasherDefault::<FxHasher>::default();
        let hash = match entry {
            Entry::Ip4(span) | Entry::Ip6(span) => hasher.hash_one((span.first, span.len)),
            Entry::Name(labels, scope) => hasher.hash_one((labels, scope)),
        };
        let is_full = self.samples.len() == SAMPLES;
        if is_full && self.samples.last().is_some_and(|(last, _)| hash >= *last) {
            return;
        }
        let at = self.samples.partition_point(|(h, _)| *h < hash);
        self.samples.insert(at, (hash, entry.subject()));
        self.samples.truncate(SAMPLES);
    }

    fn finish(self, group: String) -> SampleGroup {
        let mut samples: Vec<Subject> = self.samples.into_iter().map(|(_, s)| s).collect();
        samples.sort();
        SampleGroup {
            group,
            entries: self.entries,
            samples: samples.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Collects the samples.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    ip4: BTreeMap<u8, Group>,
    ip6: BTreeMap<u16, Group>,
    names: BTreeMap<Box<[u8]>, Group>,
}

impl Sampler {
    /// Counts an entry that only the other list has.
    pub(super) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Ip4(span) => {
                let group = self.ip4.entry((span.first >> 24) as u8);
                group.or_default().add(entry);
            }
            Entry::Ip6(span) => {
                let group = self.ip6.entry((span.first >> 112) as u16);
                group.or_default().add(entry);
            }
            Entry::Name(labels, _) => {
                let name = self.name_group(labels);
                match self.names.get_mut(name) {
                    Some(group) => group.add(entry),
                    None => self.names.entry(name.into()).or_default().add(entry),
                }
            }
        }
    }

    /// The name of the group of a name: its top-level domain. Digests, which have none, are one
    /// group.
    fn name_group<'l>(&self, labels: &'l [u8]) -> &'l [u8] {
        let top = labels.split(|b| *b == 0).next().unwrap_or_default();
        if labels.len() == top.len() + 1 && Digest::matches_any(top) {
            return DIGESTS.as_bytes();
        }
        let is_full = self.names.len() >= MAX_NAME_GROUPS;
        match is_full && !self.names.contains_key(top) {
            true => OTHER_NAMES.as_bytes(),
            false => top,
        }
    }

    /// The groups in order: IPv4, IPv6, names.
    pub(super) fn finish(self) -> Vec<SampleGroup> {
        let ip4 = self.ip4.into_iter().map(|(first, group)| {
            let network = Prefix4::new(u32::from(first) << 24, GROUP_BITS[0]);
            group.finish(network.to_string())
        });
        let ip6 = self.ip6.into_iter().map(|(first, group)| {
            let network = Prefix6::new(u128::from(first) << 112, GROUP_BITS[1]);
            group.finish(network.to_string())
        });
        let names = self.names.into_iter();
        let names = names.map(|(top, group)| {
            // The label is that of a name, which is ASCII.
            group.finish(String::from_utf8_lossy(&top).into_owned())
        });
        ip4.chain(ip6).chain(names).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::entries::with_entry, *};

    #[test]
    fn samples_are_grouped_by_network_and_do_not_depend_on_the_order() {
        let texts = [
            "10.0.0.1",
            "10.1.0.0/16",
            "10.2.0.1",
            "10.3.0.1",
            "10.4.0.1",
            "192.0.2.1",
            "2001:db8::1",
            "a.example",
            "b.example",
            "c.test",
        ];
        let collect = |texts: &mut dyn Iterator<Item = &&str>| {
            let mut sampler = Sampler::default();
            texts.for_each(|t| with_entry(&t.parse().unwrap(), |e| sampler.add(e)));
            sampler.finish()
        };
        let groups = collect(&mut texts.iter());
        assert_eq!(groups, collect(&mut texts.iter().rev()));
        let counts: Vec<(&str, u64, usize)> = groups
            .iter()
            .map(|g| (g.group.as_str(), g.entries, g.samples.len()))
            .collect();
        let expected = [
            ("10.0.0.0/8", 5, 3),
            ("192.0.0.0/8", 1, 1),
            ("2001::/16", 1, 1),
            ("example", 2, 2),
            ("test", 1, 1),
        ];
        assert_eq!(counts, expected);
    }

    #[test]
    fn names_of_too_many_domains_are_one_group() {
        let mut sampler = Sampler::default();
        let name = |i: usize| format!("a.x{i}y").parse::<Subject>().unwrap();
        (0..MAX_NAME_GROUPS + 5).for_each(|i| with_entry(&name(i), |e| sampler.add(e)));
        let groups = sampler.finish();
        assert_eq!(groups.len(), MAX_NAME_GROUPS + 1);
        let other = groups.iter().find(|g| g.group == OTHER_NAMES).unwrap();
        assert_eq!(other.entries, 5);
    }

    #[test]
    fn digests_are_one_group_with_samples() {
        let mut sampler = Sampler::default();
        let digest = |i: usize| format!("{i:040x}").parse::<Subject>().unwrap();
        (0..MAX_NAME_GROUPS + 5).for_each(|i| with_entry(&digest(i), |e| sampler.add(e)));
        let groups = sampler.finish();
        let counts: Vec<_> = groups
            .iter()
            .map(|g| (g.group.as_str(), g.entries))
            .collect();
        assert_eq!(counts, [(DIGESTS, MAX_NAME_GROUPS as u64 + 5)]);
        assert_eq!(groups[0].samples.len(), SAMPLES);
    }
}
