//! How a list is read.

use std::net::Ipv4Addr;

use crate::model::{Digest, ReasonId, StoreId, Subject, Time, subject::HostBits};

/// How a file's values become reasons.
#[derive(Debug, Clone)]
pub enum Reasoning {
    /// Every line has this one.
    One(ReasonId),
    /// By the A record's value; the codes of a zone.
    Codes(Vec<(Ipv4Addr, ReasonId)>),
}

/// How a list is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The reasons.
    pub reasoning: Reasoning,
    /// What to do with host bits in a prefix.
    pub host_bits: HostBits,
    /// Take special ranges.
    pub special: bool,
    /// Special ranges that are taken anyway.
    pub allowed: Vec<Subject>,
    /// Public suffixes that may be listed, such as `tk`.
    pub allow_suffixes: Vec<String>,
    /// The list is the zone of another server, which publishes what it publishes: only the rules
    /// hold that keep test points and too wide prefixes out.
    pub followed: bool,
    /// Whether the list is a zone transfer that is not sent on in rows, since nobody can tell where
    /// its entries come from.
    pub untraced: bool,
    /// This store: what came through it is left out of another server's rows.
    pub store: StoreId,
    /// The form of the digests that the reasons' zones publish, where they do.
    pub digest: Option<Digest>,
    /// The column of the subject in a table: its name, or its number from 1.
    pub column: Option<String>,
    /// The origin of a master file, where it has no `$ORIGIN`.
    pub origin: Option<String>,
    /// The type of an rbldnsd file, as rbldnsd is told it on its command line; without it each key
    /// says what it is.
    pub dataset: Option<String>,
    /// Which sub-zone's data sets of a combined rbldnsd file are taken; `@`, the zone itself, where
    /// it is not said.
    pub subzone: Option<String>,
    /// The time of the import, to see that a file has not expired and does not come from the
    /// future; 0 for unknown.
    pub now: Time,
}

impl Default for Options {
    /// No codes, so that nothing is listed until somebody says a reason.
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
