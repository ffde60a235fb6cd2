//! A zone at an earlier serial and now, from which the difference of two serials is computed.
//!
//! The journal has the earlier verdict of each changed subject. The writer puts these into a copy
//! of its tables, which shares all unchanged parts, so that both states are rendered by the same
//! code.

use std::sync::Arc;

use crate::{
    index::{Snapshot, Tables},
    model::Subject,
};

/// A zone at an earlier serial and now.
pub struct OldAndNew {
    /// The tables at the earlier serial.
    pub old: Tables,
    /// The published snapshot.
    pub new: Arc<Snapshot>,
    /// The subjects that have changed in between, and the networks as which changed addresses count.
    pub subjects: Vec<Subject>,
}
