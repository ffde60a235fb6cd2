//! Relay tests: nominations, jobs and their results, and the catalogue of tests.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use crate::relay::{
    MessageResult, PreparedMessage, advice::RepairAdvice, control::ControlSession,
    outcome::Assessment, policy::JobState,
};

/// The kind of evidence that leads to a test.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
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
        self.into()
    }
}

/// A host to test.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"target": "192.0.2.1", "evidence": "relay=192.0.2.1 relayed mail from an unrelated sender", "kind": "log"}))]
pub struct NominationRequest {
    /// One IP address.
    pub target: String,
    /// The evidence: the ID of a message, a line of a log, or the request of the owner.
    pub evidence: String,
    /// The kind of evidence.
    pub kind: NominationKind,
    /// When the evidence was observed: an RFC 3339 time at most 14 days ago (default: now).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The port (default 25). Another port requires the role editor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Possible names of the host, such as the one in its greeting; only names that resolve to its
    /// address are used. Requires the role editor.
    #[serde(default)]
    pub names: Vec<String>,
    /// Run only these tests. Requires the role editor, except for messages that the reporter sends.
    #[serde(default)]
    pub tests: Vec<String>,
}

/// The outcome of a test message.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OutcomeKind {
    /// The message was delivered: the host relays.
    Delivered,
    /// The message came back to its sender.
    Bounced,
    /// The host accepted the message, which alone does not prove that it relays.
    Accepted,
    /// The host refused the message permanently (5xx).
    Refused,
    /// The host refused the message temporarily (4xx).
    Deferred,
    /// The test has no result.
    Inconclusive,
    /// The test was not run.
    Skipped,
}

impl OutcomeKind {
    /// The kind as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
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
    /// Whether the reply mentioned a blocklist.
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
    /// The outcome of the message.
    pub outcome: OutcomeKind,
    /// For operators: the argument of `MAIL FROM:`, which contains a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// For operators: the argument of `RCPT TO:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The details of the outcome.
    pub detail: OutcomeDetail,
}

/// A control: a test session that also tried the host's own postmaster as a recipient, before its
/// first message and after its last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlResponse {
    /// The address of the tester.
    pub source: Option<String>,
    /// Whether the server offered AUTH.
    pub offers_auth: bool,
    /// The reply codes for the postmaster before the first message; empty if the session did not
    /// get that far.
    pub before: Vec<u16>,
    /// The reply codes for the postmaster after the last message.
    pub after: Vec<u16>,
    /// For operators: the texts of the replies, and why a control has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
}

/// Why a host is tested.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum JobTrigger {
    /// A reporter submitted evidence.
    Nomination,
    /// The owner requested the test.
    Owner,
    /// A claim says that the host no longer relays.
    Claim,
    /// A message arrived that was sent before the host was released.
    Review,
    /// A released host is tested once more.
    Recheck,
    /// The holder of the host wants to see what it delivers. The test lists no host.
    SelfTest,
}

