//! Removals: which changes of the ledger delist a subject, and what is recorded about them.

use super::{
    batch::TicketBatch,
    error::TicketError,
    listings::TicketListing,
    policies::RemovalPolicies,
    secret::TicketSecret,
    service::TicketService,
    state::{RemovalPolicy, TicketEvent},
    ticket::{Ticket, TicketRemoval, ZoneRemoval, host_of},
};
use crate::{
    ledger::Receipt,
    model::{
        Change, EventKind, Evidence, ReasonId, SourceId, Subject, Time,
        history::{Command, DEFAULT_HOLD, HoldFor},
        time::Seconds,
    },
};

/// The reason whose removals are not held: new evidence lists again.
const NOT_HELD: &str = "spamsource";
/// How long the next removal of [`NOT_HELD`] waits, after the first, the second, and later ones.
const WAITS: [Seconds; 3] = [Seconds(86_400), Seconds(3 * 86_400), Seconds(7 * 86_400)];
/// Where changes of tickets come from, in the audit log.
pub const FROM: &str = "site";

/// Returns when a removal on request may happen. The first one may happen at once. After a listing
/// that followed a removal, the next one waits.
fn removal_time(earlier: usize, listed_again: Option<Time>, now: Time) -> Time {
    match (earlier, listed_again) {
        (0, _) | (_, None) => now,
        (n, Some(at)) => now.max(at.plus(WAITS[(n - 1).min(WAITS.len() - 1)])),
    }
}

impl TicketService {
    /// Returns when a removal of listings on request may happen.
    pub(super) fn on_request_time(
        &self,
        listings: &[&TicketListing],
        now: Time,
    ) -> Result<Time, TicketError> {
        let mut out = now;
        for l in listings.iter().filter(|l| l.name == NOT_HELD) {
            let history = self.ledger.store.history(&l.listed)?;
            let is_removal = |kind: &EventKind| matches!(kind, EventKind::Delisted { reason, .. } if *reason == l.reason);
            let by_ticket = |author: &str| author.starts_with("ticket ");
            let earlier = history
                .iter()
                .filter(|e| is_removal(&e.kind) && by_ticket(&e.author));
            out = out.max(removal_time(earlier.count(), Some(l.since), now));
        }
        Ok(out)
    }

