//! The states of tickets, their transitions, and the policies that they follow.

use serde::{Deserialize, Serialize};

/// How a subject that is listed for a reason is delisted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RemovalPolicy {
    /// A relay test of the host decides.
    AfterRetest,
    /// The listing ends on request; repeated requests wait longer.
    OnRequest,
    /// The owner of the range has to prove control; then as on request.
    OwnerOfRange,
    /// A person decides.
    Reviewed,
    /// The listing ends with the listing of the hosts for which it delivers, or after a review.
    WithLastInput,
    /// The owner who asked for the listing ends it.
    ByOwner,
    /// Only the end of the listing ends it.
    None,
}

/// How a requester has proved control of a subject.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ControlMethod {
    /// A request from the address itself.
    Server,
    /// A TXT record.
    Dns,
    /// A code that was sent by mail.
    Mail,
}

/// The state of a ticket.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TicketState {
    /// The policy requires a proof of control, and there is none yet.
    NeedsProof,
    /// The removal is granted at a later time, because an earlier one was followed by a listing.
    Delayed,
    /// A relay test waits or runs.
    Testing,
    /// The test did not decide: the host is released at the end of the waiting period.
    Waiting,
    /// The host refused the tester, which shows nothing about relaying.
    Blocked,
    /// The test found the host open.
    Failed,
    /// A person has to decide.
    Review,
    /// As `review`, and the subject is not published meanwhile, because no person decided in time.
    Suspended,
    /// The subject was delisted.
    Granted,
    /// A person refused the removal.
    Refused,
    /// The requester withdrew the request.
    Withdrawn,
    /// The listing ended in another way.
    Ended,
}
