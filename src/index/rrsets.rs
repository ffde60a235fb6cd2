//! The A record sets of names: how published reasons become addresses. No other file knows of bit
//! masks.

use std::sync::Arc;

use super::derive::{DerivedReason, FactChange, Listed};
use crate::model::{MAX_REASONS, Mask, ReasonId, SubjectFamily};

/// A published reason.
#[derive(Debug, Clone)]
pub struct PublishedReason {
    /// Its number.
    pub reason: ReasonId,
    /// Its name, or, if it is derived, the reasons from which it is: `a and b` or `a or b`.
    pub name: Box<str>,
    /// What it is derived from; `None`: it is the reason of listings.
    pub derived: Option<Arc<DerivedReason>>,
    /// The A record's data, or, in a zone of bit masks, its bit.
    pub code: [u8; 4],
    /// The text for entries without one of their own, with `$`.
    pub text: Box<str>,
    /// The TTL of record sets to which the reason contributes, in seconds; another contributor can
    /// have a lower one.
    pub ttl: u32,
}

impl PublishedReason {
    /// The reasons whose listings can be published.
    pub fn listing_mask(&self) -> Mask {
        let derived = self.derived.as_ref();
        derived.map_or(self.reason.bit(), |d| d.reasons)
    }

    /// The one reason whose listings can be published; `None` if there are several.
    pub fn listing_reason(&self) -> Option<ReasonId> {
        let mask = self.listing_mask();
        let mut reasons = ReasonId::all_of(mask);
        reasons.next().filter(|_| mask.count_ones() == 1)
    }

    /// Whether listings for a reason can be published.
    pub fn is_of(&self, reason: ReasonId) -> bool {
        self.listing_mask() & reason.bit() != 0
    }

    /// A number for the hash of a zone: that of the reason, which does not change, or, because the
    /// number of a derived reason depends on the other rules, one for all rules.
    pub(super) fn stable_number(&self) -> u8 {
        self.derived.as_ref().map_or(self.reason.0, |_| u8::MAX)
    }

    /// Whether a listing of a subject of a family can contribute.
    pub fn counts(&self, family: SubjectFamily, listed: Listed) -> bool {
        match &self.derived {
            None => listed.reason == self.reason,
            Some(derived) => derived.counts(family, listed),
        }
    }

    /// Whether a change can change what is listed.
    pub fn is_changed_by(&self, change: &FactChange) -> bool {
        match &self.derived {
            None => change.ages.is_none() && change.reasons & self.reason.bit() != 0,
            Some(derived) => derived.is_changed_by(change),
        }
    }

    /// Whether listings of a family can contribute.
    pub fn has_family(&self, family: SubjectFamily) -> bool {
        self.derived.as_ref().is_none_or(|d| d.has_family(family))
    }
}

/// The A RRset of a name: each code once in the order of the zone, or, in a zone of bit masks, one
/// record with the bits of all reasons.
#[derive(Debug, Clone, Copy)]
pub struct CodeRrset {
    codes: [[u8; 4]; MAX_REASONS],
    len: usize,
    /// The TTL in seconds: the least of all reasons that contribute (RFC 2181 section 5.2).
    pub ttl: u32,
}

impl CodeRrset {
    /// The RRset of the reasons that list a name, in the order of the zone.
    #[inline]
    pub fn new<'p>(bitmask: bool, reasons: impl Iterator<Item = &'p PublishedReason>) -> CodeRrset {
        let mut out = CodeRrset {
            codes: [[0; 4]; MAX_REASONS],
            len: 0,
            ttl: u32::MAX,
        };
        for p in reasons {
            out.ttl = out.ttl.min(p.ttl);
            if bitmask && out.len > 0 {
                let joined = u32::from_be_bytes(out.codes[0]) | u32::from_be_bytes(p.code);
                out.codes[0] = joined.to_be_bytes();
            } else if out.len < MAX_REASONS && !out.codes().contains(&p.code) {
                out.codes[out.len] = p.code;
                out.len += 1;
            }
        }
        out
    }

    /// The data of the records.
    #[inline]
    pub fn codes(&self) -> &[[u8; 4]] {
        &self.codes[..self.len]
    }

    /// The record that shows a reason with this code, which is one of those that list the name.
    pub fn record_of(&self, code: [u8; 4]) -> [u8; 4] {
        let codes = self.codes();
        match codes.contains(&code) {
            true => code,
            false => codes.first().copied().unwrap_or(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(all: &[(u8, u32)]) -> Vec<PublishedReason> {
        let published = |(i, (last, ttl)): (usize, &(u8, u32))| PublishedReason {
            reason: ReasonId(i as u8),
            name: "".into(),
            derived: None,
            code: [127, 0, 0, *last],
            text: "".into(),
            ttl: *ttl,
        };
        all.iter().enumerate().map(published).collect()
    }

    #[test]
    fn rrset_has_each_code_once_and_the_least_ttl() {
        let all = published(&[(4, 300), (2, 60), (4, 900)]);
        let rrset = CodeRrset::new(false, all.iter());
        assert_eq!(rrset.codes(), [[127, 0, 0, 4], [127, 0, 0, 2]]);
        assert_eq!(rrset.ttl, 60);
        assert_eq!(rrset.record_of([127, 0, 0, 2]), [127, 0, 0, 2]);
        assert_eq!(CodeRrset::new(false, all[..1].iter()).ttl, 300);
    }

    #[test]
    fn rrset_of_a_bit_mask_is_one_record_with_all_bits() {
        let all = published(&[(4, 300), (2, 60), (4, 900), (128, 70)]);
        let rrset = CodeRrset::new(true, all.iter());
        assert_eq!((rrset.codes(), rrset.ttl), (&[[127, 0, 0, 134]][..], 60));
        assert_eq!(rrset.record_of([127, 0, 0, 4]), [127, 0, 0, 134]);
        let one = CodeRrset::new(true, all[2..3].iter());
        assert_eq!((one.codes(), one.ttl), (&[[127, 0, 0, 4]][..], 900));
    }
}
