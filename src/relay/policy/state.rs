//! The states of jobs and claims, and their transitions.
//!
//! `docs/relay.md` documents both tables; tests compare them with these functions.

use serde::{Deserialize, Serialize};

use crate::relay::control::ClaimOutcome;

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema), schema(as = JobStateKind))]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum JobState {
    /// The job waits until a person decides or the configuration changes.
    Held,
    /// The job waits until a time.
    Deferred,
    /// The job waits for a free test slot.
    Queued,
    /// The job is running.
    Running,
    /// The job has ended.
    Done,
}

/// The events of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[strum(serialize_all = "lowercase")]
pub enum JobEvent {
    /// A rule requires a person or another configuration.
    Hold,
    /// A rule requires the job to wait until a time.
    Defer,
    /// No rule delays the job.
    Enqueue,
    /// The test begins.
    Start,
    /// Some messages are sent later, because the host deferred them or the tester stopped.
    Retry,
    /// The test has ended.
    Finish,
    /// The job ends without a result.
    Cancel,
}

impl JobState {
    /// The name of the state in the API and in the documentation.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the job waits for a person, a time or a free test slot.
    pub fn is_waiting(self) -> bool {
        matches!(self, JobState::Held | JobState::Deferred | JobState::Queued)
    }

    /// Returns the state after an event; `None` if the event cannot happen in this state.
    pub fn after(self, event: JobEvent) -> Option<JobState> {
        use JobEvent as E;
        use JobState as S;
        match (self, event) {
            (S::Held | S::Deferred | S::Queued, E::Hold) => Some(S::Held),
            (S::Held | S::Deferred | S::Queued, E::Defer) => Some(S::Deferred),
            (S::Held | S::Deferred | S::Queued, E::Enqueue) => Some(S::Queued),
            (S::Queued, E::Start) => Some(S::Running),
            (S::Running, E::Retry) => Some(S::Deferred),
            (S::Running, E::Finish) => Some(S::Done),
            (S::Held | S::Deferred | S::Queued | S::Running, E::Cancel) => Some(S::Done),
            _ => None,
        }
    }
}

impl JobEvent {
    /// The name of the event in the documentation.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The state of a claim. Only claims in the first three states are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::IntoStaticStr, strum::VariantArray))]
#[cfg_attr(test, strum(serialize_all = "kebab-case"))]
pub enum ClaimState {
    /// The test has not ended.
    Testing,
    /// The waiting period has begun: the host is released at its end unless a message is delivered.
    Waiting,
    /// The waiting period has begun, and a second source address tests.
    WaitingForSecondSource,
    /// The host was released.
    Released,
    /// The claim was wrong: the host relays.
    Failed,
    /// The host refused the tester, which shows nothing about relaying.
    Blocked,
    /// The claim ended without a decision.
    Withdrawn,
}

/// The events of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimEvent {
    /// The test, or that from the second source address, has ended.
    Tested(ClaimOutcome),
    /// A message that was sent after the claim was delivered.
    Delivered,
    /// The waiting period is over.
    WaitingPeriodOver,
    /// The claim was not tested in time, for reasons on our side.
    NotTested,
    /// The job or the listing has ended, or the owner has opted out.
    Withdraw,
}

impl ClaimState {
    /// Whether the claim is not decided yet.
    pub fn is_open(self) -> bool {
        matches!(
            self,
            ClaimState::Testing | ClaimState::Waiting | ClaimState::WaitingForSecondSource
        )
    }

