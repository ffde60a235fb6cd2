//! Options for reading a list.

use std::net::Ipv4Addr;

use crate::model::{
    Digest, Mask, ReasonId, StoreId, Subject, Time, ZoneAddresses, subject::HostBits,
};

/// Where the reasons of entries come from.
#[derive(Debug, Clone)]
pub enum ReasonMapping {
    /// Every entry has this reason.
    One(ReasonId),
    /// The A value of each entry is mapped by the codes of a zone.
    Codes(Vec<(Ipv4Addr, ReasonId)>),
    /// The same for a zone of bit masks: each code is one bit, and an A value has the bits of
    /// several reasons.
    Bits(Vec<(Ipv4Addr, ReasonId)>),
}

impl ReasonMapping {
    /// The reasons in their order; a reason with several codes occurs several times.
    pub fn reasons(&self) -> impl Iterator<Item = ReasonId> {
        let one = match self {
            ReasonMapping::One(reason) => Some(*reason),
            _ => None,
        };
        one.into_iter().chain(self.codes().iter().map(|c| c.1))
    }

    /// The codes with their reasons; none if every entry has one reason.
    pub fn codes(&self) -> &[(Ipv4Addr, ReasonId)] {
        match self {
            ReasonMapping::One(_) => &[],
            ReasonMapping::Codes(codes) | ReasonMapping::Bits(codes) => codes,
        }
    }

    /// Whether the A values of entries decide their reasons.
    pub fn is_by_code(&self) -> bool {
        !matches!(self, ReasonMapping::One(_))
    }

    /// The reasons of an entry with an A value. Of several reasons with one code, the first counts.
    ///
    /// # Errors
    ///
    /// The message says which part of the value no code of the zone has.
    pub fn reasons_of(&self, value: Ipv4Addr) -> Result<Mask, String> {
        let reason = |code: Ipv4Addr| self.codes().iter().find(|c| c.0 == code).map(|c| c.1.bit());
        let known = || {
            let codes = self.codes().iter().map(|(c, _)| c.to_string());
            codes.collect::<Vec<_>>().join(", ")
        };
        match self {
            ReasonMapping::One(reason) => Ok(reason.bit()),
            ReasonMapping::Codes(_) => reason(value).ok_or_else(|| {
                format!(
                    "`{value}` is not a code of the zone; its codes are {}",
                    known()
                )
            }),
            ReasonMapping::Bits(_) => {
                let reasons = match value.octets() {
                    [127, 0, 0, 0] => None,
                    [127, 0, 0, mask] => bits_of(mask).try_fold(0, |all, bit| {
                        Some(all | reason(Ipv4Addr::new(127, 0, 0, bit))?)
                    }),
                    _ => None,
                };
                reasons.ok_or_else(|| {
                    format!(
                        "`{value}` is not made of the bits of the zone; its codes are {}",
                        known()
                    )
                })
            }
        }
    }

    /// Whether an A value stands for several reasons. The texts beside it cannot be assigned to one
    /// of them then.
    pub fn joins_reasons(&self, value: Ipv4Addr) -> bool {
        matches!(self, ReasonMapping::Bits(_)) && value.octets()[3].count_ones() > 1
    }
}

/// The bits of a mask, each as a number.
fn bits_of(mask: u8) -> impl Iterator<Item = u8> {
    (0..u8::BITS)
        .map(|i| 1 << i)
        .filter(move |bit| mask & bit != 0)
}

impl Default for ReasonMapping {
    /// Without codes, so that no entry is accepted until the caller sets the reasons.
    fn default() -> ReasonMapping {
        ReasonMapping::Codes(Vec::new())
    }
}

/// Options for reading a list.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The reasons.
    pub reasoning: ReasonMapping,
    /// How host bits in a prefix are treated.
    pub host_bits: HostBits,
    /// Accept special-purpose ranges.
    pub special: bool,
    /// Special-purpose ranges that are accepted anyway.
    pub allowed: Vec<Subject>,
    /// Public suffixes that may be listed, such as `tk`.
    pub allow_suffixes: Vec<String>,
    /// The list is the zone of another server, and its names are accepted as published: only the
    /// rules about test points and too wide prefixes apply.
    pub followed: bool,
    /// The list is a zone transfer whose entries are not sent on in rows, because their origin is
    /// unknown.
    pub untraced: bool,
    /// This store. Rows of another server that came through it are left out.
    pub store: StoreId,
    /// The form of digests, if the zones of the reasons publish digests.
    pub digest: Option<Digest>,
    /// The addresses that the domain zones of the reasons publish besides names. A key of a `dnset`
    /// by which clients ask for such an address is read as the address.
    pub addresses: ZoneAddresses,
    /// The column of the subject in a table: its name, or its number from 1.
    pub column: Option<String>,
    /// The origin of a master file without `$ORIGIN`.
    pub origin: Option<String>,
    /// The data set type of an rbldnsd file, as on rbldnsd's command line. Without it, the type of
    /// each key is recognised by its form.
    pub dataset: Option<String>,
    /// The sub-zone of a combined rbldnsd file whose data sets are read; by default `@`, the zone
    /// itself.
    pub subzone: Option<String>,
    /// The time of the import, with which the times in a file are compared; 0 if unknown.
    pub now: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Vec<(Ipv4Addr, ReasonId)> {
        let code = |(last, reason)| (Ipv4Addr::new(127, 0, 0, last), ReasonId(reason));
        [(2, 5), (8, 1), (128, 7), (8, 9)].map(code).into()
    }

    #[test]
    fn value_of_a_bit_mask_has_the_reasons_of_all_its_bits() {
        let mapping = ReasonMapping::Bits(codes());
        let reasons = |last| mapping.reasons_of(Ipv4Addr::new(127, 0, 0, last));
        assert_eq!(reasons(2), Ok(1 << 5));
        assert_eq!(
            reasons(8),
            Ok(1 << 1),
            "the first of two reasons with one code"
        );
        assert_eq!(reasons(138), Ok(1 << 5 | 1 << 1 | 1 << 7));
        for unknown in [0, 1, 3, 4, 12, 255] {
            let e = reasons(unknown).unwrap_err();
            assert!(e.contains("127.0.0.2, 127.0.0.8"), "{unknown}: {e}");
        }
        assert!(mapping.reasons_of(Ipv4Addr::new(127, 0, 1, 2)).is_err());
    }

    #[test]
    fn value_of_another_zone_is_one_code() {
        let mapping = ReasonMapping::Codes(codes());
        assert_eq!(mapping.reasons_of(Ipv4Addr::new(127, 0, 0, 8)), Ok(1 << 1));
        assert!(mapping.reasons_of(Ipv4Addr::new(127, 0, 0, 10)).is_err());
    }
}
