//! The messages that reached the collector, as they are kept.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    policy::{HostRecord, OutputRecord},
    rows::key,
    service::{REASONS, RelayError, RelayService, is_listed},
};
use crate::model::{Subject, Time};

/// For each proof that is asked for, how many of the host's are looked at.
const LOOKED: usize = 5;
/// A message that came, with what is known of its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Its number.
    pub id: u64,
    /// The host that was given it.
    pub input: IpAddr,
    /// Who handed it to the collector.
    pub output: IpAddr,
    /// The test.
    pub test: String,
    /// The job.
    pub job: u64,
    /// The token's number.
    pub token: String,
    /// When it was sent.
    pub issued: Time,
    /// When it came.
    pub at: Time,
    /// The greeting, sender and recipients at the collector.
    pub hello: String,
    /// The sender at the collector.
    pub from: String,
    /// The recipients at the collector.
    pub to: Vec<String>,
    /// The message; empty where it is no longer kept.
    pub message: String,
    /// What followed: a reason that was listed, or why none was.
    pub outcome: String,
}

impl RelayService {
    /// The messages that a host was listed for, as input or output, of those that are meant; the
    /// newest first.
    pub fn listing(
        &self,
        addr: IpAddr,
        most: usize,
        meant: impl Fn(&Proof) -> bool,
    ) -> Result<Vec<Proof>, RelayError> {
        let sheet = self.sheet(Time(0));
        let mut out = Vec::new();
        for number in sheet.numbers_below(
            &key::host(b'G', addr),
            u64::MAX,
            most.saturating_mul(LOOKED),
        )? {
            if out.len() >= most {
                break;
            }
            out.extend(
                sheet
                    .get::<Proof>(&key::number(b'P', number))?
                    .filter(&meant),
            );
        }
        Ok(out)
    }

    /// Whether everybody may see a proof: while the host that it lists is listed. Of one that was
    /// released nobody is told, nor of whoever delivered for it.
    pub fn is_shown(&self, proof: &Proof) -> Result<bool, RelayError> {
        let verdict = self.ledger.store.verdict(&Subject::host(proof.input))?;
        let proves = REASONS.contains(&proof.outcome.as_str());
        Ok(proves && REASONS[..3].iter().any(|r| is_listed(self, &verdict, r)))
    }

    /// The messages that came through a host (`input`) or from it, the newest first.
    pub fn proofs(&self, addr: IpAddr, input: bool, most: usize) -> Result<Vec<Proof>, RelayError> {
        let sheet = self.sheet(Time(0));
        let mut out = Vec::new();
        for number in sheet.numbers_below(
            &key::host(if input { b'I' } else { b'Y' }, addr),
            u64::MAX,
            most,
        )? {
            out.extend(sheet.get::<Proof>(&key::number(b'P', number))?);
        }
        Ok(out)
    }

    /// One of them.
    pub fn proof(&self, id: u64) -> Result<Proof, RelayError> {
        self.sheet(Time(0))
            .get(&key::number(b'P', id))?
            .ok_or_else(|| RelayError::Unknown(format!("there is no proof {id} (any more)")))
    }

    /// For whom a host delivers.
    pub fn output(&self, addr: IpAddr) -> Result<OutputRecord, RelayError> {
        Ok(self
            .sheet(Time(0))
            .get(&key::host(b'X', addr))?
            .unwrap_or_default())
    }

    /// What is known of a host.
    pub fn host(&self, addr: IpAddr) -> Result<HostRecord, RelayError> {
        Ok(self
            .sheet(Time(0))
            .get(&key::host(b'H', addr))?
            .unwrap_or_default())
    }
}
