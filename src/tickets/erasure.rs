//! Erasure of tickets some time after they have closed.

use super::{
    error::TicketError,
    service::TicketService,
    tables::{CLOSED, TICKETS},
};
use crate::model::Time;

/// The most tickets that one commit erases.
const BATCH: usize = 200;

impl TicketService {
    /// Erases the tickets whose retention period is over, with everything that is personal in
    /// them, and removes them from the files of the store. Returns how many were erased.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn erase_due(&self, now: Time) -> Result<usize, TicketError> {
        let period = self.ledger.settings().retention.tickets;
        let mut erased = 0;
        loop {
            let (numbers, _) = self.decide(now, |batch| {
                let oldest = batch.keys(CLOSED, None, BATCH)?;
                let due = oldest.into_iter().filter(|(at, _)| at.plus(period) <= now);
                let mut numbers = 0;
                for (at, number) in due {
                    if let Some(ticket) = batch.get(TICKETS, &number)? {
                        batch.erase(&ticket)?;
                    }
                    batch.delete(CLOSED, &(at, number));
                    numbers += 1;
                }
                Ok(numbers)
            })?;
            erased += numbers;
            if numbers < BATCH {
                break;
            }
        }
        if erased > 0 {
            self.ledger.store.compact_tickets()?;
            tracing::info!(erased, "tickets erased after their retention period");
        }
        Ok(erased)
    }

    /// Erases one ticket, whatever its state. A suspended listing is published again.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the ledger refuses the commit.
    pub fn erase(&self, number: u64, now: Time) -> Result<(), TicketError> {
        self.decide(now, |batch| {
            let ticket = batch.ticket(number)?;
            self.end_suspension(batch, &ticket)?;
            batch.erase(&ticket)?;
            Ok(())
        })?;
        Ok(self.ledger.store.compact_tickets()?)
    }
}
