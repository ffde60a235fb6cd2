//! How many tickets may be open. A request that is granted at once is never refused because others
//! are open, and tickets that nobody follows up make room for new ones.

use super::{
    batch::TicketBatch,
    error::TicketError,
    listings::TicketListing,
    removals::FROM,
    service::{MAX_OPEN_TICKETS, TicketService},
    state::{RemovalPolicy, TicketEvent, TicketKind},
    tables::{OPEN, TICKETS, WAITING},
    ticket::Ticket,
};
use crate::model::{Subject, Time, time::Seconds};

/// The most open tickets of one subject.
const MAX_OPEN_OF_SUBJECT: usize = 20;
/// The most tickets that wait for a person, of which a request without a proof may be one.
pub const MAX_UNPROVED_REVIEWS: usize = MAX_OPEN_TICKETS / 2;
/// The most tickets that are withdrawn at once to make room.
pub const MAX_MADE_ROOM: usize = 50;
/// When to try again if too many tickets are open.
const FULL_RETRY_AFTER: Seconds = Seconds(3600);

impl TicketService {
    /// Whether a new ticket is granted when it is opened, so that it is never open.
    pub(super) fn is_granted_at_once(
        &self,
        policy: RemovalPolicy,
        listings: &[&TicketListing],
        is_proved: bool,
        now: Time,
    ) -> Result<bool, TicketError> {
        Ok(match policy {
            RemovalPolicy::OnRequest => self.on_request_time(listings, now)? <= now,
            RemovalPolicy::OwnerOfRange | RemovalPolicy::ByOwner => is_proved,
            _ => false,
        })
    }

    /// Withdraws tickets if as many are open as may be: those without a proof that have waited
    /// longest for their requester.
    pub(super) fn make_room(&self, now: Time) -> Result<(), TicketError> {
        let batch = self.batch(now);
        let open = batch.keys(OPEN, None, MAX_OPEN_TICKETS)?;
        if open.len() < MAX_OPEN_TICKETS {
            return Ok(());
        }
        let is_idle = |t: &Ticket| t.state.waits_for_requester() && !t.is_proved(now);
        let mut idle = Vec::new();
        for number in open {
            let ticket = batch.get(TICKETS, &number)?;
            idle.extend(
                ticket
                    .filter(is_idle)
                    .map(|t: Ticket| (t.changed, t.number)),
            );
        }
        idle.sort_unstable();
        idle.truncate(MAX_MADE_ROOM);
        for (_, number) in &idle {
            self.decide(now, |batch| {
                let mut ticket = batch.ticket(*number)?;
                if is_idle(&ticket) {
                    ticket.apply(TicketEvent::Withdraw, now)?;
                    batch.audit(&ticket.author(), FROM, "ticket-state", &ticket);
                    batch.save(&ticket);
                }
                Ok(())
            })?;
        }
        tracing::warn!(
            withdrawn = idle.len(),
            "{MAX_OPEN_TICKETS} tickets are open; those without a proof that have waited longest for their requesters are withdrawn"
        );
        Ok(())
    }

    /// Checks that another ticket may be open.
    pub(super) fn check_open(
        &self,
        batch: &TicketBatch<'_>,
        subject: &Subject,
        policy: RemovalPolicy,
    ) -> Result<(), TicketError> {
        check_all_open(batch)?;
        if self.count_open_of(subject, TicketKind::Removal)? >= MAX_OPEN_OF_SUBJECT {
            let why = format!(
                "{MAX_OPEN_OF_SUBJECT} requests for {subject} are open; use the page of one of them"
            );
            return Err(TicketError::LimitReached(why, Seconds(86_400)));
        }
        match policy {
            RemovalPolicy::WithLastInput => self.check_unproved_review(batch),
            _ => Ok(()),
        }
    }

    /// Checks that another correction of a product may be open. No other ticket makes room for it.
    pub(super) fn check_open_correction(
        &self,
        batch: &TicketBatch<'_>,
        subject: &Subject,
    ) -> Result<(), TicketError> {
        check_all_open(batch)?;
        if self.count_open_of(subject, TicketKind::Correction)? >= MAX_OPEN_OF_SUBJECT {
            let why = format!(
                "{MAX_OPEN_OF_SUBJECT} corrections of {subject} wait for a person; try again later"
            );
            return Err(TicketError::LimitReached(why, Seconds(86_400)));
        }
        let waiting = batch.keys(WAITING, None, MAX_UNPROVED_REVIEWS)?;
        match waiting.len() < MAX_UNPROVED_REVIEWS {
            true => Ok(()),
            false => Err(TicketError::LimitReached(
                format!("{MAX_UNPROVED_REVIEWS} requests wait for a person; try again later"),
                FULL_RETRY_AFTER,
            )),
        }
    }

    /// Returns how many tickets of a kind are open for a subject.
    fn count_open_of(&self, subject: &Subject, kind: TicketKind) -> Result<usize, TicketError> {
        let open = self.open_of(subject)?;
        Ok(open.iter().filter(|t| t.kind == kind).count())
    }

    /// Checks that a request without a proof may wait for a person. Such a request ends only when a
    /// person decides, so strangers could fill the server with them.
    pub(super) fn check_unproved_review(&self, batch: &TicketBatch<'_>) -> Result<(), TicketError> {
        let waiting = batch.keys(WAITING, None, MAX_UNPROVED_REVIEWS)?;
        if waiting.len() < MAX_UNPROVED_REVIEWS {
            return Ok(());
        }
        let why = format!(
            "{MAX_UNPROVED_REVIEWS} requests wait for a person; prove control of the subject, or try again later"
        );
        Err(TicketError::LimitReached(why, FULL_RETRY_AFTER))
    }
}

/// Checks that as many tickets as may be are not open.
fn check_all_open(batch: &TicketBatch<'_>) -> Result<(), TicketError> {
    if batch.keys(OPEN, None, MAX_OPEN_TICKETS)?.len() < MAX_OPEN_TICKETS {
        return Ok(());
    }
    let why = format!("{MAX_OPEN_TICKETS} requests are open; try again later");
    Err(TicketError::LimitReached(why, FULL_RETRY_AFTER))
}
