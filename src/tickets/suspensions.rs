//! Suspensions: listings that are not published while a request with a proof waits for a person
//! longer than it should.

use super::{
    batch::TicketBatch,
    error::TicketError,
    removals::{FROM, reasons_of},
    service::TicketService,
    state::{RemovalPolicy, TicketEvent, TicketState},
    tables::SUSPENSIONS,
    ticket::{DECIDE_WITHIN, Suspension, Ticket},
};
use crate::{
    model::{
        Hold, SourceId, Subject, Time, domain::registered_domain, history::Command, time::Seconds,
    },
    relay::networks::{Network, prefix_of},
};

/// The most suspensions in a day.
const MAX_PER_DAY: usize = 50;
/// A day.
const DAY: Seconds = Seconds(86_400);

impl TicketService {
    /// Suspends the listings of requests with a proof that no person answered in seven days, the
    /// oldest first: one for each network, and at most 50 a day.
    pub(super) fn suspend_due(&self, now: Time) -> Result<(), TicketError> {
        let is_due = |t: &Ticket| {
            let review = t.review.as_ref();
            t.kind.is_about_listings()
                && t.state == TicketState::Review
                && t.policy == RemovalPolicy::Reviewed
                && t.is_proved(now)
                && review
                    .is_some_and(|r| r.answered.is_none() && r.since.plus(DECIDE_WITHIN) <= now)
        };
        let waiting = self.waiting()?;
        let mut due: Vec<&Ticket> = waiting.iter().filter(|t| is_due(t)).collect();
        due.sort_by_key(|t| (t.review.as_ref().map(|r| r.since), t.number));
        let suspended = waiting.iter().filter(|t| t.state == TicketState::Suspended);
        let mut networks: Vec<String> = suspended.map(|t| self.network(&t.subject)).collect();
        let mut over_limit = 0;
        for ticket in due {
            let network = self.network(&ticket.subject);
            if networks.contains(&network) {
                continue;
            }
            if self.suspend(ticket.number, now)? {
                networks.push(network);
            } else {
                over_limit += 1;
            }
        }
        let before = self.set_over_limit(over_limit);
        if over_limit > 0 && before == 0 {
            tracing::error!(
                waiting = over_limit,
                "more listings have to be suspended than {MAX_PER_DAY} a day; decide the requests that wait: `orbsd tickets list --waiting`"
            );
        }
        Ok(())
    }

    /// Suspends the listings of a ticket; false if the limit of the day is reached.
    fn suspend(&self, number: u64, now: Time) -> Result<bool, TicketError> {
        let done = self.decide(now, |batch| {
            let mut recent = batch.get(SUSPENSIONS, &())?.unwrap_or_default();
            recent.retain(|s| s.at.plus(DAY) > now);
            if recent.len() >= MAX_PER_DAY {
                return Ok(false);
            }
            let mut ticket = batch.ticket(number)?;
            if ticket.state != TicketState::Review {
                return Ok(true);
            }
            ticket.apply(TicketEvent::Suspend, now)?;
            self.hold_listings(batch, &ticket)?;
            recent.push(Suspension {
                at: now,
                ticket: number,
            });
            batch.put(SUSPENSIONS, &(), &recent);
            batch.audit(&ticket.author(), FROM, "ticket-suspend", &ticket);
            batch.save(&ticket);
            Ok(true)
        })?;
        Ok(done.0)
    }

    /// Adds the changes that suppress the listings of a ticket until a person decides.
    fn hold_listings(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &Ticket,
    ) -> Result<(), TicketError> {
        let listings = self.listings(&ticket.subject)?;
        let mine = ticket.own_listings(&listings);
        let until = ticket.suspended_until();
        for reason in reasons_of(&mine) {
            let command = Command::Hold { reason, until };
            batch.changes.push(self.change(ticket, command));
        }
        Ok(())
    }

    /// Ends the suspension of the listings of a ticket, so that they are published again. Other
    /// holds of its subject stay.
    pub(super) fn end_suspension(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &Ticket,
    ) -> Result<(), TicketError> {
        let Some(until) = ticket.suspended_until() else {
            return Ok(());
        };
        let ends = self.holds_until(&ticket.subject, &ticket.reasons, Some(until))?;
        let ends = ends.into_iter().map(|command| self.change(ticket, command));
        batch.changes.extend(ends);
        Ok(())
    }

    /// Returns the commands that end the holds on all sources that some reasons of a subject have
    /// until a time; `None`: until any time.
    pub(super) fn holds_until(
        &self,
        subject: &Subject,
        reasons: &[String],
        until: Option<Time>,
    ) -> Result<Vec<Command>, TicketError> {
        let dictionary = self.ledger.store.dictionary();
        let verdict = self.ledger.store.verdict(subject)?;
        let is_meant = |h: &&Hold| {
            h.source == SourceId::ALL
                && until.is_none_or(|t| t == h.until)
                && reasons
                    .iter()
                    .any(|r| r == dictionary.reasons.name(h.reason))
        };
        let holds = verdict.holds.iter().filter(is_meant);
        let ends = holds.map(|h| Command::EndHold {
            reason: h.reason,
            source: h.source,
            until: h.until,
        });
        Ok(ends.collect())
    }

    /// Returns the network of a subject, of which one request at a time is suspended: the
    /// autonomous system if a table knows it, else the /24 (IPv6: /48); the registered domain of a
    /// domain.
    pub(super) fn network(&self, subject: &Subject) -> String {
        let address = match subject {
            Subject::V4(p) => std::net::IpAddr::V4(p.first().into()),
            Subject::V6(p) => std::net::IpAddr::V6(p.first().into()),
            Subject::Domain(d) => return registered_domain(d.name()).to_string(),
        };
        match self.relay.settings().asn_table.of(address) {
            Network::As(number) => format!("AS{number}"),
            Network::Wide(_) => prefix_of(address).to_string(),
        }
    }
}
