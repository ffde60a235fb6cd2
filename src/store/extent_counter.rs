//! Counts the extent of a source from its rows in key order.

use super::extent::{Extent, Extents};
use crate::model::{Mask, Prefix4, Prefix6, Subject, subject::tag};

/// The prefix length in which IPv6 networks are counted; a longer prefix counts as one network.
const NETWORK6: u8 = 64;

/// What a row is about, as far as its extent depends on it.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// IPv4 addresses.
    V4(Prefix4),
    /// IPv6 addresses.
    V6(Prefix6),
    /// A name.
    Name,
}

impl Place {
    /// The place of a subject's key; `None` if it is the key of no subject. Names are not read.
    pub fn of_key(key: &[u8]) -> Option<Place> {
        if key.first() == Some(&tag::DOMAIN) {
            return Some(Place::Name);
        }
        Subject::from_key(key).map(|s| match s {
            Subject::V4(p) => Place::V4(p),
            Subject::V6(p) => Place::V6(p),
            Subject::Domain(_) => Place::Name,
        })
    }
}

/// Counts the extents before and after an import, from rows in key order.
#[derive(Debug, Default)]
pub struct ExtentCounter {
    before: Side,
    after: Side,
    gone: [u64; 3],
}

impl ExtentCounter {
    /// Counts a row by the reasons that it lists and those that it excludes, before and after.
    pub fn add(&mut self, place: Place, [old, new]: [[Mask; 2]; 2]) {
        let was_listed = self.before.add(place, old);
        let is_listed = self.after.add(place, new);
        if was_listed && !is_listed {
            let family = match place {
                Place::V4(_) => 0,
                Place::V6(_) => 1,
                Place::Name => 2,
            };
            self.gone[family] += 1;
        }
    }

    /// The counts.
    pub fn extents(&self) -> Extents {
        let [gone4, gone6, gone_names] = self.gone;
        Extents {
            before: self.before.extent(),
            after: self.after.extent(),
            gone4,
            gone6,
            gone_names,
        }
    }
}

/// The rows before or after an import.
#[derive(Debug, Default)]
struct Side {
    entries: u64,
    names: u64,
    cover4: Cover4,
    cover6: Cover6,
}

impl Side {
    /// Counts a row; returns whether it is listed.
    fn add(&mut self, place: Place, [listed, excluded]: [Mask; 2]) -> bool {
        if (listed, excluded) == (0, 0) {
            return false;
        }
        match place {
            Place::V4(p) => self.cover4.add(p, listed, excluded),
            Place::V6(p) => self.cover6.add(p, listed, excluded),
            Place::Name => self.names += u64::from(listed != 0),
        }
        self.entries += u64::from(listed != 0);
        listed != 0
    }

    fn extent(&self) -> Extent {
        Extent {
            entries: self.entries,
            names: self.names,
            ipv4: self.cover4.covered,
            ipv6: self.cover6.covered,
            widest4: self.cover4.widest,
            widest6: self.cover6.widest,
        }
    }
}

/// Returns the reasons that are listed at an entry inside a prefix with the reasons `outer`, and
/// corrects the count of covered units.
fn nested(outer: Mask, listed: Mask, excluded: Mask, units: u64, covered: &mut u64) -> Mask {
    let inner = (outer & !excluded) | listed;
    match (outer != 0, inner != 0) {
        (false, true) => *covered += units,
        (true, false) => *covered = covered.saturating_sub(units),
        _ => {}
    }
    inner
}

/// Covered IPv4 addresses. In key order every prefix comes before the first host: the prefixes
/// become segments of equal reasons, and the hosts are compared with them in one pass.
#[derive(Debug, Default)]
struct Cover4 {
    covered: u64,
    widest: Option<u8>,
    /// Prefixes that contain the last one: their last addresses and reasons.
    open: Vec<(u32, Mask)>,
    /// Where segments start, in order, and the reasons that are listed in each.
    starts: Vec<u32>,
    reasons: Vec<Mask>,
    /// The number of segments that start at the current host or before it.
    passed: usize,
}

