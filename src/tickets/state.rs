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
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
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

/// What a ticket asks for.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
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
pub enum TicketKind {
    /// To delist a subject.
    #[default]
    Removal,
    /// To test an address for its holder. It lists and delists nothing.
    Test,
    /// To correct a page of the knowledge base. The subject is the id of the product.
    Correction,
}

impl TicketKind {
    /// The name of the kind in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the ticket is about listings of its subject. No other ticket follows, suspends or ends
    /// them.
    pub fn is_about_listings(self) -> bool {
        match self {
            TicketKind::Removal => true,
            TicketKind::Test | TicketKind::Correction => false,
        }
    }

    /// Whether control of the subject can be proved for the ticket.
    pub fn accepts_proof(self) -> bool {
        match self {
            TicketKind::Removal | TicketKind::Test => true,
            TicketKind::Correction => false,
        }
    }
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

/// Whether a public name server of a zone has a removal.
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
pub enum RemovalServerState {
    /// The server has the removal.
    Current,
    /// The server still has an older serial of the zone.
    Behind,
    /// The server did not answer when it was last asked.
    Silent,
    /// The server was not asked yet.
    Unknown,
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
    /// The test that the holder of the address asked for is over, and no message was delivered.
    Tested,
    /// A person has to decide.
    Review,
    /// As `review`, and the subject is not published meanwhile, because no person decided in time.
    Suspended,
    /// The subject was delisted, or the correction was accepted.
    Granted,
    /// A person refused the removal or the correction.
    Refused,
    /// The requester withdrew the request.
    Withdrawn,
    /// The listing ended in another way.
    Ended,
}

/// The events of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[strum(serialize_all = "lowercase")]
pub enum TicketEvent {
    /// A relay test is requested, or another one replaces it.
    Test,
    /// The test began the waiting period.
    Wait,
    /// The host refused the tester.
    Block,
    /// The test found the host open.
    Fail,
    /// The test that the holder asked for is over, and no message was delivered.
    Pass,
    /// The removal has to wait for a time.
    Delay,
    /// A person has to decide.
    Review,
    /// No person decided in time.
    Suspend,
    /// The subject is delisted.
    Grant,
    /// A person refuses the removal.
    Refuse,
    /// The requester withdraws the request, or does nothing for a long time.
    Withdraw,
    /// The listing has ended in another way.
    End,
}

impl TicketEvent {
    /// The name of the event in the documentation.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl TicketState {
    /// The name of the state in the API and in the documentation.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the request is not decided yet.
    pub fn is_open(self) -> bool {
        !matches!(
            self,
            TicketState::Granted
                | TicketState::Refused
                | TicketState::Withdrawn
                | TicketState::Ended
        )
    }

    /// Whether a person has to decide.
    pub fn waits_for_person(self) -> bool {
        matches!(self, TicketState::Review | TicketState::Suspended)
    }

    /// Whether nothing happens unless the requester acts.
    pub fn waits_for_requester(self) -> bool {
        matches!(
            self,
            TicketState::NeedsProof
                | TicketState::Blocked
                | TicketState::Failed
                | TicketState::Tested
        )
    }

    /// Whether a test that the holder asked for is over.
    pub fn is_tested(self) -> bool {
        matches!(
            self,
            TicketState::Tested | TicketState::Failed | TicketState::Blocked
        )
    }

    /// Returns the state after an event; `None` if the event cannot happen in this state.
    /// `docs/removal.md` documents the table, and a test compares both.
    pub fn after(self, event: TicketEvent) -> Option<TicketState> {
        use TicketEvent as E;
        use TicketState as S;
        if !self.is_open() {
            return None;
        }
        match (self, event) {
            (_, E::Grant) => Some(S::Granted),
            (_, E::Withdraw) => Some(S::Withdrawn),
            (_, E::End) => Some(S::Ended),
            // A person may decide about every request, whether it waits for them or not.
            (_, E::Refuse) => Some(S::Refused),
            (S::NeedsProof, E::Delay) => Some(S::Delayed),
            // A suspension and a review go on while a blocked host is tested once more.
            (S::Review | S::Suspended, E::Test | E::Wait | E::Block | E::Fail | E::Pass) => None,
            (S::NeedsProof | S::Delayed, E::Test | E::Wait | E::Block | E::Fail | E::Pass) => None,
            (_, E::Test) => Some(S::Testing),
            (S::Testing | S::Waiting, E::Wait) => Some(S::Waiting),
            (S::Testing | S::Tested | S::Failed, E::Block) => Some(S::Blocked),
            (S::Testing | S::Waiting | S::Tested | S::Blocked, E::Fail) => Some(S::Failed),
            (S::Testing | S::Failed | S::Blocked, E::Pass) => Some(S::Tested),
            (S::Suspended, E::Review) => None,
            (_, E::Review) => Some(S::Review),
            (S::Review, E::Suspend) => Some(S::Suspended),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/removal.md");

    /// Returns the header and the rows of the table of states in the documentation.
    fn table() -> (Vec<String>, Vec<Vec<String>>) {
        let cells = |line: &str| -> Vec<String> {
            line.trim_matches('|')
                .split('|')
                .map(|c| c.trim().trim_matches('`').to_string())
                .collect()
        };
        let mut lines = DOCUMENT
            .lines()
            .skip_while(|l| !l.starts_with("| state | test |"));
        let head = cells(lines.next().expect("docs/removal.md has the table"));
        let rows = lines.skip(1).take_while(|l| l.starts_with('|')).map(cells);
        (head, rows.collect())
    }

    #[test]
    fn documented_table_equals_the_transition_function() {
        let (head, rows) = table();
        let names: Vec<_> = TicketEvent::VARIANTS.iter().map(|e| e.as_str()).collect();
        assert_eq!(head[1..], names);
        let open: Vec<_> = TicketState::VARIANTS
            .iter()
            .filter(|s| s.is_open())
            .collect();
        let expected: Vec<Vec<&str>> = open
            .iter()
            .map(|state| {
                let after = |e: &TicketEvent| state.after(*e).map_or("–", TicketState::as_str);
                let row = TicketEvent::VARIANTS.iter().map(after);
                std::iter::once(state.as_str()).chain(row).collect()
            })
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn closed_ticket_accepts_no_event() {
        for state in TicketState::VARIANTS.iter().filter(|s| !s.is_open()) {
            let mut events = TicketEvent::VARIANTS.iter();
            assert!(events.all(|e| state.after(*e).is_none()), "{state:?}");
        }
    }

    #[test]
    fn only_a_removal_leads_to_granted() {
        for state in TicketState::VARIANTS {
            for event in TicketEvent::VARIANTS {
                let granted = state.after(*event) == Some(TicketState::Granted);
                assert!(!granted || *event == TicketEvent::Grant);
            }
        }
    }
}
