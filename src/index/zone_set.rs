//! All zones of a server, found by name.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{values::Derivations, zones::ZoneView};
use crate::model::{ZoneKind, domain::name_to_ascii};

/// How many zones the counters tell apart; later ones share the last slot.
const MAX_SLOTS: usize = 64;

/// All zones, found by the longest origin that ends a name.
#[derive(Debug, Clone, Default)]
pub struct ZoneSet {
    zones: Vec<ZoneView>,
    lengths: Vec<usize>,
    by_origin: FxHashMap<Box<[u8]>, usize>,
    /// The origins seen since the first set, each in its slot.
    seen: Vec<Box<str>>,
    has_logins: bool,
}

impl ZoneSet {
    /// Creates a set of ready zones; the error names an origin that two of them have, or that
    /// cannot be below another one's.
    pub fn new(zones: Vec<ZoneView>) -> Result<ZoneSet, String> {
        ZoneSet::default().next(zones)
    }

    /// Creates the next set: an origin that was in this one keeps its slot.
    pub fn next(&self, zones: Vec<ZoneView>) -> Result<ZoneSet, String> {
        let mut set = ZoneSet {
            zones,
            seen: self.seen.clone(),
            ..ZoneSet::default()
        };
        for (i, z) in set.zones.iter_mut().enumerate() {
            let earlier = self.zones.iter().find(|e| e.name == z.name);
            if let (Some(logins), Some(earlier)) =
                (&mut z.logins, earlier.and_then(|e| e.logins.as_ref()))
            {
                logins.continue_with(earlier);
            }
            set.lengths.push(z.origin.len());
            if set.by_origin.insert(z.origin.clone(), i).is_some() {
                return Err(format!("two zones have the origin {}", z.name));
            }
            z.slot = set
                .seen
                .iter()
                .position(|s| *s == z.name)
                .unwrap_or(set.seen.len());
            if z.slot == set.seen.len() {
                if z.slot < MAX_SLOTS {
                    set.seen.push(z.name.clone());
                } else {
                    z.slot = MAX_SLOTS - 1;
                }
            }
        }
        set.has_logins = set.zones.iter().any(|z| z.logins.is_some());
        set.lengths.sort_unstable_by(|a, b| b.cmp(a));
        set.lengths.dedup();
        set.delegate()?;
        set.add_glue();
        let members: Vec<Box<str>> = set
            .zones
            .iter()
            // Mirrors of a catalog transfer its members, and log-ins are not transferred.
            .filter(|z| z.spec.kind != ZoneKind::Catalog && z.logins.is_none())
            .map(|z| z.name.clone())
            .collect();
        for catalog in set
            .zones
            .iter_mut()
            .filter(|z| z.spec.kind == ZoneKind::Catalog)
        {
            catalog.catalogue(&members)?;
        }
        Ok(set)
    }

    /// Gives each zone that is below others as a delegation to the nearest of them.
    fn delegate(&mut self) -> Result<(), String> {
        let mut children: Vec<usize> = (0..self.zones.len()).collect();
        children.sort_by(|a, b| self.zones[*a].name.cmp(&self.zones[*b].name));
        for c in children {
            let child = self.zones[c].clone();
            let above = self.zones.iter_mut().filter(|z| z.holds(&child));
            if let Some(nearest) = above.max_by_key(|z| z.origin.len()) {
                nearest.delegate(&child)?;
            }
        }
        Ok(())
    }

    /// A zone that is being prepared.
    pub(super) fn zone_mut(&mut self, number: usize) -> &mut ZoneView {
        &mut self.zones[number]
    }

    /// Whether a zone has log-ins, so that queries need the time by which they end.
    pub fn has_logins(&self) -> bool {
        self.has_logins
    }

    /// All zones; their positions are their numbers.
    pub fn all(&self) -> &[ZoneView] {
        &self.zones
    }

    /// The zone of a name (wire form, lower case, with the root label) and the offset of its
    /// origin. `starts` returns whether a label starts at an offset.
    #[inline]
    pub fn find(&self, name: &[u8], starts: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        for len in &self.lengths {
            let Some(at) = name.len().checked_sub(*len) else {
                continue;
            };
            if starts(at)
                && let Some(i) = self.by_origin.get(&name[at..])
            {
                return Some((*i, at));
            }
        }
        None
    }

    /// The derived reasons of all zones.
    pub fn derivations(&self) -> Derivations {
        let published = self.zones.iter().flat_map(|z| &z.publish);
        let derived = published.filter_map(|p| p.derived.clone());
        let by_number: BTreeMap<_, _> = derived.map(|d| (d.reason, d)).collect();
        by_number.into_values().collect()
    }

    /// A zone by its origin, in A-labels or U-labels.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        let name = name.trim_end_matches('.');
        let name = if name.is_ascii() {
            name.to_ascii_lowercase().into()
        } else {
            name_to_ascii(name).ok()?
        };
        self.zones.iter().position(|z| z.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        index::zones::rtype,
        model::{Reasons, Zone},
    };

    fn zone(kind: &str, origin: &str) -> ZoneView {
        let text = format!(
            "origin = '{origin}'\nkind = '{kind}'\nns = ['ns1.orbs.example', 'ns2.orbs.example']\ncontact = 'h@orbs.example'\n"
        );
        ZoneView::new(
            &toml::from_str::<Zone>(&text).unwrap(),
            &Reasons::default(),
            &Default::default(),
        )
        .unwrap()
    }