impl Cover4 {
    fn add(&mut self, p: Prefix4, listed: Mask, excluded: Mask) {
        if listed != 0 {
            self.widest = Some(self.widest.map_or(p.len(), |w| w.min(p.len())));
        }
        if p.is_host() {
            return self.add_host(p.first(), listed, excluded);
        }
        self.close(p.first());
        let outer = self.open.last().map_or(0, |o| o.1);
        let units = u64::from(p.last() - p.first()) + 1;
        let inner = nested(outer, listed, excluded, units, &mut self.covered);
        self.segment(p.first(), inner);
        self.open.push((p.last(), inner));
    }

    /// Ends the prefixes that end before an address.
    fn close(&mut self, address: u32) {
        while let Some((last, _)) = self.open.pop_if(|o| o.0 < address) {
            let outer = self.open.last().map_or(0, |o| o.1);
            if let Some(next) = last.checked_add(1) {
                self.segment(next, outer);
            }
        }
    }

    /// Records that these reasons are listed from an address on.
    fn segment(&mut self, start: u32, reasons: Mask) {
        if self.starts.last() == Some(&start) {
            self.reasons.pop();
            self.starts.pop();
        }
        if self.reasons.last().copied().unwrap_or(0) != reasons {
            self.starts.push(start);
            self.reasons.push(reasons);
        }
    }

    fn add_host(&mut self, address: u32, listed: Mask, excluded: Mask) {
        while let Some((last, _)) = self.open.last() {
            match last.checked_add(1) {
                Some(next) => self.close(next),
                None => self.open.clear(),
            }
        }
        while self.starts.get(self.passed).is_some_and(|s| *s <= address) {
            self.passed += 1;
        }
        let outer = self.passed.checked_sub(1).map_or(0, |i| self.reasons[i]);
        nested(outer, listed, excluded, 1, &mut self.covered);
    }
}

/// Covered IPv6 networks. In key order a prefix comes directly before its parts.
#[derive(Debug, Default)]
struct Cover6 {
    covered: u64,
    widest: Option<u8>,
    /// Networks that contain the last one: their first and last numbers and reasons.
    open: Vec<(u64, u64, Mask)>,
}

