//! All zones of a server, found by name.

use rustc_hash::FxHashMap;

use super::zones::ZoneView;
use crate::model::domain::name_to_ascii;

/// How many zones are told apart by the counters; later ones share the last slot.
const MAX_SLOTS: usize = 64;

/// All zones, found by the longest origin that ends a name.
#[derive(Debug, Clone, Default)]
pub struct ZoneSet {
    zones: Vec<ZoneView>,
    lengths: Vec<usize>,
    by_origin: FxHashMap<Box<[u8]>, usize>,
    /// The origins seen since the first set, each in its slot.
    seen: Vec<Box<str>>,
}

impl ZoneSet {
    /// From ready zones; the error names an origin that two of them have, or that can not lie below another one's.
    pub fn new(zones: Vec<ZoneView>) -> Result<ZoneSet, String> {
        ZoneSet::default().next(zones)
    }

    /// The zones that come after these: an origin that was there keeps its slot.
    pub fn next(&self, zones: Vec<ZoneView>) -> Result<ZoneSet, String> {
        let mut set = ZoneSet { zones, seen: self.seen.clone(), ..ZoneSet::default() };
        for (i, z) in set.zones.iter_mut().enumerate() {
            set.lengths.push(z.origin.len());
            if set.by_origin.insert(z.origin.clone(), i).is_some() {
                return Err(format!("two zones have the origin {}", z.name));
            }
            z.slot = set.seen.iter().position(|s| *s == z.name).unwrap_or(set.seen.len());
            if z.slot == set.seen.len() {
                if z.slot < MAX_SLOTS {
                    set.seen.push(z.name.clone());
                } else {
                    z.slot = MAX_SLOTS - 1;
                }
            }
        }
        set.lengths.sort_unstable_by(|a, b| b.cmp(a));
        set.lengths.dedup();
        set.delegate()?;
        Ok(set)
    }

    /// Gives each zone that lies below others as a delegation to the nearest of them.
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

    /// All zones; their places are their numbers.
    pub fn all(&self) -> &[ZoneView] {
        &self.zones
    }

    /// The zone of a name (wire form, lower case, with the root label) and where its origin starts. `starts` tells whether
    /// a label starts at a place.
    #[inline]
    pub fn find(&self, name: &[u8], starts: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        for len in &self.lengths {
            let Some(at) = name.len().checked_sub(*len) else { continue };
            if starts(at)
                && let Some(i) = self.by_origin.get(&name[at..])
            {
                return Some((*i, at));
            }
        }
        None
    }

    /// A zone by its origin, in A-labels or U-labels.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        let name = name.trim_end_matches('.');
        let name = if name.is_ascii() { name.to_ascii_lowercase().into() } else { name_to_ascii(name).ok()? };
        self.zones.iter().position(|z| z.name == name)
    }
}
