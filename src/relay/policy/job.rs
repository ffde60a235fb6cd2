//! A job: the test of one host, with its reason, state and results.

use std::net::IpAddr;

use ring::digest;
use serde::{Deserialize, Serialize};

use super::{
    budget::BudgetKind,
    state::{JobEvent, JobState},
};
use crate::{
    model::{Time, time::Seconds},
    relay::{
        advice::RepairAdvice,
        control::{self, ClaimOutcome, ControlSession, DecisionRow, SecondSource},
        outcome::{Assessment, TestResult, assess},
    },
    smtp::MessageOutcome,
};

/// The reason why a host is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A nomination with evidence.
    Nomination,
    /// A request of the verified owner of the host.
    Owner,
    /// A claim that the host is closed.
    Claim {
        /// Whether the claimant has proved to speak for the host.
        proved: bool,
    },
    /// The delivery of a message that was sent before the host was released.
    Review,
    /// The recheck of a released host with the same forms.
    Recheck,
    /// The holder of the host wants to see what it delivers. The test lists no host.
    SelfTest,
}

impl Trigger {
    /// Whether the owner of the host requested the test, so that it runs in the order and at the pace
    /// of owners: short pauses and no minimum duration (safety rule S4).
    pub fn is_by_owner(self) -> bool {
        matches!(
            self,
            Trigger::Owner | Trigger::Claim { .. } | Trigger::SelfTest
        )
    }

    /// Returns the budget that the test is counted in.
    pub fn budget_kind(self) -> BudgetKind {
        match self {
            // A recheck follows from a claim and is counted with claims.
            Trigger::Claim { proved: true } | Trigger::Recheck | Trigger::SelfTest => {
                BudgetKind::Claims
            }
            Trigger::Claim { proved: false } => BudgetKind::Unproved,
            Trigger::Nomination | Trigger::Owner | Trigger::Review => BudgetKind::Tests,
        }
    }
}

/// The origin of the evidence that led to a test.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum EvidenceOrigin {
    /// A received message.
    Message,
    /// A line of a log.
    Log,
    /// The owner of the host.
    Owner,
    /// A claim that the host is closed.
    Claim,
    /// A message that was sent before the host was released and delivered after it.
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

/// The evidence that led to a test (safety rule S2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSummary {
    /// The origin of the evidence.
    #[serde(rename = "kind")]
    pub origin: EvidenceOrigin,
    /// The identifier of the message, the line of the log, or the words of the owner.
    pub text: String,
    /// The time of the evidence.
    pub at: Time,
}

impl EvidenceSummary {
    /// Returns a number that identifies the evidence: the first eight bytes of SHA-256 over its
    /// origin and its text. The number is stored, so the function must not change. Stores of
    /// earlier versions have the numbers of another function, which match no evidence: there the
    /// same evidence can lead to one more test, a day after the last one.
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

/// A job: the test of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The number of the job.
    pub id: u64,
    /// The tested host.
    pub target: IpAddr,
    /// The port, if it is not 25.
    pub port: Option<u16>,
    /// The reason for the test.
    #[serde(rename = "cause")]
    pub trigger: Trigger,
    /// The user or program that requested the test.
    pub by: String,
    /// The evidence that led to the test.
    #[serde(rename = "grounds")]
    pub evidence: EvidenceSummary,
    /// The time of the request.
    pub at: Time,
    /// The state.
    pub state: JobState,
    /// What the job waits for, or why it was cancelled, as text for people.
    pub waiting_for: Option<String>,
    /// The earliest time at which the job may run.
    pub not_before: Time,
    /// Whether a person has approved the job, so that the reputation of the reporter does not hold
    /// it.
    #[serde(rename = "agreed")]
    pub approved: bool,
    /// Whether the reporter sends the messages, with our tokens.
    pub remote: bool,
    /// Possible names of the host, from the evidence. They are verified before they are used.
    #[serde(default)]
    pub names: Vec<String>,
    /// The tests to run; all if empty.
    pub only: Vec<String>,
    /// How often the job was run.
    pub tries: u8,
    /// How often the tester was stopped while the job ran. Such runs do not count as tries.
    #[serde(rename = "cuts", default)]
    pub interruptions: u8,
    /// When the last run began.
    pub begun: Option<Time>,
    /// When the job ended.
    pub ended: Option<Time>,
    /// The result of each message.
    pub results: Vec<TestResult>,
    /// Our address that tests; if left out, the first one of the family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Whether the job repeats the forms of a claim's test from a second source address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second: bool,
    /// The sessions with controls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlSession>,
    /// The decision row of a claim's test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<DecisionRow>,
    /// The tests whose forms had been delivered before a claim. They are tried first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proved_forms: Vec<String>,
    /// Which setting of the host to change, so that a test decides at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<RepairAdvice>,
    /// How often a claim has brought the next try of deferred messages forward. Such tries do not
    /// count as one of the three.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub early_tries: u8,
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// The shortest pause between two tries of deferred messages.
pub const EARLY_TRY_PAUSE: Seconds = Seconds(120);
/// How often claims can bring the next try of one job forward.
pub const MAX_EARLY_TRIES: u8 = 3;
/// The shortest time between two tests of a claim in its waiting period.
pub const RETEST_PAUSE: Seconds = Seconds(15 * 60);

impl Job {
    /// Creates a queued job that was requested `now`.
    pub fn new(
        id: u64,
        target: IpAddr,
        trigger: Trigger,
        by: &str,
        evidence: EvidenceSummary,
        now: Time,
    ) -> Job {
        Job {
            id,
            target,
            port: None,
            trigger,
            by: by.into(),
            evidence,
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
            proved_forms: Vec::new(),
            advice: None,
            early_tries: 0,
        }
    }

