//! Tickets: requests that a subject is delisted and corrections of the knowledge base, as the page of
//! the requester and operators see them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AdviceResponse, BlockedClaimResponse, OutcomeKind, RepairAdviceResponse, Timestamp};
use crate::tickets::{
    ControlMethod, RemovalPolicy, RemovalServerState, Repetition, TicketKind, TicketState,
};

/// A request that a subject is delisted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"subject": "192.0.2.1"}))]
pub struct TicketRequest {
    /// The address, prefix or domain to delist.
    pub subject: String,
    /// The policy of the listings to delist; needed only if listings of several policies apply.
    pub policy: Option<RemovalPolicy>,
    /// A mail address that is notified of changes after it was confirmed; empty for none.
    pub contact: String,
    /// A message to the operators; empty for none.
    pub message: String,
}

/// A correction of a page of the knowledge base.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"entry": "", "version": "3.9", "text": "The default has changed.", "source": "https://www.example.org/"}))]
pub struct CorrectionRequest {
    /// The id of the entry that is wrong; empty: the whole page.
    pub entry: String,
    /// The version that the correction is about, at most 200 characters; empty if it is not about
    /// one.
    pub version: String,
    /// What is wrong, and how it is, at most 3,000 characters.
    pub text: String,
    /// Where that can be read, or how it was found out, at most 200 characters; can be empty.
    pub source: String,
}

/// Who wrote a message of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageAuthor {
    /// The requester.
    Requester,
    /// An operator.
    Operator,
}

/// A message of a ticket's conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketMessageResponse {
    /// When the message was written.
    pub at: Timestamp,
    /// Who wrote the message.
    pub author: MessageAuthor,
    /// The text of the message.
    pub text: String,
}

/// A message to add to a ticket.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketMessageRequest {
    /// The text, at most 4,000 characters.
    pub text: String,
}

/// A change of a ticket's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketStepResponse {
    /// When the state changed.
    pub at: Timestamp,
    /// The new state.
    pub state: TicketState,
}

/// The outcome of one form of a relay test: how a recipient or a sender was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestOutcomeResponse {
    /// The name of the test.
    pub test: String,
    /// What the test does, in one sentence.
    pub description: String,
    /// Whether the form had listed the host, so that it is tried first.
    pub had_passed: bool,
    /// The outcome.
    pub outcome: OutcomeKind,
    /// The SMTP reply code, if the host replied.
    pub code: Option<u16>,
}

/// The relay test that a ticket has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketTestResponse {
    /// The number of the job.
    pub job: u64,
    /// The test does not begin before this time.
    pub not_before: Timestamp,
    /// When the test began; null while it waits.
    pub begun: Option<Timestamp>,
    /// When the test ended; null while it waits or runs.
    pub ended: Option<Timestamp>,
    /// The number of messages that the test has.
    pub total: usize,
    /// The outcomes so far, those of forms that had passed first.
    pub outcomes: Vec<TestOutcomeResponse>,
    /// The row of the decision table in docs/relay.md that the test matched.
    pub row: Option<String>,
    /// Whether `row` and `release` are not final: they apply if the host goes on to defer (4xx) the
    /// test messages in the tries that are left.
    #[serde(default)]
    pub is_preliminary: bool,
    /// When the host is released if no test message is delivered until then.
    pub release: Option<Timestamp>,
    /// When deferred messages are sent again; null if none are.
    #[serde(default)]
    pub next_try: Option<Timestamp>,
    /// Which setting of the host to change, if it defers the test messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<RepairAdviceResponse>,
    /// Which mail server it is, as far as its replies show, and how to close it.
    #[serde(default)]
    pub product_advice: AdviceResponse,
    /// For a requester who has proved control: our addresses that the host refused, with its
    /// replies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedClaimResponse>,
}

/// A way to prove control of a subject, with the command or record to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum ControlOptionResponse {
    /// A request from the server itself.
    Server {
        /// Commands to run on the server, each with the name of its program.
        commands: Vec<CommandResponse>,
    },
    /// A TXT record.
    Dns {
        /// The owner names at which the record may be, the most specific first.
        names: Vec<String>,
        /// Whether the record has to be at every one of the names, because each is the apex of a
        /// part of the subject. Otherwise one is enough.
        #[serde(default)]
        at_every_name: bool,
        /// The text of the record.
        text: String,
    },
    /// A code by mail to a role address of the subject's domain.
    Mail {
        /// The addresses that may receive the code.
        addresses: Vec<String>,
    },
}

