//! The messages that reached the collector, as they are kept.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    keys::{RelayKey, RelayRange, RelayTable},
    policy::OutputRecord,
    proof::ProofKind,
    service::{RelayError, RelayService},
};
use crate::model::{Subject, Time};

/// How many proofs of the host are read for each one that is requested.
const LOOKED: usize = 5;
/// A message that was delivered, and its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Its number.
    pub id: u64,
    /// The host that accepted it.
    pub input: IpAddr,
    /// The host that delivered it to the collector.
    pub output: IpAddr,
    /// The test.
    pub test: String,
    /// The job.
    pub job: u64,
    /// The token's number.
    pub token: String,
    /// When it was sent.
    pub issued: Time,
    /// When it was delivered.
    pub at: Time,
    /// The greeting, sender and recipients at the collector.
    pub hello: String,
    /// The sender at the collector.
    pub from: String,
    /// The recipients at the collector.
    pub to: Vec<String>,
    /// The message; empty where it is no longer kept.
    pub message: String,
    /// What followed.
    pub outcome: ProofOutcome,
}

/// What followed from a message that reached the collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ProofOutcome {
    /// The host was listed under the reason of this kind.
    Listed(ProofKind),
    /// No host was listed, and why.
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
    /// The messages that a host was listed for as input or output and that `meant` selects, the
    /// newest first.
    pub fn listing(
        &self,
        addr: IpAddr,
        most: usize,
        meant: impl Fn(&Proof) -> bool,
    ) -> Result<Vec<Proof>, RelayError> {
        let batch = self.batch(Time(0));
        let mut out = Vec::new();
        for number in batch.scan_ids_desc(
            RelayRange::OfHost(RelayTable::ListingProofs, addr),
            u64::MAX,
            most.saturating_mul(LOOKED),
        )? {
            if out.len() >= most {
                break;
            }
            out.extend(batch.get::<Proof>(&RelayKey::Proof(number))?.filter(&meant));
        }
        Ok(out)
    }

    /// Whether a proof is public: while the host that it lists is listed. Proofs of a released
    /// host, and of its outputs, are not public.
    pub fn is_shown(&self, proof: &Proof) -> Result<bool, RelayError> {
        let verdict = self.ledger.store.verdict(&Subject::host(proof.input))?;
        Ok(matches!(proof.outcome, ProofOutcome::Listed(_)) && self.is_listed_as_input(&verdict))
    }

    /// The messages that went through a host (`input`) or were delivered by it, the newest first.
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

    /// One of them.
    pub fn proof(&self, id: u64) -> Result<Proof, RelayError> {
        self.batch(Time(0))
            .get(&RelayKey::Proof(id))?
            .ok_or_else(|| RelayError::NotFound(format!("there is no proof {id} (any more)")))
    }

    /// For whom a host delivers.
    pub fn output(&self, addr: IpAddr) -> Result<OutputRecord, RelayError> {
        Ok(self
            .batch(Time(0))
            .get(&RelayKey::Output(addr))?
            .unwrap_or_default())
    }
}