    /// Returns the state after an event; `None` if the event cannot happen in this state.
    pub fn after(self, event: ClaimEvent) -> Option<ClaimState> {
        use ClaimEvent as E;
        use ClaimOutcome as O;
        use ClaimState as S;
        if !self.is_open() {
            return None;
        }
        match (self, event) {
            (_, E::Tested(O::Released)) => Some(S::Released),
            (_, E::Tested(O::Failed) | E::Delivered) => Some(S::Failed),
            (_, E::Withdraw) => Some(S::Withdrawn),
            (S::Testing, E::Tested(O::Blocked)) => Some(S::Blocked),
            // A blocked test during the waiting period adds nothing, so the period goes on.
            (open, E::Tested(O::Blocked)) => Some(open),
            (S::WaitingForSecondSource, E::Tested(O::Waiting)) => Some(S::WaitingForSecondSource),
            (_, E::Tested(O::Waiting)) => Some(S::Waiting),
            (_, E::Tested(O::WaitingForSecondSource)) => Some(S::WaitingForSecondSource),
            (S::Testing, E::NotTested) => Some(S::Released),
            (S::Waiting | S::WaitingForSecondSource, E::WaitingPeriodOver) => Some(S::Released),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    /// The events of claims, and their names in the documentation.
    const CLAIM_EVENTS: [(ClaimEvent, &str); 9] = [
        (ClaimEvent::Tested(ClaimOutcome::Released), "test: release"),
        (ClaimEvent::Tested(ClaimOutcome::Waiting), "test: wait"),
        (
            ClaimEvent::Tested(ClaimOutcome::WaitingForSecondSource),
            "test: second source",
        ),
        (ClaimEvent::Tested(ClaimOutcome::Blocked), "test: blocked"),
        (ClaimEvent::Tested(ClaimOutcome::Failed), "test: failed"),
        (ClaimEvent::Delivered, "delivered"),
        (ClaimEvent::WaitingPeriodOver, "waiting period over"),
        (ClaimEvent::NotTested, "not tested"),
        (ClaimEvent::Withdraw, "withdraw"),
    ];

    const DOCUMENT: &str = include_str!("../../../docs/relay.md");

    /// Returns the header and the rows of the table in the documentation whose first columns are
    /// `state` and `column`.
    fn table(column: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let cells = |line: &str| -> Vec<String> {
            line.trim_matches('|')
                .split('|')
                .map(|c| c.trim().trim_matches('`').to_string())
                .collect()
        };
        let begin = format!("| state | {column} |");
        let mut lines = DOCUMENT.lines().skip_while(|l| !l.starts_with(&begin));
        let head = cells(lines.next().expect("docs/relay.md has the table"));
        let rows = lines.skip(1).take_while(|l| l.starts_with('|')).map(cells);
        (head, rows.collect())
    }

    #[test]
    fn documented_table_of_jobs_equals_the_transition_function() {
        let (head, rows) = table("hold");
        let names: Vec<_> = JobEvent::VARIANTS.iter().map(|e| e.as_str()).collect();
        assert_eq!(head[1..], names);
        assert_eq!(rows.len(), JobState::VARIANTS.len());
        for (state, row) in JobState::VARIANTS.iter().zip(rows) {
            assert_eq!(row[0], state.as_str());
            let after = |e: &JobEvent| state.after(*e).map_or("–", JobState::as_str);
            let expected: Vec<_> = JobEvent::VARIANTS.iter().map(after).collect();
            assert_eq!(row[1..], expected, "{state:?}");
        }
    }

    #[test]
    fn documented_table_of_claims_equals_the_transition_function() {
        let (head, rows) = table("test: release");
        assert_eq!(head[1..], CLAIM_EVENTS.map(|(_, name)| name));
        let open = ClaimState::VARIANTS.iter().filter(|s| s.is_open());
        assert_eq!(rows.len(), open.clone().count());
        for (state, row) in open.zip(rows) {
            assert_eq!(row[0], <&str>::from(state));
            let expected = CLAIM_EVENTS.map(|(e, _)| state.after(e).map_or("–", Into::into));
            assert_eq!(row[1..], expected, "{state:?}");
        }
    }

    #[test]
    fn ended_job_or_claim_accepts_no_event() {
        let mut events = JobEvent::VARIANTS.iter();
        assert!(events.all(|e| JobState::Done.after(*e).is_none()));
        for state in ClaimState::VARIANTS.iter().filter(|s| !s.is_open()) {
            assert!(CLAIM_EVENTS.iter().all(|(e, _)| state.after(*e).is_none()));
        }
    }

    #[test]
    fn delivery_never_releases_a_host() {
        for state in ClaimState::VARIANTS {
            assert_ne!(
                state.after(ClaimEvent::Delivered),
                Some(ClaimState::Released)
            );
        }
    }
}
