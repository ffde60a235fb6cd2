//! Requests for removal: when each was made, and when it was answered.

use crate::{
    model::{Time, time::Seconds},
    tickets::{RemovalServer, Ticket, TicketRemoval, TicketState},
};

/// A request for removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestTimes {
    /// Since when we had to answer.
    pub asked: Time,
    /// When the requester got an answer.
    pub answered: Option<Time>,
}

/// Returns the times of a ticket that asks for a removal; `None` if it asks for something else, if
/// its requester has not proved control, or if they withdrew it before an answer.
///
/// An answer is a decision, the time at which the removal will happen, the result of a test, or a
/// message of an operator.
pub(super) fn request_times(ticket: &Ticket) -> Option<RequestTimes> {
    if !ticket.kind.is_about_listings() {
        return None;
    }
    let mut steps = ticket.steps.iter();
    let asked = steps.find(|s| s.state != TicketState::NeedsProof)?.at;
    // A ticket that needs no proof enters its first state when it is opened.
    let asked = asked.max(ticket.opened);
    let decided = ticket.steps.iter().find(|s| is_answer(s.state));
    let mut messages = ticket.messages.iter();
    let replied = messages.find(|m| m.operator.is_some());
    let answers = [decided.map(|s| s.at), replied.map(|m| m.at)];
    let answered = answers.into_iter().flatten().min();
    let is_withdrawn = ticket.state == TicketState::Withdrawn && answered.is_none();
    (!is_withdrawn).then_some(RequestTimes { asked, answered })
}

/// Whether a requester whose ticket enters a state has an answer.
fn is_answer(state: TicketState) -> bool {
    match state {
        TicketState::Delayed
        | TicketState::Blocked
        | TicketState::Failed
        | TicketState::Tested
        | TicketState::Granted
        | TicketState::Refused
        | TicketState::Ended => true,
        TicketState::NeedsProof
        | TicketState::Testing
        | TicketState::Waiting
        | TicketState::Review
        | TicketState::Suspended
        | TicketState::Withdrawn => false,
    }
}

/// Returns how long a removal took to reach every server of a zone; `None` if some server is not
/// known to have it.
pub(super) fn spread_time(
    removal: &TicketRemoval,
    servers: &[RemovalServer],
    zone: &str,
) -> Option<Seconds> {
    let mut last = removal.at;
    for server in servers.iter().filter(|s| s.zone == zone) {
        last = last.max(server.at?);
    }
    Some(Seconds(last.0 - removal.at.0))
}
