//! Claims, reviews, opt-outs, and the evidence of relay tests.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AdviceResponse, JobResponse, ReceiptResponse, Timestamp};
use crate::relay::advice::RepairAdvice;

/// The claim that a listed host no longer relays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"target": "192.0.2.1"}))]
pub struct ClaimRequest {
    /// The address of the host.
    pub target: String,
    /// True if an editor vouches that the claimant is responsible for the host.
    #[serde(default)]
    pub proved: bool,
}

/// A command of the tester and its reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockedReplyResponse {
    /// The test and its step, or the recipient of the control.
    pub sent: String,
    /// The code and the text of the reply, or why there was none.
    pub answered: String,
}

/// A claim whose test was blocked: the host refused the tester, not the test messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockedClaimResponse {
    /// The address of the tester.
    pub source: Option<String>,
    /// When the test ended.
    pub at: Option<Timestamp>,
    /// The row of the decision table in docs/relay.md that the test matched.
    pub row: Option<String>,
    /// The commands of the tester, and the replies of the host.
    pub replies: Vec<BlockedReplyResponse>,
}

/// A setting of the host to change, so that its test decides at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepairAdviceResponse {
    /// What the host does.
    pub key: RepairAdvice,
    /// The line to change; null if the program of the host is not known.
    pub setting: Option<SettingChangeResponse>,
}

/// A line of a configuration file, as it usually is and as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingChangeResponse {
    /// The program.
    pub program: String,
    /// The configuration file.
    pub file: String,
    /// The line in the usual configuration.
    pub from: String,
    /// The line as it should be.
    pub to: String,
    /// The commands that make the change.
    pub command: String,
}

impl From<RepairAdvice> for RepairAdviceResponse {
    fn from(key: RepairAdvice) -> RepairAdviceResponse {
        let setting = key.setting().map(|s| SettingChangeResponse {
            program: s.program.into(),
            file: s.file.into(),
            from: s.from.into(),
            to: s.to.into(),
            command: s.command,
        });
        RepairAdviceResponse { key, setting }
    }
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClaimResponse {
    /// The test that the claim leads to.
    pub job: JobResponse,
    /// Whether it is proved that the claimant is responsible for the host.
    pub proved: bool,
    /// When the host is released if no test message is delivered; null until the test has ended
    /// without a decision.
    pub release: Option<Timestamp>,
    /// What happens next, in words.
    pub what_happens: String,
    /// Which setting of the host to change, if it defers the test messages; only if this claim is
    /// proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<RepairAdviceResponse>,
    /// The blocked claims of this listing; only if this claim is proved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedClaimResponse>,
}

/// A release after a person has reviewed a host.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewRequest {
    /// The address of the host.
    pub target: String,
    /// Why the host is released.
    pub note: String,
    /// The listing was an error. It is counted in the error rates of the zones and sources that
    /// had it.
    #[serde(default)]
    pub listed_in_error: bool,
}

/// The result of a review.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReviewResponse {
    /// The commit; null if there was nothing to release.
    pub receipt: Option<ReceiptResponse>,
}

/// A subject that must not be tested.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptOutRequest {
    /// An address or a prefix.
    pub subject: String,
    /// How control of the subject was proved.
    pub proof: String,
}

/// An opt-out: a subject that is not tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OptOutResponse {
    /// The address or the prefix.
    pub subject: String,
    /// When the opt-out was recorded.
    pub since: Timestamp,
    /// Who recorded the opt-out.
    pub author: String,
    /// How control of the subject was proved; empty for roles below editor.
    pub proof: String,
}

/// Query parameters of `DELETE /v1/opt-outs`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OptOutQuery {
    /// The address or prefix of the opt-out.
    pub subject: String,
}

/// The subject whose opt-out ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OptOutSubjectResponse {
    /// The address or the prefix.
    pub subject: String,
}

/// Query parameters of `GET /v1/evidence`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EvidenceQuery {
    /// The address of a host.
    #[param(example = "192.0.2.1")]
    pub target: String,
}

/// A test message that was delivered: the public part, and more for the owner of the host and for
/// operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofResponse {
    /// The number of the proof.
    pub id: u64,
    /// The name of the test.
    pub test: String,
    /// The host that accepted the message.
    pub input: String,
    /// The host that delivered it.
    pub output: String,
    /// When the message was sent.
    pub sent: Timestamp,
    /// When it arrived at the collector.
    pub arrived: Timestamp,
    /// The SMTP reply codes of the input; empty if a reporter sent the message.
    pub reply_codes: Vec<u16>,
    /// The reason for which the host was listed, or why it was not listed.
    pub outcome: String,
    /// Which mail server the input is, as far as its replies show, and how to close it.
    #[serde(default)]
    pub product_advice: AdviceResponse,
    /// For the owner and operators: the envelope at the collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
    /// For the owner and operators: the message. The addresses of others are hashed for the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For the owner and operators: the SMTP session in which it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
}
