//! The clocks of requests that wait for a person: an answer in two days, a decision in seven (RFC
//! 6471 section 2.2.5).

use super::{
    error::TicketError,
    notice::{TicketClock, TicketCounts, TicketNotice},
    service::TicketService,
    ticket::Ticket,
};
use crate::model::Time;

/// The state of one clock over all tickets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TicketClockState {
    /// The ticket for which it is over first, with the time.
    pub next: Option<(Time, u64)>,
    /// Since when the oldest ticket that it runs for waits.
    pub oldest: Option<Time>,
    /// For how many tickets it is over.
    pub overdue: usize,
}

/// The state of the clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TicketClocks {
    /// Open tickets.
    pub open: usize,
    /// Tickets that wait for a person.
    pub waiting: usize,
    /// The clocks, in the order of [`TicketClock::ALL`].
    pub clocks: [TicketClockState; 2],
}

impl TicketService {
    /// Returns the state of the clocks.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn clocks(&self, now: Time) -> Result<TicketClocks, TicketError> {
        let all = self.open_tickets()?;
        let mut out = TicketClocks {
            open: all.len(),
            ..TicketClocks::default()
        };
        for ticket in all.iter().filter(|t| t.state.waits_for_person()) {
            out.waiting += 1;
            for (clock, state) in TicketClock::ALL.into_iter().zip(&mut out.clocks) {
                let (Some(due), Some(review)) = (clock.due(ticket), &ticket.review) else {
                    continue;
                };
                let this = (due, ticket.number);
                state.next = Some(state.next.map_or(this, |next| next.min(this)));
                state.oldest = Some(state.oldest.map_or(review.since, |t| t.min(review.since)));
                state.overdue += usize::from(due <= now);
            }
        }
        Ok(out)
    }

    /// Returns how many tickets were opened and closed since the start.
    pub fn counts(&self) -> TicketCounts {
        self.counters.counts()
    }

    /// Tells webhooks of tickets that nobody answered or decided in time, each once.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn report_overdue(&self, now: Time) -> Result<(), TicketError> {
        let is_new = |ticket: &Ticket, clock: TicketClock| {
            let mut review = ticket.review.clone();
            let reported = review.as_mut().is_some_and(|r| *clock.is_reported(r));
            !reported && clock.due(ticket).is_some_and(|due| due <= now)
        };
        for clock in TicketClock::ALL {
            let waiting = self.waiting()?;
            for number in waiting
                .iter()
                .filter(|t| is_new(t, clock))
                .map(|t| t.number)
            {
                self.decide(now, |batch| {
                    let mut ticket = batch.ticket(number)?;
                    let due = clock.due(&ticket).filter(|_| is_new(&ticket, clock));
                    if let (Some(due), Some(review)) = (due, &mut ticket.review) {
                        *clock.is_reported(review) = true;
                        batch
                            .notices
                            .push(TicketNotice::Overdue(number, clock, due));
                        batch.save(&ticket);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}
