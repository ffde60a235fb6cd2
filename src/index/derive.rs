//! Derived reasons: a point is listed for them by a function of the listings that it has, such as
//! those of one source, or at least so many.

use std::fmt::Debug;

use crate::model::{ReasonId, SourceId};

/// The table of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// A name or a digest.
    Name,
}

/// A listing as a point has it: the longest match of a source for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The reason.
    pub reason: ReasonId,
    /// The source.
    pub source: SourceId,
}

/// A derived reason. It is computed when facts change, and a zone publishes it like any other.
///
/// More listings never take it away: what is listed by some listings is listed by these and others.
pub trait Derivation: Debug + Send + Sync {
    /// The reason, for which no source lists anything.
    fn reason(&self) -> ReasonId;
    /// Whether a listing counts. The longest one that does gives the listing its text.
    fn counts(&self, family: Family, listing: Listed) -> bool;
    /// Whether the listings that count, at least one, are enough.
    fn is_listed(&self, counted: &[Listed]) -> bool;
}