impl JobTrigger {
    /// The trigger as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A relay test of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobResponse {
    /// The number of the job.
    pub id: u64,
    /// The address of the host.
    pub target: String,
    /// Why the host is tested.
    pub trigger: JobTrigger,
    /// Who requested the test; empty in public responses.
    pub author: String,
    /// When the test was requested.
    pub at: Timestamp,
    /// The state of the job.
    pub state: JobState,
    /// What the job waits for, in words.
    pub waiting_for: Option<String>,
    /// The job does not run before this time.
    pub not_before: Timestamp,
    /// When the test began.
    pub begun: Option<Timestamp>,
    /// When the job ended.
    pub ended: Option<Timestamp>,
    /// What the results say about the host; null until the job has ended.
    pub assessment: Option<Assessment>,
    /// For a claim: the row of the decision table in docs/relay.md that its test matched.
    pub row: Option<String>,
    /// For a claim: what a host that defers (4xx) the test messages has to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<RepairAdvice>,
    /// The source address of the test, if one was chosen for it.
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
    /// The `next` of the previous page.
    pub after: Option<String>,
    /// The largest number of jobs on the page (default 100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// A relay test of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayTestResponse {
    /// The number of the test in the literature; can be empty.
    pub id: String,
    /// The name of the test.
    pub name: String,
    /// The part of the SMTP session that the test varies: sender, recipient, session, port or ipv6.
    pub group: String,
    /// The class of open relay that it looks for.
    pub class: String,
    /// The year since which the test is known.
    pub since: u16,
    /// Whether spammers have used it.
    pub seen_in_abuse: bool,
    /// Where the test is run: live, opt-in, lab or danger.
    pub run: String,
    /// Whether this server runs the test.
    pub chosen: bool,
    /// What the test does, in a sentence.
    pub description: String,
    /// The argument of `MAIL FROM:`, with placeholders in braces.
    pub from: Option<String>,
    /// The arguments of `RCPT TO:`; each is sent in a message of its own.
    pub to: Vec<String>,
    /// A recipient that precedes it in the same message.
    pub first: Option<String>,
    /// A recipient that follows it in the same message.
    pub last: Option<String>,
    /// The greeting that replaces `EHLO` with the tester's name; an empty text sends none.
    pub helo: Option<String>,
    /// The port: smtp, submission or submissions.
    pub port: String,
    /// What is known of the test; null for a test that the operator has added.
    #[serde(default)]
    pub notes: Option<RelayTestNotesResponse>,
}

/// What is known of a shipped relay test. The texts are in English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayTestNotesResponse {
    /// What the test tries, and the mistake that it looks for.
    pub tries: String,
    /// Since when the test is known, with the occasion where one is recorded.
    pub known: String,
    /// The products of the knowledge base of which versions have delivered the test message.
    pub delivered_by: Vec<NamedProductResponse>,
    /// The testers of others that send the form.
    pub testers: Vec<TesterNumberResponse>,
    /// The command lines of swaks that send the form, one a line; null if swaks cannot send it.
    pub swaks: Option<String>,
}

/// A product of the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedProductResponse {
    /// The id of the product, as in `GET /v1/advice/{product}`.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A tester of others that sends a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TesterNumberResponse {
    /// The id of the tester.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The number of the form in the tester's own list; null if it has none.
    pub number: Option<u16>,
}

/// A tester of others, and why its result can differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OtherTesterResponse {
    /// The id of the tester.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it works, as far as that differs from the tests here.
    pub differs: String,
    /// Why its result can differ from that of the tests here.
    pub answer: String,
}

/// The relay tests, and the testers of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicRelayTestsResponse {
    /// The relay tests.
    pub items: Vec<RelayTestResponse>,
    /// Always null: all tests are on one page.
    pub next: Option<String>,
    /// The testers of others, with why their results can differ from those of the tests here.
    pub testers: Vec<OtherTesterResponse>,
}

/// Test messages for a reporter to send.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PreparedProbesResponse {
    /// The number of the job.
    pub job: u64,
    /// The messages, each with its place in the results, test, envelope and content.
    #[schema(value_type = Vec<Object>)]
    pub messages: Vec<PreparedMessage>,
}

/// The results of the messages of a job that a reporter sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeResultsRequest {
    /// The outcome of each message by the replies of the tested server.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub results: Vec<MessageResult>,
    /// The sessions that carried controls, with the replies of the tested server.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub controls: Vec<ControlSession>,
    /// The SMTP sessions as text.
    #[serde(default)]
    pub transcript: String,
}

/// Tests of a class or of a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SurveyCountResponse {
    /// The class of tests, or the family of products; `unknown` if no product was recognised, and
    /// `other` for families that fewer than five tested hosts have.
    pub name: String,
    /// Tests that have ended.
    pub tested: u64,
    /// Those of which a message was delivered.
    pub delivered: u64,
}

/// What the tests of a month found, without addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SurveyMonthResponse {
    /// The month in UTC.
    #[schema(example = "2026-11")]
    pub month: String,
    /// Tests that have ended.
    pub tested: u64,
    /// Those of which a message was delivered.
    pub delivered: u64,
    /// By class of test.
    pub classes: Vec<SurveyCountResponse>,
    /// By family of products.
    pub families: Vec<SurveyCountResponse>,
}
