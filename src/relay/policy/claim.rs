//! A claim that a host is closed.

use serde::{Deserialize, Serialize};

use super::{
    periods::{UNTESTED, WAITING},
    state::ClaimState,
};
use crate::model::Time;

/// A claim that a host is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When it was made.
    pub at: Time,
    /// By whom.
    pub by: String,
    /// The claimant has proved to speak for the host.
    pub proved: bool,
    /// Its test.
    pub job: u64,
    /// When the pace of claims lets it be tested.
    pub due: Time,
    /// A message was accepted and none delivered: when the host is released, if none is delivered
    /// until then.
    pub release: Option<Time>,
    /// What was sent since then speaks against it; since it was made, where it is left out.
    #[serde(default)]
    pub since: Option<Time>,
    /// The job that asks a second source address, while the waiting period runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_job: Option<u64>,
}

impl Claim {
    /// Begins the waiting period, unless it runs already.
    pub fn begin_waiting(&mut self, now: Time) {
        self.release.get_or_insert(now.plus(WAITING));
    }

    /// Its state.
    pub fn state(&self) -> ClaimState {
        match (self.release, self.second_job) {
            (None, _) => ClaimState::Testing,
            (Some(_), None) => ClaimState::Waiting,
            (Some(_), Some(_)) => ClaimState::WaitingForSecondSource,
        }
    }

    /// Whether a job is its test, or asks a second source address for it.
    pub fn is_tested_by(&self, job: u64) -> bool {
        self.job == job || self.second_job == Some(job)
    }

    /// Whether the delivery of a message that was sent then refutes it.
    pub fn is_refuted(&self, sent: Time) -> bool {
        sent >= self.since.unwrap_or(self.at)
    }

    /// When it is granted without a test. A test that has begun may end first, within a limit.
    pub fn granted(&self, begun: Option<Time>) -> Time {
        let usual = self.due.plus(UNTESTED);
        begun.map_or(usual, |b| {
            b.plus(UNTESTED).clamp(usual, usual.plus(UNTESTED))
        })
    }
}
