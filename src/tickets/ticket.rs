//! A ticket as it is stored, in JSON. Later versions only add fields with a default.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    codes::StoredCode,
    control::ControlFacts,
    error::TicketError,
    secret::TicketSecret,
    state::{ControlMethod, RemovalPolicy, TicketEvent, TicketKind, TicketState},
};
use crate::model::{Serial, SourceId, Subject, Time, time::Seconds};

/// The most messages of a conversation.
pub const MAX_MESSAGES: usize = 20;
/// The longest message, in characters.
pub const MAX_MESSAGE_CHARS: usize = 4000;
/// The most states that are kept of a ticket; later ones replace the last.
const MAX_STEPS: usize = 200;
/// When a person has to answer a request that waits for them (RFC 6471 section 2.2.5).
pub const ANSWER_WITHIN: Seconds = Seconds(2 * 86_400);
/// When a person has to decide a request that waits for them.
pub const DECIDE_WITHIN: Seconds = Seconds(7 * 86_400);

/// How long the hold of a suspension lasts if no person decides.
const SUSPENSION_HOLD: Seconds = Seconds(10 * 365 * 86_400);

/// A change of a ticket's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketStep {
    /// When the state changed.
    pub at: Time,
    /// The new state.
    pub state: TicketState,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketMessage {
    /// When the message was written.
    pub at: Time,
    /// The user name of the operator who wrote it; `None`: the requester.
    pub operator: Option<String>,
    /// The text.
    pub text: String,
}

/// The last relay test of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketTest {
    /// The number of the job.
    pub job: u64,
    /// When the ticket joined the test.
    pub at: Time,
}

/// A proof that the requester controls the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlProof {
    /// How control was proved.
    pub method: ControlMethod,
    /// When control was proved.
    pub at: Time,
    /// When the proof expires.
    pub until: Time,
}

/// The mail address that is notified of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketContact {
    /// The address.
    pub address: String,
    /// When the address was confirmed. Only a confirmed address is notified.
    pub confirmed: Option<Time>,
}

/// The time since which a person has to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Since when the ticket waits for a person.
    pub since: Time,
    /// When an operator first replied.
    pub answered: Option<Time>,
    /// Whether webhooks were told that no person answered in time.
    #[serde(default)]
    pub answer_overdue: bool,
    /// Whether webhooks were told that no person decided in time.
    #[serde(default)]
    pub decision_overdue: bool,
}

/// A suspension of a listing, for the limit of suspensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// When the listing was suspended.
    pub at: Time,
    /// The number of the ticket.
    pub ticket: u64,
}

/// An address that is not published although its range is listed. It outlives its ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameException {
    /// The reverse name that the address had.
    pub name: String,
    /// The reasons that are suppressed.
    pub reasons: Vec<String>,
    /// The number of the ticket that was granted.
    pub ticket: u64,
    /// When the holds that suppress them end; `None`: an earlier version did not store it.
    #[serde(default)]
    pub until: Option<Time>,
    /// When the name is looked up next.
    pub next: Time,
    /// The look-ups since the last one that found a name.
    pub misses: u32,
}

/// A zone that a removal has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRemoval {
    /// The name of the zone.
    pub zone: String,
    /// The first serial without the listing.
    pub serial: Serial,
    /// When each other server was first known to have that serial, by its name.
    #[serde(default)]
    pub servers: BTreeMap<String, Time>,
}

/// The removal of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRemoval {
    /// When the subject was delisted.
    pub at: Time,
    /// The zones that no longer list it.
    pub zones: Vec<ZoneRemoval>,
    /// The largest TTL of a listing in those zones, in seconds.
    pub ttl: u32,
    /// The address of the public page about the removal.
    pub released: TicketSecret,
    /// When the subject was listed again, after the requester was told of the removal.
    #[serde(default)]
    pub listed_again: Option<Time>,
}

/// A test that is repeated for the holder of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// After how many days.
    pub days: u16,
    /// When the repetition ends, unless the holder asks for it again.
    pub until: Time,
}