/// A request for a code by mail.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TicketCodeRequest {
    /// One of the addresses that may receive the code; empty: the first.
    pub address: String,
}

/// A request to notify an address of changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TicketContactRequest {
    /// The mail address.
    pub contact: String,
}

/// The result of a request that has proved control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlProvedResponse {
    /// The number of the ticket.
    pub number: u64,
    /// The subject whose control is proved.
    pub subject: String,
    /// How control was proved.
    pub method: ControlMethod,
}

/// What a code from a mail is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConfirmationKind {
    /// It proves control of the subject.
    Control,
    /// It confirms the contact address.
    Contact,
}

/// What a code from a mail confirms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfirmationResponse {
    /// What the code is for.
    pub kind: ConfirmationKind,
    /// The number of the ticket.
    pub number: u64,
    /// What the ticket asks for.
    #[serde(default)]
    pub ticket_kind: TicketKind,
    /// The subject of the ticket.
    pub subject: String,
    /// Whether it is confirmed now; false before the button is pressed.
    pub confirmed: bool,
    /// The path of the ticket's page, for a contact address that was confirmed.
    pub path: Option<String>,
}

/// A command to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandResponse {
    /// The program: curl, wget, PowerShell or nc.
    pub program: String,
    /// The whole command.
    pub command: String,
}

/// A proof that the requester controls the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlProofResponse {
    /// How control was proved.
    pub method: ControlMethod,
    /// When control was proved.
    pub at: Timestamp,
    /// When the proof expires.
    pub until: Timestamp,
}

/// The notifications of a ticket by mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketContactResponse {
    /// The mail address, with all but its first letter and its domain hidden.
    pub address: String,
    /// Whether the address was confirmed. Only a confirmed address is notified.
    pub confirmed: bool,
}

/// Whether a public name server has a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalServerResponse {
    /// The zone.
    pub zone: String,
    /// The name of the server, or its address.
    pub server: String,
    /// When the server was first known to have the removal; null if it is not known yet.
    pub at: Option<Timestamp>,
    /// Whether the server has the removal.
    pub state: RemovalServerState,
}

/// A removal: when it was published, and which servers have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalResponse {
    /// When the subject was delisted.
    pub at: Timestamp,
    /// The zones that do not list the subject any more.
    pub zones: Vec<String>,
    /// The public servers of those zones, this one first.
    pub servers: Vec<RemovalServerResponse>,
    /// For how many seconds receivers may remember the listing: the largest TTL of the zones.
    pub cache_seconds: u32,
    /// When every server had the removal; null if one is not known to have it.
    pub everywhere_at: Option<Timestamp>,
    /// The path of the public page about the removal; null after 30 days.
    pub released: Option<String>,
}

/// A ticket, for its requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketResponse {
    /// What the ticket asks for.
    #[serde(default)]
    pub kind: TicketKind,
    /// The number of the ticket, by which operators know it.
    pub number: u64,
    /// The secret path of the ticket's page.
    pub path: String,
    /// The subject; for a correction, the id of the product.
    pub subject: String,
    /// The zones that list the subject now for a reason of the ticket.
    pub listed_in: Vec<String>,
    /// The reasons whose listings the ticket is about.
    pub reasons: Vec<String>,
    /// The policy of those reasons; none for a correction.
    pub policy: RemovalPolicy,
    /// The state of the ticket.
    pub state: TicketState,
    /// When the ticket was opened.
    pub opened: Timestamp,
    /// When the ticket last changed.
    pub changed: Timestamp,
    /// When the ticket was closed.
    pub closed: Option<Timestamp>,
    /// When something happens next without the requester: a removal, a release or a test.
    pub next_at: Option<Timestamp>,
    /// When the requester may try again; null if now, or if there is nothing to try.
    pub retry_at: Option<Timestamp>,
    /// Whether the requester may start a test or ask for the removal again.
    pub may_retry: bool,
    /// Whether the requester may ask a person to review the ticket.
    pub may_ask_review: bool,
    /// When a person answers at the latest; null if no person has to.
    pub answer_by: Option<Timestamp>,
    /// When the request is decided at the latest; null if no person has to decide.
    pub decision_by: Option<Timestamp>,
    /// When the listing expires without a removal; null if it does not.
    pub listing_ends: Option<Timestamp>,
    /// The states of the ticket so far, the oldest first.
    pub steps: Vec<TicketStepResponse>,
    /// The last relay test of the ticket.
    pub test: Option<TicketTestResponse>,
    /// How often the test is repeated, for a ticket about a test.
    #[serde(default)]
    pub repetition: Option<RepetitionResponse>,
    /// Whether the policy requires a proof of control.
    pub proof_required: bool,
    /// The proof of control, if there is one.
    pub proof: Option<ControlProofResponse>,
    /// The ways to prove control that can work for this subject, the quickest first; empty after
    /// control was proved or the ticket was closed.
    pub control_options: Vec<ControlOptionResponse>,
    /// When the code of those ways expires.
    pub code_expires: Option<Timestamp>,
    /// The conversation, the oldest message first.
    pub messages: Vec<TicketMessageResponse>,
    /// How many messages the requester may still write.
    pub messages_left: usize,
    /// The notifications by mail.
    pub contact: Option<TicketContactResponse>,
    /// The removal, after it was granted.
    pub removal: Option<RemovalResponse>,
}

