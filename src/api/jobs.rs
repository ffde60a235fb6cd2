//! Relay tests: nominations, jobs and their results, and the catalogue of tests.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use crate::relay::{MessageResult, PreparedMessage, control::ControlSession};

/// What kind of evidence leads to a test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NominationKind {
    /// A message that the host delivered.
    Message,
    /// A line of a log.
    #[default]
    Log,
    /// The owner asked for the test, and an editor vouches for it.
    Owner,
}

impl NominationKind {
    /// The kind as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            NominationKind::Message => "message",
            NominationKind::Log => "log",
            NominationKind::Owner => "owner",
        }
    }
}

/// A host to test.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"target": "192.0.2.1", "evidence": "relay=192.0.2.1 delivered mail of a stranger", "kind": "log"}))]
pub struct NominationRequest {
    /// One IP address.
    pub target: String,
    /// What was seen: the number of a message, a line of a log, or the words of the owner.
    pub evidence: String,
    /// What kind of evidence it is.
    pub kind: NominationKind,
    /// When it was seen: an RFC 3339 time at most 14 days ago (default: now).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The port (default 25). Another port requires the role editor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Names that the host may have, such as that of its greeting; only those that resolve to it
    /// are used. Requires the role editor.
    #[serde(default)]
    pub names: Vec<String>,
    /// Run only these tests. Requires the role editor, except for messages that the reporter sends.
    #[serde(default)]
    pub tests: Vec<String>,
}

/// What became of a test message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// It was delivered: the host relays.
    Delivered,
    /// It came back to the sender.
    Bounced,
    /// The host accepted it, which proves nothing.
    Accepted,
    /// The host refused it permanently (5xx).
    Refused,
    /// The host refused it temporarily (4xx).
    Deferred,
    /// The test has no result.
    Inconclusive,
    /// The test was not run.
    Skipped,
}

impl OutcomeKind {
    /// The kind as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            OutcomeKind::Delivered => "delivered",
            OutcomeKind::Bounced => "bounced",
            OutcomeKind::Accepted => "accepted",
            OutcomeKind::Refused => "refused",
            OutcomeKind::Deferred => "deferred",
            OutcomeKind::Inconclusive => "inconclusive",
            OutcomeKind::Skipped => "skipped",
        }
    }
}

/// The details of an outcome, as far as they apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OutcomeDetail {
    /// The host that delivered the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// When the message arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The step of the SMTP session: connect, hello, mail, rcpt, data or body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The reply code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// For operators: the text of the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why there is no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The step at which each attempt was deferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deferred_at: Option<String>,
    /// Whether the reply spoke of a blocklist.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocklist: bool,
}

/// The result of one message of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestResultResponse {
    /// The name of the test.
    pub test: String,
    /// The class of open relay that it looks for.
    pub class: String,
    /// What became of the message.
    pub outcome: OutcomeKind,
    /// For operators: what followed `MAIL FROM:`. It contains a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// For operators: what followed `RCPT TO:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The details of the outcome.
    pub detail: OutcomeDetail,
}

/// A session of a test that asked for the server's postmaster before its first message and after
/// its last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlResponse {
    /// The address of the tester.
    pub source: Option<String>,
    /// Whether the server offered AUTH.
    pub offers_auth: bool,
    /// The reply codes for postmaster before the first message; empty if it was not reached.
    pub before: Vec<u16>,
    /// The reply codes after the last message.
    pub after: Vec<u16>,
    /// For operators: the replies, and why one was not reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
}

/// Why a host is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobTrigger {
    /// A reporter brought evidence.
    Nomination,
    /// The owner asked for it.
    Owner,
    /// A claim says that the host no longer relays.
    Claim,
    /// A message arrived that was sent before the host was released.
    Review,
    /// A released host is tested once more.
    Recheck,
}