/// A request that a subject is delisted, that an address is tested, or that a page of the
/// knowledge base is corrected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What it asks for.
    #[serde(default)]
    pub kind: TicketKind,
    /// The number.
    pub number: u64,
    /// The secret part of the path of its page.
    pub secret: TicketSecret,
    /// The subject.
    pub subject: Subject,
    /// The names of the reasons whose listings the ticket is about.
    pub reasons: Vec<String>,
    /// The sources of those listings; none if an earlier version opened the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceId>,
    /// The policy of those reasons; [`RemovalPolicy::None`] for a correction, which has none.
    pub policy: RemovalPolicy,
    /// The state.
    pub state: TicketState,
    /// When the ticket was opened.
    pub opened: Time,
    /// When the ticket last changed.
    pub changed: Time,
    /// When the ticket was closed.
    pub closed: Option<Time>,
    /// The states so far.
    pub steps: Vec<TicketStep>,
    /// The conversation.
    #[serde(default)]
    pub messages: Vec<TicketMessage>,
    /// The language of the requester, as a tag such as `de`.
    #[serde(default)]
    pub language: String,
    /// The last relay test.
    #[serde(default)]
    pub test: Option<TicketTest>,
    /// How often the test is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repetition>,
    /// The proof of control.
    #[serde(default)]
    pub proof: Option<ControlProof>,
    /// The mail address for notifications.
    #[serde(default)]
    pub contact: Option<TicketContact>,
    /// The codes that prove control or confirm the contact address, as hashes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<StoredCode>,
    /// What DNS had to say about the subject; `None` before it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_facts: Option<ControlFacts>,
    /// When something happens next without the requester.
    #[serde(default)]
    pub next_at: Option<Time>,
    /// Since when a person has to decide.
    #[serde(default)]
    pub review: Option<Review>,
    /// The removal.
    #[serde(default)]
    pub removal: Option<TicketRemoval>,
    /// When the reverse name of the subject was last looked up.
    #[serde(default)]
    pub name_checked: Option<Time>,
}

impl Ticket {
    /// The author of changes that the ticket makes, and its name in audit and logs.
    pub fn author(&self) -> String {
        format!("ticket {}", self.number)
    }

    /// The secret path of the page.
    pub fn path(&self) -> String {
        format!("/tickets/{}", self.secret.as_str())
    }

    /// The address of a subject that is a single host.
    pub fn host(&self) -> Option<IpAddr> {
        host_of(&self.subject)
    }

    /// Whether control of the subject is proved now.
    pub fn is_proved(&self, now: Time) -> bool {
        self.proof.as_ref().is_some_and(|p| p.until > now)
    }

    /// Checks that control of the subject can be proved for the ticket.
    ///
    /// # Errors
    ///
    /// The kind of the ticket has no proof.
    pub fn check_accepts_proof(&self) -> Result<(), TicketError> {
        match self.kind.accepts_proof() {
            true => Ok(()),
            false => Err(TicketError::Refused(format!(
                "a {} needs no proof of control",
                self.kind.as_str()
            ))),
        }
    }

    /// How many messages the requester may still write.
    pub fn messages_left(&self) -> usize {
        MAX_MESSAGES.saturating_sub(self.messages.len())
    }

    /// When a person has to answer at the latest; `None` if no person has to.
    pub fn answer_by(&self) -> Option<Time> {
        let review = self
            .review
            .as_ref()
            .filter(|_| self.state.waits_for_person())?;
        review
            .answered
            .is_none()
            .then(|| review.since.plus(ANSWER_WITHIN))
    }

    /// When a person has to decide at the latest; `None` if no person has to.
    pub fn decision_by(&self) -> Option<Time> {
        let review = self
            .review
            .as_ref()
            .filter(|_| self.state.waits_for_person())?;
        Some(review.since.plus(DECIDE_WITHIN))
    }

    /// When the holds end by which the ticket has suspended its listings, if it ever has.
    pub fn suspension_ends(&self) -> impl Iterator<Item = Time> {
        let steps = self.steps.iter();
        let suspended = steps.filter(|step| step.state == TicketState::Suspended);
        suspended.map(|step| step.at.plus(SUSPENSION_HOLD))
    }

    /// When the holds of its suspension end; `None` if it is not suspended.
    pub fn suspended_until(&self) -> Option<Time> {
        let is_suspended = self.state == TicketState::Suspended;
        self.suspension_ends().last().filter(|_| is_suspended)
    }

    /// Applies an event.
    ///
    /// # Errors
    ///
    /// The event cannot happen in the present state; the text is for the requester.
    pub fn apply(&mut self, event: TicketEvent, now: Time) -> Result<(), TicketError> {
        let Some(state) = self.state.after(event) else {
            return Err(TicketError::Refused(format!(
                "the ticket is in the state `{}`, in which this is not possible",
                self.state.as_str()
            )));
        };
        if state != self.state {
            self.enter(state, now);
        }
        Ok(())
    }

    /// Enters a state.
    pub(super) fn enter(&mut self, state: TicketState, now: Time) {
        self.state = state;
        self.changed = now;
        self.next_at = None;
        self.steps.truncate(MAX_STEPS - 1);
        self.steps.push(TicketStep { at: now, state });
        if state.waits_for_person() {
            self.review.get_or_insert(Review {
                since: now,
                answered: None,
                answer_overdue: false,
                decision_overdue: false,
            });
        }
        if !state.is_open() {
            self.closed = Some(now);
        }
    }
}

/// The address of a subject that is a single host.
pub fn host_of(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::V4(p) if p.is_host() => Some(IpAddr::V4(p.first().into())),
        Subject::V6(p) if p.is_host() => Some(IpAddr::V6(p.first().into())),
        _ => None,
    }
}
