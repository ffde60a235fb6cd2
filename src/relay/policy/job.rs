//! A job: the test of one host, why it is made and how far it is.

use std::net::IpAddr;

use ring::digest;
use serde::{Deserialize, Serialize};

use super::{
    budget::BudgetKind,
    state::{JobEvent, JobState},
};
use crate::{
    model::Time,
    relay::{
        control::{self, ControlSession, DecisionRow},
        outcome::{Assessment, TestResult, assess},
    },
};

/// Why a host is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A reporter brought evidence.
    Nomination,
    /// The proved owner of the host asked for it.
    Owner,
    /// A claim that the host is closed.
    Claim {
        /// The claimant has proved to speak for the host.
        proved: bool,
    },
    /// A message was delivered that was sent before the host was released.
    Review,
    /// A released host gets the same forms once more.
    Recheck,
}

impl Trigger {
    /// Whether the host's owner asked for the test: it is made at once and quickly.
    pub fn is_by_owner(self) -> bool {
        matches!(self, Trigger::Owner | Trigger::Claim { proved: true })
    }

    /// The budget of its tests.
    pub fn budget_kind(self) -> BudgetKind {
        match self {
            // It belongs to a claim, and has a time of its own.
            Trigger::Claim { proved: true } | Trigger::Recheck => BudgetKind::Claims,
            Trigger::Claim { proved: false } => BudgetKind::Unproved,
            Trigger::Nomination | Trigger::Owner | Trigger::Review => BudgetKind::Tests,
        }
    }
}

/// Where the evidence that led to a test comes from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum EvidenceOrigin {
    /// A message that was received.
    Message,
    /// A line of a log.
    Log,
    /// The owner of the host.
    Owner,
    /// A claim that the host is closed.
    Claim,
    /// A message that was sent before the host was released and came after it.
    Review,
    /// The release of the host.
    Recheck,
}

impl EvidenceOrigin {
    /// The name in the API and on disk.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What led to a test (safety rule S2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSummary {
    /// Where it comes from.
    #[serde(rename = "kind")]
    pub origin: EvidenceOrigin,
    /// The message's id, the line, the words.
    pub text: String,
    /// When it was seen.
    pub at: Time,
}

impl EvidenceSummary {
    /// A number that the same evidence always has: the first eight bytes of SHA-256 over its origin
    /// and its text. It is stored, so it never changes. Stores of earlier versions hold numbers of
    /// another function, which no evidence has any more: the same evidence can then lead to one more
    /// test, a day after the last one.
    pub fn fingerprint(&self) -> u64 {
        let mut all = digest::Context::new(&digest::SHA256);
        all.update(self.origin.as_str().as_bytes());
        all.update(&[0]);
        all.update(self.text.as_bytes());
        let digest = all.finish();
        digest
            .as_ref()
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// A test of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// The host.
    pub target: IpAddr,
    /// Instead of 25.
    pub port: Option<u16>,
    /// Why.
    pub cause: Trigger,
    /// Who asked.
    pub by: String,
    /// What led to it.
    pub grounds: EvidenceSummary,
    /// When it was asked for.
    pub at: Time,
    /// Its state.
    pub state: JobState,
    /// What it waits for, for people.
    pub waiting_for: Option<String>,
    /// Not before this.
    pub not_before: Time,
    /// A person has approved it, so the reporter's reputation does not hold it.
    #[serde(rename = "agreed")]
    pub approved: bool,
    /// The reporter sends the messages, with our tokens.
    pub remote: bool,
    /// Names that the host may have, from the evidence; only those that point at it are used.
    #[serde(default)]
    pub names: Vec<String>,
    /// Only these tests; all where it is empty.
    pub only: Vec<String>,
    /// How often it was run.
    pub tries: u8,
    /// How often the tester was stopped while it ran; those are not tries.
    #[serde(rename = "cuts", default)]
    pub interruptions: u8,
    /// When it began last.
    pub begun: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// The outcome of each message.
    pub results: Vec<TestResult>,
    /// The address of ours that tests; the first of the family where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// It asks from a second source address what the claim's own test has seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second: bool,
    /// The sessions that carried forms which had come through, with their controls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlSession>,
    /// The row of the table that a claim's test led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<DecisionRow>,
}

impl Job {
    /// A job that was asked for `now`, and that nothing is in the way of yet.
    pub fn new(
        id: u64,
        target: IpAddr,
        cause: Trigger,
        by: &str,
        grounds: EvidenceSummary,
        now: Time,
    ) -> Job {
        Job {
            id,
            target,
            port: None,
            cause,
            by: by.into(),
            grounds,
            at: now,
            state: JobState::Queued,
            waiting_for: None,
            not_before: now,
            approved: true,
            remote: false,
            names: Vec::new(),
            only: Vec::new(),
            tries: 0,
            interruptions: 0,
            begun: None,
            ended: None,
            results: Vec::new(),
            source: None,
            second: false,
            controls: Vec::new(),
            row: None,
        }
    }

