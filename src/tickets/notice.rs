//! The events about tickets that webhooks get, their counters, and the clocks of requests that wait
//! for a person.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    state::TicketState,
    ticket::{Review, Ticket},
};
use crate::{ledger::FeatureNotice, model::Time};

/// What a person has to do in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TicketClock {
    /// To answer.
    Answer,
    /// To decide.
    Decision,
}

impl TicketClock {
    /// Both clocks.
    pub const ALL: [TicketClock; 2] = [TicketClock::Answer, TicketClock::Decision];

    /// The name in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The time at which it is over for a ticket; `None` if it does not run.
    pub fn due(self, ticket: &Ticket) -> Option<Time> {
        match self {
            TicketClock::Answer => ticket.answer_by(),
            TicketClock::Decision => ticket.decision_by(),
        }
    }

    /// Whether webhooks were told that it is over.
    pub(super) fn is_reported(self, review: &mut Review) -> &mut bool {
        match self {
            TicketClock::Answer => &mut review.answer_overdue,
            TicketClock::Decision => &mut review.decision_overdue,
        }
    }
}

/// An event about a ticket. It has the number of the ticket, and nothing personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketNotice {
    /// The ticket was opened.
    Opened(u64),
    /// The ticket was closed, with its last state.
    Closed(u64, TicketState),
    /// A person did not act in time.
    Overdue(u64, TicketClock, Time),
}

/// The event as webhooks get it.
impl From<TicketNotice> for FeatureNotice {
    fn from(notice: TicketNotice) -> FeatureNotice {
        let (event, number, fields) = match notice {
            TicketNotice::Opened(number) => ("ticket-opened", number, Vec::new()),
            TicketNotice::Closed(number, state) => {
                let state = ("state", state.as_str().to_string());
                ("ticket-closed", number, vec![state])
            }
            TicketNotice::Overdue(number, clock, due) => {
                let clock = ("clock", clock.as_str().to_string());
                (
                    "ticket-overdue",
                    number,
                    vec![clock, ("due", due.to_string())],
                )
            }
        };
        let fields = fields.into_iter().map(|(k, v)| (k.to_string(), v.into()));
        FeatureNotice {
            event,
            fields: [("ticket".to_string(), number.into())]
                .into_iter()
                .chain(fields)
                .collect(),
        }
    }
}

/// Counts tickets since the start.
#[derive(Debug, Default)]
pub(super) struct TicketCounters {
    opened: AtomicU64,
    closed: [AtomicU64; CLOSED_STATES.len()],
}

/// The states of closed tickets.
pub const CLOSED_STATES: [TicketState; 4] = [
    TicketState::Granted,
    TicketState::Refused,
    TicketState::Withdrawn,
    TicketState::Ended,
];

impl TicketCounters {
    /// Counts an event that was committed.
    pub(super) fn count(&self, notice: &TicketNotice) {
        match notice {
            TicketNotice::Opened(_) => drop(self.opened.fetch_add(1, Relaxed)),
            TicketNotice::Closed(_, state) => {
                let place = CLOSED_STATES.iter().position(|s| s == state);
                if let Some(n) = place.and_then(|i| self.closed.get(i)) {
                    n.fetch_add(1, Relaxed);
                }
            }
            TicketNotice::Overdue(..) => {}
        }
    }
}

impl TicketCounters {
    /// The counts so far.
    pub(super) fn counts(&self) -> TicketCounts {
        TicketCounts {
            opened: self.opened.load(Relaxed),
            closed: self.closed.each_ref().map(|n| n.load(Relaxed)),
        }
    }
}

/// The tickets that were opened and closed since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TicketCounts {
    /// Opened tickets.
    pub opened: u64,
    /// Closed tickets, in the order of [`CLOSED_STATES`].
    pub closed: [u64; CLOSED_STATES.len()],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_number_of_the_ticket_and_no_text() {
        let json = |notice: TicketNotice| {
            let FeatureNotice { event, fields } = notice.into();
            format!("{event} {}", serde_json::Value::Object(fields))
        };
        assert_eq!(
            json(TicketNotice::Opened(7)),
            r#"ticket-opened {"ticket":7}"#
        );
        assert_eq!(
            json(TicketNotice::Closed(7, TicketState::Granted)),
            r#"ticket-closed {"state":"granted","ticket":7}"#
        );
        assert_eq!(
            json(TicketNotice::Overdue(7, TicketClock::Answer, Time(86_400))),
            r#"ticket-overdue {"clock":"answer","due":"1970-01-02T00:00:00Z","ticket":7}"#
        );
    }

    #[test]
    fn closed_states_are_those_that_are_not_open() {
        use strum::VariantArray;
        let closed = TicketState::VARIANTS.iter().filter(|s| !s.is_open());
        assert!(closed.eq(&CLOSED_STATES));
    }
}
