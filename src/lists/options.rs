//! Options for reading a list.

use std::net::Ipv4Addr;

use crate::model::{Digest, ReasonId, StoreId, Subject, Time, ZoneAddresses, subject::HostBits};

/// Where the reasons of entries come from.
#[derive(Debug, Clone)]
pub enum ReasonMapping {
    /// Every entry has this reason.
    One(ReasonId),
    /// The A value of each entry is mapped by the codes of a zone.
    Codes(Vec<(Ipv4Addr, ReasonId)>),
}

impl ReasonMapping {
    /// The reasons in their order; a reason with several codes occurs several times.
    pub fn reasons(&self) -> impl Iterator<Item = ReasonId> {
        let (one, codes) = match self {
            ReasonMapping::One(reason) => (Some(*reason), &[][..]),
            ReasonMapping::Codes(codes) => (None, &codes[..]),
        };
        one.into_iter().chain(codes.iter().map(|c| c.1))
    }
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