    #[test]
    fn a_zone_below_another_is_a_delegation_of_the_nearest() {
        let set = ZoneSet::new(vec![
            zone("address", "all.orbs.example"),
            zone("domain", "names.all.orbs.example"),
            zone("domain", "x.y.names.all.orbs.example"),
            zone("address", "small.orbs.example"),
        ])
        .unwrap();
        let ns = |i: usize, place: &[u8]| {
            let fixed = set.all()[i].fixed.get(place);
            fixed.map(|f| {
                f.rrs
                    .iter()
                    .filter(|r| r.rtype == rtype::NS && r.ttl == 300)
                    .count()
            })
        };
        assert_eq!(ns(0, b"\x05names"), Some(2));
        assert_eq!(ns(1, b"\x01x\x01y"), Some(2));
        assert_eq!(ns(1, b"\x01y"), Some(0), "the name between exists");
        assert_eq!(
            ns(0, b"\x01x\x01y\x05names"),
            None,
            "the nearest parent alone has it"
        );
        let alone = zone("address", "all.orbs.example");
        assert_ne!(
            alone.hash,
            set.all()[0].hash,
            "the parent's serial has to move"
        );
        assert_eq!(
            zone("address", "small.orbs.example").hash,
            set.all()[3].hash
        );
        let name = b"\x01a\x05names\x03all\x04orbs\x07example\0";
        assert_eq!(set.find(name, |_| true), Some((1, 2)));
        for (parent, child) in [
            ("address", "7.bl.x.example"),
            ("address", "x.255.bl.x.example"),
            ("address", "f.bl.x.example"),
            ("domain", "test.bl.x.example"),
        ] {
            let wrong = ZoneSet::new(vec![zone("domain", child), zone(parent, "bl.x.example")])
                .unwrap_err();
            assert!(
                wrong.contains(child) && wrong.contains("zone bl.x.example"),
                "{wrong}"
            );
        }
        assert!(
            ZoneSet::new(vec![
                zone("address", "abl.x.example"),
                zone("address", "bl.x.example")
            ])
            .is_ok()
        );
    }

    #[test]
    fn a_catalog_has_a_member_for_every_other_zone_and_another_hash_for_others() {
        let catalog = || zone("catalog", "catalog.orbs.example");
        let one = ZoneSet::new(vec![catalog(), zone("address", "bl.orbs.example")]).unwrap();
        let two = ZoneSet::new(vec![
            catalog(),
            zone("address", "bl.orbs.example"),
            zone("domain", "dbl.orbs.example"),
        ])
        .unwrap();
        let members = |set: &ZoneSet| {
            let fixed = set.all()[0].fixed.iter();
            let all = fixed.flat_map(|(place, f)| {
                f.rrs
                    .iter()
                    .filter(|r| r.rtype == rtype::PTR)
                    .map(move |r| (r.data.clone(), place.clone()))
            });
            all.collect::<std::collections::BTreeMap<_, _>>()
        };
        assert_eq!((members(&one).len(), members(&two).len()), (1, 2));
        let name = &b"\x02bl\x04orbs\x07example\0"[..];
        assert_eq!(
            members(&one)[name],
            members(&two)[name],
            "a member keeps its label (RFC 9432 section 5.3)"
        );
        assert!(members(&one)[name].ends_with(b"\x05zones"));
        let version = &two.all()[0].fixed[&b"\x07version"[..]].rrs;
        assert_eq!(
            (version.len(), version[0].rtype, &*version[0].data),
            (1, rtype::TXT, &b"\x012"[..])
        );
        assert_ne!(
            one.all()[0].hash,
            two.all()[0].hash,
            "the serial moves with the members"
        );
    }

    #[test]
    fn a_slot_follows_the_origin() {
        let set = ZoneSet::new(vec![
            zone("address", "a.orbs.example"),
            zone("address", "b.orbs.example"),
        ])
        .unwrap();
        let slots = |s: &ZoneSet| {
            s.all()
                .iter()
                .map(|z| (z.name.to_string(), z.slot))
                .collect::<Vec<_>>()
        };
        let next = set
            .next(vec![
                zone("address", "0.orbs.example"),
                zone("address", "b.orbs.example"),
            ])
            .unwrap();
        assert_eq!(
            slots(&next),
            [("0.orbs.example".into(), 2), ("b.orbs.example".into(), 1)]
        );
        let back = next.next(vec![zone("address", "a.orbs.example")]).unwrap();
        assert_eq!(slots(&back), [("a.orbs.example".into(), 0)]);
    }

    #[test]
    fn a_zone_is_found_by_its_name_in_either_form() {
        let set = ZoneSet::new(vec![zone("address", "b\u{fc}cher.orbs.example")]).unwrap();
        for name in [
            "b\u{fc}cher.orbs.example",
            "B\u{dc}CHER.orbs.example.",
            "XN--BCHER-KVA.orbs.example",
        ] {
            assert_eq!(set.by_name(name), Some(0), "{name}");
        }
        assert_eq!(set.by_name("..\u{fc}"), None);
    }
}