impl Cover6 {
    fn add(&mut self, p: Prefix6, listed: Mask, excluded: Mask) {
        if listed != 0 {
            self.widest = Some(self.widest.map_or(p.len(), |w| w.min(p.len())));
        }
        if listed == 0 && p.len() > NETWORK6 {
            return; // only a part of a network is excluded, so the network still counts
        }
        let whole = p.widen(NETWORK6);
        let (first, last) = (
            (whole.first() >> NETWORK6) as u64,
            (whole.last() >> NETWORK6) as u64,
        );
        while self.open.pop_if(|o| o.1 < first).is_some() {}
        let outer = self.open.last().map_or(0, |o| o.2);
        let units = (last - first).saturating_add(1);
        let excluded = if p.len() > NETWORK6 { 0 } else { excluded };
        let inner = nested(outer, listed, excluded, units, &mut self.covered);
        self.open.pop_if(|o| (o.0, o.1) == (first, last));
        self.open.push((first, last, inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReasonId;
    use proptest::prelude::*;

    /// A reason, and whether it is excluded.
    type Entry = (ReasonId, bool);

    fn entry(reason: u8, exclusion: bool) -> Entry {
        (ReasonId(reason), exclusion)
    }

    fn add(counter: &mut ExtentCounter, subject: &Subject, old: &[Entry], new: &[Entry]) {
        let masks = [old, new].map(|entries| {
            let mut masks = [0; 2];
            for (reason, exclusion) in entries {
                masks[usize::from(*exclusion)] |= reason.bit();
            }
            masks
        });
        counter.add(Place::of_key(&subject.key()).unwrap(), masks);
    }

    /// The extent of lines such as `45.0.0.0/8` or `!45.1.0.0/16`.
    fn extent(lines: &[&str]) -> Extent {
        let mut rows: Vec<(Subject, bool)> = lines
            .iter()
            .map(|l| {
                (
                    l.trim_start_matches('!').parse().unwrap(),
                    l.starts_with('!'),
                )
            })
            .collect();
        rows.sort();
        let mut counter = ExtentCounter::default();
        rows.iter()
            .for_each(|(s, exclusion)| add(&mut counter, s, &[], &[entry(0, *exclusion)]));
        counter.extents().after
    }

    #[test]
    fn covered_addresses_count_once_and_without_exclusions() {
        let e = extent(&[
            "45.0.0.0/16",
            "45.0.1.0/24",
            "45.0.1.1",
            "45.1.1.1",
            "46.0.0.0/24",
        ]);
        assert_eq!(
            (e.entries, e.ipv4, e.widest4),
            (5, 65_536 + 1 + 256, Some(16))
        );
        let e = extent(&[
            "45.0.0.0/16",
            "!45.0.1.0/24",
            "45.0.1.1",
            "!45.0.2.2",
            "!47.1.1.1",
        ]);
        assert_eq!((e.entries, e.ipv4), (2, 65_536 - 256 + 1 - 1));
        let e = extent(&["255.255.0.0/16", "!255.255.255.255", "1.0.0.0/8"]);
        assert_eq!(
            (e.entries, e.ipv4, e.widest4),
            (2, 65_536 - 1 + (1 << 24), Some(8))
        );
    }

    #[test]
    fn ipv6_counts_networks_of_64_bits_and_a_host_as_one() {
        let e = extent(&[
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8:0:1::1",
            "2001:db9::/48",
            "2001:db9::7",
            "!2001:db9:0:1::/64",
        ]);
        assert_eq!(
            (e.entries, e.ipv6, e.widest6, e.ipv4),
            (5, 2 + 65_536 - 1, Some(48), 0)
        );
        // Exclusions of less than a network do not count.
        assert_eq!(extent(&["2001:db8::/64", "!2001:db8::1"]).ipv6, 1);
    }

    #[test]
    fn a_reason_that_remains_covers_what_another_excludes() {
        let mut counter = ExtentCounter::default();
        let subject = |s: &str| s.parse::<Subject>().unwrap();
        add(
            &mut counter,
            &subject("45.0.0.0/24"),
            &[entry(0, false), entry(1, false)],
            &[],
        );
        add(
            &mut counter,
            &subject("45.0.0.0/25"),
            &[entry(0, true)],
            &[],
        );
        add(&mut counter, &subject("45.0.0.1"), &[entry(1, true)], &[]);
        add(
            &mut counter,
            &subject("bad.example"),
            &[entry(1, false)],
            &[entry(1, false)],
        );
        let e = counter.extents();
        assert_eq!(
            (
                e.before.ipv4,
                e.before.entries,
                e.before.names,
                e.before.addresses()
            ),
            (255, 2, 1, 1)
        );
        assert_eq!(
            (e.gone4, e.gone6, e.gone_names, e.gone(), e.after.entries),
            (1, 0, 0, 1, 1)
        );
    }

    proptest! {
        /// The streaming count equals a count address by address.
        #[test]
        fn counting_agrees_with_a_count_by_address(rows in prop::collection::btree_map((0u32..512, 23u8..=32), any::<(bool, bool, bool)>(), 0..40)) {
            let mut by_subject = std::collections::BTreeMap::new();
            for ((a, len), (exclusion, second, both)) in rows {
                let p = Prefix4::new(0x2d00_0000 + a, len);
                let mut entries = vec![entry(u8::from(second), exclusion)];
                if both {
                    entries.push(entry(u8::from(!second), !exclusion));
                }
                by_subject.insert(Subject::V4(p), entries);
            }
            let mut counter = ExtentCounter::default();
            by_subject.iter().for_each(|(s, e)| add(&mut counter, s, &[], e));
            let mut covered = 0;
            for a in 0..1024u32 {
                let mut reasons = 0;
                for len in 0..=32 {
                    let p = Subject::V4(Prefix4::new(0x2d00_0000 + a, len));
                    for e in by_subject.get(&p).into_iter().flatten() {
                        reasons = if e.1 { reasons & !e.0.bit() } else { reasons };
                    }
                    for e in by_subject.get(&p).into_iter().flatten() {
                        reasons = if e.1 { reasons } else { reasons | e.0.bit() };
                    }
                }
                covered += u64::from(reasons != 0);
            }
            prop_assert_eq!(counter.extents().after.ipv4, covered);
        }
    }
}