impl JobTrigger {
    /// The trigger as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            JobTrigger::Nomination => "nomination",
            JobTrigger::Owner => "owner",
            JobTrigger::Claim => "claim",
            JobTrigger::Review => "review",
            JobTrigger::Recheck => "recheck",
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobStateKind {
    /// It waits for a person or for a switch.
    Held,
    /// It waits for a time.
    Deferred,
    /// It runs as soon as a slot is free.
    Queued,
    /// It runs.
    Running,
    /// It has ended.
    Done,
}

impl JobStateKind {
    /// The state as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStateKind::Held => "held",
            JobStateKind::Deferred => "deferred",
            JobStateKind::Queued => "queued",
            JobStateKind::Running => "running",
            JobStateKind::Done => "done",
        }
    }
}

/// What all results of a job say about its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssessmentKind {
    /// A message was delivered: the host relays.
    Open,
    /// A message was accepted, and none was delivered so far.
    Accepted,
    /// Every test was refused permanently.
    Closed,
    /// Every test was refused, and no control shows that the host does not refuse the tester alone.
    Refused,
    /// The tester was refused before it could name a recipient.
    Blocked,
    /// Some tests have no result.
    Inconclusive,
    /// No test could be run.
    Untestable,
}

impl AssessmentKind {
    /// The assessment as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            AssessmentKind::Open => "open",
            AssessmentKind::Accepted => "accepted",
            AssessmentKind::Closed => "closed",
            AssessmentKind::Refused => "refused",
            AssessmentKind::Blocked => "blocked",
            AssessmentKind::Inconclusive => "inconclusive",
            AssessmentKind::Untestable => "untestable",
        }
    }
}

/// A relay test of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobResponse {
    /// The number of the job.
    pub id: u64,
    /// The address of the host.
    pub target: String,
    /// Why it is tested.
    pub trigger: JobTrigger,
    /// Who asked for the test; empty for everybody else.
    pub author: String,
    /// When the test was asked for.
    pub at: Timestamp,
    /// How far the job is.
    pub state: JobStateKind,
    /// What it waits for, in words.
    pub waiting_for: Option<String>,
    /// The job does not run before this time.
    pub not_before: Timestamp,
    /// When it began.
    pub begun: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What the results say about the host; null until the job has ended.
    pub assessment: Option<AssessmentKind>,
    /// The row of the table in docs/relay.md that a claim's test matched.
    pub row: Option<String>,
    /// The address of the tester, if one was chosen for this test.
    pub source: Option<String>,
    /// The results, one for each message.
    pub results: Vec<TestResultResponse>,
    /// The sessions that carried controls.
    pub controls: Vec<ControlResponse>,
}

/// Query parameters of `GET /v1/jobs`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Only jobs that have not ended.
    pub open: bool,
    /// The `next` of the page before.
    pub after: Option<String>,
    /// The largest number of jobs on the page (default 100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// A relay test of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayTestResponse {
    /// Its number in the literature; may be empty.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What part of a message's way it is about: sender, recipient, session, port or ipv6.
    pub group: String,
    /// The class of open relay that it looks for.
    pub class: String,
    /// The year since which it is known.
    pub since: u16,
    /// Whether spammers have used it.
    pub seen_in_abuse: bool,
    /// Where it is run: live, opt-in, lab or danger.
    pub run: String,
    /// Whether this server runs it.
    pub chosen: bool,
    /// What it does, in a sentence.
    pub description: String,
    /// What follows `MAIL FROM:`, with names in braces.
    pub from: Option<String>,
    /// What follows `RCPT TO:`; each item is a message of its own.
    pub to: Vec<String>,
    /// A recipient before it in the same message.
    pub first: Option<String>,
    /// A recipient after it in the same message.
    pub last: Option<String>,
    /// The greeting instead of EHLO and our name; empty for none.
    pub helo: Option<String>,
    /// The port: smtp, submission or submissions.
    pub port: String,
}

/// Messages that a reporter sends.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PreparedProbesResponse {
    /// The number of the job.
    pub job: u64,
    /// What to send: place, test, envelope and message.
    #[schema(value_type = Vec<Object>)]
    pub messages: Vec<PreparedMessage>,
}

/// What a reporter saw when they sent the messages of a job.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeResultsRequest {
    /// What became of each message, as the server replied.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub results: Vec<MessageResult>,
    /// The sessions that carried controls, as the server answered them.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub controls: Vec<ControlSession>,
    /// The SMTP sessions as text.
    #[serde(default)]
    pub transcript: String,
}
