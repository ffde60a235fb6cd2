//! The stored proofs: messages that reached the collector.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    keys::{RelayKey, RelayRange, RelayTable},
    policy::OutputRecord,
    proof::ProofKind,
    service::{RelayError, RelayService},
};
use crate::model::{Subject, Time};

/// How many proofs of a host are read for each requested one.
const READ_FACTOR: usize = 5;
/// A message that reached the collector, and its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The number of the proof.
    pub id: u64,
    /// The host that accepted it.
    pub input: IpAddr,
    /// The host that delivered it to the collector.
    pub output: IpAddr,
    /// The name of the test.
    pub test: String,
    /// The number of the job.
    pub job: u64,
    /// The identifier of the token, in hexadecimal.
    pub token: String,
    /// When the token was issued.
    pub issued: Time,
    /// When the message was delivered.
    pub at: Time,
    /// The name in the client's greeting at the collector.
    pub hello: String,
    /// The sender at the collector.
    pub from: String,
    /// The recipients at the collector.
    pub to: Vec<String>,
    /// The message; empty if it was not stored.
    pub message: String,
    /// The consequence.
    pub outcome: ProofOutcome,
}

/// The consequence of a message that reached the collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ProofOutcome {
    /// The host was listed for the reason of this kind.
    Listed(ProofKind),
    /// No host was listed, for this reason.
    NotListed(String),
}

impl From<ProofOutcome> for String {
    fn from(outcome: ProofOutcome) -> String {
        match outcome {
            ProofOutcome::Listed(kind) => kind.reason().into(),
            ProofOutcome::NotListed(why) => why,
        }
    }
}

impl From<String> for ProofOutcome {
    fn from(text: String) -> ProofOutcome {
        let kind = ProofKind::ALL.into_iter().find(|k| k.reason() == text);
        kind.map_or(ProofOutcome::NotListed(text), ProofOutcome::Listed)
    }
}

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
        let mut out = Vec::new();
        for number in batch.scan_ids_desc(
            RelayRange::OfHost(RelayTable::ListingProofs, addr),
            u64::MAX,
            most.saturating_mul(READ_FACTOR),
        )? {
            if out.len() >= most {
                break;
            }
            out.extend(
                batch
                    .get::<Proof>(&RelayKey::Proof(number))?
                    .filter(&wanted),
            );
        }
        Ok(out)
    }

    /// Whether a proof is public. It is while its input is listed.
    pub fn is_public(&self, proof: &Proof) -> Result<bool, RelayError> {
        let verdict = self.ledger.store.verdict(&Subject::host(proof.input))?;
        Ok(matches!(proof.outcome, ProofOutcome::Listed(_)) && self.is_listed_as_input(&verdict))
    }

    /// Returns the proofs with a host as input (`input`) or as output, the newest first, at most
    /// `most`.
    pub fn proofs(&self, addr: IpAddr, input: bool, most: usize) -> Result<Vec<Proof>, RelayError> {
        let batch = self.batch(Time(0));
        let mut out = Vec::new();
        for number in batch.scan_ids_desc(
            RelayRange::OfHost(
                if input {
                    RelayTable::InputProofs
                } else {
                    RelayTable::OutputProofs
                },
                addr,
            ),
            u64::MAX,
            most,
        )? {
            out.extend(batch.get::<Proof>(&RelayKey::Proof(number))?);
        }
        Ok(out)
    }

    /// Returns a proof by its number.
    pub fn proof(&self, id: u64) -> Result<Proof, RelayError> {
        self.batch(Time(0))
            .get(&RelayKey::Proof(id))?
            .ok_or_else(|| {
                RelayError::NotFound(format!("there is no proof {id}; it may have expired"))
            })
    }

    /// Returns the record of an output.
    pub fn output(&self, addr: IpAddr) -> Result<OutputRecord, RelayError> {
        Ok(self
            .batch(Time(0))
            .get(&RelayKey::Output(addr))?
            .unwrap_or_default())
    }
}