/// A test that is repeated for the holder of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepetitionResponse {
    /// After how many days the test is repeated.
    #[schema(minimum = 7, maximum = 90)]
    pub days: u16,
    /// When the repetition ends, unless the holder asks for it again.
    pub until: Timestamp,
}

impl From<Repetition> for RepetitionResponse {
    fn from(repetition: Repetition) -> RepetitionResponse {
        RepetitionResponse {
            days: repetition.days,
            until: repetition.until.into(),
        }
    }
}

/// A request to test an address for its holder. The test lists and delists nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"address": "192.0.2.1"}))]
pub struct SelfTestRequest {
    /// The address of the mail server.
    pub address: String,
    /// After how many days (7 to 90) the test is repeated; empty or null: it is not repeated.
    #[serde(deserialize_with = "days_or_empty")]
    #[schema(value_type = Option<u16>, minimum = 7, maximum = 90)]
    pub repeat_days: Option<u16>,
}

/// A request to repeat a test, or to end its repetition.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"days": 30}))]
pub struct RepetitionRequest {
    /// After how many days (7 to 90) the test is repeated; empty or null ends the repetition.
    #[serde(deserialize_with = "days_or_empty")]
    #[schema(value_type = Option<u16>, minimum = 7, maximum = 90)]
    pub days: Option<u16>,
}

/// Reads a number of days; forms send an empty text for none.
fn days_or_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Days {
        Number(u16),
        Text(String),
    }
    match Option::<Days>::deserialize(from)? {
        None => Ok(None),
        Some(Days::Number(days)) => Ok(Some(days)),
        Some(Days::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(Days::Text(text)) => text.trim().parse().map(Some).map_err(|_| {
            serde::de::Error::custom(format!("`{text}` is not a number of days from 7 to 90"))
        }),
    }
}

/// How the holder of an address has it tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SelfTestPageResponse {
    /// Whether this server tests addresses at all.
    pub tests_relays: bool,
    /// The number of forms of the test.
    pub forms: usize,
    /// The address of the client, if it could be tested.
    pub client: Option<String>,
    /// Whether a request from the client's own address would start the test without another proof.
    pub client_is_known: bool,
}

/// The public page about a removal, without personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleasedResponse {
    /// The subject.
    pub subject: String,
    /// Whether a zone lists the subject now.
    pub listed_again: bool,
    /// The removal.
    pub removal: RemovalResponse,
}

/// How listings for a reason are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonPolicyResponse {
    /// The reason.
    pub reason: String,
    /// The policy of its listings, if no feed supplies them.
    pub policy: RemovalPolicy,
    /// Whether control of the subject has to be proved first.
    pub proof_required: bool,
    /// Whether the subject is not listed again for 30 days after a removal.
    pub held: bool,
}

/// The policies of removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalPoliciesResponse {
    /// The policy of each published reason.
    pub reasons: Vec<ReasonPolicyResponse>,
    /// The policy of listings that feeds supply, whatever their reason.
    pub feeds: RemovalPolicy,
    /// The policy of reasons without one of their own.
    pub others: RemovalPolicy,
}

