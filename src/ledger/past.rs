//! A zone's past beside its present: what the difference between two serials is made from.
//!
//! The journal tells where each changed subject stood. The writer puts that into a copy of its
//! tables, which shares all that did not change, so that both sides are read by the same rules.

use std::sync::Arc;

use super::{Job, Ledger, Refused, writer::Writer};
use crate::{
    index::{RawFacts, Snapshot, Tables},
    model::{Serial, Subject},
    store::journal::Past,
};

/// The most subjects that may have changed: the writer puts them into tables while others wait for
/// it.
const MAX_SUBJECTS: usize = 100_000;

/// The past that somebody asks for.
pub(super) struct Asked {
    origin: String,
    past: Past,
    /// The commit up to which `past` was read.
    seq: u64,
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

impl Ledger {
    /// A zone when it had serial `from`, beside the present. `None` where the journal does not
    /// know, or too much changed. Blocks.
    pub fn past(&self, origin: &str, from: Serial) -> Result<Option<Both>, Refused> {
        let seq = self.published.load().seq;
        match self.store.past(origin, from, seq, MAX_SUBJECTS)? {
            Some(past) => self.call(|r| {
                Job::Past(
                    Box::new(Asked {
                        origin: origin.into(),
                        past,
                        seq,
                    }),
                    r,
                )
            }),
            None => Ok(None),
        }
    }
}

impl Writer {
    pub(super) fn past(&mut self, mut asked: Asked) -> Result<Option<Both>, Refused> {
        // What was committed since belongs to it too; and while it is not known what was, nothing
        // is said.
        if self.health.poisoned().is_some()
            || !self
                .store
                .before(&asked.origin, asked.seq, self.seq, &mut asked.past)?
        {
            return Ok(None);
        }
        let old = self
            .builder
            .with(asked.past.iter().map(|(s, v)| (s, RawFacts::of(v))));
        Ok(Some(Both {
            old,
            new: self.published.snapshot(),
            subjects: asked.past.into_keys().collect(),
        }))
    }
}