    /// Returns when a removal under a policy may be requested with success, or tested.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn available_at(
        &self,
        subject: &Subject,
        policy: RemovalPolicy,
        listings: &[TicketListing],
        now: Time,
    ) -> Result<Time, TicketError> {
        let mine: Vec<&TicketListing> = listings.iter().filter(|l| l.policy == policy).collect();
        match (policy, host_of(subject)) {
            (RemovalPolicy::OnRequest, _) => self.on_request_time(&mine, now),
            (RemovalPolicy::AfterRetest, Some(target)) => {
                Ok(self.relay.claim_time(target, false, now)?)
            }
            _ => Ok(now),
        }
    }

    /// Adds the changes that delist the subject of a ticket to a batch, and grants the ticket.
    pub(super) fn grant(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &mut Ticket,
        listings: &[&TicketListing],
    ) -> Result<(), TicketError> {
        let now = batch.now;
        let changes = self.removal_changes(ticket, listings, now);
        batch.changes.extend(changes);
        self.record_granted(ticket, now)
    }

    /// Grants a ticket whose subject is delisted.
    pub(super) fn record_granted(&self, ticket: &mut Ticket, now: Time) -> Result<(), TicketError> {
        ticket.apply(TicketEvent::Grant, now)?;
        ticket.removal = Some(TicketRemoval {
            at: now,
            zones: Vec::new(),
            ttl: 0,
            released: TicketSecret::new(&self.random)?,
            listed_again: None,
        });
        Ok(())
    }

    /// Returns the changes that delist the subject of a ticket. A listing of its own ends. A feed
    /// and a listing of a wider subject are suppressed for this subject alone.
    fn removal_changes(
        &self,
        ticket: &Ticket,
        listings: &[&TicketListing],
        now: Time,
    ) -> Vec<Change> {
        let mut out = Vec::new();
        for reason in reasons_of(listings) {
            let mut needs_hold = matches!(ticket.policy, RemovalPolicy::OnRequest);
            for l in listings.iter().filter(|l| l.reason == reason) {
                let is_own = l.listed == ticket.subject && !l.source.is_feed();
                if is_own {
                    out.push(self.change(ticket, delist(reason, l.source)));
                    needs_hold &= l.name != NOT_HELD;
                }
            }
            let is_elsewhere =
                |l: &&&TicketListing| l.source.is_feed() || l.listed != ticket.subject;
            needs_hold |= listings
                .iter()
                .filter(|l| l.reason == reason)
                .any(|l| is_elsewhere(&l));
            if needs_hold {
                let until = Some(now.plus(DEFAULT_HOLD));
                out.push(self.change(ticket, Command::Hold { reason, until }));
            }
        }
        out
    }

    /// Returns a change that a ticket makes. It names the ticket by its number alone.
    pub(super) fn change(&self, ticket: &Ticket, command: Command) -> Change {
        let author = ticket.author();
        let mut change = Change::new(ticket.subject.clone(), author.clone(), command);
        change.evidence = Some(Evidence::statement(format!(
            "removal requested by {author}, policy {}",
            ticket.policy.as_str()
        )));
        change.preconditions.from = FROM.into();
        change
    }

    /// Notes which zones the removal of a ticket has changed: those of the receipt, or else those
    /// that publish its reasons now.
    pub(super) fn note_zones(
        &self,
        ticket: &Ticket,
        removal: &mut TicketRemoval,
        receipt: Option<&Receipt>,
    ) {
        let snapshot = self.ledger.published.snapshot();
        let dictionary = self.ledger.store.dictionary();
        let reasons = ticket.reasons.iter();
        let mask = reasons
            .filter_map(|r| dictionary.reasons.get(r))
            .fold(0, |all, r| all | r.bit());
        let zones = snapshot.zones.all().iter().zip(snapshot.serials.iter());
        let zones = zones
            .filter(|(z, _)| z.spec.has_kind_of(&ticket.subject) && z.listing_mask & mask != 0);
        for (zone, serial) in zones {
            let changed = receipt.map(|r| r.serials.get(&*zone.name));
            let serial = match changed {
                Some(None) => continue,
                Some(Some(serial)) => *serial,
                None => *serial,
            };
            removal.ttl = removal.ttl.max(zone.spec.longest_ttl().0 as u32);
            removal.zones.push(ZoneRemoval {
                zone: zone.name.to_string(),
                serial,
                servers: Default::default(),
            });
        }
    }
}

/// The reasons of listings, each once.
pub(super) fn reasons_of(listings: &[&TicketListing]) -> Vec<ReasonId> {
    let mut out: Vec<ReasonId> = listings.iter().map(|l| l.reason).collect();
    out.sort_unstable();
    out.dedup();
    out
}

fn delist(reason: ReasonId, source: SourceId) -> Command {
    Command::Delist {
        reason: Some(reason),
        source: Some(source),
        hold: HoldFor::Nothing,
    }
}

impl RemovalPolicies {
    /// Whether a removal of a reason is held, so that it is not listed again for a while.
    pub fn is_held(reason: &str) -> bool {
        reason != NOT_HELD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_after_new_evidence_wait_one_three_and_seven_days() {
        let (listed, day) = (Time(1_000_000), 86_400);
        let wait = |earlier| removal_time(earlier, Some(listed), listed).0 - listed.0;
        assert_eq!(
            [0, 1, 2, 3, 9].map(wait),
            [0, day, 3 * day, 7 * day, 7 * day]
        );
        let later = listed.plus(Seconds(2 * day));
        assert_eq!(removal_time(1, Some(listed), later), later);
    }
}