    /// Returns the assessment of the results and controls. A nominated host that never relayed has
    /// no controls, and counts as closed without them.
    pub fn assessment(&self) -> Assessment {
        let assessment = assess(self.results.iter().map(|r| (r.class.as_str(), &r.outcome)));
        let is_supported = match self.controls.is_empty() {
            true => !self.is_claim() && self.trigger != Trigger::Recheck,
            false => control::is_supported(&self.results, &self.controls),
        };
        if assessment == Assessment::Closed && !is_supported {
            Assessment::Refused
        } else {
            assessment
        }
    }
    /// Whether the job tests a claim.
    pub fn is_claim(&self) -> bool {
        matches!(self.trigger, Trigger::Claim { .. })
    }

    /// Whether the job tests a claim of a verified owner.
    pub fn is_proved_claim(&self) -> bool {
        self.trigger == Trigger::Claim { proved: true }
    }

    /// Returns the consequence of the decision row, as far as the row alone determines it.
    pub fn row_outcome(&self) -> Option<ClaimOutcome> {
        let outcome =
            |row: DecisionRow| row.outcome(self.is_proved_claim(), SecondSource::Unavailable);
        self.row.map(outcome)
    }

    /// Whether the test has decided the claim: the host was released, or the claim has failed or is
    /// blocked.
    pub fn has_decided(&self) -> bool {
        let waits = self
            .row_outcome()
            .is_none_or(|o| o == ClaimOutcome::Waiting);
        !waits || self.results.iter().any(|r| r.outcome.is_delivered())
    }

    /// Returns when a claim can bring the next try of deferred messages forward to; `None` if the
    /// job does not wait for such a try, or if claims have brought it forward too often.
    pub fn early_try_time(&self) -> Option<Time> {
        let begun = self.begun.filter(|_| self.state == JobState::Deferred)?;
        let is_deferred = |r: &TestResult| matches!(r.outcome, MessageOutcome::TempFail { .. });
        let waits = self.early_tries < MAX_EARLY_TRIES && self.results.iter().any(is_deferred);
        waits.then(|| begun.plus(EARLY_TRY_PAUSE).min(self.not_before))
    }

    /// Returns when a claim in its waiting period can be tested again.
    pub fn retest_time(&self) -> Time {
        self.ended.unwrap_or(self.at).plus(RETEST_PAUSE)
    }

    /// Returns our address that the test came from, if it is known.
    pub fn source_used(&self) -> Option<IpAddr> {
        self.controls
            .iter()
            .rev()
            .find_map(|s| s.source)
            .or(self.source)
    }

    /// Adds the sessions that a tester reports. A message that was sent again belongs to its last
    /// session only.
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
    /// The event cannot happen in this state. The state is not changed.
    pub fn apply(&mut self, event: JobEvent) -> Result<(), InvalidTransition> {
        let from = self.state;
        self.state = from.after(event).ok_or(InvalidTransition {
            job: self.id,
            from,
            event,
        })?;
        Ok(())
    }

    /// Returns the budget that the job is counted in.
    pub fn budget_kind(&self) -> BudgetKind {
        if self.remote {
            BudgetKind::Remote
        } else {
            self.trigger.budget_kind()
        }
    }
    /// Whether the job waits or runs.
    pub fn is_open(&self) -> bool {
        self.state != JobState::Done
    }
}

/// The error of an event that cannot happen to a job in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("job {job} is {}; the event `{}` cannot happen to it", .from.as_str(), .event.as_str())]
pub struct InvalidTransition {
    /// The job.
    pub job: u64,
    /// The state.
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
