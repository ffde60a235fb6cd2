//! The stored proofs: messages that reached the collector.

use std::net::IpAddr;

use super::{
    policy::OutputRecord,
    proof::{Proof, ProofOutcome},
    service::{RelayError, RelayService},
    tables::{INPUT_PROOFS, LISTING_PROOFS, OUTPUT_PROOFS, OUTPUTS, PROOFS},
};
use crate::model::Time;

/// How many proofs of a host are read for each requested one.
const READ_FACTOR: usize = 5;

impl RelayService {
    /// Returns the proofs for which a host was listed as input or output and that `wanted` selects,
    /// the newest first, at most `most`.
    pub fn listing(
        &self,
        addr: IpAddr,
        most: usize,
        wanted: impl Fn(&Proof) -> bool,
    ) -> Result<Vec<Proof>, RelayError> {
        let batch = self.batch(Time(0));
        let all = LISTING_PROOFS.of(&addr);
        let mut out = Vec::new();
        for number in batch.scan_numbers_desc(&all, u64::MAX, most.saturating_mul(READ_FACTOR))? {
            if out.len() >= most {
                break;
            }
            out.extend(batch.get(PROOFS, &number)?.filter(&wanted));
        }
        Ok(out)
    }

    /// Whether a proof is public. It is while its input is listed.
    pub fn is_public(&self, proof: &Proof) -> Result<bool, RelayError> {
        let verdict = self.batch(Time(0)).verdict(proof.input)?;
        Ok(matches!(proof.outcome, ProofOutcome::Listed(_)) && self.is_listed_as_input(&verdict))
    }

    /// Returns the proofs with a host as input (`input`) or as output, the newest first, at most
    /// `most`.
    pub fn proofs(&self, addr: IpAddr, input: bool, most: usize) -> Result<Vec<Proof>, RelayError> {
        let batch = self.batch(Time(0));
        let table = if input { INPUT_PROOFS } else { OUTPUT_PROOFS };
        let mut out = Vec::new();
        for number in batch.scan_numbers_desc(&table.of(&addr), u64::MAX, most)? {
            out.extend(batch.get(PROOFS, &number)?);
        }
        Ok(out)
    }

    /// Returns a proof by its number.
    pub fn proof(&self, id: u64) -> Result<Proof, RelayError> {
        let found = self.batch(Time(0)).get(PROOFS, &id)?;
        found.ok_or_else(|| Self::no_proof(id))
    }

    /// The error about a proof that does not exist. A proof that the caller may not see has the same
    /// error, so that a stranger cannot find out which proofs exist.
    pub fn no_proof(id: u64) -> RelayError {
        RelayError::NotFound(format!("there is no proof {id}, or it has expired"))
    }

    /// Returns the record of an output.
    pub fn output(&self, addr: IpAddr) -> Result<OutputRecord, RelayError> {
        Ok(self.batch(Time(0)).get_or_default(OUTPUTS, &addr)?)
    }
}
