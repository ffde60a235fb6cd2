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

/// The past that somebody asks for.
pub(super) struct Asked {
    pub(super) origin: String,
    pub(super) past: Past,
    /// The commit up to which `past` was read.
    pub(super) seq: u64,
}

/// A zone at a serial of the past, and now.
pub struct Both {
    /// The tables as they were.
    pub old: Tables,
    /// What is published now.
    pub new: Arc<Snapshot>,
    /// What changed in between.
    pub subjects: Vec<Subject>,
}
