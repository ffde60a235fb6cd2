//! A zone at an earlier serial beside the same zone now: what the difference between two serials is
//! made from.
//!
//! The journal tells where each changed subject stood. The writer puts that into a copy of its
//! tables, which shares all that did not change, so that both sides are read by the same rules.

use std::sync::Arc;

use crate::{
    index::{Snapshot, Tables},
    model::Subject,
    store::journal::Past,
};

/// A request for a zone at an earlier serial.
pub(super) struct DiffRequest {
    pub(super) origin: String,
    pub(super) past: Past,
    /// The commit up to which `past` was read.
    pub(super) seq: u64,
}

/// A zone at an earlier serial and now.
pub struct OldAndNew {
    /// The tables at the earlier serial.
    pub old: Tables,
    /// The published snapshot.
    pub new: Arc<Snapshot>,
    /// The subjects that changed in between.
    pub subjects: Vec<Subject>,
}
