//! Samples of the entries that only the other list has, by network: IPv4 by /8, IPv6 by /16, names
//! by their top-level domain.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, BuildHasherDefault},
};

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use crate::model::{Prefix4, Prefix6, Subject};

/// How many entries of each group are shown.
const SAMPLES: usize = 3;
/// The most groups of names; further ones are counted in one group.
const MAX_NAME_GROUPS: usize = 1_000;
/// The group of names whose own groups are too many.
const OTHER_NAMES: &str = "other names";
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
    fn add(&mut self, subject: &Subject) {
        self.entries += 1;
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(subject);
        let is_full = self.samples.len() == SAMPLES;
        if is_full && self.samples.last().is_some_and(|(last, _)| hash >= *last) {
            return;
        }
        let at = self.samples.partition_point(|(h, _)| *h < hash);
        self.samples.insert(at, (hash, subject.clone()));
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
    names: BTreeMap<Box<str>, Group>,
}

impl Sampler {
    /// Counts an entry that only the other list has.
    pub(super) fn add(&mut self, subject: &Subject) {
        let group = match subject {
            Subject::V4(p) => self.ip4.entry((p.first() >> 24) as u8).or_default(),
            Subject::V6(p) => self.ip6.entry((p.first() >> 112) as u16).or_default(),
            Subject::Domain(d) => {
                let top = d.name().rsplit('.').next().unwrap_or_default();
                let is_known = self.names.contains_key(top);
                let is_full = !is_known && self.names.len() >= MAX_NAME_GROUPS;
                let top = if is_full { OTHER_NAMES } else { top };
                self.names.entry(top.into()).or_default()
            }
        };
        group.add(subject);
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
        let names = names.map(|(top, group)| group.finish(top.into()));
        ip4.chain(ip6).chain(names).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            texts.for_each(|t| sampler.add(&t.parse().unwrap()));
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
        (0..MAX_NAME_GROUPS + 5).for_each(|i| sampler.add(&name(i)));
        let groups = sampler.finish();
        assert_eq!(groups.len(), MAX_NAME_GROUPS + 1);
        let other = groups.iter().find(|g| g.group == OTHER_NAMES).unwrap();
        assert_eq!(other.entries, 5);
    }
}
