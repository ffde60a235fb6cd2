//! Suspensions: listings that are not published while a request with a proof waits for a person
//! longer than it should.

use super::{
    batch::TicketBatch,
    error::TicketError,
    removals::FROM,
    service::TicketService,
    state::{RemovalPolicy, TicketEvent, TicketState},
    tables::SUSPENSIONS,
    ticket::{DECIDE_WITHIN, Suspension, Ticket},
};
use crate::{
    model::{Subject, Time, history::Command, time::Seconds},
    relay::networks::{Network, prefix_of},
};

/// The most suspensions in a day.
const MAX_PER_DAY: usize = 50;
/// A day.
const DAY: Seconds = Seconds(86_400);
/// How long the hold of a suspension lasts if no person decides.
const SUSPENSION_HOLD: Seconds = Seconds(10 * 365 * 86_400);

impl TicketService {
    /// Suspends the listings of requests with a proof that no person answered in seven days, the
    /// oldest first: one for each network, and at most 50 a day.
    pub(super) fn suspend_due(&self, now: Time) -> Result<(), TicketError> {
        let is_due = |t: &Ticket| {
            let review = t.review.as_ref();
            t.state == TicketState::Review
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
            self.hold_listings(batch, &ticket)?;
            ticket.apply(TicketEvent::Suspend, now)?;
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
        let mut reasons: Vec<_> = mine.iter().map(|l| l.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let until = Some(batch.now.plus(SUSPENSION_HOLD));
        for reason in reasons {
            let command = Command::Hold { reason, until };
            batch.changes.push(self.change(ticket, command));
        }
        Ok(())
    }

    /// Returns the network of a subject, of which one request at a time is suspended: the
    /// autonomous system if a table knows it, else the /24 (IPv6: /48); the name of a domain.
    fn network(&self, subject: &Subject) -> String {
        let address = match subject {
            Subject::V4(p) => std::net::IpAddr::V4(p.first().into()),
            Subject::V6(p) => std::net::IpAddr::V6(p.first().into()),
            Subject::Domain(d) => {
                let labels: Vec<&str> = d.name().rsplit('.').take(2).collect();
                return labels.join(".");
            }
        };
        match self.relay.settings().asn_table.of(address) {
            Network::As(number) => format!("AS{number}"),
            Network::Wide(_) => prefix_of(address).to_string(),
        }
    }
}
