//! What operators do: they reply, approve and refuse.

use std::net::IpAddr;

use super::{
    batch::TicketBatch,
    error::TicketError,
    requests::checked_message,
    service::TicketService,
    state::{RemovalPolicy, TicketEvent, TicketKind},
    ticket::{Ticket, TicketMessage},
};
use crate::{
    model::Time,
    relay::{Actor, ReviewFinding, policy::ClaimState},
};

/// The approval of a ticket by an operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Approval<'a> {
    /// The text for the requester; may be empty.
    pub text: &'a str,
    /// Whether the listing was an error.
    pub listed_in_error: bool,
}

impl<'a> From<&'a str> for Approval<'a> {
    /// An approval that says nothing about an error.
    fn from(text: &'a str) -> Approval<'a> {
        Approval {
            text,
            listed_in_error: false,
        }
    }
}

impl TicketService {
    /// Adds a reply of an operator.
    ///
    /// # Errors
    ///
    /// The message is empty or too long, or there is no such ticket.
    pub fn reply(
        &self,
        who: &Actor,
        number: u64,
        text: &str,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        let text = required(text)?;
        let changed = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            add_reply(&mut ticket, who, text, now);
            audit(batch, who, "ticket-reply", &ticket);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(changed.0)
    }

    /// Grants a request after a person has reviewed it: its subject is delisted, or its correction is
    /// accepted.
    ///
    /// # Errors
    ///
    /// The ticket is closed, the approval states an error of a listing and the ticket is about none,
    /// or the ledger or the relay service refuses the removal.
    pub fn approve<'a>(
        &self,
        who: &Actor,
        number: u64,
        approval: impl Into<Approval<'a>>,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        let Approval {
            text,
            listed_in_error,
        } = approval.into();
        let text = checked_message(text)?;
        let (_, receipt) = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            if !ticket.state.is_open() {
                return Err(closed(&ticket));
            }
            if !text.is_empty() {
                add_reply(&mut ticket, who, text, now);
            }
            if listed_in_error && !ticket.kind.is_about_listings() {
                return Err(TicketError::Invalid(
                    "listed_in_error: the ticket is not about a listing; leave it out".into(),
                ));
            }
            match ticket.kind {
                TicketKind::Removal => {
                    self.approve_removal(batch, who, &mut ticket, listed_in_error)?;
                }
                // The answer is all: no listing is looked at.
                TicketKind::Correction => ticket.apply(TicketEvent::Grant, now)?,
                TicketKind::Test => {
                    return Err(TicketError::Refused(
                        "the ticket asks for a test, and for no decision; reply to it or refuse it"
                            .into(),
                    ));
                }
            }
            audit(batch, who, "ticket-approve", &ticket);
            batch.save(&ticket);
            Ok(())
        })?;
        self.finish(number, receipt.as_ref(), now)
    }

    /// Delists the subject of a ticket that a person has reviewed.
    fn approve_removal(
        &self,
        batch: &mut TicketBatch<'_>,
        who: &Actor,
        ticket: &mut Ticket,
        listed_in_error: bool,
    ) -> Result<(), TicketError> {
        let now = batch.now;
        let listings = self.listings_with_suspended(ticket)?;
        let mine = ticket.own_listings(&listings);
        self.end_suspension(batch, ticket)?;
        match (ticket.policy, ticket.host()) {
            (RemovalPolicy::AfterRetest, Some(target)) => {
                self.check_sources(ticket, target, now)?;
                // All messages that were sent before the review are covered by it.
                let why = format!("released after the review of {}", ticket.author());
                // The key of the request belongs to the commit of the ticket.
                let reviewer = Actor {
                    idempotency: None,
                    ..who.clone()
                };
                let finding = ReviewFinding::of(listed_in_error);
                self.relay
                    .review_as(&reviewer, target, &why, finding, now)?;
                self.record_granted(ticket, now)
            }
            _ if mine.is_empty() => ticket.apply(TicketEvent::End, now),
            _ => {
                self.grant(batch, ticket, &mine)?;
                if listed_in_error {
                    batch.mark_listed_in_error();
                }
                Ok(())
            }
        }
    }

    /// Refuses a request. The text tells the requester why.
    ///
    /// # Errors
    ///
    /// The text is empty or too long, or the ticket is closed.
    pub fn refuse(
        &self,
        who: &Actor,
        number: u64,
        text: &str,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        let text = required(text)?;
        let changed = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            if !ticket.state.is_open() {
                return Err(closed(&ticket));
            }
            add_reply(&mut ticket, who, text, now);
            self.end_suspension(batch, &ticket)?;
            ticket.apply(TicketEvent::Refuse, now)?;
            audit(batch, who, "ticket-refuse", &ticket);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(changed.0)
    }

    /// Refuses the release of a host that has blocked the tester, until it was tested from every
    /// source address.
    fn check_sources(&self, ticket: &Ticket, target: IpAddr, now: Time) -> Result<(), TicketError> {
        let Some(status) = self.claim_status(ticket, now) else {
            return Ok(());
        };
        let is_untried = match status.state {
            ClaimState::Testing => true,
            ClaimState::Blocked => self
                .relay
                .has_untried_source(target, ticket.is_proved(now))?,
            _ => false,
        };
        if is_untried {
            return Err(TicketError::Refused(format!(
                "{target} has not been tested from every source address yet; the test is under way (`orbsd job list`), approve after it"
            )));
        }
        Ok(())
    }
}

/// Adds a reply of an operator to a conversation. It may exceed the limit of the requester.
fn add_reply(ticket: &mut Ticket, who: &Actor, text: String, now: Time) {
    ticket.messages.push(TicketMessage {
        at: now,
        operator: Some(who.name.clone()),
        text,
    });
    ticket.changed = now;
    if let Some(review) = &mut ticket.review {
        review.answered.get_or_insert(now);
    }
}

fn required(text: &str) -> Result<String, TicketError> {
    let text = checked_message(text)?;
    match text.is_empty() {
        true => Err(TicketError::Invalid(
            "text: required; write what the requester has to know".into(),
        )),
        false => Ok(text),
    }
}

fn closed(ticket: &Ticket) -> TicketError {
    TicketError::Refused(format!(
        "ticket {} is closed: {}",
        ticket.number,
        ticket.state.as_str()
    ))
}

/// Sets the audit record of an operator's action. It has the number of the ticket, and no text.
fn audit(batch: &mut TicketBatch<'_>, who: &Actor, action: &str, ticket: &Ticket) {
    batch.audit(&who.name, &who.from, action, ticket);
    if let Some(record) = &mut batch.audit {
        record.idempotency = who.idempotency;
    }
}
