//! How a list is read.

use std::net::Ipv4Addr;

use crate::model::{Digest, ReasonId, StoreId, Subject, Time, subject::HostBits};

/// Where the reasons of entries come from.
#[derive(Debug, Clone)]
pub enum Reasoning {
    /// Every entry has this reason.
    One(ReasonId),
    /// From the entry's A value, by the codes of a zone.
    Codes(Vec<(Ipv4Addr, ReasonId)>),
}

/// How a list is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The reasons.
    pub reasoning: Reasoning,
    /// How host bits in a prefix are treated.
    pub host_bits: HostBits,
    /// Accept special-purpose ranges.
    pub special: bool,
    /// Special-purpose ranges that are accepted anyway.
    pub allowed: Vec<Subject>,
    /// Public suffixes that may be listed, such as `tk`.
    pub allow_suffixes: Vec<String>,
    /// The list is the zone of another server and is taken as it is published: only the rules about
    /// test points and too wide prefixes apply.
    pub followed: bool,
    /// Whether the list is a zone transfer that is not sent on in rows, because the origin of its
    /// entries is unknown.
    pub untraced: bool,
    /// This store: another server's rows that came through it are left out.
    pub store: StoreId,
    /// The form of the digests that the reasons' zones publish, if they do.
    pub digest: Option<Digest>,
    /// The column of the subject in a table: its name, or its number from 1.
    pub column: Option<String>,
    /// The origin of a master file without `$ORIGIN`.
    pub origin: Option<String>,
    /// The type of an rbldnsd file, as on rbldnsd's command line; without it each key is recognised
    /// by its form.
    pub dataset: Option<String>,
    /// The sub-zone of a combined rbldnsd file whose data sets are read; by default `@`, the zone
    /// itself.
    pub subzone: Option<String>,
    /// The time of the import, to see whether a file has expired or comes from the future; 0 for
    /// unknown.
    pub now: Time,
}

impl Default for Options {
    /// No codes, so that nothing is listed until a reason is chosen.
    fn default() -> Options {
        Options {
            reasoning: Reasoning::Codes(Vec::new()),
            host_bits: HostBits::Refuse,
            special: false,
            allowed: Vec::new(),
            allow_suffixes: Vec::new(),
            followed: false,
            untraced: false,
            store: StoreId::default(),
            digest: None,
            column: None,
            origin: None,
            dataset: None,
            subzone: None,
            now: Time(0),
        }
    }
}