    /// The assessment of its results and controls. A nominated host that never relayed has no
    /// control; it counts as closed without one.
    pub fn assessment(&self) -> Assessment {
        let assessment = assess(self.results.iter().map(|r| (r.class.as_str(), &r.outcome)));
        let is_supported = match self.controls.is_empty() {
            true => !self.is_claim() && self.cause != Trigger::Recheck,
            false => control::is_supported(&self.results, &self.controls),
        };
        if assessment == Assessment::Closed && !is_supported {
            Assessment::Refused
        } else {
            assessment
        }
    }
    /// Whether a claim led to it.
    pub fn is_claim(&self) -> bool {
        matches!(self.cause, Trigger::Claim { .. })
    }

    /// The address of ours that it was made from, as far as that is known.
    pub fn source_used(&self) -> Option<IpAddr> {
        self.controls
            .iter()
            .rev()
            .find_map(|s| s.source)
            .or(self.source)
    }

    /// Adds the sessions that a tester reports. A message that was sent again belongs to its last
    /// session.
    pub fn add_controls(&mut self, sessions: Vec<ControlSession>) {
        for new in sessions {
            for old in &mut self.controls {
                old.places.retain(|p| !new.places.contains(p));
            }
            self.controls.push(new);
        }
        self.controls.retain(|s| !s.places.is_empty());
    }

    /// Applies an event to the state.
    ///
    /// # Errors
    ///
    /// The event cannot happen in this state; the state stays.
    pub fn apply(&mut self, event: JobEvent) -> Result<(), InvalidTransition> {
        let from = self.state;
        self.state = from.after(event).ok_or(InvalidTransition {
            job: self.id,
            from,
            event,
        })?;
        Ok(())
    }

    /// The budget that it counts in.
    pub fn budget_kind(&self) -> BudgetKind {
        if self.remote {
            BudgetKind::Remote
        } else {
            self.cause.budget_kind()
        }
    }
    /// Whether it still waits or runs.
    pub fn is_open(&self) -> bool {
        self.state != JobState::Done
    }
}

/// An event that cannot happen to a job in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("job {job} is {}; the event `{}` cannot happen to it", .from.as_str(), .event.as_str())]
pub struct InvalidTransition {
    /// The job.
    pub job: u64,
    /// Its state.
    pub from: JobState,
    /// The event.
    pub event: JobEvent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_of_evidence_never_changes() {
        let evidence = |origin, text: &str| EvidenceSummary {
            origin,
            text: text.into(),
            at: Time(0),
        };
        assert_eq!(
            evidence(EvidenceOrigin::Log, "seen 1").fingerprint(),
            0xd971e9543ec86693
        );
        assert_ne!(
            evidence(EvidenceOrigin::Log, "a").fingerprint(),
            evidence(EvidenceOrigin::Message, "a").fingerprint()
        );
    }

    #[test]
    fn invalid_event_leaves_the_state_and_names_it() {
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Log,
            text: "x".into(),
            at: Time(0),
        };
        let mut job = Job::new(
            7,
            [192, 0, 2, 1].into(),
            Trigger::Nomination,
            "anna",
            evidence,
            Time(1),
        );
        job.apply(JobEvent::Hold).unwrap();
        let error = job.apply(JobEvent::Start).unwrap_err();
        assert_eq!(job.state, JobState::Held);
        assert_eq!(
            error.to_string(),
            "job 7 is held; the event `start` cannot happen to it"
        );
    }
}