/// Query parameters of `GET /v1/tickets`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TicketsQuery {
    /// Only tickets in this state.
    pub state: Option<TicketState>,
    /// Only tickets that wait for a person, those to be answered first at the front.
    pub waiting: bool,
    /// Only tickets of this subject.
    pub subject: Option<String>,
    /// The `next` of the previous page.
    pub after: Option<String>,
    /// The largest number of items on the page (default 100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// A ticket in a list, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketSummaryResponse {
    /// The number of the ticket.
    pub number: u64,
    /// What the ticket asks for.
    #[serde(default)]
    pub kind: TicketKind,
    /// The subject; for a correction, the id of the product.
    pub subject: String,
    /// The reasons whose listings the ticket is about.
    pub reasons: Vec<String>,
    /// The policy of those reasons; none for a correction.
    pub policy: RemovalPolicy,
    /// The state of the ticket.
    pub state: TicketState,
    /// When the ticket was opened.
    pub opened: Timestamp,
    /// When the ticket last changed.
    pub changed: Timestamp,
    /// How control of the subject was proved; null if it was not.
    pub proof: Option<ControlMethod>,
    /// The number of messages of its conversation.
    pub messages: usize,
    /// When a person has to answer at the latest; null if no person has to.
    pub answer_by: Option<Timestamp>,
    /// When a person has to decide at the latest; null if no person has to.
    pub decision_by: Option<Timestamp>,
}

/// The refusal of a ticket by an operator, or a reply to its requester.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketDecisionRequest {
    /// The text for the requester, at most 4,000 characters.
    #[serde(default)]
    pub text: String,
}

/// The approval of a ticket by an operator.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TicketApprovalRequest {
    /// The text for the requester, at most 4,000 characters; may be empty.
    pub text: String,
    /// The listing was an error. It is counted in the error rates of the zones and sources that
    /// had it.
    pub listed_in_error: bool,
}

/// A message of a ticket's conversation, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketConversationResponse {
    /// When the message was written.
    pub at: Timestamp,
    /// Who wrote the message.
    pub author: MessageAuthor,
    /// The user who wrote the message; null for the requester.
    pub user: Option<String>,
    /// The text of the message.
    pub text: String,
}

/// The mail address of a requester, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketAddressResponse {
    /// The mail address.
    pub address: String,
    /// When the address was confirmed; null if it was not. Only a confirmed address is notified.
    pub confirmed: Option<Timestamp>,
}

/// A ticket, for operators. Its secret path belongs to the requester, and is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketDetailResponse {
    /// What a list shows of the ticket.
    #[serde(flatten)]
    pub summary: TicketSummaryResponse,
    /// The zones that list the subject now for a reason of the ticket.
    pub listed_in: Vec<String>,
    /// When the ticket was closed.
    pub closed: Option<Timestamp>,
    /// When something happens next without the requester: a removal, a release or a test.
    pub next_at: Option<Timestamp>,
    /// When the listing expires without a removal; null if it does not.
    pub listing_ends: Option<Timestamp>,
    /// The states of the ticket so far, the oldest first.
    pub steps: Vec<TicketStepResponse>,
    /// The last relay test of the ticket.
    pub test: Option<TicketTestResponse>,
    /// Whether the policy requires a proof of control.
    pub proof_required: bool,
    /// The proof of control, if there is one.
    pub control: Option<ControlProofResponse>,
    /// The language of the requester, as a tag such as `de`; empty if it is not known.
    pub language: String,
    /// The conversation, the oldest message first; null for a role below editor.
    pub conversation: Option<Vec<TicketConversationResponse>>,
    /// The mail address for notifications; null if there is none, or for a role below editor.
    pub contact: Option<TicketAddressResponse>,
    /// The removal, after it was granted.
    pub removal: Option<RemovalResponse>,
}

/// One of the clocks of requests that wait for a person (RFC 6471 section 2.2.5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketClockResponse {
    /// The ticket for which the clock is over first; null if it runs for none.
    pub next_ticket: Option<u64>,
    /// When it is over for that ticket.
    pub next_due: Option<Timestamp>,
    /// For how many tickets it is over.
    pub overdue: usize,
}

/// The tickets that wait, for the state of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketsStatusResponse {
    /// Open tickets.
    pub open: usize,
    /// Tickets that wait for a person.
    pub waiting: usize,
    /// The clock of answers: two days.
    pub answer: TicketClockResponse,
    /// The clock of decisions: seven days.
    pub decision: TicketClockResponse,
    /// Tickets that are not suspended although no operator decided in time, because the limit of
    /// suspensions in a day is reached.
    pub over_limit: usize,
    /// Why the tickets could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
