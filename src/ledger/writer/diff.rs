//! Makes the tables of a zone's past.

use super::Writer;
use crate::{
    index::RawFacts,
    ledger::{
        diff::{Asked, Both},
        error::Refused,
    },
};

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
