//! The periodic work: tickets follow their relay tests and the listings of their subjects.

use super::{
    batch::TicketBatch,
    error::TicketError,
    listings::TicketListing,
    removals::FROM,
    service::TicketService,
    state::{RemovalPolicy, TicketEvent, TicketKind, TicketState},
    tables::{OPEN, REMOVED},
    ticket::{Ticket, TicketTest},
};
use crate::{
    model::{Change, EventKind, Time, history::Command, time::Seconds},
    relay::{ClaimStatus, policy::ClaimState},
};

/// The most tickets of a table that one round reads.
pub(super) const ROUND: usize = 500;
/// When a ticket is withdrawn that waits for its requester.
pub(super) const IDLE_PERIOD: Seconds = Seconds(30 * 86_400);

impl TicketService {
    /// Does what is due: follows relay tests, grants delayed removals, ends tickets whose listings
    /// have ended, suspends listings that nobody decided about, and notes which servers have a
    /// removal. A failure of one ticket does not affect the others.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn tick(&self, now: Time) -> Result<(), TicketError> {
        let batch = self.batch(now);
        for number in self.rounds.next(&batch, &OPEN.all(), ROUND)? {
            self.log_failure(number, self.follow(number, now));
        }
        self.follow_spreading(now)?;
        for number in self.rounds.next(&batch, &REMOVED.all(), ROUND)? {
            self.log_failure(number, self.watch_listing(number, now));
        }
        self.suspend_due(now)
    }

    pub(super) fn log_failure(&self, number: u64, done: Result<(), TicketError>) {
        if let Err(e) = done {
            let dictionary = self.ledger.store.dictionary();
            let error = match e {
                TicketError::Ledger(e) => e.text(&dictionary),
                other => format!("{other:?}"),
            };
            tracing::warn!(ticket = number, error, "due work for a ticket failed");
        }
    }

    /// Follows an open ticket.
    fn follow(&self, number: u64, now: Time) -> Result<(), TicketError> {
        let before = self.get(number)?;
        if !self.is_due(&before, now)? {
            return Ok(());
        }
        let (_, receipt) = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            if !ticket.state.is_open() {
                return Ok(());
            }
            let seen = ticket.clone();
            self.advance(batch, &mut ticket)?;
            if ticket == seen {
                return Ok(());
            }
            if ticket.state != seen.state {
                batch.audit(&ticket.author(), FROM, "ticket-state", &ticket);
            }
            batch.save(&ticket);
            Ok(())
        })?;
        self.finish(number, receipt.as_ref(), now).map(drop)
    }

    /// Whether an open ticket has to be looked at closely, so that most tickets need no lock.
    fn is_due(&self, ticket: &Ticket, now: Time) -> Result<bool, TicketError> {
        // Nothing but a person or its requester closes a correction.
        if ticket.kind == TicketKind::Correction {
            return Ok(false);
        }
        let follows_test =
            ticket.policy == RemovalPolicy::AfterRetest || ticket.kind == TicketKind::Test;
        let is_timed =
            ticket.next_at.is_some_and(|at| at <= now) || ticket.changed.plus(IDLE_PERIOD) <= now;
        let listings = self.listings_with_suspended(ticket)?;
        Ok(follows_test || is_timed || ticket.own_listings(&listings).is_empty())
    }

    /// Applies the event that is due for an open ticket, if there is one.
    fn advance(&self, batch: &mut TicketBatch<'_>, ticket: &mut Ticket) -> Result<(), TicketError> {
        let now = batch.now;
        if ticket.kind == TicketKind::Test {
            return self.advance_self_test(batch, ticket);
        }
        let listings = self.listings_with_suspended(ticket)?;
        let mine = ticket.own_listings(&listings);
        let status = self.claim_status(ticket, now);
        if mine.is_empty() {
            return self.end(batch, ticket, status.as_ref());
        }
        if ticket.state == TicketState::Delayed && ticket.next_at.is_some_and(|at| at <= now) {
            return self.grant(batch, ticket, &mine);
        }
        if ticket.state.waits_for_requester() && ticket.changed.plus(IDLE_PERIOD) <= now {
            return ticket.apply(TicketEvent::Withdraw, now);
        }
        match status {
            Some(status) => self.follow_claim(ticket, &status, &mine, now),
            None => Ok(()),
        }
    }

    /// Closes a ticket whose subject is not listed any more: granted if a test or a person removed
    /// it, ended otherwise.
    fn end(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &mut Ticket,
        status: Option<&ClaimStatus>,
    ) -> Result<(), TicketError> {
        let now = batch.now;
        self.end_suspension(batch, ticket)?;
        let is_released = status.is_some_and(|s| s.state == ClaimState::Released);
        if is_released || self.was_removed(ticket)? {
            self.keep_hold_of_removal(batch, ticket);
            self.record_granted(ticket, now)
        } else {
            ticket.apply(TicketEvent::End, now)
        }
    }

    /// Holds the reasons whose suspension ends with a removal as long as after any removal, because
    /// the removal has left the longer hold of the suspension as it was.
    fn keep_hold_of_removal(&self, batch: &mut TicketBatch<'_>, ticket: &Ticket) {
        let ended = batch.changes.iter().filter_map(|c| match c.command {
            Command::EndHold { reason, .. } => Some(reason),
            _ => None,
        });
        let until = None;
        let holds: Vec<Change> = ended
            .map(|reason| self.change(ticket, Command::Hold { reason, until }))
            .collect();
        batch.changes.extend(holds);
    }

    /// Whether a listing of a ticket was removed by a decision since the ticket was opened, and did
    /// not just expire. A suspension is not a removal.
    fn was_removed(&self, ticket: &Ticket) -> Result<bool, TicketError> {
        let dictionary = self.ledger.store.dictionary();
        let history = self.ledger.store.history(&ticket.subject)?;
        let is_mine = |kind: &EventKind| {
            kind.about().is_some_and(|(reason, _)| {
                ticket
                    .reasons
                    .iter()
                    .any(|r| r == dictionary.reasons.name(reason))
            })
        };
        let last = history
            .iter()
            .rev()
            .find(|e| e.at >= ticket.opened && is_mine(&e.kind));
        Ok(last.is_some_and(|e| match e.kind {
            EventKind::Delisted { .. } => true,
            EventKind::Held { .. } => e.author != ticket.author(),
            _ => false,
        }))
    }

    /// Returns the status of the relay test of a ticket; `None` if there is none.
    pub(super) fn claim_status(&self, ticket: &Ticket, now: Time) -> Option<ClaimStatus> {
        let (test, target) = (ticket.test.as_ref()?, ticket.host()?);
        self.relay.claim_status(target, test.job, now).ok()
    }

    /// Follows the claim of a ticket.
    fn follow_claim(
        &self,
        ticket: &mut Ticket,
        status: &ClaimStatus,
        listings: &[&TicketListing],
        now: Time,
    ) -> Result<(), TicketError> {
        if let Some(test) = &mut ticket.test
            && test.job != status.job.id
        {
            *test = TicketTest {
                job: status.job.id,
                at: now,
            };
        }
        let followed = matches!(ticket.state, TicketState::Testing | TicketState::Waiting);
        if ticket.state == TicketState::Review && status.state == ClaimState::Blocked {
            return self.test_from_next_source(ticket, now);
        }
        if !followed {
            return Ok(());
        }
        let event = match status.state {
            ClaimState::Testing => None,
            ClaimState::Waiting | ClaimState::WaitingForSecondSource => Some(TicketEvent::Wait),
            ClaimState::Blocked => Some(TicketEvent::Block),
            ClaimState::Failed => Some(TicketEvent::Fail),
            // The release does not cover all listings: those of other sources are not refuted.
            ClaimState::Released => Some(TicketEvent::Review),
            // An operator ended the test, or the owner opted out of tests.
            ClaimState::Withdrawn => Some(TicketEvent::Review),
        };
        if let Some(event) = event.filter(|_| !listings.is_empty()) {
            ticket.apply(event, now)?;
        }
        if matches!(ticket.state, TicketState::Testing | TicketState::Waiting) {
            let next = status.release.filter(|_| !status.is_preliminary);
            ticket.next_at = next.or(status.next_try).filter(|at| *at > now);
        }
        Ok(())
    }

    /// Tests a blocked host once more, from a source address that it has not blocked yet, while a
    /// person reviews it.
    fn test_from_next_source(&self, ticket: &mut Ticket, now: Time) -> Result<(), TicketError> {
        let Some(target) = ticket.host() else {
            return Ok(());
        };
        if !self
            .relay
            .has_untried_source(target, ticket.is_proved(now))?
        {
            return Ok(());
        }
        let actor = super::requests::actor(ticket);
        let receipt = self
            .relay
            .claim(&actor, target, ticket.is_proved(now), now)?;
        ticket.test = Some(TicketTest {
            job: receipt.job.id,
            at: now,
        });
        Ok(())
    }

    /// Notes whether the subject of a removal was listed again.
    fn watch_listing(&self, number: u64, now: Time) -> Result<(), TicketError> {
        let ticket = self.get(number)?;
        let is_new = |t: &Ticket| t.removal.as_ref().is_some_and(|r| r.listed_again.is_none());
        if !is_new(&ticket) || !self.is_listed_for(&ticket)? {
            return Ok(());
        }
        self.update(number, now, |ticket| {
            if let Some(removal) = &mut ticket.removal {
                removal.listed_again = Some(now);
            }
            ticket.changed = now;
            Ok(())
        })?;
        Ok(())
    }

    /// Whether the subject of a ticket is listed for one of its reasons.
    fn is_listed_for(&self, ticket: &Ticket) -> Result<bool, TicketError> {
        let listings = self.listings(&ticket.subject)?;
        Ok(listings.iter().any(|l| ticket.reasons.contains(&l.name)))
    }
}
