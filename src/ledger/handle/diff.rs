//! Asks for the difference between two serials of a zone.

use super::Ledger;
use crate::{
    ledger::{
        command::Job,
        diff::{Asked, Both},
        error::Refused,
    },
    model::Serial,
};

/// The most subjects that may have changed: the writer puts them into tables while others wait for
/// it.
const MAX_SUBJECTS: usize = 100_000;

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
